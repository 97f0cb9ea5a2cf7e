//! The story of `examples/orders`: services over gRPC and plain redis-py scripts, on one Redis.

use std::{collections::BTreeSet, path::Path, process::Command};

use serde_json::{Value, json};

use crate::support::{
    broker::Broker,
    process::{Process, example, python},
    redis::{Persistence, RedisServer},
};

/// One Redis, and a broker on it with a bridge.
struct Shop {
    redis: RedisServer,
    broker: Broker,
}

/// What a service prints of each order.
type Lines = BTreeSet<String>;

impl Shop {
    async fn open(bridge: &str) -> Shop {
        let redis = RedisServer::start(Persistence::None).await;
        let config = redis.dir().join("tidings.toml");
        let rule = format!("[[topics]]\npattern = \"order_events\"\nbridge = \"{bridge}\"\n");
        std::fs::write(&config, rule).unwrap();
        let arguments = ["--redis", &redis.url(), "--config", config.to_str().unwrap()];
        let broker = Broker::program(&arguments).await;
        Shop { redis, broker }
    }

    /// A service over gRPC.
    fn service(&self, name: &str, arguments: &[&str]) -> Process {
        let mut command = Command::new(example(name));
        command.args(["--address", &self.broker.address().to_string()]).args(arguments);
        Process::start(command)
    }

    /// A script with redis-py.
    fn script(&self, name: &str, arguments: &[&str]) -> Process {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/orders/redis_py");
        let mut command = Command::new(python());
        command.env("PYTHONDONTWRITEBYTECODE", "1").arg(scripts.join(name));
        command.args(["--redis", &self.redis.url()]).args(arguments);
        Process::start(command)
    }

    /// Both subscribers over gRPC and both with redis-py, when all of them listen.
    async fn subscribers(&self, count: usize) -> [Process; 4] {
        let count = ["--count", &count.to_string()];
        let subscribers = [
            self.service("inventory_service", &count),
            self.service("notification_service", &count),
            self.script("inventory.py", &count),
            self.script("notification.py", &count),
        ];
        for subscriber in &subscribers {
            subscriber.says("listening on order_events").await;
        }
        subscribers
    }
}

/// The line that a gRPC service prints; `sequence` 0 where the order came from redis-py.
fn told(service: &str, order: u64, sequence: u64) -> String {
    let details = match service {
        "inventory" => json!({"order_id": order.to_string(), "reserved": 2}),
        _ => json!({"order_id": order.to_string(), "to": "ann@example.com"}),
    };
    let event_type = if sequence == 0 { "tidings.raw" } else { "shop.v1.OrderPlaced" };
    json!({
        "service": service,
        "topic": "order_events",
        "sequence": sequence,
        "type": event_type,
        "details": details,
    })
    .to_string()
}

fn order(number: u64) -> Value {
    json!({
        "event": "order_placed",
        "order_id": number.to_string(),
        "customer": "ann@example.com",
        "items": [{"sku": "tea-500g", "quantity": 2}],
        "total": 1980,
        "currency": "EUR",
    })
}

/// What a script printed, as (service, data).
fn heard(line: &str) -> (String, Value) {
    let mut line: Value = serde_json::from_str(line).unwrap();
    assert_eq!(line["channel"], "order_events");
    (line["service"].as_str().unwrap().to_owned(), line["data"].take())
}

#[tokio::test]
async fn what_redis_py_publishes_reaches_the_grpc_services() {
    let shop = Shop::open("listen").await;
    let [inventory, notification, ..] = shop.subscribers(3).await;
    shop.script("publisher.py", &["--order", "1001", "--count", "2"]).end().await.ok();
    shop.script("publisher.py", &["--text", "not an order"]).end().await.ok();
    for (service, name) in [(inventory, "inventory"), (notification, "notification")] {
        let lines = service.end().await.ok();
        assert_eq!(lines[..2], [told(name, 1001, 0), told(name, 1002, 0)]);
        assert!(lines[2].contains(r#""details":{"skipped":"no order"}"#), "{}", lines[2]);
        assert_eq!(lines.len(), 3);
    }
}

#[tokio::test]
async fn what_grpc_publishes_reaches_redis_py_as_plain_json() {
    let shop = Shop::open("raw").await;
    let [inventory, notification, in_script, notifying_script] = shop.subscribers(2).await;
    let published = shop.service("order_service", &["--json", "--order", "7", "--count", "2"]);
    let receipts = published.end().await.ok();
    assert_eq!(
        receipts,
        [7, 8].map(|n| { json!({"order_id": n.to_string(), "sequence": n - 6}).to_string() })
    );
    for (script, name) in [(in_script, "inventory"), (notifying_script, "notification")] {
        let lines: Vec<_> = script.end().await.ok().iter().map(|line| heard(line)).collect();
        assert_eq!(lines, [7, 8].map(|number| (name.to_owned(), order(number))));
    }
    for (service, name) in [(inventory, "inventory"), (notification, "notification")] {
        assert_eq!(service.end().await.ok(), [told(name, 7, 1), told(name, 8, 2)]);
    }
}

#[tokio::test]
async fn what_grpc_publishes_reaches_redis_py_as_cloudevents() {
    let shop = Shop::open("cloudevents-json").await;
    let [inventory, notification, in_script, notifying_script] = shop.subscribers(2).await;
    shop.service("order_service", &["--json", "--order", "7"]).end().await.ok();
    shop.service("order_service", &["--order", "8"]).end().await.ok();
    for (script, name) in [(in_script, "inventory"), (notifying_script, "notification")] {
        let lines = script.end().await.ok();
        let events: Vec<_> = lines.iter().map(|line| heard(line)).collect();
        for ((service, event), number) in events.iter().zip([7, 8]) {
            assert_eq!(service, name);
            assert_eq!(event["specversion"], "1.0", "{event}");
            assert_eq!(event["type"], "shop.v1.OrderPlaced");
            assert_eq!(event["source"], "/shop/order-service");
            assert_eq!(event["subject"], format!("order/{number}"));
            assert_eq!(event["partitionkey"], number.to_string());
        }
        assert_eq!(events[0].1["datacontenttype"], "application/json");
        assert_eq!(events[0].1["data"], order(7));
        // Protobuf is no text: it travels as base64, and no loop of redis-py ends at it.
        assert_eq!(events[1].1["datacontenttype"], "application/protobuf");
        assert!(events[1].1["data_base64"].is_string(), "{}", events[1].1);
        assert_eq!(lines.len(), 2);
    }
    for (service, name) in [(inventory, "inventory"), (notification, "notification")] {
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
    let from_grpc =
        shop.service("order_service", &["--json", "--order", "5000", "--count", &count]);
    assert_eq!(from_script.end().await.ok().len() as u64, EACH);
    assert_eq!(from_grpc.end().await.ok().len() as u64, EACH);
    shop.script("publisher.py", &["--text", "the end"]).end().await.ok();

    let [inventory, notification, in_script, notifying_script] = subscribers;
    let numbers = || (1000..1000 + EACH).chain(5000..5000 + EACH);
    for (service, name) in [(inventory, "inventory"), (notification, "notification")] {
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
    for script in [in_script, notifying_script] {
        let mut lines: Vec<_> = script.end().await.ok().iter().map(|line| heard(line).1).collect();
        assert_eq!(lines.pop(), Some("the end".into()), "an event came after the end");
        let expected: Lines = numbers().map(|number| order(number).to_string()).collect();
        assert_eq!(lines.len(), expected.len());
        assert_eq!(lines.iter().map(Value::to_string).collect::<Lines>(), expected);
    }
}
