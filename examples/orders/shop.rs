//! What the three services share: the messages of `orders.proto`, and how they subscribe.

use std::{env, time::Duration};

use prost::Message;
use serde_json::{Value, json};
use tidings::{
    grpc::client::{CallError, Client},
    proto::{Event, SubscribeRequest, event::Payload, subscribe_response::Control},
};

/// `shop.v1.OrderPlaced` of `orders.proto`.
#[derive(Clone, PartialEq, Message)]
pub struct OrderPlaced {
    #[prost(string, tag = "1")]
    pub order_id: String,
    #[prost(string, tag = "2")]
    pub customer: String,
    #[prost(message, repeated, tag = "3")]
    pub items: Vec<Item>,
    #[prost(int64, tag = "4")]
    pub total: i64,
    #[prost(string, tag = "5")]
    pub currency: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct Item {
    #[prost(string, tag = "1")]
    pub sku: String,
    #[prost(uint32, tag = "2")]
    pub quantity: u32,
}

pub const ORDER_PLACED: &str = "shop.v1.OrderPlaced";

/// What was asked for on the command line.
#[derive(Debug)]
pub struct Args {
    pub address: String,
    pub topic: String,
    pub count: u64,
    pub order: u64,
    pub json: bool,
}

impl Args {
    pub fn parse() -> Args {
        let address = env::var("TIDINGS_ADDRESS").unwrap_or_else(|_| "127.0.0.1:7070".into());
        let topic = "order_events".into();
        let mut parsed = Args { address, topic, count: 0, order: 1001, json: false };
        let mut args = env::args().skip(1);
        while let Some(flag) = args.next() {
            if flag == "--json" {
                parsed.json = true;
                continue;
            }
            let value = args.next().unwrap_or_else(|| panic!("{flag}: a value is missing"));
            match flag.as_str() {
                "--address" => parsed.address = value,
                "--topic" => parsed.topic = value,
                "--count" => parsed.count = value.parse().expect("--count is a number"),
                "--order" => parsed.order = value.parse().expect("--order is a number"),
                _ => panic!("{flag}: there are --address, --topic, --count, --order and --json"),
            }
        }
        parsed
    }
}

pub async fn connect(args: &Args) -> Result<Client, CallError> {
    Client::connect(&args.address, Duration::from_secs(5)).await
}

/// Gives each event of the topic to `handle`, for ever or up to the count. On a broken stream it
/// subscribes again and goes on after the last position: nothing is missed without a word.
pub async fn subscribe(
    name: &str,
    args: &Args,
    mut handle: impl FnMut(Event),
) -> Result<(), CallError> {
    let mut request = SubscribeRequest {
        topics: vec![args.topic.clone()],
        client_name: name.into(),
        ..SubscribeRequest::default()
    };
    let (mut handled, mut opened) = (0, false);
    loop {
        match stream(name, args, &mut request, &mut opened, &mut handled, &mut handle).await {
            Ok(()) if handled == args.count && args.count > 0 => return Ok(()),
            Ok(()) => (),
            Err(error) if opened && error.is_passing() => {
                eprintln!("{name}: {error}; trying again");
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            Err(error) => return Err(error),
        }
    }
}

async fn stream(
    name: &str,
    args: &Args,
    request: &mut SubscribeRequest,
    opened: &mut bool,
    handled: &mut u64,
    handle: &mut impl FnMut(Event),
) -> Result<(), CallError> {
    let mut frames = connect(args).await?.subscribe(request.clone()).await?;
    while let Some(frame) = frames.next().await? {
        for event in frame.events {
            // Sequence 0 came from a raw Redis client and is no place to go on from.
            if let Some(position) = event.position.clone().filter(|at| at.sequence > 0) {
                request.resume = vec![position];
            }
            handle(event);
            *handled += 1;
            if *handled == args.count {
                return Ok(());
            }
        }
        match frame.control {
            Some(Control::Opened(told)) => {
                if !*opened {
                    eprintln!("{name}: listening on {}", args.topic);
                }
                *opened = true;
                request.resume = told.positions;
            }
            Some(Control::Gap(gap)) => {
                eprintln!("{name}: missed {:?} events: {:?}", gap.missed, gap.reason());
                request.resume = gap.until.into_iter().collect();
            }
            Some(Control::GoAway(_)) => return Ok(()),
            Some(Control::Heartbeat(_) | Control::CaughtUp(_)) | None => (),
        }
    }
    Ok(())
}

/// The order in an event, however it came: protobuf, or JSON from a service that has not moved yet.
pub fn order(event: &Event) -> Option<OrderPlaced> {
    match event.payload.as_ref()? {
        Payload::Data(bytes) if event.r#type == ORDER_PLACED => {
            OrderPlaced::decode(bytes.clone()).ok()
        }
        Payload::Data(bytes) => from_json(&serde_json::from_slice(bytes).ok()?),
        Payload::Text(text) => from_json(&serde_json::from_str(text).ok()?),
        Payload::Json(_) | Payload::Proto(_) => None,
    }
}

pub fn to_json(order: &OrderPlaced) -> Value {
    let item = |item: &Item| json!({"sku": item.sku, "quantity": item.quantity});
    json!({
        "event": "order_placed",
        "order_id": order.order_id,
        "customer": order.customer,
        "items": order.items.iter().map(item).collect::<Vec<_>>(),
        "total": order.total,
        "currency": order.currency,
    })
}

fn from_json(value: &Value) -> Option<OrderPlaced> {
    let text = |name: &str| Some(value.get(name)?.as_str()?.to_owned());
    let item = |item: &Value| {
        let quantity = item.get("quantity")?.as_u64()?.try_into().ok()?;
        Some(Item { sku: item.get("sku")?.as_str()?.to_owned(), quantity })
    };
    Some(OrderPlaced {
        order_id: text("order_id")?,
        customer: text("customer").unwrap_or_default(),
        items: value.get("items")?.as_array()?.iter().filter_map(item).collect(),
        total: value.get("total").and_then(Value::as_i64).unwrap_or_default(),
        currency: text("currency").unwrap_or_default(),
    })
}

/// One line about an event, for whoever watches: `details` says what the service did with it.
pub fn report(service: &str, event: &Event, details: Value) {
    let position = event.position.clone().unwrap_or_default();
    let line = json!({
        "service": service,
        "topic": position.topic,
        "sequence": position.sequence,
        "type": event.r#type,
        "details": details,
    });
    println!("{line}");
}
