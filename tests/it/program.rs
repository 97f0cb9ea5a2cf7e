//! The program as people and scripts use it: what goes in, what comes out, and how it ends.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    broker::Broker,
    process::{Ended, PATIENCE, Process, Stream, tidings},
    redis::{Persistence, RedisServer, free_port},
};

/// A server, and the program as its client.
struct Served {
    broker: Broker,
    address: String,
}

impl Served {
    async fn start(arguments: &[&str]) -> Served {
        let broker = Broker::program(arguments).await;
        let address = broker.address().to_string();
        Served { broker, address }
    }

    fn client(&self, arguments: &[&str]) -> Process {
        Process::start(tidings(&[arguments, &["--address", &self.address]].concat()))
    }

    async fn run(&self, arguments: &[&str], input: &str) -> Ended {
        let command = tidings(&[arguments, &["--address", &self.address]].concat());
        Process::run(command, input).await
    }

    async fn publish(&self, topic: &str, numbers: std::ops::RangeInclusive<u32>) -> Vec<String> {
        let input: String = numbers.map(|number| format!("{{\"n\":{number}}}\n")).collect();
        self.run(&["pub", topic, "--lines"], &input).await.ok()
    }
}

/// What `--lines` published as `{"n":…}`, of what `sub` printed.
fn numbers(lines: &[String]) -> Vec<u64> {
    let number = |line: &String| parsed(line)["data"]["n"].as_u64().unwrap();
    lines.iter().map(number).collect()
}

