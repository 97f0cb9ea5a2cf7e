//! The one connection that listens, and what the feed is told of what it hears.
//!
//! One task owns it all. It subscribes first, then opens and reads what it may have missed, then
//! goes on live; pushes that come meanwhile wait in a bounded queue, of which the overflow means:
//! unknown, read again. For each topic the feed is told a chain without holes (see
//! [`crate::backend`]): what is above the last thing told is told, what is below is overlap with a
//! history read, a hole is read from the stream, and what cannot be read is told as lost.

mod meet;

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{Arc, Weak},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, interval, timeout},
};
use tracing::{debug, warn};

use super::{
    batch::{self, Heard},
    bridge,
    connection::{CallError, Link},
    inbox::{Inbox, Push, prove_life},
    keys,
    reach::Reach,
    session::{Backoff, Known, Session, command},
    sync::{Sync, Why},
    topics::read_index,
};
use crate::{
    backend::{
        Attachment, BackendError, News, TopicSettings,
        feed::{Teller, Unheard},
    },
    event::micros,
    limits::{BACKEND_DEADLINE, FEED_ITEMS_MAX},
    position::{Gap, GapReason, Position},
    topic::Topic,
};

/// Requests of the hub that may wait.
pub(super) const REQUESTS_MAX: usize = 1024;
/// Requests that are taken together.
const REQUESTS_TOGETHER: usize = 256;
/// Pushes that are handled, and their news told, in one go: others have their turn then.
const PUSHES_TOGETHER: usize = 256;
/// News that are told in one go, in bytes, unless one is larger.
const NEWS_BYTES_TOGETHER: usize = 1 << 20;
/// Topics that are opened or read at the same time.
const CONCURRENT: usize = 32;
/// A topic's last sequence is compared this long after its last event, then ever less often.
const CHECK_FIRST: Duration = Duration::from_secs(2);
const CHECK_LAST: Duration = Duration::from_secs(60);
/// Comparisons that are due and made in one go; what has been published meanwhile comes first.
const CHECKS_TOGETHER: usize = 512;
/// How often the index of topics is read again while somebody follows a pattern.
const INDEX_SCAN: Duration = Duration::from_secs(30);

const _: () =
    assert!(PUSHES_TOGETHER < FEED_ITEMS_MAX, "the feed has room for what is told in one go");

/// What the hub and the publisher ask for.
#[derive(Debug)]
pub(super) enum Request {
    Attach(Attach),
    Check {
        topic: Topic,
        answer: oneshot::Sender<Result<(), BackendError>>,
    },
    /// Raw clients meet the topic otherwise, where it is followed.
    Meet {
        topic: Topic,
        settings: Arc<TopicSettings>,
        answer: oneshot::Sender<Result<(), BackendError>>,
    },
    WatchTopics {
        answer: oneshot::Sender<Result<Vec<Topic>, BackendError>>,
    },
    /// A publish was answered with a position that had been given before.
    RolledBack {
        topic: Topic,
    },
}

#[derive(Debug)]
pub(super) struct Attach {
    pub(super) topic: Topic,
    pub(super) settings: Arc<TopicSettings>,
    pub(super) answer: oneshot::Sender<Result<Attachment, BackendError>>,
}

#[derive(Debug)]
pub(super) struct Listener {
    session: Arc<Session>,
    feed: Teller,
    /// What was heard and goes to the feed next, in order, and its bytes.
    heard: Vec<News>,
    heard_bytes: usize,
    requests: mpsc::Receiver<Request>,
    topics: HashMap<Topic, Followed>,
    /// By channel: which topic it belongs to, and as what.
    channels: HashMap<String, (Topic, Channel)>,
    /// When each topic's position is looked at next: one entry a topic, its `look_at`.
    checks: BTreeSet<(Instant, Topic)>,
    /// All topics that were ever told of, since somebody watches.
    index: Option<HashSet<Topic>>,
    /// What the deployment said of its births when it was last reached.
    births: String,
    /// A bridge's channel of which pushes were left out: until another channel is heard, what
    /// comes on it may be echoes of a batch that was left out as well.
    orphaned: Option<String>,
    reach: Arc<Reach>,
}

