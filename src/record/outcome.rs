//! The records in a run's report: the start, the script's end, and the end of the log.

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
/// The most sentences about dropped outputs.
pub const MAX_COMPLAINTS: usize = 20;
/// The longest of these sentences, in bytes.
pub const MAX_COMPLAINT_BYTES: usize = 200;
/// The longest message of a record, in bytes. It must fit the termination message.
pub const MAX_MESSAGE_BYTES: usize = 1024;

/// The attempt that a record is about. A record of another pod or run does not count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// The pod's UID.
    pub pod_uid: String,
    /// The run's id.
    pub run_id: String,
}

/// A record as the text of a frame: `{"exit":{...},"nonce":"..."}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// The record.
    #[serde(flatten)]
    pub record: Record,
    /// The nonce whose hash is [`Start::records_proof`]. The start record itself has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
}

/// What a record says.
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
    /// The attempt that this record is about.
    pub of: Identity,
    /// Variables whose secret value is too short to be masked (fewer than 6 bytes).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unmasked: Vec<String>,
    /// Sentences for people about inputs that were changed or left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adjusted: Vec<String>,
    /// Values that may have made a script fail, each in a few words for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suspects: Vec<String>,
    /// The proof that a termination message is the runner's ([`super::proof`]). An older runner gives none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<String>,
    /// The same for the exit and end records in the log, by another nonce. An older runner gives none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records_proof: Option<String>,
}

/// How the attempt ended: the verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Exit {
    /// [`super::VERSION`] of the runner.
    pub version: u32,
    /// The attempt that this record is about.
    pub of: Identity,
    /// How the script ended, or why it did not run.
    pub outcome: Outcome,
    /// Set if the script was asked to stop before it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<Stop>,
    /// The time from the script's start to its end, in milliseconds. 0 if it never started.
    pub millis: u64,
    /// The declared outputs that the script wrote, masked.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, String>,
    /// The sensitive outputs that the script wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<Sealed>,
    /// A sentence for people for each dropped output.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs_dropped: Vec<String>,
    /// Why the outputs file could not be read completely, for people. The outputs are then in doubt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs_unread: Option<String>,
    /// Phrases for people about values that the script wanted to be masked ([`super::place::ENV_MASK`]) and
    /// that are not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unmasked: Vec<String>,
    /// Set if the kernel killed processes of the script for memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out_of_memory: Option<OutOfMemory>,
    /// Set by a second start of the container, which runs nothing and repeats the first one's record.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replayed: bool,
}

/// Sensitive outputs, which only the operator can read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sealed {
    /// Their names, which are no secret.
    pub names: Vec<String>,
    /// Those among them whose value is too short to be masked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unmasked: Vec<String>,
    /// The box ([`crate::seal::seal`]).
    pub text: String,
}

/// Processes that the kernel killed because the container had used up its memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OutOfMemory {
    /// How many processes were killed.
    pub kills: u64,
    /// The container's memory limit, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_bytes: Option<u64>,
}

/// How the script ended, or why it did not run.
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
        /// The reason.
        problem: Problem,
        /// The reason for people, at most [`MAX_MESSAGE_BYTES`].
        message: String,
    },
    /// An earlier start of this container claimed the run and left no exit record.
    Unknown {
        /// The details, for people.
        message: String,
    },
}

/// Why a script was not started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Problem {
    /// The bundle is missing, changed, or of another version.
    Bundle,
    /// A mounted value cannot be read or cannot be in an environment.
    Input,
    /// The script that the kubelet mounted is not the one that was frozen.
    ScriptChanged,
    /// The script's working directory is missing, is no folder, or cannot be entered and read.
    WorkingDir,
    /// The image does not have the interpreter.
    InterpreterNotFound,
    /// The image does not have the program.
    CommandNotFound,
    /// The file exists but cannot be executed: no permission, wrong format, missing loader.
    NotExecutable,
    /// Arguments and environment are too long for the kernel.
    TooLong,
    /// It was asked to stop before the script started.
    Stopped,
    /// The runner itself failed: no space, a read-only file system.
    Internal,
}

/// A stop that was asked of the script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stop {
    /// The cause.
    pub cause: StopCause,
    /// Whether it had to be killed once the grace period was over.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub killed: bool,
}

/// The cause of a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum StopCause {
    /// The runner: its deadline passed.
    RunDeadline,
    /// SIGTERM from outside: the pod is being deleted, evicted, or past its own deadline.
    Terminated,
}

/// The end of the log, in the last frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct End {
    /// [`super::VERSION`] of the runner.
    pub version: u32,
    /// The attempt that this record is about.
    pub of: Identity,
    /// The log's lines.
    pub lines: u64,
    /// The log's bytes, decoded and masked.
    pub bytes: u64,
    /// SHA-256 of these bytes.
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

/// The record that the runner keeps on disk for a second start of the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stored {
    /// The exit record.
    #[serde(flatten)]
    pub exit: Exit,
    /// The same as [`Termination::nonce`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
}

/// The container's termination message. It repeats the verdict for the case that the end of the log is lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Termination {
    /// The exit record without its outputs.
    pub exit: Exit,
    /// The nonce whose hash is in the start record ([`super::proof`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
    /// [`Exit::outputs_sha256`], if there are outputs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs_sha256: Option<String>,
    /// The end record without dropped ranges.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<End>,
}

impl Exit {
    /// Whether the script wrote any output.
    #[must_use]
    pub fn has_outputs(&self) -> bool {
        !self.outputs.is_empty() || self.sealed.is_some()
    }

