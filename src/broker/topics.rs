//! Topics as resources: what operators say of them, and what there is of each.
//!
//! What is said is kept first and applied to the topic then, before the call returns: from then on
//! no broker keeps the topic otherwise, whether it has heard or not.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt, TryStreamExt, stream};
use tracing::warn;

use super::Broker;
use crate::{
    backend::{
        BackendError, Bridge, BridgeMode, Keeping, Mode, SchemaPolicy, TopicSettings,
        topics::{Configured, TopicState},
    },
    catalog::{Change, Field, Rule, Unfit, Wanted},
    limits::CONFIGURED_TOPICS_MAX,
    topic::{InvalidTopic, Topic, TopicPattern},
};

/// How often a change is tried again because another one came between.
const ATTEMPTS_MAX: usize = 8;
/// Topics of a page that are looked at together.
const CONCURRENT: usize = 16;

/// A topic, and how it is kept now.
#[derive(Debug, Clone, PartialEq)]
pub struct TopicInfo {
    pub topic: Topic,
    /// What is in force: of a topic that exists, what it holds itself.
    pub keeping: Keeping,
    /// With the channel that it has by its name, where it has no other.
    pub bridge: Bridge,
    pub default_type: Option<String>,
    pub schema: SchemaPolicy,
    pub dedupe_window: Duration,
    pub replicas: u32,
    pub labels: BTreeMap<String, String>,
    /// Of what was said of it over the API; 0 where nothing was.
    pub version: u64,
    /// Nobody named it: it began with its first event.
    pub auto_created: bool,
    /// None where it holds nothing: it begins with its next event.
    pub state: Option<TopicState>,
    pub local_subscribers: u64,
}

/// A part of a list, in the order of names.
#[derive(Debug, Clone, PartialEq)]
pub struct TopicPage {
    pub topics: Vec<TopicInfo>,
    /// The list goes on after this name.
    pub after: Option<Topic>,
}

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TopicError {
    #[error(transparent)]
    Name(#[from] InvalidTopic),
    #[error("{cause}")]
    Pattern { cause: InvalidTopic },
    /// Each with the path of its field.
    #[error("{}", list(.violations))]
    Invalid { violations: Vec<(String, String)> },
    #[error("there is no topic {topic}: it is created by its first event, or by CreateTopic")]
    NotFound { topic: Topic },
    #[error("{topic} exists already: change it with UpdateTopic")]
    Exists { topic: Topic },
    #[error("{topic} was changed meanwhile: read it again, and decide anew")]
    EtagMismatch { topic: Topic, expected: u64, actual: u64 },
    #[error(
        "{topic} is in the configuration file, which says its {}: change rule {rule} there",
        .field.map_or("name", Field::path)
    )]
    InConfigFile { topic: Topic, field: Option<Field>, rule: TopicPattern },
    #[error(
        "{topic} is durable, and a live topic would lose what it keeps: delete it, and create it again"
    )]
    Durable { topic: Topic },
    #[error("the channel {channel:?} is that of {owner}: name another one")]
    ChannelTaken { topic: Topic, channel: String, owner: Topic },
    #[error("{limit} topics are configured, as many as may be: delete some")]
    TooMany { limit: usize },
    #[error(transparent)]
    Backend(#[from] BackendError),
}

/// What a change starts from.
struct Before {
    configured: Arc<Configured>,
    state: Option<TopicState>,
}

impl Broker {
    pub async fn create_topic(
        &self,
        topic: &Topic,
        wanted: Wanted,
    ) -> Result<TopicInfo, TopicError> {
        not_reserved(topic)?;
        for _ in 0..ATTEMPTS_MAX {
            let before = self.before(topic).await?;
            if self.exists(topic, &before) {
                return Err(TopicError::Exists { topic: topic.clone() });
            }
            let fields = wanted.fields();
            if self.say(topic, &before, wanted.clone(), &fields).await? {
                return self.topic_info(topic).await;
            }
        }
        Err(contended(topic))
    }

