//! What `cargo xtask gate` counts the instructions of: the real gRPC server on the memory backend,
//! and a client that does next to nothing, on one thread with a pipe in memory between them.
//!
//! `tidings-gate WORK COUNT` does the work so many times. Two counts tell what one costs: what is done
//! once, starting above all, is the same in both. Nothing here depends on time, on the network
//! or on another thread.

mod pipe;

use std::{env, error::Error, process::ExitCode, sync::Arc};

use prost::Message as _;
use tidings::{
    backend::memory::Memory,
    broker::{Broker, BrokerOptions, Publish},
    catalog::Catalog,
    grpc,
    proto::{self, event::Payload},
};

use self::pipe::Client;

/// Subscribers on the one connection.
const STREAMS: u64 = 10;
/// Bytes of data in each event.
const DATA_BYTES: usize = 128;
const TOPIC: &str = "orders";
const PUBLISH: &str = "/tidings.v1.Broker/Publish";
const SUBSCRIBE: &str = "/tidings.v1.Broker/Subscribe";
/// Of a client's end of the pipe and of the server's.
const PIPE_BYTES: usize = 1 << 20;

type Failed = Box<dyn Error>;

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let done = match arguments.as_slice() {
        [work, count] => count.parse().map_err(Failed::from).and_then(|count| run(work, count)),
        _ => Err("usage: tidings-gate delivery|publish COUNT".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            #[allow(clippy::print_stderr, reason = "it speaks to `cargo xtask gate`")]
            {
                eprintln!("tidings-gate: {error}");
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
        let broker = Broker::new(Arc::new(memory), feed, Catalog::default(), options);
        let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
        let serving = tokio::spawn(grpc::serve_pipe(broker.clone(), theirs));
        let mut client = Client::start(ours).await?;
        match work {
            "delivery" => deliver(&broker, &mut client, count).await?,
            "publish" => publish(&mut client, count).await?,
            other => return Err(format!("{other:?}: there are delivery and publish").into()),
        }
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
        let topic = TOPIC.parse()?;
        let publish =
            Publish { topic, events: vec![event()], validate_only: false, expected_last: None };
        broker.publish("/gate", publish).await?;
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

fn event() -> proto::Event {
    proto::Event {
        r#type: "shop.v1.OrderPlaced".into(),
        payload: Some(Payload::Data(vec![b'.'; DATA_BYTES].into())),
        ..proto::Event::default()
    }
}
