use std::{pin::pin, sync::Arc};

use futures::TryStreamExt;
use object_store::{memory::InMemory, path::Path};
use proptest::prelude::*;

use super::*;
use crate::{
    archive::run_record::{ActionRecord, PodRecord, RunNumber, RunRecord},
    reading::{Format, Frames, Shape, Since, Tail, Writer},
    record::frame::{Ending, Kind},
};

fn started() -> Timestamp {
    "2026-01-31T10:42:00Z".parse().unwrap()
}

fn archive() -> Archive {
    Archive::on(Arc::new(InMemory::new()), Path::default())
}

fn key(run: u32, attempt: u32, pod: &str) -> LogKey {
    LogKey::new("shop", "uid-1", run, attempt, pod).unwrap()
}

/// As the operator stores it.
async fn store(archive: &Archive, key: &LogKey, frames: &[Frame<'static>], at: Timestamp) {
    let mut writer = archive.open(key.clone()).await.unwrap();
    writer.started(at);
    for (number, frame) in frames.iter().enumerate() {
        writer.skip_to(frame.sequence).await.unwrap();
        writer.append(frame).await.unwrap();
        if number % 7 == 6 {
            writer.flush().await.unwrap();
        }
    }
    let mut record = RunRecord::new(ActionRecord::default(), RunNumber::default(), PodRecord::default());
    record.times.started_at = Some(at + jiff::SignedDuration::from_secs(1));
    writer.finish(&record).await.unwrap();
}

/// As the log server reads it from the archive.
async fn stored(archive: &Archive, shape: Shape, selection: Selection) -> Vec<u8> {
    let stored = Stored::with_key(archive, key(1, 1, "pod-1")).await.unwrap().unwrap();
    let (mut writer, mut out) = (Writer::new(shape, selection), Vec::new());
    writer.started(stored.started());
    let Some(mut part) = stored.part(selection) else { return out };
    let mut entries = pin!(archive.read(&stored.key, part.query));
    while let Some(entry) = entries.try_next().await.unwrap() {
        let piece = piece(entry);
        if part.has(&piece) {
            writer.write(&piece, &mut out);
        }
    }
    out
}

/// As the log server reads it from a node.
fn live(frames: &[Frame<'static>], shape: Shape, selection: Selection) -> Vec<u8> {
    let lines = frames.iter().map(|frame| {
        let mut line = Vec::new();
        frame.encode(&mut line);
        line.pop();
        line
    });
    let lines: Vec<Vec<u8>> = lines.collect();
    let (mut writer, mut out) = (Writer::new(shape, selection), Vec::new());
    writer.started(Some(started()));
    if let Some(count) = selection.tail_lines {
        let since = Since::new(selection.since, Some(started()));
        let (mut frames, mut tail) = (Frames::default(), Tail::new(count, since));
        for line in &lines {
            frames.take(line, |piece| tail.take(&piece));
        }
        frames.finish(true, |piece| tail.take(&piece));
        writer.begin_at(tail.first(frames.next()));
    }
    let mut frames = Frames::default();
    for line in &lines {
        frames.take(line, |piece| writer.write(&piece, &mut out));
    }
    frames.finish(true, |piece| writer.write(&piece, &mut out));
    out
}

fn frames() -> impl Strategy<Value = Vec<Frame<'static>>> {
    let kind = prop_oneof![
        6 => Just(Kind::Stdout),
        2 => Just(Kind::Stderr),
        1 => Just(Kind::Both),
        1 => Just(Kind::Start),
    ];
    let ending =
        prop_oneof![6 => Just(Ending::Line), 2 => Just(Ending::Continued), 1 => Just(Ending::NoNewline)];
    let byte = prop_oneof![Just(b'\r'), Just(b'\\'), Just(0u8), Just(0xFFu8), Just(b'a'), any::<u8>()];
    let text = proptest::collection::vec(byte.prop_filter("newline", |byte| *byte != b'\n'), 0..20);
    // A gap in one of ten places.
    let step = prop_oneof![9 => Just(1u64), 1 => 2..5u64];
    let one = (kind, ending, text, step, prop_oneof![Just(0u64), 0..2000u64]);
    proptest::collection::vec(one, 0..40).prop_map(|frames| {
        let (mut sequence, mut millis) = (0, 0);
        let mut made = Vec::new();
        for (kind, ending, text, step, later) in frames {
            sequence += step;
            millis += later;
            made.push(Frame { sequence, kind, millis, ending, text: text.into() });
        }
        made
    })
}

proptest! {
    /// Nobody can tell by the answer whether a log came from a node or from the archive.
    #[test]
    fn a_stored_log_reads_byte_by_byte_as_that_of_a_pod(
        frames in frames(),
        tail_lines in proptest::option::of(0..30usize),
        since in proptest::option::of(-3000..30_000i64),
        timestamps: bool,
        json: bool,
    ) {
        let format = if json { Format::JsonLines } else { Format::Text };
        let since = since.map(|millis| started() + jiff::SignedDuration::from_micros(millis * 1000 - 500));
        let (shape, selection) = (Shape { format, timestamps, ..Shape::default() }, Selection { tail_lines, since });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let of_archive = runtime.block_on(async {
            let archive = archive();
            store(&archive, &key(1, 1, "pod-1"), &frames, started()).await;
            stored(&archive, shape, selection).await
        });
        let of_pod = live(&frames, shape, selection);
        prop_assert_eq!(
            String::from_utf8_lossy(&of_archive).into_owned(),
            String::from_utf8_lossy(&of_pod).into_owned()
        );
        prop_assert_eq!(of_archive, of_pod);
    }
}

fn sought(run: u32, attempt: Option<u32>, pod_uid: Option<&str>) -> Sought {
    Sought { run, attempt, pod_uid: pod_uid.map(str::to_owned) }
}

#[tokio::test]
async fn a_log_is_found_by_what_the_status_still_has() {
    let archive = archive();
    let frame = |text: &'static [u8]| {
        vec![Frame { sequence: 1, kind: Kind::Stdout, millis: 0, ending: Ending::Line, text: text.into() }]
    };
    let later = started() + jiff::SignedDuration::from_hours(1);
    for (run, attempt, pod, at) in [
        (1, 1, "pod-1-1", started()),
        (1, 2, "pod-1-2", started()),
        // The cluster was restored from a backup, and gave the numbers again.
        (2, 1, "pod-z", started()),
        (2, 1, "pod-a", later),
    ] {
        store(&archive, &key(run, attempt, pod), &frame(b"a"), at).await;
    }
    let found = async |uid: &str, sought: Sought| {
        let found = Stored::find(&archive, "shop", uid, &sought).await.unwrap();
        found.map(|found| found.key.pod_uid().to_owned())
    };
    assert_eq!(found("uid-1", sought(1, Some(1), Some("pod-1-1"))).await.unwrap(), "pod-1-1");
    assert_eq!(found("uid-1", sought(1, Some(1), None)).await.unwrap(), "pod-1-1");
    assert_eq!(found("uid-1", sought(1, None, None)).await.unwrap(), "pod-1-2");
    assert_eq!(found("uid-1", sought(2, Some(1), None)).await.unwrap(), "pod-a");
    assert_eq!(found("uid-1", sought(2, Some(1), Some("pod-z"))).await.unwrap(), "pod-z");
    for nothing in [
        sought(1, Some(3), None),
        sought(3, None, None),
        sought(1, Some(1), Some("another")),
        sought(1, Some(1), Some("../pod-1-1")),
    ] {
        assert_eq!(found("uid-1", nothing.clone()).await, None, "{nothing:?}");
    }
    // Of an action that was made again under the name, nothing of its predecessor.
    assert_eq!(found("uid-2", sought(1, Some(1), None)).await, None);
    assert_eq!(found("uid-2", sought(1, Some(1), Some("pod-1-1"))).await, None);
}
