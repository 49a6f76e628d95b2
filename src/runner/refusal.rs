//! Why nothing was started, in words for the action's status.

use std::{fmt::Display, path::Path};

use crate::record::outcome::{MAX_MESSAGE_BYTES, Outcome, Problem, truncate};

/// Ends a run before its script starts. Has a category for the operator and a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(super) struct Refusal {
    pub(super) problem: Problem,
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn new(problem: Problem, message: impl Into<String>) -> Self {
        Self { problem, message: message.into() }
    }

    /// The runner could not do its own work: `cannot WHAT PATH: WHY`.
    pub(super) fn internal(what: &str, path: &Path, why: &dyn Display) -> Self {
        Self::new(Problem::Internal, format!("the runner cannot {what} {}: {why}", path.display()))
    }

    /// Turns it into an outcome, with a message that fits a record.
    pub(super) fn into_outcome(self) -> Outcome {
        let Self { problem, mut message } = self;
        truncate(&mut message, MAX_MESSAGE_BYTES);
        Outcome::NotStarted { problem, message }
    }
}
