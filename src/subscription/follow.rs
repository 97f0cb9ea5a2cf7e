//! One topic of a subscription: history up to a place, then the hub's log from there.

use std::{collections::VecDeque, sync::Arc};

use super::work::Reading;
use crate::{
    backend::replay::{self, Bound, Progress, Replay},
    frame::Frame,
    hub::{Member, Stretch, Took, Turn},
    item::{Events, Item},
    lens::Lens,
    limits::FRAME_BYTES_GOOD,
    position::{Gap, GapReason, Position},
    topic::Topic,
};

/// One topic of the subscription.
pub(super) struct Followed {
    pub(super) member: Member,
    /// Everything up to here was delivered, filtered out, or announced as a gap.
    pub(super) at: Position,
    /// Whether no event and no gap told the client `at`.
    pub(super) untold: bool,
    stage: Stage,
    /// Of the item that is being delivered …
    pub(super) frames: VecDeque<Frame>,
    /// … and the place behind it, with whether that will be untold.
    reaching: Option<(Position, bool)>,
    /// Whether what is to be shown next is being made.
    is_showing: bool,
    /// Whether the topic counts among those that are behind.
    pub(super) is_behind: bool,
    pub(super) has_turn: bool,
    /// Whether all of the log was taken, and the doorbell will say when there is more.
    pub(super) waits: bool,
}

enum Stage {
    /// Boxed: soon over, and large beside the rest.
    History(Box<History>),
    Live,
    /// It has sent everything that it was asked for.
    Stopped,
}

struct History {
    replay: Replay,
    /// Of the stretch that is being delivered.
    items: VecDeque<Arc<Item>>,
    /// There while something is to be delivered: one for all of it, so that nobody waits for what is
    /// only read ahead.
    turn: Option<Turn>,
    /// Those after it, and whether one is being read: no more than two are held.
    coming: VecDeque<Told>,
    is_reading: bool,
}

/// What a stretch of history told.
enum Told {
    Page(Vec<replay::Told>),
    Events(Vec<Arc<Item>>),
}

/// What a topic has for the next frame.
pub(super) enum Next {
    Frame,
    Gap(Gap),
    CaughtUp,
    /// Nothing now: a stretch of history is to be asked for first, so that neither waits for the other.
    Read(Reading),
    /// Nothing now: what is shown of this may take long to make.
    Show(Arc<Item>),
    Nothing,
}

impl Followed {
    pub(super) fn new(member: Member, at: Position, place: Position) -> Followed {
        let mut followed = Followed {
            member,
            at,
            untold: false,
            stage: Stage::Live,
            frames: VecDeque::new(),
            reaching: None,
            is_showing: false,
            is_behind: false,
            has_turn: false,
            waits: false,
        };
        followed.read_up_to(place, GapReason::Retention);
        followed
    }

    /// From where we are up to `place` by history; there the log goes on.
    fn read_up_to(&mut self, place: Position, on_hole: GapReason) {
        let mut from = self.at;
        let mut items = VecDeque::new();
        if from.epoch == place.epoch && from.sequence > place.sequence {
            // Nobody but this client knows of that place: the history was set back, or the
            // position is invented. Either way it is a matter between us and this client.
            let reason = GapReason::EpochChanged;
            let gap = Gap { after: from, until: place, missed: None, reason };
            items.push_back(Arc::new(Item::Gap(gap)));
            from = place;
        }
        let replay = Replay::new(from, Bound::Place(place), on_hole);
        let history =
            History { replay, items, turn: None, coming: VecDeque::new(), is_reading: false };
        self.stage = Stage::History(Box::new(history));
    }

    pub(super) fn read(&mut self, stretch: Stretch, turn: Turn) {
        let Stage::History(history) = &mut self.stage else {
            unreachable!("only history is read");
        };
        let History { replay, turn: held, coming, is_reading, .. } = &mut **history;
        let told = match stretch {
            Stretch::Page(page) => {
                let mut told = Vec::new();
                match replay.take(page, &mut told) {
                    Progress::More => (),
                    Progress::Done => assert!(replay.is_done(), "{replay:?} is done elsewhere"),
                    Progress::RolledBack => unreachable!("a bounded replay ends at its place"),
                }
                Told::Page(told)
            }
            Stretch::Events(items) => {
                let reached = items.last().and_then(|last| last.span()).map(|(_, reached)| reached);
                replay.pass(reached.expect("it has events"));
                Told::Events(items)
            }
        };
        coming.push_back(told);
        held.get_or_insert(turn);
        *is_reading = false;
    }

