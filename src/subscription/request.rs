//! What a subscriber asks for, checked: every mistake is told with the field that has it.

use std::{collections::BTreeMap, time::Duration};

use super::SubscribeError;
use crate::{
    compression::Compression,
    lens::{Filter, InvalidFilter},
    limits::{
        HEARTBEAT_INTERVAL_MAX, HEARTBEAT_INTERVAL_MIN, RESUME_POSITIONS_MAX, SUBSCRIBE_TOPICS_MAX,
    },
    position::{Position, Start},
    proto,
    topic::{InvalidTopic, Topic, TopicPattern},
    view::View,
};

/// What a subscriber asked for.
#[derive(Debug, Clone, Default)]
pub struct Subscribe {
    pub topics: Vec<TopicPattern>,
    /// Where topics without a position begin; none: now.
    pub start: Option<Start>,
    pub resume: BTreeMap<Topic, Position>,
    pub filter: Filter,
    pub view: View,
    /// How frames of events are compressed, where that makes them smaller; none: not at all.
    pub compression: Option<Compression>,
    /// End when everything was sent that was kept when the call came.
    pub stop_at_end: bool,
    /// End instead of going on after a gap.
    pub fail_on_gap: bool,
    pub client_name: String,
    /// None: the default.
    pub heartbeat_interval: Option<Duration>,
}

impl Subscribe {
    pub(super) fn patterns(&self) -> Vec<TopicPattern> {
        self.topics.iter().filter(|pattern| pattern.literal().is_none()).cloned().collect()
    }

    /// Whether the topic is asked for. The broker's own topics never are.
    pub(super) fn matches(&self, topic: &Topic) -> bool {
        !topic.is_reserved() && self.topics.iter().any(|pattern| pattern.matches(topic))
    }
}

impl TryFrom<proto::SubscribeRequest> for Subscribe {
    type Error = SubscribeError;

    fn try_from(request: proto::SubscribeRequest) -> Result<Subscribe, SubscribeError> {
        let topics = parse_topics(&request.topics)?;
        let start = request.start.map(parse_start).transpose()?;
        let resume = parse_resume(request.resume, &topics)?;
        let filter = request.filter.map(Filter::try_from).transpose();
        let filter = filter.map_err(|InvalidFilter { field, description }| {
            SubscribeError::Filter { field, description }
        })?;
        let heartbeat_interval =
            request.heartbeat_interval.map(parse_heartbeat_interval).transpose()?;
        let view = match proto::View::try_from(request.view) {
            Ok(proto::View::Unspecified) => View::AsStored,
            Ok(proto::View::Json) => View::Json,
            Ok(proto::View::Metadata) => View::Metadata,
            Err(_) => return Err(invalid("view", "is not one that this broker knows")),
        };
        if request.client_name.len() > 255 || request.client_name.contains(char::is_control) {
            return Err(invalid("client_name", "must be one line of at most 255 bytes"));
        }
        Ok(Subscribe {
            topics,
            start,
            resume,
            filter: filter.unwrap_or_default(),
            view,
            compression: None,
            stop_at_end: request.stop_at_end,
            fail_on_gap: request.fail_on_gap,
            client_name: request.client_name,
            heartbeat_interval,
        })
    }
}

fn invalid(field: &str, description: impl Into<String>) -> SubscribeError {
    SubscribeError::Request { field: field.into(), description: description.into() }
}

fn parse_topics(names: &[String]) -> Result<Vec<TopicPattern>, SubscribeError> {
    if names.is_empty() {
        return Err(invalid("topics", "is empty: name what to subscribe to, such as \"orders\""));
    }
    if names.len() > SUBSCRIBE_TOPICS_MAX {
        let count = names.len();
        return Err(invalid("topics", format!("has {count} entries; at most 100")));
    }
    let parse = |(index, name): (usize, &String)| {
        let invalid = |cause| SubscribeError::Pattern { field: format!("topics[{index}]"), cause };
        let pattern: TopicPattern = name.parse().map_err(invalid)?;
        if pattern.literal().is_some_and(|topic| topic.is_reserved()) {
            return Err(invalid(InvalidTopic::reserved(pattern.as_str())));
        }
        Ok(pattern)
    };
    names.iter().enumerate().map(parse).collect()
}

