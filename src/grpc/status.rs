//! The one place where errors become statuses: a code, a reason that never changes its meaning,
//! and details a program can act on. `docs/errors.md` tells clients of each.

use std::{collections::HashMap, time::Duration};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use crate::{
    backend::BackendError,
    broker::{PipelineError, PublishError, SchemaError, TopicError},
    catalog::Field,
    event::Violation,
    proto::publish_stream_response::Failure,
    schema::{
        compatibility::Violation as Break,
        registry::{GetError, RegisterError},
    },
    subscription::SubscribeError,
    topic::InvalidTopic,
};

const DOMAIN: &str = "tidings";

/// Most violations in one status: it travels in trailers, and clients take 8 KiB of them.
const VIOLATIONS_MAX: usize = 10;

macro_rules! reasons {
    ($($reason:ident = $name:literal, $code:ident;)*) => {
        /// Why a call failed: `google.rpc.ErrorInfo.reason`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason { $($reason),* }

        impl Reason {
            pub const ALL: &[Reason] = &[$(Reason::$reason),*];

            pub fn name(self) -> &'static str {
                match self { $(Reason::$reason => $name),* }
            }

            pub fn code(self) -> Code {
                match self { $(Reason::$reason => Code::$code),* }
            }
        }
    };
}

reasons! {
    TopicNameInvalid = "TOPIC_NAME_INVALID", InvalidArgument;
    PatternInvalid = "PATTERN_INVALID", InvalidArgument;
    EventInvalid = "EVENT_INVALID", InvalidArgument;
    SchemaViolation = "SCHEMA_VIOLATION", InvalidArgument;
    EventTooLarge = "EVENT_TOO_LARGE", InvalidArgument;
    BatchEmpty = "BATCH_EMPTY", InvalidArgument;
    BatchTooLarge = "BATCH_TOO_LARGE", InvalidArgument;
    FilterInvalid = "FILTER_INVALID", InvalidArgument;
    PositionInvalid = "POSITION_INVALID", InvalidArgument;
    RequestInvalid = "REQUEST_INVALID", InvalidArgument;
    MessageInvalid = "MESSAGE_INVALID", InvalidArgument;
    TopicNotFound = "TOPIC_NOT_FOUND", NotFound;
    TopicExists = "TOPIC_EXISTS", AlreadyExists;
    TopicInConfigFile = "TOPIC_IN_CONFIG_FILE", FailedPrecondition;
    TopicIsDurable = "TOPIC_IS_DURABLE", FailedPrecondition;
    ChannelTaken = "CHANNEL_TAKEN", FailedPrecondition;
    SchemaInvalid = "SCHEMA_INVALID", InvalidArgument;
    SchemaNotFound = "SCHEMA_NOT_FOUND", NotFound;
    SchemaIncompatible = "SCHEMA_INCOMPATIBLE", FailedPrecondition;
    SchemaInUse = "SCHEMA_IN_USE", FailedPrecondition;
    SchemaUnreadable = "SCHEMA_UNREADABLE", FailedPrecondition;
    EtagMismatch = "ETAG_MISMATCH", Aborted;
    PositionLost = "POSITION_LOST", OutOfRange;
    QuotaExceeded = "QUOTA_EXCEEDED", ResourceExhausted;
    TooManyStreams = "TOO_MANY_STREAMS", ResourceExhausted;
    TooManyUnfinished = "TOO_MANY_UNFINISHED", ResourceExhausted;
    RateLimited = "RATE_LIMITED", ResourceExhausted;
    BackendFull = "BACKEND_FULL", ResourceExhausted;
    BackendUnavailable = "BACKEND_UNAVAILABLE", Unavailable;
    BackendFailover = "BACKEND_FAILOVER", Unavailable;
    OutcomeUnknown = "OUTCOME_UNKNOWN", Unavailable;
    BrokerDraining = "BROKER_DRAINING", Unavailable;
    StreamMaxAge = "STREAM_MAX_AGE", Unavailable;
    BackendTimeout = "BACKEND_TIMEOUT", DeadlineExceeded;
    StreamDeadline = "STREAM_DEADLINE", DeadlineExceeded;
    RequestUnfinished = "REQUEST_UNFINISHED", DeadlineExceeded;
    BackendRefused = "BACKEND_REFUSED", FailedPrecondition;
    SequenceConflict = "SEQUENCE_CONFLICT", Aborted;
    FeatureOff = "FEATURE_OFF", Unimplemented;
    Bug = "BUG", Internal;
}

