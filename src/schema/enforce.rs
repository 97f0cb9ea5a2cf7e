//! What a topic asks of its events: each is of a type that is registered and allowed there, and its data
//! is what the type says.

use std::sync::Arc;

use super::{
    Schemas, Version,
    check::{CheckError, NotExact, Problem},
};
use crate::{
    backend::{Enforcement, SchemaPolicy},
    event::{Data, Typed, Violation, is_json, is_protobuf, shortened},
    limits::{SCHEMA_PROBLEM_BYTES_MAX, SCHEMA_PROBLEMS_MAX},
};

/// What stands before a type's name in the URI of a schema that a broker has.
const SCHEMA_URI: &str = "tidings:schema/";
/// Names that an error lists at most.
const LISTED_MAX: usize = 5;

/// The version that an event follows. Otherwise all that is wrong, by fields of the event. `data`: what
/// its publisher said the data in, where that is none of `data` and `text`.
pub fn judge<'a>(
    policy: &SchemaPolicy,
    schemas: &'a Schemas,
    event: &Typed<'_>,
    data: Option<&'static str>,
) -> Result<&'a Arc<Version>, Vec<Violation>> {
    let name = event.event_type;
    if !policy.types.is_empty() && !policy.types.contains(name) {
        let types: Vec<_> = policy.types.iter().take(LISTED_MAX).map(String::as_str).collect();
        let more = if policy.types.len() > types.len() { ", …" } else { "" };
        let why = format!("is none that this topic takes: send {}{more}", types.join(", "));
        return one("type", why);
    }
    let version = newest(schemas, name)?;
    let checker = version.checker().map_err(|_| unreadable(version))?;
    schema_uri(schemas, event)?;
    let field = |own: &'static str| data.unwrap_or(own);
    let invalid = |error| violations(error, data.unwrap_or("data"));
    match event.data {
        Data::None => {
            let why = "is not there: send the message's bytes, be they none, or its JSON";
            return one("data", why);
        }
        Data::Bytes(bytes) if is_protobuf(event.content_type) => {
            checker.check(bytes, field("data")).map_err(invalid)?;
        }
        Data::Bytes(bytes) if is_json(event.content_type) => match std::str::from_utf8(bytes) {
            Ok(json) => drop(checker.read_json(json, field("data")).map_err(invalid)?),
            Err(_) => return one("data", "is not UTF-8, which JSON has to be"),
        },
        Data::Text(json) if is_json(event.content_type) => {
            drop(checker.read_json(json, field("text")).map_err(invalid)?);
        }
        Data::Text(_) => {
            let why = "must be application/json where the data is text: send JSON, or the \
                       message's bytes in data";
            return one("data_content_type", why);
        }
        Data::Bytes(_) => {
            let why = "must be application/protobuf or application/json: leave it out where data \
                       has the message's bytes";
            return one("data_content_type", why);
        }
    }
    Ok(version)
}

/// The bytes of what the JSON says, and the version that they follow.
pub fn transcode<'a>(
    schemas: &'a Schemas,
    type_name: &str,
    json: &str,
) -> Result<(Vec<u8>, &'a Arc<Version>), Vec<Violation>> {
    let version = newest(schemas, type_name)?;
    let checker = version.checker().map_err(|_| unreadable(version))?;
    let bytes = checker.read_json(json, "json").map_err(|error| violations(error, "json"))?;
    Ok((bytes, version))
}

/// Whether bytes may be shown as a message: whoever reads it as JSON then misses nothing.
pub fn is_exact(schemas: &Schemas, type_name: &str, bytes: &[u8]) -> bool {
    let Ok(version) = schemas.get(type_name, 0) else { return false };
    let Ok(checker) = version.checker() else { return false };
    let exact: Result<String, NotExact> = checker.write_json(bytes, "");
    exact.is_ok()
}

/// The first thing that is wrong, in one line.
pub fn reason(violations: &[Violation]) -> String {
    violations.first().map_or_else(String::new, |first| {
        let text = format!("{} {}", first.field, first.description);
        shortened(&text, SCHEMA_PROBLEM_BYTES_MAX)
    })
}

