//! The project's commands: `cargo xtask <command>`. Nothing but std, so that it builds at once.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it speaks to a developer")]

mod bench;
mod check;
mod clients;
mod deny;
mod fuzz;
mod gate;
mod generate;
mod interop;
mod orders;
mod page;
mod proto;
mod redis;
mod remedies;
mod script_cost;
mod toolchains;
mod tools;
mod trials;

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

const USAGE: &str = "\
cargo xtask <command>

  test           install what the tests need, say so, and run every check and test
  ci             the same; what .ci/run calls
  trials [--faults N] [--events N] [--seed N]
                 the long run: is an event ever lost in silence? (1000 faults, 2000000 events)
  remedies [--only TEXT]
                 does each test against a known failing sequence fail without its remedy?
  bench [--quick | --smoke] [--rows TEXT,…] [--pairs N] [--seconds N] [--seed N] [--broker PATH]
                 what Tidings costs beside raw Redis, NATS and other facades, in the same rounds;
                 --list names the rows, benches/README.md says what they mean (10 pairs of 5 seconds)
  fuzz [--seconds N]
                 hostile bytes for everything that decodes, N seconds (60) for each target of fuzz/
  gate [--accept REASON]
                 count the instructions of a delivery and of publishes; more than 2 % above what is
                 checked in fails, unless REASON makes it what is checked in
  generate [--check]
                 write the clients' code of the API anew, or compare it with what is checked in
  interop [--runs N]
                 what the clients do in every language, written into docs/interop.md: the table of
                 what works and, as medians of N runs (3), how fast they receive; 0 measures nothing
  dev [FLAGS]    run the server on memory, with debug logs; FLAGS go to tidings serve
  page [--build] run a broker on memory, and the page of examples/web to try it with; or only build it
  redis [--port N] [--persist none|rdb|aof]
                 run a throw-away Redis in the foreground (6379, none)
  script-cost [--rounds N]
                 what a publish costs Redis beside plain PUBLISH, as medians of N rounds (9)
  proto          lint proto/, and compare it with the last release: does it break anyone?
  baseline       part of a release: from now on proto/ is compared with what it is now
  clients        install and build the clients, and say what runs their drivers and services
  orders [--orders N] [--through-envoy] [--kill-brokers] [--no-build]
                 the story of examples/orders with everyone in it: who got what (10 orders)
  setup          let git run hooks/pre-commit before each commit
";

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let (command, rest) = match args.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("help", &[][..]),
    };
    let done = match command {
        "test" | "ci" => no_more(rest).and_then(|()| check::run()),
        "trials" => trials::run(rest),
        "remedies" => remedies::run(rest),
        "bench" => bench::run(rest),
        "fuzz" => fuzz::run(rest),
        "gate" => gate::run(rest),
        "generate" => generate::run(rest),
        "interop" => interop::run(rest),
        "dev" => dev(rest),
        "page" => page::run(rest),
        "redis" => redis::run(rest),
        "script-cost" => script_cost::run(rest),
        "proto" => no_more(rest).and_then(|()| proto::check(&tools())),
        "baseline" => no_more(rest).and_then(|()| proto::baseline(&tools())),
        "clients" => no_more(rest).and_then(|()| clients::run()),
        "orders" => orders::run(rest),
        "setup" => no_more(rest).and_then(|()| setup()),
        "help" | "-h" | "--help" => {
            print!("{USAGE}");
            Ok(())
        }
        other => Err(format!("there is no command {other:?}\n\n{USAGE}")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("xtask: {why}");
            ExitCode::FAILURE
        }
    }
}

fn no_more(rest: &[String]) -> Result<(), String> {
    if rest.is_empty() { Ok(()) } else { Err(format!("{rest:?}: no such option\n\n{USAGE}")) }
}

fn dev(flags: &[String]) -> Result<(), String> {
    let mut server = cargo(["run", "--", "serve"]);
    server.args(flags);
    if env::var_os("TIDINGS_LOG").is_none() {
        server.env("TIDINGS_LOG", "info,tidings=debug");
    }
    succeed(&mut server)
}

fn setup() -> Result<(), String> {
    succeed(Command::new("git").current_dir(root()).args(["config", "core.hooksPath", "hooks"]))?;
    println!("git runs hooks/pre-commit before each commit: format and tidy, about a second");
    Ok(())
}

/// The top of the repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the repository")
}

/// Where cargo puts what it builds; what we install for tests lies there, too.
fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Where we install what is missing.
fn tools() -> PathBuf {
    target().join("tools")
}

fn cargo<const N: usize>(args: [&str; N]) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // What `cargo run` tells us of this package: build scripts, ring's for one, would see a change in it,
    // and most of the server would be built anew at every turn between us and cargo itself.
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(name);
        }
    }
    cargo.current_dir(root()).args(args);
    cargo
}

fn succeed(command: &mut Command) -> Result<(), String> {
    let status = command.status().map_err(|error| format!("{command:?}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}")) }
}