fn parse_start(start: proto::subscribe_request::Start) -> Result<Start, SubscribeError> {
    use proto::subscribe_request::Start as Asked;
    match start {
        Asked::Earliest(true) => Ok(Start::Earliest),
        Asked::Earliest(false) => Ok(Start::Now),
        Asked::Last(count) => Ok(Start::Last(count.into())),
        Asked::StartTime(time) => {
            let seconds = u64::try_from(time.seconds);
            let micros = u64::try_from(time.nanos).map(|nanos| nanos / 1000);
            match (seconds, micros) {
                (Ok(seconds), Ok(micros)) if seconds < 1 << 40 => {
                    Ok(Start::Time(seconds * 1_000_000 + micros))
                }
                _ => Err(invalid("start_time", "must lie after 1970")),
            }
        }
        // By hand: the conversion of the library panics at the lowest number of all.
        Asked::StartAgo(ago) => match (u64::try_from(ago.seconds), u32::try_from(ago.nanos)) {
            (Ok(seconds), Ok(nanos)) => {
                let nanos = Duration::from_nanos(nanos.into());
                Ok(Start::Ago(Duration::from_secs(seconds).saturating_add(nanos)))
            }
            _ => Err(invalid("start_ago", "must not be negative: it is counted back")),
        },
    }
}

/// Several places of one topic: the highest counts. Places in different epochs cannot be compared,
/// so they are refused, except the beginning, before which nothing lies.
fn parse_resume(
    positions: Vec<proto::Position>,
    topics: &[TopicPattern],
) -> Result<BTreeMap<Topic, Position>, SubscribeError> {
    if positions.len() > RESUME_POSITIONS_MAX {
        let count = positions.len();
        return Err(invalid("resume", format!("has {count} entries; at most 10000")));
    }
    let mut resume: BTreeMap<Topic, Position> = BTreeMap::new();
    for (index, given) in positions.into_iter().enumerate() {
        let field = || format!("resume[{index}]");
        let refuse = |description: &str| {
            let description = description.to_owned();
            Err(SubscribeError::Position { field: field(), description })
        };
        let topic: Topic = given.topic.parse().map_err(|cause: InvalidTopic| {
            SubscribeError::Position { field: field(), description: cause.to_string() }
        })?;
        if topic.is_reserved() || !topics.iter().any(|pattern| pattern.matches(&topic)) {
            return refuse("is of a topic that the request does not name");
        }
        let position = Position::new(given.epoch, given.sequence);
        if position.epoch == 0 && position.sequence != 0 {
            return refuse("has a sequence and no epoch: give the position as it was received");
        }
        let known = resume.entry(topic).or_insert(position);
        if known.is_beginning() || position.is_beginning() {
            *known = if known.is_beginning() { position } else { *known };
        } else if known.epoch != position.epoch {
            return refuse("is of another epoch than one before it: give the last one received");
        } else {
            known.sequence = known.sequence.max(position.sequence);
        }
    }
    Ok(resume)
}

fn parse_heartbeat_interval(asked: prost_types::Duration) -> Result<Duration, SubscribeError> {
    let seconds = u64::try_from(asked.seconds).ok();
    let nanos = u64::try_from(asked.nanos).ok();
    let interval = seconds.zip(nanos).map(|(seconds, nanos)| {
        Duration::from_secs(seconds).saturating_add(Duration::from_nanos(nanos))
    });
    interval
        .filter(|asked| (HEARTBEAT_INTERVAL_MIN..=HEARTBEAT_INTERVAL_MAX).contains(asked))
        .ok_or_else(|| invalid("heartbeat_interval", "must lie between 1s and 120s"))
}
