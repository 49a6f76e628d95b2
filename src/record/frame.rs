//! The lines in which a run reports: one frame a line, readable by a person as it is.
//!
//! ```text
//! 21 1 s 0 {"start":{...}}
//! 25 2 o 12 Applying manifests
//! 26 3 e 48 warning: deprecated
//! 60 4 o+ 90 a line that is longer than one frame, its first part
//! 19 5 o 90  and its end
//! 47 6 o~ 91 a line that ends in a carriage return\r
//! 43 7 o- 95 the last line, which has no newline
//! 21 8 x 95 {"exit":{...}}
//! 20 9 z 95 {"end":{...}}
//! ```
//!
//! `b` replaces `o` and `e` if both streams are one pipe.
//!
//! A line has its length (the bytes behind the first space), a sequence number (from 1, without gaps), the kind,
//! the milliseconds since the script's start, and the text. The kind is a letter and marks. `+` means that the
//! text continues in the next frame of the same kind. `-` means that the line ended without a newline. `~` means
//! that the text is escaped: `\\` is a backslash, `\r` a carriage return. A text is escaped if it would end in a
//! carriage return, which containerd drops in front of a newline.
//!
//! When a node begins a new log file, containerd may cut a line in two. A reader may then get one part alone, or
//! joined to another line. The length shows that: such a line is no frame.

use std::borrow::Cow;

/// The longest line, in bytes, its newline included. The container runtime splits lines at 16 KiB.
pub const MAX_LINE_BYTES: usize = 15_000;

/// The longest prefix of a line: a length, two numbers of 20 digits, kind, marks, and four spaces.
const MAX_PREFIX_BYTES: usize = 5 + 1 + 20 + 1 + 3 + 1 + 20 + 1;

/// The longest text of one frame before it is escaped, in bytes. Only a text that ends in a carriage return
/// is escaped. [`Frame::fit`] then cuts it shorter, so that the line still fits.
pub const MAX_TEXT_BYTES: usize = MAX_LINE_BYTES - MAX_PREFIX_BYTES - 1;

/// The content of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `s`: the run was claimed ([`super::outcome::Start`]).
    Start,
    /// `o`: the script's standard output.
    Stdout,
    /// `e`: the script's standard error.
    Stderr,
    /// `b`: both, by one pipe, in the order in which they were written.
    Both,
    /// `c`: the runner's words about its spool ([`super::credit::Control`]). It counts no frame.
    Control,
    /// `x`: how the script ended ([`super::outcome::Exit`]).
    Exit,
    /// `z`: the log is complete ([`super::outcome::End`]).
    End,
}

impl Kind {
    /// The letter of this kind in a frame.
    #[must_use]
    pub const fn letter(self) -> u8 {
        match self {
            Self::Start => b's',
            Self::Stdout => b'o',
            Self::Stderr => b'e',
            Self::Both => b'b',
            Self::Control => b'c',
            Self::Exit => b'x',
            Self::End => b'z',
        }
    }

    pub(crate) const fn of(letter: u8) -> Option<Self> {
        Some(match letter {
            b's' => Self::Start,
            b'o' => Self::Stdout,
            b'e' => Self::Stderr,
            b'b' => Self::Both,
            b'c' => Self::Control,
            b'x' => Self::Exit,
            b'z' => Self::End,
            _ => return None,
        })
    }

    /// Whether the frame's text is a part of the log.
    #[must_use]
    pub const fn is_log(self) -> bool {
        matches!(self, Self::Stdout | Self::Stderr | Self::Both)
    }
}

/// How a frame's text ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ending {
    /// With the line.
    Line,
    /// Within the line: the next frame of the same kind continues it.
    Continued,
    /// With the stream, which had no newline there.
    NoNewline,
}

/// One line of a run's report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Counts the frames of a run, from 1, without gaps.
    pub sequence: u64,
    /// The kind of the text.
    pub kind: Kind,
    /// Milliseconds since the script's start.
    pub millis: u64,
    /// How the text ends.
    pub ending: Ending,
    /// Decoded, without newline.
    pub text: Cow<'a, [u8]>,
}

impl<'a> Frame<'a> {
    /// How many bytes of `text` fit into one frame. Never zero for a text that is not empty.
    #[must_use]
    pub fn fit(text: &[u8]) -> usize {
        let mut len = text.len().min(MAX_TEXT_BYTES);
        if len < text.len() {
            // A cut within a UTF-8 character would make two unreadable halves.
            let start = (len.saturating_sub(3)..=len).rev().find(|&at| !is_continuation(text[at]));
            len = start.filter(|&at| at > 0).unwrap_or(len);
        }
        if text[..len].last() == Some(&b'\r') {
            let mut used = 0;
            len = text[..len]
                .iter()
                .take_while(|&&byte| {
                    used += escaped_len(byte);
                    used <= MAX_TEXT_BYTES
                })
                .count();
        }
        len
    }

