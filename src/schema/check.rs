//! Whether bytes are an event of a type, and what they are as JSON.
//!
//! The bytes are walked along the type, without building a message, so that a check costs little and an
//! error names the field: `events[3].data.items[2].price`. Fields that the type does not know are
//! allowed, and counted: a newer writer has them.

use std::{
    collections::BTreeMap,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use prost::Message as _;
use prost_reflect::{DynamicMessage, MessageDescriptor};
use prost_types::Any;
use serde_json::value::RawValue;

use super::{
    CompileError, Compiled,
    walk::{Plan, Walked},
};
use crate::limits::SCHEMA_PROBLEMS_MAX;

/// What stands before a type's name in an `Any`.
const TYPE_URL: &str = "type.googleapis.com/";

/// Rules beyond the shape, such as those of `buf.validate`. One is built for each version of a type.
pub trait Validator: fmt::Debug + Send + Sync {
    /// What the message breaks, by paths inside it. An error is that of the rules: they cannot be
    /// evaluated.
    fn validate(&self, message: &DynamicMessage) -> Result<Vec<Problem>, String>;
}

/// What is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// From what the caller checks down to the field.
    pub path: String,
    pub message: String,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    #[error("no valid {type_name}: {}", told(.problems))]
    Invalid { type_name: String, problems: Vec<Problem> },
    /// A mistake in the rules, or ours: nothing is known of the event.
    #[error("the rules of {type_name} cannot be evaluated: {cause}")]
    RulesFailed { type_name: String, cause: String },
}

/// Why there is no JSON of an event that says all that its bytes do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotExact {
    #[error(transparent)]
    Invalid(#[from] CheckError),
    #[error("{fields} fields are not known to this version of {type_name}")]
    UnknownFields { type_name: String, fields: usize },
    #[error("{type_name} has a value that JSON cannot have: {cause}")]
    NoJson { type_name: String, cause: String },
}

/// No `Any` of a registered type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{type_url:?} names no type: write {TYPE_URL} and the full name of the message")]
pub struct InvalidTypeUrl {
    pub type_url: String,
}

/// What an event has beside what its type knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Checked {
    pub unknown_fields: usize,
}

/// Checks against one version of a type.
#[derive(Clone)]
pub struct Checker {
    message: MessageDescriptor,
    plan: Arc<Plan>,
    validator: Option<Arc<dyn Validator>>,
}

impl Checker {
    /// With the rules of the type, if it has any.
    pub fn new(compiled: &Compiled) -> Result<Checker, CompileError> {
        Ok(Checker::with_rules(compiled, compiled.rules()?))
    }

    fn with_rules(compiled: &Compiled, validator: Option<Arc<dyn Validator>>) -> Checker {
        let message = compiled.message().clone();
        let plan = Arc::new(Plan::of(&message));
        Checker { message, plan, validator }
    }

    pub fn type_name(&self) -> &str {
        self.message.full_name()
    }

    /// `path` is what the bytes are to the caller, such as `events[3].data`.
    pub fn check(&self, bytes: &[u8], path: &str) -> Result<Checked, CheckError> {
        let Walked { unknown_fields, missing } = self.walk(bytes, path)?;
        if !missing.is_empty() {
            return Err(self.invalid(missing));
        }
        if let Some(validator) = &self.validator {
            self.rules(validator.as_ref(), bytes, path)?;
        }
        Ok(Checked { unknown_fields })
    }

    fn walk(&self, bytes: &[u8], path: &str) -> Result<Walked, CheckError> {
        self.plan.walk(bytes, path).map_err(|problem| self.invalid(vec![problem]))
    }

    fn rules(&self, rules: &dyn Validator, bytes: &[u8], path: &str) -> Result<(), CheckError> {
        let message = self.decode(bytes, path)?;
        let failed = |cause| {
            let type_name = self.type_name().to_owned();
            CheckError::RulesFailed { type_name, cause }
        };
        // Rules are evaluated by a library, and were written by others.
        let found = catch_unwind(AssertUnwindSafe(|| rules.validate(&message)))
            .map_err(|panic| failed(super::panicked(panic.as_ref())))?;
        let mut problems = found.map_err(failed)?;
        problems.truncate(SCHEMA_PROBLEMS_MAX);
        for problem in &mut problems {
            problem.path = match problem.path.as_str() {
                "" => path.to_owned(),
                inside => format!("{path}.{inside}"),
            };
        }
        match problems.is_empty() {
            true => Ok(()),
            false => Err(self.invalid(problems)),
        }
    }

