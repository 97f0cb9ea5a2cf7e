//! Live topics through the program: nothing is missed, one order, nobody waits for another, and
//! what Redis does to us is told.

use std::{
    collections::HashMap,
    time::{Duration, Instant, SystemTime},
};

use tidings::proto::{self, gap::Reason, subscribe_response::Control};
use tokio::task::JoinSet;
use tonic::{Code, Status, Streaming};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_types::StatusExt;

use crate::support::{
    alone,
    broker::Broker,
    client::{Client, connect, event, publish, reason},
    eventually,
    history::Outcome,
    proxy::{Direction, FaultProxy, Mode, Which},
    redis::{Persistence, RedisServer},
    resident_bytes,
};

const PATIENCE: Duration = Duration::from_secs(20);

/// A stream that was opened, read as a client reads it.
struct Reader {
    stream: Streaming<proto::SubscribeResponse>,
    opened: proto::Opened,
}

async fn subscribe(client: &mut Client, topics: &[&str]) -> Reader {
    let request = proto::SubscribeRequest {
        topics: topics.iter().map(ToString::to_string).collect(),
        heartbeat_interval: Some(Duration::from_secs(1).try_into().unwrap()),
        ..Default::default()
    };
    let mut stream = client.subscribe(request).await.unwrap().into_inner();
    let first = stream.message().await.unwrap().expect("a first frame");
    match first.control {
        Some(Control::Opened(opened)) => Reader { stream, opened },
        other => panic!("a stream began with {other:?}"),
    }
}

impl Reader {
    /// The next frame; no stream is silent for long.
    async fn frame(&mut self) -> Result<Option<proto::SubscribeResponse>, Status> {
        let next = tokio::time::timeout(PATIENCE, self.stream.message()).await;
        next.expect("a stream is never silent for longer than its heartbeat")
    }

    /// The next frame with events. A gap is a failure here.
    async fn events(&mut self) -> Vec<proto::Event> {
        loop {
            let frame = self.frame().await.unwrap().expect("an open stream");
            if let Some(Control::Gap(gap)) = frame.control {
                panic!("a gap: {gap:?}");
            }
            if !frame.events.is_empty() {
                return frame.events;
            }
        }
    }

    /// The next heartbeat that tells whether the broker reaches its backend.
    async fn heartbeat(&mut self) -> proto::Heartbeat {
        loop {
            let frame = self.frame().await.unwrap().expect("an open stream");
            if let Some(Control::Heartbeat(heartbeat)) = frame.control {
                return heartbeat;
            }
        }
    }

    /// The next heartbeat that says that the broker does not reach its backend.
    async fn heartbeat_while_down(&mut self) -> proto::Heartbeat {
        let asked = Instant::now();
        loop {
            let heartbeat = self.heartbeat().await;
            if heartbeat.backend_down_since.is_some() {
                return heartbeat;
            }
            assert!(asked.elapsed() < PATIENCE, "never shown: {heartbeat:?}");
        }
    }
}

/// What `backend_down_since` may say of a path that broke at `broke`: since when events may be
/// missing, which is when the broker last heard itself through Redis.
#[track_caller]
fn told_since_when(heartbeat: &proto::Heartbeat, broke: SystemTime) -> SystemTime {
    /// The broker speaks to itself this often; the rest is for a busy machine.
    const BEFORE: Duration = Duration::from_millis(750 + 1250);
    /// What was under way may still be heard. Noticing it takes longer: this tells the two apart.
    const AFTER: Duration = Duration::from_millis(80);
    let since: SystemTime =
        heartbeat.backend_down_since.expect("a time").try_into().expect("a time");
    let within = broke - BEFORE..=broke + AFTER;
    assert!(within.contains(&since), "{since:?} is not within {within:?}");
    since
}

fn id(event: &proto::Event) -> u64 {
    event.id.parse().unwrap()
}

fn place(event: &proto::Event) -> (u64, u64) {
    let position = event.position.as_ref().expect("a position");
    (position.epoch, position.sequence)
}

#[track_caller]
fn acked(outcome: &Outcome) {
    assert!(matches!(outcome, Outcome::Acked(_)), "{outcome:?}");
}

const ROUNDERS: u64 = 8;
const ROUNDS: u64 = 10_000;

