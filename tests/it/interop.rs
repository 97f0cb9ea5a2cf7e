//! The clients in every language against brokers: each runs its interop driver (`clients/README.md`).
//!
//! `docs/interop.md` has what was found. The everyday run compares it; `cargo xtask interop` writes it.

use std::{
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::available_parallelism,
};

use futures_util::{StreamExt as _, stream};
use serde::Deserialize;
use tidings::proto::PublishRequest;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};

use crate::support::{
    alone, beside_others,
    broker::Broker,
    busy,
    client::{connect, event},
    mesh::{Kind, Proxy},
    process::{PATIENCE, Process, client_program, example},
    redis::{Persistence, RedisServer},
};

const LANGUAGES: [(&str, &str); 5] = [
    ("rust", "Rust"),
    ("python", "Python"),
    ("typescript", "TypeScript"),
    ("go", "Go"),
    ("java", "Java"),
];

/// The checks of a driver: its name, its title, and what is to be seen.
const CHECKS: [(&str, &str, &str); 6] = [
    ("publish", "publish", "text, data, json, proto"),
    ("subscribe", "subscribe", "100 events"),
    ("error_details", "error details", "INVALID_ARGUMENT, TOPIC_NAME_INVALID, topic"),
    ("deadline", "deadline", "DEADLINE_EXCEEDED"),
    ("cancel", "cancel within a second", "CANCELLED"),
    ("gzip", "gzip", "102400 bytes"),
];

/// Far more than what that many bytes of repeated text are compressed, and far less than they are.
const COMPRESSED_BYTES_MAX: usize = 50_000;

/// Drivers that run at a time: starting one is work, and some of what they do is timed.
const DRIVERS_AT_A_TIME: usize = 2;

#[derive(Debug, Deserialize)]
struct Checked {
    check: String,
    ok: bool,
    detail: String,
}

