#![doc = include_str!("../README.md")]

/// The messages and clients of `proto/tidings/v1`, as generated.
#[allow(
    clippy::all,
    clippy::allow_attributes_without_reason,
    rustdoc::invalid_html_tags,
    rustdoc::broken_intra_doc_links,
    missing_debug_implementations,
    unreachable_pub,
    reason = "generated code is not ours to style"
)]
pub mod v1 {
    include!("generated/tidings.v1.rs");
}

use tonic::transport::{Channel, Endpoint, Error};
use v1::broker_client::BrokerClient;

/// Largest message that a broker sends: a frame of 1 MiB, or one event, with some room.
pub const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// Connects to the broker at `host:port`. Clones of the client share the connection; it is made
/// anew when it is used after it broke.
pub async fn connect(address: &str) -> Result<BrokerClient<Channel>, Error> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?
        .tcp_nodelay(true)
        .connect_timeout(std::time::Duration::from_secs(5));
    Ok(BrokerClient::new(endpoint.connect().await?).max_decoding_message_size(MESSAGE_BYTES_MAX))
}

impl v1::Event {
    /// An event whose data is text. JSON is text with a `data_content_type` of `application/json`.
    pub fn text(text: impl Into<String>) -> Self {
        Self { payload: Some(v1::event::Payload::Text(text.into())), ..Self::default() }
    }
}

impl v1::PublishRequest {
    /// All of these events on one topic, or none.
    pub fn new(topic: impl Into<String>, events: impl IntoIterator<Item = v1::Event>) -> Self {
        let events = events.into_iter().collect();
        Self { topic: topic.into(), events, ..Self::default() }
    }
}

impl v1::SubscribeRequest {
    /// A topic, or a pattern, from now on.
    pub fn new(topic: impl Into<String>) -> Self {
        Self { topics: vec![topic.into()], ..Self::default() }
    }
}
