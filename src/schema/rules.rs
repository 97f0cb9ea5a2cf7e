//! The rules of `buf.validate`: what a message must be beyond its shape.
//!
//! A library evaluates those of one message, without looking into others ([`flat`]); which messages an
//! event holds, and where, is found here. What it takes is bounded by the event: its copy, and a few
//! messages in which everything that is wrong is told.

mod expressions;
mod flat;
mod library;
mod said;

use std::{
    collections::HashSet,
    fmt::{self, Write as _},
};

use prost::Message as _;
use prost_protovalidate::Error;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor,
    ReflectMessage as _, Value,
};

pub(super) use self::said::Mistake;
use self::{
    expressions::{Allowance, Expression, OfField, Part, This},
    library::Library,
    said::{Reader, Said, mistake},
};
use super::{
    check::{Problem, Validator},
    reached::Reached,
};
use crate::limits::{RULES_PATTERN_WORK_MAX, RULES_TOLD_BYTES_MAX, SCHEMA_PROBLEMS_MAX};

/// Of one version of a type.
pub(super) struct Rules {
    /// All that have rules, or hold some that do; the type is the first.
    messages: Vec<Ruled>,
    library: Library,
    /// Compiled, in bytes.
    largest_pattern: usize,
}

struct Ruled {
    own: Option<Own>,
    expressions: Vec<Expression>,
    of_fields: Vec<OfField>,
    inside: Vec<Inside>,
}

/// What the library has to see of a message.
struct Own {
    flat: MessageDescriptor,
    /// By number, in both.
    fields: Vec<(u32, FieldDescriptor)>,
}

/// A field with messages that have rules, or hold some that do.
struct Inside {
    field: FieldDescriptor,
    /// Its place in [`Rules::messages`].
    message: usize,
    closed_if_empty: bool,
}

/// Those of `root`, whose pool has been made of these `files`, encoded.
pub(super) fn of<'a>(
    root: &MessageDescriptor,
    files: impl Iterator<Item = &'a [u8]>,
) -> Result<Option<Rules>, Mistake> {
    let mut reader = Reader::new();
    let mut reached = Reached::default();
    reached.place(root);
    let mut read: Vec<(MessageDescriptor, Said, Vec<Inside>)> = Vec::new();
    while let Some(message) = reached.messages.get(read.len()).cloned() {
        let said = reader.read(&message)?;
        let inside = message.fields().filter(|field| !said.closed.contains(&field.number()));
        let inside = inside.filter_map(|field| reached.inside(field, &said)).collect();
        read.push((message, said, inside));
    }
    let matter = those_that_matter(&read);
    if !matter[0] {
        return Ok(None);
    }
    let ruled = read.iter().filter(|(_, said, _)| said.has_rules).count();
    let (library, prefix) = Library::shared(ruled);
    let all = root.parent_pool().all_messages();
    let entries = all.filter(|message| message.is_map_entry());
    let entries: HashSet<_> = entries.map(|entry| entry.full_name().to_owned()).collect();
    let pool =
        flat::pool(files, &entries, &prefix).map_err(|cause| mistake(root.full_name(), cause))?;
    let mut messages = Vec::new();
    for (message, said, mut inside) in read {
        inside.retain(|inside| matter[inside.message]);
        let own = match said.has_rules {
            true => Some(Own::of(&message, &said, &pool, &prefix)?),
            false => None,
        };
        if let Some(own) = &own {
            own.try_out(&library, &message, &prefix)?;
        }
        let Said { expressions, of_fields, .. } = said;
        messages.push(Ruled { own, expressions, of_fields, inside });
    }
    Ok(Some(Rules { messages, library, largest_pattern: reader.largest_pattern }))
}

impl Reached {
    /// None where the field holds no messages, or such as have no rules.
    fn inside(&mut self, field: FieldDescriptor, said: &Said) -> Option<Inside> {
        let Kind::Message(mut held) = field.kind() else { return None };
        if field.is_map() {
            let Kind::Message(value) = held.map_entry_value_field().kind() else { return None };
            held = value;
        }
        if held.full_name().starts_with("google.protobuf.") {
            return None;
        }
        let message = self.place(&held);
        let closed_if_empty = said.closed_if_empty.contains(&field.number());
        Some(Inside { field, message, closed_if_empty })
    }
}

/// Those that have rules, and all that hold them.
fn those_that_matter(read: &[(MessageDescriptor, Said, Vec<Inside>)]) -> Vec<bool> {
    let mut held_by = vec![Vec::new(); read.len()];
    for (at, (_, _, inside)) in read.iter().enumerate() {
        inside.iter().for_each(|inside| held_by[inside.message].push(at));
    }
    let has_rules =
        |said: &Said| said.has_rules || !said.expressions.is_empty() || !said.of_fields.is_empty();
    let mut matter: Vec<_> = read.iter().map(|(_, said, _)| has_rules(said)).collect();
    let mut next: Vec<_> = (0..read.len()).filter(|at| matter[*at]).collect();
    while let Some(at) = next.pop() {
        for holder in &held_by[at] {
            if !std::mem::replace(&mut matter[*holder], true) {
                next.push(*holder);
            }
        }
    }
    matter
}

