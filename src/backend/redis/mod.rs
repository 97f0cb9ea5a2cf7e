//! Events in Redis: live topics on Pub/Sub, with a short history in a stream.
//!
//! The layout is in `keys.rs`, what the scripts promise in their first lines. `session.rs` keeps
//! the connection for commands and what is known of each topic; `publisher.rs` stores batches over
//! it; `listener.rs` keeps the connection that listens and turns what it hears into the feed; `trimmer.rs`
//! drops what durable topics need not keep; `persistence.rs` knows what Redis makes of what it is
//! given, and `waiters.rs` keeps connections for publishes that wait for more than that.

mod address;
mod batch;
mod bridge;
mod connection;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod inbox;
mod keys;
mod listener;
mod persistence;
mod publisher;
mod ranges;
mod reach;
mod registrations;
mod resp;
mod scripts;
mod sentinel;
mod session;
mod sync;
mod topics;
mod trimmer;
mod waiters;

use std::{panic::AssertUnwindSafe, path::PathBuf, sync::Arc, time::Duration};

use futures_util::FutureExt;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use tokio_util::task::TaskTracker;
use tracing::error;

pub use self::address::{InvalidAddress, SentinelUrl, percent_decoded};
use self::{
    address::Address,
    connection::{CallError, Link, info_field},
    listener::{Attach, Listener, REQUESTS_MAX, Request},
    publisher::Publisher,
    reach::Reach,
    scripts::{Checks, Opening, Publishing},
    sentinel::{Hopeless, Sentinels, but},
    session::{Session, command},
};
use super::{
    Append, Appended, Attachment, Backend, BackendError, Description, Feed, Keeping, Mode, Page,
    Repeated, TopicSettings, async_trait, feed, registrations::Registrations, topics::Topics,
};
use crate::{
    event::{Defaults, admit},
    limits::BACKEND_DEADLINE,
    position::{Position, Start},
    proto,
    topic::Topic,
};

/// How to reach Redis, and how to be there.
#[derive(Debug, Clone)]
pub struct RedisConfig {
    /// `redis://[user:password@]host[:port][/database]`, `rediss://…` (TLS), `unix:///path?db=n`,
    /// or a [`SentinelUrl`].
    pub url: String,
    /// A certificate authority in PEM form for `rediss://`; default: the system's.
    pub ca: Option<PathBuf>,
    /// Names this broker in its own channel and in batches.
    pub broker_id: String,
    /// Stands before a topic's name in the name of its bridge's channel.
    pub channel_prefix: String,
    /// Make topics durable also where Redis may evict or forget them.
    pub allow_volatile: bool,
    pub rules: Rules,
}

/// The rules of the protocol that keep a loss from being silent. A broker keeps them all; a test
/// switches one off to show that the history checker convicts what then happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Another epoch is another history.
    pub compare_epochs: bool,
    /// Only an answer to our own question is a sign of life, not any byte that comes.
    pub validate_answers: bool,
    /// Subscribe, then read what was before.
    pub subscribe_first: bool,
    /// A position that is given twice proves a rollback; topics that went quiet are compared.
    pub check_positions: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Address(#[from] InvalidAddress),
    #[error("cannot use redis at {address}: {cause}")]
    Unreachable { address: String, cause: String },
    #[error(
        "redis at {address} refuses the user or the password: {cause}: set those that it knows in \
         the address, redis://user:password@host"
    )]
    Credentials { address: String, cause: String },
    #[error(
        "the sentinel at {sentinel} refuses the user or the password: {cause}: set those that it \
         knows at the end of the address, ?sentinel_username=…&sentinel_password=…"
    )]
    SentinelCredentials { sentinel: String, cause: String },
    #[error("cannot use redis at {address}: they do not know the service{}", but(.known))]
    UnknownService { address: String, known: Vec<String> },
    #[error("redis at {address} is version {version}: Tidings needs 7.0 or newer, or Valkey")]
    TooOld { address: String, version: String },
    #[error("redis at {address} does not let Tidings work: {step}: {cause}")]
    Unfit { address: String, step: &'static str, cause: String },
}

#[derive(Debug)]
pub struct Redis {
    session: Arc<Session>,
    publisher: Arc<Publisher>,
    listener: mpsc::Sender<Request>,
    /// As one line for the start.
    summary: String,
    /// Of the way to it.
    warnings: Vec<String>,
    tasks: TaskTracker,
}

