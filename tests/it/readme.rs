//! The pages that a new user reads: every console block is run, and what it shows is compared.
//!
//! A block is a transcript of `sh`: lines that begin with `$ ` are typed, the others are what is
//! then to be seen. White space does not count, `…` stands for anything, ids and times for any.
//! Commands that go on (servers, subscribers) stay until the page ends or another server starts.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
    process::Command,
};

use crate::support::{
    holds_within,
    process::{PATIENCE, Process, grpcurl, python, tidings},
    redis::{Persistence, RedisServer, free_port},
};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// What stands in a page, in order.
#[derive(Debug)]
enum Part {
    Typed {
        command: String,
        shown: String,
    },
    /// A file that a block of another kind gives, with its name in its first line.
    File {
        name: String,
        text: String,
    },
}

/// A machine on which only the documented programs are, at free ports.
struct Machine {
    folder: tempfile::TempDir,
    redis: RedisServer,
    port: u16,
    server: Option<Process>,
    /// What goes on, with what it shows.
    followers: Vec<(String, Process, String)>,
}

#[tokio::test]
async fn the_readme_tells_the_truth() {
    let mut machine = Machine::start().await;
    let typed = machine.follow("README.md").await;
    // What a new user must find there.
    for part in [
        "7070 list",
        "describe tidings.v1.Broker",
        "tidings.v1.Broker/Publish",
        "tidings.v1.Broker/Subscribe",
        "--redis redis://127.0.0.1:6379",
        "redis-cli PUBLISH",
        "redis_py/",
        "cargo xtask test",
    ] {
        assert!(typed.iter().any(|command| command.contains(part)), "README.md never types {part}");
    }
}

#[tokio::test]
async fn the_manual_of_the_command_line_tells_the_truth() {
    let mut machine = Machine::start().await;
    machine.serve("tidings").await;
    machine.follow("docs/cli.md").await;
}

#[tokio::test]
async fn the_order_story_tells_the_truth() {
    let mut machine = Machine::start().await;
    machine.serve("tidings --redis redis://127.0.0.1:6379").await;
    machine.follow("examples/orders/README.md").await;
}