#[derive(Debug)]
struct Followed {
    settings: Arc<TopicSettings>,
    known: Arc<Mutex<Known>>,
    held: Weak<()>,
    /// What the feed has told; none while the first open is under way.
    told: Option<Position>,
    /// The last live batch on this connection: epoch and last sequence.
    seen: Option<Position>,
    /// Hashes of what the last batch's script published on the bridge's channel.
    echoes: Vec<u64>,
    check_in: Duration,
    check_at: Instant,
    /// Its entry among the checks: events put off the comparison, and not the entry.
    look_at: Instant,
    /// A check found the topic begun that was told as absent: what was published may be on its
    /// way to us. The next check believes it.
    suspected: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Channel {
    Batches,
    Bridge,
}

/// The topic cannot be followed over these connections any more.
#[derive(Debug)]
struct Lost(CallError);

impl Listener {
    pub(super) fn new(
        session: Arc<Session>,
        feed: Teller,
        requests: mpsc::Receiver<Request>,
        reach: Arc<Reach>,
    ) -> Listener {
        Listener {
            session,
            feed,
            heard: Vec::new(),
            heard_bytes: 0,
            requests,
            topics: HashMap::new(),
            channels: HashMap::new(),
            checks: BTreeSet::new(),
            index: None,
            births: String::new(),
            orphaned: None,
            reach,
        }
    }

    /// Listens until the session closes.
    pub(super) async fn run(mut self) {
        let mut backoff = Backoff::default();
        while !self.session.closing.is_cancelled() {
            match self.connect().await {
                Ok((link, mut inbox)) => {
                    let prove = self.session.rules.validate_answers;
                    let life = prove.then(|| tokio::spawn(prove_life(link.clone(), inbox.door())));
                    self.listen(&link, &mut inbox, &mut backoff).await;
                    if let Some(life) = life {
                        life.abort();
                    }
                    link.close();
                    self.session.set_listening(None);
                }
                Err(error) => self.session.note(&error),
            }
            self.pause(&mut backoff).await;
        }
    }

    async fn connect(&self) -> Result<(Arc<Link>, Inbox), CallError> {
        let (inbox, on_push) = Inbox::new(keys::probe_channel(&self.session.broker_id));
        let generation = self.session.next_generation();
        let link = Link::connect(&self.session.address, generation, on_push).await?;
        Ok((Arc::new(link), inbox))
    }

    /// Waits before the next attempt, refusing what is asked meanwhile.
    async fn pause(&mut self, backoff: &mut Backoff) {
        let session = self.session.clone();
        let mut rest = std::pin::pin!(session.rest(backoff));
        loop {
            tokio::select! {
                biased;
                () = &mut rest => return,
                Some(request) = self.requests.recv() => self.refuse(request),
            }
        }
    }

    fn refuse(&self, request: Request) {
        let error = self.session.unavailable();
        // Whoever asked may be gone: then nobody needs the answer.
        match request {
            Request::Attach(attach) => drop(attach.answer.send(Err(error))),
            Request::Check { answer, .. } | Request::Meet { answer, .. } => {
                drop(answer.send(Err(error)));
            }
            Request::WatchTopics { answer } => drop(answer.send(Err(error))),
            Request::RolledBack { .. } => (),
        }
    }

    /// To be told with what is heard next, and before anything else is.
    async fn gather(&mut self, news: News) {
        let bytes = news.bytes();
        if self.heard_bytes + bytes > NEWS_BYTES_TOGETHER {
            self.tell_heard().await;
        }
        self.heard_bytes += bytes;
        self.heard.push(news);
    }

    async fn tell_heard(&mut self) {
        if self.heard.is_empty() {
            return;
        }
        let bytes = std::mem::take(&mut self.heard_bytes);
        // The hub is gone only when everything ends.
        match self.feed.reserve(self.heard.len(), bytes).await {
            Ok(mut room) => self.heard.drain(..).for_each(|news| room.tell(news)),
            Err(Unheard) => self.heard.clear(),
        }
    }