fn parsed(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// What a publisher said of an event, without what the server added.
fn said(line: &str) -> Value {
    let mut line = parsed(line);
    let object = line.as_object_mut().unwrap();
    for added in ["topic", "epoch", "sequence", "publish_time", "time", "id", "source"] {
        assert!(object.remove(added).is_some(), "{added} is missing");
    }
    line
}

#[tokio::test]
async fn what_pub_reads_is_what_sub_prints() {
    let served = Served::start(&[]).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("data");
    std::fs::write(&file, [0xff, 0xfe]).unwrap();
    let file = file.to_str().unwrap();
    let following = served.client(&["sub", "orders", "--count", "7"]);
    following.says("subscribed to orders").await;
    let typed = ["pub", "orders", r#"{"id":1}"#, "--type", "shop.v1.Order", "--key", "k"];
    for (arguments, input) in [
        (&typed[..], ""),
        (&["pub", "orders", "plain words", "-H", "traceparent=00"], ""),
        (&["pub", "orders"], "from stdin"),
        (&["pub", "orders", "--file", file], ""),
        (&["pub", "orders", "--lines"], "one\n[2]\n"),
        (&["pub", "orders", "--json-lines"], "\n{\"type\":\"T\",\"data\":1.50}\n"),
    ] {
        let receipts = served.run(arguments, input).await.ok();
        for receipt in receipts.iter().map(|line| parsed(line)) {
            assert_eq!(
                (&receipt["topic"], &receipt["durability"]),
                (&json!("orders"), &json!("LIVE"))
            );
        }
    }
    let lines = following.end().await.ok();
    let (plain, json) = ("text/plain", "application/json");
    let untyped = "tidings.untyped";
    let expected = [
        json!({"type": "shop.v1.Order", "key": "k", "datacontenttype": json, "data": {"id": 1}}),
        json!({"type": untyped, "datacontenttype": plain, "extensions": {"traceparent": "00"},
               "text": "plain words"}),
        json!({"type": untyped, "datacontenttype": plain, "text": "from stdin"}),
        json!({"type": untyped, "datacontenttype": "application/octet-stream",
               "data_base64": "//4="}),
        json!({"type": untyped, "datacontenttype": plain, "text": "one"}),
        json!({"type": untyped, "datacontenttype": json, "data": [2]}),
        json!({"type": "T", "datacontenttype": json, "data": 1.5}),
    ];
    let told: Vec<_> = lines.iter().map(|line| said(line)).collect();
    assert_eq!(told, expected);
    assert!(lines[6].ends_with(r#""data":1.50}"#), "numbers stay as written: {}", lines[6]);

    // A topic is copied by a pipe; what only the server says is said anew.
    let read = served.run(&["sub", "orders", "--from", "earliest", "--stop-at-end"], "").await;
    let read = read.ok().join("\n");
    let copied = served.run(&["pub", "copies", "--json-lines"], &read).await;
    assert_eq!(copied.ok().len(), 7);
    let copies = served.run(&["sub", "copies", "--from", "last:7", "--count", "7"], "").await.ok();
    for (copy, line) in copies.iter().zip(&lines) {
        let (copy, line) = (parsed(copy), parsed(line));
        assert_eq!(copy["topic"], "copies");
        for kept in ["id", "source", "type", "time", "data", "text", "data_base64", "extensions"] {
            assert_eq!(copy[kept], line[kept], "{kept}");
        }
    }
}

#[tokio::test]
async fn sub_begins_where_it_is_told_and_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("tidings.toml");
    std::fs::write(&config, "[[topics]]\npattern = 'orders'\nmax_events = 3\n").unwrap();
    let served = Served::start(&["--config", config.to_str().unwrap()]).await;
    let receipts = served.publish("orders", 1..=5).await;
    let epoch = parsed(&receipts[0])["epoch"].to_string();
    let from = |start: &str| {
        let start = start.to_owned();
        let arguments = ["sub", "orders", "--stop-at-end", "--show-gaps", "--from"];
        let served = &served;
        async move { served.run(&[&arguments[..], &[start.as_str()]].concat(), "").await.ok() }
    };
    assert_eq!(numbers(&from("last:2").await), [4, 5]);
    assert_eq!(numbers(&from(&format!("orders:{epoch}:4")).await), [5]);
    assert_eq!(numbers(&from("-10m").await), [3, 4, 5]);

    let after_first = format!("orders:{epoch}:1");
    let lines = from(&after_first).await;
    let epoch: u64 = epoch.parse().unwrap();
    let at = |sequence: u64| json!({"epoch": epoch, "sequence": sequence});
    let gap = &parsed(&lines[0])["gap"];
    assert_eq!((&gap["topic"], &gap["missed"]), (&json!("orders"), &json!(1)), "{gap}");
    assert_eq!((&gap["after"], &gap["until"]), (&at(1), &at(2)), "{gap}");
    assert_eq!(numbers(&lines[1..]), [3, 4, 5]);

    let arguments = ["sub", "orders", "--stop-at-end", "--from", &after_first];
    let quiet = served.run(&arguments, "").await;
    assert!(quiet.err.contains("gap: 1 event missed after orders:"), "{}", quiet.err);
    assert_eq!(numbers(&quiet.ok()), [3, 4, 5]);
    let failed = served.run(&[&arguments[..], &["--fail-on-gap"]].concat(), "").await;
    assert_eq!(failed.code, Some(1), "{failed:?}");
    assert!(failed.err.contains("OUT_OF_RANGE/POSITION_LOST"), "{}", failed.err);
}

#[tokio::test]
async fn exit_codes_are_kept() {
    let served = Served::start(&[]).await;
    let nobody = format!("127.0.0.1:{}", free_port());
    let nobody_redis = format!("redis://{nobody}");
    let long = "k".repeat(100_000);
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("tidings.toml");
    std::fs::write(&config, "listen = '127.0.0.1:0'\nlisen = 1\n").unwrap();
    let config = config.to_str().unwrap();
    let here = served.address.as_str();
    for (arguments, code, said) in [
        (&["pub", "orders", "x", "--address", here][..], 0, ""),
        (&["healthcheck", "--address", here], 0, "serving"),
        (&["healthcheck", "--address", here, "--service", "tidings.v1.Broker"], 0, "serving"),
        (&["--version"], 0, "tidings"),
        (&["pub", "--help"], 0, "--json-lines"),
        (&["pub", "orders", "x", "--key", &long, "--address", here], 1, "EVENT_INVALID"),
        (&["pub", "_tidings.x", "x", "--address", here], 1, "TOPIC_NAME_INVALID"),
        (&["healthcheck", "--address", here, "--service", "nobody"], 1, ""),
        (&["pub", "orders", "--file", "there-is-none", "--address", here], 1, "there-is-none"),
        (&["publish"], 64, "publish"),
        (&["pub", "or ders", "x"], 64, "or ders"),
        (&["sub"], 64, "TOPICS"),
        (&["sub", "orders", "--from", "soon"], 64, "earliest"),
        (&["pub", "orders", "--json-lines", "--address", here], 64, "line 1: no event"),
        (&["--listen", "0.0.0.0:0"], 64, "--insecure"),
        (&["--listen", "nowhere"], 64, "--listen"),
        (&["--config", config], 64, "tidings.toml:2:1: unknown field `lisen`"),
        (&["--config", "there-is-none.toml"], 64, "there-is-none.toml"),
        (&["--redis", "http://127.0.0.1"], 64, "redis://"),
        (&["--redis", "redis://ann:a#b@127.0.0.1:1"], 64, "redis"),
        (&["--redis", &nobody_redis, "--redis-ca", config], 64, "rediss://"),
        (&["pub", "orders", "x", "--address", &nobody], 69, "no server answers"),
        (&["sub", "orders", "--address", &nobody], 69, "no server answers"),
        (&["healthcheck", "--address", &nobody], 69, &nobody),
        (&["--redis", &nobody_redis, "--listen", "127.0.0.1:0"], 69, &nobody),
    ] {
        let ended = Process::run(tidings(arguments), "{").await;
        assert_eq!(ended.code, Some(code), "{arguments:?}: {ended:?}");
        let all = format!("{}\n{}", ended.out.join("\n"), ended.err);
        assert!(all.contains(said), "{arguments:?}: no {said:?} in {all}");
        assert!(!ended.err.contains("panicked"), "{arguments:?}: {}", ended.err);
    }
    // Port taken: the cause is said, and it is no matter of the configuration.
    let taken = Process::run(tidings(&["--listen", here]), "").await;
    assert_eq!(taken.code, Some(1), "{taken:?}");
    assert!(taken.err.contains(here), "{}", taken.err);
}

#[tokio::test]
async fn whoever_stops_reading_ends_sub_quietly() {
    let served = Served::start(&[]).await;
    served.publish("orders", 1..=1000).await;
    // `head` reads the first line and goes; the status is that of `sub`.
    let script = "\"$0\" sub orders --from earliest --address \"$1\" 2>&3 | head -1; \
                  exit ${PIPESTATUS[0]}";
    let mut shell = std::process::Command::new("bash");
    shell.args(["-c", &format!("exec 3>&2; {script}"), env!("CARGO_BIN_EXE_tidings")]);
    shell.arg(&served.address);
    let mut shell = Process::start(shell);
    shell.prints(1).await;
    // It learns of the closed pipe when it writes again, at the latest now.
    served.publish("orders", 1001..=1010).await;
    let status = shell.ended(PATIENCE).await.expect("an end");
    assert_eq!(status.code(), Some(0), "{}", shell.output());
    assert_eq!(shell.lines(Stream::Err), ["tidings: subscribed to orders"]);
}

#[tokio::test]
async fn what_check_prints_is_a_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let first = folder.path().join("first.toml");
    let text = "redis = 'redis://ann:canary@127.0.0.1:1/2'\ndrain_grace = '7s'\n\
                [[topics]]\npattern = 'orders.*'\nbridge = 'raw'\nmax_bytes = '2MiB'\n";
    std::fs::write(&first, text).unwrap();
    let check = |file: &std::path::Path| {
        let file = file.to_str().unwrap().to_owned();
        async move {
            let command = tidings(&["--check", "--listen", "127.0.0.1:7171", "--config", &file]);
            Process::run(command, "").await
        }
    };
    let told = check(&first).await;
    assert!(told.err.contains("the bridge of orders.* copies data as it is"), "{}", told.err);
    assert!(!format!("{told:?}").contains("canary"), "{told:?}");
    let printed = told.ok();
    assert!(printed.contains(&"drain_grace = \"7s\"".to_owned()), "{printed:?}");
    let second = folder.path().join("second.toml");
    std::fs::write(&second, printed.join("\n")).unwrap();
    assert_eq!(check(&second).await.ok(), printed);
}

#[tokio::test]
async fn every_shell_has_completions() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = Process::run(tidings(&["completions", shell]), "").await.ok();
        assert!(script.iter().any(|line| line.contains("healthcheck")), "{shell}: {script:?}");
    }
}

