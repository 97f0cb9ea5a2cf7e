//! What a subscriber sees of two brokers that share a Redis: nothing lost, nothing twice, and what
//! cannot be had is counted.

use std::time::Duration;

use tidings::{
    broker::Broker,
    catalog::Catalog,
    proto::{self, subscribe_request::Start},
};

use crate::support::{
    in_process::{Lines, event, keeping, on_redis, publish, publish_each, request},
    proxy::{Direction, FaultProxy, Mode, Which},
    redis::{Persistence, RedisServer},
};

const SECOND: Duration = Duration::from_secs(1);

async fn two_brokers(catalog: fn() -> Catalog) -> (RedisServer, FaultProxy, Broker, Broker) {
    let server = RedisServer::start(Persistence::None).await;
    let proxy = FaultProxy::start(server.port()).await;
    let ours = on_redis(&proxy.url(), "a", catalog()).await;
    let theirs = on_redis(&server.url(), "b", catalog()).await;
    (server, proxy, ours, theirs)
}

/// The next line that is no heartbeat.
async fn next(lines: &mut Lines) -> String {
    loop {
        let line = lines.next_within(20 * SECOND).await.expect("a line within twenty seconds");
        if !line.starts_with("heartbeat") {
            return line;
        }
    }
}

/// Events with these ids, and no gap.
async fn exactly(lines: &mut Lines, ids: impl IntoIterator<Item = u64>) {
    for id in ids {
        assert_eq!(next(lines).await, format!("orders {id}"));
    }
}

/// In batches of a hundred: quicker than one by one.
async fn publish_many(broker: &Broker, ids: std::ops::Range<u64>) {
    let ids: Vec<u64> = ids.collect();
    for ids in ids.chunks(100) {
        let events = ids.iter().map(event).collect();
        publish(broker, "orders", events).await.expect("stored");
    }
}

fn after(resume: Vec<proto::Position>) -> proto::SubscribeRequest {
    proto::SubscribeRequest { resume, ..request(&["orders"]) }
}

#[tokio::test]
async fn a_client_that_comes_to_a_broker_that_is_behind_misses_and_repeats_nothing() {
    let (_server, proxy, ours, theirs) = two_brokers(Catalog::default).await;
    let mut ahead = Lines::open(&theirs, request(&["orders"])).await;
    // Ours follows the topic already, and then hears nothing for a while.
    let mut held_back = Lines::open(&ours, request(&["orders"])).await;
    publish_each(&theirs, "orders", 1..=1).await;
    exactly(&mut held_back, 1..=1).await;
    proxy.set(Which::Sub, Direction::ToBroker, Mode::Freeze);
    publish_each(&theirs, "orders", 2..=4).await;
    exactly(&mut ahead, 1..=3).await;
    let mut resume = ahead.resume();
    resume[0].sequence = 3;
    let (mut lines, ()) = tokio::join!(Lines::open(&ours, after(resume)), async {
        tokio::time::sleep(SECOND / 3).await;
        proxy.heal();
    });
    exactly(&mut lines, 4..=4).await;
    assert_eq!(next(&mut lines).await, "caught up");
    publish_each(&theirs, "orders", 5..=5).await;
    exactly(&mut lines, 5..=5).await;
    exactly(&mut held_back, 2..=5).await;
}

#[tokio::test]
async fn a_slow_reader_falls_back_to_what_redis_keeps_and_loses_nothing() {
    let (_server, _proxy, ours, theirs) = two_brokers(|| keeping(100_000)).await;
    let mut slow = Lines::open(&ours, request(&["orders"])).await;
    // More than the hub's log holds, in entries and in bytes.
    publish_many(&theirs, 0..30_000).await;
    let padded = |id: u64| proto::Event {
        payload: Some(proto::event::Payload::Data(vec![7; 100_000].into())),
        ..event(id)
    };
    for id in 30_000..30_050 {
        publish(&theirs, "orders", vec![padded(id)]).await.expect("stored");
    }
    exactly(&mut slow, 0..30_050).await;
}

#[tokio::test]
async fn what_a_slow_reader_loses_on_redis_is_counted_exactly() {
    let (_server, _proxy, ours, theirs) = two_brokers(|| keeping(500)).await;
    let mut slow = Lines::open(&ours, request(&["orders"])).await;
    publish_each(&theirs, "orders", 1..=1).await;
    exactly(&mut slow, 1..=1).await;
    for id in 2..=9000 {
        publish_each(&theirs, "orders", [id]).await;
    }
    let gap = next(&mut slow).await;
    let words: Vec<&str> = gap.split(' ').collect();
    let ["gap", "orders", between, "missed", missed, "REASON_SLOW_CONSUMER"] = words[..] else {
        panic!("{gap}")
    };
    let until: u64 = between.strip_prefix("1>").expect("from where it was").parse().unwrap();
    assert_eq!(missed.parse::<u64>().unwrap(), until - 1);
    assert!(until <= 8500, "fewer than 500 are kept: {gap}");
    exactly(&mut slow, until + 1..=9000).await;
}

#[tokio::test]
async fn a_stream_that_stops_at_the_end_has_all_that_was_acknowledged_before_it_was_asked_for() {
    let (_server, _proxy, ours, theirs) = two_brokers(Catalog::default).await;
    for round in 0..20 {
        let first = round * 3 + 1;
        publish_each(&theirs, "orders", first..first + 3).await;
        let start = Some(Start::Earliest(true));
        let asked =
            proto::SubscribeRequest { stop_at_end: true, start, ..request(&["orders", "none"]) };
        let mut lines = Lines::open(&ours, asked).await;
        exactly(&mut lines, 1..first + 3).await;
        assert_eq!(next(&mut lines).await, "caught up");
        assert_eq!(next(&mut lines).await, "end");
    }
}