/// `type_in` refuses base64 in whatever grpcurl shows.
#[tokio::test]
async fn grpcurl_shows_text_as_text_and_json_as_json() {
    let mut machine = Machine::start().await;
    machine.serve("tidings").await;
    let call = "grpcurl -plaintext -d";
    let at = "127.0.0.1:7070 tidings.v1.Broker";
    let events = r#"[{"text":"plain words"},{"json":{"a":[1,"b"]}},{"json":"c"}]"#;
    let publish = format!(r#"{call} '{{"topic":"orders","events":{events}}}' {at}/Publish"#);
    machine.type_in(&publish, "{…}").await;
    for (view, shown) in [
        ("VIEW_UNSPECIFIED", r#"…"text":"plain words"…"text":"{\"a\":[1,\"b\"]}"…"text":"\"c\""…"#),
        ("VIEW_JSON", r#"…"plain words"…"json":{"a":[1,"b"]}…"json":"c"…"#),
        ("VIEW_METADATA", r#"…"sequence":"1"…"sequence":"2"…"sequence":"3"…"#),
    ] {
        let request =
            format!(r#"{{"topics":["orders"],"last":3,"stop_at_end":true,"view":"{view}"}}"#);
        machine.type_in(&format!("{call} '{request}' {at}/Subscribe"), shown).await;
    }
}

impl Machine {
    async fn start() -> Machine {
        let folder = tempfile::tempdir().unwrap();
        let redis = RedisServer::start(Persistence::None).await;
        let bin = folder.path().join("bin");
        fs::create_dir(&bin).unwrap();
        let program = tidings(&[]).get_program().to_str().unwrap().to_owned();
        let cargo = format!(
            "case \"$1 $2\" in\n\
             'run --release') shift 2; test \"$1\" = -- && shift; exec '{program}' \"$@\";;\n\
             esac\n\
             echo \"$@: not a documented command\"; exit 1"
        );
        // As at a terminal: redis-cli says what kind an answer is.
        let redis_cli = format!("exec redis-cli --no-raw -p {} \"$@\"", redis.port());
        for (name, script) in [
            ("cargo", cargo),
            ("tidings", format!("exec '{program}' \"$@\"")),
            ("grpcurl", format!("exec '{}' \"$@\"", grpcurl().display())),
            ("python3", format!("exec '{}' \"$@\"", python().display())),
            ("redis-cli", redis_cli),
        ] {
            let file = bin.join(name);
            // It must not find itself, nor the others here.
            fs::write(&file, format!("#!/bin/sh\nPATH=${{PATH#*:}}\n{script}\n")).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        }
        symlink(Path::new(ROOT).join("examples"), folder.path().join("examples")).unwrap();
        let target = Path::new(&program).ancestors().nth(2).unwrap();
        symlink(target, folder.path().join("target")).unwrap();
        Machine { folder, redis, port: free_port(), server: None, followers: Vec::new() }
    }

    /// Does all that a page says; returns what it types.
    async fn follow(&mut self, page: &str) -> Vec<String> {
        let text = fs::read_to_string(Path::new(ROOT).join(page)).unwrap();
        let mut typed = Vec::new();
        for part in parts(&text) {
            match part {
                Part::File { name, text } => {
                    fs::write(self.folder.path().join(name), self.here(&text)).unwrap();
                }
                Part::Typed { command, shown } => {
                    self.type_in(&command, &shown).await;
                    typed.push(command);
                }
            }
        }
        assert!(!typed.is_empty(), "{page} has no console block");
        self.settle().await;
        typed
    }

    async fn type_in(&mut self, command: &str, shown: &str) {
        // These would run this test again; that there is such a command is enough.
        if let Some(task) = command.strip_prefix("cargo xtask ") {
            let task = task.split_whitespace().next().unwrap();
            let usage = fs::read_to_string(Path::new(ROOT).join("xtask/src/main.rs")).unwrap();
            assert!(usage.contains(&format!("\n  {task} ")), "there is no `cargo xtask {task}`");
            return;
        }
        let shown = self.here(shown);
        if is_server(command) {
            self.serve(command).await;
            let server = self.server.as_ref().unwrap();
            let out = || server.lines(crate::support::process::Stream::Out).join("\n");
            let told = holds_within(PATIENCE, || async { looks_like(&shown, &out(), Until::Now) });
            assert!(told.await, "$ {command}\nshould show:\n{shown}\nand shows:\n{}", out());
            return;
        }
        if goes_on(command) {
            // Both streams in one, in the order in which they are seen.
            let process = Process::start(self.shell(&format!("exec 2>&1\nexec {command}")));
            let ready = ["listening on", "\"opened\"", "subscribed to"];
            let is_ready = || async { ready.iter().any(|word| process.output().contains(word)) };
            let ready = holds_within(PATIENCE, is_ready).await;
            assert!(ready, "$ {command}\nnever listened:\n{}", process.output());
            self.followers.push((command.to_owned(), process, shown));
            return;
        }
        let ended = Process::run(self.shell(&format!("exec 2>&1\n{command}")), "").await;
        let seen = ended.out.join("\n");
        no_base64(command, &seen);
        assert!(
            looks_like(&shown, &seen, Until::End),
            "$ {command}\nshould show:\n{shown}\nand shows:\n{seen}"
        );
    }

    /// Waits until everything that goes on has shown what it should.
    async fn settle(&mut self) {
        for (command, process, shown) in self.followers.drain(..) {
            let seen = || process.lines(crate::support::process::Stream::Out).join("\n");
            let settled =
                holds_within(PATIENCE, || async { looks_like(&shown, &seen(), Until::Now) });
            assert!(settled.await, "$ {command}\nshould show:\n{shown}\nand shows:\n{}", seen());
            no_base64(&command, &seen());
        }
    }

    /// Starts a server in place of the last one, when all have seen what that one did.
    async fn serve(&mut self, command: &str) {
        self.settle().await;
        if let Some(mut server) = self.server.take() {
            server.signal("-TERM");
            let status = server.ended(PATIENCE).await.expect("an end");
            assert!(status.success(), "{}", server.output());
        }
        let server = Process::start(self.shell(&format!("exec {command}")));
        server.says(&format!("listening on 127.0.0.1:{}", self.port)).await;
        self.server = Some(server);
    }

    fn shell(&self, script: &str) -> Command {
        let here = format!("127.0.0.1:{}", self.port);
        let path = std::env::var("PATH").unwrap();
        // Without settings of whoever runs the tests.
        let mut command = Command::new("sh");
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TIDINGS_") {
                command.env_remove(name);
            }
        }
        command
            .args(["-c", &self.here(script)])
            .current_dir(self.folder.path())
            .env("PATH", format!("{}:{path}", self.folder.path().join("bin").display()))
            .env("TIDINGS_LISTEN", &here)
            .env("TIDINGS_ADDRESS", &here)
            .env("REDIS_URL", self.redis.url())
            .env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }

    /// With the ports of this machine.
    fn here(&self, text: &str) -> String {
        text.replace("127.0.0.1:7070", &format!("127.0.0.1:{}", self.port))
            .replace("127.0.0.1:6379", &format!("127.0.0.1:{}", self.redis.port()))
    }
}

fn is_server(command: &str) -> bool {
    let command = command.split(" #").next().unwrap().trim();
    let flags = command.strip_prefix("cargo run --release").or(command.strip_prefix("tidings"));
    flags.is_some_and(|flags| {
        let flags = flags.trim().trim_start_matches("-- ");
        flags.is_empty() || flags.starts_with("--")
    })
}

/// A command that waits for what others do.
fn goes_on(command: &str) -> bool {
    let subscribes = command.contains("Broker/Subscribe") && !command.contains("stop_at_end");
    let sub = command.contains(" sub ") && !command.contains("--from");
    let script = ["inventory.py", "notification.py"].iter().any(|name| command.contains(name));
    let service = command.contains("/service") && !command.contains("python/service");
    subscribes || sub || script || service
}

/// For a person with grpcurl, text and JSON are text and JSON, and so are the details of errors.
fn no_base64(command: &str, seen: &str) {
    if command.starts_with("grpcurl") {
        for bytes in ["\"data\":", "\"@value\"", "\"value\":", "@error"] {
            assert!(!seen.contains(bytes), "$ {command}\nshows bytes:\n{seen}");
        }
    }
}

fn parts(page: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    for (kind, block) in blocks(page) {
        if kind != "console" {
            let name = block.lines().next().and_then(|line| line.strip_prefix("# "));
            if let Some(name) = name.and_then(|line| line.split([',', ' ']).next()) {
                parts.push(Part::File { name: name.to_owned(), text: block.clone() });
            }
            continue;
        }
        for line in block.lines() {
            match (line.strip_prefix("$ "), parts.last_mut()) {
                (Some(command), _) => {
                    parts.push(Part::Typed { command: command.to_owned(), shown: String::new() });
                }
                (None, Some(Part::Typed { shown, .. })) => {
                    shown.push_str(line);
                    shown.push('\n');
                }
                (None, _) => panic!("a console block begins with what is typed: {line}"),
            }
        }
    }
    parts
}

/// The fenced blocks of a page, each with its language.
fn blocks(page: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in page.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(kind)) => open = Some((kind.to_owned(), String::new())),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some((_, text)), None) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, None) => (),
        }
    }
    blocks
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    /// What was seen is all of it.
    End,
    /// More may come.
    Now,
}

