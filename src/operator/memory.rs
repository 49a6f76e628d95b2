//! What the process remembers of an action between two looks. Nothing of it is needed: after a
//! restart it is empty, and every rule holds.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use k8s_openapi::{
    api::{
        coordination::v1::Lease,
        core::v1::{Event, Pod},
    },
    jiff::{SignedDuration, Timestamp},
};
use kube::ResourceExt;

use super::{
    facts::{Creation, Resolution},
    phases::Part,
};
use crate::api::DeploymentAction;

/// The first and the longest pause after a failure, in milliseconds.
const BACKOFF: (i64, i64) = (500, 30_000);

/// Of so many attempts before the latest is it remembered: within the two minutes for which that matters,
/// hardly more begin.
const MOST_ANSWERED: usize = 16;

/// What is remembered of one action. Objects are boxed: of nearly all actions there is none, and an
/// object without its content is some kilobytes.
#[derive(Debug, Default)]
pub struct Memory {
    /// The action as our last write to its status returned it: the cache may be behind it.
    pub written: Option<Box<DeploymentAction>>,
    /// The pod as its creation returned it: the cache may be behind it.
    pub created: Option<Box<Pod>>,
    /// The pod that resolves the image, as its creation returned it.
    pub resolver: Option<Box<Pod>>,
    /// The UID of one that we deleted: the cache may be behind that.
    pub resolver_deleted: Option<String>,
    /// The UID of the pod that we let go last: the cache may be behind that, and it must not cost a
    /// second call.
    pub released: Option<String>,
    /// The lock's Lease as our last write of it returned it: the next one replaces that.
    pub lease: Option<Box<Lease>>,
    /// What was put down on it: the pod's name, and its UID.
    pub marked: Option<(String, Option<String>)>,
    /// Whether the Lease named another holder when that was tried.
    pub lock_lost: bool,
    /// The lock and the run of which we have given it back.
    pub given_back: Option<(String, String)>,
    /// Whose creations `creation` speaks of: run and attempt.
    pub attempt: Option<(u32, u32)>,
    /// What is known of them.
    pub creation: Creation,
    /// The latest attempts before it whose creations were all ours, and answered.
    pub answered: VecDeque<(u32, u32)>,
    /// How resolving the image of a run that is pending went last.
    pub resolution: Option<Resolution>,
    /// Failures in a row, of resolving or creating.
    pub failures: u32,
    /// Before this, neither is tried again.
    pub not_before: Option<Timestamp>,
    /// The pod's events, and when they were read.
    pub events: Option<(Timestamp, Vec<Event>)>,
    /// When the status was last written.
    pub written_at: Option<Timestamp>,
    /// Errors of reconciling in a row.
    pub errors: u32,
    /// When the part of the run began that is under way: for metrics and traces alone.
    pub since: Option<Timestamp>,
    /// The parts of the run that are over, as far as this process has seen them.
    pub parts: Vec<Part>,
}

impl Memory {
    /// The newer of the cached action and the one that we wrote, which is forgotten once the cache
    /// has caught up: a second copy of each action would be most of what the process holds.
    #[must_use]
    pub fn newest(&mut self, cached: &DeploymentAction) -> DeploymentAction {
        match &self.written {
            Some(written) if is_newer(written, cached) => (**written).clone(),
            _ => {
                self.written = None;
                cached.clone()
            }
        }
    }

    /// Begins to speak of another attempt. Where `announced` is false, a process before this one
    /// may have sent a creation.
    pub fn turn_to(&mut self, attempt: (u32, u32), announced: bool) {
        if self.attempt != Some(attempt) {
            if let Some(before) = self.attempt.replace(attempt).filter(|_| !self.creation.unanswered) {
                self.answered.push_back(before);
            }
            // Its number can come again where somebody has put an older status back.
            self.answered.retain(|before| *before != attempt);
            if self.answered.len() > MOST_ANSWERED {
                self.answered.pop_front();
            }
            self.creation = Creation { unanswered: !announced, ..Creation::default() };
            self.created = None;
            self.events = None;
            self.lock_lost = false;
            self.succeeded();
        }
    }

    /// Something failed: the next try comes later, each time, and not for all actions at once.
    pub fn failed(&mut self, now: Timestamp, at_least: Option<SignedDuration>) {
        let pause = backoff(self.failures).max(at_least.unwrap_or(SignedDuration::ZERO));
        self.failures = self.failures.saturating_add(1);
        self.not_before = now.saturating_add(pause).ok();
    }

