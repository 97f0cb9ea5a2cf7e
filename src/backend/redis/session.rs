//! What this broker shares among its connections to Redis, and the life of the one for commands.
//!
//! There are two connections: one for commands (here), one for listening (`listener.rs`). Each is
//! made, watched and given up on its own; both are given up when the Redis behind them is found to
//! be another one than it was, and with them what was known through them.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{
    Rules,
    address::Address,
    connection::{CallError, Link, info_field},
    keys,
    persistence::{READ_EVERY, Watched},
    registrations::Following,
};
use crate::{
    backend::{BackendError, Keeping, topics::Configured},
    limits::{BACKEND_DEADLINE, TOPIC_IDLE},
    position::Position,
    topic::Topic,
};

/// How often each connection has to prove that it lives.
pub(super) const LIFE_SIGN: Duration = Duration::from_millis(750);
const RECONNECT_MIN: Duration = Duration::from_millis(50);
const RECONNECT_MAX: Duration = Duration::from_secs(1);
/// Topics are kept from being forgotten in rounds of so many, a quarter of their time ahead.
const REFRESH_EVERY: Duration = Duration::from_secs(1);
const REFRESH_MAX: usize = 1000;
const REFRESH_CONCURRENT: usize = 16;
/// Lives of a topic that are remembered after it has gone on to the next.
const LIVES_LEFT_MAX: usize = 16;

#[derive(Debug)]
pub(super) struct Session {
    pub(super) address: Address,
    pub(super) broker_id: String,
    /// What stands before a topic's name in the name of its bridge's channel.
    pub(super) channel_prefix: String,
    pub(super) rules: Rules,
    pub(super) persistence: Watched,
    /// Ends everything.
    pub(super) closing: CancellationToken,
    commands: watch::Sender<Option<Arc<Link>>>,
    listening: Mutex<Option<Arc<Link>>>,
    deployment: Mutex<Arc<str>>,
    /// What operators said of topics; none until it was read.
    pub(super) configured: watch::Sender<Option<Arc<Configured>>>,
    pub(super) following: Following,
    renamed: Mutex<Option<Renamed>>,
    /// Asks for a look at Redis before its time.
    look: Notify,
    looks: watch::Sender<u64>,
    last_error: Mutex<BackendError>,
    generations: AtomicU64,
    /// The latest time that we sent ourselves through our own channel.
    probed_us: AtomicU64,
    topics: Mutex<HashMap<Topic, Arc<Mutex<Known>>>>,
}

/// What this broker was told of a topic. Shared by the publisher and the listener.
#[derive(Debug)]
pub(super) struct Known {
    /// The highest epoch that Redis named.
    pub(super) floor: u64,
    /// The furthest position that Redis told, in the newest epoch that it told one in.
    pub(super) claim: Option<Position>,
    /// An epoch in which a rollback was proven: the next open begins another.
    pub(super) distrusted: Option<u64>,
    /// What the feed has told, where the topic is attached.
    pub(super) told: Option<Position>,
    /// The last lives from which the feed has gone on to another one.
    left: VecDeque<u64>,
    pub(super) opened: Option<OpenTopic>,
    /// The last position that a publish was answered with, over which connection.
    pub(super) acked: Option<(u64, Position)>,
    /// How this broker said that it is kept, where it has, and by which version of its settings.
    pub(super) configured: Option<(u64, Keeping)>,
    pub(super) used: Instant,
    /// After how long without use Redis forgets the topic.
    pub(super) idle: Duration,
    pub(super) refreshed: Instant,
}

/// A topic as it was opened for publishing over one connection.
#[derive(Debug, Clone)]
pub(super) struct OpenTopic {
    pub(super) generation: u64,
    pub(super) epoch: u64,
    pub(super) version: u64,
    pub(super) keeping: Keeping,
}

/// The same Redis under another replication id.
#[derive(Debug, Clone)]
struct Renamed {
    before: String,
    now: String,
}

