//! A facade as it is first written: each subscriber has a Redis connection of its own, and what comes on it
//! is decoded, put into a response and encoded, for each anew.

use std::{env, net::SocketAddr, pin::Pin};

use futures_util::StreamExt as _;
use prost::Message as _;
use redis::AsyncCommands as _;
use tidings_benches::v1::{
    Event, Opened, PublishRequest, PublishResponse, PublishStreamRequest, PublishStreamResponse,
    Receipt, SubscribeRequest, SubscribeResponse,
    broker_server::{Broker, BrokerServer},
    subscribe_response::Control,
};
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::{Request, Response, Status, Streaming, transport::Server};

/// What a subscriber may be behind before its connection to Redis is not read any more.
const QUEUED: usize = 256;

struct Facade {
    redis: redis::Client,
    publisher: redis::aio::MultiplexedConnection,
}

#[tonic::async_trait]
impl Broker for Facade {
    async fn publish(
        &self,
        request: Request<PublishRequest>,
    ) -> Result<Response<PublishResponse>, Status> {
        let PublishRequest { topic, events, .. } = request.into_inner();
        let mut publisher = self.publisher.clone();
        let mut receipts = Vec::with_capacity(events.len());
        for event in events {
            let id = event.id.clone();
            let sent = publisher.publish(&topic, event.encode_to_vec()).await;
            let () = sent.map_err(unavailable)?;
            receipts.push(Receipt { id, ..Receipt::default() });
        }
        Ok(Response::new(PublishResponse { receipts, ..PublishResponse::default() }))
    }

    type PublishStreamStream =
        Pin<Box<dyn Stream<Item = Result<PublishStreamResponse, Status>> + Send>>;

    async fn publish_stream(
        &self,
        _: Request<Streaming<PublishStreamRequest>>,
    ) -> Result<Response<Self::PublishStreamStream>, Status> {
        Err(Status::unimplemented("publish with unary calls"))
    }

    type SubscribeStream = ReceiverStream<Result<SubscribeResponse, Status>>;

    async fn subscribe(
        &self,
        request: Request<SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let topics = request.into_inner().topics;
        let mut pubsub = self.redis.get_async_pubsub().await.map_err(unavailable)?;
        for topic in &topics {
            pubsub.subscribe(topic).await.map_err(unavailable)?;
        }
        let (send, receive) = tokio::sync::mpsc::channel(QUEUED);
        tokio::spawn(async move {
            let opened = Control::Opened(Opened::default());
            let opened = SubscribeResponse { control: Some(opened), ..Default::default() };
            if send.send(Ok(opened)).await.is_err() {
                return;
            }
            let mut messages = pubsub.into_on_message();
            while let Some(message) = messages.next().await {
                let event = Event::decode(message.get_payload_bytes());
                let response = match event {
                    Ok(event) => Ok(SubscribeResponse { events: vec![event], control: None }),
                    Err(error) => Err(Status::data_loss(error.to_string())),
                };
                if send.send(response).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(receive)))
    }
}

fn unavailable(error: redis::RedisError) -> Status {
    Status::unavailable(error.to_string())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut args = env::args().skip(1);
    let (Some(listen), Some(redis)) = (args.next(), args.next()) else {
        anyhow::bail!("usage: bench-naive LISTEN REDIS_URL");
    };
    let listen: SocketAddr = listen.parse()?;
    let redis = redis::Client::open(redis)?;
    let publisher = redis.get_multiplexed_async_connection().await?;
    let facade = BrokerServer::new(Facade { redis, publisher });
    Server::builder().tcp_nodelay(true).add_service(facade).serve(listen).await?;
    Ok(())
}