    pub async fn get_topic(&self, topic: &Topic) -> Result<TopicInfo, TopicError> {
        not_reserved(topic)?;
        self.topic_info(topic).await
    }

    /// `version`: the one that was read; none: whichever it is.
    pub async fn update_topic(
        &self,
        topic: &Topic,
        version: Option<u64>,
        change: Change,
    ) -> Result<TopicInfo, TopicError> {
        not_reserved(topic)?;
        for _ in 0..ATTEMPTS_MAX {
            let before = self.before(topic).await?;
            if !self.exists(topic, &before) {
                return Err(TopicError::NotFound { topic: topic.clone() });
            }
            is_of_version(topic, version, &before)?;
            // What nobody can read is said anew as a whole.
            let said = before.configured.topics.get(topic);
            let said = said.and_then(|said| Wanted::decode(topic, &said.value));
            let mut wanted = said.unwrap_or_else(|| Wanted::nothing(topic));
            change.clone().apply(&mut wanted);
            if self.say(topic, &before, wanted, &change.fields).await? {
                return self.topic_info(topic).await;
            }
        }
        Err(contended(topic))
    }

    /// What is said of it, and all its events.
    pub async fn delete_topic(
        &self,
        topic: &Topic,
        version: Option<u64>,
    ) -> Result<(), TopicError> {
        not_reserved(topic)?;
        let backend = self.shared.backend.topics();
        for _ in 0..ATTEMPTS_MAX {
            let before = self.before(topic).await?;
            if self.shared.catalog.is_named(topic) {
                let (topic, rule) = (topic.clone(), topic.clone().into());
                return Err(TopicError::InConfigFile { topic, field: None, rule });
            }
            if !self.exists(topic, &before) {
                return Err(TopicError::NotFound { topic: topic.clone() });
            }
            is_of_version(topic, version, &before)?;
            if before.configured.topics.contains_key(topic)
                && backend.configure(before.configured.version, topic, None).await?.is_none()
            {
                continue;
            }
            backend.delete(topic).await?;
            return Ok(());
        }
        Err(contended(topic))
    }

    /// Topics that exist, or of which something is said, as far as the pattern chooses them.
    pub async fn list_topics(
        &self,
        pattern: Option<&TopicPattern>,
        after: Option<&str>,
        count: usize,
    ) -> Result<TopicPage, TopicError> {
        let backend = self.shared.backend.topics();
        let configured = backend.read_configured().await?;
        let mut names: BTreeSet<Topic> = backend.existing().await?.into_iter().collect();
        names.extend(configured.topics.keys().cloned());
        names.extend(self.shared.catalog.named());
        let is_asked_for = |topic: &Topic| {
            !topic.is_reserved()
                && pattern.is_none_or(|pattern| pattern.matches(topic))
                && after.is_none_or(|after| topic.as_str() > after)
        };
        let mut names = names.into_iter().filter(is_asked_for);
        let page: Vec<Topic> = names.by_ref().take(count).collect();
        let after = names.next().and(page.last().cloned());
        let looked_at: Vec<Option<TopicInfo>> = stream::iter(page)
            .map(|topic| {
                let configured = configured.clone();
                async move {
                    let state = backend.state(&topic).await?;
                    let before = Before { configured, state };
                    if !self.exists(&topic, &before) {
                        return Ok(None);
                    }
                    // One that cannot be read does not hide the others.
                    let info = self.info_of(&topic, &before);
                    Ok(info.inspect_err(|error| warn!(%topic, %error, "left out of a list")).ok())
                }
            })
            .buffered(CONCURRENT)
            .try_collect::<Vec<_>>()
            .await
            .map_err(|error: BackendError| TopicError::from(error))?;
        Ok(TopicPage { topics: looked_at.into_iter().flatten().collect(), after })
    }

