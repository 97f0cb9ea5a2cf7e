//! What arrived, and whether it is everything, once, in order.

use std::ops::Range;

use hdrhistogram::Histogram;

use super::payload::{Payload, Stamp};

/// So many holes are remembered of each stream, to tell a late event from a repeated one.
const HOLES_MAX: usize = 256;
const FAULTS_MAX: usize = 8;

/// What the decoders of the wires tell.
pub(crate) trait Sink {
    /// The server said that this stream now hears everything.
    fn ready(&mut self, stream: usize);
    fn event(&mut self, stream: usize, event: &[u8]);
    /// A publish was answered.
    fn answered(&mut self);
    fn fault(&mut self, what: String);
}

#[derive(Debug)]
pub(crate) struct Tally {
    payload: Payload,
    streams: Vec<Stream>,
    pub(crate) ready: usize,
    pub(crate) delivered: u64,
    pub(crate) answered: u64,
    /// Events that every stream has.
    pub(crate) complete: u64,
    /// How many streams have each event that is in flight; of a number that is a power of two.
    reached: Vec<u32>,
    pub(crate) missing: u64,
    pub(crate) repeated: u64,
    pub(crate) reordered: u64,
    /// Whether one order was asked for: of unary calls in flight together there is none.
    pub(crate) ordered: bool,
    pub(crate) faults: Vec<String>,
    pub(crate) fault_count: u64,
    /// The time of the read that is being decoded.
    pub(crate) now: u64,
    /// Latency is kept of events that were due in it.
    pub(crate) measured: Range<u64>,
    pub(crate) latency: Histogram<u64>,
}

#[derive(Debug, Default)]
struct Stream {
    next: u64,
    holes: Vec<Range<u64>>,
    ready: bool,
}

impl Tally {
    /// At most `in_flight` events are published before they are complete; 0: nobody asks what is complete.
    pub(crate) fn new(payload: Payload, streams: usize, in_flight: usize) -> Tally {
        let latency = Histogram::new_with_bounds(1, 120_000_000_000, 3);
        Tally {
            payload,
            streams: (0..streams).map(|_| Stream::default()).collect(),
            ready: 0,
            delivered: 0,
            answered: 0,
            complete: 0,
            reached: if in_flight == 0 {
                Vec::new()
            } else {
                vec![0; in_flight.next_power_of_two()]
            },
            missing: 0,
            repeated: 0,
            reordered: 0,
            ordered: true,
            faults: Vec::new(),
            fault_count: 0,
            now: 0,
            measured: 0..0,
            latency: latency.expect("the bounds are sane"),
        }
    }

    /// Everything that was published came once and in order, and nobody complained.
    pub(crate) fn is_sound(&self) -> bool {
        let reordered = if self.ordered { self.reordered } else { 0 };
        self.missing + self.repeated + reordered + self.fault_count == 0
    }

    /// The stream is to have the events from this number on.
    pub(crate) fn begin(&mut self, stream: usize, number: u64) {
        self.streams[stream].next = number;
    }

    /// The number that the stream is to have next.
    pub(crate) fn next(&self, stream: usize) -> u64 {
        self.streams[stream].next
    }

    fn count(&mut self, number: u64) {
        if self.reached.is_empty() {
            return;
        }
        let slot = number as usize & (self.reached.len() - 1);
        self.reached[slot] += 1;
        if self.reached[slot] as usize == self.streams.len() {
            self.reached[slot] = 0;
            self.complete += 1;
        }
    }

    /// Not the one that was next.
    #[cold]
    fn out_of_line(&mut self, at: usize, number: u64) {
        let stream = &mut self.streams[at];
        if number > stream.next {
            let hole = stream.next..number;
            stream.next = number + 1;
            self.missing += hole.end - hole.start;
            if stream.holes.len() < HOLES_MAX {
                stream.holes.push(hole.clone());
            }
            // It will not come: whoever waits for it would wait for ever.
            let in_reach = self.reached.len() as u64;
            for missed in hole.take(in_reach as usize) {
                self.count(missed);
            }
            return self.count(number);
        }
        let Some(hole) = stream.holes.iter().position(|hole| hole.contains(&number)) else {
            self.repeated += 1;
            return;
        };
        let hole = stream.holes.swap_remove(hole);
        for part in [hole.start..number, number + 1..hole.end] {
            if !part.is_empty() {
                stream.holes.push(part);
            }
        }
        self.missing -= 1;
        self.reordered += 1;
    }
}

