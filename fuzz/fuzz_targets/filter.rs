//! The expression of a filter: refused with its place, or an answer about any event.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidings::{lens::Expression, proto};

const JSON: &str = r#"{"a": [1, "b", [2], {"c": null}], "d": 1e300, "e": "f"}"#;

fuzz_target!(|text: &str| {
    match Expression::parse(text) {
        Ok(expression) => {
            let event = proto::Event {
                r#type: "a.b".into(),
                data_content_type: "application/json".into(),
                payload: Some(proto::event::Payload::Text(JSON.into())),
                ..Default::default()
            };
            expression.is_true_of(&event);
        }
        Err(mistake) => {
            let line = text.split('\n').nth(mistake.line - 1).expect("a line of it");
            assert!(mistake.column <= line.chars().count() + 1, "{mistake}");
        }
    }
});
