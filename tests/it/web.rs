//! gRPC-Web as a browser speaks it: HTTP/1.1, and only for pages from where it is allowed.

use std::net::SocketAddr;

use prost::Message as _;
use tidings::proto::{
    Event, PublishRequest, PublishResponse, SubscribeRequest, SubscribeResponse, event::Payload,
    subscribe_response::Control,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Duration, timeout},
};

use crate::support::{broker::Broker, raw::framed};

const PATIENCE: Duration = Duration::from_secs(20);
const PUBLISH: &str = "/tidings.v1.Broker/Publish";
const SUBSCRIBE: &str = "/tidings.v1.Broker/Subscribe";
const HOME: &str = "http://localhost:5173";

/// One request of a page, and what has come of the answer.
struct Exchange {
    stream: TcpStream,
    text: Vec<u8>,
}

impl Exchange {
    async fn begin(
        at: SocketAddr,
        method: &str,
        path: &str,
        origin: &str,
        body: &[u8],
    ) -> Exchange {
        let mut stream = TcpStream::connect(at).await.expect("connected");
        let extra = if method == "OPTIONS" {
            "access-control-request-method: POST\r\n\
             access-control-request-headers: content-type,x-grpc-web,x-user-agent\r\n"
        } else {
            "content-type: application/grpc-web+proto\r\nx-grpc-web: 1\r\n\
             accept-encoding: gzip\r\ngrpc-accept-encoding: gzip\r\n"
        };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {at}\r\norigin: {origin}\r\n{extra}\
             content-length: {}\r\n\r\n",
            body.len()
        );
        // At once: who closes after the head would refuse the rest.
        stream.write_all(&[head.as_bytes(), body].concat()).await.expect("sent");
        Exchange { stream, text: Vec::new() }
    }

    /// Reads until what has come holds `wanted`.
    async fn until(&mut self, wanted: &[u8]) {
        let reading = async {
            while !self.text.windows(wanted.len()).any(|window| window == wanted) {
                let read = self.stream.read_buf(&mut self.text).await.expect("read");
                assert!(read > 0, "ended: {}", String::from_utf8_lossy(&self.text));
            }
        };
        timeout(PATIENCE, reading).await.expect("in time");
    }

    fn head(&self) -> String {
        let text = String::from_utf8_lossy(&self.text).to_lowercase();
        text.split("\r\n\r\n").next().unwrap_or_default().to_owned()
    }

    /// What was sent in chunks, put together.
    fn body(&self) -> Vec<u8> {
        let end = self.text.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
        let mut rest = &self.text[end + 4..];
        let mut body = Vec::new();
        while let Some(line) = rest.windows(2).position(|window| window == b"\r\n") {
            let length = std::str::from_utf8(&rest[..line]).expect("a length");
            let length = usize::from_str_radix(length, 16).expect("a length");
            let Some(chunk) = rest.get(line + 2..line + 2 + length) else { break };
            body.extend_from_slice(chunk);
            rest = rest.get(line + 4 + length..).unwrap_or_default();
        }
        body
    }
}

fn event(text: &str) -> Event {
    Event { payload: Some(Payload::Text(text.into())), ..Default::default() }
}

fn publish(topic: &str, text: &str) -> Vec<u8> {
    let request =
        PublishRequest { topic: topic.into(), events: vec![event(text)], ..Default::default() };
    let message = request.encode_to_vec();
    framed(0, message.len() as u32, &message)
}

fn subscribe(topic: &str) -> Vec<u8> {
    let request = SubscribeRequest { topics: vec![topic.into()], ..Default::default() };
    let message = request.encode_to_vec();
    framed(0, message.len() as u32, &message)
}

/// The first message of a body.
fn first<M: prost::Message + Default>(body: &[u8]) -> (M, &[u8]) {
    let length = u32::from_be_bytes(body[1..5].try_into().expect("a prefix")) as usize;
    assert_eq!(body[0], 0, "not a message");
    (M::decode(&body[5..5 + length]).expect("a message"), &body[5 + length..])
}

#[tokio::test]
async fn a_page_of_this_machine_publishes_and_reads_the_status() {
    let broker = Broker::program(&[]).await;
    let mut answer =
        Exchange::begin(broker.address(), "POST", PUBLISH, HOME, &publish("web", "hello")).await;
    answer.until(b"grpc-status:0").await;
    assert!(answer.head().contains(&format!("access-control-allow-origin: {HOME}")));
    assert!(answer.head().contains("grpc-status-details-bin"), "{}", answer.head());
    let body = answer.body();
    let (published, trailers) = first::<PublishResponse>(&body);
    assert_eq!(published.receipts.len(), 1);
    assert_eq!(trailers[0], 0x80, "what follows are trailers");
}

