//! A run that yields to a changed spec: whoever corrects what keeps it from starting need not wait until it is
//! given up.
//!
//! Only a script that has not started yields. That is put on record before the pod is deleted, so that taking
//! the change back means nothing. Should the script start before its pod is gone, the run ends as it would have,
//! and the next one begins then.

use super::{
    active::Active,
    clocks::{after, taken_up},
    start,
    step::Step,
};
use crate::{
    api::{DeploymentAction, DeploymentActionStatus, Reason, status::RunStatus},
    operator::{
        lifecycle::{status::seconds, verdict::Verdict},
        pod::view::PodView,
    },
};

/// How long after a run was taken up its pod yields where nothing says what it waits for, in seconds. A script
/// may have started that the kubelet has not told of yet, and a deletion would stop it.
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
    Verdict::of(Reason::Superseded, format!("the spec changed {when}, and the next run is of the new one"))
}

/// Whether the action asks by now for another run than the one that is under way: anything that bears on the
/// attempt was changed, or there is another token.
fn asks_for_another(action: &DeploymentAction, run: &RunStatus) -> bool {
    let before = run.attempt_settings_hash.as_ref().or(run.settings_hash.as_ref());
    start::executes_another(action, run)
        || start::has_another_token(action, run)
        || start::bears_otherwise(action, run, before)
}

impl Active<'_> {
    /// Whether the run yields, its script not having started; or is on record as one that does.
    pub(super) fn yields(&self) -> bool {
        self.run.superseded_at.is_some() || asks_for_another(self.facts.action, self.run)
    }

    /// Whether its pod, which waits, is to go for it: something is known to keep its script from starting.
    pub(super) fn yields_its_pod(&self, pod: &PodView) -> bool {
        let quiet = after(taken_up(self.run, self.now), TOLD_BY_THEN_SECONDS);
        let held = pod.node.is_none() || self.facts.cause.is_some() || self.now >= quiet;
        self.run.superseded_at.is_some() || (held && self.yields())
    }

    /// Puts on record that the run yields, before anything is done for it.
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
