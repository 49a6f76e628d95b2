//! Whether another attempt follows a failed one, and when.
//!
//! By default only an attempt that certainly never started its script is tried again. If a script may have
//! run, its author must allow another attempt. If nothing shows that the script has ended, the next attempt
//! waits until every clock has passed that could let it run.

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

use super::{
    active::Active,
    cancel,
    clocks::{node_looked_at, runs_until},
    frozen, lock, outputs, settle, start,
    step::Step,
    superseded,
};
use crate::{
    api::{
        Reason,
        action::{Retry, RetryCause},
        history::RunOutcome,
        status::{ImageStatus, Launcher, RunStatus},
    },
    operator::{
        lifecycle::{
            facts::LogFact,
            hints::hint,
            status::{progress, retrying, terminal, with_kept},
            verdict::Verdict,
            whole_seconds::{rounded_up, seconds},
        },
        pod::{names, view::PodView},
        spec::{expand::Blocked, validate::Checked},
    },
};

/// The cause of `spec.retry` that a verdict belongs to. `None` if another attempt makes no sense.
pub(super) fn cause(verdict: &Verdict) -> Option<RetryCause> {
    if verdict.never_started {
        return matches!(
            verdict.reason,
            Reason::StartFailed
                | Reason::ImagePullFailed
                | Reason::PackageFetchFailed
                | Reason::SecretMissing
                | Reason::ConfigMapMissing
                | Reason::ServiceAccountMissing
                | Reason::QuotaExceeded
                | Reason::Unschedulable
                | Reason::ContainerConfigError
                | Reason::PendingDeadlineExceeded
                | Reason::RunnerFailed
                | Reason::PodDeleted
                | Reason::Evicted
                | Reason::NodeLost
        )
        .then_some(RetryCause::NeverStarted);
    }
    match verdict.reason {
        Reason::ScriptFailed
        | Reason::ScriptKilled
        | Reason::OutOfMemory
        | Reason::OutputMissing
        | Reason::OutputsUnreadable => Some(RetryCause::ScriptFailed),
        Reason::DeadlineExceeded => Some(RetryCause::DeadlineExceeded),
        Reason::Evicted | Reason::PodDeleted | Reason::NodeLost | Reason::Unknown => {
            Some(RetryCause::Interrupted)
        }
        _ => None,
    }
}

/// Whether the author allows another attempt after this verdict on attempt number `attempt`.
fn allowed(retry: &Retry, verdict: &Verdict, attempt: u32) -> bool {
    let Some(cause) = cause(verdict) else { return false };
    let codes = &retry.exit_codes;
    let code = cause != RetryCause::ScriptFailed
        || codes.is_empty()
        || verdict.exit_code.is_some_and(|code| codes.contains(&code));
    attempt <= retry.limit && retry.causes().contains(&cause) && code
}

/// The pause after this attempt. It doubles, and up to a quarter is added. How much is added follows from run
/// and attempt. So an operator that restarts waits for the same moment, and a hundred actions that failed
/// together do not begin again together.
pub(super) fn pause(retry: &Retry, uid: &str, run: u32, attempt: u32) -> SignedDuration {
    let (first, longest) = retry.backoff();
    let doubled = first.saturating_mul(1_i64 << attempt.saturating_sub(1).min(30));
    let pause = doubled.min(longest).saturating_mul(1000);
    let hash = Sha256::digest(format!("{uid}/{run}/{attempt}"));
    let spread = i64::from(u16::from_be_bytes([hash[0], hash[1]]));
    SignedDuration::from_millis(pause + (pause / 4) * spread / i64::from(u16::MAX))
}

