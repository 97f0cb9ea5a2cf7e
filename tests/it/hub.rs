//! What the hub makes of a backend's news, told by hand.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tidings::{
    backend::{
        Batch, News,
        feed::{self, Teller},
        memory::Memory,
    },
    broker::Broker,
    catalog::Catalog,
    position::{Gap, GapReason, Position},
};

use crate::support::{
    faulty::{Faulty, When},
    in_process::{
        Lines, broker_on, event, options, publish, publish_each, request, subscribe, topic,
    },
};

const SECOND: Duration = Duration::from_secs(1);

/// A broker whose backend says what the test says.
fn told_by_hand() -> (Broker, Teller) {
    let (memory, mut unheard) = Memory::open();
    tokio::spawn(async move { while unheard.recv().await.is_some() {} });
    let (feed, news) = feed::channel();
    (broker_on(Arc::new(memory), news, Catalog::default(), options()), feed)
}

fn stored(epoch: u64, first: u64, count: u64) -> News {
    use prost::Message;
    let events = (first..first + count).map(|id| Bytes::from(event(id).encode_to_vec()));
    let batch = Batch { epoch, first, publish_time_us: 1, events: events.collect() };
    News::Stored { topic: topic("orders"), batch }
}

fn attached(epoch: u64, sequence: u64) -> News {
    News::Attached { topic: topic("orders"), at: Position::new(epoch, sequence) }
}

async fn tell(feed: &Teller, news: impl IntoIterator<Item = News>) {
    for news in news {
        feed.tell(news).await.expect("the hub listens");
    }
}

#[tokio::test(start_paused = true)]
async fn news_become_frames_and_gaps_in_their_order() {
    let (broker, feed) = told_by_hand();
    tell(&feed, []).await;
    let opening = tokio::spawn({
        let broker = broker.clone();
        async move { Lines::open(&broker, request(&["orders"])).await }
    });
    tokio::task::yield_now().await;
    tell(&feed, [attached(7, 4)]).await;
    let mut lines = opening.await.expect("opened");
    let after = Position::new(7, 5);
    let until = Position::new(9, 0);
    let gap = Gap::between(after, until, GapReason::BackendDisconnect);
    let lost = News::Lost { topic: topic("orders"), gap };
    tell(&feed, [stored(7, 5, 1), lost, stored(9, 1, 2)]).await;
    lines
        .expect("orders 5, gap orders 5>0 missed ? REASON_BACKEND_DISCONNECT, orders 1, orders 2")
        .await;
    assert_eq!(broker.info().broken_chains, 0);
}

