//! The `Node` object and its lease.

use std::time::Duration;

use k8s_openapi::{
    api::{coordination::v1::Lease, core::v1::Node as KubeNode},
    apimachinery::pkg::apis::meta::v1::MicroTime,
    jiff::Timestamp,
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use super::{MARK, Node, cluster::ADDRESS};

const LEASES: &str = "kube-node-lease";
/// As a kubelet does by default.
const RENEW_EVERY: Duration = Duration::from_secs(10);
const LEASE_SECONDS: i32 = 40;

/// Makes the node, in place of one that an earlier process left.
pub(super) async fn register(node: &Node, port: u16) {
    let name = &node.options.name;
    unregister(node).await;
    let nodes: Api<KubeNode> = Api::all(node.client.clone());
    let object = serde_json::from_value(object(node, port)).expect("a node");
    let made = nodes.create(&PostParams::default(), &object).await.expect("registering the node");
    let lease = json!({
        "metadata": {"name": name, "ownerReferences": [{
            "apiVersion": "v1", "kind": "Node", "name": name, "uid": made.uid(),
        }]},
        "spec": {"holderIdentity": name, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": now()},
    });
    let leases: Api<Lease> = Api::namespaced(node.client.clone(), LEASES);
    let lease = serde_json::from_value(lease).expect("a lease");
    leases.create(&PostParams::default(), &lease).await.expect("the node's lease");
    // The API server taints each new node as not ready, and a controller takes that back.
    loop {
        let seen = nodes.get(name).await.expect("reading the node");
        let taints = seen.spec.and_then(|spec| spec.taints).unwrap_or_default();
        if taints.iter().all(|taint| taint.key == MARK) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Takes the node out of the cluster.
pub(super) async fn unregister(node: &Node) {
    let name = &node.options.name;
    let leases: Api<Lease> = Api::namespaced(node.client.clone(), LEASES);
    let nodes: Api<KubeNode> = Api::all(node.client.clone());
    // Mostly there is none.
    let _ = leases.delete(name, &DeleteParams::default()).await;
    let _ = nodes.delete(name, &DeleteParams::default()).await;
}

/// Renews the lease, for ever.
pub(super) async fn renew(node: std::sync::Arc<Node>) {
    let leases: Api<Lease> = Api::namespaced(node.client.clone(), LEASES);
    loop {
        tokio::time::sleep(RENEW_EVERY).await;
        node.online().await;
        let renewed = Patch::Merge(json!({"spec": {"renewTime": now()}}));
        if let Err(error) = leases.patch(&node.options.name, &PatchParams::default(), &renewed).await {
            eprintln!("fake node {}: its lease was not renewed: {error}", node.options.name);
        }
    }
}

fn now() -> MicroTime {
    MicroTime(Timestamp::now())
}

fn object(node: &Node, port: u16) -> Value {
    let name = &node.options.name;
    let resources = json!({"cpu": "1000", "memory": "1000Gi", "ephemeral-storage": "1000Gi", "pods": node.options.pods.to_string()});
    let at = Timestamp::now();
    let condition = |kind: &str, status: &str, reason: &str| {
        json!({
            "type": kind, "status": status, "reason": reason, "message": "a fake node",
            "lastHeartbeatTime": at, "lastTransitionTime": at,
        })
    };
    json!({
        "metadata": {"name": name, "labels": {
            (MARK): "true",
            "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
        }},
        // Nothing lands here that was not meant to.
        "spec": {"taints": [{"key": MARK, "value": name, "effect": "NoSchedule"}]},
        "status": {
            "capacity": resources, "allocatable": resources,
            "addresses": [{"type": "InternalIP", "address": ADDRESS}, {"type": "Hostname", "address": name}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
            "conditions": [
                condition("Ready", "True", "KubeletReady"),
                condition("MemoryPressure", "False", "KubeletHasSufficientMemory"),
                condition("DiskPressure", "False", "KubeletHasNoDiskPressure"),
                condition("PIDPressure", "False", "KubeletHasSufficientPID"),
            ],
            // With these the runner comes by image volume, as on the cluster's real node.
            "nodeInfo": {
                "kubeletVersion": "v1.37.2", "containerRuntimeVersion": "containerd://2.2.9",
                "operatingSystem": "linux", "architecture": "amd64", "osImage": "fake", "kernelVersion": "fake",
                "kubeProxyVersion": "", "machineID": name, "systemUUID": name, "bootID": name,
            },
        },
    })
}
