//! A template of either kind, and what it asks for.

use k8s_openapi::jiff::Timestamp;
use kube::{Resource, ResourceExt};
use serde::Serialize;

use super::summary::at;
use crate::api::{
    ClusterDeploymentActionTemplate, DeploymentActionTemplate,
    parameters::Parameter,
    template::{TemplateKind, TemplateSpec},
};

/// A template of either kind.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Template {
    /// Its kind.
    pub kind: TemplateKind,
    /// Its namespace, if it is one of a namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Its generation.
    pub generation: i64,
    /// When it was created.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
    /// Its spec.
    pub spec: TemplateSpec,
}

impl Template {
    fn new<K: Resource>(kind: TemplateKind, of: &K, spec: TemplateSpec) -> Self {
        Self {
            kind,
            namespace: of.namespace(),
            name: of.name_any(),
            uid: of.uid().unwrap_or_default(),
            generation: of.meta().generation.unwrap_or_default(),
            created: at(of.meta().creation_timestamp.as_ref()),
            spec,
        }
    }
}

impl From<DeploymentActionTemplate> for Template {
    fn from(of: DeploymentActionTemplate) -> Self {
        Self::new(TemplateKind::DeploymentActionTemplate, &of, of.spec.0.clone())
    }
}

impl From<ClusterDeploymentActionTemplate> for Template {
    fn from(of: ClusterDeploymentActionTemplate) -> Self {
        Self::new(TemplateKind::ClusterDeploymentActionTemplate, &of, of.spec.0.clone())
    }
}

/// What a parameter's value must be, in words.
#[must_use]
pub fn allowed(of: &Parameter) -> String {
    let mut rules = Vec::new();
    if !of.allowed.is_empty() {
        let values: Vec<String> = of.allowed.iter().map(ToString::to_string).collect();
        rules.push(values.join("|"));
    }
    match (of.minimum, of.maximum) {
        (Some(least), Some(most)) => rules.push(format!("{least} to {most}")),
        (Some(least), None) => rules.push(format!("{least} or more")),
        (None, Some(most)) => rules.push(format!("{most} or less")),
        (None, None) => {}
    }
    rules.extend(of.pattern.as_ref().map(|pattern| format!("matches {pattern}")));
    rules.extend(of.max_length.map(|most| format!("at most {most} characters")));
    rules.join(", ")
}
