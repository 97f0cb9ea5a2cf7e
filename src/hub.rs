//! From the backend's one feed to every subscriber of this broker.
//!
//! One task, the pump, takes the feed and writes each topic's news to the end of one shared,
//! bounded [`Log`]: encoded once, however many follow. Each follower has a cursor in it; a cursor
//! that lies before the log's start is what overflow is, and costs no one else anything. A
//! follower that has read everything asks to be rung once; the next entry rings it.
//!
//! The hub never reads history and never waits for a subscriber.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    sync::{Notify, mpsc, oneshot, watch},
    time::{Instant, MissedTickBehavior},
};
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, error};

use crate::{
    backend::{Attachment, Backend, BackendError, Batch, Feed, News},
    catalog::Catalog,
    item::{Events, Item},
    limits::{APPEARED_MAX, BACKEND_DEADLINE, LINGER, LOG_BYTES_MAX, LOG_ENTRIES_MAX},
    position::{Gap, GapReason, Position},
    topic::{Topic, TopicPattern},
};

/// The hub and its pump; the pump ends with the last clone.
#[derive(Debug, Clone)]
pub struct Hub {
    shared: Arc<Shared>,
    _pump: Arc<AbortOnDropHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    backend: Arc<dyn Backend>,
    catalog: Arc<Catalog>,
    topics: Mutex<Topics>,
    watchers: Mutex<Vec<Watcher>>,
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

/// What is shared of one topic: the newest news, in order, and the place they lead to.
#[derive(Debug, Default)]
struct Log {
    /// The index of the first entry; indexes only rise.
    start: u64,
    entries: VecDeque<Arc<Item>>,
    bytes: usize,
    /// After the last entry; none until the topic is attached.
    tail: Option<Position>,
    /// The lives of the topic that began right after [`Position::BEGINNING`], without a gap.
    born: Vec<u64>,
    waiting: Vec<(Arc<Doorbell>, usize)>,
}

/// How a subscription is told that there is something to do; it rings for all of its topics.
#[derive(Debug, Default)]
pub struct Doorbell {
    rung: Mutex<Rung>,
    notify: Notify,
}

/// Why the doorbell was rung.
#[derive(Debug, Default)]
pub struct Rung {
    /// Topics with news, by the number under which they were joined.
    pub topics: Vec<usize>,
    /// Topics that began to exist, with their epoch.
    pub appeared: VecDeque<(Topic, u64)>,
    /// More appeared than can be listed: ask the backend for all.
    pub overflowed: bool,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Took {
    Items,
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
    /// Starts the pump.
    pub fn spawn(backend: Arc<dyn Backend>, feed: Feed, catalog: Arc<Catalog>) -> Hub {
        let (settle, settling) = mpsc::channel(64);
        let shared = Arc::new(Shared {
            backend,
            catalog,
            topics: Mutex::default(),
            watchers: Mutex::default(),
            state: watch::Sender::default(),
            clock_us: AtomicU64::new(0),
            broken_chains: AtomicU64::new(0),
            settle,
        });
        let pump = AbortOnDropHandle::new(tokio::spawn(pump(shared.clone(), feed, settling)));
        Hub { shared, _pump: Arc::new(pump) }
    }

    pub fn backend(&self) -> &Arc<dyn Backend> {
        &self.shared.backend
    }

    pub fn state(&self) -> watch::Receiver<BackendState> {
        self.shared.state.subscribe()
    }

    /// Everything before this time has been given to the logs and the doorbells; 0 if unknown.
    pub fn clock_us(&self) -> u64 {
        self.shared.clock_us.load(Ordering::Acquire)
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
            members: AtomicU64::new(1),
        });
        topics.slots.insert(topic.clone(), slot.clone());
        tokio::spawn(attach(self.shared.clone(), slot.clone()));
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
    let settings = shared.catalog.settings(&slot.topic);
    match shared.backend.attach(&slot.topic, &settings).await {
        Ok(attachment) => {
            *slot.attachment.lock() = Some(attachment);
            slot.attach.send_modify(|attach| attach.confirmed = true);
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
        self.0.state.send_modify(|state| state.ended = true);
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
            _ = sweep.tick() => drop(shared.topics.lock().lingered()),
            news = feed.recv() => {
                let Some(news) = news else { return };
                shared.tell(news);
                for (left, _) in &mut waiting {
                    *left -= 1;
                }
                for (_, done) in waiting.extract_if(.., |(left, _)| *left == 0) {
                    let _ = done.send(());
                }
            }
        }
    }
}

impl Shared {
    fn tell(&self, news: News) {
        match news {
            News::Attached { topic, at } => {
                let Some(slot) = self.slot(&topic) else { return };
                slot.write(|log| log.begin(at));
                slot.attach.send_modify(|attach| attach.begun = true);
            }
            News::Stored { topic, batch } => {
                let Some(slot) = self.slot(&topic) else { return };
                slot.write(|log| self.stored(log, &topic, batch));
            }
            News::Lost { topic, gap } => {
                let Some(slot) = self.slot(&topic) else { return };
                slot.write(|log| self.lost(log, &topic, gap));
            }
            News::Raw { topic, event, time_us } => {
                let Some(slot) = self.slot(&topic) else { return };
                slot.write(|log| {
                    if log.tail.is_some() {
                        log.push(Item::Events(Events::raw(&topic, &event, time_us)));
                    }
                });
            }
            News::Appeared { topic, epoch } => self.appeared(&topic, epoch),
            News::Clock { time_us } => self.clock_us.store(time_us, Ordering::Release),
            News::Down { since_us } => {
                self.state.send_modify(|state| state.down_since_us = Some(since_us));
            }
            News::Up => self.state.send_modify(|state| state.down_since_us = None),
        }
    }

