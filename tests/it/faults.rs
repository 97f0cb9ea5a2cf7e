//! One backend call fails, whichever it is: no event that was acknowledged after the subscription
//! began is lost in silence, none comes twice or out of order.

use std::sync::Arc;

use tidings::{
    backend::{BackendError, memory::Memory},
    broker::PublishError,
    catalog::Catalog,
};

use crate::support::{
    faulty::{Faulty, When},
    in_process::{Lines, broker_on, event, options, publish, request, subscribe},
};

#[tokio::test(start_paused = true)]
async fn whichever_backend_call_fails_the_promises_hold() {
    for when in [When::Before, When::After] {
        for fails in 1.. {
            if !scenario(fails, when).await {
                assert!(fails > 10, "only {fails} calls were made");
                break;
            }
        }
    }
}

/// Whether the fault came to pass.
async fn scenario(fails: usize, when: When) -> bool {
    let (memory, feed) = Memory::open();
    let backend = Arc::new(Faulty::new(memory, fails, when));
    let broker = broker_on(backend.clone(), feed, Catalog::default(), options());
    let mut next_id = 1;
    let mut expected = Vec::new();
    let mut send = async |count: u64, expected: &mut Vec<String>| {
        for _ in 0..count {
            let id = next_id;
            next_id += 1;
            match publish(&broker, "orders", vec![event(id)]).await {
                Ok(_) => expected.push(format!("orders {id}")),
                // Stored all the same: it may come, and here it does.
                Err(PublishError::Backend(BackendError::OutcomeUnknown { .. })) => {
                    expected.push(format!("orders {id}"));
                }
                Err(error) => assert_eq!(when, When::Before, "{error}"),
            }
        }
    };
    let patiently = async |mut request: tidings::proto::SubscribeRequest, resume: Vec<_>| {
        request.resume = resume;
        loop {
            if let Ok(subscription) = subscribe(&broker, request.clone()).await {
                break Lines::of(subscription).await;
            }
        }
    };

    send(3, &mut expected).await;
    let mut wanted = request(&["orders", "orders.*"]);
    wanted.start = Some(tidings::proto::subscribe_request::Start::Earliest(true));
    let mut lines = patiently(wanted.clone(), Vec::new()).await;
    send(2, &mut expected).await;
    let mut seen = Vec::new();
    read(&mut lines, &mut seen, expected.len()).await;
    let resume = lines.resume();
    drop(lines);
    send(3, &mut expected).await;
    let mut lines = patiently(wanted, resume).await;
    // A topic that is born under the pattern, and joined while the stream is open.
    let born = publish(&broker, "orders.eu", vec![event("eu")]).await;
    let mut born_events = Vec::new();
    while seen.len() < expected.len() || (born.is_ok() && born_events.is_empty()) {
        let line = lines.next().await;
        if line.starts_with("orders.eu") {
            born_events.push(line);
        } else if line.starts_with("orders ") {
            seen.push(line);
        } else {
            assert!(line.starts_with("heartbeat") || line == "caught up", "{line}");
        }
    }
    assert_eq!(seen, expected, "call {fails} failed {when:?}");
    assert_eq!(broker.info().broken_chains, 0);
    backend.calls() >= fails
}

async fn read(lines: &mut Lines, seen: &mut Vec<String>, count: usize) {
    while seen.len() < count {
        let line = lines.next().await;
        if line.starts_with("orders ") {
            seen.push(line);
        } else {
            assert!(line.starts_with("heartbeat") || line == "caught up", "{line}");
        }
    }
}
