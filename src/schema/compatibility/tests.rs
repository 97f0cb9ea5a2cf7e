use super::*;
use crate::schema::Compiled;

fn schema(text: &str) -> Compiled {
    Compiled::from_sources("a.A", [("a.proto", text.as_bytes())]).expect("a valid schema")
}

/// Violations and warnings of one change, as `RULE path`; a `~` before warnings.
fn changes(older: &str, newer: &str, compatibility: Compatibility, json: Json) -> Vec<String> {
    let (older, newer) = (schema(older), schema(newer));
    let verdict = check([(1, older.message())], newer.message(), compatibility, json);
    let text = |mark: &str, found: &Violation| format!("{mark}{} {}", found.rule, found.path);
    let violations = verdict.violations.iter().map(|found| text("", found));
    violations.chain(verdict.warnings.iter().map(|found| text("~", found))).collect()
}

/// What each direction finds where JSON is not used.
fn both(older: &str, newer: &str) -> [Vec<String>; 2] {
    [Compatibility::Backward, Compatibility::Forward]
        .map(|compatibility| changes(older, newer, compatibility, Json::Unused))
}

fn proto3(body: &str) -> String {
    format!("syntax = \"proto3\"; package a; {body}")
}

/// One field of message `a.A` becomes another.
fn field(older: &str, newer: &str) -> [Vec<String>; 2] {
    let types = "enum E { E_ZERO = 0; } enum F { F_ZERO = 0; } message M {} message N {}";
    let [older, newer] =
        [older, newer].map(|field| proto3(&format!("message A {{ {field} }} {types}")));
    both(&older, &newer)
}

fn none() -> Vec<String> {
    Vec::new()
}

fn one(finding: &str) -> Vec<String> {
    vec![finding.to_owned()]
}

#[test]
fn what_is_added_breaks_nothing() {
    let older = proto3("message A { string a = 1; oneof o { int32 b = 2; } }");
    let newer = proto3(
        "message A { string a = 1; oneof o { int32 b = 2; } M c = 3; message M {} enum E { Z = 0; } }",
    );
    assert_eq!(both(&older, &newer), [none(), none()]);
    let reordered = proto3("message A { oneof o { int32 b = 2; } string a = 1; }");
    assert_eq!(both(&older, &reordered), [none(), none()]);
}

#[test]
fn a_field_is_removed_only_with_number_and_name_reserved() {
    let unreserved: Vec<String> =
        vec!["FIELD_NUMBER_NOT_RESERVED a.A.a".into(), "FIELD_NAME_NOT_RESERVED a.A.a".into()];
    assert_eq!(field("int32 a = 1;", ""), [unreserved.clone(), unreserved]);
    let name = one("FIELD_NAME_NOT_RESERVED a.A.a");
    assert_eq!(field("int32 a = 1;", "reserved 1;"), [name.clone(), name]);
    assert_eq!(field("int32 a = 1;", "reserved 1; reserved \"a\";"), [none(), none()]);
    let older = proto3("message A { int32 a = 1; }");
    let (older, newer) = (schema(&older), schema(&proto3("message A { int32 a = 2; }")));
    let verdict = check([(7, older.message())], newer.message(), Compatibility::Full, Json::Unused);
    let moved = &verdict.violations[0];
    assert_eq!((moved.rule, moved.version), (Rule::FieldNumberNotReserved, 7));
    assert!(moved.message.contains("has the number 2 now: give it 1 again"), "{}", moved.message);
}

#[test]
fn what_was_reserved_stays_so() {
    let ranges = one("RESERVED_REMOVED a.A");
    assert_eq!(field("reserved 2 to 9;", "reserved 2 to 8;"), [ranges.clone(), ranges]);
    assert_eq!(field("reserved 2 to 9;", "reserved 2 to 5, 6 to 10;"), [none(), none()]);
    let name = one("RESERVED_REMOVED a.A.x");
    assert_eq!(field("reserved \"x\";", ""), [name.clone(), name]);
}

