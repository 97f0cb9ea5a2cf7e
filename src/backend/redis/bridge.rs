//! Events as raw Redis clients see them, and what they publish as events.
//!
//! JSON in CloudEvents structured mode
//! (<https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md>) is
//! recognised; anything else is data.

use std::{collections::BTreeMap, time::SystemTime};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value, value::RawValue};
use sha2::{Digest, Sha256};

use crate::{
    backend::BridgeMode,
    event::{Defaults, Event, Refused, admit, is_json},
    limits::EVENT_BYTES_MAX,
    proto::{self, event::Payload},
};

/// The type of an event that a raw client published, where the topic has no default.
const RAW: &str = "tidings.raw";

/// More than this is not even parsed: as JSON it may hold an event with escapes or base64.
const PAYLOAD_BYTES_MAX: usize = 4 * EVENT_BYTES_MAX;

/// What is published on the bridge's channel for `event`, if the mode copies events there.
pub(super) fn message(mode: BridgeMode, event: &Event) -> Option<Bytes> {
    match mode {
        BridgeMode::Off | BridgeMode::Listen => None,
        BridgeMode::Raw => Some(match event.message().payload {
            Some(Payload::Data(data)) => data,
            Some(Payload::Text(text)) => text.into(),
            Some(Payload::Proto(_) | Payload::Json(_)) | None => Bytes::new(),
        }),
        BridgeMode::CloudEventsJson => {
            let message = serde_json::to_vec(&cloud_event(&event.message()));
            Some(message.expect("a map with names that are texts").into())
        }
    }
}

/// By which a broker knows what it has published itself.
pub(super) fn echo_hash(message: &[u8]) -> u64 {
    let digest = Sha256::digest(message);
    u64::from_le_bytes(digest[..8].try_into().expect("SHA-256 has 32 bytes"))
}

/// What a raw client published, as an event.
pub(super) fn event(
    payload: Bytes,
    channel: &str,
    default_type: Option<&str>,
    now: SystemTime,
) -> Result<Event, Refused> {
    if payload.len() > PAYLOAD_BYTES_MAX {
        return Err(Refused::TooLarge { bytes: payload.len(), limit: PAYLOAD_BYTES_MAX });
    }
    let source = format!("redis:{}", uri_safe(channel));
    let defaults = Defaults { source: &source, event_type: Some(default_type.unwrap_or(RAW)), now };
    let is_json = serde_json::from_slice::<&RawValue>(&payload).is_ok();
    let parsed = serde_json::from_slice::<Members>(&payload).ok();
    if let Some(event) = parsed.and_then(from_cloud_event)
        && let Ok(event) = admit(event, &defaults)
    {
        return Ok(event);
    }
    let (payload, data_content_type) = match String::from_utf8(payload.to_vec()) {
        Ok(text) if is_json => (Payload::Text(text), "application/json"),
        Ok(text) => (Payload::Text(text), "text/plain"),
        Err(_) => (Payload::Data(payload), "application/octet-stream"),
    };
    let event = proto::Event {
        payload: Some(payload),
        data_content_type: data_content_type.into(),
        ..Default::default()
    };
    admit(event, &defaults)
}

/// A CloudEvent in structured mode. JSON data stands in it as it was written: a number that no
/// double holds is still that number.
#[derive(Serialize)]
struct CloudEvent<'a> {
    #[serde(flatten)]
    attributes: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
}

/// What stands in one, each as it was written: data may be nested deeper than is read here, or have
/// numbers that nothing here holds.
type Members = BTreeMap<String, Box<RawValue>>;

