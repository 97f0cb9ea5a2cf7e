//! Who got what, from the lines that services and scripts print.

use std::collections::BTreeSet;

/// Scripts know no sequences: theirs is the one after the last.
const NEXT: u64 = u64::MAX;

/// An order that was told of; sequence 0 where it came from redis-py.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) number: String,
    pub(crate) sequence: u64,
}

/// What all should get.
#[derive(Debug, Default)]
pub(crate) struct Published {
    /// By redis-py, in order.
    pub(crate) old: Vec<String>,
    /// By the order service: its receipts, in order.
    pub(crate) typed: Vec<Order>,
    /// How often it did not learn whether an order was stored, and published it again.
    pub(crate) unknown: usize,
}

/// What a subscriber got, and what is wrong with it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Got {
    pub(crate) old: usize,
    pub(crate) typed: usize,
    /// Orders that are on the topic twice, because their first outcome was unknown.
    pub(crate) twice: usize,
    pub(crate) problems: Vec<String>,
}

/// The orders in what a service or a script printed.
pub(crate) fn orders(lines: &[String]) -> Vec<Order> {
    lines.iter().filter_map(|line| order(line)).collect()
}

/// As a service or a receipt tells it, and as redis-py hears it: plain JSON, or CloudEvents whose
/// subject names the order.
fn order(line: &str) -> Option<Order> {
    if !line.starts_with('{') {
        return None;
    }
    if let Some(number) = field(line, "subject").and_then(|subject| subject.strip_prefix("order/"))
    {
        return Some(Order { number: number.into(), sequence: NEXT });
    }
    let sequence = field(line, "sequence").map_or(Some(0), |sequence| sequence.parse().ok())?;
    Some(Order { number: field(line, "order_id")?.into(), sequence })
}

/// The value of a field of JSON that has no escapes in it.
fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (_, value) = line.split_once(&format!("\"{name}\":"))?;
    let value = value.trim_start();
    match value.strip_prefix('"') {
        Some(text) => text.split('"').next(),
        None => value.split([',', '}']).next(),
    }
}

/// Every order of redis-py once and in order; of the topic every event once and in order, from the
/// first to the last that was acknowledged: each receipt at its sequence, and beside them nothing but
/// what an unknown outcome left.
pub(crate) fn count(published: &Published, heard: &[Order]) -> Got {
    let mut got = Got::default();
    let (old, typed): (Vec<_>, Vec<_>) = heard.iter().partition(|order| order.sequence == 0);
    got.old = old.len();
    if !old.iter().map(|order| &order.number).eq(&published.old) {
        let numbers: Vec<_> = old.iter().map(|order| order.number.as_str()).collect();
        got.problems.push(format!("from redis-py: {}", numbers.join(" ")));
    }
    let mut acknowledged = published.typed.iter().peekable();
    let numbers: BTreeSet<_> = published.typed.iter().map(|order| &order.number).collect();
    let mut last = 0;
    for order in typed {
        let at = if order.sequence == NEXT { last + 1 } else { order.sequence };
        if at <= last {
            got.problems.push(format!("order {} at {at}, after {last}", order.number));
            continue;
        }
        for missed in last + 1..at {
            acknowledged.next_if(|receipt| receipt.sequence == missed);
            got.problems.push(format!("nothing at {missed}"));
        }
        last = at;
        match acknowledged.next_if(|receipt| receipt.sequence == at) {
            Some(receipt) if receipt.number == order.number => got.typed += 1,
            None if numbers.contains(&order.number) => got.twice += 1,
            Some(_) | None => got.problems.push(format!("order {} at {at}", order.number)),
        }
    }
    got.problems.extend(acknowledged.map(|order| format!("order {} is missing", order.number)));
    if got.twice > published.unknown {
        let (twice, unknown) = (got.twice, published.unknown);
        got.problems.push(format!("{twice} orders came again, of {unknown} unknown outcomes"));
    }
    got
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(orders: &[(u64, u64)]) -> Vec<Order> {
        let order =
            |&(number, sequence): &(u64, u64)| Order { number: number.to_string(), sequence };
        orders.iter().map(order).collect()
    }

    #[test]
    fn orders_are_read_however_they_are_told() {
        for (line, told) in [
            (r#"{"order_id":"7","sequence":3}"#, Some((7, 3))),
            (
                r#"{"service":"audit","sequence":0,"details":{"order_id":"7","total":1}}"#,
                Some((7, 0)),
            ),
            (
                r#"{"service": "inventory", "data": {"event": "order_placed", "order_id": "7"}}"#,
                Some((7, 0)),
            ),
            (r#"{"service": "inventory", "data": {"subject": "order/7"}}"#, Some((7, NEXT))),
            ("inventory: listening on order_events", None),
            (r#"{"service":"audit","sequence":4,"details":{"skipped":"no order"}}"#, None),
        ] {
            let expected = told.map(|told| typed(&[told]).remove(0));
            assert_eq!(order(line), expected, "{line}");
        }
    }

    #[test]
    fn whoever_lacks_an_order_or_has_one_too_many_is_found() {
        let published =
            Published { old: vec!["1".into()], typed: typed(&[(7, 1), (8, 3)]), unknown: 1 };
        for (heard, problems) in [
            (&[(1, 0), (7, 1), (8, 2), (8, 3)][..], &[][..]),
            (&[(7, 1), (8, 2), (1, 0), (8, 3)], &[]),
            (&[(1, 0), (7, NEXT), (8, NEXT), (8, NEXT)], &[]),
            (&[(7, 1), (8, 2), (8, 3)], &["from redis-py: "]),
            (&[(1, 0), (1, 0), (7, 1), (8, 2), (8, 3)], &["from redis-py: 1 1"]),
            (&[(1, 0), (7, 1), (8, 2)], &["order 8 is missing"]),
            (&[(1, 0), (7, 1), (9, 2), (8, 3)], &["order 9 at 2"]),
            (&[(1, 0), (7, 1), (8, 3)], &["nothing at 2"]),
            (&[(1, 0), (8, 2), (8, 3)], &["nothing at 1"]),
            (&[(1, 0), (7, 1), (8, 2), (7, 1), (8, 3)], &["order 7 at 1, after 2"]),
            (
                &[(1, 0), (7, 1), (7, 2), (8, 3), (8, 4)],
                &["2 orders came again, of 1 unknown outcomes"],
            ),
        ] {
            assert_eq!(count(&published, &typed(heard)).problems, problems, "{heard:?}");
        }
    }
}
