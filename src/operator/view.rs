//! A pod as the lifecycle sees it: what matters of it, parsed once.

use k8s_openapi::{
    api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod, PodStatus},
    apimachinery::pkg::apis::meta::v1::Time,
    jiff::Timestamp,
};
use kube::ResourceExt;

use super::{mutation::mutation, pod::FETCHER};
use crate::{
    api::{
        ANNOTATION_STOP_REQUESTED_AT, CONTAINER, FINALIZER_COLLECT, LABEL_ATTEMPT, LABEL_LOCK, LABEL_RUN,
        LABEL_TOMBSTONE, packages::PackageStatus,
    },
    record::{fetch::Failure, outcome::Termination, place},
};

/// The longest image id that is believed, in bytes.
const MAX_IMAGE_ID: usize = 1024;

/// The `activeDeadlineSeconds` of a pod that is to end now: Kubernetes allows no 0.
pub const AT_ONCE_SECONDS: i64 = 1;

/// What matters of a pod.
#[derive(Debug, Clone, PartialEq, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct PodView {
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// When the API server made it.
    pub created_at: Option<Time>,
    /// The UID of the object that controls it.
    pub owner_uid: Option<String>,
    /// The run and attempt that its labels name.
    pub attempt: Option<(u32, u32)>,
    /// SHA-256 of the bundle, from its spec.
    pub bundle_sha256: Option<String>,
    /// Whether it stands for an attempt that was given up.
    pub tombstone: bool,
    /// The lock that its run has.
    pub lock: Option<String>,
    /// Whether our finalizer is on it.
    pub finalizer: bool,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// By when it should be deleted, as the API server has it.
    pub deleting_since: Option<Time>,
    /// Whether it is being deleted and no node runs anything of it any more.
    pub gone: bool,
    /// Where its container is.
    pub container: ContainerView,
    /// Whether anything shows that the container was started.
    pub started: bool,
    /// The image that its spec names.
    pub image: Option<String>,
    /// What the node says it runs.
    pub image_id: Option<String>,
    /// The pod's own reason, such as Evicted.
    pub reason: Option<String>,
    /// The pod's own message.
    pub message: Option<String>,
    /// Why the scheduler does not place it.
    pub unschedulable: Option<String>,
    /// Why something in it waits: the node's reason and message.
    pub waiting: Option<(String, String)>,
    /// Why it ended without our container, where nobody deleted it: the node rejected it, or an
    /// init container failed.
    pub stillborn: Option<String>,
    /// Why its packages were not fetched.
    pub fetch_failure: Option<Failure>,
    /// Who takes it away, in their own words: a drain, a preemption, the end of its node.
    pub disruption: Option<String>,
    /// Why the kubelet stopped its container, from its events: no status shows it.
    pub stopped_by: Option<String>,
    /// What must be over before its container starts, and is not.
    pub before: Option<String>,
    /// Since when its containers are not ready.
    pub not_ready_since: Option<Time>,
    /// The node that it is on.
    pub node: Option<String>,
    /// Whether its node is out of service, and so nothing of it runs. Who knows the nodes puts it down.
    pub off: bool,
    /// Whether no creation of its attempt can arrive: all were this process's own, and answered. Who knows
    /// them puts it down.
    pub settled: bool,
    /// What was changed of it on its way, where that matters for what runs.
    pub mutation: Option<String>,
    /// Whether a container beside ours, which somebody injected, still runs.
    pub others_running: bool,
    /// How long the pod may take in all, in seconds.
    pub active_deadline_seconds: Option<i64>,
    /// When the reason why its script is to stop was put down on it.
    pub stop_requested_at: Option<Timestamp>,
}

/// Where a container is.
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
#[derive(Debug, Clone, PartialEq)]
pub struct Terminated {
    /// When it was started, where it was.
    pub started_at: Option<Time>,
    /// When it ended.
    pub finished_at: Option<Time>,
    /// The container's exit code.
    pub exit_code: i32,
    /// The runtime's reason: `Completed`, `Error`, `OOMKilled`, `StartError`, `ContainerStatusUnknown`.
    pub reason: String,
    /// The runner's termination message.
    pub record: Option<Termination>,
    /// The message, where it is not the runner's.
    pub message: Option<String>,
}

