//! One case, once: the systems are started, the load generator runs, and what it says is read.

use std::{
    collections::BTreeMap,
    path::Path,
    process::{Command, Stdio},
};

use super::{
    rows::{Call, Case, Destination, Load, Pace, Quantity, Reader},
    systems::{Binaries, Build, CHECKED_TOPIC, DURABLE_TOPIC, Place, Running, System},
};

/// What the load generator said, by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sample {
    pub(crate) numbers: BTreeMap<String, f64>,
    pub(crate) texts: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Length {
    pub(crate) warm_up: f64,
    pub(crate) seconds: f64,
}

pub(crate) fn measure(
    case: &Case,
    build: Build,
    length: Length,
    binaries: &Binaries,
    folder: &Path,
) -> Result<Sample, String> {
    let running = Running::start(case.system, build, binaries, folder)?;
    let mut load = Command::new(&binaries.load);
    load.args(arguments(case, &running));
    load.args(["--warm-up-seconds", &length.warm_up.to_string()]);
    load.args(["--seconds", &length.seconds.to_string()]);
    load.args(["--watch", &format!("server={}", running.server.pid)]);
    if let Some(redis) = running.redis {
        load.args(["--watch", &format!("redis={}", redis.pid)]);
    }
    let output = load.stdin(Stdio::null()).stderr(Stdio::piped()).output();
    let output = output.map_err(|error| format!("{load:?}: {error}"))?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{}; {}; {load:?}", why.trim(), running.last_words()));
    }
    parse(&String::from_utf8_lossy(&output.stdout))
}

fn arguments(case: &Case, running: &Running) -> Vec<String> {
    let Place { address: server, .. } = running.server;
    let tidings = case.system.is_tidings() || case.system == System::Echo;
    // Straight to Redis for facades: how they would publish is not what is compared.
    let publish = running.redis.filter(|_| !tidings).map_or(server, |redis| redis.address);
    let way = |call| match (case.system, call) {
        (System::Nats, _) => "nats",
        (System::Redis | System::Naive | System::Usual, _) => "redis",
        (_, Call::Stream) => "stream",
        (_, Call::Unary) => "unary",
    };
    let protocol = match case.system {
        System::Redis => "redis",
        System::Nats => "nats",
        System::Tidings
        | System::TidingsOnMemory
        | System::Naive
        | System::Usual
        | System::Echo => "grpc",
    };
    let subscribers = |streams: u32, connections: u32| {
        format!(
            "--subscribe {server} --protocol {protocol} --streams {streams} \
             --connections {connections}"
        )
    };
    let line = match case.load {
        Load::FanOut { streams, connections, event_bytes, pace } => {
            let pace = match pace {
                Pace::Window(window) => format!("--window {window}"),
                Pace::Rate(rate) => format!("--rate {rate}"),
            };
            format!(
                "fan-out {} --publish {publish} --way {} {pace} --event-bytes {event_bytes}",
                subscribers(streams, connections),
                way(Call::Stream)
            )
        }
        Load::Publish { call, in_flight, batch, topics, into } => format!(
            "publish --to {server} --way {} --in-flight {in_flight} --batch {batch} \
             --topics {topics} --topic {}",
            way(call),
            match into {
                Destination::Live => "bench".to_owned(),
                Destination::Durable => DURABLE_TOPIC.to_owned(),
                Destination::Typed => format!("bench {TYPED}"),
                Destination::Checked => format!("{CHECKED_TOPIC} {TYPED}"),
            }
        ),
        Load::Replay { reader } => {
            format!("replay --server {server} {} {}", behind(running), way_to_read(reader))
        }
        Load::CatchUp { reader } => {
            let reader = reader.map(way_to_read).unwrap_or_default();
            format!("catch-up --server {server} {} {reader}", behind(running))
        }
        Load::Idle { streams, connections } => {
            format!("idle {}", subscribers(streams, connections))
        }
    };
    line.split_whitespace().map(Into::into).collect()
}

/// Events of the type that a broker is started with.
const TYPED: &str = "--typed --event-bytes 208";

/// The Redis behind the server, and what is read there.
fn behind(running: &Running) -> String {
    let redis = running.redis.unwrap_or(running.server).address;
    format!("--redis {redis} --topic {DURABLE_TOPIC}")
}

