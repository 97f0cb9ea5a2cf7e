//! What a run found, for people and for programs.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    time::Duration,
};

use hdrhistogram::Histogram;
use indicatif::{HumanBytes, HumanCount};
use serde_json::{Value, json};

use super::{
    continuity::Losses,
    plan::{Kind, Plan},
};

/// Everything in it was measured.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) plan: Plan,
    /// Somebody ended it before its time.
    pub(super) interrupted: bool,
    pub(super) published: Option<Published>,
    pub(super) delivered: Option<Delivered>,
    /// Processor time of this client, where the system tells it, by the time of the run.
    pub(super) client_cores: Option<f64>,
}

#[derive(Debug)]
pub(super) struct Published {
    /// Acknowledged ones.
    pub(super) events: u64,
    pub(super) requests: u64,
    /// Requests without a receipt, by what the server said.
    pub(super) failed: BTreeMap<String, u64>,
    /// From the first request until the last answer.
    pub(super) time: Duration,
    pub(super) latencies: Histogram<u64>,
    /// From when requests were due until they were sent.
    pub(super) lateness: Histogram<u64>,
}

#[derive(Debug)]
pub(super) struct Delivered {
    /// Of all subscribers.
    pub(super) events: u64,
    pub(super) data_bytes: u64,
    /// From the first request, or without one from the first event, until the last event.
    pub(super) time: Duration,
    pub(super) latencies: Histogram<u64>,
    pub(super) losses: Losses,
    /// Acknowledged, and neither delivered, nor in a gap, nor missing in a sequence.
    pub(super) undelivered: u64,
    /// Nobody waited for what was on its way.
    pub(super) cut: bool,
    pub(super) unsequenced: u64,
    pub(super) reconnects: u64,
}

const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];

