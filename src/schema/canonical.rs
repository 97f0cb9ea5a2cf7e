//! One form for descriptors that say the same: without source positions, and in an order that does
//! not depend on where things stood in their file.
//!
//! Works on the encoded form and follows descriptors: custom options survive, be they known or not.

use std::collections::HashMap;

use prost_reflect::{Cardinality, DescriptorPool, MessageDescriptor};

use super::wire::{Field, Fields, Value, put_bytes, put_group};
use crate::limits::SCHEMA_DECLARATIONS_MAX;

/// What protobuf's decoders follow.
const DEPTH_MAX: usize = 100;

const FILE: &str = "google.protobuf.FileDescriptorProto";
const MESSAGE: &str = "google.protobuf.DescriptorProto";
const ENUM: &str = "google.protobuf.EnumDescriptorProto";
const SERVICE: &str = "google.protobuf.ServiceDescriptorProto";
const SOURCE_CODE_INFO: u32 = 9;
/// Of `DescriptorProto`, and of its fields.
const FIELDS: u32 = 2;
const NAME: u32 = 1;
const NUMBER: u32 = 3;
const ONEOF_INDEX: u32 = 9;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Malformed,
    TooDeep,
    TooMany,
}

/// Brings files into their canonical form, and counts what they declare.
#[derive(Debug, Default)]
pub(super) struct Canonical {
    declarations: usize,
}

impl Canonical {
    /// `file` is an encoded `FileDescriptorProto`; `pool` knows the extensions that its options use,
    /// where it is linked.
    pub(super) fn file(
        &mut self,
        file: &[u8],
        pool: Option<&DescriptorPool>,
    ) -> Result<Vec<u8>, Refused> {
        let own = pool.and_then(|pool| pool.get_message_by_name(FILE));
        let descriptor = own.unwrap_or_else(|| {
            let global = DescriptorPool::global();
            global.get_message_by_name(FILE).expect("protobuf describes itself")
        });
        self.message(file, &descriptor, 0)
    }

    fn message(
        &mut self,
        message: &[u8],
        descriptor: &MessageDescriptor,
        depth: usize,
    ) -> Result<Vec<u8>, Refused> {
        if depth > DEPTH_MAX {
            return Err(Refused::TooDeep);
        }
        self.declarations += 1;
        if self.declarations > SCHEMA_DECLARATIONS_MAX {
            return Err(Refused::TooMany);
        }
        let order = Order::of(descriptor, message)?;
        let mut fields = Vec::new();
        for field in Fields::of(message) {
            let field = field.map_err(|_| Refused::Malformed)?;
            if descriptor.full_name() == FILE && field.number == SOURCE_CODE_INFO {
                continue;
            }
            let encoded = self.field(&field, descriptor, depth)?;
            fields.push((field.number, order.key(&field, &encoded)?, encoded));
        }
        fields.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        Ok(fields.into_iter().flat_map(|(.., encoded)| encoded).collect())
    }

    fn field(
        &mut self,
        field: &Field<'_>,
        descriptor: &MessageDescriptor,
        depth: usize,
    ) -> Result<Vec<u8>, Refused> {
        let Some(inner) = message_of(descriptor, field.number) else {
            return Ok(field.raw.to_vec());
        };
        let mut encoded = Vec::new();
        match field.value {
            Value::Bytes(value) => {
                put_bytes(&mut encoded, field.number, &self.message(value, &inner, depth + 1)?);
            }
            Value::Group(value) => {
                put_group(&mut encoded, field.number, &self.message(value, &inner, depth + 1)?);
            }
            Value::Varint(_) | Value::Fixed(_) => encoded.extend_from_slice(field.raw),
        }
        Ok(encoded)
    }
}

fn message_of(descriptor: &MessageDescriptor, number: u32) -> Option<MessageDescriptor> {
    let kind = match descriptor.get_field(number) {
        Some(field) => field.kind(),
        None => descriptor.get_extension(number)?.kind(),
    };
    kind.as_message().cloned()
}

/// In which order values of one field stand; the sort is stable, so equal keys keep theirs.
enum Order {
    /// Where order means something, or nothing is known of it.
    AsItStands,
    File,
    Service,
    Enum,
    /// The smallest number of each oneof: C++ wants fields of one oneof side by side.
    Message(HashMap<u64, u64>),
    /// Fields that are maps.
    Maps(MessageDescriptor),
}

impl Order {
    fn of(descriptor: &MessageDescriptor, message: &[u8]) -> Result<Order, Refused> {
        Ok(match descriptor.full_name() {
            FILE => Order::File,
            SERVICE => Order::Service,
            ENUM => Order::Enum,
            MESSAGE => Order::Message(oneofs(message)?),
            _ => {
                match descriptor.fields().any(|field| field.cardinality() == Cardinality::Repeated)
                {
                    true => Order::Maps(descriptor.clone()),
                    false => Order::AsItStands,
                }
            }
        })
    }

    fn key(&self, field: &Field<'_>, encoded: &[u8]) -> Result<Vec<u8>, Refused> {
        let Value::Bytes(value) = field.value else { return Ok(Vec::new()) };
        let name = || Ok(bytes_in(value, NAME)?.unwrap_or_default().to_vec());
        match (self, field.number) {
            // Messages, enums, services and extensions of a file; messages, enums and extensions
            // inside a message; methods of a service.
            (Order::File, 4..=7) | (Order::Message(_), 3 | 4 | 6) | (Order::Service, 2) => name(),
            (Order::Message(oneofs), FIELDS) => {
                let number = varint_in(value, NUMBER)?.unwrap_or_default();
                let oneof = varint_in(value, ONEOF_INDEX)?;
                let first = oneof.and_then(|index| oneofs.get(&index)).unwrap_or(&number);
                Ok([first.to_be_bytes(), number.to_be_bytes()].concat())
            }
            // What is reserved, and open for extensions.
            (Order::Message(_), 5 | 9 | 10) | (Order::Enum, 4 | 5) => Ok(value.to_vec()),
            (Order::Maps(descriptor), number) => {
                let is_map = descriptor.get_field(number).is_some_and(|field| field.is_map());
                Ok(if is_map { encoded.to_vec() } else { Vec::new() })
            }
            _ => Ok(Vec::new()),
        }
    }
}

fn oneofs(message: &[u8]) -> Result<HashMap<u64, u64>, Refused> {
    let mut smallest = HashMap::new();
    for field in Fields::of(message) {
        let field = field.map_err(|_| Refused::Malformed)?;
        let (FIELDS, Value::Bytes(value)) = (field.number, field.value) else { continue };
        let number = varint_in(value, NUMBER)?.unwrap_or_default();
        if let Some(oneof) = varint_in(value, ONEOF_INDEX)? {
            let first = smallest.entry(oneof).or_insert(number);
            *first = number.min(*first);
        }
    }
    Ok(smallest)
}

fn varint_in(message: &[u8], number: u32) -> Result<Option<u64>, Refused> {
    last(message, number).map(|value| match value {
        Some(Value::Varint(value)) => Some(value),
        _ => None,
    })
}

fn bytes_in(message: &[u8], number: u32) -> Result<Option<&[u8]>, Refused> {
    last(message, number).map(|value| match value {
        Some(Value::Bytes(value)) => Some(value),
        _ => None,
    })
}

/// The last one counts, as in every protobuf decoder.
fn last(message: &[u8], number: u32) -> Result<Option<Value<'_>>, Refused> {
    let mut found = None;
    for field in Fields::of(message) {
        let field = field.map_err(|_| Refused::Malformed)?;
        if field.number == number {
            found = Some(field.value);
        }
    }
    Ok(found)
}
