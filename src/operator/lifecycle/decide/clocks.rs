//! By when something must have happened, or can happen no more. Times are injected, and durations in seconds.

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use crate::{
    api::status::{Deadlines, RunStatus},
    operator::{
        lifecycle::facts::Facts,
        pod::{attempt, view::NODE_MARGIN_SECONDS},
    },
};

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

/// When the clocks of the kubelet have ended the present attempt of a run, whatever became of its node, and
/// whatever its script did to the runner.
pub(super) fn runs_until(facts: &Facts<'_>, run: &RunStatus, now: Timestamp) -> Timestamp {
    let deadlines = deadlines(facts, run);
    let most = by_kubelet(deadlines);
    match &run.started_at {
        Some(started) => after(started.0, most),
        // The kubelet counts from when it took the pod: as late as the pending deadline.
        None => after(taken_up(run, now), most.saturating_add(deadlines.pending_seconds)),
    }
}

/// By when a script that started then should have ended, by the clock of its runner: one that still runs has
/// stopped the runner's clock, or its node does not report.
pub(super) fn should_end(started: Timestamp, deadlines: Deadlines) -> Timestamp {
    let Deadlines { run_seconds, grace_seconds, .. } = deadlines;
    after(started, run_seconds.saturating_add(grace_seconds).saturating_add(NODE_MARGIN_SECONDS))
}

/// By when one that was asked to end by its pod's own deadline at that time should have ended.
pub(super) fn should_end_at_once(asked: Timestamp, deadlines: Deadlines) -> Timestamp {
    after(asked, attempt::grace_seconds(deadlines).saturating_add(NODE_MARGIN_SECONDS))
}

/// When the script started, by the operator's clock. The node's may be hours ahead or behind: what it says
/// counts between when the attempt was taken up and now.
pub(super) fn started(said: Timestamp, run: &RunStatus, now: Timestamp) -> Timestamp {
    // A clock of the operator's that was set back is no reason to panic.
    said.min(now).max(taken_up(run, now).min(now))
}

/// How long an attempt may run from when its pod's creation is sent, in seconds: until then it holds the
/// lock, should nothing more be heard of it.
pub(super) fn longest(deadlines: Deadlines) -> i64 {
    // A creation as late as the pending deadline has that long again by its pod's own deadline.
    by_kubelet(deadlines).saturating_add(deadlines.pending_seconds).saturating_add(CREATION_SECONDS)
}

/// How long a script may run from its start, in seconds, by the kubelet's clock: it took the pod before that,
/// and counts the pod's own deadline from there, which includes the time to start; then the container has
/// its grace period. The runner's clock is earlier, and is not counted on: the script has the runner's user.
fn by_kubelet(deadlines: Deadlines) -> i64 {
    let own = attempt::active_deadline_seconds(deadlines);
    own.saturating_add(attempt::grace_seconds(deadlines)).saturating_add(NODE_MARGIN_SECONDS)
}

/// By then, or when the node of the pod is to be looked at again, where there is one.
pub(super) fn node_looked_at(facts: &Facts<'_>, bound: Timestamp, now: Timestamp) -> Timestamp {
    if facts.node.is_some() { bound.min(after(now, LOOK_AT_NODE_SECONDS)) } else { bound }
}

/// So many seconds later.
pub(super) fn after(time: Timestamp, seconds: i64) -> Timestamp {
    time.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_without_end_are_no_end_of_their_own() {
        let most = Deadlines { pending_seconds: i64::MAX, run_seconds: i64::MAX, grace_seconds: i64::MAX };
        let now = Timestamp::from_second(1_000_000).unwrap();
        assert_eq!((longest(most), by_kubelet(most)), (i64::MAX, i64::MAX));
        assert_eq!(should_end(now, most), Timestamp::MAX);
        assert_eq!(should_end_at_once(now, most), Timestamp::MAX);
        assert_eq!(attempt::active_deadline_seconds(most), i64::MAX);
    }
}
