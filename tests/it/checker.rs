//! The judge is judged: each breach of a promise is convicted, each history that keeps them is
//! acquitted.
//!
//! A history of the one topic `orders` is written as lines, times in milliseconds:
//! `pub 7 @10..12 1-3` (id 7, sent and answered then, acknowledged at 1-3; or `unknown`, or
//! `denied`; or `replicated` for `pub`, where a replica has it), `open @0 0-0`, `event @5 7 1-3`, `gap @6 1-3>2-0 ?` (or the number missed),
//! `beat @7 1-3`, `stall @7..8` (the subscriber did not read), `lost @8`, `subscriber` (a second one begins), and what was done to the servers:
//! `cut @1..2`, `identity @1..2`, `loss @1..2`, and `loss @1..2 invoices` where it was done to
//! another topic only.

use tidings::position::Position;
use tonic::Code;

use crate::support::history::{
    Disturbance, Gap, Harm, History, Micros, Outcome, Publish, Seen, Subscription, Timeline, check,
};

fn history(lines: &str) -> History {
    let mut history = History {
        topics: vec!["orders".into(), "invoices".into()],
        kept_events: 1000,
        subscriptions: vec![Subscription { topics: vec![0], seen: Vec::new() }],
        ..History::default()
    };
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let see = |history: &mut History, seen| {
            history.subscriptions.last_mut().unwrap().seen.push(seen);
        };
        match words[..] {
            ["pub" | "replicated", id, times, outcome] => {
                let (sent, answered) = span(times);
                let outcome = match outcome {
                    "unknown" => Outcome::Unknown { code: Code::Unavailable },
                    "denied" => Outcome::NotPublished {
                        code: Code::Unavailable,
                        reason: "BACKEND_UNAVAILABLE".into(),
                    },
                    places => Outcome::Acked(places.split(',').map(place).collect()),
                };
                let count = match &outcome {
                    Outcome::Acked(places) => places.len() as u64,
                    Outcome::Unknown { .. } | Outcome::NotPublished { .. } => 1,
                };
                let first_id = id.parse().unwrap();
                history.publishes.push(Publish {
                    topic: 0,
                    first_id,
                    count,
                    sent,
                    answered,
                    outcome,
                    replicated: words[0] == "replicated",
                });
            }
            ["open", at, position] => {
                let positions = vec![(0, place(position))];
                see(&mut history, Seen::Opened { at: time(at), broker: 0, positions });
            }
            ["event", at, id, position] => {
                let (at, position, id) = (time(at), place(position), id.parse().unwrap());
                see(&mut history, Seen::Event { at, topic: 0, position, id });
            }
            ["gap", at, ends, missed] => {
                let (after, until) = ends.split_once('>').unwrap();
                let (after, until) = (place(after), place(until));
                let gap = Gap { after, until, missed: missed.parse().ok(), reason: 0 };
                see(&mut history, Seen::Gap { at: time(at), topic: 0, gap });
            }
            ["beat", _, position] => {
                see(&mut history, Seen::Heartbeat { topic: 0, position: place(position) });
            }
            ["stall", times] => {
                let (from, to) = span(times);
                see(&mut history, Seen::Stalled { from, to });
            }
            ["lost", at] => see(&mut history, Seen::Lost { at: time(at) }),
            ["subscriber"] => {
                history.subscriptions.push(Subscription { topics: vec![0], seen: Vec::new() });
            }
            [kind, times, ..] => {
                let (from, to) = span(times);
                let named = words.get(2);
                let topic = named.map(|name| {
                    let of = history.topics.iter().position(|topic| topic == name);
                    of.unwrap_or_else(|| panic!("{name}?"))
                });
                let (broker, harm) = match kind {
                    "cut" => (Some(0), Harm::None),
                    "identity" => (None, Harm::Identity),
                    "loss" => (None, Harm::Loss(1)),
                    other => panic!("{other}?"),
                };
                history.disturbances.push(Disturbance { from, to, broker, topic, harm });
            }
            _ => panic!("{line}?"),
        }
    }
    history
}

