//! What the tests stand on: servers, a faulty network, a client, and the history checker.

pub(crate) mod backend;
pub(crate) mod broker;
pub(crate) mod browser;
pub(crate) mod client;
pub(crate) mod faulty;
pub(crate) mod history;
pub(crate) mod in_process;
pub(crate) mod mesh;
pub(crate) mod naive;
pub(crate) mod orders;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod publisher;
pub(crate) mod random_schema;
pub(crate) mod raw;
pub(crate) mod redis;
pub(crate) mod sentinel;
pub(crate) mod served;
pub(crate) mod settings;
pub(crate) mod trial;

use std::{
    future::Future,
    time::{Duration, Instant},
};

use tokio::sync::{Semaphore, SemaphorePermit};

/// Trials wait more than they work: so many run at a time.
const TRIALS_AT_A_TIME: u32 = 3;
static MACHINE: Semaphore = Semaphore::const_new(TRIALS_AT_A_TIME as usize);

/// For a test that needs the machine to itself: it measures time, or it makes a lot of work.
pub(crate) async fn alone() -> SemaphorePermit<'static> {
    MACHINE.acquire_many(TRIALS_AT_A_TIME).await.expect("never closed")
}

/// For a trial: beside a few others, and beside nothing that needs the machine to itself.
pub(crate) async fn beside_others() -> SemaphorePermit<'static> {
    MACHINE.acquire().await.expect("never closed")
}

/// Waits until `level` holds, and panics with `what` when it does not within `bound`.
pub(crate) async fn eventually<F: Future<Output = bool>>(
    what: &str,
    bound: Duration,
    level: impl FnMut() -> F,
) {
    assert!(holds_within(bound, level).await, "not within {bound:?}: {what}");
}

/// Whether `level` holds within `bound`.
pub(crate) async fn holds_within<F: Future<Output = bool>>(
    bound: Duration,
    mut level: impl FnMut() -> F,
) -> bool {
    let start = Instant::now();
    loop {
        if level().await {
            return true;
        }
        if start.elapsed() > bound {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Sends `signal` to a process that a test started.
pub(crate) fn signal(pid: u32, signal: &str) {
    let sent = std::process::Command::new("kill").args([signal, &pid.to_string()]).status();
    assert!(sent.expect("kill is there").success(), "kill {signal} {pid}");
}

/// Resident memory of a process that a test started, in bytes.
pub(crate) fn resident_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a live process");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a resident size");
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024
}

/// Processor time that a process has taken so far.
pub(crate) fn busy(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("a live process");
    let after_name = stat.rsplit(')').next().expect("a state");
    let ticks =
        |at: usize| -> u64 { after_name.split_whitespace().nth(at).unwrap().parse().unwrap() };
    Duration::from_millis(10 * (ticks(11) + ticks(12)))
}
