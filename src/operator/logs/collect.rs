//! The collector: reads the logs of running pods and puts them together.
//!
//! The end of a stream is not the end of the run or of the log. The kubelet closes a stream after 4 h, the
//! API server restarts, a file rotates. So the collector opens the stream again until it has the end record,
//! or until the container has ended and one full read is done.
//!
//! A runner that keeps what it wrote is told how much of it is read, and asked to send again what is lost
//! ([`crate::record::credit`]). Nothing is said in the free zone, so most logs cost no write.

use std::{
    collections::{HashMap, HashSet},
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::AsyncBufReadExt;
use k8s_openapi::{api::core::v1::Pod, jiff::Timestamp};
use kube::{
    Api, Client, ResourceExt,
    api::LogParams,
    runtime::reflector::{ObjectRef, Store},
};
use tokio::{sync::mpsc, task::JoinHandle, time::Instant};
use tracing::{debug, warn};

use super::{
    acknowledge::{self, Acknowledger, Addressee},
    archivist::{Archivist, Feed},
    dialogue::{Deed, Dialogue},
};
use crate::{
    api::{
        ANNOTATION_LOG_CREDIT, ANNOTATION_LOG_LIMITS, ANNOTATION_LOG_STATE, CONTAINER, DeploymentAction,
        status::LogState,
    },
    archive::LogKey,
    operator::{
        call::call, fair::Turns, lifecycle::facts::LogFact, pod::view::PodView, telemetry::metrics::Metrics,
    },
    record::{
        credit::{Credit, Limits},
        frame::MAX_LINE_BYTES,
        outcome::{Identity, StopCause},
    },
};

/// How often a log that only grows is passed on.
const SHOW_EVERY: Duration = Duration::from_secs(5);
/// A stream without a byte for this long counts as broken, and is opened again.
const SILENCE: Duration = Duration::from_mins(5);
/// The same for a runner that waits for acknowledgements: it says something every second while one is due. If
/// a new stream brings nothing new either, the time doubles, up to [`SILENCE`].
const SHORT_SILENCE: Duration = Duration::from_secs(4);
/// How long such a stream may take to open.
const OPENING: Duration = Duration::from_secs(10);
/// How often the reader of a silent stream checks whether the container has ended.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How much longer than its grace period a container may go on after its pod is gone. A busy node needs a while
/// to end it.
const GONE_MARGIN: Duration = Duration::from_secs(15);
/// The first and the longest pause before a log is requested again.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// How long a kubelet is asked again for the log of an ended container if it says that it has none. It
/// removes the containers of an evicted pod at once, and its answers may be a moment behind what it reports.
const REFUSED_FOR: Duration = Duration::from_secs(5);
/// How long a log is read again for an archive that had no room for all of it.
const CATCH_UP: Duration = Duration::from_mins(10);
/// The most frames that are handed over to the archive at once.
pub(super) const BATCH: usize = 64;
/// How often the reader of a log looks for room in the archive, if nothing wakes it.
const LOOK_FOR_ROOM: Duration = Duration::from_secs(1);
/// A longer line is cut here. Our runner never writes one.
const LONGEST_LINE: usize = 4 * MAX_LINE_BYTES;

/// The log to read.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// The action to look at when there is news.
    pub action: ObjectRef<DeploymentAction>,
    pub namespace: String,
    pub pod: String,
    /// The identity that its records carry.
    pub of: Identity,
    /// The time from SIGTERM to SIGKILL for the pod's container.
    pub grace: Duration,
    /// The log's name in the archive, if there is one.
    pub key: Option<LogKey>,
}

struct Entry {
    fact: Arc<Mutex<LogFact>>,
    task: JoinHandle<()>,
}

/// All logs that are being read or kept, by the pod's UID.
pub(crate) struct Collector {
    client: Client,
    pods: Store<Pod>,
    news: mpsc::UnboundedSender<ObjectRef<DeploymentAction>>,
    metrics: Metrics,
    turns: Turns,
    archivist: Option<Archivist>,
    entries: Mutex<HashMap<String, Entry>>,
}

impl Collector {
    /// Reads with `client`, checks in `pods` whether a container has ended, and sends actions to `news`.
    #[must_use]
    pub(crate) fn new(
        client: Client,
        pods: Store<Pod>,
        news: mpsc::UnboundedSender<ObjectRef<DeploymentAction>>,
        metrics: Metrics,
        archivist: Option<Archivist>,
    ) -> Self {
        Self {
            client,
            pods,
            news,
            metrics,
            turns: acknowledge::turns(),
            archivist,
            entries: Mutex::default(),
        }
    }

