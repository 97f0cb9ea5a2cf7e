//! History as subscriptions read it: in turn, a few pages at a time for the whole broker, and what one has
//! read lately is there for those who come to the same place.
//!
//! Without turns many readers ask for so much at once that the backend does not answer in time, nobody
//! gets anywhere, and what is live waits behind all of it. Without sharing, those who catch up together
//! read as often as they are many what happens meanwhile.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::yield_now,
    time::Instant,
};

use crate::{
    backend::{Backend, BackendError, Batch, Entry, Page},
    limits::{
        HISTORY_KEPT_BYTES, HISTORY_KEPT_FOR, HISTORY_SHARED_ENTRIES, HISTORY_TURNS, PAGE_BYTES,
    },
    position::Position,
    topic::Topic,
};

#[derive(Debug)]
pub(super) struct History {
    /// Given in the order in which they were asked for.
    turns: Arc<Semaphore>,
    /// Who reads or waits for a turn.
    readers: AtomicUsize,
    kept: Mutex<Kept>,
}

/// Around its events.
const BATCH_BYTES: usize = 128;

/// Epoch and sequence before the first event. Epochs have no order, but here any does.
type Begins = (u64, u64);

/// Pages that were read lately, and are the same for whoever reads them.
#[derive(Debug, Default)]
struct Kept {
    topics: HashMap<Topic, BTreeMap<Begins, KeptPage>>,
    /// The oldest first. Some may be gone already.
    order: VecDeque<(Topic, Begins)>,
    bytes: usize,
    /// Counts what made pages that were being read worthless.
    generation: u64,
}

#[derive(Debug)]
struct KeptPage {
    /// Of one epoch, each right behind the one before; never empty.
    batches: Vec<Batch>,
    /// What the topic had reached, at least.
    reached: Position,
    bytes: usize,
    used: Instant,
}

impl Default for History {
    fn default() -> History {
        History {
            turns: Arc::new(Semaphore::new(HISTORY_TURNS)),
            readers: AtomicUsize::new(0),
            kept: Mutex::default(),
        }
    }
}

impl History {
    /// A page after this place. Whoever waits for it need not be there any more when it comes.
    pub(super) async fn read(
        &self,
        backend: &dyn Backend,
        topic: &Topic,
        after: Position,
    ) -> Result<Page, BackendError> {
        let _reader = Reader::among(&self.readers);
        let turn = self.turns.clone().acquire_owned().await.expect("it is never closed");
        let page = self.read_now(backend, topic, after).await;
        tokio::spawn(pass_on(turn));
        page
    }

    async fn read_now(
        &self,
        backend: &dyn Backend,
        topic: &Topic,
        after: Position,
    ) -> Result<Page, BackendError> {
        if let Some(page) = self.kept.lock().page(topic, after) {
            return Ok(page);
        }
        let generation = self.kept.lock().generation;
        let page = backend.read(topic, after).await?;
        // To keep it costs, and who reads alone needs it only once.
        let shared = self.readers.load(Ordering::Relaxed) > 1;
        if shared && let Some(page) = KeptPage::of(&page, after) {
            self.kept.lock().keep(topic, page, generation);
        }
        Ok(page)
    }

    /// What is told of the topic says that its history is not what it was.
    pub(super) fn forget(&self, topic: &Topic) {
        let mut kept = self.kept.lock();
        kept.generation += 1;
        for page in kept.topics.remove(topic).unwrap_or_default().into_values() {
            kept.bytes -= page.bytes;
        }
    }

    /// Pages that nobody came for.
    pub(super) fn sweep(&self) {
        self.kept.lock().sweep();
    }
}

/// Counted as long as it is there.
struct Reader<'a>(&'a AtomicUsize);

impl Reader<'_> {
    fn among(readers: &AtomicUsize) -> Reader<'_> {
        readers.fetch_add(1, Ordering::Relaxed);
        Reader(readers)
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// When whoever got the page has dealt with it, and all else that its thread had to do: pages that come faster
/// would pile up before what is live.
async fn pass_on(turn: OwnedSemaphorePermit) {
    yield_now().await;
    drop(turn);
}

