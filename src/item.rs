//! What stands in a topic's log: events that are encoded once and shared, or a gap.
//!
//! What filters and views need is worked out when the first subscriber asks, and shared as well.

use std::sync::{Arc, OnceLock};

use bytes::{Bytes, BytesMut};
use prost::Message;

use crate::{
    backend::{Batch, replay::Told},
    frame::put_event,
    limits::FRAME_BYTES_MAX,
    position::{Gap, Position},
    proto,
    topic::Topic,
    view::{self, View},
};

#[derive(Debug)]
pub enum Item {
    Events(Events),
    Gap(Gap),
}

/// Events of one topic that follow each other, no more than fit in one frame as they are stored.
#[derive(Debug)]
pub struct Events {
    /// After the last of them; none where they come from a raw client and have no position.
    reached: Option<Position>,
    stored: Encoded,
    summaries: OnceLock<Box<[Summary]>>,
    json: OnceLock<Encoded>,
    metadata: OnceLock<Encoded>,
}

/// What a filter looks at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Summary {
    pub event_type: String,
    pub key: String,
}

/// Events in the form of a frame, one after the other.
#[derive(Debug, Default)]
struct Encoded {
    bytes: Bytes,
    /// Where each event ends.
    ends: Vec<usize>,
}

impl Item {
    /// What a page of history told, in the same form as what the hub tells.
    pub fn of(topic: &Topic, told: Told) -> Vec<Arc<Item>> {
        match told {
            Told::Gap(gap) => vec![Arc::new(Item::Gap(gap))],
            Told::Batch(batch) => {
                Events::of(topic, &batch).into_iter().map(|e| Arc::new(Item::Events(e))).collect()
            }
        }
    }

    /// What it counts for where bytes are bounded.
    pub fn bytes(&self) -> usize {
        const GAP_BYTES: usize = 64;
        match self {
            Item::Events(events) => events.stored.bytes.len(),
            Item::Gap(_) => GAP_BYTES,
        }
    }
}

impl Events {
    pub fn of(topic: &Topic, batch: &Batch) -> Vec<Events> {
        let mut all = Vec::new();
        let mut encoding = BytesMut::new();
        let mut ends: Vec<usize> = Vec::new();
        let mut finish = |encoding: &mut BytesMut, ends: &mut Vec<usize>, last: u64| {
            let stored = Encoded { bytes: encoding.split().freeze(), ends: std::mem::take(ends) };
            all.push(Events::new(Some(Position::new(batch.epoch, last)), stored));
        };
        for (sequence, event) in (batch.first..).zip(&batch.events) {
            let begins = encoding.len();
            let position = Position::new(batch.epoch, sequence);
            put_event(&mut encoding, topic, position, batch.publish_time_us, event);
            if encoding.len() > FRAME_BYTES_MAX && begins > 0 {
                let last = encoding.split_off(begins);
                finish(&mut encoding, &mut ends, sequence - 1);
                encoding = last;
            }
            ends.push(encoding.len());
        }
        if !ends.is_empty() {
            finish(&mut encoding, &mut ends, batch.last().sequence);
        }
        all
    }

    /// An event from a raw Redis client. Its position is the beginning of everything, with
    /// sequence 0: no place to resume from.
    pub fn raw(topic: &Topic, event: &[u8], time_us: u64) -> Events {
        let mut bytes = BytesMut::new();
        put_event(&mut bytes, topic, Position::BEGINNING, time_us, event);
        let ends = vec![bytes.len()];
        Events::new(None, Encoded { bytes: bytes.freeze(), ends })
    }

    fn new(reached: Option<Position>, stored: Encoded) -> Events {
        let summaries = OnceLock::new();
        Events { reached, stored, summaries, json: OnceLock::new(), metadata: OnceLock::new() }
    }

    pub fn reached(&self) -> Option<Position> {
        self.reached
    }

