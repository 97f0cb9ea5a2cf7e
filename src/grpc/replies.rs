//! Answers to publishes, written as bytes from what the broker says: without a message for each
//! receipt and a copy of the topic's name in it.

use bytes::{Buf, BufMut};
use prost::{
    DecodeError, Message,
    encoding::{self, DecodeContext, WireType},
};

use super::status;
use crate::{
    broker::{Answer, Published, Receipt},
    position::Position,
    proto::{Durability, publish_stream_response::Failure},
    topic::Topic,
};

/// `tidings.v1.PublishResponse`, to be written.
#[derive(Debug)]
pub struct PublishResponse {
    pub topic: Topic,
    pub published: Published,
}

/// `tidings.v1.PublishStreamResponse`, to be written.
#[derive(Debug)]
pub struct PublishStreamResponse {
    request_id: u64,
    result: Result<PublishResponse, Box<Failure>>,
}

impl From<Answer> for PublishStreamResponse {
    fn from(Answer { tag, result }: Answer) -> PublishStreamResponse {
        let result = result.map(|(topic, published)| PublishResponse { topic, published });
        let result = result.map_err(|error| Box::new(status::failure(&status::publish(error))));
        PublishStreamResponse { request_id: tag, result }
    }
}

impl Message for PublishResponse {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        for receipt in &self.published.receipts {
            put_receipt(&self.topic, receipt, buf);
        }
        put_number(2, durability(&self.published), buf); // durability
    }

    fn encoded_len(&self) -> usize {
        let receipts = self.published.receipts.iter();
        let receipts = receipts.map(|receipt| delimited_len(receipt_len(&self.topic, receipt)));
        receipts.sum::<usize>() + number_len(durability(&self.published))
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

impl Message for PublishStreamResponse {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        put_number(1, self.request_id, buf); // request_id
        match &self.result {
            Ok(published) => {
                put_key(2, published.encoded_len(), buf); // published
                published.encode_raw(buf);
            }
            Err(failure) => encoding::message::encode(3, &**failure, buf),
        }
    }

    fn encoded_len(&self) -> usize {
        let result = match &self.result {
            Ok(published) => delimited_len(published.encoded_len()),
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

/// What was reached: nothing, where the request was only checked.
fn durability(published: &Published) -> u64 {
    let reached = published.durability.map_or(Durability::Unspecified, Durability::from);
    i32::from(reached).unsigned_abs().into()
}

fn put_receipt(topic: &Topic, receipt: &Receipt, buf: &mut impl BufMut) {
    put_key(1, receipt_len(topic, receipt), buf); // PublishResponse.receipts
    put_key(1, receipt.id.len(), buf); // id
    buf.put_slice(receipt.id.as_bytes());
    if let Some(position) = receipt.position {
        put_key(2, position_len(topic, position), buf); // position
        put_key(1, topic.as_str().len(), buf);
        buf.put_slice(topic.as_str().as_bytes());
        put_number(2, position.epoch, buf);
        put_number(3, position.sequence, buf);
    }
    put_number(3, receipt.duplicate.into(), buf); // duplicate
}

fn receipt_len(topic: &Topic, receipt: &Receipt) -> usize {
    let position = receipt.position.map(|position| delimited_len(position_len(topic, position)));
    delimited_len(receipt.id.len())
        + position.unwrap_or_default()
        + number_len(receipt.duplicate.into())
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
        backend,
        broker::PublishError,
        proto::{self, publish_stream_response::Result as Told},
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
            let receipts = (0..).zip(&ids).map(|(n, id)| Receipt {
                id: id.clone(),
                position: place(n),
                duplicate: n % 2 == 1,
            });
            let durability = stored.then_some(backend::Durability::Disk);
            let published = Published { receipts: receipts.collect(), durability };
            let receipt = |receipt: &Receipt| proto::Receipt {
                id: receipt.id.clone(),
                position: receipt.position.map(|position| proto::Position {
                    topic: name.clone(),
                    epoch: position.epoch,
                    sequence: position.sequence,
                }),
                duplicate: receipt.duplicate,
            };
            let stored =
                if stored { Durability::Disk } else { Durability::Unspecified };
            let response = proto::PublishResponse {
                receipts: published.receipts.iter().map(receipt).collect(),
                durability: stored.into(),
            };
            let reply = PublishResponse { topic, published };
            prop_assert_eq!(reply.encode_to_vec(), response.encode_to_vec());
            let result = Some(Told::Published(response));
            let message = proto::PublishStreamResponse { request_id, result };
            let reply = PublishStreamResponse { request_id, result: Ok(reply) };
            prop_assert_eq!(reply.encode_to_vec(), message.encode_to_vec());
        }
    }

    #[test]
    fn a_refusal_is_the_failure_of_the_proto() {
        let reply =
            PublishStreamResponse::from(Answer { tag: 7, result: Err(PublishError::Empty) });
        let message = proto::PublishStreamResponse::decode(reply.encode_to_vec().as_slice());
        let message = message.expect("a message");
        let Some(Told::Failure(failure)) = message.result else { panic!("{message:?}") };
        assert_eq!((message.request_id, failure.reason.as_str()), (7, "BATCH_EMPTY"));
    }
}
