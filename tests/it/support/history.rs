//! The history of a trial and its judge.
//!
//! A history is what the outside saw: every publish with its answer, everything that each
//! subscriber was sent, and what was done to the servers when. [`check`] holds it against the
//! promises and names each breach; it knows nothing of how a broker works.
//!
//! Two things are judged by time. An event that was lost with a whole life of its topic, of which
//! a subscriber saw neither end, is covered by a gap over lives where that place in time fits:
//! nothing sent after the event was acknowledged was delivered before the gap, nothing
//! acknowledged before the event was sent was delivered after it. And delays count only while
//! nothing was being done to the servers in between ([`Timeline`]).

use std::{
    cmp::Ordering,
    collections::{BTreeMap, HashMap, HashSet, hash_map},
    fmt,
};

use tidings::position::Position;
use tonic::Code;

/// Microseconds since the trial began.
pub(crate) type Micros = u64;
/// Index into [`History::topics`].
pub(crate) type TopicId = usize;

const SECOND: Micros = 1_000_000;
/// An event is delivered or announced as missed this long after Redis can be reached again.
pub(crate) const NOTICE_MAX: Micros = 5 * SECOND;
/// A gap may take in this much traffic that was not lost.
const WIDTH_MAX: Micros = SECOND;
/// What the history of a topic may be short of what was set: a batch is trimmed whole.
const TRIM_SLACK: u64 = 256;

#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    pub(crate) topics: Vec<String>,
    pub(crate) publishes: Vec<Publish>,
    pub(crate) subscriptions: Vec<Subscription>,
    pub(crate) disturbances: Vec<Disturbance>,
    /// How many events a topic keeps to heal outages.
    pub(crate) kept_events: u64,
}

