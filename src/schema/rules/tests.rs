use super::*;
use crate::schema::{
    Checker, Compiled,
    check::{CheckError, Checked},
};

const START: &str = "syntax = \"proto3\"; package a; import \"buf/validate/validate.proto\"; \
    import \"google/protobuf/any.proto\"; import \"google/protobuf/duration.proto\"; \
    import \"google/protobuf/field_mask.proto\"; import \"google/protobuf/timestamp.proto\"; \
    import \"google/protobuf/wrappers.proto\"; ";

fn compile(body: &str) -> Result<Compiled, String> {
    let text = format!("{START}\n{body}");
    let compiled = Compiled::from_sources("a.A", [("a.proto", text.as_bytes())]);
    compiled.map_err(|error| error.to_string())
}

fn checker(body: &str) -> Checker {
    let compiled = compile(body).unwrap_or_else(|error| panic!("{body}: {error}"));
    Checker::new(&compiled).expect("rules that were taken")
}

/// `path: message` of everything that is wrong.
fn broken(checker: &Checker, json: &str) -> Vec<String> {
    match checker.read_json(json, "data") {
        Ok(_) => Vec::new(),
        Err(CheckError::Invalid { problems, .. }) => problems
            .iter()
            .map(|problem| format!("{}: {}", problem.path, problem.message))
            .collect(),
        Err(error) => panic!("{json}: {error}"),
    }
}

