//! Events that are none of their type, and what becomes of those that raw clients publish.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::time::Instant;
use tracing::warn;

use crate::{
    backend::{Enforcement, SchemaPolicy},
    event::{Event, Typed},
    schema::{
        Registry,
        enforce::{self, judge},
    },
    topic::Topic,
};

/// Between two lines of the log: one per event would hide all others.
const TOLD_EVERY: Duration = Duration::from_secs(10);

/// How many there were since the start.
#[derive(Debug, Default)]
pub struct Misfits {
    /// Delivered with a mark.
    marked: AtomicU64,
    /// Of raw clients, and not delivered.
    undecodable: AtomicU64,
    told: Mutex<Option<Instant>>,
}

impl Misfits {
    pub fn marked(&self, topic: &Topic, count: u64, reason: &str) {
        let before = self.marked.fetch_add(count, Ordering::Relaxed);
        if self.is_time() {
            let so_far = before + count;
            warn!(%topic, reason, so_far, "an event is none of its type, and is delivered with a mark");
        }
    }

    fn undecodable(&self, topic: &Topic, reason: &str) {
        let so_far = self.undecodable.fetch_add(1, Ordering::Relaxed) + 1;
        if self.is_time() {
            warn!(%topic, reason, so_far, "what a raw client published is no event of its type");
        }
    }

    fn is_time(&self) -> bool {
        let (now, mut told) = (Instant::now(), self.told.lock());
        let is_time = told.is_none_or(|told| now.duration_since(told) >= TOLD_EVERY);
        if is_time {
            *told = Some(now);
        }
        is_time
    }

    /// What an operator should know of them.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let marked = self.marked.load(Ordering::Relaxed);
        if marked > 0 {
            warnings.push(format!(
                "{marked} events since this broker's start were none of their type, and were \
                 delivered with the extension tidingsinvalid, which says why: their topics have \
                 enforcement \"warn\""
            ));
        }
        let undecodable = self.undecodable.load(Ordering::Relaxed);
        if undecodable > 0 {
            warnings.push(format!(
                "{undecodable} messages of raw Redis clients since this broker's start were no events \
                 of a type that their topic takes: its subscribers were told of a gap"
            ));
        }
        warnings
    }

    /// What is delivered of a raw client's event; none where it is none that the topic takes.
    pub(super) fn raw(
        &self,
        topic: &Topic,
        policy: &SchemaPolicy,
        registry: &Registry,
        event: Bytes,
    ) -> Option<Bytes> {
        if !enforce::is_asked(policy) {
            return Some(event);
        }
        let Some(typed) = Typed::of(&event) else {
            self.undecodable(topic, "it cannot be read");
            return None;
        };
        let (is_marked, place) = (typed.is_marked, typed.place_for_schema());
        let schemas = registry.snapshot();
        let judged = judge(policy, &schemas, &typed, None);
        let event = Event::of_a_broker(event);
        match judged {
            Ok(version) => {
                let event = event.following(place, version.uri());
                let event = if is_marked { event.marked(None, None) } else { event };
                Some(event.into_encoded())
            }
            Err(wrong) if policy.enforcement == Enforcement::Warn => {
                let reason = enforce::reason(&wrong);
                self.marked(topic, 1, &reason);
                Some(event.marked(Some(&reason), None).into_encoded())
            }
            Err(wrong) => {
                self.undecodable(topic, &enforce::reason(&wrong));
                None
            }
        }
    }
}
