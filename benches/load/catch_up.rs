//! Live subscribers of a durable topic, and others beside them that begin in its history and catch up.
//!
//! The live ones and the publisher have one thread, those that catch up another of low priority: what
//! a machine of few cores takes to be many clients is not to pass for what the broker does.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, ensure};
use prost::Message as _;
use serde_json::{Value, json};

use super::{
    Common,
    fan_out::{self, Pace, Protocol, Run, Subscribers},
    http2::{Calls, Http2, prefixed},
    payload::Payload,
    publisher::{Plan, Publisher, Way},
    replay::{self, BATCH, Reader},
    report,
    socket::{Sockets, Wire},
    tally::Tally,
    watch::{self, Snapshot, Watched},
    xrange::{self, Pages},
};
use crate::v1::{Position, SubscribeRequest};

const PATIENCE: Duration = Duration::from_millis(5);
/// Those that catch up, all of them together, have failed after so long.
const CATCHING_UP_MAX: Duration = Duration::from_secs(60);
/// What catches up is looked at so often, and so is memory.
const LOOK: u64 = 10_000_000;
/// Less urgent than everybody else on this machine.
const NICE: i32 = 10;

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct CatchUp {
    /// The broker: where is published and subscribed
    #[arg(long)]
    server: SocketAddr,
    /// The Redis behind it
    #[arg(long)]
    redis: SocketAddr,
    /// Events a second, each sent when it is due
    #[arg(long, default_value_t = 5000)]
    rate: u64,
    /// Live subscribers, each on a connection of its own
    #[arg(long, default_value_t = 20)]
    live: usize,
    /// How is caught up; left out: nobody does
    #[arg(long)]
    reader: Option<Reader>,
    /// That catch up, each on a connection of its own
    #[arg(long, default_value_t = 200)]
    readers: u64,
    /// That are kept before anybody subscribes, for each second that is to be measured
    #[arg(long, default_value_t = 100_000)]
    kept_per_second: u64,
    /// Of those, how far back the last reader begins; the others are spread evenly up to there
    #[arg(long, default_value_t = 2_000)]
    behind_per_second: u64,
    #[command(flatten)]
    common: Common,
}

/// What the two threads tell each other.
#[derive(Debug, Default)]
struct Told {
    /// Events that are published, those that were kept included.
    published: AtomicU64,
    /// Every reader has been at the tail.
    caught_up: AtomicBool,
    /// What both threads took is known.
    is_counted: AtomicBool,
}

/// Where one that catches up is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Behind,
    /// It was near the tail when so many were published. With those it has seen history end and the
    /// live events begin.
    Near(u64),
    /// It went: many more live subscribers are another measurement.
    Left,
}

/// What those that catch up have to say.
#[derive(Debug)]
struct Found {
    tally: Tally,
    /// Of each, until it was at the tail.
    seconds: Vec<f64>,
    /// Of the watched, at its highest.
    memory: Vec<u64>,
    is_complete: bool,
}

