//! From the frames of a log to what a reader gets. This is pure.

use std::{borrow::Cow, collections::VecDeque};

use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::{
    frames::Piece,
    shape::{Format, Selection, Shape},
};
use crate::record::frame::{Ending, Frame, Kind};

/// When a frame was written.
fn time(started: Option<Timestamp>, millis: u64) -> Option<Timestamp> {
    let millis = SignedDuration::from_millis(i64::try_from(millis).unwrap_or(i64::MAX));
    started.and_then(|started| started.saturating_add(millis).ok())
}

/// Milliseconds, the precision of the runner's clock.
fn stamp(time: Timestamp) -> String {
    format!("{time:.3}")
}

/// The time from which on lines are wanted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Since {
    since: Option<Timestamp>,
    /// When the script's container started. Frames count their time from there.
    started: Option<Timestamp>,
}

impl Since {
    /// Lines since this time, of a container that started then.
    #[must_use]
    pub const fn new(since: Option<Timestamp>, started: Option<Timestamp>) -> Self {
        Self { since, started }
    }

    /// A line without a time counts as old.
    fn has(self, millis: u64) -> bool {
        self.since.is_none_or(|since| time(self.started, millis).is_some_and(|time| time >= since))
    }
}

/// Finds where the last lines begin.
#[derive(Debug)]
pub struct Tail {
    lines: usize,
    since: Since,
    /// The frames that the last lines begin with.
    begins: VecDeque<u64>,
    /// How many lines were seen.
    seen: usize,
}

impl Tail {
    /// So many lines.
    #[must_use]
    pub const fn new(lines: usize, since: Since) -> Self {
        Self { lines, since, begins: VecDeque::new(), seen: 0 }
    }

    /// Looks at the next piece of the log.
    pub fn take(&mut self, piece: &Piece<'_>) {
        if let Piece::Text { frame, begins: true } = piece
            && self.since.has(frame.millis)
        {
            self.seen += 1;
            self.begins.push_back(frame.sequence);
            if self.begins.len() > self.lines {
                self.begins.pop_front();
            }
        }
    }

    /// The first frame of the last lines. `next` is the frame after all those that were seen.
    #[must_use]
    pub fn first(&self, next: u64) -> u64 {
        if self.seen <= self.lines && self.lines > 0 {
            return 0;
        }
        self.begins.front().copied().unwrap_or(next)
    }
}

/// Writes the selected lines.
#[derive(Debug)]
pub struct Writer {
    shape: Shape,
    since: Since,
    /// The first frame that is wanted.
    from: u64,
    /// Whether the line that has begun is wanted.
    wanted: bool,
    /// Whether a line was written in part.
    open: bool,
}

/// A frame as JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonLine<'a> {
    frame: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    millis: u64,
    stream: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    continued: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    no_newline: bool,
}

impl Writer {
    /// Writes the selected lines in this form.
    #[must_use]
    pub const fn new(shape: Shape, selection: Selection) -> Self {
        Self { shape, since: Since::new(selection.since, None), from: 0, wanted: false, open: false }
    }

    /// Notes when the script's container started.
    pub const fn started(&mut self, at: Option<Timestamp>) {
        self.since.started = at;
    }

    /// When the script's container started, as far as it is known.
    #[must_use]
    pub const fn start(&self) -> Option<Timestamp> {
        self.since.started
    }

    /// Leaves out what is in front of this frame.
    pub const fn begin_at(&mut self, frame: u64) {
        self.from = frame;
    }

    /// Writes the next piece of the log to `out`, if it is wanted.
    pub fn write(&mut self, piece: &Piece<'_>, out: &mut Vec<u8>) {
        match piece {
            Piece::Missing(first, last) if *last >= self.from && self.since.since.is_none() => {
                match self.shape.format {
                    Format::Text => {
                        if std::mem::take(&mut self.open) {
                            out.push(b'\n');
                        }
                        let words =
                            format!("[longshore: frames {first} to {last} of the log are missing here]\n");
                        out.extend_from_slice(words.as_bytes());
                    }
                    Format::JsonLines => {
                        let words = format!("{{\"missing\":{{\"first\":{first},\"last\":{last}}}}}\n");
                        out.extend_from_slice(words.as_bytes());
                    }
                }
            }
            Piece::Text { frame, begins } => {
                if *begins {
                    self.wanted = frame.sequence >= self.from && self.since.has(frame.millis);
                }
                if self.wanted {
                    self.text(frame, *begins, out);
                }
            }
            Piece::Missing(..) | Piece::End => {}
        }
    }

    /// Says why the log ends here. The runner did not say it.
    pub fn note(&mut self, words: &str, out: &mut Vec<u8>) {
        match self.shape.format {
            Format::Text => {
                if std::mem::take(&mut self.open) {
                    out.push(b'\n');
                }
                out.extend_from_slice(format!("[longshore: {words}]\n").as_bytes());
            }
            Format::JsonLines => {
                out.extend_from_slice(format!("{}\n", serde_json::json!({"note": words})).as_bytes());
            }
        }
    }

    fn text(&mut self, frame: &Frame<'_>, begins: bool, out: &mut Vec<u8>) {
        let time = time(self.since.started, frame.millis).map(stamp);
        if self.shape.format == Format::JsonLines {
            let text = std::str::from_utf8(&frame.text).ok();
            let line = JsonLine {
                frame: frame.sequence,
                time,
                millis: frame.millis,
                stream: match frame.kind {
                    Kind::Stdout => "stdout",
                    Kind::Stderr => "stderr",
                    _ => "both",
                },
                text,
                base64: text.is_none().then(|| BASE64_STANDARD.encode(&frame.text)),
                continued: frame.ending == Ending::Continued,
                no_newline: frame.ending == Ending::NoNewline,
            };
            // A structure of texts and numbers can always be written.
            if let Ok(line) = serde_json::to_vec(&line) {
                out.extend_from_slice(&line);
                out.push(b'\n');
            }
            return;
        }
        if begins
            && self.shape.timestamps
            && let Some(time) = time
        {
            out.extend_from_slice(time.as_bytes());
            out.push(b' ');
        }
        if begins && frame.kind == Kind::Stderr {
            out.extend_from_slice(self.shape.stderr_mark.as_bytes());
        }
        let text: &Cow<'_, [u8]> = &frame.text;
        out.extend_from_slice(text);
        self.open = frame.ending != Ending::Line;
        if !self.open {
            out.push(b'\n');
        }
    }
}

#[cfg(test)]
mod tests;
