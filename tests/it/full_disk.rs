//! A Redis that cannot write its append-only file, as on a full disk: what it has not taken is never
//! answered OK, what was said to be on disk is there after a restart, and all goes on by itself.

use std::{sync::Arc, time::Duration};

use tidings::{
    backend::{Appended, Backend, BackendError, Durability, TopicSettings},
    topic::Topic,
};
use tokio::task::JoinSet;

use crate::support::{
    backend::{Broker, PATIENCE, event, live, orders, sized},
    eventually,
    redis::{Persistence, RedisServer, Reply},
    settings::durable,
};

/// Of what a topic's stream holds, without its fences.
async fn sequences(redis: &RedisServer, topic: &Topic) -> Vec<u64> {
    let Reply::List(entries) =
        redis.command(&["XRANGE", &format!("td:{{{topic}}}:s"), "-", "+"]).await
    else {
        panic!("no list")
    };
    let sequence = |entry: &Reply| match entry {
        Reply::List(entry) => match &entry[0] {
            Reply::Text(id) => id.split_once('-').unwrap().1.parse().unwrap(),
            id => panic!("{id:?}"),
        },
        entry => panic!("{entry:?}"),
    };
    entries.iter().map(sequence).filter(|sequence| *sequence > 0).collect()
}

fn is_unavailable(error: &BackendError) -> bool {
    matches!(error, BackendError::Unavailable { cause } if cause.contains("MISCONF"))
}

#[tokio::test]
async fn a_redis_with_a_full_disk_takes_nothing_and_goes_on_when_there_is_room() {
    let mut redis = RedisServer::start_on_a_small_disk(Persistence::AofEverysec).await;
    let broker = Broker::open(&redis, "a").await;
    let (kept, other): (_, Topic) = (Arc::new(durable()), "other".parse().unwrap());
    let invoices: Topic = "invoices".parse().unwrap();
    broker.redis.append(&orders(), &kept, vec![event("before")].into()).await.expect("stored");
    broker.append(&other, "before").await;
    redis.disk_fills_up(10);
    // It finds out at a write that it has acknowledged already.
    redis.command(&["SET", "filler", &"x".repeat(1000)]).await;
    redis.aof_write_is("err").await;
    for (topic, settings) in
        [(orders(), kept.clone()), (other.clone(), live()), (invoices, kept.clone())]
    {
        for batch in [vec![event("refused")], (0..50).map(|_| sized(1000)).collect()] {
            let refused = broker.redis.append(&topic, &settings, batch.into()).await;
            assert!(refused.as_ref().is_err_and(is_unavailable), "{topic}: {refused:?}");
        }
    }
    assert_eq!(redis.command(&["EXISTS", "td:{invoices}:s"]).await, Reply::Integer(0));
    redis.disk_has_room();
    for (topic, settings) in [(orders(), kept), (other.clone(), live())] {
        eventually("it stores again", PATIENCE, || async {
            broker.redis.append(&topic, &settings, vec![event("after")].into()).await.is_ok()
        })
        .await;
    }
    // With a sync under way, it lets a write wait.
    eventually("all is written", PATIENCE, || async {
        redis.info("persistence").await.contains("aof_buffer_length:0")
    })
    .await;
    redis.kill9();
    redis.restart().await;
    for topic in [orders(), other] {
        assert_eq!(sequences(&redis, &topic).await, [1, 2], "{topic}");
    }
}

fn numbered(n: usize) -> Topic {
    format!("orders.{n}").parse().unwrap()
}

async fn stored(broker: &Broker, n: usize) -> Result<Appended, BackendError> {
    broker.redis.append(&numbered(n), &Arc::new(durable()), vec![sized(200)].into()).await
}

/// With `appendfsync always` Redis ends where it cannot write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_ends_of_a_full_disk_has_what_was_said_to_be_there() {
    const TOPICS: usize = 4;
    let mut redis = RedisServer::start_on_a_small_disk(Persistence::AofAlways).await;
    let broker = Arc::new(Broker::open(&redis, "a").await);
    for n in 0..TOPICS {
        let first = stored(&broker, n).await.expect("stored");
        assert_eq!(first.durability, Durability::Disk);
    }
    // Some more goes in, and one is cut in the middle.
    redis.disk_fills_up(20_000);
    let mut publishing = JoinSet::new();
    for n in 0..TOPICS {
        let broker = broker.clone();
        publishing.spawn(async move {
            let mut said = vec![1];
            let error = loop {
                match stored(&broker, n).await {
                    Ok(stored) => {
                        assert_eq!(stored.durability, Durability::Disk);
                        said.push(stored.first.sequence);
                    }
                    Err(error) => break error,
                }
                assert!(said.len() < 1000, "the disk never fills");
            };
            (n, said, error)
        });
    }
    let publishing = tokio::time::timeout(PATIENCE, publishing.join_all());
    let published = publishing.await.expect("answered");
    redis.ended().await;
    let away = stored(&broker, 0).await.expect_err("nobody is there");
    assert!(matches!(away, BackendError::Unavailable { .. }), "{away:?}");

    redis.restart().await;
    for (n, said, error) in &published {
        assert!(
            matches!(error, BackendError::OutcomeUnknown { .. } | BackendError::Unavailable { .. }),
            "{error:?}"
        );
        let held = sequences(&redis, &numbered(*n)).await;
        let unknown = matches!(error, BackendError::OutcomeUnknown { .. });
        let (few, many) = (said.len(), said.len() + usize::from(unknown));
        assert_eq!(held[..few], said[..], "{n}");
        assert!(held.len() <= many, "{n}: {held:?} of {said:?}, then {error:?}");
    }
    assert!(published.iter().any(|(_, said, _)| said.len() > 1), "full from the start");
    eventually("it stores again", PATIENCE, || async { stored(&broker, 0).await.is_ok() }).await;
}

/// Redis is asked whether it has synced, and has not.
#[tokio::test]
async fn a_topic_that_waits_for_a_full_disk_is_not_told_that_it_is_there() {
    let mut redis = RedisServer::start_newer_on_a_small_disk(Persistence::AofEverysec).await;
    let broker = Broker::open(&redis, "a").await;
    let synced = Arc::new(TopicSettings { fsync: true, ..durable() });
    let stored = async || broker.redis.append(&orders(), &synced, vec![sized(200)].into()).await;
    says_disk(&broker, &synced).await;
    redis.disk_fills_up(10);
    // Taken before it finds out, and then no more.
    let stalled = stored().await.expect("taken");
    assert_eq!(stalled.durability, Durability::Memory);
    let refused = stored().await;
    assert!(refused.as_ref().is_err_and(is_unavailable), "{refused:?}");
    redis.disk_has_room();
    let again = says_disk(&broker, &synced).await;
    redis.kill9();
    redis.restart().await;
    assert!(sequences(&redis, &orders()).await.contains(&again.first.sequence), "{again:?}");
}

/// Stores until a receipt says that the disk has it.
async fn says_disk(broker: &Broker, settings: &Arc<TopicSettings>) -> Appended {
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        let stored = broker.redis.append(&orders(), settings, vec![sized(200)].into()).await;
        if let Ok(stored) = &stored
            && stored.durability == Durability::Disk
        {
            return stored.clone();
        }
        assert!(tokio::time::Instant::now() < end, "{stored:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
