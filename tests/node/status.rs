//! A pod's status in a kubelet's words: pure.

use std::{os::unix::process::ExitStatusExt, process::ExitStatus};

use k8s_openapi::{
    api::core::v1::{Container, Pod},
    apimachinery::pkg::apis::meta::v1::Time,
};
use longshore::record::sha256_hex;
use serde_json::{Value, json};

use super::{clock::Clock, cluster::ADDRESS};

/// The one container that is run.
pub(super) const CONTAINER: &str = "action";
/// What the kubelet says of a container that it has lost sight of.
const UNKNOWN: (&str, i32, &str) =
    ("ContainerStatusUnknown", 137, "The container could not be located when the pod was terminated");

/// The container's state.
#[derive(Debug, Clone)]
pub(super) enum State {
    Waiting { reason: &'static str, message: Option<String> },
    Running { since: Time },
    Ended(End),
}

/// How the container ended.
#[derive(Debug, Clone)]
pub(super) struct End {
    pub(super) since: Option<Time>,
    pub(super) at: Option<Time>,
    pub(super) exit_code: i32,
    pub(super) reason: String,
    pub(super) message: String,
}

impl End {
    /// `times` are those of its start and of its end.
    pub(super) fn of(
        status: ExitStatus,
        (since, at): (Time, Time),
        forced: Option<String>,
        message: String,
    ) -> Self {
        let exit_code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
        let plain = if exit_code == 0 { "Completed" } else { "Error" };
        let reason = forced.unwrap_or_else(|| plain.to_owned());
        Self { since: Some(since), at: Some(at), exit_code, reason, message }
    }

    /// The state of an unknown container.
    pub(super) fn unknown() -> Self {
        let (reason, exit_code, message) = UNKNOWN;
        Self { since: None, at: None, exit_code, reason: reason.into(), message: message.into() }
    }
}

/// A node's knowledge of a pod.
#[derive(Debug, Clone)]
pub(super) struct Known {
    clock: Clock,
    pub(super) since: Time,
    pub(super) state: State,
    pub(super) restarts: u32,
    pub(super) last: Option<End>,
    /// Of the pod, where it has ended for another reason than its container.
    pub(super) reason: Option<(&'static str, &'static str)>,
    /// Whether the pod is over, and not only its container.
    pub(super) over: bool,
}

impl Known {
    pub(super) fn new(clock: Clock) -> Self {
        let state = State::Waiting { reason: "ContainerCreating", message: None };
        let since = clock.time();
        Self { clock, since, state, restarts: 0, last: None, reason: None, over: false }
    }

    fn phase(&self) -> &'static str {
        match &self.state {
            State::Waiting { .. } => "Pending",
            State::Ended(end) if self.over => {
                if end.exit_code == 0 && self.reason.is_none() {
                    "Succeeded"
                } else {
                    "Failed"
                }
            }
            State::Running { .. } | State::Ended(_) => "Running",
        }
    }

    /// A patch of the pod's status, for this pod alone.
    pub(super) fn patch(&self, pod: &Pod) -> Value {
        let ready = matches!(self.state, State::Running { .. });
        let begun = !matches!(self.state, State::Waiting { .. });
        let ended = matches!(self.state, State::Ended(_));
        let why_not = match (&self.state, self.phase()) {
            (_, "Succeeded") => Some("PodCompleted"),
            (_, "Failed") => Some("PodFailed"),
            _ if ready => None,
            _ => Some("ContainersNotReady"),
        };
        let at = self.clock.time();
        let condition = |kind: &str, is: bool, reason: Option<&str>| {
            let status = if is { "True" } else { "False" };
            json!({"type": kind, "status": status, "reason": reason, "lastTransitionTime": at})
        };
        // PodScheduled is the scheduler's, and stays.
        let mut conditions = vec![
            condition("PodReadyToStartContainers", begun && !self.over, None),
            condition("Initialized", true, if ended { why_not.filter(|_| self.over) } else { None }),
            condition("Ready", ready, why_not),
            condition("ContainersReady", ready, why_not),
        ];
        if ready {
            // So that a merge removes what was there.
            for condition in &mut conditions {
                condition["message"] = Value::Null;
            }
        }
        let containers: Vec<Value> =
            pod.spec.iter().flat_map(|spec| &spec.containers).map(|one| self.container(pod, one)).collect();
        json!({
            "metadata": {"uid": pod.metadata.uid},
            "status": {
                "phase": self.phase(),
                "reason": self.reason.filter(|_| self.over).map(|(reason, _)| reason),
                "message": self.reason.filter(|_| self.over).map(|(_, message)| message),
                "hostIP": ADDRESS, "hostIPs": [{"ip": ADDRESS}],
                "startTime": self.since, "qosClass": null,
                "conditions": conditions,
                "containerStatuses": containers,
            },
        })
    }

    fn container(&self, pod: &Pod, container: &Container) -> Value {
        let (name, image) = (&container.name, container.image.clone().unwrap_or_default());
        if *name != CONTAINER {
            let message = "the fake node runs no other container";
            return json!({
                "name": name, "image": image, "imageID": "", "ready": false, "started": false, "restartCount": 0,
                "state": {"waiting": {"reason": "CreateContainerError", "message": message}},
            });
        }
        let ready = matches!(self.state, State::Running { .. });
        let id = |restarts: u32| {
            let of = format!("{}/{name}/{restarts}", pod.metadata.uid.as_deref().unwrap_or_default());
            format!("containerd://{}", sha256_hex(of.as_bytes()))
        };
        let ended = |end: &End, id: Option<String>| {
            json!({"terminated": {
                "exitCode": end.exit_code, "reason": end.reason, "message": end.message,
                "startedAt": end.since, "finishedAt": end.at, "containerID": id,
            }})
        };
        let (state, own_id) = match &self.state {
            State::Waiting { reason, message } => {
                (json!({"waiting": {"reason": reason, "message": message}}), None)
            }
            State::Running { since } => (json!({"running": {"startedAt": since}}), Some(id(self.restarts))),
            State::Ended(end) => {
                let own_id = end.since.as_ref().map(|_| id(self.restarts));
                (ended(end, own_id.clone()), own_id)
            }
        };
        let last = self.last.as_ref().map(|end| ended(end, self.restarts.checked_sub(1).map(id)));
        json!({
            "name": name, "image": image,
            "imageID": if own_id.is_some() { image_id(&image).unwrap_or_default() } else { String::new() },
            "containerID": own_id,
            "ready": ready, "started": ready, "restartCount": self.restarts,
            "state": state, "lastState": last.unwrap_or_else(|| json!({})),
        })
    }
}

/// The image as containerd reports it, where it is named by digest: without a tag.
pub(super) fn image_id(image: &str) -> Option<String> {
    let (name, digest) = image.split_once('@')?;
    let folder = name.rfind('/').map_or(0, |slash| slash + 1);
    let end = name[folder..].find(':').map_or(name.len(), |colon| folder + colon);
    Some(format!("{}@{digest}", &name[..end]))
}
