//! Bytes and JSON that are said to be of a type: refused, or the same as the other.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tidings::schema::{
    Checker, Compiled,
    check::{CheckError, NotExact},
};

const SOURCE: &str = r#"
    syntax = "proto2";
    package a;
    import "google/protobuf/any.proto";
    import "google/protobuf/duration.proto";
    import "google/protobuf/field_mask.proto";
    import "google/protobuf/struct.proto";
    import "google/protobuf/timestamp.proto";
    import "google/protobuf/wrappers.proto";
    message A {
      optional int32 int32 = 1; optional sint64 sint64 = 2; optional fixed32 fixed32 = 3;
      optional double double = 4; optional bool bool = 5; optional string text = 6;
      optional bytes bytes = 7; optional E closed = 8; repeated uint64 numbers = 9;
      repeated sfixed64 packed = 10 [packed = true]; map<string, A> by_name = 11;
      map<int32, float> by_number = 12; optional A inside = 13; optional B needed = 14;
      oneof one { string of = 15; A these = 16; }
      optional group Group = 17 { optional int32 x = 1; }
      optional google.protobuf.Any any = 20; optional google.protobuf.Duration duration = 21;
      optional google.protobuf.FieldMask mask = 22; optional google.protobuf.Value value = 23;
      optional google.protobuf.Timestamp time = 24; optional google.protobuf.BytesValue wrapped = 25;
    }
    message B { required int32 x = 1; }
    enum E { ZERO = 0; ONE = 1; }
"#;

static CHECKER: LazyLock<Checker> = LazyLock::new(|| {
    let compiled = Compiled::from_sources("a.A", [("a.proto", SOURCE.as_bytes())]);
    Checker::new(&compiled.expect("a schema")).expect("its rules are none")
});

fuzz_target!(|bytes: &[u8]| {
    let valid = CHECKER.check(bytes, "data");
    match CHECKER.write_json(bytes, "data") {
        Ok(json) => {
            assert!(valid.is_ok(), "{json}");
            let again = CHECKER.read_json(&json, "data").expect("it is its JSON");
            assert_eq!(CHECKER.write_json(&again, "data"), Ok(json));
        }
        Err(NotExact::Invalid(error)) => {
            assert_eq!(valid, Err(error.clone()));
            told(&error);
        }
        Err(_) => assert!(valid.is_ok()),
    }
    let Ok(json) = std::str::from_utf8(bytes) else { return };
    match CHECKER.read_json(json, "data") {
        Ok(bytes) => _ = CHECKER.check(&bytes, "data").expect("it was written here"),
        Err(error) => told(&error),
    }
});

fn told(error: &CheckError) {
    assert!(!error.to_string().contains(char::is_control), "{error}");
}
