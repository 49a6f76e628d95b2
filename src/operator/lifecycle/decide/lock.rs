//! Locks: whether a run may start, and when the next one may.
//!
//! If a pod object vanished, this proves nothing about its process. So a lock is passed on only if the
//! container that ran under it was seen terminated, or certainly never ran, or if every clock has passed that
//! could let it run.

use std::ops::ControlFlow;

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::Time,
    jiff::{SignedDuration, Timestamp},
};

use super::{
    clocks::{after, deadlines, longest, node_looked_at},
    step::{Step, write_or},
};
use crate::{
    api::{
        DeploymentActionStatus, Reason,
        action::{Lock, WhenHeld},
        status::{LockStatus, RunStatus},
    },
    operator::{
        lifecycle::{
            facts::Facts,
            lock_facts::{Held, HolderStands, LockSeen, lease_name},
            status::{is_held_back, progress, suspended, terminal},
            verdict::Verdict,
            whole_seconds::{rounded_up, seconds},
        },
        pod::view::PodView,
    },
};

/// How often to look at a run that waits, and to report its place, if nothing else causes a look.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_secs(30);
/// How often to look at a lock whose holder's action is gone. Mostly an event of its pod comes earlier.
const LOOK_AT_GONE: SignedDuration = SignedDuration::from_secs(10);
/// How long an operator may take from taking the lock to writing so into its action's status.
const ON_RECORD: SignedDuration = SignedDuration::from_secs(10);
/// How often to look at a lock that is free, while the status of its last holder does not say so yet. The change of
/// that status comes earlier.
const BY_STATUS: SignedDuration = SignedDuration::from_secs(1);
/// How long to wait until all actions are known, which takes a moment after a start.
const UNKNOWN: SignedDuration = SignedDuration::from_millis(200);

/// Whether a run that has nothing frozen may go on: it has its lock, or needs none. Returns the run as it
/// then is, or the step to take first.
pub(super) fn gate(facts: &Facts<'_>, now: Timestamp, run: RunStatus) -> ControlFlow<Step, RunStatus> {
    let wanted = facts.action.spec.lock.as_ref();
    if let Some(held) = run.held_lock() {
        if wanted.is_some_and(|wanted| wanted.name == held.name) {
            return ControlFlow::Continue(run);
        }
        // The spec now names another lock, and nothing has started.
        if !facts.lock.given_back {
            return ControlFlow::Break(release(&run, held));
        }
    }
    let Some(wanted) = wanted else {
        return ControlFlow::Continue(RunStatus { lock: None, queue_position: None, ..run });
    };
    Gate::new(facts, now, run, wanted).pass()
}

struct Gate<'a> {
    facts: &'a Facts<'a>,
    now: Timestamp,
    wanted: &'a Lock,
    run: RunStatus,
    lock: LockStatus,
    /// Whether the status says that this run waits for this lock.
    recorded: bool,
}

impl<'a> Gate<'a> {
    fn new(facts: &'a Facts<'a>, now: Timestamp, mut run: RunStatus, wanted: &'a Lock) -> Self {
        let held_back = facts.action.status.as_ref().is_some_and(is_held_back);
        let same = run.lock.clone().filter(|lock| lock.name == wanted.name && lock.acquired_at.is_none());
        let recorded = same.is_some() && run.queue_position.is_some();
        let lock = same.unwrap_or_else(|| ticket(facts, wanted));
        if held_back && !recorded && facts.action.spec.suspend != Some(true) {
            // The run was suspended, and now waits from the beginning.
            run.requested_at = Some(seconds(now));
        }
        Self { facts, now, wanted, run, lock, recorded }
    }

    fn pass(self) -> ControlFlow<Step, RunStatus> {
        if self.facts.action.spec.suspend == Some(true) {
            return ControlFlow::Break(self.step_aside());
        }
        if !self.facts.lock.place.known {
            return ControlFlow::Break(Step::Wait(Some(UNKNOWN)));
        }
        let obstacle = self.obstacle();
        // The record of a holder lags behind its Lease. Whoever waits loses nothing by this, and whoever fails must
        // not fail because of a run that has ended.
        let by_lease = self.wanted.when_held() == WhenHeld::Fail && self.facts.lock.place.ahead == 0;
        if let Some(obstacle) = obstacle.as_ref().filter(|_| !by_lease) {
            return ControlFlow::Break(self.wait(obstacle, None));
        }
        if obstacle.is_none() && !self.recorded {
            return ControlFlow::Break(Step::WriteStatus(Box::new(self.queued("the lock is looked at"))));
        }
        let name = self.wanted.name.clone();
        let Some(seen) = &self.facts.lock.seen else {
            return ControlFlow::Break(match self.facts.not_before {
                Some(time) if time > self.now => Step::until(time.min(self.deadline()), self.now),
                _ => Step::LookAtLock { lock: name, run: self.run.id.clone() },
            });
        };
        ControlFlow::Break(match (passing(seen, self.now), obstacle) {
            (Passing::Ours(since), _) => self.has_it(since),
            (Passing::Now, None) => Step::TakeLock { lock: name, run: self.run.id.clone() },
            (Passing::Now, Some(obstacle)) => {
                let why = format!("{obstacle} by its status, and has released it by its Lease");
                self.stay(&why, self.now.checked_add(BY_STATUS).ok())
            }
            (Passing::Never(reason, why), _) => self.end(reason, &why),
            (Passing::Later(why, until), _) => self.wait(&why, until),
        })
    }