impl Session {
    pub(super) fn new(
        address: Address,
        broker_id: String,
        channel_prefix: String,
        rules: Rules,
        allow_volatile: bool,
    ) -> Session {
        Session {
            address,
            broker_id,
            channel_prefix,
            rules,
            persistence: Watched::new(allow_volatile),
            closing: CancellationToken::new(),
            commands: watch::Sender::new(None),
            listening: Mutex::new(None),
            deployment: Mutex::new("".into()),
            configured: watch::Sender::default(),
            following: Following::default(),
            renamed: Mutex::new(None),
            look: Notify::new(),
            looks: watch::Sender::new(0),
            last_error: Mutex::new(BackendError::Unavailable { cause: "not connected yet".into() }),
            generations: AtomicU64::new(1),
            probed_us: AtomicU64::new(0),
            topics: Mutex::new(HashMap::new()),
        }
    }

    /// The connection for commands, if there is one.
    pub(super) fn commands(&self) -> Result<Arc<Link>, BackendError> {
        match self.commands.borrow().as_ref() {
            Some(link) if !link.is_closed() => Ok(link.clone()),
            Some(_) | None => Err(self.unavailable()),
        }
    }

    /// Whether both connections are there.
    pub(super) fn is_connected(&self) -> bool {
        let listening = self.listening.lock().as_ref().is_some_and(|link| !link.is_closed());
        listening && self.commands().is_ok()
    }

    pub(super) fn watch_commands(&self) -> watch::Receiver<Option<Arc<Link>>> {
        self.commands.subscribe()
    }

    pub(super) fn unavailable(&self) -> BackendError {
        self.last_error.lock().clone()
    }

