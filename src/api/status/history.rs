//! The runs of an action that have ended.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use super::run::AttemptStatus;
use super::{log::StoredLogStatus, requester::Requester, run::Trigger};
use crate::api::reason::{Class, Reason};

/// The most runs that `status.history` keeps, the latest first.
pub const MAX_HISTORY: usize = 10;
/// The most attempts of a run: the first, and as many as `spec.retry.limit` may add.
pub const MAX_ATTEMPTS: usize = 11;

/// How a run ended, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum RunOutcome {
    /// The run did its work.
    Succeeded,
    /// The run did not do its work.
    #[default]
    Failed,
    /// Somebody cancelled the run.
    Cancelled,
    /// The run yielded to a changed spec before its script started.
    Superseded,
    /// Nobody knows: the script may have run.
    Unknown,
}

impl RunOutcome {
    /// The outcome that follows from a verdict's reason.
    #[must_use]
    pub fn of(reason: Reason) -> Self {
        match reason {
            Reason::Unknown | Reason::NodeLost => Self::Unknown,
            Reason::Cancelled => Self::Cancelled,
            Reason::Superseded => Self::Superseded,
            _ if reason.class() == Class::Success => Self::Succeeded,
            _ => Self::Failed,
        }
    }
}

/// A run that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PastRun {
    /// The run's number.
    pub number: u32,
    /// The run's id.
    #[schemars(length(max = 63))]
    pub id: String,
    /// How many attempts it had. It is 0 if the run ended before its first pod was recorded.
    pub attempts: u32,
    /// How it ended, in one word.
    pub outcome: RunOutcome,
    /// The reason of its verdict.
    #[schemars(length(max = 63))]
    pub reason: String,
    /// What started it.
    pub trigger: Trigger,
    /// Who asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_by: Option<Requester>,
    /// Who asked to cancel it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel_requested_by: Option<Requester>,
    /// Its image with the digest, `repository@digest`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub image: Option<String>,
    /// The packages that it deployed, with their digests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub packages: Vec<PastPackage>,
    /// When the script of its first attempt started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When the verdict was reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// The exit code of its last attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The log of its last attempt in the archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<StoredLogStatus>,
}

/// A package of a run that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PastPackage {
    /// The package's name.
    #[schemars(length(max = 63))]
    pub name: String,
    /// The package with its digest, `repository@digest`.
    #[schemars(length(max = 1024))]
    pub resolved: String,
}

/// Adds a run that has ended, as the latest. A run that is added twice is kept once.
pub fn remember(history: &mut Vec<PastRun>, run: PastRun) {
    history.retain(|past| past.number != run.number);
    history.insert(0, run);
    history.truncate(MAX_HISTORY);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_ten_runs_are_kept_each_once() {
        let mut history = Vec::new();
        for number in [1, 2, 3, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12] {
            remember(&mut history, PastRun { number, ..PastRun::default() });
        }
        let numbers: Vec<u32> = history.iter().map(|run| run.number).collect();
        assert_eq!(numbers, [12, 11, 10, 9, 8, 7, 6, 5, 4, 3]);
    }

    #[test]
    fn what_nobody_knows_is_no_failure() {
        for (reason, outcome) in [
            (Reason::Succeeded, RunOutcome::Succeeded),
            (Reason::ScriptFailed, RunOutcome::Failed),
            (Reason::NodeLost, RunOutcome::Unknown),
            (Reason::Cancelled, RunOutcome::Cancelled),
            (Reason::Superseded, RunOutcome::Superseded),
            (Reason::Unknown, RunOutcome::Unknown),
        ] {
            assert_eq!(RunOutcome::of(reason), outcome);
        }
    }
}
