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

use bytes::{Buf, BufMut};
use futures_util::{FutureExt, Stream, StreamExt};
use prost::{
    DecodeError, Message,
    encoding::{self, DecodeContext, WireType},
};
use tokio::sync::mpsc;
use tokio_util::{sync::PollSender, task::AbortOnDropHandle};
use tonic::{Status, Streaming};
use tracing::error;

use super::{broker, requests::PublishStreamRequest, status};
use crate::{
    broker::{Answer, Pipeline, PublishError, Published, Receipt},
    limits::ANSWERS_TOGETHER,
    position::Position,
    proto::publish_stream_response::Failure,
    topic::Topic,
};

/// Answers that go out together.
type Together = Vec<Reply>;

/// Reads `requests` until they end or may not go on, and answers each of them.
pub(super) fn answers(pipeline: Pipeline, requests: Streaming<PublishStreamRequest>) -> Answers {
    let (out, answers) = mpsc::channel(1);
    let exchange = Exchange { pipeline, requests, end: None, out: PollSender::new(out) };
    let exchange = AbortOnDropHandle::new(tokio::spawn(exchange));
    Answers { together: Vec::new().into_iter(), answers, exchange: Some(exchange) }
}

/// What the client reads. Dropping it ends the exchange.
pub(super) struct Answers {
    together: vec::IntoIter<Reply>,
    answers: mpsc::Receiver<Together>,
    exchange: Option<AbortOnDropHandle<Result<(), Status>>>,
}

impl Stream for Answers {
    type Item = Result<Reply, Status>;

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
        match topic {
            Ok(topic) => self.pipeline.push(request_id, broker::publish(topic, publish)),
            Err(error) => self.pipeline.refuse(request_id, PublishError::Topic(error)),
        }
    }

    /// Gives the answers that are there to the client, as far as it takes them; whether there were any.
    fn tell(&mut self, cx: &mut Context<'_>) -> bool {
        let mut told = false;
        // Without a reader there is nobody to tell: whoever dropped it ends this.
        while let Poll::Ready(Ok(())) = self.out.poll_reserve(cx) {
            let mut answers = std::iter::from_fn(|| self.pipeline.take_answer()).map(Reply::from);
            let together: Together = answers.by_ref().take(ANSWERS_TOGETHER).collect();
            if together.is_empty() || self.out.send_item(together).is_err() {
                break;
            }
            told = true;
        }
        told
    }
}

/// What one request is answered, as a `PublishStreamResponse` on the wire. It is written from what the
/// broker says, without a message for each receipt and a copy of the topic's name in it.
#[derive(Debug)]
pub struct Reply {
    request_id: u64,
    result: Result<(Topic, Published), Box<Failure>>,
}

impl From<Answer> for Reply {
    fn from(Answer { tag, result }: Answer) -> Reply {
        let result = result.map_err(|error| Box::new(status::failure(&status::publish(error))));
        Reply { request_id: tag, result }
    }
}

impl Message for Reply {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        put_number(1, self.request_id, buf); // request_id
        match &self.result {
            Ok((topic, published)) => {
                put_key(2, published_len(topic, published), buf); // published
                for receipt in &published.receipts {
                    put_receipt(topic, receipt, buf);
                }
                put_number(2, durability(published), buf); // durability
            }
            Err(failure) => encoding::message::encode(3, &**failure, buf),
        }
    }

    fn encoded_len(&self) -> usize {
        let result = match &self.result {
            Ok((topic, published)) => delimited_len(published_len(topic, published)),
            Err(failure) => encoding::message::encoded_len(3, &**failure),
        };
        number_len(self.request_id) + result
    }

    /// Only ever sent.
    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        ctx: DecodeContext,
    ) -> Result<(), DecodeError> {
        encoding::skip_field(wire_type, tag, buf, ctx)
    }

    fn clear(&mut self) {}
}

fn durability(published: &Published) -> u64 {
    i32::from(broker::durability(published)).unsigned_abs().into()
}

