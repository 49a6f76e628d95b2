//! The steps that stop a pod: this very pod, and none that took its name since.

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
};

use serde_json::json;

use super::{CallError, FIELD_MANAGER, call, view::AT_ONCE_SECONDS};

/// Deletes the pod with this name and UID.
///
/// # Errors
/// The API server's; a pod that is gone or has another UID is none.
pub async fn delete(client: &Client, namespace: &str, name: &str, uid: &str) -> Result<(), CallError> {
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

/// Has the kubelet end every container of the pod with this name and UID that still runs; the pod,
/// and what is known of its containers, stays.
///
/// # Errors
/// The API server's; a pod that is gone or has another UID is none.
pub async fn expire(client: &Client, namespace: &str, name: &str, uid: &str) -> Result<(), CallError> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    // The UID is a precondition.
    let patch = json!({"metadata": {"uid": uid}, "spec": {"activeDeadlineSeconds": AT_ONCE_SECONDS}});
    let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    match call(pods.patch(name, &parameters, &Patch::Merge(patch))).await {
        Ok(_) => Ok(()),
        Err(error) if matches!(error.code(), Some(404 | 409)) => Ok(()),
        Err(error) => Err(error),
    }
}
