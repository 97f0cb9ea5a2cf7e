//! What anybody may write into a shared Redis: bytes on the channels and entries in the streams
//! that no broker of ours wrote. They are refused, announced as a gap, or delivered as raw events;
//! what follows them comes in order, and no other topic notices.

use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use tidings::{
    backend::{Backend, BridgeMode, Entry, News},
    catalog::Catalog,
    position::{GapReason, Position, Start},
    proto::{self, event::Payload, redis::Batch, subscribe_request},
    topic::Topic,
};
use tokio::time::timeout;

use crate::support::{
    backend::{Broker, HASH, PATIENCE, STREAM, bridged, event, gaps, ids, live, orders},
    in_process::{Lines, on_redis, publish_each, request, topic},
    redis::{Persistence, RedisServer, Reply},
};

const MAGIC: [u8; 4] = [0xF5, b'T', b'D', 1];
const CHANNEL: &str = "td:{orders}:c";
const MOMENT: Duration = Duration::from_secs(3);
/// The first microsecond after the year 9999.
const YEAR_10000_US: u64 = 253_402_300_800_000_000;

pub(crate) async fn text(server: &RedisServer, command: &[&str]) -> String {
    match server.command(command).await {
        Reply::Text(text) => text,
        reply => panic!("{command:?} answered {reply:?}"),
    }
}

/// The deployment's id, which whoever may read the Redis knows.
async fn deployment(server: &RedisServer) -> String {
    text(server, &["HGET", "td:_tidings.deployment", "id"]).await
}

fn forged(id: &str) -> proto::Event {
    proto::Event { id: id.into(), source: "/forged".into(), ..Default::default() }
}

fn on_channel(batch: &Batch) -> Vec<u8> {
    [&MAGIC[..], &batch.encode_to_vec()].concat()
}

/// A field with its bytes, whatever they are.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    prost::encode_length_delimiter(bytes.len(), &mut out).unwrap();
    out.extend_from_slice(bytes);
    out
}

/// An event that decoders read alone and not inside a frame: unknown groups, nested one too deep.
fn too_deep() -> Vec<u8> {
    let mut groups = Vec::new();
    loop {
        assert!(groups.len() < 1000, "decoders go deeper than thought");
        groups = [&[0xA3, 6][..], &groups, &[0xA4, 6]].concat();
        let frame = field(1, &groups);
        if proto::SubscribeResponse::decode(&frame[..]).is_err() {
            proto::Event::decode(&groups[..]).expect("readable alone");
            return groups;
        }
    }
}

/// Bytes that no broker wrote, the same in each run.
fn noise(count: usize) -> Vec<Vec<u8>> {
    let mut random = fastrand::Rng::with_seed(7);
    let mut one = |length: usize| (0..length).map(|_| random.u8(..)).collect::<Vec<u8>>();
    (0..count).map(|n| one(1 << (n % 12))).collect()
}

