//! What anybody may do to the keys of a shared Redis: fields that are missing or nonsense, keys of
//! another type. A topic heals into a new life with an announced gap, or is refused with the key's
//! name and what to do; no other topic notices.

use std::{sync::Arc, time::Duration};

use tidings::{
    backend::{Backend, BackendError, BridgeMode, News, TopicSettings},
    position::Start,
    topic::Topic,
};
use tokio::time::timeout;

use crate::support::{
    backend::{Broker, PATIENCE, Told, bridged, event, gaps, id_of, ids, live, orders},
    in_process::topic,
    redis::{AT, Persistence, RedisServer, Reply},
};

const DEPLOYMENT: &str = "td:_tidings.deployment";
const INDEX: &str = "td:_tidings.topics";
const MOMENT: Duration = Duration::from_secs(3);

fn hash(topic: &Topic) -> String {
    format!("td:{{{topic}}}:m")
}

fn other() -> Topic {
    topic("other")
}

/// One publish on another topic arrives within a moment, at the first try and without a gap.
async fn others_are_not_disturbed(broker: &mut Broker, id: &str) {
    let answer =
        broker.redis.append(&other(), &bridged(BridgeMode::Off), vec![event(id)].into()).await;
    answer.expect("the other topic takes it");
    loop {
        let news = timeout(MOMENT, broker.feed.recv()).await;
        match news.unwrap_or_else(|_| panic!("{id} is not told")).expect("the feed lives") {
            News::Lost { topic, gap } if topic == other() => panic!("{gap:?} before {id}"),
            News::Stored { topic, batch } if topic == other() => {
                assert_eq!(id_of(&batch.events[0]), id);
                return;
            }
            _ => (),
        }
    }
}

/// Says which key it is and what to do, and is no stack trace of a script.
fn says_what_to_do(error: &BackendError, key: &str) {
    let text = error.to_string();
    assert!(matches!(error, BackendError::Refused { .. }), "{error:?}");
    assert!(text.contains(key) && text.contains("delete"), "{text}");
    assert!(!text.contains("script"), "{text}");
}

async fn one_of_each(server: &RedisServer, broker: &mut Broker, damaged: &Topic) {
    broker.attach(damaged, &bridged(BridgeMode::Off)).await;
    broker.append(damaged, "1").await;
    broker.told_until_event("1").await;
    assert_eq!(server.command(&["EXISTS", &hash(damaged)]).await, Reply::Integer(1));
}

const NO_NUMBERS: [&str; 17] = [
    "",
    "x",
    "-1",
    "-0",
    "1.5",
    "1e3",
    "007",
    " 1",
    "1 ",
    "0x10",
    "nan",
    "inf",
    "9007199254740992",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "99999999999999999999999",
];

/// What is none of ours, in place of where a topic is: too short, too long, not the numbers.
const NO_PLACES: [&str; 5] = [
    "",
    "x",
    "1 1 1 1 1 1",
    "12345678123456781234567812345678123456781234567",
    "1234567812345678123456781234567812345678123456789",
];
/// Lua could not count with them.
const TOO_LARGE: [u64; 4] = [1 << 53, i64::MAX as u64, 1 << 63, u64::MAX];

