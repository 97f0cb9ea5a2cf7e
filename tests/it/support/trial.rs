//! A trial: brokers, publishers and subscribers at work while faults are done to them, from a seed.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use fastrand::Rng;
use tidings::proto::gap::Reason;
use tokio::time::sleep;

use super::{
    beside_others,
    broker::{Broker, Make},
    client::{AddressBook, Clock, DATA_BYTES, Stall, Subscriber, connect},
    history::{Disturbance, Harm, History, Outcome, Publish, Report, Seen, TopicId, check},
    holds_within,
    proxy::{Direction, FaultProxy, Mode, Which},
    publisher::{Publisher, Traffic, publish_once},
    redis::{Persistence, RedisServer},
    sentinel::{ANN, Failover, Service},
};

pub(crate) const PUBLISHERS: usize = 3;
const SUBSCRIBERS: usize = 4;

#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) name: &'static str,
    pub(crate) seed: u64,
    pub(crate) make: Make,
    pub(crate) brokers: usize,
    pub(crate) persistence: Persistence,
    /// Brokers are told the sentinels of a service; nothing of it is written to disk.
    pub(crate) sentinels: bool,
    /// What may be done: each once, in some order, then each again.
    pub(crate) kinds: &'static [Fault],
    /// It goes on until so many faults were done and so many events acknowledged.
    pub(crate) faults: u32,
    pub(crate) events: u64,
    /// What each publisher tries, in events per second.
    pub(crate) rate: f64,
    /// So many of the publishers publish on streams.
    pub(crate) streaming: usize,
    /// The others send again what they were not answered, and some of what they were, to the next
    /// broker: for topics that know ids again.
    pub(crate) sends_again: bool,
    /// Whether the topics exist before anybody listens.
    pub(crate) topics_exist: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(dead_code, reason = "the last four are for the planted bugs")]
pub(crate) enum Fault {
    RedisKill,
    /// Killed and restarted while one broker sees nothing of it.
    RedisKillUnseen,
    RedisStop,
    KillPubsub,
    KillNormal,
    HoleSub,
    HoleCmd,
    HoleAll,
    Cut,
    Freeze,
    Delay,
    Throttle,
    DelBoth,
    DelHash,
    DelStream,
    FlushAll,
    Burst,
    /// A replica of an empty server for a while.
    ReplicaOfEmpty,
    /// A replica of a server that forked off a moment ago.
    ReplicaOfFork,
    /// A replica of nobody there: another identity, nothing lost.
    ReplicaOfNobody,
    BrokerKill,
    /// A subscriber stops reading while more comes on one of its topics than the broker holds for
    /// whoever lags, and more than a live topic keeps. It goes on to do so beside the next faults.
    Stall,
    /// Subscription connections carry noise in place of what Redis says, until they are closed.
    Chatter,
    /// A topic is put back to what it was a moment ago, and Redis stays the same.
    Rollback,
    /// A topic that has come far is deleted, and its next life does not come as far for a while.
    SecondLife,
    /// Subscription connections are cut, and while they come back one event is published on a
    /// topic that is quiet before and after.
    QuietCut,
    /// With sentinels only.
    Failover(Failover),
}

/// Topics that have an event only in a [`Fault::QuietCut`].
const QUIET_TOPICS: usize = 6;
/// What a topic has at least before its [`Fault::SecondLife`], and in which steps.
const SECOND_LIFE_AFTER: u64 = 6000;
const SECOND_LIFE_STEP: u64 = 500;

/// What comes on a topic in a [`Fault::Stall`]: so many requests of so many events.
const STALL_REQUESTS: usize = 40;
const STALL_EVENTS: u64 = 64;
/// Of each event: together they are more than the broker holds in memory.
const STALL_BYTES: usize = 1300;
const _: () = assert!(
    STALL_REQUESTS * STALL_EVENTS as usize * STALL_BYTES > 3 * tidings::limits::LOG_BYTES_MAX / 2
);
const _: () = assert!(STALL_REQUESTS as u64 * STALL_EVENTS > 2 * tidings::limits::HISTORY_EVENTS);

