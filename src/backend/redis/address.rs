//! Where Redis is: at one address, or wherever the sentinels of a service say.

use std::{collections::HashSet, fmt, path::PathBuf, sync::Arc, time::Duration};

use redis::{
    Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion,
    RedisConnectionInfo, RedisError, TlsCertificates,
    io::tcp::{TcpSettings, socket2::TcpKeepalive},
};

use super::sentinel::Sentinels;

/// Each of them may be asked before somebody learns where the primary is.
const SENTINELS_MAX: usize = 16;
const SENTINEL_PORT: u16 = 26379;

#[derive(Debug, Clone)]
pub(super) enum Address {
    Node(Box<Node>),
    /// Asked at every connection anew.
    Service(Arc<Sentinels>),
}

/// One Redis, or one sentinel, and how to speak to it.
#[derive(Debug, Clone)]
pub(super) struct Node {
    info: ConnectionInfo,
    ca: Option<Arc<[u8]>>,
}

/// The address cannot be used. Says nothing of the password in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAddress {
    #[error(
        "{0}: use redis://[user:password@]host[:port][/database], rediss://…, unix:///path or \
         redis+sentinel://[user:password@]host[:port],…/service[/database]"
    )]
    Malformed(String),
    #[error("cannot read the certificate authority {path}: {cause}")]
    Ca { path: PathBuf, cause: String },
}

/// `redis+sentinel://[user:password@]host[:port],…/service[/database]`, with
/// `?sentinel_username=…&sentinel_password=…` where the sentinels ask for them, and
/// `rediss+sentinel://` for TLS to all of them.
#[derive(Clone, PartialEq, Eq)]
pub struct SentinelUrl {
    pub tls: bool,
    pub sentinels: Vec<(String, u16)>,
    pub service: String,
    pub database: u32,
    /// For the primary.
    pub user: Option<String>,
    pub password: Option<String>,
    /// For the sentinels.
    pub sentinel_user: Option<String>,
    pub sentinel_password: Option<String>,
}

impl Address {
    pub(super) fn parse(url: &str, ca: Option<&PathBuf>) -> Result<Address, InvalidAddress> {
        let ca = match ca {
            None => None,
            Some(path) => match std::fs::read(path) {
                Ok(pem) => Some(pem.into()),
                Err(error) => {
                    let (path, cause) = (path.clone(), error.to_string());
                    return Err(InvalidAddress::Ca { path, cause });
                }
            },
        };
        if let Some(parsed) = SentinelUrl::parse(url) {
            let url = parsed.map_err(|why| InvalidAddress::Malformed(format!("not {why}")))?;
            return Ok(Address::Service(Arc::new(Sentinels::new(url, ca))));
        }
        let malformed = |error: RedisError| {
            InvalidAddress::Malformed(error.detail().unwrap_or("not an address").to_owned())
        };
        let info = url.into_connection_info().map_err(malformed)?;
        Ok(Address::Node(Box::new(Node::new(info, ca))))
    }

    /// Whether all of it can be used, as far as that shows before anything is dialled.
    pub(super) fn check(url: &str, ca: Option<&PathBuf>) -> Result<(), InvalidAddress> {
        let address = Address::parse(url, ca)?;
        let unusable = |error: RedisError| match ca {
            Some(path) => InvalidAddress::Ca { path: path.clone(), cause: error.to_string() },
            None => InvalidAddress::Malformed(error.to_string()),
        };
        let node = match &address {
            Address::Node(node) => (**node).clone(),
            Address::Service(sentinels) => sentinels.primary_at("localhost", SENTINEL_PORT),
        };
        node.client().map(drop).map_err(unusable)
    }

    pub(super) fn sentinels(&self) -> Option<&Arc<Sentinels>> {
        match self {
            Address::Node(_) => None,
            Address::Service(sentinels) => Some(sentinels),
        }
    }

    /// Which configuration of the sentinels is the newest that we were told of.
    pub(super) fn config_epoch(&self) -> u64 {
        self.sentinels().map_or(0, |sentinels| sentinels.config_epoch())
    }

