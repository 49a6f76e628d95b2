//! The event loop: from the script's start to its end.

use std::time::{Duration, Instant};

use super::{
    children::{Reaped, Script},
    signals::{Arrived, Signals},
    stop::{self, Due, Stopping},
    stop_note::Note,
};
use crate::{
    record::{
        bundle::Limits,
        outcome::{Outcome, Stop},
    },
    runner::{
        log::{report::Report, streams::Streams},
        places::Places,
        ready,
    },
};

/// How long the verdict waits for the rest in the pipes. Once the script's processes are dead, this is the
/// time to read a mebibyte.
const DRAIN_BEFORE_VERDICT: Duration = Duration::from_millis(200);
/// How long processes that outlive their script may still write, if the script was not asked to stop.
const OUTLIVES: Duration = Duration::from_secs(2);
/// How long they must do nothing to count as left for good: an agent, a forgotten `&`.
const RESTS: Duration = Duration::from_millis(250);
/// How often they are checked.
const LOOK: Duration = Duration::from_millis(20);
/// How long a pipe may be silent, and how much it may still bring, if a process outside the PID namespace
/// holds it. The script itself leaves two full pipes at most.
const SILENCE: Duration = Duration::from_secs(2);
const LEFT_BYTES: u64 = 4 * 1024 * 1024;
/// How long processes that outlive their script may wait for a log that takes nothing.
const STUCK: Duration = Duration::from_secs(30);

/// How the script ended.
#[derive(Debug)]
pub(in crate::runner) struct Ended {
    pub(in crate::runner) outcome: Outcome,
    pub(in crate::runner) stop: Option<Stop>,
    /// Milliseconds since the script's start.
    pub(in crate::runner) millis: u64,
    /// Whether a process that the script left was killed while it still wrote.
    pub(in crate::runner) cut: bool,
}

/// The script, its pipes, and everything needed to watch it.
pub(in crate::runner) struct Supervisor<'a> {
    pub(in crate::runner) places: &'a Places,
    pub(in crate::runner) limits: &'a Limits,
    pub(in crate::runner) signals: &'a Signals,
    pub(in crate::runner) report: &'a mut Report,
    pub(in crate::runner) script: Script,
    pub(in crate::runner) streams: Streams,
    /// The file that tells the script why it must stop. `None` if it could not be prepared.
    pub(in crate::runner) note: Option<Note>,
    /// Whether there may be dead processes for which no further signal comes.
    pub(in crate::runner) unreaped: bool,
    /// Whether the runner was asked to stop, also after the script's end.
    pub(in crate::runner) asked: bool,
}

