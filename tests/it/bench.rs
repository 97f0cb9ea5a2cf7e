//! `tidings bench` against real brokers, and against one that loses events: are its figures right?

use std::pin::Pin;

use futures_util::{Stream, StreamExt as _};
use serde_json::{Value, json};
use tidings::{
    backend::Durability,
    broker::{Published, Receipt},
    grpc::{
        replies::{PublishResponse, PublishStreamResponse},
        requests::{PublishRequest, PublishStreamRequest},
        server::broker_server::{Broker as Service, BrokerServer},
    },
    position::Position,
    proto::{self, subscribe_response::Control},
};
use tokio::{
    net::TcpListener,
    sync::{Mutex, broadcast},
};
use tokio_stream::wrappers::{BroadcastStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

use crate::support::{
    broker::Broker,
    process::{Ended, Process, tidings},
    redis::{Persistence, RedisServer, free_port},
};

/// The result of a run that ended well.
fn result(ended: Ended) -> Value {
    let err = ended.err.clone();
    let out = ended.ok();
    assert_eq!(out.len(), 1, "one line: {out:?} {err}");
    serde_json::from_str(&out[0]).unwrap_or_else(|error| panic!("{error}: {}", out[0]))
}

fn command(broker: &Broker, arguments: &[&str]) -> std::process::Command {
    let address = broker.address().to_string();
    let more = ["--format", "json", "--address", &address];
    tidings(&[&["bench"], arguments, &more].concat())
}

async fn bench(broker: &Broker, arguments: &[&str]) -> Ended {
    Process::run(command(broker, arguments), "").await
}

fn nothing_lost() -> Value {
    json!({
        "unexplained": 0, "unannounced_epochs": 0, "repeated": 0, "gaps": 0, "announced": 0,
        "gaps_of_unknown_size": 0, "waited_for_all": true,
    })
}

fn are_ordered(quantiles: &Value) {
    let quantile = |name: &str| quantiles[name].as_u64().unwrap_or_else(|| panic!("{quantiles}"));
    let all = ["p50", "p90", "p99", "p99.9", "max"].map(quantile);
    assert!(all.is_sorted(), "{quantiles}");
}

#[tokio::test]
async fn every_kind_of_run_counts_what_was_published_and_delivered() {
    let redis = RedisServer::start(Persistence::None).await;
    let url = redis.url();
    for arguments in [&[][..], &["--redis", &url]] {
        let broker = Broker::program(arguments).await;

        let run = ["pub", "--events", "1003", "--batch", "10", "--publishers", "3"];
        let told = result(bench(&broker, &run).await);
        let published = &told["published"];
        assert_eq!((&published["events"], &published["requests"]), (&json!(1003), &json!(101)));
        assert_eq!((&told["delivered"], &published["failed"]), (&Value::Null, &json!({})));
        are_ordered(&published["queueing_us"]);
        assert!(published["latency_us"].is_null(), "saturated: {published}");
        assert!(told["topic"].as_str().unwrap().starts_with("bench."), "{told}");

        let run = ["fan-out", "orders", "--events", "500", "--subscribers", "7"];
        let run = [&run[..], &["--connections", "2", "--size", "1KiB", "--threads", "2"]].concat();
        let told = result(bench(&broker, &run).await);
        assert_eq!(told["topic"], "orders");
        assert_eq!(told["connections"], json!({"publishers": 1, "subscribers": 2}));
        assert_eq!(
            (&told["published"]["events"], &told["delivered"]["events"]),
            (&json!(500), &json!(3500))
        );
        assert_eq!(told["losses"], nothing_lost());
        are_ordered(&told["delivered"]["queueing_us"]);

        let run = ["fan-out", "orders", "--events", "1001", "--batch", "4", "--stream"];
        let run = [&run[..], &["--subscribers", "2", "--publishers", "2"]].concat();
        let told = result(bench(&broker, &run).await);
        assert_eq!(told["published"]["requests"], 251, "{told}");
        assert_eq!(told["published"]["events"], 1001, "{told}");
        assert_eq!(
            (&told["delivered"]["events"], &told["losses"]),
            (&json!(2002), &nothing_lost())
        );

        let run = ["end-to-end", "orders", "--events", "200", "--rate", "2000"];
        let told = result(bench(&broker, &run).await);
        assert_eq!(
            (&told["published"]["events"], &told["delivered"]["events"]),
            (&json!(200), &json!(200))
        );
        assert_eq!(told["losses"], nothing_lost());
        are_ordered(&told["published"]["latency_us"]);
        are_ordered(&told["published"]["lateness_us"]);
        are_ordered(&told["delivered"]["latency_us"]);
        assert!(told["delivered"]["queueing_us"].is_null(), "not saturated: {told}");

        let sub = ["sub", "orders", "--events", "300", "--subscribers", "2"];
        let sub = Process::start(command(&broker, &sub));
        sub.says("2 subscribers subscribed to orders").await;
        result(bench(&broker, &["pub", "orders", "--events", "300"]).await);
        let told = result(sub.end().await);
        assert_eq!((&told["delivered"]["events"], &told["published"]), (&json!(600), &Value::Null));
        assert_eq!(told["losses"], nothing_lost());
    }
}

#[tokio::test]
async fn a_run_ends_after_its_time_or_when_it_is_interrupted_with_what_was_measured() {
    let broker = Broker::program(&[]).await;
    let told = result(bench(&broker, &["fan-out", "--seconds", "1", "--batch", "5"]).await);
    let (published, delivered) = (&told["published"]["events"], &told["delivered"]["events"]);
    assert!(published.as_u64().unwrap() > 0);
    assert_eq!(delivered.as_u64(), published.as_u64().map(|events| 10 * events));
    assert_eq!((&told["losses"], &told["interrupted"]), (&nothing_lost(), &json!(false)));

    let listening =
        Process::start(tidings(&["sub", "busy", "--address", &broker.address().to_string()]));
    listening.says("subscribed to busy").await;
    let run = ["end-to-end", "busy", "--seconds", "3600", "--rate", "100"];
    let process = Process::start(command(&broker, &run));
    listening.prints(5).await;
    process.signal("-INT");
    let told = result(process.end().await);
    assert_eq!(told["interrupted"], true);
    assert!(told["published"]["events"].as_u64().unwrap() >= 5, "{told}");
    assert_eq!(told["published"]["events"], told["delivered"]["events"]);
    assert_eq!(told["losses"], nothing_lost());
}

#[tokio::test]
async fn people_read_which_topic_what_and_that_queueing_is_no_latency() {
    let broker = Broker::program(&[]).await;
    let address = broker.address().to_string();
    let run = |arguments: &[&str]| {
        let command = tidings(&[&["bench"], arguments, &["--address", &address]].concat());
        async move { Process::run(command, "").await }
    };
    let ended = run(&["fan-out", "orders", "--events", "100"]).await;
    // No progress bar where there is no terminal.
    assert_eq!(ended.err, "tidings: fan-out on orders");
    let text = ended.ok().join("\n");
    for part in [
        "fan-out on orders at 127.0.0.1:",
        "1 publisher on 1 connection, 128 bytes each, batches of 1, as fast as 64 in flight allow",
        "10 subscribers on 10 connections",
        "published  100 events in",
        "delivered  1,000 events in",
        "queueing p50",
        "lost       0 unexplained; 0 announced in 0 gaps; 0 came again; 0 reconnects",
        "no latency: see --rate",
    ] {
        assert!(text.contains(part), "no {part:?} in:\n{text}");
    }
    let text = run(&["end-to-end", "--events", "100"]).await.ok().join("\n");
    assert!(text.contains("1,000 a second") && text.contains("latency  p50"), "{text}");
    assert!(!text.contains("queueing"), "{text}");
}

#[tokio::test]
async fn what_cannot_be_run_is_said_before_anything_is_measured() {
    let broker = Broker::program(&[]).await;
    let here = broker.address().to_string();
    let nobody = format!("127.0.0.1:{}", free_port());
    for (arguments, code, said) in [
        (&["bench"][..], 64, "fan-out"),
        (&["bench", "sub"], 64, "<TOPIC>"),
        (&["bench", "pub", "--size", "8"], 64, "--size 8: give 16 to 1048320 bytes"),
        (&["bench", "pub", "--rate", "fast"], 64, "or max"),
        (&["bench", "pub", "--in-flight", "2000"], 64, "make 2000 calls at a time on 1 connection"),
        (&["bench", "fan-out", "--subscribers", "0"], 64, "1..=20000"),
        (&["bench", "pub", "orders", "--address", &nobody], 69, "no server answers"),
        (&["bench", "fan-out", "--address", &nobody], 69, "no server answers"),
        (&["bench", "pub", "_tidings.x", "--address", &here], 1, "TOPIC_NAME_INVALID"),
        (&["bench", "fan-out", "_tidings.x", "--address", &here], 1, "PATTERN_INVALID"),
    ] {
        let ended = Process::run(tidings(arguments), "").await;
        assert_eq!(ended.code, Some(code), "{arguments:?}: {ended:?}");
        assert!(ended.err.contains(said), "{arguments:?}: no {said:?} in {}", ended.err);
        assert!(ended.out.is_empty(), "{arguments:?}: {ended:?}");
    }
}

#[tokio::test]
async fn a_loss_that_no_gap_explains_is_counted_and_fails_the_run() {
    for (lossy, said) in [
        // One that is missing between two that came, and the last one, which nothing follows.
        (
            Lossy { dropped: |sequence| sequence == 40, ..Lossy::default() },
            json!({"unexplained": 3}),
        ),
        (
            Lossy { dropped: |sequence| sequence >= 99, ..Lossy::default() },
            json!({"unexplained": 6}),
        ),
        (
            Lossy { dropped: |sequence| sequence == 40, announces: true, ..Lossy::default() },
            json!({"unexplained": 0, "gaps": 3, "announced": 3}),
        ),
        (Lossy { repeated: |sequence| sequence == 7, ..Lossy::default() }, json!({"repeated": 3})),
    ] {
        let broker = lossy.start().await;
        let run = ["fan-out", "--events", "100", "--subscribers", "3", "--in-flight", "1"];
        let ended = bench(&broker, &run).await;
        let told: Value = serde_json::from_str(&ended.out[0]).expect("JSON");
        for (name, count) in said.as_object().unwrap() {
            assert_eq!(&told["losses"][name], count, "{name}: {told}");
        }
        let announced = told["losses"]["gaps"] != 0;
        assert_eq!(ended.code, Some(if announced { 0 } else { 1 }), "{ended:?}");
        let is_told = ended.err.contains("lost without a gap") || ended.err.contains("came again");
        assert_eq!(is_told, !announced, "{}", ended.err);
    }
}

#[tokio::test]
async fn a_server_without_streams_of_publishes_says_so() {
    let broker = Lossy::default().start().await;
    let ended = bench(&broker, &["pub", "--stream", "--events", "10"]).await;
    assert_eq!((ended.code, ended.out.len()), (Some(1), 0), "{ended:?}");
    assert!(ended.err.contains("UNIMPLEMENTED: not here"), "{}", ended.err);
}

#[tokio::test]
async fn requests_that_fail_are_counted_by_reason_and_fail_the_run() {
    let broker = Lossy { refused: |sequence| sequence % 10 == 0, ..Lossy::default() }.start().await;
    let run = ["pub", "--events", "30", "--in-flight", "1"];
    let ended = bench(&broker, &run).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let told: Value = serde_json::from_str(&ended.out[0]).expect("JSON");
    assert_eq!(told["published"]["failed"], json!({"RESOURCE_EXHAUSTED": 3}), "{told}");
    assert_eq!(told["published"]["events"], 27, "{told}");
    assert!(ended.err.contains("3 requests failed: RESOURCE_EXHAUSTED"), "{}", ended.err);
}

/// A broker with one topic that does what it is told to do wrong.
struct Lossy {
    dropped: fn(u64) -> bool,
    announces: bool,
    repeated: fn(u64) -> bool,
    /// By the number of the request.
    refused: fn(u64) -> bool,
    sequence: Mutex<(u64, u64)>,
    frames: broadcast::Sender<proto::SubscribeResponse>,
}

const EPOCH: u64 = 7;

impl Default for Lossy {
    fn default() -> Lossy {
        let never = |_| false;
        let frames = broadcast::Sender::new(4096);
        let sequence = Mutex::new((0, 0));
        Lossy {
            dropped: never,
            announces: false,
            repeated: never,
            refused: never,
            sequence,
            frames,
        }
    }
}

impl Lossy {
    async fn start(self) -> Broker {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let server = tonic::transport::Server::builder().add_service(BrokerServer::new(self));
        let task = tokio::spawn(async move {
            server.serve_with_incoming(TcpListenerStream::new(listener)).await.expect("it serves");
        });
        Broker::task(address, task)
    }
}

fn control(control: Control) -> proto::SubscribeResponse {
    proto::SubscribeResponse { events: Vec::new(), control: Some(control) }
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Service for Lossy {
    type SubscribeStream = Answers<proto::SubscribeResponse>;
    type PublishStreamStream = Answers<PublishStreamResponse>;

    async fn publish(
        &self,
        request: Request<PublishRequest>,
    ) -> Result<Response<PublishResponse>, Status> {
        let PublishRequest { topic, mut events, .. } = request.into_inner();
        let mut numbers = self.sequence.lock().await;
        numbers.0 += 1;
        if (self.refused)(numbers.0) {
            return Err(Status::resource_exhausted("as it was told"));
        }
        numbers.1 += 1;
        let sequence = numbers.1;
        let at = |sequence| proto::Position { topic: topic.clone(), epoch: EPOCH, sequence };
        let mut event = proto::Event::from(events.pop().expect("an event"));
        event.position = Some(at(sequence));
        let frame = proto::SubscribeResponse { events: vec![event], control: None };
        let gap = proto::Gap {
            after: Some(at(sequence - 1)),
            until: Some(at(sequence)),
            missed: Some(1),
            ..proto::Gap::default()
        };
        let frames = match ((self.dropped)(sequence), (self.repeated)(sequence)) {
            (true, _) if self.announces => vec![control(Control::Gap(gap))],
            (true, _) => Vec::new(),
            (_, true) => vec![frame.clone(), frame],
            _ => vec![frame],
        };
        for frame in frames {
            // Without a subscriber nobody hears it.
            drop(self.frames.send(frame));
        }
        let position = Some(Position::new(EPOCH, sequence));
        let published = Published {
            receipts: vec![Receipt { id: String::new(), position, duplicate: false }],
            durability: Some(Durability::Live),
        };
        let topic = topic.parse().expect("the bench publishes on topics");
        Ok(Response::new(PublishResponse { topic, published }))
    }

    async fn subscribe(
        &self,
        request: Request<proto::SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let topic = request.into_inner().topics.pop().expect("a topic");
        let frames = BroadcastStream::new(self.frames.subscribe());
        let at = proto::Position { topic, epoch: EPOCH, sequence: self.sequence.lock().await.1 };
        let opened = proto::Opened { positions: vec![at], ..Default::default() };
        let opened = control(Control::Opened(opened));
        let frames = frames.map(|frame| frame.map_err(|error| Status::internal(error.to_string())));
        let opened = futures_util::stream::once(async { Ok(opened) });
        Ok(Response::new(Box::pin(opened.chain(frames))))
    }

    async fn publish_stream(
        &self,
        _: Request<Streaming<PublishStreamRequest>>,
    ) -> Result<Response<Self::PublishStreamStream>, Status> {
        Err(Status::unimplemented("not here"))
    }
}