impl Redis {
    /// Checks that the address is one and that the certificate authorities are some, without
    /// connecting.
    pub fn check_address(url: &str, ca: Option<&PathBuf>) -> Result<(), InvalidAddress> {
        Address::check(url, ca)
    }

    /// Connects, tries on a topic of its own that this Redis lets a broker do all that it has to,
    /// and begins to listen.
    pub async fn open(config: &RedisConfig) -> Result<(Redis, Feed), OpenError> {
        let address = Address::parse(&config.url, config.ca.as_ref())?;
        let shown = address.shown();
        let link =
            Link::connect(&address, 0, |_| ()).await.map_err(|error| unusable(shown, &error))?;
        let (summary, warnings) = examine(&link, address.sentinels()).await?;
        try_scripts(&link, &config.broker_id).await.map_err(|(step, error)| OpenError::Unfit {
            address: link.node.clone(),
            step,
            cause: error.to_string(),
        })?;

        let session = Arc::new(Session::new(
            address,
            config.broker_id.clone(),
            config.channel_prefix.clone(),
            config.rules,
            config.allow_volatile,
        ));
        let watching = session.persistence.look(&link).await;
        link.close();
        watching.map_err(|error| OpenError::Unfit {
            address: link.node.clone(),
            step: "read how it keeps what it is given",
            cause: error.to_string(),
        })?;
        let (news, feed) = feed::channel();
        let (listener, requests) = mpsc::channel(REQUESTS_MAX);
        let tasks = TaskTracker::new();
        let mut commands = session.watch_commands();
        tasks.spawn(session.clone().keep_commands());
        tasks.spawn(session.clone().keep_topics());
        tasks.spawn(session.clone().keep_trimmed());
        tasks.spawn(session.clone().keep_registered());
        // Up before anyone asks, where it can be.
        let connected = commands.wait_for(|link| link.is_some());
        let _ = timeout(2 * BACKEND_DEADLINE, connected).await;
        if let Some(sentinels) = session.address.sentinels() {
            tasks.spawn(sentinels.clone().watch(session.clone()));
        }
        let reach = Reach::new();
        tasks.spawn(reach.clone().watch(session.clone(), news.clone()));
        let listening = Listener::new(session.clone(), news, requests, reach).run();
        tasks.spawn(or_close(session.clone(), listening));
        tasks.close();
        let publisher = Publisher::new(session.clone(), listener.clone());
        Ok((Redis { session, publisher, listener, summary, warnings, tasks }, feed))
    }

    /// Hands a request to the listener and waits for its answer.
    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T, BackendError>>) -> Request,
    ) -> Result<T, BackendError> {
        let (answer, answered) = oneshot::channel();
        let asking = async {
            self.listener.send(request(answer)).await.ok()?;
            answered.await.ok()
        };
        match timeout(5 * BACKEND_DEADLINE, asking).await {
            Ok(Some(answer)) => answer,
            // The connection ended while it was asked.
            Ok(None) => Err(self.session.unavailable()),
            Err(_) => Err(BackendError::Timeout { after: 5 * BACKEND_DEADLINE }),
        }
    }
}

/// A panic must not leave a feed on which nothing comes: it ends, and whoever takes it knows.
async fn or_close(session: Arc<Session>, listening: impl Future<Output = ()>) {
    if AssertUnwindSafe(listening).catch_unwind().await.is_err() {
        error!("BUG: the listener panicked: nothing will come any more");
        session.closing.cancel();
    }
}

#[async_trait]
impl Backend for Redis {
    fn describe(&self) -> Description {
        let now = self.session.persistence.now();
        let mut warnings = self.warnings.clone();
        warnings.extend(self.session.persistence.warnings());
        Description {
            kind: "redis",
            summary: self.summary.clone(),
            durability: now.best(),
            refuses_durable: self.session.persistence.refuses_durable(),
            warnings,
        }
    }

    async fn append(
        &self,
        topic: &Topic,
        settings: &Arc<TopicSettings>,
        append: Append,
    ) -> Result<Appended, BackendError> {
        assert!(!append.events.is_empty(), "{topic}: nothing to append");
        self.publisher.append(topic, settings, append).await
    }