/// One call, with the ids `first_id..first_id + count`.
#[derive(Debug, Clone)]
pub(crate) struct Publish {
    pub(crate) topic: TopicId,
    pub(crate) first_id: u64,
    pub(crate) count: u64,
    pub(crate) sent: Micros,
    pub(crate) answered: Micros,
    pub(crate) outcome: Outcome,
    /// A replica has them, by word of the receipt: they outlive their primary.
    pub(crate) replicated: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Outcome {
    /// One position per event.
    Acked(Vec<Position>),
    /// The events may exist.
    Unknown { code: Code },
    /// The broker said that they do not exist.
    NotPublished { code: Code, reason: String },
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Subscription {
    pub(crate) topics: Vec<TopicId>,
    pub(crate) seen: Vec<Seen>,
}

#[derive(Debug, Clone)]
pub(crate) enum Seen {
    /// A stream began, at the start or again, with the positions it told.
    Opened {
        at: Micros,
        broker: usize,
        positions: Vec<(TopicId, Position)>,
    },
    Event {
        at: Micros,
        topic: TopicId,
        position: Position,
        id: u64,
    },
    Gap {
        at: Micros,
        topic: TopicId,
        gap: Gap,
    },
    /// A position told by a heartbeat.
    Heartbeat {
        topic: TopicId,
        position: Position,
    },
    /// The subscriber read nothing for so long.
    Stalled {
        from: Micros,
        to: Micros,
    },
    /// The stream ended.
    Lost {
        at: Micros,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) after: Position,
    pub(crate) until: Position,
    pub(crate) missed: Option<u64>,
    pub(crate) reason: i32,
}

impl Gap {
    /// Nothing is there, and nothing was: but a life of the topic may have come and gone.
    fn is_of_an_unseen_life(&self) -> bool {
        self.after.is_beginning() && self.until.is_beginning() && self.missed.is_none()
    }
}

/// Something that was done to the servers: a subscriber can be told nothing, or not for sure.
#[derive(Debug, Clone)]
pub(crate) struct Disturbance {
    pub(crate) from: Micros,
    /// When everything could be reached again.
    pub(crate) to: Micros,
    /// Only this broker was cut off; none: everybody was.
    pub(crate) broker: Option<usize>,
    /// Only this topic was touched; none: all of them.
    pub(crate) topic: Option<TopicId>,
    pub(crate) harm: Harm,
}

impl Disturbance {
    fn touches(&self, topic: TopicId) -> bool {
        self.topic.is_none_or(|touched| touched == topic)
    }
}

/// What it may do to the history of topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Harm {
    None,
    /// Redis has another identity; nothing is lost, but nobody can tell for sure.
    Identity,
    /// What Redis had acknowledged may be gone. Done so many times.
    Loss(u32),
}

/// A broken promise.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Violation {
    /// Delivered, but never published there.
    Ghost { who: Who, position: Position, id: u64 },
    /// Delivered, but its publisher was told that it does not exist.
    DeniedYetDelivered { who: Who, id: u64, reason: String },
    /// Delivered again.
    Duplicate { who: Who, id: u64, first: Position, again: Position },
    /// A position at or below one that was delivered before.
    Reordered { who: Who, position: Position, after: Position },
    /// Another life of the topic, and no gap in between.
    EpochWithoutGap { who: Who, from: Position, to: Position },
    /// Positions were skipped, and no gap says so.
    Hole { who: Who, from: Position, to: Position },
    /// A heartbeat told a place behind or beside what the stream had reached.
    WrongHeartbeat { who: Who, at: Position, told: Position },
    /// A gap that does not begin where the subscriber stood.
    MisplacedGap { who: Who, at: Position, gap: Gap },
    /// A gap that says another number than its ends, or fewer than were acknowledged inside.
    Miscounted { who: Who, gap: Gap, counted: u64 },
    /// Acknowledged, never delivered, in no gap: the silent loss.
    Undetected { who: Who, id: u64, position: Position },
    /// One place, two events.
    PositionTwice { topic: String, position: Position, ids: (u64, u64) },
    /// A replica had it, by word of the receipt, and nothing trimmed it, yet it lies in a gap.
    ReplicatedYetLost { who: Who, id: u64, position: Position },
    /// Delivered elsewhere than its receipt says.
    AckedElsewhere { who: Who, id: u64, acked: Position, delivered: Position },
    /// The receipts of one call are not one position after the other.
    TornBatch { topic: String, id: u64, positions: Vec<Position> },
    /// Sent after the other was acknowledged, and yet stored before it.
    AckOrder { topic: String, earlier: (u64, Position), later: (u64, Position) },
    /// Announced as missed too late, by so much undisturbed time.
    LateNotice { who: Who, id: u64, delay: Micros },
    /// Delivered too late.
    LateDelivery { who: Who, id: u64, delay: Micros },
    /// A gap took in so many events that nothing had happened to.
    WideGap { who: Who, gap: Gap, excess: u64 },
    /// More gaps without a loss than anything that was done could explain.
    FalseAlarms { who: Who, gaps: u64, explained: u64 },
}

/// One subscriber's view of one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Who {
    pub(crate) subscriber: usize,
    pub(crate) topic: String,
}

#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) violations: Vec<Violation>,
    pub(crate) acked: u64,
    /// Of those, what replicas had by word of the receipt.
    pub(crate) replicated: u64,
    pub(crate) unknown: u64,
    pub(crate) refused: u64,
    pub(crate) deliveries: u64,
    /// Acknowledged and not delivered, inside a gap: event × subscriber.
    pub(crate) missing: u64,
    pub(crate) gaps: u64,
    /// Of those, how many took in no acknowledged event.
    pub(crate) false_alarms: u64,
    pub(crate) reconnects: u64,
    pub(crate) worst_notice: Micros,
    pub(crate) worst_delivery: Micros,
}

impl Report {
    /// How many violations of each kind, by name.
    pub(crate) fn counts(&self) -> BTreeMap<&'static str, u64> {
        let mut counts = BTreeMap::new();
        for violation in &self.violations {
            *counts.entry(violation.name()).or_default() += 1;
        }
        counts
    }

    pub(crate) fn count(&self, names: &[&str]) -> u64 {
        self.violations.iter().filter(|v| names.contains(&v.name())).count() as u64
    }

    /// What was lost in silence.
    pub(crate) fn undetected(&self) -> u64 {
        self.count(&["undetected", "hole", "epoch without gap"])
    }
}

