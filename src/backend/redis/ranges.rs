//! Long stretches of a stream, read over connections of their own: publishes do not wait behind them, and their
//! answers are taken apart by ourselves (`resp.rs`), on the thread of whoever asked.

use std::{fmt, io, sync::Arc, time::Duration};

use bytes::BytesMut;
use parking_lot::Mutex;
use redis::{ConnectionAddr, Pipeline};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpStream, UnixStream},
    runtime::Handle,
    sync::Semaphore,
    time::{Instant, timeout},
};
use tokio_rustls::TlsConnector;

use super::{
    address::Node,
    connection::{CallError, Link},
    resp::{Answer, Broken, Decoder},
    session::{Identity, command},
};
use crate::limits::{BACKEND_DEADLINE, RANGES_TOGETHER};

/// One that nobody used for so long may have died unnoticed.
const IDLE_MAX: Duration = Duration::from_secs(5);
/// What is asked of the socket at a time.
const RECEIVED_TOGETHER: usize = 128 << 10;

/// The connections that belong to one for commands: to the same run of the same Redis.
#[derive(Debug)]
pub(super) struct Ranges {
    node: Node,
    /// Whose threads look after the connections, whoever uses them.
    runtime: Handle,
    free: Mutex<Vec<(Wire, Instant)>>,
    /// In the order in which they ask: nobody's history keeps the others waiting.
    turns: Semaphore,
}

impl Ranges {
    pub(super) fn new(node: Node) -> Ranges {
        let (runtime, turns) = (Handle::current(), Semaphore::new(RANGES_TOGETHER));
        Ranges { node, runtime, free: Mutex::default(), turns }
    }

    /// What Redis answers to the last of these commands, or to the first that it refuses. None where that
    /// is longer than any page of ours.
    pub(super) async fn ask(
        &self,
        link: &Link,
        commands: &Pipeline,
    ) -> Result<Option<Answer>, CallError> {
        if link.is_closed() {
            return Err(CallError::NotSent);
        }
        tokio::select! {
            biased;
            answer = self.ask_in_turn(link, commands) => answer,
            () = link.closed() => Err(CallError::Lost("connection closed".into())),
        }
    }

    async fn ask_in_turn(
        &self,
        link: &Link,
        commands: &Pipeline,
    ) -> Result<Option<Answer>, CallError> {
        let _turn = self.turns.acquire().await.expect("never closed");
        let (mut wire, fresh) = match self.next_free() {
            Some(wire) => (wire, false),
            None => (self.dial(link).await?, true),
        };
        // Dropped half way, it is closed: what it would answer is nobody's.
        let mut answer = within(BACKEND_DEADLINE, wire.ask(commands)).await?;
        if matches!(answer, Err(Failed::Io(_))) && !fresh {
            // It may have been closed while nobody used it.
            wire = self.dial(link).await?;
            answer = within(BACKEND_DEADLINE, wire.ask(commands)).await?;
        }
        match answer {
            Ok(answer) => {
                self.free.lock().push((wire, Instant::now()));
                Ok(Some(answer))
            }
            Err(Failed::Broken(Broken::TooLong)) => Ok(None),
            Err(failed) => Err(failed.into()),
        }
    }

    fn next_free(&self) -> Option<Wire> {
        let mut free = self.free.lock();
        free.retain(|(_, since)| since.elapsed() < IDLE_MAX);
        free.pop().map(|(wire, _)| wire)
    }

    async fn dial(&self, link: &Link) -> Result<Wire, CallError> {
        let node = self.node.clone();
        let dialled = self.runtime.spawn(within(2 * BACKEND_DEADLINE, async move {
            let mut wire = Wire::connect(&node).await?;
            let info = wire.sign_in(&node).await?;
            Ok::<_, Failed>((wire, info))
        }));
        let dialled = dialled.await.map_err(|_| CallError::NotSent)?;
        let (wire, info) = dialled?.map_err(CallError::from)?;
        let identity = Identity::read(&String::from_utf8_lossy(&info))?;
        if identity.run_id != link.run_id || identity.replid != link.replid() {
            return Err(CallError::Lost("redis is another one now".into()));
        }
        Ok(wire)
    }
}

