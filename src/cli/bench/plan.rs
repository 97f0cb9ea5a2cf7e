//! What a run is to do: read from the command line, and checked as a whole before anything starts.

use std::{fmt, str::FromStr, time::Duration};

use clap::{Args, Subcommand, ValueEnum};
use uuid::Uuid;

use super::report::count;
use crate::{
    cli::{Server, WrongUsage},
    config::values::ByteSize,
    limits::{CONNECTION_STREAMS_MAX, EVENT_BYTES_MAX, REQUEST_BYTES_MAX, REQUEST_EVENTS_MAX},
    topic::Topic,
};

/// Measure a server as its clients see it. Every figure is measured in the run itself.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    #[command(subcommand)]
    run: Run,
}

#[derive(Debug, Subcommand)]
enum Run {
    /// Publish: how many events a second, and how long until they are acknowledged.
    #[command(name = "pub", alias = "publish")]
    Pub {
        /// Where to publish; a new topic, bench.RANDOM, unless given.
        topic: Option<Topic>,
        #[command(flatten)]
        publishing: PublishingArgs,
        #[command(flatten)]
        common: Common,
    },
    /// Subscribe to what others publish: how many events a second, and is one missing.
    #[command(name = "sub", alias = "subscribe")]
    Sub {
        /// What to subscribe to.
        topic: Topic,
        #[command(flatten)]
        subscribing: SubscribingArgs,
        #[command(flatten)]
        common: Common,
    },
    /// Publish to many subscribers: 10 of them, as fast as it goes, unless told otherwise.
    #[command(name = "fan-out", alias = "fanout")]
    FanOut(Both),
    /// From one publisher to one subscriber: how long events take, 1,000 a second unless told
    /// otherwise.
    #[command(name = "end-to-end")]
    EndToEnd(Both),
}

#[derive(Debug, Args)]
struct Both {
    /// Where to publish; a new topic, bench.RANDOM, unless given.
    topic: Option<Topic>,
    #[command(flatten)]
    publishing: PublishingArgs,
    #[command(flatten)]
    subscribing: SubscribingArgs,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct PublishingArgs {
    /// Publishers, each with its own requests in flight.
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=PUBLISHERS_MAX))]
    publishers: u32,
    /// Bytes of data in each event: 128, 4KiB.
    #[arg(long, value_name = "SIZE", default_value = "128")]
    size: ByteSize,
    /// Events in each request.
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=REQUEST_EVENTS_MAX as i64))]
    batch: u32,
    /// Requests that each publisher may have unanswered.
    #[arg(long, value_name = "N", default_value_t = 64,
          value_parser = clap::value_parser!(u32).range(1..=IN_FLIGHT_MAX))]
    in_flight: u32,
    /// Events a second of all publishers together, sent when they are due and not when answers
    /// allow; or max, as many as answers allow.
    #[arg(long, value_name = "N|max")]
    rate: Option<Rate>,
    /// Publish over PublishStream, a stream for each publisher, and not call by call.
    #[arg(long)]
    stream: bool,
}

#[derive(Debug, Args)]
struct SubscribingArgs {
    /// Subscribers, each with a stream of its own.
    #[arg(long, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=SUBSCRIBERS_MAX))]
    subscribers: Option<u32>,
}

#[derive(Debug, Args)]
struct Common {
    /// End after so many events; of sub, so many for each subscriber.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=EVENTS_MAX))]
    events: Option<u64>,
    /// End after so many seconds; of sub, after the first event [default: 10, unless --events is
    /// given].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=SECONDS_MAX))]
    seconds: Option<u64>,
    /// Connections to share, for the publishers and as many again for the subscribers [default: one
    /// for each].
    #[arg(long, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=CONNECTIONS_MAX))]
    connections: Option<u32>,
    /// Threads of this client.
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=THREADS_MAX))]
    threads: u32,
    /// How to print the result.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rate {
    PerSecond(u32),
    Max,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Text,
    /// One object on one line.
    Json,
}

/// A run, all its parts checked against each other.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) kind: Kind,
    pub(super) topic: Topic,
    pub(super) publishing: Option<Publishing>,
    pub(super) subscribers: u32,
    pub(super) events: Option<u64>,
    pub(super) time: Option<Duration>,
    connections: Option<u32>,
    pub(super) threads: u32,
    pub(super) format: Format,
    pub(super) server: Server,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Pub,
    Sub,
    FanOut,
    EndToEnd,
}

#[derive(Debug, Clone)]
pub(super) struct Publishing {
    pub(super) publishers: u32,
    /// Bytes of data in each event.
    pub(super) size: usize,
    pub(super) batch: u32,
    pub(super) in_flight: u32,
    /// Events a second; none: as fast as answers come.
    pub(super) rate: Option<u32>,
    pub(super) stream: bool,
}

