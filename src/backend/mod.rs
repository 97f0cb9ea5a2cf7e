//! Where events are kept: the one contract that the memory and the Redis backend fulfil.
//!
//! # The contract
//!
//! **A topic is a line of events.** [`Backend::append`] puts a batch at its end, all or nothing,
//! and gives its events sequences that rise by one, without holes, within one *epoch*. The epoch
//! names one life of the topic: where the backend lost history or began it again, a new one
//! begins, never used before for this topic. The place in a topic that does not exist is
//! [`Position::BEGINNING`].
//!
//! **The backend never calls back.** What was stored is told on one bounded [`Feed`], also to the
//! broker that published it. For an attached topic the feed is a chain: [`News::Attached`] says
//! where it begins, and each [`News::Stored`] and [`News::Lost`] begins where the one before it
//! ended. Whatever the feed cannot carry is announced as [`News::Lost`] in its place: nothing is
//! ever left out in silence, repeated, or told in another order. A batch may follow
//! `Position::BEGINNING` without a gap where the backend knows that it is the first of the topic.
//!
//! **Reading is by page** ([`Backend::read`]), with the topic's last position taken in the same
//! instant; [`replay::Replay`] turns pages into batches and gaps by one set of rules.
//!
//! **Time** is the backend's clock, in microseconds since 1970. A publish time never decreases
//! within an epoch.
//!
//! **What came before comes once.** An event with a key ([`Event::key`]) that this topic has stored
//! within [`TopicSettings::dedupe_window`] is not stored again, nor told: the answer says where the
//! first one was stored. This goes before [`Append::expected_last`], so that a publish that is sent
//! again is answered as it was the first time.
//!
//! **What operators say of topics**, and do with them, is [`topics::Topics`]; which types of events are
//! registered, [`registrations::Registrations`].
//!
//! **Errors**: [`BackendError::OutcomeUnknown`] says that the events may exist; after any other
//! error of `append` they do not and never will.

pub mod feed;
pub mod memory;
pub mod redis;
pub mod registrations;
pub mod replay;
pub mod topics;

use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

pub use async_trait::async_trait;
use bytes::Bytes;

pub use self::feed::Feed;
use self::{registrations::Registrations, topics::Topics};
use crate::{
    event::Event,
    position::{Gap, Position, Start},
    topic::Topic,
};

#[async_trait]
pub trait Backend: fmt::Debug + Send + Sync + 'static {
    /// What an operator should know about this backend, as it is now.
    fn describe(&self) -> Description;

    /// Stores events (at least one) at the end of `topic`, which begins to exist if it did not.
    /// Returns once they are stored and handed to whoever listens.
    ///
    /// Calls for one topic store in the order in which they were first polled, where they do: one
    /// that is polled after another was may fail alone, but never goes before it.
    ///
    /// Not cancel safe in its outcome: dropped, the events may be stored or not.
    async fn append(
        &self,
        topic: &Topic,
        settings: &Arc<TopicSettings>,
        append: Append,
    ) -> Result<Appended, BackendError>;

    /// From now on, and until all of its attachments are dropped, the feed carries `topic`.
    /// Returns when the backend confirmed that; by then [`News::Attached`] is on the feed.
    /// Attaching creates no topic.
    async fn attach(
        &self,
        topic: &Topic,
        settings: &Arc<TopicSettings>,
    ) -> Result<Attachment, BackendError>;

    /// Compares what the feed told of an attached topic with what is stored. When it returns, the
    /// feed has been given everything that was stored before the call.
    async fn check(&self, topic: &Topic) -> Result<(), BackendError>;

    /// What is kept after `after`, oldest first, about [`limits::PAGE_BYTES`] at a time.
    ///
    /// [`limits::PAGE_BYTES`]: crate::limits::PAGE_BYTES
    async fn read(&self, topic: &Topic, after: Position) -> Result<Page, BackendError>;

    /// The place after which the first event lies that `start` asks for, so that reading from
    /// there begins without a gap.
    async fn seek(&self, topic: &Topic, start: Start) -> Result<Position, BackendError>;

    /// From now on the feed tells of topics that begin to exist ([`News::Appeared`]). Returns
    /// those that exist already; one may be told by both.
    async fn watch_topics(&self) -> Result<Vec<Topic>, BackendError>;

    /// What operators say of topics, and do with them.
    fn topics(&self) -> &dyn Topics;

    /// Which types of events are registered.
    fn registrations(&self) -> &dyn Registrations;

    /// Stops what the backend runs. What is being stored is still answered.
    async fn close(&self);
}

