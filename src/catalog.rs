//! What operators said about topics: rules by name pattern in the file, over what was said of each
//! topic over the API, over the defaults.
//!
//! Pure values. Reading them from a file is `config`'s part, keeping them the backend's.

mod wanted;

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use parking_lot::{Mutex, RwLock};
use prost::Message as _;
use tokio::sync::watch;

pub use self::wanted::{Change, Field, Unfit, Wanted, channel_text};
use crate::{
    backend::{
        BackendError, BridgeMode, Enforcement, Keeping, Mode, Retention, TopicSettings,
        topics::{Configured, Said},
    },
    limits::DEDUPE_WINDOW,
    proto,
    topic::{Topic, TopicPattern},
};

/// Resolved names that are remembered; beyond it they are forgotten and resolved again.
const RESOLVED_MAX: usize = 10_000;

/// What differs from the defaults for the topics that the pattern chooses. Where several rules
/// match, the most specific one holds alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub pattern: TopicPattern,
    pub bridge: Option<BridgeMode>,
    pub channel: Option<String>,
    pub mode: Option<Mode>,
    pub max_events: Option<u64>,
    pub max_bytes: Option<u64>,
    pub max_age: Option<Duration>,
    pub replicas: Option<u32>,
    pub fsync: Option<bool>,
    pub default_type: Option<String>,
    pub enforcement: Option<Enforcement>,
    pub types: Option<BTreeSet<String>>,
    pub dedupe_window: Option<Duration>,
}

#[derive(Debug)]
pub struct Catalog {
    defaults: Arc<TopicSettings>,
    channel_prefix: String,
    named: HashMap<Topic, Arc<TopicSettings>>,
    /// Most specific first.
    patterns: Vec<(TopicPattern, Arc<TopicSettings>)>,
    rules: HashMap<TopicPattern, Rule>,
    resolved: Mutex<HashMap<Topic, Arc<TopicSettings>>>,
    /// What was said over the API; none where this broker's backend tells none.
    configured: Option<watch::Receiver<Option<Arc<Configured>>>>,
    /// The settings that follow from it.
    merged: RwLock<Arc<Merged>>,
}

/// Settings of the topics of which something was said over the API, or that lost their channel to one
/// of them.
#[derive(Debug, Default)]
struct Merged {
    of: Arc<Configured>,
    topics: HashMap<Topic, Option<Arc<TopicSettings>>>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    #[error("topic rule {pattern} is given twice")]
    GivenTwice { pattern: TopicPattern },
    #[error(
        "topic rules {first} and {second} both name the channel {channel:?}: give each its own"
    )]
    ChannelShared { channel: String, first: TopicPattern, second: TopicPattern },
    #[error(
        "topic rule {first} names the channel {channel:?}, where {second} is met that has a bridge \
         too: give {second} a channel of its own"
    )]
    ChannelTaken { channel: String, first: TopicPattern, second: Topic },
    #[error(
        "topic rule {pattern} names the channel {channel:?} for every topic it matches: name a \
         channel only for a single topic"
    )]
    ChannelOfMany { channel: String, pattern: TopicPattern },
}

impl Rule {
    pub fn new(pattern: TopicPattern) -> Rule {
        Rule {
            pattern,
            bridge: None,
            channel: None,
            mode: None,
            max_events: None,
            max_bytes: None,
            max_age: None,
            replicas: None,
            fsync: None,
            default_type: None,
            enforcement: None,
            types: None,
            dedupe_window: None,
        }
    }

    fn over(&self, defaults: &TopicSettings) -> TopicSettings {
        let mut settings = defaults.clone();
        settings.keeping = self.keeping(settings.keeping);
        settings.replicas = self.replicas.unwrap_or(settings.replicas);
        settings.fsync = self.fsync.unwrap_or(settings.fsync);
        // Raw clients have no positions: a durable topic meets them only where that is asked for.
        let durable = settings.keeping.mode == Mode::Durable;
        if let Some(mode) = self.bridge.or(durable.then_some(BridgeMode::Off)) {
            settings.bridge.mode = mode;
        }
        if let Some(channel) = &self.channel {
            settings.bridge.channel = Some(channel.clone());
        }
        settings.default_type = self.default_type.clone().or(settings.default_type);
        settings.schema.enforcement = self.enforcement.unwrap_or(settings.schema.enforcement);
        settings.schema.types = self.types.clone().unwrap_or(settings.schema.types);
        // A publish on a durable topic is worth sending again, and that is exact with a window only.
        let window = self.dedupe_window.or(durable.then_some(DEDUPE_WINDOW));
        settings.dedupe_window = window.unwrap_or(settings.dedupe_window);
        settings
    }

