//! The steps that `decide` answers with.

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use crate::{
    api::DeploymentActionStatus,
    operator::{
        lifecycle::facts::Facts,
        pod::{attempt::Attempt, view::PodView},
    },
};

/// One thing to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Resolve the image of the spec, its packages, and its script if that is in a `ConfigMap`.
    Resolve {
        /// The run in the history whose packages are deployed again, if any.
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
    /// Replace the status, unless somebody else has changed the action meanwhile.
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
    /// Start to read the pod's log.
    Follow {
        /// The pod's name.
        name: String,
        /// Its UID.
        uid: String,
    },
    /// Write onto this very pod why its script should stop, for the script to read.
    Stop {
        /// The pod's name.
        name: String,
        /// Its UID.
        uid: String,
        /// The text that the script reads.
        reason: String,
    },
    /// Open the box with the sensitive outputs that the log of this pod holds, and create their Secret.
    KeepOutputs {
        /// The pod's UID.
        pod_uid: String,
    },
    /// Hand over the record of this attempt, to be stored with the log of this pod.
    StoreLog {
        /// The pod's name.
        name: String,
        /// Its UID.
        uid: String,
        /// The run.
        run: u32,
        /// The attempt.
        attempt: u32,
        /// Whether the pod may have a log.
        has_log: bool,
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
    /// Ask the API server which run has this lock, for this run.
    LookAtLock {
        /// The lock.
        lock: String,
        /// The run's id.
        run: String,
    },
    /// Take this lock for this run, if the Lease is still as the look found it.
    TakeLock {
        /// The lock.
        lock: String,
        /// The run's id.
        run: String,
    },
    /// Record the pod of the current attempt on the lock's Lease, if the run still has the lock.
    MarkLock {
        /// The lock.
        lock: String,
        /// The run's id.
        run: String,
        /// The pod's name.
        pod: String,
        /// Its UID, once the pod exists.
        uid: Option<String>,
        /// Longest time that the attempt may run from now on, in seconds.
        seconds: i64,
    },
    /// Release this lock, if this run has it.
    ReleaseLock {
        /// The lock.
        lock: String,
        /// The run's id.
        run: String,
    },
    /// Delete the action, unless somebody has changed it meanwhile.
    DeleteAction,
    /// Do nothing until something changes or the time is over.
    Wait(Option<SignedDuration>),
}

impl Step {
    /// The step's name, without what it carries.
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
            Self::KeepOutputs { .. } => "KeepOutputs",
            Self::StoreLog { .. } => "StoreLog",
            Self::Delete { .. } => "Delete",
            Self::Release { .. } => "Release",
            Self::LookAtLock { .. } => "LookAtLock",
            Self::TakeLock { .. } => "TakeLock",
            Self::MarkLock { .. } => "MarkLock",
            Self::ReleaseLock { .. } => "ReleaseLock",
            Self::DeleteAction => "DeleteAction",
            Self::Wait(_) => "Wait",
        }
    }

    pub(super) fn delete(pod: &PodView) -> Self {
        Self::Delete { name: pod.name.clone(), uid: pod.uid.clone() }
    }

    pub(super) fn expire(pod: &PodView) -> Self {
        Self::Expire { name: pod.name.clone(), uid: pod.uid.clone() }
    }

    pub(super) fn release(pod: &PodView) -> Self {
        Self::Release { name: pod.name.clone(), uid: pod.uid.clone() }
    }

    pub(super) fn store_log(pod: &PodView, (run, attempt): (u32, u32)) -> Self {
        Self::StoreLog {
            name: pod.name.clone(),
            uid: pod.uid.clone(),
            run,
            attempt,
            has_log: pod.started || pod.terminated().is_some() || pod.stillborn.is_some(),
        }
    }

    pub(super) fn follow(pod: &PodView) -> Self {
        Self::Follow { name: pod.name.clone(), uid: pod.uid.clone() }
    }

    /// Waits until `then`, but at least a moment.
    pub(super) fn until(then: Timestamp, now: Timestamp) -> Self {
        let shortest = SignedDuration::from_millis(20);
        Self::Wait(Some(then.duration_since(now).max(shortest)))
    }

    /// The same step. If it is to wait, it waits no longer than until `then`.
    pub(super) fn not_beyond(self, then: Option<Timestamp>, now: Timestamp) -> Self {
        match (self, then.map(|then| Self::until(then, now))) {
            (Self::Wait(None), Some(wait)) => wait,
            (Self::Wait(Some(this)), Some(Self::Wait(Some(that)))) => Self::Wait(Some(this.min(that))),
            (step, _) => step,
        }
    }
}

/// Writes the status if it differs, or else does `next`.
pub(super) fn write_or(
    facts: &Facts<'_>,
    wanted: DeploymentActionStatus,
    next: impl FnOnce() -> Step,
) -> Step {
    if facts.action.status.as_ref() == Some(&wanted) { next() } else { Step::WriteStatus(Box::new(wanted)) }
}
