//! Who publishes in a trial, and remembers what became of each event.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use fastrand::Rng;
use tokio::time::sleep;

use super::{
    client::{
        AddressBook, Answer, Client, Clock, DATA_BYTES, PublishStream, connect, publish_sized,
    },
    history::{Outcome, Publish, TopicId},
};

/// Requests of a stream that are sent together.
const STREAMED_TOGETHER: u64 = 8;
/// How often one publish is sent again, with a pause before each.
const AGAIN_MAX: usize = 100;

/// What publishers and the tormentor share.
#[derive(Debug, Clone, Default)]
pub(crate) struct Traffic {
    pub(crate) next_id: Arc<AtomicU64>,
    pub(crate) acked: Arc<AtomicU64>,
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) pause: Arc<AtomicBool>,
}

pub(crate) struct Publisher {
    pub(crate) clock: Clock,
    pub(crate) book: AddressBook,
    pub(crate) topics: Arc<Vec<String>>,
    /// The first so many of them are published on.
    pub(crate) busy: usize,
    pub(crate) traffic: Traffic,
    pub(crate) rng: Rng,
    /// In events per second.
    pub(crate) rate: f64,
    /// Which one it goes to first.
    pub(crate) broker: usize,
    pub(crate) sends_again: bool,
}

impl Publisher {
    pub(crate) async fn run(mut self) -> Vec<Publish> {
        let mut client: Option<Client> = None;
        let mut publishes = Vec::new();
        while !self.traffic.stop.load(Ordering::Relaxed) {
            if self.traffic.pause.load(Ordering::Relaxed) {
                sleep(Duration::from_millis(20)).await;
                continue;
            }
            let Some(open) = &mut client else {
                sleep(Duration::from_millis(50)).await;
                client = self.book.find(self.broker).map(|(_, address)| connect(address));
                continue;
            };
            let topic = self.rng.usize(..self.busy);
            let count =
                if self.rng.u8(..6) == 0 { self.rng.u64(9..=64) } else { self.rng.u64(1..=8) };
            let mut published = publish_once(
                self.clock,
                open,
                &self.topics,
                topic,
                (count, DATA_BYTES),
                &self.traffic,
            )
            .await;
            if !matches!(published.outcome, Outcome::Acked(_)) {
                client = None;
                self.broker += 1;
            }
            if self.sends_again {
                self.send_again(&mut published).await;
            }
            publishes.push(published);
            sleep(Duration::from_secs_f64(count as f64 / self.rate)).await;
        }
        publishes
    }
}

impl Publisher {
    /// To the next broker: what may be stored until it is known to be, and some of what is.
    async fn send_again(&mut self, published: &mut Publish) {
        let mut known_again = self.rng.u8(..4) == 0;
        for attempt in 0..AGAIN_MAX {
            match published.outcome {
                Outcome::Unknown { .. } => sleep(Duration::from_millis(100)).await,
                Outcome::Acked(_) if known_again => known_again = false,
                Outcome::Acked(_) | Outcome::NotPublished { .. } => return,
            }
            let Some((_, address)) = self.book.find(self.broker + 1 + attempt) else { continue };
            let name = &self.topics[published.topic];
            let ids = published.first_id..published.first_id + published.count;
            let answer = publish_sized(&mut connect(address), name, ids, DATA_BYTES).await;
            match (&published.outcome, &answer.outcome) {
                (Outcome::Acked(first), Outcome::Acked(again)) => assert_eq!(first, again),
                (Outcome::Unknown { .. }, Outcome::Acked(_)) => {
                    self.traffic.acked.fetch_add(published.count, Ordering::Relaxed);
                    (published.outcome, published.replicated) = (answer.outcome, answer.replicated);
                    published.answered = self.clock.now();
                }
                // Of this attempt it may be sure, and knows nothing of the one before.
                _ => (),
            }
        }
    }

    /// As [`Publisher::run`], but several requests are under way at a time.
    pub(crate) async fn stream(mut self) -> Vec<Publish> {
        let mut stream: Option<PublishStream> = None;
        let mut publishes = Vec::new();
        while !self.traffic.stop.load(Ordering::Relaxed) {
            if self.traffic.pause.load(Ordering::Relaxed) {
                sleep(Duration::from_millis(20)).await;
                continue;
            }
            let Some(open) = &mut stream else {
                sleep(Duration::from_millis(50)).await;
                let Some((_, address)) = self.book.find(self.broker) else { continue };
                stream = PublishStream::open(&mut connect(address)).await;
                self.broker += usize::from(stream.is_none());
                continue;
            };
            let mut under_way = Vec::new();
            let (mut events, mut goes_on) = (0, true);
            for _ in 0..self.rng.u64(1..=STREAMED_TOGETHER) {
                let (topic, count) = (self.rng.usize(..self.busy), self.rng.u64(1..=8));
                let first_id = self.traffic.next_id.fetch_add(count, Ordering::Relaxed);
                let ids = first_id..first_id + count;
                under_way.push((topic, first_id, count, self.clock.now()));
                events += count;
                goes_on &= open.send(&self.topics[topic], ids).await;
            }
            let mut ended: Option<Answer> = None;
            for (topic, first_id, count, sent) in under_way {
                let answer = match ended.clone() {
                    Some(answer) => answer,
                    None => {
                        let (answer, still) = open.answer().await;
                        // As a service would, it tries the next broker then.
                        goes_on &= still && matches!(answer.outcome, Outcome::Acked(_));
                        ended = (!still).then(|| answer.clone());
                        answer
                    }
                };
                let Answer { outcome, replicated } = answer;
                if matches!(outcome, Outcome::Acked(_)) {
                    self.traffic.acked.fetch_add(count, Ordering::Relaxed);
                }
                let answered = self.clock.now();
                publishes.push(Publish {
                    topic,
                    first_id,
                    count,
                    sent,
                    answered,
                    outcome,
                    replicated,
                });
            }
            if !goes_on {
                stream = None;
                self.broker += 1;
            }
            sleep(Duration::from_secs_f64(events as f64 / self.rate)).await;
        }
        publishes
    }
}

pub(crate) async fn publish_once(
    clock: Clock,
    client: &mut Client,
    topics: &[String],
    topic: TopicId,
    (count, bytes): (u64, usize),
    traffic: &Traffic,
) -> Publish {
    let first_id = traffic.next_id.fetch_add(count, Ordering::Relaxed);
    let sent = clock.now();
    let ids = first_id..first_id + count;
    let Answer { outcome, replicated } = publish_sized(client, &topics[topic], ids, bytes).await;
    if matches!(outcome, Outcome::Acked(_)) {
        traffic.acked.fetch_add(count, Ordering::Relaxed);
    }
    Publish { topic, first_id, count, sent, answered: clock.now(), outcome, replicated }
}
