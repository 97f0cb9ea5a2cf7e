//! Any event, for tests of properties: most pass the door.

use proptest::prelude::*;
use prost_types::Timestamp;

use crate::proto::{self, event::Payload};

const MEDIA_TYPES: [&str; 6] = [
    "",
    "text/plain",
    "application/json",
    "a/b+json; charset=utf-8",
    "text/json",
    "application/protobuf",
];

pub(crate) fn any_event() -> impl Strategy<Value = proto::Event> {
    let attributes = ([any_text(), any_text(), any_text(), any_text()], [any_uri(), any_uri()]);
    let media_type = prop_oneof![9 => proptest::sample::select(&MEDIA_TYPES[..]).prop_map(str::to_owned), 1 => any_text()];
    let extensions = proptest::collection::hash_map("[a-z0-9]{1,9}", any_text(), 0..4);
    let parts = (attributes, media_type, extensions, any_time(), any_payload());
    parts.prop_map(|(attributes, data_content_type, extensions, time, payload)| {
        let ([id, r#type, subject, key], [source, data_schema]) = attributes;
        proto::Event {
            id,
            source,
            r#type,
            subject,
            key,
            data_schema,
            data_content_type,
            extensions,
            time,
            payload,
            ..Default::default()
        }
    })
}

fn any_text() -> BoxedStrategy<String> {
    prop_oneof![20 => "[a-z/+.-]{0,12}", 20 => "\\PC{0,9}", 1 => any::<String>()].boxed()
}

fn any_uri() -> BoxedStrategy<String> {
    prop_oneof![40 => "[a-zö:/]{0,9}", 1 => any::<String>()].boxed()
}

fn any_time() -> impl Strategy<Value = Option<Timestamp>> {
    // From the year 1 to 9999, and a little more.
    let seconds = prop_oneof![40 => -62_135_596_800..=253_402_300_799_i64, 1 => any::<i64>()];
    let nanos = prop_oneof![40 => 0..1_000_000_000, 1 => any::<i32>()];
    proptest::option::weighted(
        0.9,
        (seconds, nanos).prop_map(|(seconds, nanos)| Timestamp { seconds, nanos }),
    )
}

fn any_payload() -> impl Strategy<Value = Option<Payload>> {
    let json = prop_oneof![
        Just(" {\"a\": [1.50, 12345678901234567890123, \"\\ud800\"]}\n".to_owned()),
        Just("[".repeat(500) + &"]".repeat(500)),
        any::<String>().prop_map(|text| serde_json::Value::from(text).to_string()),
        any::<f64>().prop_map(|number| serde_json::Value::from(number).to_string()),
    ];
    let text = prop_oneof![json, any::<String>()];
    prop_oneof![
        Just(None),
        text.clone().prop_map(|text| Some(Payload::Text(text))),
        text.prop_map(|text| Some(Payload::Data(text.into()))),
        any::<Vec<u8>>().prop_map(|bytes| Some(Payload::Data(bytes.into()))),
    ]
}
