//! The one line from a backend to whoever listens: bounded in news and in bytes.

use std::sync::Arc;

use tokio::sync::{
    OwnedSemaphorePermit, Semaphore,
    mpsc::{self, error::TryRecvError},
};

use super::News;
use crate::limits::{FEED_BYTES_MAX, FEED_ITEMS_MAX};

/// What the backend tells. Bounded: a backend whose feed is full waits, and tells what it had to
/// leave out as [`News::Lost`] or reads it again.
#[derive(Debug)]
pub struct Feed {
    news: mpsc::Receiver<Told>,
}

/// The backend's end of a [`Feed`].
#[derive(Debug, Clone)]
pub struct Teller {
    news: mpsc::Sender<Told>,
    bytes: Arc<Semaphore>,
}

/// Room on a feed for some news, which is told without waiting.
#[derive(Debug)]
pub struct Room<'a> {
    places: mpsc::PermitIterator<'a, Told>,
    bytes: OwnedSemaphorePermit,
}

#[derive(Debug)]
struct Told {
    news: News,
    _bytes: OwnedSemaphorePermit,
}

/// Nobody listens any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nobody listens to the feed any more")]
pub struct Unheard;

pub fn channel() -> (Teller, Feed) {
    let (told, news) = mpsc::channel(FEED_ITEMS_MAX);
    (Teller { news: told, bytes: Arc::new(Semaphore::new(FEED_BYTES_MAX)) }, Feed { news })
}

impl Feed {
    /// None when the backend has ended.
    ///
    /// Cancel safe.
    pub async fn recv(&mut self) -> Option<News> {
        self.news.recv().await.map(|told| told.news)
    }

    pub fn try_recv(&mut self) -> Result<News, TryRecvError> {
        self.news.try_recv().map(|told| told.news)
    }

    /// How many news wait.
    #[allow(clippy::len_without_is_empty, reason = "nobody asks")]
    pub fn len(&self) -> usize {
        self.news.len()
    }
}

impl Teller {
    /// Waits until there is room.
    pub async fn tell(&self, news: News) -> Result<(), Unheard> {
        self.reserve(1, news.bytes()).await?.tell(news);
        Ok(())
    }

    /// Waits until there is room for so many news, of so many bytes together.
    pub async fn reserve(&self, news: usize, bytes: usize) -> Result<Room<'_>, Unheard> {
        // What is larger than all of it has it alone.
        let bytes = bytes.min(FEED_BYTES_MAX) as u32;
        let bytes = self.bytes.clone().acquire_many_owned(bytes).await;
        let bytes = bytes.expect("never closed");
        let places = self.news.reserve_many(news).await.map_err(|_| Unheard)?;
        Ok(Room { places, bytes })
    }
}

impl Room<'_> {
    pub fn tell(&mut self, news: News) {
        let bytes = news.bytes().min(self.bytes.num_permits());
        let bytes = self.bytes.split(bytes).expect("no more than there is");
        let place = self.places.next().expect("room was reserved for every one of the news");
        place.send(Told { news, _bytes: bytes });
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::FutureExt;

    use super::*;

    fn raw(bytes: usize) -> News {
        let topic = "orders".parse().expect("a topic");
        News::Raw { topic, event: Bytes::from(vec![0; bytes]), time_us: 1 }
    }

    #[tokio::test]
    async fn a_feed_takes_so_many_bytes_and_then_waits() {
        let (teller, mut feed) = channel();
        let each = FEED_BYTES_MAX / 4;
        for _ in 0..4 {
            teller.tell(raw(each)).await.expect("heard");
        }
        assert!(teller.tell(raw(1)).now_or_never().is_none(), "there is no room for more");
        feed.recv().await.expect("told");
        teller.tell(raw(each)).now_or_never().expect("there is room").expect("heard");
    }

    #[tokio::test]
    async fn news_larger_than_a_feed_go_alone() {
        let (teller, mut feed) = channel();
        teller.tell(raw(FEED_BYTES_MAX + 1)).await.expect("heard");
        assert!(teller.tell(raw(1)).now_or_never().is_none(), "there is no room for more");
        feed.recv().await.expect("told");
        teller.tell(raw(1)).now_or_never().expect("there is room").expect("heard");
    }

    #[tokio::test]
    async fn room_that_was_not_needed_is_given_back() {
        let (teller, _feed) = channel();
        drop(teller.reserve(2, FEED_BYTES_MAX).await.expect("heard"));
        teller.tell(raw(FEED_BYTES_MAX)).now_or_never().expect("there is room").expect("heard");
    }

    #[tokio::test]
    async fn who_tells_where_nobody_listens_is_told() {
        let (teller, feed) = channel();
        drop(feed);
        assert_eq!(teller.tell(raw(1)).await, Err(Unheard));
    }
}
