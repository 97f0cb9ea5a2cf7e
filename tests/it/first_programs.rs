//! From zero to the first events in each language, as its pages say: the first program of the client's
//! README, and all of docs/languages.
//!
//! A block that is introduced by a name in backquotes is a file of that name. Console blocks are typed
//! in a folder beside the checkout, and what they show is compared; blocks of `sh` (what is installed
//! once, and needs the network) are not. The packages come from where `cargo xtask clients` put them.

use std::{
    fs,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::{
    readme::{Until, blocks, looks_like},
    support::{
        beside_others,
        broker::Broker,
        holds_within,
        process::{Process, Stream, client_tools, tidings},
        redis::{Persistence, RedisServer},
    },
};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// For one command on a machine that builds other things as well.
const COMMAND: Duration = Duration::from_secs(240);
/// What a first program may take to write, with all of its imports.
const FIRST_PROGRAM_LINES_MAX: usize = 15;

#[tokio::test]
async fn python_goes_from_zero_to_its_first_events() {
    begin("python").await;
}

#[tokio::test]
async fn typescript_goes_from_zero_to_its_first_events() {
    begin("typescript").await;
}

#[tokio::test]
async fn go_goes_from_zero_to_its_first_events() {
    begin("go").await;
}

#[tokio::test]
async fn java_goes_from_zero_to_its_first_events() {
    begin("java").await;
}

#[tokio::test]
async fn rust_goes_from_zero_to_its_first_events() {
    begin("rust").await;
}

/// All that both pages say, in order; in the end the program that follows a topic across a restart.
async fn begin(language: &str) {
    let _turn = beside_others().await;
    let redis = RedisServer::start(Persistence::None).await;
    let on_redis = ["--redis", &redis.url()];
    let mut broker = Broker::program(&on_redis).await;
    let mut desk = Desk::new(&broker);

    let read = |page: &str| fs::read_to_string(Path::new(ROOT).join(page)).unwrap();
    let readme = parts(&read(&format!("clients/{language}/README.md")));
    let [Part::File { name, text }] = &readme[..] else { panic!("one program: {readme:?}") };
    let lines = text.lines().filter(|line| !line.trim().is_empty()).count();
    assert!(lines <= FIRST_PROGRAM_LINES_MAX, "{name} of {language} takes {lines} lines");
    desk.write(name, text);

    let mut shown = 0;
    for part in parts(&read(&format!("docs/languages/{language}.md"))) {
        match part {
            Part::File { name, text } => desk.write(&name, &text),
            Part::Typed { command, output } => {
                shown += usize::from(!output.is_empty());
                desk.type_in(&command, &output).await;
            }
        }
    }
    assert!(shown >= 3, "the first program, a typed event and an error");

    let Follower(follower) = desk.follower.as_ref().expect("a program that follows");
    // Publishing before it has subscribed would be missed, and rightly so.
    let greeted = publish_until_heard(&broker, follower).await;
    broker.sigterm();
    broker.ended(COMMAND).await.expect("an end");
    let broker = Broker::program_at(&broker.address().to_string(), &on_redis).await;
    publish(&broker, "after").await;
    follower.says("after").await;
    // What came before the restart does not come again, and nothing was missed.
    let heard = follower.lines(Stream::Out);
    assert_eq!(heard.len(), greeted + 1, "{}", follower.output());
    assert!(!follower.output().contains("missed"), "{}", follower.output());
}

/// A program that goes on, with those that it may have started: `go run` does not end them.
struct Follower(Process);

impl Drop for Follower {
    fn drop(&mut self) {
        let group = format!("-{}", self.0.pid());
        drop(Command::new("kill").args(["-KILL", "--", &group]).status());
    }
}

/// A folder of one's own beside a checkout, on a machine without a network.
struct Desk {
    /// Before its folder, which it may use to its end.
    follower: Option<Follower>,
    folder: PathBuf,
    _parent: tempfile::TempDir,
    broker: String,
    /// What `export` said.
    exported: Vec<(String, String)>,
}

impl Desk {
    fn new(broker: &Broker) -> Desk {
        let parent = tempfile::tempdir().unwrap();
        // npm and cargo take it for the name of the package.
        let folder = parent.path().join("shop");
        fs::create_dir(&folder).unwrap();
        // The versions that this repository is tested with; cargo would take the newest.
        fs::copy(Path::new(ROOT).join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
        let broker = broker.address().to_string();
        Desk { follower: None, folder, _parent: parent, broker, exported: Vec::new() }
    }

    fn write(&self, name: &str, text: &str) {
        let file = self.folder.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, self.here(text)).unwrap();
    }

    async fn type_in(&mut self, command: &str, output: &str) {
        if let Some((name, value)) =
            command.strip_prefix("export ").and_then(|rest| rest.split_once('='))
        {
            self.exported.push((name.into(), self.here(value.trim_matches('\''))));
            return;
        }
        let mut process = Process::start(self.shell(command));
        if command.contains("follow") || command.contains("Follow") {
            self.follower = Some(Follower(process));
            return;
        }
        process.write("");
        let ended = process.ended(COMMAND).await;
        assert!(ended.is_some_and(|status| status.success()), "$ {command}\n{}", process.output());
        let seen = process.end().await.out.join("\n");
        assert!(
            output.is_empty() || looks_like(output, &seen, Until::End),
            "$ {command}\nshould show:\n{output}\nand shows:\n{seen}"
        );
    }

    /// What is not in the caches that `cargo xtask clients` filled is not to be had.
    fn shell(&self, command: &str) -> Command {
        let tools = client_tools();
        let path = std::env::var("PATH").unwrap();
        let mut shell = Command::new("sh");
        shell.process_group(0);
        shell.arg("-c").arg(format!("exec {}", self.here(command))).current_dir(&self.folder);
        shell.env("PATH", format!("{}:{path}", tools.join("clients/bin").display()));
        shell.envs([("PIP_NO_INDEX", "1"), ("PIP_DISABLE_PIP_VERSION_CHECK", "1")]);
        shell.env("PIP_FIND_LINKS", tools.join("python-wheels"));
        shell.envs([("GOPROXY", "off"), ("GOSUMDB", "off"), ("GOTOOLCHAIN", "local")]);
        shell.env("npm_config_cache", tools.join("npm-cache")).env("npm_config_offline", "true");
        for asks in ["audit", "fund", "update_notifier"] {
            shell.env(format!("npm_config_{asks}"), "false");
        }
        shell.env("CARGO_NET_OFFLINE", "true").env("CARGO_TARGET_DIR", tools.join("rust/target"));
        shell.envs(self.exported.iter().cloned());
        shell
    }

    /// With the broker and the checkout of this test.
    fn here(&self, text: &str) -> String {
        text.replace("127.0.0.1:7070", &self.broker).replace("../tidings", ROOT)
    }
}

/// Publishes until the follower hears it, and says how many it has heard by then.
async fn publish_until_heard(broker: &Broker, follower: &Process) -> usize {
    for attempt in 1..=60 {
        let greeting = format!("before {attempt}");
        publish(broker, &greeting).await;
        let heard = || async { follower.lines(Stream::Out).contains(&greeting) };
        if holds_within(Duration::from_secs(2), heard).await {
            return follower.lines(Stream::Out).len();
        }
    }
    panic!("it never listened:\n{}", follower.output());
}

async fn publish(broker: &Broker, text: &str) {
    let address = broker.address().to_string();
    Process::run(tidings(&["pub", "orders", text, "--address", &address]), "").await.ok();
}

#[derive(Debug)]
enum Part {
    File {
        name: String,
        text: String,
    },
    /// What is typed, and what is then to be seen; nothing where the page does not say.
    Typed {
        command: String,
        output: String,
    },
}

/// What a page gives to write and to type, in order.
fn parts(page: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    for block in blocks(page) {
        if block.kind == "console" {
            for line in block.text.lines() {
                match (line.strip_prefix("$ "), parts.last_mut()) {
                    (Some(command), _) => {
                        parts.push(Part::Typed { command: command.into(), output: String::new() });
                    }
                    (None, Some(Part::Typed { output, .. })) => {
                        output.push_str(line);
                        output.push('\n');
                    }
                    (None, _) => panic!("a console block begins with what is typed: {line}"),
                }
            }
        } else if let Some(name) = file_name(&block.before) {
            parts.push(Part::File { name: name.into(), text: block.text });
        }
    }
    parts
}

/// `…and read it back, `typed.py`:` names a file.
fn file_name(before: &str) -> Option<&str> {
    before.strip_suffix("`:")?.rsplit('`').next()
}
