//! What is there: the API server's objects, the nodes' processes, and the operator's caches and memory.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use crate::decided::Created;
use longshore::{
    api::{DeploymentAction, DeploymentActionStatus, status::LogState, status::RunStatus},
    operator::{
        expand::{Blocked, check},
        facts::LogFact,
        pod::{RUNNER_GRACE_SECONDS, pod_name},
        status::seconds,
        validate::Checked,
        view::{AT_ONCE_SECONDS, ContainerView, PodView, Terminated},
    },
    record::{
        VERSION,
        outcome::{Exit, Identity, Outcome, Start, Stop, StopCause, Termination},
    },
};

pub(crate) const UID: &str = "5f3c9a1b-1234-4321-8765-123456789abc";

/// Run and attempt: a pod's name follows from them.
pub(crate) type Attempt = (u32, u32);
/// Milliseconds since the model's beginning.
pub(crate) type Millis = i64;

/// The deadlines of the model's action, in seconds. A run takes longer than a pod's deletion may.
pub(crate) const PENDING: i64 = 5;
pub(crate) const RUN: i64 = 1000;
pub(crate) const GRACE: i64 = 1;

pub(crate) fn at(millis: Millis) -> Timestamp {
    Timestamp::from_second(1_000_000).unwrap() + SignedDuration::from_millis(millis)
}

/// An action as the API server has it, with what is costly to make of it. Its version is its content: two
/// that say the same are the same to whoever decides, and so to the compare-and-swap here.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) action: DeploymentAction,
    pub(crate) spec: Arc<Result<Checked, Blocked>>,
    print: u64,
}

impl Stored {
    pub(crate) fn new(action: DeploymentAction) -> Arc<Self> {
        let spec = Arc::new(check(&action, None, "amd64"));
        Self::with(action, spec)
    }

    fn with(action: DeploymentAction, spec: Arc<Result<Checked, Blocked>>) -> Arc<Self> {
        let mut hasher = DefaultHasher::new();
        serde_json::to_string(&action).unwrap().hash(&mut hasher);
        Arc::new(Self { print: hasher.finish(), action, spec })
    }

    /// The next version, with another spec or other metadata.
    pub(crate) fn changed(&self, change: impl FnOnce(&mut DeploymentAction)) -> Arc<Self> {
        let mut action = self.action.clone();
        change(&mut action);
        let same = action.spec == self.action.spec;
        if !same {
            action.metadata.generation = action.metadata.generation.map(|generation| generation + 1);
        }
        let spec = if same { Arc::clone(&self.spec) } else { Arc::new(check(&action, None, "amd64")) };
        Self::with(action, spec)
    }

    /// The next version, with another status.
    pub(crate) fn written(&self, status: Option<DeploymentActionStatus>) -> Arc<Self> {
        let action = DeploymentAction { status, ..self.action.clone() };
        Self::with(action, Arc::clone(&self.spec))
    }

    pub(crate) fn run(&self) -> Option<&RunStatus> {
        self.action.status.as_ref()?.run.as_ref()
    }

    /// The attempt whose pod the status names.
    pub(crate) fn named(&self) -> Option<Attempt> {
        let run = self.run()?;
        run.pod_name.as_ref().map(|_| (run.number, run.attempt))
    }

    pub(crate) fn is_deleted(&self) -> bool {
        self.action.metadata.deletion_timestamp.is_some()
    }
}

impl PartialEq for Stored {
    fn eq(&self, other: &Self) -> bool {
        self.print == other.print
    }
}

impl Eq for Stored {}

impl Hash for Stored {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.print.hash(state);
    }
}

/// How a process, or the pod without one, ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum How {
    /// By itself, with this exit code.
    Exited(u8),
    /// It was asked to stop.
    Stopped,
    /// At its own deadline.
    Deadline,
    /// Killed together with its runner: nothing was recorded.
    Killed,
    /// The runtime could not start it.
    StartError,
    /// The kubelet removed a pod of which it had started nothing.
    NeverRan,
}

