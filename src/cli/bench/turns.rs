//! Whose turn it is to publish, and when it is due.
//!
//! At a rate, turns come by the clock and not when an answer allows: a server that stalls does not
//! stop the clock, and what is late is counted from when it was due.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::Duration,
};

use tokio::{sync::Semaphore, time::Instant};

use super::plan::Publishing;

#[derive(Debug)]
pub(super) struct Turns {
    batch: u64,
    events: Option<u64>,
    given: AtomicU64,
    stopped: AtomicBool,
    /// Of a rate: the turns that are due and not taken.
    due: Option<Schedule>,
}

#[derive(Debug)]
struct Schedule {
    began: Instant,
    interval: Duration,
    permits: Semaphore,
}

/// A request to be sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn {
    pub(super) events: u64,
    /// When it should be sent.
    pub(super) due: Instant,
}

/// The clock of a schedule: a thread, since timers of the runtime are a millisecond wide.
#[derive(Debug)]
pub(super) struct Clock(Option<JoinHandle<()>>);

/// Between two looks at whether the run has ended.
const NAP: Duration = Duration::from_millis(20);
/// More than publishers can have in flight together.
const WAITERS_MAX: usize = 1 << 30;

impl Turns {
    /// The first turn is due at once.
    pub(super) fn begin(publishing: &Publishing, events: Option<u64>) -> (Arc<Turns>, Clock) {
        let batch = u64::from(publishing.batch);
        let due = publishing.rate.map(|rate| Schedule {
            began: Instant::now(),
            interval: Duration::from_secs(1).mul_f64(f64::from(publishing.batch) / f64::from(rate)),
            permits: Semaphore::new(0),
        });
        let (given, stopped) = (AtomicU64::new(0), AtomicBool::new(false));
        let turns = Arc::new(Turns { batch, events, given, stopped, due });
        let clock = turns.due.is_some().then(|| {
            let turns = turns.clone();
            std::thread::spawn(move || turns.keep_time())
        });
        (turns, Clock(clock))
    }

    /// None when all are taken, or the run has ended. Cancel safe.
    pub(super) async fn next(&self) -> Option<Turn> {
        if let Some(schedule) = &self.due {
            // An error means that it was closed.
            schedule.permits.acquire().await.ok()?.forget();
        }
        if self.stopped.load(Relaxed) {
            return None;
        }
        let before = self.given.fetch_add(self.batch, Relaxed);
        let left = self.events.map_or(u64::MAX, |events| events.saturating_sub(before));
        let due = match &self.due {
            None => Instant::now(),
            Some(schedule) => schedule.due(before / self.batch),
        };
        (left > 0).then_some(Turn { events: self.batch.min(left), due })
    }

    pub(super) fn stop(&self) {
        self.stopped.store(true, Relaxed);
        if let Some(schedule) = &self.due {
            schedule.permits.close();
        }
    }

    fn keep_time(&self) {
        let Some(schedule) = &self.due else { return };
        let all = self.events.map_or(u64::MAX, |events| events.div_ceil(self.batch));
        let mut released = 0;
        while !self.stopped.load(Relaxed) {
            if released >= all {
                // Nobody has to wait for a turn that will not come: whoever does finds none left.
                return schedule.permits.add_permits(WAITERS_MAX);
            }
            let now = Instant::now();
            let next = schedule.due(released);
            if next > now {
                std::thread::sleep(next.duration_since(now).min(NAP));
                continue;
            }
            let due = (now - schedule.began).as_nanos() / schedule.interval.as_nanos().max(1) + 1;
            let due = u64::try_from(due).unwrap_or(u64::MAX).min(all);
            let more = due.saturating_sub(released).max(1);
            let room = Semaphore::MAX_PERMITS - WAITERS_MAX - schedule.permits.available_permits();
            schedule.permits.add_permits(usize::try_from(more).unwrap_or(room).min(room));
            released += more;
        }
    }
}

impl Schedule {
    fn due(&self, turn: u64) -> Instant {
        self.began + Duration::from_nanos((self.interval.as_nanos() as u64).saturating_mul(turn))
    }
}

impl Clock {
    /// After the turns were stopped.
    pub(super) fn stop(&mut self) {
        if let Some(thread) = self.0.take() {
            // It does nothing that panics, and if it did, the turns would have ended.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publishing(batch: u32, rate: Option<u32>) -> Publishing {
        Publishing { publishers: 1, size: 16, batch, in_flight: 1, rate, stream: false }
    }

    async fn all(turns: &Turns) -> Vec<Turn> {
        let mut taken = Vec::new();
        while let Some(turn) = turns.next().await {
            taken.push(turn);
        }
        taken
    }

    #[tokio::test]
    async fn every_event_is_published_once_whatever_the_batch() {
        for rate in [None, Some(100_000)] {
            let (turns, mut clock) = Turns::begin(&publishing(4, rate), Some(10));
            let sizes: Vec<_> = all(&turns).await.iter().map(|turn| turn.events).collect();
            assert_eq!(sizes, [4, 4, 2], "{rate:?}");
            turns.stop();
            clock.stop();
        }
    }

    #[tokio::test]
    async fn at_a_rate_turns_are_due_by_the_clock_however_late_they_are_taken() {
        let (turns, mut clock) = Turns::begin(&publishing(2, Some(1000)), Some(8));
        let taken = all(&turns).await;
        let apart = taken.windows(2).map(|pair| pair[1].due - pair[0].due);
        assert!(apart.into_iter().all(|apart| apart == Duration::from_millis(2)), "{taken:?}");
        turns.stop();
        clock.stop();
    }

    #[tokio::test]
    async fn nobody_waits_for_a_turn_after_the_end() {
        let (turns, mut clock) = Turns::begin(&publishing(1, Some(1)), None);
        turns.next().await.expect("the first is due at once");
        let waiting = turns.next();
        turns.stop();
        assert!(waiting.await.is_none());
        clock.stop();
    }
}
