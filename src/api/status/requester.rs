//! Who asked for something.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The longest name of a user or a person, in characters. What is longer is cut.
pub const MAX_NAME_CHARACTERS: usize = 253;

/// Who asked for something. For an action of Argo CD or Flux, that is the controller's account.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Requester {
    /// The user, as the API server has authenticated them. It is missing where no admission policy records
    /// users: before Kubernetes 1.36, or with the chart's `policies.requester.enabled: false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub user: Option<String>,
    /// The person that the user acts for, as the annotation `longshore.dev/on-behalf-of` claims. Nobody has
    /// checked it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub claimed_on_behalf_of: Option<String>,
}

/// A rerun that the operator has seen and not begun. It counts, even if its annotation is removed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PendingRerun {
    /// The value of the annotation `longshore.dev/rerun`.
    #[schemars(length(max = 253))]
    pub token: String,
    /// Who asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_by: Option<Requester>,
    /// When the operator saw it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen_at: Option<Time>,
}
