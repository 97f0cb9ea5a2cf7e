//! The answer of Subscribe, below tonic's codec: frames are encoded already, so each goes out as
//! the bytes that all subscribers share, and nothing is copied for one of them.
//!
//! tonic's handler answers with a stream of messages. Ours answers with an empty one and leaves the
//! subscription in the response; [`with_frames`], the innermost layer, makes it the body.

use std::{
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame as BodyFrame};
use parking_lot::Mutex;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_stream::Empty;
use tonic::{
    Response, Status,
    body::Body,
    metadata::{MetadataMap, MetadataValue},
};
use tracing::error;

use super::status;
use crate::{compression::Compression, proto, subscription::Subscription};

/// What tonic is told that the answer is.
pub(super) type NoMessages = Empty<Result<proto::SubscribeResponse, Status>>;

/// On its way to [`with_frames`]. Extensions of a response have to be cloned; only one is used.
#[derive(Debug, Clone)]
struct Opened(Arc<Mutex<Option<Frames>>>);

/// The body: frames, and how the stream ended.
#[derive(Debug)]
struct Frames {
    subscription: Subscription,
    /// tonic honours a client's deadline only until the answer begins.
    deadline: Option<Pin<Box<Sleep>>>,
    begun: bool,
    ended: bool,
}

/// The first of what is `offered` that the client takes.
pub(super) fn compression(metadata: &MetadataMap, offered: &[Compression]) -> Option<Compression> {
    let accepts = |one: &Compression| {
        let lists = metadata.get_all("grpc-accept-encoding").iter();
        let mut names =
            lists.filter_map(|list| list.to_str().ok()).flat_map(|list| list.split(','));
        names.any(|name| name.trim() == one.name())
    };
    offered.iter().copied().find(accepts)
}

pub(super) fn answer(
    subscription: Subscription,
    deadline: Option<Instant>,
) -> Response<NoMessages> {
    let mut response = Response::new(tokio_stream::empty());
    if let Some(compression) = subscription.compression() {
        let name = MetadataValue::from_static(compression.name());
        response.metadata_mut().insert("grpc-encoding", name);
    }
    let frames = Frames {
        subscription,
        deadline: deadline.map(|deadline| Box::pin(sleep_until(deadline))),
        begun: false,
        ended: false,
    };
    response.extensions_mut().insert(Opened(Arc::new(Mutex::new(Some(frames)))));
    response
}

pub(super) fn with_frames(mut response: http::Response<Body>) -> http::Response<Body> {
    let opened = response.extensions_mut().remove::<Opened>();
    match opened.and_then(|opened| opened.0.lock().take()) {
        Some(frames) => response.map(|_| Body::new(frames)),
        None => response,
    }
}

impl Frames {
    /// What goes out next: bytes, or the status that ends the stream.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, Status>> {
        if let Some(deadline) = &mut self.deadline
            && deadline.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Err(status::stream_deadline()));
        }
        // A panic ends this stream alone, and the client hears of it.
        let polled = catch_unwind(AssertUnwindSafe(|| self.subscription.poll_next(cx)));
        let Ok(polled) = polled else {
            error!("BUG: a stream panicked");
            return Poll::Ready(Err(status::bug()));
        };
        polled.map(|next| match next {
            Some(Ok(frame)) => Ok(frame.into_bytes()),
            Some(Err(error)) => Err(status::subscribe(error)),
            None => Err(Status::ok("")),
        })
    }
}

impl HttpBody for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<BodyFrame<Bytes>, Infallible>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if !std::mem::replace(&mut self.begun, true) {
            // The headers go out first. What a connection keeps for frames that wait to be written
            // never shrinks, and where all clients come back at once two of each stream would wait.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.poll(cx).map(|next| {
            Some(Ok(match next {
                Ok(bytes) => BodyFrame::data(bytes),
                Err(status) => {
                    self.ended = true;
                    BodyFrame::trailers(trailers(&status))
                }
            }))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }
}

fn trailers(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    if status.add_header(&mut trailers).is_err() {
        // What our own words and details are made of can stand in a header: this is a bug of ours.
        trailers.clear();
        let code = i32::from(status.code());
        trailers.insert("grpc-status", code.into());
    }
    trailers
}
