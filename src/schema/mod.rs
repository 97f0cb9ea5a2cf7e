//! Types of events: which messages there are, in which versions, and whether an event is one.
//!
//! A schema is one protobuf message with all that it reaches, named by the message's full name. It is
//! compiled here from source text or taken from descriptors, without files, without protoc and
//! bounded in everything: what comes in was written by strangers. A new version has to keep what its
//! type promised ([`compatibility`]). Pure values throughout: who stores them and who asks for them
//! is told elsewhere.

mod bundled;
mod canonical;
pub mod check;
pub mod compatibility;
pub mod compile;
pub mod enforce;
mod names;
mod reached;
mod record;
pub mod reflection;
pub mod registry;
mod rules;
mod scan;
pub mod sources;
mod walk;
mod wire;

use std::any::Any;

pub use self::{
    check::{Checker, Validator},
    compatibility::Compatibility,
    compile::{CompileError, Compiled},
    record::{Record, Unreadable},
    registry::{Registry, Schemas, Version},
};

/// What was said by who panicked.
fn panicked(panic: &(dyn Any + Send)) -> String {
    let said = panic.downcast_ref::<&str>().map(|said| (*said).to_owned());
    said.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic".to_owned())
}
