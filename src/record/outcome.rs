//! The records within a run's report: that it began, how the script ended, that the log is whole.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::sha256_hex;

/// The longest termination message that Kubernetes keeps, in bytes.
pub const MAX_TERMINATION_BYTES: usize = 4096;
/// The longest value of one output, in bytes.
pub const MAX_OUTPUT_BYTES: usize = 32 * 1024;
/// The longest values of all outputs together, in bytes.
pub const MAX_OUTPUTS_BYTES: usize = 128 * 1024;
/// The longest record, in bytes: outputs at their longest, each byte written as six.
pub const MAX_RECORD_BYTES: usize = 6 * MAX_OUTPUTS_BYTES + 64 * 1024;
/// How many dropped outputs are told of, and how long each sentence may be, in bytes.
pub const MAX_COMPLAINTS: usize = 20;
/// As of [`MAX_COMPLAINTS`].
pub const MAX_COMPLAINT_BYTES: usize = 200;
/// The longest message of a record, in bytes; it must fit the termination message.
pub const MAX_MESSAGE_BYTES: usize = 1024;

/// Which attempt a record speaks of. A record of another pod or run is foreign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// The pod's UID.
    pub pod_uid: String,
    /// The run's id.
    pub run_id: String,
}

/// A record as the text of a frame: `{"exit":{...}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Record {
    /// In a frame of kind `s`.
    Start(Start),
    /// In a frame of kind `x`.
    Exit(Exit),
    /// In a frame of kind `z`.
    End(End),
}

/// The run was claimed and the script is about to start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Start {
    /// [`super::VERSION`] of the runner.
    pub version: u32,
    /// Whose record this is.
    pub of: Identity,
    /// Variables whose secret value is too short to be masked (fewer than 6 bytes).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unmasked: Vec<String>,
    /// Sentences for people about inputs that were changed or left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adjusted: Vec<String>,
    /// Values in which a script that fails may have stumbled, each in a few words for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suspects: Vec<String>,
    /// By which a termination message is known to be the runner's ([`super::proof`]). An older runner
    /// gives none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<String>,
}

/// How the attempt ended: the verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Exit {
    /// [`super::VERSION`] of the runner.
    pub version: u32,
    /// Whose record this is.
    pub of: Identity,
    /// What became of the script.
    pub outcome: Outcome,
    /// Set where the script was asked to stop before it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<Stop>,
    /// From the script's start to its end, in milliseconds; 0 where it never started.
    pub millis: u64,
    /// The declared outputs that the script wrote, masked.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, String>,
    /// Outputs that were dropped, and why; each a sentence for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs_dropped: Vec<String>,
    /// Why the outputs file could not be read as a whole, for people: what was read of it is in doubt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs_unread: Option<String>,
    /// Set where the kernel killed processes of the script's for memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out_of_memory: Option<OutOfMemory>,
    /// Set where this is a second start of the container, which runs nothing and says again what
    /// the first one left.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replayed: bool,
}

/// Processes that the kernel killed because the container had used up its memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OutOfMemory {
    /// How many processes.
    pub kills: u64,
    /// How much memory the container may have, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_bytes: Option<u64>,
}

/// What became of the script.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Outcome {
    /// It ended by itself.
    Exited {
        /// Its exit code.
        code: u8,
    },
    /// A signal ended it.
    Signaled {
        /// The signal's number.
        signal: i32,
    },
    /// It certainly never started.
    NotStarted {
        /// Why.
        problem: Problem,
        /// The same for people, at most [`MAX_MESSAGE_BYTES`].
        message: String,
    },
    /// An earlier start of this container claimed the run and left no exit record.
    Unknown {
        /// What was found, for people.
        message: String,
    },
}

/// Why a script was not started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Problem {
    /// The bundle is missing, changed, or of another version.
    Bundle,
    /// A value that the kubelet was to mount cannot be read or is no text for an environment.
    Input,
    /// The script that the kubelet mounted is not the one that was frozen.
    ScriptChanged,
    /// The script's working directory is missing, is no folder, or may not be entered and read.
    WorkingDir,
    /// The image has no such interpreter.
    InterpreterNotFound,
    /// The image has no such program.
    CommandNotFound,
    /// The file is there and cannot be executed: no permission, wrong format, missing loader.
    NotExecutable,
    /// Arguments and environment are too long for the kernel.
    TooLong,
    /// It was asked to stop before the script started.
    Stopped,
    /// The runner itself failed: no space, a file system that is read-only.
    Internal,
}

