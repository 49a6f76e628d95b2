//! Packages: what an action deploys, and what became of that in a run.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::rules;

/// How many packages an action has at most.
pub const MAX_PACKAGES: usize = 16;

/// Something that is deployed: an image, a Helm chart or another artifact in a registry.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct Package {
    /// The package's name: its content is in the folder `$LONGSHORE_PACKAGES/NAME`.
    #[schemars(length(min = 1, max = 63), extend("x-kubernetes-validations" = name_rules()))]
    pub name: String,

    /// The package, with a tag or a digest. A tag is resolved to a digest once, when a run starts,
    /// and the pod gets that digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), extend("x-kubernetes-validations" = rules::reference("reference")))]
    pub reference: Option<String>,

    /// The version of a package whose repository a template names: a tag, or a digest
    /// (`sha256:...`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 160))]
    pub version: Option<String>,
}

/// What a package is, as far as that decides how a pod gets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum PackageKind {
    /// An image, which nodes mount where they can.
    Image,
    /// An artifact of another type, such as a Helm chart, which an init container fetches.
    Artifact,
    /// The operator could not read it: its digest was given, and an init container finds out.
    #[default]
    Unread,
}

/// Which package was asked for and which one the run has.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PackageStatus {
    /// The package's name.
    #[schemars(length(max = 63))]
    pub name: String,
    /// As the spec had it.
    #[schemars(length(max = 512))]
    pub requested: String,
    /// Pinned, `repository@digest`: what the pod has.
    #[schemars(length(max = 1024))]
    pub resolved: String,
    /// `Image`: nodes mount it where they can. `Artifact`: an init container fetches it. `Unread`:
    /// its digest was given and the operator could not read it, so an init container finds out.
    #[serde(default)]
    pub kind: PackageKind,
    /// The type of what it holds, as its manifest names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub media_type: Option<String>,
}

/// A package that a template declares: the action chooses its version.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct DeclaredPackage {
    /// The package's name: its content is in the folder `$LONGSHORE_PACKAGES/NAME`.
    #[schemars(length(min = 1, max = 63), extend("x-kubernetes-validations" = name_rules()))]
    pub name: String,

    /// Where its versions are: a repository, without tag and digest.
    #[schemars(length(min = 1, max = 255), extend("x-kubernetes-validations" = rules::repository()))]
    pub repository: String,

    /// Which versions an action may choose: a range of semantic versions as Helm and Flux write it,
    /// such as `>=1.4 <2`, `^1.4`, `~1.4.2`, `1.x` or `1.4.2 || >=2`. Pre-releases are allowed only
    /// where the range names one of the same version. With a range a version must be such a tag, and
    /// no digest. Where none is given, any tag or digest is allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub versions: Option<String>,
}

fn name_rules() -> Value {
    json!([rules::rule(
        "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
        "a package's name is that of its folder: lower-case letters, digits and '-', with a letter or digit at both ends"
    )])
}
