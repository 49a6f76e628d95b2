//! A run, its attempts, and what it holds while it is under way.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::Display;

/// A run: at most one pod that executes the script, whatever crashes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunStatus {
    /// Counts the runs of this action, from 1.
    pub number: u32,
    /// Names the run; it holds a part of the action's UID.
    #[schemars(length(max = 63))]
    pub id: String,
    /// The generation of the spec that it executes.
    pub generation: i64,
    /// Counts the attempts within the run, from 1.
    pub attempt: u32,
    /// What started it.
    pub trigger: Trigger,
    /// The run token that it was started with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub run_token: Option<String>,
    /// Hash of what is executed, by which a change is told from none.
    #[schemars(length(max = 128))]
    pub spec_hash: String,
    /// Hash of all fields that bear on a run, such as resources and deadlines. Once a run has failed, a change
    /// of them starts another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub settings_hash: Option<String>,
    /// The number of the earlier run whose packages it deploys again, digest by digest: it was asked for
    /// by the annotation `longshore.dev/rerun`, and what is executed has not changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeats: Option<u32>,
    /// SHA-256 of the script, where it comes from a `ConfigMap`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub script_sha256: Option<String>,
    /// SHA-256 of what the pod was given to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub bundle_sha256: Option<String>,
    /// The deadlines that bind the run, whatever the spec says by now; set once its inputs are frozen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadlines: Option<Deadlines>,
    /// Outputs without which the run has failed, frozen with the deadlines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 63)), extend("x-kubernetes-list-type" = "atomic"))]
    pub required_outputs: Vec<String>,
    /// The pod's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub pod_name: Option<String>,
    /// Who alone may ask for the pod of the present attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub launcher: Option<Launcher>,
    /// The pod's UID, once the pod was seen.
    #[serde(default, rename = "podUID", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub pod_uid: Option<String>,
    /// The node of the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub node_name: Option<String>,
    /// The lock that the run waits for or has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<LockStatus>,
    /// The run's place among those that wait for its lock, from 1, while it waits; told anew every 30 s
    /// at most, and when the run is the next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_position: Option<u32>,
    /// When the operator took the run up; the queue deadline counts from here, and the pending deadline
    /// where the run needs no lock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_at: Option<Time>,
    /// When the present attempt was taken up, where it is not the first; its pending deadline counts
    /// from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt_requested_at: Option<Time>,
    /// The hash of all that bears on the present attempt, where it is not the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub attempt_settings_hash: Option<String>,
    /// When the next attempt is due, while the run waits for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<Time>,
    /// When the operator saw that the run is to be cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel_requested_at: Option<Time>,
    /// When the operator saw that the spec had changed before the script started: the run yields to the next
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
    /// The script's exit code; 128 and the signal's number where a signal ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The attempts of this run that have ended, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 11), extend("x-kubernetes-list-type" = "atomic"))]
    pub attempts: Vec<AttemptStatus>,
}

impl RunStatus {
    /// Since when its present attempt is under way; the pending deadline counts from here.
    #[must_use]
    pub fn taken_up(&self) -> Option<&Time> {
        let locked = self.lock.as_ref().and_then(|lock| lock.acquired_at.as_ref());
        self.attempt_requested_at.as_ref().or(locked).or(self.requested_at.as_ref())
    }

    /// Whether this process of the operator may ask for the pod of the present attempt.
    #[must_use]
    pub fn is_launched_by(&self, process: &str) -> bool {
        self.launcher.as_ref().is_some_and(|launcher| launcher.process == process)
    }

    /// Whether nobody but this process can have asked for the pod of the present attempt.
    #[must_use]
    pub fn is_launched_only_by(&self, process: &str) -> bool {
        let first = |launcher: &Launcher| launcher.process == process && launcher.taken_over_at.is_none();
        self.launcher.as_ref().is_some_and(first)
    }

    /// Whether no pod of the present attempt may be asked for any more.
    #[must_use]
    pub fn is_launched_no_more(&self) -> bool {
        self.finished_at.is_some() || self.next_attempt_at.is_some()
    }

    /// The lock that the run has, or had when it ended and has not given back.
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
    /// Why it ended as it did.
    #[schemars(length(max = 63))]
    pub reason: String,
    /// The pod's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub pod_name: Option<String>,
    /// The pod's UID, where the pod was seen.
    #[serde(default, rename = "podUID", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub pod_uid: Option<String>,
    /// The node that the pod was on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub node_name: Option<String>,
    /// What the node reports that it ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub image: Option<String>,
    /// When the script's container started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When its verdict was reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// The script's exit code; 128 and the signal's number where a signal ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
}

/// A process of the operator that may ask for the pod of an attempt. It is put down in the write that
/// announces the attempt, and another process puts itself in its place before it asks for that pod.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Launcher {
    /// The operator's pod, and when the process in it began.
    #[schemars(length(max = 320))]
    pub process: String,
    /// When it took the place of another process, which may have asked for the pod before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_over_at: Option<Time>,
}

impl Launcher {
    /// The process that announces an attempt.
    #[must_use]
    pub fn first(process: &str) -> Self {
        Self { process: process.to_owned(), taken_over_at: None }
    }

    /// One that takes the place of another process at this time.
    #[must_use]
    pub fn taking_over(process: &str, at: Time) -> Self {
        Self { process: process.to_owned(), taken_over_at: Some(at) }
    }
}

/// The lock of a run: who has it is in the Lease `longshore-lock-NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LockStatus {
    /// Its name.
    #[schemars(length(max = 63))]
    pub name: String,
    /// The run's ticket: among those that wait, the lowest is the next. It is the action's resource
    /// version when the run was taken up, so that who asked first is first.
    #[schemars(length(max = 63))]
    pub ticket: String,
    /// When the run had it; the pending deadline counts from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acquired_at: Option<Time>,
    /// Once the run has ended: until when the lock is held at the latest, where nothing shows that the
    /// container has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_until: Option<Time>,
    /// When it was given back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released_at: Option<Time>,
}

/// How long the parts of a run may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Deadlines {
    /// Until the script starts, in seconds from when the run was taken up.
    pub pending_seconds: i64,
    /// The script, in seconds from its start.
    pub run_seconds: i64,
    /// The script's clean-up once it was asked to stop, in seconds.
    pub grace_seconds: i64,
}

/// What started a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema, Display)]
pub enum Trigger {
    /// The action is new.
    #[default]
    Created,
    /// What is executed has changed.
    SpecChanged,
    /// `runToken` has changed.
    RunToken,
    /// The annotation `longshore.dev/rerun` has another text.
    Rerun,
}
