//! PublishStream: many publishes under way on one call, answered in order.
//!
//! A task of its own reads the requests, so that what was taken goes on whether the client reads its
//! answers or not. It reads no further while the pipeline is full, and the pipeline empties only as
//! the client takes answers: HTTP/2 makes either side wait for the other.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    vec,
};

use futures_util::{FutureExt, Stream, StreamExt};
use tokio::sync::mpsc;
use tokio_util::{sync::PollSender, task::AbortOnDropHandle};
use tonic::{Status, Streaming};
use tracing::error;

use super::{broker, replies::PublishStreamResponse, requests::PublishStreamRequest, status};
use crate::{
    broker::{Pipeline, PublishError},
    limits::ANSWERS_TOGETHER,
};

/// Answers that go out together.
type Together = Vec<PublishStreamResponse>;

/// Reads `requests` until they end or may not go on, and answers each of them.
pub(super) fn answers(pipeline: Pipeline, requests: Streaming<PublishStreamRequest>) -> Answers {
    let (out, answers) = mpsc::channel(1);
    let exchange = Exchange { pipeline, requests, end: None, out: PollSender::new(out) };
    let exchange = AbortOnDropHandle::new(tokio::spawn(exchange));
    Answers { together: Vec::new().into_iter(), answers, exchange: Some(exchange) }
}

/// What the client reads. Dropping it ends the exchange.
pub(super) struct Answers {
    together: vec::IntoIter<PublishStreamResponse>,
    answers: mpsc::Receiver<Together>,
    exchange: Option<AbortOnDropHandle<Result<(), Status>>>,
}

impl Stream for Answers {
    type Item = Result<PublishStreamResponse, Status>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if let Some(answer) = this.together.next() {
                return Poll::Ready(Some(Ok(answer)));
            }
            if let Some(together) = ready!(this.answers.poll_recv(cx)) {
                this.together = together.into_iter();
                continue;
            }
            let Some(exchange) = &mut this.exchange else { return Poll::Ready(None) };
            let ended = ready!(exchange.poll_unpin(cx));
            this.exchange = None;
            return Poll::Ready(match ended {
                Ok(Ok(())) => None,
                Ok(Err(status)) => Some(Err(status)),
                Err(_) => {
                    error!("BUG: a publish stream panicked");
                    Some(Err(status::bug()))
                }
            });
        }
    }
}

/// Requests in, answers out. Ready at the end of the stream, with how it ends.
struct Exchange {
    pipeline: Pipeline,
    requests: Streaming<PublishStreamRequest>,
    /// Set when no more is read.
    end: Option<Result<(), Status>>,
    out: PollSender<Together>,
}

/// As often answers are taken at once before other tasks get their turn.
const ROUNDS: usize = 8;

impl Future for Exchange {
    type Output = Result<(), Status>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        let this = self.get_mut();
        for _ in 0..ROUNDS {
            this.read(cx);
            this.pipeline.drive(cx);
            if this.pipeline.is_idle()
                && let Some(end) = this.end.take()
            {
                return Poll::Ready(end);
            }
            // Answers taken are room for requests.
            if !this.tell(cx) {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Exchange {
    /// Takes the requests that are there, as long as there is room.
    fn read(&mut self, cx: &mut Context<'_>) {
        while self.end.is_none() && self.pipeline.has_room() {
            match self.requests.poll_next_unpin(cx) {
                Poll::Ready(Some(Ok(request))) => self.take(request),
                Poll::Ready(Some(Err(status))) => self.end = Some(Err(status)),
                Poll::Ready(None) => self.end = Some(Ok(())),
                Poll::Pending => break,
            }
        }
        if self.end.is_none()
            && let Poll::Ready(why) = self.pipeline.poll_ending(cx)
        {
            self.end = Some(Err(status::pipeline(why)));
        }
    }

    fn take(&mut self, PublishStreamRequest { request_id, publish }: PublishStreamRequest) {
        let publish = publish.unwrap_or_default();
        let topic = match self.pipeline.last_topic(&publish.topic) {
            Some(topic) => Ok(topic),
            None => publish.topic.parse(),
        };
        let topic = topic.map_err(PublishError::Topic);
        match topic.and_then(|topic| broker::asked(topic, publish)) {
            Ok(request) => self.pipeline.push(request_id, request),
            Err(error) => self.pipeline.refuse(request_id, error),
        }
    }

    /// Gives the answers that are there to the client, as far as it takes them; whether there were any.
    fn tell(&mut self, cx: &mut Context<'_>) -> bool {
        let mut told = false;
        // Without a reader there is nobody to tell: whoever dropped it ends this.
        while let Poll::Ready(Ok(())) = self.out.poll_reserve(cx) {
            let mut answers =
                std::iter::from_fn(|| self.pipeline.take_answer()).map(PublishStreamResponse::from);
            let together: Together = answers.by_ref().take(ANSWERS_TOGETHER).collect();
            if together.is_empty() || self.out.send_item(together).is_err() {
                break;
            }
            told = true;
        }
        told
    }
}