fn driver(language: &str) -> Command {
    match language {
        // As optimised as this test.
        "rust" => example("interop"),
        _ => client_program(language, "driver"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_language_does_what_the_table_says_directly_and_through_each_proxy() {
    let _alone = alone().await;
    let redis = RedisServer::start(Persistence::None).await;
    let start = || async { Broker::program(&["--redis", &redis.url()]).await };
    let brokers = [start().await, start().await];
    let addresses = [brokers[0].address(), brokers[1].address()];
    let proxy = |kind| Proxy::start(kind, addresses, None);
    let (envoy, nginx, haproxy) =
        (proxy(Kind::Envoy).await, proxy(Kind::Nginx).await, proxy(Kind::Haproxy).await);
    let paths = [
        ("direct", addresses[0]),
        ("Envoy", envoy.address),
        ("nginx", nginx.address),
        ("HAProxy", haproxy.address),
    ];
    let runs = LANGUAGES.into_iter().flat_map(|language| paths.map(|path| (language, path)));
    let rows = stream::iter(runs).map(|((language, name), (path, address))| async move {
        let mut driver = driver(language);
        driver.args(["checks", "--target", &address.to_string()]);
        let lines = Process::run(driver, "").await.ok();
        let checked: Vec<Checked> =
            lines.iter().map(|line| serde_json::from_str(line).expect("a result")).collect();
        assert!(
            checked.iter().map(|result| result.check.as_str()).eq(CHECKS.map(|(name, ..)| name)),
            "{language}: {lines:#?}"
        );
        let cells: Vec<_> = checked.iter().zip(CHECKS).map(cell).collect();
        format!("| {name} | {path} | {} | later |", cells.join(" | "))
    });
    let rows: Vec<String> = rows.buffered(DRIVERS_AT_A_TIME).collect().await;
    let titles = CHECKS.map(|(_, title, _)| title).join(" | ");
    let head = format!("| language | path | {titles} | TLS |\n|{}", "---|".repeat(9));
    Page::open().holds("checks", &format!("{head}\n{}", rows.join("\n")));
}

fn cell((result, (_, _, expected)): (&Checked, (&str, &str, &str))) -> String {
    match result {
        Checked { ok: true, detail, .. } if detail == expected => "yes".into(),
        Checked { ok: true, detail, .. } => format!("yes: {detail}"),
        Checked { detail, .. } => format!("no: {}", detail.replace(['|', '\n'], " ")),
    }
}

/// Counts what passes to a broker.
struct Counter {
    address: SocketAddr,
    bytes: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Counter {
    async fn start(broker: SocketAddr) -> Counter {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let bytes = Arc::new(AtomicUsize::new(0));
        let counted = bytes.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let broker = TcpStream::connect(broker).await.expect("connected");
                let (mut from_client, mut to_client) = client.into_split();
                let (mut from_broker, mut to_broker) = broker.into_split();
                tokio::spawn(async move { copy(&mut from_broker, &mut to_client).await });
                let counted = counted.clone();
                tokio::spawn(async move {
                    let mut buffer = [0; 16 << 10];
                    while let Ok(read @ 1..) = from_client.read(&mut buffer).await {
                        counted.fetch_add(read, Ordering::Relaxed);
                        to_broker.write_all(&buffer[..read]).await.expect("passed on");
                    }
                });
            }
        });
        Counter { address, bytes, task }
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tokio::test]
async fn what_every_language_compresses_is_small_on_the_wire() {
    let _turn = beside_others().await;
    let broker = Broker::program(&[]).await;
    for (language, _) in LANGUAGES {
        let counter = Counter::start(broker.address()).await;
        let mut driver = driver(language);
        driver.args(["checks", "--only", "gzip", "--target", &counter.address.to_string()]);
        let lines = Process::run(driver, "").await.ok();
        let checked: Checked = serde_json::from_str(&lines[0]).expect("a result");
        assert!(checked.ok, "{language}: {lines:?}");
        let bytes = counter.bytes.load(Ordering::Relaxed);
        assert!((1..COMPRESSED_BYTES_MAX).contains(&bytes), "{language} sent {bytes} bytes");
    }
}

/// What each receiver is sent.
const EVENTS: u64 = 100_000;
const EVENT_BYTES: usize = 200;
/// A topic that keeps them all: a receiver that is slower than the publisher reads on from there,
/// and nothing has to wait for it.
const KEEPS_ALL: &str = "[[topics]]
pattern = \">\"
max_events = 100000
max_bytes = \"64MiB\"
";

/// How they are published.
#[derive(Debug, Clone, Copy)]
struct Way {
    events_a_request: u64,
    requests_at_a_time: usize,
}

/// One request after the other: a frame is then what a request was.
const PACED: [Way; 2] = [
    Way { events_a_request: 1, requests_at_a_time: 1 },
    Way { events_a_request: 64, requests_at_a_time: 1 },
];
/// What is queued goes out together.
const HURRIED: [Way; 2] = [
    Way { events_a_request: 1, requests_at_a_time: 64 },
    Way { events_a_request: 64, requests_at_a_time: 16 },
];

/// What a driver says of what it received.
#[derive(Debug, Clone, Deserialize)]
struct Received {
    events: u64,
    frames: u64,
    in_order: bool,
    bytes: usize,
    seconds: f64,
    cpu_seconds: f64,
}

/// A broker, on a Redis, that keeps all that is sent.
struct Keeper {
    broker: Broker,
    _redis: RedisServer,
}

impl Keeper {
    async fn start() -> Keeper {
        let redis = RedisServer::start(Persistence::None).await;
        let config = redis.dir().join("tidings.toml");
        fs::write(&config, KEEPS_ALL).expect("written");
        let config = config.to_str().expect("a path");
        let broker = Broker::program(&["--redis", &redis.url(), "--config", config]).await;
        Keeper { broker, _redis: redis }
    }

    /// Sends all events to a driver of each language. What they received is whole and in order.
    async fn send(&self, way: Way, languages: &[&str]) -> Vec<Received> {
        let topic = format!("numbers.{}", uuid::Uuid::new_v4());
        let receive = |language: &&str| {
            let mut driver = driver(language);
            let address = self.broker.address().to_string();
            driver.args(["receive", "--target", &address, "--topic", &topic]);
            driver.args(["--events", &EVENTS.to_string()]);
            Process::start(driver)
        };
        let receivers: Vec<Process> = languages.iter().map(receive).collect();
        for receiver in &receivers {
            receiver.says("opened").await;
        }
        self.publish(way, &topic).await;
        let mut all = Vec::new();
        for (receiver, language) in receivers.into_iter().zip(languages) {
            let lines = receiver.end().await.ok();
            let received: Received = serde_json::from_str(&lines[1]).expect("a result");
            let whole = (received.events, received.bytes, received.in_order);
            let sent = (EVENTS, EVENTS as usize * EVENT_BYTES, true);
            assert_eq!(whole, sent, "{language}, {way:?}: {lines:?}");
            all.push(received);
        }
        all
    }

    async fn publish(&self, way: Way, topic: &str) {
        let client = connect(self.broker.address());
        let requests = (0..EVENTS.div_ceil(way.events_a_request)).map(|number| {
            let first = number * way.events_a_request;
            let ids = first..EVENTS.min(first + way.events_a_request);
            let events = ids.map(|id| event(id, vec![b'.'; EVENT_BYTES])).collect();
            let request = PublishRequest { topic: topic.into(), events, ..Default::default() };
            let mut client = client.clone();
            async move {
                let answer = timeout(PATIENCE, client.publish(request)).await;
                answer.expect("in time").expect("stored");
            }
        });
        let answers = stream::iter(requests).buffer_unordered(way.requests_at_a_time);
        answers.for_each(|()| std::future::ready(())).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_language_receives_a_hundred_thousand_events_whole_and_in_order() {
    let _alone = alone().await;
    let keeper = Keeper::start().await;
    let Some(runs @ 1..) = runs_to_write() else {
        for way in PACED {
            keeper.send(way, &LANGUAGES.map(|(language, _)| language)).await;
        }
        return;
    };
    let mut rows = Vec::new();
    for way in PACED.into_iter().chain(HURRIED) {
        for (language, name) in LANGUAGES {
            rows.push(measured(&keeper, way, language, name, runs).await);
            println!("{}", rows.last().expect("just measured"));
        }
    }
    let cores = available_parallelism().expect("a number of cores");
    let head = format!(
        "Medians of {runs} runs on {cores} cores, which Redis, the broker, the publisher and the \
         receiver share.\n\n\
         | events a request | requests at a time | language | events a frame | events/s | CPU of the \
         client, µs/event | CPU of the broker, µs/event |\n|{}",
        "---|".repeat(7)
    );
    Page::open().holds("measured", &format!("{head}\n{}", rows.join("\n")));
}

/// A row of the table.
async fn measured(keeper: &Keeper, way: Way, language: &str, name: &str, runs: usize) -> String {
    let mut samples: [Vec<f64>; 4] = Default::default();
    for _ in 0..runs {
        let before = busy(keeper.broker.pid());
        let received = keeper.send(way, &[language]).await.remove(0);
        let broker = busy(keeper.broker.pid()) - before;
        let events = EVENTS as f64;
        let sample = [
            events / received.frames as f64,
            events / received.seconds,
            received.cpu_seconds * 1e6 / events,
            broker.as_secs_f64() * 1e6 / events,
        ];
        for (all, value) in samples.iter_mut().zip(sample) {
            all.push(value);
        }
    }
    let [frame, speed, client, broker] = samples.map(|mut all| {
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    });
    let Way { events_a_request, requests_at_a_time } = way;
    let speed = (speed / 100.0).round() * 100.0;
    format!(
        "| {events_a_request} | {requests_at_a_time} | {name} | {frame:.0} | {speed} | {client:.1} | \
         {broker:.1} |"
    )
}

/// `docs/interop.md`, with the blocks that the tests write or compare.
struct Page {
    path: PathBuf,
    text: String,
}

impl Page {
    fn open() -> Page {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/interop.md");
        let text = fs::read_to_string(&path).expect("the page");
        Page { path, text }
    }

    /// That the block is what was `found`; where `cargo xtask interop` runs this, it becomes that.
    fn holds(mut self, block: &str, found: &str) {
        let (begin, end) = (format!("<!-- {block} -->\n"), format!("\n<!-- end of {block} -->"));
        let from = self.text.find(&begin).expect("the block begins") + begin.len();
        let to = from + self.text[from..].find(&end).expect("the block ends");
        let told = &self.text[from..to];
        if runs_to_write().is_some() {
            self.text.replace_range(from..to, found);
            fs::write(&self.path, self.text).expect("written");
        } else {
            assert!(
                told == found,
                "docs/interop.md says\n{told}\nbut this was found:\n{found}\nIf that is right, \
                 `cargo xtask interop --runs 0` writes it there"
            );
        }
    }
}

/// `cargo xtask interop` wants the page written, after so many runs of each measurement.
fn runs_to_write() -> Option<usize> {
    env::var("TIDINGS_INTEROP_RUNS").ok().map(|runs| runs.parse().expect("a number of runs"))
}
