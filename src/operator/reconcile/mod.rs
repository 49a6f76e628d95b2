//! Asks [`decide`] for the next step, carries it out, and asks again until the answer is to wait.

pub mod admission;
mod at_rest;
mod lock_steps;
pub mod strays;
mod tell;
#[cfg(test)]
mod tests;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use k8s_openapi::{
    api::{coordination::v1::Lease, core::v1::Pod},
    jiff::{SignedDuration, Timestamp},
};
use kube::{
    Client, Resource, ResourceExt,
    runtime::{
        controller::Action,
        reflector::{ObjectRef, Store},
    },
};
use tokio::time::Instant;
use tracing::{Span, debug, info, instrument, warn};

use self::admission::Admission;
use super::{
    CallError,
    caches::{
        action_policies::ActionPolicies,
        cached::Cached,
        job::Wanted,
        lock_queue::LockIndex,
        memory::{Memories, Memory, backoff},
        nodes::Nodes,
        pod_index::PodIndex,
        sources::Sources,
        templates::Templates,
        use_policy::UsePolicy,
        warnings::Warnings,
    },
    fair::Turns,
    leadership::Term,
    lifecycle::{
        cause::{cause, explain},
        decide::{Step, decide, needs_spec},
        facts::{Facts, LogFact, PodFact, Refusal, Resolution},
        lock_facts::LockSeen,
    },
    logs::collect::{Collector, Source},
    options::Options,
    pod::{attempt::FetchDefaults, tombstone::Owner, view::PodView},
    spec::{
        expand::Lookup,
        expanded::{Expanded, Generations},
        policy::Standing,
    },
    steps::{
        delete_action,
        launch::{self, Launched},
        observe, release,
        resolve::jobs::Jobs,
        stop, write_status,
    },
    telemetry::{events::Events, metrics::Metrics, parts::Phase, traces::Traces},
};
use crate::{
    api::{DeploymentAction, DeploymentActionStatus, status::Launcher},
    record::outcome::Identity,
};

/// A status that only tells of progress is written so often at most.
const PROGRESS_EVERY: SignedDuration = SignedDuration::from_secs(5);
/// An action whose status could not be written after so many errors in a row holds up nobody else who waits
/// for its lock, about four seconds after the first. Where the API server has no answer for a moment, nobody
/// loses their place.
const UNWRITTEN_ERRORS: u32 = 3;
/// So many steps in one pass: more would be a circle.
const MOST_STEPS: usize = 24;
/// An action that waits for nothing in particular is looked at again after this long.
const LONGEST_WAIT: SignedDuration = SignedDuration::from_secs(300);

/// What all passes share.
pub struct Context {
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
pub enum ReconcileError {
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
    pub const fn category(&self) -> &'static str {
        match self {
            Self::Call { source, .. } => source.category(),
            Self::OldDefinition => "definition",
            Self::Circle(_) => "circle",
        }
    }
}

/// Looks at an action, and does what is to be done.
///
/// # Errors
/// Where a call failed; the action is looked at again after a pause.
#[instrument(skip_all, fields(action = %action.name_any(), namespace = action.namespace(), run))]
pub async fn reconcile(action: Arc<Cached>, context: Arc<Context>) -> Result<Action, ReconcileError> {
    let Some(_turn) = context.admission.enter(&action.reference()) else {
        return Ok(Action::await_change());
    };
    // It may have waited for its turn: what has come since then counts.
    let Some(action) = context.actions.get(&ObjectRef::from_obj(action.as_ref())) else {
        return Ok(Action::await_change());
    };
    let started = Instant::now();
    if let Some(wait) = at_rest::wait(&context, &action) {
        context.metrics.look();
        context.metrics.looked(started.elapsed(), None);
        return Ok(wait);
    }
    let memory = context.memories.of(action.meta().uid.as_deref().unwrap_or_default());
    let early = lock(&memory).pace(started);
    if let Some(pause) = early {
        return Ok(Action::requeue(pause));
    }
    context.metrics.look();
    let result = Box::pin(look(&context, &action, &memory)).await;
    context.metrics.looked(started.elapsed(), result.as_ref().err().map(ReconcileError::category));
    result
}

