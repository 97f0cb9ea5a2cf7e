//! One subscriber's stream: what it missed, then what happens.
//!
//! For each topic the hub's log is joined first, at a place P; history is read up to exactly P,
//! and from there the log goes on: nothing twice, nothing left out, no comparing. Where the log
//! overflowed the same is done again from the place that was reached. Every stream tells at least
//! once each heartbeat interval where it is, and ends with a reason.
//!
//! A subscription does its work when it is asked for the next frame: one that nobody reads holds
//! a few frames and a cursor, and delays no one.

mod begin;
mod follow;
mod request;
mod work;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    fmt,
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    task::coop::consume_budget,
    time::{Instant, Sleep, sleep_until},
};
use uuid::Uuid;

pub use self::request::Subscribe;
use self::{
    begin::{Until, Wanted, begin, choose},
    follow::{Followed, Next},
    work::{Done, Work},
};
use crate::{
    backend::BackendError,
    compression::Compression,
    event::timestamp_us,
    frame::Frame,
    hub::{Doorbell, Hub, Member, Ringer, Rung, Watch},
    lens::Lens,
    limits::{
        FRAME_BYTES_GOOD, GO_AWAY_GRACE, HEARTBEAT_INTERVAL, HEARTBEAT_POSITIONS_MAX, JOINS_MAX,
        SUBSCRIPTION_TOPICS_MAX, TURN_BYTES,
    },
    position::{Gap, GapReason, Position},
    proto::{self, subscribe_response::Control},
    topic::{InvalidTopic, Topic, TopicPattern},
};

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SubscribeError {
    #[error("{field}: {cause}")]
    Pattern { field: String, cause: InvalidTopic },
    #[error("{field} {description}")]
    Filter { field: String, description: String },
    #[error("{field} {description}")]
    Position { field: String, description: String },
    #[error("{field} {description}")]
    Request { field: String, description: String },
    #[error("the patterns match more than {limit} topics: subscribe to fewer on one stream")]
    TooManyTopics { limit: usize },
    #[error("this broker serves {limit} streams already: try another broker")]
    TooManyStreams { limit: usize },
    #[error("events of {topic} after {} are lost, and the request says to end at a gap", .gap.after)]
    PositionLost { topic: Topic, gap: Gap },
    #[error("the broker is stopping: subscribe again, with the positions reached")]
    Draining,
    #[error("the stream reached its greatest age: subscribe again, with the positions reached")]
    StreamMaxAge,
    #[error(transparent)]
    Backend(#[from] BackendError),
}

/// What the broker gives to each of its streams.
#[derive(Debug)]
pub struct Terms {
    pub broker_id: String,
    /// None: as old as it likes.
    pub max_age: Option<Duration>,
    pub drain: watch::Receiver<Option<Drain>>,
    /// Wakes the stream's task; none: whoever has news wakes it directly.
    pub ringer: Option<Ringer>,
    /// Counts the stream until it is dropped.
    pub permit: OwnedSemaphorePermit,
}

/// Every stream ends at `until`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drain {
    pub until: Instant,
}

/// A stream of frames. Dropping it ends it.
pub struct Subscription {
    id: Uuid,
    hub: Hub,
    client_name: Box<str>,
    lens: Arc<Lens>,
    stop_at_end: bool,
    fail_on_gap: bool,
    /// Whether the request asked for something from before the call.
    has_history: bool,
    heartbeat_interval: Duration,
    doorbell: Arc<Doorbell>,
    rung: Rung,
    _permit: OwnedSemaphorePermit,

    /// By the number under which each was joined; none while it is being joined.
    followed: Vec<Option<Followed>>,
    /// None: it follows the topics that the request names, and no others.
    patterns: Option<Box<Patterns>>,
    /// Topics that may have something to deliver, each once.
    turns: VecDeque<usize>,
    /// What the first of them may still send before the next one's turn, in bytes.
    turn_left: usize,

    /// None while there is none.
    work: Option<Box<Work>>,
    /// Whether work is to begin before anything else is done here.
    yields: bool,

    /// Frames that go out before any event.
    controls: VecDeque<Frame>,
    /// How many of the first topics have not reached what was kept at the call.
    behind: usize,

    down_since_us: Option<u64>,
    drain: watch::Receiver<Option<Drain>>,
    draining: bool,
    max_age_at: Option<Instant>,
    // Boxed: they are large, and most streams have neither.
    ending: Option<Box<(Instant, SubscribeError)>>,
    failed: Option<Box<SubscribeError>>,
    ended: bool,

