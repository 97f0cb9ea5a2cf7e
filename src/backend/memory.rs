//! The default backend: everything in this process's memory, nothing to install.
//!
//! A topic is a ring of batches, bounded by its settings. What is here ends with the process.
//! Nothing waits with the lock held: room on the feed is reserved first, so that the feed tells
//! batches in the order in which they were stored.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Arc, Weak},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{
    sync::watch,
    task::coop,
    time::{Instant, MissedTickBehavior},
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    Append, Appended, Attachment, Backend, BackendError, Batch, Description, Durability, Entry,
    Feed, Keeping, Mode, News, Page, Repeated, TopicSettings, async_trait,
    feed::{self, Teller, Unheard},
    registrations::{Registered, Registration, Registrations},
    topics::{Configured, Said, TopicState, Topics},
};
use crate::{
    event::{EventKey, micros},
    limits::{MEMORY_IDS_MAX, PAGE_BYTES, PAGE_ENTRIES},
    position::{Gap, GapReason, Position, Start},
    topic::Topic,
};

/// How often the feed hears the time.
const CLOCK_INTERVAL: Duration = Duration::from_secs(1);
/// How often idle topics are looked for.
const SWEEP_INTERVAL: Duration = Duration::from_secs(10);

pub struct Memory {
    shared: Arc<Shared>,
    ticker: Mutex<Option<AbortOnDropHandle<()>>>,
}

struct Shared {
    feed: Teller,
    /// Of those who store: who came first is first, also where there is no room on the feed.
    turn: tokio::sync::Mutex<()>,
    state: Mutex<State>,
    /// Changed only with `state` locked.
    configured: watch::Sender<Option<Arc<Configured>>>,
    registered: watch::Sender<Option<Arc<Registered>>>,
}

struct State {
    topics: HashMap<Topic, Line>,
    attached: HashMap<Topic, Weak<()>>,
    watched: bool,
    last_epoch: u64,
    clock: Clock,
}

/// One topic.
struct Line {
    epoch: u64,
    last: u64,
    last_time_us: u64,
    kept: VecDeque<Batch>,
    kept_events: u64,
    kept_bytes: u64,
    keeping: Keeping,
    /// The version of the settings that said how it is kept.
    said: u64,
    idle: Duration,
    used: Instant,
    lately: Lately,
}

/// Where events with keys were stored within a window of time.
#[derive(Default)]
struct Lately {
    /// As the topic's settings said last.
    window: Duration,
    places: HashMap<EventKey, Position>,
    /// Oldest first, each with its time: every key of `places`, once.
    order: VecDeque<(u64, EventKey)>,
}

/// The wall clock, made to never run backwards.
struct Clock {
    set_us: u64,
    set_at: Instant,
}

impl Memory {
    pub fn open() -> (Memory, Feed) {
        let (feed, news) = feed::channel();
        let state = State {
            topics: HashMap::new(),
            attached: HashMap::new(),
            watched: false,
            last_epoch: 0,
            clock: Clock { set_us: micros(SystemTime::now()), set_at: Instant::now() },
        };
        let shared = Arc::new(Shared {
            feed,
            turn: Default::default(),
            state: Mutex::new(state),
            configured: watch::Sender::new(Some(Arc::default())),
            registered: watch::Sender::new(Some(Arc::default())),
        });
        let ticker = AbortOnDropHandle::new(tokio::spawn(tick(shared.clone())));
        (Memory { shared, ticker: Mutex::new(Some(ticker)) }, news)
    }
}

