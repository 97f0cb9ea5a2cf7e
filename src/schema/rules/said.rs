//! What a schema says in options of `buf.validate`, checked before the library sees it: what is not
//! offered here, and patterns that take too much.

use std::collections::BTreeSet;

use prost::{DecodeError, Message as _};
use prost_protovalidate::types::{
    FieldRules, Ignore, MessageRules, OneofRules, Rule,
    field_rules::Type::{Bytes, Map, Repeated, String as Text},
};
use prost_reflect::{
    DynamicMessage, FieldDescriptor, MessageDescriptor, OneofDescriptor, ReflectMessage,
};
use regex::RegexBuilder;

use super::{
    expressions::{Expression, OfField},
    flat::RULES,
};
use crate::{
    limits::{RULES_CEL_BYTES_MAX, RULES_PATTERN_BYTES_MAX, RULES_PATTERNS_BYTES_MAX},
    schema::wire::{Fields, Value},
};

/// What is wrong with rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::schema) struct Mistake {
    /// The message, field or oneof that has them.
    pub(in crate::schema) of: String,
    pub(in crate::schema) cause: String,
}

/// Reads rules of one schema.
#[derive(Debug)]
pub(super) struct Reader {
    /// What patterns may still take.
    patterns_left: usize,
    /// What the largest so far takes.
    pub(super) largest_pattern: usize,
    /// What texts of expressions may still take.
    cel_left: usize,
}

/// What one message has.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// Such as the library evaluates.
    pub(super) has_rules: bool,
    pub(super) expressions: Vec<Expression>,
    pub(super) of_fields: Vec<OfField>,
    /// Fields that rules look at, by number.
    pub(super) fields: BTreeSet<u32>,
    /// Fields whose messages are not looked into.
    pub(super) closed: BTreeSet<u32>,
    /// Fields whose elements are not looked into where they are empty.
    pub(super) closed_if_empty: BTreeSet<u32>,
}

impl Reader {
    pub(super) fn new() -> Reader {
        Reader {
            patterns_left: RULES_PATTERNS_BYTES_MAX,
            largest_pattern: 0,
            cel_left: RULES_CEL_BYTES_MAX,
        }
    }

    pub(super) fn read(&mut self, message: &MessageDescriptor) -> Result<Said, Mistake> {
        let mut said = Said::default();
        let name = message.full_name();
        let of_message: Option<MessageRules> = read(&message.options(), name)?;
        if let Some(rules) = of_message {
            said.has_rules = !rules.oneof.is_empty();
            self.cel(&rules.cel_expression, &rules.cel, name)?;
            said.expressions = Expression::all(&rules.cel_expression, &rules.cel, name)?;
            let mut expressions = said.expressions.iter();
            expressions.try_for_each(|expression| self.patterns(expression, name))?;
            let named = rules.oneof.iter().flat_map(|oneof| &oneof.fields);
            let named = named.filter_map(|name| message.get_field_by_name(name));
            said.fields.extend(named.map(|field| field.number()));
        }
        message.oneofs().try_for_each(|oneof| self.oneof(&oneof, &mut said))?;
        message.fields().try_for_each(|field| self.field(&field, &mut said))?;
        Ok(said)
    }

    fn oneof(&self, oneof: &OneofDescriptor, said: &mut Said) -> Result<(), Mistake> {
        let rules: Option<OneofRules> = read(&oneof.options(), oneof.full_name())?;
        if rules.is_some_and(|rules| rules.required()) {
            said.has_rules = true;
            said.fields.extend(oneof.fields().map(|field| field.number()));
        }
        Ok(())
    }