fn place(text: &str) -> Position {
    let (epoch, sequence) = text.split_once('-').unwrap();
    Position::new(epoch.parse().unwrap(), sequence.parse().unwrap())
}

fn time(text: &str) -> Micros {
    text.trim_start_matches('@').parse::<Micros>().unwrap() * 1000
}

fn span(text: &str) -> (Micros, Micros) {
    let (from, to) = text.split_once("..").unwrap();
    (time(from), time(to))
}

/// The names of what was found, each once.
#[track_caller]
fn judged(lines: &str, expected: &str) {
    let report = check(&history(lines));
    let found: Vec<_> = report.counts().into_keys().collect();
    assert_eq!(found.join(", "), expected, "{:#?}", report.violations);
}

#[test]
fn what_was_published_and_delivered_in_order_is_acquitted() {
    judged(
        "open @0 1-0
         pub 1 @1..2 1-1,1-2
         pub 3 @2..4 1-3
         event @2 1 1-1
         event @2 2 1-2
         event @5 3 1-3
         beat @6 1-3",
        "",
    );
}

#[test]
fn what_nobody_published_is_a_ghost() {
    judged("open @0 1-0\n event @2 9 1-1", "ghost");
}

#[test]
fn what_was_denied_must_never_come() {
    judged("open @0 1-0\n pub 1 @0..1 denied\n event @2 1 1-1", "denied yet delivered");
    judged("open @0 1-0\n pub 1 @0..1 denied", "");
}

#[test]
fn what_may_have_been_published_may_come_or_not() {
    judged("open @0 1-0\n pub 1 @0..1 unknown\n event @2 1 1-1", "");
    judged("open @0 1-0\n pub 1 @0..1 unknown", "");
}

#[test]
fn an_event_comes_once_also_across_resumes() {
    let twice = "open @0 1-0
         pub 1 @1..2 1-1
         event @2 1 1-1
         lost @3
         open @4 1-1
         event @5 1 1-1";
    judged(twice, "duplicate");
}

#[test]
fn positions_rise() {
    judged(
        "open @0 1-0
         pub 1 @1..2 1-1
         pub 2 @1..2 1-2
         event @3 2 1-2
         event @4 1 1-1",
        "hole, reordered",
    );
}

#[test]
fn a_skipped_position_is_a_hole_even_where_nobody_was_answered() {
    judged(
        "open @0 1-0
         pub 1 @1..2 1-1
         pub 2 @1..2 unknown
         pub 3 @1..2 1-3
         event @3 1 1-1
         event @4 3 1-3",
        "hole",
    );
}

#[test]
fn an_acknowledged_event_that_never_comes_is_a_silent_loss() {
    judged("open @0 1-0\n pub 1 @1..2 1-1", "undetected");
    // Also where another subscriber had it.
    judged(
        "open @0 1-0
         pub 1 @1..2 1-1
         event @3 1 1-1
         subscriber
         open @0 1-0",
        "undetected",
    );
}

#[test]
fn a_gap_announces_what_is_missing() {
    judged(
        "open @0 1-0
         loss @3..3
         pub 1 @1..2 1-1,1-2
         pub 3 @1..2 1-3
         event @2 1 1-1
         gap @4 1-1>1-2 1
         event @5 3 1-3",
        "",
    );
}

#[test]
fn a_gap_counts_exactly_within_one_life() {
    let gap = |missed| {
        format!("open @0 1-0\n loss @3..3\n pub 1 @1..2 1-1,1-2\n gap @4 1-0>1-2 {missed}")
    };
    judged(&gap("2"), "");
    judged(&gap("1"), "miscounted");
    judged(&gap("?"), "miscounted");
}

#[test]
fn a_gap_begins_where_the_subscriber_stands() {
    judged(
        "open @0 1-0
         identity @1..1
         pub 1 @1..2 1-1
         event @2 1 1-1
         gap @4 1-0>2-0 ?",
        "misplaced gap",
    );
    judged("open @0 1-0\n gap @4 1-3>2-0 ?\n identity @1..2", "misplaced gap");
}

