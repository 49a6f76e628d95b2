//! `DeploymentAction`: what a user writes.
#![allow(clippy::duplicated_attributes, reason = "each printer column has a type, and types repeat")]

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{
        Affinity, CSIVolumeSource, ConfigMapVolumeSource, DownwardAPIVolumeSource, EmptyDirVolumeSource,
        EphemeralVolumeSource, HostAlias, PersistentVolumeClaimVolumeSource, PodSecurityContext,
        ProjectedVolumeSource, SecretVolumeSource, SecurityContext, Toleration, VolumeMount,
    },
    apimachinery::pkg::api::resource::Quantity,
};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    packages::{MAX_PACKAGES, Package},
    parameters::{MAX_PARAMETERS, ParameterValue},
    rules,
    status::{Deadlines, DeploymentActionStatus},
    template::TemplateRef,
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
    /// The template that says what is executed. The action then gives `parameters` and the versions
    /// of `packages`, and nothing that the template says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template_ref: Option<TemplateRef>,

    /// Values of the template's parameters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = MAX_PARAMETERS),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub parameters: Vec<ParameterValue>,

    /// What is deployed: images, Helm charts and other artifacts of registries; by reference, or, with
    /// a template, by version. Each is resolved to a digest once, when a run starts, and is there for
    /// the script, read-only, as the folder `$LONGSHORE_PACKAGES/NAME`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = MAX_PACKAGES),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub packages: Vec<Package>,

    /// The image whose tools the script uses, with a tag or a digest. A tag is resolved to a digest
    /// once, when a run starts, and the pod runs that digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), extend("x-kubernetes-validations" = rules::image()))]
    pub image: Option<String>,

    /// Secrets of type `kubernetes.io/dockerconfigjson` in the action's namespace, with which nodes
    /// pull the image. The operator reads them to resolve a tag where the namespace grants it `get`
    /// on them by name; where it does not, a pod of the namespace resolves the tag.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub image_pull_secrets: Vec<SecretName>,

    /// The script to run. Either `script` or `command` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<Script>,

    /// A program of the image to run instead of a script, and its first arguments; for images
    /// without an interpreter. Nothing in it is expanded.
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

    /// Whole Secrets and `ConfigMap`s whose keys become environment variables. Of two that have the
    /// same key the later one wins, and `variables` win over all of them. Keys that cannot be a
    /// variable's name, or that begin with `LONGSHORE_`, are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub variables_from: Vec<VariablesFrom>,

    /// What the script reports: it writes `name=value` lines to the file that `$LONGSHORE_OUTPUT`
    /// names, and the values appear in `status.outputs`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub outputs: Vec<Output>,

    /// The service account that the script acts as, with its API token mounted. Where none is
    /// named, the pod has no API token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), extend("x-kubernetes-validations" = rules::object_name()))]
    pub service_account_name: Option<String>,

    /// How long the script may run, in seconds from its start. Then it gets SIGTERM, and SIGKILL
    /// after `terminationGracePeriodSeconds`. Where none is given, 3600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604_800))]
    pub run_deadline_seconds: Option<i64>,

    /// How long a run may take until its script starts, in seconds: resolving the image,
    /// scheduling, pulling, mounting. Where none is given, 600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86_400))]
    pub pending_deadline_seconds: Option<i64>,

    /// How long a script that was asked to stop may take to clean up, in seconds, before it is
    /// killed. Where none is given, 30.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 3_600))]
    pub termination_grace_period_seconds: Option<i64>,

    /// How long the pod of a finished run is kept, in seconds from its end. The action itself stays,
    /// unless `ttlSecondsAfterFinished` is set.
    #[serde(default = "defaults::pod_retention")]
    #[schemars(range(min = 0, max = 31_536_000))]
    pub pod_retention_seconds: i64,

    /// The folder in which the script starts: an absolute path of a folder of the image or of a volume, or
    /// `Image` for the image's own (its WORKDIR). It must be there. The default is an empty folder of the
    /// script's own.
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

    /// When a run starts. `OnChange`: when what is executed changes, or `runToken` does. `Once`: the
    /// first time only. `Manual`: when `runToken` changes. Under each, another text of the annotation
    /// `longshore.dev/rerun` starts a run too.
    #[serde(default)]
    pub run_policy: RunPolicy,

    /// Whether new runs are held back until this is false or gone. A run that is under way goes on,
    /// with its further attempts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,

    /// Whether and when an attempt that failed is followed by another one, in a pod of its own, with
    /// the same image digest and the same inputs. Where none is given, there is one attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,

    /// A lock of the namespace: of all actions that name it, one runs at a time, over all attempts of
    /// its run. Where none is given, a run waits for no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<Lock>,

    /// How long a finished action is kept, in seconds from the end of its latest run; then it is
    /// deleted, and its pods with it. Only for an action that is created with `metadata.generateName`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 31_536_000))]
    pub ttl_seconds_after_finished: Option<i64>,

    /// A text of the user's, such as a release's name. A new text starts a run under the policies
    /// `OnChange` and `Manual`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub run_token: Option<String>,
}

