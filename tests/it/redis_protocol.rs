//! The failing sequences that the protocol with Redis was designed against, each on a real Redis:
//! what a broker is told, and what its feed tells.

use std::{sync::Arc, time::Duration};

use prost::Message as _;
use tidings::{
    backend::{
        Backend, BackendError, BridgeMode, Entry, News, Retention, TopicSettings,
        redis::{OpenError, Redis, RedisConfig, Rules},
    },
    position::{Position, Start},
    proto::{self, redis::Batch},
    topic::Topic,
};

use crate::support::{
    backend::{
        Broker, HASH, PATIENCE, STREAM, Told, bridged, config, event, gaps, ids, live, orders,
        sized,
    },
    eventually,
    in_process::topic,
    redis::{Persistence, RedisServer, Reply},
    settings::{durable_with, keeping_bytes, keeping_events},
};

/// Shorter than it takes until positions are compared.
const MOMENT: Duration = Duration::from_secs(1);

/// Redis goes back in time behind connections that live on: what follows `last` is gone.
async fn set_back(server: &RedisServer, last: Position, gone: &[u64]) {
    for sequence in gone {
        server.command(&["XDEL", STREAM, &format!("{}-{sequence}", last.epoch)]).await;
    }
    server.command(&["XSETID", STREAM, &format!("{}-{}", last.epoch, last.sequence)]).await;
    server.set_at(HASH, "last", last.sequence).await;
}

/// Until the broker has just asked Redis who it is: it does so again only a while later.
async fn just_looked(broker: &mut Broker) {
    while broker.feed.try_recv().is_ok() {}
    loop {
        let news = tokio::time::timeout(PATIENCE, broker.feed.recv()).await;
        if let News::Clock { .. } = news.expect("it looks").expect("the feed lives") {
            return;
        }
    }
}

#[tokio::test]
async fn the_first_batch_of_a_topic_is_no_gap_for_who_waited_for_it() {
    let server = RedisServer::start(Persistence::None).await;
    let mut broker = Broker::open(&server, "a").await;
    broker.attach(&orders(), &live()).await;
    let other = Broker::open(&server, "b").await;
    other.append(&orders(), "1").await;
    let told = broker.told_until_event("1").await;
    assert_eq!(gaps(&told), []);
}

#[tokio::test]
async fn a_topic_that_is_deleted_and_begun_again_is_a_gap_of_nothing_for_who_heard_all_of_it() {
    let server = RedisServer::start(Persistence::None).await;
    let mut broker = Broker::open(&server, "a").await;
    broker.attach(&orders(), &live()).await;
    let first = broker.append(&orders(), "1").await;
    broker.told_until_event("1").await;
    server.del(&[HASH, STREAM]).await;
    broker.redis.check(&orders()).await.unwrap();
    let second = broker.append(&orders(), "2").await;
    assert_ne!(first.first.epoch, second.first.epoch);
    let told = broker.told_until_event("2").await;
    let gaps = gaps(&told);
    assert_eq!(gaps.len(), 1, "{told:?}");
    assert_eq!((gaps[0].after, gaps[0].missed), (first.first, Some(0)));
}

#[tokio::test]
async fn an_epoch_below_ours_is_another_history_and_is_followed() {
    let server = RedisServer::start(Persistence::None).await;
    let mut broker = Broker::open(&server, "a").await;
    broker.attach(&orders(), &live()).await;
    let ours = broker.append(&orders(), "1").await.first.epoch;
    broker.told_until_event("1").await;
    // Another broker, behind a clock that was set back, began the topic again.
    let lower = ours - 1_000_000;
    let Reply::Text(replid) = server.command(&["HGET", HASH, "replid"]).await else {
        panic!("no replication id")
    };
    server.del(&[HASH, STREAM]).await;
    server.command(&["XADD", STREAM, &format!("{lower}-0"), "why", "created", "t", "1"]).await;
    let hash = ["at", &"\0".repeat(48), "replid", &replid];
    let more = ["mode", "live", "max_events", "1000", "lives", ""];
    server.command(&[&["HSET", HASH][..], &hash, &more].concat()).await;
    for (name, number) in [("epoch", lower), ("version", 1), ("clock", 1)] {
        server.set_at(HASH, name, number).await;
    }
    let other = Broker::open(&server, "b").await;
    let appended = other.append(&orders(), "2").await;
    assert_eq!(appended.first.epoch, lower, "the other broker knows nothing of ours");
    // At once: what is heard is believed, before any comparison finds it.
    let told = tokio::time::timeout(MOMENT, broker.told_until_event("2")).await.expect("at once");
    // Nothing was heard of its beginning: it has to be announced.
    assert_eq!(gaps(&told).len(), 1, "{told:?}");
}

