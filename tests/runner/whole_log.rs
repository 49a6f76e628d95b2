//! Logs that are longer than a node keeps. Here the test is the node, which keeps only the newest file, and the
//! operator, which reads late, not at all, or wrongly.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader},
    mem,
    os::unix::fs::symlink,
    process::ChildStdout,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use longshore::record::{
    credit::{Beat, Control, Credit, Limits},
    frame::{Ending, Frame, Kind, MAX_LINE_BYTES},
    outcome::{End, Exit, FrameRange, Outcome, Record, Signed},
    packed::unpack,
    place,
    transcript::Transcript,
};
use nix::sys::signal::Signal;

use super::sandbox::{As, Running, Sandbox, wait_for};

const MIB: u64 = 1024 * 1024;
/// How often the node looks whether its file is too long.
const LOOK: Duration = Duration::from_millis(500);

/// A script that writes lines of `bytes` bytes.
fn writes(lines: u64, bytes: usize) -> String {
    format!("yes {} | head -n {lines}\n", "y".repeat(bytes - 1))
}

fn limits(rotation_bytes: u64, spool_bytes: u64) -> Limits {
    Limits { rotation_bytes, spool_bytes, ..Limits::default() }
}

/// A sandbox whose operator knows credit.
fn sandbox(script: &str, limits: Limits) -> Sandbox {
    // A busy machine needs its time.
    let sandbox = Sandbox::script(script).limits(600, 20);
    let folder = sandbox.at(place::LOG_DIR);
    let version = folder.join("..0");
    fs::create_dir_all(&version).unwrap();
    fs::write(version.join(place::LOG_LIMITS_FILE), serde_json::to_string(&limits).unwrap()).unwrap();
    fs::write(version.join(place::LOG_CREDIT_FILE), "").unwrap();
    symlink("..0", folder.join("..data")).unwrap();
    for name in [place::LOG_LIMITS_FILE, place::LOG_CREDIT_FILE] {
        symlink(format!("..data/{name}"), folder.join(name)).unwrap();
    }
    sandbox
}

/// Shows the runner an answer, as the kubelet does.
fn show(sandbox: &Sandbox, number: u32, text: &str) {
    let folder = sandbox.at(place::LOG_DIR);
    let version = folder.join(format!("..{number}"));
    fs::create_dir_all(&version).unwrap();
    fs::copy(folder.join(place::LOG_LIMITS_FILE), version.join(place::LOG_LIMITS_FILE)).unwrap();
    fs::write(version.join(place::LOG_CREDIT_FILE), text).unwrap();
    let before = fs::read_link(folder.join("..data")).unwrap();
    symlink(version.file_name().unwrap(), folder.join("..next")).unwrap();
    fs::rename(folder.join("..next"), folder.join("..data")).unwrap();
    fs::remove_dir_all(folder.join(before)).unwrap();
}

/// The node's newest file, and what it has seen.
#[derive(Default)]
struct Filed {
    newest: Vec<u8>,
    files: u64,
    /// Every frame that was written at least once.
    seen: BTreeSet<u64>,
    /// When the first exit record came, and when the end record.
    exit: Option<Instant>,
    end: Option<Instant>,
    closed: bool,
}

/// Reads standard output as fast as it comes, and rotates.
fn node(stdout: ChildStdout, rotation_bytes: u64, pause: Duration) -> Arc<Mutex<Filed>> {
    let filed = Arc::new(Mutex::new(Filed::default()));
    let node = Arc::clone(&filed);
    thread::spawn(move || {
        let mut reader = BufReader::new(stdout);
        let (mut line, mut looked) = (vec![], Instant::now());
        while reader.read_until(b'\n', &mut line).is_ok_and(|len| len > 0) {
            assert!(line.len() <= MAX_LINE_BYTES && line.ends_with(b"\n"));
            let mut filed = node.lock().unwrap();
            for frame in each(&line[..line.len() - 1]) {
                match frame.kind {
                    Kind::Control => continue,
                    Kind::Exit => filed.exit = filed.exit.or_else(|| Some(Instant::now())),
                    Kind::End => filed.end = Some(Instant::now()),
                    _ => {}
                }
                filed.seen.insert(frame.sequence);
            }
            // A kubelet looks every ten seconds.
            if looked.elapsed() > LOOK {
                looked = Instant::now();
                if filed.newest.len() as u64 > rotation_bytes {
                    filed.newest.clear();
                    filed.files += 1;
                }
            }
            filed.newest.append(&mut line);
            drop(filed);
            if !pause.is_zero() {
                thread::sleep(pause);
            }
        }
        node.lock().unwrap().closed = true;
    });
    filed
}

