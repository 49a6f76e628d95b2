//! An action whose status was emptied, as a restore from a backup does: what its pods still tell.
//!
//! The pods and tombstones of its UID are the record then. Where none are left, the action counts as
//! new.

use k8s_openapi::jiff::Timestamp;

use super::{Step, idle, lock};
use crate::{
    api::{
        Reason,
        status::{ImageStatus, RunStatus},
    },
    operator::{
        facts::Facts,
        pod::run_id,
        status::{progress, seconds, terminal},
        verdict::Verdict,
        view::PodView,
    },
};

/// Puts the latest run on record again, if any pod tells of one. What it was that the run executed is
/// not known any more: the spec as it is now is taken for it, so that nothing runs a second time.
pub(super) fn step(facts: &Facts<'_>, now: Timestamp) -> Option<Step> {
    let action = facts.action;
    let uid = action.metadata.uid.as_deref()?;
    let ours = facts.older.iter().filter(|pod| pod.owner_uid.as_deref() == Some(uid));
    let pod = ours.filter(|pod| pod.attempt.is_some()).max_by_key(|pod| pod.attempt)?;
    let (number, attempt) = pod.attempt?;
    let run = RunStatus {
        number,
        id: run_id(uid, number),
        generation: action.metadata.generation.unwrap_or_default(),
        attempt,
        run_token: action.spec.run_token.clone(),
        spec_hash: idle::executed(action),
        bundle_sha256: Some(pod.bundle_sha256.clone().unwrap_or_default()),
        pod_name: Some(pod.name.clone()),
        requested_at: Some(seconds(now)),
        lock: lock::of_lost(pod, now),
        ..RunStatus::default()
    };
    if pod.tombstone {
        let message =
            format!("the status was lost, and of attempt {attempt} only its tombstone is left: {}", pod.name);
        let verdict = Verdict::of(Reason::Unknown, message);
        return Some(Step::WriteStatus(Box::new(terminal(action, now, &verdict, run, None, None))));
    }
    let run = RunStatus { pod_uid: Some(pod.uid.clone()), started_at: started(pod), ..run };
    let image = ImageStatus {
        requested: action.spec.image.clone().unwrap_or_default(),
        resolved: pod.image.clone().unwrap_or_default(),
        ..ImageStatus::default()
    };
    let reason = if pod.started { Reason::Running } else { Reason::PodPending };
    let message = format!("the status was lost, and is rebuilt from pod {}", pod.name);
    Some(Step::WriteStatus(Box::new(progress(action, now, reason, &message, run, Some(image), None))))
}

fn started(pod: &PodView) -> Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::Time> {
    pod.started_at().filter(|_| pod.started)
}
