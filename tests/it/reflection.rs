//! Reflection of what is registered, as clients meet it: the real grpcurl, and questions one by one.

use std::{process::Stdio, time::Duration};

use prost_types::Timestamp;
use tidings::{
    broker::Broker,
    schema::{Compiled, compatibility::Json, registry::Candidate},
};
use tokio::process::Command;
use tonic::Code;
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

use crate::support::{in_process::in_memory, process::grpcurl, served::Served};

const ORDER: &str = "syntax = \"proto3\"; package shop.v1; import \"money.proto\"; \
    import \"google/protobuf/timestamp.proto\"; \
    message OrderPlaced { string order = 1; Money total = 2; \
    google.protobuf.Timestamp at = 3; }";
const MONEY: &str = "syntax = \"proto3\"; package shop.v1; message Money { int64 cents = 1; }";
/// Of the same path, and something else.
const OTHER_MONEY: &str =
    "syntax = \"proto3\"; package shop.v1; message Money { string text = 9; }";
const REFUND: &str = "syntax = \"proto3\"; package shop.v1; import \"money.proto\"; \
    message Refund { Money total = 1; }";

fn register(broker: &Broker, type_name: &str, sources: &[(&str, &str)]) {
    let files = sources.iter().map(|(path, text)| (*path, text.as_bytes()));
    let candidate = Candidate {
        compiled: Compiled::from_sources(type_name, files).expect("a valid schema"),
        sources: Default::default(),
        compatibility: None,
        json: Json::Unused,
        force: false,
    };
    let now = Timestamp { seconds: 1_800_000_000, nanos: 0 };
    broker.registry().register(&candidate, now).expect("registered");
}

/// What it says, and whether it was content.
async fn run_grpcurl(served: &Served, before: &[&str], after: &[&str]) -> (String, bool) {
    let mut command = Command::new(grpcurl());
    command.arg("-plaintext").args(before).arg(served.address.to_string()).args(after);
    let output = command.stdin(Stdio::null()).output().await.expect("it runs");
    let said = [output.stdout, output.stderr].concat();
    (String::from_utf8_lossy(&said).into_owned(), output.status.success())
}

#[tokio::test]
async fn grpcurl_describes_a_type_as_soon_as_it_is_registered_and_publishes_it_as_json() {
    let broker = in_memory();
    let served = Served::start(broker.clone(), Duration::ZERO).await;
    let (before, _) = run_grpcurl(&served, &[], &["describe", "shop.v1.OrderPlaced"]).await;
    assert!(before.contains("not found") || before.contains("no symbol"), "{before}");

    register(&broker, "shop.v1.OrderPlaced", &[("order.proto", ORDER), ("money.proto", MONEY)]);
    register(&broker, "shop.v1.Refund", &[("order.proto", REFUND), ("money.proto", OTHER_MONEY)]);
    for (name, part) in [
        ("shop.v1.OrderPlaced", ".shop.v1.Money total = 2;"),
        ("shop.v1.OrderPlaced.total", ".shop.v1.Money total = 2"),
        ("shop.v1.Refund", "message Refund {"),
        ("tidings.v1.Broker", "rpc Subscribe"),
    ] {
        let (said, done) = run_grpcurl(&served, &[], &["describe", name]).await;
        assert!(done && said.contains(part), "{name}: {said}");
    }
    let (services, _) = run_grpcurl(&served, &[], &["list"]).await;
    assert!(!services.contains("shop.v1"), "{services}");

    // Both types in one call: on one stream of questions.
    let placed = r#"{"proto":{"@type":"type.googleapis.com/shop.v1.OrderPlaced","order":"o-1",
        "total":{"cents":"1999"},"at":"2026-01-02T03:04:05Z"}}"#;
    let refund =
        r#"{"proto":{"@type":"type.googleapis.com/shop.v1.Refund","total":{"text":"3 EUR"}}}"#;
    let request = format!(r#"{{"topic":"orders","events":[{placed},{refund}]}}"#);
    let call = ["tidings.v1.Broker/Publish"];
    let (said, done) = run_grpcurl(&served, &["-d", &request], &call).await;
    assert!(done && said.contains(r#""sequence": "2""#), "{said}");

    let request = r#"{"topics":["orders"],"last":2,"stop_at_end":true}"#;
    let call = ["tidings.v1.Broker/Subscribe"];
    let (said, done) = run_grpcurl(&served, &["-d", request], &call).await;
    assert!(done && said.contains(r#""type": "shop.v1.OrderPlaced""#), "{said}");

    // It refuses what the type does not have, before anything is sent.
    let wrong = r#"{"topic":"orders","events":[{"proto":{
        "@type":"type.googleapis.com/shop.v1.Refund","total":{"cents":1}}}]}"#;
    let (said, done) = run_grpcurl(&served, &["-d", wrong], &["tidings.v1.Broker/Publish"]).await;
    assert!(!done && said.contains("cents"), "{said}");
}

