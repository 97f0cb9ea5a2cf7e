//! Names of topics, and the patterns that choose among them.
//!
//! A name is made of tokens of `[A-Za-z0-9_-]` joined by `.`. Nothing else gets in, so a name can
//! stand in a Redis key, in a channel, in a log line and in a metric as it is. A pattern may use
//! `*` for one token and, as its last token, `>` for one or more.

use std::{fmt, str::FromStr, sync::Arc};

use crate::limits::TOPIC_BYTES_MAX;

/// Names that begin with this token are the broker's own.
const RESERVED: &str = "_tidings";

/// The name of a topic: 1 to 255 bytes, valid by construction.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Topic(Arc<str>);

/// Chooses topics by name. A pattern without `*` and `>` chooses the one topic of that name.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPattern(Arc<str>);

/// The name cannot be that of a topic, or the pattern cannot choose any.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} {why}", Quoted(.name))]
pub struct InvalidTopic {
    /// As it was given, cut to the longest length a name may have.
    pub name: String,
    pub why: &'static str,
}

impl InvalidTopic {
    /// The name is valid, and the broker's own.
    pub fn reserved(name: &str) -> InvalidTopic {
        InvalidTopic {
            name: name.to_owned(),
            why: "belongs to the broker: names that begin with _tidings are its own",
        }
    }
}

impl Topic {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the name belongs to the broker: no client publishes or subscribes to it.
    pub fn is_reserved(&self) -> bool {
        self.0.starts_with(RESERVED)
    }
}

impl FromStr for Topic {
    type Err = InvalidTopic;

    fn from_str(name: &str) -> Result<Topic, InvalidTopic> {
        check(name, Wildcards::Refused)?;
        Ok(Topic(name.into()))
    }
}

impl TopicPattern {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The topic, where the pattern names just one.
    pub fn literal(&self) -> Option<Topic> {
        let wild = self.0.split('.').any(|token| token == "*" || token == ">");
        (!wild).then(|| Topic(self.0.clone()))
    }

    pub fn matches(&self, topic: &Topic) -> bool {
        let mut tokens = topic.0.split('.');
        for wanted in self.0.split('.') {
            match (wanted, tokens.next()) {
                (">", Some(_)) => return true,
                (_, None) => return false,
                ("*", Some(_)) => (),
                (wanted, Some(token)) if wanted != token => return false,
                (_, Some(_)) => (),
            }
        }
        tokens.next().is_none()
    }

    /// How much of a name the pattern pins down; where several match, the largest wins.
    pub fn specificity(&self) -> (usize, usize) {
        let literal = self.0.split('.').filter(|token| !matches!(*token, "*" | ">")).count();
        let tokens = self.0.split('.').count();
        (literal, if self.0.ends_with('>') { 0 } else { tokens })
    }
}

/// The pattern that chooses just this topic.
impl From<Topic> for TopicPattern {
    fn from(topic: Topic) -> TopicPattern {
        TopicPattern(topic.0)
    }
}

impl FromStr for TopicPattern {
    type Err = InvalidTopic;

    fn from_str(name: &str) -> Result<TopicPattern, InvalidTopic> {
        check(name, Wildcards::Allowed)?;
        Ok(TopicPattern(name.into()))
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Wildcards {
    Allowed,
    Refused,
}

fn check(name: &str, wildcards: Wildcards) -> Result<(), InvalidTopic> {
    let invalid = |why| {
        let end = name.floor_char_boundary(TOPIC_BYTES_MAX);
        Err(InvalidTopic { name: name[..end].to_owned(), why })
    };
    if name.is_empty() {
        return invalid("is empty: a topic has a name, such as \"orders\"");
    }
    if name.len() > TOPIC_BYTES_MAX {
        return invalid("is longer than 255 bytes");
    }
    let mut tokens = name.split('.').peekable();
    while let Some(token) = tokens.next() {
        match token {
            "" => return invalid("has an empty token: dots stand between tokens, not at the ends"),
            "*" | ">" if wildcards == Wildcards::Refused => {
                return invalid("has a wildcard: only subscriptions may use * and >");
            }
            "*" => (),
            ">" if tokens.peek().is_some() => return invalid("has > before its last token"),
            ">" => (),
            token if token.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b)) => (),
            _ => return invalid("may only have letters, digits, _ and - in tokens joined by dots"),
        }
    }
    Ok(())
}