/// Batches in the present life of `orders` that only look like one of ours. `next` is the position
/// that the next true one will have.
fn forgeries(deployment: &str, next: Position) -> Vec<(&'static str, Vec<u8>)> {
    let good = || Batch {
        first_sequence: next.sequence,
        publish_time_us: 1_763_000_000_000_000,
        epoch: next.epoch,
        origin: "x".into(),
        deployment: deployment.into(),
        topic: "orders".into(),
        echo: Vec::new(),
        events: vec![forged("forged")],
    };
    let with = |change: fn(&mut Batch)| {
        let mut batch = good();
        change(&mut batch);
        on_channel(&batch)
    };
    let and =
        |more: &[u8]| [on_channel(&Batch { events: vec![], ..good() }), more.to_vec()].concat();
    let huge = Payload::Data(vec![7; 2 << 20].into());
    let huge = on_channel(&Batch {
        events: vec![proto::Event { payload: Some(huge), ..forged("forged") }],
        ..good()
    });
    let true_one = on_channel(&good());
    let mut forgeries = vec![
        ("sequence 0", with(|b| b.first_sequence = 0)),
        ("the last sequence of all", with(|b| b.first_sequence = u64::MAX)),
        (
            "a count that overflows",
            with(|b| {
                b.first_sequence = u64::MAX - 1;
                b.events = vec![forged("forged"); 3];
            }),
        ),
        ("published after the year 9999", with(|b| b.publish_time_us = u64::MAX)),
        ("the year 10000", with(|b| b.publish_time_us = 253_402_300_800_000_000)),
        ("many echoes", with(|b| b.echo = vec![7; 100_000])),
        ("more events than one call stores", with(|b| b.events = vec![forged("forged"); 1001])),
        ("another topic's", with(|b| b.topic = "other".into())),
        ("another deployment's", with(|b| b.deployment = "f".repeat(32))),
        ("no deployment's", with(|b| b.deployment = String::new())),
        ("another life's", with(|b| b.epoch += 1)),
        ("the highest life", with(|b| b.epoch = u64::MAX)),
        ("no life", with(|b| b.epoch = 0)),
        ("an event too large for clients", huge),
        ("an event that is no protobuf", and(&field(15, &[0x0A, 0x05]))),
        ("an event that is no text", and(&field(15, &[0x0A, 1, 0xFF]))),
        ("an event nested too deep", and(&field(15, &too_deep()))),
        ("a length beyond the end", and(&[15 << 3 | 2, 100, 1])),
        ("a huge length", and(&[15 << 3 | 2, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1])),
        ("a varint without end", and(&[255; 40])),
        ("a field 0", and(&[0, 0])),
        ("echoes of odd length", and(&field(7, &[1; 9]))),
        ("a deployment that is no text", and(&field(5, &[0xFF]))),
    ];
    let cuts = (0..true_one.len()).step_by(7);
    forgeries.extend(cuts.map(|cut| ("cut off", true_one[..cut].to_vec())));
    forgeries
}

async fn watch(broker: &Broker) -> Vec<Topic> {
    broker.redis.watch_topics().await.expect("listed")
}

#[tokio::test]
async fn forged_bytes_on_a_topics_channel_move_nobody() {
    let server = RedisServer::start(Persistence::None).await;
    let mut broker = Broker::open(&server, "a").await;
    broker.attach(&orders(), &bridged(BridgeMode::Off)).await;
    let mut last = broker.append(&orders(), "0").await.first;
    broker.told_until_event("0").await;
    let id = deployment(&server).await;
    let first = last.epoch;
    let next = |last: Position| Position::new(last.epoch, last.sequence + 1);
    for (what, payload) in forgeries(&id, next(last)) {
        let payload = if what == "cut off" {
            payload
        } else {
            // For the place that is next by now.
            let again = forgeries(&id, next(last));
            again.into_iter().find(|(name, _)| *name == what).expect("the same").1
        };
        server.publish(CHANNEL, &payload).await;
        let id = format!("{}", last.sequence);
        last = broker.append(&orders(), &id).await.first;
        let told = broker.told_until_event(&id).await;
        assert_eq!((gaps(&told), ids(&told)), (vec![], vec![id]), "{what}");
    }
    for payload in noise(60) {
        server.publish(CHANNEL, &payload).await;
        server.publish(CHANNEL, &[&MAGIC[..], &payload].concat()).await;
    }
    server.publish(CHANNEL, &vec![0xF5; 1 << 20]).await;
    last = broker.append(&orders(), "last").await.first;
    let told = broker.told_until_event("last").await;
    assert_eq!((gaps(&told), ids(&told)), (vec![], vec!["last".to_owned()]));
    assert_eq!(last.epoch, first, "nothing was lost, so nothing begins anew");
}

