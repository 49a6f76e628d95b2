//! Writes numbered frames: the log, the records, and in the last record the log's length and hash.

use std::time::Instant;

use super::{lines, sink::Sink};
use crate::record::{
    VERSION,
    frame::{Ending, Frame, Kind},
    outcome::{End, Exit, Identity, Record, Start},
    transcript::Transcript,
};

/// Turns texts and records into frames, in the order of their arrival.
#[derive(Debug)]
pub(in crate::runner) struct Report {
    sink: Sink,
    sequence: u64,
    transcript: Transcript,
    started: Option<Instant>,
    millis: u64,
    cut: bool,
}

impl Report {
    pub(in crate::runner) fn new(sink: Sink) -> Self {
        Self { sink, sequence: 0, transcript: Transcript::default(), started: None, millis: 0, cut: false }
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
        self.record(Kind::Start, &Record::Start(start));
    }

    /// Notes that a process was ended while it still wrote, so the log lacks its last output.
    pub(in crate::runner) fn cut(&mut self) {
        self.cut = true;
    }

    /// Writes how the script ended.
    pub(in crate::runner) fn exit(&mut self, exit: &Exit) {
        self.record(Kind::Exit, &Record::Exit(exit.clone()));
    }

    /// Writes the end record: the log is complete.
    pub(in crate::runner) fn end(&mut self, of: &Identity) -> End {
        let end = End {
            version: VERSION,
            of: of.clone(),
            lines: self.transcript.lines(),
            bytes: self.transcript.bytes(),
            sha256: self.transcript.sha256(),
            dropped: vec![],
            cut: self.cut,
        };
        self.record(Kind::End, &Record::End(end.clone()));
        end
    }

    pub(in crate::runner) const fn sink(&mut self) -> &mut Sink {
        &mut self.sink
    }

    fn record(&mut self, kind: Kind, record: &Record) {
        // It cannot fail for these types. A runner that stopped here would lose the verdict, which the
        // termination message still carries.
        let Ok(text) = serde_json::to_vec(record) else { return };
        lines::whole(&text, Ending::Line, &mut |ending, text| self.frame(kind, ending, text));
    }

    fn frame(&mut self, kind: Kind, ending: Ending, text: &[u8]) {
        self.sequence += 1;
        let frame = Frame { sequence: self.sequence, kind, millis: self.millis, ending, text: text.into() };
        frame.encode(self.sink.end());
    }
}
