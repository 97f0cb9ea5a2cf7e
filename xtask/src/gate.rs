//! `cargo xtask gate`: how many instructions the things take that a broker does most, against what
//! is checked in. Instructions and not time, so that a busy machine changes nothing.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{cargo, root, succeed, target, tools};

/// What is counted: named as `benches/gate` and the baseline name it.
struct Work {
    name: &'static str,
    /// Of what there is one figure.
    what: &'static str,
    /// Two counts: what both do alike, such as starting, is no part of the figure.
    counts: (u64, u64),
}

const ALL: [Work; 5] = [
    Work { name: "delivery", what: "one delivery to one of ten streams", counts: (20_000, 40_000) },
    Work { name: "publish", what: "one unary publish", counts: (2_000, 12_000) },
    Work {
        name: "streamed-publish",
        what: "one publish of forty that PublishStream has under way",
        counts: (20_000, 40_000),
    },
    Work {
        name: "checked-publish",
        what: "one unary publish on a topic that checks its events' schema",
        counts: (2_000, 12_000),
    },
    Work {
        name: "checked-streamed-publish",
        what: "one of forty publishes under way on a topic that checks its events' schema",
        counts: (20_000, 40_000),
    },
];

const BASELINE: &str = "benches/gate/baseline.toml";
/// What a figure may differ from its baseline, in per mille.
const ALLOWED: i64 = 20;

/// Which implementation of memcpy and its like the C library takes depends on the processor: here all
/// take the same. And what an allocation costs depends on all that were before it, so that one byte more in
/// a time of day can be felt: here each is served from a list of its size.
const TUNABLES: &str = "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX2,-AVX_Fast_Unaligned_Load,-ERMS,-FSRM:\
                        glibc.malloc.tcache_count=65535:glibc.malloc.tcache_max=65536";
/// Odd: the median counts, since time of day and hash seeds leave some tenths of a per cent to chance.
const RUNS: usize = 3;

/// A figure as it is checked in.
#[derive(Debug, Clone, PartialEq)]
struct Entry {
    instructions: u64,
    /// The version of the compiler.
    rustc: String,
    reason: String,
}

type Baseline = BTreeMap<String, Entry>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Same,
    Better,
    Worse,
    /// Another compiler counts otherwise: no verdict.
    OtherCompiler,
    New,
}

pub(crate) fn run(args: &[String]) -> Result<(), String> {
    let reason = reason(args)?;
    if !is_for_this_machine() {
        return Err("instructions are counted on x86-64 Linux only".into());
    }
    let (baseline, rustc) = (baseline()?, rustc()?);
    let figures = measure()?;
    match reason {
        None => judge(&figures, &baseline, &rustc),
        Some(reason) => accept(&figures, baseline, &rustc, reason),
    }
}

/// Part of `cargo xtask test`.
pub(crate) fn check() -> Result<(), String> {
    if is_for_this_machine() {
        return run(&[]);
    }
    println!("   NOT COUNTED: the baseline is of x86-64 Linux");
    Ok(())
}

