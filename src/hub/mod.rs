//! From the backend's one feed to every subscriber of this broker.
//!
//! One task, the pump, takes the feed and writes each topic's news to the end of one shared,
//! bounded [`log`]: encoded once, however many follow. What has come together for one topic is
//! appended together. Each follower has a cursor in the log; one that has read everything asks to
//! be rung once ([`doorbell`]), and the next entry rings it.
//!
//! What followers missed they read through [`history`], in turn. The hub never waits for a subscriber.

mod doorbell;
mod history;
mod log;
mod misfits;

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{
    runtime::Handle,
    sync::{Semaphore, mpsc, oneshot, watch},
    time::{Instant, MissedTickBehavior},
};
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, error, warn};

pub use self::{
    doorbell::{Doorbell, Ringer, Rung},
    history::{Stretch, Turn},
    misfits::Misfits,
};
use self::{
    doorbell::{Doorbells, Rings},
    history::History,
    log::{Chain, Found, Log},
};
use crate::{
    backend::{Attachment, Backend, BackendError, Batch, Feed, News, TopicSettings},
    blocking::returned,
    catalog::Catalog,
    frame::Frame,
    item::{Events, Item, Items},
    lens::{Lens, Lenses},
    limits::{BACKEND_DEADLINE, LINGER, NEWS_BYTES_TOGETHER, NEWS_TOGETHER_MAX, SHOWING_MAX},
    position::{Gap, GapReason, Position},
    schema::Registry,
    topic::{Topic, TopicPattern},
};

/// The hub and its pump; the pump ends with the last clone.
#[derive(Debug, Clone)]
pub struct Hub {
    shared: Arc<Shared>,
    _tasks: Arc<[AbortOnDropHandle<()>; 2]>,
}

#[derive(Debug)]
struct Shared {
    backend: Arc<dyn Backend>,
    history: History,
    catalog: Arc<Catalog>,
    registry: Arc<Registry>,
    misfits: Misfits,
    /// Where tasks run that serve more than the one who needed them first.
    runtime: Handle,
    topics: Mutex<Topics>,
    watchers: Mutex<Vec<Watcher>>,
    doorbells: Doorbells,
    lenses: Lenses,
    /// For what takes long to show.
    showing: Arc<Semaphore>,
    state: watch::Sender<BackendState>,
    clock_us: AtomicU64,
    broken_chains: AtomicU64,
    settle: mpsc::Sender<oneshot::Sender<()>>,
}

/// What every stream of this broker is to know about the backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BackendState {
    pub down_since_us: Option<u64>,
    /// The feed has ended: nothing will come any more.
    pub ended: bool,
}

#[derive(Debug, Default)]
struct Topics {
    slots: HashMap<Topic, Arc<Slot>>,
    /// Since when nobody follows them.
    empty: HashMap<Topic, Instant>,
}

/// One topic that is attached, or about to be.
#[derive(Debug)]
struct Slot {
    topic: Topic,
    log: Mutex<Log>,
    attach: watch::Sender<Attach>,
    attachment: Mutex<Option<Attachment>>,
    /// By which it is attached.
    settings: Mutex<Option<Arc<TopicSettings>>>,
    /// Changed only with [`Shared::topics`] locked.
    members: AtomicU64,
}

#[derive(Debug, Default)]
struct Attach {
    confirmed: bool,
    /// The pump has seen where the chain begins.
    begun: bool,
    failed: Option<BackendError>,
}

/// One follower of one topic. Dropping it leaves the topic.
#[derive(Debug)]
pub struct Member {
    shared: Arc<Shared>,
    slot: Arc<Slot>,
    cursor: u64,
    doorbell: Arc<Doorbell>,
    number: usize,
}

/// What [`Member::take`] found.
#[derive(Debug)]
pub enum Took {
    Item(Arc<Item>),
    /// The last one that is there: the doorbell will be rung once when there are more.
    Last(Arc<Item>),
    /// Nothing is there: the doorbell will be rung once when there is.
    Waiting,
    /// Entries were overwritten before they were read. Read history up to `place`, then take
    /// again: the cursor stands right behind it.
    Overflowed {
        place: Position,
        born: Option<u64>,
    },
}