/// The frames of one line.
fn each(line: &[u8]) -> Vec<Frame<'_>> {
    match unpack(line) {
        Some(frames) => frames,
        None => vec![Frame::decode(line).unwrap_or_else(|| panic!("{:?}", String::from_utf8_lossy(line)))],
    }
}

/// The log as the operator has put it together.
#[derive(Default)]
struct Read {
    /// It has all frames up to this one, or knows that they are lost.
    upto: u64,
    missing: Vec<FrameRange>,
    transcript: Transcript,
    records: Vec<u8>,
    exit: Option<Exit>,
    end: Option<End>,
    beats: Vec<Beat>,
    generation: u32,
    asked_at: Option<Instant>,
}

impl Read {
    fn take(&mut self, frame: &Frame<'_>) {
        if frame.kind == Kind::Control {
            let Control::Beat(beat) = serde_json::from_slice(&frame.text).unwrap();
            for lost in &beat.dropped {
                if (lost.first..=lost.last).contains(&(self.upto + 1)) {
                    self.missing.push(FrameRange { first: self.upto + 1, last: lost.last });
                    self.upto = lost.last;
                }
            }
            self.beats.push(beat);
            return;
        }
        if frame.sequence != self.upto + 1 {
            return;
        }
        self.upto += 1;
        if frame.kind.is_log() {
            self.transcript.push(&frame.text, frame.ending);
            return;
        }
        self.records.extend_from_slice(&frame.text);
        if frame.ending == Ending::Line {
            let signed: Signed = serde_json::from_slice(&mem::take(&mut self.records)).unwrap();
            match signed.record {
                Record::Start(_) => {}
                Record::Exit(exit) => self.exit = Some(exit),
                Record::End(end) => self.end = Some(end),
            }
        }
    }

    /// Reads what the node has behind `at`, and says where it is then.
    fn read(&mut self, filed: &Mutex<Filed>, at: (u64, usize)) -> (u64, usize) {
        let (text, next) = {
            let filed = filed.lock().unwrap();
            // Older files cannot be read.
            let from = if filed.files == at.0 { at.1 } else { 0 };
            (filed.newest[from..].to_vec(), (filed.files, filed.newest.len()))
        };
        let mut behind = 0;
        for line in text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            for frame in each(line) {
                behind = behind.max(frame.sequence);
                self.take(&frame);
            }
        }
        // It asks again for what it lacks.
        let lately = self.asked_at.is_some_and(|at| at.elapsed() < Duration::from_millis(2500));
        if behind > self.upto && !lately {
            self.generation += 1;
            self.asked_at = Some(Instant::now());
        }
        next
    }

    fn credit(&self) -> Credit {
        Credit { acked: self.upto, generation: self.generation, from: self.upto + 1 }
    }

    fn assert_complete(&self) {
        let end = self.end.as_ref().expect("an end record");
        assert_eq!(end.dropped, []);
        assert_eq!(
            (end.lines, end.bytes, &end.sha256),
            (self.transcript.lines(), self.transcript.bytes(), &self.transcript.sha256())
        );
    }
}

/// Reads and answers until the runner is gone. The operator is away at these times, in seconds.
fn operator(sandbox: &Sandbox, filed: &Mutex<Filed>, away: &[(f64, f64)]) -> Read {
    let (mut read, mut at, mut shown) = (Read::default(), (0, 0), Credit::default());
    let begun = Instant::now();
    for number in 1.. {
        let closed = filed.lock().unwrap().closed;
        let time = begun.elapsed().as_secs_f64();
        if closed || !away.iter().any(|(from, to)| (*from..*to).contains(&time)) {
            at = read.read(filed, at);
        }
        if closed {
            break;
        }
        if read.credit() != shown && !read.beats.is_empty() {
            shown = read.credit();
            show(sandbox, number, &shown.to_text());
        }
        thread::sleep(Duration::from_millis(20));
    }
    read
}

fn started(sandbox: &Sandbox, rotation_bytes: u64, pause: Duration) -> (Running, Arc<Mutex<Filed>>) {
    let mut running = sandbox.start(As::Process);
    let filed = node(running.child.stdout.take().unwrap(), rotation_bytes, pause);
    (running, filed)
}

