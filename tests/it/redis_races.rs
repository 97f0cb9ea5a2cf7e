//! What a hostile reader of the code for Redis suspected: races, one topic's trouble that becomes
//! everybody's, growth, and answers that are not true.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use tidings::{
    backend::{
        Backend, BackendError, BridgeMode, News,
        redis::{Redis, RedisConfig, Rules},
    },
    position::{Position, Start},
    topic::Topic,
};
use tokio::{task::JoinSet, time::Instant};

use crate::support::{
    backend::{
        Broker, HASH, PATIENCE, STREAM, Told, bridged, config, event, gaps, ids, live, orders,
    },
    eventually,
    in_process::topic,
    proxy::{Direction, FaultProxy, Mode, Which},
    redis::{Persistence, RedisServer, Reply},
    settings::keeping_events,
};

const MOMENT: Duration = Duration::from_secs(1);

fn other() -> Topic {
    topic("other")
}

/// One publish on another topic arrives within a moment, without a second try.
async fn others_are_not_disturbed(broker: &mut Broker, id: &str) {
    let answer =
        broker.redis.append(&other(), &bridged(BridgeMode::Off), vec![event(id)].into()).await;
    answer.expect("the other topic takes it");
    let told = tokio::time::timeout(MOMENT, broker.told_until_event(id)).await;
    let told = told.unwrap_or_else(|_| panic!("{id} is not told"));
    assert_eq!(gaps(&told), [], "{told:?}");
}

/// Whether it is told that a topic appeared, and with which epoch, until `end`.
async fn appeared(broker: &mut Broker, wanted: &Topic, end: Instant) -> Option<u64> {
    while let Ok(Some(news)) = tokio::time::timeout_at(end, broker.feed.recv()).await {
        if let News::Appeared { topic, epoch } = news
            && topic == *wanted
        {
            return Some(epoch);
        }
    }
    None
}

