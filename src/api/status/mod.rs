//! `status`: what became of an action.

pub mod history;
mod log;
mod phase;
mod run;

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::history::PastRun;
pub use self::{
    log::{LogState, LogStatus},
    phase::Phase,
    run::{AttemptStatus, Deadlines, Launcher, LockStatus, RunStatus, Trigger},
};
use super::{condition::Conditions, packages::PackageStatus, rules, template_ref::TemplateKind};

/// The longest tail of a log that the status holds, in bytes.
pub const MAX_TAIL_BYTES: usize = 16 * 1024;
/// How many ranges of missing frames the status names at most.
pub const MAX_MISSING: usize = 20;
/// The longest token that asks for a run, in characters.
pub const MAX_TOKEN_CHARACTERS: usize = 253;

/// What became of the action: written by the operator only.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentActionStatus {
    /// The generation of the spec that this status speaks of; -1 where the operator has not yet
    /// seen the action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// A word for people and field selectors, derived from the conditions: Pending, Launching,
    /// Running, Retrying, Queued, Succeeded, Failed, Suspended or Idle. More may come.
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
    /// The template that the latest run was made of, as it was then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<TemplateStatus>,
    /// What the script of the latest run reported.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "rules::outputs")]
    pub outputs: BTreeMap<String, String>,
    /// The log of the latest run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<LogStatus>,
    /// The text of the annotation `longshore.dev/rerun` that has been acted on: set in the write that
    /// begins the run. Whoever waits for a run that was asked for so waits for this first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub last_handled_rerun: Option<String>,
    /// The last 10 runs that have ended, the latest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10), extend("x-kubernetes-list-type" = "atomic"))]
    pub history: Vec<PastRun>,
    /// What is the case: Ready, Succeeded, Finished, and, only while they are True, others.
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

/// Which image was asked for and which one runs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageStatus {
    /// As the spec had it.
    #[schemars(length(max = 512))]
    pub requested: String,
    /// Pinned, `repository@digest`: what the pod's spec says.
    #[schemars(length(max = 1024))]
    pub resolved: String,
    /// Digest of the manifest for the platform that actions run on, where the registry told it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 160))]
    pub platform_digest: Option<String>,
    /// Digest of the image's config, where the registry told it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 160))]
    pub config_digest: Option<String>,
    /// What the node reports that it ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub running: Option<String>,
    /// The numeric user that the script runs as: under the profile Restricted the image's own where
    /// that is a number and not root, else 65532. Not set where the image decides (Baseline).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_as_user: Option<i64>,
    /// The user that the image names, where that is a name and `runAsUser` runs in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub replaced_user: Option<String>,
}

/// The template that a run was made of, frozen with it: a later change of the template starts nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TemplateStatus {
    /// Its kind.
    pub kind: TemplateKind,
    /// Its name.
    #[schemars(length(max = 253))]
    pub name: String,
    /// Its UID, which a template that is created again under the name does not share.
    #[schemars(length(max = 64))]
    pub uid: String,
    /// Its generation.
    pub generation: i64,
    /// SHA-256 of its spec.
    #[schemars(length(max = 64))]
    pub sha256: String,
}
