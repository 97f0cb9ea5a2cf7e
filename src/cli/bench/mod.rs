//! `tidings bench`: what a server does for its clients, measured by one of them.
//!
//! Two kinds of runs, never mixed: at a rate, requests are sent when they are due, and latency is
//! counted from then on, so that a stall shows in every event that it delayed; without one the
//! server is saturated, and what takes long is its queues. Whether an event is missing is checked
//! on every stream.

mod continuity;
mod meter;
mod plan;
mod publish;
mod report;
mod subscribe;
mod turns;

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use parking_lot::Mutex;
use tokio::{
    signal,
    task::{JoinError, JoinSet},
    time,
};
use uuid::Uuid;

pub(super) use self::plan::Bench;
use self::{
    continuity::Losses,
    meter::Meter,
    plan::{Format, Kind, Plan, Publishing},
    publish::{ANSWER_DEADLINE, Publisher},
    report::{Delivered, Published, Report, count},
    subscribe::{Seen, Subscriber},
    turns::{Clock, Turns},
};
use super::{Exit, Server, print_line};
use crate::grpc::client::{CallError, Client};

/// Connections that are made at a time.
const CONNECTING_MAX: usize = 64;
/// How often the state of a run is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// What is acknowledged and has not come when nothing at all has come for so long, is lost: a gap
/// would have been told by then.
const DELIVERY_DEADLINE: Duration = Duration::from_secs(5);

impl Bench {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let plan = self.plan()?;
        let mut runtime = match plan.threads {
            // The cheapest, where one is enough.
            1 => tokio::runtime::Builder::new_current_thread(),
            _ => tokio::runtime::Builder::new_multi_thread(),
        };
        let runtime = runtime.worker_threads(plan.threads as usize).enable_all().build();
        let runtime = runtime.context("the runtime cannot start")?;
        let ended = runtime.block_on(measure(plan));
        runtime.shutdown_background();
        ended
    }
}

async fn measure(plan: Plan) -> anyhow::Result<Exit> {
    let format = plan.format;
    eprintln!("tidings: {} on {}", plan.kind, plan.topic);
    let report = Running::start(plan).await?.end().await?;
    match format {
        Format::Json => print_line(&report.json().to_string())?,
        Format::Text => print_line(report.to_string().trim_end())?,
    }
    let problems = report.problems();
    for problem in &problems {
        eprintln!("tidings: {problem}");
    }
    Ok(if problems.is_empty() { Exit::Done } else { Exit::Failed })
}

/// A run, from its first request on.
struct Running {
    plan: Plan,
    meter: Arc<Meter>,
    began: Duration,
    busy: Option<Duration>,
    publishing: Option<(Arc<Turns>, Clock)>,
    publishers: JoinSet<Result<(), CallError>>,
    subscribers: JoinSet<Result<(), CallError>>,
    seen: Vec<Arc<Mutex<Seen>>>,
    bar: ProgressBar,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    Finished,
    Interrupted,
}

impl Running {
    /// Subscribes, and begins to publish when every stream is open.
    async fn start(plan: Plan) -> anyhow::Result<Running> {
        let (run, _) = Uuid::new_v4().as_u64_pair();
        let meter = Arc::new(Meter::new(run, plan.threads));
        let mut running = Running {
            meter,
            began: Duration::ZERO,
            busy: None,
            publishing: None,
            publishers: JoinSet::new(),
            subscribers: JoinSet::new(),
            seen: Vec::new(),
            bar: bar(&plan),
            plan,
        };
        running.subscribe().await?;
        let publishing = running.plan.publishing.clone();
        let clients = connect(&running.plan.server, running.plan.publisher_connections()).await?;
        running.busy = busy();
        running.began = running.meter.elapsed();
        if let Some(publishing) = publishing {
            running.publish(&publishing, &clients);
        }
        Ok(running)
    }

    async fn subscribe(&mut self) -> anyhow::Result<()> {
        let plan = &self.plan;
        let clients = connect(&plan.server, plan.subscriber_connections()).await?;
        let topic: Arc<str> = plan.topic.as_str().into();
        let events = plan.events.filter(|_| plan.kind == Kind::Sub);
        for (part, client) in clients.iter().cycle().take(plan.subscribers as usize).enumerate() {
            let seen = Arc::new(Mutex::new(Seen::default()));
            self.seen.push(seen.clone());
            let (client, topic, meter) = (client.clone(), topic.clone(), self.meter.clone());
            let subscriber = Subscriber { client, topic, meter, part, events, seen };
            self.subscribers.spawn(subscriber.follow());
        }
        while !self.seen.iter().all(|seen| seen.lock().is_open()) {
            tokio::select! {
                // One that could not begin is told as such.
                biased;
                Some(ended) = self.subscribers.join_next() => self.ended(ended)?,
                () = time::sleep(LOOK) => (),
            }
        }
        if self.plan.kind == Kind::Sub {
            let subscribers = count(self.seen.len() as u64, "subscriber");
            eprintln!("tidings: {subscribers} subscribed to {}", self.plan.topic);
        }
        Ok(())
    }

