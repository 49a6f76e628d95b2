//! The archive on a real S3 server, with faults in front of it, and on a disk that is full.

mod proxy;
mod server;

use std::{
    env, fs,
    net::TcpListener,
    process::Command,
    time::{Duration, Instant},
};

use futures::TryStreamExt;
use jiff::Timestamp;
use longshore::{
    archive::{
        Archive, ArchiveError, Begin, Entry, LogKey, Query, Reason, Retention, SetupError, Writer,
        run_record::{ActionRecord, PodRecord, RunNumber, RunRecord},
    },
    record::frame::{Ending, Frame, Kind},
};

use proxy::{Fault, Proxy};
use server::{Server, archive_at};

fn block_on<T>(work: impl Future<Output = T>) -> T {
    // The first test that comes here installs it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn key(run: u32) -> LogKey {
    LogKey::new("orders", "5f3c9a1b-0000-4000-8000-000000000001", run, 1, "pod-1").unwrap()
}

fn record() -> RunRecord {
    RunRecord::new(ActionRecord::default(), RunNumber::default(), PodRecord::default())
}

/// Lines that hardly compress, so that uploads are not over at once.
fn line(sequence: u64) -> Frame<'static> {
    let text: String =
        (0..4).map(|part| longshore::record::sha256_hex(format!("{sequence}.{part}").as_bytes())).collect();
    Frame {
        sequence,
        kind: Kind::Stdout,
        millis: sequence,
        ending: Ending::Line,
        text: text.into_bytes().into(),
    }
}

async fn append(writer: &mut Writer, sequences: std::ops::RangeInclusive<u64>) {
    for sequence in sequences {
        writer.append(&line(sequence)).await.unwrap();
    }
}

async fn numbers(archive: &Archive, key: &LogKey, query: Query) -> Vec<u64> {
    let entries: Vec<Entry> = archive.read(key, query).try_collect().await.unwrap();
    let number = |entry: &Entry| match entry {
        Entry::Text(text) => {
            assert_eq!(text.text, *line(text.sequence).text);
            text.sequence
        }
        Entry::Missing { .. } => panic!("{entry:?}"),
    };
    entries.iter().map(number).collect()
}

#[test]
fn a_log_is_stored_read_and_removed_on_s3() {
    let server = Server::start();
    block_on(async {
        let archive = server.archive();
        archive.check(true).await.unwrap();
        let mut writer = archive.open(key(1)).await.unwrap();
        append(&mut writer, 1..=3000).await;
        assert_eq!(writer.flush().await, Ok(3001));
        append(&mut writer, 3001..=3100).await;
        // The operator crashes, and the next one reads the pod's log from its beginning.
        let mut writer = archive.open(key(1)).await.unwrap();
        assert_eq!(writer.next(), 3001);
        append(&mut writer, 1..=4000).await;
        writer.finish(&record()).await.unwrap();

        assert_eq!(numbers(&archive, &key(1), Query::default()).await, (1..=4000).collect::<Vec<_>>());
        let last = Query { from: Begin::Last(2), ..Query::default() };
        assert_eq!(numbers(&archive, &key(1), last).await, [3999, 4000]);
        let since = Query { from: Begin::Millis(2000), lines: Some(2), follow: false };
        assert_eq!(numbers(&archive, &key(1), since).await, [2000, 2001]);
        assert_eq!(archive.logs_of("orders", key(1).action_uid()).await.unwrap(), [key(1)]);
        assert_eq!(archive.summary(&key(1)).await.unwrap().record, Some(record()));
        assert!(matches!(archive.summary(&key(2)).await, Err(ArchiveError::NotFound(_))));

        archive.open(key(2)).await.unwrap().finish(&record()).await.unwrap();
        let retention = Retention { runs: Some(1), ..Retention::default() };
        let swept = archive.sweep(&retention, Timestamp::now(), |_| false).await.unwrap();
        assert_eq!((swept.removed, swept.kept, swept.failed), (1, 1, 0));
        assert!(matches!(archive.summary(&key(1)).await, Err(ArchiveError::NotFound(_))));
        assert!(archive.summary(&key(2)).await.is_ok());
    });
}

#[test]
fn of_two_writers_on_s3_the_second_takes_over_what_the_first_stored() {
    let server = Server::start();
    block_on(async {
        let archive = server.archive();
        let mut one = archive.open(key(1)).await.unwrap();
        let mut two = archive.open(key(1)).await.unwrap();
        append(&mut one, 1..=100).await;
        append(&mut two, 1..=300).await;
        assert_eq!(one.flush().await, Ok(101));
        assert_eq!(two.flush().await, Ok(301));
        append(&mut one, 101..=200).await;
        assert_eq!(one.flush().await, Ok(301));
        assert_eq!(numbers(&archive, &key(1), Query::default()).await, (1..=300).collect::<Vec<_>>());
    });
}

