//! The abilities of the nodes, and whether they report. The operator reads the nodes every minute and does
//! not watch them, because it does not need every heartbeat. If a node is asked for that is not known, it
//! reads them within seconds.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
    time::Duration,
};

use k8s_openapi::api::core::v1::Node;
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, VersionMatch},
};
use tokio::sync::Notify;
use tracing::{info, warn};

use crate::operator::{
    call::{CallError, call},
    lifecycle::facts::{NodeState, OUT_OF_SERVICE},
    options::DeliveryOption,
    pod::{attempt::Delivery, view::PodView},
};

const EVERY: Duration = Duration::from_mins(1);
/// How soon the nodes are read again if one is asked for that is not among them.
const SOON: Duration = Duration::from_secs(5);
/// How many nodes one answer may hold.
const PAGE: u32 = 500;

/// The nodes at the last reading. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Nodes {
    known: Arc<RwLock<Known>>,
    /// Notified when a node is asked for that is not among them. It may be new.
    missed: Arc<Notify>,
}

#[derive(Debug)]
struct Known {
    delivery: Delivery,
    /// `None` before the first reading.
    states: Option<HashMap<String, NodeState>>,
    user_namespaces: Option<bool>,
}

impl Nodes {
    /// Before the first reading: the delivery that a flag says, else by init container, which works
    /// everywhere.
    #[must_use]
    pub(crate) fn new(option: DeliveryOption) -> Self {
        let delivery = option.fixed().unwrap_or(Delivery::InitContainer);
        let known = Known { delivery, states: None, user_namespaces: None };
        Self { known: Arc::new(RwLock::new(known)), missed: Arc::default() }
    }

    fn known(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// How the runner gets into pods.
    #[must_use]
    pub(crate) fn delivery(&self) -> Delivery {
        self.known().delivery
    }

    /// Whether this node reports. `None` if the nodes are not known.
    #[must_use]
    pub(crate) fn state(&self, name: &str) -> Option<NodeState> {
        let state = self.known().states.as_ref()?.get(name).copied().unwrap_or(NodeState::Absent);
        if state == NodeState::Absent {
            self.missed.notify_one();
        }
        Some(state)
    }

    /// Sets in a pod what its node's state says about it.
    ///
    /// `off`: the pod is being deleted, and its node is out of service. A pod that is not being deleted
    /// tolerates that taint, and Kubernetes leaves it alone too.
    ///
    /// `gone`: a node that does not report has said nothing about the pod's end, whatever the pod's status
    /// says. So a pod with a node stays gone only if the node reports, or if the status shows how our
    /// container ended.
    pub(crate) fn tell(&self, pod: &mut PodView) {
        let state = pod.node.as_deref().and_then(|node| self.state(node));
        pod.off = pod.deleting && state == Some(NodeState::OutOfService);
        pod.reports = state == Some(NodeState::Ready);
        let seen = pod.terminated().is_some_and(|end| !end.is_unknown());
        pod.gone &= seen || pod.reports || pod.node.is_none();
    }

    /// Whether a Linux node can give a pod a user namespace. `None` if the nodes are not known.
    #[must_use]
    pub(crate) fn user_namespaces(&self) -> Option<bool> {
        self.known().user_namespaces
    }

    /// Reads the nodes once.
    ///
    /// # Errors
    /// The API server's.
    pub(crate) async fn refresh(&self, client: &Client, option: DeliveryOption) -> Result<(), CallError> {
        let api: Api<Node> = Api::all(client.clone());
        // From the API server's cache. A minute more or less does not matter.
        let mut page = ListParams::default().limit(PAGE).matching(VersionMatch::NotOlderThan).at("0");
        let mut nodes = Vec::new();
        loop {
            let list = call(api.list(&page)).await?;
            nodes.extend(list.items);
            match list.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page = ListParams::default().limit(PAGE).continue_token(&token),
                None => break,
            }
        }
        let delivery = option.fixed().unwrap_or_else(|| choose(&nodes));
        let states = Some(nodes.iter().map(|node| (node.name_any(), state(node))).collect());
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.delivery != delivery {
            info!(?delivery, "the runner now gets into pods another way");
        }
        let user_namespaces = Some(nodes.iter().any(has_user_namespaces));
        *known = Known { delivery, states, user_namespaces };
        Ok(())
    }

