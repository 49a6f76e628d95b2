//! A pod as the lifecycle sees it: what matters, parsed once.

use k8s_openapi::{
    api::core::v1::{ContainerState, ContainerStateTerminated, ContainerStatus, Pod, PodSpec, PodStatus},
    apimachinery::pkg::apis::meta::v1::Time,
    jiff::{SignedDuration, Timestamp},
};
use kube::ResourceExt;

use super::packages::FETCHER;
use crate::{
    api::{
        ANNOTATION_STOP_REQUESTED_AT, CONTAINER, FINALIZER_COLLECT, LABEL_ATTEMPT, LABEL_LOCK, LABEL_RUN,
        LABEL_TOMBSTONE,
    },
    record::{
        fetch::Failure,
        outcome::{MAX_MESSAGE_BYTES, Termination, truncate},
        place,
    },
};

/// The longest image id that the operator accepts, in bytes.
const MAX_IMAGE_ID: usize = 1024;

/// The `activeDeadlineSeconds` of a pod that should end now. Kubernetes does not allow 0.
pub const AT_ONCE_SECONDS: i64 = 1;

/// How long a node may take beyond all deadlines before it counts as lost, in seconds.
pub const NODE_MARGIN_SECONDS: i64 = 60;

/// The longest time of a pod by its own deadline, in seconds, for a pod whose deadline is not known any more.
/// It is the sum of the largest pending deadline and the largest run deadline.
const LONGEST_SECONDS: i64 = 86_400 + 604_800;

/// What matters about a pod.
#[derive(Debug, Clone, PartialEq, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct PodView {
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// When the API server created it.
    pub created_at: Option<Time>,
    /// The UID of the object that controls it.
    pub owner_uid: Option<String>,
    /// The run and attempt that its labels name.
    pub attempt: Option<(u32, u32)>,
    /// SHA-256 of the bundle, from its spec.
    pub bundle_sha256: Option<String>,
    /// Whether it is the tombstone of an attempt.
    pub tombstone: bool,
    /// The lock that its run has.
    pub lock: Option<String>,
    /// Whether our finalizer is on it.
    pub finalizer: bool,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// The time at which it should be gone, from the API server.
    pub deleting_since: Option<Time>,
    /// Whether it is being deleted, and either its node has said that nothing of it runs any more, or it
    /// never had a node. `Nodes::tell` takes this back if the node does not report and no end of the
    /// container was seen.
    pub gone: bool,
    /// The state of its container.
    pub container: ContainerView,
    /// Whether anything shows that the container was started.
    pub started: bool,
    /// The image that its spec names.
    pub image: Option<String>,
    /// The image that the node says it runs.
    pub image_id: Option<String>,
    /// The pod's own reason, such as Evicted.
    pub reason: Option<String>,
    /// The pod's own message.
    pub message: Option<String>,
    /// The scheduler's words why it places the pod nowhere.
    pub unschedulable: Option<String>,
    /// Why a container in it waits: the node's reason and message.
    pub waiting: Option<(String, String)>,
    /// Why it ended without our container although nobody deleted it. The node rejected it, or an init
    /// container failed.
    pub stillborn: Option<String>,
    /// Why its packages were not fetched.
    pub fetch_failure: Option<Failure>,
    /// The words of what removes it: a drain, a preemption, the end of its node.
    pub disruption: Option<String>,
    /// Why the kubelet stopped its container, from the pod's events. No status shows it.
    pub stopped_by: Option<String>,
    /// Why its container cannot start yet: what must end, start or be done before.
    pub before: Option<String>,
    /// Since when its containers are not ready.
    pub not_ready_since: Option<Time>,
    /// The node that it is on.
    pub node: Option<String>,
    /// Whether its node is out of service, so that nothing of it runs. Set later by `Nodes::tell`.
    pub off: bool,
    /// Whether its node reports. Set later by `Nodes::tell`.
    pub reports: bool,
    /// When this process first saw that its container had ended. Set later from what the process remembers.
    pub end_seen: Option<Timestamp>,
    /// Longest time that it may run, in seconds, by its node's clock from when the node took it. It is the
    /// sum of the pod's own deadline and the grace period of its containers.
    pub node_seconds: Option<i64>,
    /// Whether no creation of its attempt can arrive any more. This process sent all of them, and each was
    /// answered. Set later from what the process remembers.
    pub settled: bool,
    /// The change that others made to it, if it matters for what runs. Set later, and only for the pod of the
    /// attempt under way.
    pub mutation: Option<String>,
    /// Containers that others injected and that still run.
    pub others_running: Vec<String>,
    /// The pod's own deadline, in seconds.
    pub active_deadline_seconds: Option<i64>,
    /// When the operator wrote onto it why its script should stop.
    pub stop_requested_at: Option<Timestamp>,
}

