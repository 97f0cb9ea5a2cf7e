//! One backend call fails, or one command to Redis, whichever it is: no event that was acknowledged
//! after the subscription began is lost in silence, none comes twice or out of order.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use tidings::{
    backend::{BackendError, memory::Memory},
    broker::{Broker, PublishError},
    catalog::Catalog,
    proto::{self, subscribe_request::Start},
};
use tokio::task::JoinSet;

use crate::support::{
    alone,
    backend::PATIENCE,
    faulty::{Faulty, When},
    in_process::{Lines, broker_on, event, on_redis, options, publish, request, subscribe},
    proxy::FaultProxy,
    redis::{Persistence, RedisServer},
};

#[tokio::test(start_paused = true)]
async fn whichever_backend_call_fails_the_promises_hold() {
    for when in [When::Before, When::After] {
        for fails in 1.. {
            if !scenario(fails, when).await {
                assert!(fails > 10, "only {fails} calls were made");
                break;
            }
        }
    }
}

/// Whether the fault came to pass.
async fn scenario(fails: usize, when: When) -> bool {
    let (memory, feed) = Memory::open();
    let backend = Arc::new(Faulty::new(memory, fails, when));
    let broker = broker_on(backend.clone(), feed, Catalog::default(), options());
    let mut next_id = 1;
    let mut expected = Vec::new();
    let mut send = async |count: u64, expected: &mut Vec<String>| {
        for _ in 0..count {
            let id = next_id;
            next_id += 1;
            match publish(&broker, "orders", vec![event(id)]).await {
                Ok(_) => expected.push(format!("orders {id}")),
                // Stored all the same: it may come, and here it does.
                Err(PublishError::Backend(BackendError::OutcomeUnknown { .. })) => {
                    expected.push(format!("orders {id}"));
                }
                Err(error) => assert_eq!(when, When::Before, "{error}"),
            }
        }
    };
    let patiently = async |mut request: proto::SubscribeRequest, resume: Vec<_>| {
        request.resume = resume;
        loop {
            if let Ok(subscription) = subscribe(&broker, request.clone()).await {
                break Lines::of(subscription).await;
            }
        }
    };

    send(3, &mut expected).await;
    let mut wanted = request(&["orders", "orders.*"]);
    wanted.start = Some(Start::Earliest(true));
    let mut lines = patiently(wanted.clone(), Vec::new()).await;
    send(2, &mut expected).await;
    let mut seen = Vec::new();
    read(&mut lines, &mut seen, expected.len()).await;
    let resume = lines.resume();
    drop(lines);
    send(3, &mut expected).await;
    let mut lines = patiently(wanted, resume).await;
    // A topic that is born under the pattern, and joined while the stream is open.
    let born = publish(&broker, "orders.eu", vec![event("eu")]).await;
    let mut born_events = Vec::new();
    while seen.len() < expected.len() || (born.is_ok() && born_events.is_empty()) {
        let line = lines.next().await;
        if line.starts_with("orders.eu") {
            born_events.push(line);
        } else if line.starts_with("orders ") {
            seen.push(line);
        } else {
            assert!(line.starts_with("heartbeat") || line == "caught up", "{line}");
        }
    }
    assert_eq!(seen, expected, "call {fails} failed {when:?}");
    assert_eq!(broker.info().broken_chains, 0);
    backend.calls() >= fails
}

async fn read(lines: &mut Lines, seen: &mut Vec<String>, count: usize) {
    while seen.len() < count {
        let line = lines.next().await;
        if line.starts_with("orders ") {
            seen.push(line);
        } else {
            assert!(line.starts_with("heartbeat") || line == "caught up", "{line}");
        }
    }
}

/// The same over the network to a real Redis: the connection breaks at one command.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whichever_command_breaks_its_connection_to_redis_the_promises_hold() {
    const TOGETHER: usize = 8;
    let _alone = alone().await;
    let redis = RedisServer::start(Persistence::None).await;
    for when in [When::Before, When::After] {
        for first in (1..).step_by(TOGETHER) {
            let mut stories = JoinSet::new();
            for breaks in first..first + TOGETHER {
                stories.spawn(story_over_redis(redis.port(), breaks, when));
            }
            let mut untouched = false;
            while let Some(broken) = stories.join_next().await {
                untouched |= !broken.expect("the promises hold");
            }
            if untouched {
                assert!(first > 3 * TOGETHER, "only some {first} commands were sent");
                println!("{when:?}: each of the first {first} commands and more");
                break;
            }
        }
    }
}