/// All but the four that the planted bugs need.
pub(crate) const ALL: &[Fault] = &[
    Fault::RedisKill,
    Fault::RedisKillUnseen,
    Fault::RedisStop,
    Fault::KillPubsub,
    Fault::KillNormal,
    Fault::HoleSub,
    Fault::HoleCmd,
    Fault::HoleAll,
    Fault::Cut,
    Fault::Freeze,
    Fault::Delay,
    Fault::Throttle,
    Fault::DelBoth,
    Fault::DelHash,
    Fault::DelStream,
    Fault::FlushAll,
    Fault::Burst,
    Fault::ReplicaOfEmpty,
    Fault::ReplicaOfFork,
    Fault::ReplicaOfNobody,
    Fault::BrokerKill,
    Fault::Stall,
];

/// After these Redis is the same and has everything.
pub(crate) const HARMLESS: &[Fault] = match HARMLESS_TO_DURABLE {
    [harmless @ .., Fault::Stall] => harmless,
    _ => panic!("a stall comes last"),
};

/// After these a durable topic that keeps all has lost nothing.
pub(crate) const HARMLESS_TO_DURABLE: &[Fault] = &[
    Fault::RedisStop,
    Fault::KillPubsub,
    Fault::KillNormal,
    Fault::HoleSub,
    Fault::HoleCmd,
    Fault::HoleAll,
    Fault::Cut,
    Fault::Freeze,
    Fault::Delay,
    Fault::Throttle,
    Fault::BrokerKill,
    Fault::Stall,
];

/// What may be done to a service with sentinels.
pub(crate) const FAILOVERS: &[Fault] = &[
    Fault::Failover(Failover::Killed),
    Fault::Failover(Failover::KilledAlone),
    Fault::Failover(Failover::Paused),
    Fault::Failover(Failover::CutOff),
    Fault::BrokerKill,
];

pub(crate) struct Verdict {
    pub(crate) plan: Plan,
    pub(crate) report: Report,
    pub(crate) history: History,
    pub(crate) faults: BTreeMap<Fault, u32>,
    /// Whether every subscriber had the last event of each topic in the end.
    pub(crate) caught_up: bool,
    /// Panics of brokers, and the end of what each printed.
    pub(crate) panics: Vec<String>,
    pub(crate) output: String,
}

