//! The runner's exit codes: the script's own, or one of those reserved here.
//!
//! They help a person who looks at a pod without the operator. A script may end with any of them, so the
//! verdict comes from the exit record and never from the code. A code can contradict a record, though: the
//! operator compares it with the termination message.

use super::outcome::{Outcome, Problem};

/// The runner was called with arguments that it does not know.
pub const USAGE: u8 = 2;
/// The bundle is missing, changed, or of another version. Nothing was started.
pub const BUNDLE_UNUSABLE: u8 = 240;
/// A variable's value cannot be read or cannot be in an environment, or the mounted script is not the frozen
/// one. Nothing was started.
pub const INPUT_UNUSABLE: u8 = 241;
/// The interpreter, the command or the working directory is missing or cannot be used, or the arguments are
/// too long.
pub const CANNOT_START: u8 = 242;
/// An earlier start claimed the run and left no exit record.
pub const UNKNOWN: u8 = 243;
/// The runner itself failed before the script's start.
pub const RUNNER_FAILED: u8 = 244;
/// SIGTERM came before the script's start.
pub const STOPPED_BEFORE_START: u8 = 245;

/// Returns the exit code of the container.
#[must_use]
pub fn of(outcome: &Outcome) -> u8 {
    match outcome {
        Outcome::Exited { code } => *code,
        // Shells report signals in the same way.
        Outcome::Signaled { signal } => u8::try_from(128 + signal).unwrap_or(u8::MAX),
        Outcome::NotStarted { problem, .. } => match problem {
            Problem::Bundle => BUNDLE_UNUSABLE,
            Problem::Input | Problem::ScriptChanged => INPUT_UNUSABLE,
            Problem::WorkingDir
            | Problem::InterpreterNotFound
            | Problem::CommandNotFound
            | Problem::NotExecutable
            | Problem::TooLong => CANNOT_START,
            Problem::Internal => RUNNER_FAILED,
            Problem::Stopped => STOPPED_BEFORE_START,
        },
        Outcome::Unknown { .. } => UNKNOWN,
    }
}
