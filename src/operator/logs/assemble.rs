//! Puts a log together from the lines that the container wrote. This is pure: the collector passes the lines.
//!
//! Frames are taken in order. What is lost can often be sent again, by a runner that keeps it
//! ([`crate::record::credit`]). Such a runner sends everything again from the first lost frame on, so what
//! comes behind a gap is dropped until then, and waits nowhere. If nothing can be sent again, the gap is named
//! and the rest counts.

use k8s_openapi::jiff::Timestamp;

use super::{
    kept::Kept,
    state::{Gap, MAX_GAPS, State},
    tap::Tap,
};
use crate::{
    api::status::LogState,
    operator::lifecycle::facts::LogFact,
    record::{
        credit::{Beat, Control, MAX_RANGES},
        frame::{Ending, Frame, Kind},
        outcome::{Exit, FrameRange, Identity, MAX_RECORD_BYTES, Outcome, Record, Signed},
        packed::unpack,
        proof::proof,
        transcript::Transcript,
    },
};

/// How much of a foreign line is kept, in bytes.
const MAX_FOREIGN_BYTES: usize = 512;

/// What came of a line.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Accepted {
    /// How many bytes of it the log had not yet.
    pub(super) bytes: u64,
    /// Whether `decide` waits for what it brought: a record.
    pub(super) record: bool,
    /// Whether it shows that frames are lost that can be sent again.
    pub(super) lost: bool,
    /// The runner's words about its spool, with the time of their frame in milliseconds.
    pub(super) beat: Option<(Beat, u64)>,
}

/// How many exit records without a proof are kept.
const MAX_HELD: usize = 8;

/// An exit record of which nobody knows yet whether the runner wrote it.
#[derive(Debug)]
struct Held {
    exit: Exit,
    nonce: Option<String>,
    read_at: Timestamp,
}

/// What a record is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Worth {
    /// It counts, or repeats what counts.
    Counts,
    /// It may count later.
    Held,
    /// The script wrote it, or it is of another attempt.
    Foreign,
}

/// A record that is read out of its turn.
#[derive(Debug, Default)]
struct Aside {
    first: u64,
    next: u64,
    text: Vec<u8>,
}

/// The log of one attempt, as far as it has been read.
#[derive(Debug)]
pub(super) struct Assembler {
    of: Identity,
    /// The next sequence number.
    next: u64,
    kept: Kept,
    gaps: Vec<Gap>,
    /// The first frame of a record that has not ended yet, and its parts.
    partial: (u64, Vec<u8>),
    aside: Aside,
    /// The frames of an exit record that came ahead of its turn.
    ahead: Option<FrameRange>,
    /// Where the log stood in front of the exit record.
    before_exit: Option<State>,
    /// Exit records that lack a proof, or whose start record is not read.
    held: Vec<Held>,
    /// What the runner cannot send any more, by its latest words.
    dropped: Vec<FrameRange>,
    /// Whether lost frames may come again.
    may_come_again: bool,
    /// Whether the gap that is open now is given up.
    gives_up: bool,
    /// Whether an earlier operator read the log's beginning, so that its records may still be wanted.
    resumed: bool,
    /// Foreign lines in this reading, and the most in any reading.
    foreign: (u64, u64),
    /// The latest frame of this reading, or 0 if it brought nothing but the runner's words so far. `None` before
    /// the first frame.
    latest: Option<u64>,
    /// Whether the latest line is foreign, and may be the end of one that a rotation cut. If it is, the rest of
    /// the frame is lost. With it, whether it is the first foreign line.
    cut: Option<bool>,
    /// The frames for the archive, if there is one.
    tap: Option<Tap>,
    fact: LogFact,
}

impl Assembler {
    #[must_use]
    pub(super) fn new(of: Identity) -> Self {
        let state = State { next: 1, transcript: Transcript::default(), gaps: Vec::new() };
        Self { resumed: false, ..Self::resumed(of, state) }
    }

    /// Goes on where another operator stopped.
    #[must_use]
    pub(super) fn resumed(of: Identity, state: State) -> Self {
        let fact = LogFact { pod_uid: of.pod_uid.clone(), ..LogFact::default() };
        Self {
            of,
            next: state.next,
            kept: Kept::after(state.transcript),
            gaps: state.gaps,
            partial: (0, Vec::new()),
            aside: Aside::default(),
            ahead: None,
            before_exit: None,
            held: Vec::new(),
            dropped: Vec::new(),
            may_come_again: false,
            gives_up: false,
            resumed: true,
            foreign: (0, 0),
            latest: None,
            cut: None,
            tap: None,
            fact,
        }
    }