/// A look at all of the action.
async fn look(
    context: &Context,
    cached: &Arc<Cached>,
    memory: &Mutex<Memory>,
) -> Result<Action, ReconcileError> {
    let newest = lock(memory).newest(cached);
    let action = match newest.whole() {
        Some(action) => Some(action),
        None => at_rest::live(context, cached).await?,
    };
    // The cache tells of its end, or of another one under its name.
    let Some(action) = action else { return Ok(Action::await_change()) };
    let wait = Box::pin(Pass::new(context, action, memory).run()).await?;
    lock(memory).errors = 0;
    Ok(wait)
}

/// How long to wait after a pass that broke off: longer each time.
#[allow(clippy::needless_pass_by_value, reason = "the controller hands both over by value")]
pub fn after_error(action: Arc<Cached>, error: &ReconcileError, context: Arc<Context>) -> Action {
    let memory = context.memories.of(action.meta().uid.as_deref().unwrap_or_default());
    let mut memory = lock(&memory);
    let pause = backoff(memory.errors);
    memory.errors = memory.errors.saturating_add(1);
    debug!(action = action.name_any(), %error, ?pause, "looked at again after a pause");
    Action::requeue(pause.unsigned_abs())
}

fn lock(memory: &Mutex<Memory>) -> std::sync::MutexGuard<'_, Memory> {
    memory.lock().unwrap_or_else(PoisonError::into_inner)
}

fn launcher(status: Option<&DeploymentActionStatus>) -> Option<&Launcher> {
    status?.run.as_ref()?.launcher.as_ref()
}

/// One look at one action.
struct Pass<'a> {
    context: &'a Context,
    memory: &'a Mutex<Memory>,
    action: DeploymentAction,
    /// What its spec comes to, with the template that it names as the cache had it last.
    spec: Arc<Expanded>,
    /// When it was looked at last.
    now: Timestamp,
    /// Whether something of it is to be resolved.
    resolves: bool,
    /// What this pass has seen of the pod itself, where the cache did not do.
    looked: Option<PodFact>,
    /// All pods of the action, where they were looked for in this pass.
    all_pods: Option<Vec<PodView>>,
    /// What resolving gave in this pass.
    resolution: Option<Resolution>,
    /// What a look at the lock has found in this pass, and its Lease.
    lock_seen: Option<LockSeen>,
    lease: Option<Lease>,
}