/// That the script was asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stop {
    /// Who asked.
    pub cause: StopCause,
    /// Whether it had to be killed once the grace period was over.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub killed: bool,
}

/// Who asked a script to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum StopCause {
    /// The runner: its deadline passed.
    RunDeadline,
    /// SIGTERM from outside: the pod is being deleted, evicted, or past its own deadline.
    Terminated,
}

/// The log is whole: the last frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct End {
    /// [`super::VERSION`] of the runner.
    pub version: u32,
    /// Whose record this is.
    pub of: Identity,
    /// The log's lines.
    pub lines: u64,
    /// The log's bytes, decoded and masked.
    pub bytes: u64,
    /// SHA-256 of the same.
    pub sha256: String,
    /// Frames that the runner itself had to drop.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<FrameRange>,
    /// Whether processes that outlived the script were ended while they still wrote.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
}

/// Frames by their sequence numbers, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FrameRange {
    /// The first one.
    pub first: u64,
    /// The last one.
    pub last: u64,
}

/// What the runner keeps of a run's end, for a second start of the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stored {
    /// The exit record.
    #[serde(flatten)]
    pub exit: Exit,
    /// As of [`Termination::nonce`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
}

/// The container's termination message: the verdict once more, where the end of the log cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Termination {
    /// The exit record without its outputs.
    pub exit: Exit,
    /// What the start record has the hash of ([`super::proof`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
    /// [`outputs_sha256`] of the outputs, where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs_sha256: Option<String>,
    /// The end record without dropped ranges.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<End>,
}

/// SHA-256 over outputs, by which a termination message names them.
#[must_use]
pub fn outputs_sha256(outputs: &BTreeMap<String, String>) -> String {
    let mut text = Vec::new();
    for (name, value) in outputs {
        // Lengths in front, so that no two sets of outputs give the same bytes.
        text.extend_from_slice(format!("{} {} ", name.len(), value.len()).as_bytes());
        text.extend_from_slice(name.as_bytes());
        text.extend_from_slice(value.as_bytes());
    }
    sha256_hex(&text)
}

impl Termination {
    /// Reads a message, which the script may have written: what is too long is none, its texts are as
    /// long as the runner's own may be, and outputs are not taken from it at all. The runner writes none
    /// there, so that they come by their declaration and masked.
    #[must_use]
    pub fn from_message(text: &str) -> Option<Self> {
        if text.len() > MAX_TERMINATION_BYTES {
            return None;
        }
        let mut read: Self = serde_json::from_str(text).ok()?;
        read.exit.outputs = BTreeMap::new();
        read.exit.outputs_dropped.truncate(MAX_COMPLAINTS);
        let dropped = read.exit.outputs_dropped.iter_mut().map(|sentence| (sentence, MAX_COMPLAINT_BYTES));
        let message = match &mut read.exit.outcome {
            Outcome::NotStarted { message, .. } | Outcome::Unknown { message } => Some(message),
            Outcome::Exited { .. } | Outcome::Signaled { .. } => None,
        };
        for (text, max) in dropped.chain(message.map(|message| (message, MAX_MESSAGE_BYTES))) {
            text.retain(|letter| !letter.is_control());
            truncate(text, max);
        }
        Some(read)
    }

    /// Writes the message, at most [`MAX_TERMINATION_BYTES`] long: what people read is cut before
    /// what the verdict needs.
    ///
    /// # Errors
    /// Never for these types; the signature is serde's.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        let mut short = self.clone();
        short.exit.outputs = BTreeMap::new();
        if let Some(end) = &mut short.end {
            end.dropped = Vec::new();
        }
        let text = serde_json::to_string(&short)?;
        if text.len() <= MAX_TERMINATION_BYTES {
            return Ok(text);
        }
        short.exit.outputs_dropped = Vec::new();
        if let Outcome::NotStarted { message, .. } | Outcome::Unknown { message } = &mut short.exit.outcome {
            // JSON may write one byte as six.
            truncate(message, MAX_MESSAGE_BYTES / 4);
        }
        serde_json::to_string(&short)
    }
}