/// The state of a container.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum ContainerView {
    /// Not started.
    #[default]
    Waiting,
    /// Started.
    Running {
        /// When.
        since: Option<Time>,
    },
    /// Ended.
    Terminated(Box<Terminated>),
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Terminated {
    /// When it was started, if it was.
    pub started_at: Option<Time>,
    /// When it ended.
    pub finished_at: Option<Time>,
    /// The container's exit code.
    pub exit_code: i32,
    /// The runtime's reason: `Completed`, `Error`, `OOMKilled`, `StartError`, `ContainerStatusUnknown`.
    pub reason: String,
    /// The termination message, if it reads like the runner's. The script can write it:
    /// `lifecycle/testimony.rs` says what it is worth.
    pub record: Option<Termination>,
    /// The runtime's words if it could not start the container. No script can write them.
    pub message: Option<String>,
}

impl Terminated {
    /// Whether the kubelet has lost sight of the container. It says so, with exit code 137, both of
    /// containers that ran and of containers that never did.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.reason == "ContainerStatusUnknown"
    }

    /// Whether the runtime says that the container's process was never started.
    #[must_use]
    pub fn is_start_error(&self) -> bool {
        // Kubernetes: pkg/kubelet/kuberuntime, containerd: internal/cri/server/container_start.go
        matches!(self.reason.as_str(), "StartError" | "ContainerCannotRun")
    }
}