/// Who knows the deployment, the life and the place can forge an event. He cannot make a true one
/// vanish in silence.
#[tokio::test]
async fn a_perfect_forgery_ends_the_life_of_the_topic_and_takes_nothing_with_it() {
    for ahead in [1, 50] {
        let server = RedisServer::start(Persistence::None).await;
        let mut broker = Broker::open(&server, "a").await;
        let there = Broker::open(&server, "b").await;
        broker.attach(&orders(), &live()).await;
        let last = there.append(&orders(), "1").await.first;
        broker.told_until_event("1").await;
        let batch = Batch {
            first_sequence: last.sequence + ahead,
            publish_time_us: 1_763_000_000_000_000,
            epoch: last.epoch,
            deployment: deployment(&server).await,
            events: vec![forged("forged")],
            ..Batch::default()
        };
        server.publish(CHANNEL, &on_channel(&batch)).await;
        for id in ["2", "3", "4"] {
            there.append(&orders(), id).await;
        }
        let told = broker.told_until_event("4").await;
        let announced = !gaps(&told).is_empty();
        let told: Vec<String> = ids(&told).into_iter().filter(|id| id != "forged").collect();
        assert!(announced || told == ["2", "3", "4"], "{ahead}: {told:?}");
        assert!(told.is_sorted(), "{told:?}");
    }
}

#[tokio::test]
async fn forged_births_are_ignored_and_true_ones_told() {
    let server = RedisServer::start(Persistence::None).await;
    let mut broker = Broker::open(&server, "a").await;
    assert_eq!(watch(&broker).await, []);
    let id = deployment(&server).await;
    let mut payloads = noise(40);
    let long = "x".repeat(1 << 20);
    for line in [
        "",
        " ",
        "   ",
        "\0",
        "{deployment}",
        "{deployment} orders",
        "{deployment} orders 1",
        "{deployment} orders x why",
        "{deployment} orders -1 why",
        "{deployment} orders 99999999999999999999999 why",
        "{deployment} or*ers 1 why",
        "{deployment} _tidings.topics 1 why",
        "{deployment} orders 1 why more",
        "other orders 1 why",
        " orders 1 why",
        long.as_str(),
    ] {
        payloads.push(line.replace("{deployment}", &id).into_bytes());
    }
    payloads.push([id.as_bytes(), b" \xff\xfe 1 why"].concat());
    for payload in &payloads {
        server.publish("td:_tidings.topics:c", payload).await;
    }
    let born = broker.append(&orders(), "1").await.first;
    loop {
        let news = timeout(PATIENCE, broker.feed.recv()).await.expect("told").expect("lives");
        if let News::Appeared { topic, epoch } = news {
            assert_eq!((topic, epoch), (orders(), born.epoch));
            return;
        }
    }
}

#[tokio::test]
async fn a_forged_probe_does_not_set_the_clock() {
    let server = RedisServer::start(Persistence::None).await;
    let mut broker = Broker::open(&server, "a").await;
    broker.append(&orders(), "1").await;
    // It listens to itself by now.
    while !matches!(broker.feed.recv().await, Some(News::Clock { .. })) {}
    let wrong = [
        u64::MAX.to_string(),
        YEAR_10000_US.to_string(),
        "-1".into(),
        "1e9".into(),
        "now".into(),
        String::new(),
    ];
    for payload in wrong.iter().map(|text| text.as_bytes().to_vec()).chain(noise(40)) {
        server.publish("td:_tidings.probe.a:c", &payload).await;
    }
    for _ in 0..3 {
        let time_us = loop {
            let news = timeout(PATIENCE, broker.feed.recv()).await.expect("told").expect("lives");
            if let News::Clock { time_us } = news {
                break time_us;
            }
        };
        let Reply::List(now) = server.command(&["TIME"]).await else { panic!("no time") };
        let Reply::Text(seconds) = &now[0] else { panic!("no seconds") };
        let seconds: u64 = seconds.parse().unwrap();
        let told = time_us / 1_000_000;
        assert!((seconds - 60..=seconds).contains(&told), "{told} is told at {seconds}");
    }
}

