use prost_reflect::{DynamicMessage, Value};

use super::*;
use crate::limits::SCHEMA_TYPES_MAX;

const ORDER: &str = r#"syntax = "proto3";
package shop.v1;
import "google/protobuf/timestamp.proto";
import "shop/v1/money.proto";

// What a customer ordered.
message OrderPlaced {
  string order_id = 1;
  Money total = 2;
  google.protobuf.Timestamp placed = 3;
  repeated Item items = 4;
  map<string, int32> counts = 5;
  message Item {
    string sku = 1;
  }
}
"#;
const MONEY: &str = r#"syntax = "proto3";
package shop.v1;
message Money {
  int64 units = 1;
  oneof kind { string currency = 2; string points = 4; }
  optional int32 scale = 3;
}
"#;

fn compile(type_name: &str, sources: &[(&str, &str)]) -> Result<Compiled, CompileError> {
    let sources = sources.iter().map(|(path, text)| (*path, text.as_bytes()));
    Compiled::from_sources(type_name, sources)
}

fn order() -> Compiled {
    compile(
        "shop.v1.OrderPlaced",
        &[("shop/v1/order.proto", ORDER), ("shop/v1/money.proto", MONEY)],
    )
    .expect("a valid schema")
}

/// The error of one file.
fn refused(text: &str) -> CompileError {
    compile("a.A", &[("a.proto", text)]).expect_err("this is not to be taken")
}

#[test]
fn a_type_is_compiled_with_what_it_imports_and_nothing_else() {
    let compiled = compile(
        "shop.v1.OrderPlaced",
        &[
            ("shop/v1/order.proto", ORDER),
            ("shop/v1/money.proto", MONEY),
            ("shop/v1/other.proto", "syntax = \"proto3\"; package shop.v1; message Other {}"),
        ],
    )
    .expect("a valid schema");
    assert_eq!(compiled.type_name(), "shop.v1.OrderPlaced");
    let files: Vec<_> = compiled.pool().files().map(|file| file.name().to_owned()).collect();
    assert!(files.contains(&"google/protobuf/timestamp.proto".to_owned()), "{files:?}");
    assert!(!files.contains(&"shop/v1/other.proto".to_owned()), "{files:?}");
    assert_eq!(compiled.descriptors(), order().descriptors());
    assert_eq!(compiled.fingerprint().len(), 64);
}

#[test]
fn comments_layout_and_the_order_of_declarations_change_no_fingerprint() {
    let shuffled = r#"// Another comment.
        syntax = "proto3"; package shop.v1;
        message Unused { } message Money {
          oneof kind { string points = 4; string currency = 2; }
          int64 units = 1; optional int32 scale = 3;
        }"#;
    let plain = r#"syntax = "proto3"; package shop.v1;
        message Money {
          int64 units = 1; oneof kind { string currency = 2; string points = 4; }
          optional int32 scale = 3;
        } message Unused {}"#;
    let print = |text| {
        let compiled = compile("shop.v1.Money", &[("money.proto", text)]).expect("a valid schema");
        compiled.fingerprint().to_owned()
    };
    assert_eq!(print(plain), print(shuffled));
    assert_ne!(print(plain), print(&plain.replace("units", "unit")));
}

#[test]
fn fields_of_a_oneof_stay_side_by_side() {
    let compiled = order();
    let money = compiled.pool().get_message_by_name("shop.v1.Money").expect("it is imported");
    let names: Vec<_> =
        money.descriptor_proto().field.iter().map(|field| field.name().to_owned()).collect();
    assert_eq!(names, ["units", "currency", "points", "scale"]);
}

#[test]
fn a_type_taken_from_descriptors_is_the_one_compiled_from_sources() {
    let compiled = order();
    for set in [compiled.descriptors().to_vec(), compiled.descriptors_with_bundled()] {
        let again = Compiled::from_descriptors("shop.v1.OrderPlaced", &set).expect("the same");
        assert_eq!(again.fingerprint(), compiled.fingerprint());
    }
    let stored = Compiled::from_canonical("shop.v1.OrderPlaced", compiled.descriptors().clone());
    assert_eq!(stored.expect("the same").fingerprint(), compiled.fingerprint());
    // What a client gets stands on its own.
    let pool = DescriptorPool::decode(&compiled.descriptors_with_bundled()[..]).expect("linked");
    assert!(pool.get_message_by_name("shop.v1.OrderPlaced").is_some());
}

