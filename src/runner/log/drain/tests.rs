use std::{
    env, fs,
    io::{self, PipeReader, Read},
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
};

use super::*;
use crate::record::{
    credit::{Credit, Limits, OUTSTANDING_BYTES},
    packed::unpack,
};

const LIMITS: Limits = Limits {
    rotation_bytes: 1024 * 1024,
    spool_bytes: 64 * 1024 * 1024,
    outstanding_bytes: OUTSTANDING_BYTES,
    acknowledged_per_second: None,
};
const LINE: usize = 1000;
/// A second less than [`PATIENCE`].
const ALMOST: Duration = Duration::from_secs(29);

/// A drain, its reader, and the clock.
struct Test {
    drain: Drain,
    reader: PipeReader,
    folder: PathBuf,
    made: u64,
    sent_in: Vec<u8>,
    now: Instant,
    read: Vec<u8>,
    reached: Reached,
}

impl Drop for Test {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Test {
    fn new(limits: Option<Limits>) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = env::temp_dir().join(format!("drain-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (reader, writer) = io::pipe().unwrap();
        let terms = Terms { limits, credit: folder.join("credit"), folder: folder.clone() };
        let now = Instant::now();
        let drain = Drain::new(terms, Sink::new(Some(writer.into())), now);
        Self { drain, reader, folder, made: 0, sent_in: vec![], now, read: vec![], reached: Reached::Nothing }
    }

    fn frame(&mut self, kind: Kind, text: &[u8]) -> Vec<u8> {
        self.made += 1;
        let mut line = vec![];
        Frame { sequence: self.made, kind, millis: 0, ending: Ending::Line, text: text.into() }
            .encode(&mut line);
        self.sent_in.extend_from_slice(&line);
        line
    }

    /// Lines of the script's, which takes its time.
    fn say(&mut self, lines: u64) {
        self.flood(lines);
        self.drain.flood = Flood::new(self.now);
    }

    /// Lines of the script's, all at once.
    fn flood(&mut self, lines: u64) {
        for _ in 0..lines {
            let bytes = self.frame(Kind::Both, &[b'x'; LINE]);
            let mut batch = Batch { frames: 1, bytes, ..Batch::default() };
            self.drain.take(&mut batch, None, self.now);
        }
    }

    fn exit(&mut self) {
        let bytes = self.frame(Kind::Exit, b"{}");
        let ahead = Some(Ahead { sequence: self.made, frames: 1, bytes: bytes.clone() });
        let records = bytes.clone();
        self.drain.take(&mut Batch { frames: 1, bytes, ahead, records }, None, self.now);
    }

    fn grant(&self, text: &str) {
        fs::write(self.folder.join("credit"), text).unwrap();
    }

    fn acknowledge(&self, acked: u64) {
        self.grant(&Credit { acked, ..Credit::default() }.to_text());
    }

    /// One turn, without anybody who reads.
    fn stuck(&mut self, phase: Phase, later: Duration) {
        self.now += later;
        self.reached = self.drain.turn(phase, None, self.now);
    }

    /// Turns and reads until nothing more comes, `later`.
    fn turn(&mut self, phase: Phase, hurried: Option<Instant>, later: Duration) -> Vec<Vec<u8>> {
        self.now += later;
        let from = self.read.len();
        loop {
            self.reached = self.drain.turn(phase, hurried, self.now);
            let mut some = [0; 8192];
            if !crate::runner::ready::wait(
                &[std::os::fd::AsFd::as_fd(&self.reader)],
                None,
                Some(Instant::now()),
            )[0]
            {
                break;
            }
            let len = self.reader.read(&mut some).unwrap();
            self.read.extend_from_slice(&some[..len]);
        }
        let lines = self.read[from..].split_inclusive(|&byte| byte == b'\n').map(<[u8]>::to_vec);
        lines.collect()
    }

    fn run(&mut self) -> Vec<Vec<u8>> {
        self.turn(Phase::Running, None, POLL)
    }
}

fn decoded(line: &[u8]) -> Frame<'_> {
    Frame::decode(line.strip_suffix(b"\n").unwrap()).unwrap()
}

/// The beats among these lines, with their numbers.
fn beats(lines: &[Vec<u8>]) -> Vec<(u64, Beat)> {
    let control = |line: &Vec<u8>| {
        let frame = decoded(line);
        let Control::Beat(beat) = serde_json::from_slice(&frame.text).ok()?;
        Some((frame.sequence, beat))
    };
    lines.iter().filter_map(control).collect()
}

/// The numbers of the frames among these lines, without beats.
fn frames(lines: &[Vec<u8>]) -> Vec<u64> {
    let kept = lines.iter().map(|line| decoded(line)).filter(|frame| frame.kind != Kind::Control);
    kept.map(|frame| frame.sequence).collect()
}

fn per_line(limit: u64) -> u64 {
    limit / (LINE as u64 + 20)
}

#[test]
fn a_log_in_the_free_zone_is_written_as_it_was_made() {
    for limits in [None, Some(LIMITS)] {
        let mut test = Test::new(limits);
        // It is not read in the zone.
        test.grant(r#"{"acked":0,"generation":1,"from":1}"#);
        for _ in 0..7 {
            test.say(100);
            test.run();
        }
        test.exit();
        test.run();
        test.say(1);
        test.turn(Phase::Ending, None, BEAT * 9);
        assert!(test.read == test.sent_in);
        assert_eq!(test.reached, Reached::Ended(true));
    }
}

#[test]
fn where_no_credit_is_known_none_is_waited_for_and_nothing_packed() {
    let mut test = Test::new(None);
    for _ in 0..400 {
        test.say(100);
        test.run();
    }
    assert!(test.read == test.sent_in);
    assert_eq!(test.turn(Phase::Ending, None, POLL).len(), 0);
    assert_eq!(test.reached, Reached::Ended(true));
}

#[test]
fn beyond_the_zone_it_says_how_far_it_is_until_the_operator_has_all() {
    let mut test = Test::new(Some(LIMITS));
    test.say(900);
    let lines = test.run();
    let told = beats(&lines);
    assert_eq!((told.len(), told[0].1.made, told[0].1.acked), (1, 900, 0));
    let before = lines.iter().position(|line| decoded(line).kind == Kind::Control).unwrap();
    assert_eq!(told[0].0, before as u64);
    assert!((700..900).contains(&before), "{before}");
    assert_eq!(frames(&lines), (1..=900).collect::<Vec<_>>());
    assert_eq!(test.run().len(), 0);
    assert_eq!(beats(&test.turn(Phase::Running, None, BEAT)).len(), 1);
    test.acknowledge(900);
    assert_eq!(test.turn(Phase::Running, None, BEAT).len(), 0);
    assert_eq!(test.turn(Phase::Running, None, BEAT).len(), 0);
    test.say(1);
    let lines = test.run();
    assert_eq!((beats(&lines).len(), frames(&lines)), (1, vec![901]));
}

#[test]
fn no_more_than_32_mib_stand_without_an_answer() {
    let mut test = Test::new(Some(LIMITS));
    let mut seen = vec![];
    for _ in 0..OUTSTANDING_BYTES / 100_000 {
        test.say(100);
        seen.extend(test.run());
    }
    let written = *frames(&seen).last().unwrap();
    let bytes = test.drain.spool.outstanding();
    let most = OUTSTANDING_BYTES - 2 * CHUNK_BYTES as u64..=OUTSTANDING_BYTES;
    assert!(most.contains(&bytes) && written < test.made - 100, "{bytes} {written} {}", test.made);
    assert!(frames(&test.run()).is_empty());
    test.acknowledge(written / 2);
    let lines = test.run();
    assert_eq!(frames(&lines), (written + 1..=test.made).collect::<Vec<_>>());
}

#[test]
fn what_is_asked_for_again_is_sent_again_once_in_two_seconds() {
    let mut test = Test::new(Some(LIMITS));
    test.say(900);
    test.run();
    test.grant(r#"{"acked":300,"generation":1,"from":301}"#);
    let lines = test.run();
    assert_eq!(frames(&lines), (301..=900).collect::<Vec<_>>());
    // The answer is announced.
    assert_eq!(decoded(&lines[0]).kind, Kind::Control);
    let (number, beat) = &beats(&lines)[0];
    assert_eq!((*number, beat.generation, beat.acked), (900, 1, 300));
    test.grant(r#"{"acked":400,"generation":2,"from":700}"#);
    assert!(frames(&test.run()).is_empty());
    let lines = test.turn(Phase::Running, None, AGAIN);
    assert_eq!(frames(&lines), (700..=900).collect::<Vec<_>>());
    // No request is answered twice.
    assert!(frames(&test.turn(Phase::Running, None, AGAIN)).is_empty());
}

#[test]
fn its_records_come_again_with_what_is_sent_again() {
    let mut test = Test::new(Some(LIMITS));
    let bytes = test.frame(Kind::Start, b"{}");
    let mut batch = Batch { frames: 1, records: bytes.clone(), bytes, ..Batch::default() };
    test.drain.take(&mut batch, None, test.now);
    test.say(1000);
    test.run();
    let all = test.drain.sent;
    test.grant(&Credit { acked: all - 10, generation: 1, from: all - 4 }.to_text());
    assert_eq!(frames(&test.run())[..3], [1, all - 4, all - 3]);
    test.exit();
    test.run();
    let all = test.drain.sent;
    test.grant(&Credit { acked: all - 10, generation: 2, from: all - 1 }.to_text());
    let lines = test.turn(Phase::Running, None, AGAIN);
    assert_eq!(frames(&lines), [1, all, all - 1, all]);
}

#[test]
fn a_forged_answer_loses_log_and_nothing_else() {
    for (forged, then) in [
        (r#"{"acked":18446744073709551615,"generation":4294967295,"from":18446744073709551615}"#, 0),
        (r#"{"acked":900,"generation":1,"from":0}"#, 0),
        (r#"{"acked":0,"generation":1,"from":0}"#, 900),
        (r#"{"acked":0,"generation":1,"from":5000}"#, 0),
        ("{", 0),
        ("", 0),
    ] {
        let mut test = Test::new(Some(LIMITS));
        test.say(900);
        test.run();
        test.grant(forged);
        assert_eq!(frames(&test.run()).len(), then, "{forged}");
        // Back.
        test.grant(r#"{"acked":1,"generation":0,"from":1}"#);
        test.say(10);
        let lines = test.turn(Phase::Running, None, AGAIN);
        assert_eq!(frames(&lines), (901..=910).collect::<Vec<_>>(), "{forged}");
        test.acknowledge(910);
        test.turn(Phase::Ending, None, POLL);
        assert_eq!(test.reached, Reached::Ended(true), "{forged}");
    }
}

#[test]
fn a_file_that_blocks_or_has_no_end_is_no_answer() {
    let mut test = Test::new(Some(LIMITS));
    test.say(900);
    test.run();
    std::os::unix::fs::symlink("/dev/zero", test.folder.join("credit")).unwrap();
    assert!(test.run().is_empty());
    fs::remove_file(test.folder.join("credit")).unwrap();
    nix::unistd::mkfifo(&test.folder.join("credit"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(test.run().is_empty());
}

#[test]
fn far_behind_short_lines_share_one_and_records_have_their_own() {
    let mut test = Test::new(Some(LIMITS));
    test.say(3000);
    test.exit();
    let lines = test.run();
    let mut back = vec![];
    let (mut packed, mut control) = (0, 0);
    for line in &lines {
        assert!(line.len() <= MAX_LINE_BYTES);
        match unpack(&line[..line.len() - 1]) {
            Some(frames) => {
                packed += 1;
                for frame in frames {
                    assert!(frame.kind.is_log());
                    frame.encode(&mut back);
                }
            }
            None if matches!(decoded(line).kind, Kind::Control | Kind::Exit) && control < 2 => {
                control += 1;
            }
            None => back.extend_from_slice(line),
        }
    }
    assert!(packed > 100, "{packed}");
    // The exit record ahead, and the beat.
    assert_eq!(control, 2);
    assert!(back == test.sent_in);
}

#[test]
fn the_exit_record_goes_ahead_of_a_backlog_and_comes_again_in_its_place() {
    let mut test = Test::new(Some(LIMITS));
    test.say(600);
    test.stuck(Phase::Running, POLL);
    test.exit();
    let frames = frames(&test.run());
    assert_eq!(frames.iter().filter(|number| **number == 601).count(), 2);
    let ahead = frames.iter().position(|number| *number == 601).unwrap();
    assert!(ahead < 200, "{ahead}");
    let rest = frames.iter().enumerate().filter(|(at, _)| *at != ahead).map(|(_, number)| *number);
    assert_eq!(rest.collect::<Vec<_>>(), (1..=601).collect::<Vec<_>>());
}

#[test]
fn at_the_end_the_operator_has_30_seconds_from_its_latest_answer() {
    let mut test = Test::new(Some(LIMITS));
    test.say(900);
    test.run();
    test.turn(Phase::Draining, None, POLL);
    assert_eq!(test.reached, Reached::Drained(vec![]));
    test.say(1);
    test.turn(Phase::Ending, None, ALMOST);
    assert_eq!(test.reached, Reached::Nothing);
    test.acknowledge(500);
    test.turn(Phase::Ending, None, ALMOST);
    assert_eq!(test.reached, Reached::Nothing);
    test.grant(r#"{"acked":500,"generation":1,"from":501}"#);
    let lines = test.turn(Phase::Ending, None, AGAIN);
    assert_eq!(frames(&lines), (501..=901).collect::<Vec<_>>());
    test.turn(Phase::Ending, None, PATIENCE);
    test.turn(Phase::Ending, None, POLL);
    assert_eq!(test.reached, Reached::Ended(true));
}

#[test]
fn if_nobody_answers_the_newest_lines_are_written_and_the_rest_is_named() {
    let mut test = Test::new(Some(LIMITS));
    for _ in 0..400 {
        test.say(100);
        test.run();
    }
    test.exit();
    let before = *frames(&test.turn(Phase::Draining, None, POLL)).first().unwrap();
    assert_eq!(before, test.made, "the exit record goes ahead");
    let (held, mut lines) = (test.drain.sent, vec![]);
    for later in [PATIENCE, POLL] {
        lines.extend(test.turn(Phase::Draining, None, later));
    }
    let Reached::Drained(lost) = test.reached.clone() else { panic!("{:?}", test.reached) };
    let tail = frames(&lines);
    assert_eq!(lost, [FrameRange { first: held + 1, last: tail[0] - 1 }]);
    assert_eq!(tail, (tail[0]..=test.made).collect::<Vec<_>>());
    assert!((600..per_line(LIMITS.free_bytes())).contains(&(tail.len() as u64)), "{}", tail.len());
    test.say(1);
    assert_eq!(frames(&test.turn(Phase::Ending, None, POLL)), [test.made]);
    assert_eq!(test.reached, Reached::Ended(true));
}

#[test]
fn a_runner_that_is_asked_to_stop_is_done_in_8_seconds() {
    let mut test = Test::new(Some(LIMITS));
    for _ in 0..400 {
        test.say(100);
        test.run();
    }
    let hurried = Some(test.now);
    test.turn(Phase::Draining, hurried, HURRIED.0 / 2);
    assert_eq!(test.reached, Reached::Nothing);
    test.turn(Phase::Draining, hurried, HURRIED.0 / 2);
    test.turn(Phase::Draining, hurried, POLL);
    assert!(matches!(&test.reached, Reached::Drained(lost) if lost.len() == 1), "{:?}", test.reached);
    test.say(1);
    test.turn(Phase::Ending, hurried, POLL);
    assert_eq!(test.reached, Reached::Ended(true));
    // Nobody reads either.
    let mut test = Test::new(Some(LIMITS));
    test.say(400);
    let hurried = Some(test.now);
    test.drain.turn(Phase::Draining, hurried, test.now + HURRIED.1);
    test.now += HURRIED.1;
    test.stuck(Phase::Draining, POLL);
    assert_eq!(test.reached, Reached::Drained(vec![]));
    test.stuck(Phase::Ending, POLL);
    assert_eq!(test.reached, Reached::Ended(false));
}

#[test]
fn nothing_is_looked_at_without_end() {
    let mut test = Test::new(Some(LIMITS));
    test.say(900);
    test.run();
    // Nobody reads, and a beat is due.
    test.say(900);
    test.stuck(Phase::Running, BEAT);
    test.stuck(Phase::Running, BEAT);
    assert!(test.drain.sink.waiting() >= STAGED_BYTES);
    assert_eq!(test.drain.next(test.now), Some(test.now + POLL));
    // Nobody can read any more.
    let (reader, _writer) = io::pipe().unwrap();
    test.reader = reader;
    test.stuck(Phase::Running, BEAT);
    assert_eq!(test.drain.next(test.now), None);
    test.stuck(Phase::Draining, POLL);
    assert_eq!(test.reached, Reached::Drained(vec![]));
    test.stuck(Phase::Ending, POLL);
    assert_eq!(test.reached, Reached::Ended(false));
}

#[test]
fn a_reader_that_takes_nothing_for_30_seconds_is_given_up() {
    for limits in [None, Some(LIMITS)] {
        let mut test = Test::new(limits);
        test.say(200);
        test.stuck(Phase::Draining, POLL);
        test.stuck(Phase::Draining, ALMOST);
        assert_eq!(test.reached, Reached::Nothing);
        test.stuck(Phase::Draining, BEAT);
        test.stuck(Phase::Draining, POLL);
        assert_eq!(test.reached, Reached::Drained(vec![]));
        test.stuck(Phase::Ending, POLL);
        assert_eq!(test.reached, Reached::Ended(false));
    }
}

#[test]
fn a_log_gives_way_to_a_script_that_floods_while_there_is_room_in_the_spool() {
    let flooded = |limits, lines| {
        let mut test = Test::new(limits);
        test.flood(lines);
        test
    };
    let half = LIMITS.spool_bytes / 2;
    let mut test = flooded(Some(LIMITS), 8000);
    assert!(test.run().is_empty());
    // The script pauses.
    let due = test.drain.next(test.now).unwrap();
    assert!(due > test.now && due < test.now + Duration::from_millis(200));
    assert!(!test.turn(Phase::Running, None, Duration::from_millis(200)).is_empty());
    // It goes on until the spool is half full, or ends.
    let mut test = flooded(Some(LIMITS), per_line(half) + 2000);
    assert!(!test.run().is_empty());
    assert!(test.drain.spool.backlog() < half && test.drain.spool.backlog() > half / 2);
    let mut test = flooded(Some(LIMITS), 8000);
    assert!(!test.turn(Phase::Draining, None, POLL).is_empty());
    // Without a spool the script would wait as well.
    assert!(!flooded(None, 200).run().is_empty());
}
