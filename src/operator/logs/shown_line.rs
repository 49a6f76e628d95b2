//! A line of a log as a terminal finally shows it: without colours and titles, and with the last state of a
//! progress bar.

use anstyle_parse::{Params, Parser, Perform};

/// How far to the right of a line's text the cursor may be moved. A few bytes must not become a long line.
const WIDEST: usize = 200;

/// `line` as a terminal leaves it, without control characters and without blanks at the end.
pub(crate) fn shown(line: &str) -> String {
    let mut shown = Shown::default();
    if line.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return line.trim_end().to_owned();
    }
    let mut parser = Parser::<anstyle_parse::DefaultCharAccumulator>::new();
    for byte in line.bytes() {
        parser.advance(&mut shown, byte);
    }
    let mut text: String = shown.characters.into_iter().collect();
    text.truncate(text.trim_end().len());
    text
}

/// One line of an endless terminal.
#[derive(Default)]
struct Shown {
    characters: Vec<char>,
    cursor: usize,
}

impl Shown {
    fn put(&mut self, character: char) {
        if self.cursor < self.characters.len() {
            self.characters[self.cursor] = character;
        } else {
            self.characters.resize(self.cursor, ' ');
            self.characters.push(character);
        }
        self.cursor += 1;
    }

    fn move_to(&mut self, column: usize) {
        self.cursor = column.min(self.characters.len().max(WIDEST));
    }

    /// Erases a part of the line (ECMA-48, EL and ED): after the cursor, before it, or all.
    fn erase(&mut self, part: usize) {
        match part {
            0 => self.characters.truncate(self.cursor),
            1 => self.characters.iter_mut().take(self.cursor + 1).for_each(|character| *character = ' '),
            _ => self.characters.clear(),
        }
    }
}

impl Perform for Shown {
    fn print(&mut self, character: char) {
        match character {
            // YAML cannot write these in a block: control characters, the byte order mark, and line
            // separators of other systems.
            '\u{feff}' | '\u{2028}' | '\u{2029}' => {}
            other if other.is_control() => {}
            other => self.put(other),
        }
    }

    fn execute(&mut self, byte: u8) {
        match byte {
            b'\r' => self.cursor = 0,
            0x08 => self.cursor = self.cursor.saturating_sub(1),
            b'\t' => (0..4).for_each(|_| self.put(' ')),
            _ => {}
        }
    }

    fn csi_dispatch(&mut self, parameters: &Params, intermediates: &[u8], _ignored: bool, action: u8) {
        if !intermediates.is_empty() {
            return;
        }
        let number = parameters.iter().next().and_then(|parameter| parameter.first()).copied();
        let number = usize::from(number.unwrap_or_default());
        let count = number.max(1);
        match action {
            // A program that erases the screen begins again at its top.
            b'J' if number >= 2 => (self.characters, self.cursor) = (Vec::new(), 0),
            b'J' | b'K' => self.erase(number),
            b'G' | b'`' => self.move_to(count - 1),
            b'C' | b'a' => self.move_to(self.cursor.saturating_add(count)),
            b'D' => self.cursor = self.cursor.saturating_sub(count),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_to_be_seen_is_left_out() {
        for (line, seen) in [
            ("\u{1b}[1;32mok\u{1b}[0m\tdone  ", "ok    done"),
            ("\u{1b}[38:2:1:2:3mred\u{1b}(B\u{1b}[m \u{1b})0end", "red end"),
            ("\u{1b}]0;title\u{7}a", "a"),
            ("\u{1b}]2;title\u{1b}\\a", "a"),
            ("\u{1b}]8;;https://example.com\u{1b}\\link\u{1b}]8;;\u{1b}\\", "link"),
            ("a\u{1b}Pq#0;2;0;0;0#0!10~\u{1b}\\b", "ab"),
            ("a\u{1b}_application\u{1b}\\b\u{1b}^private\u{1b}\\c\u{1b}Xstring\u{1b}\\d", "abcd"),
            ("\u{1b}[?25l\u{1b}[?2004hshown\u{1b}[?25h\u{1b}7\u{1b}8\u{1b}=", "shown"),
            ("\u{7}bell\u{0}\u{7f}\u{feff}\u{2028}", "bell"),
            ("grüße \u{1b}[1m\u{1f600}\u{1b}[0m", "grüße \u{1f600}"),
            // A sequence without an end takes only the rest of its line.
            ("before\u{1b}]0;title", "before"),
            ("before\u{1b}[", "before"),
            ("before\u{1b}", "before"),
        ] {
            assert_eq!(shown(line), seen, "{line:?}");
        }
    }

    #[test]
    fn of_a_progress_bar_what_one_sees_last_is_left() {
        for (line, seen) in [
            ("10%\r50%\r100%\r", "100%"),
            (
                "Receiving objects:  50% (5/10)\rReceiving objects: 100% (10/10), done.",
                "Receiving objects: 100% (10/10), done.",
            ),
            // npm, yarn, ora.
            ("\u{1b}[2K\u{1b}[1G\u{1b}[36m-\u{1b}[39m resolving\u{1b}[2K\u{1b}[1Gdone", "done"),
            // cargo, pip.
            ("Building [=====>  ] 7/9\r\u{1b}[KFinished", "Finished"),
            ("Downloading 12 MB\u{1b}[2K\r     Downloading 14 MB", "     Downloading 14 MB"),
            // A spinner that goes back by one.
            ("wait -\u{8}\\\u{8}|\u{8}/\u{8}ok", "wait ok"),
            ("- installing\r\\\r|\r\u{2714}", "\u{2714} installing"),
            ("Starting\u{1b}[20G[ ok ]\r", "Starting           [ ok ]"),
            ("12345\u{1b}[3D\u{1b}[K", "12"),
            ("abc\u{1b}[1K", ""),
            ("a\u{1b}[3Cb", "a   b"),
            ("old\u{1b}[H\u{1b}[2J\u{1b}[3Jnew", "new"),
        ] {
            assert_eq!(shown(line), seen, "{line:?}");
        }
    }

    #[test]
    fn a_few_bytes_become_no_long_line() {
        for far in ["\u{1b}[65535Gx", "\u{1b}[99999999999Cx"] {
            assert_eq!(shown(far).len(), WIDEST + 1, "{far:?}");
        }
        assert!(shown(&"\u{1b}[65535Cx".repeat(1000)).len() < WIDEST + 1001);
        let long = "x".repeat(1000);
        assert_eq!(shown(&format!("{long}\u{1b}[900G\u{1b}[K")).len(), 899);
    }

    proptest::proptest! {
        #[test]
        fn a_shown_line_is_plain(line in "[ -~\u{1b}\u{8}\r\t\u{9b}\u{e9}\\[\\]0-9;GKJCDP]{0,80}") {
            let seen = shown(&line);
            proptest::prop_assert!(!seen.chars().any(char::is_control));
            proptest::prop_assert!(seen.chars().count() <= WIDEST + 4 * line.len());
            proptest::prop_assert_eq!(seen.trim_end(), &seen);
        }
    }
}
