//! Where the sentinels say that the primary is, and their word that it has changed.
//!
//! Whoever connects asks anew, one sentinel after the other; the one whose word led to a primary is
//! the first to be asked the next time. One connection listens to one of them at a time, and asks
//! it all the while, so that neither a lost message nor a lost sentinel hides a switch. What
//! connects again, and when, stays with `session.rs` and `listener.rs`.

use std::{cmp::Reverse, collections::VecDeque, fmt, sync::Arc, time::Duration};

use parking_lot::Mutex;
use redis::{PushInfo, PushKind};
use tokio::{
    sync::{Notify, watch},
    time::{sleep, timeout},
};
use tracing::{info, warn};

use super::{
    address::{Node, SentinelUrl},
    connection::{CallError, Link, bytes_of},
    session::{Backoff, LIFE_SIGN, Session, command},
};

/// For a sentinel to be connected to and to answer: there are others to ask.
const SENTINEL_DEADLINE: Duration = Duration::from_millis(500);
const SWITCHED: &str = "+switch-master";
/// Names of services that an error mentions.
const SERVICES_SHOWN: usize = 8;

/// The sentinels of one service.
#[derive(Debug)]
pub(super) struct Sentinels {
    url: SentinelUrl,
    ca: Option<Arc<[u8]>>,
    /// Whoever helped last stands first.
    line: Mutex<VecDeque<Arc<Sentinel>>>,
    /// Of the newest configuration that we were told of: it rises with each switch. A sentinel that
    /// has an older one missed it.
    config_epoch: watch::Sender<u64>,
}

#[derive(Debug)]
struct Sentinel {
    node: Node,
    /// What is wrong with it, as it was logged.
    trouble: Mutex<String>,
}

/// What a sentinel says of the primary.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Word {
    host: String,
    port: u16,
    config_epoch: u64,
}

/// No sentinel led to a primary.
#[derive(Debug, Clone)]
pub(super) struct NoPrimary {
    service: String,
    /// Each sentinel, and what came of asking it.
    troubles: Vec<(String, Trouble)>,
}

#[derive(Debug, Clone, thiserror::Error)]
enum Trouble {
    #[error("does not answer: {0}")]
    Silent(CallError),
    #[error("refuses: {0}")]
    Refuses(CallError),
    #[error("does not know the service{}", but(.0))]
    Unknown(Vec<String>),
    #[error("names {node}: {error}")]
    Useless { node: String, error: CallError },
    #[error("agrees")]
    Agrees,
}

/// Why the address has to be changed: waiting does not help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Hopeless {
    /// The service has another name, perhaps one of these.
    Service {
        known: Vec<String>,
    },
    SentinelCredentials {
        sentinel: String,
        cause: String,
    },
    Credentials {
        node: String,
        cause: String,
    },
}

impl Sentinels {
    pub(super) fn new(url: SentinelUrl, ca: Option<Arc<[u8]>>) -> Sentinels {
        let sentinel = |(host, port): &(String, u16)| {
            let node = Node::sentinel(&url, (host, *port), ca.clone());
            Arc::new(Sentinel { node, trouble: Mutex::default() })
        };
        let line = url.sentinels.iter().map(sentinel).collect();
        Sentinels { line: Mutex::new(line), config_epoch: watch::Sender::new(0), url, ca }
    }

    pub(super) fn service(&self) -> &str {
        &self.url.service
    }

    pub(super) fn count(&self) -> usize {
        self.url.sentinels.len()
    }

    pub(super) fn counted(&self) -> String {
        match self.count() {
            1 => "1 sentinel".into(),
            count => format!("{count} sentinels"),
        }
    }

    pub(super) fn shown(&self) -> String {
        let each = self.url.sentinels.iter().map(|(host, port)| format!("{host}:{port}"));
        let each: Vec<_> = each.collect();
        format!("{} by the sentinels {}", self.url.service, each.join(", "))
    }

    pub(super) fn primary_at(&self, host: &str, port: u16) -> Node {
        Node::primary(&self.url, (host, port), self.ca.clone())
    }

    pub(super) fn config_epoch(&self) -> u64 {
        *self.config_epoch.borrow()
    }

    /// Returns when we were told of a newer configuration.
    pub(super) async fn newer_than(&self, config_epoch: u64) {
        let mut newest = self.config_epoch.subscribe();
        let _ = newest.wait_for(|newest| *newest > config_epoch).await;
    }

