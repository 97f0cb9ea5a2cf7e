//! What a client may send, all of it wrong: each is refused precisely or accepted truly, and what
//! comes after it works as before.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use prost::Message as _;
use prost_types::Timestamp;
use tidings::{
    broker::Broker as InProcess,
    catalog::Catalog,
    event::{Defaults, admit},
    grpc::client::BrokerClient,
    limits,
    proto::{self, event::Payload, subscribe_response::Control},
};
use tonic::Code;

use crate::support::{
    in_process::{event, in_memory, on_redis, request},
    raw::{Answer, PUBLISH, Raw, SUBSCRIBE},
    redis::{Persistence, RedisServer, Reply},
    served::{Served, reason},
};

/// A broker in this process, and a raw client of it.
pub(crate) struct Target {
    pub(crate) served: Served,
    pub(crate) raw: Raw,
}

impl Target {
    async fn new(broker: InProcess) -> Target {
        let served = Served::start(broker, Duration::ZERO).await;
        let raw = Raw::connect(served.address).await;
        Target { served, raw }
    }

    pub(crate) async fn in_memory() -> Target {
        Target::new(in_memory()).await
    }

    async fn publish(&self, topic: &str, events: Vec<proto::Event>) -> Answer {
        self.call(PUBLISH, &publication(topic, events)).await
    }

    async fn call(&self, method: &str, message: &impl prost::Message) -> Answer {
        self.raw.call(method, &message.encode_to_vec()).await
    }

    /// Whoever does nothing wrong is served, whatever was sent before.
    pub(crate) async fn works(&self) {
        works(self.served.address).await;
    }
}

pub(crate) async fn works(address: SocketAddr) {
    let raw = Raw::connect(address).await;
    let message = publication("still.works", vec![event(1)]).encode_to_vec();
    let published: proto::PublishResponse = raw.call(PUBLISH, &message).await.began();
    assert_eq!(published.receipts.len(), 1);
}

pub(crate) fn publication(topic: &str, events: Vec<proto::Event>) -> proto::PublishRequest {
    proto::PublishRequest { topic: topic.into(), events, ..Default::default() }
}

// Names.

