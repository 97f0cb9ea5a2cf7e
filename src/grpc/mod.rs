//! The edge to gRPC clients: translates in, translates out. Only here is tonic named.

mod accept;
mod admin;
mod broker;
pub mod client;
mod codec;
mod front;
mod intake;
mod publish;
pub mod publish_stream;
mod reflection;
pub mod replies;
pub mod requests;
pub mod schema_messages;
mod schemas;
pub mod status;
mod subscribe;
mod threads;
mod topics;
pub mod web;

use std::{io, num::NonZeroUsize, sync::Arc, time::Duration};

use futures_util::{Stream, StreamExt as _, stream};
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream},
    net::TcpListener,
};
use tokio_util::sync::CancellationToken;
use tonic::{
    body::Body,
    codec::CompressionEncoding,
    service::Routes,
    transport::{Server, server::Connected},
};
use tonic_health::{
    ServingStatus,
    pb::health_server::HealthServer,
    server::{HealthReporter, HealthService},
};
use tonic_web::GrpcWebLayer;
use tower::{
    Layer as _, ServiceBuilder,
    util::{MapRequestLayer, MapResponseLayer, option_layer},
};
use tracing::{info, warn};

pub use self::threads::ThreadError;
use self::{
    accept::Door,
    admin::{AdminService, WorkersService},
    broker::BrokerService,
    front::Front,
    intake::Intake,
    reflection::Reflections,
    schemas::SchemasService,
    server::{
        admin_server::AdminServer, broker_server::BrokerServer, schemas_server::SchemasServer,
        workers_server::WorkersServer,
    },
    threads::Threads,
    web::WebOrigin,
};
use crate::{
    broker::Broker,
    compression::Compression,
    hub::Ringer,
    limits::{
        CONNECTION_RESETS_MAX, CONNECTION_STREAMS_MAX, GRPC_MESSAGE_BYTES_MAX,
        SCHEMA_REQUEST_BYTES_MAX,
    },
};

/// The services' side, as generated.
#[allow(
    clippy::all,
    clippy::allow_attributes_without_reason,
    missing_debug_implementations,
    unreachable_pub,
    reason = "generated code is not ours to style"
)]
pub mod server {
    include!(concat!(env!("OUT_DIR"), "/servers/tidings.v1.rs"));
}

