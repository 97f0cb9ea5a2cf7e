//! Answers of Subscribe for those who want them compressed, where the operator offers it.

use std::{io::Read as _, time::Duration};

use prost::Message as _;
use tidings::{
    broker::Broker,
    compression::Compression,
    frame::Frame,
    grpc::{Serving, client::BrokerClient},
    limits::COMPRESSED_BYTES_MIN,
    proto::{self, Event, SubscribeResponse, event::Payload, subscribe_request::Start},
    subscription::{Subscribe, Subscription},
};
use tonic::codec::CompressionEncoding;

use crate::support::{
    in_process::{event, in_memory, in_memory_with, keeping, options, publish, request},
    process::PATIENCE,
    raw::{Answering, Raw, SUBSCRIBE, framed},
    served::Served,
};

const BOTH: [Compression; 2] = [Compression::Zstd, Compression::Gzip];

/// Text that compresses to a fraction, as JSON does.
fn large(id: u64) -> Event {
    let text = format!("{{\"order\":{id},\"total\":12.50,\"currency\":\"EUR\"}}").repeat(100);
    Event { payload: Some(Payload::Text(text)), ..event(id) }
}

async fn serving(broker: &Broker, compressions: &[Compression]) -> Served {
    let compressions = compressions.to_vec();
    Served::start_as(broker.clone(), Serving { compressions, ..Serving::default() }).await
}

