//! A run that somebody cancels.
//!
//! What has not started is deleted, since lowering its pod's deadline would let the script start. A
//! script that runs is told why in a file, and then asked to stop by its pod's deadline: pod, log,
//! outputs and exit code stay. Either is put on record first, so that taking the annotation off again
//! means nothing.

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::{active::Active, step::Step};
use crate::{
    api::{ANNOTATION_CANCEL, DeploymentActionStatus, Reason, status::RunStatus},
    operator::{
        lifecycle::{
            status::seconds,
            verdict::{BY_WHOM, Verdict},
        },
        pod::view::{AT_ONCE_SECONDS, PodView},
    },
};

/// How long the reason takes to reach the script's container, at most as a rule.
const REASON_ARRIVES: SignedDuration = SignedDuration::from_secs(2);

/// What the script reads in the file that `LONGSHORE_STOP_REASON_FILE` names.
fn reason(run: &RunStatus) -> String {
    format!("Cancelled: run {} was cancelled (annotation {ANNOTATION_CANCEL} of the action)", run.id)
}

/// The verdict on a run whose script has not been started.
pub(super) fn before_start() -> Verdict {
    Verdict::of(Reason::Cancelled, format!("{BY_WHOM} before its script started"))
}

/// The verdict on a run that waited for its next attempt.
pub(super) fn before_attempt(attempt: u32) -> Verdict {
    Verdict::of(Reason::Cancelled, format!("{BY_WHOM} before attempt {attempt} began"))
}

impl Active<'_> {
    /// Whether somebody cancels this very run, or did.
    pub(super) fn is_cancelled(&self) -> bool {
        self.run.cancel_requested_at.is_some() || self.facts.requests.cancels(self.run)
    }

    /// Puts on record that the run is being cancelled, before anything is done for it.
    pub(super) fn announced(&self, run: RunStatus, next: impl FnOnce() -> Step) -> Step {
        if self.run.cancel_requested_at.is_some() {
            return next();
        }
        Step::WriteStatus(Box::new(self.cancelling(run)))
    }

    /// The status of a run that is being cancelled.
    pub(super) fn cancelling(&self, run: RunStatus) -> DeploymentActionStatus {
        let since = run.cancel_requested_at.clone().unwrap_or_else(|| seconds(self.now));
        let run = RunStatus { cancel_requested_at: Some(since), ..run };
        self.progress(Reason::Stopping, BY_WHOM, run)
    }

    /// What is next for a script that runs and is to stop, `bound` being when its node counts as lost.
    pub(super) fn stop(&self, pod: &PodView, bound: Timestamp) -> Step {
        if pod.deleting || pod.active_deadline_seconds == Some(AT_ONCE_SECONDS) {
            // It has been asked.
            return Step::until(bound, self.now);
        }
        let Some(told) = pod.stop_requested_at else {
            return Step::Stop { name: pod.name.clone(), uid: pod.uid.clone(), reason: reason(self.run) };
        };
        // A time that lies ahead is nobody's that we know.
        let told = told.min(self.now);
        let then = told.saturating_add(REASON_ARRIVES).unwrap_or(self.now);
        if self.now < then { Step::until(then, self.now) } else { Step::expire(pod) }
    }
}
