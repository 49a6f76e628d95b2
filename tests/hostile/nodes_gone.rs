//! Words about a pod that are not its node's: Kubernetes, where the `Node` object was deleted, and people.
//! None of it proves that a script never started, or that it has ended.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
};
use longshore::api::Reason;
use serde_json::{Value, json};

use super::{
    attack::{finished_within, lives, locked, no_more_than, started, told},
    nodes::{on, on_fake_node, runner},
    oracle::Alone,
};
use crate::{
    node::{FakeNode, Options},
    support::{
        action::{Action, Done, Handle},
        namespace::{Namespace, until},
    },
};

/// Where a second attempt would find room; both are gone with the test.
async fn twin(namespace: &Namespace) -> FakeNode {
    FakeNode::start(Options::new(&twin_name(&namespace.name), runner())).await
}

fn twin_name(name: &str) -> String {
    format!("{}-b", name.trim_end_matches('-'))
}

/// For the node, or its twin once there is one.
fn action(node: &FakeNode, body: &str) -> Action {
    let retry = json!({"limit": 1, "causes": ["NeverStarted"], "backoffSeconds": 1});
    let wanted = on(&[node.name(), &twin_name(node.name())], told(body));
    locked(wanted)
        .with("retry", retry)
        .with("pendingDeadlineSeconds", 60)
        .with("runDeadlineSeconds", 60)
        .with("terminationGracePeriodSeconds", 1)
}

/// What the garbage collector of pods writes before it deletes one whose node is no object any more
/// (pkg/controller/podgc of Kubernetes).
fn as_pod_gc() -> Value {
    json!({"status": {
        "phase": "Failed",
        "conditions": [{
            "type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC",
            "message": "PodGC: node no longer exists", "lastTransitionTime": "2026-01-01T00:00:00Z",
        }],
    }})
}

async fn write(namespace: &Namespace, pod: &Pod, status: &Value) {
    let patch = Patch::Strategic(status);
    let pods = namespace.api::<Pod>();
    pods.patch_status(&pod.name_any(), &PatchParams::default(), &patch)
        .await
        .expect("writing a pod's status");
}

async fn delete_node(namespace: &Namespace, node: &FakeNode) {
    let nodes: Api<Node> = Api::all(namespace.client.clone());
    nodes.delete(node.name(), &DeleteParams::default()).await.expect("deleting the node");
}

/// The pod, once its node has it.
async fn bound(action: &Handle<'_>) -> Pod {
    until("the node has the pod", async || {
        let pods = action.namespace.pods().await;
        pods.into_iter().find(|pod| pod.status.as_ref().is_some_and(|of| of.start_time.is_some()))
    })
    .await
}

/// The node is cut off before it could tell that its script runs, and its object is deleted.
async fn before_it_could_tell(by_hand: bool) {
    let slow = |options: Options| Options { start_delay: Duration::from_secs(4), ..options };
    on_fake_node(Alone::Namespace, slow, async |namespace, node| {
        let first = namespace.apply("first", action(node, "sleep 150; leave 0")).await;
        let pod = bound(&first).await;
        node.cut_off();
        let twin = twin(namespace).await;
        let second = namespace.apply("second", locked(on(&[twin.name()], told("leave 0")))).await;
        // It runs, and nobody but us knows.
        started(&first, 1).await;
        delete_node(namespace, node).await;
        if by_hand {
            write(namespace, &pod, &as_pod_gc()).await;
            let now = DeleteParams::default().grace_period(0);
            namespace.api::<Pod>().delete(&pod.name_any(), &now).await.expect("deleting the pod");
        } else {
            // Its quarantine is 40 s, and it looks each 20 s.
            until("the pod was given up", async || {
                let seen = namespace.api::<Pod>().get_opt(&pod.name_any()).await.expect("reading the pod");
                let phase = seen.as_ref().and_then(|pod| pod.status.as_ref()?.phase.clone());
                (seen.is_none() || phase.as_deref() == Some("Failed")).then_some(())
            })
            .await;
        }
        no_more_than(&first, 1, Duration::from_secs(30)).await;
        assert!(lives(&second).is_empty(), "the lock was passed on: {:?}", lives(&second));
        let seen = Done::of(first.get().await);
        assert_eq!(seen.run().attempt, 1, "it was tried again: {}", seen.message());
        node.reconnect();
        drop(twin);
    })
    .await;
}

