//! The scripts, each typed: what goes in, what comes out. Their promises stand in their first
//! lines.

use std::{collections::HashMap, sync::LazyLock, time::Duration};

use bytes::Bytes;
use redis::{Cmd, FromRedisValue, Value};

use super::{
    batch::{self, Body},
    connection::{CallError, Link, bytes_of},
    keys,
    ranges::refused,
    resp::One,
};
use crate::{
    backend::{
        Entry, Keeping, Mode, Page, Repeated, Retention,
        registrations::{Registered, Stored},
        topics::{Configured, TopicState},
    },
    event::EventKey,
    limits::{
        PAGE_BYTES, PAGE_ENTRIES, PAGE_SINGLE_ENTRIES, REQUEST_BYTES_MAX, REQUEST_EVENTS_MAX,
    },
    position::{Position, Start},
    topic::Topic,
};

macro_rules! script {
    ($($file:literal),+) => {
        LazyLock::new(|| Script::new(concat!($(include_str!(concat!("scripts/", $file))),+)))
    };
}

/// No entry of ours is larger: a request's events, completed at the door, and what is put around
/// them.
const ENTRY_BYTES_MAX: usize = 2 * REQUEST_BYTES_MAX;

static OPEN: LazyLock<Script> = script!("whole.lua", "at.lua", "open.lua");
static PUBLISH_LIVE: LazyLock<Script> =
    script!("publish_begin.lua", "publish_live.lua", "publish_end.lua");
static PUBLISH_DURABLE: LazyLock<Script> =
    script!("publish_begin.lua", "publish_durable.lua", "publish_end.lua");
/// The same where something is to be checked of the events or of the topic.
static PUBLISH_LIVE_CHECKED: LazyLock<Script> = script!(
    "publish_begin.lua",
    "publish_check.lua",
    "publish_whole.lua",
    "publish_live.lua",
    "publish_remember.lua",
    "publish_end.lua"
);
static PUBLISH_DURABLE_CHECKED: LazyLock<Script> = script!(
    "publish_begin.lua",
    "publish_check.lua",
    "publish_durable.lua",
    "publish_remember.lua",
    "publish_end.lua"
);
static READ: LazyLock<Script> = script!("whole.lua", "at.lua", "newest.lua", "read.lua");
static SEEK: LazyLock<Script> = script!("whole.lua", "at.lua", "newest.lua", "seek.lua");
static REFRESH: LazyLock<Script> = script!("refresh.lua");
static CONFIGURE: LazyLock<Script> = script!("at.lua", "configure.lua");
static SAY: LazyLock<Script> = script!("whole.lua", "say.lua");
static SAY_AGAIN: LazyLock<Script> = script!("whole.lua", "say_again.lua");
static REGISTER: LazyLock<Script> = script!("whole.lua", "register.lua");
static REGISTERED: LazyLock<Script> = script!("whole.lua", "registered.lua");
static REGISTER_AGAIN: LazyLock<Script> = script!("whole.lua", "register_again.lua");
static STATE: LazyLock<Script> = script!("whole.lua", "at.lua", "state.lua");
static ENLIST: LazyLock<Script> = script!("enlist.lua");
static FORGET: LazyLock<Script> = script!("forget.lua");
static TRIM: LazyLock<Script> =
    script!("whole.lua", "at.lua", "newest.lua", "first.lua", "trim.lua");
static LEASE: LazyLock<Script> = script!("lease.lua");

/// The index keeps a topic a little longer than its keys live: what exists is always in it.
const ENLISTED_LONGER: Duration = Duration::from_secs(60);

struct Script {
    source: &'static str,
    sha: String,
}

/// Entries that one call drops, about: Redis serves nobody else meanwhile.
const TRIMMED_MAX: usize = 10_000;

/// Stands in Redis for a limit that is not set.
const NO_LIMIT: u64 = (1 << 53) - 1;

/// What a broker knows of a topic when it opens it.
#[derive(Debug, Clone)]
pub(super) struct Opening<'a> {
    pub(super) create: bool,
    pub(super) floor: u64,
    pub(super) distrusted: Option<u64>,
    pub(super) claim: Option<Position>,
    /// Of a topic that is created.
    pub(super) keeping: Keeping,
    pub(super) idle_ms: u64,
    /// This broker's idea of the deployment's id.
    pub(super) deployment: &'a str,
    /// A replication id that turned into `replid` with nothing lost.
    pub(super) renamed: &'a str,
    /// As it was read over this connection.
    pub(super) replid: &'a str,
}

