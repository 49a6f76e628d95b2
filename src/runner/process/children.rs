//! Processes: how the script ended, whom to end with it, and the zombies that fall to a PID 1.

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

/// So many are buried at a time: others may die as fast as they are buried, and meanwhile no deadline
/// is kept.
const AT_ONCE: usize = 256;

/// What a look at the dead has found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reaped {
    /// The script is among them, and ended so. What it left behind still runs.
    Script(Outcome),
    /// The script lives, as far as is known, and nobody else is left to be buried.
    Others,
    /// There are more: to be asked again soon, whether or not a signal tells of them.
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

    /// Asks the script and all that it has started to end: its process group and, where the PID namespace is
    /// the container's, all else in it.
    pub(super) fn terminate(&self) {
        if Self::owns_all() {
            let _ = kill(Pid::from_raw(-1), Signal::SIGTERM);
        } else if killpg(self.pid, Signal::SIGTERM).is_err() {
            // It may have moved to another group.
            let _ = kill(self.pid, Signal::SIGTERM);
        }
    }

    /// Ends the script and all that it has started.
    pub(super) fn kill(&self) {
        if !Self::owns_all() {
            let _ = kill(self.pid, Signal::SIGKILL);
        }
        self.kill_others();
    }

    /// What it leaves behind when it ends.
    pub(super) fn left(&self) -> Left {
        Left::look(if Self::owns_all() { Whose::Namespace } else { Whose::Group(self.pid) })
    }

    /// Ends what is left once the script has ended. Says whether there may be dead ones left to bury.
    pub(super) fn end_rest(&self) -> bool {
        self.kill_others();
        Self::bury_rest()
    }

    /// Whether the PID namespace is the container's, and the runner its first process.
    pub(in crate::runner) fn owns_all() -> bool {
        getpid() == Pid::from_raw(1)
    }

    /// Ends the script's process group or, where the PID namespace is the container's, all that is left in
    /// it.
    fn kill_others(&self) {
        if Self::owns_all() {
            // Anywhere else this would be the end of the machine.
            let _ = kill(Pid::from_raw(-1), Signal::SIGKILL);
        } else {
            let _ = killpg(self.pid, Signal::SIGKILL);
        }
    }

    /// Buries the dead, and looks first whether the script is among them.
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
                // Nobody is left, so the script is not either.
                Err(Errno::ECHILD) => return Reaped::Script(self.take()),
                // nix knows no real-time signals, by which a process may die as well; whose death
                // it was, it cannot say then.
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

    /// Takes zombies once the script itself has ended, while something of it may be left. Says whether there
    /// may be more.
    pub(super) fn reap_rest() -> bool {
        // Elsewhere orphans are not ours, and the script stays a zombie: so its number still names its group.
        Self::owns_all() && Self::bury_rest()
    }

    /// Takes zombies, the script's too. Says whether there may be more.
    pub(super) fn bury_rest() -> bool {
        // One that is taken may have died by a signal that nix does not know.
        (0..AT_ONCE).all(|_| {
            let taken = waitpid(None, Some(WaitPidFlag::WNOHANG));
            !matches!(taken, Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD))
        })
    }

    fn take(&self) -> Outcome {
        outcome(&look(Id::Pid(self.pid)), self.pid)
    }
}

/// Looks for a dead child without taking it.
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
        Ok(ref other) => unknown(&format!("{other:?}")),
        Err(error) => unknown(&error),
    }
}

/// What /proc says of a zombie: the last number is its status as `wait` gives it.
fn signal_of_zombie(pid: Pid) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let status: i32 = stat.split_ascii_whitespace().next_back()?.parse().ok()?;
    Some(status & 0x7f).filter(|&signal| signal > 0)
}
