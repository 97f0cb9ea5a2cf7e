//! The values that a configuration is made of: each parsed once, and shown as it may be typed.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZeroUsize,
    path::PathBuf,
    str::FromStr,
    thread,
    time::Duration,
};

use serde::Deserialize;

use crate::{
    backend::redis::{SentinelUrl, percent_decoded},
    limits::THREADS_MAX,
};

/// A length of time: `250ms`, `5s`, `30m`, `1h30m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Period(pub Duration);

/// An amount of memory: `512KiB`, `16MiB`, `1GiB`, or plain bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "NumberOrText")]
pub struct ByteSize(pub u64);

/// Where to listen: `127.0.0.1:7070`, `[::1]:7070`, `localhost:7070`; port 0 takes a free one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Listen(pub SocketAddr);

/// A number of threads, at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "NumberOrText")]
pub struct Threads(pub NonZeroUsize);

/// What nobody should read in a log: shown as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// Where Redis is, and as whom to speak to it. Shown without its password.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct RedisUrl {
    pub place: RedisPlace,
    pub user: Option<String>,
    pub password: Option<Secret>,
    pub database: u32,
    text: Secret,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedisPlace {
    Tcp {
        host: String,
        port: u16,
    },
    Tls {
        host: String,
        port: u16,
    },
    Unix {
        path: PathBuf,
    },
    /// Wherever these say that the service is.
    Sentinel {
        tls: bool,
        sentinels: Vec<(String, u16)>,
        service: String,
        user: Option<String>,
        password: Option<Secret>,
    },
}

/// The text is not such a value. Says what one looks like, and shows no password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{shown:?} is not {expected}")]
pub struct InvalidValue {
    shown: String,
    expected: &'static str,
}

impl InvalidValue {
    pub(super) fn new(text: &str, expected: &'static str) -> InvalidValue {
        InvalidValue { shown: redacted(text), expected }
    }
}

const PERIOD: &str = "a length of time: write it as 250ms, 5s, 30m, 2h or 1h30m";
const BYTE_SIZE: &str = "a size: write it as 4096, 512KiB, 16MiB or 1GiB";
const THREADS: &str = "a number of threads: write it as 1, 2, and so on up to 1024";
const LISTEN: &str = "an address to listen on: write it as 127.0.0.1:7070, [::1]:7070 or 0.0.0.0:0";

impl FromStr for Period {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Period, InvalidValue> {
        let invalid = || InvalidValue::new(text, PERIOD);
        let mut rest = text.trim();
        let mut total = Duration::ZERO;
        if rest.is_empty() {
            return Err(invalid());
        }
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let number: u64 = rest[..digits].parse().map_err(|_| invalid())?;
            rest = &rest[digits..];
            let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
            let seconds = |unit: u64| number.checked_mul(unit).map(Duration::from_secs);
            let part = match &rest[..letters] {
                "ms" => Some(Duration::from_millis(number)),
                "s" => seconds(1),
                "m" => seconds(60),
                "h" => seconds(3600),
                "d" => seconds(86_400),
                _ => None,
            };
            total = part.and_then(|part| total.checked_add(part)).ok_or_else(invalid)?;
            rest = &rest[letters..];
        }
        Ok(Period(total))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, millis) = (self.0.as_secs(), self.0.subsec_millis());
        if self.0.is_zero() {
            return f.write_str("0s");
        }
        let units = [
            (seconds / 3600, "h"),
            (seconds / 60 % 60, "m"),
            (seconds % 60, "s"),
            (millis.into(), "ms"),
        ];
        for (count, unit) in units.into_iter().filter(|(count, _)| *count > 0) {
            write!(f, "{count}{unit}")?;
        }
        Ok(())
    }
}

