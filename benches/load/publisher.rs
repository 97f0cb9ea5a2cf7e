//! One connection that publishes, in each of the ways there are.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Result, ensure};
use clap::ValueEnum;

use super::{
    http2::{self, Calls, FIRST_REQUEST_ID, Http2},
    nats::{self, Nats, Role},
    payload::{Payload, Stamp, put_varint, varint},
    resp::Resp,
    socket::{Connection, Sockets, Wire},
    tally::Tally,
};

/// NATS answers nothing: a PING behind so many publishes says that they are done.
const PING_EVERY: u64 = 64;
const PROBE: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Way {
    /// PUBLISH, pipelined
    Redis,
    /// PUB
    Nats,
    /// Requests on one PublishStream; unary calls where the broker has no PublishStream
    Stream,
    /// Publish
    Unary,
}

/// What is sent for one publish, with the places that differ from one to the next.
#[derive(Debug)]
struct Template {
    bytes: Vec<u8>,
    /// Where each of its events begins.
    events: Vec<usize>,
}

#[derive(Debug)]
pub(crate) struct Publisher {
    pub(crate) way: Way,
    at: usize,
    stamp_at: usize,
    /// One for each topic.
    templates: Vec<Template>,
    /// Publishes so far, each of `batch` events.
    pub(crate) published: u64,
    in_flight_max: u64,
}

#[derive(Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) to: SocketAddr,
    pub(crate) way: Way,
    pub(crate) topics: &'a [String],
    pub(crate) payload: &'a Payload,
    /// Events of one publish.
    pub(crate) batch: usize,
    /// Publishes that are not answered yet.
    pub(crate) in_flight: usize,
}

impl Publisher {
    pub(crate) fn connect(sockets: &mut Sockets, plan: &Plan<'_>) -> Result<Publisher> {
        let refused = plan.way == Way::Stream && !has_publish_stream(plan)?;
        let way = if refused { Way::Unary } else { plan.way };
        ensure!(
            plan.batch == 1 || matches!(way, Way::Stream | Way::Unary),
            "only Tidings takes many events at once"
        );
        ensure!(
            way != Way::Nats || plan.in_flight as u64 >= PING_EVERY,
            "nats is asked for an answer after {PING_EVERY} publishes: have as many in flight"
        );
        let authority = plan.to.to_string();
        let (topic, bytes) = (&plan.topics[0], plan.payload.encoded.len());
        let mut out = Vec::new();
        let wire = match way {
            // The broker takes a hundred at once from anybody.
            Way::Unary => {
                let calls = Calls::unary(plan.in_flight.min(100));
                Wire::Http2(Http2::new(&authority, calls, &mut out))
            }
            Way::Stream => Wire::Http2(Http2::new(&authority, Calls::stream(), &mut out)),
            Way::Redis => Wire::Resp(Resp::new(0, topic, bytes)),
            Way::Nats => {
                out = Nats::connect();
                Wire::Nats(Nats::new(Role::Publisher, topic, bytes))
            }
        };
        let at = sockets.connect(plan.to, wire, out)?;
        let templates = plan.topics.iter().map(|topic| template(way, topic, plan)).collect();
        let stamp_at = plan.payload.stamp_at;
        let in_flight_max = plan.in_flight as u64;
        Ok(Publisher { way, at, stamp_at, templates, published: 0, in_flight_max })
    }

    /// Whether one more may be on its way.
    pub(crate) fn may_publish(&self, sockets: &mut Sockets, answered: u64) -> bool {
        let bytes = self.templates[0].bytes.len();
        match &sockets.connection(self.at).wire {
            Wire::Http2(http2) if self.way == Way::Unary => {
                http2.free_slot().is_some() && http2.may_send(bytes)
            }
            Wire::Http2(http2) => {
                self.published - answered < self.in_flight_max && http2.may_send(bytes)
            }
            Wire::Nats(_) => self.published - answered * PING_EVERY < self.in_flight_max,
            Wire::Resp(_) | Wire::Xrange(_) => self.published - answered < self.in_flight_max,
        }
    }

    /// How many publishes so many answers stand for.
    pub(crate) fn done(&self, answers: u64) -> u64 {
        if self.way == Way::Nats { answers * PING_EVERY } else { answers }
    }

