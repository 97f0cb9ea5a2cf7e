//! The running server: build the parts, join them, serve, drain.
//!
//! [`run`] returns when the server has ended: drained after the first SIGTERM or SIGINT, cut off
//! by the second. It never takes longer than the grace and [`DRAIN_SLACK`], whatever clients do.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
    task::JoinHandle,
    time,
};
use tracing::{info, warn};
use uuid::Uuid;

use crate::{
    backend::{
        Backend, Description, Durability, Feed, Mode, TopicSettings,
        memory::Memory,
        redis::{OpenError, Redis, RedisConfig, Rules},
    },
    broker::{Broker, BrokerOptions, Given, RegisterSchema, SchemaError},
    catalog::{Catalog, CatalogError, Rule},
    config::{Config, schemas::SchemaFiles, values::RedisPlace},
    grpc,
    schema::{compatibility::Violation, registry::RegisterError, sources::TypeSources},
    topic::TopicPattern,
};

/// How the server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Clients were told and had their time.
    Drained,
    /// A second signal came while it drained.
    Cut { signal: u8 },
}

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("cannot listen on {address}: {cause}")]
    Listen { address: SocketAddr, cause: io::Error },
    #[error("cannot wait for signals: {0}")]
    Signals(io::Error),
    #[error(transparent)]
    Redis(#[from] OpenError),
    #[error("the rule of {pattern} makes topics durable, and here they would be lost: {why}")]
    Volatile { pattern: TopicPattern, why: String },
    #[error(transparent)]
    Topics(#[from] CatalogError),
    #[error("{file}: {type_name} cannot be registered: {}", told(.cause))]
    Schema { file: String, type_name: String, cause: Box<SchemaError> },
    #[error("the gRPC server ended by itself: {cause}")]
    Edge { cause: String },
    #[error("the backend ended by itself: see the log for the bug, and start the server again")]
    Backend,
}

impl ServeError {
    /// Whether it may help to try again later.
    pub fn is_unavailable(&self) -> bool {
        match self {
            ServeError::Redis(OpenError::Unreachable { .. }) => true,
            ServeError::Schema { cause, .. } => matches!(**cause, SchemaError::Backend(_)),
            ServeError::Redis(
                OpenError::Address(_)
                | OpenError::Credentials { .. }
                | OpenError::SentinelCredentials { .. }
                | OpenError::UnknownService { .. }
                | OpenError::TooOld { .. }
                | OpenError::Unfit { .. },
            )
            | ServeError::Volatile { .. }
            | ServeError::Topics(_)
            | ServeError::Listen { .. }
            | ServeError::Signals(_)
            | ServeError::Edge { .. }
            | ServeError::Backend => false,
        }
    }

    /// Whether it will be so until somebody changes the configuration.
    pub fn is_configuration(&self) -> bool {
        match self {
            ServeError::Redis(
                OpenError::Address(_)
                | OpenError::Credentials { .. }
                | OpenError::SentinelCredentials { .. }
                | OpenError::UnknownService { .. },
            )
            | ServeError::Volatile { .. }
            | ServeError::Topics(_) => true,
            ServeError::Schema { cause, .. } => !matches!(**cause, SchemaError::Backend(_)),
            ServeError::Redis(
                OpenError::Unreachable { .. } | OpenError::TooOld { .. } | OpenError::Unfit { .. },
            )
            | ServeError::Listen { .. }
            | ServeError::Signals(_)
            | ServeError::Edge { .. }
            | ServeError::Backend => false,
        }
    }
}

/// At the start the types of events are waited for so long.
const SCHEMAS_WAIT: Duration = Duration::from_secs(10);

/// Time beyond the grace for clients that do not read, and for what the backend still stores.
const DRAIN_SLACK: Duration = Duration::from_secs(5);

/// Serves until a signal ends it.
pub async fn run(config: Config) -> Result<Ended, ServeError> {
    let mut signals = Signals::install()?;
    for warning in &config.warnings {
        warn!("{warning}");
    }
    let address = config.listen.0;
    let bound = TcpListener::bind(address).await;
    let listener = bound.map_err(|cause| ServeError::Listen { address, cause })?;
    let broker_id = Uuid::now_v7().simple().to_string();
    let (backend, feed) = tokio::select! {
        opened = open_backend(&config, &broker_id) => opened?,
        // Nobody is connected: there is nothing to drain.
        signal = signals.next() => return Ok(Ended::Cut { signal }),
    };
    let description = backend.describe();
    let durable = config.topics.iter().find(|rule| rule.mode == Some(Mode::Durable));
    if let (Some(rule), Some(why)) = (durable, &description.refuses_durable) {
        return Err(ServeError::Volatile { pattern: rule.pattern.clone(), why: why.clone() });
    }
    for warning in &description.warnings {
        warn!("{warning}");
    }
    for warning in unanswered(&config.topics, description.durability) {
        warn!("{warning}");
    }
    let catalog = {
        let defaults = TopicSettings::default();
        Catalog::new(config.topics.clone(), &config.channel_prefix, defaults)?
    };
    let options = BrokerOptions {
        broker_id,
        max_stream_age: Some(config.max_stream_age.0),
        warnings: config.warnings.clone(),
        ..Default::default()
    };
    let broker = Broker::new(backend.clone(), feed, catalog, options);
    tokio::select! {
        registered = register(&broker, &config.schemas) => registered?,
        signal = signals.next() => return Ok(Ended::Cut { signal }),
    }
    let mut edge = Edge::start(&config, listener, broker.clone())?;
    announce(&config, edge.address, &description);
    let signal = tokio::select! {
        // A server that ended is told as such, also when a signal came at the same time.
        biased;
        cause = edge.failed() => return Err(ServeError::Edge { cause }),
        () = broker.ended() => return Err(ServeError::Backend),
        signal = signals.next() => signal,
    };
    info!(signal, streams = broker.streams(), grace = %config.drain_grace, "draining");
    drop(broker);
    let drained = async {
        let time_left = config.drain_grace.0 + DRAIN_SLACK;
        if time::timeout(time_left, edge.drain()).await.is_err() {
            warn!("clients that do not read were cut off");
        }
        if time::timeout(DRAIN_SLACK, backend.close()).await.is_err() {
            warn!("the backend did not close in time");
        }
    };
    tokio::select! {
        // Drained in the same moment as the second signal is drained.
        biased;
        () = drained => {
            info!("drained");
            Ok(Ended::Drained)
        }
        signal = signals.next() => Ok(Ended::Cut { signal }),
    }
}

/// What the configuration names, beside what is registered already.
async fn register(broker: &Broker, files: &SchemaFiles) -> Result<(), ServeError> {
    if !broker.schemas_read(SCHEMAS_WAIT).await {
        warn!("the types of events that are registered could not be read yet: going on without");
    }
    for TypeSources { type_name, file, sources } in &files.types {
        let wanted = RegisterSchema {
            type_name: type_name.clone(),
            given: Given::Sources(sources.clone()),
            compatibility: None,
            validate_only: false,
            force: false,
        };
        let refused = |cause| {
            let (file, type_name) = (file.clone(), type_name.clone());
            ServeError::Schema { file, type_name, cause: Box::new(cause) }
        };
        broker.register_schema(wanted).await.map_err(refused)?;
    }
    Ok(())
}

/// With each break, where there are some.
fn told(cause: &SchemaError) -> String {
    let SchemaError::Register(RegisterError::Incompatible { verdict, .. }) = cause else {
        return cause.to_string();
    };
    let line = |one: &Violation| {
        format!("\n  {} at {} breaks version {}: {}", one.rule, one.path, one.version, one.message)
    };
    let lines: String = verdict.violations.iter().map(line).collect();
    format!("it would not keep what its versions promise:{lines}")
}

/// Rules that ask for more than the backend gives as it is now.
fn unanswered(rules: &[Rule], best: Durability) -> impl Iterator<Item = String> {
    rules.iter().filter_map(move |rule| {
        let pattern = &rule.pattern;
        if rule.replicas.is_some_and(|replicas| replicas > 0) && best < Durability::Replicated {
            Some(format!(
                "{pattern} asks for replicas, and none can be waited for now: until one follows redis, \
                 each publish takes a second or more, and its receipt says what was reached"
            ))
        } else if rule.fsync == Some(true) && best < Durability::Disk {
            Some(format!(
                "{pattern} asks for the disk, and redis cannot say when it has synced: set appendonly \
                 yes, and appendfsync always where redis is older than 7.2; receipts say what was \
                 reached"
            ))
        } else {
            None
        }
    })
}

async fn open_backend(
    config: &Config,
    broker_id: &str,
) -> Result<(Arc<dyn Backend>, Feed), ServeError> {
    let Some(settings) = &config.redis else {
        let (memory, feed) = Memory::open();
        return Ok((Arc::new(memory), feed));
    };
    let redis = RedisConfig {
        url: settings.url.expose().to_owned(),
        ca: settings.ca.clone(),
        broker_id: broker_id.to_owned(),
        channel_prefix: config.channel_prefix.clone(),
        allow_volatile: config.allow_volatile,
        rules: Rules::default(),
    };
    let (redis, feed) = Redis::open(&redis).await?;
    Ok((Arc::new(redis), feed))
}

/// The gRPC server on its port, with the broker behind it.
#[derive(Debug)]
struct Edge {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<Result<(), grpc::ServeError>>,
}

impl Edge {
    fn start(config: &Config, listener: TcpListener, broker: Broker) -> Result<Edge, ServeError> {
        let address = listener
            .local_addr()
            .map_err(|cause| ServeError::Listen { address: config.listen.0, cause })?;
        let (stop, stopped) = oneshot::channel();
        let serving = grpc::Serving {
            grace: config.drain_grace.0,
            web_origins: config.web_origins.clone(),
            compressions: config.subscribe_compression.clone(),
            threads: Some(config.threads.0),
        };
        let serving = tokio::spawn(grpc::serve(broker, listener, serving, async {
            // An error means that this was dropped: stopping is right then, too.
            let _ = stopped.await;
        }));
        Ok(Edge { address, stop: Some(stop), serving })
    }

    /// Returns only if the server ends although nobody told it to.
    async fn failed(&mut self) -> String {
        ended(&mut self.serving).await
    }

    /// Not serving, `GoAway` to every stream, then their end; returns when all are gone.
    async fn drain(&mut self) {
        self.stop.take();
        ended(&mut self.serving).await;
    }
}

async fn ended(serving: &mut JoinHandle<Result<(), grpc::ServeError>>) -> String {
    match serving.await {
        Ok(Ok(())) => "it was not told to".into(),
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    }
}

#[derive(Debug)]
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn install() -> Result<Signals, ServeError> {
        let listen = |kind| signal(kind).map_err(ServeError::Signals);
        Ok(Signals {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    /// The number of the next signal to end. Cancel safe.
    async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.terminate.recv() => 15,
            _ = self.interrupt.recv() => 2,
        }
    }
}

#[allow(clippy::print_stdout, reason = "the start lines are for whoever started the server")]
fn announce(config: &Config, address: SocketAddr, backend: &Description) {
    for line in start_lines(config, address, backend) {
        println!("{line}");
    }
}

/// What it is, where, what it will forget, and lines to paste. The first line is for scripts too.
fn start_lines(config: &Config, address: SocketAddr, backend: &Description) -> Vec<String> {
    let version = env!("CARGO_PKG_VERSION");
    let reachable = address.ip().is_loopback();
    let door = if reachable { "this machine only" } else { "every machine that reaches it" };
    let target = if address.ip().is_unspecified() {
        format!("127.0.0.1:{}", address.port())
    } else {
        address.to_string()
    };
    let mut lines = vec![
        format!("tidings {version} listening on {address}"),
        format!("  backend: {}", backend.summary),
        format!("  open to: {door}, without encryption and without passwords"),
        String::new(),
        "Try it from two other terminals:".into(),
        format!("  grpcurl -plaintext {target} list"),
        format!(
            "  grpcurl -plaintext -d '{{\"topics\":[\"orders\"]}}' {target} \
             tidings.v1.Broker/Subscribe"
        ),
        format!(
            "  grpcurl -plaintext -d '{{\"topic\":\"orders\",\"events\":[{{\"json\":{{\"id\":42}}}}]}}' \
             {target} tidings.v1.Broker/Publish"
        ),
    ];
    if let Some(redis) = &config.redis {
        let hello = format!("PUBLISH {}orders hello", config.channel_prefix);
        let (place, command) = match &redis.url.place {
            RedisPlace::Tcp { host, port } => (format!("-h {host} -p {port}"), hello),
            RedisPlace::Tls { host, port } => (format!("--tls -h {host} -p {port}"), hello),
            RedisPlace::Unix { path } => (format!("-s {}", path.display()), hello),
            RedisPlace::Sentinel { tls, sentinels, service, .. } => {
                let (host, port) = sentinels.first().expect("an address has a sentinel");
                let tls = if *tls { "--tls " } else { "" };
                let ask = format!("SENTINEL GET-MASTER-ADDR-BY-NAME {service}");
                (format!("{tls}-h {host} -p {port}"), ask)
            }
        };
        lines.push(format!("  redis-cli {place} {command}"));
    }
    lines.push(String::new());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Flags;

    fn lines(redis: Option<&str>) -> String {
        let flags = Flags { redis: redis.map(Into::into), ..Flags::default() };
        let config = Config::load(&flags).expect("consistent");
        let backend = Description {
            kind: "memory",
            summary: "memory: gone at the end".into(),
            durability: Durability::Memory,
            refuses_durable: None,
            warnings: Vec::new(),
        };
        start_lines(&config, "127.0.0.1:7171".parse().expect("an address"), &backend).join("\n")
    }

    #[test]
    fn the_start_says_where_what_it_forgets_and_what_to_try() {
        let text = lines(None);
        for part in ["listening on 127.0.0.1:7171", "gone at the end", "this machine only"] {
            assert!(text.contains(part), "{part:?} is missing:\n{text}");
        }
        let publish = r#"-d '{"topic":"orders","events":[{"json":{"id":42}}]}' 127.0.0.1:7171"#;
        assert!(text.contains(publish), "{text}");
        assert!(!text.contains("redis-cli"), "{text}");
    }

    #[test]
    fn on_redis_there_is_a_line_for_redis_cli_without_the_password() {
        let text = lines(Some("redis://ann:canary@127.0.0.1:7000/1"));
        assert!(text.contains("redis-cli -h 127.0.0.1 -p 7000 PUBLISH orders hello"), "{text}");
        assert!(!text.contains("canary"), "{text}");
    }
}
