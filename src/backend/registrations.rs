//! What is registered of types of events, as the backend keeps it: bytes that only the registry
//! reads.

use std::{collections::BTreeMap, fmt, sync::Arc};

use bytes::Bytes;
use tokio::sync::watch;

use super::{BackendError, async_trait};

/// Records by type and version, under one revision that rises with each change, changed by
/// compare-and-set and told as a level: all brokers of a backend agree within a second.
#[async_trait]
pub trait Registrations: fmt::Debug + Send + Sync {
    /// What is registered, as far as this broker has heard; none until it was read. While the
    /// backend is away it is the last that was known.
    fn registered(&self) -> watch::Receiver<Option<Arc<Registered>>>;

    /// What is registered up to now. [`Registrations::registered`] tells it as well then.
    async fn read_registered(&self) -> Result<Arc<Registered>, BackendError>;

    /// Changes it where it is still of the revision `seen`. None where it is not: nothing was
    /// changed. After an error it may have been: to ask for the same again does no harm.
    async fn register(
        &self,
        seen: &Registered,
        change: Registration,
    ) -> Result<Option<Arc<Registered>>, BackendError>;
}

/// All that is registered, as it was at one time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Registered {
    /// Rises with each change; 0: nothing was ever registered.
    pub revision: u64,
    pub records: BTreeMap<Key, Stored>,
}

/// A version of a type.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    pub type_name: Arc<str>,
    pub version: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Of the change with which it came: another one, another record.
    pub revision: u64,
    pub record: Bytes,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Registration {
    Put {
        key: Key,
        record: Bytes,
    },
    /// All versions of a type.
    Delete {
        type_name: Arc<str>,
    },
}

impl Registered {
    /// The versions of this type, rising.
    pub fn versions(&self, type_name: &str) -> impl Iterator<Item = (&Key, &Stored)> {
        let first = Key { type_name: type_name.into(), version: 0 };
        let from = self.records.range(first..);
        from.take_while(move |(key, _)| &*key.type_name == type_name)
    }

    /// The same after a change.
    pub(super) fn after(&self, revision: u64, change: Registration) -> Registered {
        let mut records = self.records.clone();
        match change {
            Registration::Put { key, record } => {
                records.insert(key, Stored { revision, record });
            }
            Registration::Delete { type_name } => {
                records.retain(|key, _| key.type_name != type_name);
            }
        }
        Registered { revision, records }
    }
}

/// As it is named where it is stored: `shop.v1.OrderPlaced/3`.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.type_name, self.version)
    }
}

impl Key {
    /// None for what is no name of ours.
    pub(super) fn parse(name: &str) -> Option<Key> {
        let (type_name, digits) = name.rsplit_once('/')?;
        let version: u32 = digits.parse().ok().filter(|version| *version > 0)?;
        let is_ours = !type_name.is_empty() && version.to_string() == digits;
        is_ours.then(|| Key { type_name: type_name.into(), version })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(type_name: &str, version: u32) -> Key {
        Key { type_name: type_name.into(), version }
    }

    #[test]
    fn a_key_is_read_as_it_was_written_and_nothing_else_is() {
        for key in [key("a.A", 1), key("A", u32::MAX)] {
            assert_eq!(Key::parse(&key.to_string()), Some(key));
        }
        for other in ["", "/1", "a.A", "a.A/", "a.A/0", "a.A/01", "a.A/+1", "a.A/4294967296"] {
            assert_eq!(Key::parse(other), None, "{other}");
        }
    }

    #[test]
    fn the_versions_of_a_type_are_those_of_no_other() {
        let keys = [key("a.A", 1), key("a.A", 2), key("a.A", 10), key("a.AB", 1), key("a.B", 1)];
        let stored = Stored { revision: 1, record: Bytes::new() };
        let records = keys.into_iter().map(|key| (key, stored.clone())).collect();
        let registered = Registered { revision: 1, records };
        let versions = registered.versions("a.A").map(|(key, _)| key.version);
        assert_eq!(versions.collect::<Vec<_>>(), [1, 2, 10]);
        let deleted = registered.after(2, Registration::Delete { type_name: "a.A".into() });
        assert_eq!((deleted.records.len(), deleted.versions("a.A").count()), (2, 0));
    }
}
