//! Topics as operators see them: what they said of each over the API, and what there is of it.

use std::{collections::BTreeMap, fmt, sync::Arc};

use bytes::Bytes;
use tokio::sync::watch;

use super::{BackendError, Keeping, TopicSettings, async_trait};
use crate::{position::Position, topic::Topic};

/// What operators said is kept as values that only the catalog reads, under one version, changed
/// by compare-and-set and told as a level: all brokers of a backend agree within a second.
///
/// A broker that has not read them yet opens nothing. One that has not heard of a change neither
/// begins a topic nor changes how one is kept: before it does, it asks whether its
/// [`TopicSettings::version`] is the present one.
#[async_trait]
pub trait Topics: fmt::Debug + Send + Sync {
    /// What was said, as far as this broker has heard; none until it was read. While the backend
    /// is away it is the last that was known.
    fn configured(&self) -> watch::Receiver<Option<Arc<Configured>>>;

    /// What was said up to now. [`Topics::configured`] tells it as well then.
    async fn read_configured(&self) -> Result<Arc<Configured>, BackendError>;

    /// Says something else of `topic`, or nothing any more, where all that was said is still of
    /// the version `seen`. None where it is not: nothing was changed.
    async fn configure(
        &self,
        seen: u64,
        topic: &Topic,
        value: Option<Bytes>,
    ) -> Result<Option<Arc<Configured>>, BackendError>;

    /// From now on `topic`, which begins to exist if it did not, is kept as `settings` say, whoever
    /// publishes on it. It goes on where it was. A durable one is not made a live one.
    async fn keep(&self, topic: &Topic, settings: &Arc<TopicSettings>) -> Result<(), BackendError>;

    /// Where the feed carries `topic`, it carries from now on what raw clients publish where
    /// `settings` say.
    async fn meet(&self, topic: &Topic, settings: &Arc<TopicSettings>) -> Result<(), BackendError>;

    /// What there is of `topic`; none where it does not exist.
    async fn state(&self, topic: &Topic) -> Result<Option<TopicState>, BackendError>;

    /// The topics that exist, in no order, and perhaps some that did a while ago.
    async fn existing(&self) -> Result<Vec<Topic>, BackendError>;

    /// Forgets all events of `topic` at once. Who follows it is told of a gap, at the latest when
    /// it begins anew. False where it did not exist.
    async fn delete(&self, topic: &Topic) -> Result<bool, BackendError>;
}

/// All that was said, as it was at one time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Configured {
    /// Rises with each change; 0: nothing was ever said.
    pub version: u64,
    pub topics: BTreeMap<Topic, Said>,
}

/// What was said of one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The version of all with which it came.
    pub version: u64,
    pub value: Bytes,
}

/// What there is of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicState {
    pub keeping: Keeping,
    /// The oldest event that is kept; none where none is.
    pub first: Option<Position>,
    pub last: Position,
    /// Of the events that are kept; of a live topic on Redis, of those since it was last trimmed.
    pub bytes: u64,
}

impl Configured {
    /// Of what was said of this topic; 0 where nothing is.
    pub fn version_of(&self, topic: &Topic) -> u64 {
        self.topics.get(topic).map_or(0, |said| said.version)
    }
}
