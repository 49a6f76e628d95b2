//! From the lines of a container's log to its frames, in order. This is pure.

use std::{borrow::Cow, collections::BTreeMap};

use crate::record::{
    credit::{Control, MAX_RANGES},
    frame::{Ending, Frame, Kind},
    outcome::FrameRange,
    packed::unpack,
};

/// How many bytes of a log wait behind a gap that may still be filled, with what it costs to keep them.
pub(super) const HELD: usize = 256 * 1024;
/// The cost of keeping a frame, beside its text.
pub(super) const HELD_FRAME: usize = 128;

/// A part of a log, in order.
#[derive(Debug, PartialEq)]
pub enum Piece<'a> {
    /// Frames that are not there, from the first to the last.
    Missing(u64, u64),
    /// A frame that the script's output is in.
    Text {
        /// The frame.
        frame: Frame<'a>,
        /// Whether a line begins with it.
        begins: bool,
    },
    /// Nothing comes after this.
    End,
}

impl Piece<'_> {
    /// The same, to be kept.
    #[must_use]
    pub fn into_owned(self) -> Piece<'static> {
        match self {
            Self::Missing(first, last) => Piece::Missing(first, last),
            Self::Text { frame, begins } => {
                let Frame { sequence, kind, millis, ending, text } = frame;
                let text = Cow::Owned(text.into_owned());
                Piece::Text { frame: Frame { sequence, kind, millis, ending, text }, begins }
            }
            Self::End => Piece::End,
        }
    }
}

/// Follows the frames of a log, over several readings of it. It gives each frame once, and in order.
///
/// Frames may come again, and out of order ([`crate::record::credit`]). So what comes behind a gap waits for a
/// while. The operator decides what is sent again, and this reader is not asked. So the gap is named as soon as
/// it is certain that nothing will fill it, or too much waits, or the caller has waited long enough
/// ([`Frames::give_up`]).
#[derive(Debug)]
pub struct Frames {
    next: u64,
    /// Whether the next text begins a line.
    fresh: bool,
    /// The frames behind the gap. An exit record may be there without one: it comes ahead of what waits to be
    /// written.
    held: BTreeMap<u64, Frame<'static>>,
    held_bytes: usize,
    /// The last frame that is known to have been written.
    written: u64,
    /// The last frame that the operator has. It is not sent again, and none before it.
    acked: u64,
    /// Frames that the runner cannot send any more.
    dropped: Vec<FrameRange>,
}

impl Default for Frames {
    fn default() -> Self {
        Self {
            next: 1,
            fresh: true,
            held: BTreeMap::new(),
            held_bytes: 0,
            written: 0,
            acked: 0,
            dropped: Vec::new(),
        }
    }
}

impl Frames {
    /// The number of the next frame.
    #[must_use]
    pub const fn next(&self) -> u64 {
        self.next
    }

    /// Whether frames are missing that may still come again.
    #[must_use]
    pub const fn waits(&self) -> bool {
        self.next <= self.written
    }

    /// How many frames wait, and how many bytes that costs.
    #[cfg(test)]
    #[must_use]
    pub fn held(&self) -> (usize, usize) {
        (self.held.len(), self.held_bytes)
    }

    /// Takes a line, without its newline. What the runner did not write is passed over, as the operator does.
    pub fn take(&mut self, line: &[u8], mut give: impl FnMut(Piece<'_>)) {
        if let Some(frame) = Frame::decode(line) {
            self.frame(frame, &mut give);
        } else {
            for frame in unpack(line).into_iter().flatten() {
                self.frame(frame, &mut give);
            }
        }
    }

    fn frame(&mut self, frame: Frame<'_>, give: &mut impl FnMut(Piece<'_>)) {
        let sequence = frame.sequence;
        match frame.kind {
            // No runner counts so far, and there is no next one.
            _ if sequence == u64::MAX => return,
            Kind::Control => {
                // An unknown one is of a later runner.
                let Ok(Control::Beat(beat)) = serde_json::from_slice(&frame.text) else { return };
                self.written = self.written.max(sequence);
                self.acked = self.acked.max(beat.acked);
                self.dropped = beat.dropped;
                self.dropped.truncate(MAX_RANGES);
            }
            _ if sequence < self.next => return,
            _ if sequence == self.next => self.pass(frame, give),
            _ => self.hold(frame),
        }
        self.settle(give);
    }

