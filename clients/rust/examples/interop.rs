//! What the interop tests ask of a client in every language: see `clients/README.md`.
#![allow(clippy::print_stdout, reason = "its lines are its results")]

use std::{
    env, fs,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use prost::Message as _;
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
                    Ok(Ok(())) => (true, String::new()),
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

async fn check(name: &str, target: &str) -> Fallible<()> {
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

async fn publish(broker: &mut Broker, topic: &str) -> Fallible<()> {
    let any = prost_types::Any {
        type_url: "type.googleapis.com/google.protobuf.StringValue".into(),
        value: "any".to_owned().encode_to_vec(),
    };
    let number = prost_types::Value { kind: Some(prost_types::value::Kind::NumberValue(42.0)) };
    let payloads = [
        Payload::Text("text".into()),
        Payload::Data(vec![0, 159].into()),
        Payload::Json(number),
        Payload::Proto(any),
    ];
    let mut last = 0;
    for payload in payloads {
        let event = Event { payload: Some(payload), ..Default::default() };
        let receipts = store(broker, topic, vec![event]).await?.receipts;
        let at = receipts.first().and_then(|receipt| receipt.position.clone());
        let sequence = at.ok_or("no position")?.sequence;
        ensure(sequence > last, || format!("{sequence} after {last}"))?;
        last = sequence;
    }
    Ok(())
}

async fn subscribe(broker: &mut Broker, topic: &str) -> Fallible<()> {
    let mut frames = opened(broker, topic).await?;
    for n in 0..100 {
        let event = Event {
            id: format!("id-{n}"),
            source: "/interop".into(),
            r#type: "interop.v1.Numbered".into(),
            key: format!("key {n}"),
            extensions: [("traceparent".to_owned(), format!("trace-{n}"))].into(),
            payload: Some(Payload::Text(format!("text {n} äöü"))),
            ..Default::default()
        };
        store(broker, topic, vec![event]).await?;
    }
    let mut next = 0;
    while next < 100 {
        for event in frames.message().await?.ok_or("the stream ended")?.events {
            let text = Payload::Text(format!("text {next} äöü"));
            let intact = event.id == format!("id-{next}")
                && event.key == format!("key {next}")
                && event.extensions.get("traceparent") == Some(&format!("trace-{next}"))
                && event.payload == Some(text);
            ensure(intact, || format!("not event {next}: {event:?}"))?;
            next += 1;
        }
    }
    Ok(())
}

async fn error_details(broker: &mut Broker) -> Fallible<()> {
    let Err(status) = store(broker, "a b", vec![Event::default()]).await else {
        return Err("topic \"a b\" was accepted".into());
    };
    let details = status.get_error_details();
    let info = details.error_info().ok_or("no ErrorInfo")?;
    let bad = details.bad_request().ok_or("no BadRequest")?;
    let field = bad.field_violations.first().map(|violation| violation.field.as_str());
    let right = status.code() == Code::InvalidArgument
        && info.domain == "tidings"
        && !info.reason.is_empty()
        && field == Some("topic");
    ensure(right, || format!("{status:?}"))
}

async fn deadline(broker: &mut Broker, topic: &str) -> Fallible<()> {
    let begun = Instant::now();
    let mut request = Request::new(to(topic));
    request.set_timeout(Duration::from_secs(1));
    let ended = async {
        let mut frames = broker.subscribe(request).await?.into_inner();
        while frames.message().await?.is_some() {}
        Ok::<_, tonic::Status>(())
    };
    let status = ended.await.err().ok_or("it ended without an error")?;
    // tonic's own client says Cancelled for a deadline of its own.
    let right = matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled);
    ensure(right && begun.elapsed() < Duration::from_secs(3), || format!("{status:?}"))
}

async fn cancel(broker: &mut Broker, topic: &str) -> Fallible<()> {
    let frames = opened(broker, topic).await?;
    let begun = Instant::now();
    drop(frames);
    opened(broker, topic).await?;
    ensure(begun.elapsed() < Duration::from_secs(1), || format!("{:?}", begun.elapsed()))
}

async fn gzip(mut broker: Broker, topic: &str) -> Fallible<()> {
    let mut frames = opened(&mut broker, topic).await?;
    let payload = Some(Payload::Text("tidings ".repeat(12_800)));
    let event = Event { payload: payload.clone(), ..Default::default() };
    store(&mut broker, topic, vec![event]).await?;
    let frame = frames.message().await?.ok_or("the stream ended")?;
    ensure(frame.events.len() == 1 && frame.events[0].payload == payload, || "other text".into())
}

async fn receive(target: &str, topic: &str, wanted: u64) -> Fallible<()> {
    let mut broker = tidings_client::connect(target).await?;
    let mut frames = opened(&mut broker, topic).await?;
    println!("{}", json!({"opened": true}));
    let (mut events, mut bytes, mut last, mut in_order) = (0, 0, 0, true);
    let mut begun = None;
    while events < wanted {
        for event in frames.message().await?.ok_or("the stream ended")?.events {
            begun.get_or_insert_with(|| (Instant::now(), cpu_seconds()));
            let sequence = event.position.map_or(0, |position| position.sequence);
            in_order &= last == 0 || sequence == last + 1;
            last = sequence;
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
        json!({"events": events, "in_order": in_order, "bytes": bytes, "seconds": seconds,
               "cpu_seconds": cpu_seconds})
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

fn ensure(holds: bool, why: impl FnOnce() -> String) -> Fallible<()> {
    if holds { Ok(()) } else { Err(why().into()) }
}

/// User and system time of this process, in seconds: ticks of a hundredth.
fn cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    ticks as f64 / 100.0
}
