//! The process's memory of an action between two looks. Nothing depends on it: after a restart it is empty,
//! and every rule still holds.

mod creations;
mod kept_outputs;
mod own_writes;
mod pauses;
mod pods;
mod resolving;
mod stages;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use kube::Resource;
use tokio::sync::Notify;

pub(in crate::operator) use self::pauses::backoff;
use self::{
    creations::Creations,
    kept_outputs::KeptOutputs,
    own_writes::{OwnLease, OwnWrites},
    pauses::Pauses,
    pods::OwnPods,
    resolving::Resolving,
    stages::SeenStages,
};
use super::cached::Cached;
use crate::api::DeploymentAction;

/// The process's memory of one action.
#[derive(Debug, Default)]
pub struct Memory {
    pub(in crate::operator) writes: OwnWrites,
    pub(in crate::operator) pods: OwnPods,
    pub(in crate::operator) lease: OwnLease,
    pub(in crate::operator) creations: Creations,
    pub(in crate::operator) outputs: KeptOutputs,
    pub(in crate::operator) resolving: Resolving,
    pub(in crate::operator) pauses: Pauses,
    pub(in crate::operator) stages: SeenStages,
}

impl Memory {
    /// Starts to remember another attempt. If `announced` is false, another process may have sent a creation.
    pub(in crate::operator) fn turn_to(&mut self, attempt: (u32, u32), announced: bool) {
        if self.creations.turn_to(attempt, announced) {
            self.pods.attempt_begins();
            self.lease.attempt_begins();
            self.succeeded();
        }
    }

    /// Notes that resolving or creating did not fail.
    pub(in crate::operator) fn succeeded(&mut self) {
        self.pauses.succeeded();
        self.resolving.forget_result();
    }
}

/// The memories of all actions, by UID.
#[derive(Debug, Clone, Default)]
pub struct Memories(Arc<Mutex<HashMap<String, Arc<Mutex<Memory>>>>>);

impl Memories {
    fn all(&self) -> MutexGuard<'_, HashMap<String, Arc<Mutex<Memory>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The memory of the action with this UID. A new one is empty.
    #[must_use]
    pub fn of(&self, uid: &str) -> Arc<Mutex<Memory>> {
        Arc::clone(self.all().entry(uid.to_owned()).or_default())
    }

    /// The memory of the action with this UID, if there is one.
    #[must_use]
    pub fn known(&self, uid: &str) -> Option<Arc<Mutex<Memory>>> {
        self.all().get(uid).map(Arc::clone)
    }

    /// Notes what the cache has of its action.
    pub fn shown(&self, cached: &Cached) {
        let memory = cached.meta().uid.as_deref().and_then(|uid| self.known(uid));
        if let Some(memory) = memory {
            memory.lock().unwrap_or_else(PoisonError::into_inner).writes.shown(cached);
        }
    }

    /// Forgets the action with this UID.
    pub fn forget(&self, uid: &str) {
        self.all().remove(uid);
    }

    /// Whether no creation of this attempt can arrive any more, as far as this process knows.
    #[must_use]
    pub fn has_all_creations(&self, uid: &str, attempt: (u32, u32)) -> bool {
        self.known(uid).is_some_and(|memory| {
            memory.lock().unwrap_or_else(PoisonError::into_inner).creations.has_all(attempt)
        })
    }

    /// Notes that the action is gone, so that nothing is created for it any more. `action` is its last state:
    /// its status says whether another process could have created the pod.
    pub fn gone(&self, action: &DeploymentAction, process: &str) {
        let Some(memory) = action.metadata.uid.as_deref().and_then(|uid| self.known(uid)) else { return };
        let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.resolving.end();
        memory.creations.gone(action, process);
    }

    /// Notified when the action with this UID is gone. Then it is known which of its attempts are settled.
    #[must_use]
    pub fn goes(&self, uid: &str) -> Arc<Notify> {
        self.of(uid).lock().unwrap_or_else(PoisonError::into_inner).creations.goes()
    }

    /// Forgets all actions but those with these UIDs.
    pub fn keep(&self, uids: &HashSet<String>) {
        self.all().retain(|uid, _| uids.contains(uid));
    }
}