pub(crate) fn run(plan: &CatchUp) -> Result<Value> {
    let common = &plan.common;
    let payload = Payload::of(common.event_bytes, common.typed)?;
    let kept = ((plan.kept_per_second as f64 * common.seconds) as u64).max(1);
    let kept = kept.next_multiple_of(BATCH as u64);
    replay::publish(plan.server, &common.topic, &payload, kept)?;
    let epoch = epoch(plan, kept)?;
    let mut run = live(plan, &payload, kept)?;

    let from = run.begun + common.warm_up().as_nanos() as u64;
    run.until(|run| run.sockets.clock.now() >= from)?;
    run.tally.measured.start = from;
    run.tally.measured.end = u64::MAX;
    let (first, before) = (Snapshot::take(&common.watch)?, run.mark());
    let memory_before = memories(&common.watch)?;
    let told = Arc::new(Told::default());
    told.published.store(kept + run.publisher.published, Ordering::Relaxed);
    let readers = plan.reader.map(|reader| {
        let (plan, told, payload) = (plan.clone(), told.clone(), payload.clone());
        thread::spawn(move || catch_up(&plan, reader, (epoch, kept), &payload, &told))
    });
    let to = from + common.seconds().as_nanos() as u64;
    run.until(|run| {
        told.published.store(kept + run.publisher.published, Ordering::Relaxed);
        match &readers {
            Some(readers) => told.caught_up.load(Ordering::Acquire) || readers.is_finished(),
            None => run.sockets.clock.now() >= to,
        }
    })?;
    run.tally.measured.end = run.sockets.clock.now();
    let (last, after) = (Snapshot::take(&common.watch)?, run.mark());
    told.is_counted.store(true, Ordering::Release);
    let drained = run.drain(plan.live as u64)?;
    let found = readers.map(|readers| readers.join().map_err(|_| anyhow!("a reader panicked")));
    let found = found.transpose()?.transpose()?;

    let seconds = (after.at - before.at) as f64 / 1e9;
    let mut said = report::of(common, seconds, &first.until(&last), &run.tally);
    report::latency(&mut said, &run.tally.latency);
    let mut sound = drained && run.tally.is_sound();
    let mut delivered = after.delivered - before.delivered;
    if let Some(Found { tally, seconds, memory, is_complete }) = found {
        delivered += tally.delivered;
        sound &= is_complete && tally.is_sound();
        for (name, count) in [
            ("missing", tally.missing + run.tally.missing),
            ("repeated", tally.repeated + run.tally.repeated),
            ("reordered", tally.reordered + run.tally.reordered),
            ("faults", tally.fault_count + run.tally.fault_count),
        ] {
            said.insert(name.into(), json!(count));
        }
        let mut faults = tally.faults.iter().chain(&run.tally.faults);
        said.insert("first_fault".into(), json!(faults.next().map_or("", String::as_str)));
        said.insert("read".into(), json!(tally.delivered));
        said.insert(
            "caught_up_first".into(),
            json!(seconds.iter().fold(f64::MAX, |a, b| a.min(*b))),
        );
        said.insert("caught_up".into(), json!(seconds.iter().fold(0.0_f64, |a, b| a.max(*b))));
        for ((watched, before), highest) in common.watch.iter().zip(memory_before).zip(memory) {
            said.insert(format!("{}_memory_before", watched.name), json!(before));
            let grown = highest.saturating_sub(before);
            said.insert(format!("{}_memory_grown", watched.name), json!(grown));
        }
    }
    said.insert("streams".into(), json!(plan.live));
    said.insert("kept".into(), json!(kept));
    said.insert("published".into(), json!(after.published - before.published));
    said.insert("delivered".into(), json!(delivered));
    said.insert("sound".into(), json!(sound));
    Ok(Value::Object(said))
}

/// The live subscribers are open, and it is published from now on.
fn live(plan: &CatchUp, payload: &Payload, kept: u64) -> Result<Run> {
    let common = &plan.common;
    let mut sockets = Sockets::new()?;
    let mut tally = Tally::new(payload.clone(), plan.live, 0);
    (0..plan.live).for_each(|stream| tally.begin(stream, kept));
    let subscribers = Subscribers {
        subscribe: plan.server,
        protocol: Protocol::Grpc,
        streams: plan.live,
        connections: plan.live,
    };
    fan_out::open(&mut sockets, &mut tally, &subscribers, common)?;
    let publisher = Publisher::connect(
        &mut sockets,
        &Plan {
            to: plan.server,
            way: Way::Stream,
            topics: std::slice::from_ref(&common.topic),
            payload,
            batch: 1,
            in_flight: 1 << 20,
        },
    )?;
    let begun = sockets.clock.now();
    let period = 1_000_000_000 / plan.rate;
    sockets.tick(Duration::from_nanos(period))?;
    Ok(Run { sockets, tally, publisher, pace: Pace::Every(period), begun, first: kept })
}

/// In which the topic is, and that it has as many events as were published: then the event with the
/// number N has the sequence N + 1.
fn epoch(plan: &CatchUp, kept: u64) -> Result<u64> {
    let mut redis = TcpStream::connect(plan.redis)?;
    let key = xrange::key(&plan.common.topic);
    redis.write_all(&xrange::command(&["XREVRANGE", &key, "+", "-", "COUNT", "1"]))?;
    let mut nobody = Tally::new(Payload::of(plan.common.event_bytes, plan.common.typed)?, 1, 0);
    let (mut pages, mut bytes, mut got) = (Pages::default(), vec![0; 64 << 10], 0);
    while !pages.is_read() {
        let read = redis.read(&mut bytes[got..])?;
        ensure!(read > 0, "redis closed the connection");
        got += read;
        let done = pages.consume(&bytes[..got], &mut nobody)?;
        bytes.copy_within(done..got, 0);
        got -= done;
    }
    let (epoch, last) = pages.last.split_once('-').context("nothing is kept")?;
    ensure!(last == kept.to_string(), "{last} events are kept, not {kept}");
    Ok(epoch.parse()?)
}

