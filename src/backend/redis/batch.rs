//! `tidings.redis.v1.Batch` on the wire: written by hand where the script adds the first fields,
//! read by hand so that events stay slices of what was received.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::{
    Message,
    encoding::{self, DecodeContext, WireType},
};

use super::keys::MAGIC;
use crate::{
    backend::Batch,
    event::{self, Event, TIME_US_MAX},
    limits::{EVENT_BYTES_MAX, REQUEST_EVENTS_MAX},
    proto,
    topic::Topic,
};

/// What a channel carried.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Heard {
    /// The deployment that it belongs to.
    pub(super) deployment: Bytes,
    pub(super) epoch: u64,
    /// The sequence of the first event; of the last one before, where there is none.
    pub(super) first: u64,
    pub(super) publish_time_us: u64,
    /// Empty where a life begins.
    topic: Bytes,
    pub(super) echo: Vec<u64>,
    pub(super) events: Vec<Bytes>,
}

/// No topic reaches this sequence: scripts count in doubles.
const FIRST_MAX: u64 = 1 << 53;

/// Neither a batch nor anything that Tidings wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a batch of Tidings")]
pub(super) struct Undecodable;

/// A batch on its way to a publish script: fields 4 to 15, before which the script puts 1 to 3.
#[derive(Debug)]
pub(super) struct Body {
    bytes: Vec<u8>,
    /// Where each event ends, the first of these being where the first one begins.
    bounds: Vec<usize>,
}

/// Where the echo of each event stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Echoes {
    /// All of them before the events.
    Ahead,
    /// Each with its event, which may be taken out.
    Beside,
}

pub(super) fn body<'a>(
    origin: &str,
    deployment: &str,
    topic: &Topic,
    echo: &[u64],
    echoes: Echoes,
    events: impl Iterator<Item = &'a Event> + Clone,
) -> Body {
    // A key and a length of each event and of each text, at most.
    const FRAMING: usize = 6;
    let events_bytes: usize = events.clone().map(|event| event.encoded().len() + FRAMING).sum();
    let texts = origin.len() + deployment.len() + topic.as_str().len() + 4 * FRAMING;
    let mut out = Vec::with_capacity(texts + 9 * echo.len() + events_bytes);
    for (field, value) in [(4, origin), (5, deployment), (6, topic.as_str())] {
        encoding::encode_key(field, WireType::LengthDelimited, &mut out);
        encoding::encode_varint(value.len() as u64, &mut out);
        out.put_slice(value.as_bytes());
    }
    if echoes == Echoes::Ahead {
        encoding::fixed64::encode_packed(7, echo, &mut out);
    }
    let mut bounds = vec![out.len()];
    let mut echo = echo.iter();
    for event in events {
        if echoes == Echoes::Beside
            && let Some(echo) = echo.next()
        {
            encoding::fixed64::encode(7, echo, &mut out);
        }
        encoding::encode_key(15, WireType::LengthDelimited, &mut out);
        encoding::encode_varint(event.encoded().len() as u64, &mut out);
        out.put_slice(event.encoded());
        bounds.push(out.len());
    }
    Body { bytes: out, bounds }
}

impl Body {
    pub(super) fn whole(&self) -> &[u8] {
        &self.bytes
    }

    /// What stands before the events.
    pub(super) fn head(&self) -> &[u8] {
        &self.bytes[..self.bounds[0]]
    }

    /// Each event as a field, key and length included.
    pub(super) fn events(&self) -> impl Iterator<Item = &[u8]> {
        self.bounds.windows(2).map(|bounds| &self.bytes[bounds[0]..bounds[1]])
    }
}

/// Reads what came on a topic's channel.
pub(super) fn heard(mut payload: Bytes) -> Result<Heard, Undecodable> {
    if !payload.starts_with(&MAGIC) {
        return Err(Undecodable);
    }
    payload.advance(MAGIC.len());
    let heard = decode(payload)?;
    let numbered = heard.first > 0 || heard.events.is_empty();
    let echoes = heard.echo.len() <= heard.events.len();
    if numbered && echoes && heard.first < FIRST_MAX { Ok(heard) } else { Err(Undecodable) }
}

/// Reads a stream entry: its id told the epoch and the first sequence, `time` stands beside it.
pub(super) fn stored(
    epoch: u64,
    first: u64,
    publish_time_us: u64,
    body: Bytes,
) -> Result<Batch, Undecodable> {
    let heard = decode(body)?;
    if heard.events.is_empty() || first >= FIRST_MAX || publish_time_us > TIME_US_MAX {
        return Err(Undecodable);
    }
    Ok(Batch { epoch, first, publish_time_us, events: heard.events })
}

