//! Types of events as the program registers them: at its start, and from a directory over the API.

use std::{collections::BTreeMap, fs, path::Path, process::Command, time::Instant};

use prost_types::Timestamp;
use serde_json::Value;
use tempfile::TempDir;
use tidings::schema::{Compatibility, Compiled, Record};

use crate::support::{
    broker::Broker,
    process::{Ended, Process, installed, tidings},
    redis::{Persistence, RedisServer},
    resident_bytes,
};

const ORDER: &str = "syntax = \"proto3\";\npackage shop.v1;\nimport \"shop/v1/money.proto\";\n\n\
                     message OrderPlaced {\n  string id = 1;\n  Money total = 2;\n}\n";
const MONEY: &str =
    "syntax = \"proto3\";\npackage shop.v1;\n\nmessage Money {\n  int64 cents = 1;\n}\n";

/// A directory with the two.
fn shop() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "shop/v1/order.proto", ORDER);
    write(folder.path(), "shop/v1/money.proto", MONEY);
    folder
}

fn write(folder: &Path, path: &str, text: &str) {
    let file = folder.join(path);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, text).unwrap();
}

fn path(folder: &TempDir) -> &str {
    folder.path().to_str().unwrap()
}

async fn run(broker: &Broker, arguments: &[&str]) -> Ended {
    let address = broker.address().to_string();
    let command = tidings(&[arguments, &["--address", &address]].concat());
    Process::run(command, "").await
}

/// Type, version, and whether it is new, of each line.
fn told(lines: &[String]) -> Vec<(String, u64, Option<bool>)> {
    let parsed = lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let parts = parsed.map(|line| {
        let name = line["type"].as_str().unwrap().to_owned();
        (name, line["version"].as_u64().unwrap(), line["new"].as_bool())
    });
    parts.collect()
}

fn both(money: (u64, bool), order: (u64, bool)) -> Vec<(String, u64, Option<bool>)> {
    vec![
        ("shop.v1.Money".into(), money.0, Some(money.1)),
        ("shop.v1.OrderPlaced".into(), order.0, Some(order.1)),
    ]
}

#[tokio::test]
async fn a_directory_is_checked_pushed_compared_and_changed() {
    let broker = Broker::program(&[]).await;
    let folder = shop();
    let dir = path(&folder);
    let checked = run(&broker, &["schema", "check", dir]).await.ok();
    assert_eq!(told(&checked), both((1, true), (1, true)));
    assert!(run(&broker, &["schema", "ls"]).await.ok().is_empty(), "a check stored something");
    let differs = run(&broker, &["schema", "diff", dir]).await;
    assert_eq!(differs.code, Some(1));
    assert!(differs.out.join("\n").contains("--- /dev/null\n+++ shop/v1/order.proto"));
    let pushed = run(&broker, &["schema", "push", dir]).await.ok();
    assert_eq!(told(&pushed), both((1, true), (1, true)));
    let again = run(&broker, &["schema", "push", dir]).await.ok();
    assert_eq!(told(&again), both((1, false), (1, false)));
    assert!(run(&broker, &["schema", "diff", dir]).await.ok().is_empty());

    // What breaks is told of each type, and the others are registered all the same.
    write(folder.path(), "shop/v1/money.proto", &MONEY.replace("int64 cents", "string cents"));
    write(folder.path(), "shop/v1/other.proto", "package shop.v1; message Other {}");
    for (command, listed) in [("check", 2), ("push", 3)] {
        let refused = run(&broker, &["schema", command, dir]).await;
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert_eq!(told(&refused.out), [("shop.v1.Other".into(), 1, Some(true))]);
        for name in ["money.proto: shop.v1.Money: ", "order.proto: shop.v1.OrderPlaced: "] {
            assert!(refused.err.contains(name), "{}", refused.err);
        }
        let rule = "\n  FIELD_SCALAR_KIND_CHANGED shop.v1.Money.cents breaks version 1: ";
        assert!(refused.err.contains(rule), "{}", refused.err);
        let all = run(&broker, &["schema", "ls", "shop.>"]).await.ok();
        assert_eq!(told(&all).len(), listed);
    }
    let arguments = ["schema", "push", dir, "--force", "--type", "shop.v1.Money"];
    let forced = run(&broker, &arguments).await.ok();
    assert_eq!(told(&forced), [("shop.v1.Money".into(), 2, Some(true))]);

    for (arguments, code, says) in [
        (&["schema", "push", "/nowhere"][..], 64, "is no directory"),
        (&["schema", "push", dir, "--type", "other.>"], 64, "has no type that was asked for"),
        (&["schema", "push", dir, "--compatibility", "some"], 64, "invalid value"),
        (&["schema", "get", "shop.v1.Gone"], 1, "SCHEMA_NOT_FOUND"),
        (&["schema", "rm", "shop.v1.Gone"], 1, "SCHEMA_NOT_FOUND"),
        (&["schema", "export"], 64, "--asyncapi"),
    ] {
        let ended = run(&broker, arguments).await;
        assert_eq!(ended.code, Some(code), "{arguments:?}: {ended:?}");
        assert!(ended.err.contains(says), "{arguments:?}: {}", ended.err);
    }
    write(
        folder.path(),
        "shop/v1/other.proto",
        "package shop.v1;\nmessage Other {\n  Gone g = 1;\n}",
    );
    let bad = run(&broker, &["schema", "check", dir]).await;
    assert_eq!(bad.code, Some(1), "{bad:?}");
    let place = folder.path().join("shop/v1/other.proto:3:");
    assert!(bad.err.contains(place.to_str().unwrap()), "{}", bad.err);
}