impl How {
    fn record(self, uid: u32, run: u32) -> Option<Exit> {
        let stopped = |cause| Some(Stop { cause, killed: false });
        let (outcome, stop) = match self {
            Self::Exited(code) => (Outcome::Exited { code }, None),
            Self::Stopped => (Outcome::Signaled { signal: 15 }, stopped(StopCause::Terminated)),
            Self::Deadline => (Outcome::Signaled { signal: 15 }, stopped(StopCause::RunDeadline)),
            Self::Killed | Self::StartError | Self::NeverRan => return None,
        };
        Some(Exit {
            version: VERSION,
            of: identity(uid, run),
            outcome,
            stop,
            millis: 1000,
            outputs: BTreeMap::new(),
            outputs_dropped: vec![],
            replayed: false,
        })
    }

    const fn reason(self) -> &'static str {
        match self {
            Self::Exited(0) => "Completed",
            Self::StartError => "StartError",
            Self::NeverRan => "ContainerStatusUnknown",
            _ => "Error",
        }
    }
}

fn identity(uid: u32, run: u32) -> Identity {
    Identity { pod_uid: pod_uid(uid), run_id: format!("5f3c9a1b-{run}") }
}

pub(crate) fn pod_uid(uid: u32) -> String {
    format!("pod-{uid}")
}

/// The UID's number.
pub(crate) fn number(uid: &str) -> u32 {
    uid.strip_prefix("pod-").and_then(|number| number.parse().ok()).unwrap_or_default()
}

/// What the API server shows of a pod's container.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Shown {
    Waiting,
    Running { since: Millis },
    Ended { since: Option<Millis>, at: Millis, how: How },
}

/// A pod, as the API server has it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Pod {
    pub(crate) attempt: Attempt,
    pub(crate) uid: u32,
    pub(crate) created: Millis,
    pub(crate) tombstone: bool,
    pub(crate) bundle: Option<Arc<str>>,
    pub(crate) finalizer: bool,
    /// By when it should be gone, where it is being deleted.
    pub(crate) deleted: Option<Millis>,
    /// By force: without waiting for its node.
    pub(crate) forced: bool,
    pub(crate) expired: bool,
    pub(crate) told: Option<Millis>,
    pub(crate) shown: Shown,
}

impl Pod {
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.shown, Shown::Ended { .. })
    }

    /// Deletes it: the API server puts the grace period on top of the moment.
    pub(crate) fn delete(&mut self, now: Millis, forced: bool) {
        let grace = if forced { 0 } else { (GRACE + RUNNER_GRACE_SECONDS) * 1000 };
        self.deleted = Some(self.deleted.map_or(now + grace, |before| before.min(now + grace)));
        self.forced |= forced;
    }

    /// Whether nothing keeps it.
    pub(crate) fn may_go(&self) -> bool {
        let node_is_done = self.has_ended() || self.tombstone || self.forced;
        self.deleted.is_some() && !self.finalizer && node_is_done
    }

    /// When its own deadline has passed, which a kubelet keeps that hears nothing any more.
    pub(crate) const fn until(&self) -> Millis {
        // It counts from when the kubelet took the pod, which is before the pending deadline.
        self.created + (2 * PENDING + RUN + GRACE + RUNNER_GRACE_SECONDS) * 1000
    }

    pub(crate) fn view(&self) -> PodView {
        let time = |millis: Millis| seconds(at(millis));
        let (container, started) = match &self.shown {
            Shown::Waiting => (ContainerView::Waiting, false),
            Shown::Running { since } => (ContainerView::Running { since: Some(time(*since)) }, true),
            Shown::Ended { since, at, how } => {
                let record = how.record(self.uid, self.attempt.0);
                let record = record.map(|exit| Termination { exit, outputs_sha256: None, end: None });
                let end = Terminated {
                    started_at: since.map(time),
                    finished_at: (*how != How::NeverRan).then(|| time(*at)),
                    exit_code: 1,
                    reason: how.reason().to_owned(),
                    record,
                    message: None,
                };
                (ContainerView::Terminated(Box::new(end)), !matches!(how, How::StartError | How::NeverRan))
            }
        };
        let (run, attempt) = self.attempt;
        let deleting = self.deleted.is_some();
        PodView {
            name: pod_name("deploy", UID, run, attempt),
            uid: pod_uid(self.uid),
            created_at: Some(time(self.created)),
            owner_uid: Some(UID.to_owned()),
            attempt: Some(self.attempt),
            bundle_sha256: self.bundle.as_deref().map(ToOwned::to_owned),
            tombstone: self.tombstone,
            finalizer: self.finalizer,
            deleting,
            deleting_since: self.deleted.map(time),
            // A tombstone is on no node.
            gone: deleting && (self.has_ended() || self.tombstone),
            reason: (self.expired && self.has_ended()).then(|| "DeadlineExceeded".to_owned()),
            node: (!self.tombstone).then(|| "node-1".to_owned()),
            image: Some(format!("registry.example.com/tools@sha256:{}", "1".repeat(64))),
            active_deadline_seconds: self.expired.then_some(AT_ONCE_SECONDS),
            stop_requested_at: self.told.map(at),
            container,
            started,
            ..PodView::default()
        }
    }
}

