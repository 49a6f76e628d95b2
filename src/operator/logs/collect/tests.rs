//! The collector on a server that answers as a test says.

use std::sync::atomic::{AtomicUsize, Ordering};

use kube::runtime::{reflector, watcher::Event};
use serde_json::{Value, json};

use super::*;
use crate::{
    operator::testing::server::{self, Answer, Seen},
    record::{self, frame::Frame},
};

const START: &str = "1 o 0 a\n2 o 1 b\n";

fn framed(lines: &str) -> String {
    String::from_utf8(Frame::with_lengths(lines.as_bytes())).unwrap()
}
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
    /// The number of readings that bring this text with this code. Then the log comes.
    Not(usize, u16, &'static str),
}

/// The collected log of an operator with an empty cache. The server answers `pod` for the pod.
async fn collected(log: Log, pod: (u16, Value)) -> LogFact {
    shown(log, pod, |fact| fact.state != LogState::Collecting).await
}

/// A collector of one log, with the server's client.
fn following(
    client: Client,
    pods: Store<Pod>,
) -> (Collector, mpsc::UnboundedReceiver<ObjectRef<DeploymentAction>>) {
    let (news, looks) = mpsc::unbounded_channel();
    let collector = Collector::new(client, pods, news, Metrics::default(), None);
    collector.follow(Source {
        action: ObjectRef::new("deploy").within("shop"),
        namespace: "shop".into(),
        pod: "deploy-1".into(),
        of: Identity { pod_uid: "p".into(), run_id: "r-1".into() },
        grace: GRACE,
        key: None,
    });
    (collector, looks)
}