    /// A live topic is always bounded in events and bytes; of a durable one whoever names a limit
    /// names all that there are.
    pub fn keeping(&self, defaults: Keeping) -> Keeping {
        let mode = self.mode.unwrap_or(defaults.mode);
        let default = match mode == defaults.mode {
            true => defaults.retention,
            false => Retention::of(mode),
        };
        let Rule { max_events, max_bytes, max_age, .. } = *self;
        let retention = match mode {
            Mode::Live => Retention {
                max_events: max_events.or(default.max_events),
                max_bytes: max_bytes.or(default.max_bytes),
                max_age: None,
            },
            Mode::Durable if max_events.is_none() && max_bytes.is_none() && max_age.is_none() => {
                default
            }
            Mode::Durable => Retention { max_events, max_bytes, max_age },
        };
        Keeping { mode, retention }
    }
}

impl Catalog {
    /// `channel_prefix` and its name make the channel of a topic that has none of its own. Where
    /// a rule gives that channel to another topic, the rule holds: no message is delivered twice,
    /// and the topic that lost its channel has no bridge.
    pub fn new(
        rules: Vec<Rule>,
        channel_prefix: &str,
        defaults: TopicSettings,
    ) -> Result<Catalog, CatalogError> {
        let mut given = HashSet::new();
        let mut channels: HashMap<String, TopicPattern> = HashMap::new();
        let mut named = HashMap::new();
        let mut patterns = Vec::new();
        // Topics of which a rule says how their own bridge is.
        let mut wanted = HashSet::new();
        let mut kept = HashMap::new();
        for rule in rules {
            if !given.insert(rule.pattern.clone()) {
                return Err(CatalogError::GivenTwice { pattern: rule.pattern });
            }
            let topic = rule.pattern.literal();
            if let Some(channel) = rule.channel.clone() {
                if topic.is_none() {
                    return Err(CatalogError::ChannelOfMany { channel, pattern: rule.pattern });
                }
                if let Some(first) = channels.insert(channel.clone(), rule.pattern.clone()) {
                    let second = rule.pattern;
                    return Err(CatalogError::ChannelShared { channel, first, second });
                }
            }
            let settings = Arc::new(rule.over(&defaults));
            kept.insert(rule.pattern.clone(), rule.clone());
            match topic {
                Some(topic) => {
                    wanted.extend(rule.bridge.is_some().then(|| topic.clone()));
                    named.insert(topic, settings);
                }
                None => patterns.push((rule.pattern, settings)),
            }
        }
        patterns
            .sort_by(|(a, _), (b, _)| b.specificity().cmp(&a.specificity()).then_with(|| a.cmp(b)));
        let mut catalog = Catalog {
            defaults: Arc::new(defaults),
            channel_prefix: channel_prefix.to_owned(),
            named,
            patterns,
            rules: kept,
            resolved: Mutex::default(),
            configured: None,
            merged: RwLock::default(),
        };
        for (channel, first) in channels {
            let name = channel.strip_prefix(channel_prefix);
            let Some(topic) = name.and_then(|name| name.parse::<Topic>().ok()) else { continue };
            let mut settings = TopicSettings::clone(&catalog.by_file(&topic));
            if settings.bridge.channel.is_some() || settings.bridge.mode == BridgeMode::Off {
                continue;
            }
            if wanted.contains(&topic) {
                return Err(CatalogError::ChannelTaken { channel, first, second: topic });
            }
            settings.bridge.mode = BridgeMode::Off;
            catalog.named.insert(topic, Arc::new(settings));
        }
        Ok(catalog)
    }

    /// Over the file's rules, what is said over the API counts from now on.
    pub fn following(self, configured: watch::Receiver<Option<Arc<Configured>>>) -> Catalog {
        Catalog { configured: Some(configured), ..self }
    }

    /// Changes when settings of topics may have changed.
    pub fn changes(&self) -> Option<watch::Receiver<Option<Arc<Configured>>>> {
        self.configured.clone()
    }

