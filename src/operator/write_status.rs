//! The step that writes a status: it replaces it, if nobody else has changed the action since.

use kube::{Api, Client, ResourceExt, api::PostParams};

use super::{CallError, FIELD_MANAGER, call};
use crate::api::{DeploymentAction, DeploymentActionStatus};

/// Writes `status` onto `action`, and returns the action as it is then.
///
/// # Errors
/// The API server's; 409 where the action was changed since it was read.
pub async fn write_status(
    client: &Client,
    action: &DeploymentAction,
    status: DeploymentActionStatus,
) -> Result<DeploymentAction, CallError> {
    let actions: Api<DeploymentAction> =
        Api::namespaced(client.clone(), action.metadata.namespace.as_deref().unwrap_or_default());
    let mut wanted = action.clone();
    wanted.status = Some(status);
    // Pruned in the cache, and refused in a request.
    wanted.metadata.managed_fields = None;
    let parameters = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    call(actions.replace_status(&action.name_any(), &parameters, &wanted)).await
}
