//! What stands in an event's bytes, told without building it.
//!
//! Both readers say no more than a hint the other way: what has other fields, or has them in
//! another form, has to be decoded to know.

use std::str;

use prost_types::Timestamp;

use super::typed::{Data, INVALID_MARK, Typed};

/// What an event says of itself, its texts not looked at; empty where it says nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Said<'a> {
    pub id: &'a [u8],
    pub source: &'a [u8],
    pub event_type: &'a [u8],
    pub subject: &'a [u8],
    pub time: Option<Timestamp>,
    pub data_content_type: &'a [u8],
    pub data_schema: &'a [u8],
    pub key: &'a [u8],
    /// No more than one: of several nobody can say in which order they would be written.
    pub extension: Option<(&'a [u8], &'a [u8])>,
    pub has_payload: bool,
}

/// Reads an event that would be written as these very bytes again: known fields in their order, each
/// once and only where it says something, its payload `data` or `text`. That its other texts are
/// UTF-8 is left to those who look at them.
pub(super) fn read(event: &[u8]) -> Option<Said<'_>> {
    let mut said = Said::default();
    let mut fields = Rising::default();
    let whole = all_fields(event, |field, rest| {
        fields.rise(field)
            && match field {
                ID => set(&mut said.id, rest),
                SOURCE => set(&mut said.source, rest),
                TYPE => set(&mut said.event_type, rest),
                SUBJECT => set(&mut said.subject, rest),
                TIME => {
                    said.time = delimited(rest).and_then(time);
                    said.time.is_some()
                }
                CONTENT_TYPE => set(&mut said.data_content_type, rest),
                SCHEMA => set(&mut said.data_schema, rest),
                KEY => set(&mut said.key, rest),
                EXTENSION => {
                    said.extension = delimited(rest).and_then(extension);
                    said.extension.is_some()
                }
                // One of them: a payload is there, be it empty.
                DATA | TEXT if said.has_payload => false,
                DATA => {
                    said.has_payload = true;
                    delimited(rest).is_some()
                }
                TEXT => {
                    said.has_payload = true;
                    text(rest).is_some()
                }
                _ => false,
            }
    });
    whole.then_some(said)
}

/// What an event that passed the door says of its data.
pub(super) fn typed(event: &[u8]) -> Option<Typed<'_>> {
    let mut typed = Typed::default();
    // Behind all fields that come before the schema.
    let mut schema_at = event.len();
    let whole = all_fields(event, |field, rest| {
        if field >= SCHEMA {
            schema_at = schema_at.min(event.len() - rest.len() - 1);
        }
        let Some(value) = delimited(rest) else { return false };
        match field {
            TYPE => set_text(&mut typed.event_type, value),
            CONTENT_TYPE => set_text(&mut typed.content_type, value),
            SCHEMA => set_text(&mut typed.schema, value),
            EXTENSION => {
                let mark = INVALID_MARK.as_bytes();
                typed.is_marked |= extension(value).is_some_and(|(name, _)| name == mark);
                true
            }
            DATA => {
                typed.data = Data::Bytes(value);
                true
            }
            TEXT => str::from_utf8(value).is_ok_and(|text| {
                typed.data = Data::Text(text);
                true
            }),
            _ => true,
        }
    });
    typed.schema_at = schema_at;
    whole.then_some(typed)
}

fn set_text<'a>(place: &mut &'a str, value: &'a [u8]) -> bool {
    str::from_utf8(value).is_ok_and(|text| {
        *place = text;
        true
    })
}

/// The event with this schema, of which it said none.
pub(super) fn with_schema(event: &[u8], at: usize, schema: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(event.len() + schema.len() + 4);
    out.extend_from_slice(&event[..at]);
    out.push(SCHEMA);
    prost::encoding::encode_varint(schema.len() as u64, &mut out);
    out.extend_from_slice(schema.as_bytes());
    out.extend_from_slice(&event[at..]);
    out
}

