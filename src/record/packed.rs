//! Several frames in one line.
//!
//! A container runtime and a reader of its log pay for each line more than for its bytes. So a runner that is
//! far behind packs short frames together:
//!
//! ```text
//! 50 12 p 0 18 12 o 48 first line19 13 o 48 second line
//! ```
//!
//! The line has its length (the bytes behind the first space), the number of its first frame, the letter `p`, and a
//! zero. Then each frame follows as it would be alone, without its newline.

use super::frame::{Frame, Kind, MAX_LINE_BYTES, decimal, measured};

/// The letter of such a line.
const LETTER: u8 = b'p';
/// The longest length in front of a line, with its space.
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
        } else if MAX_LENGTH_BYTES + self.line.len() + frame.len() >= MAX_LINE_BYTES {
            return false;
        }
        self.line.extend_from_slice(frame);
        true
    }

    /// Moves the line to the end of `out`, newline included. Nothing if no frame was added.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if !self.line.is_empty() {
            out.extend_from_slice(self.line.len().to_string().as_bytes());
            out.push(b' ');
            out.append(&mut self.line);
            out.push(b'\n');
        }
    }
}

/// The frames in a line without its newline. `None` if the line is no such line, or not from the runner, or not
/// whole.
#[must_use]
pub fn unpack(line: &[u8]) -> Option<Vec<Frame<'_>>> {
    let (line, _) = measured(line).filter(|(_, behind)| behind.is_empty())?;
    let (_, rest) = decimal(line)?;
    let mut rest = rest.strip_prefix(&[LETTER, b' ', b'0', b' '])?;
    let mut frames = Vec::new();
    while !rest.is_empty() {
        let (frame, next) = Frame::split(rest).filter(|(frame, _)| may_be_packed(frame.kind))?;
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
        assert_eq!(
            String::from_utf8(line).unwrap(),
            "50 12 p 0 18 12 o 48 first line19 13 o 48 second line\n"
        );
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
            "12 p 1 8 12 o 0 a",
            "12 p 0 9 12 o 0 a",
            "12 p 0 8 12 o 0 ab",
            "12 p 0 9 12 x 0 {}",
            "12 p 0 x",
            "p 0 8 12 o 0 a",
        ] {
            for line in [wrong.to_owned(), format!("{} {wrong}", wrong.len())] {
                assert_eq!(unpack(line.as_bytes()), None, "{line:?}");
            }
        }
        for wrong in ["12 p 0 8 12 o 0 a", "16 12 p 0 8 12 o 0 a", "18 12 p 0 8 12 o 0 a"] {
            assert_eq!(unpack(wrong.as_bytes()), None, "{wrong:?}");
        }
        assert_eq!(
            Frame::decode(b"17 12 p 0 8 12 o 0 a"),
            None,
            "a reader of single frames takes it for foreign"
        );
    }

    /// Frames and packed lines in one, as a reader takes them.
    fn read(line: &[u8]) -> Vec<Frame<'_>> {
        Frame::decode(line).map(|frame| vec![frame]).or_else(|| unpack(line)).unwrap_or_default()
    }

    fn are_of(frames: &[Frame<'_>], sent: &[Vec<u8>]) -> bool {
        frames.iter().all(|frame| {
            let mut line = Vec::new();
            frame.encode(&mut line);
            sent.contains(&line)
        })
    }

    #[test]
    fn no_part_of_a_line_passes_for_another_frame_alone_or_joined_to_another_line() {
        let frames: Vec<Vec<u8>> = (12..16).map(|sequence| encoded(sequence, b"a line of text")).collect();
        let mut packer = Packer::default();
        let mut line = Vec::new();
        assert!((12..).zip(&frames).all(|(sequence, frame)| packer.add(sequence, frame)));
        packer.finish(&mut line);
        let lines = [line, encoded(12, b"a line of text"), encoded(16, b"7 8 o 48 ab")];
        let sent = [&frames[..], &lines[1..]].concat();
        for line in lines.iter().map(|line| line.strip_suffix(b"\n").unwrap()) {
            for at in 0..=line.len() {
                let (first, second) = line.split_at(at);
                for other in lines.iter().map(|line| line.strip_suffix(b"\n").unwrap()) {
                    let joined = [first, other].concat();
                    for read in [read(first), read(second), read(&joined)] {
                        assert!(are_of(&read, &sent), "{read:?} of {line:?} at {at} with {other:?}");
                    }
                }
            }
        }
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
                for frame in unpack(&line[..line.len() - 1]).unwrap() {
                    let mut line = Vec::new();
                    frame.encode(&mut line);
                    back.push(line);
                }
            }
            prop_assert_eq!(back, frames);
        }

        #[test]
        fn no_packed_line_panics(line in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = unpack(&line);
        }
    }
}
