//! Java: protoc with the plugin of Maven Central.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{bare_protoc, protoc};
use crate::{clients::emptied, root, succeed, toolchains};

/// The newest that has a program: those of 1.84 and 1.85 came without.
const PLUGIN: (&str, &str) = ("protoc-gen-grpc-java", "1.83.1");

/// Writes `src/generated/java/**.java` below `into`.
pub(crate) fn generate(tools: &Path, into: &Path) -> Result<(), String> {
    let plugin = install(&tools.join("java"))?;
    let java = into.join("src/generated/java");
    emptied(&java)?;
    let mut protoc = protoc(tools)?;
    protoc.arg(format!("--plugin={}={}", PLUGIN.0, plugin.display()));
    protoc.arg("--java_out").arg(&java);
    // Without javax.annotation.Generated, which Java has no longer.
    protoc.arg(format!("--grpc-java_out=@generated=omit:{}", java.display()));
    succeed(&mut protoc)
}

/// Writes `src/generated/java/shop/v1/Orders.java` below `into`.
pub(crate) fn generate_orders(tools: &Path, into: &Path) -> Result<(), String> {
    let java = into.join("src/generated/java");
    emptied(&java)?;
    let mut protoc = bare_protoc(tools)?;
    protoc.arg("-I").arg(root().join("examples/orders")).arg("orders.proto");
    succeed(protoc.arg("--java_out").arg(&java))
}

/// The plugin, for this machine.
fn install(tools: &Path) -> Result<PathBuf, String> {
    let (name, version) = PLUGIN;
    let platform = platform()?;
    let file = tools.join(format!("{name}-{version}-{platform}.exe"));
    if file.exists() {
        return Ok(file);
    }
    println!("   installing {name} {version} into {}", tools.display());
    // Maven wants a folder to be in, and no project in it.
    fs::create_dir_all(tools).map_err(|error| format!("{}: {error}", tools.display()))?;
    let mut copy = Command::new(toolchains::MAVEN.find()?);
    copy.args(["-q", "-B", "org.apache.maven.plugins:maven-dependency-plugin:3.9.0:copy"]);
    copy.arg(format!("-Dartifact=io.grpc:{name}:{version}:exe:{platform}"));
    succeed(copy.arg("-DoutputDirectory=.").current_dir(tools))?;
    succeed(Command::new("chmod").arg("+x").arg(&file))?;
    Ok(file)
}

fn platform() -> Result<&'static str, String> {
    match (env::consts::OS, env::consts::ARCH) {
        ("linux", "x86_64") => Ok("linux-x86_64"),
        ("linux", "aarch64") => Ok("linux-aarch_64"),
        ("macos", "x86_64") => Ok("osx-x86_64"),
        ("macos", "aarch64") => Ok("osx-aarch_64"),
        (os, arch) => Err(format!("there is no plugin for {os} on {arch}: generate elsewhere")),
    }
}
