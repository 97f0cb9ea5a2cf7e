//! Payloads as people write them, and what is stored of them.

use prost_types::value::Kind;

use super::{Check, shown, typed::is_protobuf};
use crate::proto::{self, event::Payload};

/// Turns the payloads for people, `proto` and `json`, into what is stored.
pub(super) fn settle(event: &mut proto::Event, check: &mut Check) {
    let (payload, content_type) = match event.payload.take() {
        None => return,
        Some(Payload::Data(data)) => (Payload::Data(data), "application/octet-stream"),
        Some(Payload::Text(text)) => (Payload::Text(text), "text/plain"),
        Some(Payload::Json(value)) => match json_text(&value) {
            Ok(text) => (Payload::Text(text), "application/json"),
            Err(why) => return check.violation("json", why),
        },
        Some(Payload::Proto(any)) => {
            let name = any.type_url.rsplit('/').next().unwrap_or_default().to_owned();
            if name.is_empty() {
                return check.violation("proto", "has no type: send \"@type\" with the message");
            }
            if !event.data_content_type.is_empty() && !is_protobuf(&event.data_content_type) {
                let why = "differs from what proto is, application/protobuf: leave it out";
                return check.violation("data_content_type", why);
            }
            if event.r#type.is_empty() {
                event.r#type = name;
            } else if event.r#type != name {
                return check
                    .violation("type", format!("differs from the message's, {}", shown(&name)));
            }
            (Payload::Data(any.value.into()), "application/protobuf")
        }
    };
    event.payload = Some(payload);
    if event.data_content_type.is_empty() {
        event.data_content_type = content_type.to_owned();
    }
}

/// JSON text of a `google.protobuf.Value`. Whole numbers are written as whole numbers: a double
/// that came from `1` must not come back as `1.0`.
pub(crate) fn json_text(value: &prost_types::Value) -> Result<String, &'static str> {
    serde_json::to_string(&json_value(value)?).map_err(|_| "cannot be written as JSON")
}

fn json_value(value: &prost_types::Value) -> Result<serde_json::Value, &'static str> {
    Ok(match &value.kind {
        None | Some(Kind::NullValue(_)) => serde_json::Value::Null,
        Some(Kind::BoolValue(b)) => (*b).into(),
        Some(Kind::StringValue(s)) => s.as_str().into(),
        Some(Kind::NumberValue(n)) => json_number(*n)?,
        Some(Kind::ListValue(list)) => {
            list.values.iter().map(json_value).collect::<Result<Vec<_>, _>>()?.into()
        }
        Some(Kind::StructValue(object)) => object
            .fields
            .iter()
            .map(|(name, value)| Ok((name.clone(), json_value(value)?)))
            .collect::<Result<serde_json::Map<_, _>, &'static str>>()?
            .into(),
    })
}

fn json_number(number: f64) -> Result<serde_json::Value, &'static str> {
    const WHOLE_MAX: f64 = 9_007_199_254_740_992.0; // 2^53
    if number.fract() == 0.0 && number.abs() <= WHOLE_MAX {
        return Ok((number as i64).into());
    }
    let number = serde_json::Number::from_f64(number);
    number.map(serde_json::Value::Number).ok_or("holds a number that is not finite")
}
