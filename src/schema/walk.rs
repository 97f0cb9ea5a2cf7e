//! Encoded messages walked along their type, without building them: whether each field is written as
//! its type is.
//!
//! The type is laid out flat first, since descriptors look fields up in trees and count references.
//! Where a field stands is worked out only when something is wrong with it.

use std::{fmt::Write as _, str};

use prost::encoding::decode_varint;
use prost_reflect::{Cardinality, Kind, MessageDescriptor};

use super::{
    check::Problem,
    reached::Reached,
    wire::{Fields, Value},
};
use crate::limits::SCHEMA_PROBLEMS_MAX;

/// What protobuf's decoders follow.
const DEPTH_MAX: usize = 100;

/// A type with all messages that it reaches; it is the first of them.
pub(super) struct Plan {
    messages: Vec<Message>,
}

struct Message {
    descriptor: MessageDescriptor,
    /// By number.
    fields: Vec<Field>,
    required: Vec<u32>,
}

/// A field or an extension of a message.
#[derive(Debug, Clone, Copy)]
struct Field {
    number: u32,
    written: Written,
    /// Maps are, too.
    is_repeated: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    /// Its place in the plan.
    Message(usize),
    Group(usize),
    Text,
    Bytes,
    Varint,
    /// In so many bytes.
    Fixed(usize),
}

/// What was found in bytes that are of the type.
#[derive(Debug, Default)]
pub(super) struct Walked {
    pub(super) unknown_fields: usize,
    /// Required fields that are not there.
    pub(super) missing: Vec<Problem>,
}

impl Plan {
    pub(super) fn of(root: &MessageDescriptor) -> Plan {
        let mut reached = Reached::default();
        reached.place(root);
        let mut messages = Vec::new();
        while let Some(descriptor) = reached.messages.get(messages.len()).cloned() {
            let fields = descriptor
                .fields()
                .map(|field| (field.number(), field.kind(), field.cardinality(), field.is_group()));
            let extensions = descriptor.extensions().map(|extension| {
                let (kind, is_group) = (extension.kind(), extension.is_group());
                (extension.number(), kind, extension.cardinality(), is_group)
            });
            let mut required = Vec::new();
            let mut fields: Vec<_> = fields
                .chain(extensions)
                .map(|(number, kind, cardinality, is_group)| {
                    if cardinality == Cardinality::Required {
                        required.push(number);
                    }
                    let written = reached.written(&kind, is_group);
                    Field { number, written, is_repeated: cardinality == Cardinality::Repeated }
                })
                .collect();
            fields.sort_by_key(|field| field.number);
            messages.push(Message { descriptor, fields, required });
        }
        Plan { messages }
    }

    /// `path` is what the bytes are to the caller.
    pub(super) fn walk(&self, bytes: &[u8], path: &str) -> Result<Walked, Problem> {
        let mut walk = Walk { plan: self, path, places: Vec::new(), walked: Walked::default() };
        walk.message(bytes, 0)?;
        Ok(walk.walked)
    }
}

impl Reached {
    fn written(&mut self, kind: &Kind, is_group: bool) -> Written {
        match kind {
            Kind::Message(inner) if is_group => Written::Group(self.place(inner)),
            Kind::Message(inner) => Written::Message(self.place(inner)),
            Kind::String => Written::Text,
            Kind::Bytes => Written::Bytes,
            Kind::Fixed32 | Kind::Sfixed32 | Kind::Float => Written::Fixed(4),
            Kind::Fixed64 | Kind::Sfixed64 | Kind::Double => Written::Fixed(8),
            Kind::Int32
            | Kind::Int64
            | Kind::Uint32
            | Kind::Uint64
            | Kind::Sint32
            | Kind::Sint64
            | Kind::Bool
            | Kind::Enum(_) => Written::Varint,
        }
    }
}

impl Message {
    fn field(&self, number: u32) -> Option<Field> {
        // Most are numbered from 1 without holes.
        let guess = self.fields.get((number as usize).wrapping_sub(1));
        guess.filter(|field| field.number == number).copied().or_else(|| {
            let found = self.fields.binary_search_by_key(&number, |field| field.number);
            found.ok().map(|at| self.fields[at])
        })
    }

    fn put_name(&self, path: &mut String, number: u32) {
        path.push('.');
        match (self.descriptor.get_field(number), self.descriptor.get_extension(number)) {
            (Some(field), _) => path.push_str(field.name()),
            (None, Some(extension)) => path.push_str(extension.json_name()),
            (None, None) => (),
        }
    }