/// Events to be stored together, all or none.
#[derive(Debug, Clone)]
pub struct Append {
    pub events: Vec<Event>,
    /// Refused with [`BackendError::Conflict`] where the topic's last position is another one.
    /// [`Position::BEGINNING`]: where anything was ever published on it.
    pub expected_last: Option<Position>,
}

#[derive(Debug, Clone)]
pub enum News {
    /// The chain of this topic begins anew after `at`.
    Attached { topic: Topic, at: Position },
    /// A batch that was stored, right after what was told before.
    Stored { topic: Topic, batch: Batch },
    /// Events that will not come.
    Lost { topic: Topic, gap: Gap },
    /// An event from a raw Redis client: encoded, without a position.
    Raw { topic: Topic, event: Bytes, time_us: u64 },
    /// A life of a topic began, in this epoch; 0 where the epoch was not heard.
    Appeared { topic: Topic, epoch: u64 },
    /// Everything stored, and every topic that appeared, before this time has been told.
    Clock { time_us: u64 },
    /// The backend has not been reached since then.
    Down { since_us: u64 },
    /// The backend is reached again, and what was missed has been told.
    Up,
}

/// Events that were stored together. Event `i` has the sequence `first + i`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    pub epoch: u64,
    pub first: u64,
    pub publish_time_us: u64,
    /// Each an encoded `tidings.v1.Event` without position and publish time.
    pub events: Vec<Bytes>,
}

/// What is kept after a place, and what the topic had reached in the same instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The topic's last position; none where there is no such topic.
    pub last: Option<Position>,
    /// Oldest first. The first one may begin at or before the place that was asked for.
    pub entries: Vec<Entry>,
    /// Whether the entries go up to the end of what is kept.
    pub complete: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    Batch(Batch),
    /// A new life of the topic begins here. `created`: there was none before it, or none was left.
    Fence {
        epoch: u64,
        created: bool,
    },
    /// Something that is no batch stands where these events would be.
    Undecodable {
        epoch: u64,
        first: u64,
        count: u64,
    },
}

/// How a topic is kept and shown. Set by an operator, by name pattern, or the default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSettings {
    pub keeping: Keeping,
    /// A publish on a durable topic waits for so many replicas to have the events.
    pub replicas: u32,
    /// A publish on a durable topic waits for the disk. Not together with replicas.
    pub fsync: bool,
    /// A live topic that nobody uses for this long is forgotten.
    pub idle: Duration,
    pub bridge: Bridge,
    /// The `type` of events that come without one.
    pub default_type: Option<String>,
    pub schema: SchemaPolicy,
    /// How long an event that has a key is known, so that it is not stored again; zero: not at all.
    pub dedupe_window: Duration,
    /// Of what an operator said over the API ([`topics::Configured::version_of`]).
    pub version: u64,
}

/// What is kept of a topic's events, and what for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keeping {
    pub mode: Mode,
    pub retention: Retention,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Heard by who listens; the newest events are kept to heal outages.
    Live,
    /// Kept as the retention says, and read from any place that is kept.
    Durable,
}

/// Every limit that is set holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    pub max_events: Option<u64>,
    /// Of the events as they are encoded.
    pub max_bytes: Option<u64>,
    pub max_age: Option<Duration>,
}

/// How raw Redis clients meet the topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bridge {
    pub mode: BridgeMode,
    /// Default: the prefix that the operator set, and the topic's name.
    pub channel: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BridgeMode {
    /// Raw clients do not meet the topic.
    Off,
    /// What they publish on the channel is delivered, unsequenced.
    Listen,
    /// Listen, and each event's data is published on the channel.
    Raw,
    /// Listen, and each event is published as structured-mode CloudEvents JSON.
    CloudEventsJson,
}

/// What the events of a topic have to be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SchemaPolicy {
    pub enforcement: Enforcement,
    /// Full names of messages; none: any type that is registered.
    pub types: BTreeSet<String>,
}

