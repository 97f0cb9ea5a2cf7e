use proptest::{prelude::*, sample::Index};

use super::*;
use crate::schema::wire::put_bytes;

const ORDER: &str = r#"syntax = "proto3"; package shop.v1;
    import "google/protobuf/timestamp.proto";
    message OrderPlaced {
      string order_id = 1; repeated Item items = 2; map<string, int32> counts = 3;
      repeated int64 packed = 4; fixed32 check = 5; google.protobuf.Timestamp placed = 6;
      float weight = 7; OrderPlaced before = 8; State state = 9; bytes seal = 10;
      message Item { string sku = 1; double price = 2; }
      enum State { NEW = 0; PAID = 1; }
    }"#;

fn checker_of(type_name: &str, text: &str) -> Checker {
    let compiled = Compiled::from_sources(type_name, [("a.proto", text.as_bytes())]);
    Checker::new(&compiled.expect("a valid schema")).expect("valid rules")
}

fn order() -> Checker {
    checker_of("shop.v1.OrderPlaced", ORDER)
}

fn bytes(json: &str) -> Vec<u8> {
    order().read_json(json, "data").expect("valid JSON")
}

/// `path: message` of the first problem.
fn problem(result: Result<impl fmt::Debug, CheckError>) -> String {
    match result {
        Err(CheckError::Invalid { problems, .. }) => told(&problems),
        other => panic!("{other:?}"),
    }
}

