//! Somebody else's pod under the name of an attempt's pod. It is a copy of the operator's pod, runs nothing
//! and has a forged end. Not a forged success: a termination message is not believed without the log that
//! proves it, whoever's pod it is.

use axum::body::Bytes;
use http::request::Parts;
use k8s_openapi::{api::core::v1::Pod, jiff::Timestamp};
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

/// Makes it, from the operator's own request to create its pod.
pub(crate) async fn create(client: &Client, head: &Parts, body: &Bytes) {
    let mut wanted: Value = serde_json::from_slice(body).expect("a pod");
    let namespace = head.uri.path().split('/').nth(4).expect("a namespace").to_owned();
    wanted["metadata"]["ownerReferences"] = json!([]);
    wanted["metadata"]["finalizers"] = json!([]);
    // No node ever gets it.
    wanted["spec"]["schedulingGates"] = json!([{"name": "faults.longshore.dev/never"}]);
    let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    let wanted: Pod = serde_json::from_value(wanted).expect("a pod");
    let Ok(made) = pods.create(&PostParams::default(), &wanted).await else { return };
    let (now, image) =
        (Timestamp::now(), wanted.spec.as_ref().and_then(|spec| spec.containers[0].image.clone()));
    let status = json!({"status": {"phase": "Failed", "containerStatuses": [{
        "name": longshore::api::CONTAINER, "image": image, "imageID": image, "ready": false, "restartCount": 0,
        "containerID": "containerd://0",
        "state": {"terminated": {
            "exitCode": 137, "reason": "OOMKilled", "containerID": "containerd://0",
            "startedAt": now, "finishedAt": now,
        }},
    }]}});
    pods.patch_status(&made.name_any(), &PatchParams::default(), &Patch::Merge(status))
        .await
        .expect("forging a pod's end");
}
