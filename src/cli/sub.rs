//! `tidings sub`: events as JSON lines. It reconnects on its own and goes on where it was; what was
//! missed all the same is said, on stderr or with `--show-gaps` between the events.

use std::{collections::BTreeMap, hash::BuildHasher, str::FromStr, time::Duration};

use anyhow::anyhow;
use clap::{Args, ValueEnum};
use prost_types::Timestamp;
use serde_json::json;
use tokio::time::{self, Instant};

use super::{Exit, Server, WrongUsage, event, print_line};
use crate::{
    config::values::Period,
    grpc::client::{CallError, Client, Frames},
    limits::HEARTBEAT_INTERVAL,
    proto::{
        Filter, Gap, Position, SubscribeRequest, SubscribeResponse, View, gap::Reason,
        subscribe_request::Start, subscribe_response::Control,
    },
    topic::{Topic, TopicPattern},
};

#[derive(Debug, Args)]
pub(super) struct Sub {
    /// Whether it says that it has begun.
    #[arg(skip = true)]
    announces: bool,
    /// Topics, or patterns: orders, orders.* (one token), orders.> (the rest).
    #[arg(required = true)]
    topics: Vec<TopicPattern>,
    /// Where to begin: now, earliest, last:N, a time (2026-01-31T12:00:00Z), -10m, or after a
    /// position (topic:epoch:sequence, once per topic).
    #[arg(long, value_name = "START", allow_hyphen_values = true)]
    from: Vec<From>,
    /// End after so many events.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// End when everything that is kept was printed.
    #[arg(long)]
    stop_at_end: bool,
    /// Print gaps as lines of their own: {"gap": …}. Otherwise they are said on stderr.
    #[arg(long)]
    show_gaps: bool,
    /// Fail instead of going on after a gap.
    #[arg(long)]
    fail_on_gap: bool,
    /// What to print of each event's data.
    #[arg(long, value_enum, default_value_t = Shown::Stored)]
    view: Shown,
    /// Only events of this type; `shop.v1.*` for all of a package.
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,
    /// Only events of this key.
    #[arg(long = "key", value_name = "KEY")]
    keys: Vec<String>,
    /// Only events of which this is true, in CEL: 'event.type == "shop.v1.OrderPlaced" &&
    /// data.total > 100'.
    #[arg(long, value_name = "EXPRESSION", default_value = "", hide_default_value = true)]
    cel: String,
    /// How often the server gives a sign of life, 1s to 120s.
    #[arg(long, value_name = "TIME")]
    heartbeat: Option<Period>,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Shown {
    /// As it was published.
    Stored,
    /// As JSON, where the server knows how.
    Json,
    /// Not at all.
    Metadata,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum From {
    Now,
    Earliest,
    Last(u32),
    Time(Timestamp),
    Ago(Duration),
    After(Position),
}

/// What is known of the way so far; makes the request that goes on from there.
#[derive(Debug)]
struct Progress {
    first: SubscribeRequest,
    positions: BTreeMap<String, Position>,
    /// Every topic that came up before it is in `positions`, by the server's clock.
    clock: Option<Timestamp>,
    /// When the first stream opened: what counts until the server told its clock.
    opened: Option<Instant>,
    streams: u64,
    printed: u64,
}

#[derive(Debug)]
enum Ended {
    /// As many as wanted, or everything that is kept.
    Done,
    /// The server asked to reconnect.
    Asked,
}

/// Why a stream ended.
#[derive(Debug)]
enum Broken {
    /// Another attempt may go on.
    Passing(CallError),
    Final(anyhow::Error),
}

const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// From the call to `Opened`: a server that cannot reach its backend may try for a while.
const OPEN_DEADLINE: Duration = Duration::from_secs(30);
/// Two clocks are read a request apart; events printed twice would be worse than none.
const CLOCK_MARGIN: Duration = Duration::from_secs(1);

/// What `tidings read` is asked for.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) topic: TopicPattern,
    pub(super) from: From,
    pub(super) limit: Option<u64>,
    pub(super) show_gaps: bool,
    pub(super) fail_on_gap: bool,
    pub(super) view: Shown,
    pub(super) types: Vec<String>,
    pub(super) keys: Vec<String>,
    pub(super) cel: String,
    pub(super) server: Server,
}

impl Sub {
    /// Prints what is kept, and ends.
    pub(super) fn reading(what: Reading) -> Sub {
        Sub {
            announces: false,
            topics: vec![what.topic],
            from: vec![what.from],
            count: what.limit,
            stop_at_end: true,
            show_gaps: what.show_gaps,
            fail_on_gap: what.fail_on_gap,
            view: what.view,
            types: what.types,
            keys: what.keys,
            cel: what.cel,
            heartbeat: None,
            server: what.server,
        }
    }