/// Cuts `text` to at most `max` bytes, at a character, with an ellipsis where something was cut.
pub fn truncate(text: &mut String, max: usize) {
    const ELLIPSIS: &str = "...";
    if text.len() > max {
        let mut end = max.saturating_sub(ELLIPSIS.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push_str(ELLIPSIS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit(outcome: Outcome) -> Exit {
        Exit {
            version: 1,
            of: Identity { pod_uid: "p".into(), run_id: "r-1".into() },
            outcome,
            stop: None,
            millis: 5,
            outputs: BTreeMap::from([("url".into(), "x".repeat(5000))]),
            outputs_dropped: vec!["y".repeat(1000); 8],
            outputs_unread: None,
            out_of_memory: None,
            replayed: false,
        }
    }

    #[test]
    fn a_record_reads_as_designed() {
        let record = Record::Exit(Exit {
            outputs: BTreeMap::new(),
            outputs_dropped: vec![],
            outputs_unread: None,
            out_of_memory: None,
            stop: Some(Stop { cause: StopCause::RunDeadline, killed: true }),
            ..exit(Outcome::Signaled { signal: 9 })
        });
        assert_eq!(
            serde_json::to_string(&record).unwrap(),
            r#"{"exit":{"version":1,"of":{"podUid":"p","runId":"r-1"},"outcome":{"signaled":{"signal":9}},"stop":{"cause":"RunDeadline","killed":true},"millis":5}}"#
        );
    }

    #[test]
    fn a_termination_message_always_fits_and_keeps_the_verdict() {
        for outcome in [
            Outcome::Exited { code: 3 },
            Outcome::NotStarted { problem: Problem::Input, message: "\u{1}".repeat(MAX_MESSAGE_BYTES) },
        ] {
            let text = Termination {
                exit: exit(outcome.clone()),
                nonce: Some("0".repeat(64)),
                outputs_sha256: Some("0".repeat(64)),
                end: None,
            }
            .to_json()
            .unwrap();
            assert!(text.len() <= MAX_TERMINATION_BYTES, "{}", text.len());
            let read: Termination = serde_json::from_str(&text).unwrap();
            assert_eq!(std::mem::discriminant(&read.exit.outcome), std::mem::discriminant(&outcome));
        }
    }

    #[test]
    fn what_a_script_writes_as_a_message_has_no_outputs_and_short_texts() {
        let mut forged = Termination {
            exit: exit(Outcome::NotStarted { problem: Problem::Input, message: "a\u{1b}b".into() }),
            nonce: None,
            outputs_sha256: None,
            end: None,
        };
        forged.exit.outputs = BTreeMap::from([("url".into(), "secret".into())]);
        forged.exit.outputs_dropped = vec!["y\n".repeat(20); 50];
        let read = Termination::from_message(&serde_json::to_string(&forged).unwrap()).unwrap();
        assert!(read.exit.outputs.is_empty() && read.exit.outputs_dropped.len() == MAX_COMPLAINTS);
        assert_eq!(read.exit.outputs_dropped[0], "y".repeat(20));
        assert!(matches!(read.exit.outcome, Outcome::NotStarted { message, .. } if message == "ab"));
        forged.exit.outputs_dropped = vec!["y".repeat(5000)];
        assert_eq!(Termination::from_message(&serde_json::to_string(&forged).unwrap()), None);
        assert_eq!(Termination::from_message("no record"), None);
    }

    #[test]
    fn outputs_that_differ_have_different_hashes() {
        let outputs = |pairs: &[(&str, &str)]| {
            outputs_sha256(&pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
        };
        assert_ne!(outputs(&[("a", "bc")]), outputs(&[("ab", "c")]));
        assert_ne!(outputs(&[("a", "1"), ("b", "2")]), outputs(&[("a", "1b2")]));
    }

    #[test]
    fn a_text_is_cut_at_a_character() {
        let mut text = "ääää".to_owned();
        truncate(&mut text, 6);
        assert_eq!(text, "ä...");
    }
}