impl Violation {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Violation::Ghost { .. } => "ghost",
            Violation::DeniedYetDelivered { .. } => "denied yet delivered",
            Violation::Duplicate { .. } => "duplicate",
            Violation::Reordered { .. } => "reordered",
            Violation::EpochWithoutGap { .. } => "epoch without gap",
            Violation::Hole { .. } => "hole",
            Violation::WrongHeartbeat { .. } => "wrong heartbeat",
            Violation::MisplacedGap { .. } => "misplaced gap",
            Violation::Miscounted { .. } => "miscounted",
            Violation::Undetected { .. } => "undetected",
            Violation::PositionTwice { .. } => "position twice",
            Violation::ReplicatedYetLost { .. } => "replicated yet lost",
            Violation::AckedElsewhere { .. } => "acked elsewhere",
            Violation::TornBatch { .. } => "torn batch",
            Violation::AckOrder { .. } => "ack order",
            Violation::LateNotice { .. } => "late notice",
            Violation::LateDelivery { .. } => "late delivery",
            Violation::WideGap { .. } => "wide gap",
            Violation::FalseAlarms { .. } => "false alarms",
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "subscriber {} of {}", self.subscriber, self.topic)
    }
}

/// What is known of one published event.
#[derive(Debug, Clone)]
struct Sent<'a> {
    topic: TopicId,
    sent: Micros,
    answered: Micros,
    /// Where it was acknowledged.
    position: Option<Position>,
    outcome: &'a Outcome,
    replicated: bool,
}

pub(crate) fn check(history: &History) -> Report {
    let mut report = Report::default();
    let events = index(history, &mut report);
    check_acks(history, &events, &mut report);
    check_places(history, &events, &mut report);
    // Acknowledged events of each topic, in the order of their answers.
    let mut acked: Vec<Vec<(u64, &Sent<'_>)>> = vec![Vec::new(); history.topics.len()];
    for (id, sent) in &events {
        if sent.position.is_some() {
            acked[sent.topic].push((*id, sent));
        }
    }
    acked.iter_mut().for_each(|acked| acked.sort_unstable_by_key(|(id, s)| (s.answered, *id)));
    for (subscriber, subscription) in history.subscriptions.iter().enumerate() {
        let opened = |seen: &&Seen| matches!(seen, Seen::Opened { .. });
        let streams = subscription.seen.iter().filter(opened).count() as u64;
        report.reconnects += streams.saturating_sub(1);
        for &topic in &subscription.topics {
            let timeline = Timeline::new(history, subscription, topic);
            let who = Who { subscriber, topic: history.topics[topic].clone() };
            let mut view = View::new(who, topic, &events);
            view.follow(subscription, &mut report.violations);
            view.settle(history, &acked[topic], &timeline, &mut report);
        }
    }
    report
}

fn index<'a>(history: &'a History, report: &mut Report) -> HashMap<u64, Sent<'a>> {
    let mut events = HashMap::new();
    for publish in &history.publishes {
        match &publish.outcome {
            Outcome::Acked(positions) => {
                report.acked += publish.count;
                report.replicated += if publish.replicated { publish.count } else { 0 };
                let consecutive = positions.len() as u64 == publish.count
                    && positions.windows(2).all(|pair| pair[1] == next(pair[0]))
                    && positions.iter().all(|place| place.sequence > 0 && place.epoch > 0);
                if !consecutive {
                    report.violations.push(Violation::TornBatch {
                        topic: history.topics[publish.topic].clone(),
                        id: publish.first_id,
                        positions: positions.clone(),
                    });
                }
            }
            Outcome::Unknown { .. } => report.unknown += publish.count,
            Outcome::NotPublished { .. } => report.refused += publish.count,
        }
        for offset in 0..publish.count {
            let position = match &publish.outcome {
                Outcome::Acked(positions) => positions.get(offset as usize).copied(),
                Outcome::Unknown { .. } | Outcome::NotPublished { .. } => None,
            };
            let sent = Sent {
                topic: publish.topic,
                sent: publish.sent,
                answered: publish.answered,
                position,
                outcome: &publish.outcome,
                replicated: publish.replicated,
            };
            let earlier = events.insert(publish.first_id + offset, sent);
            assert!(earlier.is_none(), "the trial used an id twice");
        }
    }
    events
}