impl DeploymentActionSpec {
    /// The deadlines, with the defaults where the spec gives none. The schema has no defaults: a
    /// rule could then not tell what was written from what was not.
    #[must_use]
    pub fn deadlines(&self) -> Deadlines {
        Deadlines {
            pending_seconds: self.pending_deadline_seconds.unwrap_or(defaults::PENDING_DEADLINE),
            run_seconds: self.run_deadline_seconds.unwrap_or(defaults::RUN_DEADLINE),
            grace_seconds: self.termination_grace_period_seconds.unwrap_or(defaults::GRACE),
        }
    }
}

/// In `workingDir`: the folder that the image names.
pub const IMAGE_S_FOLDER: &str = "Image";

/// How a script's output reaches the log.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Log {
    /// `Merged` (where nothing is given): standard output and standard error are one pipe. The log has the
    /// lines in the order in which they were written, and does not tell the two apart. `Separate`: each has
    /// a pipe. The log tells the two apart, and lines that follow each other closely may change places.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub streams: Option<LogStreams>,
}

impl Log {
    /// How standard output and standard error reach the log.
    #[must_use]
    pub fn streams(&self) -> LogStreams {
        self.streams.unwrap_or_default()
    }
}

/// `Merged` (where nothing is given): standard output and standard error are one pipe. The log has the lines
/// in the order in which they were written, and does not tell the two apart. `Separate`: each has a pipe. The
/// log tells the two apart, and lines that follow each other closely may change places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum LogStreams {
    /// By one pipe.
    #[default]
    Merged,
    /// By a pipe each.
    Separate,
}

/// A lock, and what becomes of a run while others have it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules::lock()))]
pub struct Lock {
    /// The lock's name: actions of the namespace that give the same one never run at the same time.
    #[schemars(length(min = 1, max = 63), extend("x-kubernetes-validations" = rules::object_name()))]
    pub name: String,

    /// What becomes of a run while another one has the lock, or has asked for it before. `Queue`: it
    /// waits, first come, first served. `Fail`: it fails at once. Where none is given, `Queue`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when_held: Option<WhenHeld>,

    /// How long a run may wait for the lock, in seconds from when it was taken up. Where none is given,
    /// 3600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2_592_000))]
    pub queue_deadline_seconds: Option<i64>,
}

impl Lock {
    /// What becomes of a run while another one has the lock.
    #[must_use]
    pub fn when_held(&self) -> WhenHeld {
        self.when_held.unwrap_or_default()
    }

    /// How long a run may wait, in seconds.
    #[must_use]
    pub fn queue_deadline(&self) -> i64 {
        self.queue_deadline_seconds.unwrap_or(defaults::QUEUE_DEADLINE)
    }
}

/// What becomes of a run while another one has its lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum WhenHeld {
    /// It waits.
    #[default]
    Queue,
    /// It fails.
    Fail,
}

/// When an attempt is followed by another one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules::retry()))]
pub struct Retry {
    /// How many attempts may follow the first.
    #[schemars(range(min = 0, max = 10))]
    pub limit: u32,

    /// What is followed by another attempt; where none is given, `NeverStarted` alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4), extend("x-kubernetes-list-type" = "atomic"))]
    pub causes: Vec<RetryCause>,

