//! Events as raw Redis clients see them, and what they publish as events.
//!
//! JSON in CloudEvents structured mode
//! (<https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md>) is
//! recognised; anything else is data.

use std::time::SystemTime;

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
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
    let parsed = serde_json::from_slice::<Value>(&payload).ok();
    let is_json = parsed.is_some();
    if let Some(event) = parsed.and_then(|parsed| from_cloud_event(parsed, &payload))
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

/// The data of one, as it was written.
#[derive(Deserialize)]
struct Written<'a> {
    #[serde(borrow)]
    data: &'a RawValue,
}

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
        Some(Payload::Text(text)) if data.is_none() => {
            object.insert("data".into(), text.as_str().into());
        }
        Some(Payload::Data(data_bytes)) if data.is_none() => {
            object.insert("data_base64".into(), BASE64_STANDARD.encode(data_bytes).into());
        }
        _ => (),
    }
    CloudEvent { attributes: object, data }
}

/// None where it is no CloudEvent: the bytes are then an event's data as they stand.
fn from_cloud_event(value: Value, payload: &[u8]) -> Option<proto::Event> {
    let Value::Object(mut object) = value else { return None };
    if object.remove("specversion")?.as_str()? != "1.0" {
        return None;
    }
    let mut text = |name: &str| match object.remove(name) {
        Some(Value::String(value)) => Some(value),
        Some(_) => None,
        None => Some(String::new()),
    };
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
        (None, Some(Value::String(encoded))) => {
            event.payload = Some(Payload::Data(BASE64_STANDARD.decode(encoded).ok()?.into()));
        }
        (Some(data), None) => {
            // Without a media type the data of structured mode is JSON (JSON format, §3.1).
            if event.data_content_type.is_empty() {
                event.data_content_type = "application/json".into();
            }
            let text = match data.as_str() {
                Some(text) if !is_json(&event.data_content_type) => text.to_owned(),
                Some(_) | None => {
                    serde_json::from_slice::<Written>(payload).ok()?.data.get().to_owned()
                }
            };
            event.payload = Some(Payload::Text(text));
        }
        (Some(_), Some(_)) | (None, Some(_)) => return None,
    }
    for (name, value) in object {
        let value = match value {
            Value::Null => continue,
            Value::String(value) => value,
            Value::Bool(_) | Value::Number(_) => value.to_string(),
            Value::Array(_) | Value::Object(_) => return None,
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
        for data in written {
            let json = r#"{"specversion":"1.0","id":"1","source":"/","type":"t","data":DATA}"#;
            let sent = heard(json.replace("DATA", data).as_bytes());
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

    proptest! {
        /// What a broker copies to a channel comes back as the same event, for whoever listens.
        #[test]
        fn any_event_survives_the_trip_through_a_channel(
            (id, source, event_type) in ("[a-z]{1,9}", "/[a-z]{0,9}", "[a-z.]{1,9}"),
            (key, text) in ("[^\\p{C}]{0,9}", any::<String>()),
            json in any::<bool>(),
        ) {
            let data_content_type = if json { "application/json" } else { "text/plain" }.into();
            let payload = Some(Payload::Text(if json { serde_json::Value::from(text).to_string() } else { text }));
            let event = proto::Event { id, source, r#type: event_type, key, payload, data_content_type, ..Default::default() };
            let defaults = Defaults { source: "/", event_type: None, now: SystemTime::UNIX_EPOCH };
            let Ok(event) = admit(event, &defaults) else { return Ok(()) };
            let message = message(BridgeMode::CloudEventsJson, &event).expect("a message");
            prop_assert_eq!(heard(&message), event.message());
        }
    }
}