impl FromStr for ByteSize {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<ByteSize, InvalidValue> {
        let invalid = || InvalidValue::new(text, BYTE_SIZE);
        let trimmed = text.trim();
        let digits = trimmed.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = trimmed[..digits].parse().map_err(|_| invalid())?;
        let unit = match trimmed[digits..].trim().to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "kib" => 1 << 10,
            "mib" => 1 << 20,
            "gib" => 1 << 30,
            "kb" => 1_000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            _ => return Err(invalid()),
        };
        number.checked_mul(unit).map(ByteSize).ok_or_else(invalid)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        match units.into_iter().find(|(unit, _)| self.0 > 0 && self.0.is_multiple_of(*unit)) {
            Some((unit, name)) => write!(f, "{}{name}", self.0 / unit),
            None => write!(f, "{}", self.0),
        }
    }
}

impl FromStr for Threads {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Threads, InvalidValue> {
        let threads: Option<NonZeroUsize> = text.trim().parse().ok();
        let threads = threads.filter(|threads| threads.get() <= THREADS_MAX);
        threads.map(Threads).ok_or_else(|| InvalidValue::new(text, THREADS))
    }
}

/// One for each core that this process may use.
impl Default for Threads {
    fn default() -> Threads {
        Threads(thread::available_parallelism().unwrap_or(NonZeroUsize::MIN))
    }
}

impl fmt::Display for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl FromStr for Listen {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Listen, InvalidValue> {
        let text = text.trim();
        if let Some(port) = text.strip_prefix("localhost:") {
            let port = port.parse().map_err(|_| InvalidValue::new(text, LISTEN))?;
            return Ok(Listen(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)));
        }
        text.parse().map(Listen).map_err(|_| InvalidValue::new(text, LISTEN))
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Secret {
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The secret itself, for the one place that has to send it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl RedisUrl {
    /// Whether what is said there can be heard by others: in the clear, to another machine.
    pub fn is_exposed(&self) -> bool {
        match &self.place {
            RedisPlace::Tcp { host, .. } => !is_local(host),
            RedisPlace::Tls { .. } | RedisPlace::Unix { .. } => false,
            RedisPlace::Sentinel { tls, sentinels, .. } => {
                !tls && !sentinels.iter().all(|(host, _)| is_local(host))
            }
        }
    }

    /// As it was given, for the one place that has to connect.
    pub fn expose(&self) -> &str {
        self.text.expose()
    }

    /// Whether TLS is spoken there.
    pub fn is_encrypted(&self) -> bool {
        match &self.place {
            RedisPlace::Tls { .. } => true,
            RedisPlace::Sentinel { tls, .. } => *tls,
            RedisPlace::Tcp { .. } | RedisPlace::Unix { .. } => false,
        }
    }

    /// The host, or the path of the socket, or the service and its sentinels.
    pub fn host(&self) -> String {
        match &self.place {
            RedisPlace::Tcp { host, .. } | RedisPlace::Tls { host, .. } => host.clone(),
            RedisPlace::Unix { path } => path.display().to_string(),
            RedisPlace::Sentinel { sentinels, service, .. } => {
                format!("{service} by {}", hosts(sentinels))
            }
        }
    }
}

impl FromStr for RedisUrl {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<RedisUrl, InvalidValue> {
        let invalid = |expected| InvalidValue::new(text, expected);
        let (scheme, rest) = text.trim().split_once("://").ok_or_else(|| {
            invalid(
                "a Redis URL: write it as redis://127.0.0.1:6379, rediss://…, unix:///path, or \
                 redis+sentinel://host:26379,host2:26379/service",
            )
        })?;
        if let Some(parsed) = SentinelUrl::parse(text) {
            let url = RedisUrl::from(parsed.map_err(invalid)?);
            return Ok(RedisUrl { text: Secret::new(text.trim()), ..url });
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let url = match scheme {
            "redis" => parse_tcp(rest, query, |host, port| RedisPlace::Tcp { host, port }),
            "rediss" => parse_tcp(rest, query, |host, port| RedisPlace::Tls { host, port }),
            "unix" | "redis+unix" => parse_unix(rest, query),
            _ => Err("a Redis URL: it begins with redis://, rediss://, unix://, redis+unix://, \
                 redis+sentinel:// or rediss+sentinel://"),
        };
        let url = url.map_err(invalid)?;
        Ok(RedisUrl { text: Secret::new(text.trim()), ..url })
    }
}

impl From<SentinelUrl> for RedisUrl {
    fn from(url: SentinelUrl) -> RedisUrl {
        let SentinelUrl { tls, sentinels, service, database, user, password, .. } = url;
        let place = RedisPlace::Sentinel {
            tls,
            sentinels,
            service,
            user: url.sentinel_user,
            password: url.sentinel_password.map(Secret),
        };
        let (password, text) = (password.map(Secret), Secret::new(""));
        RedisUrl { place, user, password, database, text }
    }
}

fn parse_tcp(
    rest: &str,
    query: &str,
    place: impl Fn(String, u16) -> RedisPlace,
) -> Result<RedisUrl, &'static str> {
    if !query.is_empty() {
        return Err("understood: a Redis URL over TCP takes no parameters after a question mark");
    }
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (credentials, address) = match authority.rsplit_once('@') {
        Some((credentials, address)) => (Some(credentials), address),
        None => (None, authority),
    };
    let (user, password) = match credentials.map(|text| text.split_once(':').unwrap_or((text, "")))
    {
        None => (None, None),
        Some((user, password)) => (some(decoded(user)?), some(decoded(password)?)),
    };
    let (host, port) = match address.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':').unwrap_or(port)),
        None => address.rsplit_once(':').unwrap_or((address, "")),
    };
    if host.is_empty() {
        return Err("a Redis URL with a host: write it as redis://127.0.0.1:6379");
    }
    let port = match port {
        "" => 6379,
        port => port.parse().map_err(|_| "a Redis URL with a port from 1 to 65535")?,
    };
    let database = database(path.trim_end_matches('/'))?;
    let place = place(host.to_owned(), port);
    Ok(RedisUrl { place, user, password: password.map(Secret), database, text: Secret::new("") })
}