/// What is sent after an answer was read is stored after what was answered.
fn check_acks(history: &History, events: &HashMap<u64, Sent<'_>>, report: &mut Report) {
    let mut acked: Vec<(u64, &Sent<'_>, Position)> =
        events.iter().filter_map(|(id, sent)| Some((*id, sent, sent.position?))).collect();
    acked.sort_unstable_by_key(|(id, sent, _)| (sent.sent, *id));
    let mut answers = acked.clone();
    answers.sort_unstable_by_key(|(id, sent, _)| (sent.answered, *id));
    let mut answers = answers.into_iter().peekable();
    let mut highest: HashMap<(TopicId, u64), (u64, Position)> = HashMap::new();
    for (id, sent, position) in acked {
        while let Some((id, answered, at)) =
            answers.next_if(|(_, answer, _)| answer.answered < sent.sent)
        {
            let top = highest.entry((answered.topic, at.epoch)).or_insert((id, at));
            if at.sequence > top.1.sequence {
                *top = (id, at);
            }
        }
        if let Some(&earlier) = highest.get(&(sent.topic, position.epoch))
            && earlier.1.sequence >= position.sequence
        {
            let topic = history.topics[sent.topic].clone();
            report.violations.push(Violation::AckOrder { topic, earlier, later: (id, position) });
        }
    }
}

/// One event per position, in receipts and deliveries together.
fn check_places(history: &History, events: &HashMap<u64, Sent<'_>>, report: &mut Report) {
    let mut places: HashMap<(TopicId, Position), u64> = HashMap::new();
    let mut told: HashSet<(TopicId, Position)> = HashSet::new();
    let acks = events.iter().filter_map(|(id, sent)| Some((sent.topic, sent.position?, *id)));
    let seen = history.subscriptions.iter().flat_map(|subscription| &subscription.seen);
    let deliveries = seen.filter_map(|seen| match seen {
        Seen::Event { topic, position, id, .. } => Some((*topic, *position, *id)),
        Seen::Opened { .. }
        | Seen::Gap { .. }
        | Seen::Heartbeat { .. }
        | Seen::Stalled { .. }
        | Seen::Lost { .. } => None,
    });
    for (topic, position, id) in acks.chain(deliveries) {
        match places.entry((topic, position)) {
            hash_map::Entry::Vacant(place) => {
                place.insert(id);
            }
            hash_map::Entry::Occupied(place) => {
                if *place.get() != id && told.insert((topic, position)) {
                    let topic = history.topics[topic].clone();
                    let ids = (*place.get(), id);
                    report.violations.push(Violation::PositionTwice { topic, position, ids });
                }
            }
        }
    }
}

/// One subscriber's way through one topic.
struct View<'a> {
    who: Who,
    topic: TopicId,
    events: &'a HashMap<u64, Sent<'a>>,
    /// Where it began to listen, and when; none before the first Opened.
    start: Option<(Position, Micros)>,
    at: Position,
    /// By id: where and when.
    delivered: HashMap<u64, (Position, Micros)>,
    gaps: Vec<SeenGap>,
    /// Deliveries between two gaps, one more than there are gaps.
    stretches: Vec<Stretch>,
}

struct SeenGap {
    at: Micros,
    gap: Gap,
    /// Acknowledged events inside it.
    missing: Vec<u64>,
}

/// What was delivered between two gaps, as far as time goes.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    last_sent: Micros,
    first_answered: Micros,
}

impl Stretch {
    const EMPTY: Stretch = Stretch { last_sent: 0, first_answered: Micros::MAX };
}

