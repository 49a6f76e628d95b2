//! `templateRef`: the template that an action uses.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{Display, IntoStaticStr};

use super::rules;

/// The template that an action uses.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct TemplateRef {
    /// `DeploymentActionTemplate` (default): a template of the action's namespace.
    /// `ClusterDeploymentActionTemplate`: a template of the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<TemplateKind>,
    /// The template's name.
    #[schemars(length(min = 1, max = 253), extend("x-kubernetes-validations" = rules::object_name()))]
    pub name: String,
}

impl TemplateRef {
    /// The kind, or its default.
    #[must_use]
    pub fn kind(&self) -> TemplateKind {
        self.kind.unwrap_or_default()
    }
}

/// `DeploymentActionTemplate` (default): a template of the action's namespace.
/// `ClusterDeploymentActionTemplate`: a template of the cluster.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema, Display, IntoStaticStr,
)]
pub enum TemplateKind {
    /// A template of the action's namespace.
    #[default]
    DeploymentActionTemplate,
    /// A template for all namespaces.
    ClusterDeploymentActionTemplate,
}

impl TemplateKind {
    /// The kind as users write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}
