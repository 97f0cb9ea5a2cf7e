//! What was found: a table for people, JSON for machines.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use super::{
    Measured,
    measure::{Length, Sample},
    rows::{Call, Case, Goal, Load, Pace, Quantity, Row, Scenario},
    statistics::{Estimate, Random, Verdict, estimate, median, verdict},
    systems::Build,
};

/// Of its cores, from which a server is full: what it costs then is what was left for it.
const SERVER_FULL: f64 = 0.95;
/// Of one core: more, and the load generator itself may be what is measured.
const CLIENT_FULL: f64 = 0.8;
/// Cores that others may use meanwhile, and the hypervisor may take.
const OTHERS_MAX: f64 = 0.25;
const STOLEN_MAX: f64 = 0.05;
const OTHERS_USED: &str = "cores used by others, median of the worst case";
const STOLEN: &str = "cores taken by the hypervisor, median of the worst case";

pub(crate) struct Report {
    facts: Vec<(&'static str, String)>,
    /// What the names of the scenarios stand for.
    scenarios: Vec<&'static Scenario>,
    rows: Vec<Found>,
    cases: Vec<Summary>,
}

/// A row, and what was found.
struct Found {
    name: String,
    goal: Goal,
    stretch: f64,
    ours: Option<f64>,
    theirs: Option<f64>,
    ratios: Vec<f64>,
    estimate: Option<Estimate>,
    /// The same of the other build.
    before: Option<Estimate>,
    verdict: Verdict,
}

/// A case over all rounds.
struct Summary {
    scenario: &'static str,
    label: String,
    numbers: Vec<(&'static str, Option<f64>)>,
    flags: Vec<&'static str>,
    failures: Vec<String>,
    /// Of each round, everything that the load generator said.
    samples: Vec<BTreeMap<String, f64>>,
}

impl Report {
    pub(crate) fn of(
        rows: &[&Row],
        measured: &[Measured],
        facts: &[(&'static str, String)],
        seed: u64,
        length: Length,
        random: &mut Random,
    ) -> Report {
        let cores = facts.iter().find(|(name, _)| *name == "cores");
        let cores = cores.and_then(|(_, cores)| cores.parse().ok()).unwrap_or(1.0);
        let rounds = measured.first().map_or(0, |measured| measured.samples.len());
        let mut facts = facts.to_vec();
        facts.push(("rounds", format!("{rounds} of {} seconds", length.seconds)));
        facts.push(("seed", seed.to_string()));
        for (what, name) in [(OTHERS_USED, "others"), (STOLEN, "stolen")] {
            let used = measured.iter().filter_map(|case| spread(case, |sample| sample.cores(name)));
            facts.push((what, format!("{:.2}", used.fold(0.0, f64::max))));
        }
        let mut scenarios: Vec<_> = measured.iter().map(|case| case.scenario).collect();
        scenarios.dedup_by_key(|scenario| scenario.name);
        Report {
            facts,
            scenarios,
            rows: rows.iter().map(|row| found(row, measured, cores, random)).collect(),
            cases: measured.iter().map(|case| summary(case, cores)).collect(),
        }
    }

    pub(crate) fn table(&self) -> String {
        let mut text = String::new();
        for (name, fact) in &self.facts {
            let _ = writeln!(text, "{name}: {fact}");
        }
        let with_before = self.rows.iter().any(|row| row.before.is_some());
        let before = if with_before { " before |" } else { "" };
        let _ =
            writeln!(text, "\n| what | ours | theirs | found |{before} goal | stretch | verdict |");
        let _ = writeln!(
            text,
            "|---|---|---|---|{}---|---|---|",
            if with_before { "---|" } else { "" }
        );
        for row in &self.rows {
            let interval = |estimate: Option<Estimate>| match estimate {
                Some(Estimate { median, low, high }) => {
                    format!("**{}** [{} to {}]", short(median), short(low), short(high))
                }
                None => "–".to_owned(),
            };
            let number = |number: Option<f64>| number.map_or_else(|| "–".to_owned(), short);
            let (sign, goal) = match row.goal {
                Goal::AtMost(goal) | Goal::Alone(goal) => ("≤", goal),
                Goal::AtLeast(goal) | Goal::TimesBetter(goal) => ("≥", goal),
            };
            let before =
                if with_before { format!(" {} |", interval(row.before)) } else { String::new() };
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} |{before} {sign} {goal} | {} | {} |",
                row.name,
                number(row.ours),
                number(row.theirs),
                interval(row.estimate),
                row.stretch,
                shown(&row.verdict),
            );
        }
        text.push('\n');
        for scenario in &self.scenarios {
            let _ = writeln!(text, "- {}: {}", scenario.name, scenario.title);
        }
        let _ = writeln!(text, "\nMedians of each case:\n");
        let names: Vec<_> = self
            .cases
            .first()
            .map_or(Vec::new(), |case| case.numbers.iter().map(|(name, _)| *name).collect());
        let _ = writeln!(text, "| case | {} | remarks |", names.join(" | "));
        let _ = writeln!(text, "|---|{}---|", "---|".repeat(names.len()));
        for case in &self.cases {
            let number = |number: &Option<f64>| number.map_or_else(String::new, short);
            let numbers: Vec<_> = case.numbers.iter().map(|(_, value)| number(value)).collect();
            let mut remarks = case.flags.join(", ");
            if let Some(why) = case.failures.first() {
                let _ = write!(remarks, " {} failed: {}", case.failures.len(), one_line(why));
            }
            let _ = writeln!(
                text,
                "| {} {} | {} | {remarks} |",
                case.scenario,
                case.label,
                numbers.join(" | ")
            );
        }
        text
    }

