//! `tidings topic`: what there is of topics, and what is said of them; each as a JSON line.

use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::{Exit, Server, WrongUsage, print_line};
use crate::{
    config::values::{ByteSize, Period},
    proto::{self, Bridge, DeleteTopicRequest, ListTopicsRequest, Position, Retention},
    topic::{Topic, TopicPattern},
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List topics: all, or those that a pattern such as "orders.>" chooses.
    Ls {
        pattern: Option<TopicPattern>,
        #[command(flatten)]
        server: Server,
    },
    /// Show how a topic is kept, and what there is of it.
    Show {
        topic: Topic,
        #[command(flatten)]
        server: Server,
    },
    /// Create a topic.
    Create(Say),
    /// Change what is said of a topic; what is not named stays.
    Update(Say),
    /// Delete a topic with all its events.
    Rm {
        topic: Topic,
        /// Only if nothing was said of it since `show` printed this etag.
        #[arg(long, default_value = "", hide_default_value = true)]
        etag: String,
        #[command(flatten)]
        server: Server,
    },
}

#[derive(Debug, Args)]
pub(super) struct Say {
    topic: Topic,
    /// Keep its events: it stays durable until it is deleted.
    #[arg(long)]
    durable: bool,
    /// Keep so many of the newest events.
    #[arg(long, value_name = "N")]
    max_events: Option<u64>,
    /// Keep so many bytes of the newest events: 64MiB.
    #[arg(long, value_name = "SIZE")]
    max_bytes: Option<ByteSize>,
    /// Keep events for this time (durable topics): 12h.
    #[arg(long, value_name = "TIME")]
    max_age: Option<Period>,
    /// Know ids for this time, so that an event that comes again is stored once: 2m; 0s: not at all.
    #[arg(long, value_name = "TIME")]
    dedupe_window: Option<Period>,
    /// Publishing waits until so many replicas of Redis have the events (durable topics).
    #[arg(long, value_name = "N")]
    replicas: Option<u32>,
    /// A label of the topic; without a value, it is taken away.
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
    /// The type of events that come without one: shop.v1.OrderPlaced.
    #[arg(long, value_name = "TYPE")]
    default_type: Option<String>,
    /// What becomes of events that are none of their type.
    #[arg(long, value_name = "HOW", value_enum)]
    enforcement: Option<Enforcement>,
    /// Types that the topic takes, as shop.v1.OrderPlaced; several with commas. Without it any that is
    /// registered.
    #[arg(long, value_name = "TYPES", value_delimiter = ',')]
    types: Vec<String>,
    /// How raw Redis clients meet the topic.
    #[arg(long, value_name = "MODE", value_enum)]
    bridge: Option<BridgeMode>,
    /// The channel on which raw Redis clients meet it.
    #[arg(long)]
    channel: Option<String>,
    /// Only if nothing was said of it since `show` printed this etag (update).
    #[arg(long, default_value = "", hide_default_value = true)]
    etag: String,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum BridgeMode {
    Off,
    Listen,
    Raw,
    CloudeventsJson,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Enforcement {
    Off,
    Warn,
    Reject,
}

impl Command {
    pub(super) async fn run(self) -> anyhow::Result<Exit> {
        match self {
            Command::Ls { pattern, server } => return list(pattern, &server).await,
            Command::Show { topic, server } => {
                let mut client = server.connect().await?;
                print(&client.get_topic(topic.as_str()).await?)?;
            }
            Command::Create(say) => {
                if !say.etag.is_empty() {
                    return Err(WrongUsage("a topic that is created has no etag yet".into()).into());
                }
                let mut client = say.server.connect().await?;
                print(&client.create_topic(say.message()).await?)?;
            }
            Command::Update(say) => print(&say.update().await?)?,
            Command::Rm { topic, etag, server } => {
                let mut client = server.connect().await?;
                let name = topic.to_string();
                client.delete_topic(DeleteTopicRequest { name, etag, force: false }).await?;
            }
        }
        Ok(Exit::Done)
    }
}

async fn list(pattern: Option<TopicPattern>, server: &Server) -> anyhow::Result<Exit> {
    let mut client = server.connect().await?;
    let pattern = pattern.map(|pattern| pattern.as_str().to_owned()).unwrap_or_default();
    let mut request = ListTopicsRequest { pattern, ..Default::default() };
    loop {
        let page = client.list_topics(request.clone()).await?;
        page.topics.iter().try_for_each(print)?;
        if page.next_page_token.is_empty() {
            return Ok(Exit::Done);
        }
        request.page_token = page.next_page_token;
    }
}

impl Say {
    async fn update(&self) -> anyhow::Result<proto::Topic> {
        let mut client = self.server.connect().await?;
        let (mut topic, paths) = (self.message(), self.paths());
        if paths.is_empty() {
            return Err(WrongUsage("say what to change, as --max-age 12h".into()).into());
        }
        if !self.labels.is_empty() {
            // Those that are not named stay; whoever changes them meanwhile is not overruled.
            let before = client.get_topic(self.topic.as_str()).await?;
            let mut labels = before.labels;
            labels.extend(topic.labels);
            labels.retain(|_, value| !value.is_empty());
            topic.labels = labels;
            if topic.etag.is_empty() {
                topic.etag = before.etag;
            }
        }
        Ok(client.update_topic(topic, paths).await?)
    }

    fn message(&self) -> proto::Topic {
        use proto::schema_policy::Enforcement::Unspecified;
        let duration = |Period(time): Period| time.try_into().ok();
        let durable = self.durable.then_some(proto::topic::Mode::Durable);
        let bridge = self.bridge.map_or(proto::bridge::Mode::Unspecified, Into::into);
        proto::Topic {
            name: self.topic.to_string(),
            mode: durable.unwrap_or_default().into(),
            retention: Some(Retention {
                max_events: self.max_events,
                max_bytes: self.max_bytes.map(|ByteSize(bytes)| bytes),
                max_age: self.max_age.and_then(duration),
            }),
            dedupe_window: self.dedupe_window.and_then(duration),
            replicas: self.replicas.unwrap_or_default(),
            bridge: Some(Bridge {
                channel: self.channel.clone().unwrap_or_default(),
                mode: bridge.into(),
            }),
            default_type: self.default_type.clone().unwrap_or_default(),
            schema: Some(proto::SchemaPolicy {
                enforcement: self.enforcement.map_or(Unspecified, Into::into).into(),
                types: self.types.clone(),
            }),
            labels: self.labels.iter().cloned().collect(),
            etag: self.etag.clone(),
            ..Default::default()
        }
    }

    fn paths(&self) -> Vec<String> {
        let given = [
            (self.durable, "mode"),
            (self.max_events.is_some(), "retention.max_events"),
            (self.max_bytes.is_some(), "retention.max_bytes"),
            (self.max_age.is_some(), "retention.max_age"),
            (self.dedupe_window.is_some(), "dedupe_window"),
            (self.replicas.is_some(), "replicas"),
            (!self.labels.is_empty(), "labels"),
            (self.default_type.is_some(), "default_type"),
            (self.enforcement.is_some(), "schema.enforcement"),
            (!self.types.is_empty(), "schema.types"),
            (self.bridge.is_some(), "bridge.mode"),
            (self.channel.is_some(), "bridge.channel"),
        ];
        given.into_iter().filter(|(given, _)| *given).map(|(_, path)| path.to_owned()).collect()
    }
}

fn label(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("write it as name=value")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn print(topic: &proto::Topic) -> anyhow::Result<()> {
    print_line(&line(topic).to_string()).context("stdout")
}

/// What is not set is left out.
fn line(topic: &proto::Topic) -> Value {
    let named = |name: &str, prefix: &str| name.trim_start_matches(prefix).to_ascii_lowercase();
    let mut line = json!({
        "topic": topic.name,
        "mode": named(topic.mode().as_str_name(), "MODE_"),
    });
    if let Some(retention) = &topic.retention {
        let age = retention.max_age.and_then(|age| age.try_into().ok());
        for (name, limit) in [
            ("max_events", retention.max_events.map(Value::from)),
            ("max_bytes", retention.max_bytes.map(Value::from)),
            ("max_age", age.map(|age| Period(age).to_string().into())),
        ] {
            line.as_object_mut()
                .expect("an object")
                .extend(limit.map(|limit| (name.into(), limit)));
        }
    }
    let window = topic.dedupe_window.and_then(|window| Duration::try_from(window).ok());
    if let Some(window) = window.filter(|window| !window.is_zero()) {
        line["dedupe_window"] = Period(window).to_string().into();
    }
    if topic.replicas > 0 {
        line["replicas"] = topic.replicas.into();
    }
    if let Some(bridge) = &topic.bridge {
        line["bridge"] = named(bridge.mode().as_str_name(), "MODE_").replace('_', "-").into();
        if !bridge.channel.is_empty() {
            line["channel"] = bridge.channel.as_str().into();
        }
    }
    if !topic.default_type.is_empty() {
        line["default_type"] = topic.default_type.as_str().into();
    }
    if let Some(policy) = &topic.schema {
        line["enforcement"] = named(policy.enforcement().as_str_name(), "ENFORCEMENT_").into();
        if !policy.types.is_empty() {
            line["types"] = policy.types.clone().into();
        }
    }
    if !topic.labels.is_empty() {
        line["labels"] = topic.labels.iter().map(|(name, value)| (name, json!(value))).collect();
    }
    line["etag"] = topic.etag.as_str().into();
    if topic.auto_created {
        line["auto_created"] = true.into();
    }
    if let Some(state) = &topic.state {
        let place = |at: &Position| json!({"epoch": at.epoch, "sequence": at.sequence});
        if let Some(first) = &state.first {
            line["first"] = place(first);
        }
        if let Some(last) = &state.last {
            line["last"] = place(last);
        }
        line["bytes"] = state.bytes.into();
        line["subscribers"] = state.local_subscribers.into();
    }
    line
}

impl From<Enforcement> for proto::schema_policy::Enforcement {
    fn from(enforcement: Enforcement) -> proto::schema_policy::Enforcement {
        match enforcement {
            Enforcement::Off => proto::schema_policy::Enforcement::Off,
            Enforcement::Warn => proto::schema_policy::Enforcement::Warn,
            Enforcement::Reject => proto::schema_policy::Enforcement::Reject,
        }
    }
}

impl From<BridgeMode> for proto::bridge::Mode {
    fn from(mode: BridgeMode) -> proto::bridge::Mode {
        match mode {
            BridgeMode::Off => proto::bridge::Mode::Off,
            BridgeMode::Listen => proto::bridge::Mode::Listen,
            BridgeMode::Raw => proto::bridge::Mode::Raw,
            BridgeMode::CloudeventsJson => proto::bridge::Mode::CloudeventsJson,
        }
    }
}
