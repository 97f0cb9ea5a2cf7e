//! The whole story of `examples/orders`, as `cargo xtask orders` plays it: services in five languages
//! and redis-py scripts, two brokers, an Envoy. What each of them got is read from what it printed,
//! not from the verdict of the command, which is compared with it.

use std::{collections::HashMap, fs, path::Path, process::Command, time::Duration};

use serde_json::{Value, json};

use crate::support::{
    alone, eventually,
    orders::{SERVICES, assert_cloud_event, heard, order, told},
    process::{PATIENCE, Process, Stream},
};

/// A story takes half a minute, and has bounds of its own.
const STORY_MAX: Duration = Duration::from_secs(300);
/// What `xtask/src/orders` publishes with redis-py before and after the order service's.
const OLD: [std::ops::Range<u64>; 2] = [1001..1004, 1004..1007];
const FIRST_ORDER: u64 = 2001;
/// In the environment of all that a story starts: so they are found where one is left running.
const MARK: &str = "STORY_OF_A_TEST";

struct Story {
    /// The mark's value.
    mark: String,
    process: Process,
}

/// What was printed, by who printed it.
struct Told {
    by: HashMap<String, Vec<String>>,
    /// All of it, in order: who printed what.
    lines: Vec<(String, String)>,
    all: String,
}

/// An event of the topic, in its place: the script that heard it is the witness.
#[derive(Debug)]
struct Stored {
    id: String,
    order: u64,
}

impl Story {
    fn begin(arguments: &[&str]) -> Story {
        let built = Path::new(env!("CARGO_BIN_EXE_tidings")).with_file_name("xtask");
        assert!(
            built.is_file(),
            "{} is not built: `cargo xtask test` builds it, and `cargo xtask clients` with all that \
             the story needs",
            built.display()
        );
        let mark = uuid::Uuid::new_v4().to_string();
        let mut command = Command::new(built);
        command.args(["orders", "--no-build"]).args(arguments).env(MARK, &mark);
        Story { mark, process: Process::start(command) }
    }

    /// Waits for its end, after which nothing of it runs or lies about.
    async fn end(mut self) -> Told {
        let status = self.process.ended(STORY_MAX).await;
        let output = self.process.output();
        assert!(status.is_some_and(|status| status.success()), "{status:?}:\n{output}");
        self.leaves_nothing().await;
        let printed = self.process.end().await.ok();
        let named = |line: &String| {
            let (name, told) = line.split_at_checked(16)?;
            Some((name.trim_end().to_owned(), told.to_owned()))
        };
        let lines: Vec<_> = printed.iter().filter_map(named).collect();
        let mut by: HashMap<String, Vec<String>> = HashMap::new();
        for (name, told) in &lines {
            by.entry(name.clone()).or_default().push(told.clone());
        }
        Told { by, lines, all: printed.join("\n") }
    }

    async fn leaves_nothing(&self) {
        let mark = format!("{MARK}={}", self.mark);
        eventually("nothing is left running", PATIENCE, || async { running(&mark) == 0 }).await;
        let folder = Path::new(env!("CARGO_BIN_EXE_tidings")).ancestors().nth(2).unwrap();
        let folder = folder.join(format!("orders-{}", self.process.pid()));
        eventually("its folder is cleared away", PATIENCE, || async { !folder.exists() }).await;
    }
}

/// How many processes have that in their environment. Those that have ended have none.
fn running(mark: &str) -> usize {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let environments =
        processes.filter_map(|process| fs::read(process.path().join("environ")).ok());
    let marked = |environment: &Vec<u8>| {
        environment.split(|byte| *byte == 0).any(|setting| setting == mark.as_bytes())
    };
    environments.filter(marked).count()
}

impl Told {
    fn lines(&self, name: &str) -> &[String] {
        self.by.get(name).unwrap_or_else(|| panic!("{name} said nothing:\n{}", self.all))
    }

    /// What it printed of events: the rest is what it said on standard error.
    fn events(&self, name: &str) -> Vec<&str> {
        self.lines(name).iter().map(String::as_str).filter(|line| line.starts_with('{')).collect()
    }

    fn count(&self, name: &str, part: &str) -> usize {
        self.lines(name).iter().filter(|line| line.contains(part)).count()
    }

    /// How many orders were acknowledged while the service had lost one broker, and nothing came yet
    /// from another.
    fn acknowledged_meanwhile(&self, service: &str) -> usize {
        let (mut away, mut orders) = (false, 0);
        for (name, told) in &self.lines {
            if name == service {
                away = !told.starts_with('{') && (away || told.contains("trying again"));
            } else if away && name == "order" && told.starts_with('{') {
                orders += 1;
            }
        }
        orders
    }

    /// Everything that the topic holds, as both scripts heard it: between what redis-py published
    /// before and after, which they heard as it was published.
    fn stored(&self) -> Vec<Stored> {
        let heard = |script| -> Vec<Value> {
            self.events(script).into_iter().map(|line| heard(line).1).collect()
        };
        let (events, others) = (heard("inventory.py"), heard("notification.py"));
        assert_eq!(events, others, "the scripts heard the same");
        let [before, after] = OLD.map(|orders| orders.map(order).collect::<Vec<_>>());
        assert_eq!(events[..before.len()], before);
        assert_eq!(events[events.len() - after.len()..], after);
        let typed = &events[before.len()..events.len() - after.len()];
        let stored = |event: &Value| {
            let number =
                event["subject"].as_str().and_then(|subject| subject.strip_prefix("order/"));
            let order = number.and_then(|number| number.parse().ok()).expect("an order");
            assert_cloud_event(event, order);
            // Protobuf is no text: it travels as base64.
            assert_eq!(event["datacontenttype"], "application/protobuf");
            assert!(event["data_base64"].is_string(), "{event}");
            Stored { id: event["id"].as_str().expect("an id").into(), order }
        };
        typed.iter().map(stored).collect()
    }

