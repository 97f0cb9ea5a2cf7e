//! What a handful of noisy ratios says, and what it does not.

use super::rows::Goal;

/// Fewer than these say nothing about their own spread: all of it is shown.
const BOOTSTRAP_MIN: usize = 6;
const RESAMPLES: usize = 4000;

/// Splitmix64: enough to draw an order, and the same everywhere for the same seed.
#[derive(Debug, Clone)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((word ^ (word >> 31)) % bound as u64) as usize
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at + 1));
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Estimate {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// The median, and where it lies with 95 % by the bootstrap; of few values, between the least and the greatest.
pub(crate) fn estimate(values: &[f64], random: &mut Random) -> Option<Estimate> {
    let middle = median(values)?;
    if values.len() < BOOTSTRAP_MIN {
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        return Some(Estimate { median: middle, low, high });
    }
    let mut medians: Vec<f64> = (0..RESAMPLES)
        .filter_map(|_| {
            let drawn: Vec<_> = values.iter().map(|_| values[random.below(values.len())]).collect();
            median(&drawn)
        })
        .collect();
    medians.sort_by(f64::total_cmp);
    let at = |share: f64| medians[((medians.len() - 1) as f64 * share).round() as usize];
    Some(Estimate { median: middle, low: at(0.025), high: at(0.975) })
}

pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Verdict {
    Stretch,
    Met,
    Missed,
    /// None is given, because.
    Refused(String),
}

/// Of an interval that lies on one side of the goal; `doubts` forbid one.
pub(crate) fn verdict(estimate: Estimate, goal: Goal, stretch: f64, doubts: &[String]) -> Verdict {
    if !doubts.is_empty() {
        return Verdict::Refused(doubts.join("; "));
    }
    let Estimate { low, high, .. } = estimate;
    // The better and the worse end, so that less is better.
    let (better, worse, wanted, stretch) = match goal {
        Goal::AtMost(goal) | Goal::Alone(goal) => (low, high, goal, stretch),
        Goal::AtLeast(goal) | Goal::TimesBetter(goal) => (-high, -low, -goal, -stretch),
    };
    if worse <= stretch {
        Verdict::Stretch
    } else if worse <= wanted {
        Verdict::Met
    } else if wanted < better {
        Verdict::Missed
    } else {
        Verdict::Refused("the interval straddles the goal".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between(low: f64, high: f64) -> Estimate {
        Estimate { median: f64::midpoint(low, high), low, high }
    }

    #[test]
    fn the_median_is_the_middle_or_between_the_two_in_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn few_values_show_all_of_their_spread() {
        let found = estimate(&[2.0, 1.0, 5.0], &mut Random(1)).unwrap();
        assert_eq!(found, Estimate { median: 2.0, low: 1.0, high: 5.0 });
        assert_eq!(estimate(&[], &mut Random(1)), None);
    }

    #[test]
    fn one_wild_value_of_many_moves_neither_median_nor_interval_far() {
        let mut values = vec![1.0, 1.01, 0.99, 1.02, 0.98, 1.0, 1.01, 0.99, 1.0];
        values.push(50.0);
        let found = estimate(&values, &mut Random(1)).unwrap();
        assert!(0.98 <= found.low && found.high <= 1.02, "{found:?}");
        assert_eq!(estimate(&values, &mut Random(1)), Some(found), "the same for the same seed");
    }

    #[test]
    fn an_interval_on_one_side_of_the_goal_has_a_verdict() {
        let of = |low, high, goal, stretch| verdict(between(low, high), goal, stretch, &[]);
        assert_eq!(of(0.7, 0.8, Goal::AtMost(0.85), 0.65), Verdict::Met);
        assert_eq!(of(0.5, 0.6, Goal::AtMost(0.85), 0.65), Verdict::Stretch);
        assert_eq!(of(0.9, 1.0, Goal::AtMost(0.85), 0.65), Verdict::Missed);
        assert_eq!(of(25.0, 28.0, Goal::TimesBetter(20.0), 30.0), Verdict::Met);
        assert_eq!(of(31.0, 35.0, Goal::TimesBetter(20.0), 30.0), Verdict::Stretch);
        assert_eq!(of(0.3, 0.5, Goal::AtLeast(0.55), 0.8), Verdict::Missed);
        assert_eq!(of(2.0, 3.9, Goal::Alone(4.0), 1.5), Verdict::Met);
    }

    #[test]
    fn an_interval_that_straddles_the_goal_has_none() {
        let straddles = Verdict::Refused("the interval straddles the goal".into());
        for (goal, stretch) in [(Goal::AtMost(0.85), 0.65), (Goal::Alone(0.85), 0.65)] {
            assert_eq!(verdict(between(0.8, 0.9), goal, stretch, &[]), straddles);
        }
        for (goal, stretch) in [(Goal::AtLeast(0.85), 0.95), (Goal::TimesBetter(0.85), 0.95)] {
            assert_eq!(verdict(between(0.8, 0.9), goal, stretch, &[]), straddles);
        }
    }

    #[test]
    fn a_doubt_forbids_a_verdict() {
        let doubts = ["an event was missing".to_owned()];
        let verdict = verdict(between(0.1, 0.2), Goal::AtMost(0.85), 0.65, &doubts);
        assert_eq!(verdict, Verdict::Refused("an event was missing".into()));
    }

    #[test]
    fn a_shuffle_keeps_everything_and_follows_its_seed() {
        let drawn = |seed| {
            let mut items: Vec<_> = (0..20).collect();
            Random(seed).shuffle(&mut items);
            items
        };
        let mut sorted = drawn(7);
        assert_eq!(sorted, drawn(7));
        assert_ne!(sorted, drawn(8));
        sorted.sort();
        assert_eq!(sorted, (0..20).collect::<Vec<_>>());
    }
}