impl<'a> Pass<'a> {
    fn new(context: &'a Context, action: DeploymentAction, memory: &'a Mutex<Memory>) -> Self {
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

    /// Finds out what the spec comes to, with the template as it is by now, until the run has it frozen: what
    /// was resolved for another one does not count.
    async fn expand(&mut self) {
        let context = self.context;
        let of = Generations::of(&self.action, context.templates.version_of(&self.action));
        let needed = needs_spec(&self.action);
        if self.spec.of == of && (self.spec.is_full() || !needed) {
            return;
        }
        let known = {
            let mut memory = lock(self.memory);
            if memory.resolution.is_some() && memory.resolution_of.as_ref() != Some(&of) {
                memory.succeeded();
            }
            memory.expanded.take().filter(|known| needed && known.of == of)
        };
        if self.spec.of != of {
            self.resolution = None;
        }
        self.spec = match known {
            Some(known) => known,
            None => Arc::new(self.expanded(needed).await),
        };
        if needed && self.spec.template.as_ref().is_some_and(Lookup::is_heavy) {
            lock(self.memory).expanded = Some(Arc::clone(&self.spec));
        }
    }

    async fn expanded(&self, needed: bool) -> Expanded {
        let context = self.context;
        let template = context.templates.of(&self.action);
        if !needed {
            return Expanded::unneeded(&self.action, template);
        }
        let architecture = context.options.architecture.clone();
        if !template.as_ref().is_some_and(Lookup::is_heavy) {
            return Expanded::of(&self.action, template, &architecture);
        }
        let namespace = self.action.namespace().unwrap_or_default();
        let turn = context.heavy.take(&namespace, Vec::new()).await;
        let action = self.action.clone();
        let heavy = move || {
            let expanded = Expanded::of(&action, template, &architecture);
            drop(turn);
            expanded
        };
        // It ends without an answer only with the process.
        tokio::task::spawn_blocking(heavy)
            .await
            .unwrap_or_else(|_| Expanded::unneeded(&self.action, Some(Lookup::Unread)))
    }

    async fn run(mut self) -> Result<Action, ReconcileError> {
        if let Some(run) = self.action.status.as_ref().and_then(|status| status.run.as_ref()) {
            Span::current().record("run", run.id.as_str());
        }
        let mut last = "none";
        for taken in 0..MOST_STEPS {
            self.expand().await;
            self.now = Timestamp::now();
            self.read_events().await;
            let step = self.decide();
            debug!(?step, "next");
            last = step.name();
            let step = match step {
                Step::Wait(Some(wait)) => Step::Wait(Some(lock(self.memory).patience(wait, taken))),
                step => step,
            };
            if let Some(wait) = self.carry_out(step).await? {
                if !self.resolves {
                    // What it was for is not wanted any more.
                    lock(self.memory).job = None;
                }
                return Ok(wait);
            }
        }
        Err(ReconcileError::Circle(last))
    }

    fn decide(&self) -> Step {
        // As of when the events were asked for, so that nothing is given up without a last look at them.
        let now = self.now;
        let nodes = &self.context.nodes;
        let mut memory = lock(self.memory);
        if let Some(run) = self.action.status.as_ref().and_then(|status| status.run.as_ref())
            && run.bundle_sha256.is_some()
        {
            memory.turn_to((run.number, run.attempt), false);
        }
        memory.settle(&self.action, &self.context.process);
        observe::forget_created(&self.context.pods, &mut memory);
        let mut pod =
            self.looked.clone().unwrap_or_else(|| observe::pod(&self.context.pods, &self.action, &memory));
        let events = pod.view().map(|view| observe::events_of(&view.uid, &memory, &self.context.warnings));
        let events = events.unwrap_or_default();
        if let PodFact::Present(view) = &mut pod {
            explain(view, &events);
            nodes.tell(view);
            if view.terminated().is_some() {
                let known = memory.end_seen.take().filter(|(uid, _)| *uid == view.uid);
                let (uid, seen) = known.unwrap_or_else(|| (view.uid.clone(), now));
                view.end_seen = Some(seen);
                memory.end_seen = Some((uid, seen));
            }
        }
        let log: Option<LogFact> = pod
            .view()
            .map(|view| view.uid.clone())
            .or_else(|| self.action.status.as_ref()?.run.as_ref()?.pod_uid.clone())
            .and_then(|uid| self.context.collector.fact(&uid));
        let of_cache = || observe::older(&self.context.pods, &self.context.pod_index, &self.action);
        let mut older = self.all_pods.clone().unwrap_or_else(of_cache);
        let mut previous = observe::previous(&self.context.pods, &self.context.pod_index, &self.action);
        for pod in older.iter_mut().chain(&mut previous) {
            nodes.tell(pod);
        }
        for pod in &mut older {
            pod.settled = pod.attempt.is_some_and(|attempt| memory.has_all_creations(attempt));
        }
        previous.retain(|pod| pod.may_run(now));
        let run = self.action.status.as_ref().and_then(|status| status.run.as_ref());
        let node =
            pod.view().and_then(|view| view.node.as_deref()).or(run.and_then(|run| run.node_name.as_deref()));
        let resolver = observe::resolver(&self.context.pods, &self.action, &memory);
        let facts = Facts {
            process: &self.context.process,
            action: &self.action,
            spec: &self.spec.checked,
            template: self.spec.template.as_ref(),
            source: self.context.sources.of(&self.action, &self.context.templates),
            resolution: self.resolution.as_ref().or(memory.resolution.as_ref()),
            cause: pod.view().and_then(|view| cause(view, &events)),
            resolver,
            policy_missing: self.context.use_policy.missing(),
            standing: self.standing(),
            user_namespaces: self.context.nodes.user_namespaces(),
            node: node.and_then(|node| nodes.state(node)),
            pod,
            older: &older,
            all_pods: self.all_pods.is_some(),
            previous: &previous,
            creation: memory.creation.clone(),
            not_before: memory.not_before,
            log: log.as_ref(),
            progress_due: memory.written_at.is_none_or(|at| now.duration_since(at) >= PROGRESS_EVERY),
            lock: self.lock_fact(&memory, now),
        };
        // What failed before is tried again once its pause is over. A node is asked once.
        let asked = matches!(facts.resolution, Some(Resolution::NeedsPod { .. }));
        let again = !asked && memory.not_before.is_none_or(|time| time <= now) && self.resolution.is_none();
        decide(&Facts { resolution: facts.resolution.filter(|_| !again), ..facts }, now)
    }

    /// What the policies say of what a run would execute now. What cannot be executed is not asked.
    fn standing(&self) -> Standing {
        self.spec.checked.as_ref().map_or(Standing::Allowed, |checked| {
            self.context.action_policies.judge(&checked.namespace, &checked.spec, checked.template.is_some())
        })
    }

    /// Carries a step out. `Some` where there is nothing more to do now.
    async fn carry_out(&mut self, step: Step) -> Result<Option<Action>, ReconcileError> {
        let client = &self.context.client;
        let namespace = self.action.namespace().unwrap_or_default();
        let failed = |step: &'static str| move |source: CallError| ReconcileError::Call { step, source };
        match step {
            Step::Wait(wait) => {
                let wait = wait.unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT);
                return Ok(Some(Action::requeue(wait.unsigned_abs())));
            }
            Step::Resolve { repeats } => self.resolve(repeats),
            Step::LookAtLock { lock, run } => self.look_at_lock(self.claim(lock, run)).await,
            Step::TakeLock { lock, run } => return Ok(self.take_lock(self.claim(lock, run)).await),
            Step::MarkLock { lock, run, pod, uid, seconds } => {
                self.mark_lock(self.claim(lock, run), (pod, uid), seconds).await?;
            }
            Step::ReleaseLock { lock, run } => self.release_lock(self.claim(lock, run)).await?,
            Step::Remove => {
                info!("the action's time is over: it is deleted");
                delete_action::remove(client, &self.action).await.map_err(failed("deleting the action"))?;
                // Somebody may have changed it meanwhile.
                return Ok(Some(Action::requeue(Duration::from_secs(5))));
            }
            Step::CreateResolver { run } => return self.create_resolver(run).await,
            Step::DeleteResolver { name, uid } => {
                stop::delete(client, &namespace, &name, &uid)
                    .await
                    .map_err(failed("deleting the resolver"))?;
                let mut memory = lock(self.memory);
                memory.resolver = None;
                memory.resolver_deleted = Some(uid);
            }
            Step::Expire { name, uid } => {
                info!(pod = name, "ending what runs in the pod");
                stop::expire(client, &namespace, &name, &uid).await.map_err(failed("ending the pod"))?;
                return Ok(Some(Action::requeue(Duration::from_secs(1))));
            }
            Step::WriteStatus(status) => return self.write(*status).await,
            Step::Look => {
                let (fact, pod) =
                    observe::look(client, &self.action).await.map_err(failed("looking at the pod"))?;
                lock(self.memory).created = pod.map(Box::new);
                self.looked = Some(fact);
            }
            Step::LookForPods => {
                let pods = observe::all_pods(client, &self.action).await;
                self.all_pods = Some(pods.map_err(failed("looking for the action's pods"))?);
            }
            Step::Launch(attempt) => {
                let Ok(checked) = &self.spec.checked else { return Ok(Some(Action::await_change())) };
                let defaults =
                    self.context.options.pod_defaults(self.context.nodes.delivery(), &self.context.fetch);
                if lock(self.memory).creation.error.is_some() {
                    self.context.metrics.creation_again();
                }
                let launched = launch::launch(client, &self.context.term, checked, &attempt, &defaults).await;
                return self.launched(launched).await;
            }
            Step::Entomb { run, attempt } => {
                // Its spec may be one that cannot be executed any more.
                let owner = Owner::of(&self.action, self.spec.checked.as_ref().ok());
                let Some(owner) = owner else { return Ok(Some(Action::await_change())) };
                let launched = launch::entomb(client, &owner, run, attempt).await;
                return self.entombed(launched).await;
            }
            Step::Follow { name, uid } => self.follow(&namespace, name, uid),
            Step::Stop { name, uid, reason } => {
                info!(pod = name, "telling the script why it is to stop");
                stop::announce(client, &namespace, &name, &uid, &reason, Timestamp::now())
                    .await
                    .map_err(failed("telling the script why it is to stop"))?;
                // The cache tells of it.
                return Ok(Some(Action::requeue(Duration::from_secs(2))));
            }
            Step::Delete { name, uid } => {
                info!(pod = name, "deleting the pod");
                stop::delete(client, &namespace, &name, &uid).await.map_err(failed("deleting the pod"))?;
                // The cache tells of it, also where it was gone before it could be shown.
                lock(self.memory).created = None;
                return Ok(Some(Action::requeue(Duration::from_secs(1))));
            }
            Step::Release { name, uid } => {
                release::release(client, &namespace, &name, &uid)
                    .await
                    .map_err(failed("releasing the pod"))?;
                self.context.collector.forget(&uid);
                let mut memory = lock(self.memory);
                memory.created = None;
                memory.events = None;
                memory.released = Some(uid);
                return Ok(Some(Action::requeue(Duration::from_secs(1))));
            }
        }
        Ok(None)
    }

