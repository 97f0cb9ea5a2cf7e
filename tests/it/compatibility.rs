//! What a verdict says against what really happens: events written with one version, read with the
//! other.

use std::{collections::HashSet, env};

use fastrand::Rng;
use proptest::prelude::*;
use prost::Message;
use prost_reflect::{
    DeserializeOptions, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value,
};
use tidings::schema::{
    Compatibility,
    compatibility::{Json, Rule, Verdict, check},
};

use crate::support::random_schema::{Schema, event, is_closed};

/// A second or so; `PROPTEST_CASES` asks for more.
fn cases() -> u32 {
    let asked = env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    asked.unwrap_or(1000)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn what_is_accepted_loses_nothing_and_what_is_rejected_was_changed(
        seed in any::<u64>(),
        edits in 0..3,
    ) {
        let mut rng = Rng::with_seed(seed);
        let older = Schema::draw(&mut rng);
        let mut newer = older.clone();
        let mut may_break: HashSet<Rule> = HashSet::new();
        for _ in 0..edits {
            may_break.extend(newer.edit(&mut rng));
        }
        let (older, newer) = (older.compile("M0"), newer.compile("M0"));
        let (older, newer) = (older.message(), newer.message());
        for (compatibility, reader, writer) in [
            (Compatibility::Backward, newer, older),
            (Compatibility::Forward, older, newer),
        ] {
            for json in [Json::Used, Json::Unused] {
                let verdict = check([(1, older)], newer, compatibility, json);
                for found in &verdict.violations {
                    prop_assert!(may_break.contains(&found.rule), "{found:?}");
                }
                if !verdict.is_compatible() {
                    continue;
                }
                for _ in 0..6 {
                    let event = event(writer, 2, &mut rng);
                    let read = Reader { descriptor: reader, json, verdict: &verdict }.read(&event);
                    prop_assert!(read.is_ok(), "{compatibility:?} {json:?} {event}: {read:?} {verdict:?}");
                }
            }
        }
        let full = check([(1, older)], newer, Compatibility::Full, Json::Used);
        let one = |compatibility| check([(1, older)], newer, compatibility, Json::Used);
        let both = [Compatibility::Backward, Compatibility::Forward].map(one);
        prop_assert_eq!(full.is_compatible(), both.iter().all(Verdict::is_compatible));
    }
}

struct Reader<'a> {
    descriptor: &'a MessageDescriptor,
    json: Json,
    verdict: &'a Verdict,
}

/// What reads differently and was warned of.
#[derive(Default)]
struct Differs {
    narrowed: bool,
    unnamed: bool,
}

impl Reader<'_> {
    fn read(&self, event: &DynamicMessage) -> Result<(), String> {
        let read = DynamicMessage::decode(self.descriptor.clone(), &event.encode_to_vec()[..])
            .map_err(|error| error.to_string())?;
        let mut differs = Differs::default();
        same(&read, event, &mut differs)?;
        let warned = |rule| self.verdict.warnings.iter().any(|found| found.rule == rule);
        if differs.narrowed && !warned(Rule::FieldIntegerNarrowed) {
            return Err("narrowed without a warning".to_owned());
        }
        let told = warned(Rule::EnumValueAdded) || warned(Rule::EnumValueNameChanged);
        if differs.unnamed && !told {
            return Err("a name that is not known without a warning".to_owned());
        }
        if self.json == Json::Unused || differs.narrowed || differs.unnamed {
            return Ok(());
        }
        let text = serde_json::to_string(event).map_err(|error| error.to_string())?;
        let options = DeserializeOptions::new().deny_unknown_fields(false);
        let mut text = serde_json::Deserializer::from_str(&text);
        let read =
            DynamicMessage::deserialize_with_options(self.descriptor.clone(), &mut text, &options)
                .map_err(|error| error.to_string())?;
        same(&read, event, &mut differs)
    }
}