/// A topic's events as one publisher knows them, in order.
type Sent = Vec<(String, Fate)>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Acknowledged,
    /// It may come or not.
    Unknown,
    /// It must not come.
    Denied,
}

/// Whether the fault came to pass.
async fn story_over_redis(redis_port: u16, breaks: usize, when: When) -> bool {
    let name = format!("{when:?}{breaks}");
    let proxy = FaultProxy::start(redis_port).await;
    let broker = on_redis(&proxy.url(), &name, Catalog::default()).await;
    proxy.break_at(breaks, when);
    let [orders, born] = ["orders", "orders.eu"].map(|topic| format!("{name}.{topic}"));
    let mut sent: BTreeMap<String, Sent> = BTreeMap::new();
    let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();

    send(&broker, &orders, 3, &mut sent).await;
    let mut wanted = request(&[&orders, &format!("{orders}.*")]);
    wanted.start = Some(Start::Earliest(true));
    let mut lines = open(&broker, &wanted).await;
    send(&broker, &orders, 2, &mut sent).await;
    tell(&mut lines, &sent, &mut told).await;
    wanted.resume = lines.resume();
    drop(lines);
    send(&broker, &orders, 3, &mut sent).await;
    let mut lines = open(&broker, &wanted).await;
    // A topic that is born under the pattern, and joined while the stream is open.
    send(&broker, &born, 2, &mut sent).await;
    send(&broker, &orders, 1, &mut sent).await;
    tell(&mut lines, &sent, &mut told).await;

    for (topic, sent) in &sent {
        let mut told = told[topic].iter().peekable();
        for (line, fate) in sent {
            let came = told.next_if_eq(&line).is_some();
            let right = match fate {
                Fate::Acknowledged => came,
                Fate::Unknown => true,
                Fate::Denied => !came,
            };
            assert!(right, "command {breaks} broke {when:?}: {line:?} {fate:?}, came: {came}");
        }
        assert_eq!(told.next(), None, "command {breaks} broke {when:?}: not sent, or out of order");
    }
    assert_eq!(broker.info().broken_chains, 0);
    broker.close().await;
    proxy.has_broken()
}

/// Until so many are acknowledged.
async fn send(broker: &Broker, topic: &str, count: usize, sent: &mut BTreeMap<String, Sent>) {
    let sent = sent.entry(topic.to_owned()).or_default();
    let (begun, mut acknowledged) = (Instant::now(), 0);
    while acknowledged < count {
        assert!(begun.elapsed() < PATIENCE, "{topic} takes no events: {sent:?}");
        let id = sent.len() + 1;
        let fate = match publish(broker, topic, vec![event(id)]).await {
            Ok(_) => Fate::Acknowledged,
            Err(PublishError::Backend(BackendError::OutcomeUnknown { .. })) => Fate::Unknown,
            Err(_) => Fate::Denied,
        };
        sent.push((format!("{topic} {id}"), fate));
        acknowledged += usize::from(fate == Fate::Acknowledged);
        if fate == Fate::Denied {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn open(broker: &Broker, request: &proto::SubscribeRequest) -> Lines {
    let begun = Instant::now();
    loop {
        match subscribe(broker, request.clone()).await {
            Ok(subscription) => return Lines::of(subscription).await,
            Err(error) => assert!(begun.elapsed() < PATIENCE, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Reads until the last of each topic has come: it was acknowledged.
async fn tell(
    lines: &mut Lines,
    sent: &BTreeMap<String, Sent>,
    told: &mut BTreeMap<String, Vec<String>>,
) {
    let last = |sent: &Sent| sent.last().map(|(line, _)| line.clone());
    while sent
        .iter()
        .any(|(topic, sent)| told.get(topic).and_then(|t| t.last().cloned()) != last(sent))
    {
        let line = lines.next_within(PATIENCE).await;
        let line = line.unwrap_or_else(|| panic!("nothing more comes: {sent:?}, {told:?}"));
        match line.split_once(' ') {
            Some((topic, _)) if sent.contains_key(topic) => {
                told.entry(topic.to_owned()).or_default().push(line);
            }
            // Born while its broker was cut off: whether another life was before, nobody can tell.
            Some(("gap", rest)) if rest.contains(" 0>0 missed ? ") => (),
            _ => assert!(line.starts_with("heartbeat") || line == "caught up", "{line}"),
        }
    }
}
