//! The contract in `proto/`: its style, its format, and that it breaks nobody who has an older one.

use std::{path::Path, process::Command};

use crate::{root, succeed, target, tools};

const BUF: &str = "buf-bin==1.75.0";
/// The descriptors of the last release: what a change must not break.
const BASELINE: &str = "proto/baseline.binpb";

pub(crate) fn check(tools: &Path) -> Result<(), String> {
    succeed(buf(tools)?.args(["lint", "proto"]))?;
    succeed(buf(tools)?.args(["format", "proto", "--diff", "--exit-code"]))?;
    succeed(buf(tools)?.args(["breaking", "proto", "--against", BASELINE]))
}

/// Part of a release, and of nothing else: from then on the contract is what it is now.
pub(crate) fn baseline(tools: &Path) -> Result<(), String> {
    succeed(buf(tools)?.args(["build", "proto", "--exclude-source-info", "--output", BASELINE]))?;
    println!("{BASELINE} is the contract of today");
    Ok(())
}

fn buf(tools: &Path) -> Result<Command, String> {
    let venv = tools.join("buf");
    tools::virtual_environment(&venv, &[BUF.into()])?;
    let mut buf = Command::new(venv.join("bin/buf"));
    buf.current_dir(root()).env("BUF_CACHE_DIR", target().join("buf-cache"));
    Ok(buf)
}