fn parse_unix(rest: &str, query: &str) -> Result<RedisUrl, &'static str> {
    if !rest.starts_with('/') {
        return Err("a Redis URL with a path: write it as unix:///run/redis/redis.sock");
    }
    let (mut user, mut password, mut db) = (None, None, 0);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("user", value)) => user = some(decoded(value)?),
            Some(("pass", value)) => password = some(decoded(value)?),
            Some(("db", value)) => db = database(value)?,
            _ => return Err("a Redis URL: after a socket's path stand db, user and pass only"),
        }
    }
    let place = RedisPlace::Unix { path: decoded(rest)?.into() };
    Ok(RedisUrl {
        place,
        user,
        password: password.map(Secret),
        database: db,
        text: Secret::new(""),
    })
}

fn some(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn database(text: &str) -> Result<u32, &'static str> {
    let invalid = "a Redis URL with a database: after the address stands a number, such as /0";
    if text.is_empty() { Ok(0) } else { text.parse().map_err(|_| invalid) }
}

fn decoded(text: &str) -> Result<String, &'static str> {
    const INVALID: &str = "a Redis URL with % and two hexadecimal digits for special characters";
    percent_decoded(text).ok_or(INVALID)
}

/// As they stand in a URL.
fn hosts(sentinels: &[(String, u16)]) -> String {
    let each = sentinels.iter().map(|(host, port)| format!("{}:{port}", bracketed(host)));
    each.collect::<Vec<_>>().join(",")
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.into() }
}

fn is_local(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.user.as_deref().unwrap_or_default();
        let credentials = match &self.password {
            Some(_) => format!("{user}:***@"),
            None if user.is_empty() => String::new(),
            None => format!("{user}@"),
        };
        match &self.place {
            RedisPlace::Tcp { host, port } => {
                write!(f, "redis://{credentials}{}:{port}/{}", bracketed(host), self.database)
            }
            RedisPlace::Tls { host, port } => {
                write!(f, "rediss://{credentials}{}:{port}/{}", bracketed(host), self.database)
            }
            RedisPlace::Sentinel { tls, sentinels, service, user, password } => {
                let scheme = if *tls { "rediss+sentinel" } else { "redis+sentinel" };
                let (hosts, database) = (hosts(sentinels), self.database);
                write!(f, "{scheme}://{credentials}{hosts}/{service}/{database}")?;
                let user = user.iter().map(|user| format!("sentinel_username={user}"));
                let password = password.iter().map(|_| "sentinel_password=***".to_owned());
                let query: Vec<_> = user.chain(password).collect();
                if query.is_empty() { Ok(()) } else { write!(f, "?{}", query.join("&")) }
            }
            RedisPlace::Unix { path } => {
                write!(f, "unix://{}?db={}", path.display(), self.database)?;
                if !user.is_empty() {
                    write!(f, "&user={user}")?;
                }
                if self.password.is_some() { f.write_str("&pass=***") } else { Ok(()) }
            }
        }
    }
}