    /// Of `ScriptFailed`, only these exit codes; where none is given, all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(range(min = 1, max = 255)), extend("x-kubernetes-list-type" = "atomic"))]
    pub exit_codes: Vec<i32>,

    /// The pause before the second attempt, in seconds; it doubles with each, and up to a quarter is
    /// added. Where none is given, 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86_400))]
    pub backoff_seconds: Option<i64>,

    /// The longest pause, in seconds. Where none is given, 300, or `backoffSeconds` where that is more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86_400))]
    pub max_backoff_seconds: Option<i64>,
}

impl Retry {
    /// What is followed by another attempt.
    #[must_use]
    pub fn causes(&self) -> &[RetryCause] {
        if self.causes.is_empty() { &[RetryCause::NeverStarted] } else { &self.causes }
    }

    /// The first and the longest pause, in seconds.
    #[must_use]
    pub fn backoff(&self) -> (i64, i64) {
        let first = self.backoff_seconds.unwrap_or(defaults::BACKOFF);
        let longest = self.max_backoff_seconds.unwrap_or_else(|| defaults::MAX_BACKOFF.max(first));
        (first.min(longest), longest)
    }
}

/// What may be followed by another attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum RetryCause {
    /// The script certainly never started: its pod was refused, got no node, no image or no Secret
    /// until the pending deadline, or the container could not be started.
    NeverStarted,
    /// The script ended with an exit code other than 0, by a signal, short of memory, or without a
    /// required output.
    ScriptFailed,
    /// The pod was evicted or deleted, its node was lost, or nobody knows how the script ended: it may
    /// have run in part. The next attempt waits until the one before certainly runs no more.
    Interrupted,
    /// The script was stopped at `runDeadlineSeconds`.
    DeadlineExceeded,
}

/// The name of a Secret in the action's namespace.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct SecretName {
    /// The Secret's name.
    #[schemars(length(min = 1, max = 253), extend("x-kubernetes-validations" = rules::object_name()))]
    pub name: String,
}

/// A script and what runs it: exactly one of `inline` and `configMapKeyRef`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic", "x-kubernetes-validations" = rules::script()))]
pub struct Script {
    /// The script's text.
    // Longer than the rule allows, so that the rule's words are read and not the schema's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1_048_576), extend("x-kubernetes-validations" = rules::inline()))]
    pub inline: Option<String>,

    /// A key of a `ConfigMap` in the action's namespace that holds the script's text, up to the 1 MiB
    /// that a `ConfigMap` holds. Its hash is frozen when a run starts, and a script that changes
    /// before the pod has it is not run. A change of the `ConfigMap` alone starts nothing; the condition
    /// `SourceOutdated` tells of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<ScriptRef>,

    /// The interpreter and its arguments, such as `[python3, -u]`. Where none is given, the
    /// script's `#!` line decides, and where it has none, `/bin/sh`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 1024)), extend("x-kubernetes-list-type" = "atomic"))]
    pub interpreter: Vec<String>,

    /// The name of the script's file, such as `deploy.ps1`, for interpreters that go by a file's ending.
    /// The file is alone in a folder of its own. `script` where none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), extend("x-kubernetes-validations" = rules::file_name()))]
    pub file_name: Option<String>,
}

/// A key of a `ConfigMap` that holds a script.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct ScriptRef {
    /// The `ConfigMap`'s name.
    #[schemars(length(min = 1, max = 253), extend("x-kubernetes-validations" = rules::object_name()))]
    pub name: String,
    /// The key in it.
    #[schemars(length(min = 1, max = 253), extend("x-kubernetes-validations" = rules::data_key()))]
    pub key: String,
}

/// A whole Secret or `ConfigMap` whose keys become environment variables: exactly one of the two.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic", "x-kubernetes-validations" = rules::variables_from()))]
pub struct VariablesFrom {
    /// What is put in front of each key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub prefix: Option<String>,
    /// A Secret in the action's namespace. All its values are masked in the log and in outputs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<ObjectRef>,
    /// A `ConfigMap` in the action's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_ref: Option<ObjectRef>,
}

/// A Secret or `ConfigMap` as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct ObjectRef {
    /// The object's name.
    #[schemars(length(min = 1, max = 253), extend("x-kubernetes-validations" = rules::object_name()))]
    pub name: String,
    /// Whether the object may be missing; none of its variables is then set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optional: Option<bool>,
}

