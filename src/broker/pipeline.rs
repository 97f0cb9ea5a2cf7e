//! Publishing with many requests under way at a time, for one client.
//!
//! Requests that come together and are of one topic go to the backend in one call; each has its own
//! outcome. Answers come in the order of the requests. What one pipeline publishes on one topic is
//! stored in the order in which it came.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    future::{pending, poll_fn},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesOrdered};
use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    time::{Instant, sleep_until},
};

use super::{
    Publish, PublishError, Published, Shared,
    admission::{Admission, admit_all},
};
use crate::{
    backend::{Append, Appended, BackendError, TopicSettings, topics::Configured},
    event::{Event, Violation},
    limits::{COMMIT_BYTES_MAX, COMMIT_EVENTS_MAX, PIPELINE_BYTES_MAX, PIPELINE_REQUESTS_MAX},
    position::Position,
    subscription::{Drain, jittered},
    topic::Topic,
};

/// Why no more requests are taken. What was taken is still answered, so that whatever is not answered
/// was not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PipelineError {
    #[error("this broker serves {limit} streams already: try another broker")]
    TooManyStreams { limit: usize },
    #[error("the broker is stopping: send what was not answered on a new stream")]
    Draining,
    #[error("the stream reached its greatest age: send what was not answered on a new stream")]
    MaxAge,
}

/// The outcome of one request.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// As it was given with the request.
    pub tag: u64,
    pub result: Result<(Topic, Published), PublishError>,
}

/// Requests go in with [`Pipeline::push`], as long as there is room; answers come out with
/// [`Pipeline::take_answer`]. In between, [`Pipeline::drive`] has to be polled, whether anybody takes
/// answers or not.
///
/// Dropped, what was pushed and not answered may be stored or not.
pub struct Pipeline {
    shared: Arc<Shared>,
    source: String,
    _permit: OwnedSemaphorePermit,
    ending: BoxFuture<'static, PipelineError>,

    /// Not answered yet, in order.
    asked: VecDeque<Asked>,
    /// What they hold.
    bytes: usize,
    /// What of a request passed the door, for a moment.
    admitted: Vec<Event>,
    /// The topic of the last request, as most of them are of the same one.
    last: Option<(Topic, Arc<TopicSettings>)>,
    /// When its settings may be others than they were.
    changes: Option<watch::Receiver<Option<Arc<Configured>>>>,

    /// Groups are numbered as they begin, and go to the backend in this order: first those in
    /// `stored`, whose first one is number `answered`, then those in `storing`, then `gathered`.
    answered: u64,
    stored: VecDeque<Stored>,
    storing: FuturesOrdered<BoxFuture<'static, Stored>>,
    gathered: VecDeque<Group>,
    gathering: HashMap<Topic, usize>,
    /// A request that takes long to admit: nothing else is taken meanwhile.
    admitting: Option<(Taken, Admission)>,
}

/// A request without its events.
struct Taken {
    tag: u64,
    topic: Topic,
    settings: Arc<TopicSettings>,
    validate_only: bool,
    expected_last: Option<Position>,
}

struct Asked {
    tag: u64,
    bytes: usize,
    state: State,
}

enum State {
    Refused(PublishError),
    Checked {
        topic: Topic,
        published: Published,
    },
    /// Goes with a group, behind so many events of it.
    Grouped {
        topic: Topic,
        published: Published,
        group: u64,
        offset: usize,
    },
}

/// Requests of one topic that go to the backend together.
struct Group {
    topic: Topic,
    settings: Arc<TopicSettings>,
    append: Append,
    bytes: usize,
    requests: usize,
}

struct Stored {
    outcome: Result<Appended, BackendError>,
    /// Requests that are not answered yet.
    requests: usize,
}

/// What a request takes beside its events, and each of its receipts beside its id, roughly.
const REQUEST_BYTES: usize = 128;
const RECEIPT_BYTES: usize = 64;

impl Pipeline {
    pub(super) fn open(shared: Arc<Shared>, source: &str) -> Result<Pipeline, PipelineError> {
        if shared.drain.borrow().is_some() {
            return Err(PipelineError::Draining);
        }
        let limit = shared.options.max_streams;
        let permit = shared.streams.clone().try_acquire_owned();
        let permit = permit.map_err(|_| PipelineError::TooManyStreams { limit })?;
        let ending = ending(shared.drain.subscribe(), shared.options.max_stream_age).boxed();
        let changes = shared.catalog.changes();
        Ok(Pipeline {
            shared,
            changes,
            source: source.to_owned(),
            _permit: permit,
            ending,
            asked: VecDeque::new(),
            bytes: 0,
            admitted: Vec::new(),
            last: None,
            answered: 0,
            stored: VecDeque::new(),
            storing: FuturesOrdered::new(),
            gathered: VecDeque::new(),
            gathering: HashMap::new(),
            admitting: None,
        })
    }

