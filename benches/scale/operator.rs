//! The operator's process, seen from outside of its container.

use std::fs;

/// A process of the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Operator {
    pub(crate) pid: u32,
}

impl Operator {
    /// The one that runs in the sandbox with this process: other clusters of this machine have
    /// theirs.
    pub(crate) fn find(sandbox: u32) -> Option<Self> {
        Self::other_than(None, sandbox)
    }

    /// This one, or the one in its place. Numbers of a run that had two are not of one process: it is
    /// said.
    pub(crate) fn current(self, sandbox: u32) -> Self {
        if is_operator(self.pid) {
            return self;
        }
        println!("(the operator's process {} is gone: what follows is of another one)", self.pid);
        Self::find(sandbox).unwrap_or(self)
    }

    /// One that is not `known`.
    pub(crate) fn other_than(known: Option<Self>, sandbox: u32) -> Option<Self> {
        let processes = fs::read_dir("/proc").ok()?;
        let pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let mut others = pids.map(|pid| Self { pid }).filter(|one| Some(*one) != known);
        others.find(|one| is_operator(one.pid) && is_below(one.pid, sandbox))
    }

    /// Resident memory, in MiB; not a number where it is gone.
    pub(crate) fn mib(self) -> f64 {
        self.status_mib("VmRSS:")
    }

    /// The most it ever was.
    pub(crate) fn peak_mib(self) -> f64 {
        self.status_mib("VmHWM:")
    }

    fn status_mib(self, field: &str) -> f64 {
        let kib = status(self.pid, field).and_then(|text| text.trim_end_matches(" kB").parse::<f64>().ok());
        kib.map_or(f64::NAN, |kib| kib / 1024.0)
    }

    /// Processor time so far, in seconds.
    pub(crate) fn cpu_seconds(self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        // After the name, which may hold anything: utime and stime, in hundredths of a second.
        let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        rest.split(' ').skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
    }
}

fn is_operator(pid: u32) -> bool {
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with(b"/longshore\0run"))
}

fn is_below(mut pid: u32, ancestor: u32) -> bool {
    while pid > 1 {
        if pid == ancestor {
            return true;
        }
        pid = status(pid, "PPid:").and_then(|text| text.parse().ok()).unwrap_or(0);
    }
    false
}

fn status(pid: u32, field: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    text.lines().find_map(|line| line.strip_prefix(field)).map(|value| value.trim().to_owned())
}