    fn kind(&self, number: u32) -> Option<Kind> {
        let extension = || self.descriptor.get_extension(number).map(|field| field.kind());
        self.descriptor.get_field(number).map(|field| field.kind()).or_else(extension)
    }
}

struct Walk<'a> {
    plan: &'a Plan,
    path: &'a str,
    /// Fields that hold the one it is at, from the outermost on.
    places: Vec<Place<'a>>,
    walked: Walked,
}

#[derive(Clone, Copy)]
struct Place<'a> {
    message: usize,
    bytes: &'a [u8],
    /// Where in the bytes the field begins.
    at: usize,
    field: Field,
}

impl<'a> Walk<'a> {
    /// Calls itself as deep as [`DEPTH_MAX`].
    fn message(&mut self, bytes: &'a [u8], message: usize) -> Result<(), Problem> {
        if self.places.len() >= DEPTH_MAX {
            return Err(self.problem("nested more than 100 deep"));
        }
        let plan = self.plan;
        let of = &plan.messages[message];
        let mut seen: Vec<u32> = Vec::new();
        let mut fields = Fields::of(bytes);
        loop {
            let at = bytes.len() - fields.left();
            let Some(read) = fields.next() else { break };
            let read = read.map_err(|_| self.problem("is cut off, or no protobuf message"))?;
            let Some(field) = of.field(read.number) else {
                self.walked.unknown_fields += 1;
                continue;
            };
            let place = Place { message, bytes, at, field };
            match (field.written, read.value) {
                (Written::Varint, Value::Varint(_)) | (Written::Bytes, Value::Bytes(_)) => (),
                (Written::Text, Value::Bytes(text)) if str::from_utf8(text).is_ok() => (),
                (Written::Fixed(bytes), Value::Fixed(found)) if bytes == found => (),
                (Written::Message(inner), Value::Bytes(bytes))
                | (Written::Group(inner), Value::Group(bytes)) => {
                    self.places.push(place);
                    self.message(bytes, inner)?;
                    self.places.pop();
                }
                (written, value) => self.rare(place, written, value)?,
            }
            if !of.required.is_empty() {
                seen.push(field.number);
            }
        }
        for required in of.required.iter().filter(|required| !seen.contains(required)) {
            if self.walked.missing.len() < SCHEMA_PROBLEMS_MAX {
                let mut path = self.path();
                of.put_name(&mut path, *required);
                let message = "is required and not there".to_owned();
                self.walked.missing.push(Problem { path, message });
            }
        }
        Ok(())
    }

    /// Packed lists, and what is wrong.
    fn rare(
        &mut self,
        place: Place<'a>,
        written: Written,
        value: Value<'_>,
    ) -> Result<(), Problem> {
        let of = &self.plan.messages[place.message];
        let wrong = match (written, value) {
            (Written::Varint | Written::Fixed(_), Value::Bytes(packed))
                if place.field.is_repeated =>
            {
                if is_packed(packed, written) {
                    return Ok(());
                }
                "is no packed list of its numbers".to_owned()
            }
            (Written::Text, Value::Bytes(_)) => "is not UTF-8, which text has to be".to_owned(),
            _ => match of.kind(place.field.number) {
                Some(kind) => format!("is not written as {kind:?}"),
                None => "is not written as its type is".to_owned(),
            },
        };
        self.places.push(place);
        Err(self.problem(&wrong))
    }

    fn problem(&self, message: &str) -> Problem {
        Problem { path: self.path(), message: message.to_owned() }
    }

    fn path(&self) -> String {
        let mut path = self.path.to_owned();
        for place in &self.places {
            let Place { message, bytes, at, field } = place;
            self.plan.messages[*message].put_name(&mut path, field.number);
            if field.is_repeated {
                // A packed list has one place for all of its numbers.
                let before = Fields::of(&bytes[..*at]).flatten();
                let before = before.filter(|read| read.number == field.number).count();
                write!(path, "[{before}]").expect("a string takes it");
            }
        }
        path
    }
}

fn is_packed(mut packed: &[u8], written: Written) -> bool {
    if let Written::Fixed(size) = written {
        return packed.len().is_multiple_of(size);
    }
    while !packed.is_empty() {
        if decode_varint(&mut packed).is_err() {
            return false;
        }
    }
    true
}
