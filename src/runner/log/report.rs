//! Writes numbered frames: the log, the records, and in the last record the log's length and hash.

use std::{os::fd::BorrowedFd, time::Instant};

use super::{
    drain::{Ahead, Batch, Phase, Reached},
    lines,
    outlet::Outlet,
};
use crate::record::{
    VERSION,
    frame::{Ending, Frame, Kind},
    outcome::{End, Exit, FrameRange, Identity, Record, Signed, Start},
    proof::proof,
    transcript::Transcript,
};

/// Turns texts and records into frames, in the order of their arrival.
#[derive(Debug)]
pub(in crate::runner) struct Report {
    outlet: Outlet,
    /// Frames that were made and not handed over yet.
    batch: Batch,
    sequence: u64,
    transcript: Transcript,
    started: Option<Instant>,
    millis: u64,
    cut: bool,
    /// Proves that the exit and end records are the runner's ([`crate::record::proof`]).
    nonce: Option<String>,
}

impl Report {
    pub(in crate::runner) fn new(outlet: Outlet) -> Self {
        Self {
            outlet,
            batch: Batch::default(),
            sequence: 0,
            transcript: Transcript::default(),
            started: None,
            millis: 0,
            cut: false,
            nonce: None,
        }
    }

    /// Signs the records with `nonce` from now on.
    pub(in crate::runner) fn sign(&mut self, nonce: String) {
        self.nonce = Some(nonce);
    }

    /// The proof for the start record.
    pub(in crate::runner) fn proof(&self) -> Option<String> {
        self.nonce.as_deref().map(proof)
    }

    /// Whether the log is written while the script runs.
    pub(in crate::runner) const fn runs(&self) -> bool {
        self.outlet.runs()
    }

    /// Notes the script's start. Frames count their time from here.
    pub(in crate::runner) fn script_starts(&mut self, now: Instant) {
        self.started = Some(now);
    }

    /// Sets the time of the next frames. The clock is read once a turn, since it is not free at a million
    /// lines a second.
    pub(in crate::runner) fn set_time(&mut self, now: Instant) {
        self.millis = self.millis_at(now);
    }

    /// Milliseconds since the script's start.
    pub(in crate::runner) fn millis_at(&self, now: Instant) -> u64 {
        let since = self.started.map(|started| now.saturating_duration_since(started));
        since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    /// Writes a part of the log.
    pub(super) fn log(&mut self, kind: Kind, ending: Ending, text: &[u8]) {
        self.transcript.push(text, ending);
        self.frame(kind, ending, text);
    }

    /// Writes the start record: the run is claimed, and the script is about to start.
    pub(in crate::runner) fn start(&mut self, start: Start) {
        self.hand_over();
        self.record(Kind::Start, &Signed { record: Record::Start(start), nonce: None });
        self.batch.records.clone_from(&self.batch.bytes);
    }

    /// Notes that a process was ended while it still wrote, so the log lacks its last output.
    pub(in crate::runner) fn cut(&mut self) {
        self.cut = true;
    }

    /// Writes how the script ended, if need be ahead of what waits.
    pub(in crate::runner) fn exit(&mut self, exit: &Exit) {
        self.hand_over();
        let sequence = self.sequence + 1;
        let nonce = self.nonce.clone();
        self.record(Kind::Exit, &Signed { record: Record::Exit(exit.clone()), nonce });
        self.batch.records.clone_from(&self.batch.bytes);
        self.batch.ahead =
            Some(Ahead { sequence, frames: self.batch.frames, bytes: self.batch.bytes.clone() });
        self.hand_over();
    }

    /// Writes the end record: the log is complete, but for frames that were dropped.
    pub(in crate::runner) fn end(&mut self, of: &Identity, dropped: Vec<FrameRange>) -> End {
        let end = End {
            version: VERSION,
            of: of.clone(),
            lines: self.transcript.lines(),
            bytes: self.transcript.bytes(),
            sha256: self.transcript.sha256(),
            dropped,
            cut: self.cut,
        };
        let nonce = self.nonce.clone();
        self.record(Kind::End, &Signed { record: Record::End(end.clone()), nonce });
        end
    }

    /// Passes on what was made. Never waits.
    pub(in crate::runner) fn hand_over(&mut self) {
        self.outlet.hand_over(&mut self.batch, self.started);
    }

    /// Whether the script's output should be read. If not, [`Self::news`] tells when to ask again.
    pub(in crate::runner) fn has_room(&self) -> bool {
        self.outlet.has_room()
    }

    /// How many bytes wait for room.
    pub(in crate::runner) fn waiting(&self) -> usize {
        self.outlet.waiting()
    }

    /// Becomes readable when there is room again, or something is reached, until [`Self::heard`].
    pub(in crate::runner) fn news(&self) -> BorrowedFd<'_> {
        self.outlet.news()
    }

    pub(in crate::runner) fn heard(&self) {
        self.outlet.heard();
    }

    /// Says that more frames follow.
    pub(in crate::runner) fn go_on(&mut self) {
        self.outlet.enter(Phase::Running);
    }

    /// Says that all frames so far are to be written.
    pub(in crate::runner) fn drain(&mut self) {
        self.hand_over();
        self.outlet.enter(Phase::Draining);
    }

    /// Says that all frames are made.
    pub(in crate::runner) fn finish(&mut self) {
        self.hand_over();
        self.outlet.enter(Phase::Ending);
    }

    /// Says that there is little time left.
    pub(in crate::runner) fn hurry(&self, now: Instant) {
        self.outlet.hurry(now);
    }

    /// How far [`Self::drain`] or [`Self::finish`] is, and a number that changes as long as it goes on.
    pub(in crate::runner) fn reached(&self) -> (Reached, u64) {
        self.outlet.reached()
    }

    fn record(&mut self, kind: Kind, record: &Signed) {
        // It cannot fail for these types. A runner that stopped here would lose the verdict, which the
        // termination message still carries.
        let Ok(text) = serde_json::to_vec(record) else { return };
        lines::whole(&text, Ending::Line, &mut |ending, text| self.frame(kind, ending, text));
    }

    fn frame(&mut self, kind: Kind, ending: Ending, text: &[u8]) {
        self.sequence += 1;
        let frame = Frame { sequence: self.sequence, kind, millis: self.millis, ending, text: text.into() };
        frame.encode(&mut self.batch.bytes);
        self.batch.frames += 1;
    }
}
