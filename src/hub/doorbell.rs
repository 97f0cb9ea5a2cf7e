//! How a subscription is told that there is something to do.
//!
//! Whoever writes to a log that many follow rings all of them. To wake a task from another thread
//! costs a lock and often a system call, so it is not done for each: the tasks of one thread share
//! a [`Ringer`] there, which is woken once and wakes them where they are.

use std::{
    collections::VecDeque,
    fmt,
    future::poll_fn,
    pin::pin,
    sync::{Arc, Weak},
    task::{Context, Wake, Waker},
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{limits::APPEARED_MAX, topic::Topic};

/// Rings for everything that one subscription follows.
#[derive(Debug)]
pub struct Doorbell {
    waiting: Mutex<Waiting>,
    ringer: Option<Ringer>,
}

#[derive(Debug, Default)]
struct Waiting {
    rung: Rung,
    waker: Option<Waker>,
}

/// Why the doorbell was rung.
#[derive(Debug, Default)]
pub struct Rung {
    /// Topics with news, by the number under which they were joined.
    pub topics: Vec<usize>,
    /// Topics that began to exist, with their epoch.
    pub appeared: VecDeque<(Topic, u64)>,
    /// More appeared than can be listed: ask the backend for all.
    pub overflowed: bool,
    /// What is told to every stream of this broker has changed.
    pub changed: bool,
}

/// Wakes the tasks of one thread. Clones are one ringer.
#[derive(Clone, Default)]
pub struct Ringer {
    shared: Arc<Round>,
}

#[derive(Default)]
struct Round {
    /// No more than there are subscriptions and calls: each waits once.
    to_wake: Mutex<Vec<Waker>>,
    notify: Notify,
}

/// A task of this thread, for those who know but wakers.
struct Knock {
    ringer: Ringer,
    waker: Waker,
}

/// Those who were rung and are still to be woken.
#[derive(Debug, Default)]
pub(super) struct Rings {
    rounds: Vec<Ringer>,
}

/// All doorbells of a hub.
#[derive(Debug, Default)]
pub(super) struct Doorbells {
    all: Mutex<Hung>,
}

#[derive(Debug, Default)]
struct Hung {
    doorbells: Vec<Weak<Doorbell>>,
    /// Those that are gone are taken out when there are so many.
    sweep_at: usize,
}

impl Doorbell {
    /// Takes up why it was rung since the last time; adds to what is in `rung`. When it is rung
    /// again, `waker` is woken once.
    pub fn answer(&self, rung: &mut Rung, waker: &Waker) {
        let mut waiting = self.waiting.lock();
        match &mut waiting.waker {
            Some(known) => known.clone_from(waker),
            none @ None => *none = Some(waker.clone()),
        }
        // Swapped where it can be, so that neither side has to allocate again.
        if rung.is_empty() {
            if !waiting.rung.is_empty() {
                std::mem::swap(&mut waiting.rung, rung);
            }
            return;
        }
        let mut more = std::mem::take(&mut waiting.rung);
        rung.topics.append(&mut more.topics);
        rung.appeared.append(&mut more.appeared);
        rung.overflowed |= more.overflowed;
        rung.changed |= more.changed;
    }

    pub(super) fn ring(&self, rings: &mut Rings, why: impl FnOnce(&mut Rung)) {
        let waker = {
            let mut waiting = self.waiting.lock();
            why(&mut waiting.rung);
            waiting.waker.take()
        };
        let Some(waker) = waker else { return };
        match &self.ringer {
            Some(ringer) => rings.add(ringer, waker),
            None => waker.wake(),
        }
    }
}

impl Rung {
    fn is_empty(&self) -> bool {
        self.topics.is_empty() && self.appeared.is_empty() && !self.overflowed && !self.changed
    }

    pub(super) fn appeared(&mut self, topic: &Topic, epoch: u64) {
        if self.appeared.len() < APPEARED_MAX {
            self.appeared.push_back((topic.clone(), epoch));
        } else {
            self.overflowed = true;
        }
    }
}

impl Ringer {
    /// Wakes whoever is rung, on the thread where this runs. Never returns.
    pub async fn run(self) {
        let mut to_wake = Vec::new();
        loop {
            self.shared.notify.notified().await;
            std::mem::swap(&mut *self.shared.to_wake.lock(), &mut to_wake);
            for waker in to_wake.drain(..) {
                waker.wake();
            }
        }
    }

    /// Waits for `work` on the thread where this runs. Whoever wakes many of those who wait so, as the
    /// answer to a group of publishes does, makes a system call for the first one alone.
    pub async fn attend<W: Future>(&self, work: W) -> W::Output {
        let mut work = pin!(work);
        poll_fn(|cx| {
            let knock = Knock { ringer: self.clone(), waker: cx.waker().clone() };
            work.as_mut().poll(&mut Context::from_waker(&Waker::from(Arc::new(knock))))
        })
        .await
    }
}

impl Wake for Knock {
    fn wake(self: Arc<Knock>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Knock>) {
        let first = {
            let mut to_wake = self.ringer.shared.to_wake.lock();
            to_wake.push(self.waker.clone());
            to_wake.len() == 1
        };
        // Whoever came before has told the thread, or is about to.
        if first {
            self.ringer.shared.notify.notify_one();
        }
    }
}

impl fmt::Debug for Ringer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ringer").finish_non_exhaustive()
    }
}

