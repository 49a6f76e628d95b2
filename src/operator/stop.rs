//! The step that deletes a pod: this very pod, and none that took its name since.

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client,
    api::{DeleteParams, Preconditions},
};

use super::{CallError, call};

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
