//! The event that everyone carries: the same encoded bytes for every system, with a stamp inside.
//!
//! The publisher sets every attribute that a broker would otherwise fill in. At a fixed place of its data
//! stand a mark, the event's number and the time at which it was to be sent.

use crate::v1::{Event, event};
use anyhow::{Result, ensure};
use prost::Message as _;

const MARK: [u8; 8] = *b"tidings!";
const STAMP_BYTES: usize = 24;
/// Of `Event.data`.
const DATA: u64 = 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) number: u64,
    /// Nanoseconds since the load generator began.
    pub(crate) due: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct Payload {
    pub(crate) encoded: Vec<u8>,
    /// Where the mark stands in it.
    pub(crate) stamp_at: usize,
}

impl Payload {
    /// An event of exactly so many encoded bytes.
    pub(crate) fn of(bytes: usize) -> Result<Payload> {
        let mut event = Event {
            id: "01997f6e-5a4b-7c3d-8e2f-a1b2c3d4e5f6".into(),
            source: "/bench".into(),
            r#type: "bench.v1.Tick".into(),
            time: Some(prost_types::Timestamp { seconds: 1_790_000_000, nanos: 123_456_789 }),
            data_content_type: "application/octet-stream".into(),
            ..Event::default()
        };
        let around = event.encoded_len();
        // What the length of the data takes is not known before the data is.
        for data in STAMP_BYTES..bytes {
            let mut filled = vec![b'.'; data];
            filled[..8].copy_from_slice(&MARK);
            let tail = 1 + prost::length_delimiter_len(data) + data;
            if around + tail != bytes {
                continue;
            }
            event.payload = Some(event::Payload::Data(filled.into()));
            let encoded = event.encode_to_vec();
            let stamp_at = bytes - data;
            assert_eq!(encoded[stamp_at..][..8], MARK, "the data stands last");
            return Ok(Payload { encoded, stamp_at });
        }
        ensure!(bytes >= around + 2 + STAMP_BYTES, "an event takes {} bytes", around + 26);
        anyhow::bail!("no event has exactly {bytes} bytes: one more or one less does")
    }

    /// Writes the stamp into a copy of the event.
    pub(crate) fn put(event: &mut [u8], stamp_at: usize, stamp: Stamp) {
        event[stamp_at + 8..][..8].copy_from_slice(&stamp.number.to_le_bytes());
        event[stamp_at + 16..][..8].copy_from_slice(&stamp.due.to_le_bytes());
    }

    /// The stamp of an event that arrived: where it was put, or wherever its data now is.
    pub(crate) fn stamp(&self, event: &[u8]) -> Option<Stamp> {
        let here = event.get(self.stamp_at..self.stamp_at + STAMP_BYTES);
        match here {
            Some(stamp) if stamp[..8] == MARK => read(stamp),
            _ => read(field(event, DATA)?.get(..STAMP_BYTES)?),
        }
    }
}

fn read(stamp: &[u8]) -> Option<Stamp> {
    let word = |at: usize| Some(u64::from_le_bytes(stamp.get(at..at + 8)?.try_into().ok()?));
    (stamp[..8] == MARK).then_some(Stamp { number: word(8)?, due: word(16)? })
}

/// The first field of this number that has a length.
pub(crate) fn field(message: &[u8], wanted: u64) -> Option<&[u8]> {
    let mut fields = Fields(message);
    fields.find_map(|(number, value)| (number == wanted).then_some(value))
}

/// The fields of a message; those without a length are given as none. It ends at what it does not understand.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = (u64, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let tag = varint(&mut self.0)?;
        let length = match tag & 7 {
            0 => {
                varint(&mut self.0)?;
                0
            }
            1 => 8,
            2 => usize::try_from(varint(&mut self.0)?).ok()?,
            5 => 4,
            _ => return None,
        };
        let (value, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some((tag >> 3, value))
    }
}

pub(crate) fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_the_size_that_was_asked_for_and_carries_its_stamp() {
        for bytes in [192, 1024] {
            let payload = Payload::of(bytes).unwrap();
            assert_eq!(payload.encoded.len(), bytes);
            let mut event = payload.encoded.clone();
            let stamp = Stamp { number: 7, due: 1 << 40 };
            Payload::put(&mut event, payload.stamp_at, stamp);
            assert_eq!(payload.stamp(&event), Some(stamp));
            assert!(Event::decode(event.as_slice()).is_ok());
        }
        assert!(Payload::of(60).is_err());
    }

    #[test]
    fn a_stamp_is_found_where_a_broker_moved_it() {
        let payload = Payload::of(192).unwrap();
        let stamp = Stamp { number: 3, due: 4 };
        let mut event = payload.encoded.clone();
        Payload::put(&mut event, payload.stamp_at, stamp);
        let mut moved = Event::decode(event.as_slice()).unwrap();
        moved.source = "/another/source".into();
        assert_eq!(payload.stamp(&moved.encode_to_vec()), Some(stamp));
        assert_eq!(payload.stamp(b"not an event"), None);
        assert_eq!(payload.stamp(&Event::default().encode_to_vec()), None);
    }
}
