//! `cargo xtask bench`: what Tidings costs, beside raw Redis, NATS and other facades, in the same rounds.
//!
//! benches/README.md says what is measured and what the words mean.

mod measure;
mod report;
mod rows;
mod statistics;
mod systems;

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{cargo, succeed, target, tools};
use measure::{Length, Sample, measure};
use report::Report;
use rows::{Case, ROWS, Row, SCENARIOS, Scenario};
use statistics::Random;
use systems::{Binaries, Build, System};

/// Fewer, or shorter ones, are for a look.
const PAIRS: usize = 10;
const SECONDS: f64 = 5.0;
/// To start the servers and open the streams.
const AROUND_SECONDS: f64 = 0.7;

#[derive(Debug, Clone, PartialEq)]
struct Options {
    /// Parts of names; none: every row.
    rows: Vec<String>,
    pairs: usize,
    seconds: f64,
    seed: Option<u64>,
    before: Option<PathBuf>,
    list: bool,
    /// Written to where it is kept, although it is short.
    keep: bool,
}

/// A case as it was measured in each round; none where the run failed.
pub(crate) struct Measured {
    pub(crate) scenario: &'static Scenario,
    pub(crate) case: &'static Case,
    pub(crate) build: Build,
    pub(crate) samples: Vec<Result<Sample, String>>,
}

pub(crate) fn run(args: &[String]) -> Result<(), String> {
    let options = options(args)?;
    let rows: Vec<&Row> = ROWS.iter().filter(|row| wanted(&options.rows, &row.name())).collect();
    if options.list || rows.is_empty() {
        ROWS.iter().for_each(|row| println!("{}", row.name()));
        return if options.list { Ok(()) } else { Err("no row has such a name".into()) };
    }
    systems::check_open_files()?;
    let mut measured = cases(&rows, options.before.is_some());
    let needs_nats = measured.iter().any(|measured| measured.case.system == System::Nats);
    let binaries = binaries(options.before.as_deref(), needs_nats)?;
    let seed = options.seed.unwrap_or_else(|| u64::from(std::process::id()));
    let facts = systems::facts(&binaries);
    let folder = target().join("bench");
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;

    let mut random = Random(seed);
    let length =
        Length { warm_up: (options.seconds / 5.0).clamp(0.1, 1.0), seconds: options.seconds };
    let runs = (measured.len() * options.pairs) as f64;
    println!(
        "== {} rows: {} cases in {} rounds of {} seconds, some {:.0} minutes; seed {seed}",
        rows.len(),
        measured.len(),
        options.pairs,
        length.seconds,
        runs * (length.warm_up + length.seconds + AROUND_SECONDS) / 60.0,
    );
    for scenario in SCENARIOS {
        if measured.iter().any(|case| case.scenario.name == scenario.name) {
            println!("== {}: {}", scenario.name, scenario.title);
        }
        for round in 0..options.pairs {
            let mut turn: Vec<usize> = (0..measured.len())
                .filter(|at| measured[*at].scenario.name == scenario.name)
                .collect();
            random.shuffle(&mut turn);
            for at in turn {
                let Measured { case, build, samples, .. } = &mut measured[at];
                let sample = measure(case, *build, length, &binaries, &folder);
                println!("{}", report::progress(scenario, case, *build, round, &sample));
                samples.push(sample);
            }
        }
    }

    let report = Report::of(&rows, &measured, &facts, seed, length, &mut random);
    print!("\n{}", report.table());
    // What is kept in the repository is whole.
    let long = options.keep || options.pairs >= PAIRS && options.seconds >= SECONDS;
    let results = if options.rows.is_empty() && long {
        crate::root().join("benches/results")
    } else {
        folder
    };
    for file in report.write(&results)? {
        println!("wrote {}", file.display());
    }
    Ok(())
}

