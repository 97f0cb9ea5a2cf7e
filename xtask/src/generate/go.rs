//! Go: protoc with the plugins of the Go proxy.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{bare_protoc, protoc};
use crate::{clients::emptied, root, succeed, toolchains};

const PLUGINS: [(&str, &str); 2] = [
    ("protoc-gen-go", "google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.11"),
    ("protoc-gen-go-grpc", "google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.2"),
];
const MODULE: &str = "github.com/tidings-dev/tidings/clients/go";
const ORDERS: &str = "github.com/tidings-dev/tidings/examples/orders/go";

/// Writes `tidings/v1/*.pb.go` below `into`.
pub(crate) fn generate(tools: &Path, into: &Path) -> Result<(), String> {
    let [messages, calls] = install(&tools.join("go"))?;
    emptied(&into.join("tidings/v1"))?;
    let mut protoc = protoc(tools)?;
    protoc.arg(messages).arg("--go_out").arg(into);
    protoc.arg(calls).arg("--go-grpc_out").arg(into);
    for plugin in ["go", "go-grpc"] {
        protoc.arg(format!("--{plugin}_opt=module={MODULE}"));
    }
    succeed(&mut protoc)
}

/// Writes `shop/orders.pb.go` below `into`.
pub(crate) fn generate_orders(tools: &Path, into: &Path) -> Result<(), String> {
    let [messages, _] = install(&tools.join("go"))?;
    let mut protoc = bare_protoc(tools)?;
    protoc.arg("-I").arg(root().join("examples/orders")).arg("orders.proto");
    protoc.arg(messages).arg("--go_out").arg(into);
    let package = format!("{ORDERS}/shop");
    protoc.arg(format!("--go_opt=module={ORDERS},Morders.proto={package}"));
    succeed(&mut protoc)
}

/// Where the first of the plugins lies.
pub(crate) fn plugin_of_messages(tools: &Path) -> Result<PathBuf, String> {
    install(&tools.join("go"))?;
    Ok(tools.join("go/bin").join(PLUGINS[0].0))
}

/// The plugins, as protoc wants to be told of them.
fn install(tools: &Path) -> Result<[String; 2], String> {
    let bin = tools.join("bin");
    let plugins = PLUGINS.map(|(name, _)| format!("--plugin={}", bin.join(name).display()));
    // The stamp names the versions: another version is another installation.
    let stamp = tools.join("plugins");
    let wanted = PLUGINS.map(|(_, module)| module).join("\n");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(plugins);
    }
    let go = toolchains::GO.find()?;
    for (_, module) in PLUGINS {
        println!("   installing {module} into {}", bin.display());
        succeed(Command::new(&go).args(["install", module]).env("GOBIN", &bin))?;
    }
    fs::write(&stamp, wanted).map_err(|error| format!("{}: {error}", stamp.display()))?;
    Ok(plugins)
}
