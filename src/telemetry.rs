//! What the server says while it runs: structured logs on stderr, as text or as JSON lines.

use std::{
    env, fmt,
    io::{self, IsTerminal as _},
    str::FromStr,
};

use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// What is logged: a level, or directives by module; proven to parse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFilter(String);

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no log filter: write it as info, or as tidings=debug,h2=warn")]
pub struct InvalidLogFilter;

impl FromStr for LogFilter {
    type Err = InvalidLogFilter;

    // Stricter than `EnvFilter`, which takes a misspelt level for a module and then says nothing.
    fn from_str(text: &str) -> Result<LogFilter, InvalidLogFilter> {
        let known = |level: &str| LEVELS.contains(&level.to_ascii_lowercase().as_str());
        let module = |name: &str| {
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"_:-".contains(&b);
            !name.is_empty() && name.bytes().all(plain)
        };
        let valid = text.split(',').all(|part| match part.split_once('=') {
            Some((name, level)) => module(name) && known(level),
            None => known(part),
        });
        if valid { Ok(LogFilter(text.to_owned())) } else { Err(InvalidLogFilter) }
    }
}

impl Default for LogFilter {
    fn default() -> LogFilter {
        LogFilter("info".to_owned())
    }
}

impl fmt::Display for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// From now on the process logs. Once per process; a second call changes nothing.
pub fn init(filter: &LogFilter, format: LogFormat) {
    let filter = EnvFilter::new(&filter.0);
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    // Colours are for people: not for files, nor for those who asked for none.
    let colours = io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none();
    let begun = match format {
        LogFormat::Text => logs.with_ansi(colours).with_target(false).try_init(),
        LogFormat::Json => logs.json().flatten_event(true).try_init(),
    };
    if let Err(error) = begun {
        tracing::debug!(%error, "logs were begun before");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_level_is_no_filter() {
        for text in ["info", "WARN", "tidings=debug,h2=warn", "info,tidings::cli=off"] {
            assert!(text.parse::<LogFilter>().is_ok(), "{text}");
            assert!(EnvFilter::try_new(text).is_ok(), "{text}");
        }
        for text in [
            "",
            "inof",
            "tidings",
            "tidings=inof",
            "a=b=c",
            "redis://u:p@h",
            "info,",
            "info, a=off",
        ] {
            assert!(text.parse::<LogFilter>().is_err(), "{text} was accepted");
        }
    }
}
