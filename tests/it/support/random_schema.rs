//! Random small schemas, edits of them, and events. All of it from one seed.

use std::fmt::Write;

use fastrand::Rng;
use prost::bytes::Bytes;
use prost_reflect::{DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MapKey, Syntax, Value};
use tidings::schema::{Compiled, compatibility::Rule};

/// All messages in one file, all enums in another.
#[derive(Clone)]
pub(crate) struct Schema {
    proto2: bool,
    closed_enums: bool,
    messages: Vec<Message>,
    enums: Vec<Enum>,
    /// No name is drawn twice.
    drawn: u32,
}

#[derive(Clone, Default)]
struct Message {
    fields: Vec<Field>,
    reserved: Vec<String>,
}

#[derive(Clone)]
struct Field {
    number: u32,
    name: String,
    kind: String,
    label: Label,
    json_name: Option<String>,
    default: Option<&'static str>,
}

#[derive(Clone, Copy, PartialEq)]
enum Label {
    Plain,
    Optional,
    Required,
    Repeated,
    /// By what key.
    Map(&'static str),
    InOneof,
}

#[derive(Clone, Default)]
struct Enum {
    /// The first one is 0, and stays.
    values: Vec<(i32, String)>,
    reserved: Vec<String>,
}

const SCALARS: [&str; 15] = [
    "int32", "int64", "uint32", "uint64", "bool", "sint32", "sint64", "fixed32", "fixed64",
    "sfixed32", "sfixed64", "float", "double", "string", "bytes",
];
const GROUPS: [&[&str]; 5] = [
    &["int32", "int64", "uint32", "uint64", "bool", "E0", "E1"],
    &["sint32", "sint64"],
    &["fixed32", "sfixed32"],
    &["fixed64", "sfixed64"],
    &["string", "bytes"],
];
const KEYS: [&str; 4] = ["string", "int32", "uint32", "int64"];
pub(crate) const MESSAGES: usize = 3;
const ENUMS: usize = 2;

impl Schema {
    pub(crate) fn draw(rng: &mut Rng) -> Schema {
        let proto2 = rng.bool();
        let closed_enums = proto2 && rng.bool();
        let mut schema = Schema { proto2, closed_enums, messages: vec![], enums: vec![], drawn: 0 };
        for _ in 0..ENUMS {
            let mut drawn = Enum::default();
            if rng.bool() {
                drawn.reserved.extend(["500 to 505".to_owned(), "\"WAS\"".to_owned()]);
            }
            for number in 0..rng.i32(1..4) {
                drawn.values.push((number, schema.name().to_uppercase()));
            }
            schema.enums.push(drawn);
        }
        for _ in 0..MESSAGES {
            let mut message = Message::default();
            if rng.bool() {
                message.reserved.extend(["500 to 505".to_owned(), "\"was\"".to_owned()]);
            }
            for number in 1..rng.u32(2..6) {
                message.fields.push(schema.field(number, rng));
            }
            schema.messages.push(message);
        }
        schema
    }

    /// Of one of its messages.
    pub(crate) fn compile(&self, message: &str) -> Compiled {
        let [messages, enums] = self.files("a");
        let [messages, enums] = [&messages, &enums].map(|(path, text)| (&**path, text.as_bytes()));
        let compiled = Compiled::from_sources(&format!("a.{message}"), [messages, enums]);
        compiled
            .unwrap_or_else(|error| panic!("{error}\n{}\n{}", self.text("a"), self.enums_text("a")))
    }

    /// By the path under which they import each other, in a folder named as the package.
    pub(crate) fn files(&self, package: &str) -> [(String, String); 2] {
        [
            (format!("{package}/m.proto"), self.text(package)),
            (format!("{package}/e.proto"), self.enums_text(package)),
        ]
    }

    fn name(&mut self) -> String {
        self.drawn += 1;
        format!("n{}", self.drawn)
    }

    fn kind(rng: &mut Rng) -> String {
        match rng.u8(0..10) {
            0 | 1 => format!("M{}", rng.usize(0..MESSAGES)),
            2..=4 => format!("E{}", rng.usize(0..ENUMS)),
            _ => rng.choice(SCALARS).expect("some").to_owned(),
        }
    }

    /// As often as not one that reads the same bytes.
    fn kind_after(kind: &str, rng: &mut Rng) -> String {
        let group = GROUPS.iter().find(|group| group.contains(&kind)).filter(|_| rng.bool());
        match group {
            Some(group) => (*rng.choice(*group).expect("some")).to_owned(),
            None => Schema::kind(rng),
        }
    }

    fn field(&mut self, number: u32, rng: &mut Rng) -> Field {
        let kind = Schema::kind(rng);
        let label = self.label(&kind, rng);
        let mut field =
            Field { number, name: self.name(), kind, label, json_name: None, default: None };
        if rng.bool() {
            self.set_default(&mut field, rng);
        }
        field
    }

