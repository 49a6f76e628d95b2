//! A run that yields to a changed spec. After a correction, nobody needs to wait until the old run is given
//! up.
//!
//! A run yields only if its script has not started. This is recorded before the pod is deleted, so taking the
//! change back has no effect. If the script starts before its pod is gone, the run ends as it would have, and
//! the next one begins then.

use super::{
    active::Active,
    clocks::{after, taken_up},
    start,
    step::Step,
};
use crate::{
    api::{DeploymentAction, DeploymentActionStatus, Reason, status::RunStatus},
    operator::{
        lifecycle::{verdict::Verdict, whole_seconds::seconds},
        pod::view::PodView,
    },
};

/// How long a pod is left alone after the attempt was taken up, if nothing says what it waits for, in
/// seconds. Its script may have started although the kubelet has not said so yet, and a deletion would stop
/// it.
const TOLD_BY_THEN_SECONDS: i64 = 60;

/// The verdict on a run whose script has not been started.
pub(super) fn before_start() -> Verdict {
    verdict("before its script started")
}

/// The verdict on a run that waited for its next attempt.
pub(super) fn before_attempt(attempt: u32) -> Verdict {
    verdict(&format!("before attempt {attempt} began"))
}

fn verdict(when: &str) -> Verdict {
    Verdict::of(Reason::Superseded, format!("the spec changed {when}, and the next run executes the new one"))
}

/// Whether the action now asks for another run than the one under way: something that affects the attempt was
/// changed, or the token was.
pub(super) fn asks_for_another(action: &DeploymentAction, run: &RunStatus) -> bool {
    let before = run.attempt_settings_hash.as_ref().or(run.settings_hash.as_ref());
    start::executes_another(action, run)
        || start::has_another_token(action, run)
        || start::bears_otherwise(action, run, before)
}

impl Active<'_> {
    /// Whether the run yields if its script has not started. A run whose yielding is on record always does.
    pub(super) fn yields(&self) -> bool {
        self.run.superseded_at.is_some() || asks_for_another(self.facts.action, self.run)
    }

    /// Whether the run's waiting pod is deleted because the run yields. Either something is known to keep the
    /// script from starting, or the pod was left alone long enough.
    pub(super) fn yields_its_pod(&self, pod: &PodView) -> bool {
        let quiet = after(taken_up(self.run, self.now), TOLD_BY_THEN_SECONDS);
        let held = pod.node.is_none() || self.facts.cause.is_some() || self.now >= quiet;
        self.run.superseded_at.is_some() || (held && self.yields())
    }

    /// Records that the run yields, before anything is done for it.
    pub(super) fn yielding(&self, run: RunStatus, next: impl FnOnce() -> Step) -> Step {
        if self.run.superseded_at.is_some() {
            return next();
        }
        Step::WriteStatus(Box::new(self.superseding(run)))
    }

    fn superseding(&self, run: RunStatus) -> DeploymentActionStatus {
        let run = RunStatus { superseded_at: Some(seconds(self.now)), ..run };
        let message = "the spec changed before the script started, and the pod is removed for the next run";
        self.progress(Reason::Stopping, message, run)
    }
}
