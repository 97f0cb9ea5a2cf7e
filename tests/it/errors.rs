//! `docs/errors.md` lists what the broker says, all of it and nothing else.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use prost::Message;
use tidings::{
    backend::BackendError,
    broker::{PipelineError, PublishError, SchemaError, TopicError},
    catalog::Field,
    event::Violation,
    grpc::status::{self, Reason},
    position::{Gap, GapReason, Position},
    proto,
    schema::{
        CompileError,
        compatibility::{Rule, Verdict, Violation as Break},
        compile::Place,
        registry::{GetError, RegisterError},
    },
    subscription::SubscribeError,
    topic::{InvalidTopic, Topic},
};
use tonic::Status;
use tonic_types::StatusExt;

/// The page's table, row by row: the cells of each, with its reason.
fn rows() -> BTreeMap<String, Vec<String>> {
    let row = |line: &str| {
        let cells: Vec<_> = line.split('|').map(|cell| cell.trim().to_owned()).collect();
        let reason = cells.get(1)?.strip_prefix('`')?.strip_suffix('`')?.to_owned();
        reason.chars().all(|c| c.is_ascii_uppercase() || c == '_').then_some((reason, cells))
    };
    include_str!("../../docs/errors.md").lines().filter_map(row).collect()
}

/// What stands between backticks.
fn names(cell: &str) -> BTreeSet<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn the_page_of_errors_and_the_code_say_the_same() {
    let code = |cells: Vec<String>| cells[2].trim_matches('`').to_owned();
    let told: BTreeMap<_, _> =
        rows().into_iter().map(|(reason, cells)| (reason, code(cells))).collect();
    let screaming = |code: String| {
        let mut name = String::new();
        for c in code.chars() {
            if c.is_uppercase() && !name.is_empty() {
                name.push('_');
            }
            name.push(c.to_ascii_uppercase());
        }
        name
    };
    let said: BTreeMap<_, _> = Reason::ALL
        .iter()
        .map(|reason| (reason.name().to_owned(), screaming(format!("{:?}", reason.code()))))
        .collect();
    assert_eq!(told, said);
}

