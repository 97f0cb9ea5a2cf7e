//! The subscribers of a run: they read no more of an event than they need.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::time::{self, Instant};

use super::{
    continuity::{Arrival, Continuity, Losses, Place},
    meter::Meter,
};
use crate::{
    grpc::client::{CallError, Client, Frames},
    proto::{Gap, GoAway, Heartbeat, Opened, Position, SubscribeRequest},
};

/// One subscriber: what it saw is shared with whoever ends the run.
#[derive(Debug)]
pub(super) struct Subscriber {
    pub(super) client: Client,
    pub(super) topic: Arc<str>,
    pub(super) meter: Arc<Meter>,
    /// Which part of the meter it writes to.
    pub(super) part: usize,
    /// It ends after so many events.
    pub(super) events: Option<u64>,
    pub(super) seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Default)]
pub(super) struct Seen {
    /// None before the first stream opened.
    continuity: Option<Continuity>,
    pub(super) events: u64,
    /// Events of this run.
    pub(super) own: u64,
    pub(super) data_bytes: u64,
    /// From raw Redis clients, outside any sequence.
    pub(super) unsequenced: u64,
}

/// A frame of Subscribe with what is needed here. The rest of an event is skipped, not read.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Frame {
    #[prost(message, repeated, tag = "1")]
    events: Vec<Event>,
    #[prost(message, optional, tag = "2")]
    opened: Option<Opened>,
    #[prost(message, optional, tag = "3")]
    heartbeat: Option<Heartbeat>,
    #[prost(message, optional, tag = "4")]
    gap: Option<Gap>,
    #[prost(message, optional, tag = "6")]
    go_away: Option<GoAway>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Event {
    #[prost(bytes = "bytes", tag = "10")]
    data: Bytes,
    #[prost(message, required, tag = "14")]
    position: EventPosition,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct EventPosition {
    #[prost(uint64, tag = "2")]
    epoch: u64,
    #[prost(uint64, tag = "3")]
    sequence: u64,
}

#[derive(Debug, PartialEq, Eq)]
enum Ended {
    /// As many events as wanted, or the server ended the stream with OK.
    Done,
    /// The server asked to reconnect.
    Asked,
}

/// From the call to `Opened`, all attempts together.
pub(super) const OPEN_DEADLINE: Duration = Duration::from_secs(30);
const BACKOFF: Duration = Duration::from_millis(200);

impl Subscriber {
    /// Goes on over another stream where one breaks; fails where none opens in time.
    pub(super) async fn follow(mut self) -> Result<(), CallError> {
        let mut closed_since = Instant::now();
        loop {
            let first = self.seen.lock().continuity.is_none();
            let error = match self.stream(closed_since + OPEN_DEADLINE).await {
                Ok(Ended::Done) => return Ok(()),
                Ok(Ended::Asked) => None,
                Err((error, opened)) => {
                    if opened {
                        closed_since = Instant::now();
                    }
                    Some(error)
                }
            };
            if let Some(error) = error {
                let over = closed_since.elapsed() > OPEN_DEADLINE;
                // Never connected: most likely it will never be.
                if first && self.seen.lock().continuity.is_none() || over || !error.is_passing() {
                    return Err(error);
                }
                time::sleep(error.retry_after.unwrap_or(BACKOFF).min(OPEN_DEADLINE)).await;
            } else {
                closed_since = Instant::now();
            }
            self.meter.reconnects.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }

    /// One stream, until it ends; with an error, whether it was open.
    async fn stream(&mut self, deadline: Instant) -> Result<Ended, (CallError, bool)> {
        let opening = async {
            let mut frames = self.client.subscribe_as(self.request()).await?;
            let first = frames.next().await?;
            Ok::<_, CallError>((frames, first))
        };
        let opening = time::timeout_at(deadline, opening).await;
        let opening = opening.unwrap_or_else(|_| Err(not_opened()));
        let (mut frames, mut next): (Frames<Frame>, _) = opening.map_err(|error| (error, false))?;
        while let Some(frame) = next {
            if let Some(ended) = self.take(&frame) {
                return Ok(ended);
            }
            next = frames.next().await.map_err(|error| (error, true))?;
        }
        Ok(Ended::Done)
    }

    fn request(&self) -> SubscribeRequest {
        let seen = self.seen.lock();
        let resume = seen.continuity.as_ref().map(|continuity| {
            let Place { epoch, sequence } = continuity.at();
            Position { topic: self.topic.as_ref().into(), epoch, sequence }
        });
        SubscribeRequest {
            topics: vec![self.topic.as_ref().into()],
            resume: resume.into_iter().collect(),
            client_name: "tidings bench".into(),
            ..SubscribeRequest::default()
        }
    }

    fn take(&mut self, frame: &Frame) -> Option<Ended> {
        let mut seen = self.seen.lock();
        if let Some(opened) = &frame.opened {
            seen.open(opened);
        }
        if !frame.events.is_empty() {
            let now = self.meter.now();
            let left = self.events.map_or(u64::MAX, |events| events - seen.events);
            let before = seen.events;
            let mut latencies = Vec::with_capacity(frame.events.len());
            for event in frame.events.iter().take(usize::try_from(left).unwrap_or(usize::MAX)) {
                let due = seen.event(event, &self.meter);
                latencies.extend(due.map(|due| Duration::from_nanos(now.saturating_sub(due))));
            }
            self.meter.delivery_latencies.record(self.part, latencies);
            self.meter.arrived(seen.events - before, now);
            if self.events == Some(seen.events) {
                return Some(Ended::Done);
            }
        }
        if let Some(heartbeat) = &frame.heartbeat {
            for position in heartbeat.positions.iter().filter(|at| *at.topic == *self.topic) {
                seen.continuity.get_or_insert_default().reach(position.into());
            }
        }
        if let Some(gap) = &frame.gap {
            seen.continuity.get_or_insert_default().gap(gap);
        }
        frame.go_away.is_some().then_some(Ended::Asked)
    }
}

impl Seen {
    pub(super) fn is_open(&self) -> bool {
        self.continuity.is_some()
    }

    pub(super) fn losses(&self) -> Losses {
        self.continuity.as_ref().map(|continuity| continuity.losses).unwrap_or_default()
    }

    /// Whether it has what was acknowledged up to here.
    pub(super) fn reached(&self, place: Place, own: u64) -> bool {
        let at = self.continuity.as_ref().map(Continuity::at).unwrap_or_default();
        self.own >= own || (at.epoch == place.epoch && at.sequence >= place.sequence)
    }

    /// Of so many acknowledged events of this run: those that neither came nor lie in a gap, and
    /// are not found missing in the sequence either.
    pub(super) fn undelivered(&self, acknowledged: u64) -> u64 {
        let losses = self.losses();
        if losses.unknown_gaps > 0 {
            return 0;
        }
        acknowledged.saturating_sub(self.own + losses.announced + losses.unexplained)
    }

    /// A stream that resumes goes on where the last one was.
    fn open(&mut self, opened: &Opened) {
        if self.continuity.is_none() {
            let at = opened.positions.first().map(Place::from).unwrap_or_default();
            self.continuity = Some(Continuity::from(at));
        }
    }

    /// When it was due, where it is of this run.
    fn event(&mut self, event: &Event, meter: &Meter) -> Option<u64> {
        let EventPosition { epoch, sequence } = event.position;
        match self.continuity.get_or_insert_default().event(Place { epoch, sequence }) {
            Arrival::New => (),
            Arrival::Unsequenced => self.unsequenced += 1,
            Arrival::Repeated => return None,
        }
        self.events += 1;
        self.data_bytes += event.data.len() as u64;
        let due = meter.due(&event.data)?;
        self.own += 1;
        Some(due)
    }
}

fn not_opened() -> CallError {
    CallError {
        code: "DEADLINE_EXCEEDED",
        message: format!("no stream opened within {} s", OPEN_DEADLINE.as_secs()).into(),
        ..CallError::default()
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::proto::{self, SubscribeResponse, event::Payload, subscribe_response::Control};

    fn frame(message: &SubscribeResponse) -> Frame {
        Frame::decode(message.encode_to_vec().as_slice()).expect("a frame")
    }

    fn events(meter: &Meter, sequences: &[u64]) -> Frame {
        let event = |sequence: &u64| proto::Event {
            id: "1".into(),
            payload: Some(Payload::Data(meter.stamp(Instant::now()).to_vec().into())),
            position: Some(Position { topic: "orders".into(), epoch: 1, sequence: *sequence }),
            ..proto::Event::default()
        };
        let events = sequences.iter().map(event).collect();
        frame(&SubscribeResponse { events, control: None })
    }

    fn control(control: Control) -> Frame {
        frame(&SubscribeResponse { events: Vec::new(), control: Some(control) })
    }

    fn opened(sequence: u64) -> Frame {
        let at = Position { topic: "orders".into(), epoch: 1, sequence };
        control(Control::Opened(Opened { positions: vec![at], ..Opened::default() }))
    }

    /// What is seen of these frames.
    async fn seen(meter: Meter, frames: &[Frame]) -> (Arc<Mutex<Seen>>, Option<Ended>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let client = Client::connect(&address, Duration::from_secs(5)).await.expect("connected");
        let seen = Arc::new(Mutex::new(Seen::default()));
        let mut subscriber = Subscriber {
            client,
            topic: "orders".into(),
            meter: Arc::new(meter),
            part: 0,
            events: Some(5),
            seen: seen.clone(),
        };
        let ended = frames.iter().find_map(|frame| subscriber.take(frame));
        (seen, ended)
    }

    #[tokio::test]
    async fn a_planted_loss_is_told() {
        let meter = Meter::new(7, 1);
        let frames = [opened(3), events(&meter, &[4, 5]), events(&meter, &[7])];
        let (seen, ended) = seen(meter, &frames).await;
        let seen = seen.lock();
        assert_eq!((seen.events, seen.own, ended), (3, 3, None));
        assert_eq!(seen.losses(), Losses { unexplained: 1, ..Losses::default() });
        assert!(seen.reached(Place { epoch: 1, sequence: 7 }, 4));
        assert!(!seen.reached(Place { epoch: 1, sequence: 8 }, 4));
        // Five were acknowledged: one is missing in the sequence, and the last never came.
        assert_eq!(seen.undelivered(5), 1);
    }

    #[tokio::test]
    async fn no_more_events_are_counted_than_were_asked_for() {
        let meter = Meter::new(7, 1);
        let frames = [opened(0), events(&meter, &[1, 2, 3, 4, 5, 6, 7])];
        let (seen, ended) = seen(meter, &frames).await;
        let seen = seen.lock();
        assert_eq!((seen.events, seen.data_bytes, ended), (5, 80, Some(Ended::Done)));
    }

    #[tokio::test]
    async fn what_is_not_of_this_run_is_delivered_and_not_measured() {
        let (meter, other) = (Meter::new(7, 1), Meter::new(8, 1));
        let told = Position { topic: "orders".into(), epoch: 1, sequence: 2 };
        let frames = [
            opened(0),
            events(&other, &[1, 0]),
            control(Control::Heartbeat(Heartbeat { positions: vec![told], ..Default::default() })),
            control(Control::GoAway(GoAway::default())),
        ];
        let (seen, ended) = seen(meter, &frames).await;
        let seen = seen.lock();
        assert_eq!((seen.events, seen.own, seen.unsequenced), (2, 0, 1));
        assert_eq!((seen.losses().unexplained, ended), (1, Some(Ended::Asked)));
    }
}