#[tokio::test]
async fn what_was_registered_is_given_out_again() {
    let broker = Broker::program(&[]).await;
    let (folder, out) = (shop(), tempfile::tempdir().unwrap());
    run(&broker, &["schema", "push", path(&folder)]).await.ok();
    let binary = out.path().join("order.binpb");
    let arguments = ["schema", "get", "shop.v1.OrderPlaced", "--descriptors"];
    let arguments = [&arguments[..], &[binary.to_str().unwrap(), "--sources", path(&out)]].concat();
    run(&broker, &arguments).await.ok();
    let compiled = Compiled::from_descriptors("shop.v1.OrderPlaced", &fs::read(&binary).unwrap());
    let told = run(&broker, &["schema", "get", "shop.v1.OrderPlaced"]).await.ok();
    let told: Value = serde_json::from_str(&told[0]).unwrap();
    assert_eq!(told["fingerprint"], compiled.expect("it loads").fingerprint());
    assert_eq!(told["sources"]["shop/v1/money.proto"], MONEY);
    assert_eq!(fs::read_to_string(out.path().join("shop/v1/order.proto")).unwrap(), ORDER);

    let typed = ["topic", "create", "orders", "--default-type", "shop.v1.OrderPlaced"];
    run(&broker, &typed).await.ok();
    run(&broker, &["topic", "create", "untyped"]).await.ok();
    let document = run(&broker, &["schema", "export", "--asyncapi"]).await.ok().join("\n");
    let document: Value = serde_json::from_str(&document).unwrap();
    assert_eq!(document["asyncapi"], "3.0.0");
    assert_eq!(document["channels"].as_object().unwrap().keys().collect::<Vec<_>>(), ["orders"]);
    let message = &document["components"]["messages"]["shop.v1.OrderPlaced"];
    assert_eq!(message["payload"]["schema"], ORDER);
    let in_use = run(&broker, &["schema", "rm", "shop.v1.OrderPlaced"]).await;
    assert_eq!(in_use.code, Some(1));
    assert!(in_use.err.contains("SCHEMA_IN_USE"), "{}", in_use.err);
    run(&broker, &["schema", "rm", "shop.v1.OrderPlaced", "--force"]).await.ok();
}