    /// Every topic that appeared before this time is followed.
    known_us: u64,
    told_us: u64,
    last_frame: Instant,
    last_heartbeat: Instant,
    /// When to look around, at the latest.
    look_at: Instant,
    timer: Option<Pin<Box<Sleep>>>,
}

/// How topics come to be followed that the request does not name.
struct Patterns {
    wanted: Vec<TopicPattern>,
    followed: HashSet<Topic>,
    _watch: Option<Watch>,
}

impl Subscription {
    /// Returns when every topic named, and every topic that exists and matches a pattern, is
    /// followed: what is published from then on is delivered.
    pub async fn open(
        hub: Hub,
        terms: Terms,
        request: Subscribe,
    ) -> Result<Subscription, SubscribeError> {
        // Hung up before the state is read: what changes afterwards rings it.
        let doorbell = hub.doorbell(terms.ringer);
        let present = hub.present();
        if present.ended || present.down_since_us.is_some() {
            let cause = "the broker is cut off from it, and connects again by itself".into();
            return Err(BackendError::Unavailable { cause }.into());
        }
        // Taken before the topics are listed: whatever appeared before is on the list.
        let known_us = hub.clock_us();
        let (watch, topics) = choose(&hub, &request, &doorbell).await?;
        let literals = topics.iter().take_while(|(_, literal)| *literal).count();

        let until = if request.stop_at_end { Until::Present } else { Until::Ever };
        let mut begins = Vec::with_capacity(topics.len());
        for (number, (topic, _)) in topics.iter().enumerate() {
            let (hub, topic, doorbell) = (hub.clone(), topic.clone(), doorbell.clone());
            let wanted = match request.resume.get(&topic) {
                Some(position) => Wanted::After(*position),
                None => Wanted::Start(request.start.unwrap_or_default()),
            };
            begins.push(async move {
                let begun = begin(&hub, &topic, doorbell, number, wanted, until).await?;
                Ok::<_, BackendError>((number, begun))
            });
        }
        let begun: HashMap<usize, (Member, Position, Position)> =
            stream::iter(begins).buffer_unordered(JOINS_MAX).try_collect().await?;

        let now = Instant::now();
        let wanted = request.patterns();
        let patterns = (!wanted.is_empty()).then(|| {
            let followed = topics.iter().map(|(topic, _)| topic.clone()).collect();
            Box::new(Patterns { wanted, followed, _watch: watch })
        });
        let Subscribe { filter, view, compression, .. } = request;
        let mut subscription = Subscription {
            id: Uuid::now_v7(),
            client_name: request.client_name.into(),
            lens: hub.lenses().shared(Lens { filter, view, compression }),
            stop_at_end: request.stop_at_end,
            fail_on_gap: request.fail_on_gap,
            has_history: request.start.is_some() || !request.resume.is_empty(),
            heartbeat_interval: request.heartbeat_interval.unwrap_or(HEARTBEAT_INTERVAL),
            doorbell,
            rung: Rung::default(),
            _permit: terms.permit,
            followed: (0..topics.len()).map(|_| None).collect(),
            patterns,
            turns: VecDeque::new(),
            turn_left: TURN_BYTES,
            work: None,
            yields: false,
            controls: VecDeque::new(),
            behind: topics.len(),
            down_since_us: None,
            drain: terms.drain,
            draining: false,
            max_age_at: terms.max_age.map(|age| now + jittered(age)),
            ending: None,
            failed: None,
            ended: false,
            known_us,
            told_us: known_us,
            last_frame: now,
            last_heartbeat: now,
            look_at: now,
            timer: None,
            hub,
        };
        for (number, (member, at, place)) in begun {
            let mut followed = Followed::new(member, at, place);
            followed.is_behind = true;
            followed.untold = number >= literals;
            subscription.followed[number] = Some(followed);
        }
        for number in 0..topics.len() {
            subscription.give_turn(number);
        }
        subscription.opened(&terms.broker_id, literals);
        Ok(subscription)
    }

    pub fn id(&self) -> Uuid {
        self.id
    }

    /// How its frames may be compressed.
    pub fn compression(&self) -> Option<Compression> {
        self.lens.compression
    }