    async fn tell(&mut self, news: News) {
        self.gather(news).await;
        self.tell_heard().await;
    }

    /// The life of one listening connection: catch up, then live. It outlives connections for
    /// commands: what it heard meanwhile waits.
    async fn listen(&mut self, link: &Arc<Link>, inbox: &mut Inbox, backoff: &mut Backoff) {
        let mut fresh = true;
        while !link.is_closed() && !self.session.closing.is_cancelled() {
            let ended = self.follow(link, inbox, &mut fresh, backoff).await;
            if let Err(Lost(error)) = ended {
                self.session.note(&error);
            }
            if !link.is_closed() {
                self.pause(backoff).await;
            }
        }
    }

    async fn follow(
        &mut self,
        link: &Arc<Link>,
        inbox: &mut Inbox,
        fresh: &mut bool,
        backoff: &mut Backoff,
    ) -> Result<(), Lost> {
        let mut commands = self.session.watch_commands();
        let connected = commands.wait_for(|link| link.as_ref().is_some_and(|l| !l.is_closed()));
        let reader = match timeout(BACKEND_DEADLINE, connected).await {
            Ok(Ok(link)) => link.clone().expect("waited for"),
            Ok(Err(_)) | Err(_) => return Err(Lost(CallError::NotSent)),
        };
        let subscribe_first = self.session.rules.subscribe_first;
        if *fresh {
            for followed in self.topics.values_mut() {
                followed.seen = None;
                followed.echoes.clear();
            }
            if subscribe_first {
                self.subscribe_all(link).await?;
            }
        }
        if link.replid() != reader.replid() {
            self.session.forget("the two connections lead to different histories");
            // Not handed to the session yet: nobody else would give it up.
            link.close();
            return Err(Lost(CallError::NotSent));
        }
        self.session.set_listening(Some(link.clone()));
        self.sync_all(link, &reader).await?;
        if *fresh && !subscribe_first {
            self.subscribe_all(link).await?;
        }
        *fresh = false;
        let _refused = self.scan_index(link, &reader, inbox).await?;
        backoff.reset();
        self.reach.reached(&self.feed).await;
        let ended = self.live(link, &reader, inbox).await;
        self.reach.lost();
        ended
    }

    async fn live(
        &mut self,
        link: &Arc<Link>,
        reader: &Arc<Link>,
        inbox: &mut Inbox,
    ) -> Result<(), Lost> {
        let mut housekeeping = interval(Duration::from_secs(1));
        let mut scan_at = Instant::now() + INDEX_SCAN;
        loop {
            // Before the next push: it may be the time, which says that all before it is told.
            if inbox.has_overflowed() {
                warn!("more came from redis than could be handled: reading all topics again");
                self.sync_all(link, reader).await?;
                let _refused = self.scan_index(link, reader, inbox).await?;
            }
            tokio::select! {
                // In no order: a flood of pushes must not keep out what is asked.
                () = self.session.closing.cancelled() => return Ok(()),
                () = link.closed() => return Err(Lost(CallError::Lost("listening connection".into()))),
                () = reader.closed() => return Err(Lost(CallError::Lost("commands' connection".into()))),
                push = inbox.next() => {
                    let Some(push) = push else { return Err(Lost(CallError::NotSent)) };
                    self.pushes(link, reader, inbox, push, PUSHES_TOGETHER).await?;
                }
                Some(request) = self.requests.recv() => {
                    self.request(link, reader, inbox, request).await?;
                }
                _ = housekeeping.tick() => {
                    self.drop_unused(link).await?;
                    self.check_due(link, reader).await?;
                    if self.index.is_some() && scan_at <= Instant::now() {
                        let _refused = self.scan_index(link, reader, inbox).await?;
                        scan_at = Instant::now() + INDEX_SCAN;
                    }
                }
            }
        }
    }

