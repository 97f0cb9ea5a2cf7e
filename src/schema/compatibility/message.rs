//! One version of a message against another, and everything they reach.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use prost_reflect::{EnumDescriptor, Kind, MessageDescriptor};

use super::{
    Asked, Direction, Found, Rule,
    Severity::{Breaks, Warns},
    field::{Field, Reads, is_closed, json_reads, name_of, reads},
    reserved::{Ranges, Reserved},
};

/// Breadth first, each pair of messages once: types may contain themselves, and every path named is
/// the shortest.
pub(super) fn compare(
    older: &MessageDescriptor,
    newer: &MessageDescriptor,
    asked: Asked,
    found: &mut Found,
) {
    let mut walk =
        Walk { asked, found, seen: HashSet::new(), enums: HashSet::new(), next: VecDeque::new() };
    walk.later(older, newer, older.full_name().to_owned());
    while let Some((older, newer, path)) = walk.next.pop_front() {
        walk.messages(&older, &newer, &path);
    }
}

struct Walk<'a> {
    asked: Asked,
    found: &'a mut Found,
    /// Messages, and enums, that are compared by now or will be: by name, as only those of the same name
    /// are.
    seen: HashSet<String>,
    enums: HashSet<String>,
    next: VecDeque<(MessageDescriptor, MessageDescriptor, String)>,
}

/// One field in both versions.
struct Pair<'a> {
    older: &'a Field,
    newer: &'a Field,
    path: &'a str,
    /// Whether it is the key or the value of a map.
    part: Part,
}

#[derive(Clone, Copy, PartialEq)]
enum Part {
    Field,
    MapKey,
    MapValue,
}

impl Part {
    fn kind_rule(self, rule: Rule) -> Rule {
        match self {
            Part::Field => rule,
            Part::MapKey => Rule::MapKeyKindChanged,
            Part::MapValue => Rule::MapValueKindChanged,
        }
    }
}