#[test]
fn a_log_is_complete_though_the_node_keeps_little_of_it_and_its_reader_is_away() {
    let (limits, lines) = (limits(MIB, 256 * MIB), 100_000);
    // The lines of the middle come while nobody reads.
    let script = format!(
        "{}sleep 1.5\n{}sleep 1.5\n{}",
        writes(20_000, 1000),
        writes(60_000, 1000),
        writes(20_000, 1000)
    );
    let sandbox = sandbox(&script, limits);
    let (mut running, filed) = started(&sandbox, MIB, Duration::ZERO);
    let read = operator(&sandbox, &filed, &[(1.0, 4.0)]);
    assert_eq!(running.child.wait().unwrap().code(), Some(0));
    read.assert_complete();
    assert_eq!((read.transcript.lines(), read.missing.len()), (lines, 0));
    assert!(read.generation > 0 && filed.lock().unwrap().files > 2);
    assert_eq!(read.exit.unwrap().outcome, Outcome::Exited { code: 0 });
}

#[test]
fn a_script_does_not_wait_for_a_slow_reader() {
    let done = "touch done\n";
    let sandbox = sandbox(&format!("{}{done}", writes(20_000, 1000)), limits(10 * MIB, 256 * MIB));
    // A line each 5 ms.
    let (mut running, filed) = started(&sandbox, 10 * MIB, Duration::from_millis(5));
    wait_for(&sandbox.at(place::WORK_DIR).join("done"));
    wait_for(&sandbox.state("exit.json"));
    assert!(filed.lock().unwrap().seen.len() < 10_000);
    let read = operator(&sandbox, &filed, &[]);
    running.child.wait().unwrap();
    read.assert_complete();
    // The verdict did not wait either.
    let filed = filed.lock().unwrap();
    assert!(filed.exit.unwrap() + Duration::from_secs(3) < filed.end.unwrap());
}

#[test]
fn without_an_operator_every_frame_was_written_or_is_named_and_the_end_can_be_read() {
    let sandbox = sandbox(&writes(60_000, 1000), limits(MIB, 8 * MIB));
    let begun = Instant::now();
    // It does not rotate while the end is written. A node looks so seldom that it hardly ever does.
    let (mut running, filed) = started(&sandbox, 64 * MIB, Duration::ZERO);
    assert_eq!(running.child.wait().unwrap().code(), Some(0));
    let took = begun.elapsed();
    assert!((30..120).contains(&took.as_secs()), "{took:?}");
    while !filed.lock().unwrap().closed {
        thread::sleep(Duration::from_millis(10));
    }
    let filed = filed.lock().unwrap();
    let mut last = Read { upto: 60_000, ..Read::default() };
    // Its newest file has the end, and much before it without a gap.
    let lines: Vec<&[u8]> =
        filed.newest.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).collect();
    let frames = lines.iter().flat_map(|line| each(line)).filter(|frame| frame.kind != Kind::Control);
    let numbers: Vec<u64> = frames
        .map(|frame| {
            last.upto = frame.sequence - 1;
            last.take(&frame);
            frame.sequence
        })
        .collect();
    let end = last.end.unwrap();
    let made = end.lines + 3;
    assert_eq!((end.lines, *numbers.last().unwrap()), (60_000, made));
    let tail: Vec<u64> = numbers
        .iter()
        .rev()
        .scan(made + 1, |next, number| {
            (*number + 1 == *next).then(|| {
                *next = *number;
                *number
            })
        })
        .collect();
    assert!(tail.len() > 600, "{}", tail.len());
    let named = |frame: &u64| end.dropped.iter().any(|range| (range.first..=range.last).contains(frame));
    for frame in 1..=made {
        assert!(filed.seen.contains(&frame) || named(&frame), "{frame}");
    }
    assert!(end.dropped.len() <= 2, "{:?}", end.dropped);
    // The verdict came at once.
    assert!(filed.exit.unwrap() < filed.end.unwrap().checked_sub(Duration::from_secs(25)).unwrap());
}

