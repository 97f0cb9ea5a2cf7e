//! Is an event missing? Sequences rise by one; what is missing was announced by a gap, or is lost.

use crate::proto::{Gap, Position};

/// What one stream has seen of its topic.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Continuity {
    /// The last event, or where the stream began.
    at: Place,
    pub(super) losses: Losses,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) epoch: u64,
    pub(super) sequence: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Losses {
    /// Missing, and no gap said so.
    pub(super) unexplained: u64,
    /// Another life of the topic began, and no gap said so.
    pub(super) unannounced_epochs: u64,
    pub(super) gaps: u64,
    /// What the gaps said was missed …
    pub(super) announced: u64,
    /// … and how many gaps could not say how much.
    pub(super) unknown_gaps: u64,
    /// Events that came again, or late: the promise is that none does.
    pub(super) repeated: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    New,
    Repeated,
    /// From a raw Redis client, outside any sequence.
    Unsequenced,
}

impl Continuity {
    pub(super) fn from(at: Place) -> Continuity {
        Continuity { at, losses: Losses::default() }
    }

    pub(super) fn at(&self) -> Place {
        self.at
    }

    pub(super) fn event(&mut self, place: Place) -> Arrival {
        if place.sequence == 0 {
            return Arrival::Unsequenced;
        }
        if place.epoch == self.at.epoch && place.sequence <= self.at.sequence {
            self.losses.repeated += 1;
            return Arrival::Repeated;
        }
        self.reach(Place { sequence: place.sequence - 1, ..place });
        self.at = place;
        Arrival::New
    }

    pub(super) fn gap(&mut self, gap: &Gap) {
        // What lies before the gap should have come.
        if let Some(after) = &gap.after
            && after.epoch == self.at.epoch
        {
            self.reach(after.into());
        }
        self.losses.gaps += 1;
        match gap.missed {
            Some(missed) => self.losses.announced += missed,
            None => self.losses.unknown_gaps += 1,
        }
        if let Some(until) = &gap.until {
            self.at = until.into();
        }
    }

    /// Nothing of this place, or of one before it, will still come.
    pub(super) fn reach(&mut self, place: Place) {
        if place.epoch == self.at.epoch {
            self.losses.unexplained += place.sequence.saturating_sub(self.at.sequence);
            self.at.sequence = self.at.sequence.max(place.sequence);
            return;
        }
        // A topic without events has no history that could be lost.
        if self.at.sequence > 0 {
            self.losses.unannounced_epochs += 1;
        }
        self.losses.unexplained += place.sequence;
        self.at = place;
    }
}

impl Losses {
    pub(super) fn add(&mut self, other: &Losses) {
        let Losses { unexplained, unannounced_epochs, gaps, announced, unknown_gaps, repeated } =
            other;
        self.unexplained += unexplained;
        self.unannounced_epochs += unannounced_epochs;
        self.gaps += gaps;
        self.announced += announced;
        self.unknown_gaps += unknown_gaps;
        self.repeated += repeated;
    }
}

impl std::convert::From<&Position> for Place {
    fn from(position: &Position) -> Place {
        Place { epoch: position.epoch, sequence: position.sequence }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(epoch: u64, sequence: u64) -> Place {
        Place { epoch, sequence }
    }

    fn position(epoch: u64, sequence: u64) -> Option<Position> {
        Some(Position { topic: "orders".into(), epoch, sequence })
    }

    /// What is found where the stream begins at 1:5 and has these events.
    fn found(events: &[(u64, u64)]) -> Losses {
        let mut continuity = Continuity::from(place(1, 5));
        for (epoch, sequence) in events {
            continuity.event(place(*epoch, *sequence));
        }
        continuity.losses
    }

    #[test]
    fn sequences_that_rise_by_one_miss_nothing() {
        assert_eq!(found(&[(1, 6), (1, 7), (1, 0), (1, 8)]), Losses::default());
        assert_eq!(found(&[]), Losses::default());
    }

    #[test]
    fn every_event_that_is_missing_is_counted() {
        assert_eq!(found(&[(1, 6), (1, 9), (1, 11)]).unexplained, 3);
        assert_eq!(found(&[(1, 7)]).unexplained, 1);
    }

    #[test]
    fn what_comes_again_or_late_is_counted() {
        assert_eq!(found(&[(1, 6), (1, 6), (1, 7), (1, 5)]).repeated, 2);
    }

    #[test]
    fn another_life_has_to_be_announced() {
        let losses = found(&[(1, 6), (2, 3)]);
        assert_eq!((losses.unannounced_epochs, losses.unexplained), (1, 2));
        let mut unborn = Continuity::from(Place::default());
        unborn.event(place(9, 1));
        assert_eq!(unborn.losses, Losses::default());
    }

    #[test]
    fn a_gap_explains_what_it_says_and_nothing_else() {
        let mut continuity = Continuity::from(place(1, 5));
        continuity.event(place(1, 6));
        continuity.gap(&Gap {
            after: position(1, 6),
            until: position(1, 9),
            missed: Some(3),
            ..Gap::default()
        });
        continuity.event(place(1, 10));
        continuity.gap(&Gap { after: position(1, 10), until: position(2, 4), ..Gap::default() });
        continuity.event(place(2, 5));
        let explained = Losses { gaps: 2, announced: 3, unknown_gaps: 1, ..Losses::default() };
        assert_eq!(continuity.losses, explained);
        // Events 6 and 7 of that life lie before this gap, and never came.
        continuity.gap(&Gap { after: position(2, 7), until: position(2, 8), ..Gap::default() });
        assert_eq!(continuity.losses.unexplained, 2);
    }

    #[test]
    fn a_place_that_is_told_misses_what_lies_before_it() {
        let mut continuity = Continuity::from(place(1, 5));
        continuity.reach(place(1, 5));
        assert_eq!(continuity.losses, Losses::default());
        continuity.reach(place(1, 7));
        assert_eq!((continuity.losses.unexplained, continuity.at()), (2, place(1, 7)));
    }
}
