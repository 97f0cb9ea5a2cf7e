//! Every key and channel that Tidings uses in Redis. Nothing else is ever written, but for the
//! bridge's channels, which the operator names.
//!
//! | name | kind | holds |
//! |---|---|---|
//! | `td:{<topic>}:m` | hash | `at` (six little-endian numbers of eight bytes: the epoch, the version of `mode` and the limits, the sequence of the last event, its time, bytes since the last trim or, of a durable topic, of all its events, events of the largest entry of this life), `replid` (of the Redis that the epoch belongs to), `lives` (epoch:reached of the last four), `mode` (`live` or `durable`), and the limits `max_events`, `max_bytes` and `max_age` (in milliseconds), 2^53 - 1 where one is not set |
//! | `td:{<topic>}:s` | stream | entry `<epoch>-<sequence of its first event>`: `t` publish time, `n` events, `b` (durable topics, one event in each entry) the bytes of all events before it, `e` an encoded `tidings.redis.v1.Batch` without its first three fields; `<epoch>-0` is a fence: `why`, `old`, `reached`, `t`, `b` |
//! | `td:{<topic>}:d:0`, `…:d:1` | hashes | what was published lately: `''` when it was begun, a key of an event → where it was stored, five bytes of its epoch and seven of its sequence; see `publish_check.lua` |
//! | `td:{<topic>}:c` | channel | one [`MAGIC`] and `Batch` per publish |
//! | `td:_tidings.deployment` | hash | `id` of the deployment, `births`: rises by one with each life of a topic that is begun |
//! | `td:_tidings.topics` | sorted set | topics by the second in which they will be forgotten; durable ones by `+inf` |
//! | `td:_tidings.trimmer` | string | the broker that trims durable topics; ends by itself |
//! | `td:_tidings.topics:c` | channel | `<deployment> <topic> <epoch> <why>` when a life of a topic begins |
//! | `td:_tidings.settings` | hash | what operators said over the API: of each topic `<version> <encoded tidings.v1.Topic>`, and `:version`, which rises with each change |
//! | `td:_tidings.settings:c` | channel | the new version, when it changes |
//! | `td:{_tidings.schemas}` | hash | types of events: `<type>/<version>` → an encoded `tidings.v1.Schema`; `:revision`, which rises with each change, and `:removed`, that of the last one that took something away |
//! | `td:{_tidings.schemas}:i` | sorted set | the same `<type>/<version>` by the revision with which each came |
//! | `td:{_tidings.schemas}:<broker>`, `…:i:<broker>` | hash, sorted set | the two above while a broker puts them back; end by themselves |
//! | `td:_tidings.schemas:c` | channel | the new revision, when it changes |
//! | `td:_tidings.probe.<broker>:c` | channel | each broker's word to itself |
//!
//! The topic is the hash tag, so all keys of a topic are in one slot of a cluster.

use crate::topic::Topic;

/// The first bytes of a batch on a channel. `F5` never occurs in UTF-8; the last is the version.
pub(super) const MAGIC: [u8; 4] = [0xF5, b'T', b'D', 1];

pub(super) const DEPLOYMENT: &str = "td:_tidings.deployment";
pub(super) const INDEX: &str = "td:_tidings.topics";
pub(super) const TRIMMER: &str = "td:_tidings.trimmer";
pub(super) const SETTINGS: &str = "td:_tidings.settings";
pub(super) const SETTINGS_CHANNEL: &str = "td:_tidings.settings:c";
pub(super) const SCHEMAS: &str = "td:{_tidings.schemas}";
pub(super) const SCHEMAS_INDEX: &str = "td:{_tidings.schemas}:i";
pub(super) const SCHEMAS_CHANNEL: &str = "td:_tidings.schemas:c";
pub(super) const INDEX_CHANNEL: &str = "td:_tidings.topics:c";
/// Where changes are announced of what all brokers have.
pub(super) const SHARED_CHANNELS: [&str; 2] = [SETTINGS_CHANNEL, SCHEMAS_CHANNEL];

/// What Redis calls the kind of value that we keep under a key of ours.
pub(super) fn kind(key: &str) -> &'static str {
    match key {
        INDEX | SCHEMAS_INDEX => "zset",
        TRIMMER => "string",
        key if key.ends_with(":s") => "stream",
        _ => "hash",
    }
}

pub(super) fn hash(topic: &Topic) -> String {
    format!("td:{{{topic}}}:m")
}

pub(super) fn stream(topic: &Topic) -> String {
    format!("td:{{{topic}}}:s")
}

/// Where a broker writes what it puts back: records and their index.
pub(super) fn schemas_of(broker: &str) -> [String; 2] {
    [SCHEMAS, SCHEMAS_INDEX].map(|key| format!("{key}:{broker}"))
}

/// What was published on it lately.
pub(super) fn lately(topic: &Topic) -> [String; 2] {
    [0, 1].map(|which| format!("td:{{{topic}}}:d:{which}"))
}

pub(super) fn channel(topic: &Topic) -> String {
    format!("td:{{{topic}}}:c")
}

pub(super) fn probe_channel(broker: &str) -> String {
    format!("td:_tidings.probe.{broker}:c")
}
