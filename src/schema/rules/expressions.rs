//! Rules in CEL, of messages, fields, elements, keys and values.

use chrono::{DateTime, FixedOffset, Utc};
use prost_protovalidate::types::{FieldRules, Ignore, Rule, field_rules::Type};
use prost_reflect::{DynamicMessage, FieldDescriptor, Value};

use super::said::{Mistake, mistake};
use crate::{
    cel::{
        Answer, Boxed, Budget, Names, NoAnswer, Program, Scope, of_message, of_proto, time_value,
    },
    limits::{RULES_STEPS_MAX, RULES_STEPS_PER_BYTE, RULES_STEPS_SMALL},
};

const NAMES: Names = Names { all: &["this", "now"], fixed: None, what: "a rule", trials: true };
/// Beside its steps, for each time that an expression is asked.
const STEPS_TO_ASK: u32 = 4;

/// One rule that has passed.
#[derive(Debug)]
pub(super) struct Expression {
    /// What it is called in errors.
    name: String,
    /// None: what it answers, if that is a text.
    message: Option<String>,
    pub(super) program: Program,
}

/// Those of one field, or of what is in it.
#[derive(Debug)]
pub(super) struct OfField {
    pub(super) field: FieldDescriptor,
    pub(super) part: Part,
    /// It is said elsewhere that it has to be there.
    skips_unset: bool,
    skips_empty: bool,
    pub(super) expressions: Vec<Expression>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Whole,
    Items,
    Keys,
    Values,
}

/// What they are asked of.
#[derive(Debug, Clone, Copy)]
pub(super) enum This<'a> {
    Message(&'a DynamicMessage),
    Value(&'a Value),
}

/// For all expressions that one event is asked.
#[derive(Debug)]
pub(super) struct Allowance {
    steps: u32,
    now: DateTime<FixedOffset>,
}

#[derive(Debug)]
struct Seen<'a> {
    this: This<'a>,
    now: DateTime<FixedOffset>,
}

impl Scope for Seen<'_> {
    fn value<'v>(&'v self, name: &str, budget: &'v Budget) -> Option<Boxed<'v>> {
        match (name, self.this) {
            ("this", This::Message(message)) => {
                budget.take(1).ok()?;
                of_message(message, budget)
            }
            ("this", This::Value(value)) => {
                let (value, weight) = of_proto(value, budget)?;
                budget.take(weight).ok()?;
                Some(value)
            }
            ("now", _) => Some(time_value(self.now)),
            _ => None,
        }
    }
}

impl Expression {
    pub(super) fn all(
        expressions: &[String],
        rules: &[Rule],
        of: &str,
    ) -> Result<Vec<Expression>, Mistake> {
        let named = rules.iter().map(|rule| {
            let message = Some(rule.message().to_owned()).filter(|message| !message.is_empty());
            Expression::parse(rule.expression(), rule.id(), message, of)
        });
        let bare = expressions.iter().map(|text| Expression::parse(text, "", None, of));
        named.chain(bare).collect()
    }

    fn parse(
        text: &str,
        id: &str,
        message: Option<String>,
        of: &str,
    ) -> Result<Expression, Mistake> {
        const NAME_BYTES_MAX: usize = 100;
        let name = if id.is_empty() { text } else { id };
        let name = name[..name.floor_char_boundary(NAME_BYTES_MAX)].to_owned();
        let program = Program::parse(text, &NAMES)
            .map_err(|place| mistake(of, format!("in {name:?}, {place}")))?;
        Ok(Expression { name, message, program })
    }

    /// What is wrong, if something is. An error where that cannot be told.
    pub(super) fn ask(
        &self,
        this: This<'_>,
        allowance: &mut Allowance,
    ) -> Result<Option<String>, String> {
        let seen = Seen { this, now: allowance.now };
        let (answer, took) = self.program.evaluate(&seen, allowance.steps);
        allowance.steps = allowance.steps.saturating_sub(took.saturating_add(STEPS_TO_ASK));
        let said = match answer {
            Ok(Answer::Bool(true)) => return Ok(None),
            Ok(Answer::Bool(false)) => None,
            Ok(Answer::Text(said)) if said.is_empty() => return Ok(None),
            Ok(Answer::Text(said)) => Some(said),
            Err(no_answer) => return Err(self.failed(&no_answer)),
        };
        let message = self.message.clone().or(said);
        Ok(Some(message.unwrap_or_else(|| format!("breaks the rule {}", self.name))))
    }