/// Tells a subscription of new topics until it is dropped.
#[derive(Debug)]
pub struct Watch {
    shared: Arc<Shared>,
    doorbell: Arc<Doorbell>,
}

#[derive(Debug)]
struct Watcher {
    patterns: Arc<[TopicPattern]>,
    doorbell: Arc<Doorbell>,
}

impl Hub {
    /// Starts the pump, on the runtime of the caller.
    pub fn spawn(
        backend: Arc<dyn Backend>,
        feed: Feed,
        catalog: Arc<Catalog>,
        registry: Arc<Registry>,
    ) -> Hub {
        let (settle, settling) = mpsc::channel(64);
        let shared = Arc::new(Shared {
            backend,
            history: History::default(),
            catalog,
            registry,
            misfits: Misfits::default(),
            runtime: Handle::current(),
            topics: Mutex::default(),
            watchers: Mutex::default(),
            doorbells: Doorbells::default(),
            lenses: Lenses::default(),
            showing: Arc::new(Semaphore::new(SHOWING_MAX)),
            state: watch::Sender::default(),
            clock_us: AtomicU64::new(0),
            broken_chains: AtomicU64::new(0),
            settle,
        });
        let pump = AbortOnDropHandle::new(tokio::spawn(pump(shared.clone(), feed, settling)));
        let following = shared.clone().follow_settings();
        let following = AbortOnDropHandle::new(tokio::spawn(following));
        Hub { shared, _tasks: Arc::new([pump, following]) }
    }

    pub fn backend(&self) -> &Arc<dyn Backend> {
        &self.shared.backend
    }

    /// A stretch of a topic's history, of which nothing is needed behind `until`, in turn with all others
    /// who read some. Dropping it gives up.
    pub fn read(
        &self,
        topic: Topic,
        after: Position,
        until: Position,
    ) -> impl Future<Output = Result<(Stretch, Turn), BackendError>> + use<> {
        let shared = self.shared.clone();
        // A task, because a turn must pass also where its reader's client does not read, and the
        // reader is not polled.
        let reading = AbortOnDropHandle::new(tokio::spawn(async move {
            shared.history.read(&*shared.backend, &topic, after, until).await
        }));
        async { returned(reading.await).await }
    }

    /// What [`Events::show`] shows of an item's events, made on a thread that serves nobody.
    pub fn show(
        &self,
        item: Arc<Item>,
        lens: Arc<Lens>,
    ) -> impl Future<Output = (VecDeque<Frame>, bool)> + use<> {
        let shared = self.shared.clone();
        async move {
            let turn = shared.showing.clone().acquire_owned().await.expect("it is never closed");
            let runtime = shared.runtime.clone();
            let show = move || {
                let (_turn, mut frames) = (turn, VecDeque::new());
                let Item::Events(events) = &*item else { unreachable!("a gap is told at once") };
                let last_is_told = events.show(&lens, &shared.registry, &mut frames);
                (frames, last_is_told)
            };
            returned(runtime.spawn_blocking(show).await).await
        }
    }

    /// A doorbell, rung also when [`Hub::state`] changes or by [`Hub::ring_all`]. Whoever listens
    /// is woken by `ringer`, where there is one.
    pub fn doorbell(&self, ringer: Option<Ringer>) -> Arc<Doorbell> {
        self.shared.doorbells.hang(ringer)
    }

    pub fn ring_all(&self) {
        self.shared.doorbells.ring_all();
    }

    pub fn registry(&self) -> &Arc<Registry> {
        &self.shared.registry
    }

    pub fn misfits(&self) -> &Misfits {
        &self.shared.misfits
    }

    pub fn lenses(&self) -> &Lenses {
        &self.shared.lenses
    }

    pub fn present(&self) -> BackendState {
        *self.shared.state.borrow()
    }