impl Walk<'_> {
    fn later(&mut self, older: &MessageDescriptor, newer: &MessageDescriptor, path: String) {
        if self.seen.insert(older.full_name().to_owned()) {
            self.next.push_back((older.clone(), newer.clone(), path));
        }
    }

    fn breaks(&mut self, rule: Rule, path: &str, message: String) {
        self.found.add(Breaks, rule, path, message);
    }

    fn warns(&mut self, rule: Rule, path: &str, message: String) {
        self.found.add(Warns, rule, path, message);
    }

    fn in_json(&mut self, rule: Rule, path: &str, message: String) {
        self.found.add(self.asked.json_severity(), rule, path, message);
    }

    fn asks(&self, direction: Direction) -> bool {
        self.asked.directions().contains(&direction)
    }

    fn messages(&mut self, older: &MessageDescriptor, newer: &MessageDescriptor, path: &str) {
        let (old_fields, new_fields) = (Field::all_of(older), Field::all_of(newer));
        let by_number = |fields: &[Field]| -> HashMap<u32, Field> {
            fields.iter().map(|field| (field.number, field.clone())).collect()
        };
        let (old_numbers, new_numbers) = (by_number(&old_fields), by_number(&new_fields));
        let reserved = Reserved::by_message(newer);
        for old in &old_fields {
            let path = format!("{path}.{}", old.name);
            match new_numbers.get(&old.number) {
                Some(new) => self.field(old, new, &path),
                None => {
                    let moved = newer.get_field_by_name(&old.name).map(|moved| moved.number());
                    self.field_removed(old, moved, &reserved, &path);
                }
            }
        }
        for new in new_fields.iter().filter(|new| !old_numbers.contains_key(&new.number)) {
            self.field_added(new, older, &format!("{path}.{}", new.name));
        }
        for direction in self.asked.directions() {
            self.oneofs(*direction, &old_fields, &new_fields, path);
        }
        self.kept(older, newer, path);
        self.declared_inside(older, newer, path);
    }

    fn field_removed(&mut self, old: &Field, moved: Option<u32>, reserved: &Reserved, path: &str) {
        let number = old.number;
        if !reserved.numbers.contains(number.into()) && !old.is_extension {
            let to_do = match moved {
                Some(moved) => {
                    format!("its name has the number {moved} now: give it {number} again")
                }
                None => format!("its number could come to mean another: add `reserved {number};`"),
            };
            self.breaks(Rule::FieldNumberNotReserved, path, format!("field removed, {to_do}"));
        }
        if !old.is_extension && !reserved.names.contains(&old.name) {
            let name = &old.name;
            let message = format!(
                "field removed, its name could come to mean another in JSON: add `reserved \"{name}\";`"
            );
            self.breaks(Rule::FieldNameNotReserved, path, message);
        }
        if old.is_required() && self.asks(Direction::Forward) {
            let message = "old readers refuse events without this required field: keep it";
            self.breaks(Rule::RequiredRemoved, path, message.to_owned());
        }
        if let Some(oneof) = old.oneof.as_ref().filter(|_| self.asks(Direction::Backward)) {
            let message = format!(
                "new readers see nothing set in oneof {oneof} of old events: keep the field"
            );
            self.breaks(Rule::OneofFieldRemoved, path, message);
        }
    }

    fn field_added(&mut self, new: &Field, older: &MessageDescriptor, path: &str) {
        if new.is_required() && self.asks(Direction::Backward) {
            let message =
                "new readers refuse old events, which have no such field: make it optional";
            self.breaks(Rule::RequiredAdded, path, message.to_owned());
        }
        let oneof = new.oneof.as_ref().filter(|_| self.asks(Direction::Forward));
        if let Some(oneof) = oneof.filter(|oneof| older.oneofs().any(|old| old.name() == *oneof)) {
            let message = format!("old readers see nothing set in oneof {oneof} of new events");
            self.warns(Rule::OneofFieldAdded, path, message);
        }
    }

    fn field(&mut self, old: &Field, new: &Field, path: &str) {
        self.names(old, new, path);
        self.required(old, new, path);
        if old.is_map != new.is_map {
            let message = "a map became something else, or the reverse: add a new field".to_owned();
            return self.breaks(Rule::FieldKindChanged, path, message);
        }
        if old.is_repeated() != new.is_repeated() {
            return self.label_changed(old, new, path);
        }
        let is_message =
            matches!((&old.kind, &new.kind), (Kind::Message(_), _) | (_, Kind::Message(_)));
        if old.has_presence != new.has_presence && !is_message {
            let message = "one version tells a field that is not set from one that is zero or empty, \
                           the other does not";
            self.warns(Rule::FieldPresenceChanged, path, message.to_owned());
        }
        if old.default != new.default {
            let message = "where the field is not set, both versions read another value";
            self.warns(Rule::FieldDefaultChanged, path, message.to_owned());
        }
        self.kinds(&Pair { older: old, newer: new, path, part: Part::Field });
    }

    fn names(&mut self, old: &Field, new: &Field, path: &str) {
        if old.json_name != new.json_name {
            let (old, new) = (&old.json_name, &new.json_name);
            let message = format!(
                "JSON has {old:?} in one version and {new:?} in the other: keep the name, or set \
                 json_name = {old:?}"
            );
            self.in_json(Rule::FieldJsonNameChanged, path, message);
        } else if old.name != new.name {
            let message = format!("field renamed to {}: programs have to be changed", new.name);
            self.warns(Rule::FieldNameChanged, path, message);
        }
    }

    fn required(&mut self, old: &Field, new: &Field, path: &str) {
        if new.is_required() && !old.is_required() && self.asks(Direction::Backward) {
            let message = "new readers refuse old events without this field: leave it optional";
            self.breaks(Rule::RequiredAdded, path, message.to_owned());
        }
        if old.is_required() && !new.is_required() && self.asks(Direction::Forward) {
            let message = "old readers refuse new events without this field: leave it required";
            self.breaks(Rule::RequiredRemoved, path, message.to_owned());
        }
    }

    fn label_changed(&mut self, old: &Field, new: &Field, path: &str) {
        let rule = match old.is_numeric() || new.is_numeric() {
            true => Rule::FieldNumericLabelChanged,
            false => Rule::FieldLabelChanged,
        };
        let became = if new.is_repeated() { "repeated" } else { "singular" };
        let message = format!(
            "field became {became}: readers of the singular one keep one element of many: add a new \
             field"
        );
        self.breaks(rule, path, message);
    }

    fn kinds(&mut self, pair: &Pair<'_>) {
        let Pair { older, newer, path, part } = *pair;
        match (&older.kind, &newer.kind) {
            (Kind::Message(old), Kind::Message(new)) if older.is_map && part == Part::Field => {
                self.map(old, new, path);
            }
            (Kind::Message(old), Kind::Message(new)) => {
                if older.is_group != newer.is_group {
                    let message = "a group became a message, or the reverse: add a new field";
                    self.breaks(part.kind_rule(Rule::FieldKindChanged), path, message.to_owned());
                } else if self.named(old.full_name(), new.full_name(), path, part) {
                    self.later(old, new, path.to_owned());
                }
            }
            (Kind::Message(_), _) | (_, Kind::Message(_)) => {
                let rule = part.kind_rule(Rule::FieldKindChanged);
                self.breaks(rule, path, changed(&older.kind, &newer.kind));
            }
            (Kind::Enum(old), Kind::Enum(new)) => {
                if self.named(old.full_name(), new.full_name(), path, part) {
                    self.enums(old, new, path);
                }
            }
            _ => self.scalars(pair),
        }
    }

    /// Whether both are the same type.
    fn named(&mut self, old: &str, new: &str, path: &str, part: Part) -> bool {
        if old == new {
            return true;
        }
        let name = |full: &str| full.rsplit('.').next().unwrap_or_default().to_owned();
        let rule = match name(old) == name(new) {
            true => Rule::PackageChanged,
            false => Rule::FieldNamedTypeChanged,
        };
        let message = format!("type changed from {old} to {new}: keep it, or add a new field");
        self.breaks(part.kind_rule(rule), path, message);
        false
    }

    fn map(&mut self, old: &MessageDescriptor, new: &MessageDescriptor, path: &str) {
        let parts = |entry: &MessageDescriptor| {
            let fields = Field::all_of(entry);
            let find = |number| fields.iter().find(|field| field.number == number).cloned();
            Some((find(1)?, find(2)?))
        };
        let (Some(old), Some(new)) = (parts(old), parts(new)) else { return };
        let (key, value) = (format!("{path}.key"), format!("{path}.value"));
        self.kinds(&Pair { older: &old.0, newer: &new.0, path: &key, part: Part::MapKey });
        self.kinds(&Pair { older: &old.1, newer: &new.1, path: &value, part: Part::MapValue });
    }

    fn scalars(&mut self, pair: &Pair<'_>) {
        let Pair { older, newer, path, part } = *pair;
        for direction in self.asked.directions() {
            let (reader, writer) = direction.sides(&older.kind, &newer.kind);
            match reads(reader, writer) {
                Reads::Exactly => (),
                // Keys that become equal lose entries.
                Reads::Altered if part == Part::MapKey => {
                    let message = changed(&older.kind, &newer.kind);
                    self.breaks(Rule::MapKeyKindChanged, path, message);
                }
                Reads::Altered => {
                    let (who, events) = (direction.reader(), direction.events());
                    let (reader, writer) = (name_of(reader), name_of(writer));
                    let message = format!(
                        "{who} read {writer} of {events} as {reader}, which does not hold every value"
                    );
                    self.warns(Rule::FieldIntegerNarrowed, path, message);
                }
                Reads::Not => {
                    let rule = part.kind_rule(Rule::FieldScalarKindChanged);
                    self.breaks(rule, path, changed(&older.kind, &newer.kind));
                    continue;
                }
            }
            if !json_reads(reader, writer) {
                let message = format!(
                    "{} cannot read the JSON of {}: add a new field",
                    direction.reader(),
                    direction.events()
                );
                self.in_json(Rule::FieldJsonKindChanged, path, message);
            }
            if let Kind::Enum(of) = reader
                && is_closed(of)
            {
                self.closed(of, None, *direction, path);
            }
        }
    }

    fn enums(&mut self, older: &EnumDescriptor, newer: &EnumDescriptor, path: &str) {
        if !self.enums.insert(older.full_name().to_owned()) {
            return;
        }
        for direction in self.asked.directions() {
            let (reader, writer) = direction.sides(older, newer);
            if is_closed(reader) {
                self.closed(reader, Some(writer), *direction, path);
            }
        }
        let (old, new) = (older.default_value().number(), newer.default_value().number());
        if old != new {
            let message = format!(
                "the first value was {old} and is {new}: fields that are not set read differently; \
                 keep it first"
            );
            self.breaks(Rule::EnumDefaultChanged, path, message);
        }
        let (was_reserved, reserved) = (Reserved::by_enum(older), Reserved::by_enum(newer));
        for value in older.values() {
            self.enum_value(value.number(), value.name(), newer, &reserved, path);
        }
        if self.asks(Direction::Forward) {
            for value in newer.values().filter(|new| older.get_value(new.number()).is_none()) {
                let message = format!("old readers do not know {} by name", value.name());
                let path = format!("{path}.{}", value.name());
                self.warns(Rule::EnumValueAdded, &path, message);
            }
        }
        self.reserved_kept(&was_reserved, &reserved, path);
    }

    fn enum_value(
        &mut self,
        number: i32,
        name: &str,
        newer: &EnumDescriptor,
        reserved: &Reserved,
        path: &str,
    ) {
        let path = format!("{path}.{name}");
        if newer.get_value(number).is_some() {
            // Aliases count: JSON reads any of them.
            if newer.get_value_by_name(name).is_none_or(|new| new.number() != number) {
                let message =
                    format!("{number} is no longer called {name}: keep the name, also as alias");
                self.in_json(Rule::EnumValueNameChanged, &path, message);
            }
            return;
        }
        if !reserved.numbers.contains(number.into()) || !reserved.names.contains(name) {
            let message = format!(
                "value removed, and could come to mean another: add `reserved {number}; reserved \
                 \"{name}\";`"
            );
            self.breaks(Rule::EnumValueNotReserved, &path, message);
        } else if self.asks(Direction::Backward) {
            let message = format!("new readers cannot read {name} in the JSON of old events");
            self.in_json(Rule::EnumValueNameChanged, &path, message);
        }
    }

    /// `writer` is none where any integer may be written.
    fn closed(
        &mut self,
        reader: &EnumDescriptor,
        writer: Option<&EnumDescriptor>,
        direction: Direction,
        path: &str,
    ) {
        let unknown = writer
            .filter(|writer| is_closed(writer))
            .map(|writer| writer.values().find(|value| reader.get_value(value.number()).is_none()));
        let which = match unknown {
            Some(None) => return,
            Some(Some(value)) => format!("{} = {}", value.name(), value.number()),
            None => "any number".to_owned(),
        };
        let (who, events) = (direction.reader(), direction.events());
        let message = format!(
            "{events} may have {which}, and {who} take what their closed enum {} does not know for \
             nothing: define the enum in a proto3 file, or add a new field",
            reader.full_name()
        );
        self.breaks(Rule::EnumClosedValueUnknown, path, message);
    }

    /// Of two fields that a reader has in one oneof the last one wins: a writer has to have them in one,
    /// too.
    fn oneofs(&mut self, direction: Direction, old: &[Field], new: &[Field], path: &str) {
        let (reader, writer) = direction.sides(old, new);
        let written: HashMap<u32, &Field> =
            writer.iter().map(|field| (field.number, field)).collect();
        let mut of: BTreeMap<&str, Vec<&Field>> = BTreeMap::new();
        for field in reader.iter().filter(|field| written.contains_key(&field.number)) {
            if let Some(oneof) = &field.oneof {
                of.entry(oneof).or_default().push(written[&field.number]);
            }
        }
        for (oneof, fields) in of {
            let first = fields[0].oneof.as_ref();
            let together = first.is_some() && fields.iter().all(|one| one.oneof.as_ref() == first);
            if together || fields.len() == 1 {
                continue;
            }
            let names: Vec<_> = fields.iter().map(|field| field.name.as_str()).collect();
            let (rule, to_do) = match direction {
                Direction::Backward => (Rule::FieldsMovedIntoOneof, "leave them outside"),
                Direction::Forward => (Rule::FieldsMovedOutOfOneof, "leave them inside"),
            };
            let message = format!(
                "{} may have several of {} set, of which {} keep one: {to_do}",
                direction.events(),
                names.join(", "),
                direction.reader(),
            );
            self.breaks(rule, &format!("{path}.{oneof}"), message);
        }
    }

    /// What was promised never to be used, or to be open for others.
    fn kept(&mut self, older: &MessageDescriptor, newer: &MessageDescriptor, path: &str) {
        self.reserved_kept(&Reserved::by_message(older), &Reserved::by_message(newer), path);
        let open = |message: &MessageDescriptor| {
            let ranges = message.extension_ranges();
            Ranges::of(ranges.map(|range| (range.start.into(), range.end.into())))
        };
        for (start, end) in open(older).missing_in(&open(newer)) {
            let last = end - 1;
            let message = format!("{start} to {last} were open for extensions: keep them so");
            self.breaks(Rule::ExtensionRangeRemoved, path, message);
        }
        let is_set = |message: &MessageDescriptor| {
            let options = message.descriptor_proto().options.as_ref();
            options.is_some_and(|options| options.message_set_wire_format())
        };
        if is_set(older) != is_set(newer) {
            let message = "message_set_wire_format changed: leave it".to_owned();
            self.breaks(Rule::MessageSetChanged, path, message);
        }
    }

    fn reserved_kept(&mut self, older: &Reserved, newer: &Reserved, path: &str) {
        for (start, end) in older.numbers.missing_in(&newer.numbers) {
            let last = end - 1;
            let message = format!("the numbers {start} to {last} were reserved: keep them so");
            self.breaks(Rule::ReservedRemoved, path, message);
        }
        let mut names: Vec<_> = older.names.difference(&newer.names).collect();
        names.sort();
        for name in names {
            let message = format!("the name {name} was reserved: keep it so");
            self.breaks(Rule::ReservedRemoved, &format!("{path}.{name}"), message);
        }
    }

    /// A `google.protobuf.Any` in an old event may hold what is declared here.
    fn declared_inside(
        &mut self,
        older: &MessageDescriptor,
        newer: &MessageDescriptor,
        path: &str,
    ) {
        if !self.asks(Direction::Backward) {
            return;
        }
        let pool = newer.parent_pool();
        for message in older.child_messages().filter(|message| !message.is_map_entry()) {
            if pool.get_message_by_name(message.full_name()).is_none() {
                let said = format!("message {} removed: keep it", message.full_name());
                self.breaks(Rule::MessageRemoved, &format!("{path}.{}", message.name()), said);
            }
        }
        for of in older.child_enums() {
            if pool.get_enum_by_name(of.full_name()).is_none() {
                let said = format!("enum {} removed: keep it", of.full_name());
                self.breaks(Rule::EnumRemoved, &format!("{path}.{}", of.name()), said);
            }
        }
    }
}

fn changed(old: &Kind, new: &Kind) -> String {
    let (old, new) = (name_of(old), name_of(new));
    format!(
        "type changed from {old} to {new}, which reads other bytes: keep it, or add a new field"
    )
}