    fn failed(&self, no_answer: &NoAnswer) -> String {
        let why = match no_answer {
            NoAnswer::Failed(error) => format!("has no answer: {error}"),
            NoAnswer::OtherType => "answers neither true or false nor a text".to_owned(),
            NoAnswer::TooMuch => "takes more steps than an event of this size may".to_owned(),
            NoAnswer::Panicked => "made the evaluation panic".to_owned(),
        };
        format!("rule {:?} {why}", self.name)
    }
}

impl Allowance {
    /// For an event of so many bytes.
    pub(super) fn of(bytes: usize) -> Allowance {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let for_bytes = bytes.saturating_mul(RULES_STEPS_PER_BYTE);
        let steps = RULES_STEPS_SMALL.saturating_add(for_bytes).min(RULES_STEPS_MAX);
        Allowance { steps, now: Utc::now().fixed_offset() }
    }
}

impl OfField {
    /// Those in `rules`, and in what they say of elements.
    pub(super) fn all(
        rules: &FieldRules,
        field: &FieldDescriptor,
    ) -> Result<Vec<OfField>, Mistake> {
        let mut all = Vec::new();
        let mut add = |rules: &FieldRules, part| {
            let of = field.full_name();
            let expressions = Expression::all(&rules.cel_expression, &rules.cel, of)?;
            if !expressions.is_empty() && rules.ignore() != Ignore::Always {
                let skips_empty = rules.ignore() == Ignore::IfZeroValue;
                let skips_unset = field.supports_presence() || rules.required() || skips_empty;
                let field = field.clone();
                all.push(OfField { field, part, skips_unset, skips_empty, expressions });
            }
            Ok(())
        };
        add(rules, Part::Whole)?;
        match &rules.r#type {
            Some(Type::Repeated(rules)) => {
                rules.items.iter().try_for_each(|rules| add(rules, Part::Items))?;
            }
            Some(Type::Map(rules)) => {
                rules.keys.iter().try_for_each(|rules| add(rules, Part::Keys))?;
                rules.values.iter().try_for_each(|rules| add(rules, Part::Values))?;
            }
            _ => (),
        }
        if rules.ignore() == Ignore::Always {
            all.clear();
        }
        Ok(all)
    }

    /// Asks for each value that the rules are of; `tell` gets where it stands in the field, and what.
    pub(super) fn visit(
        &self,
        message: &DynamicMessage,
        mut tell: impl FnMut(&dyn std::fmt::Display, This<'_>) -> Result<(), String>,
    ) -> Result<(), String> {
        if self.skips_unset && !message.has_field(&self.field) {
            return Ok(());
        }
        let value = message.get_field(&self.field);
        let mut element = |key: &dyn std::fmt::Display, value: &Value| {
            let key = format_args!("[{key}]").to_string();
            match self.skips_empty && is_empty(value) {
                true => Ok(()),
                false => tell(&key, This::Value(value)),
            }
        };
        match (self.part, &*value) {
            (Part::Whole, value) => tell(&"", This::Value(value)),
            (Part::Items, Value::List(items)) => {
                items.iter().enumerate().try_for_each(|(index, item)| element(&index, item))
            }
            (Part::Keys, Value::Map(map)) => {
                map.keys().try_for_each(|key| element(&super::Key(key), &Value::from(key.clone())))
            }
            (Part::Values, Value::Map(map)) => {
                map.iter().try_for_each(|(key, value)| element(&super::Key(key), value))
            }
            _ => Ok(()),
        }
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Message(message) => message.fields().next().is_none(),
        Value::Bool(value) => !value,
        Value::I32(value) | Value::EnumNumber(value) => *value == 0,
        Value::I64(value) => *value == 0,
        Value::U32(value) => *value == 0,
        Value::U64(value) => *value == 0,
        Value::F32(value) => *value == 0.0,
        Value::F64(value) => *value == 0.0,
        Value::String(value) => value.is_empty(),
        Value::Bytes(value) => value.is_empty(),
        Value::List(values) => values.is_empty(),
        Value::Map(values) => values.is_empty(),
    }
}
