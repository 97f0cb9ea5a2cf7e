use std::collections::BTreeMap;

use prost::Message;
use prost_types::Timestamp;

use super::*;
use crate::{
    limits::CEL_BYTES_MAX,
    proto::event::Payload,
    schema::{Compiled, compatibility::Json, registry::Candidate},
};

const ORDER: &str = "syntax = \"proto3\"; package shop; \
    import \"google/protobuf/timestamp.proto\"; import \"google/protobuf/duration.proto\"; \
    import \"google/protobuf/wrappers.proto\"; import \"google/protobuf/struct.proto\"; \
    enum State { NEW = 0; PAID = 1; } \
    message Item { string sku = 1; int32 count = 2; double price = 3; repeated string tags = 4; } \
    message Order { int64 total = 1; string by = 2; repeated Item items = 3; Item gift = 4; \
    map<string, int32> counts = 5; map<int32, string> names = 6; bytes raw = 7; State state = 8; \
    optional int32 maybe = 9; google.protobuf.Timestamp at = 10; google.protobuf.Duration took = 11; \
    google.protobuf.Int32Value wrapped = 12; google.protobuf.Struct any = 13; uint64 big = 14; \
    repeated int32 numbers = 15; bool done = 16; google.protobuf.Value value = 17; }";

/// In JSON, to be written as the type.
const PLACED: &str = r#"{"total": "150", "by": "ann", "items": [
    {"sku": "a-1", "count": 2, "price": 2.5, "tags": ["red", "new"]},
    {"sku": "b-2", "count": 1, "price": 40}], "counts": {"x": 3}, "names": {"7": "seven"},
    "raw": "AAE=", "state": "PAID", "maybe": 0, "at": "2026-01-02T03:04:05.5Z", "took": "90s",
    "wrapped": 5, "any": {"deep": {"list": [1, "two", null]}}, "big": "18446744073709551615",
    "numbers": [1, 2, 3], "done": true, "value": "text"}"#;

fn types() -> Arc<Registry> {
    let registry = Arc::<Registry>::default();
    let compiled = Compiled::from_sources("shop.Order", [("order.proto", ORDER.as_bytes())]);
    let candidate = Candidate {
        compiled: compiled.expect("a valid schema"),
        sources: BTreeMap::new(),
        compatibility: None,
        json: Json::Unused,
        force: false,
    };
    registry.register(&candidate, Timestamp::default()).expect("registered");
    registry
}

fn event(event_type: &str, media_type: &str, payload: Payload) -> proto::Event {
    proto::Event {
        id: "e-1".into(),
        source: "/shop".into(),
        r#type: event_type.into(),
        key: "k".into(),
        time: Some(Timestamp { seconds: 1_767_323_045, nanos: 0 }),
        data_content_type: media_type.into(),
        extensions: [("traceparent".to_owned(), "00-1".to_owned())].into(),
        payload: Some(payload),
        ..Default::default()
    }
}

fn placed(types: &Registry) -> proto::Event {
    let schemas = types.snapshot();
    let compiled = schemas.get("shop.Order", 0).expect("registered").compiled().expect("linked");
    let mut json = serde_json::Deserializer::from_str(PLACED);
    let message = prost_reflect::DynamicMessage::deserialize(compiled.message().clone(), &mut json);
    let data = message.expect("an order").encode_to_vec();
    event("shop.Order", "application/protobuf", Payload::Data(data.into()))
}

fn json(text: &str) -> proto::Event {
    event("shop.Note", "application/json", Payload::Text(text.into()))
}

fn ask(text: &str, event: &proto::Event, types: &Arc<Registry>) -> Result<bool, NoAnswer> {
    let parsed = Expression::parse(text).unwrap_or_else(|mistake| panic!("{text}: {mistake}"));
    parsed.with_types(types).evaluate(event).0
}