async fn watch(redis: &Redis) -> Vec<Topic> {
    let end = Instant::now() + PATIENCE;
    loop {
        match redis.watch_topics().await {
            Ok(topics) => return topics,
            Err(error) => assert!(Instant::now() < end, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_channel_that_redis_forbids_is_refused_each_time_and_disturbs_no_other_topic() {
    let server = RedisServer::start(Persistence::None).await;
    let rules = ["on", ">secret", "~*", "+@all", "resetchannels", "&td:*"];
    server.command(&[&["ACL", "SETUSER", "narrow"][..], &rules].concat()).await;
    let url = format!("redis://narrow:secret@127.0.0.1:{}", server.port());
    let mut broker = Broker::open_at(&url, "a").await;
    broker.attach(&other(), &bridged(BridgeMode::Off)).await;
    for round in 0..20 {
        // The bridge's channel is not one of those allowed.
        let answer = broker.redis.attach(&orders(), &live()).await;
        assert!(matches!(answer, Err(BackendError::Refused { .. })), "{round}: {answer:?}");
        others_are_not_disturbed(&mut broker, &format!("x{round}")).await;
    }
    broker.attach(&orders(), &bridged(BridgeMode::Off)).await;
}

#[tokio::test]
async fn a_topic_whose_key_holds_something_else_disturbs_no_other() {
    let server = RedisServer::start(Persistence::None).await;
    let mut broker = Broker::open(&server, "a").await;
    broker.attach(&other(), &bridged(BridgeMode::Off)).await;
    broker.attach(&orders(), &live()).await;
    broker.append(&orders(), "1").await;
    broker.told_until_event("1").await;
    server.del(&[HASH, STREAM]).await;
    server.command(&["SET", HASH, "mine"]).await;
    for round in 0..5 {
        let checked = broker.redis.check(&orders()).await;
        assert!(matches!(checked, Err(BackendError::Refused { .. })), "{checked:?}");
        others_are_not_disturbed(&mut broker, &format!("x{round}")).await;
    }
    let mut second = Broker::open(&server, "b").await;
    let answer = second.redis.attach(&orders(), &live()).await;
    assert!(matches!(answer, Err(BackendError::Refused { .. })), "{answer:?}");
    second.attach(&other(), &bridged(BridgeMode::Off)).await;
    others_are_not_disturbed(&mut second, "y").await;
    // With the key gone it is a topic again, for both.
    server.del(&[HASH]).await;
    second.attach(&orders(), &live()).await;
    broker.redis.check(&orders()).await.expect("checked");
    broker.append(&orders(), "2").await;
    broker.told_until_event("2").await;
    second.told_until_event("2").await;
}

#[tokio::test]
async fn a_publish_that_redis_refuses_for_its_key_is_certain_and_disturbs_no_other() {
    let server = RedisServer::start(Persistence::None).await;
    let mut broker = Broker::open(&server, "a").await;
    broker.attach(&other(), &bridged(BridgeMode::Off)).await;
    broker.append(&orders(), "1").await;
    server.del(&[STREAM]).await;
    server.command(&["SET", STREAM, "mine"]).await;
    for round in 0..5 {
        let answer = broker.redis.append(&orders(), &live(), vec![event("2")].into()).await;
        assert!(matches!(answer, Err(BackendError::Refused { .. })), "{answer:?}");
        others_are_not_disturbed(&mut broker, &format!("x{round}")).await;
    }
}

#[tokio::test]
async fn an_entry_of_a_later_life_that_redis_does_not_know_is_nobodys() {
    let server = RedisServer::start(Persistence::None).await;
    let mut broker = Broker::open(&server, "a").await;
    broker.attach(&other(), &bridged(BridgeMode::Off)).await;
    broker.attach(&orders(), &live()).await;
    let epoch = broker.append(&orders(), "1").await.first.epoch;
    broker.told_until_event("1").await;
    let later = format!("{}-1", epoch + 1_000_000);
    server.command(&["XADD", STREAM, &later, "e", "x"]).await;
    tokio::time::timeout(3 * MOMENT, broker.redis.check(&orders())).await.expect("ends").unwrap();
    others_are_not_disturbed(&mut broker, "x").await;
    // Redis takes no entry below it: the topic goes on in a life above it.
    let appended = broker.append(&orders(), "2").await;
    assert!(appended.first.epoch > epoch + 1_000_000);
    let told = broker.told_until_event("2").await;
    assert_eq!(ids(&told), ["2"], "{told:?}");
}

#[tokio::test]
async fn a_seek_passes_over_entries_that_are_not_ours() {
    let server = RedisServer::start(Persistence::None).await;
    let broker = Broker::open(&server, "a").await;
    let epoch = broker.append(&orders(), "1").await.first.epoch;
    for (sequence, fields) in [(2, ["x", "y"]), (3, ["n", "many"]), (4, ["t", "now"])] {
        let id = format!("{epoch}-{sequence}");
        server.command(&[&["XADD", STREAM, &id][..], &fields].concat()).await;
    }
    server.set_at(HASH, "last", 4).await;
    broker.append(&orders(), "5").await;
    let hour = Start::Ago(Duration::from_secs(3600));
    for start in [Start::Now, Start::Earliest, Start::Last(2), Start::Time(5), hour] {
        let found = broker.redis.seek(&orders(), start).await;
        assert_eq!(found.expect("a place").epoch, epoch, "{start:?}");
    }
}

#[tokio::test]
async fn a_name_that_redis_had_before_last_proves_nothing() {
    let server = RedisServer::start(Persistence::None).await;
    let broker = Broker::open(&server, "a").await;
    // Known to another broker only: ours can bear no witness to what was reached.
    let gone = Broker::open(&server, "b").await;
    let before = gone.append(&orders(), "1").await;
    gone.append(&orders(), "2").await;
    gone.redis.close().await;
    let replid = async || {
        let info = server.info("replication").await;
        info.lines().find_map(|line| line.strip_prefix("master_replid:").map(str::to_owned))
    };
    // Renamed with nothing lost: the broker has seen it.
    let first = replid().await;
    let replica = RedisServer::start(Persistence::None).await;
    replica.replicaof(Some(server.port())).await;
    assert!(replica.in_sync().await);
    assert_ne!(replid().await, first);
    tokio::time::sleep(2 * MOMENT).await;
    broker.append(&other(), "x").await;
    // Away and back, between two looks of the broker, with less than there was.
    server.replicaof(Some(1)).await;
    server.replicaof(None).await;
    let epoch = before.first.epoch;
    server.command(&["XDEL", STREAM, &format!("{epoch}-2")]).await;
    server.command(&["XSETID", STREAM, &format!("{epoch}-1")]).await;
    server.set_at(HASH, "last", 1).await;
    drop(broker.redis.append(&orders(), &live(), vec![event("3")].into()).await);
    let second = Broker::open(&server, "c").await;
    let after = second.append(&orders(), "4").await;
    assert_ne!(after.first.epoch, epoch, "a forked history went on");
}

/// Its lineage says whose history it had, and not that it had all of it.
#[tokio::test]
async fn a_replica_that_took_over_with_less_is_another_history() {
    let primary = RedisServer::start(Persistence::None).await;
    let replica = RedisServer::start(Persistence::None).await;
    replica.replicaof(Some(primary.port())).await;
    assert!(replica.in_sync().await);
    let before = Broker::open(&primary, "a").await;
    let epoch = before.append(&orders(), "1").await.first.epoch;
    let at = async || replica.command(&["HGET", HASH, "at"]).await;
    eventually("the replica has it", PATIENCE, || async {
        at().await != Reply::Nil && replica.at(HASH, "last").await == 1
    })
    .await;
    replica.replicaof(None).await;
    before.append(&orders(), "2").await;
    before.redis.close().await;
    let Reply::Text(named) = replica.command(&["HGET", HASH, "replid"]).await else {
        panic!("no replication id")
    };
    let lineage = replica.info("replication").await;
    assert!(lineage.contains(&format!("master_replid2:{named}")), "{lineage}");
    // Nobody who was told of the second event is there to say so.
    let after = Broker::open(&replica, "b").await;
    let third = after.append(&orders(), "3").await.first;
    assert_ne!(third.epoch, epoch, "a position that was given is given again");
}

/// The listener waits for what does not come, and cannot see meanwhile that nothing else comes.
#[tokio::test]
async fn redis_is_told_as_away_also_while_the_listener_waits_for_it() {
    let server = RedisServer::start(Persistence::None).await;
    let proxy = FaultProxy::start(server.port()).await;
    // It does not look after the listening connection, so that the listener waits its whole time.
    let rules = Rules { validate_answers: false, ..Rules::default() };
    let waiting = RedisConfig { rules, ..config(&proxy.url(), "a") };
    let (redis, feed) = Redis::open(&waiting).await.expect("a usable redis");
    let mut broker = Broker { redis, feed, held: Vec::new() };
    broker.attach(&other(), &live()).await;
    proxy.set(Which::All, Direction::Both, Mode::BlackHole);
    let (topic, settings) = (orders(), live());
    let Broker { redis, feed, .. } = &mut broker;
    let mut attaching = std::pin::pin!(redis.attach(&topic, &settings));
    let asked = tokio::time::timeout(MOMENT / 10, &mut attaching).await;
    asked.expect_err("its channels cannot be confirmed");
    proxy.cut(Which::Cmd);
    let told_away = async {
        while let Some(news) = feed.recv().await {
            if matches!(news, News::Down { .. }) {
                return;
            }
        }
        panic!("the feed ended");
    };
    tokio::select! {
        biased;
        () = told_away => (),
        answer = attaching => panic!("nothing was told before {answer:?}"),
    }
}

#[tokio::test]
async fn a_topic_that_came_and_went_beside_a_flush_is_told_to_who_was_away() {
    let server = RedisServer::start(Persistence::None).await;
    let proxy = FaultProxy::start(server.port()).await;
    let mut away = Broker::open_at(&proxy.url(), "a").await;
    let there = Broker::open(&server, "b").await;
    there.append(&other(), "x").await;
    away.attach(&orders(), &live()).await;
    // It takes another look at how many were born.
    proxy.cut(Which::Sub);
    away.told_until(|told| matches!(told, Told::Lost(_))).await;
    let births = async || match server.command(&["HGET", "td:_tidings.deployment", "births"]).await
    {
        Reply::Text(births) => births.parse::<u64>().unwrap(),
        _ => 0,
    };
    let before = births().await;
    proxy.set(Which::All, Direction::Both, Mode::BlackHole);
    tokio::time::sleep(MOMENT / 10).await;
    server.flushall().await;
    there.append(&orders(), "1").await;
    server.del(&[HASH, STREAM]).await;
    // As many as there had been.
    for n in 0.. {
        if births().await >= before {
            break;
        }
        there.append(&topic(&format!("other.{n}")), "x").await;
    }
    tokio::time::sleep(2 * MOMENT).await;
    proxy.heal();
    let told = away.told_until(|told| matches!(told, Told::Lost(_))).await;
    assert_eq!(gaps(&told)[0].until, Position::BEGINNING);
}

#[tokio::test]
async fn a_topic_that_is_born_in_a_flood_is_told_soon() {
    let server = RedisServer::start(Persistence::None).await;
    let mut broker = Broker::open(&server, "a").await;
    let there = Broker::open(&server, "b").await;
    broker.attach(&orders(), &live()).await;
    watch(&broker.redis).await;
    // Nobody takes the feed meanwhile: more comes than may wait.
    let flood = "for i = 1, 25000 do redis.call('PUBLISH', 'orders', 'x') end return 1";
    server.command(&["EVAL", flood, "0"]).await;
    there.append(&other(), "x").await;
    let end = Instant::now() + Duration::from_secs(10);
    assert!(appeared(&mut broker, &other(), end).await.is_some(), "not told within ten seconds");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_is_attached_while_raw_clients_flood_another() {
    let server = RedisServer::start(Persistence::None).await;
    let mut broker = Broker::open(&server, "a").await;
    broker.attach(&orders(), &live()).await;
    let Broker { redis, mut feed, .. } = broker;
    let flooding = tokio::spawn(async move {
        let flood = "for i = 1, 100 do redis.call('PUBLISH', 'orders', 'x') end return 1";
        loop {
            server.command(&["EVAL", flood, "0"]).await;
            tokio::time::sleep(MOMENT / 1000).await;
        }
    });
    // Whoever takes the feed is slower than what comes: something waits at any time.
    let taking = tokio::spawn(async move {
        let mut raw = 0;
        while let Some(news) = feed.recv().await {
            raw += u64::from(matches!(news, News::Raw { .. }));
            if raw % 20 == 0 {
                tokio::time::sleep(MOMENT / 1000).await;
            }
        }
        raw
    });
    tokio::time::sleep(MOMENT / 2).await;
    let mut held = Vec::new();
    for n in 0..20 {
        let (other, settings) = (topic(&format!("other.{n}")), live());
        let attaching = tokio::time::timeout(2 * MOMENT, redis.attach(&other, &settings)).await;
        held.push(attaching.expect("in time").expect("attached"));
    }
    flooding.abort();
    redis.close().await;
    drop(redis);
    assert!(taking.await.unwrap() > 0);
}

/// A life is heard to begin, and is gone before it can be read.
#[tokio::test]
async fn a_life_that_ends_before_it_is_read_is_told_as_lost() {
    let server = RedisServer::start(Persistence::None).await;
    let proxy = FaultProxy::start(server.port()).await;
    let mut broker = Broker::open_at(&proxy.url(), "a").await;
    let elsewhere = Broker::open(&server, "b").await;
    broker.attach(&orders(), &live()).await;
    proxy.set(Which::Cmd, Direction::ToRedis, Mode::Delay(MOMENT / 2));
    elsewhere.append(&orders(), "1").await;
    server.flushall().await;
    let told = broker.told_until(|told| matches!(told, Told::Lost(_))).await;
    assert_eq!(gaps(&told)[0].missed, None, "nobody knows how much it was");
    proxy.heal();
    elsewhere.append(&orders(), "2").await;
    let told = broker.told_until_event("2").await;
    assert_eq!((gaps(&told), ids(&told)), (vec![], vec!["2".to_owned()]), "told once");
}

#[tokio::test]
async fn who_asks_for_a_comparison_is_told_of_a_life_that_was_missed() {
    let server = RedisServer::start(Persistence::None).await;
    let mut broker = Broker::open(&server, "a").await;
    broker.append(&orders(), "1").await;
    broker.attach(&orders(), &bridged(BridgeMode::Off)).await;
    let missed = broker.append(&other(), "2").await.first;
    // Another life of the topic, of which nothing was published.
    for (from, to) in [("td:{other}:m", HASH), ("td:{other}:s", STREAM)] {
        server.command(&["COPY", from, to, "REPLACE"]).await;
    }
    broker.redis.check(&orders()).await.expect("compared");
    let mut told = Vec::new();
    while let Ok(news) = broker.feed.try_recv() {
        told.extend(crate::support::backend::told(news));
    }
    assert_eq!(gaps(&told).len(), 1, "{told:?}");
    assert_eq!(told.last(), Some(&Told::Events(missed, vec!["2".into()])), "{told:?}");
}

#[tokio::test]
async fn a_last_event_that_was_not_heard_is_found_by_comparing() {
    let server = RedisServer::start(Persistence::None).await;
    let mut broker = Broker::open(&server, "a").await;
    broker.attach(&orders(), &bridged(BridgeMode::Off)).await;
    let first = broker.append(&orders(), "1").await.first;
    broker.told_until_event("1").await;
    // Stored, and on its way lost.
    let store = "local x = redis.call('XRANGE', KEYS[2], '-', '+') local f = x[#x][2] \
                 redis.call('XADD', KEYS[2], ARGV[1] .. '-2', unpack(f)) \
                 local at = redis.call('HGET', KEYS[1], 'at') \
                 at = string.sub(at, 1, 16) .. struct.pack('<I8', 2) .. string.sub(at, 25) \
                 return redis.call('HSET', KEYS[1], 'at', at)";
    server.command(&["EVAL", store, "2", HASH, STREAM, &first.epoch.to_string()]).await;
    let second = Position::new(first.epoch, 2);
    broker.told_until(|told| matches!(told, Told::Events(at, _) if *at == second)).await;
}

#[tokio::test]
async fn a_life_that_was_left_does_not_come_back() {
    let server = RedisServer::start(Persistence::None).await;
    let mut broker = Broker::open(&server, "a").await;
    broker.attach(&orders(), &bridged(BridgeMode::Off)).await;
    let first = broker.append(&orders(), "1").await.first;
    for (from, to) in [(HASH, "copy:m"), (STREAM, "copy:s")] {
        server.command(&["COPY", from, to]).await;
    }
    server.del(&[HASH, STREAM]).await;
    broker.append(&orders(), "2").await;
    broker.told_until_event("2").await;
    // Somebody puts back what there was, and Redis stays the same.
    for (from, to) in [("copy:m", HASH), ("copy:s", STREAM)] {
        server.command(&["COPY", from, to, "REPLACE"]).await;
    }
    broker.redis.check(&orders()).await.expect("compared");
    let third = broker.append(&orders(), "3").await.first;
    assert_ne!(third.epoch, first.epoch);
    let told = broker.told_until_event("3").await;
    assert_eq!(ids(&told), ["3"], "{told:?}");
    assert!(!gaps(&told).is_empty());
}

#[tokio::test]
async fn many_who_ask_for_all_topics_at_once_share_few_scans() {
    let server = RedisServer::start(Persistence::None).await;
    let broker = Broker::open(&server, "a").await;
    broker.append(&orders(), "1").await;
    watch(&broker.redis).await;
    server.command(&["CONFIG", "RESETSTAT"]).await;
    let asked = (0..200).map(|_| broker.redis.watch_topics());
    for listed in futures_util::future::join_all(asked).await {
        assert_eq!(listed.expect("listed"), [orders()]);
    }
    let stats = server.info("commandstats").await;
    let scans = stats.lines().find_map(|line| line.strip_prefix("cmdstat_zscan:calls="));
    let scans = scans.and_then(|line| line.split(',').next()?.parse::<u32>().ok());
    assert!(scans.is_some_and(|scans| scans <= 10), "{scans:?} scans");
}

#[tokio::test]
async fn a_topic_that_is_found_before_its_birth_is_heard_was_born_all_the_same() {
    let server = RedisServer::start(Persistence::None).await;
    let proxy = FaultProxy::start(server.port()).await;
    let mut broker = Broker::open_at(&proxy.url(), "a").await;
    let there = Broker::open(&server, "b").await;
    watch(&broker.redis).await;
    proxy.set(Which::Sub, Direction::ToBroker, Mode::Freeze);
    let born = there.append(&orders(), "1").await;
    // Another subscriber asks for all topics.
    let redis = &broker.redis;
    let (listed, ()) = tokio::join!(redis.watch_topics(), async {
        tokio::time::sleep(MOMENT / 3).await;
        proxy.heal();
    });
    assert_eq!(listed.expect("listed"), [orders()]);
    let end = Instant::now() + PATIENCE;
    assert_eq!(appeared(&mut broker, &orders(), end).await, Some(born.first.epoch));
}

#[tokio::test]
async fn all_topics_are_listed_while_others_keep_theirs_from_being_forgotten() {
    const TOPICS: usize = 3500;
    let server = RedisServer::start(Persistence::None).await;
    let fill = "for i = 1, tonumber(ARGV[1]) do redis.call('ZADD', 'td:_tidings.topics', \
                4000000000 + i, 't' .. i) end return 1";
    server.command(&["EVAL", fill, "0", &TOPICS.to_string()]).await;
    let mut refreshing = JoinSet::new();
    let url = server.port();
    refreshing.spawn(async move {
        let mut client = tokio::net::TcpStream::connect(("127.0.0.1", url)).await.unwrap();
        // The first of all becomes the last, over and over.
        let refresh = "local a = redis.call('ZRANGE', 'td:_tidings.topics', 0, 20) for i = 1, #a \
                       do redis.call('ZINCRBY', 'td:_tidings.topics', 1000000, a[i]) end return 1";
        let line = format!("*3\r\n$4\r\nEVAL\r\n${}\r\n{refresh}\r\n$1\r\n0\r\n", refresh.len());
        loop {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            client.write_all(line.as_bytes()).await.unwrap();
            let mut answer = [0; 4];
            client.read_exact(&mut answer).await.unwrap();
        }
    });
    for round in 0..5 {
        let Broker { redis, mut feed, .. } = Broker::open(&server, &format!("b{round}")).await;
        tokio::spawn(async move { while feed.recv().await.is_some() {} });
        let topics: HashSet<Topic> = watch(&redis).await.into_iter().collect();
        assert_eq!(topics.len(), TOPICS);
    }
}

#[tokio::test]
async fn a_topic_that_was_forgotten_is_listed_no_more() {
    let server = RedisServer::start(Persistence::None).await;
    let broker = Broker::open(&server, "a").await;
    broker.append(&orders(), "1").await;
    broker.append(&other(), "1").await;
    let mut listed = watch(&broker.redis).await;
    listed.sort();
    assert_eq!(listed, [orders(), other()]);
    server.del(&[HASH, STREAM]).await;
    server.command(&["ZADD", "td:_tidings.topics", "1", "orders"]).await;
    assert_eq!(watch(&broker.redis).await, [other()]);
}

#[tokio::test]
async fn brokers_with_different_settings_do_not_fight_over_a_topic() {
    let server = RedisServer::start(Persistence::None).await;
    let mut publishers = JoinSet::new();
    for (id, max_events) in [("a", 300), ("b", 5000), ("c", 700)] {
        let (redis, _) = Redis::open(&config(&server.url(), id)).await.expect("a usable redis");
        let settings = Arc::new(keeping_events(max_events));
        publishers.spawn(async move {
            for n in 0..300 {
                let answer =
                    redis.append(&orders(), &settings, vec![event(&n.to_string())].into()).await;
                answer.expect("nothing is wrong with redis");
            }
        });
    }
    while let Some(done) = publishers.join_next().await {
        done.unwrap();
    }
    let version = server.at(HASH, "version").await;
    assert!(version <= 10, "changed {version} times");
}

#[tokio::test]
async fn each_publish_of_a_group_is_answered_with_its_own_place() {
    let server = RedisServer::start(Persistence::None).await;
    let broker = Arc::new(Broker::open(&server, "a").await);
    let mut publishers = JoinSet::new();
    for publish in 0..300 {
        let broker = broker.clone();
        publishers.spawn(async move {
            let count = if publish % 50 == 0 { 400 } else { 1 + publish % 7 };
            let events = (0..count).map(|n| event(&format!("{publish}.{n}"))).collect::<Vec<_>>();
            let (orders, settings) = (orders(), live());
            let appending = broker.redis.append(&orders, &settings, events.into());
            if publish % 10 == 3 {
                // Whoever asked gives up: the others' places stay theirs.
                _ = tokio::time::timeout(Duration::from_micros(300), appending).await;
                return None;
            }
            Some((publish, count, appending.await.expect("stored").first))
        });
    }
    let mut told = HashMap::new();
    while let Some(done) = publishers.join_next().await {
        let Some((publish, count, first)) = done.unwrap() else { continue };
        for n in 0..count {
            told.insert(first.sequence + n, format!("{publish}.{n}"));
        }
    }
    let epoch = broker.append(&orders(), "last").await.first.epoch;
    let mut at = Position::new(epoch, 0);
    let mut found = 0;
    loop {
        let page = broker.redis.read(&orders(), at).await.expect("a page");
        for entry in page.entries {
            if let tidings::backend::Entry::Batch(batch) = entry {
                for (sequence, event) in (batch.first..).zip(&batch.events) {
                    if let Some(id) = told.get(&sequence) {
                        assert_eq!(*id, crate::support::backend::id_of(event));
                        found += 1;
                    }
                }
                at = batch.last();
            }
        }
        if page.complete {
            break;
        }
    }
    assert!(found >= 1000, "only {found} of {} are kept", told.len());
}

#[tokio::test]
async fn commands_may_end_alone_again_and_again_and_nothing_is_lost_or_told_twice() {
    let server = RedisServer::start(Persistence::None).await;
    let proxy = FaultProxy::start(server.port()).await;
    let mut broker = Broker::open_at(&proxy.url(), "a").await;
    let there = Broker::open(&server, "b").await;
    broker.attach(&orders(), &live()).await;
    let cutting = async {
        for _ in 0..12 {
            tokio::time::sleep(MOMENT / 4).await;
            proxy.cut(Which::Cmd);
        }
    };
    let publishing = async {
        for n in 0..600 {
            there.append(&orders(), &n.to_string()).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let (told, (), ()) = tokio::join!(broker.told_until_event("599"), cutting, publishing);
    assert_eq!(gaps(&told), []);
    assert!(ids(&told).into_iter().eq((0..600).map(|n| n.to_string())), "{told:?}");
}

#[tokio::test]
async fn an_identity_that_changes_while_the_two_connections_are_made_is_got_over() {
    let server = RedisServer::start(Persistence::None).await;
    let mut broker = Broker::open(&server, "a").await;
    broker.attach(&orders(), &live()).await;
    for round in 0..15 {
        server.client_kill("normal").await;
        server.client_kill("pubsub").await;
        // Now and then one of them knows the name before, and the other the name after.
        for pause in [20, 10, 10, 10] {
            tokio::time::sleep(Duration::from_millis(pause + round % 10)).await;
            server.replicaof(Some(1)).await;
            server.replicaof(None).await;
        }
        let id = round.to_string();
        broker.append(&orders(), &id).await;
        broker.told_until_event(&id).await;
    }
}