    /// Returns when sentinels have told of another primary; never, where nobody tells.
    pub(super) async fn moved(&self, since: u64) {
        match self {
            Address::Node(_) => std::future::pending().await,
            Address::Service(sentinels) => sentinels.newer_than(since).await,
        }
    }

    /// Without users and passwords.
    pub(super) fn shown(&self) -> String {
        match self {
            Address::Node(node) => node.shown(),
            Address::Service(sentinels) => sentinels.shown(),
        }
    }
}

impl Node {
    fn new(info: ConnectionInfo, ca: Option<Arc<[u8]>>) -> Node {
        let settings = info
            .redis_settings()
            .clone()
            .set_protocol(ProtocolVersion::RESP3)
            .set_lib_name("tidings", env!("CARGO_PKG_VERSION"));
        let keepalive = TcpKeepalive::new()
            .with_time(Duration::from_secs(3))
            .with_interval(Duration::from_secs(1))
            .with_retries(3);
        let tcp = TcpSettings::default()
            .set_nodelay(true)
            .set_keepalive(keepalive)
            .set_user_timeout(Duration::from_secs(5));
        Node { info: info.set_redis_settings(settings).set_tcp_settings(tcp), ca }
    }

    /// A sentinel, as whom its URL says.
    pub(super) fn sentinel(url: &SentinelUrl, at: (&str, u16), ca: Option<Arc<[u8]>>) -> Node {
        Node::tcp(at, url.tls, [&url.sentinel_user, &url.sentinel_password], 0, ca)
    }

    /// The primary, wherever it is.
    pub(super) fn primary(url: &SentinelUrl, at: (&str, u16), ca: Option<Arc<[u8]>>) -> Node {
        Node::tcp(at, url.tls, [&url.user, &url.password], url.database, ca)
    }

    fn tcp(
        (host, port): (&str, u16),
        tls: bool,
        [user, password]: [&Option<String>; 2],
        database: u32,
        ca: Option<Arc<[u8]>>,
    ) -> Node {
        let host = host.to_owned();
        let address = match tls {
            true => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
            false => ConnectionAddr::Tcp(host, port),
        };
        let info = address.into_connection_info().expect("an address is one");
        let mut settings = info.redis_settings().clone().set_db(database.into());
        if let Some(user) = user {
            settings = settings.set_username(user);
        }
        if let Some(password) = password {
            settings = settings.set_password(password);
        }
        Node::new(info.set_redis_settings(settings), ca)
    }

    /// Host and port, or the path: no user, no password.
    pub(super) fn shown(&self) -> String {
        self.info.addr().to_string()
    }

    pub(super) fn address(&self) -> &ConnectionAddr {
        self.info.addr()
    }

    /// Database, user and password.
    pub(super) fn settings(&self) -> &RedisConnectionInfo {
        self.info.redis_settings()
    }

    /// The certificate authority to trust, in PEM; none: whom the system trusts.
    pub(super) fn ca(&self) -> Option<&[u8]> {
        self.ca.as_deref()
    }

    pub(super) fn client(&self) -> Result<Client, RedisError> {
        // rustls wants to be told whose cryptography it uses, once per process; an error means that
        // it was told before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        match &self.ca {
            Some(pem) if matches!(self.info.addr(), ConnectionAddr::TcpTls { .. }) => {
                let tls = TlsCertificates { client_tls: None, root_cert: Some(pem.to_vec()) };
                Client::build_with_tls(self.info.clone(), tls)
            }
            Some(_) | None => Client::open(self.info.clone()),
        }
    }
}