pub fn publish(error: PublishError) -> Status {
    let told = Told::new(&error);
    match error {
        PublishError::Topic(InvalidTopic { name, why }) => {
            told.with("topic", name).violation("topic", why).status(Reason::TopicNameInvalid)
        }
        PublishError::Empty => told.violation("events", "is empty").status(Reason::BatchEmpty),
        PublishError::TooManyEvents { count, limit } => told
            .with("events", count)
            .with("limit", limit)
            .violation("events", "has too many entries")
            .status(Reason::BatchTooLarge),
        PublishError::TooManyBytes { bytes, limit } => told
            .with("bytes", bytes)
            .with("limit", limit)
            .violation("events", "are too large together")
            .status(Reason::BatchTooLarge),
        PublishError::Invalid { violations } => {
            told.of_events(violations).status(Reason::EventInvalid)
        }
        PublishError::Unfit { violations } => {
            told.of_events(violations).status(Reason::SchemaViolation)
        }
        PublishError::EventTooLarge { index, bytes, limit } => told
            .with("bytes", bytes)
            .with("limit", limit)
            .violation(format!("events[{index}]"), "is too large")
            .status(Reason::EventTooLarge),
        PublishError::ExpectedElsewhere { .. } => told
            .violation("expected_last.topic", "is not the topic of the request")
            .status(Reason::PositionInvalid),
        PublishError::Backend(error) => backend(error),
    }
}

pub fn subscribe(error: SubscribeError) -> Status {
    let told = Told::new(&error);
    match error {
        SubscribeError::Pattern { field, cause: InvalidTopic { name, why } } => {
            told.with("pattern", name).violation(field, why).status(Reason::PatternInvalid)
        }
        SubscribeError::Filter { field, description } => {
            told.violation(field, description).status(Reason::FilterInvalid)
        }
        SubscribeError::Position { field, description } => {
            told.violation(field, description).status(Reason::PositionInvalid)
        }
        SubscribeError::Request { field, description } => {
            told.violation(field, description).status(Reason::RequestInvalid)
        }
        SubscribeError::TooManyTopics { limit } => {
            told.with("limit", limit).quota("topics of one stream").status(Reason::QuotaExceeded)
        }
        SubscribeError::TooManyStreams { limit } => too_many_streams(told, limit),
        SubscribeError::PositionLost { topic, gap } => {
            let missed = gap.missed.map_or("unknown".to_owned(), |missed| missed.to_string());
            told.with("topic", &topic)
                .with("epoch", gap.until.epoch)
                .with("first", gap.after.sequence.saturating_add(1))
                .with("first_epoch", gap.after.epoch)
                .with("last", gap.until.sequence)
                .with("missed", missed)
                .resource("topic", topic.as_str())
                .status(Reason::PositionLost)
        }
        SubscribeError::Draining => told.retry(Duration::ZERO).status(Reason::BrokerDraining),
        SubscribeError::StreamMaxAge => told.retry(Duration::ZERO).status(Reason::StreamMaxAge),
        SubscribeError::Backend(error) => backend(error),
    }
}

/// Why a stream of publishes is not opened, or ends with what was not answered.
pub fn pipeline(error: PipelineError) -> Status {
    let told = Told::new(&error);
    match error {
        PipelineError::TooManyStreams { limit } => too_many_streams(told, limit),
        PipelineError::Draining => told.retry(Duration::ZERO).status(Reason::BrokerDraining),
        PipelineError::MaxAge => told.retry(Duration::ZERO).status(Reason::StreamMaxAge),
    }
}

