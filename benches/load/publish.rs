//! Nothing but publishing, with so many publishes in flight: nobody listens.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::{
    Common,
    payload::{Payload, Stamp},
    publisher::{Plan, Publisher, Way},
    report,
    socket::Sockets,
    tally::Tally,
    watch::Snapshot,
};

const PATIENCE: Duration = Duration::from_millis(100);
const DRAINING: Duration = Duration::from_secs(10);
const BURST_MAX: usize = 4096;

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Publish {
    /// Where is published
    #[arg(long)]
    to: SocketAddr,
    #[arg(long)]
    way: Way,
    /// Publishes that are not answered yet
    #[arg(long)]
    in_flight: usize,
    /// Events of one publish
    #[arg(long, default_value_t = 1)]
    batch: usize,
    /// Topics, each in its turn; with as many in flight, each topic has one at a time
    #[arg(long, default_value_t = 1)]
    topics: usize,
    #[command(flatten)]
    common: Common,
}

pub(crate) fn run(plan: &Publish) -> Result<Value> {
    let common = &plan.common;
    ensure!(plan.topics > 0 && plan.batch > 0, "at least one topic and one event");
    let payload = Payload::of(common.event_bytes, common.typed)?;
    let topics: Vec<_> = match plan.topics {
        1 => vec![common.topic.clone()],
        many => (0..many).map(|number| format!("{}-{number:03}", common.topic)).collect(),
    };
    let mut sockets = Sockets::new()?;
    let mut tally = Tally::new(payload.clone(), 0, 0);
    let mut publisher = Publisher::connect(
        &mut sockets,
        &Plan {
            to: plan.to,
            way: plan.way,
            topics: &topics,
            payload: &payload,
            batch: plan.batch,
            in_flight: plan.in_flight,
        },
    )?;

    let from = sockets.clock.now() + common.warm_up().as_nanos() as u64;
    let to = from + common.seconds().as_nanos() as u64;
    let mut until = |end: u64| -> Result<(u64, u64)> {
        loop {
            let now = sockets.clock.now();
            if now >= end {
                return Ok((now, publisher.done(tally.answered) * plan.batch as u64));
            }
            for _ in 0..BURST_MAX {
                if !publisher.may_publish(&mut sockets, tally.answered) {
                    break;
                }
                let number = publisher.published * plan.batch as u64;
                publisher.publish(&mut sockets, Stamp { number, due: now });
            }
            publisher.flush(&mut sockets)?;
            sockets.turn(&mut tally, PATIENCE)?;
        }
    };
    let before = until(from)?;
    let first = Snapshot::take(&common.watch)?;
    let after = until(to)?;
    let used = first.until(&Snapshot::take(&common.watch)?);

    // NATS has no word about those behind the last PING.
    let patience = sockets.clock.now() + DRAINING.as_nanos() as u64;
    let all = |answered: u64| publisher.done(answered + 1) > publisher.published;
    while !all(tally.answered) && sockets.clock.now() < patience {
        sockets.turn(&mut tally, PATIENCE)?;
    }
    let seconds = (after.0 - before.0) as f64 / 1e9;
    let mut told = report::of(common, seconds, &used, &tally);
    told.insert("published_by".into(), json!(format!("{:?}", publisher.way).to_lowercase()));
    told.insert("published".into(), json!(after.1 - before.1));
    told.insert("sound".into(), json!(tally.is_sound() && all(tally.answered)));
    Ok(Value::Object(told))
}