#[test]
fn another_life_needs_a_gap_unless_it_is_the_first() {
    let events = "pub 1 @1..2 1-1
         pub 2 @3..4 2-1
         event @2 1 1-1";
    judged(&format!("open @0 0-0\n {events}\n event @5 2 2-1"), "epoch without gap");
    judged(
        &format!("open @0 0-0\n {events}\n identity @2..3\n gap @5 1-1>2-0 ?\n event @5 2 2-1"),
        "",
    );
}

#[test]
fn the_first_event_of_a_topic_that_did_not_exist_is_its_first() {
    judged("open @0 0-0\n pub 1 @1..2 7-1\n event @2 1 7-1", "");
    judged("open @0 0-0\n pub 1 @1..2 7-1,7-2\n event @2 2 7-2", "hole, undetected");
}

/// Flaw 2 of the protocol's first draft: the topic's first life died before it was opened.
#[test]
fn a_life_that_came_and_went_before_the_first_delivery_is_owed_too() {
    judged(
        "open @0 0-0
         pub 1 @1..2 1-1
         pub 2 @3..4 2-1
         event @5 2 2-1",
        "undetected",
    );
}

#[test]
fn a_life_that_came_and_went_may_be_announced_where_nothing_is() {
    judged(
        "open @0 0-0
         loss @2..4
         pub 1 @1..2 1-1
         pub 2 @5..6 2-1
         gap @4 0-0>0-0 ?
         event @7 2 2-1",
        "",
    );
}

#[test]
fn a_life_between_the_ends_of_a_gap_is_covered_where_it_fits_in_time() {
    let lives = "open @0 1-0
         loss @2..9
         pub 1 @1..2 1-1
         pub 2 @3..4 2-1
         pub 3 @5..6 3-1
         event @2 1 1-1";
    judged(&format!("{lives}\n gap @7 1-1>3-0 ?\n event @8 3 3-1"), "");
    // Life 2 was over before life 1 had its last event: then it does not lie in between.
    judged(
        "open @0 4-0
         loss @2..9
         pub 2 @1..2 2-1
         pub 1 @3..4 4-1
         pub 3 @5..6 5-1
         event @4 1 4-1
         gap @7 4-1>5-0 ?
         event @8 3 5-1",
        "undetected",
    );
    // It began after an event behind the gap had been answered.
    judged(
        "open @0 1-0
         loss @2..9
         pub 1 @1..2 1-1
         pub 3 @3..4 3-1
         pub 2 @5..6 2-1
         event @2 1 1-1
         gap @7 1-1>3-0 ?
         event @8 3 3-1",
        "undetected",
    );
}

#[test]
fn a_gap_covers_nothing_that_was_sent_after_it_was_announced() {
    judged(
        "open @0 1-0
         loss @1..9
         gap @2 1-0>2-0 ?
         pub 1 @3..4 1-1",
        "undetected",
    );
}

#[test]
fn what_was_answered_before_the_subscription_opened_is_not_owed() {
    judged("pub 1 @1..2 1-1\n open @3 1-1\n pub 2 @4..5 1-2\n event @6 2 1-2", "");
    // But what lies after the place it was told is.
    judged("pub 1 @1..2 1-1\n open @3 1-0", "undetected");
}

#[test]
fn one_position_holds_one_event() {
    judged(
        "open @0 1-0
         pub 1 @1..5 1-1
         pub 2 @1..5 1-1
         event @3 1 1-1",
        "position twice, undetected",
    );
}

#[test]
fn an_event_is_where_its_receipt_says() {
    judged("open @0 1-0\n pub 1 @1..2 1-5\n event @3 1 1-1", "acked elsewhere");
}

#[test]
fn the_receipts_of_a_call_follow_one_another() {
    judged(
        "open @0 1-0
         pub 1 @1..2 1-1,1-3
         pub 3 @1..2 1-2
         event @3 1 1-1
         event @3 3 1-2
         event @3 2 1-3",
        "torn batch",
    );
}

