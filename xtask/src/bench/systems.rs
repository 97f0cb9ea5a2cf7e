//! The systems that are compared: started for one case, on loopback, and ended with it.

use std::{
    fs::{self, File},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::tools::on_path;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum System {
    /// On Redis.
    Tidings,
    TidingsOnMemory,
    Redis,
    Nats,
    Naive,
    Usual,
    Echo,
}

#[derive(Debug)]
pub(crate) struct Binaries {
    pub(crate) load: PathBuf,
    pub(crate) broker: PathBuf,
    /// Another build of it, to compare with.
    pub(crate) before: Option<PathBuf>,
    pub(crate) naive: PathBuf,
    pub(crate) usual: PathBuf,
    pub(crate) echo: PathBuf,
    pub(crate) redis: PathBuf,
    /// Where a case needs it.
    pub(crate) nats: Option<PathBuf>,
}

/// Which broker plays Tidings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Build {
    Now,
    Before,
}

/// What runs for a case: ended when it is dropped.
pub(crate) struct Running {
    children: Vec<Child>,
    /// What they say.
    logs: Vec<PathBuf>,
    /// Where is subscribed and, but for Redis behind a facade, published.
    pub(crate) server: Place,
    pub(crate) redis: Option<Place>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) address: SocketAddr,
    pub(crate) pid: u32,
}

/// Topics below it are durable.
pub(crate) const DURABLE_TOPIC: &str = "durable.bench";
/// Events of topics below it have to be what their type says.
pub(crate) const CHECKED_TOPIC: &str = "checked.bench";
/// Every system gets the same bytes: what knows ids would store one event.
const RULES: &str = "allow_volatile = true\n[[topics]]\npattern = \"durable.*\"\n\
                     mode = \"durable\"\ndedupe_window = \"0s\"\n\
                     [[topics]]\npattern = \"checked.*\"\nenforcement = \"reject\"\n";
/// Of what is published there.
const SCHEMA: &str = "benches/load/tick.proto";

const PATIENCE: Duration = Duration::from_secs(20);
const GLANCE: Duration = Duration::from_millis(10);

impl System {
    pub(crate) fn is_tidings(self) -> bool {
        matches!(self, System::Tidings | System::TidingsOnMemory)
    }

    /// How many cores it can use at all, of so many.
    pub(crate) fn cores(self, cores: f64) -> f64 {
        if self == System::Redis { 1.0 } else { cores }
    }
}

impl Running {
    /// What they say goes into files of `folder`.
    pub(crate) fn start(
        system: System,
        build: Build,
        binaries: &Binaries,
        folder: &Path,
    ) -> Result<Running, String> {
        let nothing = Place { address: SocketAddr::from(([127, 0, 0, 1], 0)), pid: 0 };
        let mut running =
            Running { children: Vec::new(), logs: Vec::new(), server: nothing, redis: None };
        let redis = match system {
            System::Tidings | System::Naive | System::Usual => {
                let place = running.redis(binaries, folder)?;
                running.redis = Some(place);
                format!("redis://{}", place.address)
            }
            System::TidingsOnMemory | System::Redis | System::Nats | System::Echo => String::new(),
        };
        running.server = match system {
            System::Redis => running.redis(binaries, folder)?,
            System::Nats => {
                let program = binaries.nats.as_ref().ok_or("no nats-server was asked for")?;
                running.launch("nats", folder, |address, nats| {
                    let port = address.port().to_string();
                    nats.arg(program).args(["--addr", "127.0.0.1", "--port", &port]);
                })?
            }
            System::Tidings | System::TidingsOnMemory => {
                let broker = match (build, &binaries.before) {
                    (Build::Before, Some(before)) => before,
                    _ => &binaries.broker,
                };
                let rules = folder.join("tidings.toml");
                fs::write(&rules, RULES)
                    .map_err(|error| format!("{}: {error}", rules.display()))?;
                running.launch("tidings", folder, |address, command| {
                    command.arg(broker).args(["serve", "--log", "warn", "--config"]).arg(&rules);
                    command.args(["--listen", &address.to_string(), "--schemas", SCHEMA]);
                    command.current_dir(crate::root());
                    if !redis.is_empty() {
                        command.args(["--redis", &redis]);
                    }
                })?
            }
            System::Naive => running.launch("naive", folder, |address, naive| {
                naive.arg(&binaries.naive).args([&address.to_string(), &redis]);
            })?,
            System::Usual => running.launch("usual", folder, |address, usual| {
                usual.arg(&binaries.usual).args([&address.to_string(), &redis]);
            })?,
            System::Echo => running.launch("echo", folder, |address, echo| {
                echo.arg(&binaries.echo).arg(address.to_string());
            })?,
        };
        Ok(running)
    }