fn ask(message_request: MessageRequest) -> ServerReflectionRequest {
    ServerReflectionRequest { host: "h".into(), message_request: Some(message_request) }
}

#[tokio::test]
async fn what_is_not_there_is_an_answer_and_the_stream_goes_on() {
    let broker = in_memory();
    register(&broker, "shop.v1.OrderPlaced", &[("order.proto", ORDER), ("money.proto", MONEY)]);
    let served = Served::start(broker, Duration::ZERO).await;
    let mut client = ServerReflectionClient::new(served.channel().await);
    let nothing = ServerReflectionRequest { host: String::new(), message_request: None };
    let asked = vec![
        ask(MessageRequest::FileContainingSymbol("shop.v1.Nobody".into())),
        ask(MessageRequest::FileByFilename("order.proto".into())),
        ask(MessageRequest::FileContainingSymbol("x".repeat(5000))),
        nothing,
        ask(MessageRequest::FileContainingSymbol("shop.v1.Money".into())),
        ask(MessageRequest::AllExtensionNumbersOfType("shop.v1.Money".into())),
    ];
    let mut answers = client
        .server_reflection_info(tokio_stream::iter(asked.clone()))
        .await
        .expect("answers")
        .into_inner();
    let expected = [Some(Code::NotFound), Some(Code::NotFound), Some(Code::InvalidArgument)];
    let expected = expected.into_iter().chain([Some(Code::InvalidArgument), None, None]);
    for (asked, expected) in asked.into_iter().zip(expected) {
        let answer = answers.message().await.expect("no error").expect("an answer");
        assert_eq!(answer.original_request, Some(asked));
        match (answer.message_response.expect("a response"), expected) {
            (MessageResponse::ErrorResponse(error), Some(code)) => {
                assert_eq!(Code::from(error.error_code), code, "{}", error.error_message);
            }
            (MessageResponse::FileDescriptorResponse(files), None) => {
                assert_eq!(files.file_descriptor_proto.len(), 1);
            }
            (MessageResponse::AllExtensionNumbersResponse(numbers), None) => {
                assert_eq!(numbers.base_type_name, "shop.v1.Money");
            }
            (other, expected) => panic!("{other:?} and not {expected:?}"),
        }
    }
    assert_eq!(answers.message().await.expect("no error"), None);
}

#[tokio::test]
async fn one_stream_and_one_question_have_bounds() {
    let served = Served::start(in_memory(), Duration::ZERO).await;
    let mut client = ServerReflectionClient::new(served.channel().await);
    let question = || ask(MessageRequest::FileContainingSymbol("x".into()));
    let endless = tokio_stream::iter(std::iter::repeat_with(question));
    let mut answers = client.server_reflection_info(endless).await.expect("answers").into_inner();
    let (mut count, mut last) = (0, None);
    while let Some(answer) = answers.message().await.expect("no error") {
        count += 1;
        last = answer.message_response;
    }
    let Some(MessageResponse::ErrorResponse(error)) = last else { panic!("{last:?}") };
    assert_eq!((count, Code::from(error.error_code)), (10_001, Code::ResourceExhausted));

    let large = ask(MessageRequest::FileContainingSymbol("x".repeat(10 << 10)));
    let answers = client.server_reflection_info(tokio_stream::once(large)).await;
    let status = match answers {
        Ok(answers) => answers.into_inner().message().await.expect_err("too large"),
        Err(status) => status,
    };
    assert_eq!(status.code(), Code::OutOfRange, "{status}");
}
