//! The archive alone, in a folder on this machine, without a cluster. It measures how fast a log is stored, with how
//! much memory, how soon its end is read, and how long it takes to list many logs.
//!
//! Each case is a process of its own, with the operator's allocator. Memory is the peak of what is resident, less
//! what was resident before.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_precision_loss,
    reason = "there is nobody to hand an error to, and the figures are small"
)]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use futures::TryStreamExt;
use jiff::Timestamp;
use longshore::{
    archive::{
        Archive, Begin, Entry, LogKey, Query, Retention, Settings, Writer, excess,
        run_record::{ActionRecord, PodRecord, RunNumber, RunRecord},
    },
    record::{
        frame::{Ending, Frame, Kind},
        sha256_hex,
    },
};
use procfs::process::Process;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const MIB: u64 = 1024 * 1024;
const CASE: &str = "LONGSHORE_BENCH_ARCHIVE_CASE";
/// Its name, and what it does in an empty folder.
type Case = (&'static str, fn(&Path));
const CASES: [Case; 5] = [
    ("store 100 MiB, lines of 100 bytes", |folder| store(folder, 100, 100 * MIB, false)),
    ("store 100 MiB, lines of 1000 bytes", |folder| store(folder, 1000, 100 * MIB, false)),
    ("store 100 MiB that does not compress", |folder| store(folder, 1000, 100 * MIB, true)),
    ("read from 1 GiB", read),
    ("list 10,000 logs", list),
];

fn main() {
    if let Ok(case) = env::var(CASE) {
        let folder = Folder::new();
        let (_, run) = CASES.iter().find(|(name, _)| *name == case).expect("a case");
        run(&folder.0);
        return;
    }
    if cfg!(debug_assertions) {
        println!("not optimised: these figures say nothing");
    }
    println!("| | | wanted |\n|---|---|---|");
    for (case, _) in CASES {
        let status = Command::new(env::current_exe().unwrap()).env(CASE, case).status().unwrap();
        assert!(status.success(), "{case}");
    }
}

/// In the target folder, so on a disk, and gone in the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("bench-archive-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn archive(folder: &Path) -> Archive {
    let url = format!("file://{}", folder.display());
    Archive::connect(&Settings { url, ..Settings::default() }).unwrap()
}

fn key(action: u32) -> LogKey {
    LogKey::new("orders", &format!("5f3c9a1b-0000-4000-8000-{action:012}"), 1, 1, "pod").unwrap()
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    // As the operator's.
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(work)
}

/// Peak and present, in bytes.
fn resident() -> (u64, u64) {
    let status = Process::myself().unwrap().status().unwrap();
    (status.vmhwm.unwrap() * 1024, status.vmrss.unwrap() * 1024)
}

/// A line as a deployment tool writes it, or one that looks random.
fn line(number: u64, length: usize, random: bool) -> Vec<u8> {
    let mut text = if random {
        String::new()
    } else {
        format!(
            "2026-11-30T10:42:{:02}Z INFO applied {} of the migrations, took {} ms, ",
            number % 60,
            number,
            number * 7 % 1000
        )
    };
    if random {
        while text.len() < length {
            text.push_str(&sha256_hex(format!("{number}.{}", text.len()).as_bytes()));
        }
    } else {
        let filler = "resource orders/api configured, waiting for the rollout of its replicas; ";
        while text.len() < length {
            text.push_str(filler);
        }
    }
    text.truncate(length - 1);
    text.into_bytes()
}

/// Appends this many bytes, and returns the time that the archive took. Making the lines does not count.
async fn write(writer: &mut Writer, length: usize, bytes: u64, random: bool) -> Duration {
    const BATCH: u64 = 1000;
    let lines = bytes / length as u64;
    let mut took = Duration::ZERO;
    let mut sequence = 1;
    while sequence <= lines {
        let batch: Vec<Vec<u8>> =
            (sequence..sequence + BATCH).map(|number| line(number, length, random)).collect();
        let begun = Instant::now();
        for text in &batch {
            let frame = Frame {
                sequence,
                kind: Kind::Stdout,
                millis: sequence,
                ending: Ending::Line,
                text: text.into(),
            };
            writer.append(&frame).await.unwrap();
            sequence += 1;
        }
        took += begun.elapsed();
    }
    let begun = Instant::now();
    let record = RunRecord::new(ActionRecord::default(), RunNumber::default(), PodRecord::default());
    writer.finish(&record).await.unwrap();
    took + begun.elapsed()
}

