//! Go: protoc with the plugins of the Go proxy.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::protoc;
use crate::{succeed, tools};

const PLUGINS: [(&str, &str); 2] = [
    ("protoc-gen-go", "google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.11"),
    ("protoc-gen-go-grpc", "google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.2"),
];
const MODULE: &str = "github.com/tidings-dev/tidings/clients/go";

/// Writes `tidings/v1/*.pb.go` below `into`.
pub(crate) fn generate(tools: &Path, into: &Path) -> Result<(), String> {
    let bin = install(&tools.join("go"))?;
    fs::create_dir_all(into).map_err(|error| format!("{}: {error}", into.display()))?;
    protoc(tools, |command| {
        for (plugin, _) in PLUGINS {
            command.arg(format!("--plugin={}", bin.join(plugin).display()));
        }
        command.arg("--go_out").arg(into).arg(format!("--go_opt=module={MODULE}"));
        command.arg("--go-grpc_out").arg(into).arg(format!("--go-grpc_opt=module={MODULE}"))
    })
}

/// Where the plugins are.
fn install(tools: &Path) -> Result<PathBuf, String> {
    let bin = tools.join("bin");
    // The stamp names the versions: another version is another installation.
    let stamp = tools.join("plugins");
    let wanted = PLUGINS.map(|(_, module)| module).join("\n");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(bin);
    }
    let go = tools::on_path("go").ok_or(tools::GO)?;
    for (_, module) in PLUGINS {
        println!("   installing {module} into {}", bin.display());
        succeed(Command::new(&go).args(["install", module]).env("GOBIN", &bin))?;
    }
    fs::write(&stamp, wanted).map_err(|error| format!("{}: {error}", stamp.display()))?;
    Ok(bin)
}
