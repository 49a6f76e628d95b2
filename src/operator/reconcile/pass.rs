//! One look at one action: what all passes share, what this pass has seen, and why a pass fails.

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
            outputs_keys::OutputsKeys,
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
        logs::{archivist::Archivist, collect::Collector},
        options::Options,
        pod::{attempt::FetchDefaults, view::PodView},
        spec::expanded::Expanded,
        steps::resolve::jobs::Jobs,
        telemetry::{events::Events, metrics::Metrics, traces::Traces},
    },
    seal::Masters,
};

/// The most steps in one pass. More steps would be a circle.
pub(super) const MOST_STEPS: usize = 24;

/// Everything that all passes share.
pub(crate) struct Context {
    /// The client of the API server.
    pub client: Client,
    /// The time for which this instance leads.
    pub term: Term,
    /// The name of this process. The status of an attempt names the process that may create its pod.
    pub process: String,
    /// Resolves what runs execute, beside the looks.
    pub jobs: Jobs,
    /// Turns for checks of specs that may take long.
    pub heavy: Turns,
    /// All actions.
    pub actions: Store<Cached>,
    /// Turns for looks at actions.
    pub admission: Admission,
    /// All our pods.
    pub pods: Store<Pod>,
    /// The pods of each action.
    pub pod_index: PodIndex,
    /// Reads the logs of pods.
    pub collector: Collector,
    /// Stores logs, if there is an archive.
    pub archivist: Option<Archivist>,
    /// The queue of each lock.
    pub locks: LockIndex,
    /// The nodes at the last reading.
    pub nodes: Nodes,
    /// Whether the policy is in place that keeps people from naming what they may not use.
    pub use_policy: UsePolicy,
    /// The `ActionPolicy` objects, which limit what actions may be.
    pub action_policies: ActionPolicies,
    /// All templates.
    pub templates: Templates,
    /// The `ConfigMap`s that scripts came from, as they were at the last look.
    pub sources: Sources,
    /// Writes Kubernetes events about runs.
    pub events: Events,
    /// Sends OpenTelemetry traces of runs.
    pub traces: Traces,
    /// The warnings about our pods.
    pub warnings: Warnings,
    /// Turns for reading a pod's events. The API server goes through all events of a namespace for those of
    /// one pod. If it is slow, many such requests would make it slower.
    pub event_turns: Turns,
    /// The keys for sensitive outputs.
    pub outputs_keys: OutputsKeys,
    /// The memory of each action.
    pub memories: Memories,
    pub metrics: Metrics,
    /// Settings for containers that fetch packages.
    pub fetch: Arc<FetchDefaults>,
    /// The flags.
    pub options: Options,
}

/// Why a pass failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReconcileError {
    /// A call to the API server failed.
    #[error("{step}: {source}")]
    Call {
        step: &'static str,
        /// The server's answer.
        #[source]
        source: CallError,
    },
    /// The API server drops a field of the status. Without that field no pod may be created.
    #[error(
        "the API server does not keep status.run.launcher: the CustomResourceDefinition is older than this operator; install those of its version (the files in crds/)"
    )]
    OldDefinition,
    /// Steps followed each other without end. This is a defect.
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
    /// The checked spec, with the template that it names as the cache had it last.
    pub(super) spec: Arc<Expanded>,
    /// When the action was looked at last.
    pub(super) now: Timestamp,
    /// Whether this pass resolves something.
    pub(super) resolves: bool,
    /// The pod as this pass has read it, if the cache was not enough.
    pub(super) looked: Option<PodFact>,
    /// Pods of an earlier action of this name that the cache does not have yet, as this pass has read them.
    pub(super) unshown: Vec<PodView>,
    /// All pods of the action, if this pass has read them.
    pub(super) all_pods: Option<Vec<PodView>>,
    /// The result of resolving in this pass.
    pub(super) resolution: Option<Resolution>,
    /// The lock as this pass has seen it, and its Lease.
    pub(super) lock_seen: Option<LockSeen>,
    pub(super) lease: Option<Lease>,
    /// The keys for sensitive outputs, as they are in this pass.
    pub(super) keys: Option<Arc<Masters>>,
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
            unshown: Vec::new(),
            all_pods: None,
            resolution: None,
            lock_seen: None,
            lease: None,
            keys: context.outputs_keys.current(),
        }
    }
}