/// What opening a topic told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Opened {
    /// The topic's last position; none where there is no such topic.
    pub(super) last: Option<Position>,
    pub(super) replid: String,
    pub(super) keeping: Keeping,
    /// Of how it is kept.
    pub(super) version: u64,
    pub(super) deployment: String,
    /// Changes whenever a life of any topic begins in this deployment.
    pub(super) births: String,
    /// Whether this call began a life.
    pub(super) began: bool,
}

/// What the script for pages answers.
enum Read {
    Page(Page),
    /// A page lies from one entry to another.
    Range(String, String),
}

/// A batch that was stored, or as much of it as was not stored before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Published {
    /// Of what was stored now; where nothing was, the one that would come next.
    pub(super) first: u64,
    pub(super) publish_time_us: u64,
    pub(super) repeated: Vec<Repeated>,
    /// The topic does not end where it was expected to: nothing was stored.
    pub(super) conflict: bool,
}

/// What is to be looked at before a batch is stored.
#[derive(Debug)]
pub(super) struct Checks {
    pub(super) window: Duration,
    pub(super) expected_last: Option<Position>,
    /// Of each event; empty where none has one.
    pub(super) keys: Vec<Option<EventKey>>,
}

#[derive(Debug)]
pub(super) struct Publishing<'a> {
    pub(super) epoch: u64,
    pub(super) version: u64,
    pub(super) keeping: Keeping,
    pub(super) count: usize,
    pub(super) body: &'a Body,
    pub(super) bridge_channel: &'a str,
    pub(super) bridge_messages: &'a [Bytes],
    /// None: as almost always there is nothing to check, and that costs less.
    pub(super) checks: Option<Checks>,
}

impl Script {
    fn new(source: &'static str) -> Script {
        Script { source, sha: redis::Script::new(source).get_hash().to_owned() }
    }

    /// Runs it. Where Redis does not know it, nothing was executed: it is loaded in place.
    async fn run<T: FromRedisValue>(
        &self,
        link: &Link,
        keys: &[String],
        arguments: impl Fn(&mut Cmd),
    ) -> Result<T, CallError> {
        let mut cmd = redis::cmd("EVALSHA");
        cmd.arg(&self.sha).arg(keys.len()).arg(keys);
        arguments(&mut cmd);
        let answer = match link.call(&cmd).await {
            Err(error) if error.code() == Some("NOSCRIPT") => {
                let _: String =
                    link.call(redis::cmd("SCRIPT").arg("LOAD").arg(self.source)).await?;
                link.call(&cmd).await
            }
            answer => answer,
        };
        match answer {
            Err(error) => Err(link.explain(error, keys).await),
            answer => answer,
        }
    }
}

impl Link {
    pub(super) async fn open(&self, topic: &Topic, by: &Opening<'_>) -> Result<Opened, CallError> {
        let keys = [keys::hash(topic), keys::stream(topic), keys::DEPLOYMENT.into()];
        let text = |number: Option<u64>| number.map(|n| n.to_string()).unwrap_or_default();
        type Kept = (String, String, String, String);
        type Answer = (String, String, u64, Kept, u64, String, String, String);
        let [max_events, max_bytes, max_age] = limits(&by.keeping.retention);
        let answer: Answer = OPEN
            .run(self, &keys, |cmd| {
                cmd.arg(u8::from(by.create))
                    .arg(by.floor)
                    .arg(text(by.distrusted))
                    .arg(text(by.claim.map(|claim| claim.epoch)))
                    .arg(text(by.claim.map(|claim| claim.sequence)))
                    .arg(by.keeping.mode.name())
                    .arg(max_events)
                    .arg(keys::channel(topic))
                    .arg(keys::INDEX_CHANNEL)
                    .arg(topic.as_str())
                    .arg(by.deployment)
                    .arg(by.idle_ms)
                    .arg(by.renamed)
                    .arg(by.replid)
                    .arg(max_bytes)
                    .arg(max_age);
            })
            .await?;
        let (epoch, replid, last, kept, version, deployment, births, why) = answer;
        let last = match epoch.as_str() {
            "" => None,
            epoch => Some(Position::new(number(epoch)?, last)),
        };
        Ok(Opened {
            last,
            replid,
            keeping: keeping(&kept).unwrap_or(by.keeping),
            version,
            deployment,
            births,
            began: !why.is_empty(),
        })
    }

