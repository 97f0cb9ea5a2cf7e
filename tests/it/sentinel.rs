//! Redis behind sentinels: brokers are told the sentinels and find the primary themselves, also
//! after a failover, whatever becomes of the old one.

use std::{
    collections::HashSet,
    path::Path,
    time::{Duration, Instant},
};

use tidings::{
    backend::TopicSettings,
    broker::Broker,
    catalog::Catalog,
    grpc::{
        client::{BrokerClient, SchemasClient},
        schema_messages::{RegisterSchemaRequest, Schema},
    },
    proto::{self, subscribe_request::Start},
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, transport::Channel};
use tonic_types::StatusExt;

use super::redis_addresses::{certificates, works};
use crate::support::{
    backend::{PATIENCE, STREAM},
    broker::Broker as Program,
    eventually,
    in_process::{Lines, event, on_redis, publish, request},
    process::{Ended, Process, tidings},
    redis::{Persistence, RedisServer, Reply, free_port},
    sentinel::{ANN, Failover, SERVICE, Sentinel, Service},
    served::{Served, reason},
    settings::durable,
};

/// Where nothing is to fail over.
const NEVER: Duration = Duration::from_secs(600);
const DOWN_AFTER: Duration = Duration::from_secs(1);
/// Sentinels that do not agree at once whose turn it is try again after some seconds.
const FAILOVER_MAX: Duration = Duration::from_secs(30);
/// What a broker takes of it, on a busy machine.
const OURS_MAX: Duration = Duration::from_secs(3);

/// Publishes one event after the other, each until it is acknowledged, and knows what became of each.
struct Publishing {
    client: BrokerClient<Channel>,
    next: u64,
    acknowledged: Vec<u64>,
    /// Of those, what a replica has by word of the receipt.
    replicated: Vec<u64>,
    /// Reasons of errors, as often as they came.
    refused: Vec<String>,
}

impl Publishing {
    async fn to(served: &Served) -> Publishing {
        let client = BrokerClient::new(served.channel().await);
        let (acknowledged, replicated, refused) = Default::default();
        Publishing { client, next: 1, acknowledged, replicated, refused }
    }

    async fn once(&mut self) -> Result<(), Status> {
        let id = self.next;
        self.next += 1;
        let request = proto::PublishRequest {
            topic: "orders".into(),
            events: vec![event(id)],
            ..Default::default()
        };
        let published = self.client.publish(request).await?.into_inner();
        self.acknowledged.push(id);
        if published.durability() == proto::Durability::Replicated {
            self.replicated.push(id);
        }
        Ok(())
    }