/// Compares what both know.
fn same(
    read: &DynamicMessage,
    written: &DynamicMessage,
    differs: &mut Differs,
) -> Result<(), String> {
    use prost_reflect::ReflectMessage;
    let (reader, writer) = (read.descriptor(), written.descriptor());
    for field in reader.fields() {
        if field.is_required() && !read.has_field(&field) {
            return Err(format!("{} is required", field.full_name()));
        }
    }
    for field in writer.fields() {
        let Some(own) = reader.get_field(field.number()) else { continue };
        if !written.has_field(&field) {
            continue;
        }
        let (own_value, value) = (read.get_field(&own), written.get_field(&field));
        same_values((&own, &own_value), (&field, &value), differs)
            .map_err(|error| format!("{}: {error}", field.full_name()))?;
    }
    Ok(())
}

type Typed<'a> = (&'a FieldDescriptor, &'a Value);

fn same_values(read: Typed<'_>, written: Typed<'_>, differs: &mut Differs) -> Result<(), String> {
    match (read.1, written.1) {
        (Value::List(own), Value::List(values)) if own.len() == values.len() => {
            let (own_kind, kind) = (read.0.kind(), written.0.kind());
            let mut pairs = own.iter().zip(values);
            pairs.try_for_each(|(own, value)| same_value((&own_kind, own), (&kind, value), differs))
        }
        (Value::Map(own), Value::Map(values)) if own.len() == values.len() => {
            let kind = |field: &FieldDescriptor| {
                let entry = field.kind().as_message().cloned().expect("a map has entries");
                entry.map_entry_value_field().kind()
            };
            let (own_kind, kind) = (kind(read.0), kind(written.0));
            values.iter().try_for_each(|(key, value)| {
                let same_key = |(own, _): &(&MapKey, &Value)| same_key(own) == same_key(key);
                let (_, own) = own.iter().find(same_key).ok_or_else(|| format!("no {key:?}"))?;
                same_value((&own_kind, own), (&kind, value), differs)
            })
        }
        (own @ (Value::List(_) | Value::Map(_)), value) => Err(format!("{own:?} for {value:?}")),
        (own, value) => same_value((&read.0.kind(), own), (&written.0.kind(), value), differs),
    }
}

fn same_key(key: &MapKey) -> String {
    match key {
        MapKey::String(text) => format!("{text:?}"),
        MapKey::Bool(of) => of.to_string(),
        MapKey::I32(of) => of.to_string(),
        MapKey::I64(of) => of.to_string(),
        MapKey::U32(of) => of.to_string(),
        MapKey::U64(of) => of.to_string(),
    }
}

fn same_value(
    (own_kind, own): (&Kind, &Value),
    (kind, value): (&Kind, &Value),
    differs: &mut Differs,
) -> Result<(), String> {
    if let (Value::Message(own), Value::Message(value)) = (own, value) {
        return same(own, value, differs);
    }
    if let (Some(own_number), Some(number)) = (integer(own), integer(value)) {
        if let (Kind::Enum(reader), Kind::Enum(writer), Ok(number)) =
            (own_kind, kind, i32::try_from(number))
        {
            let is_unknown = reader.get_value(number).is_none();
            if is_unknown && is_closed(reader) {
                return Err(format!("a closed enum does not know {number}"));
            }
            differs.unnamed |= is_unknown && writer.get_value(number).is_some();
        }
        if let (Kind::Enum(reader), Ok(number)) = (own_kind, i32::try_from(number))
            && is_closed(reader)
            && reader.get_value(number).is_none()
        {
            return Err(format!("a closed enum does not know {number}"));
        }
        differs.narrowed |= own_number != number;
        return Ok(());
    }
    let text = |value: &Value| {
        let text = value.as_str().map(|text| text.as_bytes().to_vec());
        text.or_else(|| value.as_bytes().map(|bytes| bytes.to_vec()))
    };
    match (text(own), text(value)) {
        (Some(own), Some(value)) if own == value => Ok(()),
        (None, None) if own == value => Ok(()),
        _ => Err(format!("{own:?} for {value:?}")),
    }
}

fn integer(value: &Value) -> Option<i128> {
    let of_32 = value.as_bool().map(i128::from).or(value.as_u32().map(i128::from));
    let signed = value.as_i32().or(value.as_enum_number()).map(i128::from);
    let of_64 = value.as_i64().map(i128::from).or(value.as_u64().map(i128::from));
    of_32.or(signed).or(of_64)
}
