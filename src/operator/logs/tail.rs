//! The last lines of a log, cleaned so that YAML shows them as a block of text.

use super::shown_line::shown;
use crate::api::status::MAX_TAIL_BYTES;

/// How much more than the tail is kept before old text is thrown away.
const SLACK: usize = 4;

/// The last bytes of a log, unchanged.
#[derive(Debug)]
pub(super) struct Tail {
    bytes: Vec<u8>,
    cut: bool,
    /// The most bytes of its text.
    most: usize,
}

impl Default for Tail {
    fn default() -> Self {
        Self::of(MAX_TAIL_BYTES)
    }
}

impl Tail {
    /// A tail with a text of at most this many bytes.
    pub(super) const fn of(most: usize) -> Self {
        Self { bytes: Vec::new(), cut: false, most }
    }

    /// Adds text, and a newline if `line` says that the line ends here.
    pub(super) fn push(&mut self, text: &[u8], line: bool) {
        self.bytes.extend_from_slice(text);
        if line {
            self.bytes.push(b'\n');
        }
        let slack = SLACK * self.most;
        if self.bytes.len() > 2 * slack {
            let old = self.bytes.len() - slack;
            self.bytes.drain(..old);
            self.cut = true;
        }
    }

    /// The last lines, as a terminal finally shows them. The text is valid,
    /// without escape sequences, control characters, tabs, and blanks at the ends of lines.
    #[must_use]
    pub(super) fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.bytes);
        // If old text was thrown away, the first line lacks its beginning. If it is the only line, its end is
        // better than nothing.
        let whole = text.find('\n').map(|newline| newline + 1).filter(|&next| self.cut && next < text.len());
        let mut clean: String =
            text[whole.unwrap_or(0)..].split('\n').map(shown).collect::<Vec<_>>().join("\n");
        if clean.len() > self.most {
            let mut from = clean.len() - self.most;
            while !clean.is_char_boundary(from) {
                from += 1;
            }
            // Starts at the beginning of a line, unless that would leave nothing.
            let next = clean[from..].find('\n').map(|newline| from + newline + 1);
            let from = next.filter(|&next| next < clean.len()).unwrap_or(from);
            clean.drain(..from);
        }
        clean
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail(text: &str) -> String {
        let mut tail = Tail::default();
        for line in text.split_inclusive('\n') {
            tail.push(line.trim_end_matches('\n').as_bytes(), line.ends_with('\n'));
        }
        tail.text()
    }

    #[test]
    fn colours_tabs_and_trailing_blanks_are_cleaned() {
        assert_eq!(tail("\u{1b}[1;32mok\u{1b}[0m\tdone  \n\u{1b}]0;title\u{7}x\u{0}\n"), "ok    done\nx\n");
    }

    #[test]
    fn of_a_progress_bar_the_last_state_is_kept() {
        assert_eq!(tail("10%\r50%\r100%\r\nend"), "100%\nend");
    }

    #[test]
    fn the_tail_is_bounded_and_begins_with_a_line() {
        let text = (0..100_000).map(|line| format!("line {line}")).collect::<Vec<_>>().join("\n") + "\n";
        let tail = tail(&text);
        assert!(tail.len() <= MAX_TAIL_BYTES && tail.len() > MAX_TAIL_BYTES / 2);
        assert!(tail.starts_with("line ") && tail.ends_with("line 99999\n"));
    }

    #[test]
    fn a_line_longer_than_the_tail_is_cut_at_a_character() {
        let tail = tail(&"ä".repeat(100_000));
        assert!(!tail.is_empty() && tail.len() <= MAX_TAIL_BYTES);
    }

    #[test]
    fn bytes_that_are_no_text_become_replacement_characters() {
        let mut tail = Tail::default();
        tail.push(&[b'a', 0xff, 0x00, b'b'], true);
        assert_eq!(tail.text(), "a\u{fffd}b\n");
    }
}