/// Between a ping and the end of a connection that does not answer.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// What one connection may send ahead: for publishers far away.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
/// What connections get to say goodbye after the streams have had their grace.
const GOODBYE: Duration = Duration::from_secs(2);

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("the gRPC server stopped: {0}")]
    Threads(#[from] ThreadError),
    #[error("the listener has no address: {0}")]
    Listener(#[from] io::Error),
}

/// How to serve.
#[derive(Debug, Clone, Default)]
pub struct Serving {
    /// How long streams get to move elsewhere when the server stops.
    pub grace: Duration,
    /// Which pages may speak gRPC-Web; none: nobody speaks it.
    pub web_origins: Vec<WebOrigin>,
    /// How answers of Subscribe are compressed for clients that take it, the best first; none: not at
    /// all.
    pub compressions: Vec<Compression>,
    /// How many threads serve connections, beside the caller's runtime; none: that runtime does.
    pub threads: Option<NonZeroUsize>,
}

/// What every connection is offered.
#[derive(Debug, Clone)]
struct Services {
    broker: Broker,
    health: HealthServer<HealthService>,
    reflections: Reflections,
    intake: Intake,
    origins: Option<web::Origins>,
    compressions: Arc<[Compression]>,
}

/// Serves on `listener` until `stop` is ready; then tells every stream to go elsewhere within
/// `grace`, still serving, and returns some seconds after that at the latest, whatever clients do.
pub async fn serve(
    broker: Broker,
    listener: TcpListener,
    Serving { grace, web_origins, compressions, threads }: Serving,
    stop: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    let address = listener.local_addr()?;
    let health = HealthReporter::new();
    health.set_service_status("tidings.v1.Broker", ServingStatus::Serving).await;
    let services = Services::new(broker.clone(), &health, web_origins, compressions);
    let close = CancellationToken::new();
    let _closed = close.clone().drop_guard();
    let door = Door::new(listener, accept::Bounds::default());
    let serving = async {
        let Some(threads) = threads else {
            let connections = door.connections();
            let served = services.serve(connections, close.clone().cancelled_owned());
            return served.await.map_err(ThreadError::from);
        };
        Threads::start(&services, door, threads.get(), close.clone())?.ended().await
    };
    info!(%address, "serving gRPC");

    let goodbye = async {
        stop.await;
        for service in ["", "tidings.v1.Broker"] {
            health.set_service_status(service, ServingStatus::NotServing).await;
        }
        broker.drain(grace).await;
        close.cancel();
        // tonic waits for every connection without end, and one client that never reads is
        // enough to hold one.
        tokio::time::sleep(GOODBYE).await;
    };
    tokio::select! {
        // In no order: either the server is done or the time is over.
        served = serving => served?,
        () = goodbye => warn!("connections were cut: their clients did not take what was sent"),
    }
    Ok(())
}

/// Serves one connection that came through no door: an end of a pipe in memory, for whoever measures.
/// Goes on until it is dropped.
pub async fn serve_pipe(broker: Broker, pipe: DuplexStream) -> Result<(), ServeError> {
    let services = Services::new(broker, &HealthReporter::new(), Vec::new(), Vec::new());
    // Where no other could come, tonic would ask this one to go.
    let connections = stream::iter([Ok(pipe)]).chain(stream::pending());
    let served = services.serve(connections, std::future::pending()).await;
    Ok(served.map_err(ThreadError::from)?)
}

impl Services {
    fn new(
        broker: Broker,
        health: &HealthReporter,
        origins: Vec<WebOrigin>,
        compressions: Vec<Compression>,
    ) -> Services {
        Services {
            reflections: Reflections::new(broker.registry()),
            broker,
            health: HealthServer::new(HealthService::from_health_reporter(health.clone())),
            intake: Intake::default(),
            origins: (!origins.is_empty()).then(|| web::Origins::new(origins)),
            compressions: compressions.into(),
        }
    }

    /// For a thread of its own.
    fn with_ringer(&self, ringer: Ringer) -> Services {
        Services { broker: self.broker.with_ringer(ringer), ..self.clone() }
    }

    /// Serves the connections on the runtime of the caller. After `close` it takes no more, and
    /// returns when those that are open have ended.
    async fn serve<C>(
        self,
        connections: impl Stream<Item = io::Result<C>>,
        close: impl Future<Output = ()>,
    ) -> Result<(), tonic::transport::Error>
    where
        C: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
    {
        let Services { broker, health, reflections, intake, origins, compressions } = self;
        let (reflection_v1, reflection_v1alpha) = reflections.servers();
        let web = origins.map(|origins| {
            ServiceBuilder::new()
                .layer(web::cors(origins.clone()))
                .layer(web::guard(origins))
                .layer(MapRequestLayer::new(web::uncompressed))
                .layer(GrpcWebLayer::new())
                .into_inner()
        });
        let accepts_http1 = web.is_some();
        let bodies = ServiceBuilder::new()
            .layer(MapRequestLayer::new(move |request: http::Request<Body>| {
                request.map(|body| intake.bound(body))
            }))
            .layer(MapResponseLayer::new(subscribe::with_frames))
            .into_inner();
        let broker_server =
            BrokerServer::new(BrokerService { broker: broker.clone(), compressions })
                .accept_compressed(CompressionEncoding::Gzip)
                .accept_compressed(CompressionEncoding::Zstd)
                .max_decoding_message_size(GRPC_MESSAGE_BYTES_MAX);
        let all = Routes::new(health)
            .add_service(reflection_v1)
            .add_service(reflection_v1alpha)
            .add_service(broker_server.clone())
            .add_service(
                AdminServer::new(AdminService { broker: broker.clone() })
                    .accept_compressed(CompressionEncoding::Gzip)
                    .accept_compressed(CompressionEncoding::Zstd),
            )
            .add_service(
                WorkersServer::new(WorkersService)
                    .accept_compressed(CompressionEncoding::Gzip)
                    .accept_compressed(CompressionEncoding::Zstd),
            )
            .add_service(
                SchemasServer::new(SchemasService { broker: broker.clone() })
                    .max_decoding_message_size(SCHEMA_REQUEST_BYTES_MAX)
                    .accept_compressed(CompressionEncoding::Gzip)
                    .accept_compressed(CompressionEncoding::Zstd),
            );
        let rest = option_layer(web).layer(bodies.layer(all.prepare()));
        Server::builder()
            .accept_http1(accepts_http1)
            .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
            .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
            .max_concurrent_streams(CONNECTION_STREAMS_MAX)
            // Unless it is told, tonic tells hyper that there is no bound.
            .http2_max_local_error_reset_streams(Some(CONNECTION_RESETS_MAX))
            // Honest clients may leave all of their streams at once, before we have looked at one.
            .http2_max_pending_accept_reset_streams(Some(CONNECTION_STREAMS_MAX as usize))
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .serve_with_incoming_shutdown(
                Front::new(broker, bodies.layer(broker_server), rest),
                connections,
                close,
            )
            .await
    }
}