    /// One for each event. An event that cannot be decoded has no type and no key.
    pub fn summaries(&self) -> &[Summary] {
        self.summaries.get_or_init(|| {
            let summary = |event: Option<proto::Event>| {
                let event = event.unwrap_or_default();
                Summary { event_type: event.r#type, key: event.key }
            };
            self.decoded().map(summary).collect()
        })
    }

    /// The wanted events, each of which is given with its place among them, as parts of frames:
    /// none is larger than a frame may be unless it is one event.
    pub fn parts(&self, view: View, wanted: impl Fn(usize) -> bool) -> Vec<Bytes> {
        let encoded = match view {
            View::AsStored => &self.stored,
            View::Json => self.json.get_or_init(|| self.rendered(view::json)),
            View::Metadata => self.metadata.get_or_init(|| self.rendered(view::metadata)),
        };
        encoded.parts(wanted)
    }

    fn decoded(&self) -> impl Iterator<Item = Option<proto::Event>> {
        self.stored.events().map(|bytes| proto::SubscribeResponse::decode(bytes).ok()?.events.pop())
    }

    fn rendered(&self, render: impl Fn(proto::Event) -> Option<proto::Event>) -> Encoded {
        let mut bytes = BytesMut::new();
        let mut ends = Vec::with_capacity(self.stored.ends.len());
        for (stored, event) in self.stored.events().zip(self.decoded()) {
            let shown = event
                .and_then(&render)
                .map(|event| proto::SubscribeResponse { events: vec![event], control: None });
            // A message for every value in it can be many times as large as the text. Where a
            // client could not take it, it is shown as it is stored.
            match shown.filter(|shown| shown.encoded_len() <= FRAME_BYTES_MAX) {
                Some(shown) => shown.encode(&mut bytes).expect("a BytesMut grows"),
                None => bytes.extend_from_slice(&stored),
            }
            ends.push(bytes.len());
        }
        Encoded { bytes: bytes.freeze(), ends }
    }
}

impl Encoded {
    fn events(&self) -> impl Iterator<Item = Bytes> {
        let begins = std::iter::once(&0).chain(&self.ends);
        begins.zip(&self.ends).map(|(begin, end)| self.bytes.slice(begin..end))
    }

    fn parts(&self, wanted: impl Fn(usize) -> bool) -> Vec<Bytes> {
        let mut parts = Vec::new();
        let mut run: Option<(usize, usize)> = None;
        let mut begin = 0;
        for (index, &end) in self.ends.iter().enumerate() {
            run = match (run, wanted(index)) {
                (Some((from, _)), true) if end - from <= FRAME_BYTES_MAX => Some((from, end)),
                (ended, wanted) => {
                    parts.extend(ended.map(|(from, to)| self.bytes.slice(from..to)));
                    wanted.then_some((begin, end))
                }
            };
            begin = end;
        }
        parts.extend(run.map(|(from, to)| self.bytes.slice(from..to)));
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Frame;

    fn batch(sizes: &[usize]) -> Batch {
        let event = |size: &usize| {
            let data = proto::event::Payload::Data(vec![0; *size].into());
            proto::Event { key: size.to_string(), payload: Some(data), ..Default::default() }
        };
        let events = sizes.iter().map(|size| event(size).encode_to_vec().into()).collect();
        Batch { epoch: 7, first: 1, publish_time_us: 1, events }
    }

    fn sequences(parts: Vec<Bytes>) -> Vec<u64> {
        let frame = Frame::events(parts).decode().expect("a frame");
        frame.events.into_iter().map(|e| e.position.expect("a position").sequence).collect()
    }

    #[test]
    fn a_large_batch_is_split_into_frames_that_a_client_can_take() {
        let topic = "orders".parse().expect("a topic");
        let items = Events::of(&topic, &batch(&[10, 600 << 10, 600 << 10, 10, 1 << 20]));
        let reached: Vec<_> =
            items.iter().map(|e| e.reached().expect("a place").sequence).collect();
        assert_eq!(reached, [2, 4, 5]);
        let all = items.iter().flat_map(|e| sequences(e.parts(View::AsStored, |_| true)));
        assert_eq!(all.collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn what_is_left_out_splits_the_parts_and_runs_stay_whole() {
        let topic = "orders".parse().expect("a topic");
        let items = Events::of(&topic, &batch(&[1, 2, 3, 4, 5]));
        let parts = items[0].parts(View::AsStored, |index| index != 2);
        assert_eq!(parts.len(), 2);
        assert_eq!(sequences(parts), [1, 2, 4, 5]);
        assert_eq!(sequences(items[0].parts(View::Metadata, |index| index == 4)), [5]);
        assert_eq!(items[0].parts(View::Json, |_| false), Vec::<Bytes>::new());
        assert_eq!(items[0].summaries()[3].key, "4");
    }
}