    /// Takes what was found out, or has it found out beside the looks.
    fn resolve(&mut self, repeats: Option<u32>) {
        let Ok(checked) = &self.spec.checked else { return };
        let wanted = Wanted::of(&self.action, checked, repeats);
        self.resolves = true;
        let mut memory = lock(self.memory);
        memory.since.get_or_insert_with(Timestamp::now);
        if !memory.job.as_ref().is_some_and(|job| job.is_for(&wanted)) {
            let job = self.context.jobs.begin(&self.action, wanted, &self.spec, memory.failures);
            memory.job = job.map(Box::new);
        }
        let Some(job) = &memory.job else { return };
        let Some((resolution, pause)) = job.answer() else {
            self.resolution = Some(job.under_way(memory.resolution.as_ref()));
            return;
        };
        memory.job = None;
        memory.resolution_of = Some(self.spec.of.clone());
        match &resolution {
            Resolution::Failed { message, .. } => {
                info!(message, "what the run executes cannot be resolved yet");
                memory.failed(Timestamp::now(), pause);
                memory.resolution = Some(resolution.clone());
            }
            Resolution::NeedsPod { message, .. } => {
                info!(message, "a node is asked what the image's tag names");
                memory.succeeded();
                memory.resolution = Some(resolution.clone());
            }
            Resolution::Resolved { .. } | Resolution::Refused { .. } | Resolution::UnderWay { .. } => {
                memory.succeeded();
            }
        }
        self.resolution = Some(resolution);
    }