#[test]
fn source_positions_of_descriptors_are_dropped() {
    let mut proto = protox_parse::parse("a.proto", "syntax=\"proto3\"; package a; message A {}")
        .expect("a valid source");
    let with = prost_types::FileDescriptorSet { file: vec![proto.clone()] }.encode_to_vec();
    proto.source_code_info = None;
    let without = prost_types::FileDescriptorSet { file: vec![proto] }.encode_to_vec();
    let [with, without] = [with, without].map(|set| Compiled::from_descriptors("a.A", &set));
    let (with, without) = (with.expect("valid"), without.expect("valid"));
    assert_eq!(with.fingerprint(), without.fingerprint());
}

#[test]
fn options_of_a_schema_survive_in_one_order_every_time() {
    let text = r#"syntax = "proto3"; package a;
        import "google/protobuf/descriptor.proto";
        message Owner { string team = 1; map<string, string> labels = 2; }
        extend google.protobuf.MessageOptions { Owner owner = 50001; }
        message A { option (owner) = { team: "shop"
            labels { key: "a" value: "1" } labels { key: "b" value: "2" }
            labels { key: "c" value: "3" } labels { key: "d" value: "4" } }; }"#;
    let first = compile("a.A", &[("a.proto", text)]).expect("a valid schema");
    for _ in 0..10 {
        let again = compile("a.A", &[("a.proto", text)]).expect("a valid schema");
        assert_eq!(again.descriptors(), first.descriptors());
    }
    let owner = first.pool().get_extension_by_name("a.owner").expect("it is declared");
    let options = first.message().options();
    let Value::Message(value) = options.get_extension(&owner).into_owned() else { panic!() };
    assert_eq!(value.get_field_by_name("team").as_deref(), Some(&Value::String("shop".into())));
    assert_eq!(
        value.get_field_by_name("labels").expect("labels").as_map().map(|m| m.len()),
        Some(4)
    );
}

#[test]
fn a_nested_message_is_a_type_and_an_entry_of_a_map_is_none() {
    let sources = [("shop/v1/order.proto", ORDER), ("shop/v1/money.proto", MONEY)];
    assert!(compile("shop.v1.OrderPlaced.Item", &sources).is_ok());
    let error = compile("shop.v1.OrderPlaced.CountsEntry", &sources).expect_err("no type");
    assert!(matches!(error, CompileError::NoSuchType { .. }), "{error}");
}

#[test]
fn copies_of_files_that_every_runtime_brings_do_not_count() {
    let timestamp = "syntax = \"proto3\"; package google.protobuf; message Timestamp {}";
    let sources = [
        ("shop/v1/order.proto", ORDER),
        ("shop/v1/money.proto", MONEY),
        ("google/protobuf/timestamp.proto", timestamp),
    ];
    let compiled = compile("shop.v1.OrderPlaced", &sources).expect("a valid schema");
    assert_eq!(compiled.fingerprint(), order().fingerprint());
    let timestamp = compiled.pool().get_message_by_name("google.protobuf.Timestamp");
    assert_eq!(timestamp.expect("it is imported").fields().len(), 2);
}

#[test]
fn errors_say_where_and_what() {
    let start = "syntax = \"proto3\";\npackage a;\n";
    for (text, expected) in [
        ("message A { int32 a = 1 }", "a.proto:3:25: expected"),
        ("message A {\n  Missing a = 1;\n}", "a.proto:4:3: name 'Missing' is not defined"),
        ("message A { int32 a = 1; int32 b = 1; }", "a.proto:3:36: "),
        (
            "import \"b.proto\";\nmessage A {}",
            "a.proto:3:1: imports \"b.proto\", which is not given",
        ),
        ("message A { option (no) = 1; }", "a.proto:3:"),
        ("message B {}", "no message a.A is defined in what is given, which has a.B"),
    ] {
        let error = refused(&format!("{start}{text}")).to_string();
        assert!(error.starts_with(expected), "{text}: {error}");
    }
    assert!(
        refused("edition = \"2023\"; package a; message A {}").to_string().contains("a.proto:1:1")
    );
}