    /// The run or runs that come first, by what is on record.
    fn obstacle(&self) -> Option<String> {
        let place = &self.facts.lock.place;
        if let Some(holder) = &place.holder {
            return Some(format!("{} has it", holder.words()));
        }
        let runs = if place.ahead == 1 { "1 run has" } else { &format!("{} runs have", place.ahead) };
        (place.ahead > 0).then(|| format!("{runs} asked for it before"))
    }

    fn position(&self) -> u32 {
        self.facts.lock.place.ahead.saturating_add(1)
    }

    fn deadline(&self) -> Timestamp {
        let begun = self.run.requested_at.as_ref().map_or(self.now, |time| time.0);
        match self.wanted.when_held() {
            WhenHeld::Queue => after(begun, self.wanted.queue_deadline()),
            // It waits for no other run, only until the lock can be looked at, or until its release is on record.
            WhenHeld::Fail => after(begun, deadlines(self.facts, &self.run).pending_seconds),
        }
    }

    /// The run waits, or fails if that is what its action wants.
    fn wait(&self, why: &str, until: Option<Timestamp>) -> Step {
        let unreadable = matches!(self.facts.lock.seen, Some(LockSeen::Unreadable(_)));
        if self.wanted.when_held() == WhenHeld::Fail && !unreadable {
            let message = format!("lock {}: {why}", self.wanted.name);
            return self.end(Reason::LockHeld, &message);
        }
        self.stay(why, until)
    }

    /// The run waits, and the status says what for. The status is not written for every change: a queue of a
    /// hundred runs would then write ten thousand times.
    fn stay(&self, why: &str, until: Option<Timestamp>) -> Step {
        if self.now >= self.deadline() {
            let message = format!(
                "the queue deadline passed before the run got lock {}: {why}; place {} in the queue",
                self.wanted.name,
                self.position()
            );
            return self.end(Reason::QueueDeadlineExceeded, &message);
        }
        let again = self.now.saturating_add(LOOK_AGAIN).unwrap_or(self.now);
        let again = again.min(self.deadline()).min(until.unwrap_or(Timestamp::MAX));
        let wanted = self.queued(why);
        let told = self.facts.action.status.as_ref().and_then(|status| status.run.as_ref());
        let next = |run: &RunStatus| run.queue_position == Some(1);
        let news = !self.recorded
            || told.is_none_or(|told| told.generation != self.run.generation)
            || (self.position() == 1 && !told.is_some_and(next));
        if news || self.facts.lock.position_due {
            write_or(self.facts, wanted, || Step::until(again, self.now))
        } else {
            Step::until(again, self.now)
        }
    }

    fn queued(&self, why: &str) -> DeploymentActionStatus {
        let position = self.position();
        let message = format!("waits for lock {}: {why}; place {position} in the queue", self.wanted.name);
        let run =
            RunStatus { lock: Some(self.lock.clone()), queue_position: Some(position), ..self.run.clone() };
        progress(&self.facts.requests, self.now, Reason::Queued, &message, run, None, None)
    }

    /// The run has its lock. The status says so before anything is done under it.
    fn has_it(&self, since: Timestamp) -> Step {
        let lock = LockStatus { acquired_at: Some(seconds(since)), ..self.lock.clone() };
        let message = format!("has lock {}; the image is being resolved", self.wanted.name);
        let run = RunStatus { lock: Some(lock), queue_position: None, ..self.run.clone() };
        Step::WriteStatus(Box::new(progress(
            &self.facts.requests,
            self.now,
            Reason::Resolving,
            &message,
            run,
            None,
            None,
        )))
    }

    /// A run that is suspended while it waits lets others pass, and keeps its ticket.
    fn step_aside(&self) -> Step {
        let run = RunStatus { lock: Some(self.lock.clone()), queue_position: None, ..self.run.clone() };
        let trigger = run.trigger;
        let mut wanted = suspended(&self.facts.requests, self.now, trigger);
        wanted.run = Some(run);
        write_or(self.facts, wanted, || Step::Wait(None))
    }