    pub fn state(&self) -> watch::Receiver<BackendState> {
        self.shared.state.subscribe()
    }

    /// Everything before this time has been given to the logs and the doorbells; 0 if unknown.
    pub fn clock_us(&self) -> u64 {
        self.shared.clock_us.load(Ordering::Acquire)
    }

    /// How many follow the topic here.
    pub fn members(&self, topic: &Topic) -> u64 {
        let topics = self.shared.topics.lock();
        topics.slots.get(topic).map_or(0, |slot| slot.members.load(Ordering::Relaxed))
    }

    /// How often the backend broke its promise that each news begins where the last one ended.
    pub fn broken_chains(&self) -> u64 {
        self.shared.broken_chains.load(Ordering::Relaxed)
    }

    /// Follows `topic` from the place that is returned. Those who join at once share one attach;
    /// when it fails each is told, and the next one tries again. Cancel safe.
    pub async fn join(
        &self,
        topic: &Topic,
        doorbell: Arc<Doorbell>,
        number: usize,
    ) -> Result<(Member, Position), BackendError> {
        let slot = self.enter(topic);
        let mut attach = slot.attach.subscribe();
        // From here on leaving is undone by the member's drop.
        let mut member = Member { shared: self.shared.clone(), slot, cursor: 0, doorbell, number };
        let attach = attach
            .wait_for(|attach| attach.failed.is_some() || (attach.confirmed && attach.begun))
            .await
            .expect("the slot that owns the sender is held by the member");
        if let Some(error) = &attach.failed {
            return Err(error.clone());
        }
        drop(attach);
        let place = member.rejoin();
        Ok((member, place))
    }

    fn enter(&self, topic: &Topic) -> Arc<Slot> {
        let mut topics = self.shared.topics.lock();
        topics.empty.remove(topic);
        if let Some(slot) = topics.slots.get(topic) {
            slot.members.fetch_add(1, Ordering::Relaxed);
            return slot.clone();
        }
        let slot = Arc::new(Slot {
            topic: topic.clone(),
            log: Mutex::default(),
            attach: watch::Sender::default(),
            attachment: Mutex::default(),
            settings: Mutex::default(),
            members: AtomicU64::new(1),
        });
        topics.slots.insert(topic.clone(), slot.clone());
        self.shared.runtime.spawn(attach(self.shared.clone(), slot.clone()));
        slot
    }

    /// From now on the doorbell tells of topics that begin to exist and match.
    pub fn watch(&self, patterns: Arc<[TopicPattern]>, doorbell: Arc<Doorbell>) -> Watch {
        let watcher = Watcher { patterns, doorbell: doorbell.clone() };
        self.shared.watchers.lock().push(watcher);
        Watch { shared: self.shared.clone(), doorbell }
    }

    /// Compares with what is stored, and returns when the logs hold all of it, or when the
    /// backend's deadline is over.
    pub async fn check(&self, topic: &Topic) -> Result<(), BackendError> {
        self.shared.backend.check(topic).await?;
        self.settle().await
    }

    /// Returns when the logs hold everything that is on the feed now.
    pub async fn settle(&self) -> Result<(), BackendError> {
        let (done, settled) = oneshot::channel();
        let settle = async {
            if self.shared.settle.send(done).await.is_ok() {
                // An error means that the pump has ended, and with it all news.
                let _ = settled.await;
            }
        };
        let timeout = BackendError::Timeout { after: BACKEND_DEADLINE };
        tokio::time::timeout(BACKEND_DEADLINE, settle).await.map_err(|_| timeout)
    }
}

