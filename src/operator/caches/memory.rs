//! The process's memory of an action between two looks. Nothing depends on it: after a restart it is empty,
//! and every rule still holds.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use k8s_openapi::{
    api::{
        coordination::v1::Lease,
        core::v1::{Event, Pod},
    },
    jiff::{SignedDuration, Timestamp},
};
use kube::Resource;
use tokio::{sync::Notify, time::Instant};

use super::{cached::Cached, job::Job};
use crate::{
    api::DeploymentAction,
    operator::{
        lifecycle::facts::{Creation, Resolution},
        spec::expanded::{Expanded, Generations},
        telemetry::stages::Timing,
    },
};

/// The first and the longest pause after a failure, in milliseconds.
const BACKOFF: (i64, i64) = (500, 30_000);

/// A pass that asks for the next one this soon waits for nothing in particular.
const AT_ONCE: SignedDuration = SignedDuration::from_millis(50);
/// The longest pause between passes that do nothing and ask for the next one at once.
const MOST_PATIENT: SignedDuration = SignedDuration::from_secs(5);
/// How often the operator looks at an action whose events come faster than that for long.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How many looks may come at once. A run takes about a dozen.
const LOOKS_AT_ONCE: u32 = 40;

/// How many settled attempts are remembered for an action. Being settled matters for two minutes, and hardly
/// more attempts begin in that time.
const MOST_SETTLED: usize = 16;

/// The process's memory of one action. Objects are boxed, because nearly all actions have none, and an
/// object without content takes some kilobytes.
#[derive(Debug, Default)]
pub struct Memory {
    /// The action as our last write to its status returned it. The cache may be behind it.
    pub written: Option<Arc<Cached>>,
    /// The pod as its creation returned it. The cache may be behind it.
    pub created: Option<Box<Pod>>,
    /// When the end of the container of the pod with this UID was first seen.
    pub end_seen: Option<(String, Timestamp)>,
    /// The pod that resolves the image, as its creation returned it.
    pub resolver: Option<Box<Pod>>,
    /// The UID of the resolving pod that we deleted last. The cache may be behind that.
    pub resolver_deleted: Option<String>,
    /// The UID of the pod that we released last. The cache may be behind that, and the pod must not cost a
    /// second call.
    pub released: Option<String>,
    /// The lock's Lease as our last write returned it. The next write replaces that state.
    pub lease: Option<Box<Lease>>,
    /// The pod's name and UID, as we wrote them onto the Lease.
    pub marked: Option<(String, Option<String>)>,
    /// Whether the Lease named another holder when we tried to write them.
    pub lock_lost: bool,
    /// The lock that we released last, and the run that had it.
    pub given_back: Option<(String, String)>,
    /// The run and attempt that `creation` is about.
    pub attempt: Option<(u32, u32)>,
    /// The state of the creations of that attempt's pod.
    pub creation: Creation,
    /// The latest settled attempts: no creation is sent for them any more, and all that were sent were ours
    /// and were answered.
    pub settled: VecDeque<(u32, u32)>,
    /// Whether the action is gone.
    pub is_gone: bool,
    /// Notified when it is. The part that looks after its pods then asks which attempts are settled.
    pub gone: Arc<Notify>,
    /// The checked spec, kept while it is needed again, because checking may take long.
    pub expanded: Option<Arc<Expanded>>,
    /// The job that resolves for a pending run.
    pub job: Option<Box<Job>>,
    /// The last result of resolving for a pending run.
    pub resolution: Option<Resolution>,
    /// The generations of action and template that `resolution` is about.
    pub resolution_of: Option<Generations>,
    /// Failures in a row, of resolving or creating.
    pub failures: u32,
    /// Neither is tried again before this time.
    pub not_before: Option<Timestamp>,
    /// The pod's events, and when they were read.
    pub events: Option<(Timestamp, Vec<Event>)>,
    /// When the status was last written.
    pub written_at: Option<Timestamp>,
    /// Errors of reconciling in a row.
    pub errors: u32,
    /// Passes in a row that did nothing and asked for the next one at once.
    pub hasty: u32,
    /// When the recent looks would be over at one every [`LOOK_EVERY`].
    pub paced: Option<Instant>,
    /// When the current stage of the run began. Only metrics and traces use it.
    pub since: Option<Timestamp>,
    /// The stages of the run that are over, as far as this process has seen them.
    pub parts: Vec<Timing>,
}

impl Memory {
    /// The newer one of the cached action and the one that we wrote. Ours is forgotten once the cache has
    /// caught up: a second copy of each action would be most of what the process holds.
    #[must_use]
    pub fn newest(&mut self, cached: &Arc<Cached>) -> Arc<Cached> {
        self.shown(cached);
        self.written.as_ref().map_or_else(|| Arc::clone(cached), Arc::clone)
    }

