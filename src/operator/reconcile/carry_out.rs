//! Carries out the step that was decided.

use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::{
    ResourceExt,
    runtime::{controller::Action, reflector::ObjectRef},
};
use tracing::{info, warn};

use super::pass::{Pass, ReconcileError, lock};
use crate::{
    operator::{
        call::CallError,
        lifecycle::decide::Step,
        logs::collect::Source,
        pod::{attempt, names::run_id, tombstone::Owner},
        steps::{
            delete_action, keep_outputs,
            launch::{self},
            observe, release, stop,
            store_log::{self, Of},
        },
    },
    record::outcome::Identity,
};

/// An action that waits for nothing in particular is looked at again after this time.
pub(super) const LONGEST_WAIT: SignedDuration = SignedDuration::from_secs(300);

impl Pass<'_> {
    /// Carries a step out. `Some` if there is nothing more to do now.
    pub(super) async fn carry_out(&mut self, step: Step) -> Result<Option<Action>, ReconcileError> {
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
            Step::DeleteAction => {
                info!("deleting the action: its ttlSecondsAfterFinished are over");
                delete_action::delete(client, &self.action).await.map_err(failed("deleting the action"))?;
                // If somebody changed it meanwhile, it still exists.
                return Ok(Some(Action::requeue(Duration::from_secs(5))));
            }
            Step::CreateResolver { run } => return self.create_resolver(run).await,
            Step::DeleteResolver { name, uid } => {
                stop::delete(client, &namespace, &name, &uid)
                    .await
                    .map_err(failed("deleting the resolver"))?;
                lock(self.memory).pods.resolver_deleted(uid);
            }
            Step::Expire { name, uid } => {
                info!(pod = name, "ending the containers of the pod");
                stop::expire(client, &namespace, &name, &uid).await.map_err(failed("ending the pod"))?;
                return Ok(Some(Action::requeue(Duration::from_secs(1))));
            }
            Step::WriteStatus(status) => return self.write(*status).await,
            Step::Look => {
                let (fact, pod) =
                    observe::look(client, &self.action).await.map_err(failed("looking at the pod"))?;
                lock(self.memory).pods.created(pod.map(Box::new));
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
                if lock(self.memory).creations.latest().error.is_some() {
                    self.context.metrics.creation_again();
                }
                let launched = launch::launch(client, &self.context.term, checked, &attempt, &defaults).await;
                return self.launched(launched).await;
            }
            Step::Entomb { run, attempt } => {
                // The spec may be one that cannot be executed any more.
                let owner = Owner::of(&self.action, self.spec.checked.as_ref().ok());
                let Some(owner) = owner else { return Ok(Some(Action::await_change())) };
                let launched = launch::entomb(client, &owner, run, attempt).await;
                return self.entombed(launched).await;
            }
            Step::Follow { name, uid } => self.follow(name, uid),
            Step::Stop { name, uid, reason } => {
                info!(pod = name, "telling the script why it must stop");
                stop::announce(client, &namespace, &name, &uid, &reason, Timestamp::now())
                    .await
                    .map_err(failed("telling the script why it must stop"))?;
                // The cache will show it.
                return Ok(Some(Action::requeue(Duration::from_secs(2))));
            }
            Step::KeepOutputs { pod_uid } => self.keep_outputs(&pod_uid).await,
            Step::StoreLog { name, uid, run, attempt, has_log } => {
                self.store_log((name, uid), (run, attempt), has_log);
            }
            Step::Delete { name, uid } => {
                info!(pod = name, "deleting the pod");
                stop::delete(client, &namespace, &name, &uid).await.map_err(failed("deleting the pod"))?;
                // The cache will show it, even if the pod was gone before the cache had it.
                lock(self.memory).pods.created(None);
                return Ok(Some(Action::requeue(Duration::from_secs(1))));
            }
            Step::Release { name, uid } => {
                release::release(client, &namespace, &name, &uid)
                    .await
                    .map_err(failed("releasing the pod"))?;
                self.context.collector.forget(&uid);
                lock(self.memory).pods.released(uid);
                return Ok(Some(Action::requeue(Duration::from_secs(1))));
            }
        }
        Ok(None)
    }

    /// Creates the Secret with the sensitive outputs. A failure is a fact for the next step.
    async fn keep_outputs(&mut self, pod_uid: &str) {
        let log = self.context.collector.fact(pod_uid);
        let sealed = log.and_then(|log| log.exit?.0.sealed);
        let Some(sealed) = sealed else { return };
        let kept =
            keep_outputs::keep(&self.context.client, self.keys.as_deref(), &self.action, pod_uid, &sealed)
                .await;
        match &kept {
            Ok(secret) => info!(secret = secret.name, "the sensitive outputs are in their Secret"),
            Err(refusal) => {
                warn!(why = refusal.message, "the Secret of the sensitive outputs was not created");
            }
        }
        lock(self.memory).outputs.tried(Timestamp::now(), pod_uid, kept);
    }

    /// Hands over the record of an attempt. Another process may have read the log: then it is read again.
    fn store_log(&self, (name, uid): (String, String), (run, attempt): (u32, u32), has_log: bool) {
        let Some(archivist) = &self.context.archivist else { return };
        if has_log && self.context.collector.fact(&uid).is_none() {
            self.follow_attempt(name.clone(), uid.clone(), (run, attempt));
        }
        let log = self.context.collector.fact(&uid);
        let of = Of { run, attempt, pod: &name, pod_uid: &uid };
        if let Err(error) = store_log::store_log(archivist, &self.action, &of, log.as_ref()) {
            warn!(%error, "the log cannot be stored");
        }
    }

    fn follow(&self, pod: String, uid: String) {
        let run = self.action.status.as_ref().and_then(|status| status.run.as_ref());
        if let Some(attempt) = run.map(|run| (run.number, run.attempt)) {
            self.follow_attempt(pod, uid, attempt);
        }
    }

    fn follow_attempt(&self, pod: String, uid: String, (number, attempt): (u32, u32)) {
        let Some(status) = &self.action.status else { return };
        let Some(run) = &status.run else { return };
        let earlier = run_id(self.action.metadata.uid.as_deref().unwrap_or_default(), number);
        let deadlines = run.deadlines.unwrap_or_else(|| self.action.spec.deadlines());
        let grace = u64::try_from(attempt::grace_seconds(deadlines)).unwrap_or_default();
        self.context.collector.follow(Source {
            action: ObjectRef::from_obj(&self.action),
            namespace: self.action.namespace().unwrap_or_default(),
            grace: Duration::from_secs(grace),
            key: store_log::key(&self.action, &Of { run: number, attempt, pod: &pod, pod_uid: &uid }).ok(),
            pod,
            of: Identity {
                pod_uid: uid,
                run_id: if run.number == number { run.id.clone() } else { earlier },
            },
        });
    }
}