impl PodView {
    /// Reads a pod. It does not look for changes by others, because that needs to know what the pod should
    /// run ([`mutation`](super::mutation::mutation)).
    #[must_use]
    pub fn of(pod: &Pod) -> Self {
        let label = |name: &str| pod.labels().get(name).and_then(|value| value.parse().ok());
        let spec = pod.spec.as_ref();
        let status = pod.status.as_ref();
        let container = status
            .and_then(|status| status.container_statuses.as_ref())
            .and_then(|all| all.iter().find(|container| container.name == CONTAINER));
        let deleting = pod.metadata.deletion_timestamp.is_some();
        let phase = status.and_then(|status| status.phase.as_deref()).unwrap_or_default();
        let ended = matches!(phase, "Succeeded" | "Failed");
        let view = container.map_or(ContainerView::Waiting, container_view);
        let terminated = matches!(view, ContainerView::Terminated(_));
        Self {
            name: pod.name_any(),
            uid: pod.uid().unwrap_or_default(),
            created_at: pod.metadata.creation_timestamp.clone(),
            owner_uid: pod
                .owner_references()
                .iter()
                .find(|owner| owner.controller == Some(true))
                .map(|owner| owner.uid.clone()),
            attempt: label(LABEL_RUN).zip(label(LABEL_ATTEMPT)),
            bundle_sha256: spec.and_then(|spec| {
                spec.containers
                    .iter()
                    .find(|container| container.name == CONTAINER)?
                    .env
                    .as_ref()?
                    .iter()
                    .find(|variable| variable.name == place::ENV_BUNDLE_SHA256)?
                    .value
                    .clone()
            }),
            tombstone: pod.labels().contains_key(LABEL_TOMBSTONE),
            lock: pod.labels().get(LABEL_LOCK).cloned(),
            settled: false,
            finalizer: is_held(pod),
            deleting,
            // A grace period of 0 proves nothing: `kubectl delete --force` sets it, and the node may go on.
            gone: deleting && (terminated || node_of(pod).is_none() || status.is_some_and(ended_by_node)),
            deleting_since: pod.metadata.deletion_timestamp.clone(),
            started: container.is_some_and(was_started),
            container: view,
            image: spec.and_then(|spec| {
                spec.containers.iter().find(|container| container.name == CONTAINER)?.image.clone()
            }),
            image_id: container
                .map(|container| container.image_id.clone())
                .filter(|id| !id.is_empty() && id.len() <= MAX_IMAGE_ID),
            reason: status.and_then(|status| status.reason.clone()),
            message: status.and_then(|status| status.message.clone()),
            unschedulable: status.and_then(|status| condition(status, "PodScheduled", "False")),
            stillborn: status.filter(|status| !deleting && !is_collected(status)).and_then(stillborn),
            fetch_failure: status.filter(|_| !deleting).and_then(fetch_failure),
            disruption: status
                .and_then(|status| condition(status, "DisruptionTarget", "True"))
                .filter(|message| !message.is_empty()),
            not_ready_since: status.and_then(|status| {
                let mut all = status.conditions.iter().flatten();
                all.find(|condition| condition.type_ == "ContainersReady" && condition.status == "False")
                    .and_then(|condition| condition.last_transition_time.clone())
            }),
            stopped_by: None,
            before: status.filter(|_| !deleting && !ended).and_then(|status| before(pod, status)),
            waiting: status.and_then(waiting),
            node: node_of(pod),
            off: false,
            reports: false,
            end_seen: None,
            node_seconds: spec.map(node_seconds),
            mutation: None,
            others_running: status
                .into_iter()
                .flat_map(|status| status.container_statuses.iter().flatten())
                .filter(|container| {
                    container.name != CONTAINER
                        && container.state.as_ref().is_some_and(|state| state.terminated.is_none())
                })
                .map(|container| container.name.clone())
                .collect(),
            active_deadline_seconds: spec.and_then(|spec| spec.active_deadline_seconds),
            // If this is not a time, somebody else wrote it, at an unknown time.
            stop_requested_at: pod
                .annotations()
                .get(ANNOTATION_STOP_REQUESTED_AT)
                .map(|at| at.parse().unwrap_or(Timestamp::UNIX_EPOCH)),
        }
    }

    /// When its container was started, if the node says so.
    #[must_use]
    pub fn started_at(&self) -> Option<Time> {
        match &self.container {
            ContainerView::Waiting => None,
            ContainerView::Running { since } => since.clone(),
            ContainerView::Terminated(end) => end.started_at.clone(),
        }
    }

    /// When its container ended. A kubelet that has lost sight of the container gives no time. Then it is the
    /// time at which the pod stopped being ready.
    #[must_use]
    pub fn ended_at(&self) -> Option<&Time> {
        self.terminated()?.finished_at.as_ref().or(self.not_ready_since.as_ref())
    }

    /// Whether it is certain that nothing of its container runs, now or later. Its end was seen, or it never
    /// started and cannot start any more, or its node is out of service. This is the one place that says so:
    /// for runs, attempts, locks, earlier actions of the same name, and strays.
    ///
    /// Only the pod's node knows. A phase alone proves nothing. The garbage collector of pods sets one if the
    /// Node object is gone. Anybody who may write the status of pods can set one too.
    #[must_use]
    pub fn runs_no_more(&self) -> bool {
        let ended = self.terminated().is_some_and(|end| !end.is_unknown());
        let rejected = self.stillborn.is_some() && self.disruption.is_none();
        let unplaced = self.deleting && self.node.is_none();
        // If the kubelet has lost sight of a container that it had started, this proves nothing about the
        // process.
        let never_ran = self.gone && !self.started;
        self.tombstone || ended || rejected || unplaced || never_ran || self.off
    }