#[test]
fn text_that_is_not_utf_8_is_refused_where_it_stops_being_it() {
    let source: (&str, &[u8]) = ("a.proto", b"syntax = \"proto3\";\n// \xc3\xa4\xff");
    let error = Compiled::from_sources("a.A", [source]).expect_err("not UTF-8");
    assert_eq!(error.to_string(), "a.proto:2:5: not UTF-8: sources are text");
}

#[test]
fn packages_of_the_broker_and_of_protobuf_are_refused_in_sources_and_descriptors() {
    for package in
        ["tidings.v1", "tidings", "google.protobuf", "google.protobuf.x", "grpc.health.v1"]
    {
        let source = format!("syntax = \"proto3\"; package {package}; message A {{}}");
        let type_name = format!("{package}.A");
        let error = compile(&type_name, &[("a.proto", &source)]).expect_err("reserved");
        assert!(matches!(error, CompileError::ReservedPackage { .. }), "{error}");
        let proto = protox_parse::parse("a.proto", &source).expect("a valid source");
        let set = prost_types::FileDescriptorSet { file: vec![proto] }.encode_to_vec();
        let error = Compiled::from_descriptors(&type_name, &set).expect_err("reserved");
        assert!(matches!(error, CompileError::ReservedPackage { .. }), "{error}");
    }
    assert!(compile("tidingsx.A", &[("a.proto", "package tidingsx; message A {}")]).is_ok());
    for bundled in ["google.protobuf.Timestamp", "tidings.v1.Event"] {
        let sources = [("shop/v1/order.proto", ORDER), ("shop/v1/money.proto", MONEY)];
        let error = compile(bundled, &sources).expect_err("not defined here");
        assert!(matches!(error, CompileError::NoSuchType { .. }), "{error}");
    }
}

#[test]
fn import_cycles_are_refused_however_long() {
    let file = |own: usize, other: usize| {
        format!("syntax = \"proto3\"; package a; import \"{other}.proto\"; message A{own} {{}}")
    };
    for length in [1, 2, SCHEMA_FILES_MAX] {
        let files: Vec<_> = (0..length)
            .map(|own| (format!("{own}.proto"), file(own, (own + 1) % length)))
            .collect();
        let files: Vec<_> =
            files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        let error = compile("a.A0", &files).expect_err("a cycle");
        let CompileError::ImportCycle { cycle } = error else { panic!("{error}") };
        assert_eq!(cycle.len(), length + 1);
        assert_eq!(cycle.first(), cycle.last());
    }
}

#[test]
fn a_chain_of_as_many_files_as_may_be_given_is_compiled() {
    let file = |own: usize| match own + 1 {
        SCHEMA_FILES_MAX => "package a; message A255 {}".to_owned(),
        next => format!("package a; import public \"{next}.proto\"; message A{own} {{}}"),
    };
    let files: Vec<_> =
        (0..SCHEMA_FILES_MAX).map(|own| (format!("{own}.proto"), file(own))).collect();
    let mut files: Vec<_> =
        files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    assert_eq!(compile("a.A0", &files).map(|of| of.pool().files().len()), Ok(SCHEMA_FILES_MAX));
    files.push(("more.proto", ""));
    let error = compile("a.A0", &files).expect_err("one too many");
    assert_eq!(error, CompileError::TooManyFiles { files: 257, limit: SCHEMA_FILES_MAX });
}