impl Heard {
    /// Whether it says that it belongs to another topic than the channel it came on.
    pub(super) fn is_of(&self, topic: &Topic) -> bool {
        self.topic.is_empty() || self.topic == topic.as_str()
    }

    /// The last sequence that the topic had reached with this.
    pub(super) fn last(&self) -> u64 {
        (self.first + self.events.len() as u64).saturating_sub(1)
    }

    pub(super) fn into_batch(self) -> Batch {
        Batch {
            epoch: self.epoch,
            first: self.first,
            publish_time_us: self.publish_time_us,
            events: self.events,
        }
    }
}

fn decode(mut bytes: Bytes) -> Result<Heard, Undecodable> {
    let mut heard = Heard {
        deployment: Bytes::new(),
        epoch: 0,
        first: 0,
        publish_time_us: 0,
        topic: Bytes::new(),
        echo: Vec::new(),
        events: Vec::new(),
    };
    while bytes.has_remaining() {
        let (field, wire_type) = encoding::decode_key(&mut bytes).map_err(|_| Undecodable)?;
        match (field, wire_type) {
            (1, WireType::SixtyFourBit) => heard.first = fixed64(&mut bytes)?,
            (2, WireType::SixtyFourBit) => heard.publish_time_us = fixed64(&mut bytes)?,
            (3, WireType::SixtyFourBit) => heard.epoch = fixed64(&mut bytes)?,
            (5, WireType::LengthDelimited) => heard.deployment = delimited(&mut bytes)?,
            (6, WireType::LengthDelimited) => heard.topic = delimited(&mut bytes)?,
            (7, WireType::SixtyFourBit) => heard.echo.push(fixed64(&mut bytes)?),
            (7, WireType::LengthDelimited) => {
                let mut packed = delimited(&mut bytes)?;
                while packed.has_remaining() {
                    heard.echo.push(fixed64(&mut packed)?);
                }
            }
            (15, WireType::LengthDelimited) => {
                let event = delimited(&mut bytes)?;
                if heard.events.len() == REQUEST_EVENTS_MAX || !is_readable(&event) {
                    return Err(Undecodable);
                }
                heard.events.push(event);
            }
            (field, wire_type) => {
                encoding::skip_field(wire_type, field, &mut bytes, DecodeContext::default())
                    .map_err(|_| Undecodable)?;
            }
        }
    }
    match heard.publish_time_us <= TIME_US_MAX {
        true => Ok(heard),
        false => Err(Undecodable),
    }
}

/// Subscribers get these bytes as they are, inside a frame: one that they cannot read there would
/// end their streams again and again.
fn is_readable(event: &Bytes) -> bool {
    event.len() <= EVENT_BYTES_MAX && (event::is_plain(event) || decodes(event))
}

fn decodes(event: &Bytes) -> bool {
    let mut frame = BytesMut::with_capacity(16);
    encoding::encode_key(1, WireType::LengthDelimited, &mut frame);
    encoding::encode_varint(event.len() as u64, &mut frame);
    proto::SubscribeResponse::decode(frame.freeze().chain(event.clone())).is_ok()
}

fn fixed64(bytes: &mut Bytes) -> Result<u64, Undecodable> {
    bytes.try_get_u64_le().map_err(|_| Undecodable)
}

