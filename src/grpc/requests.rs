//! Requests to publish as the server reads them: the messages of the .proto, but that an event which
//! is complete stays bytes. Whatever else is in them prost reads, so that it is refused as ever.

use bytes::{Buf, BufMut};
use prost::{
    DecodeError, Message,
    encoding::{self, DecodeContext, WireType},
};

use crate::{
    event::{Complete, Incoming},
    proto,
};

/// `tidings.v1.PublishRequest`, to be read.
#[derive(Debug, Clone, Default)]
pub struct PublishRequest {
    pub topic: String,
    pub events: Vec<Incoming>,
    pub expected_last: Option<proto::Position>,
    pub validate_only: bool,
}

/// `tidings.v1.PublishStreamRequest`, to be read.
#[derive(Debug, Clone, Default)]
pub struct PublishStreamRequest {
    pub request_id: u64,
    pub publish: Option<PublishRequest>,
}

impl Message for PublishRequest {
    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        ctx: DecodeContext,
    ) -> Result<(), DecodeError> {
        let (field, merged) = match tag {
            1 => ("topic", encoding::string::merge(wire_type, &mut self.topic, buf, ctx)),
            2 => ("events", merge_event(wire_type, &mut self.events, buf, ctx)),
            3 => {
                let last = self.expected_last.get_or_insert_default();
                ("expected_last", encoding::message::merge(wire_type, last, buf, ctx))
            }
            4 => {
                let merged = encoding::bool::merge(wire_type, &mut self.validate_only, buf, ctx);
                ("validate_only", merged)
            }
            _ => return encoding::skip_field(wire_type, tag, buf, ctx),
        };
        merged.map_err(|error| at(error, "PublishRequest", field))
    }

    fn encode_raw(&self, _: &mut impl BufMut) {
        unreachable!("requests are read here, never written");
    }

    fn encoded_len(&self) -> usize {
        unreachable!("requests are read here, never written");
    }

    fn clear(&mut self) {
        *self = PublishRequest::default();
    }
}

impl Message for PublishStreamRequest {
    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        ctx: DecodeContext,
    ) -> Result<(), DecodeError> {
        let (field, merged) = match tag {
            1 => {
                let merged = encoding::uint64::merge(wire_type, &mut self.request_id, buf, ctx);
                ("request_id", merged)
            }
            2 => {
                let publish = self.publish.get_or_insert_default();
                ("publish", encoding::message::merge(wire_type, publish, buf, ctx))
            }
            _ => return encoding::skip_field(wire_type, tag, buf, ctx),
        };
        merged.map_err(|error| at(error, "PublishStreamRequest", field))
    }

    fn encode_raw(&self, _: &mut impl BufMut) {
        unreachable!("requests are read here, never written");
    }

    fn encoded_len(&self) -> usize {
        unreachable!("requests are read here, never written");
    }

    fn clear(&mut self) {
        *self = PublishStreamRequest::default();
    }
}

fn merge_event(
    wire_type: WireType,
    events: &mut Vec<Incoming>,
    buf: &mut impl Buf,
    ctx: DecodeContext,
) -> Result<(), DecodeError> {
    if wire_type == WireType::LengthDelimited
        && let Some(event) = Complete::take(buf)
    {
        // Many have one.
        if events.is_empty() {
            events.reserve_exact(1);
        }
        events.push(Incoming::Complete(event));
        return Ok(());
    }
    let mut event = proto::Event::default();
    encoding::message::merge(wire_type, &mut event, buf, ctx)?;
    events.push(event.into());
    Ok(())
}

fn at(mut error: DecodeError, message: &'static str, field: &'static str) -> DecodeError {
    error.push(message, field);
    error
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use proptest::{prelude::*, sample::Index};

    use super::*;
    use crate::event::{Defaults, admit_with_id};

    fn event(complete: bool, text: String) -> proto::Event {
        proto::Event {
            id: "7".into(),
            source: if complete { "/shop".into() } else { String::new() },
            r#type: "order".into(),
            time: Some(prost_types::Timestamp { seconds: 1_763_000_000, nanos: 5 }),
            data_content_type: "text/plain".into(),
            payload: Some(proto::event::Payload::Text(text)),
            ..Default::default()
        }
    }

    /// What the door makes of it; none where it is refused.
    fn admitted(mut event: Incoming) -> Option<(String, bytes::Bytes)> {
        // One that is generated is another each time.
        if let Incoming::Message(event) = &mut event
            && event.id.is_empty()
        {
            event.id = "generated".into();
        }
        let defaults = || Defaults { source: "/anonymous", event_type: None, now: UNIX_EPOCH };
        let (id, event) = admit_with_id(event, defaults).ok()?;
        Some((id, event.into_encoded()))
    }

    #[test]
    fn complete_events_stay_bytes_and_others_are_decoded() {
        let publish = proto::PublishRequest {
            topic: "orders".into(),
            events: vec![
                event(true, "a".into()),
                event(false, "b".into()),
                event(true, "c".into()),
            ],
            ..Default::default()
        };
        let sent = proto::PublishStreamRequest { request_id: 7, publish: Some(publish) };
        let read = PublishStreamRequest::decode(sent.encode_to_vec().as_slice()).expect("readable");
        let events = read.publish.expect("a request").events;
        let stay: Vec<_> =
            events.iter().map(|event| matches!(event, Incoming::Complete(_))).collect();
        assert_eq!((read.request_id, stay), (7, vec![true, false, true]));
    }

    proptest! {
        /// Damaged or not, a request says what the message of the proto says, or is refused with the
        /// same words.
        #[test]
        fn requests_are_those_of_the_proto(
            events in proptest::collection::vec((any::<bool>(), ".{0,20}"), 0..4),
            (topic, last) in ("[a-z]{0,9}", proptest::option::of(any::<u64>())),
            (validate_only, request_id) in (any::<bool>(), any::<u64>()),
            damage in proptest::collection::vec((any::<Index>(), any::<u8>()), 0..3),
            cut in proptest::option::of(any::<Index>()),
        ) {
            let publish = proto::PublishRequest {
                topic,
                events: events.into_iter().map(|(complete, text)| event(complete, text)).collect(),
                expected_last: last.map(|n| proto::Position { topic: "a".into(), epoch: n, sequence: n }),
                validate_only,
            };
            let sent = proto::PublishStreamRequest { request_id, publish: Some(publish) };
            let mut bytes = sent.encode_to_vec();
            for (at, byte) in damage {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len() + 1));
            }
            let expected = proto::PublishStreamRequest::decode(bytes.as_slice());
            let read = PublishStreamRequest::decode(bytes.as_slice());
            let (expected, read) = match (expected, read) {
                (Ok(expected), Ok(read)) => (expected, read),
                (expected, read) => {
                    let words = |error: DecodeError| error.to_string();
                    let (expected, read) = (expected.map_err(words), read.map_err(words));
                    prop_assert_eq!(read.err(), expected.err());
                    return Ok(());
                }
            };
            prop_assert_eq!(read.request_id, expected.request_id);
            prop_assert_eq!(read.publish.is_some(), expected.publish.is_some());
            let (read, expected) =
                (read.publish.unwrap_or_default(), expected.publish.unwrap_or_default());
            prop_assert_eq!(read.topic, expected.topic);
            prop_assert_eq!(read.expected_last, expected.expected_last);
            prop_assert_eq!(read.validate_only, expected.validate_only);
            prop_assert_eq!(read.events.len(), expected.events.len());
            for (read, expected) in read.events.into_iter().zip(expected.events) {
                prop_assert_eq!(admitted(read), admitted(expected.into()));
            }
        }
    }
}
