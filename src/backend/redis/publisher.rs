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
    batch::{self, Echoes},
    bridge,
    connection::{CallError, Link, OTHER_REPLID, OUT_OF_ORDER},
    listener::Request,
    scripts::{Checks, Opened, Opening, Published, Publishing},
    session::{Known, OpenTopic, Session},
    waiters::{Waiter, Waiters},
};
use crate::{
    backend::{Append, Appended, BackendError, BridgeMode, Durability, Mode, TopicSettings},
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
    waiters: Waiters,
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
    queued: VecDeque<Queued>,
    bytes: usize,
}

/// One publish, waiting.
#[derive(Debug)]
struct Queued {
    append: Append,
    /// Of the events together.
    bytes: usize,
    settings: Arc<TopicSettings>,
    since: Instant,
    answer: oneshot::Sender<Result<Appended, BackendError>>,
}

/// What one call stores.
#[derive(Debug)]
struct Group<'a> {
    events: Vec<&'a Event>,
    /// Of the one publish that it is then.
    expected_last: Option<Position>,
}

impl Publisher {
    pub(super) fn new(session: Arc<Session>, listener: mpsc::Sender<Request>) -> Arc<Publisher> {
        let runtime = Handle::current();
        let (waiters, waiting) = (Waiters::new(), Mutex::default());
        Arc::new(Publisher { session, listener, waiters, runtime, waiting })
    }

    pub(super) async fn append(
        self: &Arc<Publisher>,
        topic: &Topic,
        settings: &Arc<TopicSettings>,
        append: Append,
    ) -> Result<Appended, BackendError> {
        // With Redis away a publish fails at once.
        self.session.commands()?;
        let (answer, answered) = oneshot::channel();
        let since = Instant::now();
        let bytes = append.events.iter().map(|event| event.encoded().len()).sum();
        let settings = settings.clone();
        self.enqueue(topic, Queued { append, bytes, settings, since, answer })?;
        answered.await.unwrap_or_else(|_| {
            Err(BackendError::OutcomeUnknown { cause: "the broker is shutting down".into() })
        })
    }

    fn enqueue(self: &Arc<Publisher>, topic: &Topic, queued: Queued) -> Result<(), BackendError> {
        let mut waiting = self.waiting.lock();
        let lane = waiting.lanes.get(topic);
        let (idle, before) = (lane.is_none(), lane.map_or(0, |lane| lane.bytes));
        let bytes = queued.bytes;
        let too_much = before + bytes > COMMIT_QUEUE_BYTES_MAX && !idle
            || waiting.bytes + bytes > COMMIT_QUEUES_BYTES_MAX;
        if too_much {
            return Err(BackendError::Overloaded { topic: topic.clone(), queued: before });
        }
        waiting.bytes += bytes;
        let lane = waiting.lanes.entry(topic.clone()).or_default();
        lane.bytes += bytes;
        lane.queued.push_back(queued);
        if idle {
            self.runtime.spawn(self.clone().drain(topic.clone()));
        }
        Ok(())
    }

    /// Commits group after group, until nothing waits.
    async fn drain(self: Arc<Publisher>, topic: Topic) {
        while let Some(group) = self.next_group(&topic) {
            let settings = group[0].settings.clone();
            let together = Group {
                events: group.iter().flat_map(|one| &one.append.events).collect(),
                expected_last: group[0].append.expected_last,
            };
            let committing = self.commit(&topic, &settings, &together);
            let committing = AssertUnwindSafe(committing);
            let stored = committing.catch_unwind().await.unwrap_or_else(|_| {
                error!(%topic, "BUG: storing panicked");
                self.session.forget("it is not known what became of a publish");
                Err(BackendError::OutcomeUnknown { cause: "a bug: storing panicked".into() })
            });
            let mut before = 0;
            for one in group {
                let (from, count) = (before, one.append.events.len());
                before += count;
                // Whoever asked may be gone.
                let part = |stored: &Appended| stored.part(from, count);
                let _ = one.answer.send(stored.as_ref().map(part).map_err(Clone::clone));
            }
        }
    }

