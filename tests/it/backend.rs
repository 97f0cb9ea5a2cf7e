//! The contract of a backend, run against each there is. Topics are named per test, so that one
//! store may serve all of them.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use prost::Message;
use tidings::{
    backend::{
        Append, Appended, Backend, BackendError, Batch, Durability, Entry, Feed, News, Retention,
        TopicSettings,
        memory::Memory,
        redis::{Redis, RedisConfig, Rules},
        registrations::{Key, Registered, Registration},
        replay::{Bound, Progress, Replay, Told},
    },
    event::{Defaults, Event, admit},
    position::{GapReason, Position, Start},
    proto,
    topic::Topic,
};

use crate::support::{
    eventually,
    in_process::topic,
    redis::{Persistence, RedisServer},
    settings::{durable, durable_with, keeping_events},
};

/// Opens a backend; a second call may meet what the first one stored.
type Opened = (Arc<dyn Backend>, Feed);

const PATIENCE: Duration = Duration::from_secs(10);

fn events(ids: impl IntoIterator<Item = u64>) -> Vec<Event> {
    let defaults =
        Defaults { source: "/test", event_type: None, now: std::time::SystemTime::UNIX_EPOCH };
    let event = |id: u64| proto::Event { id: id.to_string(), ..Default::default() };
    ids.into_iter().map(|id| admit(event(id), &defaults).expect("admitted")).collect()
}

fn settings() -> Arc<TopicSettings> {
    Arc::default()
}

async fn store(backend: &Arc<dyn Backend>, topic: &Topic, count: u64) -> Appended {
    backend.append(topic, &settings(), events(0..count).into()).await.expect("stored")
}

/// The next news of one topic.
async fn news_of(feed: &mut Feed, wanted: &Topic) -> News {
    let next = async {
        loop {
            let news = feed.recv().await.expect("the feed goes on");
            match &news {
                News::Attached { topic, .. }
                | News::Stored { topic, .. }
                | News::Lost { topic, .. }
                | News::Raw { topic, .. }
                | News::Appeared { topic, .. }
                    if topic == wanted =>
                {
                    return news;
                }
                News::Attached { .. }
                | News::Stored { .. }
                | News::Lost { .. }
                | News::Raw { .. }
                | News::Appeared { .. }
                | News::Clock { .. }
                | News::Down { .. }
                | News::Up => (),
            }
        }
    };
    tokio::time::timeout(PATIENCE, next).await.expect("news within ten seconds")
}

async fn stored(feed: &mut Feed, topic: &Topic) -> Batch {
    match news_of(feed, topic).await {
        News::Stored { batch, .. } => batch,
        other => panic!("{other:?} instead of a batch"),
    }
}

async fn attached(feed: &mut Feed, topic: &Topic) -> Position {
    match news_of(feed, topic).await {
        News::Attached { at, .. } => at,
        other => panic!("{other:?} instead of the beginning of the chain"),
    }
}

/// Everything from `at` to the present.
async fn history(backend: &Arc<dyn Backend>, topic: &Topic, at: Position) -> Vec<Told> {
    let mut replay = Replay::new(at, Bound::Present { heard: None }, GapReason::Retention);
    let mut told = Vec::new();
    loop {
        let page = backend.read(topic, replay.at()).await.expect("a page");
        match replay.take(page, &mut told) {
            Progress::More => (),
            Progress::Done => return told,
            Progress::RolledBack => panic!("{topic} went back in time"),
        }
    }
}

pub async fn sequences_rise_by_one_within_an_epoch(make: impl AsyncFn() -> Opened) {
    let (backend, _feed) = make().await;
    let orders = topic("contract.sequences");
    let first = store(&backend, &orders, 3).await;
    let second = store(&backend, &orders, 2).await;
    assert!(first.first.epoch > 0);
    assert_eq!(first.first.sequence, 1);
    assert_eq!(second.first, Position::new(first.first.epoch, 4));
    assert!(second.publish_time_us >= first.publish_time_us);
}