fn size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries
        .map(
            |entry| if entry.path().is_dir() { size(&entry.path()) } else { entry.metadata().unwrap().len() },
        )
        .sum()
}

fn store(folder: &Path, length: usize, bytes: u64, random: bool) {
    let case = env::var(CASE).unwrap_or_default();
    let (took, before) = block_on(async {
        let archive = archive(folder);
        let mut writer = archive.open(key(0)).await.unwrap();
        // Threads and the bench's own lines are made once. They do not count.
        write(&mut archive.open(key(1)).await.unwrap(), length, MIB / 4, random).await;
        let before = resident().1;
        (write(&mut writer, length, bytes, random).await, before)
    });
    println!("| {case}: MB/s | {:.0} | at least 50 |", bytes as f64 / 1e6 / took.as_secs_f64());
    let peak = resident().0.saturating_sub(before);
    println!("| {case}: memory, MiB | {:.1} | at most 16 |", peak as f64 / MIB as f64);
    println!("| {case}: stored, MiB | {:.1} | |", size(folder) as f64 / MIB as f64);
}

fn read(folder: &Path) {
    block_on(async {
        let archive = archive(folder);
        write(&mut archive.open(key(0)).await.unwrap(), 100, 1024 * MIB, false).await;
        let before = resident().1;
        for (what, query, wanted) in [
            (
                "the last 100 lines of 1 GiB: ms",
                Query { from: Begin::Last(100), ..Query::default() },
                "at most 300",
            ),
            (
                "100 lines in the middle, by number: ms",
                Query { from: Begin::Line(5_000_000), lines: Some(100), follow: false },
                "",
            ),
            (
                "100 lines in the middle, by time: ms",
                Query { from: Begin::Millis(5_000_000), lines: Some(100), follow: false },
                "",
            ),
        ] {
            let mut times = Vec::new();
            for _ in 0..11 {
                let begun = Instant::now();
                let lines: Vec<Entry> = archive.read(&key(0), query).try_collect().await.unwrap();
                assert_eq!(lines.len(), 100);
                times.push(begun.elapsed());
            }
            // The first one too: nothing of the archive is in its memory then.
            let first = times[0];
            times.sort_unstable();
            let millis = |time: Duration| time.as_secs_f64() * 1e3;
            println!("| {what} | {:.1} (first {:.1}) | {wanted} |", millis(times[5]), millis(first));
        }
        let begun = Instant::now();
        let mut entries = std::pin::pin!(archive.read(&key(0), Query::default()));
        let (mut out, mut bytes) = (Vec::new(), 0);
        while let Some(entry) = entries.try_next().await.unwrap() {
            let Entry::Text(part) = entry else { panic!("{entry:?}") };
            out.extend_from_slice(&part.text);
            if part.ending == Ending::Line {
                out.push(b'\n');
            }
            bytes += out.len();
            out.clear();
        }
        println!(
            "| all of it, as text: MB/s | {:.0} | |",
            bytes as f64 / 1e6 / begun.elapsed().as_secs_f64()
        );
        let peak = resident().1.saturating_sub(before);
        println!("| reading it: memory, MiB | {:.1} | |", peak as f64 / MIB as f64);
    });
}

fn list(folder: &Path) {
    const LOGS: u32 = 10_000;
    for action in 0..LOGS {
        let log = folder.join(key(action).to_string());
        fs::create_dir_all(&log).unwrap();
        // A listing reads none of them.
        fs::write(log.join("000000000001-000000000000.zst"), "log").unwrap();
        fs::write(log.join("run.json"), "{}").unwrap();
    }
    block_on(async {
        let archive = archive(folder);
        let before = resident().1;
        let begun = Instant::now();
        let stored = archive.stored().await.unwrap();
        let retention = Retention { bytes: Some(10_000), runs: Some(3), ..Retention::default() };
        let excess = excess(&stored, &retention, Timestamp::now(), |_| false);
        let took = begun.elapsed();
        assert_eq!(stored.len(), usize::try_from(LOGS).unwrap());
        println!(
            "| 10,000 logs listed, and what exceeds decided ({}): s | {:.2} | at most 5 |",
            excess.len(),
            took.as_secs_f64()
        );
        let peak = resident().0.saturating_sub(before);
        println!("| listing them: memory, MiB | {:.1} | |", peak as f64 / MIB as f64);
    });
}
