//! Publish where its one message comes in one piece, as nearly all do: below tonic, which has buffers
//! and boxes for whatever else a call may be. That goes to tonic's handler, and both answer alike.

use std::{
    convert::Infallible,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderValue, Request, Response, header, request::Parts};
use http_body::{Body as HttpBody, Frame};
use prost::Message;
use tonic::{Status, body::Body, metadata::GRPC_CONTENT_TYPE};

use super::{broker, requests::PublishRequest, status};
use crate::{broker::Broker, limits::GRPC_MESSAGE_BYTES_MAX};

/// What stands before a message: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;

/// What a request brought.
#[derive(Debug)]
pub(super) enum Came {
    /// One message, and nothing else.
    Whole(Bytes),
    /// Anything else: as it came, to be read from its beginning.
    Otherwise(Box<Request<Body>>),
}

/// Takes what has come of `request` by now. Nothing is waited for here: what is on its way has bounds
/// of its own, which [`Intake`](super::intake::Intake) keeps.
pub(super) fn read(request: Request<Body>) -> Came {
    let (parts, mut body) = request.into_parts();
    let encoding = parts.headers.get("grpc-encoding");
    if encoding.is_some_and(|encoding| encoding != "identity") {
        return otherwise(parts, body);
    }
    let mut first: Option<Bytes> = None;
    loop {
        let next = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).now_or_never();
        let Some(then) = next else {
            return otherwise(parts, Body::new(Begun { first, then: None, rest: body }));
        };
        let data = then.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
        match data {
            // Of many clients the end is a frame of its own.
            Some(data) if data.is_empty() => (),
            Some(data) if first.is_none() && is_whole(data) => first = Some(data.clone()),
            None if then.is_none() => (),
            _ => return otherwise(parts, Body::new(Begun { first, then, rest: body })),
        }
        if then.is_none() || body.is_end_stream() {
            return match first {
                Some(first) => Came::Whole(first.slice(PREFIX_BYTES..)),
                None => otherwise(parts, body),
            };
        }
    }
}

fn otherwise(parts: Parts, body: Body) -> Came {
    Came::Otherwise(Box::new(Request::from_parts(parts, body)))
}

/// Whether it is one message, not compressed.
fn is_whole(data: &[u8]) -> bool {
    let [0, a, b, c, d, message @ ..] = data else { return false };
    message.len() as u64 == u64::from(u32::from_be_bytes([*a, *b, *c, *d]))
        && message.len() <= GRPC_MESSAGE_BYTES_MAX
}

/// The answer to a message, as tonic would write it.
pub(super) async fn answer(broker: &Broker, message: Bytes) -> Response<Body> {
    let request = PublishRequest::decode(message).map_err(|error| status::unreadable(&error));
    let published = match request {
        Ok(request) => broker::publish(broker, request).await,
        Err(status) => Err(status),
    };
    match published {
        Ok(published) => {
            let mut response =
                Response::new(Body::new(One { message: Some(framed(&published)), ended: false }));
            response.headers_mut().insert(header::CONTENT_TYPE, GRPC_CONTENT_TYPE);
            response
        }
        Err(status) => status.into_http(),
    }
}

fn framed(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut framed = BytesMut::with_capacity(PREFIX_BYTES + length);
    framed.put_u8(0);
    framed.put_u32(u32::try_from(length).expect("receipts of events that fit into a request"));
    message.encode_raw(&mut framed);
    framed.freeze()
}

/// A body of one message, and that all went well.
#[derive(Debug)]
struct One {
    message: Option<Bytes>,
    ended: bool,
}

impl HttpBody for One {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(message) = self.message.take() {
            return Poll::Ready(Some(Ok(Frame::data(message))));
        }
        if std::mem::replace(&mut self.ended, true) {
            return Poll::Ready(None);
        }
        let mut trailers = HeaderMap::with_capacity(1);
        trailers.insert(Status::GRPC_STATUS, HeaderValue::from_static("0"));
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }
}

/// A request's body of which something was read, which comes first again.
#[derive(Debug)]
struct Begun {
    first: Option<Bytes>,
    then: Option<Result<Frame<Bytes>, Status>>,
    rest: Body,
}

impl HttpBody for Begun {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        match self.then.take() {
            Some(then) => Poll::Ready(Some(then)),
            None => Pin::new(&mut self.rest).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.then.is_none() && self.rest.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, sync::Arc};

    use tower::ServiceExt as _;

    use super::{
        super::{broker::BrokerService, server::broker_server::BrokerServer},
        *,
    };
    use crate::{backend::memory::Memory, broker::BrokerOptions, catalog::Catalog, proto};

    /// Frames, one by one, and no end.
    struct Pausing(VecDeque<Frame<Bytes>>);

