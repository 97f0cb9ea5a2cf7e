//! What a run measures, shared by all of its tasks.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use hdrhistogram::Histogram;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{continuity::Place, plan::STAMP_BYTES, turns::Turn};
use crate::{grpc::client::CallError, proto::PublishResponse};

#[derive(Debug)]
pub(super) struct Meter {
    began: Instant,
    /// Stands in the data of this run's events.
    run: u64,
    pub(super) published: AtomicU64,
    pub(super) delivered: AtomicU64,
    pub(super) reconnects: AtomicU64,
    requests: AtomicU64,
    answers: AtomicU64,
    last_answer: AtomicU64,
    first_delivery: AtomicU64,
    last_delivery: AtomicU64,
    failed: Mutex<BTreeMap<String, u64>>,
    /// The last place that an answer told.
    acknowledged: Mutex<Place>,
    /// From when a request was due until it was sent …
    pub(super) lateness: Latencies,
    /// … until it was answered …
    pub(super) answer_latencies: Latencies,
    /// … and until its events came to a subscriber.
    pub(super) delivery_latencies: Latencies,
}

/// Microseconds. In parts, so that threads do not wait for each other.
#[derive(Debug)]
pub(super) struct Latencies(Box<[Mutex<Histogram<u64>>]>);

/// Longer ones are counted as this one.
const LATENCY_MAX: Duration = Duration::from_secs(600);
const SIGNIFICANT_DIGITS: u8 = 3;
/// No time yet.
const NEVER: u64 = u64::MAX;

impl Meter {
    pub(super) fn new(run: u64, threads: u32) -> Meter {
        Meter {
            began: Instant::now(),
            run,
            published: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            reconnects: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            answers: AtomicU64::new(0),
            last_answer: AtomicU64::new(0),
            first_delivery: AtomicU64::new(NEVER),
            last_delivery: AtomicU64::new(0),
            failed: Mutex::default(),
            acknowledged: Mutex::default(),
            lateness: Latencies::new(threads),
            answer_latencies: Latencies::new(threads),
            delivery_latencies: Latencies::new(threads),
        }
    }

    /// Since the run began, in nanoseconds.
    pub(super) fn now(&self) -> u64 {
        self.at(Instant::now())
    }

    pub(super) fn at(&self, instant: Instant) -> u64 {
        u64::try_from(instant.duration_since(self.began).as_nanos()).unwrap_or(u64::MAX)
    }

    /// The beginning of an event's data.
    pub(super) fn stamp(&self, due: Instant) -> [u8; STAMP_BYTES] {
        let mut stamp = [0; STAMP_BYTES];
        stamp[..8].copy_from_slice(&self.run.to_be_bytes());
        stamp[8..].copy_from_slice(&self.at(due).to_be_bytes());
        stamp
    }

    /// When the event was due; none where it is of another run.
    pub(super) fn due(&self, data: &[u8]) -> Option<u64> {
        let (run, rest) = data.split_first_chunk()?;
        let (due, _) = rest.split_first_chunk()?;
        (u64::from_be_bytes(*run) == self.run).then(|| u64::from_be_bytes(*due))
    }

    pub(super) fn sent(&self, part: usize, turn: &Turn) {
        self.requests.fetch_add(1, Relaxed);
        self.lateness.record(part, [turn.due.elapsed()]);
    }

    /// A failure that may pass is counted; another is the caller's.
    pub(super) fn answered(
        &self,
        part: usize,
        turn: &Turn,
        answer: Result<PublishResponse, CallError>,
    ) -> Result<Answered, CallError> {
        self.answers.fetch_add(1, Relaxed);
        self.last_answer.store(self.now(), Relaxed);
        match answer {
            Ok(response) => {
                self.answer_latencies.record(part, [turn.due.elapsed()]);
                self.published.fetch_add(response.receipts.len() as u64, Relaxed);
                let last = response.receipts.last().and_then(|last| last.position.as_ref());
                if let Some(last) = last.map(Place::from) {
                    let mut acknowledged = self.acknowledged.lock();
                    // Answers of several publishers come in any order.
                    if last.epoch != acknowledged.epoch || last.sequence > acknowledged.sequence {
                        *acknowledged = last;
                    }
                }
                Ok(Answered::Acknowledged)
            }
            Err(error) if error.is_passing() || error.code == "DEADLINE_EXCEEDED" => {
                self.fail(&error, 1);
                let pause = error.retry_after.unwrap_or(PAUSE).min(PAUSE_MAX);
                Ok(Answered::Failed { pause })
            }
            Err(error) => Err(error),
        }
    }

