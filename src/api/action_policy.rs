//! `ActionPolicy`: limits on the actions of a namespace, or of the whole cluster.
#![allow(clippy::duplicated_attributes, reason = "each printer column has a type, and types repeat")]

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{pod_template::SecurityProfile, rules, values::Amount};

/// The only name that an `ActionPolicy` may have, so a namespace has at most one.
pub const NAME: &str = "default";

/// Limits on the actions of this namespace. In the operator's own namespace: limits on all actions of the
/// cluster. If both exist, both hold. A field that is left out limits nothing.
///
/// There is no field yet for the signatures that images must have.
#[derive(CustomResource, Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "longshore.dev",
    version = "v1alpha1",
    kind = "ActionPolicy",
    plural = "actionpolicies",
    shortname = "dap",
    category = "longshore",
    namespaced,
    derive = "PartialEq",
    derive = "Default",
    doc = "Limits on the actions of its namespace, or, in the operator's own namespace, on all actions of the cluster. The API server refuses actions beyond them, and the operator does not start them.",
    printcolumn(name = "Templates-only", type_ = "boolean", json_path = ".spec.templatesOnly"),
    printcolumn(name = "Digests-only", type_ = "boolean", json_path = ".spec.digestsOnly"),
    printcolumn(name = "Registries", type_ = "string", json_path = ".spec.registries"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct ActionPolicySpec {
    /// Whether actions must use a template (`spec.templateRef`). Only authors of templates then choose image
    /// and script.
    #[serde(default)]
    pub templates_only: bool,

    /// Whether images and package references must have a digest. The version that an action gives for a
    /// template's package needs none.
    #[serde(default)]
    pub digests_only: bool,

    /// Registries, or parts of one, that images and packages may come from, such as
    /// `registry.example.com:5000/team` and `docker.io/library`. They match whole parts between slashes:
    /// `a.example/team` allows `a.example/team/tools`, not `a.example/teams`. An image without a registry is
    /// from docker.io.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 32),
        inner(length(max = 255)),
        extend("x-kubernetes-list-type" = "atomic", "x-kubernetes-validations" = registries())
    )]
    pub registries: Option<Vec<String>>,

    /// The values that `podTemplate.securityProfile` may have. Its default is `Restricted`. Without `Baseline`
    /// here, security contexts may set only users and groups other than root, and a read-only root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 3),
        extend("x-kubernetes-list-type" = "atomic", "x-kubernetes-validations" = json!([not_empty("securityProfiles", "every profile")]))
    )]
    pub security_profiles: Option<Vec<SecurityProfile>>,

    /// The most that `runDeadlineSeconds` and `terminationGracePeriodSeconds` may be together: a script can run
    /// that long. Their defaults are 3600 and 30.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604_800))]
    pub max_run_deadline_seconds: Option<i64>,

    /// The most that `pendingDeadlineSeconds` may be. Its default is 600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86_400))]
    pub max_pending_deadline_seconds: Option<i64>,

    /// The most that `resources.limits` and `resources.requests` may say, by resource. An action must set a
    /// limit for each of `cpu`, `memory` and `ephemeral-storage` that is named here, since it could use any
    /// amount otherwise. A `LimitRange` does not count.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "rules::quantities")]
    pub max_resources: BTreeMap<String, Amount>,
}

/// A registry in lower case that cannot be one of Docker Hub's repositories, and parts of a repository.
const PLACE: &str = concat!(
    r"^(?:(?:LABEL(?:[.]LABEL)+|localhost|\[[a-f0-9:]+\])(?::[0-9]{1,5})?|LABEL:[0-9]{1,5})",
    "(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*$"
);
const LABEL: &str = "[a-z0-9](?:[a-z0-9-]*[a-z0-9])?";

/// Rules of `registries`.
fn registries() -> Value {
    json!([
        not_empty("registries", "every registry"),
        {
            "rule": format!("self.all(place, place.matches(r'{}'))", PLACE.replace("LABEL", LABEL)),
            "message": "write each registry by its full name, with parts of a repository if not all of it is allowed, in lower case, without scheme, tag or a slash at the end: registry.example.com, registry.example.com:5000/team or docker.io/library",
        },
        {
            "rule": "self.all(place, place != 'index.docker.io' && !place.startsWith('index.docker.io/'))",
            "message": "registries has index.docker.io, whose images count as those of docker.io: write docker.io",
        },
    ])
}

/// An empty list would allow nothing, and looks like one that allows everything.
fn not_empty(field: &str, all: &str) -> Value {
    json!({
        "rule": "self.size() > 0",
        "message": format!("an empty list would allow no action at all: leave {field} out to allow {all}, or write what is allowed"),
    })
}

/// Rules of the whole object.
pub(super) fn object() -> Value {
    json!([{
        "rule": format!("self.metadata.name == '{NAME}'"),
        "message": format!("a namespace has one ActionPolicy, and its name is {NAME}: write all that is allowed into that one"),
        "fieldPath": ".metadata.name",
    }])
}
