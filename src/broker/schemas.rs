//! Types of events: registered here, kept by the backend, followed by every broker.
//!
//! What is registered is checked first against all that is kept, and stored then if nothing else was
//! meanwhile. To compile and to compare takes a core for a while: it is done on a thread where it
//! delays nobody, for a few at a time.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use parking_lot::Mutex;
use prost_types::Timestamp;
use tokio::{
    sync::{Semaphore, SemaphorePermit, watch},
    time::timeout,
};
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use super::Broker;
use crate::{
    backend::{
        BackendError,
        registrations::{Key, Registered, Registration},
    },
    blocking,
    limits::{SCHEMA_BYTES_MAX, SCHEMA_WORK_TOGETHER, SCHEMA_WORK_WAIT, SCHEMA_WORK_WAITING},
    schema::{
        Compatibility, CompileError, Compiled, Record, Registry, Schemas, Unreadable, Version,
        compatibility::Json,
        registry::{Candidate, GetError, Page, Proposal, RegisterError},
    },
    topic::TopicPattern,
};

/// How often a change is tried again because another one came between.
const ATTEMPTS_MAX: usize = 16;
/// Records that cannot be read are named up to so many at a time.
const NAMED_MAX: usize = 5;

/// What somebody wants to register.
#[derive(Debug, Clone)]
pub struct RegisterSchema {
    pub type_name: String,
    pub given: Given,
    /// None: that of the newest version, BACKWARD where there is none.
    pub compatibility: Option<Compatibility>,
    /// Check, and store nothing.
    pub validate_only: bool,
    /// Take an incompatible change.
    pub force: bool,
}

/// Where a schema comes from.
#[derive(Debug, Clone)]
pub enum Given {
    /// Text by path, as imports name it.
    Sources(BTreeMap<String, Vec<u8>>),
    /// An encoded `google.protobuf.FileDescriptorSet`.
    Descriptors(Bytes),
}

