//! `status`: what became of an action.

pub mod history;
mod log;
mod phase;
mod requester;
mod run;

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::history::PastRun;
pub use self::{
    log::{LogState, LogStatus, MAX_STORED_MESSAGE_BYTES, StoredLogStatus, StoredState},
    phase::Phase,
    requester::{MAX_NAME_CHARACTERS, PendingRerun, Requester},
    run::{AttemptStatus, Deadlines, Launcher, LockStatus, RunStatus, Trigger},
};
use super::{condition::Conditions, packages::PackageStatus, rules, template_ref::TemplateKind};

/// The longest tail of a log that the status holds, in bytes.
pub const MAX_TAIL_BYTES: usize = 16 * 1024;
/// The most ranges of missing frames that the status names.
pub const MAX_MISSING: usize = 20;
/// The longest token that asks for a run, in characters.
pub const MAX_TOKEN_CHARACTERS: usize = 253;

/// The state and the result of the action. Only the operator writes it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentActionStatus {
    /// The generation of the spec that this status describes. It is -1 until the operator has seen the action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The state in one word, for people and field selectors: Pending, Launching, Running, Retrying, Queued,
    /// Succeeded, Failed, Suspended or Idle. It follows from the conditions. Later versions may add words.
    #[serde(default, deserialize_with = "phase::read", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 63))]
    pub phase: Option<Phase>,
    /// The image of the latest run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageStatus>,
    /// The packages of the latest run, in the spec's order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub packages: Vec<PackageStatus>,
    /// The latest run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunStatus>,
    /// The template of the latest run, as it was then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<TemplateStatus>,
    /// The outputs that the script of the latest run reported.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "rules::outputs")]
    pub outputs: BTreeMap<String, String>,
    /// The Secret with the sensitive outputs of the latest run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs_secret_ref: Option<OutputsSecret>,
    /// The log of the latest run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<LogStatus>,
    /// The value of the annotation `longshore.dev/rerun` that the operator has acted on. The write that begins
    /// the run sets it. To wait for a rerun, wait for this value first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub last_handled_rerun: Option<String>,
    /// A rerun that the operator has seen while another run was under way or held back. Its run follows, even
    /// if the annotation is removed meanwhile. Flux, for one, removes annotations that kubectl has written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_rerun: Option<PendingRerun>,
    /// The last 10 runs that have ended, the latest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10), extend("x-kubernetes-list-type" = "atomic"))]
    pub history: Vec<PastRun>,
    /// Ready, Succeeded and Finished, and others only while they are True.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"])
    )]
    pub conditions: Vec<Condition>,
}

impl DeploymentActionStatus {
    /// The conditions, to look at.
    #[must_use]
    pub fn conditions(&self) -> Conditions<'_> {
        Conditions(&self.conditions)
    }
}

/// The Secret with the sensitive outputs of a run. Its type is `longshore.dev/outputs`, and it goes with the
/// action.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OutputsSecret {
    /// The Secret's name.
    #[schemars(length(max = 253))]
    pub name: String,
    /// The Secret's UID. A Secret of this name with another UID is not the one that the operator made.
    #[schemars(length(max = 64))]
    pub uid: String,
    /// The outputs in it: each is a key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 63)), extend("x-kubernetes-list-type" = "atomic"))]
    pub keys: Vec<String>,
}

/// The image that the spec asked for, and the one that runs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageStatus {
    /// The image in the spec.
    #[schemars(length(max = 512))]
    pub requested: String,
    /// The image with its digest, `repository@digest`. The pod's spec has this one.
    #[schemars(length(max = 1024))]
    pub resolved: String,
    /// The digest of the manifest for the platform that actions run on, if the registry told it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 160))]
    pub platform_digest: Option<String>,
    /// The digest of the image's config, if the registry told it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 160))]
    pub config_digest: Option<String>,
    /// The image that the node reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub running: Option<String>,
    /// The numeric user of the script. Under the profile Restricted it is the image's own user if that is a
    /// number other than 0, else 65532. It is not set if the image decides (Baseline).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_as_user: Option<i64>,
    /// The user that the image names, if `runAsUser` takes its place because it is a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub replaced_user: Option<String>,
}

/// The template of a run, frozen with it. A later change of the template starts no run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TemplateStatus {
    /// The template's kind.
    pub kind: TemplateKind,
    /// The template's name.
    #[schemars(length(max = 253))]
    pub name: String,
    /// The template's UID. A template that is created again with the same name has another one.
    #[schemars(length(max = 64))]
    pub uid: String,
    /// The template's generation.
    pub generation: i64,
    /// SHA-256 of the template's spec.
    #[schemars(length(max = 64))]
    pub sha256: String,
}
