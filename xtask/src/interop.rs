//! `cargo xtask interop`: what the clients in every language do, written into docs/interop.md.

use crate::{cargo, clients, succeed, tools};

pub(crate) fn run(args: &[String]) -> Result<(), String> {
    let runs = runs(args)?;
    let installed = tools::install()?;
    for client in clients::ALL {
        println!("== client for {}", client.language);
        client.prepare(&crate::tools())?;
    }
    let profile: &[&str] = if runs == 0 { &[] } else { &["--release"] };
    let mut build = cargo(["build", "--locked", "--workspace", "--bins", "--examples"]);
    succeed(build.args(profile))?;
    let mut tests = cargo(["test", "--locked", "--test", "it"]);
    tests.args(profile).args(["interop::", "--", "--nocapture", "--test-threads", "1"]);
    succeed(installed.hand_to(&mut tests).env("TIDINGS_INTEROP_RUNS", runs.to_string()))
}

/// Of each measurement.
fn runs(args: &[String]) -> Result<usize, String> {
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => Ok(3),
        ["--runs", runs] => runs.parse().map_err(|_| format!("--runs: {runs:?} is no number")),
        _ => Err(format!("{args:?}: there is --runs N")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_runs_are_made_unless_said_otherwise() {
        let runs =
            |line: &str| runs(&line.split_whitespace().map(Into::into).collect::<Vec<_>>()).ok();
        assert_eq!([runs(""), runs("--runs 0"), runs("--runs 7")], [Some(3), Some(0), Some(7)]);
        assert_eq!([runs("--runs"), runs("--runs many"), runs("7")], [None; 3]);
    }
}
