//! A small client, as an SDK would be: publishes, subscribes, and resumes by position.

use std::{
    collections::HashMap,
    net::SocketAddr,
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tidings::{
    grpc::client::BrokerClient,
    position::Position,
    proto::{self, subscribe_response::Control},
};
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Code, Status, Streaming,
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt;

use super::history::{Gap, Micros, Outcome, Seen, Subscription, TopicId};

pub(crate) type Client = BrokerClient<Channel>;

/// The clock of a history: microseconds since the trial began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Clock {
        Clock(Instant::now())
    }

    pub(crate) fn now(self) -> Micros {
        self.0.elapsed().as_micros() as Micros
    }
}

/// Where the brokers are now: a client goes to the next one when its own is gone.
#[derive(Debug, Clone, Default)]
pub(crate) struct AddressBook(Arc<Mutex<Vec<Option<SocketAddr>>>>);

impl AddressBook {
    pub(crate) fn set(&self, broker: usize, address: Option<SocketAddr>) {
        let mut addresses = self.0.lock();
        if addresses.len() <= broker {
            addresses.resize(broker + 1, None);
        }
        addresses[broker] = address;
    }

    /// The first live broker from `preferred` on.
    pub(crate) fn find(&self, preferred: usize) -> Option<(usize, SocketAddr)> {
        let addresses = self.0.lock();
        let count = addresses.len();
        (0..count)
            .map(|step| (preferred + step) % count)
            .find_map(|index| addresses[index].map(|address| (index, address)))
    }
}

pub(crate) fn connect(address: SocketAddr) -> Client {
    BrokerClient::new(endpoint(address).connect_lazy())
}

/// A client that takes little ahead of what is read: a stream that is not read stalls.
fn connect_as_reader(address: SocketAddr) -> Client {
    let endpoint = endpoint(address).initial_stream_window_size(WINDOW);
    BrokerClient::new(endpoint.initial_connection_window_size(WINDOW).connect_lazy())
}

/// The smallest with which every broker begins.
const WINDOW: u32 = 65_535;

fn endpoint(address: SocketAddr) -> Endpoint {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    endpoint.connect_timeout(Duration::from_secs(1)).tcp_nodelay(true)
}

pub(crate) fn event(id: u64, data: Vec<u8>) -> proto::Event {
    proto::Event {
        id: id.to_string(),
        r#type: "trial".into(),
        payload: Some(proto::event::Payload::Data(data.into())),
        ..Default::default()
    }
}

pub(crate) fn position(position: &proto::Position) -> Position {
    Position::new(position.epoch, position.sequence)
}

/// The reason of a status of ours.
pub(crate) fn reason(status: &Status) -> Option<String> {
    let info = status.get_details_error_info()?;
    (info.domain == "tidings").then_some(info.reason)
}

/// How long an answer to a publish is waited for.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// What an event has, unless said otherwise.
pub(crate) const DATA_BYTES: usize = 64;

fn request(topic: &str, ids: Range<u64>, bytes: usize) -> proto::PublishRequest {
    let events = ids.map(|id| event(id, vec![b'.'; bytes])).collect();
    proto::PublishRequest { topic: topic.into(), events, ..Default::default() }
}

/// Publishes events with these ids, in one call.
pub(crate) async fn publish(client: &mut Client, topic: &str, ids: Range<u64>) -> Outcome {
    publish_sized(client, topic, ids, DATA_BYTES).await.outcome
}

/// What a publisher was told.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) outcome: Outcome,
    /// Replicas have it, by word of the receipt.
    pub(crate) replicated: bool,
}

impl From<Outcome> for Answer {
    fn from(outcome: Outcome) -> Answer {
        Answer { outcome, replicated: false }
    }
}

/// The same, with so much data in each.
pub(crate) async fn publish_sized(
    client: &mut Client,
    topic: &str,
    ids: Range<u64>,
    bytes: usize,
) -> Answer {
    let publishing = client.publish(request(topic, ids, bytes));
    match tokio::time::timeout(ANSWER_MAX, publishing).await {
        Ok(Ok(response)) => acked(&response.into_inner()),
        Ok(Err(status)) => outcome(&status).into(),
        Err(_) => Outcome::Unknown { code: Code::DeadlineExceeded }.into(),
    }
}

fn acked(response: &proto::PublishResponse) -> Answer {
    let receipts = response.receipts.iter();
    let position = |receipt: &proto::Receipt| receipt.position.as_ref().map(position);
    let outcome = Outcome::Acked(
        receipts.map(|receipt| position(receipt).unwrap_or(Position::BEGINNING)).collect(),
    );
    Answer { outcome, replicated: response.durability() == proto::Durability::Replicated }
}

/// A stream of publishes.
pub(crate) struct PublishStream {
    requests: mpsc::Sender<proto::PublishStreamRequest>,
    answers: Streaming<proto::PublishStreamResponse>,
    sent: u64,
    answered: u64,
}