    /// Appends the frame as a line, newline included.
    ///
    /// The text must hold no newline and be no longer than [`Frame::fit`] says.
    pub fn encode(&self, line: &mut Vec<u8>) {
        let escape = self.text.last() == Some(&b'\r');
        let text: usize =
            if escape { self.text.iter().map(|&byte| escaped_len(byte)).sum() } else { self.text.len() };
        let marks = usize::from(self.ending != Ending::Line) + usize::from(escape);
        let head = digits(self.sequence) + 2 + marks + 1 + digits(self.millis) + 1;
        line.extend_from_slice((head + text).to_string().as_bytes());
        line.push(b' ');
        line.extend_from_slice(self.sequence.to_string().as_bytes());
        line.extend_from_slice(&[b' ', self.kind.letter()]);
        match self.ending {
            Ending::Line => {}
            Ending::Continued => line.push(b'+'),
            Ending::NoNewline => line.push(b'-'),
        }
        if escape {
            line.push(b'~');
        }
        line.push(b' ');
        line.extend_from_slice(self.millis.to_string().as_bytes());
        line.push(b' ');
        if escape {
            for &byte in self.text.iter() {
                match byte {
                    b'\r' => line.extend_from_slice(b"\\r"),
                    b'\\' => line.extend_from_slice(b"\\\\"),
                    other => line.push(other),
                }
            }
        } else {
            line.extend_from_slice(&self.text);
        }
        line.push(b'\n');
    }

    /// Reads a line without its newline. Returns `None` if the line is no frame and so not from the runner, or
    /// not whole.
    #[must_use]
    pub fn decode(line: &'a [u8]) -> Option<Self> {
        Self::split(line).and_then(|(frame, rest)| rest.is_empty().then_some(frame))
    }

    /// Reads the frame with which `line` begins, and returns what follows it.
    pub(super) fn split(line: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (frame, behind) = measured(line)?;
        let (sequence, rest) = decimal(frame)?;
        let (&letter, rest) = rest.split_first()?;
        let kind = Kind::of(letter)?;
        let (ending, rest) = match rest.first()? {
            b'+' => (Ending::Continued, &rest[1..]),
            b'-' => (Ending::NoNewline, &rest[1..]),
            _ => (Ending::Line, rest),
        };
        let (escaped, rest) = match rest.first()? {
            b'~' => (true, &rest[1..]),
            _ => (false, rest),
        };
        let (millis, text) = decimal(rest.strip_prefix(b" ")?)?;
        if sequence == 0 {
            return None;
        }
        let text = if escaped { Cow::Owned(unescape(text)?) } else { Cow::Borrowed(text) };
        Some((Self { sequence, kind, millis, ending, text }, behind))
    }

    /// The lines of a test, which leaves their lengths out. What is no frame stays as it is.
    #[cfg(test)]
    #[must_use]
    pub(crate) fn with_lengths(lines: &[u8]) -> Vec<u8> {
        let measured = lines.split_inclusive(|&byte| byte == b'\n').map(|line| {
            let frame = line.strip_suffix(b"\n").unwrap_or(line);
            let head = format!("{} ", frame.len()).into_bytes();
            let is_frame = Frame::decode(&[&head, frame].concat()).is_some();
            if is_frame { [&head, line].concat() } else { line.to_vec() }
        });
        measured.collect::<Vec<_>>().concat()
    }
}

/// The kind of an encoded frame, without reading the rest of it.
#[must_use]
pub fn kind_of(line: &[u8]) -> Option<Kind> {
    let mut words = line.splitn(4, |&byte| byte == b' ');
    words.nth(2).and_then(<[u8]>::first).and_then(|&letter| Kind::of(letter))
}

/// How many decimal digits the number has.
const fn digits(number: u64) -> usize {
    match number.checked_ilog10() {
        Some(log) => log as usize + 1,
        None => 1,
    }
}

const fn is_continuation(byte: u8) -> bool {
    byte & 0xC0 == 0x80
}

const fn escaped_len(byte: u8) -> usize {
    if matches!(byte, b'\r' | b'\\') { 2 } else { 1 }
}

/// Reads a length and so many bytes behind its space. Returns these bytes and what follows them.
pub(super) fn measured(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = decimal(text)?;
    rest.split_at_checked(usize::try_from(length).ok()?)
}

