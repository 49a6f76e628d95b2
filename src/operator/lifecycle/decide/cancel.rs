//! A run that somebody cancels.
//!
//! If the script has not started, the operator deletes the pod: lowering its deadline would let the script
//! start. If the script runs, it reads the reason in a file, and then the pod's deadline asks it to stop.
//! Pod, log, outputs and exit code stay. Both are recorded first, so removing the annotation later changes
//! nothing.

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::{active::Active, step::Step};
use crate::{
    api::{ANNOTATION_CANCEL, DeploymentActionStatus, Reason, status::RunStatus},
    operator::{
        lifecycle::{
            verdict::{BY_WHOM, Verdict},
            whole_seconds::seconds,
        },
        pod::view::{AT_ONCE_SECONDS, PodView},
    },
};

/// Time for the reason to reach the script's container. It rarely takes longer.
const REASON_ARRIVES: SignedDuration = SignedDuration::from_secs(2);

/// The text of the file that `LONGSHORE_STOP_REASON_FILE` names.
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
    /// Whether somebody cancels this very run, or has cancelled it.
    pub(super) fn is_cancelled(&self) -> bool {
        self.run.cancel_requested_at.is_some() || self.facts.requests.cancels(self.run)
    }

    /// Records that the run is being cancelled, before anything is done for it.
    pub(super) fn announced(&self, run: RunStatus, next: impl FnOnce() -> Step) -> Step {
        if self.run.cancel_requested_at.is_some() {
            return next();
        }
        Step::WriteStatus(Box::new(self.cancelling(run)))
    }

    /// The status of a run that is being cancelled.
    pub(super) fn cancelling(&self, run: RunStatus) -> DeploymentActionStatus {
        let first = run.cancel_requested_at.is_none();
        let by = if first { self.facts.requests.canceller() } else { run.cancel_requested_by.clone() };
        let since = run.cancel_requested_at.clone().unwrap_or_else(|| seconds(self.now));
        let run = RunStatus { cancel_requested_at: Some(since), cancel_requested_by: by, ..run };
        self.progress(Reason::Stopping, BY_WHOM, run)
    }

    /// The next step for a script that runs and should stop. `bound` is when its node counts as lost.
    pub(super) fn stop(&self, pod: &PodView, bound: Timestamp) -> Step {
        if pod.deleting || pod.active_deadline_seconds == Some(AT_ONCE_SECONDS) {
            // It was already asked to stop.
            return Step::until(bound, self.now);
        }
        let Some(told) = pod.stop_requested_at else {
            return Step::Stop { name: pod.name.clone(), uid: pod.uid.clone(), reason: reason(self.run) };
        };
        // We wrote no time in the future: such a time counts as now.
        let told = told.min(self.now);
        let then = told.saturating_add(REASON_ARRIVES).unwrap_or(self.now);
        if self.now < then { Step::until(then, self.now) } else { Step::expire(pod) }
    }
}
