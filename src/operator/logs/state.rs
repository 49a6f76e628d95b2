//! What another operator needs to go on with a log: the pod's annotation
//! [`crate::api::ANNOTATION_LOG_STATE`].
//!
//! A script cannot write it. Whoever may change the pod can. So nothing here decides how a run ended: neither
//! the start record, whose proof makes a termination message count, nor the exit record is in it. At worst a
//! forged state makes the log incomplete, or hides that it is.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

use crate::record::transcript::Transcript;

/// The version of this text. Another one is not read.
const VERSION: u32 = 1;
/// The longest text, in bytes. A pod's annotations share 256 KiB.
const MAX_BYTES: usize = 16 * 1024;
/// How many gaps are kept and named.
pub(super) const MAX_GAPS: usize = 100;

/// Frames that are missing for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Gap {
    /// The first one.
    pub(super) first: u64,
    /// The last one.
    pub(super) last: u64,
    /// The lines in front of it.
    pub(super) line: u64,
}

/// Where the reading of a log stands.
#[derive(Debug, Clone)]
pub(super) struct State {
    /// The first frame that is not read yet.
    pub(super) next: u64,
    pub(super) transcript: Transcript,
    pub(super) gaps: Vec<Gap>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    version: u32,
    next: u64,
    lines: u64,
    bytes: u64,
    /// Base64 of [`Transcript::hash_state`].
    hash: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    gaps: Vec<Gap>,
}

impl State {
    pub(super) fn to_text(&self) -> String {
        let Self { next, transcript, gaps } = self;
        let written = Written {
            version: VERSION,
            next: *next,
            lines: transcript.lines(),
            bytes: transcript.bytes(),
            hash: STANDARD.encode(transcript.hash_state()),
            gaps: gaps.clone(),
        };
        // It cannot fail for numbers and letters.
        serde_json::to_string(&written).unwrap_or_default()
    }

    /// Reads what somebody wrote. `None` if no operator of this version can have written it.
    pub(super) fn from_text(text: &str) -> Option<Self> {
        let written: Written =
            (text.len() <= MAX_BYTES).then(|| serde_json::from_str(text).ok()).flatten()?;
        let Written { version, next, lines, bytes, hash, mut gaps } = written;
        if version != VERSION || next == 0 {
            return None;
        }
        gaps.truncate(MAX_GAPS);
        let transcript = Transcript::resumed(lines, bytes, &STANDARD.decode(hash).ok()?)?;
        Some(Self { next, transcript, gaps })
    }

    /// Where to begin if the frames up to `acked` were acknowledged, and nobody knows any more what they were.
    pub(super) fn lost(acked: u64) -> Self {
        let gap = (acked > 0).then_some(Gap { first: 1, last: acked, line: 0 });
        Self {
            next: acked.saturating_add(1),
            transcript: Transcript::default(),
            gaps: gap.into_iter().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::frame::Ending;

    fn state() -> State {
        let mut transcript = Transcript::default();
        transcript.push(b"a line", Ending::Line);
        State { next: 7, transcript, gaps: vec![Gap { first: 2, last: 5, line: 1 }] }
    }

    #[test]
    fn a_state_comes_back_and_fits() {
        let read = State::from_text(&state().to_text()).unwrap();
        assert_eq!((read.next, read.transcript.lines(), &read.gaps), (7, 1, &state().gaps));
        assert_eq!(read.transcript.sha256(), state().transcript.sha256());
        let longest = Gap { first: u64::MAX, last: u64::MAX, line: u64::MAX };
        let full = State { next: u64::MAX, gaps: vec![longest; MAX_GAPS], ..state() };
        assert!(State::from_text(&full.to_text()).is_some(), "{} bytes", full.to_text().len());
    }

    #[test]
    fn what_no_operator_wrote_is_not_read() {
        let text = state().to_text();
        for wrong in [
            String::new(),
            "{}".into(),
            text.replace(r#""version":1"#, r#""version":2"#),
            text.replace(r#""next":7"#, r#""next":0"#),
            text.replace(r#""bytes":7"#, r#""bytes":700"#),
            text.replace(r#""hash":""#, r#""hash":"AAAA"#),
            format!("{text}{}", " ".repeat(MAX_BYTES)),
        ] {
            assert!(State::from_text(&wrong).is_none(), "{wrong}");
        }
    }
}
