//! The archivist: stores logs while they are read, and the record of each attempt at its end.
//!
//! Each log has a task of its own. Its reader leaves frames for it and never waits. If the store is slow, frames
//! wait in memory, up to a bound. Beyond it they are not taken, and the reader reads them again later. The task
//! tries again whatever fails: as long as the run is under way, and for ten minutes after its record was handed
//! over.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use kube::runtime::reflector::ObjectRef;
use tokio::{
    sync::{Notify, mpsc, watch},
    task::JoinHandle,
    time::Instant,
};
use tracing::{debug, info, warn};

use crate::{
    api::{
        DeploymentAction,
        status::{MAX_STORED_MESSAGE_BYTES, StoredLogStatus, StoredState},
    },
    archive::{
        Archive, ArchiveError, LogKey, Retention, Writer,
        run_record::{LogRecord, RunRecord},
    },
    operator::{lifecycle::facts::Storing, telemetry::metrics::Metrics},
    record::{
        frame::{Frame, Kind},
        outcome::truncate,
    },
};

/// The most frames of one log that wait for the store, in bytes. A runner lets 32 MiB stand without an answer,
/// beside what is on the node before it asks for one.
const ROOM: usize = if cfg!(test) { 8 * 1024 } else { 40 * 1024 * 1024 };
/// The same for all logs together.
const ROOM_FOR_ALL: usize = if cfg!(test) { 32 * 1024 } else { 48 * 1024 * 1024 };
/// The memory of a frame beside its text, in bytes.
const FRAME: usize = 96;
/// How long the store may do nothing before the runner is told that it may forget what is not stored. It waits 30
/// seconds for an answer once its script has ended, and then gives up the rest of its log.
const PATIENCE: Duration = Duration::from_secs(20);
/// The same for a runner whose pod is being deleted. It waits five seconds.
const PATIENCE_OF_DELETED: Duration = Duration::from_secs(3);
/// How long it is tried to bring a log to its end in the archive, once its record was handed over.
const LATEST: Duration = Duration::from_mins(10);
/// The first and the longest pause after an error.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));
/// How often a log that grows slowly is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Stores logs.
#[derive(Clone)]
pub(crate) struct Archivist(Arc<Shared>);

struct Shared {
    archive: Archive,
    retention: Retention,
    news: mpsc::UnboundedSender<ObjectRef<DeploymentAction>>,
    metrics: Metrics,
    /// Bytes that wait for the store, of all logs.
    waiting: Arc<AtomicUsize>,
    /// By the pod's UID.
    entries: Mutex<HashMap<String, Entry>>,
}

struct Entry {
    key: LogKey,
    account: Arc<Account>,
    record: watch::Sender<Option<Box<RunRecord>>>,
    task: JoinHandle<()>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The facts that the reader of a log and its task share.
#[derive(Debug)]
struct Account {
    /// Bytes that wait for the store: of this log, and of all.
    own: AtomicUsize,
    all: Arc<AtomicUsize>,
    /// The first frame that is not stored.
    stored: AtomicU64,
    progress: Notify,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Since when the store has done nothing that it was asked for.
    stuck_since: Option<Instant>,
    /// The latest error.
    problem: Option<ArchiveError>,
    /// When the script started, until it is noted.
    started: Option<Timestamp>,
    /// The log has no room in the archive any more: nothing will be stored.
    lost: bool,
    end: Option<StoredLogStatus>,
}

impl Account {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, bytes: usize) {
        self.own.fetch_add(bytes, Ordering::Relaxed);
        self.all.fetch_add(bytes, Ordering::Relaxed);
    }

