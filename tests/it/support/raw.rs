//! Clients that say what no gRPC library would: calls made of bytes, and connections made of frames.

use std::{future::poll_fn, net::SocketAddr, time::Duration};

use bytes::{Bytes, BytesMut};
use h2::client::SendRequest;
use http::{HeaderMap, Request};
use prost::Message;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

pub(crate) const PUBLISH: &str = "/tidings.v1.Broker/Publish";
pub(crate) const PUBLISH_STREAM: &str = "/tidings.v1.Broker/PublishStream";
pub(crate) const SUBSCRIBE: &str = "/tidings.v1.Broker/Subscribe";

/// For a busy machine: every answer that is waited for takes a fraction of it.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection whose HTTP/2 is right and whose calls are whatever bytes a test likes.
#[derive(Clone)]
pub(crate) struct Raw {
    send: SendRequest<Bytes>,
}

/// What a call was answered: the status with its details, or that it began with a message.
#[derive(Debug)]
pub(crate) enum Answer {
    Began(Bytes),
    Ended { status: Status, header_bytes: usize },
}

impl Raw {
    pub(crate) async fn connect(address: SocketAddr) -> Raw {
        let stream = TcpStream::connect(address).await.expect("connected");
        stream.set_nodelay(true).expect("an option");
        let (send, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
        tokio::spawn(connection);
        Raw { send }
    }

    /// A message, framed as gRPC wants it.
    pub(crate) async fn call(&self, method: &str, message: &[u8]) -> Answer {
        self.send(method, &[], framed(0, message.len() as u32, message)).await
    }

    /// Any body, and headers beside the usual ones.
    pub(crate) async fn send(
        &self,
        method: &str,
        headers: &[(&'static str, &str)],
        body: Vec<u8>,
    ) -> Answer {
        let exchange = self.exchange(method, headers, body.into());
        timeout(PATIENCE, exchange).await.expect("an answer in time")
    }

    /// A whole body, answered by messages and a status.
    pub(crate) async fn stream(&self, method: &str, body: Vec<u8>) -> (Vec<Bytes>, Status) {
        let exchange = async {
            let mut messages = Vec::new();
            let mut answer = self.begin(method, &[], body.into()).await;
            if let Some(status) = Status::from_header_map(&answer.headers) {
                return (messages, status);
            }
            while let Some(message) = answer.message().await {
                messages.push(message);
            }
            (messages, answer.status().await.0)
        };
        timeout(PATIENCE, exchange).await.expect("an answer in time")
    }

    async fn exchange(
        &self,
        method: &str,
        headers: &[(&'static str, &str)],
        body: Bytes,
    ) -> Answer {
        let mut answer = self.begin(method, headers, body).await;
        if let Some(status) = Status::from_header_map(&answer.headers) {
            return Answer::Ended { status, header_bytes: size(&answer.headers) };
        }
        if let Some(message) = answer.message().await {
            return Answer::Began(message);
        }
        let (status, header_bytes) = answer.status().await;
        Answer::Ended { status, header_bytes }
    }

    /// Returns when the headers of the answer have come.
    pub(crate) async fn begin(
        &self,
        method: &str,
        headers: &[(&'static str, &str)],
        mut body: Bytes,
    ) -> Answering {
        let mut request = Request::post(format!("http://broker{method}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut send = self.send.clone().ready().await.expect("a connection");
        let request = request.body(()).expect("a request");
        let (answer, mut stream) = send.send_request(request, false).expect("sent");
        while !body.is_empty() {
            stream.reserve_capacity(body.len());
            // The broker may have answered before it has read everything.
            let Some(Ok(room)) = poll_fn(|cx| stream.poll_capacity(cx)).await else { break };
            let part = body.split_to(room.min(body.len()));
            drop(stream.send_data(part, false));
        }
        drop(stream.send_data(Bytes::new(), true));
        let (head, body) = answer.await.expect("headers").into_parts();
        Answering { headers: head.headers, body, read: BytesMut::new() }
    }
}

/// An answer that has begun.
pub(crate) struct Answering {
    pub(crate) headers: HeaderMap,
    body: h2::RecvStream,
    read: BytesMut,
}

impl Answering {
    /// The next message; none at the end.
    async fn message(&mut self) -> Option<Bytes> {
        Some(self.flagged().await?.1)
    }

    /// The same, behind the flag that says whether it is compressed.
    pub(crate) async fn flagged(&mut self) -> Option<(u8, Bytes)> {
        loop {
            if let Some((flag, message)) = message(&self.read) {
                drop(self.read.split_to(5 + message.len()));
                return Some((flag, message));
            }
            let data = self.body.data().await?.expect("data");
            self.body.flow_control().release_capacity(data.len()).expect("ours");
            self.read.extend_from_slice(&data);
        }
    }

    /// At the end: the status, and how large its headers are.
    async fn status(&mut self) -> (Status, usize) {
        let trailers = self.body.trailers().await.expect("trailers").expect("a status");
        (Status::from_header_map(&trailers).expect("a status"), size(&trailers))
    }
}

fn message(read: &[u8]) -> Option<(u8, Bytes)> {
    let (head, rest) = read.split_at_checked(5)?;
    let length = u32::from_be_bytes(head[1..].try_into().expect("four bytes")) as usize;
    Some((head[0], Bytes::copy_from_slice(rest.get(..length)?)))
}

/// As HTTP/2 counts them.
fn size(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum()
}

/// A flag, a length and a message, which may lie about each other.
pub(crate) fn framed(flag: u8, length: u32, message: &[u8]) -> Vec<u8> {
    [&[flag], &length.to_be_bytes()[..], message].concat()
}

impl Answer {
    /// The first message of the answer.
    pub(crate) fn began<M: Message + Default>(self) -> M {
        match self {
            Answer::Began(message) => M::decode(message).expect("a message"),
            Answer::Ended { status, .. } => panic!("refused: {status:?}"),
        }
    }

    /// Code and reason of a refusal, and the fields that it names.
    pub(crate) fn refused(&self) -> (Code, String, Vec<String>) {
        let status = self.status();
        let details = status.get_error_details();
        let reason = details.error_info().map(|info| info.reason.clone()).unwrap_or_default();
        let fields = details.bad_request().map(|bad| bad.field_violations.clone());
        let fields = fields.unwrap_or_default().into_iter().map(|violation| violation.field);
        (status.code(), reason, fields.collect())
    }

    pub(crate) fn status(&self) -> &Status {
        match self {
            Answer::Ended { status, header_bytes } => {
                // Some clients take no more, and then read none of it.
                assert!(*header_bytes <= 8 << 10, "{header_bytes} bytes of trailers: {status:?}");
                status
            }
            Answer::Began(message) => panic!("not refused, but answered with {message:?}"),
        }
    }
}

/// A connection that speaks frames of HTTP/2, right or wrong.
pub(crate) struct Wire {
    pub(crate) stream: TcpStream,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct WireFrame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

impl Wire {
    pub(crate) async fn connect(address: SocketAddr) -> Wire {
        Wire { stream: TcpStream::connect(address).await.expect("connected") }
    }

    /// Connected, with preface and settings said.
    pub(crate) async fn open(address: SocketAddr) -> Wire {
        let mut wire = Wire::connect(address).await;
        let begin = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &frame(SETTINGS, 0, 0, &[])[..]].concat();
        wire.write(&begin).await.expect("written");
        wire
    }

    /// An error means that the broker closed the connection.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let written = timeout(PATIENCE, self.stream.write_all(bytes)).await;
        written.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
    }

    /// The next frame; none at the end of the connection.
    pub(crate) async fn next(&mut self) -> Option<WireFrame> {
        let read = async {
            let mut head = [0; 9];
            self.stream.read_exact(&mut head).await.ok()?;
            let number = |bytes: &[u8]| bytes.iter().fold(0, |n: u32, b| n << 8 | u32::from(*b));
            let mut payload = vec![0; number(&head[..3]) as usize];
            self.stream.read_exact(&mut payload).await.ok()?;
            Some(WireFrame { kind: head[3], flags: head[4], stream: number(&head[5..]), payload })
        };
        timeout(PATIENCE, read).await.expect("a frame or the end in time")
    }

    /// Skips frames up to one of this kind; none at the end of the connection.
    pub(crate) async fn next_of(&mut self, kind: u8) -> Option<WireFrame> {
        loop {
            match self.next().await {
                Some(frame) if frame.kind == kind => return Some(frame),
                Some(_) => (),
                None => return None,
            }
        }
    }
}

/// One frame of HTTP/2.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a frame").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The headers of a call, each spelt out, and others after them.
pub(crate) fn call_headers(method: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let usual = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", method),
        (":authority", "broker"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    let mut block = Vec::new();
    for (name, value) in usual.iter().chain(more) {
        block.push(0);
        for text in [name, value] {
            length(text.len(), &mut block);
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// HPACK, integer with a prefix of seven bits.
fn length(length: usize, block: &mut Vec<u8>) {
    let Some(mut rest) = length.checked_sub(127) else { return block.push(length as u8) };
    block.push(127);
    while rest >= 128 {
        block.push(rest as u8 | 128);
        rest >>= 7;
    }
    block.push(rest as u8);
}