    /// None may be guessed: where it is not known yet what was said, or cannot be read, a topic could
    /// lose what it is to keep.
    pub fn settings(&self, topic: &Topic) -> Result<Arc<TopicSettings>, BackendError> {
        let Some(configured) = &self.configured else { return Ok(self.by_file(topic)) };
        let configured = configured.borrow();
        let Some(configured) = configured.as_ref() else {
            let cause = "the settings of topics have not been read yet".to_owned();
            return Err(BackendError::Unavailable { cause });
        };
        if configured.topics.is_empty() {
            return Ok(self.by_file(topic));
        }
        self.settings_in(configured, topic)
    }

    /// As they are where this was said.
    pub fn settings_in(
        &self,
        configured: &Arc<Configured>,
        topic: &Topic,
    ) -> Result<Arc<TopicSettings>, BackendError> {
        let merged = self.merged.read().clone();
        let merged = match Arc::ptr_eq(&merged.of, configured) {
            true => merged,
            false => {
                let merged = Arc::new(self.merge(configured));
                *self.merged.write() = merged.clone();
                merged
            }
        };
        match merged.topics.get(topic) {
            None => Ok(self.by_file(topic)),
            Some(Some(settings)) => Ok(settings.clone()),
            Some(None) => Err(unreadable(topic)),
        }
    }

    fn merge(&self, configured: &Arc<Configured>) -> Merged {
        let mut topics = HashMap::new();
        let mut channels: HashMap<String, Topic> = HashMap::new();
        for (topic, said) in &configured.topics {
            let Some(wanted) = Wanted::decode(topic, &said.value) else {
                topics.insert(topic.clone(), None);
                continue;
            };
            let rule = self.under_rule(&wanted.rule, topic);
            if let Some(channel) = &rule.channel {
                channels.insert(channel.clone(), topic.clone());
            }
            let mut settings = rule.over(&self.defaults);
            settings.version = said.version;
            topics.insert(topic.clone(), Some(Arc::new(settings)));
        }
        // A topic whose channel a rule of the file gave to another one has no bridge.
        for topic in configured.topics.keys() {
            if self.rule_with_channel(&self.default_channel(topic)).is_some_and(|of| of != *topic) {
                take_channel(&mut topics, topic, || self.by_file(topic));
            }
        }
        for (channel, owner) in channels {
            let name = channel.strip_prefix(&self.channel_prefix);
            let taken = name.and_then(|name| name.parse::<Topic>().ok());
            if let Some(taken) = taken.filter(|taken| *taken != owner) {
                take_channel(&mut topics, &taken, || self.by_file(&taken));
            }
        }
        Merged { of: configured.clone(), topics }
    }

    /// The rule of the file that holds for this topic.
    pub fn rule_of(&self, topic: &Topic) -> Option<&Rule> {
        let exact = self.rules.get(&TopicPattern::from(topic.clone()));
        exact.or_else(|| {
            let found = self.patterns.iter().find(|(pattern, _)| pattern.matches(topic));
            found.and_then(|(pattern, _)| self.rules.get(pattern))
        })
    }

    /// Topics that a rule of the file names.
    pub fn named(&self) -> impl Iterator<Item = Topic> {
        self.rules.keys().filter_map(TopicPattern::literal)
    }

    pub fn is_named(&self, topic: &Topic) -> bool {
        self.rules.contains_key(&TopicPattern::from(topic.clone()))
    }

    /// What was said of a topic, where the file says nothing else.
    pub fn under_rule(&self, said: &Rule, topic: &Topic) -> Rule {
        let said = said.clone();
        match self.rule_of(topic) {
            None => said,
            Some(rule) => Rule {
                pattern: said.pattern,
                bridge: rule.bridge.or(said.bridge),
                channel: rule.channel.clone().or(said.channel),
                mode: rule.mode.or(said.mode),
                max_events: rule.max_events.or(said.max_events),
                max_bytes: rule.max_bytes.or(said.max_bytes),
                max_age: rule.max_age.or(said.max_age),
                replicas: rule.replicas.or(said.replicas),
                fsync: rule.fsync.or(said.fsync),
                dedupe_window: rule.dedupe_window.or(said.dedupe_window),
                default_type: rule.default_type.clone().or(said.default_type),
                enforcement: rule.enforcement.or(said.enforcement),
                types: rule.types.clone().or(said.types),
            },
        }
    }

