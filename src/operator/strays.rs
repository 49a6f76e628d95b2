//! Pods whose action is gone: nobody waits for their verdict, so they are let go.
//!
//! The finalizer would keep them forever: an action that is gone is never looked at again.

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, ResourceExt};
use tracing::{info, warn};

use super::{CallError, call, finish};
use crate::api::{DeploymentAction, FINALIZER_COLLECT, LABEL_ACTION};

/// The action that a pod names by label and by owner: its name and UID.
#[must_use]
pub fn owner(pod: &Pod) -> Option<(String, String)> {
    let uid = pod.owner_references().iter().find(|owner| owner.controller == Some(true))?.uid.clone();
    Some((pod.labels().get(LABEL_ACTION)?.clone(), uid))
}

/// Whether somebody must look whether this pod's action is still there.
#[must_use]
pub fn may_be_stray(pod: &Pod) -> bool {
    let held = pod.finalizers().iter().any(|finalizer| finalizer == FINALIZER_COLLECT);
    held && pod.metadata.deletion_timestamp.is_some()
}

/// Lets the pod go if its action is gone.
pub async fn let_go(client: &Client, pod: &Pod) {
    let name = pod.name_any();
    match try_let_go(client, pod).await {
        Ok(true) => info!(pod = name, "its action is gone: the pod was released"),
        Ok(false) => {}
        Err(error) => warn!(pod = name, %error, "the pod of an action that is gone was not released"),
    }
}

async fn try_let_go(client: &Client, pod: &Pod) -> Result<bool, CallError> {
    let namespace = pod.namespace().unwrap_or_default();
    if let Some((action, uid)) = owner(pod) {
        let actions: Api<DeploymentAction> = Api::namespaced(client.clone(), &namespace);
        let live = call(actions.get_metadata_opt(&action)).await?;
        if live.is_some_and(|live| live.metadata.uid.as_deref() == Some(&uid)) {
            return Ok(false);
        }
    }
    let uid = pod.uid().unwrap_or_default();
    finish::release(client, &namespace, &pod.name_any(), &uid).await?;
    Ok(true)
}