fn cloud_event(event: &proto::Event) -> CloudEvent<'_> {
    let mut object = Map::new();
    object.insert("specversion".into(), "1.0".into());
    let attributes = [
        ("id", &event.id),
        ("source", &event.source),
        ("type", &event.r#type),
        ("subject", &event.subject),
        ("datacontenttype", &event.data_content_type),
        ("dataschema", &event.data_schema),
        ("partitionkey", &event.key),
    ];
    for (name, value) in attributes.into_iter().filter(|(_, value)| !value.is_empty()) {
        object.insert(name.into(), value.as_str().into());
    }
    if let Some(time) = &event.time {
        object.insert("time".into(), time.to_string().into());
    }
    let mut extensions: Vec<_> = event.extensions.iter().collect();
    extensions.sort();
    for (name, value) in extensions {
        object.insert(name.clone(), value.as_str().into());
    }
    let bytes = match &event.payload {
        Some(Payload::Text(text)) => text.as_bytes(),
        Some(Payload::Data(data)) => data,
        Some(Payload::Proto(_) | Payload::Json(_)) | None => &[],
    };
    let json = is_json(&event.data_content_type);
    let data = json.then(|| serde_json::from_slice(bytes).ok()).flatten();
    match &event.payload {
        // As a string it would be JSON, and not what it is.
        Some(Payload::Text(text)) if data.is_none() && !json => {
            object.insert("data".into(), text.as_str().into());
        }
        Some(_) if data.is_none() => {
            object.insert("data_base64".into(), BASE64_STANDARD.encode(bytes).into());
        }
        _ => (),
    }
    CloudEvent { attributes: object, data }
}

/// None where it is no CloudEvent: the bytes are then an event's data as they stand.
fn from_cloud_event(mut object: Members) -> Option<proto::Event> {
    // What is null is not there (JSON format, §2.2), but for the data.
    object.retain(|name, value| name == "data" || value.get() != "null");
    let string = |value: Box<RawValue>| serde_json::from_str::<String>(value.get()).ok();
    let mut text = |name: &str| object.remove(name).map_or_else(|| Some(String::new()), string);
    if text("specversion")? != "1.0" {
        return None;
    }
    let mut event = proto::Event {
        id: text("id")?,
        source: text("source")?,
        r#type: text("type")?,
        subject: text("subject")?,
        data_content_type: text("datacontenttype")?,
        data_schema: text("dataschema")?,
        key: text("partitionkey")?,
        ..Default::default()
    };
    let time = text("time")?;
    if event.id.is_empty() || event.source.is_empty() || event.r#type.is_empty() {
        return None;
    }
    if !time.is_empty() {
        event.time = Some(time.parse().ok()?);
    }
    match (object.remove("data"), object.remove("data_base64")) {
        (None, None) => (),
        (None, Some(encoded)) => {
            let bytes = BASE64_STANDARD.decode(string(encoded)?).ok()?;
            event.payload = Some(Payload::Data(bytes.into()));
        }
        (Some(data), None) => {
            // Without a media type the data of structured mode is JSON (JSON format, §3.1).
            if event.data_content_type.is_empty() {
                event.data_content_type = "application/json".into();
            }
            let text = match is_json(&event.data_content_type) {
                true => None,
                false => serde_json::from_str::<String>(data.get()).ok(),
            };
            event.payload = Some(Payload::Text(text.unwrap_or_else(|| data.get().to_owned())));
        }
        (Some(_), Some(_)) => return None,
    }
    for (name, value) in object {
        let written = value.get();
        let value = match written.as_bytes().first()? {
            b'"' => string(value)?,
            b'{' | b'[' => return None,
            _ => written.to_owned(),
        };
        event.extensions.insert(name, value);
    }
    Some(event)
}