pub(crate) async fn run(plan: Plan) -> Verdict {
    let _permit = beside_others().await;
    println!("trial {}: TIDINGS_SEED={} {:?}", plan.name, plan.seed, plan.persistence);
    let mut rng = Rng::with_seed(plan.seed);
    let redis = RedisServer::start(plan.persistence).await;
    let service = match plan.sentinels {
        true => Some(Service::start_with(Duration::from_secs(1), &ANN, &[]).await),
        false => None,
    };
    let busy = rng.usize(2..=4);
    let quiet = if plan.kinds.contains(&Fault::QuietCut) { QUIET_TOPICS } else { 0 };
    let topics = (0..busy).map(|n| format!("trial.{n}"));
    let topics = topics.chain((0..quiet).map(|n| format!("quiet.{n}")));
    let mut stage = Stage {
        clock: Clock::start(),
        plan: plan.clone(),
        topics: Arc::new(topics.collect()),
        busy,
        quiet: 0,
        publishes: Vec::new(),
        readers: Vec::new(),
        redis,
        service,
        elsewhere: None,
        proxies: Vec::new(),
        brokers: Vec::new(),
        book: AddressBook::default(),
        disturbances: Vec::new(),
        done: BTreeMap::new(),
        panics: Vec::new(),
    };
    for index in 0..plan.brokers {
        stage.proxies.push(FaultProxy::start(stage.redis.port()).await);
        let broker = plan.make.start(&stage.url(index)).await;
        stage.book.set(index, Some(broker.address()));
        stage.brokers.push(broker);
    }
    let traffic = Traffic::default();
    let mut publishes = Vec::new();
    if plan.topics_exist {
        publishes.extend(stage.publish_to_each(&traffic).await);
    }

    let mut subscribers = Vec::new();
    for index in 0..SUBSCRIBERS {
        let mut mine: Vec<TopicId> = (0..busy).collect();
        rng.shuffle(&mut mine);
        mine.truncate(rng.usize(2..=busy));
        mine.extend(busy..stage.topics.len());
        let (book, topics) = (stage.book.clone(), stage.topics.clone());
        let preferred = index % plan.brokers;
        let one = Subscriber::start(stage.clock, book, preferred, topics, mine.clone());
        stage.readers.push((one.stall(), mine[0]));
        subscribers.push(one);
    }
    let opened = || async { subscribers.iter().all(Subscriber::is_open) };
    let all_open = holds_within(Duration::from_secs(20), opened).await;
    if !all_open {
        let output: Vec<_> = stage.brokers.iter().map(Broker::output).collect();
        panic!("not every subscription opened:\n{}", output.join("\n"));
    }
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|index| {
            let publisher = Publisher {
                clock: stage.clock,
                book: stage.book.clone(),
                topics: stage.topics.clone(),
                busy,
                traffic: traffic.clone(),
                rng: rng.fork(),
                rate: plan.rate,
                broker: index,
                sends_again: plan.sends_again,
            };
            // The naive facade has no streams of publishes.
            let streams = index < plan.streaming && plan.make != Make::Naive;
            tokio::spawn(async move {
                if streams { publisher.stream().await } else { publisher.run().await }
            })
        })
        .collect();

    stage.torment(&mut rng, &traffic).await;

    traffic.stop.store(true, Ordering::Relaxed);
    for publisher in publishers {
        publishes.extend(publisher.await.unwrap());
    }
    publishes.append(&mut stage.publishes);
    let last_publishes = stage.publish_to_each(&traffic).await;
    let last: HashMap<TopicId, u64> =
        last_publishes.iter().map(|last| (last.topic, last.first_id)).collect();
    publishes.extend(last_publishes);
    let bound = Duration::from_secs(30);
    let caught_up = holds_within(bound, || async {
        subscribers.iter().all(|subscriber| subscriber.has_last(&last))
    })
    .await;
    let mut subscriptions = Vec::new();
    for subscriber in subscribers {
        subscriptions.push(subscriber.stop().await);
    }
    let history = History {
        topics: stage.topics.to_vec(),
        publishes,
        subscriptions,
        disturbances: std::mem::take(&mut stage.disturbances),
        kept_events: plan.make.kept_events(),
    };
    let report = check(&history);
    let mut panics = std::mem::take(&mut stage.panics);
    panics.extend(stage.brokers.iter().flat_map(Broker::panics));
    let output = stage.brokers.iter().map(|broker| tail(&broker.output(), 40)).collect::<Vec<_>>();
    let faults = stage.done;
    Verdict { plan, report, history, faults, caught_up, panics, output: output.join("\n--\n") }
}

