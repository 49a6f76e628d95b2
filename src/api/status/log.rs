//! The log of a run, as far as the status has it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The log of a run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LogStatus {
    /// Whether the operator has read all of it.
    pub state: LogState,
    /// The number of lines read.
    pub lines: u64,
    /// The number of bytes read, masked.
    pub bytes: u64,
    /// SHA-256 of the whole log, masked, once it is complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub sha256: Option<String>,
    /// The parts that are missing, if the log is incomplete.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 21), inner(length(max = 256)), extend("x-kubernetes-list-type" = "atomic"))]
    pub missing: Vec<String>,
    /// The number of lines in the container's log that the runner did not write.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub foreign_lines: u64,
    /// The last lines, at most 16 KiB, as a terminal shows them in the end, without colours and control
    /// characters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 16_384))]
    pub tail: String,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Whether the operator has read all of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum LogState {
    /// The operator is reading it.
    #[default]
    Collecting,
    /// The operator has read all of it. Count and hash agree with the runner's.
    Complete,
    /// A part is missing. This does not change the verdict.
    Incomplete,
}