/// Attaches in a task of its own, so that whoever asked first may give up without the others.
async fn attach(shared: Arc<Shared>, slot: Arc<Slot>) {
    let attached = match shared.catalog.settings(&slot.topic) {
        Ok(settings) => {
            let attached = shared.backend.attach(&slot.topic, &settings).await;
            *slot.settings.lock() = Some(settings);
            attached
        }
        Err(error) => Err(error),
    };
    match attached {
        Ok(attachment) => {
            *slot.attachment.lock() = Some(attachment);
            slot.attach.send_modify(|attach| attach.confirmed = true);
            // They may have changed meanwhile.
            shared.meet(&slot).await;
        }
        Err(error) => {
            debug!(topic = %slot.topic, %error, "not attached");
            shared.topics.lock().remove(&slot);
            slot.attach.send_modify(|attach| attach.failed = Some(error));
        }
    }
}

impl Topics {
    fn remove(&mut self, slot: &Arc<Slot>) {
        if self.slots.get(&slot.topic).is_some_and(|present| Arc::ptr_eq(present, slot)) {
            self.slots.remove(&slot.topic);
            self.empty.remove(&slot.topic);
        }
    }

    /// Topics that nobody has followed for a while are detached by the drop of what is returned.
    fn lingered(&mut self) -> Vec<Arc<Slot>> {
        let now = Instant::now();
        let over = |since: &Instant| now.duration_since(*since) >= LINGER;
        let gone: Vec<_> = self.empty.extract_if(|_, since| over(since)).collect();
        gone.iter().filter_map(|(topic, _)| self.slots.remove(topic)).collect()
    }
}

/// Says that nothing will come any more, also when the pump panics.
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.set_state(|state| state.ended = true);
    }
}

async fn pump(
    shared: Arc<Shared>,
    mut feed: Feed,
    mut settling: mpsc::Receiver<oneshot::Sender<()>>,
) {
    let _ending = Ending(shared.clone());
    let mut sweep = tokio::time::interval(Duration::from_secs(1));
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Who waits until so many news more have been taken.
    let mut waiting: Vec<(usize, oneshot::Sender<()>)> = Vec::new();
    loop {
        tokio::select! {
            // What waits to be settled counts what is on the feed now; the sweep is rare. The
            // feed comes last, so that a flood of news cannot keep the others out.
            biased;
            Some(done) = settling.recv() => match feed.len() {
                0 => _ = done.send(()),
                news => waiting.push((news, done)),
            },
            _ = sweep.tick() => {
                drop(shared.topics.lock().lingered());
                shared.history.sweep();
            }
            first = feed.recv() => {
                let Some(first) = first else { return };
                let news = together(first, &mut feed);
                let count = news.len();
                shared.tell(news);
                for (left, _) in &mut waiting {
                    *left = left.saturating_sub(count);
                }
                for (_, done) in waiting.extract_if(.., |(left, _)| *left == 0) {
                    let _ = done.send(());
                }
            }
        }
    }
}

/// What is on the feed already and may be told in one go.
fn together(first: News, feed: &mut Feed) -> Vec<News> {
    let mut bytes = first.bytes();
    let mut news = vec![first];
    while news.len() < NEWS_TOGETHER_MAX
        && bytes < NEWS_BYTES_TOGETHER
        && let Ok(next) = feed.try_recv()
    {
        bytes += next.bytes();
        news.push(next);
    }
    news
}

impl Shared {
    /// Topics that are attached are met by raw clients as their settings say, also when those
    /// change.
    async fn follow_settings(self: Arc<Shared>) {
        let Some(mut changes) = self.catalog.changes() else { return };
        // An error means that the backend is gone.
        while changes.changed().await.is_ok() {
            let slots: Vec<_> = self.topics.lock().slots.values().cloned().collect();
            for slot in slots {
                self.meet(&slot).await;
            }
        }
    }

    async fn meet(&self, slot: &Slot) {
        let Ok(now) = self.catalog.settings(&slot.topic) else { return };
        let is_met_otherwise = |before: &Arc<TopicSettings>| {
            before.bridge != now.bridge || before.default_type != now.default_type
        };
        // None: it is being attached, and looks for itself then.
        if !slot.settings.lock().as_ref().is_some_and(is_met_otherwise) {
            return;
        }
        match self.backend.topics().meet(&slot.topic, &now).await {
            Ok(()) => *slot.settings.lock() = Some(now),
            Err(error) => warn!(topic = %slot.topic, %error, "raw clients meet it as before"),
        }
    }

