//! What an operator said about topics: rules by name pattern, over the defaults.
//!
//! Pure values. Reading them from a file is `config`'s part.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;

use crate::{
    backend::{BridgeMode, Keeping, Mode, Retention, TopicSettings},
    limits::DEDUPE_WINDOW,
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
    pub dedupe_window: Option<Duration>,
}

#[derive(Debug)]
pub struct Catalog {
    defaults: Arc<TopicSettings>,
    named: HashMap<Topic, Arc<TopicSettings>>,
    /// Most specific first.
    patterns: Vec<(TopicPattern, Arc<TopicSettings>)>,
    resolved: Mutex<HashMap<Topic, Arc<TopicSettings>>>,
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
        let resolved = Mutex::default();
        let mut catalog = Catalog { defaults: Arc::new(defaults), named, patterns, resolved };
        for (channel, first) in channels {
            let name = channel.strip_prefix(channel_prefix);
            let Some(topic) = name.and_then(|name| name.parse::<Topic>().ok()) else { continue };
            let mut settings = TopicSettings::clone(&catalog.settings(&topic));
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

    pub fn settings(&self, topic: &Topic) -> Arc<TopicSettings> {
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
    fn the_most_specific_rule_holds_alone() {
        let keep = |pattern, events| Rule { max_events: Some(events), ..rule(pattern) };
        let named = Rule { default_type: Some("shop.v1.Order".into()), ..rule("orders.eu.new") };
        let rules = vec![keep(">", 1), keep("orders.>", 2), keep("orders.eu.*", 3), named];
        let catalog = Catalog::new(rules, "", TopicSettings::default()).expect("rules");
        let kept = |topic: &str| {
            let settings = catalog.settings(&topic.parse().expect("a topic"));
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
            catalog.settings(&topic.parse().expect("a topic")).bridge.mode
        };
        let keep = Rule { max_events: Some(7), ..rule(">") };
        let rules = vec![on("orders", "shop:events"), on("own", "shop:own"), keep];
        let catalog = Catalog::new(rules, "shop:", TopicSettings::default()).expect("rules");
        let modes = ["events", "orders", "own", "shop", "other"].map(|topic| mode(&catalog, topic));
        use BridgeMode::{Listen, Off};
        assert_eq!(modes, [Off, Listen, Listen, Listen, Listen]);
        let taken = catalog.settings(&"events".parse().expect("a topic"));
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
}