    /// Passes frames on to an archive, from this one on.
    pub(super) fn archive_from(&mut self, next: u64) {
        self.tap = Some(Tap::from(next));
    }

    /// The frames for the archive.
    pub(super) const fn tap(&mut self) -> Option<&mut Tap> {
        self.tap.as_mut()
    }

    /// The same, to look at.
    pub(super) const fn tapped(&self) -> Option<&Tap> {
        self.tap.as_ref()
    }

    /// The log is read again from its beginning, or from the beginning of its newest file.
    pub(super) fn reconnected(&mut self) {
        self.foreign.1 = self.foreign.1.max(self.foreign.0);
        self.foreign.0 = 0;
        (self.latest, self.cut) = (None, None);
        self.aside = Aside::default();
    }

    /// Says whether lost frames may come again from now on.
    pub(super) const fn may_come_again(&mut self, may: bool) {
        self.may_come_again = may;
    }

    /// Gives up the frames that are missing now: what comes behind them counts.
    pub(super) const fn give_up(&mut self) {
        self.gives_up = true;
    }

    /// Whether the present reading brought a frame.
    #[must_use]
    pub(super) const fn is_framed(&self) -> bool {
        self.latest.is_some()
    }

    /// Whether the end record was read.
    #[must_use]
    pub(super) const fn has_end(&self) -> bool {
        self.fact.end.is_some()
    }

    /// Whether the exit record was read, or one that may be it.
    #[must_use]
    pub(super) const fn has_exit(&self) -> bool {
        self.fact.exit.is_some() || !self.held.is_empty()
    }

    /// Whether the start record was read.
    #[must_use]
    pub(super) const fn has_start(&self) -> bool {
        self.fact.start.is_some()
    }

    /// The first frame that is not taken yet.
    #[must_use]
    pub(super) const fn next(&self) -> u64 {
        self.next
    }

    /// The last frame up to which nothing is needed again. A record counts once it is whole.
    #[must_use]
    pub(super) const fn has(&self) -> u64 {
        let (first, ref text) = self.partial;
        let next = if text.is_empty() { self.next } else { first };
        next.saturating_sub(1)
    }

    /// What another operator needs to go on in front of the exit record. `None` before its turn.
    #[must_use]
    pub(super) const fn before_exit(&self) -> Option<&State> {
        self.before_exit.as_ref()
    }

    /// What another operator needs to go on after [`Assembler::has`].
    #[must_use]
    pub(super) fn state(&self) -> State {
        State {
            next: self.has().saturating_add(1),
            transcript: self.kept.transcript().clone(),
            gaps: self.gaps.clone(),
        }
    }

    /// Takes a line, without its newline.
    pub(super) fn accept(&mut self, line: &[u8], now: Timestamp) -> Accepted {
        if let Some(frame) = Frame::decode(line) {
            return self.frame(&frame, line.len(), now);
        }
        let Some(frames) = unpack(line) else { return self.stray(line) };
        let mut all = Accepted::default();
        // What the line has beside the texts counts for the first frame.
        let texts: usize = frames.iter().map(|frame| frame.text.len()).sum();
        let mut beside = line.len().saturating_sub(texts);
        for frame in frames {
            let read = frame.text.len() + std::mem::take(&mut beside);
            let Accepted { bytes, record, lost, beat } = self.frame(&frame, read, now);
            all.bytes += bytes;
            all.record |= record;
            all.lost |= lost;
            all.beat = beat.or(all.beat);
        }
        all
    }

    fn frame(&mut self, frame: &Frame<'_>, bytes: usize, now: Timestamp) -> Accepted {
        if frame.kind == Kind::Control {
            self.latest.get_or_insert_default();
            return self.control(frame);
        }
        self.follows_cut(frame.sequence);
        if frame.sequence < self.next {
            self.offer(frame);
            return self.had(frame, now);
        }
        if frame.sequence > self.next {
            // It may come ahead of text that waits, and then shows no gap.
            if frame.kind == Kind::Exit {
                return self.ahead(frame, now);
            }
            if !self.reaches(frame.sequence) {
                return Accepted { lost: true, ..Accepted::default() };
            }
        }
        if frame.kind == Kind::Exit && self.before_exit.is_none() {
            self.before_exit = Some(self.state());
        }
        self.next = frame.sequence.saturating_add(1);
        self.gives_up = false;
        let record = match frame.kind {
            Kind::Stdout | Kind::Stderr | Kind::Both | Kind::Control => {
                self.kept.take(frame);
                false
            }
            Kind::Start | Kind::Exit | Kind::End => self.record(frame, now),
        };
        self.offer(frame);
        self.skip();
        self.fact.read_at = Some(now);
        Accepted { bytes: bytes as u64, record, ..Accepted::default() }
    }

