//! Reserves the goods of each order that was placed.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example speaks to who runs it")]
#![allow(dead_code, unreachable_pub, reason = "each service uses a part of what they share")]

#[path = "shop.rs"]
mod shop;

use serde_json::json;
use shop::Args;
use tidings::grpc::client::CallError;

#[tokio::main]
async fn main() -> Result<(), CallError> {
    let args = Args::parse();
    shop::subscribe("inventory", &args, |event| match shop::order(&event) {
        Some(order) => {
            let reserved: u32 = order.items.iter().map(|item| item.quantity).sum();
            let details = json!({"order_id": order.order_id, "reserved": reserved});
            shop::report("inventory", &event, details);
        }
        None => shop::report("inventory", &event, json!({"skipped": "no order"})),
    })
    .await
}
