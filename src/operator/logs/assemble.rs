//! Puts a log together from the lines that the container wrote. This is pure: the collector passes the lines.

use k8s_openapi::jiff::Timestamp;

use super::tail::Tail;
use crate::{
    api::status::LogState,
    operator::lifecycle::facts::LogFact,
    record::{
        frame::{Ending, Frame, Kind},
        outcome::{Identity, MAX_RECORD_BYTES, Record},
        transcript::Transcript,
    },
};

/// How many gaps are named.
const MAX_GAPS: usize = 100;

/// How much of the end of standard error is kept, in bytes.
const MAX_ERRORS_BYTES: usize = 2048;

/// How much of a foreign line is kept, in bytes.
const MAX_FOREIGN_BYTES: usize = 512;

/// The kind of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Accepted {
    /// Text of the log, or a part of a record.
    Progress,
    /// A record that `decide` waits for.
    Record,
    /// A line that an earlier reading had, or a foreign one.
    Nothing,
}

/// The log of one attempt, as far as it has been read.
#[derive(Debug)]
pub(super) struct Assembler {
    of: Identity,
    /// The next sequence number.
    next: u64,
    transcript: Transcript,
    tail: Tail,
    errors: Tail,
    gaps: Vec<String>,
    /// The parts of a record that has not ended yet.
    partial: Vec<u8>,
    /// Foreign lines in this reading, and the most in any reading.
    foreign: (u64, u64),
    fact: LogFact,
}

impl Assembler {
    #[must_use]
    pub(super) fn new(of: Identity) -> Self {
        let fact = LogFact { pod_uid: of.pod_uid.clone(), ..LogFact::default() };
        Self {
            of,
            next: 1,
            transcript: Transcript::default(),
            tail: Tail::default(),
            errors: Tail::of(MAX_ERRORS_BYTES),
            gaps: Vec::new(),
            partial: Vec::new(),
            foreign: (0, 0),
            fact,
        }
    }

    /// The log is read again from its beginning, or from the beginning of its newest file.
    pub(super) fn reconnected(&mut self) {
        self.foreign.0 = 0;
    }

    /// Whether the end record was read.
    #[must_use]
    pub(super) const fn has_end(&self) -> bool {
        self.fact.end.is_some()
    }

    /// Takes a line, without its newline.
    pub(super) fn accept(&mut self, line: &[u8], now: Timestamp) -> Accepted {
        let Some(frame) = Frame::decode(line) else { return self.foreign(line) };
        if frame.sequence < self.next {
            return Accepted::Nothing;
        }
        if frame.sequence > self.next {
            self.partial.clear();
            if self.gaps.len() < MAX_GAPS {
                self.gaps.push(format!(
                    "frames {} to {} (after line {})",
                    self.next,
                    frame.sequence - 1,
                    self.transcript.lines()
                ));
            }
        }
        self.next = frame.sequence.saturating_add(1);
        match frame.kind {
            Kind::Stdout | Kind::Stderr | Kind::Both => {
                self.transcript.push(&frame.text, frame.ending);
                self.tail.push(&frame.text, frame.ending != Ending::Continued);
                if frame.kind == Kind::Stderr {
                    self.errors.push(&frame.text, frame.ending != Ending::Continued);
                }
                Accepted::Progress
            }
            Kind::Control => Accepted::Progress,
            Kind::Start | Kind::Exit | Kind::End => self.record(&frame, now),
        }
    }

    fn foreign(&mut self, line: &[u8]) -> Accepted {
        if self.fact.first_foreign.is_none() {
            let mut words = String::from_utf8_lossy(&line[..line.len().min(MAX_FOREIGN_BYTES)]).into_owned();
            words.retain(|letter| !letter.is_control());
            self.fact.first_foreign = Some(words);
        }
        self.foreign.0 += 1;
        self.foreign.1 = self.foreign.1.max(self.foreign.0);
        Accepted::Nothing
    }

    fn record(&mut self, frame: &Frame<'_>, now: Timestamp) -> Accepted {
        if self.partial.len() + frame.text.len() > MAX_RECORD_BYTES {
            self.partial.clear();
            return self.foreign(&frame.text);
        }
        self.partial.extend_from_slice(&frame.text);
        if frame.ending == Ending::Continued {
            return Accepted::Progress;
        }
        let text = std::mem::take(&mut self.partial);
        match serde_json::from_slice::<Record>(&text) {
            // The first one counts. It belongs to the start that ran the script.
            Ok(Record::Start(start)) if start.of == self.of => {
                self.fact.start.get_or_insert(start);
            }
            // A second start repeats a file that the script could write. Such a record counts only with its
            // proof, in the termination message.
            Ok(Record::Exit(exit)) if exit.of == self.of && exit.replayed => {}
            Ok(Record::Exit(exit)) if exit.of == self.of && self.fact.exit.is_none() => {
                self.fact.exit = Some((exit, now));
            }
            Ok(Record::End(end)) if end.of == self.of => self.fact.end = Some(end),
            _ => return self.foreign(&text),
        }
        Accepted::Record
    }

    /// Everything that has been read so far.
    #[must_use]
    pub(super) fn fact(&self) -> LogFact {
        LogFact {
            lines: self.transcript.lines(),
            bytes: self.transcript.bytes(),
            sha256: self.transcript.sha256(),
            tail: self.tail.text(),
            errors: self.errors.text(),
            foreign: self.foreign.1,
            missing: self.gaps.clone(),
            ..self.fact.clone()
        }
    }

    /// Everything that was read, once no more can come. The log is complete only if it has an end record that
    /// agrees.
    #[must_use]
    pub(super) fn settled(&self) -> LogFact {
        let mut fact = self.fact();
        let Some(end) = &fact.end else {
            fact.state = LogState::Incomplete;
            fact.missing.push(format!("what came after line {}: the log has no end record", fact.lines));
            return fact;
        };
        fact.missing.extend(
            end.dropped
                .iter()
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
                "the runner counted {} lines and {} bytes with another hash",
                end.lines, end.bytes
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
            assembler.accept(line.as_bytes(), Timestamp::UNIX_EPOCH);
        }
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
        let mut log = Assembler::new(of());
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
        let start = |proof: &str| {
            let start = Start {
                version: 1,
                of: of(),
                unmasked: vec![],
                adjusted: vec![],
                suspects: vec![],
                proof: Some(proof.into()),
            };
            serde_json::to_string(&Record::Start(start)).unwrap()
        };
        feed(&mut log, &[&format!("1 s 0 {}", start("first")), &format!("2 s 0 {}", start("second"))]);
        assert_eq!(log.fact().start.unwrap().proof.as_deref(), Some("first"));
    }

    #[test]
    fn a_record_in_parts_is_put_together() {
        let mut log = Assembler::new(of());
        let record = exit(of(), 7);
        let (first, second) = record.split_at(20);
        feed(&mut log, &[&format!("1 x+ 0 {first}"), &format!("2 x 0 {second}")]);
        assert_eq!(log.fact().exit.unwrap().0.outcome, Outcome::Exited { code: 7 });
    }
}
