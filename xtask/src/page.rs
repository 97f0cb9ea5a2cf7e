//! `cargo xtask page`: a broker on memory, and the page of `examples/web` to try it with.

use std::process::Command;

use crate::{cargo, clients::typescript, root, succeed};

const FOLDER: &str = "examples/web";

pub(crate) fn run(args: &[String]) -> Result<(), String> {
    match args {
        [] => serve(),
        [option] if option == "--build" => build(),
        _ => Err(format!("{args:?}: there is --build")),
    }
}

/// Builds the page, and installs what tests run with Node: what drives a browser, and what reads
/// AsyncAPI.
pub(crate) fn build() -> Result<(), String> {
    // The page takes the client from where it lies.
    typescript::build("clients/typescript", "build")?;
    typescript::build(FOLDER, "build")?;
    ["tests/browser", "tests/asyncapi"]
        .into_iter()
        .try_for_each(|folder| typescript::install(&root().join(folder)))
}

/// Both end with ctrl-c, which reaches the broker as well.
fn serve() -> Result<(), String> {
    build()?;
    succeed(&mut cargo(["build"]))?;
    let mut serve = cargo(["run", "--quiet", "--", "serve"]);
    let mut broker = serve.spawn().map_err(|error| format!("{serve:?}: {error}"))?;
    let shown = succeed(&mut vite()?);
    // It may have ended with the page, or before it.
    drop(broker.kill());
    drop(broker.wait());
    shown
}

fn vite() -> Result<Command, String> {
    let mut vite = typescript::npm()?;
    vite.current_dir(root().join(FOLDER)).args(["run", "--silent", "dev"]);
    Ok(vite)
}
