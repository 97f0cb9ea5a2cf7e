//! A facade as a good team writes it: one connection to Redis listens for everybody, an event is decoded
//! once and handed on in tokio's broadcast, and prost encodes the response of each subscriber.

use std::{collections::HashMap, env, net::SocketAddr, pin::Pin, sync::Arc};

use futures_util::StreamExt as _;
use prost::Message as _;
use redis::{
    AsyncCommands as _,
    aio::{PubSubSink, PubSubStream},
};
use tidings_benches::v1::{
    Event, Opened, PublishRequest, PublishResponse, PublishStreamRequest, PublishStreamResponse,
    Receipt, SubscribeRequest, SubscribeResponse,
    broker_server::{Broker, BrokerServer},
    subscribe_response::Control,
};
use tokio::sync::{Mutex, broadcast};
use tokio_stream::{
    Stream,
    wrappers::{BroadcastStream, errors::BroadcastStreamRecvError},
};
use tonic::{Request, Response, Status, Streaming, transport::Server};

/// What a subscriber may be behind before it is cut off.
const QUEUED: usize = 16 * 1024;

struct Facade {
    publisher: redis::aio::MultiplexedConnection,
    topics: Arc<Mutex<Topics>>,
}

struct Topics {
    listener: PubSubSink,
    channels: HashMap<String, broadcast::Sender<SubscribeResponse>>,
}

type Responses<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

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

    type PublishStreamStream = Responses<PublishStreamResponse>;

    async fn publish_stream(
        &self,
        _: Request<Streaming<PublishStreamRequest>>,
    ) -> Result<Response<Self::PublishStreamStream>, Status> {
        Err(Status::unimplemented("publish with unary calls"))
    }

    type SubscribeStream = Responses<SubscribeResponse>;

    async fn subscribe(
        &self,
        request: Request<SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let topics = request.into_inner().topics;
        let [topic] = &topics[..] else {
            return Err(Status::invalid_argument("one topic, please"));
        };
        let events = self.topics.lock().await.join(topic).await.map_err(unavailable)?;
        let opened = Control::Opened(Opened::default());
        let opened = SubscribeResponse { control: Some(opened), ..Default::default() };
        let events = BroadcastStream::new(events).map(|event| {
            event.map_err(|BroadcastStreamRecvError::Lagged(count)| {
                Status::data_loss(format!("too slow: {count} events were missed"))
            })
        });
        let responses = tokio_stream::once(Ok(opened)).chain(events);
        Ok(Response::new(Box::pin(responses)))
    }
}

impl Topics {
    async fn join(
        &mut self,
        topic: &str,
    ) -> redis::RedisResult<broadcast::Receiver<SubscribeResponse>> {
        if let Some(channel) = self.channels.get(topic) {
            return Ok(channel.subscribe());
        }
        let (send, receive) = broadcast::channel(QUEUED);
        self.channels.insert(topic.to_owned(), send);
        self.listener.subscribe(topic).await?;
        Ok(receive)
    }
}

async fn listen(mut messages: PubSubStream, topics: Arc<Mutex<Topics>>) {
    while let Some(message) = messages.next().await {
        let Ok(event) = Event::decode(message.get_payload_bytes()) else { continue };
        let response = SubscribeResponse { events: vec![event], control: None };
        if let Some(channel) = topics.lock().await.channels.get(message.get_channel_name()) {
            // Nobody may be there any more.
            let _ = channel.send(response);
        }
    }
}

fn unavailable(error: redis::RedisError) -> Status {
    Status::unavailable(error.to_string())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut args = env::args().skip(1);
    let (Some(address), Some(redis)) = (args.next(), args.next()) else {
        anyhow::bail!("usage: bench-usual LISTEN REDIS_URL");
    };
    let address: SocketAddr = address.parse()?;
    let redis = redis::Client::open(redis)?;
    let publisher = redis.get_multiplexed_async_connection().await?;
    let (listener, messages) = redis.get_async_pubsub().await?.split();
    let topics = Arc::new(Mutex::new(Topics { listener, channels: HashMap::new() }));
    tokio::spawn(listen(messages, Arc::clone(&topics)));
    let facade = BrokerServer::new(Facade { publisher, topics });
    Server::builder().tcp_nodelay(true).add_service(facade).serve(address).await?;
    Ok(())
}
