//! Answers of Redis (RESP2), found in what was received.
//!
//! The client library makes an allocation of each value; a page of history has eleven thousand, and
//! that was two thirds of what a replay cost. Here an answer stays in one piece, and its texts are
//! slices of it.

use bytes::{Bytes, BytesMut};

/// An answer that is longer is given up before it is there.
pub(super) const ANSWER_BYTES_MAX: usize = 4 << 20;

/// One answer, whole: its values in the order in which they came, each array before its items.
#[derive(Debug)]
pub(super) struct Answer {
    bytes: Bytes,
    values: Vec<Value>,
}

#[derive(Debug, Clone, Copy)]
enum Value {
    Nil,
    Number,
    Text { from: u32, to: u32 },
    Error { from: u32, to: u32 },
    Array(u32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Broken {
    #[error("redis does not speak its protocol")]
    Malformed,
    #[error("an answer of redis has more than {ANSWER_BYTES_MAX} bytes")]
    TooLong,
}

/// Takes answers off what comes, however it comes in pieces.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    values: Vec<Value>,
    /// How far what was received has been read.
    at: usize,
    /// Values that are still to come, less the one that the answer itself is.
    open: usize,
}

impl Decoder {
    /// The next answer, once all of it has been received.
    pub(super) fn take(&mut self, received: &mut BytesMut) -> Result<Option<Answer>, Broken> {
        while self.values.is_empty() || self.open > 0 {
            let Some((value, ends)) = value(received, self.at)? else {
                let too_long = received.len() > ANSWER_BYTES_MAX;
                return if too_long { Err(Broken::TooLong) } else { Ok(None) };
            };
            self.at = ends;
            self.open = self.open.saturating_sub(usize::from(!self.values.is_empty()));
            if let Value::Array(items) = value {
                self.open += items as usize;
            }
            self.values.push(value);
        }
        let values = std::mem::take(&mut self.values);
        let bytes = received.split_to(std::mem::take(&mut self.at)).freeze();
        Ok(Some(Answer { bytes, values }))
    }
}

/// The value at a place and where it ends, an array's items not among it.
fn value(bytes: &[u8], at: usize) -> Result<Option<(Value, usize)>, Broken> {
    let Some(rest) = bytes.get(at + 1..) else { return Ok(None) };
    let Some(length) = rest.iter().position(|byte| *byte == b'\r') else { return Ok(None) };
    let (line, behind) = (&rest[..length], at + 1 + length + 2);
    if bytes.len() < behind {
        return Ok(None);
    }
    let line_place = (at + 1, at + 1 + length);
    let value = match bytes[at] {
        b'+' => Value::Text { from: place(line_place.0)?, to: place(line_place.1)? },
        b'-' => Value::Error { from: place(line_place.0)?, to: place(line_place.1)? },
        b':' => number(line).map(|_| Value::Number)?,
        b'*' => match number(line)? {
            -1 => Value::Nil,
            items => Value::Array(u32::try_from(items).map_err(|_| Broken::Malformed)?),
        },
        b'$' => match number(line)? {
            -1 => Value::Nil,
            length => {
                let length = usize::try_from(length).map_err(|_| Broken::Malformed)?;
                if length > ANSWER_BYTES_MAX {
                    return Err(Broken::TooLong);
                }
                let ends = behind + length;
                return match bytes.get(ends..ends + 2) {
                    Some(b"\r\n") => {
                        Ok(Some((Value::Text { from: place(behind)?, to: place(ends)? }, ends + 2)))
                    }
                    Some(_) => Err(Broken::Malformed),
                    None => Ok(None),
                };
            }
        },
        _ => return Err(Broken::Malformed),
    };
    Ok(Some((value, behind)))
}

fn place(at: usize) -> Result<u32, Broken> {
    u32::try_from(at).map_err(|_| Broken::TooLong)
}

fn number(line: &[u8]) -> Result<i64, Broken> {
    let (sign, digits) = match line.split_first() {
        Some((b'-', digits)) => (-1, digits),
        _ => (1, line),
    };
    if digits.is_empty() || digits.len() > 18 || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Broken::Malformed);
    }
    Ok(sign * digits.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0')))
}

impl Answer {
    pub(super) fn value(&self) -> One<'_> {
        One { answer: self, at: 0 }
    }

    fn text(&self, from: u32, to: u32) -> &[u8] {
        &self.bytes[from as usize..to as usize]
    }
}

/// One value of an answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct One<'a> {
    answer: &'a Answer,
    at: usize,
}

