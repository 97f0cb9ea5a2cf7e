//! All types with all their versions, in memory: what brokers agree on is kept elsewhere, as
//! [`Record`]s, and replayed into here.
//!
//! Readers take a [`Schemas`], which never changes; each change makes another. To register is two steps,
//! so that a backend can stand between them: [`Schemas::propose`] says what would be stored, and
//! [`Registry::apply`] takes what was stored, here or by another broker.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Arc, OnceLock},
};

use parking_lot::RwLock;
use prost_types::Timestamp;

use super::{
    Checker, Compatibility, CompileError, Compiled, Record,
    compatibility::{Json, Verdict, check},
    compile, enforce,
    reflection::Outline,
};
use crate::{
    limits::{
        RULED_AT_ONCE_BYTES_MAX, SCHEMA_LINKED_AT_ONCE_BYTES, SCHEMA_TYPE_BYTES_MAX,
        SCHEMA_TYPE_NAME_BYTES_MAX, SCHEMA_VERSIONS_MAX, SCHEMAS_BYTES_MAX, SCHEMAS_MAX,
    },
    topic::{Topic, TopicPattern},
};

#[derive(Debug, Default)]
pub struct Registry {
    /// Held for a moment only, to read or to replace.
    current: RwLock<Arc<Schemas>>,
}

/// All that is registered at one time.
#[derive(Debug, Clone, Default)]
pub struct Schemas {
    /// Versions of each type, rising; never none.
    types: BTreeMap<String, Arc<Vec<Arc<Version>>>>,
    count: usize,
    bytes: usize,
    /// Newest versions that may take long to check events against.
    slow: Vec<Arc<Version>>,
}

/// One version of a type. It is linked when it is first asked for: most old ones never are.
#[derive(Debug)]
pub struct Version {
    record: Record,
    has_rules: bool,
    compiled: OnceLock<Result<Compiled, CompileError>>,
    /// Made when it is first asked for, without linking.
    outline: OnceLock<Outline>,
    checker: OnceLock<Result<Checker, CompileError>>,
    uri: OnceLock<Box<str>>,
}

/// What somebody wants to register.
#[derive(Debug, Clone)]
pub struct Candidate {
    pub compiled: Compiled,
    pub sources: BTreeMap<String, String>,
    /// None: that of the newest version, BACKWARD where there is none.
    pub compatibility: Option<Compatibility>,
    pub json: Json,
    /// Take an incompatible change.
    pub force: bool,
}

#[derive(Debug, Clone)]
pub enum Proposal {
    /// This version is the same.
    Known(Arc<Version>),
    /// To be stored, and applied then.
    New { record: Record, verdict: Verdict },
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    #[error("{type_name} would not keep what its versions promise: {}", told(.verdict))]
    Incompatible { type_name: String, verdict: Verdict },
    #[error(
        "version {version} of {type_name} cannot be read by this broker, so nothing can be compared \
         with it: use a newer broker"
    )]
    Unreadable { type_name: String, version: u32 },
    #[error("{type_name:?} is longer than {limit} bytes: choose a shorter name")]
    NameTooLong { type_name: String, limit: usize },
    #[error("{type_name} has {limit} versions, and no more are kept: give it a new name")]
    TooManyVersions { type_name: String, limit: usize },
    #[error(
        "the versions of {type_name} take {bytes} bytes, more than {limit}: give it a new name"
    )]
    TypeTooLarge { type_name: String, bytes: usize, limit: usize },
    #[error("{limit} versions are registered, and no more are kept: delete types nobody uses")]
    TooManySchemas { limit: usize },
    #[error("all schemas take {bytes} bytes, more than {limit}: delete types nobody uses")]
    SchemasTooLarge { bytes: usize, limit: usize },
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GetError {
    #[error("no type {type_name} is registered")]
    NoSuchType { type_name: String },
    #[error("{type_name} has no version {version}: its newest is {newest}")]
    NoSuchVersion { type_name: String, version: u32, newest: u32 },
}

/// The newest versions of some types, by name.
#[derive(Debug, Clone)]
pub struct Page {
    pub versions: Vec<Arc<Version>>,
    /// The list goes on after this name.
    pub next: Option<String>,
}

impl Registry {
    pub fn snapshot(&self) -> Arc<Schemas> {
        self.current.read().clone()
    }

