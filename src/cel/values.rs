//! What an expression sees: values that borrow from what they are of, and are made when they are asked
//! for. Everything that is handed out is counted, by its size.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use cel::{
    ExecutionError,
    common::{
        traits::{Container, Indexer, Iterable, Iterator as ValIterator, Sizer},
        types::{
            CelBool, CelBytes, CelDouble, CelDuration, CelInt, CelList, CelNull, CelString,
            CelTimestamp, CelUInt, MAP_TYPE, Type,
        },
        value::{CowVal, Val},
    },
};
use chrono::{DateTime, TimeDelta};
use prost_reflect::{DynamicMessage, MapKey, MessageDescriptor, ReflectMessage as _, Value};
use regex::Regex;

use super::SET;
use crate::proto;

/// Of `event`, by the names that they have in the API.
pub(crate) const ATTRIBUTES: [&str; 10] = [
    "id",
    "source",
    "type",
    "subject",
    "time",
    "data_content_type",
    "data_schema",
    "key",
    "extensions",
    "publish_time",
];

/// So many bytes of a text count as one part of an expression.
const STEP_BYTES: usize = 64;
static MAP: Type = MAP_TYPE;

pub(crate) type Boxed<'v> = Box<dyn Val + 'v>;

/// How much an evaluation may still do. A step is about as much as one part of an expression takes.
#[derive(Debug)]
pub(crate) struct Budget {
    left: AtomicU32,
    /// Steps that the heaviest element of a list counted for, at least one: what a name of a loop
    /// stands for costs nothing when it is looked at again.
    heaviest: AtomicU32,
}

/// Something with names, or keys.
pub(crate) struct Object<'v> {
    source: Source<'v>,
    budget: &'v Budget,
    /// Made for loops over keys.
    keys: OnceLock<Vec<Boxed<'v>>>,
}

#[derive(Clone)]
pub(crate) enum Source<'v> {
    Event(&'v proto::Event),
    Extensions(&'v HashMap<String, String>),
    Json(&'v serde_json::Map<String, serde_json::Value>),
    Message(&'v DynamicMessage),
    /// A message that is not set: all of its fields have their defaults.
    Unset(MessageDescriptor),
    Map(&'v HashMap<MapKey, Value>),
    Empty,
}

/// What texts are compared with: `text in pattern`.
pub(crate) struct Pattern<'v> {
    pattern: &'v Regex,
    budget: &'v Budget,
}

struct Keys<'b, 'v> {
    rest: std::slice::Iter<'b, Boxed<'v>>,
}

impl Budget {
    pub(crate) fn new(steps: u32) -> Budget {
        Budget { left: AtomicU32::new(steps), heaviest: AtomicU32::new(1) }
    }

    /// None left means that too much was asked for.
    pub(crate) fn take(&self, steps: u32) -> Result<(), ExecutionError> {
        let left = self.left().saturating_sub(steps);
        self.left.store(left, Ordering::Relaxed);
        match left {
            0 => Err(ExecutionError::InternalError("it takes too much".into())),
            _ => Ok(()),
        }
    }

    pub(crate) fn left(&self) -> u32 {
        self.left.load(Ordering::Relaxed)
    }

    pub(crate) fn heaviest(&self) -> u32 {
        self.heaviest.load(Ordering::Relaxed)
    }

    fn hold_element(&self, weight: u32) {
        self.heaviest.fetch_max(weight, Ordering::Relaxed);
    }
}

fn weight_of(bytes: usize) -> u32 {
    u32::try_from(bytes / STEP_BYTES).unwrap_or(u32::MAX).saturating_add(1)
}

/// Elements, and what they count for together.
fn list<'v>(elements: impl Iterator<Item = (Boxed<'v>, u32)>, budget: &Budget) -> (Boxed<'v>, u32) {
    let mut all = 1_u32;
    let elements: Vec<_> = elements
        .map(|(element, weight)| {
            budget.hold_element(weight);
            all = all.saturating_add(weight);
            element
        })
        .collect();
    (Box::new(CelList::from(elements)), all)
}

/// Numbers are doubles, as everywhere where JSON is read.
pub(crate) fn json<'v>(value: &'v serde_json::Value, budget: &'v Budget) -> (Boxed<'v>, u32) {
    use serde_json::Value as Json;
    match value {
        Json::Null => (Box::new(CelNull), 1),
        Json::Bool(value) => (Box::new(CelBool::from(*value)), 1),
        Json::Number(number) => (Box::new(CelDouble::from(number.as_f64().unwrap_or(f64::NAN))), 1),
        Json::String(text) => (Box::new(CelString::from(text.as_str())), weight_of(text.len())),
        Json::Array(elements) => list(elements.iter().map(|element| json(element, budget)), budget),
        Json::Object(object) => (Box::new(Object::new(Source::Json(object), budget)), 1),
    }
}

