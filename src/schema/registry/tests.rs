use super::*;
use crate::schema::compatibility::Rule;

const NOW: Timestamp = Timestamp { seconds: 1_700_000_000, nanos: 0 };

fn candidate(type_name: &str, fields: &str) -> Candidate {
    let (package, message) = type_name.rsplit_once('.').expect("a package");
    let text = format!("syntax = \"proto3\"; package {package}; message {message} {{ {fields} }}");
    let compiled = Compiled::from_sources(type_name, [("a.proto", text.as_bytes())]);
    Candidate {
        compiled: compiled.expect("a valid schema"),
        sources: [("a.proto".to_owned(), text)].into(),
        compatibility: None,
        json: Json::Unused,
        force: false,
    }
}

fn register(registry: &Registry, type_name: &str, fields: &str) -> u32 {
    let registered = registry.register(&candidate(type_name, fields), NOW);
    registered.expect("it is compatible").0.number()
}

#[test]
fn versions_count_from_one_and_what_is_registered_has_its_version() {
    let registry = Registry::default();
    assert_eq!(register(&registry, "a.A", "int32 a = 1;"), 1);
    assert_eq!(register(&registry, "a.A", "int32 a = 1; int32 b = 2;"), 2);
    assert_eq!(register(&registry, "a.A", "int32 b = 2; int32 a = 1; /* Again. */"), 2);
    assert_eq!(register(&registry, "a.A", "int32 a = 1;"), 1);
    assert_eq!(register(&registry, "a.B", "int32 a = 1;"), 1);
    assert_eq!(registry.snapshot().len(), 3);
    assert_eq!(registry.snapshot().versions("a.A").len(), 2);
}

#[test]
fn an_incompatible_version_is_refused_unless_it_is_forced() {
    let registry = Registry::default();
    register(&registry, "a.A", "int32 a = 1;");
    let mut broken = candidate("a.A", "string a = 1;");
    let error = registry.register(&broken, NOW).expect_err("it breaks");
    let RegisterError::Incompatible { type_name, verdict } = &error else { panic!("{error}") };
    assert_eq!((type_name.as_str(), verdict.violations.len()), ("a.A", 1));
    assert_eq!(verdict.violations[0].rule, Rule::FieldScalarKindChanged);
    assert!(error.to_string().contains("FIELD_SCALAR_KIND_CHANGED at a.A.a: "), "{error}");
    assert_eq!(registry.snapshot().len(), 1);
    broken.force = true;
    let (version, verdict) = registry.register(&broken, NOW).expect("it is forced");
    assert_eq!(version.number(), 2);
    assert_eq!(verdict.violations.len(), 1, "what it breaks is told all the same");
}

#[test]
fn a_proposal_changes_nothing_and_what_was_stored_is_applied() {
    let (registry, other) = (Registry::default(), Registry::default());
    let proposed = registry.snapshot().propose(&candidate("a.A", "int32 a = 1;"), NOW);
    let Ok(Proposal::New { record, .. }) = proposed else { panic!("{proposed:?}") };
    assert!(registry.snapshot().is_empty());
    let stored = record.encode();
    for registry in [&registry, &other] {
        let version = registry.apply(Record::decode(&stored).expect("a record"));
        assert_eq!(version.number(), 1);
        let compiled = version.compiled().expect("it links");
        assert_eq!(compiled.fingerprint(), version.record().fingerprint);
    }
    let again = other.snapshot().propose(&candidate("a.A", "int32 a = 1;"), NOW);
    assert!(matches!(again, Ok(Proposal::Known(version)) if version.number() == 1));
}

