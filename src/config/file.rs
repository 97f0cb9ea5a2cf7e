//! The configuration file: TOML, each key named as its flag, unknown keys refused with their line.

use std::{fmt, ops::Range, path::PathBuf};

use serde::Deserialize;
use toml::Spanned;

use super::{
    LogFormat,
    values::{ByteSize, Listen, Period, RedisUrl, Threads, redacted},
};
use crate::backend::{self, BridgeMode, Enforcement};

/// What the file says; what it leaves out is none.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) listen: Option<Listen>,
    pub(super) insecure: Option<bool>,
    pub(super) redis: Option<RedisUrl>,
    pub(super) redis_ca: Option<PathBuf>,
    pub(super) channel_prefix: Option<String>,
    pub(super) allow_volatile: Option<bool>,
    pub(super) web_origins: Option<Vec<String>>,
    pub(super) subscribe_compression: Option<Vec<String>>,
    pub(super) schemas: Option<Vec<String>>,
    pub(super) drain_grace: Option<Period>,
    pub(super) max_stream_age: Option<Period>,
    pub(super) threads: Option<Threads>,
    pub(super) log: Option<String>,
    pub(super) log_format: Option<LogFormat>,
    #[serde(default)]
    pub(super) topics: Vec<Spanned<FileRule>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileRule {
    pub(super) pattern: Spanned<String>,
    #[serde(default, deserialize_with = "bridge_mode")]
    pub(super) bridge: Option<BridgeMode>,
    pub(super) channel: Option<Spanned<String>>,
    #[serde(default, deserialize_with = "mode")]
    pub(super) mode: Option<backend::Mode>,
    pub(super) max_events: Option<Spanned<u64>>,
    pub(super) max_bytes: Option<Spanned<ByteSize>>,
    pub(super) max_age: Option<Spanned<Period>>,
    pub(super) replicas: Option<Spanned<u32>>,
    pub(super) fsync: Option<Spanned<bool>>,
    pub(super) default_type: Option<Spanned<String>>,
    #[serde(default, deserialize_with = "enforcement")]
    pub(super) enforcement: Option<Enforcement>,
    pub(super) types: Option<Spanned<Vec<String>>>,
    pub(super) dedupe_window: Option<Spanned<Period>>,
}

/// A place in the file: `tidings.toml:3:1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub file: PathBuf,
    pub line: usize,
    pub column: usize,
}

/// The text of a file, kept to say where something stands in it.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) file: PathBuf,
    pub(super) text: String,
}

impl Source {
    pub(super) fn place(&self, span: Range<usize>) -> Place {
        let before = self.text.get(..span.start).unwrap_or(&self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Place {
            file: self.file.clone(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }

    /// Never shows the line itself: it may hold a password.
    pub(super) fn parse(&self) -> Result<File, (Place, String)> {
        toml::from_str(&self.text).map_err(|error| {
            let message = redacted(error.message().trim()).replace('\n', ", ");
            (self.place(error.span().unwrap_or(0..0)), message)
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}

fn mode<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<backend::Mode>, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum Mode {
        Live,
        Durable,
    }
    Ok(Some(match Mode::deserialize(from)? {
        Mode::Live => backend::Mode::Live,
        Mode::Durable => backend::Mode::Durable,
    }))
}

fn enforcement<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Enforcement>, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum Asked {
        Off,
        Warn,
        Reject,
    }
    Ok(Some(match Asked::deserialize(from)? {
        Asked::Off => Enforcement::Off,
        Asked::Warn => Enforcement::Warn,
        Asked::Reject => Enforcement::Reject,
    }))
}

fn bridge_mode<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<BridgeMode>, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum Mode {
        Off,
        Listen,
        Raw,
        CloudeventsJson,
    }
    Ok(Some(match Mode::deserialize(from)? {
        Mode::Off => BridgeMode::Off,
        Mode::Listen => BridgeMode::Listen,
        Mode::Raw => BridgeMode::Raw,
        Mode::CloudeventsJson => BridgeMode::CloudEventsJson,
    }))
}
