//! History as subscriptions read it: in turn, a few pages at a time for the whole broker, and what one has
//! read lately is there for those who come to the same place.
//!
//! Events that are shared are items already: whoever comes to them sends the same bytes.
//!
//! Without turns many readers ask for so much at once that the backend does not answer in time, nobody
//! gets anywhere, and what is live waits behind all of it. Without sharing, those who catch up together
//! read as often as they are many what happens meanwhile.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

use parking_lot::Mutex;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time::{Instant, timeout},
};

use crate::{
    backend::{Backend, BackendError, Entry, Page},
    item::{Item, Items},
    limits::{
        HISTORY_KEPT_BYTES, HISTORY_KEPT_FOR, HISTORY_SHARED_BYTES, HISTORY_TURN_MAX, HISTORY_TURNS,
    },
    position::Position,
    topic::Topic,
};

/// What was read of a topic's history.
#[derive(Debug)]
pub enum Stretch {
    Page(Page),
    /// Events right behind the place that was asked for, in its life, and not beyond the end that was
    /// named: at least one.
    Events(Vec<Arc<Item>>),
}

/// The turn of whoever read a stretch, until it is dropped or has lasted long enough: the next reader's is
/// to come when this one has sent what it read.
#[derive(Debug)]
pub struct Turn {
    _held: oneshot::Sender<()>,
}

#[derive(Debug)]
pub(super) struct History {
    /// Given in the order in which they were asked for.
    turns: Arc<Semaphore>,
    kept: Mutex<Kept>,
}

/// Around an item's events.
const ITEM_BYTES: usize = 128;

/// Epoch and sequence before the first event. Epochs have no order, but here any does.
type Begins = (u64, u64);

/// Pages that were read lately, and are the same for whoever reads them.
#[derive(Debug, Default)]
struct Kept {
    topics: HashMap<Topic, BTreeMap<Begins, KeptPage>>,
    /// The oldest first. Some may be gone already.
    order: VecDeque<(Topic, Begins)>,
    bytes: usize,
    /// Who reads each topic or waits for a turn to.
    readers: HashMap<Topic, usize>,
    /// Counts what made pages that were being read worthless.
    generation: u64,
}

#[derive(Debug)]
struct KeptPage {
    /// Events of one epoch, each right behind the ones before; never empty.
    items: Vec<Arc<Item>>,
    bytes: usize,
    used: Instant,
}

impl Default for History {
    fn default() -> History {
        History { turns: Arc::new(Semaphore::new(HISTORY_TURNS)), kept: Mutex::default() }
    }
}

impl History {
    /// What comes after this place, of which nothing is needed behind `until`. Whoever waits for it need
    /// not be there any more when it comes.
    pub(super) async fn read(
        &self,
        backend: &dyn Backend,
        topic: &Topic,
        after: Position,
        until: Position,
    ) -> Result<(Stretch, Turn), BackendError> {
        let _reader = Reader::among(&self.kept, topic);
        let turn = self.turns.clone().acquire_owned().await.expect("it is never closed");
        let stretch = self.read_now(backend, topic, after, until).await?;
        Ok((stretch, Turn::lasting(turn)))
    }

    async fn read_now(
        &self,
        backend: &dyn Backend,
        topic: &Topic,
        after: Position,
        until: Position,
    ) -> Result<Stretch, BackendError> {
        // From one life to another there is more to say than events.
        if after.epoch != until.epoch {
            return Ok(Stretch::Page(backend.read(topic, after).await?));
        }
        let generation = {
            let mut kept = self.kept.lock();
            if let Some(events) = kept.events(topic, after, until) {
                return Ok(Stretch::Events(events));
            }
            kept.generation
        };
        let page = backend.read(topic, after).await?;
        // To keep it costs, and who reads alone needs it only once.
        if !self.kept.lock().is_shared(topic) {
            return Ok(Stretch::Page(page));
        }
        let Some(read) = KeptPage::of(topic, &page, after) else {
            return Ok(Stretch::Page(page));
        };
        let events: Vec<_> = read.within(after, until).collect();
        self.kept.lock().keep(topic, read, generation);
        Ok(if events.is_empty() { Stretch::Page(page) } else { Stretch::Events(events) })
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
struct Reader<'a> {
    kept: &'a Mutex<Kept>,
    topic: &'a Topic,
}

impl<'a> Reader<'a> {
    fn among(kept: &'a Mutex<Kept>, topic: &'a Topic) -> Reader<'a> {
        *kept.lock().readers.entry(topic.clone()).or_default() += 1;
        Reader { kept, topic }
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        let mut kept = self.kept.lock();
        let Some(readers) = kept.readers.get_mut(self.topic) else { return };
        *readers -= 1;
        if *readers == 0 {
            kept.readers.remove(self.topic);
        }
    }
}