    fn publish(&mut self, publishing: &Publishing, clients: &[Client]) {
        let (turns, clock) = Turns::begin(publishing, self.plan.events);
        let topic: Arc<str> = self.plan.topic.as_str().into();
        let all = clients.iter().cycle().take(publishing.publishers as usize);
        for (part, client) in all.enumerate() {
            let publisher = Publisher {
                client: client.clone(),
                topic: topic.clone(),
                size: publishing.size,
                turns: turns.clone(),
                meter: self.meter.clone(),
                part,
            };
            if publishing.stream {
                self.publishers.spawn(publisher.over_a_stream(publishing.in_flight as usize));
            } else {
                for _ in 0..publishing.in_flight {
                    self.publishers.spawn(publisher.clone().call_by_call());
                }
            }
        }
        self.publishing = Some((turns, clock));
    }

    /// Until everything was done, the time is over, or somebody interrupts it.
    async fn end(mut self) -> anyhow::Result<Report> {
        let why = self.run().await?;
        if let Some((turns, _)) = &self.publishing {
            turns.stop();
        }
        let cut = tokio::select! {
            // In no order: whoever interrupts again does not want to wait.
            ended = self.settle() => ended?,
            interrupted = signal::ctrl_c() => interrupted.map(|()| true)?,
        };
        self.publishers.shutdown().await;
        if let Some((_, clock)) = &mut self.publishing {
            clock.stop();
        }
        self.bar.finish_and_clear();
        Ok(self.report(why, cut))
    }

    async fn run(&mut self) -> anyhow::Result<Why> {
        let mut look = time::interval(LOOK);
        let mut interrupted = std::pin::pin!(signal::ctrl_c());
        loop {
            tokio::select! {
                // An interruption comes first, and then what a task has to say.
                biased;
                interrupted = &mut interrupted => return interrupted.map(|()| Why::Interrupted)
                    .context("cannot wait for signals"),
                Some(ended) = self.publishers.join_next(), if !self.publishers.is_empty() => {
                    flatten(ended)?;
                    if self.publishers.is_empty() {
                        return Ok(Why::Finished);
                    }
                }
                Some(ended) = self.subscribers.join_next(), if !self.subscribers.is_empty() => {
                    self.ended(ended)?;
                }
                _ = look.tick() => {
                    self.show();
                    if self.is_over()? {
                        return Ok(Why::Finished);
                    }
                }
            }
        }
    }

    /// A subscriber ended: it failed, or it has as many events as it wanted.
    fn ended(&self, ended: Result<Result<(), CallError>, JoinError>) -> anyhow::Result<()> {
        flatten(ended)?;
        match self.plan.kind {
            Kind::Sub if self.plan.events.is_some() => Ok(()),
            Kind::Sub | Kind::Pub | Kind::FanOut | Kind::EndToEnd => {
                Err(anyhow!("the server ended a stream that nobody asked it to end"))
            }
        }
    }

    /// Whether the time is over, or every subscriber has what it wanted.
    fn is_over(&self) -> anyhow::Result<bool> {
        if self.plan.kind == Kind::Sub && self.subscribers.is_empty() {
            return Ok(true);
        }
        let elapsed = self.meter.elapsed();
        let last = self.meter.last_answer().max(self.began);
        if self.meter.unanswered() > 0 && elapsed.saturating_sub(last) > ANSWER_DEADLINE * 2 {
            let unanswered = count(self.meter.unanswered(), "request");
            return Err(anyhow!("{unanswered} got no answer for a minute"));
        }
        let begun = match self.plan.kind {
            Kind::Sub => self.meter.first_delivery(),
            Kind::Pub | Kind::FanOut | Kind::EndToEnd => Some(self.began),
        };
        Ok(self.plan.time.zip(begun).is_some_and(|(time, begun)| elapsed >= begun + time))
    }

    /// Waits for what is on its way: answers, and then events; whether there is more.
    async fn settle(&mut self) -> anyhow::Result<bool> {
        let answers = async {
            while let Some(ended) = self.publishers.join_next().await {
                flatten(ended)?;
            }
            Ok::<_, anyhow::Error>(())
        };
        if let Ok(ended) = time::timeout(ANSWER_DEADLINE + DELIVERY_DEADLINE, answers).await {
            ended?;
        }
        if self.publishing.is_none() {
            return Ok(false);
        }
        let (place, own) = (self.meter.acknowledged(), self.meter.published.load(Relaxed));
        let answered = self.meter.elapsed();
        while !self.seen.iter().all(|seen| seen.lock().reached(place, own)) {
            let last = self.meter.last_delivery().max(answered);
            if self.meter.elapsed() > last + DELIVERY_DEADLINE {
                break;
            }
            self.show();
            time::sleep(LOOK).await;
        }
        Ok(false)
    }

