//! CloudEvents on a channel of Redis: what a broker writes there is what the Python SDK reads, and what
//! the SDK writes is what a broker reads. Nothing is lost or altered on the way and back.

use std::{
    collections::{HashMap, VecDeque},
    env,
    path::Path,
    process::Command,
};

use fastrand::Rng;
use prost_types::Timestamp;
use serde_json::{Value, json};
use tidings::proto::{self, event::Payload, subscribe_response::Control};
use tonic::Streaming;

use crate::support::{
    broker::Broker,
    client::{Client, connect},
    in_process::request,
    process::{PATIENCE, Process, python},
    redis::{Persistence, RedisServer},
};

const RULES: &str = r#"
[[topics]]
pattern = "*"
bridge = "listen"
[[topics]]
pattern = "ours"
bridge = "cloudevents-json"
[[topics]]
pattern = "again"
bridge = "cloudevents-json"
"#;

/// What a broker hears, or takes from publishers, event by event.
struct Heard {
    stream: Streaming<proto::SubscribeResponse>,
    ahead: VecDeque<proto::Event>,
}

impl Heard {
    async fn on(client: &mut Client, topic: &str) -> Heard {
        let stream = client.subscribe(request(&[topic])).await.unwrap().into_inner();
        let mut heard = Heard { stream, ahead: VecDeque::new() };
        let opened = heard.frame().await;
        assert!(matches!(opened.control, Some(Control::Opened(_))), "{opened:?}");
        heard
    }

    async fn frame(&mut self) -> proto::SubscribeResponse {
        let next = tokio::time::timeout(PATIENCE, self.stream.message()).await;
        next.expect("in time").unwrap().expect("it goes on")
    }

    async fn next(&mut self) -> proto::Event {
        while self.ahead.is_empty() {
            let frame = self.frame().await;
            assert!(!matches!(frame.control, Some(Control::Gap(_))), "{frame:?}");
            self.ahead.extend(frame.events);
        }
        self.ahead.pop_front().expect("one")
    }
}

/// A second or so; `TIDINGS_TEST_CASES` asks for more, `TIDINGS_TEST_SEED` for the same again.
#[tokio::test]
async fn events_are_the_same_behind_the_cloud_events_sdk_and_the_sdks_behind_a_broker() {
    let asked = |name: &str| env::var(name).ok().map(|asked| asked.parse::<u64>().expect(name));
    let seed = asked("TIDINGS_TEST_SEED").unwrap_or_else(|| fastrand::u64(..));
    let count = asked("TIDINGS_TEST_CASES").unwrap_or(300);
    println!("TIDINGS_TEST_SEED={seed}");
    let redis = RedisServer::start(Persistence::None).await;
    let config = redis.dir().join("tidings.toml");
    std::fs::write(&config, RULES).unwrap();
    let flags = ["--redis", &redis.url(), "--config", config.to_str().unwrap()];
    let broker = Broker::program(&flags).await;
    let mut client = connect(broker.address());
    let mut back = Heard::on(&mut client, "back").await;
    let mut theirs = Heard::on(&mut client, "theirs").await;
    let sdk = sdk(&redis, seed, count);
    sdk.says("listening").await;

    let mut rng = Rng::with_seed(seed);
    for number in 0..count {
        let event = draw(number, &mut rng);
        publish(&mut client, "ours", event.clone()).await;
        assert_eq!(told(back.next().await), told(event), "TIDINGS_TEST_SEED={seed}");
    }
    for _ in 0..count {
        let event = theirs.next().await;
        publish(&mut client, "again", event).await;
    }
    let lines = sdk.end().await.ok();
    assert_eq!(lines.last(), Some(&format!("{count} events, 0 differ")), "{lines:?}");
}

fn sdk(redis: &RedisServer, seed: u64, count: u64) -> Process {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/cloudevents/sdk.py");
    let mut command = Command::new(python());
    command.env("PYTHONDONTWRITEBYTECODE", "1").arg(script).args(["--redis", &redis.url()]);
    command.args(["--seed", &seed.to_string(), "--count", &count.to_string()]);
    Process::start(command)
}

