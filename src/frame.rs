//! The messages of a subscribe stream, in their encoded form.
//!
//! An event's bytes are spliced, never encoded again: the broker that delivers an event appends
//! its position and its publish time, and every subscriber of this broker shares the result.

use bytes::{BufMut, Bytes, BytesMut};
use prost::{
    DecodeError, Message,
    encoding::{self, WireType},
};

use crate::{position::Position, proto, topic::Topic};

/// What stands before each message in gRPC: a byte that says whether it is compressed, and its
/// length in four (the Length-Prefixed-Message of gRPC over HTTP/2).
pub const PREFIX_BYTES: usize = 5;
const COMPRESSED: u8 = 1;

/// One message of a subscribe stream as it goes out, its prefix included: bytes that are written
/// once and shared.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    bytes: Bytes,
}

/// A frame that is being written: events are appended with [`put_event`].
#[derive(Debug)]
pub struct FrameWriter {
    bytes: BytesMut,
}

impl Frame {
    /// Protobuf messages concatenate, so frames of events are one with all of them; compressed
    /// ones do not.
    pub fn joined(frames: &[Frame]) -> Frame {
        if let [frame] = frames {
            return frame.clone();
        }
        assert!(!frames.iter().any(Frame::is_compressed), "a compressed frame goes out alone");
        let mut writer = FrameWriter::with_capacity(frames.iter().map(Frame::message_len).sum());
        for frame in frames {
            writer.bytes.put_slice(&frame.bytes[PREFIX_BYTES..]);
        }
        writer.finish()
    }

    pub fn control(control: proto::subscribe_response::Control) -> Frame {
        let message = proto::SubscribeResponse { events: Vec::new(), control: Some(control) };
        let mut writer = FrameWriter::with_capacity(message.encoded_len());
        message.encode(&mut writer.bytes).expect("a BytesMut grows");
        writer.finish()
    }

    /// Of a message that is compressed.
    pub fn compressed(message: &[u8]) -> Frame {
        let mut writer = FrameWriter::with_capacity(message.len());
        writer.bytes.put_slice(message);
        writer.bytes[0] = COMPRESSED;
        writer.finish()
    }

    pub fn is_compressed(&self) -> bool {
        self.bytes[0] == COMPRESSED
    }

    /// The message itself.
    pub fn message(&self) -> Bytes {
        self.bytes.slice(PREFIX_BYTES..)
    }

    /// Bytes of the message, without the prefix.
    pub fn message_len(&self) -> usize {
        self.bytes.len() - PREFIX_BYTES
    }

    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// As a client will see it, where it is not compressed.
    pub fn decode(&self) -> Result<proto::SubscribeResponse, DecodeError> {
        proto::SubscribeResponse::decode(self.message())
    }
}

impl FrameWriter {
    /// With room for a message of so many bytes.
    pub fn with_capacity(message: usize) -> FrameWriter {
        let mut bytes = BytesMut::with_capacity(PREFIX_BYTES + message);
        bytes.put_bytes(0, PREFIX_BYTES);
        FrameWriter { bytes }
    }

    pub fn out(&mut self) -> &mut BytesMut {
        &mut self.bytes
    }

    /// Bytes of the message so far.
    pub fn message_len(&self) -> usize {
        self.bytes.len() - PREFIX_BYTES
    }

    /// Takes back what was written after the first so many bytes of the message.
    pub fn split_off(&mut self, message_len: usize) -> BytesMut {
        self.bytes.split_off(PREFIX_BYTES + message_len)
    }

    pub fn finish(mut self) -> Frame {
        let message = u32::try_from(self.bytes.len() - PREFIX_BYTES).expect("frames are small");
        self.bytes[1..PREFIX_BYTES].copy_from_slice(&message.to_be_bytes());
        Frame { bytes: self.bytes.freeze() }
    }
}