    async fn create_resolver(&mut self, run: u32) -> Result<Option<Action>, ReconcileError> {
        let Ok(checked) = &self.spec.checked else { return Ok(Some(Action::await_change())) };
        let defaults = self.context.options.pod_defaults(self.context.nodes.delivery(), &self.context.fetch);
        let launched = launch::create_resolver(&self.context.client, checked, run, &defaults).await;
        let mut memory = lock(self.memory);
        match launched {
            Launched::Created(pod) => {
                info!(pod = pod.name_any(), "pod created that resolves the image");
                memory.resolver = Some(pod);
                return Ok(None);
            }
            Launched::Refused(Refusal { reason, message, may_pass }) => {
                let message = format!("the pod that asks a node for the image: {message}");
                memory.failed(Timestamp::now(), None);
                let resolution = if may_pass {
                    Resolution::Failed { reason, message }
                } else {
                    Resolution::Refused { reason, message }
                };
                memory.resolution = Some(resolution.clone());
                memory.resolution_of = Some(self.spec.of.clone());
                self.resolution = Some(resolution);
                return Ok(None);
            }
            Launched::NameTaken | Launched::NotWanted | Launched::NotLeading | Launched::Unanswered(_) => {}
        }
        // The cache will tell.
        Ok(Some(Action::requeue(Duration::from_secs(1))))
    }

