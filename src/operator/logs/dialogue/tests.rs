//! A runner, a node that loses lines, and operators that come and go, against the truth.

mod archive;

use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{
    api::status::LogState,
    record::{
        credit::{Beat, Control},
        frame::{Ending, Frame, Kind},
        outcome::{End, Exit, FrameRange, Outcome, Record, Start},
        packed::Packer,
        transcript::Transcript,
    },
};

fn of() -> Identity {
    Identity { pod_uid: "p".into(), run_id: "r-1".into() }
}

fn encoded(sequence: u64, kind: Kind, ending: Ending, text: &[u8]) -> Vec<u8> {
    let mut line = Vec::new();
    Frame { sequence, kind, millis: 5, ending, text: text.into() }.encode(&mut line);
    line
}

/// The frames of a whole run, each encoded, the first one first.
struct Truth {
    frames: Vec<Vec<u8>>,
    /// The first frame of the exit record, and its last.
    exit: FrameRange,
    end: End,
}

impl Truth {
    /// A start record, this many lines of text, an exit record in parts, an end record.
    fn new(lines: u64) -> Self {
        let mut frames: Vec<Vec<u8>> = Vec::new();
        let mut transcript = Transcript::default();
        let mut add = |kind: Kind, parts: &[&[u8]]| {
            for (at, part) in parts.iter().enumerate() {
                let ending = if at + 1 < parts.len() { Ending::Continued } else { Ending::Line };
                if kind.is_log() {
                    transcript.push(part, ending);
                }
                frames.push(encoded(frames.len() as u64 + 1, kind, ending, part));
            }
        };
        let start = Start {
            version: 1,
            of: of(),
            unmasked: vec![],
            adjusted: vec![],
            suspects: vec![],
            proof: Some("proof".into()),
            records_proof: None,
        };
        add(Kind::Start, &[&serde_json::to_vec(&Record::Start(start)).unwrap()]);
        for line in 0..lines {
            let text = format!("line {line}");
            match line % 5 {
                4 => add(Kind::Both, &[text.as_bytes(), b" goes on\r"]),
                _ => add(Kind::Stdout, &[text.as_bytes()]),
            }
        }
        let exit = Exit {
            version: 1,
            of: of(),
            outcome: Outcome::Exited { code: 7 },
            stop: None,
            millis: 1,
            outputs: BTreeMap::from([("url".into(), "x".repeat(60))]),
            outputs_dropped: vec![],
            outputs_unread: None,
            unmasked: vec![],
            sealed: None,
            out_of_memory: None,
            replayed: false,
        };
        let exit = serde_json::to_vec(&Record::Exit(exit)).unwrap();
        let parts: Vec<&[u8]> = exit.chunks(70).collect();
        add(Kind::Exit, &parts);
        let exit_last = frames.len() as u64;
        let end = End {
            version: 1,
            of: of(),
            lines: transcript.lines(),
            bytes: transcript.bytes(),
            sha256: transcript.sha256(),
            dropped: vec![],
            cut: false,
        };
        let text = serde_json::to_vec(&Record::End(end.clone())).unwrap();
        frames.push(encoded(exit_last + 1, Kind::End, Ending::Line, &text));
        Self { frames, exit: FrameRange { first: exit_last + 1 - parts.len() as u64, last: exit_last }, end }
    }

    fn frame(&self, sequence: u64) -> &[u8] {
        &self.frames[usize::try_from(sequence).unwrap() - 1]
    }

    fn last(&self) -> u64 {
        self.frames.len() as u64
    }

    /// Lines and hash of the text without the frames in `gaps`.
    fn without(&self, gaps: &[super::super::state::Gap]) -> (u64, String) {
        let mut transcript = Transcript::default();
        for (sequence, line) in (1..).zip(&self.frames) {
            let frame = Frame::decode(&line[..line.len() - 1]).unwrap();
            if frame.kind.is_log() && !gaps.iter().any(|gap| (gap.first..=gap.last).contains(&sequence)) {
                transcript.push(&frame.text, frame.ending);
            }
        }
        (transcript.lines(), transcript.sha256())
    }
}

/// A runner by the rules of [`crate::record::credit`], and the file that its node keeps.
struct Runner {
    truth: Truth,
    /// Physical lines without newlines, all that were ever written.
    file: Vec<Vec<u8>>,
    next: u64,
    most: u64,
    credit: Credit,
    answered: u32,
    beats: u64,
    ahead: bool,
}