#[test]
fn scalars_change_inside_their_group_only() {
    for (older, newer) in [
        ("int32", "int64"),
        ("uint32", "uint64"),
        ("uint32", "int64"),
        ("bool", "int32"),
        ("E", "int64"),
        ("E", "int32"),
        ("sint32", "sint64"),
        ("string", "bytes"),
    ] {
        let [backward, forward] = field(&format!("{older} a = 1;"), &format!("{newer} a = 1;"));
        let breaks = |found: &[String]| {
            found.iter().any(|found| !found.starts_with("~FIELD_JSON_KIND_CHANGED"))
        };
        assert!(!breaks(&backward), "{older} {newer}: {backward:?}");
        match (older, newer) {
            ("E", "int32") => assert!(!breaks(&forward)),
            ("string", _) => assert_eq!(
                forward,
                ["FIELD_SCALAR_KIND_CHANGED a.A.a"],
                "bytes that are no text do not decode"
            ),
            _ => assert!(forward.contains(&"~FIELD_INTEGER_NARROWED a.A.a".into()), "{forward:?}"),
        }
    }
    for (older, newer) in [
        ("int32", "sint32"),
        ("int32", "fixed32"),
        ("fixed32", "fixed64"),
        ("float", "double"),
        ("float", "fixed32"),
        ("string", "int32"),
        ("E", "string"),
    ] {
        let broken = one("FIELD_SCALAR_KIND_CHANGED a.A.a");
        let found = field(&format!("{older} a = 1;"), &format!("{newer} a = 1;"));
        assert_eq!(found, [broken.clone(), broken], "{older} {newer}");
    }
}

#[test]
fn a_change_of_sign_is_a_warning_both_ways() {
    for (older, newer) in [("int32", "uint32"), ("fixed32", "sfixed32"), ("int64", "uint64")] {
        let warned = one("~FIELD_INTEGER_NARROWED a.A.a");
        let found = field(&format!("{older} a = 1;"), &format!("{newer} a = 1;"));
        assert_eq!(found, [warned.clone(), warned], "{older} {newer}");
    }
}

#[test]
fn messages_enums_and_maps_keep_their_types() {
    for (older, newer, rule) in [
        ("M a = 1;", "int32 a = 1;", "FIELD_KIND_CHANGED a.A.a"),
        ("string a = 1;", "M a = 1;", "FIELD_KIND_CHANGED a.A.a"),
        ("M a = 1;", "N a = 1;", "FIELD_NAMED_TYPE_CHANGED a.A.a"),
        ("E a = 1;", "F a = 1;", "FIELD_NAMED_TYPE_CHANGED a.A.a"),
        ("map<string, int32> a = 1;", "repeated M a = 1;", "FIELD_KIND_CHANGED a.A.a"),
        ("map<string, M> a = 1;", "map<int32, M> a = 1;", "MAP_KEY_KIND_CHANGED a.A.a.key"),
        ("map<int32, M> a = 1;", "map<uint32, M> a = 1;", "MAP_KEY_KIND_CHANGED a.A.a.key"),
        ("map<int32, M> a = 1;", "map<int32, N> a = 1;", "MAP_VALUE_KIND_CHANGED a.A.a.value"),
        ("map<int32, string> a = 1;", "map<int32, M> a = 1;", "MAP_VALUE_KIND_CHANGED a.A.a.value"),
        (
            "map<int32, string> a = 1;",
            "map<int32, float> a = 1;",
            "MAP_VALUE_KIND_CHANGED a.A.a.value",
        ),
    ] {
        assert_eq!(field(older, newer), [one(rule), one(rule)], "{older} {newer}");
    }
}