/// None for a time that no calendar has.
pub(crate) fn of_proto<'v>(value: &'v Value, budget: &'v Budget) -> Option<(Boxed<'v>, u32)> {
    Some(match value {
        Value::String(text) => {
            (Box::new(CelString::from(text.as_str())) as Boxed<'_>, weight_of(text.len()))
        }
        Value::Bytes(bytes) => (Box::new(CelBytes::from(&bytes[..])), weight_of(bytes.len())),
        Value::Message(message) => (of_message(message, budget)?, 1),
        Value::List(values) => {
            let elements = values.iter().filter_map(|value| of_proto(value, budget));
            list(elements, budget)
        }
        Value::Map(map) => (Box::new(Object::new(Source::Map(map), budget)), 1),
        Value::Bool(_)
        | Value::I32(_)
        | Value::I64(_)
        | Value::U32(_)
        | Value::U64(_)
        | Value::F32(_)
        | Value::F64(_)
        | Value::EnumNumber(_) => (number(value)?, 1),
    })
}

/// Of what takes no memory elsewhere.
fn number<'v>(value: &Value) -> Option<Boxed<'v>> {
    Some(match value {
        Value::Bool(value) => Box::new(CelBool::from(*value)),
        Value::I32(value) | Value::EnumNumber(value) => {
            Box::new(CelInt::from(i64::from(*value))) as Boxed<'v>
        }
        Value::I64(value) => Box::new(CelInt::from(*value)),
        Value::U32(value) => Box::new(CelUInt::from(u64::from(*value))),
        Value::U64(value) => Box::new(CelUInt::from(*value)),
        Value::F32(value) => Box::new(CelDouble::from(f64::from(*value))),
        Value::F64(value) => Box::new(CelDouble::from(*value)),
        Value::String(_) | Value::Bytes(_) | Value::Message(_) | Value::List(_) | Value::Map(_) => {
            return None;
        }
    })
}

/// The value of a field that is not set.
fn default<'v>(value: Value, budget: &'v Budget) -> Option<Boxed<'v>> {
    Some(match value {
        Value::String(text) => Box::new(CelString::from(text)) as Boxed<'v>,
        Value::Bytes(bytes) => Box::new(CelBytes::from(bytes.to_vec())),
        Value::List(_) => Box::new(CelList::from(Vec::new())),
        Value::Map(_) => Box::new(Object::new(Source::Empty, budget)),
        Value::Message(message) => {
            let descriptor = message.descriptor();
            match WellKnown::of(descriptor.full_name()) {
                Some(WellKnown::Time) => Box::new(CelTimestamp::from(time(0, 0)?)),
                Some(WellKnown::Duration) => Box::new(CelDuration::from(TimeDelta::zero())),
                Some(WellKnown::Wrapper | WellKnown::Json) => Box::new(CelNull),
                Some(WellKnown::JsonList) => Box::new(CelList::from(Vec::new())),
                Some(WellKnown::JsonObject) => Box::new(Object::new(Source::Empty, budget)),
                None => Box::new(Object::new(Source::Unset(descriptor), budget)),
            }
        }
        scalar @ (Value::Bool(_)
        | Value::I32(_)
        | Value::I64(_)
        | Value::U32(_)
        | Value::U64(_)
        | Value::F32(_)
        | Value::F64(_)
        | Value::EnumNumber(_)) => return number(&scalar),
    })
}

/// Messages that CEL has values for.
enum WellKnown {
    Time,
    Duration,
    Wrapper,
    Json,
    JsonList,
    JsonObject,
}

impl WellKnown {
    fn of(name: &str) -> Option<WellKnown> {
        Some(match name.strip_prefix("google.protobuf.")? {
            "Timestamp" => WellKnown::Time,
            "Duration" => WellKnown::Duration,
            "Value" => WellKnown::Json,
            "ListValue" => WellKnown::JsonList,
            "Struct" => WellKnown::JsonObject,
            "DoubleValue" | "FloatValue" | "Int64Value" | "UInt64Value" | "Int32Value"
            | "UInt32Value" | "BoolValue" | "StringValue" | "BytesValue" => WellKnown::Wrapper,
            _ => return None,
        })
    }
}