/// What becomes of an event that is none of its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Enforcement {
    /// Nobody looks.
    #[default]
    Off,
    /// It is delivered, counted and marked.
    Warn,
    /// It is not let in.
    Reject,
}

/// Where events were stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// Of the first one that was stored now; the others follow. Where none was, the place that would
    /// have come next.
    pub first: Position,
    pub publish_time_us: u64,
    pub durability: Durability,
    /// Those that were stored before, in order.
    pub repeated: Vec<Repeated>,
}

/// An event that was stored before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repeated {
    /// Among those that were to be stored.
    pub index: usize,
    pub position: Position,
}

/// Keeps a topic on the feed. Drop it to detach; the last one ends the attachment.
#[derive(Debug, Clone)]
#[must_use]
pub struct Attachment {
    _held: Arc<()>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// `memory` or `redis`.
    pub kind: &'static str,
    /// One line for the start: where it is and what it will forget.
    pub summary: String,
    /// The best that a durable topic gets that asks for it.
    pub durability: Durability,
    /// Why no topic is made durable here, and what to do.
    pub refuses_durable: Option<String>,
    /// Each what an operator should mend or know, with the consequence.
    pub warnings: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BackendError {
    #[error("the backend cannot be reached: {cause}")]
    Unavailable { cause: String },
    #[error("the backend is changing its primary: {cause}")]
    Failover { cause: String },
    #[error("the backend is full: {cause}")]
    Full { cause: String },
    #[error("more is published on {topic} than can be stored: {queued} bytes are waiting")]
    Overloaded { topic: Topic, queued: usize },
    #[error("the backend did not answer within {}", humantime(.after))]
    Timeout { after: Duration },
    #[error("the backend's answer was lost: the events may have been stored or not ({cause})")]
    OutcomeUnknown { cause: String },
    #[error("the backend refused: {cause}")]
    Refused { cause: String },
    #[error(
        "the last position of {topic} is {actual}, not {expected}: read what was published since, and \
         publish with the position that you have read up to"
    )]
    Conflict { topic: Topic, expected: Position, actual: Position },
}

impl From<Vec<Event>> for Append {
    fn from(events: Vec<Event>) -> Append {
        Append { events, expected_last: None }
    }
}

impl Appended {
    /// The answer for `count` of the events, those from `from` on.
    pub fn part(&self, from: usize, count: usize) -> Appended {
        let begin = self.repeated.partition_point(|repeated| repeated.index < from);
        let repeated = self.repeated[begin..].iter().take_while(|r| r.index < from + count);
        let stored_before = (from - begin) as u64;
        Appended {
            first: Position::new(self.first.epoch, self.first.sequence + stored_before),
            repeated: repeated.map(|r| Repeated { index: r.index - from, ..*r }).collect(),
            ..*self
        }
    }

    /// Where each event is stored, and whether it was before, without end.
    pub fn positions(&self) -> impl Iterator<Item = (Position, bool)> {
        let mut repeated = self.repeated.iter().peekable();
        let mut next = self.first;
        (0..).map(move |index| match repeated.next_if(|repeated| repeated.index == index) {
            Some(repeated) => (repeated.position, true),
            None => {
                let position = next;
                next.sequence += 1;
                (position, false)
            }
        })
    }
}

impl BackendError {
    /// A broker that has not heard begins no topic.
    fn not_heard(topic: &Topic) -> BackendError {
        let cause = format!("what {topic} is kept as was changed a moment ago: try again");
        BackendError::Unavailable { cause }
    }
}

impl News {
    /// Which topic it is news of, if of one that is followed.
    pub fn topic(&self) -> Option<&Topic> {
        match self {
            News::Attached { topic, .. }
            | News::Stored { topic, .. }
            | News::Lost { topic, .. }
            | News::Raw { topic, .. } => Some(topic),
            News::Appeared { .. } | News::Clock { .. } | News::Down { .. } | News::Up => None,
        }
    }

    /// What it holds of events.
    pub fn bytes(&self) -> usize {
        match self {
            News::Stored { batch, .. } => batch.bytes(),
            News::Raw { event, .. } => event.len(),
            News::Attached { .. }
            | News::Lost { .. }
            | News::Appeared { .. }
            | News::Clock { .. }
            | News::Down { .. }
            | News::Up => 0,
        }
    }
}