    /// Whether a node that reports says that its container runs. No clock outranks that.
    #[must_use]
    pub fn is_seen_running(&self) -> bool {
        self.reports && matches!(self.container, ContainerView::Running { .. })
    }

    /// Whether something of it may run. Nothing shows that it has ended, and one of these holds:
    ///
    /// - a node that reports says that it runs,
    /// - it can still start,
    /// - the clocks of a node that is cut off may still let it run.
    #[must_use]
    pub fn may_run(&self, now: Timestamp) -> bool {
        let can_start = !self.deleting && matches!(self.container, ContainerView::Waiting);
        !self.runs_no_more() && (self.is_seen_running() || can_start || now < self.runs_at_most_until())
    }

    /// The last moment at which it can run by its node's clocks, if it has started. This counts by the API
    /// server's clock, because the node's clock may be wrong.
    #[must_use]
    pub fn runs_at_most_until(&self) -> Timestamp {
        let seconds = self.node_seconds.unwrap_or(LONGEST_SECONDS).saturating_add(NODE_MARGIN_SECONDS);
        let (since, seconds) = match (&self.deleting_since, &self.created_at) {
            // Its node took it before the deletion, or never.
            (Some(deleted), _) => (deleted.0, seconds),
            // Its node took it before the pending deadline, which is a part of the pod's own deadline. So
            // twice the pod's own deadline is enough.
            (None, Some(created)) => (created.0, seconds.saturating_mul(2)),
            (None, None) => return Timestamp::MAX,
        };
        since.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
    }

    /// Whether it was deleted before anything of its container was seen. The kubelet's word on the
    /// container's end then proves nothing.
    #[must_use]
    pub fn is_unseen(&self) -> bool {
        self.deleting && !self.started && self.terminated().is_none_or(Terminated::is_unknown)
    }

    /// Whether our container has ended and a container that others injected keeps the pod alive. That
    /// container has nothing left to serve, and the operator ends it.
    #[must_use]
    pub fn outlived(&self) -> bool {
        self.terminated().is_some()
            && !self.others_running.is_empty()
            && !self.deleting
            && self.active_deadline_seconds != Some(AT_ONCE_SECONDS)
    }

    /// How its container ended, if it has.
    #[must_use]
    pub const fn terminated(&self) -> Option<&Terminated> {
        match &self.container {
            ContainerView::Terminated(end) => Some(end),
            _ => None,
        }
    }
}

/// Whether our finalizer is on it.
#[must_use]
pub fn is_held(pod: &impl ResourceExt) -> bool {
    pod.finalizers().iter().any(|finalizer| finalizer == FINALIZER_COLLECT)
}

/// The message of the condition `kind`, if its status is `is`.
fn condition(status: &PodStatus, kind: &str, is: &str) -> Option<String> {
    let mut all = status.conditions.iter().flatten();
    let condition = all.find(|condition| condition.type_ == kind && condition.status == is)?;
    Some(condition.message.clone().unwrap_or_default())
}

/// Why a container of the pod waits: the node's reason and message. If the container is not ours, its name is
/// added.
fn waiting(status: &PodStatus) -> Option<(String, String)> {
    let mut all = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    all.find_map(|container| {
        let waiting = container.state.as_ref()?.waiting.as_ref()?;
        let words = waiting.message.as_ref()?;
        let ours = container.name == CONTAINER;
        let of = if ours { String::new() } else { format!("container {}: ", container.name) };
        Some((waiting.reason.clone().unwrap_or_default(), format!("{of}{words}")))
    })
}

