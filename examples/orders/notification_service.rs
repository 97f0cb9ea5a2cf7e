//! Writes to the customer of each order that was placed.
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
    shop::subscribe("notification", &args, |event| match shop::order(&event) {
        Some(order) => {
            let details = json!({"order_id": order.order_id, "to": order.customer});
            shop::report("notification", &event, details);
        }
        None => shop::report("notification", &event, json!({"skipped": "no order"})),
    })
    .await
}
