//! A faulty network path: a TCP proxy in front of Redis that a test can cut, silence or slow down.
//!
//! A path that once swallowed bytes never passes any again, as TCP would not either: after healing
//! its connections stay silent until the client gives them up, and new ones pass.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::sleep,
};

use super::faulty::When;

pub(crate) struct FaultProxy {
    port: u16,
    rules: Arc<watch::Sender<Rules>>,
    fuse: Arc<Mutex<Fuse>>,
    accept: JoinHandle<()>,
    open: Arc<Mutex<JoinSet<()>>>,
}

/// What happens to bytes on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Pass,
    /// Swallowed; the connection stays open: half-open, seen from either side.
    BlackHole,
    /// Held back, and delivered when the mode changes.
    Freeze,
    Delay(Duration),
    /// Bytes per second.
    Throttle(u32),
    /// Whatever comes is swallowed, and noise passed on in its place: bytes, but no answers.
    Chatter,
}

/// A push, as RESP3 has it, from a channel that nobody subscribed to.
const NOISE: &[u8] = b">3\r\n$7\r\nmessage\r\n$5\r\nnoise\r\n$1\r\n!\r\n";

/// Connections by what they are for. One becomes `Sub` with its first SUBSCRIBE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    Sub,
    Cmd,
    All,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    ToRedis,
    ToBroker,
    Both,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Rules {
    /// By kind (cmd, sub) and direction (to Redis, to the broker).
    modes: [[Mode; 2]; 2],
    /// By kind; a connection that finds it raised closes.
    cuts: [u64; 2],
}

/// Breaks a connection at one command of all that come, whatever connection they come by.
#[derive(Debug, Default)]
struct Fuse {
    commands: usize,
    blows_at: Option<(usize, When)>,
}

/// Where commands end in what is sent to Redis: arrays of words, each with its length before it, or
/// a plain line.
#[derive(Debug, Default)]
struct Commands {
    words: usize,
    /// What is left of a word, with the line end behind it.
    bytes: usize,
    /// What came of a line that gives a length.
    line: Vec<u8>,
}

/// One direction of one connection.
struct Pump {
    rules: watch::Receiver<Rules>,
    fuse: Arc<Mutex<Fuse>>,
    is_sub: watch::Receiver<bool>,
    /// No answer passes any more: the connection breaks when Redis has closed it.
    answers_lost: Arc<AtomicBool>,
    /// 0 to Redis, 1 to the broker.
    direction: usize,
    born: Rules,
    swallowed: bool,
    chatters: bool,
}

impl FaultProxy {
    pub(crate) async fn start(redis_port: u16) -> FaultProxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let whole = Rules { modes: [[Mode::Pass; 2]; 2], cuts: [0; 2] };
        let rules = Arc::new(watch::Sender::new(whole));
        let open = Arc::new(Mutex::new(JoinSet::new()));
        let fuse = Arc::<Mutex<Fuse>>::default();
        let accept = tokio::spawn({
            let (rules, fuse, open) = (rules.clone(), fuse.clone(), open.clone());
            async move {
                while let Ok((client, _)) = listener.accept().await {
                    let connection =
                        connection(client, redis_port, rules.subscribe(), fuse.clone());
                    let mut open = open.lock();
                    open.spawn(async move { drop(connection.await) });
                    while open.try_join_next().is_some() {}
                }
            }
        });
        FaultProxy { port, rules, fuse, accept, open }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn set(&self, which: Which, direction: Direction, mode: Mode) {
        self.rules.send_modify(|rules| {
            for kind in which.kinds() {
                for way in direction.ways() {
                    rules.modes[*kind][*way] = mode;
                }
            }
        });
    }

    /// Closes the connections that are open now.
    pub(crate) fn cut(&self, which: Which) {
        self.rules
            .send_modify(|rules| which.kinds().iter().for_each(|kind| rules.cuts[*kind] += 1));
    }

    pub(crate) fn heal(&self) {
        self.set(Which::All, Direction::Both, Mode::Pass);
    }

    /// The `command`-th from now on, from 1, breaks its connection: before Redis has it, or after,
    /// and then its answer is lost.
    pub(crate) fn break_at(&self, command: usize, when: When) {
        *self.fuse.lock() = Fuse { commands: 0, blows_at: Some((command, when)) };
    }

    /// Whether that has happened.
    pub(crate) fn has_broken(&self) -> bool {
        let fuse = self.fuse.lock();
        fuse.blows_at.is_some_and(|(command, _)| fuse.commands >= command)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.accept.abort();
        self.open.lock().abort_all();
    }
}

impl Fuse {
    /// Counts commands, given where each ends. Where it blows: how many bytes still pass.
    fn burn(&mut self, ends: &[usize]) -> Option<(usize, When)> {
        let before = self.commands;
        self.commands += ends.len();
        let (at, when) = self.blows_at?;
        let index = at.checked_sub(before + 1).filter(|index| *index < ends.len())?;
        let passes = match when {
            When::Before => index.checked_sub(1).map_or(0, |previous| ends[previous]),
            When::After => ends[index],
        };
        Some((passes, when))
    }
}

