//! The steps of a pass about the action's lock.

use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::{ResourceExt, runtime::controller::Action};
use tracing::{info, warn};

use super::pass::{Pass, ReconcileError, lock};
use crate::operator::{
    caches::memory::Memory,
    call::CallError,
    lifecycle::lock_facts::{LockFact, LockSeen},
    steps::lock_lease::{self as locks, Claim},
};

/// How often a run that waits for its lock writes its place in the queue.
const POSITION_EVERY: SignedDuration = SignedDuration::from_secs(30);

impl Pass<'_> {
    /// Everything known about the lock that the action names, or that its run has.
    pub(super) fn lock_fact(&self, memory: &Memory, now: Timestamp) -> LockFact {
        let run = self.action.status.as_ref().and_then(|status| status.run.as_ref());
        let of_run = run.and_then(|run| run.lock.as_ref());
        let Some(name) =
            self.action.spec.lock.as_ref().map(|lock| &lock.name).or(of_run.map(|lock| &lock.name))
        else {
            return LockFact::default();
        };
        let waits = run.filter(|run| run.finished_at.is_none()).and(of_run);
        let recorded = waits.filter(|lock| lock.name == *name && lock.acquired_at.is_none());
        let ticket = recorded.map(|lock| lock.ticket.clone()).or_else(|| self.action.resource_version());
        let held = run.and_then(|run| Some((run.held_lock()?, run)));
        LockFact {
            place: self.context.locks.place(&self.action, name, &ticket.unwrap_or_default()),
            seen: self.lock_seen.clone(),
            marked: memory.lease.mark().cloned(),
            lost: memory.lease.is_lost(),
            given_back: held.is_some_and(|(lock, run)| memory.lease.has_released(&lock.name, &run.id)),
            position_due: memory.writes.are_older_than(POSITION_EVERY, now),
        }
    }

    pub(super) fn claim(&self, lock: String, run: String) -> Claim {
        Claim {
            namespace: self.action.namespace().unwrap_or_default(),
            lock,
            action: self.action.name_any(),
            uid: self.action.uid().unwrap_or_default(),
            run,
        }
    }

    pub(super) async fn look_at_lock(&mut self, claim: Claim) {
        match locks::look(&self.context.client, &claim).await {
            Ok((mut seen, lease)) => {
                seen.pods_mut().for_each(|pod| self.context.nodes.tell(pod));
                lock(self.memory).succeeded();
                (self.lock_seen, self.lease) = (Some(seen), lease);
            }
            Err(error) => self.lock_unreadable(&error),
        }
    }

    fn lock_unreadable(&mut self, error: &CallError) {
        info!(%error, "the lock's Lease cannot be read or written");
        lock(self.memory).pauses.failed(Timestamp::now(), None);
        self.lock_seen = Some(LockSeen::Unreadable(error.to_string()));
    }

    pub(super) async fn take_lock(&mut self, claim: Claim) -> Option<Action> {
        match locks::take(&self.context.client, &claim, self.lease.as_ref()).await {
            Ok(Some(lease)) => {
                info!(lock = claim.lock, "the run has its lock");
                lock(self.memory).lease.taken(lease);
                self.lock_seen = Some(LockSeen::Ours { since: Timestamp::now() });
                None
            }
            // Another run was faster.
            Ok(None) => Some(Action::requeue(Duration::from_millis(200))),
            Err(error) => {
                self.lock_unreadable(&error);
                None
            }
        }
    }

    /// Writes the pod onto the lock's Lease.
    pub(super) async fn mark_lock(
        &mut self,
        claim: Claim,
        (pod, uid): (String, Option<String>),
        seconds: i64,
    ) -> Result<(), ReconcileError> {
        let known = lock(self.memory).lease.take();
        let marked = locks::mark(&self.context.client, &claim, known, &pod, uid.as_deref(), seconds).await;
        let mut memory = lock(self.memory);
        match marked {
            Ok(Some(lease)) => {
                memory.lease.marked(lease, (pod, uid));
            }
            Ok(None) => {
                warn!(lock = claim.lock, "the lock's Lease names another holder");
                memory.lease.lost();
            }
            // The pod exists, and its name is on the Lease. Its end must not wait for this.
            Err(error) if uid.is_some() => {
                warn!(%error, "the pod's UID was not written onto the lock's Lease");
                memory.lease.half_marked((pod, uid));
            }
            Err(source) => {
                return Err(ReconcileError::Call { step: "writing the pod onto the lock's Lease", source });
            }
        }
        Ok(())
    }

    pub(super) async fn release_lock(&mut self, claim: Claim) -> Result<(), ReconcileError> {
        let Claim { namespace, lock: name, uid, run, .. } = &claim;
        let wanted = self.context.locks.is_wanted(namespace, name);
        locks::release(&self.context.client, namespace, name, (uid, run), wanted)
            .await
            .map_err(|source| ReconcileError::Call { step: "releasing the lock", source })?;
        info!(lock = name, "the run has released its lock");
        lock(self.memory).lease.released(claim.lock, claim.run);
        (self.lock_seen, self.lease) = (None, None);
        Ok(())
    }
}
