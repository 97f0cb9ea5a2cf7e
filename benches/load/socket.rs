//! One thread's sockets: level-triggered epoll, one read for each that is ready.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpStream},
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::{
    buffer::spare_capacity,
    event::{
        Timespec,
        epoll::{self, CreateFlags, Event, EventData, EventFlags},
    },
    time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create,
        timerfd_settime,
    },
};

use super::{http2::Http2, nats::Nats, resp::Resp, tally::Tally, xrange::Pages};

const READ_BYTES: usize = 256 * 1024;
const EVENTS: usize = 1024;
const TICK: u64 = u64::MAX;

/// Nanoseconds since it was made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock(Instant);

impl Clock {
    #[allow(clippy::disallowed_methods, reason = "no test pauses this clock")]
    pub(crate) fn begin() -> Clock {
        Clock(Instant::now())
    }

    pub(crate) fn now(self) -> u64 {
        self.0.elapsed().as_nanos() as u64
    }
}

#[derive(Debug)]
pub(crate) enum Wire {
    Resp(Resp),
    Nats(Nats),
    Http2(Http2),
    Xrange(Pages),
}

#[derive(Debug)]
pub(crate) struct Connection {
    socket: TcpStream,
    pub(crate) wire: Wire,
    pub(crate) out: Vec<u8>,
    /// What was read of something that is not whole yet.
    pending: Vec<u8>,
    waits_to_write: bool,
}

pub(crate) struct Sockets {
    pub(crate) clock: Clock,
    epoll: OwnedFd,
    events: Vec<Event>,
    timer: Option<OwnedFd>,
    connections: Vec<Connection>,
    scratch: Vec<u8>,
}

impl Sockets {
    pub(crate) fn new() -> Result<Sockets> {
        Ok(Sockets {
            clock: Clock::begin(),
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            events: Vec::with_capacity(EVENTS),
            timer: None,
            connections: Vec::new(),
            scratch: vec![0; READ_BYTES],
        })
    }

    /// Connects; what stands in `out` is sent with the next flush.
    pub(crate) fn connect(&mut self, to: SocketAddr, wire: Wire, out: Vec<u8>) -> Result<usize> {
        let socket = TcpStream::connect(to).with_context(|| format!("connecting to {to}"))?;
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        let at = self.connections.len();
        epoll::add(&self.epoll, &socket, EventData::new_u64(at as u64), EventFlags::IN)?;
        let pending = Vec::new();
        self.connections.push(Connection { socket, wire, out, pending, waits_to_write: false });
        Ok(at)
    }

    /// Nothing more is read from it.
    pub(crate) fn close(&mut self, at: usize) -> Result<()> {
        let socket = &self.connections[at].socket;
        epoll::delete(&self.epoll, socket)?;
        Ok(socket.shutdown(Shutdown::Both)?)
    }

    pub(crate) fn connection(&mut self, at: usize) -> &mut Connection {
        &mut self.connections[at]
    }

    /// From now on a turn ends at least so often.
    pub(crate) fn tick(&mut self, period: Duration) -> Result<()> {
        let timer = timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
        )?;
        let every =
            Timespec { tv_sec: period.as_secs() as i64, tv_nsec: i64::from(period.subsec_nanos()) };
        let spec = Itimerspec { it_interval: every, it_value: every };
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &spec)?;
        epoll::add(&self.epoll, &timer, EventData::new_u64(TICK), EventFlags::IN)?;
        self.timer = Some(timer);
        Ok(())
    }

    /// Waits until something arrives or it is time, and takes all of it.
    pub(crate) fn turn(&mut self, tally: &mut Tally, patience: Duration) -> Result<()> {
        let timeout = Timespec {
            tv_sec: patience.as_secs() as i64,
            tv_nsec: i64::from(patience.subsec_nanos()),
        };
        self.events.clear();
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&timeout)) {
            Ok(_) => (),
            Err(rustix::io::Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        for event in &self.events {
            let (at, flags) = (event.data.u64(), event.flags);
            if at == TICK {
                if let Some(timer) = &self.timer {
                    // How many ticks there were is told by the clock.
                    let _ = rustix::io::read(timer, &mut [0; 8]);
                }
                continue;
            }
            let connection = &mut self.connections[at as usize];
            if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
                connection.read(&mut self.scratch, self.clock, tally)?;
            }
            if !connection.out.is_empty() {
                connection.flush(&self.epoll, at)?;
            }
        }
        Ok(())
    }

    pub(crate) fn flush(&mut self, at: usize) -> Result<()> {
        let connection = &mut self.connections[at];
        if connection.out.is_empty() || connection.waits_to_write {
            return Ok(());
        }
        connection.flush(&self.epoll, at as u64)
    }
}

impl Connection {
    /// One read is enough: what it leaves is told again.
    fn read(&mut self, scratch: &mut [u8], clock: Clock, tally: &mut Tally) -> Result<()> {
        let kept = self.pending.len();
        ensure!(kept < scratch.len(), "a message is longer than {} bytes", scratch.len());
        scratch[..kept].copy_from_slice(&self.pending);
        let read = match self.socket.read(&mut scratch[kept..]) {
            Ok(0) => bail!("the server closed a connection; {:?}", tally.faults),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error).context("reading"),
        };
        tally.now = clock.now();
        let bytes = &scratch[..kept + read];
        let done = match &mut self.wire {
            Wire::Resp(resp) => resp.consume(bytes, tally)?,
            Wire::Nats(nats) => nats.consume(bytes, &mut self.out, tally)?,
            Wire::Http2(http2) => http2.consume(bytes, &mut self.out, tally)?,
            Wire::Xrange(pages) => pages.go_on(bytes, &mut self.out, tally)?,
        };
        self.pending.clear();
        self.pending.extend_from_slice(&bytes[done..]);
        Ok(())
    }

    fn flush(&mut self, epoll: &OwnedFd, at: u64) -> Result<()> {
        if let Wire::Http2(http2) = &mut self.wire {
            http2.close_frame();
        }
        let mut written = 0;
        while written < self.out.len() {
            match self.socket.write(&self.out[written..]) {
                Ok(bytes) => written += bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error).context("writing"),
            }
        }
        self.out.drain(..written);
        let waits = !self.out.is_empty();
        if waits != self.waits_to_write {
            self.waits_to_write = waits;
            let write = if waits { EventFlags::OUT } else { EventFlags::empty() };
            let interest = EventFlags::IN | write;
            epoll::modify(epoll, &self.socket, EventData::new_u64(at), interest)?;
        }
        Ok(())
    }
}