/// A stream as it lies on the wire, for a client that accepts these.
async fn stream(served: &Served, accepted: &str, request: proto::SubscribeRequest) -> Answering {
    let message = request.encode_to_vec();
    let headers: &[(&'static str, &str)] = match accepted {
        "" => &[],
        accepted => &[("grpc-accept-encoding", accepted)],
    };
    let body = framed(0, message.len() as u32, &message);
    let raw = Raw::connect(served.address).await;
    let begun = tokio::time::timeout(PATIENCE, raw.begin(SUBSCRIBE, headers, body.into()));
    begun.await.expect("an answer in time")
}

fn said(answer: &Answering) -> Option<&str> {
    answer.headers.get("grpc-encoding").map(|name| name.to_str().expect("a name"))
}

/// What the next frame holds, and whether it came compressed.
async fn next(answer: &mut Answering) -> (bool, SubscribeResponse) {
    let flagged = tokio::time::timeout(PATIENCE, answer.flagged()).await.expect("in time");
    let (flag, message) = flagged.expect("a frame");
    let message = match (flag, said(answer)) {
        (0, _) => message.to_vec(),
        (1, Some(name)) => decompressed(name, &message),
        (flag, said) => panic!("a frame with the flag {flag}, where {said:?} was said"),
    };
    (flag == 1, SubscribeResponse::decode(&message[..]).expect("a frame"))
}

fn decompressed(name: &str, message: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match name {
        "gzip" => flate2::read::GzDecoder::new(message).read_to_end(&mut out),
        "zstd" => zstd::Decoder::new(message).and_then(|mut zstd| zstd.read_to_end(&mut out)),
        name => panic!("{name} was not offered"),
    }
    .expect("compressed as was said");
    out
}

fn ids(frame: &SubscribeResponse) -> Vec<u64> {
    frame.events.iter().map(|event| event.id.parse().expect("a number")).collect()
}

/// A subscription inside this process, after `Opened`.
async fn opened(broker: &Broker, compression: Compression, topics: &[&str]) -> Subscription {
    let request = Subscribe::try_from(request(topics)).expect("a request");
    let request = Subscribe { compression: Some(compression), ..request };
    let mut subscription = broker.subscribe(request).await.expect("a subscription");
    let opened = subscription.next().await.expect("a frame").expect("no error");
    assert!(!opened.is_compressed());
    subscription
}

async fn frame(subscription: &mut Subscription) -> Frame {
    let next = tokio::time::timeout(PATIENCE, subscription.next()).await.expect("in time");
    next.expect("a frame").expect("no error")
}

/// A frame's events by topic and id.
fn told(compression: Compression, frame: &Frame) -> Vec<(String, u64)> {
    let message = match frame.is_compressed() {
        true => decompressed(compression.name(), &frame.message()).into(),
        false => frame.message(),
    };
    let events = SubscribeResponse::decode(message).expect("a frame").events;
    let told = |event: Event| {
        (event.position.expect("a position").topic, event.id.parse().expect("a number"))
    };
    events.into_iter().map(told).collect()
}

#[tokio::test]
async fn who_accepts_a_compression_reads_the_same_as_who_does_not() {
    let broker = in_memory();
    let served = serving(&broker, &BOTH).await;
    let mut heard = Vec::new();
    for encoding in [None, Some(CompressionEncoding::Gzip), Some(CompressionEncoding::Zstd)] {
        let client = BrokerClient::new(served.channel().await);
        let mut client = match encoding {
            Some(encoding) => client.accept_compressed(encoding),
            None => client,
        };
        let stream = client.subscribe(request(&["orders"])).await.expect("opened");
        let said = stream.metadata().get("grpc-encoding").map(|name| name.to_str().expect("text"));
        assert_eq!(said.map(ToOwned::to_owned), encoding.map(|encoding| encoding.to_string()));
        heard.push((stream.into_inner(), Vec::new()));
    }
    for id in 1..=50 {
        let events = if id % 2 == 0 { vec![event(id)] } else { vec![large(id), large(id)] };
        publish(&broker, "orders", events).await.expect("stored");
    }
    for (stream, events) in &mut heard {
        while events.len() < 75 {
            events.extend(stream.message().await.expect("no error").expect("a frame").events);
        }
    }
    assert_eq!(heard[0].1, heard[1].1);
    assert_eq!(heard[0].1, heard[2].1);
}

#[tokio::test]
async fn only_what_is_large_enough_is_compressed_and_only_for_who_accepts_it() {
    let broker = in_memory();
    let served = serving(&broker, &BOTH).await;
    for (accepted, expected) in [
        ("gzip", Some("gzip")),
        ("identity, deflate, gzip", Some("gzip")),
        ("gzip,zstd", Some("zstd")),
        ("", None),
        ("identity", None),
        ("snappy,br,gzip2", None),
    ] {
        let mut answer = stream(&served, accepted, request(&["orders"])).await;
        assert_eq!(said(&answer), expected, "{accepted:?}");
        assert!(matches!(next(&mut answer).await, (false, opened) if opened.control.is_some()));
        publish(&broker, "orders", vec![event(1)]).await.expect("stored");
        let (compressed, small) = next(&mut answer).await;
        assert_eq!((compressed, ids(&small)), (false, vec![1]), "{accepted:?}");
        publish(&broker, "orders", vec![large(2)]).await.expect("stored");
        let (compressed, frame) = next(&mut answer).await;
        assert_eq!((compressed, ids(&frame)), (expected.is_some(), vec![2]), "{accepted:?}");
    }
}

#[tokio::test]
async fn where_the_operator_offers_nothing_nobody_gets_it() {
    for (offered, expected) in [(&[][..], None), (&[Compression::Gzip][..], Some("gzip"))] {
        let served = serving(&in_memory(), offered).await;
        let answer = stream(&served, "zstd,gzip", request(&["orders"])).await;
        assert_eq!(said(&answer), expected);
    }
}

#[tokio::test]
async fn a_stream_that_begins_in_history_and_ends_is_compressed_too() {
    let broker = in_memory();
    let served = serving(&broker, &BOTH).await;
    for id in 1..=100 {
        let event = if id <= 10 { large(id) } else { event(id) };
        publish(&broker, "orders", vec![event]).await.expect("stored");
    }
    let start = Some(Start::Earliest(true));
    let from_the_start =
        proto::SubscribeRequest { start, stop_at_end: true, ..request(&["orders"]) };
    let mut answer = stream(&served, "zstd", from_the_start).await;
    let (mut heard, mut plain) = (Vec::new(), Vec::new());
    while heard.len() < 100 {
        let (compressed, frame) = next(&mut answer).await;
        // Also what is small: what is read together comes together.
        assert_eq!(compressed, frame.control.is_none(), "{frame:?}");
        heard.extend(ids(&frame));
        plain.extend(frame.control);
    }
    assert!(heard.into_iter().eq(1..=100));
    assert_eq!(plain.len(), 1, "Opened came, and nothing else before the events");
}

#[tokio::test(start_paused = true)]
async fn all_who_accept_the_same_share_what_was_compressed_once() {
    let broker = in_memory();
    for compression in BOTH {
        let mut all = Vec::new();
        for _ in 0..5 {
            all.push(opened(&broker, compression, &["orders"]).await);
        }
        publish(&broker, "orders", vec![large(1)]).await.expect("stored");
        let mut copies = Vec::new();
        for subscription in &mut all {
            let frame = frame(subscription).await;
            assert!(frame.is_compressed());
            assert_eq!(told(compression, &frame), [("orders".into(), 1)]);
            copies.push(frame.into_bytes());
        }
        assert!(copies.iter().all(|copy| copy.as_ptr() == copies[0].as_ptr()), "copied for one");
    }
}

#[tokio::test(start_paused = true)]
async fn those_who_lag_alike_share_what_was_merged_and_compressed() {
    let broker = in_memory();
    let mut first = opened(&broker, Compression::Gzip, &["orders"]).await;
    let mut second = opened(&broker, Compression::Gzip, &["orders"]).await;
    for id in 1..=100 {
        publish(&broker, "orders", vec![event(id)]).await.expect("stored");
        // Each an entry of its own.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut heard = Vec::new();
    while heard.len() < 100 {
        let (one, other) = (frame(&mut first).await, frame(&mut second).await);
        assert!(one.is_compressed(), "small ones are large together");
        heard.extend(told(Compression::Gzip, &one).into_iter().map(|(_, id)| id));
        assert_eq!(one.into_bytes().as_ptr(), other.into_bytes().as_ptr());
    }
    assert!(heard.into_iter().eq(1..=100));
}

#[tokio::test(start_paused = true)]
async fn frames_of_many_topics_come_in_order_whether_compressed_or_joined() {
    let broker = in_memory();
    let mut subscription = opened(&broker, Compression::Zstd, &["orders", "invoices"]).await;
    for id in 1..=200 {
        let name = if id % 3 == 0 { "orders" } else { "invoices" };
        let events = if id % 5 == 0 { vec![large(id)] } else { vec![event(id)] };
        publish(&broker, name, events).await.expect("stored");
        if id % 7 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    let mut heard: Vec<(String, u64)> = Vec::new();
    while heard.len() < 200 {
        let frame = frame(&mut subscription).await;
        assert!(frame.is_compressed() || frame.message_len() < 4 * COMPRESSED_BYTES_MIN);
        heard.extend(told(Compression::Zstd, &frame));
    }
    for (name, is_its) in [("orders", true), ("invoices", false)] {
        let of_it = heard.iter().filter(|(topic, _)| topic == name).map(|(_, id)| *id);
        assert!(of_it.eq((1..=200).filter(|id| (id % 3 == 0) == is_its)), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_lags_too_far_gets_the_gap_uncompressed_and_then_goes_on() {
    let broker = in_memory_with(keeping(10), options());
    let mut slow = opened(&broker, Compression::Gzip, &["orders"]).await;
    for id in 1..=1000 {
        publish(&broker, "orders", vec![large(id)]).await.expect("stored");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let gap = frame(&mut slow).await;
    assert!(!gap.is_compressed());
    let control = gap.decode().expect("a frame").control;
    assert!(matches!(control, Some(proto::subscribe_response::Control::Gap(_))), "{control:?}");
    let mut heard = Vec::new();
    while heard.len() < 10 {
        let frame = frame(&mut slow).await;
        assert!(frame.is_compressed());
        heard.extend(told(Compression::Gzip, &frame).into_iter().map(|(_, id)| id));
    }
    assert!(heard.into_iter().eq(991..=1000));
}
