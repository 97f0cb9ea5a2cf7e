//! Which types of events are registered: a hash of records, and an index that tells what came after
//! what.
//!
//! Each broker reads what came since it read last: with every sign of life, at once when a change is
//! announced, and over each new connection. Where Redis lost what a broker knows, the broker puts it
//! back. A task of its own does it: there may be much to read, and signs of life do not wait for it.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::sync::{Mutex, Notify, watch};
use tracing::{debug, warn};

use super::{
    Redis,
    connection::{CallError, Link},
    keys,
    scripts::RegisteredPage,
    session::{LIFE_SIGN, Session, command},
};
use crate::{
    backend::{
        BackendError, async_trait,
        registrations::{Key, Registered, Registration, Registrations, Stored},
    },
    limits::{PAGE_BYTES, PAGE_SINGLE_ENTRIES},
};

/// What a broker began to put back, and did not come to the end with, is gone after this time.
const PUTTING_BACK_MAX: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(super) struct Following {
    registered: watch::Sender<Option<Arc<Registered>>>,
    /// Of who reads: what one has read the other need not.
    read: Mutex<Read>,
    /// Asks for a look before its time.
    look: Notify,
}

/// Of what was read last.
#[derive(Debug, Default)]
struct Read {
    /// From the Redis of this deployment.
    deployment: Arc<str>,
    /// The revision of the last change that took something away.
    removed: u64,
}

impl Following {
    /// What is registered may have changed.
    pub(super) fn look_soon(&self) {
        self.look.notify_one();
    }
}

impl Session {
    /// Follows what is registered, until the end.
    pub(super) async fn keep_registered(self: Arc<Session>) {
        let mut commands = self.watch_commands();
        while !self.closing.is_cancelled() {
            if let Ok(link) = self.commands() {
                match self.read_registered(&link).await {
                    Ok(_) => (),
                    // What was known stays.
                    Err(error) if error.is_of_one_topic() => self.note(&error),
                    Err(error) => debug!(%error, "could not read what is registered"),
                }
            }
            tokio::select! {
                // In no order: whichever comes first.
                () = self.closing.cancelled() => (),
                () = tokio::time::sleep(LIFE_SIGN) => (),
                () = self.following.look.notified() => (),
                _ = commands.changed() => (),
            }
        }
    }

    /// What is registered, up to now.
    async fn read_registered(&self, link: &Link) -> Result<Arc<Registered>, CallError> {
        let mut read = self.following.read.lock().await;
        let deployment = self.deployment();
        let known = self.following.registered.borrow().clone();
        let known = known.filter(|_| read.deployment == deployment);
        let is_first = known.is_none();
        let known = known.unwrap_or_default();
        let page = link.registered(known.revision).await?;
        if page.revision == known.revision && !is_first {
            return Ok(known);
        }
        let (registered, removed) = match page.revision < known.revision {
            true => {
                let put_back = self.put_back(link, page.revision, &known).await?;
                // Or another broker did, and it is read the next time.
                let Some(revision) = put_back else { return Ok(known) };
                let records = known.records.clone();
                (Registered { revision, records }, revision)
            }
            false => catch_up(link, &known, page, read.removed, is_first).await?,
        };
        *read = Read { deployment, removed };
        let registered = Arc::new(registered);
        self.following.registered.send_replace(Some(registered.clone()));
        Ok(registered)
    }

    /// Writes all that is known beside what Redis holds, a little at a time, and then in its place. The
    /// revision that it has; none where another broker was faster.
    async fn put_back(
        &self,
        link: &Link,
        held: u64,
        known: &Registered,
    ) -> Result<Option<u64>, CallError> {
        let count = known.records.len();
        warn!(
            known = known.revision,
            held, count, "redis lost what was registered: putting it back"
        );
        // With it whose it is: a broker that comes new would else begin another deployment, and all others
        // would forget what they know.
        let set = ["HSETNX", keys::DEPLOYMENT, "id", &self.deployment()];
        let _: u8 = link.call_on(keys::DEPLOYMENT, &command(&set)).await?;
        let [records, index] = keys::schemas_of(&self.broker_id);
        let _: u64 = link.call(redis::cmd("UNLINK").arg(&records).arg(&index)).await?;
        let mut rest = known.records.iter().peekable();
        while rest.peek().is_some() {
            let (mut set, mut add) = (redis::cmd("HSET"), redis::cmd("ZADD"));
            set.arg(&records);
            add.arg(&index);
            let (mut bytes, mut count) = (0, 0);
            while bytes < PAGE_BYTES && count < PAGE_SINGLE_ENTRIES {
                let Some((key, stored)) = rest.next() else { break };
                let name = key.to_string();
                set.arg(&name).arg(&stored.record[..]);
                add.arg(stored.revision).arg(&name);
                bytes += stored.record.len();
                count += 1;
            }
            let _: u64 = link.call(&set).await?;
            let _: u64 = link.call(&add).await?;
            for key in [&records, &index] {
                let seconds = PUTTING_BACK_MAX.as_secs();
                let _: u8 = link.call(redis::cmd("EXPIRE").arg(key).arg(seconds)).await?;
            }
        }
        let put_back = link.register_again(&self.broker_id, held, known).await?;
        if put_back.is_none() {
            let _: u64 = link.call(redis::cmd("UNLINK").arg(&records).arg(&index)).await?;
        }
        Ok(put_back)
    }
}

/// Reads on from `page`, which follows what is known. With it the revision of the last change that
/// took something away.
async fn catch_up(
    link: &Link,
    known: &Registered,
    mut page: RegisteredPage,
    removed: u64,
    is_first: bool,
) -> Result<(Registered, u64), CallError> {
    let mut records = known.records.clone();
    let mut after = known.revision;
    loop {
        let is_last = page.complete || page.records.is_empty();
        for (name, stored) in page.records {
            after = after.max(stored.revision);
            // What is no name of ours was not written by us.
            if let Some(key) = Key::parse(&name) {
                records.insert(key, stored);
            }
        }
        if is_last {
            break;
        }
        page = link.registered(after).await?;
        if page.revision < known.revision {
            return Err(CallError::Unexpected("what is registered was set back".into()));
        }
    }
    if !is_first && (page.removed != removed || page.count != records.len()) {
        let names = link.registered_names().await?;
        let is_there =
            |key: &Key, stored: &Stored| names.get(&key.to_string()) == Some(&stored.revision);
        records.retain(|key, stored| is_there(key, stored));
    }
    Ok((Registered { revision: page.revision, records }, page.removed))
}

#[async_trait]
impl Registrations for Redis {
    fn registered(&self) -> watch::Receiver<Option<Arc<Registered>>> {
        self.session.following.registered.subscribe()
    }

    async fn read_registered(&self) -> Result<Arc<Registered>, BackendError> {
        let link = self.session.commands()?;
        Ok(self.session.read_registered(&link).await?)
    }

    async fn register(
        &self,
        seen: &Registered,
        change: Registration,
    ) -> Result<Option<Arc<Registered>>, BackendError> {
        let link = self.session.commands()?;
        let (names, record): (Vec<String>, Option<Bytes>) = match change {
            Registration::Put { key, record } => (vec![key.to_string()], Some(record)),
            Registration::Delete { type_name } => {
                (seen.versions(&type_name).map(|(key, _)| key.to_string()).collect(), None)
            }
        };
        match link.register(seen.revision, &names, record.as_deref()).await? {
            Some(_) => Ok(Some(self.session.read_registered(&link).await?)),
            None => Ok(None),
        }
    }
}
