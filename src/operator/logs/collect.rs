//! The collector: reads the logs of running pods and puts them together.
//!
//! The end of a stream is not the end of the run or of the log. The kubelet closes a stream after 4 h, the
//! API server restarts, a file rotates. So the collector opens the stream again until it has the end record,
//! or until the container has ended and one full read is done.

use std::{
    collections::{HashMap, HashSet},
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::{AsyncBufRead, AsyncBufReadExt};
use k8s_openapi::{api::core::v1::Pod, jiff::Timestamp};
use kube::{
    Api, Client,
    api::LogParams,
    runtime::reflector::{ObjectRef, Store},
};
use tokio::{sync::mpsc, task::JoinHandle, time::Instant};
use tracing::{debug, warn};

use super::assemble::{Accepted, Assembler};
use crate::{
    api::{CONTAINER, DeploymentAction, status::LogState},
    operator::{call::call, lifecycle::facts::LogFact, pod::view::PodView, telemetry::metrics::Metrics},
    record::{
        frame::MAX_LINE_BYTES,
        outcome::{Identity, StopCause},
    },
};

/// How often a log that only grows is passed on.
const SHOW_EVERY: Duration = Duration::from_secs(5);
/// A stream without a byte for this long counts as broken, and is opened again.
const SILENCE: Duration = Duration::from_mins(5);
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
    ) -> Self {
        Self { client, pods, news, metrics, entries: Mutex::default() }
    }

    /// Starts to read this log. A second call for the same pod changes nothing.
    pub(crate) fn follow(&self, source: Source) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let uid = source.of.pod_uid.clone();
        entries.entry(uid).or_insert_with(|| {
            let fact =
                Arc::new(Mutex::new(LogFact { pod_uid: source.of.pod_uid.clone(), ..LogFact::default() }));
            let reader = Reader {
                api: Api::namespaced(self.client.clone(), &source.namespace),
                pods: self.pods.clone(),
                news: self.news.clone(),
                metrics: self.metrics.clone(),
                log: Assembler::new(source.of.clone()),
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
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.remove(pod_uid) {
            entry.task.abort();
        }
    }

    /// Forgets the logs of all pods but those with these UIDs, once their reading is over.
    pub(crate) fn keep(&self, pod_uids: &HashSet<String>) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|uid, entry| pod_uids.contains(uid) || !entry.task.is_finished());
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

struct Reader {
    source: Source,
    api: Api<Pod>,
    pods: Store<Pod>,
    news: mpsc::UnboundedSender<ObjectRef<DeploymentAction>>,
    metrics: Metrics,
    log: Assembler,
    fact: Arc<Mutex<LogFact>>,
    shown: Instant,
    /// Whether something was read since `shown`.
    unshown: bool,
}

impl Reader {
    async fn run(mut self) {
        let mut pause = PAUSE.0;
        let mut ended = false;
        let mut refused_since = None;
        loop {
            ended = ended || self.cached().is_some_and(|pod| Self::has_ended(&pod));
            let reading = self.read_once(!ended).await;
            let whole = matches!(reading, Ok(Reading::Stream));
            self.show_news();
            if reading.is_ok() {
                refused_since = None;
            }
            match reading {
                Ok(Reading::End) => break,
                // This was one full reading after the container had ended.
                Ok(Reading::Stream) if ended => break,
                Ok(Reading::Stream) => pause = PAUSE.0,
                Ok(Reading::Broken) => pause = (pause * 2).min(PAUSE.1),
                Err(error) => {
                    debug!(pod = self.source.pod, %error, "log cannot be read yet");
                    // A refusal of the kubelet counts. A kubelet that cannot be reached says nothing.
                    if ended && is_refusal(&error) {
                        let since = *refused_since.get_or_insert_with(Instant::now);
                        if since.elapsed() >= REFUSED_FOR || self.found().await == Found::Gone {
                            break;
                        }
                    }
                    pause = (pause * 2).min(PAUSE.1);
                }
            }
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
        let fact = self.log.settled();
        if fact.state == LogState::Incomplete && (fact.start.is_some() || fact.lines > 0) {
            warn!(pod = self.source.pod, missing = ?fact.missing, "log is incomplete");
        }
        self.show(fact);
    }

    /// Reads the log once. The API begins with the newest file.
    async fn read_once(&mut self, follow: bool) -> Result<Reading, kube::Error> {
        self.log.reconnected();
        let params = LogParams { container: Some(CONTAINER.to_owned()), follow, ..LogParams::default() };
        let opening = self.api.log_stream(&self.source.pod, &params);
        let stream = match tokio::time::timeout(SILENCE, opening).await {
            Ok(stream) => stream?,
            Err(_) => return Ok(Reading::Broken),
        };
        let mut stream = pin!(stream);
        let mut line = Vec::new();
        let mut heard = Instant::now();
        let mut gone_since = None;
        loop {
            match tokio::time::timeout(LOOK_EVERY, read_some(&mut stream, &mut line)).await {
                Ok(Ok(Some(whole))) => {
                    heard = Instant::now();
                    if whole {
                        self.take(&line);
                        line.clear();
                        if self.log.has_end() {
                            return Ok(Reading::End);
                        }
                    }
                }
                Ok(Ok(None)) => return Ok(Reading::Stream),
                Ok(Err(error)) => {
                    debug!(pod = self.source.pod, %error, "log stream broke");
                    return Ok(Reading::Broken);
                }
                Err(_) if follow && self.cached().is_some_and(|pod| Self::has_ended(&pod)) => {
                    return Ok(Reading::Broken);
                }
                Err(_) if heard.elapsed() > SILENCE => return Ok(Reading::Broken),
                // Its node still ends the script, and the end record comes. A connection may also hang.
                Err(_) if self.cached().is_none() && self.found().await == Found::Gone => {
                    let since = *gone_since.get_or_insert_with(Instant::now);
                    if since.elapsed() > self.source.grace.saturating_add(GONE_MARGIN) {
                        return Ok(Reading::Broken);
                    }
                    self.show_news();
                }
                // A script that wrote something is silent now. Its output is not held back.
                Err(_) => self.show_news(),
            }
        }
    }

    fn take(&mut self, line: &[u8]) {
        match self.log.accept(line, Timestamp::now()) {
            Accepted::Record => self.show(self.log.fact()),
            Accepted::Progress if self.shown.elapsed() >= SHOW_EVERY => self.show(self.log.fact()),
            Accepted::Progress => self.unshown = true,
            Accepted::Nothing => {}
        }
    }

    /// Passes on what was read since the last time.
    fn show_news(&mut self) {
        if self.unshown {
            self.show(self.log.fact());
        }
    }

    fn show(&mut self, fact: LogFact) {
        // With the end record, only `settled` says whether the log is complete. So both are passed on
        // together.
        let fact = if fact.end.is_some() { self.log.settled() } else { fact };
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

/// Whether the API server or the kubelet says that there is no such log.
fn is_refusal(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if matches!(status.code, 400 | 404))
}

/// Reads up to a newline, or as much as there is. `Some(true)` if `line` is complete, `None` at the end of
/// the stream.
async fn read_some(
    stream: &mut (impl AsyncBufRead + Unpin),
    line: &mut Vec<u8>,
) -> std::io::Result<Option<bool>> {
    let available = stream.fill_buf().await?;
    if available.is_empty() {
        return Ok(None);
    }
    let newline = available.iter().position(|&byte| byte == b'\n');
    let (text, used) = newline.map_or((available, available.len()), |at| (&available[..at], at + 1));
    let room = LONGEST_LINE.saturating_sub(line.len());
    line.extend_from_slice(&text[..text.len().min(room)]);
    stream.consume_unpin(used);
    Ok(Some(newline.is_some()))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use kube::runtime::reflector;
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        operator::testing::server::{self, Answer},
        record,
    };

    const START: &str = "1 o 0 a\n2 o 1 b\n";
    const GRACE: Duration = Duration::from_secs(45);

    fn whole() -> String {
        let of = json!({"podUid": "p", "runId": "r-1"});
        let end = json!({"end": {
            "version": 1, "of": of, "lines": 3, "bytes": 6,
            "sha256": record::sha256_hex(b"a\nb\nc\n"), "dropped": [],
        }});
        format!("{START}3 o 2 c\n4 z 3 {end}\n")
    }

    #[derive(Clone, Copy)]
    enum Log {
        /// The first reading breaks off early.
        Early,
        /// The stream never ends.
        Open,
        /// It says this much, and its connection is never heard of again.
        Hanging,
        /// There is no log.
        None,
    }

    /// The collected log of an operator with an empty cache. The server answers `pod` for the pod.
    async fn collected(log: Log, pod: (u16, Value)) -> LogFact {
        shown(log, pod, |fact| fact.state != LogState::Collecting).await
    }

    /// The first state of the log that is passed on and is `wanted`.
    async fn shown(log: Log, pod: (u16, Value), wanted: impl Fn(&LogFact) -> bool) -> LogFact {
        let readings = Arc::new(AtomicUsize::new(0));
        let (client, _) = server::server(move |request| {
            if !request.path.ends_with("/log") {
                return pod.clone().into();
            }
            let first = readings.fetch_add(1, Ordering::SeqCst) == 0;
            let answer = match log {
                Log::Hanging if first => return Answer::hanging(START),
                Log::Early if first => (200, Value::String(START.to_owned())),
                Log::Early => (200, Value::String(whole())),
                Log::Open => (200, Value::String(START.to_owned())),
                Log::Hanging | Log::None => {
                    server::failure(400, "BadRequest", "container \"action\" is not available")
                }
            };
            answer.into()
        });
        let (news, mut looks) = mpsc::unbounded_channel();
        let (pods, _writer) = reflector::store();
        let collector = Collector::new(client, pods, news, Metrics::default());
        collector.follow(Source {
            action: ObjectRef::new("deploy").within("shop"),
            namespace: "shop".into(),
            pod: "deploy-1".into(),
            of: Identity { pod_uid: "p".into(), run_id: "r-1".into() },
            grace: GRACE,
        });
        while looks.recv().await.is_some() {
            let fact = collector.fact("p").unwrap();
            if wanted(&fact) {
                return fact;
            }
        }
        panic!("nothing was settled");
    }

    #[tokio::test(start_paused = true)]
    async fn a_cache_that_does_not_know_the_pod_ends_no_log() {
        let running = json!({"metadata": {"name": "deploy-1", "uid": "p"}});
        let fact = collected(Log::Early, (200, running)).await;
        assert_eq!((fact.state, fact.lines), (LogState::Complete, 3), "{:?}", fact.missing);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pod_that_is_another_one_now_is_read_once_more_and_no_longer() {
        let other = json!({"metadata": {"name": "deploy-1", "uid": "other"}});
        let fact = collected(Log::Early, (200, other)).await;
        assert_eq!((fact.state, fact.lines), (LogState::Complete, 3), "{:?}", fact.missing);
    }

    #[tokio::test(start_paused = true)]
    async fn the_log_that_a_node_removed_with_its_evicted_container_is_waited_for_a_moment() {
        let evicted = json!({
            "metadata": {"name": "deploy-1", "uid": "p"},
            "status": {"phase": "Failed", "reason": "Evicted", "containerStatuses": [{
                "name": "action", "image": "", "imageID": "", "ready": false, "restartCount": 1,
                "state": {"terminated": {"exitCode": 137, "reason": "ContainerStatusUnknown"}},
            }]},
        });
        let begun = Instant::now();
        let fact = collected(Log::None, (200, evicted)).await;
        assert_eq!((fact.state, fact.lines), (LogState::Incomplete, 0));
        let took = begun.elapsed();
        assert!(REFUSED_FOR <= took && took < 3 * REFUSED_FOR, "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_hangs_keeps_no_run_whose_pod_is_gone_longer_than_its_container_may_live() {
        let begun = Instant::now();
        let gone = server::failure(404, "NotFound", "pods \"deploy-1\" not found");
        let fact = collected(Log::Hanging, gone).await;
        assert_eq!((fact.state, fact.lines), (LogState::Incomplete, 2));
        let took = begun.elapsed();
        assert!(GRACE <= took && took < SILENCE / 2, "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_silent_is_kept_while_the_pod_exists() {
        let running = json!({"metadata": {"name": "deploy-1", "uid": "p"}});
        let reading = collected(Log::Hanging, (200, running));
        assert!(tokio::time::timeout(SILENCE / 2, reading).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_script_wrote_before_it_fell_silent_is_shown() {
        let running = json!({"metadata": {"name": "deploy-1", "uid": "p"}});
        let fact = shown(Log::Open, (200, running), |fact| fact.lines > 0).await;
        assert_eq!((fact.state, fact.lines), (LogState::Collecting, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pod_that_is_removed_and_never_had_a_log_is_waited_for_no_longer() {
        let removed = json!({
            "metadata": {"name": "deploy-1", "uid": "p", "deletionTimestamp": "2026-11-01T10:00:00Z"},
            "status": {"containerStatuses": [{
                "name": "action", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"terminated": {"exitCode": 137, "reason": "ContainerStatusUnknown"}},
            }]},
        });
        let reading = collected(Log::None, (200, removed));
        let fact = tokio::time::timeout(Duration::from_secs(5), reading).await.unwrap();
        assert_eq!((fact.state, fact.lines), (LogState::Incomplete, 0));
    }
}
