//! A run, its attempts, and its lock.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::Display;

use super::requester::Requester;

/// A run. It executes the script in at most one pod at a time, whatever crashes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunStatus {
    /// The number of the run, from 1.
    pub number: u32,
    /// The id of the run. It holds a part of the action's UID.
    #[schemars(length(max = 63))]
    pub id: String,
    /// The generation of the spec that the run executes.
    pub generation: i64,
    /// The number of the present attempt within the run, from 1.
    pub attempt: u32,
    /// The event that started the run.
    pub trigger: Trigger,
    /// Who asked for the run: the user who wrote the spec, or for a rerun its annotation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_by: Option<Requester>,
    /// The run token at the start of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub run_token: Option<String>,
    /// Hash of what is executed. The operator detects changes by it.
    #[schemars(length(max = 128))]
    pub spec_hash: String,
    /// Hash of all fields that bear on a run, such as resources and deadlines. If a run has failed, a change of
    /// them starts another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub settings_hash: Option<String>,
    /// The number of the earlier run whose packages this run deploys again, with the same digests. The
    /// annotation `longshore.dev/rerun` asked for it, and what is executed has not changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeats: Option<u32>,
    /// SHA-256 of the script, if it comes from a `ConfigMap`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub script_sha256: Option<String>,
    /// SHA-256 of the instructions that the pod was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub bundle_sha256: Option<String>,
    /// The deadlines of the run. They are set when its inputs are frozen, and later changes of the spec do not
    /// move them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadlines: Option<Deadlines>,
    /// The outputs without which the run fails, frozen with the deadlines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 63)), extend("x-kubernetes-list-type" = "atomic"))]
    pub required_outputs: Vec<String>,
    /// The id of the operator's key that the keys for the run's sensitive outputs follow from, if it has such
    /// outputs. It is frozen with the deadlines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub outputs_key: Option<String>,
    /// The pod's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub pod_name: Option<String>,
    /// The only process of the operator that may create the pod of the present attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub launcher: Option<Launcher>,
    /// The pod's UID, once the operator has seen the pod.
    #[serde(default, rename = "podUID", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub pod_uid: Option<String>,
    /// The node of the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub node_name: Option<String>,
    /// The lock that the run waits for or holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<LockStatus>,
    /// The run's place among those that wait for its lock, from 1. It is updated at most every 30 s, and when
    /// the run becomes the next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_position: Option<u32>,
    /// When the operator began the run. The queue deadline counts from here. So does the pending deadline if
    /// the run needs no lock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_at: Option<Time>,
    /// When the operator began the present attempt, if it is not the first. Its pending deadline counts from
    /// here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt_requested_at: Option<Time>,
    /// Hash of all fields that bear on the present attempt, if it is not the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub attempt_settings_hash: Option<String>,
    /// When the next attempt is due, while the run waits for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<Time>,
    /// When the operator saw the request to cancel the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel_requested_at: Option<Time>,
    /// Who asked to cancel the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel_requested_by: Option<Requester>,
    /// When the operator saw that the spec had changed before the script started. The run yields to the next
    /// one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_at: Option<Time>,
    /// When the script's container started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When the verdict was reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// How long the script ran, in seconds, by the runner's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_seconds: Option<i64>,
    /// The script's exit code, or 128 plus the signal's number if a signal ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The attempts of this run that have ended, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 11), extend("x-kubernetes-list-type" = "atomic"))]
    pub attempts: Vec<AttemptStatus>,
}

impl RunStatus {
    /// When its present attempt began. The pending deadline counts from here.
    #[must_use]
    pub fn taken_up(&self) -> Option<&Time> {
        let locked = self.lock.as_ref().and_then(|lock| lock.acquired_at.as_ref());
        self.attempt_requested_at.as_ref().or(locked).or(self.requested_at.as_ref())
    }

    /// Whether this process may create the pod of the present attempt.
    #[must_use]
    pub fn is_launched_by(&self, process: &str) -> bool {
        self.launcher.as_ref().is_some_and(|launcher| launcher.process == process)
    }

    /// Whether only this process can have created the pod of the present attempt.
    #[must_use]
    pub fn is_launched_only_by(&self, process: &str) -> bool {
        let first = |launcher: &Launcher| launcher.process == process && launcher.taken_over_at.is_none();
        self.launcher.as_ref().is_some_and(first)
    }

    /// Whether nobody may create a pod of the present attempt any more.
    #[must_use]
    pub fn is_launched_no_more(&self) -> bool {
        self.finished_at.is_some() || self.next_attempt_at.is_some()
    }

    /// The lock that the run holds. A run that has ended may not have given it back yet.
    #[must_use]
    pub fn held_lock(&self) -> Option<&LockStatus> {
        self.lock.as_ref().filter(|lock| lock.acquired_at.is_some() && lock.released_at.is_none())
    }
}

/// An attempt that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AttemptStatus {
    /// The attempt's number, from 1.
    pub attempt: u32,
    /// The reason of its end.
    #[schemars(length(max = 63))]
    pub reason: String,
    /// The pod's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub pod_name: Option<String>,
    /// The pod's UID, if the operator saw the pod.
    #[serde(default, rename = "podUID", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub pod_uid: Option<String>,
    /// The node that the pod was on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub node_name: Option<String>,
    /// The image that the node reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub image: Option<String>,
    /// When the script's container started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When its verdict was reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// The script's exit code, or 128 plus the signal's number if a signal ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
}

/// The only process of the operator that may create the pod of an attempt. The write that announces the attempt
/// names it. Another process must put itself in its place before it creates that pod.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Launcher {
    /// The operator's pod, and when the process in it started.
    #[schemars(length(max = 320))]
    pub process: String,
    /// When it took the place of another process, which may have created the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_over_at: Option<Time>,
}

impl Launcher {
    /// The process that announces an attempt.
    #[must_use]
    pub fn first(process: &str) -> Self {
        Self { process: process.to_owned(), taken_over_at: None }
    }

    /// A process that takes the place of another one at this time.
    #[must_use]
    pub fn taking_over(process: &str, at: Time) -> Self {
        Self { process: process.to_owned(), taken_over_at: Some(at) }
    }
}

/// The lock of a run. The Lease `longshore-lock-NAME` says which run holds it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LockStatus {
    /// The lock's name.
    #[schemars(length(max = 63))]
    pub name: String,
    /// The run's ticket. The lowest ticket is the next. It is the action's resource version when the run began,
    /// so runs are served in order.
    #[schemars(length(max = 63))]
    pub ticket: String,
    /// When the run got the lock. The pending deadline counts from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acquired_at: Option<Time>,
    /// Set when the run has ended. The lock is held until this time, unless the container is known to have
    /// ended earlier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_until: Option<Time>,
    /// When the run gave the lock back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released_at: Option<Time>,
}

/// How long the parts of a run may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Deadlines {
    /// Until the script starts, in seconds from the run's begin.
    pub pending_seconds: i64,
    /// The script, in seconds from its start.
    pub run_seconds: i64,
    /// The script's clean-up after it was asked to stop, in seconds.
    pub grace_seconds: i64,
}

/// The event that started a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema, Display)]
pub enum Trigger {
    /// The action is new.
    #[default]
    Created,
    /// The spec has changed in what is executed.
    SpecChanged,
    /// `runToken` has changed.
    RunToken,
    /// The annotation `longshore.dev/rerun` has another value.
    Rerun,
}