    /// Reads the nodes every minute, forever, and within seconds after one was missed.
    pub(crate) async fn keep_fresh(self, client: Client, option: DeliveryOption) {
        loop {
            tokio::time::sleep(SOON).await;
            let _ = tokio::time::timeout(EVERY.saturating_sub(SOON), self.missed.notified()).await;
            if let Err(error) = self.refresh(&client, option).await {
                warn!(%error, "nodes cannot be read");
            }
        }
    }
}

/// The node's own statement about its container runtime (KEP-127).
fn has_user_namespaces(node: &Node) -> bool {
    let handlers = node.status.as_ref().and_then(|status| status.runtime_handlers.as_ref());
    handlers
        .into_iter()
        .flatten()
        .any(|handler| handler.features.as_ref().and_then(|features| features.user_namespaces) == Some(true))
}

/// A node that reports is not out of service, even if somebody forgot the taint.
fn state(node: &Node) -> NodeState {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    if conditions.is_some_and(|all| all.iter().any(|one| one.type_ == "Ready" && one.status == "True")) {
        return NodeState::Ready;
    }
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_ref());
    if taints.is_some_and(|all| all.iter().any(|taint| taint.key == OUT_OF_SERVICE)) {
        NodeState::OutOfService
    } else {
        NodeState::Silent
    }
}

/// Image volumes if every Linux node has them. They are on by default in Kubernetes 1.35 (KEP-4639), and in
/// containerd since 2.1.
fn choose(nodes: &[Node]) -> Delivery {
    let mut linux = nodes
        .iter()
        .filter_map(|node| node.status.as_ref()?.node_info.as_ref())
        .filter(|info| info.operating_system == "linux")
        .peekable();
    let able = linux.peek().is_some()
        && linux.all(|info| {
            let kubelet = version(info.kubelet_version.trim_start_matches('v'));
            let containerd = info.container_runtime_version.strip_prefix("containerd://").and_then(version);
            kubelet >= Some((1, 35)) && containerd >= Some((2, 1))
        });
    if able { Delivery::ImageVolume } else { Delivery::InitContainer }
}