impl Active<'_> {
    /// The write that says how the attempt ended: the run's end, or the wait for another attempt. `run` and
    /// `image` hold what is known of the attempt.
    pub(super) fn over(
        &self,
        verdict: &Verdict,
        run: RunStatus,
        image: Option<ImageStatus>,
        log: Option<&LogFact>,
        pod: Option<&PodView>,
    ) -> Step {
        let requests = &self.facts.requests;
        if let Some(retry) =
            self.facts.action.spec.retry.as_ref().filter(|retry| allowed(retry, verdict, run.attempt))
            && !self.is_cancelled()
        {
            let then = self.now.saturating_add(self.pause_after(retry, &run)).unwrap_or(Timestamp::MAX);
            let then = rounded_up(then.max(self.no_longer_runs(verdict, &run, pod)));
            let of = retry.limit.saturating_add(1);
            return Step::WriteStatus(Box::new(retrying(
                requests,
                self.now,
                verdict,
                run,
                image,
                log,
                (then, of),
            )));
        }
        let kept = match outputs::keep(self.facts, self.now, log) {
            Ok(kept) => kept,
            Err(step) => return step,
        };
        let certain = verdict.never_started || lock::has_ended(self.facts, &run);
        let bound = runs_until(self.facts, &run, self.now);
        let run = lock::held_until(run, self.now, certain, bound);
        let mut verdict = verdict.clone();
        let then = self.no_longer_runs(&verdict, &run, pod);
        if RunOutcome::of(verdict.reason) == RunOutcome::Unknown && then > self.now {
            let until = rounded_up(then).0;
            verdict.message =
                format!("{}; it may run until {until}, and no other run begins before that", verdict.message);
        }
        verdict.hint = hint(verdict.reason, self.facts.spec.as_ref(), log);
        if run.attempt > 1 {
            verdict.message = format!("{} (attempt {})", verdict.message, run.attempt);
        }
        let ended = terminal(requests, self.now, &verdict, run, image, log);
        Step::WriteStatus(Box::new(with_kept(&ended, self.now, &kept)))
    }

    /// When certainly nothing of the attempt runs any more. A pod object that vanished proves nothing about
    /// its process. A kubelet that has lost sight of a container proves as little.
    fn no_longer_runs(&self, verdict: &Verdict, run: &RunStatus, pod: Option<&PodView>) -> Timestamp {
        let recorded = self.log_of(run).is_some_and(|log| log.exit.is_some());
        let seen = pod.and_then(PodView::terminated).is_some_and(|end| !end.is_unknown());
        if verdict.never_started || recorded || seen || self.facts.is_off() {
            return self.now;
        }
        runs_until(self.facts, run, self.now)
    }

    fn pause_after(&self, retry: &Retry, run: &RunStatus) -> SignedDuration {
        let uid = self.facts.action.metadata.uid.as_deref().unwrap_or_default();
        pause(retry, uid, run.number, run.attempt)
    }

    /// When the pause after the latest attempt is over.
    fn paused(&self) -> Option<Timestamp> {
        let pause = self.pause_after(self.facts.action.spec.retry.as_ref()?, self.run);
        let ended = self.run.attempts.last()?.finished_at.as_ref()?.0;
        Some(rounded_up(ended.saturating_add(pause).ok()?).0)
    }

    /// The attempt has ended. The next one is due now or later.
    pub(super) fn wait_for_next(&self) -> Step {
        let facts = self.facts;
        let end = |verdict: &Verdict| {
            // The next attempt would begin once it is certain that nothing of this one runs.
            let due = self.run.next_attempt_at.as_ref().map_or(self.now, |time| time.0);
            let bound = runs_until(self.facts, self.run, self.now).min(due);
            let certain = lock::has_ended(facts, self.run) || self.now >= bound;
            let run = lock::held_until(self.run.clone(), self.now, certain, bound);
            let mut ended = terminal(&facts.requests, self.now, verdict, run, self.image.cloned(), None);
            ended.log.clone_from(&self.status.log);
            Step::WriteStatus(Box::new(ended))
        };
        let next = self.run.attempt.saturating_add(1);
        if self.is_cancelled() {
            return end(&cancel::before_attempt(next));
        }
        if start::executes_another(facts.action, self.run) {
            return end(&superseded::before_attempt(next));
        }
        if let Some(step) = settle::settle(facts, self.now, self.status, self.run) {
            return step;
        }
        if matches!(facts.spec, Err(Blocked::Unread(_))) {
            // Right after a start the caches are empty. This is no reason to give a run up.
            return Step::until(self.look_again(), self.now);
        }
        if facts.keys.is_none() && facts.spec.as_ref().is_ok_and(Checked::has_sensitive_outputs) {
            return Step::until(self.look_again(), self.now);
        }
        let changed = "what the run executes changed while it waited for its next attempt";
        let frozen = |run: &RunStatus| {
            let checked = facts.spec.as_ref().map_err(|blocked| blocked.words().1.to_owned())?;
            let image = self.image.ok_or("status.image is missing")?;
            if let Some(what) = self.not_as_recorded(image) {
                return Err(what);
            }
            let (_, sha256) = frozen::freeze(facts, checked, run, image, &self.status.packages)?;
            Ok((checked, sha256))
        };
        match frozen(self.run) {
            Ok((_, sha256)) if Some(&sha256) == self.run.bundle_sha256.as_ref() => {}
            Ok(_) => return end(&Verdict::of(Reason::FrozenInputsChanged, changed)),
            Err(why) => {
                return end(&Verdict::of(Reason::FrozenInputsChanged, format!("{changed}: {why}")));
            }
        }
        let due = self.run.next_attempt_at.as_ref().map_or(self.now, |time| time.0);
        let paused = self.paused().filter(|paused| *paused < due);
        // After its pause it waits only for clocks. They do not count on a node that is out of service.
        let due = paused.filter(|_| facts.is_off()).unwrap_or(due);
        if lock::is_seen_running(facts, self.run) {
            return Step::until(self.look_again(), self.now);
        }
        if self.now < due {
            return Step::until(paused.map_or(due, |_| node_looked_at(facts, due, self.now)), self.now);
        }
        let run = RunStatus {
            attempt: next,
            attempt_requested_at: Some(seconds(self.now)),
            attempt_settings_hash: Some(start::settings(facts.action)),
            next_attempt_at: None,
            started_at: None,
            pod_uid: None,
            node_name: None,
            launcher: Some(Launcher::first(facts.process)),
            ..self.run.clone()
        };
        match frozen(&run) {
            Ok((checked, sha256)) => {
                let name = names::pod_name(&checked.name, &checked.uid, run.number, next);
                let message = format!("creating pod {name} (attempt {next})");
                let run = RunStatus { bundle_sha256: Some(sha256), pod_name: Some(name), ..run };
                let image = self.image.map(|image| ImageStatus { running: None, ..image.clone() });
                let status =
                    progress(&facts.requests, self.now, Reason::Launching, &message, run, image, None);
                Step::WriteStatus(Box::new(status))
            }
            Err(why) => end(&Verdict::of(Reason::FrozenInputsChanged, why)),
        }
    }
}
