//! An event that is published again is stored once, whatever happens between the two; and a publish
//! that expects the topic to end somewhere is stored there or nowhere.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use tidings::{
    backend::{Append, Appended, Backend, BackendError, BridgeMode, Entry, Mode, TopicSettings},
    broker::{Broker, Publish, PublishError, Published, Receipt},
    catalog::{Catalog, Rule},
    event::Event,
    grpc::client::BrokerClient,
    limits::REQUEST_EVENTS_MAX,
    position::Position,
    proto::{
        self, PublishRequest, PublishStreamRequest, publish_stream_response::Result as Answered,
    },
};
use tokio::task::JoinSet;
use tonic::Code;
use tonic_types::StatusExt;

use crate::support::{
    backend::{self, HASH, PATIENCE, STREAM, Told, bridged, id_of, live, orders},
    faulty::When,
    in_process::{event, in_memory_with, on_redis, options, publish, topic},
    proxy::FaultProxy,
    redis::{Persistence, RedisServer, Reply},
    served::Served,
    settings::durable,
};

const KEYS: [&str; 2] = ["td:{orders}:d:0", "td:{orders}:d:1"];

/// Every topic is durable, with the default window.
fn all_durable() -> Catalog {
    let mut rule = Rule::new(">".parse().expect("a pattern"));
    rule.mode = Some(Mode::Durable);
    Catalog::new(vec![rule], "", TopicSettings::default()).expect("a catalog")
}

fn within(window: Duration) -> Arc<TopicSettings> {
    Arc::new(TopicSettings { dedupe_window: window, ..durable() })
}

fn minute() -> Arc<TopicSettings> {
    within(Duration::from_secs(60))
}

fn known(id: &str) -> Event {
    let mut event = backend::event(id);
    event.known_by("/test", id);
    event
}