    pub(super) async fn run(self) -> anyhow::Result<Exit> {
        let mut progress = Progress::new(self.request()?);
        let mut backoff = BACKOFF_MIN;
        loop {
            let streams = progress.streams;
            match self.follow(&mut progress).await {
                Ok(Ended::Done) => return Ok(Exit::Done),
                Ok(Ended::Asked) => continue,
                Err(Broken::Final(error)) => return Err(error),
                // Never connected: most likely the address is wrong.
                Err(Broken::Passing(error)) if progress.streams == 0 => {
                    return Err(error.into());
                }
                Err(Broken::Passing(error)) => {
                    if progress.streams > streams {
                        backoff = BACKOFF_MIN;
                    }
                    let wait = jittered(backoff).max(error.retry_after.unwrap_or_default());
                    eprintln!("tidings: {error}; trying again");
                    time::sleep(wait.min(BACKOFF_MAX)).await;
                    backoff = (backoff * 2).min(BACKOFF_MAX);
                }
            }
        }
    }

    pub(super) fn request(&self) -> Result<SubscribeRequest, WrongUsage> {
        let mut request = SubscribeRequest {
            topics: self.topics.iter().map(ToString::to_string).collect(),
            stop_at_end: self.stop_at_end,
            fail_on_gap: self.fail_on_gap,
            client_name: "tidings sub".into(),
            ..SubscribeRequest::default()
        };
        request.set_view(match self.view {
            Shown::Stored => View::Unspecified,
            Shown::Json => View::Json,
            Shown::Metadata => View::Metadata,
        });
        let filter =
            Filter { types: self.types.clone(), keys: self.keys.clone(), cel: self.cel.clone() };
        request.filter = (filter != Filter::default()).then_some(filter);
        request.heartbeat_interval = self.heartbeat.map(|period| duration(period.0));
        let mut starts = 0;
        for from in &self.from {
            let start = match from {
                From::After(position) => {
                    request.resume.push(position.clone());
                    continue;
                }
                From::Now => None,
                From::Earliest => Some(Start::Earliest(true)),
                From::Last(count) => Some(Start::Last(*count)),
                From::Time(time) => Some(Start::StartTime(*time)),
                From::Ago(ago) => Some(Start::StartAgo(duration(*ago))),
            };
            request.start = start;
            starts += 1;
        }
        if starts > 1 {
            let why = "--from: give one start, and besides it positions only";
            return Err(WrongUsage(why.into()));
        }
        Ok(request)
    }

    /// One stream, from call to end. Returns when it ended, or when the server wants it to.
    async fn follow(&self, progress: &mut Progress) -> Result<Ended, Broken> {
        let mut client: Client = self.server.connect().await?;
        let opening = client.subscribe(progress.request());
        let opening = time::timeout(OPEN_DEADLINE, opening).await;
        let mut frames: Frames = opening.map_err(|_| silent(OPEN_DEADLINE))??;
        let mut patience = OPEN_DEADLINE;
        loop {
            let frame = time::timeout(patience, frames.next()).await;
            let Some(frame) = frame.map_err(|_| silent(patience))?? else {
                return Ok(Ended::Done);
            };
            if let Some(Control::Opened(opened)) = &frame.control {
                let interval = opened.heartbeat_interval.and_then(|told| told.try_into().ok());
                // What the server promised: nothing for twice the interval means that it is dead.
                patience = interval.unwrap_or(HEARTBEAT_INTERVAL).max(BACKOFF_MIN) * 2;
                if progress.streams == 0 && self.announces {
                    let names: Vec<_> = self.topics.iter().map(TopicPattern::as_str).collect();
                    eprintln!("tidings: subscribed to {}", names.join(" "));
                }
            }
            match progress.take(&frame, self.count, &mut |line| self.print(line))? {
                Some(ended) => return Ok(ended),
                None => continue,
            }
        }
    }

