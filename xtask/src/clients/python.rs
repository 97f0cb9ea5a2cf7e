//! The client for Python: what its driver and its service of the story need, and how they are run.

use std::{fs, path::Path, process::Command};

use crate::{root, succeed, tools};

/// Builds the package, where pip may not fetch it.
const BUILD: &str = "setuptools==84.2.1";

pub(crate) fn prepare(tools: &Path) -> Result<(), String> {
    let client = root().join("clients/python");
    let locked = client.join("interop/requirements.txt");
    let locked =
        fs::read_to_string(&locked).map_err(|error| format!("{}: {error}", locked.display()))?;
    // The package itself as it lies there, so that a change needs no second installation.
    let mut wanted = vec!["--editable".into(), client.display().to_string()];
    wanted.extend(locked.lines().map(Into::into));
    let venv = tools.join("python");
    tools::virtual_environment(&venv, &wanted)?;
    wheels(&venv, &locked, &tools.join("python-wheels"))
}

/// What `pip install clients/python` needs, for the test that does so without a network.
fn wheels(venv: &Path, locked: &str, into: &Path) -> Result<(), String> {
    let wanted = format!("{locked}{BUILD}");
    super::once(into, &wanted, || {
        let mut pip = Command::new(venv.join("bin/python"));
        pip.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]);
        pip.args(["--only-binary", ":all:", "--dest"]).arg(into);
        succeed(pip.args(wanted.lines()))
    })
}

/// What runs the interop driver.
pub(crate) fn driver(tools: &Path) -> Vec<String> {
    run(tools, "clients/python/interop/driver.py")
}

/// What runs the order service of the story.
pub(crate) fn service(tools: &Path) -> Vec<String> {
    run(tools, "examples/orders/python/order_service.py")
}

fn run(tools: &Path, program: &str) -> Vec<String> {
    let python = tools.join("python/bin/python");
    [python, root().join(program)].map(|path| path.display().to_string()).into()
}