    pub(super) fn next_generation(&self) -> u64 {
        self.generations.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn set_listening(&self, link: Option<Arc<Link>>) {
        *self.listening.lock() = link;
    }

    /// Gives up both connections, and with them everything known through them.
    pub(super) fn forget(&self, why: &str) {
        warn!(why, "giving up the connections to redis");
        if let Some(link) = self.commands.borrow().as_ref() {
            link.close();
        }
        if let Some(link) = self.listening.lock().as_ref() {
            link.close();
        }
    }

    /// Gives up connections that lead elsewhere than to this node, which the sentinels made the
    /// primary after those were made.
    pub(super) fn leave_for(&self, node: &str, config_epoch: u64) {
        let elsewhere = |link: &Link| {
            !link.is_closed() && link.node != node && link.config_epoch < config_epoch
        };
        let commands = self.commands.borrow().as_deref().is_some_and(elsewhere);
        let listening = self.listening.lock().as_deref().is_some_and(elsewhere);
        if commands || listening {
            info!(primary = node, "a sentinel names another primary");
            self.forget("redis has another primary");
        }
    }

    /// Whether we may have said this time ourselves: anybody can speak on our channel.
    pub(super) fn has_probed(&self, time_us: u64) -> bool {
        time_us <= self.probed_us.load(Ordering::Relaxed)
    }

    /// Channels that belong to no topic.
    pub(super) fn own_channels(&self) -> Vec<String> {
        let mut channels = vec![keys::INDEX_CHANNEL.into(), keys::probe_channel(&self.broker_id)];
        channels.extend(keys::SHARED_CHANNELS.map(str::to_owned));
        channels
    }

    /// A change was announced of what all brokers have, by whomever.
    pub(super) fn hear(&self, channel: &str, payload: &[u8]) {
        match channel {
            keys::SCHEMAS_CHANNEL => self.following.look_soon(),
            _ => self.hear_of_settings(payload),
        }
    }

    /// This deployment's id, as far as this broker knows.
    pub(super) fn deployment(&self) -> Arc<str> {
        self.deployment.lock().clone()
    }

    pub(super) fn known(&self, topic: &Topic) -> Arc<Mutex<Known>> {
        self.topics.lock().entry(topic.clone()).or_default().clone()
    }

    /// Keeps topics that are followed or published here from being forgotten, until the end; and
    /// forgets here what nobody used for as long as Redis keeps it.
    pub(super) async fn keep_topics(self: Arc<Session>) {
        while !self.closing.is_cancelled() {
            sleep(REFRESH_EVERY).await;
            let due = self.due_for_refresh();
            let Ok(link) = self.commands() else { continue };
            let refresh = |(topic, known, idle)| self.refresh(&link, topic, known, idle);
            let mut refreshed =
                stream::iter(due.into_iter().map(refresh)).buffer_unordered(REFRESH_CONCURRENT);
            while let Some(result) = refreshed.next().await {
                match result {
                    Ok(()) => (),
                    Err(error) if error.is_of_one_topic() => debug!(%error, "cannot keep a topic"),
                    Err(error) => {
                        debug!(%error, "could not keep the topics");
                        break;
                    }
                }
            }
        }
    }

    fn due_for_refresh(&self) -> Vec<(Topic, Arc<Mutex<Known>>, Duration)> {
        let mut due = Vec::new();
        self.topics.lock().retain(|topic, shared| {
            let known = shared.lock();
            let in_use = known.told.is_some() || known.used.elapsed() < known.idle;
            if in_use && known.refreshed.elapsed() >= known.idle / 4 && due.len() < REFRESH_MAX {
                due.push((topic.clone(), shared.clone(), known.idle));
            }
            // Whoever holds it is about to use it.
            in_use || Arc::strong_count(shared) > 1
        });
        due
    }

    async fn refresh(
        &self,
        link: &Link,
        topic: Topic,
        known: Arc<Mutex<Known>>,
        idle: Duration,
    ) -> Result<(), CallError> {
        let kept = self.refresh_keys(link, &topic, idle).await;
        // A topic that cannot be kept has its turn like the others.
        if kept.as_ref().err().is_none_or(CallError::is_of_one_topic) {
            known.lock().refreshed = Instant::now();
        }
        kept
    }

    async fn refresh_keys(
        &self,
        link: &Link,
        topic: &Topic,
        idle: Duration,
    ) -> Result<(), CallError> {
        if link.refresh(topic, idle.as_millis() as u64).await? {
            link.enlist(topic, Some(idle)).await?;
        }
        Ok(())
    }

    /// The id under which the Redis with the id `now` was known before, if nothing was lost then.
    pub(super) fn renamed_to(&self, now: &str) -> String {
        match self.renamed.lock().as_ref() {
            Some(renamed) if renamed.now == now => renamed.before.clone(),
            Some(_) | None => String::new(),
        }
    }

    /// Keeps the connection for commands, until the end.
    pub(super) async fn keep_commands(self: Arc<Session>) {
        let mut backoff = Backoff::default();
        while !self.closing.is_cancelled() {
            match self.connect_commands().await {
                Ok(link) => {
                    info!(redis = %link.node, "connected for commands");
                    backoff.reset();
                    let link = Arc::new(link);
                    self.commands.send_replace(Some(link.clone()));
                    tokio::select! {
                        error = self.watch_over(&link) => self.note(&error),
                        () = link.closed() => self.note(&CallError::Lost("connection lost".into())),
                        () = self.closing.cancelled() => (),
                    }
                    link.close();
                    self.commands.send_replace(None);
                }
                Err(error) => self.note(&error),
            }
            self.rest(&mut backoff).await;
        }
    }

    /// Waits before the next attempt to connect; not where sentinels have told of another primary
    /// since the last one.
    pub(super) async fn rest(&self, backoff: &mut Backoff) {
        tokio::select! {
            () = self.closing.cancelled() => (),
            () = sleep(backoff.next()) => (),
            () = self.address.moved(backoff.config_epoch) => backoff.reset(),
        }
        backoff.config_epoch = self.address.config_epoch();
    }

    pub(super) fn note(&self, error: &CallError) {
        let cause = error.to_string();
        let now = match error.is_of_a_failover() {
            true => BackendError::Failover { cause },
            false => BackendError::Unavailable { cause },
        };
        let mut last = self.last_error.lock();
        if *last != now {
            warn!(redis = %self.address.shown(), %error, "redis connection");
            *last = now;
        }
    }

    async fn connect_commands(&self) -> Result<Link, CallError> {
        let link = Link::connect(&self.address, self.next_generation(), |_| ()).await?;
        let known = self.deployment();
        let proposed = match known.is_empty() {
            true => uuid::Uuid::new_v4().simple().to_string(),
            false => known.to_string(),
        };
        let set = ["HSETNX", keys::DEPLOYMENT, "id", &proposed];
        let _: u8 = link.call_on(keys::DEPLOYMENT, &command(&set)).await?;
        let id = deployment_id(&link).await?.unwrap_or_default();
        if id.is_empty() || id.len() > 64 || !id.bytes().all(|b| b.is_ascii_alphanumeric()) {
            let how = "has a field \"id\" that is none of ours";
            return Err(CallError::damaged(keys::DEPLOYMENT, how));
        }
        if id != known.as_ref() {
            self.forget_configured();
        }
        *self.deployment.lock() = id.into();
        // Before anybody can open a topic over it.
        self.read_configured(&link).await?;
        self.persistence.look(&link).await?;
        Ok(link)
    }

    /// Asks Redis again and again who it is; returns when the answer ends the connection.
    async fn watch_over(&self, link: &Link) -> CallError {
        let mut before = None;
        let mut read = Instant::now();
        loop {
            if let Err(error) = self.poll(link, &mut before).await {
                return error;
            }
            if read.elapsed() >= READ_EVERY {
                read = Instant::now();
                if let Err(error) = self.persistence.look(link).await {
                    return error;
                }
            }
            self.looks.send_modify(|looks| *looks += 1);
            // In no order: whichever comes first.
            tokio::select! {
                () = sleep(LIFE_SIGN) => (),
                () = self.look.notified() => (),
            }
        }
    }

    /// Asks Redis soon who it is and what operators said, without waiting for it.
    pub(super) fn look_soon(&self) {
        self.look.notify_one();
    }

    /// Waits until Redis has been asked who it is, or the connection is given up.
    pub(super) async fn look_again(&self, link: &Link) {
        let mut looks = self.looks.subscribe();
        self.look.notify_one();
        let looked = async {
            tokio::select! {
                _ = looks.changed() => (),
                () = link.closed() => (),
            }
        };
        let _ = timeout(BACKEND_DEADLINE, looked).await;
    }

    async fn poll(&self, link: &Link, before: &mut Option<Identity>) -> Result<(), CallError> {
        let now = Identity::of(link).await?;
        if now.replid != link.replid() {
            match before {
                Some(before) if before.is_the_same_redis_as(&now) => self.rename(link, &now),
                Some(_) | None => self.forget("redis has another replication id"),
            }
        }
        *before = Some(now);
        let id = deployment_id(link).await?;
        if id.as_deref().is_some_and(|id| id != &*self.deployment()) {
            self.forget("redis belongs to another deployment");
            return Ok(());
        }
        // At once: the time goes out no later for it.
        let (read, told) = tokio::join!(self.read_configured(link), self.tell_time(link));
        match read {
            // What was known stays: topics do not suffer from a key that is not ours.
            Err(error) if error.is_of_one_topic() => self.note(&error),
            read => drop(read?),
        }
        told
    }

    /// To ourselves, through our own channel.
    async fn tell_time(&self, link: &Link) -> Result<(), CallError> {
        let (seconds, micros): (u64, u64) = link.call(&command(&["TIME"])).await?;
        let time_us = seconds * 1_000_000 + micros;
        self.probed_us.fetch_max(time_us, Ordering::Relaxed);
        let channel = keys::probe_channel(&self.broker_id);
        let _: u64 = link.call(&command(&["PUBLISH", &channel, &time_us.to_string()])).await?;
        Ok(())
    }

    /// The id changes with nothing lost when a first replica comes or the backlog expires. The
    /// same process, a primary before and after, that knows no other history, proves it.
    fn rename(&self, link: &Link, now: &Identity) {
        let before = link.replid();
        info!(%before, now = %now.replid, "redis renamed its history");
        *self.renamed.lock() = Some(Renamed { before: before.clone(), now: now.replid.clone() });
        link.rename(&now.replid);
        if let Some(listening) = self.listening.lock().as_ref() {
            if listening.replid() == before && listening.run_id == now.run_id {
                listening.rename(&now.replid);
            } else {
                listening.close();
            }
        }
    }
}

/// Who the Redis at the other end of a connection is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) run_id: String,
    pub(super) replid: String,
    /// It knows of no other history than its own.
    no_lineage: bool,
}