    fn slot(&self, topic: &Topic) -> Option<Arc<Slot>> {
        self.topics.lock().slots.get(topic).cloned()
    }

    fn stored(&self, log: &mut Log, topic: &Topic, batch: Batch) {
        // Before the chain begins, this belongs to an attachment that has ended.
        let Some(tail) = log.tail else { return };
        let before = batch.before();
        let first_ever = tail.is_beginning() && before.sequence == 0;
        if first_ever {
            log.born.truncate(1);
            log.born.push(before.epoch);
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
                log.push(Item::Gap(gap));
                batch
            }
        };
        log.tail = Some(batch.last());
        for events in Events::of(topic, &batch) {
            log.push(Item::Events(events));
        }
    }

    fn lost(&self, log: &mut Log, topic: &Topic, mut gap: Gap) {
        let Some(tail) = log.tail else { return };
        if gap.after != tail {
            self.chain_broke(topic, tail, gap.after);
            gap = Gap { after: tail, missed: None, ..gap };
        }
        log.tail = Some(gap.until);
        log.push(Item::Gap(gap));
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
        for watcher in self.watchers.lock().iter() {
            if watcher.patterns.iter().any(|pattern| pattern.matches(topic)) {
                watcher.doorbell.ring(|rung| {
                    if rung.appeared.len() < APPEARED_MAX {
                        rung.appeared.push_back((topic.clone(), epoch));
                    } else {
                        rung.overflowed = true;
                    }
                });
            }
        }
    }
}

impl Slot {
    /// Changes the log, and rings whoever waited for that, the lock released.
    fn write(&self, change: impl FnOnce(&mut Log)) {
        let waiting = {
            let mut log = self.log.lock();
            let before = log.next();
            change(&mut log);
            if log.next() == before { Vec::new() } else { std::mem::take(&mut log.waiting) }
        };
        for (doorbell, number) in waiting {
            doorbell.ring(|rung| rung.topics.push(number));
        }
    }
}