    /// None where the broker's view of the topic is stale: nothing was written.
    pub(super) async fn publish(
        &self,
        topic: &Topic,
        what: &Publishing<'_>,
    ) -> Result<Option<Published>, CallError> {
        let [events, bytes, _] = limits(&what.keeping.retention);
        let numbers = [what.epoch, what.version, what.count as u64, events, bytes];
        let numbers = numbers.map(u64::to_le_bytes);
        let [hash, stream] = [keys::hash(topic), keys::stream(topic)];
        let by_event = what.keeping.mode == Mode::Durable || what.checks.is_some();
        let arguments = |cmd: &mut Cmd| {
            cmd.arg(keys::channel(topic)).arg(numbers.as_flattened());
            cmd.arg(if by_event { what.body.head() } else { what.body.whole() });
            if by_event || !what.bridge_messages.is_empty() {
                cmd.arg(what.bridge_channel);
            }
            if by_event {
                what.body.events().for_each(|event| {
                    cmd.arg(event);
                });
            }
            for message in what.bridge_messages {
                cmd.arg(&message[..]);
            }
        };
        let answer: Option<Vec<Vec<u8>>> = match &what.checks {
            None => {
                let script = match what.keeping.mode {
                    Mode::Live => &PUBLISH_LIVE,
                    Mode::Durable => &PUBLISH_DURABLE,
                };
                let head: Option<Vec<u8>> = script.run(self, &[hash, stream], arguments).await?;
                head.map(|head| vec![head, Vec::new()])
            }
            Some(checks) => {
                let script = match what.keeping.mode {
                    Mode::Live => &PUBLISH_LIVE_CHECKED,
                    Mode::Durable => &PUBLISH_DURABLE_CHECKED,
                };
                let [one, other] = keys::lately(topic);
                let numbers = checks.numbers();
                let arguments = |cmd: &mut Cmd| {
                    arguments(cmd);
                    cmd.arg(&numbers);
                };
                script.run(self, &[hash, stream, one, other], arguments).await?
            }
        };
        let Some(parts) = answer else { return Ok(None) };
        let mut parts = parts.into_iter();
        let head = batch::heard(parts.next().unwrap_or_default().into());
        let head = head.map_err(|error| CallError::Unexpected(error.to_string()))?;
        let repeated = parts.next();
        let published = Published {
            first: head.first,
            publish_time_us: head.publish_time_us,
            conflict: repeated.is_none(),
            repeated: repeated_of(&repeated.unwrap_or_default(), what.count)?,
        };
        Ok(Some(published))
    }

    pub(super) async fn read(&self, topic: &Topic, after: Position) -> Result<Page, CallError> {
        match self.page(topic, after, PAGE_SINGLE_ENTRIES).await? {
            Read::Page(page) => return Ok(page),
            Read::Range(from, to) => {
                let page = self.range(topic, &from, &to).await?;
                // What was trimmed meanwhile must not pass for the end, and what is longer than `b` told
                // somebody else wrote.
                if let Some(page) = page.filter(|page| !page.entries.is_empty()) {
                    return Ok(page);
                }
            }
        }
        match self.page(topic, after, 0).await? {
            Read::Page(page) => Ok(page),
            Read::Range(..) => Err(CallError::Unexpected("no page, but where one is".into())),
        }
    }

    /// A page, or where it is, where that many entries of one event lie there.
    async fn page(
        &self,
        topic: &Topic,
        after: Position,
        single_entries: usize,
    ) -> Result<Read, CallError> {
        let keys = [keys::hash(topic), keys::stream(topic)];
        type Answer = (String, String, u8, Vec<Value>, Vec<String>);
        let (epoch, last, complete, entries, range): Answer = READ
            .run(self, &keys, |cmd| {
                cmd.arg(after.epoch).arg(after.sequence);
                cmd.arg(PAGE_BYTES).arg(PAGE_ENTRIES).arg(ENTRY_BYTES_MAX).arg(single_entries);
            })
            .await?;
        if let Ok([from, to]) = <[String; 2]>::try_from(range) {
            return Ok(Read::Range(from, to));
        }
        let last = match epoch.as_str() {
            "" => None,
            epoch => Some(Position::new(number(epoch)?, number(&last)?)),
        };
        // An entry that is not ours is passed over: the sequences tell whether one is missing.
        let entries = entries.into_iter().filter_map(entry).collect();
        Ok(Read::Page(Page { last, entries, complete: complete == 1 }))
    }

