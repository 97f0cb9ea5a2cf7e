//! Streams of many topics: born while they are followed, announced, told in heartbeats, too many.

use std::{collections::BTreeMap, time::Duration};

use tidings::{
    broker::Broker,
    catalog::Catalog,
    proto::{self, subscribe_request::Start, subscribe_response::Control},
    subscription::SubscribeError,
};

use crate::support::{
    in_process::{Lines, event, in_memory, on_redis, publish, publish_each, request, subscribe},
    proxy::{Direction, FaultProxy, Mode, Which},
    redis::{Persistence, RedisServer},
};

const SECOND: Duration = Duration::from_secs(1);

fn with_heartbeats(request: proto::SubscribeRequest) -> proto::SubscribeRequest {
    let heartbeat_interval = Some(prost_types::Duration { seconds: 1, nanos: 0 });
    proto::SubscribeRequest { heartbeat_interval, ..request }
}

/// Lines that are no heartbeats, until there are so many.
async fn told(lines: &mut Lines, count: usize) -> Vec<String> {
    let mut told = Vec::new();
    while told.len() < count {
        let line = lines.next_within(20 * SECOND).await;
        let line = line.unwrap_or_else(|| panic!("only {} of {count}: {told:?}", told.len()));
        if !line.starts_with("heartbeat") {
            told.push(line);
        }
    }
    told
}

/// The lines of each topic, in their order.
fn by_topic(lines: Vec<String>) -> BTreeMap<String, Vec<String>> {
    let mut topics = BTreeMap::<String, Vec<String>>::new();
    for line in lines {
        let (topic, rest) = line.split_once(' ').expect("a topic and what was told of it");
        topics.entry(topic.to_owned()).or_default().push(rest.to_owned());
    }
    topics
}

#[tokio::test]
async fn topics_that_are_born_while_a_pattern_is_followed_are_told_from_their_first_event() {
    const TOPICS: usize = 300;
    let server = RedisServer::start(Persistence::None).await;
    let ours = on_redis(&server.url(), "a", Catalog::default()).await;
    let theirs = on_redis(&server.url(), "b", Catalog::default()).await;
    let mut lines = Lines::open(&ours, with_heartbeats(request(&["born.*"]))).await;
    let publishing = async {
        for n in 0..TOPICS {
            publish_each(&theirs, &format!("born.{n}"), 1..=2).await;
        }
        for n in 0..TOPICS {
            publish_each(&theirs, &format!("born.{n}"), 3..=3).await;
        }
    };
    let (lines, ()) = tokio::join!(told(&mut lines, 3 * TOPICS), publishing);
    let topics = by_topic(lines);
    assert_eq!(topics.len(), TOPICS);
    for (topic, told) in topics {
        assert_eq!(told, ["1", "2", "3"], "{topic}");
    }
}

#[tokio::test]
async fn topics_that_are_born_while_the_broker_is_cut_off_are_announced() {
    let server = RedisServer::start(Persistence::None).await;
    let proxy = FaultProxy::start(server.port()).await;
    let ours = on_redis(&proxy.url(), "a", Catalog::default()).await;
    let theirs = on_redis(&server.url(), "b", Catalog::default()).await;
    publish_each(&theirs, "born.before", 1..=1).await;
    let mut lines = Lines::open(&ours, with_heartbeats(request(&["born.*"]))).await;
    proxy.set(Which::All, Direction::Both, Mode::BlackHole);
    tokio::time::sleep(SECOND / 10).await;
    publish_each(&theirs, "born.before", 2..=2).await;
    publish_each(&theirs, "born.away", 1..=3).await;
    tokio::time::sleep(2 * SECOND).await;
    proxy.heal();
    let mut all = told(&mut lines, 5).await;
    all.sort();
    assert_eq!(
        all,
        [
            "born.away 1",
            "born.away 2",
            "born.away 3",
            "born.before 2",
            "gap born.away 0>0 missed ? REASON_EPOCH_CHANGED"
        ]
    );
}

#[tokio::test]
async fn who_comes_back_with_the_time_of_the_last_heartbeat_misses_no_topic_on_redis() {
    let server = RedisServer::start(Persistence::None).await;
    let first = on_redis(&server.url(), "a", Catalog::default()).await;
    let second = on_redis(&server.url(), "b", Catalog::default()).await;
    publish_each(&second, "born.before", 1..=1).await;
    let asked = with_heartbeats(request(&["born.*"]));
    let mut stream = subscribe(&first, asked.clone()).await.expect("a stream");
    let (mut time, mut positions) = (None, BTreeMap::new());
    let mut heartbeats = 0;
    while heartbeats < 3 {
        let frame = stream.next().await.expect("a frame").expect("no error");
        if let Some(Control::Heartbeat(heartbeat)) = frame.decode().expect("a frame").control {
            heartbeats += 1;
            time = heartbeat.time;
            positions.extend(heartbeat.positions.into_iter().map(|p| (p.topic.clone(), p)));
        }
    }
    // Born while it still listens, but never read; and while nobody does.
    publish_each(&second, "born.unread", 1..=2).await;
    drop(stream);
    publish_each(&second, "born.away", 1..=2).await;
    publish_each(&second, "born.before", 2..=2).await;
    let start = Some(Start::StartTime(time.expect("told by heartbeats")));
    let resume = positions.into_values().collect();
    let back = proto::SubscribeRequest { resume, start, ..asked };
    let mut lines = Lines::open(&second, back).await;
    let topics = by_topic(told(&mut lines, 5).await);
    assert_eq!(topics["born.unread"], ["1", "2"]);
    assert_eq!(topics["born.away"], ["1", "2"]);
    assert_eq!(topics["born.before"], ["2"]);
}