impl Log {
    /// The index of the entry that will come next.
    fn next(&self) -> u64 {
        self.start + self.entries.len() as u64
    }

    /// The chain begins at `at`. Where another chain was followed before, all have overflowed:
    /// each reads what lies between.
    fn begin(&mut self, at: Position) {
        if self.tail.is_some_and(|tail| tail != at) {
            self.start = self.next() + 1;
            self.entries.clear();
            self.bytes = 0;
            self.born.clear();
        }
        self.tail = Some(at);
    }

    fn push(&mut self, item: Item) {
        self.bytes += item.bytes();
        self.entries.push_back(Arc::new(item));
        // The newest stays, however large: it may be what everyone is waiting for.
        while (self.bytes > LOG_BYTES_MAX || self.entries.len() > LOG_ENTRIES_MAX)
            && self.entries.len() > 1
        {
            let oldest = self.entries.pop_front().expect("more than one");
            self.bytes -= oldest.bytes();
            self.start += 1;
        }
    }
}

impl Member {
    pub fn topic(&self) -> &Topic {
        &self.slot.topic
    }

    /// Goes to the end of the log: the place there, from which [`Member::take`] goes on.
    pub fn rejoin(&mut self) -> Position {
        let log = self.slot.log.lock();
        self.cursor = log.next();
        log.tail.expect("only members of a log that has begun are given out")
    }

    pub fn tail(&self) -> Position {
        self.slot.log.lock().tail.unwrap_or_default()
    }

    /// Moves what comes next, at least one item and about `bytes`, to `items`.
    pub fn take(&mut self, bytes: usize, items: &mut VecDeque<Arc<Item>>) -> Took {
        let mut log = self.slot.log.lock();
        if self.cursor < log.start {
            self.cursor = log.next();
            // Of two births nobody could say which one a follower at the beginning has missed.
            let born = if let [epoch] = log.born[..] { Some(epoch) } else { None };
            return Took::Overflowed { place: log.tail.unwrap_or_default(), born };
        }
        let from = (self.cursor - log.start) as usize;
        let mut taken = 0;
        for item in log.entries.range(from..) {
            taken += item.bytes();
            items.push_back(item.clone());
            self.cursor += 1;
            if taken >= bytes {
                break;
            }
        }
        if taken > 0 {
            return Took::Items;
        }
        log.waiting.push((self.doorbell.clone(), self.number));
        Took::Waiting
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        {
            // Whoever follows a quiet topic and leaves must not wait in its log for ever.
            let mut log = self.slot.log.lock();
            let ours = |(doorbell, number): &(Arc<Doorbell>, usize)| {
                *number == self.number && Arc::ptr_eq(doorbell, &self.doorbell)
            };
            if let Some(found) = log.waiting.iter().position(ours) {
                log.waiting.swap_remove(found);
            }
        }
        let mut topics = self.shared.topics.lock();
        let members = self.slot.members.fetch_sub(1, Ordering::Relaxed);
        assert!(members > 0, "left topic {} more often than joined", self.slot.topic);
        let present = topics.slots.get(&self.slot.topic);
        if members == 1 && present.is_some_and(|present| Arc::ptr_eq(present, &self.slot)) {
            topics.empty.insert(self.slot.topic.clone(), Instant::now());
        }
    }
}

impl Doorbell {
    fn ring(&self, why: impl FnOnce(&mut Rung)) {
        why(&mut self.rung.lock());
        self.notify.notify_one();
    }

    /// Returns once it was rung since the last [`Doorbell::answer`]; sometimes without a reason.
    /// Cancel safe.
    pub async fn wait(&self) {
        self.notify.notified().await;
    }

    pub fn answer(&self) -> Rung {
        std::mem::take(&mut self.rung.lock())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let ours = |watcher: &Watcher| Arc::ptr_eq(&watcher.doorbell, &self.doorbell);
        self.shared.watchers.lock().retain(|watcher| !ours(watcher));
    }
}
