//! The whole system as a Rust API. The gRPC edge only translates it.

mod admission;
mod enforce;
mod pipeline;
mod schemas;
mod topics;

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Semaphore, watch},
    time::Instant,
};
use uuid::Uuid;

use self::admission::{Admission, admit_all};
pub use self::{
    pipeline::{Answer, Pipeline, PipelineError},
    schemas::{Given, RegisterSchema, SchemaError, SchemaSummary},
    topics::{TopicError, TopicInfo, TopicPage},
};
use crate::{
    backend::{Append, Appended, Backend, BackendError, Description, Durability, Feed},
    catalog::Catalog,
    event::{Incoming, Violation},
    hub::{Hub, Ringer},
    limits::{
        ADMITTING_MAX, EVENT_BYTES_MAX, REQUEST_BYTES_MAX, REQUEST_EVENTS_MAX, STREAM_AGE_MAX,
        STREAMS_MAX,
    },
    position::Position,
    schema::Registry,
    subscription::{Drain, Subscribe, SubscribeError, Subscription, Terms},
    topic::{InvalidTopic, Topic},
};

/// Cheap to clone; all clones are one broker.
#[derive(Debug, Clone)]
pub struct Broker {
    shared: Arc<Shared>,
    /// Wakes the streams and publishes that come through this clone.
    ringer: Option<Ringer>,
}

#[derive(Debug)]
struct Shared {
    backend: Arc<dyn Backend>,
    hub: Hub,
    catalog: Arc<Catalog>,
    registry: Arc<Registry>,
    schemas: schemas::Following,
    options: BrokerOptions,
    streams: Arc<Semaphore>,
    /// For what takes long to check.
    admitting: Arc<Semaphore>,
    drain: watch::Sender<Option<Drain>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerOptions {
    /// Told in `Opened`; other brokers have others.
    pub broker_id: String,
    /// Streams are asked to reconnect at this age, give or take a tenth; none: never.
    pub max_stream_age: Option<Duration>,
    pub max_streams: usize,
    /// What an operator should know beside what the backend says.
    pub warnings: Vec<String>,
}

/// Events for one topic: all or none.
#[derive(Debug, Clone)]
pub struct Publish {
    pub topic: Topic,
    pub events: Vec<Incoming>,
    /// Check, and write nothing.
    pub validate_only: bool,
    /// Where the topic is expected to end; not looked at where nothing is written.
    pub expected_last: Option<Position>,
}

/// What was stored, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    pub receipts: Vec<Receipt>,
    /// What was reached; none where the request was only checked.
    pub durability: Option<Durability>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    pub id: String,
    /// None where the request was only checked.
    pub position: Option<Position>,
    /// Stored before: the position is that of the first time.
    pub duplicate: bool,
}

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PublishError {
    #[error(transparent)]
    Topic(#[from] InvalidTopic),
    #[error("the request has no events: send at least one")]
    Empty,
    #[error("the request has {count} events, over the limit of {limit}: send several requests")]
    TooManyEvents { count: usize, limit: usize },
    #[error("the request has {bytes} bytes, over the limit of {limit}: send several requests")]
    TooManyBytes { bytes: usize, limit: usize },
    /// Each with the index of its event.
    #[error("{}", list(.violations))]
    Invalid { violations: Vec<(usize, Violation)> },
    /// Events are none of their types, and the topic takes no others.
    #[error("{}", list(.violations))]
    Unfit { violations: Vec<(usize, Violation)> },
    #[error(
        "event {index} has {bytes} bytes, over the limit of {limit}: send what is large another way"
    )]
    EventTooLarge { index: usize, bytes: usize, limit: usize },
    #[error("expected_last is a position of another topic: name {topic} in it, or nothing")]
    ExpectedElsewhere { topic: Topic },
    #[error(transparent)]
    Backend(#[from] BackendError),
}

/// What this broker is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    pub version: &'static str,
    pub broker_id: String,
    pub backend: Description,
    /// Of the backend and of the broker's own.
    pub warnings: Vec<String>,
    pub max_event_bytes: usize,
    pub max_request_bytes: usize,
    pub streams: usize,
    /// How often the backend's news did not join: more than none is a bug.
    pub broken_chains: u64,
}

impl Default for BrokerOptions {
    fn default() -> BrokerOptions {
        BrokerOptions {
            broker_id: Uuid::now_v7().to_string(),
            max_stream_age: Some(STREAM_AGE_MAX),
            max_streams: STREAMS_MAX,
            warnings: Vec::new(),
        }
    }
}

impl Broker {
    /// Begins to take `feed`. Ends with its last clone and the last stream.
    pub fn new(
        backend: Arc<dyn Backend>,
        feed: Feed,
        catalog: Catalog,
        options: BrokerOptions,
    ) -> Broker {
        let catalog = Arc::new(catalog.following(backend.topics().configured()));
        let registry: Arc<Registry> = Arc::default();
        let hub = Hub::spawn(backend.clone(), feed, catalog.clone(), registry.clone());
        let streams = Arc::new(Semaphore::new(options.max_streams.min(Semaphore::MAX_PERMITS)));
        let drain = watch::Sender::default();
        let registered = backend.registrations().registered();
        let schemas = schemas::Following::new(registry.clone(), registered);
        let admitting = Arc::new(Semaphore::new(ADMITTING_MAX));
        let shared =
            Shared { backend, hub, catalog, registry, schemas, options, streams, admitting, drain };
        Broker { shared: Arc::new(shared), ringer: None }
    }

