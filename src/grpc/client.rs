//! A client of our own services, for whoever must not name tonic: the command line, the examples
//! and the tests. It turns statuses into [`CallError`]s and adds nothing else: no retry, no resume.

use std::{collections::BTreeMap, fmt, time::Duration};

use prost::Message;
use prost_types::FieldMask;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Code, Request, Status, Streaming,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_prost::ProstCodec;
use tonic_types::StatusExt;

use crate::{
    grpc::schema_messages::{RegisterSchemaRequest, Schema},
    limits::{GRPC_MESSAGE_BYTES_MAX, SCHEMA_REQUEST_BYTES_MAX},
    proto::{
        CreateTopicRequest, DeleteSchemaRequest, DeleteTopicRequest, GetSchemaRequest,
        GetTopicRequest, ListSchemasRequest, ListSchemasResponse, ListTopicsRequest,
        ListTopicsResponse, PublishRequest, PublishResponse, PublishStreamRequest,
        PublishStreamResponse, SubscribeRequest, SubscribeResponse, Topic, UpdateTopicRequest,
        publish_stream_response::Failure,
    },
};

#[allow(
    clippy::all,
    clippy::allow_attributes_without_reason,
    missing_debug_implementations,
    unreachable_pub,
    reason = "generated code is not ours to style"
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/clients/tidings.v1.rs"));
}

pub use generated::{
    admin_client::AdminClient, broker_client::BrokerClient, schemas_client::SchemasClient,
};

/// A connection to a broker; clones share it. It reconnects on its own when it is used again.
#[derive(Debug, Clone)]
pub struct Client {
    channel: Channel,
    broker: BrokerClient<Channel>,
    admin: AdminClient<Channel>,
    schemas: SchemasClient<Channel>,
    health: HealthClient<Channel>,
}

/// What a Subscribe call answers, frame by frame.
#[derive(Debug)]
pub struct Frames<F = SubscribeResponse>(Streaming<F>);

/// What a PublishStream call answers, in the order of its requests.
#[derive(Debug)]
pub struct PublishAnswers(Streaming<PublishStreamResponse>);

/// A call failed: the status, taken apart.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub struct CallError {
    /// As gRPC names it: `UNAVAILABLE`.
    pub code: &'static str,
    /// Ours, such as `TOPIC_INVALID`; empty where the error is not the broker's own.
    pub reason: Box<str>,
    pub message: Box<str>,
    /// The dynamic parts of the reason.
    pub metadata: BTreeMap<String, String>,
    /// What is wrong with the request: a field, or what has to be otherwise first, and why.
    pub violations: Vec<(String, String)>,
    /// When to try again, where the broker said so.
    pub retry_after: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    Serving,
    NotServing,
    Unknown,
}

impl Client {
    /// `address`: `127.0.0.1:7070`, or with `http://` before it.
    pub async fn connect(address: &str, deadline: Duration) -> Result<Client, CallError> {
        let uri =
            if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
        let endpoint = Endpoint::from_shared(uri)
            .map_err(|_| CallError::address(address))?
            .connect_timeout(deadline)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(Duration::from_secs(10))
            .keep_alive_timeout(Duration::from_secs(5))
            // What a busy subscriber may be sent before it has to answer.
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(4 << 20)
            .user_agent(concat!("tidings-cli/", env!("CARGO_PKG_VERSION")))
            .map_err(|_| CallError::address(address))?;
        let channel =
            endpoint.connect().await.map_err(|error| CallError::connect(address, &error))?;
        Ok(Client {
            broker: BrokerClient::new(channel.clone())
                .max_decoding_message_size(GRPC_MESSAGE_BYTES_MAX)
                .max_encoding_message_size(GRPC_MESSAGE_BYTES_MAX),
            admin: AdminClient::new(channel.clone())
                .max_decoding_message_size(GRPC_MESSAGE_BYTES_MAX),
            schemas: SchemasClient::new(channel.clone())
                .max_decoding_message_size(SCHEMA_REQUEST_BYTES_MAX),
            health: HealthClient::new(channel.clone()),
            channel,
        })
    }