#[tokio::test]
async fn a_publisher_with_a_stale_view_opens_the_topic_again() {
    let server = RedisServer::start(Persistence::None).await;
    let broker = Broker::open(&server, "a").await;
    let first = broker.append(&orders(), "1").await;
    let version = server.at(HASH, "version").await;
    server.set_at(HASH, "version", version + 1).await;
    let second = broker.append(&orders(), "2").await;
    assert_eq!(second.first, Position::new(first.first.epoch, 2));
    // Redis was set back to an epoch below the one that the publisher has opened.
    let below = first.first.epoch - 1;
    server.set_at(HASH, "epoch", below).await;
    let third = broker.append(&orders(), "3").await;
    assert!(third.first.epoch > first.first.epoch, "went on in an epoch that is gone: {third:?}");
}

#[tokio::test]
async fn a_position_given_twice_is_an_unknown_outcome_and_a_new_epoch() {
    let server = RedisServer::start(Persistence::None).await;
    let mut broker = Broker::open(&server, "a").await;
    broker.attach(&orders(), &live()).await;
    let mut last = broker.append(&orders(), "1").await;
    for id in ["2", "3", "4"] {
        last = broker.append(&orders(), id).await;
    }
    broker.told_until_event("4").await;
    let epoch = last.first.epoch;
    set_back(&server, Position::new(epoch, 2), &[3, 4]).await;
    let answer = broker.redis.append(&orders(), &live(), vec![event("5")].into()).await;
    assert!(matches!(answer, Err(BackendError::OutcomeUnknown { .. })), "{answer:?}");
    let after = broker.append(&orders(), "6").await;
    assert_ne!(after.first.epoch, epoch);
    let told = broker.told_until_event("6").await;
    assert!(!gaps(&told).is_empty(), "{told:?}");
}

#[tokio::test]
async fn a_position_that_was_heard_on_the_other_connection_proves_a_rollback_too() {
    let server = RedisServer::start(Persistence::None).await;
    let mut broker = Broker::open(&server, "a").await;
    broker.attach(&orders(), &live()).await;
    let epoch = broker.append(&orders(), "1").await.first.epoch;
    let other = Broker::open(&server, "b").await;
    for id in ["2", "3", "4"] {
        other.append(&orders(), id).await;
    }
    broker.told_until_event("4").await;
    // Back to a place above all that this broker published itself.
    set_back(&server, Position::new(epoch, 2), &[3, 4]).await;
    let answer = broker.redis.append(&orders(), &live(), vec![event("5")].into()).await;
    assert!(matches!(answer, Err(BackendError::OutcomeUnknown { .. })), "{answer:?}");
    let after = broker.append(&orders(), "6").await;
    assert_ne!(after.first.epoch, epoch);
}

/// Redis becomes a replica of one that holds less, and a primary again, before anybody looks. A broker
/// that was not listening knows no position that would prove it.
#[tokio::test]
async fn a_redis_that_went_back_under_another_name_takes_no_publish_into_the_old_life() {
    let server = RedisServer::start(Persistence::None).await;
    let (broker, other) = (Broker::open(&server, "a").await, Broker::open(&server, "b").await);
    let first = broker.append(&orders(), "1").await.first;
    let keys = [HASH, STREAM].map(str::to_owned);
    let copies = keys.clone().map(|key| format!("copy:{key}"));
    server.copy_together(&keys, &copies).await;
    let second = other.append(&orders(), "2").await.first;
    assert_eq!(second, Position::new(first.epoch, 2));
    // A moment longer than a publish asks after who Redis is.
    tokio::time::sleep(Duration::from_millis(20)).await;
    server.copy_together(&copies, &keys).await;
    server.replicaof(Some(1)).await;
    server.replicaof(None).await;
    let third = broker.append(&orders(), "3").await.first;
    assert_ne!(third.epoch, first.epoch, "{second} was given already");
}

