//! Rust: the interop driver, and the bookkeeping service of the orders story.

use std::path::Path;

use crate::{cargo, succeed, target};

pub(crate) fn prepare(_tools: &Path) -> Result<(), String> {
    succeed(&mut cargo(["build", "--locked", "--workspace", "--bins", "--examples"]))
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