    /// Another one, or none where its kind and label have none.
    fn set_default(&self, field: &mut Field, rng: &mut Rng) {
        let defaults: &[_] = match field.kind.as_str() {
            "bool" => &["true", "false"],
            "string" | "bytes" => &["\"x\"", "\"y\""],
            kind if kind.starts_with(['M', 'E']) => &[],
            _ => &["7", "8"],
        };
        let has_one = self.proto2 && matches!(field.label, Label::Optional | Label::Required);
        field.default = rng.choice(defaults).copied().filter(|_| has_one);
    }

    fn label(&self, kind: &str, rng: &mut Rng) -> Label {
        match rng.u8(0..10) {
            0 | 1 => Label::Repeated,
            2 => Label::Map(rng.choice(KEYS).expect("some")),
            3..=5 => Label::InOneof,
            // A message that requires itself could never be written.
            6 if self.proto2 && !kind.starts_with('M') => Label::Required,
            6 => Label::Optional,
            _ if self.proto2 => Label::Optional,
            _ => Label::Plain,
        }
    }

    fn text(&self, package: &str) -> String {
        let syntax = if self.proto2 { "proto2" } else { "proto3" };
        let mut text =
            format!("syntax = \"{syntax}\"; package {package}; import \"{package}/e.proto\";\n");
        for (at, message) in self.messages.iter().enumerate() {
            let mut oneof = String::new();
            writeln!(text, "message M{at} {{").expect("a string");
            for field in &message.fields {
                let Field { number, name, kind, label, .. } = field;
                let options = field.options();
                let (out, label) = match label {
                    Label::Plain => (&mut text, String::new()),
                    Label::Optional => (&mut text, "optional ".to_owned()),
                    Label::Required => (&mut text, "required ".to_owned()),
                    Label::Repeated => (&mut text, "repeated ".to_owned()),
                    Label::InOneof => (&mut oneof, String::new()),
                    Label::Map(key) => {
                        writeln!(text, "  map<{key}, {kind}> {name} = {number}{options};")
                            .expect("a string");
                        continue;
                    }
                };
                writeln!(out, "  {label}{kind} {name} = {number}{options};").expect("a string");
            }
            if !oneof.is_empty() {
                writeln!(text, "  oneof o {{ {oneof} }}").expect("a string");
            }
            for reserved in &message.reserved {
                writeln!(text, "  reserved {reserved};").expect("a string");
            }
            text.push_str("}\n");
        }
        text
    }

    fn enums_text(&self, package: &str) -> String {
        let syntax = if self.closed_enums { "proto2" } else { "proto3" };
        let mut text = format!("syntax = \"{syntax}\"; package {package};\n");
        for (at, drawn) in self.enums.iter().enumerate() {
            writeln!(text, "enum E{at} {{").expect("a string");
            for (number, name) in &drawn.values {
                writeln!(text, "  {name} = {number};").expect("a string");
            }
            for reserved in &drawn.reserved {
                writeln!(text, "  reserved {reserved};").expect("a string");
            }
            text.push_str("}\n");
        }
        text
    }