pub(crate) fn of_message<'v>(message: &'v DynamicMessage, budget: &'v Budget) -> Option<Boxed<'v>> {
    let seconds_and_nanos = || {
        let field = |name| message.get_field_by_name(name).map(|value| value.into_owned());
        let seconds = field("seconds")?.as_i64()?;
        Some((seconds, field("nanos")?.as_i32()?))
    };
    let only = |name| match message.get_field_by_name(name)? {
        std::borrow::Cow::Borrowed(value) => {
            let (value, weight) = of_proto(value, budget)?;
            budget.take(weight).ok()?;
            Some(value)
        }
        std::borrow::Cow::Owned(value) => default(value, budget),
    };
    Some(match WellKnown::of(message.descriptor().full_name()) {
        None => Box::new(Object::new(Source::Message(message), budget)),
        Some(WellKnown::Time) => {
            let (seconds, nanos) = seconds_and_nanos()?;
            Box::new(CelTimestamp::from(time(seconds, nanos)?))
        }
        Some(WellKnown::Duration) => {
            let (seconds, nanos) = seconds_and_nanos()?;
            let whole = TimeDelta::try_seconds(seconds)?;
            Box::new(CelDuration::from(whole.checked_add(&TimeDelta::nanoseconds(nanos.into()))?))
        }
        Some(WellKnown::Wrapper) => only("value")?,
        Some(WellKnown::JsonList) => only("values")?,
        Some(WellKnown::JsonObject) => only("fields")?,
        Some(WellKnown::Json) => match message.fields().next() {
            None => Box::new(CelNull),
            Some((field, _)) if field.name() == "null_value" => Box::new(CelNull),
            Some((_, value)) => {
                let (value, weight) = of_proto(value, budget)?;
                budget.take(weight).ok()?;
                value
            }
        },
    })
}

pub(crate) fn time_value<'v>(time: DateTime<chrono::FixedOffset>) -> Boxed<'v> {
    Box::new(CelTimestamp::from(time))
}

fn time(seconds: i64, nanos: i32) -> Option<DateTime<chrono::FixedOffset>> {
    let time = DateTime::from_timestamp(seconds, u32::try_from(nanos).ok()?)?;
    Some(time.fixed_offset())
}