impl SentinelUrl {
    /// None where the text is no such URL at all; else what one looks like, where it is not right.
    pub fn parse(text: &str) -> Option<Result<SentinelUrl, &'static str>> {
        let (scheme, rest) = text.trim().split_once("://")?;
        let tls = match scheme {
            "redis+sentinel" => false,
            "rediss+sentinel" => true,
            _ => return None,
        };
        Some(SentinelUrl::parse_rest(tls, rest))
    }

    fn parse_rest(tls: bool, rest: &str) -> Result<SentinelUrl, &'static str> {
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (credentials, hosts) = match authority.rsplit_once('@') {
            Some((credentials, hosts)) => (credentials, hosts),
            None => ("", authority),
        };
        let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
        let (service, database) = match path.trim_end_matches('/').split_once('/') {
            Some((service, database)) => (service, database.parse().map_err(|_| DATABASE)?),
            None => (path.trim_end_matches('/'), 0),
        };
        if service.is_empty() {
            return Err(SERVICE);
        }
        if !service.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b)) {
            return Err(SERVICE_NAME);
        }
        let mut url = SentinelUrl {
            tls,
            sentinels: sentinels(hosts)?,
            service: service.to_owned(),
            database,
            user: some(user)?,
            password: some(password)?,
            sentinel_user: None,
            sentinel_password: None,
        };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("sentinel_username", value)) => url.sentinel_user = some(value)?,
                Some(("sentinel_password", value)) => url.sentinel_password = some(value)?,
                _ => return Err(QUERY),
            }
        }
        let alone = |user: &Option<_>, password: &Option<_>| user.is_some() && password.is_none();
        if alone(&url.user, &url.password) || alone(&url.sentinel_user, &url.sentinel_password) {
            return Err(PASSWORD);
        }
        Ok(url)
    }
}

const HOST: &str =
    "a Sentinel URL with a host: write it as redis+sentinel://host:26379,host2:26379/service";
const HOSTS: &str = "a Sentinel URL: between two commas stands a sentinel, as host or host:port";
const PORT: &str = "a Sentinel URL with ports from 1 to 65535";
const TWICE: &str = "a Sentinel URL: one sentinel stands there twice";
const TOO_MANY: &str = "a Sentinel URL with at most 16 sentinels";
const SERVICE: &str = "a Sentinel URL with the name under which the sentinels know the primary: \
                       write it as redis+sentinel://host:26379,host2:26379/service";
const SERVICE_NAME: &str = "a Sentinel URL with the name of a service: letters, digits, . - and _";
const DATABASE: &str =
    "a Sentinel URL with a database: after the service stands a number, such as /service/0";
const QUERY: &str = "a Sentinel URL: after the question mark stand sentinel_username and \
                     sentinel_password only";
const PASSWORD: &str = "a Sentinel URL: a user has a password as well";
const ENCODING: &str = "a Sentinel URL with % and two hexadecimal digits for special characters";

fn sentinels(hosts: &str) -> Result<Vec<(String, u16)>, &'static str> {
    if hosts.is_empty() {
        return Err(HOST);
    }
    let sentinels: Vec<_> = hosts.split(',').map(sentinel).collect::<Result<_, _>>()?;
    if sentinels.len() > SENTINELS_MAX {
        return Err(TOO_MANY);
    }
    if sentinels.iter().collect::<HashSet<_>>().len() < sentinels.len() {
        return Err(TWICE);
    }
    Ok(sentinels)
}

fn sentinel(text: &str) -> Result<(String, u16), &'static str> {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':').unwrap_or(port)),
        None => text.rsplit_once(':').unwrap_or((text, "")),
    };
    if host.is_empty() || host.contains(char::is_whitespace) {
        return Err(HOSTS);
    }
    let port = match port {
        "" => SENTINEL_PORT,
        port => port.parse().ok().filter(|port| *port > 0).ok_or(PORT)?,
    };
    Ok((host.to_owned(), port))
}

fn some(text: &str) -> Result<Option<String>, &'static str> {
    let text = percent_decoded(text).ok_or(ENCODING)?;
    Ok((!text.is_empty()).then_some(text))
}

/// Undoes `%40` and the like; none where that leads to no text.
pub fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let hex = rest.get(..2).and_then(|hex| std::str::from_utf8(hex).ok())?;
        bytes.push(u8::from_str_radix(hex, 16).ok()?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).ok()
}

