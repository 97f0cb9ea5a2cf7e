//! Publishes an `OrderPlaced` for each order: typed, or as JSON with `--json`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example speaks to who runs it")]
#![allow(dead_code, unreachable_pub, reason = "each service uses a part of what they share")]

#[path = "shop.rs"]
mod shop;

use prost::Message as _;
use shop::{Args, Item, ORDER_PLACED, OrderPlaced};
use tidings::{
    grpc::client::CallError,
    proto::{Event, PublishRequest, event::Payload},
};

#[tokio::main]
async fn main() -> Result<(), CallError> {
    let args = Args::parse();
    let mut client = shop::connect(&args).await?;
    for number in args.order..args.order + args.count.max(1) {
        let order = OrderPlaced {
            order_id: number.to_string(),
            customer: "ann@example.com".into(),
            items: vec![Item { sku: "tea-500g".into(), quantity: 2 }],
            total: 1980,
            currency: "EUR".into(),
        };
        let request = PublishRequest {
            topic: args.topic.clone(),
            events: vec![event(&order, args.json)],
            ..PublishRequest::default()
        };
        for receipt in client.publish(request).await?.receipts {
            let at = receipt.position.unwrap_or_default();
            println!(
                "{}",
                serde_json::json!({"order_id": order.order_id, "sequence": at.sequence})
            );
        }
    }
    Ok(())
}

fn event(order: &OrderPlaced, json: bool) -> Event {
    let (payload, media_type) = if json {
        (Payload::Text(shop::to_json(order).to_string()), "application/json")
    } else {
        (Payload::Data(order.encode_to_vec().into()), "application/protobuf")
    };
    Event {
        source: "/shop/order-service".into(),
        r#type: ORDER_PLACED.into(),
        subject: format!("order/{}", order.order_id),
        key: order.order_id.clone(),
        data_content_type: media_type.into(),
        payload: Some(payload),
        ..Event::default()
    }
}
