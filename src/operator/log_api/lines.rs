//! From the lines of a container's log to what a reader gets. This is pure.

use std::{borrow::Cow, collections::VecDeque};

use base64::{Engine, prelude::BASE64_STANDARD};
use k8s_openapi::jiff::Timestamp;
use serde::Serialize;

use super::request::{Format, Selection, Shape};
use crate::record::frame::{Ending, Frame, Kind};

/// A line of a container's log, as the kubelet gives it with timestamps.
fn stamped(line: &[u8]) -> (Option<Timestamp>, &[u8]) {
    let time = line.iter().position(|&byte| byte == b' ').and_then(|at| {
        let time = std::str::from_utf8(&line[..at]).ok()?.parse().ok()?;
        Some((time, &line[at + 1..]))
    });
    time.map_or((None, line), |(time, rest)| (Some(time), rest))
}

/// A part of a log, in order.
#[derive(Debug, PartialEq)]
pub(super) enum Piece<'a> {
    /// Frames that are not there, from the first to the last.
    Missing(u64, u64),
    /// A frame that the script's output is in.
    Text {
        frame: Frame<'a>,
        time: Option<Timestamp>,
        /// Whether a line begins with it.
        begins: bool,
    },
    /// Nothing comes after this.
    End,
}

/// Follows the frames of a log, over several readings of it. It gives each frame once.
#[derive(Debug)]
pub(super) struct Frames {
    next: u64,
    /// Whether the next text begins a line.
    fresh: bool,
}

impl Default for Frames {
    fn default() -> Self {
        Self { next: 1, fresh: true }
    }
}

impl Frames {
    /// The number of the next frame.
    pub(super) const fn next(&self) -> u64 {
        self.next
    }

    /// Takes a line, without its newline. What the runner did not write is passed over, as the operator does.
    pub(super) fn take<'a>(&mut self, line: &'a [u8], mut give: impl FnMut(Piece<'a>)) {
        let (time, line) = stamped(line);
        let Some(frame) = Frame::decode(line) else { return };
        if frame.kind == Kind::Control || frame.sequence < self.next {
            return;
        }
        if frame.sequence > self.next {
            give(Piece::Missing(self.next, frame.sequence - 1));
            self.fresh = true;
        }
        self.next = frame.sequence.saturating_add(1);
        match frame.kind {
            Kind::Stdout | Kind::Stderr | Kind::Both => {
                let begins = std::mem::replace(&mut self.fresh, frame.ending != Ending::Continued);
                give(Piece::Text { frame, time, begins });
            }
            Kind::End => give(Piece::End),
            Kind::Start | Kind::Exit | Kind::Control => {}
        }
    }
}

/// Finds where the last lines begin.
#[derive(Debug)]
pub(super) struct Tail {
    lines: usize,
    since: Option<Timestamp>,
    /// The frames that the last lines begin with.
    begins: VecDeque<u64>,
    /// How many lines were seen.
    seen: usize,
}

impl Tail {
    pub(super) fn new(lines: usize, since: Option<Timestamp>) -> Self {
        Self { lines, since, begins: VecDeque::new(), seen: 0 }
    }

    pub(super) fn take(&mut self, piece: &Piece<'_>) {
        if let Piece::Text { frame, time, begins: true } = piece
            && is_since(self.since, *time)
        {
            self.seen += 1;
            self.begins.push_back(frame.sequence);
            if self.begins.len() > self.lines {
                self.begins.pop_front();
            }
        }
    }

    /// The first frame of the last lines. `next` is the frame after all those that were seen.
    pub(super) fn first(&self, next: u64) -> u64 {
        if self.seen <= self.lines && self.lines > 0 {
            return 0;
        }
        self.begins.front().copied().unwrap_or(next)
    }
}

/// A line without a time counts as old. The kubelet gives all lines a time but the parts of a line that the
/// runner did not write.
fn is_since(since: Option<Timestamp>, time: Option<Timestamp>) -> bool {
    since.is_none_or(|since| time.is_some_and(|time| time >= since))
}

/// Writes the selected lines.
#[derive(Debug)]
pub(super) struct Writer {
    shape: Shape,
    since: Option<Timestamp>,
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
    time: Option<Timestamp>,
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
    pub(super) const fn new(shape: Shape, selection: Selection, from: u64) -> Self {
        Self { shape, since: selection.since, from, wanted: false, open: false }
    }