pub async fn the_feed_is_a_chain_from_where_it_was_attached(make: impl AsyncFn() -> Opened) {
    let (backend, mut feed) = make().await;
    let orders = topic("contract.chain");
    let before = store(&backend, &orders, 2).await;
    let attachment = backend.attach(&orders, &settings()).await.expect("attached");
    let mut at = attached(&mut feed, &orders).await;
    assert_eq!(at, Position::new(before.first.epoch, 2));
    for count in 1..=20 {
        let appended = store(&backend, &orders, count).await;
        // Batches of several publishes may be told together, but never out of line.
        while !at.has_reached(appended.first) {
            let batch = stored(&mut feed, &orders).await;
            assert_eq!(batch.before(), at);
            at = batch.last();
        }
    }
    drop(attachment);
}

pub async fn a_topic_that_is_born_while_attached_begins_without_a_gap(
    make: impl AsyncFn() -> Opened,
) {
    let (backend, mut feed) = make().await;
    let orders = topic("contract.born");
    let _attachment = backend.attach(&orders, &settings()).await.expect("attached");
    assert_eq!(attached(&mut feed, &orders).await, Position::BEGINNING);
    let page = backend.read(&orders, Position::BEGINNING).await.expect("a page");
    assert_eq!(page.last, None, "attaching created the topic");
    let appended = store(&backend, &orders, 1).await;
    let batch = stored(&mut feed, &orders).await;
    assert_eq!((batch.epoch, batch.first), (appended.first.epoch, 1));
}

pub async fn concurrent_publishes_are_stored_whole_and_told_in_order(
    make: impl AsyncFn() -> Opened,
) {
    let (backend, mut feed) = make().await;
    let orders = topic("contract.concurrent");
    let _attachment = backend.attach(&orders, &settings()).await.expect("attached");
    let mut at = attached(&mut feed, &orders).await;
    let publishers: Vec<_> = (0..20)
        .map(|_| {
            let (backend, orders) = (backend.clone(), orders.clone());
            tokio::spawn(async move { store(&backend, &orders, 7).await })
        })
        .collect();
    let mut firsts = Vec::new();
    for publisher in publishers {
        firsts.push(publisher.await.expect("stored").first.sequence);
    }
    firsts.sort_unstable();
    assert_eq!(firsts, (0..20).map(|n| n * 7 + 1).collect::<Vec<_>>());
    while at.sequence < 140 {
        let batch = stored(&mut feed, &orders).await;
        assert!(batch.before() == at || at.is_beginning());
        at = batch.last();
    }
}

/// Polled first by hand: in what order a scheduler does it is its own affair.
pub async fn calls_are_stored_in_the_order_in_which_they_were_polled_first(
    make: impl AsyncFn() -> Opened,
) {
    const CALLS: u64 = 2000;
    let (backend, mut feed) = make().await;
    let orders = topic("contract.in_order");
    let (settings, topic) = (settings(), &orders);
    let _attachment = backend.attach(topic, &settings).await.expect("attached");
    attached(&mut feed, topic).await;
    // More than the feed has room for: they have to wait for each other.
    let mut waiting = Vec::new();
    for id in 0..CALLS {
        let mut call = backend.append(topic, &settings, events([id]).into());
        match (&mut call).now_or_never() {
            Some(stored) => drop(stored.expect("stored")),
            None => waiting.push(call),
        }
    }
    assert!(!waiting.is_empty(), "none had to wait");
    // And the last one is asked first.
    let waiting: FuturesUnordered<_> = waiting.into_iter().rev().collect();
    let storing = waiting.for_each(async |stored| assert!(stored.is_ok(), "{stored:?}"));
    let hearing = async {
        let mut next = 0;
        while next < CALLS {
            for event in stored(&mut feed, topic).await.events {
                let event = proto::Event::decode(event).expect("an event");
                assert_eq!(event.id, next.to_string());
                next += 1;
            }
        }
    };
    tokio::join!(storing, hearing);
}

