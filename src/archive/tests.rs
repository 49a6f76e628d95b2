//! Logs are written, and read again, in memory and in a folder. `tests/archive` does it with an S3 server.

use std::{
    collections::BTreeMap,
    ops::Range,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use jiff::Timestamp;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, memory::InMemory, path::Path,
};
use proptest::prelude::*;

use super::{
    run_record::{ActionRecord, PodRecord, RunNumber},
    *,
};
use crate::record::{
    frame::{Ending, Frame, Kind},
    transcript::Transcript,
};

fn memory() -> Archive {
    Archive::on(Arc::new(InMemory::new()), Path::from("some/prefix"))
}

fn key() -> LogKey {
    LogKey::new("orders", "uid-1", 3, 1, "pod-1").unwrap()
}

fn record() -> run_record::RunRecord {
    run_record::RunRecord::new(ActionRecord::default(), RunNumber::default(), PodRecord::default())
}

fn frame(sequence: u64, kind: Kind, ending: Ending, text: &[u8]) -> Frame<'static> {
    Frame { sequence, kind, millis: sequence * 10, ending, text: text.to_vec().into() }
}

fn line(sequence: u64) -> Frame<'static> {
    frame(sequence, Kind::Stdout, Ending::Line, format!("line {sequence} of the log").as_bytes())
}

async fn all(archive: &Archive, key: &LogKey, query: Query) -> Vec<Entry> {
    archive.read(key, query).try_collect().await.unwrap()
}

/// Numbers of the frames that were read.
async fn numbers(archive: &Archive, query: Query) -> Vec<u64> {
    let number = |entry: &Entry| match entry {
        Entry::Text(text) => text.sequence,
        Entry::Missing { .. } => panic!("{entry:?}"),
    };
    all(archive, &key(), query).await.iter().map(number).collect()
}

