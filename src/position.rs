//! Places in a topic.

use std::{fmt, time::Duration};

/// A place in one topic: after the event with this sequence, in this life of the topic.
///
/// Within one epoch positions compare by sequence. Two epochs are two histories; which of them is
/// the present one only the backend can tell, so there is no order across epochs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Position {
    pub epoch: u64,
    pub sequence: u64,
}

/// Where a subscription begins in topics for which it has no position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Start {
    #[default]
    Now,
    Earliest,
    /// The first event that was published at or after this time (microseconds since 1970).
    Time(u64),
    /// The same, counted back from the backend's present.
    Ago(Duration),
    /// The last so many events.
    Last(u64),
}

impl Position {
    /// Before everything. Also where one stands in a topic that does not exist yet.
    pub const BEGINNING: Position = Position { epoch: 0, sequence: 0 };

    pub fn new(epoch: u64, sequence: u64) -> Position {
        Position { epoch, sequence }
    }

    pub fn is_beginning(self) -> bool {
        self == Position::BEGINNING
    }

    /// So many events before this place; there are as many.
    pub fn back(self, events: u64) -> Position {
        Position::new(self.epoch, self.sequence - events)
    }

    /// Whether both are in one life of the topic and this one is `other` or lies after it.
    pub fn has_reached(self, other: Position) -> bool {
        self.epoch == other.epoch && self.sequence >= other.sequence
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.sequence)
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Events that were missed and will not come: everything after `after` up to and with `until`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    pub after: Position,
    /// Often in another epoch; reading goes on after it.
    pub until: Position,
    /// How many, where that is known.
    pub missed: Option<u64>,
    pub reason: GapReason,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GapReason {
    /// The subscriber fell behind by more than the topic keeps.
    SlowConsumer,
    /// The broker was cut off from the backend for longer than the topic keeps history.
    BackendDisconnect,
    /// The place that was asked for is no longer kept.
    Retention,
    /// The history was lost, or begun again.
    EpochChanged,
    /// Something came that is no event.
    Undecodable,
}

impl Gap {
    /// A gap of which the size follows from its ends, where both are in one epoch.
    pub fn between(after: Position, until: Position, reason: GapReason) -> Gap {
        let missed =
            (after.epoch == until.epoch).then(|| until.sequence.saturating_sub(after.sequence));
        Gap { after, until, missed, reason }
    }
}