    /// A file for people, the last one; and a file for machines, of its own.
    pub(crate) fn write(&self, folder: &Path) -> Result<Vec<PathBuf>, String> {
        fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let fact = |wanted: &str| {
            self.facts.iter().find(|(name, _)| *name == wanted).map_or("", |(_, fact)| fact)
        };
        let name: String = format!("{}-{}", date(), fact("commit"))
            .chars()
            .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
            .collect();
        let files = [
            (folder.join("latest.md"), self.page()),
            (folder.join(format!("{name}.json")), self.json()),
        ];
        for (file, text) in &files {
            fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))?;
        }
        Ok(files.map(|(file, _)| file).into())
    }

    fn page(&self) -> String {
        let table = self.table();
        let (facts, rest) = table.split_once("\n\n").unwrap_or((&table, ""));
        let facts: Vec<_> = facts.lines().map(|fact| format!("- {fact}")).collect();
        format!(
            "# What `cargo xtask bench` found\n\nWritten by that command; benches/README.md says \
             what the words mean. A ratio is of one round, the figure the median of the rounds, in \
             brackets where it lies with 95 %.\n\n{}\n\n{rest}",
            facts.join("\n")
        )
    }

    fn json(&self) -> String {
        let facts =
            self.facts.iter().map(|(name, fact)| format!("{}: {}", quoted(name), quoted(fact)));
        let rows = self.rows.iter().map(|row| {
            let (kind, goal) = match row.goal {
                Goal::AtMost(goal) => ("at most", goal),
                Goal::AtLeast(goal) => ("at least", goal),
                Goal::TimesBetter(goal) => ("times better", goal),
                Goal::Alone(goal) => ("alone, at most", goal),
            };
            let ratios: Vec<_> = row.ratios.iter().map(|ratio| number(*ratio)).collect();
            format!(
                "{{\"row\": {}, \"goal_is\": {}, \"goal\": {goal}, \"stretch\": {}, \
                 \"ours\": {}, \"theirs\": {}, \"ratios\": [{}], {}, \"verdict\": {}}}",
                quoted(&row.name),
                quoted(kind),
                row.stretch,
                row.ours.map_or("null".into(), number),
                row.theirs.map_or("null".into(), number),
                ratios.join(", "),
                row.estimate.map_or("\"found\": null".into(), |Estimate { median, low, high }| {
                    format!(
                        "\"found\": {}, \"low\": {}, \"high\": {}",
                        number(median),
                        number(low),
                        number(high)
                    )
                }),
                quoted(&shown(&row.verdict)),
            )
        });
        let cases = self.cases.iter().map(|case| {
            let samples = case.samples.iter().map(|sample| {
                let numbers = sample.iter().map(|(name, value)| format!("{}: {}", quoted(name), number(*value)));
                format!("{{{}}}", numbers.collect::<Vec<_>>().join(", "))
            });
            let failures: Vec<_> = case.failures.iter().map(|why| quoted(why)).collect();
            format!(
                "{{\"scenario\": {}, \"case\": {}, \"failures\": [{}], \"samples\": [\n    {}\n  ]}}",
                quoted(case.scenario),
                quoted(&case.label),
                failures.join(", "),
                samples.collect::<Vec<_>>().join(",\n    ")
            )
        });
        format!(
            "{{\n\"machine\": {{{}}},\n\"rows\": [\n  {}\n],\n\"cases\": [\n  {}\n]\n}}\n",
            facts.collect::<Vec<_>>().join(", "),
            rows.collect::<Vec<_>>().join(",\n  "),
            cases.collect::<Vec<_>>().join(",\n  ")
        )
    }
}