#[test]
fn a_type_of_another_package_is_another_type() {
    let file = |package: &str| {
        format!("syntax = \"proto3\"; package {package}; message M {{ int32 a = 1; }}")
    };
    let build = |package: &str| {
        let root = proto3(&format!("import \"m.proto\"; message A {{ {package}.M m = 1; }}"));
        let (m, root) = (file(package), root);
        let sources = [("a.proto", root.as_bytes()), ("m.proto", m.as_bytes())];
        Compiled::from_sources("a.A", sources).expect("a valid schema")
    };
    let (older, newer) = (build("x.v1"), build("x.v2"));
    let verdict =
        check([(1, older.message())], newer.message(), Compatibility::Backward, Json::Unused);
    assert_eq!(verdict.violations[0].rule, Rule::PackageChanged);
}

#[test]
fn singular_and_repeated_do_not_become_each_other() {
    for (kind, rule) in [
        ("int32", "FIELD_NUMERIC_LABEL_CHANGED a.A.a"),
        ("E", "FIELD_NUMERIC_LABEL_CHANGED a.A.a"),
        ("string", "FIELD_LABEL_CHANGED a.A.a"),
        ("M", "FIELD_LABEL_CHANGED a.A.a"),
    ] {
        let (singular, repeated) = (format!("{kind} a = 1;"), format!("repeated {kind} a = 1;"));
        assert_eq!(field(&singular, &repeated), [one(rule), one(rule)]);
        assert_eq!(field(&repeated, &singular), [one(rule), one(rule)]);
    }
}

#[test]
fn names_count_where_json_is_used() {
    for (older, newer, rule) in [
        (
            "message A { int32 a = 1; }",
            "message A { int32 b = 1; }",
            "FIELD_JSON_NAME_CHANGED a.A.a",
        ),
        (
            "message A { bool a = 1; }",
            "message A { int32 a = 1; }",
            "FIELD_JSON_KIND_CHANGED a.A.a",
        ),
        (
            "message A { E a = 1; } enum E { X = 0; }",
            "message A { E a = 1; } enum E { Y = 0; }",
            "ENUM_VALUE_NAME_CHANGED a.A.a.X",
        ),
        (
            "message A { E a = 1; } enum E { X = 0; Y = 1; }",
            "message A { E a = 1; } enum E { X = 0; reserved 1; reserved \"Y\"; }",
            "ENUM_VALUE_NAME_CHANGED a.A.a.Y",
        ),
    ] {
        let (older, newer) = (proto3(older), proto3(newer));
        let found = |json| changes(&older, &newer, Compatibility::Backward, json);
        assert_eq!(found(Json::Used), [rule]);
        assert_eq!(found(Json::Unused), [format!("~{rule}")]);
    }
    // Programs have to follow, no event does.
    let (older, newer) = (
        proto3("message A { int32 a = 1; }"),
        proto3("message A { int32 b = 1 [json_name = \"a\"]; }"),
    );
    let found = changes(&older, &newer, Compatibility::Full, Json::Used);
    assert_eq!(found, ["~FIELD_NAME_CHANGED a.A.a"]);
}

#[test]
fn presence_and_defaults_are_warnings() {
    let warned = one("~FIELD_PRESENCE_CHANGED a.A.a");
    assert_eq!(field("int32 a = 1;", "optional int32 a = 1;"), [warned.clone(), warned]);
    let [older, newer] = ["", "[default = 7]"]
        .map(|default| format!("package a; message A {{ optional int32 a = 1 {default}; }}"));
    let warned = one("~FIELD_DEFAULT_CHANGED a.A.a");
    assert_eq!(both(&older, &newer), [warned.clone(), warned]);
}

#[test]
fn required_fields_are_neither_added_nor_removed() {
    let [optional, required, removed] =
        ["optional int32 a = 1;", "required int32 a = 1;", "reserved 1; reserved \"a\";"]
            .map(|field| format!("package a; message A {{ {field} }}"));
    let (added, gone) = (one("REQUIRED_ADDED a.A.a"), one("REQUIRED_REMOVED a.A.a"));
    assert_eq!(both(&optional, &required), [added.clone(), none()]);
    assert_eq!(both("package a; message A {}", &required), [added, none()]);
    assert_eq!(both(&required, &optional), [none(), gone.clone()]);
    assert_eq!(both(&required, &removed), [none(), gone]);
}

