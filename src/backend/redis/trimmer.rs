//! Durable topics keep no more than they should: one broker of a deployment looks after all of them,
//! some at a time, and drops from each a little at a time, so that no publish waits for it long.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};
use tracing::debug;

use super::{
    connection::{CallError, Link},
    session::Session,
};

/// How often the next topics have their turn …
const ROUND_EVERY: Duration = Duration::from_secs(1);
/// … how many of them …
const ROUND_TOPICS: usize = 500;
/// … and how long that may take.
const ROUND_MAX: Duration = Duration::from_millis(500);
/// After so long without a word from the broker that does it another one does.
const LEASE: Duration = Duration::from_secs(5);

impl Session {
    /// Trims durable topics while this broker holds the lease, until the end.
    pub(super) async fn keep_trimmed(self: Arc<Session>) {
        let mut turn = 0;
        while !self.closing.is_cancelled() {
            sleep(ROUND_EVERY).await;
            let Ok(link) = self.commands() else { continue };
            match self.trim_round(&link, turn).await {
                Ok(next) => turn = next,
                Err(error) => debug!(%error, "could not trim topics"),
            }
        }
    }

    /// Returns whose turn is next, counted in topics.
    async fn trim_round(&self, link: &Link, turn: usize) -> Result<usize, CallError> {
        if !link.hold_trimmer(&self.broker_id, LEASE).await? {
            return Ok(0);
        }
        let topics = link.durable_topics(turn, ROUND_TOPICS).await?;
        let end = Instant::now() + ROUND_MAX;
        let count = topics.len();
        for (done, topic) in topics.into_iter().enumerate() {
            loop {
                match link.trim(&topic).await {
                    Ok(0) => break,
                    Ok(_) if Instant::now() >= end => return Ok(turn + done),
                    Ok(_) => (),
                    // Others have their turn nevertheless.
                    Err(error) if error.is_of_one_topic() => {
                        debug!(%topic, %error, "a topic is not trimmed");
                        break;
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(if count < ROUND_TOPICS { 0 } else { turn + count })
    }
}
