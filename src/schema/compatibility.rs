//! May this version of a type follow those that there are.
//!
//! Two questions, and each rule belongs to one of them or to both: may readers of the new version read
//! what was written with an old one ([`Compatibility::Backward`]), and may readers of an old version
//! read what is written with the new one ([`Compatibility::Forward`])? What is accepted decodes without
//! error and without losing or altering what both versions know; where a warning says so, it may look
//! different. Answers about every version, not only the last: events of all of them may be around.

mod field;
mod message;
mod reserved;
mod rule;

use std::collections::HashSet;

use prost_reflect::MessageDescriptor;

pub use self::rule::Rule;
use crate::limits::SCHEMA_VIOLATIONS_MAX;

/// What a new version of a type must keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Compatibility {
    None,
    /// New readers read old events.
    #[default]
    Backward,
    /// Old readers read new events.
    Forward,
    /// Both.
    Full,
}

/// Whether events of the type are given or shown as JSON, where names are what numbers are in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Json {
    Used,
    /// What would break it is a warning.
    Unused,
}

/// One thing that a change breaks, or may break.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub rule: Rule,
    /// From the type down through fields, such as `shop.v1.OrderPlaced.items.price`.
    pub path: String,
    /// The newest version that it breaks with.
    pub version: u32,
    /// What happens, and what to do about it.
    pub message: String,
}

/// Of a new version against older ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// None: the new version may follow.
    pub violations: Vec<Violation>,
    pub warnings: Vec<Violation>,
    /// There were more than [`SCHEMA_VIOLATIONS_MAX`] of one of them.
    pub more: bool,
}

/// Compares `newer` with each of `versions`, in any order. Both are of the same name: a type never
/// follows another one.
pub fn check<'a>(
    versions: impl IntoIterator<Item = (u32, &'a MessageDescriptor)>,
    newer: &MessageDescriptor,
    compatibility: Compatibility,
    json: Json,
) -> Verdict {
    if compatibility == Compatibility::None {
        return Verdict::default();
    }
    let mut versions: Vec<_> = versions.into_iter().collect();
    versions.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    let mut found = Found::default();
    for (version, older) in versions {
        assert_eq!(older.full_name(), newer.full_name(), "versions of one type");
        found.version = version;
        message::compare(older, newer, Asked { compatibility, json }, &mut found);
    }
    found.verdict
}

impl Verdict {
    pub fn is_compatible(&self) -> bool {
        self.violations.is_empty()
    }
}

/// What the rules are to look at.
#[derive(Debug, Clone, Copy)]
struct Asked {
    compatibility: Compatibility,
    json: Json,
}

impl Asked {
    fn directions(self) -> &'static [Direction] {
        match self.compatibility {
            Compatibility::None => &[],
            Compatibility::Backward => &[Direction::Backward],
            Compatibility::Forward => &[Direction::Forward],
            Compatibility::Full => &[Direction::Backward, Direction::Forward],
        }
    }

    /// Of what breaks JSON only.
    fn json_severity(self) -> Severity {
        match self.json {
            Json::Used => Severity::Breaks,
            Json::Unused => Severity::Warns,
        }
    }
}

/// Who reads, and who wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Backward,
    Forward,
}

impl Direction {
    /// The two versions of something as reader and writer.
    fn sides<T>(self, older: T, newer: T) -> (T, T) {
        match self {
            Direction::Backward => (newer, older),
            Direction::Forward => (older, newer),
        }
    }

    fn reader(self) -> &'static str {
        match self {
            Direction::Backward => "new readers",
            Direction::Forward => "old readers",
        }
    }

    fn events(self) -> &'static str {
        match self {
            Direction::Backward => "old events",
            Direction::Forward => "new events",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Severity {
    Breaks,
    Warns,
}

/// Collects each finding once, with the newest version it concerns.
#[derive(Debug, Default)]
struct Found {
    version: u32,
    verdict: Verdict,
    known: HashSet<(Rule, String)>,
}

impl Found {
    fn add(&mut self, severity: Severity, rule: Rule, path: &str, message: String) {
        let list = match severity {
            Severity::Breaks => &mut self.verdict.violations,
            Severity::Warns => &mut self.verdict.warnings,
        };
        if list.len() == SCHEMA_VIOLATIONS_MAX {
            self.verdict.more |= !self.known.contains(&(rule, path.to_owned()));
            return;
        }
        if self.known.insert((rule, path.to_owned())) {
            let (path, version) = (path.to_owned(), self.version);
            list.push(Violation { rule, path, version, message });
        }
    }
}

#[cfg(test)]
mod tests;
