//! The log of a run, as far as the status has it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The longest text about a stored log, in bytes.
pub const MAX_STORED_MESSAGE_BYTES: usize = 512;

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
    /// The log in the archive. Set once all is done for it. Without an archive it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<StoredLogStatus>,
}

/// A log in the archive.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StoredLogStatus {
    /// Whether the archive has all of it.
    pub state: StoredState,
    /// The folder in the archive, below the archive's URL. It has the log and the record of the run.
    #[schemars(length(max = 256))]
    pub key: String,
    /// Until when it is kept at most, if the archive has a limit of age. Other limits may remove it earlier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// The missing part, and the cause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub message: Option<String>,
}

/// Whether the archive has all of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum StoredState {
    /// All of it, and the record of the run.
    Complete,
    /// A part of it, and the record of the run.
    Incomplete,
    /// A part of it at most, and no record.
    #[default]
    Failed,
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