#[tokio::test]
async fn sub_goes_on_over_a_restart_without_loss_or_repeat() {
    let redis = RedisServer::start(Persistence::None).await;
    let url = redis.url();
    let listen = format!("127.0.0.1:{}", free_port());
    let mut first = Broker::program_at(&listen, &["--redis", &url]).await;
    let other = Served::start(&["--redis", &url]).await;
    let arguments = ["sub", "orders", "--count", "40", "--show-gaps", "--address", &listen];
    let following = Process::start(tidings(&arguments));
    following.says("subscribed to orders").await;
    other.publish("orders", 1..=10).await;
    following.prints(10).await;
    first.kill9();
    other.publish("orders", 11..=20).await;
    following.says("trying again").await;
    let second = Broker::program_at(&listen, &["--redis", &url]).await;
    other.publish("orders", 21..=30).await;
    following.prints(30).await;
    // And when it is asked to go elsewhere, as at every deploy.
    second.sigterm();
    second.process().says("drained").await;
    drop(second);
    let _third = Broker::program_at(&listen, &["--redis", &url]).await;
    other.publish("orders", 31..=40).await;
    let ended = following.end().await;
    assert_eq!(numbers(&ended.ok()), (1..=40).collect::<Vec<_>>());
}

#[tokio::test]
async fn sigterm_drains() {
    let served = Served::start(&["--drain-grace", "500ms"]).await;
    let following = served.client(&["sub", "orders"]);
    following.says("subscribed to orders").await;
    let Served { mut broker, .. } = served;
    broker.sigterm();
    let status = broker.ended(PATIENCE).await.expect("an end");
    assert_eq!(status.code(), Some(0), "{}", broker.output());
    following.says("trying again").await;
    assert!(broker.panics().is_empty(), "{:?}", broker.panics());
    let said = broker.process().lines(Stream::Err);
    let told = said.iter().filter(|line| line.contains("draining")).count();
    assert_eq!(told, 1, "{said:?}");
}