    async fn write(&mut self, status: DeploymentActionStatus) -> Result<Option<Action>, ReconcileError> {
        let launching = status
            .run
            .as_ref()
            .filter(|run| run.bundle_sha256.is_some() && run.pod_uid.is_none())
            .map(|run| (run.number, run.attempt));
        // Of one that is over it may be left out.
        let over = status.run.as_ref().is_some_and(|run| run.finished_at.is_some());
        let names_launcher = launcher(Some(&status)).is_some() && !over;
        match write_status::write_status(&self.context.client, &self.action, &status).await {
            Ok(written) if names_launcher && launcher(written.status.as_ref()).is_none() => {
                Err(ReconcileError::OldDefinition)
            }
            Ok(written) => {
                self.all_pods = None;
                let mut memory = lock(self.memory);
                if let Some(attempt) = launching {
                    memory.turn_to(attempt, true);
                }
                memory.written = Some(Arc::new(Cached::from(written.clone())));
                memory.written_at = Some(Timestamp::now());
                drop(memory);
                self.context.locks.written(&written);
                let before = std::mem::replace(&mut self.action, written).status;
                let pod = |status: Option<&DeploymentActionStatus>| status?.run.as_ref()?.pod_name.clone();
                if pod(before.as_ref()) != pod(self.action.status.as_ref()) {
                    // It was another attempt's.
                    self.looked = None;
                }
                self.tell(before.as_ref());
                Ok(None)
            }
            // Somebody changed the action: the cache will have it in a moment.
            Err(error) if error.code() == Some(409) => {
                lock(self.memory).written = None;
                Ok(Some(Action::requeue(Duration::from_millis(200))))
            }
            Err(error) if error.code() == Some(404) => Ok(Some(Action::await_change())),
            Err(source) => {
                if source.is_about_content() || lock(self.memory).errors >= UNWRITTEN_ERRORS {
                    self.context.locks.pass_over(&self.action);
                }
                Err(ReconcileError::Call { step: "writing the status", source })
            }
        }
    }

    async fn launched(&mut self, launched: Launched) -> Result<Option<Action>, ReconcileError> {
        let now = Timestamp::now();
        match launched {
            Launched::Created(pod) => {
                info!(pod = pod.name_any(), "pod created");
                self.passed(Phase::Launch, true);
                self.looked = Some(observe::present(&pod, &self.action));
                let mut memory = lock(self.memory);
                memory.succeeded();
                memory.creation.refusal = None;
                memory.created = Some(pod);
            }
            Launched::NameTaken => return self.look_again().await,
            Launched::NotWanted => return Ok(Some(Action::requeue(Duration::from_secs(1)))),
            Launched::NotLeading => {
                warn!("no pod was asked for: the lease was not renewed in time");
                return Ok(Some(Action::requeue(Duration::from_secs(1))));
            }
            Launched::Refused(refusal) => {
                info!(message = refusal.message, "the pod was refused");
                let mut memory = lock(self.memory);
                memory.creation.refusal = Some(refusal);
                memory.failed(now, None);
            }
            Launched::Unanswered(error) => {
                info!(error, "whether the pod was created is not known");
                let mut memory = lock(self.memory);
                memory.creation.unanswered = true;
                memory.creation.error = Some(error);
                memory.failed(now, None);
            }
        }
        Ok(None)
    }

