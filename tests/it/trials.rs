//! No silent loss: faults from a seed, and a judge who saw everything from the outside.
//!
//! `TIDINGS_SEED` repeats a run (as far as timing lets it), and with `TIDINGS_TRIAL_ROUNDS=1` one
//! round of it; `TIDINGS_TRIAL_FAULTS` and `TIDINGS_TRIAL_EVENTS` make it long, `TIDINGS_TRIAL_STORY` tells everything about a run that
//! failed, `TIDINGS_TRIAL_LOG` shows what the brokers print.

use std::collections::BTreeSet;

use futures_util::{StreamExt, stream};
use tidings::proto::gap::Reason;

use crate::support::{
    broker::Make,
    redis::Persistence,
    trial::{ALL, FAILOVERS, Fault, HARMLESS, HARMLESS_TO_DURABLE, PUBLISHERS, Plan, Verdict, run},
};

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is not a number")))
}

fn seed() -> u64 {
    number("TIDINGS_SEED").unwrap_or_else(|| fastrand::u64(..1_000_000))
}

fn plan(name: &'static str, seed: u64) -> Plan {
    Plan {
        name,
        seed,
        make: Make::Program,
        brokers: 2,
        persistence: Persistence::None,
        sentinels: false,
        kinds: ALL,
        faults: ALL.len() as u32,
        events: 52_000,
        rate: 700.0,
        streaming: 1,
        sends_again: false,
        topics_exist: false,
    }
}

const ROUNDS: [(&str, Persistence); 4] = [
    ("no persistence", Persistence::None),
    ("rdb", Persistence::Rdb),
    ("aof everysec", Persistence::AofEverysec),
    ("aof always", Persistence::AofAlways),
];

/// Durable topics lose what Redis loses, and what is trimmed before an outage ends.
const DURABLE_ROUNDS: [(&str, Persistence); 2] = [
    ("durable, aof everysec", Persistence::AofEverysec),
    ("durable, aof always", Persistence::AofAlways),
];
/// So few that outages of a second or two go beyond it.
const DURABLE_EVENTS: u64 = 500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_event_of_a_durable_topic_is_lost_in_silence() {
    // Each fault once with each persistence; the long run divides what it is told among the two.
    let kinds = ALL.len() as u64;
    let rounds = DURABLE_ROUNDS.len() as u64;
    let all = number("TIDINGS_TRIAL_FAULTS").unwrap_or(rounds * kinds).div_ceil(kinds).max(1);
    let events = number("TIDINGS_TRIAL_EVENTS").unwrap_or(40_000).div_ceil(all);
    let first_seed = seed();
    println!("{}", Verdict::head());
    let round = |round| {
        let seed = first_seed + round;
        let (name, persistence) = DURABLE_ROUNDS[seed as usize % DURABLE_ROUNDS.len()];
        run(Plan { make: Make::Durable(DURABLE_EVENTS), persistence, events, ..plan(name, seed) })
    };
    let count = number("TIDINGS_TRIAL_ROUNDS").unwrap_or(all);
    let mut verdicts = stream::iter((0..count).map(round)).buffer_unordered(DURABLE_ROUNDS.len());
    let mut failed = Vec::new();
    let mut counted = 0;
    while let Some(verdict) = verdicts.next().await {
        println!("{}\n{}", verdict.row(), verdict.faults_by_kind());
        counted += verdict.report.missing;
        if !verdict.kept() {
            println!("{}", verdict.story());
            failed.push(verdict.plan.seed);
        }
    }
    assert!(failed.is_empty(), "promises broken in the rounds with the seeds {failed:?}");
    assert!(counted > 0, "nothing was trimmed before a subscriber came to it: a trial of nothing");
}

