//! Decides when a script is asked to stop, and when it is killed.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use crate::{
    record::{
        bundle::Limits,
        outcome::{Stop, StopCause},
    },
    runner::reach,
};

/// The next step of a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Tell the reason, then SIGTERM.
    Ask(StopCause),
    /// SIGKILL.
    Kill,
}

/// The stop of a script: it is asked once, for the first cause, and killed after the grace period.
#[derive(Debug)]
pub(super) struct Stopping {
    grace: Duration,
    /// `None` if it is beyond the clock's end.
    deadline: Option<Instant>,
    asked: Option<StopCause>,
    kill_at: Option<Instant>,
    killed: bool,
}

impl Stopping {
    pub(super) fn new(limits: &Limits, started: Instant) -> Self {
        Self {
            grace: Duration::from_secs(limits.grace_seconds),
            deadline: started.checked_add(Duration::from_secs(limits.run_deadline_seconds)),
            asked: None,
            kill_at: None,
            killed: false,
        }
    }

    /// When to look again at the latest.
    pub(super) fn next(&self) -> Option<Instant> {
        match self.asked {
            None => self.deadline,
            Some(_) => self.kill_at,
        }
    }

    /// Returns the step that is due at `now`. `terminated` says whether a signal asked to stop. Each step is
    /// due once.
    pub(super) fn due(&mut self, now: Instant, terminated: bool) -> Option<Due> {
        if self.asked.is_none() {
            let cause = if terminated {
                StopCause::Terminated
            } else if self.deadline.is_some_and(|deadline| deadline <= now) {
                StopCause::RunDeadline
            } else {
                return None;
            };
            self.asked = Some(cause);
            self.kill_at = now.checked_add(self.grace);
            return Some(Due::Ask(cause));
        }
        if self.kill_at.is_some_and(|kill_at| kill_at <= now) {
            self.kill_at = None;
            self.killed = true;
            return Some(Due::Kill);
        }
        None
    }

    /// Whether the script was asked to stop.
    pub(super) const fn is_asked(&self) -> bool {
        self.asked.is_some()
    }

    /// The stop, for the exit record.
    pub(super) fn record(&self) -> Option<Stop> {
        self.asked.map(|cause| Stop { cause, killed: self.killed })
    }
}

/// The longest reason from outside, in bytes.
const MAX_TOLD_BYTES: usize = 512;

/// Reads why the operator stops the script, in one line: `Cancelled: ...`. A pod of an older version has no
/// such file.
pub(super) fn told(path: &Path) -> Option<String> {
    let mut bytes = reach::read_mounted(path, MAX_TOLD_BYTES as u64).ok()?;
    bytes.truncate(MAX_TOLD_BYTES);
    let mut text = String::from_utf8_lossy(&bytes).into_owned();
    text.retain(|letter| !letter.is_control());
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Returns the text for the script. `told` is the operator's reason.
pub(super) fn reason(cause: StopCause, limits: &Limits, told: Option<String>) -> String {
    match cause {
        StopCause::RunDeadline => format!(
            "RunDeadline: the script ran for more than {} seconds (spec.runDeadlineSeconds)\n",
            limits.run_deadline_seconds
        ),
        StopCause::Terminated => told.map_or_else(
            || {
                "Terminated: the pod is being stopped (deleted, evicted, or past its own deadline)\n"
                    .to_owned()
            },
            |told| format!("{told}\n"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const LIMITS: Limits = Limits { run_deadline_seconds: 60, grace_seconds: 10 };

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn past_the_deadline_it_is_asked_and_after_the_grace_killed() {
        let start = Instant::now();
        let mut stopping = Stopping::new(&LIMITS, start);
        assert_eq!(stopping.next(), Some(after(start, 60)));
        assert_eq!(stopping.due(after(start, 59), false), None);
        assert_eq!(stopping.due(after(start, 60), false), Some(Due::Ask(StopCause::RunDeadline)));
        assert_eq!(stopping.next(), Some(after(start, 70)));
        assert_eq!(stopping.due(after(start, 69), false), None);
        assert_eq!(stopping.record(), Some(Stop { cause: StopCause::RunDeadline, killed: false }));
        assert_eq!(stopping.due(after(start, 70), false), Some(Due::Kill));
        assert_eq!(stopping.due(after(start, 99), false), None);
        assert_eq!(stopping.next(), None);
        assert_eq!(stopping.record(), Some(Stop { cause: StopCause::RunDeadline, killed: true }));
    }

    #[test]
    fn a_second_request_changes_nothing() {
        let start = Instant::now();
        let mut stopping = Stopping::new(&LIMITS, start);
        assert_eq!(stopping.due(after(start, 5), true), Some(Due::Ask(StopCause::Terminated)));
        assert_eq!(stopping.due(after(start, 6), true), None);
        assert_eq!(stopping.next(), Some(after(start, 15)));
        assert_eq!(stopping.due(after(start, 61), true), Some(Due::Kill));
        assert_eq!(stopping.record(), Some(Stop { cause: StopCause::Terminated, killed: true }));
    }

    #[test]
    fn what_somebody_outside_says_is_one_short_line_or_nothing() {
        let folder = std::env::temp_dir().join(format!("told-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("stop-reason");
        assert_eq!(told(&path), None, "a pod of before");
        for (text, wanted) in [
            ("", None),
            (" \n", None),
            ("Cancelled: by hand\n\u{1b}[1mx", Some("Cancelled: by hand[1mx".to_owned())),
            (&"x".repeat(9000), Some("x".repeat(512))),
        ] {
            fs::write(&path, text).unwrap();
            assert_eq!(told(&path), wanted);
        }
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_deadline_beyond_all_time_is_none() {
        let limits = Limits { run_deadline_seconds: u64::MAX, grace_seconds: u64::MAX };
        let mut stopping = Stopping::new(&limits, Instant::now());
        assert_eq!(stopping.due(Instant::now(), true), Some(Due::Ask(StopCause::Terminated)));
        assert_eq!(stopping.next(), None);
    }
}
