//! What a receipt says of an event is what became of it: on each kind of Redis, with the power cut,
//! and with a replica in its place. And what of a Redis that would lose it.

use std::{sync::Arc, time::Duration};

use tidings::{
    backend::{
        Appended, Backend, BackendError, Durability, TopicSettings,
        redis::{Redis, RedisConfig},
    },
    event::Event,
    limits::{COMMIT_WAIT_MAX, WAITERS_MAX},
    topic::Topic,
};
use tokio::{task::JoinSet, time::Instant};

use crate::support::{
    backend::{Broker, HASH, PATIENCE, STREAM, config, event, live, orders, sized},
    eventually,
    process::{Ended, Process, tidings},
    redis::{Persistence, RedisServer, Reply},
    settings::durable,
};

fn kept() -> Arc<TopicSettings> {
    Arc::new(durable())
}

fn replicated() -> Arc<TopicSettings> {
    Arc::new(TopicSettings { replicas: 1, ..durable() })
}

async fn store(broker: &Broker, settings: &Arc<TopicSettings>) -> Appended {
    let stored = broker.redis.append(&orders(), settings, vec![event("stored")].into()).await;
    stored.expect("stored")
}

async fn config_set(redis: &RedisServer, name: &str, value: &str) {
    redis.command(&["CONFIG", "SET", name, value]).await;
}

/// Events of `orders` that a Redis holds.
async fn held(redis: &RedisServer) -> i64 {
    match redis.command(&["XLEN", STREAM]).await {
        // Without the fence.
        Reply::Integer(entries) => (entries - 1).max(0),
        reply => panic!("{reply:?}"),
    }
}