/// Major and minor of a version such as `1.37.2` or `2.1.0-rc.1`.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split(['.', '-', '+']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{NodeCondition, NodeSpec, NodeStatus, NodeSystemInfo, Taint};

    use super::*;
    use crate::operator::pod::view::{ContainerView, Terminated};

    fn node(os: &str, kubelet: &str, runtime: &str) -> Node {
        Node {
            status: Some(NodeStatus {
                node_info: Some(NodeSystemInfo {
                    operating_system: os.into(),
                    kubelet_version: kubelet.into(),
                    container_runtime_version: runtime.into(),
                    ..Default::default()
                }),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    #[test]
    fn a_node_is_off_where_it_does_not_report_and_a_taint_says_so() {
        let of = |ready: &str, taint: &str| {
            let ready = NodeCondition { type_: "Ready".into(), status: ready.into(), ..Default::default() };
            let taint = Taint { key: taint.into(), effect: "NoExecute".into(), ..Default::default() };
            state(&Node {
                spec: Some(NodeSpec { taints: Some(vec![taint]), ..Default::default() }),
                status: Some(NodeStatus { conditions: Some(vec![ready]), ..Default::default() }),
                ..Default::default()
            })
        };
        assert_eq!(of("Unknown", OUT_OF_SERVICE), NodeState::OutOfService);
        assert_eq!(of("False", OUT_OF_SERVICE), NodeState::OutOfService);
        assert_eq!(of("True", OUT_OF_SERVICE), NodeState::Ready, "it came back, and the taint was forgotten");
        assert_eq!(of("Unknown", "node.kubernetes.io/unreachable"), NodeState::Silent);
        assert_eq!(state(&Node::default()), NodeState::Silent);
    }

    fn with_states<const N: usize>(states: [(&str, NodeState); N]) -> Nodes {
        let nodes = Nodes::new(DeliveryOption::Auto);
        let states = states.map(|(name, state)| (name.to_owned(), state));
        nodes.known.write().unwrap().states = Some(states.into());
        nodes
    }

    #[test]
    fn a_node_that_does_not_report_has_not_said_that_a_pod_is_gone() {
        use NodeState::{OutOfService, Ready, Silent};
        let nodes = with_states([("ready", Ready), ("silent", Silent), ("off", OutOfService)]);
        let end = |reason: &str| {
            ContainerView::Terminated(Box::new(Terminated { reason: reason.into(), ..Terminated::default() }))
        };
        let (waiting, lost, seen) = (ContainerView::Waiting, end("ContainerStatusUnknown"), end("Completed"));
        for (node, container, gone) in [
            (Some("ready"), &waiting, true),
            (Some("silent"), &waiting, false),
            (Some("deleted"), &waiting, false),
            (Some("off"), &waiting, false),
            (None, &waiting, true),
            (Some("silent"), &lost, false),
            (Some("deleted"), &lost, false),
            (Some("silent"), &seen, true),
            (Some("deleted"), &seen, true),
        ] {
            let mut pod = PodView {
                node: node.map(str::to_owned),
                container: container.clone(),
                deleting: true,
                gone: true,
                ..crate::operator::testing::objects::pod_view()
            };
            nodes.tell(&mut pod);
            assert_eq!(pod.gone, gone, "{node:?} {container:?}");
            assert_eq!(pod.runs_no_more(), gone || node == Some("off"), "{node:?} {container:?}");
        }
    }

    #[test]
    fn a_node_that_is_not_among_those_that_were_read_is_told_from_none_known() {
        assert_eq!(Nodes::new(DeliveryOption::Auto).state("node-1"), None);
        assert_eq!(with_states([]).state("node-1"), Some(NodeState::Absent));
    }

    #[test]
    fn only_a_pod_that_is_being_deleted_is_given_up_with_its_node() {
        let nodes = with_states([("node-1", NodeState::OutOfService)]);
        for (node, deleting, off) in
            [("node-1", true, true), ("node-1", false, false), ("node-2", true, false)]
        {
            let mut pod = PodView {
                node: Some(node.into()),
                deleting,
                ..crate::operator::testing::objects::pod_view()
            };
            nodes.tell(&mut pod);
            assert_eq!((pod.off, pod.runs_no_more()), (off, off), "{node} {deleting}");
        }
    }

    #[test]
    fn the_oldest_linux_node_decides() {
        let new = || node("linux", "v1.37.2", "containerd://2.2.9");
        assert_eq!(choose(&[new(), new()]), Delivery::ImageVolume);
        assert_eq!(choose(&[new(), node("windows", "v1.30.0", "containerd://1.7.0")]), Delivery::ImageVolume);
        for old in [
            node("linux", "v1.34.9", "containerd://2.2.9"),
            node("linux", "v1.37.2", "containerd://2.0.5"),
            node("linux", "v1.37.2", "cri-o://1.34.0"),
            node("linux", "v1.35.0-eks-1", "containerd://v2"),
        ] {
            assert_eq!(choose(&[new(), old]), Delivery::InitContainer);
        }
        assert_eq!(
            choose(&[node("linux", "v1.35.0-eks-113cf36", "containerd://2.1.4")]),
            Delivery::ImageVolume
        );
        assert_eq!(choose(&[]), Delivery::InitContainer);
    }
}