fn time(bytes: &[u8]) -> Option<Timestamp> {
    let mut time = Timestamp::default();
    let mut fields = Rising::default();
    let whole = all_fields(bytes, |field, rest| {
        let Some(number) = varint(rest).filter(|number| *number != 0) else { return false };
        fields.rise(field)
            && match field {
                SECONDS => i64::try_from(number).is_ok_and(|seconds| {
                    time.seconds = seconds;
                    true
                }),
                NANOS => i32::try_from(number).is_ok_and(|nanos| {
                    time.nanos = nanos;
                    true
                }),
                _ => false,
            }
    });
    whole.then_some(time)
}

fn extension(entry: &[u8]) -> Option<(&[u8], &[u8])> {
    let (mut name, mut value) = (&b""[..], &b""[..]);
    let mut fields = Rising::default();
    let whole = all_fields(entry, |field, rest| {
        fields.rise(field)
            && match field {
                NAME => set(&mut name, rest),
                VALUE => set(&mut value, rest),
                _ => false,
            }
    });
    whole.then_some((name, value))
}

/// Takes a value that is not the default, which is not written.
fn set<'a>(place: &mut &'a [u8], rest: &mut &'a [u8]) -> bool {
    *place = delimited(rest).unwrap_or_default();
    !place.is_empty()
}

/// Fields in their order, none of them twice.
#[derive(Default)]
struct Rising {
    last: u8,
}

impl Rising {
    fn rise(&mut self, field: u8) -> bool {
        let rises = self.last < field;
        self.last = field;
        rises
    }
}

/// Whether this is an event as a broker writes it: the fields that [`super::admit`] leaves, each of
/// the form that every client can read, in any order.
pub(crate) fn is_plain(event: &[u8]) -> bool {
    all_fields(event, |field, rest| match field {
        ID | SOURCE | TYPE | SUBJECT | CONTENT_TYPE | SCHEMA | KEY | TEXT => text(rest).is_some(),
        DATA => delimited(rest).is_some(),
        TIME => delimited(rest).is_some_and(|time| {
            all_fields(time, |field, rest| {
                matches!(field, SECONDS | NANOS) && varint(rest).is_some()
            })
        }),
        EXTENSION => delimited(rest).is_some_and(|entry| {
            all_fields(entry, |field, rest| matches!(field, NAME | VALUE) && text(rest).is_some())
        }),
        _ => false,
    })
}

// Of `tidings.v1.Event`: what stands before each field, its number and how it is written.
const ID: u8 = bytes_field(1);
const SOURCE: u8 = bytes_field(2);
const TYPE: u8 = bytes_field(3);
const SUBJECT: u8 = bytes_field(4);
const TIME: u8 = bytes_field(5);
const CONTENT_TYPE: u8 = bytes_field(6);
const SCHEMA: u8 = bytes_field(7);
const KEY: u8 = bytes_field(8);
const EXTENSION: u8 = bytes_field(9);
const DATA: u8 = bytes_field(10);
const TEXT: u8 = bytes_field(11);
// Of `google.protobuf.Timestamp`.
const SECONDS: u8 = 1 << 3;
const NANOS: u8 = 2 << 3;
// Of an entry of a map.
const NAME: u8 = bytes_field(1);
const VALUE: u8 = bytes_field(2);

const fn bytes_field(number: u8) -> u8 {
    number << 3 | 2
}

/// Whether `is_good` says so of every field; it takes the field's value off the rest.
fn all_fields<'a>(mut rest: &'a [u8], mut is_good: impl FnMut(u8, &mut &'a [u8]) -> bool) -> bool {
    while let Some((field, value)) = rest.split_first() {
        rest = value;
        if !is_good(*field, &mut rest) {
            return false;
        }
    }
    true
}

fn text<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    delimited(rest).and_then(|text| str::from_utf8(text).ok())
}