/// Stores until a receipt says this; returns that one.
async fn says_within(
    broker: &Broker,
    settings: &Arc<TopicSettings>,
    wanted: Durability,
) -> Appended {
    let end = Instant::now() + PATIENCE;
    loop {
        let stored = store(broker, settings).await;
        if stored.durability == wanted {
            return stored;
        }
        assert!(Instant::now() < end, "no {wanted:?}, but {stored:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A Redis and one that follows it, in sync.
async fn pair(persistence: Persistence) -> (RedisServer, RedisServer) {
    let primary = RedisServer::start(persistence).await;
    let replica = RedisServer::start(Persistence::None).await;
    replica.replicaof(Some(primary.port())).await;
    // WAIT counts it from when its primary knows.
    eventually("the replica is online", PATIENCE, || async {
        primary.info("replication").await.contains("state=online")
    })
    .await;
    (primary, replica)
}

#[tokio::test]
async fn a_receipt_says_disk_only_where_kill_9_leaves_the_event() {
    use Persistence::{AofAlways, AofEverysec, None, Rdb};
    for (persistence, wanted) in [
        (None, Durability::Memory),
        (Rdb, Durability::Memory),
        (AofEverysec, Durability::Memory),
        (AofAlways, Durability::Disk),
    ] {
        let mut redis = RedisServer::start(persistence).await;
        let broker = Broker::open(&redis, "a").await;
        let durability = store(&broker, &kept()).await.durability;
        redis.kill9();
        assert_eq!(durability, wanted, "{persistence:?}");
        assert_eq!(broker.redis.describe().durability, wanted, "{persistence:?}");
        redis.restart().await;
        match persistence {
            AofAlways => assert_eq!(held(&redis).await, 1),
            // To say more would have been a lie.
            None => assert_eq!(held(&redis).await, 0),
            Rdb | AofEverysec => (),
        }
        let live = broker.append(&"other".parse().unwrap(), "live").await;
        assert_eq!(live.durability, Durability::Live);
    }
}

#[tokio::test]
async fn a_receipt_follows_when_redis_is_told_otherwise() {
    let redis = RedisServer::start(Persistence::AofAlways).await;
    let broker = Broker::open(&redis, "a").await;
    assert_eq!(store(&broker, &kept()).await.durability, Durability::Disk);
    config_set(&redis, "appendfsync", "everysec").await;
    says_within(&broker, &kept(), Durability::Memory).await;
    assert_eq!(broker.redis.describe().durability, Durability::Memory);
    config_set(&redis, "appendfsync", "always").await;
    says_within(&broker, &kept(), Durability::Disk).await;
    config_set(&redis, "no-appendfsync-on-rewrite", "yes").await;
    says_within(&broker, &kept(), Durability::Memory).await;
    config_set(&redis, "no-appendfsync-on-rewrite", "no").await;
    config_set(&redis, "appendonly", "no").await;
    config_set(&redis, "appendonly", "yes").await;
    says_within(&broker, &kept(), Durability::Disk).await;
}

#[tokio::test]
async fn a_receipt_says_replicated_only_where_the_replica_has_the_event() {
    use Persistence::{AofAlways, AofEverysec, None, Rdb};
    for persistence in [None, Rdb, AofEverysec, AofAlways] {
        let (mut primary, replica) = pair(persistence).await;
        let broker = Broker::open(&primary, "a").await;
        says_within(&broker, &replicated(), Durability::Replicated).await;
        // On a busy machine one may take too long, and says so.
        let stored = [store(&broker, &replicated()).await, store(&broker, &replicated()).await];
        primary.kill9();
        assert_eq!(broker.redis.describe().durability, Durability::Replicated);
        let said = stored.iter().filter(|stored| stored.durability == Durability::Replicated);
        let last = said.map(|stored| stored.first.sequence).max().unwrap_or(1);
        replica.replicaof(Option::None).await;
        assert!(held(&replica).await >= last as i64, "{persistence:?}: {stored:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_stalls_costs_the_receipt_and_not_the_event() {
    for (persistence, left) in
        [(Persistence::None, Durability::Memory), (Persistence::AofAlways, Durability::Disk)]
    {
        let (primary, replica) = pair(persistence).await;
        let broker = Broker::open(&primary, "a").await;
        says_within(&broker, &replicated(), Durability::Replicated).await;
        let before = held(&primary).await;
        replica.sigstop();
        let settings = replicated();
        let waiting = async {
            let stored = store(&broker, &settings).await;
            (stored, Instant::now())
        };
        let beside = async {
            // What waits for nobody goes by.
            let other: Topic = "other".parse().unwrap();
            for _ in 0..3 {
                let stored =
                    broker.redis.append(&other, &kept(), vec![event("beside")].into()).await;
                assert_eq!(stored.expect("stored").durability, left);
            }
            Instant::now()
        };
        let ((stalled, stalled_at), beside_at) = tokio::join!(waiting, beside);
        assert_eq!(stalled.durability, left, "{persistence:?}");
        assert!(beside_at < stalled_at, "others had to wait, too");
        assert_eq!(held(&primary).await, before + 1);
        replica.sigcont();
        says_within(&broker, &replicated(), Durability::Replicated).await;
    }
}

/// More publishes than may wait at a time: each waits its turn, and who would have waited for too
/// long is told that nothing of it is stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_more_publishes_than_may_wait_each_has_its_turn_or_is_refused() {
    // As many turns as there are seconds in what a publish may wait for its own, and some more.
    const TOPICS: usize = WAITERS_MAX * 6 + 4;
    let (primary, replica) = pair(Persistence::None).await;
    let broker = Arc::new(Broker::open(&primary, "a").await);
    says_within(&broker, &replicated(), Durability::Replicated).await;
    let topic = |n: usize| -> Topic { format!("waits.{n}").parse().unwrap() };
    let publish = |n: usize| {
        let broker = broker.clone();
        async move { broker.redis.append(&topic(n), &replicated(), vec![event("waits")].into()).await }
    };
    replica.sigstop();
    let mut waiting = JoinSet::new();
    for n in 0..TOPICS {
        let publishing = publish(n);
        waiting.spawn(async move { (n, publishing.await, Instant::now()) });
    }
    // While all connections are taken, what waits for nobody goes by, on known and on new topics.
    let waits = async |count: i64| {
        eventually("they wait", PATIENCE, || async { blocked(&primary).await == count }).await;
    };
    waits(WAITERS_MAX as i64).await;
    for n in 0..20 {
        let beside: Topic = format!("beside.{}", n % 2).parse().unwrap();
        let stored = broker.redis.append(&beside, &kept(), vec![event("beside")].into()).await;
        assert_eq!(stored.expect("stored").durability, Durability::Memory);
    }
    assert_eq!(broker.append(&"live".parse().unwrap(), "live").await.durability, Durability::Live);
    let beside_at = Instant::now();

    let all = tokio::time::timeout(2 * PATIENCE, waiting.join_all()).await.expect("answered");
    assert!(all.iter().any(|(_, _, at)| beside_at < *at), "others had to wait, too");
    let mut refused = 0;
    for (n, answer, _) in all {
        let exists = match answer {
            Ok(stored) => {
                assert_eq!(stored.durability, Durability::Memory, "{n}");
                assert_eq!(stored.first.sequence, 1, "{n}");
                1
            }
            Err(BackendError::Timeout { after }) => {
                assert_eq!(after, COMMIT_WAIT_MAX);
                refused += 1;
                0
            }
            Err(error) => panic!("{n}: {error:?}"),
        };
        let stream = format!("td:{{{}}}:s", topic(n));
        let Reply::Integer(entries) = primary.command(&["XLEN", &stream]).await else {
            panic!("no number")
        };
        assert_eq!((entries - 1).max(0), exists, "{n}");
    }
    assert!(0 < refused && refused < TOPICS - 2 * WAITERS_MAX, "{refused} of {TOPICS}");
    waits(0).await;
    replica.sigcont();
    says_within(&broker, &replicated(), Durability::Replicated).await;
    for n in [0, TOPICS - 1] {
        publish(n).await.expect("stored");
    }
}

/// Clients of a Redis that wait.
async fn blocked(redis: &RedisServer) -> i64 {
    let info = redis.info("clients").await;
    let count = info.lines().find_map(|line| line.strip_prefix("blocked_clients:"));
    count.expect("told").trim().parse().unwrap()
}

#[tokio::test]
async fn a_topic_that_asks_for_replicas_that_are_not_there_is_told_what_there_is() {
    let redis = RedisServer::start(Persistence::None).await;
    let broker = Broker::open(&redis, "a").await;
    assert_eq!(store(&broker, &replicated()).await.durability, Durability::Memory);
    assert_eq!(held(&redis).await, 1);
}

/// Until Redis has synced, of its own accord once a second.
#[tokio::test]
async fn a_receipt_says_disk_where_a_topic_waits_for_the_disk() {
    let synced = Arc::new(TopicSettings { fsync: true, ..durable() });
    let mut redis = RedisServer::start_newer(Persistence::AofEverysec).await;
    let broker = Broker::open(&redis, "a").await;
    let stored = says_within(&broker, &synced, Durability::Disk).await;
    redis.kill9();
    assert_eq!(broker.redis.describe().durability, Durability::Disk);
    redis.restart().await;
    assert!(held(&redis).await >= stored.first.sequence as i64);
    // Who does not wait is not told so.
    eventually("it stores again", PATIENCE, || async {
        let stored = broker.redis.append(&orders(), &kept(), vec![event("kept")].into()).await;
        stored.is_ok_and(|stored| stored.durability == Durability::Memory)
    })
    .await;
    config_set(&redis, "appendfsync", "no").await;
    assert_eq!(store(&broker, &synced).await.durability, Durability::Memory, "nobody syncs");
    config_set(&redis, "appendonly", "no").await;
    assert_eq!(store(&broker, &synced).await.durability, Durability::Memory, "no file at all");

    // Where Redis has no word for it, nothing is claimed.
    let older = RedisServer::start(Persistence::AofEverysec).await;
    if older
        .try_command(&["WAITAOF", "0", "0", "1"])
        .await
        .is_ok_and(|reply| matches!(reply, Reply::Error(_)))
    {
        let broker = Broker::open(&older, "b").await;
        assert_eq!(store(&broker, &synced).await.durability, Durability::Memory);
    }
}

#[tokio::test]
async fn connections_that_wait_are_made_anew_when_redis_was() {
    let (mut primary, replica) = pair(Persistence::AofAlways).await;
    let broker = Broker::open(&primary, "a").await;
    let before = store(&broker, &replicated()).await;
    primary.restart().await;
    let again =
        async || broker.redis.append(&orders(), &replicated(), vec![event("again")].into()).await;
    eventually("it is replicated again", PATIENCE, || async {
        again().await.is_ok_and(|stored| stored.durability == Durability::Replicated)
    })
    .await;
    let after = again().await.expect("stored");
    assert_ne!(after.first.epoch, before.first.epoch, "another run of redis, another life");
    drop(replica);
}

/// A user of Redis that a hoster restricts.
async fn without(redis: &RedisServer, forbidden: &[&str]) -> String {
    let user = ["ACL", "SETUSER", "ann", "on", ">pw", "~*", "&*", "+@all"];
    redis.command(&[&user[..], forbidden].concat()).await;
    format!("redis://ann:pw@127.0.0.1:{}", redis.port())
}

#[tokio::test]
async fn what_redis_does_not_tell_is_taken_for_the_weaker() {
    let (redis, _replica) = pair(Persistence::AofAlways).await;
    let url = without(&redis, &["-config", "-wait"]).await;
    let broker = Broker::open_at(&url, "a").await;
    assert_eq!(store(&broker, &kept()).await.durability, Durability::Memory);
    assert_eq!(store(&broker, &replicated()).await.durability, Durability::Memory);
    let description = broker.redis.describe();
    assert_eq!(description.durability, Durability::Memory);
    for command in ["CONFIG GET", "WAIT"] {
        assert!(description.warnings.iter().any(|told| told.contains(command)), "{description:?}");
    }
}

async fn careful(redis: &RedisServer) -> Broker {
    let config = RedisConfig { allow_volatile: false, ..config(&redis.url(), "a") };
    let (redis, feed) = Redis::open(&config).await.expect("it starts");
    Broker { redis, feed, held: Vec::new() }
}

#[tokio::test]
async fn no_topic_becomes_durable_where_it_would_be_lost() {
    let redis = RedisServer::start(Persistence::None).await;
    let broker = careful(&redis).await;
    let refused = async |broker: &Broker| {
        let stored = broker.redis.append(&orders(), &kept(), vec![event("refused")].into()).await;
        let Err(BackendError::Refused { cause }) = stored else { panic!("{stored:?}") };
        cause
    };
    let cause = refused(&broker).await;
    for part in ["orders", "appendonly yes", "--allow-volatile"] {
        assert!(cause.contains(part), "{cause}");
    }
    assert_eq!(redis.command(&["EXISTS", HASH, STREAM]).await, Reply::Integer(0));
    // What is live stays live, and goes on.
    broker.append(&orders(), "live").await;
    refused(&broker).await;
    assert_eq!(broker.append(&orders(), "live").await.durability, Durability::Live);
    config_set(&redis, "appendonly", "yes").await;
    eventually("it can be durable", PATIENCE, || async {
        broker.redis.describe().refuses_durable.is_none()
    })
    .await;
    assert_eq!(store(&broker, &kept()).await.durability, Durability::Memory);
    // A topic that is durable already is published on, whatever became of Redis.
    config_set(&redis, "maxmemory-policy", "allkeys-lru").await;
    eventually("it is warned of", PATIENCE, || async {
        let told = broker.redis.describe().warnings;
        told.iter().any(|told| told.contains("allkeys-lru"))
    })
    .await;
    store(&broker, &kept()).await;
}

/// The server with a file of rules, to its end where it has one.
async fn serve(redis: &RedisServer, more: &[&str], mode: &str) -> Process {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tidings.toml");
    std::fs::write(&file, format!("[[topics]]\npattern = 'orders.>'\nmode = '{mode}'")).unwrap();
    let (file, url) = (file.to_str().unwrap().to_owned(), redis.url());
    let flags = ["serve", "--listen", "127.0.0.1:0", "--redis", &url, "--config", &file];
    let process = Process::start(tidings(&[&flags[..], more].concat()));
    // It has read the file when it says so, or has ended.
    eventually("it says something", PATIENCE, || async { !process.output().is_empty() }).await;
    process
}

async fn refusal(redis: &RedisServer) -> String {
    let Ended { code, err, .. } = serve(redis, &[], "durable").await.end().await;
    assert_eq!(code, Some(64), "{err}");
    assert!(err.contains("orders.>") && err.contains("--allow-volatile"), "{err}");
    err
}

#[tokio::test]
async fn a_server_with_durable_topics_does_not_start_where_they_would_be_lost() {
    let redis = RedisServer::start(Persistence::None).await;
    let err = refusal(&redis).await;
    assert!(err.contains("set appendonly yes"), "{err}");
    config_set(&redis, "appendonly", "yes").await;
    config_set(&redis, "maxmemory-policy", "allkeys-lru").await;
    let err = refusal(&redis).await;
    assert!(err.contains("set maxmemory-policy noeviction"), "{err}");
    serve(&redis, &["--allow-volatile"], "durable").await.says("allow_volatile").await;
    serve(&redis, &[], "live").await.says("listening on").await;
    config_set(&redis, "maxmemory-policy", "volatile-lru").await;
    serve(&redis, &[], "durable").await.says("listening on").await;
}

/// A batch on a durable topic is refused like this, nothing of it is stored, and all goes on when
/// the trouble has gone.
async fn refused_whole(
    redis: &RedisServer,
    broker: &Broker,
    is_expected: impl Fn(&BackendError) -> bool,
    mend: impl AsyncFnOnce(),
) {
    let batch = || (0..50).map(|_| sized(1000)).collect::<Vec<Event>>();
    let new: Topic = "invoices".parse().unwrap();
    for topic in [orders(), new] {
        let error =
            broker.redis.append(&topic, &kept(), batch().into()).await.expect_err("refused");
        assert!(is_expected(&error), "{topic}: {error:?}");
    }
    mend().await;
    assert_eq!(held(redis).await, 1, "what was refused is stored");
    assert_eq!(redis.command(&["EXISTS", "td:{invoices}:s"]).await, Reply::Integer(0));
    eventually("it stores again", PATIENCE, || async {
        broker.redis.append(&orders(), &kept(), batch().into()).await.is_ok()
    })
    .await;
    assert_eq!(held(redis).await, 51);
}

async fn scene(persistence: Persistence) -> (RedisServer, Broker) {
    let redis = RedisServer::start(persistence).await;
    let broker = Broker::open(&redis, "a").await;
    store(&broker, &kept()).await;
    (redis, broker)
}

#[tokio::test]
async fn a_full_redis_takes_nothing_of_a_durable_batch() {
    let (redis, broker) = scene(Persistence::None).await;
    config_set(&redis, "maxmemory", "1").await;
    let full = |error: &BackendError| matches!(error, BackendError::Full { .. });
    refused_whole(&redis, &broker, full, async || config_set(&redis, "maxmemory", "0").await).await;
}

#[tokio::test]
async fn a_redis_that_fills_up_within_a_durable_batch_takes_all_of_it() {
    let (redis, broker) = scene(Persistence::None).await;
    let memory = redis.info("memory").await;
    let used = memory.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap();
    // Room for the command itself, which counts, and for a part of what it stores.
    let limit = used.trim().parse::<u64>().unwrap() + 6_000_000;
    config_set(&redis, "maxmemory", &limit.to_string()).await;
    let (mut stored, mut refused) = (1, 0);
    while refused < 3 {
        let batch = (0..1000).map(|_| sized(1500)).collect::<Vec<Event>>();
        match broker.redis.append(&orders(), &kept(), batch.into()).await {
            Ok(_) => stored += 1000,
            Err(BackendError::Full { .. }) => refused += 1,
            Err(error) => panic!("{error:?}"),
        }
        assert_eq!(held(&redis).await, stored, "a part of a batch is stored");
        assert!(stored < 100_000, "redis never fills");
    }
    assert!(stored > 1, "it was full before it began");
}

#[tokio::test]
async fn a_redis_that_misses_its_replicas_takes_nothing_of_a_durable_batch() {
    let (redis, broker) = scene(Persistence::None).await;
    config_set(&redis, "min-replicas-to-write", "1").await;
    let away = |error: &BackendError| matches!(error, BackendError::Unavailable { cause } if cause.contains("NOREPLICAS"));
    let mend = async || config_set(&redis, "min-replicas-to-write", "0").await;
    refused_whole(&redis, &broker, away, mend).await;
}

#[tokio::test]
async fn a_redis_that_cannot_save_takes_nothing_of_a_durable_batch() {
    let (redis, broker) = scene(Persistence::None).await;
    let snapshot = redis.dir().join("dump.rdb");
    std::fs::create_dir(&snapshot).unwrap();
    std::fs::write(snapshot.join("full"), "").unwrap();
    config_set(&redis, "save", "3600 1").await;
    let saved = async |status: &str| {
        redis.command(&["BGSAVE"]).await;
        let told = format!("rdb_last_bgsave_status:{status}");
        eventually(&told, PATIENCE, || async { redis.info("persistence").await.contains(&told) })
            .await;
    };
    saved("err").await;
    let away = |error: &BackendError| matches!(error, BackendError::Unavailable { cause } if cause.contains("MISCONF"));
    let mend = async || {
        std::fs::remove_dir_all(&snapshot).unwrap();
        saved("ok").await;
    };
    refused_whole(&redis, &broker, away, mend).await;
}

#[tokio::test]
async fn a_password_that_was_changed_is_said_and_a_broker_comes_back_with_the_old_one() {
    let redis = RedisServer::start(Persistence::None).await;
    let url = without(&redis, &[]).await;
    let broker = Broker::open_at(&url, "a").await;
    store(&broker, &kept()).await;
    redis.command(&["ACL", "SETUSER", "ann", "resetpass", ">other"]).await;
    redis.command(&["CLIENT", "KILL", "USER", "ann"]).await;
    let refused = async || {
        let stored = broker.redis.append(&orders(), &kept(), vec![event("refused")].into()).await;
        matches!(stored, Err(BackendError::Unavailable { cause }) if cause.contains("WRONGPASS") || cause.contains("password"))
    };
    eventually("it is told that the password is wrong", PATIENCE, refused).await;
    let held_before = held(&redis).await;
    redis.command(&["ACL", "SETUSER", "ann", "resetpass", ">pw"]).await;
    eventually("it stores again", PATIENCE, || async {
        broker.redis.append(&orders(), &kept(), vec![event("again")].into()).await.is_ok()
    })
    .await;
    assert_eq!(held(&redis).await, held_before + 1);
    assert_eq!(
        broker.redis.append(&orders(), &live(), vec![event("b")].into()).await.map(|_| ()),
        Ok(())
    );
}
