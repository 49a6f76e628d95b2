//! Pods of runs that have ended: when our finalizer is taken off, and when they are deleted.

use k8s_openapi::jiff::Timestamp;

use super::{clocks::after, step::Step, store};
use crate::{
    api::{DeploymentActionStatus, status::RunStatus},
    operator::{lifecycle::facts::Facts, pod::view::PodView},
};

/// How long a creation can still arrive once nothing sends another one, in seconds. The API server answers
/// within 60 s or not at all. While the pod's name is taken, the creation fails.
pub const NAME_NEEDED_SECONDS: i64 = 120;

/// Nothing is left to do, apart from removing pods in time.
pub(super) fn retire(facts: &Facts<'_>, now: Timestamp, status: &DeploymentActionStatus) -> Step {
    let retention = facts.action.spec.pod_retention_seconds;
    let run = status.run.as_ref();
    let latest = facts.pod.view().zip(run).and_then(|(pod, run)| {
        let finished = run.finished_at.as_ref()?;
        let held = after(run.taken_up()?.0, NAME_NEEDED_SECONDS).max(created_long_ago(pod));
        let held = held.max(name_needed_until(facts, run, pod, now));
        // While our finalizer is on it, it has not ended although its run has. Its end causes a look.
        (!pod.finalizer).then(|| (pod, after(finished.0, retention).max(held)))
    });
    let older_needed = |pod| older_name_needed_until(facts, run, pod);
    let older = facts.older.iter().filter_map(|pod| {
        pod.terminated()?;
        let ended = pod.ended_at().map_or(now, |time| time.0);
        Some((pod, after(ended, retention.max(NAME_NEEDED_SECONDS)).max(older_needed(pod))))
    });
    let ours = |pod: &PodView| !pod.tombstone && !pod.deleting && pod.owner_uid == facts.action.metadata.uid;
    let ended =
        facts.older.iter().filter(|pod| pod.finalizer && (pod.deleting || pod.terminated().is_some()));
    let ended = ended.map(|pod| (pod, older_needed(pod)));
    let latest_too = facts.pod.view().zip(run);
    let latest_too = latest_too.filter(|(pod, run)| !pod.tombstone && may_be_let_go(run, pod));
    let latest_too = latest_too.map(|(pod, run)| (pod, name_needed_until(facts, run, pod, now)));
    let owned = |(pod, _): &(&PodView, _)| pod.owner_uid == facts.action.metadata.uid;
    let ready = |(pod, _): &(&PodView, _)| !store::holds(facts, pod, now);
    let free = ended.chain(latest_too).filter(owned).filter(ready).min_by_key(|(_, due)| *due);
    let stored = facts.older.iter().filter(|pod| pod.finalizer && pod.terminated().is_some());
    let mut stored = stored.filter(|pod| pod.owner_uid == facts.action.metadata.uid);
    if let Some(step) = stored.find_map(|pod| store::settle_older(facts, now, status, pod)) {
        return step;
    }
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

/// Whether nothing more can be learned from a pod whose run has ended.
fn is_done_with(pod: &PodView) -> bool {
    pod.terminated().is_some() || pod.deleting || !pod.started
}

/// Whether the latest run no longer needs its pod's finalizer. It does while it has its lock: perhaps nothing
/// else shows that the pod has ended, and the lock waits for that.
pub(super) fn may_be_let_go(run: &RunStatus, pod: &PodView) -> bool {
    let awaited = run.finished_at.is_some() && run.held_lock().is_some();
    pod.finalizer && is_done_with(pod) && !awaited
}

/// Until when a creation of the latest attempt can still arrive. Only a pod under its name keeps the creation
/// from starting the script again. A released pod can be gone the next moment.
pub(super) fn name_needed_until(
    facts: &Facts<'_>,
    run: &RunStatus,
    pod: &PodView,
    now: Timestamp,
) -> Timestamp {
    if !facts.creation.unanswered {
        return Timestamp::MIN;
    }
    let launcher = run.launcher.as_ref().filter(|launcher| launcher.process == facts.process);
    // Another process may have sent a creation until this one took the attempt over, or until the attempt was
    // over.
    let others = match launcher {
        Some(launcher) => launcher.taken_over_at.as_ref().map_or(Timestamp::MIN, |time| time.0),
        None => over_since(facts, run).unwrap_or(now),
    };
    after(others, NAME_NEEDED_SECONDS).max(created_long_ago(pod))
}

/// The same for an earlier attempt. All of its creations were sent before the latest one was announced.
pub(super) fn older_name_needed_until(
    facts: &Facts<'_>,
    run: Option<&RunStatus>,
    pod: &PodView,
) -> Timestamp {
    if pod.settled {
        return Timestamp::MIN;
    }
    // If the status of an action that is being deleted was emptied, no creation was sent after the deletion.
    let deleted = facts.action.metadata.deletion_timestamp.as_ref();
    let announced = run.and_then(RunStatus::taken_up).or(deleted).map(|time| time.0);
    let others = announced.map_or(Timestamp::MIN, |time| after(time, NAME_NEEDED_SECONDS));
    others.max(created_long_ago(pod))
}

/// Since when no process may create a pod of the latest attempt.
fn over_since(facts: &Facts<'_>, run: &RunStatus) -> Option<Timestamp> {
    let waits = run.next_attempt_at.is_some();
    let ended = run.attempts.last().filter(|_| waits).and_then(|attempt| attempt.finished_at.as_ref());
    let deleted = facts.action.metadata.deletion_timestamp.as_ref();
    [run.finished_at.as_ref(), ended, deleted].into_iter().flatten().map(|time| time.0).min()
}

/// When this process's own creation without an answer has arrived or failed. The process sends none once it
/// has seen the pod.
fn created_long_ago(pod: &PodView) -> Timestamp {
    pod.created_at.as_ref().map_or(Timestamp::MIN, |time| after(time.0, NAME_NEEDED_SECONDS))
}