impl PublishStream {
    pub(crate) async fn open(client: &mut Client) -> Option<PublishStream> {
        let (requests, sent) = mpsc::channel(64);
        let open = client.publish_stream(ReceiverStream::new(sent));
        let answers = tokio::time::timeout(ANSWER_MAX, open).await.ok()?.ok()?.into_inner();
        Some(PublishStream { requests, answers, sent: 0, answered: 0 })
    }

    /// Sends a request without waiting for its answer; whether the stream still goes on.
    pub(crate) async fn send(&mut self, topic: &str, ids: Range<u64>) -> bool {
        let publish = Some(request(topic, ids, DATA_BYTES));
        let request = proto::PublishStreamRequest { request_id: self.sent, publish };
        self.sent += 1;
        self.requests.send(request).await.is_ok()
    }

    /// The outcome of the next request that was sent, and whether the stream goes on.
    pub(crate) async fn answer(&mut self) -> (Answer, bool) {
        use proto::publish_stream_response::Result as Told;
        let answer = match tokio::time::timeout(ANSWER_MAX, self.answers.message()).await {
            Ok(Ok(Some(answer))) => answer,
            Ok(Ok(None)) => return (Outcome::Unknown { code: Code::Ok }.into(), false),
            // What was taken was answered before the broker says why it ends.
            Ok(Err(status)) => return (outcome(&status).into(), false),
            Err(_) => return (Outcome::Unknown { code: Code::DeadlineExceeded }.into(), false),
        };
        assert_eq!(answer.request_id, self.answered, "answers come in the order of the requests");
        self.answered += 1;
        let answer = match answer.result.expect("a result") {
            Told::Published(published) => acked(&published),
            Told::Failure(failure) if failure.reason == "OUTCOME_UNKNOWN" => {
                Outcome::Unknown { code: failure.code.into() }.into()
            }
            Told::Failure(failure) => {
                Outcome::NotPublished { code: failure.code.into(), reason: failure.reason }.into()
            }
        };
        (answer, true)
    }
}

/// What a refusal means: the event does not exist, unless the broker says that it does not know,
/// or it was not the broker that spoke.
fn outcome(status: &Status) -> Outcome {
    match reason(status) {
        Some(reason) if reason != "OUTCOME_UNKNOWN" => {
            Outcome::NotPublished { code: status.code(), reason }
        }
        Some(_) | None => Outcome::Unknown { code: status.code() },
    }
}

/// A subscriber that goes on at the next broker after any error and any silence, from the
/// position it has stored, and remembers everything it saw.
pub(crate) struct Subscriber {
    saw: Arc<Mutex<Saw>>,
    stall: Stall,
    task: JoinHandle<()>,
}

/// Makes a subscriber stop reading for a while.
#[derive(Debug, Clone)]
pub(crate) struct Stall(mpsc::Sender<Duration>);

impl Stall {
    /// At its next look, unless it is already told to.
    pub(crate) fn begin(&self, length: Duration) {
        let _ = self.0.try_send(length);
    }
}

#[derive(Default)]
struct Saw {
    subscription: Subscription,
    /// The id of the last event of each topic.
    latest: HashMap<TopicId, u64>,
    open: bool,
}

const HEARTBEAT: Duration = Duration::from_secs(1);

/// Two intervals, as the API says, and some patience for a busy machine.
const SILENCE_MAX: Duration = Duration::from_millis(2500);

impl Subscriber {
    /// `topics`: the names of the history, `mine`: those of this subscriber.
    pub(crate) fn start(
        clock: Clock,
        book: AddressBook,
        preferred: usize,
        topics: Arc<Vec<String>>,
        mine: Vec<TopicId>,
    ) -> Subscriber {
        let subscription = Subscription { topics: mine.clone(), seen: Vec::new() };
        let saw = Arc::new(Mutex::new(Saw { subscription, ..Saw::default() }));
        let (stall, stalls) = mpsc::channel(1);
        let (stall, stored) = (Stall(stall), HashMap::new());
        let runner = Runner { clock, topics, mine, saw: saw.clone(), stored, stalls };
        Subscriber { saw, stall, task: tokio::spawn(runner.run(book, preferred)) }
    }

    pub(crate) fn stall(&self) -> Stall {
        self.stall.clone()
    }

    pub(crate) fn is_open(&self) -> bool {
        self.saw.lock().open
    }

    /// Whether the last event it had of each topic is this one.
    pub(crate) fn has_last(&self, last: &HashMap<TopicId, u64>) -> bool {
        let saw = self.saw.lock();
        saw.subscription.topics.iter().all(|topic| saw.latest.get(topic) == last.get(topic))
    }

    pub(crate) async fn stop(self) -> Subscription {
        self.task.abort();
        drop(self.task.await);
        std::mem::take(&mut self.saw.lock().subscription)
    }
}

struct Runner {
    clock: Clock,
    topics: Arc<Vec<String>>,
    mine: Vec<TopicId>,
    saw: Arc<Mutex<Saw>>,
    /// Where to go on, by topic; empty before the first Opened.
    stored: HashMap<TopicId, Position>,
    stalls: mpsc::Receiver<Duration>,
}