/// A variable of the script.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic", "x-kubernetes-validations" = rules::variable()))]
pub struct Variable {
    /// The environment variable's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,

    /// The value. Where neither `value` nor `valueFrom` is given, it is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32_768))]
    pub value: Option<String>,

    /// Where the value comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<ValueFrom>,

    /// `Env` (where nothing is given): the variable holds the value. `File`: it holds the path of a
    /// file with the value.
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    pub form: Option<VariableForm>,

    /// With `as: File`, the file's mode: `0600` in YAML, 384 in JSON. It lets the script's user alone
    /// write to the file. Where none is given, 0600.
    // Wider than the rule allows, so that the rule's words are read and not the schema's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 4_095), extend("x-kubernetes-validations" = rules::file_mode()))]
    pub mode: Option<i32>,

    /// With `as: File`, the path of a link to the file. One that begins with `~/` is below the home
    /// (`~/.ssh/id_ed25519`), any other below the working folder (`config/app.yaml`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200), extend("x-kubernetes-validations" = rules::file_path()))]
    pub path: Option<String>,
}

impl Variable {
    /// The mode of the file that holds a value, where none is given: ssh takes no key that others can read.
    pub const MODE: i32 = 0o600;
}

/// How a variable's value reaches the script. `Env` (where nothing is given): the variable holds the
/// value. `File`: it holds the path of a file with the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum VariableForm {
    /// In the environment.
    Env,
    /// In a file, whose path is in the environment.
    File,
}

/// Where a variable's value comes from: exactly one of the two.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic", "x-kubernetes-validations" = rules::value_from()))]
pub struct ValueFrom {
    /// A key of a Secret in the action's namespace. Its value is masked in the log and in outputs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<KeyRef>,
    /// A key of a `ConfigMap` in the action's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<KeyRef>,
}

/// A key of a Secret or `ConfigMap`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct KeyRef {
    /// The object's name.
    #[schemars(length(min = 1, max = 253), extend("x-kubernetes-validations" = rules::object_name()))]
    pub name: String,
    /// The key in it.
    #[schemars(length(min = 1, max = 253), extend("x-kubernetes-validations" = rules::data_key()))]
    pub key: String,
    /// Whether the object or the key may be missing; the variable is then not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optional: Option<bool>,
}

/// A value that the script reports.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct Output {
    /// Its name, as the script writes it.
    #[schemars(length(min = 1, max = 63), extend("x-kubernetes-validations" = rules::output_name()))]
    pub name: String,
    /// Whether a run without it has failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required: Option<bool>,
}

/// Resources of the script's container.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// What is set aside for it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "rules::quantities")]
    pub requests: BTreeMap<String, Amount>,
    /// What it may use at most.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "rules::quantities")]
    pub limits: BTreeMap<String, Amount>,
}

impl Resources {
    /// Whether it asks for more of a node than everyone may: a device, say, or huge pages. The same
    /// as in [`super::policy::use_policy`], where the reasons are.
    #[must_use]
    pub fn claims_more(&self) -> bool {
        let everyones = |name: &String| matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage");
        !self.requests.keys().chain(self.limits.keys()).all(everyones)
    }
}

/// A quantity as people write it: `cpu: 1` as well as `memory: 256Mi`. Kubernetes' own type for
/// either has 32 bits, and 4 GiB written as a number have more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Amount {
    /// A whole number.
    Whole(i64),
    /// A quantity.
    Text(String),
}

/// `amounts` as the pod's spec has them.
#[must_use]
pub fn to_quantities(amounts: &BTreeMap<String, Amount>) -> Option<BTreeMap<String, Quantity>> {
    let of = |amount: &Amount| match amount {
        Amount::Whole(number) => Quantity(number.to_string()),
        Amount::Text(text) => Quantity(text.clone()),
    };
    (!amounts.is_empty()).then(|| amounts.iter().map(|(name, amount)| (name.clone(), of(amount))).collect())
}