    /// Returns the SHA-256 over the outputs, by which a termination message names them.
    #[must_use]
    pub fn outputs_sha256(&self) -> String {
        let mut text = Vec::new();
        // No output has an empty name.
        let sealed = self.sealed.as_ref().map(|sealed| ("", &sealed.text));
        let plain = self.outputs.iter().map(|(name, value)| (name.as_str(), value));
        for (name, value) in sealed.into_iter().chain(plain) {
            // Lengths in front, so that no two sets of outputs give the same bytes.
            text.extend_from_slice(format!("{} {} ", name.len(), value.len()).as_bytes());
            text.extend_from_slice(name.as_bytes());
            text.extend_from_slice(value.as_bytes());
        }
        sha256_hex(&text)
    }

    /// The same record without its outputs.
    fn without_outputs(&self) -> Self {
        Self { outputs: BTreeMap::new(), sealed: None, ..self.clone() }
    }
}

impl Termination {
    /// Reads a message. The script may have written it, so a message that is too long is refused, and its
    /// texts are cut to the runner's own bounds. Outputs are never taken from it: the runner writes none
    /// there, and those in the log are declared and masked.
    #[must_use]
    pub fn from_message(text: &str) -> Option<Self> {
        if text.len() > MAX_TERMINATION_BYTES {
            return None;
        }
        let mut read: Self = serde_json::from_str(text).ok()?;
        (read.exit.outputs, read.exit.sealed) = (BTreeMap::new(), None);
        read.exit.outputs_dropped.truncate(MAX_COMPLAINTS);
        read.exit.unmasked.truncate(MAX_COMPLAINTS);
        let dropped = read.exit.outputs_dropped.iter_mut().chain(&mut read.exit.unmasked);
        let dropped = dropped.map(|sentence| (sentence, MAX_COMPLAINT_BYTES));
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

    /// Writes the message, at most [`MAX_TERMINATION_BYTES`] long. Texts for people are cut before anything
    /// that the verdict needs.
    ///
    /// # Errors
    /// Never for these types. The signature is serde's.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        let mut short = Self { exit: self.exit.without_outputs(), ..self.clone() };
        if let Some(end) = &mut short.end {
            end.dropped = Vec::new();
        }
        let text = serde_json::to_string(&short)?;
        if text.len() <= MAX_TERMINATION_BYTES {
            return Ok(text);
        }
        short.exit.outputs_dropped = Vec::new();
        short.exit.unmasked = Vec::new();
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
            sealed: Some(Sealed { names: vec!["token".into()], unmasked: vec![], text: "z".repeat(5000) }),
            outputs_dropped: vec!["y".repeat(1000); 8],
            outputs_unread: None,
            unmasked: vec![],
            out_of_memory: None,
            replayed: false,
        }
    }

    #[test]
    fn a_record_reads_as_designed() {
        let exit = Record::Exit(Exit {
            outputs: BTreeMap::new(),
            sealed: None,
            outputs_dropped: vec![],
            outputs_unread: None,
            unmasked: vec![],
            out_of_memory: None,
            stop: Some(Stop { cause: StopCause::RunDeadline, killed: true }),
            ..exit(Outcome::Signaled { signal: 9 })
        });
        assert_eq!(
            serde_json::to_string(&exit).unwrap(),
            r#"{"exit":{"version":1,"of":{"podUid":"p","runId":"r-1"},"outcome":{"signaled":{"signal":9}},"stop":{"cause":"RunDeadline","killed":true},"millis":5}}"#
        );
        let signed = Signed { record: exit, nonce: Some("n".into()) };
        let text = serde_json::to_string(&signed).unwrap();
        assert!(text.starts_with(r#"{"exit":{"#) && text.ends_with(r#"},"nonce":"n"}"#), "{text}");
        assert_eq!(serde_json::from_str::<Signed>(&text).unwrap(), signed);
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
        forged.exit.sealed =
            Some(Sealed { names: vec!["token".into()], unmasked: vec![], text: "box".into() });
        forged.exit.outputs_dropped = vec!["y\n".repeat(20); 50];
        let read = Termination::from_message(&serde_json::to_string(&forged).unwrap()).unwrap();
        assert!(!read.exit.has_outputs() && read.exit.outputs_dropped.len() == MAX_COMPLAINTS);
        assert_eq!(read.exit.outputs_dropped[0], "y".repeat(20));
        assert!(matches!(read.exit.outcome, Outcome::NotStarted { message, .. } if message == "ab"));
        forged.exit.outputs_dropped = vec!["y".repeat(5000)];
        assert_eq!(Termination::from_message(&serde_json::to_string(&forged).unwrap()), None);
        assert_eq!(Termination::from_message("no record"), None);
    }

    #[test]
    fn outputs_that_differ_have_different_hashes() {
        let outputs = |pairs: &[(&str, &str)], sealed: Option<&str>| {
            let sealed = sealed.map(|text| Sealed { names: vec![], unmasked: vec![], text: text.into() });
            let outputs = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            Exit { outputs, sealed, ..exit(Outcome::Exited { code: 0 }) }.outputs_sha256()
        };
        assert_ne!(outputs(&[("a", "bc")], None), outputs(&[("ab", "c")], None));
        assert_ne!(outputs(&[("a", "1"), ("b", "2")], None), outputs(&[("a", "1b2")], None));
        assert_ne!(outputs(&[("a", "1")], None), outputs(&[("a", "1")], Some("box")));
        assert_ne!(outputs(&[], Some("box")), outputs(&[], None));
    }

    #[test]
    fn a_text_is_cut_at_a_character() {
        let mut text = "ääää".to_owned();
        truncate(&mut text, 6);
        assert_eq!(text, "ä...");
    }
}