    /// Starts to read this log. A second call for the same pod changes nothing.
    pub(crate) fn follow(&self, source: Source) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let uid = source.of.pod_uid.clone();
        entries.entry(uid).or_insert_with(|| {
            let fact =
                Arc::new(Mutex::new(LogFact { pod_uid: source.of.pod_uid.clone(), ..LogFact::default() }));
            let archivist = self.archivist.as_ref();
            let feed = archivist
                .zip(source.key.as_ref())
                .and_then(|(archivist, key)| archivist.open(key, &source.action));
            let dialogue = Dialogue::new(source.of.clone());
            let reader = Reader {
                api: Api::namespaced(self.client.clone(), &source.namespace),
                pods: self.pods.clone(),
                news: self.news.clone(),
                metrics: self.metrics.clone(),
                turns: self.turns.clone(),
                dialogue: if feed.is_some() { dialogue.archived() } else { dialogue },
                feed,
                catches_up: false,
                acknowledger: None,
                brought: Brought::Nothing,
                silences: 0,
                fact: Arc::clone(&fact),
                shown: Instant::now(),
                unshown: false,
                source,
            };
            Entry { fact, task: tokio::spawn(reader.run()) }
        });
    }

    /// The log of this pod, as far as it has been read. `None` if it is not followed.
    #[must_use]
    pub(crate) fn fact(&self, pod_uid: &str) -> Option<LogFact> {
        self.look(pod_uid, LogFact::clone)
    }

    /// Whether the log says that the script was asked to stop, and not by its own deadline.
    #[must_use]
    pub(crate) fn was_stopped(&self, pod_uid: &str) -> bool {
        let stopped = |log: &LogFact| {
            let stop = log.exit.as_ref().and_then(|(exit, _)| exit.stop);
            stop.is_some_and(|stop| stop.cause == StopCause::Terminated)
        };
        self.look(pod_uid, stopped).unwrap_or_default()
    }

    fn look<T>(&self, pod_uid: &str, read: impl FnOnce(&LogFact) -> T) -> Option<T> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let fact = entries.get(pod_uid)?.fact.lock().unwrap_or_else(PoisonError::into_inner);
        Some(read(&fact))
    }

    /// Stops reading, and forgets the log.
    pub(crate) fn forget(&self, pod_uid: &str) {
        if let Some(archivist) = &self.archivist {
            archivist.forget(pod_uid);
        }
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.remove(pod_uid) {
            entry.task.abort();
        }
    }

    /// Forgets the logs of all pods but those with these UIDs, once their reading is over.
    pub(crate) fn keep(&self, pod_uids: &HashSet<String>) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|uid, entry| pod_uids.contains(uid) || !entry.task.is_finished());
        if let Some(archivist) = &self.archivist {
            archivist.keep(|uid| pod_uids.contains(uid));
        }
    }

    /// How many logs are being read or kept.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// How one reading of a stream ended.
#[derive(Debug, PartialEq, Eq)]
enum Reading {
    /// At the end record.
    End,
    /// At the end of the stream, closed by the server.
    Stream,
    /// Before the end of the stream. More may follow.
    Broken,
    /// Before the end of the stream, because the archive has room for what was read before.
    Again,
}

/// The state of the pod.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// It exists. Its container has not ended, or nothing shows that it has.
    Running,
    /// It exists, and its container has ended.
    Ended,
    /// It no longer exists, or it is being removed and its container has ended. A log that cannot be read now
    /// can never be read.
    Gone,
}

/// What a reading brought. The later ones include the earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Brought {
    Nothing,
    Text,
    /// Something that no reading before had.
    News,
}

struct Reader {
    source: Source,
    api: Api<Pod>,
    pods: Store<Pod>,
    news: mpsc::UnboundedSender<ObjectRef<DeploymentAction>>,
    metrics: Metrics,
    turns: Turns,
    dialogue: Dialogue,
    /// Takes the frames for the archive.
    feed: Option<Feed>,
    /// Whether the log is only read for the archive any more.
    catches_up: bool,
    /// Made once there is something to say.
    acknowledger: Option<Acknowledger>,
    /// What this reading brought.
    brought: Brought,
    /// How many readings in a row brought nothing new until they were given up.
    silences: u32,
    fact: Arc<Mutex<LogFact>>,
    shown: Instant,
    /// Whether something was read since `shown`.
    unshown: bool,
}