/// A container's process: it lives on where its pod is gone from the API server, until a clock ends it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Process {
    pub(crate) attempt: Attempt,
    pub(crate) since: Millis,
    /// As of [`Pod::until`].
    pub(crate) until: Millis,
    pub(crate) end: Option<(How, Millis)>,
}

impl Process {
    /// When the runner's own clock, or the kubelet's, has ended it at the latest.
    pub(crate) fn bound(&self) -> Millis {
        (self.since + (RUN + GRACE + RUNNER_GRACE_SECONDS) * 1000).min(self.until)
    }
}

/// A creation that was sent and has not arrived.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Flying {
    pub(crate) attempt: Attempt,
    pub(crate) tombstone: bool,
    pub(crate) bundle: Option<Arc<str>>,
    pub(crate) sent: Millis,
}

/// What the collector has read of a log.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Read {
    pub(crate) run: u32,
    pub(crate) began: bool,
    pub(crate) exit: Option<(How, Millis)>,
    pub(crate) settled: Option<bool>,
}

impl Read {
    pub(crate) fn fact(&self, uid: u32) -> LogFact {
        let start = Start { version: VERSION, of: identity(uid, self.run), unmasked: vec![] };
        LogFact {
            pod_uid: pod_uid(uid),
            start: self.began.then_some(start),
            exit: self.exit.and_then(|(how, seen)| Some((how.record(uid, self.run)?, at(seen)))),
            state: match self.settled {
                None => LogState::Collecting,
                Some(true) => LogState::Complete,
                Some(false) => LogState::Incomplete,
            },
            ..LogFact::default()
        }
    }
}

pub(crate) type Pods = BTreeMap<Attempt, Pod>;

/// What a pass has learned that the caches do not have.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Pass {
    pub(crate) action: Arc<Stored>,
    /// The pod as it was looked at, if it was.
    pub(crate) looked: Option<Option<Pod>>,
    pub(crate) resolved: bool,
    pub(crate) steps: u8,
}

/// Why the operator does nothing, until it learns of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) enum Rests {
    #[default]
    No,
    /// It has changed something, and looks again once its caches have it: in truth after a second too.
    UntilSeen,
    /// There is nothing to do before the next time to look.
    UntilWoken,
}

/// What the operator knows beside its caches: lost when it crashes. As `memory.rs` has it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Memory {
    pub(crate) created: Option<Pod>,
    pub(crate) attempt: Option<Attempt>,
    pub(crate) creation: Created,
    pub(crate) not_before: Option<Millis>,
    pub(crate) released: Option<u32>,
    pub(crate) logs: BTreeMap<u32, Read>,
    pub(crate) pass: Option<Pass>,
    pub(crate) rests: Rests,
    /// Something became known in the midst of a pass, which another one follows then.
    pub(crate) news: bool,
}

impl Memory {
    /// Something is new.
    pub(crate) fn learns(&mut self) {
        self.rests = Rests::No;
        self.news = self.pass.is_some();
    }

    pub(crate) fn turn_to(&mut self, attempt: Attempt, announced: bool) {
        if self.attempt != Some(attempt) {
            self.attempt = Some(attempt);
            self.creation = Created { unanswered: !announced, ..Created::default() };
            (self.created, self.not_before) = (None, None);
        }
    }
}