async fn publish(client: &mut Client, topic: &str, event: proto::Event) {
    let events = vec![event];
    let request = proto::PublishRequest { topic: topic.into(), events, ..Default::default() };
    client.publish(request).await.expect("published");
}

/// The event without what the broker says of it; JSON is the same however it is written.
fn told(mut event: proto::Event) -> (proto::Event, Option<Value>) {
    (event.position, event.publish_time) = (None, None);
    if event.payload.is_some() && event.data_content_type.is_empty() {
        event.data_content_type = "text/plain".into();
    }
    if !event.data_content_type.contains("json") {
        return (event, None);
    }
    let json = match &event.payload {
        Some(Payload::Text(text)) => serde_json::from_str(text).ok(),
        Some(Payload::Data(data)) => serde_json::from_slice(data).ok(),
        _ => None,
    };
    if json.is_some() {
        event.payload = None;
    }
    (event, json)
}

/// Times are whole microseconds: the SDK knows no shorter ones.
fn draw(number: u64, rng: &mut Rng) -> proto::Event {
    let maybe = |rng: &mut Rng| if rng.bool() { text(rng) } else { String::new() };
    let nanos = *rng.choice([&0, &1000, &999_999_000, &120_000_000]).expect("some");
    let (payload, data_content_type) = payload(rng);
    let mut extensions = HashMap::new();
    for name in ["traceparent", "a", "0", "zzzzzzzzzzzzzzzzzzzz"] {
        if rng.bool() {
            extensions.insert(name.to_owned(), text(rng));
        }
    }
    proto::Event {
        extensions,
        id: format!("{number} {}", text(rng)),
        source: format!("/broker/{number}#ö"),
        r#type: format!("shop.v1.{}", text(rng)),
        time: Some(Timestamp { seconds: rng.i64(-2_000_000_000..200_000_000_000), nanos }),
        subject: maybe(rng),
        key: maybe(rng),
        data_schema: if rng.bool() {
            format!("https://schemas.example/{number}")
        } else {
            String::new()
        },
        data_content_type: data_content_type.into(),
        payload,
        ..Default::default()
    }
}

fn text(rng: &mut Rng) -> String {
    let letters: Vec<_> = "abcXYZ 0129_-.:/+&?öß€Ω漢😀e\u{301}'\"\\{}[],".chars().collect();
    (0..rng.usize(0..12)).map(|_| *rng.choice(&letters).expect("some")).collect()
}

fn payload(rng: &mut Rng) -> (Option<Payload>, &'static str) {
    let json_types = ["application/json", "application/vnd.shop+json; charset=utf-8", "text/json"];
    let json_type = *rng.choice(&json_types).expect("some");
    let json = structured(3, rng).to_string();
    let bytes: Vec<u8> = (0..rng.usize(0..30)).map(|_| rng.u8(..)).collect();
    match rng.u8(0..9) {
        0 => (None, ""),
        1 => (None, json_type),
        2 | 3 => (Some(Payload::Text(json)), json_type),
        4 => (Some(Payload::Data(json.into())), json_type),
        5 => (Some(Payload::Data([b"\xff{", &bytes[..]].concat().into())), json_type),
        6 => (Some(Payload::Data(bytes.into())), "application/octet-stream"),
        7 => (Some(Payload::Data(bytes.into())), "application/protobuf"),
        _ => (Some(Payload::Text(text(rng))), if rng.bool() { "" } else { "text/plain" }),
    }
}

/// Never null: the SDK takes that for no data.
fn structured(depth: usize, rng: &mut Rng) -> Value {
    if depth == 0 || rng.u8(0..5) < 2 {
        let numbers =
            [json!(0), json!(-1), json!(i64::MIN), json!(u64::MAX), json!(0.5), json!(1e300)];
        return match rng.u8(0..4) {
            0 => rng.bool().into(),
            1 => text(rng).into(),
            _ => rng.choice(&numbers).expect("some").clone(),
        };
    }
    let inside: Vec<_> = (0..rng.usize(0..4)).map(|_| structured(depth - 1, rng)).collect();
    match rng.bool() {
        true => inside.into_iter().chain([Value::Null]).collect(),
        false => inside.into_iter().map(|value| (text(rng), value)).collect(),
    }
}
