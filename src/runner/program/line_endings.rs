//! Removes carriage returns at the ends of lines, and a byte order mark. Editors for other systems leave them
//! in scripts.
//!
//! A shell takes a carriage return for a part of the line's last word. Then `set -e` has no effect, a
//! here-document does not end, and the script seems to succeed. The run's conditions say what was removed.

use std::borrow::Cow;

use crate::{record::outcome::Problem, runner::refusal::Refusal};

/// The byte order mark in UTF-8.
const MARK: &[u8] = b"\xef\xbb\xbf";
/// The byte order mark in UTF-16, in either order.
const WIDE_MARKS: [&[u8]; 2] = [b"\xff\xfe", b"\xfe\xff"];

/// A script as interpreters expect it, and a sentence about the change, for people.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::runner) struct Plain<'a> {
    pub(in crate::runner) text: Cow<'a, [u8]>,
    pub(in crate::runner) done: Option<String>,
}

/// Removes the mark and the carriage returns.
pub(in crate::runner) fn plain(text: Cow<'_, [u8]>) -> Result<Plain<'_>, Refusal> {
    if WIDE_MARKS.iter().any(|mark| text.starts_with(mark)) {
        return Err(Refusal::new(
            Problem::NotExecutable,
            "the script is in UTF-16, which no interpreter of a container reads: save it as UTF-8",
        ));
    }
    let marked = text.starts_with(MARK);
    let body = if marked { &text[MARK.len()..] } else { &text[..] };
    let ends = endings(body);
    if !marked && ends == Endings::Plain {
        return Ok(Plain { text, done: None });
    }
    let what = [
        marked.then(|| "a byte order mark was taken out of the script's beginning".to_owned()),
        match ends {
            Endings::Plain => None,
            Endings::Two(lines) => Some(format!(
                "{} of the script ended in CR and LF, and end in LF now",
                if lines == 1 { "a line".to_owned() } else { format!("{lines} lines") }
            )),
            Endings::Return => Some("the script's lines ended in CR, and end in LF now".to_owned()),
        },
    ];
    let what: Vec<String> = what.into_iter().flatten().collect();
    let done = format!("{}: save it as UTF-8 without a mark, with LF line endings", what.join("; "));
    let text = match ends {
        Endings::Plain => body.to_vec(),
        Endings::Two(_) => without_returns(body),
        Endings::Return => body.iter().map(|&byte| if byte == b'\r' { b'\n' } else { byte }).collect(),
    };
    Ok(Plain { text: text.into(), done: Some(done) })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Endings {
    /// LF, or a single line.
    Plain,
    /// The number of lines that end in CR and LF.
    Two(usize),
    /// CR alone, as on old Macs.
    Return,
}

fn endings(text: &[u8]) -> Endings {
    let both = text.windows(2).filter(|pair| pair == b"\r\n").count();
    // The last line may have lost its LF.
    let last = usize::from(both > 0 && text.ends_with(b"\r"));
    match both {
        0 if text.contains(&b'\r') && !text.contains(&b'\n') => Endings::Return,
        0 => Endings::Plain,
        _ => Endings::Two(both + last),
    }
}

/// Removes each CR that ends a line. A CR within a line belongs to the script.
fn without_returns(text: &[u8]) -> Vec<u8> {
    let ends = |at: usize| text.get(at + 1).is_none_or(|&next| next == b'\n');
    text.iter().enumerate().filter(|&(at, &byte)| byte != b'\r' || !ends(at)).map(|(_, &byte)| byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &[u8]) -> (Vec<u8>, Option<String>) {
        let plain = plain(text.into()).unwrap();
        (plain.text.into_owned(), plain.done)
    }

    #[test]
    fn what_is_plain_stays_byte_by_byte() {
        for text in [&b"#!/bin/sh\necho \r hi\n"[..], b"", b"echo hi", b"printf 'a\rb'\nexit 1", b"\xff\n"] {
            assert_eq!(of(text), (text.to_vec(), None));
        }
    }

    #[test]
    fn the_ends_of_lines_become_those_of_the_system() {
        let (text, done) = of(b"#!/bin/sh\r\nset -e\r\nprintf 'a\rb'\nfalse\r");
        assert_eq!(text, b"#!/bin/sh\nset -e\nprintf 'a\rb'\nfalse");
        assert!(done.unwrap().starts_with("3 lines of the script ended in CR and LF"));
        let (text, done) = of(b"set -e\rfalse\rtrue\r");
        assert_eq!(text, b"set -e\nfalse\ntrue\n");
        assert!(done.unwrap().contains("ended in CR,"));
        assert!(of(b"true\r\n").1.unwrap().starts_with("a line of"));
    }

    #[test]
    fn a_mark_is_taken_out_and_another_encoding_refused() {
        let (text, done) = of(b"\xef\xbb\xbf#!/bin/sh\nset -e\n");
        assert_eq!(text, b"#!/bin/sh\nset -e\n");
        assert!(done.unwrap().contains("a byte order mark"));
        let done = of(b"\xef\xbb\xbfset -e\r\n").1.unwrap();
        assert!(done.contains("mark was") && done.contains("a line of"), "{done}");
        for wide in [&b"\xff\xfes\0e\0"[..], b"\xfe\xff\0s\0e"] {
            assert!(plain(wide.into()).is_err());
        }
    }
}
