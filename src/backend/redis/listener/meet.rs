//! Where raw clients meet a topic, when that changes while it is followed.

use std::sync::Arc;

use super::{Channel, Listener, Lost};
use crate::{
    backend::{
        TopicSettings,
        redis::connection::{CallError, Link},
    },
    topic::Topic,
};

impl Listener {
    pub(super) async fn meet(
        &mut self,
        link: &Link,
        topic: &Topic,
        settings: Arc<TopicSettings>,
    ) -> Result<Result<(), CallError>, Lost> {
        let Some(followed) = self.topics.get_mut(topic) else { return Ok(Ok(())) };
        let before = self.session.bridge_channel(topic, &followed.settings);
        let now = self.session.bridge_channel(topic, &settings);
        followed.settings = settings;
        if before == now {
            return Ok(Ok(()));
        }
        let ours = |owner: &(Topic, Channel)| owner.0 == *topic;
        if let Some(channel) = before.filter(|channel| self.channels.get(channel).is_some_and(ours))
        {
            self.channels.remove(&channel);
            link.unsubscribe(&[channel]).await.map_err(Lost)?;
        }
        let Some(channel) = now.filter(|channel| !self.channels.contains_key(channel)) else {
            return Ok(Ok(()));
        };
        self.channels.insert(channel.clone(), (topic.clone(), Channel::Bridge));
        // Its batches are heard already: no echo comes without one.
        match link.subscribe(std::slice::from_ref(&channel)).await {
            Err(error @ CallError::Refused(_)) => {
                self.channels.remove(&channel);
                Ok(Err(error))
            }
            subscribed => subscribed.map(Ok).map_err(Lost),
        }
    }
}
