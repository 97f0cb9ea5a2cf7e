//! Whether clients can read an event, told from its bytes without building it.

use std::str;

/// Whether this is an event as a broker writes it: the fields that [`crate::event::admit`] leaves,
/// each of the form that every client can read. No more than a hint the other way: what has other
/// fields, or writes these in another way, has to be decoded to know.
pub(super) fn is_plain(event: &[u8]) -> bool {
    all_fields(event, |field, rest| match field {
        ID | SOURCE | TYPE | SUBJECT | CONTENT_TYPE | SCHEMA | KEY | TEXT => text(rest),
        DATA => delimited(rest).is_some(),
        TIME => delimited(rest).is_some_and(|time| {
            all_fields(time, |field, rest| {
                matches!(field, SECONDS | NANOS) && varint(rest).is_some()
            })
        }),
        EXTENSION => delimited(rest).is_some_and(|entry| {
            all_fields(entry, |field, rest| matches!(field, NAME | VALUE) && text(rest))
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
fn all_fields(mut rest: &[u8], is_good: impl Fn(u8, &mut &[u8]) -> bool) -> bool {
    while let Some((field, value)) = rest.split_first() {
        rest = value;
        if !is_good(*field, &mut rest) {
            return false;
        }
    }
    true
}

fn text(rest: &mut &[u8]) -> bool {
    delimited(rest).is_some_and(|text| str::from_utf8(text).is_ok())
}

fn delimited<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(varint(rest)?).ok()?;
    let (value, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    Some(value)
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for (place, byte) in rest.iter().enumerate().take(9) {
        number |= u64::from(byte & 0x7F) << (7 * place);
        if *byte < 0x80 {
            *rest = &rest[place + 1..];
            return Some(number);
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