fn found(row: &Row, measured: &[Measured], cores: f64, random: &mut Random) -> Found {
    let of = |label: &str, build: Build| {
        measured.iter().find(|case| {
            case.scenario.name == row.scenario && case.case.label == label && case.build == build
        })
    };
    let (ours, theirs) = (of(row.ours, Build::Now), of(row.theirs, Build::Now));
    let against = |ours: Option<&Measured>| match (ours, theirs) {
        (Some(ours), Some(theirs)) => ratios(row, ours, theirs),
        _ => Vec::new(),
    };
    let ratios = against(ours);
    let found = estimate(&ratios, random);
    let before = of(row.ours, Build::Before).map(|before| against(Some(before)));
    let before = before.and_then(|ratios| estimate(&ratios, random));
    let sides = [ours, theirs].into_iter().flatten();
    let mut doubts: Vec<_> = sides.flat_map(|side| doubts(side, row.quantity, cores)).collect();
    doubts.sort();
    doubts.dedup();
    let verdict = match found {
        Some(found) => verdict(found, row.goal, row.stretch, &doubts),
        None => Verdict::Refused("nothing was measured".into()),
    };
    let value = |case: Option<&Measured>| spread(case?, |sample| sample.value(row.quantity));
    Found {
        name: row.name(),
        goal: row.goal,
        stretch: row.stretch,
        ours: value(ours),
        theirs: value(theirs).filter(|_| !matches!(row.goal, Goal::Alone(_))),
        ratios,
        estimate: found,
        before,
        verdict,
    }
}

/// Of each round in which both were measured.
fn ratios(row: &Row, ours: &Measured, theirs: &Measured) -> Vec<f64> {
    let rounds = ours.samples.iter().zip(&theirs.samples);
    let rounds = rounds.filter_map(|(ours, theirs)| {
        let ours = ours.as_ref().ok()?.value(row.quantity);
        let theirs = theirs.as_ref().ok()?.value(row.quantity);
        Some(match row.goal {
            Goal::AtMost(_) | Goal::AtLeast(_) => ours / theirs,
            Goal::TimesBetter(_) => theirs / ours,
            Goal::Alone(_) => ours,
        })
    });
    rounds.filter(|ratio| ratio.is_finite()).collect()
}