    async fn attach(
        &self,
        topic: &Topic,
        settings: &Arc<TopicSettings>,
    ) -> Result<Attachment, BackendError> {
        let (topic, settings) = (topic.clone(), settings.clone());
        self.ask(|answer| Request::Attach(Attach { topic, settings, answer })).await
    }

    async fn check(&self, topic: &Topic) -> Result<(), BackendError> {
        let topic = topic.clone();
        self.ask(|answer| Request::Check { topic, answer }).await
    }

    async fn read(&self, topic: &Topic, after: Position) -> Result<Page, BackendError> {
        let read = self.session.commands()?.read(topic, after).await;
        match read {
            // To be opened is what heals a topic.
            Err(CallError::Damaged(_)) => self.check(topic).await?,
            read => return Ok(read?),
        }
        Ok(self.session.commands()?.read(topic, after).await?)
    }

    async fn seek(&self, topic: &Topic, start: Start) -> Result<Position, BackendError> {
        let found = self.session.commands()?.seek(topic, start).await;
        match found {
            Err(CallError::Damaged(_)) => self.check(topic).await?,
            found => return Ok(found?),
        }
        Ok(self.session.commands()?.seek(topic, start).await?)
    }

    async fn watch_topics(&self) -> Result<Vec<Topic>, BackendError> {
        self.ask(|answer| Request::WatchTopics { answer }).await
    }

    fn topics(&self) -> &dyn Topics {
        self
    }

    fn registrations(&self) -> &dyn Registrations {
        self
    }

    async fn close(&self) {
        self.session.closing.cancel();
        self.tasks.wait().await;
    }
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            compare_epochs: true,
            validate_answers: true,
            subscribe_first: true,
            check_positions: true,
        }
    }
}

/// Why there is no first connection.
fn unusable(address: String, error: &CallError) -> OpenError {
    let cause = error.to_string();
    if error.is_of_credentials() {
        return OpenError::Credentials { address, cause };
    }
    let hopeless = if let CallError::NoPrimary(why) = error { why.hopeless() } else { None };
    match hopeless {
        None => OpenError::Unreachable { address, cause },
        Some(Hopeless::Service { known }) => OpenError::UnknownService { address, known },
        Some(Hopeless::SentinelCredentials { sentinel, cause }) => {
            OpenError::SentinelCredentials { sentinel, cause }
        }
        Some(Hopeless::Credentials { node, cause }) => {
            OpenError::Credentials { address: node, cause }
        }
    }
}

/// What this Redis is, in a line for an operator, and what to know of the way to it.
async fn examine(
    link: &Link,
    sentinels: Option<&Arc<Sentinels>>,
) -> Result<(String, Vec<String>), OpenError> {
    let address = &link.node;
    let unfit = |step| {
        move |error: CallError| OpenError::Unfit {
            address: address.clone(),
            step,
            cause: error.to_string(),
        }
    };
    let info: String = link.call(&command(&["INFO"])).await.map_err(unfit("INFO"))?;
    let field = |name| info_field(&info, name).unwrap_or_default();
    let version = field("redis_version");
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_some_and(|major| major < 7) {
        let (address, version) = (address.clone(), version.to_owned());
        return Err(OpenError::TooOld { address, version });
    }
    let mut warnings = Vec::new();
    // Told only where a number of them is asked for.
    let waits_for_replicas = !field("min_slaves_good_slaves").is_empty();
    let place = match sentinels {
        None => format!(" at {address}"),
        Some(sentinels) => {
            let service = format!("{} by {}", sentinels.service(), sentinels.counted());
            if !waits_for_replicas {
                warnings.push(format!(
                    "{service}: min-replicas-to-write is 0, so a primary that is cut off goes on to \
                     take what a failover loses; subscribers are told of the gap"
                ));
            }
            if sentinels.count() == 1 {
                warnings.push(format!(
                    "{service}: while that one is away, nobody says where the primary is; name all \
                     of them"
                ));
            }
            format!(", {service}")
        }
    };
    let name = if field("server_name") == "valkey" { "valkey" } else { "redis" };
    let summary = format!(
        "{name} {version}{place}; live topics keep their last events for outages, and are \
         forgotten after an idle hour"
    );
    Ok((summary, warnings))
}

/// Runs the real scripts on a topic of the broker's own, so that a missing permission or command
/// shows now and not half way through a publish.
async fn try_scripts(link: &Link, broker_id: &str) -> Result<(), (&'static str, CallError)> {
    for mode in [Mode::Live, Mode::Durable] {
        try_scripts_of(link, broker_id, Keeping::of(mode)).await?;
    }
    Ok(())
}