#[tokio::test]
async fn a_live_batch_below_what_was_heard_proves_a_rollback() {
    let server = RedisServer::start(Persistence::None).await;
    let mut broker = Broker::open(&server, "a").await;
    broker.attach(&orders(), &live()).await;
    let other = Broker::open(&server, "b").await;
    let mut last = other.append(&orders(), "1").await;
    for id in ["2", "3", "4"] {
        last = other.append(&orders(), id).await;
    }
    broker.told_until_event("4").await;
    let epoch = last.first.epoch;
    set_back(&server, Position::new(epoch, 2), &[3, 4]).await;
    // A broker that knows nothing publishes into the life that went back.
    let third = Broker::open(&server, "c").await;
    let reused = third.append(&orders(), "5").await;
    assert_eq!(reused.first, Position::new(epoch, 3));
    // At once: what is heard proves it, before any comparison finds it.
    let told = broker.told_until(|told| matches!(told, Told::Lost(_)));
    let told = tokio::time::timeout(MOMENT, told).await.expect("at once");
    let gap = gaps(&told)[0];
    assert_eq!(gap.after, Position::new(epoch, 4));
    assert_ne!(gap.until.epoch, epoch);
}

/// Nobody publishes: there is no answer and no batch with a position that was given before.
#[tokio::test]
async fn a_broker_that_was_told_more_than_is_left_begins_a_new_epoch_where_it_opens() {
    let server = RedisServer::start(Persistence::None).await;
    let mut broker = Broker::open(&server, "a").await;
    let epoch = broker.append(&orders(), "1").await.first.epoch;
    broker.append(&orders(), "2").await;
    set_back(&server, Position::new(epoch, 1), &[2]).await;
    broker.attach(&orders(), &live()).await;
    let at = broker.redis.seek(&orders(), Start::Now).await.unwrap();
    assert!(at.epoch > epoch, "goes on at {at:?}, behind which there was another event");
}

#[tokio::test]
async fn a_life_that_begins_is_heard_by_who_follows_a_quiet_topic() {
    let server = RedisServer::start(Persistence::None).await;
    // It never compares positions by itself: what it is told, it has heard.
    let rules = Rules { check_positions: false, ..Rules::default() };
    let listening = RedisConfig { rules, ..config(&server.url(), "a") };
    let (redis, feed) = Redis::open(&listening).await.expect("a usable redis");
    let mut listening = Broker { redis, feed, held: Vec::new() };
    listening.attach(&orders(), &live()).await;
    let mut other = Broker::open(&server, "b").await;
    let epoch = other.append(&orders(), "1").await.first.epoch;
    let last = other.append(&orders(), "2").await.first;
    listening.told_until_event("2").await;
    set_back(&server, Position::new(epoch, 1), &[2]).await;
    // It opens the topic, finds less than it was told of, and publishes nothing.
    other.attach(&orders(), &live()).await;
    let told = listening.told_until(|told| matches!(told, Told::Lost(_))).await;
    let gap = gaps(&told)[0];
    assert_eq!((gap.after, gap.until.sequence), (last, 0), "{gap:?}");
    assert!(gap.until.epoch > epoch, "{gap:?}");
}

#[tokio::test]
async fn how_a_topic_is_kept_is_read_from_redis_and_not_from_each_brokers_settings() {
    let server = RedisServer::start(Persistence::None).await;
    let broker = Broker::open(&server, "a").await;
    let long = Arc::new(keeping_events(5000));
    broker.redis.append(&orders(), &long, vec![event("0")].into()).await.unwrap();
    let other = Broker::open(&server, "b").await;
    for round in 0..30 {
        let events = (0..100).map(|i| event(&format!("{round}-{i}"))).collect::<Vec<_>>();
        other.redis.append(&orders(), &live(), events.into()).await.unwrap();
    }
    let first = other.redis.seek(&orders(), Start::Earliest).await.unwrap();
    assert_eq!(first.sequence, 0, "3,001 events are fewer than 5,000");
}

#[tokio::test]
async fn how_many_bytes_are_kept_is_read_from_redis_and_not_from_each_brokers_settings() {
    let server = RedisServer::start(Persistence::None).await;
    let broker = Broker::open(&server, "a").await;
    let large = Arc::new(keeping_bytes(32 << 20));
    broker.redis.append(&orders(), &large, vec![event("0")].into()).await.unwrap();
    let other = Broker::open(&server, "b").await;
    for _ in 0..200 {
        other.redis.append(&orders(), &live(), vec![sized(100_000)].into()).await.unwrap();
    }
    let first = other.redis.seek(&orders(), Start::Earliest).await.unwrap();
    assert_eq!(first.sequence, 0, "20 MB are less than 32 MiB");
}