    async fn subscribe_all(&mut self, link: &Link) -> Result<(), Lost> {
        // A topic's channels go into one command: between two, an echo could come without its
        // batch.
        let mut channels = self.session.own_channels();
        for (topic, followed) in &self.topics {
            channels.extend(self.channels_of(topic, &followed.settings));
        }
        link.subscribe(&channels).await.map_err(Lost)
    }

    fn channels_of(&self, topic: &Topic, settings: &TopicSettings) -> Vec<String> {
        let bridge = self.session.bridge_channel(topic, settings);
        [Some(keys::channel(topic)), bridge].into_iter().flatten().collect()
    }

    // ---- what comes ----------------------------------------------------------------------

    /// One push, and those that wait behind it, `together` at most. Not what comes behind an
    /// overflow: all is read again first.
    async fn pushes(
        &mut self,
        link: &Arc<Link>,
        reader: &Arc<Link>,
        inbox: &mut Inbox,
        first: Push,
        together: usize,
    ) -> Result<(), Lost> {
        let mut handled = self.push(link, reader, inbox, first).await;
        for _ in 1..together {
            if handled.is_err() || inbox.is_overflowing() {
                break;
            }
            let Some(push) = inbox.waiting() else { break };
            handled = self.push(link, reader, inbox, push).await;
        }
        // Whatever became of it: what was heard counts as told.
        self.tell_heard().await;
        handled
    }

    async fn push(
        &mut self,
        link: &Arc<Link>,
        reader: &Arc<Link>,
        inbox: &Inbox,
        push: Push,
    ) -> Result<(), Lost> {
        let Ok(channel) = std::str::from_utf8(&push.channel) else { return Ok(()) };
        if push.after_loss {
            self.orphaned = Some(channel.to_owned());
        } else if self.orphaned.as_deref().is_some_and(|orphaned| orphaned != channel) {
            self.orphaned = None;
        }
        if let Some((topic, kind)) = self.channels.get(channel).cloned() {
            return match kind {
                Channel::Batches => match batch::heard(push.payload) {
                    Ok(heard) => self.batch(link, reader, &topic, heard).await,
                    Err(error) => {
                        debug!(%topic, %error, "ignored what came on the topic's channel");
                        Ok(())
                    }
                },
                Channel::Bridge if self.orphaned.is_some() => Ok(()),
                Channel::Bridge => {
                    self.raw(&topic, channel, push.payload).await;
                    Ok(())
                }
            };
        }
        if channel == keys::INDEX_CHANNEL {
            self.announced(&push.payload).await;
        } else if keys::SHARED_CHANNELS.contains(&channel) {
            self.session.hear(channel, &push.payload);
        } else if inbox.is_probe(channel)
            && let Some(time_us) = parse_time(&push.payload)
            && self.session.has_probed(time_us)
        {
            self.reach.heard();
            self.gather(News::Clock { time_us }).await;
        }
        Ok(())
    }

    async fn batch(
        &mut self,
        link: &Arc<Link>,
        reader: &Arc<Link>,
        topic: &Topic,
        heard: Heard,
    ) -> Result<(), Lost> {
        if heard.deployment != self.session.deployment().as_bytes() || !heard.is_of(topic) {
            debug!(%topic, deployment = ?heard.deployment, "ignored a batch of another deployment or topic");
            return Ok(());
        }
        let Some(followed) = self.topics.get_mut(topic) else { return Ok(()) };
        followed.echoes.clone_from(&heard.echo);
        followed.check_in = CHECK_FIRST;
        followed.check_at = Instant::now() + CHECK_FIRST;
        let Some(told) = followed.told else { return Ok(()) };
        let compare = self.session.rules.compare_epochs;
        let last = Position::new(heard.epoch, heard.last());
        if !heard.events.is_empty() {
            let seen = followed.seen.replace(last);
            let again = |seen: Position| seen.epoch == heard.epoch && heard.first <= seen.sequence;
            if self.session.rules.check_positions && seen.is_some_and(again) {
                warn!(%topic, first = heard.first, ?seen, "redis went back in time");
                followed.known.lock().distrusted = Some(heard.epoch);
                let why = Why::Live { heard: heard.epoch };
                return self.sync(link, reader, topic, why).await.map(drop);
            }
        }
        let follows = told.epoch == heard.epoch || !compare;
        if !follows || told.is_beginning() {
            let why = Why::Live { heard: heard.epoch };
            return self.sync(link, reader, topic, why).await.map(drop);
        }
        if last.sequence <= told.sequence {
            return Ok(()); // overlap with what was read
        }
        if heard.first > told.sequence + 1 {
            let why = Why::Live { heard: heard.epoch };
            return self.sync(link, reader, topic, why).await.map(drop);
        }
        let Some(batch) = heard.into_batch().after(told.sequence) else { return Ok(()) };
        let told = batch.last();
        followed.told = Some(told);
        {
            let mut known = followed.known.lock();
            known.tell(Some(told));
            known.learn(told);
        }
        self.gather(News::Stored { topic: topic.clone(), batch }).await;
        Ok(())
    }

