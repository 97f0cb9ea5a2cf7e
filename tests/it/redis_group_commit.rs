//! Publishes that wait for each other: behind a slow Redis they wait only so long, and only so much
//! of them.

use std::time::Duration;

use futures_util::future::join_all;
use tidings::{
    backend::{Appended, Backend, BackendError},
    event::Event,
    limits::{COMMIT_EVENTS_MAX, COMMIT_QUEUE_BYTES_MAX, COMMIT_WAIT_MAX, EVENT_BYTES_MAX},
};

use crate::support::{
    backend::{Broker, event, live, orders, sized},
    proxy::{Direction, FaultProxy, Mode, Which},
    redis::{Persistence, RedisServer},
};

/// Of each call: slow, and far from what a single one may take.
const DELAY: Duration = Duration::from_millis(100);

/// All of them ask at once, and nothing is sent before the last one has.
async fn publish_together(
    broker: &Broker,
    batches: impl Iterator<Item = Vec<Event>>,
) -> Vec<Result<Appended, BackendError>> {
    let (topic, settings) = (orders(), live());
    join_all(batches.map(|events| broker.redis.append(&topic, &settings, events.into()))).await
}

#[tokio::test]
async fn what_has_waited_too_long_to_be_stored_is_refused_and_not_stored() {
    let server = RedisServer::start(Persistence::None).await;
    let proxy = FaultProxy::start(server.port()).await;
    let broker = Broker::open_at(&proxy.url(), "a").await;
    broker.append(&orders(), "first").await;
    proxy.set(Which::Cmd, Direction::ToRedis, Mode::Delay(DELAY));
    // Each as large as one call may be: they are stored one after the other.
    let calls = 3 * (COMMIT_WAIT_MAX.as_millis() / DELAY.as_millis()) as usize;
    let batch = |call| (0..COMMIT_EVENTS_MAX).map(move |n| event(&format!("{call}-{n}"))).collect();
    let answers = publish_together(&broker, (0..calls).map(batch)).await;
    let stored = answers.iter().take_while(|answer| answer.is_ok()).count();
    assert!((1..calls).contains(&stored), "{stored} of {calls} were stored");
    for late in &answers[stored..] {
        let in_time =
            matches!(late, Err(BackendError::Timeout { after }) if *after == COMMIT_WAIT_MAX);
        assert!(in_time, "{late:?}");
    }
    proxy.heal();
    let last = answers[stored - 1].as_ref().unwrap().first.sequence + COMMIT_EVENTS_MAX as u64 - 1;
    let next = broker.append(&orders(), "next").await;
    assert_eq!(next.first.sequence, last + 1, "nothing of what was refused is there");
}

#[tokio::test]
async fn more_than_may_wait_is_refused_at_once_and_other_topics_go_on() {
    let server = RedisServer::start(Persistence::None).await;
    let broker = Broker::open(&server, "a").await;
    let each = sized(EVENT_BYTES_MAX - 1000);
    let bytes = each.encoded().len();
    let fit = COMMIT_QUEUE_BYTES_MAX / bytes;
    let batches = std::iter::repeat_n(vec![each], 2 * fit);
    let (other, settings) = ("other".parse().unwrap(), live());
    let (answers, beside) = tokio::join!(
        publish_together(&broker, batches),
        broker.redis.append(&other, &settings, vec![event("beside")].into())
    );
    beside.expect("another topic has its own queue");
    let (stored, refused) = answers.split_at(fit);
    assert!(stored.iter().all(Result::is_ok), "{stored:?}");
    for answer in refused {
        let expected = BackendError::Overloaded { topic: orders(), queued: fit * bytes };
        assert_eq!(answer.as_ref().err(), Some(&expected));
    }
    let next = broker.append(&orders(), "next").await;
    assert_eq!(next.first.sequence, fit as u64 + 1, "nothing of what was refused is there");
}
