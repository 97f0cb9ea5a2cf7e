//! Filters that look into events: an expression in CEL over the attributes of an event and its data.
//!
//! An event on which the expression has no answer, or takes too much for one, is not shown.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::{Arc, OnceLock},
};

use prost::Message as _;
use prost_reflect::DynamicMessage;

pub use crate::cel::Mistake;
use crate::{
    cel::{
        ATTRIBUTES, Answer, Boxed, Budget, Names, NoAnswer, Object, Program, Scope, Source, json,
        of_message,
    },
    event::is_json,
    limits::{CEL_STEPS_MAX, CEL_STEPS_PER_BYTE, CEL_STEPS_SMALL},
    proto::{self, event::Payload},
    schema::Registry,
};

const NAMES: Names = Names {
    all: &["event", "data"],
    fixed: Some(("event", &ATTRIBUTES)),
    what: "a filter",
    trials: false,
};

/// An expression that has passed. Equal where the text is.
#[derive(Clone)]
pub struct Expression {
    program: Arc<Program>,
    /// Where types of data are looked up.
    types: Arc<Registry>,
}

/// The data of an event, decoded.
#[derive(Debug)]
pub(crate) enum Data {
    Json(serde_json::Value),
    Message(DynamicMessage),
}

/// One event, as the names of an expression see it.
#[derive(Debug)]
struct Seen<'a> {
    event: &'a proto::Event,
    types: &'a Registry,
    data: OnceLock<Option<Data>>,
}

impl Expression {
    pub fn parse(text: &str) -> Result<Expression, Mistake> {
        let program = Program::parse(text, &NAMES)?;
        Ok(Expression { program: Arc::new(program), types: Arc::default() })
    }

    /// Data of types that are registered there is looked into.
    pub fn with_types(self, types: &Arc<Registry>) -> Expression {
        Expression { types: types.clone(), ..self }
    }

    pub fn text(&self) -> &str {
        self.program.text()
    }

    /// Whether the event is to be shown.
    pub fn is_true_of(&self, event: &proto::Event) -> bool {
        self.evaluate(event).0 == Ok(true)
    }

    /// Also says how many steps it took.
    fn evaluate(&self, event: &proto::Event) -> (Result<bool, NoAnswer>, u32) {
        let seen = Seen { event, types: &self.types, data: OnceLock::new() };
        let (answer, steps) = self.program.evaluate(&seen, allowed(event));
        let answer = answer.and_then(|answer| match answer {
            Answer::Bool(answer) => Ok(answer),
            Answer::Text(_) => Err(NoAnswer::OtherType),
        });
        (answer, steps)
    }
}

impl Scope for Seen<'_> {
    fn value<'v>(&'v self, name: &str, budget: &'v Budget) -> Option<Boxed<'v>> {
        match name {
            "event" => Some(Box::new(Object::new(Source::Event(self.event), budget))),
            "data" => {
                let data = self.data.get_or_init(|| Data::of(self.event, self.types));
                data.as_ref()?.value(budget)
            }
            _ => None,
        }
    }
}

impl Data {
    /// None where nothing is known of it.
    pub(crate) fn of(event: &proto::Event, types: &Registry) -> Option<Data> {
        let payload = event.payload.as_ref()?;
        if is_json(&event.data_content_type) {
            let value = match payload {
                Payload::Text(text) => serde_json::from_str(text),
                Payload::Data(data) => serde_json::from_slice(data),
                Payload::Json(_) | Payload::Proto(_) => return None,
            };
            return value.ok().map(Data::Json);
        }
        let Payload::Data(data) = payload else { return None };
        let schemas = types.snapshot();
        let compiled = schemas.get(&event.r#type, 0).ok()?.compiled().ok()?;
        let message = DynamicMessage::decode(compiled.message().clone(), data.clone());
        message.ok().map(Data::Message)
    }

    pub(crate) fn value<'v>(&'v self, budget: &'v Budget) -> Option<Boxed<'v>> {
        let (value, weight) = match self {
            Data::Json(value) => json(value, budget),
            Data::Message(message) => (of_message(message, budget)?, 1),
        };
        budget.take(weight).ok()?;
        Some(value)
    }
}

fn allowed(event: &proto::Event) -> u32 {
    let bytes = u32::try_from(event.encoded_len()).unwrap_or(u32::MAX);
    let for_bytes = bytes.saturating_mul(CEL_STEPS_PER_BYTE);
    CEL_STEPS_SMALL.saturating_add(for_bytes).min(CEL_STEPS_MAX)
}

impl PartialEq for Expression {
    fn eq(&self, other: &Expression) -> bool {
        self.text() == other.text()
    }
}

impl Eq for Expression {}

impl Hash for Expression {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text().hash(state);
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.text()).finish()
    }
}

#[cfg(test)]
mod tests;
