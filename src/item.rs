//! What stands in a topic's log: events that are encoded once and shared, or a gap.
//!
//! What filters and views need is worked out when the first subscriber asks, and shared as well:
//! two who see the same share a [`Lens`], and what it shows of an item is made once.

use std::{
    collections::VecDeque,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use parking_lot::Mutex;
use prost::Message;

use crate::{
    backend::{Batch, replay::Told},
    compression::Compression,
    event::is_protobuf,
    frame::{Frame, FrameWriter, put_event},
    lens::{Filter, Lens},
    limits::{
        CEL_STEPS_PER_BYTE, CEL_STEPS_SMALL, FRAME_BYTES_GOOD, FRAME_BYTES_MAX, LENSES_KEPT_MAX,
        RENDERED_AT_ONCE_BYTES_MAX, SHOWN_AT_ONCE_STEPS_MAX,
    },
    position::{Gap, Position},
    proto::{self, event::Payload},
    schema::{Registry, Schemas, check::to_any, enforce},
    topic::Topic,
    view::{self, View},
};

#[derive(Debug)]
pub enum Item {
    Events(Events),
    Gap(Gap),
}

/// Events of one topic that follow each other, no more than fit in one frame as they are stored.
#[derive(Debug)]
pub struct Events {
    /// After the last of them; none where they come from a raw client and have no position.
    reached: Option<Position>,
    stored: Encoded,
    derived: OnceLock<Box<Derived>>,
}

/// What was worked out for lenses that show something else than what is stored.
#[derive(Debug, Default)]
struct Derived {
    summaries: OnceLock<Box<[Summary]>>,
    json: OnceLock<Encoded>,
    metadata: OnceLock<Encoded>,
    /// What was last shown through lenses that leave something out, the newest first.
    shown: Mutex<VecDeque<(Arc<Lens>, ToShow)>>,
}

/// What a filter looks at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Summary {
    pub event_type: String,
    pub key: String,
}

/// Made by whoever asks first.
type ToShow = Arc<OnceLock<Shown>>;

/// What a lens shows of some events.
#[derive(Debug)]
struct Shown {
    frames: Arc<[Frame]>,
    last_is_told: bool,
}

/// Events in one frame.
#[derive(Debug)]
struct Encoded {
    frame: Frame,
    /// Where in the message each event ends.
    ends: Vec<usize>,
    compressed: OnceLock<Box<Compressed>>,
}

/// A frame in other forms, made when they are needed first.
#[derive(Debug, Default)]
struct Compressed {
    gzip: OnceLock<Frame>,
    zstd: OnceLock<Frame>,
}

/// Items that follow each other, and few of them: small batches that come together become one.
#[derive(Debug, Default)]
pub struct Items {
    all: Vec<Item>,
    /// Of one epoch, and each behind the one before: the next item.
    batches: Vec<Batch>,
    bytes: usize,
}

/// Events on their way into an item.
struct Writer {
    frame: FrameWriter,
    ends: Vec<usize>,
}

impl Item {
    /// What a page of history told, in the same form as what the hub tells.
    pub fn of(topic: &Topic, told: Vec<Told>) -> Vec<Item> {
        let mut items = Items::default();
        for told in told {
            match told {
                Told::Batch(batch) => items.stored(topic, batch),
                Told::Gap(gap) => items.push(topic, Item::Gap(gap)),
            }
        }
        items.end(topic)
    }

    /// What it counts for where bytes are bounded.
    pub fn bytes(&self) -> usize {
        const GAP_BYTES: usize = 64;
        match self {
            Item::Events(events) => events.stored.frame.message_len(),
            Item::Gap(_) => GAP_BYTES,
        }
    }