    /// The entries from one to another, and in the same instant what the topic has reached. None
    /// where they are longer than a page.
    pub(super) async fn range(
        &self,
        topic: &Topic,
        from: &str,
        to: &str,
    ) -> Result<Option<Page>, CallError> {
        let keys = [keys::hash(topic), keys::stream(topic)];
        let mut both = redis::pipe();
        both.atomic().cmd("HGET").arg(&keys[0]).arg("at");
        both.cmd("XRANGE").arg(&keys[1]).arg(from).arg(to).arg("COUNT").arg(PAGE_SINGLE_ENTRIES);
        let answer = match self.ranges.ask(self, &both).await {
            Err(error) => return Err(self.explain(error, &keys).await),
            Ok(answer) => answer,
        };
        let Some(answer) = answer else { return Ok(None) };
        let mut items = answer.value().items();
        let (Some(at), Some(entries)) = (items.next(), items.next()) else {
            return Err(CallError::Unexpected("EXEC answered not to both commands".into()));
        };
        if let Some(line) = at.error().or(entries.error()) {
            return Err(self.explain(refused(line), &keys).await);
        }
        let last = if at.is_nil() {
            None
        } else {
            let damaged = || CallError::damaged(&keys[0], "does not tell what it has reached");
            Some(at.text().and_then(reached).ok_or_else(damaged)?)
        };
        let entries = entries.items().filter_map(entry_of_range).collect();
        Ok(Some(Page { last, entries, complete: false }))
    }

    pub(super) async fn seek(&self, topic: &Topic, start: Start) -> Result<Position, CallError> {
        let keys = [keys::hash(topic), keys::stream(topic)];
        let (what, number_of) = match start {
            Start::Now => ("last", 0),
            Start::Earliest => ("earliest", 0),
            Start::Time(us) => ("time", us),
            Start::Ago(ago) => ("ago", ago.as_micros() as u64),
            Start::Last(events) => ("last", events),
        };
        let (epoch, sequence): (String, String) = SEEK
            .run(self, &keys, |cmd| {
                cmd.arg(what).arg(number_of).arg(REQUEST_EVENTS_MAX);
            })
            .await?;
        Ok(Position::new(number(&epoch)?, number(&sequence)?))
    }

    /// Puts off the time at which an idle live topic is forgotten. False where there is none.
    pub(super) async fn refresh(&self, topic: &Topic, idle_ms: u64) -> Result<bool, CallError> {
        let keys = [keys::hash(topic), keys::stream(topic)];
        REFRESH
            .run(self, &keys, |cmd| {
                cmd.arg(idle_ms);
            })
            .await
    }

    /// Writes the topic into the index, to be forgotten after this time without use, or never.
    pub(super) async fn enlist(
        &self,
        topic: &Topic,
        idle: Option<Duration>,
    ) -> Result<(), CallError> {
        let seconds = |idle: Duration| (idle + ENLISTED_LONGER).as_secs().to_string();
        let keep_seconds = idle.map(seconds).unwrap_or_default();
        ENLIST
            .run(self, &[keys::INDEX.into()], |cmd| {
                cmd.arg(topic.as_str()).arg(&keep_seconds);
            })
            .await
    }

    /// Takes the topics out of the index of which the time is over.
    pub(super) async fn forget_topics(&self) -> Result<(), CallError> {
        FORGET.run(self, &[keys::INDEX.into()], |_| ()).await
    }

    /// Drops some of what a durable topic need not keep any more; how many entries that was.
    pub(super) async fn trim(&self, topic: &Topic) -> Result<u64, CallError> {
        let keys = [keys::hash(topic), keys::stream(topic)];
        TRIM.run(self, &keys, |cmd| {
            cmd.arg(TRIMMED_MAX);
        })
        .await
    }

    /// Durable topics of the index, so many after so many.
    pub(super) async fn durable_topics(
        &self,
        skip: usize,
        count: usize,
    ) -> Result<Vec<Topic>, CallError> {
        let mut cmd = redis::cmd("ZRANGEBYSCORE");
        cmd.arg(keys::INDEX).arg("+inf").arg("+inf").arg("LIMIT").arg(skip).arg(count);
        let names: Vec<Vec<u8>> = self.call_on(keys::INDEX, &cmd).await?;
        // What is no topic's name none of us wrote.
        let topic = |name: Vec<u8>| String::from_utf8(name).ok()?.parse().ok();
        Ok(names.into_iter().filter_map(topic).collect())
    }

