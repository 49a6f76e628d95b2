//! The Secret with the sensitive outputs of a run. It is created when the run ends, from the box in the exit
//! record.
//!
//! A run's end waits for it only a moment, and never depends on it. If the Secret cannot be created by then, the
//! status says so, and it is tried again while the pod is there.

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::{clocks::after, start::may_start, step::Step};
use crate::{
    api::{
        DeploymentActionStatus,
        condition::ConditionType,
        status::{LogState, RunStatus},
    },
    operator::{
        lifecycle::{
            facts::{Facts, LogFact},
            status::{Kept, with_kept},
        },
        pod::view::PodView,
    },
    record::outcome::Sealed,
};

/// How long a verdict waits for the Secret, so that one write tells both.
const AT_FIRST: SignedDuration = SignedDuration::from_secs(5);
/// How long after the run's end it is tried again if another run is asked for, or somebody deletes the pod, in
/// seconds. Both wait for it.
const HELD_UP_SECONDS: i64 = 60;
/// The same, if nothing waits, in seconds.
const LATEST_SECONDS: i64 = 3600;

/// The sensitive outputs that a log holds.
fn sealed(log: &LogFact) -> Option<(&Sealed, Timestamp)> {
    let (exit, seen) = log.exit.as_ref()?;
    Some((exit.sealed.as_ref()?, *seen))
}

/// Decides about the sensitive outputs of a run that ends now. `Err` is the step to take before.
pub(super) fn keep(facts: &Facts<'_>, now: Timestamp, log: Option<&LogFact>) -> Result<Kept, Step> {
    let Some((log, (sealed, seen))) = log.and_then(|log| Some((log, sealed(log)?))) else {
        return Ok(Kept::None);
    };
    if let Some(kept) = settled(facts, &log.pod_uid, sealed) {
        return Ok(kept);
    }
    let until = seen.saturating_add(AT_FIRST).unwrap_or(now);
    if now < until {
        return Err(try_again(facts, now, until, &log.pod_uid));
    }
    Ok(Kept::Pending(message(facts, &log.pod_uid, Some(sealed), "they are not in a Secret yet")))
}

/// Brings sensitive outputs whose Secret could not be created at first to their end. `pod` is that of the run's
/// latest attempt.
pub(super) fn settle(
    facts: &Facts<'_>,
    now: Timestamp,
    status: &DeploymentActionStatus,
    run: &RunStatus,
    pod: Option<&PodView>,
) -> Option<Step> {
    if !status.conditions().is_true(ConditionType::OutputsPending) {
        return None;
    }
    let end = |kept: &Kept| Some(Step::WriteStatus(Box::new(with_kept(status, now, kept))));
    let uid = run.pod_uid.as_deref().unwrap_or_default();
    let finished = run.finished_at.as_ref().map_or(now, |time| time.0);
    let held_up = may_start(&facts.requests, status) || pod.is_none_or(|pod| pod.deleting);
    let seconds = if held_up {
        HELD_UP_SECONDS
    } else {
        facts.action.spec.pod_retention_seconds.clamp(HELD_UP_SECONDS, LATEST_SECONDS)
    };
    let until = after(finished, seconds);
    let log = facts.log.as_ref().filter(|log| log.pod_uid == uid);
    let found = log.and_then(sealed).map(|(sealed, _)| sealed);
    if let Some(kept) = found.and_then(|sealed| settled(facts, uid, sealed)) {
        return end(&kept);
    }
    if now >= until {
        return end(&Kept::Lost(message(facts, uid, found, "they are not in a Secret")));
    }
    match (log, pod) {
        (Some(log), _) if found.is_some() => Some(try_again(facts, now, until, &log.pod_uid)),
        // Another process has read the log before. The pod still has it.
        (None, Some(pod)) => Some(Step::follow(pod)),
        (Some(log), Some(_)) if log.state == LogState::Collecting => Some(Step::until(until, now)),
        _ => end(&Kept::Lost("the sensitive outputs: the log that held them cannot be read any more".into())),
    }
}

/// How it has ended, if it has.
fn settled(facts: &Facts<'_>, pod_uid: &str, sealed: &Sealed) -> Option<Kept> {
    let fact = Some(&facts.secret).filter(|fact| fact.pod_uid == pod_uid)?;
    if let Some(created) = &fact.created {
        return Some(Kept::Secret(created.clone()));
    }
    fact.refusal
        .as_ref()
        .filter(|refusal| !refusal.may_pass)
        .map(|_| Kept::Lost(message(facts, pod_uid, Some(sealed), "they are not in a Secret")))
}

fn try_again(facts: &Facts<'_>, now: Timestamp, until: Timestamp, pod_uid: &str) -> Step {
    match facts.secret.not_before.filter(|_| facts.secret.pod_uid == pod_uid) {
        Some(time) if time > now => Step::until(time.min(until), now),
        _ => Step::KeepOutputs { pod_uid: pod_uid.to_owned() },
    }
}

fn message(facts: &Facts<'_>, pod_uid: &str, sealed: Option<&Sealed>, what: &str) -> String {
    let names = sealed.map(|sealed| format!(" {}", sealed.names.join(", "))).unwrap_or_default();
    let refusal = facts.secret.refusal.as_ref().filter(|_| facts.secret.pod_uid == pod_uid);
    let why = refusal.map(|refusal| format!(": {}", refusal.message)).unwrap_or_default();
    format!("the sensitive outputs{names}: {what}{why}")
}