/// The container before ours that is not done, in words. Init containers run one after the other. A sidecar,
/// which stays, counts as done once it has started.
fn before(pod: &Pod, status: &PodStatus) -> Option<String> {
    let stays = |name: &str| {
        let mut all = pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten());
        all.any(|container| container.name == name && container.restart_policy.as_deref() == Some("Always"))
    };
    let judged = status.conditions.iter().flatten().any(|condition| condition.type_ == "PodScheduled");
    if !judged && node_of(pod).is_none() {
        let scheduler = pod.spec.as_ref().and_then(|spec| spec.scheduler_name.as_deref());
        return Some(format!(
            "no scheduler has looked at it (schedulerName {})",
            scheduler.unwrap_or("none")
        ));
    }
    let mut all = status.init_container_statuses.iter().flatten();
    all.find_map(|container| {
        container.state.as_ref()?.running.as_ref()?;
        let name = &container.name;
        if !stays(name) {
            return Some(format!("init container {name} is still running"));
        }
        (container.started != Some(true)).then(|| format!("sidecar {name} has not passed its startup probe"))
    })
}

/// Whether the garbage collector of pods ended it because its Node object is gone. The garbage collector does
/// not know what runs on the node (`pkg/controller/podgc` of Kubernetes).
fn is_collected(status: &PodStatus) -> bool {
    let mut all = status.conditions.iter().flatten();
    all.any(|condition| {
        condition.type_ == "DisruptionTarget" && condition.reason.as_deref() == Some("DeletionByPodGC")
    })
}

/// Whether the pod's node says that the pod has ended, although our container has no end of its own. There
/// are two such cases. If the init containers were not done, the kubelet leaves our container's status as it
/// was. If the kubelet never took the pod in, the status has no container of ours. Otherwise the kubelet
/// gives an end to each container that it lost sight of (`TerminatePod` in `pkg/kubelet/status`).
fn ended_by_node(status: &PodStatus) -> bool {
    let phase = status.phase.as_deref().unwrap_or_default();
    let has_state = |container: &ContainerStatus, wanted: fn(&ContainerState) -> bool| {
        container.state.as_ref().is_some_and(wanted)
    };
    let mut ours = status.container_statuses.iter().flatten();
    let unknown = !ours.any(|container| container.name == CONTAINER);
    let mut before = status.init_container_statuses.iter().flatten().peekable();
    let stuck = before.peek().is_some() && !before.any(|one| has_state(one, |state| state.running.is_some()));
    matches!(phase, "Succeeded" | "Failed") && !is_collected(status) && (unknown || stuck)
}

/// How long a node lets the pod run from when it took it, in seconds. If the operator lowered the deadline to
/// end the pod at once, the node may not know of that yet.
fn node_seconds(spec: &PodSpec) -> i64 {
    let grace = spec.termination_grace_period_seconds.unwrap_or_default();
    let deadline = spec.active_deadline_seconds.filter(|seconds| *seconds != AT_ONCE_SECONDS);
    deadline.unwrap_or(LONGEST_SECONDS).saturating_add(grace)
}

/// Why a pod that has ended never started our container, in the words of what ended it.
fn stillborn(status: &PodStatus) -> Option<String> {
    if status.phase.as_deref() != Some("Failed") {
        return None;
    }
    let ours = status.container_statuses.iter().flatten().find(|container| container.name == CONTAINER);
    if ours
        .is_some_and(|ours| was_started(ours) || matches!(container_view(ours), ContainerView::Terminated(_)))
    {
        return None;
    }
    let words =
        |words: &Option<String>| words.as_deref().map(|words| format!(": {words}")).unwrap_or_default();
    if let Some(reason) = &status.reason {
        return Some(format!("{reason}{}", words(&status.message)));
    }
    let mut all = status.init_container_statuses.iter().flatten();
    all.find_map(|container| {
        let end = container.state.as_ref()?.terminated.as_ref().filter(|end| end.exit_code != 0)?;
        let why = end.reason.as_deref().unwrap_or("no reason given");
        let code = end.exit_code;
        Some(format!(
            "init container {} ended with exit code {code}: {why}{}",
            container.name,
            words(&end.message)
        ))
    })
}

