//! Events at the door: checked, completed, and encoded once.
//!
//! [`admit`] is the only way in. What is complete already passes as the bytes it came in. What is let
//! through follows the CloudEvents 1.0 rules for
//! context attributes (<https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md>):
//! the compulsory ones are there, none is empty, and none holds a control character. After it an
//! event is bytes.

#[cfg(test)]
pub(crate) mod any;
mod payload;
mod shape;
mod typed;

use std::{
    str,
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::{Buf, Bytes};
use prost::Message;
use prost_types::Timestamp;
use sha2::{Digest, Sha256};
use uuid::Uuid;

pub use self::typed::{Data, INVALID_MARK, Typed, is_json, is_protobuf};
pub(crate) use self::{payload::json_text, shape::is_plain, typed::shortened};
use crate::{
    limits::{ATTRIBUTE_BYTES_MAX, EVENT_BYTES_MAX, EXTENSIONS_MAX, TEXT_ATTRIBUTE_BYTES_MAX},
    proto,
};

/// The last microsecond of the year 9999: what protobuf's `Timestamp` can say.
pub const TIME_US_MAX: u64 = 253_402_300_799_999_999;

/// The type of an event of which nobody said what it is.
pub const UNTYPED: &str = "tidings.untyped";

/// Names that CloudEvents or this mapping give to something else.
const RESERVED_EXTENSIONS: [&str; 11] = [
    "id",
    "source",
    "type",
    "subject",
    "time",
    "datacontenttype",
    "dataschema",
    "specversion",
    "data",
    "data_base64",
    "partitionkey",
];

/// An event that passed the door.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    encoded: Bytes,
    key: Option<EventKey>,
}

/// Stands for who published an event, its source and its id: what is stored once. Wide enough that
/// no two of one topic's window meet, and that nobody finds an id that meets another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventKey([u8; 12]);

/// An event that stands before the door.
#[derive(Debug, Clone)]
pub enum Incoming {
    Message(Box<proto::Event>),
    Complete(Complete),
}

/// An event that came as the bytes that the door would have written, so that it may pass as it is.
#[derive(Debug, Clone)]
pub struct Complete {
    id: String,
    encoded: Bytes,
}

/// What the broker knows of an event that its publisher left out.
#[derive(Debug, Clone)]
pub struct Defaults<'a> {
    pub source: &'a str,
    pub event_type: Option<&'a str>,
    pub now: SystemTime,
}

/// The event is not let in. Each violation names a field of the event and says what to do.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refused {
    #[error("{}", list(.violations))]
    Invalid { violations: Vec<Violation> },
    #[error(
        "the event has {bytes} bytes, over the limit of {limit}: send what is large another way"
    )]
    TooLarge { bytes: usize, limit: usize },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Inside the event: `id`, `extensions["traceparent"]`.
    pub field: String,
    pub description: String,
}

impl Event {
    /// Complete, without position and publish time, its payload `data` or `text`. Read again from
    /// its bytes: few ask, and what is kept of an event that waits is small.
    pub fn message(&self) -> proto::Event {
        proto::Event::decode(self.encoded.clone()).expect("it passed the door")
    }

    /// The bytes that are stored and sent.
    pub fn encoded(&self) -> &Bytes {
        &self.encoded
    }

    pub fn into_encoded(self) -> Bytes {
        self.encoded
    }

    /// What it is known by when it comes again; none where it is stored each time.
    pub fn key(&self) -> Option<EventKey> {
        self.key
    }

    /// From now on it is stored once: `principal` published it, and gave it this id.
    pub fn known_by(&mut self, principal: &str, id: &str) {
        self.key = Some(match shape::read(&self.encoded) {
            Some(said) => EventKey::of(principal.as_bytes(), said.source, id.as_bytes()),
            None => {
                let source = self.message().source;
                EventKey::of(principal.as_bytes(), source.as_bytes(), id.as_bytes())
            }
        });
    }
}

