//! Connections at the door. Whatever the system or a client does, the door stays open.
//!
//! A connection is taken when there is a place for it, and keeps it only if it begins to speak:
//! one that has not sent as much as HTTP/2 begins with is closed after
//! [`Bounds::silence`]. What comes after that is hyper's: it pings, and closes what does not answer.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::{Stream, stream};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep, sleep},
};
use tonic::transport::server::{Connected, TcpConnectInfo};
use tracing::warn;

use crate::limits::{CONNECTION_SILENCE_MAX, CONNECTIONS_MAX};

/// With this every HTTP/2 connection begins, and something follows it.
const PREFACE_BYTES: usize = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len();

/// A head and a small frame are cheaper to copy than to send in parts: a `send` of as much is a
/// twentieth cheaper than a `writev`, and an event by itself is little else.
const JOINED_BYTES_MAX: usize = 1024;

/// The listener stays ready while the system has no file descriptor left: without a pause, trying
/// again would take a core, just when there is none to spare.
const PAUSE: Duration = Duration::from_millis(100);

/// Trouble that comes and goes is one trouble.
const QUIET: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) connections: usize,
    pub(super) silence: Duration,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds { connections: CONNECTIONS_MAX, silence: CONNECTION_SILENCE_MAX }
    }
}

pub(super) struct Door {
    listener: TcpListener,
    bounds: Bounds,
    places: Arc<Semaphore>,
    failing: Trouble,
    full: Trouble,
}

/// A connection that has a place, and belongs to no runtime yet.
#[derive(Debug)]
pub(super) struct Accepted {
    stream: std::net::TcpStream,
    silence: Duration,
    place: OwnedSemaphorePermit,
    load: Option<Arc<()>>,
}

impl Door {
    pub(super) fn new(listener: TcpListener, bounds: Bounds) -> Door {
        let places = Arc::new(Semaphore::new(bounds.connections));
        Door { listener, bounds, places, failing: Trouble(None), full: Trouble(None) }
    }

    /// All that come, taken up on the runtime of the caller. Never ends, and never fails: tonic
    /// would at best try again at once, for ever.
    pub(super) fn connections(self) -> impl Stream<Item = io::Result<Connection>> {
        stream::unfold(self, async |mut door| {
            loop {
                if let Ok(connection) = door.next().await.begin() {
                    return Some((Ok(connection), door));
                }
            }
        })
    }

    /// The next connection that has a place. Cancel safe.
    pub(super) async fn next(&mut self) -> Accepted {
        loop {
            let accepted = self.listener.accept().await;
            let stream = match accepted.and_then(|(stream, _)| stream.into_std()) {
                Ok(stream) => stream,
                // It had gone before it was taken.
                Err(error) if is_of_one_connection(&error) => continue,
                Err(error) => {
                    if self.failing.is_new() {
                        warn!(%error, "connections cannot be taken: trying again until they can");
                    }
                    sleep(PAUSE).await;
                    continue;
                }
            };
            match self.places.clone().try_acquire_owned() {
                Ok(place) => {
                    let silence = self.bounds.silence;
                    return Accepted { stream, silence, place, load: None };
                }
                // Closed at once, so that the client tries another broker and waits for none.
                Err(_) => {
                    if self.full.is_new() {
                        let limit = self.bounds.connections;
                        warn!(limit, "more connections than this broker may have are closed");
                    }
                }
            }
        }
    }
}

impl Accepted {
    /// Held as long as the connection is there.
    pub(super) fn counts_for(&mut self, load: Arc<()>) {
        self.load = Some(load);
    }

    /// From now on it belongs to the runtime of the caller.
    pub(super) fn begin(self) -> io::Result<Connection> {
        let stream = TcpStream::from_std(self.stream)?;
        // Without it each small frame would wait for the last one's acknowledgement.
        if let Err(error) = stream.set_nodelay(true) {
            warn!(%error, "TCP_NODELAY cannot be set: small frames will be late");
        }
        let silence = Silence { missing: PREFACE_BYTES, over: Box::pin(sleep(self.silence)) };
        Ok(Connection { stream, silence: Some(silence), _place: self.place, _load: self.load })
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    let kinds =
        [Kind::ConnectionAborted, Kind::ConnectionReset, Kind::Interrupted, Kind::WouldBlock];
    kinds.contains(&error.kind())
}

/// When it was there last.
struct Trouble(Option<Instant>);

impl Trouble {
    /// Notes the trouble; whether it was away before.
    fn is_new(&mut self) -> bool {
        let now = Instant::now();
        let before = self.0.replace(now);
        before.is_none_or(|before| now.duration_since(before) > QUIET)
    }
}

/// A TCP connection that has to begin to speak, and gives its place back when it is dropped.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    silence: Option<Silence>,
    _place: OwnedSemaphorePermit,
    _load: Option<Arc<()>>,
}