fn looks_like(shown: &str, seen: &str, until: Until) -> bool {
    let (shown, seen) = (loose(shown), loose(seen));
    let mut rest = seen.as_str();
    let pieces: Vec<_> = shown.split('…').collect();
    let (first, others) = pieces.split_first().expect("at least one piece");
    let Some(after) = rest.strip_prefix(first) else { return false };
    rest = after;
    if let [middle @ .., last] = others {
        for piece in middle {
            let Some(at) = rest.find(piece) else { return false };
            rest = &rest[at + piece.len()..];
        }
        return match until {
            Until::End => rest.ends_with(last),
            Until::Now => rest.contains(last),
        };
    }
    until == Until::Now || rest.is_empty()
}

/// Without white space, and with one word for each id, time and epoch.
fn loose(text: &str) -> String {
    let mut loose = String::new();
    let is_word = |c: char| c.is_ascii_alphanumeric() || "-:.+_".contains(c);
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        if end == 0 {
            if !first.is_whitespace() {
                loose.push(first);
            }
            rest = &rest[first.len_utf8()..];
            continue;
        }
        // As in `"epoch":17…`.
        let word = rest[..end].trim_start_matches(':');
        loose.push_str(&rest[..end - word.len()]);
        loose.push_str(placeholder(word));
        rest = &rest[end..];
    }
    loose
}

fn placeholder(word: &str) -> &str {
    let hex = |word: &str| word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let digits = |word: &str| word.bytes().all(|byte| byte.is_ascii_digit());
    let dashes = word.bytes().filter(|byte| *byte == b'-').count();
    if (word.len() == 36 && dashes == 4) || (word.len() == 32 && hex(word)) {
        "<id>"
    } else if word.len() >= 16 && digits(word) {
        "<epoch>"
    } else if word.ends_with('Z') && word.get(..4).is_some_and(digits) && word.contains('T') {
        "<time>"
    } else {
        word
    }
}

#[test]
fn a_page_that_lies_is_found_out() {
    let seen = r#"{"id": "01a20667-8d2b-7659-8aab-93e6367f5136",
        "time": "2026-11-23T03:16:19.371812Z", "epoch":1795403779371862, "sequence": 1}"#;
    for (shown, until, alike) in [
        (seen, Until::End, true),
        (
            &seen.replace("7659", "1111").replace("2026", "2025").replace("1795", "1790"),
            Until::End,
            true,
        ),
        ("{…\"sequence\": 1}", Until::End, true),
        ("{\"id\": \"…\", …}", Until::End, true),
        ("{\"id\":", Until::Now, true),
        ("…\"sequence\"", Until::Now, true),
        ("…\"sequence\"", Until::End, false),
        ("{\"id\":", Until::End, false),
        ("{…\"sequence\": 2}", Until::End, false),
        ("{…\"sequence\": 2…", Until::Now, false),
        ("{\"name\": …}", Until::End, false),
        ("", Until::Now, true),
        ("", Until::End, false),
    ] {
        assert_eq!(looks_like(shown, seen, until), alike, "{shown} {until:?}");
    }
    let page = "a\n```toml\n# t.toml, for x\na = 1\n```\n```console\n$ one\n1\n$ two # why\n```\n";
    let read = format!("{:?}", parts(page));
    assert!(
        read.contains(r##"File { name: "t.toml", text: "# t.toml, for x\na = 1\n" }"##),
        "{read}"
    );
    assert!(read.contains(r#"Typed { command: "one", shown: "1\n" }"#), "{read}");
    assert!(is_server("cargo run --release   # why") && is_server("tidings --config x"));
    assert!(
        is_server("cargo run --release -- --redis x") && !is_server("cargo run --release -- sub x")
    );
}