/// One field with rules: what it may be, what it may not, and what is said then.
#[test]
fn standard_rules_of_each_kind_are_checked() {
    for (field, valid, invalid, expected) in [
        (
            "string f = 1 [(buf.validate.field).required = true]",
            r#""x""#,
            r#""""#,
            "value is required",
        ),
        (
            "string f = 1 [(buf.validate.field).string.min_len = 2]",
            r#""äö""#,
            r#""ä""#,
            "at least 2 characters",
        ),
        (
            "string f = 1 [(buf.validate.field).string = {pattern: '^[a-z]+$', max_len: 3}]",
            r#""abc""#,
            r#""ABC""#,
            "pattern",
        ),
        (
            "string f = 1 [(buf.validate.field).string = {in: ['a', 'b']}]",
            r#""b""#,
            r#""c""#,
            "in list",
        ),
        (
            "string f = 1 [(buf.validate.field).string.email = true]",
            r#""a@b.example""#,
            r#""a@""#,
            "string.email",
        ),
        (
            "string f = 1 [(buf.validate.field).string.uuid = true]",
            r#""11111111-2222-4333-8444-555555555555""#,
            r#""7""#,
            "string.uuid",
        ),
        (
            "string f = 1 [(buf.validate.field).string.uri = true]",
            r#""https://b.example/x""#,
            r#""no uri""#,
            "string.uri",
        ),
        (
            "string f = 1 [(buf.validate.field).string.hostname = true]",
            r#""b.example""#,
            r#""-""#,
            "string.hostname",
        ),
        (
            "string f = 1 [(buf.validate.field).string.ipv4 = true]",
            r#""127.0.0.1""#,
            r#""::1""#,
            "string.ipv4",
        ),
        (
            "bytes f = 1 [(buf.validate.field).bytes.max_len = 2]",
            r#""AAE=""#,
            r#""AAEC""#,
            "at most 2 bytes",
        ),
        ("int32 f = 1 [(buf.validate.field).int32 = {gte: 1, lt: 5}]", "4", "5", "less than 5"),
        ("int64 f = 1 [(buf.validate.field).int64.not_in = 7]", "8", "7", "not be in list"),
        ("uint64 f = 1 [(buf.validate.field).uint64.const = 7]", "7", "8", "must equal 7"),
        (
            "sint32 f = 1 [(buf.validate.field).sint32.lte = -1]",
            "-1",
            "1",
            "less than or equal to -1",
        ),
        ("fixed64 f = 1 [(buf.validate.field).fixed64.gt = 1]", "2", "1", "greater than 1"),
        ("double f = 1 [(buf.validate.field).double.finite = true]", "1.5", r#""NaN""#, "finite"),
        ("float f = 1 [(buf.validate.field).float.gt = 0.5]", "0.75", "0.25", "greater than 0.5"),
        ("bool f = 1 [(buf.validate.field).bool.const = true]", "true", "false", "must equal true"),
        ("E f = 1 [(buf.validate.field).enum = {defined_only: true}]", "1", "2", "defined enum"),
        (
            "repeated int32 f = 1 [(buf.validate.field).repeated = {unique: true, max_items: 2}]",
            "[1, 2]",
            "[1, 1]",
            "unique",
        ),
        (
            "repeated int32 f = 1 [(buf.validate.field).repeated.min_items = 1]",
            "[1]",
            "[]",
            "at least 1 item",
        ),
        (
            "repeated I f = 1 [(buf.validate.field).repeated.max_items = 1]",
            "[{}]",
            "[{}, {}]",
            "at most 1 items",
        ),
        (
            "map<string, int32> f = 1 [(buf.validate.field).map.min_pairs = 1]",
            r#"{"a": 1}"#,
            "{}",
            "at least 1 entries",
        ),
        (
            "map<string, I> f = 1 [(buf.validate.field).map.max_pairs = 1]",
            r#"{"a": {}}"#,
            r#"{"a": {}, "b": {}}"#,
            "at most 1 entries",
        ),
        ("I f = 1 [(buf.validate.field).required = true]", "{}", "null", "value is required"),
        (
            "google.protobuf.Duration f = 1 [(buf.validate.field).duration.lt.seconds = 10]",
            r#""9s""#,
            r#""10s""#,
            "less than",
        ),
        (
            "google.protobuf.Timestamp f = 1 [(buf.validate.field).timestamp.lt_now = true]",
            r#""2001-01-01T00:00:00Z""#,
            r#""9001-01-01T00:00:00Z""#,
            "now",
        ),
        (
            "google.protobuf.FieldMask f = 1 [(buf.validate.field).field_mask.in = 'a']",
            r#""a""#,
            r#""b""#,
            "paths",
        ),
        (
            "google.protobuf.Any f = 1 [(buf.validate.field).any.in = 'type.googleapis.com/google.protobuf.Int32Value']",
            r#"{"@type": "type.googleapis.com/google.protobuf.Int32Value", "value": 1}"#,
            r#"{"@type": "type.googleapis.com/google.protobuf.BoolValue", "value": true}"#,
            "type URL",
        ),
        (
            "google.protobuf.StringValue f = 1 [(buf.validate.field).string.min_len = 2]",
            r#""ab""#,
            r#""a""#,
            "at least 2",
        ),
        ("optional int32 f = 1 [(buf.validate.field).int32.gt = 0]", "null", "0", "greater than 0"),
        (
            "int32 f = 1 [(buf.validate.field) = {int32: {gt: 7}, ignore: IGNORE_IF_ZERO_VALUE}]",
            "0",
            "5",
            "greater than 7",
        ),
    ] {
        let checker =
            checker(&format!("message A {{ {field}; }} message I {{}} enum E {{ X = 0; Y = 1; }}"));
        assert_eq!(broken(&checker, &format!(r#"{{"f": {valid}}}"#)), [""; 0], "{field}");
        let found = broken(&checker, &format!(r#"{{"f": {invalid}}}"#));
        assert_eq!(found.len(), 1, "{field}: {found:?}");
        assert!(
            found[0].starts_with("data.f: ") && found[0].contains(expected),
            "{field}: {found:?}"
        );
    }
}

#[test]
fn what_is_wrong_inside_is_told_by_its_path() {
    let checker = checker(
        "message A { repeated Item items = 1; map<string, Item> by_name = 2; A before = 3;
           repeated string tags = 4 [(buf.validate.field).repeated.items.string.min_len = 2];
           map<string, int32> counts = 5 [(buf.validate.field).map = {
             keys: {string: {max_len: 3}}, values: {int32: {gt: 0}}}];
           repeated Item free = 6 [(buf.validate.field).ignore = IGNORE_ALWAYS];
           repeated Item maybe = 7 [(buf.validate.field).repeated.items.ignore = IGNORE_IF_ZERO_VALUE];
           oneof how { option (buf.validate.oneof).required = true; Item one = 8; string card = 9; } }
         message Item { string sku = 1 [(buf.validate.field).required = true];
           double price = 2 [(buf.validate.field).double.gte = 0]; Plain plain = 3; }
         message Plain { Item deep = 1; }",
    );
    let ok = r#""sku": "a""#;
    for (json, expected) in [
        (
            format!(r#"{{"card": "x", "items": [{{{ok}}}, {{{ok}, "price": -1}}]}}"#),
            "data.items[1].price",
        ),
        (r#"{"card": "x", "byName": {"a.b\"]": {}}}"#.into(), r#"data.by_name["a.b\"]"].sku"#),
        (
            format!(r#"{{"card": "x", "before": {{"one": {{{ok}, "plain": {{"deep": {{}}}}}}}}}}"#),
            "data.before.one.plain.deep.sku",
        ),
        (r#"{"card": "x", "tags": ["ab", "c"]}"#.into(), "data.tags[1]"),
        (r#"{"card": "x", "counts": {"x.y": 0}}"#.into(), r#"data.counts["x.y"]"#),
        (r#"{"card": "x", "counts": {"long": 1}}"#.into(), r#"data.counts["long"]: has a key"#),
        (r#"{"one": {}}"#.into(), "data.one.sku"),
        ("{}".into(), "data.how: "),
        (r#"{"card": "x", "maybe": [{}, {"price": 1}]}"#.into(), "data.maybe[1].sku"),
        (r#"{"card": "x", "free": [{}], "maybe": [{}]}"#.into(), ""),
    ] {
        let found = broken(&checker, &json);
        assert_eq!(found.len(), usize::from(!expected.is_empty()), "{json}: {found:?}");
        assert!(found.iter().all(|found| found.starts_with(expected)), "{json}: {found:?}");
    }
    let two = broken(&checker, r#"{"card": "x", "items": [{"price": -1}]}"#);
    assert_eq!(two.len(), 2, "{two:?}");
}

#[test]
fn rules_of_a_message_say_which_fields_go_together() {
    let checker = checker(
        "message A { option (buf.validate.message).oneof = {fields: ['x', 'y'], required: true};
           string x = 1; I y = 2; } message I {}",
    );
    assert_eq!(broken(&checker, r#"{"y": {}}"#), [""; 0]);
    assert_eq!(broken(&checker, "{}").len(), 1);
    assert_eq!(broken(&checker, r#"{"x": "a", "y": {}}"#).len(), 1);
}

#[test]
fn types_without_rules_are_not_asked() {
    assert!(checker("message A { I i = 1; } message I { string x = 1; }").type_name() == "a.A");
    let compiled = compile(
        "message A { I i = 1; } message I { A a = 1; } message B { string x = 1 [(buf.validate.field).required = true]; }",
    );
    assert!(compiled.expect("valid").rules().expect("rules").is_none());
}

#[test]
fn mistakes_in_rules_are_refused_with_their_place() {
    for (body, expected) in [
        (
            "message A {\n  string f = 1 [(buf.validate.field).int32.gt = 1]; }",
            "a.proto:3:3: the rules of a.A.f: expected rule `string`, got `int32`",
        ),
        (
            "message A { message B {\n  string f = 1 [(buf.validate.field).string.pattern = '(']; } B b = 1; }",
            "a.proto:3:3: the rules of a.A.B.f: its pattern is none: unclosed group",
        ),
        (
            "message A { bytes f = 1 [(buf.validate.field).bytes.pattern = '(a{1000}){1000}']; }",
            "a.proto:2:13: the rules of a.A.f: its pattern takes more than 65536 bytes",
        ),
        (
            "message A { repeated string f = 1 [(buf.validate.field).repeated.items.string.pattern = '[']; }",
            "a.proto:2:13: the rules of a.A.f: its pattern is none",
        ),
        (
            "message A { repeated A f = 1 [(buf.validate.field).repeated.unique = true]; }",
            "a.proto:2:13: the rules of a.A.f: repeated.unique is only supported",
        ),
        (
            "message A { option (buf.validate.message).oneof = {fields: ['x']}; }",
            "a.proto:2:1: the rules of a.A: field x not found",
        ),
        ("message A { string f = 1 [(buf.validate.field).nope = 1]; }", "a.proto:2:"),
    ] {
        let error = compile(body).expect_err(body);
        assert!(error.starts_with(expected), "{body}: {error}");
    }
    let own = "syntax = \"proto2\"; package a; import \"buf/validate/validate.proto\"; \
        extend buf.validate.StringRules { optional bool loud = 81048952 [(buf.validate.predefined).cel = {id: 'l', expression: 'this == this'}]; } \
        message A { optional string f = 1 [(buf.validate.field).string.(loud) = true]; }";
    let error =
        Compiled::from_sources("a.A", [("a.proto", own.as_bytes())]).expect_err("predefined");
    let error = error.to_string();
    assert!(
        error.contains(
            "the rules of a.A.f: field 81048952 of buf.validate.StringRules is a predefined rule"
        ),
        "{error}"
    );
}

#[test]
fn rules_survive_what_is_stored_and_change_the_fingerprint() {
    let of = |min: u32| {
        compile(&format!(
            "message A {{ string f = 1 [(buf.validate.field).string.min_len = {min}]; }}"
        ))
    };
    let (two, three) = (of(2).expect("valid"), of(3).expect("valid"));
    assert_ne!(two.fingerprint(), three.fingerprint());
    let again = Compiled::from_canonical("a.A", two.descriptors().clone()).expect("linked");
    let checker = Checker::new(&again).expect("rules");
    assert_eq!(broken(&checker, r#"{"f": "x"}"#).len(), 1);
    // A client links what is exported as it is, and finds rules in it.
    let exported = two.descriptors_with_bundled();
    let pool = DescriptorPool::decode(&exported[..]).expect("it is whole");
    assert!(
        pool.get_message_by_name("buf.validate.StringRules").expect("rules").fields().len() > 20
    );
    let field =
        pool.get_message_by_name("a.A").and_then(|a| a.get_field_by_name("f")).expect("a.A.f");
    let extension = pool.get_extension_by_name("buf.validate.field").expect("an extension");
    assert!(field.options().has_extension(&extension));
    let from_export = Compiled::from_descriptors("a.A", &exported).expect("it is taken again");
    assert_eq!(from_export.fingerprint(), two.fingerprint());
    assert!(two.pool().get_message_by_name("buf.validate.StringRules").is_none(), "memory");
}

#[test]
fn fields_of_their_types_are_types_like_others() {
    let checker = checker(
        "message A { buf.validate.Violations found = 1; int32 n = 2 [(buf.validate.field).int32.gt = 0]; }",
    );
    assert_eq!(
        broken(&checker, r#"{"n": 1, "found": {"violations": [{"ruleId": "x"}]}}"#),
        [""; 0]
    );
    assert_eq!(broken(&checker, "{}").len(), 1);
}

#[test]
fn hostile_events_are_bounded() {
    // Each of half a million numbers is wrong; one is told.
    let many = checker(
        "message A { repeated int32 f = 1 [(buf.validate.field).repeated.items.int32.gt = 0]; }",
    );
    let mut event = vec![0x0a];
    prost::encoding::encode_varint(500_000, &mut event);
    event.resize(event.len() + 500_000, 0);
    let Err(CheckError::Invalid { problems, .. }) = many.check(&event, "data") else { panic!() };
    assert_eq!((problems.len(), problems[0].path.as_str()), (1, "data.f[0]"));

    let unique = checker(
        "message A { repeated int32 f = 1 [(buf.validate.field).repeated.unique = true]; }",
    );
    let message = |values: Vec<i32>| {
        let mut packed = Vec::new();
        prost::encoding::int32::encode_packed(1, &values, &mut packed);
        packed
    };
    assert!(unique.check(&message((0..100_000).collect()), "data").is_ok());
    assert!(unique.check(&message((0..100_000).chain([5]).collect()), "data").is_err());

    // As many elements as there are, each with its own mistakes.
    let items = checker(
        "message A { repeated B f = 1; } message B { string s = 1 [(buf.validate.field).required = true]; }",
    );
    let event = [0x0a, 0x00].repeat(200_000);
    let Err(CheckError::Invalid { problems, .. }) = items.check(&event, "data") else { panic!() };
    assert_eq!(problems.len(), SCHEMA_PROBLEMS_MAX);
}

#[test]
fn events_and_schemas_that_nest_deep_are_bounded() {
    let body = "message A { A a = 1; map<string, A> m = 2; string s = 3 [(buf.validate.field).required = true]; }";
    let deep = checker(body);
    let mut event = b"\x1a\x01x".to_vec();
    for _ in 0..98 {
        let mut outer = b"\x1a\x01x".to_vec();
        crate::schema::wire::put_bytes(&mut outer, 1, &event);
        event = outer;
    }
    assert_eq!(deep.check(&event, "data"), Ok(Checked::default()));

    // Messages that hold each other in one long line, and in one long circle.
    let fields = "string s = 1 [(buf.validate.field).required = true];";
    let line: String = (0..2000)
        .map(|n| format!("message M{n} {{ {fields} M{} next = 2; }} ", (n + 1) % 2000))
        .collect();
    let line = checker(&format!("message A {{ M0 m = 1; }} {line}"));
    assert_eq!(broken(&line, r#"{"m": {"s": "x", "next": {}}}"#).len(), 1);
}

#[test]
fn rules_in_cel_see_their_value_and_say_what_is_wrong() {
    let checker = checker(
        "message A {
           option (buf.validate.message).cel = {id: 'a.order', message: 'first must not be after last',
             expression: 'this.first <= this.last'};
           option (buf.validate.message).cel_expression = '!has(this.item) || this.item.price < 100.0';
           int32 first = 1; int32 last = 2; Item item = 3;
           string mail = 4 [(buf.validate.field).cel = {id: 'mail',
             expression: 'this.isEmail() ? \\'\\' : this + \\' is no address\\''},
             (buf.validate.field).ignore = IGNORE_IF_ZERO_VALUE];
           repeated int32 even = 5 [(buf.validate.field).repeated.items.cel = {id: 'even', expression: 'this % 2 == 0'}];
           map<string, int32> counts = 6 [(buf.validate.field).map = {
             keys: {cel: {id: 'lower', expression: 'this.matches(\\'^[a-z]+$\\')'}},
             values: {cel: {id: 'few', expression: 'this < 10'}}}];
           google.protobuf.Timestamp at = 7 [(buf.validate.field).cel = {id: 'past', expression: 'this < now'}];
           repeated string tags = 8 [(buf.validate.field).cel = {id: 'tags', expression: 'this.unique()'},
             (buf.validate.field).repeated.max_items = 3];
           optional double part = 9 [(buf.validate.field).cel = {id: 'part', expression: '!this.isNan() && !this.isInf()'}];
           google.protobuf.Int32Value wrapped = 10 [(buf.validate.field).cel = {id: 'odd', expression: 'this % 2 == 1'}];
           repeated Item items = 11 [(buf.validate.field).cel = {id: 'all', expression: 'this.all(i, i.price > 0.0)'}];
           string host = 12 [(buf.validate.field) = {ignore: IGNORE_IF_ZERO_VALUE, cel: {id: 'host',
             expression: 'this.isHostname() || this.isIp(4) || this.isIpPrefix(6, true) || this.isUri() || this.isHostAndPort(true)'}}];
         }
         message Item { double price = 1 [(buf.validate.field).cel = {id: 'price', expression: 'this >= 0.0'}]; }",
    );
    for (json, expected) in [
        (
            r#"{"first": 1, "last": 2, "item": {"price": 5}, "mail": "a@b.example", "even": [2, 4], "counts": {"a": 1},
            "at": "2001-01-01T00:00:00Z", "tags": ["a", "b"], "part": 0.5, "wrapped": 3, "host": "127.0.0.1"}"#,
            "",
        ),
        (r#"{"first": 3, "last": 2}"#, "data: first must not be after last"),
        (r#"{"item": {"price": 500}}"#, "data: breaks the rule !has(this.item) ||"),
        (r#"{"item": {"price": -1}}"#, "data.item.price: breaks the rule price"),
        (r#"{"mail": "nobody"}"#, "data.mail: nobody is no address"),
        (r#"{"even": [2, 3]}"#, "data.even[1]: breaks the rule even"),
        (r#"{"counts": {"A": 1}}"#, r#"data.counts["A"]: has a key: breaks the rule lower"#),
        (r#"{"counts": {"a": 11}}"#, r#"data.counts["a"]: breaks the rule few"#),
        (r#"{"at": "9001-01-01T00:00:00Z"}"#, "data.at: breaks the rule past"),
        (r#"{"tags": ["a", "a"]}"#, "data.tags: breaks the rule tags"),
        (r#"{"tags": ["a", "b", "c", "d"]}"#, "data.tags: must have at most 3 items"),
        (r#"{"part": "NaN"}"#, "data.part: breaks the rule part"),
        (r#"{"part": "-Infinity"}"#, "data.part: breaks the rule part"),
        (r#"{"wrapped": 2}"#, "data.wrapped: breaks the rule odd"),
        (r#"{"items": [{"price": 1}, {}]}"#, "data.items: breaks the rule all"),
        (r#"{"host": "b.example"}"#, ""),
        (r#"{"host": "b.example:80"}"#, ""),
        (r#"{"host": "2001:db8::/32"}"#, ""),
        (r#"{"host": "no host"}"#, "data.host: breaks the rule host"),
        ("{}", ""),
    ] {
        let found = broken(&checker, json);
        assert_eq!(found.len(), usize::from(!expected.is_empty()), "{json}: {found:?}");
        assert!(found.iter().all(|found| found.starts_with(expected)), "{json}: {found:?}");
    }
}

#[test]
fn mistakes_in_cel_are_refused_with_their_place_in_the_expression() {
    let long = "true || ".repeat(300) + "true";
    for (expression, expected) in [
        ("thi.x == 1", "line 1, column 1: there is no \"thi\": there are this and now"),
        ("true &&\\n this.shout()", "line 2, column 7: there is no \"shout\""),
        ("this.format([1])", "line 1, column 6: there is no \"format\""),
        ("this.map(x, x).unique()", "line 1, column 6: map and filter are not offered"),
        ("this.isIp(this)", "line 1, column 6: there is no \"isIp\" that is called so"),
        ("this.matches('(a{1000}){1000}')", "the pattern is none"),
        ("event.type == ''", "there is no \"event\""),
        ("this ==", "line 1, column 8"),
        (&long, "it has 2404 bytes, and may have 2048"),
    ] {
        let body = format!(
            "message A {{ string f = 1 [(buf.validate.field).cel = {{id: 'x', expression: \"{expression}\"}}]; }}"
        );
        let error = compile(&body).expect_err(expression);
        assert!(error.starts_with("a.proto:2:13: the rules of a.A.f: in \"x\", "), "{error}");
        assert!(error.contains(expected), "{expression}: {error}");
    }
    let many: String = (0..100)
        .map(|n| {
            format!(
                "string f{n} = {} [(buf.validate.field).cel_expression = '{}true'];",
                n + 1,
                "true || ".repeat(90)
            )
        })
        .collect();
    let error = compile(&format!("message A {{ {many} }}")).expect_err("too much");
    assert!(error.contains("all rules in CEL of the schema have more than 65536 bytes"), "{error}");
}

/// A mistake in the rules, not in the event: on a topic that rejects it is refused as well.
fn failed(checker: &Checker, event: &[u8]) -> String {
    match checker.check(event, "data") {
        Err(CheckError::RulesFailed { cause, .. }) => cause,
        other => panic!("{other:?}"),
    }
}

#[test]
fn rules_that_would_run_for_ever_end_and_rules_without_an_answer_are_said_to_fail() {
    let of = |kind: &str, expression: &str| {
        checker(&format!(
            "message A {{ {kind} f = 1 [(buf.validate.field).cel = {{id: 'x', expression: \"{expression}\"}}]; }} message I {{ string s = 1; }}"
        ))
    };
    let mut event = vec![0x0a];
    prost::encoding::encode_varint(100_000, &mut event);
    event.resize(event.len() + 100_000, 1);
    let slow = of("repeated int32", "this.all(a, this.all(b, a == b))");
    assert_eq!(
        failed(&slow, &event),
        "f: rule \"x\" takes more steps than an event of this size may"
    );
    let text = of(
        "string",
        "(this + this + this).contains('b') || this.matches('(a|aa)+$') || this.isUri()",
    );
    assert!(text.check(&event, "data").is_err());
    let items = checker(
        "message A { repeated int32 f = 1 [(buf.validate.field).repeated.items.cel = {id: 'x', expression: 'this > 0'}]; }",
    );
    assert!(failed(&items, &event).ends_with("takes more steps than an event of this size may"));
    assert!(items.check(&event[..4], "data").is_err(), "cut off");
    assert!(items.check(b"\x0a\x03\x01\x02\x03", "data").is_ok());

    assert!(
        failed(&of("int32", "10 / this > 1"), b"").starts_with("f: rule \"x\" has no answer: ")
    );
    assert_eq!(
        failed(&of("int32", "this"), b""),
        "f: rule \"x\" answers neither true or false nor a text"
    );
    assert!(failed(&of("I", "this.nothing == 1"), b"\x0a\x00").contains("has no answer"));
    // What is wrong all the same is told.
    let both = checker(
        "message A { int32 f = 1 [(buf.validate.field) = {int32: {gt: 0}, cel: {id: 'x', expression: '10 / this > 1'}}]; }",
    );
    assert_eq!(broken(&both, "{}"), ["data.f: value must be greater than 0"]);
}
