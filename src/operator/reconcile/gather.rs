//! Gathers the facts that `decide` needs.

use std::sync::Arc;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use tracing::debug;

use super::pass::{Pass, lock};
use crate::operator::{
    lifecycle::{
        cause::{cause, explain},
        decide::needs_spec,
        facts::{Archiving, Facts, LogFact, PodFact, Resolution},
        requests::Requests,
    },
    options::RequesterPolicyOption,
    pod::view::PodView,
    spec::{
        expand::Lookup,
        expanded::{Expanded, Generations},
        policy::Standing,
    },
    steps::observe,
};

/// How often a status may be written that only reports progress.
const PROGRESS_EVERY: SignedDuration = SignedDuration::from_secs(5);

impl Pass<'_> {
    /// Checks the spec with the current template, as long as the run has nothing frozen. A resolution for
    /// another version of action or template is dropped.
    pub(super) async fn expand(&mut self) {
        let context = self.context;
        let of = Generations::of(&self.action, context.templates.version_of(&self.action));
        let needed = needs_spec(&self.action);
        if self.spec.of == of && (self.spec.is_full() || !needed) {
            return;
        }
        let known = {
            let mut memory = lock(self.memory);
            if memory.resolving.is_of_another(&of) {
                memory.succeeded();
            }
            memory.resolving.take_expanded().filter(|known| needed && known.of == of)
        };
        if self.spec.of != of {
            self.resolution = None;
        }
        self.spec = match known {
            Some(known) => known,
            None => Arc::new(self.expanded(needed).await),
        };
        if needed && self.spec.template.as_ref().is_some_and(Lookup::is_heavy) {
            lock(self.memory).resolving.keep_expanded(Arc::clone(&self.spec));
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
        // It ends without an answer only if the process ends.
        tokio::task::spawn_blocking(heavy)
            .await
            .unwrap_or_else(|_| Expanded::unneeded(&self.action, Some(Lookup::Unread)))
    }

    /// Reads the pod's events if the known ones are not enough. If they cannot be read, only the cause is
    /// missing.
    pub(super) async fn read_events(&mut self) {
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
        let events = read.inspect_err(|error| debug!(%error, "the pod's events cannot be read")).ok();
        // Counted from the answer, so that a slow server is not asked again at once.
        self.now = Timestamp::now();
        lock(self.memory).pods.events_read(self.now, events);
    }

    /// Reads the pods of an earlier action of this name that this process created and the cache does not have.
    /// Its script may run, while the watch of pods is broken.
    pub(super) async fn read_unshown(&mut self) {
        self.unshown.clear();
        if !observe::waits_for_previous(&self.action) {
            return;
        }
        let namespace = self.action.namespace().unwrap_or_default();
        let created = self.context.pod_index.unshown(&namespace, &self.action.name_any());
        for pod in created.iter().filter(|pod| observe::is_of_another(pod, &self.action)) {
            match observe::live(&self.context.client, pod).await {
                Ok(Some(live)) => self.unshown.push(PodView::of(&live)),
                Ok(None) => self.context.pod_index.gone(pod.uid().as_deref().unwrap_or_default()),
                Err(error) => {
                    debug!(%error, "a pod of an earlier action cannot be read");
                    self.unshown.push(PodView::of(pod));
                }
            }
        }
    }

    /// Gathers everything that is known about the action now. First it updates the memory of the action.
    pub(super) fn observe(&self) -> Facts<'_> {
        // The time at which the events were requested: nothing is given up without a last look at them.
        let now = self.now;
        let nodes = &self.context.nodes;
        let mut memory = lock(self.memory);
        if let Some(run) = self.action.status.as_ref().and_then(|status| status.run.as_ref())
            && run.bundle_sha256.is_some()
        {
            memory.turn_to((run.number, run.attempt), false);
        }
        memory.creations.settle(&self.action, &self.context.process);
        observe::forget_created(&self.context.pods, &mut memory);
        let mut pod =
            self.looked.clone().unwrap_or_else(|| observe::pod(&self.context.pods, &self.action, &memory));
        let run = self.action.status.as_ref().and_then(|status| status.run.as_ref());
        if let (Some(view), Some(run)) = (pod.view(), run)
            && view.owner_uid == self.action.metadata.uid
            && view.attempt == Some((run.number, run.attempt))
            && !view.tombstone
        {
            memory.creations.seen(&view.uid);
        }
        let events = pod.view().map(|view| observe::events_of(&view.uid, &memory, &self.context.warnings));
        let events = events.unwrap_or_default();
        if let PodFact::Present(view) = &mut pod {
            explain(view, &events);
            nodes.tell(view);
            if view.terminated().is_some() {
                view.end_seen = Some(memory.pods.end_seen(&view.uid, now));
            }
        }
        let log: Option<LogFact> = pod
            .view()
            .map(|view| view.uid.clone())
            .or_else(|| run?.pod_uid.clone())
            .or_else(|| memory.creations.latest().pod_uid.clone())
            .and_then(|uid| self.context.collector.fact(&uid));
        let of_cache = || observe::older(&self.context.pods, &self.context.pod_index, &self.action);
        let mut older = self.all_pods.clone().unwrap_or_else(of_cache);
        let mut previous = observe::previous(&self.context.pods, &self.context.pod_index, &self.action);
        previous.extend(self.unshown.iter().cloned());
        for pod in older.iter_mut().chain(&mut previous) {
            nodes.tell(pod);
        }
        for pod in &mut older {
            pod.settled = pod.attempt.is_some_and(|attempt| memory.creations.has_all(attempt));
        }
        previous.retain(|pod| pod.may_run(now));
        let archive = self.context.archivist.as_ref().map(|archivist| {
            let ran = run.and_then(|run| run.pod_uid.as_ref());
            let uids = pod.view().into_iter().chain(&older).map(|pod| &pod.uid).chain(ran);
            Archiving(uids.filter_map(|uid| Some((uid.clone(), archivist.storing(uid)?))).collect())
        });
        let node =
            pod.view().and_then(|view| view.node.as_deref()).or(run.and_then(|run| run.node_name.as_deref()));
        let resolver = observe::resolver(&self.context.pods, &self.action, &memory);
        // A failed resolution is tried again after its pause. A node is asked only once.
        let known = self.resolution.clone().or_else(|| memory.resolving.result().cloned());
        let asked = matches!(known, Some(Resolution::NeedsPod { .. }));
        let not_before = memory.pauses.not_before();
        let again = !asked && not_before.is_none_or(|time| time <= now) && self.resolution.is_none();
        Facts {
            process: &self.context.process,
            action: &self.action,
            requests: Requests::of(&self.action)
                .recorded(self.context.options.requester_policy == RequesterPolicyOption::Enforced),
            spec: &self.spec.checked,
            template: self.spec.template.as_ref(),
            source: self.context.sources.of(&self.action, &self.context.templates),
            resolution: known.filter(|_| !again),
            cause: pod.view().and_then(|view| cause(view, &events)),
            resolver,
            policy_missing: self.context.use_policy.missing(),
            standing: self.standing(),
            user_namespaces: self.context.nodes.user_namespaces(),
            node: node.and_then(|node| nodes.state(node)),
            pod,
            older,
            all_pods: self.all_pods.is_some(),
            previous,
            creation: memory.creations.latest().clone(),
            not_before,
            log,
            progress_due: memory.writes.are_older_than(PROGRESS_EVERY, now),
            lock: self.lock_fact(&memory, now),
            keys: self.keys.as_deref(),
            secret: memory.outputs.fact(),
            archive,
        }
    }

    /// The policies' judgement of what a run would execute now. A spec that cannot be executed is not judged.
    fn standing(&self) -> Standing {
        self.spec.checked.as_ref().map_or(Standing::Allowed, |checked| {
            self.context.action_policies.judge(&checked.namespace, &checked.spec, checked.template.is_some())
        })
    }
}