    /// Registers without a backend. What it answers is the version that has the schema.
    pub fn register(
        &self,
        candidate: &Candidate,
        now: Timestamp,
    ) -> Result<(Arc<Version>, Verdict), RegisterError> {
        let mut current = self.current.write();
        match current.propose(candidate, now)? {
            Proposal::Known(version) => Ok((version, Verdict::default())),
            Proposal::New { record, verdict } => {
                let version = Arc::new(Version::linked(record, candidate.compiled.clone()));
                *current = Arc::new(current.with(version.clone()));
                Ok((version, verdict))
            }
        }
    }

    /// Takes what was stored; a version that is here is replaced.
    pub fn apply(&self, record: Record) -> Arc<Version> {
        let version = Arc::new(Version::new(record));
        let mut current = self.current.write();
        *current = Arc::new(current.with(version.clone()));
        version
    }

    /// Holds these and nothing else from now on; versions that were here and are the same stay
    /// linked.
    pub fn replace(&self, records: impl IntoIterator<Item = Record>) {
        let before = self.snapshot();
        let versions = records.into_iter().map(|record| match before.find(&record) {
            Some(version) => version.clone(),
            None => Arc::new(Version::new(record)),
        });
        let schemas = Arc::new(Schemas::of(versions));
        *self.current.write() = schemas;
    }

    /// Takes what was stored, and lets go of what is not any more: names with versions.
    pub fn change<'a>(
        &self,
        stored: impl IntoIterator<Item = Record>,
        gone: impl IntoIterator<Item = (&'a str, u32)>,
    ) {
        let mut current = self.current.write();
        let mut types = current.types.clone();
        for (type_name, version) in gone {
            let Some(versions) = types.get_mut(type_name) else { continue };
            Arc::make_mut(versions).retain(|kept| kept.number() != version);
            if versions.is_empty() {
                types.remove(type_name);
            }
        }
        for record in stored {
            put(&mut types, Arc::new(Version::new(record)));
        }
        *current = Arc::new(Schemas { types, ..Schemas::default() }.counted());
    }

    /// The whole type. False where it is not registered.
    pub fn delete(&self, type_name: &str) -> bool {
        let mut current = self.current.write();
        let Some(without) = current.without(type_name) else { return false };
        *current = Arc::new(without);
        true
    }
}

impl Schemas {
    /// What registering this would store; nothing is changed.
    pub fn propose(
        &self,
        candidate: &Candidate,
        now: Timestamp,
    ) -> Result<Proposal, RegisterError> {
        let Candidate { compiled, sources, compatibility, json, force } = candidate;
        let type_name = compiled.type_name();
        let versions = self.types.get(type_name).map_or(&[][..], |versions| versions);
        let same = versions
            .iter()
            .rev()
            .find(|version| version.record.fingerprint == compiled.fingerprint());
        if let Some(version) = same {
            return Ok(Proposal::Known(version.clone()));
        }
        let newest = versions.last().map(|version| &version.record);
        let kept = newest.map_or_else(Compatibility::default, |newest| newest.compatibility);
        let compatibility = compatibility.unwrap_or(kept);
        let record = Record {
            type_name: type_name.to_owned(),
            version: newest.map_or(1, |newest| newest.version + 1),
            compatibility,
            fingerprint: compiled.fingerprint().to_owned(),
            created: now,
            sources: sources.clone(),
            descriptors: compiled.descriptors().clone(),
        };
        self.has_room(&record, versions)?;
        let verdict = self.verdict(versions, candidate, compatibility, *json)?;
        match verdict.is_compatible() || *force {
            true => Ok(Proposal::New { record, verdict }),
            false => {
                let type_name = type_name.to_owned();
                Err(RegisterError::Incompatible { type_name, verdict })
            }
        }
    }

    fn verdict(
        &self,
        versions: &[Arc<Version>],
        candidate: &Candidate,
        compatibility: Compatibility,
        json: Json,
    ) -> Result<Verdict, RegisterError> {
        if compatibility == Compatibility::None {
            return Ok(Verdict::default());
        }
        let mut linked = Vec::new();
        for version in versions {
            match version.compiled() {
                Ok(compiled) => linked.push((version.number(), compiled.message())),
                // Whoever forces a change does not ask what it breaks.
                Err(_) if candidate.force => (),
                Err(_) => {
                    let type_name = version.type_name().to_owned();
                    return Err(RegisterError::Unreadable { type_name, version: version.number() });
                }
            }
        }
        Ok(check(linked, candidate.compiled.message(), compatibility, json))
    }