    /// Whether another request may be pushed.
    pub fn has_room(&self) -> bool {
        self.asked.len() < PIPELINE_REQUESTS_MAX
            && self.bytes < PIPELINE_BYTES_MAX
            && self.admitting.is_none()
    }

    /// Whether every request was answered, and every answer taken.
    pub fn is_idle(&self) -> bool {
        self.asked.is_empty() && self.admitting.is_none()
    }

    /// The topic of this name, where it is the last one's: to parse a name once is enough.
    pub fn last_topic(&self, name: &str) -> Option<Topic> {
        self.last.as_ref().map(|(topic, _)| topic).filter(|topic| topic.as_str() == name).cloned()
    }

    /// Takes a request where there is room. Refused or not, it is answered in its turn.
    pub fn push(&mut self, tag: u64, request: Publish) {
        assert!(self.admitting.is_none(), "a request is pushed only where there is room");
        let settings = match self.settings(&request.topic) {
            Ok(settings) => settings,
            Err(error) => return self.refuse(tag, error.into()),
        };
        let Publish { validate_only, expected_last, .. } = request;
        let topic = request.topic.clone();
        let taken = Taken { tag, topic, settings, validate_only, expected_last };
        match Admission::beside(&self.shared, request, &taken.settings, &self.source) {
            Ok(admission) => self.admitting = Some((taken, admission)),
            Err(request) => {
                let (shared, settings) = (&self.shared, &taken.settings);
                let admitted =
                    admit_all(shared, request, settings, &self.source, &mut self.admitted);
                self.take(taken, admitted);
            }
        }
    }

    /// What passed is in `admitted`.
    fn take(&mut self, taken: Taken, admitted: Result<Published, PublishError>) {
        let Taken { tag, topic, settings, validate_only, expected_last } = taken;
        let published = match admitted {
            Ok(published) => published,
            Err(error) => return self.refuse(tag, error),
        };
        let events_bytes: usize = self.admitted.iter().map(|event| event.encoded().len()).sum();
        let receipts_bytes = self.admitted.len() * (topic.as_str().len() + RECEIPT_BYTES);
        let state = if validate_only {
            self.admitted.clear();
            State::Checked { topic, published }
        } else {
            let (group, offset) = self.gather(&topic, &settings, events_bytes, expected_last);
            State::Grouped { topic, published, group, offset }
        };
        self.ask(Asked { tag, bytes: REQUEST_BYTES + events_bytes + receipts_bytes, state });
    }

    fn settings(&mut self, topic: &Topic) -> Result<Arc<TopicSettings>, BackendError> {
        // An error means that the backend is gone, and with it all changes.
        if let Some(changes) = self.changes.as_mut().filter(|c| c.has_changed().unwrap_or(false)) {
            changes.mark_unchanged();
            self.last = None;
        }
        match &self.last {
            Some((last, settings)) if last == topic => Ok(settings.clone()),
            _ => {
                let settings = self.shared.catalog.settings(topic)?;
                self.last = Some((topic.clone(), settings.clone()));
                Ok(settings)
            }
        }
    }

    /// Takes a request that cannot be one; it is answered in its turn.
    pub fn refuse(&mut self, tag: u64, error: PublishError) {
        let bytes = REQUEST_BYTES + size(&error);
        self.ask(Asked { tag, bytes, state: State::Refused(error) });
    }

    fn ask(&mut self, asked: Asked) {
        self.bytes += asked.bytes;
        self.asked.push_back(asked);
    }

    /// Puts what was admitted into a group of its topic: its number, and how many events of it
    /// stand before them. What expects something of the topic goes alone.
    fn gather(
        &mut self,
        topic: &Topic,
        settings: &Arc<TopicSettings>,
        bytes: usize,
        expected_last: Option<Position>,
    ) -> (u64, usize) {
        let under_way = self.answered + (self.stored.len() + self.storing.len()) as u64;
        // Most of them follow one of the same topic.
        let last = self.gathered.len().checked_sub(1);
        let last = last.filter(|index| self.gathered[*index].topic == *topic);
        let open = last.or_else(|| self.gathering.get(topic).copied()).filter(|index| {
            let group = &self.gathered[*index];
            group.append.expected_last.is_none()
                && expected_last.is_none()
                && group.append.events.len() + self.admitted.len() <= COMMIT_EVENTS_MAX
                && group.bytes + bytes <= COMMIT_BYTES_MAX
        });
        let index = open.unwrap_or_else(|| {
            self.gathering.insert(topic.clone(), self.gathered.len());
            self.gathered.push_back(Group {
                topic: topic.clone(),
                settings: settings.clone(),
                append: Append { events: Vec::new(), expected_last },
                bytes: 0,
                requests: 0,
            });
            self.gathered.len() - 1
        });
        let group = &mut self.gathered[index];
        let offset = group.append.events.len();
        group.append.events.append(&mut self.admitted);
        group.bytes += bytes;
        group.requests += 1;
        (under_way + index as u64, offset)
    }