#[test]
fn attributes_and_fields_of_a_registered_type_are_seen() {
    let types = types();
    let event = placed(&types);
    for text in [
        r#"event.type == "shop.Order" && data.total > 100"#,
        r#"event.id == "e-1" && event.source.startsWith("/sh") && event.key in ["j", "k"]"#,
        r#"event.subject == "" && !has(event.subject) && has(event.key)"#,
        r#"event.extensions.traceparent == "00-1" && !has(event.extensions.other)"#,
        r#"event.extensions["traceparent"].endsWith("1") && "traceparent" in event.extensions"#,
        r#"event.time > timestamp("2026-01-01T00:00:00Z") && event.time.getFullYear() == 2026"#,
        r#"event.time.getHours("America/New_York") == 22"#,
        r#"event.data_content_type == "application/protobuf" && event.data_schema.size() == 0"#,
        r#"data.by.matches("^a.n$") && matches(data.by, "nn") && !data.by.matches("^n")"#,
        "data.items.exists(item, item.price > 30.0 && item.count == 1)",
        "data.items.all(item, item.count > 0) && data.items.size() == 2 && size(data.items) == 2",
        r#"data.items.exists_one(item, item.sku.contains("-1")) && data.items[1].sku == "b-2""#,
        r#"data.items.exists(item, item.tags.exists(tag, tag == "new"))"#,
        r#"data.counts.x == 3 && data.counts["x"] == 3 && "x" in data.counts && !("y" in data.counts)"#,
        r#"data.names[7] == "seven" && 7 in data.names && data.names.exists(n, n == 7)"#,
        r#"data.counts.all(name, data.counts[name] > 2)"#,
        r#"data.raw == b"\x00\x01" && size(data.raw) == 2 && data.state == 1 && data.done"#,
        "has(data.maybe) && data.maybe == 0 && !has(data.gift) && has(data.total)",
        r#"data.gift.sku == "" && data.gift.count == 0 && data.gift.tags.size() == 0"#,
        r#"data.at.getSeconds() == 5 && data.took == duration("1m30s") && data.wrapped == 5"#,
        r#"data.any.deep.list[1] == "two" && data.any.deep.list[2] == null"#,
        r#"data.value == "text" && data.big > 9223372036854775807u && 2 in data.numbers"#,
        r#"data.numbers == [1, 2, 3] && data.numbers[0] + 1 == 2 && -data.total == -150"#,
        "(data.total > 200 ? data.by : event.key) == 'k' && data.total % 7 == 3",
        "int(data.items[0].price) == 2 && string(data.total) + '!' == '150!'",
        // What cannot be known does not matter where the rest decides.
        "data.nothing == 1 || data.total == 150",
        "data.items.exists(item, item.nothing == 1 || item.count == 1)",
    ] {
        assert_eq!(ask(text, &event, &types), Ok(true), "{text}");
    }
    for text in
        ["data.total > 1000", "event.type == 'x'", "has(data.counts.y)", "data.total == 1.5"]
    {
        assert_eq!(ask(text, &event, &types), Ok(false), "{text}");
    }
}