    fn field(&mut self, field: &FieldDescriptor, said: &mut Said) -> Result<(), Mistake> {
        let rules: Option<FieldRules> = read(&field.options(), field.full_name())?;
        let Some(rules) = rules else { return Ok(()) };
        self.check(&rules, field.full_name())?;
        let expressions = OfField::all(&rules, field)?;
        for expression in expressions.iter().flat_map(|of_field| &of_field.expressions) {
            self.patterns(expression, field.full_name())?;
        }
        said.of_fields.extend(expressions);
        if (FieldRules { cel: vec![], cel_expression: vec![], ..rules.clone() })
            != Default::default()
        {
            said.has_rules = true;
            said.fields.insert(field.number());
        }
        let inside = match &rules.r#type {
            Some(Repeated(rules)) => rules.items.as_deref().map(FieldRules::ignore),
            Some(Map(rules)) => rules.values.as_deref().map(FieldRules::ignore),
            _ => None,
        };
        if rules.ignore() == Ignore::Always || inside == Some(Ignore::Always) {
            said.closed.insert(field.number());
        }
        if inside == Some(Ignore::IfZeroValue) {
            said.closed_if_empty.insert(field.number());
        }
        Ok(())
    }

    /// Calls itself as deep as rules say something of elements.
    fn check(&mut self, rules: &FieldRules, of: &str) -> Result<(), Mistake> {
        self.cel(&rules.cel_expression, &rules.cel, of)?;
        match &rules.r#type {
            Some(Text(text)) if text.pattern.is_some() => self.pattern(text.pattern(), of),
            Some(Bytes(bytes)) if bytes.pattern.is_some() => self.pattern(bytes.pattern(), of),
            Some(Repeated(rules)) => rules.items.iter().try_for_each(|rules| self.check(rules, of)),
            Some(Map(rules)) => {
                let mut inside = rules.keys.iter().chain(&rules.values);
                inside.try_for_each(|rules| self.check(rules, of))
            }
            _ => Ok(()),
        }
    }

    /// Before any of them is read.
    fn cel(&mut self, expressions: &[String], rules: &[Rule], of: &str) -> Result<(), Mistake> {
        let texts = rules.iter().map(|rule| rule.expression().len() + rule.message().len());
        let bytes = texts.chain(expressions.iter().map(String::len)).sum();
        self.cel_left = self.cel_left.checked_sub(bytes).ok_or_else(|| {
            let limit = RULES_CEL_BYTES_MAX;
            mistake(of, format!("all rules in CEL of the schema have more than {limit} bytes"))
        })?;
        Ok(())
    }

    fn patterns(&mut self, expression: &Expression, of: &str) -> Result<(), Mistake> {
        expression.program.patterns().try_for_each(|pattern| self.pattern(pattern, of))
    }

    /// What one takes is found by trying: nothing else tells.
    fn pattern(&mut self, pattern: &str, of: &str) -> Result<(), Mistake> {
        const SMALLEST: usize = 4 << 10;
        let mut allowed = SMALLEST;
        loop {
            let error = match RegexBuilder::new(pattern).size_limit(allowed).build() {
                Ok(_) => break,
                Err(error) => error,
            };
            let is_large = matches!(error, regex::Error::CompiledTooBig(_));
            if is_large && allowed < RULES_PATTERN_BYTES_MAX {
                allowed *= 2;
                continue;
            }
            let error = error.to_string();
            let last = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
            let cause = match is_large {
                true => format!(
                    "its pattern takes more than {RULES_PATTERN_BYTES_MAX} bytes when it is \
                     compiled: repeat less, or write [0-9A-Za-z_] for \\w"
                ),
                false => format!("its pattern is none: {last}"),
            };
            return Err(mistake(of, cause));
        }
        self.largest_pattern = self.largest_pattern.max(allowed);
        self.patterns_left = self.patterns_left.checked_sub(allowed).ok_or_else(|| {
            let limit = RULES_PATTERNS_BYTES_MAX;
            let cause = format!("all patterns of the schema take more than {limit} bytes");
            mistake(of, format!("{cause} when they are compiled: use fewer, or shorter ones"))
        })?;
        Ok(())
    }
}

/// `T` in these options, read along the library's own descriptors: the pool need not know any.
fn read<T: ReflectMessage + Default>(
    options: &DynamicMessage,
    of: &str,
) -> Result<Option<T>, Mistake> {
    let options = options.encode_to_vec();
    let mut said = Vec::new();
    for field in Fields::of(&options).flatten() {
        if let (RULES, Value::Bytes(rules)) = (field.number, field.value) {
            said.extend_from_slice(rules);
        }
    }
    if said.is_empty() {
        return Ok(None);
    }
    let malformed = |error: DecodeError| mistake(of, format!("they do not decode: {error}"));
    let rules = DynamicMessage::decode(T::default().descriptor(), &said[..]).map_err(malformed)?;
    known_only(&rules, of)?;
    rules.transcode_to().map(Some).map_err(malformed)
}

/// Calls itself as deep as rules are nested, which brackets and the canonical form bound.
fn known_only(rules: &DynamicMessage, of: &str) -> Result<(), Mistake> {
    /// From here on they are open for extensions.
    const OWN: u32 = 1000;
    if let Some(unknown) = rules.unknown_fields().next() {
        let (name, number) = (rules.descriptor().full_name().to_owned(), unknown.number());
        let cause = match number {
            OWN.. => format!(
                "field {number} of {name} is a predefined rule of your own, which is not offered: \
                 write what it says at the field"
            ),
            _ => format!(
                "{name} has no field {number} that this broker knows: leave it out, or use a newer \
                 broker"
            ),
        };
        return Err(mistake(of, cause));
    }
    let values = rules.fields().flat_map(|(_, value)| match value.as_list() {
        Some(values) => values,
        None => std::slice::from_ref(value),
    });
    values.filter_map(prost_reflect::Value::as_message).try_for_each(|rules| known_only(rules, of))
}

pub(super) fn mistake(of: &str, cause: String) -> Mistake {
    Mistake { of: of.to_owned(), cause }
}