#[tokio::test]
async fn whatever_raw_clients_publish_is_an_event_or_announced_each_by_itself() {
    let server = RedisServer::start(Persistence::None).await;
    let mut broker = Broker::open(&server, "a").await;
    broker.attach(&orders(), &live()).await;
    let last = broker.append(&orders(), "1").await.first;
    broker.told_until_event("1").await;
    let mut payloads = noise(60);
    payloads.push(Vec::new());
    payloads.push(vec![b'x'; 1 << 20]);
    payloads.push(vec![b'['; 1 << 20]);
    payloads.push([vec![b'['; 3 << 20], vec![b']'; 3 << 20]].concat());
    payloads.push(format!("[{}0]", "0,".repeat(4 << 20)).into_bytes());
    payloads.push(on_channel(&Batch { events: vec![forged("forged")], ..Batch::default() }));
    for json in [
        r#"{"specversion":"1.0","id":"\u0000","source":"/","type":"t"}"#,
        r#"{"specversion":"1.0","id":"1","source":"/","type":"t","time":"99999-01-01T00:00:00Z"}"#,
        r#"{"specversion":"1.0","id":"1","source":"/","type":"t","data":1e999}"#,
        r#"{"specversion":"1.0","id":"\ud800","source":"/","type":"t"}"#,
        r#"{"specversion":"1.0","id":"1","id":"2","source":"/","type":"t"}"#,
        "\u{feff}{}",
        "1e999",
        "\"",
        "nul",
    ] {
        payloads.push(json.as_bytes().to_vec());
    }
    for payload in &payloads {
        server.publish("orders", payload).await;
    }
    let mut told = 0;
    while told < payloads.len() {
        match timeout(PATIENCE, broker.feed.recv()).await.expect("told").expect("lives") {
            News::Raw { event, .. } => {
                told += 1;
                proto::Event::decode(event.clone()).expect("an event");
                assert!(event.len() <= 1 << 20);
            }
            News::Lost { gap, .. } => {
                told += 1;
                assert_eq!((gap.after, gap.until, gap.missed), (last, last, Some(1)));
                assert_eq!(gap.reason, GapReason::Undecodable);
            }
            News::Stored { batch, .. } => panic!("{batch:?}"),
            _ => (),
        }
    }
    broker.append(&orders(), "2").await;
    let told = broker.told_until_event("2").await;
    assert_eq!((gaps(&told), told.len()), (vec![], 1), "{told:?}");
}

#[tokio::test]
async fn a_payload_too_large_for_the_connection_costs_nothing_but_time() {
    let server = RedisServer::start(Persistence::None).await;
    let mut broker = Broker::open(&server, "a").await;
    let there = Broker::open(&server, "b").await;
    broker.attach(&orders(), &live()).await;
    there.append(&orders(), "1").await;
    broker.told_until_event("1").await;
    // More than Redis lets wait for one subscriber.
    server.publish("orders", &vec![b'x'; 48 << 20]).await;
    for id in 2..=50 {
        there.append(&orders(), &id.to_string()).await;
    }
    let told = broker.told_until_event("50").await;
    assert_eq!(gaps(&told).iter().filter(|gap| gap.missed != Some(1)).count(), 0, "{told:?}");
    assert!(ids(&told).into_iter().eq((2..=50).map(|n| n.to_string())), "{told:?}");
}

/// An entry behind the last one, which the hash then counts among the topic's.
async fn plant(server: &RedisServer, at: Position, counted: u64, fields: &[(&str, &[u8])]) {
    let id = at.to_string();
    let mut words: Vec<&[u8]> = vec![b"XADD", STREAM.as_bytes(), id.as_bytes()];
    for (name, value) in fields {
        words.extend([name.as_bytes(), value]);
    }
    let planted = server.raw_command(&words).await;
    assert!(matches!(planted, Ok(Reply::Text(_))), "{planted:?}");
    server.set_at(HASH, "last", at.sequence + counted - 1).await;
}

