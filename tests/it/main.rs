//! The integration tests: one binary, a module per behaviour.
//!
//! They use the gRPC API, real processes and a real Redis on loopback, nothing inside the crate but
//! its messages and clients. What needs Redis starts one; where `redis-server` is missing the test
//! fails and says how to install it.
#![allow(
    unreachable_pub,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    clippy::print_stdout,
    clippy::print_stderr,
    missing_debug_implementations,
    reason = "tests fail by panicking, report by printing, and see real processes by the real clock"
)]

mod backend;
mod bench;
mod breaking;
mod checker;
mod cloudevents;
mod compatibility;
mod compression;
mod dedupe;
mod delivery;
mod delivery_on_redis;
mod durability;
mod durable_reading;
mod enforcement;
mod errors;
mod faults;
mod faulty_path;
mod filters;
mod first_programs;
#[cfg(target_os = "linux")]
mod full_disk;
mod hostile;
mod hostile_bytes;
mod hostile_clients;
mod hostile_redis;
mod hostile_redis_keys;
mod hub;
mod interop;
mod live;
mod mesh;
#[cfg(target_os = "linux")]
mod no_delay;
mod orders;
mod patterns;
mod planted;
mod program;
mod publish_stream;
mod readme;
mod redis_addresses;
mod redis_errors;
mod redis_group_commit;
mod redis_protocol;
mod redis_races;
mod reflection;
mod rules;
mod schema_program;
mod schemas;
mod sentinel;
mod serving;
mod story;
mod support;
mod topics;
mod trials;
mod web;
mod web_page;
