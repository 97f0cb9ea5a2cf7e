//! A service as operators run it: a primary, a replica, and sentinels that watch over them, all on
//! loopback.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use super::{
    backend::PATIENCE,
    eventually,
    redis::{Persistence, RedisServer, Reply, command_at, free_port},
    signal,
};

/// A user of the nodes who may do everything.
pub(crate) const ANN: [&str; 7] = ["--user", "ann", "on", ">pw", "~*", "&*", "+@all"];
/// The name under which the sentinels know it.
pub(crate) const SERVICE: &str = "orders-db";
const SENTINELS: usize = 3;

pub(crate) struct Service {
    /// The first is the primary at the beginning.
    pub(crate) nodes: [RedisServer; 2],
    pub(crate) sentinels: Vec<Sentinel>,
    /// Which node is the primary, as far as [`Service::fail_over`] knows.
    leader: usize,
}

/// How a primary is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Failover {
    Killed,
    /// Killed when its replica has not heard from it for a while: what it took meanwhile is gone.
    KilledAlone,
    /// It answers nobody, and will come back.
    Paused,
    /// It answers all but the sentinels, which find no way to tell it.
    CutOff,
}

pub(crate) struct Sentinel {
    port: u16,
    _dir: tempfile::TempDir,
    child: Child,
}

impl Service {
    /// Sentinels take the primary for down when it has been silent for so long.
    pub(crate) async fn start(down_after: Duration) -> Service {
        Service::start_with(down_after, &[], &[]).await
    }

    /// With options of the nodes beside the usual ones, and lines for the file of each sentinel.
    pub(crate) async fn start_with(
        down_after: Duration,
        options: &[&str],
        lines: &[&str],
    ) -> Service {
        let options = |extra: &[&str]| -> Vec<String> {
            options.iter().chain(extra).map(|&option| option.to_owned()).collect()
        };
        // What the usual wait for more replicas would take.
        let at_once = options(&["--repl-diskless-sync-delay", "0"]);
        let primary = RedisServer::start_with(Persistence::None, |_| at_once).await;
        let of = format!("127.0.0.1 {}", primary.port());
        let following = options(&["--replicaof", "127.0.0.1", &primary.port().to_string()]);
        let replica = RedisServer::start_with(Persistence::None, |_| following).await;
        assert!(replica.in_sync().await, "the replica does not follow");

        // All of what they would find out one after the other in ten seconds.
        let ports: Vec<u16> = (0..SENTINELS).map(|_| free_port()).collect();
        let id = |index: usize| format!("{:040x}", index + 1);
        let mut sentinels = Vec::new();
        for (index, port) in ports.iter().enumerate() {
            let mut file = vec![
                format!("sentinel myid {}", id(index)),
                format!("sentinel monitor {SERVICE} {of} 2"),
                format!("sentinel down-after-milliseconds {SERVICE} {}", down_after.as_millis()),
                format!("sentinel failover-timeout {SERVICE} 2000"),
                format!("sentinel known-replica {SERVICE} 127.0.0.1 {}", replica.port()),
            ];
            for (other, port) in ports.iter().enumerate().filter(|(other, _)| *other != index) {
                file.push(format!(
                    "sentinel known-sentinel {SERVICE} 127.0.0.1 {port} {}",
                    id(other)
                ));
            }
            file.extend(lines.iter().map(|&line| line.to_owned()));
            sentinels.push(Sentinel::start(*port, &file.join("\n")));
        }
        let service = Service { nodes: [primary, replica], sentinels, leader: 0 };
        for sentinel in &service.sentinels {
            eventually("the sentinel could fail over", PATIENCE, || sentinel.is_ready()).await;
            sentinel.hurry().await;
        }
        service
    }