pub(crate) fn is_for_this_machine() -> bool {
    cfg!(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"))
}

/// Why other figures are right, where they are to be.
fn reason(args: &[String]) -> Result<Option<&str>, String> {
    match args {
        [] => Ok(None),
        [accept, reason] if accept == "--accept" && !reason.trim().is_empty() => {
            let plain = !reason.contains(['"', '\\', '\n']);
            plain.then_some(Some(reason.trim())).ok_or("--accept: a reason without quotes".into())
        }
        [accept, ..] if accept == "--accept" => Err("--accept: say why, in one argument".into()),
        [other, ..] => Err(format!("{other}: there is --accept \"reason\"")),
    }
}

/// The figure of each work.
fn measure() -> Result<Vec<(&'static Work, u64)>, String> {
    let valgrind = tools::valgrind()?;
    let mut build = cargo(["build", "--locked", "--example", "gate"]);
    // What runs for real is optimised; without, most of what is counted would be gone there.
    build.env("CARGO_PROFILE_DEV_OPT_LEVEL", "1");
    succeed(&mut build)?;
    let program = target().join("debug/examples/gate");
    let folder = target().join("gate");
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let count = |work: &Work, times: u64| {
        let mut count = Command::new(&valgrind);
        // Not even the size of the environment may differ.
        count.env_clear().env("GLIBC_TUNABLES", TUNABLES);
        count.arg("--tool=callgrind").arg(out_file(work, &folder)).arg(&program);
        let run = count.arg(work.name).arg(times.to_string()).output();
        let run = run.map_err(|error| format!("{}: {error}", valgrind.display()))?;
        let told = String::from_utf8_lossy(&run.stderr);
        match collected(&told) {
            Some(instructions) if run.status.success() => Ok(instructions),
            _ => Err(format!("{} {times} failed ({}):\n{told}", work.name, run.status)),
        }
    };
    ALL.iter()
        .map(|work| {
            let (few, many) = work.counts;
            let mut figures = Vec::new();
            for _ in 0..RUNS {
                let (once, more) = (count(work, few)?, count(work, many)?);
                figures.push(more.saturating_sub(once) / (many - few));
            }
            figures.sort_unstable();
            println!("   {}: {figures:?}", work.name);
            Ok((work, figures[RUNS / 2]))
        })
        .collect()
}

fn out_file(work: &Work, folder: &Path) -> String {
    format!("--callgrind-out-file={}", folder.join(format!("{}.callgrind", work.name)).display())
}

/// `==7== Collected : 123456`
fn collected(told: &str) -> Option<u64> {
    let line = told.lines().find_map(|line| line.split_once("Collected :"))?;
    line.1.trim().parse().ok()
}

fn judge(figures: &[(&Work, u64)], baseline: &Baseline, rustc: &str) -> Result<(), String> {
    let mut failed = Vec::new();
    for (work, instructions) in figures {
        let entry = baseline.get(work.name);
        println!("   {}", line(work, *instructions, entry, rustc));
        match verdict(*instructions, entry, rustc) {
            Verdict::Same | Verdict::Better | Verdict::OtherCompiler => (),
            Verdict::Worse | Verdict::New => failed.push(work.name),
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    let what = failed.join(" and ");
    let file = format!("target/gate/{}.callgrind", failed[0]);
    Err(format!(
        "{what}: more instructions than {BASELINE} has, or none there. Find what takes them: \
         callgrind_annotate {file}, beside the same of a commit before. Or, where they are worth \
         it: cargo xtask gate --accept \"why\", and commit {BASELINE} with the change"
    ))
}

/// Figures that are within bounds keep their entries, so that many small steps become one large one.
fn accept(
    figures: &[(&Work, u64)],
    mut baseline: Baseline,
    rustc: &str,
    reason: &str,
) -> Result<(), String> {
    let mut accepted = 0;
    for (work, instructions) in figures {
        println!("   {}", line(work, *instructions, baseline.get(work.name), rustc));
        if verdict(*instructions, baseline.get(work.name), rustc) != Verdict::Same {
            let entry = Entry {
                instructions: *instructions,
                rustc: rustc.to_owned(),
                reason: reason.to_owned(),
            };
            baseline.insert(work.name.to_owned(), entry);
            accepted += 1;
        }
    }
    baseline.retain(|name, _| ALL.iter().any(|work| work.name == name));
    if accepted == 0 {
        return Err("there is nothing to accept: every figure is as it was".into());
    }
    let file = baseline_file();
    fs::write(&file, write(&baseline)).map_err(|error| format!("{}: {error}", file.display()))?;
    println!("   {accepted} accepted: commit {BASELINE} with the change");
    Ok(())
}

fn verdict(instructions: u64, entry: Option<&Entry>, rustc: &str) -> Verdict {
    let Some(entry) = entry else { return Verdict::New };
    if entry.rustc != rustc {
        return Verdict::OtherCompiler;
    }
    let (now, then) = (i128::from(instructions), i128::from(entry.instructions));
    let allowed = then * i128::from(ALLOWED);
    match (now - then) * 1000 {
        more if more > allowed => Verdict::Worse,
        more if more < -allowed => Verdict::Better,
        _ => Verdict::Same,
    }
}

fn line(work: &Work, instructions: u64, entry: Option<&Entry>, rustc: &str) -> String {
    let Work { name, what, .. } = work;
    let head = format!("{name}: {instructions} instructions for {what}");
    let Some(entry) = entry else {
        return format!("{head}; {BASELINE} has none: NEW");
    };
    let change = 100.0 * (instructions as f64 / entry.instructions as f64 - 1.0);
    let head = format!("{head}, {change:+.1} % of {}", entry.instructions);
    match verdict(instructions, Some(entry), rustc) {
        Verdict::Same | Verdict::New => head,
        Verdict::Worse => format!("{head}: WORSE"),
        Verdict::Better => format!(
            "{head}: BETTER; keep it: cargo xtask gate --accept \"why\", and commit {BASELINE}"
        ),
        Verdict::OtherCompiler => format!(
            "{head}: NO VERDICT, that is of rustc {} and this one is {rustc}; whoever moves the \
             compiler accepts its figures",
            entry.rustc
        ),
    }
}

fn rustc() -> Result<String, String> {
    let mut rustc = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    let told = rustc.arg("--version").output().map_err(|error| format!("{rustc:?}: {error}"))?;
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    let version = told.split_whitespace().nth(1);
    version.map(Into::into).ok_or_else(|| format!("rustc does not say its version: {told:?}"))
}

fn baseline_file() -> PathBuf {
    root().join(BASELINE)
}

fn baseline() -> Result<Baseline, String> {
    let file = baseline_file();
    if !file.exists() {
        return Ok(Baseline::new());
    }
    let text = fs::read_to_string(&file).map_err(|error| format!("{BASELINE}: {error}"))?;
    read(&text).map_err(|why| format!("{BASELINE}: {why}"))
}

/// A TOML file of tables with three keys each, and nothing else.
fn read(text: &str) -> Result<Baseline, String> {
    let mut tables: Vec<(&str, BTreeMap<&str, &str>)> = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            tables.push((name, BTreeMap::new()));
            continue;
        }
        let pair = line.split_once('=').zip(tables.last_mut());
        let ((key, value), (_, table)) = pair.ok_or_else(|| format!("{line:?} is no entry"))?;
        table.insert(key.trim(), value.trim().trim_matches('"'));
    }
    let entry = |(name, table): (&str, BTreeMap<&str, &str>)| {
        let value = |key: &str| {
            let value = table.get(key).filter(|value| !value.is_empty());
            value.copied().ok_or_else(|| format!("{name} has no {key}"))
        };
        let instructions = value("instructions")?.replace('_', "").parse();
        let instructions =
            instructions.map_err(|_| format!("{name}: instructions is no number"))?;
        let (rustc, reason) = (value("rustc")?.into(), value("reason")?.into());
        Ok((name.to_owned(), Entry { instructions, rustc, reason }))
    };
    tables.into_iter().map(entry).collect()
}

fn write(baseline: &Baseline) -> String {
    let mut text = String::from(
        "# Instructions of what a broker does most, as `cargo xtask gate` counts them, which also writes\n\
         # them: --accept \"reason\". CONTRIBUTING.md says more.\n",
    );
    for (name, Entry { instructions, rustc, reason }) in baseline {
        text += &format!(
            "\n[{name}]\ninstructions = {instructions}\nrustc = \"{rustc}\"\nreason = \"{reason}\"\n"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUSTC: &str = "1.95.0";

    fn entry(instructions: u64) -> Entry {
        Entry { instructions, rustc: RUSTC.into(), reason: "it has to be".into() }
    }

    fn baseline(figures: &[(&str, u64)]) -> Baseline {
        figures.iter().map(|(name, figure)| ((*name).to_owned(), entry(*figure))).collect()
    }

    fn figures(delivery: u64, publish: u64) -> Vec<(&'static Work, u64)> {
        ALL.iter().zip([delivery, publish]).collect()
    }

    #[test]
    fn more_than_two_per_cent_above_the_baseline_fails() {
        for (figure, expected) in [
            (100_000, Verdict::Same),
            (101_900, Verdict::Same),
            (102_000, Verdict::Same),
            (102_001, Verdict::Worse),
            (102_100, Verdict::Worse),
            (98_000, Verdict::Same),
            (97_999, Verdict::Better),
            (u64::MAX, Verdict::Worse),
            (0, Verdict::Better),
        ] {
            assert_eq!(verdict(figure, Some(&entry(100_000)), RUSTC), expected, "{figure}");
        }
        let known = baseline(&[("delivery", 5_000), ("publish", 50_000)]);
        assert_eq!(judge(&figures(5_095, 50_950), &known, RUSTC), Ok(()));
        let why = judge(&figures(5_105, 50_000), &known, RUSTC).expect_err("2.1 % more");
        for part in
            ["delivery: more instructions", "target/gate/delivery.callgrind", "--accept", BASELINE]
        {
            assert!(why.contains(part), "no {part:?} in {why}");
        }
        assert!(!why.contains("publish"), "{why}");
    }

    #[test]
    fn a_figure_without_a_baseline_fails_with_what_to_do() {
        let why = judge(&figures(5_000, 50_000), &baseline(&[("publish", 50_000)]), RUSTC);
        let why = why.expect_err("delivery is new");
        assert!(why.starts_with("delivery: ") && why.contains("--accept"), "{why}");
        assert!(line(&ALL[0], 5_000, None, RUSTC).ends_with("has none: NEW"));
    }

    #[test]
    fn what_is_better_is_told_so_that_the_baseline_is_tightened() {
        let known = baseline(&[("delivery", 5_000), ("publish", 50_000)]);
        assert_eq!(judge(&figures(4_000, 50_000), &known, RUSTC), Ok(()));
        let told = line(&ALL[0], 4_000, known.get("delivery"), RUSTC);
        assert!(told.contains("-20.0 %") && told.contains("--accept"), "{told}");
    }

    #[test]
    fn another_compiler_is_said_and_gets_no_verdict() {
        let known = baseline(&[("delivery", 5_000), ("publish", 50_000)]);
        assert_eq!(judge(&figures(9_000, 50_000), &known, "1.99.0"), Ok(()));
        let told = line(&ALL[0], 9_000, known.get("delivery"), "1.99.0");
        for part in ["NO VERDICT", RUSTC, "1.99.0", "+80.0 %"] {
            assert!(told.contains(part), "no {part:?} in {told}");
        }
    }

    #[test]
    fn a_figure_is_accepted_only_with_a_reason() {
        let reason = |line: &[&str]| {
            let line: Vec<String> = line.iter().map(|word| (*word).to_owned()).collect();
            super::reason(&line).map(|reason| reason.map(str::to_owned))
        };
        assert_eq!(reason(&[]), Ok(None));
        assert_eq!(reason(&["--accept", "a check more"]), Ok(Some("a check more".into())));
        for wrong in
            [&["--accept"][..], &["--accept", " "], &["--accept", "a", "b"], &["--accept", "\""]]
        {
            assert!(reason(wrong).is_err(), "{wrong:?}");
        }
        assert!(reason(&["--force"]).is_err());
        for text in ["[a]\ninstructions = 1\nrustc = \"1\"\n", "[a]\nreason = \"\"\n", "x = 1\n"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let known = baseline(&[("delivery", 5_000), ("publish", 50_000)]);
        assert_eq!(read(&write(&known)), Ok(known));
    }

    #[test]
    fn instructions_are_read_from_what_valgrind_says() {
        let told = "==7== Events    : Ir\n==7== Collected : 1234567\n==7== \n";
        assert_eq!((collected(told), collected("==7== nothing")), (Some(1_234_567), None));
    }
}
