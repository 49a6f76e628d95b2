//! Templates. Their maintainer decides once how something is deployed. Actions name a template and choose
//! values.
#![allow(clippy::duplicated_attributes, reason = "each printer column has a type, and types repeat")]

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use super::template_ref::{TemplateKind, TemplateRef};
use super::{
    action::{Log, Output, Resources, Script, Variable, VariablesFrom},
    packages::{DeclaredPackage, MAX_PACKAGES},
    parameters::{MAX_PARAMETERS, MAX_PATTERNS, Parameter},
    pod_template::PodTemplate,
    rules,
    values::SecretName,
};

/// A template for actions of its namespace.
#[derive(CustomResource, Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "longshore.dev",
    version = "v1alpha1",
    kind = "DeploymentActionTemplate",
    plural = "deploymentactiontemplates",
    shortname = "dat",
    category = "longshore",
    namespaced,
    derive = "PartialEq",
    derive = "Default",
    doc = "A template for deployment actions of its namespace. It says the image and the script, and which parameters and package versions an action chooses.",
    printcolumn(name = "Image", type_ = "string", json_path = ".spec.image"),
    printcolumn(name = "Generation", type_ = "integer", json_path = ".metadata.generation"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(transparent)]
pub struct DeploymentActionTemplateSpec(pub TemplateSpec);

/// A template for actions of all namespaces.
#[derive(CustomResource, Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "longshore.dev",
    version = "v1alpha1",
    kind = "ClusterDeploymentActionTemplate",
    plural = "clusterdeploymentactiontemplates",
    shortname = "cdat",
    category = "longshore",
    derive = "PartialEq",
    derive = "Default",
    doc = "A template for deployment actions of all namespaces. It says the image and the script, and which parameters and package versions an action chooses. Secrets, ConfigMaps and service accounts that it names are those of the action's namespace.",
    printcolumn(name = "Image", type_ = "string", json_path = ".spec.image"),
    printcolumn(name = "Generation", type_ = "integer", json_path = ".metadata.generation"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(transparent)]
pub struct ClusterDeploymentActionTemplateSpec(pub TemplateSpec);

/// The image, the script, and the choices of an action. Objects that the template names are those of the
/// action's namespace.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = template_rules()))]
pub struct TemplateSpec {
    /// The image whose tools the script uses, with a tag or a digest. Longshore resolves a tag to a digest once
    /// for each run.
    #[schemars(length(min = 1, max = 512), extend("x-kubernetes-validations" = rules::image()))]
    pub image: String,

    /// Secrets of type `kubernetes.io/dockerconfigjson` with which nodes pull the image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub image_pull_secrets: Vec<SecretName>,

    /// The script to run. Write either `script` or `command`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<Script>,

    /// A program of the image to run instead of a script, and its first arguments. Nothing in it is
    /// expanded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), inner(length(max = 8192)), extend("x-kubernetes-list-type" = "atomic", "x-kubernetes-validations" = rules::command()))]
    pub command: Option<Vec<String>>,

    /// Arguments for the script or the command. Nothing in them is expanded: parameters are variables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 8192)), extend("x-kubernetes-list-type" = "atomic"))]
    pub args: Vec<String>,

    /// Variables of the script that no action chooses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 128),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"], "x-kubernetes-validations" = rules::variables())
    )]
    pub variables: Vec<Variable>,

    /// Whole Secrets and `ConfigMap`s whose keys become variables. If two have the same key, the later one
    /// wins. `variables` and parameters win over all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub variables_from: Vec<VariablesFrom>,

    /// Values that an action chooses. Each reaches the script as a variable of the same name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = MAX_PARAMETERS),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub parameters: Vec<Parameter>,

    /// The packages to deploy. An action gives the version of each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = MAX_PACKAGES),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub packages: Vec<DeclaredPackage>,

    /// Values that the script reports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub outputs: Vec<Output>,

    /// The service account that the script acts as. Its API token is mounted. Without this field the pod has no
    /// API token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), extend("x-kubernetes-validations" = rules::object_name()))]
    pub service_account_name: Option<String>,

    /// How long the script may run, in seconds from its start. Default: 3600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604_800))]
    pub run_deadline_seconds: Option<i64>,

    /// How long a run may take until its script starts, in seconds. Default: 600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86_400))]
    pub pending_deadline_seconds: Option<i64>,

    /// How long a script may clean up after it was asked to stop, in seconds. Default: 30.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 3_600))]
    pub termination_grace_period_seconds: Option<i64>,

    /// The folder in which the script starts: an absolute path, or `Image` for the image's own WORKDIR.
    /// Default: an empty folder of the script's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), extend("x-kubernetes-validations" = rules::working_dir()))]
    pub working_dir: Option<String>,

    /// How the script's output reaches the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<Log>,

    /// CPU, memory and other resources of the script's container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,

    /// Labels and annotations of the pod, where it may run, what it may do, and further volumes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_template: Option<PodTemplate>,
}

/// Rules of a template's spec.
fn template_rules() -> Value {
    json!([
        rules::no_file_elsewhere(),
        rules::rule_at(
            ".script",
            "has(self.script) != has(self.command)",
            "give exactly one of script (script.inline, run by an interpreter) and command (a program of the image with its arguments)"
        ),
        rules::rule_at(
            ".parameters",
            "!has(self.variables) || !has(self.parameters) || self.variables.all(variable, !self.parameters.exists(parameter, parameter.name == variable.name))",
            "a parameter has the name of one of the variables, and both would be the same variable of the script: rename one"
        ),
        rules::rule_at(
            ".parameters",
            &format!(
                "!has(self.parameters) || self.parameters.filter(parameter, {}).map(parameter, parameter.pattern.size()).sum() <= {MAX_PATTERNS}",
                rules::given("parameter", "pattern")
            ),
            &format!(
                "the patterns of the parameters have more than {MAX_PATTERNS} characters together: make them shorter, or let the script check"
            )
        ),
        rules::rule_at(
            ".templateRef",
            "!has(self.templateRef)",
            "a template is made of no other, nor of itself: write here what that one says, and leave templateRef out"
        ),
    ])
}

/// The schema of a field that no template may have. Without it the API server would drop the field silently,
/// and the template would run without what it names.
pub(super) fn no_template_ref() -> Value {
    json!({
        "description": "Not offered: a template cannot use another template. The API server refuses this field.",
        "type": "object",
        "properties": {
            "kind": {"description": "Not offered.", "type": "string"},
            "name": {"description": "Not offered.", "type": "string"},
        },
    })
}
