//! What to do next: a pure function of facts and time, in which everything hard is decided.
//!
//! It answers with one [`Step`]. Whoever carries the step out learns new facts and asks again, until
//! the answer is to wait. A status that should differ is a step of its own and comes before the step
//! that it announces: a crash between the two leaves the announcement, never the deed alone.
//!
//! [`idle`] is an action without a run under way, [`begin`] one whose run has nothing frozen yet,
//! [`launching`] one whose run has and is without a pod, [`under_way`] one whose run has a pod, [`cancel`]
//! one whose run somebody cancels, [`retry`] one whose run waits for its next attempt, [`lock`] one that
//! needs or has a lock, [`superseded`] one whose run yields to a changed spec, [`rebuilt`] one whose status was
//! lost, [`rest`] one of which nothing is asked.

mod begin;
mod cancel;
mod clocks;
mod idle;
mod launching;
mod lock;
mod rebuilt;
mod rest;
mod retire;
mod retry;
mod superseded;
#[cfg(test)]
mod tests;
mod under_way;

use std::ops::ControlFlow;

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use self::retire::{name_needed_until, older_name_needed_until};
pub use self::{rest::stand_in, retire::NAME_NEEDED_SECONDS};
use super::facts::Facts;
use crate::{
    api::{DeploymentAction, DeploymentActionStatus, condition::ConditionType, status::RunStatus},
    operator::pod::{attempt::Attempt, view::PodView},
};

/// One thing to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Resolve the image of the spec, its packages, and its script where that is in a `ConfigMap`.
    Resolve {
        /// The run whose packages are deployed again, of those that the status has.
        repeats: Option<u32>,
    },
    /// Create the pod that resolves the image of this run.
    CreateResolver {
        /// The run.
        run: u32,
    },
    /// Delete this very pod, which resolved an image.
    DeleteResolver {
        /// The pod's name.
        name: String,
        /// Its UID.
        uid: String,
    },
    /// End every container of this very pod: what has outlived the script, or the script itself.
    Expire {
        /// The pod's name.
        name: String,
        /// Its UID.
        uid: String,
    },
    /// Replace the status, if nobody else has changed the action meanwhile.
    WriteStatus(Box<DeploymentActionStatus>),
    /// Ask the API server for the pod of the current attempt.
    Look,
    /// Ask the API server for all pods of the action.
    LookForPods,
    /// Create the pod of the current attempt, if a live read of the action allows it.
    Launch(Box<Attempt>),
    /// Create a tombstone under the name of the current attempt's pod.
    Entomb {
        /// The run.
        run: u32,
        /// The attempt.
        attempt: u32,
    },
    /// Read the pod's log from now on.
    Follow {
        /// The pod's name.
        name: String,
        /// Its UID.
        uid: String,
    },
    /// Put down on this very pod why its script is to stop, for the script to read.
    Stop {
        /// The pod's name.
        name: String,
        /// Its UID.
        uid: String,
        /// What the script reads.
        reason: String,
    },
    /// Delete this very pod.
    Delete {
        /// The pod's name.
        name: String,
        /// Its UID.
        uid: String,
    },
    /// Take our finalizer off this very pod.
    Release {
        /// The pod's name.
        name: String,
        /// Its UID.
        uid: String,
    },
    /// Ask the API server who has this lock, for this run.
    LookAtLock {
        /// The lock.
        lock: String,
        /// The run's id.
        run: String,
    },
    /// Take this lock for this run, in place of what the look has found.
    TakeLock {
        /// The lock.
        lock: String,
        /// The run's id.
        run: String,
    },
    /// Put the pod of the current attempt down on the lock, if the run still has it.
    MarkLock {
        /// The lock.
        lock: String,
        /// The run's id.
        run: String,
        /// The pod's name.
        pod: String,
        /// Its UID, once it is there.
        uid: Option<String>,
        /// How long the attempt may run from now on at the most.
        seconds: i64,
    },
    /// Give this lock back, if this run has it.
    ReleaseLock {
        /// The lock.
        lock: String,
        /// The run's id.
        run: String,
    },
    /// Delete the action, if nobody has changed it meanwhile.
    Remove,
    /// Nothing, until something changes or the time is over.
    Wait(Option<SignedDuration>),
}