pub async fn history_is_what_was_stored(make: impl AsyncFn() -> Opened) {
    let (backend, _feed) = make().await;
    let orders = topic("contract.history");
    let mut first = None;
    for number in 0..200 {
        let batch = backend.append(&orders, &settings(), events([number, number]).into()).await;
        first.get_or_insert(batch.expect("stored").first);
    }
    let epoch = first.expect("stored").epoch;
    let told = history(&backend, &orders, Position::new(epoch, 101)).await;
    let mut at = 101;
    for told in told {
        let Told::Batch(batch) = told else { panic!("{told:?} where nothing is lost") };
        assert_eq!((batch.epoch, batch.first), (epoch, at + 1));
        at = batch.last().sequence;
    }
    assert_eq!(at, 400);
    let page = backend.read(&orders, Position::new(epoch, 400)).await.expect("a page");
    assert_eq!((page.last, page.complete), (Some(Position::new(epoch, 400)), true));
    assert!(history(&backend, &orders, Position::new(epoch, 400)).await.is_empty());
    let none = backend.read(&topic("contract.none"), Position::BEGINNING).await.expect("a page");
    assert!(none.last.is_none() && none.entries.is_empty() && none.complete);
}

pub async fn the_beginning_is_another_history(make: impl AsyncFn() -> Opened) {
    let (backend, _feed) = make().await;
    let orders = topic("contract.beginning");
    let epoch = store(&backend, &orders, 3).await.first.epoch;
    for at in [Position::BEGINNING, Position::new(1, 7), Position::new(u64::MAX, 1)] {
        let told = history(&backend, &orders, at).await;
        let [Told::Gap(gap), Told::Batch(batch)] = &told[..] else { panic!("{told:?}") };
        assert_eq!((gap.after, gap.until, gap.missed), (at, Position::new(epoch, 0), None));
        assert_eq!((batch.first, batch.events.len()), (1, 3));
    }
}

pub async fn what_is_trimmed_is_a_gap_with_its_size(make: impl AsyncFn() -> Opened) {
    let (backend, _feed) = make().await;
    let orders = topic("contract.trimmed");
    let few = Arc::new(keeping_events(10));
    let mut epoch = 0;
    for number in 0..1000 {
        let appended =
            backend.append(&orders, &few, events([number]).into()).await.expect("stored");
        epoch = appended.first.epoch;
    }
    let told = history(&backend, &orders, Position::new(epoch, 1)).await;
    let Told::Gap(gap) = &told[0] else { panic!("{:?} is kept", told[0]) };
    let first = backend.seek(&orders, Start::Earliest).await.expect("a place");
    assert_eq!((gap.until, gap.missed), (first, Some(first.sequence - 1)));
    assert!(first.sequence <= 990, "fewer are kept than were asked for");
    assert!(told[1..].iter().all(|told| matches!(told, Told::Batch(_))));
}

pub async fn a_durable_topic_keeps_what_its_retention_says(make: impl AsyncFn() -> Opened) {
    let (backend, _feed) = make().await;
    let all = topic("contract.durable");
    let everything = Arc::new(durable());
    let mut epoch = 0;
    for number in 0..30 {
        let ids = 100 * number..100 * (number + 1);
        let appended = backend.append(&all, &everything, events(ids).into()).await.expect("stored");
        assert_eq!(appended.durability, Durability::Memory);
        epoch = appended.first.epoch;
    }
    // A broker that was told nothing of it takes nothing away.
    let appended = store(&backend, &all, 1).await;
    assert_eq!((appended.durability, appended.first.sequence), (Durability::Memory, 3001));
    let told = history(&backend, &all, Position::new(epoch, 0)).await;
    let kept = |told: &Told| match told {
        Told::Batch(batch) => batch.events.len(),
        Told::Gap(gap) => panic!("{gap:?}"),
    };
    assert_eq!(told.iter().map(kept).sum::<usize>(), 3001);

    let few = topic("contract.durable.few");
    let limit = Retention { max_events: Some(100), max_bytes: None, max_age: None };
    let few_settings = Arc::new(durable_with(limit));
    for number in 0..1000 {
        backend.append(&few, &few_settings, events([number]).into()).await.expect("stored");
    }
    let first = backend.seek(&few, Start::Earliest).await.expect("a place");
    assert!((600..=900).contains(&first.sequence), "kept from {first} on");
}

