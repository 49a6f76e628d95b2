//! Waits until descriptors are ready.
//!
//! It uses `select(2)` and not `poll(2)`. A script of the runner's user can lower the runner's limit of open
//! files, and poll fails in a process with more descriptors than that. The runner has a dozen descriptors,
//! far fewer than select can take.

use std::{
    os::fd::{AsRawFd, BorrowedFd},
    time::{Duration, Instant},
};

use nix::sys::{
    select::{FD_SETSIZE, FdSet, select},
    time::{TimeVal, TimeValLike},
};

/// The longest wait at a time. Callers check again after it.
const LONGEST: Duration = Duration::from_hours(1);

/// Waits until one of `read` is readable or `write` is writable, or until `until`. Returns for each of `read`
/// whether it is readable. If this is unknown, it counts as readable.
pub(super) fn wait(
    read: &[BorrowedFd<'_>],
    write: Option<BorrowedFd<'_>>,
    until: Option<Instant>,
) -> Vec<bool> {
    let left = until.map_or(LONGEST, |until| until.saturating_duration_since(Instant::now()).min(LONGEST));
    look(read, write, left).map_or_else(|_| vec![true; read.len()], |(ready, _)| ready)
}

/// Whether something can be written now.
pub(super) fn can_write(to: BorrowedFd<'_>) -> bool {
    look(&[], Some(to), Duration::ZERO).is_ok_and(|(_, ready)| ready)
}

fn look(
    read: &[BorrowedFd<'_>],
    write: Option<BorrowedFd<'_>>,
    timeout: Duration,
) -> nix::Result<(Vec<bool>, bool)> {
    let fits = |fd: &BorrowedFd<'_>| usize::try_from(fd.as_raw_fd()).is_ok_and(|fd| fd < FD_SETSIZE);
    let (mut reading, mut writing) = (FdSet::new(), FdSet::new());
    read.iter().filter(|fd| fits(fd)).for_each(|fd| reading.insert(*fd));
    write.iter().filter(|fd| fits(fd)).for_each(|fd| writing.insert(*fd));
    // Rounds up: a wait that ends too early would make the loop spin for the last microsecond.
    let micros = i64::try_from(timeout.as_nanos().div_ceil(1000)).unwrap_or(i64::MAX);
    select(None, &mut reading, &mut writing, None, &mut TimeVal::microseconds(micros))?;
    let ready = read.iter().map(|fd| !fits(fd) || reading.contains(*fd)).collect();
    Ok((ready, write.is_some_and(|fd| fits(&fd) && writing.contains(fd))))
}