/// To wait and try again, as after 69, would not help.
#[tokio::test]
async fn what_redis_does_not_let_in_is_a_matter_of_the_configuration() {
    let secret = |_: &std::path::Path| vec!["--requirepass".into(), "canary".into()];
    let redis = RedisServer::start_with(Persistence::None, secret).await;
    for (what, who) in
        [("no password", ""), ("a wrong one", ":wrong@"), ("no such user", "ann:canary@")]
    {
        let url = format!("redis://{who}127.0.0.1:{}", redis.port());
        let command = tidings(&["--redis", &url, "--listen", "127.0.0.1:0"]);
        let ended = Process::run(command, "").await;
        assert_eq!(ended.code, Some(64), "{what}: {ended:?}");
        let said = "refuses the user or the password";
        assert!(ended.err.contains(said), "{what}: {}", ended.err);
        assert!(!ended.err.contains("canary"), "{what}: {}", ended.err);
    }
    let right = format!("redis://:canary@127.0.0.1:{}", redis.port());
    let served = Served::start(&["--redis", &right]).await;
    served.publish("orders", 1..=1).await;
}

#[tokio::test]
async fn a_second_signal_ends_the_drain_at_once() {
    let served = Served::start(&["--drain-grace", "5m"]).await;
    // It stays until the grace is over, as it never reads that it should go.
    let following = served.client(&["sub", "orders"]);
    following.says("subscribed to orders").await;
    following.signal("-STOP");
    let Served { mut broker, address } = served;
    broker.sigterm();
    broker.process().says("draining").await;
    let health = async || {
        let ended = Process::run(tidings(&["healthcheck", "--address", &address]), "").await;
        (ended.code, ended.out)
    };
    crate::support::eventually("it is not serving", PATIENCE, || async {
        health().await == (Some(1), vec!["not serving".to_owned()])
    })
    .await;
    broker.sigterm();
    let status = broker.ended(Duration::from_secs(10)).await.expect("an end within the grace");
    assert_eq!(status.code(), Some(143), "{}", broker.output());
}