    /// Says it, and has the topic be kept so. False where something else was said meanwhile.
    async fn say(
        &self,
        topic: &Topic,
        before: &Before,
        mut wanted: Wanted,
        fields: &[Field],
    ) -> Result<bool, TopicError> {
        let catalog = &self.shared.catalog;
        let now = self.settings_before(topic, before).map(|settings| settings.keeping);
        let now = before.state.map(|state| state.keeping).or(now);
        let is_durable = now.is_some_and(|now| now.mode == Mode::Durable);
        // Nobody said so, and yet it is.
        if is_durable && wanted.rule.mode.is_none() && !fields.contains(&Field::Mode) {
            wanted.rule.mode = Some(Mode::Durable);
        }
        if wanted.rule.channel.as_deref() == Some(&catalog.default_channel(topic)) {
            wanted.rule.channel = None;
        }
        self.leave_to_file(topic, &mut wanted, fields)?;
        let unfit = |Unfit { field, why }| TopicError::Invalid {
            violations: vec![(format!("topic.{}", field.path()), why)],
        };
        wanted.check_labels().map_err(unfit)?;
        let merged = catalog.under_rule(&wanted.rule, topic);
        merged.check().map_err(unfit)?;
        let keeping = catalog.keeping_under_rule(&wanted.rule, topic);
        if is_durable && keeping.mode == Mode::Live {
            return Err(TopicError::Durable { topic: topic.clone() });
        }
        self.owns_channel(topic, &merged, &before.configured)?;
        let configured = &before.configured;
        let is_new = !configured.topics.contains_key(topic);
        if is_new && configured.topics.len() >= CONFIGURED_TOPICS_MAX {
            return Err(TopicError::TooMany { limit: CONFIGURED_TOPICS_MAX });
        }
        let backend = self.shared.backend.topics();
        let value = wanted.encode(topic);
        let said = backend.configure(configured.version, topic, Some(value)).await?;
        let Some(said) = said else { return Ok(false) };
        if said.topics.contains_key(topic) {
            let settings = catalog.settings_in(&said, topic)?;
            backend.keep(topic, &settings).await?;
        }
        Ok(true)
    }

    /// Takes out of what is wanted what the file says as well, and refuses what it says otherwise.
    fn leave_to_file(
        &self,
        topic: &Topic,
        wanted: &mut Wanted,
        fields: &[Field],
    ) -> Result<(), TopicError> {
        let Some(rule) = self.shared.catalog.rule_of(topic) else { return Ok(()) };
        let said = &mut wanted.rule;
        let clash = |field| TopicError::InConfigFile {
            topic: topic.clone(),
            field: Some(field),
            rule: rule.pattern.clone(),
        };
        let check = |field, differs: Option<bool>| match differs {
            Some(true) if fields.contains(&field) => Err(clash(field)),
            Some(_) | None => Ok(()),
        };
        fn leave<T: PartialEq>(said: &mut Option<T>, by_file: &Option<T>) -> Option<bool> {
            by_file.as_ref()?;
            Some(said.take().is_some_and(|said| Some(&said) != by_file.as_ref()))
        }
        check(Field::Mode, leave(&mut said.mode, &rule.mode))?;
        check(Field::MaxEvents, leave(&mut said.max_events, &rule.max_events))?;
        check(Field::MaxBytes, leave(&mut said.max_bytes, &rule.max_bytes))?;
        check(Field::MaxAge, leave(&mut said.max_age, &rule.max_age))?;
        check(Field::DedupeWindow, leave(&mut said.dedupe_window, &rule.dedupe_window))?;
        check(Field::Replicas, leave(&mut said.replicas, &rule.replicas))?;
        check(Field::Bridge, leave(&mut said.bridge, &rule.bridge))?;
        check(Field::Channel, leave(&mut said.channel, &rule.channel))?;
        check(Field::DefaultType, leave(&mut said.default_type, &rule.default_type))?;
        check(Field::Enforcement, leave(&mut said.enforcement, &rule.enforcement))?;
        check(Field::Types, leave(&mut said.types, &rule.types))
    }

