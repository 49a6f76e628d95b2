//! Cuts a stream into lines, and lines into texts that fit a frame.

use crate::record::frame::{Ending, Frame, MAX_TEXT_BYTES};

/// The last line so far: it has no newline yet, and does not fill a frame.
#[derive(Debug, Default)]
pub(super) struct Lines {
    partial: Vec<u8>,
}

impl Lines {
    /// Takes the stream's next bytes, and calls `emit` for each complete text.
    pub(super) fn push(&mut self, mut bytes: &[u8], mut emit: impl FnMut(Ending, &[u8])) {
        while let Some(newline) = bytes.iter().position(|&byte| byte == b'\n') {
            let line = &bytes[..newline];
            bytes = &bytes[newline + 1..];
            if self.partial.is_empty() {
                whole(line, Ending::Line, &mut emit);
            } else {
                self.partial.extend_from_slice(line);
                whole(&self.partial, Ending::Line, &mut emit);
                self.partial.clear();
            }
        }
        self.partial.extend_from_slice(bytes);
        let mut from = 0;
        // Waits for more than one frame's text: the next byte decides where the cut may be, and a line that
        // fits its frame exactly needs no second one.
        while self.partial.len() - from > MAX_TEXT_BYTES {
            let fit = Frame::fit(&self.partial[from..]);
            emit(Ending::Continued, &self.partial[from..from + fit]);
            from += fit;
        }
        self.partial.drain(..from);
    }

    /// Ends the stream.
    pub(super) fn finish(&mut self, mut emit: impl FnMut(Ending, &[u8])) {
        if !self.partial.is_empty() {
            whole(&self.partial, Ending::NoNewline, &mut emit);
            self.partial.clear();
        }
    }
}

/// Emits a complete text, in as many parts as it needs.
pub(super) fn whole(mut text: &[u8], ending: Ending, emit: &mut impl FnMut(Ending, &[u8])) {
    loop {
        let fit = Frame::fit(text);
        if fit == text.len() {
            return emit(ending, text);
        }
        emit(Ending::Continued, &text[..fit]);
        text = &text[fit..];
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(pieces: &[&[u8]]) -> Vec<(Ending, Vec<u8>)> {
        let mut lines = Lines::default();
        let mut out = vec![];
        for piece in pieces {
            lines.push(piece, |ending, text| out.push((ending, text.to_vec())));
        }
        lines.finish(|ending, text| out.push((ending, text.to_vec())));
        out
    }

    #[test]
    fn a_line_waits_for_its_newline() {
        assert_eq!(
            cut(&[b"on", b"e\n\ntw", b"o"]),
            [
                (Ending::Line, b"one".to_vec()),
                (Ending::Line, b"".to_vec()),
                (Ending::NoNewline, b"two".to_vec())
            ]
        );
    }

    #[test]
    fn a_line_that_fills_its_frame_is_one_frame() {
        let line = [b"x".repeat(MAX_TEXT_BYTES), b"\n".to_vec()].concat();
        assert_eq!(cut(&[&line]).len(), 1);
        assert_eq!(cut(&[&line[..100], &line[100..]]).len(), 1);
    }

    #[test]
    fn an_endless_line_is_never_held_beyond_one_frame() {
        let mut lines = Lines::default();
        let mut bytes = 0;
        for _ in 0..100 {
            lines.push(&[b'x'; 9000], |ending, text| {
                assert_eq!(ending, Ending::Continued);
                bytes += text.len();
            });
            assert!(lines.partial.len() <= MAX_TEXT_BYTES);
        }
        assert!(bytes > 100 * 9000 - MAX_TEXT_BYTES - 1);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn any_cut_gives_the_same_frames(
            runs in proptest::collection::vec(("[aä\r\n\\\\]{1,4}", 1usize..9000), 0..9),
            size in 1usize..20_000,
        ) {
            let text: Vec<u8> = runs.iter().flat_map(|(text, count)| text.repeat(*count).into_bytes()).collect();
            let pieces: Vec<&[u8]> = text.chunks(size).collect();
            let out = cut(&pieces);
            prop_assert_eq!(&out, &cut(&[&text]));
            let mut back = vec![];
            for (ending, text) in out {
                back.extend_from_slice(&text);
                if ending == Ending::Line {
                    back.push(b'\n');
                }
            }
            prop_assert_eq!(back, text);
        }
    }
}
