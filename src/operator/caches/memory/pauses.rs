//! Pauses: before a failed step is tried again, between looks, and after looks that failed.

use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// The first and the longest pause after a failure, in milliseconds.
const BACKOFF: (i64, i64) = (500, 30_000);

/// A pass that asks for the next one this soon waits for nothing in particular.
const AT_ONCE: SignedDuration = SignedDuration::from_millis(50);
/// The longest pause between passes that do nothing and ask for the next one at once.
const MOST_PATIENT: SignedDuration = SignedDuration::from_secs(5);
/// How often the operator looks at an action whose events come faster than that for long.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How many looks may come at once. A run takes about a dozen.
const LOOKS_AT_ONCE: u32 = 40;

/// The failures of one action, and the pauses after them.
#[derive(Debug, Default)]
pub(in crate::operator) struct Pauses {
    /// Failures in a row, of resolving or creating.
    failures: u32,
    /// Neither is tried again before this time.
    not_before: Option<Timestamp>,
    /// Looks in a row that failed.
    failed_looks: u32,
    /// Passes in a row that did nothing and asked for the next one at once.
    hasty: u32,
    /// When the recent looks would be over at one every [`LOOK_EVERY`].
    paced: Option<Instant>,
}

impl Pauses {
    /// Notes a failure. The next try comes later each time, and not at the same moment for all actions.
    pub(in crate::operator) fn failed(&mut self, now: Timestamp, at_least: Option<SignedDuration>) {
        let pause = backoff(self.failures).max(at_least.unwrap_or(SignedDuration::ZERO));
        self.failures = self.failures.saturating_add(1);
        self.not_before = now.saturating_add(pause).ok();
    }

    /// Notes that a step did not fail.
    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
        self.not_before = None;
    }

    /// Failures in a row, of resolving or creating.
    pub(in crate::operator) const fn failures(&self) -> u32 {
        self.failures
    }

    /// The time before which the failed step is not tried again.
    pub(in crate::operator) const fn not_before(&self) -> Option<Timestamp> {
        self.not_before
    }

    /// Notes a look that failed, and returns the pause before the next one.
    pub(in crate::operator) fn look_failed(&mut self) -> SignedDuration {
        let pause = backoff(self.failed_looks);
        self.failed_looks = self.failed_looks.saturating_add(1);
        pause
    }

    /// Notes a look that did not fail.
    pub(in crate::operator) fn looked(&mut self) {
        self.failed_looks = 0;
    }

    /// Looks in a row that failed.
    pub(in crate::operator) const fn failed_looks(&self) -> u32 {
        self.failed_looks
    }

    /// Notes a look at the action, and returns `None`. If the recent looks were too many, it returns how long
    /// to leave the action alone. Somebody who annotates an action without end slows down that action alone.
    pub(in crate::operator) fn pace(&mut self, now: Instant) -> Option<Duration> {
        let until = self.paced.map_or(now, |until| until.max(now));
        let early = until.duration_since(now).saturating_sub(LOOK_EVERY * (LOOKS_AT_ONCE - 1));
        if early.is_zero() {
            self.paced = Some(until + LOOK_EVERY);
        }
        Some(early).filter(|early| !early.is_zero())
    }

    /// How long to wait after a pass that took `steps` steps and asks for the next one after `wait`.
    ///
    /// The first pass that did nothing and asks at once gets its wish. Then the pause doubles, so that no
    /// defect keeps a core busy. Events still lead to a look at once.
    pub(in crate::operator) fn patience(&mut self, wait: SignedDuration, steps: usize) -> SignedDuration {
        if steps > 0 || wait > AT_ONCE {
            self.hasty = 0;
            return wait;
        }
        let patience = wait.max(AT_ONCE).saturating_mul(1 << self.hasty.min(8));
        self.hasty = self.hasty.saturating_add(1);
        if self.hasty == 1 { wait } else { patience.min(MOST_PATIENT) }
    }
}

/// The pause after this many failures in a row. It doubles, with up to a quarter of jitter.
#[must_use]
pub(in crate::operator) fn backoff(failures: u32) -> SignedDuration {
    let pause = BACKOFF.0.saturating_mul(1 << failures.min(16)).min(BACKOFF.1);
    // The clock's lowest digits spread the pauses: no two actions fail in the same nanosecond.
    let spread = i64::from(Timestamp::now().subsec_nanosecond()) % (pause / 4).max(1);
    SignedDuration::from_millis(pause + spread)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_grows_and_is_bounded() {
        assert!(backoff(0).as_millis() < 700);
        assert!(backoff(3).as_millis() >= 4000);
        assert!(backoff(u32::MAX).as_millis() < 40_000);
    }

    #[test]
    fn passes_that_do_nothing_and_ask_for_the_next_at_once_get_slower() {
        let mut pauses = Pauses::default();
        let moment = SignedDuration::from_millis(20);
        let mut waits = || pauses.patience(moment, 0).as_millis();
        let waits: Vec<i128> = std::iter::repeat_with(&mut waits).take(10).collect();
        assert_eq!(waits, [20, 100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000]);
        let second = SignedDuration::from_secs(1);
        assert_eq!(pauses.patience(second, 0), second);
        assert_eq!(pauses.patience(moment, 0), moment, "there was something to wait for");
        assert_eq!(pauses.patience(moment, 1), moment);
        assert_eq!(pauses.patience(moment, 0), moment, "something was done");
    }

    #[test]
    fn an_action_whose_events_never_end_is_looked_at_ten_times_a_second() {
        let mut pauses = Pauses::default();
        let begun = Instant::now();
        let mut looks = 0;
        // An event each millisecond, for ten seconds.
        for at in 0..10_000 {
            looks += u32::from(pauses.pace(begun + Duration::from_millis(at)).is_none());
        }
        assert!((130..=140).contains(&looks), "{looks}");
        // After a pause, as many looks may come at once as at first.
        let later = begun + Duration::from_mins(1);
        let at_once = (0..1000).take_while(|_| pauses.pace(later).is_none()).count();
        assert_eq!(at_once, 40);
        let pause = pauses.pace(later).unwrap();
        assert!(pauses.pace(later + pause).is_none(), "it waits for as long as it is told");
    }
}