/// What somebody did to a topic's hash.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Damage {
    Without(&'static str),
    Text(&'static str, &'static str),
    /// Of those that say where the topic is.
    Number(&'static str, u64),
}

impl Damage {
    async fn inflict(self, server: &RedisServer, topic: &Topic) {
        let hash = hash(topic);
        match self {
            Damage::Without(field) => drop(server.command(&["HDEL", &hash, field]).await),
            Damage::Text(field, text) => {
                server.command(&["HSET", &hash, field, text]).await;
            }
            Damage::Number(name, number) => server.set_at(&hash, name, number).await,
        }
    }
}

#[tokio::test]
async fn a_damaged_topic_heals_at_the_next_publish_and_announces_a_gap() {
    let server = RedisServer::start(Persistence::None).await;
    let mut broker = Broker::open(&server, "a").await;
    broker.attach(&other(), &bridged(BridgeMode::Off)).await;
    let there = Broker::open(&server, "b").await;
    let mut cases: Vec<Damage> = Vec::new();
    for field in ["at", "max_events", "max_bytes", "max_age", "replid", "lives", "mode"] {
        cases.push(Damage::Without(field));
    }
    cases.extend(NO_NUMBERS.map(|value| Damage::Text("max_events", value)));
    cases.extend(NO_NUMBERS.map(|value| Damage::Text("bytes", value)));
    cases.extend(NO_PLACES.map(|value| Damage::Text("at", value)));
    for name in AT {
        cases.extend(TOO_LARGE.map(|number| Damage::Number(name, number)));
    }
    cases.push(Damage::Number("epoch", 0));
    cases.push(Damage::Text("replid", "nobody"));
    cases.push(Damage::Text("lives", "a b c d e f g"));
    for (round, damage) in cases.into_iter().enumerate() {
        let damaged = topic(&format!("damaged.{round}"));
        let what = format!("{damage:?}");
        one_of_each(&server, &mut broker, &damaged).await;
        damage.inflict(&server, &damaged).await;
        // By who has it open, and by who has not.
        let publisher = if round % 2 == 0 { &broker } else { &there };
        let settings = live();
        let publishing = publisher.redis.append(&damaged, &settings, vec![event("2")].into());
        let answer = timeout(MOMENT, publishing).await.expect("no hang");
        let appended = answer.unwrap_or_else(|error| panic!("{what}: {error}"));
        let told = broker.told_until_event("2").await;
        // Without its place it is a topic that was deleted, of which all was heard.
        let gone = damage == Damage::Without("at");
        let announced = !gaps(&told).is_empty();
        assert!(appended.first.sequence == 2 || announced || gone, "{what}: {told:?}");
        assert_eq!(ids(&told), ["2"], "{what}");
        others_are_not_disturbed(&mut broker, &format!("x{round}")).await;
        broker.held.pop();
    }
}

#[tokio::test]
async fn a_damaged_topic_that_nobody_publishes_to_is_read_all_the_same() {
    let server = RedisServer::start(Persistence::None).await;
    let mut broker = Broker::open(&server, "a").await;
    broker.attach(&other(), &bridged(BridgeMode::Off)).await;
    let there = Broker::open(&server, "b").await;
    let mut cases: Vec<Damage> = NO_PLACES.map(|value| Damage::Text("at", value)).into();
    for name in AT {
        cases.extend(TOO_LARGE.map(|number| Damage::Number(name, number)));
    }
    for (round, damage) in cases.into_iter().enumerate() {
        let damaged = topic(&format!("damaged.{round}"));
        let what = format!("{damage:?}");
        let at = there.append(&damaged, "1").await.first;
        broker.attach(&damaged, &bridged(BridgeMode::Off)).await;
        damage.inflict(&server, &damaged).await;
        let page = timeout(MOMENT, broker.redis.read(&damaged, at)).await.expect("no hang");
        page.unwrap_or_else(|error| panic!("{what}: {error}"));
        damage.inflict(&server, &damaged).await;
        for start in [Start::Now, Start::Earliest, Start::Last(3), Start::Time(1)] {
            let found = timeout(MOMENT, broker.redis.seek(&damaged, start)).await.expect("no hang");
            found.unwrap_or_else(|error| panic!("{what} {start:?}: {error}"));
        }
        damage.inflict(&server, &damaged).await;
        let checked = timeout(MOMENT, broker.redis.check(&damaged)).await.expect("no hang");
        checked.unwrap_or_else(|error| panic!("{what}: {error}"));
        others_are_not_disturbed(&mut broker, &format!("x{round}")).await;
        broker.held.pop();
    }
}

#[tokio::test]
async fn a_topic_kept_in_a_way_that_this_broker_does_not_know_is_refused_and_left_alone() {
    let server = RedisServer::start(Persistence::None).await;
    let mut broker = Broker::open(&server, "a").await;
    broker.attach(&other(), &bridged(BridgeMode::Off)).await;
    broker.append(&orders(), "1").await;
    for (round, mode) in ["eternal", "", "\u{1}\n", "LIVE"].into_iter().enumerate() {
        server.command(&["HSET", &hash(&orders()), "mode", mode]).await;
        let there = Broker::open(&server, "b").await;
        let answer = there.redis.append(&orders(), &live(), vec![event("2")].into()).await;
        says_what_to_do(&answer.expect_err("refused"), "td:{orders}:m");
        let answer = broker.redis.attach(&orders(), &live()).await;
        says_what_to_do(&answer.expect_err("refused"), "td:{orders}:m");
        assert_eq!(server.at(&hash(&orders()), "last").await, 1);
        others_are_not_disturbed(&mut broker, &format!("x{round}")).await;
    }
    server.command(&["HSET", &hash(&orders()), "mode", "live"]).await;
    broker.attach(&orders(), &live()).await;
}

#[tokio::test]
async fn a_key_of_another_type_is_named_with_what_to_do() {
    let server = RedisServer::start(Persistence::None).await;
    let mut broker = Broker::open(&server, "a").await;
    broker.attach(&other(), &bridged(BridgeMode::Off)).await;
    for (key, round) in [("td:{orders}:m", 1), ("td:{orders}:s", 2)] {
        for put in [&["SET", key, "mine"][..], &["RPUSH", key, "mine"], &["SADD", key, "mine"]] {
            let at = broker.append(&orders(), "1").await.first;
            server.del(&[key]).await;
            server.command(put).await;
            let answer = broker.redis.append(&orders(), &live(), vec![event("2")].into()).await;
            says_what_to_do(&answer.expect_err("refused"), key);
            let answer = broker.redis.attach(&orders(), &live()).await;
            if let Err(error) = &answer {
                says_what_to_do(error, key);
            }
            let page = broker.redis.read(&orders(), at.to_owned()).await;
            if let Err(error) = &page {
                says_what_to_do(error, key);
            }
            let found = broker.redis.seek(&orders(), Start::Earliest).await;
            says_what_to_do(&found.expect_err("refused"), key);
            others_are_not_disturbed(&mut broker, &format!("{round}{put:?}")).await;
            server.del(&[key]).await;
            let answer = broker.redis.append(&orders(), &live(), vec![event("3")].into()).await;
            answer.expect("it heals with the key gone");
        }
    }
}

#[tokio::test]
async fn damaged_births_stop_no_topic_from_beginning_nor_anyone_from_listening() {
    for births in ["x", "", "-1", "1.5", "9223372036854775807", "99999999999999999999", "\u{1}"] {
        let server = RedisServer::start(Persistence::None).await;
        let mut broker = Broker::open(&server, "a").await;
        broker.attach(&other(), &bridged(BridgeMode::Off)).await;
        broker.append(&other(), "1").await;
        broker.told_until_event("1").await;
        broker.redis.watch_topics().await.expect("listed");
        server.command(&["HSET", DEPLOYMENT, "births", births]).await;
        let answer = broker.redis.append(&orders(), &live(), vec![event("1")].into()).await;
        let born = answer.unwrap_or_else(|error| panic!("{births}: {error}")).first;
        loop {
            let news = timeout(PATIENCE, broker.feed.recv()).await.expect("told").expect("lives");
            if let News::Appeared { topic, epoch } = news
                && topic == orders()
            {
                break assert_eq!(epoch, born.epoch, "{births}");
            }
        }
        server.command(&["HSET", DEPLOYMENT, "births", births]).await;
        server.client_kill("pubsub").await;
        broker.append(&other(), "2").await;
        let told = broker.told_until_event("2").await;
        assert_eq!(gaps(&told), [], "{births}: {told:?}");
    }
}

#[tokio::test]
async fn a_deployment_that_names_nothing_is_told_and_got_over_when_it_is_mended() {
    let long = "x".repeat(300);
    let spaces = "a b";
    let server = RedisServer::start(Persistence::None).await;
    let mut broker = Broker::open(&server, "a").await;
    broker.attach(&other(), &bridged(BridgeMode::Off)).await;
    broker.append(&other(), "0").await;
    broker.told_until_event("0").await;
    let cases: [&[&[u8]]; 5] = [
        &[b"SET", DEPLOYMENT.as_bytes(), b"mine"],
        &[b"HSET", DEPLOYMENT.as_bytes(), b"id", long.as_bytes()],
        &[b"HSET", DEPLOYMENT.as_bytes(), b"id", spaces.as_bytes()],
        &[b"HSET", DEPLOYMENT.as_bytes(), b"id", b"\xff\xfe"],
        &[b"HSET", DEPLOYMENT.as_bytes(), b"id", b""],
    ];
    for (round, damage) in cases.iter().enumerate() {
        if damage[0] == b"SET" {
            server.del(&[DEPLOYMENT]).await;
        }
        server.raw_command(damage).await.unwrap();
        let end = tokio::time::Instant::now() + PATIENCE;
        let said = loop {
            let answer = broker.redis.append(&orders(), &live(), vec![event("x")].into()).await;
            let said = answer.err().map(|error| error.to_string()).unwrap_or_default();
            if said.contains(DEPLOYMENT) && said.contains("delete") {
                break said;
            }
            assert!(tokio::time::Instant::now() < end, "{round}: only {said:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        assert!(!said.contains("script"), "{said}");
        server.del(&[DEPLOYMENT]).await;
        let id = format!("back {round}");
        broker.append(&other(), &id).await;
        let told = broker.told_until_event(&id).await;
        assert_eq!(gaps(&told), [], "{told:?}");
    }
}

#[tokio::test]
async fn a_damaged_index_is_told_to_who_needs_it_and_disturbs_nobody_else() {
    let server = RedisServer::start(Persistence::None).await;
    let mut broker = Broker::open(&server, "a").await;
    broker.attach(&other(), &bridged(BridgeMode::Off)).await;
    others_are_not_disturbed(&mut broker, "0").await;
    // Somebody watches already.
    broker.redis.watch_topics().await.expect("listed");
    server.del(&[INDEX]).await;
    server.command(&["SET", INDEX, "mine"]).await;
    for round in 1..=3 {
        let listed = broker.redis.watch_topics().await;
        says_what_to_do(&listed.expect_err("refused"), INDEX);
        others_are_not_disturbed(&mut broker, &format!("x{round}")).await;
        let answer = broker.redis.append(&orders(), &live(), vec![event("1")].into()).await;
        says_what_to_do(&answer.expect_err("refused"), INDEX);
    }
    // Also over connections that are new.
    server.client_kill("pubsub").await;
    server.client_kill("normal").await;
    broker.append(&other(), "back").await;
    let told = broker.told_until_event("back").await;
    assert_eq!(gaps(&told), [], "{told:?}");
    others_are_not_disturbed(&mut broker, "again").await;
    server.del(&[INDEX]).await;
    broker.redis.append(&orders(), &live(), vec![event("1")].into()).await.expect("mended");
    assert_eq!(broker.redis.watch_topics().await.expect("listed"), [orders()]);
}

#[tokio::test]
async fn names_in_the_index_that_no_topic_has_are_passed_over() {
    let server = RedisServer::start(Persistence::None).await;
    let mut broker = Broker::open(&server, "a").await;
    broker.attach(&orders(), &live()).await;
    broker.append(&orders(), "1").await;
    let long = "x".repeat(1 << 20);
    let names: [&[u8]; 8] =
        [b"\xff\xfe", b"", b"a b", b"*", b"_tidings.topics", b"\n", b"a..b", long.as_bytes()];
    for name in names {
        server.raw_command(&[b"ZADD", INDEX.as_bytes(), b"9999999999", name]).await.unwrap();
    }
    server.raw_command(&[b"ZADD", INDEX.as_bytes(), b"inf", b"forever"]).await.unwrap();
    let mut listed = broker.redis.watch_topics().await.expect("listed");
    listed.sort();
    assert_eq!(listed, [topic("forever"), orders()]);
    server.client_kill("pubsub").await;
    broker.append(&orders(), "2").await;
    broker
        .told_until(|told| matches!(told, Told::Events(_, ids) if ids.contains(&"2".into())))
        .await;
}

#[tokio::test]
async fn a_topic_that_cannot_be_kept_does_not_let_the_others_be_forgotten() {
    const TOPICS: usize = 100;
    let server = RedisServer::start(Persistence::None).await;
    let broker = Broker::open(&server, "a").await;
    let short = Arc::new(TopicSettings { idle: Duration::from_secs(6), ..Default::default() });
    let mut held = Vec::new();
    let names: Vec<Topic> = (0..TOPICS).map(|n| topic(&format!("t{n}"))).collect();
    let mut feed = broker.feed;
    tokio::spawn(async move { while feed.recv().await.is_some() {} });
    for name in &names {
        held.push(broker.redis.attach(name, &short).await.expect("attached"));
        broker.redis.append(name, &short, vec![event("1")].into()).await.expect("stored");
    }
    for damaged in &names[..5] {
        server.del(&[&hash(damaged)]).await;
        server.command(&["SET", &hash(damaged), "mine"]).await;
    }
    tokio::time::sleep(Duration::from_secs(9)).await;
    for name in &names[5..] {
        assert_eq!(server.command(&["EXISTS", &hash(name)]).await, Reply::Integer(1), "{name}");
    }
}