#[test]
fn huge_sources_and_descriptors_are_refused_unread() {
    let source = format!("package a; message A {{}} // {}", "x".repeat(10 << 20));
    let error = refused(&source);
    assert!(matches!(error, CompileError::TooManyBytes { what: "sources", .. }), "{error}");
    let error = Compiled::from_descriptors("a.A", &vec![0; 10 << 20]).expect_err("too large");
    assert!(matches!(error, CompileError::TooManyBytes { what: "descriptors", .. }), "{error}");
}

#[test]
fn deep_nesting_is_refused_before_it_takes_stack() {
    let nested = |open: &str, close: &str, depth: usize| {
        format!("package a; message A {{}} {}{}", open.repeat(depth), close.repeat(depth))
    };
    let messages = nested("message B{", "}", 90_000);
    for text in [
        messages,
        nested("message B{", "}", SCHEMA_NESTING_MAX + 5),
        format!("package a; option (x) = {};", "{a".repeat(300_000)),
        format!("package a; option (x) = {{ a: {}", "[".repeat(300_000)),
        format!("package a; option (x) = {{ a {}", "<a ".repeat(100_000)),
        format!("package a; message A {{ {}", "optional group G = 1 {".repeat(20_000)),
        format!("package a; message A {{ {}", "oneof x { group G = 1 {".repeat(20_000)),
        format!("package a; enum {}", "{".repeat(900_000)),
    ] {
        let error = refused(&text);
        let deep = matches!(error, CompileError::TooDeep { .. });
        let parsed = error.to_string().contains("maximum recursion limit");
        assert!(deep || parsed, "{}: {error}", &text[..60]);
    }
    let deepest = (0..SCHEMA_NESTING_MAX - 1)
        .fold(String::new(), |inner, n| format!("message B{n} {{ {inner} }}"));
    let text = format!("package a; message A {{ {deepest} }}");
    assert!(compile("a.A", &[("a.proto", &text)]).is_ok());
}

#[test]
fn deep_nesting_in_descriptors_is_refused_too() {
    let mut message = vec![];
    for _ in 0..50_000 {
        let mut outer = Vec::new();
        put_bytes(&mut outer, 1, b"B");
        // Deeper than any decoder goes, cheap to build: only the innermost levels are real.
        if message.len() < 1000 {
            put_bytes(&mut outer, 3, &message);
            message = outer;
        }
    }
    let mut file = Vec::new();
    put_bytes(&mut file, 1, b"a.proto");
    put_bytes(&mut file, 4, &message);
    let mut set = Vec::new();
    put_bytes(&mut set, 1, &file);
    let error = Compiled::from_descriptors("B", &set).expect_err("too deep");
    assert!(matches!(error, CompileError::TooDeep { .. }), "{error}");
}

#[test]
fn too_many_messages_fields_and_options_are_refused() {
    let many =
        |one: &dyn Fn(usize) -> String, count: usize| -> String { (0..count).map(one).collect() };
    let messages = many(&|n| format!("message M{n} {{}} "), 10_000);
    let error = refused(&format!("package a; message A {{}} {messages}"));
    assert_eq!(error, CompileError::TooManyTypes { limit: SCHEMA_TYPES_MAX });
    let declarations = CompileError::TooManyDeclarations { limit: SCHEMA_DECLARATIONS_MAX };
    let fields = many(&|n| format!("optional bool b{n}={};", n + 1), SCHEMA_DECLARATIONS_MAX);
    assert_eq!(refused(&format!("package a; message A {{ {fields} }}")), declarations);
    let options = many(&|_| "option(a)=1;".to_owned(), SCHEMA_DECLARATIONS_MAX);
    assert_eq!(refused(&format!("package a; message A {{ {options} }}")), declarations);
    // As descriptors: two bytes for each.
    let empty = [0x12, 0].repeat(400_000);
    let mut file = Vec::new();
    put_bytes(&mut file, 1, b"a.proto");
    put_bytes(&mut file, 4, &empty);
    let mut set = Vec::new();
    put_bytes(&mut set, 1, &file);
    assert_eq!(Compiled::from_descriptors("a.A", &set).map(drop), Err(declarations));
}

