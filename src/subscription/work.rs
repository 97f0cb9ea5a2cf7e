//! What a subscription has done beside its stream: topics are joined, history is read, topics are
//! listed, and what takes long to show is made. What a backend is asked is tried again until it is
//! answered. No more is under way at a time than its bound.

use std::{
    collections::VecDeque,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};

use crate::{
    backend::BackendError,
    frame::Frame,
    hub::{Doorbell, Hub, Member, Stretch, Turn},
    item::Item,
    lens::Lens,
    limits::{JOINS_MAX, READS_MAX},
    position::Position,
    topic::Topic,
};

/// Most subscriptions have none most of the time.
#[derive(Default)]
pub(super) struct Work {
    running: FuturesUnordered<BoxFuture<'static, Done>>,
    to_read: VecDeque<(usize, Topic, Reading)>,
    reading: usize,
    to_join: VecDeque<(Topic, usize, Position)>,
    joining: usize,
    to_list: bool,
    listing: bool,
    /// No more than one of each topic; the hub makes few at a time.
    to_show: Vec<(usize, Arc<Item>, Arc<Lens>)>,
}

/// A stretch of history to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) after: Position,
    pub(super) until: Position,
}

pub(super) enum Done {
    Read(usize, Result<(Stretch, Turn), BackendError>),
    Joined(usize, Position, Result<(Member, Position), BackendError>),
    Listed(Result<Vec<Topic>, BackendError>),
    Shown(usize, Arc<Item>, VecDeque<Frame>, bool),
}

impl Work {
    pub(super) fn read(&mut self, number: usize, topic: Topic, reading: Reading) {
        self.to_read.push_back((number, topic, reading));
    }

    /// A topic that is to be followed from this place.
    pub(super) fn join(&mut self, topic: Topic, number: usize, from: Position) {
        self.to_join.push_back((topic, number, from));
    }

    pub(super) fn list(&mut self) {
        self.to_list = true;
    }

    /// Events of a topic of which what the lens shows may take long.
    pub(super) fn show(&mut self, number: usize, item: Arc<Item>, lens: Arc<Lens>) {
        self.to_show.push((number, item, lens));
    }

    /// Whether topics may exist that are not followed yet.
    pub(super) fn is_looking_for_topics(&self) -> bool {
        !self.to_join.is_empty() || self.joining > 0 || self.to_list || self.listing
    }

    pub(super) fn is_over(&self) -> bool {
        self.running.is_empty()
            && self.to_read.is_empty()
            && self.to_show.is_empty()
            && !self.is_looking_for_topics()
    }

    /// Starts as much as may be under way.
    pub(super) fn start(&mut self, hub: &Hub, doorbell: &Arc<Doorbell>) {
        while self.reading < READS_MAX
            && let Some((number, topic, Reading { after, until })) = self.to_read.pop_front()
        {
            self.reading += 1;
            let hub = hub.clone();
            let read = persist(move || {
                let (hub, topic) = (hub.clone(), topic.clone());
                async move { hub.read(topic, after, until).await }
            });
            self.running.push(read.map(move |read| Done::Read(number, read)).boxed());
        }
        while self.joining < JOINS_MAX
            && let Some((topic, number, from)) = self.to_join.pop_front()
        {
            self.joining += 1;
            let (hub, doorbell) = (hub.clone(), doorbell.clone());
            let join = persist(move || {
                let (hub, topic, doorbell) = (hub.clone(), topic.clone(), doorbell.clone());
                async move { hub.join(&topic, doorbell, number).await }
            });
            self.running.push(join.map(move |joined| Done::Joined(number, from, joined)).boxed());
        }
        if self.to_list && !self.listing {
            (self.to_list, self.listing) = (false, true);
            let backend = hub.backend().clone();
            let list = persist(move || {
                let backend = backend.clone();
                async move { backend.watch_topics().await }
            });
            self.running.push(list.map(Done::Listed).boxed());
        }
        for (number, item, lens) in self.to_show.drain(..) {
            let show = hub.show(item.clone(), lens);
            let done =
                move |(frames, last_is_told)| Done::Shown(number, item, frames, last_is_told);
            self.running.push(show.map(done).boxed());
        }
    }

    /// What is done; pending also where nothing is under way.
    pub(super) fn poll_done(&mut self, cx: &mut Context<'_>) -> Poll<Done> {
        let Poll::Ready(Some(done)) = self.running.poll_next_unpin(cx) else {
            return Poll::Pending;
        };
        match done {
            Done::Read(..) => self.reading -= 1,
            Done::Joined(..) => self.joining -= 1,
            Done::Listed(_) => self.listing = false,
            Done::Shown(..) => (),
        }
        Poll::Ready(done)
    }
}

/// Tries again until the backend answers. What it refuses it would refuse again.
async fn persist<T, F>(mut attempt: impl FnMut() -> F) -> Result<T, BackendError>
where
    F: Future<Output = Result<T, BackendError>>,
{
    const DELAY_MAX: Duration = Duration::from_secs(1);
    let mut delay = Duration::from_millis(50);
    loop {
        match attempt().await {
            Ok(answer) => return Ok(answer),
            Err(error @ (BackendError::Refused { .. } | BackendError::Conflict { .. })) => {
                return Err(error);
            }
            Err(
                BackendError::Unavailable { .. }
                | BackendError::Failover { .. }
                | BackendError::Full { .. }
                | BackendError::Overloaded { .. }
                | BackendError::Timeout { .. }
                | BackendError::OutcomeUnknown { .. },
            ) => (),
        }
        tokio::time::sleep(delay).await;
        delay = (delay * 2).min(DELAY_MAX);
    }
}