    /// Changes something, and says which rules that may break.
    pub(crate) fn edit(&mut self, rng: &mut Rng) -> &'static [Rule] {
        use Rule::*;
        let at = rng.usize(0..MESSAGES);
        match rng.u8(0..17) {
            0 => {
                let number = 10 + self.drawn;
                let mut field = self.field(number, rng);
                let was_required = field.label == Label::Required;
                if was_required && rng.bool() {
                    field.label = Label::Optional;
                }
                let required = field.label == Label::Required;
                self.messages[at].fields.push(field);
                if required { &[RequiredAdded] } else { &[] }
            }
            1 => self.remove_field(at, true, rng),
            2 => self.remove_field(at, false, rng),
            3 => {
                let name = self.name();
                self.some_field(at, rng, |field, _| field.name = name);
                // Where it is removed afterwards, its first name is not reserved.
                &[FieldJsonNameChanged, FieldNameNotReserved]
            }
            4 | 5 => {
                self.some_field(at, rng, |field, rng| {
                    let kind = Schema::kind_after(&field.kind, rng);
                    if field.label != Label::Required || !kind.starts_with('M') {
                        field.kind = kind;
                        field.default = None;
                    }
                });
                KINDS
            }
            6 => {
                let drawn = self.clone();
                self.some_field(at, rng, |field, rng| {
                    field.default = None;
                    field.label = match field.label {
                        Label::Optional if drawn.proto2 && !field.kind.starts_with('M') => {
                            Label::Required
                        }
                        Label::Required => Label::Optional,
                        Label::Optional
                        | Label::Plain
                        | Label::Repeated
                        | Label::Map(_)
                        | Label::InOneof => drawn.label(&field.kind, rng),
                    }
                });
                LABELS
            }
            7 => {
                let outside = if self.proto2 { Label::Optional } else { Label::Plain };
                self.some_field(at, rng, |field, _| match field.label {
                    Label::InOneof => field.label = outside,
                    Label::Plain | Label::Optional => {
                        field.default = None;
                        field.label = Label::InOneof;
                    }
                    Label::Required | Label::Repeated | Label::Map(_) => (),
                });
                &[FieldsMovedIntoOneof, FieldsMovedOutOfOneof]
            }
            8 => {
                let name = self.name().to_uppercase();
                let drawn = &mut self.enums[rng.usize(0..ENUMS)];
                drawn.values.push((10 + i32::try_from(self.drawn).expect("few"), name));
                if self.closed_enums { &[EnumClosedValueUnknown] } else { &[] }
            }
            9 => self.remove_value(true, rng),
            10 => self.remove_value(false, rng),
            11 => {
                let name = self.name().to_uppercase();
                let drawn = &mut self.enums[rng.usize(0..ENUMS)];
                let which = rng.usize(0..drawn.values.len());
                drawn.values[which].1 = name;
                &[EnumValueNameChanged, EnumValueNotReserved]
            }
            12 => {
                rng.shuffle(&mut self.messages[at].fields);
                let values = &mut self.enums[rng.usize(0..ENUMS)].values;
                // The first one is what is read where none is set.
                rng.shuffle(&mut values[1..]);
                &[]
            }
            13 => {
                let name = self.name();
                self.some_field(at, rng, |field, _| field.json_name = Some(name));
                &[FieldJsonNameChanged]
            }
            14 => {
                let drawn = self.clone();
                self.some_field(at, rng, |field, rng| drawn.set_default(field, rng));
                &[]
            }
            15 => {
                let reserved = match rng.bool() {
                    true => &mut self.messages[at].reserved,
                    false => &mut self.enums[rng.usize(0..ENUMS)].reserved,
                };
                if !reserved.is_empty() {
                    reserved.remove(rng.usize(0..reserved.len()));
                }
                // It may be what an edit before this one has removed.
                UNRESERVED
            }
            _ => {
                if self.proto2 {
                    self.closed_enums = !self.closed_enums;
                }
                &[EnumClosedValueUnknown]
            }
        }
    }

    fn some_field(&mut self, at: usize, rng: &mut Rng, edit: impl FnOnce(&mut Field, &mut Rng)) {
        let fields = &mut self.messages[at].fields;
        if !fields.is_empty() {
            let which = rng.usize(0..fields.len());
            edit(&mut fields[which], rng);
        }
    }

    fn remove_field(&mut self, at: usize, reserve: bool, rng: &mut Rng) -> &'static [Rule] {
        let message = &mut self.messages[at];
        if message.fields.is_empty() {
            return &[];
        }
        let removed = message.fields.remove(rng.usize(0..message.fields.len()));
        if reserve {
            message.reserved.push(removed.number.to_string());
            message.reserved.push(format!("\"{}\"", removed.name));
            return &[Rule::OneofFieldRemoved, Rule::RequiredRemoved];
        }
        // The number may come back, as another field.
        if rng.bool() {
            let field = self.field(removed.number, rng);
            self.messages[at].fields.push(field);
        }
        GONE
    }

    fn remove_value(&mut self, reserve: bool, rng: &mut Rng) -> &'static [Rule] {
        use Rule::*;
        let drawn = &mut self.enums[rng.usize(0..ENUMS)];
        if drawn.values.len() == 1 {
            return &[];
        }
        let (number, name) = drawn.values.remove(rng.usize(1..drawn.values.len()));
        if reserve {
            drawn.reserved.push(number.to_string());
            drawn.reserved.push(format!("\"{name}\""));
            return &[EnumClosedValueUnknown, EnumValueNameChanged];
        }
        &[EnumClosedValueUnknown, EnumValueNotReserved]
    }
}

impl Field {
    fn options(&self) -> String {
        let json_name = self.json_name.as_ref().map(|name| format!("json_name = \"{name}\""));
        let default = self.default.map(|default| format!("default = {default}"));
        let options: Vec<_> = json_name.into_iter().chain(default).collect();
        if options.is_empty() { String::new() } else { format!(" [{}]", options.join(", ")) }
    }
}

