//! What is said of one topic: which values it may have, in a file or over the API, and how it is
//! kept by the backend.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::Bytes;
use prost::Message as _;

use super::Rule;
use crate::{
    backend::{BridgeMode, Enforcement, Mode},
    limits::{
        ATTRIBUTE_BYTES_MAX, CHANNEL_BYTES_MAX, DEDUPE_WINDOW_MAX, DURABLE_LIMIT_MAX,
        HISTORY_EVENTS_MAX, LABEL_BYTES_MAX, LABELS_MAX, REPLICAS_MAX, RETENTION_AGE_MIN,
        SCHEMA_TYPE_NAME_BYTES_MAX, TOPIC_TYPES_MAX,
    },
    proto,
    topic::Topic,
};

/// What was said of one topic over the API. What was not said is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its pattern is the topic's name.
    pub rule: Rule,
    pub labels: BTreeMap<String, String>,
}

/// What may be said of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Field {
    Mode,
    MaxEvents,
    MaxBytes,
    MaxAge,
    DedupeWindow,
    Replicas,
    Bridge,
    Channel,
    DefaultType,
    Enforcement,
    Types,
    Labels,
}

/// A value that a topic cannot have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Unfit {
    pub field: Field,
    pub why: String,
}

/// Some fields of a topic, to be said anew; one without a value is said no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub fields: Vec<Field>,
    pub wanted: Wanted,
}

impl Field {
    pub const ALL: [Field; 12] = [
        Field::Mode,
        Field::MaxEvents,
        Field::MaxBytes,
        Field::MaxAge,
        Field::DedupeWindow,
        Field::Replicas,
        Field::Bridge,
        Field::Channel,
        Field::DefaultType,
        Field::Enforcement,
        Field::Types,
        Field::Labels,
    ];

    /// In a `tidings.v1.Topic`.
    pub fn path(self) -> &'static str {
        match self {
            Field::Mode => "mode",
            Field::MaxEvents => "retention.max_events",
            Field::MaxBytes => "retention.max_bytes",
            Field::MaxAge => "retention.max_age",
            Field::DedupeWindow => "dedupe_window",
            Field::Replicas => "replicas",
            Field::Bridge => "bridge.mode",
            Field::Channel => "bridge.channel",
            Field::DefaultType => "default_type",
            Field::Enforcement => "schema.enforcement",
            Field::Types => "schema.types",
            Field::Labels => "labels",
        }
    }

    /// Those that a path of a field mask names; none where it names nothing that can be set.
    pub fn at(path: &str) -> Vec<Field> {
        let is_at = |field: &Field| {
            let rest = field.path().strip_prefix(path);
            path == "*" || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        Field::ALL.into_iter().filter(is_at).collect()
    }
}

impl Change {
    pub fn apply(self, to: &mut Wanted) {
        let Change { fields, wanted: Wanted { rule, labels } } = self;
        for field in fields {
            match field {
                Field::Mode => to.rule.mode = rule.mode,
                Field::MaxEvents => to.rule.max_events = rule.max_events,
                Field::MaxBytes => to.rule.max_bytes = rule.max_bytes,
                Field::MaxAge => to.rule.max_age = rule.max_age,
                Field::DedupeWindow => to.rule.dedupe_window = rule.dedupe_window,
                Field::Replicas => to.rule.replicas = rule.replicas,
                Field::Bridge => to.rule.bridge = rule.bridge,
                Field::Channel => to.rule.channel.clone_from(&rule.channel),
                Field::DefaultType => to.rule.default_type.clone_from(&rule.default_type),
                Field::Enforcement => to.rule.enforcement = rule.enforcement,
                Field::Types => to.rule.types.clone_from(&rule.types),
                Field::Labels => to.labels.clone_from(&labels),
            }
        }
    }
}

impl Wanted {
    /// Nothing was said.
    pub fn nothing(topic: &Topic) -> Wanted {
        Wanted { rule: Rule::new(topic.clone().into()), labels: BTreeMap::new() }
    }

    /// The fields of which something is said.
    pub fn fields(&self) -> Vec<Field> {
        let Wanted { rule, labels } = self;
        let is_said = |field: &Field| match field {
            Field::Mode => rule.mode.is_some(),
            Field::MaxEvents => rule.max_events.is_some(),
            Field::MaxBytes => rule.max_bytes.is_some(),
            Field::MaxAge => rule.max_age.is_some(),
            Field::DedupeWindow => rule.dedupe_window.is_some(),
            Field::Replicas => rule.replicas.is_some(),
            Field::Bridge => rule.bridge.is_some(),
            Field::Channel => rule.channel.is_some(),
            Field::DefaultType => rule.default_type.is_some(),
            Field::Enforcement => rule.enforcement.is_some(),
            Field::Types => rule.types.is_some(),
            Field::Labels => !labels.is_empty(),
        };
        Field::ALL.into_iter().filter(is_said).collect()
    }