/// At least one status for every reason, and for every shape that its metadata has.
fn statuses() -> Vec<Status> {
    let orders: Topic = "orders".parse().expect("a topic");
    let invalid = || "a b".parse::<Topic>().expect_err("no topic");
    let (field, description) = (|| "topics".to_owned(), || "is wrong".to_owned());
    let cause = || "a reason".to_owned();
    let violation = Violation { field: field(), description: description() };
    let gap = Gap {
        after: Position::new(1, 1),
        until: Position::new(1, 3),
        missed: Some(2),
        reason: GapReason::Retention,
    };
    let unreadable = proto::PublishRequest::decode(&[0xff; 3][..]).expect_err("no message");
    let publish = [
        PublishError::Topic(invalid()),
        PublishError::Topic(InvalidTopic::reserved("_tidings.x")),
        PublishError::Empty,
        PublishError::TooManyEvents { count: 2, limit: 1 },
        PublishError::TooManyBytes { bytes: 2, limit: 1 },
        PublishError::Invalid { violations: vec![(0, violation.clone())] },
        PublishError::Unfit { violations: vec![(0, violation)] },
        PublishError::EventTooLarge { index: 0, bytes: 2, limit: 1 },
        PublishError::ExpectedElsewhere { topic: orders.clone() },
        PublishError::Backend(BackendError::Unavailable { cause: cause() }),
        PublishError::Backend(BackendError::Failover { cause: cause() }),
        PublishError::Backend(BackendError::Full { cause: cause() }),
        PublishError::Backend(BackendError::Overloaded { topic: orders.clone(), queued: 1 }),
        PublishError::Backend(BackendError::Timeout { after: Duration::from_secs(1) }),
        PublishError::Backend(BackendError::OutcomeUnknown { cause: cause() }),
        PublishError::Backend(BackendError::Refused { cause: cause() }),
        PublishError::Backend(BackendError::Conflict {
            topic: orders.clone(),
            expected: Position::new(1, 2),
            actual: Position::new(1, 3),
        }),
    ];
    let subscribe = [
        SubscribeError::Pattern { field: field(), cause: invalid() },
        SubscribeError::Filter { field: field(), description: description() },
        SubscribeError::Position { field: field(), description: description() },
        SubscribeError::Request { field: field(), description: description() },
        SubscribeError::TooManyTopics { limit: 1 },
        SubscribeError::TooManyStreams { limit: 1 },
        SubscribeError::PositionLost { topic: orders, gap },
        SubscribeError::Draining,
        SubscribeError::StreamMaxAge,
    ];
    let payments: Topic = "payments".parse().expect("a topic");
    let of = || payments.clone();
    let topics = [
        TopicError::Name(invalid()),
        TopicError::Pattern { cause: invalid() },
        TopicError::Invalid { violations: vec![(field(), description())] },
        TopicError::NotFound { topic: of() },
        TopicError::Exists { topic: of() },
        TopicError::EtagMismatch { topic: of(), expected: 1, actual: 2 },
        TopicError::InConfigFile { topic: of(), field: Some(Field::Mode), rule: of().into() },
        TopicError::InConfigFile { topic: of(), field: None, rule: of().into() },
        TopicError::Durable { topic: of() },
        TopicError::ChannelTaken { topic: of(), channel: field(), owner: of() },
        TopicError::TooMany { limit: 1 },
        TopicError::Backend(BackendError::Unavailable { cause: cause() }),
    ];
    let broken =
        Break { rule: Rule::FieldKindChanged, path: field(), version: 1, message: cause() };
    let verdict = Verdict { violations: vec![broken], ..Verdict::default() };
    let place = || Place { file: "a.proto".into(), line_and_column: Some((3, 7)) };
    let schemas = [
        SchemaError::Invalid { violations: vec![(field(), description())] },
        SchemaError::Compile {
            field: "schema.sources",
            cause: CompileError::NotUtf8 { place: place() },
        },
        SchemaError::Register(RegisterError::Incompatible { type_name: field(), verdict }),
        SchemaError::Register(RegisterError::Unreadable { type_name: field(), version: 1 }),
        SchemaError::Register(RegisterError::NameTooLong { type_name: field(), limit: 1 }),
        SchemaError::Register(RegisterError::TooManyVersions { type_name: field(), limit: 1 }),
        SchemaError::Register(RegisterError::TypeTooLarge {
            type_name: field(),
            bytes: 2,
            limit: 1,
        }),
        SchemaError::Register(RegisterError::TooManySchemas { limit: 1 }),
        SchemaError::Register(RegisterError::SchemasTooLarge { bytes: 2, limit: 1 }),
        SchemaError::Get(GetError::NoSuchType { type_name: field() }),
        SchemaError::Get(GetError::NoSuchVersion { type_name: field(), version: 2, newest: 1 }),
        SchemaError::InUse { type_name: field(), by: vec!["orders".into()] },
        SchemaError::Busy { waiting: 1 },
        SchemaError::Backend(BackendError::Unavailable { cause: cause() }),
    ];
    let pipeline = [
        PipelineError::TooManyStreams { limit: 1 },
        PipelineError::Draining,
        PipelineError::MaxAge,
    ];
    let others = [
        status::unreadable(&unreadable),
        status::crowded(1),
        status::unfinished(Duration::from_secs(1)),
        status::feature_off("Admin.ListGroups"),
        status::stream_deadline(),
        status::bug(),
    ];
    let topics = topics.into_iter().map(|error| status::topic(error, "name"));
    let publish = publish.into_iter().map(status::publish).chain(topics);
    let publish = publish.chain(schemas.into_iter().map(status::schema));
    let publish = publish.chain(pipeline.into_iter().map(status::pipeline));
    publish.chain(subscribe.into_iter().map(status::subscribe)).chain(others).collect()
}

#[test]
fn the_page_of_errors_names_the_metadata_that_comes_with_each() {
    let mut said: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for status in statuses() {
        let info = status.get_details_error_info().expect("every error has its reason");
        said.entry(info.reason).or_default().extend(info.metadata.into_keys());
    }
    let told: BTreeMap<_, _> =
        rows().into_iter().map(|(reason, cells)| (reason, names(&cells[4]))).collect();
    assert_eq!(told, said);
}
