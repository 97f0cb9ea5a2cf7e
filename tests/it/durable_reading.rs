//! Reading what durable topics keep: by who is slow, who comes late, who goes from broker to broker.

use std::time::Duration;

use futures_util::future::join_all;
use tidings::{
    backend::Retention,
    broker::Broker,
    catalog::Catalog,
    grpc::client::BrokerClient,
    proto::{self, subscribe_request::Start, subscribe_response::Control},
};
use tokio::{task::JoinSet, time::Instant};
use tonic::{Code, Streaming};

use crate::support::{
    in_process::{Lines, event, in_memory_with, on_redis, options, publish, request},
    redis::{Persistence, RedisServer, Reply},
    served::{Served, reason},
    settings::{durable, durable_with},
};

const PATIENCE: Duration = Duration::from_secs(60);

fn keeping_all() -> Catalog {
    Catalog::new(Vec::new(), "", durable()).expect("no rules")
}

fn keeping(max_events: u64) -> Catalog {
    let retention = Retention { max_events: Some(max_events), max_bytes: None, max_age: None };
    Catalog::new(Vec::new(), "", durable_with(retention)).expect("no rules")
}

fn in_memory(catalog: fn() -> Catalog) -> Broker {
    in_memory_with(catalog(), options())
}

async fn in_redis(catalog: fn() -> Catalog) -> (RedisServer, Broker) {
    let server = RedisServer::start(Persistence::None).await;
    let broker = on_redis(&server.url(), "a", catalog()).await;
    (server, broker)
}

fn from(start: Start) -> proto::SubscribeRequest {
    proto::SubscribeRequest { start: Some(start), ..request(&["orders"]) }
}

/// In requests of a hundred.
async fn publish_many(broker: &Broker, ids: std::ops::RangeInclusive<u64>) {
    let ids: Vec<u64> = ids.collect();
    for ids in ids.chunks(100) {
        publish(broker, "orders", ids.iter().map(event).collect()).await.expect("stored");
    }
}

/// The next line that is neither a heartbeat nor the word that history is over.
async fn next(lines: &mut Lines) -> String {
    loop {
        let line = lines.next_within(PATIENCE).await.expect("a line within a minute");
        if !line.starts_with("heartbeat") && line != "caught up" {
            return line;
        }
    }
}

async fn exactly(lines: &mut Lines, ids: std::ops::RangeInclusive<u64>) {
    for id in ids {
        assert_eq!(next(lines).await, format!("orders {id}"));
    }
}

/// Reads up to the event `last`, each id being its sequence: every one is delivered in its turn or counted by a
/// gap for one of these reasons. Returns how many were counted.
async fn all_or_counted(lines: &mut Lines, mut at: u64, last: u64, reasons: &[&str]) -> u64 {
    let mut lost = 0;
    while at < last {
        let line = next(lines).await;
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["orders", id] => {
                at += 1;
                assert_eq!(id, at.to_string(), "out of turn");
            }
            ["gap", "orders", between, "missed", missed, reason] => {
                let missed: u64 = missed.parse().expect("an exact count");
                assert_eq!(between, format!("{at}>{}", at + missed));
                assert!(reasons.contains(&reason), "{line}");
                (at, lost) = (at + missed, lost + missed);
            }
            _ => panic!("{line}"),
        }
    }
    lost
}

async fn one_that_does_not_read_gets_everything(broker: &Broker) {
    let mut slow = Lines::open(broker, request(&["orders"])).await;
    publish_many(broker, 1..=1).await;
    exactly(&mut slow, 1..=1).await;
    // Many times what the hub keeps for who lags.
    publish_many(broker, 2..=50_000).await;
    exactly(&mut slow, 2..=50_000).await;
    publish_many(broker, 50_001..=50_001).await;
    exactly(&mut slow, 50_001..=50_001).await;
    assert_eq!(broker.info().broken_chains, 0);
}

#[tokio::test]
async fn a_subscriber_that_does_not_read_for_fifty_thousand_events_gets_them_all_from_memory() {
    one_that_does_not_read_gets_everything(&in_memory(keeping_all)).await;
}

#[tokio::test]
async fn a_subscriber_that_does_not_read_for_fifty_thousand_events_gets_them_all_from_redis() {
    let (_server, broker) = in_redis(keeping_all).await;
    one_that_does_not_read_gets_everything(&broker).await;
}

