//! The load generator of `cargo xtask bench`: one thread (two for `catch-up`), sockets driven by hand, so that it takes little of
//! a machine that it shares with what it measures.
//!
//! It says one JSON object, and fails where it could not measure. Whether every event came, once and in
//! order, stands in the object as `sound`.

#![allow(clippy::print_stdout, reason = "it is what it is for")]

mod catch_up;
mod fan_out;
mod http2;
mod nats;
mod payload;
mod publish;
mod publisher;
mod replay;
mod report;
mod resp;
mod socket;
mod tally;
mod watch;
mod xrange;

use std::time::Duration;

use clap::Parser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use watch::Watched;

#[derive(Debug, Parser)]
enum Command {
    /// One publisher, many subscribers
    FanOut(fan_out::FanOut),
    /// Only a publisher
    Publish(publish::Publish),
    /// What is kept of a topic, read from its begin
    Replay(replay::Replay),
    /// Subscribers that are live, beside others that catch up
    CatchUp(catch_up::CatchUp),
    /// Only subscribers: what they take
    Idle {
        #[command(flatten)]
        subscribers: fan_out::Subscribers,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Debug, Clone, clap::Args)]
struct Common {
    #[arg(long, default_value = "bench")]
    topic: String,
    /// Of one event, encoded
    #[arg(long, default_value_t = 192)]
    event_bytes: usize,
    /// The data of each is a message of the type in tick.proto
    #[arg(long)]
    typed: bool,
    /// Before anything is measured
    #[arg(long, default_value_t = 1.0)]
    warm_up_seconds: f64,
    /// That are measured
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Report what this process uses: NAME=PID
    #[arg(long)]
    watch: Vec<Watched>,
}

impl Common {
    fn warm_up(&self) -> Duration {
        Duration::from_secs_f64(self.warm_up_seconds)
    }

    fn seconds(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }
}

/// Does what the command line says.
pub fn main() -> anyhow::Result<()> {
    let command = Command::parse();
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    let told = match &command {
        Command::FanOut(plan) => fan_out::run(plan)?,
        Command::Publish(plan) => publish::run(plan)?,
        Command::Replay(plan) => replay::run(plan)?,
        Command::CatchUp(plan) => catch_up::run(plan)?,
        Command::Idle { subscribers, common } => fan_out::idle(subscribers, common)?,
    };
    println!("{told}");
    Ok(())
}