#[tokio::test]
async fn an_error_comes_to_a_page_with_its_details() {
    let broker = Broker::program(&[]).await;
    let mut answer =
        Exchange::begin(broker.address(), "POST", PUBLISH, HOME, &publish("a b", "x")).await;
    answer.until(b"\r\n\r\n").await;
    let head = answer.head();
    assert!(
        head.contains("grpc-status: 3") && head.contains("grpc-status-details-bin: "),
        "{head}"
    );
}

#[tokio::test]
async fn a_page_subscribes_and_reads_while_the_stream_goes_on() {
    let broker = Broker::program(&[]).await;
    let mut stream =
        Exchange::begin(broker.address(), "POST", SUBSCRIBE, HOME, &subscribe("web")).await;
    stream.until(b"\x12").await; // Opened, the second field of a frame
    let body = stream.body();
    let (opened, _) = first::<SubscribeResponse>(&body);
    assert!(matches!(opened.control, Some(Control::Opened(_))), "{opened:?}");
    let mut answer =
        Exchange::begin(broker.address(), "POST", PUBLISH, HOME, &publish("web", "tidings!")).await;
    answer.until(b"grpc-status:0").await;
    stream.until(b"tidings!").await;
}

#[tokio::test]
async fn what_a_page_reads_is_not_compressed_whatever_others_get() {
    let broker = Broker::program(&["--subscribe-compression", "gzip"]).await;
    let mut stream =
        Exchange::begin(broker.address(), "POST", SUBSCRIBE, HOME, &subscribe("web")).await;
    stream.until(b"\x12").await; // Opened
    let long = "tidings! ".repeat(1000);
    let mut answer =
        Exchange::begin(broker.address(), "POST", PUBLISH, HOME, &publish("web", &long)).await;
    answer.until(b"grpc-status:0").await;
    stream.until(long.as_bytes()).await;
    assert!(!stream.head().contains("grpc-encoding"), "{}", stream.head());
}

#[tokio::test]
async fn a_page_from_elsewhere_is_told_that_it_may_not() {
    let broker = Broker::program(&["--web-origins", "https://shop.example"]).await;
    for (origin, allowed) in
        [("https://shop.example", true), ("https://evil.example", false), (HOME, false)]
    {
        let mut answer = Exchange::begin(broker.address(), "OPTIONS", PUBLISH, origin, &[]).await;
        answer.until(b"\r\n\r\n").await;
        let head = answer.head();
        let told = head.contains(&format!("access-control-allow-origin: {origin}"));
        assert_eq!(told, allowed, "{origin}: {head}");
        assert_eq!(head.contains("access-control-allow-origin"), allowed, "{origin}: {head}");
        assert!(head.contains("access-control-max-age: 3600"), "{origin}: {head}");
    }
}

/// As a browser sends it for a page whose name was made to lead to this machine: it asks nobody.
#[tokio::test]
async fn what_a_page_from_elsewhere_sends_all_the_same_is_refused() {
    let broker = Broker::program(&[]).await;
    for origin in ["http://evil.example", "http://evil.example:7070", "null"] {
        let request = publish("web", "from elsewhere");
        let mut answer = Exchange::begin(broker.address(), "POST", PUBLISH, origin, &request).await;
        answer.until(b"\r\n\r\n").await;
        let head = answer.head();
        assert!(head.starts_with("http/1.1 403 "), "{origin}: {head}");
    }
    // Nothing was stored: the first of the topic is still to come.
    let request = publish("web", "from here");
    let mut answer = Exchange::begin(broker.address(), "POST", PUBLISH, HOME, &request).await;
    answer.until(b"grpc-status:0").await;
    let body = answer.body();
    let (published, _) = first::<PublishResponse>(&body);
    let position = published.receipts[0].position.as_ref().expect("a position");
    assert_eq!(position.sequence, 1, "{published:?}");
}

#[tokio::test]
async fn where_no_page_may_speak_there_is_no_http_1() {
    let broker = Broker::program(&["--web-origins", ""]).await;
    let mut answer =
        Exchange::begin(broker.address(), "POST", PUBLISH, HOME, &publish("web", "hello")).await;
    let read = timeout(PATIENCE, answer.stream.read_to_end(&mut answer.text)).await;
    drop(read.expect("closed in time"));
    assert!(!answer.text.starts_with(b"HTTP/1"), "{}", answer.head());
}