    fn tell(&self, news: Vec<News>) {
        let mut news = news.into_iter().peekable();
        while let Some(first) = news.next() {
            let mut of_topics = Vec::new();
            match first {
                News::Appeared { topic, epoch } => self.appeared(&topic, epoch),
                News::Clock { time_us } => self.clock_us.store(time_us, Ordering::Release),
                News::Down { since_us } => {
                    self.set_state(|state| state.down_since_us = Some(since_us));
                }
                News::Up => self.set_state(|state| state.down_since_us = None),
                News::Attached { .. }
                | News::Stored { .. }
                | News::Lost { .. }
                | News::Raw { .. } => {
                    of_topics.push(first);
                    of_topics.extend(std::iter::from_fn(|| news.next_if(|n| n.topic().is_some())));
                }
            }
            // Stable: of one topic the order stays; between topics there is none.
            of_topics.sort_by(|a, b| a.topic().cmp(&b.topic()));
            while !of_topics.is_empty() {
                let topic = of_topics[0].topic().cloned().expect("news of a topic");
                let others = of_topics.iter().position(|news| news.topic() != Some(&topic));
                let rest = of_topics.split_off(others.unwrap_or(of_topics.len()));
                self.tell_topic(&topic, std::mem::replace(&mut of_topics, rest));
            }
        }
    }

    /// The news of one topic, in their order.
    fn tell_topic(&self, topic: &Topic, news: Vec<News>) {
        let Some(slot) = self.topics.lock().slots.get(topic).cloned() else { return };
        let mut rings = Rings::default();
        // Encoded before the log is locked again: only the pump writes to it.
        let mut story = Story::after(slot.log.lock().chain());
        for news in news {
            match news {
                News::Attached { at, .. } => {
                    self.history.forget(topic);
                    let (items, chain) = story.end(topic);
                    let mut log = slot.log.lock();
                    log.append(items, chain, &mut rings);
                    log.begin(at, &mut rings);
                    story = Story::after(log.chain());
                    drop(log);
                    slot.attach.send_modify(|attach| attach.begun = true);
                }
                News::Stored { batch, .. } => self.stored(&mut story, topic, batch),
                News::Lost { gap, .. } => {
                    self.history.forget(topic);
                    self.lost(&mut story, topic, gap);
                }
                News::Raw { event, time_us, .. } => self.raw(&mut story, topic, event, time_us),
                News::Appeared { .. } | News::Clock { .. } | News::Down { .. } | News::Up => (),
            }
        }
        let (items, chain) = story.end(topic);
        slot.log.lock().append(items, chain, &mut rings);
    }

    fn set_state(&self, change: impl FnOnce(&mut BackendState)) {
        self.state.send_modify(change);
        self.doorbells.ring_all();
    }

    fn stored(&self, story: &mut Story, topic: &Topic, batch: Batch) {
        // Before the chain begins, this belongs to an attachment that has ended.
        let Some(tail) = story.chain.tail else { return };
        let before = batch.before();
        let first_ever = tail.is_beginning() && before.sequence == 0;
        if first_ever {
            story.chain.born = story.chain.born.again(before.epoch);
        }
        let batch = if before == tail || first_ever {
            batch
        } else {
            self.chain_broke(topic, tail, before);
            if tail.has_reached(before) {
                // Told again: only what is new in it.
                let Some(rest) = batch.after(tail.sequence) else { return };
                rest
            } else {
                let gap = Gap::between(tail, before, GapReason::EpochChanged);
                story.items.push(topic, Item::Gap(gap));
                batch
            }
        };
        story.chain.tail = Some(batch.last());
        story.items.stored(topic, batch);
    }

    fn lost(&self, story: &mut Story, topic: &Topic, mut gap: Gap) {
        let Some(tail) = story.chain.tail else { return };
        if gap.after != tail {
            self.chain_broke(topic, tail, gap.after);
            gap = Gap { after: tail, missed: None, ..gap };
        }
        story.chain.tail = Some(gap.until);
        story.items.push(topic, Item::Gap(gap));
    }