/// The failure that the container which fetches packages reports.
fn fetch_failure(status: &PodStatus) -> Option<Failure> {
    let mut all = status.init_container_statuses.iter().flatten();
    let end = all.find(|container| container.name == FETCHER)?.state.as_ref()?.terminated.as_ref()?;
    Failure::from_json(end.message.as_deref().filter(|_| end.exit_code != 0)?)
}

fn node_of(pod: &Pod) -> Option<String> {
    pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).filter(|name| !name.is_empty())
}

/// Only the runtime gives a container id, and only to a container that it created.
fn was_started(container: &ContainerStatus) -> bool {
    let terminated = container.state.as_ref().and_then(|state| state.terminated.as_ref());
    let failed_to_start = terminated
        .is_some_and(|end| matches!(end.reason.as_deref(), Some("StartError" | "ContainerCannotRun")));
    let has_id = |id: &Option<String>| id.as_ref().is_some_and(|id| !id.is_empty());
    let running = container.state.as_ref().is_some_and(|state| state.running.is_some());
    // If the container was started again, its first start did not fail.
    !(failed_to_start && container.restart_count == 0)
        && (running
            || has_id(&container.container_id)
            || terminated.is_some_and(|end| has_id(&end.container_id)))
}

fn container_view(container: &ContainerStatus) -> ContainerView {
    let Some(state) = &container.state else { return ContainerView::Waiting };
    if let Some(end) = &state.terminated {
        return ContainerView::Terminated(Box::new(terminated(end)));
    }
    match &state.running {
        Some(running) => ContainerView::Running { since: running.started_at.clone() },
        None => ContainerView::Waiting,
    }
}

fn terminated(end: &ContainerStateTerminated) -> Terminated {
    let mut record = end.message.as_deref().and_then(Termination::from_message);
    if let Some(record) = &mut record {
        record.exit.millis = record.exit.millis.min(longest(end));
    }
    let mut terminated = Terminated {
        started_at: end.started_at.clone(),
        finished_at: end.finished_at.clone(),
        exit_code: end.exit_code,
        reason: end.reason.clone().unwrap_or_default(),
        message: None,
        record,
    };
    if terminated.is_start_error() {
        let mut words = end.message.clone().unwrap_or_default();
        words.retain(|letter| !letter.is_control());
        truncate(&mut words, MAX_MESSAGE_BYTES);
        terminated.message = Some(words);
    }
    terminated
}