#[test]
fn json_becomes_bytes_and_the_same_json() {
    let json = r#"{"orderId":"1","items":[{"sku":"a","price":1.5}],"counts":{"a":2},"packed":["1","-2"],"check":7,"placed":"2026-01-02T03:04:05.000006Z","weight":0.25,"before":{"orderId":"0"},"state":"PAID","seal":"/wA="}"#;
    let bytes = bytes(json);
    assert_eq!(order().check(&bytes, "data"), Ok(Checked { unknown_fields: 0 }));
    assert_eq!(order().write_json(&bytes, "data").as_deref(), Ok(json));
    // Names as they stand in the source are taken, too.
    assert_eq!(self::bytes(r#"{"order_id":"1"}"#), self::bytes(r#"{"orderId":"1"}"#));
}

#[test]
fn errors_in_json_name_the_field() {
    for (json, expected) in [
        (r#"{"total":1}"#, "events[3].data"),
        (r#"{"items":[{},{"price":"x"}]}"#, "events[3].data.items[1].price: "),
        (r#"{"counts":{"a":1.5}}"#, "events[3].data.counts"),
        (r#"{"state":"GONE"}"#, "events[3].data.state: "),
        (r#"{"placed":"tomorrow"}"#, "events[3].data.placed: "),
        (r#"{"orderId":"1"} x"#, "events[3].data: "),
        (r#"{"orderId":"#, "events[3].data"),
        ("[]", "events[3].data: "),
        ("", "events[3].data: "),
    ] {
        let found = problem(order().read_json(json, "events[3].data"));
        assert!(found.starts_with(expected), "{json}: {found}");
    }
    let unknown = problem(order().read_json(r#"{"total":1}"#, "data"));
    assert!(unknown.contains("total"), "{unknown}");
}

#[test]
fn errors_in_bytes_name_the_field() {
    let inside = |number: u32, value: &[u8]| {
        let mut bytes = Vec::new();
        put_bytes(&mut bytes, number, value);
        bytes
    };
    let two_items = [inside(2, b""), inside(2, &inside(2, b"x"))].concat();
    for (bytes, expected) in [
        (two_items, "data.items[1].price: is not written as"),
        (inside(1, b"\xff"), "data.order_id: is not UTF-8"),
        (inside(4, b"\x80"), "data.packed[0]: is no packed list"),
        (inside(3, &inside(2, b"x")), "data.counts[0].value: is not written as"),
        (b"\x29\x00\x00\x00\x00\x00\x00\x00\x00".to_vec(), "data.check: is not written as"),
        (b"\x0a\x05ab".to_vec(), "data: is cut off"),
        (inside(8, &inside(8, b"\x08\x01")), "data.before.before.order_id: is not written as"),
    ] {
        assert!(order().decode(&bytes, "data").is_err(), "{expected}: no decoder takes it");
        let found = problem(order().check(&bytes, "data"));
        assert!(found.starts_with(expected), "{expected}: {found}");
    }
}

#[test]
fn unknown_fields_are_allowed_and_counted_but_have_no_json() {
    let mut event = bytes(r#"{"orderId":"1"}"#);
    put_bytes(&mut event, 2, b"\x9a\x06\x01x");
    put_bytes(&mut event, 99, b"new");
    assert_eq!(order().check(&event, "data"), Ok(Checked { unknown_fields: 2 }));
    let type_name = "shop.v1.OrderPlaced".to_owned();
    let expected = Err(NotExact::UnknownFields { type_name, fields: 2 });
    assert_eq!(order().write_json(&event, "data"), expected);
}

#[test]
fn what_json_cannot_say_has_no_json() {
    // Nanoseconds beyond a second, and the largest float, which this JSON does not read back.
    let far = b"\x32\x06\x10\x80\x94\xeb\xdc\x0f".as_slice();
    let largest = [&b"\x3d"[..], &f32::MAX.to_le_bytes()].concat();
    for event in [far, &largest] {
        match order().write_json(event, "data") {
            Err(NotExact::NoJson { .. }) => (),
            Ok(json) => assert_eq!(bytes(&json), event),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn nesting_is_bounded_in_bytes_and_json() {
    let mut event = Vec::new();
    for _ in 0..50_000 {
        let mut outer = Vec::new();
        put_bytes(&mut outer, 8, &event);
        event = outer;
        if event.len() > 100_000 {
            break;
        }
    }
    let found = problem(order().check(&event, "data"));
    assert!(found.ends_with("nested more than 100 deep"), "{}", &found[found.len() - 80..]);
    let json =
        |depth: usize| format!("{}{}", r#"{"before":"#.repeat(depth) + "{}", "}".repeat(depth));
    assert!(order().read_json(&json(90), "data").is_ok());
    for depth in [110, 100_000] {
        assert!(order().read_json(&json(depth), "data").is_err());
    }
}

#[test]
fn required_fields_have_to_be_there() {
    let text = "package a; message A { required B b = 1; } message B { required int32 c = 1; required int32 d = 2; }";
    let checker = checker_of("a.A", text);
    assert_eq!(problem(checker.check(b"", "data")), "data.b: is required and not there");
    let found = problem(checker.check(b"\x0a\x02\x08\x01", "data"));
    assert_eq!(found, "data.b.d: is required and not there");
    assert!(checker.check(b"\x0a\x04\x08\x01\x10\x00", "data").is_ok());
}

#[derive(Debug)]
struct Rules(fn(&DynamicMessage) -> Result<Vec<Problem>, String>);

impl Validator for Rules {
    fn validate(&self, message: &DynamicMessage) -> Result<Vec<Problem>, String> {
        (self.0)(message)
    }
}

#[test]
fn rules_are_asked_after_the_shape_and_their_panics_are_contained() {
    let compiled = Compiled::from_sources("shop.v1.OrderPlaced", [("a.proto", ORDER.as_bytes())])
        .expect("valid");
    let check = |rules: fn(&DynamicMessage) -> Result<Vec<Problem>, String>, event: &[u8]| {
        Checker::with_rules(&compiled, Some(Arc::new(Rules(rules)))).check(event, "events[0].data")
    };
    let event = bytes(r#"{"orderId":"1"}"#);
    assert!(check(|_| Ok(vec![]), &event).is_ok());
    let problems = |_: &DynamicMessage| {
        Ok(vec![
            Problem { path: "items[0].price".into(), message: "must be positive".into() };
            1000
        ])
    };
    let Err(CheckError::Invalid { problems, .. }) = check(problems, &event) else { panic!() };
    assert_eq!(problems.len(), SCHEMA_PROBLEMS_MAX);
    assert_eq!(problems[0].path, "events[0].data.items[0].price");
    let failed = check(|_| panic!("division by zero"), &event).expect_err("it panics");
    assert!(failed.to_string().ends_with("division by zero"), "{failed}");
    assert!(matches!(
        check(|_| Err("no such rule".into()), &event),
        Err(CheckError::RulesFailed { .. })
    ));
    // Rules see nothing that is not a message of the type.
    assert!(matches!(check(|_| panic!("asked"), b"\xff"), Err(CheckError::Invalid { .. })));
}

#[test]
fn an_any_says_its_type() {
    let any = to_any("shop.v1.OrderPlaced", vec![1]);
    assert_eq!(any.type_url, "type.googleapis.com/shop.v1.OrderPlaced");
    assert_eq!(type_of(&any), Ok("shop.v1.OrderPlaced"));
    for type_url in ["", "shop.v1.OrderPlaced", "type.googleapis.com/"] {
        let any = Any { type_url: type_url.into(), value: vec![] };
        assert!(type_of(&any).is_err(), "{type_url}");
    }
    let json =
        r#"{"@type":"type.googleapis.com/shop.v1.OrderPlaced","packed":["9007199254740993"]}"#;
    let (name, rest) = split_any(json).expect("an Any").expect("a type");
    assert_eq!(
        (name.as_str(), rest.as_str()),
        ("shop.v1.OrderPlaced", r#"{"packed":["9007199254740993"]}"#)
    );
    assert_eq!(split_any(r#"{"orderId":"1"}"#), None);
    assert_eq!(split_any("[]"), None);
    assert!(split_any(r#"{"@type":"x"}"#).expect("an Any").is_err());
}

#[test]
fn extensions_are_checked_as_fields_are() {
    let text =
        "package a; message A { extensions 100 to 200; } extend A { optional string x = 100; }";
    let checker = checker_of("a.A", text);
    let mut event = Vec::new();
    put_bytes(&mut event, 100, b"hi");
    assert_eq!(checker.check(&event, "data"), Ok(Checked { unknown_fields: 0 }));
    let found = problem(checker.check(b"\xa0\x06\x01", "data"));
    assert_eq!(found, "data.[a.x]: is not written as string");
}

proptest! {
    /// Damaged events. The reverse does not hold: entries of maps that are numbers, and so nothing,
    /// pass the decoder.
    #[test]
    fn what_the_walk_takes_the_decoder_takes(
        damage in proptest::collection::vec((any::<Index>(), any::<u8>()), 0..4),
        cut in proptest::option::of(any::<Index>()),
    ) {
        let mut event = bytes(
            r#"{"orderId":"1","items":[{"sku":"a","price":1.5},{}],"counts":{"a":2},"packed":["1","-2"],"check":7,"placed":"2026-01-02T03:04:05Z","weight":0.25,"before":{"orderId":"0","packed":["9"]},"state":"PAID","seal":"/wA="}"#,
        );
        for (at, byte) in damage {
            let at = at.index(event.len());
            event[at] = byte;
        }
        if let Some(cut) = cut {
            event.truncate(cut.index(event.len()));
        }
        let checked = order().check(&event, "data");
        let decoded = order().decode(&event, "data").map(|message| message.to_string());
        prop_assert!(checked.is_err() || decoded.is_ok(), "{event:?} {checked:?} {decoded:?}");
    }
}
