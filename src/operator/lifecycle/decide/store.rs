//! The log of an attempt in the archive. Its record is handed over once the status has the attempt's end, and its
//! pod stays until the log is stored or nothing more is tried.
//!
//! Nothing else waits for the archive: no verdict, no attempt and no run.

use k8s_openapi::jiff::Timestamp;

use super::{clocks::after, step::Step};
use crate::{
    api::{
        DeploymentActionStatus,
        status::{LogState, MAX_STORED_MESSAGE_BYTES, RunStatus, StoredLogStatus, StoredState},
    },
    operator::{
        lifecycle::{
            facts::{Facts, Storing},
            status::with_stored,
        },
        pod::view::PodView,
    },
    record::outcome::truncate,
};

/// How long a pod that somebody deletes waits for the archive, in seconds. A drain of its node waits for it, too.
const DELETED_SECONDS: i64 = 60;

fn storing<'a>(facts: &'a Facts<'_>, pod_uid: &str) -> Option<&'a Storing> {
    facts.archive.as_ref()?.0.get(pod_uid)
}

/// Hands the record of the run's latest attempt over, and writes down what became of its log. `None` if there is
/// nothing to do now.
pub(super) fn settle(
    facts: &Facts<'_>,
    now: Timestamp,
    status: &DeploymentActionStatus,
    run: &RunStatus,
    own: Option<&PodView>,
) -> Option<Step> {
    facts.archive.as_ref()?;
    let uid = run.pod_uid.as_deref()?;
    let held = own.filter(|pod| pod.finalizer && pod.uid == uid);
    if is_told(status, run) {
        return None;
    }
    let tell = |stored: &StoredLogStatus| {
        // If another attempt follows, the status has no place for this one. The archive has its record.
        let ended = run.finished_at.is_some();
        ended.then(|| Step::WriteStatus(Box::new(with_stored(status, now, run.number, stored))))
    };
    match (storing(facts, uid), held) {
        (Some(Storing::Ended(stored)), _) => tell(stored),
        (None | Some(Storing::Open), Some(pod)) => Some(Step::store_log(pod, (run.number, run.attempt))),
        // Somebody removed the pod with its finalizer. The part of its log that was read is stored all the same.
        (Some(Storing::Open), None) => Some(Step::StoreLog {
            name: run.pod_name.clone().unwrap_or_default(),
            uid: uid.to_owned(),
            run: run.number,
            attempt: run.attempt,
            has_log: false,
        }),
        (Some(Storing::Finishing { key, problem }), Some(pod)) if is_late(pod, now) => {
            let why = problem.as_deref().unwrap_or("it takes too long");
            let mut message = format!("the pod was deleted before its log was stored: {why}");
            truncate(&mut message, MAX_STORED_MESSAGE_BYTES);
            tell(&StoredLogStatus {
                state: StoredState::Failed,
                key: key.clone(),
                until: None,
                message: Some(message),
            })
        }
        _ => None,
    }
}

/// The same for a pod of an earlier run or attempt, before its release.
pub(super) fn settle_older(
    facts: &Facts<'_>,
    now: Timestamp,
    status: &DeploymentActionStatus,
    pod: &PodView,
) -> Option<Step> {
    facts.archive.as_ref()?;
    let attempt = pod.attempt.filter(|_| !pod.tombstone)?;
    match storing(facts, &pod.uid) {
        None | Some(Storing::Open) => Some(Step::store_log(pod, attempt)),
        Some(Storing::Finishing { .. }) => None,
        Some(Storing::Ended(stored)) => {
            let past = status.history.iter().find(|past| (past.number, past.attempts) == attempt)?;
            past.stored
                .is_none()
                .then(|| Step::WriteStatus(Box::new(with_stored(status, now, attempt.0, stored))))
        }
    }
}

/// Whether this pod must stay because its log is being stored.
pub(super) fn holds(facts: &Facts<'_>, pod: &PodView, now: Timestamp) -> bool {
    let open = matches!(storing(facts, &pod.uid), Some(Storing::Open | Storing::Finishing { .. }));
    open && !pod.tombstone && !is_late(pod, now)
}

/// The time at which a pod that somebody deletes is released, whatever is stored. `None` if nothing depends on it.
pub(super) fn until(facts: &Facts<'_>, pod: &PodView, now: Timestamp) -> Option<Timestamp> {
    holds(facts, pod, now).then(|| latest(pod)).flatten()
}

/// The step to take before a pod is released whose action is being deleted.
pub(super) fn leave(facts: &Facts<'_>, now: Timestamp, pod: &PodView) -> Option<Step> {
    facts.archive.as_ref()?;
    let attempt = pod.attempt.filter(|_| !pod.tombstone)?;
    let until = latest(pod).unwrap_or(now);
    let read = facts.log.as_ref().filter(|log| log.pod_uid == pod.uid);
    match storing(facts, &pod.uid) {
        _ if now >= until => None,
        Some(Storing::Ended(_)) => None,
        Some(Storing::Open) if read.is_some_and(|log| log.state == LogState::Collecting) => {
            Some(Step::until(until, now))
        }
        None | Some(Storing::Open) => Some(Step::store_log(pod, attempt)),
        Some(Storing::Finishing { .. }) => Some(Step::until(until, now)),
    }
}

/// Whether the status says what became of the log of this run, or has no place for it.
fn is_told(status: &DeploymentActionStatus, run: &RunStatus) -> bool {
    match &status.log {
        Some(log) => log.stored.is_some(),
        None => {
            status
                .history
                .iter()
                .find(|past| past.number == run.number)
                .is_none_or(|past| past.stored.is_some())
                && run.finished_at.is_some()
        }
    }
}

fn latest(pod: &PodView) -> Option<Timestamp> {
    pod.deleting_since.as_ref().filter(|_| pod.deleting).map(|time| after(time.0, DELETED_SECONDS))
}

fn is_late(pod: &PodView, now: Timestamp) -> bool {
    latest(pod).is_some_and(|latest| now >= latest)
}