pub async fn a_durable_topic_drops_what_is_too_old_or_too_much(make: impl AsyncFn() -> Opened) {
    let (backend, mut feed) = make().await;
    let (aged, sized) = (topic("contract.durable.aged"), topic("contract.durable.sized"));
    let none = Retention { max_events: None, max_bytes: None, max_age: None };
    let age = durable_with(Retention { max_age: Some(Duration::from_secs(1)), ..none });
    let one = events([0])[0].encoded().len() as u64;
    let bytes = durable_with(Retention { max_bytes: Some(100 * one), ..none });
    let (age, bytes) = (Arc::new(age), Arc::new(bytes));
    for _ in 0..10 {
        let ids = || events(std::iter::repeat_n(0, 500));
        backend.append(&aged, &age, ids().into()).await.expect("stored");
        backend.append(&sized, &bytes, ids().into()).await.expect("stored");
    }
    tokio::spawn(async move { while feed.recv().await.is_some() {} });
    let first = async |topic| backend.seek(topic, Start::Earliest).await.expect("a place").sequence;
    // On Redis the bytes of an event are those of a field.
    for (topic, expected) in [(&aged, 5000..=5000), (&sized, 4900..=4910)] {
        let trimmed = async || expected.contains(&first(topic).await);
        eventually("trimmed", PATIENCE, trimmed).await;
    }
    // What came while it was trimmed has its place behind what was dropped.
    let appended = backend.append(&aged, &age, events([1]).into()).await.expect("stored");
    let told = history(&backend, &aged, Position::new(appended.first.epoch, 0)).await;
    let [Told::Gap(gap), Told::Batch(batch)] = &told[..] else { panic!("{told:?}") };
    assert_eq!((gap.missed, gap.reason), (Some(5000), GapReason::Retention));
    assert_eq!(batch.first, 5001);
}

pub async fn a_live_topic_becomes_durable_without_losing_its_place(make: impl AsyncFn() -> Opened) {
    let (backend, mut feed) = make().await;
    let orders = topic("contract.converted");
    let before = store(&backend, &orders, 3).await;
    let _attachment = backend.attach(&orders, &settings()).await.expect("attached");
    attached(&mut feed, &orders).await;
    let kept = Arc::new(durable());
    let after = backend.append(&orders, &kept, events(3..5).into()).await.expect("stored");
    assert_eq!(after.first, Position::new(before.first.epoch, 4));
    assert_eq!((before.durability, after.durability), (Durability::Live, Durability::Memory));
    assert_eq!(stored(&mut feed, &orders).await.before().sequence, 3);
    let told = history(&backend, &orders, Position::new(before.first.epoch, 0)).await;
    assert!(told.iter().all(|told| matches!(told, Told::Batch(_))), "{told:?}");
    let last = backend.read(&orders, Position::new(before.first.epoch, 2)).await.expect("a page");
    assert_eq!(last.last.map(|last| last.sequence), Some(5));
}

pub async fn places_are_found_without_a_gap(make: impl AsyncFn() -> Opened) {
    let (backend, _feed) = make().await;
    let orders = topic("contract.seek");
    for start in [Start::Now, Start::Earliest, Start::Last(3), Start::Time(0)] {
        let place = backend.seek(&orders, start).await.expect("a place");
        assert_eq!(place, Position::BEGINNING);
    }
    let early = store(&backend, &orders, 2).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let late = store(&backend, &orders, 2).await;
    assert!(late.publish_time_us > early.publish_time_us);
    for (start, expected) in [
        (Start::Now, 4),
        (Start::Earliest, 0),
        (Start::Last(0), 4),
        (Start::Last(2), 2),
        (Start::Last(100), 0),
        (Start::Time(late.publish_time_us), 2),
        (Start::Time(early.publish_time_us), 0),
        (Start::Time(late.publish_time_us + 60_000_000), 4),
        (Start::Ago(Duration::from_secs(3600)), 0),
        (Start::Ago(Duration::ZERO), 4),
    ] {
        let place = backend.seek(&orders, start).await.expect("a place");
        assert_eq!(place, Position::new(late.first.epoch, expected), "{start:?}");
    }
}