/// Tells the time and forgets idle topics.
async fn tick(shared: Arc<Shared>) {
    let mut interval = tokio::time::interval(CLOCK_INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut swept = Instant::now();
    loop {
        interval.tick().await;
        let Ok(mut room) = shared.feed.reserve(1, 0).await else { return };
        let mut state = shared.state.lock();
        state.clock.follow(micros(SystemTime::now()));
        state.trim_by_age();
        // Told with the lock held: whatever was stored before is on the feed already.
        room.tell(News::Clock { time_us: state.clock.now_us() });
        if swept.elapsed() >= SWEEP_INTERVAL {
            swept = Instant::now();
            state.forget_idle_topics();
        }
    }
}

#[async_trait]
impl Backend for Memory {
    fn describe(&self) -> Description {
        Description {
            kind: "memory",
            durability: Durability::Memory,
            refuses_durable: None,
            summary: "in this process's memory: its end forgets every event".into(),
            warnings: vec![
                "events are kept in memory: a restart forgets them, and other brokers do not see \
                 them; use --redis to keep them in Redis"
                    .into(),
            ],
        }
    }

    async fn append(
        &self,
        topic: &Topic,
        settings: &Arc<TopicSettings>,
        append: Append,
    ) -> Result<Appended, BackendError> {
        assert!(!append.events.is_empty(), "{topic}: an empty batch was admitted");
        // Without tokio's budget, which could send the first one away before it stands in line.
        let _turn = coop::unconstrained(self.shared.turn.lock()).await;
        // At most a birth and a batch.
        let bytes = append.events.iter().map(|event| event.encoded().len()).sum();
        let mut room = self.shared.feed.reserve(2, bytes).await.map_err(closed)?;

        let mut state = self.shared.state.lock();
        if !state.topics.contains_key(topic) && self.shared.version_of(topic) != settings.version {
            return Err(BackendError::not_heard(topic));
        }
        let (batch, repeated, born) = state.append(topic, settings, append)?;
        let appended = Appended {
            first: Position::new(batch.epoch, batch.first),
            publish_time_us: batch.publish_time_us,
            durability: match state.topics[topic].keeping.mode {
                Mode::Live => Durability::Live,
                Mode::Durable => Durability::Memory,
            },
            repeated,
        };
        if batch.events.is_empty() {
            return Ok(appended);
        }
        if born && state.watched {
            room.tell(News::Appeared { topic: topic.clone(), epoch: batch.epoch });
        }
        if state.is_attached(topic) {
            room.tell(News::Stored { topic: topic.clone(), batch });
        }
        Ok(appended)
    }

    async fn attach(
        &self,
        topic: &Topic,
        _settings: &Arc<TopicSettings>,
    ) -> Result<Attachment, BackendError> {
        let mut room = self.shared.feed.reserve(1, 0).await.map_err(closed)?;
        let mut state = self.shared.state.lock();
        let held = Arc::new(());
        let attached = state.attached.entry(topic.clone()).or_default();
        if let Some(held) = attached.upgrade() {
            return Ok(Attachment::new(held));
        }
        *attached = Arc::downgrade(&held);
        room.tell(News::Attached { topic: topic.clone(), at: state.last(topic) });
        Ok(Attachment::new(held))
    }

    async fn check(&self, _topic: &Topic) -> Result<(), BackendError> {
        // Storing and telling are one step here.
        Ok(())
    }

    async fn read(&self, topic: &Topic, after: Position) -> Result<Page, BackendError> {
        let state = self.shared.state.lock();
        Ok(match state.topics.get(topic) {
            None => Page { last: None, entries: Vec::new(), complete: true },
            Some(line) => line.page(after),
        })
    }

    async fn seek(&self, topic: &Topic, start: Start) -> Result<Position, BackendError> {
        let state = self.shared.state.lock();
        let now_us = state.clock.now_us();
        Ok(state.topics.get(topic).map_or(Position::BEGINNING, |line| line.seek(start, now_us)))
    }

    async fn watch_topics(&self) -> Result<Vec<Topic>, BackendError> {
        let mut state = self.shared.state.lock();
        state.watched = true;
        Ok(state.topics.keys().cloned().collect())
    }

    fn topics(&self) -> &dyn Topics {
        self
    }

    fn registrations(&self) -> &dyn Registrations {
        self
    }

    async fn close(&self) {
        self.ticker.lock().take();
    }
}

#[async_trait]
impl Topics for Memory {
    fn configured(&self) -> watch::Receiver<Option<Arc<Configured>>> {
        self.shared.configured.subscribe()
    }

    async fn read_configured(&self) -> Result<Arc<Configured>, BackendError> {
        Ok(self.shared.configured())
    }

    async fn configure(
        &self,
        seen: u64,
        topic: &Topic,
        value: Option<Bytes>,
    ) -> Result<Option<Arc<Configured>>, BackendError> {
        let _state = self.shared.state.lock();
        let before = self.shared.configured();
        if before.version != seen {
            return Ok(None);
        }
        let mut configured = Configured::clone(&before);
        configured.version += 1;
        match value {
            Some(value) => {
                let said = Said { version: configured.version, value };
                configured.topics.insert(topic.clone(), said);
            }
            None => {
                configured.topics.remove(topic);
            }
        }
        let configured = Arc::new(configured);
        self.shared.configured.send_replace(Some(configured.clone()));
        Ok(Some(configured))
    }

    async fn keep(&self, topic: &Topic, settings: &Arc<TopicSettings>) -> Result<(), BackendError> {
        let mut room = self.shared.feed.reserve(1, 0).await.map_err(closed)?;
        let mut state = self.shared.state.lock();
        let born = state.begin(topic, settings);
        let watched = state.watched;
        let line = state.topics.get_mut(topic).expect("just begun");
        let takes_away = line.keeping.mode == Mode::Durable && settings.keeping.mode == Mode::Live;
        if takes_away {
            let cause = format!("{topic} is durable: it does not become a live topic");
            return Err(BackendError::Refused { cause });
        }
        (line.keeping, line.said) = (settings.keeping, settings.version);
        line.trim();
        if born && watched {
            room.tell(News::Appeared { topic: topic.clone(), epoch: line.epoch });
        }
        Ok(())
    }

    async fn meet(
        &self,
        _topic: &Topic,
        _settings: &Arc<TopicSettings>,
    ) -> Result<(), BackendError> {
        // There are no raw clients here.
        Ok(())
    }

    async fn state(&self, topic: &Topic) -> Result<Option<TopicState>, BackendError> {
        let state = self.shared.state.lock();
        Ok(state.topics.get(topic).map(|line| TopicState {
            keeping: line.keeping,
            first: line.kept.front().map(|batch| Position::new(batch.epoch, batch.first)),
            last: line.position(),
            bytes: line.kept_bytes,
        }))
    }

    async fn existing(&self) -> Result<Vec<Topic>, BackendError> {
        Ok(self.shared.state.lock().topics.keys().cloned().collect())
    }

    async fn delete(&self, topic: &Topic) -> Result<bool, BackendError> {
        let mut room = self.shared.feed.reserve(1, 0).await.map_err(closed)?;
        let mut state = self.shared.state.lock();
        let Some(line) = state.topics.remove(topic) else { return Ok(false) };
        if state.is_attached(topic) {
            let (after, until) = (line.position(), Position::BEGINNING);
            let gap = Gap::between(after, until, GapReason::EpochChanged);
            // All of them were told.
            let gap = Gap { missed: Some(0), ..gap };
            room.tell(News::Lost { topic: topic.clone(), gap });
        }
        Ok(true)
    }
}

#[async_trait]
impl Registrations for Memory {
    fn registered(&self) -> watch::Receiver<Option<Arc<Registered>>> {
        self.shared.registered.subscribe()
    }

    async fn read_registered(&self) -> Result<Arc<Registered>, BackendError> {
        Ok(self.shared.registered.borrow().clone().expect("never none"))
    }

    async fn register(
        &self,
        seen: &Registered,
        change: Registration,
    ) -> Result<Option<Arc<Registered>>, BackendError> {
        let mut after = None;
        self.shared.registered.send_if_modified(|registered| {
            let now = registered.as_ref().filter(|now| now.revision == seen.revision);
            after = now.map(|now| Arc::new(now.after(now.revision + 1, change)));
            if after.is_some() {
                registered.clone_from(&after);
            }
            after.is_some()
        });
        Ok(after)
    }
}

impl Shared {
    fn configured(&self) -> Arc<Configured> {
        self.configured.borrow().clone().expect("never none")
    }

    fn version_of(&self, topic: &Topic) -> u64 {
        let configured = self.configured.borrow();
        configured.as_ref().map_or(0, |configured| configured.version_of(topic))
    }
}

fn closed(_: Unheard) -> BackendError {
    BackendError::Unavailable { cause: "the broker is stopping".into() }
}

impl State {
    /// What was stored, which may be nothing, what was before, and whether the topic began with it.
    fn append(
        &mut self,
        topic: &Topic,
        settings: &TopicSettings,
        append: Append,
    ) -> Result<(Batch, Vec<Repeated>, bool), BackendError> {
        let now_us = self.clock.now_us();
        let last = self.last(topic);
        let line = self.topics.get_mut(topic);
        let born = line.is_none();
        let epoch = if born { now_us.max(self.last_epoch + 1) } else { last.epoch };
        let lately = line.map(|line| {
            line.lately.forget(settings.dedupe_window, now_us);
            &line.lately
        });
        let (mut events, mut keys, mut repeated) = (Vec::new(), Vec::new(), Vec::new());
        let mut together = HashMap::new();
        for (index, event) in append.events.into_iter().enumerate() {
            let key = event.key();
            let before = key
                .and_then(|key| together.get(&key).or_else(|| lately?.places.get(&key)).copied());
            if let Some(position) = before {
                repeated.push(Repeated { index, position });
                continue;
            }
            events.push(event.into_encoded());
            if let Some(key) = key {
                let position = Position::new(epoch, last.sequence + events.len() as u64);
                together.insert(key, position);
                keys.push((key, position));
            }
        }
        if let Some(expected) = append.expected_last
            && !events.is_empty()
            && expected != last
        {
            return Err(BackendError::Conflict { topic: topic.clone(), expected, actual: last });
        }
        if born {
            self.begin_at(topic, settings, epoch);
        }
        let line = self.topics.get_mut(topic).expect("just begun");
        // Who published has perhaps not heard yet what was said since.
        if settings.version >= line.said {
            (line.keeping, line.said) = (line.keeping.after(settings.keeping), settings.version);
        }
        line.idle = settings.idle;
        line.used = Instant::now();
        line.last_time_us = line.last_time_us.max(now_us);
        line.lately.window = settings.dedupe_window;
        keys.into_iter().for_each(|(key, position)| line.lately.note(key, position, now_us));
        let batch = Batch {
            epoch: line.epoch,
            first: line.last + 1,
            publish_time_us: line.last_time_us,
            events,
        };
        if !batch.events.is_empty() {
            line.keep(batch.clone());
        }
        Ok((batch, repeated, born))
    }

    /// Whether it did not exist before.
    fn begin(&mut self, topic: &Topic, settings: &TopicSettings) -> bool {
        let born = !self.topics.contains_key(topic);
        if born {
            self.begin_at(topic, settings, self.clock.now_us().max(self.last_epoch + 1));
        }
        born
    }

    fn begin_at(&mut self, topic: &Topic, settings: &TopicSettings, epoch: u64) {
        self.last_epoch = epoch;
        self.topics.insert(topic.clone(), Line::new(epoch, settings));
    }

    fn is_attached(&self, topic: &Topic) -> bool {
        self.attached.get(topic).is_some_and(|held| held.strong_count() > 0)
    }

    fn last(&self, topic: &Topic) -> Position {
        self.topics.get(topic).map_or(Position::BEGINNING, Line::position)
    }

    fn trim_by_age(&mut self) {
        let now_us = self.clock.now_us();
        for line in self.topics.values_mut() {
            line.trim_by_age(now_us);
            line.lately.forget(line.lately.window, now_us);
        }
    }

    fn forget_idle_topics(&mut self) {
        let now = Instant::now();
        self.attached.retain(|_, held| held.strong_count() > 0);
        let attached = &self.attached;
        self.topics.retain(|topic, line| {
            if attached.contains_key(topic) {
                line.used = now;
            }
            line.keeping.mode == Mode::Durable || now.duration_since(line.used) < line.idle
        });
    }
}

impl Line {
    fn new(epoch: u64, settings: &TopicSettings) -> Line {
        Line {
            epoch,
            last: 0,
            last_time_us: 0,
            kept: VecDeque::new(),
            kept_events: 0,
            kept_bytes: 0,
            keeping: settings.keeping,
            said: settings.version,
            idle: settings.idle,
            used: Instant::now(),
            lately: Lately::default(),
        }
    }

    fn position(&self) -> Position {
        Position::new(self.epoch, self.last)
    }

    /// The place before the oldest event that is kept.
    fn earliest(&self) -> Position {
        self.kept.front().map_or(self.position(), Batch::before)
    }

    fn keep(&mut self, batch: Batch) {
        self.last = batch.last().sequence;
        self.kept_events += batch.events.len() as u64;
        self.kept_bytes += batch.bytes() as u64;
        self.kept.push_back(batch);
        self.trim();
    }

    /// To what the topic keeps in events and bytes.
    fn trim(&mut self) {
        let max_events = self.keeping.retention.max_events.unwrap_or(u64::MAX);
        let max_bytes = self.keeping.retention.max_bytes.unwrap_or(u64::MAX);
        while self.kept_events > max_events || self.kept_bytes > max_bytes {
            let batch = self.kept.pop_front().expect("what is counted is kept");
            let before = (batch.events.len() as u64, batch.bytes() as u64);
            let (mut out, mut out_bytes) = (0, 0);
            for event in &batch.events {
                if self.kept_events - out <= max_events && self.kept_bytes - out_bytes <= max_bytes
                {
                    break;
                }
                out += 1;
                out_bytes += event.len() as u64;
            }
            assert!(out <= before.0 && out_bytes <= before.1, "trimmed more than there was");
            self.kept_events -= out;
            self.kept_bytes -= out_bytes;
            let through = batch.first + out - 1;
            if let Some(rest) = batch.after(through) {
                self.kept.push_front(rest);
            }
        }
    }

    /// To what it keeps in time: a batch goes as a whole.
    fn trim_by_age(&mut self, now_us: u64) {
        let Some(max_age) = self.keeping.retention.max_age else { return };
        let oldest_us =
            now_us.saturating_sub(u64::try_from(max_age.as_micros()).unwrap_or(u64::MAX));
        let too_old = self.kept.partition_point(|batch| batch.publish_time_us < oldest_us);
        for batch in self.kept.drain(..too_old) {
            self.kept_events -= batch.events.len() as u64;
            self.kept_bytes -= batch.bytes() as u64;
        }
    }

    fn page(&self, after: Position) -> Page {
        let mut page = Page { last: Some(self.position()), entries: Vec::new(), complete: true };
        // The order of storage is that of (epoch, sequence), as in Redis.
        if after.epoch > self.epoch {
            return page;
        }
        let from = if after.epoch == self.epoch {
            self.kept.partition_point(|batch| batch.last().sequence <= after.sequence)
        } else {
            if self.earliest().sequence == 0 {
                page.entries.push(Entry::Fence { epoch: self.epoch, created: true });
            }
            0
        };
        let mut bytes = 0;
        for batch in self.kept.range(from..) {
            if bytes >= PAGE_BYTES || page.entries.len() >= PAGE_ENTRIES {
                page.complete = false;
                break;
            }
            bytes += batch.bytes();
            page.entries.push(Entry::Batch(batch.clone()));
        }
        page
    }

    fn seek(&self, start: Start, now_us: u64) -> Position {
        match start {
            Start::Now => self.position(),
            Start::Earliest => self.earliest(),
            Start::Time(us) => self.seek_time(us),
            Start::Ago(ago) => {
                let ago = u64::try_from(ago.as_micros()).unwrap_or(u64::MAX);
                self.seek_time(now_us.saturating_sub(ago))
            }
            Start::Last(count) => {
                let wanted = self.last.saturating_sub(count);
                Position::new(self.epoch, wanted.max(self.earliest().sequence))
            }
        }
    }

    fn seek_time(&self, us: u64) -> Position {
        let found = self.kept.partition_point(|batch| batch.publish_time_us < us);
        self.kept.get(found).map_or(self.position(), Batch::before)
    }
}

impl Lately {
    fn note(&mut self, key: EventKey, position: Position, now_us: u64) {
        self.places.insert(key, position);
        self.order.push_back((now_us, key));
        if self.order.len() > MEMORY_IDS_MAX
            && let Some((_, oldest)) = self.order.pop_front()
        {
            self.places.remove(&oldest);
        }
    }

    fn forget(&mut self, window: Duration, now_us: u64) {
        let window_us = u64::try_from(window.as_micros()).unwrap_or(u64::MAX);
        let oldest_us = now_us.saturating_sub(window_us);
        while let Some((at_us, key)) = self.order.front()
            && *at_us < oldest_us
        {
            self.places.remove(key);
            self.order.pop_front();
        }
    }
}

impl Clock {
    fn now_us(&self) -> u64 {
        self.set_us + self.set_at.elapsed().as_micros() as u64
    }

    /// Where the wall clock went ahead, after a sleep of the machine for instance, follows it.
    fn follow(&mut self, wall_us: u64) {
        if wall_us > self.now_us() + 1_000_000 {
            *self = Clock { set_us: wall_us, set_at: Instant::now() };
        }
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory")
            .field("topics", &self.shared.state.lock().topics.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        backend::Retention,
        event::{Defaults, Event, admit},
        proto,
    };

    fn events(count: usize) -> Vec<Event> {
        let defaults = Defaults { source: "/t", event_type: None, now: SystemTime::UNIX_EPOCH };
        (0..count).map(|_| admit(proto::Event::default(), &defaults).expect("admitted")).collect()
    }

    fn topic(name: &str) -> Topic {
        name.parse().expect("a topic")
    }

    fn keeping(max_events: u64) -> Arc<TopicSettings> {
        let live = Keeping::of(Mode::Live);
        let retention = Retention { max_events: Some(max_events), ..live.retention };
        let keeping = Keeping { retention, ..live };
        Arc::new(TopicSettings { keeping, ..TopicSettings::default() })
    }

    #[tokio::test(start_paused = true)]
    async fn history_is_bounded_to_the_event_even_inside_a_batch() {
        let (memory, _feed) = Memory::open();
        let orders = topic("orders");
        for _ in 0..3 {
            memory.append(&orders, &keeping(4), events(3).into()).await.expect("stored");
        }
        let page = memory.read(&orders, Position::BEGINNING).await.expect("a page");
        let kept: Vec<_> = page.entries.iter().map(|entry| entry.before().sequence).collect();
        assert_eq!((page.last.map(|last| last.sequence), kept), (Some(9), vec![5, 6]));
        let first = memory.seek(&orders, Start::Earliest).await.expect("a place");
        assert_eq!(first.sequence, 5);
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_topic_is_forgotten_and_its_next_life_has_a_higher_epoch() {
        let (memory, mut feed) = Memory::open();
        tokio::spawn(async move { while feed.recv().await.is_some() {} });
        let (orders, kept) = (topic("orders"), topic("kept"));
        let settings =
            Arc::new(TopicSettings { idle: Duration::from_secs(60), ..TopicSettings::default() });
        let first = memory.append(&orders, &settings, events(1).into()).await.expect("stored");
        memory.append(&kept, &settings, events(1).into()).await.expect("stored");
        let _attachment = memory.attach(&kept, &settings).await.expect("attached");
        tokio::time::sleep(Duration::from_secs(120)).await;
        assert_eq!(memory.watch_topics().await.expect("topics"), [kept]);
        assert_eq!(memory.read(&orders, first.first).await.expect("a page").last, None);
        let second = memory.append(&orders, &settings, events(1).into()).await.expect("stored");
        assert!(second.first.epoch > first.first.epoch);
    }

    #[tokio::test(start_paused = true)]
    async fn publish_time_and_start_time_are_of_one_clock() {
        let (memory, mut feed) = Memory::open();
        tokio::spawn(async move { while feed.recv().await.is_some() {} });
        let orders = topic("orders");
        memory.append(&orders, &keeping(10), events(2).into()).await.expect("stored");
        tokio::time::sleep(Duration::from_secs(10)).await;
        let late = memory.append(&orders, &keeping(10), events(2).into()).await.expect("stored");
        for start in [Start::Ago(Duration::from_secs(5)), Start::Time(late.publish_time_us)] {
            assert_eq!(memory.seek(&orders, start).await.expect("a place").sequence, 2);
        }
    }
}