#[tokio::test]
async fn the_exported_document_is_one_to_the_parser_of_asyncapi() {
    let broker = Broker::program(&[]).await;
    let folder = shop();
    write(folder.path(), "old.proto", "package old; message Outer { message Inner {} }");
    run(&broker, &["schema", "push", path(&folder)]).await.ok();
    for topic in [
        &["orders.eu", "--default-type", "shop.v1.OrderPlaced", "--durable"][..],
        &["all_of-them", "--types", "shop.v1.OrderPlaced,shop.v1.Money,old.Outer"],
        &["untyped"],
    ] {
        run(&broker, &[&["topic", "create"], topic].concat()).await.ok();
    }
    let document = run(&broker, &["schema", "export", "--asyncapi"]).await.ok().join("\n");
    let validated = Process::run(asyncapi_validator(), &document).await;
    let mut expected = Vec::new();
    for (topic, types) in [
        ("all_of-them", &["old.Outer", "shop.v1.Money", "shop.v1.OrderPlaced"][..]),
        ("orders.eu", &["shop.v1.OrderPlaced"]),
    ] {
        for (action, name) in
            ["send", "receive"].iter().flat_map(|of| types.iter().map(move |t| (of, t)))
        {
            let version = if name.starts_with("old.") { 2 } else { 3 };
            let format = format!("application/vnd.google.protobuf;version={version}");
            expected.push(format!("{action} {topic} {name} {format}"));
        }
    }
    assert_eq!(validated.ok(), expected);
    let wrong = document.replace(r#""action": "send""#, r#""action": "shout""#);
    let refused = Process::run(asyncapi_validator(), &wrong).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
}

/// The parser of the AsyncAPI Initiative.
fn asyncapi_validator() -> Command {
    let mut command = Command::new("node");
    command.arg(installed("tests/asyncapi/validate.mjs", "tests/asyncapi/node_modules"));
    command
}

#[tokio::test]
async fn the_start_registers_what_the_configuration_names_or_stops() {
    let server = RedisServer::start(Persistence::None).await;
    let folder = shop();
    let pattern = format!("{}/**/*.proto", path(&folder));
    let url = server.url();
    let flags = ["--redis", &url, "--schemas", &pattern];
    for _ in 0..2 {
        let broker = Broker::program(&flags).await;
        let listed = run(&broker, &["schema", "ls"]).await.ok();
        assert_eq!(told(&listed).iter().map(|one| one.1).collect::<Vec<_>>(), [1, 1]);
    }
    let start = async || Process::run(tidings(&[&["serve"], &flags[..]].concat()), "").await;
    write(folder.path(), "shop/v1/money.proto", &MONEY.replace("int64 cents", "string cents"));
    let broken = start().await;
    assert_eq!(broken.code, Some(64), "{broken:?}");
    let rule = "FIELD_SCALAR_KIND_CHANGED at shop.v1.Money.cents breaks version 1";
    assert!(broken.err.contains("shop/v1/money.proto") && broken.err.contains(rule), "{broken:?}");
    write(folder.path(), "shop/v1/money.proto", "package shop.v1;\nmessage {}");
    let bad = start().await;
    assert_eq!(bad.code, Some(64), "{bad:?}");
    let place = folder.path().join("shop/v1/money.proto:2:");
    assert!(bad.err.contains(place.to_str().unwrap()), "{}", bad.err);
    // An older one may start beside a newer one.
    write(folder.path(), "shop/v1/money.proto", MONEY);
    write(folder.path(), "shop/v1/order.proto", &ORDER.replace("2;", "2;\n  bool gift = 3;"));
    let newer = Broker::program(&flags).await;
    write(folder.path(), "shop/v1/order.proto", ORDER);
    let older = Broker::program(&flags).await;
    for broker in [&newer, &older] {
        let listed = run(broker, &["schema", "ls"]).await.ok();
        assert_eq!(told(&listed).iter().map(|one| one.1).collect::<Vec<_>>(), [1, 2]);
    }
}

/// Prints what the start takes; `TIDINGS_TEST_VERSIONS` says with how many versions.
#[tokio::test]
async fn a_broker_starts_with_many_versions() {
    let versions = std::env::var("TIDINGS_TEST_VERSIONS").map_or(200, |n| n.parse().unwrap());
    let server = RedisServer::start(Persistence::None).await;
    let url = server.url();
    let flags = ["--redis", &url];
    let start = async || {
        let began = Instant::now();
        let broker = Broker::program(&flags).await;
        (broker, began.elapsed())
    };
    let (empty, nothing) = start().await;
    let before = resident_bytes(empty.pid());
    drop(empty);
    let mut bytes = 0;
    let records = (0..versions).map(|number| record(number / 5, number % 5 + 1));
    for (revision, record) in records.enumerate() {
        let (name, revision) =
            (format!("{}/{}", record.type_name, record.version), (revision + 1).to_string());
        let encoded = record.encode();
        bytes += encoded.len();
        let schemas = "td:{_tidings.schemas}";
        let set = [
            b"HSET",
            schemas.as_bytes(),
            name.as_bytes(),
            &encoded,
            b":revision",
            revision.as_bytes(),
        ];
        server.raw_command(&set).await.unwrap();
        let index = format!("{schemas}:i");
        server.command(&["ZADD", &index, &revision, &name]).await;
    }
    let (broker, took) = start().await;
    let after = resident_bytes(broker.pid());
    let listed = run(&broker, &["schema", "ls"]).await.ok();
    assert_eq!(listed.len(), versions.div_ceil(5));
    println!(
        "{versions} versions, {bytes} bytes stored: start in {took:?}, for {nothing:?} with none; \
         resident {after} bytes, for {before}"
    );
}

/// One of five versions of a type, as a service has it: some twenty fields, two messages, comments.
fn record(of: usize, version: usize) -> Record {
    let field = |n: usize| format!("  // What the {n}th field says.\n  string field_{n} = {n};\n");
    let fields: String = (1..15 + version).map(field).collect();
    let text = format!(
        "syntax = \"proto3\";\npackage load.v1;\n\nimport \"google/protobuf/timestamp.proto\";\n\n\
         message Item{of} {{\n  string sku = 1;\n  int64 price = 2;\n  uint32 count = 3;\n}}\n\n\
         message Type{of} {{\n{fields}  repeated Item{of} items = 100;\n  \
         google.protobuf.Timestamp at = 101;\n}}\n"
    );
    let (name, file) = (format!("load.v1.Type{of}"), format!("load/v1/type{of}.proto"));
    let compiled = Compiled::from_sources(&name, [(file.as_str(), text.as_bytes())]).unwrap();
    Record {
        type_name: name,
        version: u32::try_from(version).unwrap(),
        compatibility: Compatibility::Backward,
        fingerprint: compiled.fingerprint().to_owned(),
        created: Timestamp { seconds: 1_763_000_000, nanos: 0 },
        sources: BTreeMap::from([(file, text)]),
        descriptors: compiled.descriptors().clone(),
    }
}
