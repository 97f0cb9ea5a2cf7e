//! The command line: `serve`, and small clients for people and scripts. `docs/cli.md` is its manual.
//!
//! What a command prints on stdout is data, one JSON object a line; what it has to say goes to
//! stderr. Exit codes are stable: see [`Exit`].
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "printing is what a command is for")]

mod bench;
mod event;
mod healthcheck;
mod pub_;
mod read;
mod schema;
mod sub;
mod topic;

use std::{ffi::OsString, io, process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::{Args, CommandFactory, Parser, Subcommand};
use tokio::runtime::{Builder, Runtime};

use crate::{
    config::{Config, ConfigError, Flags, values::redacted},
    grpc::client::{CallError, Client},
    server, telemetry,
};

/// Typed events between microservices, over gRPC, on Redis or in memory.
#[derive(Debug, Parser)]
#[command(
    name = "tidings",
    version,
    after_help = "Without a command, and with flags of serve, the server starts:\n  \
                  tidings --redis redis://127.0.0.1:6379\n\n\
                  Exit codes: 0 done, 1 failed, 64 wrong usage or configuration, \
                  69 the server or Redis cannot be reached."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server (also without any command).
    Serve(Serve),
    /// Publish events.
    Pub(pub_::Pub),
    /// Print events as JSON lines, for ever or up to a count.
    Sub(sub::Sub),
    /// Print what is kept of a topic, and end.
    Read(read::Read),
    /// List, show, create, change and delete topics.
    #[command(subcommand)]
    Topic(topic::Command),
    /// Register types of events, and check, list, show, compare, delete and export them.
    #[command(subcommand)]
    Schema(schema::Command),
    /// Measure publishing, subscribing, or both, against a server.
    Bench(bench::Bench),
    /// Ask a server whether it is serving; for containers and scripts.
    Healthcheck(healthcheck::Healthcheck),
    /// Print a completion script for a shell.
    Completions { shell: clap_complete::Shell },
}

#[derive(Debug, Args)]
struct Serve {
    #[command(flatten)]
    flags: Flags,
    /// Print the configuration in force, passwords left out, and exit.
    #[arg(long)]
    check: bool,
}

/// Which server a client command speaks to.
#[derive(Debug, Clone, Args)]
struct Server {
    /// Address of the server.
    #[arg(long, env = "TIDINGS_ADDRESS", default_value = "127.0.0.1:7070")]
    address: String,
}

/// How a command ends: a promise to scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    Done = 0,
    Failed = 1,
    /// The command line or the configuration is wrong (`EX_USAGE`).
    Usage = 64,
    /// The server or Redis cannot be reached (`EX_UNAVAILABLE`).
    Unavailable = 69,
}

/// What went wrong was the caller's: exit code 64.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct WrongUsage(String);

const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
const COMMANDS: [&str; 10] = [
    "serve",
    "pub",
    "sub",
    "read",
    "topic",
    "schema",
    "bench",
    "healthcheck",
    "completions",
    "help",
];

/// Runs what the process was called with.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(with_default_command(args)) {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => {
            eprint!("{}", redacted(&error.render().to_string()));
            return Exit::Usage.into();
        }
        // Help and version.
        Err(error) => {
            print!("{error}");
            return Exit::Done.into();
        }
    };
    let ended = match cli.command {
        Command::Serve(serve) => return run_server(&serve),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "tidings", &mut io::stdout());
            Ok(Exit::Done)
        }
        Command::Pub(command) => block_on(command.run()),
        Command::Sub(command) => block_on(command.run()),
        Command::Read(command) => block_on(command.run()),
        Command::Topic(command) => block_on(command.run()),
        Command::Schema(command) => block_on(command.run()),
        Command::Bench(command) => command.run(),
        Command::Healthcheck(command) => block_on(command.run()),
    };
    match ended {
        Ok(exit) => exit.into(),
        Err(error) if is_closed_pipe(&error) => Exit::Done.into(),
        Err(error) => {
            eprintln!("tidings: {error:#}");
            exit_of(&error).into()
        }
    }
}