    /// Whether this broker is the one that trims, from now on for so long.
    pub(super) async fn hold_trimmer(
        &self,
        broker: &str,
        lease: Duration,
    ) -> Result<bool, CallError> {
        LEASE
            .run(self, &[keys::TRIMMER.into()], |cmd| {
                cmd.arg(broker).arg(lease.as_millis() as u64);
            })
            .await
    }

    /// False where the topic's settings are not of this version, or it cannot be kept so.
    pub(super) async fn configure(
        &self,
        topic: &Topic,
        version: u64,
        keeping: Keeping,
    ) -> Result<bool, CallError> {
        let keys = [keys::hash(topic), keys::stream(topic)];
        let limits = limits(&keeping.retention);
        CONFIGURE
            .run(self, &keys, |cmd| {
                cmd.arg(version).arg(keeping.mode.name()).arg(&limits);
            })
            .await
    }
}

impl Checks {
    /// As `publish_check.lua` takes them.
    fn numbers(&self) -> Vec<u8> {
        let with_keys = self.keys.iter().any(Option::is_some);
        let window_ms = u64::try_from(self.window.as_millis()).unwrap_or(NO_LIMIT);
        let expected = self.expected_last.unwrap_or_default();
        let numbers = [
            if with_keys { window_ms } else { 0 },
            self.expected_last.is_some().into(),
            expected.epoch,
            expected.sequence,
        ];
        let mut out = numbers.map(u64::to_le_bytes).concat();
        if with_keys {
            for key in &self.keys {
                out.extend_from_slice(key.as_ref().map_or(EventKey::NONE, EventKey::bytes));
            }
        }
        out
    }
}

/// Index, epoch and sequence of each event that was stored before, in order.
fn repeated_of(told: &[u8], count: usize) -> Result<Vec<Repeated>, CallError> {
    let unexpected = || CallError::Unexpected("events that were stored before".to_owned());
    let (numbers, rest) = told.as_chunks::<8>();
    let (events, more) = numbers.as_chunks::<3>();
    if !rest.is_empty() || !more.is_empty() {
        return Err(unexpected());
    }
    let repeated: Vec<_> = events
        .iter()
        .map(|event| {
            let [index, epoch, sequence] = event.map(u64::from_le_bytes);
            let index = usize::try_from(index).unwrap_or(usize::MAX);
            Repeated { index, position: Position::new(epoch, sequence) }
        })
        .collect();
    let in_order = repeated.is_sorted_by(|a, b| a.index < b.index);
    let fits = repeated.last().is_none_or(|last| last.index < count);
    if in_order && fits { Ok(repeated) } else { Err(unexpected()) }
}

/// What operators said of topics, and what there is of one.
impl Link {
    /// The version with which it is said; none where what was said is not of the version `seen`.
    pub(super) async fn say(
        &self,
        settings: &str,
        seen: u64,
        topic: &Topic,
        value: Option<&[u8]>,
    ) -> Result<Option<u64>, CallError> {
        let answer: String = SAY
            .run(self, &[settings.into()], |cmd| {
                cmd.arg(seen).arg(topic.as_str()).arg(value.unwrap_or_default());
                cmd.arg(keys::SETTINGS_CHANNEL);
            })
            .await?;
        (!answer.is_empty()).then(|| number(&answer)).transpose()
    }

    /// All of it, in place of what Redis holds of the version `held`.
    pub(super) async fn say_again(
        &self,
        held: u64,
        known: &Configured,
    ) -> Result<Option<u64>, CallError> {
        let answer: String = SAY_AGAIN
            .run(self, &[keys::SETTINGS.into()], |cmd| {
                cmd.arg(held).arg(known.version).arg(keys::SETTINGS_CHANNEL);
                for (topic, said) in &known.topics {
                    let stored = [format!("{} ", said.version).as_bytes(), &said.value].concat();
                    cmd.arg(topic.as_str()).arg(stored);
                }
            })
            .await?;
        (!answer.is_empty()).then(|| number(&answer)).transpose()
    }

