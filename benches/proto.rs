//! The API of `proto/`, for the facades and for the load generator.

/// `tidings.v1`
pub mod v1 {
    #![allow(
        missing_debug_implementations,
        clippy::allow_attributes_without_reason,
        clippy::large_futures,
        reason = "it is generated"
    )]

    tonic::include_proto!("tidings.v1");
}
