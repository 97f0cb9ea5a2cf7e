//! A pool for the library that evaluates rules: each message by itself. Fields that hold messages hold
//! empty ones there, so that what the library builds goes no deeper than one message, however
//! they hold each other, and goes away when it is not used any more: it never would where
//! messages go round in a circle.
//!
//! Written over the encoded form, because custom options are in it.

use std::{collections::HashSet, sync::LazyLock};

use prost::Message as _;
use prost_reflect::{DescriptorError, DescriptorPool};
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorProto,
    descriptor_proto::ExtensionRange,
    field_descriptor_proto::{Label, Type},
};

use crate::schema::{
    bundled::{VALIDATE, bundled, imports_of},
    wire::{Field, Fields, Malformed, Value, put_bytes, put_varint},
};

pub(super) const EMPTY: &str = "google.protobuf.Empty";
const EMPTY_FILE: &str = "google/protobuf/empty.proto";
const DESCRIPTOR_FILE: &str = "google/protobuf/descriptor.proto";
/// Of the options that have rules, in messages, fields and oneofs alike.
pub(super) const RULES: u32 = 1159;

// Of a `FileDescriptorSet`, and of a `FileDescriptorProto`.
const FILES: u32 = 1;
const PACKAGE: u32 = 2;
const IMPORTS: u32 = 3;
const MESSAGES: u32 = 4;
const SERVICES: u32 = 6;
const EXTENSIONS: u32 = 7;
// Of a `DescriptorProto`.
const FIELDS: u32 = 2;
const NESTED: u32 = 3;
const EXTENSIONS_INSIDE: u32 = 6;
// Of a `FieldDescriptorProto`.
const TYPE: u32 = 5;
const TYPE_NAME: u32 = 6;
const OPTIONS: u32 = 8;
const OPTIONS_OF_MESSAGE: u32 = 7;
// Rules in CEL, in `MessageRules` and `FieldRules`; rules of elements, in the latter.
const CEL_OF_MESSAGE: [u32; 2] = [3, 5];
const CEL_OF_FIELD: [u32; 2] = [23, 29];
const REPEATED: u32 = 18;
const MAP: u32 = 19;
const ITEMS_KEYS_VALUES: [u32; 2] = [4, 5];

/// `files` are encoded, imports first; `entries` the full names of those messages in them that are
/// entries of maps. Every package gets `prefix` before its name.
pub(super) fn pool<'a>(
    files: impl Iterator<Item = &'a [u8]>,
    entries: &HashSet<String>,
    prefix: &str,
) -> Result<DescriptorPool, String> {
    let flat = Flat { entries, prefix };
    let flattened: Result<Vec<_>, Malformed> = files.map(|file| flat.file(file)).collect();
    let flattened = flattened.map_err(|_| "its descriptors cannot be read".to_owned())?;
    // All of what protobuf says of itself takes five times as much as most schemas: only where a field is
    // of a type there.
    let pool = linked(&flattened, true).or_else(|_| linked(&flattened, false));
    pool.map_err(|error| error.to_string())
}

fn linked(
    files: &[(Vec<String>, Vec<u8>)],
    options_only: bool,
) -> Result<DescriptorPool, DescriptorError> {
    let mut set = Vec::new();
    let mut known = HashSet::from([VALIDATE.to_owned()]);
    if options_only {
        known.insert(DESCRIPTOR_FILE.to_owned());
        put_bytes(&mut set, FILES, options());
    }
    let mut imports = vec![EMPTY_FILE.to_owned()];
    imports.extend(imports_of(VALIDATE));
    imports.extend(files.iter().flat_map(|(imports, _)| imports.iter().cloned()));
    for import in imports {
        put_bundled(&import, &mut known, &mut set);
    }
    put_bytes(&mut set, FILES, validate());
    for (_, file) in files {
        put_bytes(&mut set, FILES, file);
    }
    DescriptorPool::decode(&set[..])
}