impl Reader {
    async fn run(mut self) {
        self.resume().await;
        let mut pause = PAUSE.0;
        let mut ended = false;
        let mut refused_since = None;
        loop {
            ended = ended || self.cached().is_some_and(|pod| Self::has_ended(&pod));
            let reading = self.read_once(!ended).await;
            let whole = matches!(reading, Ok(Reading::Stream));
            self.show_news();
            // A refusal of the kubelet counts. A kubelet that cannot be reached says nothing. Some refusals come
            // as a log: its words stand where the frames should.
            let refused = match &reading {
                Ok(Reading::Stream) => self.brought > Brought::Nothing && !self.dialogue.is_framed(),
                Ok(_) => false,
                Err(error) => is_refusal(error),
            };
            if reading.is_ok() && !refused {
                refused_since = None;
            }
            if self.brought == Brought::News {
                pause = PAUSE.0;
            }
            match reading {
                Ok(Reading::End) => break,
                // This was one full reading after the container had ended.
                Ok(Reading::Stream) if ended && !refused => break,
                Ok(Reading::Again) => continue,
                Ok(_) => {}
                Err(error) => debug!(pod = self.source.pod, %error, "log cannot be read yet"),
            }
            if ended && refused {
                let since = *refused_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= REFUSED_FOR || self.found().await == Found::Gone {
                    break;
                }
            }
            pause = (pause * 2).min(PAUSE.1);
            if !ended {
                ended = self.found().await != Found::Running;
                if ended && whole {
                    // The rest is read at once, without following.
                    self.metrics.log_again();
                    continue;
                }
            }
            tokio::time::sleep(pause).await;
            self.metrics.log_again();
        }
        let fact = self.dialogue.settled();
        if fact.state == LogState::Incomplete && (fact.start.is_some() || fact.lines > 0) {
            warn!(pod = self.source.pod, missing = ?fact.missing, "log is incomplete");
        }
        self.show(fact);
        if let Some(at) = self.dialogue.acknowledges_exit_at(Instant::now()).filter(|_| self.dialogue.waits())
        {
            tokio::time::sleep_until(at).await;
        }
        // The runner may end now.
        self.settle_up();
        self.catch_up(ended).await;
    }

    /// Reads again what the archive had no room for, and tells the runner once it has all.
    async fn catch_up(&mut self, ended: bool) {
        let until = Instant::now() + CATCH_UP;
        self.catches_up = true;
        while let Some(feed) = self.feed.as_ref().filter(|feed| !feed.is_over() && Instant::now() < until) {
            let behind = self.dialogue.archive_is_behind();
            if !behind && !self.dialogue.owes_archive() {
                return;
            }
            // It wakes up for each step of the archive.
            let _ = tokio::time::timeout(LOOK_FOR_ROOM, feed.progress()).await;
            self.settle_up();
            if behind && self.dialogue.archive_wants_again() {
                let reading = self.read_once(!ended).await;
                self.pass_on();
                if reading.is_err() && self.found().await == Found::Gone {
                    return;
                }
            }
        }
    }

    /// Goes on where another operator stopped, if that operator told the runner anything. Nobody else can read
    /// again what the runner has forgotten since.
    async fn resume(&mut self) {
        let told = |pod: &Pod| pod.annotations().contains_key(ANNOTATION_LOG_CREDIT);
        if !self.cached().is_some_and(|pod| told(&pod)) {
            return;
        }
        let mut pause = PAUSE.0;
        let pod = loop {
            // The cache does not keep all annotations.
            match call(self.api.get_metadata_opt(&self.source.pod)).await {
                Ok(Some(pod)) if pod.metadata.uid.as_deref() == Some(&self.source.of.pod_uid) => break pod,
                Ok(_) => return,
                Err(error) => debug!(pod = self.source.pod, %error, "the pod cannot be read"),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE.1);
        };
        let annotation = |name: &str| pod.annotations().get(name);
        let credit = annotation(ANNOTATION_LOG_CREDIT).and_then(|text| Credit::from_text(text.as_bytes()));
        let Some(credit) = credit else { return };
        let state = annotation(ANNOTATION_LOG_STATE).map(String::as_str);
        let resumed = Dialogue::resumed(self.source.of.clone(), credit, state);
        self.dialogue = if self.feed.is_some() { resumed.archived() } else { resumed };
    }

    /// How long the stream may be silent.
    fn silence(&self) -> Duration {
        if self.dialogue.waits() {
            SHORT_SILENCE.saturating_mul(1 << self.silences.min(10)).min(SILENCE)
        } else {
            SILENCE
        }
    }