/// Until it has said enough to be a client.
#[derive(Debug)]
struct Silence {
    missing: usize,
    over: Pin<Box<Sleep>>,
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buf);
        if let Some(silence) = &mut this.silence {
            if read.is_pending() {
                ready!(silence.over.as_mut().poll(cx));
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            silence.missing = silence.missing.saturating_sub(buf.filled().len() - before);
            if silence.missing == 0 {
                this.silence = None;
            }
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let stream = Pin::new(&mut self.get_mut().stream);
        let bytes: usize = bufs.iter().map(|buf| buf.len()).sum();
        if bytes > JOINED_BYTES_MAX {
            return stream.poll_write_vectored(cx, bufs);
        }
        let mut joined = [0; JOINED_BYTES_MAX];
        let mut rest = &mut joined[..];
        for buf in bufs {
            let (part, behind) = rest.split_at_mut(buf.len());
            part.copy_from_slice(buf);
            rest = behind;
        }
        stream.poll_write(cx, &joined[..bytes])
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::StreamExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    async fn listener() -> (TcpListener, std::net::SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        (listener, address)
    }

    #[tokio::test]
    async fn nothing_waits_to_fill_a_packet() {
        let (listener, address) = listener().await;
        let mut connections = pin!(Door::new(listener, Bounds::default()).connections());
        let _client = TcpStream::connect(address).await.expect("connected");
        let taken = connections.next().await.expect("a connection").expect("no error");
        assert!(taken.stream.nodelay().expect("an option"), "TCP_NODELAY is not set");
    }

    #[tokio::test]
    async fn whoever_does_not_begin_to_speak_is_not_waited_for() {
        let (listener, address) = listener().await;
        let bounds = Bounds { silence: Duration::from_millis(50), ..Bounds::default() };
        let mut connections = pin!(Door::new(listener, bounds).connections());
        let mut client = TcpStream::connect(address).await.expect("connected");
        let mut taken = connections.next().await.expect("a connection").expect("no error");
        client.write_all(b"PRI").await.expect("written");
        let mut read = Vec::new();
        let error = taken.read_to_end(&mut read).await.expect_err("silence");
        assert_eq!((error.kind(), &read[..]), (io::ErrorKind::TimedOut, &b"PRI"[..]));

        let mut client = TcpStream::connect(address).await.expect("connected");
        let mut taken = connections.next().await.expect("a connection").expect("no error");
        client.write_all(&[0; PREFACE_BYTES]).await.expect("written");
        taken.read_exact(&mut [0; PREFACE_BYTES]).await.expect("read");
        sleep(2 * bounds.silence).await;
        client.write_all(b".").await.expect("written");
        assert_eq!(taken.read_u8().await.expect("it may be silent now"), b'.');
    }

    #[tokio::test]
    async fn what_is_sent_in_parts_arrives_whole() {
        let (listener, address) = listener().await;
        let mut connections = pin!(Door::new(listener, Bounds::default()).connections());
        let mut client = TcpStream::connect(address).await.expect("connected");
        let mut taken = connections.next().await.expect("a connection").expect("no error");
        for bytes in [0, 1, JOINED_BYTES_MAX - 1, JOINED_BYTES_MAX, JOINED_BYTES_MAX + 1] {
            let whole: Vec<u8> = (0..bytes).map(|byte| byte as u8).collect();
            let (head, rest) = whole.split_at(bytes.min(9));
            let parts = [head, &[], rest].map(io::IoSlice::new);
            let sent = taken.write_vectored(&parts).await.expect("sent");
            let mut read = vec![0; bytes];
            client.read_exact(&mut read).await.expect("read");
            assert!(sent == bytes && read == whole, "{bytes} bytes, of which {sent} were sent");
        }
    }

    #[tokio::test]
    async fn a_place_is_free_again_when_its_connection_ends() {
        let (listener, address) = listener().await;
        let bounds = Bounds { connections: 1, ..Bounds::default() };
        let mut connections = pin!(Door::new(listener, bounds).connections());
        let _first = TcpStream::connect(address).await.expect("connected");
        let taken = connections.next().await.expect("a connection").expect("no error");
        let mut second = TcpStream::connect(address).await.expect("connected");
        let closed = async { second.read(&mut [0; 1]).await };
        tokio::select! {
            _ = connections.next() => panic!("there was no place"),
            closed = closed => assert_eq!(closed.expect("closed in order"), 0),
        }
        drop(taken);
        let _third = TcpStream::connect(address).await.expect("connected");
        connections.next().await.expect("a connection").expect("no error");
    }
}
