//! Pods, the processes of their containers, and what is known of both.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use longshore::{
    api::status::LogState,
    operator::{
        lifecycle::{facts::LogFact, whole_seconds::seconds},
        pod::{
            attempt::RUNNER_GRACE_SECONDS,
            names::pod_name,
            view::{AT_ONCE_SECONDS, ContainerView, PodView, Terminated},
        },
    },
    record::{
        VERSION, exit_code,
        outcome::{Exit, Identity, Outcome, Start, Stop, StopCause, Termination},
        proof::proof,
    },
};

/// What every runner of the model has drawn.
const NONCE: &str = "nonce";

pub(crate) const UID: &str = "5f3c9a1b-1234-4321-8765-123456789abc";

/// Run and attempt: a pod's name follows from them.
pub(crate) type Attempt = (u32, u32);
/// Milliseconds since the model's beginning.
pub(crate) type Millis = i64;

/// The deadlines of the model's action, in seconds. A run takes longer than a pod's deletion may.
pub(crate) const PENDING: i64 = 5;
pub(crate) const RUN: i64 = 1000;
pub(crate) const GRACE: i64 = 1;

/// How long a script runs that stops its runner and that not even its kubelet can end: beyond every deadline.
const DEAF: i64 = RUN + 150;

pub(crate) fn at(millis: Millis) -> Timestamp {
    Timestamp::from_second(1_000_000).unwrap() + SignedDuration::from_millis(millis)
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
            sealed: None,
            outputs_dropped: vec![],
            outputs_unread: None,
            unmasked: vec![],
            out_of_memory: None,
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

fn node_name(node: u8) -> String {
    format!("node-{node}")
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

pub(crate) type Pods = BTreeMap<Attempt, Pod>;

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
    /// The number of its node. A pod that comes once the first one is off is on the second one.
    pub(crate) node: u8,
    pub(crate) shown: Shown,
}

impl Pod {
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.shown, Shown::Ended { .. })
    }

    /// Whether it is on the node that may be off. A tombstone is on none.
    pub(crate) const fn is_on_first(&self) -> bool {
        self.node == 1 && !self.tombstone
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
                let code = record.as_ref().map_or(137, |exit| i32::from(exit_code::of(&exit.outcome)));
                let nonce = Some(NONCE.to_owned());
                let record = record.map(|exit| Termination { exit, nonce, outputs_sha256: None, end: None });
                let end = Terminated {
                    started_at: since.map(time),
                    finished_at: (*how != How::NeverRan).then(|| time(*at)),
                    exit_code: code,
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
            node: (!self.tombstone).then(|| node_name(self.node)),
            image: Some(format!("registry.example.com/tools@sha256:{}", "1".repeat(64))),
            active_deadline_seconds: self.expired.then_some(AT_ONCE_SECONDS),
            stop_requested_at: self.told.map(at),
            container,
            started,
            ..PodView::default()
        }
    }
}

/// Whether this is the name of the node that may be off.
pub(crate) fn is_first_node(name: &str) -> bool {
    name == node_name(1)
}

/// A container's process: it lives on where its pod is gone from the API server, until a clock ends it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Process {
    pub(crate) attempt: Attempt,
    pub(crate) since: Millis,
    /// When it was started by its node's clock.
    pub(crate) said: Millis,
    /// Whether its runner is stopped, and it heeds no signal, nor the kernel: it hangs in a system call.
    pub(crate) deaf: bool,
    pub(crate) end: Option<(How, Millis)>,
}

impl Process {
    /// When the runner's own clock, or the kubelet's, has ended it at the latest.
    pub(crate) const fn bound(&self) -> Millis {
        let seconds = if self.deaf { DEAF } else { RUN + GRACE + RUNNER_GRACE_SECONDS };
        self.since + seconds * 1000
    }

    /// How it ends then.
    pub(crate) const fn ends_so(&self) -> How {
        if self.deaf { How::Killed } else { How::Deadline }
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
        let start = Start {
            version: VERSION,
            of: identity(uid, self.run),
            unmasked: vec![],
            adjusted: vec![],
            suspects: vec![],
            proof: Some(proof(NONCE)),
            records_proof: None,
        };
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
