//! Brokers behind the proxies that meshes are made of: the real ones, with what `deploy/` ships.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tidings::proto::{SubscribeRequest, subscribe_response::Control};
use tokio::time::timeout;
use tonic::{Code, Status, Streaming};

use crate::support::{
    alone,
    broker::Broker,
    client::{AddressBook, Client, Clock, Subscriber, connect, publish},
    eventually,
    history::{Disturbance, Harm, History, Outcome, Publish, Seen, check},
    mesh::{ALL, Kind, Proxy},
    redis::{Persistence, RedisServer},
};

const PATIENCE: Duration = Duration::from_secs(20);
/// What the proxies' idle timers are cut to.
const IDLE: u32 = 3;

async fn two(redis: &RedisServer) -> [Broker; 2] {
    let start = || async { Broker::program(&["--redis", &redis.url()]).await };
    [start().await, start().await]
}

async fn subscribe(
    client: &mut Client,
    heartbeat: u64,
) -> Streaming<tidings::proto::SubscribeResponse> {
    let request = || SubscribeRequest {
        topics: vec!["quiet".into()],
        heartbeat_interval: Some(Duration::from_secs(heartbeat).try_into().unwrap()),
        ..Default::default()
    };
    // A proxy that was just started may not know yet that its brokers are well.
    for _ in 0..100 {
        if let Ok(stream) = client.subscribe(request()).await {
            let mut stream = stream.into_inner();
            let opened = timeout(PATIENCE, stream.message()).await.expect("in time");
            let opened = opened.expect("no error").expect("a frame").control;
            assert!(matches!(opened, Some(Control::Opened(_))), "{opened:?}");
            return stream;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("no stream through the proxy");
}

/// A stream that nothing is published on, for twice the idle timer and more. How it ended, if it
/// did.
async fn quiet(kind: Kind, heartbeat: u64) -> Option<Status> {
    let redis = RedisServer::start(Persistence::None).await;
    let brokers = two(&redis).await;
    let addresses = [brokers[0].address(), brokers[1].address()];
    let proxy = Proxy::start(kind, addresses, Some(IDLE)).await;
    let mut client = connect(proxy.address);
    let mut stream = subscribe(&mut client, heartbeat).await;
    let watching = async {
        loop {
            match stream.message().await {
                Ok(Some(_)) => (),
                Ok(None) => return Status::ok("the stream ended"),
                Err(status) => return status,
            }
        }
    };
    let quiet = Duration::from_secs(2 * u64::from(IDLE) + 2);
    if let Ok(status) = timeout(quiet, watching).await {
        return Some(status);
    }
    assert!(matches!(publish(&mut client, "quiet", 7..8).await, Outcome::Acked(_)), "{kind:?}");
    let event = timeout(PATIENCE, async {
        loop {
            let frame = stream.message().await.expect("alive").expect("alive");
            if let Some(event) = frame.events.first() {
                return event.id.clone();
            }
        }
    });
    assert_eq!(event.await.expect("in time"), "7", "{kind:?}");
    None
}

async fn heartbeats_keep_it_alive(kind: Kind) {
    assert_eq!(quiet(kind, 1).await.map(|status| status.code()), None, "{kind:?}");
    // The timer is real: a silent stream is cut.
    let cut = quiet(kind, 120).await.expect("a silent stream is cut");
    let codes = [Code::Internal, Code::Unknown, Code::Unavailable, Code::Cancelled];
    assert!(codes.contains(&cut.code()), "{kind:?}: {cut:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_stream_lives_past_the_idle_timer_of_envoy() {
    heartbeats_keep_it_alive(Kind::Envoy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_stream_lives_past_the_idle_timer_of_nginx() {
    heartbeats_keep_it_alive(Kind::Nginx).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_stream_lives_past_the_idle_timer_of_haproxy() {
    heartbeats_keep_it_alive(Kind::Haproxy).await;
}

/// Both brokers are stopped and started again, one after the other, while events are published
/// through the proxy: every subscriber gets each event once and in order, and no gap.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deploy_of_the_brokers_is_survived_behind_each_proxy() {
    let _alone = alone().await;
    for kind in ALL {
        let redis = RedisServer::start(Persistence::None).await;
        let mut brokers = two(&redis).await;
        let addresses = [brokers[0].address(), brokers[1].address()];
        let proxy = Proxy::start(kind, addresses, None).await;
        let mut client = connect(proxy.address);
        drop(subscribe(&mut client, 1).await);
        // Who comes back to a topic that was born meanwhile is told of a gap, rightly.
        let first = publish(&mut client, "orders", u64::MAX - 1..u64::MAX).await;
        assert!(matches!(first, Outcome::Acked(_)), "{first:?}");
        let book = AddressBook::default();
        book.set(0, Some(proxy.address));
        let clock = Clock::start();
        let topics = Arc::new(vec!["orders".to_owned()]);
        let subscribers: Vec<Subscriber> = (0..4)
            .map(|_| Subscriber::start(clock, book.clone(), 0, topics.clone(), vec![0]))
            .collect();
        let open = || async { subscribers.iter().all(Subscriber::is_open) };
        eventually("all are subscribed", PATIENCE, open).await;

        let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
        let publishing = tokio::spawn(async move {
            let mut client = connect(proxy.address);
            let mut publishes = Vec::new();
            for id in 0.. {
                if stopped.try_recv().is_ok() {
                    break;
                }
                let sent = clock.now();
                let outcome = publish(&mut client, "orders", id..id + 1).await;
                let (topic, first_id, count, answered) = (0, id, 1, clock.now());
                let replicated = false;
                publishes.push(Publish {
                    topic,
                    first_id,
                    count,
                    sent,
                    answered,
                    outcome,
                    replicated,
                });
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            (publishes, proxy)
        });
        let mut disturbances = Vec::new();
        for broker in &mut brokers {
            let from = clock.now();
            let address = broker.address().to_string();
            broker.sigterm();
            let ended = broker.ended(Duration::from_secs(15)).await;
            assert!(ended.is_some_and(|status| status.success()), "{kind:?}: {ended:?}");
            *broker = Broker::program_at(&address, &["--redis", &redis.url()]).await;
            tokio::time::sleep(Duration::from_secs(2)).await;
            let to = clock.now();
            disturbances.push(Disturbance {
                from,
                to,
                broker: None,
                topic: None,
                harm: Harm::None,
            });
        }
        stop.send(()).expect("publishing");
        let (publishes, proxy) = publishing.await.expect("published");
        let stored = |publish: &&Publish| matches!(publish.outcome, Outcome::Acked(_));
        let acked = publishes.iter().filter(stored).count();
        assert!(acked * 10 > publishes.len() * 9, "{kind:?}: {acked} of {}", publishes.len());
        let last = publishes.iter().rfind(stored).expect("some").first_id;
        let caught_up =
            || async { subscribers.iter().all(|one| one.has_last(&HashMap::from([(0, last)]))) };
        eventually("all have the last event", PATIENCE, caught_up).await;
        let mut subscriptions = Vec::new();
        for subscriber in subscribers {
            subscriptions.push(subscriber.stop().await);
        }
        let history = History {
            topics: topics.to_vec(),
            publishes,
            subscriptions,
            disturbances,
            kept_events: tidings::limits::HISTORY_EVENTS,
        };
        let report = check(&history);
        assert_eq!(report.violations, [], "{kind:?}");
        assert_eq!(report.gaps, 0, "{kind:?}: {:?}", gaps(&history));
        drop(proxy);
    }
}

/// What each subscriber saw beside events.
fn gaps(history: &History) -> Vec<Vec<&Seen>> {
    let other = |seen: &&Seen| !matches!(seen, Seen::Event { .. });
    history.subscriptions.iter().map(|one| one.seen.iter().filter(other).collect()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envoy_counts_each_method() {
    let redis = RedisServer::start(Persistence::None).await;
    let brokers = two(&redis).await;
    let addresses = [brokers[0].address(), brokers[1].address()];
    let proxy = Proxy::start(Kind::Envoy, addresses, None).await;
    let mut client = connect(proxy.address);
    drop(subscribe(&mut client, 1).await);
    for id in 0..3 {
        assert!(matches!(publish(&mut client, "orders", id..id + 1).await, Outcome::Acked(_)));
    }
    let stats = proxy.admin("/stats?filter=tidings.v1.Broker.Publish").await;
    assert!(stats.contains("cluster.brokers.grpc.tidings.v1.Broker.Publish.success: 3"), "{stats}");
}
