//! The broker as clients meet it: over TCP.

use std::{num::NonZeroUsize, time::Duration};

use prost::Message;
use prost_types::FileDescriptorSet;
use tidings::{
    grpc::{
        Serving,
        client::{AdminClient, BrokerClient},
    },
    proto::{self, subscribe_response::Control},
};
use tokio::time::Instant;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

use crate::support::{
    eventually,
    in_process::{event, in_memory, publish_each, request},
    process::PATIENCE,
    raw::{Answer, Raw},
    served::{Served, reason},
};

async fn control(stream: &mut tonic::Streaming<proto::SubscribeResponse>) -> Control {
    stream.message().await.expect("no error").expect("a frame").control.expect("a control")
}

#[tokio::test]
async fn an_event_goes_from_one_client_to_another() {
    let served = Served::start(in_memory(), Duration::ZERO).await;
    let mut client = BrokerClient::new(served.channel().await);
    let mut stream = client.subscribe(request(&["orders"])).await.expect("opened").into_inner();
    assert!(matches!(control(&mut stream).await, Control::Opened(_)));
    let events = vec![event(1), event(2)];
    let publish = proto::PublishRequest { topic: "orders".into(), events, ..Default::default() };
    let published = client.publish(publish).await.expect("published").into_inner();
    let told = stream.message().await.expect("no error").expect("a frame").events;
    let receipts = published.receipts.into_iter().map(|receipt| receipt.position);
    assert!(told.iter().map(|event| event.position.clone()).eq(receipts));
    assert_eq!(told[1].source, "/anonymous");
}

#[tokio::test]
async fn errors_have_a_reason_and_name_the_field() {
    let served = Served::start(in_memory(), Duration::ZERO).await;
    let mut client = BrokerClient::new(served.channel().await);
    let bad = proto::Event { key: "\0".into(), ..Default::default() };
    let request = proto::PublishRequest {
        topic: "orders".into(),
        events: vec![event(1), bad],
        ..Default::default()
    };
    let status = client.publish(request).await.expect_err("refused");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "EVENT_INVALID"));
    let details = status.get_error_details();
    let violations = &details.bad_request().expect("fields").field_violations;
    assert_eq!(violations[0].field, "events[1].key");

    let status =
        client.subscribe(crate::support::in_process::request(&["a b"])).await.expect_err("refused");
    assert_eq!(reason(&status), "PATTERN_INVALID");
    let mut admin = AdminClient::new(served.channel().await);
    let info = admin.get_server_info(proto::GetServerInfoRequest {}).await.expect("info");
    assert_eq!(
        (info.get_ref().backend.as_str(), info.get_ref().broker_id.as_str()),
        ("memory", "b1")
    );
}

/// Of everything that the API has.
const BUILT: [&str; 13] = [
    "Admin.CreateTopic",
    "Admin.DeleteTopic",
    "Admin.GetServerInfo",
    "Admin.GetTopic",
    "Admin.ListTopics",
    "Admin.UpdateTopic",
    "Broker.Publish",
    "Broker.PublishStream",
    "Broker.Subscribe",
    "Schemas.DeleteSchema",
    "Schemas.GetSchema",
    "Schemas.ListSchemas",
    "Schemas.RegisterSchema",
];

/// What a status says is off.
fn feature_off(status: &Status) -> String {
    assert_eq!((status.code(), reason(status).as_str()), (Code::Unimplemented, "FEATURE_OFF"));
    let details = status.get_error_details();
    let metadata = &details.error_info().expect("a reason").metadata;
    assert_eq!(metadata.len(), 1, "{metadata:?}");
    metadata["feature"].clone()
}

#[tokio::test]
async fn whatever_of_the_api_is_not_built_says_so() {
    let served = Served::start(in_memory(), Duration::ZERO).await;
    let files = FileDescriptorSet::decode(proto::DESCRIPTORS).expect("descriptors").file;
    let ours = files.iter().filter(|file| file.package() == "tidings.v1");
    let mut built = Vec::new();
    for service in ours.flat_map(|file| &file.service) {
        for method in &service.method {
            let feature = format!("{}.{}", service.name(), method.name());
            let path = format!("/tidings.v1.{}/{}", service.name(), method.name());
            // A refusal of a method that streams to us may leave the connection unfinished.
            match Raw::connect(served.address).await.call(&path, &[]).await {
                Answer::Ended { status, .. } if status.code() == Code::Unimplemented => {
                    assert_eq!(feature_off(&status), feature);
                }
                _ => built.push(feature),
            }
        }
    }
    built.sort_unstable();
    assert_eq!(built, BUILT);
}