impl Terminated {
    /// Whether the kubelet has lost sight of the container. It says so, with exit code 137, of
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
    /// Reads a pod that should run `image` with these packages.
    #[must_use]
    pub fn of(pod: &Pod, image: &str, packages: &[PackageStatus]) -> Self {
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
            // A grace period of 0 proves nothing: `kubectl delete --force` sets it while the node goes on.
            gone: deleting && (ended || terminated || node_of(pod).is_none()),
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
            stillborn: status.filter(|_| !deleting).and_then(stillborn),
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
            mutation: mutation(pod, image, packages),
            others_running: status.is_some_and(|status| {
                status.container_statuses.iter().flatten().any(|container| {
                    container.name != CONTAINER
                        && container.state.as_ref().is_some_and(|state| state.terminated.is_none())
                })
            }),
            active_deadline_seconds: spec.and_then(|spec| spec.active_deadline_seconds),
            // What is no time was put down by somebody else, at some time.
            stop_requested_at: pod
                .annotations()
                .get(ANNOTATION_STOP_REQUESTED_AT)
                .map(|at| at.parse().unwrap_or(Timestamp::UNIX_EPOCH)),
        }
    }

    /// When its container was started, where the node says so.
    #[must_use]
    pub fn started_at(&self) -> Option<Time> {
        match &self.container {
            ContainerView::Waiting => None,
            ContainerView::Running { since } => since.clone(),
            ContainerView::Terminated(end) => end.started_at.clone(),
        }
    }

    /// When its container ended. A kubelet that has lost sight of the container gives no time for
    /// that: then it is when the pod stopped being ready.
    #[must_use]
    pub fn ended_at(&self) -> Option<&Time> {
        self.terminated()?.finished_at.as_ref().or(self.not_ready_since.as_ref())
    }

    /// Whether it is certain that nothing of its container runs, or will: its end was seen, or it was
    /// never started and cannot be any more, or its node is out of service. A phase proves nothing: the
    /// pod of a lost node is given one by the garbage collector too.
    #[must_use]
    pub fn runs_no_more(&self) -> bool {
        let ended = self.terminated().is_some_and(|end| !end.is_unknown());
        let rejected = self.stillborn.is_some() && self.disruption.is_none();
        let unplaced = self.deleting && self.node.is_none();
        self.tombstone || ended || rejected || unplaced || self.off
    }

    /// Whether it was deleted before anything of its container was seen: what the kubelet then says
    /// of the container's end tells nothing.
    #[must_use]
    pub fn is_unseen(&self) -> bool {
        self.deleting && !self.started && self.terminated().is_none_or(Terminated::is_unknown)
    }

    /// Whether our container has ended and one that somebody injected keeps the pod alive: it has
    /// nothing left to serve, and is ended.
    #[must_use]
    pub fn outlived(&self) -> bool {
        self.terminated().is_some()
            && self.others_running
            && !self.deleting
            && self.active_deadline_seconds != Some(AT_ONCE_SECONDS)
    }

    /// How its container ended, where it has.
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

/// The message of the condition that is so.
fn condition(status: &PodStatus, kind: &str, is: &str) -> Option<String> {
    let mut all = status.conditions.iter().flatten();
    let condition = all.find(|condition| condition.type_ == kind && condition.status == is)?;
    Some(condition.message.clone().unwrap_or_default())
}

/// Why something of the pod waits: the node's reason and message, with the container's name where it
/// is not ours.
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

/// Which container before ours is not done: init containers run one after the other, and one that
/// stays (a sidecar) counts as done once it has started.
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

/// Why a pod that has ended never started our container, in the words of whoever ended it.
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

/// What the container that fetches packages says of its end, where it failed.
fn fetch_failure(status: &PodStatus) -> Option<Failure> {
    let mut all = status.init_container_statuses.iter().flatten();
    let end = all.find(|container| container.name == FETCHER)?.state.as_ref()?.terminated.as_ref()?;
    Failure::from_json(end.message.as_deref().filter(|_| end.exit_code != 0)?)
}

fn node_of(pod: &Pod) -> Option<String> {
    pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).filter(|name| !name.is_empty())
}

/// A container id is given by the runtime alone, to a container that it made.
fn was_started(container: &ContainerStatus) -> bool {
    let terminated = container.state.as_ref().and_then(|state| state.terminated.as_ref());
    let failed_to_start = terminated
        .is_some_and(|end| matches!(end.reason.as_deref(), Some("StartError" | "ContainerCannotRun")));
    let has_id = |id: &Option<String>| id.as_ref().is_some_and(|id| !id.is_empty());
    let running = container.state.as_ref().is_some_and(|state| state.running.is_some());
    !failed_to_start
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
    let record = end.message.as_deref().and_then(|message| serde_json::from_str(message).ok());
    Terminated {
        started_at: end.started_at.clone(),
        finished_at: end.finished_at.clone(),
        exit_code: end.exit_code,
        reason: end.reason.clone().unwrap_or_default(),
        message: if record.is_some() { None } else { end.message.clone() },
        record,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::record::fetch::Problem;

    fn view(status: &Value) -> PodView {
        let pod = json!({"metadata": {"name": "deploy-1"}, "spec": {"containers": []}, "status": status});
        PodView::of(&serde_json::from_value(pod).unwrap(), "image", &[])
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
            PodView::of(&serde_json::from_value(pod).unwrap(), "image", &[]).before
        };
        let scheduled = json!([{"type": "PodScheduled", "status": "True"}]);
        let words = before("vault-init", None, &scheduled).unwrap();
        assert_eq!(words, "init container vault-init is still running");
        let words = before("istio-proxy", Some(false), &scheduled).unwrap();
        assert_eq!(words, "sidecar istio-proxy has not passed its startup probe");
        assert_eq!(before("istio-proxy", Some(true), &scheduled), None);
        let unseen = json!({"metadata": {"name": "p"}, "spec": {"containers": [], "schedulerName": "mine"}, "status": {"phase": "Pending"}});
        let view = PodView::of(&serde_json::from_value(unseen).unwrap(), "image", &[]);
        assert!(view.before.unwrap().contains("schedulerName mine"));
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