impl Validator for Rules {
    fn validate(&self, message: &DynamicMessage) -> Result<Vec<Problem>, String> {
        let bytes = message.encoded_len();
        // What a pattern takes for a byte of a text grows with it.
        if bytes.saturating_mul(self.largest_pattern) > RULES_PATTERN_WORK_MAX {
            let limit = RULES_PATTERN_WORK_MAX / self.largest_pattern;
            return Err(format!("with its patterns an event may have {limit} bytes"));
        }
        let mut run = Run {
            rules: self,
            path: String::new(),
            problems: Vec::new(),
            allowance: Allowance::of(bytes),
        };
        match run.message(0, message) {
            // It is wrong whatever the others would have said.
            Err(_) if !run.problems.is_empty() => Ok(run.problems),
            checked => checked.map(|()| run.problems),
        }
    }
}

struct Run<'a> {
    rules: &'a Rules,
    /// Of the message it is at, from the event down.
    path: String,
    problems: Vec<Problem>,
    allowance: Allowance,
}

impl Run<'_> {
    /// Calls itself as deep as events may be nested.
    fn message(&mut self, at: usize, message: &DynamicMessage) -> Result<(), String> {
        let rules = self.rules;
        let Ruled { own, expressions, of_fields, inside } = &rules.messages[at];
        if let Some(own) = own {
            self.own(own, message)?;
        }
        self.ask(expressions, This::Message(message), "", &"", Part::Whole)?;
        for of_field in of_fields {
            let OfField { field, part, expressions, .. } = of_field;
            of_field.visit(message, |key, this| {
                self.ask(expressions, this, field.name(), key, *part)
            })?;
        }
        for Inside { field, message: at, closed_if_empty } in inside {
            if !message.has_field(field) {
                continue;
            }
            let is_closed = |held: &DynamicMessage| {
                *closed_if_empty && *held == DynamicMessage::new(held.descriptor())
            };
            let before = self.path.len();
            if before > 0 {
                self.path.push('.');
            }
            self.path.push_str(field.name());
            let value = message.get_field(field);
            if let Some(held) = value.as_message() {
                self.message(*at, held)?;
            }
            let listed = value.as_list().unwrap_or_default().iter().enumerate();
            for (index, held) in listed.filter_map(|(i, held)| Some((i, held.as_message()?))) {
                if !is_closed(held) {
                    self.element(*at, held, &index)?;
                }
            }
            let mapped = value.as_map().into_iter().flatten();
            for (key, held) in mapped.filter_map(|(key, held)| Some((key, held.as_message()?))) {
                if !is_closed(held) {
                    self.element(*at, held, &Key(key))?;
                }
            }
            self.path.truncate(before);
        }
        Ok(())
    }

    fn element(
        &mut self,
        at: usize,
        held: &DynamicMessage,
        key: &dyn fmt::Display,
    ) -> Result<(), String> {
        if self.problems.len() >= SCHEMA_PROBLEMS_MAX {
            return Ok(());
        }
        let before = self.path.len();
        write!(self.path, "[{key}]").expect("a string takes it");
        self.message(at, held)?;
        self.path.truncate(before);
        Ok(())
    }

    /// `field` and `key` are where `this` stands in the message.
    fn ask(
        &mut self,
        expressions: &[Expression],
        this: This<'_>,
        field: &str,
        key: &dyn fmt::Display,
        part: Part,
    ) -> Result<(), String> {
        for expression in expressions {
            if self.problems.len() >= SCHEMA_PROBLEMS_MAX {
                break;
            }
            let found = match expression.ask(this, &mut self.allowance) {
                Ok(None) => continue,
                found => found,
            };
            let path = self.below(&format!("{field}{key}"));
            let message = found.map_err(|failed| match path.as_str() {
                "" => failed,
                path => format!("{path}: {failed}"),
            })?;
            let of_key = if part == Part::Keys { "has a key: " } else { "" };
            let message = format!("{of_key}{}", message.unwrap_or_default());
            self.problems.push(Problem { path, message });
        }
        Ok(())
    }

    /// The path of what stands in the message.
    fn below(&self, inside: &str) -> String {
        match (self.path.as_str(), inside) {
            (path, "") => path.to_owned(),
            ("", inside) => inside.to_owned(),
            (path, inside) => format!("{path}.{inside}"),
        }
    }

    fn own(&mut self, own: &Own, message: &DynamicMessage) -> Result<(), String> {
        let library = &self.rules.library;
        let flat = own.flat(message)?;
        let Err(mut error) = library.validate_until_first(&flat) else { return Ok(()) };
        // One thing that is wrong takes a thousand times the memory of the byte that it is in.
        if flat.encoded_len() <= RULES_TOLD_BYTES_MAX
            && let Err(all) = library.validate(&flat)
        {
            error = all;
        }
        let Error::Validation(broken) = error else { return Err(error.to_string()) };
        for violation in broken.into_violations() {
            if self.problems.len() >= SCHEMA_PROBLEMS_MAX {
                break;
            }
            let path = self.below(&violation.field_path());
            let of_key = if violation.to_proto().for_key() { "has a key: " } else { "" };
            let message = match (violation.message(), violation.rule_id()) {
                ("", rule) => format!("{of_key}breaks the rule {rule}"),
                (message, _) => format!("{of_key}{message}"),
            };
            self.problems.push(Problem { path, message });
        }
        Ok(())
    }
}