/// Why nothing should be concluded from a case.
fn doubts(case: &Measured, quantity: Quantity, cores: f64) -> Vec<String> {
    let mut doubts = Vec::new();
    let label = name(case.case, case.build);
    if case.samples.iter().any(Result::is_err) {
        doubts.push(format!("{label} failed"));
    }
    if case.samples.iter().flatten().any(|sample| !sample.is_sound()) {
        doubts.push(format!("{label} lost, repeated or reordered events"));
    }
    let memory = matches!(quantity, Quantity::MemoryPerStream | Quantity::MemoryGrown);
    let others = spread(case, |sample| sample.cores("others"));
    let busy = !memory && others.is_some_and(|used| used > OTHERS_MAX);
    if busy {
        doubts.push("the machine was busy with other things".to_owned());
    }
    if spread(case, |sample| sample.cores("stolen")).is_some_and(|used| used > STOLEN_MAX) {
        doubts.push("the hypervisor took time".to_owned());
    }
    let isolated = matches!(case.case.load, Load::FanOut { pace: Pace::Rate(_), .. });
    if isolated && (is_full(case, cores) || a_thread_is_full(case)) {
        doubts.push(format!("{label} was saturated"));
    } else if isolated && !busy && machine_is_full(case, cores) {
        doubts.push(format!("the machine was saturated under {label}"));
    }
    let latency = matches!(quantity, Quantity::LatencyP50 | Quantity::LatencyP99);
    if (latency || quantity == Quantity::EventsPerSecond) && client_is_full(case) {
        doubts.push(format!("the load generator was the bottleneck of {label}"));
    }
    doubts
}

fn is_full(case: &Measured, cores: f64) -> bool {
    let server = spread(case, |sample| sample.cores("server")).unwrap_or(0.0);
    let redis = spread(case, |sample| sample.cores("redis")).unwrap_or(0.0);
    server >= SERVER_FULL * case.case.system.cores(cores) || redis >= SERVER_FULL
}

/// Where each thread has its own connections, those of a full one wait.
fn a_thread_is_full(case: &Measured) -> bool {
    let busiest =
        |sample: &Sample| sample.number("server_busiest_thread") / sample.number("seconds");
    spread(case, busiest).is_some_and(|used| used >= SERVER_FULL)
}

fn machine_is_full(case: &Measured, cores: f64) -> bool {
    let everyone = ["server", "redis", "client", "others"];
    let used = |sample: &Sample| everyone.map(|name| sample.cores(name)).iter().sum();
    spread(case, used).is_some_and(|used| used >= SERVER_FULL * cores)
}

fn client_is_full(case: &Measured) -> bool {
    spread(case, |sample| sample.cores("client")).is_some_and(|used| used > CLIENT_FULL)
}

/// The median over the rounds.
fn spread(case: &Measured, value: impl Fn(&Sample) -> f64) -> Option<f64> {
    let values: Vec<_> =
        case.samples.iter().flatten().map(value).filter(|v| v.is_finite()).collect();
    median(&values)
}