    /// Items of events that follow each other, all of positions or none, as one.
    pub fn merged<'a>(items: impl Iterator<Item = &'a Arc<Item>>) -> Arc<Item> {
        let mut frames = Vec::new();
        let mut ends = Vec::new();
        let (mut before, mut reached) = (0, None);
        for item in items {
            let Item::Events(events) = &**item else { unreachable!("gaps are not merged") };
            ends.extend(events.stored.ends.iter().map(|end| before + end));
            before += events.stored.frame.message_len();
            reached = events.reached;
            frames.push(events.stored.frame.clone());
        }
        let stored = Encoded::new(Frame::joined(&frames), ends);
        Arc::new(Item::Events(Events::new(reached, stored)))
    }

    /// The places before its first and behind its last event; none where it has no events with
    /// positions.
    pub fn span(&self) -> Option<(Position, Position)> {
        match self {
            Item::Events(events) => Some((events.before()?, events.reached()?)),
            Item::Gap(_) => None,
        }
    }

    /// The events behind `after` up to `until`, which are places in its epoch; none where none is
    /// between them, or it has no events with positions.
    pub fn within(self: &Arc<Item>, after: u64, until: u64) -> Option<Arc<Item>> {
        let Item::Events(events) = &**self else { return None };
        let (before, reached) = self.span()?;
        let (begins, ends) = (before.sequence, reached.sequence);
        if after <= begins && ends <= until {
            return Some(self.clone());
        }
        let (from, to) = (after.max(begins), until.min(ends));
        let part = (from < to).then(|| events.part(from - begins, to - begins))?;
        Some(Arc::new(Item::Events(part)))
    }

    /// Whether it may be one item with another that may.
    pub fn can_merge(&self) -> bool {
        match self {
            Item::Events(events) => events.reached.is_some(),
            Item::Gap(_) => false,
        }
    }
}

impl Items {
    pub fn stored(&mut self, topic: &Topic, batch: Batch) {
        let bytes = batch.bytes();
        let fits = self.bytes + bytes <= FRAME_BYTES_GOOD
            && self.batches.last().is_none_or(|last| last.epoch == batch.epoch);
        if !fits {
            self.finish_item(topic);
        }
        self.bytes += bytes;
        self.batches.push(batch);
    }

    pub fn push(&mut self, topic: &Topic, item: Item) {
        self.finish_item(topic);
        self.all.push(item);
    }

    pub fn end(mut self, topic: &Topic) -> Vec<Item> {
        self.finish_item(topic);
        self.all
    }

    fn finish_item(&mut self, topic: &Topic) {
        self.all.extend(Events::of(topic, &self.batches).into_iter().map(Item::Events));
        self.batches.clear();
        self.bytes = 0;
    }
}

impl Derived {
    /// Where what the lens shows is, or is to be made: whoever else looks through it waits for that, and
    /// nobody else does.
    fn cell(&self, lens: &Arc<Lens>) -> ToShow {
        let mut kept = self.shown.lock();
        if let Some((_, cell)) = kept.iter().find(|(known, _)| Arc::ptr_eq(known, lens)) {
            return cell.clone();
        }
        let cell = ToShow::default();
        kept.push_front((lens.clone(), cell.clone()));
        kept.truncate(LENSES_KEPT_MAX);
        cell
    }
}

impl Events {
    /// Batches that follow each other in one epoch.
    pub fn of(topic: &Topic, batches: &[Batch]) -> Vec<Events> {
        let mut all = Vec::new();
        let mut writer = Writer::with_capacity(batches.iter().map(Batch::bytes).sum());
        for batch in batches {
            for (sequence, event) in (batch.first..).zip(&batch.events) {
                let position = Position::new(batch.epoch, sequence);
                let begins = writer.frame.message_len();
                put_event(writer.frame.out(), topic, position, batch.publish_time_us, event);
                if writer.frame.message_len() > FRAME_BYTES_MAX && begins > 0 {
                    let last = writer.frame.split_off(begins);
                    let full = std::mem::replace(&mut writer, Writer::with_capacity(last.len()));
                    all.push(full.finish(Some(Position::new(batch.epoch, sequence - 1))));
                    writer.frame.out().extend_from_slice(&last);
                }
                writer.ends.push(writer.frame.message_len());
            }
        }
        if let (Some(last), false) = (batches.last(), writer.ends.is_empty()) {
            all.push(writer.finish(Some(last.last())));
        }
        all
    }

