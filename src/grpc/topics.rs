//! Topics as they stand in requests and answers.

use tonic::Response;

use super::{admin::Answer, status};
use crate::{
    backend::{Bridge, Enforcement, Retention, SchemaPolicy},
    broker::{TopicError, TopicInfo},
    catalog::{Field, Unfit, Wanted},
    limits::{LIST_PAGE, LIST_PAGE_MAX},
    position::Position,
    proto,
    topic::Topic,
};

/// `field`: what names the topic in the request.
pub(super) fn answer<T>(result: Result<T, TopicError>, field: &'static str) -> Answer<T> {
    result.map(Response::new).map_err(|error| status::topic(error, field))
}

pub(super) fn name(name: &str) -> Result<Topic, TopicError> {
    Ok(name.parse()?)
}

pub(super) fn wanted(topic: &Topic, asked: proto::Topic) -> Result<Wanted, TopicError> {
    let violation = |Unfit { field, why }| (format!("topic.{}", field.path()), why);
    Wanted::read(topic, asked).map_err(|unfit| TopicError::Invalid {
        violations: unfit.into_iter().map(violation).collect(),
    })
}

/// Paths of fields that are not built yet are refused, too: nothing can be said there.
pub(super) fn masked(paths: &[String]) -> Result<Vec<Field>, TopicError> {
    let mut fields = Vec::new();
    let mut violations = Vec::new();
    for (index, path) in paths.iter().enumerate() {
        let named = Field::at(path);
        if named.is_empty() {
            let why = format!("{path:?} names no field of a topic that can be set");
            violations.push((format!("update_mask.paths[{index}]"), why));
        }
        fields.extend(named);
    }
    if violations.is_empty() { Ok(fields) } else { Err(TopicError::Invalid { violations }) }
}

/// The version that an etag names; none where it is not to be checked.
pub(super) fn version(etag: &str, field: &str) -> Result<Option<u64>, TopicError> {
    if etag.is_empty() {
        return Ok(None);
    }
    let why = "is none that a broker gave: read the topic, and send its etag as it is";
    etag.parse().map(Some).map_err(|_| invalid(field, why))
}

pub(super) fn page_size(asked: i32) -> Result<usize, TopicError> {
    match usize::try_from(asked) {
        Ok(0) => Ok(LIST_PAGE),
        Ok(count) => Ok(count.min(LIST_PAGE_MAX)),
        Err(_) => Err(invalid("page_size", "is negative")),
    }
}

/// Where a list goes on. It is the same list only for the same pattern.
pub(super) mod page_token {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

    use super::{TopicError, invalid};

    pub(in crate::grpc) fn of(after: &str, pattern: &str) -> String {
        URL_SAFE_NO_PAD.encode(format!("{after} {pattern}"))
    }

    pub(in crate::grpc) fn read(token: &str, pattern: &str) -> Result<Option<String>, TopicError> {
        if token.is_empty() {
            return Ok(None);
        }
        let wrong = || invalid("page_token", "is none that a broker gave with this pattern");
        let text = URL_SAFE_NO_PAD.decode(token).map_err(|_| wrong())?;
        let text = String::from_utf8(text).map_err(|_| wrong())?;
        match text.split_once(' ') {
            Some((after, of)) if of == pattern => Ok(Some(after.to_owned())),
            Some(_) | None => Err(wrong()),
        }
    }
}

fn invalid(field: &str, why: &str) -> TopicError {
    TopicError::Invalid { violations: vec![(field.to_owned(), why.to_owned())] }
}

/// With what is in force, also where nobody said it.
pub(super) fn shown(info: TopicInfo) -> proto::Topic {
    let Retention { max_events, max_bytes, max_age } = info.keeping.retention;
    let Bridge { mode, channel } = info.bridge;
    let position = |position: Position| proto::Position {
        topic: info.topic.to_string(),
        epoch: position.epoch,
        sequence: position.sequence,
    };
    let state = proto::TopicState {
        first: info.state.and_then(|state| state.first).map(position),
        last: info.state.map(|state| position(state.last)),
        bytes: info.state.map_or(0, |state| state.bytes),
        local_subscribers: u32::try_from(info.local_subscribers).unwrap_or(u32::MAX),
    };
    proto::Topic {
        name: info.topic.to_string(),
        mode: proto::topic::Mode::from(info.keeping.mode).into(),
        retention: Some(proto::Retention {
            max_events,
            max_bytes,
            max_age: max_age.and_then(|age| age.try_into().ok()),
        }),
        dedupe_window: info.dedupe_window.try_into().ok(),
        schema: schema_policy(info.schema),
        bridge: Some(proto::Bridge {
            channel: channel.unwrap_or_default(),
            mode: proto::bridge::Mode::from(mode).into(),
        }),
        default_type: info.default_type.unwrap_or_default(),
        labels: info.labels.into_iter().collect(),
        etag: info.version.to_string(),
        replicas: info.replicas,
        auto_created: info.auto_created,
        state: Some(state),
    }
}

/// Left out where nobody looks, and no type is named.
fn schema_policy(policy: SchemaPolicy) -> Option<proto::SchemaPolicy> {
    let SchemaPolicy { enforcement, types } = policy;
    let said = enforcement != Enforcement::Off || !types.is_empty();
    let enforcement = proto::schema_policy::Enforcement::from(enforcement).into();
    said.then(|| proto::SchemaPolicy { enforcement, types: types.into_iter().collect() })
}