impl EventKey {
    /// No event's.
    pub const NONE: &[u8] = &[0; 12];

    fn of(principal: &[u8], source: &[u8], id: &[u8]) -> EventKey {
        let mut hash = Sha256::new();
        for part in [principal, source, id] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let hash = hash.finalize();
        EventKey(std::array::from_fn(|i| hash[i]))
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Incoming {
    /// Whether its publisher gave it an id.
    pub fn has_id(&self) -> bool {
        match self {
            Incoming::Message(event) => !event.id.is_empty(),
            Incoming::Complete(_) => true,
        }
    }

    /// Encoded.
    pub fn bytes(&self) -> usize {
        match self {
            Incoming::Message(event) => event.encoded_len(),
            Incoming::Complete(complete) => complete.encoded.len(),
        }
    }

    /// The type that it will have where others have `default_type`.
    pub fn type_or<'a>(&'a self, default_type: &'a str) -> &'a str {
        match self {
            Incoming::Complete(complete) => {
                Typed::of(&complete.encoded).map_or(default_type, |typed| typed.event_type)
            }
            Incoming::Message(event) => match (event.r#type.as_str(), &event.payload) {
                ("", Some(proto::event::Payload::Proto(any))) => {
                    any.type_url.rsplit('/').next().unwrap_or_default()
                }
                ("", _) => default_type,
                (name, _) => name,
            },
        }
    }
}

impl Complete {
    /// Takes an event, its length before it, off `buf`, which is left alone where there is none that
    /// is complete: that one has to be decoded.
    pub fn take(buf: &mut impl Buf) -> Option<Complete> {
        let mut behind = buf.chunk();
        let event = shape::delimited(&mut behind)?;
        let taken = buf.chunk().len() - behind.len();
        let id = complete_id(event)?.to_owned();
        // A copy: it may wait or be kept for long, and must not hold all that came with it.
        let encoded = Bytes::copy_from_slice(event);
        buf.advance(taken);
        Some(Complete { id, encoded })
    }
}

impl From<proto::Event> for Incoming {
    fn from(event: proto::Event) -> Incoming {
        Incoming::Message(Box::new(event))
    }
}

impl From<Incoming> for proto::Event {
    fn from(event: Incoming) -> proto::Event {
        match event {
            Incoming::Message(event) => *event,
            Incoming::Complete(Complete { id: _, encoded }) => {
                Event { encoded, key: None }.message()
            }
        }
    }
}

/// The id of an event of which [`admit`] would change nothing, not a byte.
fn complete_id(event: &[u8]) -> Option<&str> {
    if event.len() > EVENT_BYTES_MAX {
        return None;
    }
    let said = shape::read(event)?;
    let is_there = ![said.id, said.source, said.event_type].contains(&&b""[..])
        && said.time.as_ref().is_some_and(is_valid)
        && !(said.has_payload && said.data_content_type.is_empty());
    let is_good = [said.id, said.event_type, said.data_content_type, said.key]
        .iter()
        .all(|value| is_text(value, ATTRIBUTE_BYTES_MAX))
        && [said.source, said.subject, said.data_schema]
            .iter()
            .all(|value| is_text(value, TEXT_ATTRIBUTE_BYTES_MAX))
        && !has_white_space(said.source)
        && !has_white_space(said.data_schema)
        && (said.data_content_type.is_empty() || is_media_type(said.data_content_type))
        && said.extension.is_none_or(|(name, value)| {
            is_extension_name(name)
                && !is_reserved(name)
                && is_text(value, TEXT_ATTRIBUTE_BYTES_MAX)
        });
    if is_there && is_good { str::from_utf8(said.id).ok() } else { None }
}

/// Checks an event and completes it: id, source, type, time and media type are there afterwards,
/// its payload is `data` or `text`, and what only the broker may say is cleared.
pub fn admit(event: proto::Event, defaults: &Defaults<'_>) -> Result<Event, Refused> {
    admit_message(event, defaults).map(|(_, event)| event)
}

/// The same, with the id that the event has now. What is complete needs no defaults.
pub fn admit_with_id<'a>(
    event: Incoming,
    defaults: impl FnOnce() -> Defaults<'a>,
) -> Result<(String, Event), Refused> {
    match event {
        Incoming::Complete(Complete { id, encoded }) => Ok((id, Event { encoded, key: None })),
        Incoming::Message(event) => admit_message(*event, &defaults()),
    }
}

fn admit_message(
    mut event: proto::Event,
    defaults: &Defaults<'_>,
) -> Result<(String, Event), Refused> {
    event.position = None;
    event.publish_time = None;
    let mut check = Check::default();
    payload::settle(&mut event, &mut check);
    complete(&mut event, defaults);
    check.attributes(&event);
    if !check.violations.is_empty() {
        return Err(Refused::Invalid { violations: check.violations });
    }
    let bytes = event.encoded_len();
    if bytes > EVENT_BYTES_MAX {
        return Err(Refused::TooLarge { bytes, limit: EVENT_BYTES_MAX });
    }
    // As `encode_to_vec` does, which would count again.
    let mut encoded = Vec::with_capacity(bytes);
    event.encode_raw(&mut encoded);
    Ok((event.id, Event { encoded: encoded.into(), key: None }))
}

fn complete(event: &mut proto::Event, defaults: &Defaults<'_>) {
    if event.id.is_empty() {
        event.id = Uuid::now_v7().to_string();
    }
    if event.source.is_empty() {
        event.source = defaults.source.to_owned();
    }
    if event.r#type.is_empty() {
        event.r#type = defaults.event_type.unwrap_or(UNTYPED).to_owned();
    }
    if event.time.is_none() {
        event.time = Some(timestamp(defaults.now));
    }
}