fn body(events: &[proto::Event]) -> Vec<u8> {
    Batch { events: events.to_vec(), ..Batch::default() }.encode_to_vec()
}

#[tokio::test]
async fn an_entry_that_nobody_of_us_wrote_is_a_gap_of_its_size() {
    let server = RedisServer::start(Persistence::None).await;
    let mut broker = Broker::open(&server, "a").await;
    broker.attach(&orders(), &bridged(BridgeMode::Off)).await;
    let mut last = broker.append(&orders(), "0").await.first;
    broker.told_until_event("0").await;
    let one = body(&[forged("forged")]);
    let three = body(&[forged("forged"), forged("forged"), forged("forged")]);
    let data = Payload::Data(vec![7; 2 << 20].into());
    let large = body(&[proto::Event { payload: Some(data), ..forged("forged") }]);
    let deep = field(15, &too_deep());
    let late = YEAR_10000_US.to_string();
    let now: &[u8] = b"1763000000000000";
    type Fields<'a> = Vec<(&'a str, &'a [u8])>;
    let cases: Vec<(u64, Fields)> = vec![
        (1, vec![("x", b"y")]),
        (1, vec![("", b"")]),
        (1, vec![("t", b"now"), ("n", b"1"), ("e", &one)]),
        (1, vec![("n", b"1"), ("e", &one)]),
        (1, vec![("t", late.as_bytes()), ("n", b"1"), ("e", &one)]),
        (1, vec![("t", b"-1"), ("n", b"1"), ("e", &one)]),
        (1, vec![("t", now), ("n", b"0"), ("e", &one)]),
        (1, vec![("t", now), ("n", b"many"), ("e", &one)]),
        (1, vec![("t", now), ("n", b"-5"), ("e", &one)]),
        (1, vec![("t", now), ("n", b"18446744073709551615"), ("e", &one)]),
        (1, vec![("t", now), ("n", b"1"), ("e", &three)]),
        (3, vec![("t", now), ("n", b"3"), ("e", &one)]),
        (3, vec![("t", now), ("n", b"3"), ("e", b"")]),
        (2, vec![("t", now), ("n", b"1000"), ("e", b"\xff\xff\xff")]),
        (1, vec![("t", now), ("n", b"inf"), ("e", b"\xff")]),
        (1, vec![("t", now), ("n", b"nan"), ("e", b"\xff")]),
        (1, vec![("t", now), ("n", b"1e308"), ("e", b"\xff")]),
        (1, vec![("t", now), ("n", b"1"), ("e", &large)]),
        (1, vec![("t", now), ("n", b"1"), ("e", &deep)]),
        (1, vec![("why", b"created")]),
    ];
    let (start, mut counted) = (last, 0);
    for (round, (size, fields)) in cases.iter().enumerate() {
        let at = Position::new(last.epoch, last.sequence + 1);
        plant(&server, at, *size, fields).await;
        counted += size;
        let id = format!("x{round}");
        last = broker.append(&orders(), &id).await.first;
        assert_eq!(last, Position::new(at.epoch, at.sequence + size), "{fields:?}");
        let told = broker.told_until_event(&id).await;
        let missed: Option<u64> = gaps(&told).iter().map(|gap| gap.missed).sum();
        assert_eq!((missed, ids(&told)), (Some(*size), vec![id]), "{fields:?}");
    }
    // Who comes only now reads the same from history.
    let reader = on_redis(&server.url(), "c", Catalog::default()).await;
    let resume = vec![proto::Position {
        topic: "orders".into(),
        epoch: start.epoch,
        sequence: start.sequence,
    }];
    let asked = proto::SubscribeRequest { resume, stop_at_end: true, ..request(&["orders"]) };
    let mut lines = Lines::open(&reader, asked).await;
    let (mut missed, mut told) = (0, 0);
    loop {
        let line = lines.next_within(PATIENCE).await.expect("a line");
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["gap", _, _, _, count, _] => missed += count.parse::<u64>().expect("a known size"),
            ["orders", id] => {
                assert_eq!(id, format!("x{told}"));
                told += 1;
            }
            _ if line == "caught up" => (),
            _ => break assert_eq!(line, "end"),
        }
    }
    assert_eq!((missed, told), (counted, cases.len()));
}

