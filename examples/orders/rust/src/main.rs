//! The bookkeeping service: books the total of each order that was placed.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it speaks to who runs it")]

/// The messages of `orders.proto`.
mod shop {
    #![allow(missing_debug_implementations, unreachable_pub, reason = "generated")]
    include!(concat!(env!("OUT_DIR"), "/shop.v1.rs"));
}

use std::{env, error::Error, time::Duration};

use prost::Message as _;
use serde::Deserialize;
use serde_json::{Value, json};
use shop::OrderPlaced;
use tidings_client::v1::{
    Event, Gap, Opened, Position, SubscribeRequest, event::Payload, subscribe_response::Control,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{sleep, timeout},
};
use tonic::{Code, Status};

const SERVICE: &str = "bookkeeping";
const ORDER_PLACED: &str = "shop.v1.OrderPlaced";
const PAUSE: Duration = Duration::from_millis(500);
/// Twice the broker's heartbeat interval: a stream that is silent for longer is dead.
const SILENCE: Duration = Duration::from_secs(30);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut address = env::var("TIDINGS_ADDRESS").unwrap_or_else(|_| "127.0.0.1:7070".into());
    let mut service = Bookkeeping::of("order_events");
    let mut args = env::args().skip(1);
    while let Some(flag) = args.next() {
        let value = args.next().ok_or_else(|| format!("{flag}: a value is missing"))?;
        match flag.as_str() {
            "--address" => address = value,
            "--topic" => service.topic = value,
            "--count" => service.count = value.parse()?,
            _ => return Err(format!("{flag}: there are --address, --topic and --count").into()),
        }
    }
    let addresses: Vec<_> = address.split(',').collect();
    let mut stop = signal(SignalKind::terminate())?;
    tokio::select! {
        biased; // Being told to stop is no failure.
        _ = stop.recv() => Ok(()),
        ended = service.run(&addresses) => Ok(ended?),
    }
}

struct Bookkeeping {
    topic: String,
    /// Ends after so many events; 0: never.
    count: u64,
    handled: u64,
    listening: bool,
    /// The last place reached, to go on after it.
    resume: Vec<Position>,
}

impl Bookkeeping {
    fn of(topic: &str) -> Bookkeeping {
        let topic = topic.to_owned();
        Bookkeeping { topic, count: 0, handled: 0, listening: false, resume: Vec::new() }
    }

    /// Goes on after every error that may pass: nothing is missed without a word.
    async fn run(&mut self, addresses: &[&str]) -> Result<(), Status> {
        for address in addresses.iter().cycle() {
            match self.stream(address).await {
                _ if self.done() => break,
                Ok(()) => complain("the stream ended; trying again"),
                Err(status) if may_pass(status.code()) => {
                    complain(&format!("{:?}: {}; trying again", status.code(), status.message()));
                }
                Err(status) => return Err(status),
            }
            sleep(PAUSE).await;
        }
        Ok(())
    }

    fn done(&self) -> bool {
        self.count > 0 && self.handled >= self.count
    }

    /// Follows the topic at one broker, until that ends or the count is reached.
    async fn stream(&mut self, address: &str) -> Result<(), Status> {
        let connected = tidings_client::connect(address).await;
        let mut broker = connected.map_err(|error| Status::from_error(error.into()))?;
        let request = SubscribeRequest {
            topics: vec![self.topic.clone()],
            resume: self.resume.clone(),
            client_name: SERVICE.into(),
            ..Default::default()
        };
        let silent = |_| Status::unavailable(format!("silent for {SILENCE:?}"));
        let mut frames =
            timeout(SILENCE, broker.subscribe(request)).await.map_err(silent)??.into_inner();
        while let Some(frame) = timeout(SILENCE, frames.message()).await.map_err(silent)?? {
            for event in frame.events {
                self.handle(event);
                if self.done() {
                    return Ok(());
                }
            }
            match frame.control {
                Some(Control::Opened(opened)) => self.opened(opened),
                Some(Control::Gap(gap)) => self.missed(gap),
                Some(Control::GoAway(_) | Control::Heartbeat(_) | Control::CaughtUp(_)) | None => {}
            }
        }
        Ok(())
    }

    fn opened(&mut self, opened: Opened) {
        if !self.listening {
            complain(&format!("listening on {}", self.topic));
        }
        self.listening = true;
        self.resume = opened.positions;
    }

    fn missed(&mut self, gap: Gap) {
        let missed = gap.missed.map_or("an unknown number of".into(), |missed| missed.to_string());
        complain(&format!("missed {missed} events: {}", gap.reason().as_str_name()));
        self.resume = gap.until.into_iter().collect();
    }

    fn handle(&mut self, event: Event) {
        let details = match order(&event) {
            Some(order) => {
                let (units, cents) = (order.total / 100, order.total % 100);
                let booked = format!("{units}.{cents:02} {}", order.currency);
                json!({"order_id": order.order_id, "booked": booked})
            }
            None => json!({"skipped": "no order"}),
        };
        let at = event.position.unwrap_or_default();
        report(&at, &event.r#type, &details);
        self.handled += 1;
        // Sequence 0 came from a raw Redis client and is no place to go on from.
        if at.sequence > 0 {
            self.resume = vec![at];
        }
    }
}

/// One line about an event, for whoever watches.
fn report(at: &Position, event_type: &str, details: &Value) {
    let (topic, sequence) = (json!(at.topic), at.sequence);
    println!(
        r#"{{"service":"{SERVICE}","topic":{topic},"sequence":{sequence},"type":{},"details":{details}}}"#,
        json!(event_type)
    );
}

/// What is in an event: protobuf, or JSON from a service that has not moved yet.
fn order(event: &Event) -> Option<OrderPlaced> {
    match event.payload.as_ref()? {
        Payload::Data(bytes) if event.r#type == ORDER_PLACED => {
            OrderPlaced::decode(bytes.clone()).ok()
        }
        Payload::Data(bytes) => from_json(bytes),
        Payload::Text(text) => from_json(text.as_bytes()),
        Payload::Json(_) | Payload::Proto(_) => None,
    }
}

/// Of the order, what is booked.
fn from_json(json: &[u8]) -> Option<OrderPlaced> {
    #[derive(Deserialize)]
    struct Order {
        order_id: String,
        total: i64,
        currency: String,
    }
    let Order { order_id, total, currency } = serde_json::from_slice(json).ok()?;
    Some(OrderPlaced { order_id, total, currency, ..Default::default() })
}

/// Whether subscribing again can help.
fn may_pass(code: Code) -> bool {
    use Code::{
        Aborted, Cancelled, DeadlineExceeded, Internal, ResourceExhausted, Unavailable, Unknown,
    };
    let passing =
        [Unavailable, Internal, Unknown, ResourceExhausted, DeadlineExceeded, Aborted, Cancelled];
    passing.contains(&code)
}

fn complain(what: &str) {
    eprintln!("{SERVICE}: {what}");
}
