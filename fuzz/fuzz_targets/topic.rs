//! Names of topics and patterns.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidings::topic::{Topic, TopicPattern};

fuzz_target!(|names: (&str, &str)| {
    let (pattern, name) = names;
    let (pattern, topic) = (pattern.parse::<TopicPattern>(), name.parse::<Topic>());
    for error in [pattern.as_ref().err(), topic.as_ref().err()].into_iter().flatten() {
        assert!(!error.to_string().contains(char::is_control));
    }
    let (Ok(pattern), Ok(topic)) = (pattern, topic) else { return };
    assert!(topic.as_str().parse::<TopicPattern>().expect("a pattern").matches(&topic));
    if let Some(literal) = pattern.literal() {
        assert_eq!(pattern.matches(&topic), literal == topic);
    }
    let _ = pattern.specificity();
});
