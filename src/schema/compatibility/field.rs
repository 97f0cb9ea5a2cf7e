//! What the rules ask of a field, be it one of the message or an extension of it; and which kinds
//! read each other.

use prost_reflect::{
    Cardinality, EnumDescriptor, ExtensionDescriptor, FieldDescriptor, Kind, MessageDescriptor,
    Syntax,
};

#[derive(Debug, Clone)]
pub(super) struct Field {
    pub(super) number: u32,
    pub(super) name: String,
    pub(super) json_name: String,
    pub(super) kind: Kind,
    pub(super) cardinality: Cardinality,
    pub(super) is_map: bool,
    pub(super) is_group: bool,
    pub(super) is_extension: bool,
    pub(super) has_presence: bool,
    pub(super) default: Option<String>,
    /// Of the oneof it is in, where somebody wrote that one.
    pub(super) oneof: Option<String>,
}

impl Field {
    /// Those of the message, and its extensions; by number.
    pub(super) fn all_of(message: &MessageDescriptor) -> Vec<Field> {
        let mut fields: Vec<_> = message.fields().map(|field| Field::of(&field)).collect();
        fields.extend(message.extensions().map(|extension| Field::of_extension(&extension)));
        fields.sort_by_key(|field| field.number);
        fields
    }

    fn of(field: &FieldDescriptor) -> Field {
        let oneof = field.containing_oneof().filter(|oneof| !oneof.is_synthetic());
        Field {
            number: field.number(),
            name: field.name().to_owned(),
            json_name: field.json_name().to_owned(),
            kind: field.kind(),
            cardinality: field.cardinality(),
            is_map: field.is_map(),
            is_group: field.is_group(),
            is_extension: false,
            has_presence: field.supports_presence(),
            default: field.field_descriptor_proto().default_value.clone(),
            oneof: oneof.map(|oneof| oneof.name().to_owned()),
        }
    }

    fn of_extension(extension: &ExtensionDescriptor) -> Field {
        Field {
            number: extension.number(),
            // In brackets, as JSON and the text format have it: no field takes its name.
            name: extension.json_name().to_owned(),
            json_name: extension.json_name().to_owned(),
            kind: extension.kind(),
            cardinality: extension.cardinality(),
            is_map: extension.is_map(),
            is_group: extension.is_group(),
            is_extension: true,
            has_presence: extension.supports_presence(),
            default: extension.field_descriptor_proto().default_value.clone(),
            oneof: None,
        }
    }

    pub(super) fn is_required(&self) -> bool {
        self.cardinality == Cardinality::Required
    }

    pub(super) fn is_repeated(&self) -> bool {
        self.cardinality == Cardinality::Repeated
    }

    pub(super) fn is_numeric(&self) -> bool {
        !matches!(self.kind, Kind::String | Kind::Bytes | Kind::Message(_))
    }
}

/// How what was written as one kind reads as another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reads {
    Exactly,
    /// Some values become others.
    Altered,
    /// Not at all, or as something else altogether.
    Not,
}

/// Of scalars and enums.
pub(super) fn reads(reader: &Kind, writer: &Kind) -> Reads {
    match (reader, writer) {
        (Kind::Bytes, Kind::String) => return Reads::Exactly,
        _ if same(reader, writer) => return Reads::Exactly,
        _ if encoding(reader) != encoding(writer) => return Reads::Not,
        _ => (),
    }
    match (range(reader), range(writer)) {
        (Some(reader), Some(writer)) if reader.0 <= writer.0 && writer.1 <= reader.1 => {
            Reads::Exactly
        }
        (Some(_), Some(_)) => Reads::Altered,
        // Text that is not UTF-8 does not decode.
        _ => Reads::Not,
    }
}

/// Whether the JSON of one kind is JSON of the other; both read each other's bytes.
pub(super) fn json_reads(reader: &Kind, writer: &Kind) -> bool {
    match (json(reader), json(writer)) {
        // An enum may be given by number, but not by its digits in quotes, as which 64 bits are written.
        (Json::Name | Json::Digits, Json::Number) | (Json::Number, Json::Digits) => true,
        (reader, writer) => reader == writer,
    }
}

/// A closed enum takes a number that it does not know for no value at all: those of proto2.
pub(super) fn is_closed(of: &EnumDescriptor) -> bool {
    of.parent_file().syntax() == Syntax::Proto2
}

pub(super) fn name_of(kind: &Kind) -> String {
    match (kind.as_message(), kind.as_enum()) {
        (Some(message), _) => format!("message {}", message.full_name()),
        (_, Some(of)) => format!("enum {}", of.full_name()),
        // As it stands in sources.
        _ => format!("{kind:?}").to_lowercase(),
    }
}

fn same(a: &Kind, b: &Kind) -> bool {
    match (a, b) {
        (Kind::Enum(_), Kind::Enum(_)) => true,
        (Kind::Message(_), _) | (_, Kind::Message(_)) => false,
        (a, b) => std::mem::discriminant(a) == std::mem::discriminant(b),
    }
}

#[derive(PartialEq)]
enum Encoding {
    Varint,
    ZigZag,
    Fixed32,
    Fixed64,
    Float,
    Double,
    Text,
    Message,
}

fn encoding(kind: &Kind) -> Encoding {
    match kind {
        Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 | Kind::Bool | Kind::Enum(_) => {
            Encoding::Varint
        }
        Kind::Sint32 | Kind::Sint64 => Encoding::ZigZag,
        Kind::Fixed32 | Kind::Sfixed32 => Encoding::Fixed32,
        Kind::Fixed64 | Kind::Sfixed64 => Encoding::Fixed64,
        Kind::Float => Encoding::Float,
        Kind::Double => Encoding::Double,
        Kind::String | Kind::Bytes => Encoding::Text,
        Kind::Message(_) => Encoding::Message,
    }
}

/// Which integers it holds.
fn range(kind: &Kind) -> Option<(i128, i128)> {
    Some(match kind {
        Kind::Bool => (0, 1),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 | Kind::Enum(_) => {
            (i32::MIN.into(), i32::MAX.into())
        }
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => (i64::MIN.into(), i64::MAX.into()),
        Kind::Uint32 | Kind::Fixed32 => (0, u32::MAX.into()),
        Kind::Uint64 | Kind::Fixed64 => (0, u64::MAX.into()),
        Kind::Float | Kind::Double | Kind::String | Kind::Bytes | Kind::Message(_) => return None,
    })
}

#[derive(PartialEq)]
enum Json {
    Bool,
    Number,
    Digits,
    Name,
    Text,
    Base64,
    Object,
}

fn json(kind: &Kind) -> Json {
    match kind {
        Kind::Bool => Json::Bool,
        Kind::Enum(_) => Json::Name,
        Kind::String => Json::Text,
        Kind::Bytes => Json::Base64,
        Kind::Message(_) => Json::Object,
        Kind::Int64 | Kind::Uint64 | Kind::Sint64 | Kind::Fixed64 | Kind::Sfixed64 => Json::Digits,
        Kind::Int32
        | Kind::Uint32
        | Kind::Sint32
        | Kind::Fixed32
        | Kind::Sfixed32
        | Kind::Float
        | Kind::Double => Json::Number,
    }
}
