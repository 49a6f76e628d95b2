//! Decides what is written to standard output next, and how much of it ([`crate::record::credit`]).
//!
//! It waits for nothing: [`Drain::turn`] does what can be done now, and says when to look again.

use std::{
    os::fd::BorrowedFd,
    time::{Duration, Instant},
};

use super::{
    flood::Flood,
    sink::Sink,
    spool::{CHUNK_BYTES, Spool},
    terms::Terms,
};
use crate::record::{
    credit::{Beat, Control, LINE_OVERHEAD_BYTES, MAX_RANGES},
    frame::{Ending, Frame, Kind, MAX_LINE_BYTES, kind_of},
    outcome::FrameRange,
    packed::{Packer, may_be_packed},
};

/// How much waits for standard output at a time. It is the time by which a record or a beat is late.
const STAGED_BYTES: usize = 64 * 1024;
/// How much one turn writes at most. The script's output is not taken meanwhile.
const TURN_BYTES: u64 = 1024 * 1024;
/// With more than this before it, the exit record is written ahead.
const AHEAD_BYTES: u64 = 256 * 1024;
/// With a backlog of more than this, short frames share a line.
const PACKED_FROM_BYTES: u64 = 1024 * 1024;
/// The longest frame that shares a line.
const PACKED_BYTES: usize = MAX_LINE_BYTES / 4;
/// How often the operator's answer is read while one is due. The kubelet takes longer to show one.
const POLL: Duration = Duration::from_millis(20);
/// How often the runner says how far it is while an answer is due.
const BEAT: Duration = Duration::from_secs(1);
/// How soon after a request to send again the next one is answered.
const AGAIN: Duration = Duration::from_secs(2);
/// How long a reader or an answer may make no progress once the script has ended.
const PATIENCE: Duration = Duration::from_secs(30);
/// The same in all, if the runner was asked to stop, and the time after which it writes no more. The operator
/// gives the runner 15 s.
const HURRIED: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(8));
/// How soon it says again that it is alive, once the script has ended.
const ALIVE: Duration = Duration::from_millis(250);

/// Frames on their way to the drain.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// How many frames these are.
    pub(super) frames: u64,
    /// The frames, encoded.
    pub(super) bytes: Vec<u8>,
    /// Frames among these that must not wait for those before them.
    pub(super) ahead: Option<Ahead>,
    /// The records among these that come again with what is sent again, encoded.
    pub(super) records: Vec<u8>,
}

/// A record that may be written before it is its turn.
#[derive(Debug)]
pub(super) struct Ahead {
    /// Its first frame.
    pub(super) sequence: u64,
    /// How many frames it has.
    pub(super) frames: u64,
    /// Its frames, encoded.
    pub(super) bytes: Vec<u8>,
}

/// How far the run is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The script runs, or its last output is being read.
    #[default]
    Running,
    /// All frames but the end record are made, or all before the script's start.
    Draining,
    /// All frames are made.
    Ending,
}

/// How far the drain is.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(in crate::runner) enum Reached {
    /// There is more to do.
    #[default]
    Nothing,
    /// All frames that can be written are written. Lost are these.
    Drained(Vec<FrameRange>),
    /// The same for the end record, and the operator has it, or nobody says so. False if nobody reads standard
    /// output any more.
    Ended(bool),
}

/// Whether the operator's answers count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counts {
    /// The free zone has not been left.
    NotYet,
    Now,
    /// Nobody answers in time.
    NoMore,
}

/// From the spool to standard output.
#[derive(Debug)]
pub(super) struct Drain {
    terms: Terms,
    spool: Spool,
    sink: Sink,
    /// The bytes in the node's files so far.
    filed: u64,
    flood: Flood,
    credit: Counts,
    /// The last frame that was written, or is next.
    sent: u64,
    /// How many bytes the sink has written once it has written that frame.
    sent_at: u64,
    ahead: Option<Ahead>,
    /// The start record and the exit record, as far as they are made. An operator that asks for something may
    /// be another one than that which has them.
    records: Vec<u8>,
    /// Whether they are to be written again.
    repeats: bool,
    /// The latest request to send again that was answered, and when.
    answered: (u32, Option<Instant>),
    poll_at: Instant,
    beat_at: Instant,
    /// Whether nothing more may be written without an answer.
    held: bool,
    phase: Phase,
    /// When the operator had more, or a frame was written for the first time.
    moved: Instant,
    /// When standard output took something.
    wrote: Instant,
    /// Whether a turn ended before it had done all that it could.
    more: bool,
    /// The start of the script's time.
    began: Option<Instant>,
    chunk: Vec<u8>,
    packer: Packer,
}

impl Drain {
    pub(super) fn new(terms: Terms, sink: Sink, now: Instant) -> Self {
        let cap = terms.limits.map_or(0, |limits| limits.spool_bytes);
        Self {
            spool: Spool::new(terms.folder.clone(), cap),
            terms,
            sink,
            filed: 0,
            flood: Flood::new(now),
            credit: Counts::NotYet,
            sent: 0,
            sent_at: 0,
            ahead: None,
            records: vec![],
            repeats: false,
            answered: (0, None),
            poll_at: now,
            beat_at: now,
            held: false,
            phase: Phase::Running,
            moved: now,
            wrote: now,
            more: false,
            began: None,
            chunk: vec![],
            packer: Packer::default(),
        }
    }

