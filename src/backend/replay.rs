//! From one place in a topic to another, by pages of history: what to deliver, and what is lost.
//!
//! One set of rules serves the backend that catches up after an outage and the subscription that
//! resumes or fell behind. No clock, no I/O: a page goes in, batches and gaps come out.

use super::{Batch, Entry, Page};
use crate::position::{Gap, GapReason, Position};

/// A reader on its way. Ask [`Replay::at`] for the place to read the next page after.
#[derive(Debug, Clone)]
pub struct Replay {
    at: Position,
    bound: Bound,
    /// Why events that are no longer kept count as missed.
    on_hole: GapReason,
}

/// How far to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// As far as the topic goes. `heard` is the epoch of the batch that is being handled, in order,
    /// on a connection that carried all before it: where that life was created, not continued,
    /// nothing was lost between it and what came before.
    Present { heard: Option<u64> },
    /// Just to this place, told by the feed, from where the feed goes on.
    Place(Position),
}

/// What a page told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    Batch(Batch),
    Gap(Gap),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Read on.
    More,
    /// The bound is reached.
    Done,
    /// The topic ends before the place that this reader had reached in the same epoch: Redis
    /// went back in time.
    RolledBack,
}

impl Replay {
    pub fn new(at: Position, bound: Bound, on_hole: GapReason) -> Replay {
        Replay { at, bound, on_hole }
    }

    pub fn at(&self) -> Position {
        self.at
    }

    /// Whether there is nothing to read: the place is already reached.
    pub fn is_done(&self) -> bool {
        self.bound == Bound::Place(self.at)
    }

    /// Just how far to go, where that is known.
    pub fn until(&self) -> Option<Position> {
        match self.bound {
            Bound::Place(place) => Some(place),
            Bound::Present { .. } => None,
        }
    }

    /// What lies right behind [`Replay::at`] was told up to here, in the same life and not beyond the
    /// bound.
    pub fn pass(&mut self, reached: Position) {
        assert!(reached.has_reached(self.at), "{self:?} does not lead to {reached}");
        assert!(self.until().is_none_or(|until| until.has_reached(reached)), "{self:?}: {reached}");
        self.at = reached;
    }

    /// Takes a page that was read after [`Replay::at`].
    pub fn take(&mut self, page: Page, told: &mut Vec<Told>) -> Progress {
        let from = self.at;
        let mut entries = page.entries.into_iter().peekable();
        while let Some(entry) = entries.next() {
            if self.is_beyond(&entry, page.last) {
                continue;
            }
            let next = entries.peek().map(Entry::before);
            let Some(entry) = [next, page.last].into_iter().flatten().try_fold(entry, cut) else {
                continue;
            };
            match self.bound {
                Bound::Place(place)
                    if entry.epoch() != self.at.epoch && is_later(&entry, place, page.last) =>
                {
                    self.lose(place, GapReason::EpochChanged, told);
                }
                Bound::Place(_) | Bound::Present { .. } => self.entry(entry, told),
            }
            if self.is_done() {
                return Progress::Done;
            }
        }
        // A page that brings us nowhere would come again and again: behind it there is nothing.
        if !page.complete && self.at != from {
            return Progress::More;
        }
        self.end(page.last, told)
    }

    /// Whether it stands behind the topic's present life, in which we are: it belongs to none.
    fn is_beyond(&self, entry: &Entry, last: Option<Position>) -> bool {
        matches!(self.bound, Bound::Present { .. })
            && entry.epoch() != self.at.epoch
            && last.is_some_and(|last| last.epoch == self.at.epoch)
    }

    fn entry(&mut self, entry: Entry, told: &mut Vec<Told>) {
        if entry.epoch() != self.at.epoch && !self.enter(&entry, told) {
            return;
        }
        if let Bound::Place(place) = self.bound
            && entry.before().has_reached(place)
        {
            // Everything up to the bound is no longer kept. What lies behind it may fill pages.
            return self.lose(place, self.on_hole, told);
        }
        let batch = match entry {
            Entry::Batch(batch) => batch,
            Entry::Fence { .. } => return,
            Entry::Undecodable { epoch, first, count } => {
                let end = Position::new(epoch, first.saturating_add(count) - 1);
                return self.skip(end, told);
            }
        };
        let batch = match self.bound {
            Bound::Place(place) if place.epoch == batch.epoch => batch.up_to(place.sequence),
            Bound::Place(_) | Bound::Present { .. } => Some(batch),
        };
        let Some(batch) = batch.and_then(|batch| batch.after(self.at.sequence)) else { return };
        if batch.first > self.at.sequence + 1 {
            self.lose(batch.before(), self.on_hole, told);
        }
        self.at = batch.last();
        told.push(Told::Batch(batch));
    }