    /// What goes into the next call; none where nothing waits, and the lane is closed then. What has
    /// waited too long is refused, and what expects something of the topic goes alone.
    fn next_group(&self, topic: &Topic) -> Option<Vec<Queued>> {
        let mut waiting = self.waiting.lock();
        let Waiting { lanes, bytes: all_bytes } = &mut *waiting;
        let lane = lanes.get_mut(topic)?;
        while lane.queued.front().is_some_and(Queued::is_late)
            && let Some(late) = lane.queued.pop_front()
        {
            let bytes = late.bytes;
            lane.bytes -= bytes;
            *all_bytes -= bytes;
            let _ = late.answer.send(Err(BackendError::Timeout { after: COMMIT_WAIT_MAX }));
        }
        let (mut group, mut events, mut bytes) = (Vec::new(), 0, 0);
        let mut alone = false;
        while let Some(next) = lane.queued.front() {
            alone |= next.append.expected_last.is_some();
            let fits = events + next.append.events.len() <= COMMIT_EVENTS_MAX
                && bytes + next.bytes <= COMMIT_BYTES_MAX;
            if (alone || !fits) && !group.is_empty() {
                break;
            }
            events += next.append.events.len();
            bytes += next.bytes;
            group.extend(lane.queued.pop_front());
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
        group: &Group<'_>,
    ) -> Result<Appended, BackendError> {
        let known = self.session.known(topic);
        for _ in 0..OPENINGS_MAX {
            let link = self.session.commands()?;
            let opened = self.opened(&link, topic, settings, &known, group.expected_last).await?;
            // Both read before the send: an answer at or below them proves a rollback.
            let (acked, told) = {
                let mut known = known.lock();
                known.used = Instant::now();
                (known.acked, known.told)
            };
            let before = self.session.persistence.reached(&link);
            let waiter = match self.waits(&opened, settings, before) {
                true => Some(self.waiters.take(&self.session, &link).await?),
                false => None,
            };
            let over = waiter.as_ref().map_or(&*link, Waiter::link);
            let stored = self.store(over, topic, settings, &opened, &known, group).await?;
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
            let new =
                if published.conflict { 0 } else { group.events.len() - published.repeated.len() };
            let last = Position::new(opened.epoch, published.first + new as u64 - 1);
            // Changed meanwhile, the weaker holds.
            let mut reached = before.min(self.session.persistence.reached(&link));
            if let Some(waiter) = waiter {
                reached = reached.max(waiter.reached(settings).await.unwrap_or(Durability::Memory));
                self.waiters.give_back(waiter);
            }
            if new == 0 {
                // Nothing was written that could be waited for: what is there may have reached less.
                reached = Durability::Memory;
            }
            let mut known = known.lock();
            known.acked = Some((link.generation, last));
            known.learn(last);
            if let (true, Some(expected)) = (published.conflict, group.expected_last) {
                return Err(BackendError::Conflict {
                    topic: topic.clone(),
                    expected,
                    actual: last,
                });
            }
            return Ok(Appended {
                first: place,
                publish_time_us: published.publish_time_us,
                durability: match opened.keeping.mode {
                    Mode::Live => Durability::Live,
                    Mode::Durable => reached,
                },
                repeated: published.repeated,
            });
        }
        Err(BackendError::Unavailable { cause: format!("{topic} changes faster than it opens") })
    }

    /// Whether a publish has to wait for what its topic asks for.
    fn waits(&self, opened: &OpenTopic, settings: &TopicSettings, reached: Durability) -> bool {
        let can = self.session.persistence.now();
        let for_replicas = settings.replicas > 0 && can.waits_for_replicas;
        let for_disk = settings.fsync && can.waits_for_disk && reached < Durability::Disk;
        opened.keeping.mode == Mode::Durable && (for_replicas || for_disk)
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
        expected_last: Option<Position>,
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
        let becomes_durable = opened.last.is_none() || opened.keeping.mode == Mode::Live;
        if settings.keeping.mode == Mode::Durable
            && becomes_durable
            && let Some(why) = self.session.persistence.refuses_durable()
        {
            let cause = format!("{topic} is to be durable, and here it would be lost: {why}");
            return Err(BackendError::Refused { cause });
        }
        if opened.last.is_none() {
            if let Some(expected) = expected_last.filter(|expected| !expected.is_beginning()) {
                let actual = Position::BEGINNING;
                return Err(BackendError::Conflict { topic: topic.clone(), expected, actual });
            }
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
        group: &Group<'_>,
    ) -> Result<Option<Published>, BackendError> {
        let Group { events, expected_last } = group;
        let mode = settings.bridge.mode;
        let messages: Vec<Bytes> =
            events.iter().filter_map(|event| bridge::message(mode, event)).collect();
        let echo: Vec<u64> = messages.iter().map(|message| bridge::echo_hash(message)).collect();
        let with_keys = events.iter().any(|event| event.key().is_some());
        let checks = (with_keys || expected_last.is_some()).then(|| Checks {
            window: settings.dedupe_window,
            expected_last: *expected_last,
            keys: events.iter().map(|event| event.key()).collect(),
        });
        let echoes = if checks.is_some() { Echoes::Beside } else { Echoes::Ahead };
        let body = batch::body(
            &self.session.broker_id,
            &self.session.deployment(),
            topic,
            &echo,
            echoes,
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
            checks,
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

impl Queued {
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