    /// How a topic would be kept of which this is said, under the rules of the file.
    pub fn keeping_under_rule(&self, said: &Rule, topic: &Topic) -> Keeping {
        self.under_rule(said, topic).keeping(self.defaults.keeping)
    }

    pub fn default_channel(&self, topic: &Topic) -> String {
        format!("{}{topic}", self.channel_prefix)
    }

    /// Which topic names this channel, in the file or in what was said.
    pub fn owner_of(&self, channel: &str, configured: &Configured) -> Option<Topic> {
        self.rule_with_channel(channel).or_else(|| {
            let names = |(topic, said): (&Topic, &Said)| {
                let wanted = Wanted::decode(topic, &said.value)?;
                (wanted.rule.channel.as_deref() == Some(channel)).then(|| topic.clone())
            };
            configured.topics.iter().find_map(names)
        })
    }

    /// Topics that name this type of events, and rules of the file that do.
    pub fn naming(&self, type_name: &str, configured: &Configured) -> Vec<String> {
        let names = |(topic, said): (&Topic, &Said)| {
            let said = proto::Topic::decode(&said.value[..]).ok()?;
            let types = said.schema.unwrap_or_default().types;
            let named = said.default_type == type_name || types.iter().any(|t| t == type_name);
            named.then(|| topic.to_string())
        };
        let rules = self.rules.values();
        let rules = rules.filter(|rule| {
            let types = rule.types.iter().flatten();
            rule.default_type.as_deref() == Some(type_name)
                || types.into_iter().any(|named| named == type_name)
        });
        let mut named: Vec<_> = configured.topics.iter().filter_map(names).collect();
        named.extend(rules.map(|rule| rule.pattern.as_str().to_owned()));
        named.sort();
        named.dedup();
        named
    }

    fn rule_with_channel(&self, channel: &str) -> Option<Topic> {
        let mut rules = self.rules.values();
        let found = rules.find(|rule| rule.channel.as_deref() == Some(channel));
        found.and_then(|rule| rule.pattern.literal())
    }

    fn by_file(&self, topic: &Topic) -> Arc<TopicSettings> {
        if let Some(settings) = self.named.get(topic) {
            return settings.clone();
        }
        if self.patterns.is_empty() {
            return self.defaults.clone();
        }
        let mut resolved = self.resolved.lock();
        if let Some(settings) = resolved.get(topic) {
            return settings.clone();
        }
        let found = self.patterns.iter().find(|(pattern, _)| pattern.matches(topic));
        let settings = found.map_or(&self.defaults, |(_, settings)| settings).clone();
        if resolved.len() >= RESOLVED_MAX {
            resolved.clear();
        }
        resolved.insert(topic.clone(), settings.clone());
        settings
    }
}

fn take_channel(
    topics: &mut HashMap<Topic, Option<Arc<TopicSettings>>>,
    topic: &Topic,
    by_file: impl FnOnce() -> Arc<TopicSettings>,
) {
    let settings = topics.entry(topic.clone()).or_insert_with(|| Some(by_file()));
    if let Some(settings) = settings
        && settings.bridge.channel.is_none()
    {
        Arc::make_mut(settings).bridge.mode = BridgeMode::Off;
    }
}

fn unreadable(topic: &Topic) -> BackendError {
    BackendError::Refused {
        cause: format!(
            "what was said of {topic} over the API cannot be read by this broker: use a newer one, \
             or delete the topic and create it again"
        ),
    }
}