    fn end(&self, reason: Reason, message: &str) -> Step {
        let run = RunStatus { lock: Some(self.lock.clone()), ..self.run.clone() };
        let verdict = Verdict::of(reason, message);
        Step::WriteStatus(Box::new(terminal(&self.facts.requests, self.now, &verdict, run, None, None)))
    }
}

/// A place at the queue's end.
fn ticket(facts: &Facts<'_>, wanted: &Lock) -> LockStatus {
    let ticket = facts.action.metadata.resource_version.clone().unwrap_or_default();
    LockStatus { name: wanted.name.clone(), ticket, ..LockStatus::default() }
}

/// Whether a lock may be taken, by the result of a live look.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Passing {
    /// The run has had it since then.
    Ours(Timestamp),
    /// It may be taken now.
    Now,
    /// It may not be taken now: why, and when to look again at the latest.
    Later(String, Option<Timestamp>),
    /// It can never be taken.
    Never(Reason, String),
}

pub(super) fn passing(seen: &LockSeen, now: Timestamp) -> Passing {
    let soon = now.saturating_add(LOOK_AT_GONE).ok();
    match seen {
        // plugin/pkg/admission/namespace/lifecycle/admission.go. The namespace's deletion waits for the pods
        // of earlier runs, which are released once this run has ended.
        LockSeen::Unreadable(why) if why.contains("because it is being terminated") => {
            Passing::Never(Reason::NamespaceTerminating, format!("the lock cannot be taken: {why}"))
        }
        LockSeen::Unreadable(why) => Passing::Later(format!("it cannot be looked at: {why}"), soon),
        LockSeen::Stranger(lease) => Passing::Never(
            Reason::LockNameTaken,
            format!("Lease {lease} has the name of the lock's Lease, and lacks Longshore's labels"),
        ),
        LockSeen::Ours { since } => Passing::Ours(*since),
        LockSeen::Free { pods } => match pods.iter().find(|pod| pod.may_run(now)) {
            Some(pod) => {
                let why = format!("{} runs under it, although no Lease says so", of_pod(pod));
                Passing::Later(why, soon)
            }
            None => Passing::Now,
        },
        LockSeen::Held(held) => passing_on(held, now, soon),
    }
}

/// Whether a lock may be taken from the run that has it.
fn passing_on(held: &Held, now: Timestamp, soon: Option<Timestamp>) -> Passing {
    let by = held.by.words();
    if held.stands == HolderStands::UnderWay {
        return Passing::Later(format!("{by} has it"), soon);
    }
    if let Some(pod) = held.pods.iter().find(|pod| pod.may_run(now)) {
        return Passing::Later(format!("{by} had it, and {} may still run", of_pod(pod)), soon);
    }
    let Some(name) = &held.pod else {
        // No creation was sent, and none will be: the pod is recorded on the Lease before its creation.
        if held.stands == HolderStands::Gone {
            return Passing::Now;
        }
        let then = held.by.since.and_then(|since| since.checked_add(ON_RECORD).ok()).unwrap_or(now);
        return if now >= then {
            Passing::Now
        } else {
            Passing::Later(format!("{by} is about to have it"), Some(then))
        };
    };
    if let Some(pod) = &held.recorded {
        return if pod.may_run(now) {
            Passing::Later(format!("{by} had it, and {} may still run", of_pod(pod)), soon)
        } else {
            Passing::Now
        };
    }
    match held.until {
        Some(until) if now >= until => Passing::Now,
        Some(until) => {
            let why = format!(
                "{by} had it, and nothing shows that its pod {name} has ended: the lock is passed on at {until}, \
                 when every clock has passed that could let it run"
            );
            Passing::Later(why, soon.map(|soon| soon.min(until)))
        }
        None => {
            let why = format!(
                "{by} had it, and its Lease does not say until when: delete the Lease once its pod {name} certainly runs no more"
            );
            Passing::Later(why, soon)
        }
    }
}

fn of_pod(pod: &PodView) -> String {
    format!("pod {} (UID {})", pod.name, pod.uid)
}

fn release(run: &RunStatus, lock: &LockStatus) -> Step {
    Step::ReleaseLock { lock: lock.name.clone(), run: run.id.clone() }
}

/// Records the attempt's pod on the lock's Lease: before its creation, and again with its UID afterwards.
/// `None` if that is done, or the run has no lock.
pub(super) fn mark(facts: &Facts<'_>, run: &RunStatus, uid: Option<&str>) -> Option<Step> {
    let held = run.held_lock()?;
    let pod = run.pod_name.clone()?;
    let done = facts
        .lock
        .marked
        .as_ref()
        .is_some_and(|(name, seen)| *name == pod && (uid.is_none() || seen.as_deref() == uid));
    (!done && !facts.lock.lost).then(|| Step::MarkLock {
        lock: held.name.clone(),
        run: run.id.clone(),
        pod,
        uid: uid.map(str::to_owned),
        seconds: longest(deadlines(facts, run)),
    })
}