fn run_server(serve: &Serve) -> ExitCode {
    let config = match Config::load(&serve.flags) {
        Ok(config) => config,
        Err(error) => return say(&error, Exit::Usage),
    };
    if serve.check {
        for warning in &config.warnings {
            eprintln!("tidings: warning: {warning}");
        }
        print!("{config}");
        return Exit::Done.into();
    }
    telemetry::init(&config.log, config.log_format);
    // Connections have threads of their own; what is left is one thread's work.
    let ended = runtime(Builder::new_current_thread()).and_then(|runtime| {
        let ended = runtime.block_on(server::run(config));
        // What still runs was told to end and had its time.
        runtime.shutdown_timeout(Duration::from_millis(500));
        Ok(ended?)
    });
    match ended {
        Ok(server::Ended::Drained) => Exit::Done.into(),
        Ok(server::Ended::Cut { signal }) => ExitCode::from(128 + signal),
        Err(error) => {
            eprintln!("tidings: {:#}", Redacted(&error));
            match error.downcast_ref::<server::ServeError>() {
                Some(error) if error.is_unavailable() => Exit::Unavailable.into(),
                Some(error) if error.is_configuration() => Exit::Usage.into(),
                Some(_) | None => Exit::Failed.into(),
            }
        }
    }
}

/// A library's error may quote the URL that it was given.
struct Redacted<'a>(&'a anyhow::Error);

impl std::fmt::Display for Redacted<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&redacted(&format!("{:#}", self.0)))
    }
}

fn say(error: &ConfigError, exit: Exit) -> ExitCode {
    eprintln!("tidings: {error}");
    exit.into()
}

/// `tidings`, `tidings --redis …`: the server is what most people start.
fn with_default_command(args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut args: Vec<OsString> = args.into_iter().collect();
    if args.is_empty() {
        args.push("tidings".into());
    }
    let first = args.get(1).and_then(|arg| arg.to_str()).unwrap_or_default();
    let ours = ["-h", "--help", "-V", "--version"].contains(&first) || COMMANDS.contains(&first);
    if !ours && (first.is_empty() || first.starts_with('-')) {
        args.insert(1, "serve".into());
    }
    args
}

fn runtime(mut builder: Builder) -> anyhow::Result<Runtime> {
    builder.enable_all().build().context("the runtime cannot start")
}

fn block_on(command: impl Future<Output = anyhow::Result<Exit>>) -> anyhow::Result<Exit> {
    let runtime = runtime(Builder::new_multi_thread())?;
    let ended = runtime.block_on(command);
    // Reading stdin blocks a thread that nothing can interrupt.
    runtime.shutdown_background();
    ended
}

fn exit_of(error: &anyhow::Error) -> Exit {
    if error.is::<WrongUsage>() {
        return Exit::Usage;
    }
    match error.downcast_ref::<CallError>() {
        Some(error) if error.is_unavailable() => Exit::Unavailable,
        Some(_) | None => Exit::Failed,
    }
}

/// Whoever read our output has gone: `tidings sub orders | head -1` is no failure.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let io = error.chain().find_map(|cause| cause.downcast_ref::<io::Error>());
    io.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// One line of output, whole and at once.
fn print_line(line: &str) -> io::Result<()> {
    use io::Write as _;
    let mut out = io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes())?;
    out.flush()
}

impl Server {
    async fn connect(&self) -> Result<Client, CallError> {
        Client::connect(&self.address, CONNECT_DEADLINE).await
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        let args = line.split_whitespace().map(OsString::from);
        Cli::try_parse_from(with_default_command(args))
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn serve_is_the_default_command() {
        for line in ["tidings", "tidings --listen 127.0.0.1:0", "tidings serve --insecure"] {
            let cli = parse(line).expect(line);
            assert!(matches!(cli.command, Command::Serve(_)), "{line}");
        }
        let Command::Serve(serve) = parse("tidings --insecure --check").expect("serve").command
        else {
            panic!("not serve");
        };
        assert_eq!((serve.flags.insecure, serve.check), (Some(true), true));
        assert!(parse("tidings publish").is_err());
    }

    #[test]
    fn the_list_of_commands_is_complete() {
        let mut command = Cli::command();
        command.build();
        let mut names: Vec<_> = command.get_subcommands().map(clap::Command::get_name).collect();
        names.sort();
        let mut listed = COMMANDS;
        listed.sort();
        assert_eq!(names, listed);
    }
}
