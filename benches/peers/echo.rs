//! Bare tonic: a Publish that is decoded and answered with receipts, and goes nowhere.

use std::{env, net::SocketAddr, pin::Pin};

use tidings_benches::v1::{
    Durability, Event, Position, PublishRequest, PublishResponse, PublishStreamRequest,
    PublishStreamResponse, Receipt, SubscribeRequest, SubscribeResponse,
    broker_server::{Broker, BrokerServer},
    publish_stream_response::Result as Answer,
};
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming, transport::Server};

struct Echo;

type Responses<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Broker for Echo {
    async fn publish(
        &self,
        request: Request<PublishRequest>,
    ) -> Result<Response<PublishResponse>, Status> {
        Ok(Response::new(receipts(request.into_inner())))
    }

    type PublishStreamStream = Responses<PublishStreamResponse>;

    async fn publish_stream(
        &self,
        request: Request<Streaming<PublishStreamRequest>>,
    ) -> Result<Response<Self::PublishStreamStream>, Status> {
        let answers = request.into_inner().map(|request| {
            let PublishStreamRequest { request_id, publish } = request?;
            let published = receipts(publish.unwrap_or_default());
            Ok(PublishStreamResponse { request_id, result: Some(Answer::Published(published)) })
        });
        Ok(Response::new(Box::pin(answers)))
    }

    type SubscribeStream = Responses<SubscribeResponse>;

    async fn subscribe(
        &self,
        _: Request<SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        Err(Status::unimplemented("nothing is delivered"))
    }
}

fn receipts(request: PublishRequest) -> PublishResponse {
    let PublishRequest { topic, events, .. } = request;
    let receipt = |event: Event| Receipt {
        id: event.id,
        position: Some(Position { topic: topic.clone(), epoch: 1 << 50, sequence: 1 << 20 }),
        duplicate: false,
    };
    let receipts = events.into_iter().map(receipt).collect();
    PublishResponse { receipts, durability: Durability::Live.into() }
}

// On one thread, as the broker serves the one connection that publishes: like is compared with like.
#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let Some(listen) = env::args().nth(1) else { anyhow::bail!("usage: bench-echo LISTEN") };
    let listen: SocketAddr = listen.parse()?;
    let echo = BrokerServer::new(Echo);
    Server::builder().tcp_nodelay(true).add_service(echo).serve(listen).await?;
    Ok(())
}
