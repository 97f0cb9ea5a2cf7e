//! Topics as resources: what an operator says of them holds on every broker, and costs no event.

use std::time::Duration;

use tidings::{
    backend::{Backend, BackendError, Mode, redis::Redis},
    broker::Broker,
    catalog::{Catalog, Rule},
    grpc::client::AdminClient,
    proto::{
        self, CreateTopicRequest, DeleteTopicRequest, GetTopicRequest, ListTopicsRequest,
        UpdateTopicRequest, topic::Mode as TopicMode,
    },
};
use tonic::{Code, Status, transport::Channel};
use tonic_types::StatusExt;

use crate::support::{
    backend::{config, event as stored_event, live},
    eventually,
    in_process::{
        Lines, event, in_memory, in_memory_with, on_redis, publish, publish_each, request, topic,
    },
    redis::{Persistence, RedisServer},
    served::{Served, reason},
    settings::durable,
};

const PATIENCE: Duration = Duration::from_secs(20);
const SETTINGS: &str = "td:_tidings.settings";

/// A broker and its API of topics.
struct Place {
    broker: Broker,
    admin: AdminClient<Channel>,
    _served: Served,
}

impl Place {
    async fn of(broker: Broker) -> Place {
        let served = Served::start(broker.clone(), Duration::ZERO).await;
        let admin = AdminClient::new(served.channel().await);
        Place { broker, admin, _served: served }
    }

    async fn create(&mut self, topic: proto::Topic) -> Result<proto::Topic, Status> {
        let request = CreateTopicRequest { topic: Some(topic) };
        Ok(self.admin.create_topic(request).await?.into_inner())
    }

    async fn get(&mut self, name: &str) -> Result<proto::Topic, Status> {
        Ok(self.admin.get_topic(GetTopicRequest { name: name.into() }).await?.into_inner())
    }

    /// No paths: every field that is set.
    async fn update(
        &mut self,
        topic: proto::Topic,
        paths: &[&str],
    ) -> Result<proto::Topic, Status> {
        let paths: Vec<_> = paths.iter().map(|path| (*path).to_owned()).collect();
        let update_mask = (!paths.is_empty()).then_some(prost_types::FieldMask { paths });
        let request = UpdateTopicRequest { topic: Some(topic), update_mask };
        Ok(self.admin.update_topic(request).await?.into_inner())
    }

    async fn delete(&mut self, name: &str, etag: &str) -> Result<(), Status> {
        let (name, etag) = (name.into(), etag.into());
        self.admin.delete_topic(DeleteTopicRequest { name, etag, force: false }).await?;
        Ok(())
    }

    async fn list(&mut self, pattern: &str) -> Vec<String> {
        let request = ListTopicsRequest { pattern: pattern.into(), ..Default::default() };
        let page = self.admin.list_topics(request).await.expect("a page").into_inner();
        page.topics.into_iter().map(|topic| topic.name).collect()
    }
}

/// A broker on each kind of backend.
async fn everywhere(test: impl AsyncFn(Place)) {
    test(Place::of(in_memory()).await).await;
    let server = RedisServer::start(Persistence::None).await;
    test(Place::of(on_redis(&server.url(), "b1", Catalog::default()).await).await).await;
}

fn named(name: &str) -> proto::Topic {
    proto::Topic { name: name.into(), ..Default::default() }
}

fn durable_topic(name: &str) -> proto::Topic {
    proto::Topic { mode: TopicMode::Durable.into(), ..named(name) }
}

fn keeping_events(name: &str, max_events: u64) -> proto::Topic {
    let retention = proto::Retention { max_events: Some(max_events), ..Default::default() };
    proto::Topic { retention: Some(retention), ..named(name) }
}

fn asking(name: &str, enforcement: i32, types: &[&str]) -> proto::Topic {
    let types = types.iter().map(ToString::to_string).collect();
    proto::Topic { schema: Some(proto::SchemaPolicy { enforcement, types }), ..named(name) }
}

fn many_types() -> proto::SchemaPolicy {
    proto::SchemaPolicy { enforcement: 3, types: (0..65).map(|n| format!("a.T{n}")).collect() }
}

fn limits(topic: &proto::Topic) -> (Option<u64>, Option<u64>, Option<i64>) {
    let retention = topic.retention.as_ref().expect("always told");
    (retention.max_events, retention.max_bytes, retention.max_age.map(|age| age.seconds))
}

