//! `cargo xtask test`: every check and every test, ended by one line with the sum.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    thread,
    time::Instant,
};

use crate::{cargo, clients, deny, gate, generate, page, proto, root, tools};

#[derive(Debug, Default)]
struct Sum {
    passed: u64,
    failed: u64,
}

pub(crate) fn run() -> Result<(), String> {
    let tools = tools::install()?;
    let mut sum = Sum::default();

    sum.check("format", &mut cargo(["fmt", "--all", "--check"]));
    let mut clippy = cargo(["clippy", "--workspace", "--all-targets", "--locked"]);
    sum.check("clippy", clippy.args(["--", "-D", "warnings"]));
    sum.done("dependencies", || deny::check(&crate::tools()));
    sum.done("proto", || proto::check(&crate::tools()));
    sum.done("generated code", || generate::run(&["--check".into()]));
    sum.tests("tidy", &mut cargo(["test", "--locked", "--test", "tidy"]));
    sum.tests("unit tests", &mut cargo(["test", "--locked", "--workspace", "--lib", "--bins"]));
    sum.tests("doc tests", &mut cargo(["test", "--locked", "--doc"]));
    sum.done("generators", || clients::generators(&crate::tools()));
    for client in clients::ALL {
        sum.done(&format!("client for {}", client.language), || client.prepare(&crate::tools()));
    }
    sum.done("page", page::build);
    if root().join("tests/it/main.rs").exists() {
        let mut it = cargo(["test", "--locked", "--test", "it"]);
        // Most of them wait for something most of the time.
        let cores = thread::available_parallelism().map_or(1, usize::from);
        it.env("RUST_TEST_THREADS", (2 * cores).to_string());
        sum.tests("integration tests, some take minutes", tools.hand_to(&mut it));
    }
    sum.done("instructions", gate::check);
    let mut doc = cargo(["doc", "--locked", "--no-deps", "--document-private-items"]);
    // It is for whoever changes the code: links to what is private lead somewhere.
    let flags = "-D warnings -A rustdoc::private_intra_doc_links";
    sum.check("documentation", doc.env("RUSTDOCFLAGS", flags));

    println!("\n{} passed, {} failed", sum.passed, sum.failed);
    if sum.failed == 0 { Ok(()) } else { Err("not everything passed".into()) }
}

impl Sum {
    /// A step that passes or not; it counts only where it does not.
    fn check(&mut self, name: &str, command: &mut Command) {
        let begun = begin(name);
        match command.status() {
            Ok(status) if status.success() => end(name, begun),
            Ok(status) => self.fail(name, &status.to_string()),
            Err(error) => self.fail(name, &error.to_string()),
        }
    }

    fn done(&mut self, name: &str, step: impl FnOnce() -> Result<(), String>) {
        let begun = begin(name);
        match step() {
            Ok(()) => end(name, begun),
            Err(why) => self.fail(name, &why),
        }
    }

    /// A run of cargo test: its output is shown as it comes, and its results are added.
    fn tests(&mut self, name: &str, command: &mut Command) {
        let begun = begin(name);
        let mut child = match command.arg("--no-fail-fast").stdout(Stdio::piped()).spawn() {
            Ok(child) => child,
            Err(error) => return self.fail(name, &error.to_string()),
        };
        let mut failed = 0;
        let output = child.stdout.take().expect("stdout is piped");
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            if let Some((passed, failures)) = result(&line) {
                self.passed += passed;
                failed += failures;
            }
        }
        self.failed += failed;
        match child.wait() {
            Ok(status) if status.success() => end(name, begun),
            // The tests that failed are counted already.
            Ok(_) if failed > 0 => println!("== {name}: {failed} failed"),
            Ok(status) => self.fail(name, &status.to_string()),
            Err(error) => self.fail(name, &error.to_string()),
        }
    }

    fn fail(&mut self, name: &str, why: &str) {
        println!("== {name}: failed ({why})");
        self.failed += 1;
    }
}

#[allow(clippy::disallowed_methods, reason = "no test pauses this clock")]
fn begin(name: &str) -> Instant {
    println!("\n== {name}");
    Instant::now()
}

fn end(name: &str, begun: Instant) {
    println!("== {name}: done in {:.0} s", begun.elapsed().as_secs_f64());
}

/// `test result: ok. 12 passed; 0 failed; …`
fn result(line: &str) -> Option<(u64, u64)> {
    let counts = line.strip_prefix("test result: ")?.split_once(". ")?.1;
    let count = |name: &str| {
        let part = counts.split(';').find(|part| part.trim().ends_with(name))?;
        part.split_whitespace().next()?.parse().ok()
    };
    Some((count(" passed")?, count(" failed")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_read_from_what_cargo_prints() {
        let ok = "test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out; \
                  finished in 0.01s";
        assert_eq!(result(ok), Some((12, 0)));
        let bad = "test result: FAILED. 4 passed; 2 failed; 0 ignored; 0 measured; finished";
        assert_eq!(result(bad), Some((4, 2)));
        assert_eq!(result("test a::b ... ok"), None);
    }

    #[test]
    fn a_command_that_fails_without_results_counts_as_one_failure() {
        let mut sum = Sum::default();
        sum.tests("none", &mut Command::new("false"));
        sum.check("none", &mut Command::new("false"));
        sum.check("all", &mut Command::new("true"));
        assert_eq!((sum.passed, sum.failed), (0, 2));
    }
}