fn way_to_read(reader: Reader) -> &'static str {
    match reader {
        Reader::Subscriber => "--reader subscribe",
        Reader::Xrange => "--reader xrange",
    }
}

impl Sample {
    pub(crate) fn number(&self, name: &str) -> f64 {
        self.numbers.get(name).copied().unwrap_or(0.0)
    }

    pub(crate) fn text(&self, name: &str) -> &str {
        self.texts.get(name).map_or("", String::as_str)
    }

    /// Every event came, once and in order.
    pub(crate) fn is_sound(&self) -> bool {
        self.number("sound") == 1.0
    }

    /// Cores used, of the server, of the Redis behind it, of the load generator.
    pub(crate) fn cores(&self, name: &str) -> f64 {
        self.number(&format!("{name}_cpu")) / self.number("seconds")
    }

    pub(crate) fn value(&self, quantity: Quantity) -> f64 {
        let server = self.number("server_cpu");
        let redis = self.numbers.get("redis_cpu").copied();
        let micros = 1e6;
        match quantity {
            Quantity::CpuPerDelivery => {
                (server + redis.unwrap_or(0.0)) * micros / self.number("delivered")
            }
            Quantity::ServerCpuPerEvent => server * micros / self.number("published"),
            // Where the server is Redis itself, it is no other.
            Quantity::RedisCpuPerEvent => {
                redis.unwrap_or(server) * micros / self.number("published")
            }
            Quantity::EventsPerSecond => self.number("published") / self.number("seconds"),
            Quantity::LatencyP50 => self.number("latency_p50"),
            Quantity::LatencyP99 => self.number("latency_p99"),
            Quantity::CaughtUp => self.number("caught_up"),
            Quantity::MemoryGrown => self.number("server_memory_grown") / f64::from(1 << 20),
            Quantity::MemoryPerStream => {
                self.number("server_memory_grown") / 1024.0 / self.number("streams")
            }
        }
    }
}

/// A flat JSON object of numbers, texts and booleans: what the load generator prints.
fn parse(json: &str) -> Result<Sample, String> {
    let wrong = || format!("the load generator said {json:?}");
    let mut rest = json.trim().strip_prefix('{').ok_or_else(wrong)?.trim_start();
    let mut sample = Sample::default();
    while let Some(after) = rest.strip_prefix('"') {
        let (name, after) = text(after).ok_or_else(wrong)?;
        let value = after.trim_start().strip_prefix(':').ok_or_else(wrong)?.trim_start();
        rest = if let Some(value) = value.strip_prefix('"') {
            let (value, after) = text(value).ok_or_else(wrong)?;
            sample.texts.insert(name, value);
            after
        } else {
            let end = value.find([',', '}']).ok_or_else(wrong)?;
            let (value, after) = value.split_at(end);
            let number = match value.trim() {
                "true" => 1.0,
                "false" => 0.0,
                number => number.parse().map_err(|_| wrong())?,
            };
            sample.numbers.insert(name, number);
            after
        };
        rest = rest.trim_start().trim_start_matches(',').trim_start();
    }
    if rest == "}" { Ok(sample) } else { Err(wrong()) }
}

/// Up to its closing quote, which is behind us then.
fn text(rest: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = rest.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &rest[at + 1..])),
            '\\' => value.push(match chars.next()?.1 {
                'n' => '\n',
                'u' => '?',
                other => other,
            }),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_load_generator_says_is_read() {
        let sample = parse(
            "{\"delivered\":200,\"server_cpu\":0.5,\"redis_cpu\":1e-1,\"seconds\":2.0,\
             \"first_fault\":\"it said \\\"no\\\", {then} nothing\",\"sound\":true}\n",
        );
        let sample = sample.unwrap();
        assert_eq!(sample.text("first_fault"), "it said \"no\", {then} nothing");
        assert!(sample.is_sound());
        assert!((sample.value(Quantity::CpuPerDelivery) - 3000.0).abs() < 1e-6);
        assert!((sample.cores("server") - 0.25).abs() < 1e-9);
        for wrong in ["", "{", "{\"a\":}", "{\"a\":1", "[1]", "{\"a\":1} and more"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
