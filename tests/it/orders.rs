//! The story of `examples/orders`: services over gRPC and plain redis-py scripts, on one Redis.

use std::{collections::BTreeSet, path::Path, process::Command, time::Duration};

use serde_json::{Value, json};

use crate::support::{
    broker::Broker,
    holds_within,
    orders::{SERVICES, assert_cloud_event, heard, order, told},
    process::{Process, Stream, client_program, python},
    proxy::{Direction, FaultProxy, Mode, Which},
    redis::{Persistence, RedisServer},
};

/// A stream that says nothing for 30 s is given up.
const SILENCE_MAX: Duration = Duration::from_secs(120);

/// One Redis, and a broker on it with a bridge.
struct Shop {
    redis: RedisServer,
    bridge: String,
    broker: Broker,
}

/// Everyone who reads along, by name.
struct Subscribers {
    services: Vec<(&'static str, Process)>,
    scripts: Vec<(&'static str, Process)>,
}

/// What a service prints of each order.
type Lines = BTreeSet<String>;

impl Shop {
    async fn open(bridge: &str) -> Shop {
        let redis = RedisServer::start(Persistence::None).await;
        let broker = broker(&redis, &redis.url(), bridge).await;
        Shop { redis, bridge: bridge.into(), broker }
    }

    /// Another broker, which reaches Redis at `url`.
    async fn another(&self, url: &str) -> Broker {
        broker(&self.redis, url, &self.bridge).await
    }

    /// A service over gRPC.
    fn service(&self, language: &str, arguments: &[&str]) -> Process {
        self.service_at(&[&self.broker], language, arguments)
    }

    /// A service that knows several brokers.
    fn service_at(&self, brokers: &[&Broker], language: &str, arguments: &[&str]) -> Process {
        let addresses: Vec<_> = brokers.iter().map(|one| one.address().to_string()).collect();
        let mut command = client_program(language, "service");
        command.args(["--address", &addresses.join(",")]).args(arguments);
        Process::start(command)
    }

    /// The order service.
    fn publish(&self, arguments: &[&str]) -> Process {
        self.service("python", arguments)
    }

    /// A script with redis-py.
    fn script(&self, name: &str, arguments: &[&str]) -> Process {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/orders/redis_py");
        let mut command = Command::new(python());
        command.env("PYTHONDONTWRITEBYTECODE", "1").arg(scripts.join(name));
        command.args(["--redis", &self.redis.url()]).args(arguments);
        Process::start(command)
    }

    /// All that read along over gRPC and with redis-py, when all of them listen.
    async fn subscribers(&self, count: usize) -> Subscribers {
        let count = ["--count", &count.to_string()];
        let services = SERVICES.map(|(name, language)| (name, self.service(language, &count)));
        let scripts = [("inventory", "inventory.py"), ("notification", "notification.py")]
            .map(|(name, script)| (name, self.script(script, &count)));
        for (_, subscriber) in services.iter().chain(&scripts) {
            subscriber.says("listening on order_events").await;
        }
        Subscribers { services: services.into(), scripts: scripts.into() }
    }
}

async fn broker(redis: &RedisServer, url: &str, bridge: &str) -> Broker {
    let config = redis.dir().join("tidings.toml");
    let rule = format!("[[topics]]\npattern = \"order_events\"\nbridge = \"{bridge}\"\n");
    std::fs::write(&config, rule).unwrap();
    Broker::program(&["--redis", url, "--config", config.to_str().unwrap()]).await
}

#[tokio::test]
async fn what_redis_py_publishes_reaches_the_grpc_services() {
    let shop = Shop::open("listen").await;
    let subscribers = shop.subscribers(3).await;
    shop.script("publisher.py", &["--order", "1001", "--count", "2"]).end().await.ok();
    shop.script("publisher.py", &["--text", "not an order"]).end().await.ok();
    for (name, service) in subscribers.services {
        let lines = service.end().await.ok();
        assert_eq!(lines[..2], [told(name, 1001, 0), told(name, 1002, 0)]);
        assert!(lines[2].contains(r#""details":{"skipped":"no order"}"#), "{}", lines[2]);
        assert_eq!(lines.len(), 3);
    }
}

#[tokio::test]
async fn what_grpc_publishes_reaches_redis_py_as_plain_json() {
    let shop = Shop::open("raw").await;
    let subscribers = shop.subscribers(2).await;
    let published = shop.publish(&["--json", "--order", "7", "--count", "2"]);
    let receipts = published.end().await.ok();
    assert_eq!(
        receipts,
        [7, 8].map(|n| { json!({"order_id": n.to_string(), "sequence": n - 6}).to_string() })
    );
    for (name, script) in subscribers.scripts {
        let lines: Vec<_> = script.end().await.ok().iter().map(|line| heard(line)).collect();
        assert_eq!(lines, [7, 8].map(|number| (name.to_owned(), order(number))));
    }
    for (name, service) in subscribers.services {
        assert_eq!(service.end().await.ok(), [told(name, 7, 1), told(name, 8, 2)]);
    }
}

#[tokio::test]
async fn what_grpc_publishes_reaches_redis_py_as_cloudevents() {
    let shop = Shop::open("cloudevents-json").await;
    let subscribers = shop.subscribers(2).await;
    shop.publish(&["--json", "--order", "7"]).end().await.ok();
    shop.publish(&["--order", "8"]).end().await.ok();
    for (name, script) in subscribers.scripts {
        let lines = script.end().await.ok();
        let events: Vec<_> = lines.iter().map(|line| heard(line)).collect();
        for ((service, event), number) in events.iter().zip([7, 8]) {
            assert_eq!(service, name);
            assert_cloud_event(event, number);
        }
        assert_eq!(events[0].1["datacontenttype"], "application/json");
        assert_eq!(events[0].1["data"], order(7));
        // Protobuf is no text: it travels as base64, and no loop of redis-py ends at it.
        assert_eq!(events[1].1["datacontenttype"], "application/protobuf");
        assert!(events[1].1["data_base64"].is_string(), "{}", events[1].1);
        assert_eq!(lines.len(), 2);
    }
    for (name, service) in subscribers.services {
        assert_eq!(service.end().await.ok(), [told(name, 7, 1), told(name, 8, 2)]);
    }
}

/// Everyone hears everyone, each event once: a mark at the end shows that nothing came after.
#[tokio::test]
async fn both_directions_at_once_and_no_echo() {
    const EACH: u64 = 100;
    let shop = Shop::open("raw").await;
    // One more than there are: an echo would take the place of the mark.
    let subscribers = shop.subscribers(2 * EACH as usize + 1).await;
    let count = EACH.to_string();
    let from_script = shop.script("publisher.py", &["--order", "1000", "--count", &count]);
    let from_grpc = shop.publish(&["--json", "--order", "5000", "--count", &count]);
    assert_eq!(from_script.end().await.ok().len() as u64, EACH);
    assert_eq!(from_grpc.end().await.ok().len() as u64, EACH);
    shop.script("publisher.py", &["--text", "the end"]).end().await.ok();

    let numbers = || (1000..1000 + EACH).chain(5000..5000 + EACH);
    for (name, service) in subscribers.services {
        let mut lines = service.end().await.ok();
        let last = lines.pop().unwrap();
        assert!(last.contains("no order"), "an event came after the end: {last}");
        let in_order: Vec<_> = lines.iter().filter(|line| !line.contains("raw")).collect();
        let expected: Vec<_> = (1..=EACH).map(|n| told(name, 4999 + n, n)).collect();
        assert!(in_order.into_iter().eq(&expected), "{lines:?}");
        let sequence = |number| if number < 5000 { 0 } else { number - 4999 };
        let expected: Lines = numbers().map(|n| told(name, n, sequence(n))).collect();
        assert_eq!(lines.len(), expected.len());
        assert_eq!(lines.into_iter().collect::<Lines>(), expected);
    }
    for (_, script) in subscribers.scripts {
        let mut lines: Vec<_> = script.end().await.ok().iter().map(|line| heard(line).1).collect();
        assert_eq!(lines.pop(), Some("the end".into()), "an event came after the end");
        let expected: Lines = numbers().map(|number| order(number).to_string()).collect();
        assert_eq!(lines.len(), expected.len());
        assert_eq!(lines.iter().map(Value::to_string).collect::<Lines>(), expected);
    }
}

/// Redis has the order, and the broker never learns of it: the order service publishes it again, at
/// another broker and with the same id. Whoever reads along sees both, and can tell.
#[tokio::test]
async fn an_order_whose_outcome_is_unknown_is_there_twice_with_one_id() {
    const ORDERS: u64 = 300;
    let shop = Shop::open("cloudevents-json").await;
    let path = FaultProxy::start(shop.redis.port()).await;
    let deaf = shop.another(&path.url()).await;
    let subscribers = shop.subscribers(ORDERS as usize + 1).await;
    let count = ORDERS.to_string();
    let orders =
        shop.service_at(&[&deaf, &shop.broker], "python", &["--order", "1", "--count", &count]);
    orders.prints(20).await;
    path.set(Which::Cmd, Direction::ToBroker, Mode::BlackHole);
    let published = orders.end().await;
    assert_eq!(published.err.matches("stored or not: OUTCOME_UNKNOWN").count(), 1, "{published:?}");

    let mut stored = Vec::new();
    for (name, script) in subscribers.scripts {
        let events: Vec<_> = script.end().await.ok().iter().map(|line| heard(line)).collect();
        assert!(events.iter().all(|(service, _)| service == name));
        stored = events.into_iter().map(|(_, event)| event).collect();
    }
    let numbers: Vec<u64> = stored
        .iter()
        .map(|event| event["partitionkey"].as_str().unwrap().parse().unwrap())
        .collect();
    let again = (1..stored.len()).find(|at| numbers[*at] == numbers[at - 1]).expect("one is twice");
    assert_eq!(stored[again]["id"], stored[again - 1]["id"]);
    let mut once = numbers.clone();
    once.remove(again);
    assert!(once.into_iter().eq(1..=ORDERS), "{numbers:?}");
    // The receipt is of the second time.
    let sequence = |number: u64| number + u64::from(number >= numbers[again]);
    let receipt = |number: u64| {
        json!({"order_id": number.to_string(), "sequence": sequence(number)}).to_string()
    };
    assert_eq!(published.ok(), (1..=ORDERS).map(receipt).collect::<Vec<_>>());
    for (name, service) in subscribers.services {
        let expected: Vec<_> = numbers.iter().zip(1..).map(|(n, at)| told(name, *n, at)).collect();
        assert_eq!(service.end().await.ok(), expected);
    }
}

/// A broker that stands still keeps its connections: nothing but its silence tells.
#[tokio::test]
async fn every_service_leaves_a_broker_that_falls_silent() {
    let shop = Shop::open("listen").await;
    let silent = shop.another(&shop.redis.url()).await;
    let brokers = [&silent, &shop.broker];
    let services = SERVICES
        .map(|(name, language)| (name, shop.service_at(&brokers, language, &["--count", "2"])));
    for (_, service) in &services {
        service.says("listening on order_events").await;
    }
    shop.publish(&["--order", "7"]).end().await.ok();
    for (_, service) in &services {
        service.prints(1).await;
    }
    silent.process().signal("-STOP");
    shop.publish(&["--order", "8"]).end().await.ok();
    for (name, service) in services {
        let has_both = || async { service.lines(Stream::Out).len() == 2 };
        assert!(holds_within(SILENCE_MAX, has_both).await, "{}", service.output());
        assert_eq!(service.end().await.ok(), [told(name, 7, 1), told(name, 8, 2)]);
    }
}
