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
