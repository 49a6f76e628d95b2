//! An action that is being deleted.

use std::ops::ControlFlow;

use k8s_openapi::jiff::Timestamp;

use super::{
    lock,
    retire::{name_needed_until, older_name_needed_until},
    step::Step,
    store,
};
use crate::operator::lifecycle::facts::Facts;

/// `metav1.FinalizerOrphanDependents`: the person who deletes the action wants its pod to stay.
const ORPHAN: &str = "orphan";

/// An action that is being deleted creates nothing. Its pod goes with it, unless it is orphaned.
pub(super) fn leave(facts: &Facts<'_>, now: Timestamp) -> Step {
    let owner = facts.action.metadata.uid.as_deref();
    let orphaned = facts.action.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == ORPHAN);
    let run = facts.action.status.as_ref().and_then(|status| status.run.as_ref());
    let going = facts.pod.view().is_some_and(|pod| {
        pod.owner_uid.as_deref() == owner
            && !pod.deleting
            && !orphaned
            && !pod.tombstone
            && !pod.runs_no_more()
    });
    if let Some(run) = run.filter(|_| !going)
        && let ControlFlow::Break(step) = lock::leave(facts, now, run, orphaned)
    {
        return step;
    }
    // A late creation must not find the name free.
    let latest = |pod| (pod, run.map_or(now, |run| name_needed_until(facts, run, pod, now)));
    // Also pods of earlier runs and attempts, while our finalizer is on them.
    let held = facts.older.iter().filter(|pod| pod.finalizer);
    let held = held.map(|pod| (pod, older_name_needed_until(facts, run, pod)));
    let ours = facts.pod.view().map(latest).into_iter().chain(held);
    let mut ours = ours.filter(|(pod, _)| pod.owner_uid.as_deref() == owner);
    ours.find_map(|(pod, needed)| match pod {
        _ if !pod.deleting && !orphaned && !pod.tombstone => Some(Step::delete(pod)),
        _ if pod.finalizer && now < needed => Some(Step::until(needed, now)),
        _ if pod.finalizer
            && let Some(step) = store::leave(facts, now, pod) =>
        {
            Some(step)
        }
        _ if pod.finalizer => Some(Step::release(pod)),
        _ => None,
    })
    .unwrap_or(Step::Wait(None))
}
