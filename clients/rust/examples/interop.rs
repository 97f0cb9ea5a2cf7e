//! What the interop tests ask of a client in every language: see `clients/README.md`.
#![allow(clippy::print_stdout, reason = "its lines are its results")]

use std::{
    env,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use prost::Message as _;
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;
use tidings_client::v1::{
    Event, PublishRequest, PublishResponse, SubscribeRequest, SubscribeResponse,
    broker_client::BrokerClient, event::Payload, subscribe_response::Control,
};
use tokio::time::{Instant, timeout};
use tonic::{Code, Request, Streaming, codec::CompressionEncoding, transport::Channel};
use tonic_types::StatusExt as _;

type Broker = BrokerClient<Channel>;
type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

const CHECK_MAX: Duration = Duration::from_secs(20);
const NUMBERED: i64 = 100;
const CHECKS: [&str; 6] = ["publish", "subscribe", "error_details", "deadline", "cancel", "gzip"];

#[tokio::main]
async fn main() -> Fallible<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    let option = |name: &str| {
        args.iter().position(|arg| arg == name).and_then(|at| args.get(at + 1)).cloned()
    };
    let target = option("--target").ok_or("--target host:port is missing")?;
    match args.first().map(String::as_str) {
        Some("checks") => {
            for name in
                CHECKS.into_iter().filter(|name| option("--only").is_none_or(|o| o == *name))
            {
                let done = timeout(CHECK_MAX, check(name, &target)).await;
                let (ok, detail) = match done {
                    Ok(Ok(seen)) => (true, seen),
                    Ok(Err(why)) => (false, why.to_string()),
                    Err(_) => (false, format!("not done within {CHECK_MAX:?}")),
                };
                println!("{}", json!({"check": name, "ok": ok, "detail": detail}));
            }
            Ok(())
        }
        Some("receive") => {
            let topic = option("--topic").ok_or("--topic is missing")?;
            receive(&target, &topic, option("--events").ok_or("--events is missing")?.parse()?)
                .await
        }
        _ => Err("there are checks and receive".into()),
    }
}

/// What was seen, in the words that every language uses.
async fn check(name: &str, target: &str) -> Fallible<String> {
    let mut broker = tidings_client::connect(target).await?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
    let topic = format!("interop.rust.{name}.{now}");
    match name {
        "publish" => publish(&mut broker, &topic).await,
        "subscribe" => subscribe(&mut broker, &topic).await,
        "error_details" => error_details(&mut broker).await,
        "deadline" => deadline(&mut broker, &topic).await,
        "cancel" => cancel(&mut broker, &topic).await,
        _ => gzip(broker.send_compressed(CompressionEncoding::Gzip), &topic).await,
    }
}

async fn publish(broker: &mut Broker, topic: &str) -> Fallible<String> {
    let any = prost_types::Any {
        type_url: "type.googleapis.com/google.protobuf.StringValue".into(),
        value: "four".to_owned().encode_to_vec(),
    };
    let number = prost_types::Value { kind: Some(prost_types::value::Kind::NumberValue(3.0)) };
    let payloads = [
        Payload::Text("one".into()),
        Payload::Data(vec![0, 255, 2].into()),
        Payload::Json(number),
        Payload::Proto(any),
    ];
    let mut last = 0;
    for payload in payloads {
        let event = Event { payload: Some(payload), ..Default::default() };
        let receipts = store(broker, topic, vec![event]).await?.receipts;
        let at = receipts.first().and_then(|receipt| receipt.position.clone());
        let at = at.ok_or("no position")?;
        let right = at.topic == topic && at.epoch > 0 && at.sequence == last + 1;
        ensure(right, || format!("after sequence {last}: {at:?}"))?;
        last = at.sequence;
    }
    Ok("text, data, json, proto".into())
}

async fn subscribe(broker: &mut Broker, topic: &str) -> Fallible<String> {
    let mut frames = opened(broker, topic).await?;
    for number in 0..NUMBERED {
        store(broker, topic, vec![numbered(number)]).await?;
    }
    let mut next = 0;
    while next < NUMBERED {
        for mut event in frames.message().await?.ok_or("the stream ended")?.events {
            // What is left is what was sent.
            (event.position, event.publish_time) = (None, None);
            ensure(event == numbered(next), || format!("not event {next}: {event:?}"))?;
            next += 1;
        }
    }
    Ok(format!("{next} events"))
}

fn numbered(number: i64) -> Event {
    let extensions = [("language".to_owned(), "rust".to_owned())];
    Event {
        id: format!("id-{number}"),
        source: "/interop".into(),
        r#type: "interop.v1.Numbered".into(),
        subject: format!("number/{number}"),
        time: Some(prost_types::Timestamp { seconds: 1_700_000_000 + number, nanos: 123_456_000 }),
        data_content_type: "text/plain; charset=utf-8".into(),
        key: format!("key-{}", number % 7),
        extensions: extensions.into(),
        payload: Some(Payload::Text(format!("grüße {number} 🎉"))),
        ..Default::default()
    }
}

