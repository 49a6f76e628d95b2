//! The step that releases a pod: it takes our finalizer off.

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::json;

use crate::{
    api::FINALIZER_COLLECT,
    operator::{
        call::{CallError, FIELD_MANAGER, call},
        pod::view::is_held,
    },
};

/// Takes our finalizer, and no other, off the pod with this name and UID.
///
/// # Errors
/// The API server's. A pod that is gone or has another UID is not an error. 409 if our finalizer is still on
/// it.
pub(crate) async fn release(
    client: &Client,
    namespace: &str,
    name: &str,
    uid: &str,
) -> Result<(), CallError> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    // A strategic merge keeps finalizers that others have set meanwhile. The UID is a precondition.
    let patch = json!({"metadata": {"uid": uid, "$deleteFromPrimitiveList/finalizers": [FINALIZER_COLLECT]}});
    let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    match call(pods.patch_metadata(name, &parameters, &Patch::Strategic(patch))).await {
        Ok(_) => Ok(()),
        Err(error) if error.code() == Some(404) => Ok(()),
        // Either the pod has another UID, or others changed it so often that the server gave up. Then the
        // release must be tried again, because nothing else releases the pod.
        Err(error) if error.code() == Some(409) => match call(pods.get_opt(name)).await? {
            Some(live) if live.metadata.uid.as_deref() == Some(uid) && is_held(&live) => Err(error),
            _ => Ok(()),
        },
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::operator::testing::server::{failure, server};

    /// Releases the pod `uid-1`. The server answers 409, and has `live` under that name.
    async fn released(live: (u16, Value)) -> Result<(), CallError> {
        let (client, _) = server(move |request| match request.method.as_str() {
            "GET" => live.clone(),
            _ => failure(409, "Conflict", "changed, or another UID"),
        });
        release(&client, "shop", "pod", "uid-1").await
    }

    #[tokio::test]
    async fn a_conflict_is_no_release_while_the_pod_is_held() {
        let pod = |uid: &str, finalizers: &[&str]| {
            (
                200,
                json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod", "uid": uid, "finalizers": finalizers}}),
            )
        };
        let held = released(pod("uid-1", &[FINALIZER_COLLECT])).await;
        assert_eq!(held.unwrap_err().code(), Some(409));
        released(pod("uid-1", &["somebody.example/else"])).await.unwrap();
        released(pod("uid-2", &[FINALIZER_COLLECT])).await.unwrap();
        released(failure(404, "NotFound", "")).await.unwrap();
    }
}
