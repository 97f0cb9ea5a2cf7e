//! What is kept of a durable topic, read from its begin: by a subscriber of the broker, or straight from Redis.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum;
use serde_json::{Value, json};

use super::{
    Common,
    http2::{Calls, Http2, prefixed},
    payload::{Payload, Stamp, put_varint},
    publisher::{Plan, Publisher, Way},
    report,
    socket::{Clock, Sockets, Wire},
    tally::Tally,
    watch::{self, Snapshot},
    xrange::Pages,
};

const PATIENCE: Duration = Duration::from_millis(100);
/// A reader that gets nothing for so long has failed.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// Memory is looked at so often.
const LOOK: u64 = 20_000_000;
pub(crate) const BATCH: usize = 100;
const IN_FLIGHT: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Reader {
    /// A subscription from the earliest event
    Subscribe,
    /// XRANGE after XRANGE
    Xrange,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Replay {
    /// The broker: where is published and subscribed
    #[arg(long)]
    server: SocketAddr,
    /// The Redis behind it
    #[arg(long)]
    redis: SocketAddr,
    #[arg(long)]
    reader: Reader,
    /// That are published first, for each second that is to be measured
    #[arg(long, default_value_t = 200_000)]
    events_per_second: u64,
    #[command(flatten)]
    common: Common,
}

pub(crate) fn run(plan: &Replay) -> Result<Value> {
    let common = &plan.common;
    let payload = Payload::of(common.event_bytes, common.typed)?;
    let wanted = (plan.events_per_second as f64 * common.seconds) as u64;
    let events = wanted.next_multiple_of(BATCH as u64);
    publish(plan.server, &common.topic, &payload, events)?;

    let memory = || -> Result<Vec<u64>> {
        common.watch.iter().map(|watched| watch::memory(watched.pid)).collect()
    };
    let before = memory()?;
    let mut highest = before.clone();
    let mut tally = Tally::new(payload, 1, 0);
    let clock = Clock::begin();
    let mut look_at = 0;
    let mut look = |now: u64| -> Result<()> {
        if now < look_at {
            return Ok(());
        }
        look_at = now + LOOK;
        for (highest, now) in highest.iter_mut().zip(memory()?) {
            *highest = now.max(*highest);
        }
        Ok(())
    };
    let first = Snapshot::take(&common.watch)?;
    let begun = clock.now();
    match plan.reader {
        Reader::Subscribe => subscribe(plan, events, clock, &mut tally, &mut look)?,
        Reader::Xrange => xrange(plan, events, clock, &mut tally, &mut look)?,
    }
    let seconds = (clock.now() - begun) as f64 / 1e9;
    let used = first.until(&Snapshot::take(&common.watch)?);
    let mut told = report::of(common, seconds, &used, &tally);
    for ((watched, before), highest) in common.watch.iter().zip(before).zip(highest) {
        told.insert(format!("{}_memory_before", watched.name), json!(before));
        let grown = highest.saturating_sub(before);
        told.insert(format!("{}_memory_grown", watched.name), json!(grown));
    }
    told.insert("published".into(), json!(events));
    told.insert("delivered".into(), json!(tally.delivered));
    told.insert("sound".into(), json!(tally.is_sound() && tally.delivered == events));
    Ok(Value::Object(told))
}

/// As many events as are to be kept, which is a multiple of [`BATCH`].
pub(crate) fn publish(to: SocketAddr, topic: &str, payload: &Payload, events: u64) -> Result<()> {
    let mut sockets = Sockets::new()?;
    let mut tally = Tally::new(payload.clone(), 0, 0);
    let mut publisher = Publisher::connect(
        &mut sockets,
        &Plan {
            to,
            way: Way::Stream,
            topics: &[topic.to_owned()],
            payload,
            batch: BATCH,
            in_flight: IN_FLIGHT,
        },
    )?;
    let publishes = events / BATCH as u64;
    while publisher.done(tally.answered) < publishes {
        while publisher.published < publishes && publisher.may_publish(&mut sockets, tally.answered)
        {
            let number = publisher.published * BATCH as u64;
            publisher.publish(&mut sockets, Stamp { number, due: 0 });
        }
        publisher.flush(&mut sockets)?;
        sockets.turn(&mut tally, PATIENCE)?;
        ensure!(tally.fault_count == 0, "while publishing: {:?}", tally.faults);
    }
    Ok(())
}

fn subscribe(
    plan: &Replay,
    events: u64,
    clock: Clock,
    tally: &mut Tally,
    look: &mut impl FnMut(u64) -> Result<()>,
) -> Result<()> {
    let topic = &plan.common.topic;
    let mut request = vec![0x0a];
    put_varint(&mut request, topic.len() as u64);
    request.extend_from_slice(topic.as_bytes());
    request.extend_from_slice(&[0x10, 1]); // earliest
    let mut sockets = Sockets::new()?;
    let mut out = Vec::new();
    let mut http2 = Http2::new(&plan.server.to_string(), Calls::subscriptions(0, 1), &mut out);
    http2.call(&prefixed(&request), &mut out);
    let connection = sockets.connect(plan.server, Wire::Http2(http2), out)?;
    sockets.flush(connection)?;
    let (mut seen, mut seen_at) = (0, clock.now());
    while tally.delivered < events {
        sockets.turn(tally, PATIENCE)?;
        ensure!(tally.fault_count == 0, "while reading: {:?}", tally.faults);
        let now = clock.now();
        if tally.delivered > seen {
            (seen, seen_at) = (tally.delivered, now);
        }
        ensure!(now - seen_at < SILENCE_MAX.as_nanos() as u64, "{seen} of {events} events came");
        look(now)?;
    }
    Ok(())
}

/// As a program that speaks to Redis would: the next page is asked for when the last one is read.
fn xrange(
    plan: &Replay,
    events: u64,
    clock: Clock,
    tally: &mut Tally,
    look: &mut impl FnMut(u64) -> Result<()>,
) -> Result<()> {
    let mut socket = TcpStream::connect(plan.redis)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(SILENCE_MAX))?;
    let mut pages = Pages::after(0, &plan.common.topic, String::new());
    let mut buffer = vec![0; 256 * 1024];
    let mut kept = 0;
    while tally.delivered < events {
        let mut command = Vec::new();
        pages.ask(&mut command);
        socket.write_all(&command)?;
        let before = tally.delivered;
        while !pages.is_read() {
            let read = socket.read(&mut buffer[kept..]).context("reading")?;
            ensure!(read > 0, "redis closed the connection");
            let whole = kept + read;
            let done = pages.consume(&buffer[..whole], tally)?;
            ensure!(done > 0 || whole < buffer.len(), "an entry is too long");
            buffer.copy_within(done..whole, 0);
            kept = whole - done;
        }
        ensure!(tally.delivered > before, "{before} of {events} events are kept");
        look(clock.now())?;
    }
    Ok(())
}