    pub(super) async fn state(&self, topic: &Topic) -> Result<Option<TopicState>, CallError> {
        let keys = [keys::hash(topic), keys::stream(topic)];
        type Kept = (String, String, String, String);
        type Answer = (String, String, Kept, String, String, String);
        let (epoch, last, kept, oldest, first, bytes): Answer =
            STATE.run(self, &keys, |_| ()).await?;
        if epoch.is_empty() {
            return Ok(None);
        }
        let first = match oldest.is_empty() {
            true => None,
            false => Some(Position::new(number(&oldest)?, number(&first)?)),
        };
        Ok(Some(TopicState {
            keeping: keeping(&kept).unwrap_or(Keeping::of(Mode::Live)),
            first,
            last: Position::new(number(&epoch)?, number(&last)?),
            bytes: number(&bytes)?,
        }))
    }

    /// All keys of a topic, in one command. False where it had none.
    pub(super) async fn delete(&self, topic: &Topic) -> Result<bool, CallError> {
        let mut unlink = redis::cmd("UNLINK");
        unlink.arg(keys::hash(topic)).arg(keys::stream(topic)).arg(&keys::lately(topic));
        let gone: u64 = self.call(&unlink).await?;
        Ok(gone > 0)
    }
}

/// Some of what is registered, in the order of revisions.
#[derive(Debug)]
pub(super) struct RegisteredPage {
    /// Of all.
    pub(super) revision: u64,
    /// Of the last change that took something away.
    pub(super) removed: u64,
    /// How many records there are.
    pub(super) count: usize,
    /// Nothing follows.
    pub(super) complete: bool,
    pub(super) records: Vec<(String, Stored)>,
}

/// What is registered.
impl Link {
    pub(super) async fn registered(&self, after: u64) -> Result<RegisteredPage, CallError> {
        let keys = [keys::SCHEMAS.into(), keys::SCHEMAS_INDEX.into()];
        type Answer = (String, String, usize, u8, Vec<Vec<u8>>);
        let (revision, removed, count, complete, page): Answer = REGISTERED
            .run(self, &keys, |cmd| {
                cmd.arg(after).arg(PAGE_BYTES).arg(PAGE_SINGLE_ENTRIES);
            })
            .await?;
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let (parts, _) = page.as_chunks::<3>();
        let records = parts.iter().map(|[name, revision, record]| {
            let (revision, record) = (number(&text(revision))?, Bytes::copy_from_slice(record));
            Ok((text(name), Stored { revision, record }))
        });
        Ok(RegisteredPage {
            revision: number(&revision)?,
            removed: number(&removed)?,
            count,
            complete: complete == 1,
            records: records.collect::<Result<_, CallError>>()?,
        })
    }

    /// The names of all records, each with its revision.
    pub(super) async fn registered_names(&self) -> Result<HashMap<String, u64>, CallError> {
        let mut all = redis::cmd("ZRANGE");
        all.arg(keys::SCHEMAS_INDEX).arg(0).arg(-1).arg("WITHSCORES");
        let names: Vec<(Vec<u8>, f64)> = self.call_on(keys::SCHEMAS_INDEX, &all).await?;
        // Names of ours are text, and revisions are whole and below 2^53.
        let text = |name: Vec<u8>| String::from_utf8_lossy(&name).into_owned();
        Ok(names.into_iter().map(|(name, revision)| (text(name), revision as u64)).collect())
    }

    /// Without a record, takes away what is named. The revision with which it is done; none where
    /// another one than `seen` is in force.
    pub(super) async fn register(
        &self,
        seen: u64,
        names: &[String],
        record: Option<&[u8]>,
    ) -> Result<Option<u64>, CallError> {
        let keys = [keys::SCHEMAS.into(), keys::SCHEMAS_INDEX.into()];
        let answer: String = REGISTER
            .run(self, &keys, |cmd| {
                cmd.arg(seen).arg(keys::SCHEMAS_CHANNEL).arg(record.unwrap_or_default());
                cmd.arg(names);
            })
            .await?;
        (!answer.is_empty()).then(|| number(&answer)).transpose()
    }

    /// All that was written to the keys of this broker, in place of what Redis holds of the revision
    /// `held`.
    pub(super) async fn register_again(
        &self,
        broker: &str,
        held: u64,
        known: &Registered,
    ) -> Result<Option<u64>, CallError> {
        let [records, index] = keys::schemas_of(broker);
        let keys = [keys::SCHEMAS.into(), keys::SCHEMAS_INDEX.into(), records, index];
        let answer: String = REGISTER_AGAIN
            .run(self, &keys, |cmd| {
                cmd.arg(held).arg(known.revision).arg(keys::SCHEMAS_CHANNEL);
                cmd.arg(known.records.len());
            })
            .await?;
        (!answer.is_empty()).then(|| number(&answer)).transpose()
    }
}

