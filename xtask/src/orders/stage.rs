//! Everything that runs for the story: started, listened to, and ended by its pid.
//!
//! Each is in a process group of its own, so that Ctrl-C reaches this program alone. A janitor, told of
//! every start and end, clears up when this program is gone, however it went.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read, Write as _},
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    thread,
    time::{Duration, Instant},
};

use crate::{succeed, target};

/// For a busy machine: what is waited for takes a fraction of it.
const PATIENCE: Duration = Duration::from_secs(90);
/// How often to look at what no line tells.
const GLANCE: Duration = Duration::from_millis(50);
/// Who prints faster than we show waits.
const LINES_QUEUED: usize = 1024;
const SIGTERM: i32 = 15;

pub(crate) struct Stage {
    folder: PathBuf,
    cast: Vec<Member>,
    told: Receiver<Told>,
    teller: SyncSender<Told>,
    janitor: Option<(Child, ChildStdin)>,
}

/// One process. Its place in the cast stands for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Who(usize);

struct Member {
    name: String,
    child: Child,
    runs: Runs,
    said: Vec<String>,
    /// Its standard output and error, until both have ended.
    streams: u32,
    ended: Option<ExitStatus>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Runs {
    /// Until it is told to stop: an end before that is a failure.
    Always,
    /// To its own end.
    Once,
}

enum Told {
    Line(Who, String),
    End(Who),
}

impl Stage {
    pub(crate) fn open() -> Result<Stage, String> {
        let folder = target().join(format!("orders-{}", std::process::id()));
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let mut janitor = Command::new("sh");
        janitor.args(["-c", include_str!("janitor.sh"), "janitor"]).arg(&folder);
        janitor.stdin(Stdio::piped()).process_group(0);
        let mut janitor = janitor.spawn().map_err(|error| format!("sh: {error}"))?;
        let ear = janitor.stdin.take().expect("stdin is piped");
        let (teller, told) = sync_channel(LINES_QUEUED);
        Ok(Stage { folder, cast: Vec::new(), told, teller, janitor: Some((janitor, ear)) })
    }

    /// A folder that goes with the stage.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn start(
        &mut self,
        name: &str,
        runs: Runs,
        command: Command,
    ) -> Result<Who, String> {
        let who = Who(self.cast.len());
        let child = self.spawn(who, command)?;
        let (name, said) = (name.to_owned(), Vec::new());
        self.cast.push(Member { name, child, runs, said, streams: 2, ended: None });
        Ok(who)
    }

    /// In the place of one that was killed.
    pub(crate) fn start_again(&mut self, who: Who, command: Command) -> Result<(), String> {
        assert!(self.is_over(who), "{} still runs", self.name(who));
        let child = self.spawn(who, command)?;
        let member = &mut self.cast[who.0];
        (member.child, member.runs, member.streams, member.ended) = (child, Runs::Always, 2, None);
        Ok(())
    }

