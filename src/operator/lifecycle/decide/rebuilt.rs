//! An action whose status was emptied, for example by a restore from a backup.
//!
//! The record is then its pods and tombstones, by its UID, as the API server has them. A cache may not have
//! the latest pod yet. If none are left, nobody knows whether the action ran, and it does not run by itself.
//! Its metadata shows that it is not new: the API server records there who wrote its status.

use k8s_openapi::jiff::Timestamp;

use super::{clocks::runs_until, lock, start, step::Step};
use crate::{
    api::{
        DeploymentAction, Reason,
        condition::ConditionType,
        status::{ImageStatus, RunStatus},
    },
    operator::{
        lifecycle::{
            facts::Facts,
            status::{progress, terminal},
            verdict::Verdict,
            whole_seconds::{rounded_up, seconds},
        },
        pod::{names::run_id, view::PodView},
    },
};

/// Records the latest run again, if any pod shows one. Nobody knows what that run executed. It counts as
/// having executed the spec as it is now, so nothing runs a second time.
pub(super) fn step(facts: &Facts<'_>, now: Timestamp) -> Option<Step> {
    let action = facts.action;
    let uid = action.metadata.uid.as_deref()?;
    let ours = facts.older.iter().filter(|pod| pod.owner_uid.as_deref() == Some(uid));
    let latest = ours.filter(|pod| pod.attempt.is_some()).max_by_key(|pod| pod.attempt);
    if latest.is_none() && !was_emptied(action) {
        return None;
    }
    if !facts.all_pods {
        return Some(Step::LookForPods);
    }
    let Some((pod, (number, attempt))) = latest.and_then(|pod| Some((pod, pod.attempt?))) else {
        return Some(lost(facts, uid, now));
    };
    let run = RunStatus {
        number,
        id: run_id(uid, number),
        generation: action.metadata.generation.unwrap_or_default(),
        attempt,
        run_token: action.spec.run_token.clone(),
        spec_hash: start::executed(action),
        bundle_sha256: Some(pod.bundle_sha256.clone().unwrap_or_default()),
        pod_name: Some(pod.name.clone()),
        requested_at: Some(seconds(now)),
        lock: lock::of_lost(pod, now),
        ..RunStatus::default()
    };
    if pod.tombstone {
        let message =
            format!("the status was lost, and only the tombstone of attempt {attempt} is left: {}", pod.name);
        let verdict = Verdict::of(Reason::Unknown, message);
        return Some(Step::WriteStatus(Box::new(terminal(&facts.requests, now, &verdict, run, None, None))));
    }
    let run = RunStatus { pod_uid: Some(pod.uid.clone()), started_at: started(pod), ..run };
    let image = ImageStatus {
        requested: action.spec.image.clone().unwrap_or_default(),
        resolved: pod.image.clone().unwrap_or_default(),
        ..ImageStatus::default()
    };
    let reason = if pod.started { Reason::Running } else { Reason::PodPending };
    let message = format!("the status was lost, and is rebuilt from pod {}", pod.name);
    Some(Step::WriteStatus(Box::new(progress(
        &facts.requests,
        now,
        reason,
        &message,
        run,
        Some(image),
        None,
    ))))
}

/// Nothing shows what ran, and a creation may be on its way. So the next run waits as after every run whose
/// end nobody knows.
fn lost(facts: &Facts<'_>, uid: &str, now: Timestamp) -> Step {
    let action = facts.action;
    let number = unused(action, now);
    let run = RunStatus {
        number,
        id: run_id(uid, number),
        generation: action.metadata.generation.unwrap_or_default(),
        attempt: 1,
        run_token: action.spec.run_token.clone(),
        spec_hash: start::executed(action),
        bundle_sha256: Some(String::new()),
        requested_at: Some(seconds(now)),
        ..RunStatus::default()
    };
    let until = rounded_up(runs_until(facts, &run, now)).0;
    let message = format!(
        "the status was emptied, and no pod is left that shows what ran; it may run until {until}, and no other run begins before that"
    );
    let verdict = Verdict::of(Reason::Unknown, message);
    Step::WriteStatus(Box::new(terminal(&facts.requests, now, &verdict, run, None, None)))
}

/// A number that no run had before: names of pods and the script's idempotency key follow from it. A run
/// takes longer than a second, so there were fewer runs than seconds.
fn unused(action: &DeploymentAction, now: Timestamp) -> u32 {
    let created = action.metadata.creation_timestamp.as_ref().map_or(now, |time| time.0);
    let seconds = u32::try_from(now.duration_since(created).as_secs()).unwrap_or_default();
    let history = action.status.iter().flat_map(|status| &status.history);
    history.map(|past| past.number).max().unwrap_or_default().max(seconds).saturating_add(1)
}

/// Whether somebody has written the status, and it no longer says why it has no run.
fn was_emptied(action: &DeploymentAction) -> bool {
    let status = action.status.as_ref();
    let ready = status.and_then(|status| status.conditions().get(ConditionType::Ready));
    // The action was never asked to run, or may not run yet.
    let told = [Reason::NotRequested, Reason::Suspended].map(Reason::as_str);
    if ready.is_some_and(|ready| told.contains(&ready.reason.as_str())) {
        return false;
    }
    let created = action.metadata.creation_timestamp.as_ref();
    let mut writers = action.metadata.managed_fields.iter().flatten();
    // A copied action brings the writers of the original, with times from before its own creation.
    writers.any(|writer| writer.subresource.as_deref() == Some("status") && writer.time.as_ref() > created)
}

fn started(pod: &PodView) -> Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::Time> {
    pod.started_at().filter(|_| pod.started)
}
