//! Tidings: a small server between microservices and Redis. See README.md for users and
//! ARCHITECTURE.md for whoever changes it.

// Vocabulary: pure values, no I/O, no async.
mod blocking;
mod cel;
pub mod compression;
pub mod event;
pub mod frame;
pub mod limits;
pub mod position;
pub mod proto;
pub mod topic;
pub mod view;
// Storage: the one contract and what fulfils it.
pub mod backend;
// Rules: what an operator said about topics, and which types events have.
pub mod catalog;
pub mod schema;
// Delivery: the whole system as a Rust API; knows no gRPC.
pub mod broker;
pub mod hub;
pub mod item;
pub mod lens;
pub mod subscription;
// Edges: translate in, translate out.
pub mod grpc;
// Assembly: the program around it.
pub mod cli;
pub mod config;
pub mod server;
pub mod telemetry;
