//! What operators said of topics, as one hash in Redis, and what they do with a topic.
//!
//! Each broker reads the hash before it does anything over a new connection for commands, asks for
//! its version with every sign of life, and at once when a change is announced. Where Redis lost
//! what a broker knows, the broker puts it back, as it does with the deployment's id.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use bytes::Bytes;
use tokio::sync::watch;
use tracing::warn;

use super::{
    Redis,
    connection::{CallError, Link},
    keys,
    listener::Request,
    session::{Session, command},
};
use crate::{
    backend::{
        BackendError, Mode, TopicSettings, async_trait,
        topics::{Configured, Said, TopicState, Topics},
    },
    topic::Topic,
};

/// The field of the version: no topic has this name.
const VERSION: &str = ":version";
/// How often a topic is opened anew to change how it is kept before that is given up.
const OPENINGS_MAX: usize = 5;

impl Session {
    /// What operators said, up to now: read anew where its version is another one.
    pub(super) async fn read_configured(&self, link: &Link) -> Result<Arc<Configured>, CallError> {
        let ask = command(&["HGET", keys::SETTINGS, VERSION]);
        let version: Option<Vec<u8>> = link.call_on(keys::SETTINGS, &ask).await?;
        let known = self.configured.borrow().clone();
        if let Some(known) = known.filter(|known| known.version == parsed(version.as_deref())) {
            return Ok(known);
        }
        let ask = command(&["HGETALL", keys::SETTINGS]);
        let all: HashMap<Vec<u8>, Vec<u8>> = link.call_on(keys::SETTINGS, &ask).await?;
        let read = Arc::new(configured(&all));
        let known = self.configured.borrow().clone();
        let Some(known) = known.filter(|known| known.version > read.version) else {
            return Ok(self.heard(read));
        };
        warn!(
            known = known.version,
            read = read.version,
            "redis lost what was said of topics over the API: saying it again"
        );
        match link.say_again(read.version, &known).await? {
            Some(version) => {
                let topics = known.topics.clone();
                Ok(self.heard(Arc::new(Configured { version, topics })))
            }
            // Another broker did.
            None => Ok(known),
        }
    }

    /// What was said of topics belongs to a deployment.
    pub(super) fn forget_configured(&self) {
        self.configured.send_replace(None);
    }

    /// A change was announced on the settings' channel, by whomever.
    pub(super) fn hear_of_settings(&self, payload: &[u8]) {
        let known = self.configured.borrow().as_ref().map_or(0, |known| known.version);
        if parsed(Some(payload)) > known {
            self.look_soon();
        }
    }

    fn heard(&self, read: Arc<Configured>) -> Arc<Configured> {
        self.configured.send_if_modified(|known| {
            // Of two that read at once the later one may come first.
            let news = known.as_ref().is_none_or(|known| known.version < read.version);
            if news {
                *known = Some(read.clone());
            }
            news
        });
        read
    }

    /// Whether nothing else was said of the topic since its settings were looked up.
    pub(super) async fn are_present(
        &self,
        link: &Link,
        topic: &Topic,
        settings: &TopicSettings,
    ) -> Result<bool, CallError> {
        Ok(self.read_configured(link).await?.version_of(topic) == settings.version)
    }

    /// Begins the topic where it does not exist, and makes it be kept so.
    async fn keep(
        &self,
        link: &Link,
        topic: &Topic,
        settings: &TopicSettings,
    ) -> Result<(), BackendError> {
        let known = self.known(topic);
        let idle = (settings.keeping.mode == Mode::Live).then_some(settings.idle);
        for _ in 0..OPENINGS_MAX {
            let mut opened = self.open(link, topic, settings, &known, false).await?;
            if opened.last.is_none() || idle.is_none() {
                link.enlist(topic, idle).await?;
            }
            if opened.last.is_none() {
                opened = self.open(link, topic, settings, &known, true).await?;
            }
            if opened.keeping.mode == Mode::Durable && settings.keeping.mode == Mode::Live {
                let cause = format!("{topic} is durable: it does not become a live topic");
                return Err(BackendError::Refused { cause });
            }
            // Also where nothing changes: a broker that opened it before, and asked before what was
            // said, is refused what it wants then.
            if link.configure(topic, opened.version, settings.keeping).await? {
                let mut known = known.lock();
                known.opened = None;
                known.configured = Some((settings.version, settings.keeping));
                return Ok(());
            }
        }
        Err(BackendError::Unavailable { cause: format!("{topic} changes faster than it opens") })
    }
}

