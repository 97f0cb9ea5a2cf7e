//! What a run says: one JSON object, flat, so that anything can read it.

use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};

use super::{Common, tally::Tally, watch::Used};

pub(crate) fn of(common: &Common, seconds: f64, used: &Used, tally: &Tally) -> Map<String, Value> {
    let mut told = Map::new();
    told.insert("seconds".into(), json!(seconds));
    told.insert("client_cpu".into(), json!(used.own));
    for (watched, (total, busiest)) in common.watch.iter().zip(&used.processes) {
        told.insert(format!("{}_cpu", watched.name), json!(total));
        told.insert(format!("{}_busiest_thread", watched.name), json!(busiest));
    }
    told.insert("others_cpu".into(), json!(used.others));
    told.insert("stolen_cpu".into(), json!(used.stolen));
    told.insert("missing".into(), json!(tally.missing));
    told.insert("repeated".into(), json!(tally.repeated));
    told.insert("reordered".into(), json!(tally.reordered));
    told.insert("faults".into(), json!(tally.fault_count));
    told.insert("first_fault".into(), json!(tally.faults.first().map_or("", String::as_str)));
    told
}

/// Microseconds.
pub(crate) fn latency(told: &mut Map<String, Value>, latency: &Histogram<u64>) {
    let micros = |nanos: u64| nanos as f64 / 1e3;
    told.insert("latencies".into(), json!(latency.len()));
    for (name, quantile) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999)] {
        told.insert(format!("latency_{name}"), json!(micros(latency.value_at_quantile(quantile))));
    }
    told.insert("latency_max".into(), json!(micros(latency.max())));
}
