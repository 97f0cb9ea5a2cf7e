//! Go: the interop driver, and the inventory service of the orders story.

use std::{path::Path, process::Command};

use crate::{root, succeed, toolchains};

/// What go builds offline once its modules are in its cache: `(program, module, package)`.
const PROGRAMS: [(&str, &str, &str); 2] =
    [("interop", "clients/go", "./interop"), ("inventory", "examples/orders/go", ".")];

pub(crate) fn prepare(tools: &Path) -> Result<(), String> {
    let go = toolchains::GO.find()?;
    for (program, module, package) in PROGRAMS {
        println!("   building {module} into {}", tools.join("go/bin").display());
        let mut build = Command::new(&go);
        build.current_dir(root().join(module)).args(["build", "-o"]).arg(path(tools, program));
        succeed(build.arg(package))?;
    }
    Ok(())
}

pub(crate) fn driver(tools: &Path) -> Vec<String> {
    vec![path(tools, "interop")]
}

pub(crate) fn service(tools: &Path) -> Vec<String> {
    vec![path(tools, "inventory")]
}

fn path(tools: &Path, program: &str) -> String {
    tools.join("go/bin").join(program).display().to_string()
}