    pub async fn publish(&mut self, request: PublishRequest) -> Result<PublishResponse, CallError> {
        Ok(self.broker.publish(request).await?.into_inner())
    }

    /// Returns when the broker answered; its first frame is `Opened`.
    pub async fn subscribe(&mut self, request: SubscribeRequest) -> Result<Frames, CallError> {
        Ok(Frames(self.broker.subscribe(request).await?.into_inner()))
    }

    /// [`Client::subscribe`], with frames read as `F`: a message with fewer fields than the API's
    /// costs less to read, for whoever does not need them.
    pub async fn subscribe_as<F: Message + Default + Send + 'static>(
        &mut self,
        request: SubscribeRequest,
    ) -> Result<Frames<F>, CallError> {
        let mut grpc = tonic::client::Grpc::new(self.channel.clone())
            .max_decoding_message_size(GRPC_MESSAGE_BYTES_MAX);
        grpc.ready().await.map_err(|error| Status::from_error(error.into()))?;
        let codec = ProstCodec::<SubscribeRequest, F>::default();
        let path = http::uri::PathAndQuery::from_static("/tidings.v1.Broker/Subscribe");
        Ok(Frames(grpc.server_streaming(Request::new(request), path, codec).await?.into_inner()))
    }

    /// Sends what comes out of `requests`; ends the stream when their sender is dropped.
    pub async fn publish_stream(
        &mut self,
        requests: mpsc::Receiver<PublishStreamRequest>,
    ) -> Result<PublishAnswers, CallError> {
        let requests = ReceiverStream::new(requests);
        Ok(PublishAnswers(self.broker.publish_stream(requests).await?.into_inner()))
    }

    pub async fn create_topic(&mut self, topic: Topic) -> Result<Topic, CallError> {
        let request = CreateTopicRequest { topic: Some(topic) };
        Ok(self.admin.create_topic(request).await?.into_inner())
    }

    pub async fn get_topic(&mut self, name: &str) -> Result<Topic, CallError> {
        let request = GetTopicRequest { name: name.to_owned() };
        Ok(self.admin.get_topic(request).await?.into_inner())
    }

    pub async fn list_topics(
        &mut self,
        request: ListTopicsRequest,
    ) -> Result<ListTopicsResponse, CallError> {
        Ok(self.admin.list_topics(request).await?.into_inner())
    }

    /// `paths`: which fields of it are meant.
    pub async fn update_topic(
        &mut self,
        topic: Topic,
        paths: Vec<String>,
    ) -> Result<Topic, CallError> {
        let update_mask = Some(FieldMask { paths });
        let request = UpdateTopicRequest { topic: Some(topic), update_mask };
        Ok(self.admin.update_topic(request).await?.into_inner())
    }

    pub async fn delete_topic(&mut self, request: DeleteTopicRequest) -> Result<(), CallError> {
        self.admin.delete_topic(request).await?;
        Ok(())
    }

    pub async fn register_schema(
        &mut self,
        request: RegisterSchemaRequest,
    ) -> Result<Schema, CallError> {
        Ok(self.schemas.register_schema(request).await?.into_inner())
    }

    pub async fn get_schema(&mut self, request: GetSchemaRequest) -> Result<Schema, CallError> {
        Ok(self.schemas.get_schema(request).await?.into_inner())
    }

    pub async fn list_schemas(
        &mut self,
        request: ListSchemasRequest,
    ) -> Result<ListSchemasResponse, CallError> {
        Ok(self.schemas.list_schemas(request).await?.into_inner())
    }

    pub async fn delete_schema(&mut self, request: DeleteSchemaRequest) -> Result<(), CallError> {
        self.schemas.delete_schema(request).await?;
        Ok(())
    }

    /// Of one service, or of the whole server where the name is empty.
    pub async fn health(&mut self, service: &str) -> Result<Health, CallError> {
        let request = HealthCheckRequest { service: service.to_owned() };
        Ok(match self.health.check(request).await?.into_inner().status() {
            ServingStatus::Serving => Health::Serving,
            ServingStatus::NotServing => Health::NotServing,
            ServingStatus::Unknown | ServingStatus::ServiceUnknown => Health::Unknown,
        })
    }
}

