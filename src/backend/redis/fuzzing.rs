//! Doors for `fuzz/` to what decodes here. Built only there; each panics where it finds something.

use std::time::SystemTime;

use bytes::Bytes;
use redis::Value;

use super::{batch, bridge, scripts};
use crate::{
    backend::{
        Batch, BridgeMode, Page,
        replay::{Bound, Progress, Replay, Told},
    },
    frame::{FrameWriter, put_event},
    position::{GapReason, Position},
    topic::Topic,
};

/// A batch off a topic's channel.
pub fn heard(payload: &[u8]) {
    // Most of what is tried should pass the first check.
    for payload in [Bytes::copy_from_slice(payload), [&super::keys::MAGIC, payload].concat().into()]
    {
        let Ok(heard) = batch::heard(payload) else { continue };
        assert!(heard.echo.len() <= heard.events.len());
        if !heard.events.is_empty() {
            assert_eq!(heard.last() + 1, heard.first + heard.events.len() as u64);
            readable(&heard.into_batch());
        }
    }
}

/// Entries of a topic's stream, told by `bytes`, read from several places to several bounds.
pub fn entries(bytes: &[u8]) {
    let mut input = bytes.iter().copied();
    let mut next = || input.next().unwrap_or_default();
    let place = |a: u8, b: u8| {
        // Small numbers, and those at the edges.
        let number = |n: u8| if n < 200 { u64::from(n % 8) } else { u64::MAX - u64::from(255 - n) };
        Position::new(number(a), number(b))
    };
    let (at, last, bound) = (place(next(), next()), place(next(), next()), place(next(), next()));
    let shape = next();
    let mut entries = Vec::new();
    while entries.len() < 16 {
        let (id, fields) = (place(next(), next()), next() % 8);
        let text = |text: String| Value::BulkString(text.into_bytes());
        let mut values = Vec::new();
        for _ in 0..fields {
            let name = [&b"t"[..], b"n", b"e", b"why", b"x"][usize::from(next() % 5)];
            let length = usize::from(next() % 32);
            values.push(Value::BulkString(name.to_vec()));
            values.push(Value::BulkString((0..length).map(|_| next()).collect()));
        }
        entries.push(Value::Array(vec![text(id.to_string()), Value::Array(values)]));
        if next() == 0 {
            break;
        }
    }
    let entries: Vec<_> = entries.into_iter().filter_map(scripts::entry).collect();
    let last = (shape & 1 == 0).then_some(last);
    let bound = match shape & 2 {
        0 => Bound::Present { heard: (shape & 4 == 0).then_some(bound.epoch) },
        _ => Bound::Place(bound),
    };
    let mut replay = Replay::new(at, bound, GapReason::Retention);
    let mut told = Vec::new();
    for _ in 0..8 {
        if replay.is_done() {
            break;
        }
        let complete = shape & 8 == 0;
        match replay.take(Page { last, entries: entries.clone(), complete }, &mut told) {
            Progress::More => (),
            Progress::Done | Progress::RolledBack => break,
        }
    }
    for told in told {
        if let Told::Batch(batch) = told {
            readable(&batch);
        }
    }
}

/// What a raw client published.
pub fn bridge(payload: &[u8]) {
    let hear = |payload| bridge::event(payload, "orders", None, SystemTime::UNIX_EPOCH);
    let Ok(event) = hear(Bytes::copy_from_slice(payload)) else { return };
    let batch =
        Batch { epoch: 1, first: 1, publish_time_us: 1, events: vec![event.encoded().clone()] };
    readable(&batch);
    let _ = bridge::message(BridgeMode::Raw, &event);
    let message = bridge::message(BridgeMode::CloudEventsJson, &event).expect("a message");
    let again = hear(message).expect("an event");
    let (was, is) = (event.message(), again.message());
    assert_eq!((&was.id, &was.source, &was.r#type), (&is.id, &is.source, &is.r#type));
    assert_eq!((&was.key, &was.subject, was.time), (&is.key, &is.subject, is.time));
    assert_eq!(was.extensions, is.extensions);
}

fn readable(batch: &Batch) {
    let topic: Topic = "orders".parse().expect("a topic");
    assert!(batch.last().sequence >= batch.first);
    for event in &batch.events {
        let mut writer = FrameWriter::with_capacity(event.len());
        put_event(writer.out(), &topic, batch.before(), batch.publish_time_us, event);
        let frame = writer.finish().decode().expect("clients read it");
        assert_eq!(frame.events.len(), 1);
    }
}