#[test]
fn what_is_sent_after_an_answer_is_stored_after_it() {
    judged(
        "open @0 1-0
         pub 1 @1..2 1-2
         pub 2 @3..4 1-1
         event @5 2 1-1
         event @5 1 1-2",
        "ack order",
    );
}

#[test]
fn a_heartbeat_tells_no_place_that_was_not_reached() {
    judged("open @0 1-0\n beat @1 1-1", "wrong heartbeat");
    judged("open @0 1-0\n beat @1 2-0", "wrong heartbeat");
    judged("open @0 0-0\n beat @1 2-0", "");
}

#[test]
fn a_notice_comes_within_five_undisturbed_seconds() {
    let late = |disturbed: &str| {
        format!(
            "open @0 1-0
             pub 1 @1..2 1-1
             loss @3..4
             {disturbed}
             gap @5500 1-0>1-1 1"
        )
    };
    judged(&late(""), "late notice");
    judged(&late("cut @1000..1500"), "");
    judged(&late("cut @100..120"), "late notice");
    // Another broker's trouble is no excuse.
    let history = history(&late("cut @1000..1500"));
    let mut elsewhere = history.clone();
    elsewhere.disturbances.iter_mut().for_each(|done| {
        done.broker = done.broker.map(|_| 1);
    });
    assert_eq!(check(&history).count(&["late notice"]), 0);
    assert_eq!(check(&elsewhere).count(&["late notice"]), 1);
}

#[test]
fn what_a_replica_has_is_not_lost_with_its_primary() {
    let lost = |how: &str| {
        format!("open @0 1-0\n {how} 1 @1..2 1-1\n loss @3..4 orders\n gap @5 1-0>2-0 ?")
    };
    judged(&lost("pub"), "");
    judged(&lost("replicated"), "replicated yet lost");
}

#[test]
fn who_does_not_read_is_told_when_it_reads_on() {
    let stalled = |from: u64, event: u64| {
        format!("open @0 1-0\n pub 1 @1..2 1-1\n stall @{from}..4000\n event @{event} 1 1-1")
    };
    judged(&stalled(3, 8900), "");
    judged(&stalled(3, 9100), "late delivery");
    // What another subscriber does is no excuse.
    judged(
        &format!("{}\n subscriber\n open @0 1-0\n event @5100 1 1-1", stalled(3, 8900)),
        "late delivery",
    );
    // Nor is it one for what is still kept.
    judged("open @0 1-0\n pub 1 @1..2 1-1\n stall @3..4000\n gap @4100 1-0>1-1 1", "wide gap");
}

#[test]
fn a_delivery_comes_within_five_undisturbed_seconds() {
    judged("open @0 1-0\n pub 1 @1..2 1-1\n event @5100 1 1-1", "late delivery");
    judged("open @0 1-0\n pub 1 @1..2 1-1\n cut @50..4000\n event @5100 1 1-1", "");
    let away = "open @0 1-0\n pub 1 @1..2 1-1\n lost @3\n open @5000 1-0\n event @5100 1 1-1";
    judged(away, "");
}

#[test]
fn a_gap_takes_in_only_what_was_lost_and_a_second_more() {
    let gap =
        |what: &str| format!("open @0 1-0\n pub 1 @2000..2001 1-1\n {what}\n gap @2100 1-0>1-1 1");
    judged(&gap(""), "wide gap");
    judged(&gap("identity @2050..2060"), "wide gap");
    judged(&gap("loss @2050..2060"), "");
    judged(&gap("loss @1500..1600"), "");
    judged(&gap("loss @500..600"), "wide gap");
}