impl Identity {
    /// Refuses what is no primary.
    pub(super) async fn of(link: &Link) -> Result<Identity, CallError> {
        Identity::read(&link.call::<String>(&command(&["INFO", "server", "replication"])).await?)
    }

    /// As `INFO` tells it.
    pub(super) fn read(info: &str) -> Result<Identity, CallError> {
        let field = |name| info_field(info, name).unwrap_or_default().to_owned();
        if field("role") != "master" {
            return Err(CallError::Unexpected("it is not a primary".into()));
        }
        if field("master_replid").is_empty() {
            let what = "INFO does not tell its replication id, by which lost history is found";
            return Err(CallError::Unexpected(what.into()));
        }
        let no_lineage = field("master_replid2").bytes().all(|b| b == b'0');
        Ok(Identity { run_id: field("run_id"), replid: field("master_replid"), no_lineage })
    }

    fn is_the_same_redis_as(&self, later: &Identity) -> bool {
        self.run_id == later.run_id && self.no_lineage && later.no_lineage
    }
}

impl Known {
    /// The feed has told up to here; none: it tells of the topic no more.
    pub(super) fn tell(&mut self, told: Option<Position>) {
        let before = self.told.map(|before| before.epoch).filter(|epoch| *epoch > 0);
        if let Some(before) = before
            && told.is_some_and(|told| told.epoch != before)
        {
            self.leave(before);
        }
        self.told = told;
    }

