//! The part of a pass that resolves what a run executes, and creates its pods.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::{ResourceExt, runtime::controller::Action};
use tracing::{info, warn};

use super::pass::{Pass, ReconcileError, lock};
use crate::operator::{
    caches::{job::Wanted, memory::backoff},
    lifecycle::facts::{Refusal, Resolution},
    steps::{
        launch::{self, Launched},
        observe,
    },
    telemetry::stages::Stage,
};

impl Pass<'_> {
    /// Takes the answer of the job, or starts a job that resolves beside the looks.
    pub(super) fn resolve(&mut self, repeats: Option<u32>) {
        let Ok(checked) = &self.spec.checked else { return };
        let wanted = Wanted::of(&self.action, checked, repeats);
        self.resolves = true;
        let mut memory = lock(self.memory);
        memory.stages.begin_once(Timestamp::now());
        if !memory.resolving.has_job_for(&wanted) {
            let failures = memory.pauses.failures();
            memory.resolving.start(self.context.jobs.begin(&self.action, wanted, &self.spec, failures));
        }
        let Some((resolution, pause)) = memory.resolving.take_answer() else {
            self.resolution = memory.resolving.under_way().or_else(|| self.resolution.take());
            return;
        };
        match &resolution {
            Resolution::Failed { message, .. } => {
                info!(message, "what the run executes cannot be resolved yet");
                memory.pauses.failed(Timestamp::now(), pause);
                memory.resolving.put(resolution.clone(), self.spec.of.clone());
            }
            Resolution::NeedsPod { message, .. } => {
                info!(message, "asking a node for the digest of the image's tag");
                memory.succeeded();
                memory.resolving.put(resolution.clone(), self.spec.of.clone());
            }
            Resolution::Resolved { .. } | Resolution::Refused { .. } | Resolution::UnderWay { .. } => {
                memory.succeeded();
            }
        }
        self.resolution = Some(resolution);
    }

    pub(super) async fn create_resolver(&mut self, run: u32) -> Result<Option<Action>, ReconcileError> {
        let Ok(checked) = &self.spec.checked else { return Ok(Some(Action::await_change())) };
        let defaults = self.context.options.pod_defaults(self.context.nodes.delivery(), &self.context.fetch);
        let launched = launch::create_resolver(&self.context.client, checked, run, &defaults).await;
        let mut memory = lock(self.memory);
        match launched {
            Launched::Created(pod) => {
                info!(pod = pod.name_any(), "created the pod that resolves the image");
                memory.pods.resolver_created(pod);
                return Ok(None);
            }
            Launched::Refused(Refusal { reason, message, may_pass }) => {
                let message = format!("the pod that asks a node for the image: {message}");
                memory.pauses.failed(Timestamp::now(), None);
                let resolution = if may_pass {
                    Resolution::Failed { reason, message }
                } else {
                    Resolution::Refused { reason, message }
                };
                memory.resolving.put(resolution.clone(), self.spec.of.clone());
                self.resolution = Some(resolution);
                return Ok(None);
            }
            Launched::NameTaken | Launched::NotWanted | Launched::NotLeading | Launched::Unanswered(_) => {}
        }
        // The cache will show what happened.
        Ok(Some(Action::requeue(Duration::from_secs(1))))
    }

    pub(super) async fn launched(&mut self, launched: Launched) -> Result<Option<Action>, ReconcileError> {
        let now = Timestamp::now();
        match launched {
            Launched::Created(pod) => {
                info!(pod = pod.name_any(), "pod created");
                self.passed(Stage::Launch, true);
                self.looked = Some(observe::present(&pod, &self.action));
                self.context.pod_index.created(&pod);
                let mut memory = lock(self.memory);
                memory.succeeded();
                memory.creations.created();
                memory.pods.created(Some(pod));
            }
            Launched::NameTaken => return self.look_again().await,
            Launched::NotWanted => return Ok(Some(Action::requeue(Duration::from_secs(1)))),
            Launched::NotLeading => {
                warn!("no pod was created: the lease was not renewed in time");
                return Ok(Some(Action::requeue(Duration::from_secs(1))));
            }
            Launched::Refused(refusal) => {
                info!(message = refusal.message, "the pod was refused");
                let mut memory = lock(self.memory);
                memory.creations.refused(refusal);
                memory.pauses.failed(now, None);
            }
            Launched::Unanswered(error) => {
                info!(error, "it is not known whether the pod was created");
                let mut memory = lock(self.memory);
                memory.creations.unanswered(error);
                memory.pauses.failed(now, None);
            }
        }
        Ok(None)
    }

    pub(super) async fn entombed(&mut self, launched: Launched) -> Result<Option<Action>, ReconcileError> {
        match launched {
            Launched::Created(pod) => {
                self.looked = Some(observe::present(&pod, &self.action));
                lock(self.memory).pods.created(Some(pod));
                Ok(None)
            }
            Launched::NameTaken => self.look_again().await,
            Launched::Refused(refusal) => {
                let Some(tries) = lock(self.memory).creations.tombstone_refused(&refusal) else {
                    return Ok(None);
                };
                info!(message = refusal.message, "the tombstone was refused, and is tried again");
                Ok(Some(Action::requeue(backoff(tries).unsigned_abs())))
            }
            Launched::NotWanted | Launched::NotLeading | Launched::Unanswered(_) => {
                let pause = backoff(lock(self.memory).pauses.failures());
                Ok(Some(Action::requeue(pause.unsigned_abs())))
            }
        }
    }

    /// Looks at the pod that has the name. The live pod shows whether it is ours.
    pub(super) async fn look_again(&mut self) -> Result<Option<Action>, ReconcileError> {
        let (fact, pod) = observe::look(&self.context.client, &self.action)
            .await
            .map_err(|source| ReconcileError::Call { step: "looking at the pod", source })?;
        if pod.is_none() {
            // It existed a moment ago. The next pass begins with that.
            return Ok(Some(Action::requeue(Duration::from_secs(1))));
        }
        let mut memory = lock(self.memory);
        memory.succeeded();
        memory.pods.created(pod.map(Box::new));
        drop(memory);
        self.looked = Some(fact);
        Ok(None)
    }
}
