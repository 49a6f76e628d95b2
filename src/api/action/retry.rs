//! `retry`: when another attempt follows.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::defaults;
use crate::api::rules;

/// When another attempt follows one that failed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules::retry()))]
pub struct Retry {
    /// How many attempts may follow the first.
    #[schemars(range(min = 0, max = 10))]
    pub limit: u32,

    /// The causes after which another attempt follows. Default: `NeverStarted` alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4), extend("x-kubernetes-list-type" = "atomic"))]
    pub causes: Vec<RetryCause>,

    /// The exit codes to which the cause `ScriptFailed` is limited. Default: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(range(min = 1, max = 255)), extend("x-kubernetes-list-type" = "atomic"))]
    pub exit_codes: Vec<i32>,

    /// The pause before the second attempt, in seconds. It doubles with each attempt, and up to a quarter is
    /// added. Default: 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86_400))]
    pub backoff_seconds: Option<i64>,

    /// The longest pause, in seconds. Default: 300, or `backoffSeconds` if that is longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86_400))]
    pub max_backoff_seconds: Option<i64>,
}

impl Retry {
    /// The causes after which another attempt follows, or the default.
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

/// A cause after which another attempt may follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum RetryCause {
    /// The script certainly never started. A quota left no room for its pod, or the pod got no node, no image or
    /// no Secret before the pending deadline, or its container could not start.
    NeverStarted,
    /// The script ended with an exit code other than 0, by a signal, for lack of memory, or without a required
    /// output.
    ScriptFailed,
    /// The script may have run in part. Its pod was evicted or deleted, its node was lost, or nobody knows how
    /// it ended. The next attempt waits until the one before can no longer be running.
    Interrupted,
    /// The script was stopped at `runDeadlineSeconds`.
    DeadlineExceeded,
}