    /// What `from` says, where its values are of the kind that the fields have; whether they fit is
    /// for [`Rule::check`].
    pub fn read(topic: &Topic, from: proto::Topic) -> Result<Wanted, Vec<Unfit>> {
        let mut unfit = Vec::new();
        let mut wanted = Wanted::nothing(topic);
        let mut refuse = |field, why: &str| unfit.push(Unfit { field, why: why.to_owned() });
        let rule = &mut wanted.rule;
        match proto::topic::Mode::try_from(from.mode) {
            Ok(proto::topic::Mode::Unspecified) => (),
            Ok(proto::topic::Mode::Live) => rule.mode = Some(Mode::Live),
            Ok(proto::topic::Mode::Durable) => rule.mode = Some(Mode::Durable),
            Err(_) => refuse(Field::Mode, "is no mode that this broker knows"),
        }
        if let Some(retention) = from.retention {
            rule.max_events = retention.max_events;
            rule.max_bytes = retention.max_bytes;
            match retention.max_age.map(Duration::try_from) {
                None => (),
                Some(Ok(age)) => rule.max_age = Some(age),
                Some(Err(_)) => refuse(Field::MaxAge, "is no duration, or a negative one"),
            }
        }
        match from.dedupe_window.map(Duration::try_from) {
            None => (),
            Some(Ok(window)) => rule.dedupe_window = Some(window),
            Some(Err(_)) => refuse(Field::DedupeWindow, "is no duration, or a negative one"),
        }
        rule.replicas = Some(from.replicas).filter(|replicas| *replicas > 0);
        if let Some(bridge) = from.bridge {
            rule.channel = Some(bridge.channel).filter(|channel| !channel.is_empty());
            match proto::bridge::Mode::try_from(bridge.mode) {
                Ok(proto::bridge::Mode::Unspecified) => (),
                Ok(proto::bridge::Mode::Off) => rule.bridge = Some(BridgeMode::Off),
                Ok(proto::bridge::Mode::Listen) => rule.bridge = Some(BridgeMode::Listen),
                Ok(proto::bridge::Mode::Raw) => rule.bridge = Some(BridgeMode::Raw),
                Ok(proto::bridge::Mode::CloudeventsJson) => {
                    rule.bridge = Some(BridgeMode::CloudEventsJson);
                }
                Err(_) => refuse(Field::Bridge, "is no mode that this broker knows"),
            }
        }
        rule.default_type = Some(from.default_type).filter(|name| !name.is_empty());
        if let Some(policy) = from.schema {
            // Of a request, and not yet checked.
            let names = policy.types.into_iter().take(TOPIC_TYPES_MAX + 1);
            rule.types = Some(names.collect()).filter(|types: &BTreeSet<_>| !types.is_empty());
            match proto::schema_policy::Enforcement::try_from(policy.enforcement) {
                Ok(proto::schema_policy::Enforcement::Unspecified) => (),
                Ok(proto::schema_policy::Enforcement::Off) => {
                    rule.enforcement = Some(Enforcement::Off);
                }
                Ok(proto::schema_policy::Enforcement::Warn) => {
                    rule.enforcement = Some(Enforcement::Warn);
                }
                Ok(proto::schema_policy::Enforcement::Reject) => {
                    rule.enforcement = Some(Enforcement::Reject);
                }
                Err(_) => refuse(Field::Enforcement, "is none that this broker knows"),
            }
        }
        wanted.labels = from.labels.into_iter().collect();
        if unfit.is_empty() { Ok(wanted) } else { Err(unfit) }
    }

    /// As the backend keeps it: an encoded `tidings.v1.Topic`.
    pub fn encode(&self, topic: &Topic) -> Bytes {
        let Wanted { rule, labels } = self;
        let mode = rule.mode.map_or(proto::topic::Mode::Unspecified, proto::topic::Mode::from);
        let bridge =
            rule.bridge.map_or(proto::bridge::Mode::Unspecified, proto::bridge::Mode::from);
        let message = proto::Topic {
            name: topic.to_string(),
            mode: mode.into(),
            retention: Some(proto::Retention {
                max_events: rule.max_events,
                max_bytes: rule.max_bytes,
                max_age: rule.max_age.and_then(|age| age.try_into().ok()),
            }),
            dedupe_window: rule.dedupe_window.and_then(|window| window.try_into().ok()),
            replicas: rule.replicas.unwrap_or_default(),
            bridge: Some(proto::Bridge {
                channel: rule.channel.clone().unwrap_or_default(),
                mode: bridge.into(),
            }),
            default_type: rule.default_type.clone().unwrap_or_default(),
            schema: schema_policy(rule),
            labels: labels.clone().into_iter().collect(),
            ..Default::default()
        };
        message.encode_to_vec().into()
    }

