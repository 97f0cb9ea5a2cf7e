//! Random edits of random schemas: each field, value and reservation that one of the two says broken,
//! against what the other says of it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    env,
};

use fastrand::Rng;
use prost_reflect::{
    DescriptorPool, EnumValueDescriptor, FieldDescriptor, Kind, MessageDescriptor,
};
use tidings::schema::{
    Compatibility, Compiled,
    compatibility::{Json, Rule, check},
};

use super::{Broken, Sides, buf_breaking};
use crate::support::random_schema::{MESSAGES, Schema};

/// What one of them says something of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Field {
        message: String,
        number: u32,
    },
    Value {
        of: String,
        number: i32,
    },
    Oneofs {
        message: String,
    },
    Reserved {
        of: String,
    },
    /// Anything else that is said of a message or an enum.
    All {
        of: String,
    },
}

/// What is said of it, by both.
#[derive(Debug, Default)]
struct Said {
    violations: BTreeSet<Rule>,
    warnings: BTreeSet<Rule>,
    buf: BTreeSet<String>,
}

struct Case {
    package: String,
    older: Schema,
    newer: Schema,
}

/// A second or so; `TIDINGS_TEST_CASES` asks for more, `TIDINGS_TEST_SEED` for the same again.
#[test]
fn random_edits_break_for_us_what_they_break_for_buf() {
    let asked = |name: &str| env::var(name).ok().map(|asked| asked.parse::<u64>().expect(name));
    let seed = asked("TIDINGS_TEST_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("TIDINGS_TEST_SEED={seed}");
    let mut rng = Rng::with_seed(seed);
    let cases = 0..asked("TIDINGS_TEST_CASES").unwrap_or(300);
    let cases: Vec<_> = cases.map(|number| Case::draw(format!("c{number}"), &mut rng)).collect();

    let mut buf: BTreeMap<String, Vec<Broken>> = BTreeMap::new();
    for broken in buf_breaking(&Case::sides(&cases)) {
        buf.entry(broken.case()).or_default().push(broken);
    }
    let differences = cases
        .iter()
        .flat_map(|case| case.differences(&buf.remove(&case.package).unwrap_or_default()));
    let differences: Vec<_> = differences.collect();
    assert!(buf.is_empty(), "{buf:?}");
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

impl Case {
    fn draw(package: String, rng: &mut Rng) -> Case {
        let older = Schema::draw(rng);
        let mut newer = older.clone();
        for _ in 0..rng.u8(1..4) {
            newer.edit(rng);
        }
        Case { package, older, newer }
    }

    fn sides(cases: &[Case]) -> Sides {
        let files = |side: fn(&Case) -> &Schema| {
            cases.iter().flat_map(|case| side(case).files(&case.package)).collect()
        };
        Sides { before: files(|case| &case.older), after: files(|case| &case.newer) }
    }

    /// Where only one of them says that it breaks, and the docs do not say why.
    fn differences(&self, buf: &[Broken]) -> Vec<String> {
        let names = Names::of(&self.older.compile("M0"), &self.newer.compile("M0"));
        let mut parts: BTreeMap<Part, Said> = BTreeMap::new();
        for broken in buf {
            let part = names.part_of_buf(broken);
            parts.entry(part).or_default().buf.insert(broken.rule.clone());
        }
        for message in (0..MESSAGES).map(|number| format!("M{number}")) {
            let (older, newer) = (self.older.compile(&message), self.newer.compile(&message));
            let versions = [(1, older.message())];
            let verdict = check(versions, newer.message(), Compatibility::Full, Json::Used);
            for found in verdict.violations {
                let part = names.part(found.rule, &found.path);
                parts.entry(part).or_default().violations.insert(found.rule);
            }
            for found in verdict.warnings {
                let part = names.part(found.rule, &found.path);
                parts.entry(part).or_default().warnings.insert(found.rule);
            }
        }
        parts.retain(|part, said| !names.is_told(part, said));
        let [before, after] = [&self.older, &self.newer]
            .map(|schema| schema.files("a").map(|(_, text)| text).concat());
        let tell = |(part, said)| format!("{part:?}: {said:?}\n{before}\n{after}\n");
        parts.into_iter().map(tell).collect()
    }
}

/// What breaks for buf, and is a warning of ours.
const WARNINGS: [(&str, Rule); 3] = [
    ("FIELD_SAME_NAME", Rule::FieldNameChanged),
    ("FIELD_WIRE_JSON_COMPATIBLE_TYPE", Rule::FieldIntegerNarrowed),
    ("FIELD_SAME_DEFAULT", Rule::FieldDefaultChanged),
];

/// Which names there are in both versions: none is used twice.
struct Names {
    older: DescriptorPool,
    newer: DescriptorPool,
    fields: HashMap<String, FieldDescriptor>,
    values: HashMap<String, EnumValueDescriptor>,
}

impl Names {
    fn of(older: &Compiled, newer: &Compiled) -> Names {
        let (older, newer) = (older.pool().clone(), newer.pool().clone());
        let mut names = Names { older, newer, fields: HashMap::new(), values: HashMap::new() };
        for pool in [&names.newer, &names.older] {
            let fields = pool.all_messages().filter(|message| !message.is_map_entry());
            for field in fields.flat_map(|message| message.fields().collect::<Vec<_>>()) {
                names.fields.insert(field.name().to_owned(), field);
            }
            for value in pool.all_enums().flat_map(|of| of.values().collect::<Vec<_>>()) {
                names.values.insert(value.name().to_owned(), value);
            }
        }
        names
    }

    /// What a path of ours leads to, from a type down.
    fn part(&self, rule: Rule, path: &str) -> Part {
        match rule {
            Rule::FieldsMovedIntoOneof | Rule::FieldsMovedOutOfOneof => {
                Part::Oneofs { message: self.type_at(path) }
            }
            Rule::ReservedRemoved => Part::Reserved { of: self.type_at(path) },
            Rule::EnumDefaultChanged => Part::All { of: self.type_at(path) },
            // Of an enum, or of a field that becomes one.
            Rule::EnumClosedValueUnknown => match name_of_type(self.field_at(path).unwrap()) {
                Some(of) => Part::All { of },
                None => Part::field(self.field_at(path).unwrap()),
            },
            Rule::EnumValueAdded | Rule::EnumValueNotReserved | Rule::EnumValueNameChanged => {
                let value = &self.values[path.rsplit('.').next().unwrap()];
                let of = value.parent_enum().name().to_owned();
                Part::Value { of, number: value.number() }
            }
            _ => Part::field(self.field_at(path).unwrap()),
        }
    }

    /// The last one on the path.
    fn field_at(&self, path: &str) -> Option<&FieldDescriptor> {
        path.rsplit('.').find_map(|name| self.fields.get(name))
    }

    /// Of the last field on the path, or the first type of all.
    fn type_at(&self, path: &str) -> String {
        match self.field_at(path) {
            Some(field) => name_of_type(field).unwrap(),
            None => path.split('.').nth(1).unwrap().to_owned(),
        }
    }

    fn part_of_buf(&self, broken: &Broken) -> Part {
        let Broken { rule, message, .. } = broken;
        let after = |before: &str| {
            let (_, rest) = message.split_once(before)?;
            Some(rest.split_once('"').unwrap().0.to_owned())
        };
        let of = after(" on message \"").or_else(|| after(" on enum \"")).or_else(|| after(" \""));
        let of = of.unwrap_or_else(|| panic!("{message}"));
        match rule.as_str() {
            "FIELD_SAME_ONEOF" => Part::Oneofs { message: of },
            "RESERVED_MESSAGE_NO_DELETE" | "RESERVED_ENUM_NO_DELETE" => Part::Reserved { of },
            "MESSAGE_SAME_REQUIRED_FIELDS" => {
                let number = after("required field \"").unwrap().parse().unwrap();
                Part::Field { message: of, number }
            }
            rule if rule.starts_with("ENUM_VALUE_") => {
                let number = after("num value \"").unwrap().parse().unwrap();
                Part::Value { of, number }
            }
            rule if rule.starts_with("FIELD_") => match of.strip_suffix("Entry") {
                Some(map) => Part::field(&self.fields[&map.to_lowercase()]),
                None => {
                    Part::Field { message: of, number: after("ield \"").unwrap().parse().unwrap() }
                }
            },
            _ => Part::All { of },
        }
    }

    /// Both say the same, or docs/schemas.md says why not.
    fn is_told(&self, part: &Part, said: &Said) -> bool {
        match (said.violations.is_empty(), said.buf.is_empty()) {
            (true, true) | (false, false) => true,
            (false, true) => said.violations.iter().all(|rule| self.is_ours(*rule, part)),
            (true, false) => said.buf.iter().all(|rule| self.is_of_buf(rule, part, said)),
        }
    }

    fn is_ours(&self, rule: Rule, part: &Part) -> bool {
        match (rule, part) {
            (Rule::OneofFieldRemoved | Rule::EnumClosedValueUnknown, _) => true,
            // Where it is still there, buf has to say so, too.
            (Rule::EnumValueNameChanged, Part::Value { of, number }) => {
                let of = self.newer.get_enum_by_name(&format!("a.{of}")).unwrap();
                of.get_value(*number).is_none()
            }
            // Keys that only change their sign.
            (Rule::MapKeyKindChanged, Part::Field { message, number }) => {
                [&self.older, &self.newer].iter().all(|pool| {
                    let message = pool.get_message_by_name(&format!("a.{message}")).unwrap();
                    let Kind::Message(entry) = message.get_field(*number).unwrap().kind() else {
                        return false;
                    };
                    matches!(entry.map_entry_key_field().kind(), Kind::Int32 | Kind::Uint32)
                })
            }
            _ => false,
        }
    }

    fn is_of_buf(&self, rule: &str, part: &Part, said: &Said) -> bool {
        match part {
            Part::Oneofs { message } => self.is_alone(message),
            Part::Field { .. } => {
                let mut warned = said.warnings.iter().map(|ours| (rule, *ours));
                warned.any(|pair| WARNINGS.contains(&pair))
            }
            Part::Value { of, .. } | Part::Reserved { of } | Part::All { of } => {
                !self.is_reached(of)
            }
        }
    }

    /// Whether no two fields came into one oneof, or out of it.
    fn is_alone(&self, message: &str) -> bool {
        let [older, newer] = [&self.older, &self.newer]
            .map(|pool| pool.get_message_by_name(&format!("a.{message}")).unwrap());
        let together = |of: &MessageDescriptor, pair: [u32; 2]| {
            let [one, other] = pair.map(|number| {
                let field = of.get_field(number).unwrap();
                field.containing_oneof().filter(|oneof| !oneof.is_synthetic())
            });
            one.is_some() && one == other
        };
        let both = older.fields().map(|field| field.number());
        let both: Vec<_> = both.filter(|number| newer.get_field(*number).is_some()).collect();
        both.iter().all(|one| {
            let mut pairs = both.iter().filter(|other| one < *other).map(|other| [*one, *other]);
            pairs.all(|pair| together(&older, pair) == together(&newer, pair))
        })
    }

    /// Whether some field has this enum in both versions. Each message is a type of its own here.
    fn is_reached(&self, of: &str) -> bool {
        let reaches = |field: FieldDescriptor| {
            let message = self.newer.get_message_by_name(field.parent_message().full_name());
            let newer = message.and_then(|message| message.get_field(field.number()));
            newer.is_some_and(|newer| {
                let same = newer.is_map() == field.is_map() && newer.is_list() == field.is_list();
                same && [&field, &newer]
                    .map(name_of_type)
                    .iter()
                    .all(|name| name.as_deref() == Some(of))
            })
        };
        of.starts_with('M')
            || self.older.all_messages().any(|message| message.fields().any(reaches))
    }
}

impl Part {
    fn field(field: &FieldDescriptor) -> Part {
        Part::Field { message: field.parent_message().name().to_owned(), number: field.number() }
    }
}

/// The message or enum that a field has, or a map has as values.
fn name_of_type(field: &FieldDescriptor) -> Option<String> {
    match field.kind() {
        Kind::Message(entry) if entry.is_map_entry() => {
            name_of_type(&entry.map_entry_value_field())
        }
        Kind::Message(message) => Some(message.name().to_owned()),
        Kind::Enum(of) => Some(of.name().to_owned()),
        _ => None,
    }
}