/// `text` without what may be a password in it: whatever stands between `://` and the last `@`
/// before white space or a quote, and the value of `pass=` and `password=`.
pub fn redacted(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for word in text.split_inclusive(|c: char| c.is_whitespace() || "'\"`".contains(c)) {
        shown.push_str(&redacted_word(word));
    }
    shown
}

fn redacted_word(word: &str) -> String {
    let mut word = word.to_owned();
    // First these: an @ in one of them would end what is left out too early.
    for name in ["pass=", "password="] {
        if let Some(found) = word.find(name) {
            let begin = found + name.len();
            let end = word[begin..].find(|c: char| "&'\"`".contains(c) || c.is_whitespace());
            word.replace_range(begin..end.map_or(word.len(), |end| begin + end), "***");
        }
    }
    if let Some(at) = word.rfind('@') {
        let begin = word.find("://").map_or(0, |scheme| scheme + 3);
        if begin <= at && word[begin..at].contains(|c: char| c != '.') {
            word.replace_range(begin..at, "***");
        }
    }
    word
}

/// A TOML value that may be typed as a number or as text.
#[derive(Deserialize)]
#[serde(untagged)]
enum NumberOrText {
    Number(u64),
    Text(String),
}

impl TryFrom<NumberOrText> for ByteSize {
    type Error = InvalidValue;

    fn try_from(value: NumberOrText) -> Result<ByteSize, InvalidValue> {
        match value {
            NumberOrText::Number(bytes) => Ok(ByteSize(bytes)),
            NumberOrText::Text(text) => text.parse(),
        }
    }
}

impl TryFrom<NumberOrText> for Threads {
    type Error = InvalidValue;

    fn try_from(value: NumberOrText) -> Result<Threads, InvalidValue> {
        match value {
            NumberOrText::Number(threads) => threads.to_string().parse(),
            NumberOrText::Text(text) => text.parse(),
        }
    }
}

macro_rules! from_text {
    ($($value:ty),*) => { $(
        impl TryFrom<String> for $value {
            type Error = InvalidValue;

            fn try_from(text: String) -> Result<$value, InvalidValue> {
                text.parse()
            }
        }
    )* };
}

