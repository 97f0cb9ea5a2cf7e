//! What the server is told: flags, then `TIDINGS_*`, then a TOML file, then defaults.
//!
//! [`Config::load`] reads and checks everything before a port is bound or Redis is dialled. What
//! it returns is consistent; what is allowed but unwise stands in [`Config::warnings`]. Nothing
//! here shows a password: values that may hold one are redacted in every error and by `Display`.

mod file;
pub mod schemas;
pub mod values;

use std::{collections::HashMap, env, fmt, fs, ops::Range, path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};
use serde::Deserialize;

pub use file::Place;
use file::{File, FileRule, Source};
use schemas::{SchemaFiles, SchemaFilesError};
use values::{ByteSize, InvalidValue, Listen, Period, RedisUrl, Threads, redacted};

use crate::{
    backend::{BridgeMode, Keeping, Mode, TopicSettings, redis::Redis},
    catalog::{Catalog, Field, Rule, Unfit, channel_text},
    compression::{Compression, UnknownCompression},
    grpc::web::{InvalidOrigin, WebOrigin},
    limits::EVENT_BYTES_MAX,
    telemetry::{InvalidLogFilter, LogFilter},
    topic::TopicPattern,
};

/// Everything the server is told, checked.
#[derive(Debug, Clone)]
pub struct Config {
    pub listen: Listen,
    /// Others than this machine may connect, although nothing is encrypted and nobody is asked.
    pub insecure: bool,
    /// None: events are kept in this process.
    pub redis: Option<RedisSettings>,
    /// Before a topic's name, the channel on which raw Redis clients meet it.
    pub channel_prefix: String,
    /// Durable topics are kept also on a Redis that may evict or forget them.
    pub allow_volatile: bool,
    /// Which pages may speak gRPC-Web; none: nobody speaks it.
    pub web_origins: Vec<WebOrigin>,
    /// How events are compressed for subscribers that take it, the best first; none: not at all.
    pub subscribe_compression: Vec<Compression>,
    pub drain_grace: Period,
    pub max_stream_age: Period,
    pub threads: Threads,
    pub log: LogFilter,
    pub log_format: LogFormat,
    /// By pattern, each a different one.
    pub topics: Vec<Rule>,
    /// Types of events to register at the start.
    pub schemas: SchemaFiles,
    /// What is allowed but should be known, each with its consequence.
    pub warnings: Vec<String>,
}

