//! How events can be shown: as they are stored, as JSON, or without their data.

use std::collections::BTreeMap;

use prost_types::{ListValue, Struct, Value, value::Kind};
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::{
    event::is_json,
    limits::JSON_DEPTH_MAX,
    proto::{self, event::Payload},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum View {
    #[default]
    AsStored,
    Json,
    Metadata,
}

/// Without the data.
pub fn metadata(mut event: proto::Event) -> Option<proto::Event> {
    event.payload = None;
    Some(event)
}

/// With the data in `json`, where it is JSON and nothing is lost that way.
pub fn json(mut event: proto::Event) -> Option<proto::Event> {
    if !is_json(&event.data_content_type) {
        return None;
    }
    let value = match event.payload.as_ref()? {
        Payload::Text(text) => value(text)?,
        Payload::Data(data) => value(std::str::from_utf8(data).ok()?)?,
        Payload::Json(_) | Payload::Proto(_) => return None,
    };
    event.payload = Some(Payload::Json(value));
    Some(event)
}

/// The JSON as a message, where it says the same: no name twice in an object, every number one
/// that a double can hold, nothing nested deeper than decoders go.
fn value(text: &str) -> Option<Value> {
    if !numbers(text).all(survives) {
        return None;
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Lossless { depth: JSON_DEPTH_MAX }.deserialize(&mut deserializer).ok()?;
    deserializer.end().ok()?;
    Some(value)
}

/// The numbers of a JSON text, as they are written.
fn numbers(text: &str) -> impl Iterator<Item = &str> {
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        let mut in_string = false;
        while let Some(&byte) = bytes.get(at) {
            match byte {
                b'\\' if in_string => at += 1,
                b'"' => in_string = !in_string,
                b'-' | b'0'..=b'9' if !in_string => {
                    let part = |b: &u8| b.is_ascii_digit() || b"+-.eE".contains(b);
                    let length = bytes[at..].iter().take_while(|b| part(b)).count();
                    at += length;
                    return Some(&text[at - length..at]);
                }
                _ => (),
            }
            at += 1;
        }
        None
    })
}

/// Whether a number is the same after a trip through a double: its shortest form has the same
/// digits. Whole numbers beyond 2^53 are refused even where they happen to fit.
fn survives(number: &str) -> bool {
    const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
    let Ok(double) = number.parse::<f64>() else { return false };
    let whole = !number.contains(['.', 'e', 'E']);
    double.is_finite()
        && !(whole && double.abs() > WHOLE_MAX)
        && digits(number) == digits(&format!("{double:e}"))
}

/// The significant digits, and the power of ten that the first of them stands for.
fn digits(number: &str) -> Option<(String, i64)> {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{}{fraction}", whole.trim_start_matches('-'));
    let significant = all.trim_start_matches('0');
    if significant.is_empty() {
        return Some((String::new(), 0));
    }
    let zeros = all.len() - significant.len();
    let power = whole.trim_start_matches('-').len() as i64 - 1 - zeros as i64;
    let exponent: i64 = exponent.parse().ok()?;
    Some((significant.trim_end_matches('0').to_owned(), power.checked_add(exponent)?))
}

/// Builds a `google.protobuf.Value` and gives up where it would lose something.
#[derive(Clone, Copy)]
struct Lossless {
    depth: usize,
}

impl Lossless {
    fn inside<E: de::Error>(self) -> Result<Lossless, E> {
        let depth = self.depth.checked_sub(1).ok_or_else(|| E::custom("nested too deep"))?;
        Ok(Lossless { depth })
    }
}

fn of<E>(kind: Kind) -> Result<Value, E> {
    Ok(Value { kind: Some(kind) })
}

