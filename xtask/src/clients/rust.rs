//! Rust: the interop driver, and the bookkeeping service of the orders story.

use std::{fs, path::Path, process::Command};

use crate::{cargo, root, succeed, target};

pub(crate) fn prepare(tools: &Path) -> Result<(), String> {
    succeed(&mut cargo(["build", "--locked", "--workspace", "--bins", "--examples"]))?;
    visit(&tools.join("rust"))
}

/// Builds the dependencies of a crate that is none of ours, as the page about Rust has it: the test of
/// that page then builds its programs only.
fn visit(folder: &Path) -> Result<(), String> {
    let page = super::page("rust")?;
    let manifest = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next());
    let manifest = super::here(manifest.ok_or("docs/languages/rust.md: there is no Cargo.toml")?);
    let write = |name: &str, text: &str| {
        fs::write(folder.join(name), text).map_err(|error| format!("{name}: {error}"))
    };
    super::once(folder, &manifest, || {
        super::emptied(&folder.join("src"))?;
        // It lies in our workspace, and does not belong to it.
        write("Cargo.toml", &format!("{manifest}\n[workspace]\n"))?;
        write("src/main.rs", "fn main() {}\n")
    })?;
    // Always the versions of today: cargo builds what is new among them.
    let locked = fs::read_to_string(root().join("Cargo.lock"));
    write("Cargo.lock", &locked.map_err(|error| format!("Cargo.lock: {error}"))?)?;
    println!("   building what docs/languages/rust.md depends on");
    let mut build: Command = cargo(["build", "--quiet"]);
    // Not of our workspace, whose settings would be other ones.
    build.current_dir(folder).env("CARGO_TARGET_DIR", folder.join("target"));
    succeed(&mut build)
}

pub(crate) fn driver(_tools: &Path) -> Vec<String> {
    built("examples/interop")
}

pub(crate) fn service(_tools: &Path) -> Vec<String> {
    built("bookkeeping")
}

fn built(name: &str) -> Vec<String> {
    vec![target().join("debug").join(name).display().to_string()]
}