fn refused<T: std::fmt::Debug>(result: Result<T, Status>) -> (Code, String) {
    let status = result.expect_err("refused");
    (status.code(), reason(&status))
}

fn fields<T: std::fmt::Debug>(result: Result<T, Status>) -> Vec<String> {
    let details = result.expect_err("refused").get_error_details();
    let violations = &details.bad_request().expect("fields").field_violations;
    violations.iter().map(|violation| violation.field.clone()).collect()
}

fn last(topic: &proto::Topic) -> u64 {
    let state = topic.state.as_ref().expect("always told");
    state.last.as_ref().map_or(0, |last| last.sequence)
}

#[tokio::test]
async fn a_topic_is_created_read_changed_listed_and_deleted() {
    everywhere(async |mut place| {
        let mut wanted = durable_topic("orders.eu");
        wanted.default_type = "shop.v1.Order".into();
        wanted.labels.insert("team".into(), "shop".into());
        let created = place.create(wanted).await.expect("created");
        assert_eq!(created.mode(), TopicMode::Durable);
        assert_eq!(limits(&created), (Some(1_000_000), Some(1 << 30), Some(7 * 24 * 3600)));
        let bridge = created.bridge.clone().expect("always told");
        assert_eq!((bridge.mode(), bridge.channel.as_str()), (proto::bridge::Mode::Off, ""));
        assert_eq!(created.labels["team"], "shop");
        assert!(!created.auto_created && !created.etag.is_empty());

        publish_each(&place.broker, "orders.eu", 1..=3).await;
        let read = place.get("orders.eu").await.expect("it is there");
        let state = read.state.clone().expect("always told");
        assert_eq!((state.first.map(|first| first.sequence), last(&read)), (Some(1), 3));
        assert!(state.bytes > 0);
        assert_eq!(proto::Topic { state: None, ..read }, proto::Topic { state: None, ..created });

        let changed = place.update(keeping_events("orders.eu", 2), &[]).await.expect("changed");
        assert_eq!(limits(&changed), (Some(2), None, None));
        assert_eq!((changed.mode(), last(&changed)), (TopicMode::Durable, 3));
        assert_eq!(changed.default_type, "shop.v1.Order");

        publish_each(&place.broker, "payments", [1]).await;
        let found = place.get("payments").await.expect("it began with its event");
        assert!(found.auto_created);
        assert_eq!(
            (found.mode(), limits(&found)),
            (TopicMode::Live, (Some(1000), Some(16 << 20), None))
        );
        let bridge = found.bridge.expect("always told");
        assert_eq!(bridge.channel, "payments");
        assert_eq!(place.list("").await, ["orders.eu", "payments"]);
        assert_eq!(place.list("orders.>").await, ["orders.eu"]);

        place.delete("orders.eu", "").await.expect("deleted");
        place.delete("payments", "").await.expect("deleted");
        assert_eq!(place.list("").await, [""; 0]);
        assert_eq!(
            refused(place.get("orders.eu").await),
            (Code::NotFound, "TOPIC_NOT_FOUND".into())
        );
        publish_each(&place.broker, "orders.eu", [1]).await;
        let again = place.get("orders.eu").await.expect("it began again");
        assert_eq!((again.mode(), again.auto_created, last(&again)), (TopicMode::Live, true, 1));
    })
    .await;
}

#[tokio::test]
async fn a_change_of_what_was_read_before_another_change_is_refused() {
    everywhere(async |mut place| {
        let created = place.create(named("orders")).await.expect("created");
        let old = proto::Topic { etag: created.etag.clone(), ..keeping_events("orders", 5) };
        let changed =
            place.update(old.clone(), &["retention"]).await.expect("nothing came between");
        assert_ne!(changed.etag, created.etag);
        let mismatch = (Code::Aborted, "ETAG_MISMATCH".to_owned());
        assert_eq!(refused(place.update(old, &["retention"]).await), mismatch);
        assert_eq!(refused(place.delete("orders", &created.etag).await), mismatch);
        // Of another topic nothing was changed.
        place.create(named("payments")).await.expect("created");
        place.delete("orders", &changed.etag).await.expect("deleted");

        // A topic of which nothing was said has an etag too.
        publish_each(&place.broker, "auto", [1]).await;
        let etag = place.get("auto").await.expect("there").etag;
        let first = proto::Topic { etag, ..keeping_events("auto", 5) };
        place.update(first.clone(), &[]).await.expect("changed");
        assert_eq!(refused(place.update(first, &[]).await), mismatch);
    })
    .await;
}

