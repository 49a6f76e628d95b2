//! The frames that go to the archive: each once and in order, beside the log that the verdict waits for. Pure.
//!
//! The archive may be slow, and then has no room. Frames that come meanwhile are not passed
//! on, and are read again later. So the archive never holds up the reading.

use super::state::Gap;
use crate::record::frame::{Ending, Frame, Kind};

/// Passes frames on.
#[derive(Debug)]
pub(super) struct Tap {
    /// The first frame that was not passed on.
    next: u64,
    /// Whether the archive has room.
    open: bool,
    /// Whether frames went by that were not passed on.
    behind: bool,
    /// Whether frames that are missing never come any more. Then the archive names the gap.
    jumps: bool,
    out: Vec<Frame<'static>>,
}

impl Tap {
    /// Begins with the frame of this number.
    pub(super) const fn from(next: u64) -> Self {
        Self { next, open: true, behind: false, jumps: false, out: Vec::new() }
    }

    /// The first frame that was not passed on.
    pub(super) const fn next(&self) -> u64 {
        self.next
    }

    /// Says whether there is room from now on.
    pub(super) const fn set_open(&mut self, open: bool) {
        self.open = open;
    }

    /// The archive has all frames in front of this one.
    pub(super) fn has(&mut self, next: u64) {
        if next > self.next {
            self.next = next;
            self.out.retain(|frame| frame.sequence >= next);
        }
    }

    /// Whether there is room again for frames that went by.
    pub(super) const fn wants_again(&self) -> bool {
        self.behind && self.open
    }

    /// Whether frames went by that were not passed on, room or not.
    pub(super) const fn is_behind(&self) -> bool {
        self.behind
    }

    /// Nothing comes any more, and all frames in front of `next` have gone by. Those that were not passed on were lost
    /// while they came again.
    pub(super) const fn all_went_by(&mut self, next: u64) {
        self.behind |= self.next < next;
    }

    /// Takes the next frame, whatever its number: those in front of it never come any more.
    pub(super) const fn give_up(&mut self) {
        (self.jumps, self.behind) = (true, false);
    }

    /// Passes a frame on that the log has. `gaps` never come.
    pub(super) fn offer(&mut self, frame: &Frame<'_>, gaps: &[Gap]) {
        if frame.sequence < self.next {
            return;
        }
        if !self.open {
            // It comes again, so nothing is jumped over.
            (self.behind, self.jumps) = (true, false);
            return;
        }
        while let Some(gap) = gaps.iter().find(|gap| (gap.first..=gap.last).contains(&self.next))
            && self.next < frame.sequence
        {
            self.next = gap.last.saturating_add(1).min(frame.sequence);
        }
        if frame.sequence > self.next && !self.jumps {
            self.behind = true;
            return;
        }
        (self.jumps, self.behind) = (false, false);
        self.next = frame.sequence.saturating_add(1);
        // A record is not text, and the archive has a record of its own.
        let text = if frame.kind.is_log() { frame.text.to_vec() } else { Vec::new() };
        self.out.push(Frame { text: text.into(), ..without_text(frame) });
    }

    /// Frames of a record that came out of their turn.
    pub(super) fn pass(&mut self, first: u64, last: u64, gaps: &[Gap]) {
        for sequence in first..=last {
            let empty = Frame {
                sequence,
                kind: Kind::Exit,
                millis: 0,
                ending: Ending::Line,
                text: Vec::new().into(),
            };
            self.offer(&empty, gaps);
        }
    }

    /// How many frames were passed on since the last time.
    pub(super) const fn len(&self) -> usize {
        self.out.len()
    }

    /// The frames that were passed on since the last time.
    pub(super) fn take(&mut self) -> Vec<Frame<'static>> {
        std::mem::take(&mut self.out)
    }
}

const fn without_text(frame: &Frame<'_>) -> Frame<'static> {
    Frame {
        sequence: frame.sequence,
        kind: frame.kind,
        millis: frame.millis,
        ending: frame.ending,
        text: std::borrow::Cow::Borrowed(&[]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(sequence: u64) -> Frame<'static> {
        Frame {
            sequence,
            kind: Kind::Stdout,
            millis: 0,
            ending: Ending::Line,
            text: format!("{sequence}").into_bytes().into(),
        }
    }

    fn offer(tap: &mut Tap, numbers: impl IntoIterator<Item = u64>) -> Vec<u64> {
        for number in numbers {
            tap.offer(&text(number), &[]);
        }
        tap.take().iter().map(|frame| frame.sequence).collect()
    }

    #[test]
    fn each_frame_is_passed_on_once_and_in_order() {
        let mut tap = Tap::from(1);
        assert_eq!(offer(&mut tap, [1, 2, 3, 1, 2, 3, 4]), [1, 2, 3, 4]);
        tap.has(10);
        assert_eq!(offer(&mut tap, [5, 9, 10]), [10]);
        assert!(!tap.is_behind());
    }

    #[test]
    fn what_came_while_there_was_no_room_is_wanted_again() {
        let mut tap = Tap::from(1);
        tap.set_open(false);
        assert_eq!(offer(&mut tap, [1, 2]), Vec::<u64>::new());
        assert!(tap.is_behind() && !tap.wants_again());
        tap.set_open(true);
        assert!(tap.wants_again());
        // The log goes on, and what went by comes again.
        assert_eq!(offer(&mut tap, [3, 4, 1, 2, 3, 4, 5]), [1, 2, 3, 4, 5]);
        assert!(!tap.is_behind());
    }

    #[test]
    fn what_never_comes_again_is_jumped_over_once() {
        let mut tap = Tap::from(1);
        assert_eq!(offer(&mut tap, [3, 4]), Vec::<u64>::new());
        tap.give_up();
        assert_eq!(offer(&mut tap, [3, 4, 6]), [3, 4]);
        assert!(tap.wants_again());
    }

    #[test]
    fn what_finds_no_room_is_not_jumped_over() {
        let mut tap = Tap::from(1);
        tap.give_up();
        tap.set_open(false);
        assert_eq!(offer(&mut tap, [1]), Vec::<u64>::new());
        tap.set_open(true);
        assert_eq!(offer(&mut tap, [5]), Vec::<u64>::new());
        assert!(tap.wants_again());
    }

    #[test]
    fn a_gap_that_the_log_names_is_no_reason_to_wait() {
        let mut tap = Tap::from(1);
        let gaps = [Gap { first: 2, last: 3, line: 1 }, Gap { first: 4, last: 4, line: 1 }];
        for number in [1, 5, 6] {
            tap.offer(&text(number), &gaps);
        }
        let passed: Vec<u64> = tap.take().iter().map(|frame| frame.sequence).collect();
        assert_eq!((passed, tap.next()), (vec![1, 5, 6], 7));
    }

    #[test]
    fn a_record_s_text_stays_here() {
        let mut tap = Tap::from(1);
        let record = Frame { kind: Kind::Exit, ..text(1) };
        tap.offer(&record, &[]);
        tap.pass(2, 3, &[]);
        let passed = tap.take();
        assert!(passed.len() == 3 && passed.iter().all(|frame| frame.text.is_empty()));
    }
}
