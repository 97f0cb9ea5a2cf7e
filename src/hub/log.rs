//! What is shared of one topic: the newest news, in order, and the place they lead to.
//!
//! Written by the pump alone; read by every member with a cursor of its own. It is bounded: a cursor
//! that lies before its start is what overflow is, and costs no one else anything.

use std::{collections::VecDeque, sync::Arc};

use super::doorbell::{Doorbell, Rings};
use crate::{
    item::Item,
    limits::{LOG_BYTES_MAX, LOG_ENTRIES_MAX},
    position::Position,
};

#[derive(Debug, Default)]
pub(super) struct Log {
    /// The index of the first entry; indexes only rise.
    start: u64,
    entries: VecDeque<Arc<Item>>,
    bytes: usize,
    chain: Chain,
    /// Those who have read everything, each to be rung once.
    waiting: Vec<(Arc<Doorbell>, usize)>,
    merged: Option<Merged>,
}

/// Where the news lead.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Chain {
    /// After the last entry; none until the topic is attached.
    pub(super) tail: Option<Position>,
    pub(super) born: Born,
}

/// The lives of the topic that began right after [`Position::BEGINNING`], without a gap.
#[derive(Debug, Clone, Copy, Default)]
pub(super) enum Born {
    #[default]
    Unknown,
    Once {
        epoch: u64,
    },
    /// Nobody could say which one a follower at the beginning has missed.
    Again,
}

/// Small entries in one: those who lag by the same share it.
#[derive(Debug)]
struct Merged {
    from: u64,
    until: u64,
    item: Arc<Item>,
}

/// What a cursor found.
#[derive(Debug)]
pub(super) enum Found {
    /// With whether that was the last entry.
    Item(Arc<Item>, bool),
    Nothing,
    /// Entries were overwritten before they were read. The cursor stands at the end now.
    Overflowed(Chain),
}

impl Log {
    pub(super) fn chain(&self) -> Chain {
        self.chain
    }

    /// The index of the entry that will come next.
    pub(super) fn next(&self) -> u64 {
        self.start + self.entries.len() as u64
    }

    /// The chain begins at `at`. Where another chain was followed before, all have overflowed:
    /// each reads what lies between.
    pub(super) fn begin(&mut self, at: Position, rings: &mut Rings) {
        if self.chain.tail.is_some_and(|tail| tail != at) {
            self.start = self.next() + 1;
            self.entries.clear();
            self.bytes = 0;
            self.chain.born = Born::Unknown;
            self.ring(rings);
        }
        self.chain.tail = Some(at);
    }

    /// Appends what leads to the end of `chain`.
    pub(super) fn append(&mut self, items: Vec<Item>, chain: Chain, rings: &mut Rings) {
        self.chain = chain;
        if items.is_empty() {
            return;
        }
        for item in items {
            self.bytes += item.bytes();
            self.entries.push_back(Arc::new(item));
        }
        // The newest stays, however large: it may be what everyone is waiting for.
        while (self.bytes > LOG_BYTES_MAX || self.entries.len() > LOG_ENTRIES_MAX)
            && self.entries.len() > 1
        {
            let oldest = self.entries.pop_front().expect("more than one");
            self.bytes -= oldest.bytes();
            self.start += 1;
        }
        self.ring(rings);
    }

    fn ring(&mut self, rings: &mut Rings) {
        for (doorbell, number) in self.waiting.drain(..) {
            doorbell.ring(rings, |rung| rung.topics.push(number));
        }
    }

    /// What comes at the cursor, which moves behind it: one entry, or several small ones that make
    /// about `bytes` together.
    pub(super) fn take(&mut self, cursor: &mut u64, bytes: usize) -> Found {
        if *cursor < self.start {
            *cursor = self.next();
            return Found::Overflowed(self.chain);
        }
        let from = *cursor;
        let mut coming = self.entries.range((from - self.start) as usize..);
        let Some(first) = coming.next() else { return Found::Nothing };
        if let Some(merged) = self.merged.as_ref().filter(|merged| merged.from == from) {
            *cursor = merged.until;
            return Found::Item(merged.item.clone(), merged.until == self.next());
        }
        let mut together = first.bytes();
        let mut count = 1;
        if first.can_merge() {
            count += coming
                .take_while(|item| {
                    together += item.bytes();
                    item.can_merge() && together <= bytes
                })
                .count();
        }
        *cursor = from + count as u64;
        let last = *cursor == self.next();
        if count == 1 {
            return Found::Item(first.clone(), last);
        }
        let begin = (from - self.start) as usize;
        let item = Item::merged(self.entries.range(begin..begin + count));
        self.merged = Some(Merged { from, until: *cursor, item: item.clone() });
        Found::Item(item, last)
    }

