use std::collections::BTreeMap;

use prost_types::Timestamp;

use super::*;
use crate::{
    proto,
    schema::{Compiled, Record, compatibility::Json, registry::Candidate},
};

fn reflection() -> Reflection {
    Reflection::new(&[proto::DESCRIPTORS], Arc::default())
}

fn register(reflection: &Reflection, type_name: &str, sources: &[(&str, &str)]) {
    let files = sources.iter().map(|(path, text)| (*path, text.as_bytes()));
    let candidate = Candidate {
        compiled: Compiled::from_sources(type_name, files).expect("a valid schema"),
        sources: BTreeMap::new(),
        compatibility: None,
        json: Json::Unused,
        force: true,
    };
    let now = Timestamp { seconds: 1_700_000_000, nanos: 0 };
    reflection.registry.register(&candidate, now).expect("it is registered");
}

fn files(reflection: &Reflection, question: Question) -> Vec<FileDescriptorProto> {
    match reflection.answer(&question) {
        Ok(Answer::Files(files)) => {
            let decode = |file| FileDescriptorProto::decode(file).expect("a file");
            files.into_iter().map(decode).collect()
        }
        other => panic!("{question:?}: {other:?}"),
    }
}

fn symbol(name: &str) -> Question {
    Question::Symbol { name: name.into() }
}

/// As clients do: what the answer lacks is asked for by path. All of it has to be one schema.
fn linked(reflection: &Reflection, name: &str) -> DescriptorPool {
    let mut have: BTreeMap<String, FileDescriptorProto> = BTreeMap::new();
    let mut wanted = files(reflection, symbol(name));
    while let Some(file) = wanted.pop() {
        let known = have.keys().chain(wanted.iter().map(|file| file.name.as_ref().expect("named")));
        let known: Vec<_> = known.cloned().collect();
        for path in file.dependency.iter().filter(|path| !known.contains(path)) {
            wanted.extend(files(reflection, Question::File { path: path.clone() }));
        }
        have.insert(file.name().to_owned(), file);
    }
    let set = prost_types::FileDescriptorSet { file: have.into_values().collect() };
    DescriptorPool::from_file_descriptor_set(set).expect("a client can link it")
}

const ORDER: &str = "syntax = \"proto3\"; package shop.v1; \
    import \"money.proto\"; import \"google/protobuf/timestamp.proto\"; \
    message OrderPlaced { shop.v1.Money total = 1; google.protobuf.Timestamp at = 2; \
    oneof by { string mail = 3; string shop = 4; } \
    message Item { string sku = 1; enum Kind { KIND_A = 0; } } map<string, int32> counts = 5; } \
    enum State { STATE_NEW = 0; }";
const MONEY: &str = "syntax = \"proto3\"; package shop.v1; message Money { int64 cents = 1; }";

#[test]
fn a_registered_type_and_all_that_it_has_is_found_and_can_be_linked() {
    let reflection = reflection();
    let sources = [("order.proto", ORDER), ("money.proto", MONEY)];
    assert!(matches!(reflection.answer(&symbol("shop.v1.OrderPlaced")), Err(NotFound::Symbol(_))));
    register(&reflection, "shop.v1.OrderPlaced", &sources);
    for name in [
        "shop.v1.OrderPlaced",
        "shop.v1.OrderPlaced.total",
        "shop.v1.OrderPlaced.by",
        "shop.v1.OrderPlaced.Item",
        "shop.v1.OrderPlaced.Item.sku",
        "shop.v1.OrderPlaced.Item.Kind",
        "shop.v1.OrderPlaced.Item.KIND_A",
        "shop.v1.OrderPlaced.CountsEntry",
        "shop.v1.State",
        "shop.v1.STATE_NEW",
        "shop.v1.State.STATE_NEW",
        "shop.v1.Money",
        "shop.v1.Money.cents",
    ] {
        linked(&reflection, name);
    }
    let pool = linked(&reflection, "shop.v1.OrderPlaced");
    assert!(pool.get_message_by_name("shop.v1.Money").is_some());
    for name in ["shop.v1", "shop.v1.Order", "shop.v1.OrderPlaced.nothing", "shop.v1.State.A", ""] {
        assert!(matches!(reflection.answer(&symbol(name)), Err(NotFound::Symbol(_))), "{name}");
    }
}

