//! `script`, `log` and `outputs`: what runs, and what it returns.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::rules;

/// A script and what runs it: exactly one of `inline` and `configMapKeyRef`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic", "x-kubernetes-validations" = rules::script()))]
pub struct Script {
    /// The script's text.
    // The schema allows more than the rule, so that users read the rule's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1_048_576), extend("x-kubernetes-validations" = rules::inline()))]
    pub inline: Option<String>,

    /// A key of a `ConfigMap` in the action's namespace that holds the script, up to 1 MiB. A run freezes the
    /// script's hash when it starts, and does not run a script that changes before the pod has it. A changed
    /// `ConfigMap` alone starts no run: it sets the condition `SourceOutdated`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<ScriptRef>,

    /// The interpreter and its arguments, such as `[python3, -u]`. Default: the one that the script's `#!` line
    /// names, or else `/bin/sh`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 1024)), extend("x-kubernetes-list-type" = "atomic"))]
    pub interpreter: Vec<String>,

    /// The name of the script's file, such as `deploy.ps1`, for interpreters that depend on a file's ending.
    /// The file is alone in a folder of its own. Default: `script`.
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
    /// `Merged` (default): standard output and standard error are one pipe. The log keeps the order in which
    /// the script wrote, and does not tell the two apart. `Separate`: each has a pipe. The log tells the two
    /// apart, and lines written at nearly the same time may change places.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub streams: Option<LogStreams>,
}

impl Log {
    /// The choice, or its default.
    #[must_use]
    pub fn streams(&self) -> LogStreams {
        self.streams.unwrap_or_default()
    }
}

/// `Merged` (default): standard output and standard error are one pipe. The log keeps the order in which the
/// script wrote, and does not tell the two apart. `Separate`: each has a pipe. The log tells the two apart, and
/// lines written at nearly the same time may change places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum LogStreams {
    /// One pipe for both.
    #[default]
    Merged,
    /// A pipe for each.
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
    /// Whether a run without this output fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required: Option<bool>,
    /// Whether its value is secret. The operator puts it into a Secret that the action owns and that
    /// `status.outputsSecretRef` names. The log, the status and other outputs show `***` in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sensitive: Option<bool>,
}

impl Output {
    /// Whether its value is secret.
    #[must_use]
    pub fn is_sensitive(&self) -> bool {
        self.sensitive == Some(true)
    }
}