impl<'v> Object<'v> {
    pub(crate) fn new(source: Source<'v>, budget: &'v Budget) -> Object<'v> {
        Object { source, budget, keys: OnceLock::new() }
    }

    fn text(&self, text: &'v str) -> Result<Boxed<'v>, ExecutionError> {
        self.budget.take(weight_of(text.len()))?;
        Ok(Box::new(CelString::from(text)))
    }

    fn field(&self, name: &str) -> Result<Boxed<'v>, ExecutionError> {
        self.budget.take(1)?;
        if let Some(name) = name.strip_suffix(SET) {
            return match self.has(name)? {
                true => Ok(Box::new(CelBool::from(true))),
                false => Err(ExecutionError::no_such_key(name)),
            };
        }
        let missing = || ExecutionError::no_such_key(name);
        let (value, weight) = match &self.source {
            Source::Event(event) => return self.attribute(event, name),
            Source::Extensions(all) => return self.text(all.get(name).ok_or_else(missing)?),
            Source::Json(object) => json(object.get(name).ok_or_else(missing)?, self.budget),
            Source::Message(message) => {
                match message.get_field_by_name(name).ok_or_else(missing)? {
                    std::borrow::Cow::Borrowed(value) => {
                        of_proto(value, self.budget).ok_or_else(missing)?
                    }
                    std::borrow::Cow::Owned(value) => {
                        (default(value, self.budget).ok_or_else(missing)?, 1)
                    }
                }
            }
            Source::Unset(descriptor) => {
                let field = descriptor.get_field_by_name(name).ok_or_else(missing)?;
                let value = Value::default_value_for_field(&field);
                (default(value, self.budget).ok_or_else(missing)?, 1)
            }
            Source::Map(map) => {
                let value = map.get(&MapKey::String(name.to_owned())).ok_or_else(missing)?;
                of_proto(value, self.budget).ok_or_else(missing)?
            }
            Source::Empty => return Err(missing()),
        };
        self.budget.take(weight)?;
        Ok(value)
    }

    fn attribute(&self, event: &'v proto::Event, name: &str) -> Result<Boxed<'v>, ExecutionError> {
        let missing = || ExecutionError::no_such_key(name);
        let stamp = |stamp: Option<prost_types::Timestamp>| -> Result<Boxed<'v>, ExecutionError> {
            let time = stamp.and_then(|stamp| time(stamp.seconds, stamp.nanos));
            Ok(Box::new(CelTimestamp::from(time.ok_or_else(missing)?)))
        };
        match name {
            "id" => self.text(&event.id),
            "source" => self.text(&event.source),
            "type" => self.text(&event.r#type),
            "subject" => self.text(&event.subject),
            "time" => stamp(event.time),
            "data_content_type" => self.text(&event.data_content_type),
            "data_schema" => self.text(&event.data_schema),
            "key" => self.text(&event.key),
            "extensions" => {
                Ok(Box::new(Object::new(Source::Extensions(&event.extensions), self.budget)))
            }
            "publish_time" => stamp(event.publish_time),
            _ => Err(missing()),
        }
    }

    /// A field that no message has is a mistake; a key that a map does not have is not.
    fn has(&self, name: &str) -> Result<bool, ExecutionError> {
        let missing = || ExecutionError::UnexpectedType {
            got: "a message without it".into(),
            want: name.to_owned(),
        };
        Ok(match &self.source {
            Source::Event(event) => match name {
                "id" => !event.id.is_empty(),
                "source" => !event.source.is_empty(),
                "type" => !event.r#type.is_empty(),
                "subject" => !event.subject.is_empty(),
                "time" => event.time.is_some(),
                "data_content_type" => !event.data_content_type.is_empty(),
                "data_schema" => !event.data_schema.is_empty(),
                "key" => !event.key.is_empty(),
                "extensions" => !event.extensions.is_empty(),
                "publish_time" => event.publish_time.is_some(),
                _ => false,
            },
            Source::Extensions(all) => all.contains_key(name),
            Source::Json(object) => object.contains_key(name),
            Source::Message(message) => {
                let field = message.descriptor().get_field_by_name(name).ok_or_else(missing)?;
                message.has_field(&field)
            }
            Source::Unset(descriptor) => {
                descriptor.get_field_by_name(name).ok_or_else(missing)?;
                false
            }
            Source::Map(map) => map.contains_key(&MapKey::String(name.to_owned())),
            Source::Empty => false,
        })
    }

    /// Of a map whose keys are no texts.
    fn entry(&self, key: &dyn Val) -> Result<Option<Boxed<'v>>, ExecutionError> {
        self.budget.take(1)?;
        let Source::Map(map) = &self.source else { return Ok(None) };
        let Some(value) = candidates(key).iter().find_map(|key| map.get(key)) else {
            return Ok(None);
        };
        let Some((value, weight)) = of_proto(value, self.budget) else { return Ok(None) };
        self.budget.take(weight)?;
        Ok(Some(value))
    }

    fn len(&self) -> usize {
        match &self.source {
            Source::Event(_) => ATTRIBUTES.len(),
            Source::Extensions(all) => all.len(),
            Source::Json(object) => object.len(),
            Source::Message(message) => message.fields().count(),
            Source::Unset(_) | Source::Empty => 0,
            Source::Map(map) => map.len(),
        }
    }

    fn keys(&self) -> &Vec<Boxed<'v>> {
        self.keys.get_or_init(|| {
            let text = |text: &'v str| {
                (Box::new(CelString::from(text)) as Boxed<'v>, weight_of(text.len()))
            };
            let keys: Vec<(Boxed<'v>, u32)> = match &self.source {
                Source::Extensions(all) => all.keys().map(|key| text(key)).collect(),
                Source::Json(object) => object.keys().map(|key| text(key)).collect(),
                Source::Map(map) => map
                    .keys()
                    .map(|key| match key {
                        MapKey::String(key) => text(key),
                        MapKey::Bool(key) => (Box::new(CelBool::from(*key)) as Boxed<'v>, 1),
                        MapKey::I32(key) => {
                            (Box::new(CelInt::from(i64::from(*key))) as Boxed<'v>, 1)
                        }
                        MapKey::I64(key) => (Box::new(CelInt::from(*key)) as Boxed<'v>, 1),
                        MapKey::U32(key) => {
                            (Box::new(CelUInt::from(u64::from(*key))) as Boxed<'v>, 1)
                        }
                        MapKey::U64(key) => (Box::new(CelUInt::from(*key)) as Boxed<'v>, 1),
                    })
                    .collect(),
                Source::Event(_) | Source::Message(_) | Source::Unset(_) | Source::Empty => {
                    Vec::new()
                }
            };
            let weights = keys.iter().map(|(_, weight)| *weight);
            weights.clone().for_each(|weight| self.budget.hold_element(weight));
            // Each turn is counted again; an error now would be one then.
            let _ = self.budget.take(weights.fold(0, u32::saturating_add));
            keys.into_iter().map(|(key, _)| key).collect()
        })
    }
}

/// As which a key may stand in a map.
fn candidates(key: &dyn Val) -> Vec<MapKey> {
    let of_int = |value: i64| {
        let mut keys = vec![MapKey::I64(value)];
        keys.extend(i32::try_from(value).ok().map(MapKey::I32));
        keys.extend(u32::try_from(value).ok().map(MapKey::U32));
        keys.extend(u64::try_from(value).ok().map(MapKey::U64));
        keys
    };
    if let Some(key) = key.downcast_ref::<CelInt>() {
        return of_int(*key.inner());
    }
    if let Some(key) = key.downcast_ref::<CelUInt>() {
        return match i64::try_from(*key.inner()) {
            Ok(value) => of_int(value),
            Err(_) => vec![MapKey::U64(*key.inner())],
        };
    }
    match key.downcast_ref::<CelBool>() {
        Some(key) => vec![MapKey::Bool(*key.inner())],
        None => Vec::new(),
    }
}

impl Val for Object<'_> {
    fn get_type(&self) -> &Type {
        &MAP
    }

    fn cel_type() -> &'static Type {
        &MAP
    }

    fn as_container(&self) -> Option<&dyn Container> {
        Some(self)
    }

    fn as_indexer<'b, 'v>(&'b self) -> Option<&'b (dyn Indexer + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn as_iterable<'b, 'v>(&'b self) -> Option<&'b (dyn Iterable + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn as_sizer(&self) -> Option<&dyn Sizer> {
        Some(self)
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
    where
        Self: 'v,
    {
        Box::new(Object::new(self.source.clone(), self.budget))
    }
}

impl Indexer for Object<'_> {
    fn get<'b, 'v>(&'b self, key: &dyn Val) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        let value: Boxed<'v> = match key.downcast_ref::<CelString<'_>>() {
            Some(name) => self.field(name.inner())?,
            None => {
                let missing = || ExecutionError::no_such_key("there is no such key");
                self.entry(key)?.ok_or_else(missing)?
            }
        };
        Ok(CowVal::Owned(value))
    }

    fn steal<'v>(self: Box<Self>, key: &dyn Val) -> Result<Box<dyn Val + 'v>, ExecutionError>
    where
        Self: 'v,
    {
        self.get(key).map(CowVal::into_owned)
    }
}

impl Container for Object<'_> {
    fn contains(&self, key: &dyn Val) -> Result<bool, ExecutionError> {
        match key.downcast_ref::<CelString<'_>>() {
            Some(name) => {
                self.budget.take(1)?;
                self.has(name.inner())
            }
            None => Ok(self.entry(key)?.is_some()),
        }
    }
}

impl Sizer for Object<'_> {
    fn size(&self) -> CelInt {
        CelInt::from(i64::try_from(self.len()).unwrap_or(i64::MAX))
    }
}

impl Iterable for Object<'_> {
    fn iter<'b, 'v>(&'b self) -> Box<dyn ValIterator<'b, 'v> + 'b>
    where
        Self: 'v,
    {
        Box::new(Keys { rest: self.keys().iter() })
    }
}

impl<'b, 'v, 'w> ValIterator<'b, 'w> for Keys<'b, 'v>
where
    'v: 'w,
{
    fn next(&mut self) -> Option<&'b (dyn Val + 'w)> {
        let key = self.rest.next()?;
        Some(&**key)
    }
}

