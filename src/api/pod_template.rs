//! `podTemplate`: what an action says of its pod beside the script's container.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Affinity, CSIVolumeSource, ConfigMapVolumeSource, DownwardAPIVolumeSource, EmptyDirVolumeSource,
    EphemeralVolumeSource, HostAlias, PersistentVolumeClaimVolumeSource, PodSecurityContext,
    ProjectedVolumeSource, SecretVolumeSource, SecurityContext, Toleration, VolumeMount,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::Display;

use super::rules;

/// Settings of the pod beside the script's container.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules::pod_template()))]
pub struct PodTemplate {
    /// Labels and annotations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<PodMetadata>,
    /// Labels that the pod's node must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32, "x-kubernetes-map-type" = "atomic", "x-kubernetes-validations" = rules::node_selector()))]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that the pod tolerates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "atomic"))]
    pub tolerations: Vec<Toleration>,
    /// Nodes on which the pod should or must run, or must not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,
    /// The pod's priority class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub priority_class_name: Option<String>,
    /// The runtime class that runs the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), extend("x-kubernetes-validations" = rules::object_name()))]
    pub runtime_class_name: Option<String>,
    /// Further lines of the pod's hosts file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "atomic"))]
    pub host_aliases: Vec<HostAlias>,
    /// The rights of the container. `Restricted` (default): never root, no capabilities, a read-only root.
    /// `UserNamespaceRoot`: root in a user namespace, if the nodes support it. `Baseline`: the image's user,
    /// even root, with the runtime's capabilities. Pod Security of the namespace must allow it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_profile: Option<SecurityProfile>,
    /// Security settings of the pod. Each takes the place of the profile's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = rules::security_context()))]
    pub security_context: Option<PodSecurityContext>,
    /// Security settings of the script's container. Each takes the place of the profile's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = rules::container_security_context()))]
    pub container_security_context: Option<SecurityContext>,
    /// Further volumes of the pod.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub volumes: Vec<Volume>,
    /// Mounts of the volumes in the script's container.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["mountPath"], "x-kubernetes-validations" = rules::volume_mounts()))]
    pub volume_mounts: Vec<VolumeMount>,
}

impl PodTemplate {
    /// Whether it says more than which nodes the pod may run on. Only people who may create pods may say more.
    /// [`super::policy::use_policy`] says the same, with the reasons.
    #[must_use]
    pub fn claims_more(&self) -> bool {
        // Every field is named, so that a new one cannot be forgotten here.
        let Self {
            metadata,
            node_selector: _,
            tolerations,
            affinity,
            priority_class_name,
            runtime_class_name,
            host_aliases,
            security_profile,
            security_context,
            container_security_context,
            volumes,
            volume_mounts,
        } = self;
        metadata.as_ref().is_some_and(|of| !of.labels.is_empty() || !of.annotations.is_empty())
            || !tolerations.is_empty()
            || affinity.as_ref().is_some_and(speaks_of_pods)
            || priority_class_name.is_some()
            || runtime_class_name.is_some()
            || !host_aliases.is_empty()
            || security_profile.is_some_and(|profile| profile != SecurityProfile::Restricted)
            || security_context.is_some()
            || container_security_context.is_some()
            || !volumes.is_empty()
            || !volume_mounts.is_empty()
    }
}

/// Whether it has a rule about other pods. An empty list is no rule.
fn speaks_of_pods(affinity: &Affinity) -> bool {
    let near = affinity.pod_affinity.as_ref().map(|of| {
        (
            of.required_during_scheduling_ignored_during_execution.as_deref(),
            of.preferred_during_scheduling_ignored_during_execution.as_deref(),
        )
    });
    let far = affinity.pod_anti_affinity.as_ref().map(|of| {
        (
            of.required_during_scheduling_ignored_during_execution.as_deref(),
            of.preferred_during_scheduling_ignored_during_execution.as_deref(),
        )
    });
    [near, far].into_iter().flatten().any(|(required, preferred)| {
        required.is_some_and(|terms| !terms.is_empty()) || preferred.is_some_and(|terms| !terms.is_empty())
    })
}

/// The rights of the container. `Restricted` (default): never root, no capabilities, a read-only root.
/// `UserNamespaceRoot`: root in a user namespace, if the nodes support it. `Baseline`: the image's user, even
/// root, with the runtime's capabilities. Pod Security of the namespace must allow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema, Display)]
pub enum SecurityProfile {
    /// Never root, no capabilities, a read-only root: Pod Security "restricted".
    #[default]
    Restricted,
    /// Root inside a user namespace. On the node this is an ordinary user.
    UserNamespaceRoot,
    /// The user that the image names, with the runtime's capabilities: Pod Security "baseline".
    Baseline,
}

/// A volume with exactly one source. `hostPath` is not offered: a pod that sees its node's files controls the
/// node.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic", "x-kubernetes-validations" = rules::volume()))]
pub struct Volume {
    /// The volume's name. Mounts refer to it.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// An empty folder that is deleted with the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub empty_dir: Option<EmptyDirVolumeSource>,
    /// Keys of a `ConfigMap` as files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<ConfigMapVolumeSource>,
    /// Keys of a Secret as files. The log does not mask them: name in `variables` what must be masked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretVolumeSource>,
    /// Several sources in one folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub projected: Option<ProjectedVolumeSource>,
    /// Facts of the pod as files.
    #[serde(default, rename = "downwardAPI", skip_serializing_if = "Option::is_none")]
    pub downward_api: Option<DownwardAPIVolumeSource>,
    /// A volume that outlives the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent_volume_claim: Option<PersistentVolumeClaimVolumeSource>,
    /// A volume that its storage class creates for the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ephemeral: Option<EphemeralVolumeSource>,
    /// A volume of a CSI driver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub csi: Option<CSIVolumeSource>,
}

/// Labels and annotations of the pod. Longshore sets the keys of `longshore.dev` itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodMetadata {
    /// The pod's labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32, "x-kubernetes-validations" = rules::labels()))]
    pub labels: BTreeMap<String, String>,
    /// The pod's annotations. Longshore needs most of the 256 KiB that a pod may have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32, "x-kubernetes-validations" = rules::annotations()))]
    pub annotations: BTreeMap<String, String>,
}