const PUBLISHERS_MAX: i64 = 1000;
const SUBSCRIBERS_MAX: i64 = 20_000;
const CONNECTIONS_MAX: i64 = 20_000;
const IN_FLIGHT_MAX: i64 = 10_000;
const EVENTS_MAX: u64 = 1_000_000_000_000;
const SECONDS_MAX: u64 = 86_400;
const THREADS_MAX: i64 = 64;
const RATE_MAX: u32 = 10_000_000;
/// In the data of each event: which run it is of, and when it was sent.
pub(super) const STAMP_BYTES: usize = 16;
/// What an event has beside its data, and a little more.
const ATTRIBUTES_BYTES: usize = 256;
const SECONDS: u64 = 10;
const FAN_OUT: u32 = 10;
const END_TO_END_RATE: u32 = 1000;

impl Bench {
    pub(super) fn plan(self) -> Result<Plan, WrongUsage> {
        let plan = match self.run {
            Run::Pub { topic, publishing, common } => {
                common.plan(Kind::Pub, topic, Some(publishing.publishing(None)?), 0)
            }
            Run::Sub { topic, subscribing, common } => {
                common.plan(Kind::Sub, Some(topic), None, subscribing.subscribers.unwrap_or(1))
            }
            Run::FanOut(both) => both.plan(Kind::FanOut, None, FAN_OUT)?,
            Run::EndToEnd(both) => both.plan(Kind::EndToEnd, Some(END_TO_END_RATE), 1)?,
        };
        plan.check()?;
        Ok(plan)
    }
}

impl Both {
    fn plan(self, kind: Kind, rate: Option<u32>, subscribers: u32) -> Result<Plan, WrongUsage> {
        let publishing = self.publishing.publishing(rate)?;
        let subscribers = self.subscribing.subscribers.unwrap_or(subscribers);
        Ok(self.common.plan(kind, self.topic, Some(publishing), subscribers))
    }
}

impl PublishingArgs {
    /// With `rate` where none is given.
    fn publishing(self, rate: Option<u32>) -> Result<Publishing, WrongUsage> {
        let most = EVENT_BYTES_MAX - ATTRIBUTES_BYTES;
        let size = usize::try_from(self.size.0).unwrap_or(usize::MAX);
        if !(STAMP_BYTES..=most).contains(&size) {
            let why = format!(
                "--size {size}: give {STAMP_BYTES} to {most} bytes: each event carries when it was \
                 sent, and is at most {EVENT_BYTES_MAX} bytes with its attributes"
            );
            return Err(WrongUsage(why));
        }
        let bytes = (size + ATTRIBUTES_BYTES).saturating_mul(self.batch as usize);
        if self.batch > 1 && bytes > REQUEST_BYTES_MAX {
            let most = REQUEST_BYTES_MAX / (size + ATTRIBUTES_BYTES);
            let why = format!(
                "--batch {} of --size {size}: a request is at most {REQUEST_BYTES_MAX} bytes, which \
                 is {most} such events",
                self.batch
            );
            return Err(WrongUsage(why));
        }
        Ok(Publishing {
            publishers: self.publishers,
            size,
            batch: self.batch,
            in_flight: self.in_flight,
            rate: match self.rate {
                Some(Rate::PerSecond(rate)) => Some(rate),
                Some(Rate::Max) => None,
                None => rate,
            },
            stream: self.stream,
        })
    }
}

impl Common {
    fn plan(
        self,
        kind: Kind,
        topic: Option<Topic>,
        publishing: Option<Publishing>,
        subscribers: u32,
    ) -> Plan {
        let seconds = self.seconds.or(self.events.is_none().then_some(SECONDS));
        Plan {
            kind,
            topic: topic.unwrap_or_else(new_topic),
            publishing,
            subscribers,
            events: self.events,
            time: seconds.map(Duration::from_secs),
            connections: self.connections,
            threads: self.threads,
            format: self.format,
            server: self.server,
        }
    }
}

impl Plan {
    pub(super) fn publisher_connections(&self) -> u32 {
        let publishers = self.publishing.as_ref().map_or(0, |publishing| publishing.publishers);
        publishers.min(self.connections.unwrap_or(publishers))
    }

    pub(super) fn subscriber_connections(&self) -> u32 {
        self.subscribers.min(self.connections.unwrap_or(self.subscribers))
    }

