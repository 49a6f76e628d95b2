//! `ActionPolicy`: what actions of a namespace, or of the whole cluster, may be.
#![allow(clippy::duplicated_attributes, reason = "each printer column has a type, and types repeat")]

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{pod_template::SecurityProfile, rules, values::Amount};

/// The one name that an `ActionPolicy` can have, so that a namespace has one at most.
pub const NAME: &str = "default";

/// What actions of this namespace may be; in the operator's own namespace: what all actions of the
/// cluster may be. Where both stand, both hold. What is left out is not limited.
///
/// Signatures that images must have will be asked for here too; there is no field for them yet.
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
    doc = "What actions of its namespace may be, or, in the operator's own namespace, all actions of the cluster: the API server refuses others, and the operator starts none.",
    printcolumn(name = "Templates-only", type_ = "boolean", json_path = ".spec.templatesOnly"),
    printcolumn(name = "Digests-only", type_ = "boolean", json_path = ".spec.digestsOnly"),
    printcolumn(name = "Registries", type_ = "string", json_path = ".spec.registries"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct ActionPolicySpec {
    /// Whether actions must come from a template (`spec.templateRef`), so that nobody else chooses
    /// image and script.
    #[serde(default)]
    pub templates_only: bool,

    /// Whether images and package references must have a digest. A version that a release chooses of
    /// a template's package needs none.
    #[serde(default)]
    pub digests_only: bool,

    /// From where images and packages may come: registries, or parts of one, such as
    /// `registry.example.com`, `registry.example.com:5000/team` and `docker.io/library`. They are
    /// compared part by part between slashes: `registry.example.com/team` allows
    /// `registry.example.com/team/tools` and not `registry.example.com/teamwork`. An image without a
    /// registry is one of docker.io.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 32),
        inner(length(max = 255)),
        extend("x-kubernetes-list-type" = "atomic", "x-kubernetes-validations" = registries())
    )]
    pub registries: Option<Vec<String>>,

    /// Which values `podTemplate.securityProfile` may have; where it says nothing, that is
    /// `Restricted`. Where `Baseline` is not among them, neither may `podTemplate.securityContext` and
    /// `podTemplate.containerSecurityContext` set what could give more than the profiles do: only
    /// users and groups other than root, and a root file system that is read-only or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 3),
        extend("x-kubernetes-list-type" = "atomic", "x-kubernetes-validations" = json!([not_empty("securityProfiles", "every profile")]))
    )]
    pub security_profiles: Option<Vec<SecurityProfile>>,

    /// The longest `runDeadlineSeconds` and `terminationGracePeriodSeconds` together: so long can a
    /// script run. An action that says none has 3600 and 30.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604_800))]
    pub max_run_deadline_seconds: Option<i64>,

    /// The longest `pendingDeadlineSeconds`. An action that says none has 600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86_400))]
    pub max_pending_deadline_seconds: Option<i64>,

    /// The most that `resources.limits` and `resources.requests` may say, by the resource's name. An
    /// action without a limit for `cpu`, `memory` or `ephemeral-storage` could use any amount of it,
    /// so where a maximum is set here, a limit must be set there; a `LimitRange` is not counted. Of
    /// other resources an action has none unless it asks.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "rules::quantities")]
    pub max_resources: BTreeMap<String, Amount>,
}

/// A lower-case registry that could be none of Docker Hub's repositories, and parts of a repository.
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
            "message": "write each registry by its full name, with parts of a repository where not all of it is allowed, in lower case, without scheme, tag or a slash at the end: registry.example.com, registry.example.com:5000/team or docker.io/library",
        },
        {
            "rule": "self.all(place, place != 'index.docker.io' && !place.startsWith('index.docker.io/'))",
            "message": "write docker.io: images of index.docker.io count as its",
        },
    ])
}

/// An empty list would allow nothing at all, and looks like one that allows everything.
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
