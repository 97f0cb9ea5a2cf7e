//! Opening one topic, and reading it from what was told to its end.

use std::sync::Arc;

use super::{
    connection::{CallError, Link},
    session::Session,
};
use crate::{
    backend::{
        News, TopicSettings,
        feed::Teller,
        replay::{Bound, Progress, Replay, Told},
    },
    position::{Gap, GapReason, Position},
    topic::Topic,
};

/// How often a topic is opened again because it changed under the reader.
const OPENINGS_MAX: usize = 8;

/// Why a topic is opened and read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    Attach,
    /// The connection is new: anything may have happened.
    Reconnect {
        births_changed: bool,
    },
    /// Something live does not follow what was told.
    Live {
        heard: u64,
    },
    Check,
}

/// Opens one topic and reads it from what was told to its end, telling the feed on the way.
pub(super) struct Sync {
    pub(super) session: Arc<Session>,
    pub(super) feed: Teller,
    pub(super) link: Arc<Link>,
    pub(super) reader: Arc<Link>,
    pub(super) topic: Topic,
    pub(super) settings: Arc<TopicSettings>,
    pub(super) told: Option<Position>,
    pub(super) suspected: bool,
    pub(super) why: Why,
}

/// How reading what an open answered ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Read {
    ToTheEnd,
    RolledBack,
    /// Redis holds another life than the open named.
    Changed,
}

impl Sync {
    /// What has been told stays true also where the reading fails half way.
    pub(super) async fn run(mut self) -> (Sync, Result<(), CallError>) {
        let result = self.steps().await;
        let known = self.session.known(&self.topic);
        let mut known = known.lock();
        known.tell(self.told);
        if let Some(told) = self.told.filter(|told| !told.is_beginning()) {
            known.learn(told);
        }
        drop(known);
        (self, result)
    }

    async fn steps(&mut self) -> Result<(), CallError> {
        let mut heard = match self.why {
            Why::Live { heard } => Some(heard),
            Why::Attach | Why::Reconnect { .. } | Why::Check => None,
        };
        let known = self.session.known(&self.topic);
        for _ in 0..OPENINGS_MAX {
            if known.lock().distrusted.is_some() {
                heard = None;
            }
            let opened =
                self.session.open(&self.reader, &self.topic, &self.settings, &known, false).await?;
            if opened.replid != self.link.replid() {
                self.session.forget("redis has another replication id");
                return Err(CallError::NotSent);
            }
            let (told, last) = match (self.told, opened.last) {
                (None, last) => {
                    let at = last.unwrap_or(Position::BEGINNING);
                    self.told = Some(at);
                    self.tell(News::Attached { topic: self.topic.clone(), at }).await;
                    return Ok(());
                }
                // Deleted under a connection that carried all before it: what comes next will say
                // whether it follows.
                (Some(_), None) if self.why == Why::Check => return Ok(()),
                (Some(told), None) => {
                    let unseen = self.why == Why::Reconnect { births_changed: true };
                    if !told.is_beginning() || unseen {
                        let gap = Gap::between(told, Position::BEGINNING, GapReason::EpochChanged);
                        self.lost(Gap { missed: None, ..gap }).await;
                    }
                    return Ok(());
                }
                (Some(told), Some(last)) => (told, last),
            };
            if known.lock().has_left(last.epoch) {
                // What was told of it would be told again.
                known.lock().distrusted = Some(last.epoch);
                continue;
            }
            let another_life = self.why == Why::Check && told.epoch != last.epoch;
            self.suspected = another_life && !self.suspected;
            if self.suspected {
                return Ok(());
            }
            match self.catch_up(told, last.epoch, heard).await? {
                Read::ToTheEnd => return Ok(()),
                Read::RolledBack => known.lock().distrusted = Some(last.epoch),
                Read::Changed => (),
            }
        }
        Err(CallError::Unexpected("redis keeps going back in time".into()))
    }

    /// Reads the life that was opened, and no other: what a Redis says that has become a replica
    /// of another meanwhile is not to be told.
    async fn catch_up(
        &mut self,
        told: Position,
        opened: u64,
        heard: Option<u64>,
    ) -> Result<Read, CallError> {
        let mut replay = Replay::new(told, Bound::Present { heard }, GapReason::BackendDisconnect);
        loop {
            let page = self.reader.read(&self.topic, replay.at()).await?;
            if page.last.is_none_or(|last| last.epoch != opened) {
                return Ok(Read::Changed);
            }
            let mut told = Vec::new();
            let progress = replay.take(page, &mut told);
            for told in told {
                match told {
                    Told::Batch(batch) => {
                        self.told = Some(batch.last());
                        let news = News::Stored { topic: self.topic.clone(), batch };
                        self.tell(news).await;
                    }
                    Told::Gap(gap) => self.lost(gap).await,
                }
            }
            // A life that was heard to begin is entered without a word.
            self.told = Some(replay.at());
            match progress {
                Progress::More => (),
                Progress::Done => return Ok(Read::ToTheEnd),
                Progress::RolledBack => return Ok(Read::RolledBack),
            }
        }
    }

    async fn lost(&mut self, gap: Gap) {
        self.told = Some(gap.until);
        self.tell(News::Lost { topic: self.topic.clone(), gap }).await;
    }

    async fn tell(&self, news: News) {
        let _ = self.feed.tell(news).await;
    }
}