#[tokio::test]
async fn only_what_the_mask_names_is_changed() {
    everywhere(async |mut place| {
        let mut wanted = keeping_events("orders", 5);
        wanted.default_type = "a.v1.A".into();
        wanted.labels.insert("team".into(), "a".into());
        place.create(wanted).await.expect("created");

        let other = proto::Topic { default_type: "b.v1.B".into(), ..keeping_events("orders", 9) };
        let changed = place.update(other.clone(), &["default_type"]).await.expect("changed");
        assert_eq!((changed.default_type.as_str(), limits(&changed).0), ("b.v1.B", Some(5)));
        assert_eq!(changed.labels["team"], "a");
        let changed =
            place.update(other, &["labels", "retention.max_events"]).await.expect("changed");
        assert_eq!((changed.labels.len(), limits(&changed).0), (0, Some(9)));
        // Named and not set: back to the default.
        let changed = place.update(named("orders"), &["retention", "default_type"]).await;
        let changed = changed.expect("changed");
        assert_eq!((changed.default_type.as_str(), limits(&changed).0), ("", Some(1000)));

        let unknown = place.update(named("orders"), &["mode", "etag", "modes"]).await;
        assert_eq!(fields(unknown), ["update_mask.paths[1]", "update_mask.paths[2]"]);
    })
    .await;
}