#[tokio::test]
async fn at_least_the_history_is_kept_and_at_most_one_request_and_a_margin_more() {
    let server = RedisServer::start(Persistence::None).await;
    let broker = Broker::open(&server, "a").await;
    let short = Arc::new(keeping_events(100));
    let mut last = 0;
    for round in 0..40 {
        let size = if round % 4 == 0 { 1000 } else { 1 };
        let events: Vec<_> = (0..size).map(|i| event(&format!("{round}-{i}"))).collect();
        let appended = broker.redis.append(&orders(), &short, events.into()).await.unwrap();
        last = appended.first.sequence + size - 1;
        let first = broker.redis.seek(&orders(), Start::Earliest).await.unwrap();
        let kept = last - first.sequence;
        assert!(last.min(100) <= kept, "only {kept} of {last} are kept");
    }
    let first = broker.redis.seek(&orders(), Start::Earliest).await.unwrap();
    assert!(last - first.sequence <= 100 + 2 * 1000, "{} kept", last - first.sequence);
}

#[tokio::test]
async fn the_history_is_bounded_in_bytes_too() {
    let server = RedisServer::start(Persistence::None).await;
    let broker = Broker::open(&server, "a").await;
    let small = Arc::new(keeping_bytes(1 << 20));
    for _ in 0..40 {
        broker.redis.append(&orders(), &small, vec![sized(100_000)].into()).await.unwrap();
        let Reply::Integer(entries) = server.command(&["XLEN", STREAM]).await else {
            panic!("no length")
        };
        assert!(entries <= 13, "{entries} entries of 100 kB are kept");
    }
}

#[tokio::test]
async fn a_new_epoch_does_not_trim_the_history_of_the_one_before() {
    let mut server = RedisServer::start(Persistence::AofAlways).await;
    let broker = Broker::open(&server, "a").await;
    let first = broker.append(&orders(), "0").await;
    for round in 0..6 {
        let events = (0..100).map(|i| event(&format!("{round}-{i}"))).collect::<Vec<_>>();
        broker.redis.append(&orders(), &live(), events.into()).await.unwrap();
    }
    server.restart().await;
    let second = broker.append(&orders(), "a").await;
    broker.append(&orders(), "b").await;
    assert_ne!(first.first.epoch, second.first.epoch);
    let page = broker.redis.read(&orders(), Position::BEGINNING).await.unwrap();
    let events = |epoch: u64| -> usize {
        let count = |entry: &Entry| match entry {
            Entry::Batch(batch) if batch.epoch == epoch => batch.events.len(),
            Entry::Batch(_) | Entry::Fence { .. } | Entry::Undecodable { .. } => 0,
        };
        page.entries.iter().map(count).sum()
    };
    assert_eq!((events(first.first.epoch), events(second.first.epoch)), (601, 2));
}

#[tokio::test]
async fn a_new_epoch_takes_nothing_of_what_a_durable_topic_kept_in_the_one_before() {
    let mut server = RedisServer::start(Persistence::AofAlways).await;
    let broker = Broker::open(&server, "a").await;
    let hundred = Retention { max_events: Some(100), max_bytes: None, max_age: None };
    let kept = Arc::new(durable_with(hundred));
    let events = |count: u64| (0..count).map(|i| event(&i.to_string())).collect::<Vec<_>>();
    let before = broker.redis.append(&orders(), &kept, events(100).into()).await.unwrap();
    server.restart().await;
    let after = broker.append(&orders(), "a").await;
    assert_ne!(before.first.epoch, after.first.epoch);
    // Topics have their turn in the order of their names: after this one all have had theirs.
    let last = topic("z");
    broker.redis.append(&last, &kept, events(300).into()).await.unwrap();
    let earliest = async |topic: &Topic| broker.redis.seek(topic, Start::Earliest).await.unwrap();
    let trimmed = async || earliest(&last).await.sequence == 200;
    eventually("the last one is trimmed", PATIENCE, trimmed).await;
    assert_eq!(earliest(&orders()).await, Position::new(before.first.epoch, 0));
}

#[tokio::test]
async fn one_broker_trims_for_all_and_another_takes_over_when_it_has_gone() {
    let server = RedisServer::start(Persistence::None).await;
    let holds = async |id: &str| {
        let holder = server.command(&["GET", "td:_tidings.trimmer"]).await;
        matches!(holder, Reply::Text(holder) if holder == id)
    };
    let first = Broker::open(&server, "a").await;
    eventually("the first one holds the lease", PATIENCE, || holds("a")).await;
    let _second = Broker::open(&server, "b").await;
    first.redis.close().await;
    eventually("the second one has taken over", PATIENCE, || holds("b")).await;
}

