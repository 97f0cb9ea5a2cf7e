//! Types of events over the API: registered, evolved, refused, deleted, on every broker the same.

use std::{collections::BTreeMap, time::Duration};

use prost::Message;
use tidings::{
    broker::Broker,
    catalog::Catalog,
    grpc::{
        client::{AdminClient, SchemasClient},
        schema_messages::{RegisterSchemaRequest, Schema},
    },
    proto::{
        Compatibility, CreateTopicRequest, DeleteSchemaRequest, GetSchemaRequest,
        ListSchemasRequest, Topic,
    },
};
use tonic::{Code, Status, transport::Channel};
use tonic_types::StatusExt;

use crate::support::{
    eventually,
    in_process::{event, in_memory, on_redis, publish},
    process::{Process, grpcurl},
    redis::{Persistence, RedisServer, Reply},
    served::{Served, reason},
};

const PATIENCE: Duration = Duration::from_secs(20);
const RECORDS: &str = "td:{_tidings.schemas}";
const INDEX: &str = "td:{_tidings.schemas}:i";

/// A broker and its API of schemas.
struct Place {
    broker: Broker,
    schemas: SchemasClient<Channel>,
    admin: AdminClient<Channel>,
    served: Served,
}

impl Place {
    async fn of(broker: Broker) -> Place {
        let served = Served::start(broker.clone(), Duration::ZERO).await;
        let channel = served.channel().await;
        let schemas =
            SchemasClient::new(channel.clone()).max_encoding_message_size(usize::MAX >> 1);
        Place { broker, schemas, admin: AdminClient::new(channel), served }
    }

    async fn on(server: &RedisServer, id: &str) -> Place {
        Place::of(on_redis(&server.url(), id, Catalog::default()).await).await
    }

    async fn register(&mut self, request: RegisterSchemaRequest) -> Result<Schema, Status> {
        Ok(self.schemas.register_schema(request).await?.into_inner())
    }

    /// The version that `a.A` with these fields has.
    async fn version_of(&mut self, fields: &str) -> u32 {
        self.register(of_fields(fields)).await.expect("registered").version
    }

