//! The pods of runs that have ended: when our finalizer comes off them, and when they are removed.

use k8s_openapi::jiff::Timestamp;

use super::{Step, clocks::after};
use crate::{
    api::{DeploymentActionStatus, status::RunStatus},
    operator::{facts::Facts, view::PodView},
};

/// A pod's name stays taken at least this long after the pod was made, in seconds: the API server
/// answers a creation within 60 s or not at all, and while the name is taken no late one can succeed.
const SHORTEST_RETENTION_SECONDS: i64 = 120;

/// Nothing is to be done but to remove pods in their time.
pub(super) fn retire(facts: &Facts<'_>, now: Timestamp, status: &DeploymentActionStatus) -> Step {
    let latest = facts.pod.view().zip(status.run.as_ref()).and_then(|(pod, run)| {
        let (finished, requested) = (run.finished_at.as_ref()?, run.taken_up()?);
        let held = after(requested.0, SHORTEST_RETENTION_SECONDS).max(name_needed_until(pod));
        // With our finalizer on it, it has not ended although its run has: its end brings an event.
        (!pod.finalizer).then(|| (pod, after(finished.0, facts.action.spec.pod_retention_seconds).max(held)))
    });
    let older = facts.older.iter().filter_map(|pod| {
        pod.terminated()?;
        let ended = pod.ended_at().map_or(now, |time| time.0);
        Some((pod, after(ended, facts.action.spec.pod_retention_seconds.max(SHORTEST_RETENTION_SECONDS))))
    });
    let ours = |pod: &PodView| !pod.tombstone && !pod.deleting && pod.owner_uid == facts.action.metadata.uid;
    let ended =
        facts.older.iter().filter(|pod| pod.finalizer && (pod.deleting || pod.terminated().is_some()));
    // What is known of creations is the latest attempt's: of those before, each may have one on its way.
    let latest_too = facts.pod.view().zip(status.run.as_ref());
    let latest_too = latest_too.filter(|(pod, run)| !pod.tombstone && may_be_let_go(run, pod));
    let owned = |pod: &&PodView| pod.owner_uid == facts.action.metadata.uid;
    let held = ended.chain(latest_too.map(|(pod, _)| pod)).filter(owned);
    let free = held.map(|pod| (pod, name_needed_until(pod))).min_by_key(|(_, due)| *due);
    if let Some((pod, due)) = free
        && now >= due
    {
        return Step::release(pod);
    }
    let next = older.chain(latest).filter(|(pod, _)| ours(pod)).min_by_key(|(_, due)| *due);
    match (next, free) {
        (Some((pod, due)), _) if now >= due => Step::delete(pod),
        (Some((_, due)), Some((_, other))) => Step::until(due.min(other), now),
        (Some((_, due)), None) | (None, Some((_, due))) => Step::until(due, now),
        (None, None) => Step::Wait(None),
    }
}

/// Whether nothing more is to be learned of a pod whose run has ended.
fn is_done_with(pod: &PodView) -> bool {
    pod.terminated().is_some() || pod.deleting || !pod.started
}

/// Whether the latest run needs its pod's finalizer no more. While it has its lock yet, nothing else may
/// show that the pod has ended, which the lock waits for.
pub(super) fn may_be_let_go(run: &RunStatus, pod: &PodView) -> bool {
    let awaited = run.finished_at.is_some() && run.held_lock().is_some();
    pod.finalizer && is_done_with(pod) && !awaited
}

/// Until when a creation of the same attempt can still arrive, which only a pod under its name keeps
/// from starting the script again. A pod that is let go can be gone in the next moment.
pub(in crate::operator) fn name_needed_until(pod: &PodView) -> Timestamp {
    pod.created_at.as_ref().map_or(Timestamp::MIN, |time| after(time.0, SHORTEST_RETENTION_SECONDS))
}