#[test]
fn long_names_do_not_multiply() {
    let error = refused(&format!("package a; message {} {{}}", "A".repeat(100_000)));
    assert!(matches!(error, CompileError::NameTooLong { bytes: 100_000, .. }), "{error}");
    let name = "A".repeat(SCHEMA_NAME_BYTES_MAX);
    let nested = (0..5).fold("optional bool b = 1;".to_owned(), |inner, _| {
        format!("message {name} {{ {inner} }}")
    });
    let error = refused(&format!("package a; {nested}"));
    assert!(matches!(error, CompileError::NameTooLong { .. }), "{error}");
}

#[test]
fn many_options_with_many_positions_are_linked_in_a_moment() {
    let field = |n: usize| format!("optional bool b{n}={} [deprecated=true];", n + 1);
    let fields: String = (0..8_000).map(field).collect();
    let text = format!("package a; message A {{ {fields} }}");
    assert!(compile("a.A", &[("a.proto", &text)]).is_ok());
}

#[test]
fn anything_but_descriptors_is_refused() {
    for set in [&b"\xff"[..], b"\x08\x01", b"\x0a\x05ab", b"hello", b"\x0a\x02\x0a\x00"] {
        let error = Compiled::from_descriptors("a.A", set).expect_err("no descriptors");
        let expected =
            matches!(error, CompileError::NotDescriptors { .. } | CompileError::InvalidPath { .. });
        assert!(expected, "{set:?}: {error}");
    }
    let error = Compiled::from_descriptors("a.A", b"").expect_err("no files");
    assert!(matches!(error, CompileError::NoFiles { .. }), "{error}");
}

#[test]
fn names_in_descriptors_have_to_be_names() {
    for name in ["", "a b", "a.b", "1", "a\n", "ä"] {
        let message =
            prost_types::DescriptorProto { name: Some(name.into()), ..Default::default() };
        let file = FileDescriptorProto {
            name: Some("a.proto".into()),
            message_type: vec![message],
            ..Default::default()
        };
        let set = prost_types::FileDescriptorSet { file: vec![file] }.encode_to_vec();
        let error = Compiled::from_descriptors("a.A", &set).expect_err("no name");
        assert!(matches!(error, CompileError::InvalidName { .. }), "{name:?}: {error}");
    }
}

#[test]
fn paths_that_lead_elsewhere_are_refused() {
    for path in ["", "/etc/passwd", "../a.proto", "a//b.proto", "./a.proto", "a\\b.proto", "a\0"] {
        let error = compile("a.A", &[(path, "package a; message A {}")]).expect_err("no path");
        assert!(matches!(error, CompileError::InvalidPath { .. }), "{path:?}: {error}");
    }
}

#[test]
fn a_file_or_a_type_given_twice_is_refused() {
    let text = "package a; message A {}";
    let error = compile("a.A", &[("a.proto", text), ("a.proto", text)]).expect_err("twice");
    assert_eq!(error, CompileError::GivenTwice { file: "a.proto".into() });
    let error = compile("a.A", &[("a.proto", text), ("b.proto", text)]).expect_err("twice");
    assert!(matches!(error, CompileError::DefinedTwice { .. }), "{error}");
}

#[test]
fn versions_of_one_file_do_not_meet() {
    let [old, new] = ["optional int32 a = 1;", "optional string a = 1;"].map(|field| {
        let text = format!("package a; message A {{ {field} }}");
        compile("a.A", &[("a.proto", &text)]).expect("a valid schema")
    });
    let bytes = b"\x0a\x02hi";
    assert!(DynamicMessage::decode(old.message().clone(), &bytes[..]).is_err());
    assert!(DynamicMessage::decode(new.message().clone(), &bytes[..]).is_ok());
}

#[test]
fn a_type_that_contains_itself_can_be_printed() {
    let compiled = compile("a.A", &[("a.proto", "package a; message A { optional A a = 1; }")]);
    let printed = format!("{:?}", compiled.expect("a valid schema"));
    assert!(printed.starts_with("Compiled { type_name: \"a.A\""), "{printed}");
}