#[test]
fn a_runner_that_is_stopped_while_nobody_answers_is_soon_done() {
    // A process that holds the pipe lets the runner wait between the script's end and the log's.
    for stays in ["", "setsid sleep 20 &\n"] {
        let sandbox = sandbox(&format!("{stays}{}", writes(3000, 1000)), limits(MIB, 256 * MIB));
        let (mut running, filed) = started(&sandbox, MIB, Duration::ZERO);
        wait_for(&sandbox.state("exit.json"));
        let begun = Instant::now();
        running.signal(Signal::SIGTERM);
        assert_eq!(running.child.wait().unwrap().code(), Some(0));
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(10), "{stays}{took:?}");
        assert!(filed.lock().unwrap().end.is_some());
        let message = fs::read_to_string(sandbox.at(place::TERMINATION_LOG)).unwrap();
        assert!(message.contains(r#""exited":{"code":0}"#));
    }
}

#[test]
fn a_short_log_has_no_beats_and_no_files_and_asks_for_no_answer() {
    let script = format!("{}touch here; while [ ! -e go ]; do sleep 0.05; done", writes(200, 1000));
    let sandbox = sandbox(&script, limits(MIB, 256 * MIB));
    let running = sandbox.start(As::Process);
    wait_for(&sandbox.at(place::WORK_DIR).join("here"));
    let files = fs::read_dir(format!("/proc/{}/fd", running.child.id())).map(|entries| {
        let links = entries.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
        links
            .filter(|link| link.starts_with(&sandbox.root) && link.to_string_lossy().ends_with("(deleted)"))
            .count()
    });
    // Only root may look.
    assert_eq!(files.unwrap_or(0), 0);
    fs::write(sandbox.at(place::WORK_DIR).join("go"), "").unwrap();
    let told = running.wait();
    told.assert_exited(0);
    assert!(told.kinds.iter().all(|(kind, _)| *kind != Kind::Control));
}

#[test]
fn a_script_has_no_way_to_the_spool() {
    let script = format!(
        "{}sleep 0.3; find /proc/self/fd/ -lname '*deleted*'; head -c 1 /proc/1/fd/* 2>/dev/null; \
         ls ${{LONGSHORE_OUTPUT%/*}} >&2",
        writes(2000, 1000)
    );
    let sandbox = sandbox(&script, limits(10 * MIB, 256 * MIB)).separate();
    let told = sandbox.run_as(As::UnprivilegedPid1);
    told.assert_exited(0);
    assert_eq!(told.stdout.len(), 2_000_000);
    assert_eq!(String::from_utf8_lossy(&told.stderr), "claim\nmask\noutput\nstop-reason.new\n");
}

#[test]
fn a_spool_that_cannot_be_written_holds_up_only_the_script() {
    // The kernel refuses each write to a file, and the reader is slow. As with a full disk, nothing else fails.
    let limit = "prlimit --pid $PPID --fsize=0:0\n";
    let sandbox = sandbox(&format!("{limit}{}touch done", writes(5000, 1000)), limits(10 * MIB, 256 * MIB));
    let (mut running, filed) = started(&sandbox, 10 * MIB, Duration::from_millis(1));
    thread::sleep(Duration::from_millis(1500));
    assert!(!sandbox.at(place::WORK_DIR).join("done").exists());
    let read = operator(&sandbox, &filed, &[]);
    assert_eq!(running.child.wait().unwrap().code(), Some(0));
    read.assert_complete();
    assert_eq!(read.transcript.lines(), 5000);
}

#[test]
fn on_a_disk_that_fills_up_nothing_fails_and_what_is_missing_is_named() {
    let sandbox = sandbox(&writes(40_000, 1000), limits(MIB, 256 * MIB));
    let mut running = sandbox.start(As::OnSmallDisk);
    let filed = node(running.child.stdout.take().unwrap(), MIB, Duration::ZERO);
    // Away, so that 16 MiB come to stand without an answer and the disk has 4.
    let read = operator(&sandbox, &filed, &[(0.2, 2.0)]);
    assert_eq!(running.child.wait().unwrap().code(), Some(0));
    let end = read.end.expect("an end record");
    assert_eq!(end.lines, 40_000);
    let missing: u64 = read.missing.iter().map(|range| range.last - range.first + 1).sum();
    // The exit record comes before lines that a busy runner reads late, and may be lost with them.
    let lines = missing - u64::from(read.exit.is_none());
    assert!(lines > 0);
    assert_eq!(read.transcript.lines() + lines, 40_000, "{:?}", read.missing);
}

#[test]
fn whatever_somebody_writes_as_an_answer_the_run_ends_as_it_should() {
    let sandbox = sandbox(&format!("{}exit 3", writes(40_000, 1000)), limits(MIB, 256 * MIB));
    let (mut running, filed) = started(&sandbox, MIB, Duration::ZERO);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let long = "9".repeat(5000);
            let forged = [
                r#"{"acked":18446744073709551615,"generation":7,"from":18446744073709551615}"#,
                r#"{"acked":1,"generation":9,"from":0}"#,
                r#"{"acked":0,"generation":3,"from":1}"#,
                "{",
                &long,
                r#"{"acked":18446744073709551615,"generation":4294967295,"from":1}"#,
            ];
            for (number, text) in (1..).zip(forged.iter().cycle()) {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                show(&sandbox, number, text);
                thread::sleep(Duration::from_millis(30));
            }
        });
        let code = running.child.wait().unwrap().code();
        stop.store(true, Ordering::Relaxed);
        assert_eq!(code, Some(3));
    });
    assert!(filed.lock().unwrap().end.is_some());
}