    /// Notes what the cache has of the action.
    pub fn shown(&mut self, cached: &Cached) {
        if self.written.as_ref().is_some_and(|written| !written.is_newer_than(cached)) {
            self.written = None;
        }
    }

    /// Notes a look at the action, and returns `None`. If the recent looks were too many, it returns how long
    /// to leave the action alone. Somebody who annotates an action without end slows down that action alone.
    pub fn pace(&mut self, now: Instant) -> Option<Duration> {
        let until = self.paced.map_or(now, |until| until.max(now));
        let early = until.duration_since(now).saturating_sub(LOOK_EVERY * (LOOKS_AT_ONCE - 1));
        if early.is_zero() {
            self.paced = Some(until + LOOK_EVERY);
        }
        Some(early).filter(|early| !early.is_zero())
    }

    /// Starts to remember another attempt. If `announced` is false, another process may have sent a creation.
    pub fn turn_to(&mut self, attempt: (u32, u32), announced: bool) {
        if self.attempt.replace(attempt) != Some(attempt) {
            self.creation = Creation { unanswered: !announced, ..Creation::default() };
            self.created = None;
            self.events = None;
            self.lock_lost = false;
            self.succeeded();
        }
    }

    /// Notes what the action's status says about who may create the pod of its latest attempt.
    ///
    /// The attempt is settled if three things are true: no process creates the pod any more, only this process
    /// ever could, and all its creations were answered. A process that no longer leads cannot undo that.
    pub fn settle(&mut self, action: &DeploymentAction, process: &str) {
        let Some(run) = action.status.as_ref().and_then(|status| status.run.as_ref()) else {
            // Somebody emptied the status, and what it said is not known.
            self.creation.unanswered |= self.attempt.is_some();
            return;
        };
        let attempt = (run.number, run.attempt);
        // The same number can come again if somebody has put back an older status.
        self.settled.retain(|settled| *settled != attempt);
        if self.attempt != Some(attempt) {
            return;
        }
        self.creation.unanswered |= !run.is_launched_only_by(process);
        let deleted = self.is_gone || action.metadata.deletion_timestamp.is_some();
        let over = deleted || run.is_launched_no_more();
        if over && !self.creation.unanswered {
            self.settled.push_back(attempt);
        }
        if self.settled.len() > MOST_SETTLED {
            self.settled.pop_front();
        }
    }

    /// Whether no creation of this attempt can arrive any more: all were this process's own and were
    /// answered, and none will be sent.
    #[must_use]
    pub fn has_all_creations(&self, attempt: (u32, u32)) -> bool {
        let under_way = self.attempt == Some(attempt) && self.creation.unanswered;
        self.settled.contains(&attempt) && !under_way
    }

    /// Notes a failure. The next try comes later each time, and not at the same moment for all actions.
    pub fn failed(&mut self, now: Timestamp, at_least: Option<SignedDuration>) {
        let pause = backoff(self.failures).max(at_least.unwrap_or(SignedDuration::ZERO));
        self.failures = self.failures.saturating_add(1);
        self.not_before = now.saturating_add(pause).ok();
    }

    /// How long to wait after a pass that took `steps` steps and asks for the next one after `wait`. The
    /// first pass that did nothing and asks at once gets its wish. Then the pause doubles, so that no defect
    /// keeps a core busy. Events still lead to a look at once.
    pub fn patience(&mut self, wait: SignedDuration, steps: usize) -> SignedDuration {
        if steps > 0 || wait > AT_ONCE {
            self.hasty = 0;
            return wait;
        }
        let patience = wait.max(AT_ONCE).saturating_mul(1 << self.hasty.min(8));
        self.hasty = self.hasty.saturating_add(1);
        if self.hasty == 1 { wait } else { patience.min(MOST_PATIENT) }
    }

    /// Notes a success.
    pub fn succeeded(&mut self) {
        self.failures = 0;
        self.not_before = None;
        self.resolution = None;
    }
}

/// The pause after this many failures in a row. It doubles, with up to a quarter of jitter.
#[must_use]
pub fn backoff(failures: u32) -> SignedDuration {
    let pause = BACKOFF.0.saturating_mul(1 << failures.min(16)).min(BACKOFF.1);
    // The clock's lowest digits spread the pauses: no two actions fail in the same nanosecond.
    let spread = i64::from(Timestamp::now().subsec_nanosecond()) % (pause / 4).max(1);
    SignedDuration::from_millis(pause + spread)
}

/// The memories of all actions, by UID.
#[derive(Debug, Clone, Default)]
pub struct Memories(Arc<Mutex<HashMap<String, Arc<Mutex<Memory>>>>>);