fn binaries(before: Option<&Path>, needs_nats: bool) -> Result<Binaries, String> {
    let redis = tools::redis_server()?;
    let nats = needs_nats.then(tools::nats_server).transpose()?;
    // Apart, so that neither gets the other's features: the broker is what users get.
    for package in ["tidings", "tidings-benches"] {
        succeed(&mut cargo(["build", "--release", "--locked", "--bins", "--package", package]))?;
    }
    let built = |name: &str| target().join("release").join(name);
    if let Some(before) = before.filter(|before| !before.is_file()) {
        return Err(format!("--broker {}: no such file", before.display()));
    }
    Ok(Binaries {
        load: built("bench-load"),
        broker: built("tidings"),
        before: before.map(Path::to_path_buf),
        naive: built("bench-naive"),
        usual: built("bench-usual"),
        echo: built("bench-echo"),
        redis,
        nats,
    })
}

/// What the rows read, and the other build of the broker beside.
fn cases(rows: &[&Row], with_before: bool) -> Vec<Measured> {
    let mut measured = Vec::new();
    for scenario in SCENARIOS {
        for case in scenario.cases {
            let reads = |row: &&&Row| {
                row.scenario == scenario.name && [row.ours, row.theirs].contains(&case.label)
            };
            if !rows.iter().any(|row| reads(&row)) {
                continue;
            }
            let before = (with_before && case.system.is_tidings()).then_some(Build::Before);
            for build in [Some(Build::Now), before].into_iter().flatten() {
                measured.push(Measured { scenario, case, build, samples: Vec::new() });
            }
        }
    }
    measured
}

fn wanted(parts: &[String], name: &str) -> bool {
    parts.is_empty() || parts.iter().any(|part| name.contains(part.as_str()))
}

fn options(args: &[String]) -> Result<Options, String> {
    let mut options = Options {
        rows: Vec::new(),
        pairs: PAIRS,
        seconds: SECONDS,
        seed: None,
        before: None,
        list: false,
        keep: false,
    };
    let mut args = args.iter();
    while let Some(option) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{option}: a value is missing"));
        let no_number = |text: &str| format!("{option}: {text:?} is no such number");
        match option.as_str() {
            "--quick" => (options.pairs, options.seconds) = (3, 2.0),
            "--smoke" => (options.pairs, options.seconds) = (1, 0.3),
            "--list" => options.list = true,
            "--keep" => options.keep = true,
            "--rows" => options.rows = value()?.split(',').map(Into::into).collect(),
            "--pairs" => {
                let text = value()?;
                let pairs = text.parse().ok().filter(|pairs| (1..=1000).contains(pairs));
                options.pairs = pairs.ok_or_else(|| no_number(text))?;
            }
            "--seconds" => {
                let text = value()?;
                let seconds = text.parse().ok().filter(|seconds| (0.1..=600.0).contains(seconds));
                options.seconds = seconds.ok_or_else(|| no_number(text))?;
            }
            "--seed" => {
                let text = value()?;
                options.seed = Some(text.parse().map_err(|_| no_number(text))?);
            }
            "--broker" => options.before = Some(value()?.into()),
            other => return Err(format!("{other}: no such option\n\n{}", crate::USAGE)),
        }
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Options, String> {
        options(&line.split_whitespace().map(Into::into).collect::<Vec<_>>())
    }

    #[test]
    fn a_run_has_ten_pairs_of_five_seconds_unless_said_otherwise() {
        let lengths = |line: &str| read(line).map(|options| (options.pairs, options.seconds));
        assert_eq!(lengths(""), Ok((10, 5.0)));
        assert_eq!(lengths("--quick"), Ok((3, 2.0)));
        assert_eq!(lengths("--quick --pairs 7 --seconds 0.5"), Ok((7, 0.5)));
        for wrong in ["--pairs", "--pairs 0", "--seconds -1", "--seed x", "--row a"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn rows_are_chosen_by_parts_of_their_names() {
        let chosen = read("--rows isolated-100:,kibibyte").unwrap().rows;
        let names = ROWS.iter().map(Row::name).filter(|name| wanted(&chosen, name));
        let scenarios: Vec<_> =
            names.map(|name| name.split(':').next().unwrap().to_owned()).collect();
        assert!(scenarios.iter().all(|name| name == "isolated-100" || name == "kibibyte"));
        assert!(scenarios.len() > 2, "{scenarios:?}");
    }
}
