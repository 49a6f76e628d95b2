//! `script`, `log` and `outputs`: what runs, and what comes back from it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::rules;

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