    /// The bytes of what this JSON says; what is not in the type is an error.
    pub fn read_json(&self, json: &str, path: &str) -> Result<Vec<u8>, CheckError> {
        let mut text = serde_json::Deserializer::from_str(json);
        let mut track = serde_path_to_error::Track::new();
        let tracked = serde_path_to_error::Deserializer::new(&mut text, &mut track);
        let read = DynamicMessage::deserialize(self.message.clone(), tracked);
        let read = read.and_then(|message| text.end().map(|()| message));
        let message = read.map_err(|error| {
            let inside = track.path().to_string();
            let path = match inside.as_str() {
                "" | "." => path.to_owned(),
                inside if inside.starts_with('[') => format!("{path}{inside}"),
                inside => format!("{path}.{inside}"),
            };
            self.invalid(vec![Problem { path, message: error.to_string() }])
        })?;
        let bytes = message.encode_to_vec();
        self.check(&bytes, path)?;
        Ok(bytes)
    }

    /// The canonical proto JSON of these bytes, where it says all that they do.
    pub fn write_json(&self, bytes: &[u8], path: &str) -> Result<String, NotExact> {
        let type_name = || self.type_name().to_owned();
        let walked = self.walk(bytes, path)?;
        if walked.unknown_fields > 0 {
            let fields = walked.unknown_fields;
            return Err(NotExact::UnknownFields { type_name: type_name(), fields });
        }
        let message = self.decode(bytes, path)?;
        let no_json = |cause: String| NotExact::NoJson { type_name: type_name(), cause };
        let json = serde_json::to_string(&message).map_err(|error| no_json(error.to_string()))?;
        let mut text = serde_json::Deserializer::from_str(&json);
        let again = DynamicMessage::deserialize(self.message.clone(), &mut text)
            .map_err(|error| no_json(error.to_string()))?;
        match again == message {
            true => Ok(json),
            false => Err(no_json("it reads back as something else".to_owned())),
        }
    }

    fn decode(&self, bytes: &[u8], path: &str) -> Result<DynamicMessage, CheckError> {
        DynamicMessage::decode(self.message.clone(), bytes).map_err(|error| {
            self.invalid(vec![Problem { path: path.to_owned(), message: error.to_string() }])
        })
    }

    fn invalid(&self, problems: Vec<Problem>) -> CheckError {
        CheckError::Invalid { type_name: self.type_name().to_owned(), problems }
    }
}

impl fmt::Debug for Checker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checker")
            .field("type_name", &self.type_name())
            .field("validator", &self.validator)
            .finish_non_exhaustive()
    }
}

/// The type that an `Any` says it holds.
pub fn type_of(any: &Any) -> Result<&str, InvalidTypeUrl> {
    type_in(&any.type_url)
}

pub fn to_any(type_name: &str, bytes: Vec<u8>) -> Any {
    Any { type_url: format!("{TYPE_URL}{type_name}"), value: bytes }
}

/// Takes the JSON of an `Any` apart, `{"@type": "type.googleapis.com/shop.v1.OrderPlaced", …}`: the name
/// of its type, and the JSON of what it holds. None where this is no such thing.
pub fn split_any(json: &str) -> Option<Result<(String, String), InvalidTypeUrl>> {
    let mut fields: BTreeMap<String, Box<RawValue>> = serde_json::from_str(json).ok()?;
    let type_url = fields.remove("@type")?;
    let type_url: String = serde_json::from_str(type_url.get()).ok()?;
    let rest = serde_json::to_string(&fields).ok()?;
    Some(type_in(&type_url).map(|name| (name.to_owned(), rest)))
}

/// Whatever host is named: only the last part counts.
fn type_in(type_url: &str) -> Result<&str, InvalidTypeUrl> {
    let name = type_url.rsplit_once('/').map(|(_, name)| name).filter(|name| !name.is_empty());
    name.ok_or_else(|| {
        let end = type_url.floor_char_boundary(crate::limits::ATTRIBUTE_BYTES_MAX);
        InvalidTypeUrl { type_url: type_url[..end].to_owned() }
    })
}

fn told(problems: &[Problem]) -> String {
    let Some(first) = problems.first() else { return String::new() };
    let text = format!("{}: {}", first.path, first.message);
    match problems.len() - 1 {
        0 => text,
        more => format!("{text}; and {more} more"),
    }
}

#[cfg(test)]
mod tests;
