//! What is compared, as data: the cases that are run, and the rows that read them.
//!
//! A case is one system under one load. The cases of a scenario are run one after the other in each round, in
//! an order that is drawn anew, and a row is the ratio of two of them in the same round.

use super::systems::System;

pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) cases: &'static [Case],
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    pub(crate) label: &'static str,
    pub(crate) system: System,
    pub(crate) load: Load,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Load {
    FanOut {
        streams: u32,
        connections: u32,
        event_bytes: u32,
        pace: Pace,
    },
    Publish {
        call: Call,
        in_flight: u32,
        batch: u32,
        topics: u32,
        into: Destination,
    },
    /// What is kept of a durable topic is read from its begin.
    Replay {
        reader: Reader,
    },
    /// Live subscribers of a durable topic, beside others that catch up from places in its history.
    CatchUp {
        reader: Option<Reader>,
    },
    Idle {
        streams: u32,
        connections: u32,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Saturated: so many events are on their way.
    Window(u32),
    /// Isolated: so many a second.
    Rate(u32),
}

/// What topics are published into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Destination {
    Live,
    Durable,
    /// Live, with events of a registered type that nobody asks for.
    Typed,
    /// The same events, where each has to be what its type says.
    Checked,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    /// Of the broker.
    Subscriber,
    /// Of Redis.
    Xrange,
}

/// How Tidings is published into; the others have one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Stream,
    Unary,
}