async fn append_all(writer: &mut Writer, frames: impl IntoIterator<Item = Frame<'static>>) {
    for frame in frames {
        // In these tests, what is not there never comes.
        writer.skip_to(frame.sequence).await.unwrap();
        writer.append(&frame).await.unwrap();
    }
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// The right entries of a log, computed in the simplest way.
fn expected(frames: &[Frame<'static>]) -> Vec<Entry> {
    let (mut next, mut lines, mut open) = (1, 0, false);
    let mut entries = Vec::new();
    for frame in frames {
        if frame.sequence > next {
            entries.push(Entry::Missing { from: next, to: frame.sequence - 1 });
        }
        next = frame.sequence + 1;
        if !frame.kind.is_log() {
            continue;
        }
        entries.push(Entry::Text(Text {
            sequence: frame.sequence,
            line: lines,
            begins: !open,
            kind: frame.kind,
            millis: frame.millis,
            ending: frame.ending,
            text: frame.text.to_vec(),
        }));
        open = frame.ending == Ending::Continued;
        lines += u64::from(!open);
    }
    entries
}

fn frames() -> impl Strategy<Value = Vec<Frame<'static>>> {
    let kind = prop_oneof![
        6 => Just(Kind::Stdout),
        2 => Just(Kind::Stderr),
        1 => Just(Kind::Both),
        1 => Just(Kind::Control),
        1 => Just(Kind::Exit),
    ];
    let ending =
        prop_oneof![6 => Just(Ending::Line), 2 => Just(Ending::Continued), 1 => Just(Ending::NoNewline)];
    let byte = prop_oneof![Just(b'\r'), Just(b'\\'), Just(0u8), Just(0xFFu8), Just(b'a'), any::<u8>()];
    let text = proptest::collection::vec(byte, 0..120);
    // A gap in one of ten places.
    let step = prop_oneof![9 => Just(1u64), 1 => 2..5u64];
    let one = (kind, ending, text, step, 0..30u64);
    proptest::collection::vec(one, 0..80).prop_map(|frames| {
        let (mut sequence, mut millis) = (0, 0);
        let frame = |(kind, ending, text, step, later): (Kind, Ending, Vec<u8>, u64, u64)| {
            sequence += step;
            millis += later;
            let text: Vec<u8> = text.into_iter().filter(|&byte| byte != b'\n').collect();
            Frame { sequence, kind, millis, ending, text: text.into() }
        };
        frames.into_iter().map(frame).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_log_comes_back_whatever_crashes_in_between(
        frames in frames(),
        // After so many frames the writer stores, or is lost with what it has.
        events in proptest::collection::vec((0..40usize, any::<bool>()), 0..6),
    ) {
        block_on(async {
            let archive = memory();
            let mut writer = archive.open(key()).await.unwrap();
            let mut at = 0;
            for (count, crash) in events {
                append_all(&mut writer, frames[at..].iter().take(count).cloned()).await;
                at = (at + count).min(frames.len());
                if crash {
                    writer = archive.open(key()).await.unwrap();
                    // The next operator reads the pod's log from its beginning.
                    at = 0;
                } else {
                    writer.flush().await.unwrap();
                }
            }
            append_all(&mut writer, frames[at..].iter().cloned()).await;
            writer.finish(&record()).await.unwrap();

            let entries = expected(&frames);
            prop_assert_eq!(&all(&archive, &key(), Query::default()).await, &entries);
            let mut transcript = Transcript::default();
            for entry in &entries {
                if let Entry::Text(text) = entry {
                    transcript.push(&text.text, text.ending);
                }
            }
            let again = archive.open(key()).await.unwrap();
            prop_assert_eq!(again.next(), frames.last().map_or(1, |frame| frame.sequence + 1));
            prop_assert_eq!(again.stored_size(), (transcript.lines(), transcript.bytes()));
            prop_assert_eq!(again.transcript().await.unwrap().sha256(), transcript.sha256());
            Ok(())
        })?;
    }

    #[test]
    fn any_part_is_what_the_whole_has_there(
        frames in frames(),
        from in 0..60u64,
        lines in proptest::option::of(0..30u64),
    ) {
        block_on(async {
            let archive = memory();
            let mut writer = archive.open(key()).await.unwrap();
            append_all(&mut writer, frames.iter().cloned()).await;
            writer.finish(&record()).await.unwrap();

            let texts: Vec<Text> = expected(&frames)
                .into_iter()
                .filter_map(|entry| match entry { Entry::Text(text) => Some(text), Entry::Missing { .. } => None })
                .collect();
            let total = texts.last().map_or(0, |text| text.line + 1);
            let since = texts.iter().find(|text| text.millis >= from * 10);
            for (begin, first) in [
                (Begin::Start, Some(0)),
                (Begin::Line(from), Some(from)),
                (Begin::Last(from), Some(total.saturating_sub(from))),
                (Begin::Millis(from * 10), since.map(|text| text.line)),
            ] {
                let wanted = |text: &&Text| {
                    let Some(first) = first else { return false };
                    let is_late = !matches!(begin, Begin::Millis(millis) if
                        texts.iter().take_while(|other| other.millis < millis).any(|other| other == *text));
                    text.line >= first && is_late && lines.is_none_or(|lines| text.line < first + lines)
                };
                let wanted: Vec<Text> = texts.iter().filter(wanted).cloned().collect();
                let query = Query { from: begin, lines, follow: false };
                let read: Vec<Text> = all(&archive, &key(), query)
                    .await
                    .into_iter()
                    .filter_map(|entry| match entry { Entry::Text(text) => Some(text), Entry::Missing { .. } => None })
                    .collect();
                prop_assert_eq!(read, wanted, "{:?}", query);
            }
            Ok(())
        })?;
    }

    #[test]
    fn two_writers_that_both_believe_they_lead_spoil_nothing(
        frames in frames(),
        turns in proptest::collection::vec((any::<bool>(), 0..20usize, any::<bool>()), 0..20),
    ) {
        block_on(async {
            let archive = memory();
            let mut writers = [archive.open(key()).await.unwrap(), archive.open(key()).await.unwrap()];
            let mut at = [0, 0];
            for (which, count, flush) in turns {
                let which = usize::from(which);
                append_all(&mut writers[which], frames[at[which]..].iter().take(count).cloned()).await;
                at[which] = (at[which] + count).min(frames.len());
                if flush {
                    writers[which].flush().await.unwrap();
                }
            }
            for (writer, at) in writers.iter_mut().zip(at) {
                append_all(writer, frames[at..].iter().cloned()).await;
                writer.finish(&record()).await.unwrap();
            }
            prop_assert_eq!(&all(&archive, &key(), Query::default()).await, &expected(&frames));
            prop_assert_eq!(writers[0].stored(), writers[1].stored());
            Ok(())
        })?;
    }
}

#[test]
fn text_without_timestamps_has_the_hash_of_the_log() {
    block_on(async {
        let archive = memory();
        let mut writer = archive.open(key()).await.unwrap();
        let frames = (1..=500).map(|number| match number % 7 {
            0 => frame(number, Kind::Stderr, Ending::Continued, b"\xff\0 half"),
            3 => frame(number, Kind::Stdout, Ending::Line, b"ends in \r"),
            5 => frame(number, Kind::Control, Ending::Line, b"{}"),
            _ => line(number),
        });
        append_all(&mut writer, frames).await;
        writer.flush().await.unwrap();
        let mut text = Vec::new();
        for entry in all(&archive, &key(), Query::default()).await {
            let Entry::Text(part) = entry else { panic!("{entry:?}") };
            text.extend_from_slice(&part.text);
            if part.ending == Ending::Line {
                text.push(b'\n');
            }
        }
        assert_eq!(crate::record::sha256_hex(&text), writer.transcript().await.unwrap().sha256());
    });
}

#[test]
fn anybody_s_zstd_reads_an_object() {
    block_on(async {
        let store = Arc::new(InMemory::new());
        let archive = Archive::on(store.clone(), Path::default());
        let mut writer = archive.open(key()).await.unwrap();
        append_all(&mut writer, (1..=30).map(line)).await;
        writer.flush().await.unwrap();
        let object = store.list(None).try_next().await.unwrap().unwrap();
        let packed = store.get(&object.location).await.unwrap().bytes().await.unwrap();
        let text = String::from_utf8(zstd::stream::decode_all(&packed[..]).unwrap()).unwrap();
        assert!(text.starts_with("24 1 o 10 line 1 of the log\n24 2 o 20 line 2 of the log\n"), "{text}");
        assert!(text.ends_with("27 30 o 300 line 30 of the log\n"), "{text}");
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn from_a_frame_on_is_what_the_whole_has_there(frames in frames(), from in 1..60u64, flush in 0..60usize) {
        block_on(async {
            let archive = memory();
            let mut writer = archive.open(key()).await.unwrap();
            let (first, rest) = frames.split_at(flush.min(frames.len()));
            append_all(&mut writer, first.iter().cloned()).await;
            writer.flush().await.unwrap();
            append_all(&mut writer, rest.iter().cloned()).await;
            writer.finish(&record()).await.unwrap();

            let wanted: Vec<Entry> = expected(&frames)
                .into_iter()
                .filter_map(|entry| match entry {
                    Entry::Missing { from: first, to } => (to >= from).then_some(Entry::Missing { from: first, to }),
                    Entry::Text(text) => (text.sequence >= from).then_some(Entry::Text(text)),
                })
                .collect();
            let query = Query { from: Begin::Frame(from), ..Query::default() };
            prop_assert_eq!(all(&archive, &key(), query).await, wanted);
            Ok(())
        })?;
    }
}

#[test]
fn an_action_made_again_does_not_open_its_predecessor_s_log() {
    block_on(async {
        let archive = memory();
        let mut writer = archive.open(key()).await.unwrap();
        append_all(&mut writer, (1..=3).map(line)).await;
        writer.finish(&record()).await.unwrap();
        for other in [
            LogKey::new("orders", "uid-2", 3, 1, "pod-1").unwrap(),
            LogKey::new("orders", "uid-1", 3, 1, "pod-2").unwrap(),
            LogKey::new("orders", "uid-1", 3, 2, "pod-1").unwrap(),
            // The beginning of a name is another name.
            LogKey::new("orders", "uid-1", 3, 1, "pod").unwrap(),
        ] {
            assert_eq!(archive.summary(&other).await, Err(ArchiveError::NotFound(other.to_string())));
            assert_eq!(archive.open(other).await.unwrap().next(), 1);
        }
        assert_eq!(archive.logs_of("orders", "uid-1").await.unwrap(), [key()]);
        assert_eq!(archive.logs_of("orders", "uid-2").await.unwrap(), []);
        assert!(archive.logs_of("orders", "..").await.is_err());
        for (uid, run, attempt, found) in [
            ("uid-1", 3, None, true),
            ("uid-1", 3, Some(1), true),
            ("uid-1", 3, Some(2), false),
            ("uid-1", 33, None, false),
            ("uid-2", 3, None, false),
        ] {
            let logs = archive.logs_of_run("orders", uid, run, attempt).await.unwrap();
            assert_eq!(logs, if found { vec![key()] } else { vec![] }, "{uid} {run} {attempt:?}");
        }
        assert!(archive.logs_of_run("..", "uid-1", 3, None).await.is_err());
    });
}

#[test]
fn a_summary_tells_a_run_under_way_from_one_that_has_ended() {
    block_on(async {
        let archive = memory();
        let mut writer = archive.open(key()).await.unwrap();
        let started: Timestamp = "2026-11-30T10:42:00Z".parse().unwrap();
        writer.started(started);
        append_all(&mut writer, (1..=3).map(line)).await;
        writer.append(&frame(4, Kind::Stdout, Ending::Continued, b"half")).await.unwrap();
        writer.flush().await.unwrap();
        let summary = archive.summary(&key()).await.unwrap();
        assert_eq!((summary.started, summary.lines, summary.next), (Some(started), 4, 5));
        assert_eq!(summary.record, None);
        writer.finish(&record()).await.unwrap();
        assert_eq!(archive.summary(&key()).await.unwrap().record, Some(record()));
    });
}

#[test]
fn a_log_without_a_line_has_a_record_and_can_be_read() {
    block_on(async {
        let archive = memory();
        archive.open(key()).await.unwrap().finish(&record()).await.unwrap();
        assert_eq!(all(&archive, &key(), Query { from: Begin::Last(5), ..Query::default() }).await, []);
        assert_eq!(archive.summary(&key()).await.unwrap().lines, 0);
    });
}

#[tokio::test(start_paused = true)]
async fn who_follows_reads_what_comes_until_the_run_has_ended() {
    let archive = memory();
    let query = Query { from: Begin::Last(1), follow: true, ..Query::default() };
    let reading = tokio::spawn({
        let archive = archive.clone();
        async move { numbers(&archive, query).await }
    });
    // There is no log yet.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let mut writer = archive.open(key()).await.unwrap();
    append_all(&mut writer, (1..=2).map(line)).await;
    writer.flush().await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    append_all(&mut writer, (3..=200).map(line)).await;
    writer.flush().await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(!reading.is_finished());
    append_all(&mut writer, (201..=202).map(line)).await;
    writer.finish(&record()).await.unwrap();
    assert_eq!(reading.await.unwrap(), (2..=202).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_log_that_grows_slowly_is_due_after_a_minute() {
    let archive = memory();
    let mut writer = archive.open(key()).await.unwrap();
    // A heartbeat alone is not worth an object.
    writer.append(&frame(1, Kind::Control, Ending::Line, b"{}")).await.unwrap();
    tokio::time::sleep(Duration::from_mins(2)).await;
    assert!(!writer.is_due());
    writer.append(&line(2)).await.unwrap();
    assert!(writer.is_due());
    assert_eq!(writer.flush().await, Ok(3));
    assert!(!writer.is_due());
    writer.append(&line(3)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(59)).await;
    assert!(!writer.is_due());
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(writer.is_due());
}

#[test]
fn an_object_that_somebody_removed_is_told_as_missing() {
    block_on(async {
        let store = Arc::new(InMemory::new());
        let archive = Archive::on(store.clone(), Path::default());
        let mut writer = archive.open(key()).await.unwrap();
        for from in [1, 11, 21] {
            append_all(&mut writer, (from..from + 10).map(line)).await;
            writer.flush().await.unwrap();
        }
        let objects: Vec<ObjectMeta> = store.list(None).try_collect().await.unwrap();
        store.delete(&objects[1].location).await.unwrap();
        let entries = all(&archive, &key(), Query::default()).await;
        assert_eq!(entries.len(), 21);
        assert_eq!(entries[10], Entry::Missing { from: 11, to: 20 });
    });
}

#[test]
fn a_damaged_object_is_an_error_whatever_is_wrong_with_it() {
    block_on(async {
        let store = Arc::new(InMemory::new());
        let archive = Archive::on(store.clone(), Path::default());
        let mut writer = archive.open(key()).await.unwrap();
        append_all(&mut writer, (1..=20).map(line)).await;
        writer.flush().await.unwrap();
        let object = store.list(None).try_next().await.unwrap().unwrap().location;
        let good = store.get(&object).await.unwrap().bytes().await.unwrap();
        let texts = archive.read(&key(), Query::default()).try_collect::<Vec<_>>().await.unwrap();
        let read = async |bytes: Vec<u8>| {
            store.put(&object, bytes.into()).await.unwrap();
            archive.read(&key(), Query::default()).try_collect::<Vec<_>>().await
        };
        for at in 0..good.len() {
            let mut bad = good.to_vec();
            bad[at] ^= 0x40;
            match read(bad).await {
                // The index is JSON: a time in it can change and be one. No text can.
                Ok(read) => assert_eq!(read, texts, "{at}"),
                Err(error) => assert!(matches!(error, ArchiveError::Damaged { .. }), "{at}: {error}"),
            }
        }
        for length in 0..good.len() {
            let error = read(good[..length].to_vec()).await.unwrap_err();
            assert!(matches!(error, ArchiveError::Damaged { .. }), "{length}: {error}");
        }
    });
}

/// A fault of a call that writes.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// It fails with this error of the operating system.
    Os(i32),
    Denied,
    /// As a bucket that does not exist.
    Missing,
    /// It stores, and the answer is lost.
    AnswerLost,
    /// Another writer is just at it, says S3.
    Conflict,
    /// It never answers.
    Hangs,
}

/// A store that does not always do what it is asked for.
#[derive(Debug, Default)]
struct Faulty {
    inner: InMemory,
    faults: Mutex<Vec<Fault>>,
    writes: AtomicUsize,
    reads: Mutex<BTreeMap<String, Vec<Range<u64>>>>,
}

impl std::fmt::Display for Faulty {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Faulty")
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> object_store::Result<PutResult> {
        use object_store::Error as E;
        self.writes.fetch_add(1, Ordering::Relaxed);
        let fault = self.faults.lock().unwrap().pop();
        let path = location.to_string();
        let generic = |error: std::io::Error| E::Generic { store: "Faulty", source: Box::new(error) };
        match fault {
            None => self.inner.put_opts(location, payload, options).await,
            Some(Fault::Os(number)) => Err(generic(std::io::Error::from_raw_os_error(number))),
            Some(Fault::Denied) => Err(E::PermissionDenied { path, source: "403".into() }),
            Some(Fault::Missing) => Err(E::NotFound { path, source: "NoSuchBucket".into() }),
            Some(Fault::AnswerLost) => {
                self.inner.put_opts(location, payload, options).await?;
                Err(generic(std::io::ErrorKind::ConnectionReset.into()))
            }
            Some(Fault::Conflict) => Err(E::AlreadyExists { path, source: "409".into() }),
            Some(Fault::Hangs) => std::future::pending().await,
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        let result = self.inner.get_opts(location, options).await?;
        let mut reads = self.reads.lock().unwrap();
        reads.entry(location.to_string()).or_default().push(result.range.clone());
        Ok(result)
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_store_does_not_take_is_kept_and_taken_later() {
    for (faults, expected) in [
        (vec![Fault::Os(28)], Some(Reason::Full)),
        (vec![Fault::Denied], Some(Reason::Denied)),
        (vec![Fault::Missing], Some(Reason::Missing)),
        (vec![Fault::Os(5); 3], Some(Reason::Failed)),
        (vec![Fault::Hangs; 3], Some(Reason::Unreachable)),
        (vec![Fault::Conflict; 3], None),
        // These pass by themselves.
        (vec![Fault::Os(5)], None),
        (vec![Fault::Hangs], None),
        (vec![Fault::AnswerLost], None),
        (vec![Fault::AnswerLost, Fault::Hangs], None),
        (vec![Fault::Conflict], None),
    ] {
        let store = Arc::new(Faulty::default());
        let archive = Archive::on(store.clone(), Path::default());
        let mut writer = archive.open(key()).await.unwrap();
        append_all(&mut writer, (1..=20).map(line)).await;
        store.faults.lock().unwrap().clone_from(&faults);
        let begun = tokio::time::Instant::now();
        match (writer.flush().await, expected) {
            (Ok(stored), None) => assert_eq!(stored, 21, "{faults:?}"),
            (Err(ArchiveError::Unavailable { reason, .. }), Some(expected)) => {
                assert_eq!(reason, expected, "{faults:?}");
                assert_eq!(writer.stored(), 1);
            }
            // The conflict does not end.
            (Err(ArchiveError::NotFound(_)), None) if faults.len() == 3 => {}
            (other, _) => panic!("{faults:?}: {other:?}"),
        }
        assert!(begun.elapsed() <= Duration::from_secs(41), "{faults:?}: {:?}", begun.elapsed());
        store.faults.lock().unwrap().clear();
        append_all(&mut writer, (21..=22).map(line)).await;
        writer.finish(&record()).await.unwrap();
        assert_eq!(numbers(&archive, Query::default()).await, (1..=22).collect::<Vec<_>>(), "{faults:?}");
    }
}

#[test]
fn a_frame_that_could_not_be_added_is_added_again() {
    block_on(async {
        let store = Arc::new(Faulty::default());
        let archive = Archive::on(store.clone(), Path::default());
        let mut writer = archive.open(key()).await.unwrap();
        *store.faults.lock().unwrap() = vec![Fault::Os(28); 3];
        let mut failed = 0;
        for number in 1..=300 {
            while writer.append(&line(number)).await.is_err() {
                failed += 1;
            }
        }
        assert_eq!(failed, 3);
        writer.flush().await.unwrap();
        assert_eq!(numbers(&archive, Query::default()).await, (1..=300).collect::<Vec<_>>());
    });
}

#[test]
fn a_frame_that_is_not_the_next_is_not_taken() {
    block_on(async {
        let mut writer = memory().open(key()).await.unwrap();
        writer.append(&line(1)).await.unwrap();
        let refused = writer.append(&line(3)).await;
        assert_eq!(refused, Err(ArchiveError::OutOfOrder { expected: 2, got: 3 }));
        writer.append(&line(2)).await.unwrap();
        writer.append(&line(3)).await.unwrap();
        assert_eq!(writer.next(), 4);
    });
}

#[test]
fn flushing_can_be_cancelled() {
    block_on(async {
        let store = Arc::new(Faulty::default());
        let archive = Archive::on(store.clone(), Path::default());
        let mut writer = archive.open(key()).await.unwrap();
        append_all(&mut writer, (1..=20).map(line)).await;
        *store.faults.lock().unwrap() = vec![Fault::Hangs];
        let cancelled = tokio::time::timeout(Duration::from_millis(20), writer.flush()).await;
        assert!(cancelled.is_err());
        append_all(&mut writer, (21..=22).map(line)).await;
        writer.flush().await.unwrap();
        assert_eq!(numbers(&archive, Query::default()).await, (1..=22).collect::<Vec<_>>());
    });
}

#[test]
fn the_end_of_a_long_log_is_read_without_the_rest() {
    block_on(async {
        let store = Arc::new(Faulty::default());
        let archive = Archive::on(store.clone(), Path::default());
        let mut writer = archive.open(key()).await.unwrap();
        append_all(&mut writer, (1..=5000).map(line)).await;
        writer.finish(&record()).await.unwrap();
        let objects = archive.objects(&key()).await.unwrap();
        assert!(objects.len() > 20);
        store.reads.lock().unwrap().clear();
        let query = Query { from: Begin::Last(3), ..Query::default() };
        assert_eq!(numbers(&archive, query).await, [4998, 4999, 5000]);
        assert!(store.reads.lock().unwrap().len() <= 2);
        // By time it takes a look at a few of them.
        store.reads.lock().unwrap().clear();
        let query = Query { from: Begin::Millis(25_000), lines: Some(2), follow: false };
        assert_eq!(numbers(&archive, query).await, [2500, 2501]);
        assert!(store.reads.lock().unwrap().len() <= 8);
    });
}

#[test]
fn many_logs_that_are_written_at_once_store_earlier() {
    block_on(async {
        let archive = memory();
        let mut writers = Vec::new();
        for number in 0..50 {
            let key = LogKey::new("orders", &format!("uid-{number}"), 1, 1, "p").unwrap();
            writers.push(archive.open(key).await.unwrap());
        }
        for (number, writer) in writers.iter_mut().enumerate() {
            append_all(writer, (1..=45).map(line)).await;
            let crowded = archive.held.load(Ordering::Relaxed) > write::HELD;
            assert_eq!(writer.stored() > 1, crowded && number > 0, "{number}");
        }
        drop(writers);
        assert_eq!(archive.held.load(Ordering::Relaxed), 0);
    });
}

/// A folder that is gone in the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("longshore-archive-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn archive(&self) -> Archive {
        Archive::connect(&settings(&format!("file://{}", self.0.display()))).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn settings(url: &str) -> Settings {
    Settings { url: url.to_owned(), ..Settings::default() }
}

#[test]
fn a_folder_holds_logs() {
    block_on(async {
        let folder = Folder::new();
        let archive = folder.archive();
        archive.check(true).await.unwrap();
        let mut writer = archive.open(key()).await.unwrap();
        append_all(&mut writer, (1..=100).map(line)).await;
        drop(writer);
        let mut writer = archive.open(key()).await.unwrap();
        append_all(&mut writer, (1..=200).map(line)).await;
        writer.finish(&record()).await.unwrap();
        assert_eq!(numbers(&archive, Query::default()).await, (1..=200).collect::<Vec<_>>());
        assert_eq!(archive.logs_of("orders", "uid-1").await.unwrap(), [key()]);
        let files = std::fs::read_dir(folder.0.join(key().to_string())).unwrap();
        let names: Vec<String> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        assert!(names.contains(&"000000000001-000000000000.zst".to_owned()), "{names:?}");
        assert!(names.contains(&"run.json".to_owned()), "{names:?}");
    });
}

#[test]
fn a_url_that_cannot_be_one_is_refused_with_the_reason() {
    let folder = Folder::new();
    let file = folder.0.join("file");
    std::fs::write(&file, "").unwrap();
    for (url, expected) in [
        ("", "no URL"),
        ("/var/lib/logs", "no URL"),
        ("ftp://host/path", "must begin with"),
        ("memory:///a", "must begin with"),
        ("https://bucket.s3.amazonaws.com", "must begin with"),
        ("file://host/path", "three slashes"),
        ("file:///", "must name a folder"),
        ("file:///there/is/no/such/folder", "No such file"),
        (&format!("file://{}", file.display()), "it is a file"),
        ("s3://", "must name a bucket"),
        ("s3:///path", "must name a bucket"),
        ("s3://key:secret@bucket/path", "no credentials"),
        ("s3://bucket:9000/path", "must name a bucket"),
        ("s3://bucket/path?region=x", "must end with its path"),
        ("az://container/path", "Account must be specified"),
    ] {
        let error = Archive::connect(&settings(url)).unwrap_err().to_string();
        assert!(error.contains(expected), "{url}: {error}");
        assert!(!error.contains("secret"), "{error}");
    }
}

#[test]
fn each_kind_of_store_can_be_named() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let environment = [
        ("AWS_ACCESS_KEY_ID", "a"),
        ("AWS_SECRET_ACCESS_KEY", "b"),
        ("AWS_REGION", "eu-central-1"),
        ("AZURE_STORAGE_ACCOUNT_NAME", "account"),
        ("AZURE_STORAGE_ACCOUNT_KEY", "a2V5"),
        ("HOME", "/"),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let settings = Settings { environment, ..Settings::default() };
    for url in ["s3://bucket", "s3://bucket/a/b", "gs://bucket/a", "az://container/a%20b"] {
        let archive = Archive::connect(&Settings { url: url.to_owned(), ..settings.clone() });
        assert!(archive.is_ok(), "{url}: {archive:?}");
    }
}

#[test]
fn a_store_that_overwrites_is_refused() {
    /// As an S3-compatible server that does not know `If-None-Match`.
    #[derive(Debug)]
    struct Overwriting(InMemory);
    impl std::fmt::Display for Overwriting {
        fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            formatter.write_str("Overwriting")
        }
    }
    #[async_trait]
    impl ObjectStore for Overwriting {
        async fn put_opts(
            &self,
            location: &Path,
            payload: PutPayload,
            _: PutOptions,
        ) -> object_store::Result<PutResult> {
            self.0.put(location, payload).await
        }
        async fn put_multipart_opts(
            &self,
            location: &Path,
            options: PutMultipartOptions,
        ) -> object_store::Result<Box<dyn MultipartUpload>> {
            self.0.put_multipart_opts(location, options).await
        }
        async fn get_opts(&self, location: &Path, options: GetOptions) -> object_store::Result<GetResult> {
            self.0.get_opts(location, options).await
        }
        fn delete_stream(
            &self,
            locations: BoxStream<'static, object_store::Result<Path>>,
        ) -> BoxStream<'static, object_store::Result<Path>> {
            self.0.delete_stream(locations)
        }
        fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
            self.0.list(prefix)
        }
        async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
            self.0.list_with_delimiter(prefix).await
        }
        async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
            self.0.copy_opts(from, to, options).await
        }
    }
    block_on(async {
        let store = Arc::new(Overwriting(InMemory::new()));
        let checked = Archive::on(store.clone(), Path::default()).check(true).await;
        assert!(matches!(checked, Err(SetupError::Overwrites)), "{checked:?}");
        // The check leaves nothing.
        assert!(store.list(None).next().await.is_none());
    });
}

#[test]
fn a_sweep_removes_what_exceeds_and_nothing_that_is_not_its_own() {
    block_on(async {
        let folder = Folder::new();
        let archive = folder.archive();
        let key = |action: &str, run| LogKey::new("orders", action, run, 1, "p").unwrap();
        for (action, run) in [("a", 1), ("a", 2), ("a", 3), ("b", 1)] {
            let mut writer = archive.open(key(action, run)).await.unwrap();
            append_all(&mut writer, (1..=200).map(line)).await;
            writer.finish(&record()).await.unwrap();
        }
        // A run under way, as the archive sees it.
        let mut under_way = archive.open(key("a", 4)).await.unwrap();
        append_all(&mut under_way, (1..=2).map(line)).await;
        under_way.flush().await.unwrap();
        // Somebody else's.
        let strange = [
            "v1/logs/orders/a/0000000001-01/p/notes.txt",
            "v1/logs/orders/a/000001/000000000001-000000000000.zst",
            "v1/other",
            "run.json",
        ];
        for name in strange {
            std::fs::create_dir_all(folder.0.join(name).parent().unwrap()).unwrap();
            std::fs::write(folder.0.join(name), "a").unwrap();
        }
        assert_eq!(archive.stored().await.unwrap().len(), 5);

        let retention = Retention { runs: Some(2), ..Retention::default() };
        let swept = archive.sweep(&retention, Timestamp::now(), |_| false).await.unwrap();
        assert_eq!((swept.removed, swept.kept, swept.failed), (2, 3, 0));
        let left: Vec<LogKey> = archive.logs_of("orders", "a").await.unwrap();
        assert!(left.contains(&key("a", 3)) && left.contains(&key("a", 4)), "{left:?}");
        assert!(archive.summary(&key("a", 2)).await.is_err());
        assert!(!folder.0.join("v1/logs/orders/a/0000000002-01").exists());
        for name in strange {
            assert!(folder.0.join(name).exists(), "{name}");
        }
        // A run that the operator knows to be under way stays, however much is too much.
        let nothing = Retention { bytes: Some(0), ..Retention::default() };
        let now = Timestamp::now() + Duration::from_hours(48);
        let swept = archive.sweep(&nothing, now, |log| *log == key("a", 4)).await.unwrap();
        assert_eq!((swept.removed, swept.kept), (2, 1));
        assert_eq!(swept.kept_bytes, archive.stored().await.unwrap()[0].bytes);
    });
}

#[test]
fn what_a_crash_left_half_written_is_removed_after_a_day() {
    block_on(async {
        let folder = Folder::new();
        let archive = folder.archive();
        let mut writer = archive.open(key()).await.unwrap();
        append_all(&mut writer, (1..=2).map(line)).await;
        writer.flush().await.unwrap();
        let within = folder.0.join(key().to_string());
        let (old, new) = (within.join("000000000003-000000000002.zst#1"), within.join("run.json#2"));
        for half in [&old, &new] {
            std::fs::write(half, "half").unwrap();
        }
        let yesterday = std::time::SystemTime::now() - Duration::from_hours(25);
        std::fs::File::options().write(true).open(&old).unwrap().set_modified(yesterday).unwrap();
        archive.sweep(&Retention::default(), Timestamp::now(), |_| false).await.unwrap();
        assert!(!old.exists() && new.exists());
        assert_eq!(numbers(&archive, Query::default()).await, [1, 2]);
    });
}