    /// Whether [`Self::take`] should be called.
    pub(super) const fn has_room(&self) -> bool {
        self.spool.has_room() || !self.sink.is_open()
    }

    /// Takes frames.
    pub(super) fn take(&mut self, batch: &mut Batch, began: Option<Instant>, now: Instant) {
        self.began = began;
        if batch.frames > 0 {
            self.spool.append(batch.frames, &batch.bytes, now);
            self.flood.add(batch.bytes.len() as u64, now);
        }
        if let Some(ahead) = batch.ahead.take().filter(|_| self.terms.limits.is_some()) {
            self.ahead = Some(ahead);
        }
        self.records.append(&mut batch.records);
        batch.frames = 0;
        batch.bytes.clear();
    }

    /// The file to wait for before the next turn can write more.
    pub(super) fn blocked_on(&self) -> Option<BorrowedFd<'_>> {
        self.sink.blocked_on()
    }

    /// When the next turn is due, if nothing happens before. `None` if only frames or a reader bring something.
    pub(super) fn next(&self, now: Instant) -> Option<Instant> {
        if self.more {
            return Some(now);
        }
        let owed = self.is_owed();
        let poll = owed.then_some(self.poll_at);
        // A beat waits for a reader like everything else.
        let beat = (owed && self.sink.waiting() < STAGED_BYTES).then_some(self.beat_at);
        let alive = (self.phase != Phase::Running).then(|| now + ALIVE);
        let flood = self.gives_way_until(now);
        poll.into_iter().chain(beat).chain(alive).chain(flood).min()
    }

    /// Does what can be done now. `hurried` is when the runner was asked to stop, if it was.
    pub(super) fn turn(&mut self, phase: Phase, hurried: Option<Instant>, now: Instant) -> Reached {
        if self.phase != phase {
            self.phase = phase;
            (self.moved, self.wrote) = (now, now);
        }
        if self.is_owed() && now >= self.poll_at {
            self.poll_at = now + POLL;
            self.read_credit(now);
        }
        let begun = self.sink.written();
        loop {
            self.stage(now);
            let (before, fresh) = (self.sink.written(), self.sent_at);
            self.sink.pump();
            if self.sink.written() > before {
                self.wrote = now;
                self.moved = if before < fresh { now } else { self.moved };
            }
            self.more = self.sink.is_open() && self.sink.is_empty() && !self.held && self.spool.backlog() > 0;
            if !self.more || self.sink.written() - begun >= TURN_BYTES {
                break;
            }
        }
        if !self.sink.is_open() {
            self.spool.clear();
            self.ahead = None;
            self.more = false;
        }
        self.reached(hurried, now)
    }

    fn reached(&mut self, hurried: Option<Instant>, now: Instant) -> Reached {
        if self.phase == Phase::Running {
            return Reached::Nothing;
        }
        let all = self.spool.backlog() == 0 && self.sink.is_empty();
        if self.phase == Phase::Draining && all {
            return Reached::Drained(self.spool.dropped(usize::MAX));
        }
        if all && !self.is_owed() {
            return Reached::Ended(self.sink.is_open());
        }
        let past = |time: Duration| hurried.is_some_and(|hurried| now >= hurried + time);
        let stuck = now >= self.wrote + PATIENCE && !self.sink.is_empty();
        if stuck || past(HURRIED.1) {
            // Nobody reads.
            self.sink.close();
            self.more = true;
        } else if (now >= self.moved + PATIENCE || past(HURRIED.0)) && self.credit != Counts::NoMore {
            // Nobody answers. The newest lines can still be read from the node's newest file.
            self.credit = Counts::NoMore;
            self.held = false;
            self.ahead = None;
            self.moved = now;
            let zone = self.terms.limits.map_or(0, crate::record::credit::Limits::free_bytes);
            self.spool.skip_to_tail(zone);
            self.more = true;
        }
        Reached::Nothing
    }

    /// Whether the operator has to say how far it is.
    const fn is_owed(&self) -> bool {
        matches!(self.credit, Counts::Now) && self.sink.is_open() && self.spool.acked() < self.spool.made()
    }

    fn read_credit(&mut self, now: Instant) {
        let Some(credit) = self.terms.credit() else { return };
        let acked = credit.acked.min(self.sent);
        if acked > self.spool.acked() {
            self.spool.acknowledge(acked);
            self.moved = now;
        }
        let (latest, when) = self.answered;
        if credit.generation > latest && when.is_none_or(|when| now >= when + AGAIN) {
            self.answered = (credit.generation, Some(now));
            let from = credit.from.max(self.spool.acked() + 1);
            if from < self.spool.next() {
                self.spool.seek(from);
            }
            self.beat_at = now;
            self.repeats = true;
        }
    }

    /// Puts what comes next into the sink, until that is enough for a while or nothing more may be written.
    fn stage(&mut self, now: Instant) {
        self.held = false;
        while self.sink.is_open() && self.sink.waiting() < STAGED_BYTES {
            self.write_ahead();
            if self.is_owed() && now >= self.beat_at {
                self.beat_at = now + BEAT;
                self.beat(now);
                if std::mem::take(&mut self.repeats) {
                    self.write_records();
                }
            }
            self.held = self.is_full() || self.gives_way_until(now).is_some();
            if self.held || !self.spool.read(&mut self.chunk) {
                break;
            }
            self.write_chunk(now);
        }
        // It may be held back only now.
        self.write_ahead();
    }

    fn write_records(&mut self) {
        self.sink.end().extend_from_slice(&self.records);
        let lines = self.records.split_inclusive(|&byte| byte == b'\n').count() as u64;
        self.filed += self.records.len() as u64 + lines * LINE_OVERHEAD_BYTES;
    }

    fn write_ahead(&mut self) {
        let Some(ahead) = &self.ahead else { return };
        let written = self.spool.next() > ahead.sequence;
        let far = self.held || self.spool.backlog_to(ahead.sequence) > AHEAD_BYTES;
        if far && !written {
            self.sink.end().extend_from_slice(&ahead.bytes);
            self.filed += ahead.bytes.len() as u64 + ahead.frames * LINE_OVERHEAD_BYTES;
        }
        if far || written {
            self.ahead = None;
        }
    }

    fn beat(&mut self, now: Instant) {
        let beat = Control::Beat(Beat {
            made: self.spool.made(),
            generation: self.answered.0,
            acked: self.spool.acked(),
            dropped: self.spool.dropped(MAX_RANGES),
        });
        // It cannot fail for this type.
        let Ok(text) = serde_json::to_vec(&beat) else { return };
        let since = self.began.map(|began| now.saturating_duration_since(began));
        let frame = Frame {
            sequence: self.sent.max(1),
            kind: Kind::Control,
            millis: since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX)),
            ending: Ending::Line,
            text: text.into(),
        };
        let before = self.sink.waiting();
        frame.encode(self.sink.end());
        self.filed += (self.sink.waiting() - before) as u64 + LINE_OVERHEAD_BYTES;
    }

    /// Moves the frames in `chunk` into the sink, those of the free zone alone.
    fn write_chunk(&mut self, now: Instant) {
        let packs = self.terms.limits.is_some() && self.spool.backlog() > PACKED_FROM_BYTES;
        let chunk = std::mem::take(&mut self.chunk);
        let (mut frames, mut bytes) = (0, 0);
        for line in chunk.split_inclusive(|&byte| byte == b'\n') {
            let len = line.len() as u64;
            // A beat comes first.
            if self.leaves_zone(len, now) {
                break;
            }
            let sequence = self.spool.next() + frames;
            if packs && line.len() <= PACKED_BYTES && kind_of(line).is_some_and(may_be_packed) {
                if !self.packer.add(sequence, line) {
                    self.packer.finish(self.sink.end());
                    self.packer.add(sequence, line);
                }
            } else {
                self.packer.finish(self.sink.end());
                self.sink.end().extend_from_slice(line);
            }
            self.filed += len + LINE_OVERHEAD_BYTES;
            (frames, bytes) = (frames + 1, bytes + len);
        }
        self.packer.finish(self.sink.end());
        self.chunk = chunk;
        self.spool.advance(frames, bytes);
        if self.spool.next() > self.sent + 1 {
            self.sent = self.spool.next() - 1;
            self.sent_at = self.sink.written() + self.sink.waiting() as u64;
        }
    }

    /// Notes that the free zone ends, if a frame of this length does not fit it. Returns whether it ends now.
    fn leaves_zone(&mut self, len: u64, now: Instant) -> bool {
        let Some(limits) = self.terms.limits.filter(|_| self.credit == Counts::NotYet) else { return false };
        let leaves = self.filed + len + LINE_OVERHEAD_BYTES > limits.free_bytes();
        if leaves {
            self.credit = Counts::Now;
            (self.poll_at, self.beat_at) = (now, now);
        }
        leaves
    }

    /// When to go on, if the log is to give way to a script that floods. There is room for it in the spool.
    fn gives_way_until(&self, now: Instant) -> Option<Instant> {
        let cap =
            self.terms.limits.filter(|_| self.phase == Phase::Running && self.spool.keeps())?.spool_bytes;
        let has_room = self.spool.backlog() > 0 && self.spool.backlog() < cap / 2;
        self.flood.until().filter(|until| has_room && now < *until)
    }

    /// Whether no more may be written without an answer. If frames are not kept, waiting would gain nothing.
    fn is_full(&self) -> bool {
        let chunk = CHUNK_BYTES as u64;
        self.credit == Counts::Now
            && self.spool.keeps()
            && self.terms.limits.is_some_and(|limits| {
                // Even the least lets a chunk through.
                self.spool.outstanding() + chunk > limits.outstanding_bytes.max(chunk)
            })
    }
}

#[cfg(test)]
mod tests;