fn hostile_names() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let controls = (0..=0x20).chain(0x7f..=0x9f).filter_map(char::from_u32);
    let signs = "!\"#$%&'()*+,/:;<=>?@[\\]^`{|}~§°€";
    // Fullwidth and Cyrillic letters, marks that turn or hide text, emoji, what Unicode reserves.
    let others = "оrⅾｅａ．。․\u{202e}\u{202d}\u{200f}\u{2066}\u{200b}\u{200c}\u{200d}\u{2060}\u{feff}\
                  \u{ad}\u{301}\u{2028}\u{2029}\u{a0}\u{3000}\u{fffd}\u{fffe}\u{fdd0}\u{10ffff}\
                  \u{e000}🦀👩\u{1f3fb}ſKİıßǆﬁ٠١߂";
    for c in controls.chain(signs.chars()).chain(others.chars()) {
        for name in
            [format!("{c}"), format!("{c}orders"), format!("or{c}ders"), format!("orders{c}")]
        {
            names.insert(name);
        }
    }
    for name in [
        "",
        ".",
        "..",
        "...",
        ".orders",
        "orders.",
        "a..b",
        "a.b.",
        ".a.b",
        "a...b",
        "-",
        "_",
        "__",
        "-.-",
        "0",
        "00.0",
        "A.b.C",
        "orders.2024",
        "null",
        "true",
        "NaN",
        "__proto__",
        "{}",
        "{orders}",
        "{orders}:m",
        "orders}{other",
        "{",
        "}",
        "{}orders",
        "td:{orders}:m",
        "td:orders",
        "orders:m",
        "[a-z]*",
        "[^a]",
        "h?llo",
        "h*llo",
        "*",
        ">",
        "orders.*",
        "orders.>",
        "*.orders",
        ">.orders",
        "orders.*.x",
        "orders.>.x",
        "**",
        ">>",
        "*>",
        "*.*",
        "*.>",
        ">.>",
        "a*",
        "*a",
        "a.*b",
        "a.b>",
        "\\*",
        "\\x00",
        "\\\\",
        "_tidings",
        "_tidings.x",
        "_tidings.probe.b1",
        "_tidingsx",
        "_TIDINGS",
        "x._tidings",
        "_tidings.*",
        "_tidings.>",
        "_tidin\u{200b}gs",
        "td:_tidings",
        "_tidings-orders",
        "../orders",
        "../../etc/passwd",
        "a/../b",
        "/",
        "//",
        "C:\\orders",
        "file:///etc/passwd",
        "%2e",
        "%2e%2e%2f",
        "orders%00",
        "orders%0d%0aFLUSHALL",
        "&#46;",
        "\\u002e",
        "%",
        "%%",
        "orders\r\nFLUSHALL\r\n",
        "orders\n*1\r\n$8\r\nFLUSHALL\r\n",
        "\r\n",
        "orders\r",
        "orders\n",
        "x\r\nSET hacked 1\r\n",
        "$-1\r\n",
        "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\nb\r\n",
        "+OK\r\n",
        "orders; DROP TABLE x",
        "' OR 1=1 --",
        "\"quoted\"",
        "$(id)",
        "`id`",
        "|id",
        "${jndi:ldap}",
        "{{7*7}}",
        "<script>",
        "\u{1b}[31mred\u{1b}[0m",
        "\u{7}\u{7}",
        "a\tb",
        "a b",
        " orders",
        "orders ",
        "return redis.call('FLUSHALL')",
        "KEYS[1]",
        "ARGV[1]",
        "orders'..redis.call()..'",
        "*:m",
        "?",
        "td:{*}:s",
        "__redis__:invalidate",
        "__keyspace@0__:x",
        "__sentinel__:hello",
    ] {
        names.insert(name.into());
    }
    for length in [254, 255, 256, 257, 511, 512, 1023, 1024, 4096, 65_535, 65_536] {
        names.insert("x".repeat(length));
        names.insert("\0".repeat(length));
        names.insert("é".repeat(length / 2));
        names.insert("x.".repeat(length / 2) + "x");
        names.insert(".".repeat(length));
        names.insert("🦀".repeat(length / 4));
        names.insert("_tidings.".to_owned() + &"y".repeat(length));
    }
    names
}

