//! One look at one action: what all passes share, what this one has seen, why it broke off.

use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::{
    api::{coordination::v1::Lease, core::v1::Pod},
    jiff::Timestamp,
};
use kube::{Client, runtime::reflector::Store};

use super::admission::Admission;
use crate::{
    api::DeploymentAction,
    operator::{
        caches::{
            action_policies::ActionPolicies,
            cached::Cached,
            lock_queue::LockIndex,
            memory::{Memories, Memory},
            nodes::Nodes,
            pod_index::PodIndex,
            sources::Sources,
            templates::Templates,
            use_policy::UsePolicy,
            warnings::Warnings,
        },
        call::CallError,
        fair::Turns,
        leadership::Term,
        lifecycle::{
            facts::{PodFact, Resolution},
            lock_facts::LockSeen,
        },
        logs::collect::Collector,
        options::Options,
        pod::{attempt::FetchDefaults, view::PodView},
        spec::expanded::Expanded,
        steps::resolve::jobs::Jobs,
        telemetry::{events::Events, metrics::Metrics, traces::Traces},
    },
};

/// So many steps in one pass: more would be a circle.
pub(super) const MOST_STEPS: usize = 24;

/// What all passes share.
pub(crate) struct Context {
    /// Speaks to the API server.
    pub client: Client,
    /// How long this instance leads.
    pub term: Term,
    /// This process, as the status of an attempt names who may ask for its pod.
    pub process: String,
    /// Finds out what runs execute, beside the looks.
    pub jobs: Jobs,
    /// Whose turn it is to find out what may take long.
    pub heavy: Turns,
    /// All actions.
    pub actions: Store<Cached>,
    /// Whose turn it is to be looked at.
    pub admission: Admission,
    /// All pods of ours.
    pub pods: Store<Pod>,
    /// Which of them an action has.
    pub pod_index: PodIndex,
    /// Reads their logs.
    pub collector: Collector,
    /// Who has and who waits for which lock.
    pub locks: LockIndex,
    /// What is known of the nodes.
    pub nodes: Nodes,
    /// Whether the policy stands that keeps people from naming what they may not use.
    pub use_policy: UsePolicy,
    /// What actions may be.
    pub action_policies: ActionPolicies,
    /// All templates.
    pub templates: Templates,
    /// The `ConfigMap`s that scripts came from, as they are known.
    pub sources: Sources,
    /// Tells of runs by Kubernetes events.
    pub events: Events,
    /// Tells of runs by OpenTelemetry traces.
    pub traces: Traces,
    /// What was warned of pods of ours.
    pub warnings: Warnings,
    /// Whose turn it is to read a pod's events. The API server reads all of a namespace for those of one pod,
    /// so that many who ask why it is slow would make it slower.
    pub event_turns: Turns,
    /// What is remembered of each action.
    pub memories: Memories,
    /// Counts.
    pub metrics: Metrics,
    /// What containers that fetch packages are told.
    pub fetch: Arc<FetchDefaults>,
    /// The flags.
    pub options: Options,
}

/// Why a pass broke off.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReconcileError {
    /// A call to the API server failed.
    #[error("{step}: {source}")]
    Call {
        /// The step.
        step: &'static str,
        /// What the server said.
        #[source]
        source: CallError,
    },
    /// The API server leaves out of a status what no pod is asked for without.
    #[error(
        "the API server does not keep status.run.launcher: the CustomResourceDefinition is older than this operator; install those of its version (the files in crds/)"
    )]
    OldDefinition,
    /// Steps followed each other without end: a defect.
    #[error("more than {MOST_STEPS} steps in one pass, the last one {0}")]
    Circle(&'static str),
}

impl ReconcileError {
    /// A static word for metrics.
    #[must_use]
    pub(crate) const fn category(&self) -> &'static str {
        match self {
            Self::Call { source, .. } => source.category(),
            Self::OldDefinition => "definition",
            Self::Circle(_) => "circle",
        }
    }
}

pub(super) fn lock(memory: &Mutex<Memory>) -> std::sync::MutexGuard<'_, Memory> {
    memory.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One look at one action.
pub(super) struct Pass<'a> {
    pub(super) context: &'a Context,
    pub(super) memory: &'a Mutex<Memory>,
    pub(super) action: DeploymentAction,
    /// What its spec comes to, with the template that it names as the cache had it last.
    pub(super) spec: Arc<Expanded>,
    /// When it was looked at last.
    pub(super) now: Timestamp,
    /// Whether something of it is to be resolved.
    pub(super) resolves: bool,
    /// What this pass has seen of the pod itself, where the cache did not do.
    pub(super) looked: Option<PodFact>,
    /// All pods of the action, where they were looked for in this pass.
    pub(super) all_pods: Option<Vec<PodView>>,
    /// What resolving gave in this pass.
    pub(super) resolution: Option<Resolution>,
    /// What a look at the lock has found in this pass, and its Lease.
    pub(super) lock_seen: Option<LockSeen>,
    pub(super) lease: Option<Lease>,
}

impl<'a> Pass<'a> {
    pub(super) fn new(context: &'a Context, action: DeploymentAction, memory: &'a Mutex<Memory>) -> Self {
        Self {
            context,
            memory,
            spec: Arc::new(Expanded::unneeded(&action, None)),
            action,
            now: Timestamp::now(),
            resolves: false,
            looked: None,
            all_pods: None,
            resolution: None,
            lock_seen: None,
            lease: None,
        }
    }
}