#[derive(Debug, Clone)]
pub struct RedisSettings {
    pub url: RedisUrl,
    /// PEM of the authorities to trust instead of the usual ones.
    pub ca: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// The configuration cannot be used. Says where it stands and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("--{name}: {cause}")]
    Flag { name: &'static str, cause: InvalidValue },
    #[error("{}: {cause}", .file.display())]
    Unreadable { file: PathBuf, cause: std::io::Error },
    #[error("{place}: {message}")]
    File { place: Place, message: String },
    #[error("schemas: {0}")]
    Schemas(#[from] SchemaFilesError),
    #[error("{0}")]
    Inconsistent(String),
}

// Texts and not parsed values: an error of clap's would show a password.
#[derive(Debug, Clone, Default, Args)]
pub struct Flags {
    /// A TOML file with the keys below (underscores for dashes) and topic rules.
    #[arg(long, env = "TIDINGS_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where to listen for gRPC [default: 127.0.0.1:7070]; port 0 takes a free one.
    #[arg(long, env = "TIDINGS_LISTEN", value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Keep events on this Redis instead of in memory: redis://, rediss://, unix://,
    /// redis+sentinel://.
    #[arg(long, env = "TIDINGS_REDIS", value_name = "URL", hide_env_values = true)]
    pub redis: Option<String>,
    /// Trust the certificate authorities in this PEM file for a rediss:// or rediss+sentinel:// URL.
    #[arg(long, env = "TIDINGS_REDIS_CA", value_name = "FILE")]
    pub redis_ca: Option<PathBuf>,
    /// Put before a topic's name to get the channel where raw Redis clients meet it [default: none].
    #[arg(long, env = "TIDINGS_CHANNEL_PREFIX", value_name = "TEXT")]
    pub channel_prefix: Option<String>,
    /// Keep durable topics also on a Redis that may evict or forget them.
    #[arg(long, env = "TIDINGS_ALLOW_VOLATILE", value_name = "BOOL", num_args = 0..=1,
          require_equals = true, default_missing_value = "true")]
    pub allow_volatile: Option<bool>,
    /// Let other machines connect without encryption and without asking who they are.
    #[arg(long, env = "TIDINGS_INSECURE", value_name = "BOOL", num_args = 0..=1,
          require_equals = true, default_missing_value = "true")]
    pub insecure: Option<bool>,
    /// Pages that may speak gRPC-Web: local, or origins as browsers name them, with commas between;
    /// nothing: none [default: local, where only this machine can connect].
    #[arg(long, env = "TIDINGS_WEB_ORIGINS", value_name = "LIST")]
    pub web_origins: Option<String>,
    /// Compress events for subscribers that take it: gzip, zstd, or both with a comma between, the
    /// better first; nothing: not at all [default: nothing].
    #[arg(long, env = "TIDINGS_SUBSCRIBE_COMPRESSION", value_name = "LIST")]
    pub subscribe_compression: Option<String>,
    /// Register the types in these .proto files at the start: patterns with commas between, such as
    /// schemas/**/*.proto, or directories [default: none].
    #[arg(long, env = "TIDINGS_SCHEMAS", value_name = "LIST")]
    pub schemas: Option<String>,
    /// How long clients get to move elsewhere when the server stops [default: 5s].
    #[arg(long, env = "TIDINGS_DRAIN_GRACE", value_name = "TIME")]
    pub drain_grace: Option<String>,
    /// A subscriber is asked to reconnect after this time, give or take a tenth [default: 30m].
    #[arg(long, env = "TIDINGS_MAX_STREAM_AGE", value_name = "TIME")]
    pub max_stream_age: Option<String>,
    /// How many threads serve connections [default: one for each core].
    #[arg(long, env = "TIDINGS_THREADS", value_name = "N")]
    pub threads: Option<String>,
    /// What to log: a level, or directives such as tidings=debug,h2=warn [default: info].
    #[arg(long, env = "TIDINGS_LOG", value_name = "FILTER")]
    pub log: Option<String>,
    /// How to log [default: text].
    #[arg(long, env = "TIDINGS_LOG_FORMAT", value_name = "FORMAT", value_enum)]
    pub log_format: Option<LogFormat>,
}

const DEFAULT_LISTEN: &str = "127.0.0.1:7070";
const DRAIN_GRACE: Period = Period(Duration::from_secs(5));
/// Clients that do not read are cut off after the grace; the process is gone soon after.
const DRAIN_GRACE_MAX: Duration = Duration::from_secs(300);
const MAX_STREAM_AGE: Period = Period(Duration::from_secs(30 * 60));
const MAX_STREAM_AGE_MIN: Duration = Duration::from_secs(1);
/// Kubernetes kills a process this long after it was told to stop.
const KUBERNETES_PATIENCE: Duration = Duration::from_secs(30);

impl Config {
    /// Reads the file that the flags name, if any, and checks all of it.
    pub fn load(flags: &Flags) -> Result<Config, ConfigError> {
        let Some(path) = &flags.config else {
            return Config::assemble(flags, &Source::none(), File::default());
        };
        let text = fs::read_to_string(path)
            .map_err(|cause| ConfigError::Unreadable { file: path.clone(), cause })?;
        let source = Source { file: path.clone(), text };
        let file =
            source.parse().map_err(|(place, message)| ConfigError::File { place, message })?;
        Config::assemble(flags, &source, file)
    }