fn put_bundled(name: &str, known: &mut HashSet<String>, set: &mut Vec<u8>) {
    let Some(file) = bundled(name) else { return };
    if !known.insert(name.to_owned()) {
        return;
    }
    imports_of(name).iter().for_each(|import| put_bundled(import, known, set));
    put_bytes(set, FILES, &file);
}

/// Only as much of `buf/validate/validate.proto` as tells rules from other options: the library reads
/// what they say along its own, whole one.
fn validate() -> &'static [u8] {
    static FILE: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let of = [("message", "Message"), ("field", "Field"), ("oneof", "Oneof")];
        let message = |name| DescriptorProto { name: Some(name), ..DescriptorProto::default() };
        let extension = |name: &str, of: &str| FieldDescriptorProto {
            name: Some(name.to_owned()),
            number: i32::try_from(RULES).ok(),
            label: Some(Label::Optional.into()),
            r#type: Some(Type::Message.into()),
            type_name: Some(format!(".buf.validate.{of}Rules")),
            extendee: Some(format!(".google.protobuf.{of}Options")),
            ..FieldDescriptorProto::default()
        };
        let file = FileDescriptorProto {
            name: Some(VALIDATE.to_owned()),
            package: Some("buf.validate".to_owned()),
            dependency: vec![DESCRIPTOR_FILE.to_owned()],
            message_type: of.iter().map(|(_, of)| message(format!("{of}Rules"))).collect(),
            extension: of.iter().map(|(name, of)| extension(name, of)).collect(),
            ..FileDescriptorProto::default()
        };
        file.encode_to_vec()
    });
    &FILE
}

/// Only as much of [`DESCRIPTOR_FILE`] as options take.
fn options() -> &'static [u8] {
    static FILE: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let of = [
            "File",
            "Message",
            "Field",
            "Oneof",
            "Enum",
            "EnumValue",
            "Service",
            "Method",
            "ExtensionRange",
        ];
        let all = ExtensionRange { start: Some(1000), end: Some(1 << 29), options: None };
        let message = |of: &str| DescriptorProto {
            name: Some(format!("{of}Options")),
            extension_range: vec![all.clone()],
            ..DescriptorProto::default()
        };
        let file = FileDescriptorProto {
            name: Some(DESCRIPTOR_FILE.to_owned()),
            package: Some("google.protobuf".to_owned()),
            message_type: of.iter().copied().map(message).collect(),
            ..FileDescriptorProto::default()
        };
        file.encode_to_vec()
    });
    &FILE
}

struct Flat<'a> {
    entries: &'a HashSet<String>,
    prefix: &'a str,
}