    /// No message is delivered twice: a channel is one topic's.
    fn owns_channel(
        &self,
        topic: &Topic,
        rule: &Rule,
        configured: &Configured,
    ) -> Result<(), TopicError> {
        let catalog = &self.shared.catalog;
        let asked = rule.bridge.is_some_and(|mode| mode != BridgeMode::Off);
        let channel = match &rule.channel {
            Some(channel) => channel.clone(),
            None if asked => catalog.default_channel(topic),
            None => return Ok(()),
        };
        match catalog.owner_of(&channel, configured).filter(|owner| owner != topic) {
            Some(owner) => Err(TopicError::ChannelTaken { topic: topic.clone(), channel, owner }),
            None => Ok(()),
        }
    }

    async fn before(&self, topic: &Topic) -> Result<Before, TopicError> {
        let backend = self.shared.backend.topics();
        let configured = backend.read_configured().await?;
        let state = backend.state(topic).await?;
        Ok(Before { configured, state })
    }

    fn exists(&self, topic: &Topic, before: &Before) -> bool {
        before.state.is_some()
            || before.configured.topics.contains_key(topic)
            || self.shared.catalog.is_named(topic)
    }

    async fn topic_info(&self, topic: &Topic) -> Result<TopicInfo, TopicError> {
        let before = self.before(topic).await?;
        if !self.exists(topic, &before) {
            return Err(TopicError::NotFound { topic: topic.clone() });
        }
        self.info_of(topic, &before)
    }

    fn info_of(&self, topic: &Topic, before: &Before) -> Result<TopicInfo, TopicError> {
        let catalog = &self.shared.catalog;
        let settings = catalog.settings_in(&before.configured, topic)?;
        let mut bridge = settings.bridge.clone();
        if bridge.mode != BridgeMode::Off && bridge.channel.is_none() {
            bridge.channel = Some(catalog.default_channel(topic));
        }
        let said = before.configured.topics.get(topic);
        let labels = said.and_then(|said| Wanted::decode(topic, &said.value));
        Ok(TopicInfo {
            topic: topic.clone(),
            keeping: before.state.map_or(settings.keeping, |state| state.keeping),
            bridge,
            default_type: settings.default_type.clone(),
            schema: settings.schema.clone(),
            dedupe_window: settings.dedupe_window,
            replicas: settings.replicas,
            labels: labels.map(|wanted| wanted.labels).unwrap_or_default(),
            version: before.configured.version_of(topic),
            auto_created: said.is_none() && !catalog.is_named(topic),
            state: before.state,
            local_subscribers: self.shared.hub.members(topic),
        })
    }

    /// None where they cannot be read: then nothing is known of them that could be kept.
    fn settings_before(&self, topic: &Topic, before: &Before) -> Option<Arc<TopicSettings>> {
        self.shared.catalog.settings_in(&before.configured, topic).ok()
    }
}

fn not_reserved(topic: &Topic) -> Result<(), TopicError> {
    match topic.is_reserved() {
        true => Err(InvalidTopic::reserved(topic.as_str()).into()),
        false => Ok(()),
    }
}

fn is_of_version(topic: &Topic, version: Option<u64>, before: &Before) -> Result<(), TopicError> {
    let actual = before.configured.version_of(topic);
    match version {
        Some(expected) if expected != actual => {
            Err(TopicError::EtagMismatch { topic: topic.clone(), expected, actual })
        }
        Some(_) | None => Ok(()),
    }
}

fn contended(topic: &Topic) -> TopicError {
    let cause = format!("settings of topics change faster than {topic} can be changed: try again");
    BackendError::Unavailable { cause }.into()
}

fn list(violations: &[(String, String)]) -> String {
    let shown: Vec<_> = violations.iter().map(|(field, why)| format!("{field}: {why}")).collect();
    shown.join("; ")
}