#[derive(Default)]
struct Check {
    violations: Vec<Violation>,
}

impl Check {
    fn violation(&mut self, field: &str, description: impl Into<String>) {
        self.violations.push(Violation { field: field.into(), description: description.into() });
    }

    fn attributes(&mut self, event: &proto::Event) {
        self.text("id", &event.id, ATTRIBUTE_BYTES_MAX);
        self.text("source", &event.source, TEXT_ATTRIBUTE_BYTES_MAX);
        self.text("type", &event.r#type, ATTRIBUTE_BYTES_MAX);
        self.text("subject", &event.subject, TEXT_ATTRIBUTE_BYTES_MAX);
        self.text("data_content_type", &event.data_content_type, ATTRIBUTE_BYTES_MAX);
        self.text("data_schema", &event.data_schema, TEXT_ATTRIBUTE_BYTES_MAX);
        self.text("key", &event.key, ATTRIBUTE_BYTES_MAX);
        for (field, value) in [("source", &event.source), ("data_schema", &event.data_schema)] {
            if has_white_space(value.as_bytes()) {
                self.violation(field, "must be a URI reference: it has white space");
            }
        }
        let media_type = event.data_content_type.as_bytes();
        if !media_type.is_empty() && !is_media_type(media_type) {
            self.violation("data_content_type", "must be a media type, such as application/json");
        }
        if event.time.as_ref().is_some_and(|time| !is_valid(time)) {
            self.violation("time", "must lie in the years 1 to 9999");
        }
        if event.extensions.len() > EXTENSIONS_MAX {
            let count = event.extensions.len();
            self.violation("extensions", format!("has {count} entries; at most {EXTENSIONS_MAX}"));
            return;
        }
        let mut names: Vec<_> = event.extensions.keys().collect();
        names.sort();
        for name in names {
            self.extension(name, &event.extensions[name]);
        }
    }

    fn extension(&mut self, name: &str, value: &str) {
        let field = format!("extensions[\"{}\"]", shown(name));
        if !is_extension_name(name.as_bytes()) {
            self.violation(&field, "must be named with 1 to 20 characters of [a-z0-9]");
        } else if is_reserved(name.as_bytes()) {
            self.violation(&field, "is no extension: set the event's own field");
        }
        self.text(&field, value, TEXT_ATTRIBUTE_BYTES_MAX);
    }

    fn text(&mut self, field: &str, value: &str, limit: usize) {
        if is_text(value.as_bytes(), limit) {
            return;
        }
        if value.len() > limit {
            self.violation(field, format!("has {} bytes; at most {limit}", value.len()));
        }
        if let Some(bad) = value.chars().find(|c| !is_allowed(*c)) {
            let code = u32::from(bad);
            self.violation(field, format!("holds U+{code:04X}, which CloudEvents do not allow"));
        }
    }
}

/// As much of a name as fits into an error: errors travel in headers, and clients take few bytes.
fn shown(name: &str) -> String {
    const BYTES_MAX: usize = 60;
    let mut shown = String::new();
    for c in name.chars() {
        let escaped = c.escape_debug();
        if shown.len() + escaped.len() > BYTES_MAX {
            return shown + "…";
        }
        shown.extend(escaped);
    }
    shown
}

/// CloudEvents 1.0, type system, String: no control characters, no noncharacters.
fn is_allowed(c: char) -> bool {
    let code = u32::from(c);
    !c.is_control() && !(0xFDD0..=0xFDEF).contains(&code) && code & 0xFFFE != 0xFFFE
}

fn is_text(value: &[u8], limit: usize) -> bool {
    // Nearly all of them are of ASCII, and that is quickly said, many bytes at a time.
    let is_printable = || value.iter().fold(true, |so_far, b| so_far & matches!(*b, b' '..=b'~'));
    let is_allowed_text = || str::from_utf8(value).is_ok_and(|text| text.chars().all(is_allowed));
    value.len() <= limit && (is_printable() || is_allowed_text())
}

fn has_white_space(value: &[u8]) -> bool {
    let is_space = |b: u8| (b == b' ') | (b.wrapping_sub(b'\t') < 5);
    match value.is_ascii() {
        true => value.iter().fold(false, |so_far, b| so_far | is_space(*b)),
        false => str::from_utf8(value).is_ok_and(|text| text.contains(char::is_whitespace)),
    }
}

fn is_extension_name(name: &[u8]) -> bool {
    let plain = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    (1..=20).contains(&name.len()) && name.iter().all(plain)
}

fn is_reserved(name: &[u8]) -> bool {
    RESERVED_EXTENSIONS.iter().any(|reserved| reserved.as_bytes() == name)
}

/// RFC 2045, roughly: two tokens with a slash, and perhaps parameters.
fn is_media_type(value: &[u8]) -> bool {
    let token = |s: &[u8]| !s.is_empty() && s.iter().all(|b| TOKEN[usize::from(*b)]);
    let two_tokens = |essence: &[u8]| {
        let slash = essence.iter().position(|b| *b == b'/');
        slash.is_some_and(|at| token(&essence[..at]) && token(&essence[at + 1..]))
    };
    two_tokens(value)
        || str::from_utf8(value).is_ok_and(|value| {
            let essence = value.split(';').next().unwrap_or_default();
            two_tokens(essence.trim().as_bytes())
        })
}

const TOKEN: [bool; 256] = {
    let mut token = [false; 256];
    let marks = b"!#$&^_.+-*'`|~%";
    let mut b = 0;
    while b < 256 {
        token[b] = (b as u8).is_ascii_alphanumeric();
        b += 1;
    }
    let mut mark = 0;
    while mark < marks.len() {
        token[marks[mark] as usize] = true;
        mark += 1;
    }
    token
};

/// What `google/protobuf/timestamp.proto` allows.
fn is_valid(time: &Timestamp) -> bool {
    (-62_135_596_800..=253_402_300_799).contains(&time.seconds)
        && (0..1_000_000_000).contains(&time.nanos)
}

pub fn timestamp(time: SystemTime) -> Timestamp {
    timestamp_us(micros(time))
}

pub fn timestamp_us(us: u64) -> Timestamp {
    Timestamp { seconds: (us / 1_000_000) as i64, nanos: (us % 1_000_000 * 1000) as i32 }
}

/// Microseconds since 1970.
pub fn micros(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}

fn list(violations: &[Violation]) -> String {
    let mut shown: Vec<_> =
        violations.iter().take(5).map(|v| format!("{} {}", v.field, v.description)).collect();
    if violations.len() > shown.len() {
        shown.push(format!("and {} more", violations.len() - shown.len()));
    }
    shown.join("; ")
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::Index};