impl<'de> DeserializeSeed<'de> for Lossless {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Lossless {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        of(Kind::NullValue(0))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        of(Kind::BoolValue(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        of(Kind::NumberValue(value as f64))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        of(Kind::NumberValue(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        of(Kind::NumberValue(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        of(Kind::StringValue(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(inside)? {
            values.push(value);
        }
        of(Kind::ListValue(ListValue { values }))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut fields = BTreeMap::new();
        while let Some(name) = object.next_key::<String>()? {
            let value = object.next_value_seed(inside)?;
            if fields.insert(name, value).is_some() {
                return Err(de::Error::custom("a name stands twice in an object"));
            }
        }
        of(Kind::StructValue(Struct { fields }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str, media_type: &str) -> Option<proto::Event> {
        json(proto::Event {
            data_content_type: media_type.into(),
            payload: Some(Payload::Text(text.into())),
            ..Default::default()
        })
    }

    #[test]
    fn json_is_shown_where_it_loses_nothing() {
        for text in [
            "1",
            "-0",
            "0.1",
            "1.50",
            "1e3",
            "100000",
            "9007199254740992",
            r#"{"a":[1,2.5,null,true,"x \" 9007199254740993"]}"#,
            "\"\"",
            " [] ",
        ] {
            assert!(shown(text, "application/json").is_some(), "{text} is not shown");
        }
        for text in [
            "",
            "{",
            "1 2",
            "9007199254740993",
            "9007199254740994",
            "12345678901234567890123",
            "0.10000000000000000001",
            "1e400",
            r#"{"a":1,"a":2}"#,
            &"[".repeat(40),
            &format!("{}{}", "[".repeat(40), "]".repeat(40)),
        ] {
            assert!(shown(text, "application/json").is_none(), "{text} is shown");
        }
    }

    #[test]
    fn only_json_is_shown_as_json() {
        assert!(shown("1", "application/vnd.shop+json; charset=utf-8").is_some());
        assert!(shown("1", "text/plain").is_none());
        assert!(shown("1", "").is_none());
    }

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            (-1_000_000..1_000_000i64).prop_map(Into::into),
            any::<f64>().prop_map(Into::into),
            any::<String>().prop_map(Into::into),
        ];
        leaf.prop_recursive(6, 40, 6, |inside| {
            prop_oneof![
                proptest::collection::vec(inside.clone(), 0..6).prop_map(Into::into),
                proptest::collection::hash_map(any::<String>(), inside, 0..6).prop_map(|object| {
                    object.into_iter().collect::<serde_json::Map<_, _>>().into()
                }),
            ]
        })
    }

    fn said(value: &Value) -> serde_json::Value {
        match value.kind.as_ref().expect("a kind") {
            Kind::NullValue(_) => serde_json::Value::Null,
            Kind::BoolValue(value) => (*value).into(),
            Kind::NumberValue(value) => (*value).into(),
            Kind::StringValue(value) => value.as_str().into(),
            Kind::ListValue(list) => list.values.iter().map(said).collect(),
            Kind::StructValue(object) => {
                object.fields.iter().map(|(name, value)| (name.clone(), said(value))).collect()
            }
        }
    }

    /// Every number as the double that it is.
    fn doubles(value: &serde_json::Value) -> serde_json::Value {
        match value {
            serde_json::Value::Number(number) => number.as_f64().into(),
            serde_json::Value::Array(list) => list.iter().map(doubles).collect(),
            serde_json::Value::Object(object) => {
                object.iter().map(|(name, value)| (name.clone(), doubles(value))).collect()
            }
            serde_json::Value::Null | serde_json::Value::Bool(_) | serde_json::Value::String(_) => {
                value.clone()
            }
        }
    }

    proptest! {
        #[test]
        fn any_json_that_is_shown_says_the_same(json in any_json()) {
            let text = json.to_string();
            let Some(event) = shown(&text, "application/json") else { return Ok(()) };
            let Some(Payload::Json(value)) = event.payload else { panic!("not shown as JSON") };
            prop_assert_eq!(said(&value), doubles(&json));
        }
    }
}
