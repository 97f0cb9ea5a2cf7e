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
/// In front of a short field that has a length.
const FIELD_BYTES: usize = 2;
/// Of `Tick.customer`.
const CUSTOMER: u8 = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) number: u64,
    /// Nanoseconds since the load generator began.
    pub(crate) due: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct Payload {
    pub(crate) encoded: Vec<u8>,
    /// Where the mark stands in it …
    pub(crate) stamp_at: usize,
    /// … and in its data.
    stamp_in_data: usize,
}

impl Payload {
    /// An event of exactly so many encoded bytes; its data means nothing, or is of the type that
    /// `tick.proto` has.
    pub(crate) fn of(bytes: usize, typed: bool) -> Result<Payload> {
        let stamp = [&MARK[..], &[b'.'; STAMP_BYTES - MARK.len()]].concat();
        let (begin, media_type) = match typed {
            true => (tick(&stamp), "application/protobuf"),
            false => (stamp, "application/octet-stream"),
        };
        let stamp_in_data = if typed { FIELD_BYTES } else { 0 };
        let mut event = Event {
            id: "01997f6e-5a4b-7c3d-8e2f-a1b2c3d4e5f6".into(),
            source: "/bench".into(),
            r#type: "bench.v1.Tick".into(),
            time: Some(prost_types::Timestamp { seconds: 1_790_000_000, nanos: 123_456_789 }),
            data_content_type: media_type.into(),
            ..Event::default()
        };
        let around = event.encoded_len();
        // What the length of the data takes is not known before the data is.
        for data in begin.len()..bytes {
            let tail = 1 + prost::length_delimiter_len(data) + data;
            if around + tail != bytes {
                continue;
            }
            let rest = data - begin.len();
            let filled = match (typed, rest) {
                (true, ..FIELD_BYTES) => break,
                (true, _) => {
                    [&begin[..], &text(CUSTOMER, &".".repeat(rest - FIELD_BYTES))].concat()
                }
                (false, _) => [&begin[..], &vec![b'.'; rest]].concat(),
            };
            event.payload = Some(event::Payload::Data(filled.into()));
            let encoded = event.encode_to_vec();
            let stamp_at = bytes - data + stamp_in_data;
            assert_eq!(encoded[stamp_at..][..8], MARK, "the data stands last");
            return Ok(Payload { encoded, stamp_at, stamp_in_data });
        }
        let least = around + 2 + begin.len() + stamp_in_data;
        ensure!(bytes >= least, "an event takes {least} bytes");
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
            _ => read(field(event, DATA)?.get(self.stamp_in_data..)?.get(..STAMP_BYTES)?),
        }
    }
}

/// A `bench.v1.Tick` without its customer.
fn tick(stamp: &[u8]) -> Vec<u8> {
    let item = |sku: &str| {
        let item = [text(1, sku), vec![0x10, 2, 0x19], 9.5f64.to_le_bytes().to_vec()].concat();
        [vec![0x22, item.len() as u8], item].concat()
    };
    let stamp = [&[0x0a, stamp.len() as u8], stamp].concat();
    let items = ["blue-shirt", "red-shoes"].map(item).concat();
    [stamp, text(2, "order-1763000042"), items, vec![0x28, 0xd0, 0x0f]].concat()
}

fn text(number: u8, text: &str) -> Vec<u8> {
    [&[number << 3 | 2, text.len() as u8], text.as_bytes()].concat()
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
        for (bytes, typed) in [(192, false), (1024, false), (208, true), (256, true)] {
            let payload = Payload::of(bytes, typed).unwrap();
            assert_eq!(payload.encoded.len(), bytes);
            let mut event = payload.encoded.clone();
            let stamp = Stamp { number: 7, due: 1 << 40 };
            Payload::put(&mut event, payload.stamp_at, stamp);
            assert_eq!(payload.stamp(&event), Some(stamp));
            assert!(Event::decode(event.as_slice()).is_ok());
        }
        assert!(Payload::of(60, false).is_err());
        assert!(Payload::of(120, true).is_err());
    }

    #[test]
    fn a_stamp_is_found_where_a_broker_moved_it() {
        for typed in [false, true] {
            let payload = Payload::of(208, typed).unwrap();
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
}