impl Batch {
    /// The place after its last event.
    pub fn last(&self) -> Position {
        Position::new(self.epoch, self.first + self.events.len() as u64 - 1)
    }

    /// The place before its first event.
    pub fn before(&self) -> Position {
        Position::new(self.epoch, self.first - 1)
    }

    pub fn bytes(&self) -> usize {
        self.events.iter().map(Bytes::len).sum()
    }

    /// The part after `sequence`, if there is one.
    pub fn after(mut self, sequence: u64) -> Option<Batch> {
        let known = sequence.saturating_add(1).saturating_sub(self.first);
        if known >= self.events.len() as u64 {
            return None;
        }
        self.events.drain(..known as usize);
        self.first += known;
        Some(self)
    }

    /// The part up to and with `sequence`, if there is one.
    pub fn up_to(mut self, sequence: u64) -> Option<Batch> {
        let wanted = sequence.saturating_add(1).saturating_sub(self.first);
        self.events.truncate(usize::try_from(wanted).unwrap_or(usize::MAX));
        (!self.events.is_empty()).then_some(self)
    }
}

impl Entry {
    pub fn epoch(&self) -> u64 {
        match self {
            Entry::Batch(batch) => batch.epoch,
            Entry::Fence { epoch, .. } | Entry::Undecodable { epoch, .. } => *epoch,
        }
    }

    /// The place before it.
    pub fn before(&self) -> Position {
        match self {
            Entry::Batch(batch) => batch.before(),
            Entry::Fence { epoch, .. } => Position::new(*epoch, 0),
            Entry::Undecodable { epoch, first, .. } => {
                Position::new(*epoch, first.saturating_sub(1))
            }
        }
    }
}

impl Attachment {
    /// The backend keeps a [`std::sync::Weak`] of `held`.
    pub fn new(held: Arc<()>) -> Attachment {
        Attachment { _held: held }
    }
}

impl Mode {
    pub fn name(self) -> &'static str {
        match self {
            Mode::Live => "live",
            Mode::Durable => "durable",
        }
    }
}

impl Enforcement {
    pub fn name(self) -> &'static str {
        match self {
            Enforcement::Off => "off",
            Enforcement::Warn => "warn",
            Enforcement::Reject => "reject",
        }
    }
}

impl Keeping {
    /// What a topic in this mode keeps of which nobody said more.
    pub fn of(mode: Mode) -> Keeping {
        Keeping { mode, retention: Retention::of(mode) }
    }

    /// How a topic that is kept so is kept once a broker has said `wanted`. A broker that says the
    /// default was told nothing of the topic, and none may take from a durable one what it keeps.
    pub fn after(self, wanted: Keeping) -> Keeping {
        let takes_away = self.mode == Mode::Durable && wanted.mode == Mode::Live;
        if wanted == Keeping::of(Mode::Live) || takes_away { self } else { wanted }
    }
}

/// What storing an event has reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durability {
    /// Handed to whoever listens, and kept for the topic's short history.
    Live,
    /// In the log, in memory.
    Memory,
    /// In the log, on disk.
    Disk,
    /// In the log of as many replicas as the topic asks for.
    Replicated,
}

impl Retention {
    pub fn of(mode: Mode) -> Retention {
        use crate::limits::{
            DURABLE_AGE, DURABLE_BYTES, DURABLE_EVENTS, HISTORY_BYTES, HISTORY_EVENTS,
        };
        match mode {
            Mode::Live => Retention {
                max_events: Some(HISTORY_EVENTS),
                max_bytes: Some(HISTORY_BYTES),
                max_age: None,
            },
            Mode::Durable => Retention {
                max_events: Some(DURABLE_EVENTS),
                max_bytes: Some(DURABLE_BYTES),
                max_age: Some(DURABLE_AGE),
            },
        }
    }
}

impl Default for TopicSettings {
    fn default() -> TopicSettings {
        TopicSettings {
            keeping: Keeping::of(Mode::Live),
            replicas: 0,
            fsync: false,
            idle: crate::limits::TOPIC_IDLE,
            bridge: Bridge { mode: BridgeMode::Listen, channel: None },
            default_type: None,
            schema: SchemaPolicy::default(),
            dedupe_window: Duration::ZERO,
            version: 0,
        }
    }
}

fn humantime(duration: &Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}