fn delimited(bytes: &mut Bytes) -> Result<Bytes, Undecodable> {
    let len = encoding::decode_varint(bytes).map_err(|_| Undecodable)?;
    match usize::try_from(len) {
        Ok(len) if len <= bytes.remaining() => Ok(bytes.split_to(len)),
        Ok(_) | Err(_) => Err(Undecodable),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::{Defaults, admit};

    fn event(id: &str) -> Event {
        let defaults =
            Defaults { source: "/test", event_type: None, now: std::time::SystemTime::UNIX_EPOCH };
        let event = proto::Event { id: id.into(), ..Default::default() };
        admit(event, &defaults).expect("an event")
    }

    fn topic() -> Topic {
        "orders".parse().expect("a topic")
    }

    fn on_the_channel(first: u64, events: &[Event]) -> Bytes {
        let mut payload = BytesMut::from(&MAGIC[..]);
        let fields = [(1, first), (2, 77), (3, 9)];
        for (field, value) in fields {
            encoding::encode_key(field, WireType::SixtyFourBit, &mut payload);
            payload.put_u64_le(value);
        }
        let body = body("b1", "d1", &topic(), &[1, u64::MAX], Echoes::Ahead, events.iter());
        assert_eq!(
            [body.head(), &body.events().collect::<Vec<_>>().concat()].concat(),
            body.whole()
        );
        payload.put_slice(body.whole());
        payload.freeze()
    }

    #[test]
    fn what_is_written_reads_back_and_is_the_batch_of_the_proto() {
        let events = [event("1"), event("2")];
        let payload = on_the_channel(5, &events);
        let heard = heard(payload.clone()).expect("a batch");
        assert_eq!((heard.first, heard.last(), heard.epoch), (5, 6, 9));
        assert_eq!((&heard.deployment[..], &heard.echo[..]), (&b"d1"[..], &[1, u64::MAX][..]));
        assert_eq!(heard.events, [events[0].encoded().clone(), events[1].encoded().clone()]);

        let body = body("b1", "d1", &topic(), &[], Echoes::Ahead, events.iter());
        let kept = stored(9, 5, 77, Bytes::copy_from_slice(body.whole()));
        assert_eq!(kept.expect("an entry").last(), crate::position::Position::new(9, 6));

        let proto = proto::redis::Batch::decode(payload.slice(MAGIC.len()..)).expect("the proto");
        assert_eq!((proto.first_sequence, proto.publish_time_us, proto.epoch), (5, 77, 9));
        assert_eq!((proto.topic.as_str(), proto.events.len()), ("orders", 2));
        assert_eq!(proto.echo, [1, u64::MAX]);
    }

    #[test]
    fn a_damaged_event_spoils_its_batch() {
        let mut payload = BytesMut::from(&on_the_channel(5, &[])[..]);
        payload.put_slice(&[15 << 3 | 2, 2, 0x0A, 0x05]);
        assert_eq!(heard(payload.freeze()), Err(Undecodable));
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(noise in proptest::collection::vec(any::<u8>(), 0..200), cut in 0..120usize) {
            let _ = heard(Bytes::from([&MAGIC[..], &noise].concat()));
            let _ = heard(Bytes::from(noise.clone()));
            let _ = stored(1, 1, 1, Bytes::from(noise));
            let good = on_the_channel(5, &[event("1")]);
            let _ = heard(good.slice(..cut.min(good.len())));
        }
    }

    proptest! {
        /// What prost writes is read as prost reads it, if a broker may have written it.
        #[test]
        fn any_batch_that_another_encoder_writes_reads_the_same(
            first in 1..1u64 << 53,
            publish_time_us in 0..=TIME_US_MAX,
            epoch in any::<u64>(),
            (deployment, topic) in ("[a-z]{0,40}", "[a-z.]{0,40}"),
            events in proptest::collection::vec(("[a-z]{0,9}", any::<u64>()), 0..5),
        ) {
            let batch = proto::redis::Batch {
                first_sequence: first,
                publish_time_us,
                epoch,
                origin: "x".into(),
                deployment,
                topic,
                echo: events.iter().map(|(_, echo)| *echo).collect(),
                events: events
                    .into_iter()
                    .map(|(id, _)| proto::Event { id, ..Default::default() })
                    .collect(),
            };
            let heard = heard([&MAGIC[..], &batch.encode_to_vec()].concat().into());
            let heard = heard.expect("a batch");
            prop_assert_eq!((heard.first, heard.epoch), (first, epoch));
            prop_assert_eq!(heard.publish_time_us, publish_time_us);
            prop_assert_eq!(&heard.deployment, batch.deployment.as_bytes());
            prop_assert_eq!((&heard.topic[..], &heard.echo), (batch.topic.as_bytes(), &batch.echo));
            let events: Vec<_> = batch.events.iter().map(Message::encode_to_vec).collect();
            prop_assert_eq!(heard.events, events);
        }

        /// A true batch with a few bytes changed: refused, or readable inside a frame.
        #[test]
        fn a_damaged_batch_holds_nothing_that_a_client_cannot_read(
            damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        ) {
            let mut payload = on_the_channel(5, &[event("1"), event("2")]).to_vec();
            for (at, byte) in damage {
                let at = at.index(payload.len());
                payload[at] = byte;
            }
            let Ok(heard) = heard(payload.into()) else { return Ok(()) };
            prop_assert!(heard.publish_time_us <= TIME_US_MAX);
            prop_assert!(heard.echo.len() <= heard.events.len());
            let batch = heard.into_batch();
            for event in &batch.events {
                let mut frame = BytesMut::new();
                crate::frame::put_event(&mut frame, &topic(), batch.before(), 1, event);
                prop_assert!(proto::SubscribeResponse::decode(frame.freeze()).is_ok());
            }
        }
    }
}