    /// Whether nothing is missing in front of `sequence`, or nothing that can come again. Then the log goes on
    /// there.
    fn reaches(&mut self, sequence: u64) -> bool {
        while self.next < sequence {
            let next = self.next;
            if let Some(range) = self.dropped.iter().find(|range| (range.first..=range.last).contains(&next))
            {
                self.next = range.last.saturating_add(1).min(sequence);
                // The end record names it again.
                self.name(Gap { first: next, last: self.next - 1, line: self.kept.transcript().lines() });
                self.skip();
            } else if self.may_come_again && !self.gives_up {
                return false;
            } else {
                // An exit record that came ahead is not missing, and comes last.
                let had = self.ahead.filter(|range| range.last.saturating_add(1) == sequence);
                let last = had.map_or(sequence, |range| range.first) - 1;
                self.name(Gap { first: next, last, line: self.kept.transcript().lines() });
                self.next = sequence;
            }
        }
        true
    }

    fn name(&mut self, gap: Gap) {
        self.partial.1.clear();
        if let Some(last) = self.gaps.last_mut().filter(|last| last.last.saturating_add(1) == gap.first) {
            last.last = gap.last;
        } else if self.gaps.len() < MAX_GAPS {
            self.gaps.push(gap);
        }
    }

    /// Passes over the exit record that came ahead of its turn.
    fn skip(&mut self) {
        if let Some(range) = self.ahead.filter(|range| range.first == self.next) {
            self.before_exit = Some(self.state());
            self.next = range.last.saturating_add(1);
            if let Some(tap) = &mut self.tap {
                tap.pass(range.first, range.last, &self.gaps);
            }
        }
    }

    /// Passes a frame that the log has on to the archive.
    fn offer(&mut self, frame: &Frame<'_>) {
        if let Some(tap) = &mut self.tap {
            tap.offer(frame, &self.gaps);
        }
    }

    fn control(&mut self, frame: &Frame<'_>) -> Accepted {
        // An unknown one is of a later runner.
        let Ok(Control::Beat(mut beat)) = serde_json::from_slice(&frame.text) else {
            return Accepted::default();
        };
        beat.dropped.truncate(MAX_RANGES);
        self.dropped.clone_from(&beat.dropped);
        let written = frame.sequence.saturating_add(1);
        // Without hope for these frames, the next one names the gap.
        let lost = written > self.next && (self.may_come_again || self.gives_up) && !self.reaches(written);
        Accepted { lost, beat: Some((beat, frame.millis)), ..Accepted::default() }
    }

    /// A foreign line in front of a frame that does not follow the one before is the end of a lost one.
    fn follows_cut(&mut self, sequence: u64) {
        let follows = sequence == self.latest.unwrap_or_default().saturating_add(1);
        self.latest = Some(sequence);
        let Some(first) = self.cut.take().filter(|_| !follows) else { return };
        self.foreign.0 = self.foreign.0.saturating_sub(1);
        if first {
            self.fact.first_foreign = None;
        }
    }

    /// A line that is no frame.
    fn stray(&mut self, line: &[u8]) -> Accepted {
        let first = self.fact.first_foreign.is_none();
        self.foreign(line);
        self.cut = Some(first);
        Accepted::default()
    }

    fn foreign(&mut self, line: &[u8]) {
        if self.fact.first_foreign.is_none() {
            let mut words = String::from_utf8_lossy(&line[..line.len().min(MAX_FOREIGN_BYTES)]).into_owned();
            words.retain(|letter| !letter.is_control());
            self.fact.first_foreign = Some(words);
        }
        self.foreign.0 += 1;
    }

    /// Takes the next part of a record. Returns whether it is whole.
    fn record(&mut self, frame: &Frame<'_>, now: Timestamp) -> bool {
        if self.partial.1.is_empty() {
            self.partial.0 = frame.sequence;
        }
        if self.partial.1.len() + frame.text.len() > MAX_RECORD_BYTES {
            self.partial.1.clear();
            self.foreign(&frame.text);
            return false;
        }
        self.partial.1.extend_from_slice(&frame.text);
        if frame.ending == Ending::Continued {
            return false;
        }
        let text = std::mem::take(&mut self.partial.1);
        let worth = serde_json::from_slice(&text).map_or(Worth::Foreign, |record| self.weigh(record, now));
        if worth == Worth::Foreign {
            self.foreign(&text);
        }
        worth == Worth::Counts
    }

