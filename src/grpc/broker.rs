//! Publish and Subscribe: translate in, translate out.

use std::{panic::AssertUnwindSafe, pin::Pin, sync::Arc, time::Duration};

use futures_util::{FutureExt, Stream, StreamExt, stream};
use tokio::time::Instant;
use tonic::{Request, Response, Status, Streaming, async_trait, metadata::MetadataMap};
use tracing::error;

use super::{
    publish_stream,
    replies::{PublishResponse, PublishStreamResponse},
    requests::{PublishRequest, PublishStreamRequest},
    server::broker_server,
    status,
    subscribe::{self, NoMessages},
};
use crate::{
    backend::Durability,
    broker::{Broker, Publish, PublishError},
    compression::Compression,
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
    /// How answers of Subscribe may be compressed, the best first.
    pub(super) compressions: Arc<[Compression]>,
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[async_trait]
impl broker_server::Broker for BrokerService {
    async fn publish(
        &self,
        request: Request<PublishRequest>,
    ) -> Result<Response<PublishResponse>, Status> {
        publish(&self.broker, request.into_inner()).await.map(Response::new)
    }

    type PublishStreamStream = Answers<PublishStreamResponse>;

    async fn publish_stream(
        &self,
        request: Request<Streaming<PublishStreamRequest>>,
    ) -> Result<Response<Self::PublishStreamStream>, Status> {
        let deadline = deadline(request.metadata());
        let pipeline = self.broker.pipeline(ANONYMOUS).map_err(status::pipeline)?;
        let answers = publish_stream::answers(pipeline, request.into_inner());
        Ok(Response::new(match deadline {
            None => answers.boxed(),
            Some(deadline) => until(deadline, answers).boxed(),
        }))
    }

    type SubscribeStream = NoMessages;

    async fn subscribe(
        &self,
        request: Request<proto::SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let deadline = deadline(request.metadata());
        let compression = subscribe::compression(request.metadata(), &self.compressions);
        let request = Subscribe::try_from(request.into_inner()).map_err(status::subscribe)?;
        let request = Subscribe { compression, ..request };
        let subscription = whole(self.broker.subscribe(request)).await?;
        let subscription = subscription.map_err(status::subscribe)?;
        Ok(subscribe::answer(subscription, deadline))
    }
}

/// The answer to a unary publish, whichever way it came.
pub(super) async fn publish(
    broker: &Broker,
    request: PublishRequest,
) -> Result<PublishResponse, Status> {
    let topic = request.topic.parse();
    let topic: Topic = topic.map_err(|error| status::publish(PublishError::Topic(error)))?;
    let request = asked(topic.clone(), request).map_err(status::publish)?;
    let published = whole(broker.publish(ANONYMOUS, request)).await?.map_err(status::publish)?;
    Ok(PublishResponse { topic, published })
}

/// What is asked for; the topic was read before.
pub(super) fn asked(topic: Topic, request: PublishRequest) -> Result<Publish, PublishError> {
    let PublishRequest { topic: _, events, expected_last, validate_only } = request;
    let elsewhere = |last: &proto::Position| !last.topic.is_empty() && last.topic != topic.as_str();
    if expected_last.as_ref().is_some_and(elsewhere) {
        return Err(PublishError::ExpectedElsewhere { topic });
    }
    let expected_last = expected_last.map(|last| Position::new(last.epoch, last.sequence));
    Ok(Publish { topic, events, validate_only, expected_last })
}

impl From<Durability> for proto::Durability {
    fn from(durability: Durability) -> proto::Durability {
        match durability {
            Durability::Live => proto::Durability::Live,
            Durability::Memory => proto::Durability::Memory,
            Durability::Disk => proto::Durability::Disk,
            Durability::Replicated => proto::Durability::Replicated,
        }
    }
}

/// A panic ends this call alone, and the client hears of it.
async fn whole<T>(call: impl Future<Output = T>) -> Result<T, Status> {
    AssertUnwindSafe(call).catch_unwind().await.map_err(|_| {
        error!("BUG: a call panicked");
        status::bug()
    })
}

/// tonic honours a client's deadline only until the answer begins.
fn until<T: Send>(
    deadline: Instant,
    answers: impl Stream<Item = Result<T, Status>> + Send,
) -> impl Stream<Item = Result<T, Status>> + Send {
    let over = stream::once(async move {
        tokio::time::sleep_until(deadline).await;
        Err(status::stream_deadline())
    });
    // The first error is the last item; a stream that ends by itself ends both.
    let answers = answers.map(Some).chain(stream::once(async { None }));
    let mut ended = false;
    stream::select(answers, over.map(Some))
        .take_while(move |item| {
            let go_on = item.is_some() && !ended;
            ended |= matches!(item, Some(Err(_)));
            std::future::ready(go_on)
        })
        .filter_map(std::future::ready)
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