impl Default for Catalog {
    fn default() -> Catalog {
        Catalog::new(Vec::new(), "", TopicSettings::default()).expect("no rules do not conflict")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(pattern: &str) -> Rule {
        Rule::new(pattern.parse().expect("a pattern"))
    }

    #[test]
    fn who_names_a_type_is_found_in_the_file_and_in_what_was_said() {
        let types = |name: &str| Some(BTreeSet::from([name.to_owned()]));
        let rules = vec![
            Rule { types: types("shop.v1.Order"), ..rule("orders.>") },
            Rule { default_type: Some("shop.v1.Order".into()), ..rule("returns") },
            Rule { types: types("shop.v1.Other"), ..rule("others") },
        ];
        let catalog = Catalog::new(rules, "", TopicSettings::default()).expect("rules");
        let policy = proto::SchemaPolicy { types: vec!["shop.v1.Order".into()], enforcement: 0 };
        let said = proto::Topic { schema: Some(policy), ..Default::default() };
        let said = Said { version: 1, value: said.encode_to_vec().into() };
        let topics = [("said".parse().expect("a topic"), said)].into();
        let naming = catalog.naming("shop.v1.Order", &Configured { version: 1, topics });
        assert_eq!(naming, ["orders.>", "returns", "said"]);
    }

    #[test]
    fn the_most_specific_rule_holds_alone() {
        let keep = |pattern, events| Rule { max_events: Some(events), ..rule(pattern) };
        let named = Rule { default_type: Some("shop.v1.Order".into()), ..rule("orders.eu.new") };
        let rules = vec![keep(">", 1), keep("orders.>", 2), keep("orders.eu.*", 3), named];
        let catalog = Catalog::new(rules, "", TopicSettings::default()).expect("rules");
        let kept = |topic: &str| {
            let settings = catalog.by_file(&topic.parse().expect("a topic"));
            settings.keeping.retention.max_events
        };
        assert_eq!(["payments", "orders.us", "orders.eu.old"].map(kept), [1, 2, 3].map(Some));
        assert_eq!(kept("orders.eu.new"), Retention::of(Mode::Live).max_events);
        assert_eq!(kept("payments"), Some(1));
    }

    #[test]
    fn durable_topics_know_ids_for_two_minutes_unless_somebody_says_otherwise() {
        let window = |mode, window| {
            let rule = Rule { mode, dedupe_window: window, ..rule("a") };
            rule.over(&TopicSettings::default()).dedupe_window
        };
        let some = Duration::from_secs(7);
        assert_eq!(window(None, None), Duration::ZERO);
        assert_eq!(window(Some(Mode::Durable), None), DEDUPE_WINDOW);
        for mode in [None, Some(Mode::Durable)] {
            assert_eq!(window(mode, Some(some)), some);
            assert_eq!(window(mode, Some(Duration::ZERO)), Duration::ZERO);
        }
    }

    #[test]
    fn a_limit_of_a_durable_topic_is_all_its_retention_and_a_live_one_stays_bounded() {
        let limit = Rule { max_events: Some(7), ..rule("a") };
        let live = limit.keeping(Keeping::of(Mode::Live));
        assert_eq!(live.retention, Retention { max_events: Some(7), ..Retention::of(Mode::Live) });
        let durable = Rule { mode: Some(Mode::Durable), ..limit };
        let only = Retention { max_events: Some(7), max_bytes: None, max_age: None };
        let kept = durable.keeping(Keeping::of(Mode::Live));
        assert_eq!(kept, Keeping { mode: Mode::Durable, retention: only });
        let unsaid = Rule { max_events: None, ..durable };
        assert_eq!(unsaid.keeping(Keeping::of(Mode::Live)), Keeping::of(Mode::Durable));
    }

    #[test]
    fn a_channel_belongs_to_one_topic() {
        let on = |pattern, channel: &str| Rule { channel: Some(channel.into()), ..rule(pattern) };
        let refused = |rules| {
            Catalog::new(rules, "", TopicSettings::default()).expect_err("a conflict").to_string()
        };
        let shared = refused(vec![on("orders", "events"), on("payments", "events")]);
        assert!(shared.contains("orders") && shared.contains("payments"), "{shared}");
        assert!(refused(vec![on("orders.*", "events")]).contains("orders.*"));
        assert!(refused(vec![rule("orders"), rule("orders")]).contains("orders"));
    }

    #[test]
    fn a_channel_that_a_rule_names_is_taken_from_the_topic_of_that_name() {
        let on = |pattern, channel: &str| Rule { channel: Some(channel.into()), ..rule(pattern) };
        let mode = |catalog: &Catalog, topic: &str| {
            catalog.by_file(&topic.parse().expect("a topic")).bridge.mode
        };
        let keep = Rule { max_events: Some(7), ..rule(">") };
        let rules = vec![on("orders", "shop:events"), on("own", "shop:own"), keep];
        let catalog = Catalog::new(rules, "shop:", TopicSettings::default()).expect("rules");
        let modes = ["events", "orders", "own", "shop", "other"].map(|topic| mode(&catalog, topic));
        use BridgeMode::{Listen, Off};
        assert_eq!(modes, [Off, Listen, Listen, Listen, Listen]);
        let taken = catalog.by_file(&"events".parse().expect("a topic"));
        let kept = taken.keeping.retention.max_events;
        assert_eq!(kept, Some(7), "the rest of its settings stands");

        // Without the prefix it is nobody else's channel; with its own, a topic keeps its bridge.
        let rules = vec![on("orders", "events"), on("swapped", "shop:orders")];
        let catalog = Catalog::new(rules, "shop:", TopicSettings::default()).expect("rules");
        assert_eq!(["events", "orders"].map(|topic| mode(&catalog, topic)), [Listen, Listen]);

        let both =
            vec![on("orders", "events"), Rule { bridge: Some(BridgeMode::Raw), ..rule("events") }];
        let error = Catalog::new(both, "", TopicSettings::default()).expect_err("a conflict");
        assert!(matches!(error, CatalogError::ChannelTaken { .. }), "{error}");
    }

    fn said(topics: &[(&str, Wanted)]) -> Arc<Configured> {
        let mut configured = Configured { version: topics.len() as u64, ..Default::default() };
        for (version, (name, wanted)) in (1..).zip(topics) {
            let topic: Topic = name.parse().expect("a topic");
            let said = Said { version, value: wanted.encode(&topic) };
            configured.topics.insert(topic, said);
        }
        Arc::new(configured)
    }

    fn wanted(rule: Rule) -> Wanted {
        Wanted { rule, labels: Default::default() }
    }

    #[test]
    fn the_file_wins_over_the_api_for_what_it_says() {
        let file = Rule { max_events: Some(7), ..rule("orders.*") };
        let catalog = Catalog::new(vec![file], "", TopicSettings::default()).expect("rules");
        let api = Rule {
            mode: Some(Mode::Durable),
            max_events: Some(9),
            max_bytes: Some(1 << 20),
            ..rule("orders.eu")
        };
        let configured = said(&[("orders.eu", wanted(api))]);
        let of = |name: &str| catalog.settings_in(&configured, &name.parse().expect("a topic"));
        let settings = of("orders.eu").expect("readable");
        let retention = Retention { max_events: Some(7), max_bytes: Some(1 << 20), max_age: None };
        assert_eq!(settings.keeping, Keeping { mode: Mode::Durable, retention });
        assert_eq!(settings.version, 1);
        assert_eq!(settings.bridge.mode, BridgeMode::Off, "as of every durable topic");
        let other = of("orders.us").expect("readable");
        assert_eq!((other.keeping.mode, other.version), (Mode::Live, 0));
    }

    #[test]
    fn a_channel_that_is_named_over_the_api_is_taken_from_the_topic_of_that_name() {
        let on = |name: &str, channel: &str| Rule { channel: Some(channel.into()), ..rule(name) };
        let file = vec![on("by.file", "gone")];
        let catalog = Catalog::new(file, "", TopicSettings::default()).expect("rules");
        let label = wanted(rule("gone"));
        let configured = said(&[("orders", wanted(on("orders", "events"))), ("gone", label)]);
        let mode = |name: &str| {
            let topic = name.parse().expect("a topic");
            catalog.settings_in(&configured, &topic).expect("readable").bridge.mode
        };
        use BridgeMode::{Listen, Off};
        assert_eq!(["orders", "events", "gone", "other"].map(mode), [Listen, Off, Off, Listen]);
        for (channel, owner) in [("events", Some("orders")), ("gone", Some("by.file")), ("x", None)]
        {
            let found = catalog.owner_of(channel, &configured);
            assert_eq!(found.as_ref().map(Topic::as_str), owner, "{channel}");
        }
    }

    #[test]
    fn what_cannot_be_read_stops_its_topic_and_no_other() {
        let catalog = Catalog::default();
        let mut configured = Configured::default();
        let odd = Said { version: 1, value: "what a newer broker says".into() };
        configured.topics.insert("odd".parse().expect("a topic"), odd);
        let configured = Arc::new(configured);
        let of = |name: &str| catalog.settings_in(&configured, &name.parse().expect("a topic"));
        assert!(matches!(of("odd"), Err(BackendError::Refused { .. })));
        assert!(of("even").is_ok());
    }
}