    pub(super) fn next(&mut self, lens: &Arc<Lens>, stop_at_end: bool) -> Next {
        loop {
            if !self.frames.is_empty() {
                return Next::Frame;
            }
            if self.is_showing {
                return Next::Nothing;
            }
            match &mut self.stage {
                Stage::History(history) => {
                    if let Some(item) = history.items.pop_front() {
                        if let Some(next) = self.unpack(item, lens) {
                            return next;
                        }
                        continue;
                    }
                    if history.coming.is_empty() {
                        history.turn = None;
                    }
                    if let Some(reading) = history.read_on() {
                        return Next::Read(reading);
                    } else if let Some(told) = history.coming.pop_front() {
                        history.items = told.items(self.member.topic());
                    } else if history.is_reading {
                        return Next::Nothing;
                    } else {
                        let stop = stop_at_end && self.is_behind;
                        self.stage = if stop { Stage::Stopped } else { Stage::Live };
                        if std::mem::take(&mut self.is_behind) {
                            return Next::CaughtUp;
                        }
                    }
                }
                Stage::Live if self.waits => return Next::Nothing,
                Stage::Live => match self.member.take(FRAME_BYTES_GOOD) {
                    Took::Item(item) => {
                        if let Some(next) = self.unpack(item, lens) {
                            return next;
                        }
                    }
                    Took::Last(item) => {
                        self.waits = true;
                        if let Some(next) = self.unpack(item, lens) {
                            return next;
                        }
                    }
                    Took::Waiting => {
                        self.waits = true;
                        return Next::Nothing;
                    }
                    Took::Overflowed { place, born } => {
                        if let Some(epoch) = born.filter(|_| self.at.is_beginning()) {
                            // The log saw its birth: from there nothing is unknown.
                            self.at = Position::new(epoch, 0);
                        }
                        self.read_up_to(place, GapReason::SlowConsumer);
                    }
                },
                Stage::Stopped => return Next::Nothing,
            }
        }
    }

    /// Makes the item's wanted events the frames to deliver, or returns what comes before that.
    fn unpack(&mut self, item: Arc<Item>, lens: &Arc<Lens>) -> Option<Next> {
        let events = match &*item {
            Item::Events(events) => events,
            Item::Gap(gap) => {
                (self.at, self.untold) = (gap.until, false);
                return Some(Next::Gap(*gap));
            }
        };
        if events.takes_long(lens) {
            self.is_showing = true;
            return Some(Next::Show(item));
        }
        let last_is_told = events.show(lens, self.member.registry(), &mut self.frames);
        self.reaches(events, last_is_told);
        None
    }

    /// What was asked for by [`Next::Show`].
    pub(super) fn shown(&mut self, item: &Item, frames: VecDeque<Frame>, last_is_told: bool) {
        let Item::Events(events) = item else { unreachable!("a gap is told at once") };
        (self.is_showing, self.frames) = (false, frames);
        self.reaches(events, last_is_told);
    }

    fn reaches(&mut self, events: &Events, last_is_told: bool) {
        self.reaching = events.reached().map(|place| (place, !last_is_told));
        self.reached_if_sent();
    }

    pub(super) fn take_frame(&mut self) -> Frame {
        let frame = self.frames.pop_front().expect("a frame was announced");
        self.reached_if_sent();
        frame
    }

    fn reached_if_sent(&mut self) {
        if self.frames.is_empty()
            && let Some((place, untold)) = self.reaching.take()
        {
            (self.at, self.untold) = (place, untold);
        }
    }

    /// How many events the topic is ahead of what was delivered.
    pub(super) fn lag(&self) -> u64 {
        let idle = !self.has_turn
            && !self.is_showing
            && matches!(self.stage, Stage::Live | Stage::Stopped);
        if idle {
            return 0;
        }
        let tail = self.member.tail();
        if tail.epoch == self.at.epoch {
            tail.sequence.saturating_sub(self.at.sequence)
        } else {
            tail.sequence
        }
    }
}

impl History {
    /// What to read next, where nothing is to be delivered before what came last: it is under way from
    /// then on.
    fn read_on(&mut self) -> Option<Reading> {
        if self.is_reading || self.replay.is_done() || self.coming.len() > 1 {
            return None;
        }
        self.is_reading = true;
        let after = self.replay.at();
        Some(Reading { after, until: self.replay.until().expect("history is read up to a place") })
    }
}

impl Told {
    fn items(self, topic: &Topic) -> VecDeque<Arc<Item>> {
        match self {
            Told::Page(told) => Item::of(topic, told).into_iter().map(Arc::new).collect(),
            Told::Events(items) => items.into(),
        }
    }
}