    /// The next frame; none when the stream has ended. Cancel safe.
    pub async fn next(&mut self) -> Option<Result<Frame, SubscribeError>> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The same, for whoever is polled itself.
    pub fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame, SubscribeError>>> {
        // A stream that always has a frame ready must not keep its thread to itself.
        ready!(pin!(consume_budget()).poll(cx));
        loop {
            if self.ended {
                return Poll::Ready(None);
            }
            if let Some(frame) = self.frame(cx) {
                return Poll::Ready(Some(Ok(frame)));
            }
            if let Some(error) = self.failed.take() {
                self.ended = true;
                return Poll::Ready(Some(Err(*error)));
            }
            if self.stop_at_end && self.behind == 0 {
                self.ended = true;
                return Poll::Ready(None);
            }
            if self.poll_work(cx) {
                continue;
            }
            if std::mem::take(&mut self.yields) {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            ready!(self.poll_timer(cx));
        }
    }

    /// Whatever can be sent now. Where it is nothing, something wakes us when that changes.
    fn frame(&mut self, cx: &mut Context<'_>) -> Option<Frame> {
        // Taken before the doorbell is answered: what appeared before it has been rung.
        let clock_us = self.hub.clock_us();
        self.answer(cx.waker());
        while self.poll_work(cx) {}
        if self.yields {
            return None;
        }
        if self.work.as_ref().is_none_or(|work| !work.is_looking_for_topics()) {
            // Also where it went back: the earlier time promises less.
            self.known_us = clock_us;
        }
        let now = Instant::now();
        if self.look_at <= now {
            self.look_around(now);
        }
        let frame = loop {
            if let Some(frame) = self.controls.pop_front() {
                if self.controls.is_empty() {
                    // Controls are rare, and room for some would be kept as long as the stream.
                    self.controls.shrink_to_fit();
                }
                break Some(frame);
            }
            if self.failed.is_some() {
                break None;
            }
            let events = self.events();
            if events.is_some() || self.controls.is_empty() && self.failed.is_none() {
                break events;
            }
        };
        if let Some(work) = &mut self.work {
            work.start(&self.hub, &self.doorbell);
        }
        if frame.is_some() {
            self.last_frame = now;
        }
        frame
    }

    /// Takes up work that is done, if some is.
    fn poll_work(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(work) = &mut self.work else { return false };
        let Poll::Ready(done) = work.poll_done(cx) else { return false };
        if work.is_over() {
            self.work = None;
        }
        self.take_up(done);
        true
    }

    /// It is armed anew when it has fired, not with each frame: then it is seen whether it was
    /// too early.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let at = self.look_at;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if timer.deadline() != at {
            timer.as_mut().reset(at);
        }
        timer.as_mut().poll(cx)
    }

    fn next_look(&self) -> Instant {
        let ending = self.ending.as_ref().map(|ending| ending.0);
        [ending, self.max_age_at].into_iter().flatten().fold(self.heartbeat_at(), Instant::min)
    }

    // ---- what has changed since the last frame

    fn answer(&mut self, waker: &Waker) {
        self.doorbell.answer(&mut self.rung, waker);
        while let Some(number) = self.rung.topics.pop() {
            self.followed_mut(number).waits = false;
            self.give_turn(number);
        }
        while let Some((topic, epoch)) = self.rung.appeared.pop_front() {
            // Where the epoch was not heard nobody knows what was missed: the beginning of
            // everything lies in no epoch, so reading from there tells of a gap.
            self.appeared(topic, Position::new(epoch, 0));
        }
        if std::mem::take(&mut self.rung.overflowed) {
            self.work().list();
        }
        if std::mem::take(&mut self.rung.changed) {
            self.look_at = Instant::now();
        }
    }

    fn appeared(&mut self, topic: Topic, from: Position) {
        let patterns = self.patterns.as_mut().expect("who names all topics is told of no others");
        if topic.is_reserved() || patterns.followed.contains(&topic) {
            return;
        }
        if self.followed.len() >= SUBSCRIPTION_TOPICS_MAX {
            self.fail(SubscribeError::TooManyTopics { limit: SUBSCRIPTION_TOPICS_MAX });
            return;
        }
        let number = self.followed.len();
        self.followed.push(None);
        patterns.followed.insert(topic.clone());
        self.work().join(topic, number, from);
    }

    fn may_appear(&self, topic: &Topic) -> bool {
        let patterns = self.patterns.as_ref();
        patterns.is_some_and(|patterns| patterns.wanted.iter().any(|wanted| wanted.matches(topic)))
    }

    fn work(&mut self) -> &mut Work {
        self.work.get_or_insert_default()
    }

    fn look_around(&mut self, now: Instant) {
        let state = self.hub.present();
        if state.ended {
            let cause = "the broker has closed it".into();
            self.fail(BackendError::Unavailable { cause }.into());
        }
        let down_changed = state.down_since_us != self.down_since_us;
        self.down_since_us = state.down_since_us;
        let drain = *self.drain.borrow();
        match (drain, self.max_age_at) {
            (Some(Drain { until }), _) if !self.draining => {
                self.draining = true;
                self.max_age_at = None;
                self.go_away(until, proto::go_away::Reason::Shutdown, SubscribeError::Draining);
            }
            (_, Some(at)) if at <= now => {
                self.max_age_at = None;
                let (until, why) = (now + GO_AWAY_GRACE, proto::go_away::Reason::MaxAge);
                self.go_away(until, why, SubscribeError::StreamMaxAge);
            }
            _ if down_changed || self.heartbeat_at() <= now => self.heartbeat(),
            _ => (),
        }
        if let Some(ending) = self.ending.take_if(|ending| ending.0 <= now) {
            self.fail(ending.1);
        }
        self.look_at = self.next_look();
    }

    fn fail(&mut self, error: SubscribeError) {
        self.failed.get_or_insert_with(|| Box::new(error));
    }

    fn take_up(&mut self, done: Done) {
        match done {
            Done::Read(number, read) => match read {
                Ok((stretch, turn)) => {
                    self.followed_mut(number).read(stretch, turn);
                    self.give_turn(number);
                }
                Err(error) => self.fail(error.into()),
            },
            Done::Joined(number, from, joined) => match joined {
                Ok((member, place)) => {
                    let mut followed = Followed::new(member, from, place);
                    followed.untold = true;
                    self.followed[number] = Some(followed);
                    self.give_turn(number);
                }
                Err(error) => self.fail(error.into()),
            },
            Done::Shown(number, item, frames, last_is_told) => {
                self.followed_mut(number).shown(&item, frames, last_is_told);
                self.give_turn(number);
            }
            Done::Listed(topics) => match topics {
                Ok(mut topics) => {
                    topics.retain(|topic| self.may_appear(topic));
                    for topic in topics {
                        self.appeared(topic, Position::BEGINNING);
                    }
                }
                Err(error) => self.fail(error.into()),
            },
        }
    }

    fn followed_mut(&mut self, number: usize) -> &mut Followed {
        self.followed[number].as_mut().expect("a topic that has news has been joined")
    }

    fn give_turn(&mut self, number: usize) {
        let followed = self.followed_mut(number);
        if !followed.has_turn {
            followed.has_turn = true;
            self.turns.push_back(number);
        }
    }

    // ---- events

    /// The next frame of events. Before what must stand between two frames it stops; that is in
    /// `controls` or `failed` then.
    fn events(&mut self) -> Option<Frame> {
        let (lens, stop_at_end) = (self.lens.clone(), self.stop_at_end);
        let (mut frames, mut only) = (Vec::new(), None);
        let mut bytes = 0;
        while let Some(&number) = self.turns.front() {
            let followed = self.followed_mut(number);
            match followed.next(&lens, stop_at_end) {
                Next::Frame => {
                    let coming = followed.frames.front().expect("a frame was announced");
                    let more = bytes + coming.message_len();
                    // What is compressed cannot be joined to another, and nothing is compressed
                    // here: that would be for this subscriber alone.
                    let alone = lens.compression.is_some() && coming.is_compressed();
                    if bytes > 0 && (more > FRAME_BYTES_GOOD || alone) {
                        break;
                    }
                    bytes = more;
                    let frame = followed.take_frame();
                    self.turn_left = self.turn_left.saturating_sub(frame.message_len());
                    // Most frames go out as they are.
                    match only.take() {
                        None if frames.is_empty() => only = Some(frame),
                        first => frames.extend(first.into_iter().chain([frame])),
                    }
                    if self.turn_left == 0 {
                        self.turns.rotate_left(1);
                        self.turn_left = TURN_BYTES;
                    }
                    if alone {
                        break;
                    }
                }
                Next::Gap(gap) => {
                    let topic = followed.member.topic().clone();
                    if self.fail_on_gap {
                        self.fail(SubscribeError::PositionLost { topic, gap });
                    } else {
                        self.tell(gap_control(&topic, gap));
                    }
                    break;
                }
                Next::CaughtUp => {
                    self.behind -= 1;
                    if self.behind == 0 && self.has_history {
                        self.tell(Control::CaughtUp(proto::CaughtUp {}));
                        break;
                    }
                }
                Next::Read(reading) => {
                    let topic = followed.member.topic().clone();
                    self.work().read(number, topic, reading);
                    self.yields = true;
                    break;
                }
                Next::Show(item) => {
                    self.work().show(number, item, lens.clone());
                    self.end_turn();
                }
                Next::Nothing => self.end_turn(),
            }
        }
        only.or_else(|| (!frames.is_empty()).then(|| Frame::joined(&frames)))
    }

    fn end_turn(&mut self) {
        let number = self.turns.pop_front().expect("a topic whose turn it is");
        self.followed_mut(number).has_turn = false;
        self.turn_left = TURN_BYTES;
    }

    // ---- controls

    /// Encoded at once: a stream may wait for its turn to be written, and so it takes less.
    fn tell(&mut self, control: Control) {
        self.controls.push_back(Frame::control(control));
    }

    fn opened(&mut self, broker_id: &str, literals: usize) {
        let positions = self.followed[..literals].iter().flatten();
        let positions = positions.map(|followed| told(followed.member.topic(), followed.at));
        self.tell(Control::Opened(proto::Opened {
            subscription_id: self.id.to_string(),
            broker_id: broker_id.to_owned(),
            positions: positions.collect(),
            heartbeat_interval: Some(duration(self.heartbeat_interval)),
        }));
        if self.followed.len() > literals {
            // Where the topics of the patterns begin: a client cut off before the first
            // heartbeat could not come back to them otherwise.
            self.heartbeat();
        }
        if self.behind == 0 && self.has_history {
            self.tell(Control::CaughtUp(proto::CaughtUp {}));
        }
    }

    /// Silence ends it. Where there are places or new topics to tell of it is due in any case: a
    /// busy topic must not keep back where the others are.
    fn heartbeat_at(&self) -> Instant {
        let waits = self.patterns.is_some()
            || self.followed.iter().flatten().any(|followed| followed.untold);
        let since = if waits { self.last_heartbeat } else { self.last_frame };
        since + self.heartbeat_interval
    }

    fn heartbeat(&mut self) {
        self.last_heartbeat = Instant::now();
        let mut positions = Vec::new();
        let mut buffered_events = 0;
        for followed in self.followed.iter_mut().flatten() {
            buffered_events += followed.lag();
            if std::mem::take(&mut followed.untold) {
                positions.push(told(followed.member.topic(), followed.at));
            }
        }
        let mut chunks: Vec<_> = positions.chunks(HEARTBEAT_POSITIONS_MAX).collect();
        let last = chunks.pop().unwrap_or_default();
        let heartbeat = |time_us: u64, positions: &[proto::Position]| {
            Frame::control(Control::Heartbeat(proto::Heartbeat {
                time: (time_us > 0).then(|| timestamp_us(time_us)),
                positions: positions.to_vec(),
                buffered_events,
                backend_down_since: self.down_since_us.map(timestamp_us),
            }))
        };
        // The time says that every topic before it is known to the client: not before the last.
        self.controls.extend(chunks.into_iter().map(|chunk| heartbeat(self.told_us, chunk)));
        self.controls.push_back(heartbeat(self.known_us, last));
        self.told_us = self.known_us;
    }

    fn go_away(&mut self, until: Instant, why: proto::go_away::Reason, error: SubscribeError) {
        self.heartbeat();
        let grace = until.saturating_duration_since(Instant::now());
        self.tell(Control::GoAway(proto::GoAway {
            grace: Some(duration(grace)),
            reason: why.into(),
        }));
        if self.ending.as_ref().is_none_or(|ending| until < ending.0) {
            self.ending = Some(Box::new((until, error)));
        }
    }
}

