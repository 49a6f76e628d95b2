//! `DeploymentAction`: what a user writes.
#![allow(clippy::duplicated_attributes, reason = "each printer column has a type, and types repeat")]

pub mod defaults;
mod lock;
mod resources;
mod retry;
mod script;
mod variables;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::{
    lock::{Lock, WhenHeld},
    resources::Resources,
    retry::{Retry, RetryCause},
    script::{Log, LogStreams, Output, Script, ScriptRef},
    variables::{ObjectRef, Variable, VariableForm, VariablesFrom},
};
use super::{
    packages::{MAX_PACKAGES, Package},
    parameters::{MAX_PARAMETERS, ParameterValue},
    rules,
    status::{Deadlines, DeploymentActionStatus},
    template_ref::TemplateRef,
};
pub use super::{
    pod_template::{PodMetadata, PodTemplate, SecurityProfile, Volume},
    rules::IMAGE_S_FOLDER,
    values::{Amount, KeyRef, SecretName, ValueFrom, to_quantities},
};

/// An image with the tools, a script and variables, run once in a pod with the image pinned.
#[derive(CustomResource, Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "longshore.dev",
    version = "v1alpha1",
    kind = "DeploymentAction",
    plural = "deploymentactions",
    shortname = "da",
    category = "longshore",
    namespaced,
    status = "DeploymentActionStatus",
    derive = "PartialEq",
    derive = "Default",
    selectable = ".status.phase",
    doc = "A deployment action: an image with the tools, a script and variables, run once in a pod with the image pinned; result, outputs and log come back in the status.",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#
    ),
    printcolumn(name = "Run", type_ = "integer", json_path = ".status.run.number"),
    printcolumn(name = "Started", type_ = "date", json_path = ".status.run.startedAt"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Exit", type_ = "integer", json_path = ".status.run.exitCode", priority = 1),
    printcolumn(
        name = "Seconds",
        type_ = "integer",
        json_path = ".status.run.durationSeconds",
        priority = 1
    ),
    printcolumn(name = "Image", type_ = "string", json_path = ".status.image.resolved", priority = 1),
    printcolumn(name = "Pod", type_ = "string", json_path = ".status.run.podName", priority = 1),
    printcolumn(name = "Node", type_ = "string", json_path = ".status.run.nodeName", priority = 1),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#,
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules::spec()))]
pub struct DeploymentActionSpec {
    /// The template that says what is executed. The action then gives `parameters` and the versions of
    /// `packages`. It gives nothing that the template says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template_ref: Option<TemplateRef>,

    /// Values of the template's parameters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = MAX_PARAMETERS),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub parameters: Vec<ParameterValue>,

    /// The images, Helm charts and other artifacts to deploy, each by `reference`, or, with a template, by
    /// `version`. Longshore resolves each to a digest once, when a run starts. The script finds it, read-only,
    /// in the folder `$LONGSHORE_PACKAGES/NAME`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = MAX_PACKAGES),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub packages: Vec<Package>,

    /// The image whose tools the script uses, with a tag or a digest. Longshore resolves a tag to a digest
    /// once, when a run starts, and the pod runs that digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), extend("x-kubernetes-validations" = rules::image()))]
    pub image: Option<String>,

    /// Secrets of type `kubernetes.io/dockerconfigjson` in the action's namespace. Nodes pull the image with
    /// them. The operator reads them to resolve a tag if the namespace grants it `get` on them by name.
    /// Otherwise a pod of the namespace resolves the tag.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub image_pull_secrets: Vec<SecretName>,

    /// The script to run. Write either `script` or `command`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<Script>,

    /// A program of the image to run instead of a script, and its first arguments. It is for images without an
    /// interpreter. Nothing in it is expanded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), inner(length(max = 8192)), extend("x-kubernetes-list-type" = "atomic", "x-kubernetes-validations" = rules::command()))]
    pub command: Option<Vec<String>>,

    /// Arguments for the script or the command. Nothing in them is expanded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 8192)), extend("x-kubernetes-list-type" = "atomic"))]
    pub args: Vec<String>,

