//! `cargo xtask trials`: the history checker over many faults, for an hour.

use crate::{cargo, succeed, tools};

pub(crate) fn run(args: &[String]) -> Result<(), String> {
    tools::redis_server()?;
    let settings = settings(args)?;
    println!("the long run, with {settings:?}");
    let part = |of: u64| {
        let part = settings.iter().map(|(name, value)| match value.parse::<u64>() {
            Ok(number) if *name != "TIDINGS_SEED" => (*name, number.div_ceil(of).to_string()),
            _ => (*name, value.clone()),
        });
        part.collect::<Vec<_>>()
    };
    for (test, settings) in [
        ("trials::no_event_is_lost_in_silence", part(1)),
        // A fifth of it on durable topics …
        ("trials::no_event_of_a_durable_topic_is_lost_in_silence", part(5)),
        // … and some failovers, which take seconds each.
        ("trials::what_replicas_have_is_lost_in_no_failover", part(20)),
    ] {
        let mut trials = cargo(["test", "--release", "--locked", "--test", "it"]);
        trials.args([test, "--", "--exact", "--nocapture"]);
        succeed(trials.envs(settings))?;
    }
    Ok(())
}

/// The variables of `tests/it/trials.rs`.
fn settings(args: &[String]) -> Result<Vec<(&'static str, String)>, String> {
    let (mut faults, mut events, mut seed) = (1_000, 2_000_000, None);
    let mut args = args.iter();
    while let Some(option) = args.next() {
        let value = args.next().ok_or_else(|| format!("{option}: a value is missing"))?;
        let number =
            || value.parse::<u64>().map_err(|_| format!("{option}: {value:?} is no number"));
        match option.as_str() {
            "--faults" => faults = number()?,
            "--events" => events = number()?,
            "--seed" => seed = Some(value.clone()),
            other => {
                return Err(format!("{other}: there are --faults, --events and --seed"));
            }
        }
    }
    let mut settings = vec![
        ("TIDINGS_TRIAL_FAULTS", faults.to_string()),
        ("TIDINGS_TRIAL_EVENTS", events.to_string()),
    ];
    settings.extend(seed.map(|seed| ("TIDINGS_SEED", seed)));
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_run_is_long_unless_said_otherwise() {
        let settings =
            |line: &str| settings(&line.split_whitespace().map(Into::into).collect::<Vec<_>>());
        let faults = |number: &str| ("TIDINGS_TRIAL_FAULTS", number.to_owned());
        let events = |number: &str| ("TIDINGS_TRIAL_EVENTS", number.to_owned());
        assert_eq!(settings(""), Ok(vec![faults("1000"), events("2000000")]));
        let seeded = vec![faults("5"), events("2000000"), ("TIDINGS_SEED", "7".into())];
        assert_eq!(settings("--faults 5 --seed 7"), Ok(seeded));
        for wrong in ["--faults", "--faults many", "--fault 1"] {
            assert!(settings(wrong).is_err(), "{wrong}");
        }
    }
}