    async fn raw(&mut self, topic: &Topic, channel: &str, payload: Bytes) {
        let Some(followed) = self.topics.get_mut(topic) else { return };
        let hash = bridge::echo_hash(&payload);
        if let Some(echo) = followed.echoes.iter().position(|echo| *echo == hash) {
            followed.echoes.swap_remove(echo);
            return;
        }
        let default_type = followed.settings.default_type.as_deref();
        let now = SystemTime::now();
        let news = match bridge::event(payload, channel, default_type, now) {
            Ok(event) => News::Raw {
                topic: topic.clone(),
                event: event.encoded().clone(),
                time_us: micros(now),
            },
            Err(error) => {
                let Some(told) = followed.told else { return };
                warn!(%topic, %error, "what a raw client published is no event");
                let gap = Gap {
                    after: told,
                    until: told,
                    missed: Some(1),
                    reason: GapReason::Undecodable,
                };
                News::Lost { topic: topic.clone(), gap }
            }
        };
        self.gather(news).await;
    }

    /// A life of a topic began somewhere.
    async fn announced(&mut self, payload: &[u8]) {
        let words = std::str::from_utf8(payload).unwrap_or_default();
        let [deployment, topic, epoch, _why] = words.split(' ').collect::<Vec<_>>()[..] else {
            return;
        };
        let Some(index) = &mut self.index else { return };
        if deployment != &*self.session.deployment() {
            return;
        }
        if let (Ok(topic), Ok(epoch)) = (topic.parse::<Topic>(), epoch.parse()) {
            if topic.is_reserved() {
                return;
            }
            index.insert(topic.clone());
            self.gather(News::Appeared { topic, epoch }).await;
        }
    }

    // ---- what is asked -------------------------------------------------------------------

    /// Takes what waits together: one command subscribes many topics, one scan lists them for all
    /// who ask.
    async fn request(
        &mut self,
        link: &Arc<Link>,
        reader: &Arc<Link>,
        inbox: &mut Inbox,
        first: Request,
    ) -> Result<(), Lost> {
        let (mut attaching, mut meeting) = (Vec::new(), Vec::new());
        let (mut watching, mut comparing) = (Vec::new(), Vec::new());
        let waiting = std::iter::from_fn(|| self.requests.try_recv().ok());
        for request in std::iter::once(first).chain(waiting).take(REQUESTS_TOGETHER) {
            match request {
                Request::Attach(attach) => attaching.push(attach),
                Request::WatchTopics { answer } => watching.push(answer),
                Request::Check { topic, answer } => comparing.push((topic, Some(answer))),
                Request::Meet { topic, settings, answer } => {
                    meeting.push((topic, settings, answer))
                }
                Request::RolledBack { topic } => comparing.push((topic, None)),
            }
        }
        if !attaching.is_empty() {
            self.attach(link, reader, attaching).await?;
        }
        for (topic, settings, answer) in meeting {
            let met = self.meet(link, &topic, settings).await?;
            let _ = answer.send(met.map_err(BackendError::from));
        }
        if !watching.is_empty() {
            self.index.get_or_insert_default();
            let scanned = self.scan_index(link, reader, inbox).await?;
            let listed = scanned.map(|()| self.index.iter().flatten().cloned().collect());
            let listed: Result<Vec<Topic>, BackendError> = listed.map_err(BackendError::from);
            for answer in watching {
                let _ = answer.send(listed.clone());
            }
        }
        for (topic, answer) in comparing {
            let compared = self.compare(link, reader, inbox, &topic, answer.is_some()).await?;
            if let Some(answer) = answer {
                let _ = answer.send(compared);
            }
        }
        Ok(())
    }