impl Runner {
    fn new(lines: u64) -> Self {
        Self {
            truth: Truth::new(lines),
            file: Vec::new(),
            next: 1,
            most: 0,
            credit: Credit::default(),
            answered: 0,
            beats: 0,
            ahead: false,
        }
    }

    fn put(&mut self, line: &[u8]) {
        self.file.push(line.strip_suffix(b"\n").unwrap_or(line).to_vec());
    }

    fn write(&mut self, frames: u64, packs: bool) {
        // Sometimes the exit record comes ahead.
        if !self.ahead && packs && self.next * 2 > self.truth.last() && self.next < self.truth.exit.first {
            self.ahead = true;
            for sequence in self.truth.exit.first..=self.truth.exit.last {
                let line = self.truth.frame(sequence).to_vec();
                self.put(&line);
            }
        }
        let mut packer = Packer::default();
        let mut out = Vec::new();
        for _ in 0..frames {
            // No more than so many stand without an answer.
            if self.next > self.truth.last() || self.next > self.acked() + 40 {
                break;
            }
            let line = self.truth.frame(self.next).to_vec();
            let is_log = self.next > 1 && self.next < self.truth.exit.first;
            if packs && is_log {
                assert!(packer.add(self.next, &line));
            } else {
                packer.finish(&mut out);
                out.extend_from_slice(&line);
            }
            self.next += 1;
        }
        packer.finish(&mut out);
        out.split_inclusive(|&byte| byte == b'\n').for_each(|line| self.put(line));
        self.most = self.most.max(self.next - 1);
    }

    fn beat(&mut self) {
        self.beats += 1;
        let beat =
            Beat { made: self.truth.last(), generation: self.answered, acked: self.acked(), dropped: vec![] };
        let text = serde_json::to_vec(&Control::Beat(beat)).unwrap();
        let mut line = Vec::new();
        Frame {
            sequence: self.most.max(1),
            kind: Kind::Control,
            millis: self.beats,
            ending: Ending::Line,
            text: text.into(),
        }
        .encode(&mut line);
        self.put(&line);
    }

    fn hears(&mut self, credit: Credit) {
        assert!(credit.acked >= self.credit.acked && credit.acked <= self.truth.last(), "{credit:?}");
        self.credit = credit;
        if credit.generation > self.answered {
            self.answered = credit.generation;
            // What was asked for may have come by itself since.
            self.next = self.next.min(credit.from.max(self.acked() + 1));
            self.beat();
            // Its records come again, for an operator that has not seen them.
            let exit = self.truth.exit;
            let has_ended = self.ahead || self.most >= exit.last;
            let exit = (exit.first..=exit.last).filter(|_| has_ended);
            for sequence in std::iter::once(1).chain(exit) {
                let line = self.truth.frame(sequence).to_vec();
                self.put(&line);
            }
        }
    }

    /// The operator may have an exit record that came ahead of its turn, and so more than was written in turn.
    fn acked(&self) -> u64 {
        self.credit.acked.min(self.most)
    }

    fn is_done(&self) -> bool {
        self.acked() >= self.truth.last()
    }
}

/// Something that happens.
#[derive(Debug, Clone)]
enum Event {
    /// The runner writes.
    Write(u8, bool),
    /// The reader reads so many lines.
    Read(u8),
    /// The reader's place is rotated away: so many lines are lost.
    Lose(u8),
    /// The same, and the reader gets the beginning of a line, joined to the line behind what was lost.
    Cut(u8, u8),
    /// The stream breaks, and is opened at a file that begins so far in front of the end.
    Reconnect(u8),
    /// The same, and the file begins within a line.
    ReconnectWithin(u8, u8),
    /// The API server takes the latest word, and the kubelet shows it.
    Deliver,
    /// Another operator takes over.
    Restart,
    /// Time passes, in tenths of a second.
    Wait(u8),
}

fn events(most_losses: u32) -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        8 => (1..30u8, any::<bool>()).prop_map(|(frames, packs)| Event::Write(frames, packs)),
        8 => (1..40u8).prop_map(Event::Read),
        most_losses => (1..40u8).prop_map(Event::Lose),
        most_losses => (1..40u8, any::<u8>()).prop_map(|(lines, at)| Event::Cut(lines, at)),
        most_losses => any::<u8>().prop_map(Event::Reconnect),
        most_losses => any::<(u8, u8)>().prop_map(|(back, at)| Event::ReconnectWithin(back, at)),
        4 => Just(Event::Deliver),
        1 => Just(Event::Restart),
        4 => (1..50u8).prop_map(Event::Wait),
    ];
    vec(event, 0..120)
}

