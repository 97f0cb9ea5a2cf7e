//! Rules of `buf.validate`, from the schema that has them to whoever publishes what breaks them.

use std::{process::Stdio, time::Duration};

use parking_lot::Mutex;
use prost::Message as _;
use tidings::{
    backend::{Enforcement, TopicSettings},
    broker::Broker,
    catalog::{Catalog, Rule},
    grpc::{
        client::{AdminClient, BrokerClient, SchemasClient},
        schema_messages::{RegisterSchemaRequest, Schema},
    },
    proto::{self, Event, GetSchemaRequest, PublishRequest, event::Payload},
};
use tokio::process::Command;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::support::{
    in_process::{event, in_memory_with, options, publish},
    process::grpcurl,
    served::{Served, reason},
};

const ORDER: &str = r#"syntax = "proto3"; package shop.v1; import "buf/validate/validate.proto";
    message OrderPlaced {
      option (buf.validate.message).cel = {id: "total", message: "total is not that of its items",
        expression: "this.total >= this.items.size()"};
      string id = 1 [(buf.validate.field).string.min_len = 1];
      int64 total = 2;
      repeated Item items = 3 [(buf.validate.field).repeated.max_items = 3];
    }
    message Item { double price = 1 [(buf.validate.field).double.gte = 0]; }"#;
/// The second item costs less than nothing.
const WRONG: &[u8] = b"\x0a\x017\x10\x05\x1a\x00\x1a\x09\x09\x00\x00\x00\x00\x00\x00\xf0\xbf";

/// Topics `orders`, which rejects, and `noted`, which warns.
fn shop() -> Broker {
    let asking = |pattern: &str, enforcement| Rule {
        enforcement: Some(enforcement),
        default_type: Some("shop.v1.OrderPlaced".into()),
        ..Rule::new(pattern.parse().expect("a pattern"))
    };
    let rules = vec![asking("orders", Enforcement::Reject), asking("noted", Enforcement::Warn)];
    let catalog = Catalog::new(rules, "", TopicSettings::default()).expect("no conflict");
    in_memory_with(catalog, options())
}