#[tokio::test]
async fn what_is_read_from_history_is_what_was_heard_live() {
    let server = RedisServer::start(Persistence::None).await;
    let mut broker = Broker::open(&server, "a").await;
    broker.attach(&orders(), &live()).await;
    let appended = broker.append(&orders(), "1").await;
    let heard = loop {
        if let News::Stored { batch, .. } = broker.feed.recv().await.unwrap() {
            break batch;
        }
    };
    let page = broker.redis.read(&orders(), Position::BEGINNING).await.unwrap();
    assert!(page.entries.contains(&Entry::Batch(heard.clone())), "{page:?}");
    assert_eq!(heard.publish_time_us, appended.publish_time_us);
}

#[tokio::test]
async fn a_redis_that_lets_a_script_run_only_half_is_refused_at_the_start() {
    let server = RedisServer::start(Persistence::None).await;
    let rules = ["on", ">secret", "~*", "&*", "+@all", "-hset"];
    server.command(&[&["ACL", "SETUSER", "half"][..], &rules].concat()).await;
    let url = format!("redis://half:secret@127.0.0.1:{}", server.port());
    let refused = Redis::open(&config(&url, "a")).await.expect_err("refused");
    assert!(matches!(refused, OpenError::Unfit { .. }), "{refused}");
    assert!(!refused.to_string().contains("secret"), "{refused}");
}

#[tokio::test]
async fn forgotten_scripts_are_loaded_again_in_place() {
    let server = RedisServer::start(Persistence::None).await;
    let broker = Broker::open(&server, "a").await;
    broker.append(&orders(), "1").await;
    server.command(&["SCRIPT", "FLUSH"]).await;
    let answer = broker.redis.append(&orders(), &live(), vec![event("2")].into()).await;
    assert_eq!(answer.unwrap().first.sequence, 2);
}

#[tokio::test]
async fn two_deployments_on_one_redis_do_not_hear_each_other() {
    let server = RedisServer::start(Persistence::None).await;
    let mut ours = Broker::open_at(&format!("{}/0", server.url()), "a").await;
    let theirs = Broker::open_at(&format!("{}/5", server.url()), "b").await;
    ours.attach(&orders(), &bridged(BridgeMode::Off)).await;
    theirs.append(&orders(), "theirs").await;
    ours.append(&orders(), "ours").await;
    let told = ours.told_until_event("ours").await;
    assert_eq!((gaps(&told), ids(&told)), (vec![], vec!["ours".to_owned()]));
}

#[tokio::test]
async fn a_new_redis_gets_a_deployment_with_a_name() {
    let id = async |server: &RedisServer| match server
        .command(&["HGET", "td:_tidings.deployment", "id"])
        .await
    {
        Reply::Text(id) => id,
        reply => panic!("{reply:?}"),
    };
    let (one, other) =
        (RedisServer::start(Persistence::None).await, RedisServer::start(Persistence::None).await);
    let _brokers = (Broker::open(&one, "a").await, Broker::open(&other, "a").await);
    let ids = (id(&one).await, id(&other).await);
    assert!(!ids.0.is_empty() && ids.0 != ids.1, "{ids:?}");
}

#[tokio::test]
async fn a_forged_batch_moves_nobody() {
    let server = RedisServer::start(Persistence::None).await;
    let mut broker = Broker::open(&server, "a").await;
    broker.attach(&orders(), &live()).await;
    broker.append(&orders(), "1").await;
    let Reply::Text(deployment) = server.command(&["HGET", "td:_tidings.deployment", "id"]).await
    else {
        panic!("no deployment")
    };
    // With Lua: the epoch's bytes are no text.
    let forge = "return redis.call('PUBLISH', 'td:{orders}:c', '\\245\\84\\68\\1\\9' \
                 .. struct.pack('<I8', 1) .. '\\25' .. struct.pack('<I8', 2^52) \
                 .. '\\42' .. string.char(#ARGV[1]) .. ARGV[1] .. '\\122\\2\\10\\0')";
    server.command(&["EVAL", forge, "0", &deployment]).await;
    for noise in ["", "x", "{}", "\u{1}"] {
        server.command(&["PUBLISH", "td:{orders}:c", noise]).await;
    }
    broker.append(&orders(), "2").await;
    let told = broker.told_until_event("2").await;
    assert_eq!((gaps(&told), ids(&told)), (vec![], vec!["1".to_owned(), "2".to_owned()]));
}

