//! An event as one JSON object: what `sub` prints and `pub --json-lines` reads, one form for both.
//!
//! Attributes are named as in the CloudEvents JSON format (`datacontenttype`); the data stands in
//! `data` (JSON), `text`, or `data_base64`. `docs/cli.md` lists the keys.

use std::collections::{BTreeMap, HashMap};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use prost_types::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};

use crate::{
    event::is_json,
    proto::{Event, event::Payload},
};

/// What `pub --json-lines` reads. What only the broker can say is accepted and dropped, so that
/// what `sub` printed can be published again.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Line<'a> {
    id: String,
    source: String,
    r#type: String,
    subject: String,
    time: Option<String>,
    key: String,
    datacontenttype: String,
    dataschema: String,
    extensions: HashMap<String, String>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    text: Option<String>,
    data_base64: Option<String>,
    // Dropped.
    #[serde(rename = "specversion")]
    _specversion: Value,
    #[serde(rename = "topic")]
    _topic: Value,
    #[serde(rename = "epoch")]
    _epoch: Value,
    #[serde(rename = "sequence")]
    _sequence: Value,
    #[serde(rename = "publish_time")]
    _publish_time: Value,
}

/// The line is no event; says why.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("{0}")]
pub(super) struct NoEvent(String);

pub(super) fn parse(line: &str) -> Result<Event, NoEvent> {
    let line: Line<'_> =
        serde_json::from_str(line).map_err(|error| NoEvent(format!("no event: {error}")))?;
    let time = line.time.as_deref().map(str::parse::<Timestamp>).transpose();
    let time = time.map_err(|error| NoEvent(format!("time: {error}")))?;
    let mut datacontenttype = line.datacontenttype;
    let payload = match (line.data, line.text, line.data_base64) {
        (None, None, None) => None,
        (Some(data), None, None) => {
            if datacontenttype.is_empty() {
                datacontenttype = "application/json".into();
            }
            Some(Payload::Text(data.get().to_owned()))
        }
        (None, Some(text), None) => Some(Payload::Text(text)),
        (None, None, Some(text)) => {
            let bytes = BASE64_STANDARD.decode(text);
            let bytes = bytes.map_err(|error| NoEvent(format!("data_base64: {error}")))?;
            Some(Payload::Data(bytes.into()))
        }
        _ => return Err(NoEvent("give one of data, text and data_base64".into())),
    };
    Ok(Event {
        id: line.id,
        source: line.source,
        r#type: line.r#type,
        subject: line.subject,
        time,
        data_content_type: datacontenttype,
        data_schema: line.dataschema,
        key: line.key,
        extensions: line.extensions,
        payload,
        ..Event::default()
    })
}

/// Data as it came from an argument, a file or a line: JSON and text are told apart from bytes.
pub(super) fn from_data(data: Vec<u8>, content_type: &str) -> Event {
    let (payload, found) = match String::from_utf8(data) {
        Err(error) => (Payload::Data(error.into_bytes().into()), "application/octet-stream"),
        Ok(text) if is_json_document(&text) => (Payload::Text(text), "application/json"),
        Ok(text) => (Payload::Text(text), "text/plain"),
    };
    let content_type = if content_type.is_empty() { found } else { content_type };
    Event { payload: Some(payload), data_content_type: content_type.to_owned(), ..Event::default() }
}