#[tokio::test]
async fn no_password_is_said_while_it_runs() {
    let mut redis = RedisServer::start(Persistence::None).await;
    let user = ["ACL", "SETUSER", "ann", "on", ">canary", "~*", "&*", "+@all"];
    redis.command(&user).await;
    let place = format!("127.0.0.1:{}/1", redis.port());
    let wrong = format!("redis://ann:wrong-canary@{place}");
    let listen = ["--listen", "127.0.0.1:0", "--log", "trace"];
    let refused = Process::run(tidings(&[&["--redis", &wrong], &listen[..]].concat()), "").await;
    assert_eq!(refused.code, Some(64), "{refused:?}");
    assert!(refused.err.contains("WRONGPASS"), "the cause is said: {}", refused.err);
    assert!(!format!("{refused:?}").contains("canary"), "{refused:?}");

    let url = format!("redis://ann:canary@{place}");
    let served = Served::start(&["--redis", &url, "--log", "trace"]).await;
    served.publish("orders", 1..=3).await;
    // The user is gone after the restart: every new connection is refused.
    redis.restart().await;
    served.broker.process().says("WRONGPASS").await;
    let failed = served.run(&["pub", "orders", "x"], "").await;
    assert_eq!(failed.code, Some(69), "{failed:?}");
    redis.command(&user).await;
    crate::support::eventually("it publishes again", PATIENCE, || async {
        served.run(&["pub", "orders", "x"], "").await.code == Some(0)
    })
    .await;
    assert!(!failed.err.contains("canary"), "{}", failed.err);
    let output = served.broker.output();
    assert!(!output.contains("canary"), "{output}");
    assert!(served.broker.panics().is_empty(), "{output}");
}

#[tokio::test]
async fn topics_are_managed_from_the_command_line() {
    let served = Served::start(&[]).await;
    let create = ["topic", "create", "orders", "--durable", "--max-bytes", "64MiB"];
    let more = ["--label", "team=shop", "--label", "tier=1", "--default-type", "shop.v1.Order"];
    let created = parsed(&served.run(&[&create[..], &more].concat(), "").await.ok()[0]);
    assert_eq!((&created["mode"], &created["max_bytes"]), (&json!("durable"), &json!(64 << 20)));
    assert_eq!(created["labels"], json!({"team": "shop", "tier": "1"}));
    assert_eq!(created["max_age"], Value::Null, "a limit that is given is all there are");
    let again = served.run(&["topic", "create", "orders"], "").await;
    assert_eq!(again.code, Some(1));
    assert!(again.err.contains("ALREADY_EXISTS/TOPIC_EXISTS"), "{}", again.err);

    served.publish("orders", 1..=3).await;
    served.publish("logs", 1..=1).await;
    let update = ["topic", "update", "orders", "--max-age", "7d", "--label", "tier="];
    let updated = parsed(&served.run(&update, "").await.ok()[0]);
    assert_eq!((&updated["max_age"], &updated["max_bytes"]), (&json!("168h"), &json!(64 << 20)));
    assert_eq!(updated["labels"], json!({"team": "shop"}));
    assert_eq!(updated["last"]["sequence"], 3);
    let listed = served.run(&["topic", "ls"], "").await.ok();
    let names: Vec<_> = listed.iter().map(|line| parsed(line)["topic"].clone()).collect();
    assert_eq!(names, ["logs", "orders"]);
    assert_eq!(parsed(&listed[0])["auto_created"], true);

    let etag = created["etag"].as_str().unwrap();
    let stale = served.run(&["topic", "rm", "orders", "--etag", etag], "").await;
    assert!(stale.err.contains("ABORTED/ETAG_MISMATCH"), "{}", stale.err);
    assert_eq!(served.run(&["topic", "rm", "orders"], "").await.ok(), [""; 0]);
    let gone = served.run(&["topic", "show", "orders"], "").await;
    assert!(gone.err.contains("NOT_FOUND/TOPIC_NOT_FOUND"), "{}", gone.err);
    for (wrong, code) in [
        (&["topic", "update", "logs"][..], 64),
        (&["topic", "create", "a", "--etag", "1"], 64),
        (&["topic", "create", "a.*"], 64),
        (&["topic", "update", "logs", "--max-age", "1h"], 1),
    ] {
        assert_eq!(served.run(wrong, "").await.code, Some(code), "{wrong:?}");
    }
}