#[tokio::test]
async fn the_positions_of_a_filter_let_a_client_come_back_without_repeats() {
    let (_server, _proxy, ours, theirs) = two_brokers(Catalog::default).await;
    let filter = proto::Filter { types: vec!["wanted".into()], ..Default::default() };
    let asked = proto::SubscribeRequest {
        filter: Some(filter),
        heartbeat_interval: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
        ..request(&["orders"])
    };
    let typed = |id: u64| proto::Event {
        r#type: if id % 10 == 5 { "wanted".into() } else { "other".into() },
        ..event(id)
    };
    let mut lines = Lines::open(&ours, asked.clone()).await;
    let mut seen = Vec::new();
    for round in 0..4 {
        let batch = (round * 25..round * 25 + 25).map(typed).collect();
        publish(&theirs, "orders", batch).await.expect("stored");
        // Until a heartbeat has told the place behind the last event.
        while lines.positions["orders"].sequence < (round + 1) * 25 {
            let line = lines.next_within(5 * SECOND).await.expect("a line");
            if !line.starts_with("heartbeat") {
                seen.push(line);
            }
        }
        let back = proto::SubscribeRequest { resume: lines.resume(), ..asked.clone() };
        lines = Lines::open(if round % 2 == 0 { &theirs } else { &ours }, back).await;
        assert_eq!(next(&mut lines).await, "caught up");
    }
    assert_eq!(seen, (5..100).step_by(10).map(|id| format!("orders {id}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn who_is_sent_away_finds_at_another_broker_what_comes_next() {
    let (server, _proxy, ours, theirs) = two_brokers(Catalog::default).await;
    let third = on_redis(&server.url(), "c", Catalog::default()).await;
    let mut lines = Lines::open(&ours, request(&["orders"])).await;
    let publishing = tokio::spawn(async move {
        for id in 1..=1500 {
            publish_each(&third, "orders", [id]).await;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    exactly(&mut lines, 1..=100).await;
    let draining = tokio::spawn(async move { ours.drain(SECOND / 2).await });
    let mut last = 100;
    let mut sent_away = false;
    // As long as the old stream lives, it goes on.
    loop {
        let line = next(&mut lines).await;
        if line.starts_with("error") {
            break;
        }
        if line.starts_with("go away") {
            sent_away = true;
            continue;
        }
        last += 1;
        assert_eq!(line, format!("orders {last}"));
    }
    assert!(sent_away && last < 1500, "{sent_away} {last}");
    let mut lines = Lines::open(&theirs, after(lines.resume())).await;
    while last < 1500 {
        let line = next(&mut lines).await;
        if line != "caught up" {
            last += 1;
            assert_eq!(line, format!("orders {last}"));
        }
    }
    publishing.await.unwrap();
    draining.await.unwrap();
}

/// Cut off while so many events are published.
async fn outage(events: u64) -> (Lines, (RedisServer, FaultProxy, Broker, Broker)) {
    let (server, proxy, ours, theirs) = two_brokers(Catalog::default).await;
    let mut lines = Lines::open(&ours, request(&["orders"])).await;
    publish_each(&theirs, "orders", 0..1).await;
    exactly(&mut lines, 0..1).await;
    proxy.set(Which::All, Direction::Both, Mode::BlackHole);
    tokio::time::sleep(SECOND / 10).await;
    for id in 1..=events {
        publish_each(&theirs, "orders", [id]).await;
    }
    tokio::time::sleep(2 * SECOND).await;
    proxy.heal();
    (lines, (server, proxy, ours, theirs))
}

#[tokio::test]
async fn an_outage_shorter_than_the_history_heals_without_loss() {
    let (mut lines, _held) = outage(tidings::limits::HISTORY_EVENTS).await;
    exactly(&mut lines, 1..=1000).await;
}

#[tokio::test]
async fn an_outage_longer_than_the_history_is_one_gap_with_its_size() {
    let (mut lines, _held) = outage(3000).await;
    let gap = next(&mut lines).await;
    let until: u64 = gap.split(['>', ' ']).nth(3).expect("until").parse().unwrap();
    assert_eq!(gap, format!("gap orders 1>{until} missed {} REASON_BACKEND_DISCONNECT", until - 1));
    // Sequence n + 1 is the event n.
    exactly(&mut lines, until..=3000).await;
}

#[tokio::test]
async fn what_raw_clients_publish_is_delivered_once_and_not_replayed() {
    let (server, _proxy, ours, theirs) = two_brokers(Catalog::default).await;
    let mut lines = Lines::open(&ours, request(&["orders"])).await;
    publish_each(&theirs, "orders", 1..=1).await;
    exactly(&mut lines, 1..=1).await;
    server.command(&["PUBLISH", "orders", "hello"]).await;
    assert!(next(&mut lines).await.starts_with("orders "));
    publish_each(&theirs, "orders", 2..=2).await;
    exactly(&mut lines, 2..=2).await;
    let start = Some(Start::Earliest(true));
    let asked = proto::SubscribeRequest { stop_at_end: true, start, ..request(&["orders"]) };
    let mut lines = Lines::open(&ours, asked).await;
    exactly(&mut lines, 1..=2).await;
    assert_eq!(next(&mut lines).await, "caught up");
}
