//! Who holds the locks of a namespace, and who waits for them.

use std::collections::BTreeMap;

use k8s_openapi::{api::coordination::v1::Lease, jiff::Timestamp};
use kube::ResourceExt;
use serde::Serialize;

use super::{duration::age, summary::at};
use crate::api::{
    DeploymentAction, LABEL_LOCK,
    status::{LockStatus, RunStatus},
};

/// A lock that somebody holds or waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LockView {
    /// The namespace.
    pub namespace: String,
    /// The lock's name.
    pub name: String,
    /// The run that holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holder: Option<Claim>,
    /// The runs that wait for it, the next one first.
    pub waiting: Vec<Claim>,
}

/// A run that holds a lock, or waits for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    /// The action's name.
    pub action: String,
    /// The run's number, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<u32>,
    /// Since when it holds the lock, or waits for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Until when a run that has ended keeps the lock at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Whether only the Lease tells it: the action is gone, or may not be read.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub only_lease: bool,
}

/// The holder of a lock, and those who wait with their tickets.
type Found = (Option<Claim>, Vec<(u128, Claim)>);

/// The locks that these actions and Leases tell of, by namespace and name. The Leases may be left out: they only add
/// holders whose action is gone.
#[must_use]
pub fn locks<'a>(actions: impl IntoIterator<Item = &'a DeploymentAction>, leases: &[Lease]) -> Vec<LockView> {
    let mut locks: BTreeMap<(String, String), Found> = BTreeMap::new();
    for action in actions {
        let Some(run) = action.status.as_ref().and_then(|status| status.run.as_ref()) else { continue };
        let Some(lock) = &run.lock else { continue };
        let claim = |since, until| Claim {
            action: action.name_any(),
            run: Some(run.number),
            since,
            until,
            only_lease: false,
        };
        let key = (action.namespace().unwrap_or_default(), lock.name.clone());
        if run.held_lock().is_some() {
            let held = claim(at(lock.acquired_at.as_ref()), at(lock.held_until.as_ref()));
            locks.entry(key).or_default().0 = Some(held);
        } else if lock.acquired_at.is_none() && run.finished_at.is_none() {
            let waits = claim(at(run.requested_at.as_ref()), None);
            // A ticket that is no number comes last, as it does for the operator.
            let ticket = lock.ticket.parse().unwrap_or(u128::MAX);
            locks.entry(key).or_default().1.push((ticket, waits));
        }
    }
    for lease in leases {
        let Some(name) = lease.labels().get(LABEL_LOCK) else { continue };
        let Some(holder) = lease.spec.as_ref().and_then(|spec| spec.holder_identity.clone()) else {
            continue;
        };
        if holder.is_empty() {
            continue;
        }
        let key = (lease.namespace().unwrap_or_default(), name.clone());
        let since = lease.spec.as_ref().and_then(|spec| spec.acquire_time.as_ref()).map(|time| time.0);
        let (action, run) = holder.split_once('/').unwrap_or((&holder, ""));
        let run = run.rsplit_once('-').and_then(|(_, number)| number.parse().ok());
        let told = Claim { action: action.to_owned(), run, since, until: None, only_lease: true };
        locks.entry(key).or_default().0.get_or_insert(told);
    }
    locks
        .into_iter()
        .map(|((namespace, name), (holder, mut waiting))| {
            waiting.sort_by(|one, other| (one.0, &one.1.action).cmp(&(other.0, &other.1.action)));
            LockView {
                namespace,
                name,
                holder,
                waiting: waiting.into_iter().map(|(_, claim)| claim).collect(),
            }
        })
        .collect()
}

/// What a run's lock is to it, in words.
#[must_use]
pub fn lock_words(lock: &LockStatus, run: &RunStatus, now: Timestamp) -> String {
    let name = &lock.name;
    match (at(lock.acquired_at.as_ref()), at(lock.released_at.as_ref())) {
        (None, _) if run.finished_at.is_some() => format!("{name}, not acquired"),
        (None, _) => {
            let place = run.queue_position.map(|place| format!(", place {place}")).unwrap_or_default();
            format!("{name}, waits{place}")
        }
        (Some(since), None) => format!("{name}, held for {}", age(since, now)),
        (Some(_), Some(until)) => format!("{name}, released {} ago", age(until, now)),
    }
}