/// Give or take a tenth, so that streams that began together do not end together.
pub(crate) fn jittered(age: Duration) -> Duration {
    let random = Uuid::now_v7().as_u64_pair().1 % 2001;
    age.mul_f64(0.9 + random as f64 / 10_000.0)
}

fn told(topic: &Topic, position: Position) -> proto::Position {
    proto::Position { topic: topic.to_string(), epoch: position.epoch, sequence: position.sequence }
}

fn gap_control(topic: &Topic, gap: Gap) -> Control {
    use proto::gap::Reason;
    let reason = match gap.reason {
        GapReason::SlowConsumer => Reason::SlowConsumer,
        GapReason::BackendDisconnect => Reason::BackendDisconnect,
        GapReason::Retention => Reason::Retention,
        GapReason::EpochChanged => Reason::EpochChanged,
        GapReason::Undecodable => Reason::Undecodable,
    };
    Control::Gap(proto::Gap {
        after: Some(told(topic, gap.after)),
        until: Some(told(topic, gap.until)),
        missed: gap.missed,
        reason: reason.into(),
    })
}

fn duration(duration: Duration) -> prost_types::Duration {
    duration.try_into().expect("no duration of ours is longer than 10,000 years")
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("id", &self.id)
            .field("client_name", &self.client_name)
            .field("topics", &self.followed.len())
            .finish_non_exhaustive()
    }
}