impl<F> Frames<F> {
    /// The next frame; none where the broker ended the stream with OK. Cancel safe.
    pub async fn next(&mut self) -> Result<Option<F>, CallError> {
        Ok(self.0.message().await?)
    }
}

impl PublishAnswers {
    /// The next answer; none where the broker ended the stream with OK. Cancel safe.
    pub async fn next(&mut self) -> Result<Option<PublishStreamResponse>, CallError> {
        Ok(self.0.message().await?)
    }
}

impl CallError {
    /// The server cannot be reached, or is about to be gone.
    pub fn is_unavailable(&self) -> bool {
        self.code == "UNAVAILABLE"
    }

    /// A subscription may go on where it was: another attempt, or another broker, can answer.
    pub fn is_passing(&self) -> bool {
        matches!(
            self.code,
            "UNAVAILABLE" | "INTERNAL" | "UNKNOWN" | "CANCELLED" | "RESOURCE_EXHAUSTED" | "ABORTED"
        )
    }

    fn address(address: &str) -> CallError {
        CallError {
            code: "INVALID_ARGUMENT",
            message: format!("{address:?} is no address: write it as 127.0.0.1:7070").into(),
            ..CallError::default()
        }
    }

    fn connect(address: &str, error: &tonic::transport::Error) -> CallError {
        let mut cause: &dyn std::error::Error = error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        CallError {
            code: "UNAVAILABLE",
            message: format!("no server answers at {address}: {cause}").into(),
            ..CallError::default()
        }
    }
}

impl Default for CallError {
    fn default() -> CallError {
        CallError {
            code: "UNKNOWN",
            reason: Box::default(),
            message: Box::default(),
            metadata: BTreeMap::new(),
            violations: Vec::new(),
            retry_after: None,
        }
    }
}

impl From<Status> for CallError {
    fn from(status: Status) -> CallError {
        let details = status.get_error_details();
        let info = details.error_info();
        let fields = details.bad_request().into_iter().flat_map(|bad| &bad.field_violations);
        let fields = fields.map(|v| (v.field.clone(), v.description.clone()));
        let failed =
            details.precondition_failure().into_iter().flat_map(|failure| &failure.violations);
        let failed = failed.map(|v| (format!("{} {}", v.r#type, v.subject), v.description.clone()));
        let violations = fields.chain(failed).collect();
        CallError {
            code: code_name(status.code()),
            reason: info.map(|info| info.reason.as_str().into()).unwrap_or_default(),
            message: status.message().into(),
            metadata: info
                .map(|info| info.metadata.clone().into_iter().collect())
                .unwrap_or_default(),
            violations,
            retry_after: details.retry_info().and_then(|info| info.retry_delay),
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code)?;
        if !self.reason.is_empty() {
            write!(f, "/{}", self.reason)?;
        }
        write!(f, ": {}", self.message)?;
        // A message that says it all is not followed by its parts.
        let told = |description: &str| self.message.contains(description);
        for (field, description) in self.violations.iter().filter(|(_, text)| !told(text)) {
            write!(f, "\n  {field} {description}")?;
        }
        Ok(())
    }
}

/// What a unary Publish would have answered as a status.
impl From<Failure> for CallError {
    fn from(failure: Failure) -> CallError {
        CallError {
            code: code_name(Code::from(failure.code)),
            reason: failure.reason.into(),
            message: failure.message.into(),
            metadata: failure.metadata.into_iter().collect(),
            violations: Vec::new(),
            retry_after: failure.retry_delay.and_then(|delay| delay.try_into().ok()),
        }
    }
}

fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
