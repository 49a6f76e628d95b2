//! Several frames in one line.
//!
//! A container runtime and a reader of its log pay for each line more than for its bytes. So a runner that is
//! far behind packs short frames together:
//!
//! ```text
//! 12 p 0 18 12 o 48 first line19 13 o 48 second line
//! ```
//!
//! The line has the number of its first frame, the letter `p`, and a zero. Then each frame follows: its length
//! in bytes, a space, and the frame as it would be alone, without its newline.

use super::frame::{Kind, MAX_LINE_BYTES, decimal};

/// The letter of such a line.
const LETTER: u8 = b'p';
/// The longest prefix of a frame in a line: its length and a space.
const MAX_LENGTH_BYTES: usize = 6;

/// A line that frames are added to.
#[derive(Debug, Default)]
pub struct Packer {
    line: Vec<u8>,
}

impl Packer {
    /// Adds a frame with its newline, as [`super::frame::Frame::encode`] makes it. Returns whether it fits.
    /// The frame of a record does not belong into such a line ([`Kind`]).
    pub fn add(&mut self, sequence: u64, frame: &[u8]) -> bool {
        let frame = frame.strip_suffix(b"\n").unwrap_or(frame);
        if self.line.is_empty() {
            self.line.extend_from_slice(sequence.to_string().as_bytes());
            self.line.extend_from_slice(&[b' ', LETTER, b' ', b'0', b' ']);
        } else if self.line.len() + MAX_LENGTH_BYTES + frame.len() >= MAX_LINE_BYTES {
            return false;
        }
        self.line.extend_from_slice(frame.len().to_string().as_bytes());
        self.line.push(b' ');
        self.line.extend_from_slice(frame);
        true
    }

    /// Moves the line to the end of `out`, newline included. Nothing if no frame was added.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if !self.line.is_empty() {
            out.append(&mut self.line);
            out.push(b'\n');
        }
    }
}

/// The frames in a line without its newline. `None` if the line is no such line, or not from the runner.
/// The frames are not decoded.
#[must_use]
pub fn unpack(line: &[u8]) -> Option<Vec<&[u8]>> {
    let (_, rest) = decimal(line)?;
    let mut rest = rest.strip_prefix(&[LETTER, b' ', b'0', b' '])?;
    let mut frames = Vec::new();
    while !rest.is_empty() {
        let (length, behind) = decimal(rest)?;
        let (frame, next) = behind.split_at_checked(usize::try_from(length).ok()?)?;
        frames.push(frame);
        rest = next;
    }
    (!frames.is_empty()).then_some(frames)
}

/// Whether a frame of this kind may be in such a line.
#[must_use]
pub const fn may_be_packed(kind: Kind) -> bool {
    kind.is_log()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::frame::{Ending, Frame};

    fn encoded(sequence: u64, text: &[u8]) -> Vec<u8> {
        let mut line = Vec::new();
        let ending = Ending::Line;
        Frame { sequence, kind: Kind::Stdout, millis: 48, ending, text: text.into() }.encode(&mut line);
        line
    }

    #[test]
    fn a_packed_line_reads_as_designed() {
        let mut packer = Packer::default();
        assert!(packer.add(12, &encoded(12, b"first line")));
        assert!(packer.add(13, &encoded(13, b"second line")));
        let mut line = Vec::new();
        packer.finish(&mut line);
        assert_eq!(String::from_utf8(line).unwrap(), "12 p 0 18 12 o 48 first line19 13 o 48 second line\n");
        let mut nothing = Vec::new();
        packer.finish(&mut nothing);
        assert_eq!(nothing, b"");
    }

    #[test]
    fn what_is_no_packed_line_is_none() {
        for wrong in [
            "",
            "12",
            "12 p",
            "12 p 0 ",
            "12 p 1 3 abc",
            "12 o 0 3 abc",
            "12 p 0 4 abc",
            "12 p 0 x abc",
            "p 0 3 abc",
        ] {
            assert_eq!(unpack(wrong.as_bytes()), None, "{wrong:?}");
        }
        assert_eq!(Frame::decode(b"12 p 0 3 abc"), None, "an older reader takes it for foreign");
    }

    proptest! {
        #[test]
        fn any_frames_come_back_and_fit_a_line(
            texts in proptest::collection::vec(proptest::collection::vec(any::<u8>().prop_filter("newline", |byte| *byte != b'\n'), 0..2000), 1..40),
        ) {
            let mut packer = Packer::default();
            let mut out = Vec::new();
            let frames: Vec<Vec<u8>> = (1..).zip(&texts).map(|(sequence, text)| encoded(sequence, text)).collect();
            for (sequence, frame) in (1..).zip(&frames) {
                if !packer.add(sequence, frame) {
                    packer.finish(&mut out);
                    prop_assert!(packer.add(sequence, frame));
                }
            }
            packer.finish(&mut out);
            let mut back = Vec::new();
            for line in out.split_inclusive(|byte| *byte == b'\n') {
                prop_assert!(line.len() <= MAX_LINE_BYTES);
                back.extend(unpack(&line[..line.len() - 1]).unwrap().into_iter().map(<[u8]>::to_vec));
            }
            let sent: Vec<Vec<u8>> = frames.iter().map(|frame| frame[..frame.len() - 1].to_vec()).collect();
            prop_assert_eq!(back, sent);
        }

        #[test]
        fn no_packed_line_panics(line in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = unpack(&line);
        }
    }
}