    fn remove(&self, bytes: usize) {
        self.own.fetch_sub(bytes, Ordering::Relaxed);
        self.all.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// The reader of a log leaves frames here.
#[derive(Debug)]
pub(super) struct Feed {
    frames: mpsc::UnboundedSender<Vec<Frame<'static>>>,
    account: Arc<Account>,
    /// Whether there was room.
    open: bool,
}

impl Feed {
    /// The first frame that is not stored.
    pub(super) fn stored(&self) -> u64 {
        self.account.stored.load(Ordering::Acquire)
    }

    /// Whether there is room for more. If there was none, all that waits is stored first: each time what was left
    /// out is read again.
    pub(super) fn has_room(&mut self) -> bool {
        let own = self.account.own.load(Ordering::Relaxed);
        let all = self.account.all.load(Ordering::Relaxed);
        self.open =
            if self.open { own < ROOM && all < ROOM_FOR_ALL } else { own == 0 && all < ROOM_FOR_ALL / 2 };
        self.open
    }

    /// Whether nothing more is taken.
    pub(super) fn is_over(&self) -> bool {
        self.frames.is_closed()
    }

    /// Whether the runner must keep what is not stored. `deleted` says whether its pod is being deleted.
    pub(super) fn holds(&self, deleted: bool) -> bool {
        let patience = if deleted { PATIENCE_OF_DELETED } else { PATIENCE };
        let state = self.account.state();
        !state.lost && state.stuck_since.is_none_or(|since| since.elapsed() < patience)
    }

    /// Says when the script started, so that a stored log can be read by time.
    pub(super) fn started(&self, at: Timestamp) {
        self.account.state().started = Some(at);
    }

    /// Leaves frames, in order.
    pub(super) fn leave(&self, frames: Vec<Frame<'static>>) {
        if !frames.is_empty() {
            let bytes = weight(&frames);
            self.account.add(bytes);
            // The task is gone if the log is not wanted any more.
            if self.frames.send(frames).is_err() {
                self.account.remove(bytes);
            }
        }
    }

    /// Waits until more is stored, or there is room.
    pub(super) async fn progress(&self) {
        self.account.progress.notified().await;
    }
}

fn weight(frames: &[Frame<'_>]) -> usize {
    frames.iter().map(|frame| frame.text.len() + FRAME).sum()
}

impl Archivist {
    /// Stores in `archive`, and sends actions to `news`.
    pub(crate) fn new(
        archive: Archive,
        retention: Retention,
        news: mpsc::UnboundedSender<ObjectRef<DeploymentAction>>,
        metrics: Metrics,
    ) -> Self {
        Self(Arc::new(Shared {
            archive,
            retention,
            news,
            metrics,
            waiting: Arc::default(),
            entries: Mutex::default(),
        }))
    }

    pub(crate) fn archive(&self) -> &Archive {
        &self.0.archive
    }

    pub(crate) fn retention(&self) -> &Retention {
        &self.0.retention
    }

    fn entries(&self) -> std::sync::MutexGuard<'_, HashMap<String, Entry>> {
        self.0.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to store a log, and says where its reader leaves frames. `None` if it is being stored already, or was.
    pub(super) fn open(&self, key: &LogKey, action: &ObjectRef<DeploymentAction>) -> Option<Feed> {
        let mut entries = self.entries();
        if entries.contains_key(key.pod_uid()) {
            return None;
        }
        let (frames, left) = mpsc::unbounded_channel();
        let entry = self.begin(key, action, left);
        let feed = Feed { frames, account: Arc::clone(&entry.account), open: true };
        entries.insert(key.pod_uid().to_owned(), entry);
        Some(feed)
    }

    /// Takes the record of an attempt that has ended. Its log, if it has one, is stored first. A second record for
    /// the same pod changes nothing.
    pub(crate) fn finish(&self, key: &LogKey, action: &ObjectRef<DeploymentAction>, record: RunRecord) {
        let mut entries = self.entries();
        let entry = entries.entry(key.pod_uid().to_owned()).or_insert_with(|| {
            // Nobody reads a log.
            let (_, left) = mpsc::unbounded_channel();
            self.begin(key, action, left)
        });
        entry.record.send_if_modified(|known| {
            let first = known.is_none();
            known.get_or_insert_with(|| Box::new(record));
            first
        });
    }

    fn begin(
        &self,
        key: &LogKey,
        action: &ObjectRef<DeploymentAction>,
        left: mpsc::UnboundedReceiver<Vec<Frame<'static>>>,
    ) -> Entry {
        let account = Arc::new(Account {
            own: AtomicUsize::default(),
            all: Arc::clone(&self.0.waiting),
            stored: AtomicU64::new(1),
            progress: Notify::new(),
            state: Mutex::default(),
        });
        let (record, handed_over) = watch::channel(None);
        let task = Task {
            shared: Arc::clone(&self.0),
            key: key.clone(),
            action: action.clone(),
            account: Held(Arc::clone(&account)),
            left,
            record: handed_over,
            handed_over: None,
            bytes: 0,
            pause: PAUSE.0,
        };
        Entry { key: key.clone(), account, record, task: tokio::spawn(task.run()) }
    }

    /// The state of the log of this pod. `None` if this process does not store it.
    pub(crate) fn storing(&self, pod_uid: &str) -> Option<Storing> {
        let entries = self.entries();
        let entry = entries.get(pod_uid)?;
        let state = entry.account.state();
        Some(match &state.end {
            Some(end) => Storing::Ended(end.clone()),
            None if entry.record.borrow().is_some() => Storing::Finishing {
                key: entry.key.to_string(),
                problem: state.problem.as_ref().map(ToString::to_string),
            },
            None => Storing::Open,
        })
    }

    /// Whether the log with this key is being stored.
    pub(crate) fn has(&self, key: &LogKey) -> bool {
        self.entries().get(key.pod_uid()).is_some_and(|entry| entry.key == *key)
    }

    /// Stops to store the log of this pod, and forgets it.
    pub(crate) fn forget(&self, pod_uid: &str) {
        self.entries().remove(pod_uid);
    }

    /// Forgets the logs of pods that are gone, once all is done for them, or if nobody reads them or wants them
    /// finished any more.
    pub(crate) fn keep(&self, has_pod: impl Fn(&str) -> bool) {
        self.entries().retain(|uid, entry| {
            // The third one is the reader's.
            let is_read = Arc::strong_count(&entry.account) > 2;
            let is_open = is_read || entry.record.borrow().is_some();
            has_pod(uid) || (is_open && !entry.task.is_finished())
        });
    }

    /// How many bytes wait for the store, of all logs.
    pub(crate) fn waiting(&self) -> usize {
        self.0.waiting.load(Ordering::Relaxed)
    }
}

/// The account of a task. Frames that the task leaves behind do not count any more.
struct Held(Arc<Account>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.remove(self.0.own.load(Ordering::Relaxed));
    }
}

/// Why a log is not brought to its end.
#[derive(Debug)]
enum GivenUp {
    /// The time is over.
    Late,
    /// It can never be.
    Damaged(ArchiveError),
}

struct Task {
    shared: Arc<Shared>,
    key: LogKey,
    action: ObjectRef<DeploymentAction>,
    account: Held,
    left: mpsc::UnboundedReceiver<Vec<Frame<'static>>>,
    record: watch::Receiver<Option<Box<RunRecord>>>,
    /// When the record was handed over.
    handed_over: Option<Instant>,
    /// The bytes that are stored in the end.
    bytes: u64,
    pause: Duration,
}

/// A call of the archive, until it works or the time is over.
macro_rules! insist {
    ($task:ident, $call:expr) => {
        loop {
            $task.begins();
            match $call.await {
                Ok(done) => {
                    $task.works();
                    break done;
                }
                Err(error) => $task.failed(error).await?,
            }
        }
    };
}

impl Task {
    async fn run(mut self) {
        let stored = self.store().await;
        let end = match stored {
            Ok(end) => end,
            Err(why) => {
                self.account.0.state().lost = true;
                self.left.close();
                while self.left.try_recv().is_ok() {}
                self.account.0.progress.notify_one();
                let record = self.record().await;
                self.given_up(&record, &why)
            }
        };
        self.shared.metrics.log_stored(end.state, self.bytes);
        match end.state {
            StoredState::Complete => {
                debug!(log = %self.key, "the log is stored");
            }
            StoredState::Incomplete => {
                info!(log = %self.key, why = end.message, "a part of the log is stored");
            }
            StoredState::Failed => {
                warn!(log = %self.key, why = end.message, "the log is not stored");
            }
        }
        self.account.0.state().end = Some(end);
        self.account.0.progress.notify_one();
        // The receiver is gone only if the process ends.
        let _ = self.shared.news.send(self.action.clone());
    }

    async fn store(&mut self) -> Result<StoredLogStatus, GivenUp> {
        let archive = self.shared.archive.clone();
        let mut writer = insist!(self, archive.open(self.key.clone()));
        self.is_stored(&writer);
        loop {
            match tokio::time::timeout(LOOK_EVERY, self.left.recv()).await {
                Ok(Some(frames)) => {
                    let bytes = weight(&frames);
                    if let Some(at) = self.account.0.state().started.take() {
                        writer.started(at);
                    }
                    for frame in frames {
                        self.take(&mut writer, &frame).await?;
                    }
                    self.account.0.remove(bytes);
                    self.is_stored(&writer);
                }
                Ok(None) => break,
                Err(_) if writer.is_due() => self.flush(&mut writer).await?,
                Err(_) => {}
            }
        }
        self.flush(&mut writer).await?;
        let mut record = self.record().await;
        if record.log == LogRecord::default() {
            // Its length is not known: the action is gone, or another process has read it.
            (record.log.lines, record.log.bytes) = writer.stored_size();
        }
        insist!(self, writer.finish(&record));
        Ok(self.ended(&record, &writer))
    }

    async fn take(&mut self, writer: &mut Writer, frame: &Frame<'_>) -> Result<(), GivenUp> {
        if frame.sequence < writer.next() {
            return Ok(());
        }
        if frame.sequence > writer.next() {
            insist!(self, writer.skip_to(frame.sequence));
        }
        let before = writer.stored();
        insist!(self, writer.append(frame));
        if frame.kind == Kind::End {
            // The runner may wait for this.
            self.flush(writer).await?;
        } else if writer.stored() > before {
            self.is_stored(writer);
        }
        Ok(())
    }

    async fn flush(&mut self, writer: &mut Writer) -> Result<(), GivenUp> {
        insist!(self, writer.flush());
        self.is_stored(writer);
        Ok(())
    }

    fn is_stored(&self, writer: &Writer) {
        self.account.0.stored.store(writer.stored(), Ordering::Release);
        self.account.0.progress.notify_one();
    }

    /// Something is asked of the store.
    fn begins(&self) {
        self.account.0.state().stuck_since.get_or_insert_with(Instant::now);
    }

    fn works(&mut self) {
        self.pause = PAUSE.0;
        let mut state = self.account.0.state();
        (state.stuck_since, state.problem) = (None, None);
    }

    /// Waits before the next try, if there is to be one.
    async fn failed(&mut self, error: ArchiveError) -> Result<(), GivenUp> {
        self.shared.metrics.archive_failed(&error);
        if !matches!(error, ArchiveError::Unavailable { .. }) {
            return Err(GivenUp::Damaged(error));
        }
        debug!(log = %self.key, %error, "the archive is tried again");
        self.account.0.state().problem = Some(error);
        self.account.0.progress.notify_one();
        if self.record.borrow().is_some() {
            let since = *self.handed_over.get_or_insert_with(Instant::now);
            if since.elapsed() >= LATEST {
                return Err(GivenUp::Late);
            }
        }
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSE.1);
        Ok(())
    }

    /// The record of the attempt, once it has ended.
    async fn record(&mut self) -> Box<RunRecord> {
        loop {
            if let Some(record) = self.record.borrow_and_update().clone() {
                self.handed_over.get_or_insert_with(Instant::now);
                return record;
            }
            if self.record.changed().await.is_err() {
                // The entry is dropped, and this task with it.
                std::future::pending::<()>().await;
            }
        }
    }

    fn ended(&mut self, record: &RunRecord, writer: &Writer) -> StoredLogStatus {
        let (lines, bytes) = writer.stored_size();
        self.bytes = bytes;
        let log = &record.log;
        // More than was counted, if another operator had begun to count and nobody knows what.
        let has_all = lines >= log.lines && bytes >= log.bytes;
        let message = if has_all {
            log.missing.first().map(|missing| format!("as it was read: {missing}"))
        } else {
            Some(format!(
                "{lines} of {} lines are stored: the archive took the others too late, and they could not be read again",
                log.lines
            ))
        };
        let complete = log.complete && has_all || log.lines == 0 && lines == 0 && log.missing.is_empty();
        let state = if complete { StoredState::Complete } else { StoredState::Incomplete };
        self.told(state, message.filter(|_| !complete), Timestamp::now())
    }

    fn given_up(&self, record: &RunRecord, why: &GivenUp) -> StoredLogStatus {
        let problem = match why {
            GivenUp::Damaged(error) => error.to_string(),
            GivenUp::Late => {
                let state = self.account.0.state();
                state.problem.as_ref().map_or_else(|| "it did not answer".to_owned(), ToString::to_string)
            }
        };
        let stored = self.account.0.stored.load(Ordering::Acquire).saturating_sub(1);
        let message =
            format!("frames up to {stored} are stored, of a log of {} lines: {problem}", record.log.lines);
        self.told(StoredState::Failed, Some(message), Timestamp::now())
    }

    fn told(&self, state: StoredState, message: Option<String>, now: Timestamp) -> StoredLogStatus {
        let until = self.shared.retention.until(now);
        StoredLogStatus {
            state,
            key: self.key.to_string(),
            until: until.map(|time| Time(Timestamp::from_second(time.as_second()).unwrap_or(time))),
            message: message.map(|mut message| {
                truncate(&mut message, MAX_STORED_MESSAGE_BYTES);
                message
            }),
        }
    }
}

#[cfg(test)]
mod tests;