    /// Each service printed each event of redis-py and of the topic once, in order, and no other; none
    /// was told of a gap.
    fn assert_everyone_got(&self, stored: &[Stored]) {
        for (service, _) in SERVICES {
            let [before, after] = OLD.map(|orders| orders.map(|number| told(service, number, 0)));
            let typed = stored.iter().zip(1..).map(|(event, at)| told(service, event.order, at));
            let expected: Vec<_> = before.chain(typed).chain(after).collect();
            assert_eq!(self.events(service), expected, "{service}");
            assert_eq!(self.count(service, "missed"), 0, "{:?}", self.lines(service));
        }
    }

    /// Nothing was killed, and each order is on the topic once, at the place its receipt tells.
    fn assert_plain(&self, orders: u64) {
        let stored = self.stored();
        let numbers = FIRST_ORDER..FIRST_ORDER + orders;
        assert!(stored.iter().map(|event| event.order).eq(numbers.clone()), "{stored:?}");
        self.assert_everyone_got(&stored);
        let receipts: Vec<_> = numbers.zip(1..).map(receipt).collect();
        assert_eq!(self.events("order"), receipts);
    }

    /// Each broker was killed once. Every order was acknowledged once, and is where its receipt tells;
    /// it is there twice, with one id, only where a first outcome was unknown.
    fn assert_survived(&self, orders: u64) {
        let stored = self.stored();
        self.assert_everyone_got(&stored);
        let numbers = FIRST_ORDER..FIRST_ORDER + orders;
        let receipts = self.events("order");
        let acknowledged = receipts.iter().zip(numbers.clone()).map(|(line, number)| {
            let line: Value = serde_json::from_str(line).unwrap();
            let sequence = line["sequence"].as_u64().expect("a sequence");
            let event = &stored[usize::try_from(sequence).unwrap() - 1];
            assert_eq!(
                (line["order_id"].as_str(), event.order),
                (Some(&*number.to_string()), number)
            );
            sequence
        });
        assert!(acknowledged.is_sorted_by(|one, next| one < next));
        assert_eq!(receipts.len() as u64, orders);

        let mut ids: HashMap<u64, &str> = HashMap::new();
        let mut first_times = Vec::new();
        for event in &stored {
            let id = ids.entry(event.order).or_insert_with(|| {
                first_times.push(event.order);
                &event.id
            });
            assert_eq!(*id, event.id, "order {} twice, with one id", event.order);
        }
        assert!(first_times.into_iter().eq(numbers), "{stored:?}");
        let twice = stored.len() as u64 - orders;
        let unknown = self.count("order", "stored or not") as u64;
        assert!(twice <= unknown, "{twice} came twice, of {unknown} unknown outcomes");
        for broker in ["broker-1", "broker-2"] {
            assert_eq!(self.count(broker, "kill -9"), 1, "{broker}");
        }
        // Something was there to be resumed.
        let meanwhile = SERVICES.map(|(service, _)| self.acknowledged_meanwhile(service));
        assert!(meanwhile.iter().sum::<usize>() > 0, "{}", self.all);
        // Every stream led to a broker that was killed.
        for (service, _) in SERVICES {
            assert!(self.count(service, "trying again") >= 1, "{service}:\n{}", self.all);
        }
    }
}

fn receipt((number, sequence): (u64, u64)) -> String {
    json!({"order_id": number.to_string(), "sequence": sequence}).to_string()
}

#[tokio::test]
async fn everyone_gets_every_order_directly_from_a_broker() {
    let _alone = alone().await;
    let told = Story::begin(&[]).end().await;
    told.assert_plain(10);
    // The page shows the table of this very run.
    let page = include_str!("../../examples/orders/README.md");
    let shown = page.lines().skip_while(|line| !line.starts_with("who got what"));
    let table: Vec<_> = shown.take_while(|line| !line.starts_with("```")).collect();
    assert!(table.len() == 8 && told.all.contains(&table.join("\n")), "{table:#?}\n{}", told.all);
}

#[tokio::test]
async fn everyone_gets_every_order_through_envoy() {
    let _alone = alone().await;
    Story::begin(&["--through-envoy", "--orders", "15"]).end().await.assert_plain(15);
}

#[tokio::test]
async fn everyone_gets_every_order_while_brokers_are_killed() {
    let _alone = alone().await;
    let told = Story::begin(&["--kill-brokers"]).end().await;
    told.assert_survived(60);
    // It published at the broker that was killed, both times.
    assert!(told.count("order", "publishing again") >= 2, "{}", told.all);
}

#[tokio::test]
async fn everyone_gets_every_order_through_envoy_while_brokers_are_killed() {
    let _alone = alone().await;
    Story::begin(&["--kill-brokers", "--through-envoy"]).end().await.assert_survived(60);
}

#[tokio::test]
async fn ctrl_c_leaves_nothing_running() {
    let _alone = alone().await;
    // More orders than it will have time for.
    let mut story = Story::begin(&["--orders", "100000"]);
    story.process.says(r#"{"order_id":"2001""#).await;
    let mark = format!("{MARK}={}", story.mark);
    // Redis, brokers, Envoy, four services, two scripts, the order service: and itself.
    assert!(running(&mark) > 10);
    story.process.signal("-INT");
    assert!(story.process.ended(PATIENCE).await.is_some(), "{}", story.process.output());
    story.leaves_nothing().await;
    assert!(story.process.lines(Stream::Out).iter().all(|line| !line.contains("who got what")));
}