/// `field`: what names the topic in the request.
pub fn topic(error: TopicError, field: &'static str) -> Status {
    let told = Told::new(&error);
    match error {
        TopicError::Name(InvalidTopic { name, why }) => {
            told.with("topic", name).violation(field, why).status(Reason::TopicNameInvalid)
        }
        TopicError::Pattern { cause: InvalidTopic { name, why } } => {
            told.with("pattern", name).violation("pattern", why).status(Reason::PatternInvalid)
        }
        TopicError::Invalid { violations } => violations
            .into_iter()
            .take(VIOLATIONS_MAX)
            .fold(told, |told, (field, why)| told.violation(field, why))
            .status(Reason::RequestInvalid),
        TopicError::NotFound { topic } => told
            .with("topic", &topic)
            .resource("topic", topic.as_str())
            .status(Reason::TopicNotFound),
        TopicError::Exists { topic } => {
            told.with("topic", &topic).resource("topic", topic.as_str()).status(Reason::TopicExists)
        }
        TopicError::EtagMismatch { topic, expected, actual } => told
            .with("topic", &topic)
            .with("expected", expected)
            .with("actual", actual)
            .status(Reason::EtagMismatch),
        TopicError::InConfigFile { topic, field, rule } => {
            let field = field.map_or("name", Field::path);
            told.with("topic", &topic)
                .with("field", field)
                .with("rule", &rule)
                .violated("CONFIG_FILE", topic.as_str())
                .status(Reason::TopicInConfigFile)
        }
        TopicError::Durable { topic } => told
            .with("topic", &topic)
            .violated("TOPIC_MODE", topic.as_str())
            .status(Reason::TopicIsDurable),
        TopicError::ChannelTaken { topic, channel, owner } => told
            .with("topic", &topic)
            .with("channel", channel)
            .with("owner", &owner)
            .violated("CHANNEL", topic.as_str())
            .status(Reason::ChannelTaken),
        TopicError::TooMany { limit } => {
            told.with("limit", limit).quota("configured topics").status(Reason::QuotaExceeded)
        }
        TopicError::Backend(error) => backend(error),
    }
}

pub fn schema(error: SchemaError) -> Status {
    let told = Told::new(&cut(&error.to_string()));
    match error {
        SchemaError::Invalid { violations } => violations
            .into_iter()
            .take(VIOLATIONS_MAX)
            .fold(told, |told, (field, why)| told.violation(field, why))
            .status(Reason::RequestInvalid),
        SchemaError::Compile { field, cause } => {
            let why = cut(&cause.to_string());
            let mut told = told.violation(field, why);
            if let Some(place) = cause.place() {
                told = told.with("file", &place.file);
                if let Some((line, column)) = place.line_and_column {
                    told = told.with("line", line).with("column", column);
                }
            }
            told.status(Reason::SchemaInvalid)
        }
        SchemaError::Register(error) => register(told, error),
        SchemaError::Get(GetError::NoSuchType { type_name }) => told
            .with("type", cut(&type_name))
            .resource("type", &cut(&type_name))
            .status(Reason::SchemaNotFound),
        SchemaError::Get(GetError::NoSuchVersion { type_name, version, newest }) => told
            .with("type", &type_name)
            .with("version", version)
            .with("newest", newest)
            .resource("type", &type_name)
            .status(Reason::SchemaNotFound),
        SchemaError::InUse { type_name, by } => by
            .iter()
            .take(VIOLATIONS_MAX)
            .fold(told, |told, topic| {
                told.violated_by("TOPIC", topic, format!("names {type_name}"))
            })
            .with("type", &type_name)
            .status(Reason::SchemaInUse),
        SchemaError::Busy { waiting } => told
            .with("waiting", waiting)
            .quota("schemas that wait to be compiled")
            .retry(Duration::from_secs(1))
            .status(Reason::RateLimited),
        SchemaError::Backend(error) => backend(error),
    }
}

fn register(told: Told, error: RegisterError) -> Status {
    let limited = |told: Told, limit: usize, of: &str| {
        told.with("limit", limit).quota(of).status(Reason::QuotaExceeded)
    };
    match error {
        RegisterError::Incompatible { type_name, verdict } => {
            let count = verdict.violations.len();
            let told = told.with("type", &type_name).with("breaks", count);
            broken(told, &verdict.violations).status(Reason::SchemaIncompatible)
        }
        RegisterError::Unreadable { type_name, version } => told
            .with("type", &type_name)
            .with("version", version)
            .resource("type", &type_name)
            .status(Reason::SchemaUnreadable),
        RegisterError::NameTooLong { .. } => {
            told.violation("schema.type", "is too long").status(Reason::RequestInvalid)
        }
        RegisterError::TooManyVersions { limit, .. } => {
            limited(told, limit, "versions of one type")
        }
        RegisterError::TypeTooLarge { limit, .. } => {
            limited(told, limit, "bytes of the versions of one type")
        }
        RegisterError::TooManySchemas { limit } => limited(told, limit, "versions of all types"),
        RegisterError::SchemasTooLarge { limit, .. } => {
            limited(told, limit, "bytes of the versions of all types")
        }
    }
}

