//! What a subscriber sees, whatever happens around it.

use std::time::Duration;

use tidings::{
    backend::TopicSettings,
    catalog::{Catalog, Rule},
    event::timestamp_us,
    proto::{self, subscribe_request::Start},
};

use crate::support::in_process::{
    Lines, event, in_memory, in_memory_with, keeping, options, publish, publish_each, request,
    subscribe, topic,
};

const SECOND: Duration = Duration::from_secs(1);

fn from(start: Start, topics: &[&str]) -> proto::SubscribeRequest {
    proto::SubscribeRequest { start: Some(start), ..request(topics) }
}

fn after(resume: Vec<proto::Position>, topics: &[&str]) -> proto::SubscribeRequest {
    proto::SubscribeRequest { resume, ..request(topics) }
}

#[tokio::test(start_paused = true)]
async fn what_is_published_after_opened_is_delivered_in_order() {
    let broker = in_memory();
    let mut lines = Lines::open(&broker, request(&["orders"])).await;
    publish_each(&broker, "orders", 1..=3).await;
    publish(&broker, "orders", vec![event(4), event(5)]).await.expect("stored");
    lines.expect("orders 1, orders 2, orders 3, orders 4, orders 5").await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_begins_where_it_is_asked_to() {
    let broker = in_memory();
    publish_each(&broker, "orders", 1..=2).await;
    tokio::time::sleep(100 * SECOND).await;
    publish_each(&broker, "orders", 3..=4).await;
    let ago = prost_types::Duration { seconds: 50, nanos: 0 };
    for (start, expected) in [
        (Start::Earliest(true), "orders 1, orders 2, orders 3, orders 4, caught up"),
        (Start::Last(3), "orders 2, orders 3, orders 4, caught up"),
        (Start::Last(0), "caught up"),
        (Start::StartAgo(ago), "orders 3, orders 4, caught up"),
        (Start::StartTime(timestamp_us(5)), "orders 1, orders 2, orders 3, orders 4, caught up"),
    ] {
        Lines::open(&broker, from(start, &["orders"])).await.expect(expected).await;
        let end = proto::SubscribeRequest { stop_at_end: true, ..from(start, &["orders"]) };
        Lines::open(&broker, end).await.expect(&format!("{expected}, end")).await;
    }
    let nothing = proto::SubscribeRequest { stop_at_end: true, ..request(&["orders", "none"]) };
    Lines::open(&broker, nothing).await.expect("end").await;
}

#[tokio::test(start_paused = true)]
async fn a_client_comes_back_to_its_place() {
    let broker = in_memory();
    let mut lines = Lines::open(&broker, request(&["orders"])).await;
    publish_each(&broker, "orders", 1..=3).await;
    lines.expect("orders 1, orders 2").await;
    let mut resume = lines.resume();
    resume[0].sequence = 2;
    drop(lines);
    publish_each(&broker, "orders", 4..=5).await;
    let mut lines = Lines::open(&broker, after(resume, &["orders"])).await;
    lines.expect("orders 3, orders 4, orders 5, caught up").await;
    publish_each(&broker, "orders", 6..=6).await;
    lines.expect("orders 6").await;
}

#[tokio::test(start_paused = true)]
async fn a_lagging_subscriber_gets_one_gap_with_the_exact_count_and_no_one_else_does() {
    let broker = in_memory_with(keeping(1000), options());
    let mut slow = Lines::open(&broker, request(&["orders"])).await;
    let mut quick = Lines::open(&broker, request(&["orders"])).await;
    publish_each(&broker, "orders", 1..=1).await;
    slow.expect("orders 1").await;
    quick.expect("orders 1").await;
    for id in 2..=9000 {
        publish_each(&broker, "orders", [id]).await;
        quick.expect(&format!("orders {id}")).await;
    }
    slow.expect("gap orders 1>8000 missed 7999 REASON_SLOW_CONSUMER").await;
    for id in 8001..=9000 {
        slow.expect(&format!("orders {id}")).await;
    }
    publish_each(&broker, "orders", 9001..=9001).await;
    slow.expect("orders 9001").await;
    quick.expect("orders 9001").await;
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_that_lags_by_less_than_the_history_loses_nothing() {
    let broker = in_memory_with(keeping(100_000), options());
    let mut slow = Lines::open(&broker, request(&["orders"])).await;
    publish_each(&broker, "orders", 1..=9000).await;
    for id in 1..=9000 {
        slow.expect(&format!("orders {id}")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_trimmed_is_a_gap_or_the_end_as_the_client_wishes() {
    let broker = in_memory_with(keeping(2), options());
    let lines = Lines::open(&broker, request(&["orders"])).await;
    publish_each(&broker, "orders", 1..=1).await;
    let position = {
        let mut lines = lines;
        lines.expect("orders 1").await;
        lines.resume()
    };
    publish_each(&broker, "orders", 2..=5).await;
    let mut lines = Lines::open(&broker, after(position.clone(), &["orders"])).await;
    lines.expect("gap orders 1>3 missed 2 REASON_RETENTION, orders 4, orders 5, caught up").await;
    let strict = proto::SubscribeRequest { fail_on_gap: true, ..after(position, &["orders"]) };
    let mut lines = Lines::open(&broker, strict).await;
    assert!(lines.next().await.starts_with("error events of orders after"));
    lines.expect("end").await;
}

#[tokio::test(start_paused = true)]
async fn positions_that_are_ahead_or_of_another_life_concern_only_who_sent_them() {
    let broker = in_memory();
    let mut honest = Lines::open(&broker, request(&["orders"])).await;
    publish_each(&broker, "orders", 1..=3).await;
    honest.expect("orders 1, orders 2, orders 3").await;
    let real = honest.resume()[0].clone();
    let ahead = proto::Position { sequence: u64::MAX, ..real.clone() };
    let mut lines = Lines::open(&broker, after(vec![ahead], &["orders"])).await;
    lines
        .expect(&format!("gap orders {}>3 missed ? REASON_EPOCH_CHANGED, caught up", u64::MAX))
        .await;
    for epoch in [1, u64::MAX] {
        let other = proto::Position { epoch, ..real.clone() };
        let mut lines = Lines::open(&broker, after(vec![other], &["orders"])).await;
        lines.expect("gap orders 3>0 missed ? REASON_EPOCH_CHANGED").await;
        lines.expect("orders 1, orders 2, orders 3, caught up").await;
    }
    publish_each(&broker, "orders", 4..=4).await;
    honest.expect("orders 4").await;
    assert_eq!(broker.info().broken_chains, 0);
}

#[tokio::test(start_paused = true)]
async fn requests_that_make_no_sense_are_refused_by_field() {
    let broker = in_memory();
    let position =
        |topic: &str, epoch, sequence| proto::Position { topic: topic.into(), epoch, sequence };
    let filter = |kind: &str| proto::SubscribeRequest {
        filter: Some(proto::Filter { types: vec![kind.into()], ..Default::default() }),
        ..request(&["orders"])
    };
    let interval = |seconds| proto::SubscribeRequest {
        heartbeat_interval: Some(prost_types::Duration { seconds, nanos: 0 }),
        ..request(&["orders"])
    };
    for (refused, why) in [
        (request(&[]), "topics is empty"),
        (request(&vec!["orders"; 101]), "topics has 101"),
        (request(&["orders", "a..b"]), "topics[1]"),
        (request(&["_tidings.topics"]), "topics[0]"),
        (after(vec![position("orders", 0, 7)], &["orders"]), "resume[0]"),
        (after(vec![position("other", 1, 7)], &["orders"]), "resume[0]"),
        (after(vec![position("orders", 1, 7), position("orders", 2, 7)], &["orders"]), "resume[1]"),
        (filter("a*"), "filter.types[0]"),
        (filter("*"), "filter.types[0]"),
        (interval(0), "heartbeat_interval"),
        (interval(121), "heartbeat_interval"),
    ] {
        let error = subscribe(&broker, refused).await.expect_err(why).to_string();
        assert!(error.starts_with(why), "{error} instead of {why}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pattern_follows_topics_that_exist_and_those_that_are_born_later() {
    let broker = in_memory();
    publish_each(&broker, "orders.eu", 1..=2).await;
    publish_each(&broker, "payments", 1..=2).await;
    let mut lines = Lines::open(&broker, request(&["orders.*", "orders.eu", ">"])).await;
    lines.expect("heartbeat payments:2").await;
    publish_each(&broker, "orders.eu", 3..=3).await;
    lines.expect("orders.eu 3").await;
    publish_each(&broker, "orders.us", 1..=3).await;
    lines.expect("orders.us 1, orders.us 2, orders.us 3").await;
    publish_each(&broker, "orders.us", 4..=4).await;
    lines.expect("orders.us 4").await;
}

#[tokio::test(start_paused = true)]
async fn a_client_of_a_pattern_that_comes_back_with_positions_and_time_misses_no_new_topic() {
    let broker = in_memory();
    publish_each(&broker, "orders.eu", 1..=1).await;
    let asked = proto::SubscribeRequest {
        heartbeat_interval: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
        ..request(&["orders.*"])
    };
    let mut subscription = subscribe(&broker, asked.clone()).await.expect("a stream");
    let mut time = None;
    let mut positions = Vec::new();
    for _ in 0..5 {
        let frame = subscription.next().await.expect("a frame").expect("no error");
        let control = frame.decode().expect("a frame").control;
        if let Some(proto::subscribe_response::Control::Heartbeat(heartbeat)) = control {
            time = heartbeat.time;
            positions.extend(heartbeat.positions);
        }
    }
    drop(subscription);
    publish_each(&broker, "orders.us", 1..=2).await;
    let back =
        proto::SubscribeRequest { resume: positions, start: time.map(Start::StartTime), ..asked };
    assert!(back.start.is_some(), "no heartbeat told the time");
    let mut lines = Lines::open(&broker, back).await;
    let mut seen = Vec::new();
    while seen.len() < 3 {
        let line = lines.next().await;
        if !line.starts_with("heartbeat") {
            seen.push(line);
        }
    }
    assert_eq!(seen, ["orders.us 1", "orders.us 2", "caught up"]);
}

#[tokio::test(start_paused = true)]
async fn what_a_filter_leaves_out_is_told_by_heartbeats_also_beside_a_busy_topic() {
    let broker = in_memory();
    let filter = proto::Filter {
        types: vec!["shop.v1.*".into()],
        keys: vec!["k".into()],
        ..Default::default()
    };
    let asked = proto::SubscribeRequest { filter: Some(filter), ..request(&["orders", "busy"]) };
    let mut lines = Lines::open(&broker, asked).await;
    let typed = |id: u64, name: &str, key: &str| proto::Event {
        r#type: name.into(),
        key: key.into(),
        ..event(id)
    };
    let batch = vec![
        typed(1, "shop.v1.Order", "k"),
        typed(2, "shop.v2.Order", "k"),
        typed(3, "shop.v1.Order", "other"),
    ];
    publish(&broker, "orders", batch).await.expect("stored");
    lines.expect("orders 1").await;
    for id in 1..=20 {
        publish(&broker, "busy", vec![typed(id, "shop.v1.X", "k")]).await.expect("stored");
        let line = lines.next().await;
        if line == "heartbeat orders:3" {
            return;
        }
        assert_eq!(line, format!("busy {id}"));
        tokio::time::sleep(SECOND).await;
    }
    panic!("the position was never told");
}

#[tokio::test(start_paused = true)]
async fn silence_is_bounded() {
    let broker = in_memory();
    let asked = proto::SubscribeRequest {
        heartbeat_interval: Some(prost_types::Duration { seconds: 2, nanos: 0 }),
        ..request(&["quiet"])
    };
    let mut lines = Lines::open(&broker, asked).await;
    for _ in 0..3 {
        let asked_at = tokio::time::Instant::now();
        lines.expect("heartbeat").await;
        assert_eq!(asked_at.elapsed().as_millis() / 10, 200);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_sent_away_before_it_is_too_old() {
    let options = tidings::broker::BrokerOptions { max_stream_age: Some(60 * SECOND), ..options() };
    let broker = in_memory_with(Catalog::default(), options);
    let started = tokio::time::Instant::now();
    let mut lines = Lines::open(&broker, request(&["orders"])).await;
    let mut line = lines.next().await;
    while line == "heartbeat" {
        line = lines.next().await;
    }
    assert_eq!(line, "go away REASON_MAX_AGE");
    let age = started.elapsed().as_secs();
    assert!((54..=66).contains(&age), "{age}");
    publish_each(&broker, "orders", 1..=1).await;
    lines.expect("orders 1").await;
    assert!(lines.next().await.starts_with("error the stream reached its greatest age"));
    lines.expect("end").await;
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_drains_says_where_each_client_is_and_serves_on_for_the_grace() {
    let broker = in_memory();
    let mut lines = Lines::open(&broker, request(&["orders"])).await;
    let draining = tokio::spawn({
        let broker = broker.clone();
        async move { broker.drain(5 * SECOND).await }
    });
    lines.expect("heartbeat, go away REASON_SHUTDOWN").await;
    publish_each(&broker, "orders", 1..=1).await;
    lines.expect("orders 1").await;
    let refused = subscribe(&broker, request(&["orders"])).await.expect_err("draining");
    assert!(refused.to_string().contains("stopping"), "{refused}");
    assert!(lines.next().await.starts_with("error the broker is stopping"));
    drop(lines);
    draining.await.expect("drained");
    assert_eq!(broker.streams(), 0);
}

#[tokio::test(start_paused = true)]
async fn two_topics_take_turns() {
    let broker = in_memory();
    for name in ["large", "small"] {
        for id in 0..100 {
            let data = proto::event::Payload::Data(vec![0; 16 << 10].into());
            let event = proto::Event { payload: Some(data), ..event(id) };
            publish(&broker, name, vec![event]).await.expect("stored");
        }
    }
    let mut lines = Lines::open(&broker, from(Start::Earliest(true), &["large", "small"])).await;
    let mut first = 0;
    while !lines.next().await.starts_with("small") {
        first += 1;
    }
    assert!(first <= 20, "{first} events of one topic before the other's turn");
}

#[tokio::test(start_paused = true)]
async fn small_events_that_are_ready_together_share_a_frame() {
    let broker = in_memory();
    let mut lines = Lines::open(&broker, request(&["orders"])).await;
    publish_each(&broker, "orders", 1..=100).await;
    for id in 1..=100 {
        lines.expect(&format!("orders {id}")).await;
    }
    assert!(lines.frames <= 3, "{} frames", lines.frames);
}

#[tokio::test(start_paused = true)]
async fn json_is_shown_to_who_asks_for_it() {
    let broker = in_memory();
    let text = proto::event::Payload::Text(r#"{"total":1299}"#.into());
    let order = proto::Event {
        data_content_type: "application/json".into(),
        payload: Some(text),
        ..event(1)
    };
    publish(&broker, "orders", vec![order]).await.expect("stored");
    let payload = async |view: proto::View| {
        let asked = proto::SubscribeRequest {
            view: view.into(),
            stop_at_end: true,
            ..from(Start::Earliest(true), &["orders"])
        };
        let mut stream = subscribe(&broker, asked).await.expect("a stream");
        while let Some(frame) = stream.next().await {
            let mut frame = frame.expect("a frame").decode().expect("a frame");
            if let Some(event) = frame.events.pop() {
                assert_eq!(event.position.expect("a position").sequence, 1);
                return event.payload;
            }
        }
        panic!("no event came");
    };
    use proto::event::Payload;
    assert!(matches!(payload(proto::View::Unspecified).await, Some(Payload::Text(_))));
    assert!(matches!(payload(proto::View::Json).await, Some(Payload::Json(_))));
    assert_eq!(payload(proto::View::Metadata).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_was_forgotten_is_a_gap_for_who_was_away() {
    let settings = TopicSettings { idle: 60 * SECOND, ..TopicSettings::default() };
    let catalog = Catalog::new(Vec::new(), "", settings).expect("no rules");
    let broker = in_memory_with(catalog, options());
    let mut lines = Lines::open(&broker, request(&["orders"])).await;
    publish_each(&broker, "orders", 1..=2).await;
    lines.expect("orders 1, orders 2").await;
    let resume = lines.resume();
    drop(lines);
    tokio::time::sleep(200 * SECOND).await;
    let mut lines = Lines::open(&broker, after(resume.clone(), &["orders"])).await;
    lines.expect("gap orders 2>0 missed ? REASON_EPOCH_CHANGED, caught up").await;
    publish_each(&broker, "orders", 3..=3).await;
    lines.expect("orders 3").await;
    let mut lines = Lines::open(&broker, after(resume, &["orders"])).await;
    lines.expect("gap orders 2>0 missed ? REASON_EPOCH_CHANGED, orders 3, caught up").await;
}

#[tokio::test(start_paused = true)]
async fn publishing_is_all_or_nothing_and_reserved_names_are_refused() {
    let broker = in_memory();
    let bad = proto::Event { id: "\u{1}".into(), ..Default::default() };
    let error = publish(&broker, "orders", vec![event(1), bad.clone(), bad]).await;
    let error = error.expect_err("refused").to_string();
    assert!(error.contains("events[1].id") && error.contains("events[2].id"), "{error}");
    assert!(publish(&broker, "orders", vec![]).await.is_err());
    assert!(publish(&broker, "_tidings.topics", vec![event(1)]).await.is_err());
    assert!(publish(&broker, "orders", vec![event(1); 1001]).await.is_err());
    let check = tidings::broker::Publish {
        topic: topic("orders"),
        events: vec![event(1).into()],
        validate_only: true,
        expected_last: None,
    };
    let checked = broker.publish("/test", check).await.expect("valid");
    assert_eq!(checked.receipts[0].position, None);
    let all =
        proto::SubscribeRequest { stop_at_end: true, ..from(Start::Earliest(true), &["orders"]) };
    Lines::open(&broker, all).await.expect("caught up, end").await;
}

#[tokio::test(start_paused = true)]
async fn an_event_without_a_type_gets_the_one_that_its_topics_rule_names() {
    let rule = Rule {
        default_type: Some("com.example.order".into()),
        ..Rule::new("orders.*".parse().expect("a pattern"))
    };
    let catalog = Catalog::new(vec![rule], "", TopicSettings::default()).expect("one rule");
    let broker = in_memory_with(catalog, options());
    let mut stream = subscribe(&broker, request(&["orders.eu", "other"])).await.expect("opened");
    let refund = proto::Event { r#type: "com.example.refund".into(), ..event(2) };
    publish(&broker, "orders.eu", vec![event(1), refund]).await.expect("stored");
    publish(&broker, "other", vec![event(3)]).await.expect("stored");
    let mut types = std::collections::BTreeMap::new();
    while types.len() < 3 {
        let frame = stream.next().await.expect("an open stream").expect("a frame");
        let events = frame.decode().expect("a frame").events;
        types.extend(events.into_iter().map(|event| (event.id, event.r#type)));
    }
    let told: Vec<_> = types.values().map(String::as_str).collect();
    assert_eq!(told, ["com.example.order", "com.example.refund", "tidings.untyped"]);
}

#[tokio::test(start_paused = true)]
async fn a_broker_has_no_more_streams_than_it_may() {
    let broker = in_memory_with(
        Catalog::default(),
        tidings::broker::BrokerOptions { max_streams: 1, ..options() },
    );
    let first = subscribe(&broker, request(&["orders"])).await.expect("one");
    assert!(subscribe(&broker, request(&["orders"])).await.is_err());
    drop(first);
    assert!(subscribe(&broker, request(&["orders"])).await.is_ok());
}
