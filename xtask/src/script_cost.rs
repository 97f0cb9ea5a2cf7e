//! `cargo xtask script-cost`: what a publish costs the one thread of Redis, beside plain PUBLISH.
//!
//! Both go through one pipeline into a Redis of our own, with nobody subscribed, and every event
//! differs: Redis keeps strings that it has seen. What is compared is taken in turns, so that
//! whatever else the machine does falls on both.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    ops::Range,
    os::unix::net::UnixStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::Duration,
};

use crate::{root, target, tools};

const EVENT_BYTES: usize = 192;
const BATCHES: [usize; 5] = [1, 8, 32, 128, 256];
/// Events in the pipeline, and how often it is filled for one figure.
const PIPELINE: usize = 384;
const FILLED: usize = 20;
const TOPIC: &str = "cost";
const HASH: &str = "td:{cost}:m";
const STREAM: &str = "td:{cost}:s";
const LATELY: [&str; 2] = ["td:{cost}:d:0", "td:{cost}:d:1"];
/// The default, and what an event with an id is known by.
const WINDOW_MS: u64 = 120_000;
const KEY_BYTES: usize = 12;
const NO_AGE: &str = "9007199254740991";
const CHANNEL: &str = "td:{cost}:c";
const MAX_EVENTS: u64 = 1000;
const MAX_BYTES: u64 = 16 << 20;