struct World {
    runner: Runner,
    dialogue: Dialogue,
    at: usize,
    now: Instant,
    /// Said, and not yet with the API server.
    said: Option<Word>,
    /// What the annotations say.
    annotations: Option<Word>,
    /// When an operator first knew the verdict. It is stored a second later, unless that operator ends.
    known_at: Option<Instant>,
}

impl World {
    fn new(lines: u64) -> Self {
        let mut dialogue = Dialogue::new(of());
        dialogue.begins(true, Some(Limits::default()));
        Self {
            runner: Runner::new(lines),
            dialogue,
            at: 0,
            now: Instant::now(),
            said: None,
            annotations: None,
            known_at: None,
        }
    }

    fn verdict_is_stored(&self) -> bool {
        self.known_at.is_some_and(|at| self.now >= at + Duration::from_secs(1))
    }

    fn read(&mut self, lines: usize) {
        for _ in 0..lines {
            let Some(line) = self.runner.file.get(self.at) else { break };
            self.at += 1;
            let line = line.clone();
            self.take(&line);
        }
    }

    fn take(&mut self, line: &[u8]) {
        self.dialogue.take(line, Timestamp::UNIX_EPOCH, self.now);
        if self.dialogue.log.has_exit() {
            self.known_at.get_or_insert(self.now);
        }
        self.settle_up();
    }

    fn settle_up(&mut self) {
        let mut deeds = 0;
        while let Some(deed) = self.dialogue.due(self.now) {
            deeds += 1;
            assert!(deeds < 4, "it never rests");
            if let Deed::Tell(word, _) = deed {
                let may_be_lost = word.credit.acked < self.runner.truth.exit.first;
                assert!(may_be_lost || self.verdict_is_stored(), "{word:?}");
                self.said = Some(word);
            }
        }
        if let Some(next) = self.dialogue.next(self.now) {
            assert!(next > self.now, "it would be looked at without end");
        }
    }

    fn happens(&mut self, event: &Event) {
        match *event {
            Event::Write(frames, packs) => {
                self.runner.write(frames.into(), packs);
                self.runner.beat();
            }
            Event::Read(lines) => self.read(lines.into()),
            Event::Lose(lines) => {
                self.at = (self.at + usize::from(lines)).min(self.runner.file.len());
            }
            Event::Cut(lines, at) => {
                let behind = self.at + usize::from(lines);
                let file = &self.runner.file;
                let joined = file.get(self.at).zip(file.get(behind)).map(|(line, next)| {
                    let head = &line[..usize::from(at) % line.len()];
                    [head, next].concat()
                });
                self.at = (behind + 1).min(self.runner.file.len());
                if let Some(joined) = joined {
                    self.take(&joined);
                }
            }
            Event::Reconnect(back) => {
                self.at = self.runner.file.len().saturating_sub(back.into());
                self.dialogue.begins(true, Some(Limits::default()));
            }
            Event::ReconnectWithin(back, at) => {
                self.happens(&Event::Reconnect(back));
                if let Some(line) = self.runner.file.get(self.at) {
                    let tail = line[usize::from(at) % line.len()..].to_vec();
                    self.at += 1;
                    self.take(&tail);
                }
            }
            Event::Deliver => {
                if let Some(word) = self.said.take() {
                    self.runner.hears(word.credit);
                    self.dialogue.told(word.credit, self.now);
                    self.annotations = Some(word);
                }
            }
            Event::Restart => {
                self.known_at = self.known_at.filter(|_| self.verdict_is_stored());
                self.dialogue = match &self.annotations {
                    Some(Word { credit, state }) => Dialogue::resumed(of(), *credit, Some(state)),
                    None => Dialogue::new(of()),
                };
                self.said = None;
                self.at = self.at.min(self.runner.file.len().saturating_sub(30));
                self.dialogue.begins(true, Some(Limits::default()));
            }
            Event::Wait(tenths) => {
                self.now += Duration::from_millis(100) * u32::from(tenths);
                self.settle_up();
            }
        }
    }

    /// Reads the end of the file of a container that has ended: the end record and so many lines before it.
    fn read_at_last(&mut self, lines: usize) {
        let end = self.runner.truth.frames.last().unwrap().clone();
        let at = self.runner.file.iter().rposition(|line| *line == end[..end.len() - 1]).unwrap();
        self.dialogue.begins(false, Some(Limits::default()));
        self.at = at.saturating_sub(lines);
        self.read(usize::MAX);
    }