#[tokio::test]
async fn an_entry_that_claims_more_than_its_place_hides_nothing_behind_it() {
    let server = RedisServer::start(Persistence::None).await;
    let broker = Broker::open(&server, "a").await;
    let first = broker.append(&orders(), "0").await.first;
    let at = Position::new(first.epoch, 2);
    plant(&server, at, 1, &[("t", b"1"), ("n", b"1000"), ("e", b"\xff")]).await;
    for id in ["1", "2", "3"] {
        broker.append(&orders(), id).await;
    }
    let three = body(&[forged("forged"), forged("forged"), forged("forged")]);
    let at = Position::new(first.epoch, 6);
    plant(&server, at, 1, &[("t", b"1"), ("n", b"3"), ("e", &three)]).await;
    for id in ["4", "5", "6"] {
        broker.append(&orders(), id).await;
    }
    let reader = on_redis(&server.url(), "c", Catalog::default()).await;
    let start = Some(subscribe_request::Start::Earliest(true));
    let asked = proto::SubscribeRequest { start, stop_at_end: true, ..request(&["orders"]) };
    let mut lines = Lines::open(&reader, asked).await;
    let mut told = Vec::new();
    loop {
        let line = lines.next_within(PATIENCE).await.expect("a line");
        if line == "end" {
            break;
        }
        told.extend(line.strip_prefix("orders ").map(str::to_owned));
    }
    told.retain(|id| id != "forged");
    assert_eq!(told, ["0", "1", "2", "3", "4", "5", "6"]);
}

/// What stands in the stream above the place that the topic has reached belongs to nobody.
#[tokio::test]
async fn entries_above_the_topics_last_are_nobodys_and_the_topic_goes_on() {
    let one = body(&[forged("forged")]);
    let fields: [&[u8]; 6] = [b"t", b"1763000000000000", b"n", b"1", b"e", &one];
    type Above = fn(Position, u64) -> String;
    let cases: [(&str, Above); 5] = [
        ("the same life", |last, n| format!("{}-{}", last.epoch, last.sequence + n)),
        ("the same life, far on", |last, n| format!("{}-{}", last.epoch, u64::MAX - 200 + n)),
        ("later lives", |last, n| format!("{}-1", last.epoch + n * 1_000_000_000)),
        ("lives that numbers of Lua do not tell apart", |_, n| format!("{}-1", (1 << 53) + n)),
        ("the last lives of all", |_, n| format!("{}-{}", u64::MAX - 100 + n, u64::MAX)),
    ];
    for (what, above) in cases {
        let server = RedisServer::start(Persistence::None).await;
        let mut broker = Broker::open(&server, "a").await;
        broker.attach(&orders(), &live()).await;
        broker.append(&orders(), "1").await;
        let last = broker.append(&orders(), "2").await.first;
        broker.told_until_event("2").await;
        // More than a page.
        for n in 1..=100 {
            let id = above(last, n);
            let words = [&[b"XADD", STREAM.as_bytes(), id.as_bytes()][..], &fields].concat();
            let planted = server.raw_command(&words).await;
            assert!(matches!(planted, Ok(Reply::Text(_))), "{what}: {planted:?}");
        }
        timeout(MOMENT, broker.redis.check(&orders())).await.expect(what).expect(what);
        let reader = on_redis(&server.url(), "c", Catalog::default()).await;
        let start = Some(subscribe_request::Start::Last(2));
        let asked = proto::SubscribeRequest { start, stop_at_end: true, ..request(&["orders"]) };
        let mut lines = Lines::open(&reader, asked).await;
        for expected in ["orders 1", "orders 2", "caught up", "end"] {
            let line = lines.next_within(MOMENT).await;
            assert_eq!(line.as_deref(), Some(expected), "{what}");
        }
        let answer = broker.redis.append(&orders(), &live(), vec![event("3")].into()).await;
        let appended = answer.expect(what);
        assert_ne!(appended.first.epoch, last.epoch, "{what}: nothing fits behind them");
        broker.append(&orders(), "4").await;
        let told = broker.told_until_event("4").await;
        assert_eq!(ids(&told), ["3", "4"], "{what}: {told:?}");
    }
}

