//! The archivist on stores that break. Nothing here waits in real time.

use std::sync::atomic::AtomicBool;

use async_trait::async_trait;
use futures::{TryStreamExt, stream::BoxStream};
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, memory::InMemory, path::Path,
};

use serde_json::{Value, json};

use super::*;
use crate::{
    api::status::LogState,
    archive::{
        Entry as Read, Query,
        run_record::{ActionRecord, LogRecord, PodRecord, RunNumber},
    },
    operator::{
        logs::collect::{BATCH, Collector, Source},
        testing::server::{Seen, server},
    },
    record::{frame::Ending, outcome::Identity, sha256_hex},
};

/// A store that somebody can break.
#[derive(Debug, Default)]
struct Breakable {
    inner: InMemory,
    down: AtomicBool,
    denies: AtomicBool,
    /// How long each write takes, in seconds.
    slow: AtomicU64,
}

impl Breakable {
    fn fault(&self) -> Option<object_store::Error> {
        if self.denies.load(Ordering::Relaxed) {
            return Some(object_store::Error::PermissionDenied { path: "x".into(), source: "403".into() });
        }
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        self.down
            .load(Ordering::Relaxed)
            .then(|| object_store::Error::Generic { store: "Breakable", source: Box::new(refused) })
    }
}

impl std::fmt::Display for Breakable {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Breakable")
    }
}