#[test]
fn faults_that_pass_leave_no_trace_in_a_log() {
    let server = Server::start();
    let proxy = Proxy::before(server.address);
    block_on(async {
        let archive = archive_at(proxy.address);
        let mut writer = archive.open(key(1)).await.unwrap();
        let mut at = 0;
        for faults in [
            &[Fault::Status(500, "InternalError"), Fault::Status(503, "SlowDown")][..],
            &[Fault::ResetInUpload],
            &[Fault::LoseAnswer],
            &[Fault::Slow(Duration::from_secs(2))],
            &[Fault::LoseAnswer, Fault::ResetInUpload, Fault::Status(500, "InternalError")],
        ] {
            append(&mut writer, at + 1..=at + 4000).await;
            at += 4000;
            proxy.next(faults);
            let stored = writer.flush().await;
            assert_eq!(stored, Ok(at + 1), "{faults:?}");
            assert!(proxy.is_through());
        }
        writer.finish(&record()).await.unwrap();
        assert_eq!(numbers(&archive, &key(1), Query::default()).await, (1..=at).collect::<Vec<_>>());
    });
}

#[test]
fn faults_that_stay_are_told_and_nothing_is_lost_by_them() {
    let server = Server::start();
    let proxy = Proxy::before(server.address);
    let archive = archive_at(proxy.address);
    let mut writer = block_on(archive.open(key(1))).unwrap();
    block_on(append(&mut writer, 1..=500));
    let mut fails = |expected: Reason, seconds: u64| {
        let begun = Instant::now();
        match block_on(writer.flush()) {
            Err(ArchiveError::Unavailable { reason, detail }) => {
                assert_eq!(reason, expected, "{detail}");
                assert!(!detail.is_empty() && detail.chars().count() <= 401, "{detail}");
            }
            other => panic!("{expected:?}: {other:?}"),
        }
        assert!(begun.elapsed() <= Duration::from_secs(seconds), "{expected:?}: {:?}", begun.elapsed());
    };
    proxy.always(Some(Fault::Status(403, "AccessDenied")));
    fails(Reason::Denied, 5);
    proxy.always(Some(Fault::Status(403, "QuotaExceeded")));
    fails(Reason::Full, 5);
    proxy.always(Some(Fault::Status(507, "XMinioStorageFull")));
    fails(Reason::Full, 41);
    proxy.always(Some(Fault::Status(500, "InternalError")));
    fails(Reason::Failed, 41);
    proxy.always(None);
    server.request("DELETE");
    fails(Reason::Missing, 5);
    server.request("PUT");
    assert_eq!(block_on(writer.flush()), Ok(501));
    block_on(async {
        assert_eq!(numbers(&archive, &key(1), Query::default()).await, (1..=500).collect::<Vec<_>>());
    });
}

#[test]
fn a_store_that_cannot_work_is_refused_at_the_start() {
    let server = Server::start();
    let proxy = Proxy::before(server.address);
    let refused = |archive: &Archive| match block_on(archive.check(true)) {
        Err(SetupError::Check(ArchiveError::Unavailable { reason, .. })) => reason,
        other => panic!("{other:?}"),
    };
    proxy.always(Some(Fault::Status(403, "AccessDenied")));
    assert_eq!(refused(&archive_at(proxy.address)), Reason::Denied);
    server.request("DELETE");
    assert_eq!(refused(&server.archive()), Reason::Missing);
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_eq!(refused(&archive_at(nobody)), Reason::Unreachable);
}

const SMALL: &str = "LONGSHORE_TEST_SMALL_FOLDER";

/// The test starts itself again, where a folder has 256 KiB.
#[test]
fn a_full_disk_is_told_and_a_log_goes_on_once_there_is_room() {
    if let Ok(folder) = env::var(SMALL) {
        return on_a_small_disk(&folder);
    }
    let folder = env::temp_dir().join(format!("longshore-small-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let unshare: &[&str] = if nix::unistd::geteuid().is_root() {
        &["--mount"]
    } else {
        &["--user", "--map-root-user", "--mount"]
    };
    let script = format!("mount -t tmpfs -o size=256k tmpfs \"${SMALL}\" && exec \"$0\" \"$@\"");
    let output = Command::new("unshare")
        .args(unshare)
        .args(["sh", "-c", &script])
        .arg(env::current_exe().unwrap())
        .args(["--exact", "archive::a_full_disk_is_told_and_a_log_goes_on_once_there_is_room"])
        .env(SMALL, &folder)
        .output()
        .unwrap();
    let _ = fs::remove_dir(&folder);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
}

fn on_a_small_disk(folder: &str) {
    let url = format!("file://{folder}");
    let settings = longshore::archive::Settings { url, ..Default::default() };
    let archive = Archive::connect(&settings).unwrap();
    block_on(async {
        archive.check(true).await.unwrap();
        let filler = format!("{folder}/filler");
        fs::write(&filler, vec![0; 180 * 1024]).unwrap();
        let mut writer = archive.open(key(1)).await.unwrap();
        append(&mut writer, 1..=1000).await;
        for _ in 0..2 {
            let error = writer.flush().await.unwrap_err();
            assert!(matches!(error, ArchiveError::Unavailable { reason: Reason::Full, .. }), "{error}");
        }
        assert_eq!(writer.stored(), 1);
        let refused = archive.check(true).await;
        assert!(refused.is_ok(), "a few bytes fit: {refused:?}");
        fs::remove_file(&filler).unwrap();
        assert_eq!(writer.flush().await, Ok(1001));
        assert_eq!(numbers(&archive, &key(1), Query::default()).await, (1..=1000).collect::<Vec<_>>());
    });
}
