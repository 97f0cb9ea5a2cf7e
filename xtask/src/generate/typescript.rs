//! The messages and services for TypeScript, and of `google.rpc` the details of errors: no package on
//! npm has them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    PROTOS,
    python::{google_protos, protoc},
};
use crate::{clients, root, succeed};

/// The newest that runs on Node 20. It may be older than the runtime, never newer.
const GENERATOR: &str = "@bufbuild/protoc-gen-es@2.13.0";

/// Below `into`, laid out as `clients/typescript`.
pub(crate) fn generate(tools: &Path, into: &Path) -> Result<(), String> {
    let mut protoc = generator(tools, &into.join("src/generated"))?;
    protoc.arg("-I").arg(root().join("proto")).arg("-I").arg(google_protos(tools)?);
    succeed(protoc.args(PROTOS).arg("google/rpc/error_details.proto"))
}

/// Below `into`, laid out as `examples/orders/typescript`.
pub(crate) fn orders(tools: &Path, into: &Path) -> Result<(), String> {
    let mut protoc = generator(tools, &into.join("generated"))?;
    succeed(protoc.arg("-I").arg(root().join("examples/orders")).arg("orders.proto"))
}

fn generator(tools: &Path, into: &Path) -> Result<Command, String> {
    fs::create_dir_all(into).map_err(|error| format!("{}: {error}", into.display()))?;
    let mut plugin = std::ffi::OsString::from("--plugin=protoc-gen-es=");
    plugin.push(install(tools)?);
    let mut protoc = protoc(tools)?;
    protoc.arg(plugin).arg("--es_out").arg(into);
    protoc.arg("--es_opt=target=ts,import_extension=js");
    Ok(protoc)
}

fn install(tools: &Path) -> Result<PathBuf, String> {
    let folder = tools.join("typescript");
    let stamp = folder.join("installed");
    if !fs::read_to_string(&stamp).is_ok_and(|installed| installed == GENERATOR) {
        println!("   installing {GENERATOR} into {}", folder.display());
        let mut npm = clients::typescript::npm()?;
        succeed(npm.args(["install", "--silent", GENERATOR, "--prefix"]).arg(&folder))?;
        fs::write(&stamp, GENERATOR).map_err(|error| format!("{}: {error}", stamp.display()))?;
    }
    Ok(folder.join("node_modules/.bin/protoc-gen-es"))
}
