//! `cargo xtask redis`: a Redis to play with, on loopback, gone with its data at the next start.

use std::{fs, process::Command};

use crate::{succeed, target, tools};

pub(crate) fn run(args: &[String]) -> Result<(), String> {
    let (mut port, mut persist) = (6379_u16, "none");
    let mut args = args.iter();
    while let Some(option) = args.next() {
        let value = args.next().ok_or_else(|| format!("{option}: a value is missing"))?;
        match option.as_str() {
            "--port" => port = value.parse().map_err(|_| format!("{value:?} is no port"))?,
            "--persist" => persist = value,
            other => return Err(format!("{other}: no such option; there are --port, --persist")),
        }
    }
    let (save, append_only) = match persist {
        "none" => ("", "no"),
        "rdb" => ("5 1", "no"),
        "aof" => ("", "yes"),
        other => return Err(format!("--persist {other}: write none, rdb or aof")),
    };
    let server = tools::redis_server()?;
    let folder = target().join(format!("redis-{port}"));
    // What an earlier one left; there may be none.
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    println!("redis://127.0.0.1:{port} until Ctrl-C; its data is dropped at the next start");
    let mut redis = Command::new(server);
    redis.args(["--bind", "127.0.0.1", "--port"]).arg(port.to_string());
    redis.args(["--save", save, "--appendonly", append_only, "--appendfsync", "always"]);
    succeed(redis.arg("--dir").arg(&folder))
}