    impl HttpBody for Pausing {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            self.0.pop_front().map_or(Poll::Pending, |frame| Poll::Ready(Some(Ok(frame))))
        }
    }

    /// Frames, one by one. Whether the last one says that it is.
    struct Pieces(VecDeque<Frame<Bytes>>, bool);

    impl HttpBody for Pieces {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            Poll::Ready(self.0.pop_front().map(Ok))
        }

        fn is_end_stream(&self) -> bool {
            self.1 && self.0.is_empty()
        }
    }

    fn request(headers: &[(&'static str, &'static str)], body: Body) -> Request<Body> {
        let request = Request::post("http://broker/tidings.v1.Broker/Publish");
        let request = headers.iter().fold(request, |request, (k, v)| request.header(*k, *v));
        request.body(body).expect("a request")
    }

    fn pieces(pieces: &[&[u8]], says: bool) -> Body {
        let frames = pieces.iter().map(|piece| Frame::data(Bytes::copy_from_slice(piece)));
        Body::new(Pieces(frames.collect(), says))
    }

    /// What a body has still to give: its data, and its trailers.
    async fn all(mut body: Body) -> (Vec<u8>, Option<HeaderMap>) {
        let (mut data, mut trailers) = (Vec::new(), None);
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            match frame.expect("a frame").into_data() {
                Ok(piece) => data.extend_from_slice(&piece),
                Err(frame) => trailers = frame.into_trailers().ok(),
            }
        }
        (data, trailers)
    }

    #[tokio::test]
    async fn one_message_in_one_piece_is_whole_however_its_end_is_told() {
        for says in [true, false] {
            for sent in
                [&[&b"\0\0\0\0\x03abc"[..]][..], &[b"\0\0\0\0\x03abc", b""], &[b"\0\0\0\0\0"]]
            {
                let came = read(request(&[("grpc-encoding", "identity")], pieces(sent, says)));
                let Came::Whole(message) = came else { panic!("{sent:?}") };
                assert_eq!(message, sent[0][5..]);
            }
        }
    }

    #[tokio::test]
    async fn whatever_else_comes_is_left_as_it_came() {
        let cases: [&[&[u8]]; 9] = [
            &[],
            &[b""],
            &[b"\0\0\0"],
            &[b"\0\0\0\0\x03ab", b"c"],
            &[b"\0\0\0\0\x03", b"abc"],
            &[b"\0\0\0\0\x03abcd"],
            &[b"\0\0\0\0\x03abc", b"\0\0\0\0\x01d"],
            &[b"\x01\0\0\0\x03abc"],
            &[b"\0\0\0\0\x03abc", b"", b"d"],
        ];
        for sent in cases {
            for says in [true, false] {
                let came = read(request(&[], pieces(sent, says)));
                let Came::Otherwise(request) = came else { panic!("{sent:?}") };
                assert_eq!(all(request.into_body()).await, (sent.concat(), None));
            }
        }

        let whole = &b"\0\0\0\0\x03abc"[..];
        let compressed = request(&[("grpc-encoding", "gzip")], pieces(&[whole], true));
        let Came::Otherwise(compressed) = read(compressed) else { panic!("gzip") };
        assert_eq!(all(compressed.into_body()).await.0, whole);

        let trailers = HeaderMap::from_iter([(header::TE, HeaderValue::from_static("x"))]);
        let frames = [Frame::data(whole.into()), Frame::trailers(trailers.clone())];
        let came = read(request(&[], Body::new(Pieces(frames.into(), false))));
        let Came::Otherwise(request) = came else { panic!("trailers") };
        assert_eq!(all(request.into_body()).await, (whole.to_vec(), Some(trailers)));
    }

    #[test]
    fn what_is_still_on_its_way_is_not_waited_for() {
        for sent in [&[][..], &[&b"\0\0\0\0\x03abc"[..]], &[b"\0\0\0\0\x03a"]] {
            let frames =
                sent.iter().map(|piece: &&'static [u8]| Frame::data(Bytes::from_static(piece)));
            let came = read(request(&[], Body::new(Pausing(frames.collect()))));
            let Came::Otherwise(request) = came else { panic!("{sent:?}") };
            let mut body = request.into_body();
            let mut next = || poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).now_or_never();
            for piece in sent {
                let frame = next().flatten().expect("as it came").expect("a frame");
                assert_eq!(frame.into_data().expect("data"), *piece);
            }
            assert!(next().is_none(), "more than had come");
        }
    }

    #[tokio::test]
    async fn both_ways_answer_alike() {
        let (memory, feed) = Memory::open();
        let options = BrokerOptions::default();
        let broker = Broker::new(Arc::new(memory), feed, Catalog::default(), options);
        let event = |id: &str| proto::Event { id: id.into(), ..proto::Event::default() };
        let asked = |topic: &str, ids: &[&str]| proto::PublishRequest {
            topic: topic.into(),
            events: ids.iter().map(|id| event(id)).collect(),
            validate_only: true,
            ..proto::PublishRequest::default()
        };
        let messages = [
            asked("orders", &["1"]).encode_to_vec(),
            asked("orders", &["1", "zwei", "ö"]).encode_to_vec(),
            asked("orders", &[]).encode_to_vec(),
            asked("no topic", &["1"]).encode_to_vec(),
            asked("orders", &["\u{1}"]).encode_to_vec(),
            b"no message".to_vec(),
        ];
        for message in messages {
            let ours = answer(&broker, message.clone().into()).await;
            let sent = [&[0][..], &(message.len() as u32).to_be_bytes(), &message].concat();
            let server = BrokerServer::new(BrokerService {
                broker: broker.clone(),
                compressions: Arc::default(),
            });
            let theirs = server.oneshot(request(&[], pieces(&[&sent], true))).await;
            let theirs = theirs.unwrap_or_else(|error| match error {});
            assert_eq!(ours.status(), theirs.status());
            assert_eq!(ours.headers(), theirs.headers());
            assert_eq!(all(ours.into_body()).await, all(theirs.into_body()).await);
        }
    }
}
