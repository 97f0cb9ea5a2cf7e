//! Bytes where a request should be: no message, badly compressed, or framed with a lie. Each is
//! answered with a status, and what comes after it works as before.

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

use prost::Message as _;
use tidings::{
    grpc::client::{AdminClient, BrokerClient},
    proto::{self, subscribe_response::Control},
};
use tonic::{Code, codec::CompressionEncoding};

use crate::{
    hostile::{Target, publication, sized, works},
    support::{
        broker::Broker,
        in_process::{event, request},
        raw::{Answer, PUBLISH, Raw, SUBSCRIBE, framed},
        resident_bytes,
    },
};

/// A field that holds bytes.
fn field(number: u32, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    prost::encoding::encode_varint(u64::from(number << 3 | 2), &mut bytes);
    prost::encoding::encode_varint(value.len() as u64, &mut bytes);
    bytes.extend_from_slice(value);
    bytes
}

/// A value behind fields that hold one another, the outermost first.
fn nested(numbers: &[u32], value: &[u8]) -> Vec<u8> {
    numbers.iter().rev().fold(value.to_vec(), |inner, number| field(*number, &inner))
}

#[tokio::test]
async fn text_that_is_no_utf8_is_refused_by_its_field() {
    let target = Target::in_memory().await;
    let publish: [(&[u32], &str); 15] = [
        (&[1], "topic"),
        (&[2, 1], "events.id"),
        (&[2, 2], "events.source"),
        (&[2, 3], "events.type"),
        (&[2, 4], "events.subject"),
        (&[2, 6], "events.data_content_type"),
        (&[2, 7], "events.data_schema"),
        (&[2, 8], "events.key"),
        (&[2, 9, 1], "events.extensions"),
        (&[2, 9, 2], "events.extensions"),
        (&[2, 11], "events.payload"),
        (&[2, 12, 1], "events.payload.type_url"),
        (&[2, 13, 3], "events.payload.kind"),
        (&[2, 14, 1], "events.position.topic"),
        (&[3, 1], "expected_last.topic"),
    ];
    let subscribe: [(&[u32], &str); 5] = [
        (&[1], "topics"),
        (&[6, 1], "resume.topic"),
        (&[7, 1], "filter.types"),
        (&[7, 2], "filter.keys"),
        (&[11], "client_name"),
    ];
    let calls = publish.map(|place| (PUBLISH, place)).into_iter();
    for (method, (path, name)) in calls.chain(subscribe.map(|place| (SUBSCRIBE, place))) {
        for bad in [&b"\xff"[..], b"or\xc3", b"\xed\xa0\x80", b"\xc0\x80", b"\xf5\x80\x80\x80"] {
            let answer = target.raw.call(method, &nested(path, bad)).await;
            let expected = (Code::InvalidArgument, "MESSAGE_INVALID".into(), vec![name.to_owned()]);
            assert_eq!(answer.refused(), expected, "{method} {path:?} {bad:?}");
            let message = answer.status().message();
            assert!(message.contains("UTF-8"), "{name}: {message}");
        }
    }
    target.works().await;
}

#[tokio::test]
async fn bytes_that_are_no_message_are_refused() {
    let target = Target::in_memory().await;
    let good = publication("orders", vec![event(1)]).encode_to_vec();
    let truncated = good[..good.len() - 1].to_vec();
    let deep = nested(&[2, 13].iter().copied().chain([6, 1].repeat(60)).collect::<Vec<_>>(), b"");
    let messages = [
        truncated,
        vec![0xff; 100],
        vec![0],
        b"{\"topic\":\"orders\"}".to_vec(),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![0x08, 1],                            // topic as a number
        vec![0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f], // 4 GiB of topic
        vec![0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], // 16 EiB
        vec![0x0b, 0x0b, 0x0b],                   // groups that nobody ends
        [0x13; 1000].to_vec(),
    ];
    for message in messages {
        for method in [PUBLISH, SUBSCRIBE, "/tidings.v1.Admin/GetTopic"] {
            let (code, reason, _) = target.raw.call(method, &message).await.refused();
            let expected = (Code::InvalidArgument, "MESSAGE_INVALID");
            assert_eq!((code, reason.as_str()), expected, "{method}: {message:?}");
        }
    }
    let (code, reason, _) = target.raw.call(PUBLISH, &deep).await.refused();
    assert_eq!((code, reason.as_str()), (Code::InvalidArgument, "MESSAGE_INVALID"));
    target.works().await;
}

#[tokio::test]
async fn fields_that_nobody_knows_do_no_harm() {
    let target = Target::in_memory().await;
    let unknown =
        [field(1000, b"\xff\xfe"), field(536_870_911, &[0; 1000]), vec![0xc0, 0x3e, 1]].concat();
    let event = [event(7).encode_to_vec(), unknown.clone()].concat();
    let publish = [field(1, b"orders"), field(2, &event), unknown.clone()].concat();
    let published: proto::PublishResponse = target.raw.call(PUBLISH, &publish).await.began();
    assert_eq!(published.receipts[0].id, "7");
    let subscribe = [request(&["orders"]).encode_to_vec(), unknown].concat();
    let opened: proto::SubscribeResponse = target.raw.call(SUBSCRIBE, &subscribe).await.began();
    assert!(matches!(opened.control, Some(Control::Opened(_))));
}