impl Rings {
    fn add(&mut self, ringer: &Ringer, waker: Waker) {
        ringer.shared.to_wake.lock().push(waker);
        // There are as many as threads: few.
        if !self.rounds.iter().any(|known| Arc::ptr_eq(&known.shared, &ringer.shared)) {
            self.rounds.push(ringer.clone());
        }
    }
}

/// When all are rung, each thread is told once.
impl Drop for Rings {
    fn drop(&mut self) {
        for ringer in &self.rounds {
            ringer.shared.notify.notify_one();
        }
    }
}

impl Doorbells {
    pub(super) fn hang(&self, ringer: Option<Ringer>) -> Arc<Doorbell> {
        const FEW: usize = 64;
        let doorbell = Arc::new(Doorbell { waiting: Mutex::default(), ringer });
        let mut all = self.all.lock();
        if all.doorbells.len() >= all.sweep_at {
            all.doorbells.retain(|doorbell| doorbell.strong_count() > 0);
            all.sweep_at = (2 * all.doorbells.len()).max(FEW);
        }
        all.doorbells.push(Arc::downgrade(&doorbell));
        doorbell
    }

    /// Tells every subscription that something of the broker has changed.
    pub(super) fn ring_all(&self) {
        let all: Vec<_> = self.all.lock().doorbells.iter().filter_map(Weak::upgrade).collect();
        let mut rings = Rings::default();
        for doorbell in all {
            doorbell.ring(&mut rings, |rung| rung.changed = true);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::{
        FutureExt as _,
        task::{ArcWake, waker},
    };
    use tokio::sync::oneshot;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl ArcWake for Woken {
        fn wake_by_ref(woken: &Arc<Woken>) {
            woken.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    impl Woken {
        fn times(&self) -> usize {
            self.0.load(Ordering::SeqCst)
        }
    }

    #[test]
    fn who_listens_is_woken_once_and_finds_all_reasons() {
        let doorbell = Doorbells::default().hang(None);
        let woken = Arc::new(Woken::default());
        let (mut rung, mut rings) = (Rung::default(), Rings::default());
        for times in 1..3 {
            doorbell.answer(&mut rung, &waker(woken.clone()));
            for number in [3, 5] {
                doorbell.ring(&mut rings, |rung| rung.topics.push(number));
            }
            assert_eq!(woken.times(), times);
        }
        doorbell.answer(&mut rung, &waker(woken));
        assert_eq!(rung.topics, [3, 5, 3, 5]);
    }

    #[tokio::test]
    async fn the_ringer_of_a_thread_wakes_all_of_it_in_one_go() {
        let (ringer, doorbells) = (Ringer::default(), Doorbells::default());
        let ringing = tokio::spawn(ringer.clone().run());
        let woken = Arc::new(Woken::default());
        let hung: Vec<_> = (0..10).map(|_| doorbells.hang(Some(ringer.clone()))).collect();
        for doorbell in &hung {
            doorbell.answer(&mut Rung::default(), &waker(woken.clone()));
        }
        doorbells.ring_all();
        assert_eq!(woken.times(), 0, "they are woken where the ringer runs");
        while woken.times() < hung.len() {
            tokio::task::yield_now().await;
        }
        ringing.abort();
    }

    #[tokio::test]
    async fn calls_that_are_answered_together_are_woken_in_one_go() {
        let ringer = Ringer::default();
        let (answers, asked): (Vec<_>, Vec<_>) = (0..10).map(|_| oneshot::channel()).unzip();
        let woken = Arc::new(Woken::default());
        let waker = waker(woken.clone());
        let mut calls: Vec<_> = asked.into_iter().map(|call| ringer.attend(call).boxed()).collect();
        for call in &mut calls {
            assert!(call.poll_unpin(&mut Context::from_waker(&waker)).is_pending());
        }
        for answer in answers {
            answer.send(()).expect("it waits");
        }
        assert_eq!(woken.times(), 0, "they are woken where the ringer runs");
        let ringing = tokio::spawn(ringer.clone().run());
        while woken.times() < calls.len() {
            tokio::task::yield_now().await;
        }
        for call in calls {
            call.now_or_never().expect("answered").expect("an answer");
        }
        ringing.abort();
    }

    #[test]
    fn doorbells_that_are_gone_are_not_kept() {
        let doorbells = Doorbells::default();
        let kept = doorbells.hang(None);
        for _ in 0..1000 {
            doorbells.hang(None);
        }
        assert!(doorbells.all.lock().doorbells.len() < 100);
        doorbells.ring_all();
        let mut rung = Rung::default();
        kept.answer(&mut rung, &waker(Arc::new(Woken::default())));
        assert!(rung.changed);
    }
}