/// The rule again, in other words than the broker's.
fn is_name(name: &str, wildcards: bool) -> bool {
    let tokens: Vec<_> = name.split('.').collect();
    let last = tokens.len() - 1;
    let plain = |token: &str| {
        !token.is_empty()
            && token.chars().all(|c| matches!(c, 'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '-'))
    };
    let fits = |(at, token): (usize, &&str)| {
        plain(token) || wildcards && (*token == "*" || *token == ">" && at == last)
    };
    let wild = tokens.iter().any(|token| ["*", ">"].contains(token));
    let ours = name.starts_with("_tidings") && !wild;
    name.len() <= 255 && !ours && tokens.iter().enumerate().all(fits)
}

/// Sends every name to Publish and to Subscribe; how many of them were names indeed.
async fn send_names(target: &Target, names: &BTreeSet<String>) -> Vec<String> {
    let mut published = Vec::new();
    for name in names {
        let answer = target.publish(name, vec![event(1)]).await;
        if is_name(name, false) {
            assert_eq!(answer.began::<proto::PublishResponse>().receipts.len(), 1, "{name:?}");
            published.push(name.clone());
        } else {
            let expected =
                (Code::InvalidArgument, "TOPIC_NAME_INVALID".into(), vec!["topic".into()]);
            assert_eq!(answer.refused(), expected, "{name:?}");
        }
        let asked = proto::SubscribeRequest {
            topics: vec!["orders".into(), name.clone()],
            ..Default::default()
        };
        let answer = target.call(SUBSCRIBE, &asked).await;
        if is_name(name, true) {
            let frame: proto::SubscribeResponse = answer.began();
            assert!(matches!(frame.control, Some(Control::Opened(_))), "{name:?}: {frame:?}");
        } else {
            let field = vec!["topics[1]".into()];
            let expected = (Code::InvalidArgument, "PATTERN_INVALID".into(), field);
            assert_eq!(answer.refused(), expected, "{name:?}");
        }
    }
    target.works().await;
    published
}

#[tokio::test]
async fn a_hostile_name_is_refused_or_is_a_name() {
    let names = hostile_names();
    assert!(names.len() >= 700, "{}", names.len());
    let published = send_names(&Target::in_memory().await, &names).await;
    assert!((10..50).contains(&published.len()), "{published:?}");
}

#[tokio::test]
async fn no_name_reaches_a_key_that_is_not_its_own() {
    let redis = RedisServer::start(Persistence::None).await;
    let target = Target::new(on_redis(&redis.url(), "b1", Catalog::default()).await).await;
    let published = send_names(&target, &hostile_names()).await;
    let mut expected: BTreeSet<_> = published
        .iter()
        .map(String::as_str)
        .chain(["still.works"])
        .flat_map(|name| [format!("td:{{{name}}}:m"), format!("td:{{{name}}}:s")])
        .collect();
    let Reply::List(keys) = redis.command(&["KEYS", "*"]).await else { panic!("no list") };
    for key in keys {
        let Reply::Text(key) = key else { panic!("no key: {key:?}") };
        // The last is not there before a broker has lived for some seconds.
        let own = ["topics", "deployment", "trimmer"].map(|name| format!("td:_tidings.{name}"));
        let own = own.contains(&key);
        assert!(expected.remove(&key) || own, "{key:?} is nobody's");
    }
    assert!(expected.is_empty(), "not there: {expected:?}");
}

// Limits.

/// An event to which the broker has nothing to add.
fn complete() -> proto::Event {
    proto::Event {
        id: "i".into(),
        source: "/s".into(),
        r#type: "t".into(),
        time: Some(Timestamp { seconds: 1, nanos: 0 }),
        data_content_type: "a/b".into(),
        ..Default::default()
    }
}

/// One that takes so many bytes where it is stored.
pub(crate) fn sized(bytes: usize) -> proto::Event {
    let with = |data: usize| proto::Event {
        payload: Some(Payload::Data(vec![7; data].into())),
        ..complete()
    };
    let spare = bytes - with(0).encoded_len();
    let data = (spare.saturating_sub(8)..=spare).find(|data| with(*data).encoded_len() == bytes);
    with(data.expect("some length fits"))
}

async fn passes(target: &Target, events: Vec<proto::Event>, what: &str) {
    let count = events.len();
    match target.publish("limits", events).await {
        answer @ Answer::Began(_) => {
            assert_eq!(answer.began::<proto::PublishResponse>().receipts.len(), count, "{what}");
        }
        Answer::Ended { status, .. } => panic!("{what}: {status:?}"),
    }
}

#[tokio::test]
async fn each_attribute_passes_at_its_limit_and_not_above() {
    type Set = fn(&mut proto::Event, usize);
    let short = limits::ATTRIBUTE_BYTES_MAX;
    let long = limits::TEXT_ATTRIBUTE_BYTES_MAX;
    let attributes: [(&str, usize, Set); 11] = [
        ("id", short, |event, n| event.id = "x".repeat(n)),
        ("source", long, |event, n| event.source = "x".repeat(n)),
        ("type", short, |event, n| event.r#type = "x".repeat(n)),
        ("subject", long, |event, n| event.subject = "é".repeat(n / 2) + &"x".repeat(n % 2)),
        ("data_content_type", short, |event, n| {
            event.data_content_type = format!("a/{}", "b".repeat(n - 2));
        }),
        ("data_schema", long, |event, n| event.data_schema = "x".repeat(n)),
        ("key", short, |event, n| event.key = "x".repeat(n)),
        ("extensions[\"a\"]", long, |event, n| {
            event.extensions = [("a".into(), "x".repeat(n))].into();
        }),
        ("extensions[\"aaaaaaaaaaaaaaaaaaaaa\"]", 20, |event, n| {
            event.extensions = [("a".repeat(n), "x".into())].into();
        }),
        ("extensions", limits::EXTENSIONS_MAX, |event, n| {
            event.extensions = (0..n).map(|n| (format!("a{n}"), "x".into())).collect();
        }),
        ("time", 253_402_300_799, |event, n| {
            event.time = Some(Timestamp { seconds: n as i64, nanos: 0 });
        }),
    ];
    let target = Target::in_memory().await;
    for (field, limit, set) in attributes {
        let with = |n: usize| {
            let mut changed = event(1);
            set(&mut changed, n);
            vec![event(1), event(2), event(3), changed]
        };
        passes(&target, with(limit - 1), field).await;
        passes(&target, with(limit), field).await;
        let refused = target.publish("limits", with(limit + 1)).await.refused();
        let fields = vec![format!("events[3].{field}")];
        assert_eq!(refused, (Code::InvalidArgument, "EVENT_INVALID".into(), fields));
    }
    let many = (0..10_000).map(|n| (format!("a{n}"), "x".into())).collect();
    let many = proto::Event { extensions: many, ..event(1) };
    let refused = target.publish("limits", vec![many]).await.refused();
    assert_eq!(refused.2, ["events[0].extensions"]);
    // Nothing of a refused request was stored: 11 times 2 requests of 4 events passed.
    let next: proto::PublishResponse = target.publish("limits", vec![event(1)]).await.began();
    assert_eq!(next.receipts[0].position.as_ref().map(|at| at.sequence), Some(89));
}

#[tokio::test]
async fn what_is_too_large_is_told_with_its_size() {
    let target = Target::in_memory().await;
    let most = limits::EVENT_BYTES_MAX;
    let told = |answer: &Answer, key: &str| {
        let details = tonic_types::StatusExt::get_error_details(answer.status());
        details.error_info().expect("a reason").metadata[key].clone()
    };
    passes(&target, vec![sized(most)], "an event").await;
    let answer =
        target.publish("limits", vec![event(0), event(1), event(2), sized(most + 1)]).await;
    let expected =
        (Code::InvalidArgument, "EVENT_TOO_LARGE".to_owned(), vec!["events[3]".to_owned()]);
    assert_eq!(answer.refused(), expected);
    assert_eq!(
        (told(&answer, "bytes"), told(&answer, "limit")),
        ("1048577".into(), "1048576".into())
    );

    let all = |last: usize| {
        let sizes = [most, most, most, most - 1000, last];
        sizes.into_iter().map(sized).collect::<Vec<_>>()
    };
    passes(&target, all(1000), "a request").await;
    let answer = target.publish("limits", all(1001)).await;
    let expected = (Code::InvalidArgument, "BATCH_TOO_LARGE".to_owned(), vec!["events".to_owned()]);
    assert_eq!(answer.refused(), expected);
    assert_eq!(
        (told(&answer, "bytes"), told(&answer, "limit")),
        ("4194305".into(), "4194304".into())
    );

    let count = |count: usize| (0..count).map(event).collect::<Vec<_>>();
    passes(&target, count(limits::REQUEST_EVENTS_MAX), "many events").await;
    let answer = target.publish("limits", count(limits::REQUEST_EVENTS_MAX + 1)).await;
    assert_eq!(answer.refused(), expected);
    assert_eq!((told(&answer, "events"), told(&answer, "limit")), ("1001".into(), "1000".into()));
    assert_eq!(target.publish("limits", Vec::new()).await.refused().1, "BATCH_EMPTY");

    // More than the decoder takes: gRPC's own answer.
    let huge = vec![0; limits::GRPC_MESSAGE_BYTES_MAX + 1];
    assert_eq!(target.raw.call(PUBLISH, &huge).await.refused().0, Code::OutOfRange);
    target.works().await;
}

#[tokio::test]
async fn an_error_fits_into_the_headers_that_clients_take() {
    let target = Target::in_memory().await;
    let any =
        |type_url: String| Some(Payload::Proto(prost_types::Any { type_url, value: Vec::new() }));
    let wide = "\u{10ffff}".repeat(4000);
    let worst = |n: usize| proto::Event {
        id: "\u{1}".into(),
        source: "\u{2} ".into(),
        extensions: (0..limits::EXTENSIONS_MAX)
            .map(|at| (format!("a{at}{n}{wide}"), "\u{1}".into()))
            .collect(),
        ..Default::default()
    };
    for events in [
        vec![worst(1)],
        (0..3).map(worst).collect(),
        vec![proto::Event { r#type: "t".into(), payload: any(wide.repeat(10)), ..event(1) }],
        vec![proto::Event { r#type: "t".into(), payload: any("\0".repeat(9999)), ..event(1) }],
        vec![proto::Event { payload: any(wide.repeat(10)), ..event(1) }],
    ] {
        let (code, reason, fields) = target.publish("orders", events).await.refused();
        assert_eq!((code, reason.as_str()), (Code::InvalidArgument, "EVENT_INVALID"));
        assert!(!fields.is_empty());
    }
    let resume = vec![proto::Position { topic: "\u{1}".repeat(9999), epoch: 1, sequence: 1 }];
    for asked in [
        proto::SubscribeRequest { topics: vec!["\u{10ffff}".repeat(9999)], ..Default::default() },
        proto::SubscribeRequest { resume, ..request(&["orders"]) },
        proto::SubscribeRequest { client_name: wide.clone(), ..request(&["orders"]) },
        proto::SubscribeRequest {
            filter: Some(proto::Filter { types: vec!["*".repeat(99_999)], ..Default::default() }),
            ..request(&["orders"])
        },
    ] {
        assert_eq!(target.call(SUBSCRIBE, &asked).await.refused().0, Code::InvalidArgument);
    }
}

// What only the broker may say.

/// Reads up to the next event, and returns it with the gaps before it.
async fn next_event(
    stream: &mut tonic::Streaming<proto::SubscribeResponse>,
) -> (proto::Event, Vec<proto::Gap>) {
    let mut gaps = Vec::new();
    let next = async {
        loop {
            let frame = stream.message().await.expect("no error").expect("a frame");
            if let Some(Control::Gap(gap)) = frame.control {
                gaps.push(gap);
            }
            if let Some(event) = frame.events.into_iter().next() {
                return event;
            }
        }
    };
    let event = tokio::time::timeout(Duration::from_secs(20), next).await.expect("an event");
    (event, gaps)
}

#[tokio::test]
async fn no_publisher_says_where_and_when_an_event_was_stored() {
    let redis = RedisServer::start(Persistence::None).await;
    for broker in [in_memory(), on_redis(&redis.url(), "b1", Catalog::default()).await] {
        let target = Target::new(broker).await;
        let mut client = BrokerClient::new(target.served.channel().await);
        let mut stream = client.subscribe(request(&["orders"])).await.expect("opened").into_inner();
        let forged = proto::Event {
            position: Some(proto::Position {
                topic: "other".into(),
                epoch: u64::MAX,
                sequence: u64::MAX,
            }),
            publish_time: Some(Timestamp { seconds: i64::MIN, nanos: -1 }),
            ..event(1)
        };
        let published: proto::PublishResponse =
            target.publish("orders", vec![forged]).await.began();
        let receipt = published.receipts[0].position.clone().expect("stored");
        assert_eq!((receipt.topic.as_str(), receipt.sequence), ("orders", 1));
        let (event, gaps) = next_event(&mut stream).await;
        assert_eq!((event.position, gaps.len()), (Some(receipt), 0));
        assert!(event.publish_time.expect("told").seconds > 1_600_000_000);
    }
}

#[tokio::test]
async fn a_forged_position_is_refused_or_is_a_gap() {
    let redis = RedisServer::start(Persistence::None).await;
    for broker in [in_memory(), on_redis(&redis.url(), "b1", Catalog::default()).await] {
        let target = Target::new(broker).await;
        let mut client = BrokerClient::new(target.served.channel().await);
        let published: proto::PublishResponse =
            target.publish("orders", (1..=3).map(event).collect()).await.began();
        let first = published.receipts[0].position.clone().expect("stored");
        let at = |topic: &str, epoch: u64, sequence: u64| proto::Position {
            topic: topic.into(),
            epoch,
            sequence,
        };
        let from = |resume: Vec<proto::Position>| proto::SubscribeRequest {
            resume,
            ..request(&["orders"])
        };
        let epoch = first.epoch;
        for (resume, field) in [
            (vec![at("other", epoch, 1)], "resume[0]"),
            (vec![at("orders", 0, 1)], "resume[0]"),
            (vec![at("orders", 0, u64::MAX)], "resume[0]"),
            (vec![at("", epoch, 1)], "resume[0]"),
            (vec![at("orders", epoch, 1), at("orders", epoch + 1, 1)], "resume[1]"),
            (vec![at("orders", epoch, 1), at("_tidings.x", epoch, 1)], "resume[1]"),
            (vec![at("orders", epoch, 1), at("a b", epoch, 1)], "resume[1]"),
        ] {
            let refused = target.call(SUBSCRIBE, &from(resume.clone())).await.refused();
            let expected = (Code::InvalidArgument, "POSITION_INVALID".into(), vec![field.into()]);
            assert_eq!(refused, expected, "{resume:?}");
        }
        for position in [
            at("orders", epoch, 1000),
            at("orders", epoch, u64::MAX),
            at("orders", epoch, u64::MAX - 1),
            at("orders", epoch + 1, 2),
            at("orders", epoch - 1, 2),
            at("orders", 1, u64::MAX),
            at("orders", u64::MAX, 0),
            at("orders", u64::MAX, u64::MAX),
        ] {
            let mut asked = from(vec![position.clone()]);
            let mut stream = client.subscribe(asked.clone()).await.expect("opened").into_inner();
            target.publish("orders", vec![event("next")]).await;
            let (_, gaps) = next_event(&mut stream).await;
            assert!(!gaps.is_empty(), "{position:?} was believed");
            asked.fail_on_gap = true;
            let mut stream = client.subscribe(asked).await.expect("opened").into_inner();
            let status = loop {
                let next = tokio::time::timeout(Duration::from_secs(20), stream.message()).await;
                match next.expect("a frame or an error") {
                    Ok(frame) => assert!(frame.is_some(), "ended well from {position:?}"),
                    Err(status) => break status,
                }
            };
            assert_eq!(reason(&status), "POSITION_LOST", "{position:?}: {status:?}");
        }
        // The broker believed none of them.
        let mut stream = client.subscribe(from(vec![first])).await.expect("opened").into_inner();
        let (event, gaps) = next_event(&mut stream).await;
        assert_eq!((event.id.as_str(), gaps.len()), ("2", 0));
    }
}

// Data.

#[tokio::test]
async fn hostile_json_arrives_as_it_was_sent() {
    let target = Target::in_memory().await;
    let texts = [
        "[".repeat(100_000) + &"]".repeat(100_000),
        "{\"a\":".repeat(100_000) + "1" + &"}".repeat(100_000),
        "[".repeat(31) + &"]".repeat(31),
        "1e999".into(),
        "-1e999".into(),
        "1e-999".into(),
        "9".repeat(100_000),
        "0.".to_owned() + &"1".repeat(100_000),
        "{\"n\":18446744073709551616}".into(),
        "{\"a\":1,\"a\":2}".into(),
        "{\"__proto__\":{\"x\":1}}".into(),
        "\"\\ud800\"".into(),
        "\"\\u0000\"".into(),
        "NaN".into(),
        "{".into(),
        String::new(),
        "\u{feff}{}".into(),
        "nul".into(),
    ];
    let json = |text: &String| proto::Event {
        data_content_type: "application/json".into(),
        payload: Some(Payload::Text(text.clone())),
        ..event(1)
    };
    let published: proto::PublishResponse =
        target.publish("orders", texts.iter().map(json).collect()).await.began();
    assert_eq!(published.receipts.len(), texts.len());
    let mut client = BrokerClient::new(target.served.channel().await);
    for view in [proto::View::Unspecified, proto::View::Json] {
        let asked = proto::SubscribeRequest {
            start: Some(proto::subscribe_request::Start::Earliest(true)),
            stop_at_end: true,
            view: view.into(),
            ..request(&["orders"])
        };
        let mut stream = client.subscribe(asked).await.expect("opened").into_inner();
        let mut told = Vec::new();
        while let Some(frame) = stream.message().await.expect("no error") {
            told.extend(frame.events);
        }
        assert_eq!(told.len(), texts.len());
        for (event, text) in told.iter().zip(&texts) {
            match event.payload.clone().expect("a payload") {
                Payload::Text(told) => assert!(told == *text, "{text:.80} became {told:.80}"),
                Payload::Json(_) if view == proto::View::Json => {
                    let value: serde_json::Value = serde_json::from_str(text).expect("JSON");
                    assert!(
                        !text.contains("\"a\"")
                            && value.is_object()
                                | value.is_string()
                                | value.is_array()
                                | value.is_number(),
                        "{text:.80} lost something"
                    );
                }
                other => panic!("{text:.80} became {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_hostile_type_of_a_message_is_refused() {
    let target = Target::in_memory().await;
    let any = |type_url: &str| proto::Event {
        payload: Some(Payload::Proto(prost_types::Any {
            type_url: type_url.into(),
            value: vec![0xff; 10],
        })),
        ..event(1)
    };
    for (type_url, field) in [
        ("", "events[0].proto"),
        ("/", "events[0].proto"),
        ("type.googleapis.com/", "events[0].proto"),
        ("type.googleapis.com/a\0b", "events[0].type"),
        ("a\r\nb", "events[0].type"),
        (&"x".repeat(2000), "events[0].type"),
    ] {
        let (code, reason, fields) = target.publish("orders", vec![any(type_url)]).await.refused();
        let told = (code, reason.as_str(), fields[0].as_str());
        assert_eq!(told, (Code::InvalidArgument, "EVENT_INVALID", field), "{type_url:?}");
    }
    for type_url in ["http://evil.example/../../shop.v1.Order", "shop.v1.Order", "../etc/passwd"] {
        let _: proto::PublishResponse = target.publish("orders", vec![any(type_url)]).await.began();
    }
    target.works().await;
}

/// What the test takes for the size of an event is what the broker takes for it.
#[test]
fn events_are_as_large_as_the_tests_believe() {
    let defaults =
        Defaults { source: "/s", event_type: None, now: std::time::SystemTime::UNIX_EPOCH };
    for bytes in [1000, 100_000, limits::EVENT_BYTES_MAX] {
        let admitted = admit(sized(bytes), &defaults).expect("admitted");
        assert_eq!(admitted.encoded().len(), bytes);
    }
}