impl<'a> One<'a> {
    /// Nothing where it is no text.
    pub(super) fn text(self) -> Option<&'a [u8]> {
        match self.answer.values[self.at] {
            Value::Text { from, to } => Some(self.answer.text(from, to)),
            Value::Nil | Value::Number | Value::Error { .. } | Value::Array(_) => None,
        }
    }

    /// The same, to keep: it keeps all of the answer.
    pub(super) fn bytes(self) -> Option<Bytes> {
        Some(self.answer.bytes.slice_ref(self.text()?))
    }

    pub(super) fn is_nil(self) -> bool {
        matches!(self.answer.values[self.at], Value::Nil)
    }

    /// The line that tells the error, where it is one.
    pub(super) fn error(self) -> Option<&'a [u8]> {
        match self.answer.values[self.at] {
            Value::Error { from, to } => Some(self.answer.text(from, to)),
            Value::Nil | Value::Number | Value::Text { .. } | Value::Array(_) => None,
        }
    }

    /// Empty where it is no array.
    pub(super) fn items(self) -> Items<'a> {
        let left = match self.answer.values[self.at] {
            Value::Array(items) => items as usize,
            Value::Nil | Value::Number | Value::Text { .. } | Value::Error { .. } => 0,
        };
        Items { answer: self.answer, at: self.at + 1, left }
    }
}

/// The items of an array.
#[derive(Debug, Clone)]
pub(super) struct Items<'a> {
    answer: &'a Answer,
    at: usize,
    left: usize,
}

impl<'a> Iterator for Items<'a> {
    type Item = One<'a>;

    fn next(&mut self) -> Option<One<'a>> {
        self.left = self.left.checked_sub(1)?;
        let one = One { answer: self.answer, at: self.at };
        let mut open = 1;
        while open > 0 {
            if let Value::Array(items) = self.answer.values[self.at] {
                open += items as usize;
            }
            open -= 1;
            self.at += 1;
        }
        Some(one)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(one: One<'_>) -> String {
        match one.answer.values[one.at] {
            Value::Nil => "nil".into(),
            Value::Number => "number".into(),
            Value::Text { .. } => format!("{:?}", String::from_utf8_lossy(one.text().unwrap())),
            Value::Error { .. } => format!("!{}", String::from_utf8_lossy(one.error().unwrap())),
            Value::Array(_) => {
                format!("[{}]", one.items().map(shown).collect::<Vec<_>>().join(" "))
            }
        }
    }

    const ANSWERS: &[u8] = b"+OK\r\n*2\r\n$3\r\nat\r\r\n*2\r\n*2\r\n$3\r\n1-1\r\n*0\r\n*-1\r\n\
                             :-12\r\n-ERR no\r\n$-1\r\n$0\r\n\r\n*0\r\n";
    const SHOWN: [&str; 7] =
        ["\"OK\"", "[\"at\\r\" [[\"1-1\" []] nil]]", "number", "!ERR no", "nil", "\"\"", "[]"];

    #[test]
    fn answers_are_found_however_they_come_in_pieces() {
        for piece in 1..ANSWERS.len() {
            let (mut decoder, mut received) = (Decoder::default(), BytesMut::new());
            let mut found = Vec::new();
            for piece in ANSWERS.chunks(piece) {
                received.extend_from_slice(piece);
                while let Some(answer) = decoder.take(&mut received).expect("the protocol") {
                    found.push(shown(answer.value()));
                }
            }
            assert_eq!(found, SHOWN, "in pieces of {piece}");
            assert!(received.is_empty());
        }
    }

    #[test]
    fn what_is_too_long_or_no_answer_is_refused() {
        let refused = |bytes: &[u8]| Decoder::default().take(&mut BytesMut::from(bytes)).err();
        assert_eq!(refused(b"$4194305\r\n"), Some(Broken::TooLong));
        for bytes in [&b"hello\r\n"[..], b"$1x\r\n", b"$-2\r\n", b"*-2\r\n", b"$1\r\naXY", b":\r\n"]
        {
            assert_eq!(refused(bytes), Some(Broken::Malformed), "{bytes:?}");
        }
        let endless = [b"*4000000\r\n", &b":1\r\n".repeat(2 << 20)[..]].concat();
        assert_eq!(refused(&endless), Some(Broken::TooLong));
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6)) {
            let mut bytes = ANSWERS.to_vec();
            for (at, byte) in damage {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            let (mut decoder, mut received) = (Decoder::default(), BytesMut::from(&bytes[..]));
            while let Ok(Some(answer)) = decoder.take(&mut received) {
                shown(answer.value());
            }
        }
    }
}
