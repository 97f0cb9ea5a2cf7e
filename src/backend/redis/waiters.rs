//! Connections for publishes that wait for replicas or for the disk. Redis answers nothing on a
//! connection that waits, and waits only for what was written over that very one: so each such
//! publish has one for itself, for as long as it takes.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};
use tracing::debug;

use super::{
    connection::{CallError, Link},
    session::{LIFE_SIGN, Session},
};
use crate::{
    backend::{BackendError, Durability, TopicSettings},
    limits::{BACKEND_DEADLINE, COMMIT_WAIT_MAX, DISK_WAIT, REPLICAS_WAIT, WAITERS_MAX},
};

#[derive(Debug)]
pub(super) struct Waiters {
    free: Mutex<Vec<Free>>,
    permits: Arc<Semaphore>,
}

/// A connection that nobody uses.
#[derive(Debug)]
struct Free {
    link: Link,
    since: Instant,
}

/// A connection for one publish. Dropped, it is closed.
#[derive(Debug)]
pub(super) struct Waiter {
    link: Link,
    _permit: OwnedSemaphorePermit,
}

impl Waiters {
    pub(super) fn new() -> Waiters {
        Waiters { free: Mutex::default(), permits: Arc::new(Semaphore::new(WAITERS_MAX)) }
    }

    /// One to the same Redis as `commands`: what was learned over that holds over this one.
    pub(super) async fn take(
        &self,
        session: &Session,
        commands: &Link,
    ) -> Result<Waiter, BackendError> {
        let permit = timeout(COMMIT_WAIT_MAX, self.permits.clone().acquire_owned()).await;
        let permit = permit.map_err(|_| BackendError::Timeout { after: COMMIT_WAIT_MAX })?;
        let _permit = permit.expect("never closed");
        let is_same =
            |link: &Link| link.run_id == commands.run_id && link.replid() == commands.replid();
        while let Some(free) = self.next_free() {
            if free.link.is_closed() || !is_same(&free.link) {
                continue;
            }
            // Nobody watches over it: one that has long said nothing may be no more.
            let lives = free.since.elapsed() < LIFE_SIGN
                || free.link.echo(commands.generation).await.is_ok();
            if lives {
                return Ok(Waiter { link: free.link, _permit });
            }
        }
        let link = Link::connect(&session.address, session.next_generation(), |_| ()).await;
        let link = link.map_err(|error| {
            session.note(&error);
            BackendError::Unavailable { cause: error.to_string() }
        })?;
        if !is_same(&link) {
            session.look_again(commands).await;
            return Err(BackendError::Failover { cause: "redis is another one now".into() });
        }
        Ok(Waiter { link, _permit })
    }

    fn next_free(&self) -> Option<Free> {
        self.free.lock().pop()
    }

    pub(super) fn give_back(&self, waiter: Waiter) {
        if !waiter.link.is_closed() {
            self.free.lock().push(Free { link: waiter.link, since: Instant::now() });
        }
    }
}

impl Waiter {
    pub(super) fn link(&self) -> &Link {
        &self.link
    }

    /// Waits for what the topic asks for; tells what was reached of it, if anything. The events
    /// exist, however it ends.
    pub(super) async fn reached(&self, settings: &TopicSettings) -> Option<Durability> {
        let waited = if settings.replicas > 0 {
            let reached = self.replicas(settings.replicas).await;
            reached.map(|reached| reached.then_some(Durability::Replicated))
        } else {
            self.disk().await.map(|reached| reached.then_some(Durability::Disk))
        };
        waited.unwrap_or_else(|error| {
            debug!(%error, "redis did not wait as a topic asks");
            None
        })
    }

    async fn replicas(&self, wanted: u32) -> Result<bool, CallError> {
        let mut wait = redis::cmd("WAIT");
        wait.arg(wanted).arg(millis(REPLICAS_WAIT));
        let have: u64 = self.link.call_within(&wait, REPLICAS_WAIT + BACKEND_DEADLINE).await?;
        Ok(have >= u64::from(wanted))
    }

    async fn disk(&self) -> Result<bool, CallError> {
        let mut wait = redis::cmd("WAITAOF");
        wait.arg(1).arg(0).arg(millis(DISK_WAIT));
        let have: (u64, u64) = self.link.call_within(&wait, DISK_WAIT + BACKEND_DEADLINE).await?;
        Ok(have.0 >= 1)
    }
}

fn millis(wait: Duration) -> u64 {
    wait.as_millis() as u64
}
