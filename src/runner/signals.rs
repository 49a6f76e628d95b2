//! Signals as something that `poll` waits for.

use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::{
    signal::{SigSet, Signal},
    signalfd::{SfdFlags, SignalFd},
};

/// SIGTERM, SIGINT and SIGCHLD, blocked and queued. Blocked signals reach a PID 1 too, for which
/// the kernel drops all that have neither a handler nor a mask.
#[derive(Debug)]
pub(super) struct Signals(SignalFd);

/// What came since the last look.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Arrived {
    /// SIGTERM or SIGINT.
    pub(super) stop: bool,
    /// A child changed its state.
    pub(super) child: bool,
}

impl Signals {
    /// Must come first of all: what arrives earlier is lost, or the end.
    pub(super) fn install() -> nix::Result<Self> {
        let mut set = SigSet::empty();
        for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGCHLD] {
            set.add(signal);
        }
        // The script is started with an empty mask, so nothing of this reaches it.
        set.thread_block()?;
        Ok(Self(SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?))
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Takes all that has arrived; never blocks.
    pub(super) fn take(&self) -> Arrived {
        let mut arrived = Arrived::default();
        while let Ok(Some(info)) = self.0.read_signal() {
            match i32::try_from(info.ssi_signo).map(Signal::try_from) {
                Ok(Ok(Signal::SIGCHLD)) => arrived.child = true,
                Ok(Ok(Signal::SIGTERM | Signal::SIGINT)) => arrived.stop = true,
                _ => {}
            }
        }
        arrived
    }
}