    /// A file with this text, for `fuzz/`.
    #[cfg(fuzzing)]
    #[doc(hidden)]
    pub fn from_text(text: &str) -> Result<Config, ConfigError> {
        let source = Source { file: "fuzz.toml".into(), text: text.to_owned() };
        let file =
            source.parse().map_err(|(place, message)| ConfigError::File { place, message })?;
        Config::assemble(&Flags::default(), &source, file)
    }

    fn assemble(flags: &Flags, source: &Source, file: File) -> Result<Config, ConfigError> {
        let url = parsed("redis", &flags.redis)?.or(file.redis);
        let ca = flags.redis_ca.clone().or(file.redis_ca);
        let channel_prefix = flags.channel_prefix.clone().or(file.channel_prefix);
        let log = match flags.log.as_ref().or(file.log.as_ref()) {
            Some(text) => text.parse().map_err(|why: InvalidLogFilter| {
                ConfigError::Inconsistent(format!("log: {:?} {why}", redacted(text)))
            })?,
            None => LogFilter::default(),
        };
        let mut warnings = Vec::new();
        if url.is_none() && ca.is_some() {
            warnings.push("redis_ca does nothing without redis".to_owned());
        }
        let redis = url.map(|url| redis_settings(url, ca)).transpose()?;
        let listen = match parsed("listen", &flags.listen)?.or(file.listen) {
            Some(listen) => listen,
            None => DEFAULT_LISTEN.parse().expect("the default is an address"),
        };
        let config = Config {
            listen,
            insecure: flags.insecure.or(file.insecure).unwrap_or(false),
            redis,
            channel_prefix: channel_prefix.unwrap_or_default(),
            allow_volatile: flags.allow_volatile.or(file.allow_volatile).unwrap_or(false),
            web_origins: web_origins(flags.web_origins.as_deref(), file.web_origins, listen)?,
            subscribe_compression: subscribe_compression(
                flags.subscribe_compression.as_deref(),
                file.subscribe_compression,
            )?,
            drain_grace: parsed("drain-grace", &flags.drain_grace)?
                .or(file.drain_grace)
                .unwrap_or(DRAIN_GRACE),
            max_stream_age: parsed("max-stream-age", &flags.max_stream_age)?
                .or(file.max_stream_age)
                .unwrap_or(MAX_STREAM_AGE),
            threads: parsed("threads", &flags.threads)?.or(file.threads).unwrap_or_default(),
            log,
            log_format: flags.log_format.or(file.log_format).unwrap_or_default(),
            topics: topic_rules(source, file.topics)?,
            schemas: schema_files(flags.schemas.as_deref(), file.schemas)?,
            warnings,
        };
        config.check()?;
        Ok(config.with_warnings())
    }

    /// What each value alone cannot show.
    fn check(&self) -> Result<(), ConfigError> {
        let inconsistent = |why: String| Err(ConfigError::Inconsistent(why));
        if !self.listen.0.ip().is_loopback() && !self.insecure {
            return inconsistent(format!(
                "listening on {} would let other machines publish and read everything: there is \
                 no encryption and nobody is asked who they are. Listen on 127.0.0.1, or say \
                 --insecure where the network itself keeps others out",
                self.listen
            ));
        }
        channel_text("channel_prefix", &self.channel_prefix).map_err(ConfigError::Inconsistent)?;
        if self.drain_grace.0 > DRAIN_GRACE_MAX {
            let max = Period(DRAIN_GRACE_MAX);
            return inconsistent(format!("drain_grace is {}; at most {max}", self.drain_grace));
        }
        if self.max_stream_age.0 < MAX_STREAM_AGE_MIN {
            let min = Period(MAX_STREAM_AGE_MIN);
            return inconsistent(format!(
                "max_stream_age is {}; at least {min}, or every subscriber only reconnects",
                self.max_stream_age
            ));
        }
        let topics =
            Catalog::new(self.topics.clone(), &self.channel_prefix, TopicSettings::default());
        topics.map(drop).map_err(|conflict| ConfigError::Inconsistent(conflict.to_string()))
    }

