//! How runner and operator keep a log whole that is longer than a node keeps.
//!
//! A node rotates a container's log, and only the newest file can be read. A reader that falls behind, or
//! whose connection breaks, loses what was rotated away. So the runner keeps what it wrote in a spool until
//! the operator says that it has it:
//!
//! 1. Up to three quarters of the rotation size, nothing can have been rotated away, and nothing is said.
//!    This is the free zone ([`Limits::free_bytes`]).
//! 2. Beyond it the runner writes a [`Beat`] now and then, in a frame of kind `c`. The operator answers with
//!    a [`Credit`]: the number of the last frame up to which it has all, and, if frames are lost, from which
//!    one to send again.
//! 3. The runner lets no more than [`Limits::outstanding_bytes`] stand without an answer. The rest waits in the spool,
//!    and the script does not wait.
//!
//! Before the runner sends again, it writes its start record and, if there is one, its exit record once more:
//! another operator may have lost them with the one before. What the operator has, it skips.
//!
//! A frame of kind `c` counts no frame: its number is that of the last frame that was written before it, so
//! that a reader that does not know it takes it for one that it has.
//!
//! A frame of kind `x` may be written ahead of spooled text, so that the verdict does not wait. It has its own
//! number, and comes once more in its place.

use serde::{Deserialize, Serialize};

use super::outcome::FrameRange;

/// The most bytes on standard output that the operator has not acknowledged, beyond the free zone, if nothing
/// else is said.
pub const OUTSTANDING_BYTES: u64 = 32 * 1024 * 1024;
/// The rotation size of a node if nothing else is said, in bytes: the kubelet's `containerLogMaxSize`.
pub const ROTATION_BYTES: u64 = 10 * 1024 * 1024;
/// The most bytes in the spool if nothing else is said.
pub const SPOOL_BYTES: u64 = 256 * 1024 * 1024;
/// What a container runtime adds to a line in its file, in bytes: time, stream and a tag.
pub const LINE_OVERHEAD_BYTES: u64 = 40;
/// The most ranges of dropped frames in a [`Beat`].
pub const MAX_RANGES: usize = 16;
/// The longest [`Credit`] as a text, in bytes. A longer one is not the operator's.
pub const MAX_CREDIT_BYTES: usize = 1024;

/// What the runner may use, as the operator found it when it made the pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// The size at which the node rotates a log, in bytes.
    pub rotation_bytes: u64,
    /// The most bytes that wait in the spool.
    pub spool_bytes: u64,
    /// The most bytes that stand without an answer.
    #[serde(default = "outstanding_bytes")]
    pub outstanding_bytes: u64,
    /// How many bytes the operator acknowledges in a second, so that the node's files of the log do not fill
    /// the container's storage. Without it, as many as it reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged_per_second: Option<u64>,
}

const fn outstanding_bytes() -> u64 {
    OUTSTANDING_BYTES
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            rotation_bytes: ROTATION_BYTES,
            spool_bytes: SPOOL_BYTES,
            outstanding_bytes: OUTSTANDING_BYTES,
            acknowledged_per_second: None,
        }
    }
}

impl Limits {
    /// The text for the pod's annotation.
    #[must_use]
    pub fn to_text(self) -> String {
        // It cannot fail for numbers.
        serde_json::to_string(&self).unwrap_or_default()
    }

    /// How many bytes may be in the node's file, with [`LINE_OVERHEAD_BYTES`] a line, before credit counts.
    #[must_use]
    pub const fn free_bytes(self) -> u64 {
        self.rotation_bytes / 4 * 3
    }
}

/// The operator's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Credit {
    /// The operator has all frames up to this number. It never becomes smaller.
    pub acked: u64,
    /// Counts the requests to send again, from 1. 0 without any.
    #[serde(default)]
    pub generation: u32,
    /// The first frame to send again, by the latest of these requests.
    #[serde(default)]
    pub from: u64,
}

impl Credit {
    /// Reads an answer. Whoever may change the pod may have written it. At worst it makes the runner forget
    /// text, or send it again.
    #[must_use]
    pub fn from_text(text: &[u8]) -> Option<Self> {
        if text.len() > MAX_CREDIT_BYTES { None } else { serde_json::from_slice(text).ok() }
    }

    /// The text for the pod's annotation.
    #[must_use]
    pub fn to_text(self) -> String {
        // It cannot fail for numbers.
        serde_json::to_string(&self).unwrap_or_default()
    }
}

/// The runner's words about its spool, in the text of a frame of kind `c`: `{"beat":{...}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Beat {
    /// The last frame that was made. All up to [`super::frame::Frame::sequence`] of the beat were written to
    /// standard output at least once.
    pub made: u64,
    /// The latest [`Credit::generation`] that the runner has answered: what it writes from here on follows
    /// that request.
    pub generation: u32,
    /// The last frame that the runner knows the operator to have.
    pub acked: u64,
    /// Frames that can no longer be sent, since the spool was full: the oldest ranges, [`MAX_RANGES`] at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<FrameRange>,
}

/// What a frame of kind `c` holds. Readers skip what they do not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Control {
    /// [`Beat`].
    Beat(Beat),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credit_reads_as_designed() {
        let credit = Credit { acked: 7, generation: 2, from: 5 };
        assert_eq!(credit.to_text(), r#"{"acked":7,"generation":2,"from":5}"#);
        assert_eq!(Credit::from_text(credit.to_text().as_bytes()), Some(credit));
        assert_eq!(Credit::from_text(br#"{"acked":7}"#), Some(Credit { acked: 7, ..Credit::default() }));
        for wrong in ["", "7", "{}", r#"{"acked":-1}"#, r#"{"acked":1e9}"#] {
            assert_eq!(Credit::from_text(wrong.as_bytes()), None, "{wrong}");
        }
        let long = format!(r#"{{"acked":7{}}}"#, " ".repeat(MAX_CREDIT_BYTES));
        assert_eq!(Credit::from_text(long.as_bytes()), None);
    }

    #[test]
    fn a_beat_reads_as_designed() {
        let beat = Beat { made: 9, generation: 0, acked: 3, dropped: vec![FrameRange { first: 4, last: 5 }] };
        let text = serde_json::to_string(&Control::Beat(beat.clone())).unwrap();
        assert_eq!(text, r#"{"beat":{"made":9,"generation":0,"acked":3,"dropped":[{"first":4,"last":5}]}}"#);
        assert_eq!(serde_json::from_str::<Control>(&text).unwrap(), Control::Beat(beat));
    }

    #[test]
    fn limits_read_as_designed() {
        let text = r#"{"rotationBytes":1,"spoolBytes":2,"outstandingBytes":3,"acknowledgedPerSecond":4}"#;
        let limits = Limits {
            rotation_bytes: 1,
            spool_bytes: 2,
            outstanding_bytes: 3,
            acknowledged_per_second: Some(4),
        };
        assert_eq!(limits.to_text(), text);
        assert_eq!(serde_json::from_str::<Limits>(text).unwrap(), limits);
        let short: Limits =
            serde_json::from_str(r#"{"rotationBytes":10485760,"spoolBytes":268435456}"#).unwrap();
        assert_eq!(short, Limits::default());
    }

    #[test]
    fn the_free_zone_is_three_quarters_of_a_file() {
        let limits = Limits { rotation_bytes: 1024 * 1024, ..Limits::default() };
        assert_eq!(limits.free_bytes(), 768 * 1024);
    }
}
