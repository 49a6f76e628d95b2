//! The steps that stop a pod: this very pod, and never a later one of the same name.

use k8s_openapi::{api::core::v1::Pod, jiff::Timestamp};
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
};
use serde_json::{Value, json};

use crate::{
    api::{ANNOTATION_STOP_REASON, ANNOTATION_STOP_REQUESTED_AT},
    operator::{
        call::{CallError, FIELD_MANAGER, call},
        pod::view::AT_ONCE_SECONDS,
    },
};

/// Deletes the pod with this name and UID.
///
/// # Errors
/// The API server's. A pod that is gone or has another UID is not an error.
pub(crate) async fn delete(client: &Client, namespace: &str, name: &str, uid: &str) -> Result<(), CallError> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let parameters = DeleteParams {
        preconditions: Some(Preconditions { uid: Some(uid.to_owned()), resource_version: None }),
        ..DeleteParams::default()
    };
    match call(pods.delete(name, &parameters)).await {
        Ok(_) => Ok(()),
        Err(error) if matches!(error.code(), Some(404 | 409)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Makes the kubelet end every running container of the pod with this name and UID. The pod and its
/// containers' statuses stay.
///
/// # Errors
/// The API server's. A pod that is gone or has another UID is not an error.
pub(crate) async fn expire(client: &Client, namespace: &str, name: &str, uid: &str) -> Result<(), CallError> {
    // The UID is a precondition.
    let patch = json!({"metadata": {"uid": uid}, "spec": {"activeDeadlineSeconds": AT_ONCE_SECONDS}});
    change(client, namespace, name, patch).await
}

/// Writes onto the pod with this name and UID why its script must stop. The kubelet shows this to the runner,
/// so the runner knows the reason when it is asked to stop.
///
/// # Errors
/// The API server's. A pod that is gone or has another UID is not an error.
pub(crate) async fn announce(
    client: &Client,
    namespace: &str,
    name: &str,
    uid: &str,
    reason: &str,
    now: Timestamp,
) -> Result<(), CallError> {
    let annotations = json!({ANNOTATION_STOP_REASON: reason, ANNOTATION_STOP_REQUESTED_AT: now.to_string()});
    change(client, namespace, name, json!({"metadata": {"uid": uid, "annotations": annotations}})).await
}

async fn change(client: &Client, namespace: &str, name: &str, patch: Value) -> Result<(), CallError> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    match call(pods.patch(name, &parameters, &Patch::Merge(patch))).await {
        Ok(_) => Ok(()),
        Err(error) if matches!(error.code(), Some(404 | 409)) => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::testing::server::{failure, server};

    #[tokio::test]
    async fn what_is_put_down_is_put_down_on_this_very_pod() {
        let (client, seen) = server(|_| failure(409, "Conflict", "the UID in the precondition differs"));
        announce(&client, "shop", "deploy-1", "pod-1", "Cancelled: x", Timestamp::UNIX_EPOCH).await.unwrap();
        let seen = seen.lock().unwrap();
        assert_eq!(seen[0].method, "PATCH");
        let body = &seen[0].body;
        assert_eq!(body["metadata"]["uid"], "pod-1");
        assert_eq!(body["metadata"]["annotations"][ANNOTATION_STOP_REASON], "Cancelled: x");
        assert!(body["spec"].is_null());
    }
}
