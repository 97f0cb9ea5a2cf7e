//! Encoded messages as a sequence of fields, read without decoding them. Never recurses: bytes of
//! strangers come here first.

use prost::{
    bytes::{Buf, BufMut},
    encoding::{WireType, decode_key, decode_varint, encode_key, encode_varint},
};

/// One field as it stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Field<'a> {
    pub(super) number: u32,
    pub(super) value: Value<'a>,
    /// With its key.
    pub(super) raw: &'a [u8],
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'a> {
    Varint(u64),
    /// Of so many bytes, 4 or 8.
    Fixed(usize),
    Bytes(&'a [u8]),
    /// What stands between start and end.
    Group(&'a [u8]),
}

/// These bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// Ends after the first error.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn of(message: &'a [u8]) -> Fields<'a> {
        Fields { rest: message }
    }

    /// Bytes that are not read yet.
    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let before = self.rest;
        let read = read(&mut self.rest);
        Some(match read {
            Some((number, value)) => {
                let raw = &before[..before.len() - self.rest.len()];
                Ok(Field { number, value, raw })
            }
            None => {
                self.rest = &[];
                Err(Malformed)
            }
        })
    }
}

#[inline]
fn read<'a>(rest: &mut &'a [u8]) -> Option<(u32, Value<'a>)> {
    let (number, wire_type) = key(rest)?;
    let value = match wire_type {
        WireType::StartGroup => Value::Group(group(rest, number)?),
        WireType::EndGroup => return None,
        WireType::Varint
        | WireType::ThirtyTwoBit
        | WireType::SixtyFourBit
        | WireType::LengthDelimited => scalar(rest, wire_type)?,
    };
    Some((number, value))
}

/// Nearly all of them are one byte.
#[inline]
fn key(rest: &mut &[u8]) -> Option<(u32, WireType)> {
    match rest.split_first() {
        Some((byte @ 0x08..0x80, behind)) => {
            *rest = behind;
            Some((u32::from(byte >> 3), WireType::try_from(u64::from(byte & 7)).ok()?))
        }
        _ => decode_key(rest).ok(),
    }
}

#[inline]
fn varint(rest: &mut &[u8]) -> Option<u64> {
    match rest.split_first() {
        Some((byte @ 0..0x80, behind)) => {
            *rest = behind;
            Some(u64::from(*byte))
        }
        _ => decode_varint(rest).ok(),
    }
}

#[inline]
fn scalar<'a>(rest: &mut &'a [u8], wire_type: WireType) -> Option<Value<'a>> {
    let skip = |rest: &mut &'a [u8], bytes: usize| {
        (bytes <= rest.len()).then(|| rest.advance(bytes))?;
        Some(Value::Fixed(bytes))
    };
    match wire_type {
        WireType::Varint => varint(rest).map(Value::Varint),
        WireType::ThirtyTwoBit => skip(rest, 4),
        WireType::SixtyFourBit => skip(rest, 8),
        WireType::LengthDelimited => {
            let length = usize::try_from(varint(rest)?).ok()?;
            let (value, after) = rest.split_at_checked(length)?;
            *rest = after;
            Some(Value::Bytes(value))
        }
        WireType::StartGroup | WireType::EndGroup => None,
    }
}

/// Reads on to the end of this group, over those inside it.
fn group<'a>(rest: &mut &'a [u8], number: u32) -> Option<&'a [u8]> {
    let whole = *rest;
    let mut open = vec![number];
    loop {
        let inside = &whole[..whole.len() - rest.len()];
        let (number, wire_type) = decode_key(rest).ok()?;
        match wire_type {
            WireType::StartGroup => open.push(number),
            WireType::EndGroup if open.pop() != Some(number) => return None,
            WireType::EndGroup if open.is_empty() => return Some(inside),
            WireType::EndGroup => (),
            WireType::Varint
            | WireType::ThirtyTwoBit
            | WireType::SixtyFourBit
            | WireType::LengthDelimited => drop(scalar(rest, wire_type)?),
        }
    }
}

pub(super) fn put_bytes(out: &mut Vec<u8>, number: u32, value: &[u8]) {
    encode_key(number, WireType::LengthDelimited, out);
    encode_varint(value.len() as u64, out);
    out.put_slice(value);
}

pub(super) fn put_varint(out: &mut Vec<u8>, number: u32, value: u64) {
    encode_key(number, WireType::Varint, out);
    encode_varint(value, out);
}

pub(super) fn put_group(out: &mut Vec<u8>, number: u32, value: &[u8]) {
    encode_key(number, WireType::StartGroup, out);
    out.put_slice(value);
    encode_key(number, WireType::EndGroup, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(bytes: &[u8]) -> Result<Vec<(u32, Value<'_>)>, Malformed> {
        Fields::of(bytes).map(|field| field.map(|field| (field.number, field.value))).collect()
    }

    #[test]
    fn every_kind_of_field_is_read_as_it_stands() {
        let bytes = b"\x08\x96\x01\x12\x02hi\x1b\x08\x01\x1c\x25\x01\x02\x03\x04";
        let expected = vec![
            (1, Value::Varint(150)),
            (2, Value::Bytes(b"hi")),
            (3, Value::Group(b"\x08\x01")),
            (4, Value::Fixed(4)),
        ];
        assert_eq!(fields(bytes), Ok(expected));
        let raw: Vec<u8> =
            Fields::of(bytes).flat_map(|field| field.expect("a field").raw.to_vec()).collect();
        assert_eq!(raw, bytes);
    }

    #[test]
    fn what_is_cut_off_or_ends_another_group_is_malformed() {
        for bytes in [&b"\x08"[..], b"\x12\x05hi", b"\x1b\x08\x01", b"\x1b\x24", b"\x1c", b"\x00"] {
            assert_eq!(fields(bytes), Err(Malformed), "{bytes:?}");
        }
    }

    #[test]
    fn groups_nested_a_million_deep_need_no_stack() {
        let deep = [vec![0x0b; 1_000_000], vec![0x0c; 1_000_000]].concat();
        assert_eq!(fields(&deep).map(|fields| fields.len()), Ok(1));
    }
}