    /// None for what no broker wrote, or a newer one that says more.
    pub fn decode(topic: &Topic, value: &Bytes) -> Option<Wanted> {
        let message = proto::Topic::decode(value.clone()).ok()?;
        let is_of_it = message.name == topic.as_str();
        let wanted = Wanted::read(topic, message).ok()?;
        // What was left out in reading is what this broker does not know of.
        (is_of_it && wanted.encode(topic).len() == value.len()).then_some(wanted)
    }

    /// The rest is the rule's, together with what the file says ([`Rule::check`]).
    pub fn check_labels(&self) -> Result<(), Unfit> {
        let unfit = |why: String| Err(Unfit { field: Field::Labels, why });
        if self.labels.len() > LABELS_MAX {
            return unfit(format!("labels are {}; at most {LABELS_MAX}", self.labels.len()));
        }
        let is_long = |text: &String| text.len() > LABEL_BYTES_MAX;
        if self.labels.iter().any(|(name, value)| is_long(name) || is_long(value)) {
            return unfit(format!("a label has over {LABEL_BYTES_MAX} bytes"));
        }
        let is_odd = |text: &String| text.contains(char::is_control);
        if self.labels.iter().any(|(name, value)| name.is_empty() || is_odd(name) || is_odd(value))
        {
            return unfit("a label has no name, or holds a control character".into());
        }
        Ok(())
    }
}

impl Rule {
    /// Which values a topic may have, whoever says them.
    pub fn check(&self) -> Result<(), Unfit> {
        let unfit = |field, why: &str| Err(Unfit { field, why: why.to_owned() });
        if let Some(channel) = &self.channel {
            if self.pattern.literal().is_none() {
                let why = "a channel belongs to one topic: name it without * and >";
                return unfit(Field::Channel, why);
            }
            if self.bridge == Some(BridgeMode::Off) {
                return unfit(Field::Channel, "a channel is of no use where bridge is \"off\"");
            }
            if channel.is_empty() {
                return unfit(Field::Channel, "channel is empty");
            }
            if let Err(why) = channel_text("channel", channel) {
                return unfit(Field::Channel, &why);
            }
        }
        let live = self.mode != Some(Mode::Durable);
        let events_max = if live { HISTORY_EVENTS_MAX } else { DURABLE_LIMIT_MAX };
        if self.max_events.is_some_and(|events| events > events_max) {
            let why = format!("max_events is over the most allowed, {events_max}");
            return unfit(Field::MaxEvents, &why);
        }
        if self.max_bytes.is_some_and(|bytes| bytes > DURABLE_LIMIT_MAX) {
            let why = format!("max_bytes is over the most allowed, {DURABLE_LIMIT_MAX}");
            return unfit(Field::MaxBytes, &why);
        }
        if live && self.max_age.is_some() {
            let why = "max_age is for durable topics: set mode = \"durable\", or leave it out";
            return unfit(Field::MaxAge, why);
        }
        if self.max_age.is_some_and(|age| age < RETENTION_AGE_MIN) {
            let why = format!("max_age is at least {}s", RETENTION_AGE_MIN.as_secs());
            return unfit(Field::MaxAge, &why);
        }
        if self.dedupe_window.is_some_and(|window| window > DEDUPE_WINDOW_MAX) {
            let why = format!("dedupe_window is at most {}s", DEDUPE_WINDOW_MAX.as_secs());
            return unfit(Field::DedupeWindow, &why);
        }
        let replicas = self.replicas.unwrap_or_default();
        if live && self.replicas.is_some() {
            let why = "replicas is for durable topics: set mode = \"durable\", or leave it out";
            return unfit(Field::Replicas, why);
        }
        if replicas > REPLICAS_MAX {
            return unfit(Field::Replicas, &format!("replicas is at most {REPLICAS_MAX}"));
        }
        // A receipt says one of both.
        if replicas > 0 && self.fsync == Some(true) {
            let why = "a publish waits for replicas or for the disk: leave one of both out";
            return unfit(Field::Replicas, why);
        }
        let is_type = |name: &String| {
            !name.is_empty()
                && name.len() <= ATTRIBUTE_BYTES_MAX
                && !name.contains(char::is_control)
        };
        if self.default_type.as_ref().is_some_and(|name| !is_type(name)) {
            let why = "default_type is the name of a type, such as shop.v1.OrderPlaced";
            return unfit(Field::DefaultType, why);
        }
        let types = self.types.iter().flatten();
        if types.clone().count() > TOPIC_TYPES_MAX {
            return unfit(Field::Types, &format!("types are more than {TOPIC_TYPES_MAX}"));
        }
        if !types.clone().all(|name| is_message_name(name)) {
            let why = "types are full names of messages, such as shop.v1.OrderPlaced";
            return unfit(Field::Types, why);
        }
        Ok(())
    }
}

