//! Signals as a descriptor that `select` can wait for.

use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::{
    signal::{SigSet, Signal},
    signalfd::{SfdFlags, SignalFd},
};

/// Signals that ask to stop. An image can choose the signal that the container runtime sends (`STOPSIGNAL`):
/// nginx wants SIGQUIT, Apache SIGWINCH, systemd SIGRTMIN+3. A script in an image made for such a program
/// must be asked to stop too.
const STOPS: [Signal; 8] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGWINCH,
    Signal::SIGPWR,
];
/// Signals that the kernel sends to a process that exceeds one of its limits. A script of the runner's user
/// can set the runner's limits. While these signals are blocked they kill nothing, and only the call that
/// exceeded the limit fails.
const LIMITS: [Signal; 2] = [Signal::SIGXFSZ, Signal::SIGXCPU];
/// How many signals are taken at a time. A script can send them as fast as they are taken.
const AT_ONCE: usize = 256;
/// The first real-time signal that a program may use with glibc. The kernel's last is 64.
const FIRST_REAL_TIME: u32 = 34;

/// [`STOPS`], [`LIMITS`], the real-time signals and SIGCHLD, blocked and queued. For a PID 1 the kernel drops
/// every signal that has no handler and is not blocked.
#[derive(Debug)]
pub(in crate::runner) struct Signals(SignalFd);

/// The signals since the last check.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(in crate::runner) struct Arrived {
    /// A signal that asks to stop.
    pub(in crate::runner) stop: bool,
    /// The state of a child has changed.
    pub(super) child: bool,
}

impl Signals {
    /// Blocks the signals. Call it first: an earlier signal is lost, or kills the runner.
    pub(in crate::runner) fn install() -> nix::Result<Self> {
        // Real-time signals have no names by which to add them. So the set begins with all signals, without
        // the named ones that stay as they are.
        let mut set = SigSet::all();
        for signal in Signal::iterator() {
            if signal != Signal::SIGCHLD && !STOPS.contains(&signal) && !LIMITS.contains(&signal) {
                set.remove(signal);
            }
        }
        // The script starts with an empty mask, so this does not affect it.
        set.thread_block()?;
        Ok(Self(SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?))
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Takes the signals that have arrived, up to [`AT_ONCE`]. Never blocks.
    pub(in crate::runner) fn take(&self) -> Arrived {
        let mut arrived = Arrived::default();
        // The lowest number comes first, so real-time signals, which can queue without end, do not hold back
        // SIGCHLD.
        for _ in 0..AT_ONCE {
            let Ok(Some(info)) = self.0.read_signal() else { break };
            match i32::try_from(info.ssi_signo).map(Signal::try_from) {
                Ok(Ok(Signal::SIGCHLD)) => arrived.child = true,
                Ok(Ok(signal)) if STOPS.contains(&signal) => arrived.stop = true,
                _ if info.ssi_signo >= FIRST_REAL_TIME => arrived.stop = true,
                _ => {}
            }
        }
        arrived
    }
}
