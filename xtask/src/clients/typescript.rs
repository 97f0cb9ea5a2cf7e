//! The client for TypeScript: what its driver and its service of the story need, and how they are run.

use std::{fs, path::Path, process::Command};

use crate::{root, succeed, tools};

pub(crate) fn prepare(_tools: &Path) -> Result<(), String> {
    // The service takes the client from where it lies: first the one, then the other.
    build("clients/typescript", "build:interop")?;
    build("examples/orders/typescript", "build")
}

/// Runs a script of the folder's package, with what it needs installed.
pub(crate) fn build(folder: &str, script: &str) -> Result<(), String> {
    let folder = root().join(folder);
    install(&folder)?;
    succeed(npm()?.current_dir(&folder).args(["run", "--silent", script]))
}

/// What runs the interop driver.
pub(crate) fn driver(_tools: &Path) -> Vec<String> {
    run("clients/typescript/interop/dist/driver.js")
}

/// What runs the notification service of the story.
pub(crate) fn service(_tools: &Path) -> Vec<String> {
    run("examples/orders/typescript/dist/notification_service.js")
}

fn run(program: &str) -> Vec<String> {
    vec!["node".into(), root().join(program).display().to_string()]
}

/// What the lock file of the folder says, into its own `node_modules`.
pub(crate) fn install(folder: &Path) -> Result<(), String> {
    let read = |name| {
        let path = folder.join(name);
        fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
    };
    let locked = read("package-lock.json")?;
    let stamp = "node_modules/installed";
    if read(stamp).is_ok_and(|installed| installed == locked) {
        return Ok(());
    }
    println!("   installing what package-lock.json says in {}", folder.display());
    succeed(npm()?.current_dir(folder).args(["ci", "--silent"]))?;
    fs::write(folder.join(stamp), locked).map_err(|error| format!("{stamp}: {error}"))
}

pub(crate) fn npm() -> Result<Command, String> {
    let how = "npm is missing: install Node 20 or newer, for example with `sudo apt-get install \
               nodejs npm` or `brew install node`";
    Ok(Command::new(tools::on_path("npm").ok_or(how)?))
}