/// The longest time that a script of this container can have run, in milliseconds. The times are in whole
/// seconds.
fn longest(end: &ContainerStateTerminated) -> u64 {
    let times = end.started_at.as_ref().zip(end.finished_at.as_ref());
    let millis = times.map_or(0, |(from, to)| to.0.as_millisecond() - from.0.as_millisecond() + 1000);
    u64::try_from(millis).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::record::fetch::Problem;

    fn view(status: &Value) -> PodView {
        let pod = json!({"metadata": {"name": "deploy-1"}, "spec": {"containers": []}, "status": status});
        PodView::of(&serde_json::from_value(pod).unwrap())
    }

    fn container(name: &str, state: &Value, id: Option<&str>) -> Value {
        json!({"name": name, "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state, "containerID": id})
    }

    #[test]
    fn a_pod_that_failed_without_our_container_says_why() {
        let failed = json!({"terminated": {"exitCode": 9, "reason": "Error"}});
        let waiting = json!({"waiting": {"reason": "PodInitializing"}});
        let mut status = json!({
            "phase": "Failed",
            "initContainerStatuses": [container("vault", &failed, Some("containerd://1"))],
            "containerStatuses": [container("action", &waiting, None)],
        });
        let words = "init container vault ended with exit code 9: Error";
        assert_eq!(view(&status).stillborn.as_deref(), Some(words));
        status["phase"] = "Pending".into();
        assert_eq!(view(&status).stillborn, None);
        // A sidecar that ends badly after the script.
        status["phase"] = "Failed".into();
        status["containerStatuses"] = json!([container("action", &failed, Some("containerd://2"))]);
        assert_eq!(view(&status).stillborn, None);
        let rejected = json!({"phase": "Failed", "reason": "NodeAffinity", "message": "Pod was rejected"});
        assert_eq!(view(&rejected).stillborn.as_deref(), Some("NodeAffinity: Pod was rejected"));
    }

    #[test]
    fn why_a_package_was_not_fetched_is_read_from_its_container() {
        let failure = Failure { problem: Problem::TooLarge, message: "package orders".into() };
        let end = |code: i32| json!({"terminated": {"exitCode": code, "message": failure.to_json()}});
        let status = |code: i32| {
            json!({
                "phase": "Failed", "initContainerStatuses": [container(FETCHER, &end(code), Some("containerd://1"))],
            })
        };
        assert_eq!(view(&status(1)).fetch_failure, Some(failure.clone()));
        assert_eq!(view(&status(0)).fetch_failure, None);
    }

    /// The pod while it is being deleted.
    fn deleted(status: &Value) -> PodView {
        let pod = json!({
            "metadata": {"name": "p", "deletionTimestamp": "2026-01-01T00:00:00Z", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"nodeName": "n", "containers": [], "activeDeadlineSeconds": 100, "terminationGracePeriodSeconds": 10},
            "status": status,
        });
        PodView::of(&serde_json::from_value(pod).unwrap())
    }

    #[test]
    fn a_phase_that_its_node_has_not_given_is_no_end() {
        let waiting = container("action", &json!({"waiting": {"reason": "ContainerCreating"}}), None);
        let lost = container(
            "action",
            &json!({"terminated": {"exitCode": 137, "reason": "ContainerStatusUnknown"}}),
            None,
        );
        let init = |state: &Value| json!([container("vault", state, Some("containerd://1"))]);
        let collected = json!([{"type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC"}]);
        for (status, gone) in [
            // Phases from the garbage collector of pods, and from somebody who writes statuses.
            (json!({"phase": "Failed", "conditions": collected, "containerStatuses": [waiting]}), false),
            (json!({"phase": "Failed", "conditions": collected}), false),
            (json!({"phase": "Failed", "containerStatuses": [waiting]}), false),
            (json!({"phase": "Succeeded", "containerStatuses": [waiting]}), false),
            // Phases from the kubelet: it never took the pod in, lost sight of it, or ended it before our
            // container.
            (json!({"phase": "Failed", "reason": "NodeAffinity"}), true),
            (json!({"phase": "Failed", "containerStatuses": [lost]}), true),
            (
                json!({"phase": "Failed", "containerStatuses": [waiting],
                "initContainerStatuses": init(&json!({"terminated": {"exitCode": 1}}))}),
                true,
            ),
            (
                json!({"phase": "Failed", "containerStatuses": [waiting],
                "initContainerStatuses": init(&json!({"running": {}}))}),
                false,
            ),
        ] {
            assert_eq!(deleted(&status).gone, gone, "{status}");
        }
        let collected = json!({"phase": "Failed", "reason": "x", "conditions": collected});
        assert_eq!(view(&collected).stillborn, None);
        assert!(!view(&collected).runs_no_more());
    }

    #[test]
    fn what_runs_is_bounded_by_its_node_s_clocks_only_where_the_node_does_not_report() {
        let running = container("action", &json!({"running": {}}), Some("containerd://1"));
        let mut pod = deleted(&json!({"phase": "Failed", "containerStatuses": [running]}));
        let deleted_at = pod.deleting_since.as_ref().unwrap().0;
        let after = |seconds| deleted_at + SignedDuration::from_secs(seconds);
        assert!(pod.may_run(after(100 + 10 + NODE_MARGIN_SECONDS - 1)));
        assert!(!pod.may_run(after(100 + 10 + NODE_MARGIN_SECONDS)));
        pod.reports = true;
        assert!(pod.may_run(after(1_000_000)));
        // The deadline was lowered to end the pod, and the node may not know.
        let of = |deadline| PodSpec { active_deadline_seconds: Some(deadline), ..PodSpec::default() };
        assert!(node_seconds(&of(AT_ONCE_SECONDS)) >= 604_800);
        assert_eq!(node_seconds(&of(i64::MAX)), i64::MAX);
    }

    #[test]
    fn who_takes_a_pod_away_is_told() {
        let drained = json!({"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI", "message": "Eviction API: evicting"});
        assert_eq!(
            view(&json!({"conditions": [drained]})).disruption.as_deref(),
            Some("Eviction API: evicting")
        );
    }

    #[test]
    fn what_our_container_waits_for_is_named() {
        let spec = json!({"nodeName": "n", "containers": [], "initContainers": [{"name": "istio-proxy", "restartPolicy": "Always"}]});
        let before = |name: &str, started: Option<bool>, conditions: &Value| {
            let mut init = container(name, &json!({"running": {}}), Some("containerd://1"));
            init["started"] = json!(started);
            let pod = json!({"metadata": {"name": "p"}, "spec": spec, "status": {"conditions": conditions, "initContainerStatuses": [init]}});
            PodView::of(&serde_json::from_value(pod).unwrap()).before
        };
        let scheduled = json!([{"type": "PodScheduled", "status": "True"}]);
        let words = before("vault-init", None, &scheduled).unwrap();
        assert_eq!(words, "init container vault-init is still running");
        let words = before("istio-proxy", Some(false), &scheduled).unwrap();
        assert_eq!(words, "sidecar istio-proxy has not passed its startup probe");
        assert_eq!(before("istio-proxy", Some(true), &scheduled), None);
        let unseen = json!({"metadata": {"name": "p"}, "spec": {"containers": [], "schedulerName": "mine"}, "status": {"phase": "Pending"}});
        let view = PodView::of(&serde_json::from_value(unseen).unwrap());
        assert!(view.before.unwrap().contains("schedulerName mine"));
    }

    #[test]
    fn what_a_script_wrote_as_its_message_is_bounded_and_nobody_s_words() {
        let message = r#"{"exit":{"version":1,"of":{"podUid":"p","runId":"r"},"outcome":{"exited":{"code":0}},"millis":18000000000000000000,"outputs":{"token":"secret"}}}"#;
        let end = |reason: &str, message: &str, restarts: u32| {
            let state = json!({"terminated": {
                "exitCode": 137, "reason": reason, "message": message,
                "startedAt": "2026-11-01T10:00:00Z", "finishedAt": "2026-11-01T10:00:05Z",
            }});
            let mut ours = container("action", &state, Some("containerd://1"));
            ours["restartCount"] = restarts.into();
            view(&json!({"containerStatuses": [ours]}))
        };
        let pod = end("Error", message, 0);
        let record = pod.terminated().unwrap().record.clone().unwrap();
        assert!(record.exit.millis == 6000 && record.exit.outputs.is_empty());
        let words = "cannot start container";
        assert_eq!(end("Error", words, 0).terminated().unwrap().message, None);
        let failed = end("StartError", words, 0);
        assert!(!failed.started);
        assert_eq!(failed.terminated().unwrap().message.as_deref(), Some(words));
        assert!(end("StartError", words, 1).started, "what could not be started again had been started");
    }

    #[test]
    fn a_container_that_somebody_injected_waits_under_its_name() {
        let waiting = json!({"waiting": {"reason": "ErrImagePull", "message": "not found"}});
        let status = json!({"containerStatuses": [container("action", &json!({"waiting": {"reason": "PodInitializing"}}), None), container("proxy", &waiting, None)]});
        assert_eq!(
            view(&status).waiting,
            Some(("ErrImagePull".to_owned(), "container proxy: not found".to_owned()))
        );
    }
}