    /// An event from a raw Redis client. Its position is the beginning of everything, with
    /// sequence 0: no place to resume from.
    pub fn raw(topic: &Topic, event: &[u8], time_us: u64) -> Events {
        let mut writer = Writer::with_capacity(event.len());
        put_event(writer.frame.out(), topic, Position::BEGINNING, time_us, event);
        writer.ends.push(writer.frame.message_len());
        writer.finish(None)
    }

    fn new(reached: Option<Position>, stored: Encoded) -> Events {
        Events { reached, stored, derived: OnceLock::new() }
    }

    fn derived(&self) -> &Derived {
        self.derived.get_or_init(Box::default)
    }

    pub fn reached(&self) -> Option<Position> {
        self.reached
    }

    /// The place before the first of them; none where they have no positions.
    pub fn before(&self) -> Option<Position> {
        Some(self.reached?.back(self.stored.ends.len() as u64))
    }

    /// Those from one number on up to before another.
    fn part(&self, from: u64, to: u64) -> Events {
        let (from, to) = (from as usize, to as usize);
        let ends = &self.stored.ends;
        let begin = from.checked_sub(1).map_or(0, |before| ends[before]);
        let mut frame = FrameWriter::with_capacity(ends[to - 1] - begin);
        frame.out().extend_from_slice(&self.stored.frame.message()[begin..ends[to - 1]]);
        let left_out = (ends.len() - to) as u64;
        let reached = self.reached.map(|reached| reached.back(left_out));
        let ends = ends[from..to].iter().map(|end| end - begin).collect();
        Events::new(reached, Encoded::new(frame.finish(), ends))
    }