async fn what_is_trimmed_is_counted(broker: &Broker) {
    let mut slow = Lines::open(broker, request(&["orders"])).await;
    publish_many(broker, 1..=3000).await;
    let mut reader = Lines::open(broker, from(Start::Earliest(true))).await;
    exactly(&mut reader, 1..=1).await;
    // The reader holds a page of its history, and what comes next is trimmed before it asks for it.
    publish_many(broker, 3001..=60_000).await;
    let reasons = ["REASON_RETENTION", "REASON_SLOW_CONSUMER"];
    assert!(all_or_counted(&mut reader, 1, 60_000, &reasons).await > 10_000);
    assert!(all_or_counted(&mut slow, 0, 60_000, &["REASON_SLOW_CONSUMER"]).await > 10_000);
}

#[tokio::test]
async fn what_is_trimmed_before_a_slow_reader_comes_to_it_is_counted_on_memory() {
    what_is_trimmed_is_counted(&in_memory(|| keeping(3000))).await;
}

#[tokio::test]
async fn what_is_trimmed_before_a_slow_reader_comes_to_it_is_counted_on_redis() {
    let (_server, broker) = in_redis(|| keeping(3000)).await;
    what_is_trimmed_is_counted(&broker).await;
}

#[tokio::test]
async fn large_and_small_events_are_read_in_order_and_in_pages_of_bounded_size() {
    let (_server, broker) = in_redis(keeping_all).await;
    let sized = |id: u64| proto::Event {
        payload: Some(proto::event::Payload::Data(
            vec![7; [10, 3000, 900_000][id as usize % 3]].into(),
        )),
        ..event(id)
    };
    for id in 1..=60 {
        publish(&broker, "orders", vec![sized(id)]).await.expect("stored");
    }
    publish_many(&broker, 61..=3000).await;
    let asked = proto::SubscribeRequest { stop_at_end: true, ..from(Start::Earliest(true)) };
    let mut lines = Lines::open(&broker, asked).await;
    exactly(&mut lines, 1..=3000).await;
    assert_eq!(next(&mut lines).await, "end");
}

#[tokio::test]
async fn the_last_events_are_found_without_counting_them_also_beside_a_hole() {
    let (server, broker) = in_redis(keeping_all).await;
    publish_many(&broker, 1..=5000).await;
    let stop = |last| proto::SubscribeRequest { stop_at_end: true, ..from(Start::Last(last)) };
    for last in [1, 100, 4999, 5000, 100_000] {
        let mut lines = Lines::open(&broker, stop(last)).await;
        exactly(&mut lines, 5001 - u64::from(last.min(5000))..=5000).await;
        assert_eq!(next(&mut lines).await, "end");
    }
    let epoch = server.at("td:{orders}:m", "epoch").await;
    for sequence in 4000..4010 {
        server.command(&["XDEL", "td:{orders}:s", &format!("{epoch}-{sequence}")]).await;
    }
    // It begins without a gap, as every place does that was asked for.
    exactly(&mut Lines::open(&broker, stop(1000)).await, 4010..=5000).await;
    // What was there is looked at only at its ends.
    let before = server.calls("xrange").await + server.calls("xrevrange").await;
    broker_seeks(&broker).await;
    let looked = server.calls("xrange").await + server.calls("xrevrange").await - before;
    assert!(looked < 20, "{looked} looks to find a place and read one event");
}

async fn broker_seeks(broker: &Broker) {
    let asked = proto::SubscribeRequest { stop_at_end: true, ..from(Start::Last(4500)) };
    exactly(&mut Lines::open(broker, asked).await, 501..=501).await;
}

#[tokio::test]
async fn readers_at_one_place_have_redis_read_for_one_of_them() {
    let (server, broker) = in_redis(keeping_all).await;
    publish_many(&broker, 1..=5000).await;
    let before = server.calls("xrange").await;
    let reader = async || {
        exactly(&mut Lines::open(&broker, from(Start::Earliest(true))).await, 1..=5000).await;
    };
    join_all((0..20).map(|_| reader())).await;
    let read = server.calls("xrange").await - before;
    // Each page is found with a look or two; without sharing every one of them would be read twenty times.
    assert!(read < 150, "{read} times XRANGE for twenty readers of five pages");
}

#[tokio::test]
async fn a_reader_that_stops_while_it_waits_for_history_delays_no_other() {
    let (_server, broker) = in_redis(keeping_all).await;
    publish_many(&broker, 1..=5000).await;
    let mut stopped = Vec::new();
    for _ in 0..8 {
        let mut lines = Lines::open(&broker, from(Start::Earliest(true))).await;
        // It has asked for a page, and is not polled any more.
        let mut read = 0;
        while let Some(line) = lines.next_within(Duration::ZERO).await {
            read += u64::from(line.starts_with("orders"));
        }
        stopped.push((lines, read));
    }
    exactly(&mut Lines::open(&broker, from(Start::Earliest(true))).await, 1..=5000).await;
    for (lines, read) in &mut stopped {
        exactly(lines, *read + 1..=5000).await;
    }
}