    fn with_warnings(mut self) -> Config {
        let mut warn = |why: String| self.warnings.push(why);
        if !self.listen.0.ip().is_loopback() {
            warn(format!(
                "insecure: whoever reaches {} may publish and read everything, in the clear",
                self.listen
            ));
        }
        if self.drain_grace.0 + Duration::from_secs(5) > KUBERNETES_PATIENCE {
            warn(format!(
                "drain_grace is {}: Kubernetes kills after {}, unless \
                 terminationGracePeriodSeconds is raised",
                self.drain_grace,
                Period(KUBERNETES_PATIENCE)
            ));
        }
        if self.max_stream_age.0 < Duration::from_secs(60) {
            warn(format!(
                "max_stream_age is {}: 1,000 subscribers reconnect {:.0} times a second",
                self.max_stream_age,
                1000.0 / self.max_stream_age.0.as_secs_f64()
            ));
        }
        match &self.redis {
            Some(redis) if redis.url.is_exposed() => warn(format!(
                "redis at {} is spoken to in the clear, password and events included: \
                 use rediss:// where others share the network",
                redis.url.host()
            )),
            Some(_) | None => (),
        }
        match &self.redis {
            Some(_) => {
                let raw = |rule: &&Rule| rule.bridge == Some(BridgeMode::Raw);
                for rule in self.topics.iter().filter(raw) {
                    warn(format!(
                        "the bridge of {} copies data as it is: a raw client that expects text, as \
                         redis-py with decode_responses, ends at the first event that is none; \
                         publish text or JSON there, or use cloudevents-json",
                        rule.pattern
                    ));
                }
            }
            None => {
                let bridged = |rule: &&Rule| {
                    matches!(rule.bridge, Some(BridgeMode::Raw | BridgeMode::CloudEventsJson))
                };
                for rule in self.topics.iter().filter(bridged) {
                    warn(format!("the bridge of {} does nothing without redis", rule.pattern));
                }
                let waits = |rule: &&Rule| rule.replicas.is_some() || rule.fsync.is_some();
                for rule in self.topics.iter().filter(waits) {
                    warn(format!(
                        "replicas and fsync of {} do nothing without redis",
                        rule.pattern
                    ));
                }
            }
        }
        for rule in &self.topics {
            let Keeping { mode, retention } = rule.keeping(Keeping::of(Mode::Live));
            let Some(bytes) = retention.max_bytes else {
                warn(format!(
                    "max_bytes of {} is not set: events of each topic may take all memory there is",
                    rule.pattern
                ));
                continue;
            };
            if bytes > 1 << 30 {
                let bytes = ByteSize(bytes);
                warn(format!("each topic of {} may take {bytes} of memory", rule.pattern));
            }
            if bytes < EVENT_BYTES_MAX as u64 && mode == Mode::Live {
                warn(format!(
                    "max_bytes of {} is {}: the largest event has {} and heals no outage",
                    rule.pattern,
                    ByteSize(bytes),
                    ByteSize(EVENT_BYTES_MAX as u64)
                ));
            }
        }
        self.warnings.extend(unknown_variables(env::vars_os().map(|(name, _)| name)));
        self
    }
}