    /// Reads the log once. The API begins with the newest file.
    async fn read_once(&mut self, follow: bool) -> Result<Reading, kube::Error> {
        self.brought = Brought::Nothing;
        if let Some(feed) = &self.feed
            && let Some(at) = self.cached().and_then(|pod| PodView::of(&pod).started_at())
        {
            feed.started(at.0);
        }
        self.dialogue.begins(follow, self.cached().and_then(|pod| limits(&pod)));
        debug!(
            pod = self.source.pod,
            follow,
            next = self.dialogue.next_frames().0,
            archive = self.dialogue.next_frames().1,
            "reading"
        );
        let params = LogParams { container: Some(CONTAINER.to_owned()), follow, ..LogParams::default() };
        let opening = self.api.log_stream(&self.source.pod, &params);
        let limit = if self.dialogue.waits() { OPENING } else { SILENCE };
        let stream = match tokio::time::timeout(limit, opening).await {
            Ok(stream) => stream?,
            Err(_) => return Ok(Reading::Broken),
        };
        let mut stream = pin!(stream);
        let mut line = Vec::new();
        let mut heard = Instant::now();
        let mut looked = heard;
        let mut gone_since = None;
        loop {
            let now = Instant::now();
            let silence = self.silence();
            let wake = (heard.max(looked) + LOOK_EVERY).min(heard + silence);
            let wake = self.dialogue.next(now).map_or(wake, |due| due.min(wake));
            if self.is_wanted_again() {
                return Ok(Reading::Again);
            }
            let read = tokio::select! {
                biased;
                read = tokio::time::timeout_at(wake, stream.fill_buf()) => read,
                () = progress(self.feed.as_ref()) => {
                    self.settle_up();
                    continue;
                }
            };
            match read {
                Ok(Ok([])) => return Ok(Reading::Stream),
                Ok(Ok(available)) => {
                    heard = Instant::now();
                    let used = available.len();
                    self.brought = self.brought.max(Brought::Text);
                    self.take_all(available, &mut line, heard);
                    stream.consume_unpin(used);
                    let over =
                        if self.catches_up { self.dialogue.has_all() } else { self.dialogue.has_end() };
                    if over {
                        return Ok(Reading::End);
                    }
                    self.settle_up();
                }
                Ok(Err(error)) => {
                    debug!(pod = self.source.pod, %error, "log stream broke");
                    return Ok(Reading::Broken);
                }
                Err(_) => {
                    self.settle_up();
                    let now = Instant::now();
                    if now >= heard + silence {
                        self.silences =
                            if self.brought == Brought::News { 0 } else { self.silences.saturating_add(1) };
                        return Ok(Reading::Broken);
                    }
                    if now < heard.max(looked) + LOOK_EVERY {
                        continue;
                    }
                    looked = now;
                    if follow && self.cached().is_some_and(|pod| Self::has_ended(&pod)) {
                        return Ok(Reading::Broken);
                    }
                    // Its node still ends the script, and the end record comes. A connection may also hang.
                    if self.cached().is_none() && self.found().await == Found::Gone {
                        let since = *gone_since.get_or_insert_with(Instant::now);
                        if since.elapsed() > self.source.grace.saturating_add(GONE_MARGIN) {
                            return Ok(Reading::Broken);
                        }
                    }
                    // A script that wrote something is silent now. Its output is not held back.
                    self.show_news();
                }
            }
        }
    }

    /// Takes what came: the end of `line`, whole lines, and the beginning of the next, which is left in `line`.
    fn take_all(&mut self, text: &[u8], line: &mut Vec<u8>, now: Instant) {
        let time = Timestamp::now();
        for part in text.split_inclusive(|&byte| byte == b'\n') {
            let (part, whole) = part.strip_suffix(b"\n").map_or((part, false), |part| (part, true));
            if whole && line.is_empty() {
                self.take(&part[..part.len().min(LONGEST_LINE)], time, now);
                continue;
            }
            let room = LONGEST_LINE.saturating_sub(line.len());
            line.extend_from_slice(&part[..part.len().min(room)]);
            if whole {
                self.take(line, time, now);
                line.clear();
            }
        }
    }

    fn take(&mut self, line: &[u8], time: Timestamp, now: Instant) {
        let news = self.dialogue.take(line, time, now);
        if self.dialogue.has_for_archive() >= BATCH {
            self.pass_on();
        }
        if news.fresh {
            (self.brought, self.silences) = (Brought::News, 0);
        }
        self.unshown |= news.text;
        if news.record || (news.text && self.shown.elapsed() >= SHOW_EVERY) {
            self.show(self.dialogue.fact());
        }
    }

