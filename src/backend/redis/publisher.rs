//! Publishing with group commit: while one call for a topic is in flight, what arrives queues;
//! the next call takes it. Nothing waits when nothing is in flight.

use std::{
    collections::{HashMap, VecDeque},
    panic::AssertUnwindSafe,
    sync::Arc,
};

use bytes::Bytes;
use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
    time::Instant,
};
use tracing::error;

use super::{
    batch, bridge,
    connection::{CallError, Link, OTHER_REPLID, OUT_OF_ORDER},
    listener::Request,
    scripts::{Opened, Opening, Published, Publishing},
    session::{Known, OpenTopic, Session},
};
use crate::{
    backend::{Appended, BackendError, BridgeMode, Durability, Mode, TopicSettings},
    event::Event,
    limits::{
        COMMIT_BYTES_MAX, COMMIT_EVENTS_MAX, COMMIT_QUEUE_BYTES_MAX, COMMIT_QUEUES_BYTES_MAX,
        COMMIT_WAIT_MAX,
    },
    position::Position,
    topic::Topic,
};

/// How often a topic is opened anew for one batch before it is given up.
const OPENINGS_MAX: usize = 5;

#[derive(Debug)]
pub(super) struct Publisher {
    session: Arc<Session>,
    /// Tells the listener of a rollback.
    listener: mpsc::Sender<Request>,
    /// Where groups are committed: a lane serves callers on many runtimes and ends with none of them.
    runtime: Handle,
    waiting: Mutex<Waiting>,
}

/// What waits to be stored.
#[derive(Debug, Default)]
struct Waiting {
    /// One per topic on which something is being published now.
    lanes: HashMap<Topic, Lane>,
    /// In all of them.
    bytes: usize,
}

#[derive(Debug, Default)]
struct Lane {
    appends: VecDeque<Append>,
    bytes: usize,
}

/// One publish, waiting.
#[derive(Debug)]
struct Append {
    events: Vec<Event>,
    /// Of the events together.
    bytes: usize,
    settings: Arc<TopicSettings>,
    since: Instant,
    answer: oneshot::Sender<Result<Appended, BackendError>>,
}

impl Publisher {
    pub(super) fn new(session: Arc<Session>, listener: mpsc::Sender<Request>) -> Arc<Publisher> {
        let runtime = Handle::current();
        Arc::new(Publisher { session, listener, runtime, waiting: Mutex::default() })
    }

    pub(super) async fn append(
        self: &Arc<Publisher>,
        topic: &Topic,
        settings: &Arc<TopicSettings>,
        events: Vec<Event>,
    ) -> Result<Appended, BackendError> {
        // With Redis away a publish fails at once.
        self.session.commands()?;
        let (answer, answered) = oneshot::channel();
        let since = Instant::now();
        let bytes = events.iter().map(|event| event.encoded().len()).sum();
        let settings = settings.clone();
        self.enqueue(topic, Append { events, bytes, settings, since, answer })?;
        answered.await.unwrap_or_else(|_| {
            Err(BackendError::OutcomeUnknown { cause: "the broker is shutting down".into() })
        })
    }

    fn enqueue(self: &Arc<Publisher>, topic: &Topic, append: Append) -> Result<(), BackendError> {
        let mut waiting = self.waiting.lock();
        let lane = waiting.lanes.get(topic);
        let (idle, queued) = (lane.is_none(), lane.map_or(0, |lane| lane.bytes));
        let bytes = append.bytes;
        let too_much = queued + bytes > COMMIT_QUEUE_BYTES_MAX && !idle
            || waiting.bytes + bytes > COMMIT_QUEUES_BYTES_MAX;
        if too_much {
            return Err(BackendError::Overloaded { topic: topic.clone(), queued });
        }
        waiting.bytes += bytes;
        let lane = waiting.lanes.entry(topic.clone()).or_default();
        lane.bytes += bytes;
        lane.appends.push_back(append);
        if idle {
            self.runtime.spawn(self.clone().drain(topic.clone()));
        }
        Ok(())
    }

    /// Commits group after group, until nothing waits.
    async fn drain(self: Arc<Publisher>, topic: Topic) {
        while let Some(group) = self.next_group(&topic) {
            let settings = group[0].settings.clone();
            let events: Vec<&Event> = group.iter().flat_map(|append| &append.events).collect();
            let committing = AssertUnwindSafe(self.commit(&topic, &settings, &events));
            let stored = committing.catch_unwind().await.unwrap_or_else(|_| {
                error!(%topic, "BUG: storing panicked");
                self.session.forget("it is not known what became of a publish");
                Err(BackendError::OutcomeUnknown { cause: "a bug: storing panicked".into() })
            });
            let mut before = 0;
            for append in group {
                let offset = before;
                before += append.events.len() as u64;
                // Whoever asked may be gone.
                let _ = append.answer.send(stored.clone().map(|stored| Appended {
                    first: Position::new(stored.first.epoch, stored.first.sequence + offset),
                    ..stored
                }));
            }
        }
    }