    /// Of a raw client, that has passed no door. Where the topic asks something of its events, what
    /// is none is missing.
    fn raw(&self, story: &mut Story, topic: &Topic, event: Bytes, time_us: u64) {
        let Some(tail) = story.chain.tail else { return };
        let delivered = match self.catalog.settings(topic) {
            Ok(settings) => self.misfits.raw(topic, &settings.schema, &self.registry, event),
            Err(_) => Some(event),
        };
        let item = match delivered {
            Some(event) => Item::Events(Events::raw(topic, &event, time_us)),
            None => Item::Gap(Gap {
                after: tail,
                until: tail,
                missed: Some(1),
                reason: GapReason::Undecodable,
            }),
        };
        story.items.push(topic, item);
    }

    /// Our bug, in the backend. Whoever follows gets a gap: it may be false, but it is not silent.
    fn chain_broke(&self, topic: &Topic, tail: Position, begins: Position) {
        self.broken_chains.fetch_add(1, Ordering::Relaxed);
        error!(%topic, %tail, %begins, "BUG: the backend's news do not join");
    }

    fn appeared(&self, topic: &Topic, epoch: u64) {
        if topic.is_reserved() {
            return;
        }
        let mut rings = Rings::default();
        for watcher in self.watchers.lock().iter() {
            if watcher.patterns.iter().any(|pattern| pattern.matches(topic)) {
                watcher.doorbell.ring(&mut rings, |rung| rung.appeared(topic, epoch));
            }
        }
    }
}

/// What is to be appended to a topic's log, and where it leads.
struct Story {
    chain: Chain,
    items: Items,
}

impl Story {
    fn after(chain: Chain) -> Story {
        Story { chain, items: Items::default() }
    }

    fn end(self, topic: &Topic) -> (Vec<Item>, Chain) {
        (self.items.end(topic), self.chain)
    }
}

impl Member {
    pub fn topic(&self) -> &Topic {
        &self.slot.topic
    }

    pub fn registry(&self) -> &Registry {
        &self.shared.registry
    }

    /// Goes to the end of the log: the place there, from which [`Member::take`] goes on.
    pub fn rejoin(&mut self) -> Position {
        let log = self.slot.log.lock();
        self.cursor = log.next();
        log.chain().tail.expect("only members of a log that has begun are given out")
    }

    pub fn tail(&self) -> Position {
        self.slot.log.lock().chain().tail.unwrap_or_default()
    }

    /// What comes next: one item, of about `bytes` where there are many small ones.
    pub fn take(&mut self, bytes: usize) -> Took {
        let mut log = self.slot.log.lock();
        match log.take(&mut self.cursor, bytes) {
            Found::Item(item, false) => Took::Item(item),
            Found::Item(item, true) => {
                log.wait(&self.doorbell, self.number);
                Took::Last(item)
            }
            Found::Overflowed(chain) => {
                Took::Overflowed { place: chain.tail.unwrap_or_default(), born: chain.born.only() }
            }
            Found::Nothing => {
                log.wait(&self.doorbell, self.number);
                Took::Waiting
            }
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.slot.log.lock().leave(&self.doorbell, self.number);
        let mut topics = self.shared.topics.lock();
        let members = self.slot.members.fetch_sub(1, Ordering::Relaxed);
        assert!(members > 0, "left topic {} more often than joined", self.slot.topic);
        let present = topics.slots.get(&self.slot.topic);
        if members == 1 && present.is_some_and(|present| Arc::ptr_eq(present, &self.slot)) {
            topics.empty.insert(self.slot.topic.clone(), Instant::now());
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let ours = |watcher: &Watcher| Arc::ptr_eq(&watcher.doorbell, &self.doorbell);
        self.shared.watchers.lock().retain(|watcher| !ours(watcher));
    }
}