    pub(super) fn fail(&self, error: &CallError, requests: u64) {
        let name = match &*error.reason {
            "" => error.code.to_owned(),
            reason => format!("{}/{reason}", error.code),
        };
        *self.failed.lock().entry(name).or_default() += requests;
    }

    pub(super) fn arrived(&self, events: u64, now: u64) {
        self.first_delivery.fetch_min(now, Relaxed);
        self.last_delivery.fetch_max(now, Relaxed);
        self.delivered.fetch_add(events, Relaxed);
    }

    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    pub(super) fn failed(&self) -> BTreeMap<String, u64> {
        self.failed.lock().clone()
    }

    pub(super) fn acknowledged(&self) -> Place {
        *self.acknowledged.lock()
    }

    pub(super) fn unanswered(&self) -> u64 {
        self.requests().saturating_sub(self.answers.load(Relaxed))
    }

    /// How long ago the last answer came, where one did.
    pub(super) fn last_answer(&self) -> Duration {
        Duration::from_nanos(self.last_answer.load(Relaxed))
    }

    /// None before the first event came.
    pub(super) fn first_delivery(&self) -> Option<Duration> {
        let first = self.first_delivery.load(Relaxed);
        (first != NEVER).then(|| Duration::from_nanos(first))
    }

    pub(super) fn last_delivery(&self) -> Duration {
        Duration::from_nanos(self.last_delivery.load(Relaxed))
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answered {
    Acknowledged,
    /// Before another attempt there should be a pause.
    Failed {
        pause: Duration,
    },
}

const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

impl Latencies {
    #[allow(clippy::expect_used, reason = "the bounds are constants")]
    fn new(parts: u32) -> Latencies {
        let part = |_| {
            let max = LATENCY_MAX.as_micros() as u64;
            let bounded = Histogram::new_with_bounds(1, max, SIGNIFICANT_DIGITS);
            Mutex::new(bounded.expect("valid bounds"))
        };
        Latencies((0..parts.max(1)).map(part).collect())
    }

    pub(super) fn record(&self, part: usize, latencies: impl IntoIterator<Item = Duration>) {
        let mut part = self.0[part % self.0.len()].lock();
        for latency in latencies {
            part.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
        }
    }

    /// All parts as one.
    pub(super) fn whole(&self) -> Histogram<u64> {
        let mut whole = self.0[0].lock().clone();
        for part in &self.0[1..] {
            // Of the same bounds.
            let _ = whole.add(&*part.lock());
        }
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_event_carries_when_it_was_due_to_whoever_is_of_its_run() {
        let meter = Meter::new(7, 1);
        let due = Instant::now();
        let stamp = meter.stamp(due);
        assert_eq!(meter.due(&[&stamp[..], b"more"].concat()), Some(meter.at(due)));
        assert_eq!(Meter::new(8, 1).due(&stamp), None);
        assert_eq!(meter.due(&stamp[..15]), None);
        assert_eq!(meter.due(b""), None);
    }

    #[test]
    fn latencies_of_all_threads_are_one_distribution() {
        let latencies = Latencies::new(3);
        for part in 0..100 {
            latencies.record(part, [Duration::from_micros(part as u64 + 1)]);
        }
        latencies.record(0, [2 * LATENCY_MAX]);
        let whole = latencies.whole();
        assert_eq!((whole.len(), whole.value_at_quantile(0.5)), (101, 51));
        assert!(whole.max() >= LATENCY_MAX.as_micros() as u64 / 2, "{}", whole.max());
    }

    #[tokio::test]
    async fn what_may_pass_is_counted_and_what_will_not_ends_the_run() {
        let meter = Meter::new(7, 1);
        let turn = Turn { events: 1, due: Instant::now() };
        let of =
            |code, reason: &str| CallError { code, reason: reason.into(), ..Default::default() };
        let full = meter.answered(0, &turn, Err(of("RESOURCE_EXHAUSTED", "RATE_LIMITED")));
        assert_eq!(full, Ok(Answered::Failed { pause: PAUSE }));
        let off = meter.answered(0, &turn, Err(of("UNIMPLEMENTED", "FEATURE_OFF")));
        assert_eq!(off.map_err(|error| error.code), Err("UNIMPLEMENTED"));
        assert_eq!(meter.failed(), [("RESOURCE_EXHAUSTED/RATE_LIMITED".to_owned(), 1)].into());
    }
}