/// Deleting one topic loses nothing of another.
#[test]
fn what_was_done_to_another_topic_excuses_nothing() {
    let gap = |topic: &str| {
        format!(
            "open @0 1-0
             pub 1 @2000..2001 1-1
             loss @2050..2060 {topic}
             gap @2100 1-0>1-1 1"
        )
    };
    judged(&gap("orders"), "");
    judged(&gap("invoices"), "wide gap");
    let empty = |topic: &str| format!("open @0 1-0\n loss @1..1 {topic}\n gap @2 1-0>2-0 ?");
    judged(&empty("orders"), "");
    judged(&empty("invoices"), "false alarms");
    let late = |topic: &str| {
        format!("open @0 1-0\n pub 1 @1..2 1-1\n loss @50..4000 {topic}\n event @5100 1 1-1")
    };
    judged(&late("orders"), "");
    judged(&late("invoices"), "late delivery");
}

#[test]
fn what_the_topic_no_longer_keeps_may_lie_in_a_gap() {
    let mut history = history("open @0 1-0\n gap @5 1-0>1-2000 2000");
    let place = |sequence| Position::new(1, sequence);
    history.publishes.push(Publish {
        topic: 0,
        first_id: 1,
        count: 3000,
        sent: 1000,
        answered: 2000,
        outcome: Outcome::Acked((1..=3000).map(place).collect()),
        replicated: false,
    });
    let seen = &mut history.subscriptions[0].seen;
    seen.extend((2001..=3000).map(|sequence| Seen::Event {
        at: 6000,
        topic: 0,
        position: place(sequence),
        id: sequence,
    }));
    assert_eq!(check(&history).violations, []);
    assert_eq!(check(&history).missing, 2000);
    history.kept_events = 2500;
    assert_eq!(check(&history).count(&["wide gap"]), 1);
}

#[test]
fn what_a_later_life_pushed_out_may_lie_in_a_gap() {
    let mut history = history(
        "open @0 1-0
         pub 1 @2000..2001 1-1
         gap @6000 1-0>2-700 ?",
    );
    let place = |sequence| Position::new(2, sequence);
    let publish = |first_id: u64, count: u64| Publish {
        topic: 0,
        first_id,
        count,
        sent: 2100,
        answered: 2200,
        outcome: Outcome::Acked((first_id - 10..first_id - 10 + count).map(place).collect()),
        replicated: false,
    };
    history.publishes.push(publish(11, 1700));
    let seen = &mut history.subscriptions[0].seen;
    seen.extend((701..=1700).map(|sequence| Seen::Event {
        at: 6000,
        topic: 0,
        position: place(sequence),
        id: sequence + 10,
    }));
    assert_eq!(check(&history).count(&["wide gap"]), 0);
    assert_eq!(check(&history).missing, 701);
    // One that does not fill what is kept takes nothing from the life before it.
    history.kept_events = 2500;
    assert_eq!(check(&history).count(&["wide gap"]), 1);
}

#[test]
fn gaps_without_a_loss_need_a_reason() {
    judged("open @0 1-0\n gap @2 1-0>2-0 ?", "false alarms");
    judged("open @0 1-0\n identity @1..1\n gap @2 1-0>2-0 ?", "");
    let report = check(&history("open @0 1-0\n identity @1..1\n gap @2 1-0>2-0 ?"));
    assert_eq!((report.gaps, report.false_alarms), (1, 1));
}

#[test]
fn undisturbed_time_is_the_longest_stretch_in_one_piece() {
    let history =
        history("open @0 1-0\n cut @1000..2000\n cut @1500..3000\n lost @9000\n open @9500 1-0");
    let timeline = Timeline::new(&history, &history.subscriptions[0], 0);
    let undisturbed =
        |from: Micros, to: Micros| timeline.undisturbed(from * 1000, to * 1000) / 1000;
    assert_eq!(undisturbed(0, 900), 900);
    assert_eq!(undisturbed(0, 2500), 1000);
    assert_eq!(undisturbed(2500, 2900), 0);
    assert_eq!(undisturbed(2500, 4000), 1000);
    assert_eq!(undisturbed(0, 12_000), 6000);
    assert_eq!(undisturbed(9000, 9600), 100);
}