fn tail(text: &str, lines: usize) -> String {
    let all: Vec<_> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// Everything that faults are done to.
struct Stage {
    clock: Clock,
    plan: Plan,
    topics: Arc<Vec<String>>,
    /// The first so many have steady traffic, the others are quiet.
    busy: usize,
    quiet: usize,
    publishes: Vec<Publish>,
    /// The subscribers, each with a busy topic of its own.
    readers: Vec<(Stall, TopicId)>,
    redis: RedisServer,
    service: Option<Service>,
    elsewhere: Option<RedisServer>,
    proxies: Vec<FaultProxy>,
    brokers: Vec<Broker>,
    book: AddressBook,
    disturbances: Vec<Disturbance>,
    done: BTreeMap<Fault, u32>,
    panics: Vec<String>,
}

impl Stage {
    /// Where a broker finds Redis.
    fn url(&self, broker: usize) -> String {
        match &self.service {
            Some(service) => service.url_as("ann:pw@", ""),
            None => self.proxies[broker].url(),
        }
    }

    async fn torment(&mut self, rng: &mut Rng, traffic: &Traffic) {
        let begin = self.clock.now();
        // Brokers that publish nothing must fail the trial, not hang it.
        let patience =
            120_000_000 + self.plan.events * 5_000 + u64::from(self.plan.faults) * 8_000_000;
        let mut count = 0;
        let mut bag: Vec<Fault> = Vec::new();
        while count < self.plan.faults || traffic.acked.load(Ordering::Relaxed) < self.plan.events {
            if self.clock.now() - begin > patience {
                println!("trial {}: gave up waiting for its events", self.plan.name);
                return;
            }
            if bag.is_empty() {
                bag.extend(self.plan.kinds);
                rng.shuffle(&mut bag);
            }
            if let Some(fault) = bag.pop() {
                *self.done.entry(fault).or_default() += 1;
                count += 1;
                self.inject(fault, rng, traffic).await;
            }
            // Now and then a calm in which the five seconds of a notice must do.
            let calm = if rng.u8(..7) == 0 { 6500 } else { rng.u64(50..1200) };
            sleep(Duration::from_millis(calm)).await;
        }
    }

    async fn inject(&mut self, fault: Fault, rng: &mut Rng, traffic: &Traffic) {
        let from = self.clock.now();
        let broker = rng.usize(..self.proxies.len());
        let mut reach = None;
        let mut touched = None;
        let mut harm = Harm::None;
        match fault {
            Fault::RedisKill => {
                harm = self.harm_of_kill().await;
                self.redis.kill9();
                millis(rng, 0..1000).await;
                self.redis.restart().await;
            }
            Fault::RedisKillUnseen => {
                harm = self.harm_of_kill().await;
                self.proxies[broker].set(Which::All, Direction::Both, Mode::BlackHole);
                millis(rng, 0..500).await;
                self.redis.kill9();
                self.redis.restart().await;
                millis(rng, 0..1500).await;
                self.proxies[broker].heal();
            }
            Fault::RedisStop => {
                self.redis.sigstop();
                millis(rng, 300..3000).await;
                self.redis.sigcont();
                self.redis.ready().await;
            }
            Fault::KillPubsub => self.redis.client_kill("pubsub").await,
            Fault::KillNormal => self.redis.client_kill("normal").await,
            Fault::HoleSub => self.hole(broker, Which::Sub, rng).await,
            Fault::HoleCmd => self.hole(broker, Which::Cmd, rng).await,
            Fault::HoleAll => self.hole(broker, Which::All, rng).await,
            Fault::Cut => self.proxies[broker].cut(Which::All),
            Fault::Freeze => {
                let which = *rng.choice(&[Which::Sub, Which::Cmd, Which::All]).unwrap();
                self.proxies[broker].set(which, Direction::Both, Mode::Freeze);
                millis(rng, 100..1500).await;
                self.proxies[broker].heal();
            }
            Fault::Delay => {
                let delay = Duration::from_millis(rng.u64(5..100));
                self.proxies[broker].set(Which::All, Direction::Both, Mode::Delay(delay));
                millis(rng, 300..2000).await;
                self.proxies[broker].heal();
            }
            Fault::DelBoth | Fault::DelHash | Fault::DelStream => {
                harm = Harm::Loss(1);
                touched = Some(self.delete(fault, rng).await);
            }
            Fault::FlushAll => {
                harm = Harm::Loss(1);
                self.redis.flushall().await;
            }
            Fault::Burst => {
                for _ in 0..rng.u32(3..8) {
                    let from = self.clock.now();
                    let topic = match rng.u8(..4) {
                        0 => Some(self.delete(Fault::DelHash, rng).await),
                        1 => Some(self.delete(Fault::DelBoth, rng).await),
                        _ => {
                            self.redis.flushall().await;
                            None
                        }
                    };
                    let (to, harm) = (self.clock.now(), Harm::Loss(1));
                    self.disturbances.push(Disturbance { from, to, broker: None, topic, harm });
                    millis(rng, 1..150).await;
                }
            }
            Fault::ReplicaOfEmpty => {
                harm = Harm::Loss(2);
                let empty = self.elsewhere().await;
                self.follow_and_return(empty).await;
            }
            Fault::ReplicaOfFork => {
                harm = Harm::Loss(3);
                let port = self.redis.port();
                let fork_port = self.elsewhere().await;
                let fork = self.elsewhere.as_ref().expect("just started");
                fork.replicaof(Some(port)).await;
                fork.in_sync().await;
                fork.replicaof(None).await;
                millis(rng, 50..1000).await;
                self.follow_and_return(fork_port).await;
            }
            Fault::ReplicaOfNobody => {
                harm = Harm::Identity;
                self.redis.replicaof(Some(1)).await;
                millis(rng, 50..1500).await;
                self.redis.replicaof(None).await;
            }
            Fault::Throttle => {
                let rate = rng.u32(5_000..50_000);
                self.proxies[broker].set(Which::All, Direction::ToBroker, Mode::Throttle(rate));
                millis(rng, 300..2000).await;
                self.proxies[broker].heal();
            }
            Fault::Chatter => {
                for proxy in &self.proxies {
                    proxy.set(Which::Sub, Direction::ToBroker, Mode::Chatter);
                }
                millis(rng, 500..1500).await;
                self.proxies.iter().for_each(FaultProxy::heal);
            }
            Fault::Rollback => {
                harm = Harm::Loss(1);
                let topic = rng.usize(..self.busy);
                touched = Some(topic);
                let keys = ["m", "s"].map(|part| format!("td:{{{}}}:{part}", self.topics[topic]));
                let copies = keys.clone().map(|key| format!("copy:{key}"));
                self.redis.copy_together(&keys, &copies).await;
                millis(rng, 300..1000).await;
                // Positions prove it to who was told them: a broker that is about to hear of one has
                // no proof, and nothing else tells while Redis stays what it was.
                traffic.pause.store(true, Ordering::Relaxed);
                millis(rng, 400..500).await;
                self.redis.copy_together(&copies, &keys).await;
                traffic.pause.store(false, Ordering::Relaxed);
            }
            Fault::SecondLife => {
                harm = Harm::Loss(1);
                let topic = rng.usize(..self.busy);
                touched = Some(topic);
                for attempt in 0..SECOND_LIFE_AFTER / SECOND_LIFE_STEP {
                    self.publish_at(attempt as usize, topic, SECOND_LIFE_STEP, traffic).await;
                }
                let keys = ["m", "s"].map(|part| format!("td:{{{}}}:{part}", self.topics[topic]));
                self.redis.del(&[&keys[0], &keys[1]]).await;
            }
            Fault::QuietCut => {
                let delay = Duration::from_millis(200);
                for proxy in &self.proxies {
                    proxy.set(Which::All, Direction::ToRedis, Mode::Delay(delay));
                    proxy.cut(Which::Sub);
                }
                // About when the broker has read and not yet subscribed, if that is its order.
                millis(rng, 600..1100).await;
                let topic = self.busy + self.quiet;
                self.quiet = (self.quiet + 1) % (self.topics.len() - self.busy);
                self.publish_at(broker, topic, 1, traffic).await;
                millis(rng, 500..1000).await;
                self.proxies.iter().for_each(FaultProxy::heal);
            }
            Fault::Stall => {
                let (stall, topic) = rng.choice(&self.readers).expect("subscribers").clone();
                stall.begin(Duration::from_millis(rng.u64(1500..4000)));
                let what = (STALL_EVENTS, STALL_BYTES);
                for attempt in 0..STALL_REQUESTS {
                    self.publish_sized_at(attempt, topic, what, traffic).await;
                }
                // Nothing was done to anybody else: no excuse.
                return;
            }
            Fault::Failover(how) => {
                // One more for brokers that are for a moment at two primaries.
                harm = Harm::Loss(2);
                let alone = Duration::from_millis(rng.u64(200..1500));
                self.service.as_mut().expect("sentinels").fail_over(how, alone).await;
            }
            Fault::BrokerKill => {
                self.panics.extend(self.brokers[broker].panics());
                self.brokers[broker].kill9();
                self.book.set(broker, None);
                millis(rng, 0..1500).await;
                let next = self.plan.make.start(&self.url(broker)).await;
                self.book.set(broker, Some(next.address()));
                self.brokers[broker] = next;
            }
        }
        let one_path = matches!(
            fault,
            Fault::HoleSub
                | Fault::HoleCmd
                | Fault::HoleAll
                | Fault::Cut
                | Fault::Freeze
                | Fault::Delay
                | Fault::Throttle
                | Fault::BrokerKill
        );
        if one_path {
            reach = Some(broker);
        }
        let to = self.clock.now();
        let (broker, topic) = (reach, touched);
        self.disturbances.push(Disturbance { from, to, broker, topic, harm });
        if let Fault::Failover(how) = fault {
            self.service.as_mut().expect("sentinels").mend(how).await;
        }
        if matches!(fault, Fault::QuietCut | Fault::Chatter | Fault::SecondLife) {
            sleep(Duration::from_millis(6500)).await; // longer than a notice may take
        }
    }

    async fn publish_at(&mut self, broker: usize, topic: TopicId, count: u64, traffic: &Traffic) {
        self.publish_sized_at(broker, topic, (count, DATA_BYTES), traffic).await;
    }

    async fn publish_sized_at(
        &mut self,
        broker: usize,
        topic: TopicId,
        what: (u64, usize),
        traffic: &Traffic,
    ) {
        let (_, address) = self.book.find(broker).expect("a live broker");
        let mut client = connect(address);
        let one = publish_once(self.clock, &mut client, &self.topics, topic, what, traffic).await;
        self.publishes.push(one);
    }

    async fn harm_of_kill(&self) -> Harm {
        match self.plan.persistence {
            // What is not yet written when a slow fsync is under way goes with the process.
            Persistence::None | Persistence::Rdb | Persistence::AofEverysec => Harm::Loss(1),
            Persistence::AofAlways if self.redis.rewrites_its_log().await => Harm::Loss(1),
            Persistence::AofAlways => Harm::Identity,
        }
    }

    async fn hole(&self, broker: usize, which: Which, rng: &mut Rng) {
        let ways = [Direction::Both, Direction::ToBroker, Direction::ToRedis];
        let direction = *rng.choice(&ways).unwrap();
        self.proxies[broker].set(which, direction, Mode::BlackHole);
        millis(rng, 1000..4000).await;
        self.proxies[broker].heal();
    }

    /// Of some topic: which one.
    async fn delete(&self, fault: Fault, rng: &mut Rng) -> TopicId {
        let topic = rng.usize(..self.busy);
        let [hash, stream] = ["m", "s"].map(|part| format!("td:{{{}}}:{part}", self.topics[topic]));
        match fault {
            Fault::DelHash => self.redis.del(&[&hash]).await,
            Fault::DelStream => self.redis.del(&[&stream]).await,
            _ => self.redis.del(&[&hash, &stream]).await,
        }
        topic
    }

    /// Another server, empty: its port.
    async fn elsewhere(&mut self) -> u16 {
        match &self.elsewhere {
            Some(server) => server.flushall().await,
            None => self.elsewhere = Some(RedisServer::start(Persistence::None).await),
        }
        self.elsewhere.as_ref().expect("just started").port()
    }

    async fn follow_and_return(&self, primary: u16) {
        self.redis.replicaof(Some(primary)).await;
        self.redis.in_sync().await;
        self.redis.replicaof(None).await;
    }

    /// One event on each topic, tried until it is acknowledged.
    async fn publish_to_each(&self, traffic: &Traffic) -> Vec<Publish> {
        let mut publishes = Vec::new();
        for topic in 0..self.topics.len() {
            for attempt in 0..100 {
                let (_, address) = self.book.find(attempt).expect("a live broker");
                let mut client = connect(address);
                let one = publish_once(
                    self.clock,
                    &mut client,
                    &self.topics,
                    topic,
                    (1, DATA_BYTES),
                    traffic,
                )
                .await;
                let acked = matches!(one.outcome, Outcome::Acked(_));
                publishes.push(one);
                if acked {
                    break;
                }
                sleep(Duration::from_millis(100)).await;
            }
        }
        publishes
    }
}

async fn millis(rng: &mut Rng, range: std::ops::Range<u64>) {
    sleep(Duration::from_millis(rng.u64(range))).await;
}

impl Verdict {
    pub(crate) fn head() -> String {
        format!(
            "{:<22} {:>6} {:>8} {:>9} {:>7} {:>6} {:>6} {:>7} {:>6} {:>6} {:>6} {:>5} {:>8} {:>8}",
            "trial",
            "faults",
            "acked",
            "delivered",
            "missing",
            "gaps",
            "lossy",
            "unknown",
            "SILENT",
            "dup",
            "order",
            "other",
            "notice s",
            "late s"
        )
    }

    pub(crate) fn row(&self) -> String {
        let report = &self.report;
        let silent = report.undetected();
        let (duplicates, order) =
            (report.count(&["duplicate"]), report.count(&["reordered", "ack order"]));
        let other = report.violations.len() as u64 - silent - duplicates - order;
        format!(
            "{:<22} {:>6} {:>8} {:>9} {:>7} {:>6} {:>6} {:>7} {:>6} {:>6} {:>6} {:>5} {:>8.2} {:>8.2}",
            self.plan.name,
            self.faults.values().sum::<u32>(),
            report.acked,
            report.deliveries,
            report.missing,
            report.gaps,
            report.gaps - report.false_alarms,
            report.unknown,
            silent,
            duplicates,
            order,
            other,
            report.worst_notice as f64 / 1e6,
            report.worst_delivery as f64 / 1e6,
        )
    }

    /// What the promises were broken by, with what happened around it.
    pub(crate) fn story(&self) -> String {
        let mut story = vec![
            format!("seed {} {:?} {:?}", self.plan.seed, self.plan.persistence, self.faults),
            format!("violations {:?}", self.report.counts()),
        ];
        story.extend(self.report.violations.iter().take(12).map(|v| format!("  {v:?}")));
        story.extend(self.panics.iter().cloned());
        if !self.caught_up {
            story.push("some subscriber never had the last event of its topics".into());
        }
        if std::env::var_os("TIDINGS_TRIAL_STORY").is_some() {
            story.extend(self.history.disturbances.iter().map(|done| format!("  {done:?}")));
            story.push(format!("{:#?}", self.gaps()));
            story.push(self.output.clone());
        }
        story.join("\n")
    }

    /// Every announcement, by subscriber.
    fn gaps(&self) -> Vec<(usize, &Seen)> {
        let subscriptions = self.history.subscriptions.iter().enumerate();
        let seen = subscriptions.flat_map(|(index, one)| one.seen.iter().map(move |s| (index, s)));
        seen.filter(|(_, seen)| !matches!(seen, Seen::Event { .. })).collect()
    }

    /// How many announcements have this reason.
    pub(crate) fn gaps_of(&self, wanted: Reason) -> usize {
        let is_wanted = |seen: &&Seen| match seen {
            Seen::Gap { gap, .. } => gap.reason == wanted as i32,
            _ => false,
        };
        let subscriptions = self.history.subscriptions.iter();
        subscriptions.map(|one| one.seen.iter().filter(is_wanted).count()).sum()
    }

    pub(crate) fn faults_by_kind(&self) -> String {
        let each = self.faults.iter().map(|(fault, times)| format!("{fault:?} {times}"));
        format!("    {}", each.collect::<Vec<_>>().join(", "))
    }

    /// Whether every promise was kept.
    pub(crate) fn kept(&self) -> bool {
        self.report.violations.is_empty() && self.panics.is_empty() && self.caught_up
    }

    #[track_caller]
    pub(crate) fn acquit(&self) {
        assert!(self.kept(), "{}\n{}\n{}", Verdict::head(), self.row(), self.story());
    }
}