    /// The events of this publish are numbered from `stamp.number`.
    pub(crate) fn publish(&mut self, sockets: &mut Sockets, stamp: Stamp) {
        let Connection { wire, out, .. } = sockets.connection(self.at);
        let slot = match wire {
            Wire::Http2(http2) if self.way == Way::Unary => {
                http2.free_slot().map_or(0, |slot| slot as usize)
            }
            Wire::Http2(_) | Wire::Nats(_) | Wire::Resp(_) | Wire::Xrange(_) => {
                self.published as usize
            }
        };
        let slot = slot % self.templates.len();
        let Template { bytes, events } = &mut self.templates[slot];
        for (number, at) in (stamp.number..).zip(&*events) {
            Payload::put(&mut bytes[*at..], self.stamp_at, Stamp { number, ..stamp });
        }
        match wire {
            Wire::Http2(http2) if self.way == Way::Unary => http2.call_in_slot(bytes, out),
            Wire::Http2(http2) => {
                put_request_id(bytes, FIRST_REQUEST_ID + self.published);
                http2.send(bytes, out);
            }
            Wire::Nats(_) => {
                out.extend_from_slice(bytes);
                if (self.published + 1).is_multiple_of(PING_EVERY) {
                    out.extend_from_slice(nats::PING);
                }
            }
            Wire::Resp(_) | Wire::Xrange(_) => out.extend_from_slice(bytes),
        }
        self.published += 1;
    }

    pub(crate) fn flush(&self, sockets: &mut Sockets) -> Result<()> {
        sockets.flush(self.at)
    }
}

/// Asked with a request that says nothing: it is refused as a request, or as a call.
fn has_publish_stream(plan: &Plan<'_>) -> Result<bool> {
    let mut sockets = Sockets::new()?;
    let mut tally = Tally::new(plan.payload.clone(), 0, 0);
    let mut out = Vec::new();
    let mut http2 = Http2::new(&plan.to.to_string(), Calls::stream(), &mut out);
    let mut message = vec![0x08];
    put_varint(&mut message, FIRST_REQUEST_ID);
    http2.send(&http2::prefixed(&message), &mut out);
    let at = sockets.connect(plan.to, Wire::Http2(http2), out)?;
    sockets.flush(at)?;
    let patience = sockets.clock.now() + PROBE.as_nanos() as u64;
    while tally.fault_count + tally.answered == 0 {
        ensure!(sockets.clock.now() < patience, "PublishStream was not answered in {PROBE:?}");
        sockets.turn(&mut tally, Duration::from_millis(100))?;
    }
    Ok(!tally.faults.iter().any(|fault| fault.contains("ended the stream")))
}

fn template(way: Way, topic: &str, plan: &Plan<'_>) -> Template {
    let event = &plan.payload.encoded;
    let (bytes, at) = match way {
        Way::Redis => Resp::publish(topic, event),
        Way::Nats => Nats::publish(topic, event),
        Way::Stream | Way::Unary => return request(way, topic, event, plan.batch),
    };
    Template { bytes, events: vec![at] }
}

/// A `PublishRequest` or the `PublishStreamRequest` around one, with its gRPC prefix.
fn request(way: Way, topic: &str, event: &[u8], batch: usize) -> Template {
    let (mut publish, mut events) = (Vec::new(), Vec::new());
    put_field(&mut publish, 1, topic.as_bytes());
    for _ in 0..batch {
        put_field(&mut publish, 2, event);
        events.push(publish.len() - event.len());
    }
    let mut message = Vec::new();
    if way == Way::Stream {
        message.push(0x08);
        put_varint(&mut message, FIRST_REQUEST_ID);
        put_field(&mut message, 2, &publish);
    } else {
        message = publish.clone();
    }
    let bytes = http2::prefixed(&message);
    let before = bytes.len() - publish.len();
    events.iter_mut().for_each(|at| *at += before);
    Template { bytes, events }
}

fn put_field(out: &mut Vec<u8>, number: u64, value: &[u8]) {
    put_varint(out, number << 3 | 2);
    put_varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// Behind the gRPC prefix and the tag.
fn put_request_id(request: &mut [u8], id: u64) {
    let mut bytes = Vec::with_capacity(5);
    put_varint(&mut bytes, id);
    debug_assert_eq!(varint(&mut &request[6..]).map(|_| bytes.len()), Some(5), "five bytes each");
    request[6..11].copy_from_slice(&bytes);
}

#[cfg(test)]
mod tests {
    use crate::v1::{PublishRequest, PublishStreamRequest};
    use prost::Message as _;

    use super::*;

    #[test]
    fn requests_are_what_the_api_says() {
        let payload = Payload::of(192, false).unwrap();
        let mut template = request(Way::Stream, "orders", &payload.encoded, 3);
        put_request_id(&mut template.bytes, FIRST_REQUEST_ID + 77);
        let request = PublishStreamRequest::decode(&template.bytes[5..]).unwrap();
        assert_eq!(request.request_id, FIRST_REQUEST_ID + 77);
        let publish = request.publish.unwrap();
        assert_eq!((publish.topic.as_str(), publish.events.len()), ("orders", 3));
        for at in template.events {
            assert_eq!(template.bytes[at..][..192], payload.encoded);
        }

        let template = super::request(Way::Unary, "orders", &payload.encoded, 1);
        let publish = PublishRequest::decode(&template.bytes[5..]).unwrap();
        assert_eq!(publish.events[0].encode_to_vec(), payload.encoded);
    }
}