impl Flat<'_> {
    /// With what it imports.
    fn file(&self, file: &[u8]) -> Result<(Vec<String>, Vec<u8>), Malformed> {
        let mut out = Vec::new();
        let mut imports = Vec::new();
        let mut package = self.prefix.to_owned();
        for field in Fields::of(file) {
            let field = field?;
            match (field.number, field.value) {
                (PACKAGE, Value::Bytes(own)) => {
                    package = format!("{}.{}", self.prefix, text(own)?);
                }
                (IMPORTS, Value::Bytes(import)) => {
                    imports.push(text(import)?.to_owned());
                    out.extend_from_slice(field.raw);
                }
                (MESSAGES, Value::Bytes(message)) => {
                    put_bytes(&mut out, MESSAGES, &self.message(message)?);
                }
                (SERVICES | EXTENSIONS, _) => (),
                _ => out.extend_from_slice(field.raw),
            }
        }
        put_bytes(&mut out, PACKAGE, package.as_bytes());
        if !imports.iter().any(|import| import == EMPTY_FILE) {
            put_bytes(&mut out, IMPORTS, EMPTY_FILE.as_bytes());
        }
        Ok((imports, out))
    }

    /// Calls itself as deep as messages are declared inside each other.
    fn message(&self, message: &[u8]) -> Result<Vec<u8>, Malformed> {
        let mut out = Vec::new();
        for field in Fields::of(message) {
            let field = field?;
            match (field.number, field.value) {
                (FIELDS, Value::Bytes(inner)) => {
                    put_bytes(&mut out, FIELDS, &self.field(inner)?);
                }
                (NESTED, Value::Bytes(inner)) => {
                    put_bytes(&mut out, NESTED, &self.message(inner)?);
                }
                (OPTIONS_OF_MESSAGE, Value::Bytes(options)) => {
                    let options =
                        options_without(options, |rules| without(rules, &CEL_OF_MESSAGE))?;
                    put_bytes(&mut out, OPTIONS_OF_MESSAGE, &options);
                }
                (EXTENSIONS_INSIDE, _) => (),
                _ => out.extend_from_slice(field.raw),
            }
        }
        Ok(out)
    }

    fn field(&self, field: &[u8]) -> Result<Vec<u8>, Malformed> {
        const MESSAGE: u64 = Type::Message as u64;
        const GROUP: u64 = Type::Group as u64;
        let mut out = Vec::new();
        let (mut kind, mut name) = (0, "");
        for inner in Fields::of(field) {
            match inner? {
                Field { number: TYPE, value: Value::Varint(value), .. } => kind = value,
                Field { number: TYPE_NAME, value: Value::Bytes(value), .. } => name = text(value)?,
                Field { number: OPTIONS, value: Value::Bytes(options), .. } => {
                    put_bytes(&mut out, OPTIONS, &options_without(options, without_cel)?);
                }
                inner => out.extend_from_slice(inner.raw),
            }
        }
        let own = name.trim_start_matches('.');
        let is_bundled = own.starts_with("google.protobuf.");
        let is_message = kind == MESSAGE || kind == GROUP;
        put_varint(&mut out, TYPE, if kind == GROUP { MESSAGE } else { kind });
        if own.is_empty() {
            return Ok(out);
        }
        let name = match () {
            () if is_bundled => name.to_owned(),
            () if is_message && !self.entries.contains(own) => format!(".{EMPTY}"),
            () => format!(".{}.{own}", self.prefix),
        };
        put_bytes(&mut out, TYPE_NAME, name.as_bytes());
        Ok(out)
    }
}

fn options_without(
    options: &[u8],
    rewrite: fn(&[u8]) -> Result<Vec<u8>, Malformed>,
) -> Result<Vec<u8>, Malformed> {
    rewritten(options, |field| match (field.number, field.value) {
        (RULES, Value::Bytes(rules)) => rewrite(rules).map(Some),
        _ => Ok(None),
    })
}

/// The library takes none; calls itself as deep as rules say something of elements.
fn without_cel(rules: &[u8]) -> Result<Vec<u8>, Malformed> {
    let rules = without(rules, &CEL_OF_FIELD)?;
    rewritten(&rules, |field| match (field.number, field.value) {
        (REPEATED | MAP, Value::Bytes(inside)) => {
            let inside = rewritten(inside, |field| match (field.number, field.value) {
                (number, Value::Bytes(rules)) if ITEMS_KEYS_VALUES.contains(&number) => {
                    without_cel(rules).map(Some)
                }
                _ => Ok(None),
            });
            inside.map(Some)
        }
        _ => Ok(None),
    })
}

fn without(message: &[u8], fields: &[u32]) -> Result<Vec<u8>, Malformed> {
    let kept = Fields::of(message)
        .filter(|field| !field.as_ref().is_ok_and(|field| fields.contains(&field.number)));
    kept.map(|field| Ok(field?.raw)).collect::<Result<Vec<_>, _>>().map(|kept| kept.concat())
}

/// With other values of some fields.
fn rewritten(
    message: &[u8],
    value_of: impl Fn(&Field<'_>) -> Result<Option<Vec<u8>>, Malformed>,
) -> Result<Vec<u8>, Malformed> {
    let mut out = Vec::new();
    for field in Fields::of(message) {
        let field = field?;
        match value_of(&field)? {
            Some(value) => put_bytes(&mut out, field.number, &value),
            None => out.extend_from_slice(field.raw),
        }
    }
    Ok(out)
}

fn text(bytes: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(bytes).map_err(|_| Malformed)
}