    /// When the first sentinel names this node.
    pub(crate) async fn named(&self, node: usize) -> Instant {
        let port = Some(self.nodes[node].port());
        loop {
            for sentinel in &self.sentinels {
                if sentinel.names().await == port {
                    return Instant::now();
                }
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Takes the primary away. Returns when the other node is the primary for all sentinels.
    pub(crate) async fn fail_over(&mut self, how: Failover, alone: Duration) {
        let (old, new) = (self.leader, 1 - self.leader);
        match how {
            Failover::Killed => self.nodes[old].kill9(),
            Failover::KilledAlone => {
                // It comes back with a password that nobody asked for, and is not let in.
                self.nodes[new].command(&["CONFIG", "SET", "masterauth", "none"]).await;
                self.nodes[old].client_kill("replica").await;
                tokio::time::sleep(alone).await;
                self.nodes[old].kill9();
            }
            Failover::Paused => self.nodes[old].sigstop(),
            Failover::CutOff => self.nodes[old].refuses_sentinels(true).await,
        }
        self.is_led_by(new).await;
        self.leader = new;
    }

    /// Returns when the old primary is a replica, and the sentinels could fail over again.
    pub(crate) async fn mend(&mut self, how: Failover) {
        let (old, new) = (1 - self.leader, self.leader);
        match how {
            Failover::Killed => self.nodes[old].restart().await,
            Failover::KilledAlone => {
                self.nodes[new].command(&["CONFIG", "SET", "masterauth", ""]).await;
                self.nodes[old].restart().await;
            }
            Failover::Paused => self.nodes[old].sigcont(),
            Failover::CutOff => self.nodes[old].refuses_sentinels(false).await,
        }
        eventually("the old primary follows the new one", PATIENCE, || async {
            let info = self.nodes[old].try_command(&["INFO", "replication"]).await;
            matches!(info, Ok(Reply::Text(info)) if info.contains("master_link_status:up"))
        })
        .await;
        self.is_ready().await;
    }

    /// Waits until the sentinels could fail over.
    pub(crate) async fn is_ready(&self) {
        for sentinel in &self.sentinels {
            eventually("the sentinel could fail over again", PATIENCE, || sentinel.is_ready())
                .await;
        }
    }

    pub(crate) fn url(&self) -> String {
        self.url_as("", "")
    }

    pub(crate) fn url_as(&self, credentials: &str, query: &str) -> String {
        let each = self.sentinels.iter().map(|sentinel| format!("127.0.0.1:{}", sentinel.port));
        format!(
            "redis+sentinel://{credentials}{}/{SERVICE}{query}",
            each.collect::<Vec<_>>().join(",")
        )
    }

    /// Waits until a sentinel names this node as the primary, and the node agrees.
    pub(crate) async fn is_led_by(&self, node: usize) {
        let port = self.nodes[node].port();
        eventually("the sentinels agree on another primary", 2 * PATIENCE, || async {
            for sentinel in &self.sentinels {
                if sentinel.names().await.is_some_and(|named| named != port) {
                    return false;
                }
            }
            self.nodes[node].info("replication").await.contains("role:master")
        })
        .await;
    }
}

impl RedisServer {
    /// Sentinels come as the default user: it refuses their PING, so that it is down for them, and
    /// their orders. Others have to come as somebody else.
    pub(crate) async fn refuses_sentinels(&self, refuses: bool) {
        let sign = if refuses { "-" } else { "+" };
        // The last one is how they end connections of clients, also where the rest was refused.
        let orders = ["ping", "multi", "replicaof", "slaveof", "client|kill"];
        let orders = orders.map(|order| format!("{sign}{order}"));
        let orders = orders.each_ref().map(String::as_str);
        self.command(&[&["ACL", "SETUSER", "default"], &orders[..]].concat()).await;
    }
}

impl Sentinel {
    pub(crate) fn start(port: u16, file: &str) -> Sentinel {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sentinel.conf");
        let folder = dir.path().display();
        // It writes what it learns into its file.
        std::fs::write(&path, format!("port {port}\nbind 127.0.0.1\ndir {folder}\n{file}\n"))
            .unwrap();
        Sentinel { port, child: spawn(&path), _dir: dir }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn kill9(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn sigstop(&self) {
        signal(self.child.id(), "-STOP");
    }

    pub(crate) fn sigcont(&self) {
        signal(self.child.id(), "-CONT");
    }

    /// None where it does not answer.
    pub(crate) async fn command(&self, words: &[&str]) -> Option<Reply> {
        command_at(self.port, words).await.ok()
    }

    /// Whether somebody listens to its word of a switch.
    pub(crate) async fn is_listened_to(&self) -> bool {
        let clients = self.command(&["CLIENT", "LIST"]).await;
        matches!(clients, Some(Reply::Text(clients)) if clients.contains(" sub=1 "))
    }

    /// The port of the primary that it names.
    async fn names(&self) -> Option<u16> {
        let words = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE];
        match self.command(&words).await? {
            Reply::List(list) => match &list[..] {
                [_, Reply::Text(port)] => Some(port.parse().unwrap()),
                _ => panic!("{words:?} answered {list:?}"),
            },
            reply => panic!("{words:?} answered {reply:?}"),
        }
    }

    /// Whether it sees the replica and enough of the others.
    async fn is_ready(&self) -> bool {
        let quorum = self.command(&["SENTINEL", "CKQUORUM", SERVICE]).await;
        let agrees = matches!(quorum, Some(Reply::Text(text)) if text.starts_with("OK 3 usable"));
        let replicas = self.command(&["SENTINEL", "REPLICAS", SERVICE]).await;
        agrees && format!("{replicas:?}").contains(r#"Text("master-link-status"), Text("ok")"#)
    }

    /// Asks and tells more often than it would, and does not mistrust its own clock where the machine
    /// is busy: for failovers that take a second or two.
    async fn hurry(&self) {
        let words = ["SENTINEL", "DEBUG", "ask-period", "100", "info-period", "500"];
        let more = ["publish-period", "200", "tilt-trigger", "60000", "tilt-period", "1"];
        let set = self.command(&[&words[..], &more].concat()).await;
        assert_eq!(set, Some(Reply::Text("OK".into())));
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn spawn(file: &Path) -> Child {
    let program =
        std::env::var("TIDINGS_REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned());
    let mut command = Command::new(&program);
    command.arg(file).arg("--sentinel").stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap_or_else(|error| panic!("{program} does not start: {error}"))
}
