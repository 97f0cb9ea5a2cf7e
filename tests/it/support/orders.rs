//! Who takes part in the story of `examples/orders`, and what each prints.

use serde_json::{Value, json};

/// The services that read along over gRPC, and their languages.
pub(crate) const SERVICES: [(&str, &str); 4] = [
    ("inventory", "go"),
    ("notification", "typescript"),
    ("audit", "java"),
    ("bookkeeping", "rust"),
];

/// The line that a service prints; `sequence` 0 where the order came from redis-py.
pub(crate) fn told(service: &str, order: u64, sequence: u64) -> String {
    let order_id = order.to_string();
    let details = match service {
        "inventory" => json!({"order_id": order_id, "reserved": 2}),
        "notification" => json!({"order_id": order_id, "to": "ann@example.com"}),
        "audit" => json!({"order_id": order_id, "total": 1980, "currency": "EUR"}),
        "bookkeeping" => json!({"order_id": order_id, "booked": "19.80 EUR"}),
        other => panic!("there is no service {other}"),
    };
    let event_type = if sequence == 0 { "tidings.raw" } else { "shop.v1.OrderPlaced" };
    json!({
        "service": service,
        "topic": "order_events",
        "sequence": sequence,
        "type": event_type,
        "details": details,
    })
    .to_string()
}

/// An order as JSON.
pub(crate) fn order(number: u64) -> Value {
    json!({
        "event": "order_placed",
        "order_id": number.to_string(),
        "customer": "ann@example.com",
        "items": [{"sku": "tea-500g", "quantity": 2}],
        "total": 1980,
        "currency": "EUR",
    })
}

/// What a script printed, as (service, data).
pub(crate) fn heard(line: &str) -> (String, Value) {
    let mut line: Value = serde_json::from_str(line).unwrap();
    assert_eq!(line["channel"], "order_events");
    (line["service"].as_str().unwrap().to_owned(), line["data"].take())
}

/// That it is this order from the order service, as CloudEvents JSON.
pub(crate) fn assert_cloud_event(event: &Value, number: u64) {
    assert_eq!(event["specversion"], "1.0", "{event}");
    assert_eq!(event["type"], "shop.v1.OrderPlaced");
    assert_eq!(event["source"], "/shop/order-service");
    assert_eq!(event["subject"], format!("order/{number}"));
    assert_eq!(event["partitionkey"], number.to_string());
}