/// An echo that did not come over the connection it was promised on does not come at all; what is
/// like it later is somebody's own word.
#[tokio::test]
async fn echoes_that_are_waited_for_end_with_the_connection() {
    let server = RedisServer::start(Persistence::None).await;
    let mut broker = Broker::open(&server, "a").await;
    let first = broker.append(&orders(), "1").await.first;
    broker.append(&orders(), "2").await;
    broker.attach(&orders(), &bridged(BridgeMode::Raw)).await;
    let Reply::Text(deployment) = server.command(&["HGET", "td:_tidings.deployment", "id"]).await
    else {
        panic!("no deployment")
    };
    // What was read already, heard only now, with two echoes of which one does not follow it. On
    // this connection it is the first batch: nothing proves a rollback, which would end them too.
    let batch = Batch {
        first_sequence: first.sequence,
        epoch: first.epoch,
        deployment,
        topic: orders().to_string(),
        // How the SHA-256 of "hello" begins.
        echo: vec![u64::from_le_bytes([0x2c, 0xf2, 0x4d, 0xba, 0x5f, 0xb0, 0xa3, 0x0e]); 2],
        events: vec![proto::Event::default(); 2],
        ..Default::default()
    };
    let magic = [0xF5, b'T', b'D', 1];
    server.publish("td:{orders}:c", &[&magic[..], &batch.encode_to_vec()].concat()).await;
    server.publish("orders", b"hello").await;
    server.publish("orders", b"heard").await;
    let told = broker.told_until(|told| matches!(told, Told::Raw(_))).await;
    assert_eq!(told, [Told::Raw("heard".into())], "the echo is not told");
    server.client_kill("pubsub").await;
    eventually("the broker listens again", PATIENCE, || async {
        server.pubsub_numsub("orders").await == 1
    })
    .await;
    server.publish("orders", b"hello").await;
    broker.told_until(|told| matches!(told, Told::Raw(text) if text == "hello")).await;
}

#[tokio::test]
async fn hostile_entries_in_the_stream_are_a_gap_and_never_more() {
    let server = RedisServer::start(Persistence::None).await;
    let mut broker = Broker::open(&server, "a").await;
    broker.attach(&orders(), &live()).await;
    let epoch = broker.append(&orders(), "1").await.first.epoch;
    broker.told_until_event("1").await;
    for (sequence, fields) in [(2, vec!["e", "\u{1}garbage"]), (3, vec!["x", "y", "n", "1"])] {
        let id = format!("{epoch}-{sequence}");
        server.command(&[&["XADD", STREAM, &id][..], &fields].concat()).await;
    }
    server.set_at(HASH, "last", 3).await;
    broker.append(&orders(), "4").await;
    let told = broker.told_until_event("4").await;
    let missed: u64 = gaps(&told).iter().filter_map(|gap| gap.missed).sum();
    assert_eq!(missed, 2, "{told:?}");
}

#[tokio::test]
async fn a_deleted_hash_over_a_living_stream_does_not_stop_the_topic() {
    let server = RedisServer::start(Persistence::None).await;
    let broker = Broker::open(&server, "a").await;
    let first = broker.append(&orders(), "1").await;
    // A life begun by a clock that was an hour ahead: Redis takes no entry below it.
    let ahead = first.first.epoch + 3_600_000_000;
    server.command(&["XADD", STREAM, &format!("{ahead}-0"), "why", "created", "t", "1"]).await;
    server.del(&[HASH]).await;
    let other = Broker::open(&server, "b").await;
    let second = other.append(&orders(), "2").await;
    assert!(ahead < second.first.epoch);
}

#[tokio::test]
async fn epochs_never_collide_however_fast_topics_begin() {
    let server = RedisServer::start(Persistence::None).await;
    let (a, b) = (Broker::open(&server, "a").await, Broker::open(&server, "b").await);
    let mut epochs = std::collections::HashSet::new();
    for round in 0..50 {
        let broker = if round % 2 == 0 { &a } else { &b };
        let appended = broker.append(&orders(), &round.to_string()).await;
        assert_eq!(appended.first.sequence, 1);
        assert!(epochs.insert(appended.first.epoch), "epoch given twice");
        server.flushall().await;
    }
}

#[tokio::test]
async fn a_first_replica_renames_the_history_and_nobody_is_told_of_a_gap() {
    let server = RedisServer::start(Persistence::None).await;
    let mut broker = Broker::open(&server, "a").await;
    broker.attach(&orders(), &live()).await;
    let before = broker.append(&orders(), "1").await;
    let replid = |info: String| {
        info.lines().find_map(|line| line.strip_prefix("master_replid:").map(str::to_owned))
    };
    let id = replid(server.info("replication").await);
    let replica = RedisServer::start(Persistence::None).await;
    replica.replicaof(Some(server.port())).await;
    eventually("the replication id changed", PATIENCE, || async {
        replid(server.info("replication").await) != id
    })
    .await;
    assert!(replica.in_sync().await);
    // At once, and long before the broker looks by itself who Redis is.
    let at_once = broker.append(&orders(), "at once").await;
    assert_eq!(at_once.first.epoch, before.first.epoch);
    let mut other: Topic = "other".parse().unwrap();
    broker.append(&other, "x").await;
    let after = broker.append(&orders(), "2").await;
    assert_eq!(after.first.epoch, before.first.epoch);
    let told = broker.told_until_event("2").await;
    assert_eq!(gaps(&told), []);
    // What is opened only now belongs to the same history.
    other = orders();
    broker.attach(&other, &live()).await;
    assert_eq!(broker.append(&orders(), "3").await.first.epoch, before.first.epoch);
}