    async fn entombed(&mut self, launched: Launched) -> Result<Option<Action>, ReconcileError> {
        match launched {
            Launched::Created(pod) => {
                self.looked = Some(observe::present(&pod, &self.action));
                lock(self.memory).created = Some(pod);
                Ok(None)
            }
            Launched::NameTaken => self.look_again().await,
            Launched::Refused(refusal) => {
                let mut memory = lock(self.memory);
                if !memory.creation.refuse_tombstone(&refusal) {
                    return Ok(None);
                }
                info!(message = refusal.message, "the tombstone was refused, and is tried again");
                let pause = backoff(memory.creation.tombstone_tries);
                Ok(Some(Action::requeue(pause.unsigned_abs())))
            }
            Launched::NotWanted | Launched::NotLeading | Launched::Unanswered(_) => {
                let pause = backoff(lock(self.memory).failures);
                Ok(Some(Action::requeue(pause.unsigned_abs())))
            }
        }
    }

    /// Something has the name: the live pod says whether it is ours.
    async fn look_again(&mut self) -> Result<Option<Action>, ReconcileError> {
        let (fact, pod) = observe::look(&self.context.client, &self.action)
            .await
            .map_err(|source| ReconcileError::Call { step: "looking at the pod", source })?;
        if pod.is_none() {
            // It was there a moment ago: the next pass begins with that.
            return Ok(Some(Action::requeue(Duration::from_secs(1))));
        }
        let mut memory = lock(self.memory);
        memory.succeeded();
        memory.created = pod.map(Box::new);
        drop(memory);
        self.looked = Some(fact);
        Ok(None)
    }

    fn follow(&self, namespace: &str, pod: String, uid: String) {
        let Some(status) = &self.action.status else { return };
        let Some(run) = &status.run else { return };
        self.context.collector.follow(Source {
            action: ObjectRef::from_obj(&self.action),
            namespace: namespace.to_owned(),
            pod,
            of: Identity { pod_uid: uid, run_id: run.id.clone() },
        });
    }

    /// Reads the pod's events, where what is known of them does not do. Where they cannot be read, nothing is lost
    /// but the cause.
    async fn read_events(&mut self) {
        let uid = {
            let memory = lock(self.memory);
            let pod = self
                .looked
                .clone()
                .unwrap_or_else(|| observe::pod(&self.context.pods, &self.action, &memory));
            let stopped = |view: &PodView| self.context.collector.was_stopped(&view.uid);
            let warnings = &self.context.warnings;
            let needed = observe::needs_events(&self.action, &pod, warnings, stopped, &memory, self.now);
            let Some((_, uid)) = needed.zip(pod.view().map(|view| view.uid.clone())) else { return };
            uid
        };
        let namespace = self.action.namespace().unwrap_or_default();
        let _turn = self.context.event_turns.take(&namespace, Vec::new()).await;
        let read = observe::events(&self.context.client, &namespace, &uid).await;
        let mut memory = lock(self.memory);
        let events = read.unwrap_or_else(|error| {
            debug!(%error, "the pod's events cannot be read");
            memory.events.take().map(|(_, events)| events).unwrap_or_default()
        });
        // Counted from the answer: a server that is slow to give it is not asked again at once.
        self.now = Timestamp::now();
        memory.events = Some((self.now, events));
    }
}