#[test]
fn json_is_seen_as_it_is_written() {
    let types = Arc::default();
    let event = json(r#"{"total": 150, "part": 2.5, "a": {"b": [1, {"c": "x"}]}, "no": null}"#);
    for text in [
        "data.total > 100 && data.part == 2.5 && data.total / 2.0 == 75.0",
        r#"data.a.b[1].c == "x" && has(data.a.b) && !has(data.a.z) && data.no == null"#,
        r#"data.a.b[0] == 1 && data.exists(name, name == "part") && size(data) == 4"#,
        "int(data.total) % 4 == 2",
    ] {
        assert_eq!(ask(text, &event, &types), Ok(true), "{text}");
    }
    assert_eq!(ask("data == 3 && data > 2", &json("3"), &types), Ok(true));
    assert_eq!(ask("data.all(n, n > 0)", &json("[1, 2]"), &types), Ok(true));
}

#[test]
fn where_there_is_no_answer_the_event_is_not_shown() {
    let types = types();
    let placed = placed(&types);
    let raw = event("shop.Unknown", "application/octet-stream", Payload::Data("abc".into()));
    let broken = event("shop.Order", "application/protobuf", Payload::Data("\u{ff}".into()));
    for (text, event) in [
        ("data.nothing == 1", &placed),
        ("has(data.nothing)", &placed),
        ("data.total == 1 || data.by > 3", &placed),
        ("data.total / 0 == 1", &placed),
        ("data.items[2].count == 1", &placed),
        ("data.total", &placed),
        ("data.by.getHours() == 1", &placed),
        ("data.total.matches('1')", &placed),
        ("timestamp(data.by) == event.time", &placed),
        ("event.publish_time == event.time", &placed),
        ("data.total > 1", &raw),
        ("data.total > 1", &broken),
        ("data.total > 1", &json("{")),
        ("data.total > 1", &json("{}")),
        ("data.total > 1", &json(&"[".repeat(100_000))),
        ("9223372036854775807 + data.total > 0", &placed),
    ] {
        let answer = ask(text, event, &types);
        assert!(answer.is_err(), "{text}: {answer:?}");
        let parsed = Expression::parse(text).expect("it is one").with_types(&types);
        assert!(!parsed.is_true_of(event), "{text}");
    }
    assert_eq!(ask("!has(data.x) || true", &raw, &types), Ok(true));
}

#[test]
fn mistakes_are_told_with_their_place() {
    for (text, place, part) in [
        ("event.type == ", (1, 15), ""),
        ("event.type == \"a\" &&\n  dat.total > 1", (2, 3), "there is no \"dat\""),
        ("event.typ == 'a'", (1, 7), "event has no \"typ\": it has id, source, type"),
        ("data.ä == 1", (1, 6), ""),
        ("'é' == data.x + ?", (1, 17), ""),
        ("'é' == data.x &&\n'ö' == ?", (2, 8), ""),
        ("event == 1", (1, 1), "event has to be followed by one of id"),
        ("data.x.shout() == 'A'", (1, 8), "there is no \"shout\""),
        ("'é' == data.x && size(1, 2) == 3", (1, 18), "there is no \"size\""),
        ("data.xs.map(x, x * 2) == []", (1, 9), "map and filter are not offered"),
        ("true || data.xs.filter(x, x > 2).size() > 1", (1, 17), "map and filter are not"),
        ("data.x == {'a': 1}", (1, 11), "maps and messages"),
        ("data.x == shop.Order{total: 1}", (1, 21), "maps and messages"),
        ("data.xs.all(data, data > 1)", (1, 1), "\"data\" means something else"),
        ("data.x.matches(data.y)", (1, 8), "has to be written out"),
        ("data.x.matches('(')", (1, 8), "the pattern is none: unclosed group"),
        ("data.x.matches('(a{1000}){1000}')", (1, 8), "the pattern is none"),
        ("data.x.matches('(?<=a)b')", (1, 8), "look-around"),
        ("a.all(x, true)", (1, 1), "there is no \"a\""),
        ("data.all(x, true) && x", (1, 10), "there is no \"x\""),
        ("data.?x == 1", (1, 5), ""),
        ("bytes(data.x) == b''", (1, 1), "there is no \"bytes\""),
        ("type(data.x) == int", (1, 1), "there is no \"type\""),
        (".data.x == 1", (1, 1), ""),
        ("data.a.all(x, data.b.all(y, data.c.all(z, true)))", (1, 40), "nested 2 deep"),
    ] {
        let mistake = Expression::parse(text).expect_err(text);
        assert_eq!((mistake.line, mistake.column), place, "{text}: {mistake}");
        assert!(mistake.message.contains(part), "{text}: {mistake}");
    }
    let long = Expression::parse(&"1".repeat(CEL_BYTES_MAX + 1)).expect_err("too long");
    assert_eq!(long.to_string(), "line 1, column 1: it has 2049 bytes, and may have 2048");
}

#[test]
fn what_is_nested_or_repeated_without_end_is_refused() {
    for text in [
        "(".repeat(2000),
        "[".repeat(2000),
        "!".repeat(2000),
        "-".repeat(2000),
        "!-".repeat(1000),
        "a?".repeat(1000),
        "true?true:".repeat(200) + "true",
        "data".to_owned() + &"[0".repeat(900),
        "data".to_owned() + &".a".repeat(900),
        "data".to_owned() + &"[0]".repeat(500),
        "1".to_owned() + &"+1".repeat(900),
        "[".to_owned() + &"1,".repeat(900) + "1]",
        "true".to_owned() + &"||true".repeat(300),
        "size(".repeat(400) + "data" + &")".repeat(400),
        "data.all(x,".repeat(150),
        "\"".repeat(2000),
        "'".to_owned() + &"\\x".repeat(900),
        "b'\\377'".repeat(200),
        "{".repeat(2000),
        "0x".to_owned() + &"f".repeat(2000),
        "1e".to_owned() + &"9".repeat(2000),
        "data.".to_owned() + &"a".repeat(2040) + "(1)",
    ] {
        let mistake = Expression::parse(&text).expect_err("it is refused");
        assert!(mistake.to_string().len() < 1500, "{mistake}");
    }
}

/// Bounded in what it does, whatever it says and whatever the event is.
#[test]
fn expressions_that_would_run_for_ever_end() {
    let types = types();
    let numbers =
        format!(r#"{{"xs": [{}0], "s": "{}"}}"#, "0,".repeat(100_000), "a".repeat(500_000));
    let strings = format!(r#"{{"xs": [{}"b"]}}"#, format!("\"{}\",", "a".repeat(900)).repeat(900));
    let nested = format!(r#"{{"xs": [{}[]]}}"#, format!("[{}1],", "1,".repeat(900)).repeat(300));
    let keys: String = (0..40_000).map(|n| format!("\"k{n}\":{n},")).collect();
    let keys = format!("{{\"xs\": {{{keys}\"z\":1}}}}");
    let events = [json(&numbers), json(&strings), json(&nested), json(&keys), placed(&types)];
    let mut too_much = 0;
    for text in [
        "data.xs.all(x, data.xs.all(y, x == y))",
        "data.xs.exists(x, data.xs.exists(y, x != x && y != y))",
        "data.xs.all(x, data.xs.all(y, (string(x) + string(y)).contains('zz') || true))",
        "data.xs.exists(x, x.contains('zzz') && data.xs.exists(y, y.contains('zzz')))",
        "data.xs.exists_one(x, data.xs.exists_one(y, x in data.xs && y in data.xs))",
        "data.s.contains('b') || data.s.contains('c') || data.s.contains('d') || data.s.size() == 1",
        "data.s.matches('(a*)*b') || data.s.matches('(a|aa)+$')",
        "(data.s + data.s + data.s + data.s).size() > 1 && data.s + 'a' != data.s",
        "data.xs.all(x, x.all(y, x == x && y == y))",
        "data.xs.all(k, data.xs[k] >= 0)",
        "data.xs == data.xs && data.xs in [data.xs, data.xs]",
        "[1,2,3,4,5,6,7,8].all(a, data.xs.all(b, b == b))",
        "data.items.all(item, item.tags.all(tag, tag != 'zz'))",
    ] {
        let expression = Expression::parse(text).expect(text).with_types(&types);
        for event in &events {
            let (answer, steps) = expression.evaluate(event);
            assert!(steps <= allowed(event), "{text}: {steps}");
            assert_ne!(answer, Err(NoAnswer::Panicked), "{text}");
            too_much += u32::from(answer == Err(NoAnswer::TooMuch));
        }
    }
    assert!(too_much > 10, "only {too_much} of them were cut off: do they say what they should?");
}

/// A frame may have a thousand of them, and all of it is one piece of work.
#[test]
fn a_small_event_is_allowed_few_steps() {
    let digits = "[1,2,3,4,5,6,7,8,9]";
    let text = format!("{digits}.all(a, {digits}.all(b, data.x.all(c, c >= a - b - 99)))");
    Expression::parse(&text).expect_err("loops three deep");
    let text = format!("{digits}.all(a, {digits}.all(b, a + b > 0 && a + b < 99 && a * b > 0))");
    let expression = Expression::parse(&text).expect("one");
    let (answer, steps) = expression.evaluate(&json("{}"));
    assert_eq!(answer, Err(NoAnswer::TooMuch));
    assert!(steps < 1500, "{steps}");
    assert_eq!(expression.evaluate(&json(&" ".repeat(10_000))).0, Ok(true));
}

/// A filter of everyday over an event of everyday is far from the bound.
#[test]
fn what_people_write_takes_few_steps() {
    let types = types();
    let text = r#"event.type == "shop.Order" && data.total > 100 && data.by.matches("^a")"#;
    let (answer, steps) =
        Expression::parse(text).expect("one").with_types(&types).evaluate(&placed(&types));
    assert_eq!(answer, Ok(true));
    assert!(steps < 60, "{steps}");
    let items = format!(r#"{{"items": [{}{{"n": 1}}]}}"#, r#"{"n": 0},"#.repeat(1000));
    let text = "data.items.exists(item, item.n == 1)";
    let (answer, steps) = Expression::parse(text).expect("one").evaluate(&json(&items));
    assert_eq!((answer, steps < CEL_STEPS_MAX), (Ok(true), true), "{steps}");
}

#[test]
fn random_texts_never_panic_and_never_take_more_than_they_may() {
    const PARTS: [&str; 54] = [
        "event",
        "data",
        ".",
        "type",
        "xs",
        "a",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ",",
        "?",
        ":",
        "+",
        "-",
        "*",
        "/",
        "%",
        "==",
        "!=",
        "<",
        "<=",
        "&&",
        "||",
        "!",
        " in ",
        "1",
        "2u",
        "0.5",
        "'x'",
        "b'y'",
        "\"\\u00e9\"",
        "null",
        "true",
        "false",
        ".all(",
        ".exists(",
        ".exists_one(",
        ".map(",
        "has(",
        "size(",
        ".matches('",
        "')",
        "timestamp(",
        ".getHours()",
        "string(",
        "x",
        "data.xs",
        "é",
        "\n",
        "//",
        "`",
    ];
    let seed = 0x7464_6365_6c01_u64;
    println_seed(seed);
    let mut random = fastrand::Rng::with_seed(seed);
    let types = types();
    let events = [json(r#"{"xs": [1, "a", [2], {"a": 1}], "a": "x"}"#), placed(&types)];
    let mut parsed = 0;
    for _ in 0..30_000 {
        let mut text: String =
            (0..random.usize(1..14)).map(|_| PARTS[random.usize(..PARTS.len())]).collect();
        let open = text.matches('(').count().saturating_sub(text.matches(')').count());
        text.extend(std::iter::repeat_n(')', open));
        let Ok(expression) = Expression::parse(&text) else { continue };
        parsed += 1;
        let expression = expression.with_types(&types);
        for event in &events {
            let (answer, steps) = expression.evaluate(event);
            assert_ne!(answer, Err(NoAnswer::Panicked), "{text:?}");
            assert!(steps <= allowed(event), "{text:?}");
        }
    }
    assert!(parsed > 500, "only {parsed} were expressions");
    for _ in 0..5_000 {
        let bytes: Vec<u8> = (0..random.usize(..60)).map(|_| random.u8(..)).collect();
        let _ = Expression::parse(&String::from_utf8_lossy(&bytes));
    }
}

/// Shown where the test fails.
#[allow(clippy::print_stdout, reason = "a seed that failed has to be known")]
fn println_seed(seed: u64) {
    println!("seed {seed:#x}");
}

#[test]
fn the_same_text_is_the_same_filter() {
    let [a, b, c] = ["data.x == 1", "data.x == 1", "data.x == 2"]
        .map(|text| Expression::parse(text).expect("one").with_types(&types()));
    assert_eq!(a, b);
    assert_ne!(a, c);
}
