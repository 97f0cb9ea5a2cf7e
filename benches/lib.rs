//! What `cargo xtask bench` runs beside the broker: the load generator, and what the peers share with it.
//!
//! README.md says what is measured and what the words mean.

#[cfg(target_os = "linux")]
pub mod load;

/// The API of `proto/`, as a team generates it that writes a facade of its own.
pub mod v1 {
    #![allow(
        missing_debug_implementations,
        clippy::allow_attributes_without_reason,
        clippy::large_futures,
        reason = "it is generated"
    )]

    tonic::include_proto!("tidings.v1");
}