    async fn get(&mut self, name: &str, version: u32) -> Result<Schema, Status> {
        let request = GetSchemaRequest { r#type: name.into(), version };
        Ok(self.schemas.get_schema(request).await?.into_inner())
    }

    async fn delete(&mut self, name: &str, force: bool) -> Result<(), Status> {
        let request = DeleteSchemaRequest { r#type: name.into(), force };
        self.schemas.delete_schema(request).await?;
        Ok(())
    }

    async fn list(&mut self, pattern: &str) -> Vec<String> {
        let request = ListSchemasRequest { pattern: pattern.into(), ..Default::default() };
        let page = self.schemas.list_schemas(request).await.expect("a page").into_inner();
        page.schemas
            .into_iter()
            .map(|schema| format!("{}/{}", schema.r#type, schema.version))
            .collect()
    }

    /// What its registry has, without asking the backend.
    fn known(&self) -> Vec<String> {
        let schemas = self.broker.registry().snapshot();
        let page = schemas.list(None, None, 1000);
        let named = |version: &std::sync::Arc<tidings::schema::Version>| {
            format!("{}/{}", version.type_name(), version.number())
        };
        page.versions.iter().map(named).collect()
    }
}

/// A broker on each kind of backend.
async fn everywhere(test: impl AsyncFn(Place)) {
    test(Place::of(in_memory()).await).await;
    let server = RedisServer::start(Persistence::None).await;
    test(Place::on(&server, "b1").await).await;
}

fn of_sources(name: &str, sources: &[(&str, &str)]) -> RegisterSchemaRequest {
    let text = |(path, text): &(&str, &str)| ((*path).to_owned(), text.as_bytes().to_vec());
    let sources: BTreeMap<_, _> = sources.iter().map(text).collect();
    let schema = Schema { r#type: name.into(), sources, ..Default::default() };
    RegisterSchemaRequest { schema: Some(schema), ..Default::default() }
}

/// `a.A` with these fields.
fn of_fields(fields: &str) -> RegisterSchemaRequest {
    let text = format!("syntax = \"proto3\";\npackage a;\nmessage A {{ {fields} }}\n");
    of_sources("a.A", &[("a.proto", &text)])
}

fn refused<T: std::fmt::Debug>(result: Result<T, Status>) -> (Code, String) {
    let status = result.expect_err("refused");
    (status.code(), reason(&status))
}

/// Field and description of its only violation.
fn violation(status: &Status) -> (String, String) {
    let details = status.get_error_details();
    let violations = &details.bad_request().expect("a violation").field_violations;
    assert_eq!(violations.len(), 1, "{violations:?}");
    (violations[0].field.clone(), violations[0].description.clone())
}

/// Kind, subject and description of each.
fn broken(status: &Status) -> Vec<(String, String, String)> {
    let details = status.get_error_details();
    let violations = &details.precondition_failure().expect("preconditions").violations;
    let parts = |v: &tonic_types::PreconditionViolation| {
        (v.r#type.clone(), v.subject.clone(), v.description.clone())
    };
    violations.iter().map(parts).collect()
}

#[tokio::test]
async fn a_type_is_registered_evolved_read_listed_and_deleted() {
    everywhere(async |mut place| {
        let order = "syntax = \"proto3\";\npackage shop.v1;\nimport \"shop/v1/money.proto\";\n\
                     import \"google/protobuf/timestamp.proto\";\nmessage OrderPlaced {\n  \
                     string id = 1;\n  Money total = 2;\n  google.protobuf.Timestamp at = 3;\n}\n";
        let money = "syntax = \"proto3\"; package shop.v1; message Money { int64 cents = 1; }";
        let unused = "syntax = \"proto3\"; package shop.v1; message Unused {}";
        let sources = [
            ("shop/v1/order.proto", order),
            ("shop/v1/money.proto", money),
            ("shop/v1/unused.proto", unused),
        ];
        let name = "shop.v1.OrderPlaced";
        let request = of_sources(name, &sources);
        let first = place.register(request.clone()).await.expect("registered");
        assert_eq!((first.r#type.as_str(), first.version), (name, 1));
        assert_eq!((first.compatibility(), first.fingerprint.len()), (Compatibility::Backward, 64));
        assert!(first.create_time.is_some() && first.descriptors.is_none());
        assert_eq!(place.register(request).await.expect("known"), first);

        let whole = place.get(name, 0).await.expect("it is there");
        assert_eq!(whole.sources.keys().collect::<Vec<_>>(), [sources[1].0, sources[0].0]);
        let set = whole.descriptors.clone().expect("descriptors");
        let files = prost_types::FileDescriptorSet::decode(set.clone()).expect("a set").file;
        let files: Vec<_> = files.iter().map(|file| file.name()).collect();
        let stamp = "google/protobuf/timestamp.proto";
        assert_eq!(files, [stamp, sources[1].0, sources[0].0], "imports first, all of them");
        // What was given out may be given back.
        let again = Schema { r#type: name.into(), descriptors: Some(set), ..Default::default() };
        let again = RegisterSchemaRequest { schema: Some(again), ..Default::default() };
        assert_eq!(place.register(again).await.expect("known"), first);

        assert_eq!(place.version_of("int32 a = 1;").await, 1);
        assert_eq!(place.version_of("int32 a = 1; int32 b = 2;").await, 2);
        assert_eq!(place.version_of("int32 a = 1;").await, 1);
        assert_eq!(place.list("").await, ["a.A/2", "shop.v1.OrderPlaced/1"]);
        assert_eq!(place.list("shop.>").await, ["shop.v1.OrderPlaced/1"]);
        assert_eq!(place.get("a.A", 0).await.expect("there").version, 2);
        assert_eq!(place.get("a.A", 1).await.expect("there").version, 1);
        for (name, version) in [("a.A", 3), ("a.B", 0), ("", 0)] {
            let missing = (Code::NotFound, "SCHEMA_NOT_FOUND".to_owned());
            assert_eq!(refused(place.get(name, version).await), missing);
        }
        place.delete("a.A", false).await.expect("deleted");
        let missing = (Code::NotFound, "SCHEMA_NOT_FOUND".to_owned());
        assert_eq!(refused(place.delete("a.A", false).await), missing);
        assert_eq!(place.list("").await, ["shop.v1.OrderPlaced/1"]);
        assert_eq!(place.version_of("string a = 1;").await, 1, "it begins again");
    })
    .await;
}

#[tokio::test]
async fn types_are_listed_in_pages() {
    everywhere(async |mut place| {
        for name in ["a.A", "a.B", "b.A"] {
            let (package, message) = name.split_once('.').expect("a package");
            let text = format!("package {package}; message {message} {{}}");
            place.register(of_sources(name, &[("x.proto", &text)])).await.expect("registered");
        }
        let first = ListSchemasRequest { page_size: 2, ..Default::default() };
        let page = place.schemas.list_schemas(first.clone()).await.expect("a page").into_inner();
        let names = |page: &tidings::proto::ListSchemasResponse| -> Vec<String> {
            page.schemas.iter().map(|schema| schema.r#type.clone()).collect()
        };
        assert_eq!(names(&page), ["a.A", "a.B"]);
        let token = page.next_page_token;
        let next = ListSchemasRequest { page_token: token.clone(), ..first.clone() };
        let page = place.schemas.list_schemas(next).await.expect("a page").into_inner();
        assert_eq!((names(&page), page.next_page_token.as_str()), (vec!["b.A".into()], ""));
        let other = ListSchemasRequest { page_token: token, pattern: "a.>".into(), ..first };
        let wrong = place.schemas.list_schemas(other).await.expect_err("another pattern");
        assert_eq!(violation(&wrong).0, "page_token");
        let odd = ListSchemasRequest { pattern: "a..b".into(), ..Default::default() };
        let odd = refused(place.schemas.list_schemas(odd).await);
        assert_eq!(odd, (Code::InvalidArgument, "PATTERN_INVALID".into()));
    })
    .await;
}

#[tokio::test]
async fn an_incompatible_version_is_refused_with_each_break() {
    everywhere(async |mut place| {
        place.version_of("int32 a = 1; string b = 2;").await;
        let mut request = of_fields("string a = 1;");
        for validate_only in [true, false] {
            request.validate_only = validate_only;
            let status = place.register(request.clone()).await.expect_err("it breaks");
            assert_eq!(status.code(), Code::FailedPrecondition);
            assert_eq!(reason(&status), "SCHEMA_INCOMPATIBLE");
            let breaks = broken(&status);
            let told: Vec<_> =
                breaks.iter().map(|(rule, path, _)| (rule.as_str(), path.as_str())).collect();
            assert!(told.contains(&("FIELD_SCALAR_KIND_CHANGED", "a.A.a")), "{told:?}");
            assert!(told.contains(&("FIELD_NUMBER_NOT_RESERVED", "a.A.b")), "{told:?}");
            assert!(breaks.iter().all(|(.., why)| why.starts_with("breaks version 1: ")));
        }
        assert_eq!(place.list("").await, ["a.A/1"]);
        // A check stores nothing, and says what would be.
        let mut check = of_fields("int32 a = 1; string b = 2; bool c = 3;");
        check.validate_only = true;
        assert_eq!(place.register(check.clone()).await.expect("it may").version, 2);
        assert_eq!(place.list("").await, ["a.A/1"]);
        request.force = true;
        assert_eq!(place.register(request).await.expect("forced").version, 2);
        // Both versions are to be kept from now on.
        assert_eq!(refused(place.register(check).await).1, "SCHEMA_INCOMPATIBLE");
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_registered_is_refused_with_its_place() {
    everywhere(async |mut place| {
        let invalid = |status: &Status| {
            assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
            (reason(status), violation(status))
        };
        let text = "syntax = \"proto3\";\npackage a;\nmessage A {\n  Money m = 1;\n}\n";
        let status = place.register(of_sources("a.A", &[("a.proto", text)])).await;
        let status = status.expect_err("no such name");
        let (why, (field, description)) = invalid(&status);
        assert_eq!((why.as_str(), field.as_str()), ("SCHEMA_INVALID", "schema.sources"));
        assert!(description.starts_with("a.proto:4:3: "), "{description}");
        let info = status.get_details_error_info().expect("a reason").metadata;
        assert_eq!((info["file"].as_str(), info["line"].as_str()), ("a.proto", "4"));

        let both = {
            let mut both = of_fields("");
            both.schema.as_mut().unwrap().descriptors = Some(vec![10, 0].into());
            both
        };
        let odd = {
            let mut odd = of_fields("");
            odd.schema.as_mut().unwrap().compatibility = 77;
            odd
        };
        let unnamed = of_sources("", &[("a.proto", text)]);
        for (request, field) in [
            (of_sources("a.A", &[]), "schema.sources"),
            (both, "schema.sources"),
            (odd, "schema.compatibility"),
            (unnamed, "schema.type"),
        ] {
            let status = place.register(request).await.expect_err("refused");
            assert_eq!(reason(&status), "REQUEST_INVALID");
            assert_eq!(violation(&status).0, field);
        }
        assert_eq!(place.list("").await, [""; 0]);
    })
    .await;
}

#[tokio::test]
async fn a_type_that_topics_name_is_deleted_by_force_only() {
    everywhere(async |mut place| {
        place.version_of("int32 a = 1;").await;
        let topic =
            Topic { name: "orders".into(), default_type: "a.A".into(), ..Default::default() };
        let request = CreateTopicRequest { topic: Some(topic) };
        place.admin.create_topic(request).await.expect("created");
        let status = place.delete("a.A", false).await.expect_err("a topic names it");
        let in_use = (Code::FailedPrecondition, "SCHEMA_IN_USE".to_owned());
        assert_eq!((status.code(), reason(&status)), in_use);
        let topics: Vec<_> =
            broken(&status).into_iter().map(|(kind, topic, _)| (kind, topic)).collect();
        assert_eq!(topics, [("TOPIC".to_owned(), "orders".to_owned())]);
        place.delete("a.A", true).await.expect("forced");
    })
    .await;
}

#[tokio::test]
async fn brokers_of_one_redis_register_at_once_and_agree() {
    let server = RedisServer::start(Persistence::None).await;
    let (mut one, mut two) = (Place::on(&server, "b1").await, Place::on(&server, "b2").await);
    let register = async |place: &mut Place, from: u32| {
        for number in 0..10 {
            place.version_of(&format!("int32 f{} = {};", from + number, from + number)).await;
        }
    };
    // Each has a version of its own that keeps nothing of the others.
    for place in [&mut one, &mut two] {
        let mut first = of_fields("");
        first.schema.as_mut().unwrap().compatibility = Compatibility::None.into();
        place.register(first).await.expect("registered");
    }
    tokio::join!(register(&mut one, 1), register(&mut two, 101));
    for place in [&one, &two] {
        eventually("it has all", PATIENCE, || async { place.known() == ["a.A/21"] }).await;
        assert_eq!(place.broker.registry().snapshot().versions("a.A").len(), 21);
    }
    // Who comes later reads all of it.
    let three = Place::on(&server, "b3").await;
    eventually("it has all", PATIENCE, || async { three.known() == ["a.A/21"] }).await;
    one.delete("a.A", false).await.expect("deleted");
    for place in [&two, &three] {
        eventually("it is gone", PATIENCE, || async { place.known().is_empty() }).await;
    }
}

#[tokio::test]
async fn what_is_registered_comes_back_where_redis_lost_it() {
    let server = RedisServer::start(Persistence::None).await;
    let (mut one, two) = (Place::on(&server, "b1").await, Place::on(&server, "b2").await);
    one.version_of("int32 a = 1;").await;
    let before = one.get("a.A", 0).await.expect("there");
    eventually("heard", PATIENCE, || async { two.known() == ["a.A/1"] }).await;
    let back = async || server.command(&["HEXISTS", RECORDS, "a.A/1"]).await == Reply::Integer(1);
    server.flushall().await;
    eventually("it is put back", PATIENCE, &back).await;
    assert_eq!(one.get("a.A", 0).await.expect("there"), before);
    let three = Place::on(&server, "b3").await;
    eventually("read", PATIENCE, || async { three.known() == ["a.A/1"] }).await;
    // What is put back does not end by itself.
    for key in [RECORDS, INDEX] {
        assert_eq!(server.command(&["TTL", key]).await, Reply::Integer(-1));
    }
    // Whoever was slower tidies up.
    let left = ["b1", "i:b1", "b2", "i:b2"].map(|of| format!("{RECORDS}:{of}"));
    let words = [&["EXISTS"][..], &left.each_ref().map(String::as_str)].concat();
    eventually("nothing is left behind", PATIENCE, || async {
        server.command(&words).await == Reply::Integer(0)
    })
    .await;

    // Set back to an older state, as by a failover.
    for key in [RECORDS, INDEX] {
        server.command(&["COPY", key, &format!("{key}:older")]).await;
    }
    assert_eq!(one.version_of("int32 a = 1; int32 b = 2;").await, 2);
    for place in [&two, &three] {
        eventually("heard", PATIENCE, || async { place.known() == ["a.A/2"] }).await;
    }
    // Both at once, or a broker would put back what is half there.
    let set_back =
        "for _, key in ipairs(KEYS) do redis.call('COPY', key .. ':older', key, 'REPLACE') end";
    server.command(&["EVAL", set_back, "2", RECORDS, INDEX]).await;
    let back = async || server.command(&["HEXISTS", RECORDS, "a.A/2"]).await == Reply::Integer(1);
    eventually("it is put back", PATIENCE, &back).await;
    assert_eq!(one.version_of("int32 a = 1; int32 b = 2; int32 c = 3;").await, 3);
    for place in [&two, &three] {
        eventually("heard", PATIENCE, || async { place.known() == ["a.A/3"] }).await;
        assert_eq!(place.broker.registry().snapshot().versions("a.A").len(), 3);
    }
}

#[tokio::test]
async fn a_record_that_cannot_be_read_harms_its_type_only() {
    let server = RedisServer::start(Persistence::None).await;
    let mut place = Place::on(&server, "b1").await;
    place.version_of("int32 a = 1;").await;
    // As a newer broker would: what it writes this one cannot read.
    let set = "local r = string.format('%.0f', redis.call('HGET', KEYS[1], ':revision') + 1) \
               redis.call('HSET', KEYS[1], 'a.A/2', 'newer', 'not ours', '?', ':revision', r) \
               redis.call('ZADD', KEYS[2], r, 'a.A/2') redis.call('ZADD', KEYS[2], r, 'not ours') \
               return r";
    server.command(&["EVAL", set, "2", RECORDS, INDEX]).await;
    assert_eq!(place.list("").await, ["a.A/1"]);
    let warnings = place.broker.info().warnings;
    assert!(warnings.iter().any(|w| w.contains("cannot read: 1,")), "{warnings:?}");
    let unreadable = (Code::FailedPrecondition, "SCHEMA_UNREADABLE".to_owned());
    let more = of_fields("int32 a = 1; int32 b = 2;");
    assert_eq!(refused(place.register(more.clone()).await), unreadable);
    let other = of_sources("b.B", &[("b.proto", "package b; message B {}")]);
    assert_eq!(place.register(other).await.expect("registered").version, 1);
    place.delete("a.A", false).await.expect("deleted, with what cannot be read");
    assert_eq!(place.register(more).await.expect("registered").version, 1);

    // A key that is not ours at all: what was known stays, and events go on.
    server.command(&["SET", RECORDS, "foreign"]).await;
    let status = place.register(of_fields("int32 a = 1;")).await.expect_err("foreign");
    assert_eq!(reason(&status), "BACKEND_REFUSED");
    assert!(status.message().contains(RECORDS), "{status:?}");
    publish(&place.broker, "orders", vec![event(1)]).await.expect("stored");
    assert_eq!(place.known(), ["a.A/1", "b.B/1"]);
    server.del(&[RECORDS]).await;
    eventually("it is put back", PATIENCE, || async {
        server.command(&["HEXISTS", RECORDS, "b.B/1"]).await == Reply::Integer(1)
    })
    .await;
}

#[tokio::test]
async fn hostile_schemas_are_refused_while_others_publish() {
    let mut place = Place::of(in_memory()).await;
    let file = |text: &str| of_sources("a.A", &[("a.proto", text)]);
    let messages: String = (0..10_000).map(|n| format!("message A{n} {{}}\n")).collect();
    let deep = "message A {".repeat(200) + &"}".repeat(200);
    let mut not_utf8 = file("");
    not_utf8.schema.as_mut().unwrap().sources.insert("a.proto".into(), b"package a;\n\xff".into());
    let of_set = |set: Vec<u8>| {
        let descriptors = Some(set.into());
        let schema = Schema { r#type: "a.A".into(), descriptors, ..Default::default() };
        RegisterSchemaRequest { schema: Some(schema), ..Default::default() }
    };
    // A file of many empty messages: two bytes each, and hundreds in memory.
    let mut bomb = vec![0x0a, 0xc0, 0x84, 0x3d];
    bomb.extend([0x22, 0x00].repeat(500_000));
    // Groups inside groups, as a file's unknown field.
    let groups = [vec![0x0b; 400_000], vec![0x0c; 400_000]].concat();
    let hostile: Vec<(&str, RegisterSchemaRequest, &str)> = vec![
        ("10 MB", file(&format!("package a; // {}", "x".repeat(10 << 20))), "1048576"),
        (
            "a cycle",
            of_sources(
                "a.A",
                &[
                    ("a.proto", "package a; import \"b.proto\"; message A {}"),
                    ("b.proto", "package b; import \"a.proto\";"),
                ],
            ),
            "a.proto -> b.proto -> a.proto",
        ),
        ("messages", file(&format!("package a;\n{messages}")), "4096"),
        ("deep", file(&format!("package a; {deep}")), "a.proto:1:"),
        ("ours", file("package tidings.v1; message A {}"), "\"tidings.v1\""),
        ("theirs", file("package grpc.health.v1; message A {}"), "\"grpc.health.v1\""),
        ("not UTF-8", not_utf8, "a.proto:2:1: not UTF-8"),
        ("a bomb", of_set(bomb), "32768"),
        ("groups", of_set(groups), ""),
        ("no set", of_set(b"\xff\xff".to_vec()), "not a google.protobuf.FileDescriptorSet"),
    ];
    let broker = place.broker.clone();
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let publishing = tokio::spawn(async move {
        let mut published = 0;
        while stopped.try_recv().is_err() {
            publish(&broker, "orders", vec![event(published)]).await.expect("stored");
            published += 1;
            tokio::task::yield_now().await;
        }
        published
    });
    for (what, request, why) in hostile {
        let began = std::time::Instant::now();
        let refused = tokio::time::timeout(PATIENCE, place.register(request)).await;
        let status = refused.expect("answered in time").expect_err(what);
        println!("{what}: {:?}", began.elapsed());
        assert_eq!(status.code(), Code::InvalidArgument, "{what}: {status:?}");
        assert_eq!(reason(&status), "SCHEMA_INVALID", "{what}");
        assert!(status.message().contains(why), "{what}: {}", status.message());
    }
    stop.send(()).expect("it publishes on");
    assert!(publishing.await.expect("it went on") > 0);
    assert_eq!(place.list("").await, [""; 0]);
}

#[tokio::test]
async fn more_than_can_be_compiled_is_refused_and_nothing_is_lost() {
    let place = Place::of(in_memory()).await;
    let fields: String = (1..2000).map(|n| format!("int32 f{n} = {n};")).collect();
    let requests = (0..100).map(|n| {
        let mut schemas = place.schemas.clone();
        let request = of_fields(&format!("{fields} int32 last = {};", 5000 + n));
        async move { schemas.register_schema(request).await }
    });
    let answers = futures_util::future::join_all(requests).await;
    let mut registered = 0;
    for answer in answers {
        match answer {
            Ok(_) => registered += 1,
            Err(status) if reason(&status) == "SCHEMA_INCOMPATIBLE" => (),
            Err(status) => {
                let busy = (Code::ResourceExhausted, "RATE_LIMITED".to_owned());
                assert_eq!((status.code(), reason(&status)), busy, "{status:?}");
            }
        }
    }
    assert!(registered > 0);
    assert_eq!(place.broker.registry().snapshot().versions("a.A").len(), registered);
}

#[tokio::test]
async fn a_person_with_grpcurl_registers_from_text() {
    let mut place = Place::of(in_memory()).await;
    let target = place.served.address.to_string();
    let call = async |data: &str, method: &str| {
        let mut command = std::process::Command::new(grpcurl());
        command.args(["-plaintext", "-d", data, &target, method]);
        Process::run(command, "").await
    };
    let text = r#"syntax = \"proto3\"; package shop.v1; message OrderPlaced { string id = 1; }"#;
    let data = format!(
        r#"{{"schema":{{"type":"shop.v1.OrderPlaced","sources":{{"order.proto":"{text}"}}}}}}"#
    );
    let answer = call(&data, "tidings.v1.Schemas/RegisterSchema").await.ok().join("\n");
    assert!(answer.contains("\"version\": 1"), "{answer}");
    assert!(answer.contains("COMPATIBILITY_BACKWARD"), "{answer}");
    assert_eq!(place.list("").await, ["shop.v1.OrderPlaced/1"]);
    let refused = call(&data.replace("string", "int32"), "tidings.v1.Schemas/RegisterSchema").await;
    let told = refused.err;
    assert!(told.contains("FIELD_SCALAR_KIND_CHANGED"), "{told}");
    assert!(told.contains("shop.v1.OrderPlaced.id"), "{told}");
}