#[tokio::test]
async fn a_demoted_primary_is_never_answered_as_a_success() {
    let server = RedisServer::start(Persistence::None).await;
    let broker = Broker::open(&server, "a").await;
    broker.append(&orders(), "1").await;
    let primary = RedisServer::start(Persistence::None).await;
    server.replicaof(Some(primary.port())).await;
    assert!(server.in_sync().await);
    let answer = broker.redis.append(&orders(), &live(), vec![event("2")].into()).await;
    assert!(
        matches!(answer, Err(BackendError::Failover { .. } | BackendError::Unavailable { .. })),
        "{answer:?}"
    );
    server.replicaof(None).await;
    broker.append(&orders(), "3").await;
}

/// To open a topic that has not changed writes nothing: Redis itself would not refuse it.
#[tokio::test]
async fn who_comes_to_a_demoted_primary_before_that_is_noticed_is_told_of_no_place() {
    let server = RedisServer::start(Persistence::None).await;
    let mut broker = Broker::open(&server, "a").await;
    broker.append(&orders(), "1").await;
    just_looked(&mut broker).await;
    // It reaches no primary, and so it keeps the name and the topics that it had as one.
    server.replicaof(Some(1)).await;
    let answer = broker.redis.attach(&orders(), &live()).await;
    assert!(
        matches!(answer, Err(BackendError::Failover { .. } | BackendError::Unavailable { .. })),
        "{answer:?}"
    );
    server.replicaof(None).await;
    broker.attach(&orders(), &live()).await;
}

#[tokio::test]
async fn a_restart_that_forgot_is_told_also_where_nobody_publishes() {
    let mut server = RedisServer::start(Persistence::None).await;
    let mut broker = Broker::open(&server, "a").await;
    broker.attach(&orders(), &live()).await;
    let last = broker.append(&orders(), "1").await;
    broker.told_until_event("1").await;
    server.restart().await;
    let told = broker.told_until(|told| matches!(told, Told::Lost(_))).await;
    assert_eq!(gaps(&told)[0].after, last.first);
}

#[tokio::test]
async fn a_snapshot_older_than_what_was_acknowledged_is_a_new_epoch() {
    let mut server = RedisServer::start(Persistence::None).await;
    let mut broker = Broker::open(&server, "a").await;
    broker.attach(&orders(), &live()).await;
    broker.append(&orders(), "1").await;
    server.command(&["SAVE"]).await;
    let lost = broker.append(&orders(), "2").await;
    broker.told_until_event("2").await;
    server.restart().await;
    let again = broker.append(&orders(), "3").await;
    assert_ne!(again.first.epoch, lost.first.epoch);
    let told = broker.told_until_event("3").await;
    assert!(!gaps(&told).is_empty(), "{told:?}");
}

#[tokio::test]
async fn an_answer_that_was_lost_is_an_unknown_outcome_and_the_next_publish_waits_for_nothing() {
    let server = RedisServer::start(Persistence::None).await;
    let broker = Broker::open(&server, "a").await;
    broker.append(&orders(), "1").await;
    server.sigstop();
    let answer = broker.redis.append(&orders(), &live(), vec![event("2")].into()).await;
    assert!(matches!(answer, Err(BackendError::OutcomeUnknown { .. })), "{answer:?}");
    // The connection is closed: nothing is sent behind a command that may still be carried out.
    let answer = broker.redis.append(&orders(), &live(), vec![event("3")].into()).await;
    assert!(matches!(answer, Err(BackendError::Unavailable { .. })), "{answer:?}");
    server.sigcont();
    broker.append(&orders(), "4").await;
}

