//! Shows a log to people or to programs.
//!
//! Without timestamps, a log that is shown as text is byte by byte what the script wrote, masked. Its SHA-256 is
//! the one in the status.

use std::io::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::read::{Entry, Text};
use crate::record::frame::{Ending, Kind};

/// How a log is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The text itself. A line says which frames are missing.
    Text {
        /// When the script started, to put the time in front of each line.
        timestamps: Option<Timestamp>,
    },
    /// A JSON object for each line, or for each part of a line that is longer than a frame.
    JsonLines {
        /// When the script started, to give each line its time. Without it, a line has milliseconds alone.
        started: Option<Timestamp>,
    },
}

/// Shows the entries of one log, one after the other.
#[derive(Debug, Clone, Copy)]
pub struct Renderer {
    format: Format,
    /// Whether the last thing shown is a line that has not ended.
    open: bool,
}

impl Renderer {
    /// Begins a log.
    #[must_use]
    pub const fn new(format: Format) -> Self {
        Self { format, open: false }
    }

    /// Appends an entry to `out`.
    pub fn render(&mut self, entry: &Entry, out: &mut Vec<u8>) {
        match (self.format, entry) {
            (Format::Text { timestamps }, Entry::Text(text)) => self.text(text, timestamps, out),
            (Format::Text { .. }, Entry::Missing { from, to }) => {
                self.end_line(out);
                // Writing to memory cannot fail.
                let _ =
                    writeln!(out, "[longshore: a part of the log is missing here, frames {from} to {to}]");
            }
            (Format::JsonLines { started }, Entry::Text(text)) => {
                json_line(&TextLine::of(text, started), out);
            }
            (Format::JsonLines { .. }, Entry::Missing { from, to }) => {
                json_line(&MissingLine { missing: Range { from: *from, to: *to } }, out);
            }
        }
    }

    fn text(&mut self, text: &Text, timestamps: Option<Timestamp>, out: &mut Vec<u8>) {
        if let Some(started) = timestamps
            && (text.begins || !self.open)
        {
            // A time within a line would look like the script's.
            self.end_line(out);
            let _ = write!(out, "{:.3} ", time(started, text.millis));
        }
        out.extend_from_slice(&text.text);
        if text.ending == Ending::Line {
            out.push(b'\n');
        }
        self.open = text.ending != Ending::Line;
    }

    fn end_line(&mut self, out: &mut Vec<u8>) {
        if self.open {
            out.push(b'\n');
            self.open = false;
        }
    }
}

fn time(started: Timestamp, millis: u64) -> Timestamp {
    let millis = i64::try_from(millis).unwrap_or(i64::MAX);
    started.saturating_add(SignedDuration::from_millis(millis)).unwrap_or(started)
}

fn json_line(line: &impl Serialize, out: &mut Vec<u8>) {
    // Writing to memory cannot fail, and no key is anything but a text.
    let _ = serde_json::to_writer(&mut *out, line);
    out.push(b'\n');
}

/// A line of the format jsonl.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TextLine<'a> {
    line: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    millis: u64,
    stream: &'static str,
    text: std::borrow::Cow<'a, str>,
    /// The bytes, if they are no UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
    /// The line goes on in the next object.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    continued: bool,
    /// The stream ended without a newline.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    no_newline: bool,
}

impl<'a> TextLine<'a> {
    fn of(text: &'a Text, started: Option<Timestamp>) -> Self {
        let is_utf8 = std::str::from_utf8(&text.text).is_ok();
        Self {
            line: text.line,
            time: started.map(|started| format!("{:.3}", time(started, text.millis))),
            millis: text.millis,
            stream: match text.kind {
                Kind::Stdout => "stdout",
                Kind::Stderr => "stderr",
                _ => "both",
            },
            text: String::from_utf8_lossy(&text.text),
            base64: (!is_utf8).then(|| STANDARD.encode(&text.text)),
            continued: text.ending == Ending::Continued,
            no_newline: text.ending == Ending::NoNewline,
        }
    }
}

#[derive(Serialize)]
struct MissingLine {
    missing: Range,
}

#[derive(Serialize)]
struct Range {
    from: u64,
    to: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(line: u64, begins: bool, ending: Ending, text: &[u8]) -> Entry {
        let kind = if line == 1 { Kind::Stderr } else { Kind::Stdout };
        Entry::Text(Text { sequence: 1, line, begins, kind, millis: 61_007, ending, text: text.to_vec() })
    }

    fn shown(format: Format, entries: &[Entry]) -> String {
        let mut renderer = Renderer::new(format);
        let mut out = Vec::new();
        for entry in entries {
            renderer.render(entry, &mut out);
        }
        String::from_utf8_lossy(&out).into_owned()
    }

    fn entries() -> [Entry; 5] {
        [
            text(0, true, Ending::Continued, b"one "),
            text(0, false, Ending::Line, b"line\r"),
            Entry::Missing { from: 7, to: 9 },
            text(1, true, Ending::NoNewline, b"\xff\0"),
            text(2, true, Ending::Line, b""),
        ]
    }

    #[test]
    fn text_is_what_the_script_wrote() {
        let missing = "[longshore: a part of the log is missing here, frames 7 to 9]\n";
        let expected = format!("one line\r\n{missing}\u{fffd}\0\n");
        assert_eq!(shown(Format::Text { timestamps: None }, &entries()), expected);
    }

    #[test]
    fn a_time_stands_in_front_of_each_line_and_nowhere_else() {
        let timestamps = Some("2026-11-30T10:42:00Z".parse().unwrap());
        let expected = "2026-11-30T10:43:01.007Z one line\r\n\
            [longshore: a part of the log is missing here, frames 7 to 9]\n\
            2026-11-30T10:43:01.007Z \u{fffd}\0\n\
            2026-11-30T10:43:01.007Z \n";
        assert_eq!(shown(Format::Text { timestamps }, &entries()), expected);
    }

    #[test]
    fn json_lines_hold_all_bytes() {
        let started = Some("2026-11-30T10:42:00Z".parse().unwrap());
        let lines = shown(Format::JsonLines { started }, &entries());
        let lines: Vec<&str> = lines.lines().collect();
        let begin = r#""time":"2026-11-30T10:43:01.007Z","millis":61007"#;
        assert_eq!(
            lines,
            [
                format!(r#"{{"line":0,{begin},"stream":"stdout","text":"one ","continued":true}}"#),
                format!(r#"{{"line":0,{begin},"stream":"stdout","text":"line\r"}}"#),
                r#"{"missing":{"from":7,"to":9}}"#.to_owned(),
                format!(
                    r#"{{"line":1,{begin},"stream":"stderr","text":"{}\u0000","base64":"/wA=","noNewline":true}}"#,
                    '\u{fffd}'
                ),
                format!(r#"{{"line":2,{begin},"stream":"stdout","text":""}}"#),
            ]
        );
    }
}