#[tokio::test]
async fn a_pod_that_its_node_took_and_podgc_calls_failed_is_not_taken_for_one_that_never_started() {
    before_it_could_tell(true).await;
}

/// The cluster's own controller does it.
#[tokio::test]
async fn a_node_object_that_is_deleted_proves_nothing_of_its_scripts() {
    before_it_could_tell(false).await;
}

/// Applied again under its name, an action waits for the pod of the one before, whatever its phase says.
#[tokio::test]
async fn an_action_that_is_applied_again_waits_for_a_script_whose_pod_podgc_calls_failed() {
    let slow = |options: Options| Options { start_delay: Duration::from_secs(4), ..options };
    on_fake_node(Alone::Action, slow, async |namespace, node| {
        let first = namespace.apply("again", action(node, "sleep 45; leave 0")).await;
        let pod = bound(&first).await;
        node.cut_off();
        let _twin = twin(namespace).await;
        started(&first, 1).await;
        delete_node(namespace, node).await;
        write(namespace, &pod, &as_pod_gc()).await;
        first.delete(&DeleteParams::background()).await;
        until("it is gone", async || {
            let actions = namespace.api::<longshore::api::DeploymentAction>();
            actions.get_opt("again").await.expect("reading the action").is_none().then_some(())
        })
        .await;
        let second = namespace.apply("again", action(node, "leave 0")).await;
        // The first one lives on all the while.
        no_more_than(&second, 1, Duration::from_secs(20)).await;
        node.reconnect();
        finished_within(&second, Duration::from_mins(3)).await;
    })
    .await;
}

/// A phase is a word that anybody who may write it can say; the container's own state stands.
#[tokio::test]
async fn a_phase_that_somebody_sets_while_the_script_runs_ends_nothing() {
    for phase in ["Failed", "Succeeded", "Pending", "Unknown"] {
        on_fake_node(
            Alone::Namespace,
            |options| options,
            async |namespace, node| {
                let first = namespace.apply("first", action(node, "echo begun; sleep 8; leave 0")).await;
                started(&first, 1).await;
                first.reason(Reason::Running).await;
                let second = namespace.apply("second", locked(on(&[node.name()], told("leave 0")))).await;
                first.annotate(longshore::api::ANNOTATION_RERUN, "again").await;
                write(namespace, &first.pod().await, &json!({"status": {"phase": phase}})).await;
                finished_within(&second, Duration::from_mins(3)).await.assert_succeeded();
            },
        )
        .await;
    }
}

/// The same before the node has told of the start.
#[tokio::test]
async fn a_phase_that_somebody_sets_while_the_pod_waits_denies_no_start() {
    let slow = |options: Options| Options { start_delay: Duration::from_secs(5), ..options };
    on_fake_node(Alone::Namespace, slow, async |namespace, node| {
        let first = namespace.apply("first", action(node, "sleep 20; leave 0")).await;
        let pod = bound(&first).await;
        write(namespace, &pod, &json!({"status": {"phase": "Failed", "reason": "ByHand"}})).await;
        node.cut_off();
        let _twin = twin(namespace).await;
        started(&first, 1).await;
        no_more_than(&first, 1, Duration::from_secs(15)).await;
        let seen = Done::of(first.get().await);
        assert_eq!(seen.run().attempt, 1, "it was tried again: {}", seen.message());
        node.reconnect();
    })
    .await;
}
