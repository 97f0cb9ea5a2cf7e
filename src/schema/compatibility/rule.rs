//! The rules, by their stable names.

use std::fmt;

/// What a change broke. `docs/schemas.md` says of each in which direction it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    FieldNumberNotReserved,
    FieldNameNotReserved,
    FieldScalarKindChanged,
    FieldKindChanged,
    FieldNamedTypeChanged,
    PackageChanged,
    FieldNumericLabelChanged,
    FieldLabelChanged,
    FieldIntegerNarrowed,
    FieldNameChanged,
    FieldJsonNameChanged,
    FieldJsonKindChanged,
    FieldPresenceChanged,
    FieldDefaultChanged,
    MapKeyKindChanged,
    MapValueKindChanged,
    RequiredAdded,
    RequiredRemoved,
    OneofFieldAdded,
    OneofFieldRemoved,
    FieldsMovedIntoOneof,
    FieldsMovedOutOfOneof,
    MessageRemoved,
    MessageSetChanged,
    EnumRemoved,
    EnumValueAdded,
    EnumValueNotReserved,
    EnumValueNameChanged,
    EnumDefaultChanged,
    EnumClosedValueUnknown,
    ReservedRemoved,
    ExtensionRangeRemoved,
}

impl Rule {
    pub const ALL: [Rule; 32] = [
        Rule::FieldNumberNotReserved,
        Rule::FieldNameNotReserved,
        Rule::FieldScalarKindChanged,
        Rule::FieldKindChanged,
        Rule::FieldNamedTypeChanged,
        Rule::PackageChanged,
        Rule::FieldNumericLabelChanged,
        Rule::FieldLabelChanged,
        Rule::FieldIntegerNarrowed,
        Rule::FieldNameChanged,
        Rule::FieldJsonNameChanged,
        Rule::FieldJsonKindChanged,
        Rule::FieldPresenceChanged,
        Rule::FieldDefaultChanged,
        Rule::MapKeyKindChanged,
        Rule::MapValueKindChanged,
        Rule::RequiredAdded,
        Rule::RequiredRemoved,
        Rule::OneofFieldAdded,
        Rule::OneofFieldRemoved,
        Rule::FieldsMovedIntoOneof,
        Rule::FieldsMovedOutOfOneof,
        Rule::MessageRemoved,
        Rule::MessageSetChanged,
        Rule::EnumRemoved,
        Rule::EnumValueAdded,
        Rule::EnumValueNotReserved,
        Rule::EnumValueNameChanged,
        Rule::EnumDefaultChanged,
        Rule::EnumClosedValueUnknown,
        Rule::ReservedRemoved,
        Rule::ExtensionRangeRemoved,
    ];

    /// As it stands in errors: for ever.
    pub fn name(self) -> &'static str {
        match self {
            Rule::FieldNumberNotReserved => "FIELD_NUMBER_NOT_RESERVED",
            Rule::FieldNameNotReserved => "FIELD_NAME_NOT_RESERVED",
            Rule::FieldScalarKindChanged => "FIELD_SCALAR_KIND_CHANGED",
            Rule::FieldKindChanged => "FIELD_KIND_CHANGED",
            Rule::FieldNamedTypeChanged => "FIELD_NAMED_TYPE_CHANGED",
            Rule::PackageChanged => "PACKAGE_CHANGED",
            Rule::FieldNumericLabelChanged => "FIELD_NUMERIC_LABEL_CHANGED",
            Rule::FieldLabelChanged => "FIELD_LABEL_CHANGED",
            Rule::FieldIntegerNarrowed => "FIELD_INTEGER_NARROWED",
            Rule::FieldNameChanged => "FIELD_NAME_CHANGED",
            Rule::FieldJsonNameChanged => "FIELD_JSON_NAME_CHANGED",
            Rule::FieldJsonKindChanged => "FIELD_JSON_KIND_CHANGED",
            Rule::FieldPresenceChanged => "FIELD_PRESENCE_CHANGED",
            Rule::FieldDefaultChanged => "FIELD_DEFAULT_CHANGED",
            Rule::MapKeyKindChanged => "MAP_KEY_KIND_CHANGED",
            Rule::MapValueKindChanged => "MAP_VALUE_KIND_CHANGED",
            Rule::RequiredAdded => "REQUIRED_ADDED",
            Rule::RequiredRemoved => "REQUIRED_REMOVED",
            Rule::OneofFieldAdded => "ONEOF_FIELD_ADDED",
            Rule::OneofFieldRemoved => "ONEOF_FIELD_REMOVED",
            Rule::FieldsMovedIntoOneof => "FIELDS_MOVED_INTO_ONEOF",
            Rule::FieldsMovedOutOfOneof => "FIELDS_MOVED_OUT_OF_ONEOF",
            Rule::MessageRemoved => "MESSAGE_REMOVED",
            Rule::MessageSetChanged => "MESSAGE_SET_CHANGED",
            Rule::EnumRemoved => "ENUM_REMOVED",
            Rule::EnumValueAdded => "ENUM_VALUE_ADDED",
            Rule::EnumValueNotReserved => "ENUM_VALUE_NOT_RESERVED",
            Rule::EnumValueNameChanged => "ENUM_VALUE_NAME_CHANGED",
            Rule::EnumDefaultChanged => "ENUM_DEFAULT_CHANGED",
            Rule::EnumClosedValueUnknown => "ENUM_CLOSED_VALUE_UNKNOWN",
            Rule::ReservedRemoved => "RESERVED_REMOVED",
            Rule::ExtensionRangeRemoved => "EXTENSION_RANGE_REMOVED",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
