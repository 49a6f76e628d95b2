//! When something must have happened, or can no longer happen. Times are injected, and durations are in
//! seconds.

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use crate::{
    api::status::{Deadlines, RunStatus},
    operator::{
        lifecycle::facts::Facts,
        pod::{attempt, view::NODE_MARGIN_SECONDS},
    },
};

/// How long a creation may be on its way, in seconds. After that the API server has answered it or given it
/// up.
const CREATION_SECONDS: i64 = 60;

/// How often to look whether a node is out of service, in seconds. No event reports that.
const LOOK_AT_NODE_SECONDS: i64 = 30;

/// The deadlines that bind the run: those that were frozen with it. A run without frozen deadlines has those
/// of the spec as it is now. Nothing of it is frozen yet, or an older operator did not record them.
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

/// When the script must have started.
pub(super) fn pending_deadline(facts: &Facts<'_>, run: &RunStatus, now: Timestamp) -> Timestamp {
    after(taken_up(run, now), deadlines(facts, run).pending_seconds)
}

/// When the kubelet's clocks have ended the present attempt. This holds whatever became of its node, and
/// whatever its script did to the runner.
pub(super) fn runs_until(facts: &Facts<'_>, run: &RunStatus, now: Timestamp) -> Timestamp {
    let deadlines = deadlines(facts, run);
    let most = by_kubelet(deadlines);
    match &run.started_at {
        Some(started) => after(started.0, most),
        // The kubelet counts from when it took the pod, which may be as late as the pending deadline.
        None => after(taken_up(run, now), most.saturating_add(deadlines.pending_seconds)),
    }
}

/// When a script that started at `started` should have ended, by its runner's clock. If it still runs, it has
/// stopped that clock, or its node does not report.
pub(super) fn should_end(started: Timestamp, deadlines: Deadlines) -> Timestamp {
    let Deadlines { run_seconds, grace_seconds, .. } = deadlines;
    after(started, run_seconds.saturating_add(grace_seconds).saturating_add(NODE_MARGIN_SECONDS))
}

/// When a script should have ended that was asked to end at `asked`, by its pod's own deadline.
pub(super) fn should_end_at_once(asked: Timestamp, deadlines: Deadlines) -> Timestamp {
    after(asked, attempt::grace_seconds(deadlines).saturating_add(NODE_MARGIN_SECONDS))
}

/// When the script started, by the operator's clock. The node's clock may be wrong by hours. So the node's
/// time counts only between the start of the attempt and now.
pub(super) fn started(said: Timestamp, run: &RunStatus, now: Timestamp) -> Timestamp {
    // `clamp` would panic if the operator's clock was set back.
    said.min(now).max(taken_up(run, now).min(now))
}

/// Longest time of an attempt from when its pod's creation is sent, in seconds. If nothing more is heard of
/// the attempt, it holds the lock that long.
pub(super) fn longest(deadlines: Deadlines) -> i64 {
    // The creation may be as late as the pending deadline. The pod then still has all of its own deadline.
    by_kubelet(deadlines).saturating_add(deadlines.pending_seconds).saturating_add(CREATION_SECONDS)
}

/// Longest time of a script from its start, in seconds, by the kubelet's clock. The kubelet took the pod
/// before the start. From then it counts the pod's own deadline, which includes the time to start. After that
/// the container has its grace period. The runner's clock ends earlier, but the script has the runner's user
/// and can stop it.
fn by_kubelet(deadlines: Deadlines) -> i64 {
    let own = attempt::active_deadline_seconds(deadlines);
    own.saturating_add(attempt::grace_seconds(deadlines)).saturating_add(NODE_MARGIN_SECONDS)
}

/// `bound`, or earlier if the pod's node should be looked at before that.
pub(super) fn node_looked_at(facts: &Facts<'_>, bound: Timestamp, now: Timestamp) -> Timestamp {
    if facts.node.is_some() { bound.min(after(now, LOOK_AT_NODE_SECONDS)) } else { bound }
}

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
