//! Whether Redis can be reached, as the feed is told.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use tokio::{
    sync::Mutex,
    time::{Instant, sleep},
};
use tracing::{info, warn};

use super::session::Session;
use crate::{
    backend::{News, feed::Teller},
    event::micros,
};

/// Subscribers are told that Redis is away when it has been for this long: a connection that is
/// back at once is no news.
const DOWN_AFTER: Duration = Duration::from_millis(100);
const LOOK_EVERY: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(super) struct Reach {
    /// When Redis last gave an answer that only it can give.
    heard_us: AtomicU64,
    following: parking_lot::Mutex<bool>,
    told_down: Mutex<bool>,
}

impl Reach {
    pub(super) fn new() -> Arc<Reach> {
        Arc::new(Reach {
            heard_us: AtomicU64::new(micros(SystemTime::now())),
            following: parking_lot::Mutex::new(false),
            told_down: Mutex::new(false),
        })
    }

    pub(super) fn heard(&self) {
        self.heard_us.store(micros(SystemTime::now()), Ordering::Relaxed);
    }

    /// The listener follows, and has told what was missed.
    pub(super) async fn reached(&self, feed: &Teller) {
        self.heard();
        *self.following.lock() = true;
        let mut told_down = self.told_down.lock().await;
        if std::mem::take(&mut *told_down) {
            info!("redis is reached again");
            let _ = feed.tell(News::Up).await;
        }
    }

    pub(super) fn lost(&self) {
        *self.following.lock() = false;
    }

    /// Tells the feed when Redis has been away, whatever the listener is waiting for.
    pub(super) async fn watch(self: Arc<Reach>, session: Arc<Session>, feed: Teller) {
        let mut away_since = None;
        while !session.closing.is_cancelled() {
            sleep(LOOK_EVERY).await;
            let following = *self.following.lock();
            if following && session.is_connected() {
                away_since = None;
                continue;
            }
            let since = *away_since.get_or_insert_with(Instant::now);
            if since.elapsed() < DOWN_AFTER {
                continue;
            }
            let mut told_down = self.told_down.lock().await;
            // The listener may have come back while the lock was awaited.
            let back = *self.following.lock() && session.is_connected();
            if !back && !*told_down {
                warn!(redis = %session.address.shown(), "redis is away");
                *told_down = true;
                let since_us = self.heard_us.load(Ordering::Relaxed);
                let _ = feed.tell(News::Down { since_us }).await;
            }
        }
    }
}