    /// One for each event. An event that cannot be decoded has no type and no key.
    fn summaries(&self) -> &[Summary] {
        self.derived().summaries.get_or_init(|| {
            let summary = |event: Option<proto::Event>| {
                let event = event.unwrap_or_default();
                Summary { event_type: event.r#type, key: event.key }
            };
            self.decoded().map(summary).collect()
        })
    }

    /// Whether what the lens shows is still to be made, and may take so long that it should keep no
    /// thread that serves others.
    pub fn takes_long(&self, lens: &Arc<Lens>) -> bool {
        let (events, bytes) = (self.stored.ends.len(), self.stored.frame.message_len());
        let steps = events * CEL_STEPS_SMALL as usize + bytes * CEL_STEPS_PER_BYTE as usize;
        let evaluates = lens.filter.expression().is_some() && steps > SHOWN_AT_ONCE_STEPS_MAX;
        let renders = lens.view == View::Json && bytes > RENDERED_AT_ONCE_BYTES_MAX;
        (evaluates || renders) && !self.is_shown(lens)
    }

    fn is_shown(&self, lens: &Arc<Lens>) -> bool {
        let Some(derived) = self.derived.get() else { return false };
        if lens.filter.is_empty() {
            return lens.view != View::Json || derived.json.get().is_some();
        }
        let kept = derived.shown.lock();
        let mut known = kept.iter().filter(|(known, _)| Arc::ptr_eq(known, lens));
        known.any(|(_, cell)| cell.get().is_some())
    }

    /// Appends the frames that the lens shows, and says whether the last event is in them. None is
    /// larger than a frame may be unless it is one event.
    pub fn show(
        &self,
        lens: &Arc<Lens>,
        registry: &Registry,
        frames: &mut VecDeque<Frame>,
    ) -> bool {
        let encoded = match lens.view {
            View::AsStored => &self.stored,
            View::Json => self.derived().json.get_or_init(|| {
                let schemas = registry.snapshot();
                self.rendered(|event| as_json(event, &schemas))
            }),
            View::Metadata => self.derived().metadata.get_or_init(|| self.rendered(view::metadata)),
        };
        if lens.filter.is_empty() && encoded.is_small() {
            frames.push_back(encoded.shown(lens.compression));
            return true;
        }
        let cell = self.derived().cell(lens);
        let shown = cell.get_or_init(|| self.shown(lens, encoded));
        frames.extend(shown.frames.iter().cloned());
        shown.last_is_told
    }

    fn shown(&self, lens: &Lens, encoded: &Encoded) -> Shown {
        let wanted: Vec<bool> = match lens.filter.is_empty() {
            true => vec![true; encoded.ends.len()],
            false => self.wanted(&lens.filter),
        };
        let last_is_told = wanted.last().is_some_and(|wanted| *wanted);
        let mut selected = encoded.selected(&wanted);
        if let Some(compression) = lens.compression {
            selected.iter_mut().for_each(|frame| *frame = compression.of(frame));
        }
        Shown { frames: selected.into(), last_is_told }
    }

    fn wanted(&self, filter: &Filter) -> Vec<bool> {
        let mut wanted: Vec<_> =
            self.summaries().iter().map(|event| filter.accepts(event)).collect();
        let Some(expression) = filter.expression() else { return wanted };
        for (wanted, bytes) in wanted.iter_mut().zip(self.stored.events()) {
            *wanted = *wanted && decode(bytes).is_some_and(|event| expression.is_true_of(&event));
        }
        wanted
    }

    fn decoded(&self) -> impl Iterator<Item = Option<proto::Event>> {
        self.stored.events().map(decode)
    }

    fn rendered(&self, render: impl Fn(proto::Event) -> Option<proto::Event>) -> Encoded {
        let mut writer = Writer::with_capacity(self.stored.frame.message_len());
        for (stored, event) in self.stored.events().zip(self.decoded()) {
            let shown = event
                .and_then(&render)
                .map(|event| proto::SubscribeResponse { events: vec![event], control: None });
            // A message for every value in it can be many times as large as the text. Where a
            // client could not take it, it is shown as it is stored.
            match shown.filter(|shown| shown.encoded_len() <= FRAME_BYTES_MAX) {
                Some(shown) => shown.encode(writer.frame.out()).expect("a BytesMut grows"),
                None => writer.frame.out().extend_from_slice(&stored),
            }
            writer.ends.push(writer.frame.message_len());
        }
        Encoded::new(writer.frame.finish(), writer.ends)
    }
}

/// What can be read as JSON without missing anything: JSON in `json`, a message of a registered type in
/// `proto`.
fn as_json(mut event: proto::Event, schemas: &Schemas) -> Option<proto::Event> {
    let is_message = is_protobuf(&event.data_content_type);
    match event.payload.take() {
        Some(Payload::Data(bytes)) if is_message => {
            if !enforce::is_exact(schemas, &event.r#type, &bytes) {
                return None;
            }
            event.payload = Some(Payload::Proto(to_any(&event.r#type, bytes.into())));
            Some(event)
        }
        payload => view::json(proto::Event { payload, ..event }),
    }
}

impl Writer {
    fn with_capacity(events: usize) -> Writer {
        // Positions and times come to what the publisher said.
        Writer { frame: FrameWriter::with_capacity(events + events / 4 + 64), ends: Vec::new() }
    }

    fn finish(self, reached: Option<Position>) -> Events {
        Events::new(reached, Encoded::new(self.frame.finish(), self.ends))
    }
}

impl Encoded {
    fn new(frame: Frame, ends: Vec<usize>) -> Encoded {
        Encoded { frame, ends, compressed: OnceLock::new() }
    }

    /// All of it. Compressed by whoever needs it first; who needs it meanwhile waits.
    fn shown(&self, compression: Option<Compression>) -> Frame {
        let Some(compression) = compression else { return self.frame.clone() };
        let compressed = self.compressed.get_or_init(Box::default);
        let form = match compression {
            Compression::Gzip => &compressed.gzip,
            Compression::Zstd => &compressed.zstd,
        };
        form.get_or_init(|| compression.of(&self.frame)).clone()
    }

    fn is_small(&self) -> bool {
        self.frame.message_len() <= FRAME_BYTES_MAX || self.ends.len() == 1
    }

    fn events(&self) -> impl Iterator<Item = Bytes> {
        let message = self.frame.message();
        let begins = std::iter::once(&0).chain(&self.ends);
        begins.zip(&self.ends).map(move |(begin, end)| message.slice(begin..end))
    }

    /// The wanted events, in as few frames as may be.
    fn selected(&self, wanted: &[bool]) -> Vec<Frame> {
        if self.is_small() && wanted.iter().all(|wanted| *wanted) {
            return vec![self.frame.clone()];
        }
        let mut frames = Vec::new();
        let mut writer = FrameWriter::with_capacity(0);
        for (event, _) in self.events().zip(wanted).filter(|(_, wanted)| **wanted) {
            if writer.message_len() > 0 && writer.message_len() + event.len() > FRAME_BYTES_MAX {
                let full = std::mem::replace(&mut writer, FrameWriter::with_capacity(event.len()));
                frames.push(full.finish());
            }
            writer.out().extend_from_slice(&event);
        }
        if writer.message_len() > 0 {
            frames.push(writer.finish());
        }
        frames
    }
}

/// One event, in the message that frames are made of.
fn decode(bytes: Bytes) -> Option<proto::Event> {
    proto::SubscribeResponse::decode(bytes).ok()?.events.pop()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(first: u64, sizes: &[usize]) -> Batch {
        let event = |size: &usize| {
            let data = proto::event::Payload::Data(vec![0; *size].into());
            proto::Event { key: size.to_string(), payload: Some(data), ..Default::default() }
        };
        let events = sizes.iter().map(|size| event(size).encode_to_vec().into()).collect();
        Batch { epoch: 7, first, publish_time_us: 1, events }
    }

    fn topic() -> Topic {
        "orders".parse().expect("a topic")
    }

    fn lens(keys: &[&str], view: View) -> Arc<Lens> {
        let keys = keys.iter().map(ToString::to_string).collect();
        let filter = proto::Filter { keys, ..Default::default() };
        let filter = Filter::try_from(filter).expect("a filter");
        Arc::new(Lens { filter, view, compression: None })
    }

    fn sequences(frame: &Frame) -> Vec<u64> {
        let frame = frame.decode().expect("a frame");
        frame.events.into_iter().map(|e| e.position.expect("a position").sequence).collect()
    }

    fn shown(events: &Events, lens: &Arc<Lens>) -> (VecDeque<Frame>, bool) {
        let mut frames = VecDeque::new();
        let last_is_told = events.show(lens, &Registry::default(), &mut frames);
        (frames, last_is_told)
    }

    #[test]
    fn what_takes_long_to_show_does_so_until_it_was_made() {
        let cel = proto::Filter { cel: "event.key != ''".into(), ..Default::default() };
        let filter = Filter::try_from(cel).expect("a filter");
        let asks = Arc::new(Lens { filter, view: View::AsStored, compression: None });
        let as_json = lens(&[], View::Json);
        let one = |sizes: &[usize]| Events::of(&topic(), &[batch(1, sizes)]).remove(0);
        for (lens, small, large) in
            [(&asks, one(&[10]), one(&[10; 50])), (&as_json, one(&[1000]), one(&[100 << 10]))]
        {
            assert!(!small.takes_long(lens), "{lens:?}");
            assert!(large.takes_long(lens), "{lens:?}");
            shown(&large, lens);
            assert!(!large.takes_long(lens), "{lens:?}");
        }
        assert!(!one(&[100 << 10]).takes_long(&lens(&[], View::AsStored)));
    }

    #[test]
    fn a_large_batch_is_split_into_frames_that_a_client_can_take() {
        let items = Events::of(&topic(), &[batch(1, &[10, 600 << 10, 600 << 10, 10, 1 << 20])]);
        let reached: Vec<_> =
            items.iter().map(|e| e.reached().expect("a place").sequence).collect();
        assert_eq!(reached, [2, 4, 5]);
        let all = items.iter().flat_map(|e| shown(e, &lens(&[], View::AsStored)).0);
        assert_eq!(all.flat_map(|frame| sequences(&frame)).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_filter_shows_what_it_wants_and_says_whether_the_end_is_in_it() {
        let items = Events::of(&topic(), &[batch(1, &[1, 2]), batch(3, &[3, 4, 5])]);
        assert_eq!(items.len(), 1);
        let see = |keys: &[&str], view| {
            let (frames, last_is_told) = shown(&items[0], &lens(keys, view));
            (frames.iter().flat_map(sequences).collect::<Vec<_>>(), last_is_told)
        };
        assert_eq!(see(&["1", "2", "4", "5"], View::AsStored), (vec![1, 2, 4, 5], true));
        assert_eq!(see(&["5"], View::Metadata), (vec![5], true));
        assert_eq!(see(&["2"], View::Json), (vec![2], false));
        assert_eq!(see(&["6"], View::Json), (vec![], false));
    }

    #[test]
    fn what_a_lens_shows_is_made_once_for_all_who_look_through_it() {
        let items = Events::of(&topic(), &[batch(1, &[1, 2, 3])]);
        for view in [View::AsStored, View::Json, View::Metadata] {
            for keys in [&["2"][..], &[]] {
                let lens = lens(keys, view);
                let bytes = || shown(&items[0], &lens).0.pop_front().expect("one").into_bytes();
                assert_eq!(bytes().as_ptr(), bytes().as_ptr(), "{keys:?} {view:?}");
            }
        }
    }

    #[test]
    fn an_expression_is_asked_once_for_all_who_filter_alike() {
        let items = Events::of(&topic(), &[batch(1, &[1, 2, 3])]);
        let cel = "event.key in ['2', '3'] && event.publish_time.getFullYear() == 1970".to_owned();
        let filter = proto::Filter { cel, types: vec![], keys: vec!["1".into(), "2".into()] };
        let filter = Filter::try_from(filter).expect("a filter");
        let lens = Arc::new(Lens { filter, ..Lens::default() });
        let (frames, last_is_told) = shown(&items[0], &lens);
        assert_eq!(frames.iter().flat_map(sequences).collect::<Vec<_>>(), [2]);
        assert!(!last_is_told);
        let again = shown(&items[0], &lens).0.pop_front().expect("one");
        assert_eq!(again.into_bytes().as_ptr(), frames[0].clone().into_bytes().as_ptr());
    }

    #[test]
    fn a_flood_of_lenses_does_not_fill_the_memory() {
        let items = Events::of(&topic(), &[batch(1, &[1, 2, 3])]);
        for _ in 0..10 * LENSES_KEPT_MAX {
            shown(&items[0], &lens(&["2"], View::AsStored));
        }
        assert_eq!(items[0].derived().shown.lock().len(), LENSES_KEPT_MAX);
    }

    #[test]
    fn a_part_of_an_item_shows_what_lies_between_two_places() {
        let whole = Item::of(&topic(), vec![Told::Batch(batch(11, &[1, 2, 300, 4]))]);
        let whole = Arc::new(whole.into_iter().next().expect("an item"));
        for after in 9..=15 {
            for until in after..=16 {
                let expected: Vec<_> =
                    (11..=14).filter(|s| (after + 1..=until).contains(s)).collect();
                let part = whole.within(after, until);
                let Some(part) = part else {
                    assert!(expected.is_empty(), "nothing of {after}..={until}");
                    continue;
                };
                let Item::Events(events) = &*part else { panic!("no events") };
                let (frames, _) = shown(events, &lens(&[], View::AsStored));
                assert_eq!(frames.iter().flat_map(sequences).collect::<Vec<_>>(), expected);
                assert_eq!(events.before(), Some(Position::new(7, expected[0] - 1)));
                assert_eq!(events.reached(), expected.last().map(|last| Position::new(7, *last)));
                assert_eq!(Arc::ptr_eq(&part, &whole), expected.len() == 4, "copied in vain");
            }
        }
    }

    #[test]
    fn items_that_are_merged_show_what_they_showed_apart() {
        let batches = [batch(1, &[1, 2]), batch(3, &[1])];
        let apart: Vec<_> = batches
            .iter()
            .flat_map(|batch| Item::of(&topic(), vec![Told::Batch(batch.clone())]))
            .map(Arc::new)
            .collect();
        let merged = Item::merged(apart.iter());
        assert_eq!(merged.bytes(), apart.iter().map(|item| item.bytes()).sum::<usize>());
        let Item::Events(merged) = &*merged else { panic!("no events") };
        assert_eq!(merged.reached(), Some(Position::new(7, 3)));
        let (frames, last_is_told) = shown(merged, &lens(&["1"], View::AsStored));
        assert_eq!(frames.iter().flat_map(sequences).collect::<Vec<_>>(), [1, 3]);
        assert!(last_is_told);
    }
}