    /// Asks each sentinel in turn until one of them leads to a primary. Those whose word is older
    /// than what we were told are believed only where nobody has a newer one.
    pub(super) async fn connect(
        &self,
        generation: u64,
        on_push: impl Fn(PushInfo) + Clone + Send + Sync + 'static,
    ) -> Result<Link, CallError> {
        let mut troubles: Vec<(String, Trouble)> = Vec::new();
        let mut old = Vec::new();
        let line = Vec::from_iter(self.line.lock().iter().cloned());
        for sentinel in line {
            match self.ask(&sentinel).await {
                Ok(word) if word.config_epoch < self.config_epoch() => old.push((sentinel, word)),
                Ok(word) => {
                    match self.follow(&sentinel, word, &troubles, generation, &on_push).await {
                        Ok(link) => return Ok(link),
                        Err(trouble) => troubles.push((sentinel.node.shown(), trouble)),
                    }
                }
                Err(trouble) => {
                    sentinel.note(&trouble);
                    self.put_last(&sentinel);
                    troubles.push((sentinel.node.shown(), trouble));
                }
            }
        }
        old.sort_by_key(|(_, word)| Reverse(word.config_epoch));
        for (sentinel, word) in old {
            match self.follow(&sentinel, word, &troubles, generation, &on_push).await {
                Ok(link) => return Ok(link),
                Err(trouble) => troubles.push((sentinel.node.shown(), trouble)),
            }
        }
        let service = self.url.service.clone();
        Err(CallError::NoPrimary(NoPrimary { service, troubles }))
    }

