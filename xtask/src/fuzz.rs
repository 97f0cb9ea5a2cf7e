//! `cargo xtask fuzz`: each target of `fuzz/` for a while, on the nightly toolchain.

use std::{
    fs,
    process::{Command, Stdio},
};

use crate::{root, succeed};

const NO_NIGHTLY: &str = "fuzzing takes the nightly toolchain of Rust, which is missing: install \
                          it with `rustup toolchain install nightly`";

pub(crate) fn run(args: &[String]) -> Result<(), String> {
    let seconds = seconds(args)?;
    if !works(nightly().arg("--version")) {
        return Err(NO_NIGHTLY.into());
    }
    if !works(nightly().args(["fuzz", "--version"])) {
        println!("cargo-fuzz is missing: installing it with `cargo install cargo-fuzz --locked`");
        succeed(nightly().args(["install", "cargo-fuzz", "--locked"]))?;
    }
    let mut failed = Vec::new();
    for target in targets()? {
        println!("\n== {target}, for {seconds} s");
        let time = format!("-max_total_time={seconds}");
        let mut fuzz = nightly();
        if succeed(fuzz.args(["fuzz", "run", &target, "--", &time, "-print_final_stats=1"]))
            .is_err()
        {
            failed.push(target);
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(format!("found something: {}; what it was lies in fuzz/artifacts", failed.join(", ")))
}

fn seconds(args: &[String]) -> Result<u64, String> {
    match args {
        [] => Ok(60),
        [option, value] if option == "--seconds" => {
            value.parse().map_err(|_| format!("--seconds: {value:?} is no number"))
        }
        other => Err(format!("{other:?}: there is --seconds N")),
    }
}

fn targets() -> Result<Vec<String>, String> {
    let folder = root().join("fuzz/fuzz_targets");
    let files = fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let name = |file: fs::DirEntry| file.file_name().to_str()?.strip_suffix(".rs").map(Into::into);
    let mut targets: Vec<String> = files.flatten().filter_map(name).collect();
    targets.sort();
    Ok(targets)
}

fn nightly() -> Command {
    let mut cargo = Command::new("rustup");
    cargo.current_dir(root()).args(["run", "nightly", "cargo"]);
    // Ours is the stable one, and hands these on.
    cargo.env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN").env_remove("RUSTC");
    cargo
}

fn works(command: &mut Command) -> bool {
    let run = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    run.is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_runs_for_a_minute_unless_said_otherwise() {
        let seconds =
            |line: &str| seconds(&line.split_whitespace().map(Into::into).collect::<Vec<_>>());
        assert_eq!((seconds(""), seconds("--seconds 5")), (Ok(60), Ok(5)));
        for wrong in ["--seconds", "--seconds x", "5", "--second 5"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_target_of_the_folder_is_built() {
        let manifest = fs::read_to_string(root().join("fuzz/Cargo.toml")).expect("a manifest");
        for target in targets().expect("targets") {
            assert!(manifest.contains(&format!("name = \"{target}\"")), "{target}");
        }
    }
}