impl Sink for Tally {
    fn ready(&mut self, stream: usize) {
        if !self.streams[stream].ready {
            self.streams[stream].ready = true;
            self.ready += 1;
        }
    }

    fn event(&mut self, stream: usize, event: &[u8]) {
        let Some(Stamp { number, due }) = self.payload.stamp(event) else {
            return self.fault(format!("an event without a stamp, of {} bytes", event.len()));
        };
        self.delivered += 1;
        if self.measured.contains(&due) {
            self.latency.saturating_record(self.now.saturating_sub(due));
        }
        if number == self.streams[stream].next {
            self.streams[stream].next += 1;
            self.count(number);
        } else {
            self.out_of_line(stream, number);
        }
    }

    fn answered(&mut self) {
        self.answered += 1;
    }

    #[cold]
    fn fault(&mut self, what: String) {
        self.fault_count += 1;
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(what);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What a decoder told, for its tests.
    #[derive(Debug, Default, PartialEq)]
    pub(crate) struct Told(pub(crate) Vec<String>);

    impl Sink for Told {
        fn ready(&mut self, stream: usize) {
            self.0.push(format!("ready {stream}"));
        }

        fn event(&mut self, stream: usize, event: &[u8]) {
            self.0.push(format!("{stream}: {}", String::from_utf8_lossy(event)));
        }

        fn answered(&mut self) {
            self.0.push("answered".into());
        }

        fn fault(&mut self, what: String) {
            self.0.push(format!("fault: {what}"));
        }
    }

    fn tally(numbers: &[u64]) -> Tally {
        let payload = Payload::of(192, false).unwrap();
        let mut tally = Tally::new(payload.clone(), 2, 16);
        for number in numbers {
            let mut event = payload.encoded.clone();
            Payload::put(&mut event, payload.stamp_at, Stamp { number: *number, due: 0 });
            tally.event(1, &event);
        }
        tally
    }

    fn found(tally: &Tally) -> (u64, u64, u64, u64) {
        (tally.delivered, tally.missing, tally.repeated, tally.reordered)
    }

    #[test]
    fn events_that_come_once_and_in_order_are_sound() {
        let tally = tally(&[0, 1, 2, 3]);
        assert_eq!(found(&tally), (4, 0, 0, 0));
        assert!(tally.is_sound());
        assert_eq!(tally.complete, 0, "the other stream has none of them");
    }

    #[test]
    fn a_missing_event_is_noticed() {
        let tally = tally(&[0, 1, 3]);
        assert_eq!(found(&tally), (3, 1, 0, 0));
        assert!(!tally.is_sound());
    }

    #[test]
    fn a_repeated_event_is_noticed() {
        let tally = tally(&[0, 1, 1, 2]);
        assert_eq!(found(&tally), (4, 0, 1, 0));
        assert!(!tally.is_sound());
    }

    #[test]
    fn events_in_another_order_are_noticed() {
        let tally = tally(&[0, 2, 1, 3]);
        assert_eq!(found(&tally), (4, 0, 0, 1));
        assert!(!tally.is_sound());
    }

    #[test]
    fn a_late_event_is_late_once_and_repeated_the_second_time() {
        assert_eq!(found(&tally(&[0, 5, 2, 2])), (4, 3, 1, 1));
    }

    #[test]
    fn an_event_is_complete_when_every_stream_has_it_or_will_never_have_it() {
        let payload = Payload::of(192, false).unwrap();
        let mut tally = tally(&[0, 1, 2]);
        for number in [0, 2] {
            let mut event = payload.encoded.clone();
            Payload::put(&mut event, payload.stamp_at, Stamp { number, due: 0 });
            tally.event(0, &event);
        }
        assert_eq!((tally.complete, tally.missing), (3, 1));
    }

    #[test]
    fn what_is_no_event_is_a_fault() {
        let mut tally = tally(&[]);
        tally.event(0, b"hello");
        assert_eq!((tally.delivered, tally.fault_count), (0, 1));
        assert!(!tally.is_sound());
    }
}