const KINDS: &[Rule] = &[
    Rule::FieldScalarKindChanged,
    Rule::FieldKindChanged,
    Rule::FieldNamedTypeChanged,
    Rule::FieldJsonKindChanged,
    Rule::MapValueKindChanged,
    Rule::EnumClosedValueUnknown,
];
const UNRESERVED: &[Rule] = &[
    Rule::ReservedRemoved,
    Rule::FieldNumberNotReserved,
    Rule::FieldNameNotReserved,
    Rule::EnumValueNotReserved,
];
const LABELS: &[Rule] = &[
    Rule::FieldKindChanged,
    Rule::FieldLabelChanged,
    Rule::FieldNumericLabelChanged,
    Rule::FieldsMovedIntoOneof,
    Rule::FieldsMovedOutOfOneof,
    Rule::MapKeyKindChanged,
    Rule::RequiredAdded,
    Rule::RequiredRemoved,
];
const GONE: &[Rule] = &[
    Rule::FieldNumberNotReserved,
    Rule::FieldNameNotReserved,
    Rule::OneofFieldRemoved,
    Rule::RequiredAdded,
    Rule::RequiredRemoved,
    Rule::FieldJsonNameChanged,
    Rule::FieldScalarKindChanged,
    Rule::FieldKindChanged,
    Rule::FieldNamedTypeChanged,
    Rule::FieldJsonKindChanged,
    Rule::FieldLabelChanged,
    Rule::FieldNumericLabelChanged,
    Rule::FieldsMovedIntoOneof,
    Rule::FieldsMovedOutOfOneof,
    Rule::MapKeyKindChanged,
    Rule::MapValueKindChanged,
    Rule::EnumClosedValueUnknown,
];

/// An event of this type, with what is awkward at the edges.
pub(crate) fn event(
    descriptor: &prost_reflect::MessageDescriptor,
    depth: usize,
    rng: &mut Rng,
) -> DynamicMessage {
    let mut event = DynamicMessage::new(descriptor.clone());
    for field in descriptor.fields() {
        let is_message = matches!(field.kind(), Kind::Message(_)) && !field.is_map();
        if !field.is_required() && (rng.u8(0..4) == 0 || (is_message && depth == 0)) {
            continue;
        }
        event.set_field(&field, value(&field, depth, rng));
    }
    event
}

fn value(field: &FieldDescriptor, depth: usize, rng: &mut Rng) -> Value {
    if field.is_map() {
        let Kind::Message(entry) = field.kind() else { panic!("a map has entries") };
        let (key, value) = (entry.map_entry_key_field(), entry.map_entry_value_field());
        if matches!(value.kind(), Kind::Message(_)) && depth == 0 {
            return Value::Map([].into());
        }
        let entries = (0..rng.usize(0..3)).map(|_| {
            let key = scalar(&key.kind(), depth, rng).into_map_key();
            (key.unwrap_or(MapKey::Bool(true)), scalar(&value.kind(), depth, rng))
        });
        return Value::Map(entries.collect());
    }
    if field.is_list() {
        return Value::List(
            (0..rng.usize(0..3)).map(|_| scalar(&field.kind(), depth, rng)).collect(),
        );
    }
    scalar(&field.kind(), depth, rng)
}

fn scalar(kind: &Kind, depth: usize, rng: &mut Rng) -> Value {
    let text = ["", "hi", "é", "aGk="];
    match kind {
        Kind::Bool => Value::Bool(rng.bool()),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
            Value::I32(rng.choice([0, 1, 2, -1, i32::MIN, i32::MAX]).expect("some"))
        }
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
            Value::I64(rng.choice([0, 1, 7, -1, 1 << 40, i64::MIN, i64::MAX]).expect("some"))
        }
        Kind::Uint32 | Kind::Fixed32 => Value::U32(rng.choice([0, 1, 3, u32::MAX]).expect("some")),
        Kind::Uint64 | Kind::Fixed64 => {
            Value::U64(rng.choice([0, 1, 1 << 40, u64::MAX]).expect("some"))
        }
        Kind::Float => Value::F32(rng.choice([0.0, 1.5, -2.25, 1e30]).expect("some")),
        Kind::Double => Value::F64(rng.choice([0.0, 1.5, 1e300]).expect("some")),
        Kind::String => Value::String(rng.choice(text).expect("some").to_owned()),
        Kind::Bytes => Value::Bytes(Bytes::from_static(
            rng.choice([&b""[..], b"hi", b"\xff\x00"]).expect("some"),
        )),
        Kind::Enum(of) => Value::EnumNumber(enum_number(of, rng)),
        Kind::Message(of) => Value::Message(event(of, depth.saturating_sub(1), rng)),
    }
}

fn enum_number(of: &EnumDescriptor, rng: &mut Rng) -> i32 {
    let known: Vec<_> = of.values().map(|value| value.number()).collect();
    match !is_closed(of) && rng.u8(0..6) == 0 {
        true => 77,
        false => rng.choice(known).expect("some"),
    }
}

/// Those of proto2: what they do not know is not set.
pub(crate) fn is_closed(of: &EnumDescriptor) -> bool {
    of.parent_file().syntax() == Syntax::Proto2
}