    fn has_room(&self, record: &Record, versions: &[Arc<Version>]) -> Result<(), RegisterError> {
        let type_name = || record.type_name.clone();
        let of_type = versions.iter().map(|version| version.record.bytes()).sum::<usize>();
        let (of_type, all) = (of_type + record.bytes(), self.bytes + record.bytes());
        Err(match () {
            () if record.type_name.len() > SCHEMA_TYPE_NAME_BYTES_MAX => {
                let limit = SCHEMA_TYPE_NAME_BYTES_MAX;
                RegisterError::NameTooLong { type_name: type_name(), limit }
            }
            () if versions.len() >= SCHEMA_VERSIONS_MAX => {
                let limit = SCHEMA_VERSIONS_MAX;
                RegisterError::TooManyVersions { type_name: type_name(), limit }
            }
            () if of_type > SCHEMA_TYPE_BYTES_MAX => {
                let (type_name, limit) = (type_name(), SCHEMA_TYPE_BYTES_MAX);
                RegisterError::TypeTooLarge { type_name, bytes: of_type, limit }
            }
            () if self.count >= SCHEMAS_MAX => RegisterError::TooManySchemas { limit: SCHEMAS_MAX },
            () if all > SCHEMAS_BYTES_MAX => {
                RegisterError::SchemasTooLarge { bytes: all, limit: SCHEMAS_BYTES_MAX }
            }
            () => return Ok(()),
        })
    }

    /// Version 0 is the newest.
    pub fn get(&self, type_name: &str, version: u32) -> Result<&Arc<Version>, GetError> {
        let Some(versions) = self.types.get(type_name) else {
            return Err(GetError::NoSuchType { type_name: type_name.to_owned() });
        };
        let newest = versions.last().expect("a type has a version");
        if version == 0 {
            return Ok(newest);
        }
        let found = versions.binary_search_by_key(&version, |version| version.number());
        found.map(|at| &versions[at]).map_err(|_| GetError::NoSuchVersion {
            type_name: type_name.to_owned(),
            version,
            newest: newest.number(),
        })
    }

    /// All versions of a type, rising; none where it is not registered.
    pub fn versions(&self, type_name: &str) -> &[Arc<Version>] {
        self.types.get(type_name).map_or(&[], |versions| versions)
    }

    /// The newest versions of the types that `pattern` chooses, or all, from `after` on: at most
    /// `limit`.
    pub fn list(&self, pattern: Option<&TopicPattern>, after: Option<&str>, limit: usize) -> Page {
        assert!(limit > 0, "a page holds something");
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let is_chosen = |name: &str| {
            pattern.is_none_or(|pattern| {
                name.parse::<Topic>().is_ok_and(|name| pattern.matches(&name))
            })
        };
        let rest = self.types.range::<str, _>((from, Bound::Unbounded));
        let mut chosen = rest.filter(|(name, _)| is_chosen(name));
        let newest = |versions: &Arc<Vec<Arc<Version>>>| versions.last().cloned();
        let page: Vec<_> =
            chosen.by_ref().take(limit).filter_map(|(_, versions)| newest(versions)).collect();
        let last = page.last().map(|version| version.type_name().to_owned());
        let next = chosen.next().and(last);
        Page { versions: page, next }
    }

    /// The newest version of each type, by name.
    pub fn newest(&self) -> impl Iterator<Item = &Arc<Version>> {
        self.types.values().filter_map(|versions| versions.last())
    }

    /// Whether there may be events that take long to check against the newest version of their type.
    pub fn may_take_long(&self) -> bool {
        self.slow.iter().any(|version| version.has_rules || version.checker.get().is_none())
    }

