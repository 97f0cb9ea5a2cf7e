//! PublishStream as clients meet it: many requests under way, each answered in its turn.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use prost::Message as _;
use tidings::{
    backend::{
        Append, Appended, Attachment, Backend, BackendError, Description, Page, TopicSettings,
        async_trait, memory::Memory, registrations::Registrations, topics::Topics,
    },
    broker::{Broker, BrokerOptions, Publish},
    catalog::Catalog,
    grpc::{client::BrokerClient, status},
    limits::{
        ANSWERS_TOGETHER, EVENT_BYTES_MAX, PIPELINE_BYTES_MAX, PIPELINE_REQUESTS_MAX,
        REQUEST_EVENTS_MAX,
    },
    position::{Position, Start},
    proto::{
        self, PublishRequest, PublishStreamRequest, PublishStreamResponse,
        publish_stream_response::{Failure, Result as Told},
    },
    topic::Topic,
};
use tokio::{
    sync::{Mutex, mpsc},
    task::coop::unconstrained,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Status, Streaming, transport::Channel};

use crate::support::{
    eventually,
    in_process::{
        Lines, broker_on, event, in_memory, in_memory_with, on_redis, options, request, topic,
    },
    raw::{PUBLISH_STREAM, Raw, framed},
    redis::{Persistence, RedisServer},
    served::{Served, reason},
};

const PATIENCE: Duration = Duration::from_secs(20);

/// One call of PublishStream.
struct Call {
    requests: mpsc::Sender<PublishStreamRequest>,
    answers: Streaming<PublishStreamResponse>,
}

impl Call {
    async fn open(client: &mut BrokerClient<Channel>) -> Call {
        let (requests, sent) = mpsc::channel(1);
        let answers = client.publish_stream(ReceiverStream::new(sent)).await.expect("opened");
        Call { requests, answers: answers.into_inner() }
    }

    async fn to(served: &Served) -> Call {
        Call::open(&mut BrokerClient::new(served.channel().await)).await
    }

    async fn send(&self, request_id: u64, publish: PublishRequest) {
        let request = PublishStreamRequest { request_id, publish: Some(publish) };
        self.requests.send(request).await.expect("the call goes on");
    }

    async fn next(&mut self) -> Result<Option<PublishStreamResponse>, Status> {
        tokio::time::timeout(PATIENCE, self.answers.message()).await.expect("an answer in time")
    }

    /// The next answer, which has to be that to this request.
    async fn answer(&mut self, request_id: u64) -> Told {
        let answer = self.next().await.expect("no error").expect("an answer");
        assert_eq!(answer.request_id, request_id);
        answer.result.expect("a result")
    }

    /// The sequence of the first event of this request, which has to be stored.
    async fn stored(&mut self, request_id: u64) -> u64 {
        match self.answer(request_id).await {
            Told::Published(published) => {
                published.receipts[0].position.as_ref().expect("a position").sequence
            }
            Told::Failure(failure) => panic!("{request_id} was refused: {failure:?}"),
        }
    }

    async fn failed(&mut self, request_id: u64) -> Failure {
        match self.answer(request_id).await {
            Told::Failure(failure) => failure,
            Told::Published(published) => panic!("{request_id} was stored: {published:?}"),
        }
    }
}

fn publish(name: &str, events: Vec<proto::Event>) -> PublishRequest {
    PublishRequest { topic: name.into(), events, ..Default::default() }
}

fn one(name: &str, id: u64) -> PublishRequest {
    publish(name, vec![event(id)])
}

/// A broker on each kind of backend.
async fn everywhere(test: impl AsyncFn(Broker)) {
    test(in_memory()).await;
    let server = RedisServer::start(Persistence::None).await;
    test(on_redis(&server.url(), "b1", Catalog::default()).await).await;
}

/// A backend in memory that counts what it is given, and stores it once nobody holds the gate.
#[derive(Debug)]
struct Gated {
    inner: Memory,
    gate: Arc<Mutex<()>>,
    given: Arc<AtomicUsize>,
}

#[async_trait]
impl Backend for Gated {
    fn describe(&self) -> Description {
        self.inner.describe()
    }