/// Whether anybody looks.
pub fn is_asked(policy: &SchemaPolicy) -> bool {
    policy.enforcement != Enforcement::Off
}

fn newest<'a>(schemas: &'a Schemas, name: &str) -> Result<&'a Arc<Version>, Vec<Violation>> {
    schemas.get(name, 0).map_err(|_| {
        let name = shortened(name, SCHEMA_PROBLEM_BYTES_MAX);
        let why = format!("{name} is not registered: register its schema, then publish again");
        vec![violation("type", why)]
    })
}

/// Whoever names a schema of ours names one that is there, and is of the event's type.
fn schema_uri(schemas: &Schemas, event: &Typed<'_>) -> Result<(), Vec<Violation>> {
    let Some(named) = event.schema.strip_prefix(SCHEMA_URI) else { return Ok(()) };
    let is_there = named.rsplit_once('/').is_some_and(|(name, version)| {
        let number = version.parse().ok().filter(|number| *number > 0);
        name == event.event_type && number.is_some_and(|n| schemas.get(name, n).is_ok())
    });
    match is_there {
        true => Ok(()),
        false => one("data_schema", "names no version of the event's type: leave it out"),
    }
}

pub(super) fn uri(type_name: &str, version: u32) -> String {
    format!("{SCHEMA_URI}{type_name}/{version}")
}

fn unreadable(version: &Version) -> Vec<Violation> {
    let number = version.number();
    let why = format!("has a version {number} that this broker cannot read: use a newer broker");
    vec![violation("type", why)]
}

fn violations(error: CheckError, field: &'static str) -> Vec<Violation> {
    match error {
        CheckError::Invalid { problems, .. } => problems
            .into_iter()
            .take(SCHEMA_PROBLEMS_MAX)
            .map(|Problem { path, message }| Violation {
                field: shortened(&path, SCHEMA_PROBLEM_BYTES_MAX),
                description: shortened(&message, SCHEMA_PROBLEM_BYTES_MAX),
            })
            .collect(),
        CheckError::RulesFailed { cause, .. } => {
            let cause = shortened(&cause, SCHEMA_PROBLEM_BYTES_MAX);
            vec![violation(field, format!("cannot be checked, its rules fail: {cause}"))]
        }
    }
}

fn one<T>(field: &str, description: impl Into<String>) -> Result<T, Vec<Violation>> {
    Err(vec![violation(field, description)])
}