    pub(super) fn wait(&mut self, doorbell: &Arc<Doorbell>, number: usize) {
        self.waiting.push((doorbell.clone(), number));
    }

    /// Whoever follows a quiet topic and leaves must not wait in its log for ever.
    pub(super) fn leave(&mut self, doorbell: &Arc<Doorbell>, number: usize) {
        let ours =
            |waits: &(Arc<Doorbell>, usize)| waits.1 == number && Arc::ptr_eq(&waits.0, doorbell);
        if let Some(found) = self.waiting.iter().position(ours) {
            self.waiting.swap_remove(found);
        }
    }
}

impl Born {
    pub(super) fn again(self, epoch: u64) -> Born {
        match self {
            Born::Unknown => Born::Once { epoch },
            Born::Once { .. } | Born::Again => Born::Again,
        }
    }

    pub(super) fn only(self) -> Option<u64> {
        match self {
            Born::Once { epoch } => Some(epoch),
            Born::Unknown | Born::Again => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        backend::Batch,
        item::Events,
        position::{Gap, GapReason},
    };

    fn events(sequence: u64, size: usize) -> Item {
        let topic = "orders".parse().expect("a topic");
        let event = bytes::Bytes::from(vec![0; size]);
        let batch = Batch { epoch: 7, first: sequence, publish_time_us: 1, events: vec![event] };
        Item::Events(Events::of(&topic, &[batch]).remove(0))
    }

    fn gap() -> Item {
        let (after, until) = (Position::new(7, 1), Position::new(7, 2));
        Item::Gap(Gap::between(after, until, GapReason::Retention))
    }

    fn with(items: Vec<Item>) -> Log {
        let mut log = Log::default();
        let mut rings = Rings::default();
        log.begin(Position::new(7, 0), &mut rings);
        log.append(
            items,
            Chain { tail: Some(Position::new(7, 9)), born: Born::Unknown },
            &mut rings,
        );
        log
    }

    fn item(found: Found) -> Arc<Item> {
        let Found::Item(item, _) = found else { panic!("{found:?}") };
        item
    }

    fn reached(item: &Item) -> Option<u64> {
        let Item::Events(events) = item else { return None };
        events.reached().map(|place| place.sequence)
    }

    #[test]
    fn small_entries_come_as_one_which_all_share_who_lag_alike() {
        let mut log = with(vec![events(1, 10), events(2, 10), events(3, 10), events(4, 10)]);
        let (mut one, mut other) = (1, 1);
        let two = log.bytes / 2;
        let together = item(log.take(&mut one, two));
        assert_eq!((reached(&together), one), (Some(3), 3));
        log.append(vec![events(5, 10)], log.chain(), &mut Rings::default());
        assert!(Arc::ptr_eq(&together, &item(log.take(&mut other, 1 << 10))));
        assert_eq!(other, 3);
        assert_eq!(reached(&item(log.take(&mut one, 1 << 10))), Some(5));
    }

    #[test]
    fn nothing_is_merged_over_a_gap_nor_beyond_the_size() {
        let mut log = with(vec![events(1, 10), gap(), events(3, 500), events(4, 10)]);
        let mut cursor = 0;
        let sizes: Vec<_> = std::iter::from_fn(|| match log.take(&mut cursor, 300) {
            Found::Item(item, _) => Some(reached(&item)),
            Found::Nothing | Found::Overflowed(_) => None,
        })
        .collect();
        assert_eq!(sizes, [Some(1), None, Some(3), Some(4)]);
    }
}