impl<'a> View<'a> {
    fn new(who: Who, topic: TopicId, events: &'a HashMap<u64, Sent<'a>>) -> View<'a> {
        View {
            who,
            topic,
            events,
            start: None,
            at: Position::BEGINNING,
            delivered: HashMap::new(),
            gaps: Vec::new(),
            stretches: vec![Stretch::EMPTY],
        }
    }

    /// Goes the way in the order in which it was seen: what a subscriber alone can know.
    fn follow(&mut self, subscription: &Subscription, violations: &mut Vec<Violation>) {
        for seen in &subscription.seen {
            match seen {
                Seen::Opened { at, positions, .. } if self.start.is_none() => {
                    let place = positions.iter().find(|(topic, _)| *topic == self.topic);
                    self.at = place.map_or(Position::BEGINNING, |(_, place)| *place);
                    self.start = Some((self.at, *at));
                }
                Seen::Event { at, topic, position, id } if *topic == self.topic => {
                    self.event(*at, *position, *id, violations);
                }
                Seen::Gap { at, topic, gap } if *topic == self.topic => {
                    self.gap(*at, *gap, violations);
                }
                Seen::Heartbeat { topic, position, .. } if *topic == self.topic => {
                    self.heartbeat(*position, violations);
                }
                Seen::Opened { .. }
                | Seen::Event { .. }
                | Seen::Gap { .. }
                | Seen::Heartbeat { .. }
                | Seen::Stalled { .. }
                | Seen::Lost { .. } => (),
            }
        }
    }

    fn event(&mut self, at: Micros, position: Position, id: u64, violations: &mut Vec<Violation>) {
        let name = self.who.clone();
        let who = || name.clone();
        if let Some(&(first, _)) = self.delivered.get(&id) {
            violations.push(Violation::Duplicate { who: who(), id, first, again: position });
            return;
        }
        match self.events.get(&id).filter(|sent| sent.topic == self.topic) {
            None => violations.push(Violation::Ghost { who: who(), position, id }),
            Some(sent) => {
                if let Outcome::NotPublished { reason, .. } = sent.outcome {
                    let reason = reason.clone();
                    violations.push(Violation::DeniedYetDelivered { who: who(), id, reason });
                }
                if let Some(acked) = sent.position.filter(|acked| *acked != position) {
                    let delivered = position;
                    violations.push(Violation::AckedElsewhere { who: who(), id, acked, delivered });
                }
            }
        }
        self.delivered.insert(id, (position, at));
        self.count_in(id);
        let from = self.at;
        if position.epoch == from.epoch && position.sequence <= from.sequence {
            violations.push(Violation::Reordered { who: who(), position, after: from });
            return;
        }
        let expected = if from.is_beginning() {
            // The first life of a topic that did not exist.
            Position::new(position.epoch, 1)
        } else {
            next(from)
        };
        if position.epoch != expected.epoch {
            violations.push(Violation::EpochWithoutGap { who: who(), from, to: position });
        } else if position != expected {
            violations.push(Violation::Hole { who: who(), from, to: position });
        }
        self.at = position;
    }

    fn count_in(&mut self, id: u64) {
        let Some(sent) = self.events.get(&id) else { return };
        let stretch = self.stretches.last_mut().expect("one more than gaps");
        stretch.last_sent = stretch.last_sent.max(sent.sent);
        if sent.position.is_some() {
            stretch.first_answered = stretch.first_answered.min(sent.answered);
        }
    }

    fn gap(&mut self, at: Micros, gap: Gap, violations: &mut Vec<Violation>) {
        let within = gap.after.epoch == gap.until.epoch && !gap.is_of_an_unseen_life();
        let backwards = within && gap.until.sequence <= gap.after.sequence;
        if gap.after != self.at || backwards {
            violations.push(Violation::MisplacedGap { who: self.who.clone(), at: self.at, gap });
        }
        if within && !backwards {
            let counted = gap.until.sequence - gap.after.sequence;
            if gap.missed != Some(counted) {
                violations.push(Violation::Miscounted { who: self.who.clone(), gap, counted });
            }
        }
        self.at = gap.until;
        self.gaps.push(SeenGap { at, gap, missing: Vec::new() });
        self.stretches.push(Stretch::EMPTY);
    }

    /// Without a filter a heartbeat can tell nothing new but the beginning of a first life.
    fn heartbeat(&mut self, told: Position, violations: &mut Vec<Violation>) {
        if told == self.at {
            return;
        }
        if !(self.at.is_beginning() && told.sequence == 0) {
            let who = self.who.clone();
            violations.push(Violation::WrongHeartbeat { who, at: self.at, told });
        }
        self.at = told;
    }

    /// Accounts for every acknowledged event: delivered, inside a gap, or lost in silence.
    fn settle(
        mut self,
        history: &History,
        acked: &[(u64, &Sent<'_>)],
        timeline: &Timeline,
        report: &mut Report,
    ) {
        report.deliveries += self.delivered.len() as u64;
        report.gaps += self.gaps.len() as u64;
        let Some((start, opened)) = self.start else { return };
        // What had been sent when this many gaps were seen, and what was answered after.
        let mut sent_before = Vec::with_capacity(self.gaps.len());
        let mut highest = 0;
        for stretch in &self.stretches {
            highest = highest.max(stretch.last_sent);
            sent_before.push(highest);
        }
        let mut answered_after = vec![Micros::MAX; self.stretches.len()];
        let mut lowest = Micros::MAX;
        for (index, stretch) in self.stretches.iter().enumerate().rev() {
            lowest = lowest.min(stretch.first_answered);
            answered_after[index] = lowest;
        }

        for &(id, sent) in acked {
            let position = sent.position.expect("acknowledged");
            if let Some(&(_, at)) = self.delivered.get(&id) {
                let raw = at.saturating_sub(sent.answered);
                if raw > report.worst_delivery {
                    let delay = timeline.undisturbed(sent.answered, at);
                    report.worst_delivery = report.worst_delivery.max(delay);
                    if delay > NOTICE_MAX {
                        let who = self.who.clone();
                        report.violations.push(Violation::LateDelivery { who, id, delay });
                    }
                }
                continue;
            }
            let later = position.epoch == start.epoch && position.sequence > start.sequence;
            if sent.sent < opened && !later {
                continue;
            }
            let covering = self.gaps.iter().enumerate().find(|(index, seen)| {
                sent.sent <= seen.at
                    && covers(&seen.gap, position, || {
                        sent_before[*index] <= sent.answered
                            && answered_after[index + 1] >= sent.sent
                    })
            });
            let Some(index) = covering.map(|(index, _)| index) else {
                let who = self.who.clone();
                report.violations.push(Violation::Undetected { who, id, position });
                continue;
            };
            let seen = &mut self.gaps[index];
            seen.missing.push(id);
            report.missing += 1;
            let delay = timeline.undisturbed(sent.answered.max(opened), seen.at);
            report.worst_notice = report.worst_notice.max(delay);
            if delay > NOTICE_MAX {
                let who = self.who.clone();
                report.violations.push(Violation::LateNotice { who, id, delay });
            }
        }
        self.check_gaps(history, acked, report);
    }

    /// A gap is not wider than what was lost, and there are not more of them than reasons.
    fn check_gaps(&self, history: &History, acked: &[(u64, &Sent<'_>)], report: &mut Report) {
        let mut false_alarms = 0;
        for seen in &self.gaps {
            let who = || self.who.clone();
            let missing = seen.missing.len() as u64;
            if seen.gap.missed.is_some_and(|missed| missed < missing) {
                let violation =
                    Violation::Miscounted { who: who(), gap: seen.gap, counted: missing };
                report.violations.push(violation);
            }
            if missing == 0 {
                report.false_alarms += 1;
                // Born while its broker was cut off: nobody there knows whether another life was
                // before that.
                false_alarms += u64::from(!seen.gap.after.is_beginning());
                continue;
            }
            // How far each epoch had come when the gap was announced.
            let mut reached: HashMap<u64, u64> = HashMap::new();
            for (_, sent) in acked.iter().filter(|(_, sent)| sent.sent <= seen.at) {
                let position = sent.position.expect("acknowledged");
                let top = reached.entry(position.epoch).or_default();
                *top = position.sequence.max(*top);
            }
            let top = reached.entry(seen.gap.until.epoch).or_default();
            *top = seen.gap.until.sequence.max(*top);
            let is_trimmed = |position: Position| {
                // A later life takes from those before it once it fills all that is kept.
                let newer = reached.iter().map(|(&epoch, &top)| match epoch.cmp(&position.epoch) {
                    Ordering::Less => 0,
                    Ordering::Equal => top.saturating_sub(position.sequence),
                    Ordering::Greater => top,
                });
                newer.max().unwrap_or_default() + TRIM_SLACK >= history.kept_events
            };
            for &id in &seen.missing {
                let sent = &self.events[&id];
                let position = sent.position.expect("acknowledged");
                if sent.replicated && !is_trimmed(position) {
                    let violation = Violation::ReplicatedYetLost { who: who(), id, position };
                    report.violations.push(violation);
                }
            }
            let excess = seen.missing.iter().filter(|id| {
                let sent = &self.events[*id];
                let trimmed = is_trimmed(sent.position.expect("acknowledged"));
                let lost = history.disturbances.iter().any(|done| {
                    matches!(done.harm, Harm::Loss(_))
                        && done.touches(self.topic)
                        && done.from <= seen.at
                        && sent.sent <= done.to + WIDTH_MAX
                });
                !trimmed && !lost
            });
            let excess = excess.count() as u64;
            if excess > 0 {
                report.violations.push(Violation::WideGap { who: who(), gap: seen.gap, excess });
            }
        }
        // Each time that Redis became another or lost something of the topic: at most one gap to
        // where nothing was, and one from there.
        let touching = history.disturbances.iter().filter(|done| done.touches(self.topic));
        let changes: u64 = touching
            .map(|done| match done.harm {
                Harm::None => 0,
                Harm::Identity => 2,
                Harm::Loss(times) => 2 * u64::from(times),
            })
            .sum();
        if false_alarms > changes {
            let (who, gaps) = (self.who.clone(), false_alarms);
            report.violations.push(Violation::FalseAlarms { who, gaps, explained: changes });
        }
    }
}

fn next(position: Position) -> Position {
    Position::new(position.epoch, position.sequence + 1)
}

/// Whether `gap` takes in `position`; `fits_in_time` judges a life that neither end names.
fn covers(gap: &Gap, position: Position, fits_in_time: impl Fn() -> bool) -> bool {
    let after = position.sequence > gap.after.sequence;
    let until = position.sequence <= gap.until.sequence;
    match (position.epoch == gap.after.epoch, position.epoch == gap.until.epoch) {
        (true, true) => after && until,
        (true, false) => after,
        (false, true) => until,
        (false, false) if gap.after.epoch == gap.until.epoch => {
            gap.is_of_an_unseen_life() && fits_in_time()
        }
        (false, false) => fits_in_time(),
    }
}

/// When a subscriber could not be told anything of a topic: its stream was down, it did not read,
/// or something was being done to the topic, to Redis or to its broker.
pub(crate) struct Timeline {
    /// In order, none touching the next.
    bad: Vec<(Micros, Micros)>,
}

impl Timeline {
    pub(crate) fn new(history: &History, subscription: &Subscription, topic: TopicId) -> Timeline {
        let mut bad = Vec::new();
        let mut streams = Vec::new();
        let mut open: Option<(Micros, usize)> = None;
        let mut lost_at = 0;
        for seen in &subscription.seen {
            match seen {
                Seen::Opened { at, broker, .. } => {
                    bad.push((lost_at, *at));
                    open = Some((*at, *broker));
                }
                Seen::Lost { at } => {
                    lost_at = *at;
                    if let Some((from, broker)) = open.take() {
                        streams.push((from, *at, broker));
                    }
                }
                Seen::Stalled { from, to } => bad.push((*from, *to)),
                Seen::Event { .. } | Seen::Gap { .. } | Seen::Heartbeat { .. } => (),
            }
        }
        match open {
            Some((from, broker)) => streams.push((from, Micros::MAX, broker)),
            None => bad.push((lost_at, Micros::MAX)),
        }
        for done in history.disturbances.iter().filter(|done| done.touches(topic)) {
            match done.broker {
                None => bad.push((done.from, done.to)),
                Some(cut_off) => bad.extend(
                    streams
                        .iter()
                        .filter(|(_, _, broker)| *broker == cut_off)
                        .map(|(from, to, _)| (done.from.max(*from), done.to.min(*to)))
                        .filter(|(from, to)| from <= to),
                ),
            }
        }
        bad.sort_unstable();
        let mut merged: Vec<(Micros, Micros)> = Vec::new();
        for (from, to) in bad {
            match merged.last_mut() {
                Some(last) if from <= last.1 => last.1 = last.1.max(to),
                Some(_) | None => merged.push((from, to)),
            }
        }
        Timeline { bad: merged }
    }

    /// The longest time between `from` and `to` in which nothing stood in the way.
    pub(crate) fn undisturbed(&self, from: Micros, to: Micros) -> Micros {
        let mut longest = 0;
        let mut free_from = from;
        let begin = self.bad.partition_point(|(_, end)| *end < from);
        for &(start, end) in &self.bad[begin..] {
            if start >= to {
                break;
            }
            longest = longest.max(start.saturating_sub(free_from));
            free_from = end.max(free_from);
        }
        longest.max(to.saturating_sub(free_from))
    }
}