    async fn compare(
        &mut self,
        link: &Arc<Link>,
        reader: &Arc<Link>,
        inbox: &mut Inbox,
        topic: &Topic,
        hear_out: bool,
    ) -> Result<Result<(), BackendError>, Lost> {
        if !self.topics.contains_key(topic) {
            return Ok(Ok(()));
        }
        if hear_out {
            self.hear_out(link, reader, inbox).await?;
        }
        let mut refused = self.sync(link, reader, topic, Why::Check).await?;
        if hear_out && self.topics.get(topic).is_some_and(|followed| followed.suspected) {
            // What that life began with may just be on its way: then it is heard now, and else
            // it was missed. Whoever asked wants to know.
            self.hear_out(link, reader, inbox).await?;
            refused = self.sync(link, reader, topic, Why::Check).await?;
        }
        Ok(refused.into_iter().next().map_or(Ok(()), |(_, error)| Err(error.into())))
    }

    async fn attach(
        &mut self,
        link: &Arc<Link>,
        reader: &Arc<Link>,
        asked: Vec<Attach>,
    ) -> Result<(), Lost> {
        let mut new = Vec::new();
        let mut answers = Vec::new();
        for Attach { topic, settings, answer } in asked {
            let name = topic.clone();
            let held = match self.topics.get_mut(&topic) {
                Some(followed) => {
                    let held = followed.held.upgrade().unwrap_or_default();
                    followed.held = Arc::downgrade(&held);
                    match followed.told {
                        Some(at) => self.tell(News::Attached { topic, at }).await,
                        None => new.push(topic),
                    }
                    held
                }
                None => {
                    let held = Arc::new(());
                    self.insert(topic.clone(), settings, Arc::downgrade(&held));
                    new.push(topic);
                    held
                }
            };
            answers.push((name, held, answer));
        }
        let mut refused = HashMap::new();
        if self.session.rules.subscribe_first {
            refused.extend(self.subscribe(link, &new).await?);
            new.retain(|topic| !refused.contains_key(topic));
        }
        refused.extend(self.sync_these(link, reader, &new, Why::Attach).await?);
        if !self.session.rules.subscribe_first {
            refused.extend(self.subscribe(link, &new).await?);
        }
        // At once: whoever asks again must not find them followed.
        let channels: Vec<String> = refused.keys().flat_map(|topic| self.remove(topic)).collect();
        if !channels.is_empty() {
            link.unsubscribe(&channels).await.map_err(Lost)?;
        }
        for (topic, held, answer) in answers {
            let _ = answer.send(match refused.get(&topic) {
                Some(error) => Err(error.clone().into()),
                None => Ok(Attachment::new(held)),
            });
        }
        Ok(())
    }

    /// Handles what was published before this was asked: it is in the inbox when the answer comes.
    async fn hear_out(
        &mut self,
        link: &Arc<Link>,
        reader: &Arc<Link>,
        inbox: &mut Inbox,
    ) -> Result<(), Lost> {
        link.echo(0).await.map_err(Lost)?;
        let mut left = inbox.len();
        // What comes behind an overflow waits until all has been read again.
        while left > 0 && !inbox.is_overflowing() {
            let Some(push) = inbox.waiting() else { break };
            let together = left.min(PUSHES_TOGETHER);
            self.pushes(link, reader, inbox, push, together).await?;
            left -= together;
        }
        Ok(())
    }

