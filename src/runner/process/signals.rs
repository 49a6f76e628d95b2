//! Signals as something that `poll` waits for.

use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::{
    signal::{SigSet, Signal},
    signalfd::{SfdFlags, SignalFd},
};

/// What an image can ask the container runtime to stop it with (`STOPSIGNAL`), and SIGCHLD. Nginx
/// wants SIGQUIT, Apache SIGWINCH, systemd SIGRTMIN+3: an image that is made for another program
/// must not keep the script from being asked.
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
/// What the kernel sends to a process that meets a limit of its own. A script of the runner's user can
/// set those limits. Blocked, they end nothing: what was too much fails.
const LIMITS: [Signal; 2] = [Signal::SIGXFSZ, Signal::SIGXCPU];
/// So many are taken at a time: a script can send them as fast as they are taken.
const AT_ONCE: usize = 256;
/// The first real-time signal that a program may use under glibc; the kernel's last is 64.
const FIRST_REAL_TIME: u32 = 34;

/// [`STOPS`], [`LIMITS`], the real-time signals and SIGCHLD, blocked and queued. Blocked signals reach a PID 1
/// too, for which the kernel drops all that have neither a handler nor a mask.
#[derive(Debug)]
pub(in crate::runner) struct Signals(SignalFd);

/// What came since the last look.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(in crate::runner) struct Arrived {
    /// One that asks to stop.
    pub(in crate::runner) stop: bool,
    /// A child changed its state.
    pub(super) child: bool,
}

impl Signals {
    /// Must come first of all: what arrives earlier is lost, or the end.
    pub(in crate::runner) fn install() -> nix::Result<Self> {
        // Real-time signals have no names to add them by: all, without the named ones that stay as
        // they are.
        let mut set = SigSet::all();
        for signal in Signal::iterator() {
            if signal != Signal::SIGCHLD && !STOPS.contains(&signal) && !LIMITS.contains(&signal) {
                set.remove(signal);
            }
        }
        // The script is started with an empty mask, so nothing of this reaches it.
        set.thread_block()?;
        Ok(Self(SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?))
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Takes what has arrived, though not all of very many; never blocks.
    pub(in crate::runner) fn take(&self) -> Arrived {
        let mut arrived = Arrived::default();
        // The lowest number comes first, and SIGCHLD is below those that can be sent more than once.
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