    fn report(self, why: Why, cut: bool) -> Report {
        let elapsed = self.meter.elapsed() - self.began;
        let busy = busy().zip(self.busy).map(|(now, before)| now.saturating_sub(before));
        let meter = &self.meter;
        let events = meter.published.load(Relaxed);
        let published = self.plan.publishing.is_some().then(|| {
            let mut failed = meter.failed();
            if meter.unanswered() > 0 {
                failed.insert("no answer".into(), meter.unanswered());
            }
            Published {
                events,
                requests: meter.requests(),
                failed,
                time: meter.last_answer().saturating_sub(self.began),
                latencies: meter.answer_latencies.whole(),
                lateness: meter.lateness.whole(),
            }
        });
        let delivered = (!self.seen.is_empty()).then(|| {
            let mut delivered = Delivered {
                events: 0,
                data_bytes: 0,
                time: meter.last_delivery().saturating_sub(match self.plan.kind {
                    Kind::Sub => meter.first_delivery().unwrap_or_default(),
                    Kind::Pub | Kind::FanOut | Kind::EndToEnd => self.began,
                }),
                latencies: meter.delivery_latencies.whole(),
                losses: Losses::default(),
                undelivered: 0,
                cut,
                unsequenced: 0,
                reconnects: meter.reconnects.load(Relaxed),
            };
            for seen in &self.seen {
                let seen = seen.lock();
                delivered.events += seen.events;
                delivered.data_bytes += seen.data_bytes;
                delivered.unsequenced += seen.unsequenced;
                delivered.losses.add(&seen.losses());
                if !cut {
                    delivered.undelivered += seen.undelivered(events);
                }
            }
            delivered
        });
        Report {
            interrupted: why == Why::Interrupted,
            published,
            delivered,
            client_cores: busy.map(|busy| busy.as_secs_f64() / elapsed.as_secs_f64()),
            plan: self.plan,
        }
    }

    fn show(&self) {
        if self.bar.is_hidden() {
            return;
        }
        let (published, delivered) =
            (self.meter.published.load(Relaxed), self.meter.delivered.load(Relaxed));
        let elapsed = self.meter.elapsed();
        let begun = match self.plan.kind {
            Kind::Sub => self.meter.first_delivery().unwrap_or(elapsed),
            Kind::Pub | Kind::FanOut | Kind::EndToEnd => self.began,
        };
        let of_time = self.plan.time.map(|time| (elapsed - begun).div_duration_f64(time));
        let events = match self.plan.kind {
            Kind::Sub => delivered / u64::from(self.plan.subscribers.max(1)),
            Kind::Pub | Kind::FanOut | Kind::EndToEnd => published,
        };
        let of_events = self.plan.events.map(|all| events as f64 / all as f64);
        let done = of_time.unwrap_or_default().max(of_events.unwrap_or_default()).min(1.0);
        self.bar.set_position((done * BAR_LENGTH as f64) as u64);
        let mut message = Vec::new();
        if self.plan.publishing.is_some() {
            message.push(format!("{} published", HumanCount(published)));
        }
        if !self.seen.is_empty() {
            message.push(format!("{} delivered", HumanCount(delivered)));
        }
        self.bar.set_message(message.join(", "));
    }
}

const BAR_LENGTH: u64 = 1000;

/// Hidden where stderr is no terminal.
fn bar(plan: &Plan) -> ProgressBar {
    let bar =
        ProgressBar::with_draw_target(Some(BAR_LENGTH), ProgressDrawTarget::stderr_with_hz(5));
    let style = ProgressStyle::with_template("{prefix} {bar:30} {percent:>3}%  {msg}");
    // The template is a constant, and right.
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.with_prefix(plan.kind.to_string())
}

/// So many connections.
async fn connect(server: &Server, connections: u32) -> Result<Vec<Client>, CallError> {
    let connecting = (0..connections).map(|_| server.connect());
    stream::iter(connecting).buffered(CONNECTING_MAX).try_collect().await
}

fn flatten(ended: Result<Result<(), CallError>, JoinError>) -> anyhow::Result<()> {
    Ok(ended.context("a task of this client failed")??)
}

/// Processor time that this process has taken, where the system says it so.
fn busy() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // Behind the name, which may hold anything: user and system time are the 12th and 13th, in
    // hundredths of a second.
    let mut fields = stat.rsplit(')').next()?.split_whitespace().skip(11);
    let ticks = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    Some(Duration::from_millis(10 * ticks))
}