    /// The last that they said, for whoever looks for a failure.
    pub(crate) fn last_words(&self) -> String {
        let last = self.logs.iter().filter_map(|log| {
            let said = fs::read_to_string(log).ok()?;
            let name = log.file_stem()?.to_string_lossy().into_owned();
            Some(format!("{name} said {:?}", said.trim().lines().last()?))
        });
        last.collect::<Vec<_>>().join("; ")
    }

    fn redis(&mut self, binaries: &Binaries, folder: &Path) -> Result<Place, String> {
        self.launch("redis", folder, |address, redis| {
            let port = address.port().to_string();
            redis.arg(&binaries.redis).args(["--bind", "127.0.0.1", "--port", &port]);
            redis.args(["--save", "", "--appendonly", "no", "--maxclients", "15000"]);
            // Its own default cuts subscribers off that are 8 MB behind for a minute.
            redis.args(["--client-output-buffer-limit", "pubsub 0 0 0"]);
            redis.arg("--dir").arg(folder);
        })
    }

    /// Waits until it takes connections.
    fn launch(
        &mut self,
        name: &str,
        folder: &Path,
        arguments: impl FnOnce(SocketAddr, &mut Command),
    ) -> Result<Place, String> {
        let address = free_address()?;
        let log = folder.join(format!("{name}.log"));
        let shown = |error: std::io::Error| format!("{}: {error}", log.display());
        let out = File::create(&log).map_err(shown)?;
        let mut command = Command::new("sh");
        // As many files as may be; the process keeps its id.
        command.args(["-c", "ulimit -n \"$(ulimit -Hn)\"; exec \"$@\"", name]);
        arguments(address, &mut command);
        command.stdin(Stdio::null()).stderr(out.try_clone().map_err(shown)?).stdout(out);
        let child = command.spawn().map_err(|error| format!("sh: {error}"))?;
        let pid = child.id();
        self.logs.push(log.clone());
        self.children.push(child);
        let begun = started();
        while TcpStream::connect(address).is_err() {
            let child = self.children.last_mut().expect("it was just started");
            let ended = child.try_wait().map_err(|error| format!("{name}: {error}"))?;
            if ended.is_some() || begun.elapsed() > PATIENCE {
                let said = fs::read_to_string(&log).unwrap_or_default();
                return Err(format!("{name} does not listen on {address}:\n{said}"));
            }
            thread::sleep(GLANCE);
        }
        Ok(Place { address, pid })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for child in self.children.iter_mut().rev() {
            // It is gone already where these fail.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "no test pauses this clock")]
fn started() -> Instant {
    Instant::now()
}

fn free_address() -> Result<SocketAddr, String> {
    let bound = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    bound.map_err(|error| format!("no free port: {error}"))
}

/// A thousand connections, those of a broker to Redis, and a file or two.
const OPEN_FILES: u64 = 4096;

/// Each process raises its own limit as far as it may.
pub(crate) fn check_open_files() -> Result<(), String> {
    let limits = fs::read_to_string("/proc/self/limits")
        .map_err(|error| format!("/proc/self/limits: {error}: the benchmark needs Linux"))?;
    match hard_limit(&limits) {
        Some(limit) if limit < OPEN_FILES => Err(format!(
            "a process may open {limit} files at most, and {OPEN_FILES} are needed: raise the hard \
             limit, for example with `ulimit -Hn {OPEN_FILES}` as root before this command"
        )),
        _ => Ok(()),
    }
}

/// None: no limit.
fn hard_limit(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// What the machine is, for whoever reads the results.
pub(crate) fn facts(binaries: &Binaries) -> Vec<(&'static str, String)> {
    let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let said = |program: &Path, argument: &str| {
        let output = Command::new(program).arg(argument).output();
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        text.unwrap_or_default().lines().next().unwrap_or_default().to_owned()
    };
    let git = |arguments: &[&str]| {
        let output = Command::new("git").current_dir(crate::root()).args(arguments).output();
        output.map_or_else(
            |_| String::new(),
            |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        )
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let rustc = on_path("rustc").map(|rustc| said(&rustc, "--version")).unwrap_or_default();
    vec![
        ("date", said(Path::new("date"), "--utc")),
        ("commit", git(&["describe", "--always", "--dirty", "--exclude", "*"])),
        ("cpu", model.map_or("unknown", |(_, model)| model).to_owned()),
        ("cores", cores.to_string()),
        // What stands behind the version is whoever's who built it.
        ("kernel", read("/proc/sys/kernel/osrelease").trim().split('-').take(1).collect()),
        ("redis", said(&binaries.redis, "--version")),
        (
            "nats",
            binaries.nats.as_ref().map_or_else(|| "not run".into(), |nats| said(nats, "--version")),
        ),
        ("rustc", rustc),
        ("load average at the start", read("/proc/loadavg").trim().to_owned()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_of_open_files_is_read() {
        let limits = "Limit  Soft Limit  Hard Limit  Units\nMax open files  1024  20000  files\n";
        assert_eq!(hard_limit(limits), Some(20_000));
        assert_eq!(hard_limit("Max open files  1024  unlimited  files\n"), None);
    }
}