/// Shows any string on one line: control characters escaped, so that it can be logged.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.0, f)
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for TopicPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TopicPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn topic(name: &str) -> Topic {
        name.parse().expect("a topic")
    }

    fn pattern(name: &str) -> TopicPattern {
        name.parse().expect("a pattern")
    }

    #[test]
    fn names_are_tokens_joined_by_dots() {
        for name in ["orders", "order_events", "a.b-c.D_9", &"x".repeat(255)] {
            assert_eq!(topic(name).as_str(), name);
        }
        for name in
            ["", ".", "a.", ".a", "a..b", "a b", "a*", "*", ">", "a.*", "é", "a\n", "{a}", "a/b"]
        {
            assert!(name.parse::<Topic>().is_err(), "{name:?} was accepted");
        }
        assert!("x".repeat(256).parse::<Topic>().is_err());
    }

    #[test]
    fn patterns_choose_by_token() {
        let cases = [
            ("orders", "orders", true),
            ("orders", "orders.eu", false),
            ("orders.*", "orders.eu", true),
            ("orders.*", "orders", false),
            ("orders.*", "orders.eu.paid", false),
            ("orders.>", "orders.eu.paid", true),
            ("orders.>", "orders", false),
            ("*.eu", "orders.eu", true),
            (">", "orders", true),
            ("*", "orders.eu", false),
        ];
        for (name, candidate, expected) in cases {
            assert_eq!(pattern(name).matches(&topic(candidate)), expected, "{name} {candidate}");
        }
        for name in ["a.>.b", "a*", "a.**", "", "a..*", ">>"] {
            assert!(name.parse::<TopicPattern>().is_err(), "{name:?} was accepted");
        }
    }

    #[test]
    fn an_invalid_name_is_shown_on_one_line() {
        let error = "a\nb\u{1b}[31m".parse::<Topic>().expect_err("control characters");
        assert!(!error.to_string().contains(char::is_control), "{error}");
    }

    #[test]
    fn the_pattern_that_says_more_is_more_specific() {
        let order = [">", "*", "orders.>", "orders.*", "orders.eu"];
        assert!(order.map(|name| pattern(name).specificity()).is_sorted());
    }

    /// What a pattern means, token by token.
    fn chooses(pattern: &[&str], name: &[&str]) -> bool {
        match (pattern, name) {
            ([], []) => true,
            ([">"], [_, ..]) => true,
            ([wanted, pattern @ ..], [token, name @ ..]) => {
                (*wanted == "*" || wanted == token) && chooses(pattern, name)
            }
            ([], [_, ..]) | ([_, ..], []) => false,
        }
    }

    proptest! {
        #[test]
        fn any_pattern_chooses_what_its_tokens_say(
            name in "[ab](\\.[ab]){0,4}",
            wanted in "([ab*]\\.){0,4}[ab*>]",
        ) {
            let tokens = |name: &'static str| name.split('.').collect::<Vec<_>>();
            let (name, wanted): (&str, &str) = (name.leak(), wanted.leak());
            prop_assert_eq!(
                pattern(wanted).matches(&topic(name)),
                chooses(&tokens(wanted), &tokens(name))
            );
        }

        #[test]
        fn any_name_that_is_accepted_is_safe_in_keys_channels_and_logs(name in any::<String>()) {
            match name.parse::<Topic>() {
                Ok(topic) => {
                    let safe = |b: u8| b.is_ascii_alphanumeric() || b"_-.".contains(&b);
                    prop_assert!(topic.as_str() == name && name.bytes().all(safe));
                }
                Err(error) => prop_assert!(!error.to_string().contains(char::is_control)),
            }
        }
    }
}
