//! A log's frames, for the verdict and the status. Each comes here once, in order. The archive
//! takes its own way (`tap.rs`), because it may be slower and may have been told less.

use super::tail::Tail;
use crate::record::{
    frame::{Ending, Frame, Kind},
    transcript::Transcript,
};

/// How much of the end of standard error is kept, in bytes.
const MAX_ERRORS_BYTES: usize = 2048;

/// Everything that is made of a log while it is read.
#[derive(Debug)]
pub(super) struct Kept {
    transcript: Transcript,
    tail: Tail,
    /// The end of standard error alone.
    errors: Tail,
    /// The first frame that the tails do not have.
    tail_next: u64,
}

impl Kept {
    /// Goes on after what `transcript` has.
    pub(super) fn after(transcript: Transcript) -> Self {
        Self { transcript, tail: Tail::default(), errors: Tail::of(MAX_ERRORS_BYTES), tail_next: 1 }
    }

    /// Takes the next frame of the log.
    pub(super) fn take(&mut self, frame: &Frame<'_>) {
        self.transcript.push(&frame.text, frame.ending);
        self.show(frame);
    }

    /// Takes a frame that an earlier operator had, and that this one reads for the first time. Only the tails
    /// lack it.
    pub(super) fn show(&mut self, frame: &Frame<'_>) {
        if frame.sequence >= self.tail_next {
            self.tail_next = frame.sequence.saturating_add(1);
            let ends = frame.ending != Ending::Continued;
            self.tail.push(&frame.text, ends);
            if frame.kind == Kind::Stderr {
                self.errors.push(&frame.text, ends);
            }
        }
    }

    pub(super) const fn transcript(&self) -> &Transcript {
        &self.transcript
    }

    /// The last lines, for people.
    pub(super) fn tail(&self) -> String {
        self.tail.text()
    }

    /// The last lines of standard error, if it has a stream of its own.
    pub(super) fn errors(&self) -> String {
        self.errors.text()
    }
}
