//! What this Redis keeps of what it is given: on disk, on replicas, or until it wants its memory back.
//!
//! Read at each connection and every few seconds, because an operator may change it while we run:
//! receipts say what is in force. What Redis does not tell is taken for the weaker.

use std::{collections::HashMap, time::Duration};

use parking_lot::Mutex;
use tracing::{info, warn};

use super::{
    connection::{CallError, Link, info_field},
    session::command,
};
use crate::backend::Durability;

pub(super) const READ_EVERY: Duration = Duration::from_secs(3);

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Persistence {
    policy: String,
    /// It keeps an append-only file.
    aof: bool,
    /// The file is whole: one that was switched on while Redis ran is of no use until it was rewritten.
    aof_is_whole: bool,
    /// When it syncs the file; none: it does not tell.
    fsync: Option<Fsync>,
    /// Whether it takes snapshots by itself; none: it does not tell.
    snapshots: Option<bool>,
    /// The file, or the snapshot, that it could not write when it last tried: it takes nothing then.
    unwritten: Option<Unwritten>,
    /// That follow it, and have caught up once.
    replicas: u32,
    /// This user may wait for replicas.
    pub(super) waits_for_replicas: bool,
    /// It can say when it has synced, and this user may ask.
    pub(super) waits_for_disk: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fsync {
    /// Before it answers, whatever else it does.
    Always,
    Later,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unwritten {
    File,
    Snapshot,
}

/// What was read last, over which connection.
#[derive(Debug)]
pub(super) struct Watched {
    read: Mutex<(u64, Persistence)>,
    /// Durable topics are kept also where they may be lost.
    allow_volatile: bool,
}

impl Watched {
    pub(super) fn new(allow_volatile: bool) -> Watched {
        Watched { read: Mutex::default(), allow_volatile }
    }

    pub(super) async fn look(&self, link: &Link) -> Result<(), CallError> {
        let (generation, before) = self.read.lock().clone();
        let before = (generation == link.generation).then_some(before);
        let now = Persistence::of(link, before.as_ref()).await?;
        let (reached, trouble) = (now.reached(), now.trouble());
        if before.as_ref().is_some_and(|before| before.reached() != reached) {
            info!(?reached, "what redis does with a durable topic has changed");
        }
        if let Some((trouble, remedy)) = trouble
            && before.as_ref().is_some_and(|before| before.trouble().is_none())
        {
            warn!("redis may lose durable topics from now on: {trouble}: {remedy}");
        }
        if let Some(unwritten) = now.unwritten
            && before.is_none_or(|before| before.unwritten.is_none())
        {
            warn!("{}", unwritten.told());
        }
        *self.read.lock() = (link.generation, now);
        Ok(())
    }

    pub(super) fn now(&self) -> Persistence {
        self.read.lock().1.clone()
    }

    /// What is reached by each event of a durable topic that is stored over this connection, or
    /// over one to the same Redis.
    pub(super) fn reached(&self, link: &Link) -> Durability {
        let read = self.read.lock();
        if read.0 == link.generation { read.1.reached() } else { Durability::Memory }
    }

    /// Why no topic is made durable here, and what to do.
    pub(super) fn refuses_durable(&self) -> Option<String> {
        if self.allow_volatile {
            return None;
        }
        let (trouble, remedy) = self.read.lock().1.trouble()?;
        Some(format!("{trouble}: {remedy}, or allow it with --allow-volatile"))
    }

    /// Each what an operator should mend or know, with the consequence.
    pub(super) fn warnings(&self) -> Vec<String> {
        let now = self.now();
        let mut warnings = now.warnings();
        if let Some((trouble, remedy)) = now.trouble() {
            warnings.push(match self.allow_volatile {
                true => format!(
                    "allow_volatile: durable topics are kept although {trouble}: {remedy} where \
                     they must last"
                ),
                false => format!("no topic is made durable here, because {trouble}: {remedy}"),
            });
        }
        warnings
    }
}

impl Persistence {
    async fn of(link: &Link, before: Option<&Persistence>) -> Result<Persistence, CallError> {
        let ask = command(&["INFO", "persistence", "memory", "replication"]);
        let info: String = link.call(&ask).await?;
        let names = ["appendfsync", "save", "no-appendfsync-on-rewrite"];
        let ask = command(&[&["CONFIG", "GET"], &names[..]].concat());
        // Whoever runs Redis for others often forbids it.
        let config = told(link.call::<HashMap<String, String>>(&ask).await)?.unwrap_or_default();
        // For nobody and nothing: answered at once, by who can and may.
        let waits = told(link.call::<u64>(&command(&["WAIT", "0", "1"])).await)?;
        let waitaof = command(&["WAITAOF", "0", "0", "1"]);
        let waits_for_disk = told(link.call::<Vec<u64>>(&waitaof).await)?.is_some();
        let read = Persistence::read(&info, &config, before);
        Ok(Persistence { waits_for_replicas: waits.is_some(), waits_for_disk, ..read })
    }

    fn read(
        info: &str,
        config: &HashMap<String, String>,
        before: Option<&Persistence>,
    ) -> Persistence {
        let field = |name| info_field(info, name).unwrap_or_default();
        let setting = |name: &str| config.get(name).map(String::as_str);
        let aof = field("aof_enabled") == "1";
        let rewrites =
            field("aof_rewrite_in_progress") != "0" || field("aof_rewrite_scheduled") != "0";
        let was_whole = before.is_some_and(|before| before.aof_is_whole);
        // While it rewrites the file, it may leave the syncing to later.
        let always = setting("appendfsync") == Some("always")
            && setting("no-appendfsync-on-rewrite") == Some("no");
        let fsync =
            setting("appendfsync").map(|_| if always { Fsync::Always } else { Fsync::Later });
        let unwritten = match () {
            () if field("aof_last_write_status") == "err" => Some(Unwritten::File),
            () if field("rdb_last_bgsave_status") == "err" => Some(Unwritten::Snapshot),
            () => None,
        };
        let online = |line: &str| line.starts_with("slave") && line.contains(",state=online,");
        Persistence {
            policy: field("maxmemory_policy").to_owned(),
            aof,
            aof_is_whole: aof && (was_whole || !rewrites),
            fsync,
            snapshots: setting("save").map(|save| !save.is_empty()),
            unwritten,
            replicas: info.lines().filter(|line| online(line)).count() as u32,
            waits_for_replicas: false,
            waits_for_disk: false,
        }
    }

    /// What a durable topic's event has reached when Redis answers.
    fn reached(&self) -> Durability {
        match self.aof_is_whole && self.fsync == Some(Fsync::Always) {
            true => Durability::Disk,
            false => Durability::Memory,
        }
    }

    /// What it reaches where its topic asks for all that can be had.
    pub(super) fn best(&self) -> Durability {
        if self.replicas > 0 && self.waits_for_replicas {
            return Durability::Replicated;
        }
        let waits = self.aof_is_whole && self.waits_for_disk;
        if waits { Durability::Disk } else { self.reached() }
    }

    /// Why a durable topic would be lost one day, and what to set. Keys of a durable topic never
    /// expire: the policies that evict only what expires spare them.
    fn trouble(&self) -> Option<(String, &'static str)> {
        if self.policy.starts_with("allkeys") {
            let policy = &self.policy;
            let why =
                format!("redis drops any key when memory is short (maxmemory-policy {policy})");
            return Some((why, "set maxmemory-policy noeviction in redis"));
        }
        match self.snapshots {
            _ if self.aof => None,
            Some(true) => None,
            Some(false) => Some((
                "redis forgets everything when it restarts (appendonly no, and save is empty)"
                    .into(),
                "set appendonly yes in redis, or let it take snapshots (save 60 1)",
            )),
            None => Some((
                "redis keeps no append-only file, and does not say whether it takes snapshots"
                    .into(),
                "set appendonly yes in redis, or permit CONFIG GET to the user",
            )),
        }
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings: Vec<String> = self.unwritten.iter().map(|it| it.told().into()).collect();
        if self.policy.starts_with("allkeys") {
            warnings.push(format!(
                "maxmemory-policy is {}: when memory is short, redis may drop a topic's history; \
                 subscribers are told of the gap",
                self.policy
            ));
        }
        if !self.aof {
            warnings.push(format!(
                "redis keeps no append-only file: a restart loses what was published {}; \
                 subscribers are told of the gap",
                match self.snapshots {
                    Some(false) => "before it",
                    Some(true) | None => "since the last snapshot",
                }
            ));
        } else if self.fsync.is_none() {
            warnings.push(
                "redis does not say when it syncs its append-only file (CONFIG GET is not permitted): \
                 receipts of durable topics claim no disk"
                    .into(),
            );
        }
        if !self.waits_for_replicas {
            warnings.push(
                "redis does not permit WAIT to the user: receipts never say that replicas have an \
                 event, whatever a topic asks for"
                    .into(),
            );
        }
        warnings
    }
}

impl Unwritten {
    fn told(self) -> &'static str {
        match self {
            Unwritten::File => {
                "redis cannot write its append-only file (aof_last_write_status is err) and takes \
                 nothing until it can: make room on its disk"
            }
            Unwritten::Snapshot => {
                "redis could not write its last snapshot (rdb_last_bgsave_status is err) and, unless \
                 stop-writes-on-bgsave-error is no, takes nothing until it can: its log says why"
            }
        }
    }
}

/// None where Redis refused: then it is not for us to know.
fn told<T>(answer: Result<T, CallError>) -> Result<Option<T>, CallError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(CallError::Refused(_) | CallError::Unexpected(_)) => Ok(None),
        Err(
            error @ (CallError::NotSent
            | CallError::Lost(_)
            | CallError::Damaged(_)
            | CallError::NoPrimary(_)),
        ) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AOF: &str = "aof_enabled:1\r\naof_rewrite_in_progress:0\r\naof_rewrite_scheduled:0\r\n";
    const NO_AOF: &str =
        "aof_enabled:0\r\naof_rewrite_in_progress:0\r\naof_rewrite_scheduled:0\r\n";

    fn read(info: &str, config: &[(&str, &str)]) -> Persistence {
        read_after(None, info, config)
    }

    fn read_after(
        before: Option<&Persistence>,
        info: &str,
        config: &[(&str, &str)],
    ) -> Persistence {
        let config = config.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        Persistence::read(info, &config.collect(), before)
    }

    #[test]
    fn disk_is_claimed_only_where_redis_syncs_before_each_answer() {
        let always = [("appendfsync", "always"), ("no-appendfsync-on-rewrite", "no")];
        assert_eq!(read(AOF, &always).reached(), Durability::Disk);
        let careless = [("appendfsync", "always"), ("no-appendfsync-on-rewrite", "yes")];
        let everysec = [("appendfsync", "everysec"), ("no-appendfsync-on-rewrite", "no")];
        for config in [&careless[..], &everysec, &[("appendfsync", "always")], &[]] {
            assert_eq!(read(AOF, config).reached(), Durability::Memory, "{config:?}");
        }
        assert_eq!(read(NO_AOF, &always).reached(), Durability::Memory);
    }

    #[test]
    fn a_file_that_was_just_switched_on_counts_when_it_was_rewritten() {
        let always = [("appendfsync", "always"), ("no-appendfsync-on-rewrite", "no")];
        let rewriting = AOF.replace("in_progress:0", "in_progress:1");
        let begun = read(&rewriting, &always);
        assert_eq!(begun.reached(), Durability::Memory);
        let done = read_after(Some(&begun), AOF, &always);
        assert_eq!(done.reached(), Durability::Disk);
        assert_eq!(read_after(Some(&done), &rewriting, &always).reached(), Durability::Disk);
    }

    #[test]
    fn trouble_is_what_evicts_or_forgets_a_durable_topic_and_names_what_to_set() {
        let trouble = |info: &str, config: &[(&str, &str)]| {
            read(info, config).trouble().map(|(why, remedy)| format!("{why}: {remedy}"))
        };
        let evicts = trouble(&format!("{AOF}maxmemory_policy:allkeys-lru\r\n"), &[]);
        let evicts = evicts.expect("refused");
        assert!(evicts.contains("allkeys-lru") && evicts.contains("noeviction"), "{evicts}");
        for policy in ["noeviction", "volatile-lru", "volatile-ttl"] {
            let info = format!("{AOF}maxmemory_policy:{policy}\r\n");
            assert_eq!(trouble(&info, &[]), None, "{policy}");
        }
        assert_eq!(trouble(NO_AOF, &[("save", "60 1")]), None);
        let forgets = trouble(NO_AOF, &[("save", "")]).expect("refused");
        assert!(forgets.contains("appendonly yes"), "{forgets}");
        assert!(trouble(NO_AOF, &[]).expect("refused").contains("CONFIG GET"));
    }

    #[test]
    fn a_file_or_snapshot_that_cannot_be_written_is_warned_of() {
        let told = |info: &str| {
            let warnings = read(info, &[]).warnings();
            warnings.into_iter().filter(|told| told.contains("is err")).collect::<Vec<_>>()
        };
        let ok = "aof_last_write_status:ok\r\nrdb_last_bgsave_status:ok\r\n";
        assert!(told(ok).is_empty() && told("").is_empty());
        for name in ["aof_last_write_status", "rdb_last_bgsave_status"] {
            let told = told(&ok.replace(&format!("{name}:ok"), &format!("{name}:err")));
            assert!(matches!(&told[..], [one] if one.contains(name)), "{told:?}");
        }
    }

    #[test]
    fn only_replicas_that_are_online_count() {
        let info = "slave0:ip=127.0.0.1,port=1,state=online,offset=1,lag=0\r\n\
                    slave1:ip=127.0.0.1,port=2,state=wait_bgsave,offset=0,lag=0\r\n";
        assert_eq!(read(info, &[]).replicas, 1);
    }
}
