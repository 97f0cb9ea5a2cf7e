//! One topic of a subscription: history up to a place, then the hub's log from there.

use std::{collections::VecDeque, sync::Arc};

use crate::{
    backend::{
        Page,
        replay::{Bound, Progress, Replay},
    },
    frame::Frame,
    hub::{Member, Took},
    item::Item,
    lens::Lens,
    limits::FRAME_BYTES_GOOD,
    position::{Gap, GapReason, Position},
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
    /// What it told.
    items: VecDeque<Arc<Item>>,
    /// With so few of them left the next page is read …
    few: usize,
    /// … and whether it is being read.
    is_reading: bool,
}

/// What a topic has for the next frame.
pub(super) enum Next {
    Frame,
    Gap(Gap),
    CaughtUp,
    /// A page of history.
    Read {
        after: Position,
    },
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
        self.stage = Stage::History(Box::new(History { replay, items, few: 0, is_reading: false }));
    }

    pub(super) fn read(&mut self, page: Page) {
        let Stage::History(history) = &mut self.stage else {
            unreachable!("only history is read");
        };
        let History { replay, items, few, is_reading } = &mut **history;
        let mut told = Vec::new();
        match replay.take(page, &mut told) {
            Progress::More => (),
            Progress::Done => assert!(replay.is_done(), "{replay:?} is done elsewhere"),
            Progress::RolledBack => unreachable!("a bounded replay ends at its place"),
        }
        let topic = self.member.topic();
        items.extend(Item::of(topic, told).into_iter().map(Arc::new));
        (*few, *is_reading) = (items.len() / 2, false);
    }

    /// The place to read on after while there is still something to deliver, so that neither waits for
    /// the other. No more than a page and a half is held.
    pub(super) fn read_ahead(&mut self) -> Option<Position> {
        let Stage::History(history) = &mut self.stage else { return None };
        let wanted =
            !history.is_reading && !history.replay.is_done() && history.items.len() <= history.few;
        history.is_reading |= wanted;
        wanted.then(|| history.replay.at())
    }

    pub(super) fn next(&mut self, lens: &Arc<Lens>, stop_at_end: bool) -> Next {
        loop {
            if !self.frames.is_empty() {
                return Next::Frame;
            }
            match &mut self.stage {
                Stage::History(history) => {
                    if let Some(item) = history.items.pop_front() {
                        if let Some(gap) = self.unpack(&item, lens) {
                            return Next::Gap(gap);
                        }
                    } else if history.is_reading {
                        return Next::Nothing;
                    } else if !history.replay.is_done() {
                        history.is_reading = true;
                        return Next::Read { after: history.replay.at() };
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
                        if let Some(gap) = self.unpack(&item, lens) {
                            return Next::Gap(gap);
                        }
                    }
                    Took::Last(item) => {
                        self.waits = true;
                        if let Some(gap) = self.unpack(&item, lens) {
                            return Next::Gap(gap);
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

    /// Makes the item's wanted events the frames to deliver, or returns the gap that it is.
    fn unpack(&mut self, item: &Item, lens: &Arc<Lens>) -> Option<Gap> {
        let events = match item {
            Item::Events(events) => events,
            Item::Gap(gap) => {
                (self.at, self.untold) = (gap.until, false);
                return Some(*gap);
            }
        };
        let last_is_told = events.show(lens, self.member.registry(), &mut self.frames);
        self.reaching = events.reached().map(|place| (place, !last_is_told));
        self.reached_if_sent();
        None
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
        let idle = !self.has_turn && matches!(self.stage, Stage::Live | Stage::Stopped);
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
