//! The processes that a script leaves behind when it ends: whether there are any, and whether they still
//! work.
//!
//! A process substitution (`exec > >(tee log)`) outlives its script by a moment and writes the script's last
//! lines. An agent stays for good and writes nothing. Only their activity shows the difference.

use std::fs;

use nix::unistd::Pid;

/// The most processes that are examined. A script may leave very many, and no deadline is checked meanwhile.
const MAX_LOOKED_AT: usize = 256;
/// The most entries of `/proc` that are read, dead processes included.
const MAX_ENTRIES: usize = 2048;

/// The processes that are left at a moment.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Left {
    /// The number of each process, and a measure of its work: how often it has given up the processor, and
    /// how long its threads have used it.
    processes: Vec<(i32, u64)>,
    /// Whether one of them runs, or there are more than are examined.
    busy: bool,
}

impl Left {
    /// Examines `whose` processes. Finds none if `/proc` cannot be read.
    pub(super) fn look(whose: Whose) -> Self {
        let mut left = Self::default();
        let Ok(entries) = fs::read_dir("/proc") else { return left };
        for (number, entry) in entries.flatten().enumerate() {
            if number == MAX_ENTRIES {
                left.busy = true;
                break;
            }
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            // The process may have ended meanwhile.
            let Ok(status) = fs::read(entry.path().join("status")) else { continue };
            // The kernel may have cut its name within a character.
            let process = Process::of(&String::from_utf8_lossy(&status));
            let Some(process) = process.filter(|process| whose.includes(pid, process)) else { continue };
            if left.processes.len() == MAX_LOOKED_AT {
                left.busy = true;
                break;
            }
            left.busy |= matches!(process.state, 'R' | 'D');
            let stat = fs::read(entry.path().join("stat")).unwrap_or_default();
            let done = process.switches.wrapping_add(ticks(&String::from_utf8_lossy(&stat)));
            left.processes.push((pid, done));
        }
        left
    }

    pub(super) fn is_empty(&self) -> bool {
        self.processes.is_empty()
    }

    /// Whether they have done nothing since `before`.
    pub(super) fn rests_since(&self, before: &Self) -> bool {
        !self.busy && self.processes == before.processes
    }
}

/// Says which processes are the script's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// All in the PID namespace, except the runner, its first process, and those started from outside
    /// (`kubectl exec`).
    Namespace,
    /// Those of the script's process group, except the script.
    Group(Pid),
}

impl Whose {
    fn includes(self, pid: i32, process: &Process) -> bool {
        match self {
            Self::Namespace => pid != 1 && process.parent != 0,
            Self::Group(script) => pid != script.as_raw() && process.group == Some(script.as_raw()),
        }
    }
}

/// A process that has not ended, from `/proc/PID/status`.
#[derive(Debug, PartialEq, Eq)]
struct Process {
    state: char,
    parent: i32,
    /// Not every kernel shows it.
    group: Option<i32>,
    /// How often its first thread gave up the processor, voluntarily or not.
    switches: u64,
}

impl Process {
    fn of(status: &str) -> Option<Self> {
        // The name comes first, and the kernel writes a newline in it as `\n`.
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            line.split_ascii_whitespace().next_back()
        };
        let state =
            status.lines().find_map(|line| line.strip_prefix("State:"))?.trim_start().chars().next()?;
        let number = |name| field(name)?.parse::<u64>().ok();
        if matches!(state, 'Z' | 'X' | 'x') {
            return None;
        }
        Some(Self {
            state,
            parent: field("PPid")?.parse().ok()?,
            // The last number belongs to the innermost namespace, which is the runner's.
            group: field("NSpgid").and_then(|group| group.parse().ok()),
            switches: ["voluntary_ctxt_switches", "nonvoluntary_ctxt_switches"]
                .into_iter()
                .filter_map(number)
                .fold(0, u64::wrapping_add),
        })
    }
}

/// The processor time of all threads, from fields 14 and 15 of `/proc/PID/stat`. The second field is the name
/// in parentheses, with any character in it.
fn ticks(stat: &str) -> u64 {
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let times = fields.split_ascii_whitespace().skip(11).take(2);
    times.filter_map(|time| time.parse().ok()).fold(0, u64::wrapping_add)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn status(state: &str, parent: i32) -> String {
        format!(
            "Name:\tState: R (\\nPPid:\t1\nUmask:\t0022\nState:\t{state}\nPid:\t9\nPPid:\t{parent}\n\
             NSpgid:\t4711\t7\nvoluntary_ctxt_switches:\t3\nnonvoluntary_ctxt_switches:\t4\n"
        )
    }

    #[test]
    fn a_process_is_read_whatever_its_name_is() {
        let process = Process::of(&status("S (sleeping)", 5)).unwrap();
        assert_eq!(process, Process { state: 'S', parent: 5, group: Some(7), switches: 7 });
        let little = Process::of("Name:\tx\nState:\tS\nPPid:\t5\n").unwrap();
        assert_eq!(little, Process { state: 'S', parent: 5, group: None, switches: 0 });
        assert_eq!(ticks("9 (a) b) (c) S 1 2 3 4 5 6 7 8 9 10 41 1 0 0"), 42);
        assert_eq!(ticks(""), 0);
        assert_eq!(Process::of(&status("Z (zombie)", 5)), None);
        assert_eq!(Process::of(""), None);
    }

    #[test]
    fn what_came_from_outside_and_the_runner_are_not_the_script_s() {
        let of = |parent| Process::of(&status("S (sleeping)", parent)).unwrap();
        assert!(Whose::Namespace.includes(9, &of(5)));
        assert!(!Whose::Namespace.includes(9, &of(0)));
        assert!(!Whose::Namespace.includes(1, &of(5)));
        assert!(Whose::Group(Pid::from_raw(7)).includes(9, &of(5)));
        assert!(!Whose::Group(Pid::from_raw(7)).includes(7, &of(5)));
        assert!(!Whose::Group(Pid::from_raw(8)).includes(9, &of(5)));
    }

    #[test]
    fn a_process_that_sleeps_rests_and_one_that_works_does_not() {
        let group = |child: &std::process::Child| i32::try_from(child.id()).unwrap();
        for (script, rests) in [("sleep 60 & wait", true), ("while :; do :; done & wait", false)] {
            use std::os::unix::process::CommandExt;
            let mut child = Command::new("sh").args(["-c", script]).process_group(0).spawn().unwrap();
            let whose = Whose::Group(Pid::from_raw(group(&child)));
            let seen = (0..1000).any(|_| {
                std::thread::sleep(std::time::Duration::from_millis(10));
                !Left::look(whose).is_empty()
            });
            // Gives the processes time to come to rest.
            std::thread::sleep(std::time::Duration::from_millis(300));
            let before = Left::look(whose);
            std::thread::sleep(std::time::Duration::from_millis(30));
            let after = Left::look(whose);
            nix::sys::signal::killpg(Pid::from_raw(group(&child)), nix::sys::signal::Signal::SIGKILL)
                .unwrap();
            child.wait().unwrap();
            assert!(seen, "{script}");
            assert_eq!(after.rests_since(&before), rests, "{script}: {before:?} {after:?}");
        }
    }
}