/// Appends `event` to a frame's bytes, as the broker delivers it: with its position and its
/// publish time behind what the publisher set. Both are written whole, zeros included, so that
/// nothing that stands in `event` already can shine through.
pub fn put_event(
    out: &mut BytesMut,
    topic: &Topic,
    position: Position,
    publish_time_us: u64,
    event: &[u8],
) {
    let seconds = publish_time_us / 1_000_000;
    let nanos = (publish_time_us % 1_000_000) * 1000;
    let topic = topic.as_str().as_bytes();
    let position_len = 1
        + encoding::encoded_len_varint(topic.len() as u64)
        + topic.len()
        + 1
        + encoding::encoded_len_varint(position.epoch)
        + 1
        + encoding::encoded_len_varint(position.sequence);
    let time_len =
        1 + encoding::encoded_len_varint(seconds) + 1 + encoding::encoded_len_varint(nanos);
    let event_len = event.len()
        + 1
        + encoding::encoded_len_varint(position_len as u64)
        + position_len
        + 1
        + encoding::encoded_len_varint(time_len as u64)
        + time_len;
    out.reserve(event_len + 6);

    put_key(out, 1, WireType::LengthDelimited); // SubscribeResponse.events
    encoding::encode_varint(event_len as u64, out);
    out.put_slice(event);
    put_key(out, 14, WireType::LengthDelimited); // Event.position
    encoding::encode_varint(position_len as u64, out);
    put_key(out, 1, WireType::LengthDelimited);
    encoding::encode_varint(topic.len() as u64, out);
    out.put_slice(topic);
    put_key(out, 2, WireType::Varint);
    encoding::encode_varint(position.epoch, out);
    put_key(out, 3, WireType::Varint);
    encoding::encode_varint(position.sequence, out);
    put_key(out, 15, WireType::LengthDelimited); // Event.publish_time
    encoding::encode_varint(time_len as u64, out);
    put_key(out, 1, WireType::Varint);
    encoding::encode_varint(seconds, out);
    put_key(out, 2, WireType::Varint);
    encoding::encode_varint(nanos, out);
}

fn put_key(out: &mut BytesMut, field: u32, wire_type: WireType) {
    encoding::encode_key(field, wire_type, out);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_spliced_event_decodes_with_the_brokers_position_and_time() {
        let topic: Topic = "orders".parse().expect("a topic");
        let forged = proto::Event {
            id: "1".into(),
            position: Some(proto::Position { topic: "other".into(), epoch: 7, sequence: 777 }),
            publish_time: Some(prost_types::Timestamp { seconds: 9, nanos: 9 }),
            ..Default::default()
        };
        for (position, time) in [
            (Position::new(1_763_000_000_000_000, 42), 1_763_000_000_123_456),
            (Position::BEGINNING, 5_000_000),
            (Position::new(u64::MAX, u64::MAX), 0),
        ] {
            let mut writer = FrameWriter::with_capacity(0);
            put_event(writer.out(), &topic, position, time, &forged.encode_to_vec());
            put_event(writer.out(), &topic, position, time, b"");
            let frame = writer.finish().decode().expect("a frame");
            assert_eq!(frame.events.len(), 2);
            for event in &frame.events {
                let told = event.position.clone().expect("a position");
                assert_eq!((told.topic.as_str(), told.epoch), ("orders", position.epoch));
                assert_eq!(told.sequence, position.sequence);
                let told = event.publish_time.expect("a time");
                let us = told.seconds as u64 * 1_000_000 + told.nanos as u64 / 1000;
                assert_eq!(us, time);
            }
        }
    }

    proptest! {
        #[test]
        fn any_spliced_event_decodes_as_it_was_with_the_brokers_position_and_time(
            (name, id, data) in ("[a-zA-Z0-9_-]{1,255}", any::<String>(), any::<Vec<u8>>()),
            (epoch, sequence, time_us) in (any::<u64>(), any::<u64>(), 0..=crate::event::TIME_US_MAX),
        ) {
            let topic: Topic = name.parse().expect("a topic");
            let payload = Some(proto::event::Payload::Data(data.into()));
            let event = proto::Event { id, payload, ..Default::default() };
            let mut writer = FrameWriter::with_capacity(0);
            let position = Position::new(epoch, sequence);
            put_event(writer.out(), &topic, position, time_us, &event.encode_to_vec());
            let frame = writer.finish().decode().expect("a frame");
            let position = Some(proto::Position { topic: name, epoch, sequence });
            let publish_time = Some(crate::event::timestamp_us(time_us));
            prop_assert_eq!(frame.events, [proto::Event { position, publish_time, ..event }]);
        }
    }
}
