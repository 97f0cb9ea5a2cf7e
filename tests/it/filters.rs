//! Filters that look into events, as subscribers meet them.

use std::time::Duration;

use prost_types::Timestamp;
use tidings::{
    broker::Broker,
    grpc::client::BrokerClient,
    proto::{self, event::Payload},
    schema::{Compiled, compatibility::Json, registry::Candidate},
};
use tonic_types::StatusExt;

use crate::support::{
    in_process::{Lines, event, in_memory, publish, publish_each, request},
    served::{Served, reason},
};

fn filtered(topic: &str, cel: &str) -> proto::SubscribeRequest {
    let filter = Some(proto::Filter { cel: cel.into(), ..Default::default() });
    proto::SubscribeRequest { filter, ..request(&[topic]) }
}

fn json(id: u64, text: &str) -> proto::Event {
    let payload = Some(Payload::Text(text.into()));
    proto::Event { payload, data_content_type: "application/json".into(), ..event(id) }
}

/// `total` is field 1, as a varint.
fn order(id: u64, total: u8) -> proto::Event {
    let payload = Some(Payload::Data(vec![0x08, total].into()));
    proto::Event { payload, r#type: "shop.v1.OrderPlaced".into(), ..event(id) }
}

fn register(broker: &Broker, field: &str) {
    let text = format!(
        "syntax = \"proto3\"; package shop.v1; message OrderPlaced {{ int32 {field} = 1; }}"
    );
    let compiled =
        Compiled::from_sources("shop.v1.OrderPlaced", [("order.proto", text.as_bytes())]);
    let candidate = Candidate {
        compiled: compiled.expect("a valid schema"),
        sources: Default::default(),
        compatibility: None,
        json: Json::Unused,
        force: false,
    };
    let now = Timestamp { seconds: 1_800_000_000, nanos: 0 };
    broker.registry().register(&candidate, now).expect("registered");
}

#[tokio::test]
async fn subscribers_get_the_events_of_which_their_expression_is_true() {
    let broker = in_memory();
    let mut large = Lines::open(&broker, filtered("orders", "data.total > 100")).await;
    let mut second = Lines::open(&broker, filtered("orders", "event.id == '2'")).await;
    let events = vec![json(1, r#"{"total": 50}"#), json(2, r#"{"total": 150}"#), json(3, "{}")];
    publish(&broker, "orders", events).await.expect("stored");
    publish(&broker, "orders", vec![json(4, r#"{"total": 101}"#)]).await.expect("stored");
    large.expect("orders 2, orders 4").await;
    second.expect("orders 2").await;

    // What is kept, as well; a place that was left out is told all the same.
    let kept = proto::SubscribeRequest {
        stop_at_end: true,
        start: Some(proto::subscribe_request::Start::Earliest(true)),
        ..filtered("orders", "data.total > 100 && data.total < 151")
    };
    let mut kept = Lines::open(&broker, kept).await;
    kept.expect("orders 2, orders 4").await;
}

#[tokio::test]
async fn a_type_is_looked_into_from_when_it_is_registered_by_its_newest_version() {
    let broker = in_memory();
    publish(&broker, "orders", vec![order(1, 101)]).await.expect("stored");
    let kept = proto::SubscribeRequest {
        stop_at_end: true,
        start: Some(proto::subscribe_request::Start::Earliest(true)),
        ..filtered("orders", "data.total > 100")
    };
    let mut before = Lines::open(&broker, kept.clone()).await;
    let mut line = before.next().await;
    while line != "end" {
        assert!(!line.starts_with("orders "), "{line}");
        line = before.next().await;
    }
    register(&broker, "total");
    Lines::open(&broker, kept).await.expect("orders 1").await;
    let mut large = Lines::open(&broker, filtered("orders", "data.total > 100")).await;
    publish(&broker, "orders", vec![order(2, 9), order(3, 102)]).await.expect("stored");
    large.expect("orders 3").await;

    register(&broker, "renamed");
    let mut renamed = Lines::open(&broker, filtered("orders", "data.renamed > 100")).await;
    publish(&broker, "orders", vec![order(5, 103)]).await.expect("stored");
    renamed.expect("orders 5").await;
}

/// All on one thread: who is asked first would have its answer first.
#[tokio::test]
async fn an_expression_that_has_much_to_do_keeps_nobody_waiting_but_who_asked_for_it() {
    let broker = in_memory();
    let cel = "data.all(x, x >= 0) && event.id != '2'";
    let mut asks_much = Lines::open(&broker, filtered("orders", cel)).await;
    let mut asks_nothing = Lines::open(&broker, request(&["payments"])).await;
    let mut both = Lines::open(&broker, request(&["orders", "payments"])).await;
    let list = format!("[{}]", (0..50).map(|n| n.to_string()).collect::<Vec<_>>().join(","));
    let many = (1..=200).map(|id| json(id, &list)).collect();
    publish(&broker, "orders", many).await.expect("stored");
    publish_each(&broker, "payments", 1..=1).await;
    for _ in 0..201 {
        both.next().await;
    }
    let answers = tokio::sync::Mutex::new(Vec::new());
    tokio::join!(
        async {
            asks_much.expect("orders 1, orders 3").await;
            answers.lock().await.push("much");
        },
        async {
            asks_nothing.expect("payments 1").await;
            answers.lock().await.push("nothing");
        },
    );
    assert_eq!(answers.into_inner(), ["nothing", "much"]);
    // Also where it was late: by what is kept, and to the end of it.
    let kept = proto::SubscribeRequest {
        stop_at_end: true,
        start: Some(proto::subscribe_request::Start::Last(2)),
        ..filtered("orders", cel)
    };
    Lines::open(&broker, kept).await.expect("orders 199, orders 200, caught up, end").await;
}

#[tokio::test]
async fn a_mistake_is_told_before_the_first_frame_with_its_place() {
    let served = Served::start(in_memory(), Duration::ZERO).await;
    let mut client = BrokerClient::new(served.channel().await);
    for (cel, part) in [
        ("event.typ == 'a'", "line 1, column 7: event has no \"typ\""),
        ("true &&\n data.x.shout()", "line 2, column 9: there is no \"shout\""),
        ("true &&", "line 1, column "),
    ] {
        let status = client.subscribe(filtered("orders", cel)).await.expect_err("refused");
        assert_eq!(reason(&status), "FILTER_INVALID");
        let details = status.get_error_details();
        let violations = &details.bad_request().expect("fields").field_violations;
        assert_eq!(violations[0].field, "filter.cel");
        assert!(violations[0].description.contains(part), "{}", violations[0].description);
    }
    let long = "\u{1F600}".repeat(100_000);
    let status = client.subscribe(filtered("orders", &long)).await.expect_err("refused");
    assert_eq!(reason(&status), "FILTER_INVALID");
}
