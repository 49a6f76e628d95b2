//! A point in a log.

use serde::{Deserialize, Serialize};

use crate::record::frame::{Ending, Frame, Kind};

/// A point between two frames of a log, and what lies before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Position {
    /// The sequence number of the frame that comes next.
    pub(super) next: u64,
    /// The lines that have ended. Counted as [`crate::record::transcript::Transcript`] counts.
    pub(super) lines: u64,
    /// The bytes of the text, newlines included.
    pub(super) bytes: u64,
    /// Whether the next frame continues a line.
    pub(super) open: bool,
    /// The latest time of a frame, in milliseconds since the script's start. It never goes back.
    pub(super) millis: u64,
}

impl Position {
    /// The beginning of a log.
    pub(super) const START: Self = Self { next: 1, lines: 0, bytes: 0, open: false, millis: 0 };

    /// Goes past a frame. A frame that is no text only has a number.
    pub(super) fn pass(&mut self, frame: &Frame<'_>) {
        self.next = frame.sequence.saturating_add(1);
        if frame.kind.is_log() {
            self.bytes += frame.text.len() as u64 + u64::from(frame.ending == Ending::Line);
            self.lines += u64::from(frame.ending != Ending::Continued);
            self.open = frame.ending == Ending::Continued;
            self.millis = self.millis.max(frame.millis);
        }
    }

    /// How many lines there are, the one that has not ended included.
    pub(super) const fn begun_lines(&self) -> u64 {
        self.lines + self.open as u64
    }
}

/// Frames that never came. It is stored as a control frame, in their place. The archive stores no other control
/// frames, so nobody can forge one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Gap {
    /// The first of them.
    missing_from: u64,
    /// The last of them.
    missing_to: u64,
}

/// The frame that says that the frames from `position` up to `to` are missing.
pub(super) fn gap(position: &Position, to: u64) -> Frame<'static> {
    let gap = Gap { missing_from: position.next, missing_to: to };
    Frame {
        sequence: to,
        kind: Kind::Control,
        millis: position.millis,
        ending: Ending::Line,
        text: serde_json::to_vec(&gap).unwrap_or_default().into(),
    }
}

/// The first and the last of the missing frames that `frame` stands for. `None` if it is another frame.
pub(super) fn missing(frame: &Frame<'_>) -> Option<(u64, u64)> {
    if frame.kind != Kind::Control {
        return None;
    }
    let gap: Gap = serde_json::from_slice(&frame.text).ok()?;
    Some((gap.missing_from, gap.missing_to))
}