    /// A connection carries so many calls at a time; one more would wait for another to end, and
    /// the figures would be of that.
    fn check(&self) -> Result<(), WrongUsage> {
        let crowded = |what: &str, streams: u64, connections: u32| {
            let most = u64::from(CONNECTION_STREAMS_MAX) * u64::from(connections);
            let why = format!(
                "{what} make {streams} calls at a time on {}, and one carries \
                 {CONNECTION_STREAMS_MAX}: give more --connections, or fewer calls",
                count(connections.into(), "connection")
            );
            if streams > most { Err(WrongUsage(why)) } else { Ok(()) }
        };
        if let Some(publishing) = &self.publishing {
            let Publishing { publishers, in_flight, stream, .. } = publishing;
            let each = if *stream { 1 } else { *in_flight };
            // Connections have one publisher more than others at most.
            let connections = self.publisher_connections();
            let rounded = u64::from(publishers.next_multiple_of(connections));
            let what = format!("--publishers {publishers} with --in-flight {each}");
            crowded(&what, rounded * u64::from(each), connections)?;
        }
        let connections = self.subscriber_connections();
        let what = format!("--subscribers {}", self.subscribers);
        crowded(&what, self.subscribers.into(), connections)
    }
}

/// Nobody else's: what is counted there is this run's.
#[allow(clippy::expect_used, reason = "such names are topics")]
fn new_topic() -> Topic {
    let random = Uuid::new_v4().simple().to_string();
    format!("bench.{}", &random[..12]).parse().expect("letters and digits")
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Rate, String> {
        if text == "max" {
            return Ok(Rate::Max);
        }
        let rate = text.parse().ok().filter(|rate| (1..=RATE_MAX).contains(rate));
        let rate = rate.ok_or_else(|| format!("write 1 to {RATE_MAX} events a second, or max"));
        rate.map(Rate::PerSecond)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Pub => "pub",
            Kind::Sub => "sub",
            Kind::FanOut => "fan-out",
            Kind::EndToEnd => "end-to-end",
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        bench: Bench,
    }

    fn plan(line: &str) -> Result<Plan, String> {
        let parsed = Line::try_parse_from(["bench"].into_iter().chain(line.split(' ')));
        let parsed = parsed.map_err(|error| error.to_string())?;
        parsed.bench.plan().map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_left_out_depends_on_the_kind_of_run() {
        let rate = |plan: &Plan| plan.publishing.as_ref().and_then(|publishing| publishing.rate);
        let fan_out = plan("fan-out").expect("a plan");
        assert_eq!((fan_out.subscribers, rate(&fan_out), fan_out.events), (10, None, None));
        assert_eq!(fan_out.time, Some(Duration::from_secs(10)));
        let end_to_end = plan("end-to-end --events 5").expect("a plan");
        assert_eq!((end_to_end.subscribers, rate(&end_to_end)), (1, Some(1000)));
        assert_eq!((end_to_end.events, end_to_end.time), (Some(5), None));
        assert_eq!(rate(&plan("end-to-end --rate max").expect("a plan")), None);
        let publish = plan("pub --publishers 4 --connections 2").expect("a plan");
        assert_eq!((publish.subscribers, publish.publisher_connections()), (0, 2));
        assert!(publish.topic.as_str().starts_with("bench."), "{}", publish.topic);
        let sub = plan("sub orders --subscribers 3").expect("a plan");
        assert_eq!((sub.topic.as_str(), sub.subscriber_connections()), ("orders", 3));
    }

    #[test]
    fn what_cannot_be_is_refused_with_what_to_give() {
        for (line, said) in [
            ("pub --size 15", "--size 15: give 16 to 1048320 bytes"),
            ("pub --size 1MiB", "give 16 to 1048320 bytes"),
            ("pub --size much", "write it as 4096"),
            ("pub --size 100KiB --batch 100", "which is 40 such events"),
            ("pub --batch 0", "1..=1000"),
            ("pub --batch 1001", "1..=1000"),
            ("pub --events 0", "--events"),
            ("pub --seconds 0", "1..=86400"),
            ("pub --rate 0", "write 1 to 10000000 events a second, or max"),
            ("pub --rate 1.5", "or max"),
            (
                "pub --in-flight 1001",
                "--in-flight 1001 make 1001 calls at a time on 1 connection, ",
            ),
            ("pub --publishers 3 --connections 2 --in-flight 501", "2004 calls"),
            ("pub --threads 65", "1..=64"),
            ("pub --subscribers 2", "--subscribers"),
            ("pub orders.*", "orders.*"),
            ("fan-out --subscribers 0", "1..=20000"),
            (
                "fan-out --subscribers 2001 --connections 2",
                "--subscribers 2001 make 2001 calls at a time on 2 connections",
            ),
            ("sub", "<TOPIC>"),
            ("sub orders --rate 5", "--rate"),
            ("sub orders --format xml", "text, json"),
            ("mixed", "mixed"),
        ] {
            let error = plan(line).expect_err(line);
            assert!(error.contains(said), "{line}: {error}");
        }
        plan("pub --in-flight 1001 --stream").expect("one call");
        plan("pub --size 1048320").expect("the largest");
        plan("fan-out --subscribers 2000 --connections 2").expect("as many as there is room for");
    }
}