#[test]
fn oneofs_keep_their_fields() {
    let [apart, one_in, both_in] = [
        "int32 x = 1; int32 y = 2;",
        "oneof o { int32 x = 1; } int32 y = 2;",
        "oneof o { int32 x = 1; int32 y = 2; }",
    ];
    let (into, out) =
        (one("FIELDS_MOVED_INTO_ONEOF a.A.o"), one("FIELDS_MOVED_OUT_OF_ONEOF a.A.o"));
    let breaks = |older, newer| {
        field(older, newer).map(|mut found| {
            found.retain(|found| !found.starts_with('~'));
            found
        })
    };
    assert_eq!(breaks(apart, both_in), [into.clone(), none()]);
    assert_eq!(breaks(one_in, both_in), [into, none()]);
    assert_eq!(breaks(both_in, apart), [none(), out.clone()]);
    assert_eq!(breaks(both_in, one_in), [none(), out]);
    // A single one may move: no other is lost with it.
    assert_eq!(breaks(apart, one_in), [none(), none()]);
    assert_eq!(breaks(one_in, apart), [none(), none()]);
    assert_eq!(field(one_in, "oneof p { int32 x = 1; } int32 y = 2;"), [none(), none()]);
    let removed = "oneof o { int32 x = 1; } reserved 2; reserved \"y\";";
    assert_eq!(field(both_in, removed), [one("ONEOF_FIELD_REMOVED a.A.y"), none()]);
    let added = "oneof o { int32 x = 1; int32 z = 3; } int32 y = 2;";
    assert_eq!(field(one_in, added), [none(), one("~ONEOF_FIELD_ADDED a.A.z")]);
}

#[test]
fn types_declared_inside_stay() {
    let older = proto3("message A { message M {} enum E { Z = 0; } }");
    let removed = vec!["MESSAGE_REMOVED a.A.M".to_owned(), "ENUM_REMOVED a.A.E".to_owned()];
    assert_eq!(both(&older, &proto3("message A {}")), [removed, none()]);
}

#[test]
fn closed_enums_neither_gain_nor_lose_values_and_open_ones_may_gain() {
    let values = |syntax: &str, values: &str| {
        format!(
            "{syntax} package a; message A {{ optional E e = 1; }} enum E {{ Z = 0; {values} }}"
        )
    };
    let (proto2, proto3) = ("syntax = \"proto2\";", "syntax = \"proto3\";");
    let (few, more) = (values(proto2, ""), values(proto2, "X = 1;"));
    let unknown = "ENUM_CLOSED_VALUE_UNKNOWN a.A.e".to_owned();
    let added = "~ENUM_VALUE_ADDED a.A.e.X".to_owned();
    assert_eq!(both(&few, &more), [none(), vec![unknown.clone(), added.clone()]]);
    let reserved = values(proto2, "reserved 1; reserved \"X\";");
    let [backward, forward] = both(&more, &reserved);
    assert_eq!(backward, [unknown.clone(), "~ENUM_VALUE_NAME_CHANGED a.A.e.X".to_owned()]);
    assert_eq!(forward, none());
    assert_eq!(both(&values(proto3, ""), &values(proto3, "X = 1;")), [none(), vec![added]]);
    let unreserved = one("ENUM_VALUE_NOT_RESERVED a.A.e.X");
    let removed = both(&values(proto3, "X = 1;"), &values(proto3, ""));
    assert_eq!(removed, [unreserved.clone(), unreserved]);
    // An enum that opens, and one that closes.
    assert_eq!(both(&few, &values(proto3, "")), [none(), vec![unknown.clone()]]);
    assert_eq!(both(&values(proto3, ""), &few), [vec![unknown.clone()], none()]);
    let number = few.replace("optional E e", "optional int32 e");
    let [backward, forward] = both(&number, &few);
    assert!(backward.contains(&unknown), "{backward:?}");
    assert!(!forward.contains(&unknown), "{forward:?}");
}