    fn print(&self, line: Line<'_>) -> anyhow::Result<()> {
        match line {
            Line::Event(event) => print_line(&event::line(event))?,
            Line::Gap(gap) if self.show_gaps => print_line(&gap_line(gap))?,
            Line::Gap(gap) => eprintln!("tidings: {}", gap_text(gap)),
            Line::Down(since) => eprintln!("tidings: the server's backend is down since {since}"),
        }
        Ok(())
    }
}

#[derive(Debug)]
enum Line<'a> {
    Event(&'a crate::proto::Event),
    Gap(&'a Gap),
    Down(Timestamp),
}

impl Progress {
    fn new(first: SubscribeRequest) -> Progress {
        let positions = first.resume.iter().map(|at| (at.topic.clone(), at.clone())).collect();
        Progress { first, positions, clock: None, opened: None, streams: 0, printed: 0 }
    }

    fn request(&self) -> SubscribeRequest {
        let mut request = self.first.clone();
        let Some(opened) = self.opened else { return request };
        request.resume = self.positions.values().cloned().collect();
        // For topics without a position: they came up after the last moment that is accounted for.
        let since_opened = duration(opened.elapsed() + CLOCK_MARGIN);
        request.start = Some(match self.clock {
            Some(clock) => Start::StartTime(clock),
            None => Start::StartAgo(since_opened),
        });
        request
    }

    fn take(
        &mut self,
        frame: &SubscribeResponse,
        count: Option<u64>,
        print: &mut impl FnMut(Line<'_>) -> anyhow::Result<()>,
    ) -> Result<Option<Ended>, Broken> {
        for event in &frame.events {
            print(Line::Event(event)).map_err(Broken::Final)?;
            self.printed += 1;
            // Sequence 0: it came from a raw Redis client and is no place to go on from.
            self.reached(event.position.iter().filter(|position| position.sequence > 0));
            if count.is_some_and(|count| self.printed >= count) {
                return Ok(Some(Ended::Done));
            }
        }
        match &frame.control {
            Some(Control::Opened(opened)) => {
                self.reached(&opened.positions);
                self.opened.get_or_insert_with(Instant::now);
                self.streams += 1;
            }
            Some(Control::Heartbeat(heartbeat)) => {
                self.reached(&heartbeat.positions);
                self.clock = heartbeat.time.or(self.clock);
                if let Some(since) = heartbeat.backend_down_since {
                    print(Line::Down(since)).map_err(Broken::Final)?;
                }
            }
            Some(Control::Gap(gap)) => {
                print(Line::Gap(gap)).map_err(Broken::Final)?;
                self.reached(&gap.until);
            }
            Some(Control::GoAway(_)) => return Ok(Some(Ended::Asked)),
            Some(Control::CaughtUp(_)) | None => (),
        }
        Ok(None)
    }

    fn reached<'a>(&mut self, positions: impl IntoIterator<Item = &'a Position>) {
        for position in positions {
            self.positions.insert(position.topic.clone(), position.clone());
        }
    }
}

impl std::convert::From<CallError> for Broken {
    fn from(error: CallError) -> Broken {
        if error.is_passing() { Broken::Passing(error) } else { Broken::Final(error.into()) }
    }
}

impl std::convert::From<anyhow::Error> for Broken {
    fn from(error: anyhow::Error) -> Broken {
        Broken::Final(error)
    }
}

impl FromStr for From {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<From> {
        let parts: Vec<_> = text.split(':').collect();
        Ok(match parts.as_slice() {
            ["now"] => From::Now,
            ["earliest"] => From::Earliest,
            ["last", count] => From::Last(count.parse()?),
            [ago] if ago.starts_with('-') => From::Ago(ago[1..].parse::<Period>()?.0),
            [topic, epoch, sequence] if !text.contains('T') || epoch.len() > 2 => {
                let topic = topic.parse::<Topic>()?.to_string();
                let (epoch, sequence) = (epoch.parse()?, sequence.parse()?);
                From::After(Position { topic, epoch, sequence })
            }
            _ => From::Time(text.parse().map_err(|_| {
                anyhow!(
                    "write it as now, earliest, last:10, -10m, 2026-01-31T12:00:00Z or \
                     topic:epoch:sequence"
                )
            })?),
        })
    }
}

fn silent(after: Duration) -> CallError {
    CallError {
        code: "UNAVAILABLE",
        message: format!("the server gave no sign of life for {}", Period(after)).into(),
        ..CallError::default()
    }
}

/// Between half and all of it, so that clients which lost a server together come back apart.
fn jittered(delay: Duration) -> Duration {
    let random = std::hash::RandomState::new().hash_one(0u8) % 1000;
    delay / 2 + (delay / 2).mul_f64(random as f64 / 1000.0)
}

fn duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: duration.as_secs().try_into().unwrap_or(i64::MAX),
        nanos: duration.subsec_nanos() as i32,
    }
}

