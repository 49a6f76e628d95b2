//! `templateRef`: which template an action is made of.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{Display, IntoStaticStr};

use super::rules;

/// Which template an action is made of.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct TemplateRef {
    /// `DeploymentActionTemplate` (where nothing is given), of the action's namespace, or
    /// `ClusterDeploymentActionTemplate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<TemplateKind>,
    /// The template's name.
    #[schemars(length(min = 1, max = 253), extend("x-kubernetes-validations" = rules::object_name()))]
    pub name: String,
}

impl TemplateRef {
    /// The kind, the default included.
    #[must_use]
    pub fn kind(&self) -> TemplateKind {
        self.kind.unwrap_or_default()
    }
}

/// The kinds of templates.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema, Display, IntoStaticStr,
)]
pub enum TemplateKind {
    /// One of the action's namespace.
    #[default]
    DeploymentActionTemplate,
    /// One for all namespaces.
    ClusterDeploymentActionTemplate,
}

impl TemplateKind {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}