impl Memories {
    /// The memory of the action with this UID. It is made if there is none.
    #[must_use]
    pub fn of(&self, uid: &str) -> Arc<Mutex<Memory>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(uid.to_owned()).or_default())
    }

    /// The memory of the action with this UID, if there is one.
    #[must_use]
    pub fn known(&self, uid: &str) -> Option<Arc<Mutex<Memory>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(uid).map(Arc::clone)
    }

    /// Notes what the cache has of its action.
    pub fn shown(&self, cached: &Cached) {
        let memory = cached.meta().uid.as_deref().and_then(|uid| self.known(uid));
        if let Some(memory) = memory {
            memory.lock().unwrap_or_else(PoisonError::into_inner).shown(cached);
        }
    }

    /// Forgets the action with this UID.
    pub fn forget(&self, uid: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }

    /// As [`Memory::has_all_creations`], for the action with this UID.
    #[must_use]
    pub fn has_all_creations(&self, uid: &str, attempt: (u32, u32)) -> bool {
        self.known(uid).is_some_and(|memory| {
            memory.lock().unwrap_or_else(PoisonError::into_inner).has_all_creations(attempt)
        })
    }

    /// Notes that the action is gone, so that nothing is created for it any more. `action` is its last state:
    /// its status says whether another process could have created the pod.
    pub fn gone(&self, action: &DeploymentAction, process: &str) {
        let Some(memory) = action.metadata.uid.as_deref().and_then(|uid| self.known(uid)) else { return };
        let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.is_gone = true;
        (memory.job, memory.expanded) = (None, None);
        memory.settle(action, process);
        memory.gone.notify_waiters();
    }

    /// Notified when the action with this UID is gone.
    #[must_use]
    pub fn goes(&self, uid: &str) -> Arc<Notify> {
        Arc::clone(&self.of(uid).lock().unwrap_or_else(PoisonError::into_inner).gone)
    }

    /// Forgets all actions but those with these UIDs.
    pub fn keep(&self, uids: &HashSet<String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|uid, _| uids.contains(uid));
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;
    use crate::{
        api::status::{Launcher, RunStatus},
        operator::testing::objects::{PROCESS, action},
    };

    #[test]
    fn a_pause_grows_and_is_bounded() {
        assert!(backoff(0).as_millis() < 700);
        assert!(backoff(3).as_millis() >= 4000);
        assert!(backoff(u32::MAX).as_millis() < 40_000);
    }

    #[test]
    fn passes_that_do_nothing_and_ask_for_the_next_at_once_get_slower() {
        let mut memory = Memory::default();
        let moment = SignedDuration::from_millis(20);
        let mut waits = || memory.patience(moment, 0).as_millis();
        let waits: Vec<i128> = std::iter::repeat_with(&mut waits).take(10).collect();
        assert_eq!(waits, [20, 100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000]);
        let second = SignedDuration::from_secs(1);
        assert_eq!(memory.patience(second, 0), second);
        assert_eq!(memory.patience(moment, 0), moment, "there was something to wait for");
        assert_eq!(memory.patience(moment, 1), moment);
        assert_eq!(memory.patience(moment, 0), moment, "something was done");
    }

    #[test]
    fn an_action_whose_events_never_end_is_looked_at_ten_times_a_second() {
        let mut memory = Memory::default();
        let begun = Instant::now();
        let mut looks = 0;
        // An event each millisecond, for ten seconds.
        for at in 0..10_000 {
            looks += u32::from(memory.pace(begun + Duration::from_millis(at)).is_none());
        }
        assert!((130..=140).contains(&looks), "{looks}");
        // After a pause, as many looks may come at once as at first.
        let later = begun + Duration::from_mins(1);
        let at_once = (0..1000).take_while(|_| memory.pace(later).is_none()).count();
        assert_eq!(at_once, 40);
        let pause = memory.pace(later).unwrap();
        assert!(memory.pace(later + pause).is_none(), "it waits for as long as it is told");
    }

    #[test]
    fn our_own_write_is_believed_before_an_older_cache() {
        let of = |version: &str, uid: &str| {
            let mut action = action();
            action.metadata.resource_version = Some(version.into());
            action.metadata.uid = Some(uid.into());
            Arc::new(Cached::from(action))
        };
        let written = of("100", "a");
        let mut memory = Memory { written: Some(Arc::clone(&written)), ..Memory::default() };
        let version = |action: Arc<Cached>| action.meta().resource_version.clone().unwrap();
        assert_eq!(version(memory.newest(&of("99", "a"))), "100");
        memory.shown(&of("99", "a"));
        assert!(memory.written.is_some(), "the cache is behind");
        memory.shown(&of("100", "a"));
        assert!(memory.written.is_none(), "kept for nothing");
        memory.written = Some(Arc::clone(&written));
        assert_eq!(version(memory.newest(&of("101", "a"))), "101");
        assert!(memory.written.is_none(), "kept for nothing");
        memory.written = Some(written);
        assert_eq!(version(memory.newest(&of("1", "another"))), "1");
    }

    #[test]
    fn a_creation_of_a_process_before_us_counts_as_unanswered() {
        let mut memory = Memory::default();
        memory.turn_to((1, 1), false);
        assert!(memory.creation.unanswered);
        memory.turn_to((2, 1), true);
        assert!(!memory.creation.unanswered);
    }

    /// An action whose status names this attempt, launched by `launcher`.
    fn launched(attempt: (u32, u32), launcher: Option<Launcher>, over: bool) -> DeploymentAction {
        let mut action = action();
        let finished_at = over.then_some(Time(Timestamp::UNIX_EPOCH));
        let (number, attempt) = attempt;
        let run = RunStatus { number, attempt, launcher, finished_at, ..RunStatus::default() };
        action.status.get_or_insert_default().run = Some(run);
        action
    }

    #[test]
    fn an_attempt_is_settled_once_it_is_over_and_all_its_creations_were_ours_and_answered() {
        let ours = || Some(Launcher::first(PROCESS));
        let taken = Launcher::taking_over(PROCESS, Time(Timestamp::UNIX_EPOCH));
        for (launcher, announced, over, unanswered, settled) in [
            (ours(), true, true, false, true),
            (ours(), true, false, false, false),
            (ours(), true, true, true, false),
            // The process lost its memory, or somebody put back an older status.
            (ours(), false, true, false, false),
            (Some(taken), true, true, false, false),
            (Some(Launcher::first("another")), true, true, false, false),
            (None, true, true, false, false),
        ] {
            let mut memory = Memory::default();
            memory.turn_to((1, 1), announced);
            memory.creation.unanswered |= unanswered;
            memory.settle(&launched((1, 1), launcher.clone(), over), PROCESS);
            let is = memory.settled.contains(&(1, 1));
            assert_eq!(is, settled, "{launcher:?} {announced} {over} {unanswered}");
        }
    }

    #[test]
    fn an_attempt_whose_status_was_emptied_meanwhile_is_never_settled() {
        let mut memory = Memory::default();
        memory.turn_to((1, 1), true);
        memory.settle(&action(), PROCESS);
        // The action counts as new, and its first attempt is announced again.
        memory.turn_to((1, 1), true);
        memory.settle(&launched((1, 1), Some(Launcher::first(PROCESS)), true), PROCESS);
        assert!(memory.settled.is_empty());
    }

    #[test]
    fn what_is_settled_is_remembered_when_later_attempts_begin_and_not_for_ever() {
        let memories = Memories::default();
        let uid = action().metadata.uid.unwrap();
        let settle = |attempt, over| {
            let memory = memories.of(&uid);
            let mut memory = memory.lock().unwrap();
            memory.turn_to(attempt, true);
            memory.settle(&launched(attempt, Some(Launcher::first(PROCESS)), over), PROCESS);
        };
        settle((1, 1), true);
        // Its end was never seen.
        settle((1, 2), false);
        settle((2, 1), true);
        settle((3, 1), false);
        for (attempt, all) in [((1, 1), true), ((1, 2), false), ((2, 1), true), ((3, 1), false)] {
            assert_eq!(memories.has_all_creations(&uid, attempt), all, "{attempt:?}");
        }
        assert!(!memories.has_all_creations("b", (1, 1)), "another action");
        // Somebody put back an older status, in which the attempt is not over.
        settle((2, 1), false);
        assert!(!memories.has_all_creations(&uid, (2, 1)));
        for run in 10..100 {
            settle((run, 1), true);
        }
        assert!(memories.of(&uid).lock().unwrap().settled.len() <= MOST_SETTLED);
    }

    #[tokio::test]
    async fn an_action_that_is_gone_settles_its_latest_attempt_as_its_last_status_has_it() {
        for (launcher, settled) in [(PROCESS, true), ("another", false)] {
            let memories = Memories::default();
            let uid = action().metadata.uid.unwrap();
            memories.of(&uid).lock().unwrap().turn_to((1, 1), true);
            let told = memories.goes(&uid);
            let told = told.notified();
            memories.gone(&launched((1, 1), Some(Launcher::first(launcher)), false), PROCESS);
            told.await;
            // A look that began earlier has the action as it was then.
            memories
                .of(&uid)
                .lock()
                .unwrap()
                .settle(&launched((1, 1), Some(Launcher::first(PROCESS)), false), PROCESS);
            assert_eq!(memories.has_all_creations(&uid, (1, 1)), settled, "{launcher}");
        }
    }
}