/// So many topics with an event each.
async fn many(broker: &Broker, topics: usize) {
    for n in 0..topics {
        publish_each(broker, &format!("many.{n}"), 1..=1).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_positions_of_many_topics_are_split_over_heartbeats() {
    let broker = in_memory();
    many(&broker, 2500).await;
    let mut stream = subscribe(&broker, request(&["many.*"])).await.expect("a stream");
    let (mut counts, mut times) = (Vec::new(), Vec::new());
    while counts.iter().sum::<usize>() < 2500 {
        let frame = stream.next().await.expect("a frame").expect("no error");
        if let Some(Control::Heartbeat(heartbeat)) = frame.decode().expect("a frame").control {
            counts.push(heartbeat.positions.len());
            times.push(heartbeat.time);
        }
    }
    assert_eq!(counts, [1000, 1000, 500]);
    assert!(times[..2].iter().all(|time| time == &times[0]), "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn topics_beyond_what_a_doorbell_lists_are_announced_and_followed() {
    let broker = in_memory();
    let mut lines = Lines::open(&broker, request(&["many.*"])).await;
    many(&broker, 1500).await;
    tokio::time::sleep(SECOND).await;
    let (mut events, mut gaps) = (Vec::new(), 0);
    while events.len() < 1500 {
        let line = lines.next().await;
        match line.split_once(' ').expect("words").0 {
            "gap" => gaps += 1,
            "heartbeat" => (),
            _ => events.push(line),
        }
    }
    events.sort();
    events.dedup();
    assert_eq!((events.len(), gaps), (1500, 1500 - tidings::limits::APPEARED_MAX));
    // What comes later is as if nothing had been.
    publish_each(&broker, "many.1400", 2..=2).await;
    publish_each(&broker, "many.new", 1..=1).await;
    let mut later = told(&mut lines, 2).await;
    later.sort();
    assert_eq!(later, ["many.1400 2", "many.new 1"]);
}

#[tokio::test(start_paused = true)]
async fn more_topics_than_one_stream_may_follow_are_refused_before_and_on_the_way() {
    use tidings::limits::SUBSCRIPTION_TOPICS_MAX;
    let broker = in_memory();
    many(&broker, SUBSCRIPTION_TOPICS_MAX).await;
    let mut stream = subscribe(&broker, request(&["many.*"])).await.expect("just not too many");
    publish_each(&broker, "many.more", 1..=1).await;
    let refused = subscribe(&broker, request(&["many.*"])).await.expect_err("one too many");
    let limit = SUBSCRIPTION_TOPICS_MAX;
    assert_eq!(refused, SubscribeError::TooManyTopics { limit });
    let error = loop {
        match stream.next().await {
            Some(Ok(_)) => (),
            Some(Err(error)) => break error,
            None => panic!("a stream that was not asked to end"),
        }
    };
    assert_eq!(error, SubscribeError::TooManyTopics { limit });
    let status = tidings::grpc::status::subscribe(error);
    assert_eq!(crate::support::client::reason(&status).as_deref(), Some("QUOTA_EXCEEDED"));
}

#[tokio::test(start_paused = true)]
async fn two_views_and_two_filters_of_one_topic_share_a_broker() {
    let broker = in_memory();
    let filter = proto::Filter { types: vec!["shop.*".into()], ..Default::default() };
    let view = |view: proto::View| proto::SubscribeRequest {
        view: view.into(),
        filter: Some(filter.clone()),
        ..request(&["orders"])
    };
    let mut streams = Vec::new();
    for shown in [proto::View::Unspecified, proto::View::Json, proto::View::Metadata] {
        streams.push(subscribe(&broker, view(shown)).await.expect("a stream"));
    }
    let typed = |id: u64, name: &str| proto::Event {
        r#type: name.into(),
        data_content_type: "application/json".into(),
        payload: Some(proto::event::Payload::Text(format!("{{\"n\":{id}}}"))),
        ..event(id)
    };
    let batch = vec![typed(1, "shop.a"), typed(2, "other"), typed(3, "shop.b")];
    publish(&broker, "orders", batch).await.expect("stored");
    let mut kinds = Vec::new();
    for stream in &mut streams {
        let mut ids = Vec::new();
        while ids.len() < 2 {
            let frame = stream.next().await.expect("a frame").expect("no error");
            for event in frame.decode().expect("a frame").events {
                ids.push(event.id);
                kinds.push(match event.payload {
                    Some(proto::event::Payload::Text(_)) => "text",
                    Some(proto::event::Payload::Json(_)) => "json",
                    Some(_) => "another",
                    None => "none",
                });
            }
        }
        assert_eq!(ids, ["1", "3"]);
    }
    assert_eq!(kinds, ["text", "text", "json", "json", "none", "none"]);
}