/// One for each break, as many as a status has room for.
fn broken(told: Told, breaks: &[Break]) -> Told {
    const BYTES_MAX: usize = 3072;
    let mut bytes = 0;
    breaks.iter().fold(told, |told, Break { rule, path, version, message }| {
        let description = format!("breaks version {version}: {message}");
        bytes += rule.name().len() + path.len() + description.len();
        match bytes <= BYTES_MAX {
            true => told.violated_by(rule.name(), path, description),
            false => told,
        }
    })
}

/// Of what may be long, as much as a status has room for.
fn cut(text: &str) -> String {
    const BYTES_MAX: usize = 1024;
    match text.len() > BYTES_MAX {
        true => format!("{}…", &text[..text.floor_char_boundary(BYTES_MAX)]),
        false => text.to_owned(),
    }
}

/// What a call would have ended with, as the answer to one request of a stream.
pub fn failure(status: &Status) -> Failure {
    let details = status.get_error_details();
    let info = details.error_info().cloned();
    let (reason, mut metadata) = info.map(|info| (info.reason, info.metadata)).unwrap_or_default();
    // The answer has no place for violations; what is wrong with each field stands in the message.
    if let Some(bad) = details.bad_request() {
        let fields: Vec<_> = bad.field_violations.iter().map(|v| v.field.as_str()).collect();
        metadata.insert("fields".to_owned(), fields.join("\n"));
    }
    let retry = details.retry_info().and_then(|retry| retry.retry_delay);
    Failure {
        code: status.code().into(),
        reason,
        message: status.message().to_owned(),
        metadata,
        retry_delay: retry.and_then(|delay| delay.try_into().ok()),
    }
}

fn too_many_streams(told: Told, limit: usize) -> Status {
    told.with("limit", limit)
        .quota("streams of one broker")
        .retry(Duration::from_secs(1))
        .status(Reason::TooManyStreams)
}

fn backend(error: BackendError) -> Status {
    let told = Told::new(&error);
    match error {
        BackendError::Unavailable { cause } => told
            .with("cause", cause)
            .retry(Duration::from_secs(1))
            .status(Reason::BackendUnavailable),
        BackendError::Failover { cause } => {
            told.with("cause", cause).retry(Duration::from_secs(1)).status(Reason::BackendFailover)
        }
        BackendError::Full { cause } => told
            .with("cause", cause)
            .quota("memory of the backend")
            .retry(Duration::from_secs(5))
            .status(Reason::BackendFull),
        BackendError::Overloaded { topic, queued } => told
            .with("topic", &topic)
            .with("queued_bytes", queued)
            .quota("bytes that wait to be stored on one topic")
            .retry(Duration::from_millis(100))
            .status(Reason::RateLimited),
        BackendError::Timeout { after } => told
            .with("after_seconds", after.as_secs_f64())
            .retry(Duration::from_secs(1))
            .status(Reason::BackendTimeout),
        // Without RetryInfo: whether to send again, perhaps twice, is for the caller to decide.
        BackendError::OutcomeUnknown { cause } => {
            told.with("cause", cause).status(Reason::OutcomeUnknown)
        }
        BackendError::Refused { cause } => {
            told.precondition(&cause).with("cause", cause).status(Reason::BackendRefused)
        }
        // Without RetryInfo: the same request would fail again.
        BackendError::Conflict { topic, expected, actual } => told
            .with("topic", &topic)
            .with("expected_epoch", expected.epoch)
            .with("expected_sequence", expected.sequence)
            .with("actual_epoch", actual.epoch)
            .with("actual_sequence", actual.sequence)
            .resource("topic", topic.as_str())
            .status(Reason::SequenceConflict),
    }
}

/// The bytes are not those of the message that the call takes.
pub fn unreadable(error: &prost::DecodeError) -> Status {
    // It names the field and all that hold it, which may be many.
    const SHOWN: usize = 200;
    let told = error.to_string();
    let (begin, end) = (
        told.floor_char_boundary(SHOWN),
        told.ceil_char_boundary(told.len().saturating_sub(SHOWN)),
    );
    let told = if end <= begin { told } else { format!("{} … {}", &told[..begin], &told[end..]) };
    let message = format!(
        "the request cannot be read: {told}: encode it as the .proto files say, and text in UTF-8"
    );
    let told = Told::new(&message);
    match field(error) {
        Some(field) => told.violation(field, "cannot be read"),
        None => told,
    }
    .status(Reason::MessageInvalid)
}