#[test]
fn types_from_files_of_one_path_and_different_contents_are_not_confused() {
    let reflection = reflection();
    let other = "syntax = \"proto3\"; package shop.v1; message Money { string text = 1; }";
    let refund = "syntax = \"proto3\"; package shop.v1; import \"money.proto\"; \
        message Refund { Money total = 1; }";
    let audit = refund.replace("Refund", "Audit");
    register(&reflection, "shop.v1.OrderPlaced", &[("order.proto", ORDER), ("money.proto", MONEY)]);
    register(&reflection, "shop.v1.Refund", &[("order.proto", refund), ("money.proto", other)]);
    register(&reflection, "shop.v1.Audit", &[("audit.proto", &audit), ("money.proto", MONEY)]);
    let has = |name: &str| {
        let pool = linked(&reflection, name);
        let money = pool.get_message_by_name("shop.v1.Money").expect("imported");
        let field = money.fields().next().expect("a field").name().to_owned();
        (money.parent_file().name().to_owned(), field)
    };
    let [order, refund, audit] =
        ["OrderPlaced", "Refund", "Audit"].map(|n| has(&format!("shop.v1.{n}")));
    assert_eq!((order.1.as_str(), refund.1.as_str()), ("cents", "text"));
    assert_ne!(order.0, refund.0);
    // What is the same is one file, so that a client may have both types at once.
    assert_eq!(order, audit);
    assert!(order.0.starts_with(FOLDER) && order.0.ends_with("/money.proto"), "{}", order.0);
}

#[test]
fn the_newest_version_is_served_as_soon_as_it_is_there_and_not_after_it_is_gone() {
    let reflection = reflection();
    let source = |fields: &str| format!("syntax = \"proto3\"; package a; message A {{ {fields} }}");
    let fields = || {
        let message = linked(&reflection, "a.A").get_message_by_name("a.A").expect("found");
        message.fields().map(|field| field.name().to_owned()).collect::<Vec<_>>()
    };
    register(&reflection, "a.A", &[("a.proto", &source("int32 x = 1;"))]);
    assert_eq!(fields(), ["x"]);
    let old = files(&reflection, symbol("a.A"))[0].name().to_owned();
    register(&reflection, "a.A", &[("a.proto", &source("int32 x = 1; int32 y = 2;"))]);
    assert_eq!(fields(), ["x", "y"]);
    // A client that was told of the old one may still ask for it.
    assert_eq!(files(&reflection, Question::File { path: old.clone() })[0].name(), old);
    assert!(reflection.registry.delete("a.A"));
    assert!(reflection.answer(&symbol("a.A")).is_err());
    assert!(reflection.answer(&Question::File { path: old }).is_err());
}

#[test]
fn options_that_nobody_here_knows_survive() {
    let reflection = reflection();
    let options = "syntax = \"proto2\"; package my; import \"google/protobuf/descriptor.proto\"; \
        extend google.protobuf.FieldOptions { optional string unit = 50001; }";
    let source = "syntax = \"proto3\"; package a; import \"options.proto\"; \
        message A { int32 weight = 1 [(my.unit) = \"grams\"]; }";
    register(&reflection, "a.A", &[("a.proto", source), ("options.proto", options)]);
    let Ok(Answer::Files(found)) = reflection.answer(&symbol("a.A")) else { panic!("no files") };
    let has = |bytes: &Bytes| bytes.windows(5).any(|window| window == b"grams");
    assert!(has(&found[0]));

    let of = "google.protobuf.FieldOptions".to_owned();
    let asked = Question::ExtensionNumbers { of: of.clone() };
    // With those of buf.validate, which is always there.
    assert_eq!(reflection.answer(&asked), Ok(Answer::Numbers(vec![1159, 1160, 50001])));
    let found = files(&reflection, Question::Extension { of: of.clone(), number: 50001 });
    assert!(found[0].name().ends_with("/options.proto"));
    let missing = Question::Extension { of: of.clone(), number: 50002 };
    assert_eq!(reflection.answer(&missing), Err(NotFound::Extension { of, number: 50002 }));
}