#[async_trait]
impl ObjectStore for Breakable {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> object_store::Result<PutResult> {
        tokio::time::sleep(Duration::from_secs(self.slow.load(Ordering::Relaxed))).await;
        match self.fault() {
            Some(fault) => Err(fault),
            None => self.inner.put_opts(location, payload, options).await,
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
        match self.fault() {
            Some(fault) => Err(fault),
            None => self.inner.get_opts(location, options).await,
        }
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        match self.fault() {
            Some(fault) => Box::pin(futures::stream::once(async { Err(fault) })),
            None => self.inner.list(prefix),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

struct World {
    store: Arc<Breakable>,
    archivist: Archivist,
    news: mpsc::UnboundedReceiver<ObjectRef<DeploymentAction>>,
}

impl World {
    fn new() -> Self {
        Self::on(Arc::default())
    }

    /// Another operator, on the same store.
    fn on(store: Arc<Breakable>) -> Self {
        let (sender, news) = mpsc::unbounded_channel();
        let archive = Archive::on(store.clone(), Path::default());
        let retention = Retention { age: Some(Duration::from_hours(24)), ..Retention::default() };
        Self { store, archivist: Archivist::new(archive, retention, sender, Metrics::default()), news }
    }

    fn open(&self) -> Feed {
        self.archivist.open(&key(), &ObjectRef::new("deploy")).unwrap()
    }

    /// Hands the record over, and waits for the end.
    async fn finished(&mut self, lines: u64) -> StoredLogStatus {
        self.archivist.finish(&key(), &ObjectRef::new("deploy"), record(lines));
        self.news.recv().await.unwrap();
        match self.archivist.storing("pod-1") {
            Some(Storing::Ended(end)) => end,
            other => panic!("{other:?}"),
        }
    }

    /// The numbers of the frames in the archive, and its gaps.
    async fn stored(&self) -> (Vec<u64>, Vec<(u64, u64)>) {
        let read: Vec<Read> =
            self.archivist.archive().read(&key(), Query::default()).try_collect().await.unwrap();
        let (mut numbers, mut gaps) = (Vec::new(), Vec::new());
        for entry in read {
            match entry {
                Read::Text(text) => numbers.push(text.sequence),
                Read::Missing { from, to } => gaps.push((from, to)),
            }
        }
        (numbers, gaps)
    }
}

fn key() -> LogKey {
    LogKey::new("orders", "uid-1", 3, 1, "pod-1").unwrap()
}

fn record(lines: u64) -> RunRecord {
    let mut record = RunRecord::new(ActionRecord::default(), RunNumber::default(), PodRecord::default());
    record.log = LogRecord { complete: true, lines, bytes: lines * LINE, ..LogRecord::default() };
    record
}

/// The bytes of a line, with its newline.
const LINE: u64 = 100;

fn lines(numbers: std::ops::RangeInclusive<u64>) -> Vec<Frame<'static>> {
    let text = |number: u64| format!("{number:099}").into_bytes().into();
    let line = |sequence| Frame {
        sequence,
        kind: Kind::Stdout,
        millis: sequence,
        ending: Ending::Line,
        text: text(sequence),
    };
    numbers.map(line).collect()
}

fn end(sequence: u64) -> Vec<Frame<'static>> {
    vec![Frame { kind: Kind::End, text: Vec::new().into(), ..lines(sequence..=sequence).remove(0) }]
}

async fn until(what: &str, mut is: impl FnMut() -> bool) {
    for _ in 0..10_000 {
        if is() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("never: {what}");
}

#[tokio::test(start_paused = true)]
async fn a_log_and_its_record_are_stored_and_the_status_says_where() {
    let mut world = World::new();
    let feed = world.open();
    assert!(world.archivist.open(&key(), &ObjectRef::new("deploy")).is_none(), "one writes a log");
    feed.leave(lines(1..=30));
    feed.leave(end(31));
    until("the end is stored before the record", || feed.stored() == 32).await;
    assert_eq!(world.archivist.storing("pod-1"), Some(Storing::Open));
    drop(feed);
    let told = world.finished(30).await;
    assert_eq!((told.state, told.message), (StoredState::Complete, None));
    assert_eq!(told.key, "v1/logs/orders/uid-1/0000000003-01/pod-1");
    assert!(told.until.is_some());
    assert_eq!(world.stored().await, ((1..=30).collect(), vec![]));
    assert!(world.archivist.archive().stored().await.unwrap()[0].ended);
    assert_eq!(world.archivist.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_without_a_log_has_a_record() {
    let mut world = World::new();
    let told = world.finished(0).await;
    assert_eq!((told.state, world.stored().await.0.len()), (StoredState::Complete, 0));
    assert_eq!(world.archivist.archive().stored().await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn another_operator_goes_on_after_a_crash_and_nothing_is_there_twice() {
    let first = World::new();
    let feed = first.open();
    feed.leave(lines(1..=50));
    until("some of it is stored", || feed.stored() > 20).await;
    let stored = feed.stored();
    assert!(stored <= 50, "a crash between two objects");
    first.archivist.forget("pod-1");
    let mut second = World::on(Arc::clone(&first.store));
    let feed = second.open();
    until("it knows what is there", || feed.stored() == stored).await;
    feed.leave(lines(1..=80));
    drop(feed);
    assert_eq!(second.finished(80).await.state, StoredState::Complete);
    assert_eq!(second.stored().await, ((1..=80).collect(), vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_down_for_a_while_gets_all_and_holds_a_runner_only_at_first() {
    let mut world = World::new();
    world.store.down.store(true, Ordering::Relaxed);
    let mut feed = world.open();
    feed.leave(lines(1..=30));
    tokio::time::sleep(PATIENCE / 2).await;
    assert!(feed.holds(false) && feed.stored() == 1);
    assert!(!feed.holds(true), "a runner that is to end waits less");
    tokio::time::sleep(PATIENCE).await;
    assert!(!feed.holds(false), "the runner may go on");
    feed.leave(lines(31..=60));
    assert!(!feed.has_room(), "nothing more is taken");
    world.store.down.store(false, Ordering::Relaxed);
    until("there is room again", || feed.has_room()).await;
    assert!(feed.holds(false));
    feed.leave(lines(61..=62));
    drop(feed);
    assert_eq!(world.finished(62).await.state, StoredState::Complete);
    assert_eq!(world.stored().await, ((1..=62).collect(), vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_stays_down_is_tried_for_ten_minutes_and_then_the_status_says_why() {
    for denied in [false, true] {
        let mut world = World::new();
        let feed = world.open();
        feed.leave(lines(1..=30));
        until("the beginning is stored", || feed.stored() > 10).await;
        let broken = if denied { &world.store.denies } else { &world.store.down };
        broken.store(true, Ordering::Relaxed);
        feed.leave(lines(31..=40));
        drop(feed);
        let begun = Instant::now();
        let told = world.finished(40).await;
        assert!(begun.elapsed() >= LATEST && begun.elapsed() < LATEST * 2, "{:?}", begun.elapsed());
        assert_eq!(told.state, StoredState::Failed);
        let message = told.message.unwrap();
        assert!(message.contains("frames up to 1") || message.contains("frames up to 2"), "{message}");
        let why = if denied { "denies access" } else { "the archive" };
        assert!(message.contains(why), "{message}");
        assert_eq!(world.archivist.waiting(), 0, "no memory is left behind");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_store_gets_all_and_the_runner_is_told_at_its_pace() {
    let mut world = World::new();
    world.store.slow.store(15, Ordering::Relaxed);
    let feed = world.open();
    feed.leave(lines(1..=60));
    feed.leave(end(61));
    let mut before = 1;
    until("all is stored", || {
        assert!(feed.holds(false), "it makes progress");
        assert!(feed.stored() >= before);
        before = feed.stored();
        before == 62
    })
    .await;
    drop(feed);
    assert_eq!(world.finished(60).await.state, StoredState::Complete);
}

#[tokio::test(start_paused = true)]
async fn what_never_came_is_a_gap_and_the_status_says_how_much_is_missing() {
    let mut world = World::new();
    let feed = world.open();
    feed.leave(lines(1..=10));
    feed.leave(lines(15..=20));
    drop(feed);
    let told = world.finished(20).await;
    assert_eq!(told.state, StoredState::Incomplete);
    assert!(told.message.unwrap().starts_with("16 of 20 lines are stored"));
    assert_eq!(world.stored().await.1, [(11, 14)]);
}

#[tokio::test(start_paused = true)]
async fn a_log_that_was_not_read_whole_is_no_fault_of_the_archive() {
    let mut world = World::new();
    let feed = world.open();
    feed.leave(lines(1..=10));
    drop(feed);
    let mut told = record(10);
    (told.log.complete, told.log.missing) = (false, vec!["frames 11 to 12".into()]);
    world.archivist.finish(&key(), &ObjectRef::new("deploy"), told);
    let end = world.finished(10).await;
    assert_eq!(end.state, StoredState::Incomplete);
    assert_eq!(end.message.as_deref(), Some("as it was read: frames 11 to 12"));
}

#[tokio::test(start_paused = true)]
async fn a_log_that_nobody_wants_any_more_is_forgotten_and_what_was_read_of_it_is_stored() {
    let world = World::new();
    let feed = world.open();
    feed.leave(lines(1..=3));
    let is_kept = |has_pod: bool| {
        world.archivist.keep(|_| has_pod);
        world.archivist.has(&key())
    };
    assert!(is_kept(false), "it is being read");
    drop(feed);
    tokio::time::sleep(LOOK_EVERY).await;
    assert!(is_kept(true) && !is_kept(false));
    assert_eq!(world.stored().await.0, [1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_log_that_grows_slowly_is_stored_after_a_minute() {
    let world = World::new();
    let feed = world.open();
    feed.leave(lines(1..=1));
    tokio::time::sleep(Duration::from_secs(50)).await;
    assert_eq!(feed.stored(), 1);
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(feed.stored(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_log_that_cannot_go_on_in_the_archive_holds_nobody() {
    let mut world = World::new();
    let feed = world.open();
    feed.leave(lines(1..=30));
    until("something is stored", || feed.stored() > 1).await;
    // Somebody wrote nonsense where the next object belongs.
    let names: Vec<ObjectMeta> = world.store.inner.list(None).try_collect().await.unwrap();
    for object in names {
        world.store.inner.put_opts(&object.location, "nonsense".into(), PutOptions::default()).await.unwrap();
    }
    world.archivist.forget("pod-1");
    let mut feed = world.open();
    until("it gives up", || feed.is_over()).await;
    assert!(!feed.holds(false) || feed.stored() > 0);
    feed.leave(lines(31..=60));
    assert_eq!(world.archivist.waiting(), 0);
    assert!(feed.has_room(), "nothing waits");
    let told = world.finished(60).await;
    assert!(told.state == StoredState::Failed && told.message.unwrap().contains("damaged"));
}

/// The log of a container that has ended, as its node has it.
fn on_node(lines: u64) -> String {
    let all = |write: fn(u64) -> String| (1..=lines).fold(String::new(), |text, line| text + &write(line));
    let text = all(|line| format!("{line} o {line} {line:099}\n"));
    let log = all(|line| format!("{line:099}\n"));
    let end = json!({"end": {
        "version": 1, "of": {"podUid": "pod-1", "runId": "r-1"}, "lines": lines, "bytes": log.len(),
        "sha256": sha256_hex(log.as_bytes()), "dropped": [],
    }});
    let log = format!("{text}{} z 1 {end}\n", lines + 1);
    String::from_utf8(Frame::with_lengths(log.as_bytes())).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_log_longer_than_the_room_waits_for_nobody_and_is_read_again_from_its_node() {
    let mut world = World::new();
    world.store.down.store(true, Ordering::Relaxed);
    let whole = on_node(300);
    let (client, seen) = server(move |request| {
        if request.path.ends_with("/log") {
            return (200, Value::String(whole.clone()));
        }
        let ended = json!({"exitCode": 0, "reason": "Completed"});
        let container = json!({
            "name": "action", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": ended},
        });
        (
            200,
            json!({
                "metadata": {"name": "deploy-1", "uid": "pod-1"},
                "status": {"phase": "Succeeded", "containerStatuses": [container]},
            }),
        )
    });
    let (pods, _writer) = kube::runtime::reflector::store();
    let (news, _looks) = mpsc::unbounded_channel();
    let archivist = Some(world.archivist.clone());
    let collector = Collector::new(client, pods, news, Metrics::default(), archivist);
    collector.follow(Source {
        action: ObjectRef::new("deploy").within("orders"),
        namespace: "orders".into(),
        pod: "deploy-1".into(),
        of: Identity { pod_uid: "pod-1".into(), run_id: "r-1".into() },
        grace: Duration::from_secs(30),
        key: Some(key()),
    });
    until("the log is read", || collector.fact("pod-1").is_some_and(|log| log.state == LogState::Complete))
        .await;
    assert!(world.archivist.waiting() <= ROOM + BATCH * 200, "memory is bounded");
    tokio::time::sleep(Duration::from_mins(2)).await;
    let readings = |seen: &Mutex<Vec<Seen>>| {
        seen.lock().unwrap().iter().filter(|seen| seen.path.ends_with("/log")).count()
    };
    assert_eq!(readings(&seen), 1, "nobody reads for a store that is down");
    world.store.down.store(false, Ordering::Relaxed);
    assert_eq!(world.finished(300).await.state, StoredState::Complete);
    assert_eq!(world.stored().await, ((1..=300).collect(), vec![]));
    assert!(readings(&seen) < 20, "{}", readings(&seen));
}