/// What happened, for the rules alone: nobody in the model looks at it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Told {
    /// How often the script of an attempt was started.
    pub(crate) starts: BTreeMap<Attempt, u8>,
    /// How runs ended: reason and exit code.
    pub(crate) verdicts: BTreeMap<u32, (String, Option<i32>)>,
    /// Attempts of which it was said that they never started.
    pub(crate) never: BTreeSet<Attempt>,
    /// What else was broken.
    pub(crate) fault: Option<&'static str>,
}

/// All of it, at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) now: Millis,
    /// How far the operator's clock is ahead of all others.
    pub(crate) skew: Millis,
    /// When somebody wants to look again.
    pub(crate) wake: Option<Millis>,
    pub(crate) action: Option<Arc<Stored>>,
    pub(crate) pods: Pods,
    pub(crate) flying: Vec<Flying>,
    pub(crate) processes: BTreeMap<u32, Process>,
    pub(crate) next_uid: u32,
    pub(crate) seen_action: Option<Arc<Stored>>,
    pub(crate) seen_pods: Pods,
    pub(crate) memory: Memory,
    /// How many more things may go wrong, or be asked for.
    pub(crate) budget: u8,
    pub(crate) told: Told,
}

impl State {
    pub(crate) fn new(action: DeploymentAction, budget: u8) -> Self {
        let stored = Stored::new(action);
        Self {
            now: 0,
            skew: 0,
            wake: None,
            action: Some(Arc::clone(&stored)),
            pods: Pods::new(),
            flying: vec![],
            processes: BTreeMap::new(),
            next_uid: 1,
            seen_action: Some(stored),
            seen_pods: Pods::new(),
            memory: Memory::default(),
            budget,
            told: Told::default(),
        }
    }

    /// Whether the operator waits.
    pub(crate) fn rests(&self) -> bool {
        match self.memory.rests {
            Rests::No => false,
            Rests::UntilSeen => self.is_behind(),
            Rests::UntilWoken => true,
        }
    }

    /// Whether a cache is behind.
    pub(crate) fn is_behind(&self) -> bool {
        self.seen_action != self.action || self.seen_pods != self.pods
    }

    /// What runs at this moment.
    pub(crate) fn running(&self) -> impl Iterator<Item = (&u32, &Process)> {
        self.processes.iter().filter(|(_, process)| process.end.is_none())
    }

    /// A creation arrives. `None` where the name is taken.
    pub(crate) fn create(&mut self, of: &Flying, finalizer: bool) -> Option<Pod> {
        if self.pods.contains_key(&of.attempt) {
            return None;
        }
        let pod = Pod {
            attempt: of.attempt,
            uid: self.next_uid,
            created: self.now,
            tombstone: of.tombstone,
            bundle: of.bundle.clone(),
            finalizer: finalizer && !of.tombstone,
            deleted: None,
            forced: false,
            expired: false,
            told: None,
            shown: Shown::Waiting,
        };
        self.next_uid += 1;
        self.pods.insert(of.attempt, pod.clone());
        Some(pod)
    }

    pub(crate) fn pod_mut(&mut self, uid: u32) -> Option<&mut Pod> {
        self.pods.values_mut().find(|pod| pod.uid == uid)
    }

    /// Of an action whose status is empty, what left no trace counts as never having been, and the
    /// documentation says so: a pod that is being deleted and that nothing keeps is none.
    pub(crate) fn forget_without_trace(&mut self) {
        if self.action.as_ref().is_none_or(|action| action.run().is_some()) {
            return;
        }
        let stays = |pod: &&Pod| pod.finalizer || pod.tombstone || pod.deleted.is_none();
        let pods = self.pods.values().filter(stays).map(|pod| pod.attempt);
        let traces: Vec<_> = pods.chain(self.flying.iter().map(|flying| flying.attempt)).collect();
        self.told.starts.retain(|attempt, _| traces.contains(attempt));
        self.told.never.retain(|attempt| traces.contains(attempt));
    }

    /// Pods that nothing keeps go.
    pub(crate) fn sweep(&mut self) {
        self.pods.retain(|_, pod| !pod.may_go());
        if self.action.as_ref().is_some_and(|action| action.is_deleted()) && self.pods.is_empty() {
            self.action = None;
        }
    }
}
