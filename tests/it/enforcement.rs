//! Topics that ask something of their events: what is none of its type is refused, or marked, and what
//! people write becomes what programs read.

use std::time::Duration;

use prost::Message as _;
use tidings::{
    backend::{Enforcement, SchemaPolicy, TopicSettings},
    broker::{Broker, Publish, PublishError},
    catalog::{Catalog, Rule},
    grpc::client::{AdminClient, BrokerClient},
    proto::{
        self, PublishRequest, PublishStreamRequest, event::Payload,
        publish_stream_response::Result as Told, subscribe_response::Control,
    },
    schema::{
        Compiled, Record, Registry,
        compatibility::{Compatibility, Json},
        registry::{Candidate, Proposal},
    },
    subscription::{Subscribe, Subscription},
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::support::{
    in_process::{in_memory_with, on_redis, options, request, topic},
    redis::{Persistence, RedisServer},
    served::{Served, reason},
};

const PATIENCE: Duration = Duration::from_secs(20);
const ORDER: &str = "shop.v1.OrderPlaced";
const URI: &str = "tidings:schema/shop.v1.OrderPlaced/1";
const SOURCE: &str = r#"syntax = "proto3"; package shop.v1;
    message OrderPlaced { string order_id = 1; repeated Item items = 2; int64 total = 3; }
    message Item { string sku = 1; double price = 2; }"#;
/// `{"orderId":"7"}`
const SEVEN: &[u8] = b"\x0a\x017";
/// A second item whose price is a number that is no double.
const WRONG: &[u8] = b"\x12\x00\x12\x02\x10\x01";

fn candidate(type_name: &str, source: &str) -> Candidate {
    let compiled = Compiled::from_sources(type_name, [("shop.proto", source.as_bytes())]);
    Candidate {
        compiled: compiled.expect("a schema"),
        sources: Default::default(),
        compatibility: None,
        json: Json::Used,
        force: false,
    }
}

fn asking(enforcement: Enforcement, types: &[&str]) -> Catalog {
    let types = types.iter().map(ToString::to_string).collect();
    let defaults = TopicSettings {
        schema: SchemaPolicy { enforcement, types },
        default_type: Some(ORDER.into()),
        ..TopicSettings::default()
    };
    Catalog::new(vec![Rule::new("other".parse().expect("a pattern"))], "", defaults)
        .expect("no conflict")
}

fn registered(broker: Broker) -> Broker {
    let registered = broker.registry().register(&candidate(ORDER, SOURCE), Default::default());
    registered.expect("registered");
    broker
}

fn shop(enforcement: Enforcement) -> Broker {
    registered(in_memory_with(asking(enforcement, &[ORDER]), options()))
}

fn data(id: &str, bytes: &'static [u8]) -> proto::Event {
    proto::Event { id: id.into(), payload: Some(Payload::Data(bytes.into())), ..Default::default() }
}

fn text(id: &str, text: &str) -> proto::Event {
    proto::Event { id: id.into(), payload: Some(Payload::Text(text.into())), ..Default::default() }
}

fn any(id: &str, type_name: &str, value: &[u8]) -> proto::Event {
    let type_url = format!("type.googleapis.com/{type_name}");
    let any = prost_types::Any { type_url, value: value.to_vec() };
    proto::Event { id: id.into(), payload: Some(Payload::Proto(any)), ..Default::default() }
}

/// As somebody at a shell writes it: `{"orderId": "7", "total": 5}`.
fn json(id: &str, fields: &[(&str, f64)]) -> proto::Event {
    use prost_types::value::Kind;
    let value = |kind| prost_types::Value { kind: Some(kind) };
    let mut object = prost_types::Struct::default();
    object.fields.insert("orderId".into(), value(Kind::StringValue("7".into())));
    for (name, number) in fields {
        object.fields.insert((*name).into(), value(Kind::NumberValue(*number)));
    }
    let payload = Some(Payload::Json(value(Kind::StructValue(object))));
    proto::Event { id: id.into(), payload, ..Default::default() }
}

fn publish_request(events: Vec<proto::Event>) -> PublishRequest {
    PublishRequest { topic: "orders".into(), events, ..Default::default() }
}

async fn publish(broker: &Broker, events: Vec<proto::Event>) -> Result<(), PublishError> {
    let events = events.into_iter().map(Into::into).collect();
    let request =
        Publish { topic: topic("orders"), events, validate_only: false, expected_last: None };
    broker.publish("/test", request).await.map(drop)
}

/// `events[1].data.total is …` of each violation.
fn wrong(result: Result<(), PublishError>) -> Vec<String> {
    match result {
        Err(PublishError::Unfit { violations }) => violations
            .into_iter()
            .map(|(index, v)| format!("events[{index}].{} {}", v.field, v.description))
            .collect(),
        other => panic!("{other:?}"),
    }
}

fn violated(status: &Status) -> Vec<String> {
    let details = status.get_error_details();
    let violations = &details.bad_request().expect("fields").field_violations;
    violations.iter().map(|violation| violation.field.clone()).collect()
}

struct Stream(Subscription);

impl Stream {
    async fn open(broker: &Broker, view: proto::View) -> Stream {
        let request = proto::SubscribeRequest { view: view.into(), ..request(&["orders"]) };
        let request = Subscribe::try_from(request).expect("a request");
        Stream(broker.subscribe(request).await.expect("subscribed"))
    }

    /// The next events, without what the broker alone says; or why some are missing.
    async fn next(&mut self) -> Result<Vec<proto::Event>, proto::Gap> {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.0.next()).await.expect("in time");
            let frame = next.expect("it goes on").expect("no error").decode().expect("a frame");
            match frame.control {
                Some(Control::Gap(gap)) => return Err(gap),
                Some(_) => continue,
                None => (),
            }
            let mut events = frame.events;
            for event in &mut events {
                (event.position, event.publish_time, event.time) = (None, None, None);
            }
            return Ok(events);
        }
    }

    async fn one(&mut self) -> proto::Event {
        let mut events = self.next().await.expect("no gap");
        assert_eq!(events.len(), 1);
        events.remove(0)
    }
}