/// The call only asks: no publish of unknown outcome is there to end the connection.
#[tokio::test]
async fn what_took_too_long_ends_the_connection_and_nothing_is_sent_behind_it() {
    let server = RedisServer::start(Persistence::None).await;
    let mut broker = Broker::open(&server, "a").await;
    let first = broker.append(&orders(), "1").await.first;
    // The next sign of life is not asked for before the call below has taken most of its time.
    just_looked(&mut broker).await;
    server.sigstop();
    let other: Topic = "other".parse().unwrap();
    for (topic, id) in [(other, "x"), (orders(), "2")] {
        let answer = broker.redis.append(&topic, &live(), vec![event(id)].into()).await;
        assert!(matches!(answer, Err(BackendError::Unavailable { .. })), "{topic}: {answer:?}");
    }
    server.sigcont();
    let third = broker.append(&orders(), "3").await.first;
    assert_eq!(third, Position::new(first.epoch, 2), "what was refused is stored");
}

#[tokio::test]
async fn a_topic_that_is_followed_is_not_forgotten_and_one_that_is_not_is() {
    let server = RedisServer::start(Persistence::None).await;
    let mut broker = Broker::open(&server, "a").await;
    let short = Arc::new(TopicSettings { idle: Duration::from_secs(4), ..Default::default() });
    let other: Topic = "other".parse().unwrap();
    let elsewhere = Broker::open(&server, "b").await;
    broker.attach(&orders(), &short).await;
    for topic in [orders(), other] {
        elsewhere.redis.append(&topic, &short, vec![event("1")].into()).await.unwrap();
    }
    elsewhere.redis.close().await;
    eventually("the other topic is forgotten", PATIENCE, || async {
        server.command(&["EXISTS", "td:{other}:m", "td:{other}:s"]).await == Reply::Integer(0)
    })
    .await;
    assert_eq!(server.command(&["EXISTS", HASH, STREAM]).await, Reply::Integer(2));
}

#[tokio::test]
async fn what_is_copied_to_the_bridges_channel_does_not_come_back() {
    for mode in [BridgeMode::Raw, BridgeMode::CloudEventsJson] {
        let server = RedisServer::start(Persistence::None).await;
        let settings = bridged(mode);
        let (mut a, mut b) = (Broker::open(&server, "a").await, Broker::open(&server, "b").await);
        a.attach(&orders(), &settings).await;
        b.attach(&orders(), &settings).await;
        for round in 0..50 {
            let events = (0..3).map(|i| event(&format!("{round}-{i}"))).collect::<Vec<_>>();
            a.redis.append(&orders(), &settings, events.into()).await.unwrap();
            // The same bytes as one of the copies, from a client that means them.
            server.command(&["PUBLISH", "orders", "data of 0-0"]).await;
        }
        a.redis.append(&orders(), &settings, vec![event("end")].into()).await.unwrap();
        for broker in [&mut a, &mut b] {
            let told = broker.told_until_event("end").await;
            let raw = told.iter().filter(|told| matches!(told, Told::Raw(_))).count();
            assert_eq!((ids(&told).len(), raw, gaps(&told)), (151, 50, vec![]), "{mode:?}");
        }
    }
}

#[tokio::test]
async fn the_index_names_a_topic_before_it_exists_and_tells_who_watches() {
    let server = RedisServer::start(Persistence::None).await;
    let mut broker = Broker::open(&server, "a").await;
    let other = Broker::open(&server, "b").await;
    other.append(&orders(), "1").await;
    let known = eventually_watch(&broker).await;
    assert_eq!(known, [orders()]);
    let eu: Topic = "orders.eu".parse().unwrap();
    let appended = other.append(&eu, "1").await;
    loop {
        let news = tokio::time::timeout(PATIENCE, broker.feed.recv()).await;
        if let News::Appeared { topic, epoch } = news.unwrap().unwrap()
            && topic == eu
        {
            assert_eq!(epoch, appended.first.epoch);
            return;
        }
    }
}

async fn eventually_watch(broker: &Broker) -> Vec<Topic> {
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        match broker.redis.watch_topics().await {
            Ok(topics) => return topics,
            Err(error) => assert!(tokio::time::Instant::now() < end, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn nothing_is_written_outside_our_prefix() {
    let server = RedisServer::start(Persistence::None).await;
    let mut broker = Broker::open(&server, "a").await;
    broker.attach(&orders(), &bridged(BridgeMode::Raw)).await;
    for topic in ["orders", "a.b-c_D", "9"] {
        broker.append(&topic.parse().unwrap(), "1").await;
    }
    let Reply::List(keys) = server.command(&["KEYS", "*"]).await else { panic!("no keys") };
    for key in keys {
        assert!(matches!(&key, Reply::Text(key) if key.starts_with("td:")), "{key:?}");
    }
}