    /// What goes into the next call; none where nothing waits, and the lane is closed then. What has
    /// waited too long is refused.
    fn next_group(&self, topic: &Topic) -> Option<Vec<Append>> {
        let mut waiting = self.waiting.lock();
        let Waiting { lanes, bytes: all_bytes } = &mut *waiting;
        let lane = lanes.get_mut(topic)?;
        while lane.appends.front().is_some_and(Append::is_late)
            && let Some(late) = lane.appends.pop_front()
        {
            let bytes = late.bytes;
            lane.bytes -= bytes;
            *all_bytes -= bytes;
            let _ = late.answer.send(Err(BackendError::Timeout { after: COMMIT_WAIT_MAX }));
        }
        let (mut group, mut events, mut bytes) = (Vec::new(), 0, 0);
        while let Some(next) = lane.appends.front() {
            let fits = events + next.events.len() <= COMMIT_EVENTS_MAX
                && bytes + next.bytes <= COMMIT_BYTES_MAX;
            if !fits && !group.is_empty() {
                break;
            }
            events += next.events.len();
            bytes += next.bytes;
            group.extend(lane.appends.pop_front());
        }
        lane.bytes -= bytes;
        *all_bytes -= bytes;
        if group.is_empty() {
            lanes.remove(topic);
            return None;
        }
        Some(group)
    }

    async fn commit(
        &self,
        topic: &Topic,
        settings: &TopicSettings,
        events: &[&Event],
    ) -> Result<Appended, BackendError> {
        let known = self.session.known(topic);
        for _ in 0..OPENINGS_MAX {
            let link = self.session.commands()?;
            let opened = self.opened(&link, topic, settings, &known).await?;
            // Both read before the send: an answer at or below them proves a rollback.
            let (acked, told) = {
                let mut known = known.lock();
                known.used = Instant::now();
                (known.acked, known.told)
            };
            let stored = self.store(&link, topic, settings, &opened, &known, events).await?;
            let Some(published) = stored else {
                known.lock().opened = None;
                continue;
            };
            let place = Position::new(opened.epoch, published.first);
            let acked = acked.filter(|(generation, _)| *generation == link.generation);
            let was_given = [acked.map(|(_, position)| position), told]
                .into_iter()
                .flatten()
                .any(|before| before.has_reached(place));
            if was_given && self.session.rules.check_positions {
                return Err(self.rolled_back(topic, &known, opened.epoch));
            }
            let last = Position::new(opened.epoch, published.first + events.len() as u64 - 1);
            let mut known = known.lock();
            known.acked = Some((link.generation, last));
            known.learn(last);
            return Ok(Appended {
                first: place,
                publish_time_us: published.publish_time_us,
                durability: match opened.keeping.mode {
                    Mode::Live => Durability::Live,
                    // That Redis writes it down as well nobody has waited for.
                    Mode::Durable => Durability::Memory,
                },
            });
        }
        Err(BackendError::Unavailable { cause: format!("{topic} changes faster than it opens") })
    }

    fn rolled_back(&self, topic: &Topic, known: &Mutex<Known>, epoch: u64) -> BackendError {
        {
            let mut known = known.lock();
            known.distrusted = Some(epoch);
            known.opened = None;
        }
        // Full: the listener compares all topics soon anyway.
        let _ = self.listener.try_send(Request::RolledBack { topic: topic.clone() });
        BackendError::OutcomeUnknown { cause: "redis lost what it had stored".into() }
    }

    /// The topic as this connection opened it, begun where it does not exist.
    async fn opened(
        &self,
        link: &Link,
        topic: &Topic,
        settings: &TopicSettings,
        known: &Mutex<Known>,
    ) -> Result<OpenTopic, BackendError> {
        let is_as_wanted = |open: &OpenTopic, configured| {
            let wanted = open.keeping.after(settings.keeping);
            wanted == open.keeping || configured == Some((settings.version, wanted))
        };
        {
            let known = known.lock();
            let open = known.opened.as_ref();
            let open = open.filter(|open| open.generation == link.generation);
            if let Some(open) = open.filter(|open| is_as_wanted(open, known.configured)) {
                return Ok(open.clone());
            }
        }
        let mut opened = self.open(link, topic, settings, known, false).await?;
        if opened.last.is_none() {
            if !self.session.are_present(link, topic, settings).await? {
                return Err(BackendError::not_heard(topic));
            }
            // In the index first: who follows a pattern must never miss a topic that exists.
            let idle = (settings.keeping.mode == Mode::Live).then_some(settings.idle);
            link.enlist(topic, idle).await.map_err(BackendError::from)?;
            opened = self.open(link, topic, settings, known, true).await?;
        }
        let Some(last) = opened.last else {
            return Err(BackendError::Unavailable { cause: format!("{topic} does not open") });
        };
        let wanted = opened.keeping.after(settings.keeping);
        let configured = Some((settings.version, wanted));
        // Said once: where brokers disagree, the one that came last prevails and nobody fights.
        if wanted != opened.keeping
            && known.lock().configured != configured
            && self.session.are_present(link, topic, settings).await?
        {
            known.lock().configured = configured;
            if wanted.mode == Mode::Durable {
                link.enlist(topic, None).await?;
            }
            link.configure(topic, opened.version, wanted).await?;
            opened = self.open(link, topic, settings, known, false).await?;
        }
        let open = OpenTopic {
            generation: link.generation,
            epoch: last.epoch,
            version: opened.version,
            keeping: opened.keeping,
        };
        known.lock().opened = Some(open.clone());
        Ok(open)
    }