#[tokio::test]
async fn a_deadline_ends_a_stream() {
    let served = Served::start(in_memory(), Duration::ZERO).await;
    let mut client = BrokerClient::new(served.channel().await);
    let mut request = Request::new(request(&["orders"]));
    request.set_timeout(Duration::from_millis(200));
    let mut stream = client.subscribe(request).await.expect("opened").into_inner();
    assert!(matches!(control(&mut stream).await, Control::Opened(_)));
    let status = stream.message().await.expect_err("the deadline");
    assert_eq!(status.code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn health_answers() {
    let served = Served::start(in_memory(), Duration::ZERO).await;
    let mut health = tonic_health::pb::health_client::HealthClient::new(served.channel().await);
    for service in ["", "tidings.v1.Broker"] {
        let asked = tonic_health::pb::HealthCheckRequest { service: service.into() };
        let answer = health.check(asked).await.expect("healthy").into_inner();
        assert_eq!(
            answer.status(),
            tonic_health::pb::health_check_response::ServingStatus::Serving
        );
    }
}

/// A module of this name has generated messages and a client: those of both versions are alike.
macro_rules! reflection_answers {
    ($served:expr, $version:ident) => {{
        use tonic_reflection::pb::$version::{
            ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
            server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
        };
        let mut reflection = ServerReflectionClient::new($served.channel().await);
        let mut ask = async |request: MessageRequest| {
            let message_request = Some(request);
            let asked = ServerReflectionRequest { host: String::new(), message_request };
            let answers = reflection.server_reflection_info(tokio_stream::once(asked)).await;
            let answer = answers.expect("answers").into_inner().message().await.expect("no error");
            answer.expect("an answer").message_response.expect("a response")
        };
        let list = ask(MessageRequest::ListServices(String::new())).await;
        let MessageResponse::ListServicesResponse(list) = list else { panic!("{list:?}") };
        let listed: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
        let version = concat!("grpc.reflection.", stringify!($version), ".ServerReflection");
        for service in ["tidings.v1.Broker", "tidings.v1.Admin", "grpc.health.v1.Health", version] {
            assert!(listed.iter().any(|name| name == service), "{service} is not in {listed:?}");
            let file = ask(MessageRequest::FileContainingSymbol(service.into())).await;
            let MessageResponse::FileDescriptorResponse(files) = file else {
                panic!("{service}: {file:?}")
            };
            assert!(!files.file_descriptor_proto.is_empty(), "{service}");
        }
    }};
}

#[tokio::test]
async fn reflection_answers_in_both_versions() {
    let served = Served::start(in_memory(), Duration::ZERO).await;
    reflection_answers!(served, v1);
    reflection_answers!(served, v1alpha);
}

#[tokio::test]
async fn stopping_says_goodbye_and_ends_even_with_a_client_that_never_reads() {
    let broker = in_memory();
    let served = Served::start(broker.clone(), Duration::from_millis(500)).await;
    let mut deaf = BrokerClient::new(served.channel().await);
    let unread = deaf.subscribe(request(&["orders"])).await.expect("opened");
    let data = proto::event::Payload::Data(vec![0; 512 << 10].into());
    for id in 0..8 {
        let event = proto::Event { payload: Some(data.clone()), ..event(id) };
        crate::support::in_process::publish(&broker, "orders", vec![event]).await.expect("stored");
    }
    let mut client = BrokerClient::new(served.channel().await);
    let mut stream = client.subscribe(request(&["other"])).await.expect("opened").into_inner();
    assert!(matches!(control(&mut stream).await, Control::Opened(_)));
    let asked_at = Instant::now();
    served.stop.send(()).expect("serving");
    assert!(matches!(control(&mut stream).await, Control::Heartbeat(_)));
    assert!(matches!(control(&mut stream).await, Control::GoAway(_)));
    publish_each(&broker, "other", 1..=1).await;
    let last = stream.message().await.expect("no error").expect("a frame");
    assert_eq!(last.events[0].id, "1");
    let status = stream.message().await.expect_err("the end");
    assert_eq!(reason(&status), "BROKER_DRAINING");
    served.done.await.expect("served to the end");
    assert!(asked_at.elapsed() < Duration::from_secs(8), "{:?}", asked_at.elapsed());
    drop(unread);
}

/// Three threads, and so many streams, each on a connection of its own.
async fn on_three_threads(
    streams: usize,
    grace: Duration,
) -> (tidings::broker::Broker, Served, Vec<tonic::Streaming<proto::SubscribeResponse>>) {
    let broker = in_memory();
    let serving = Serving { grace, threads: NonZeroUsize::new(3), ..Serving::default() };
    let served = Served::start_as(broker.clone(), serving).await;
    let mut opened = Vec::new();
    for _ in 0..streams {
        let mut client = BrokerClient::new(served.channel().await);
        let mut stream = client.subscribe(request(&["orders"])).await.expect("opened").into_inner();
        assert!(matches!(control(&mut stream).await, Control::Opened(_)));
        opened.push(stream);
    }
    (broker, served, opened)
}

#[tokio::test]
async fn streams_on_all_threads_hear_everything_in_one_order() {
    let (broker, _served, mut streams) = on_three_threads(7, Duration::ZERO).await;
    publish_each(&broker, "orders", 1..=200).await;
    for stream in &mut streams {
        let mut heard: Vec<u64> = Vec::new();
        while heard.len() < 200 {
            let frame = stream.message().await.expect("no error").expect("a frame");
            heard.extend(
                frame.events.into_iter().map(|event| event.id.parse::<u64>().expect("a number")),
            );
        }
        assert!(heard.into_iter().eq(1..=200_u64));
    }
}

#[tokio::test]
async fn streams_on_all_threads_are_told_that_the_server_stops_and_it_ends() {
    let (broker, served, mut streams) = on_three_threads(7, Duration::from_secs(60)).await;
    served.stop.send(()).expect("it serves");
    for mut stream in streams.drain(..) {
        while !matches!(control(&mut stream).await, Control::GoAway(_)) {}
    }
    served.done.await.expect("ended, long before the grace is over, as nobody is left");
    assert_eq!(broker.streams(), 0);
}

#[tokio::test]
async fn a_server_that_is_dropped_cuts_its_connections_on_all_threads() {
    let (broker, served, mut streams) = on_three_threads(7, Duration::ZERO).await;
    served.done.abort();
    for stream in &mut streams {
        while let Ok(frame) = stream.message().await {
            assert!(frame.is_some_and(|frame| frame.events.is_empty()), "nothing was published");
        }
    }
    eventually("no stream is left", PATIENCE, async || broker.streams() == 0).await;
}
