//! Keeps a log from acting on a terminal: a script could move the cursor over other lines, set the window's title, or
//! make the terminal answer. Colours stay.

/// The longest sequence that is looked at. Nobody needs longer colours.
const LONGEST: usize = 64;

/// Passes text on, with the sequences that act on a terminal made visible.
#[derive(Debug, Default)]
pub(super) struct Safe {
    /// A sequence that has begun.
    sequence: Vec<u8>,
    /// Whether the last byte was a carriage return.
    returned: bool,
}

impl Safe {
    /// Passes these bytes on. A sequence may go on with the next ones.
    pub(super) fn pass(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for &byte in bytes {
            if std::mem::take(&mut self.returned) {
                // Alone, it would let the next text overwrite this line.
                out.extend_from_slice(if byte == b'\n' { b"" } else { b"\n" });
            }
            if self.sequence.is_empty() {
                self.plain(byte, out);
            } else {
                self.within(byte, out);
            }
        }
    }

    fn plain(&mut self, byte: u8, out: &mut Vec<u8>) {
        match byte {
            0x1b => self.sequence.push(byte),
            b'\r' => self.returned = true,
            // The second byte of U+0080 to U+009F, which some terminals act on.
            0x80..=0x9f if out.last() == Some(&0xc2) => {
                out.pop();
                show(byte, out);
            }
            b'\n' | b'\t' | 0x20..=0x7e | 0x80..=0xff => out.push(byte),
            _ => show(byte, out),
        }
    }

    fn within(&mut self, byte: u8, out: &mut Vec<u8>) {
        let opened = self.sequence.len() == 1;
        let goes_on = if opened { byte == b'[' } else { matches!(byte, b'0'..=b'9' | b';' | b':') };
        if goes_on && self.sequence.len() < LONGEST {
            self.sequence.push(byte);
            return;
        }
        let sequence = std::mem::take(&mut self.sequence);
        if byte == b'm' && !opened {
            out.extend_from_slice(&sequence);
            out.push(byte);
            return;
        }
        show(0x1b, out);
        out.extend_from_slice(&sequence[1..]);
        self.plain(byte, out);
    }
}

/// A text that is whole.
pub(super) fn whole(text: &str) -> String {
    let mut out = Vec::new();
    Safe::default().pass(text.as_bytes(), &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

fn show(byte: u8, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("\\x{byte:02x}").as_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn colours_stay_and_what_acts_is_shown() {
        for (text, shown) in [
            ("plain, ä, 漢\n\tx", "plain, ä, 漢\n\tx"),
            ("\u{1b}[1;31mred\u{1b}[0m", "\u{1b}[1;31mred\u{1b}[0m"),
            ("\u{1b}[2Jgone", "\\x1b[2Jgone"),
            ("\u{1b}[31", ""),
            ("\u{1b}]0;title\u{7}x", "\\x1b]0;title\\x07x"),
            ("\u{1b}\u{1b}[0mx", "\\x1b\u{1b}[0mx"),
            ("\u{1b}[?25lx", "\\x1b[?25lx"),
            ("a\r\nb\rc", "a\nb\nc"),
            ("\u{9b}2J\u{8}\u{0}", "\\x9b2J\\x08\\x00"),
            ("\u{e9}\u{a9}", "\u{e9}\u{a9}"),
        ] {
            assert_eq!(whole(text), shown, "{text:?}");
        }
        assert_eq!(whole(&format!("\u{1b}[{}m", "1;".repeat(100))).find('\u{1b}'), None);
    }

    proptest! {
        #[test]
        fn nothing_acts_however_it_is_cut(
            bytes in proptest::collection::vec(
                prop_oneof![3 => Just(0x1b), 3 => Just(b'['), 2 => Just(b'm'), 1 => Just(b'\r'), 6 => any::<u8>()],
                0..200,
            ),
            cut in 0..200usize,
        ) {
            let (first, second) = bytes.split_at(cut.min(bytes.len()));
            let (mut safe, mut out, mut at_once) = (Safe::default(), Vec::new(), Vec::new());
            safe.pass(first, &mut out);
            safe.pass(second, &mut out);
            Safe::default().pass(&bytes, &mut at_once);
            prop_assert_eq!(&out, &at_once);
            for (at, byte) in out.iter().enumerate() {
                if *byte == 0x1b {
                    let rest = &out[at + 1..];
                    let end = rest.iter().position(|byte| !b"[0123456789;:".contains(byte));
                    prop_assert!(rest.first() == Some(&b'[') && end.is_some_and(|end| rest[end] == b'm'));
                } else {
                    prop_assert!(*byte >= 0x20 && *byte != 0x7f || b"\n\t".contains(byte), "{}", byte);
                }
            }
        }
    }
}