    /// Something did not fail.
    pub fn succeeded(&mut self) {
        self.failures = 0;
        self.not_before = None;
        self.resolution = None;
    }
}

/// The pause after so many failures in a row: doubling, with up to a quarter of jitter.
#[must_use]
pub fn backoff(failures: u32) -> SignedDuration {
    let pause = BACKOFF.0.saturating_mul(1 << failures.min(16)).min(BACKOFF.1);
    // Spread by the clock's lowest digits: no two actions fail in the same nanosecond.
    let spread = i64::from(Timestamp::now().subsec_nanosecond()) % (pause / 4).max(1);
    SignedDuration::from_millis(pause + spread)
}

/// Resource versions of one resource can be compared since Kubernetes 1.35 (KEP-5504). Where they
/// are no numbers, the cache is believed.
fn is_newer(written: &DeploymentAction, cached: &DeploymentAction) -> bool {
    let version =
        |action: &DeploymentAction| action.resource_version().and_then(|version| version.parse::<u64>().ok());
    written.metadata.uid == cached.metadata.uid && version(written) > version(cached)
}

/// What is remembered, by the action's UID.
#[derive(Debug, Clone, Default)]
pub struct Memories(Arc<Mutex<HashMap<String, Arc<Mutex<Memory>>>>>);

impl Memories {
    /// What is remembered of the action with this UID.
    #[must_use]
    pub fn of(&self, uid: &str) -> Arc<Mutex<Memory>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(uid.to_owned()).or_default())
    }

    /// Whether the creations of this attempt were all this process's own, and answered: none can arrive
    /// any more.
    #[must_use]
    pub fn has_all_creations(&self, uid: &str, attempt: (u32, u32)) -> bool {
        let memory = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(uid).map(Arc::clone);
        memory.is_some_and(|memory| {
            let memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
            let latest = memory.attempt == Some(attempt) && !memory.creation.unanswered;
            latest || memory.answered.contains(&attempt)
        })
    }

    /// Forgets all actions but those with these UIDs.
    pub fn keep(&self, uids: &HashSet<String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|uid, _| uids.contains(uid));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::tests::action;

    #[test]
    fn a_pause_grows_and_is_bounded() {
        assert!(backoff(0).as_millis() < 700);
        assert!(backoff(3).as_millis() >= 4000);
        assert!(backoff(u32::MAX).as_millis() < 40_000);
    }

    #[test]
    fn our_own_write_is_believed_before_an_older_cache() {
        let mut written = action();
        written.metadata.resource_version = Some("100".into());
        let mut cached = action();
        cached.metadata.resource_version = Some("99".into());
        let mut memory = Memory { written: Some(Box::new(written.clone())), ..Memory::default() };
        assert_eq!(memory.newest(&cached), written);
        cached.metadata.resource_version = Some("101".into());
        assert_eq!(memory.newest(&cached), cached);
        assert_eq!(memory.written, None, "kept for nothing");
        memory.written = Some(Box::new(written));
        cached.metadata.resource_version = Some("1".into());
        cached.metadata.uid = Some("another".into());
        assert_eq!(memory.newest(&cached), cached);
    }

    #[test]
    fn a_creation_of_a_process_before_us_counts_as_unanswered() {
        let mut memory = Memory::default();
        memory.turn_to((1, 1), false);
        assert!(memory.creation.unanswered);
        memory.turn_to((2, 1), true);
        assert!(!memory.creation.unanswered);
    }

    #[test]
    fn of_earlier_attempts_it_is_remembered_whether_their_creations_were_answered() {
        let memories = Memories::default();
        let turn_to = |attempt, announced| memories.of("a").lock().unwrap().turn_to(attempt, announced);
        turn_to((1, 1), false);
        turn_to((1, 2), true);
        turn_to((2, 1), true);
        memories.of("a").lock().unwrap().creation.unanswered = true;
        turn_to((3, 1), true);
        for (attempt, all) in
            [((1, 1), false), ((1, 2), true), ((2, 1), false), ((3, 1), true), ((4, 1), false)]
        {
            assert_eq!(memories.has_all_creations("a", attempt), all, "{attempt:?}");
        }
        assert!(!memories.has_all_creations("b", (1, 2)), "another action");
        // An older status was put back: of what follows nothing is known.
        turn_to((1, 2), false);
        assert!(!memories.has_all_creations("a", (1, 2)));
        for run in 10..100 {
            turn_to((run, 1), true);
        }
        assert!(memories.of("a").lock().unwrap().answered.len() <= MOST_ANSWERED);
    }
}