    async fn open(
        &self,
        link: &Link,
        topic: &Topic,
        settings: &TopicSettings,
        known: &Mutex<Known>,
        create: bool,
    ) -> Result<Opened, BackendError> {
        let opened = self.session.open(link, topic, settings, known, create).await;
        opened.map_err(BackendError::from)
    }

    /// None where the view of the topic is stale. Any doubt about the outcome is said.
    async fn store(
        &self,
        link: &Link,
        topic: &Topic,
        settings: &TopicSettings,
        opened: &OpenTopic,
        known: &Mutex<Known>,
        events: &[&Event],
    ) -> Result<Option<Published>, BackendError> {
        let mode = settings.bridge.mode;
        let messages: Vec<Bytes> =
            events.iter().filter_map(|event| bridge::message(mode, event)).collect();
        let echo: Vec<u64> = messages.iter().map(|message| bridge::echo_hash(message)).collect();
        let body = batch::body(
            &self.session.broker_id,
            &self.session.deployment(),
            topic,
            &echo,
            events.iter().copied(),
        );
        let publishing = Publishing {
            epoch: opened.epoch,
            version: opened.version,
            keeping: opened.keeping,
            count: events.len(),
            body: &body,
            bridge_channel: &self.session.bridge_channel(topic, settings).unwrap_or_default(),
            bridge_messages: &messages,
        };
        let published = link.publish(topic, &publishing).await;
        if published.as_ref().is_err_and(|error| error.code() == Some(OUT_OF_ORDER)) {
            // Only another life, above what stands there, can go on.
            known.lock().distrusted = Some(opened.epoch);
            return Ok(None);
        }
        if published.as_ref().is_err_and(|error| error.code() == Some(OTHER_REPLID)) {
            // It may be the same Redis, renamed: who opens the topic has to know.
            self.session.look_again(link).await;
            return Ok(None);
        }
        published.map_err(|error| {
            if error.code() == Some("READONLY") {
                self.session.forget("redis is no longer the primary");
            }
            if error.is_certain() {
                return error.into();
            }
            // Nothing may be sent behind it before it is known what became of it.
            link.close();
            BackendError::OutcomeUnknown { cause: error.to_string() }
        })
    }
}

impl Append {
    fn is_late(&self) -> bool {
        self.since.elapsed() >= COMMIT_WAIT_MAX
    }
}

impl Session {
    /// Opens a topic with all that this broker knows of it, and learns what the answer says.
    pub(super) async fn open(
        &self,
        link: &Link,
        topic: &Topic,
        settings: &TopicSettings,
        known: &Mutex<Known>,
        create: bool,
    ) -> Result<Opened, CallError> {
        let deployment = self.deployment();
        let replid = link.replid();
        let renamed = self.renamed_to(&replid);
        let by = {
            let known = known.lock();
            Opening {
                create,
                floor: known.floor,
                distrusted: known.distrusted,
                claim: known.claim.filter(|_| self.rules.compare_epochs),
                keeping: settings.keeping,
                idle_ms: settings.idle.as_millis() as u64,
                deployment: &deployment,
                renamed: &renamed,
                replid: &replid,
            }
        };
        let opened = link.open(topic, &by).await.inspect_err(|error| {
            if error.code() == Some("READONLY") {
                self.forget("redis is no longer the primary");
            }
        })?;
        if opened.replid != link.replid() {
            self.forget("redis has another replication id");
            return Err(CallError::NotSent);
        }
        if !opened.deployment.is_empty() && opened.deployment != *deployment {
            self.forget("redis belongs to another deployment");
            return Err(CallError::NotSent);
        }
        let mut known = known.lock();
        known.idle = settings.idle;
        if by.distrusted == known.distrusted {
            known.distrusted = None;
        }
        if let Some(last) = opened.last {
            known.learn(last);
        }
        Ok(opened)
    }

    /// Where raw Redis clients meet the topic, if they do.
    pub(super) fn bridge_channel(&self, topic: &Topic, settings: &TopicSettings) -> Option<String> {
        match (settings.bridge.mode, &settings.bridge.channel) {
            (BridgeMode::Off, _) => None,
            (_, Some(channel)) => Some(channel.clone()),
            (_, None) => Some(format!("{}{topic}", self.channel_prefix)),
        }
    }
}
