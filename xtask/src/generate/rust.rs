//! Rust: a program of the workspace, because xtask is std-only.

use std::{fs, path::Path};

use crate::{cargo, succeed};

/// Writes `src/generated/tidings.v1.rs` below `into`.
pub(crate) fn generate(_tools: &Path, into: &Path) -> Result<(), String> {
    let generated = into.join("src/generated");
    fs::create_dir_all(&generated).map_err(|error| format!("{}: {error}", generated.display()))?;
    let mut generate = cargo(["run", "--quiet", "--locked", "-p", "tidings-client-generate", "--"]);
    succeed(generate.arg(generated))
}