    fn insert(&mut self, topic: Topic, settings: Arc<TopicSettings>, held: Weak<()>) {
        self.channels.insert(keys::channel(&topic), (topic.clone(), Channel::Batches));
        if let Some(channel) = self.session.bridge_channel(&topic, &settings) {
            let bridge = (topic.clone(), Channel::Bridge);
            let owner = self.channels.entry(channel.clone()).or_insert(bridge);
            if owner.0 != topic {
                warn!(%topic, channel, owner = %owner.0, "the bridge's channel is another topic's");
            }
        }
        let check_at = Instant::now() + CHECK_FIRST;
        self.checks.insert((check_at, topic.clone()));
        let followed = Followed {
            settings,
            known: self.session.known(&topic),
            held,
            told: None,
            seen: None,
            echoes: Vec::new(),
            check_in: CHECK_FIRST,
            check_at,
            look_at: check_at,
            suspected: false,
        };
        self.topics.insert(topic, followed);
    }

    /// Returns the topics of which Redis forbids a channel, and what it said.
    async fn subscribe(
        &self,
        link: &Link,
        topics: &[Topic],
    ) -> Result<Vec<(Topic, CallError)>, Lost> {
        let channels: Vec<String> = topics
            .iter()
            .filter_map(|topic| Some(self.channels_of(topic, &self.topics.get(topic)?.settings)))
            .flatten()
            .collect();
        if channels.is_empty() {
            return Ok(Vec::new());
        }
        match link.subscribe(&channels).await {
            Ok(()) => Ok(Vec::new()),
            Err(CallError::Refused(_)) if topics.len() > 1 => {
                // None of them is subscribed: which one was it?
                let mut refused = Vec::new();
                for topic in topics {
                    let one = std::slice::from_ref(topic);
                    refused.extend(Box::pin(self.subscribe(link, one)).await?);
                }
                Ok(refused)
            }
            Err(error @ CallError::Refused(_)) => Ok(vec![(topics[0].clone(), error)]),
            Err(error) => Err(Lost(error)),
        }
    }

    async fn drop_unused(&mut self, link: &Link) -> Result<(), Lost> {
        let unused = self.topics.iter().filter(|(_, followed)| followed.held.strong_count() == 0);
        let unused: Vec<Topic> = unused.map(|(topic, _)| topic.clone()).collect();
        let mut channels = Vec::new();
        for topic in unused {
            channels.extend(self.remove(&topic));
        }
        match channels.is_empty() {
            true => Ok(()),
            false => link.unsubscribe(&channels).await.map_err(Lost),
        }
    }

    /// Follows it no more; returns the channels that only it needed.
    fn remove(&mut self, topic: &Topic) -> Vec<String> {
        let Some(followed) = self.topics.remove(topic) else { return Vec::new() };
        self.checks.remove(&(followed.look_at, topic.clone()));
        followed.known.lock().tell(None);
        let mut channels = self.channels_of(topic, &followed.settings);
        channels
            .retain(|channel| self.channels.get(channel).is_some_and(|(owner, _)| owner == topic));
        for channel in &channels {
            self.channels.remove(channel);
        }
        channels
    }

    // ---- opening and reading -------------------------------------------------------------

    async fn sync_all(&mut self, link: &Arc<Link>, reader: &Arc<Link>) -> Result<(), Lost> {
        let births = self.births(reader).await?;
        let births_changed = births != self.births;
        let topics: Vec<Topic> = self.topics.keys().cloned().collect();
        self.sync_these(link, reader, &topics, Why::Reconnect { births_changed }).await?;
        self.births = births;
        Ok(())
    }

    /// What names the deployment and counts the lives of topics begun in it. Where it has not
    /// changed, no topic has come, and gone again, while we were away.
    async fn births(&self, reader: &Link) -> Result<String, Lost> {
        let ask = command(&["HMGET", keys::DEPLOYMENT, "id", "births"]);
        let said: Vec<Option<Vec<u8>>> =
            reader.call_on(keys::DEPLOYMENT, &ask).await.map_err(Lost)?;
        let text =
            |said: Option<Vec<u8>>| String::from_utf8_lossy(&said.unwrap_or_default()).into();
        Ok(said.into_iter().map(text).collect::<Vec<String>>().join(" "))
    }