    /// The feed goes on from this life to another one, or to none. False where it had before.
    pub(super) fn leave(&mut self, epoch: u64) -> bool {
        let leaves = !self.has_left(epoch);
        if leaves {
            self.left.truncate(LIVES_LEFT_MAX - 1);
            self.left.push_front(epoch);
        }
        leaves
    }

    /// Whether the feed went on from this life to another one. It does not come back: where Redis
    /// names it again, Redis was set back.
    pub(super) fn has_left(&self, epoch: u64) -> bool {
        self.left.contains(&epoch)
    }

    /// Redis named this place: it has existed.
    pub(super) fn learn(&mut self, place: Position) {
        self.floor = self.floor.max(place.epoch);
        match self.claim {
            Some(claim) if claim.epoch == place.epoch && claim.sequence >= place.sequence => (),
            Some(_) | None => self.claim = Some(place),
        }
    }
}

impl Default for Known {
    fn default() -> Known {
        Known {
            floor: 0,
            claim: None,
            distrusted: None,
            told: None,
            left: VecDeque::new(),
            opened: None,
            acked: None,
            configured: None,
            used: Instant::now(),
            idle: TOPIC_IDLE,
            refreshed: Instant::now(),
        }
    }
}

/// Ever longer waits between attempts to connect, with jitter, so that brokers spread out.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
    /// The newest configuration of the sentinels at the last attempt.
    config_epoch: u64,
}

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff { next: RECONNECT_MIN, config_epoch: 0 }
    }
}

impl Backoff {
    pub(super) fn reset(&mut self) {
        self.next = RECONNECT_MIN;
    }

    pub(super) fn next(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(RECONNECT_MAX.min(BACKEND_DEADLINE));
        let spread = uuid::Uuid::new_v4().as_bytes()[0] as u32;
        wait / 2 + wait * spread / 510
    }
}

/// The deployment's id as it is stored, whatever that is.
async fn deployment_id(link: &Link) -> Result<Option<String>, CallError> {
    let ask = command(&["HGET", keys::DEPLOYMENT, "id"]);
    let id: Option<Vec<u8>> = link.call_on(keys::DEPLOYMENT, &ask).await?;
    Ok(id.map(|id| String::from_utf8_lossy(&id).into_owned()))
}

/// A command of plain words.
pub(super) fn command(words: &[&str]) -> redis::Cmd {
    let mut cmd = redis::cmd(words[0]);
    cmd.arg(&words[1..]);
    cmd
}