/// None where nothing is said of it.
fn schema_policy(rule: &Rule) -> Option<proto::SchemaPolicy> {
    use proto::schema_policy::Enforcement::Unspecified;
    let types: Vec<_> = rule.types.iter().flatten().cloned().collect();
    let said = rule.enforcement.is_some() || !types.is_empty();
    let enforcement = rule.enforcement.map_or(Unspecified, Into::into);
    said.then(|| proto::SchemaPolicy { enforcement: enforcement.into(), types })
}

fn is_message_name(name: &str) -> bool {
    let is_name = |token: &str| {
        token.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    name.len() <= SCHEMA_TYPE_NAME_BYTES_MAX && name.split('.').all(is_name)
}

/// What the name of a channel, or a part of it, may be.
pub fn channel_text(name: &str, text: &str) -> Result<(), String> {
    if text.len() > CHANNEL_BYTES_MAX {
        return Err(format!("{name} has {} bytes; at most {CHANNEL_BYTES_MAX}", text.len()));
    }
    if text.contains(char::is_control) {
        return Err(format!("{name} holds a control character"));
    }
    Ok(())
}

impl From<Mode> for proto::topic::Mode {
    fn from(mode: Mode) -> proto::topic::Mode {
        match mode {
            Mode::Live => proto::topic::Mode::Live,
            Mode::Durable => proto::topic::Mode::Durable,
        }
    }
}

impl From<Enforcement> for proto::schema_policy::Enforcement {
    fn from(enforcement: Enforcement) -> proto::schema_policy::Enforcement {
        match enforcement {
            Enforcement::Off => proto::schema_policy::Enforcement::Off,
            Enforcement::Warn => proto::schema_policy::Enforcement::Warn,
            Enforcement::Reject => proto::schema_policy::Enforcement::Reject,
        }
    }
}

impl From<BridgeMode> for proto::bridge::Mode {
    fn from(mode: BridgeMode) -> proto::bridge::Mode {
        match mode {
            BridgeMode::Off => proto::bridge::Mode::Off,
            BridgeMode::Listen => proto::bridge::Mode::Listen,
            BridgeMode::Raw => proto::bridge::Mode::Raw,
            BridgeMode::CloudEventsJson => proto::bridge::Mode::CloudeventsJson,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_kept_and_read_again() {
        let topic: Topic = "orders".parse().expect("a topic");
        let mut wanted = Wanted::nothing(&topic);
        assert_eq!(Wanted::decode(&topic, &wanted.encode(&topic)), Some(wanted.clone()));
        wanted.rule = Rule {
            bridge: Some(BridgeMode::CloudEventsJson),
            channel: Some("shop:orders".into()),
            mode: Some(Mode::Durable),
            max_events: Some(0),
            max_bytes: Some(1 << 40),
            max_age: Some(Duration::from_millis(86_400_500)),
            dedupe_window: Some(Duration::ZERO),
            replicas: Some(2),
            default_type: Some("shop.v1.Order".into()),
            enforcement: Some(Enforcement::Reject),
            types: Some(["shop.v1.B", "shop.v1.A"].map(String::from).into()),
            ..wanted.rule
        };
        wanted.labels.insert("team".into(), "shop".into());
        let stored = wanted.encode(&topic);
        assert_eq!(Wanted::decode(&topic, &stored), Some(wanted));
        let other: Topic = "payments".parse().expect("a topic");
        assert_eq!(Wanted::decode(&other, &stored), None, "said of another topic");
        let more = [&stored[..], &[0xf8, 0x01, 0x01]].concat();
        assert_eq!(Wanted::decode(&topic, &more.into()), None, "a field of a newer broker");
    }

    #[test]
    fn a_path_names_a_field_or_all_that_are_in_it() {
        assert_eq!(Field::at("retention"), [Field::MaxEvents, Field::MaxBytes, Field::MaxAge]);
        assert_eq!(Field::at("bridge.mode"), [Field::Bridge]);
        assert_eq!(Field::at("schema"), [Field::Enforcement, Field::Types]);
        assert_eq!(Field::at("*"), Field::ALL);
        for path in ["", "mod", "retention.", "name", "etag", "state", "labels.team"] {
            assert_eq!(Field::at(path), [], "{path:?}");
        }
    }
}