async fn within<T>(deadline: Duration, call: impl Future<Output = T>) -> Result<T, CallError> {
    let late = |_| CallError::Lost(format!("none within {deadline:?}"));
    timeout(deadline, call).await.map_err(late)
}

#[derive(Debug)]
enum Failed {
    Io(io::Error),
    Broken(Broken),
    /// The line that tells why.
    Refused(Vec<u8>),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Failed {
        Failed::Io(error)
    }
}

impl From<Failed> for CallError {
    fn from(failed: Failed) -> CallError {
        match failed {
            Failed::Io(error) => CallError::Lost(error.to_string()),
            Failed::Broken(broken) => CallError::Unexpected(broken.to_string()),
            Failed::Refused(line) => refused(&line),
        }
    }
}

/// As the client library reads it.
pub(super) fn refused(line: &[u8]) -> CallError {
    match redis::parse_redis_value(&[b"-", line, b"\r\n"].concat()) {
        Ok(redis::Value::ServerError(error)) => CallError::Refused(error.into()),
        Ok(_) | Err(_) => CallError::Unexpected(String::from_utf8_lossy(line).into_owned()),
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A bare connection.
struct Wire {
    stream: Box<dyn Stream>,
    received: BytesMut,
    decoder: Decoder,
}

impl Wire {
    async fn connect(node: &Node) -> Result<Wire, Failed> {
        let stream: Box<dyn Stream> = match node.address() {
            ConnectionAddr::Tcp(host, port) => Box::new(tcp(host, *port).await?),
            ConnectionAddr::TcpTls { host, port, .. } => {
                let tls = TlsConnector::from(Arc::new(tls(node.ca())?));
                let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
                Box::new(tls.connect(name, tcp(host, *port).await?).await?)
            }
            ConnectionAddr::Unix(path) => Box::new(UnixStream::connect(path).await?),
            _ => return Err(io::Error::from(io::ErrorKind::Unsupported).into()),
        };
        Ok(Wire { stream, received: BytesMut::new(), decoder: Decoder::default() })
    }

    /// Says who we are, as the commands' connection does; returns who Redis is.
    async fn sign_in(&mut self, node: &Node) -> Result<Vec<u8>, Failed> {
        let settings = node.settings();
        let mut commands = Pipeline::new();
        match (settings.username(), settings.password()) {
            (Some(user), Some(password)) => {
                commands.add_command(command(&["AUTH", user, password]));
            }
            (None, Some(password)) => {
                commands.add_command(command(&["AUTH", password]));
            }
            (_, None) => (),
        }
        if settings.db() != 0 {
            commands.add_command(command(&["SELECT", &settings.db().to_string()]));
        }
        commands.add_command(command(&["INFO", "server", "replication"]));
        let info = self.ask(&commands).await?;
        Ok(info.value().text().unwrap_or_default().to_vec())
    }

    async fn ask(&mut self, commands: &Pipeline) -> Result<Answer, Failed> {
        self.stream.write_all(&commands.get_packed_pipeline()).await?;
        self.stream.flush().await?;
        // A transaction is answered twice for each command, and once for its begin and its end.
        let answers = if commands.is_transaction() { commands.len() + 2 } else { commands.len() };
        let mut refused = None;
        for _ in 1..answers {
            let answer = self.answer().await?;
            refused = refused.or_else(|| answer.value().error().map(<[u8]>::to_vec));
        }
        let last = self.answer().await?;
        match refused.or_else(|| last.value().error().map(<[u8]>::to_vec)) {
            Some(line) => Err(Failed::Refused(line)),
            None => Ok(last),
        }
    }

    async fn answer(&mut self) -> Result<Answer, Failed> {
        loop {
            if let Some(answer) = self.decoder.take(&mut self.received).map_err(Failed::Broken)? {
                return Ok(answer);
            }
            self.received.reserve(RECEIVED_TOGETHER);
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").finish_non_exhaustive()
    }
}

async fn tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Trusts this authority, or whom the system trusts.
fn tls(ca: Option<&[u8]>) -> io::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                roots.add(certificate.map_err(io::Error::other)?).map_err(io::Error::other)?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    Ok(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}