    /// Leaves frames for the archive, and notes what it has.
    fn pass_on(&mut self) {
        if self.feed.is_none() {
            return;
        }
        let deleted = self.cached().is_some_and(|pod| pod.metadata.deletion_timestamp.is_some());
        if let Some(feed) = &mut self.feed {
            feed.leave(self.dialogue.for_archive());
            self.dialogue.archive_has(feed.stored(), feed.has_room(), feed.holds(deleted));
        }
    }

    /// Whether to begin the log again for the archive.
    fn is_wanted_again(&self) -> bool {
        self.dialogue.is_wanted_again() && self.feed.as_ref().is_some_and(|feed| !feed.is_over())
    }

    /// Does what is due: mostly tells the runner how much is read.
    fn settle_up(&mut self) {
        self.pass_on();
        let now = Instant::now();
        if let Some(told) = self.acknowledger.as_ref().and_then(Acknowledger::told) {
            self.dialogue.told(told, now);
        }
        match self.dialogue.due(now) {
            None => {}
            Some(Deed::GaveUp) => {
                warn!(pod = self.source.pod, "lost frames are given up: the runner does not send them again");
                self.metrics.log_given_up();
            }
            Some(Deed::Tell(word, asks)) => {
                debug!(pod = self.source.pod, credit = ?word.credit, asks, "the runner is told");
                if asks {
                    self.metrics.log_asked_again();
                }
                let acknowledger = self.acknowledger.get_or_insert_with(|| {
                    let to = Addressee {
                        api: self.api.clone(),
                        namespace: self.source.namespace.clone(),
                        name: self.source.pod.clone(),
                        uid: self.source.of.pod_uid.clone(),
                    };
                    Acknowledger::new(to, self.turns.clone(), self.metrics.clone())
                });
                acknowledger.tell(word);
            }
        }
    }

    /// Passes on what was read since the last time.
    fn show_news(&mut self) {
        if self.unshown {
            self.show(self.dialogue.fact());
        }
    }

    fn show(&mut self, fact: LogFact) {
        // With the end record, only `settled` says whether the log is complete. So both are passed on
        // together.
        let fact = if fact.end.is_some() { self.dialogue.settled() } else { fact };
        self.shown = Instant::now();
        self.unshown = false;
        *self.fact.lock().unwrap_or_else(PoisonError::into_inner) = fact;
        // The receiver is gone only if the process ends.
        let _ = self.news.send(self.source.action.clone());
    }

    fn cached(&self) -> Option<Arc<Pod>> {
        let name = ObjectRef::new(&self.source.pod).within(&self.source.namespace);
        self.pods.get(&name).filter(|pod| self.is_ours(pod))
    }

    /// A cache that does not know the pod proves nothing. It may not be filled yet, or be behind. Then the
    /// API server is asked.
    async fn found(&self) -> Found {
        let found = |pod: &Pod| match (Self::has_ended(pod), pod.metadata.deletion_timestamp.is_some()) {
            (true, true) => Found::Gone,
            (true, false) => Found::Ended,
            (false, _) => Found::Running,
        };
        if let Some(pod) = self.cached() {
            return found(&pod);
        }
        match call(self.api.get_opt(&self.source.pod)).await {
            Ok(Some(pod)) if self.is_ours(&pod) => found(&pod),
            Ok(_) => Found::Gone,
            Err(error) => {
                debug!(pod = self.source.pod, %error, "the pod cannot be read");
                Found::Running
            }
        }
    }

    fn is_ours(&self, pod: &Pod) -> bool {
        pod.metadata.uid.as_deref() == Some(&self.source.of.pod_uid)
    }

    fn has_ended(pod: &Pod) -> bool {
        let view = PodView::of(pod);
        view.terminated().is_some() || view.stillborn.is_some() || view.gone
    }
}

/// Waits until the archive has more, or room. Without an archive, for ever.
async fn progress(feed: Option<&Feed>) {
    match feed {
        Some(feed) => feed.progress().await,
        None => std::future::pending().await,
    }
}

/// Whether the API server or the kubelet says that there is no such log.
fn is_refusal(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if matches!(status.code, 400 | 404))
}

/// The limits of the pod's runner, if it keeps what it wrote. Somebody may have made them unreadable since.
fn limits(pod: &Pod) -> Option<Limits> {
    let text = pod.annotations().get(ANNOTATION_LOG_LIMITS)?;
    Some(serde_json::from_str(text).unwrap_or_default())
}

#[cfg(test)]
mod tests;