pub async fn topics_that_appear_are_told_to_who_watches(make: impl AsyncFn() -> Opened) {
    let (backend, mut feed) = make().await;
    let (old, new) = (topic("contract.old"), topic("contract.new"));
    store(&backend, &old, 1).await;
    assert!(backend.watch_topics().await.expect("topics").contains(&old));
    let born = store(&backend, &new, 1).await;
    match news_of(&mut feed, &new).await {
        News::Appeared { epoch, .. } => assert_eq!(epoch, born.first.epoch),
        other => panic!("{other:?} instead of its birth"),
    }
    assert!(backend.watch_topics().await.expect("topics").contains(&new));
}

pub async fn after_a_check_the_feed_has_what_was_stored(make: impl AsyncFn() -> Opened) {
    let (backend, mut feed) = make().await;
    let orders = topic("contract.check");
    let _attachment = backend.attach(&orders, &settings()).await.expect("attached");
    attached(&mut feed, &orders).await;
    let appended = store(&backend, &orders, 3).await;
    backend.check(&orders).await.expect("checked");
    let mut last = Position::BEGINNING;
    while let Ok(news) = feed.try_recv() {
        if let News::Stored { topic, batch } = news
            && topic == orders
        {
            last = batch.last();
        }
    }
    assert_eq!(last, Position::new(appended.first.epoch, 3));
}

pub async fn a_topic_that_nobody_holds_is_told_no_more_and_may_be_attached_again(
    make: impl AsyncFn() -> Opened,
) {
    let (backend, mut feed) = make().await;
    let orders = topic("contract.again");
    let attachment = backend.attach(&orders, &settings()).await.expect("attached");
    attached(&mut feed, &orders).await;
    store(&backend, &orders, 1).await;
    stored(&mut feed, &orders).await;
    drop(attachment);
    let last = store(&backend, &orders, 1).await;
    let _attachment = backend.attach(&orders, &settings()).await.expect("attached again");
    // What was stored in between is told before the new beginning, or after it.
    let (mut begun, mut told) = (false, Position::BEGINNING);
    while !(begun && told == last.first) {
        match news_of(&mut feed, &orders).await {
            News::Stored { batch, .. } => told = batch.last(),
            News::Attached { at, .. } => (begun, told) = (true, at),
            other => panic!("{other:?}"),
        }
    }
}

