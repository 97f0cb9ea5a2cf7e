//! The messages of `proto/`, as prost generates them. No service: those are in `grpc`.
#![allow(
    clippy::all,
    clippy::allow_attributes_without_reason,
    rustdoc::invalid_html_tags,
    rustdoc::broken_intra_doc_links,
    missing_debug_implementations,
    unreachable_pub,
    reason = "generated code is not ours to style"
)]

pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/tidings.v1.rs"));
}

/// What is stored in Redis and sent on its channels.
pub mod redis {
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/tidings.redis.v1.rs"));
    }
    pub use v1::*;
}

pub use v1::*;

/// Every file of `proto/` and what it imports, compiled: a `google.protobuf.FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.binpb"));
