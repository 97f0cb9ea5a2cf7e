//! What a message or an enum promises never to use.

use std::collections::HashSet;

use prost_reflect::{EnumDescriptor, MessageDescriptor};

/// Whole numbers, in ranges that do not touch.
#[derive(Debug, Default)]
pub(super) struct Ranges(Vec<(i64, i64)>);

#[derive(Debug)]
pub(super) struct Reserved {
    pub(super) numbers: Ranges,
    pub(super) names: HashSet<String>,
}

impl Ranges {
    /// Of starts and ends, ends not included; they may overlap.
    pub(super) fn of(ranges: impl Iterator<Item = (i64, i64)>) -> Ranges {
        let mut ranges: Vec<_> = ranges.collect();
        ranges.sort_unstable();
        let mut merged: Vec<(i64, i64)> = Vec::new();
        for (start, end) in ranges {
            match merged.last_mut() {
                Some(last) if start <= last.1 => last.1 = end.max(last.1),
                _ => merged.push((start, end)),
            }
        }
        Ranges(merged)
    }

    pub(super) fn contains(&self, number: i64) -> bool {
        self.covers((number, number + 1))
    }

    /// Those that the others do not cover.
    pub(super) fn missing_in<'a>(&'a self, others: &'a Ranges) -> impl Iterator<Item = (i64, i64)> {
        self.0.iter().copied().filter(|range| !others.covers(*range))
    }

    fn covers(&self, (start, end): (i64, i64)) -> bool {
        let after = self.0.partition_point(|range| range.0 <= start);
        after > 0 && end <= self.0[after - 1].1
    }
}

impl Reserved {
    pub(super) fn by_message(message: &MessageDescriptor) -> Reserved {
        let ranges = message.reserved_ranges();
        Reserved {
            numbers: Ranges::of(ranges.map(|range| (range.start.into(), range.end.into()))),
            names: message.reserved_names().map(str::to_owned).collect(),
        }
    }

    pub(super) fn by_enum(of: &EnumDescriptor) -> Reserved {
        let ranges = of.reserved_ranges();
        let numbers = ranges.map(|range| (i64::from(*range.start()), i64::from(*range.end()) + 1));
        Reserved {
            numbers: Ranges::of(numbers),
            names: of.reserved_names().map(str::to_owned).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cover_what_lies_in_one_of_them_or_in_several_that_touch() {
        let ranges = Ranges::of([(5, 8), (1, 3), (3, 5), (20, 21)].into_iter());
        assert!(ranges.contains(1) && ranges.contains(7) && ranges.contains(20));
        assert!(!ranges.contains(0) && !ranges.contains(8) && !ranges.contains(21));
        let missing = |start, end| {
            Ranges::of([(start, end)].into_iter()).missing_in(&ranges).next().is_some()
        };
        assert!(!missing(1, 8) && !missing(2, 4));
        assert!(missing(1, 9) && missing(0, 2) && missing(7, 21));
    }
}
