//! Rust: the interop driver, and a service of the orders story.

use std::path::Path;

use crate::{cargo, succeed, target};

pub(crate) fn prepare(_tools: &Path) -> Result<(), String> {
    succeed(&mut cargo(["build", "--locked", "--workspace", "--examples"]))
}

pub(crate) fn driver(_tools: &Path) -> Vec<String> {
    example("interop")
}

pub(crate) fn service(_tools: &Path) -> Vec<String> {
    example("inventory_service")
}

fn example(name: &str) -> Vec<String> {
    vec![target().join("debug/examples").join(name).display().to_string()]
}