/// Takes what has its length before it.
pub(super) fn delimited<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(varint(rest)?).ok()?;
    let (value, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    Some(value)
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    // Nearly all of them are.
    if let Some((byte, behind)) = rest.split_first()
        && *byte < 0x80
    {
        *rest = behind;
        return Some(u64::from(*byte));
    }
    let mut number = 0;
    for (place, byte) in rest.iter().enumerate().take(9) {
        number |= u64::from(byte & 0x7F) << (7 * place);
        if *byte < 0x80 {
            *rest = &rest[place + 1..];
            // In as few bytes as may be, which nobody else needs to write.
            return (*byte != 0 || place == 0).then_some(number);
        }
    }
    // Nine bytes hold all that a broker writes.
    None
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::{prelude::*, sample::Index};
    use prost::Message;

    use super::*;
    use crate::{
        event::{Defaults, admit},
        proto::{self, event::Payload},
    };

    fn events() -> impl Strategy<Value = proto::Event> {
        let texts = proptest::collection::vec(".{0,20}", 7);
        let time = proptest::option::of((any::<i64>(), any::<i32>()));
        let extensions = proptest::collection::hash_map("[a-z0-9]{0,20}", ".{0,200}", 0..4);
        let payload = prop_oneof![
            Just(None),
            ".{0,300}".prop_map(|text| Some(Payload::Text(text))),
            proptest::collection::vec(any::<u8>(), 0..300)
                .prop_map(|data| Some(Payload::Data(data.into()))),
        ];
        (texts, time, extensions, payload).prop_map(|(mut texts, time, extensions, payload)| {
            let mut text = || texts.pop().unwrap_or_default();
            proto::Event {
                id: text(),
                source: text(),
                r#type: text(),
                subject: text(),
                time: time.map(|(seconds, nanos)| prost_types::Timestamp { seconds, nanos }),
                data_content_type: text(),
                data_schema: text(),
                key: text(),
                extensions,
                payload,
                position: None,
                publish_time: None,
            }
        })
    }

    fn decodes(bytes: &[u8]) -> bool {
        proto::Event::decode(bytes).is_ok()
    }

    #[test]
    fn what_passes_the_door_is_plain() {
        let defaults =
            Defaults { source: "/a", event_type: None, now: std::time::SystemTime::now() };
        let extensions = HashMap::from([("traceparent".to_owned(), "00".to_owned())]);
        for payload in [None, Some(Payload::Text("ö".into())), Some(Payload::Data("\x7F".into()))]
        {
            let event =
                proto::Event { extensions: extensions.clone(), payload, ..Default::default() };
            let event = admit(event, &defaults).expect("an event");
            assert!(is_plain(event.encoded()), "{event:?}");
        }
    }

    proptest! {
        /// Ten bytes of a number are left to the decoder: only times before 1970 have as many.
        #[test]
        fn what_a_broker_may_have_written_is_plain(event in events()) {
            let time = event.time.as_ref();
            let young = time.is_none_or(|time| time.seconds >= 0 && time.nanos >= 0);
            prop_assert_eq!(is_plain(&event.encode_to_vec()), young);
        }

        /// The one that counts: what is plain, every client can read.
        #[test]
        fn what_is_plain_decodes(
            event in events(),
            damage in proptest::collection::vec((any::<Index>(), any::<u8>()), 0..4),
            cut in proptest::option::of(any::<Index>()),
        ) {
            let mut bytes = event.encode_to_vec();
            for (at, byte) in damage {
                if !bytes.is_empty() {
                    let at = at.index(bytes.len());
                    bytes[at] = byte;
                }
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len() + 1));
            }
            prop_assert!(!is_plain(&bytes) || decodes(&bytes));
        }

        #[test]
        fn what_is_plain_of_any_bytes_decodes(
            bytes in proptest::collection::vec(
                prop_oneof![
                    Just(ID), Just(TIME), Just(EXTENSION), Just(DATA), Just(TEXT), Just(SECONDS),
                    Just(NANOS), 0..6u8, any::<u8>(),
                ],
                0..40,
            ),
        ) {
            prop_assert!(!is_plain(&bytes) || decodes(&bytes));
        }
    }
}