/// The run as it ends, with the time until which its lock is held. The time is `now` if it is certain that
/// nothing runs any more, and `bound` otherwise.
pub(super) fn held_until(mut run: RunStatus, now: Timestamp, certain: bool, bound: Timestamp) -> RunStatus {
    if let Some(lock) = run.lock.as_mut().filter(|lock| lock.acquired_at.is_some()) {
        lock.held_until = Some(if certain { seconds(now) } else { rounded_up(bound) });
    }
    run
}

/// Releases the lock of a run that has ended, once that is safe. `None` if it has none, or must keep it for
/// now.
pub(super) fn give_back(
    facts: &Facts<'_>,
    now: Timestamp,
    status: &DeploymentActionStatus,
    run: &RunStatus,
) -> Option<Step> {
    let held = run.held_lock()?;
    if facts.lock.given_back {
        let mut status = status.clone();
        if let Some(lock) = status.run.as_mut().and_then(|run| run.lock.as_mut()) {
            lock.released_at = Some(seconds(now));
        }
        return Some(Step::WriteStatus(Box::new(status)));
    }
    let passed = held.held_until.as_ref().is_none_or(|until| now >= until.0);
    let over = has_ended(facts, run) || (passed && !is_seen_running(facts, run));
    over.then(|| release(run, held))
}

/// Whether the run's own pod exists and shows that it runs no more, or its node is out of service.
pub(super) fn has_ended(facts: &Facts<'_>, run: &RunStatus) -> bool {
    let owner = &facts.action.metadata.uid;
    let ended = facts.pod.view().is_some_and(|pod| {
        let own = pod.tombstone || run.pod_uid.as_ref() == Some(&pod.uid);
        // A kubelet that rejects a pod again forgets that its container ran.
        let forgotten = run.started_at.is_some() && pod.stillborn.is_some();
        pod.owner_uid == *owner && own && pod.runs_no_more() && !forgotten
    });
    ended || facts.is_off()
}

/// Whether the run's own pod exists, and a node that reports says that it runs. Then the run keeps what it
/// has, whatever the clocks say.
pub(super) fn is_seen_running(facts: &Facts<'_>, run: &RunStatus) -> bool {
    let own = facts.pod.view().filter(|pod| run.pod_uid.as_ref().is_none_or(|uid| *uid == pod.uid));
    own.is_some_and(|pod| pod.owner_uid == facts.action.metadata.uid && pod.is_seen_running())
}

/// For an action that is being deleted: releases the lock if it is certain that nothing runs under it.
/// Otherwise the next run finds that out. `Break` has the step to take, or a wait.
pub(super) fn leave(facts: &Facts<'_>, now: Timestamp, run: &RunStatus, orphaned: bool) -> ControlFlow<Step> {
    let Some(held) = run.held_lock().filter(|_| !facts.lock.given_back) else {
        return ControlFlow::Continue(());
    };
    let pod = facts.pod.view().filter(|pod| pod.owner_uid == facts.action.metadata.uid);
    // No pod was created before the inputs were frozen.
    let certain = run.bundle_sha256.is_none()
        || pod.is_some_and(PodView::runs_no_more)
        || (held.held_until.as_ref().is_some_and(|until| now >= until.0) && !is_seen_running(facts, run));
    if certain {
        return ControlFlow::Break(release(run, held));
    }
    match pod {
        // Its end is awaited. Our finalizer keeps it in sight.
        Some(pod) if pod.deleting && pod.finalizer && !orphaned => ControlFlow::Break(Step::Wait(None)),
        _ => ControlFlow::Continue(()),
    }
}

/// Why a run that is asked for waits: the latest run has not released its lock.
pub(super) fn own(held: &LockStatus, run: &RunStatus) -> String {
    let until = held.held_until.as_ref().map(|time| format!(" at {}", time.0)).unwrap_or_default();
    format!(
        "another run is asked for, and waits until run {} releases lock {}: when its container is seen to have ended, or{until}, \
         when every clock has passed that could let it run (Lease {})",
        run.number,
        held.name,
        lease_name(&held.name)
    )
}

/// When the lock is released at the latest, or looked at again because its node may be out of service.
pub(super) fn latest(facts: &Facts<'_>, run: &RunStatus, now: Timestamp) -> Option<Timestamp> {
    run.held_lock()?.held_until.as_ref().map(|Time(time)| node_looked_at(facts, *time, now))
}

/// The lock of a run whose status was lost, as its pod says.
pub(super) fn of_lost(pod: &PodView, now: Timestamp) -> Option<LockStatus> {
    let name = pod.lock.clone()?;
    Some(LockStatus { name, acquired_at: Some(seconds(now)), ..LockStatus::default() })
}