    /// Until the receipt says that a replica has it, or until one says that none has.
    async fn until_replicated(&mut self, wanted: bool) {
        let begun = Instant::now();
        loop {
            self.until_it_works().await;
            if (self.replicated.last() == self.acknowledged.last()) == wanted {
                return;
            }
            assert!(begun.elapsed() < FAILOVER_MAX, "{:?}", self.replicated);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn times(&mut self, count: u64) {
        for _ in 0..count {
            self.once().await.expect("stored");
        }
    }

    /// Until it is acknowledged again; how long that took.
    async fn until_it_works(&mut self) -> Duration {
        let begun = Instant::now();
        while let Err(status) = self.once().await {
            let why = reason(&status);
            let retry = status.get_details_retry_info().and_then(|info| info.retry_delay);
            match why.as_str() {
                "BACKEND_FAILOVER" | "BACKEND_UNAVAILABLE" => {
                    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
                    assert!(retry.is_some(), "{status:?}");
                }
                "OUTCOME_UNKNOWN" => assert!(retry.is_none(), "{status:?}"),
                _ => panic!("{status:?}"),
            }
            self.refused.push(why);
            assert!(begun.elapsed() < FAILOVER_MAX, "it does not work again: {status:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        begun.elapsed()
    }

    /// Until the second node is written to.
    async fn failed_over(&mut self, service: &Service) {
        let works = async {
            // Nothing may have noticed yet.
            while self.once().await.is_ok() {}
            (self.until_it_works().await, Instant::now())
        };
        let ((took, works), named) = tokio::join!(works, service.named(1));
        let ours = works.saturating_duration_since(named);
        let refused = counted(&self.refused);
        println!("works again after {took:?}, {ours:?} after a sentinel could tell: {refused:?}");
        assert!(ours < OURS_MAX, "{ours:?}");
    }
}

fn counted(reasons: &[String]) -> std::collections::BTreeMap<&str, usize> {
    let mut counted = std::collections::BTreeMap::new();
    for reason in reasons {
        *counted.entry(reason.as_str()).or_default() += 1;
    }
    counted
}

/// Reads a stream to an event, in the background.
fn reading(mut lines: Lines, last: &str) -> JoinHandle<Vec<String>> {
    let last = format!("orders {last}");
    tokio::spawn(async move {
        let mut heard = Vec::new();
        while heard.last() != Some(&last) {
            let line = lines.next_within(FAILOVER_MAX).await;
            heard.push(line.unwrap_or_else(|| panic!("no {last} after {heard:?}")));
        }
        heard
    })
}

/// Each event that was acknowledged came, in order and once, or a gap came in its place.
fn none_is_lost_in_silence(acknowledged: &[u64], heard: &[String]) {
    let mut wanted = acknowledged.iter().copied().peekable();
    let (mut last, mut gap) = (0, false);
    for line in heard {
        gap |= line.starts_with("gap orders");
        let Some(id) = line.strip_prefix("orders ").and_then(|id| id.parse::<u64>().ok()) else {
            continue;
        };
        assert!(last < id, "{id} comes after {last}: {heard:?}");
        last = id;
        let missing: Vec<_> =
            std::iter::from_fn(|| wanted.next_if(|wanted| *wanted < id)).collect();
        assert!(missing.is_empty() || gap, "{missing:?} are missing without a gap: {heard:?}");
        wanted.next_if_eq(&id);
        gap = false;
    }
    assert_eq!(wanted.next(), None, "{heard:?}");
}

fn says_that_redis_is_away(heard: &[String]) -> bool {
    heard.iter().any(|line| line.starts_with("heartbeat") && line.ends_with("down"))
}

#[tokio::test]
async fn a_broker_finds_the_primary_through_whichever_sentinel_answers() {
    let service = Service::start(NEVER).await;
    // One is dead, one is no sentinel.
    let other = RedisServer::start(Persistence::None).await;
    let first = format!("redis+sentinel://127.0.0.1:{},127.0.0.1:{},", free_port(), other.port());
    let url = service.url().replace("redis+sentinel://", &first);
    let broker = on_redis(&url, "a", Catalog::default()).await;
    let mut lines = Lines::open(&broker, request(&["orders"])).await;
    publish(&broker, "orders", vec![event(1)]).await.expect("stored");
    lines.expect("orders 1").await;
    assert_eq!(service.nodes[0].command(&["XLEN", STREAM]).await, Reply::Integer(2));

    let warnings = broker.info().warnings;
    let said = format!("{SERVICE} by 5 sentinels: min-replicas-to-write is 0");
    assert!(warnings.iter().any(|warning| warning.starts_with(&said)), "{warnings:?}");
    let one = service.url().split(',').next().expect("one").to_owned() + "/" + SERVICE + "/3";
    let program = Program::program(&["--redis", &one]).await;
    let output = program.output();
    for part in [
        &format!(", {SERVICE} by 1 sentinel; live topics"),
        "while that one is away",
        &format!("-p {} SENTINEL GET-MASTER-ADDR-BY-NAME {SERVICE}", service.sentinels[0].port()),
    ] {
        assert!(output.contains(part), "{part:?} is missing: {output}");
    }
    assert!(service.nodes[0].info("keyspace").await.contains("db3:"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_dies_is_left_for_the_next_one_without_a_silent_loss() {
    let mut service = Service::start(DOWN_AFTER).await;
    let brokers = [
        on_redis(&service.url(), "a", Catalog::default()).await,
        on_redis(&service.url(), "b", Catalog::default()).await,
    ];
    let mut readers = Vec::new();
    for broker in &brokers {
        readers.push(reading(Lines::open(broker, request(&["orders"])).await, "last"));
    }
    let served = Served::start(brokers[0].clone(), Duration::ZERO).await;
    let mut publishing = Publishing::to(&served).await;
    publishing.times(200).await;
    service.nodes[0].kill9();
    publishing.failed_over(&service).await;
    assert!(publishing.refused.iter().any(|reason| reason == "BACKEND_FAILOVER"));
    publishing.times(50).await;
    publish_until_taken(&brokers[1], "last").await;
    for reader in readers {
        let heard = reader.await.expect("heard to the end");
        none_is_lost_in_silence(&publishing.acknowledged, &heard);
        assert!(says_that_redis_is_away(&heard), "{heard:?}");
    }
    service.is_led_by(1).await;
}

/// A topic that waits for a replica, through a replica that stalls, and through failovers of each
/// kind: what a receipt says that a replica has is read afterwards, and what it does not say is
/// what may be lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_replica_has_by_word_of_the_receipt_survives_a_failover() {
    let settings = TopicSettings { replicas: 1, ..durable() };
    let catalog = Catalog::new(Vec::new(), "", settings).expect("no rules");
    let mut service = Service::start_with(DOWN_AFTER, &ANN, &[]).await;
    let broker = on_redis(&service.url_as("ann:pw@", ""), "a", catalog).await;
    let reader = reading(Lines::open(&broker, request(&["orders"])).await, "last");
    let served = Served::start(broker.clone(), Duration::ZERO).await;
    let mut publishing = Publishing::to(&served).await;
    publishing.until_replicated(true).await;

    service.nodes[1].sigstop();
    publishing.until_replicated(false).await;
    service.nodes[1].sigcont();
    publishing.until_replicated(true).await;
    service.is_ready().await;

    // Alone, the primary takes what is lost with it.
    for how in [Failover::Killed, Failover::KilledAlone] {
        publishing.times(50).await;
        let before = publishing.replicated.len();
        let alone = Duration::from_millis(500);
        let stop = CancellationToken::new();
        let goes_on = async {
            while !stop.is_cancelled() {
                publishing.until_it_works().await;
            }
        };
        let failing_over = async {
            service.fail_over(how, alone).await;
            service.mend(how).await;
            stop.cancel();
        };
        tokio::join!(goes_on, failing_over);
        publishing.until_replicated(true).await;
        let said = publishing.replicated.len() - before;
        println!("{how:?}: {said} of {} are replicated", publishing.acknowledged.len());
    }
    publish_until_taken(&broker, "last").await;
    let heard = reader.await.expect("heard to the end");
    none_is_lost_in_silence(&publishing.acknowledged, &heard);
    let earliest =
        proto::SubscribeRequest { start: Some(Start::Earliest(true)), ..request(&["orders"]) };
    let read =
        reading(Lines::open(&broker, earliest).await, "last").await.expect("read to the end");
    for (who, lines) in [("who was there", heard), ("who reads it all", read)] {
        let ids: HashSet<u64> =
            lines.iter().filter_map(|line| line.strip_prefix("orders ")?.parse().ok()).collect();
        let lost: Vec<_> = publishing.replicated.iter().filter(|id| !ids.contains(id)).collect();
        assert!(lost.is_empty(), "{who} never saw {lost:?}: {lines:?}");
    }
}

async fn publish_until_taken(broker: &Broker, id: &str) {
    eventually("the other broker publishes, too", PATIENCE, || async {
        publish(broker, "orders", vec![event(id)]).await.is_ok()
    })
    .await;
}

/// What the next primary had not been told of is put back by brokers that know it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn types_are_registered_after_a_failover_as_they_were_before() {
    let mut service = Service::start_with(DOWN_AFTER, &ANN, &[]).await;
    let url = service.url_as("ann:pw@", "");
    let one = on_redis(&url, "a", Catalog::default()).await;
    let two = on_redis(&url, "b", Catalog::default()).await;
    let served = Served::start(one.clone(), Duration::ZERO).await;
    register(&served, "int32 a = 1;", 1).await;
    knows(&two, 1).await;

    service.nodes[1].command(&["CONFIG", "SET", "masterauth", "none"]).await;
    service.nodes[0].client_kill("replica").await;
    register(&served, "int32 a = 1; int32 b = 2;", 2).await;
    knows(&two, 2).await;
    service.nodes[0].kill9();
    service.is_led_by(1).await;

    let new = on_redis(&url, "c", Catalog::default()).await;
    knows(&new, 2).await;
    let served = Served::start(new, Duration::ZERO).await;
    register(&served, "int32 a = 1; int32 b = 2; int32 c = 3;", 3).await;
    knows(&one, 3).await;
    knows(&two, 3).await;
}

async fn register(served: &Served, fields: &str, version: u32) {
    let text = format!("syntax = \"proto3\"; package a; message A {{ {fields} }}");
    let sources = [("a.proto".to_owned(), text.into_bytes())].into();
    let schema = Schema { r#type: "a.A".into(), sources, ..Schema::default() };
    let request = RegisterSchemaRequest { schema: Some(schema), ..Default::default() };
    let mut schemas = SchemasClient::new(served.channel().await);
    let registered = schemas.register_schema(request).await.expect("registered");
    assert_eq!(registered.into_inner().version, version);
}

async fn knows(broker: &Broker, version: u32) {
    let is_there = || async { broker.registry().snapshot().get("a.A", version).is_ok() };
    eventually("the broker knows the version", PATIENCE, is_there).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_comes_back_too_late_is_not_written_to_any_more() {
    let service = Service::start(DOWN_AFTER).await;
    let broker = on_redis(&service.url(), "a", Catalog::default()).await;
    let reader = reading(Lines::open(&broker, request(&["orders"])).await, "last");
    let served = Served::start(broker.clone(), Duration::ZERO).await;
    let mut publishing = Publishing::to(&served).await;
    publishing.times(20).await;
    let [old, new] = &service.nodes;
    old.sigstop();
    publishing.failed_over(&service).await;
    old.sigcont();
    old.ready().await;
    // With what was on its way when it stopped.
    let kept = old.command(&["XRANGE", STREAM, "-", "+"]).await;
    // It believes that it is the primary until a sentinel tells it otherwise, and ends every
    // connection then, also those of this test.
    let (begun, mut stands_alone) = (Instant::now(), 0);
    loop {
        assert!(begun.elapsed() < PATIENCE, "it is never told");
        publishing.times(5).await;
        let asked = [&["XRANGE", STREAM, "-", "+"][..], &["CLIENT", "LIST"], &["INFO"]];
        let mut answers = Vec::new();
        for words in asked {
            answers.extend(old.try_command(words).await);
        }
        let [now, Reply::Text(clients), Reply::Text(info)] = &answers[..] else { continue };
        if !info.contains("role:master") {
            break;
        }
        stands_alone += 1;
        assert_eq!(*now, kept, "it was written to");
        assert!(!clients.contains("resp=3"), "{clients}");
    }
    println!("seen {stands_alone} times as a second primary");
    assert!(old.in_sync().await);
    eventually("the old primary has what the new one has", PATIENCE, || async {
        old.command(&["XLEN", STREAM]).await == new.command(&["XLEN", STREAM]).await
    })
    .await;
    publish_until_taken(&broker, "last").await;
    none_is_lost_in_silence(&publishing.acknowledged, &reader.await.expect("heard to the end"));
}

/// Only the sentinels tell of such a switch: they cannot reach the old primary, which goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_knows_of_no_switch_is_left_also_when_the_first_sentinel_dies() {
    let mut service = Service::start_with(DOWN_AFTER, &ANN, &[]).await;
    let broker = on_redis(&service.url_as("ann:pw@", ""), "a", Catalog::default()).await;
    let reader = reading(Lines::open(&broker, request(&["orders"])).await, "last");
    let served = Served::start(broker.clone(), Duration::ZERO).await;
    let mut publishing = Publishing::to(&served).await;
    publishing.times(20).await;
    let first = listened_to(&service, None).await;
    service.sentinels[first].kill9();
    listened_to(&service, Some(first)).await;

    let [old, new] = &service.nodes;
    old.refuses_sentinels(true).await;
    let begun = Instant::now();
    loop {
        let Reply::Text(clients) = old.command(&["CLIENT", "LIST"]).await else {
            panic!("no text")
        };
        if !clients.contains("resp=3") {
            break;
        }
        assert!(begun.elapsed() < FAILOVER_MAX, "it is not left: {clients}");
        drop(publishing.once().await);
    }
    println!("left after {:?}", begun.elapsed());
    publishing.until_it_works().await;
    publishing.times(20).await;
    assert!(old.info("replication").await.contains("role:master"));
    assert!(new.info("replication").await.contains("role:master"));
    publish_until_taken(&broker, "last").await;
    none_is_lost_in_silence(&publishing.acknowledged, &reader.await.expect("heard to the end"));
}

/// It hears nothing of the others, and the old primary goes on: what it says was true once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sentinel_that_missed_a_switch_takes_nobody_back() {
    let blind = ["--user", "blind", "on", ">pw", "~*", "+@all", "-publish", "-subscribe"];
    let mut service = Service::start_with(DOWN_AFTER, &[&ANN[..], &blind].concat(), &[]).await;
    let file = [
        format!("sentinel monitor {SERVICE} 127.0.0.1 {} 9", service.nodes[0].port()),
        format!("sentinel auth-user {SERVICE} blind"),
        format!("sentinel auth-pass {SERVICE} pw"),
    ];
    service.sentinels.push(Sentinel::start(free_port(), &file.join("\n")));
    let broker = on_redis(&service.url_as("ann:pw@", ""), "a", Catalog::default()).await;
    let served = Served::start(broker, Duration::ZERO).await;
    let mut publishing = Publishing::to(&served).await;
    publishing.times(20).await;
    let others = service.sentinels.pop().expect("just started");
    service.fail_over(Failover::CutOff, Duration::ZERO).await;
    let [old, new] = &service.nodes;
    eventually("the broker has left", FAILOVER_MAX, || async { !serves_ann(old).await }).await;
    publishing.until_it_works().await;

    service.sentinels.iter().for_each(Sentinel::sigstop);
    eventually("the broker listens to who missed it", PATIENCE, || others.is_listened_to()).await;
    let begun = new.calls("publish").await;
    eventually("it has asked some times", PATIENCE, || async {
        assert!(!serves_ann(old).await);
        new.calls("publish").await >= begun + 4
    })
    .await;
    publishing.times(20).await;
    // The other is the first to be asked, and now there is somebody who knows better.
    service.sentinels[0].sigcont();
    for kind in ["normal", "pubsub"] {
        new.client_kill(kind).await;
    }
    publishing.until_it_works().await;
    publishing.times(20).await;
    assert!(serves_ann(new).await && !serves_ann(old).await);
}

async fn serves_ann(node: &RedisServer) -> bool {
    match node.command(&["CLIENT", "LIST"]).await {
        Reply::Text(clients) => clients.contains(" user=ann "),
        reply => panic!("CLIENT LIST answered {reply:?}"),
    }
}

/// Which sentinel the broker listens to, other than `before`.
async fn listened_to(service: &Service, before: Option<usize>) -> usize {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        for (index, sentinel) in service.sentinels.iter().enumerate() {
            if Some(index) != before && sentinel.is_listened_to().await {
                return index;
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the broker listens to no sentinel other than {before:?}");
}

async fn refused(url: &str) -> Ended {
    let listen = ["--listen", "127.0.0.1:0"];
    let ended = Process::run(tidings(&[&["--redis", url], &listen[..]].concat()), "").await;
    assert!(!ended.err.contains("panicked"), "{ended:?}");
    ended
}

#[tokio::test]
async fn what_is_wrong_at_the_start_is_said() {
    let service = Service::start(NEVER).await;
    let other = service.url().replace(SERVICE, "order-db");
    let ended = refused(&other).await;
    assert_eq!(ended.code, Some(64), "{ended:?}");
    let said = format!("order-db by the sentinels 127.0.0.1:{}", service.sentinels[0].port());
    assert!(ended.err.contains(&said), "{}", ended.err);
    assert!(ended.err.contains(&format!("the service, but {SERVICE}")), "{}", ended.err);

    let [a, b] = [free_port(), free_port()];
    let nobody = format!("redis+sentinel://127.0.0.1:{a},127.0.0.1:{b}/{SERVICE}");
    let ended = refused(&nobody).await;
    assert_eq!(ended.code, Some(69), "{ended:?}");
    for port in [a, b] {
        assert!(ended.err.contains(&format!("127.0.0.1:{port} does not answer")), "{}", ended.err);
    }

    // What answers there is no sentinel.
    let redis = RedisServer::start(Persistence::None).await;
    let ended = refused(&format!("redis+sentinel://127.0.0.1:{}/{SERVICE}", redis.port())).await;
    assert_eq!(ended.code, Some(69), "{ended:?}");
    assert!(ended.err.contains("refuses: "), "{}", ended.err);

    let ended = refused("redis+sentinel://127.0.0.1:1").await;
    assert_eq!(ended.code, Some(64), "{ended:?}");
    assert!(ended.err.contains("the name under which the sentinels know"), "{}", ended.err);
}

#[tokio::test]
async fn tls_to_the_primary_and_to_the_sentinels() {
    let (tls_port, sentinel_port) = (free_port(), free_port());
    let options = |folder: &Path, tls_port: u16| {
        let file = |name: &str| folder.join(name).display().to_string();
        [
            ("tls-port", tls_port.to_string()),
            ("tls-cert-file", file("redis.pem")),
            ("tls-key-file", file("redis.key")),
            ("tls-ca-cert-file", file("ca.pem")),
            ("tls-auth-clients", "no".into()),
            ("tls-replication", "yes".into()),
        ]
    };
    let redis = RedisServer::start_with(Persistence::None, |folder| {
        certificates(folder);
        let options = options(folder, tls_port);
        options.into_iter().flat_map(|(name, value)| [format!("--{name}"), value]).collect()
    })
    .await;
    let mut file = format!("sentinel monitor {SERVICE} 127.0.0.1 {tls_port} 1");
    for (name, value) in options(redis.dir(), sentinel_port) {
        file += &format!("\n{name} {value}");
    }
    let sentinel = Sentinel::start(free_port(), &file);
    eventually("the sentinel answers", PATIENCE, || async {
        sentinel.command(&["PING"]).await == Some(Reply::Text("PONG".into()))
    })
    .await;
    let url = format!("rediss+sentinel://localhost:{sentinel_port}/{SERVICE}/2");
    let ca = redis.dir().join("ca.pem").display().to_string();
    let clients = works(&redis, &["--redis", &url, "--redis-ca", &ca]).await;
    assert!(clients.iter().all(|client| client.contains(" db=2 ")), "{clients:?}");
    let ended = refused(&url).await;
    assert_eq!(ended.code, Some(69), "{ended:?}");
    assert!(ended.err.contains("certificate"), "{}", ended.err);
}

#[tokio::test]
async fn the_primary_and_the_sentinels_have_passwords_of_their_own() {
    let nodes = ["--user", "ann", "on", ">p@w", "~*", "&*", "+@all"];
    let sentinels = [
        format!("sentinel auth-user {SERVICE} ann"),
        format!("sentinel auth-pass {SERVICE} p@w"),
        // No more than the documentation asks for.
        "user eve on >s@w &+switch-master -@all +subscribe +sentinel|get-master-addr-by-name \
         +sentinel|master"
            .into(),
    ];
    let service =
        Service::start_with(NEVER, &nodes, &sentinels.each_ref().map(String::as_str)).await;
    let right = service.url_as("ann:p%40w@", "/2?sentinel_username=eve&sentinel_password=s%40w");
    let program = Program::program(&["--redis", &right, "--log", "trace"]).await;
    let address = program.address().to_string();
    let published = tidings(&["pub", "orders", "hello", "--address", &address]);
    Process::run(published, "").await.ok();
    let sentinel = &service.sentinels[listened_to(&service, None).await];
    for (port, user) in [(service.nodes[0].port(), "ann"), (sentinel.port(), "eve")] {
        let clients = crate::support::redis::command_at(port, &["CLIENT", "LIST"]).await.unwrap();
        let Reply::Text(clients) = clients else { panic!("no text") };
        let ours: Vec<_> = clients.lines().filter(|line| line.contains("resp=3")).collect();
        let user = format!(" user={user} ");
        assert!(!ours.is_empty() && ours.iter().all(|line| line.contains(&user)), "{clients}");
    }
    assert!(!program.output().contains("p@w") && !program.output().contains("p%40w"));
    assert!(!program.output().contains("s@w") && !program.output().contains("s%40w"));

    for (wrong, who) in [
        (right.replace("s%40w", "canary"), "the sentinel at 127.0.0.1:"),
        (right.replace("p%40w", "canary"), "redis at 127.0.0.1:"),
    ] {
        let ended = refused(&wrong).await;
        assert_eq!(ended.code, Some(64), "{ended:?}");
        for part in [who, "WRONGPASS"] {
            assert!(ended.err.contains(part), "{part:?} is missing: {}", ended.err);
        }
        assert!(!ended.err.contains("canary"), "{}", ended.err);
    }
}