/// XREVRANGE from below a stream's first entry goes through all of it: see `scripts/newest.lua`.
#[tokio::test]
async fn redis_is_never_asked_for_what_lies_below_the_first_entry_of_a_stream() {
    let (server, broker) = in_redis(|| keeping(1000)).await;
    publish_many(&broker, 1..=3000).await;
    let trimmed = async {
        while server.command(&["XLEN", "td:{orders}:s"]).await != Reply::Integer(1000) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, trimmed).await.expect("trimmed");
    let mut monitor = server.monitor().await;
    let epoch = server.at("td:{orders}:m", "epoch").await;
    let resume = vec![proto::Position { topic: "orders".into(), epoch, sequence: 5 }];
    let starts = [Start::Earliest(true), Start::Last(5000), Start::StartAgo(hour())];
    let requests = starts.map(from).into_iter();
    let trimmed_place = proto::SubscribeRequest { resume, ..request(&["orders"]) };
    for asked in requests.chain([trimmed_place]) {
        let mut lines = Lines::open(&broker, asked).await;
        while next(&mut lines).await != "orders 3000" {}
    }
    server.command(&["PUBLISH", "end", "of the test"]).await;
    let (mut asked, mut wrong) = (0, Vec::new());
    loop {
        let line = monitor.line().await;
        if line.contains("of the test") {
            break;
        }
        let words: Vec<&str> = line.split('"').skip(1).step_by(2).collect();
        let ["XREVRANGE", "td:{orders}:s", high, ..] = words[..] else { continue };
        asked += 1;
        let (life, sequence) = high.trim_start_matches('(').split_once('-').unwrap_or((high, ""));
        let sequence: u64 = sequence.parse().unwrap_or(u64::MAX);
        let sequence = sequence - u64::from(high.starts_with('('));
        // Nothing else is kept than 2001 to 3000 of this life.
        let below =
            life.parse().is_ok_and(|life: u64| life < epoch || life == epoch && sequence < 2001);
        if below {
            wrong.push(line);
        }
    }
    assert!(asked > 0, "nothing was looked for");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn hour() -> prost_types::Duration {
    prost_types::Duration { seconds: 3600, nanos: 0 }
}

// ---- over gRPC

async fn subscribe(
    served: &Served,
    request: proto::SubscribeRequest,
) -> Result<Streaming<proto::SubscribeResponse>, tonic::Status> {
    let mut client = BrokerClient::new(served.channel().await);
    Ok(client.subscribe(request).await?.into_inner())
}

async fn history_ends_as_the_client_wishes(broker: Broker) {
    publish_many(&broker, 1..=2500).await;
    let served = Served::start(broker.clone(), Duration::ZERO).await;
    let asked = proto::SubscribeRequest { stop_at_end: true, ..from(Start::Earliest(true)) };
    let mut stream = subscribe(&served, asked).await.expect("opened");
    let (mut events, mut controls) = (0, Vec::new());
    let mut first = None;
    while let Some(frame) = stream.message().await.expect("no error") {
        for event in frame.events {
            events += 1;
            assert_eq!(event.id, events.to_string());
            first.get_or_insert(event.position.expect("set"));
        }
        controls.extend(frame.control);
    }
    assert_eq!(events, 2500);
    assert!(matches!(controls[..], [Control::Opened(_), Control::CaughtUp(_)]), "{controls:?}");

    // Trimmed past the place of a client that does not accept a gap.
    publish_many(&broker, 2501..=12_000).await;
    let resume = vec![first.expect("an event")];
    let strict = proto::SubscribeRequest { fail_on_gap: true, resume, ..request(&["orders"]) };
    let mut stream = subscribe(&served, strict).await.expect("opened");
    let status = loop {
        match stream.message().await {
            Ok(frame) => assert!(frame.expect("an error comes").events.is_empty()),
            Err(status) => break status,
        }
    };
    assert_eq!((status.code(), reason(&status).as_str()), (Code::OutOfRange, "POSITION_LOST"));
}

#[tokio::test]
async fn history_ends_with_a_word_a_stop_or_an_error_on_memory() {
    history_ends_as_the_client_wishes(in_memory(|| keeping(3000))).await;
}

#[tokio::test]
async fn history_ends_with_a_word_a_stop_or_an_error_on_redis() {
    let (_server, broker) = in_redis(|| keeping(3000)).await;
    history_ends_as_the_client_wishes(broker).await;
}

// ---- many, and from one broker to another

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forty_that_catch_up_while_events_arrive_reach_the_end_without_loss_or_repeat() {
    let (server, broker) = in_redis(keeping_all).await;
    let readers = on_redis(&server.url(), "b", keeping_all()).await;
    const KEPT: u64 = 4000;
    const ALL: u64 = 8000;
    publish_many(&broker, 1..=KEPT).await;
    let mut all = JoinSet::new();
    for reader in 0..40 {
        let readers = readers.clone();
        all.spawn(async move {
            let last = 100 * (reader + 1);
            let mut lines = Lines::open(&readers, from(Start::Last(last as u32))).await;
            let first = next(&mut lines).await;
            let first: u64 = first.strip_prefix("orders ").expect(&first).parse().expect("an id");
            assert!(first > KEPT - last, "{first} lies before the last {last}");
            exactly(&mut lines, first + 1..=ALL).await;
        });
    }
    // A thousand a second.
    let mut due = Instant::now();
    for first in (KEPT + 1..=ALL).step_by(20) {
        publish_many(&broker, first..=first + 19).await;
        due += Duration::from_millis(20);
        tokio::time::sleep_until(due).await;
    }
    let ended = tokio::time::timeout(PATIENCE, async {
        while let Some(one) = all.join_next().await {
            one.expect("each had all");
        }
    });
    ended.await.expect("all reach the end within a minute");
}

/// What a client does with what comes on any of its streams: by position, each once.
#[derive(Default)]
struct Once {
    reached: Option<proto::Position>,
    ids: Vec<u64>,
    repeats: u64,
}

impl Once {
    fn take(&mut self, frame: proto::SubscribeResponse) -> bool {
        for event in frame.events {
            let position = event.position.expect("set");
            let known = self.reached.as_ref().is_some_and(|reached| {
                reached.epoch == position.epoch && reached.sequence >= position.sequence
            });
            if known {
                self.repeats += 1;
                continue;
            }
            self.ids.push(event.id.parse().expect("a number"));
            self.reached = Some(position);
        }
        match frame.control {
            Some(Control::Gap(gap)) => panic!("{gap:?}"),
            control => matches!(control, Some(Control::GoAway(_))),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_that_goes_to_another_broker_before_it_leaves_has_everything_once() {
    let server = RedisServer::start(Persistence::None).await;
    let leaving = on_redis(&server.url(), "a", keeping_all()).await;
    let staying = on_redis(&server.url(), "b", keeping_all()).await;
    let drained = Served::start(leaving, Duration::from_secs(1)).await;
    let other = Served::start(staying.clone(), Duration::ZERO).await;
    const ALL: u64 = 3000;
    let publishing = tokio::spawn(async move {
        let mut due = Instant::now();
        for first in (1..=ALL).step_by(10) {
            publish_many(&staying, first..=first + 9).await;
            due += Duration::from_millis(10);
            tokio::time::sleep_until(due).await;
        }
    });
    let mut once = Once::default();
    let mut old = subscribe(&drained, from(Start::Earliest(true))).await.expect("opened");
    while once.ids.len() < 500 {
        once.take(old.message().await.expect("no error").expect("a frame"));
    }
    drained.stop.send(()).expect("it serves");
    while !once.take(old.message().await.expect("no error").expect("a frame")) {}
    let resume = vec![once.reached.clone().expect("events came")];
    let mut new = subscribe(&other, proto::SubscribeRequest { resume, ..request(&["orders"]) })
        .await
        .expect("opened");
    let mut old = Some(old);
    let both = async {
        while once.ids.len() < ALL as usize {
            let from_old = async {
                match &mut old {
                    Some(old) => old.message().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                frame = new.message() => {
                    once.take(frame.expect("no error").expect("a frame"));
                }
                frame = from_old => match frame {
                    Ok(Some(frame)) => { once.take(frame); }
                    // As it was announced.
                    Ok(None) | Err(_) => old = None,
                },
            }
        }
    };
    tokio::time::timeout(PATIENCE, both).await.expect("everything within a minute");
    publishing.await.expect("published");
    assert!(once.ids.iter().copied().eq(1..=ALL), "each once, in order");
    assert!(old.is_none(), "the old stream ended");
    assert!(once.repeats > 0, "both streams carried events for a while");
}