impl Report {
    /// Why the run is no success, where it is none.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if let Some(published) = &self.published {
            let failed = published.failed.iter();
            problems.extend(failed.map(|(error, requests)| {
                format!("{} failed: {error}", count(*requests, "request"))
            }));
        }
        if let Some(delivered) = &self.delivered {
            let Losses { unexplained, unannounced_epochs, repeated, .. } = delivered.losses;
            let lost = unexplained + delivered.undelivered;
            let lost = (lost > 0).then(|| format!("{} lost without a gap", count(lost, "event")));
            let epochs = count(unannounced_epochs, "time");
            let epochs = (unannounced_epochs > 0)
                .then(|| format!("the topic began a new life {epochs} without a gap"));
            let again = (repeated > 0)
                .then(|| format!("{} came again, or out of order", count(repeated, "event")));
            problems.extend([lost, epochs, again].into_iter().flatten());
        }
        problems
    }

    /// Every request was sent when it was due, and not when an answer let it.
    fn is_paced(&self) -> bool {
        self.plan.publishing.as_ref().is_some_and(|publishing| publishing.rate.is_some())
    }

    pub(super) fn json(&self) -> Value {
        let plan = &self.plan;
        let mut report = json!({
            "bench": plan.kind.to_string(),
            "topic": plan.topic.as_str(),
            "address": plan.server.address,
        });
        if let Some(publishing) = &plan.publishing {
            report["publishers"] = publishing.publishers.into();
            report["size"] = publishing.size.into();
            report["batch"] = publishing.batch.into();
            report["in_flight"] = publishing.in_flight.into();
            report["rate"] = publishing.rate.map_or("max".into(), Into::into);
            report["stream"] = publishing.stream.into();
        }
        report["subscribers"] = plan.subscribers.into();
        report["connections"] = json!({
            "publishers": plan.publisher_connections(),
            "subscribers": plan.subscriber_connections(),
        });
        let times = if self.is_paced() { "latency_us" } else { "queueing_us" };
        if let Some(published) = &self.published {
            let bytes = published.events * self.size();
            report["published"] = json!({
                "events": published.events,
                "requests": published.requests,
                "failed": published.failed,
                "seconds": published.time.as_secs_f64(),
                "events_per_second": per_second(published.events, published.time),
                "data_bytes_per_second": per_second(bytes, published.time),
                times: quantiles(&published.latencies),
            });
            if self.is_paced() {
                report["published"]["lateness_us"] = quantiles(&published.lateness);
            }
        }
        if let Some(delivered) = &self.delivered {
            report["delivered"] = json!({
                "events": delivered.events,
                "seconds": delivered.time.as_secs_f64(),
                "events_per_second": per_second(delivered.events, delivered.time),
                "data_bytes_per_second": per_second(delivered.data_bytes, delivered.time),
                "unsequenced": delivered.unsequenced,
                "reconnects": delivered.reconnects,
            });
            if plan.kind != Kind::Sub {
                report["delivered"][times] = quantiles(&delivered.latencies);
            }
            let losses = &delivered.losses;
            report["losses"] = json!({
                "unexplained": losses.unexplained + delivered.undelivered,
                "unannounced_epochs": losses.unannounced_epochs,
                "repeated": losses.repeated,
                "gaps": losses.gaps,
                "announced": losses.announced,
                "gaps_of_unknown_size": losses.unknown_gaps,
                "waited_for_all": !delivered.cut,
            });
        }
        report["client_cores"] = self.client_cores.into();
        report["interrupted"] = self.interrupted.into();
        report
    }

    fn size(&self) -> u64 {
        self.plan.publishing.as_ref().map_or(0, |publishing| publishing.size as u64)
    }

    fn head(&self) -> String {
        let plan = &self.plan;
        let mut head = format!("{} on {} at {}: ", plan.kind, plan.topic, plan.server.address);
        let connections = |connections| count(connections, "connection");
        if let Some(publishing) = &plan.publishing {
            let rate = match publishing.rate {
                Some(rate) => format!("{} a second", HumanCount(rate.into())),
                None => format!("as fast as {} in flight allow", publishing.in_flight),
            };
            let _ = write!(
                head,
                "{} on {}{}, {} bytes each, batches of {}, {rate}",
                count(publishing.publishers.into(), "publisher"),
                connections(plan.publisher_connections().into()),
                if publishing.stream { " with PublishStream" } else { "" },
                publishing.size,
                publishing.batch,
            );
        }
        if plan.subscribers > 0 {
            let _ = write!(
                head,
                "{}{} on {}",
                if plan.publishing.is_some() { "; " } else { "" },
                count(plan.subscribers.into(), "subscriber"),
                connections(plan.subscriber_connections().into()),
            );
        }
        head
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.head())?;
        let times = if self.is_paced() { "latency" } else { "queueing" };
        if let Some(published) = &self.published {
            let (events, bytes) = (published.events, published.events * self.size());
            writeln!(f, "published  {}", throughput(events, bytes, published.time))?;
            writeln!(f, "  {times:<9}{}", row(&published.latencies))?;
            if self.is_paced() {
                writeln!(f, "  lateness {}", row(&published.lateness))?;
            }
            for (error, requests) in &published.failed {
                writeln!(f, "  failed   {}: {error}", count(*requests, "request"))?;
            }
        }
        if let Some(delivered) = &self.delivered {
            let (events, bytes) = (delivered.events, delivered.data_bytes);
            writeln!(f, "delivered  {}", throughput(events, bytes, delivered.time))?;
            if self.plan.kind != Kind::Sub {
                writeln!(f, "  {times:<9}{}", row(&delivered.latencies))?;
            }
            let losses = &delivered.losses;
            let unexplained = losses.unexplained + delivered.undelivered;
            write!(
                f,
                "lost       {} unexplained; {} announced in {}",
                HumanCount(unexplained),
                HumanCount(losses.announced),
                count(losses.gaps, "gap"),
            )?;
            if losses.unknown_gaps > 0 {
                write!(f, ", {} of unknown size", losses.unknown_gaps)?;
            }
            writeln!(
                f,
                "; {} came again; {}",
                HumanCount(losses.repeated),
                count(delivered.reconnects, "reconnect")
            )?;
            if delivered.unsequenced > 0 {
                let raw = HumanCount(delivered.unsequenced);
                writeln!(f, "           {raw} of raw Redis clients have no sequence")?;
            }
            if delivered.cut {
                writeln!(f, "           what was on its way at the end was not waited for")?;
            }
        }
        if let Some(cores) = self.client_cores {
            let threads = self.plan.threads;
            let busy = cores >= 0.9 * f64::from(threads);
            let note = if busy { ": it may be the bottleneck, give more --threads" } else { "" };
            writeln!(
                f,
                "client     {cores:.2} cores on {}{note}",
                count(threads.into(), "thread")
            )?;
        }
        if !self.is_paced() && self.plan.publishing.is_some() {
            let why = "times are of the queues that a saturated server has, no latency: see --rate";
            writeln!(f, "queueing   {why}")?;
        }
        if self.interrupted {
            writeln!(f, "ended      before its time")?;
        }
        Ok(())
    }
}