/// Where an event was stored, and whether it was before; tried again while Redis comes back.
async fn place(
    broker: &backend::Broker,
    settings: &Arc<TopicSettings>,
    id: &str,
) -> (Position, bool) {
    let end = Instant::now() + PATIENCE;
    loop {
        match broker.redis.append(&orders(), settings, vec![known(id)].into()).await {
            Ok(appended) => return appended.positions().next().expect("without end"),
            Err(error) => assert!(Instant::now() < end, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Every event that is kept, with its place.
async fn kept(server: &RedisServer) -> Vec<(String, Position)> {
    let reader = backend::Broker::open(server, "reader").await;
    let (mut at, mut all) = (Position::BEGINNING, Vec::new());
    loop {
        let page = reader.redis.read(&orders(), at).await.expect("a page");
        for entry in page.entries {
            if let Entry::Batch(batch) = entry {
                let ids = batch.events.iter().map(|event| id_of(event));
                all.extend(
                    ids.zip(batch.first..).map(|(id, n)| (id, Position::new(batch.epoch, n))),
                );
                at = batch.last();
            } else {
                at = entry.before();
            }
        }
        if page.complete {
            return all;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sent_three_times_over_two_brokers_and_a_restart_is_stored_once() {
    const PUBLISHES: usize = 300;
    let seed = std::env::var("TIDINGS_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("TIDINGS_TEST_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut server = RedisServer::start(Persistence::AofAlways).await;
    let brokers = [
        on_redis(&server.url(), "b1", all_durable()).await,
        on_redis(&server.url(), "b2", all_durable()).await,
    ];
    let mut calls = Vec::new();
    for publish in 0..PUBLISHES {
        let count = random.usize(1..4);
        calls.extend([(publish, count); 3]);
    }
    // Not too far from each other, as who tries again does.
    for from in 0..calls.len() {
        let to = (from + random.usize(0..60)).min(calls.len() - 1);
        calls.swap(from, to);
    }
    let restart_at = random.usize(calls.len() / 4..calls.len() / 2);
    let mut receipts: HashMap<String, Vec<Receipt>> = HashMap::new();
    let mut unknown = 0;
    let mut under_way = JoinSet::new();
    for (number, (publish, count)) in calls.into_iter().enumerate() {
        let broker = brokers[random.usize(0..2)].clone();
        under_way.spawn(until_stored(broker, publish, count));
        if number == restart_at {
            server.restart().await;
        }
        while under_way.len() >= 20 {
            let (published, lost) = under_way.join_next().await.expect("some").expect("stored");
            unknown += lost;
            for receipt in published.receipts {
                receipts.entry(receipt.id.clone()).or_default().push(receipt);
            }
        }
    }
    while let Some(done) = under_way.join_next().await {
        let (published, lost) = done.expect("stored");
        unknown += lost;
        for receipt in published.receipts {
            receipts.entry(receipt.id.clone()).or_default().push(receipt);
        }
    }
    println!("{unknown} answers were lost");
    let kept = kept(&server).await;
    assert_eq!(kept.len(), receipts.len(), "events stored, and events sent");
    for (id, position) in kept {
        let told = receipts.remove(&id).unwrap_or_else(|| panic!("{id} is stored twice"));
        assert_eq!(told.len(), 3, "{id}");
        assert!(told.iter().all(|receipt| receipt.position == Some(position)), "{told:?}");
        // None is where the answer that was lost said so.
        let firsts = told.iter().filter(|receipt| !receipt.duplicate).count();
        assert!(firsts <= 1 && (firsts == 1 || unknown > 0), "{told:?}");
    }
}

/// As a client tries again; with how many answers were lost.
async fn until_stored(broker: Broker, number: usize, count: usize) -> (Published, usize) {
    let end = Instant::now() + PATIENCE;
    let mut lost = 0;
    loop {
        let events = (0..count).map(|n| event(format!("{number}.{n}"))).collect();
        match publish(&broker, "orders", events).await {
            Ok(published) => return (published, lost),
            Err(PublishError::Backend(BackendError::OutcomeUnknown { .. })) => lost += 1,
            Err(error) => assert!(Instant::now() < end, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Whichever command breaks the connection, what is tried again over another broker is stored once.
#[tokio::test]
async fn a_publish_of_which_the_answer_was_lost_is_stored_once() {
    let server = RedisServer::start(Persistence::AofAlways).await;
    let proxy = FaultProxy::start(server.port()).await;
    let first = backend::Broker::open_at(&proxy.url(), "first").await;
    let second = backend::Broker::open(&server, "second").await;
    place(&first, &minute(), "before").await;
    let mut lost = 0;
    for when in [When::Before, When::After] {
        // The supervisor pings meanwhile: one of these commands is the publish.
        for command in 1..=3 {
            let id = format!("{when:?} {command}");
            proxy.break_at(command, when);
            let answer = first.redis.append(&orders(), &minute(), vec![known(&id)].into()).await;
            if let Err(error) = &answer {
                assert!(matches!(error, BackendError::OutcomeUnknown { .. }), "{error}");
                lost += 1;
            }
            let (position, duplicate) = place(&second, &minute(), &id).await;
            let (again, _) = place(&first, &minute(), &id).await;
            assert_eq!(again, position);
            if let Ok(answer) = answer {
                assert_eq!((answer.first, duplicate), (position, true));
            } else if when == When::After {
                assert!(duplicate, "{id}: Redis had it");
            }
        }
    }
    assert!(lost >= 2, "only {lost} answers were lost");
    assert_eq!(kept(&server).await.len(), 7);
}

#[tokio::test]
async fn a_key_outlives_its_topics_life_and_counts_only_as_far_as_that_life_is_known() {
    let mut server = RedisServer::start(Persistence::AofAlways).await;
    let broker = backend::Broker::open(&server, "b").await;
    let (one, _) = place(&broker, &minute(), "1").await;
    place(&broker, &minute(), "2").await;
    let (three, _) = place(&broker, &minute(), "3").await;
    server.restart().await;
    // Another life, in which the former one's receipt is told.
    let (four, duplicate) = place(&broker, &minute(), "4").await;
    assert!(four.epoch > one.epoch && !duplicate);
    assert_eq!(place(&broker, &minute(), "1").await, (one, true));
    assert_eq!(place(&broker, &minute(), "3").await, (three, true));

    // The topic went back in time, and somebody kept the keys: those of what is gone say nothing.
    server.set_at(HASH, "last", 0).await;
    server.command(&["XTRIM", STREAM, "MAXLEN", "0"]).await;
    drop(broker);
    let broker = backend::Broker::open(&server, "c").await;
    let (again, duplicate) = place(&broker, &minute(), "4").await;
    assert!(!duplicate, "{again} and {four}");
    assert_eq!(place(&broker, &minute(), "4").await, (again, true));
    assert_eq!(place(&broker, &minute(), "1").await, (one, true));

    // The topic is deleted, but for the keys.
    server.del(&[HASH, STREAM]).await;
    let broker = backend::Broker::open(&server, "d").await;
    for id in ["1", "4"] {
        let (position, duplicate) = place(&broker, &minute(), id).await;
        assert!(position.epoch > again.epoch && !duplicate, "{id} at {position}");
    }
}

#[tokio::test]
async fn keys_are_dropped_by_and_by() {
    let server = RedisServer::start(Persistence::None).await;
    let broker = backend::Broker::open(&server, "b").await;
    let window = Duration::from_millis(200);
    let settings = within(window);
    let end = Instant::now() + window * 8;
    let mut count = 0;
    while Instant::now() < end {
        place(&broker, &settings, &count.to_string()).await;
        count += 1;
        let mut held = 0;
        for key in KEYS {
            let Reply::Integer(left) = server.command(&["PTTL", key]).await else {
                panic!("{key}")
            };
            // Absent, or to be gone in time.
            assert!(left == -2 || (0..=600).contains(&left), "{key} lives for {left} ms");
            let Reply::Integer(fields) = server.command(&["HLEN", key]).await else {
                panic!("{key}")
            };
            held += fields;
        }
        assert!(held <= count + 2, "{held} fields after {count} events");
    }
    for key in KEYS {
        let end = Instant::now() + PATIENCE;
        while server.command(&["EXISTS", key]).await != Reply::Integer(0) {
            assert!(Instant::now() < end, "{key} stays");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn a_clock_that_is_put_back_takes_no_key_away() {
    let server = RedisServer::start(Persistence::None).await;
    let broker = backend::Broker::open(&server, "b").await;
    let (one, _) = place(&broker, &minute(), "1").await;
    // As if the younger hash had been begun by a clock that is ahead.
    let Reply::Integer(fields) = server.command(&["HLEN", KEYS[1]]).await else {
        panic!("no hash")
    };
    let young = if fields > 0 { KEYS[1] } else { KEYS[0] };
    let ahead = "return redis.call('HSET', KEYS[1], '', struct.pack('<I8', 2 ^ 52))";
    server.command(&["EVAL", ahead, "1", young]).await;
    for id in 2..20 {
        place(&broker, &minute(), &id.to_string()).await;
        assert_eq!(place(&broker, &minute(), "1").await, (one, true));
        assert!(place(&broker, &minute(), &id.to_string()).await.1, "{id} is not known");
    }
}

#[tokio::test]
async fn a_live_topic_stores_what_comes_again_and_keeps_no_keys() {
    let server = RedisServer::start(Persistence::None).await;
    let broker = on_redis(&server.url(), "b", Catalog::default()).await;
    for _ in 0..3 {
        let published = publish(&broker, "orders", vec![event(1), event(1)]).await.expect("stored");
        assert!(published.receipts.iter().all(|receipt| !receipt.duplicate));
    }
    assert_eq!(kept(&server).await.len(), 6);
    for key in KEYS {
        assert_eq!(server.command(&["EXISTS", key]).await, Reply::Integer(0));
    }
}

#[tokio::test]
async fn ids_that_the_broker_made_up_cost_no_keys() {
    let server = RedisServer::start(Persistence::None).await;
    let broker = on_redis(&server.url(), "b", all_durable()).await;
    publish(&broker, "orders", vec![event(""), event("")]).await.expect("stored");
    for key in KEYS {
        assert_eq!(server.command(&["EXISTS", key]).await, Reply::Integer(0));
    }
    let mine = publish(&broker, "orders", vec![event("mine")]).await.expect("stored");
    // The id of another source, and who said nothing of its source again.
    let elsewhere = proto::Event { source: "/elsewhere".into(), ..event("mine") };
    let theirs = publish(&broker, "orders", vec![elsewhere]).await.expect("stored");
    let again = publish(&broker, "orders", vec![event("mine")]).await.expect("known");
    let duplicates = [mine, theirs, again].map(|published| published.receipts[0].duplicate);
    assert_eq!(duplicates, [false, false, true]);
}

#[tokio::test]
async fn a_duplicate_is_not_told_to_raw_clients_nor_taken_for_one_of_theirs() {
    let server = RedisServer::start(Persistence::None).await;
    let mut broker = backend::Broker::open(&server, "b").await;
    let raw = TopicSettings {
        dedupe_window: Duration::from_secs(60),
        ..TopicSettings::clone(&bridged(BridgeMode::Raw))
    };
    let raw = Arc::new(raw);
    broker.attach(&orders(), &raw).await;
    let append = async |ids: &[&str]| {
        let events: Vec<_> = ids.iter().map(|id| known(id)).collect();
        broker.redis.append(&orders(), &raw, events.into()).await.expect("stored")
    };
    append(&["1", "2"]).await;
    append(&["2", "3", "1"]).await;
    append(&["1"]).await;
    // What a raw client says itself is told, were it the words of a duplicate.
    server.publish("orders", b"data of 1").await;
    append(&["4"]).await;
    let told = broker.told_until_event("4").await;
    let raw: Vec<_> = told.iter().filter(|told| matches!(told, Told::Raw(_))).collect();
    assert_eq!(raw, [&Told::Raw("data of 1".into())]);
    assert_eq!(backend::ids(&told), ["1", "2", "3", "4"]);
    assert!(backend::gaps(&told).is_empty(), "{told:?}");
}

#[tokio::test]
async fn publishes_that_are_stored_together_each_hear_of_their_own() {
    let server = RedisServer::start(Persistence::None).await;
    let broker = backend::Broker::open(&server, "b").await;
    let settings = minute();
    let append = |ids: &'static [&'static str], expected_last| {
        let append = Append { events: ids.iter().map(|id| known(id)).collect(), expected_last };
        let (broker, settings) = (&broker, &settings);
        async move { broker.redis.append(&orders(), settings, append).await }
    };
    let first = append(&["0"], None).await.expect("stored").first;
    let at = |sequence| Some(Position::new(first.epoch, sequence));
    let answers = tokio::join!(
        append(&["1", "2"], None),
        append(&["2", "3"], None),
        append(&["1"], None),
        append(&["4"], at(4)),
        append(&["5"], at(4)),
        append(&["3", "6", "3"], None),
    );
    let told = |answer: Result<Appended, BackendError>, count| match answer {
        Ok(appended) => appended.positions().take(count).map(|(p, d)| (p.sequence, d)).collect(),
        Err(BackendError::Conflict { actual, .. }) => vec![(actual.sequence, false); 9],
        Err(error) => panic!("{error}"),
    };
    assert_eq!(told(answers.0, 2), [(2, false), (3, false)]);
    assert_eq!(told(answers.1, 2), [(3, true), (4, false)]);
    assert_eq!(told(answers.2, 1), [(2, true)]);
    assert_eq!(told(answers.3, 1), [(5, false)]);
    assert_eq!(told(answers.4, 1), [(5, false); 9], "it was not stored");
    assert_eq!(told(answers.5, 3), [(4, true), (6, false), (4, true)]);
    let kept: Vec<_> = kept(&server).await.into_iter().map(|(id, _)| id).collect();
    assert_eq!(kept, ["0", "1", "2", "3", "4", "6"]);
}

/// Writers that read a number and write the next one: none is lost, none comes twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_over_two_brokers_count_without_losing_one() {
    const WRITERS: usize = 6;
    const EACH: usize = 15;
    let server = RedisServer::start(Persistence::None).await;
    let brokers = [
        on_redis(&server.url(), "b1", all_durable()).await,
        on_redis(&server.url(), "b2", all_durable()).await,
    ];
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let broker = brokers[writer % 2].clone();
        writers.spawn(async move {
            let (mut last, mut won) = (Position::BEGINNING, Vec::new());
            while won.len() < EACH {
                let events = vec![event(format!("{writer} after {last}")).into()];
                let request = Publish {
                    topic: topic("orders"),
                    events,
                    validate_only: false,
                    expected_last: Some(last),
                };
                match broker.publish("/writer", request).await {
                    Ok(published) => {
                        let position = published.receipts[0].position.expect("stored");
                        won.push((last, position));
                        last = position;
                    }
                    Err(PublishError::Backend(BackendError::Conflict { actual, .. })) => {
                        last = actual
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            won
        });
    }
    let mut steps: Vec<_> = writers.join_all().await.into_iter().flatten().collect();
    steps.sort_by_key(|(_, after)| after.sequence);
    for (n, (before, after)) in (1..).zip(&steps) {
        let begins = before.is_beginning() && n == 1;
        assert!(before.sequence == n - 1 && (begins || before.epoch == after.epoch), "{steps:?}");
        assert_eq!(after.sequence, n);
    }
    assert_eq!(steps.len(), WRITERS * EACH);
}

#[tokio::test]
async fn clients_read_of_duplicates_and_conflicts() {
    let server = RedisServer::start(Persistence::None).await;
    for broker in [
        in_memory_with(all_durable(), options()),
        on_redis(&server.url(), "b", all_durable()).await,
    ] {
        let served = Served::start(broker, Duration::ZERO).await;
        let mut client = BrokerClient::new(served.channel().await);
        let request = |ids: &[u64], expected_last| PublishRequest {
            topic: "orders".into(),
            events: ids.iter().map(event).collect(),
            expected_last,
            ..Default::default()
        };
        let empty = Some(proto::Position::default());
        let first = client.publish(request(&[1, 2, 1], empty.clone())).await.expect("stored");
        let first = first.into_inner().receipts;
        let duplicates: Vec<_> = first.iter().map(|receipt| receipt.duplicate).collect();
        assert_eq!(duplicates, [false, false, true]);
        assert_eq!(first[2].position, first[0].position);
        let last = first[1].position.clone().expect("a position");

        let status = client.publish(request(&[3], empty.clone())).await.expect_err("a conflict");
        let info = status.get_details_error_info().expect("a reason");
        assert_eq!((status.code(), info.reason.as_str()), (Code::Aborted, "SEQUENCE_CONFLICT"));
        let said = |name: &str| info.metadata[name].clone();
        assert_eq!(
            [said("topic"), said("expected_epoch"), said("expected_sequence")],
            ["orders", "0", "0"]
        );
        assert_eq!(
            [said("actual_epoch"), said("actual_sequence")],
            [last.epoch.to_string(), "2".into()]
        );
        assert!(status.get_details_retry_info().is_none(), "the same request would fail again");

        let elsewhere = proto::Position { topic: "other".into(), ..last.clone() };
        let status = client.publish(request(&[3], Some(elsewhere))).await.expect_err("refused");
        let reason = status.get_details_error_info().expect("a reason").reason;
        assert_eq!((status.code(), reason.as_str()), (Code::InvalidArgument, "POSITION_INVALID"));

        let only_checked = PublishRequest { validate_only: true, ..request(&[3], empty.clone()) };
        let checked = client.publish(only_checked).await.expect("nothing is asked of the backend");
        assert_eq!(checked.into_inner().receipts[0].position, None);

        let requests =
            [request(&[2, 3], None), request(&[4], Some(last.clone())), request(&[4], None)];
        let requests: Vec<_> = (1..)
            .zip(requests)
            .map(|(request_id, publish)| PublishStreamRequest {
                request_id,
                publish: Some(publish),
            })
            .collect();
        let answers = client.publish_stream(tokio_stream::iter(requests)).await.expect("opened");
        let mut answers = answers.into_inner();
        let mut next = async || {
            let answer = answers.message().await.expect("an answer").expect("an answer");
            answer.result.expect("a result")
        };
        let Answered::Published(published) = next().await else { panic!("refused") };
        assert_eq!(published.receipts[0], proto::Receipt { duplicate: true, ..first[1].clone() });
        assert!(!published.receipts[1].duplicate);
        let Answered::Failure(failure) = next().await else { panic!("stored") };
        assert_eq!((failure.reason.as_str(), failure.code), ("SEQUENCE_CONFLICT", 10));
        assert_eq!(failure.metadata["actual_sequence"], "3");
        let Answered::Published(published) = next().await else { panic!("refused") };
        assert_eq!(published.receipts[0].position.as_ref().expect("a position").sequence, 4);
    }
}

#[tokio::test]
async fn a_topic_on_which_something_was_ever_published_is_not_empty() {
    let mut server = RedisServer::start(Persistence::AofAlways).await;
    let broker = backend::Broker::open(&server, "b").await;
    let append = async |expected| {
        let append = Append { events: vec![known("x")], expected_last: Some(expected) };
        broker.redis.append(&orders(), &live(), append).await
    };
    let first = append(Position::BEGINNING).await.expect("the first").first;
    server.restart().await;
    let end = Instant::now() + PATIENCE;
    let now = loop {
        match append(Position::BEGINNING).await {
            Err(BackendError::Conflict { actual, .. }) => break actual,
            answer => assert!(answer.is_err() && Instant::now() < end, "{answer:?}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    // Another life, in which nothing came yet: who has read up to its beginning may go on.
    assert!(now.epoch > first.epoch && now.sequence == 0, "{now}");
    assert!(matches!(append(first).await, Err(BackendError::Conflict { .. })));
    assert_eq!(append(now).await.expect("as expected").first, Position::new(now.epoch, 1));
}

#[tokio::test]
async fn a_request_may_be_as_large_as_any_and_all_of_it_be_known() {
    let server = RedisServer::start(Persistence::None).await;
    let broker = on_redis(&server.url(), "b", all_durable()).await;
    let events = || (0..REQUEST_EVENTS_MAX).map(event).collect::<Vec<_>>();
    let first = publish(&broker, "orders", events()).await.expect("stored");
    let again = publish(&broker, "orders", events()).await.expect("known");
    let known = |receipt: &Receipt| Receipt { duplicate: true, ..receipt.clone() };
    let known: Vec<_> = first.receipts.iter().map(known).collect();
    assert_eq!(again.receipts, known);
    assert_eq!(kept(&server).await.len(), REQUEST_EVENTS_MAX);
}

#[tokio::test]
async fn what_is_no_hash_of_ours_is_named_before_anything_is_stored() {
    let server = RedisServer::start(Persistence::None).await;
    let broker = backend::Broker::open(&server, "b").await;
    for key in KEYS {
        server.command(&["SET", key, "mine"]).await;
        let answer = broker.redis.append(&orders(), &minute(), vec![known(key)].into()).await;
        let Err(BackendError::Refused { cause }) = &answer else { panic!("{answer:?}") };
        assert!(cause.contains(key) && cause.contains("delete"), "{cause}");
        server.del(&[key]).await;
        // What somebody else wrote into ours is no place of an event.
        let other = ["HSET", key, "", "x", "field", "value"];
        assert_eq!(server.command(&other).await, Reply::Integer(2));
        assert!(!place(&broker, &minute(), key).await.1);
        assert!(place(&broker, &minute(), key).await.1);
    }
    assert_eq!(kept(&server).await.len(), 2);
}