impl Turn {
    /// It ends as a task of its own: behind all else that its thread has to do by then.
    fn lasting(turn: OwnedSemaphorePermit) -> Turn {
        let (held, passed) = oneshot::channel();
        tokio::spawn(async move {
            // Either way it is over.
            let _ = timeout(HISTORY_TURN_MAX, passed).await;
            drop(turn);
        });
        Turn { _held: held }
    }
}

impl Kept {
    fn is_shared(&self, topic: &Topic) -> bool {
        self.readers.get(topic).is_some_and(|readers| *readers > 1)
    }

    /// What is kept right behind this place, as much as is dealt with at a time.
    fn events(
        &mut self,
        topic: &Topic,
        after: Position,
        until: Position,
    ) -> Option<Vec<Arc<Item>>> {
        let pages = self.topics.get_mut(topic)?;
        let (first, _) = pages.range(..=(after.epoch, after.sequence)).next_back()?;
        let (now, mut at, mut bytes, mut events) = (Instant::now(), after, 0, Vec::new());
        for (begins, page) in pages.range_mut(*first..) {
            let joins = begins.0 == at.epoch && begins.1 <= at.sequence;
            if !joins || at == until || bytes >= HISTORY_SHARED_BYTES {
                break;
            }
            page.used = now;
            for item in page.within(at, until) {
                (at, bytes) = (span(&item).1, bytes + item.bytes());
                events.push(item);
                if bytes >= HISTORY_SHARED_BYTES {
                    break;
                }
            }
        }
        (!events.is_empty()).then_some(events)
    }