    /// Goes over into the life that `entry` belongs to. False where that life is not to be read:
    /// it is later than the bound.
    fn enter(&mut self, entry: &Entry, told: &mut Vec<Told>) -> bool {
        match self.bound {
            Bound::Place(place) if self.at.epoch == place.epoch => {
                // The feed told events of this epoch that are no longer stored.
                self.lose(place, GapReason::EpochChanged, told);
                return false;
            }
            Bound::Present { heard } if heard == Some(entry.epoch()) && self.follows(entry) => {
                let begins = Position::new(entry.epoch(), 0);
                if !self.at.is_beginning() {
                    // Nothing was missed; and yet what was before is there no more.
                    let gap = Gap::between(self.at, begins, GapReason::EpochChanged);
                    told.push(Told::Gap(Gap { missed: Some(0), ..gap }));
                }
                self.at = begins;
                return true;
            }
            Bound::Place(_) | Bound::Present { .. } => (),
        }
        // What is kept of that life may begin behind the bound.
        let begins = entry.before();
        let until = match self.bound {
            Bound::Place(place) if begins.has_reached(place) => place,
            Bound::Place(_) | Bound::Present { .. } => begins,
        };
        self.lose(until, GapReason::EpochChanged, told);
        true
    }

    /// Whether the life that was heard to begin came right after what is known, with nothing
    /// between that could have been missed.
    fn follows(&self, entry: &Entry) -> bool {
        match entry {
            Entry::Fence { created, .. } => *created,
            Entry::Batch(_) | Entry::Undecodable { .. } => self.at.is_beginning(),
        }
    }

    /// Passes over what cannot be read, up to `end` or the bound.
    fn skip(&mut self, end: Position, told: &mut Vec<Told>) {
        let end = match self.bound {
            Bound::Place(place) if end.has_reached(place) => place,
            Bound::Place(_) | Bound::Present { .. } => end,
        };
        if end.sequence > self.at.sequence {
            self.lose(end, GapReason::Undecodable, told);
        }
    }

    /// Everything that lies behind us has been read; `last` is what the topic says it has reached.
    fn end(&mut self, last: Option<Position>, told: &mut Vec<Told>) -> Progress {
        let present = last.unwrap_or(Position::BEGINNING);
        let wanted = match self.bound {
            Bound::Place(place) => place,
            Bound::Present { .. } => present,
        };
        if wanted.epoch == present.epoch && self.at.epoch != present.epoch {
            // Epochs have no order: the present life may lie before us. Read it from its start.
            let begins = Position::new(present.epoch, 0);
            match self.bound {
                Bound::Present { heard: Some(epoch) }
                    if epoch == present.epoch && self.at.is_beginning() =>
                {
                    self.at = begins;
                }
                Bound::Place(_) | Bound::Present { .. } => {
                    self.lose(begins, GapReason::EpochChanged, told);
                }
            }
            return if begins == wanted { Progress::Done } else { Progress::More };
        }
        match self.bound {
            Bound::Present { .. } if present.sequence < self.at.sequence => {
                return Progress::RolledBack;
            }
            Bound::Place(place) if place.epoch != self.at.epoch => {
                self.lose(place, GapReason::EpochChanged, told);
            }
            Bound::Place(_) | Bound::Present { .. } => self.lose(wanted, self.on_hole, told),
        }
        Progress::Done
    }

    fn lose(&mut self, until: Position, reason: GapReason, told: &mut Vec<Told>) {
        if until != self.at {
            told.push(Told::Gap(Gap::between(self.at, until, reason)));
            self.at = until;
        }
    }
}

/// The part of an entry up to a place: where the next one begins, or the topic ends, there it ends,
/// whatever it claims.
fn cut(entry: Entry, place: Position) -> Option<Entry> {
    if entry.epoch() != place.epoch {
        return Some(entry);
    }
    match entry {
        Entry::Batch(batch) => batch.up_to(place.sequence).map(Entry::Batch),
        Entry::Undecodable { epoch, first, count } => {
            let count = count.min(place.sequence.saturating_add(1).saturating_sub(first));
            (count > 0).then_some(Entry::Undecodable { epoch, first, count })
        }
        Entry::Fence { .. } => Some(entry),
    }
}

