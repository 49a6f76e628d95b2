//! Waits until the log is written, before the script starts and once it has ended.

use std::time::{Duration, Instant};

use super::signals::Signals;
use crate::{
    record::outcome::FrameRange,
    runner::{
        log::{drain::Reached, report::Report},
        ready,
    },
};

/// How long nothing may be heard of the thread that writes the log. A disk may hold it up.
const SILENCE: Duration = Duration::from_secs(30);
/// How long the log may take in all once the runner was asked to stop. The thread itself takes a second less,
/// and the operator gives the runner 15 s.
const HURRIED: Duration = Duration::from_secs(9);
/// How long the script's start waits for the start record.
const BEFORE_START: Duration = Duration::from_secs(1);
/// How often the thread is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Writes what was made before the script's start, if somebody reads it. A script may end the runner at once,
/// and the start record says that it may have run.
pub(in crate::runner) fn write_first(report: &mut Report) {
    let end = Instant::now() + BEFORE_START;
    report.drain();
    while report.reached().0 == Reached::Nothing && Instant::now() < end {
        ready::wait(&[report.news()], None, Some(end));
        report.heard();
    }
    report.go_on();
}

/// The runner's way to the end of its log.
pub(in crate::runner) struct Conclusion<'a> {
    /// `None` if they could not be installed.
    signals: Option<&'a Signals>,
    /// When the runner was asked to stop, if it was.
    hurried: Option<Instant>,
}

impl<'a> Conclusion<'a> {
    /// Begins now. `stopped` says whether the runner has been asked to stop.
    pub(in crate::runner) fn new(signals: Option<&'a Signals>, stopped: bool) -> Self {
        Self { signals, hurried: stopped.then(Instant::now) }
    }

    /// Writes everything but the end record. Returns the frames that are lost.
    pub(in crate::runner) fn drain(&mut self, report: &mut Report) -> Vec<FrameRange> {
        report.drain();
        let drained = |reached| match reached {
            Reached::Drained(lost) => Some(lost),
            Reached::Nothing | Reached::Ended(_) => None,
        };
        self.wait(report, drained).unwrap_or_default()
    }

    /// Writes everything. Returns whether somebody read it.
    pub(in crate::runner) fn finish(&mut self, report: &mut Report) -> bool {
        report.finish();
        let ended = |reached| match reached {
            Reached::Ended(read) => Some(read),
            Reached::Nothing | Reached::Drained(_) => None,
        };
        self.wait(report, ended).unwrap_or_default()
    }

    /// Waits until this is reached. `None` if the log cannot be written in time.
    fn wait<T>(&mut self, report: &Report, is_it: impl Fn(Reached) -> Option<T>) -> Option<T> {
        let mut heard = (None, Instant::now());
        loop {
            if let Some(hurried) = self.hurried {
                report.hurry(hurried);
            }
            let (reached, turns) = report.reached();
            if let Some(it) = is_it(reached) {
                return Some(it);
            }
            let now = Instant::now();
            if heard.0 != Some(turns) {
                heard = (Some(turns), now);
            }
            if now >= heard.1 + SILENCE || self.hurried.is_some_and(|hurried| now >= hurried + HURRIED) {
                return None;
            }
            let from: Vec<_> = self.signals.map(Signals::as_fd).into_iter().chain([report.news()]).collect();
            ready::wait(&from, None, Some(now + LOOK));
            report.heard();
            if self.signals.is_some_and(|signals| signals.take().stop) {
                self.hurried.get_or_insert_with(Instant::now);
            }
        }
    }
}
