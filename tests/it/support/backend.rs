//! A backend on a real Redis, without a broker around it: what it is told, and what its feed tells.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use tidings::{
    backend::{
        Appended, Attachment, Backend, Bridge, BridgeMode, Feed, News, TopicSettings,
        redis::{Redis, RedisConfig, Rules},
    },
    event::{Defaults, Event, admit},
    position::{Gap, Position},
    proto::{self, event::Payload},
    topic::Topic,
};

use super::redis::RedisServer;

pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

/// One broker's backend, and what its feed told.
pub(crate) struct Broker {
    pub(crate) redis: Redis,
    pub(crate) feed: Feed,
    pub(crate) held: Vec<Attachment>,
}

impl Broker {
    pub(crate) async fn open(server: &RedisServer, id: &str) -> Broker {
        Broker::open_at(&server.url(), id).await
    }

    pub(crate) async fn open_at(url: &str, id: &str) -> Broker {
        let (redis, feed) = Redis::open(&config(url, id)).await.expect("a usable redis");
        Broker { redis, feed, held: Vec::new() }
    }

    pub(crate) async fn attach(&mut self, topic: &Topic, settings: &Arc<TopicSettings>) {
        let end = tokio::time::Instant::now() + PATIENCE;
        let held = loop {
            match self.redis.attach(topic, settings).await {
                Ok(held) => break held,
                Err(error) => assert!(tokio::time::Instant::now() < end, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        self.held.push(held);
        self.told_until(|told| matches!(told, Told::Attached(_))).await;
    }

    /// Tries again while Redis comes back; an unknown outcome is the caller's to expect.
    pub(crate) async fn append(&self, topic: &Topic, id: &str) -> Appended {
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            match self.redis.append(topic, &live(), vec![event(id)].into()).await {
                Ok(appended) => return appended,
                Err(error) => assert!(tokio::time::Instant::now() < end, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What the feed tells of topics, up to and with what is wanted.
    pub(crate) async fn told_until(&mut self, wanted: impl Fn(&Told) -> bool) -> Vec<Told> {
        let mut all = Vec::new();
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            let news = tokio::time::timeout_at(end, self.feed.recv()).await;
            let news = news.unwrap_or_else(|_| panic!("not told; but {all:?}"));
            let Some(told) = told(news.expect("the feed lives")) else { continue };
            let found = wanted(&told);
            all.push(told);
            if found {
                return all;
            }
        }
    }

    pub(crate) async fn told_until_event(&mut self, id: &str) -> Vec<Told> {
        self.told_until(|told| matches!(told, Told::Events(_, ids) if ids.contains(&id.to_owned())))
            .await
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Told {
    Attached(Position),
    Events(Position, Vec<String>),
    Lost(Gap),
    Raw(String),
}

pub(crate) fn told(news: News) -> Option<Told> {
    match news {
        News::Attached { at, .. } => Some(Told::Attached(at)),
        News::Stored { batch, .. } => {
            let last = batch.last();
            Some(Told::Events(last, batch.events.iter().map(|event| id_of(event)).collect()))
        }
        News::Lost { gap, .. } => Some(Told::Lost(gap)),
        News::Raw { event, .. } => Some(Told::Raw(text_of(&event))),
        News::Appeared { .. } | News::Clock { .. } | News::Down { .. } | News::Up => None,
    }
}

pub(crate) fn gaps(told: &[Told]) -> Vec<Gap> {
    let gap = |told: &Told| if let Told::Lost(gap) = told { Some(*gap) } else { None };
    told.iter().filter_map(gap).collect()
}

pub(crate) fn ids(told: &[Told]) -> Vec<String> {
    let ids = |told: &Told| match told {
        Told::Events(_, ids) => ids.clone(),
        Told::Attached(_) | Told::Lost(_) | Told::Raw(_) => Vec::new(),
    };
    told.iter().flat_map(ids).collect()
}

pub(crate) fn config(url: &str, id: &str) -> RedisConfig {
    RedisConfig {
        url: url.to_owned(),
        ca: None,
        broker_id: id.to_owned(),
        channel_prefix: String::new(),
        allow_volatile: true,
        rules: Rules::default(),
    }
}

pub(crate) fn live() -> Arc<TopicSettings> {
    Arc::new(TopicSettings::default())
}

pub(crate) fn bridged(mode: BridgeMode) -> Arc<TopicSettings> {
    Arc::new(TopicSettings { bridge: Bridge { mode, channel: None }, ..Default::default() })
}

pub(crate) fn orders() -> Topic {
    "orders".parse().unwrap()
}

/// An event with so many bytes of data.
pub(crate) fn sized(bytes: usize) -> Event {
    let defaults = Defaults { source: "/test", event_type: None, now: SystemTime::now() };
    let payload = Some(Payload::Data(vec![7; bytes].into()));
    admit(proto::Event { payload, ..Default::default() }, &defaults).unwrap()
}

pub(crate) fn event(id: &str) -> Event {
    let defaults = Defaults { source: "/test", event_type: None, now: SystemTime::now() };
    let payload = Some(Payload::Text(format!("data of {id}")));
    admit(proto::Event { id: id.into(), payload, ..Default::default() }, &defaults).unwrap()
}

pub(crate) fn decode(event: &[u8]) -> proto::Event {
    prost::Message::decode(event).unwrap()
}

pub(crate) fn id_of(event: &[u8]) -> String {
    decode(event).id
}

pub(crate) fn text_of(event: &[u8]) -> String {
    match decode(event).payload {
        Some(Payload::Text(text)) => text,
        other => panic!("no text: {other:?}"),
    }
}

pub(crate) const HASH: &str = "td:{orders}:m";
pub(crate) const STREAM: &str = "td:{orders}:s";
