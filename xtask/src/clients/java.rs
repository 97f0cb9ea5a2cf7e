//! Java: the interop driver, and the audit service of the orders story.

use std::{path::Path, process::Command};

use crate::{root, succeed, toolchains};

/// Builds into Maven's own `target` folders; offline, once what that needs is in its repository.
pub(crate) fn prepare(_tools: &Path) -> Result<(), String> {
    toolchains::JDK.find()?;
    let mvn = toolchains::MAVEN.find()?;
    println!("   building clients/java and examples/orders/java");
    let mut build = Command::new(mvn);
    build.current_dir(root()).args(["-q", "-B", "-f", "clients/java/workspace.xml"]);
    // Offline first: with a network Maven may ask for what it has.
    let mut offline = Command::new(build.get_program());
    offline.current_dir(root()).args(build.get_args()).args(["-o", "package"]);
    if offline.output().is_ok_and(|built| built.status.success()) {
        return Ok(());
    }
    println!("   that needs something from Maven Central, or fails");
    succeed(build.arg("package"))
}

pub(crate) fn driver(_tools: &Path) -> Vec<String> {
    jar("clients/java/interop/target/interop.jar")
}

pub(crate) fn service(_tools: &Path) -> Vec<String> {
    jar("examples/orders/java/target/audit.jar")
}

fn jar(path: &str) -> Vec<String> {
    ["java".into(), "-jar".into(), root().join(path).display().to_string()].into()
}