#[async_trait]
impl Topics for Redis {
    fn configured(&self) -> watch::Receiver<Option<Arc<Configured>>> {
        self.session.configured.subscribe()
    }

    async fn read_configured(&self) -> Result<Arc<Configured>, BackendError> {
        let link = self.session.commands()?;
        Ok(self.session.read_configured(&link).await?)
    }

    async fn configure(
        &self,
        seen: u64,
        topic: &Topic,
        value: Option<Bytes>,
    ) -> Result<Option<Arc<Configured>>, BackendError> {
        let link = self.session.commands()?;
        let said = link.say(keys::SETTINGS, seen, topic, value.as_deref()).await?;
        match said {
            Some(_) => Ok(Some(self.session.read_configured(&link).await?)),
            None => Ok(None),
        }
    }

    async fn keep(&self, topic: &Topic, settings: &Arc<TopicSettings>) -> Result<(), BackendError> {
        let link = self.session.commands()?;
        self.session.keep(&link, topic, settings).await
    }

    async fn meet(&self, topic: &Topic, settings: &Arc<TopicSettings>) -> Result<(), BackendError> {
        let (topic, settings) = (topic.clone(), settings.clone());
        self.ask(|answer| Request::Meet { topic, settings, answer }).await
    }

    async fn state(&self, topic: &Topic) -> Result<Option<TopicState>, BackendError> {
        Ok(self.session.commands()?.state(topic).await?)
    }

    async fn existing(&self) -> Result<Vec<Topic>, BackendError> {
        let link = self.session.commands()?;
        Ok(read_index(&link).await?.into_iter().collect())
    }

    async fn delete(&self, topic: &Topic) -> Result<bool, BackendError> {
        let link = self.session.commands()?;
        // Out of the index first: whoever begins the topic again writes it there before.
        let drop = command(&["ZREM", keys::INDEX, topic.as_str()]);
        let _: u64 = link.call_on(keys::INDEX, &drop).await?;
        let gone = link.delete(topic).await?;
        self.session.known(topic).lock().opened = None;
        Ok(gone)
    }
}

/// The topics that the index names. What is no topic's name was not written by us.
pub(super) async fn read_index(reader: &Link) -> Result<HashSet<Topic>, CallError> {
    reader.forget_topics().await?;
    // By cursor and not by rank: ranks move whenever a topic is kept from being forgotten.
    let mut found = HashSet::new();
    let mut cursor = "0".to_owned();
    loop {
        let page = command(&["ZSCAN", keys::INDEX, &cursor, "COUNT", "1000"]);
        type Scored = (Vec<u8>, Vec<u8>);
        let (next, names): (String, Vec<Scored>) = reader.call_on(keys::INDEX, &page).await?;
        let topic = |name: &[u8]| std::str::from_utf8(name).ok()?.parse::<Topic>().ok();
        let topics = names.iter().filter_map(|(name, _)| topic(name));
        found.extend(topics.filter(|topic| !topic.is_reserved()));
        if next == "0" {
            return Ok(found);
        }
        cursor = next;
    }
}

/// As it stands in the hash. What names no topic was not written by us.
fn configured(all: &HashMap<Vec<u8>, Vec<u8>>) -> Configured {
    let version = parsed(all.get(VERSION.as_bytes()).map(Vec::as_slice));
    let said = |(name, stored): (&Vec<u8>, &Vec<u8>)| {
        let topic = std::str::from_utf8(name).ok()?.parse::<Topic>().ok()?;
        let (version, value) = match stored.iter().position(|byte| *byte == b' ') {
            Some(space) => (parsed(Some(&stored[..space])), &stored[space + 1..]),
            None => (0, &stored[..]),
        };
        Some((topic, Said { version, value: Bytes::copy_from_slice(value) }))
    };
    let topics: BTreeMap<Topic, Said> = all.iter().filter_map(said).collect();
    Configured { version, topics }
}

fn parsed(text: Option<&[u8]>) -> u64 {
    text.and_then(|text| std::str::from_utf8(text).ok()?.parse().ok()).unwrap_or(0)
}