    /// Variables of the script, as environment variables or as files. `$(NAME)` is never expanded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 128),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"], "x-kubernetes-validations" = rules::variables())
    )]
    pub variables: Vec<Variable>,

    /// Whole Secrets and `ConfigMap`s whose keys become environment variables. If two have the same key, the
    /// later one wins. `variables` win over all of them. Keys that cannot be a variable's name, or that begin
    /// with `LONGSHORE_`, are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub variables_from: Vec<VariablesFrom>,

    /// Values that the script reports. It writes lines `name=value` to the file `$LONGSHORE_OUTPUT`, and the
    /// values appear in `status.outputs`.
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

    /// How long the script may run, in seconds from its start. Then it gets SIGTERM, and SIGKILL after
    /// `terminationGracePeriodSeconds`. Default: 3600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604_800))]
    pub run_deadline_seconds: Option<i64>,

    /// How long a run may take until its script starts, in seconds. This covers resolving the image,
    /// scheduling, pulling and mounting. Default: 600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86_400))]
    pub pending_deadline_seconds: Option<i64>,

    /// How long a script may clean up after it was asked to stop, in seconds. Then it is killed. Default: 30.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 3_600))]
    pub termination_grace_period_seconds: Option<i64>,

    /// How long the pod of a finished run is kept, in seconds from the run's end. The action itself stays,
    /// unless `ttlSecondsAfterFinished` is set.
    #[serde(default = "defaults::pod_retention")]
    #[schemars(range(min = 0, max = 31_536_000))]
    pub pod_retention_seconds: i64,

    /// The folder in which the script starts. Write the absolute path of a folder of the image or of a volume,
    /// or `Image` for the image's own WORKDIR. The folder must exist. Default: an empty folder of the script's
    /// own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), extend("x-kubernetes-validations" = rules::working_dir()))]
    pub working_dir: Option<String>,

    /// How the script's output reaches the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<Log>,

    /// CPU, memory and other resources that the script's container requests and is limited to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,

    /// Labels and annotations of the pod, where it may run, what it may do, and further volumes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_template: Option<PodTemplate>,

    /// When a run starts. `OnChange`: when what is executed changes, or `runToken` changes. `Once`: the first
    /// time only. `Manual`: when `runToken` changes. Under each policy a new value of the annotation
    /// `longshore.dev/rerun` starts a run too.
    #[serde(default)]
    pub run_policy: RunPolicy,

    /// Whether new runs are held back until this is false or removed. A run that is under way goes on, with its
    /// further attempts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,

    /// Whether and when another attempt follows one that failed. It has a pod of its own, the same image digest
    /// and the same inputs. Default: one attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,

    /// A lock of the namespace. One of the actions that name it runs at a time. A run holds it over all its
    /// attempts. Default: a run waits for no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<Lock>,

    /// How long a finished action is kept, in seconds from the end of its latest run. Then it is deleted with
    /// its pods. Only an action that is created with `metadata.generateName` may have this field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 31_536_000))]
    pub ttl_seconds_after_finished: Option<i64>,

    /// A text of your own, such as the name of a release. A new text starts a run under the policies `OnChange`
    /// and `Manual`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub run_token: Option<String>,
}

impl DeploymentActionSpec {
    /// The deadlines of the spec, or their defaults. The schema has no defaults, because a rule could then not
    /// tell what the user wrote.
    #[must_use]
    pub fn deadlines(&self) -> Deadlines {
        Deadlines {
            pending_seconds: self.pending_deadline_seconds.unwrap_or(defaults::PENDING_DEADLINE),
            run_seconds: self.run_deadline_seconds.unwrap_or(defaults::RUN_DEADLINE),
            grace_seconds: self.termination_grace_period_seconds.unwrap_or(defaults::GRACE),
        }
    }
}

/// When a run starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum RunPolicy {
    /// When what is executed changes, or the run token does.
    #[default]
    OnChange,
    /// The first time only.
    Once,
    /// When the run token changes.
    Manual,
}
