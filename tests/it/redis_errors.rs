//! What Redis says when it refuses, and what it does when it is slow: each on a real one. Whoever
//! published is told the right reason, on live and on durable topics, by one call and on a stream;
//! nothing is stored but where the broker says that it does
//! not know, and publishing goes on when Redis does.

use std::time::Duration;

use tidings::{
    backend::TopicSettings,
    catalog::Catalog,
    grpc::client::{AdminClient, BrokerClient},
    proto::{self, subscribe_response::Control},
};
use tokio::task::JoinSet;
use tonic::{Code, Status, transport::Channel};
use tonic_types::StatusExt;

use crate::support::{
    backend::{PATIENCE, STREAM},
    eventually, holds_within,
    in_process::{Lines, event, on_redis, request},
    proxy::{Direction, FaultProxy, Mode, Which},
    redis::{Persistence, RedisServer, Reply, command_at, free_port},
    served::{Served, reason},
    settings::durable,
};

/// A broker over a Redis, with a publisher and a subscriber; one event has gone through.
struct Scene {
    redis: RedisServer,
    client: BrokerClient<Channel>,
    lines: Lines,
    served: Served,
}

impl Scene {
    async fn open() -> Scene {
        Scene::open_with(TopicSettings::default()).await
    }

    /// One whose topics are live, and one whose topics are durable.
    async fn both() -> [Scene; 2] {
        [Scene::open().await, Scene::open_with(durable()).await]
    }

    async fn open_with(settings: TopicSettings) -> Scene {
        Scene::open_on(RedisServer::start(Persistence::None).await, settings).await
    }

    async fn open_on(redis: RedisServer, settings: TopicSettings) -> Scene {
        let catalog = Catalog::new(Vec::new(), "", settings).expect("no rules");
        let broker = on_redis(&redis.url(), "a", catalog).await;
        let lines = Lines::open(&broker, request(&["orders"])).await;
        let served = Served::start(broker, Duration::ZERO).await;
        let client = BrokerClient::new(served.channel().await);
        let mut scene = Scene { redis, client, lines, served };
        scene.publish("orders", "before").await.expect("stored");
        assert_eq!(scene.heard_until("before").await, ["orders before"]);
        scene
    }

    /// The same on a stream of publishes: code and reason of the failure.
    async fn failure_on_a_stream(&mut self, topic: &str) -> (i32, String) {
        let publish = proto::PublishRequest {
            topic: topic.into(),
            events: vec![event("refused"), event("refused too")],
            ..Default::default()
        };
        let request = proto::PublishStreamRequest { request_id: 1, publish: Some(publish) };
        let answers = self.client.publish_stream(tokio_stream::iter([request])).await;
        let answer = answers.expect("opened").into_inner().message().await.expect("an answer");
        match answer.expect("one").result {
            Some(proto::publish_stream_response::Result::Failure(failure)) => {
                (failure.code, failure.reason)
            }
            result => panic!("not refused: {result:?}"),
        }
    }

    async fn publish(&mut self, topic: &str, id: &str) -> Result<(), Status> {
        let events = vec![event(id)];
        let request = proto::PublishRequest { topic: topic.into(), events, ..Default::default() };
        self.client.publish(request).await.map(drop)
    }

    /// A publish is refused like this; the words are Redis' own.
    async fn is_refused(&mut self, topic: &str, code: Code, because: &str, words: &str) {
        let status = self.publish(topic, "refused").await.expect_err("refused");
        assert_eq!((status.code(), reason(&status).as_str()), (code, because), "{status:?}");
        assert!(status.message().contains(words), "{status:?}");
        let retry = status.get_details_retry_info().and_then(|info| info.retry_delay);
        assert_eq!(retry.is_some(), because != "BACKEND_REFUSED", "{status:?}");
        let told = self.failure_on_a_stream(topic).await;
        assert_eq!(told, (code as i32, because.to_owned()), "on a stream");
    }

    async fn config(&self, name: &str, value: &str) {
        self.redis.command(&["CONFIG", "SET", name, value]).await;
    }

    /// Events that are stored, whatever became of who sent them.
    async fn stored(&self) -> i64 {
        match self.redis.command(&["XLEN", STREAM]).await {
            // Without the fence.
            Reply::Integer(entries) => entries - 1,
            reply => panic!("{reply:?}"),
        }
    }