    async fn sync(
        &mut self,
        link: &Arc<Link>,
        reader: &Arc<Link>,
        topic: &Topic,
        why: Why,
    ) -> Result<Vec<(Topic, CallError)>, Lost> {
        self.sync_these(link, reader, std::slice::from_ref(topic), why).await
    }

    /// Returns the topics that cannot be read, and why: the others do not suffer from it. What was
    /// told of them stays, and they are tried again.
    async fn sync_these(
        &mut self,
        link: &Arc<Link>,
        reader: &Arc<Link>,
        topics: &[Topic],
        why: Why,
    ) -> Result<Vec<(Topic, CallError)>, Lost> {
        self.tell_heard().await;
        let jobs: Vec<Sync> = topics
            .iter()
            .filter_map(|topic| {
                let followed = self.topics.get(topic)?;
                Some(Sync {
                    session: self.session.clone(),
                    feed: self.feed.clone(),
                    link: link.clone(),
                    reader: reader.clone(),
                    topic: topic.clone(),
                    settings: followed.settings.clone(),
                    told: followed.told,
                    suspected: followed.suspected,
                    why,
                })
            })
            .collect();
        let mut syncs = stream::iter(jobs.into_iter().map(Sync::run)).buffer_unordered(CONCURRENT);
        let mut ended = Ok(());
        let mut refused = Vec::new();
        while let Some((sync, result)) = syncs.next().await {
            if let Some(followed) = self.topics.get_mut(&sync.topic) {
                followed.told = sync.told;
                followed.suspected = sync.suspected;
            }
            match result {
                Ok(()) => (),
                Err(error) if error.is_of_one_topic() => {
                    warn!(topic = %sync.topic, %error, "the topic cannot be followed");
                    refused.push((sync.topic, error));
                }
                Err(error) => ended = Err(Lost(error)),
            }
        }
        ended.map(|()| refused)
    }

    /// Compares the positions of topics that have been quiet for a while.
    async fn check_due(&mut self, link: &Arc<Link>, reader: &Arc<Link>) -> Result<(), Lost> {
        let now = Instant::now();
        let mut due = Vec::new();
        while self.checks.first().is_some_and(|(at, _)| *at <= now) && due.len() < CHECKS_TOGETHER {
            let Some((_, topic)) = self.checks.pop_first() else { break };
            let Some(followed) = self.topics.get_mut(&topic) else { continue };
            if followed.check_at <= now {
                followed.check_in = (followed.check_in * 2).min(CHECK_LAST);
                followed.check_at = now + followed.check_in;
                due.push(topic.clone());
            }
            followed.look_at = followed.check_at;
            self.checks.insert((followed.look_at, topic));
        }
        if self.session.rules.check_positions {
            self.sync_these(link, reader, &due, Why::Check).await?;
        }
        Ok(())
    }

    /// Tells of topics that the index has and nobody was told of. Those that it has no more are
    /// forgotten here as well. Where the index cannot be read, says why: who follows topics by
    /// their names does not suffer from it.
    async fn scan_index(
        &mut self,
        link: &Arc<Link>,
        reader: &Arc<Link>,
        inbox: &mut Inbox,
    ) -> Result<Result<(), CallError>, Lost> {
        if self.index.is_none() {
            return Ok(Ok(()));
        }
        let found = match read_index(reader).await {
            Ok(found) => found,
            Err(error) if error.is_of_one_topic() => {
                warn!(%error, "the index of topics cannot be read");
                return Ok(Err(error));
            }
            Err(error) => return Err(Lost(error)),
        };
        // Births that were announced by then are told as what they were, with their epoch.
        self.hear_out(link, reader, inbox).await?;
        let before = self.index.take().unwrap_or_default();
        let new: Vec<Topic> = found.difference(&before).cloned().collect();
        self.index = Some(found);
        for topic in new {
            self.tell(News::Appeared { topic, epoch: 0 }).await;
        }
        Ok(Ok(()))
    }
}

fn parse_time(payload: &[u8]) -> Option<u64> {
    std::str::from_utf8(payload).ok()?.parse().ok()
}