#[test]
fn extensions_of_a_registered_type_are_those_that_its_schema_has() {
    let reflection = reflection();
    let source = "syntax = \"proto2\"; package a; message A { extensions 100 to 200; \
        extend A { optional int32 inner = 150; } } extend A { optional int32 outer = 101; }";
    register(&reflection, "a.A", &[("a.proto", source)]);
    let of = || "a.A".to_owned();
    let numbers = reflection.answer(&Question::ExtensionNumbers { of: of() });
    assert_eq!(numbers, Ok(Answer::Numbers(vec![101, 150])));
    for number in [101, 150] {
        assert_eq!(files(&reflection, Question::Extension { of: of(), number }).len(), 1);
    }
    for name in ["a.outer", "a.A.inner"] {
        linked(&reflection, name);
    }
    let none = reflection.answer(&Question::ExtensionNumbers { of: "tidings.v1.Event".into() });
    assert_eq!(none, Ok(Answer::Numbers(vec![])));
    let unknown = reflection.answer(&Question::ExtensionNumbers { of: "a.Nobody".into() });
    assert_eq!(unknown, Err(NotFound::Symbol("a.Nobody".into())));
}

#[test]
fn our_own_files_stay_as_they_are_and_services_of_others_are_not_listed() {
    let reflection = reflection();
    let service =
        "syntax = \"proto3\"; package a; message A {} service Evil { rpc Do(A) returns (A); }";
    register(&reflection, "a.A", &[("tidings/v1/broker.proto", service)]);
    let listed = reflection.answer(&Question::Services);
    let ours = ["Broker", "Workers", "Admin", "Schemas"].map(|name| format!("tidings.v1.{name}"));
    assert_eq!(listed, Ok(Answer::Services(ours.to_vec())));
    linked(&reflection, "a.Evil.Do");
    for (name, path) in [
        ("tidings.v1.Broker.Subscribe", "tidings/v1/broker.proto"),
        ("tidings.v1.Event.data", "tidings/v1/event.proto"),
        ("google.protobuf.Empty", "google/protobuf/empty.proto"),
    ] {
        assert_eq!(files(&reflection, symbol(name))[0].name(), path);
        linked(&reflection, name);
    }
}

#[test]
fn hostile_names_and_records_are_not_found() {
    let reflection = reflection();
    let long = "a.".repeat(NAME_BYTES_MAX);
    let too_long = NotFound::NameTooLong { bytes: long.len(), limit: NAME_BYTES_MAX };
    assert_eq!(reflection.answer(&symbol(&long)), Err(too_long));
    for name in [".", "..", "a..b", "\0", "tidings.v1.", ".tidings.v1.Event", &".".repeat(2000)] {
        assert!(reflection.answer(&symbol(name)).is_err(), "{name}");
    }
    for path in ["", "../a.proto", "tidings-schema/", "tidings-schema/00/a.proto", "/etc/passwd"] {
        let asked = Question::File { path: path.into() };
        assert_eq!(reflection.answer(&asked), Err(NotFound::File(path.into())));
    }
    // What another broker stored, and this one cannot read.
    for descriptors in [&b"\x0a\x05"[..], b"\x0a\x01\xff", b"\x0a\x05\x0a\x01a\x1a\x00", b"\xff"] {
        reflection.registry.apply(Record {
            type_name: "b.B".into(),
            version: 1,
            compatibility: crate::schema::Compatibility::Backward,
            fingerprint: String::new(),
            created: Timestamp::default(),
            sources: BTreeMap::new(),
            descriptors: Bytes::from_static(descriptors),
        });
        assert!(reflection.answer(&symbol("b.B")).is_err(), "{descriptors:?}");
    }
}

#[test]
fn a_thousand_types_are_answered_for_without_linking_them() {
    let reflection = reflection();
    let descriptors = |n: usize| {
        let source = format!(
            "syntax = \"proto3\"; package p{n}; message T {{ int32 a = 1; }} enum E {{ A = 0; }}"
        );
        let sources = [("t.proto", source.as_bytes())];
        Compiled::from_sources(&format!("p{n}.T"), sources).expect("valid").descriptors().clone()
    };
    let record = |n: usize| Record {
        type_name: format!("p{n}.T"),
        version: 1,
        compatibility: crate::schema::Compatibility::Backward,
        fingerprint: String::new(),
        created: Timestamp::default(),
        sources: BTreeMap::new(),
        descriptors: descriptors(n),
    };
    reflection.registry.replace((0..1000).map(record));
    linked(&reflection, "p999.T");
    linked(&reflection, "p500.E.A");
    let schemas = reflection.registry.snapshot();
    assert!(schemas.all().all(|version| !version.is_linked()));
}