impl<'v> Pattern<'v> {
    pub(crate) fn new(pattern: &'v Regex, budget: &'v Budget) -> Pattern<'v> {
        Pattern { pattern, budget }
    }
}

impl Val for Pattern<'_> {
    fn get_type(&self) -> &Type {
        &MAP
    }

    fn cel_type() -> &'static Type {
        &MAP
    }

    fn as_container(&self) -> Option<&dyn Container> {
        Some(self)
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
    where
        Self: 'v,
    {
        Box::new(Pattern { pattern: self.pattern, budget: self.budget })
    }
}

impl Container for Pattern<'_> {
    /// One step for each byte: the worst patterns take microseconds for one.
    fn contains(&self, text: &dyn Val) -> Result<bool, ExecutionError> {
        let Some(text) = text.downcast_ref::<CelString<'_>>() else {
            let got = text.get_type().name().to_owned();
            return Err(ExecutionError::UnexpectedType { got, want: "string".into() });
        };
        let bytes = u32::try_from(text.inner().len()).unwrap_or(u32::MAX);
        self.budget.take(bytes.saturating_add(1))?;
        Ok(self.pattern.is_match(text.inner()))
    }
}

impl fmt::Debug for Object<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("object")
    }
}

impl fmt::Debug for Pattern<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("pattern")
    }
}
