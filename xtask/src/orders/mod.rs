//! `cargo xtask orders`: the story of `examples/orders` with everyone in it, and who got what.
//!
//! A Redis, two brokers on it, an Envoy before them; a service in each language, and redis-py scripts
//! that know nothing of Tidings. Orders come from a script, then from the order service, while the
//! brokers are killed if that was asked for, then from the script again.

mod envoy;
mod stage;
mod tally;

use std::{
    env, fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::Command,
    time::Duration,
};

use crate::{clients, root, target, tools};
use envoy::Envoy;
use stage::{Runs, Stage, Who};
use tally::Published;

const OPTIONS: &str = "there are --orders N, --through-envoy, --kill-brokers and --no-build";
/// Fewer would be published before a broker is dead.
const ORDERS_AND_KILLS_MIN: u64 = 30;
/// How many the redis-py script publishes before the others, and as many after them.
const OLD_ORDERS: u64 = 3;
const FIRST_OLD_ORDER: u64 = 1001;
const FIRST_ORDER: u64 = 2001;
/// Seconds between two orders: slow enough to kill a broker between them.
const PAUSE: &str = "0.1";

/// What reads along over gRPC, and in which language it is written.
const SERVICES: [(&str, &str); 4] = [
    ("inventory", "go"),
    ("notification", "typescript"),
    ("audit", "java"),
    ("bookkeeping", "rust"),
];
/// What reads along on the Redis channel.
const SCRIPTS: [&str; 2] = ["inventory.py", "notification.py"];

#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    orders: u64,
    route: Route,
    kills: Kills,
    build: Build,
}