    /// Connects to the primary that a sentinel named, unless it was tried a moment ago.
    async fn follow(
        &self,
        sentinel: &Arc<Sentinel>,
        word: Word,
        troubles: &[(String, Trouble)],
        generation: u64,
        on_push: &(impl Fn(PushInfo) + Clone + Send + Sync + 'static),
    ) -> Result<Link, Trouble> {
        let node = self.primary_at(&word.host, word.port);
        let shown = node.shown();
        let linked = if troubles.iter().any(|(_, trouble)| trouble.is_of(&shown)) {
            Err(Trouble::Agrees)
        } else {
            let newest = self.config_epoch();
            let linked = tokio::select! {
                linked = Link::to_primary(&node, word.config_epoch, generation, on_push.clone()) => linked,
                // Whoever does not answer is not waited for when another one is named.
                () = self.newer_than(newest) => Err(CallError::NotSent),
            };
            linked.map_err(|error| Trouble::Useless { node: shown, error })
        };
        match linked {
            Ok(link) => {
                self.put_first(sentinel);
                self.config_epoch.send_replace(word.config_epoch);
                Ok(link)
            }
            Err(trouble) => {
                self.put_last(sentinel);
                Err(trouble)
            }
        }
    }

    /// Listens to a sentinel, and to the next one where that ends, and sees to it that the session
    /// leaves a primary that is none any more.
    pub(super) async fn watch(self: Arc<Sentinels>, session: Arc<Session>) {
        let mut backoff = Backoff::default();
        while !session.closing.is_cancelled() {
            let first = self.line.lock().front().cloned().expect("an address has a sentinel");
            let listening = self.listen_to(&first, &session, &mut backoff);
            tokio::select! {
                trouble = listening => first.note(&trouble),
                () = session.closing.cancelled() => return,
            }
            self.put_last(&first);
            session.rest(&mut backoff).await;
        }
    }

    async fn listen_to(
        &self,
        sentinel: &Arc<Sentinel>,
        session: &Session,
        backoff: &mut Backoff,
    ) -> Trouble {
        let switched = Arc::new(Notify::new());
        let on_push = {
            let (switched, service) = (switched.clone(), format!("{} ", self.url.service));
            move |push: PushInfo| {
                let message = push.kind == PushKind::Message;
                let payload = push.data.into_iter().nth(1).and_then(bytes_of);
                if message && payload.is_some_and(|text| text.starts_with(service.as_bytes())) {
                    switched.notify_one();
                }
            }
        };
        let link = match timeout(SENTINEL_DEADLINE, Link::dial(&sentinel.node, on_push)).await {
            Ok(Ok(link)) => link,
            Ok(Err(error)) => return Trouble::of(error),
            Err(_) => return Trouble::too_late(),
        };
        if let Err(error) = link.subscribe(&[SWITCHED.to_owned()]).await {
            return Trouble::of(error);
        }
        let mut said = false;
        loop {
            // Also right after the subscription: what was said before it was not heard.
            let word = match self.ask_over(&link).await {
                Ok(word) => word,
                Err(trouble) => return trouble,
            };
            if !std::mem::replace(&mut said, true) {
                info!(sentinel = %sentinel.node.shown(), service = %self.url.service, "listening for switches");
                sentinel.forgive();
            }
            self.heed(sentinel, &word, session);
            backoff.reset();
            // In no order: whichever comes first.
            tokio::select! {
                () = link.closed() => return Trouble::Silent(CallError::Lost("connection lost".into())),
                () = switched.notified() => (),
                () = sleep(LIFE_SIGN) => (),
            }
        }
    }

    fn heed(&self, sentinel: &Arc<Sentinel>, word: &Word, session: &Session) {
        let is_news = self.config_epoch.send_if_modified(|newest| {
            let is_news = *newest < word.config_epoch;
            *newest = word.config_epoch.max(*newest);
            is_news
        });
        if is_news {
            self.put_first(sentinel);
        }
        let node = self.primary_at(&word.host, word.port);
        session.leave_for(&node.shown(), word.config_epoch);
    }

    async fn ask(&self, sentinel: &Sentinel) -> Result<Word, Trouble> {
        let asking = async {
            let link = Link::dial(&sentinel.node, |_| ()).await.map_err(Trouble::of)?;
            self.ask_over(&link).await
        };
        let word = timeout(SENTINEL_DEADLINE, asking).await.unwrap_or(Err(Trouble::too_late()))?;
        sentinel.forgive();
        Ok(word)
    }

    async fn ask_over(&self, link: &Link) -> Result<Word, Trouble> {
        let service = self.url.service.as_str();
        // Which configuration, then who it is: the other way round an old primary could be taken
        // for the new one.
        let details = link.call(&command(&["SENTINEL", "MASTER", service])).await;
        let ask = command(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", service]);
        let named: Option<(String, u16)> = link.call(&ask).await.map_err(Trouble::of)?;
        let Some((host, port)) = named else {
            return Err(Trouble::Unknown(services_of(link).await));
        };
        let details: Vec<(String, String)> = details.map_err(Trouble::of)?;
        let config_epoch = details.iter().find(|(name, _)| name == "config-epoch");
        match config_epoch.and_then(|(_, epoch)| epoch.parse().ok()) {
            Some(config_epoch) => Ok(Word { host, port, config_epoch }),
            None => {
                let what = "SENTINEL MASTER tells no config-epoch";
                Err(Trouble::Silent(CallError::Unexpected(what.into())))
            }
        }
    }

    fn put_first(&self, sentinel: &Arc<Sentinel>) {
        let mut line = self.line.lock();
        line.retain(|other| !Arc::ptr_eq(other, sentinel));
        line.push_front(sentinel.clone());
    }

    fn put_last(&self, sentinel: &Arc<Sentinel>) {
        let mut line = self.line.lock();
        line.retain(|other| !Arc::ptr_eq(other, sentinel));
        line.push_back(sentinel.clone());
    }
}

impl Sentinel {
    /// Once, until something else is wrong, or nothing.
    fn note(&self, trouble: &Trouble) {
        let text = trouble.to_string();
        let mut last = self.trouble.lock();
        if *last != text {
            warn!(sentinel = %self.node.shown(), trouble = text, "a sentinel is of no help");
            *last = text;
        }
    }

    fn forgive(&self) {
        self.trouble.lock().clear();
    }
}

impl Trouble {
    fn of(error: CallError) -> Trouble {
        match error {
            error if error.is_of_credentials() || error.code().is_some() => Trouble::Refuses(error),
            error => Trouble::Silent(error),
        }
    }

    fn is_of(&self, primary: &str) -> bool {
        matches!(self, Trouble::Useless { node, .. } if node == primary)
    }

    fn too_late() -> Trouble {
        Trouble::Silent(CallError::Lost(format!("nothing within {SENTINEL_DEADLINE:?}")))
    }
}

impl NoPrimary {
    /// Whether sentinels answer, and the primary that they name is not one yet, or no more.
    pub(super) fn is_a_failover(&self) -> bool {
        self.troubles.iter().any(|(_, trouble)| matches!(trouble, Trouble::Useless { .. }))
    }

    /// Whether whoever answers says that it will never be.
    pub(super) fn hopeless(&self) -> Option<Hopeless> {
        let mut hopeless = None;
        for (sentinel, trouble) in &self.troubles {
            let this = match trouble {
                Trouble::Unknown(known) => Hopeless::Service { known: known.clone() },
                Trouble::Refuses(error) if error.is_of_credentials() => {
                    let (sentinel, cause) = (sentinel.clone(), error.to_string());
                    Hopeless::SentinelCredentials { sentinel, cause }
                }
                Trouble::Useless { node, error } if error.is_of_credentials() => {
                    Hopeless::Credentials { node: node.clone(), cause: error.to_string() }
                }
                Trouble::Agrees => continue,
                Trouble::Silent(_) | Trouble::Refuses(_) | Trouble::Useless { .. } => return None,
            };
            hopeless.get_or_insert(this);
        }
        hopeless
    }
}

impl fmt::Display for NoPrimary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no sentinel leads to a primary of {}", self.service)?;
        for (at, (sentinel, trouble)) in self.troubles.iter().enumerate() {
            let before = if at == 0 { ": " } else { "; " };
            write!(f, "{before}{sentinel} {trouble}")?;
        }
        Ok(())
    }
}

/// What else the sentinel watches over, for who misspelt a name; nothing where it does not tell.
async fn services_of(link: &Link) -> Vec<String> {
    let ask = command(&["SENTINEL", "MASTERS"]);
    let all: Vec<Vec<(String, String)>> = link.call(&ask).await.unwrap_or_default();
    let name = |fields: Vec<(String, String)>| {
        fields.into_iter().find(|(field, _)| field == "name").map(|(_, name)| name)
    };
    all.into_iter().filter_map(name).collect()
}

/// What is said of the services that there are, where any is known.
pub(super) fn but(known: &[String]) -> String {
    let shown = known[..known.len().min(SERVICES_SHOWN)].join(", ");
    match known.len() {
        0 => String::new(),
        1..=SERVICES_SHOWN => format!(", but {shown}"),
        _ => format!(", but {shown}, …"),
    }
}