impl Own {
    fn of(
        message: &MessageDescriptor,
        said: &Said,
        pool: &DescriptorPool,
        prefix: &str,
    ) -> Result<Own, Mistake> {
        let name = format!("{prefix}.{}", message.full_name());
        let flat = pool.get_message_by_name(&name);
        let flat = flat.ok_or_else(|| mistake(message.full_name(), "it is not there".into()))?;
        let fields = said.fields.iter();
        let fields = fields.filter_map(|number| Some((*number, flat.get_field(*number)?)));
        Ok(Own { fields: fields.collect(), flat })
    }

    /// The library finds mistakes when it first meets a message.
    fn try_out(
        &self,
        library: &Library,
        message: &MessageDescriptor,
        prefix: &str,
    ) -> Result<(), Mistake> {
        let tried = library.validate(&DynamicMessage::new(self.flat.clone()));
        let cause = match tried {
            Ok(()) | Err(Error::Validation(_)) => return Ok(()),
            Err(Error::Compilation(error)) => error.cause,
            Err(error) => error.to_string(),
        };
        let cause = cause.replace(&format!("{prefix}."), "");
        let named =
            message.fields().find(|field| cause.contains(&format!("`{}`", field.full_name())));
        let of = named.map_or_else(|| message.full_name().to_owned(), |f| f.full_name().to_owned());
        Err(Mistake { of, cause })
    }

    /// The message as the library sees it.
    fn flat(&self, message: &DynamicMessage) -> Result<DynamicMessage, String> {
        let mut flat = DynamicMessage::new(self.flat.clone());
        for (number, field) in &self.fields {
            if !message.has_field_by_number(*number) {
                continue;
            }
            let value = message.get_field_by_number(*number).ok_or("a field is not there")?;
            let value = flattened(&value, field)?;
            flat.try_set_field(field, value).map_err(|error| error.to_string())?;
        }
        Ok(flat)
    }
}

fn flattened(value: &Value, field: &FieldDescriptor) -> Result<Value, String> {
    let kind = field.kind();
    match (value, &kind) {
        (Value::Map(map), Kind::Message(entry)) => {
            let value = entry.map_entry_value_field();
            let entries = map.iter().map(|(key, held)| Ok((key.clone(), flattened(held, &value)?)));
            entries.collect::<Result<_, String>>().map(Value::Map)
        }
        (Value::List(held), Kind::Message(of)) => {
            let held = held.iter().map(|held| flattened_message(held, of));
            held.collect::<Result<_, String>>().map(Value::List)
        }
        (held @ Value::Message(_), Kind::Message(of)) => flattened_message(held, of),
        (value, _) => Ok(value.clone()),
    }
}

fn flattened_message(held: &Value, of: &MessageDescriptor) -> Result<Value, String> {
    let empty = DynamicMessage::new(of.clone());
    let Some(held) = held.as_message().filter(|_| of.full_name() != flat::EMPTY) else {
        return Ok(Value::Message(empty));
    };
    // Of another pool.
    let held = DynamicMessage::decode(of.clone(), &held.encode_to_vec()[..]);
    held.map(Value::Message).map_err(|error| error.to_string())
}

/// As it stands in paths.
struct Key<'a>(&'a MapKey);

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            MapKey::Bool(key) => write!(f, "{key}"),
            MapKey::I32(key) => write!(f, "{key}"),
            MapKey::I64(key) => write!(f, "{key}"),
            MapKey::U32(key) => write!(f, "{key}"),
            MapKey::U64(key) => write!(f, "{key}"),
            MapKey::String(key) => write!(f, "{key:?}"),
        }
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules").field("messages", &self.messages.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