#[test]
fn what_a_type_must_keep_is_said_once_and_holds_until_it_is_said_anew() {
    let registry = Registry::default();
    let with = |fields: &str, compatibility| {
        let candidate = Candidate { compatibility, ..candidate("a.A", fields) };
        registry.register(&candidate, NOW).map(|(version, _)| version.record().compatibility)
    };
    assert_eq!(with("int32 a = 1;", Some(Compatibility::None)), Ok(Compatibility::None));
    assert_eq!(with("string a = 1;", None), Ok(Compatibility::None));
    assert!(with("bytes b = 1;", Some(Compatibility::Full)).is_err());
    let fields = "reserved 1; reserved \"a\"; int32 b = 2;";
    assert!(with(fields, Some(Compatibility::Full)).is_ok());
    assert!(with("int32 a = 1;", None).is_ok(), "it is version 1");
    assert!(with("float a = 1;", None).is_err(), "FULL holds");
}

#[test]
fn a_reader_keeps_what_it_took() {
    let registry = Registry::default();
    register(&registry, "a.A", "int32 a = 1;");
    let before = registry.snapshot();
    register(&registry, "a.A", "int32 a = 1; int32 b = 2;");
    assert!(registry.delete("a.A"));
    assert!(!registry.delete("a.A"));
    assert_eq!(before.get("a.A", 0).map(|version| version.number()), Ok(1));
    let after = registry.snapshot();
    assert_eq!(
        after.get("a.A", 0).map(|_| ()),
        Err(GetError::NoSuchType { type_name: "a.A".into() })
    );
    // A type that is registered again begins again.
    assert_eq!(register(&registry, "a.A", "string a = 1;"), 1);
}

#[test]
fn versions_are_found_by_number() {
    let registry = Registry::default();
    for fields in ["", "int32 a = 1;", "int32 a = 1; int32 b = 2;"] {
        register(&registry, "a.A", fields);
    }
    let schemas = registry.snapshot();
    for (asked, found) in [(0, 3), (1, 1), (2, 2), (3, 3)] {
        assert_eq!(schemas.get("a.A", asked).map(|version| version.number()), Ok(found));
    }
    let error = schemas.get("a.A", 4).expect_err("there is none");
    assert_eq!(error.to_string(), "a.A has no version 4: its newest is 3");
}

#[test]
fn types_are_listed_by_name_in_pages_and_by_pattern() {
    let registry = Registry::default();
    for name in ["shop.v1.B", "shop.v1.A", "shop.v2.A", "x.A"] {
        register(&registry, name, "");
    }
    register(&registry, "shop.v1.A", "int32 a = 1;");
    let schemas = registry.snapshot();
    let list = |pattern: Option<&str>, after: Option<&str>, limit: usize| {
        let pattern = pattern.map(|pattern| pattern.parse().expect("a pattern"));
        let page = schemas.list(pattern.as_ref(), after, limit);
        let names = page.versions.iter().map(|of| format!("{} {}", of.type_name(), of.number()));
        (names.collect::<Vec<_>>(), page.next)
    };
    let page = |names: &[&str], next: Option<&str>| {
        (names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(), next.map(str::to_owned))
    };
    let (first, rest) = (["shop.v1.A 2", "shop.v1.B 1"], ["shop.v2.A 1", "x.A 1"]);
    assert_eq!(list(None, None, 2), page(&first, Some("shop.v1.B")));
    assert_eq!(list(None, Some("shop.v1.B"), 2), page(&rest, None));
    assert_eq!(list(Some("shop.v1.*"), None, 2), page(&first, None));
    assert_eq!(list(Some("shop.>"), None, 2), page(&first, Some("shop.v1.B")));
    assert_eq!(list(Some("*.A"), None, 9), page(&["x.A 1"], None));
    assert_eq!(list(Some("y.>"), None, 9), page(&[], None));
}

