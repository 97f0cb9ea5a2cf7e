//! One publisher, many subscribers: saturated, with so many events in flight, or isolated, one at a time at
//! its own time.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Result, bail, ensure};
use clap::ValueEnum;
use serde_json::{Map, Value, json};

use super::{
    Common,
    http2::{Calls, Http2, prefixed},
    nats::{Nats, Role},
    payload::{Payload, Stamp, put_varint},
    publisher::{Plan, Publisher, Way},
    report,
    resp::Resp,
    socket::{Sockets, Wire},
    tally::Tally,
    watch::{self, Snapshot},
};

const OPENING: Duration = Duration::from_secs(60);
const DRAINING: Duration = Duration::from_secs(20);
const PATIENCE: Duration = Duration::from_millis(100);
/// So many are published in a row before what arrived is looked at.
const BURST_MAX: usize = 4096;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Protocol {
    Redis,
    Nats,
    Grpc,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Subscribers {
    /// Where they subscribe
    #[arg(long)]
    pub(crate) subscribe: SocketAddr,
    /// What is spoken there
    #[arg(long)]
    pub(crate) protocol: Protocol,
    #[arg(long)]
    pub(crate) streams: usize,
    /// Over which the streams are spread; only gRPC has several on one
    #[arg(long)]
    pub(crate) connections: usize,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct FanOut {
    #[command(flatten)]
    subscribers: Subscribers,
    /// Where is published
    #[arg(long)]
    publish: SocketAddr,
    #[arg(long)]
    way: Way,
    /// Saturated: at most so many events are published and not with every subscriber yet
    #[arg(long, conflicts_with = "rate", required_unless_present = "rate")]
    window: Option<usize>,
    /// Isolated: so many events a second, each sent when it is due
    #[arg(long)]
    rate: Option<u64>,
    #[command(flatten)]
    common: Common,
}

pub(crate) fn run(plan: &FanOut) -> Result<Value> {
    let payload = Payload::of(plan.common.event_bytes, plan.common.typed)?;
    let streams = plan.subscribers.streams;
    let mut sockets = Sockets::new()?;
    let mut tally = Tally::new(payload.clone(), streams, plan.window.unwrap_or(0));
    let opened = open(&mut sockets, &mut tally, &plan.subscribers, &plan.common)?;
    // A window is what bounds the publisher, too.
    let mut publisher = Publisher::connect(
        &mut sockets,
        &Plan {
            to: plan.publish,
            way: plan.way,
            topics: std::slice::from_ref(&plan.common.topic),
            payload: &payload,
            batch: 1,
            in_flight: plan.window.unwrap_or(1 << 20),
        },
    )?;
    tally.ordered = publisher.way != Way::Unary;
    let pace = match (plan.window, plan.rate) {
        (Some(window), _) => Pace::Window(window as u64),
        (None, Some(rate)) => Pace::Every(1_000_000_000 / rate),
        (None, None) => bail!("say --window or --rate"),
    };
    let begun = sockets.clock.now();
    // Set after that, a tick finds its event due; before, each would wait for the next tick.
    if let Pace::Every(period) = pace {
        sockets.tick(Duration::from_nanos(period))?;
    }
    let from = begun + plan.common.warm_up().as_nanos() as u64;
    let to = from + plan.common.seconds().as_nanos() as u64;
    tally.measured = from..to;
    let mut run = Run { sockets, tally, publisher, pace, begun, first: 0 };
    run.until(|run| run.sockets.clock.now() >= from)?;
    let (first, before) = (Snapshot::take(&plan.common.watch)?, run.mark());
    run.until(|run| run.sockets.clock.now() >= to)?;
    let (last, after) = (Snapshot::take(&plan.common.watch)?, run.mark());
    let drained = run.drain(streams as u64)?;
    publisher = run.publisher;

    let seconds = (after.at - before.at) as f64 / 1e9;
    let mut told = report::of(&plan.common, seconds, &first.until(&last), &run.tally);
    told.insert("streams".into(), json!(streams));
    told.insert("opened_seconds".into(), json!(opened));
    told.insert("published_by".into(), json!(format!("{:?}", publisher.way).to_lowercase()));
    told.insert("published".into(), json!(after.published - before.published));
    told.insert("delivered".into(), json!(after.delivered - before.delivered));
    told.insert("published_in_all".into(), json!(publisher.published));
    told.insert("delivered_in_all".into(), json!(run.tally.delivered));
    let sound = drained && run.tally.is_sound();
    told.insert("sound".into(), json!(sound));
    if plan.rate.is_some() {
        report::latency(&mut told, &run.tally.latency);
    }
    Ok(Value::Object(told))
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Pace {
    /// At most so many in flight.
    Window(u64),
    /// One in so many nanoseconds.
    Every(u64),
}

pub(crate) struct Run {
    pub(crate) sockets: Sockets,
    pub(crate) tally: Tally,
    pub(crate) publisher: Publisher,
    pub(crate) pace: Pace,
    pub(crate) begun: u64,
    /// The number of the first event.
    pub(crate) first: u64,
}

pub(crate) struct Mark {
    pub(crate) at: u64,
    pub(crate) published: u64,
    pub(crate) delivered: u64,
}

impl Run {
    pub(crate) fn mark(&self) -> Mark {
        let (published, delivered) = (self.publisher.published, self.tally.delivered);
        Mark { at: self.sockets.clock.now(), published, delivered }
    }

    pub(crate) fn until(&mut self, mut is_over: impl FnMut(&Run) -> bool) -> Result<()> {
        loop {
            if is_over(self) {
                return Ok(());
            }
            self.publish(self.sockets.clock.now());
            self.publisher.flush(&mut self.sockets)?;
            self.sockets.turn(&mut self.tally, PATIENCE)?;
        }
    }

    fn publish(&mut self, now: u64) {
        for _ in 0..BURST_MAX {
            let number = self.publisher.published;
            let due = match self.pace {
                Pace::Window(window) if number - self.tally.complete < window => now,
                Pace::Window(_) => return,
                Pace::Every(period) => self.begun + number * period,
            };
            let answered = self.tally.answered;
            if due > now || !self.publisher.may_publish(&mut self.sockets, answered) {
                return;
            }
            let number = self.first + number;
            self.publisher.publish(&mut self.sockets, Stamp { number, due });
        }
    }

    /// Waits for what is on its way: whether all of it came.
    pub(crate) fn drain(&mut self, streams: u64) -> Result<bool> {
        let patience = self.sockets.clock.now() + DRAINING.as_nanos() as u64;
        let expected = self.publisher.published * streams;
        // What is known to be missing is not waited for.
        while self.tally.delivered + self.tally.missing < expected
            && self.sockets.clock.now() < patience
        {
            self.sockets.turn(&mut self.tally, PATIENCE)?;
        }
        Ok(self.tally.delivered == expected)
    }
}

/// Opens all streams, and returns how many seconds it took until each was told that it hears everything.
pub(crate) fn open(
    sockets: &mut Sockets,
    tally: &mut Tally,
    plan: &Subscribers,
    common: &Common,
) -> Result<f64> {
    let Subscribers { subscribe, protocol, streams, connections } = plan;
    let (topic, bytes) = (&common.topic, common.event_bytes);
    ensure!(
        *protocol == Protocol::Grpc || streams == connections,
        "only gRPC has several streams on a connection"
    );
    ensure!((1..=*streams).contains(connections), "{streams} streams on {connections} connections");
    let begun = sockets.clock.now();
    for at in 0..*connections {
        let first = at * streams / connections;
        let count = (at + 1) * streams / connections - first;
        let mut out = Vec::new();
        let wire = match protocol {
            Protocol::Redis => {
                out = Resp::subscribe(topic);
                Wire::Resp(Resp::new(first, topic, bytes))
            }
            Protocol::Nats => {
                out = Nats::subscribe(topic);
                Wire::Nats(Nats::new(Role::Subscriber(first), topic, bytes))
            }
            Protocol::Grpc => {
                let calls = Calls::subscriptions(first, count);
                let mut http2 = Http2::new(&subscribe.to_string(), calls, &mut out);
                let request = prefixed(&subscription(topic));
                for _ in 0..count {
                    http2.call(&request, &mut out);
                }
                Wire::Http2(http2)
            }
        };
        let connection = sockets.connect(*subscribe, wire, out)?;
        sockets.flush(connection)?;
    }
    let patience = begun + OPENING.as_nanos() as u64;
    while tally.ready < *streams {
        ensure!(tally.fault_count == 0, "while opening: {:?}", tally.faults);
        ensure!(
            sockets.clock.now() < patience,
            "{} of {streams} streams opened in {OPENING:?}",
            tally.ready
        );
        sockets.turn(tally, PATIENCE)?;
    }
    Ok((sockets.clock.now() - begun) as f64 / 1e9)
}

/// A `SubscribeRequest`: no more than the topic.
fn subscription(topic: &str) -> Vec<u8> {
    let mut request = vec![0x0a];
    put_varint(&mut request, topic.len() as u64);
    [request, topic.as_bytes().to_vec()].concat()
}

/// Opens the streams and holds them: what they take.
pub(crate) fn idle(plan: &Subscribers, common: &Common) -> Result<Value> {
    let payload = Payload::of(common.event_bytes, common.typed)?;
    let mut sockets = Sockets::new()?;
    let mut tally = Tally::new(payload, plan.streams, 0);
    let memory = || -> Result<Vec<u64>> {
        common.watch.iter().map(|watched| watch::memory(watched.pid)).collect()
    };
    let before = memory()?;
    let opened = open(&mut sockets, &mut tally, plan, common)?;
    let first = Snapshot::take(&common.watch)?;
    let begun = sockets.clock.now();
    let end = begun + common.seconds().as_nanos() as u64;
    while sockets.clock.now() < end {
        sockets.turn(&mut tally, PATIENCE)?;
    }
    let seconds = (sockets.clock.now() - begun) as f64 / 1e9;
    let used = first.until(&Snapshot::take(&common.watch)?);
    let mut told = report::of(common, seconds, &used, &tally);
    memories(&mut told, common, &before, &memory()?);
    told.insert("streams".into(), json!(plan.streams));
    told.insert("opened_seconds".into(), json!(opened));
    told.insert("sound".into(), json!(tally.is_sound()));
    Ok(Value::Object(told))
}

fn memories(told: &mut Map<String, Value>, common: &Common, before: &[u64], after: &[u64]) {
    for ((watched, before), after) in common.watch.iter().zip(before).zip(after) {
        let grown = after.saturating_sub(*before);
        told.insert(format!("{}_memory_before", watched.name), json!(before));
        told.insert(format!("{}_memory_grown", watched.name), json!(grown));
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::{TcpListener, TcpStream},
        thread,
    };

    use super::*;

    const EVENT_BYTES: usize = 192;
    const SUBSCRIBERS: usize = 2;

    #[derive(Debug, Clone, Copy)]
    enum Fault {
        None,
        Missing,
        Repeated,
        Reordered,
    }

    /// As much of Redis as a run needs; what one subscriber gets has a fault in it.
    fn serve(listener: &TcpListener, fault: Fault) {
        let mut subscribers: Vec<TcpStream> = Vec::new();
        let subscribe = Resp::subscribe("bench");
        while subscribers.len() < SUBSCRIBERS {
            let (mut subscriber, _) = listener.accept().unwrap();
            subscriber.read_exact(&mut vec![0; subscribe.len()]).unwrap();
            subscriber.write_all(b"*3\r\n$9\r\nsubscribe\r\n$5\r\nbench\r\n:1\r\n").unwrap();
            subscribers.push(subscriber);
        }
        let (mut publisher, _) = listener.accept().unwrap();
        let (mut command, at) = Resp::publish("bench", &[0; EVENT_BYTES]);
        let mut held = None;
        for number in 0.. {
            if publisher.read_exact(&mut command).is_err() {
                return;
            }
            let head = format!("*3\r\n$7\r\nmessage\r\n$5\r\nbench\r\n${EVENT_BYTES}\r\n");
            let message = [head.as_bytes(), &command[at..]].concat();
            for (who, mut subscriber) in subscribers.iter().enumerate() {
                // Its end of the run may have come before ours.
                let mut send = |message: &[u8]| drop(subscriber.write_all(message));
                match (fault, who, number) {
                    (Fault::Missing, 1, 5) => (),
                    (Fault::Repeated, 1, 5) => send(&message.repeat(2)),
                    (Fault::Reordered, 1, 5) => held = Some(message.clone()),
                    (Fault::Reordered, 1, 6) => {
                        send(&message);
                        send(&held.take().unwrap());
                    }
                    _ => send(&message),
                }
            }
            if publisher.write_all(b":2\r\n").is_err() {
                return;
            }
        }
    }

    fn run_against(fault: Fault) -> Value {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || serve(&listener, fault));
        let told = run(&FanOut {
            subscribers: Subscribers {
                subscribe: address,
                protocol: Protocol::Redis,
                streams: SUBSCRIBERS,
                connections: SUBSCRIBERS,
            },
            publish: address,
            way: Way::Redis,
            window: Some(16),
            rate: None,
            common: Common {
                typed: false,
                topic: "bench".into(),
                event_bytes: EVENT_BYTES,
                warm_up_seconds: 0.01,
                seconds: 0.05,
                watch: Vec::new(),
            },
        });
        server.join().unwrap();
        told.unwrap()
    }

    #[test]
    fn a_run_is_sound_only_where_every_event_came_once_and_in_order() {
        for (fault, counts) in [
            (Fault::None, [0, 0, 0]),
            (Fault::Missing, [1, 0, 0]),
            (Fault::Repeated, [0, 1, 0]),
            (Fault::Reordered, [0, 0, 1]),
        ] {
            let told = run_against(fault);
            let found = ["missing", "repeated", "reordered"].map(|name| told[name].clone());
            assert_eq!(found, counts.map(Value::from), "{fault:?}: {told}");
            assert_eq!(told["sound"], matches!(fault, Fault::None), "{fault:?}: {told}");
        }
    }
}