/// Reads a decimal number and the space behind it.
pub(super) fn decimal(text: &[u8]) -> Option<(u64, &[u8])> {
    let end = text.iter().position(|&byte| byte == b' ')?;
    let digits = std::str::from_utf8(&text[..end]).ok()?;
    // `parse` would take a sign.
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some((digits.parse().ok()?, &text[end + 1..]))
}

fn unescape(text: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(&byte) = bytes.next() {
        plain.push(match byte {
            b'\\' => match bytes.next()? {
                b'r' => b'\r',
                b'\\' => b'\\',
                _ => return None,
            },
            other => other,
        });
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(frame: &Frame<'_>) -> String {
        let mut line = Vec::new();
        frame.encode(&mut line);
        String::from_utf8(line).unwrap()
    }

    fn frame(text: &[u8]) -> Frame<'_> {
        Frame { sequence: 7, kind: Kind::Stdout, millis: 12, ending: Ending::Line, text: text.into() }
    }

    #[test]
    fn a_frame_reads_as_designed() {
        assert_eq!(line(&frame(b"Applying manifests")), "25 7 o 12 Applying manifests\n");
        assert_eq!(line(&frame(b"")), "7 7 o 12 \n");
        assert_eq!(line(&Frame { kind: Kind::Both, ..frame(b"a") }), "8 7 b 12 a\n");
        assert_eq!(line(&frame(b"a\\b\r")), "14 7 o~ 12 a\\\\b\\r\n");
        assert_eq!(line(&Frame { ending: Ending::Continued, ..frame(b"a") }), "9 7 o+ 12 a\n");
        assert_eq!(line(&Frame { ending: Ending::NoNewline, ..frame(b"a\r") }), "12 7 o-~ 12 a\\r\n");
        assert_eq!(kind_of(b"12 7 o-~ 12 a\\r\n"), Some(Kind::Stdout));
        assert_eq!(kind_of(b"12 7 "), None);
    }

    #[test]
    fn what_is_no_frame_is_foreign() {
        for foreign in [
            "",
            "hello",
            "1",
            "1 o",
            "1 o ",
            "1 o 5",
            "0 o 1 zero",
            "+1 o 1 sign",
            "1 q 1 kind",
            "1 o -1 negative",
            "1 o~ 1 bad \\x escape",
            "1 o~ 1 cut \\",
            "1 o+- 1 both",
            "99999999999999999999 o 1 too big",
            " 1 o 1 x",
        ] {
            for line in [foreign.to_owned(), format!("{} {foreign}", foreign.len())] {
                assert_eq!(Frame::decode(line.as_bytes()), None, "{line:?}");
            }
        }
        for wrong in [
            "1 o 1 x",
            "6 1 o 1 x",
            "8 1 o 1 x",
            "07 1 o 1 x ",
            "+7 1 o 1 x",
            "7  1 o 1 x",
            "99999999999999999999 1 o 1 x",
        ] {
            assert_eq!(Frame::decode(wrong.as_bytes()), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_cut_falls_between_characters() {
        let text = "ä".repeat(MAX_TEXT_BYTES).into_bytes();
        let fit = Frame::fit(&text);
        assert!(std::str::from_utf8(&text[..fit]).is_ok());
        assert!(fit > MAX_TEXT_BYTES - 4);
    }

    proptest! {
        // Long random texts are slow to make: a short one is repeated, and each cut falls elsewhere in it.
        #[test]
        fn any_text_comes_back_and_fits_a_line(
            part in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\\'), Just(0xC3u8), any::<u8>()], 1..200),
            length in 0usize..20_000,
            sequence in 1u64..,
            millis: u64,
        ) {
            let text: Vec<u8> = part.into_iter().cycle().take(length).filter(|&byte| byte != b'\n').collect();
            let mut text = &text[..];
            while !text.is_empty() {
                let fit = Frame::fit(text);
                prop_assert!(fit > 0);
                let sent = Frame {
                    sequence, kind: Kind::Stderr, millis, ending: Ending::NoNewline, text: text[..fit].into(),
                };
                let mut line = Vec::new();
                sent.encode(&mut line);
                prop_assert!(line.len() <= MAX_LINE_BYTES);
                prop_assert_eq!(line.pop(), Some(b'\n'));
                prop_assert!(!line.contains(&b'\n') && line.last() != Some(&b'\r'));
                prop_assert_eq!(Frame::decode(&line), Some(sent));
                text = &text[fit..];
            }
        }
    }

    proptest! {
        #[test]
        fn no_line_panics(line in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = Frame::decode(&line);
        }
    }
}