    async fn append(
        &self,
        topic: &Topic,
        settings: &Arc<TopicSettings>,
        append: Append,
    ) -> Result<Appended, BackendError> {
        assert_ne!(topic.as_str(), "bug", "a planted panic");
        self.given.fetch_add(append.events.len(), Ordering::SeqCst);
        drop(unconstrained(self.gate.lock()).await);
        self.inner.append(topic, settings, append).await
    }

    async fn attach(
        &self,
        topic: &Topic,
        settings: &Arc<TopicSettings>,
    ) -> Result<Attachment, BackendError> {
        self.inner.attach(topic, settings).await
    }

    async fn check(&self, topic: &Topic) -> Result<(), BackendError> {
        self.inner.check(topic).await
    }

    async fn read(&self, topic: &Topic, after: Position) -> Result<Page, BackendError> {
        self.inner.read(topic, after).await
    }

    async fn seek(&self, topic: &Topic, start: Start) -> Result<Position, BackendError> {
        self.inner.seek(topic, start).await
    }

    async fn watch_topics(&self) -> Result<Vec<Topic>, BackendError> {
        self.inner.watch_topics().await
    }

    fn topics(&self) -> &dyn Topics {
        self.inner.topics()
    }

    fn registrations(&self) -> &dyn Registrations {
        self.inner.registrations()
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

fn gated() -> (Broker, Arc<Mutex<()>>, Arc<AtomicUsize>) {
    let (memory, feed) = Memory::open();
    let (gate, given) = (Arc::default(), Arc::default());
    let backend = Gated { inner: memory, gate: Arc::clone(&gate), given: Arc::clone(&given) };
    (broker_on(Arc::new(backend), feed, Catalog::default(), options()), gate, given)
}

/// Everything that can be wrong with a request, and what is right.
fn requests() -> Vec<PublishRequest> {
    let with = |set: fn(&mut proto::Event)| {
        let mut event = event(7);
        set(&mut event);
        event
    };
    let large = proto::event::Payload::Data(vec![0; EVENT_BYTES_MAX].into());
    // With a time of its own: the broker's would not always take as many bytes.
    let time = Some(prost_types::Timestamp { seconds: 1_763_000_000, nanos: 1 });
    let large = proto::Event { payload: Some(large), time, ..event(8) };
    let position = Some(proto::Position { epoch: 1, sequence: 1, ..Default::default() });
    vec![
        one("orders", 1),
        publish("a b", vec![event(2)]),
        publish("_tidings.own", vec![event(2)]),
        publish("", Vec::new()),
        publish("orders", Vec::new()),
        publish("orders", vec![event(3), with(|event| event.key = "\0".into())]),
        publish("orders", (0..=REQUEST_EVENTS_MAX).map(event).collect()),
        publish("orders", vec![event(4), large]),
        // Of a topic of its own, on which nothing is ever published.
        PublishRequest { expected_last: position, ..one("empty", 5) },
        PublishRequest { validate_only: true, ..one("orders", 6) },
        publish("orders", vec![event(9), event(10)]),
    ]
}

#[tokio::test]
async fn every_request_is_answered_in_its_turn_as_a_call_of_its_own_would_be() {
    everywhere(async |broker| {
        let served = Served::start(broker, Duration::ZERO).await;
        let mut client = BrokerClient::new(served.channel().await);
        let mut expected = Vec::new();
        for request in requests() {
            expected.push(client.publish(request).await);
        }
        let mut call = Call::open(&mut client).await;
        for (request_id, request) in (100..).zip(requests()) {
            call.send(request_id, request).await;
        }
        let mut shapes = String::new();
        for (request_id, expected) in (100..).zip(expected) {
            match (call.answer(request_id).await, expected) {
                (Told::Published(told), Ok(expected)) => {
                    let expected = expected.into_inner();
                    assert_eq!(told.durability, expected.durability);
                    let ids = |published: &proto::PublishResponse| -> Vec<String> {
                        published.receipts.iter().map(|receipt| receipt.id.clone()).collect()
                    };
                    assert_eq!(ids(&told), ids(&expected));
                    let sequence = |published: &proto::PublishResponse| {
                        published.receipts[0].position.as_ref().map(|at| at.sequence)
                    };
                    // Three events were stored by the calls.
                    assert_eq!(sequence(&told), sequence(&expected).map(|at| at + 3));
                    shapes.push('+');
                }
                (Told::Failure(failure), Err(status)) => {
                    assert_eq!(failure, status::failure(&status));
                    assert_eq!(failure.code, i32::from(status.code()));
                    assert_eq!(failure.reason, reason(&status));
                    assert_eq!(failure.message, status.message());
                    shapes.push('-');
                }
                (told, expected) => panic!("{told:?} instead of {expected:?}"),
            }
        }
        assert_eq!(shapes, "+--------++");
        drop(call.requests);
        assert_eq!(call.answers.message().await.expect("no error"), None, "ends with OK");
    })
    .await;
}

#[tokio::test]
async fn a_refusal_says_which_fields_are_wrong_and_when_to_try_again() {
    let served = Served::start(in_memory(), Duration::ZERO).await;
    let mut call = Call::to(&served).await;
    let bad = proto::Event { key: "\0".into(), source: "a b".into(), ..event(1) };
    call.send(1, publish("orders", vec![event(1), bad])).await;
    let failure = call.failed(1).await;
    assert_eq!(failure.metadata["fields"], "events[1].key\nevents[1].source");
    assert!(failure.message.contains("events[1].source must be"), "{failure:?}");
    call.send(2, one("a b", 1)).await;
    let failure = call.failed(2).await;
    let expected = [("fields", "topic"), ("topic", "a b")].map(|(k, v)| (k.into(), v.into()));
    assert_eq!(failure.metadata, expected.into());

    let unavailable = BackendError::Unavailable { cause: "away".into() };
    let failure = status::failure(&status::publish(unavailable.into()));
    assert_eq!(failure.code, i32::from(Code::Unavailable));
    assert_eq!(failure.retry_delay, Some(prost_types::Duration { seconds: 1, nanos: 0 }));
}

#[tokio::test]
async fn each_topic_keeps_the_order_of_the_stream() {
    everywhere(async |broker| {
        let mut lines = Lines::open(&broker, request(&["a", "b"])).await;
        let served = Served::start(broker.clone(), Duration::ZERO).await;
        let mut call = Call::to(&served).await;
        let sender = call.requests.clone();
        const EACH: u64 = 1500;
        let sending = tokio::spawn(async move {
            for id in 0..2 * EACH {
                let name = if id % 2 == 0 { "a" } else { "b" };
                let publish = Some(one(name, id));
                let request = PublishStreamRequest { request_id: id, publish };
                sender.send(request).await.expect("the call goes on");
            }
        });
        for id in 0..2 * EACH {
            assert_eq!(call.stored(id).await, id / 2 + 1, "of {id}");
        }
        sending.await.expect("sent");
        let (mut next, mut heard) = ([0, 1], 0);
        while heard < 2 * EACH {
            let line = lines.next_within(PATIENCE).await.expect("an event in time");
            let (name, id) = line.split_once(' ').expect("an event");
            if name == "heartbeat" {
                continue;
            }
            let next = &mut next[usize::from(name == "b")];
            assert_eq!(id.parse(), Ok(*next), "{line}");
            *next += 2;
            heard += 1;
        }
    })
    .await;
}

#[tokio::test]
async fn a_thousand_requests_are_under_way_and_no_more_are_read_than_may_be() {
    let (broker, gate, given) = gated();
    let served = Served::start(broker, Duration::ZERO).await;
    let closed = gate.lock().await;
    let mut call = Call::to(&served).await;
    let sender = call.requests.clone();
    let all = 2 * PIPELINE_REQUESTS_MAX;
    let sending = tokio::spawn(async move {
        for id in 0..all as u64 {
            let request = PublishStreamRequest { request_id: id, publish: Some(one("orders", id)) };
            sender.send(request).await.expect("the call goes on");
        }
    });
    // All of them fit into what HTTP/2 lets the client send ahead.
    sending.await.expect("sent");
    const { assert!(PIPELINE_REQUESTS_MAX >= 1000) }
    eventually("as many as may be are under way", PATIENCE, || async {
        let given = given.load(Ordering::SeqCst);
        assert!(given <= PIPELINE_REQUESTS_MAX, "{given} are under way");
        given == PIPELINE_REQUESTS_MAX
    })
    .await;
    drop(closed);
    for id in 0..all as u64 {
        assert_eq!(call.stored(id).await, id + 1);
    }
}

#[tokio::test]
async fn large_requests_are_read_only_as_far_as_there_is_room() {
    let (broker, gate, given) = gated();
    let mut pipeline = broker.pipeline("/test").expect("a pipeline");
    let closed = gate.lock().await;
    let large = |id: u64| {
        let payload = Some(proto::event::Payload::Data(vec![0; EVENT_BYTES_MAX / 4].into()));
        let events = vec![proto::Event { payload, ..event(id) }.into()];
        Publish { topic: topic("orders"), events, validate_only: false, expected_last: None }
    };
    let mut pushed = 0;
    while pipeline.has_room() {
        pipeline.push(pushed, large(pushed));
        pushed += 1;
    }
    assert_eq!(pushed as usize, PIPELINE_BYTES_MAX / (EVENT_BYTES_MAX / 4));
    let answering = tokio::spawn(async move {
        for id in 0..pushed {
            let answer = pipeline.answer().await.expect("an answer");
            assert_eq!((answer.tag, answer.result.is_ok()), (id, true));
        }
        assert!(pipeline.has_room() && pipeline.is_idle());
        assert_eq!(pipeline.answer().await, None);
    });
    eventually("the backend has them", PATIENCE, || async {
        given.load(Ordering::SeqCst) as u64 == pushed
    })
    .await;
    drop(closed);
    answering.await.expect("answered");
}

/// A request of six bytes an event can be wrong in a thousand places, and what is said of each is
/// kept until its turn.
#[tokio::test]
async fn refusals_take_room_too() {
    let (broker, gate, _) = gated();
    let mut pipeline = broker.pipeline("/test").expect("a pipeline");
    let _closed = gate.lock().await;
    let bad = proto::Event { key: "\0".into(), ..Default::default() };
    let mut pushed = 0;
    while pipeline.has_room() {
        let events = vec![bad.clone().into(); REQUEST_EVENTS_MAX];
        let topic = topic("orders");
        let request = Publish { topic, events, validate_only: false, expected_last: None };
        pipeline.push(pushed, request);
        pushed += 1;
    }
    assert!(pushed < 200, "{pushed} refusals for a hundred mistakes each are kept");
}

#[tokio::test]
async fn a_client_that_reads_no_answers_is_read_no_further() {
    let (broker, _, given) = gated();
    let served = Served::start(broker.clone(), Duration::ZERO).await;
    let mut call = Call::to(&served).await;
    let sender = call.requests.clone();
    // What the client is sent without asking for more, as answers of which none is shorter than
    // this; and those that are on their way to it.
    const ANSWER_BYTES_MIN: usize = 40;
    let window = (64 << 10) / ANSWER_BYTES_MIN + (32 << 10) / ANSWER_BYTES_MIN;
    let most = PIPELINE_REQUESTS_MAX + window + 3 * ANSWERS_TOGETHER;
    let all = 10 * most as u64;
    let sending = tokio::spawn(async move {
        for id in 0..all {
            let request = PublishStreamRequest { request_id: id, publish: Some(one("orders", id)) };
            sender.send(request).await.expect("the call goes on");
        }
    });
    eventually("it is read as far as there is room", PATIENCE, || async {
        given.load(Ordering::SeqCst) >= PIPELINE_REQUESTS_MAX
    })
    .await;
    // Meanwhile others are served.
    crate::support::in_process::publish(&broker, "other", vec![event(1)]).await.expect("stored");
    for id in 0..all {
        let ahead = given.load(Ordering::SeqCst) - id as usize;
        assert!(ahead <= most, "{ahead} requests were taken that are not answered, of {most}");
        assert_eq!(call.stored(id).await, id + 1);
    }
    sending.await.expect("sent");
}

#[tokio::test]
async fn a_message_that_cannot_be_read_ends_the_stream_behind_the_answers() {
    let served = Served::start(in_memory(), Duration::ZERO).await;
    let good = PublishStreamRequest { request_id: 5, publish: Some(one("orders", 1)) };
    let good = good.encode_to_vec();
    let bad = [2 << 3 | 2, 2, 2 << 3 | 2, 100];
    let body = [&good[..], &bad, &good].map(|m| framed(0, m.len() as u32, m)).concat();
    let raw = Raw::connect(served.address).await;
    let (messages, status) = raw.stream(PUBLISH_STREAM, body).await;
    let answers: Vec<_> = messages
        .into_iter()
        .map(|message| PublishStreamResponse::decode(message).expect("an answer").request_id)
        .collect();
    assert_eq!(answers, [5], "what stood before it is answered, and nothing behind it");
    assert_eq!((status.code(), reason(&status)), (Code::InvalidArgument, "MESSAGE_INVALID".into()));
}

#[tokio::test]
async fn who_goes_away_leaves_nothing_behind() {
    let (broker, gate, given) = gated();
    let served = Served::start(broker.clone(), Duration::ZERO).await;
    let closed = gate.lock().await;
    let call = Call::to(&served).await;
    call.send(1, one("orders", 1)).await;
    eventually("it is under way", PATIENCE, || async { given.load(Ordering::SeqCst) == 1 }).await;
    assert_eq!(broker.streams(), 1);
    drop(call);
    eventually("its stream is gone", PATIENCE, || async { broker.streams() == 0 }).await;
    drop(closed);
}

#[tokio::test]
async fn a_panic_ends_one_stream_and_no_other() {
    let (broker, _, _) = gated();
    let served = Served::start(broker.clone(), Duration::ZERO).await;
    let (mut other, mut call) = (Call::to(&served).await, Call::to(&served).await);
    other.send(1, one("orders", 1)).await;
    assert_eq!(other.stored(1).await, 1);
    call.send(1, one("bug", 1)).await;
    let status = call.next().await.expect_err("the end of this stream");
    assert_eq!((status.code(), reason(&status)), (Code::Internal, "BUG".into()));
    other.send(2, one("orders", 2)).await;
    assert_eq!(other.stored(2).await, 2);
    drop(call);
    eventually("the stream gave its place back", PATIENCE, || async { broker.streams() == 1 })
        .await;
}

#[tokio::test]
async fn a_broker_that_stops_answers_what_it_took_and_takes_no_more() {
    let (broker, gate, given) = gated();
    let served = Served::start(broker.clone(), Duration::from_secs(2)).await;
    let mut client = BrokerClient::new(served.channel().await);
    let (mut call, mut idle) = (Call::open(&mut client).await, Call::open(&mut client).await);
    // As long as anybody is there, the broker stays.
    let _somebody = client.subscribe(request(&["other"])).await.expect("opened");
    let closed = gate.lock().await;
    call.send(1, one("orders", 1)).await;
    eventually("it is under way", PATIENCE, || async { given.load(Ordering::SeqCst) == 1 }).await;
    served.stop.send(()).expect("serving");
    let status = idle.next().await.expect_err("the end");
    assert_eq!(reason(&status), "BROKER_DRAINING");
    drop(closed);
    assert_eq!(call.stored(1).await, 1);
    let status = call.next().await.expect_err("the end");
    assert_eq!((status.code(), reason(&status)), (Code::Unavailable, "BROKER_DRAINING".into()));

    let status = client.publish_stream(tokio_stream::pending()).await.expect_err("refused");
    assert_eq!(reason(&status), "BROKER_DRAINING");
    // Who has nowhere else to go can still publish one by one.
    assert!(client.publish(one("orders", 2)).await.is_ok());
    served.done.await.expect("served to the end");
}

#[tokio::test]
async fn a_stream_that_may_not_be_is_refused_with_a_reason() {
    let bounds = BrokerOptions { max_streams: 1, ..options() };
    let served = Served::start(in_memory_with(Catalog::default(), bounds), Duration::ZERO).await;
    let mut client = BrokerClient::new(served.channel().await);
    let first = Call::open(&mut client).await;
    let status = client.publish_stream(tokio_stream::pending()).await.expect_err("refused");
    assert_eq!(reason(&status), "TOO_MANY_STREAMS");
    drop(first);

    let aged = BrokerOptions { max_stream_age: Some(Duration::from_millis(50)), ..options() };
    let served = Served::start(in_memory_with(Catalog::default(), aged), Duration::ZERO).await;
    let status = Call::to(&served).await.next().await.expect_err("the end");
    assert_eq!(reason(&status), "STREAM_MAX_AGE");

    let served = Served::start(in_memory(), Duration::ZERO).await;
    let mut request = Request::new(tokio_stream::pending());
    request.set_timeout(Duration::from_millis(200));
    let mut client = BrokerClient::new(served.channel().await);
    let mut answers = client.publish_stream(request).await.expect("opened").into_inner();
    let status = answers.message().await.expect_err("the deadline");
    assert_eq!(status.code(), Code::DeadlineExceeded);
}