    /// Pages do not overlap: of this one what others have not.
    fn keep(&mut self, topic: &Topic, mut page: KeptPage, generation: u64) {
        if generation != self.generation {
            return;
        }
        let pages = self.topics.entry(topic.clone()).or_default();
        let (epoch, sequence) = page.begins();
        let before = pages.range(..=(epoch, sequence)).next_back();
        let before = before.map(|(_, before)| before.ends()).filter(|ends| ends.epoch == epoch);
        let from = Position::new(epoch, before.map_or(0, |ends| ends.sequence));
        let behind = pages.range((epoch, sequence + 1)..).next().map(|(begins, _)| *begins);
        let to = behind.filter(|behind| behind.0 == epoch).map_or(u64::MAX, |behind| behind.1);
        page.items = page.within(from, Position::new(epoch, to)).collect();
        page.bytes = page.items.iter().map(|item| item.bytes() + ITEM_BYTES).sum();
        if page.items.is_empty() || page.bytes > HISTORY_KEPT_BYTES {
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
    /// there is more to say.
    fn of(topic: &Topic, page: &Page, after: Position) -> Option<KeptPage> {
        let reached = page.last.filter(|last| last.epoch == after.epoch)?;
        let mut items = Items::default();
        let mut at = None;
        for entry in &page.entries {
            let Entry::Batch(batch) = entry else { return None };
            // Where it begins behind the place, whoever reads what lies between must hear of the hole.
            let joins = match at {
                None => after.has_reached(batch.before()),
                Some(at) => at == batch.before(),
            };
            if !joins || !reached.has_reached(batch.last()) {
                return None;
            }
            at = Some(batch.last());
            items.stored(topic, batch.clone());
        }
        let items: Vec<_> = items.end(topic).into_iter().map(Arc::new).collect();
        (!items.is_empty()).then(|| KeptPage { items, bytes: 0, used: Instant::now() })
    }

    /// Its events behind one place up to another, both of its epoch.
    fn within(&self, after: Position, until: Position) -> impl Iterator<Item = Arc<Item>> {
        let first = self.items.partition_point(|item| span(item).1.sequence <= after.sequence);
        let rest = self.items[first..].iter();
        rest.map_while(move |item| item.within(after.sequence, until.sequence))
    }

    fn begins(&self) -> Begins {
        let (before, _) = span(&self.items[0]);
        (before.epoch, before.sequence)
    }

    fn ends(&self) -> Position {
        span(&self.items[self.items.len() - 1]).1
    }
}

/// The places before its first and behind its last event.
fn span(item: &Item) -> (Position, Position) {
    item.span().expect("what is kept are events with positions")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::time::advance;

    use super::*;
    use crate::backend::Batch;

    const EPOCH: u64 = 7;
    const LAST: u64 = 400;

    fn topic() -> Topic {
        "orders".parse().expect("a topic")
    }

    fn place(sequence: u64) -> Position {
        Position::new(EPOCH, sequence)
    }

    /// What is read after a place: some events, each an entry of its own.
    fn page(after: u64, count: u64) -> Page {
        let last = (after + count).min(LAST);
        let batch = |first| Batch {
            epoch: EPOCH,
            first,
            publish_time_us: 1,
            events: vec![vec![0; 200].into()],
        };
        let entries = (after + 1..=last).map(|first| Entry::Batch(batch(first))).collect();
        Page { last: Some(place(LAST)), entries, complete: last == LAST }
    }

    fn keep(kept: &mut Kept, after: u64, count: u64) {
        let page = KeptPage::of(&topic(), &page(after, count), place(after));
        kept.keep(&topic(), page.expect("a page of events"), kept.generation);
    }

    fn bytes(kept: &Kept) -> usize {
        kept.topics.values().flat_map(BTreeMap::values).map(|page| page.bytes).sum()
    }

    proptest! {
        #[test]
        fn what_is_kept_goes_on_where_a_reader_is_and_ends_where_it_is_to(
            reads in proptest::collection::vec((0..LAST, 1..150_u64), 0..12),
            asked in proptest::collection::vec((0..LAST, 1..150_u64), 20),
        ) {
            let mut kept = Kept::default();
            let mut read = vec![false; LAST as usize + 1];
            for (after, count) in reads {
                keep(&mut kept, after, count);
                (after + 1..=(after + count).min(LAST)).for_each(|at| read[at as usize] = true);
                prop_assert!(kept.events(&topic(), place(after), place(LAST)).is_some());
            }
            for (after, count) in asked {
                let until = (after + count).min(LAST);
                let events = kept.events(&topic(), place(after), place(until));
                let mut at = place(after);
                for item in events.unwrap_or_default() {
                    let (before, reached) = span(&item);
                    prop_assert_eq!(before, at);
                    prop_assert!(place(until).has_reached(reached));
                    at = reached;
                }
                prop_assert!((after + 1..=at.sequence).all(|at| read[at as usize]));
            }
            prop_assert_eq!(kept.bytes, bytes(&kept));
        }
    }

    #[test]
    fn who_comes_to_the_same_place_gets_the_same_bytes() {
        let mut kept = Kept::default();
        keep(&mut kept, 0, 100);
        let mut events = || kept.events(&topic(), place(0), place(100)).expect("kept");
        let (one, other) = (events(), events());
        assert!(one.iter().zip(&other).all(|(one, other)| Arc::ptr_eq(one, other)));
    }

    #[test]
    fn what_was_read_before_the_topic_changed_is_not_kept_after_it() {
        let history = History::default();
        let generation = history.kept.lock().generation;
        keep(&mut history.kept.lock(), 0, 100);
        history.forget(&topic());
        let late = KeptPage::of(&topic(), &page(0, 100), place(0)).expect("a page of events");
        let mut kept = history.kept.lock();
        kept.keep(&topic(), late, generation);
        assert!(kept.events(&topic(), place(0), place(100)).is_none());
        assert_eq!(kept.bytes, 0);
    }

    #[test]
    fn a_page_with_a_hole_or_of_another_life_is_not_the_same_for_everybody() {
        let is_kept = |page: &Page| KeptPage::of(&topic(), page, place(0)).is_some();
        assert!(is_kept(&page(0, 10)));
        assert!(!is_kept(&page(5, 10)), "what came before is gone");
        let mut holed = page(0, 10);
        holed.entries.remove(5);
        assert!(!is_kept(&holed));
        let fence = Entry::Fence { epoch: EPOCH + 1, created: false };
        assert!(!is_kept(&Page { entries: vec![fence], ..page(0, 10) }));
        let last = Some(Position::new(EPOCH + 1, 3));
        assert!(!is_kept(&Page { last, ..page(0, 10) }));
    }

    #[tokio::test(start_paused = true)]
    async fn pages_that_nobody_comes_for_are_dropped() {
        let mut kept = Kept::default();
        for after in (0..LAST).step_by(10) {
            keep(&mut kept, after, 10);
        }
        advance(HISTORY_KEPT_FOR / 2).await;
        assert!(kept.events(&topic(), place(0), place(10)).is_some());
        advance(HISTORY_KEPT_FOR / 2).await;
        kept.sweep();
        assert_eq!((kept.order.len(), kept.bytes), (1, bytes(&kept)));
        advance(HISTORY_KEPT_FOR).await;
        kept.sweep();
        assert_eq!((kept.topics.len(), kept.order.len(), kept.bytes), (0, 0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_does_not_send_what_it_read_keeps_its_turn_for_a_moment_only() {
        let turns = Arc::new(Semaphore::new(1));
        let next = || async { turns.clone().acquire_owned().await.expect("never closed") };
        let begun = Instant::now();
        let _stalled = Turn::lasting(next().await);
        let sent = Turn::lasting(next().await);
        assert!(begun.elapsed() >= HISTORY_TURN_MAX);
        let begun = Instant::now();
        drop(sent);
        drop(next().await);
        assert!(begun.elapsed() < HISTORY_TURN_MAX);
    }
}