#[tokio::test]
async fn one_wrong_event_refuses_its_batch_with_the_path_of_its_field() {
    let broker = shop(Enforcement::Reject);
    let served = Served::start(broker.clone(), Duration::ZERO).await;
    let mut client = BrokerClient::new(served.channel().await);
    let mut refused = async |events| {
        let status = client.publish(publish_request(events)).await.expect_err("refused");
        assert_eq!(
            (status.code(), reason(&status).as_str()),
            (Code::InvalidArgument, "SCHEMA_VIOLATION")
        );
        violated(&status)
    };
    let batch = vec![data("1", SEVEN), data("2", WRONG), text("3", r#"{"items":[{"sku":1}]}"#)];
    assert_eq!(
        refused(batch).await,
        ["events[1].data.items[1].price", "events[2].text.items[0].sku"]
    );
    assert_eq!(refused(vec![any("1", ORDER, WRONG)]).await, ["events[0].proto.items[1].price"]);
    assert_eq!(refused(vec![json("1", &[("total", 1.5)])]).await, ["events[0].json.total"]);
    assert_eq!(refused(vec![any("1", "shop.v1.Item", b"")]).await, ["events[0].type"]);
    assert_eq!(refused(vec![proto::Event::default()]).await, ["events[0].data"]);
    let octets = proto::Event { data_content_type: "image/png".into(), ..data("1", SEVEN) };
    assert_eq!(refused(vec![octets]).await, ["events[0].data_content_type"]);
    let many = (0..1000).map(|id| data(&id.to_string(), WRONG)).collect();
    assert_eq!(refused(many).await.len(), 10, "no more fit into a status");

    // With a mistake that any topic refuses, it is that topic's mistake as well.
    let status = client
        .publish(publish_request(vec![data("\n", SEVEN), data("2", WRONG)]))
        .await
        .expect_err("refused");
    assert_eq!(reason(&status), "EVENT_INVALID");
    assert_eq!(violated(&status), ["events[0].id", "events[1].data.items[1].price"]);

    let state = broker.get_topic(&topic("orders")).await;
    assert!(state.is_err(), "nothing was stored: {state:?}");
    assert!(client.publish(publish_request(vec![data("1", SEVEN)])).await.is_ok());
}

#[tokio::test]
async fn a_type_that_is_not_registered_is_refused_with_what_to_do() {
    let broker = in_memory_with(asking(Enforcement::Reject, &[]), options());
    let found = wrong(publish(&broker, vec![data("1", SEVEN)]).await);
    assert_eq!(
        found,
        [format!(
            "events[0].type {ORDER} is not registered: register its schema, then publish again"
        )]
    );
    let broker = registered(broker);
    publish(&broker, vec![data("1", SEVEN)]).await.expect("stored");
    assert!(broker.registry().delete(ORDER));
    wrong(publish(&broker, vec![data("1", SEVEN)]).await);
}

#[tokio::test]
async fn what_is_valid_comes_as_it_was_sent_and_names_its_schema() {
    let broker = shop(Enforcement::Reject);
    let mut stream = Stream::open(&broker, proto::View::Unspecified).await;
    let pretty = "{ \"orderId\": \"7\" }\n";
    let sent = vec![
        data("1", SEVEN),
        text("2", pretty),
        any("3", ORDER, SEVEN),
        json("4", &[("total", 5.0)]),
        proto::Event { data_schema: "https://shop.example/order".into(), ..data("5", SEVEN) },
        proto::Event { data_content_type: "application/json".into(), ..json("6", &[]) },
    ];
    publish(&broker, sent).await.expect("stored");
    let events = stream.next().await.expect("no gap");
    let payload = |id: usize| events[id - 1].payload.clone().expect("a payload");
    assert_eq!(payload(1), Payload::Data(SEVEN.into()));
    assert_eq!(payload(2), Payload::Text(pretty.into()));
    assert_eq!(payload(3), Payload::Data(SEVEN.into()));
    assert_eq!(payload(4), Payload::Data(b"\x0a\x017\x18\x05"[..].into()));
    assert_eq!(payload(6), Payload::Text(r#"{"orderId":"7"}"#.into()));
    let media: Vec<_> = events.iter().map(|event| event.data_content_type.as_str()).collect();
    let (bytes, text) = ("application/protobuf", "application/json");
    assert_eq!(media, [bytes, text, bytes, bytes, bytes, text]);
    let schemas: Vec<_> = events.iter().map(|event| event.data_schema.as_str()).collect();
    assert_eq!(schemas, [URI, URI, URI, URI, "https://shop.example/order", URI]);
    assert!(events.iter().all(|event| event.r#type == ORDER && event.extensions.is_empty()));

    // A new version that is compatible: from now on events are read along it.
    let source = SOURCE.replace("int64 total = 3;", "int64 total = 3; string note = 4;");
    let (version, _) = broker
        .registry()
        .register(&candidate(ORDER, &source), Default::default())
        .expect("compatible");
    publish(&broker, vec![data("7", b"\x22\x02hi")]).await.expect("stored");
    assert_eq!(stream.one().await.data_schema, version.uri());
    wrong(publish(&broker, vec![data("8", b"\x20\x01")]).await);
}

#[tokio::test]
async fn a_complete_event_stays_the_bytes_that_it_was() {
    let broker = shop(Enforcement::Reject);
    let mut stream = Stream::open(&broker, proto::View::Unspecified).await;
    let complete = |schema: &str| proto::Event {
        source: "/shop".into(),
        r#type: ORDER.into(),
        time: Some(prost_types::Timestamp { seconds: 1, nanos: 2 }),
        data_content_type: "application/protobuf".into(),
        data_schema: schema.into(),
        key: "k".into(),
        extensions: [("traceparent".to_owned(), "00".to_owned())].into(),
        ..data("1", SEVEN)
    };
    let served = Served::start(broker, Duration::ZERO).await;
    let mut client = BrokerClient::new(served.channel().await);
    for schema in [URI, ""] {
        client.publish(publish_request(vec![complete(schema)])).await.expect("stored");
        let expected = proto::Event { time: None, ..complete(URI) };
        assert_eq!(stream.one().await, expected, "{schema:?}");
    }
    let wrong_bytes = proto::Event { payload: Some(Payload::Data(WRONG.into())), ..complete("") };
    let refused = client.publish(publish_request(vec![wrong_bytes])).await.expect_err("refused");
    assert_eq!(violated(&refused), ["events[0].data.items[1].price"]);
}

#[tokio::test]
async fn on_a_topic_that_warns_it_is_delivered_counted_and_marked() {
    let broker = shop(Enforcement::Warn);
    let mut stream = Stream::open(&broker, proto::View::Unspecified).await;
    let liar = proto::Event {
        extensions: [("tidingsinvalid".to_owned(), "it is not".to_owned())].into(),
        ..data("4", SEVEN)
    };
    let sent = vec![
        data("1", WRONG),
        text("2", "hello"),
        data("3", SEVEN),
        liar,
        json("5", &[("total", 1.5)]),
        proto::Event { r#type: "shop.v1.Refund".into(), ..data("6", SEVEN) },
    ];
    publish(&broker, sent).await.expect("stored");
    let events = stream.next().await.expect("no gap");
    let mark = |id: usize| events[id - 1].extensions.get("tidingsinvalid").map(String::as_str);
    let starts = |id: usize, with: &str| mark(id).is_some_and(|mark| mark.starts_with(with));
    assert!(starts(1, "data.items[1].price is not written as"), "{:?}", mark(1));
    assert!(starts(2, "text "), "{:?}", mark(2));
    assert_eq!((mark(3), mark(4)), (None, None));
    assert!(starts(5, "json.total "), "{:?}", mark(5));
    assert!(starts(6, "type is none that this topic takes"), "{:?}", mark(6));
    // As on a topic that asks nothing.
    let media: Vec<_> = events.iter().map(|event| event.data_content_type.as_str()).collect();
    assert_eq!(media[..2], ["application/octet-stream", "text/plain"]);
    assert_eq!((media[2], media[4]), ("application/protobuf", "application/json"));
    assert_eq!(events[0].data_schema, "");

    let served = Served::start(broker, Duration::ZERO).await;
    let mut admin = AdminClient::new(served.channel().await);
    let info = admin.get_server_info(proto::GetServerInfoRequest {}).await.expect("told");
    let warnings = info.into_inner().warnings;
    let counted = |warning: &String| warning.starts_with("4 events since this broker's start");
    assert!(warnings.iter().any(counted), "{warnings:?}");
}

#[tokio::test]
async fn to_check_only_checks_the_schema_and_stores_and_counts_nothing() {
    for (enforcement, code) in
        [(Enforcement::Reject, Code::InvalidArgument), (Enforcement::Warn, Code::Ok)]
    {
        let broker = shop(enforcement);
        let served = Served::start(broker.clone(), Duration::ZERO).await;
        let mut client = BrokerClient::new(served.channel().await);
        let check = |event| PublishRequest { validate_only: true, ..publish_request(vec![event]) };
        let valid = client.publish(check(data("1", SEVEN))).await.expect("valid").into_inner();
        assert_eq!((valid.receipts.len(), valid.receipts[0].position.is_none()), (1, true));
        let checked = client.publish(check(data("1", WRONG))).await;
        assert_eq!(checked.map_or_else(|status| status.code(), |_| Code::Ok), code);
        assert!(broker.get_topic(&topic("orders")).await.is_err(), "something was stored");
        let warnings = broker.info().warnings;
        assert!(!warnings.iter().any(|w| w.contains("tidingsinvalid")), "it was counted");
    }
}

#[tokio::test]
async fn on_a_stream_of_publishes_what_is_wrong_is_refused_in_its_turn() {
    let broker = shop(Enforcement::Reject);
    let served = Served::start(broker, Duration::ZERO).await;
    let mut client = BrokerClient::new(served.channel().await);
    let requests = [SEVEN, WRONG, SEVEN].into_iter().zip(1..).map(|(bytes, request_id)| {
        let publish = Some(publish_request(vec![data("", bytes)]));
        PublishStreamRequest { request_id, publish }
    });
    let requests = tokio_stream::iter(requests.collect::<Vec<_>>());
    let mut answers = client.publish_stream(requests).await.expect("opened").into_inner();
    let mut told = Vec::new();
    while let Some(answer) = answers.message().await.expect("it ends well") {
        told.push(match answer.result.expect("a result") {
            Told::Published(published) => {
                published.receipts[0].position.as_ref().expect("stored").sequence.to_string()
            }
            Told::Failure(failure) => format!("{} {}", failure.reason, failure.metadata["fields"]),
        });
    }
    assert_eq!(told, ["1", "SCHEMA_VIOLATION events[0].data.items[1].price", "2"]);
}

#[tokio::test]
async fn what_people_write_becomes_bytes_also_where_nobody_looks() {
    let broker = shop(Enforcement::Off);
    let mut stream = Stream::open(&broker, proto::View::Unspecified).await;
    let protobuf =
        |event| proto::Event { data_content_type: "application/protobuf".into(), ..event };
    let sent = vec![protobuf(json("1", &[("total", 5.0)])), json("2", &[("total", 1.5)])];
    publish(&broker, sent).await.expect("stored");
    let events = stream.next().await.expect("no gap");
    assert_eq!(events[0].payload, Some(Payload::Data(b"\x0a\x017\x18\x05"[..].into())));
    assert_eq!(events[0].data_schema, URI);
    // Who does not say so gets JSON, whatever it is.
    assert!(matches!(events[1].payload, Some(Payload::Text(_))));
    assert_eq!(
        (events[1].data_content_type.as_str(), events[1].data_schema.as_str()),
        ("application/json", "")
    );

    let found = wrong(publish(&broker, vec![protobuf(json("3", &[("total", 1.5)]))]).await);
    assert!(found[0].starts_with("events[0].json.total "), "{found:?}");
    let unknown = proto::Event { r#type: "shop.v1.Refund".into(), ..protobuf(json("4", &[])) };
    let found = wrong(publish(&broker, vec![unknown]).await);
    assert!(found[0].contains("shop.v1.Refund is not registered"), "{found:?}");
    // A message of a type that nobody registered is bytes.
    publish(&broker, vec![any("5", "shop.v1.Refund", b"\xff")]).await.expect("stored");
    let event = stream.one().await;
    assert_eq!(
        (event.r#type.as_str(), event.payload),
        ("shop.v1.Refund", Some(Payload::Data(b"\xff"[..].into())))
    );
    let odd = proto::Event { data_content_type: "text/plain".into(), ..any("6", ORDER, b"") };
    assert!(matches!(publish(&broker, vec![odd]).await, Err(PublishError::Invalid { .. })));
}

#[tokio::test]
async fn people_see_messages_and_json_exactly_or_as_they_are_stored() {
    let broker = shop(Enforcement::Off);
    let mut stream = Stream::open(&broker, proto::View::Json).await;
    let mut stored = Stream::open(&broker, proto::View::Unspecified).await;
    let protobuf =
        |event| proto::Event { data_content_type: "application/protobuf".into(), ..event };
    let unknown_field = b"\x0a\x017\x9a\x06\x01x";
    let sent = vec![
        protobuf(data("1", SEVEN)),
        protobuf(data("2", unknown_field)),
        protobuf(data("3", WRONG)),
        proto::Event { r#type: "shop.v1.Refund".into(), ..protobuf(data("4", SEVEN)) },
        data("5", SEVEN),
        json("6", &[("total", 5.0)]),
    ];
    publish(&broker, sent).await.expect("stored");
    let events = stream.next().await.expect("no gap");
    let as_stored = stored.next().await.expect("no gap");
    let Some(Payload::Proto(any)) = &events[0].payload else { panic!("{:?}", events[0]) };
    assert_eq!(any.type_url, "type.googleapis.com/shop.v1.OrderPlaced");
    assert_eq!(any.value, SEVEN);
    assert_eq!(events[1..5], as_stored[1..5]);
    assert!(matches!(events[5].payload, Some(Payload::Json(_))));
    // What is shown can be published again, and is the same event then.
    publish(&broker, vec![events[0].clone()]).await.expect("stored");
    assert_eq!(stored.one().await, as_stored[0]);
}

/// As another broker stored it, and this one has never used it.
fn large_record() -> Record {
    let fields: String = (4..1000).map(|n| format!("string field_number_{n} = {n};")).collect();
    let source = SOURCE.replace("int64 total = 3;", &format!("int64 total = 3; {fields}"));
    let elsewhere = Registry::default();
    let proposed = elsewhere.snapshot().propose(&candidate(ORDER, &source), Default::default());
    match proposed {
        Ok(Proposal::New { record, .. }) => {
            assert!(
                record.descriptors.len() > 16 << 10
                    && record.compatibility == Compatibility::Backward
            );
            record
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_large_schema_that_was_never_used_is_linked_on_the_way() {
    for streamed in [false, true] {
        let broker = in_memory_with(asking(Enforcement::Reject, &[ORDER]), options());
        let version = broker.registry().apply(large_record());
        assert!(!version.is_linked());
        if streamed {
            let mut pipeline = broker.pipeline("/test").expect("opened");
            for tag in 1..=3 {
                let event = if tag == 2 { WRONG } else { SEVEN };
                let events = vec![data("", event).into()];
                let publish = Publish {
                    topic: topic("orders"),
                    events,
                    validate_only: false,
                    expected_last: None,
                };
                pipeline.push(tag, publish);
                while !pipeline.has_room() && tag == 1 {
                    assert!(!pipeline.is_idle());
                    let answer = pipeline.answer().await.expect("an answer");
                    assert!(answer.tag == 1 && answer.result.is_ok(), "{answer:?}");
                }
            }
            let answers = [pipeline.answer().await, pipeline.answer().await];
            let told =
                answers.map(|answer| answer.map(|answer| (answer.tag, answer.result.is_ok())));
            assert_eq!(told, [Some((2, false)), Some((3, true))]);
        } else {
            publish(&broker, vec![data("1", SEVEN)]).await.expect("stored");
            wrong(publish(&broker, vec![data("1", WRONG)]).await);
        }
        assert!(version.is_linked());
    }
}

#[tokio::test]
async fn what_raw_clients_publish_is_an_event_of_its_type_or_a_gap() {
    let server = RedisServer::start(Persistence::None).await;
    let cloud_event = |id: &str, data: &str| {
        format!(r#"{{"specversion":"1.0","id":"{id}","source":"/shop","type":"{ORDER}",{data}}}"#)
    };
    let base64 = r#""datacontenttype":"application/protobuf","data_base64":"CgE3""#;
    let wrong_base64 = r#""datacontenttype":"application/protobuf","data_base64":"EgASAhAB""#;
    for enforcement in [Enforcement::Reject, Enforcement::Warn] {
        let broker =
            on_redis(&server.url(), enforcement.name(), asking(enforcement, &[ORDER])).await;
        let broker = registered(broker);
        let mut stream = Stream::open(&broker, proto::View::Unspecified).await;
        for (message, is_valid) in [
            (r#"{"orderId":"7"}"#.to_owned(), true),
            ("hello".to_owned(), false),
            (r#"{"orderId":7}"#.to_owned(), false),
            (cloud_event("1", r#""data":{"total":"5"}"#), true),
            (cloud_event("2", base64), true),
            (cloud_event("3", wrong_base64), false),
            (cloud_event("4", base64).replace("OrderPlaced", "Refund"), false),
        ] {
            server.command(&["PUBLISH", "orders", &message]).await;
            let told = stream.next().await;
            if !is_valid && enforcement == Enforcement::Reject {
                let gap = told.expect_err("a gap");
                assert_eq!(gap.reason(), proto::gap::Reason::Undecodable, "{message}");
                assert_eq!(gap.missed, Some(1), "{message}");
                continue;
            }
            let event = told.expect("delivered").remove(0);
            let mark = event.extensions.get("tidingsinvalid");
            assert_eq!(mark.is_none(), is_valid, "{message}: {mark:?}");
            assert_eq!(event.data_schema, if is_valid { URI } else { "" }, "{message}");
        }
        let warnings = broker.info().warnings;
        let counted = |warning: &String| warning.starts_with("4 ");
        assert!(warnings.iter().any(counted), "{warnings:?}");
        // It goes on, for whoever publishes as they should.
        publish(&broker, vec![data("9", SEVEN)]).await.expect("stored");
        assert!(!stream.one().await.encode_to_vec().is_empty());
        broker.close().await;
    }
}
