//! Packages: what an action deploys, and what a run has of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::rules;

/// The most packages that an action may have.
pub const MAX_PACKAGES: usize = 16;

/// An image, a Helm chart or another artifact in a registry, to be deployed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct Package {
    /// The package's name. Its content is in the folder `$LONGSHORE_PACKAGES/NAME`.
    #[schemars(length(min = 1, max = 63), extend("x-kubernetes-validations" = name_rules()))]
    pub name: String,

    /// The package, with a tag or a digest. Longshore resolves a tag to a digest once, when a run starts, and
    /// the pod gets that digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), extend("x-kubernetes-validations" = rules::reference("reference")))]
    pub reference: Option<String>,

    /// The version of a package whose repository a template names: a tag, or a digest (`sha256:...`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 160))]
    pub version: Option<String>,
}

/// The kind of a package. It decides how a pod gets the package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum PackageKind {
    /// An image. Nodes mount it if they can.
    Image,
    /// An artifact of another type, such as a Helm chart. An init container fetches it.
    Artifact,
    /// The operator could not read it, and knows its digest from the spec. An init container finds out what it
    /// is.
    #[default]
    Unread,
}

/// The package that the spec asked for, and the one that the run has.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PackageStatus {
    /// The package's name.
    #[schemars(length(max = 63))]
    pub name: String,
    /// The reference or version in the spec.
    #[schemars(length(max = 512))]
    pub requested: String,
    /// The package with its digest, `repository@digest`. The pod has this one.
    #[schemars(length(max = 1024))]
    pub resolved: String,
    /// `Image`: nodes mount it if they can. `Artifact`: an init container fetches it. `Unread`: the operator
    /// could not read it and knows its digest from the spec, so an init container finds out.
    #[serde(default)]
    pub kind: PackageKind,
    /// The type of its content, as its manifest names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub media_type: Option<String>,
}

/// A package that a template declares. The action chooses its version.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct DeclaredPackage {
    /// The package's name. Its content is in the folder `$LONGSHORE_PACKAGES/NAME`.
    #[schemars(length(min = 1, max = 63), extend("x-kubernetes-validations" = name_rules()))]
    pub name: String,

    /// The repository of its versions, without tag and digest.
    #[schemars(length(min = 1, max = 255), extend("x-kubernetes-validations" = rules::repository()))]
    pub repository: String,

    /// The versions that an action may choose, as a range such as `>=1.4 <2`, `^1.4`, `~1.4.2`, `1.x` or `1.4.2
    /// || >=2`. A pre-release fits only a range that names one of the same version. With a range the version
    /// must be such a tag and not a digest. Default: any tag or digest.
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