/// Where nothing is trimmed and Redis writes down what it acknowledges, a durable topic loses nothing
/// at all, and has once what is sent again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn durable_topics_lose_nothing_to_faults_that_lose_nothing() {
    let verdict = run(Plan {
        make: Make::Durable(1_000_000),
        persistence: Persistence::AofAlways,
        kinds: HARMLESS_TO_DURABLE,
        faults: HARMLESS_TO_DURABLE.len() as u32,
        events: 8000,
        rate: 300.0,
        sends_again: true,
        topics_exist: true,
        ..plan("durable, harmless", seed())
    })
    .await;
    println!("{}\n{}", Verdict::head(), verdict.row());
    verdict.acquit();
    assert_eq!(verdict.report.gaps, 0, "{}", verdict.story());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_event_is_lost_in_silence() {
    // Of each kind one in a round, so that every persistence meets every kind.
    let kinds = ALL.len() as u64;
    let every_kind = ROUNDS.len() as u64 * kinds;
    let faults = number("TIDINGS_TRIAL_FAULTS").unwrap_or(every_kind);
    let events = number("TIDINGS_TRIAL_EVENTS").unwrap_or(208_000);
    // Rounds of bounded size, as many of each persistence.
    let first_seed = seed();
    let all = ROUNDS.len() as u64 * faults.max(events / 2500).div_ceil(every_kind).max(1);
    let (faults_each, events_each) = (faults.div_ceil(all), events.div_ceil(all));
    let rounds = number("TIDINGS_TRIAL_ROUNDS").unwrap_or(all);
    println!("{}", Verdict::head());
    let round = |round| {
        let seed = first_seed + round;
        // By the seed, so that it repeats the round.
        let (name, persistence) = ROUNDS[seed as usize % ROUNDS.len()];
        run(Plan {
            persistence,
            faults: faults_each as u32,
            events: events_each,
            ..plan(name, seed)
        })
    };
    let mut verdicts = stream::iter((0..rounds).map(round)).buffer_unordered(ROUNDS.len());
    let mut failed = Vec::new();
    let (mut acked, mut done, mut slow) = (0, 0, 0);
    let mut unmet = BTreeSet::new();
    while let Some(verdict) = verdicts.next().await {
        println!("{}\n{}", verdict.row(), verdict.faults_by_kind());
        acked += verdict.report.acked;
        slow += verdict.gaps_of(Reason::SlowConsumer);
        done += u64::from(verdict.faults.values().sum::<u32>());
        let missed = ALL.iter().filter(|fault| !verdict.faults.contains_key(fault));
        unmet.extend(missed.map(|fault| (verdict.plan.name, fault)));
        if !verdict.kept() {
            println!("{}", verdict.story());
            failed.push(verdict.plan.seed);
        }
    }
    println!("{done} faults, {acked} events acknowledged, {} rounds failed", failed.len());
    assert!(failed.is_empty(), "promises broken in the rounds with the seeds {failed:?}");
    let (faults, events) = (faults_each * rounds, events_each * rounds);
    assert!(done >= faults && acked >= events, "{done} faults, {acked} events");
    assert!(faults_each < kinds || unmet.is_empty(), "not met by each: {unmet:?}");
    assert!(faults_each < kinds || slow > 0, "no subscriber that stalled fell behind");
}

/// Where Redis is the same and has everything, an outage within the history costs nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_that_lose_nothing_leave_no_gap() {
    let verdict = run(Plan {
        kinds: HARMLESS,
        faults: 12,
        events: 2000,
        rate: 60.0,
        topics_exist: true,
        ..plan("harmless", seed())
    })
    .await;
    println!("{}\n{}", Verdict::head(), verdict.row());
    verdict.acquit();
    assert_eq!(verdict.report.gaps, 0, "{}", verdict.story());
}

/// Behind sentinels, whatever becomes of the primary: what a failover loses is announced.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_behind_sentinels_loses_nothing_in_silence() {
    let faults = number("TIDINGS_TRIAL_FAULTS").map_or(FAILOVERS.len() as u32, |n| n as u32);
    let events = number("TIDINGS_TRIAL_EVENTS").unwrap_or(5000);
    let verdict = run(Plan {
        sentinels: true,
        kinds: FAILOVERS,
        faults,
        events,
        ..plan("failovers", seed())
    })
    .await;
    println!("{}\n{}\n{}", Verdict::head(), verdict.row(), verdict.faults_by_kind());
    verdict.acquit();
    assert!(verdict.report.gaps > 0, "no other history was noticed: {}", verdict.story());
}

/// The same with topics that wait for a replica: what the receipts say that it has is read by all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_replicas_have_is_lost_in_no_failover() {
    let verdict = run(Plan {
        make: Make::Replicated,
        sentinels: true,
        kinds: FAILOVERS,
        faults: number("TIDINGS_TRIAL_FAULTS").unwrap_or(2) as u32,
        events: number("TIDINGS_TRIAL_EVENTS").unwrap_or(1500),
        ..plan("failovers, replicated", seed())
    })
    .await;
    let said = verdict.report.replicated;
    println!("{}\n{}\n{}", Verdict::head(), verdict.row(), verdict.faults_by_kind());
    println!("{said} events had a replica by word of the receipt");
    verdict.acquit();
    assert!(said > 0, "nothing was replicated: a trial of nothing");
}

/// Of each request on a stream its answer says what became of it, also where Redis or the broker is
/// gone in the middle of many.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_requests_on_a_stream_none_is_lost_in_silence() {
    let verdict = run(Plan {
        kinds: &[Fault::RedisKill, Fault::BrokerKill, Fault::Cut, Fault::HoleCmd],
        faults: 8,
        events: 10_000,
        streaming: PUBLISHERS,
        ..plan("streams", seed())
    })
    .await;
    println!("{}\n{}", Verdict::head(), verdict.row());
    verdict.acquit();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_checker_convicts_a_naive_facade() {
    let naive = |name| Plan { make: Make::Naive, brokers: 1, rate: 200.0, ..plan(name, seed()) };
    let calm = run(Plan { kinds: &[], faults: 0, events: 3000, ..naive("naive, calm") }).await;
    println!("{}\n{}", Verdict::head(), calm.row());
    calm.acquit();

    let naive = run(Plan { kinds: ALL, faults: 16, events: 1000, ..naive("naive, faults") }).await;
    println!("{}\n{:?}", naive.row(), naive.report.counts());
    assert!(naive.report.undetected() > 0, "not convicted: {}", naive.story());
}