/// `1 event`, `2,000 events`.
pub(super) fn count(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", HumanCount(count))
}

/// None where there was no time.
fn per_second(count: u64, time: Duration) -> Option<f64> {
    (!time.is_zero()).then(|| count as f64 / time.as_secs_f64())
}

fn throughput(events: u64, bytes: u64, time: Duration) -> String {
    let mut line = format!("{} in {:.2} s", count(events, "event"), time.as_secs_f64());
    let rates = per_second(events, time).zip(per_second(bytes, time));
    if let Some((events, bytes)) = rates {
        let (events, bytes) = (HumanCount(events as u64), HumanBytes(bytes as u64));
        let _ = write!(line, ": {events}/s, {bytes}/s of data");
    }
    line
}

fn quantiles(latencies: &Histogram<u64>) -> Value {
    if latencies.is_empty() {
        return Value::Null;
    }
    let mut quantiles = json!({});
    for (name, quantile) in QUANTILES {
        quantiles[name] = latencies.value_at_quantile(quantile).into();
    }
    quantiles["max"] = latencies.max().into();
    quantiles
}

fn row(latencies: &Histogram<u64>) -> String {
    if latencies.is_empty() {
        return "nothing was measured".into();
    }
    let quantile =
        |(name, quantile)| format!("{name} {}", micros(latencies.value_at_quantile(quantile)));
    let quantiles: Vec<_> = QUANTILES.into_iter().map(quantile).collect();
    format!("{}  max {}", quantiles.join("  "), micros(latencies.max()))
}

/// Three digits, and never more precise than it was measured.
fn micros(micros: u64) -> String {
    let (number, unit) = match micros {
        0..1_000 => return format!("{micros} µs"),
        1_000..1_000_000 => (micros as f64 / 1e3, "ms"),
        _ => (micros as f64 / 1e6, "s"),
    };
    let digits = if number < 10.0 { 2 } else { usize::from(number < 100.0) };
    format!("{number:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_digits() {
        for (given, shown) in [
            (0, "0 µs"),
            (999, "999 µs"),
            (1_234, "1.23 ms"),
            (45_678, "45.7 ms"),
            (456_789, "457 ms"),
            (12_345_678, "12.3 s"),
        ] {
            assert_eq!(micros(given), shown);
        }
        assert_eq!(
            (count(1, "event"), count(2_000, "gap")),
            ("1 event".into(), "2,000 gaps".into())
        );
    }

    #[test]
    fn nothing_is_made_up_where_nothing_was_measured() {
        assert_eq!(throughput(0, 0, Duration::ZERO), "0 events in 0.00 s");
        let none = Histogram::new(3).expect("valid digits");
        assert_eq!((quantiles(&none), per_second(1, Duration::ZERO)), (Value::Null, None));
        assert_eq!(row(&none), "nothing was measured");
    }
}