/// The path of the field that cannot be read, without indices: the decoder keeps none. It names the
/// innermost first, as `Event.id: PublishRequest.events: `, and only in its text.
fn field(error: &prost::DecodeError) -> Option<String> {
    let told = error.to_string();
    let places = told.split(": ").skip(1).map_while(|part| {
        let (message, field) = part.split_once('.')?;
        let is_name =
            |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || "_#".contains(c));
        (is_name(message) && is_name(field)).then(|| field.trim_start_matches("r#"))
    });
    // As a violation of a field of this depth is no longer of use, so that the status stays small.
    const DEPTH_MAX: usize = 8;
    let mut path: Vec<_> = places.collect();
    path.reverse();
    path.truncate(DEPTH_MAX);
    (!path.is_empty()).then(|| path.join("."))
}

/// Of all requests together more is on its way than the broker may hold.
pub fn crowded(limit: usize) -> Status {
    let message = format!(
        "the broker holds {limit} bytes of requests that have not come to their end, as many as it \
         may: try again"
    );
    let told = Told::new(&message).with("limit", limit).quota("bytes of unfinished requests");
    told.retry(Duration::from_secs(1)).status(Reason::TooManyUnfinished)
}

/// The request began, and its end did not come.
pub fn unfinished(within: Duration) -> Status {
    let message = format!(
        "the request did not come to its end within {within:?}: send less at a time, or over a \
         better line"
    );
    Told::new(&message).status(Reason::RequestUnfinished)
}

/// The call, as `Service.Method`, is part of the API and not of this broker.
pub fn feature_off(feature: &'static str) -> Status {
    let message = format!("{feature} is not built yet: this broker publishes and subscribes");
    Told::new(&message).with("feature", feature).status(Reason::FeatureOff)
}

/// The client's own deadline, on a stream.
pub fn stream_deadline() -> Status {
    let message = "the deadline that the client set for this stream is over: open it without one, or \
                   subscribe again with the positions reached";
    Told::new(&message).status(Reason::StreamDeadline)
}

/// A panic, ours.
pub fn bug() -> Status {
    let message = "the broker has a bug, and wrote of it to its log: please report it";
    Told::new(&message).status(Reason::Bug)
}

/// A status in the making.
struct Told {
    message: String,
    metadata: HashMap<String, String>,
    details: ErrorDetails,
}

impl Told {
    fn new(message: &impl ToString) -> Told {
        let message = message.to_string();
        Told { message, metadata: HashMap::new(), details: ErrorDetails::new() }
    }

    fn with(mut self, key: &str, value: impl ToString) -> Told {
        self.metadata.insert(key.to_owned(), value.to_string());
        self
    }

    fn violation(mut self, field: impl Into<String>, description: impl Into<String>) -> Told {
        let mut violations =
            self.details.bad_request().map_or(Vec::new(), |bad| bad.field_violations.clone());
        violations.push(FieldViolation {
            field: field.into(),
            description: description.into(),
            ..Default::default()
        });
        self.details.set_bad_request(violations);
        self
    }

    /// Each with the index of its event.
    fn of_events(self, violations: Vec<(usize, Violation)>) -> Told {
        violations.into_iter().take(VIOLATIONS_MAX).fold(self, |told, (index, violation)| {
            told.violation(format!("events[{index}].{}", violation.field), violation.description)
        })
    }

    fn retry(mut self, after: Duration) -> Told {
        self.details.set_retry_info(Some(after));
        self
    }

    fn quota(mut self, subject: &str) -> Told {
        self.details.add_quota_failure_violation(subject, self.message.clone());
        self
    }

    /// What an operator has to mend first.
    fn precondition(mut self, description: &str) -> Told {
        self.details.add_precondition_failure_violation("BACKEND", "redis", description);
        self
    }

    /// What has to be otherwise first, as the message says.
    fn violated(mut self, kind: &str, subject: &str) -> Told {
        self.details.add_precondition_failure_violation(kind, subject, self.message.clone());
        self
    }

    fn violated_by(mut self, kind: &str, subject: &str, description: String) -> Told {
        self.details.add_precondition_failure_violation(kind, subject, description);
        self
    }

    fn resource(mut self, kind: &str, name: &str) -> Told {
        self.details.set_resource_info(kind, name, "", "");
        self
    }

    fn status(mut self, reason: Reason) -> Status {
        self.details.set_error_info(reason.name(), DOMAIN, self.metadata);
        Status::with_error_details(reason.code(), self.message, self.details)
    }
}