async fn register(served: &Served, source: &str) -> Result<u32, Status> {
    let sources = [("order.proto".to_owned(), source.as_bytes().to_vec())].into();
    let schema = Schema { r#type: "shop.v1.OrderPlaced".into(), sources, ..Default::default() };
    let request = RegisterSchemaRequest { schema: Some(schema), ..Default::default() };
    let registered = SchemasClient::new(served.channel().await).register_schema(request).await?;
    Ok(registered.into_inner().version)
}

fn request(topic: &str, payload: Payload) -> PublishRequest {
    let event = Event { payload: Some(payload), ..Default::default() };
    PublishRequest { topic: topic.into(), events: vec![event], ..Default::default() }
}

/// As somebody writes it who knows JSON.
fn json(topic: &str, text: &str) -> PublishRequest {
    let mut request = request(topic, Payload::Text(text.into()));
    request.events[0].data_content_type = "application/json".into();
    request
}

/// Field and description of everything that is wrong.
fn violated(status: &Status) -> Vec<(String, String)> {
    assert_eq!(
        (status.code(), reason(status).as_str()),
        (Code::InvalidArgument, "SCHEMA_VIOLATION")
    );
    let details = status.get_error_details();
    let violations = &details.bad_request().expect("fields").field_violations;
    violations.iter().map(|v| (v.field.clone(), v.description.clone())).collect()
}

#[tokio::test]
async fn what_breaks_a_rule_is_refused_with_its_path_or_counted_in_whichever_form_it_comes() {
    let broker = shop();
    let served = Served::start(broker.clone(), Duration::ZERO).await;
    assert_eq!(register(&served, ORDER).await.expect("registered"), 1);
    let mut client = BrokerClient::new(served.channel().await);

    let wrong = request("orders", Payload::Data(WRONG.into()));
    let price = ("events[0].data.items[1].price", "value must be greater than or equal to 0");
    for validate_only in [false, true] {
        let wrong = PublishRequest { validate_only, ..wrong.clone() };
        let refused = violated(&client.publish(wrong).await.expect_err("a rule is broken"));
        assert_eq!(refused, [(price.0.to_owned(), price.1.to_owned())]);
    }
    for (text, field, description) in [
        (r#"{"total": 1}"#, "events[0].text.id", "value length must be at least 1 characters"),
        (r#"{"id": "7", "items": [{}]}"#, "events[0].text", "total is not that of its items"),
        (
            r#"{"id": "7", "total": 4, "items": [{}, {}, {}, {}]}"#,
            "events[0].text.items",
            "must have at most 3 items",
        ),
    ] {
        let refused = violated(&client.publish(json("orders", text)).await.expect_err(text));
        assert_eq!(refused, [(field.to_owned(), description.to_owned())], "{text}");
    }
    let valid = json("orders", r#"{"id": "7", "total": 1, "items": [{"price": 1.5}]}"#);
    client.publish(valid).await.expect("valid");

    client.publish(request("noted", Payload::Data(WRONG.into()))).await.expect("delivered");
    let mut admin = AdminClient::new(served.channel().await);
    let info = admin.get_server_info(proto::GetServerInfoRequest {}).await.expect("told");
    let warnings = info.into_inner().warnings;
    let counted = |warning: &String| warning.starts_with("1 events since this broker's start");
    assert!(warnings.iter().any(counted), "{warnings:?}");
}

#[tokio::test]
async fn rules_that_make_no_sense_are_refused_and_those_that_do_can_be_fetched_and_described() {
    let served = Served::start(shop(), Duration::ZERO).await;
    let status = register(&served, &ORDER.replace("double.gte", "int32.gte")).await;
    let status = status.expect_err("a rule of another kind");
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(
        status.message().contains("order.proto:9:20: the rules of shop.v1.Item.price"),
        "{status}"
    );
    let status = register(&served, &ORDER.replace("this.total", "thi.total")).await;
    let status = status.expect_err("a name that nothing has");
    assert!(status.message().contains("line 1, column 1: there is no \"thi\""), "{status}");

    register(&served, ORDER).await.expect("registered");
    let request = GetSchemaRequest { r#type: "shop.v1.OrderPlaced".into(), version: 0 };
    let schema = SchemasClient::new(served.channel().await).get_schema(request).await;
    let schema = schema.expect("it is there").into_inner().encode_to_vec();
    let schema = proto::Schema::decode(&schema[..]).expect("a tidings.v1.Schema");
    let names: Vec<_> =
        schema.descriptors.iter().flat_map(|set| &set.file).map(|f| f.name()).collect();
    assert_eq!(names[names.len() - 2..], ["buf/validate/validate.proto", "order.proto"]);

    for (name, part) in [
        ("shop.v1.Item", "double price = 1 [(.buf.validate.field) = { double"),
        ("buf.validate.StringRules", "message StringRules {"),
    ] {
        let mut command = Command::new(grpcurl());
        command.arg("-plaintext").arg(served.address.to_string()).args(["describe", name]);
        let output = command.stdin(Stdio::null()).output().await.expect("it runs");
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(said.contains(part), "{name}: {said}");
    }
}

/// All on one thread: who asks first would have the first answer.
#[tokio::test]
async fn events_that_have_much_to_do_with_rules_keep_nobody_else_waiting() {
    let broker = shop();
    let served = Served::start(broker.clone(), Duration::ZERO).await;
    register(&served, ORDER).await.expect("registered");
    let order = json("orders", r#"{"id": "7", "total": 1}"#).events.remove(0);
    let many: Vec<_> = (0..200).map(|id| Event { id: id.to_string(), ..order.clone() }).collect();
    // The first one waits for the rules to be made ready.
    for round in ["first", "next"] {
        let answers = Mutex::new(Vec::new());
        tokio::join!(
            async {
                publish(&broker, "orders", many.clone()).await.expect("valid");
                answers.lock().push("much");
            },
            async {
                publish(&broker, "payments", vec![event(round)]).await.expect("stored");
                answers.lock().push("nothing");
            },
        );
        assert_eq!(answers.into_inner(), ["nothing", "much"], "{round}");
    }
}