/// What the action says of its pod beyond the container.
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
    /// Where the pod is better placed, or must not be.
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
    /// What the script's container may do. `Restricted` (where nothing is given): never root, no
    /// capabilities, a read-only root. `UserNamespaceRoot`: root in a user namespace of its own,
    /// where the nodes support it. `Baseline`: the user that the image names, root among them, with
    /// the runtime's capabilities. The namespace's Pod Security decides whether it is let in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_profile: Option<SecurityProfile>,
    /// Security settings of the pod; what is set here takes the place of the profile's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = rules::security_context()))]
    pub security_context: Option<PodSecurityContext>,
    /// Security settings of the script's container; what is set here takes the place of the
    /// profile's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = rules::container_security_context()))]
    pub container_security_context: Option<SecurityContext>,
    /// Further volumes of the pod, beside those of Longshore.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub volumes: Vec<Volume>,
    /// Where the script's container has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["mountPath"], "x-kubernetes-validations" = rules::volume_mounts()))]
    pub volume_mounts: Vec<VolumeMount>,
}

impl PodTemplate {
    /// Whether it says more than which nodes the pod may run on: what whoever may create pods could
    /// say, and nobody else. The same as in [`super::policy::use_policy`], where the reasons are.
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

/// Whether it has a rule about other pods; empty lists are none.
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

/// `Restricted` (where nothing is given): never root, no capabilities, a read-only root.
/// `UserNamespaceRoot`: root in a user namespace of its own. `Baseline`: the user that the image
/// names, root among them, with the runtime's capabilities. The namespace's Pod Security decides
/// whether it is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum SecurityProfile {
    /// Never root, no capabilities, a read-only root: Pod Security "restricted".
    #[default]
    Restricted,
    /// Root inside a user namespace, which is an ordinary user of the node.
    UserNamespaceRoot,
    /// The user that the image names, with the runtime's capabilities: Pod Security "baseline".
    Baseline,
}

/// A volume: exactly one source. There is no `hostPath`: a pod that sees its node's files has the
/// node.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic", "x-kubernetes-validations" = rules::volume()))]
pub struct Volume {
    /// Its name, by which a mount names it.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// An empty folder that ends with the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub empty_dir: Option<EmptyDirVolumeSource>,
    /// Keys of a `ConfigMap` as files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<ConfigMapVolumeSource>,
    /// Keys of a Secret as files. They are not masked in the log: name what must be masked in
    /// `variables`.
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
    /// A volume that is made for the pod by its storage class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ephemeral: Option<EphemeralVolumeSource>,
    /// A volume of a CSI driver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub csi: Option<CSIVolumeSource>,
}

/// Labels and annotations of the pod. Keys of `longshore.dev` are Longshore's own.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodMetadata {
    /// The pod's labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32, "x-kubernetes-validations" = rules::labels()))]
    pub labels: BTreeMap<String, String>,
    /// The pod's annotations; the bundle needs most of the 256 KiB that a pod may have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32, "x-kubernetes-validations" = rules::annotations()))]
    pub annotations: BTreeMap<String, String>,
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

/// Defaults of the spec, in seconds.
pub mod defaults {
    /// `runDeadlineSeconds`
    pub const RUN_DEADLINE: i64 = 3600;
    /// `retry.backoffSeconds`
    pub const BACKOFF: i64 = 10;
    /// `retry.maxBackoffSeconds`
    pub const MAX_BACKOFF: i64 = 300;
    /// `lock.queueDeadlineSeconds`
    pub const QUEUE_DEADLINE: i64 = 3600;
    /// `pendingDeadlineSeconds`
    pub const PENDING_DEADLINE: i64 = 600;
    /// `terminationGracePeriodSeconds`
    pub const GRACE: i64 = 30;
    /// `podRetentionSeconds`
    #[must_use]
    pub const fn pod_retention() -> i64 {
        86_400
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_gibibytes_may_be_written_as_a_number() {
        let resources: Resources = serde_json::from_value(
            serde_json::json!({"limits": {"cpu": "500m", "memory": 4_294_967_296_i64}}),
        )
        .unwrap();
        let limits = to_quantities(&resources.limits).unwrap();
        assert_eq!((limits["memory"].0.as_str(), limits["cpu"].0.as_str()), ("4294967296", "500m"));
    }
}