#[tokio::test(start_paused = true)]
async fn a_broken_chain_is_never_silent_and_never_repeats() {
    let (broker, feed) = told_by_hand();
    let opening = tokio::spawn({
        let broker = broker.clone();
        async move { Lines::open(&broker, request(&["orders"])).await }
    });
    tokio::task::yield_now().await;
    tell(&feed, [attached(7, 0)]).await;
    let mut lines = opening.await.expect("opened");
    tell(&feed, [stored(7, 1, 2), stored(7, 2, 2), stored(7, 6, 1)]).await;
    lines.expect("orders 1, orders 2, orders 3").await;
    lines.expect("gap orders 3>5 missed 2 REASON_EPOCH_CHANGED, orders 6").await;
    assert_eq!(broker.info().broken_chains, 2);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_contact_is_told_at_once_and_refuses_new_streams() {
    let (broker, feed) = told_by_hand();
    let opening = tokio::spawn({
        let broker = broker.clone();
        async move { Lines::open(&broker, request(&["orders"])).await }
    });
    tokio::task::yield_now().await;
    tell(&feed, [attached(7, 0)]).await;
    let mut lines = opening.await.expect("opened");
    tell(&feed, [News::Down { since_us: 5 }]).await;
    assert_eq!(lines.next_within(SECOND / 10).await.as_deref(), Some("heartbeat  down"));
    assert!(subscribe(&broker, request(&["orders"])).await.is_err());
    lines.expect("heartbeat  down").await;
    tell(&feed, [News::Up]).await;
    assert_eq!(lines.next_within(SECOND / 10).await.as_deref(), Some("heartbeat"));
    drop(feed);
    assert!(lines.next().await.starts_with("error the backend cannot be reached"));
}

#[tokio::test(start_paused = true)]
async fn raw_events_are_delivered_and_are_no_place_to_resume_from() {
    let (broker, feed) = told_by_hand();
    let opening = tokio::spawn({
        let broker = broker.clone();
        async move { Lines::open(&broker, request(&["orders"])).await }
    });
    tokio::task::yield_now().await;
    tell(&feed, [attached(7, 3)]).await;
    let mut lines = opening.await.expect("opened");
    let raw = News::Raw { topic: topic("orders"), event: Bytes::new(), time_us: 1 };
    tell(&feed, [raw, stored(7, 4, 1)]).await;
    lines.expect("orders , orders 4").await;
    assert_eq!(lines.resume()[0].sequence, 4);
}

#[tokio::test(start_paused = true)]
async fn an_attach_that_fails_is_told_to_all_who_wait_and_leaves_nothing_behind() {
    let (memory, feed) = Memory::open();
    let backend = Arc::new(Faulty::new(memory, 1, When::Before));
    let broker = broker_on(backend.clone(), feed, Catalog::default(), options());
    let (first, second) = tokio::join!(
        subscribe(&broker, request(&["orders"])),
        subscribe(&broker, request(&["orders"])),
    );
    assert!(first.is_err() && second.is_err());
    assert_eq!(backend.calls(), 1, "they did not share one attach");
    let mut lines = Lines::open(&broker, request(&["orders"])).await;
    publish_each(&broker, "orders", 1..=1).await;
    lines.expect("orders 1").await;
}

#[tokio::test(start_paused = true)]
async fn a_topic_stays_attached_for_a_moment_after_its_last_subscriber() {
    let (memory, feed) = Memory::open();
    let backend = Arc::new(Faulty::new(memory, 0, When::Before));
    let broker = broker_on(backend.clone(), feed, Catalog::default(), options());
    for (pause, attaches) in [(0, 1), (2, 1), (20, 2)] {
        tokio::time::sleep(pause * SECOND).await;
        drop(Lines::open(&broker, request(&["orders"])).await);
        assert_eq!(backend.calls(), attaches);
    }
}

#[tokio::test(start_paused = true)]
async fn a_chain_that_begins_anew_sends_its_followers_to_history() {
    let (memory, mut unheard) = Memory::open();
    tokio::spawn(async move { while unheard.recv().await.is_some() {} });
    let (feed, news) = feed::channel();
    let memory = Arc::new(memory);
    let broker = broker_on(memory.clone(), news, Catalog::default(), options());
    let publishing = broker_on(memory, feed::channel().1, Catalog::default(), options());
    let published = publish(&publishing, "orders", (1..=9).map(event).collect()).await;
    let epoch = published.expect("stored").receipts[0].position.expect("stored").epoch;
    let opening = async {
        let read = subscribe(&broker, request(&["orders"])).await.expect("a subscription");
        let unread = subscribe(&broker, request(&["orders"])).await.expect("a subscription");
        (Lines::of(read).await, Lines::of(unread).await)
    };
    let ((mut read, mut unread), ()) = tokio::join!(opening, async {
        tokio::task::yield_now().await;
        tell(&feed, [attached(epoch, 0)]).await;
    });
    tell(&feed, [stored(epoch, 1, 2)]).await;
    read.expect("orders 1, orders 2").await;
    tell(&feed, [attached(epoch, 5), stored(epoch, 6, 1)]).await;
    read.expect("orders 3, orders 4, orders 5, orders 6").await;
    unread.expect("orders 1, orders 2, orders 3, orders 4, orders 5, orders 6").await;
    // Where nothing lies between, nothing is told.
    tell(&feed, [attached(epoch, 6), stored(epoch, 7, 1)]).await;
    for lines in [&mut read, &mut unread] {
        lines.expect("orders 7").await;
    }
    tell(&feed, [attached(8, 3), stored(8, 4, 1)]).await;
    for lines in [&mut read, &mut unread] {
        lines.expect("orders 8, orders 9").await;
        lines.expect("gap orders 9>4 missed ? REASON_EPOCH_CHANGED").await;
    }
    tell(&feed, [stored(8, 5, 1)]).await;
    for lines in [&mut read, &mut unread] {
        lines.expect("orders 5").await;
    }
    assert_eq!(broker.info().broken_chains, 0);
}