// Compression and framing.

#[tokio::test]
async fn compressed_requests_are_taken() {
    let target = Target::in_memory().await;
    for encoding in [CompressionEncoding::Gzip, CompressionEncoding::Zstd] {
        let mut client = BrokerClient::new(target.served.channel().await).send_compressed(encoding);
        let request = publication("orders", vec![sized(100_000)]);
        assert_eq!(client.publish(request).await.expect("stored").get_ref().receipts.len(), 1);
        let mut admin = AdminClient::new(target.served.channel().await).send_compressed(encoding);
        admin.get_server_info(proto::GetServerInfoRequest {}).await.expect("info");
    }
}

#[tokio::test]
async fn a_decompression_bomb_is_refused_in_little_memory_and_time() {
    let broker = Broker::program(&[]).await;
    works(broker.address()).await;
    let raw = Raw::connect(broker.address()).await;
    let before = resident_bytes(broker.pid());
    let begun = Instant::now();
    for (encoding, bomb) in
        [("zstd", zstd_of_zeroes(10 << 30)), ("gzip", gzip_of_zeroes(200 << 20))]
    {
        assert!(bomb.len() < 1100 << 10, "{encoding}: {}", bomb.len());
        for _ in 0..5 {
            let body = framed(1, bomb.len() as u32, &bomb);
            let answer = raw.send(PUBLISH, &[("grpc-encoding", encoding)], body).await;
            assert_eq!(answer.status().code(), Code::ResourceExhausted, "{:?}", answer.status());
        }
    }
    let grown = resident_bytes(broker.pid()).saturating_sub(before);
    assert!(grown < 64 << 20, "it grew by {grown} bytes");
    assert!(begun.elapsed() < Duration::from_secs(15), "it took {:?}", begun.elapsed());
    works(broker.address()).await;
    assert!(broker.panics().is_empty(), "{:?}", broker.panics());
}

fn gzip_of_zeroes(bytes: usize) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let zeroes = vec![0; 1 << 20];
    (0..bytes >> 20).for_each(|_| gzip.write_all(&zeroes).expect("memory"));
    gzip.finish().expect("memory")
}

/// A frame of RFC 8878 by hand: its size is claimed, and each block is one byte, repeated.
fn zstd_of_zeroes(bytes: u64) -> Vec<u8> {
    const BLOCK: u64 = 128 << 10;
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0xc0, 0x38];
    frame.extend_from_slice(&bytes.to_le_bytes());
    for left in (0..bytes / BLOCK).rev() {
        let head = (BLOCK as u32) << 3 | 1 << 1 | u32::from(left == 0);
        frame.extend_from_slice(&head.to_le_bytes()[..3]);
        frame.push(0);
    }
    frame
}

#[tokio::test]
async fn a_frame_that_lies_is_a_status() {
    let target = Target::in_memory().await;
    let good = publication("orders", vec![event(1)]).encode_to_vec();
    let length = good.len() as u32;
    let gzip = |bytes: &[u8]| {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(bytes).expect("memory");
        gzip.finish().expect("memory")
    };
    let cut = &gzip(&good)[..20];
    for (what, headers, body, expected) in [
        ("longer than said", &[][..], framed(0, length - 1, &good), Code::InvalidArgument),
        ("shorter than said", &[], framed(0, length + 1, &good), Code::Internal),
        ("4 GiB", &[], framed(0, u32::MAX, &good), Code::OutOfRange),
        ("4 MiB that do not come", &[], framed(0, 4 << 20, &good), Code::Internal),
        ("half a prefix", &[], vec![0, 0, 0], Code::Internal),
        ("nothing", &[], Vec::new(), Code::Internal),
        ("two messages", &[], framed(0, length, &good).repeat(2), Code::Ok),
        ("a flag of 2", &[], framed(2, length, &good), Code::Internal),
        ("a flag of 255", &[], framed(255, length, &good), Code::Internal),
        ("compressed, and not said how", &[], framed(1, length, &good), Code::Internal),
        (
            "not compressed as said",
            &[("grpc-encoding", "gzip")],
            framed(1, length, &good),
            Code::Internal,
        ),
        (
            "not compressed as said",
            &[("grpc-encoding", "zstd")],
            framed(1, length, &good),
            Code::Internal,
        ),
        (
            "a stream cut off",
            &[("grpc-encoding", "gzip")],
            framed(1, cut.len() as u32, cut),
            Code::Internal,
        ),
        (
            "not compressed, and may be",
            &[("grpc-encoding", "gzip")],
            framed(0, length, &good),
            Code::Ok,
        ),
        ("unknown", &[("grpc-encoding", "br")], framed(1, length, &good), Code::Unimplemented),
        (
            "unknown",
            &[("grpc-encoding", "\u{1f980}")],
            framed(1, length, &good),
            Code::Unimplemented,
        ),
    ] {
        match target.raw.send(PUBLISH, headers, body).await {
            Answer::Began(_) => assert_eq!(expected, Code::Ok, "{what}"),
            answer => assert_eq!(answer.status().code(), expected, "{what}: {:?}", answer.status()),
        }
    }
    target.works().await;
}