#[tokio::test]
async fn lists_come_in_pages_in_the_order_of_names() {
    everywhere(async |mut place| {
        for number in 0..7 {
            place.create(named(&format!("page.{number}"))).await.expect("created");
            publish_each(&place.broker, &format!("auto.{number}"), [1]).await;
        }
        let (mut request, mut all) =
            (ListTopicsRequest { page_size: 4, ..Default::default() }, vec![]);
        loop {
            let page = place.admin.list_topics(request.clone()).await.expect("a page").into_inner();
            assert!(page.topics.len() <= 4);
            all.extend(page.topics.into_iter().map(|topic| topic.name));
            request.page_token = page.next_page_token;
            if request.page_token.is_empty() {
                break;
            }
            // Neither is what comes before the place told again, nor is anything left out.
            place.broker.get_topic(&topic("auto.0")).await.expect("there");
        }
        let expected: Vec<_> = (0..7)
            .map(|number| format!("auto.{number}"))
            .chain((0..7).map(|number| format!("page.{number}")))
            .collect();
        assert_eq!(all, expected);

        let first =
            ListTopicsRequest { pattern: "auto.*".into(), page_size: 2, page_token: String::new() };
        let page = place.admin.list_topics(first).await.expect("a page").into_inner();
        let other = ListTopicsRequest { page_token: page.next_page_token, ..Default::default() };
        assert_eq!(fields(place.admin.list_topics(other).await), ["page_token"]);
        let negative = ListTopicsRequest { page_size: -1, ..Default::default() };
        assert_eq!(fields(place.admin.list_topics(negative).await), ["page_size"]);
        let odd = ListTopicsRequest { pattern: "a..b".into(), ..Default::default() };
        let odd = refused(place.admin.list_topics(odd).await);
        assert_eq!(odd, (Code::InvalidArgument, "PATTERN_INVALID".into()));
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_its_field() {
    everywhere(async |mut place| {
        let invalid = |reason: &str| (Code::InvalidArgument, reason.to_owned());
        for name in ["", "a b", "a.*", "_tidings.topics", "_tidings"] {
            let wrong = invalid("TOPIC_NAME_INVALID");
            assert_eq!(refused(place.create(named(name)).await), wrong, "{name:?}");
            assert_eq!(refused(place.get(name).await), wrong, "{name:?}");
            assert_eq!(refused(place.delete(name, "").await), wrong, "{name:?}");
        }
        let age = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
        let aged = |seconds| proto::Retention { max_age: age(seconds), ..Default::default() };
        let retained =
            |retention| proto::Topic { retention: Some(retention), ..durable_topic("a") };
        let bridge = |channel: &str, mode: proto::bridge::Mode| {
            Some(proto::Bridge { channel: channel.into(), mode: mode.into() })
        };
        let labels = |count: usize| (0..count).map(|n| (n.to_string(), "x".into())).collect();
        for (wrong, field) in [
            (keeping_events("a", 1_000_001), "topic.retention.max_events"),
            (proto::Topic { retention: Some(aged(60)), ..named("a") }, "topic.retention.max_age"),
            (retained(aged(0)), "topic.retention.max_age"),
            (retained(aged(-1)), "topic.retention.max_age"),
            (proto::Topic { mode: 7, ..named("a") }, "topic.mode"),
            (
                proto::Topic { bridge: bridge("x", proto::bridge::Mode::Off), ..named("a") },
                "topic.bridge.channel",
            ),
            (
                proto::Topic { bridge: bridge("a\n", proto::bridge::Mode::Raw), ..named("a") },
                "topic.bridge.channel",
            ),
            (proto::Topic { default_type: "a\0".into(), ..named("a") }, "topic.default_type"),
            (proto::Topic { labels: labels(33), ..named("a") }, "topic.labels"),
            (asking("a", 7, &[]), "topic.schema.enforcement"),
            (asking("a", 3, &["shop.v1.", "b"]), "topic.schema.types"),
            (proto::Topic { schema: Some(many_types()), ..named("a") }, "topic.schema.types"),
        ] {
            let status = place.create(wrong.clone()).await.expect_err("refused");
            assert_eq!(reason(&status), "REQUEST_INVALID", "{wrong:?}");
            assert_eq!(fields::<()>(Err(status)), [field], "{wrong:?}");
        }
        assert_eq!(place.list("").await, [""; 0], "something was created");

        let missing = (Code::NotFound, "TOPIC_NOT_FOUND".to_owned());
        assert_eq!(refused(place.get("a").await), missing);
        assert_eq!(refused(place.update(keeping_events("a", 1), &[]).await), missing);
        assert_eq!(refused(place.delete("a", "").await), missing);
        place.create(named("a")).await.expect("created");
        publish_each(&place.broker, "b", [1]).await;
        for name in ["a", "b"] {
            let exists = (Code::AlreadyExists, "TOPIC_EXISTS".into());
            assert_eq!(refused(place.create(named(name)).await), exists);
        }
        let shared =
            proto::Topic { bridge: bridge("shop", proto::bridge::Mode::Raw), ..named("c") };
        place.create(shared.clone()).await.expect("created");
        let taken = (Code::FailedPrecondition, "CHANNEL_TAKEN".to_owned());
        assert_eq!(refused(place.create(proto::Topic { name: "d".into(), ..shared }).await), taken);
    })
    .await;
}

#[tokio::test]
async fn a_live_topic_becomes_durable_and_goes_on_where_it_was() {
    everywhere(async |mut place| {
        publish_each(&place.broker, "orders", 1..=3).await;
        let mut lines = Lines::open(&place.broker, request(&["orders"])).await;
        let before = place.get("orders").await.expect("there");
        let changed = place.update(durable_topic("orders"), &["mode"]).await.expect("changed");
        assert_eq!((changed.mode(), last(&changed)), (TopicMode::Durable, 3));
        publish_each(&place.broker, "orders", 4..=5).await;
        lines.expect("orders 4, orders 5").await;
        let after = place.get("orders").await.expect("there");
        let epoch = |topic: &proto::Topic| topic.state.clone().unwrap().last.unwrap().epoch;
        assert_eq!((epoch(&before), last(&after)), (epoch(&after), 5));
        let from_start = proto::SubscribeRequest {
            start: Some(proto::subscribe_request::Start::Earliest(true)),
            ..request(&["orders"])
        };
        let mut lines = Lines::open(&place.broker, from_start).await;
        lines.expect("orders 1, orders 2, orders 3, orders 4, orders 5").await;

        let live = proto::Topic { mode: TopicMode::Live.into(), ..named("orders") };
        let status = place.update(live, &["mode"]).await.expect_err("refused");
        assert_eq!(
            (status.code(), reason(&status).as_str()),
            (Code::FailedPrecondition, "TOPIC_IS_DURABLE")
        );
        assert!(status.message().contains("delete it, and create it again"), "{status:?}");
        let details = status.get_error_details();
        assert_eq!(details.precondition_failure().expect("what").violations[0].subject, "orders");
        // Nor when the mode is just no longer said.
        let status = place.update(named("orders"), &["mode"]).await.expect_err("refused");
        assert_eq!(reason(&status), "TOPIC_IS_DURABLE");
    })
    .await;
}

#[tokio::test]
async fn whoever_follows_a_topic_that_is_deleted_gets_a_gap() {
    everywhere(async |mut place| {
        place.create(durable_topic("orders")).await.expect("created");
        publish_each(&place.broker, "orders", 1..=3).await;
        let mut lines = Lines::open(&place.broker, request(&["orders"])).await;
        publish_each(&place.broker, "orders", [4]).await;
        lines.expect("orders 4").await;
        place.delete("orders", "").await.expect("deleted");
        eventually("the broker hears of it", PATIENCE, || {
            let broker = &place.broker;
            async move { publish(broker, "orders", vec![event(5)]).await.is_ok() }
        })
        .await;
        let gap = lines.next_within(PATIENCE).await.expect("a gap");
        // All were heard, and are there no more.
        assert_eq!(gap, "gap orders 4>0 missed 0 REASON_EPOCH_CHANGED");
        lines.expect("orders 5").await;
        assert_eq!(place.broker.info().broken_chains, 0);
    })
    .await;
}

#[tokio::test]
async fn what_the_file_says_of_a_topic_the_api_cannot_change() {
    let rules = || {
        let exact = Rule {
            mode: Some(Mode::Durable),
            max_events: Some(50),
            ..Rule::new("orders".parse().unwrap())
        };
        let wide = Rule { max_events: Some(20), ..Rule::new("logs.>".parse().unwrap()) };
        Catalog::new(vec![exact, wide], "", Default::default()).expect("rules")
    };
    let options = crate::support::in_process::options();
    let server = RedisServer::start(Persistence::None).await;
    for broker in [in_memory_with(rules(), options), on_redis(&server.url(), "b1", rules()).await] {
        let mut place = Place::of(broker).await;
        let in_file = (Code::FailedPrecondition, "TOPIC_IN_CONFIG_FILE".to_owned());
        // Named in the file: there, also before its first event.
        let read = place.get("orders").await.expect("there");
        assert_eq!((read.mode(), limits(&read)), (TopicMode::Durable, (Some(50), None, None)));
        assert!(!read.auto_created);
        let status = place.update(keeping_events("orders", 9), &[]).await.expect_err("refused");
        let info = status.get_details_error_info().expect("a reason");
        assert_eq!(info.reason, "TOPIC_IN_CONFIG_FILE");
        assert_eq!(
            (info.metadata["rule"].as_str(), info.metadata["field"].as_str()),
            ("orders", "retention.max_events")
        );
        assert_eq!(refused(place.delete("orders", "").await), in_file);
        // What it does not say may be said, also together with what it says as well.
        let whole = proto::Topic { default_type: "a.v1.A".into(), ..read };
        let changed = place.update(whole, &[]).await.expect("changed");
        assert_eq!((changed.default_type.as_str(), limits(&changed).0), ("a.v1.A", Some(50)));

        let wrong = place.create(keeping_events("logs.a", 30)).await;
        assert_eq!(refused(wrong), in_file);
        let created = place.create(durable_topic("logs.a")).await.expect("created");
        assert_eq!(
            (created.mode(), limits(&created)),
            (TopicMode::Durable, (Some(20), None, None))
        );
        place.delete("logs.a", "").await.expect("deleted");
        assert_eq!(place.list("").await, ["orders"]);
    }
}

#[tokio::test]
async fn brokers_of_one_redis_agree_also_where_no_announcement_comes() {
    let server = RedisServer::start(Persistence::None).await;
    let mut first = Place::of(on_redis(&server.url(), "b1", Catalog::default()).await).await;
    let second = on_redis(&server.url(), "b2", Catalog::default()).await;
    let wanted = proto::Topic { default_type: "a.v1.A".into(), ..named("orders") };
    first.create(wanted).await.expect("created");
    // Levels and not times: what the second broker makes of an event without a type.
    let becomes = async |expected: &str| {
        let mut stream = second.subscribe(request(&["orders"]).try_into().unwrap()).await.unwrap();
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            publish(&second, "orders", vec![event(1)]).await.expect("stored");
            let told = loop {
                let frame = stream.next().await.unwrap().unwrap().decode().unwrap();
                if let Some(event) = frame.events.into_iter().next() {
                    break event.r#type;
                }
            };
            if told == expected {
                return;
            }
            assert!(tokio::time::Instant::now() < end, "{told} and not {expected}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    becomes("a.v1.A").await;

    // Written behind the back of all, as by a broker whose announcement was lost.
    let version = first.get("orders").await.unwrap().etag.parse::<u64>().unwrap() + 1;
    let value = prost::Message::encode_to_vec(&proto::Topic {
        default_type: "b.v1.B".into(),
        retention: Some(proto::Retention::default()),
        bridge: Some(proto::Bridge::default()),
        ..named("orders")
    });
    let value = [format!("{version} ").as_bytes(), &value].concat();
    let version = version.to_string();
    let set =
        [&b"HSET"[..], SETTINGS.as_bytes(), b"orders", &value, b":version", version.as_bytes()];
    server.raw_command(&set).await.expect("written");
    becomes("b.v1.B").await;
}

#[tokio::test]
async fn a_broker_that_has_not_heard_harms_nothing() {
    let server = RedisServer::start(Persistence::None).await;
    let mut place = Place::of(on_redis(&server.url(), "b1", Catalog::default()).await).await;
    let (deaf, feed) = Redis::open(&config(&server.url(), "b2")).await.expect("a usable redis");
    let append = async |settings: &std::sync::Arc<_>, id: &str| {
        deaf.append(&topic("orders"), settings, vec![stored_event(id)].into()).await
    };
    // It knew the topic as live, and publishes on with what it knew.
    append(&live(), "1").await.expect("stored");
    place.update(durable_topic("orders"), &["mode"]).await.expect("changed");
    for id in ["2", "3"] {
        append(&live(), id).await.expect("stored");
    }
    let read = place.get("orders").await.expect("there");
    assert_eq!((read.mode(), last(&read)), (TopicMode::Durable, 3));
    let ttl = server.command(&["TTL", "td:{orders}:s"]).await;
    assert_eq!(ttl, crate::support::redis::Reply::Integer(-1), "it would be forgotten");

    // It knew another retention, and does not take it back.
    let old = place.update(keeping_events("orders", 1000), &[]).await.expect("changed");
    let mut known = durable();
    known.version = old.etag.parse().unwrap();
    known.keeping.retention.max_events = Some(1000);
    let known = std::sync::Arc::new(known);
    append(&known, "4").await.expect("stored");
    place.update(keeping_events("orders", 50_000), &[]).await.expect("changed");
    for id in ["5", "6"] {
        append(&known, id).await.expect("stored");
    }
    assert_eq!(limits(&place.get("orders").await.unwrap()).0, Some(50_000));

    // It does not begin again what was deleted, nor begins what is to be another.
    place.delete("orders", "").await.expect("deleted");
    let refused = append(&known, "7").await.expect_err("it has not heard");
    assert!(matches!(refused, BackendError::Unavailable { .. }), "{refused}");
    let is_new = append(&live(), "8").await.expect("what is said now: nothing");
    assert_eq!(is_new.first.sequence, 1);
    drop(feed);
}

#[tokio::test]
async fn what_was_said_survives_a_redis_that_loses_everything_while_a_broker_knows_it() {
    let server = RedisServer::start(Persistence::None).await;
    let mut place = Place::of(on_redis(&server.url(), "b1", Catalog::default()).await).await;
    let created = place.create(durable_topic("orders")).await.expect("created");
    publish_each(&place.broker, "orders", 1..=3).await;
    server.flushall().await;
    eventually("the topic is durable again", PATIENCE, || {
        let broker = &place.broker;
        async move { publish(broker, "orders", vec![event(4)]).await.is_ok() }
    })
    .await;
    let read = place.get("orders").await.expect("there");
    assert_eq!((read.mode(), read.auto_created), (TopicMode::Durable, false));
    assert_eq!(read.etag, created.etag, "nothing else was said of it");
    // Who comes new reads what the other one said again.
    let mut second = Place::of(on_redis(&server.url(), "b2", Catalog::default()).await).await;
    assert_eq!(second.get("orders").await.expect("there").mode(), TopicMode::Durable);

    // Set back to an older state, as by a failover.
    server.command(&["COPY", SETTINGS, "older"]).await;
    place.create(durable_topic("payments")).await.expect("created");
    server.command(&["COPY", "older", SETTINGS, "REPLACE"]).await;
    assert_eq!(place.get("payments").await.expect("there").mode(), TopicMode::Durable);
    let there = second.get("payments").await.expect("the other one put it back");
    assert_eq!(there.mode(), TopicMode::Durable);
}

#[tokio::test]
async fn a_broker_that_cannot_read_what_was_said_opens_nothing() {
    let server = RedisServer::start(Persistence::None).await;
    server.command(&["SET", SETTINGS, "foreign"]).await;
    let broker = on_redis(&server.url(), "b1", Catalog::default()).await;
    let refused = publish(&broker, "orders", vec![event(1)]).await.expect_err("not read");
    assert!(refused.to_string().contains("have not been read yet"), "{refused}");
    server.del(&[SETTINGS]).await;
    eventually("it is read", PATIENCE, || async {
        publish(&broker, "orders", vec![event(1)]).await.is_ok()
    })
    .await;

    // Later on, what was known stays.
    let mut place = Place::of(broker).await;
    place.create(durable_topic("kept")).await.expect("created");
    server.command(&["SET", SETTINGS, "foreign"]).await;
    publish_each(&place.broker, "kept", 1..=2).await;
    let refused = place.create(durable_topic("more")).await.expect_err("foreign");
    assert!(refused.message().contains(SETTINGS), "{refused:?}");

    // And of a topic of which it reads nothing that it understands, it keeps its hands.
    server.del(&[SETTINGS]).await;
    let odd =
        ["HSET", SETTINGS, "odd", "9 what a newer broker says", ":version", "9007199254740000"];
    server.command(&odd).await;
    eventually("only that topic suffers", PATIENCE, || async {
        let odd = publish(&place.broker, "odd", vec![event(1)]).await;
        odd.is_err_and(|error| error.to_string().contains("cannot be read"))
    })
    .await;
    publish_each(&place.broker, "others", [1]).await;
}

#[tokio::test]
async fn raw_clients_meet_a_topic_otherwise_while_it_is_followed() {
    let server = RedisServer::start(Persistence::None).await;
    let mut place = Place::of(on_redis(&server.url(), "b1", Catalog::default()).await).await;
    let mut lines = Lines::open(&place.broker, request(&["orders"])).await;
    let bridge = proto::Bridge { channel: "shop".into(), mode: proto::bridge::Mode::Raw.into() };
    publish_each(&place.broker, "orders", [1]).await;
    lines.expect("orders 1").await;
    let wanted = proto::Topic { bridge: Some(bridge), ..named("orders") };
    place.update(wanted, &["bridge"]).await.expect("changed");
    eventually("the new channel is listened to", PATIENCE, || async {
        server.pubsub_numsub("shop").await == 1 && server.pubsub_numsub("orders").await == 0
    })
    .await;
    server.publish("shop", b"hello").await;
    let raw = lines.next_within(PATIENCE).await.expect("an event");
    assert!(raw.starts_with("orders ") && raw != "orders 2", "{raw}");
    // And what the broker publishes there itself does not come twice.
    publish_each(&place.broker, "orders", 2..=3).await;
    lines.expect("orders 2, orders 3").await;
}

#[tokio::test]
async fn what_a_topic_asks_of_its_events_is_said_part_by_part() {
    everywhere(async |mut place| {
        let created = place.create(asking("a", 3, &["b.B", "a.A", "b.B"])).await.expect("created");
        let asks = |enforcement, types: &[&str]| asking("", enforcement, types).schema;
        assert_eq!(created.schema, asks(3, &["a.A", "b.B"]));
        let update = async |place: &mut Place, topic, paths: &[&str]| {
            place.update(topic, paths).await.expect("changed").schema
        };
        let warn = update(&mut place, asking("a", 2, &[]), &["schema.enforcement"]).await;
        assert_eq!(warn, asks(2, &["a.A", "b.B"]));
        let types = update(&mut place, asking("a", 3, &["c.C"]), &["schema.types"]).await;
        assert_eq!(types, asks(2, &["c.C"]));
        let other = update(&mut place, keeping_events("a", 9), &[]).await;
        assert_eq!(other, asks(2, &["c.C"]), "it was not named");
        assert_eq!(update(&mut place, named("a"), &["schema"]).await, None);
    })
    .await;
}