/// A version without what it is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaSummary {
    pub type_name: String,
    /// Where it was only checked, the one that it would have.
    pub version: u32,
    pub compatibility: Compatibility,
    pub fingerprint: String,
    pub created: Timestamp,
}

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SchemaError {
    /// Each with the path of its field.
    #[error("{}", list(.violations))]
    Invalid { violations: Vec<(String, String)> },
    #[error("{cause}")]
    Compile { field: &'static str, cause: CompileError },
    #[error(transparent)]
    Register(#[from] RegisterError),
    #[error(transparent)]
    Get(#[from] GetError),
    #[error(
        "{type_name} is named by {}: change them first, or say force", .by.join(", ")
    )]
    InUse { type_name: String, by: Vec<String> },
    #[error("{waiting} schemas wait to be compiled, as many as may: try again")]
    Busy { waiting: usize },
    #[error(transparent)]
    Backend(#[from] BackendError),
}

/// What the registry has taken of the backend's.
#[derive(Debug)]
pub(super) struct Following {
    taker: Arc<Taker>,
    work: Semaphore,
    waiting: Semaphore,
    _task: AbortOnDropHandle<()>,
}

#[derive(Debug)]
struct Taker {
    registry: Arc<Registry>,
    told: watch::Receiver<Option<Arc<Registered>>>,
    taken: Mutex<Taken>,
    /// Whether anything was: before that nobody knows which types there are.
    has_taken: AtomicBool,
}

#[derive(Debug, Default)]
struct Taken {
    registered: Arc<Registered>,
    /// Records of a newer broker, or what no broker wrote.
    unreadable: BTreeMap<Key, Unreadable>,
}

/// What is registered at one time, as it is kept and as it is used.
struct Present {
    registered: Arc<Registered>,
    schemas: Arc<Schemas>,
}

impl Broker {
    /// Registers a schema, or finds it registered.
    pub async fn register_schema(
        &self,
        request: RegisterSchema,
    ) -> Result<SchemaSummary, SchemaError> {
        request.given.check_size()?;
        let _turn = self.shared.schemas.turn().await?;
        let RegisterSchema { type_name, given, compatibility, validate_only, force } = request;
        let candidate = blocking::run(move || {
            let (compiled, sources) = given.compile(&type_name)?;
            let json = Json::Used;
            Ok::<_, SchemaError>(Arc::new(Candidate {
                compiled,
                sources,
                compatibility,
                json,
                force,
            }))
        });
        let candidate = candidate.await?;
        let now = Timestamp::from(SystemTime::now());
        for _ in 0..ATTEMPTS_MAX {
            let Present { registered, schemas } = self.present().await?;
            let proposal = {
                let candidate = candidate.clone();
                blocking::run(move || schemas.propose(&candidate, now)).await?
            };
            let (record, verdict) = match proposal {
                Proposal::Known(version) => return Ok(SchemaSummary::of(version.record())),
                Proposal::New { record, verdict } => (record, verdict),
            };
            let last = registered.versions(&record.type_name).last();
            if let Some((Key { version, .. }, _)) = last
                && *version >= record.version
            {
                let (type_name, version) = (record.type_name, *version);
                return Err(RegisterError::Unreadable { type_name, version }.into());
            }
            let summary = SchemaSummary::of(&record);
            if validate_only {
                return Ok(summary);
            }
            let type_name = record.type_name.as_str().into();
            let key = Key { type_name, version: record.version };
            let change = Registration::Put { key, record: record.encode() };
            let backend = self.shared.backend.registrations();
            if backend.register(&registered, change).await?.is_some() {
                self.shared.schemas.take().await;
                info!(
                    r#type = summary.type_name,
                    version = summary.version,
                    breaks = verdict.violations.len(),
                    "registered"
                );
                return Ok(summary);
            }
        }
        Err(contended())
    }

    /// Version 0 is the newest.
    pub async fn get_schema(
        &self,
        type_name: &str,
        version: u32,
    ) -> Result<Arc<Version>, SchemaError> {
        let Present { schemas, .. } = self.present().await?;
        let version = schemas.get(type_name, version)?.clone();
        if version.is_linked() {
            return Ok(version);
        }
        // Whoever asks for it will look into it.
        let _turn = self.shared.schemas.turn().await?;
        let linked = move || {
            let _unreadable = version.compiled();
            version
        };
        Ok(blocking::run(linked).await)
    }

    /// The newest versions of the types that the pattern chooses.
    pub async fn list_schemas(
        &self,
        pattern: Option<&TopicPattern>,
        after: Option<&str>,
        count: usize,
    ) -> Result<Page, SchemaError> {
        let Present { schemas, .. } = self.present().await?;
        Ok(schemas.list(pattern, after, count))
    }

    /// The whole type; `force`: also where a topic names it.
    pub async fn delete_schema(&self, type_name: &str, force: bool) -> Result<(), SchemaError> {
        let backend = self.shared.backend.registrations();
        for _ in 0..ATTEMPTS_MAX {
            let Present { registered, .. } = self.present().await?;
            let Some((key, _)) = registered.versions(type_name).next() else {
                let type_name = type_name.to_owned();
                return Err(GetError::NoSuchType { type_name }.into());
            };
            if !force {
                let configured = self.shared.backend.topics().read_configured().await?;
                let by = self.shared.catalog.naming(type_name, &configured);
                if !by.is_empty() {
                    let type_name = type_name.to_owned();
                    return Err(SchemaError::InUse { type_name, by });
                }
            }
            let change = Registration::Delete { type_name: key.type_name.clone() };
            if backend.register(&registered, change).await?.is_some() {
                self.shared.schemas.take().await;
                info!(r#type = type_name, "deleted");
                return Ok(());
            }
        }
        Err(contended())
    }

    /// Returns when what the backend keeps was read for the first time, or after this time.
    pub async fn schemas_read(&self, within: Duration) -> bool {
        let mut told = self.shared.schemas.taker.told.clone();
        let read = timeout(within, told.wait_for(|told| told.is_some())).await;
        let read = matches!(read, Ok(Ok(_)));
        self.shared.schemas.take().await;
        read
    }

    /// What the backend keeps up to now, taken.
    async fn present(&self) -> Result<Present, SchemaError> {
        self.shared.backend.registrations().read_registered().await?;
        Ok(self.shared.schemas.take().await.expect("it was read just now"))
    }
}

impl Following {
    /// From now on `registry` is what is told.
    pub(super) fn new(
        registry: Arc<Registry>,
        told: watch::Receiver<Option<Arc<Registered>>>,
    ) -> Following {
        let taker = Taker {
            registry,
            told: told.clone(),
            taken: Mutex::default(),
            has_taken: AtomicBool::new(false),
        };
        taker.take();
        let taker = Arc::new(taker);
        Following {
            taker: taker.clone(),
            work: Semaphore::new(SCHEMA_WORK_TOGETHER),
            waiting: Semaphore::new(SCHEMA_WORK_TOGETHER + SCHEMA_WORK_WAITING),
            _task: AbortOnDropHandle::new(tokio::spawn(follow(taker, told))),
        }
    }

    /// Whether this broker knows which types there are, or did before the backend went away.
    pub(super) fn is_known(&self) -> bool {
        self.taker.has_taken.load(Ordering::Acquire)
    }

    /// What an operator should know: that there are records that this broker cannot read.
    pub(super) fn warning(&self) -> Option<String> {
        let count = self.taker.taken.lock().unreadable.len();
        (count > 0).then(|| {
            format!(
                "versions of types of events that this broker cannot read: {count}, as if they were not \
                 registered: use a newer broker, or delete the types"
            )
        })
    }

    async fn take(&self) -> Option<Present> {
        take(&self.taker).await
    }

    /// For one that compiles.
    async fn turn(&self) -> Result<(SemaphorePermit<'_>, SemaphorePermit<'_>), SchemaError> {
        let busy = || SchemaError::Busy { waiting: SCHEMA_WORK_WAITING };
        let waiting = self.waiting.try_acquire().map_err(|_| busy())?;
        let work = timeout(SCHEMA_WORK_WAIT, self.work.acquire()).await.map_err(|_| busy())?;
        Ok((waiting, work.expect("never closed")))
    }
}

/// Takes what is told, until nothing is any more.
async fn follow(taker: Arc<Taker>, mut told: watch::Receiver<Option<Arc<Registered>>>) {
    told.mark_changed();
    while told.changed().await.is_ok() {
        take(&taker).await;
    }
}

async fn take(taker: &Arc<Taker>) -> Option<Present> {
    if taker.is_behind() {
        let taker = taker.clone();
        return blocking::run(move || taker.take()).await;
    }
    taker.take()
}

impl Taker {
    /// Whether there is something to take, which may be much.
    fn is_behind(&self) -> bool {
        // Who holds it is taking.
        let Some(taken) = self.taken.try_lock() else { return true };
        let told = self.told.borrow();
        told.as_ref().is_some_and(|told| told.revision != taken.registered.revision)
    }

    /// Brings the registry to what was told last; none where nothing was.
    fn take(&self) -> Option<Present> {
        let mut taken = self.taken.lock();
        let registered = self.told.borrow().clone()?;
        if registered.revision != taken.registered.revision {
            self.change(&mut taken, &registered);
            taken.registered = registered.clone();
        }
        self.has_taken.store(true, Ordering::Release);
        Some(Present { registered, schemas: self.registry.snapshot() })
    }

    fn change(&self, taken: &mut Taken, now: &Registered) {
        let (mut stored, mut unreadable) = (Vec::new(), Vec::new());
        for (key, new) in &now.records {
            let known = taken.registered.records.get(key);
            if known.is_some_and(|known| known.revision == new.revision) {
                continue;
            }
            taken.unreadable.remove(key);
            match readable(key, &new.record) {
                Ok(record) => stored.push(record),
                Err(error) => unreadable.push((key.clone(), error)),
            }
        }
        // What cannot be read any more goes as what is gone.
        let gone = taken.registered.records.keys().filter(|key| !now.records.contains_key(*key));
        let gone = gone.chain(unreadable.iter().map(|(key, _)| key));
        self.registry.change(stored, gone.map(|key| (&*key.type_name, key.version)));
        taken.unreadable.retain(|key, _| now.records.contains_key(key));
        if !unreadable.is_empty() {
            let named: Vec<_> = unreadable.iter().take(NAMED_MAX).map(told_of).collect();
            warn!(
                count = unreadable.len(),
                "what is registered cannot be read by this broker: {}: events of these types are not \
                 checked by it; use a newer broker, or delete the types",
                named.join("; ")
            );
            taken.unreadable.extend(unreadable);
        }
    }
}

fn told_of((key, error): &(Key, Unreadable)) -> String {
    format!("{key}: {error}")
}

/// A record is of the type and version under which it is kept.
fn readable(key: &Key, record: &Bytes) -> Result<Record, Unreadable> {
    let record = Record::decode(record)?;
    match record.type_name == *key.type_name && record.version == key.version {
        true => Ok(record),
        false => Err(Unreadable { why: "it is another's" }),
    }
}

impl Given {
    /// Before it waits among others: what is too large takes no room then.
    fn check_size(&self) -> Result<(), SchemaError> {
        let (field, what, bytes) = match self {
            Given::Descriptors(set) => ("schema.descriptors", "descriptors", set.len()),
            Given::Sources(sources) => {
                let bytes = sources.iter().map(|(path, text)| path.len() + text.len());
                ("schema.sources", "sources", bytes.sum())
            }
        };
        let limit = SCHEMA_BYTES_MAX;
        let cause = CompileError::TooManyBytes { what, bytes, limit };
        if bytes > limit { Err(SchemaError::Compile { field, cause }) } else { Ok(()) }
    }

    /// With those of the sources that the type needs.
    fn compile(self, type_name: &str) -> Result<(Compiled, BTreeMap<String, String>), SchemaError> {
        match self {
            Given::Descriptors(set) => {
                let compiled = Compiled::from_descriptors(type_name, &set);
                let field = "schema.descriptors";
                let compiled = compiled.map_err(|cause| SchemaError::Compile { field, cause })?;
                Ok((compiled, BTreeMap::new()))
            }
            Given::Sources(sources) => {
                let texts = sources.iter().map(|(path, text)| (path.as_str(), &text[..]));
                let compiled = Compiled::from_sources(type_name, texts);
                let field = "schema.sources";
                let compiled = compiled.map_err(|cause| SchemaError::Compile { field, cause })?;
                let needed = compiled.pool().files();
                let needed = needed.filter_map(|file| {
                    let text = sources.get(file.name())?;
                    let text = String::from_utf8(text.clone()).expect("it was compiled");
                    Some((file.name().to_owned(), text))
                });
                let needed = needed.collect();
                Ok((compiled, needed))
            }
        }
    }
}

impl SchemaSummary {
    pub fn of(record: &Record) -> SchemaSummary {
        SchemaSummary {
            type_name: record.type_name.clone(),
            version: record.version,
            compatibility: record.compatibility,
            fingerprint: record.fingerprint.clone(),
            created: record.created,
        }
    }
}

fn contended() -> SchemaError {
    let cause = "schemas are registered faster than this one can be: try again".to_owned();
    BackendError::Unavailable { cause }.into()
}

fn list(violations: &[(String, String)]) -> String {
    let shown: Vec<_> = violations.iter().map(|(field, why)| format!("{field}: {why}")).collect();
    shown.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn which_types_there_are_is_known_when_the_backend_has_told_them() {
        let told = watch::Sender::new(None);
        let following = Following::new(Arc::default(), told.subscribe());
        assert!(!following.is_known());
        told.send_replace(Some(Arc::default()));
        following.take().await.expect("told");
        assert!(following.is_known());
        // As on memory, where nothing has to be read first.
        assert!(Following::new(Arc::default(), told.subscribe()).is_known());
    }
}