fn violation(field: &str, description: impl Into<String>) -> Violation {
    Violation { field: field.to_owned(), description: description.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Compiled, Registry, compatibility::Json, registry::Candidate};

    const ORDER: &str = r#"syntax = "proto3"; package shop.v1;
        message OrderPlaced { string order_id = 1; repeated Item items = 2; }
        message Item { string sku = 1; double price = 2; }"#;

    fn shop() -> Registry {
        let registry = Registry::default();
        for type_name in ["shop.v1.OrderPlaced", "shop.v1.Item"] {
            let sources = [("shop.proto", ORDER.as_bytes())];
            let compiled = Compiled::from_sources(type_name, sources).expect("a schema");
            let candidate = Candidate {
                compiled,
                sources: Default::default(),
                compatibility: None,
                json: Json::Used,
                force: false,
            };
            registry.register(&candidate, Default::default()).expect("registered");
        }
        registry
    }

    fn policy(types: &[&str]) -> SchemaPolicy {
        let types = types.iter().map(ToString::to_string).collect();
        SchemaPolicy { enforcement: Enforcement::Reject, types }
    }

    fn event<'a>(event_type: &'a str, content_type: &'a str, data: Data<'a>) -> Typed<'a> {
        Typed { event_type, content_type, data, ..Typed::default() }
    }

    /// `field description` of the first violation; empty where there is none.
    fn wrong(types: &[&str], event: Typed<'_>) -> String {
        let schemas = shop().snapshot();
        let judged = judge(&policy(types), &schemas, &event, None);
        judged.map_or_else(|violations| reason(&violations), |_| String::new())
    }

    #[test]
    fn data_is_what_its_type_says_in_bytes_and_in_json() {
        let order = "shop.v1.OrderPlaced";
        for (content_type, data, expected) in [
            ("application/protobuf", Data::Bytes(b"\x0a\x011"), ""),
            ("application/x-protobuf; a=b", Data::Bytes(b""), ""),
            ("application/json", Data::Bytes(br#"{"orderId":"1"}"#), ""),
            ("application/vnd.shop+json", Data::Text(r#"{"items":[{"price":1.5}]}"#), ""),
            (
                "application/protobuf",
                Data::Bytes(b"\x12\x02\x10\x01"),
                "data.items[0].price is not",
            ),
            ("application/json", Data::Bytes(b"\xff"), "data is not UTF-8"),
            (
                "application/json",
                Data::Text(r#"{"items":[{},{"price":"x"}]}"#),
                "text.items[1].price ",
            ),
            ("application/json", Data::Text("hello"), "text "),
            ("text/plain", Data::Text("hello"), "data_content_type must be application/json"),
            ("application/octet-stream", Data::Bytes(b""), "data_content_type must be"),
            (
                "application/protobuf",
                Data::Text("{}"),
                "data_content_type must be application/json",
            ),
            ("", Data::None, "data is not there"),
        ] {
            let found = wrong(&[], event(order, content_type, data));
            assert!(found.starts_with(expected), "{content_type} {data:?}: {found:?}");
            assert_eq!(found.is_empty(), expected.is_empty(), "{content_type} {data:?}: {found:?}");
        }
    }

    #[test]
    fn a_type_is_registered_and_one_that_the_topic_takes() {
        let data = Data::Bytes(b"");
        let of = |name| event(name, "application/protobuf", data);
        let only = ["shop.v1.Item", "shop.v1.Refund"];
        assert_eq!(wrong(&only, of("shop.v1.Item")), "");
        let found = wrong(&only, of("shop.v1.OrderPlaced"));
        assert_eq!(found, "type is none that this topic takes: send shop.v1.Item, shop.v1.Refund");
        assert!(
            wrong(&only, of("shop.v1.Refund")).starts_with("type shop.v1.Refund is not registered")
        );
        assert!(wrong(&[], of("shop.v1.Order")).contains("register its schema"));
    }

    #[test]
    fn a_schema_of_ours_is_one_that_is_there() {
        let named = |schema| Typed {
            schema,
            ..event("shop.v1.Item", "application/protobuf", Data::Bytes(b""))
        };
        for schema in ["", "tidings:schema/shop.v1.Item/1", "https://shop.example/item"] {
            assert_eq!(wrong(&[], named(schema)), "", "{schema}");
        }
        for schema in [
            "tidings:schema/shop.v1.Item/0",
            "tidings:schema/shop.v1.Item/2",
            "tidings:schema/shop.v1.OrderPlaced/1",
            "tidings:schema/",
        ] {
            assert!(wrong(&[], named(schema)).starts_with("data_schema names no"), "{schema}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_in_few_bytes_whatever_was_sent() {
        let json = format!(r#"{{"{}":1}}"#, "x\\u0000".repeat(100_000));
        let found = wrong(&[], event("shop.v1.Item", "application/json", Data::Text(&json)));
        assert!(found.len() < 3 * SCHEMA_PROBLEM_BYTES_MAX, "{}", found.len());
        assert!(!found.contains(char::is_control), "{found:?}");
    }

    #[test]
    fn json_becomes_the_bytes_of_its_type_or_says_where_it_does_not() {
        let schemas = shop().snapshot();
        let (bytes, version) =
            transcode(&schemas, "shop.v1.OrderPlaced", r#"{"orderId":"1"}"#).expect("valid");
        assert_eq!(
            (bytes.as_slice(), version.uri()),
            (&b"\x0a\x011"[..], "tidings:schema/shop.v1.OrderPlaced/1")
        );
        let wrong = transcode(&schemas, "shop.v1.OrderPlaced", r#"{"total":1}"#).map(drop);
        assert!(reason(&wrong.expect_err("no such field")).starts_with("json"));
        assert!(is_exact(&schemas, "shop.v1.OrderPlaced", b"\x0a\x011"));
        assert!(!is_exact(&schemas, "shop.v1.OrderPlaced", b"\x9a\x06\x01x"), "an unknown field");
        assert!(!is_exact(&schemas, "shop.v1.Refund", b""));
    }
}