/// Whether it belongs to a life that began after the one in which `place` lies: the feed will tell it.
fn is_later(entry: &Entry, place: Position, last: Option<Position>) -> bool {
    last.is_some_and(|last| last.epoch != place.epoch && last.epoch == entry.epoch())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    fn batch(epoch: u64, first: u64, count: u64) -> Entry {
        Entry::Batch(Batch {
            epoch,
            first,
            publish_time_us: 0,
            events: (0..count).map(|_| Bytes::new()).collect(),
        })
    }

    fn page(last: (u64, u64), entries: Vec<Entry>) -> Page {
        Page { last: Some(Position::new(last.0, last.1)), entries, complete: true }
    }

    /// What was told, as `1-4..6` for events and `gap 1-3>2-0 ?` for gaps.
    fn run(at: (u64, u64), bound: Bound, page: Page) -> (String, Progress) {
        let at = Position::new(at.0, at.1);
        let mut replay = Replay::new(at, bound, GapReason::Retention);
        let mut told = Vec::new();
        let progress = replay.take(page, &mut told);
        let told = told.iter().map(|told| match told {
            Told::Batch(b) => format!("{}-{}..{}", b.epoch, b.first, b.last().sequence),
            Told::Gap(g) => {
                let missed = g.missed.map_or("?".into(), |missed| missed.to_string());
                format!("gap {}>{} {missed}", g.after, g.until)
            }
        });
        (told.collect::<Vec<_>>().join(", "), progress)
    }

    const PRESENT: Bound = Bound::Present { heard: None };

    #[test]
    fn what_follows_is_delivered_and_overlap_is_cut() {
        let page = page((1, 9), vec![batch(1, 3, 3), batch(1, 6, 4)]);
        assert_eq!(run((1, 4), PRESENT, page), ("1-5..5, 1-6..9".into(), Progress::Done));
    }

    #[test]
    fn what_was_trimmed_is_a_gap_with_its_size() {
        let page = page((1, 9), vec![batch(1, 8, 2)]);
        assert_eq!(run((1, 4), PRESENT, page), ("gap 1-4>1-7 3, 1-8..9".into(), Progress::Done));
    }

    #[test]
    fn a_deleted_stream_is_a_gap_up_to_what_the_topic_had_reached() {
        assert_eq!(
            run((1, 4), PRESENT, page((1, 9), vec![])),
            ("gap 1-4>1-9 5".into(), Progress::Done)
        );
    }

    #[test]
    fn another_epoch_is_a_gap_of_unknown_size_even_when_nothing_else_changed() {
        let page = page(
            (2, 1),
            vec![batch(1, 3, 2), Entry::Fence { epoch: 2, created: false }, batch(2, 1, 1)],
        );
        assert_eq!(
            run((1, 3), PRESENT, page),
            ("1-4..4, gap 1-4>2-0 ?, 2-1..1".into(), Progress::Done)
        );
    }

    #[test]
    fn an_epoch_below_ours_is_another_history_too() {
        // What lies after 2-7 in the stream is nothing at all.
        assert_eq!(
            run((2, 7), PRESENT, page((1, 2), vec![])),
            ("gap 2-7>1-0 ?".into(), Progress::More)
        );
        let place = Bound::Place(Position::new(1, 2));
        assert_eq!(run((2, 7), place, page((1, 2), vec![])).0, "gap 2-7>1-0 ?");
    }

    /// The feed is behind: it will tell the life that has begun, and nobody must hear it twice.
    #[test]
    fn a_life_that_began_after_the_bound_is_not_read() {
        let began = || page((2, 3), vec![Entry::Fence { epoch: 2, created: true }, batch(2, 1, 3)]);
        let place = Bound::Place(Position::new(1, 5));
        assert_eq!(run((0, 0), place, began()), ("gap 0-0>1-5 ?".into(), Progress::Done));
        assert_eq!(run((1, 4), place, began()), ("gap 1-4>1-5 1".into(), Progress::Done));
    }

    #[test]
    fn the_first_batch_of_a_topic_is_no_gap_only_where_its_own_epoch_was_heard() {
        let entries =
            || page((5, 1), vec![Entry::Fence { epoch: 5, created: true }, batch(5, 1, 1)]);
        let heard = |epoch| Bound::Present { heard: Some(epoch) };
        assert_eq!(run((0, 0), heard(5), entries()).0, "5-1..1");
        assert_eq!(run((0, 0), heard(4), entries()).0, "gap 0-0>5-0 ?, 5-1..1");
        // The topic was deleted after 3-2 and begun again, all of it heard.
        assert_eq!(run((3, 2), heard(5), entries()).0, "gap 3-2>5-0 0, 5-1..1");
        // Redis went back in time, and a broker opened a new life.
        let reopened = Entry::Fence { epoch: 5, created: false };
        let page = page((5, 1), vec![reopened, batch(5, 1, 1)]);
        assert_eq!(run((3, 2), heard(5), page).0, "gap 3-2>5-0 ?, 5-1..1");
    }

    #[test]
    fn what_stands_behind_the_present_life_is_nobodys() {
        let entries = || vec![batch(1, 5, 1), batch(7, 1, 1)];
        assert_eq!(run((1, 4), PRESENT, page((1, 5), entries())).0, "1-5..5");
        // Where the present life is entered only now, too.
        let entries = vec![batch(1, 5, 1), batch(2, 1, 1), batch(7, 1, 1)];
        assert_eq!(run((1, 4), PRESENT, page((2, 1), entries)).0, "1-5..5, gap 1-5>2-0 ?, 2-1..1");
    }

    #[test]
    fn a_topic_that_ends_before_us_was_rolled_back() {
        let page = page((1, 3), vec![batch(1, 3, 1)]);
        assert_eq!(run((1, 7), PRESENT, page).1, Progress::RolledBack);
    }

    #[test]
    fn a_vanished_topic_is_a_gap_back_to_the_beginning() {
        let page = Page { last: None, entries: vec![], complete: true };
        assert_eq!(run((1, 4), PRESENT, page), ("gap 1-4>0-0 ?".into(), Progress::Done));
    }

    #[test]
    fn a_bounded_replay_ends_exactly_at_its_place() {
        let place = |epoch, sequence| Bound::Place(Position::new(epoch, sequence));
        let entries = || page((1, 9), vec![batch(1, 3, 3), batch(1, 6, 4)]);
        assert_eq!(run((1, 2), place(1, 7), entries()), ("1-3..5, 1-6..7".into(), Progress::Done));
        // History that the feed told and Redis lost.
        let lost = page(
            (2, 1),
            vec![batch(1, 3, 1), Entry::Fence { epoch: 2, created: false }, batch(2, 1, 1)],
        );
        assert_eq!(
            run((1, 2), place(1, 7), lost),
            ("1-3..3, gap 1-3>1-7 4".into(), Progress::Done)
        );
        // The topic is gone.
        let gone = Page { last: None, entries: vec![], complete: true };
        assert_eq!(run((1, 2), place(1, 7), gone).0, "gap 1-2>1-7 5");
    }

    #[test]
    fn a_bounded_replay_ends_also_where_all_that_is_kept_lies_behind_its_place() {
        let place = Bound::Place(Position::new(3, 6));
        let page = || Page { complete: false, ..page((3, 90), vec![batch(3, 10, 2)]) };
        assert_eq!(run((3, 2), place, page()), ("gap 3-2>3-6 4".into(), Progress::Done));
        assert_eq!(run((2, 8), place, page()), ("gap 2-8>3-6 ?".into(), Progress::Done));
    }

    #[test]
    fn pages_join_without_a_seam() {
        let mut replay = Replay::new(Position::new(1, 0), PRESENT, GapReason::Retention);
        let mut told = Vec::new();
        let first = Page { complete: false, ..page((1, 4), vec![batch(1, 1, 2)]) };
        assert_eq!(replay.take(first, &mut told), Progress::More);
        assert_eq!(replay.at(), Position::new(1, 2));
        assert_eq!(
            replay.take(page((1, 4), vec![batch(1, 1, 2), batch(1, 3, 2)]), &mut told),
            Progress::Done
        );
        assert_eq!(told.len(), 2);
    }

    /// Any entry, named by where it stands.
    fn any_entry() -> impl Strategy<Value = Entry> {
        (1..5u64, 0..12u64, 1..6u64, 0..3u8).prop_map(|(epoch, first, count, kind)| match kind {
            _ if first == 0 => Entry::Fence { epoch, created: count == 1 },
            0 => Entry::Undecodable { epoch, first, count },
            _ => batch(epoch, first, count),
        })
    }

    fn any_position() -> impl Strategy<Value = Position> {
        (0..5u64, 0..14u64).prop_map(|(epoch, sequence)| Position::new(epoch, sequence))
    }

    /// What a backend reads after a place: the entry that holds it, and those behind it.
    fn read(entries: &[Entry], last: Option<Position>, at: Position, size: usize) -> Page {
        let name = |entry: &Entry| match entry {
            Entry::Batch(batch) => (batch.epoch, batch.first),
            Entry::Fence { epoch, .. } => (*epoch, 0),
            Entry::Undecodable { epoch, first, .. } => (*epoch, *first),
        };
        let begins = entries.partition_point(|entry| name(entry) <= (at.epoch, at.sequence));
        let holds = |entry: &Entry| matches!(entry, Entry::Batch(b) if b.epoch == at.epoch && !at.has_reached(b.last()));
        let begins = if begins > 0 && holds(&entries[begins - 1]) { begins - 1 } else { begins };
        let ends = entries.len().min(begins + size);
        let complete = ends == entries.len();
        Page { last, entries: entries[begins..ends].to_vec(), complete }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5000))]

        /// Whatever stands in a stream, a reader comes to an end, and what it tells is a chain.
        #[test]
        fn any_history_is_told_as_a_chain_that_ends_at_its_bound(
            mut entries in proptest::collection::vec(any_entry(), 0..12),
            at in any_position(),
            last in proptest::option::of(any_position()),
            place in proptest::option::of(any_position()),
            size in 1..5usize,
        ) {
            entries.sort_by_key(|entry| (entry.epoch(), entry.before().sequence, !matches!(entry, Entry::Fence { .. })));
            entries.dedup_by_key(|entry| match entry {
                Entry::Fence { epoch, .. } => (*epoch, 0),
                Entry::Batch(batch) => (batch.epoch, batch.first),
                Entry::Undecodable { epoch, first, .. } => (*epoch, *first),
            });
            let last = last.filter(|last| last.epoch > 0);
            let bound = place.map_or(PRESENT, Bound::Place);
            // A subscription never asks for a bound that it has passed.
            prop_assume!(place.is_none_or(|place| place.epoch != at.epoch || at.sequence <= place.sequence));
            let mut replay = Replay::new(at, bound, GapReason::Retention);
            let mut told = Vec::new();
            let mut rounds = 0;
            let rolled_back = loop {
                if replay.is_done() {
                    break false;
                }
                rounds += 1;
                prop_assert!(rounds < 100, "no end: {entries:?}");
                match replay.take(read(&entries, last, replay.at(), size), &mut told) {
                    Progress::More => (),
                    Progress::Done => break false,
                    Progress::RolledBack => break true,
                }
            };
            let mut reached = at;
            for told in &told {
                let (after, until) = match told {
                    Told::Batch(batch) => (batch.before(), batch.last()),
                    Told::Gap(gap) => (gap.after, gap.until),
                };
                prop_assert_eq!(after, reached, "a hole or a repeat in {:?}", told);
                prop_assert!(until.epoch != after.epoch || until.sequence > after.sequence);
                reached = until;
            }
            prop_assert_eq!(reached, replay.at());
            match place {
                Some(place) => prop_assert_eq!(reached, place),
                None if rolled_back => {
                    let last = last.unwrap_or(Position::BEGINNING);
                    prop_assert!(reached.epoch == last.epoch && reached.sequence > last.sequence);
                }
                None => prop_assert_eq!(reached, last.unwrap_or(Position::BEGINNING)),
            }
        }
    }

    #[test]
    fn an_entry_ends_where_the_next_begins_and_where_the_topic_does() {
        let undecodable = Entry::Undecodable { epoch: 1, first: 2, count: 1000 };
        let entries = || vec![batch(1, 1, 1), undecodable.clone(), batch(1, 3, 5), batch(1, 4, 2)];
        assert_eq!(
            run((1, 0), PRESENT, page((1, 4), entries())),
            ("1-1..1, gap 1-1>1-2 1, 1-3..3, 1-4..4".into(), Progress::Done)
        );
    }

    #[test]
    fn a_page_that_leads_nowhere_is_the_last() {
        let page = Page { complete: false, ..page((1, 4), vec![batch(7, 1, 1)]) };
        assert_eq!(run((1, 4), PRESENT, page), ("".into(), Progress::Done));
    }
}
