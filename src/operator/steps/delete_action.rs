//! The step that deletes an action whose `spec.ttlSecondsAfterFinished` are over.

use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, Preconditions},
};

use crate::{
    api::DeploymentAction,
    operator::call::{CallError, call},
};

/// Deletes this very action, exactly as it was read, and its pods with it. An action that somebody has
/// changed since stays: the change may ask for another run.
///
/// # Errors
/// The API server's. An action that is gone or was changed is not an error.
pub(crate) async fn delete(client: &Client, action: &DeploymentAction) -> Result<(), CallError> {
    let namespace = action.metadata.namespace.as_deref().unwrap_or_default();
    let actions: Api<DeploymentAction> = Api::namespaced(client.clone(), namespace);
    let very_this = Preconditions { uid: action.uid(), resource_version: action.resource_version() };
    let parameters = DeleteParams { preconditions: Some(very_this), ..DeleteParams::background() };
    match call(actions.delete(&action.name_any(), &parameters)).await {
        Ok(_) => Ok(()),
        Err(error) if matches!(error.code(), Some(404 | 409)) => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::testing::{
        objects::{UID, action},
        server::{failure, server},
    };

    #[tokio::test]
    async fn an_action_that_was_changed_meanwhile_stays() {
        let (client, seen) =
            server(|_| failure(409, "Conflict", "the ResourceVersion in the precondition differs"));
        delete(&client, &action()).await.unwrap();
        let seen = seen.lock().unwrap();
        assert_eq!((seen.len(), seen[0].method.as_str()), (1, "DELETE"));
        let body = &seen[0].body;
        assert_eq!(
            (&body["preconditions"]["uid"], &body["preconditions"]["resourceVersion"]),
            (&UID.into(), &"10".into())
        );
        assert_eq!(body["propagationPolicy"], "Background");
    }
}
