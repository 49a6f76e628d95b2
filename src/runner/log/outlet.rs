//! The thread that writes the log, and how frames get there.
//!
//! A disk or a reader may hold up a thread that writes to it. So the thread that watches the script does not
//! write. It hands its frames over, and reads no more from the script only while the other thread has no room.

use std::{
    mem,
    os::fd::{AsFd, BorrowedFd},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Instant,
};

use nix::sys::eventfd::{EfdFlags, EventFd};

use super::{
    drain::{Batch, Drain, Phase, Reached},
    sink::Sink,
    terms::Terms,
};
use crate::runner::ready;

/// With this much waiting, the runner reads nothing more from the script's pipes. The script then waits.
const HIGH_WATER: usize = 256 * 1024;
/// The thread needs no more.
const STACK_BYTES: usize = 256 * 1024;

/// Words from one thread to the other.
#[derive(Debug, Default)]
struct Slate {
    waiting: Batch,
    began: Option<Instant>,
    phase: Phase,
    hurried: Option<Instant>,
    /// Whether the runner waits for room.
    wants_room: bool,
    /// How often the thread has looked here.
    turns: u64,
    reached: Reached,
}

#[derive(Debug)]
struct Link {
    slate: Mutex<Slate>,
    /// Wakes the thread.
    to_drain: EventFd,
    /// Wakes the runner.
    to_runner: EventFd,
}

impl Link {
    fn slate(&self) -> MutexGuard<'_, Slate> {
        self.slate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what comes, until the end of this phase is reached.
    fn run(&self, drain: &mut Drain, until: Phase) {
        let mut batch = Batch::default();
        loop {
            let mut slate = self.slate();
            slate.turns += 1;
            let taken = drain.has_room() && slate.waiting.frames > 0;
            if taken {
                mem::swap(&mut slate.waiting, &mut batch);
            }
            if taken && mem::take(&mut slate.wants_room) {
                wake(&self.to_runner);
            }
            let (began, phase, hurried) = (slate.began, slate.phase, slate.hurried);
            drop(slate);
            let now = Instant::now();
            if taken {
                drain.take(&mut batch, began, now);
            }
            let reached = drain.turn(phase, hurried, now);
            let ended = match reached {
                Reached::Nothing => false,
                Reached::Drained(_) => until == Phase::Draining,
                Reached::Ended(_) => true,
            };
            if reached != Reached::Nothing {
                let mut slate = self.slate();
                // Frames that came meanwhile come first.
                if slate.waiting.frames == 0 && slate.phase == phase && slate.reached != reached {
                    slate.reached = reached;
                    wake(&self.to_runner);
                    if ended {
                        return;
                    }
                }
            }
            let next =
                if drain.has_room() && self.slate().waiting.frames > 0 { Some(now) } else { drain.next(now) };
            ready::wait(&[self.to_drain.as_fd()], drain.blocked_on(), next);
            let _ = self.to_drain.read();
        }
    }
}

/// A counter that is full wakes just as well.
fn wake(event: &EventFd) {
    let _ = event.write(1);
}

/// The way from the report to standard output.
#[derive(Debug)]
pub(in crate::runner) struct Outlet {
    link: Arc<Link>,
    /// If there is no other thread, this one writes at the end.
    own: Option<Drain>,
}

impl Outlet {
    /// Starts the thread that writes to standard output. A script must not have started yet.
    ///
    /// # Errors
    /// The kernel has no descriptors left for this process.
    pub(in crate::runner) fn start(terms: Terms) -> nix::Result<Self> {
        Self::into(Sink::stdout, terms)
    }

    pub(super) fn into(sink: impl Fn() -> Sink, terms: Terms) -> nix::Result<Self> {
        let event = || EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK);
        let link = Link { slate: Mutex::default(), to_drain: event()?, to_runner: event()? };
        let (link, now) = (Arc::new(link), Instant::now());
        let started = thread::Builder::new().stack_size(STACK_BYTES).spawn({
            let (link, mut drain) = (Arc::clone(&link), Drain::new(terms.clone(), sink(), now));
            move || link.run(&mut drain, Phase::Ending)
        });
        let own = started.is_err().then(|| Drain::new(terms, sink(), now));
        Ok(Self { link, own })
    }

    /// Whether the log is written while the script runs.
    pub(super) const fn runs(&self) -> bool {
        self.own.is_none()
    }

    /// Hands frames over. `began` is when the script started.
    pub(super) fn hand_over(&self, batch: &mut Batch, began: Option<Instant>) {
        if batch.frames == 0 {
            return;
        }
        let mut slate = self.link.slate();
        slate.began = began;
        if slate.waiting.frames == 0 {
            mem::swap(&mut slate.waiting, batch);
        } else {
            slate.waiting.frames += mem::take(&mut batch.frames);
            slate.waiting.bytes.append(&mut batch.bytes);
            slate.waiting.records.append(&mut batch.records);
            if batch.ahead.is_some() {
                slate.waiting.ahead = batch.ahead.take();
            }
        }
        drop(slate);
        wake(&self.link.to_drain);
    }

    /// How many bytes wait to be taken over.
    pub(super) fn waiting(&self) -> usize {
        self.link.slate().waiting.bytes.len()
    }

    /// Whether the script's output should be read. If not, [`Self::news`] tells when to ask again.
    pub(super) fn has_room(&self) -> bool {
        let mut slate = self.link.slate();
        slate.wants_room = slate.waiting.bytes.len() >= HIGH_WATER;
        !slate.wants_room
    }

    /// Becomes readable with news, until [`Self::heard`].
    pub(super) fn news(&self) -> BorrowedFd<'_> {
        self.link.to_runner.as_fd()
    }

    pub(super) fn heard(&self) {
        let _ = self.link.to_runner.read();
    }

    /// Says how far the run is. Without the thread, writes what there is.
    pub(super) fn enter(&mut self, phase: Phase) {
        let mut slate = self.link.slate();
        (slate.phase, slate.reached) = (phase, Reached::Nothing);
        drop(slate);
        wake(&self.link.to_drain);
        if let Some(drain) = &mut self.own {
            self.link.run(drain, phase);
        }
    }

    /// Says that the runner was asked to stop, the first time.
    pub(super) fn hurry(&self, now: Instant) {
        self.link.slate().hurried.get_or_insert(now);
        wake(&self.link.to_drain);
    }

    /// How far the thread is, and a number that changes as long as it lives.
    pub(super) fn reached(&self) -> (Reached, u64) {
        let slate = self.link.slate();
        (slate.reached.clone(), slate.turns)
    }
}