/// The first state of the log that is passed on and is `wanted`.
async fn shown(log: Log, pod: (u16, Value), wanted: impl Fn(&LogFact) -> bool) -> LogFact {
    let readings = Arc::new(AtomicUsize::new(0));
    let (client, _) = server::server(move |request| {
        if !request.path.ends_with("/log") {
            return pod.clone().into();
        }
        let reading = readings.fetch_add(1, Ordering::SeqCst);
        let first = reading == 0;
        let answer = match log {
            Log::Not(times, code, text) if reading < times => (code, Value::String(text.to_owned())),
            Log::Hanging if first => return Answer::hanging(&framed(START)),
            Log::Early if first => (200, Value::String(framed(START))),
            Log::Early | Log::Not(..) => (200, Value::String(framed(&whole()))),
            Log::Open => (200, Value::String(framed(START))),
            Log::Hanging | Log::None => {
                server::failure(400, "BadRequest", "container \"action\" is not available")
            }
        };
        answer.into()
    });
    let (pods, _writer) = reflector::store();
    let (collector, mut looks) = following(client, pods);
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
async fn what_a_kubelet_says_in_a_log_s_place_is_not_the_log() {
    let ended = || {
        json!({"metadata": {"name": "deploy-1", "uid": "p"}, "status": {"containerStatuses": [{
            "name": "action", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": {"exitCode": 0}},
        }]}})
    };
    for words in [
        "unable to retrieve container logs for containerd://5f3c9a1b",
        "failed to create fsnotify watcher: too many open files\n",
        "failed to try resolving symlinks in path \"/var/log/pods/0.log\": no such file or directory\n",
    ] {
        let fact = collected(Log::Not(3, 200, words), (200, ended())).await;
        assert_eq!((fact.state, fact.lines), (LogState::Complete, 3), "{words}: {:?}", fact.missing);
        let begun = Instant::now();
        let fact = collected(Log::Not(usize::MAX, 200, words), (200, ended())).await;
        assert_eq!((fact.state, fact.lines), (LogState::Incomplete, 0), "{words}");
        let took = begun.elapsed();
        assert!(REFUSED_FOR <= took && took < 3 * REFUSED_FOR, "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_log_that_is_empty_before_its_script_starts_is_asked_for_ever_less_often() {
    let running = json!({"metadata": {"name": "deploy-1", "uid": "p"}});
    let begun = Instant::now();
    let fact = collected(Log::Not(30, 204, ""), (200, running)).await;
    assert_eq!((fact.state, fact.lines), (LogState::Complete, 3), "{:?}", fact.missing);
    assert!(begun.elapsed() > Duration::from_mins(1), "{:?}", begun.elapsed());
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

/// A pod whose runner keeps its log, on a server that answers requests for its log with the next of `logs`.
struct Keeping {
    collector: Collector,
    looks: mpsc::UnboundedReceiver<ObjectRef<DeploymentAction>>,
    seen: Arc<Mutex<Vec<Seen>>>,
    /// The cache lives as long as this.
    _writer: reflector::store::Writer<Pod>,
}

impl Keeping {
    /// `refusals` is how often a write to the pod is refused.
    fn new(annotations: &Value, logs: &[&str], refusals: usize) -> Self {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "deploy-1", "namespace": "shop", "uid": "p", "annotations": annotations},
        });
        let (reads, writes) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let logs: Vec<String> = logs.iter().map(|log| framed(log)).collect();
        let answered = pod.clone();
        let (client, seen) = server::server(move |request| {
            if request.path.ends_with("/log") {
                let at = reads.fetch_add(1, Ordering::SeqCst).min(logs.len() - 1);
                return Answer::hanging(&logs[at]);
            }
            let refused = request.method == "PATCH" && writes.fetch_add(1, Ordering::SeqCst) < refusals;
            if refused {
                return server::failure(429, "TooManyRequests", "later").into();
            }
            (200, answered.clone()).into()
        });
        let (pods, mut cache) = reflector::store();
        cache.apply_watcher_event(&Event::Apply(serde_json::from_value(pod).unwrap()));
        let (collector, looks) = following(client, pods);
        Self { collector, looks, seen, _writer: cache }
    }

    /// The log, once it is settled, and a moment more.
    async fn settled(&mut self) -> LogFact {
        while self.looks.recv().await.is_some() {
            let fact = self.collector.fact("p").unwrap();
            if fact.state != LogState::Collecting {
                tokio::time::sleep(Duration::from_secs(2)).await;
                return fact;
            }
        }
        panic!("nothing was settled");
    }

    /// What was written to the pod.
    fn credits(&self) -> Vec<Credit> {
        let seen = self.seen.lock().unwrap();
        let writes = seen.iter().filter(|seen| seen.method == "PATCH");
        let credit = |seen: &Seen| {
            assert_eq!(seen.body["metadata"]["uid"], "p", "it is this very pod");
            let annotations = &seen.body["metadata"]["annotations"];
            assert!(annotations[ANNOTATION_LOG_STATE].is_string());
            Credit::from_text(annotations[ANNOTATION_LOG_CREDIT].as_str().unwrap().as_bytes()).unwrap()
        };
        writes.map(credit).collect()
    }

    fn reads(&self) -> usize {
        self.seen.lock().unwrap().iter().filter(|seen| seen.path.ends_with("/log")).count()
    }
}

fn limits() -> Value {
    json!({ANNOTATION_LOG_LIMITS: "{}"})
}

fn beat(sequence: u64, millis: u64, generation: u32) -> String {
    format!("{sequence} c {millis} {{\"beat\":{{\"made\":4,\"generation\":{generation},\"acked\":0}}}}\n")
}

#[tokio::test(start_paused = true)]
async fn a_short_log_costs_no_write() {
    let mut keeping = Keeping::new(&limits(), &[&whole()], 0);
    assert_eq!(keeping.settled().await.state, LogState::Complete);
    assert_eq!((keeping.credits(), keeping.reads()), (vec![], 1));
    assert_eq!(keeping.seen.lock().unwrap().len(), 1, "and no other request");
}

#[tokio::test(start_paused = true)]
async fn a_runner_that_waits_is_told_what_was_read() {
    let log = whole().replacen("4 z", &format!("{}4 z", beat(3, 5, 0)), 1);
    let mut keeping = Keeping::new(&limits(), &[&log], 0);
    assert_eq!(keeping.settled().await.state, LogState::Complete);
    assert_eq!(keeping.credits(), [Credit { acked: 4, ..Credit::default() }]);
}

#[tokio::test(start_paused = true)]
async fn lost_lines_are_asked_for_and_a_silent_stream_is_opened_again() {
    let first = format!("1 o 0 a\n{}3 o 2 c\n", beat(3, 5, 0));
    let second = format!("{first}{}2 o 1 b\n{}", beat(3, 6, 1), &whole()[START.len()..]);
    let mut keeping = Keeping::new(&limits(), &[&first, &second], 0);
    let begun = Instant::now();
    let fact = keeping.settled().await;
    assert_eq!((fact.state, fact.missing.as_slice()), (LogState::Complete, &[][..]));
    let asked = Credit { acked: 1, generation: 1, from: 2 };
    assert_eq!(keeping.credits(), [asked, Credit { acked: 4, ..asked }]);
    assert_eq!(keeping.reads(), 2);
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn what_the_server_refuses_is_told_again() {
    let log = whole().replacen("4 z", &format!("{}4 z", beat(3, 5, 0)), 1);
    let mut keeping = Keeping::new(&limits(), &[&log], 1);
    assert_eq!(keeping.settled().await.state, LogState::Complete);
    let told = Credit { acked: 4, ..Credit::default() };
    assert_eq!(keeping.credits(), [told, told]);
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_that_brings_nothing_new_is_opened_again_ever_later() {
    let log = format!("{START}{}", beat(2, 5, 0));
    let mut keeping = Keeping::new(&limits(), &[&log], 0);
    let settled = keeping.settled();
    assert!(tokio::time::timeout(Duration::from_hours(1), settled).await.is_err());
    let reads = keeping.reads();
    assert!((8..25).contains(&reads), "{reads}");
}

#[tokio::test(start_paused = true)]
async fn another_operator_goes_on_where_the_one_before_stopped() {
    // It has read two lines, which the node has rotated away since.
    let mut dialogue = Dialogue::new(Identity { pod_uid: "p".into(), run_id: "r-1".into() });
    dialogue.begins(true, None);
    for line in framed(&format!("{START}{}", beat(2, 5, 0))).lines() {
        dialogue.take(line.as_bytes(), Timestamp::now(), Instant::now());
    }
    tokio::time::advance(Duration::from_secs(1)).await;
    let Some(Deed::Tell(word, false)) = dialogue.due(Instant::now()) else { panic!("it tells nothing") };
    let annotations = json!({
        ANNOTATION_LOG_LIMITS: "{}",
        ANNOTATION_LOG_CREDIT: word.credit.to_text(),
        ANNOTATION_LOG_STATE: word.state,
    });
    let mut keeping = Keeping::new(&annotations, &[&whole()[START.len()..]], 0);
    let fact = keeping.settled().await;
    assert_eq!((fact.state, fact.lines, fact.missing.as_slice()), (LogState::Complete, 3, &[][..]));
    assert_eq!(keeping.credits(), [Credit { acked: 4, ..Credit::default() }]);
}

#[tokio::test(start_paused = true)]
async fn a_runner_of_before_is_asked_for_nothing() {
    let log = whole().replacen("2 o 1 b\n", "", 1);
    let mut keeping = Keeping::new(&json!({}), &[&log], 0);
    let fact = keeping.settled().await;
    assert_eq!(fact.missing, ["frames 2 to 2 (after line 1)"]);
    assert_eq!((keeping.credits(), keeping.reads()), (vec![], 1));
}