impl Commands {
    /// How many bytes of the chunk each command that ends in it takes, with all before it.
    fn ends(&mut self, chunk: &[u8]) -> Vec<usize> {
        let (mut ends, mut at) = (Vec::new(), 0);
        while at < chunk.len() {
            if self.bytes > 0 {
                let taken = self.bytes.min(chunk.len() - at);
                self.bytes -= taken;
                at += taken;
                if self.bytes == 0 && self.words == 0 {
                    ends.push(at);
                }
                continue;
            }
            self.line.push(chunk[at]);
            at += 1;
            if self.line.ends_with(b"\r\n") {
                let line = std::mem::take(&mut self.line);
                match line[0] {
                    b'*' => self.words = length(&line),
                    b'$' => {
                        self.words -= 1;
                        self.bytes = length(&line) + 2;
                    }
                    _ => ends.push(at),
                }
            }
        }
        ends
    }
}

/// What a line gives after its kind.
fn length(line: &[u8]) -> usize {
    let text = std::str::from_utf8(&line[1..]).expect("text");
    text.trim_end().parse().expect("a length")
}

impl Which {
    fn kinds(self) -> &'static [usize] {
        match self {
            Which::Cmd => &[0],
            Which::Sub => &[1],
            Which::All => &[0, 1],
        }
    }
}

impl Direction {
    fn ways(self) -> &'static [usize] {
        match self {
            Direction::ToRedis => &[0],
            Direction::ToBroker => &[1],
            Direction::Both => &[0, 1],
        }
    }
}

async fn connection(
    client: TcpStream,
    redis_port: u16,
    rules: watch::Receiver<Rules>,
    fuse: Arc<Mutex<Fuse>>,
) -> io::Result<()> {
    let redis = TcpStream::connect(("127.0.0.1", redis_port)).await?;
    client.set_nodelay(true)?;
    redis.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_redis, to_redis) = redis.into_split();
    let (seen, is_sub) = watch::channel(false);
    let born = *rules.borrow();
    let answers_lost = Arc::<AtomicBool>::default();
    let pump = |direction| Pump {
        rules: rules.clone(),
        fuse: fuse.clone(),
        is_sub: is_sub.clone(),
        answers_lost: answers_lost.clone(),
        direction,
        born,
        swallowed: false,
        chatters: false,
    };
    // The first side to end closes both.
    tokio::select! {
        ended = pump(0).run(from_client, to_redis, Some(seen)) => ended,
        ended = pump(1).run(from_redis, to_client, None) => ended,
    }
}

impl Pump {
    async fn run(
        mut self,
        mut from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
        seen: Option<watch::Sender<bool>>,
    ) -> io::Result<()> {
        let mut bytes = vec![0; 64 << 10];
        let mut commands = Commands::default();
        loop {
            let read = tokio::select! {
                read = from.read(&mut bytes) => read,
                () = self.cut() => return Ok(()),
            };
            let count = match read {
                Ok(count) if count > 0 => count,
                // Whoever is behind the hole does not learn that the other side is gone.
                Ok(_) | Err(_) if self.is_silent() && self.direction == 1 => {
                    self.cut().await;
                    return Ok(());
                }
                ended => return ended.map(drop),
            };
            let chunk = &bytes[..count];
            if let Some(seen) = &seen
                && !*seen.borrow()
                && chunk.windows(9).any(|word| word.eq_ignore_ascii_case(b"subscribe"))
            {
                seen.send_replace(true);
            }
            while self.mode() == Mode::Freeze {
                tokio::select! {
                    changed = self.rules.changed() => changed.map_err(io::Error::other)?,
                    () = sleep(Duration::from_millis(20)) => (),
                }
                if self.is_cut() {
                    return Ok(());
                }
            }
            if self.is_silent() {
                self.swallowed = true;
                continue;
            }
            // For good: what follows would not be understood.
            self.chatters |= self.mode() == Mode::Chatter;
            let chunk = if self.chatters { NOISE } else { chunk };
            if self.answers_lost.load(Ordering::SeqCst) {
                continue;
            }
            if self.direction == 0 {
                let broken = self.fuse.lock().burn(&commands.ends(chunk));
                if let Some((passes, when)) = broken {
                    return self.break_after(&chunk[..passes], when, to).await;
                }
            }
            match self.mode() {
                Mode::Delay(delay) => sleep(delay).await,
                Mode::Throttle(rate) => {
                    sleep(Duration::from_secs_f64(count as f64 / f64::from(rate))).await;
                }
                Mode::Pass | Mode::BlackHole | Mode::Freeze | Mode::Chatter => (),
            }
            to.write_all(chunk).await?;
        }
    }

    /// Passes the last bytes to Redis. Returning breaks the connection.
    async fn break_after(
        mut self,
        bytes: &[u8],
        when: When,
        mut to: OwnedWriteHalf,
    ) -> io::Result<()> {
        self.answers_lost.store(when == When::After, Ordering::SeqCst);
        to.write_all(bytes).await?;
        if when == When::After {
            // Redis carries out what it has, and closes then: the other direction sees that.
            to.shutdown().await?;
            self.cut().await;
        }
        Ok(())
    }

    fn kind(&self) -> usize {
        usize::from(*self.is_sub.borrow())
    }

    fn mode(&self) -> Mode {
        self.rules.borrow().modes[self.kind()][self.direction]
    }

    fn is_silent(&self) -> bool {
        self.swallowed || self.mode() == Mode::BlackHole
    }

    fn is_cut(&self) -> bool {
        self.rules.borrow().cuts[self.kind()] > self.born.cuts[self.kind()]
    }

    async fn cut(&mut self) {
        while !self.is_cut() {
            if self.rules.changed().await.is_err() {
                return;
            }
        }
    }
}