from_text!(Period, Listen, RedisUrl);

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> RedisUrl {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn periods_and_sizes_are_shown_as_they_may_be_typed() {
        for text in ["250ms", "5s", "30m", "2h", "1h30m", "1m30s500ms", "0s"] {
            assert_eq!(text.parse::<Period>().map(|p| p.to_string()).as_deref(), Ok(text));
        }
        assert_eq!("90s".parse::<Period>().map(|p| p.to_string()).as_deref(), Ok("1m30s"));
        for text in ["", "5", "s", "5x", "-5s", "5 s", "99999999999999999999s", "1h30"] {
            assert!(text.parse::<Period>().is_err(), "{text:?} was accepted");
        }
        for text in ["0", "4095", "512KiB", "16MiB", "1GiB"] {
            assert_eq!(text.parse::<ByteSize>().map(|s| s.to_string()).as_deref(), Ok(text));
        }
        assert_eq!("2MB".parse(), Ok(ByteSize(2_000_000)));
        for text in ["", "MiB", "16M", "-1", "1.5MiB", "99999999999GiB"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn a_redis_url_says_where_and_as_whom() {
        let plain = url("redis://cache");
        assert_eq!(plain.expose(), "redis://cache");
        assert_eq!(plain.place, RedisPlace::Tcp { host: "cache".into(), port: 6379 });
        assert_eq!((plain.user, plain.password, plain.database), (None, None, 0));

        let full = url("rediss://ann:s%40e%3Acret@[::1]:7000/3");
        assert_eq!(full.place, RedisPlace::Tls { host: "::1".into(), port: 7000 });
        assert_eq!(full.user.as_deref(), Some("ann"));
        assert_eq!(full.password.as_ref().map(Secret::expose), Some("s@e:cret"));
        assert_eq!(full.database, 3);
        assert_eq!(full.to_string(), "rediss://ann:***@[::1]:7000/3");

        assert_eq!(url("redis://:pw@h").password.as_ref().map(Secret::expose), Some("pw"));
        let socket = url("redis+unix:///run/redis.sock?db=2&pass=pw");
        assert_eq!(socket.place, RedisPlace::Unix { path: "/run/redis.sock".into() });
        assert_eq!((socket.database, socket.to_string().contains("pw")), (2, false));

        for text in [
            "",
            "localhost:6379",
            "http://h",
            "redis://",
            "redis://:6379",
            "redis://h:0x1",
            "redis://h/x",
            "redis://h?protocol=resp3",
            "redis://a%ZZ@h",
            "unix://relative",
            "unix:///s?x=1",
        ] {
            assert!(text.parse::<RedisUrl>().is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn a_url_of_sentinels_is_shown_as_it_may_be_typed() {
        let text = "rediss+sentinel://ann:canary@a:1,[::1]:2/orders/3\
                    ?sentinel_username=eve&sentinel_password=canary";
        let full = url(text);
        assert_eq!((full.expose(), full.is_encrypted()), (text, true));
        assert_eq!(full.to_string(), text.replace("canary", "***"));
        let shown = full.to_string();
        assert_eq!(url(&shown).to_string(), shown);
        assert_eq!(url("redis+sentinel://a/s").to_string(), "redis+sentinel://a:26379/s/0");
        let error = "redis+sentinel://a".parse::<RedisUrl>().expect_err("no service").to_string();
        let expected = "\"redis+sentinel://a\" is not a Sentinel URL with the name under which the \
                        sentinels know the primary: write it as \
                        redis+sentinel://host:26379,host2:26379/service";
        assert_eq!(error, expected);
    }

    #[test]
    fn only_a_redis_that_others_can_listen_to_is_exposed() {
        for (text, exposed) in [
            ("redis://127.0.0.1", false),
            ("redis://localhost:1", false),
            ("redis://[::1]", false),
            ("unix:///s", false),
            ("rediss://far", false),
            ("redis://far", true),
            ("redis://10.0.0.1", true),
            ("redis+sentinel://localhost,[::1]/s", false),
            ("redis+sentinel://localhost,far/s", true),
            ("rediss+sentinel://far/s", false),
        ] {
            assert_eq!(url(text).is_exposed(), exposed, "{text}");
        }
    }

    #[test]
    fn no_password_is_shown() {
        for text in [
            "redis://:canary@h",
            "redis://ann:canary@h:1/2",
            "redis://ann:can@canary@h:x",
            "redis://ann:canary@h/x",
            "ann:canary@h",
            "unix:///s?pass=canary&x=1",
            "unix:///s?pass=can@canary",
            "redis+sentinel://:canary@h,h2/s?x=1",
            "redis+sentinel://h/s?x=1&sentinel_password=can@canary",
            "redis+sentinel://h/s?sentinel_password=canary%",
            "invalid value 'redis://ann:canary@h' for '--redis <URL>'",
        ] {
            assert!(!redacted(text).contains("canary"), "{}", redacted(text));
            if let Err(error) = text.parse::<RedisUrl>() {
                assert!(!error.to_string().contains("canary"), "{error}");
                assert!(!format!("{error:?}").contains("canary"), "{error:?}");
            }
        }
        let url = url("redis://ann:canary@h");
        assert!(!format!("{url:?} {url}").contains("canary"));
        assert_eq!(redacted("listen = 127.0.0.1:7070 a@b"), "listen = 127.0.0.1:7070 ***@b");
    }
}
