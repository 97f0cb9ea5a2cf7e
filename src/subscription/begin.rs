//! Where a subscription begins: which topics, and for each the place from which to read.

use std::{collections::HashSet, sync::Arc};

use super::{Subscribe, SubscribeError};
use crate::{
    backend::BackendError,
    hub::{Doorbell, Hub, Member, Watch},
    limits::SUBSCRIPTION_TOPICS_MAX,
    position::{Position, Start},
    topic::{Topic, TopicPattern},
};

#[derive(Clone, Copy)]
pub(super) enum Wanted {
    Start(Start),
    After(Position),
}

#[derive(Clone, Copy)]
pub(super) enum Until {
    Ever,
    /// What is stored when the call comes.
    Present,
}

/// The topics to follow from the start, the literal ones first, each with whether it is one.
pub(super) async fn choose(
    hub: &Hub,
    request: &Subscribe,
    doorbell: &Arc<Doorbell>,
) -> Result<(Option<Watch>, Vec<(Topic, bool)>), SubscribeError> {
    let mut known = HashSet::new();
    let mut topics = Vec::new();
    for topic in request.topics.iter().filter_map(TopicPattern::literal) {
        if known.insert(topic.clone()) {
            topics.push((topic, true));
        }
    }
    let patterns = request.patterns();
    let mut watch = None;
    if !patterns.is_empty() {
        if !request.stop_at_end {
            // Before they are listed: a topic may then be told twice, but not be missed.
            watch = Some(hub.watch(patterns.into(), doorbell.clone()));
        }
        let mut existing = hub.backend().watch_topics().await?;
        existing.retain(|topic| request.matches(topic));
        existing.extend(request.resume.keys().cloned());
        existing.sort();
        for topic in existing {
            if known.insert(topic.clone()) {
                topics.push((topic, false));
            }
        }
    }
    if topics.len() > SUBSCRIPTION_TOPICS_MAX {
        return Err(SubscribeError::TooManyTopics { limit: SUBSCRIPTION_TOPICS_MAX });
    }
    Ok((watch, topics))
}

/// Joins the topic: the place to read from, and the place where the log goes on.
pub(super) async fn begin(
    hub: &Hub,
    topic: &Topic,
    doorbell: Arc<Doorbell>,
    number: usize,
    wanted: Wanted,
    until: Until,
) -> Result<(Member, Position, Position), BackendError> {
    let (mut member, mut place) = hub.join(topic, doorbell, number).await?;
    match (wanted, until) {
        (Wanted::Start(Start::Now), Until::Ever) => return Ok((member, place, place)),
        // What was acknowledged before the call is to come before the end …
        (_, Until::Present) => hub.check(topic).await?,
        // … and, as far as this broker has heard of it, before it says that history is over.
        (_, Until::Ever) => hub.settle().await?,
    }
    place = member.rejoin();
    let at = match wanted {
        Wanted::Start(Start::Now) => place,
        Wanted::Start(start) => {
            let found = hub.backend().seek(topic, start).await?;
            if place.is_beginning() {
                // The topic was born in between: everything will come by the log.
                place
            } else if found.epoch == place.epoch {
                Position::new(place.epoch, found.sequence.min(place.sequence))
            } else {
                // One of them is of another life. After the check ours is the later one.
                hub.check(topic).await?;
                place = member.rejoin();
                found
            }
        }
        Wanted::After(position) => {
            if !place.has_reached(position) {
                // The broker that told this position may be ahead of ours: of a life that ours has
                // not heard of, or of the end of the one that ours is in.
                hub.check(topic).await?;
                place = member.rejoin();
            }
            position
        }
    };
    Ok((member, at, place))
}