    use super::{any::any_event, *};
    use crate::proto::event::Payload;

    fn defaults() -> Defaults<'static> {
        Defaults { source: "/anonymous", event_type: None, now: UNIX_EPOCH }
    }

    fn number(n: f64) -> prost_types::Value {
        prost_types::Value { kind: Some(prost_types::value::Kind::NumberValue(n)) }
    }

    fn violations(event: proto::Event) -> Vec<String> {
        match admit(event, &defaults()) {
            Err(Refused::Invalid { violations }) => {
                violations.into_iter().map(|violation| violation.field).collect()
            }
            other => panic!("not refused: {other:?}"),
        }
    }

    #[test]
    fn an_empty_event_is_completed() {
        let event = admit(proto::Event::default(), &defaults()).expect("admitted");
        let message = event.message();
        assert_eq!(message.id.len(), 36);
        assert_eq!((message.source.as_str(), message.r#type.as_str()), ("/anonymous", UNTYPED));
        assert!(message.time.is_some());
        assert_eq!(proto::Event::decode(event.encoded().clone()), Ok(message));
    }

    #[test]
    fn what_only_the_broker_says_is_cleared() {
        let forged = proto::Event {
            position: Some(proto::Position::default()),
            publish_time: Some(Timestamp::default()),
            ..Default::default()
        };
        let event = admit(forged, &defaults()).expect("admitted");
        assert!(event.message().position.is_none() && event.message().publish_time.is_none());
    }

    #[test]
    fn whole_json_numbers_stay_whole() {
        for (value, text) in
            [(1.0, "1"), (-0.0, "0"), (1.5, "1.5"), (9_007_199_254_740_992.0, "9007199254740992")]
        {
            let event =
                proto::Event { payload: Some(Payload::Json(number(value))), ..Default::default() };
            let event = admit(event, &defaults()).expect("admitted");
            assert_eq!(event.message().payload, Some(Payload::Text(text.into())));
            assert_eq!(event.message().data_content_type, "application/json");
        }
        let event =
            proto::Event { payload: Some(Payload::Json(number(f64::NAN))), ..Default::default() };
        assert_eq!(violations(event), ["json"]);
    }

    #[test]
    fn an_any_becomes_data_and_names_the_type() {
        let any = prost_types::Any {
            type_url: "type.googleapis.com/shop.v1.OrderPlaced".into(),
            value: vec![8, 1],
        };
        let event = proto::Event { payload: Some(Payload::Proto(any)), ..Default::default() };
        let event = admit(event, &defaults()).expect("admitted");
        assert_eq!(event.message().r#type, "shop.v1.OrderPlaced");
        assert_eq!(event.message().data_content_type, "application/protobuf");
        assert_eq!(event.message().payload, Some(Payload::Data(vec![8u8, 1].into())));
    }

    #[test]
    fn a_refusal_is_one_short_line_whatever_the_names() {
        let name = format!("shop.\n\u{1b}[31m{}", "é".repeat(100_000));
        let type_url = format!("type.googleapis.com/{name}");
        let any = prost_types::Any { type_url, value: vec![] };
        let mistyped = proto::Event {
            r#type: "shop.v1.OrderPlaced".into(),
            payload: Some(Payload::Proto(any)),
            ..Default::default()
        };
        let named =
            proto::Event { extensions: [(name, String::new())].into(), ..Default::default() };
        for event in [mistyped, named] {
            let error = admit(event, &defaults()).expect_err("refused").to_string();
            assert!(!error.contains(char::is_control) && error.len() < 300, "{error}");
        }
    }

    #[test]
    fn hostile_attributes_are_refused_by_name() {
        let event = |set: fn(&mut proto::Event)| {
            let mut event = proto::Event::default();
            set(&mut event);
            violations(event)
        };
        assert_eq!(event(|e| e.id = "a\0".into()), ["id"]);
        assert_eq!(event(|e| e.source = "a b".into()), ["source"]);
        assert_eq!(event(|e| e.key = "k".repeat(1025)), ["key"]);
        assert_eq!(event(|e| e.subject = "\u{FFFE}".into()), ["subject"]);
        assert_eq!(event(|e| e.data_content_type = "json".into()), ["data_content_type"]);
        assert_eq!(event(|e| e.time = Some(Timestamp { seconds: 0, nanos: -1 })), ["time"]);
        assert_eq!(
            event(|e| e.extensions = [("Bad".into(), "x".into())].into()),
            ["extensions[\"Bad\"]"]
        );
        assert_eq!(
            event(|e| e.extensions = [("id".into(), "x".into())].into()),
            ["extensions[\"id\"]"]
        );
        assert_eq!(
            event(|e| e.extensions = (0..10_000).map(|i| (format!("a{i}"), "".into())).collect()),
            ["extensions"]
        );
    }

    #[test]
    fn an_event_over_the_limit_is_refused_with_its_size() {
        let data = Payload::Data(vec![0; EVENT_BYTES_MAX].into());
        let event = proto::Event { payload: Some(data), ..Default::default() };
        assert!(matches!(admit(event, &defaults()), Err(Refused::TooLarge { .. })));
    }

    fn complete() -> proto::Event {
        proto::Event {
            id: "7".into(),
            source: "/shop".into(),
            r#type: "order".into(),
            time: Some(Timestamp { seconds: 1_763_000_000, nanos: 5 }),
            data_content_type: "application/json".into(),
            payload: Some(Payload::Data("{}".into())),
            ..Default::default()
        }
    }

    /// As a request carries it, and something behind it.
    fn sent(event: &[u8]) -> Bytes {
        let mut bytes = Vec::new();
        prost::encoding::encode_varint(event.len() as u64, &mut bytes);
        bytes.extend_from_slice(event);
        bytes.extend_from_slice(b"behind");
        bytes.into()
    }

    fn passes_as_it_is(event: &proto::Event) -> bool {
        Complete::take(&mut sent(&event.encode_to_vec())).is_some()
    }

    #[test]
    fn a_complete_event_passes_as_it_is() {
        let with = |set: fn(&mut proto::Event)| {
            let mut event = complete();
            set(&mut event);
            event
        };
        let events = [
            complete(),
            with(|e| e.payload = Some(Payload::Text("ö".into()))),
            with(|e| e.payload = Some(Payload::Text(String::new()))),
            with(|e| e.payload = Some(Payload::Data(Bytes::new()))),
            with(|e| e.payload = None),
            with(|e| (e.payload, e.data_content_type) = (None, String::new())),
            with(|e| e.time = Some(Timestamp::default())),
            with(|e| e.time = Some(Timestamp { seconds: 253_402_300_799, nanos: 999_999_999 })),
            with(|e| (e.subject, e.key) = ("ä".repeat(2000), "k".repeat(1024))),
            with(|e| e.data_schema = "https://example.com/order".into()),
            with(|e| e.extensions = [("traceparent".into(), "00-1-2-01".into())].into()),
            with(|e| e.extensions = [("empty".into(), String::new())].into()),
        ];
        for event in events {
            assert!(passes_as_it_is(&event), "{event:?}");
        }
    }

    #[test]
    fn what_the_door_would_change_or_refuse_does_not_pass_as_it_is() {
        type Set = fn(&mut proto::Event);
        let sets: [Set; 22] = [
            |e| e.id.clear(),
            |e| e.source.clear(),
            |e| e.r#type.clear(),
            |e| e.time = None,
            |e| e.data_content_type.clear(),
            |e| e.position = Some(proto::Position::default()),
            |e| e.publish_time = Some(Timestamp::default()),
            |e| e.payload = Some(Payload::Json(number(1.0))),
            |e| e.payload = Some(Payload::Proto(prost_types::Any::default())),
            |e| e.payload = Some(Payload::Data(vec![0; EVENT_BYTES_MAX].into())),
            |e| e.id = "a\0".into(),
            |e| e.id = "a".repeat(1025),
            |e| e.source = "a b".into(),
            |e| e.source = "a\u{2003}b".into(),
            |e| e.subject = "\u{FFFE}".into(),
            |e| e.data_schema = " ".into(),
            |e| e.data_content_type = "json".into(),
            |e| e.time = Some(Timestamp { seconds: 253_402_300_800, nanos: 0 }),
            |e| e.time = Some(Timestamp { seconds: 0, nanos: 1_000_000_000 }),
            |e| e.extensions = [("Bad".into(), "x".into())].into(),
            |e| e.extensions = [("id".into(), "x".into())].into(),
            |e| e.extensions = [("a".into(), "\0".into())].into(),
        ];
        for (case, set) in sets.iter().enumerate() {
            let mut event = complete();
            set(&mut event);
            assert!(!passes_as_it_is(&event), "case {case}");
        }
    }

    /// Prost would write each of them in another way than it came.
    #[test]
    fn an_event_in_another_form_does_not_pass_as_it_is() {
        let payload: &[u8] = b"\x52\x02{}";
        let until_payload = complete().encode_to_vec();
        let until_payload = until_payload.strip_suffix(payload).expect("it comes last");
        let all = |parts: &[&[u8]]| parts.concat();
        let time = |time: &[u8]| {
            let len = [time.len() as u8];
            all(&[b"\x0a\x017\x12\x02/a\x1a\x01t\x2a", &len, time])
        };
        assert!(Complete::take(&mut sent(&time(b"\x08\x01\x10\x01"))).is_some());
        let extension = |entry: &[u8]| all(&[until_payload, b"\x4a", &[entry.len() as u8], entry]);
        assert!(Complete::take(&mut sent(&extension(b"\x0a\x01a\x12\x01b"))).is_some());
        let other_forms = [
            ("a key that is empty", all(&[until_payload, b"\x42\x00", payload])),
            ("a key behind the payload", all(&[until_payload, payload, b"\x42\x01k"])),
            ("a key twice", all(&[until_payload, b"\x42\x01k\x42\x01k", payload])),
            ("a length of two bytes", all(&[until_payload, b"\x42\x81\x00k", payload])),
            ("a number of two bytes", all(&[until_payload, b"\xc2\x00\x01k", payload])),
            ("two payloads", all(&[until_payload, payload, b"\x5a\x00"])),
            ("a payload twice", all(&[until_payload, payload, payload])),
            ("an unknown field", all(&[until_payload, payload, b"\x82\x01\x00"])),
            ("an unknown number", all(&[until_payload, payload, b"\x80\x01\x00"])),
            ("no seconds", time(b"\x08\x00")),
            ("nanoseconds first", time(b"\x10\x01\x08\x01")),
            ("seconds twice", time(b"\x08\x01\x08\x01")),
            ("seconds of two bytes", time(b"\x08\x81\x00")),
            ("nanoseconds of 64 bits", time(b"\x10\x81\x80\x80\x80\x10")),
            ("an unknown field of the time", time(b"\x18\x01")),
            ("a value that is empty", extension(b"\x0a\x01a\x12\x00")),
            ("a value first", extension(b"\x12\x01b\x0a\x01a")),
            ("two values", extension(b"\x0a\x01a\x12\x01b\x12\x01b")),
            ("two extensions", all(&[&extension(b"\x0a\x01a"), b"\x4a\x03\x0a\x01b"])),
        ];
        for (what, bytes) in other_forms {
            assert!(proto::Event::decode(bytes.as_slice()).is_ok(), "{what} can be read");
            assert!(Complete::take(&mut sent(&bytes)).is_none(), "{what}");
        }
        let not_utf8 = [
            ("a payload", all(&[until_payload, b"\x5a\x01\xff"])),
            ("a key", all(&[until_payload, b"\x42\x01\xff"])),
            ("a value", extension(b"\x0a\x01a\x12\x01\xff")),
        ];
        for (what, bytes) in not_utf8 {
            assert!(Complete::take(&mut sent(&bytes)).is_none(), "{what}");
        }
    }

    #[test]
    fn an_event_holds_nothing_of_what_came_with_it_and_takes_no_more() {
        let event = complete().encode_to_vec();
        let came = sent(&event);
        let mut rest = came.clone();
        let taken = Complete::take(&mut rest).expect("complete");
        assert_eq!((&taken.encoded[..], &rest[..]), (&event[..], &b"behind"[..]));
        drop(rest);
        assert!(came.is_unique());

        let cut = came.slice(..event.len());
        let mut rest = cut.clone();
        assert!(Complete::take(&mut rest).is_none());
        assert_eq!(rest, cut, "left alone");
    }

    proptest! {
        /// What was let in once is let in again, unchanged, and reads as it was checked.
        #[test]
        fn an_admitted_event_is_what_its_bytes_say_and_is_admitted_again(event in any_event()) {
            match admit(event, &defaults()) {
                Ok(event) => {
                    let message = proto::Event::decode(event.encoded().clone()).expect("readable");
                    prop_assert_eq!(&message, &event.message());
                    // Not byte for byte: extensions stand in no order.
                    let again = admit(message, &defaults()).expect("again");
                    prop_assert_eq!(again.message(), event.message());
                }
                Err(error) => prop_assert!(!error.to_string().contains(char::is_control)),
            }
        }

        /// Which way an event goes makes no difference: neither for those that anybody may send, nor
        /// for bytes that come close to one.
        #[test]
        fn what_passes_as_it_is_the_door_would_have_written(
            event in any_event(),
            damage in proptest::collection::vec((any::<Index>(), 0..256u16, any::<bool>()), 0..3),
            moved in proptest::option::weighted(0.2, (any::<Index>(), any::<Index>())),
        ) {
            let mut bytes = event.encode_to_vec();
            for (at, byte, instead) in damage {
                let at = at.index(bytes.len() + 1);
                match bytes.get_mut(at) {
                    Some(place) if instead => *place = byte as u8,
                    _ => bytes.insert(at, byte as u8),
                }
            }
            if let Some((from, to)) = moved && !bytes.is_empty() {
                let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
                bytes.swap(from, to);
            }
            let Some(complete) = Complete::take(&mut sent(&bytes)) else { return Ok(()) };
            let as_it_is = admit_with_id(Incoming::Complete(complete), defaults);
            let message = proto::Event::decode(bytes.as_slice()).expect("readable");
            prop_assert_eq!(&as_it_is, &admit_with_id(message.into(), defaults));
            let (_, event) = as_it_is.expect("it passed");
            prop_assert_eq!(event.encoded(), &bytes);
        }

        /// What the door wrote passes as it is, so that a broker that publishes what it heard, and any
        /// client that writes as prost does, pays for nothing else.
        #[test]
        fn what_the_door_wrote_passes_as_it_is(mut event in any_event()) {
            // What it would be read for: a time before 1970, extensions in no order.
            event.time = None;
            let name = event.extensions.keys().next().cloned();
            event.extensions.retain(|other, _| Some(other) == name.as_ref());
            if let Ok(event) = admit(event, &defaults()) {
                prop_assert!(Complete::take(&mut sent(event.encoded())).is_some());
            }
        }
    }
}
