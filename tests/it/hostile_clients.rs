//! Clients that do not keep to HTTP/2, to its limits or to good manners: the broker gets rid of
//! them or bears with them, and others do not notice.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use parking_lot::Mutex;
use prost::Message as _;
use tidings::{
    broker::BrokerOptions,
    catalog::Catalog,
    grpc::client::BrokerClient,
    proto::{self, event::Payload, subscribe_response::Control},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tonic::{Code, transport::Channel};
use tonic_types::StatusExt as _;

use crate::support::{
    alone,
    broker::Broker,
    busy, eventually,
    in_process::{event, in_memory_with, on_redis, options, request},
    process::Stream,
    raw::{
        ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, RST_STREAM, Raw,
        SETTINGS, SUBSCRIBE, Wire, call_headers, frame, framed,
    },
    redis::{Persistence, RedisServer, Reply},
    resident_bytes,
    served::{Served, reason},
};

const PATIENCE: Duration = Duration::from_secs(20);

/// Someone who does nothing wrong, on a connection of his own.
struct Bystander {
    client: BrokerClient<Channel>,
    stream: tonic::Streaming<proto::SubscribeResponse>,
    next: u64,
}

impl Bystander {
    async fn join(address: SocketAddr) -> Bystander {
        let endpoint = Channel::from_shared(format!("http://{address}")).expect("a URI");
        let channel = endpoint.tcp_nodelay(true).connect().await.expect("connected");
        let client = BrokerClient::new(channel);
        // A broker listens before it has reached its Redis, and says so.
        let opened = Mutex::new(None);
        eventually("a subscriber is let in", PATIENCE, || async {
            let stream = client.clone().subscribe(request(&["others"])).await.ok();
            *opened.lock() = stream;
            opened.lock().is_some()
        })
        .await;
        let stream = opened.into_inner().expect("it was let in").into_inner();
        Bystander { client, stream, next: 1 }
    }

    /// Publishes and reads it back. How long that took.
    async fn is_served(&mut self) -> Duration {
        let begun = Instant::now();
        let id = self.next.to_string();
        self.next += 1;
        let served = async {
            let publish = proto::PublishRequest {
                topic: "others".into(),
                events: vec![event(&id)],
                ..Default::default()
            };
            self.client.publish(publish).await.expect("stored");
            loop {
                let frame = self.stream.message().await.expect("no error").expect("a frame");
                if frame.events.iter().any(|event| event.id == id) {
                    return;
                }
                assert!(!matches!(frame.control, Some(Control::Gap(_))), "{frame:?}");
            }
        };
        timeout(PATIENCE, served).await.expect("served in time");
        begun.elapsed()
    }
}

async fn is_well(broker: &Broker, bystander: &mut Bystander) {
    bystander.is_served().await;
    Bystander::join(broker.address()).await.is_served().await;
    assert!(broker.panics().is_empty(), "{:?}", broker.panics());
}

fn subscription(stream: u32, topic: &str) -> Vec<u8> {
    let message = request(&[topic]).encode_to_vec();
    let body = framed(0, message.len() as u32, &message);
    let headers = frame(HEADERS, END_HEADERS, stream, &call_headers(SUBSCRIBE, &[]));
    [headers, frame(DATA, END_STREAM, stream, &body)].concat()
}

#[tokio::test]
async fn without_file_descriptors_the_broker_waits_and_goes_on() {
    let broker = Broker::program_with_files(48, &[]).await;
    let mut bystander = Bystander::join(broker.address()).await;
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(TcpStream::connect(broker.address()).await.expect("connected"));
    }
    broker.process().says("connections cannot be taken").await;
    let begun = busy(broker.pid());
    let until = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until {
        bystander.is_served().await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let busy = busy(broker.pid()) - begun;
    assert!(busy < Duration::from_millis(500), "busy for {busy:?} of 2 s");
    drop(silent);
    is_well(&broker, &mut bystander).await;
    let lines = broker.process().lines(Stream::Err);
    let told = lines.iter().filter(|line| line.contains("cannot be taken")).count();
    assert_eq!(told, 1, "{lines:?}");
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    let broker = Broker::program(&[]).await;
    let mut bystander = Bystander::join(broker.address()).await;
    // It says little, but what is needed.
    let mut quiet = Wire::open(broker.address()).await;
    let mut silent = Vec::new();
    for n in 0..300 {
        let mut wire = Wire::connect(broker.address()).await;
        if n % 3 == 0 {
            wire.write(&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..n % 24]).await.expect("written");
        }
        silent.push(wire);
    }
    bystander.is_served().await;
    let begun = Instant::now();
    let closed = silent.iter_mut().map(async |wire| {
        let mut read = Vec::new();
        // The end, or a reset where something of it was not read.
        drop(wire.stream.read_to_end(&mut read).await);
    });
    timeout(Duration::from_secs(15), join_all(closed)).await.expect("closed");
    assert!(begun.elapsed() > Duration::from_secs(1), "it was not given time to speak");
    quiet.write(&frame(PING, 0, 0, b"deadbeef")).await.expect("written");
    let pong = quiet.next_of(PING).await.expect("not closed");
    assert_eq!((pong.flags, &pong.payload[..]), (ACK, &b"deadbeef"[..]));
    is_well(&broker, &mut bystander).await;
}