pub(crate) fn run(args: &[String]) -> Result<(), String> {
    let rounds: usize = match args {
        [] => 9,
        [option, number] if option == "--rounds" => {
            number.parse().ok().filter(|n| *n > 0).ok_or(format!("{number:?} is no number"))?
        }
        _ => return Err(format!("{args:?}: there is --rounds N")),
    };
    let mut redis = Redis::start()?;
    let mut figures = Vec::new();
    let kinds = [("live", false), ("durable", false), ("durable", true)];
    for ((mode, ids), count) in kinds.into_iter().flat_map(|kind| BATCHES.map(|n| (kind, n))) {
        let mut publish = redis.pipeline_of_plain()?;
        let mut script = redis.pipeline_of_batches(mode, ids, count)?;
        let events = PIPELINE / count * count;
        let (mut plain, mut ours, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds {
            let one = redis.cpu_us(&mut publish)? / PIPELINE as f64;
            let other = redis.cpu_us(&mut script)? / events as f64;
            plain.push(one);
            ours.push(other);
            ratios.push(other / one);
        }
        figures.push((
            if ids { "with ids" } else { mode },
            count,
            median(plain),
            median(ours),
            median(ratios),
        ));
    }
    println!(
        "CPU of Redis's main thread per event of {EVENT_BYTES} bytes, medians of {rounds} rounds"
    );
    println!(
        "{:>8} {:>8} {:>12} {:>12} {:>8}",
        "mode", "events", "PUBLISH, µs", "script, µs", "ratio"
    );
    for (mode, count, plain, ours, ratio) in figures {
        println!("{mode:>8} {count:>8} {plain:>12.2} {ours:>12.2} {ratio:>8.1}");
    }
    Ok(())
}

/// What is sent in one go, and how many answers come.
struct Pipeline {
    bytes: Vec<u8>,
    answers: usize,
    /// Where something stands in it that never came before.
    new: Vec<Range<usize>>,
}

struct Redis {
    child: Child,
    folder: PathBuf,
    answers: BufReader<UnixStream>,
    random: u64,
}

impl Redis {
    fn start() -> Result<Redis, String> {
        let server = tools::redis_server()?;
        let folder = target().join(format!("script-cost-{}", std::process::id()));
        let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
        fs::create_dir_all(&folder).map_err(failed)?;
        let mut command = Command::new(server);
        command.args(["--port", "0", "--unixsocket", "redis.sock", "--save", ""]);
        command.current_dir(&folder).stdout(Stdio::null());
        let mut child = command.spawn().map_err(failed)?;
        for _ in 0..200 {
            if let Ok(socket) = UnixStream::connect(folder.join("redis.sock")) {
                let answers = BufReader::new(socket);
                return Ok(Redis { child, folder, answers, random: 7 });
            }
            sleep(Duration::from_millis(25));
        }
        let _ = child.kill();
        Err("redis-server does not answer".into())
    }

    fn call(&mut self, words: &[&[u8]]) -> Result<String, String> {
        let bytes = request(words);
        self.answers.get_mut().write_all(&bytes).map_err(|error| error.to_string())?;
        self.answer()
    }

    /// The first text of an answer.
    fn answer(&mut self) -> Result<String, String> {
        let mut line = String::new();
        self.answers.read_line(&mut line).map_err(|error| error.to_string())?;
        let (kind, rest) = line.trim_end().split_at_checked(1).ok_or("redis hung up")?;
        match kind {
            "-" => Err(format!("redis answers {rest:?}")),
            "$" if rest != "-1" => {
                let length: usize = rest.parse().map_err(|_| format!("{line:?} is no answer"))?;
                let mut text = vec![0; length + 2];
                self.answers.read_exact(&mut text).map_err(|error| error.to_string())?;
                Ok(String::from_utf8_lossy(&text[..length]).into_owned())
            }
            "*" => {
                let mut parts = Vec::new();
                for _ in 0..rest.parse().unwrap_or(0) {
                    parts.push(self.answer()?);
                }
                Ok(parts.into_iter().next().unwrap_or_default())
            }
            _ => Ok(rest.to_owned()),
        }
    }

    /// CPU that Redis takes for what is sent, each time.
    fn cpu_us(&mut self, pipeline: &mut Pipeline) -> Result<f64, String> {
        let before = self.cpu_ns()?;
        for _ in 0..FILLED {
            for place in pipeline.new.iter().cloned() {
                pipeline.bytes[place].fill_with(|| self.random());
            }
            self.answers.get_mut().write_all(&pipeline.bytes).map_err(|error| error.to_string())?;
            for _ in 0..pipeline.answers {
                self.answer()?;
            }
        }
        Ok((self.cpu_ns()? - before) as f64 / 1000.0 / FILLED as f64)
    }

    fn cpu_ns(&self) -> Result<u64, String> {
        let pid = self.child.id();
        let path = format!("/proc/{pid}/task/{pid}/schedstat");
        let said = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        let first = said.split(' ').next().and_then(|first| first.parse().ok());
        first.ok_or_else(|| format!("{path} holds {said:?}"))
    }

    fn pipeline_of_plain(&mut self) -> Result<Pipeline, String> {
        let mut bytes = Vec::new();
        for _ in 0..PIPELINE {
            let event = self.event();
            bytes.extend(request(&[b"PUBLISH", CHANNEL.as_bytes(), &event]));
        }
        Ok(Pipeline { bytes, answers: PIPELINE, new: Vec::new() })
    }

    /// On a topic that has just been opened, as a broker does. `ids`: each event has one that its
    /// publisher gave it, and that nobody gave before.
    fn pipeline_of_batches(
        &mut self,
        mode: &str,
        ids: bool,
        count: usize,
    ) -> Result<Pipeline, String> {
        let [one, other] = LATELY;
        self.call(&[b"DEL", HASH.as_bytes(), STREAM.as_bytes(), one.as_bytes(), other.as_bytes()])?;
        let open = script(&["whole.lua", "at.lua", "open.lua"])?;
        let limits = [MAX_EVENTS, MAX_BYTES].map(|bound| bound.to_string());
        let mut words = vec!["EVAL", &open, "3", HASH, STREAM, "td:_tidings.deployment"];
        words.extend(["1", "0", "", "", "", mode, &limits[0], CHANNEL, "td:_tidings.topics:c"]);
        words.extend([TOPIC, "cost", "3600000", "", "", &limits[1], NO_AGE]);
        let words: Vec<&[u8]> = words.into_iter().map(str::as_bytes).collect();
        let said = self.call(&words)?;
        let epoch: u64 = said.parse().map_err(|_| format!("{said:?} is no epoch"))?;
        let store = format!("publish_{mode}.lua");
        let publish = match ids {
            false => script(&["publish_begin.lua", &store, "publish_end.lua"])?,
            true => script(&[
                "publish_begin.lua",
                "publish_check.lua",
                &store,
                "publish_remember.lua",
                "publish_end.lua",
            ])?,
        };
        let sha = self.call(&[b"SCRIPT", b"LOAD", publish.as_bytes()])?;
        let numbers = [epoch, 1, count as u64, MAX_EVENTS, MAX_BYTES];
        let numbers = numbers.map(u64::to_le_bytes);
        let (mut bytes, mut new) = (Vec::new(), Vec::new());
        for _ in 0..PIPELINE / count {
            // What a broker puts before the events, and before each.
            let head = [b'x'; 60];
            let field = |event: Vec<u8>| [&[15 << 3 | 2, 0xC0, 1], &event[..]].concat();
            let events: Vec<_> = (0..count).map(|_| field(self.event())).collect();
            let whole = [&head[..], &events.concat()].concat();
            let keys: &[u8] = if ids { b"4" } else { b"2" };
            let mut words = vec![b"EVALSHA", sha.as_bytes(), keys, HASH.as_bytes()];
            words.push(STREAM.as_bytes());
            if ids {
                words.extend(LATELY.map(str::as_bytes));
            }
            words.extend([CHANNEL.as_bytes(), numbers.as_flattened()]);
            if mode == "live" {
                words.push(&whole);
            } else {
                words.extend([&head[..], b""]);
                words.extend(events.iter().map(Vec::as_slice));
            }
            // The last word, and behind it the end of its line.
            let checks = [WINDOW_MS, 0, 0, 0].map(u64::to_le_bytes).concat();
            let known_by = vec![0; KEY_BYTES * count];
            let checks = [checks, known_by].concat();
            if ids {
                words.push(&checks);
            }
            bytes.extend(request(&words));
            if ids {
                let end = bytes.len() - 2;
                new.push(end - KEY_BYTES * count..end);
            }
        }
        Ok(Pipeline { bytes, answers: PIPELINE / count, new })
    }

    fn event(&mut self) -> Vec<u8> {
        (0..EVENT_BYTES).map(|_| self.random()).collect()
    }

    fn random(&mut self) -> u8 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        b' ' + (self.random % 95) as u8
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn request(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend(format!("${}\r\n", word.len()).into_bytes());
        bytes.extend_from_slice(word);
        bytes.extend(b"\r\n");
    }
    bytes
}

fn script(files: &[&str]) -> Result<String, String> {
    let mut source = String::new();
    for file in files {
        let path = root().join("src/backend/redis/scripts").join(file);
        source += &fs::read_to_string(&path).map_err(|error| format!("{file}: {error}"))?;
    }
    Ok(source)
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
