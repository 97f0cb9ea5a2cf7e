//! Publish and Subscribe: translate in, translate out.

use std::{panic::AssertUnwindSafe, pin::Pin, time::Duration};

use futures_util::{FutureExt, Stream};
use tokio::time::Instant;
use tonic::{Request, Response, Status, Streaming, async_trait, metadata::MetadataMap};
use tracing::error;

use super::{
    server::broker_server,
    status,
    subscribe::{self, NoMessages},
};
use crate::{
    broker::{Broker, Publish, PublishError, Published},
    position::Position,
    proto,
    subscription::Subscribe,
    topic::Topic,
};

/// Who speaks, where nobody said who it is.
const ANONYMOUS: &str = "/anonymous";

#[derive(Debug)]
pub(super) struct BrokerService {
    pub(super) broker: Broker,
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[async_trait]
impl broker_server::Broker for BrokerService {
    async fn publish(
        &self,
        request: Request<proto::PublishRequest>,
    ) -> Result<Response<proto::PublishResponse>, Status> {
        let proto::PublishRequest { topic, events, expected_last, validate_only } =
            request.into_inner();
        let topic: Topic =
            topic.parse().map_err(|error| status::publish(PublishError::Topic(error)))?;
        let expected_last = expected_last.map(|last| Position::new(last.epoch, last.sequence));
        let request = Publish { topic: topic.clone(), events, validate_only, expected_last };
        let published = whole(self.broker.publish(ANONYMOUS, request)).await?;
        Ok(Response::new(response(&topic, published.map_err(status::publish)?)))
    }

    type PublishStreamStream = Answers<proto::PublishStreamResponse>;

    async fn publish_stream(
        &self,
        _request: Request<Streaming<proto::PublishStreamRequest>>,
    ) -> Result<Response<Self::PublishStreamStream>, Status> {
        Err(status::feature_off("Broker.PublishStream"))
    }

    type SubscribeStream = NoMessages;

    async fn subscribe(
        &self,
        request: Request<proto::SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let deadline = deadline(request.metadata());
        let request = Subscribe::try_from(request.into_inner()).map_err(status::subscribe)?;
        let subscription = whole(self.broker.subscribe(request)).await?;
        let subscription = subscription.map_err(status::subscribe)?;
        Ok(subscribe::answer(subscription, deadline))
    }
}

fn response(topic: &Topic, published: Published) -> proto::PublishResponse {
    let stored = published.receipts.iter().any(|receipt| receipt.position.is_some());
    let durability = if stored { proto::Durability::Live } else { proto::Durability::Unspecified };
    let receipt = |receipt: crate::broker::Receipt| proto::Receipt {
        id: receipt.id,
        position: receipt.position.map(|position| proto::Position {
            topic: topic.to_string(),
            epoch: position.epoch,
            sequence: position.sequence,
        }),
        duplicate: false,
    };
    proto::PublishResponse {
        receipts: published.receipts.into_iter().map(receipt).collect(),
        durability: durability.into(),
    }
}

/// A panic ends this call alone, and the client hears of it.
async fn whole<T>(call: impl Future<Output = T>) -> Result<T, Status> {
    AssertUnwindSafe(call).catch_unwind().await.map_err(|_| {
        error!("BUG: a call panicked");
        status::bug()
    })
}

/// `grpc-timeout`: up to eight digits and a unit.
fn deadline(metadata: &MetadataMap) -> Option<Instant> {
    let timeout = metadata.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = timeout.split_at_checked(timeout.len().checked_sub(1)?)?;
    let count: u64 = digits.parse().ok().filter(|_| digits.len() <= 8)?;
    let timeout = match unit {
        "H" => Duration::from_secs(count * 3600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    };
    Instant::now().checked_add(timeout)
}