#[test]
fn the_first_value_of_an_enum_stays_first() {
    let values = |values: &str| {
        format!("package a; message A {{ optional E e = 1; }} enum E {{ {values} }}")
    };
    let changed = one("ENUM_DEFAULT_CHANGED a.A.e");
    let found = both(&values("X = 1; Y = 2;"), &values("Y = 2; X = 1;"));
    assert_eq!(found, [changed.clone(), changed]);
}

#[test]
fn extensions_are_fields_and_ranges_for_them_stay_open() {
    let older =
        "package a; message A { extensions 100 to 199; } extend A { optional int32 x = 100; }";
    let kind = older.replace("int32", "string");
    let broken = one("FIELD_SCALAR_KIND_CHANGED a.A.[a.x]");
    assert_eq!(both(older, &kind), [broken.clone(), broken]);
    let shut = one("EXTENSION_RANGE_REMOVED a.A");
    assert_eq!(both(older, &older.replace("199", "150")), [shut.clone(), shut]);
}

#[test]
fn types_that_contain_themselves_are_compared_once_and_named_by_the_shortest_path() {
    let text = |kind: &str| {
        proto3(&format!(
            "message A {{ A self = 1; repeated B items = 2; }} \
             message B {{ A back = 1; map<string, B> more = 2; {kind} price = 3; }}"
        ))
    };
    let broken = one("FIELD_SCALAR_KIND_CHANGED a.A.items.price");
    assert_eq!(both(&text("int32"), &text("string")), [broken.clone(), broken]);
}

#[test]
fn every_version_counts_and_the_newest_is_named() {
    let versions: Vec<_> = ["int32 a = 1;", "reserved 1; reserved \"a\";", "string b = 2;"]
        .map(|field| schema(&proto3(&format!("message A {{ {field} }}"))))
        .into();
    let newer = schema(&proto3("message A { string a = 1; }"));
    let all = (1..).zip(versions.iter().map(Compiled::message));
    let verdict = check(all, newer.message(), Compatibility::Backward, Json::Unused);
    let found: Vec<_> =
        verdict.violations.iter().map(|found| (found.version, found.rule.name())).collect();
    assert_eq!(
        found,
        [
            (3, "FIELD_NUMBER_NOT_RESERVED"),
            (3, "FIELD_NAME_NOT_RESERVED"),
            (2, "RESERVED_REMOVED"),
            (2, "RESERVED_REMOVED"),
            (1, "FIELD_SCALAR_KIND_CHANGED"),
        ]
    );
    let all = (1..).zip(versions.iter().map(Compiled::message));
    assert_eq!(check(all, newer.message(), Compatibility::None, Json::Used), Verdict::default());
}

#[test]
fn a_change_that_breaks_everything_is_told_in_part() {
    let fields = |kind: &str| -> String {
        let fields = (1..=500).map(|n| format!("{kind} f{n} = {n};")).collect::<String>();
        proto3(&format!("message A {{ {fields} }}"))
    };
    let (older, newer) = (schema(&fields("int32")), schema(&fields("string")));
    let verdict = check([(1, older.message())], newer.message(), Compatibility::Full, Json::Used);
    assert_eq!(verdict.violations.len(), SCHEMA_VIOLATIONS_MAX);
    assert!(verdict.more);
    assert!(!verdict.is_compatible());
}

#[test]
fn every_rule_has_a_name_and_a_line_in_the_docs() {
    let page = include_str!("../../../docs/schemas.md");
    let names: HashSet<_> = Rule::ALL.iter().map(|rule| rule.name()).collect();
    assert_eq!(names.len(), Rule::ALL.len());
    for name in names {
        assert!(page.contains(&format!("| `{name}` |")), "docs/schemas.md: no `{name}`");
    }
}