/// The topic's last position, of its field `at`: see at.lua.
fn reached(at: &[u8]) -> Option<Position> {
    let at: &[u8; 48] = at.try_into().ok()?;
    let (numbers, _) = at.as_chunks::<8>();
    let numbers: Vec<u64> = numbers.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect();
    let ours = numbers[0] > 0 && numbers.iter().all(|number| *number <= NO_LIMIT);
    ours.then(|| Position::new(numbers[0], numbers[2]))
}

/// As Redis holds them: events, bytes, milliseconds.
fn limits(retention: &Retention) -> [u64; 3] {
    let age_ms = |age: Duration| u64::try_from(age.as_millis()).unwrap_or(NO_LIMIT);
    let limits = [retention.max_events, retention.max_bytes, retention.max_age.map(age_ms)];
    limits.map(|limit| limit.unwrap_or(NO_LIMIT).min(NO_LIMIT))
}

/// None for what no broker wrote.
fn keeping((mode, events, bytes, age): &(String, String, String, String)) -> Option<Keeping> {
    let mode = [Mode::Live, Mode::Durable].into_iter().find(|known| known.name() == mode)?;
    let limit = |text: &str| text.parse().ok().map(|limit| Some(limit).filter(|l| *l != NO_LIMIT));
    let retention = Retention {
        max_events: limit(events)?,
        max_bytes: limit(bytes)?,
        max_age: limit(age)?.map(Duration::from_millis),
    };
    Some(Keeping { mode, retention })
}

fn number(text: &str) -> Result<u64, CallError> {
    text.parse().map_err(|_| CallError::Unexpected(format!("{text:?} is no number")))
}

/// One entry of a topic's stream, whatever was written there. None where its name is not ours.
pub(super) fn entry(value: Value) -> Option<Entry> {
    let Value::Array(parts) = value else { return None };
    let [id, fields]: [Value; 2] = parts.try_into().ok()?;
    let Value::Array(values) = fields else { return None };
    let (mut values, mut fields) = (values.into_iter(), Fields::default());
    while let (Some(name), Some(value)) = (values.next().and_then(bytes_of), values.next()) {
        let Some(value) = bytes_of(value) else { continue };
        fields.take(&name, &value, || value.clone());
    }
    fields.entry(&bytes_of(id)?)
}

/// The same, of an answer that was not taken apart.
fn entry_of_range(one: One<'_>) -> Option<Entry> {
    let mut parts = one.items();
    let (id, mut values) = (parts.next()?.text()?, parts.next()?.items());
    let mut fields = Fields::default();
    while let (Some(name), Some(one)) = (values.next(), values.next()) {
        let (Some(name), Some(value)) = (name.text(), one.text()) else { continue };
        fields.take(name, value, || one.bytes().unwrap_or_default());
    }
    fields.entry(id)
}

/// What we write into an entry.
#[derive(Debug, Default)]
struct Fields {
    time: Option<u64>,
    count: Option<u64>,
    body: Option<Bytes>,
    created: bool,
}

impl Fields {
    fn take(&mut self, name: &[u8], value: &[u8], whole: impl FnOnce() -> Bytes) {
        match name {
            b"t" => self.time = decimal(value),
            b"n" => self.count = decimal(value),
            b"e" => self.body = Some(whole()),
            b"why" => self.created = value == b"created",
            _ => (),
        }
    }

    fn entry(self, id: &[u8]) -> Option<Entry> {
        let (epoch, first) = std::str::from_utf8(id).ok()?.split_once('-')?;
        let (epoch, first) = (epoch.parse().ok()?, first.parse::<u64>().ok()?);
        if first == 0 {
            return Some(Entry::Fence { epoch, created: self.created });
        }
        let batch = self.time.zip(self.body);
        let batch = batch.and_then(|(time, body)| batch::stored(epoch, first, time, body).ok());
        match batch.filter(|batch| self.count == Some(batch.events.len() as u64)) {
            Some(batch) => Some(Entry::Batch(batch)),
            None => {
                let count = self.count.unwrap_or(1).clamp(1, REQUEST_EVENTS_MAX as u64);
                Some(Entry::Undecodable { epoch, first, count })
            }
        }
    }
}

fn decimal(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}
