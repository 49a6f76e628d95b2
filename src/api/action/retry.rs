//! `retry`: when an attempt is followed by another one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::defaults;
use crate::api::rules;

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