/// What is published after a client read `Opened` is delivered. Each round has a topic of its own,
/// because one that was left stays attached for a while: so the broker has to attach every time.
async fn opened_then_publish(broker: &Broker) {
    let mut tasks = JoinSet::new();
    for task in 0..ROUNDERS {
        let mut client = connect(broker.address());
        tasks.spawn(async move {
            for round in 0..ROUNDS / ROUNDERS {
                let topic = format!("rounds.{task}.{round}");
                let mut reader = subscribe(&mut client, &[&topic]).await;
                acked(&publish(&mut client, &topic, round..round + 1).await);
                let events = reader.events().await;
                assert_eq!(events.iter().map(id).collect::<Vec<_>>(), [round], "{topic}");
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_published_after_opened_is_delivered_on_memory() {
    let _alone = alone().await;
    opened_then_publish(&Broker::program(&[]).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_published_after_opened_is_delivered_on_redis() {
    let _alone = alone().await;
    let redis = RedisServer::start(Persistence::None).await;
    opened_then_publish(&Broker::program(&["--redis", &redis.url()]).await).await;
    // One command may subscribe to the topics of all who wait at the same time.
    let subscribed = redis.calls("subscribe").await;
    assert!(subscribed >= ROUNDS / ROUNDERS, "{ROUNDS} rounds in {subscribed} subscriptions");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_brokers_on_one_redis_tell_one_order() {
    const EACH: u64 = 3000;
    let _alone = alone().await;
    let redis = RedisServer::start(Persistence::None).await;
    let mut brokers = Vec::new();
    let mut readers = Vec::new();
    for _ in 0..2 {
        let broker = Broker::program(&["--redis", &redis.url()]).await;
        readers.push(subscribe(&mut connect(broker.address()), &["orders"]).await);
        brokers.push(broker);
    }
    let mut publishers = JoinSet::new();
    for (index, broker) in (0u64..).zip(&brokers) {
        let mut client = connect(broker.address());
        publishers.spawn(async move {
            for n in 0..EACH / 3 {
                let first = index * EACH + n * 3;
                acked(&publish(&mut client, "orders", first..first + 3).await);
            }
        });
    }
    let mut orders = Vec::new();
    for reader in &mut readers {
        let mut order = Vec::new();
        while order.len() < 2 * EACH as usize {
            order.extend(reader.events().await.iter().map(|event| (place(event), id(event))));
        }
        assert!(order.windows(2).all(|pair| pair[0].0 < pair[1].0), "positions rise");
        orders.push(order);
    }
    while let Some(done) = publishers.join_next().await {
        done.unwrap();
    }
    assert!(orders[0] == orders[1], "both brokers tell the same");
    for publisher in 0..2 {
        let of = publisher * EACH..(publisher + 1) * EACH;
        let own = orders[0].iter().map(|(_, id)| *id).filter(|id| of.contains(id));
        assert!(own.eq(of.clone()), "each publisher's events, in its order");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_subscribers_each_get_everything_over_one_redis_subscription_per_topic() {
    const TOPICS: u64 = 50;
    const SUBSCRIBERS: u64 = 1000;
    const PER_TOPIC: u64 = 2000;
    let _alone = alone().await;
    let redis = RedisServer::start(Persistence::None).await;
    let mut brokers = Vec::new();
    for _ in 0..2 {
        brokers.push(Broker::program(&["--redis", &redis.url()]).await);
    }
    let clients: Vec<Client> = (0..20).map(|n| connect(brokers[n % 2].address())).collect();
    let mut readers = JoinSet::new();
    for subscriber in 0..SUBSCRIBERS {
        // Each topic has subscribers on both brokers.
        let mut client = clients[((subscriber / TOPICS) % 20) as usize].clone();
        let topic = format!("many.{}", subscriber % TOPICS);
        let mut reader = subscribe(&mut client, &[&topic]).await;
        readers.spawn(async move {
            let mut count = 0;
            let mut last = (0, 0);
            while count < PER_TOPIC {
                for event in reader.events().await {
                    assert!(last < place(&event), "{:?} after {last:?}", place(&event));
                    last = place(&event);
                    count += 1;
                }
            }
            assert_eq!((count, last.1), (PER_TOPIC, PER_TOPIC), "exact");
        });
    }
    for topic in 0..TOPICS {
        let channel = format!("td:{{many.{topic}}}:c");
        assert_eq!(redis.pubsub_numsub(&channel).await, 2, "{channel}: once per broker");
    }
    let mut client = clients[0].clone();
    for first in (0..PER_TOPIC).step_by(100) {
        for topic in 0..TOPICS {
            let topic = format!("many.{topic}");
            acked(&publish(&mut client, &topic, first..first + 100).await);
        }
    }
    while let Some(done) = readers.join_next().await {
        done.unwrap();
    }
}

async fn a_reader_that_stops(broker: &Broker) {
    const EVENTS: u64 = 6000;
    const BYTES: usize = 16 << 10;
    let mut client = connect(broker.address());
    // On a connection of its own: HTTP/2 would let it hold up others of its own process.
    let mut stopped = subscribe(&mut connect(broker.address()), &["orders"]).await;
    let mut reading = subscribe(&mut connect(broker.address()), &["orders"]).await;
    let before = resident_bytes(broker.pid());
    let reads = tokio::spawn(async move {
        let mut count = 0;
        while count < EVENTS {
            count += reading.events().await.len() as u64;
        }
        count
    });
    let mut highest = 0;
    for first in (0..EVENTS).step_by(20) {
        let events = (first..first + 20).map(|id| event(id, vec![b'.'; BYTES])).collect();
        let request =
            proto::PublishRequest { topic: "orders".into(), events, ..Default::default() };
        client.publish(request).await.unwrap();
        highest = highest.max(resident_bytes(broker.pid()));
    }
    assert_eq!(reads.await.unwrap(), EVENTS, "the other one has them all");
    let grown = highest.saturating_sub(before) >> 20;
    println!("a reader that stops: {grown} MiB for {} MiB", (EVENTS as usize * BYTES) >> 20);
    assert!(grown < 80, "the broker grew by {grown} MiB");

    let mut delivered = 0;
    let mut gaps = Vec::new();
    let mut last = 0;
    while last < EVENTS {
        let frame = stopped.frame().await.unwrap().expect("an open stream");
        for event in &frame.events {
            let sequence = place(event).1;
            assert_eq!(sequence, last + 1, "no hole but the gap");
            last = sequence;
            delivered += 1;
        }
        if let Some(Control::Gap(gap)) = frame.control {
            assert_eq!(gap.after.as_ref().unwrap().sequence, last, "in its place");
            last = gap.until.as_ref().unwrap().sequence;
            gaps.push(gap);
        }
    }
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert_eq!(gaps[0].reason(), Reason::SlowConsumer);
    assert_eq!(gaps[0].missed, Some(EVENTS - delivered), "the exact count");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_that_stops_reading_gets_one_exact_gap_on_memory() {
    let _alone = alone().await;
    a_reader_that_stops(&Broker::program(&[]).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_that_stops_reading_gets_one_exact_gap_on_redis() {
    let _alone = alone().await;
    let redis = RedisServer::start(Persistence::None).await;
    a_reader_that_stops(&Broker::program(&["--redis", &redis.url()]).await).await;
}

/// A path that swallows everything and closes nothing: noticed within 2.5 s, and 4 s after it
/// healed what is published arrives.
async fn half_open(which: Which) {
    let _alone = alone().await;
    let redis = RedisServer::start(Persistence::None).await;
    let proxy = FaultProxy::start(redis.port()).await;
    let behind = Broker::program(&["--redis", &proxy.url()]).await;
    let other = Broker::program(&["--redis", &redis.url()]).await;
    let mut reader = subscribe(&mut connect(behind.address()), &["orders"]).await;
    let mut client = connect(other.address());
    acked(&publish(&mut client, "orders", 0..1).await);
    assert_eq!(reader.events().await.len(), 1);

    proxy.set(which, Direction::Both, Mode::BlackHole);
    let (holed, holed_at) = (Instant::now(), SystemTime::now());
    let heartbeat = reader.heartbeat_while_down().await;
    let noticed = holed.elapsed();
    let since = told_since_when(&heartbeat, holed_at);
    // Published through the other broker while this one hears nothing.
    acked(&publish(&mut client, "orders", 1..2).await);
    let again = told_since_when(&reader.heartbeat_while_down().await, holed_at);
    assert_eq!(again, since, "it stays as it was first told");
    proxy.heal();
    let healed = Instant::now();
    let events = reader.events().await;
    let delivered = healed.elapsed();
    println!("half-open {which:?}: shown after {noticed:?}, delivered after {delivered:?}");
    assert_eq!(events.iter().map(id).collect::<Vec<_>>(), [1]);
    assert!(noticed <= Duration::from_millis(2500), "{which:?}: shown after {noticed:?}");
    assert!(delivered <= Duration::from_secs(4), "{which:?}: delivered after {delivered:?}");
    while reader.heartbeat().await.backend_down_since.is_some() {
        assert!(healed.elapsed() < PATIENCE, "{which:?}: still shown as down");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_open_subscription_path_is_noticed() {
    half_open(Which::Sub).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_open_command_path_is_noticed() {
    half_open(Which::Cmd).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_open_path_is_noticed() {
    half_open(Which::All).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_redis_down_a_publish_fails_at_once_and_says_when_to_try_again() {
    let _alone = alone().await;
    let mut redis = RedisServer::start(Persistence::None).await;
    let broker = Broker::program(&["--redis", &redis.url()]).await;
    let mut client = connect(broker.address());
    let mut reader = subscribe(&mut client, &["orders"]).await;
    redis.kill9();
    let killed_at = SystemTime::now();
    told_since_when(&reader.heartbeat_while_down().await, killed_at);
    for n in 0..10 {
        let request = proto::PublishRequest {
            topic: "orders".into(),
            events: vec![event(n, vec![])],
            ..Default::default()
        };
        let asked = Instant::now();
        let status = client.publish(request).await.unwrap_err();
        // The deadline of a backend call: nothing waits longer.
        assert!(asked.elapsed() < Duration::from_secs(1), "answered after {:?}", asked.elapsed());
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        assert_eq!(reason(&status).as_deref(), Some("BACKEND_UNAVAILABLE"), "{status:?}");
        let retry = status.get_details_retry_info().and_then(|info| info.retry_delay);
        assert!(retry.is_some_and(|delay| !delay.is_zero()), "{status:?}");
    }
    redis.restart().await;
    let back = || async {
        matches!(publish(&mut client.clone(), "orders", 10..11).await, Outcome::Acked(_))
    };
    eventually("publishes succeed again", PATIENCE, back).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publish_whose_answer_was_lost_has_an_unknown_outcome() {
    let _alone = alone().await;
    let redis = RedisServer::start(Persistence::None).await;
    let proxy = FaultProxy::start(redis.port()).await;
    let behind = Broker::program(&["--redis", &proxy.url()]).await;
    let other = Broker::program(&["--redis", &redis.url()]).await;
    let mut reader = subscribe(&mut connect(other.address()), &["orders"]).await;
    let mut client = connect(behind.address());
    acked(&publish(&mut client, "orders", 0..1).await);

    proxy.set(Which::Cmd, Direction::ToBroker, Mode::BlackHole);
    let request = proto::PublishRequest {
        topic: "orders".into(),
        events: vec![event(1, vec![])],
        ..Default::default()
    };
    let asked = Instant::now();
    let status = client.publish(request).await.unwrap_err();
    assert!(asked.elapsed() < Duration::from_secs(3), "nothing hangs: {:?}", asked.elapsed());
    assert_eq!(reason(&status).as_deref(), Some("OUTCOME_UNKNOWN"), "{status:?}");
    // And here it does exist.
    let mut ids = Vec::new();
    while ids.len() < 2 {
        ids.extend(reader.events().await.iter().map(id));
    }
    assert_eq!(ids, [0, 1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_drains_even_with_a_client_that_never_reads() {
    let _alone = alone().await;
    let mut broker = Broker::program(&[]).await;
    let address = broker.address();
    let mut client = connect(address);
    let mut reader = subscribe(&mut client, &["orders"]).await;
    assert!(!reader.opened.broker_id.is_empty());
    let never_reads = subscribe(&mut connect(address), &["orders"]).await;
    // Enough that the one who never reads has no room left in any window.
    for first in (0..200).step_by(10) {
        let events = (first..first + 10).map(|id| event(id, vec![b'.'; 64 << 10])).collect();
        let topic = "orders".to_owned();
        let request = proto::PublishRequest { topic, events, ..Default::default() };
        client.publish(request).await.unwrap();
    }
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{address}")).unwrap();
    let mut health = HealthClient::new(endpoint.connect().await.unwrap());
    let asked = HealthCheckRequest { service: String::new() };
    let mut health = health.watch(asked).await.unwrap().into_inner();
    let first = health.message().await.unwrap().expect("a state");
    assert_eq!(first.status(), ServingStatus::Serving);

    broker.sigterm();
    let asked = Instant::now();
    let next = tokio::time::timeout(PATIENCE, health.message()).await.expect("not-serving is told");
    assert_eq!(next.unwrap().expect("a state").status(), ServingStatus::NotServing);
    let mut go_away = None;
    let end = loop {
        match reader.frame().await {
            Ok(Some(frame)) => {
                if let Some(Control::GoAway(told)) = frame.control {
                    go_away = Some(told);
                }
            }
            Ok(None) => panic!("a stream ends with OK only where the client asked for an end"),
            Err(status) => break status,
        }
    };
    let go_away = go_away.expect("told before the end");
    assert_eq!(go_away.reason(), proto::go_away::Reason::Shutdown);
    assert_eq!(end.code(), Code::Unavailable, "{end:?}");
    drop(client);
    let status = broker.ended(Duration::from_secs(15).saturating_sub(asked.elapsed())).await;
    assert_eq!(status.expect("ends within 15 s").code(), Some(0), "{}", broker.output());
    drop(never_reads);
}

/// Opened tells where each topic starts, and the first event follows there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_starts_where_opened_says() {
    let broker = Broker::program(&[]).await;
    let mut client = connect(broker.address());
    acked(&publish(&mut client, "orders", 0..3).await);
    let mut reader = subscribe(&mut client, &["orders", "other"]).await;
    let positions: HashMap<_, _> = reader
        .opened
        .positions
        .iter()
        .map(|position| (position.topic.clone(), position.sequence))
        .collect();
    assert_eq!(positions.get("orders"), Some(&3), "{positions:?}");
    acked(&publish(&mut client, "orders", 3..4).await);
    assert_eq!(place(&reader.events().await[0]).1, 4);
}