/// An object or an array. A bare `5` or `true` is more likely meant as text.
fn is_json_document(text: &str) -> bool {
    text.trim_start().starts_with(['{', '['])
        && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// The event as one line. Attributes that are not set are left out.
pub(super) fn line(event: &Event) -> String {
    let mut line = Map::new();
    if let Some(position) = &event.position {
        line.insert("topic".into(), position.topic.as_str().into());
        line.insert("epoch".into(), position.epoch.into());
        line.insert("sequence".into(), position.sequence.into());
    }
    for (name, value) in [
        ("id", &event.id),
        ("source", &event.source),
        ("type", &event.r#type),
        ("subject", &event.subject),
        ("key", &event.key),
        ("datacontenttype", &event.data_content_type),
        ("dataschema", &event.data_schema),
    ] {
        if !value.is_empty() {
            line.insert(name.into(), value.as_str().into());
        }
    }
    for (name, time) in [("time", &event.time), ("publish_time", &event.publish_time)] {
        if let Some(time) = time {
            line.insert(name.into(), time.to_string().into());
        }
    }
    if !event.extensions.is_empty() {
        let sorted: BTreeMap<_, _> = event.extensions.iter().collect();
        let sorted = sorted.into_iter().map(|(name, value)| (name.clone(), value.as_str().into()));
        line.insert("extensions".into(), Value::Object(sorted.collect()));
    }
    let json = is_json(&event.data_content_type);
    match &event.payload {
        None => (),
        Some(Payload::Text(text)) => {
            if let Some(data) = json.then(|| one_line_json(text)).flatten() {
                return with_data(line, &data);
            }
            line.insert("text".into(), text.as_str().into());
        }
        Some(Payload::Data(bytes)) => {
            let text = json.then(|| std::str::from_utf8(bytes).ok()).flatten();
            if let Some(data) = text.and_then(one_line_json) {
                return with_data(line, &data);
            }
            line.insert("data_base64".into(), BASE64_STANDARD.encode(bytes).into());
        }
        Some(Payload::Json(value)) => {
            line.insert("data".into(), json_value(value));
        }
        // Publish only; shown by a view where the broker knows the type.
        Some(Payload::Proto(any)) => {
            line.insert("data_base64".into(), BASE64_STANDARD.encode(&any.value).into());
        }
    }
    Value::Object(line).to_string()
}

/// Numbers and order stay as they were written: the text is put in as it is.
fn with_data(line: Map<String, Value>, data: &str) -> String {
    let mut text = Value::Object(line).to_string();
    text.pop();
    if text.len() > 1 {
        text.push(',');
    }
    text.push_str("\"data\":");
    text.push_str(data);
    text.push('}');
    text
}

/// None where it is no JSON. A line break in JSON always stands between tokens.
fn one_line_json(text: &str) -> Option<String> {
    serde_json::from_str::<serde::de::IgnoredAny>(text).ok()?;
    Some(text.trim().replace(['\n', '\r'], " "))
}

fn json_value(value: &prost_types::Value) -> Value {
    use prost_types::value::Kind;
    match &value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(b)) => (*b).into(),
        Some(Kind::StringValue(s)) => s.as_str().into(),
        // A double that came from `1` is not shown as `1.0`.
        Some(Kind::NumberValue(n)) if n.fract() == 0.0 && n.abs() < 9e15 => (*n as i64).into(),
        Some(Kind::NumberValue(n)) => (*n).into(),
        Some(Kind::ListValue(list)) => list.values.iter().map(json_value).collect(),
        Some(Kind::StructValue(object)) => Value::Object(
            object.fields.iter().map(|(name, value)| (name.clone(), json_value(value))).collect(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::Position;

    #[test]
    fn what_sub_prints_pub_reads() {
        let event = Event {
            id: "1".into(),
            source: "/shop".into(),
            r#type: "shop.v1.OrderPlaced".into(),
            subject: "order/1".into(),
            key: "k".into(),
            time: Some(Timestamp { seconds: 1_700_000_000, nanos: 5_000_000 }),
            data_content_type: "application/json".into(),
            data_schema: "tidings:schema/x/1".into(),
            extensions: [("traceparent".to_owned(), "00".to_owned())].into(),
            payload: Some(Payload::Text("{\n \"n\": 12345678901234567890123 }".into())),
            position: Some(Position { topic: "orders".into(), epoch: 7, sequence: 9 }),
            publish_time: Some(Timestamp::default()),
        };
        let line = line(&event);
        assert!(line.contains(r#""topic":"orders","epoch":7,"sequence":9"#), "{line}");
        assert!(line.contains("12345678901234567890123") && !line.contains('\n'), "{line}");
        let again = parse(&line).expect("an event");
        let payload = Some(Payload::Text("{  \"n\": 12345678901234567890123 }".into()));
        assert_eq!(again, Event { position: None, publish_time: None, payload, ..event });
    }

    #[test]
    fn data_is_shown_by_what_it_is() {
        let shown = |payload, content_type: &str| {
            line(&Event {
                payload: Some(payload),
                data_content_type: content_type.into(),
                ..Event::default()
            })
        };
        let json = "application/cloudevents+json; charset=utf-8";
        assert!(shown(Payload::Text("[1]".into()), json).ends_with(r#","data":[1]}"#));
        assert!(shown(Payload::Data(b"[1]".to_vec().into()), json).ends_with(r#","data":[1]}"#));
        assert!(shown(Payload::Text("{oops".into()), json).ends_with(r#","text":"{oops"}"#));
        assert!(shown(Payload::Text("hi".into()), "text/plain").ends_with(r#","text":"hi"}"#));
        let bytes = shown(Payload::Data(vec![255].into()), "application/protobuf");
        assert!(bytes.ends_with(r#","data_base64":"/w=="}"#), "{bytes}");
    }

    #[test]
    fn data_without_a_media_type_is_looked_at() {
        for (data, found) in [
            (b"hello".to_vec(), "text/plain"),
            (b"5".to_vec(), "text/plain"),
            (b" {\"a\":1}\n".to_vec(), "application/json"),
            (b"{oops".to_vec(), "text/plain"),
            (vec![0xff], "application/octet-stream"),
        ] {
            assert_eq!(from_data(data.clone(), "").data_content_type, found, "{data:?}");
        }
        assert_eq!(from_data(b"x".to_vec(), "image/png").data_content_type, "image/png");
    }

    #[test]
    fn what_is_no_event_is_refused_with_the_reason() {
        for (line, part) in [
            ("", "EOF"),
            ("5", "invalid type"),
            (r#"{"typ":"x"}"#, "`typ`"),
            (r#"{"text":"a","data":1}"#, "one of data"),
            (r#"{"data_base64":"%"}"#, "data_base64"),
            (r#"{"time":"yesterday"}"#, "time"),
        ] {
            let error = parse(line).expect_err(line).to_string();
            assert!(error.contains(part), "{line}: {error}");
        }
    }
}