fn reason(gap: &Gap) -> &'static str {
    let name = Reason::try_from(gap.reason).unwrap_or_default().as_str_name();
    name.trim_start_matches("REASON_")
}

fn gap_line(gap: &Gap) -> String {
    let place = |at: &Option<Position>| match at {
        Some(at) => json!({"epoch": at.epoch, "sequence": at.sequence}),
        None => serde_json::Value::Null,
    };
    let mut line = json!({
        "topic": gap.until.as_ref().or(gap.after.as_ref()).map(|at| at.topic.as_str()),
        "reason": reason(gap),
        "after": place(&gap.after),
        "until": place(&gap.until),
    });
    if let Some(missed) = gap.missed {
        line["missed"] = missed.into();
    }
    json!({ "gap": line }).to_string()
}

fn gap_text(gap: &Gap) -> String {
    let missed = match gap.missed {
        Some(1) => "1 event".to_owned(),
        Some(count) => format!("{count} events"),
        None => "an unknown number of events".to_owned(),
    };
    let place = |at: &Option<Position>| match at {
        Some(at) => format!("{}:{}:{}", at.topic, at.epoch, at.sequence),
        None => "the beginning".to_owned(),
    };
    format!(
        "gap: {missed} missed after {} up to {} ({})",
        place(&gap.after),
        place(&gap.until),
        reason(gap)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{Event, GoAway, Heartbeat, Opened};
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Args {
        #[command(flatten)]
        command: Sub,
    }

    fn parse(line: &str) -> Result<Sub, String> {
        let parsed = Args::try_parse_from(["sub"].into_iter().chain(line.split(' ')));
        parsed.map(|args| args.command).map_err(|error| error.to_string())
    }

    fn at(topic: &str, epoch: u64, sequence: u64) -> Position {
        Position { topic: topic.into(), epoch, sequence }
    }

    fn events(positions: &[Position]) -> SubscribeResponse {
        let event = |at: &Position| Event { position: Some(at.clone()), ..Event::default() };
        SubscribeResponse { events: positions.iter().map(event).collect(), control: None }
    }

    fn control(control: Control) -> SubscribeResponse {
        SubscribeResponse { events: Vec::new(), control: Some(control) }
    }

    fn take(progress: &mut Progress, frame: SubscribeResponse) -> Option<Ended> {
        progress.take(&frame, Some(3), &mut |_| Ok(())).expect("printed")
    }

    #[test]
    fn a_start_is_one_word() {
        for (text, expected) in [
            ("now", From::Now),
            ("earliest", From::Earliest),
            ("last:10", From::Last(10)),
            ("-10m", From::Ago(Duration::from_secs(600))),
            ("1970-01-01T00:01:00Z", From::Time(Timestamp { seconds: 60, nanos: 0 })),
            (
                "orders.eu:1763000000000000:42",
                From::After(at("orders.eu", 1_763_000_000_000_000, 42)),
            ),
            ("Tea:1763000000000000:42", From::After(at("Tea", 1_763_000_000_000_000, 42))),
        ] {
            let command = parse(&format!("orders --from {text}")).expect(text);
            assert_eq!(command.from, [expected], "{text}");
        }
        for text in ["soon", "last:", "last:-1", "-10", "a:b:c", "a*:1:2", "1:2"] {
            assert!(parse(&format!("orders --from {text}")).is_err(), "{text} was accepted");
        }
        let two = parse("orders --from now --from last:1").expect("parsed").request();
        assert!(two.is_err(), "two starts");
        let both = parse("orders --from orders:1:2 --from last:1").expect("parsed").request();
        assert_eq!(both.map(|request| request.resume.len()).ok(), Some(1));
        assert!(parse("orders --count 0").is_err());
        assert!(parse("a..b").is_err());
    }

    #[test]
    fn the_first_request_is_what_was_asked_for_until_the_stream_opened() {
        let request = parse("orders.* --from last:5").expect("parsed").request().expect("one");
        let progress = Progress::new(request.clone());
        assert_eq!(progress.request(), request);
    }

    #[test]
    fn a_new_stream_goes_on_where_the_last_one_was() {
        let request = parse("orders.* --from last:5").expect("parsed").request().expect("one");
        let mut progress = Progress::new(request);
        let opened = Opened { positions: vec![at("orders.a", 1, 4)], ..Opened::default() };
        assert!(take(&mut progress, control(Control::Opened(opened))).is_none());
        let resumed = progress.request();
        assert_eq!(resumed.resume, [at("orders.a", 1, 4)]);
        assert!(matches!(resumed.start, Some(Start::StartAgo(_))), "{:?}", resumed.start);

        // The unsequenced one is printed, and no place to go on from.
        assert!(
            take(&mut progress, events(&[at("orders.a", 1, 5), at("orders.a", 0, 0)])).is_none()
        );
        let time = Timestamp { seconds: 9, nanos: 0 };
        let heartbeat = Heartbeat {
            time: Some(time),
            positions: vec![at("orders.b", 2, 0)],
            ..Heartbeat::default()
        };
        assert!(take(&mut progress, control(Control::Heartbeat(heartbeat))).is_none());
        let gap = Gap { until: Some(at("orders.a", 3, 1)), ..Gap::default() };
        assert!(take(&mut progress, control(Control::Gap(gap))).is_none());
        let resumed = progress.request();
        assert_eq!(resumed.resume, [at("orders.a", 3, 1), at("orders.b", 2, 0)]);
        assert_eq!(resumed.start, Some(Start::StartTime(time)));

        let asked = take(&mut progress, control(Control::GoAway(GoAway::default())));
        assert!(matches!(asked, Some(Ended::Asked)));
        let done = take(&mut progress, events(&[at("orders.a", 3, 2), at("orders.a", 3, 3)]));
        assert!(matches!(done, Some(Ended::Done)));
        assert_eq!(progress.printed, 3, "no more than the count is printed");
    }

    #[test]
    fn a_gap_is_said_with_its_size_and_reason() {
        let mut gap = Gap {
            after: Some(at("orders", 1, 2)),
            until: Some(at("orders", 3, 4)),
            missed: Some(2),
            ..Gap::default()
        };
        gap.set_reason(Reason::SlowConsumer);
        let text = "gap: 2 events missed after orders:1:2 up to orders:3:4 (SLOW_CONSUMER)";
        assert_eq!(gap_text(&gap), text);
        let line = r#"{"gap":{"topic":"orders","reason":"SLOW_CONSUMER","after":{"epoch":1,"sequence":2},"until":{"epoch":3,"sequence":4},"missed":2}}"#;
        assert_eq!(gap_line(&gap), line);
    }

    #[test]
    fn waits_differ_and_stay_in_bounds() {
        for _ in 0..100 {
            let wait = jittered(BACKOFF_MAX);
            assert!(BACKOFF_MAX / 2 <= wait && wait <= BACKOFF_MAX, "{wait:?}");
        }
    }
}