fn summary(case: &Measured, cores: f64) -> Summary {
    let per = |what: &'static str, name: &'static str| {
        let rate = |sample: &Sample| sample.number(name) / sample.number("seconds");
        (what, spread(case, rate).filter(|rate| *rate > 0.0))
    };
    let micros = |what: &'static str, process: &'static str| {
        let cost = |sample: &Sample| {
            let count = sample.numbers.get("delivered").or(sample.numbers.get("published"));
            let used = sample.numbers.get(&format!("{process}_cpu"));
            match (count, used) {
                (Some(count), Some(used)) => used * 1e6 / count,
                _ => f64::NAN,
            }
        };
        (what, spread(case, cost))
    };
    let used = |what: &'static str, process: &'static str| {
        let cores = |sample: &Sample| match sample.numbers.get(&format!("{process}_cpu")) {
            Some(_) => sample.cores(process),
            None => f64::NAN,
        };
        (what, spread(case, cores))
    };
    let latency = |what: &'static str, name: &'static str| {
        let micros = |sample: &Sample| sample.numbers.get(name).copied().unwrap_or(f64::NAN);
        (what, spread(case, micros))
    };
    let numbers = vec![
        per("published/s", "published"),
        per("delivered/s", "delivered"),
        micros("server µs", "server"),
        micros("redis µs", "redis"),
        micros("client µs", "client"),
        used("server cores", "server"),
        used("redis cores", "redis"),
        used("client cores", "client"),
        used("others' cores", "others"),
        latency("p50 µs", "latency_p50"),
        latency("p99 µs", "latency_p99"),
    ];
    let samples = || case.samples.iter().flatten();
    let mut flags = Vec::new();
    let mut flag = |raised: bool, text| flags.extend(raised.then_some(text));
    let full = is_full(case, cores);
    flag(full, "server saturated");
    flag(!full && a_thread_is_full(case), "a thread of the server saturated");
    flag(machine_is_full(case, cores), "machine full");
    flag(client_is_full(case), "client > 0.8 core");
    flag(samples().any(|sample| !sample.is_sound()), "NOT SOUND");
    let asked_for_a_stream = case.case.system.is_tidings()
        && !matches!(case.case.load, Load::Publish { call: Call::Unary, .. });
    let unary = samples().any(|sample| sample.text("published_by") == "unary");
    flag(asked_for_a_stream && unary, "published by unary calls: the broker has no PublishStream");
    let faults = samples().map(|sample| sample.text("first_fault")).filter(|text| !text.is_empty());
    let failed = case.samples.iter().filter_map(|sample| sample.as_ref().err());
    Summary {
        scenario: case.scenario.name,
        label: name(case.case, case.build),
        numbers,
        flags,
        failures: failed.map(String::as_str).chain(faults).map(Into::into).collect(),
        samples: samples().map(|sample| sample.numbers.clone()).collect(),
    }
}

fn name(case: &Case, build: Build) -> String {
    match build {
        Build::Now => case.label.to_owned(),
        Build::Before => format!("{} (before)", case.label),
    }
}

pub(crate) fn progress(
    scenario: &Scenario,
    case: &Case,
    build: Build,
    round: usize,
    sample: &Result<Sample, String>,
) -> String {
    let head = format!("{:<18} {:>2}  {:<18}", scenario.name, round + 1, name(case, build));
    match sample {
        Err(why) => format!("{head} failed: {}", one_line(why)),
        Ok(sample) => {
            let count = sample.numbers.get("delivered").or(sample.numbers.get("published"));
            let rate = count.map_or(String::new(), |count| {
                let rate = count / sample.number("seconds");
                let used = sample.number("server_cpu") + sample.number("redis_cpu");
                format!("{:>10.0}/s  {:>7} µs each", rate, short(used * 1e6 / count))
            });
            let fault = match (sample.is_sound(), sample.text("first_fault")) {
                (true, _) => String::new(),
                (false, fault) => format!("  NOT SOUND {}", one_line(fault)),
            };
            format!(
                "{head} {rate}  cores: server {:.2} redis {:.2} client {:.2} others {:.2}{fault}",
                sample.cores("server"),
                sample.cores("redis"),
                sample.cores("client"),
                sample.cores("others"),
            )
        }
    }
}

fn shown(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Stretch => "better than the stretch".into(),
        Verdict::Met => "met".into(),
        Verdict::Missed => "**missed**".into(),
        Verdict::Refused(why) => format!("none: {why}"),
    }
}

/// Three digits that count.
fn short(value: f64) -> String {
    match value.abs() {
        great if great >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        small if small >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

fn number(value: f64) -> String {
    if value.is_finite() { value.to_string() } else { "null".into() }
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push(' '),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

fn one_line(text: &str) -> String {
    const BYTES_MAX: usize = 300;
    text.chars().map(|c| if c.is_control() || c == '|' { ' ' } else { c }).take(BYTES_MAX).collect()
}

/// As a file's name begins.
fn date() -> String {
    let output = std::process::Command::new("date").args(["--utc", "+%Y-%m-%d-%H%M"]).output();
    output.map_or_else(
        |_| String::new(),
        |output| String::from_utf8_lossy(&output.stdout).trim().into(),
    )
}