    /// Takes a record, if it is one of this attempt, no contradiction of one before, and the runner's.
    ///
    /// A node may cut a line where the script wrote what looks like a record ([`crate::record::frame`]). So the
    /// records behind the script's start have a nonce, which no script can know ([`crate::record::proof`]).
    fn weigh(&mut self, Signed { record, nonce }: Signed, now: Timestamp) -> Worth {
        match record {
            // The first one counts. It belongs to the start that ran the script.
            Record::Start(start) if start.of == self.of => {
                if self.fact.start.is_none() {
                    self.fact.start = Some(start);
                    let held = std::mem::take(&mut self.held);
                    for Held { exit, nonce, read_at } in held {
                        self.exit(exit, nonce, read_at);
                    }
                }
                Worth::Counts
            }
            // A second start repeats a file that the script could write. Such a record counts only with its
            // proof, in the termination message.
            Record::Exit(exit) if exit.of == self.of && exit.replayed => Worth::Counts,
            Record::Exit(exit) if exit.of == self.of => self.exit(exit, nonce, now),
            // Without a start record, nothing was started, or the log's beginning is lost.
            Record::End(end) if end.of == self.of && self.is_proven(nonce.as_deref()) != Some(false) => {
                self.fact.end = Some(end);
                Worth::Counts
            }
            _ => Worth::Foreign,
        }
    }

    fn exit(&mut self, exit: Exit, nonce: Option<String>, now: Timestamp) -> Worth {
        let proven = self.is_proven(nonce.as_deref());
        match &self.fact.exit {
            Some((first, _)) if *first == exit => return Worth::Counts,
            Some(_) => return Worth::Foreign,
            None if proven == Some(true) => {
                self.fact.exit = Some((exit, now));
                self.held.clear();
                return Worth::Counts;
            }
            None => {}
        }
        // A second start of the container knows no nonce. If it finds nothing to repeat, it says so.
        let may_be_second = matches!(exit.outcome, Outcome::Unknown { .. });
        if proven == Some(false) && !may_be_second {
            return Worth::Foreign;
        }
        if self.held.len() < MAX_HELD {
            self.held.push(Held { exit, nonce, read_at: now });
        }
        Worth::Held
    }

    /// Whether a record with this nonce is the runner's. `None` if no start record says so.
    fn is_proven(&self, nonce: Option<&str>) -> Option<bool> {
        let start = self.fact.start.as_ref()?;
        Some(start.records_proof.is_none() || nonce.map(proof) == start.records_proof)
    }

    /// The exit record that counts if no more can come and none is proven: of a script that was not started, of a
    /// second start of the container, or of a log whose beginning is lost.
    fn exit_at_last(&self) -> Option<(Exit, Timestamp)> {
        let ran = self.fact.start.is_some() || self.kept.transcript().bytes() > 0;
        let fits = |held: &&Held| !ran || !matches!(held.exit.outcome, Outcome::NotStarted { .. });
        self.held.iter().find(fits).map(|held| (held.exit.clone(), held.read_at))
    }

    /// Takes a part of a record out of its turn. Returns the whole record and its frames.
    fn aside(&mut self, frame: &Frame<'_>) -> Option<(Signed, FrameRange)> {
        let aside = &mut self.aside;
        if aside.next != frame.sequence {
            *aside = Aside { first: frame.sequence, ..Aside::default() };
        }
        aside.next = frame.sequence.saturating_add(1);
        if aside.text.len() + frame.text.len() > MAX_RECORD_BYTES {
            *aside = Aside::default();
            return None;
        }
        aside.text.extend_from_slice(&frame.text);
        if frame.ending == Ending::Continued {
            return None;
        }
        let Aside { first, text, .. } = std::mem::take(aside);
        Some((serde_json::from_slice(&text).ok()?, FrameRange { first, last: frame.sequence }))
    }

    /// Takes an exit record ahead of its turn.
    fn ahead(&mut self, frame: &Frame<'_>, now: Timestamp) -> Accepted {
        if let Some((signed, range)) = self.aside(frame)
            && matches!(signed.record, Record::Exit(_))
            && self.ahead.is_none()
            && self.weigh(signed, now) == Worth::Counts
        {
            self.ahead = Some(range);
            return Accepted { record: true, ..Accepted::default() };
        }
        Accepted::default()
    }

