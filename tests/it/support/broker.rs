//! Brokers to test: the built program as a process of its own, or a service inside the test.

use std::{net::SocketAddr, process::ExitStatus, sync::Arc, time::Duration};

use tidings::{
    backend::redis::{Redis, RedisConfig, Rules},
    broker::BrokerOptions,
    catalog::Catalog,
    grpc::{self, Serving},
};
use tokio::task::JoinHandle;

use super::{
    holds_within,
    process::{PATIENCE, Process, Stream, tidings},
};

pub(crate) struct Broker {
    address: SocketAddr,
    kind: Kind,
}

enum Kind {
    Process(Process),
    Task(JoinHandle<()>),
}

/// How a trial gets its brokers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Make {
    /// The built program.
    Program,
    /// The same; its topics are durable and keep so many events.
    Durable(u64),
    /// The same; they keep everything and wait for a replica.
    Replicated,
    /// `support/naive.rs`, inside the test.
    Naive,
    /// The real one inside the test, which may leave out a rule.
    InProcess(Rules),
}

impl Make {
    /// What a topic keeps to heal outages.
    pub(crate) fn kept_events(self) -> u64 {
        match self {
            Make::Durable(max_events) => max_events,
            Make::Replicated => u64::MAX,
            Make::Program | Make::Naive | Make::InProcess(_) => tidings::limits::HISTORY_EVENTS,
        }
    }

    pub(crate) async fn start(self, redis_url: &str) -> Broker {
        match self {
            Make::Program => Broker::program(&["--redis", redis_url]).await,
            Make::Durable(max_events) => {
                Broker::with_rule(redis_url, &format!("max_events = {max_events}"), &[]).await
            }
            Make::Replicated => {
                let rule = "max_age = \"7d\"\nreplicas = 1";
                Broker::with_rule(redis_url, rule, &["--allow-volatile"]).await
            }
            Make::Naive => super::naive::start(redis_url).await,
            Make::InProcess(rules) => in_process(redis_url, rules).await,
        }
    }
}

async fn in_process(redis_url: &str, rules: Rules) -> Broker {
    let broker_id = uuid::Uuid::new_v4().simple().to_string();
    let config = RedisConfig {
        url: redis_url.to_owned(),
        ca: None,
        broker_id: broker_id.clone(),
        channel_prefix: String::new(),
        allow_volatile: true,
        rules,
    };
    let (redis, feed) = Redis::open(&config).await.expect("a usable redis");
    let catalog = Catalog::default();
    let options = BrokerOptions { broker_id, ..Default::default() };
    let redis = Arc::new(redis);
    let broker = tidings::broker::Broker::new(redis.clone(), feed, catalog, options);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let task = tokio::spawn(async move {
        let served =
            grpc::serve(broker, listener, Serving::default(), std::future::pending()).await;
        drop(redis);
        served.expect("serves until it is ended");
    });
    Broker::task(address, task)
}

impl Broker {
    /// The program, its topics durable and with these lines more.
    async fn with_rule(redis_url: &str, lines: &str, flags: &[&str]) -> Broker {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("tidings.toml");
        let rule = format!("[[topics]]\npattern = \">\"\nmode = \"durable\"\n{lines}\n");
        std::fs::write(&file, rule).expect("written");
        let file = file.to_str().expect("a path of text");
        Broker::program(&[&["--redis", redis_url, "--config", file], flags].concat()).await
    }

    /// Starts `tidings serve` on a free port, and waits until it says where it listens.
    pub(crate) async fn program(arguments: &[&str]) -> Broker {
        Broker::program_at("127.0.0.1:0", arguments).await
    }

    pub(crate) async fn program_at(listen: &str, arguments: &[&str]) -> Broker {
        let mut command = tidings(&[&["serve", "--listen", listen], arguments].concat());
        if let Some(filter) = std::env::var_os("TIDINGS_LOG") {
            command.env("TIDINGS_LOG", filter);
        }
        Broker::started(Process::start(command), arguments).await
    }

    /// The program with so few file descriptors.
    pub(crate) async fn program_with_files(files: u32, arguments: &[&str]) -> Broker {
        let limit = format!("ulimit -n {files} && exec \"$0\" \"$@\"");
        let mut shell = std::process::Command::new("bash");
        shell.args(["-c", &limit, env!("CARGO_BIN_EXE_tidings"), "serve"]);
        shell.args(["--listen", "127.0.0.1:0"]).args(arguments);
        Broker::started(Process::start(shell), arguments).await
    }

    async fn started(process: Process, arguments: &[&str]) -> Broker {
        // Other addresses on standard output are those it was given.
        let given = arguments.join(" ");
        let said = || {
            let lines = process.lines(Stream::Out);
            let mut addresses = lines.iter().flat_map(|line| addresses(line));
            addresses.find(|address| !given.contains(&address.to_string()))
        };
        if !holds_within(PATIENCE, || async { said().is_some() }).await {
            panic!("the broker did not say where it listens:\n{}", process.output());
        }
        Broker { address: said().unwrap(), kind: Kind::Process(process) }
    }

    /// A service that a test runs itself.
    pub(crate) fn task(address: SocketAddr, task: JoinHandle<()>) -> Broker {
        Broker { address, kind: Kind::Task(task) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn process(&self) -> &Process {
        match &self.kind {
            Kind::Process(process) => process,
            Kind::Task(_) => panic!("a broker inside the test has no process of its own"),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process().pid()
    }

    pub(crate) fn kill9(&mut self) {
        match &mut self.kind {
            Kind::Process(process) => process.kill9(),
            Kind::Task(task) => task.abort(),
        }
    }

    pub(crate) fn sigterm(&self) {
        self.process().signal("-TERM");
    }

    /// Waits for the end of the process.
    pub(crate) async fn ended(&mut self, bound: Duration) -> Option<ExitStatus> {
        match &mut self.kind {
            Kind::Process(process) => process.ended(bound).await,
            Kind::Task(_) => panic!("a broker inside the test has no exit status"),
        }
    }

    /// What it printed, each line with `out` or `err` before it.
    pub(crate) fn output(&self) -> String {
        match &self.kind {
            Kind::Process(process) => process.output(),
            Kind::Task(_) => String::new(),
        }
    }

    /// Lines that tell of a panic: a broker must survive everything without one.
    pub(crate) fn panics(&self) -> Vec<String> {
        self.output().lines().filter(|line| line.contains("panicked at")).map(Into::into).collect()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill9();
    }
}

/// The loopback addresses that a line names.
fn addresses(line: &str) -> impl Iterator<Item = SocketAddr> + '_ {
    line.match_indices("127.0.0.1:").filter_map(|(start, _)| {
        let rest = &line[start..];
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ':');
        rest[..end.unwrap_or(rest.len())].trim_end_matches(['.', ':']).parse().ok()
    })
}