/// Without users and passwords.
impl fmt::Debug for SentinelUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SentinelUrl { tls, sentinels, service, database, .. } = self;
        write!(f, "SentinelUrl {{ {service}/{database} by {sentinels:?}, tls: {tls}, .. }}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_parsed_and_shown_without_secrets() {
        let address = |url| Address::parse(url, None);
        for url in ["redis://user:hunter2@localhost:6380/3", "rediss://:hunter2@localhost:6380"] {
            let shown = address(url).expect("an address").shown();
            assert_eq!(shown, "localhost:6380");
        }
        assert_eq!(
            address("unix:///run/redis.sock?db=2").expect("a path").shown(),
            "/run/redis.sock"
        );
        for url in
            ["unix:///run/r.sock?db=3&user=ann&pass=hunter2", "redis+unix:///run/r.sock?db=3"]
        {
            let Ok(Address::Node(node)) = address(url) else { panic!("{url} is a node") };
            assert_eq!(
                (node.shown().as_str(), node.info.redis_settings().db()),
                ("/run/r.sock", 3)
            );
        }
        for url in ["", "http://localhost", "redis://", "localhost:6379", "redis://h:99999"] {
            let error = address(url).expect_err(url).to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
        let url = "redis+sentinel://u:hunter2@a,b:1/orders?sentinel_password=hunter2";
        let address = address(url).expect("a service");
        assert_eq!(address.shown(), "orders by the sentinels a:26379, b:1");
    }

    #[test]
    fn a_sentinel_url_says_whom_to_ask_for_what_and_as_whom() {
        let url = |text| SentinelUrl::parse(text).expect("of sentinels").expect("right");
        let plain = url("redis+sentinel://a/orders");
        assert_eq!(plain.sentinels, [("a".to_owned(), 26379)]);
        assert_eq!((plain.tls, plain.service.as_str(), plain.database), (false, "orders", 0));
        assert_eq!((plain.user, plain.password, plain.sentinel_password), (None, None, None));

        let full = url("rediss+sentinel://ann:s%40e%3Acret@a:1,[::1]:2,c/my.orders-1/3\
                        ?sentinel_username=eve&sentinel_password=p%26w");
        let sentinels = [("a", 1), ("::1", 2), ("c", 26379)];
        assert_eq!(full.sentinels, sentinels.map(|(host, port)| (host.to_owned(), port)));
        assert_eq!((full.tls, full.service.as_str(), full.database), (true, "my.orders-1", 3));
        let texts = [full.user, full.password, full.sentinel_user, full.sentinel_password];
        let expected = ["ann", "s@e:cret", "eve", "p&w"];
        assert_eq!(texts, expected.map(|text| Some(text.to_owned())));

        assert_eq!(url("redis+sentinel://:pw@h/s/").password.as_deref(), Some("pw"));
        assert!(SentinelUrl::parse("redis://a/orders").is_none());
    }

    #[test]
    fn what_is_wrong_with_a_sentinel_url_is_said() {
        let many: Vec<_> = (0..17).map(|n| format!("h{n}")).collect();
        for (rest, why) in [
            ("", SERVICE),
            ("a:1", SERVICE),
            ("a/", SERVICE),
            ("a//0", SERVICE),
            ("/orders", HOST),
            ("u:p@/orders", HOST),
            ("a,,b/orders", HOSTS),
            ("a,/orders", HOSTS),
            (":1/orders", HOSTS),
            ("a:0/orders", PORT),
            ("a:65536/orders", PORT),
            ("a:1:2x/orders", PORT),
            ("a,a:26379/orders", TWICE),
            (&format!("{}/orders", many.join(",")), TOO_MANY),
            ("a/my orders", SERVICE_NAME),
            ("a/orders#insecure", SERVICE_NAME),
            ("a/orders/x", DATABASE),
            ("a/orders/0/1", DATABASE),
            ("a/orders?db=1", QUERY),
            ("a/orders?sentinel_password", QUERY),
            ("ann@a/orders", PASSWORD),
            ("a/orders?sentinel_username=ann", PASSWORD),
            ("u:%zz@a/orders", ENCODING),
            ("a/orders?sentinel_password=%f", ENCODING),
        ] {
            let text = format!("redis+sentinel://{rest}");
            let parsed = SentinelUrl::parse(&text).expect("of sentinels");
            assert_eq!(parsed.expect_err(&text), why, "{text}");
        }
    }
}
