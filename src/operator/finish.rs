//! The step that lets a pod go: takes our finalizer off it.

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::json;

use super::{CallError, FIELD_MANAGER, call};
use crate::api::FINALIZER_COLLECT;

/// Takes our finalizer, and no other, off the pod with this name and UID.
///
/// # Errors
/// The API server's; a pod that is gone or has another UID is none.
pub async fn release(client: &Client, namespace: &str, name: &str, uid: &str) -> Result<(), CallError> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    // A strategic merge: other finalizers stay, whoever set them meanwhile. The UID is a precondition.
    let patch = json!({"metadata": {"uid": uid, "$deleteFromPrimitiveList/finalizers": [FINALIZER_COLLECT]}});
    let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    match call(pods.patch_metadata(name, &parameters, &Patch::Strategic(patch))).await {
        Ok(_) => Ok(()),
        Err(error) if matches!(error.code(), Some(404 | 409)) => Ok(()),
        Err(error) => Err(error),
    }
}