    /// A frame that this operator or one before it has taken. What only the one before it knew is wanted.
    fn had(&mut self, frame: &Frame<'_>, now: Timestamp) -> Accepted {
        if !self.resumed {
            return Accepted::default();
        }
        if frame.kind.is_log() {
            self.kept.show(frame);
            return Accepted::default();
        }
        let wanted = match frame.kind {
            Kind::Start => self.fact.start.is_none(),
            Kind::Exit => self.fact.exit.is_none(),
            Kind::End => self.fact.end.is_none(),
            _ => false,
        };
        let record =
            wanted && self.aside(frame).is_some_and(|(signed, _)| self.weigh(signed, now) == Worth::Counts);
        Accepted { record, ..Accepted::default() }
    }

    /// Everything that has been read so far.
    #[must_use]
    pub(super) fn fact(&self) -> LogFact {
        let transcript = self.kept.transcript();
        let named = |gap: &Gap| format!("frames {} to {} (after line {})", gap.first, gap.last, gap.line);
        LogFact {
            lines: transcript.lines(),
            bytes: transcript.bytes(),
            sha256: transcript.sha256(),
            tail: self.kept.tail(),
            errors: self.kept.errors(),
            foreign: self.foreign.0.max(self.foreign.1),
            missing: self.gaps.iter().map(named).collect(),
            ..self.fact.clone()
        }
    }

