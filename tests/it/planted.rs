//! Four bugs on purpose: each rule of the Redis backend is left out once, under faults that need
//! it, and the judge has to notice. The same faults with the rule in force are acquitted.

use tidings::backend::redis::Rules;

use crate::support::{
    broker::Make,
    redis::Persistence,
    trial::{Fault, Plan, Verdict, run},
};

async fn trial(name: &'static str, rules: Rules, kinds: &'static [Fault], faults: u32) -> Verdict {
    let verdict = run(Plan {
        name,
        seed: fastrand::u64(..1_000_000),
        make: Make::InProcess(rules),
        brokers: 2,
        sentinels: false,
        persistence: Persistence::None,
        kinds,
        faults,
        events: 2000,
        rate: 200.0,
        streaming: 0,
        sends_again: false,
        topics_exist: true,
    })
    .await;
    println!("{}\n{}\n{:?}", Verdict::head(), verdict.row(), verdict.report.counts());
    verdict
}

/// Convicted of one of `of` with the rule left out, acquitted with it: as it is in `with`.
async fn needed(
    name: &'static str,
    without: Rules,
    with: Rules,
    kinds: &'static [Fault],
    faults: u32,
    of: &[&str],
) {
    // Whether a fault bites depends on the moment that it strikes: it gets several chances.
    let mut convicted = false;
    for _ in 0..8 {
        let planted = trial(name, without, kinds, faults).await;
        convicted = planted.report.count(of) > 0;
        if convicted {
            break;
        }
    }
    assert!(convicted, "{name} was not convicted");
    trial("with the rule", with, kinds, faults).await.acquit();
}

/// Whoever takes the sequences of a new life for those of the old one drops them as known.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_ignores_epochs_is_convicted() {
    let without = Rules { compare_epochs: false, ..Rules::default() };
    let of = ["undetected", "late notice", "late delivery"];
    needed("epochs ignored", without, Rules::default(), &[Fault::SecondLife], 2, &of).await;
}

/// Noise on the subscription connection: whoever takes it for life never hears an event again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_takes_any_byte_for_life_is_convicted() {
    let without = Rules { validate_answers: false, ..Rules::default() };
    let of = ["undetected", "hole", "late delivery", "late notice"];
    needed("any byte is life", without, Rules::default(), &[Fault::Chatter], 3, &of).await;
}

/// The next event of a topic gives a missed one away, so the topics are quiet; and the check of
/// the last position would find it, so that net is taken away as well, from both: who subscribes
/// first does not need it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_subscribes_after_reading_is_convicted() {
    let with = Rules { check_positions: false, ..Rules::default() };
    let without = Rules { subscribe_first: false, ..with };
    let of = ["undetected", "hole", "late delivery"];
    needed("subscribed too late", without, with, &[Fault::QuietCut], 8, &of).await;
}

/// History put back under a server that stays the same: only positions tell.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_does_not_check_positions_is_convicted() {
    let without = Rules { check_positions: false, ..Rules::default() };
    let of = ["position twice", "undetected", "hole", "duplicate", "reordered", "ack order"];
    needed("positions unchecked", without, Rules::default(), &[Fault::Rollback], 8, &of).await;
}
