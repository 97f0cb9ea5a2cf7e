//! What processes use: processor time of each of their threads, and memory.

use std::{collections::HashMap, fs, path::Path};

use anyhow::{Context as _, Result};

/// A process that is watched, by the name under which it is reported.
#[derive(Debug, Clone)]
pub(crate) struct Watched {
    pub(crate) name: String,
    pub(crate) pid: u32,
}

impl std::str::FromStr for Watched {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Watched> {
        let (name, pid) = text.split_once('=').context("write NAME=PID")?;
        Ok(Watched { name: name.into(), pid: pid.parse()? })
    }
}

#[derive(Debug)]
pub(crate) struct Snapshot {
    /// Seconds by thread, for each process.
    threads: Vec<HashMap<String, f64>>,
    own: f64,
    machine: Machine,
}

/// Processor seconds of all cores since the machine was started.
#[derive(Debug, Clone, Copy)]
struct Machine {
    busy: f64,
    stolen: f64,
}

/// Between two snapshots.
#[derive(Debug)]
pub(crate) struct Used {
    /// Seconds of each process, and of its busiest thread.
    pub(crate) processes: Vec<(f64, f64)>,
    pub(crate) own: f64,
    /// By others than us and the watched.
    pub(crate) others: f64,
    pub(crate) stolen: f64,
}

impl Snapshot {
    pub(crate) fn take(watched: &[Watched]) -> Result<Snapshot> {
        Ok(Snapshot {
            threads: watched.iter().map(|process| threads(process.pid)).collect::<Result<_>>()?,
            own: threads(std::process::id())?.values().sum(),
            machine: machine(&fs::read_to_string("/proc/stat")?).context("/proc/stat")?,
        })
    }

    pub(crate) fn until(&self, later: &Snapshot) -> Used {
        let processes: Vec<_> = self.threads.iter().zip(&later.threads).map(used).collect();
        let own = later.own - self.own;
        let watched: f64 = processes.iter().map(|(total, _)| total).sum();
        let busy = later.machine.busy - self.machine.busy;
        Used {
            processes,
            own,
            others: (busy - watched - own).max(0.0),
            stolen: later.machine.stolen - self.machine.stolen,
        }
    }
}

fn used((before, after): (&HashMap<String, f64>, &HashMap<String, f64>)) -> (f64, f64) {
    let by_thread = after.iter().map(|(id, after)| after - before.get(id).unwrap_or(&0.0));
    by_thread.fold((0.0, 0.0), |(total, busiest), used| (total + used, f64::max(busiest, used)))
}

fn threads(pid: u32) -> Result<HashMap<String, f64>> {
    let folder = format!("/proc/{pid}/task");
    let threads = fs::read_dir(&folder).with_context(|| folder.clone())?;
    let mut used = HashMap::new();
    for thread in threads {
        let thread = thread?;
        // One that ends just now is left out.
        if let Ok(seconds) = on_processor(&thread.path()) {
            used.insert(thread.file_name().to_string_lossy().into_owned(), seconds);
        }
    }
    Ok(used)
}

fn on_processor(thread: &Path) -> Result<f64> {
    let file = thread.join("schedstat");
    let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let first = text.split(' ').next().unwrap_or_default();
    Ok(first.parse::<f64>().with_context(|| file.display().to_string())? / 1e9)
}

fn machine(stat: &str) -> Option<Machine> {
    const TICKS_PER_SECOND: f64 = 100.0;
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<f64> = line.split_whitespace().map_while(|word| word.parse().ok()).collect();
    let [user, nice, system, _idle, _wait, irq, soft_irq, stolen, ..] = ticks[..] else {
        return None;
    };
    let busy = user + nice + system + irq + soft_irq;
    Some(Machine { busy: busy / TICKS_PER_SECOND, stolen: stolen / TICKS_PER_SECOND })
}

/// Resident bytes.
pub(crate) fn memory(pid: u32) -> Result<u64> {
    let file = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&file).with_context(|| file.clone())?;
    resident(&text).with_context(|| format!("{file}: no VmRSS"))
}

fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_kernel_are_read() {
        assert_eq!(resident("Name:\tx\nVmRSS:\t    2048 kB\n"), Some(2048 * 1024));
        let read = machine("cpu  100 0 50 900 1 2 3 40 0 0\ncpu0 1 1\n").unwrap();
        assert!((read.busy - 1.55).abs() < 1e-9 && (read.stolen - 0.4).abs() < 1e-9, "{read:?}");
        assert!(machine("what?").is_none());
    }

    #[test]
    fn a_thread_that_came_later_counts_from_its_begin() {
        let before = HashMap::from([("1".to_owned(), 5.0)]);
        let after = HashMap::from([("1".to_owned(), 6.0), ("2".to_owned(), 3.0)]);
        assert_eq!(used((&before, &after)), (4.0, 3.0));
    }
}