    /// For one thread that serves many clients: the ringer wakes what waits for them there.
    pub fn with_ringer(&self, ringer: Ringer) -> Broker {
        Broker { shared: self.shared.clone(), ringer: Some(ringer) }
    }

    /// Stores the events, all or none. `source` is who speaks, where the events do not say.
    ///
    /// Dropped before it returns, the events may be stored or not.
    pub async fn publish(&self, source: &str, request: Publish) -> Result<Published, PublishError> {
        let (topic, validate_only) = (request.topic.clone(), request.validate_only);
        let expected_last = request.expected_last;
        let settings = self.shared.catalog.settings(&topic)?;
        let (published, events) = match Admission::beside(&self.shared, request, &settings, source)
        {
            Ok(admission) => admission.await,
            Err(request) => {
                let mut events = Vec::with_capacity(request.events.len().min(REQUEST_EVENTS_MAX));
                (admit_all(&self.shared, request, &settings, source, &mut events), events)
            }
        };
        let mut published = published?;
        if !validate_only {
            let append = Append { events, expected_last };
            let append = self.shared.backend.append(&topic, &settings, append);
            let stored = match &self.ringer {
                Some(ringer) => ringer.attend(append).await,
                None => append.await,
            };
            published.are_stored(stored?);
        }
        Ok(published)
    }

    /// Many publishes under way at a time; see [`Pipeline`].
    pub fn pipeline(&self, source: &str) -> Result<Pipeline, PipelineError> {
        Pipeline::open(self.shared.clone(), source)
    }

    /// Returns when what is published from then on will be delivered.
    pub async fn subscribe(&self, mut request: Subscribe) -> Result<Subscription, SubscribeError> {
        let shared = &self.shared;
        if shared.drain.borrow().is_some() {
            return Err(SubscribeError::Draining);
        }
        let limit = shared.options.max_streams;
        let permit = shared.streams.clone().try_acquire_owned();
        let terms = Terms {
            broker_id: shared.options.broker_id.clone(),
            max_age: shared.options.max_stream_age,
            drain: shared.drain.subscribe(),
            ringer: self.ringer.clone(),
            permit: permit.map_err(|_| SubscribeError::TooManyStreams { limit })?,
        };
        request.filter = request.filter.with_types(&shared.registry);
        Subscription::open(shared.hub.clone(), terms, request).await
    }

    /// Tells every stream to go elsewhere, and ends those that are still there after `grace`.
    /// New ones are refused. Returns when no stream is left, at the latest after `grace` and a
    /// little; a stream that nobody reads cannot notice its end.
    pub async fn drain(&self, grace: Duration) {
        const A_LITTLE: Duration = Duration::from_millis(500);
        let until = Instant::now() + grace;
        self.shared.drain.send_replace(Some(Drain { until }));
        self.shared.hub.ring_all();
        let all = u32::try_from(self.shared.options.max_streams.min(Semaphore::MAX_PERMITS));
        let gone = self.shared.streams.acquire_many(all.unwrap_or(u32::MAX));
        // An error of either kind means that there is nothing more to wait for.
        let _ = tokio::time::timeout_at(until + A_LITTLE, gone).await;
    }

    /// The types of events that are registered.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.shared.registry
    }

    pub fn streams(&self) -> usize {
        let all = self.shared.options.max_streams.min(Semaphore::MAX_PERMITS);
        all - self.shared.streams.available_permits()
    }

    /// Returns when the backend will tell nothing any more: nobody should ask this broker then.
    pub async fn ended(&self) {
        // An error means that the hub is gone.
        let _ = self.shared.hub.state().wait_for(|state| state.ended).await;
    }

    /// Stops the backend. What is being stored is still answered.
    pub async fn close(&self) {
        self.shared.backend.close().await;
    }

    pub fn info(&self) -> Info {
        let backend = self.shared.backend.describe();
        let options = &self.shared.options;
        let misfits = self.shared.hub.misfits().warnings();
        Info {
            version: env!("CARGO_PKG_VERSION"),
            broker_id: options.broker_id.clone(),
            warnings: {
                let said =
                    backend.warnings.iter().chain(&options.warnings).chain(&misfits).cloned();
                said.chain(self.shared.schemas.warning()).collect()
            },
            backend,
            max_event_bytes: EVENT_BYTES_MAX,
            max_request_bytes: REQUEST_BYTES_MAX,
            streams: self.streams(),
            broken_chains: self.shared.hub.broken_chains(),
        }
    }
}

impl Published {
    fn are_stored(&mut self, stored: Appended) {
        self.durability = Some(stored.durability);
        for (receipt, (position, duplicate)) in self.receipts.iter_mut().zip(stored.positions()) {
            receipt.position = Some(position);
            receipt.duplicate = duplicate;
        }
    }
}

fn list(violations: &[(usize, Violation)]) -> String {
    let shown = violations.iter().take(5);
    let mut shown: Vec<_> =
        shown.map(|(index, v)| format!("events[{index}].{} {}", v.field, v.description)).collect();
    if violations.len() > shown.len() {
        shown.push(format!("and {} more", violations.len() - shown.len()));
    }
    shown.join("; ")
}
