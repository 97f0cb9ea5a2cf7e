//! The rules of compatibility beside those of the real `buf breaking`: where both speak of the same
//! change, they say the same of it; where they do not, docs/schemas.md says why.

mod random;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Command,
};

use serde::Deserialize;
use tidings::schema::{
    Compatibility, Compiled,
    compatibility::{Json, check},
};

use crate::support::process::buf;

/// What is said of one change.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Said {
    /// By both: it breaks, or it does not.
    Breaks,
    Fine,
    /// By one of them only: a row of the table in docs/schemas.md.
    BreaksForBuf,
    BreaksForUs,
}
use Said::{Breaks, BreaksForBuf, BreaksForUs, Fine};

/// What a file says behind its package, before and after; `proto2` where it begins with it. Ours is
/// FULL, with JSON; buf's are all of WIRE_JSON, which knows no direction.
type Case = (&'static str, &'static str, &'static str, Said);
const CASES: &[Case] = &[
    (
        "a_field_is_added",
        "message M { int32 a = 1; }",
        "message M { int32 a = 1; int32 b = 2; }",
        Fine,
    ),
    (
        "a_field_is_gone",
        "message M { int32 a = 1; int32 b = 2; }",
        "message M { int32 a = 1; }",
        Breaks,
    ),
    (
        "a_field_is_gone_and_reserved",
        "message M { int32 a = 1; int32 b = 2; }",
        "message M { int32 a = 1; reserved 2; reserved \"b\"; }",
        Fine,
    ),
    (
        "only_its_number_is_reserved",
        "message M { int32 a = 1; int32 b = 2; }",
        "message M { int32 a = 1; reserved 2; }",
        Breaks,
    ),
    (
        "only_its_name_is_reserved",
        "message M { int32 a = 1; int32 b = 2; }",
        "message M { int32 a = 1; reserved \"b\"; }",
        Breaks,
    ),
    ("a_reserved_number_is_back", "message M { reserved 5; }", "message M { }", Breaks),
    ("a_reserved_name_is_back", "message M { reserved \"a\"; }", "message M { }", Breaks),
    (
        "a_scalar_of_another_encoding",
        "message M { int32 a = 1; }",
        "message M { string a = 1; }",
        Breaks,
    ),
    ("zigzag", "message M { int32 a = 1; }", "message M { sint32 a = 1; }", Breaks),
    (
        "a_double_becomes_a_float",
        "message M { double a = 1; }",
        "message M { float a = 1; }",
        Breaks,
    ),
    ("fixed_and_sfixed", "message M { fixed32 a = 1; }", "message M { sfixed32 a = 1; }", Fine),
    ("an_integer_is_wider", "message M { uint32 a = 1; }", "message M { int32 a = 1; }", Fine),
    (
        "int32_becomes_int64",
        "message M { int32 a = 1; }",
        "message M { int64 a = 1; }",
        BreaksForBuf,
    ),
    ("a_bool_becomes_a_number", "message M { bool a = 1; }", "message M { int32 a = 1; }", Breaks),
    ("bytes_become_text", "message M { bytes a = 1; }", "message M { string a = 1; }", Breaks),
    ("text_becomes_bytes", "message M { string a = 1; }", "message M { bytes a = 1; }", Breaks),
    (
        "another_message",
        "message A { int32 x = 1; } message B { int32 x = 1; } message M { A a = 1; }",
        "message A { int32 x = 1; } message B { int32 x = 1; } message M { B a = 1; }",
        Breaks,
    ),
    (
        "a_message_becomes_a_scalar",
        "message A { int32 x = 1; } message M { A a = 1; }",
        "message A { int32 x = 1; } message M { int32 a = 1; }",
        Breaks,
    ),
    (
        "a_number_is_repeated",
        "message M { int32 a = 1; }",
        "message M { repeated int32 a = 1; }",
        Breaks,
    ),
    (
        "text_is_repeated",
        "message M { string a = 1; }",
        "message M { repeated string a = 1; }",
        Breaks,
    ),
    (
        "a_map_becomes_a_list",
        "message M { map<string, int32> a = 1; }",
        "message M { repeated string a = 1; }",
        Breaks,
    ),
    (
        "the_key_of_a_map",
        "message M { map<string, int32> a = 1; }",
        "message M { map<int32, int32> a = 1; }",
        Breaks,
    ),
    (
        "the_keys_of_a_map_get_a_sign",
        "message M { map<uint32, int32> a = 1; }",
        "message M { map<int32, int32> a = 1; }",
        BreaksForUs,
    ),
    (
        "the_value_of_a_map",
        "message M { map<string, int32> a = 1; }",
        "message M { map<string, string> a = 1; }",
        Breaks,
    ),
    (
        "a_field_has_another_name",
        "message M { int32 a = 1; }",
        "message M { int32 b = 1; }",
        Breaks,
    ),
    (
        "another_name_and_the_same_json",
        "message M { int32 a_b = 1; }",
        "message M { int32 c = 1 [json_name = \"aB\"]; }",
        BreaksForBuf,
    ),
    (
        "another_name_in_json",
        "message M { int32 a = 1; }",
        "message M { int32 a = 1 [json_name = \"z\"]; }",
        Breaks,
    ),
    ("optional_comes", "message M { int32 a = 1; }", "message M { optional int32 a = 1; }", Fine),
    (
        "a_field_moves_into_a_new_oneof",
        "message M { int32 a = 1; int32 b = 2; }",
        "message M { oneof o { int32 a = 1; } int32 b = 2; }",
        BreaksForBuf,
    ),
    (
        "a_field_leaves_a_oneof_that_it_had_for_itself",
        "message M { oneof o { int32 a = 1; } int32 b = 2; }",
        "message M { int32 a = 1; int32 b = 2; }",
        BreaksForBuf,
    ),
    (
        "fields_move_into_one_oneof",
        "message M { int32 a = 1; int32 b = 2; }",
        "message M { oneof o { int32 a = 1; int32 b = 2; } }",
        Breaks,
    ),
    (
        "fields_move_out_of_a_oneof",
        "message M { oneof o { int32 a = 1; int32 b = 2; } }",
        "message M { int32 a = 1; int32 b = 2; }",
        Breaks,
    ),
    (
        "a_field_of_a_oneof_is_gone_and_reserved",
        "message M { oneof o { int32 a = 1; int32 b = 2; } }",
        "message M { oneof o { int32 a = 1; } reserved 2; reserved \"b\"; }",
        BreaksForUs,
    ),
    (
        "a_value_is_added",
        "enum E { Z = 0; } message M { E e = 1; }",
        "enum E { Z = 0; A = 1; } message M { E e = 1; }",
        Fine,
    ),
    (
        "a_value_is_gone",
        "enum E { Z = 0; A = 1; } message M { E e = 1; }",
        "enum E { Z = 0; } message M { E e = 1; }",
        Breaks,
    ),
    (
        "a_value_is_gone_and_reserved",
        "enum E { Z = 0; A = 1; } message M { E e = 1; }",
        "enum E { Z = 0; reserved 1; reserved \"A\"; } message M { E e = 1; }",
        BreaksForUs,
    ),
    (
        "a_value_has_another_name",
        "enum E { Z = 0; A = 1; } message M { E e = 1; }",
        "enum E { Z = 0; B = 1; } message M { E e = 1; }",
        Breaks,
    ),
    (
        "an_enum_becomes_a_number",
        "enum E { Z = 0; A = 1; } message M { E e = 1; }",
        "enum E { Z = 0; A = 1; } message M { int32 e = 1; }",
        Breaks,
    ),
    (
        "a_message_inside_is_gone",
        "message M { message Inner { int32 x = 1; } int32 a = 1; }",
        "message M { int32 a = 1; }",
        BreaksForUs,
    ),
    (
        "a_message_beside_it_is_gone",
        "message Other {} message M { int32 a = 1; }",
        "message M { int32 a = 1; }",
        Fine,
    ),
    (
        "an_unreached_message_changes",
        "message Other { int32 x = 1; } message M { int32 a = 1; }",
        "message Other { string x = 1; } message M { int32 a = 1; }",
        BreaksForBuf,
    ),
    (
        "a_required_field_is_added",
        "proto2 message M { }",
        "proto2 message M { required int32 a = 1; }",
        Breaks,
    ),
    (
        "a_required_field_is_optional",
        "proto2 message M { required int32 a = 1; }",
        "proto2 message M { optional int32 a = 1; }",
        Breaks,
    ),
    (
        "a_default_changes",
        "proto2 message M { optional int32 a = 1 [default = 1]; }",
        "proto2 message M { optional int32 a = 1 [default = 2]; }",
        BreaksForBuf,
    ),
    (
        "numbers_are_not_open_any_more",
        "proto2 message M { extensions 100 to 200; }",
        "proto2 message M { extensions 100 to 150; }",
        BreaksForUs,
    ),
    (
        "a_value_of_a_closed_enum_is_added",
        "proto2 enum E { Z = 0; } message M { optional E e = 1; }",
        "proto2 enum E { Z = 0; A = 1; } message M { optional E e = 1; }",
        BreaksForUs,
    ),
    (
        "a_closed_enum_opens",
        "proto2 enum E { Z = 0; } message M { optional E e = 1; }",
        "enum E { Z = 0; } message M { optional E e = 1; }",
        BreaksForUs,
    ),
    (
        "an_enum_closes",
        "enum E { Z = 0; } message M { optional E e = 1; }",
        "proto2 enum E { Z = 0; } message M { optional E e = 1; }",
        Breaks,
    ),
];

fn source(case: &str, says: &str) -> String {
    match says.strip_prefix("proto2 ") {
        Some(says) => format!("syntax = \"proto2\";\npackage {case};\n{says}\n"),
        None => format!("syntax = \"proto3\";\npackage {case};\n{says}\n"),
    }
}

/// What ours finds.
fn rules(case: &str, before: &str, after: &str) -> BTreeSet<String> {
    let compiled = |says| {
        let text = source(case, says);
        Compiled::from_sources(&format!("{case}.M"), [("m.proto", text.as_bytes())])
            .unwrap_or_else(|error| panic!("{case}: {error}"))
    };
    let (before, after) = (compiled(before), compiled(after));
    let verdict = check([(1, before.message())], after.message(), Compatibility::Full, Json::Used);
    verdict.violations.iter().map(|violation| violation.rule.name().to_owned()).collect()
}

/// Files before and after, by their paths.
struct Sides {
    before: Vec<(String, String)>,
    after: Vec<(String, String)>,
}

/// One line of buf's.
#[derive(Debug, Deserialize)]
struct Broken {
    path: String,
    #[serde(rename = "type")]
    rule: String,
    message: String,
}

impl Broken {
    /// Of the file: those of one case lie in a folder of their own.
    fn case(&self) -> String {
        self.path.split('/').nth(1).unwrap().to_owned()
    }
}

/// What the real one finds with its rules WIRE_JSON.
fn buf_breaking(sides: &Sides) -> Vec<Broken> {
    let folder = tempfile::tempdir().unwrap();
    for (name, files) in [("before", &sides.before), ("after", &sides.after)] {
        let side = folder.path().join(name);
        fs::create_dir(&side).unwrap();
        fs::write(side.join("buf.yaml"), "version: v2\nbreaking:\n  use: [WIRE_JSON]\n").unwrap();
        for (path, text) in files {
            let file = side.join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
    }
    let mut command = Command::new(buf());
    command.args(["breaking", "after", "--against", "before", "--error-format", "json"]);
    command.current_dir(&folder).env("BUF_CACHE_DIR", folder.path().join("cache"));
    let output = command.output().unwrap();
    assert_eq!(output.stderr, b"", "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn what_breaks_is_what_buf_says_but_for_the_differences_that_are_told() {
    let files = |says: fn(&Case) -> &str| {
        CASES
            .iter()
            .map(|case| (format!("{0}/{0}.proto", case.0), source(case.0, says(case))))
            .collect()
    };
    let sides = Sides { before: files(|case| case.1), after: files(|case| case.2) };
    let mut buf: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for broken in buf_breaking(&sides) {
        buf.entry(broken.case()).or_default().insert(broken.rule);
    }
    let mut wrong = Vec::new();
    for (case, before, after, expected) in CASES {
        let ours = rules(case, before, after);
        let theirs = buf.get(*case).cloned().unwrap_or_default();
        let said = match (ours.is_empty(), theirs.is_empty()) {
            (false, false) => Breaks,
            (true, true) => Fine,
            (true, false) => BreaksForBuf,
            (false, true) => BreaksForUs,
        };
        if said != *expected {
            wrong.push(format!(
                "{case}: {said:?}, not {expected:?}: ours {ours:?}, buf's {theirs:?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Each of them has a row, by the name of its case.
#[test]
fn every_difference_stands_in_the_docs() {
    let docs = include_str!("../../docs/schemas.md");
    for (case, .., said) in CASES {
        let differs = matches!(said, BreaksForBuf | BreaksForUs);
        let told = docs.contains(&format!("| {} |", case.replace('_', " ")));
        assert_eq!(told, differs, "{case}");
    }
}