#[tokio::test]
async fn a_stream_that_was_there_before_its_topic_does_no_harm() {
    let server = RedisServer::start(Persistence::None).await;
    let one = body(&[forged("forged")]);
    for n in 1..=100 {
        let id = format!("0-{n}");
        let fields: [&[u8]; 6] = [b"t", b"1763000000000000", b"n", b"1", b"e", &one];
        let words = [&[b"XADD", STREAM.as_bytes(), id.as_bytes()][..], &fields].concat();
        server.raw_command(&words).await.unwrap();
    }
    let mut broker = Broker::open(&server, "a").await;
    for start in [Start::Earliest, Start::Last(5), Start::Time(1), Start::Now] {
        timeout(MOMENT, broker.redis.seek(&orders(), start)).await.expect("ends").expect("found");
    }
    broker.attach(&orders(), &live()).await;
    broker.append(&orders(), "1").await;
    let told = broker.told_until_event("1").await;
    assert_eq!(ids(&told), ["1"]);
    let reader = on_redis(&server.url(), "c", Catalog::default()).await;
    let start = Some(subscribe_request::Start::Earliest(true));
    let asked = proto::SubscribeRequest { start, stop_at_end: true, ..request(&["orders"]) };
    let mut lines = Lines::open(&reader, asked).await;
    loop {
        match lines.next_within(MOMENT).await.expect("a line") {
            line if line == "end" => break,
            line if line.starts_with("orders ") => assert_eq!(line, "orders 1"),
            _ => (),
        }
    }
}

#[tokio::test]
async fn a_hole_in_the_stream_is_a_gap_and_does_not_keep_redis_searching() {
    let server = RedisServer::start(Persistence::None).await;
    let broker = Broker::open(&server, "a").await;
    let mut middle = 0;
    let mut last = Position::BEGINNING;
    for n in 1..=100 {
        let appended = broker.append(&orders(), &n.to_string()).await;
        last = appended.first;
        if n == 90 {
            middle = appended.publish_time_us;
        }
    }
    for n in 5..=80 {
        server.command(&["XDEL", STREAM, &format!("{}-{n}", last.epoch)]).await;
    }
    let hour = Start::Ago(Duration::from_secs(3600));
    for start in
        [Start::Time(middle), Start::Time(middle - 1), Start::Time(0), hour, Start::Last(30)]
    {
        let found = timeout(MOMENT, broker.redis.seek(&orders(), start)).await;
        let found = found.unwrap_or_else(|_| panic!("{start:?}: redis searches without end"));
        assert!(last.has_reached(found.expect("a place")), "{start:?}");
    }
    let found = broker.redis.seek(&orders(), Start::Time(middle)).await.expect("a place");
    assert_eq!(found.sequence, 89);
    let reader = on_redis(&server.url(), "c", Catalog::default()).await;
    let start = Some(subscribe_request::Start::Earliest(true));
    let asked = proto::SubscribeRequest { start, stop_at_end: true, ..request(&["orders"]) };
    let mut lines = Lines::open(&reader, asked).await;
    for n in 1..=4 {
        lines.expect(&format!("orders {n}")).await;
    }
    lines.expect("gap orders 4>80 missed 76 REASON_RETENTION").await;
    lines.expect("orders 81").await;
}