impl Runner {
    async fn run(mut self, book: AddressBook, mut preferred: usize) {
        const BACKOFF_MIN: Duration = Duration::from_millis(50);
        const BACKOFF_MAX: Duration = Duration::from_secs(1);
        let mut backoff = BACKOFF_MIN;
        loop {
            if let Some((broker, address)) = book.find(preferred) {
                let was_open = self.follow(broker, address).await;
                if was_open {
                    backoff = BACKOFF_MIN;
                    self.see(Seen::Lost { at: self.clock.now() });
                }
                preferred = broker + 1;
            }
            let jitter = 0.5 + fastrand::f64() / 2.0;
            tokio::time::sleep(backoff.mul_f64(jitter)).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    /// One stream, until it ends, fails or falls silent. Whether it was open.
    async fn follow(&mut self, broker: usize, address: SocketAddr) -> bool {
        let name = |topic: &TopicId| self.topics[*topic].clone();
        let resume = self.stored.iter().map(|(topic, at)| proto::Position {
            topic: name(topic),
            epoch: at.epoch,
            sequence: at.sequence,
        });
        let request = proto::SubscribeRequest {
            topics: self.mine.iter().map(name).collect(),
            resume: resume.collect(),
            heartbeat_interval: Some(HEARTBEAT.try_into().unwrap()),
            client_name: "trial".into(),
            ..Default::default()
        };
        let mut client = connect_as_reader(address);
        let subscribed = tokio::time::timeout(SILENCE_MAX, client.subscribe(request)).await;
        let Ok(Ok(response)) = subscribed else { return false };
        let mut stream: Streaming<proto::SubscribeResponse> = response.into_inner();
        let mut open = false;
        loop {
            let reading = tokio::time::timeout(SILENCE_MAX, stream.message());
            let frame = tokio::select! {
                // A stall is not put off by what can be read.
                biased;
                Some(length) = self.stalls.recv() => {
                    let from = self.clock.now();
                    tokio::time::sleep(length).await;
                    self.see(Seen::Stalled { from, to: self.clock.now() });
                    continue;
                }
                frame = reading => frame,
            };
            let Ok(Ok(Some(frame))) = frame else { break };
            let goes_away = matches!(frame.control, Some(Control::GoAway(_)));
            open |= matches!(frame.control, Some(Control::Opened(_)));
            self.take(broker, frame);
            if goes_away {
                break;
            }
        }
        open
    }

    fn take(&mut self, broker: usize, frame: proto::SubscribeResponse) {
        let at = self.clock.now();
        for event in frame.events {
            let Some(told) = event.position else { continue };
            let Some(topic) = self.topic(&told.topic) else { continue };
            let position = position(&told);
            if position.sequence == 0 {
                continue; // from a raw client: nothing to go on after
            }
            self.stored.insert(topic, position);
            let id = event.id.parse().unwrap_or(u64::MAX);
            self.see(Seen::Event { at, topic, position, id });
        }
        match frame.control {
            Some(Control::Opened(opened)) => {
                let told = self.places(&opened.positions);
                let first = self.stored.is_empty();
                let mut positions = Vec::new();
                for topic in self.mine.clone() {
                    let place = told.iter().find(|(named, _)| *named == topic);
                    let place = place.map_or(Position::BEGINNING, |(_, place)| *place);
                    if first {
                        self.stored.insert(topic, place);
                    }
                    positions.push((topic, place));
                }
                self.see(Seen::Opened { at, broker, positions });
            }
            Some(Control::Heartbeat(heartbeat)) => {
                for (topic, position) in self.places(&heartbeat.positions) {
                    self.stored.insert(topic, position);
                    self.see(Seen::Heartbeat { topic, position });
                }
            }
            Some(Control::Gap(gap)) => {
                let (after, until) = (gap.after.unwrap_or_default(), gap.until.unwrap_or_default());
                let Some(topic) = self.topic(&until.topic) else { return };
                let gap = Gap {
                    after: position(&after),
                    until: position(&until),
                    missed: gap.missed,
                    reason: gap.reason,
                };
                self.stored.insert(topic, gap.until);
                self.see(Seen::Gap { at, topic, gap });
            }
            Some(Control::CaughtUp(_) | Control::GoAway(_)) | None => (),
        }
    }

    fn places(&self, positions: &[proto::Position]) -> Vec<(TopicId, Position)> {
        let place = |told: &proto::Position| Some((self.topic(&told.topic)?, position(told)));
        positions.iter().filter_map(place).collect()
    }

    fn topic(&self, name: &str) -> Option<TopicId> {
        self.topics.iter().position(|topic| topic == name)
    }

    fn see(&self, seen: Seen) {
        let mut saw = self.saw.lock();
        match &seen {
            Seen::Opened { .. } => saw.open = true,
            Seen::Lost { .. } => saw.open = false,
            Seen::Event { topic, id, .. } => {
                saw.latest.insert(*topic, *id);
            }
            Seen::Gap { .. } | Seen::Heartbeat { .. } | Seen::Stalled { .. } => (),
        }
        saw.subscription.seen.push(seen);
    }
}