async fn try_scripts_of(
    link: &Link,
    broker_id: &str,
    keeping: Keeping,
) -> Result<(), (&'static str, CallError)> {
    let name = format!("_tidings.probe.{broker_id}");
    let topic: Topic = name.parse().expect("a broker's id is a token");
    let defaults =
        Defaults { source: "/tidings", event_type: None, now: std::time::SystemTime::now() };
    let mut event = admit(proto::Event::default(), &defaults).expect("an empty event is admitted");
    event.known_by("/tidings", "probe");
    let by = Opening {
        create: true,
        floor: 0,
        distrusted: None,
        claim: None,
        keeping,
        idle_ms: 60_000,
        deployment: "",
        renamed: "",
        replid: "",
    };
    let opened = link.open(&topic, &by).await.map_err(|error| ("open a topic", error))?;
    let last = opened.last.expect("created");
    let events = [&event, &event].into_iter();
    let body = batch::body(broker_id, "", &topic, &[], batch::Echoes::Beside, events);
    let mut publishing = Publishing {
        epoch: last.epoch,
        version: opened.version,
        keeping,
        count: 2,
        body: &body,
        bridge_channel: "",
        bridge_messages: &[],
        checks: None,
    };
    let published = link.publish(&topic, &publishing).await.map_err(|error| ("publish", error))?;
    let unexpected = |what: &str| CallError::Unexpected(what.to_owned());
    if published.map(|published| published.first) != Some(1) {
        return Err(("publish", unexpected("the first sequence of a new topic is not 1")));
    }
    // One event twice: it is stored once.
    publishing.checks = Some(Checks {
        window: Duration::from_secs(1),
        expected_last: Some(Position::new(last.epoch, 2)),
        keys: vec![event.key(); 2],
    });
    let published = link.publish(&topic, &publishing).await.map_err(|error| ("publish", error))?;
    let place = Position::new(last.epoch, 3);
    let repeated = vec![Repeated { index: 1, position: place }];
    if published.map(|published| (published.first, published.repeated)) != Some((3, repeated)) {
        return Err(("publish", unexpected("an event that is known is stored again")));
    }
    let page = link.read(&topic, last).await.map_err(|error| ("read a topic", error))?;
    if page.last != Some(place) {
        return Err(("read a topic", unexpected("it does not hold what was just published")));
    }
    let range =
        link.range(&topic, "-", "+").await.map_err(|error| ("read a topic in one go", error))?;
    if range.is_none_or(|range| range.last != page.last) {
        return Err(("read a topic in one go", unexpected("it is not where it was")));
    }
    link.seek(&topic, Start::Earliest).await.map_err(|error| ("seek in a topic", error))?;
    link.refresh(&topic, 60_000).await.map_err(|error| ("refresh a topic", error))?;
    link.trim(&topic).await.map_err(|error| ("trim a topic", error))?;
    let configured = link.configure(&topic, opened.version, Keeping::of(Mode::Durable)).await;
    configured.map_err(|error| ("configure a topic", error))?;
    link.state(&topic).await.map_err(|error| ("look at a topic", error))?;
    link.delete(&topic).await.map_err(|error| ("delete a topic", error))?;
    let settings = |error| ("write settings of topics", error);
    let probe = keys::hash(&topic);
    link.say(&probe, 0, &topic, Some(b"probe")).await.map_err(settings)?;
    link.delete(&topic).await.map_err(settings)?;
    let index = |error| ("write the index of topics", error);
    link.enlist(&topic, Some(Duration::ZERO)).await.map_err(index)?;
    link.forget_topics().await.map_err(index)?;
    link.durable_topics(0, 1).await.map_err(index)?;
    let _: u64 =
        link.call(&command(&["ZREM", keys::INDEX, topic.as_str()])).await.map_err(index)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_listener_that_panics_ends_the_feed() {
        let address = Address::parse("redis://127.0.0.1:1", None).expect("an address");
        let session = Session::new(address, "a".into(), String::new(), Rules::default(), false);
        let session = Arc::new(session);
        or_close(session.clone(), async { panic!("planted") }).await;
        assert!(session.closing.is_cancelled());
    }
}
