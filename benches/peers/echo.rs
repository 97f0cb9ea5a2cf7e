//! Bare tonic: a Publish that is decoded and answered with receipts, and goes nowhere.

use std::{env, net::SocketAddr, pin::Pin};

use tidings_benches::v1::{
    Durability, Position, PublishRequest, PublishResponse, PublishStreamRequest,
    PublishStreamResponse, Receipt, SubscribeRequest, SubscribeResponse,
    broker_server::{Broker, BrokerServer},
};
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming, transport::Server};

struct Echo;

type Responses<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Broker for Echo {
    async fn publish(
        &self,
        request: Request<PublishRequest>,
    ) -> Result<Response<PublishResponse>, Status> {
        let PublishRequest { topic, events, .. } = request.into_inner();
        let receipt = |event: tidings_benches::v1::Event| Receipt {
            id: event.id,
            position: Some(Position { topic: topic.clone(), epoch: 1 << 50, sequence: 1 << 20 }),
            duplicate: false,
        };
        let receipts = events.into_iter().map(receipt).collect();
        let durability = Durability::Live.into();
        Ok(Response::new(PublishResponse { receipts, durability }))
    }

    type PublishStreamStream = Responses<PublishStreamResponse>;

    async fn publish_stream(
        &self,
        _: Request<Streaming<PublishStreamRequest>>,
    ) -> Result<Response<Self::PublishStreamStream>, Status> {
        Err(Status::unimplemented("only Publish"))
    }

    type SubscribeStream = Responses<SubscribeResponse>;

    async fn subscribe(
        &self,
        _: Request<SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        Err(Status::unimplemented("only Publish"))
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Some(listen) = env::args().nth(1) else { anyhow::bail!("usage: bench-echo LISTEN") };
    let listen: SocketAddr = listen.parse()?;
    let echo = BrokerServer::new(Echo);
    Server::builder().tcp_nodelay(true).add_service(echo).serve(listen).await?;
    Ok(())
}