fn published_len(topic: &Topic, published: &Published) -> usize {
    let receipts = published.receipts.iter();
    let receipts = receipts.map(|receipt| delimited_len(receipt_len(topic, receipt)));
    receipts.sum::<usize>() + number_len(durability(published))
}

fn put_receipt(topic: &Topic, receipt: &Receipt, buf: &mut impl BufMut) {
    put_key(1, receipt_len(topic, receipt), buf); // PublishResponse.receipts
    put_key(1, receipt.id.len(), buf); // id
    buf.put_slice(receipt.id.as_bytes());
    let Some(position) = receipt.position else { return };
    put_key(2, position_len(topic, position), buf); // position
    put_key(1, topic.as_str().len(), buf);
    buf.put_slice(topic.as_str().as_bytes());
    put_number(2, position.epoch, buf);
    put_number(3, position.sequence, buf);
}

fn receipt_len(topic: &Topic, receipt: &Receipt) -> usize {
    let position = receipt.position.map(|position| delimited_len(position_len(topic, position)));
    delimited_len(receipt.id.len()) + position.unwrap_or_default()
}

fn position_len(topic: &Topic, position: Position) -> usize {
    delimited_len(topic.as_str().len()) + number_len(position.epoch) + number_len(position.sequence)
}

/// Of what has a length, in a field with a number below 16.
fn delimited_len(len: usize) -> usize {
    1 + encoding::encoded_len_varint(len as u64) + len
}

/// A field that is not there where its value is 0.
fn number_len(value: u64) -> usize {
    if value == 0 { 0 } else { 1 + encoding::encoded_len_varint(value) }
}

fn put_key(field: u32, len: usize, buf: &mut impl BufMut) {
    encoding::encode_key(field, WireType::LengthDelimited, buf);
    encoding::encode_varint(len as u64, buf);
}

fn put_number(field: u32, value: u64, buf: &mut impl BufMut) {
    if value != 0 {
        encoding::encode_key(field, WireType::Varint, buf);
        encoding::encode_varint(value, buf);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        backend::Durability,
        proto::{self, PublishStreamResponse, publish_stream_response::Result as Told},
    };

    proptest! {
        /// What is written by hand is what prost would have written.
        #[test]
        fn a_reply_is_the_message_of_the_proto(
            request_id in any::<u64>(),
            name in "[a-z]{1,255}",
            (epoch, first) in (any::<u64>(), 0..u64::MAX / 2),
            ids in proptest::collection::vec(".{1,40}", 1..5),
            stored in any::<bool>(),
        ) {
            let topic: Topic = name.parse().expect("a topic");
            let place = |offset| stored.then(|| Position::new(epoch, first + offset));
            let receipts = (0..).zip(&ids).map(|(n, id)| Receipt { id: id.clone(), position: place(n) });
            let durability = stored.then_some(Durability::Disk);
            let published = Published { receipts: receipts.collect(), durability };
            let receipt = |receipt: &Receipt| proto::Receipt {
                id: receipt.id.clone(),
                position: receipt.position.map(|position| proto::Position {
                    topic: name.clone(),
                    epoch: position.epoch,
                    sequence: position.sequence,
                }),
                duplicate: false,
            };
            let response = proto::PublishResponse {
                receipts: published.receipts.iter().map(receipt).collect(),
                durability: broker::durability(&published).into(),
            };
            let message = PublishStreamResponse { request_id, result: Some(Told::Published(response)) };
            let reply = Reply { request_id, result: Ok((topic, published)) };
            prop_assert_eq!(reply.encode_to_vec(), message.encode_to_vec());
        }
    }

    #[test]
    fn a_refusal_is_the_failure_of_the_proto() {
        let reply = Reply::from(Answer { tag: 7, result: Err(PublishError::Empty) });
        let message = PublishStreamResponse::decode(reply.encode_to_vec().as_slice());
        let message = message.expect("a message");
        let Some(Told::Failure(failure)) = message.result else { panic!("{message:?}") };
        assert_eq!((message.request_id, failure.reason.as_str()), (7, "BATCH_EMPTY"));
    }
}