    fn spawn(&mut self, who: Who, mut command: Command) -> Result<Child, String> {
        command.process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("{command:?}: {error}"))?;
        self.tell_janitor('+', child.id());
        self.follow(who, child.stdout.take().expect("stdout is piped"));
        self.follow(who, child.stderr.take().expect("stderr is piped"));
        Ok(child)
    }

    /// Shows what everyone says until `level` holds.
    pub(crate) fn until(
        &mut self,
        what: &str,
        mut level: impl FnMut(&Stage) -> bool,
    ) -> Result<(), String> {
        let begun = now();
        let mut looked = begun;
        loop {
            match self.told.recv_timeout(GLANCE) {
                Ok(told) => self.hear(told),
                Err(RecvTimeoutError::Timeout) => (),
                Err(RecvTimeoutError::Disconnected) => unreachable!("we hold a sender"),
            }
            if looked.elapsed() >= GLANCE {
                self.look()?;
                looked = now();
            }
            if level(self) {
                return Ok(());
            }
            if begun.elapsed() > PATIENCE {
                return Err(format!("not within {PATIENCE:?}: {what}"));
            }
        }
    }

    /// Waits for the end of what runs once.
    pub(crate) fn finish(&mut self, who: Who) -> Result<(), String> {
        let name = self.name(who).to_owned();
        self.until(&format!("{name} ends"), |stage| stage.is_over(who))?;
        let status = self.cast[who.0].ended.expect("it is over");
        if status.success() { Ok(()) } else { Err(format!("{name}: {status}")) }
    }

    pub(crate) fn kill9(&mut self, who: Who) -> Result<(), String> {
        let member = &mut self.cast[who.0];
        member.runs = Runs::Once;
        member.child.kill().map_err(|error| format!("{}: {error}", member.name))?;
        self.until("it is dead", |stage| stage.is_over(who))
    }

    /// Ends all that still runs, the last first. Whoever does not end when told, or fails, is named.
    pub(crate) fn close(&mut self) -> Result<(), String> {
        let mut failed = Vec::new();
        for at in (0..self.cast.len()).rev() {
            if self.cast[at].ended.is_some() {
                continue;
            }
            let who = Who(at);
            let ended = self.stop(who);
            // Who does nothing about SIGTERM ends by it.
            let well = |status: &ExitStatus| status.success() || status.signal() == Some(SIGTERM);
            match ended {
                Ok(()) if self.cast[at].ended.as_ref().is_some_and(well) => (),
                Ok(()) => failed.push(format!("{}: {:?}", self.name(who), self.cast[at].ended)),
                Err(why) => failed.push(why),
            }
        }
        if failed.is_empty() { Ok(()) } else { Err(failed.join("\n")) }
    }

    fn stop(&mut self, who: Who) -> Result<(), String> {
        let member = &mut self.cast[who.0];
        member.runs = Runs::Once;
        let what = format!("{} ends", member.name);
        succeed(Command::new("kill").args(["-TERM", &member.child.id().to_string()]))?;
        self.until(&what, |stage| stage.is_over(who))
    }

    pub(crate) fn name(&self, who: Who) -> &str {
        &self.cast[who.0].name
    }

    pub(crate) fn said(&self, who: Who) -> &[String] {
        &self.cast[who.0].said
    }

    pub(crate) fn has_said(&self, who: Who, part: &str) -> bool {
        self.said(who).iter().any(|line| line.contains(part))
    }

    /// It has ended, and everything that it said was heard.
    pub(crate) fn is_over(&self, who: Who) -> bool {
        let member = &self.cast[who.0];
        member.ended.is_some() && member.streams == 0
    }

    #[allow(clippy::print_stdout, reason = "it is what the command is for")]
    fn hear(&mut self, told: Told) {
        match told {
            Told::Line(who, line) => {
                let member = &mut self.cast[who.0];
                println!("{:<16}{line}", member.name);
                member.said.push(line);
            }
            Told::End(Who(at)) => self.cast[at].streams -= 1,
        }
    }

    /// Sees who has ended.
    fn look(&mut self) -> Result<(), String> {
        for at in 0..self.cast.len() {
            let member = &mut self.cast[at];
            if member.ended.is_some() {
                continue;
            }
            let ended = member.child.try_wait();
            member.ended = ended.map_err(|error| format!("{}: {error}", member.name))?;
            let Some(status) = member.ended else { continue };
            let (name, runs, pid) = (member.name.clone(), member.runs, member.child.id());
            self.tell_janitor('-', pid);
            if runs == Runs::Always {
                return Err(format!("{name} ended: {status}"));
            }
        }
        Ok(())
    }

    fn follow(&self, who: Who, stream: impl Read + Send + 'static) {
        let teller = self.teller.clone();
        thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                if teller.send(Told::Line(who, line)).is_err() {
                    return;
                }
            }
            // Nobody listens any more where this fails.
            let _ = teller.send(Told::End(who));
        });
    }

    fn tell_janitor(&mut self, sign: char, pid: u32) {
        let (_, ear) = self.janitor.as_mut().expect("there until the end");
        // It is gone only where somebody killed it.
        let _ = writeln!(ear, "{sign}{pid}");
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some((mut janitor, ear)) = self.janitor.take() {
            drop(ear);
            // The others first: the janitor waits for them, and only we can take them from the system.
            for member in &mut self.cast {
                if member.ended.is_none() {
                    let _ = member.child.wait();
                }
            }
            let _ = janitor.wait();
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "no test pauses this clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