pub(crate) struct Row {
    pub(crate) scenario: &'static str,
    pub(crate) what: &'static str,
    pub(crate) quantity: Quantity,
    pub(crate) ours: &'static str,
    pub(crate) theirs: &'static str,
    pub(crate) goal: Goal,
    pub(crate) stretch: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Goal {
    /// Ours divided by theirs.
    AtMost(f64),
    /// Ours divided by theirs.
    AtLeast(f64),
    /// Theirs divided by ours: so many times better.
    TimesBetter(f64),
    /// Ours alone, in its own unit.
    Alone(f64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quantity {
    /// Processor time of the server and of the Redis behind it, for a delivery.
    CpuPerDelivery,
    /// Of the server alone, for a published event.
    ServerCpuPerEvent,
    /// Of Redis alone, for a published event.
    RedisCpuPerEvent,
    EventsPerSecond,
    LatencyP50,
    LatencyP99,
    MemoryPerStream,
    /// MiB, at its highest.
    MemoryGrown,
    /// Seconds until the last of those that catch up is where the live ones are.
    CaughtUp,
}

const EVENT: u32 = 192;

const fn saturated(label: &'static str, system: System, streams: u32, window: u32) -> Case {
    let pace = Pace::Window(window);
    let load = Load::FanOut { streams, connections: streams, event_bytes: EVENT, pace };
    Case { label, system, load }
}

const fn isolated(
    label: &'static str,
    system: System,
    (streams, connections): (u32, u32),
    rate: u32,
) -> Case {
    let load = Load::FanOut { streams, connections, event_bytes: EVENT, pace: Pace::Rate(rate) };
    Case { label, system, load }
}

const fn kibibyte(label: &'static str, system: System) -> Case {
    let pace = Pace::Window(1000);
    let load = Load::FanOut { streams: 1, connections: 1, event_bytes: 1024, pace };
    Case { label, system, load }
}

const fn publish(label: &'static str, system: System, call: Call, in_flight: u32) -> Case {
    Case {
        label,
        system,
        load: Load::Publish { call, in_flight, batch: 1, topics: 1, into: Destination::Live },
    }
}

const fn typed(label: &'static str, system: System, call: Call, into: Destination) -> Case {
    Case { label, system, load: Load::Publish { call, in_flight: 64, batch: 1, topics: 1, into } }
}

const fn into_topics(topics: u32, batch: u32, into: Destination) -> Load {
    Load::Publish { call: Call::Stream, in_flight: topics, batch, topics, into }
}

const fn catch_up(label: &'static str, reader: Option<Reader>) -> Case {
    Case { label, system: System::Tidings, load: Load::CatchUp { reader } }
}

const fn idle(label: &'static str, system: System, streams: u32, connections: u32) -> Case {
    Case { label, system, load: Load::Idle { streams, connections } }
}

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "saturated-100",
        title: "saturated, 100 subscribers on 100 connections",
        cases: &[
            saturated("tidings", System::Tidings, 100, 1000),
            saturated("redis", System::Redis, 100, 1000),
            saturated("nats", System::Nats, 100, 1000),
            saturated("naive", System::Naive, 100, 1000),
            saturated("usual", System::Usual, 100, 1000),
        ],
    },
    Scenario {
        name: "saturated-1000",
        title: "saturated, 1,000 subscribers on 1,000 connections",
        cases: &[
            saturated("tidings", System::Tidings, 1000, 200),
            saturated("redis", System::Redis, 1000, 200),
            saturated("nats", System::Nats, 1000, 200),
        ],
    },
    Scenario {
        // At 2,000 a second the machine of two cores is full, whoever serves: then events are no longer
        // isolated, and latency is the length of a queue.
        name: "isolated-100",
        title: "isolated, 500 events a second, 100 subscribers on 100 connections",
        cases: &[
            isolated("tidings", System::Tidings, (100, 100), 500),
            isolated("redis", System::Redis, (100, 100), 500),
            isolated("nats", System::Nats, (100, 100), 500),
            isolated("naive", System::Naive, (100, 100), 500),
            isolated("usual", System::Usual, (100, 100), 500),
        ],
    },
    Scenario {
        name: "isolated-1000",
        title: "isolated, 50 events a second, 1,000 subscribers: Tidings on 10 connections, NATS on 1,000",
        cases: &[
            isolated("tidings", System::Tidings, (1000, 10), 50),
            isolated("nats", System::Nats, (1000, 1000), 50),
        ],
    },
    Scenario {
        name: "publish-1000",
        title: "publishing, 1,000 in flight, nobody listens",
        cases: &[
            publish("tidings", System::Tidings, Call::Stream, 1000),
            publish("redis", System::Redis, Call::Stream, 1000),
        ],
    },
    Scenario {
        name: "redis-cost",
        title: "what Redis pays for a published event, nobody listens",
        cases: &[
            // A topic has one publish at a time, so that none is committed with another; 64 topics keep the
            // connection to Redis as full as 64 pipelined PUBLISH do.
            Case {
                label: "alone",
                system: System::Tidings,
                load: into_topics(64, 1, Destination::Live),
            },
            Case {
                label: "batches",
                system: System::Tidings,
                load: into_topics(16, 32, Destination::Live),
            },
            Case {
                label: "durable",
                system: System::Tidings,
                load: into_topics(16, 32, Destination::Durable),
            },
            publish("redis", System::Redis, Call::Stream, 64),
        ],
    },
    Scenario {
        name: "replay",
        title: "a subscriber reads what a durable topic keeps, 200,000 events for each second of the run",
        cases: &[
            Case {
                label: "tidings",
                system: System::Tidings,
                load: Load::Replay { reader: Reader::Subscriber },
            },
            Case {
                label: "xrange",
                system: System::Tidings,
                load: Load::Replay { reader: Reader::Xrange },
            },
        ],
    },
    Scenario {
        name: "catch-up",
        title: "5,000 events a second into a durable topic, 20 live subscribers; beside them 200 others that \
                begin up to 2,000 events back for each second of the run, or as many readers of Redis",
        cases: &[
            catch_up("alone", None),
            catch_up("tidings", Some(Reader::Subscriber)),
            catch_up("xrange", Some(Reader::Xrange)),
        ],
    },
    Scenario {
        name: "unary-64",
        title: "unary publishing, 64 in flight on one connection, nobody listens",
        cases: &[
            publish("memory", System::TidingsOnMemory, Call::Unary, 64),
            publish("tidings", System::Tidings, Call::Unary, 64),
            publish("echo", System::Echo, Call::Unary, 64),
        ],
    },
    Scenario {
        name: "checked",
        title: "publishing events of a registered type, 64 in flight, nobody listens: as they come, and checked",
        cases: &[
            typed("streamed", System::Tidings, Call::Stream, Destination::Typed),
            typed("streamed, checked", System::Tidings, Call::Stream, Destination::Checked),
            typed("unary", System::Tidings, Call::Unary, Destination::Typed),
            typed("unary, checked", System::Tidings, Call::Unary, Destination::Checked),
            typed("memory", System::TidingsOnMemory, Call::Stream, Destination::Typed),
            typed("memory, checked", System::TidingsOnMemory, Call::Stream, Destination::Checked),
        ],
    },
    Scenario {
        name: "idle-10000",
        title: "10,000 idle streams on 100 connections",
        cases: &[idle("tidings", System::Tidings, 10_000, 100)],
    },
    Scenario {
        name: "idle-1000",
        title: "1,000 idle subscribers on 1,000 connections",
        cases: &[
            idle("tidings", System::Tidings, 1000, 1000),
            idle("nats", System::Nats, 1000, 1000),
        ],
    },
    Scenario {
        name: "saturated-1",
        title: "saturated, one subscriber",
        cases: &[
            saturated("tidings", System::Tidings, 1, 1000),
            saturated("redis", System::Redis, 1, 1000),
        ],
    },
    Scenario {
        name: "kibibyte",
        title: "saturated, one subscriber, events of 1 KiB",
        cases: &[kibibyte("tidings", System::Tidings), kibibyte("redis", System::Redis)],
    },
];

const fn row(
    scenario: &'static str,
    what: &'static str,
    quantity: Quantity,
    (ours, theirs): (&'static str, &'static str),
    goal: Goal,
    stretch: f64,
) -> Row {
    Row { scenario, what, quantity, ours, theirs, goal, stretch }
}

use Goal::{Alone, AtLeast, AtMost, TimesBetter};
use Quantity::{
    CaughtUp, CpuPerDelivery, EventsPerSecond, LatencyP50, LatencyP99, MemoryGrown,
    MemoryPerStream, RedisCpuPerEvent, ServerCpuPerEvent,
};

pub(crate) const ROWS: &[Row] = &[
    row(
        "saturated-100",
        "CPU per delivery, against Redis",
        CpuPerDelivery,
        ("tidings", "redis"),
        AtMost(0.85),
        0.65,
    ),
    row(
        "saturated-100",
        "CPU per delivery, against NATS",
        CpuPerDelivery,
        ("tidings", "nats"),
        AtMost(0.45),
        0.35,
    ),
    row(
        "saturated-1000",
        "CPU per delivery, against Redis",
        CpuPerDelivery,
        ("tidings", "redis"),
        AtMost(0.85),
        0.5,
    ),
    row(
        "saturated-1000",
        "CPU per delivery, against NATS",
        CpuPerDelivery,
        ("tidings", "nats"),
        AtMost(0.30),
        0.2,
    ),
    row(
        "isolated-100",
        "CPU per delivery, against Redis",
        CpuPerDelivery,
        ("tidings", "redis"),
        AtMost(2.3),
        1.5,
    ),
    row(
        "isolated-100",
        "CPU per delivery, against NATS",
        CpuPerDelivery,
        ("tidings", "nats"),
        AtMost(0.6),
        0.4,
    ),
    row(
        "isolated-1000",
        "CPU per delivery, against NATS",
        CpuPerDelivery,
        ("tidings", "nats"),
        AtMost(0.12),
        0.03,
    ),
    row(
        "isolated-100",
        "latency p50, against Redis",
        LatencyP50,
        ("tidings", "redis"),
        AtMost(1.2),
        1.05,
    ),
    row(
        "isolated-100",
        "latency p99, against Redis",
        LatencyP99,
        ("tidings", "redis"),
        AtMost(1.3),
        1.1,
    ),
    row(
        "saturated-100",
        "CPU per delivery, the naive facade's",
        CpuPerDelivery,
        ("tidings", "naive"),
        TimesBetter(20.0),
        30.0,
    ),
    row(
        "isolated-100",
        "CPU per delivery, the naive facade's",
        CpuPerDelivery,
        ("tidings", "naive"),
        TimesBetter(2.5),
        4.0,
    ),
    row(
        "saturated-100",
        "CPU per delivery, the usual facade's",
        CpuPerDelivery,
        ("tidings", "usual"),
        TimesBetter(3.0),
        4.0,
    ),
    row(
        "isolated-100",
        "CPU per delivery, the usual facade's",
        CpuPerDelivery,
        ("tidings", "usual"),
        TimesBetter(2.0),
        3.0,
    ),
    row(
        "publish-1000",
        "events a second on one stream, against PUBLISH",
        EventsPerSecond,
        ("tidings", "redis"),
        AtLeast(0.55),
        0.8,
    ),
    row(
        "redis-cost",
        "Redis CPU per event published alone, against PUBLISH",
        RedisCpuPerEvent,
        ("alone", "redis"),
        AtMost(9.0),
        6.0,
    ),
    row(
        "redis-cost",
        "Redis CPU per event in batches of 32, against PUBLISH",
        RedisCpuPerEvent,
        ("batches", "redis"),
        AtMost(2.8),
        2.0,
    ),
    row(
        "redis-cost",
        "Redis CPU per event of a durable topic in batches of 32, against PUBLISH",
        RedisCpuPerEvent,
        ("durable", "redis"),
        AtMost(6.0),
        4.0,
    ),
    row(
        "replay",
        "events a second, against XRANGE",
        EventsPerSecond,
        ("tidings", "xrange"),
        AtLeast(0.5),
        0.8,
    ),
    row(
        "replay",
        "MiB that the broker grows by",
        MemoryGrown,
        ("tidings", "tidings"),
        Alone(16.0),
        8.0,
    ),
    row(
        "catch-up",
        "latency p50 of the live, against nobody catching up",
        LatencyP50,
        ("tidings", "alone"),
        AtMost(1.5),
        1.2,
    ),
    row(
        "catch-up",
        "latency p99 of the live, against nobody catching up",
        LatencyP99,
        ("tidings", "alone"),
        AtMost(1.5),
        1.2,
    ),
    row(
        "catch-up",
        "latency p99 of the live, against 200 readers of XRANGE beside them",
        LatencyP99,
        ("tidings", "xrange"),
        AtMost(1.0),
        0.5,
    ),
    row(
        "catch-up",
        "seconds until all 200 are at the tail",
        CaughtUp,
        ("tidings", "tidings"),
        Alone(30.0),
        10.0,
    ),
    row(
        "catch-up",
        "MiB that the broker grows by",
        MemoryGrown,
        ("tidings", "tidings"),
        Alone(128.0),
        64.0,
    ),
    row(
        "unary-64",
        "broker CPU per publish on memory, against bare tonic",
        ServerCpuPerEvent,
        ("memory", "echo"),
        AtMost(1.3),
        1.15,
    ),
    row(
        "unary-64",
        "broker CPU per publish on Redis, against bare tonic",
        ServerCpuPerEvent,
        ("tidings", "echo"),
        AtMost(1.3),
        1.15,
    ),
    row(
        "checked",
        "broker CPU per streamed publish on Redis, checked against not",
        ServerCpuPerEvent,
        ("streamed, checked", "streamed"),
        AtMost(1.35),
        1.15,
    ),
    row(
        "checked",
        "broker CPU per unary publish on Redis, checked against not",
        ServerCpuPerEvent,
        ("unary, checked", "unary"),
        AtMost(1.35),
        1.15,
    ),
    row(
        "checked",
        "broker CPU per streamed publish on memory, checked against not",
        ServerCpuPerEvent,
        ("memory, checked", "memory"),
        AtMost(1.35),
        1.15,
    ),
    row(
        "idle-10000",
        "KiB for an idle stream",
        MemoryPerStream,
        ("tidings", "tidings"),
        Alone(4.0),
        2.5,
    ),
    row(
        "idle-1000",
        "memory of a connection with its stream, against NATS",
        MemoryPerStream,
        ("tidings", "nats"),
        AtMost(0.65),
        0.5,
    ),
    row(
        "saturated-1",
        "CPU per delivery, against Redis",
        CpuPerDelivery,
        ("tidings", "redis"),
        AtMost(1.8),
        1.2,
    ),
    row(
        "kibibyte",
        "CPU per delivery, against Redis",
        CpuPerDelivery,
        ("tidings", "redis"),
        AtMost(2.2),
        1.3,
    ),
];

impl Row {
    pub(crate) fn name(&self) -> String {
        format!("{}: {}", self.scenario, self.what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_name_what_is_run_and_what_is_run_is_named() {
        for row in ROWS {
            let scenario = SCENARIOS.iter().find(|scenario| scenario.name == row.scenario).unwrap();
            for label in [row.ours, row.theirs] {
                assert!(scenario.cases.iter().any(|case| case.label == label), "{}", row.name());
            }
        }
        for scenario in SCENARIOS {
            for case in scenario.cases {
                let read = |row: &Row| {
                    row.scenario == scenario.name && [row.ours, row.theirs].contains(&case.label)
                };
                assert!(ROWS.iter().any(read), "{}: nobody reads {}", scenario.name, case.label);
            }
        }
    }
}