    /// Every version: of each type, by name, the newest first.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Version>> {
        self.types.values().flat_map(|versions| versions.iter().rev())
    }

    /// Of all types.
    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn of(versions: impl Iterator<Item = Arc<Version>>) -> Schemas {
        let mut types: BTreeMap<String, BTreeMap<u32, Arc<Version>>> = BTreeMap::new();
        for version in versions {
            let of_type = types.entry(version.type_name().to_owned()).or_default();
            of_type.insert(version.number(), version);
        }
        let listed = |(name, versions): (String, BTreeMap<u32, Arc<Version>>)| {
            (name, Arc::new(versions.into_values().collect()))
        };
        Schemas { types: types.into_iter().map(listed).collect(), ..Schemas::default() }.counted()
    }

    fn with(&self, version: Arc<Version>) -> Schemas {
        let mut types = self.types.clone();
        put(&mut types, version);
        Schemas { types, ..Schemas::default() }.counted()
    }

    fn without(&self, type_name: &str) -> Option<Schemas> {
        let mut types = self.types.clone();
        types.remove(type_name)?;
        Some(Schemas { types, ..Schemas::default() }.counted())
    }

    fn counted(mut self) -> Schemas {
        let versions = || self.types.values().flat_map(|versions| versions.iter());
        let bytes = versions().map(|version| version.record.bytes()).sum();
        let is_slow = |version: &&Arc<Version>| version.has_rules || version.is_large();
        let slow = self.newest().filter(is_slow).cloned().collect();
        self.count = versions().count();
        self.bytes = bytes;
        self.slow = slow;
        self
    }

    fn find(&self, record: &Record) -> Option<&Arc<Version>> {
        let found = self.get(&record.type_name, record.version).ok()?;
        (found.record == *record).then_some(found)
    }
}

impl Version {
    fn new(record: Record) -> Version {
        Version {
            has_rules: compile::may_have_rules(&record.descriptors),
            record,
            compiled: OnceLock::new(),
            outline: OnceLock::new(),
            checker: OnceLock::new(),
            uri: OnceLock::new(),
        }
    }

    fn linked(record: Record, compiled: Compiled) -> Version {
        Version { compiled: OnceLock::from(Ok(compiled)), ..Version::new(record) }
    }

    pub fn type_name(&self) -> &str {
        &self.record.type_name
    }

    pub fn number(&self) -> u32 {
        self.record.version
    }

    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Links it the first time, which takes a moment. An error is for ever: what is stored cannot be
    /// read by this broker.
    pub fn compiled(&self) -> Result<&Compiled, &CompileError> {
        let linked = self.compiled.get_or_init(|| {
            let Record { type_name, descriptors, .. } = &self.record;
            Compiled::from_canonical(type_name, descriptors.clone())
        });
        linked.as_ref()
    }

    pub(super) fn outline(&self) -> &Outline {
        self.outline.get_or_init(|| Outline::of(&self.record.descriptors))
    }

    /// The same, to check events with; made when it is first asked for.
    pub fn checker(&self) -> Result<&Checker, &CompileError> {
        let compiled = self.compiled()?;
        self.checker.get_or_init(|| Checker::new(compiled)).as_ref()
    }

    /// As events name it: `tidings:schema/shop.v1.OrderPlaced/1`.
    pub fn uri(&self) -> &str {
        self.uri.get_or_init(|| enforce::uri(self.type_name(), self.number()).into())
    }

    /// Whether it takes long to check an event of so many bytes: rules are asked of it, or it is the first
    /// one, and a checker is made for it.
    pub fn takes_long(&self, bytes: usize) -> bool {
        let is_first = self.checker.get().is_none();
        match self.has_rules {
            true => is_first || bytes > RULED_AT_ONCE_BYTES_MAX,
            false => is_first && self.is_large(),
        }
    }

    /// Whether it may have any, of `buf.validate`.
    pub fn has_rules(&self) -> bool {
        self.has_rules
    }

    fn is_large(&self) -> bool {
        self.record.descriptors.len() > SCHEMA_LINKED_AT_ONCE_BYTES
    }

    /// Whether somebody asked for it.
    pub fn is_linked(&self) -> bool {
        self.compiled.get().is_some()
    }
}

fn put(types: &mut BTreeMap<String, Arc<Vec<Arc<Version>>>>, version: Arc<Version>) {
    let versions = types.entry(version.type_name().to_owned()).or_default();
    let versions = Arc::make_mut(versions);
    match versions.binary_search_by_key(&version.number(), |version| version.number()) {
        Ok(at) => versions[at] = version,
        Err(at) => versions.insert(at, version),
    }
}

/// The first of them: there may be many.
fn told(verdict: &Verdict) -> String {
    let Some(first) = verdict.violations.first() else { return String::new() };
    let text = format!("{} at {}: {}", first.rule, first.path, first.message);
    match verdict.violations.len() - 1 {
        0 => text,
        more => format!("{text}; and {more} more"),
    }
}

#[cfg(test)]
mod tests;