    /// For as long as it takes the broker to look after its connections: it keeps them.
    async fn lives_on(&self) {
        let begun = self.redis.calls("publish").await;
        let subscribed = self.redis.calls("subscribe").await;
        eventually("the broker goes on to prove that redis lives", PATIENCE, || async {
            self.redis.calls("publish").await >= begun + 4
        })
        .await;
        assert_eq!(self.redis.calls("subscribe").await, subscribed, "it had to subscribe again");
    }

    /// What the subscriber is told up to an event, but for mere signs of life.
    async fn heard_until(&mut self, id: &str) -> Vec<String> {
        let mut heard = Vec::new();
        let last = format!("orders {id}");
        while heard.last() != Some(&last) {
            let line = self.lines.next_within(PATIENCE).await;
            let line = line.unwrap_or_else(|| panic!("no {id} after {heard:?}"));
            if !line.starts_with("heartbeat") || line.ends_with("down") {
                heard.push(line);
            }
        }
        heard
    }

    /// Redis takes everything again: so does the broker, and what was refused never was.
    async fn goes_on(mut self) -> Vec<String> {
        assert_eq!(self.stored().await, 1, "what was refused is stored");
        let mut attempts = 0;
        while let Err(status) = self.publish("orders", "after").await {
            attempts += 1;
            assert!(attempts < 100, "it stays refused: {status:?}");
            assert_ne!(reason(&status), "OUTCOME_UNKNOWN", "{status:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(self.stored().await, 2);
        self.heard_until("after").await
    }
}

/// Of a topic that does not exist nothing is begun either.
async fn refuses_new_topics_too(scene: &mut Scene, code: Code, because: &str, words: &str) {
    scene.is_refused("invoices", code, because, words).await;
    let exist = scene.redis.command(&["EXISTS", "td:{invoices}:m", "td:{invoices}:s"]).await;
    assert_eq!(exist, Reply::Integer(0));
}

#[tokio::test]
async fn a_redis_without_memory_is_full() {
    for mut scene in Scene::both().await {
        scene.config("maxmemory-policy", "noeviction").await;
        scene.config("maxmemory", "1").await;
        let (code, because) = (Code::ResourceExhausted, "BACKEND_FULL");
        scene.is_refused("orders", code, because, "OOM").await;
        refuses_new_topics_too(&mut scene, code, because, "OOM").await;
        scene.lives_on().await;
        scene.config("maxmemory", "0").await;
        assert_eq!(scene.goes_on().await, ["orders after"]);
    }
}

#[tokio::test]
async fn a_redis_that_misses_its_replicas_is_unavailable() {
    for mut scene in Scene::both().await {
        scene.config("min-replicas-to-write", "1").await;
        let (code, because) = (Code::Unavailable, "BACKEND_UNAVAILABLE");
        scene.is_refused("orders", code, because, "NOREPLICAS").await;
        refuses_new_topics_too(&mut scene, code, because, "NOREPLICAS").await;
        scene.lives_on().await;
        scene.config("min-replicas-to-write", "0").await;
        assert_eq!(scene.goes_on().await, ["orders after"]);
    }
}

#[tokio::test]
async fn a_redis_that_cannot_save_is_unavailable_and_heals() {
    for mut scene in Scene::both().await {
        // Where the snapshot should go, there is a folder.
        let snapshot = scene.redis.dir().join("dump.rdb");
        std::fs::create_dir(&snapshot).expect("a folder");
        std::fs::write(snapshot.join("full"), "").expect("a file");
        scene.config("save", "3600 1").await;
        let saved = async |scene: &Scene, status: &str| {
            scene.redis.command(&["BGSAVE"]).await;
            let told = format!("rdb_last_bgsave_status:{status}");
            eventually(&told, PATIENCE, || async {
                scene.redis.info("persistence").await.contains(&told)
            })
            .await;
        };
        saved(&scene, "err").await;
        let (code, because) = (Code::Unavailable, "BACKEND_UNAVAILABLE");
        scene.is_refused("orders", code, because, "MISCONF").await;
        refuses_new_topics_too(&mut scene, code, because, "MISCONF").await;
        scene.lives_on().await;
        std::fs::remove_dir_all(&snapshot).expect("removed");
        saved(&scene, "ok").await;
        assert_eq!(scene.goes_on().await, ["orders after"]);
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_redis_with_a_full_disk_is_unavailable_and_heals() {
    let full_disk = async |settings: TopicSettings| {
        let redis = RedisServer::start_on_a_small_disk(Persistence::AofEverysec).await;
        let mut scene = Scene::open_on(redis, settings).await;
        scene.redis.disk_fills_up(10);
        // It finds out at a write that it has acknowledged already.
        scene.redis.command(&["SET", "filler", &"x".repeat(1000)]).await;
        scene.redis.aof_write_is("err").await;
        let (code, because) = (Code::Unavailable, "BACKEND_UNAVAILABLE");
        scene.is_refused("orders", code, because, "MISCONF").await;
        refuses_new_topics_too(&mut scene, code, because, "MISCONF").await;
        let admin = AdminClient::new(scene.served.channel().await);
        let warned = async || {
            let info = admin.clone().get_server_info(proto::GetServerInfoRequest {}).await;
            let warnings = info.expect("answered").into_inner().warnings;
            warnings.iter().any(|warning| warning.contains("make room on its disk"))
        };
        let told = eventually("operators are told", PATIENCE, || async { warned().await });
        tokio::join!(scene.lives_on(), told);
        scene.redis.disk_has_room();
        eventually("and that it is over", PATIENCE, || async { !warned().await }).await;
        assert_eq!(scene.goes_on().await, ["orders after"]);
    };
    tokio::join!(full_disk(TopicSettings::default()), full_disk(durable()));
}

/// As an operator makes it one, or a failover: it keeps what it has.
#[tokio::test]
async fn a_redis_that_became_a_replica_takes_nothing() {
    for mut scene in Scene::both().await {
        let nobody = free_port();
        scene.redis.replicaof(Some(nobody)).await;
        for _ in 0..20 {
            let status = scene.publish("orders", "refused").await.expect_err("refused");
            let told = reason(&status);
            assert!(
                ["BACKEND_FAILOVER", "BACKEND_UNAVAILABLE"].contains(&told.as_str()),
                "{status:?}"
            );
            let (_, told) = scene.failure_on_a_stream("orders").await;
            assert!(["BACKEND_FAILOVER", "BACKEND_UNAVAILABLE"].contains(&told.as_str()), "{told}");
        }
        assert_eq!(scene.stored().await, 1, "what was refused is stored");
        scene.redis.replicaof(None).await;
        let again = async || {
            let mut client = scene.client.clone();
            let events = vec![event("after")];
            let topic = "orders".into();
            client.publish(proto::PublishRequest { topic, events, ..Default::default() }).await
        };
        eventually("it stores again", PATIENCE, || async { again().await.is_ok() }).await;
    }
}

/// Redis answers others while it is busy or loading, and the connections end for it: what the
/// subscriber may hear of that is that Redis was away, and no gap.
fn nothing_was_lost(heard: &[String]) {
    let events: Vec<_> = heard.iter().filter(|line| !line.starts_with("heartbeat")).collect();
    assert_eq!(events, ["orders after"], "{heard:?}");
}

async fn answers(redis: &RedisServer, code: &str) {
    eventually(&format!("redis answers {code}"), PATIENCE, || async {
        match redis.try_command(&["PING"]).await {
            Ok(Reply::Error(text)) => text.starts_with(code),
            _ => false,
        }
    })
    .await;
}

/// A command that takes long, on a connection that is left to itself.
fn begin(redis: &RedisServer, words: &'static [&'static str], tasks: &mut JoinSet<()>) {
    let port = redis.port();
    tasks.spawn(async move { drop(command_at(port, words).await) });
}

#[tokio::test]
async fn a_redis_that_is_busy_with_a_script_is_unavailable() {
    for mut scene in Scene::both().await {
        let mut tasks = JoinSet::new();
        scene.config("busy-reply-threshold", "50").await;
        begin(&scene.redis, &["EVAL", "while true do end", "0"], &mut tasks);
        answers(&scene.redis, "BUSY").await;
        for _ in 0..3 {
            scene.is_refused("orders", Code::Unavailable, "BACKEND_UNAVAILABLE", "BUSY").await;
        }
        scene.redis.command(&["SCRIPT", "KILL"]).await;
        scene.redis.ready().await;
        nothing_was_lost(&scene.goes_on().await);
    }
}

#[tokio::test]
async fn a_redis_that_loads_its_data_is_unavailable() {
    for mut scene in Scene::both().await {
        let mut tasks = JoinSet::new();
        // It answers others after each KiB, which takes it a millisecond.
        scene.config("rdbcompression", "no").await;
        scene.redis.command(&["DEBUG", "POPULATE", "2500", "filler", "1024"]).await;
        scene.config("key-load-delay", "1000").await;
        scene.config("loading-process-events-interval-bytes", "1024").await;
        begin(&scene.redis, &["DEBUG", "RELOAD"], &mut tasks);
        answers(&scene.redis, "LOADING").await;
        for _ in 0..3 {
            scene.is_refused("orders", Code::Unavailable, "BACKEND_UNAVAILABLE", "loading").await;
        }
        scene.config("key-load-delay", "0").await;
        scene.redis.ready().await;
        nothing_was_lost(&scene.goes_on().await);
    }
}

/// The only one of these after which the event may exist; here it does.
#[tokio::test]
async fn a_redis_that_hangs_leaves_an_unknown_outcome() {
    let mut scene = Scene::open().await;
    let mut tasks = JoinSet::new();
    begin(&scene.redis, &["DEBUG", "SLEEP", "2.5"], &mut tasks);
    let hangs = || async {
        let ping = scene.redis.try_command(&["PING"]);
        tokio::time::timeout(Duration::from_millis(100), ping).await.is_err()
    };
    assert!(holds_within(PATIENCE, hangs).await);
    let status = scene.publish("orders", "unknown").await.expect_err("no answer");
    let told = (status.code(), reason(&status));
    assert_eq!(told, (Code::Unavailable, "OUTCOME_UNKNOWN".into()), "{status:?}");
    assert!(status.get_details_retry_info().is_none(), "for the caller to decide: {status:?}");
    scene.redis.ready().await;
    let mut heard = scene.heard_until("unknown").await;
    heard.retain(|line| !line.starts_with("heartbeat"));
    assert_eq!(heard, ["orders unknown"]);
    assert_eq!(scene.stored().await, 2);
}

/// It answers each command within its time, but there are many: who waited for too long is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_redis_is_a_timeout_for_who_subscribes_behind_many_others() {
    const STREAMS: usize = 16;
    const TOPICS: usize = 60;
    let redis = RedisServer::start(Persistence::None).await;
    let proxy = FaultProxy::start(redis.port()).await;
    let broker = on_redis(&proxy.url(), "a", Catalog::default()).await;
    let served = Served::start(broker, Duration::ZERO).await;
    proxy.set(Which::Cmd, Direction::ToBroker, Mode::Delay(Duration::from_millis(250)));
    let mut streams = JoinSet::new();
    for stream in 0..STREAMS {
        let mut client = BrokerClient::new(served.channel().await);
        streams.spawn(async move {
            let topics = (0..TOPICS).map(|topic| format!("many.{stream}.{topic}")).collect();
            let request = proto::SubscribeRequest { topics, ..Default::default() };
            let mut opened = client.subscribe(request).await?.into_inner();
            let first = opened.message().await?.expect("a frame");
            assert!(matches!(first.control, Some(Control::Opened(_))), "{first:?}");
            Ok::<_, Status>(())
        });
    }
    let mut refused = Vec::new();
    while let Some(answer) = streams.join_next().await {
        refused.extend(answer.expect("no panic").err());
    }
    let told = |status: &Status| (status.code(), reason(status));
    let timeout = (Code::DeadlineExceeded, "BACKEND_TIMEOUT".to_owned());
    assert!(refused.iter().any(|status| told(status) == timeout), "{refused:?}");
    proxy.heal();
    let mut client = BrokerClient::new(served.channel().await);
    let again = async |client: &mut BrokerClient<Channel>| {
        let request = request(&["many.0.0"]);
        let mut opened = client.subscribe(request).await?.into_inner();
        opened.message().await
    };
    let mut attempts = 0;
    while let Err(status) = again(&mut client).await {
        attempts += 1;
        assert!(attempts < 100, "it stays refused: {status:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(redis.command(&["KEYS", "td:{many.*"]).await, Reply::List(vec![]));
}