fn parsed<T>(name: &'static str, text: &Option<String>) -> Result<Option<T>, ConfigError>
where
    T: std::str::FromStr<Err = InvalidValue>,
{
    let parsed = text.as_deref().map(str::parse).transpose();
    parsed.map_err(|cause| ConfigError::Flag { name, cause })
}

fn web_origins(
    flag: Option<&str>,
    file: Option<Vec<String>>,
    listen: Listen,
) -> Result<Vec<WebOrigin>, ConfigError> {
    let Some(origins) = flag.map(listed).or(file) else {
        return Ok(if listen.0.ip().is_loopback() { vec![WebOrigin::Local] } else { Vec::new() });
    };
    let origins = origins.iter().filter(|origin| !origin.is_empty()).map(|origin| origin.parse());
    origins
        .collect::<Result<_, InvalidOrigin>>()
        .map_err(|why| ConfigError::Inconsistent(format!("web_origins: {why}")))
}

fn subscribe_compression(
    flag: Option<&str>,
    file: Option<Vec<String>>,
) -> Result<Vec<Compression>, ConfigError> {
    let named = flag.map(listed).or(file).unwrap_or_default();
    let named = named.iter().filter(|name| !name.is_empty()).map(|name| name.parse());
    named
        .collect::<Result<_, UnknownCompression>>()
        .map_err(|why| ConfigError::Inconsistent(format!("subscribe_compression: {why}")))
}

fn schema_files(flag: Option<&str>, file: Option<Vec<String>>) -> Result<SchemaFiles, ConfigError> {
    let mut patterns = flag.map(listed).or(file).unwrap_or_default();
    patterns.retain(|pattern| !pattern.is_empty());
    Ok(SchemaFiles::load(patterns)?)
}

/// What stands between commas.
fn listed(flag: &str) -> Vec<String> {
    flag.split(',').map(|one| one.trim().to_owned()).collect()
}

fn redis_settings(url: RedisUrl, ca: Option<PathBuf>) -> Result<RedisSettings, ConfigError> {
    let ca = ca.map(|file| checked_ca(&url, file)).transpose()?;
    // The library that connects reads the URL, too, and has the last word.
    Redis::check_address(url.expose(), ca.as_ref())
        .map_err(|why| ConfigError::Inconsistent(format!("redis: {url} cannot be used: {why}")))?;
    Ok(RedisSettings { url, ca })
}

fn checked_ca(url: &RedisUrl, file: PathBuf) -> Result<PathBuf, ConfigError> {
    if !url.is_encrypted() {
        return Err(ConfigError::Inconsistent(format!(
            "redis_ca is set, but {url} uses no TLS: write the URL as rediss:// or \
             rediss+sentinel://"
        )));
    }
    let pem = match fs::read(&file) {
        Ok(pem) => pem,
        Err(cause) => return Err(ConfigError::Unreadable { file, cause }),
    };
    let marker = b"-----BEGIN CERTIFICATE-----";
    if !pem.windows(marker.len()).any(|window| window == marker) {
        return Err(ConfigError::Inconsistent(format!(
            "redis_ca: {} holds no certificate in PEM form",
            file.display()
        )));
    }
    Ok(file)
}

fn topic_rules(
    source: &Source,
    rules: Vec<toml::Spanned<FileRule>>,
) -> Result<Vec<Rule>, ConfigError> {
    let mut patterns: HashMap<TopicPattern, Place> = HashMap::new();
    let mut channels: HashMap<String, Place> = HashMap::new();
    let mut parsed = Vec::with_capacity(rules.len());
    for rule in rules {
        let span = rule.get_ref().pattern.span();
        let place = source.place(span);
        let error = |(span, message): (Range<usize>, String)| ConfigError::File {
            place: source.place(span),
            message,
        };
        let rule = rule.into_inner();
        let channel_span = rule.channel.as_ref().map(toml::Spanned::span);
        let rule = topic_rule(rule).map_err(error)?;
        if let Some(first) = patterns.insert(rule.pattern.clone(), place.clone()) {
            let message = format!("{} has a rule already, at {first}", rule.pattern);
            return Err(ConfigError::File { place, message });
        }
        if let (Some(channel), Some(span)) = (&rule.channel, channel_span)
            && let Some(first) = channels.insert(channel.clone(), source.place(span.clone()))
        {
            let message = format!("channel {channel:?} is taken already, at {first}");
            return Err(error((span, message)));
        }
        parsed.push(rule);
    }
    Ok(parsed)
}

fn topic_rule(rule: FileRule) -> Result<Rule, (Range<usize>, String)> {
    check_fsync(&rule)?;
    let pattern_span = rule.pattern.span();
    let pattern: TopicPattern = rule
        .pattern
        .get_ref()
        .parse()
        .map_err(|error| (pattern_span.clone(), format!("{error}")))?;
    let places = [
        (Field::Channel, rule.channel.as_ref().map(toml::Spanned::span)),
        (Field::MaxEvents, rule.max_events.as_ref().map(toml::Spanned::span)),
        (Field::MaxBytes, rule.max_bytes.as_ref().map(toml::Spanned::span)),
        (Field::MaxAge, rule.max_age.as_ref().map(toml::Spanned::span)),
        (Field::DedupeWindow, rule.dedupe_window.as_ref().map(toml::Spanned::span)),
        (Field::Replicas, rule.replicas.as_ref().map(toml::Spanned::span)),
        (Field::DefaultType, rule.default_type.as_ref().map(toml::Spanned::span)),
        (Field::Types, rule.types.as_ref().map(toml::Spanned::span)),
    ];
    let rule = Rule {
        pattern,
        bridge: rule.bridge,
        channel: rule.channel.map(toml::Spanned::into_inner),
        mode: rule.mode,
        replicas: rule.replicas.map(toml::Spanned::into_inner),
        fsync: rule.fsync.map(toml::Spanned::into_inner),
        dedupe_window: rule.dedupe_window.map(|window| window.into_inner().0),
        max_events: rule.max_events.map(toml::Spanned::into_inner),
        max_bytes: rule.max_bytes.map(|bytes| bytes.into_inner().0),
        max_age: rule.max_age.map(|age| age.into_inner().0),
        default_type: rule.default_type.map(toml::Spanned::into_inner),
        enforcement: rule.enforcement,
        types: rule.types.map(|types| types.into_inner().into_iter().collect()),
    };
    match rule.check() {
        Ok(()) => Ok(rule),
        Err(Unfit { field, why }) => {
            let place = places.into_iter().find(|(of, _)| *of == field);
            Err((place.and_then(|(_, span)| span).unwrap_or(pattern_span), why))
        }
    }
}

/// What the disk is waited for is the file's alone to say.
fn check_fsync(rule: &FileRule) -> Result<(), (Range<usize>, String)> {
    match &rule.fsync {
        Some(fsync) if rule.mode != Some(Mode::Durable) => {
            let why = "fsync is for durable topics: set mode = \"durable\", or leave it out";
            Err((fsync.span(), why.to_owned()))
        }
        Some(_) | None => Ok(()),
    }
}

/// Variables that look like ours and are none: most likely misspelt. Kubernetes sets some of its
/// own for a service that is named `tidings`; those are left alone.
fn unknown_variables(
    names: impl Iterator<Item = std::ffi::OsString>,
) -> impl Iterator<Item = String> {
    const OTHERS: [&str; 8] =
        ["ADDRESS", "CHECK", "ENVOY", "GRPCURL", "HAPROXY", "NGINX", "PYTHON", "TEST"];
    let known: Vec<String> = <Flags as Args>::augment_args(clap::Command::new("tidings"))
        .get_arguments()
        .filter_map(|arg| arg.get_env()?.to_str().map(str::to_owned))
        .collect();
    names.filter_map(move |name| {
        let name = name.to_str()?;
        let key = name.strip_prefix("TIDINGS_")?;
        let ours = known.iter().any(|known| known == name);
        let other = OTHERS.iter().any(|other| key.starts_with(other));
        let kubernetes = key.starts_with("SERVICE_") || key.starts_with("PORT");
        (!ours && !other && !kubernetes).then(|| format!("{name} is no setting: it does nothing"))
    })
}

impl Source {
    fn none() -> Source {
        Source { file: PathBuf::new(), text: String::new() }
    }
}

/// As a file that would say the same, passwords left out.
impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
        writeln!(f, "listen = {}", quoted(&self.listen.to_string()))?;
        writeln!(f, "insecure = {}", self.insecure)?;
        match &self.redis {
            None => writeln!(f, "# redis is not set: events are kept in memory")?,
            Some(redis) => {
                writeln!(f, "redis = {}", quoted(&redis.url.to_string()))?;
                if let Some(ca) = &redis.ca {
                    writeln!(f, "redis_ca = {}", quoted(&ca.display().to_string()))?;
                }
            }
        }
        writeln!(f, "channel_prefix = {}", quoted(&self.channel_prefix))?;
        writeln!(f, "allow_volatile = {}", self.allow_volatile)?;
        let origins: Vec<_> = self.web_origins.iter().map(|one| quoted(&one.to_string())).collect();
        writeln!(f, "web_origins = [{}]", origins.join(", "))?;
        let names = self.subscribe_compression.iter().map(|one| quoted(one.name()));
        let names: Vec<_> = names.collect();
        writeln!(f, "subscribe_compression = [{}]", names.join(", "))?;
        let patterns: Vec<_> = self.schemas.patterns.iter().map(|one| quoted(one)).collect();
        writeln!(f, "schemas = [{}]", patterns.join(", "))?;
        writeln!(f, "drain_grace = {}", quoted(&self.drain_grace.to_string()))?;
        writeln!(f, "max_stream_age = {}", quoted(&self.max_stream_age.to_string()))?;
        writeln!(f, "threads = {}", self.threads)?;
        writeln!(f, "log = {}", quoted(&self.log.to_string()))?;
        writeln!(f, "log_format = {}", quoted(self.log_format.name()))?;
        for rule in &self.topics {
            writeln!(f, "\n[[topics]]\npattern = {}", quoted(rule.pattern.as_str()))?;
            if let Some(bridge) = rule.bridge {
                writeln!(f, "bridge = {}", quoted(bridge_name(bridge)))?;
            }
            if let Some(channel) = &rule.channel {
                writeln!(f, "channel = {}", quoted(channel))?;
            }
            if let Some(mode) = rule.mode {
                writeln!(f, "mode = {}", quoted(mode.name()))?;
            }
            if let Some(events) = rule.max_events {
                writeln!(f, "max_events = {events}")?;
            }
            if let Some(bytes) = rule.max_bytes {
                writeln!(f, "max_bytes = {}", quoted(&ByteSize(bytes).to_string()))?;
            }
            if let Some(age) = rule.max_age {
                writeln!(f, "max_age = {}", quoted(&Period(age).to_string()))?;
            }
            if let Some(replicas) = rule.replicas {
                writeln!(f, "replicas = {replicas}")?;
            }
            if let Some(fsync) = rule.fsync {
                writeln!(f, "fsync = {fsync}")?;
            }
            if let Some(name) = &rule.default_type {
                writeln!(f, "default_type = {}", quoted(name))?;
            }
            if let Some(enforcement) = rule.enforcement {
                writeln!(f, "enforcement = {}", quoted(enforcement.name()))?;
            }
            if let Some(types) = &rule.types {
                let names: Vec<_> = types.iter().map(|name| quoted(name)).collect();
                writeln!(f, "types = [{}]", names.join(", "))?;
            }
            if let Some(window) = rule.dedupe_window {
                writeln!(f, "dedupe_window = {}", quoted(&Period(window).to_string()))?;
            }
        }
        Ok(())
    }
}

impl LogFormat {
    fn name(self) -> &'static str {
        match self {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        }
    }
}

fn bridge_name(mode: BridgeMode) -> &'static str {
    match mode {
        BridgeMode::Off => "off",
        BridgeMode::Listen => "listen",
        BridgeMode::Raw => "raw",
        BridgeMode::CloudEventsJson => "cloudevents-json",
    }
}

#[cfg(test)]
mod tests;