    /// Everything that was read, once no more can come. The log is complete only if it has an end record that
    /// agrees.
    #[must_use]
    pub(super) fn settled(&self) -> LogFact {
        let mut fact = self.fact();
        fact.exit = fact.exit.or_else(|| self.exit_at_last());
        let Some(end) = &fact.end else {
            fact.state = LogState::Incomplete;
            fact.missing.push(format!("what came after line {}: the log has no end record", fact.lines));
            return fact;
        };
        let named = |range: &FrameRange| {
            self.gaps.iter().any(|gap| gap.first <= range.first && range.last <= gap.last)
        };
        fact.missing.extend(
            end.dropped
                .iter()
                .filter(|range| !named(range))
                .map(|range| format!("frames {} to {} (dropped by the runner)", range.first, range.last)),
        );
        if end.cut {
            fact.missing.push(
                "what processes that the script left behind would still have written: they were ended"
                    .to_owned(),
            );
        }
        let same = (end.lines, end.bytes, &end.sha256) == (fact.lines, fact.bytes, &fact.sha256);
        if !same && fact.missing.is_empty() {
            fact.missing.push(format!(
                "something unknown: the runner wrote {} lines and {} bytes, the operator read {} and {}, and the \
                 hashes differ",
                end.lines, end.bytes, fact.lines, fact.bytes
            ));
        }
        fact.state = if fact.missing.is_empty() { LogState::Complete } else { LogState::Incomplete };
        fact
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::outcome::{End, Exit, Outcome, Start};

    fn of() -> Identity {
        Identity { pod_uid: "p".into(), run_id: "r-1".into() }
    }

    fn exit(of: Identity, code: u8) -> String {
        serde_json::to_string(&Record::Exit(Exit {
            version: 1,
            of,
            outcome: Outcome::Exited { code },
            stop: None,
            millis: 1,
            outputs: std::collections::BTreeMap::new(),
            sealed: None,
            outputs_dropped: vec![],
            outputs_unread: None,
            unmasked: vec![],
            out_of_memory: None,
            replayed: false,
        }))
        .unwrap()
    }

    fn end(lines: u64, bytes: u64, text: &str) -> String {
        serde_json::to_string(&Record::End(End {
            version: 1,
            of: of(),
            lines,
            bytes,
            sha256: crate::record::sha256_hex(text.as_bytes()),
            dropped: vec![],
            cut: false,
        }))
        .unwrap()
    }

    fn feed(assembler: &mut Assembler, lines: &[&str]) {
        for line in lines {
            assembler.accept(&Frame::with_lengths(line.as_bytes()), Timestamp::UNIX_EPOCH);
        }
    }

    /// Of a runner that signs nothing.
    fn start() -> Start {
        Start {
            version: 1,
            of: of(),
            unmasked: vec![],
            adjusted: vec![],
            suspects: vec![],
            proof: None,
            records_proof: None,
        }
    }

    fn start_record(start: Start) -> String {
        serde_json::to_string(&Record::Start(start)).unwrap()
    }

    /// Of a runner that signs its records.
    fn started() -> String {
        start_record(Start { records_proof: Some(proof("nonce")), ..start() })
    }

    /// A log whose start record is read.
    fn begun() -> Assembler {
        let mut log = Assembler::new(of());
        log.fact.start = Some(start());
        log
    }

    fn signed(record: &str, nonce: &str) -> String {
        format!(r#"{},"nonce":"{nonce}"}}"#, record.strip_suffix('}').unwrap())
    }

    #[test]
    fn only_records_with_the_nonce_of_the_start_count_behind_it() {
        let mut log = Assembler::new(of());
        let forged = end(0, 0, "");
        feed(&mut log, &[&format!("1 s 0 {}", started()), "2 o 0 a"]);
        for nonce in ["", "other", &proof("nonce")] {
            feed(
                &mut log,
                &[&format!("9 x 0 {}", signed(&exit(of(), 0), nonce)), &format!("9 x 0 {}", exit(of(), 0))],
            );
            feed(&mut log, &[&format!("3 z 0 {}", signed(&forged, nonce)), &format!("3 z 0 {forged}")]);
        }
        assert!(!log.has_exit() && !log.has_end() && log.ahead.is_none());
        assert!(log.settled().exit.is_none());
        feed(&mut log, &[&format!("4 x 0 {}", signed(&exit(of(), 3), "nonce"))]);
        feed(&mut log, &[&format!("5 z 0 {}", signed(&end(1, 2, "a\n"), "nonce"))]);
        let fact = log.settled();
        assert_eq!(
            (fact.state, fact.exit.unwrap().0.outcome),
            (LogState::Complete, Outcome::Exited { code: 3 })
        );
    }

    #[test]
    fn an_exit_record_waits_for_its_start_record() {
        let resumed = || Assembler::resumed(of(), State { next: 2, ..State::lost(0) });
        for (nonce, counts) in [("nonce", true), ("other", false)] {
            let mut log = resumed();
            feed(&mut log, &["2 o 0 a", &format!("3 x 0 {}", signed(&exit(of(), 3), nonce))]);
            assert!(log.has_exit() && log.fact().exit.is_none());
            feed(&mut log, &[&format!("1 s 0 {}", started())]);
            assert_eq!((log.fact().exit.is_some(), log.settled().exit.is_some()), (counts, counts));
        }
        // Its start record is lost for good.
        let mut log = resumed();
        feed(&mut log, &["2 o 0 a", &format!("3 x 0 {}", signed(&exit(of(), 3), "nonce"))]);
        assert!(log.settled().exit.is_some());
    }

    #[test]
    fn a_script_that_wrote_something_was_started_whatever_a_record_without_proof_says() {
        let refused = exit(of(), 3)
            .replace(r#"{"exited":{"code":3}}"#, r#"{"notStarted":{"problem":"Input","message":"m"}}"#);
        for (text, counts) in [(None, true), (Some("2 o 0 a"), false)] {
            let mut log = Assembler::new(of());
            feed(&mut log, &[&format!("1 x 0 {refused}")]);
            feed(&mut log, text.as_slice());
            assert_eq!(log.settled().exit.is_some(), counts);
        }
    }

    #[test]
    fn a_second_start_that_knows_nothing_says_so_in_the_end() {
        let unknown =
            exit(of(), 3).replace(r#"{"exited":{"code":3}}"#, r#"{"unknown":{"message":"it ran before"}}"#);
        let mut log = Assembler::new(of());
        feed(&mut log, &[&format!("1 s 0 {}", started()), &format!("1 x 0 {unknown}"), "2 o 0 a"]);
        assert!(log.fact().exit.is_none());
        feed(&mut log, &[&format!("3 x 0 {unknown}")]);
        assert!(log.fact().exit.is_none() && log.settled().exit.is_some());
    }

    #[test]
    fn a_log_with_an_end_that_agrees_is_complete() {
        let mut log = Assembler::new(of());
        feed(
            &mut log,
            &[
                "1 o 0 a",
                "2 b 1 b",
                &format!("3 x 2 {}", exit(of(), 0)),
                &format!("4 z 2 {}", end(2, 4, "a\nb\n")),
            ],
        );
        let fact = log.settled();
        assert_eq!((fact.state, fact.lines, fact.tail.as_str()), (LogState::Complete, 2, "a\nb\n"));
        assert!(fact.exit.is_some());
        assert_eq!(fact.foreign, 0);
    }

    #[test]
    fn frames_in_one_line_count_as_alone() {
        let mut log = Assembler::new(of());
        let end = end(3, 6, "a\nb\nc\n");
        feed(&mut log, &["1 o 0 a", "24 2 p 0 7 2 o 1 b7 3 o 1 c", &format!("4 z 2 {end}")]);
        let fact = log.settled();
        assert_eq!((fact.state, fact.lines, fact.foreign), (LogState::Complete, 3, 0));
        feed(&mut log, &["11 9 p 0 3 abc"]);
        assert_eq!(log.fact().foreign, 1);
    }

    #[test]
    fn an_exit_record_counts_ahead_of_its_turn_and_fills_its_place() {
        let mut log = begun();
        let record = exit(of(), 7);
        let (first, second) = record.split_at(20);
        let end = end(2, 4, "a\nb\n");
        feed(&mut log, &["1 o 0 a", &format!("3 x+ 1 {first}"), &format!("4 x 1 {second}")]);
        assert_eq!(log.fact().exit.unwrap().0.outcome, Outcome::Exited { code: 7 });
        assert_eq!(log.has(), 1);
        feed(&mut log, &["2 o 0 b"]);
        assert_eq!(log.has(), 4);
        let again = [format!("3 x+ 1 {first}"), format!("4 x 1 {second}"), format!("5 z 2 {end}")];
        feed(&mut log, &again.each_ref().map(String::as_str));
        let fact = log.settled();
        assert_eq!((fact.state, fact.foreign, fact.missing.as_slice()), (LogState::Complete, 0, &[][..]));
    }

    #[test]
    fn an_exit_record_behind_a_gap_is_no_part_of_it() {
        let mut log = begun();
        let end = end(4, 8, "a\nb\nc\nd\n");
        feed(&mut log, &["1 o 0 a", &format!("5 x 1 {}", exit(of(), 0)), &format!("6 z 2 {end}")]);
        assert_eq!(log.settled().missing, ["frames 2 to 4 (after line 1)"]);
    }

    #[test]
    fn what_can_come_again_is_waited_for_and_what_cannot_is_named() {
        let mut log = Assembler::new(of());
        log.may_come_again(true);
        let at = Timestamp::UNIX_EPOCH;
        feed(&mut log, &["1 o 0 a"]);
        assert!(log.accept(&Frame::with_lengths(b"3 o 0 c"), at).lost);
        assert!(log.fact().missing.is_empty());
        feed(&mut log, &["2 o 0 b", "3 o 0 c"]);
        assert_eq!((log.fact().lines, log.has()), (3, 3));
        let beat = |sequence: u64, dropped: &str| {
            format!(r#"{sequence} c 9 {{"beat":{{"made":9,"generation":0,"acked":0{dropped}}}}}"#)
        };
        assert!(!log.accept(&Frame::with_lengths(beat(3, "").as_bytes()), at).lost);
        assert!(log.accept(&Frame::with_lengths(beat(5, "").as_bytes()), at).lost);
        let dropped = r#","dropped":[{"first":4,"last":6}]"#;
        assert!(!log.accept(&Frame::with_lengths(beat(6, dropped).as_bytes()), at).lost);
        assert_eq!(log.fact().missing, ["frames 4 to 6 (after line 3)"]);
        assert!(log.accept(&Frame::with_lengths(b"9 o 0 i"), at).lost);
        log.give_up();
        assert!(!log.accept(&Frame::with_lengths(b"9 o 0 i"), at).lost);
        assert_eq!(log.fact().missing, ["frames 4 to 8 (after line 3)"]);
        assert!(log.accept(&Frame::with_lengths(b"11 o 0 k"), at).lost);
    }

    #[test]
    fn a_record_that_is_not_whole_is_not_acknowledged() {
        let mut log = begun();
        let record = exit(of(), 7);
        let (first, second) = record.split_at(20);
        feed(&mut log, &["1 o 0 a", &format!("2 x+ 0 {first}")]);
        assert_eq!(log.has(), 1);
        let mut next = Assembler::resumed(of(), log.state());
        feed(&mut next, &[&format!("2 x+ 0 {first}"), &format!("3 x 0 {second}")]);
        assert_eq!(next.settled().exit.unwrap().0.outcome, Outcome::Exited { code: 7 });
        assert_eq!((next.fact().lines, next.has()), (1, 3));
    }

    #[test]
    fn words_of_a_later_runner_are_passed_over() {
        let mut log = Assembler::new(of());
        feed(&mut log, &["1 o 0 a", r#"1 c 0 {"news":{}}"#, "1 c 0 x", "2 o 0 b"]);
        let fact = log.fact();
        assert_eq!((fact.lines, fact.foreign, fact.missing.len()), (2, 0, 0));
    }

    #[test]
    fn the_end_of_standard_error_is_kept_apart_if_it_has_a_stream() {
        let mut log = Assembler::new(of());
        feed(
            &mut log,
            &["1 o 0 out", "2 e+ 0 err", "3 o 0 more", "4 e 0 or", "5 e- 0 \u{1b}[31mlast", "not framed"],
        );
        let fact = log.fact();
        assert_eq!(fact.errors, "error\nlast\n");
        let mut log = Assembler::new(of());
        feed(&mut log, &["1 b 0 one"]);
        assert_eq!(log.fact().errors, "");
    }

    #[test]
    fn what_was_read_twice_counts_once() {
        let mut log = Assembler::new(of());
        feed(&mut log, &["hello", "1 o 0 a", "2 o 0 b"]);
        log.reconnected();
        feed(
            &mut log,
            &["hello", "1 o 0 a", "2 o 0 b", "3 o 0 c", &format!("4 z 2 {}", end(3, 6, "a\nb\nc\n"))],
        );
        let fact = log.settled();
        assert_eq!((fact.state, fact.lines, fact.foreign), (LogState::Complete, 3, 1));
    }

    #[test]
    fn the_end_of_a_line_that_a_rotation_cut_is_no_foreign_line() {
        let mut log = Assembler::new(of());
        feed(&mut log, &["1 o 0 a", "and of a lost line", "5 o 0 b"]);
        assert_eq!((log.fact().foreign, log.fact().first_foreign), (0, None));
        feed(&mut log, &["from somebody else", "6 o 0 c", "one", "another", "9 o 0 d"]);
        assert_eq!(
            (log.fact().foreign, log.fact().first_foreign.as_deref()),
            (2, Some("from somebody else"))
        );
        log.reconnected();
        feed(&mut log, &["the end", "9 o 0 d"]);
        assert_eq!(log.fact().foreign, 2);
    }

    #[test]
    fn a_gap_is_named_and_the_log_incomplete() {
        let mut log = Assembler::new(of());
        feed(&mut log, &["1 o 0 a", "5 o 0 b", &format!("6 z 2 {}", end(5, 10, "a\n?\n?\n?\nb\n"))]);
        let fact = log.settled();
        assert_eq!(fact.state, LogState::Incomplete);
        assert_eq!(fact.missing, ["frames 2 to 4 (after line 1)"]);
    }

    #[test]
    fn a_log_without_its_end_is_incomplete() {
        let mut log = Assembler::new(of());
        feed(&mut log, &["1 o 0 a"]);
        assert_eq!(log.settled().state, LogState::Incomplete);
    }

    #[test]
    fn a_log_that_differs_from_the_runner_s_count_is_incomplete() {
        let mut log = Assembler::new(of());
        feed(&mut log, &["1 o 0 a", &format!("2 z 2 {}", end(1, 2, "b\n"))]);
        assert_eq!(log.settled().state, LogState::Incomplete);
    }

    #[test]
    fn a_record_of_another_run_is_foreign() {
        let mut log = Assembler::new(of());
        let other = Identity { pod_uid: "q".into(), run_id: "r-1".into() };
        feed(&mut log, &[&format!("1 x 0 {}", exit(other, 0))]);
        assert!(log.fact().exit.is_none());
        assert_eq!(log.fact().foreign, 1);
    }

    #[test]
    fn the_first_exit_record_counts() {
        let mut log = begun();
        feed(&mut log, &[&format!("1 x 0 {}", exit(of(), 3)), &format!("2 x 0 {}", exit(of(), 0))]);
        assert_eq!(log.fact().exit.unwrap().0.outcome, Outcome::Exited { code: 3 });
    }

    #[test]
    fn what_a_second_start_repeats_does_not_count() {
        let mut log = Assembler::new(of());
        let repeated = exit(of(), 0).replace(r#""millis":1"#, r#""millis":1,"replayed":true"#);
        feed(&mut log, &[&format!("1 x 0 {repeated}")]);
        assert!(log.fact().exit.is_none());
        assert_eq!(log.fact().foreign, 0);
    }

    #[test]
    fn the_first_start_record_counts() {
        let mut log = Assembler::new(of());
        let start = |proof: &str| start_record(Start { proof: Some(proof.into()), ..start() });
        feed(&mut log, &[&format!("1 s 0 {}", start("first")), &format!("2 s 0 {}", start("second"))]);
        assert_eq!(log.fact().start.unwrap().proof.as_deref(), Some("first"));
    }

    #[test]
    fn a_record_in_parts_is_put_together() {
        let mut log = begun();
        let record = exit(of(), 7);
        let (first, second) = record.split_at(20);
        feed(&mut log, &[&format!("1 x+ 0 {first}"), &format!("2 x 0 {second}")]);
        assert_eq!(log.fact().exit.unwrap().0.outcome, Outcome::Exited { code: 7 });
    }
}