/// How the services reach a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    /// They know both, and go to the other one where theirs fails.
    Direct,
    ThroughEnvoy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kills {
    None,
    /// One after the other, so that every stream is cut at least once.
    EachBroker,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Build {
    First,
    /// Tests run what was built, and leave it as it is.
    Done,
}

/// Everyone on the stage.
struct Story {
    stage: Stage,
    python: PathBuf,
    redis: u16,
    brokers: [Broker; 2],
    envoy: Envoy,
    route: Route,
    /// All that read along.
    subscribers: Vec<Who>,
    published: Published,
}

#[derive(Debug, Clone, Copy)]
struct Broker {
    who: Who,
    port: u16,
}

pub(crate) fn run(args: &[String]) -> Result<(), String> {
    let wanted = wanted(args)?;
    let tools = crate::tools();
    if wanted.build == Build::First {
        for client in clients::ALL {
            println!("== {}", client.language);
            client.prepare(&tools)?;
        }
    }
    let mut story = Story::begin(&wanted, tools::redis_server()?, tools::python(&tools)?)?;
    let told = story.tell(&wanted);
    let closed = story.stage.close();
    let problems = story.show();
    told.and(closed)?;
    if problems > 0 {
        return Err("not everyone got everything".into());
    }
    println!("everyone got everything");
    Ok(())
}

fn wanted(args: &[String]) -> Result<Wanted, String> {
    let mut wanted =
        Wanted { orders: 0, route: Route::Direct, kills: Kills::None, build: Build::First };
    let mut orders = None;
    let mut args = args.iter();
    while let Some(option) = args.next() {
        match option.as_str() {
            "--orders" => {
                let value = args.next().ok_or("--orders: a value is missing")?;
                let number = value.parse().ok().filter(|number| *number > 0);
                orders = Some(number.ok_or_else(|| format!("{value:?} is no number of orders"))?);
            }
            "--through-envoy" => wanted.route = Route::ThroughEnvoy,
            "--kill-brokers" => wanted.kills = Kills::EachBroker,
            "--no-build" => wanted.build = Build::Done,
            other => return Err(format!("{other}: no such option; {OPTIONS}")),
        }
    }
    wanted.orders = match (wanted.kills, orders) {
        (Kills::None, orders) => orders.unwrap_or(10),
        (Kills::EachBroker, Some(few)) if few < ORDERS_AND_KILLS_MIN => {
            return Err(format!("--kill-brokers takes --orders {ORDERS_AND_KILLS_MIN} or more"));
        }
        (Kills::EachBroker, orders) => orders.unwrap_or(60),
    };
    Ok(wanted)
}

impl Story {
    /// Starts everyone, one after the other, until all subscribers listen.
    fn begin(wanted: &Wanted, redis_server: PathBuf, python: PathBuf) -> Result<Story, String> {
        let mut stage = Stage::open()?;
        let redis = free_port()?;
        let mut server = Command::new(redis_server);
        server.args(["--bind", "127.0.0.1", "--port", &redis.to_string()]);
        server.args(["--save", "", "--appendonly", "no", "--loglevel", "warning"]);
        stage.start("redis", Runs::Always, server)?;
        stage.until("redis answers", |_| answers(redis).unwrap_or(false))?;

        // Scripts hear what is published over gRPC, and are not confused by what is no text.
        let rule = "[[topics]]\npattern = \"order_events\"\nbridge = \"cloudevents-json\"\n";
        let config = stage.folder().join("tidings.toml");
        fs::write(&config, rule).map_err(|error| format!("{}: {error}", config.display()))?;
        let first = start_broker(&mut stage, "broker-1", redis)?;
        let second = start_broker(&mut stage, "broker-2", redis)?;
        let brokers = [first, second];
        let ports = [first.port, second.port];
        let folder = stage.folder().to_owned();
        let (envoy, command) = Envoy::before(ports, &folder, &tools::envoy(&python))?;
        stage.start("envoy", Runs::Always, command)?;
        stage.until("envoy sees both brokers", |_| envoy.sees_both())?;

        let route = wanted.route;
        let (subscribers, published) = (Vec::new(), Published::default());
        let mut story =
            Story { stage, python, redis, brokers, envoy, route, subscribers, published };
        for (at, (name, language)) in SERVICES.into_iter().enumerate() {
            let service = story.service(language, at);
            story.subscribers.push(story.stage.start(name, Runs::Always, service)?);
        }
        for name in SCRIPTS {
            let script = story.script(name);
            story.subscribers.push(story.stage.start(name, Runs::Always, script)?);
        }
        let subscribers = story.subscribers.clone();
        story.stage.until("all subscribers listen", |stage| {
            subscribers.iter().all(|who| stage.has_said(*who, "listening on order_events"))
        })?;
        Ok(story)
    }

    fn tell(&mut self, wanted: &Wanted) -> Result<(), String> {
        self.publish_old(FIRST_OLD_ORDER)?;
        match wanted.kills {
            Kills::None => {
                let order = self.take_orders(FIRST_ORDER, wanted.orders, 0)?;
                self.finish_orders(order)?;
            }
            Kills::EachBroker => {
                let third = wanted.orders / 3;
                let calm = wanted.orders - 2 * third;
                let order = self.take_orders(FIRST_ORDER, calm, 0)?;
                self.finish_orders(order)?;
                self.take_orders_and_kill(0, FIRST_ORDER + calm, third)?;
                self.take_orders_and_kill(1, FIRST_ORDER + calm + third, third)?;
            }
        }
        self.publish_old(FIRST_OLD_ORDER + OLD_ORDERS)
    }

    /// Orders of the script, until everyone has them.
    fn publish_old(&mut self, first: u64) -> Result<(), String> {
        let mut script = self.script("publisher.py");
        script.args(["--order", &first.to_string(), "--count", &OLD_ORDERS.to_string()]);
        let publisher = self.stage.start("publisher.py", Runs::Once, script)?;
        self.stage.finish(publisher)?;
        self.published.old.extend((first..first + OLD_ORDERS).map(|number| number.to_string()));
        self.until_all_have_all()
    }

    /// The order service, which knows the broker `at` first.
    fn take_orders(&mut self, first: u64, count: u64, at: usize) -> Result<Who, String> {
        let mut service = self.service("python", at);
        service.args(["--order", &first.to_string(), "--count", &count.to_string()]);
        service.args(["--pause", PAUSE]);
        self.stage.start("order", Runs::Once, service)
    }

    /// Until it has published all, and everyone has them.
    fn finish_orders(&mut self, order: Who) -> Result<(), String> {
        self.stage.finish(order)?;
        let said = self.stage.said(order);
        self.published.typed.extend(tally::orders(said));
        self.published.unknown += said.iter().filter(|line| line.contains("stored or not")).count();
        self.until_all_have_all()
    }

    /// The same, and in the midst of it broker `at` is killed; it is back in the end.
    fn take_orders_and_kill(&mut self, at: usize, first: u64, count: u64) -> Result<(), String> {
        let order = self.take_orders(first, count, at)?;
        self.stage.until("a third of the orders is taken", |stage| {
            tally::orders(stage.said(order)).len() as u64 >= count / 3
        })?;
        let broker = self.brokers[at];
        println!("{:<16}kill -9", self.stage.name(broker.who));
        self.stage.kill9(broker.who)?;
        if self.stage.is_over(order) {
            return Err("all orders were taken before the broker was dead: try more".into());
        }
        self.finish_orders(order)?;
        self.stage.start_again(broker.who, serve(&self.stage, self.redis, broker.port))?;
        let envoy = &self.envoy;
        self.stage.until("envoy sees both brokers", |_| envoy.sees_both())
    }

    fn until_all_have_all(&mut self) -> Result<(), String> {
        let (subscribers, published) = (&self.subscribers, &self.published);
        let last = published.typed.last().map_or(0, |receipt| receipt.sequence);
        let wanted = published.old.len() as u64 + last;
        self.stage.until("everyone has all orders", |stage| {
            let has = |who: &Who| tally::orders(stage.said(*who)).len() as u64 >= wanted;
            subscribers.iter().all(has)
        })
    }

    /// A service of the story, which knows the broker `at` first.
    fn service(&self, language: &str, at: usize) -> Command {
        let addresses = match self.route {
            Route::ThroughEnvoy => vec![self.envoy.port],
            Route::Direct => [at, at + 1].map(|at| self.brokers[at % 2].port).to_vec(),
        };
        let addresses: Vec<_> = addresses.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        let program = crate::tools().join("clients").join(language).join("service");
        let mut service = without_settings(Command::new(program));
        service.args(["--address", &addresses.join(",")]);
        service
    }

    fn script(&self, name: &str) -> Command {
        let mut script = Command::new(&self.python);
        script.env("PYTHONDONTWRITEBYTECODE", "1");
        script.arg(root().join("examples/orders/redis_py").join(name));
        script.args(["--redis", &format!("redis://127.0.0.1:{}", self.redis)]);
        script
    }

    /// The table at the end, and what is wrong, which is counted.
    fn show(&self) -> usize {
        let published = &self.published;
        let (old, typed) = (published.old.len(), published.typed.len());
        println!(
            "\n{:<16}{:>12}{:>12}{:>12}{:>14}",
            "who got what", "redis-py", "typed", "twice", "reconnected"
        );
        let mut problems = 0;
        for who in &self.subscribers {
            let (name, said) = (self.stage.name(*who), self.stage.said(*who));
            let got = tally::count(published, &tally::orders(said));
            let reconnected = said.iter().filter(|line| line.contains("trying again")).count();
            let (got_old, got_typed) =
                (format!("{} of {old}", got.old), format!("{} of {typed}", got.typed));
            println!("{name:<16}{got_old:>12}{got_typed:>12}{:>12}{reconnected:>14}", got.twice);
            for problem in &got.problems {
                println!("{:<16}{problem}", "");
            }
            problems += got.problems.len();
        }
        problems
    }
}

/// At a port of its own choice.
fn start_broker(stage: &mut Stage, name: &str, redis: u16) -> Result<Broker, String> {
    let command = serve(stage, redis, 0);
    let who = stage.start(name, Runs::Always, command)?;
    let port = |stage: &Stage| stage.said(who).iter().find_map(|line| listening(line));
    stage.until("the broker listens", |stage| port(stage).is_some())?;
    let port = port(stage).ok_or("it was there")?;
    Ok(Broker { who, port })
}

fn serve(stage: &Stage, redis: u16, port: u16) -> Command {
    let mut command = without_settings(Command::new(target().join("debug/tidings")));
    command.args(["serve", "--listen", &format!("127.0.0.1:{port}")]);
    command.args(["--redis", &format!("redis://127.0.0.1:{redis}")]);
    command.arg("--config").arg(stage.folder().join("tidings.toml"));
    command
}

/// `tidings 0.1.0 listening on 127.0.0.1:7070`
fn listening(line: &str) -> Option<u16> {
    let (_, port) = line.split_once("listening on 127.0.0.1:")?;
    port.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Without what whoever runs this has set for Tidings.
fn without_settings(mut command: Command) -> Command {
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("TIDINGS_") {
            command.env_remove(name);
        }
    }
    command
}

/// A port that was free a moment ago.
fn free_port() -> Result<u16, String> {
    let bound = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    bound.map(|address| address.port()).map_err(|error| format!("no free port: {error}"))
}

fn answers(redis: u16) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(("127.0.0.1", redis))?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    stream.write_all(b"PING\r\n")?;
    let mut answer = [0; 5];
    stream.read_exact(&mut answer)?;
    Ok(&answer == b"+PONG")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read() {
        let wanted =
            |line: &str| wanted(&line.split_whitespace().map(Into::into).collect::<Vec<_>>());
        let plain =
            Wanted { orders: 10, route: Route::Direct, kills: Kills::None, build: Build::First };
        assert_eq!(wanted(""), Ok(plain.clone()));
        let all = Wanted {
            orders: 45,
            route: Route::ThroughEnvoy,
            kills: Kills::EachBroker,
            build: Build::Done,
        };
        let line = "--orders 45 --through-envoy --kill-brokers --no-build";
        assert_eq!(wanted(line), Ok(all));
        for wrong in ["--orders", "--orders 0", "--orders 5 --kill-brokers", "--order 5"] {
            assert!(wanted(wrong).is_err(), "{wrong}");
        }
    }
}
