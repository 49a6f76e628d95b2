//! A run under way whose pod exists, or existed.

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::{
    active::Active,
    begin, cancel,
    clocks::{after, deadlines, node_looked_at, should_end, should_end_at_once},
    lock, start,
    step::{Step, write_or},
    superseded,
};
use crate::{
    api::{
        DeploymentActionStatus, Reason,
        condition::ConditionType,
        reason::Class,
        status::{LogState, RunStatus, Trigger},
    },
    operator::{
        lifecycle::{
            cause::ends_the_pod,
            facts::{NodeState, OUT_OF_SERVICE, PodFact},
            status::told,
            verdict::{Asked, Finding, Verdict, of_record, said, weigh},
            whole_seconds::seconds,
        },
        pod::view::{AT_ONCE_SECONDS, PodView},
    },
};

/// How long a verdict waits for the end of the log, so that one write tells both.
const END_OF_LOG: SignedDuration = SignedDuration::from_millis(200);
/// How long a deleted pod may take beyond its grace period before its node counts as lost, in seconds.
const DELETION_MARGIN_SECONDS: i64 = 120;
/// How often to look whether a script has ended that should have, in seconds.
const OVERDUE_SECONDS: i64 = 10;

impl Active<'_> {
    pub(super) fn step(&self) -> Step {
        let (Some(frozen), Some(image)) = (&self.run.bundle_sha256, self.image) else {
            return self.resolve();
        };
        let seen = self.first_pod().is_some() || self.run.started_at.is_some();
        match &self.facts.pod {
            PodFact::Present(pod) => self.with_pod(pod, frozen),
            // If a pod was seen before, a cache without it is a reason to look, and not to create.
            PodFact::NotSeen if seen => Step::Look,
            PodFact::Absent if seen => self.vanished(),
            PodFact::NotSeen | PodFact::Absent => self.launch(frozen, image),
        }
    }

    /// Nothing has started, so the run follows the spec as it is now.
    fn resolve(&self) -> Step {
        let action = self.facts.action;
        let mut run = self.run.clone();
        run.generation = action.metadata.generation.unwrap_or_default();
        run.spec_hash = start::executed(action);
        run.settings_hash = Some(start::settings(action));
        if run.trigger != Trigger::Rerun {
            run.requested_by = self.facts.requests.requester(self.status, run.trigger);
        }
        run.run_token.clone_from(&action.spec.run_token);
        begin::begin(self.facts, self.now, run)
    }

    /// An attempt that has ended never begins again, whatever somebody removed from the status.
    pub(super) fn edited(&self) -> Step {
        let message = format!(
            "somebody edited the status: attempt {} has ended, and the status no longer says how",
            self.run.attempt
        );
        self.end(&Verdict::of(Reason::Unknown, message), None)
    }

    /// The UID of the first pod of this attempt, if one was ever seen.
    fn first_pod(&self) -> Option<&String> {
        self.run.pod_uid.as_ref().or(self.facts.creation.pod_uid.as_ref())
    }

    /// The pod was seen and does not exist any more, although our finalizer was on it.
    fn vanished(&self) -> Step {
        let run = RunStatus { pod_uid: self.first_pod().cloned(), ..self.run.clone() };
        Active { run: &run, ..*self }.ended_unseen()
    }

    fn ended_unseen(&self) -> Step {
        if let Some(log) = self.log_of(self.run)
            && log.state == LogState::Collecting
            && log.exit.is_none()
        {
            return Step::Wait(Some(SignedDuration::from_secs(1)));
        }
        if let Some((exit, _)) = self.log_of(self.run).and_then(|log| log.exit.as_ref()) {
            return self.end(&of_record(exit, &self.required(), Asked::of(self.run)), None);
        }
        let message =
            "the pod was removed together with its finalizer, and nothing says how the script ended";
        self.end(&Verdict::of(Reason::Unknown, message), None)
    }

    fn with_pod(&self, pod: &PodView, frozen: &str) -> Step {
        let facts = self.facts;
        if pod.owner_uid != facts.action.metadata.uid
            || pod.attempt != Some((self.run.number, self.run.attempt))
        {
            let message = format!(
                "pod {} (UID {}) has the name of this run's pod and is not of this action",
                pod.name, pod.uid
            );
            return self.end(&Verdict::of(Reason::PodNameTaken, message), None);
        }
        if pod.tombstone && self.is_cancelled() {
            return self.end(&cancel::before_start(), None);
        }
        if pod.tombstone && self.run.superseded_at.is_some() {
            return self.end(&superseded::before_start().proven(), None);
        }
        if pod.tombstone {
            let verdict = self.image.and_then(|image| self.still_possible(frozen, image).err()).map_or_else(
                || Verdict::of(Reason::PendingDeadlineExceeded, "the attempt was given up"),
                |verdict| *verdict,
            );
            return self.end(&verdict.proven(), None);
        }
        if let Some(first) = self.first_pod().filter(|uid| **uid != pod.uid) {
            return if pod.deleting {
                let message = format!(
                    "pod {first} was removed, and a creation that came late made another one, which was deleted"
                );
                self.end(&Verdict::of(Reason::Unknown, message), None)
            } else {
                Step::delete(pod)
            };
        }
        if pod.bundle_sha256.as_deref() != Some(frozen) && pod.mutation.is_none() {
            let message =
                format!("pod {} (UID {}) was made for another bundle than this run's", pod.name, pod.uid);
            return self.end(&Verdict::of(Reason::PodNameTaken, message), Some(pod));
        }
        if let Some(mutation) = &pod.mutation {
            return self.mutated(pod, mutation);
        }
        // If a pod ended without our container, its log may know more.
        let may_have_log = pod.started || pod.terminated().is_some() || pod.stillborn.is_some();
        if facts.log.as_ref().is_none_or(|log| log.pod_uid != pod.uid) && may_have_log {
            return Step::follow(pod);
        }
        match weigh(facts, pod, &self.required(), self.now) {
            Finding::Ended(verdict) => self.conclude(pod, &verdict),
            Finding::Later(time) => Step::until(time, self.now),
            Finding::Open if facts.is_off() => self.lost(pod),
            Finding::Open if let Some(step) = lock::mark(facts, self.run, Some(&pod.uid)) => step,
            Finding::Open if pod.started => self.running(pod),
            Finding::Open => self.pending(pod),
        }
    }

    /// Mostly the end of the log follows the verdict at once. Then one write tells both.
    fn conclude(&self, pod: &PodView, verdict: &Verdict) -> Step {
        if let Some(log) = &self.facts.log
            && let Some((_, seen)) = log.exit
            && log.state == LogState::Collecting
        {
            let latest = seen.saturating_add(END_OF_LOG).unwrap_or(self.now);
            if self.now < latest {
                return Step::until(latest, self.now);
            }
        }
        self.end(verdict, Some(pod))
    }

    fn mutated(&self, pod: &PodView, mutation: &str) -> Step {
        if !pod.deleting {
            return Step::delete(pod);
        }
        if !pod.gone && self.now < deletion_bound(pod) {
            return Step::until(deletion_bound(pod), self.now);
        }
        if pod.is_seen_running() {
            return Step::until(after(self.now, OVERDUE_SECONDS), self.now);
        }
        let ran = if pod.started { ", and its container was started before it could be removed" } else { "" };
        let message = format!("pod {}: {mutation}{ran}", pod.name);
        self.end(&Verdict::of(Reason::PodMutated, message), Some(pod))
    }

    fn running(&self, pod: &PodView) -> Step {
        let seen = self.seen(pod);
        let started = seen.started_at.as_ref().map_or(self.deadline, |time| time.0);
        let bound = should_end(started, deadlines(self.facts, self.run));
        let bound = if pod.deleting { bound.min(deletion_bound(pod)) } else { bound };
        if self.now >= bound {
            // The word of a node that reports outranks every clock.
            return if pod.is_seen_running() { self.overdue(pod, bound) } else { self.lost(pod) };
        }
        let silent = pod.deleting || pod.not_ready_since.is_some();
        let bound = if silent { node_looked_at(self.facts, bound, self.now) } else { bound };
        let cancelled = self.is_cancelled();
        let wanted = if cancelled {
            self.cancelling(seen)
        } else {
            self.progress(Reason::Running, "the script is running", seen)
        };
        let next = || if cancelled { self.stop(pod, bound) } else { Step::until(bound, self.now) };
        let news = |status: &DeploymentActionStatus| DeploymentActionStatus { log: None, ..status.clone() };
        // Apart from the log, nothing in the status of a running script changes.
        if !self.facts.progress_due && news(&wanted) == news(self.status) {
            // If a script wrote something and then fell silent, nothing else causes a look at that.
            let untold = (wanted.log != self.status.log).then(|| self.look_again());
            return next().not_beyond(untold, self.now);
        }
        write_or(self.facts, wanted, next)
    }

    /// The script runs on, although its own deadline has passed or its pod was deleted. It has stopped the
    /// runner's clock, or its node is slow to end it. The operator asks the node to end it, and everything
    /// that follows waits for that.
    fn overdue(&self, pod: &PodView, since: Timestamp) -> Step {
        let node = pod.node.as_deref().unwrap_or("none");
        let message = format!(
            "pod {} runs on although every deadline has passed, and node {node} is asked to end it",
            pod.name
        );
        let run = self.seen(pod);
        let wanted = self.progress(Reason::Stopping, &message, run);
        let told = |status: &DeploymentActionStatus| told(status, ConditionType::Ready);
        if self.facts.progress_due && told(&wanted) != told(self.status) {
            return Step::WriteStatus(Box::new(wanted));
        }
        let expired = pod.active_deadline_seconds == Some(AT_ONCE_SECONDS);
        let then = should_end_at_once(since, deadlines(self.facts, self.run));
        match pod {
            _ if pod.deleting => Step::until(after(self.now, OVERDUE_SECONDS), self.now),
            _ if !expired => Step::expire(pod),
            // A second way, if the first request was lost.
            _ if self.now >= then => Step::delete(pod),
            _ => Step::until(then.min(after(self.now, OVERDUE_SECONDS)), self.now),
        }
    }

    fn pending(&self, pod: &PodView) -> Step {
        if pod.deleting {
            if pod.gone {
                return self.unseen(pod);
            }
            let bound = deletion_bound(pod);
            return if self.now >= bound {
                self.lost(pod)
            } else {
                Step::until(node_looked_at(self.facts, bound, self.now), self.now)
            };
        }
        // The script may start before the pod is gone. Then its log has the verdict.
        let followed = self.facts.log.as_ref().is_some_and(|log| log.pod_uid == pod.uid);
        let remove = || if followed { Step::delete(pod) } else { Step::follow(pod) };
        if self.is_cancelled() {
            return self.announced(self.seen(pod), remove);
        }
        if self.yields_its_pod(pod) {
            return self.yielding(self.seen(pod), remove);
        }
        let (reason, message) = self.facts.cause.as_ref().map_or_else(
            || {
                let why = pod.before.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
                (Reason::PodPending, format!("{}{why}", not_started(pod)))
            },
            |cause| (cause.reason, cause.message.clone()),
        );
        // A kubelet that rejects a pod again forgets that its container ran.
        let past = self.now >= self.deadline || (pod.stillborn.is_some() && self.run.started_at.is_none());
        if reason == Reason::PodPending && !past {
            // There is nothing to tell that the launch has not told.
            return Step::until(self.deadline.min(self.look_again()), self.now);
        }
        // Lowering the pod's deadline would let the script start. So the pod is deleted, and nothing is
        // certain until it is gone.
        write_or(self.facts, self.progress(reason, &message, self.seen(pod)), || {
            if past { Step::delete(pod) } else { Step::until(self.deadline.min(self.look_again()), self.now) }
        })
    }

    /// The pod was deleted while it waited, and is gone. It never started if nothing of its container was
    /// ever seen. The log counts too: it would begin with the claim.
    fn unseen(&self, pod: &PodView) -> Step {
        let log = self.facts.log.as_ref().filter(|log| log.pod_uid == pod.uid);
        let began = self.run.started_at.is_some() || log.is_some_and(|log| log.start.is_some());
        match log {
            _ if began => self.lost(pod),
            Some(log) if log.state == LogState::Collecting && self.now < deletion_bound(pod) => {
                Step::until(deletion_bound(pod), self.now)
            }
            // There is no log to report.
            _ => {
                let verdict = self.never_started(pod).proven();
                self.over(&verdict, self.seen(pod), self.image_seen(Some(pod)), None, Some(pod))
            }
        }
    }

    /// The verdict on a pod that is gone and never started anything.
    fn never_started(&self, pod: &PodView) -> Verdict {
        if self.is_cancelled() {
            return cancel::before_start();
        }
        if self.run.superseded_at.is_some() {
            return superseded::before_start();
        }
        // The status has said this since before the pod was deleted. The node's words are gone.
        let told = self.status.conditions().get(ConditionType::Ready);
        let cause = told.and_then(|ready| {
            let reason = Reason::parse(&ready.reason)?;
            (reason.class() == Class::Failure).then(|| Verdict::of(reason, ready.message.clone()))
        });
        let past = self.now >= self.deadline;
        match cause {
            Some(cause) if past || ends_the_pod(cause.reason) => cause,
            None if past => {
                let seconds = deadlines(self.facts, self.run).pending_seconds;
                let on = pod.node.as_deref().map(|node| format!(" on node {node}")).unwrap_or_default();
                let what = format!("pod {}{on} had not started the script after {seconds} s", pod.name);
                let waits =
                    told.and_then(|ready| ready.message.strip_prefix(&not_started(pod))?.strip_prefix(": "));
                let why = waits.unwrap_or("nothing says why");
                Verdict::of(Reason::PendingDeadlineExceeded, format!("{what}, and {why}"))
            }
            _ => {
                let words = said(pod.disruption.as_deref());
                let what = format!("pod {} was deleted before the script started{words}", pod.name);
                Verdict::of(Reason::PodDeleted, what)
            }
        }
    }

    fn lost(&self, pod: &PodView) -> Step {
        let node = pod.node.as_deref().unwrap_or("none");
        let (reason, what) = match self.facts.node {
            _ if self.facts.is_off() => (
                Reason::NodeLost,
                format!(
                    "node {node} has the taint {OUT_OF_SERVICE}: nothing runs there any more, and nothing says how the script ended"
                ),
            ),
            Some(NodeState::Silent | NodeState::OutOfService) => {
                (Reason::NodeLost, format!("node {node} does not report, and every deadline has passed"))
            }
            Some(NodeState::Absent) => (
                Reason::NodeLost,
                format!("there is no node {node} any more, and nothing says how the script ended"),
            ),
            Some(NodeState::Ready) | None => (
                Reason::Unknown,
                format!("node {node} reports no end of the pod, and every deadline has passed"),
            ),
        };
        self.end(&Verdict::of(reason, what), Some(pod))
    }

    pub(super) fn end(&self, verdict: &Verdict, pod: Option<&PodView>) -> Step {
        let mut run = pod.map_or_else(|| self.run.clone(), |pod| self.seen(pod));
        if run.started_at.is_none()
            && let Some(millis) = verdict.millis
        {
            // The node has not reported the start yet, so the runner's own clock counts.
            let ran = SignedDuration::from_millis(i64::try_from(millis).unwrap_or_default());
            let started = self.now.saturating_sub(ran).unwrap_or(self.now);
            run.started_at = Some(seconds(started));
        }
        let log = self.log_of(&run);
        let image = self.image_seen(pod);
        self.over(verdict, run, image, log, pod)
    }
}

/// The status's words for a pod that waits.
fn not_started(pod: &PodView) -> String {
    format!("pod {} has not started", pod.name)
}

/// When a pod that is being deleted should be gone.
fn deletion_bound(pod: &PodView) -> Timestamp {
    // The deletion's timestamp already includes the grace period.
    pod.deleting_since.as_ref().map_or(Timestamp::MAX, |time| after(time.0, DELETION_MARGIN_SECONDS))
}