/// Channels may hold any bytes; a source may not.
fn uri_safe(channel: &str) -> String {
    let safe = |c: char| if c.is_control() || c.is_whitespace() { '_' } else { c };
    channel.chars().take(512).map(safe).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::any::any_event;

    fn heard(payload: &[u8]) -> proto::Event {
        let payload = Bytes::copy_from_slice(payload);
        event(payload, "orders", None, SystemTime::UNIX_EPOCH).expect("an event").message()
    }

    #[test]
    fn text_json_and_bytes_of_raw_clients_are_events() {
        let plain = heard(b"hello");
        assert_eq!(plain.payload, Some(Payload::Text("hello".into())));
        assert_eq!((plain.r#type.as_str(), plain.source.as_str()), (RAW, "redis:orders"));
        assert_eq!(plain.data_content_type, "text/plain");
        assert_eq!(heard(br#"{"order_id": 7}"#).data_content_type, "application/json");
        assert_eq!(heard(b"\xff\xfe").payload, Some(Payload::Data(b"\xff\xfe"[..].into())));
    }

    #[test]
    fn a_cloud_event_survives_the_trip_through_a_channel() {
        let sent = heard(
            br#"{"specversion":"1.0","id":"1","source":"/shop","type":"shop.v1.OrderPlaced",
                "time":"2026-01-02T03:04:05Z","partitionkey":"k","traceparent":"00-ab",
                "datacontenttype":"application/json","data":{"order_id":7}}"#,
        );
        assert_eq!((sent.id.as_str(), sent.key.as_str()), ("1", "k"));
        assert_eq!(sent.payload, Some(Payload::Text(r#"{"order_id":7}"#.into())));
        let defaults = Defaults { source: "/", event_type: None, now: SystemTime::UNIX_EPOCH };
        let event = admit(sent.clone(), &defaults).expect("an event");
        let message = message(BridgeMode::CloudEventsJson, &event).expect("a message");
        assert_eq!(heard(&message), sent);
    }

    #[test]
    fn json_data_passes_the_bridge_as_it_was_written() {
        let written = [
            "12345678901234567890123",
            "1.7587576992691646e-90",
            r#"{"a":1.50, "b":[-0]}"#,
            "null",
        ];
        let media_types = ["", r#""datacontenttype":"text/json","#];
        for (data, media_type) in written.iter().flat_map(|data| media_types.map(|of| (*data, of)))
        {
            let attributes = r#""specversion":"1.0","id":"1","source":"/","type":"t""#;
            let json = format!("{{{attributes},{media_type}\"data\":{data}}}");
            let sent = heard(json.as_bytes());
            assert_eq!(sent.payload, Some(Payload::Text(data.into())));
            let defaults = Defaults { source: "/", event_type: None, now: SystemTime::UNIX_EPOCH };
            let event = admit(sent.clone(), &defaults).expect("an event");
            let message = message(BridgeMode::CloudEventsJson, &event).expect("a message");
            assert_eq!(heard(&message), sent);
        }
    }

    #[test]
    fn what_only_looks_like_a_cloud_event_is_data() {
        for payload in [
            r#"{"specversion":"1.0"}"#,
            r#"{"specversion":"0.3","id":"1","source":"/","type":"t"}"#,
            r#"{"specversion":"1.0","id":"1","source":"/","type":"t","data":1,"data_base64":""}"#,
            r#"{"specversion":"1.0","id":"1","source":"/","type":"t","data_base64":"%"}"#,
            r#"{"specversion":"1.0","id":"1","source":"/","type":"t","Bad Name":"x"}"#,
        ] {
            assert_eq!(heard(payload.as_bytes()).r#type, RAW, "{payload}");
        }
    }

    proptest! {
        #[test]
        fn hostile_payloads_are_events_or_refused(payload in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = event(payload.into(), "c\n", None, SystemTime::UNIX_EPOCH);
        }
    }

    /// What comes back of an event: in a CloudEvent JSON is JSON, whether it was sent as text or as bytes,
    /// and white space around it means nothing.
    fn expected(mut event: proto::Event) -> proto::Event {
        if is_json(&event.data_content_type) {
            let bytes: Bytes = match event.payload.take() {
                Some(Payload::Text(text)) => text.into(),
                Some(Payload::Data(data)) => data,
                _ => return event,
            };
            let json =
                serde_json::from_slice::<&RawValue>(&bytes).map(|json| json.get().to_owned());
            event.payload = Some(json.map_or(Payload::Data(bytes), Payload::Text));
        }
        event
    }

    proptest! {
        /// What a broker copies to a channel comes back as the same event, for whoever listens.
        #[test]
        fn any_event_survives_the_trip_through_a_channel(event in any_event()) {
            let defaults = Defaults { source: "/", event_type: None, now: SystemTime::UNIX_EPOCH };
            let Ok(event) = admit(event, &defaults) else { return Ok(()) };
            let message = message(BridgeMode::CloudEventsJson, &event).expect("a message");
            prop_assert_eq!(heard(&message), expected(event.message()));
        }
    }

    #[test]
    fn what_is_null_in_a_cloud_event_is_not_there() {
        let event = heard(
            br#"{"specversion":"1.0","id":"1","source":"/","type":"t","subject":null,"a":null,
                "data_base64":null,"b":1.50,"c":true,"data":null}"#,
        );
        assert_eq!((event.r#type.as_str(), event.subject.as_str()), ("t", ""));
        let extensions = [("b", "1.50"), ("c", "true")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(event.extensions, extensions.into());
        assert_eq!(event.payload, Some(Payload::Text("null".into())));
    }
}
