//! Processes: how the script ended, which others end with it, and the zombies that a PID 1 inherits.

use std::fs;

use nix::{
    errno::Errno,
    sys::{
        signal::{Signal, kill, killpg},
        wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid},
    },
    unistd::{Pid, getpid},
};

use super::left_behind::{Left, Whose};
use crate::record::outcome::Outcome;

/// How many dead processes are reaped at a time. Others may die just as fast, and no deadline is checked
/// meanwhile.
const AT_ONCE: usize = 256;

/// The result of a check for dead processes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reaped {
    /// The script is among them, with this outcome. Processes that it left behind still run.
    Script(Outcome),
    /// The script lives, as far as is known, and no other dead process is left.
    Others,
    /// There are more. Check again soon, even without a signal.
    More,
}

/// The script's main process, which leads a process group of its own.
#[derive(Debug)]
pub(in crate::runner) struct Script {
    pid: Pid,
}

impl Script {
    pub(in crate::runner) const fn new(pid: Pid) -> Self {
        Self { pid }
    }

    /// Asks the script and everything it has started to end: its process group or, if the PID namespace is
    /// the container's, all processes in it.
    pub(super) fn terminate(&self) {
        if Self::owns_all() {
            let _ = kill(Pid::from_raw(-1), Signal::SIGTERM);
        } else if killpg(self.pid, Signal::SIGTERM).is_err() {
            // It may have moved to another group.
            let _ = kill(self.pid, Signal::SIGTERM);
        }
    }

    /// Kills the script and everything it has started.
    pub(super) fn kill(&self) {
        if !Self::owns_all() {
            let _ = kill(self.pid, Signal::SIGKILL);
        }
        self.kill_others();
    }

    /// Looks at the processes that the script leaves behind.
    pub(super) fn left(&self) -> Left {
        Left::look(if Self::owns_all() { Whose::Namespace } else { Whose::Group(self.pid) })
    }

    /// Kills what is left once the script has ended. Returns whether there may be more dead processes to
    /// reap.
    pub(super) fn end_rest(&self) -> bool {
        self.kill_others();
        Self::reap_all()
    }

    /// Whether the PID namespace is the container's, with the runner as its first process.
    pub(in crate::runner) fn owns_all() -> bool {
        getpid() == Pid::from_raw(1)
    }

    /// Kills the script's process group or, if the PID namespace is the container's, all processes in it.
    fn kill_others(&self) {
        if Self::owns_all() {
            // In any other namespace this would kill all processes of the machine.
            let _ = kill(Pid::from_raw(-1), Signal::SIGKILL);
        } else {
            let _ = killpg(self.pid, Signal::SIGKILL);
        }
    }

    /// Reaps dead processes. Checks first whether the script is among them.
    pub(super) fn reap(&self) -> Reaped {
        if !matches!(look(Id::Pid(self.pid)), Ok(WaitStatus::StillAlive)) {
            return Reaped::Script(self.take());
        }
        for _ in 0..AT_ONCE {
            match look(Id::All) {
                Ok(WaitStatus::StillAlive) => return Reaped::Others,
                Ok(status) if status.pid() == Some(self.pid) => return Reaped::Script(self.take()),
                Ok(status) => {
                    let _ = waitpid(status.pid(), Some(WaitPidFlag::WNOHANG));
                }
                // No child is left, so the script has ended too.
                Err(Errno::ECHILD) => return Reaped::Script(self.take()),
                // A process may die of a real-time signal. nix does not know these, and then cannot say which
                // process died.
                Err(Errno::EINVAL) => {
                    if !matches!(look(Id::Pid(self.pid)), Ok(WaitStatus::StillAlive)) {
                        return Reaped::Script(self.take());
                    }
                    if let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG))
                        && status.pid() == Some(self.pid)
                    {
                        return Reaped::Script(outcome(&Ok(status), self.pid));
                    }
                }
                Err(_) => return Reaped::Others,
            }
        }
        Reaped::More
    }

    /// Reaps zombies after the script has ended, while its other processes may still run. Returns whether
    /// there may be more.
    pub(super) fn reap_rest() -> bool {
        // In another namespace orphans are not the runner's children. The script stays a zombie there, so
        // that its number still names its group.
        Self::owns_all() && Self::reap_all()
    }

    /// Reaps zombies, the script too. Returns whether there may be more.
    pub(super) fn reap_all() -> bool {
        // A process that is reaped may have died of a signal that nix does not know.
        (0..AT_ONCE).all(|_| {
            let taken = waitpid(None, Some(WaitPidFlag::WNOHANG));
            !matches!(taken, Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD))
        })
    }

    fn take(&self) -> Outcome {
        outcome(&look(Id::Pid(self.pid)), self.pid)
    }
}

/// Looks for a dead child without reaping it.
fn look(whom: Id<'_>) -> nix::Result<WaitStatus> {
    waitid(whom, WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT)
}

fn outcome(status: &nix::Result<WaitStatus>, pid: Pid) -> Outcome {
    let unknown = |why: &dyn std::fmt::Display| Outcome::Unknown {
        message: format!("the script ended, and the kernel does not say how ({why})"),
    };
    match *status {
        Ok(WaitStatus::Exited(_, code)) => match u8::try_from(code) {
            Ok(code) => Outcome::Exited { code },
            Err(error) => unknown(&error),
        },
        Ok(WaitStatus::Signaled(_, signal, _)) => Outcome::Signaled { signal: signal as i32 },
        Err(Errno::EINVAL) => match signal_of_zombie(pid) {
            Some(signal) => Outcome::Signaled { signal },
            None => unknown(&"a real-time signal"),
        },
        Ok(_) => unknown(&"it reports another change than an end"),
        Err(error) => unknown(&error),
    }
}

/// Reads a zombie's signal from /proc: the last number is its status as `wait` returns it.
fn signal_of_zombie(pid: Pid) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let status: i32 = stat.split_ascii_whitespace().next_back()?.parse().ok()?;
    Some(status & 0x7f).filter(|&signal| signal > 0)
}