async fn error_details(broker: &mut Broker) -> Fallible<String> {
    let Err(status) = store(broker, "a b", vec![text("refused")]).await else {
        return Err("topic \"a b\" was accepted".into());
    };
    let details = status.get_error_details();
    let info = details.error_info().ok_or("no ErrorInfo")?;
    let bad = details.bad_request().ok_or("no BadRequest")?;
    let fields: Vec<_> = bad.field_violations.iter().map(|violation| &violation.field).collect();
    let right = status.code() == Code::InvalidArgument && info.domain == "tidings";
    ensure(right && fields == ["topic"], || format!("{fields:?}: {status:?}"))?;
    Ok(format!("INVALID_ARGUMENT, {}, {}", info.reason, fields[0]))
}

async fn deadline(broker: &mut Broker, topic: &str) -> Fallible<String> {
    let begun = Instant::now();
    let mut request = Request::new(to(topic));
    request.set_timeout(Duration::from_secs(1));
    let ended = async {
        let mut frames = broker.subscribe(request).await?.into_inner();
        while frames.message().await?.is_some() {}
        Ok::<_, tonic::Status>(())
    };
    let status = ended.await.err().ok_or("it ended without an error")?;
    let took = begun.elapsed();
    let right = status.code() == Code::DeadlineExceeded && took < Duration::from_secs(3);
    ensure(right, || format!("after {took:?}: {status:?}"))?;
    Ok("DEADLINE_EXCEEDED".into())
}

/// A stream of tonic is cancelled by dropping it, so that there is no status to read.
async fn cancel(broker: &mut Broker, topic: &str) -> Fallible<String> {
    let frames = opened(broker, topic).await?;
    let begun = Instant::now();
    drop(frames);
    let mut frames = opened(broker, topic).await?;
    ensure(begun.elapsed() < Duration::from_secs(1), || format!("{:?}", begun.elapsed()))?;
    store(broker, topic, vec![text("again")]).await?;
    let frame = frames.message().await?.ok_or("the stream ended")?;
    ensure(frame.events[0].payload == text("again").payload, || format!("{frame:?}"))?;
    Ok("dropped".into())
}

async fn gzip(mut broker: Broker, topic: &str) -> Fallible<String> {
    let mut frames = opened(&mut broker, topic).await?;
    let event = text(&"0123456789abcdef".repeat(6_400));
    store(&mut broker, topic, vec![event.clone()]).await?;
    let frame = frames.message().await?.ok_or("the stream ended")?;
    let intact = frame.events.len() == 1 && frame.events[0].payload == event.payload;
    ensure(intact, || "another text came back".into())?;
    Ok("102400 bytes".into())
}

async fn receive(target: &str, topic: &str, wanted: u64) -> Fallible<()> {
    let mut broker = tidings_client::connect(target).await?;
    let mut stream = opened(&mut broker, topic).await?;
    println!("{}", json!({"opened": true}));
    let (mut events, mut frames, mut bytes, mut in_order) = (0, 0, 0, true);
    let mut last: Option<(u64, u64)> = None;
    let mut begun = None;
    while events < wanted {
        let frame = stream.message().await?.ok_or("the stream ended")?;
        if let Some(Control::Gap(gap)) = frame.control {
            return Err(format!("a gap after {events} events: {gap:?}").into());
        }
        if frame.events.is_empty() {
            continue;
        }
        begun.get_or_insert_with(|| (Instant::now(), cpu_seconds()));
        frames += 1;
        for event in frame.events {
            let at = event.position.map_or((0, 0), |at| (at.epoch, at.sequence));
            in_order &= last.is_none_or(|(epoch, sequence)| at == (epoch, sequence + 1));
            last = Some(at);
            events += 1;
            bytes += match event.payload {
                Some(Payload::Data(data)) => data.len(),
                Some(Payload::Text(text)) => text.len(),
                Some(Payload::Json(_) | Payload::Proto(_)) | None => 0,
            };
        }
    }
    let (start, cpu) = begun.ok_or("no event was asked for")?;
    let seconds = start.elapsed().as_secs_f64();
    let cpu_seconds = cpu_seconds() - cpu;
    println!(
        "{}",
        json!({"events": events, "frames": frames, "in_order": in_order, "bytes": bytes,
               "seconds": seconds, "cpu_seconds": cpu_seconds})
    );
    Ok(())
}

fn to(topic: &str) -> SubscribeRequest {
    SubscribeRequest { topics: vec![topic.into()], ..Default::default() }
}

async fn opened(broker: &mut Broker, topic: &str) -> Fallible<Streaming<SubscribeResponse>> {
    let mut frames = broker.subscribe(to(topic)).await?.into_inner();
    let first = frames.message().await?.ok_or("the stream ended")?;
    let is_opened = matches!(first.control, Some(Control::Opened(_)));
    ensure(is_opened, || format!("not Opened first: {first:?}"))?;
    Ok(frames)
}

async fn store(
    broker: &mut Broker,
    topic: &str,
    events: Vec<Event>,
) -> Result<PublishResponse, tonic::Status> {
    let request = PublishRequest { topic: topic.into(), events, ..Default::default() };
    Ok(broker.publish(request).await?.into_inner())
}

fn text(text: &str) -> Event {
    Event { payload: Some(Payload::Text(text.into())), ..Default::default() }
}

fn ensure(holds: bool, why: impl FnOnce() -> String) -> Fallible<()> {
    if holds { Ok(()) } else { Err(why().into()) }
}

/// User and system time of all threads of this process.
fn cpu_seconds() -> f64 {
    let taken = clock_gettime(ClockId::ProcessCPUTime);
    taken.tv_sec as f64 + taken.tv_nsec as f64 / 1e9
}