    /// Gives a frame whose turn it is.
    fn pass(&mut self, frame: Frame<'_>, give: &mut impl FnMut(Piece<'_>)) {
        self.next = frame.sequence.saturating_add(1);
        match frame.kind {
            Kind::Stdout | Kind::Stderr | Kind::Both => {
                let begins = std::mem::replace(&mut self.fresh, frame.ending != Ending::Continued);
                give(Piece::Text { frame, begins });
            }
            Kind::End => give(Piece::End),
            Kind::Start | Kind::Exit | Kind::Control => {}
        }
    }

    /// Keeps a frame that is behind a gap.
    fn hold(&mut self, frame: Frame<'_>) {
        let Frame { sequence, kind, millis, ending, text } = frame;
        // An exit record is written ahead of its turn if much waits. It shows no gap, and has no text for us.
        let exit = kind == Kind::Exit;
        if !exit || self.held_bytes > HELD {
            self.written = self.written.max(sequence);
        }
        let text = if exit { Cow::Borrowed(&b""[..]) } else { Cow::Owned(text.into_owned()) };
        let bytes = text.len() + HELD_FRAME;
        let held = Frame { sequence, kind, millis, ending, text };
        if self.held.insert(sequence, held).is_none() {
            self.held_bytes += bytes;
        }
    }

    /// Gives what waits as far as it is its turn, and names gaps that nothing will fill.
    fn settle(&mut self, give: &mut impl FnMut(Piece<'_>)) {
        loop {
            while let Some(held) = self.held.first_entry().filter(|held| *held.key() <= self.next) {
                let frame = held.remove();
                self.held_bytes -= frame.text.len() + HELD_FRAME;
                if frame.sequence == self.next {
                    self.pass(frame, give);
                }
            }
            let gap = self.gap();
            if gap.is_some_and(|last| self.held_bytes > HELD || self.is_lost(last)) {
                self.name(gap, give);
            } else {
                return;
            }
        }
    }

    /// The last frame of the gap that is open.
    fn gap(&self) -> Option<u64> {
        let before = self.held.keys().next().map_or(u64::MAX, |first| first - 1);
        self.waits().then(|| self.written.min(before))
    }

    /// Whether no frame from the next one to this one can come again.
    fn is_lost(&self, last: u64) -> bool {
        let mut from = self.next.max(self.acked.saturating_add(1));
        while from <= last {
            let Some(range) = self.dropped.iter().find(|range| (range.first..=range.last).contains(&from))
            else {
                return false;
            };
            from = range.last.saturating_add(1);
        }
        true
    }

    fn name(&mut self, gap: Option<u64>, give: &mut impl FnMut(Piece<'_>)) {
        if let Some(last) = gap {
            give(Piece::Missing(self.next, last));
            self.next = last.saturating_add(1);
        }
    }

    /// Names the gap that is open: nobody waits for its frames any more.
    pub fn give_up(&mut self, mut give: impl FnMut(Piece<'_>)) {
        self.name(self.gap(), &mut give);
        self.settle(&mut give);
    }

    /// Names all gaps, since nothing more comes. If the container has ended, frames in front of an exit record
    /// that came ahead are missing too. Otherwise they are still to come.
    pub fn finish(&mut self, ended: bool, mut give: impl FnMut(Piece<'_>)) {
        if ended && let Some(last) = self.held.keys().next_back() {
            self.written = self.written.max(*last);
        }
        while self.waits() {
            self.give_up(&mut give);
        }
    }
}