#[test]
fn what_is_replayed_is_linked_only_when_asked_for_and_stays_so() {
    let registry = Registry::default();
    let records: Vec<_> = (1..=3)
        .map(|n| {
            let fields: String = (1..=n).map(|n| format!("int32 f{n} = {n};")).collect();
            registry.register(&candidate("a.A", &fields), NOW).expect("valid").0.record().clone()
        })
        .collect();
    let other = Registry::default();
    other.replace(records.iter().cloned().rev());
    assert!(other.snapshot().versions("a.A").iter().all(|version| !version.is_linked()));
    let newest = other.snapshot().get("a.A", 0).expect("it is there").clone();
    assert_eq!(newest.compiled().map(|of| of.message().fields().len()), Ok(3));
    other.replace(records);
    let versions = other.snapshot();
    let linked: Vec<_> = versions.versions("a.A").iter().map(|of| of.is_linked()).collect();
    assert_eq!(linked, [false, false, true]);
    other.replace([]);
    assert!(other.snapshot().is_empty());
}

#[test]
fn a_version_that_cannot_be_read_is_an_error_of_whoever_needs_it() {
    let registry = Registry::default();
    register(&registry, "a.A", "int32 a = 1;");
    let schemas = registry.snapshot();
    let mut record = schemas.get("a.A", 1).expect("it is there").record().clone();
    record.descriptors = b"\x0a\x02\xff\xff".as_slice().into();
    registry.replace([record]);
    let version = registry.snapshot().get("a.A", 1).expect("it is there").clone();
    assert!(version.compiled().is_err());
    let mut next = candidate("a.A", "int32 b = 2;");
    let error = registry.register(&next, NOW).map(|_| ());
    assert_eq!(error, Err(RegisterError::Unreadable { type_name: "a.A".into(), version: 1 }));
    next.force = true;
    assert!(registry.register(&next, NOW).is_ok());
}

#[test]
fn versions_of_a_type_and_long_names_are_bounded() {
    let registry = Registry::default();
    let candidate = candidate("a.A", "int32 a = 1;");
    let record = registry.register(&candidate, NOW).expect("valid").0.record().clone();
    let limit = SCHEMA_VERSIONS_MAX;
    registry.replace((1..=1000).map(|version| Record { version, ..record.clone() }));
    let mut next = self::candidate("a.A", "int32 b = 2;");
    next.force = true;
    let error = registry.register(&next, NOW).map(|_| ());
    assert_eq!(error, Err(RegisterError::TooManyVersions { type_name: "a.A".into(), limit }));
    let sources = [("a.proto".to_owned(), " ".repeat(SCHEMA_TYPE_BYTES_MAX))].into();
    registry.replace([Record { sources, ..record }]);
    let error = registry.register(&next, NOW).map(|_| ());
    assert!(matches!(error, Err(RegisterError::TypeTooLarge { .. })), "{error:?}");
    let name = format!("a.{}", "A".repeat(SCHEMA_TYPE_NAME_BYTES_MAX - 2));
    let long = self::candidate(&name, "");
    assert!(registry.register(&long, NOW).is_ok());
    let long = self::candidate(&format!("a{name}"), "");
    let error = registry.register(&long, NOW).map(|_| ());
    assert!(matches!(error, Err(RegisterError::NameTooLong { .. })), "{error:?}");
}

#[test]
fn what_changed_elsewhere_is_taken_together() {
    let registry = Registry::default();
    for fields in ["", "int32 a = 1;", "int32 a = 1; int32 b = 2;"] {
        register(&registry, "a.A", fields);
    }
    register(&registry, "a.B", "");
    let other = Registry::default();
    register(&other, "a.C", "int32 c = 1;");
    let stored = other.snapshot().get("a.C", 1).expect("it is there").record().clone();
    registry.change([stored], [("a.A", 2), ("a.B", 1), ("a.D", 1)]);
    let schemas = registry.snapshot();
    let versions = |name| schemas.versions(name).iter().map(|v| v.number()).collect::<Vec<_>>();
    assert_eq!((versions("a.A"), versions("a.B"), versions("a.C")), (vec![1, 3], vec![], vec![1]));
    assert_eq!(schemas.len(), 3);
}
