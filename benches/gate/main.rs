//! What `cargo xtask gate` counts the instructions of: the real gRPC server on the memory backend,
//! and a client that does next to nothing, on one thread with a pipe in memory between them.
//!
//! `gate WORK COUNT` does the work so many times. Two counts tell what one costs: what is done
//! once, starting above all, is the same in both. Nothing here depends on time, on the network
//! or on another thread.

mod pipe;

use std::{
    env,
    error::Error,
    process::ExitCode,
    sync::{Arc, LazyLock},
};

use prost::Message as _;
use tidings::{
    backend::{Enforcement, SchemaPolicy, TopicSettings, memory::Memory},
    broker::{Broker, BrokerOptions, Publish},
    catalog::Catalog,
    grpc,
    proto::{self, event::Payload},
    schema::{Compiled, compatibility::Json, registry::Candidate},
};

use self::pipe::{Client, framed};

/// Subscribers on the one connection.
const STREAMS: u64 = 10;
/// Bytes of data in each event.
const DATA_BYTES: usize = 128;
const TOPIC: &str = "orders";
const TYPE: &str = "shop.v1.OrderPlaced";
const SCHEMA: &str = r#"syntax = "proto3"; package shop.v1;
    message OrderPlaced {
      string order_id = 1; string customer = 2; repeated Item items = 3; int64 total = 4; string currency = 5;
    }
    message Item { string sku = 1; uint32 count = 2; double price = 3; }"#;
const PUBLISH: &str = "/tidings.v1.Broker/Publish";
const PUBLISH_STREAM: &str = "/tidings.v1.Broker/PublishStream";
/// Requests that are sent together, and then answered.
const TOGETHER: u64 = 40;
const SUBSCRIBE: &str = "/tidings.v1.Broker/Subscribe";
/// Of a client's end of the pipe and of the server's.
const PIPE_BYTES: usize = 1 << 20;

type Failed = Box<dyn Error>;