    pub(super) fn write(&mut self, piece: &Piece<'_>, out: &mut Vec<u8>) {
        match piece {
            Piece::Missing(first, last) if *last >= self.from && self.since.is_none() => {
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
            Piece::Text { frame, time, begins } => {
                if *begins {
                    self.wanted = frame.sequence >= self.from && is_since(self.since, *time);
                }
                if self.wanted {
                    self.text(frame, *time, *begins, out);
                }
            }
            Piece::Missing(..) | Piece::End => {}
        }
    }

    /// Says why the log ends here. The runner did not say it.
    pub(super) fn note(&mut self, words: &str, out: &mut Vec<u8>) {
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

    fn text(&mut self, frame: &Frame<'_>, time: Option<Timestamp>, begins: bool, out: &mut Vec<u8>) {
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
            out.extend_from_slice(format!("{time:.9} ").as_bytes());
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
mod tests {
    use super::*;

    /// Line N is written in second N.
    fn log(lines: &[&str]) -> Vec<Vec<u8>> {
        let stamp =
            |(at, line): (usize, &&str)| format!("2026-01-31T10:42:{:02}.5Z {line}", at + 1).into_bytes();
        lines.iter().enumerate().map(stamp).collect()
    }

    fn read(lines: &[Vec<u8>], shape: Shape, selection: Selection) -> String {
        let from = selection.tail_lines.map_or(0, |count| {
            let (mut frames, mut tail) = (Frames::default(), Tail::new(count, selection.since));
            for line in lines {
                frames.take(line, |piece| tail.take(&piece));
            }
            tail.first(frames.next())
        });
        let (mut frames, mut out) = (Frames::default(), Vec::new());
        let mut writer = Writer::new(shape, selection, from);
        for line in lines {
            frames.take(line, |piece| writer.write(&piece, &mut out));
        }
        String::from_utf8(out).unwrap()
    }

    const LINES: [&str; 8] = [
        "1 s 0 {}",
        "2 o 1 one",
        "3 e+ 2 two ",
        "4 e 2 parts",
        "not the runner's",
        "5 o 7 three",
        "6 o- 9 four",
        "7 z 9 {}",
    ];

    fn text(tail_lines: Option<usize>, since: Option<&str>) -> String {
        let since = since.map(|time| time.parse().unwrap());
        read(&log(&LINES), Shape::default(), Selection { tail_lines, since })
    }

    #[test]
    fn a_log_reads_as_the_script_wrote_it() {
        assert_eq!(text(None, None), "one\ntwo parts\nthree\nfour");
    }

    #[test]
    fn the_last_lines_are_lines_of_the_script_and_not_of_the_container() {
        assert_eq!(text(Some(1), None), "four");
        assert_eq!(text(Some(3), None), "two parts\nthree\nfour");
        assert_eq!(text(Some(4), None), "one\ntwo parts\nthree\nfour");
        assert_eq!(text(Some(9), None), "one\ntwo parts\nthree\nfour");
        assert_eq!(text(Some(0), None), "");
    }

    #[test]
    fn a_line_counts_by_the_time_of_its_beginning() {
        assert_eq!(text(None, Some("2026-01-31T10:42:03.5Z")), "two parts\nthree\nfour");
        // Its second part came later than this.
        assert_eq!(text(None, Some("2026-01-31T10:42:03.6Z")), "three\nfour");
        assert_eq!(text(Some(1), Some("2026-01-31T10:42:03Z")), "four");
        assert_eq!(text(Some(9), Some("2026-01-31T10:42:06Z")), "three\nfour");
        assert_eq!(text(None, Some("2027-01-01T00:00:00Z")), "");
    }

    #[test]
    fn timestamps_stand_at_the_beginning_of_lines() {
        let shape = Shape { timestamps: true, ..Shape::default() };
        let text = read(&log(&LINES[..4]), shape, Selection::default());
        assert_eq!(text, "2026-01-31T10:42:02.500000000Z one\n2026-01-31T10:42:03.500000000Z two parts\n");
    }

    #[test]
    fn json_has_a_frame_a_line_and_bytes_that_are_no_text_as_base64() {
        let mut lines = log(&LINES);
        lines.push(b"2026-01-31T10:42:30Z 8 b 5 \xff\n".strip_suffix(b"\n").unwrap().to_vec());
        let shape = Shape { format: Format::JsonLines, timestamps: false };
        let read = read(&lines, shape, Selection::default());
        let read: Vec<serde_json::Value> =
            read.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(read.len(), 6);
        assert_eq!(
            read[1],
            serde_json::json!({
                "frame": 3, "time": "2026-01-31T10:42:03.5Z", "millis": 2, "stream": "stderr", "text": "two ",
                "continued": true,
            })
        );
        assert_eq!(read[4]["noNewline"], true);
        assert_eq!((&read[5]["base64"], &read[5]["text"]), (&"/w==".into(), &serde_json::Value::Null));
    }

    #[test]
    fn a_gap_is_named_where_it_is() {
        let lines = log(&["3 o 0 a", "4 o+ 0 cut", "9 o 1 b"]);
        let whole = read(&lines, Shape::default(), Selection::default());
        assert_eq!(
            whole,
            "[longshore: frames 1 to 2 of the log are missing here]\na\ncut\n\
             [longshore: frames 5 to 8 of the log are missing here]\nb\n"
        );
        let json = Shape { format: Format::JsonLines, ..Shape::default() };
        assert!(read(&lines, json, Selection::default()).starts_with(r#"{"missing":{"first":1,"last":2}}"#));
        // Somebody who asks for the last line asks for nothing before it.
        let last = Selection { tail_lines: Some(1), since: None };
        assert_eq!(read(&lines, Shape::default(), last), "b\n");
    }

    #[test]
    fn what_is_read_again_is_given_once() {
        let lines = log(&LINES);
        let (mut frames, mut out) = (Frames::default(), Vec::new());
        let mut writer = Writer::new(Shape::default(), Selection::default(), 0);
        for line in lines[..4].iter().chain(&lines) {
            frames.take(line, |piece| writer.write(&piece, &mut out));
        }
        assert_eq!(String::from_utf8(out).unwrap(), "one\ntwo parts\nthree\nfour");
    }

    proptest::proptest! {
        #[test]
        fn no_line_panics(lines in proptest::collection::vec(proptest::collection::vec(proptest::prelude::any::<u8>(), 0..64), 0..8)) {
            let (mut frames, mut out) = (Frames::default(), Vec::new());
            let mut writer = Writer::new(Shape::default(), Selection::default(), 0);
            for line in &lines {
                frames.take(line, |piece| writer.write(&piece, &mut out));
            }
        }
    }
}