#[tokio::test]
async fn garbage_ends_its_connection_and_no_other() {
    // Where pages may come, HTTP/1.1 is no garbage.
    let broker = Broker::program(&["--web-origins", ""]).await;
    let mut bystander = Bystander::join(broker.address()).await;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let settings = frame(SETTINGS, 0, 0, &[]);
    let begun = [&preface[..], &settings].concat();
    let then = |bytes: &[u8]| [&begun, bytes].concat();
    let headers = call_headers(SUBSCRIBE, &[]);
    let noise: Vec<u8> =
        (0..4096u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let garbage = [
        b"GET / HTTP/1.1\r\nhost: broker\r\n\r\n".to_vec(),
        b"POST /tidings.v1.Broker/Publish HTTP/1.1\r\ncontent-length: 99999999\r\n\r\n".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n".to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 and so on, as TLS begins".to_vec(),
        b"*1\r\n$8\r\nFLUSHALL\r\n and more of it".to_vec(),
        vec![0; 100],
        noise.clone(),
        [&preface[..], b"GET / HTTP/1.1\r\nhost: broker\r\n\r\n"].concat(),
        then(&noise),
        then(&frame(DATA, 0, 0, b"data of no stream")),
        then(&frame(DATA, 0, 7, b"data of a stream that nobody opened")),
        then(&frame(HEADERS, END_HEADERS, 2, &headers)),
        then(&frame(HEADERS, END_HEADERS, 0, &headers)),
        then(&frame(HEADERS, END_HEADERS, 1, &[0xff; 50])),
        then(&frame(SETTINGS, 0, 0, &[1, 2, 3])),
        then(&frame(SETTINGS, ACK, 0, &[0; 6])),
        then(&frame(SETTINGS, 0, 0, &[0, 4, 0xff, 0xff, 0xff, 0xff])),
        then(&frame(8, 0, 0, &[0; 4])), // a window that grows by nothing
        then(&frame(8, 0, 0, &[0x7f, 0xff, 0xff, 0xff]).repeat(2)),
        then(&frame(PING, 0, 0, b"short")),
        then(&frame(CONTINUATION, END_HEADERS, 1, &headers)),
        then(&[frame(HEADERS, 0, 1, &headers), frame(PING, 0, 0, &[0; 8])].concat()),
        then(&frame(5, END_HEADERS, 1, &[0; 20])), // a push, by a client
        then(&[0xff, 0xff, 0xff, DATA, 0, 0, 0, 0, 1]), // a frame of 16 MiB
    ];
    for bytes in garbage {
        let mut wire = Wire::connect(broker.address()).await;
        // It may be closed half way.
        drop(wire.write(&bytes).await);
        let mut read = Vec::new();
        let closed = timeout(PATIENCE, wire.stream.read_to_end(&mut read)).await;
        let shown = bytes[..bytes.len().min(80)].escape_ascii();
        assert!(closed.is_ok(), "still open after {shown}");
        assert!(read.len() < 4096, "{} bytes for {shown}", read.len());
    }
    is_well(&broker, &mut bystander).await;
}

#[tokio::test]
async fn a_stream_over_the_limit_of_its_connection_is_refused_and_no_other() {
    const REFUSED_STREAM: u8 = 7;
    let broker = Broker::program(&[]).await;
    let mut bystander = Bystander::join(broker.address()).await;
    let mut wire = Wire::open(broker.address()).await;
    let streams = (0..1000).map(|n| 2 * n + 1);
    for stream in streams.clone() {
        wire.write(&subscription(stream, "orders")).await.expect("written");
    }
    let mut open = 0;
    while open < 1000 {
        let frame = wire.next().await.expect("a frame");
        assert!(![GOAWAY, RST_STREAM].contains(&frame.kind), "{frame:?}");
        open += usize::from(frame.kind == HEADERS);
    }
    wire.write(&subscription(2001, "orders")).await.expect("written");
    let refused = wire.next_of(RST_STREAM).await.expect("refused");
    assert_eq!((refused.stream, &refused.payload[..]), (2001, &[0, 0, 0, REFUSED_STREAM][..]));
    // When one ends there is room again.
    wire.write(&frame(RST_STREAM, 0, 1, &[0, 0, 0, 8])).await.expect("written");
    wire.write(&subscription(2003, "orders")).await.expect("written");
    let opened = wire.next_of(HEADERS).await.expect("opened");
    assert_eq!(opened.stream, 2003);
    is_well(&broker, &mut bystander).await;
}

#[tokio::test]
async fn a_stream_over_the_limit_of_the_broker_is_told_so() {
    let options = BrokerOptions { max_streams: 3, ..options() };
    let served = Served::start(in_memory_with(Catalog::default(), options), Duration::ZERO).await;
    let mut client = BrokerClient::new(served.channel().await);
    let mut streams = Vec::new();
    for _ in 0..3 {
        let stream = client.subscribe(request(&["orders"])).await.expect("opened").into_inner();
        streams.push(stream);
    }
    let status = client.subscribe(request(&["orders"])).await.expect_err("refused");
    let told = (status.code(), reason(&status));
    assert_eq!(told, (Code::ResourceExhausted, "TOO_MANY_STREAMS".into()));
    let details = status.get_error_details();
    assert_eq!(details.error_info().expect("a reason").metadata["limit"], "3");
    assert!(details.retry_info().expect("when").retry_delay.is_some());
    // Publishing needs no stream.
    let events = vec![event(1)];
    let publish = proto::PublishRequest { topic: "orders".into(), events, ..Default::default() };
    client.publish(publish).await.expect("stored");
    streams.pop();
    eventually("there is room again", PATIENCE, || async {
        client.clone().subscribe(request(&["orders"])).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn rapid_resets_delay_no_one() {
    let _alone = alone().await;
    let broker = Broker::program(&[]).await;
    let mut bystander = Bystander::join(broker.address()).await;
    let address = broker.address();
    let flood = tokio::spawn(async move {
        let mut ended = 0;
        for _ in 0..20 {
            let mut wire = Wire::open(address).await;
            for hundred in 0..20 {
                let streams = (0..100).map(|n| 2 * (100 * hundred + n) + 1);
                let bytes: Vec<u8> = streams
                    .flat_map(|stream| {
                        let reset = frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]);
                        [subscription(stream, "orders"), reset].concat()
                    })
                    .collect();
                if wire.write(&bytes).await.is_err() {
                    ended += 1;
                    break;
                }
            }
        }
        ended
    });
    let mut longest = Duration::ZERO;
    while !flood.is_finished() {
        longest = longest.max(bystander.is_served().await);
    }
    println!("{} of 20 floods were ended; longest {longest:?}", flood.await.expect("no panic"));
    assert!(longest < Duration::from_secs(3), "someone waited for {longest:?}");
    is_well(&broker, &mut bystander).await;
}

/// Resets that the broker is made to send count as those that a client sends.
#[tokio::test]
async fn whoever_makes_the_broker_reset_streams_without_end_loses_the_connection() {
    let broker = Broker::program(&[]).await;
    let mut bystander = Bystander::join(broker.address()).await;
    let wire = Wire::open(broker.address()).await;
    let (mut read, mut write) = wire.stream.into_split();
    let reading =
        tokio::spawn(async move { tokio::io::copy(&mut read, &mut tokio::io::sink()).await });
    let mut sent = 0;
    while sent < 20_000 && !reading.is_finished() {
        let hundred = (sent..sent + 100).flat_map(|n| {
            // A window that grows beyond all bounds is an error of that stream.
            [subscription(2 * n + 1, "orders"), frame(8, 0, 2 * n + 1, &[0x7f, 0xff, 0xff, 0xff])]
                .concat()
        });
        let hundred: Vec<u8> = hundred.collect();
        if write.write_all(&hundred).await.is_err() {
            break;
        }
        sent += 100;
    }
    // What is on its way does not count: nobody but the broker ends what is read.
    drop(timeout(PATIENCE, reading).await.expect("the end of the connection"));
    drop(write);
    is_well(&broker, &mut bystander).await;
}

#[tokio::test]
async fn headers_without_end_end_their_connection() {
    let broker = Broker::program(&[]).await;
    let mut bystander = Bystander::join(broker.address()).await;
    let before = resident_bytes(broker.pid());
    // One large header, many small ones, and a block that never ends.
    let large = call_headers(SUBSCRIBE, &[("x-large", &"x".repeat(1 << 20))]);
    let many: Vec<_> = (0..20_000).map(|n| (format!("x-{n}"), "x")).collect();
    let many: Vec<_> = many.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let many = call_headers(SUBSCRIBE, &many);
    for (block, last) in [(&large, END_HEADERS), (&many, END_HEADERS), (&large, 0), (&many, 0)] {
        let mut wire = Wire::open(broker.address()).await;
        let parts: Vec<_> = block.chunks(16 << 10).collect();
        let mut bytes = Vec::new();
        for (at, part) in parts.iter().enumerate() {
            let kind = if at == 0 { HEADERS } else { CONTINUATION };
            let flags = if at + 1 == parts.len() { last } else { 0 };
            bytes.extend(frame(kind, flags, 1, part));
        }
        drop(wire.write(&bytes).await);
        if last == 0 {
            for _ in 0..1000 {
                let more = frame(CONTINUATION, 0, 1, &block[..16 << 10]);
                if wire.write(&more).await.is_err() {
                    break;
                }
            }
        }
        // Refused by a status, a reset or the end of the connection.
        while let Some(frame) = wire.next().await {
            if [HEADERS, RST_STREAM, GOAWAY].contains(&frame.kind) {
                break;
            }
        }
    }
    let grown = resident_bytes(broker.pid()).saturating_sub(before);
    assert!(grown < 32 << 20, "it grew by {grown} bytes");
    is_well(&broker, &mut bystander).await;
}

#[tokio::test]
async fn clients_that_never_read_take_little_and_delay_no_one() {
    let broker = Broker::program(&[]).await;
    let mut bystander = Bystander::join(broker.address()).await;
    let mut deaf = Vec::new();
    for _ in 0..20 {
        let mut wire = Wire::open(broker.address()).await;
        // What it allows to be sent, it never takes.
        let window = [0, 4, 0x7f, 0xff, 0xff, 0xff];
        wire.write(&frame(SETTINGS, 0, 0, &window)).await.expect("written");
        wire.write(&frame(8, 0, 0, &[0x7f, 0xff, 0, 0])).await.expect("written");
        for stream in [1, 3, 5] {
            wire.write(&subscription(stream, "orders")).await.expect("written");
        }
        wire.next_of(DATA).await.expect("opened");
        deaf.push(wire);
    }
    let mut reader = bystander.client.clone();
    let mut reading = reader.subscribe(request(&["orders"])).await.expect("opened").into_inner();
    let before = resident_bytes(broker.pid());
    let data = Payload::Data(vec![7; 256 << 10].into());
    for id in 0..400u64 {
        let event = proto::Event { payload: Some(data.clone()), ..event(id) };
        let events = vec![event];
        let publish =
            proto::PublishRequest { topic: "orders".into(), events, ..Default::default() };
        reader.publish(publish).await.expect("stored");
        let read = async {
            loop {
                let frame = reading.message().await.expect("no error").expect("a frame");
                assert!(!matches!(frame.control, Some(Control::Gap(_))), "{frame:?}");
                if frame.events.iter().any(|event| event.id == id.to_string()) {
                    return;
                }
            }
        };
        timeout(PATIENCE, read).await.expect("read in time");
    }
    let grown = resident_bytes(broker.pid()).saturating_sub(before);
    println!("60 streams that nobody reads, 100 MiB published: it grew by {} MiB", grown >> 20);
    assert!(grown < 96 << 20, "it grew by {grown} bytes");
    is_well(&broker, &mut bystander).await;
}

/// Asks for topics of its own and goes away at once, before or after the answer.
async fn ask_and_leave(address: SocketAddr, round: usize) {
    let clients = (0..10).map(|client| async move {
        let raw = Raw::connect(address).await;
        for call in 0..500 {
            let topic = format!("passing.{round}.{client}.{call}");
            let message = request(&[&topic]).encode_to_vec();
            let asking = raw.call(SUBSCRIBE, &message);
            drop(timeout(Duration::from_micros(fastrand::u64(100..2000)), asking).await);
        }
    });
    join_all(clients).await;
}

#[tokio::test]
async fn subscribers_that_leave_at_once_leave_nothing_behind() {
    let _alone = alone().await;
    let redis = RedisServer::start(Persistence::None).await;
    let channels = async || match redis.command(&["PUBSUB", "CHANNELS", "*passing*"]).await {
        Reply::List(list) => list.len(),
        reply => panic!("PUBSUB CHANNELS answered {reply:?}"),
    };
    let broker = Broker::program(&["--redis", &redis.url()]).await;
    let mut bystander = Bystander::join(broker.address()).await;
    let mut resident = Vec::new();
    for round in 0..2 {
        ask_and_leave(broker.address(), round).await;
        bystander.is_served().await;
        eventually("no topic of theirs is attached", PATIENCE, async || channels().await == 0)
            .await;
        resident.push(resident_bytes(broker.pid()));
    }
    println!("resident after each 5,000 calls: {resident:?}");
    assert!(resident[1] < resident[0] + (16 << 20), "{resident:?}");
    let Reply::List(keys) = redis.command(&["KEYS", "*passing*"]).await else { panic!("no list") };
    assert!(keys.is_empty(), "subscribing made {keys:?}");
    is_well(&broker, &mut bystander).await;

    // And inside: no stream is counted.
    let broker = on_redis(&redis.url(), "b1", Catalog::default()).await;
    let served = Served::start(broker.clone(), Duration::ZERO).await;
    ask_and_leave(served.address, 2).await;
    eventually("no stream is left", PATIENCE, async || broker.streams() == 0).await;
}