fn memories(watched: &[Watched]) -> Result<Vec<u64>> {
    watched.iter().map(|watched| watch::memory(watched.pid)).collect()
}

/// Reads until every reader was at the tail.
fn catch_up(
    plan: &CatchUp,
    reader: Reader,
    (epoch, kept): (u64, u64),
    payload: &Payload,
    told: &Told,
) -> Result<Found> {
    // On Linux this thread's alone.
    rustix::process::nice(NICE).context("a lower priority")?;
    let count = plan.readers as usize;
    let mut sockets = Sockets::new()?;
    let mut tally = Tally::new(payload.clone(), count, 0);
    let behind = ((plan.behind_per_second as f64 * plan.common.seconds) as u64).min(kept);
    let begins: Vec<_> = (1..=plan.readers).map(|at| kept - at * behind / plan.readers).collect();
    let mut connections = Vec::with_capacity(count);
    for (stream, after) in begins.iter().enumerate() {
        tally.begin(stream, *after);
        let topic = plan.common.topic.clone();
        let after = Position { topic, epoch, sequence: *after };
        connections.push(begin(&mut sockets, plan, reader, stream, after)?);
    }
    let mut memory = memories(&plan.common.watch)?;
    let begun = sockets.clock.now();
    let mut places = vec![
        match reader {
            Reader::Subscribe => Place::Behind,
            // So many would never be near it together: there are not that many pages a second in Redis.
            Reader::Xrange => Place::Near(told.published.load(Ordering::Relaxed)),
        };
        count
    ];
    let mut seconds = Vec::with_capacity(count);
    let mut look_at = 0;
    // How many events are as good as none: those of a tenth of a second are under way anyhow.
    let near = (plan.rate / 10).max(1);
    loop {
        sockets.turn(&mut tally, PATIENCE)?;
        ensure!(tally.fault_count == 0, "while catching up: {:?}", tally.faults);
        let now = sockets.clock.now();
        if now < look_at {
            continue;
        }
        look_at = now + LOOK;
        for (highest, now) in memory.iter_mut().zip(memories(&plan.common.watch)?) {
            *highest = now.max(*highest);
        }
        let published = told.published.load(Ordering::Relaxed);
        let waited = Duration::from_nanos(now - begun);
        for (stream, place) in places.iter_mut().enumerate() {
            let next = tally.next(stream);
            match *place {
                Place::Behind if next + near >= published => *place = Place::Near(published),
                Place::Near(tail) if next >= tail => *place = Place::Left,
                Place::Behind | Place::Near(_) | Place::Left => continue,
            }
            if *place == Place::Left {
                sockets.close(connections[stream])?;
                seconds.push(waited.as_secs_f64());
            }
        }
        if seconds.len() == count {
            break;
        }
        let left = count - seconds.len();
        ensure!(waited < CATCHING_UP_MAX, "{left} of {count} are not at the tail");
    }
    told.caught_up.store(true, Ordering::Release);
    // Its processor time is counted while it is there.
    while !told.is_counted.load(Ordering::Acquire) {
        thread::sleep(PATIENCE);
    }
    let expected: u64 = begins.iter().enumerate().map(|(at, after)| tally.next(at) - after).sum();
    Ok(Found { is_complete: tally.delivered == expected, seconds, memory, tally })
}

fn begin(
    sockets: &mut Sockets,
    plan: &CatchUp,
    reader: Reader,
    stream: usize,
    after: Position,
) -> Result<usize> {
    let mut out = Vec::new();
    let (to, wire) = match reader {
        Reader::Subscribe => {
            let calls = Calls::subscriptions(stream, 1);
            let mut http2 = Http2::new(&plan.server.to_string(), calls, &mut out);
            let topics = vec![after.topic.clone()];
            let request = SubscribeRequest { topics, resume: vec![after], ..Default::default() };
            http2.call(&prefixed(&request.encode_to_vec()), &mut out);
            (plan.server, Wire::Http2(http2))
        }
        Reader::Xrange => {
            let last = format!("{}-{}", after.epoch, after.sequence);
            let mut pages = Pages::after(stream, &after.topic, last);
            pages.ask(&mut out);
            (plan.redis, Wire::Xrange(pages))
        }
    };
    let connection = sockets.connect(to, wire, out)?;
    sockets.flush(connection)?;
    Ok(connection)
}
