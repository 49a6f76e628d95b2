//! By when something must have happened, or can happen no more. Times are injected, and durations in seconds.

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use crate::{
    api::status::{Deadlines, RunStatus},
    operator::{facts::Facts, pod::RUNNER_GRACE_SECONDS},
};

/// How long a node may take beyond all deadlines before it counts as lost, in seconds.
pub(super) const NODE_MARGIN_SECONDS: i64 = 60;
/// A creation that was sent arrives within this, in seconds: the API server answers it or gives it up.
const CREATION_SECONDS: i64 = 60;

/// How often is looked whether a node is out of service by then, in seconds: no event tells of it.
const LOOK_AT_NODE_SECONDS: i64 = 30;

/// The deadlines that bind the run: those that were frozen with it. Before, those of the spec as it
/// is now; so too for a run that an operator froze that did not record them.
pub(super) fn deadlines(facts: &Facts<'_>, run: &RunStatus) -> Deadlines {
    run.deadlines.unwrap_or_else(|| match facts.spec {
        Ok(checked) => checked.deadlines,
        Err(_) => facts.action.spec.deadlines(),
    })
}

/// Since when the present attempt is under way.
pub(super) fn taken_up(run: &RunStatus, now: Timestamp) -> Timestamp {
    run.taken_up().map_or(now, |time| time.0)
}

/// By when the script must have started.
pub(super) fn pending_deadline(facts: &Facts<'_>, run: &RunStatus, now: Timestamp) -> Timestamp {
    after(taken_up(run, now), deadlines(facts, run).pending_seconds)
}

/// When the clocks of runner and kubelet have ended the present attempt of a run, whatever became of
/// its node.
pub(super) fn runs_until(facts: &Facts<'_>, run: &RunStatus, now: Timestamp) -> Timestamp {
    let deadlines = deadlines(facts, run);
    let most = from_start(deadlines);
    match &run.started_at {
        Some(started) => after(started.0, most),
        // The pod's own deadline, which the kubelet keeps on its own, and counts from when it took the pod:
        // as late as the pending deadline.
        None => after(taken_up(run, now), 2 * deadlines.pending_seconds + most),
    }
}

/// How long an attempt may run from when its pod's creation is sent, in seconds: until then it holds the
/// lock, should nothing more be heard of it.
pub(super) fn longest(deadlines: Deadlines) -> i64 {
    // A creation as late as the pending deadline has that long again by its pod's own deadline.
    CREATION_SECONDS + 2 * deadlines.pending_seconds + from_start(deadlines)
}

/// How long a script may run from its start, in seconds, by the clocks of runner and kubelet.
fn from_start(deadlines: Deadlines) -> i64 {
    deadlines.run_seconds + deadlines.grace_seconds + RUNNER_GRACE_SECONDS + NODE_MARGIN_SECONDS
}

/// By then, or when the node of the pod is to be looked at again, where there is one.
pub(super) fn node_looked_at(facts: &Facts<'_>, bound: Timestamp, now: Timestamp) -> Timestamp {
    if facts.node.is_some() { bound.min(after(now, LOOK_AT_NODE_SECONDS)) } else { bound }
}

/// So many seconds later.
pub(super) fn after(time: Timestamp, seconds: i64) -> Timestamp {
    time.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}