#[tokio::test]
async fn a_seek_among_lying_entries_stays_within_the_topic() {
    for n in ["0", "-5", "nan", "inf", "1e308", "999999999", "0x10", "", "1.5"] {
        let server = RedisServer::start(Persistence::None).await;
        let broker = Broker::open(&server, "a").await;
        let mut last = broker.append(&orders(), "1").await.first;
        for time in ["nan", "inf", "-inf", "1", "99999999999999999999", "x"] {
            let at = Position::new(last.epoch, last.sequence + 1);
            plant(&server, at, 1, &[("t", time.as_bytes()), ("n", n.as_bytes()), ("e", b"x")])
                .await;
            last = broker.append(&orders(), "x").await.first;
        }
        let hour = Start::Ago(Duration::from_secs(3600));
        let starts = [
            Start::Now,
            Start::Earliest,
            Start::Last(2),
            Start::Last(u64::MAX),
            Start::Time(0),
            Start::Time(u64::MAX),
            hour,
        ];
        for start in starts {
            let found = timeout(MOMENT, broker.redis.seek(&orders(), start)).await;
            let found =
                found.expect("ends").unwrap_or_else(|error| panic!("{n} {start:?}: {error}"));
            assert!(last.has_reached(found), "{n} {start:?}: {found}");
        }
    }
}

#[tokio::test]
async fn an_entry_larger_than_any_of_ours_is_not_read() {
    let server = RedisServer::start(Persistence::None).await;
    let mut broker = Broker::open(&server, "a").await;
    let other = topic("other");
    broker.attach(&orders(), &live()).await;
    let last = broker.append(&orders(), "1").await.first;
    broker.told_until_event("1").await;
    let huge = vec![7; 32 << 20];
    let at = Position::new(last.epoch, 2);
    plant(&server, at, 1, &[("t", b"1"), ("n", b"1"), ("e", &huge)]).await;
    drop(huge);
    let page = broker.redis.read(&orders(), last).await.expect("a page");
    assert_eq!(page.entries, [Entry::Undecodable { epoch: at.epoch, first: 2, count: 1 }]);
    broker.append(&orders(), "3").await;
    broker.append(&other, "x").await;
    let told = broker.told_until_event("3").await;
    assert_eq!(gaps(&told).len(), 1, "{told:?}");
}

#[tokio::test]
async fn a_subscriber_hears_of_all_this_only_gaps_and_raw_events() {
    let server = RedisServer::start(Persistence::None).await;
    let broker = on_redis(&server.url(), "a", Catalog::default()).await;
    let mut lines = Lines::open(&broker, request(&["orders"])).await;
    publish_each(&broker, "orders", 1..=1).await;
    assert_eq!(lines.next_within(PATIENCE).await.as_deref(), Some("orders 1"));
    for payload in noise(40) {
        server.publish(CHANNEL, &payload).await;
        server.publish(CHANNEL, &[&MAGIC[..], &payload].concat()).await;
        server.publish("td:_tidings.topics:c", &payload).await;
        server.publish("td:_tidings.probe.a:c", &payload).await;
    }
    let noisy: Vec<Bytes> = noise(20).into_iter().map(Bytes::from).collect();
    for payload in &noisy {
        server.publish("orders", payload).await;
    }
    publish_each(&broker, "orders", 2..=2).await;
    let mut raw = 0;
    loop {
        let line = lines.next_within(PATIENCE).await.expect("a line");
        if line == "orders 2" {
            break;
        }
        raw += u64::from(line.starts_with("orders "));
    }
    assert_eq!(raw, noisy.len() as u64);
    let Reply::List(keys) = server.command(&["KEYS", "*"]).await else { panic!("no keys") };
    for key in keys {
        assert!(matches!(&key, Reply::Text(key) if key.starts_with("td:")), "{key:?}");
    }
}