impl Step {
    /// Its name alone, without what it carries.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Resolve { .. } => "Resolve",
            Self::CreateResolver { .. } => "CreateResolver",
            Self::DeleteResolver { .. } => "DeleteResolver",
            Self::Expire { .. } => "Expire",
            Self::WriteStatus(_) => "WriteStatus",
            Self::Look => "Look",
            Self::LookForPods => "LookForPods",
            Self::Launch(_) => "Launch",
            Self::Entomb { .. } => "Entomb",
            Self::Follow { .. } => "Follow",
            Self::Stop { .. } => "Stop",
            Self::Delete { .. } => "Delete",
            Self::Release { .. } => "Release",
            Self::LookAtLock { .. } => "LookAtLock",
            Self::TakeLock { .. } => "TakeLock",
            Self::MarkLock { .. } => "MarkLock",
            Self::ReleaseLock { .. } => "ReleaseLock",
            Self::Remove => "Remove",
            Self::Wait(_) => "Wait",
        }
    }

    fn delete(pod: &PodView) -> Self {
        Self::Delete { name: pod.name.clone(), uid: pod.uid.clone() }
    }

    fn expire(pod: &PodView) -> Self {
        Self::Expire { name: pod.name.clone(), uid: pod.uid.clone() }
    }

    fn release(pod: &PodView) -> Self {
        Self::Release { name: pod.name.clone(), uid: pod.uid.clone() }
    }

    fn follow(pod: &PodView) -> Self {
        Self::Follow { name: pod.name.clone(), uid: pod.uid.clone() }
    }

    /// Waits until `then`, a moment at least.
    fn until(then: Timestamp, now: Timestamp) -> Self {
        let shortest = SignedDuration::from_millis(20);
        Self::Wait(Some(then.duration_since(now).max(shortest)))
    }

    /// The same, and where it is to wait, not beyond `then`.
    fn not_beyond(self, then: Option<Timestamp>, now: Timestamp) -> Self {
        match (self, then.map(|then| Self::until(then, now))) {
            (Self::Wait(None), Some(wait)) => wait,
            (Self::Wait(Some(this)), Some(Self::Wait(Some(that)))) => Self::Wait(Some(this.min(that))),
            (step, _) => step,
        }
    }
}

/// What to do next about an action.
#[must_use]
pub fn decide(facts: &Facts<'_>, now: Timestamp) -> Step {
    if facts.action.metadata.deletion_timestamp.is_some() {
        return leave(facts, now);
    }
    let status = facts.action.status.clone().unwrap_or_default();
    if let Some(step) = resolved(facts, &status) {
        return step;
    }
    match &status.run {
        Some(run) if !is_over(&status, run) => {
            let active = under_way::Active::new(facts, now, &status, run);
            let told = run.attempts.iter().any(|of| of.attempt >= run.attempt);
            match &run.next_attempt_at {
                Some(_) => active.wait_for_next(),
                None if told => active.edited(),
                None => active.step(),
            }
        }
        Some(_) => idle::step(facts, now, &status),
        None => rebuilt::step(facts, now).unwrap_or_else(|| idle::step(facts, now, &status)),
    }
}

/// Whether it matters what the spec of an action comes to: not of one at rest, whose latest run has ended and
/// is not followed by another one. Of a run that an operator froze that recorded no deadlines, those of the
/// spec count yet.
#[must_use]
pub fn needs_spec(action: &DeploymentAction) -> bool {
    let Some(status) = &action.status else { return true };
    let Some(run) = status.run.as_ref().filter(|run| is_over(status, run)) else { return true };
    let recorded = run.deadlines.is_some() || run.bundle_sha256.is_none();
    !recorded || idle::may_start(action, status)
}

/// Whether the run has ended. While the next one is held back, the conditions do not say so; where
/// somebody has edited the status, the history still does.
fn is_over(status: &DeploymentActionStatus, run: &RunStatus) -> bool {
    run.finished_at.is_some()
        || status.conditions().is_true(ConditionType::Finished)
        || status.history.iter().any(|past| past.number >= run.number)
}

/// The pod that resolved an image has done its work once the run has its own pod, or has ended.
fn resolved(facts: &Facts<'_>, status: &DeploymentActionStatus) -> Option<Step> {
    let pod = &facts.resolver.as_ref()?.pod;
    let launched = status.run.as_ref().is_some_and(|run| run.pod_uid.is_some()) || facts.pod.view().is_some();
    let over = launched || status.run.as_ref().is_some_and(|run| is_over(status, run));
    let ours = pod.owner_uid == facts.action.metadata.uid && !pod.deleting;
    (over && ours).then(|| Step::DeleteResolver { name: pod.name.clone(), uid: pod.uid.clone() })
}

/// `metav1.FinalizerOrphanDependents`: whoever deletes the action wants its pod to stay.
const ORPHAN: &str = "orphan";

/// An action that is being deleted creates nothing; its pod goes with it, unless it is orphaned.
fn leave(facts: &Facts<'_>, now: Timestamp) -> Step {
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
    // A creation that comes late must not find the name free.
    let latest = |pod| (pod, run.map_or(now, |run| name_needed_until(facts, run, pod, now)));
    // Those of earlier runs and attempts too, as long as our finalizer holds them.
    let held = facts.older.iter().filter(|pod| pod.finalizer);
    let held = held.map(|pod| (pod, older_name_needed_until(facts, run, pod)));
    let ours = facts.pod.view().map(latest).into_iter().chain(held);
    let mut ours = ours.filter(|(pod, _)| pod.owner_uid.as_deref() == owner);
    ours.find_map(|(pod, needed)| match pod {
        _ if !pod.deleting && !orphaned && !pod.tombstone => Some(Step::delete(pod)),
        _ if pod.finalizer && now < needed => Some(Step::until(needed, now)),
        _ if pod.finalizer => Some(Step::release(pod)),
        _ => None,
    })
    .unwrap_or(Step::Wait(None))
}

/// Writes the status where it differs, else does `next`.
fn write_or(facts: &Facts<'_>, wanted: DeploymentActionStatus, next: impl FnOnce() -> Step) -> Step {
    if facts.action.status.as_ref() == Some(&wanted) { next() } else { Step::WriteStatus(Box::new(wanted)) }
}
