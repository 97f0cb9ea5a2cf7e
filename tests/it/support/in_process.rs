//! A broker inside the test, and its streams read as lines of text.

use std::{sync::Arc, time::Duration};

use tidings::{
    backend::{Backend, Feed, memory::Memory, redis::Redis},
    broker::{Broker, BrokerOptions, Publish, PublishError, Published},
    catalog::Catalog,
    proto::{self, subscribe_response::Control},
    subscription::{Subscribe, SubscribeError, Subscription},
    topic::Topic,
};

use super::{backend::config, settings::keeping_events};

pub fn topic(name: &str) -> Topic {
    name.parse().expect("a topic")
}

/// Keeps so many events of each topic.
pub fn keeping(max_events: u64) -> Catalog {
    Catalog::new(Vec::new(), "", keeping_events(max_events)).expect("no rules")
}

pub fn options() -> BrokerOptions {
    BrokerOptions { broker_id: "b1".into(), max_stream_age: None, ..BrokerOptions::default() }
}

pub fn in_memory() -> Broker {
    in_memory_with(Catalog::default(), options())
}

pub fn in_memory_with(catalog: Catalog, options: BrokerOptions) -> Broker {
    let (memory, feed) = Memory::open();
    broker_on(Arc::new(memory), feed, catalog, options)
}

pub async fn on_redis(url: &str, broker_id: &str, catalog: Catalog) -> Broker {
    let (redis, feed) = Redis::open(&config(url, broker_id)).await.expect("a usable redis");
    let options = BrokerOptions { broker_id: broker_id.into(), ..options() };
    broker_on(Arc::new(redis), feed, catalog, options)
}

pub fn broker_on(
    backend: Arc<dyn Backend>,
    feed: Feed,
    catalog: Catalog,
    options: BrokerOptions,
) -> Broker {
    Broker::new(backend, feed, catalog, options)
}

pub fn event(id: impl ToString) -> proto::Event {
    proto::Event { id: id.to_string(), ..Default::default() }
}

pub async fn publish(
    broker: &Broker,
    name: &str,
    events: Vec<proto::Event>,
) -> Result<Published, PublishError> {
    let events = events.into_iter().map(Into::into).collect();
    let request = Publish { topic: topic(name), events, validate_only: false, expected_last: None };
    broker.publish("/test", request).await
}

/// Publishes events with these ids, each alone.
pub async fn publish_each(broker: &Broker, name: &str, ids: impl IntoIterator<Item = u64>) {
    for id in ids {
        publish(broker, name, vec![event(id)]).await.expect("stored");
    }
}

pub fn request(topics: &[&str]) -> proto::SubscribeRequest {
    let topics = topics.iter().map(|name| (*name).to_owned()).collect();
    proto::SubscribeRequest { topics, ..Default::default() }
}

pub async fn subscribe(
    broker: &Broker,
    request: proto::SubscribeRequest,
) -> Result<Subscription, SubscribeError> {
    broker.subscribe(Subscribe::try_from(request)?).await
}

/// A stream, its frames taken apart. Epochs are left out of what is shown.
pub struct Lines {
    subscription: Subscription,
    ahead: std::collections::VecDeque<String>,
    /// Every position told by an event, a gap, `Opened` or a heartbeat, as a client stores them.
    pub positions: std::collections::BTreeMap<String, proto::Position>,
    pub frames: usize,
}

impl Lines {
    pub async fn open(broker: &Broker, request: proto::SubscribeRequest) -> Lines {
        Lines::of(subscribe(broker, request).await.expect("a subscription")).await
    }

    pub async fn of(subscription: Subscription) -> Lines {
        let mut lines = Lines {
            subscription,
            ahead: Default::default(),
            positions: Default::default(),
            frames: 0,
        };
        let opened = lines.next().await;
        assert!(opened.starts_with("opened"), "first came {opened}");
        lines
    }

    /// The next event or control: `orders 3`, `gap orders 1>4 missed 3 Retention`, `end`.
    pub async fn next(&mut self) -> String {
        loop {
            if let Some(line) = self.ahead.pop_front() {
                return line;
            }
            match self.subscription.next().await {
                None => return "end".into(),
                Some(Err(error)) => return format!("error {error}"),
                Some(Ok(frame)) => self.take(frame.decode().expect("a frame")),
            }
        }
    }

    pub async fn next_within(&mut self, time: Duration) -> Option<String> {
        tokio::time::timeout(time, self.next()).await.ok()
    }

    pub async fn expect(&mut self, expected: &str) {
        for expected in expected.split(", ") {
            let line = self.next_within(Duration::from_secs(600)).await;
            assert_eq!(line.as_deref(), Some(expected));
        }
    }

    /// The positions of a client that comes back, in the form of a request.
    pub fn resume(&self) -> Vec<proto::Position> {
        self.positions.values().cloned().collect()
    }

    fn store(&mut self, position: &proto::Position) {
        self.positions.insert(position.topic.clone(), position.clone());
    }

    fn take(&mut self, frame: proto::SubscribeResponse) {
        self.frames += 1;
        assert!(frame.events.is_empty() || frame.control.is_none(), "both in one frame: {frame:?}");
        for event in frame.events {
            let position = event.position.expect("the broker sets it");
            self.ahead.push_back(format!("{} {}", position.topic, event.id));
            if position.sequence > 0 {
                self.store(&position);
            }
        }
        let Some(control) = frame.control else { return };
        let line = match control {
            Control::Opened(opened) => {
                opened.positions.iter().for_each(|position| self.store(position));
                format!("opened {}", shown(&opened.positions))
            }
            Control::Heartbeat(heartbeat) => {
                heartbeat.positions.iter().for_each(|position| self.store(position));
                let mut line = format!("heartbeat {}", shown(&heartbeat.positions));
                if heartbeat.buffered_events > 0 {
                    line += &format!(" behind {}", heartbeat.buffered_events);
                }
                if heartbeat.backend_down_since.is_some() {
                    line += " down";
                }
                line.trim_end().to_owned()
            }
            Control::Gap(gap) => {
                let reason = gap.reason();
                let (after, until) = (gap.after.expect("set"), gap.until.expect("set"));
                self.store(&until);
                let missed = gap.missed.map_or("?".into(), |missed| missed.to_string());
                let (name, after, until) = (until.topic, after.sequence, until.sequence);
                format!("gap {name} {after}>{until} missed {missed} {}", reason.as_str_name())
            }
            Control::CaughtUp(_) => "caught up".into(),
            Control::GoAway(away) => format!("go away {}", away.reason().as_str_name()),
        };
        self.ahead.push_back(line);
    }
}

fn shown(positions: &[proto::Position]) -> String {
    let one = |position: &proto::Position| format!("{}:{}", position.topic, position.sequence);
    positions.iter().map(one).collect::<Vec<_>>().join(" ")
}
