//! The record of a run, which is stored beside its log.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The version that this release writes. A field that is added needs no other version.
pub const VERSION: u32 = 1;

/// Its name in the log's folder. No log has ended without one.
pub(super) const NAME: &str = "run.json";

/// The largest record that is read.
pub(super) const MAX_BYTES: u64 = 2 * 1024 * 1024;

/// The inputs of an attempt, as they were frozen, and its end. With two records, two runs can be compared when
/// their pods and their action are gone.
///
/// It holds no value of a variable, no script and no output: names and hashes alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunRecord {
    /// [`VERSION`] of the release that wrote it.
    pub version: u32,
    /// The action.
    pub action: ActionRecord,
    /// The run.
    pub run: RunNumber,
    /// The pod.
    pub pod: PodRecord,
    /// The inputs.
    pub executed: Executed,
    /// When.
    pub times: Times,
    /// How it ended.
    pub verdict: Verdict,
    /// The outputs: their names, and the SHA-256 of their values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, String>,
    /// The log.
    pub log: LogRecord,
}

/// The action of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ActionRecord {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// The generation of the spec that the run executed.
    pub generation: i64,
}

/// The run and the attempt.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunNumber {
    /// The run's number.
    pub number: u32,
    /// The run's id.
    pub id: String,
    /// The attempt's number within the run.
    pub attempt: u32,
    /// The cause of the run.
    pub trigger: String,
}

/// The pod of an attempt.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodRecord {
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Its node, if it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
}

/// The inputs of an attempt, as they were frozen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Executed {
    /// Hash of all that is executed, as the status has it.
    pub spec_hash: String,
    /// The image with its digest.
    pub image: String,
    /// The image that the node reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_on_node: Option<String>,
    /// The packages with their digests, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub packages: BTreeMap<String, String>,
    /// SHA-256 of the script, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script_sha256: Option<String>,
    /// SHA-256 of the instructions that the pod was given: script, arguments and plain values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle_sha256: Option<String>,
    /// The template, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<TemplateRecord>,
    /// The names of the variables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variables: Vec<String>,
}

/// The template of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TemplateRecord {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Its generation.
    pub generation: i64,
    /// SHA-256 of its spec.
    pub sha256: String,
}

/// When things happened.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Times {
    /// The operator began the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_at: Option<Timestamp>,
    /// The script's container started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// The verdict was reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
}

/// How an attempt ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// The reason, as in the conditions.
    pub reason: String,
    /// The script's exit code, or 128 plus the signal's number if a signal ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
}

/// What the operator knows of the log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogRecord {
    /// Whether all of it was read, with the right count and hash.
    pub complete: bool,
    /// Its lines.
    pub lines: u64,
    /// Its bytes, masked.
    pub bytes: u64,
    /// SHA-256 of these bytes, if it is complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// The missing parts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
}

impl RunRecord {
    /// A record that says nothing yet.
    #[must_use]
    pub fn new(action: ActionRecord, run: RunNumber, pod: PodRecord) -> Self {
        Self {
            version: VERSION,
            action,
            run,
            pod,
            executed: Executed::default(),
            times: Times::default(),
            verdict: Verdict::default(),
            outputs: BTreeMap::new(),
            log: LogRecord::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_a_later_release_is_read() {
        let record = RunRecord::new(ActionRecord::default(), RunNumber::default(), PodRecord::default());
        let mut json = serde_json::to_value(&record).unwrap();
        json["executed"]["addedLater"] = true.into();
        assert_eq!(serde_json::from_value::<RunRecord>(json).unwrap(), record);
    }
}