impl Supervisor<'_> {
    /// Runs until the script and everything it left has ended or is killed, and the pipes are empty or
    /// [`DRAIN_BEFORE_VERDICT`] is over.
    pub(in crate::runner) fn run(&mut self, started: Instant) -> Ended {
        let mut stopping = Stopping::new(self.limits, started);
        loop {
            let arrived = self.turn(stopping.next());
            let now = Instant::now();
            // Dead processes come first: a script that ended in time was not stopped.
            let reaped = if arrived.child { self.script.reap() } else { Reaped::Others };
            self.unreaped = reaped == Reaped::More;
            if let Reaped::Script(outcome) = reaped {
                let (stop, millis) = (stopping.record(), self.report.millis_at(now));
                let cut = self.outlive(stopping, now);
                self.unreaped = self.script.end_rest();
                self.drain(Some(Instant::now() + DRAIN_BEFORE_VERDICT));
                return Ended { outcome, stop, millis, cut };
            }
            self.stop(stopping.due(now, arrived.stop));
        }
    }

    fn stop(&self, due: Option<Due>) {
        match due {
            Some(Due::Ask(cause)) => {
                // Without the file the script is stopped anyway.
                if let Some(note) = &self.note {
                    let told = stop::told(&self.places.told_reason());
                    note.tell(stop::reason(cause, self.limits, told));
                }
                self.script.terminate();
            }
            Some(Due::Kill) => self.script.kill(),
            None => {}
        }
    }

    /// Lets the processes that the script has left at `ended` end by themselves. After SIGTERM they have the
    /// rest of the grace period, like the script. Otherwise they may finish writing, within [`OUTLIVES`].
    /// Returns whether one still wrote then.
    fn outlive(&mut self, mut stopping: Stopping, ended: Instant) -> bool {
        let mut left = self.script.left();
        let (mut bytes, mut active, mut wrote) = (self.streams.bytes(), ended, ended);
        let mut until = ended + OUTLIVES;
        while !left.is_empty() {
            let now = Instant::now();
            let has_room = self.report.has_room();
            if !has_room {
                // Nothing is read from the pipes meanwhile. A process that writes to them waits for the
                // reader of the log.
                (active, wrote) = (now, now);
            }
            let writes = now < wrote + RESTS && !self.streams.all_closed();
            if stopping.is_asked() {
                if stopping.next().is_none_or(|kill_at| kill_at <= now) {
                    // Those that were killed together with the script have written nothing since.
                    return writes && wrote > ended;
                }
            } else if now >= until {
                return writes;
            } else if self.streams.all_closed() || now >= active + RESTS {
                return false;
            }
            let look = [Some(now + LOOK), stopping.next()].into_iter().flatten().min();
            let arrived = self.turn(look);
            if !has_room {
                // This turn alone does not count. A log that is written as fast as they write has no room
                // again and again, and they would never end.
                until = (until + now.elapsed()).min(ended + STUCK);
            }
            if arrived.child {
                self.unreaped = Script::reap_rest();
            }
            self.stop(stopping.due(Instant::now(), arrived.stop));
            let after = self.script.left();
            if self.streams.bytes() != bytes {
                wrote = Instant::now();
                active = wrote;
            } else if !after.rests_since(&left) {
                active = Instant::now();
            }
            (left, bytes) = (after, self.streams.bytes());
        }
        false
    }

    /// Reads the rest and ends the streams.
    pub(in crate::runner) fn finish(&mut self) {
        self.drain(None);
        self.streams.close(self.report);
        self.report.hand_over();
    }

    /// Reads until all pipes are closed, nothing more comes, or `end` is reached.
    fn drain(&mut self, end: Option<Instant>) {
        let last = self.streams.bytes() + LEFT_BYTES;
        let mut before = (self.streams.bytes(), self.report.waiting());
        let mut moved = Instant::now();
        while !self.streams.all_closed() && self.streams.bytes() < last {
            // A slow reader of the log does not make the pipe silent.
            let patience = if self.report.has_room() { SILENCE } else { STUCK };
            let until = end.map_or(moved + patience, |end| end.min(moved + patience));
            if Instant::now() >= until {
                return;
            }
            if self.turn(Some(until)).child {
                self.unreaped = Script::reap_all();
            }
            let after = (self.streams.bytes(), self.report.waiting());
            if after != before {
                before = after;
                moved = Instant::now();
            }
        }
    }

    /// Waits for something to do, until `until` at the latest, and moves what is ready.
    fn turn(&mut self, until: Option<Instant>) -> Arrived {
        let now = self.unreaped.then(Instant::now);
        let until = until.into_iter().chain(self.streams.next_look()).chain(now).min();
        let room = self.report.has_room();
        let (numbers, pipes): (Vec<usize>, Vec<_>) =
            if room { self.streams.open().unzip() } else { (vec![], vec![]) };
        let from: Vec<_> = pipes.into_iter().chain([self.signals.as_fd(), self.report.news()]).collect();
        let ready = ready::wait(&from, None, until);
        self.report.heard();
        let now = Instant::now();
        self.report.set_time(now);
        self.streams.look(now);
        let ready = numbers.into_iter().zip(ready).filter_map(|(number, ready)| ready.then_some(number));
        self.streams.read_all(ready.collect(), self.report);
        self.report.hand_over();
        let mut arrived = self.signals.take();
        arrived.child |= self.unreaped;
        self.asked |= arrived.stop;
        arrived
    }
}