    /// Nothing goes wrong any more. Returns whether the log came to its end.
    fn ends(&mut self) -> bool {
        for _ in 0..3000 {
            if self.runner.is_done() {
                // So the container has ended, and its newest file is read once more.
                if !self.dialogue.has_end() {
                    self.read_at_last(0);
                }
                return self.dialogue.has_end();
            }
            for event in [Event::Write(20, false), Event::Read(200), Event::Wait(5), Event::Deliver] {
                self.happens(&event);
            }
        }
        false
    }
}

/// Counts what may be lost: a node does not lose the same frame five times in a row.
fn losses(events: &[Event]) -> usize {
    events
        .iter()
        .filter(|event| {
            !matches!(
                event,
                Event::Write(..) | Event::Read(_) | Event::Deliver | Event::Restart | Event::Wait(_)
            )
        })
        .count()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_log_that_is_lost_now_and_then_is_complete_and_its_verdict_known(
        lines in 0..300u64,
        events in events(1).prop_filter("many losses", |events| losses(events) <= 4),
    ) {
        let mut world = World::new(lines);
        for event in &events {
            world.happens(event);
        }
        prop_assert!(world.ends());
        let fact = world.dialogue.settled();
        prop_assert_eq!(fact.missing, Vec::<String>::new());
        prop_assert_eq!(fact.state, LogState::Complete);
        let end = &world.runner.truth.end;
        prop_assert_eq!((fact.lines, fact.bytes, &fact.sha256), (end.lines, end.bytes, &end.sha256));
        let outcome = fact.exit.map(|(exit, _)| exit.outcome);
        let is_known = outcome == Some(Outcome::Exited { code: 7 });
        prop_assert!(is_known || world.verdict_is_stored());
    }

    #[test]
    fn what_does_not_come_is_named_and_nothing_else_is_missing(
        lines in 0..300u64,
        events in events(6),
        last in 0..60usize,
    ) {
        let mut world = World::new(lines);
        for event in &events {
            world.happens(event);
        }
        // The container ends, with all that it had to say, and its newest file is read once more.
        world.runner.credit.acked = world.runner.truth.last();
        while world.runner.next <= world.runner.truth.last() {
            world.runner.write(1000, false);
        }
        world.read_at_last(last);
        let fact = world.dialogue.settled();
        let gaps = world.dialogue.log.state().gaps;
        prop_assert_eq!((fact.lines, fact.sha256.clone()), world.runner.truth.without(&gaps));
        let whole = world.runner.truth.without(&[]) == (fact.lines, fact.sha256);
        prop_assert!(fact.end.is_some());
        prop_assert_eq!(fact.state == LogState::Complete, gaps.is_empty() && whole);
        prop_assert_eq!(fact.missing.is_empty(), gaps.is_empty());
    }
}

#[test]
fn another_operator_asks_a_runner_for_its_records_once() {
    let credit = Credit { acked: 20, generation: 2, from: 3 };
    let mut dialogue = Dialogue::resumed(of(), credit, None);
    let now = Instant::now();
    dialogue.begins(true, Some(Limits::default()));
    let beat = br#"30 c 9 {"beat":{"made":30,"generation":2,"acked":20}}"#;
    dialogue.take(&Frame::with_lengths(beat), Timestamp::UNIX_EPOCH, now);
    let Some(Deed::Tell(word, true)) = dialogue.due(now) else { panic!("it says nothing") };
    assert_eq!(word.credit, Credit { acked: 20, generation: 3, from: 21 });
    assert!(dialogue.due(now).is_none());
    // What the one before had is not known any more.
    assert_eq!(dialogue.fact().missing, ["frames 1 to 20 (after line 0)"]);
}

#[test]
fn a_forged_state_hides_no_verdict_and_proves_nothing() {
    let mut truth = Truth::new(10);
    let forged = State { next: 1 << 60, transcript: Transcript::default(), gaps: vec![] }.to_text();
    let credit = Credit { acked: (1 << 60) - 1, generation: u32::MAX, from: 0 };
    let mut dialogue = Dialogue::resumed(of(), credit, Some(&forged));
    dialogue.begins(false, Some(Limits::default()));
    for line in &mut truth.frames {
        line.pop();
        dialogue.take(line, Timestamp::UNIX_EPOCH, Instant::now());
    }
    let fact = dialogue.settled();
    assert!(fact.exit.is_some_and(|(exit, _)| exit.outcome == Outcome::Exited { code: 7 }));
    assert_eq!(fact.start.unwrap().proof.as_deref(), Some("proof"));
    assert_eq!(fact.state, LogState::Incomplete);
    assert!(fact.tail.contains("line 9"), "{}", fact.tail);
}