    /// Hands what was pushed to the backend, and goes on with what is there. The task hears when
    /// there is more to take.
    pub fn drive(&mut self, cx: &mut Context<'_>) {
        self.take_admitted(cx);
        self.gathering.clear();
        for group in self.gathered.drain(..) {
            let backend = self.shared.backend.clone();
            let store = async move {
                let Group { topic, settings, append, bytes: _, requests } = group;
                let outcome = backend.append(&topic, &settings, append).await;
                Stored { outcome, requests }
            };
            self.storing.push_back(store.boxed());
        }
        while let Poll::Ready(Some(stored)) = self.storing.poll_next_unpin(cx) {
            self.stored.push_back(stored);
        }
    }

    fn take_admitted(&mut self, cx: &mut Context<'_>) {
        let Some((_, admission)) = &mut self.admitting else { return };
        let Poll::Ready((admitted, events)) = admission.poll_unpin(cx) else { return };
        let Some((taken, _)) = self.admitting.take() else { return };
        self.admitted = events;
        self.take(taken, admitted);
    }

    /// The next answer, in the order of the requests, if it is there.
    pub fn take_answer(&mut self) -> Option<Answer> {
        if let State::Grouped { group, .. } = self.asked.front()?.state
            && group >= self.answered + self.stored.len() as u64
        {
            return None;
        }
        let Asked { tag, bytes, state } = self.asked.pop_front()?;
        self.bytes -= bytes;
        let result = match state {
            State::Refused(error) => Err(error),
            State::Checked { topic, published } => Ok((topic, published)),
            State::Grouped { topic, mut published, group, offset } => {
                let stored = &mut self.stored[(group - self.answered) as usize];
                stored.requests -= 1;
                match &stored.outcome {
                    Ok(appended) => {
                        published.are_stored(appended.part(offset, published.receipts.len()));
                        Ok((topic, published))
                    }
                    Err(error) => Err(error.clone().into()),
                }
            }
        };
        while self.stored.front().is_some_and(|stored| stored.requests == 0) {
            self.stored.pop_front();
            self.answered += 1;
        }
        Some(Answer { tag, result })
    }

    /// The next answer; none where everything is answered. Cancel safe.
    pub async fn answer(&mut self) -> Option<Answer> {
        poll_fn(|cx| {
            self.drive(cx);
            match self.take_answer() {
                None if !self.is_idle() => Poll::Pending,
                answer => Poll::Ready(answer),
            }
        })
        .await
    }

    /// Ready when no more should be pushed; to be asked no more after that.
    pub fn poll_ending(&mut self, cx: &mut Context<'_>) -> Poll<PipelineError> {
        self.ending.poll_unpin(cx)
    }
}

async fn ending(
    mut drain: watch::Receiver<Option<Drain>>,
    max_age: Option<Duration>,
) -> PipelineError {
    // An error means that the broker is gone.
    let drained = async { drop(drain.wait_for(Option::is_some).await) };
    let aged = async {
        match max_age {
            Some(age) => sleep_until(Instant::now() + jittered(age)).await,
            None => pending().await,
        }
    };
    tokio::select! {
        // Of both the more urgent one.
        biased;
        () = drained => PipelineError::Draining,
        () = aged => PipelineError::MaxAge,
    }
}

/// What an error holds, roughly: a small request can be wrong in many ways.
fn size(error: &PublishError) -> usize {
    match error {
        PublishError::Invalid { violations } | PublishError::Unfit { violations } => {
            let text =
                |(_, v): &(usize, Violation)| RECEIPT_BYTES + v.field.len() + v.description.len();
            violations.iter().map(text).sum()
        }
        PublishError::ExpectedElsewhere { .. }
        | PublishError::Topic(_)
        | PublishError::Empty
        | PublishError::TooManyEvents { .. }
        | PublishError::TooManyBytes { .. }
        | PublishError::EventTooLarge { .. }
        | PublishError::Backend(_) => 0,
    }
}

impl fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline")
            .field("asked", &self.asked.len())
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}
