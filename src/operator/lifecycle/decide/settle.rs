//! Brings the log and the pod of the last run to their end.

use k8s_openapi::jiff::Timestamp;

use super::{
    clocks::after,
    outputs,
    retire::{may_be_let_go, name_needed_until},
    start::may_start,
    step::Step,
    store,
};
use crate::{
    api::{
        DeploymentActionStatus,
        condition::ConditionType,
        status::{LogState, LogStatus, RunStatus},
    },
    operator::{
        lifecycle::{
            facts::{Facts, PodFact},
            status::{log_status, with_condition, with_log},
            testimony::{Testimony, testimony},
        },
        pod::view::PodView,
    },
    record::outcome::{Identity, Outcome},
};

/// How long nothing of a log may be read once the verdict is known, in seconds. The verdict does not wait for
/// text that the runner still has.
const LOG_DEADLINE_SECONDS: i64 = 60;
/// How long containers that others injected may take to end by themselves after the run's end, in seconds.
/// Some end when the script tells them to, and then their pod does not look failed.
const LEFT_TO_THEMSELVES_SECONDS: i64 = 10;

/// Brings the log and the pod of the last run to their end. `None` if nothing is left to do.
pub(super) fn settle(
    facts: &Facts<'_>,
    now: Timestamp,
    status: &DeploymentActionStatus,
    run: &RunStatus,
) -> Option<Step> {
    let own = own_pod(facts, run);
    if let Some(stray) = facts.pod.view()
        && own.is_none()
        && !stray.tombstone
        && !stray.deleting
        && stray.owner_uid == facts.action.metadata.uid
    {
        // A second pod of an attempt that has ended: its creation came late.
        return Some(Step::delete(stray));
    }
    if let Some(pod) = own.filter(|pod| pod.outlived()) {
        match left_to_themselves_until(facts, status, run) {
            Some(then) if now < then => {}
            Some(_) => return Some(end_sidecars(now, status, pod)),
            None => return Some(Step::expire(pod)),
        }
    }
    if let Some(log) = status.log.as_ref().filter(|log| log.state == LogState::Collecting) {
        return Some(read_on(facts, now, status, run, log, own));
    }
    if let Some(step) = outputs::settle(facts, now, status, run, own) {
        return Some(step);
    }
    if let Some(step) = store::settle(facts, now, status, run, own) {
        return Some(step);
    }
    let pod = own?;
    if let Some(dispute) = dispute(facts, run, pod)
        && !status.conditions().is_true(ConditionType::VerdictDisputed)
    {
        return Some(Step::WriteStatus(Box::new(with_condition(
            status,
            now,
            ConditionType::VerdictDisputed,
            &dispute,
        ))));
    }
    let free = now >= name_needed_until(facts, run, pod, now) && !store::holds(facts, pod, now);
    (may_be_let_go(run, pod) && free).then(|| Step::release(pod))
}

/// Ends containers that have outlived the script. Kubernetes has one way to end containers and keep their
/// pod, and the pod then counts as failed. So the status says that this was no failure of the script.
fn end_sidecars(now: Timestamp, status: &DeploymentActionStatus, pod: &PodView) -> Step {
    let kind = ConditionType::SidecarsEnded;
    if status.conditions().is_true(kind) {
        return Step::expire(pod);
    }
    let message = format!(
        "beside the script, {} of pod {} did not end by itself, and the operator ended it {LEFT_TO_THEMSELVES_SECONDS} s after the run: so the pod shows Failed (DeadlineExceeded), however the script ended",
        pod.others_running.join(", "),
        pod.name
    );
    Step::WriteStatus(Box::new(with_condition(status, now, kind, &message)))
}

/// The verdict is known, and the log is still being read.
fn read_on(
    facts: &Facts<'_>,
    now: Timestamp,
    status: &DeploymentActionStatus,
    run: &RunStatus,
    log: &LogStatus,
    pod: Option<&PodView>,
) -> Step {
    let settled = |state: LogStatus| {
        Step::WriteStatus(Box::new(DeploymentActionStatus { log: Some(state), ..status.clone() }))
    };
    let lost = |why: &str| {
        settled(LogStatus { state: LogState::Incomplete, missing: vec![why.to_owned()], ..log.clone() })
    };
    let ended = run.finished_at.as_ref().or_else(|| run.attempts.last()?.finished_at.as_ref());
    let ended = ended.map_or(now, |time| time.0);
    let read_at = facts.log.as_ref().and_then(|log| log.read_at).filter(|at| *at <= now);
    let latest = after(read_at.map_or(ended, |at| at.max(ended)), LOG_DEADLINE_SECONDS);
    match (facts.log.as_ref().filter(|read| run.pod_uid.as_deref() == Some(&read.pod_uid)), pod) {
        (Some(read), _) if read.state != LogState::Collecting => {
            Step::WriteStatus(Box::new(with_log(status, now, read)))
        }
        (Some(read), _) if now >= latest => settled(LogStatus {
            state: LogState::Incomplete,
            missing: vec![format!(
                "what came after line {}: the log could not be read to its end",
                read.lines
            )],
            ..log_status(read)
        }),
        (Some(_), _) => Step::until(latest, now),
        (None, Some(pod)) if now < latest => Step::follow(pod),
        (None, Some(_)) => lost("the log could not be read to its end"),
        (None, None) if facts.pod == PodFact::NotSeen => Step::Look,
        (None, None) => lost("the pod was removed before its log was read to its end"),
    }
}

/// Evidence that came later and contradicts the verdict, which stands.
fn dispute(facts: &Facts<'_>, run: &RunStatus, pod: &PodView) -> Option<String> {
    let from_log = facts.log.as_ref().and_then(|log| log.exit.as_ref()).map(|(exit, _)| exit);
    let of = Identity { pod_uid: pod.uid.clone(), run_id: run.id.clone() };
    let start = facts.log.as_ref().and_then(|log| log.start.as_ref());
    let from_pod = match pod.terminated().map(|end| testimony(end, &of, start)) {
        Some(Testimony::Believed(record)) => Some(&record.exit),
        _ => None,
    };
    let code = match &from_log.or(from_pod)?.outcome {
        Outcome::Exited { code } => Some(i32::from(*code)),
        Outcome::Signaled { signal } => Some(128 + signal),
        Outcome::NotStarted { .. } | Outcome::Unknown { .. } => None,
    };
    let told = run.exit_code.or_else(|| run.attempts.last()?.exit_code);
    (code != told).then(|| {
        let words =
            |code: Option<i32>| code.map_or("no exit code".to_owned(), |code| format!("exit code {code}"));
        format!("the verdict was reached with {}, and a later record says {}", words(told), words(code))
    })
}

/// Until when containers that others injected may end by themselves. `None` if another run or attempt
/// follows, because this pod is not looked at then.
pub(super) fn left_to_themselves_until(
    facts: &Facts<'_>,
    status: &DeploymentActionStatus,
    run: &RunStatus,
) -> Option<Timestamp> {
    let finished = run.finished_at.as_ref().filter(|_| !may_start(&facts.requests, status))?;
    Some(after(finished.0, LEFT_TO_THEMSELVES_SECONDS))
}

/// The pod of the run's latest attempt.
pub(super) fn own_pod<'a>(facts: &'a Facts<'_>, run: &RunStatus) -> Option<&'a PodView> {
    facts
        .pod
        .view()
        .filter(|pod| run.pod_uid.as_ref().is_none_or(|uid| *uid == pod.uid) && !pod.tombstone)
        // A status that somebody else wrote must not lead to another action's pod.
        .filter(|pod| pod.owner_uid == facts.action.metadata.uid)
}