/// Made once: what it costs to make is no part of any figure.
static ORDER: LazyLock<Vec<u8>> = LazyLock::new(order);

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let done = match arguments.as_slice() {
        [work, count] => count.parse().map_err(Failed::from).and_then(|count| run(work, count)),
        _ => Err("usage: gate [checked-](delivery|publish|streamed-publish) COUNT".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            #[allow(clippy::print_stderr, reason = "it speaks to `cargo xtask gate`")]
            {
                eprintln!("gate: {error}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run(work: &str, count: u64) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (memory, feed) = Memory::open();
        let options = BrokerOptions { max_stream_age: None, ..BrokerOptions::default() };
        let catalog = match work.starts_with("checked-") {
            true => asking()?,
            false => Catalog::default(),
        };
        let broker = Broker::new(Arc::new(memory), feed, catalog, options);
        broker.registry().register(&schema()?, prost_types::Timestamp::default())?;
        let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
        let serving = tokio::spawn(grpc::serve_pipe(broker.clone(), theirs));
        let mut client = Client::start(ours).await?;
        match work.trim_start_matches("checked-") {
            "delivery" => deliver(&broker, &mut client, count).await?,
            "publish" => publish(&mut client, count).await?,
            "streamed-publish" => publish_streamed(&mut client, count).await?,
            other => return Err(format!("{other:?} is nothing that is counted").into()),
        }
        stored(&broker, work, count).await?;
        serving.abort();
        Ok(())
    })
}

/// One event after the other to every stream, until there were `count` deliveries.
async fn deliver(broker: &Broker, client: &mut Client, count: u64) -> Result<(), Failed> {
    let request = proto::SubscribeRequest {
        topics: vec![TOPIC.into()],
        ..proto::SubscribeRequest::default()
    };
    for _ in 0..STREAMS {
        client.call(SUBSCRIBE, &request.encode_to_vec()).await?;
        // Opened.
        client.messages(1).await?;
    }
    for _ in 0..count / STREAMS {
        publish_here(broker).await?;
        client.messages(STREAMS).await?;
    }
    Ok(())
}

/// One unary call after the other.
async fn publish(client: &mut Client, count: u64) -> Result<(), Failed> {
    let request = proto::PublishRequest {
        topic: TOPIC.into(),
        events: vec![event()],
        ..proto::PublishRequest::default()
    };
    let request = request.encode_to_vec();
    for _ in 0..count {
        let call = client.call(PUBLISH, &request).await?;
        client.messages(1).await?;
        client.end_of(call).await?;
    }
    Ok(())
}

/// Over one stream.
async fn publish_streamed(client: &mut Client, count: u64) -> Result<(), Failed> {
    let request = |request_id| {
        let publish = proto::PublishRequest {
            topic: TOPIC.into(),
            events: vec![event()],
            ..proto::PublishRequest::default()
        };
        proto::PublishStreamRequest { request_id, publish: Some(publish) }
    };
    let together: Vec<u8> =
        (0..TOGETHER).flat_map(|id| framed(&request(id).encode_to_vec())).collect();
    let call = client.open(PUBLISH_STREAM).await?;
    for _ in 0..count / TOGETHER {
        client.send(call, &together).await?;
        client.messages(TOGETHER).await?;
    }
    Ok(())
}

/// Whether the work was done: one event more comes right behind those that should be there.
async fn stored(broker: &Broker, work: &str, count: u64) -> Result<(), Failed> {
    let expected = if work.ends_with("delivery") { count / STREAMS } else { count } + 1;
    let sequence = publish_here(broker).await?;
    if sequence == expected {
        return Ok(());
    }
    Err(format!("{work} {count}: the event behind it is {sequence}, not {expected}").into())
}

/// Without gRPC; returns the event's sequence.
async fn publish_here(broker: &Broker) -> Result<u64, Failed> {
    let topic = TOPIC.parse()?;
    let events = vec![event().into()];
    let publish = Publish { topic, events, validate_only: false, expected_last: None };
    let published = broker.publish("/gate", publish).await?;
    let last = published.receipts.last().and_then(|receipt| receipt.position);
    Ok(last.map_or(0, |position| position.sequence))
}

/// An event that the type allows, in all works: what they cost differs by the check alone.
fn event() -> proto::Event {
    proto::Event {
        r#type: TYPE.into(),
        payload: Some(Payload::Data(ORDER.clone().into())),
        ..proto::Event::default()
    }
}

/// Of two texts, three items, a number and a currency.
fn order() -> Vec<u8> {
    let text =
        |field: u8, text: &str| [&[field << 3 | 2, text.len() as u8], text.as_bytes()].concat();
    let item = |sku: &str| {
        let item = [text(1, sku), vec![0x10, 2, 0x19], 9.5f64.to_le_bytes().to_vec()].concat();
        [vec![0x1a, item.len() as u8], item].concat()
    };
    let items = ["blue-shirt", "red-shoes", "hat"].map(item).concat();
    let mut order =
        [text(1, "order-1763000000-42"), items, vec![0x20, 0xd0, 0x0f], text(5, "EUR")].concat();
    let customer = DATA_BYTES - order.len() - 2;
    order.extend(text(2, &"c".repeat(customer)));
    order
}

/// A topic of which every event has to be what it says.
fn asking() -> Result<Catalog, Failed> {
    let schema = SchemaPolicy { enforcement: Enforcement::Reject, types: [TYPE.to_owned()].into() };
    Ok(Catalog::new(Vec::new(), "", TopicSettings { schema, ..TopicSettings::default() })?)
}

fn schema() -> Result<Candidate, Failed> {
    Ok(Candidate {
        compiled: Compiled::from_sources(TYPE, [("shop.proto", SCHEMA.as_bytes())])?,
        sources: std::collections::BTreeMap::new(),
        compatibility: None,
        json: Json::Unused,
        force: false,
    })
}
