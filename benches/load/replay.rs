//! What is kept of a durable topic, read from its begin: by a subscriber of the broker, or straight from Redis.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use clap::ValueEnum;
use serde_json::{Value, json};

use super::{
    Common,
    http2::{Calls, Http2, prefixed},
    payload::{Payload, Stamp, put_varint, varint},
    publisher::{Plan, Publisher, Way},
    report, resp,
    socket::{Clock, Sockets, Wire},
    tally::{Sink, Tally},
    watch::{self, Snapshot},
};

const PATIENCE: Duration = Duration::from_millis(100);
/// A reader that gets nothing for so long has failed.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// Memory is looked at so often.
const LOOK: u64 = 20_000_000;
const BATCH: usize = 100;
const IN_FLIGHT: usize = 64;
/// Entries that XRANGE is asked for.
const PAGE: usize = 1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Reader {
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
    let payload = Payload::of(common.event_bytes)?;
    let wanted = (plan.events_per_second as f64 * common.seconds) as u64;
    let events = wanted.next_multiple_of(BATCH as u64);
    publish(plan, &payload, events)?;

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

fn publish(plan: &Replay, payload: &Payload, events: u64) -> Result<()> {
    let mut sockets = Sockets::new()?;
    let mut tally = Tally::new(payload.clone(), 0, 0);
    let mut publisher = Publisher::connect(
        &mut sockets,
        &Plan {
            to: plan.server,
            way: Way::Stream,
            topics: std::slice::from_ref(&plan.common.topic),
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
    let key = format!("td:{{{}}}:s", plan.common.topic);
    let mut pages = Pages::default();
    let mut buffer = vec![0; 256 * 1024];
    let mut kept = 0;
    while tally.delivered < events {
        let from = if pages.last.is_empty() { "-".into() } else { format!("({}", pages.last) };
        let count = PAGE.to_string();
        let mut command = b"*6\r\n".to_vec();
        for word in ["XRANGE", &key, &from, "+", "COUNT", &count] {
            command.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
        }
        socket.write_all(&command)?;
        let before = tally.delivered;
        pages.left = None;
        while pages.left != Some(0) {
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

/// What XRANGE answers.
#[derive(Debug, Default)]
struct Pages {
    /// Entries of the page that have not come; none where its head has not.
    left: Option<u64>,
    last: String,
}

impl Pages {
    fn consume(&mut self, bytes: &[u8], sink: &mut impl Sink) -> Result<usize> {
        let mut at = 0;
        if self.left.is_none() {
            let Some((count, next)) = head(bytes, "*")? else { return Ok(0) };
            (self.left, at) = (Some(count), next);
        }
        while self.left > Some(0) {
            let Some(length) = self.entry(&bytes[at..], sink)? else { break };
            at += length;
            self.left = self.left.map(|left| left - 1);
        }
        Ok(at)
    }

    fn entry(&mut self, bytes: &[u8], sink: &mut impl Sink) -> Result<Option<usize>> {
        let Some((_, mut at)) = head(bytes, "*")? else { return Ok(None) };
        let Some((id, length)) = text(&bytes[at..])? else { return Ok(None) };
        at += length;
        let Some((fields, length)) = head(&bytes[at..], "*")? else { return Ok(None) };
        at += length;
        let mut event = None;
        for _ in 0..fields / 2 {
            let Some((name, length)) = text(&bytes[at..])? else { return Ok(None) };
            at += length;
            let Some((value, length)) = text(&bytes[at..])? else { return Ok(None) };
            at += length;
            if name == b"e" {
                event = Some(value);
            }
        }
        // Behind its number and its length, as a field of a batch.
        if let Some(mut event) = event {
            varint(&mut event);
            varint(&mut event);
            sink.event(0, event);
        }
        self.last.clear();
        self.last.push_str(std::str::from_utf8(id)?);
        Ok(Some(at))
    }
}

/// A line that begins so, its number, and its length with its end.
fn head(bytes: &[u8], begin: &str) -> Result<Option<(u64, usize)>> {
    // Lines are short: what lies behind is not searched.
    let Some((line, length)) = resp::line(&bytes[..bytes.len().min(32)]) else { return Ok(None) };
    match line.strip_prefix(begin) {
        Some(number) => Ok(Some((number.parse()?, length))),
        None => bail!("redis sent {line:?}"),
    }
}

fn text(bytes: &[u8]) -> Result<Option<(&[u8], usize)>> {
    let Some((length, at)) = head(bytes, "$")? else { return Ok(None) };
    let end = at + length as usize;
    Ok(bytes.get(..end + 2).map(|whole| (&whole[at..end], end + 2)))
}

#[cfg(test)]
mod tests {
    use super::{super::tally::tests::Told, *};

    const ANSWER: &[u8] = b"*2\r\n*2\r\n$3\r\n7-0\r\n*2\r\n$3\r\nwhy\r\n$7\r\ncreated\r\n\
        *2\r\n$3\r\n7-1\r\n*4\r\n$1\r\nt\r\n$1\r\n5\r\n$1\r\ne\r\n$7\r\n\x7a\x05hello\r\n";

    #[test]
    fn pages_are_read_whole_however_they_are_cut() {
        for cut in 0..ANSWER.len() {
            let (mut pages, mut told) = (Pages::default(), Told::default());
            let done = pages.consume(&ANSWER[..cut], &mut told).unwrap();
            let rest = pages.consume(&ANSWER[done..], &mut told).unwrap();
            assert_eq!((done + rest, told.0), (ANSWER.len(), vec!["0: hello".to_owned()]));
            assert_eq!((pages.left, pages.last.as_str()), (Some(0), "7-1"), "cut at {cut}");
        }
    }
}