pub async fn the_time_is_told(make: impl AsyncFn() -> Opened) {
    let (backend, mut feed) = make().await;
    let appended = store(&backend, &topic("contract.time"), 1).await;
    let clock = async {
        loop {
            if let Some(News::Clock { time_us }) = feed.recv().await
                && time_us >= appended.publish_time_us
            {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, clock).await.expect("a clock that goes on");
}

pub async fn each_life_begins_with_its_fence(make: impl AsyncFn() -> Opened) {
    let (backend, _feed) = make().await;
    let orders = topic("contract.fence");
    let epoch = store(&backend, &orders, 1).await.first.epoch;
    let page = backend.read(&orders, Position::BEGINNING).await.expect("a page");
    assert_eq!(page.entries.first(), Some(&Entry::Fence { epoch, created: true }));
    let page = backend.read(&orders, Position::new(epoch, 0)).await.expect("a page");
    let batches = page.entries.iter().filter(|entry| matches!(entry, Entry::Batch(_)));
    assert_eq!(batches.count(), 1);
}

/// An event that is known by its id.
fn known(ids: impl IntoIterator<Item = u64>) -> Vec<Event> {
    let known = |mut event: Event| {
        let id = event.message().id;
        event.known_by("/somebody", &id);
        event
    };
    events(ids).into_iter().map(known).collect()
}

fn within(window: Duration, settings: TopicSettings) -> Arc<TopicSettings> {
    Arc::new(TopicSettings { dedupe_window: window, ..settings })
}

fn told_of(appended: &Appended, count: usize) -> Vec<(u64, bool)> {
    let positions = appended.positions().take(count);
    positions.map(|(position, before)| (position.sequence, before)).collect()
}

pub async fn an_event_that_comes_again_is_stored_once(make: impl AsyncFn() -> Opened) {
    let (backend, mut feed) = make().await;
    let minute = Duration::from_secs(60);
    for (name, kept) in
        [("contract.again.live", keeping_events(100)), ("contract.again", durable())]
    {
        let (orders, kept) = (topic(name), within(minute, kept));
        let _attachment = backend.attach(&orders, &kept).await.expect("attached");
        attached(&mut feed, &orders).await;
        let append = async |events: Vec<Event>| {
            let count = events.len();
            let appended = backend.append(&orders, &kept, events.into()).await.expect("stored");
            (told_of(&appended, count), appended.first)
        };
        let (told, first) = append(known([1, 2, 2, 3])).await;
        assert_eq!(told, [(1, false), (2, false), (2, true), (3, false)]);
        assert_eq!(append(known([3, 4])).await.0, [(3, true), (4, false)]);
        let (told, next) = append(known([2, 1])).await;
        assert_eq!((told, next.sequence), (vec![(2, true), (1, true)], 5));
        // Those that nobody knows by their ids come as often as they like, also beside others.
        let mixed = [events([1]), known([1]), events([1])].concat();
        assert_eq!(append(mixed).await.0, [(5, false), (1, true), (6, false)]);
        // An id is its publisher's.
        let mut other = events([1]);
        other[0].known_by("/somebody else", "1");
        assert_eq!(append(other).await.0, [(7, false)]);
        let (mut ids, mut at) = (Vec::new(), Position::new(first.epoch, 0));
        while at.sequence < 7 {
            let batch = stored(&mut feed, &orders).await;
            assert_eq!(batch.before(), at);
            at = batch.last();
            ids.extend(batch.events.iter().map(|event| event_id(event)));
        }
        assert_eq!(ids, ["1", "2", "3", "4", "1", "1", "1"]);
        let told = history(&backend, &orders, Position::new(first.epoch, 0)).await;
        let kept = |told: &Told| match told {
            Told::Batch(batch) => batch.events.len(),
            Told::Gap(gap) => panic!("{gap:?}"),
        };
        assert_eq!(told.iter().map(kept).sum::<usize>(), 7);
    }
}

fn event_id(event: &[u8]) -> String {
    proto::Event::decode(event).expect("an event").id
}

pub async fn an_event_is_known_for_a_window_and_not_for_ever(make: impl AsyncFn() -> Opened) {
    let (backend, _feed) = make().await;
    let window = Duration::from_millis(300);
    let (orders, kept) = (topic("contract.window"), within(window, durable()));
    let mut stored_at = std::time::Instant::now();
    let mut answered_at = stored_at;
    let mut stored = 0;
    let deadline = stored_at + PATIENCE;
    while stored < 4 {
        let asked_at = std::time::Instant::now();
        assert!(asked_at < deadline, "it is known for ever");
        let appended = backend.append(&orders, &kept, known([1]).into()).await.expect("an answer");
        if appended.repeated.is_empty() {
            // When it was stored the last time lies between the question and the answer.
            let since = stored_at.elapsed();
            assert!(stored == 0 || since >= window, "known for {since:?} only");
            stored += 1;
            stored_at = asked_at;
            answered_at = std::time::Instant::now();
        } else {
            let since = asked_at - answered_at;
            assert!(since <= 2 * window, "known for {since:?}");
            assert_eq!(appended.repeated[0].position.sequence, stored);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub async fn what_expects_a_topic_to_end_elsewhere_is_not_stored(make: impl AsyncFn() -> Opened) {
    let (backend, _feed) = make().await;
    for (name, kept) in [("contract.cas.live", keeping_events(100)), ("contract.cas", durable())] {
        let (orders, kept) = (topic(name), within(Duration::from_secs(60), kept));
        let append = async |events: Vec<Event>, expected: Position| {
            let append = Append { events, expected_last: Some(expected) };
            backend.append(&orders, &kept, append).await
        };
        let conflict = |expected: Position, actual: Position| {
            Err(BackendError::Conflict { topic: orders.clone(), expected, actual })
        };
        let nowhere = Position::new(5, 5);
        let refused = append(events([0]), nowhere).await;
        assert_eq!(refused, conflict(nowhere, Position::BEGINNING));
        let page = backend.read(&orders, Position::BEGINNING).await.expect("a page");
        assert_eq!(page.last, None, "a topic that began with nothing");

        let first = append(known([1]), Position::BEGINNING).await.expect("the first").first;
        assert_eq!(first.sequence, 1);
        for expected in [
            Position::BEGINNING,
            Position::new(first.epoch, 0),
            Position::new(first.epoch, 2),
            Position::new(first.epoch - 1, 1),
            Position::new(u64::MAX, u64::MAX),
        ] {
            assert_eq!(append(events([2]), expected).await, conflict(expected, first));
        }
        let second = append(known([2, 3]), first).await.expect("as expected");
        assert_eq!(second.first, Position::new(first.epoch, 2));
        // Sent again it is answered as it was, whatever came since.
        let again = append(known([2, 3]), first).await.expect("known");
        assert_eq!(told_of(&again, 2), [(2, true), (3, true)]);
        let partly = append(known([3, 4]), first).await;
        assert_eq!(partly, conflict(first, Position::new(first.epoch, 3)));
        let fourth = backend.append(&orders, &kept, known([4]).into()).await.expect("stored");
        assert_eq!(told_of(&fourth, 1), [(4, false)]);
    }
}

pub async fn of_many_that_expect_the_same_one_is_stored(make: impl AsyncFn() -> Opened) {
    let (backend, _feed) = make().await;
    let (orders, kept) = (topic("contract.race"), Arc::new(durable()));
    let mut last = Position::BEGINNING;
    for round in 0..20 {
        let calls = (0..8).map(|_| {
            let append = Append { events: events([round, round]), expected_last: Some(last) };
            backend.append(&orders, &kept, append)
        });
        let answers = futures_util::future::join_all(calls).await;
        let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
        let [Ok(won)] = &won[..] else { panic!("{won:?} won in round {round}") };
        let after = Position::new(won.first.epoch, won.first.sequence + 1);
        for lost in lost {
            let Err(BackendError::Conflict { expected, actual, .. }) = lost else {
                panic!("{lost:?}")
            };
            assert_eq!((expected, actual), (last, after));
        }
        last = after;
    }
    assert_eq!(last.sequence, 40);
}

/// Where a backend of the suite keeps its events, for as long as one test.
struct InMemory;

impl InMemory {
    async fn start() -> InMemory {
        InMemory
    }

    async fn open(&self) -> Opened {
        let (memory, feed) = Memory::open();
        (Arc::new(memory) as Arc<dyn Backend>, feed)
    }
}

struct OnRedis(RedisServer);

impl OnRedis {
    async fn start() -> OnRedis {
        OnRedis(RedisServer::start(Persistence::None).await)
    }

    async fn open(&self) -> Opened {
        let config = RedisConfig {
            url: self.0.url(),
            ca: None,
            broker_id: "contract".into(),
            channel_prefix: String::new(),
            allow_volatile: true,
            rules: Rules::default(),
        };
        let (redis, feed) = Redis::open(&config).await.expect("a usable redis");
        (Arc::new(redis) as Arc<dyn Backend>, feed)
    }
}

fn key(type_name: &str, version: u32) -> Key {
    Key { type_name: type_name.into(), version }
}

fn put(type_name: &str, version: u32, record: &'static [u8]) -> Registration {
    Registration::Put { key: key(type_name, version), record: record.into() }
}

/// What it holds, by name.
fn records(registered: &Registered) -> Vec<(String, &[u8])> {
    registered.records.iter().map(|(key, stored)| (key.to_string(), &stored.record[..])).collect()
}

pub async fn what_is_registered_is_changed_only_as_it_was_seen(make: impl AsyncFn() -> Opened) {
    let (backend, _feed) = make().await;
    let backend = backend.registrations();
    let nothing = backend.read_registered().await.expect("read");
    assert_eq!((nothing.revision, nothing.records.len()), (0, 0));
    // Bytes are the registry's alone to read.
    let first = backend.register(&nothing, put("a.A", 1, b"\0\xff one")).await.expect("stored");
    let first = first.expect("nothing came between");
    assert!(first.revision > 0);
    assert!(backend.register(&nothing, put("a.A", 1, b"other")).await.expect("asked").is_none());
    let second = backend.register(&first, put("a.A", 2, b"two")).await.expect("stored");
    let second = second.expect("nothing came between");
    let third = backend.register(&second, put("b.B", 1, b"b")).await.expect("stored");
    let third = third.expect("nothing came between");
    assert!(third.revision > second.revision && second.revision > first.revision);
    let all: Vec<(String, &[u8])> =
        vec![("a.A/1".into(), b"\0\xff one"), ("a.A/2".into(), b"two"), ("b.B/1".into(), b"b")];
    assert_eq!(records(&third), all);
    assert_eq!(backend.read_registered().await.expect("read"), third);
    assert_eq!(backend.registered().borrow().as_ref(), Some(&third));

    let delete = Registration::Delete { type_name: "a.A".into() };
    assert!(backend.register(&second, delete.clone()).await.expect("asked").is_none());
    let fourth = backend.register(&third, delete).await.expect("gone").expect("nothing between");
    assert_eq!(records(&fourth), [("b.B/1".to_owned(), &b"b"[..])]);
    let fifth = backend.register(&fourth, put("a.A", 1, b"new")).await.expect("stored");
    let fifth = fifth.expect("nothing came between");
    assert_ne!(fifth.records[&key("a.A", 1)].revision, third.records[&key("a.A", 1)].revision);
}

pub async fn of_many_that_register_at_once_each_has_its_turn(make: impl AsyncFn() -> Opened) {
    let (backend, _feed) = make().await;
    let registering: FuturesUnordered<_> = (1..=20)
        .map(|version| {
            let backend = backend.clone();
            async move {
                let backend = backend.registrations();
                loop {
                    let seen = backend.read_registered().await.expect("read");
                    let change = put("a.A", version, b"record");
                    if backend.register(&seen, change).await.expect("asked").is_some() {
                        return;
                    }
                }
            }
        })
        .collect();
    registering.collect::<()>().await;
    let all = backend.registrations().read_registered().await.expect("read");
    assert_eq!(all.records.len(), 20);
    let mut revisions: Vec<_> = all.records.values().map(|stored| stored.revision).collect();
    revisions.sort();
    revisions.dedup();
    assert_eq!(revisions.len(), 20, "each change has a revision of its own");
}

/// Runs every rule of the contract against each backend, each as a test of its own.
macro_rules! contract {
    ([$($rule:ident),* $(,)?]) => {
        contract!(memory, InMemory, [$($rule),*]);
        contract!(redis, OnRedis, [$($rule),*]);
    };
    ($backend:ident, $place:ident, [$($rule:ident),*]) => {
        mod $backend {
            use super::*;
            $(
                #[tokio::test]
                async fn $rule() {
                    let place = $place::start().await;
                    super::$rule(async || place.open().await).await;
                }
            )*
        }
    };
}

contract!([
    sequences_rise_by_one_within_an_epoch,
    the_feed_is_a_chain_from_where_it_was_attached,
    a_topic_that_is_born_while_attached_begins_without_a_gap,
    concurrent_publishes_are_stored_whole_and_told_in_order,
    calls_are_stored_in_the_order_in_which_they_were_polled_first,
    history_is_what_was_stored,
    the_beginning_is_another_history,
    what_is_trimmed_is_a_gap_with_its_size,
    a_durable_topic_keeps_what_its_retention_says,
    a_durable_topic_drops_what_is_too_old_or_too_much,
    a_live_topic_becomes_durable_without_losing_its_place,
    places_are_found_without_a_gap,
    topics_that_appear_are_told_to_who_watches,
    after_a_check_the_feed_has_what_was_stored,
    a_topic_that_nobody_holds_is_told_no_more_and_may_be_attached_again,
    the_time_is_told,
    each_life_begins_with_its_fence,
    an_event_that_comes_again_is_stored_once,
    an_event_is_known_for_a_window_and_not_for_ever,
    what_expects_a_topic_to_end_elsewhere_is_not_stored,
    of_many_that_expect_the_same_one_is_stored,
    what_is_registered_is_changed_only_as_it_was_seen,
    of_many_that_register_at_once_each_has_its_turn,
]);