impl Kept {
    /// What is kept right behind this place, of as many pages as make a full one.
    fn page(&mut self, topic: &Topic, after: Position) -> Option<Page> {
        let pages = self.topics.get_mut(topic)?;
        let (first, _) = pages.range(..=(after.epoch, after.sequence)).next_back()?;
        let (now, mut at, mut bytes) = (Instant::now(), after, 0);
        let (mut entries, mut reached) = (Vec::new(), after);
        for (_, page) in pages.range_mut(*first..) {
            let begin = page.batches.partition_point(|batch| batch.last().sequence <= at.sequence);
            let coming = &page.batches[begin..];
            let room = HISTORY_SHARED_ENTRIES - entries.len();
            let joins = coming.first().is_some_and(|first| at.has_reached(first.before()));
            if !joins || room == 0 || bytes >= PAGE_BYTES {
                break;
            }
            let coming = &coming[..coming.len().min(room)];
            (page.used, reached, bytes) = (now, page.reached, bytes + page.bytes);
            at = coming.last()?.last();
            entries.extend(coming.iter().cloned().map(Entry::Batch));
        }
        (!entries.is_empty()).then_some(Page { last: Some(reached), entries, complete: false })
    }

    /// Pages do not overlap: of this one what others have not.
    fn keep(&mut self, topic: &Topic, mut page: KeptPage, generation: u64) {
        if generation != self.generation {
            return;
        }
        let pages = self.topics.entry(topic.clone()).or_default();
        let begins = page.begins();
        let before = pages.range(..=begins).next_back().map(|(_, before)| before.ends());
        if let Some(ends) = before.filter(|ends| ends.epoch == begins.0) {
            page.batches.retain(|batch| batch.before().sequence >= ends.sequence);
        }
        let behind = pages.range(begins..).find(|(next, _)| **next > begins);
        if let Some((next, _)) = behind.filter(|(next, _)| next.0 == begins.0) {
            page.batches.retain(|batch| batch.last().sequence <= next.1);
        }
        page.bytes = page.batches.iter().map(|batch| batch.bytes() + BATCH_BYTES).sum();
        if page.batches.is_empty() || page.bytes > HISTORY_KEPT_BYTES {
            return;
        }
        self.bytes += page.bytes;
        self.order.push_back((topic.clone(), page.begins()));
        pages.insert(page.begins(), page);
        while self.bytes > HISTORY_KEPT_BYTES
            && let Some((topic, begins)) = self.order.pop_front()
        {
            self.drop_page(&topic, begins);
        }
    }

    fn drop_page(&mut self, topic: &Topic, begins: Begins) {
        let Some(pages) = self.topics.get_mut(topic) else { return };
        let page = pages.remove(&begins);
        if pages.is_empty() {
            self.topics.remove(topic);
        }
        self.bytes -= page.map_or(0, |page| page.bytes);
    }

    fn sweep(&mut self) {
        let now = Instant::now();
        let mut bytes = 0;
        self.topics.retain(|_, pages| {
            pages.retain(|_, page| now.duration_since(page.used) < HISTORY_KEPT_FOR);
            bytes += pages.values().map(|page| page.bytes).sum::<usize>();
            !pages.is_empty()
        });
        self.bytes = bytes;
        let topics = &self.topics;
        self.order.retain(|(topic, begins)| {
            topics.get(topic).is_some_and(|pages| pages.contains_key(begins))
        });
        if self.order.is_empty() {
            self.order.shrink_to_fit();
        }
    }
}

impl KeptPage {
    /// None where the page is not the same for everybody: where a life begins or something cannot be read
    /// there is more to say. Whether it ends where the topic does is true only now, and is not kept.
    fn of(page: &Page, after: Position) -> Option<KeptPage> {
        let reached = page.last.filter(|last| last.epoch == after.epoch)?;
        let mut batches: Vec<Batch> = Vec::with_capacity(page.entries.len());
        for entry in &page.entries {
            let Entry::Batch(batch) = entry else { return None };
            // Where it begins behind the place, whoever reads what lies between must hear of the hole.
            let at = batches.last().map_or(after, Batch::last);
            let joins = match batches.is_empty() {
                true => at.has_reached(batch.before()),
                false => at == batch.before(),
            };
            if !joins || !reached.has_reached(batch.last()) {
                return None;
            }
            batches.push(batch.clone());
        }
        let kept = KeptPage { batches, reached, bytes: 0, used: Instant::now() };
        (!kept.batches.is_empty()).then_some(kept)
    }

    fn begins(&self) -> Begins {
        let first = self.batches[0].before();
        (first.epoch, first.sequence)
    }

    fn ends(&self) -> Position {
        self.batches[self.batches.len() - 1].last()
    }
}
