//! The steps that look at a lock's Lease, take it, write the pod onto it, and release it.
//!
//! Each write is a compare-and-swap, so the second writer learns that it lost. A Lease without a pod was
//! taken by a run that has sent no creation. Before it sends one, the run writes the pod's name onto the
//! Lease. So a lock is never passed on while a creation may be under way, and a run that lost its lock
//! creates nothing.

#[cfg(test)]
mod tests;

use k8s_openapi::{
    api::{
        coordination::v1::{Lease, LeaseSpec},
        core::v1::Pod,
    },
    apimachinery::pkg::apis::meta::v1::MicroTime,
    jiff::{SignedDuration, Timestamp},
};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, ObjectMeta, PostParams, Preconditions},
    core::Status,
};

use crate::{
    api::{DeploymentAction, LABEL_ACTION_UID, LABEL_LOCK, LABEL_MANAGED_BY, MANAGED_BY},
    operator::{
        call::{CallError, FIELD_MANAGER, call},
        lifecycle::lock_facts::{Held, Holder, HolderStands, LockSeen, lease_name},
        pod::{names::may_be_a_name, view::PodView},
    },
};

/// Annotation on a Lease: the action whose run has the lock.
const ACTION: &str = "longshore.dev/action";
/// The action's UID.
const ACTION_UID: &str = "longshore.dev/action-uid";
/// The run's id.
const RUN: &str = "longshore.dev/run-id";
/// The pod of the run's latest attempt. It is written before the pod is created.
const POD: &str = "longshore.dev/pod";
/// That pod's UID.
const POD_UID: &str = "longshore.dev/pod-uid";
/// All annotations about the holder.
const OF_HOLDER: [&str; 5] = [ACTION, ACTION_UID, RUN, POD, POD_UID];

/// How often a write is tried if other changes come first.
const TRIES: usize = 4;

/// The run that claims a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    /// The namespace.
    pub namespace: String,
    /// The lock's name.
    pub lock: String,
    /// The action's name.
    pub action: String,
    /// The action's UID.
    pub uid: String,
    /// The run's id.
    pub run: String,
}

fn leases(client: &Client, namespace: &str) -> Api<Lease> {
    Api::namespaced(client.clone(), namespace)
}

fn parameters() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }
}

/// Whether the operator made this Lease for this lock.
fn is_of(lease: &Lease, lock: &str) -> bool {
    let label = |name: &str| lease.labels().get(name).map(String::as_str);
    label(LABEL_MANAGED_BY) == Some(MANAGED_BY) && label(LABEL_LOCK) == Some(lock)
}

fn note<'a>(lease: &'a Lease, name: &str) -> Option<&'a str> {
    lease.annotations().get(name).map(String::as_str)
}

/// The holder that a Lease names.
fn holder(lease: &Lease) -> Option<Holder> {
    let spec = lease.spec.as_ref()?;
    let identity = spec.holder_identity.as_deref().filter(|identity| !identity.is_empty())?;
    let (action, run) = identity.split_once('/').unwrap_or((identity, ""));
    Some(Holder {
        action: note(lease, ACTION).unwrap_or(action).to_owned(),
        run: note(lease, RUN).unwrap_or(run).to_owned(),
        since: spec.acquire_time.as_ref().map(|time| time.0),
    })
}

fn is_held_by(lease: &Lease, uid: &str, run: &str) -> bool {
    holder(lease).is_some() && note(lease, ACTION_UID) == Some(uid) && note(lease, RUN) == Some(run)
}

/// The time from which on the recorded pod can no longer run, by every clock.
fn until(lease: &Lease) -> Option<Timestamp> {
    let spec = lease.spec.as_ref()?;
    let seconds = SignedDuration::from_secs(spec.lease_duration_seconds?.into());
    spec.renew_time.as_ref()?.0.saturating_add(seconds).ok()
}

/// Reads from the API server what holds the lock. Also returns the Lease, which a write must replace.
///
/// # Errors
/// The API server's.
pub(crate) async fn look(client: &Client, claim: &Claim) -> Result<(LockSeen, Option<Lease>), CallError> {
    let Claim { namespace, lock, action: _, uid, run } = claim;
    let Some(lease) = call(leases(client, namespace).get_opt(&lease_name(lock))).await? else {
        let pods = running(client, claim).await?;
        return Ok((LockSeen::Free { pods }, None));
    };
    if !is_of(&lease, lock) {
        return Ok((LockSeen::Stranger(lease.name_any()), None));
    }
    let Some(by) = holder(&lease) else {
        return Ok((LockSeen::Free { pods: Vec::new() }, Some(lease)));
    };
    if is_held_by(&lease, uid, run) {
        let since = by.since.unwrap_or_else(Timestamp::now);
        return Ok((LockSeen::Ours { since }, Some(lease)));
    }
    let stands = stands(client, namespace, lock, &by, note(&lease, ACTION_UID)).await?;
    let mut held = Held {
        by,
        stands,
        pod: note(&lease, POD).map(str::to_owned),
        recorded: None,
        pods: Vec::new(),
        until: until(&lease),
    };
    if stands != HolderStands::UnderWay {
        held.pods = running(client, claim).await?;
        held.recorded = recorded(client, namespace, &lease).await?;
    }
    Ok((LockSeen::Held(Box::new(held)), Some(lease)))
}

/// Pods of the lock that may not have ended. Pods of this action are among them: the end of an earlier run's
/// pod may not be known. A phase of `Failed` proves nothing.
async fn running(client: &Client, claim: &Claim) -> Result<Vec<PodView>, CallError> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &claim.namespace);
    let of_lock = ListParams::default()
        .labels(&format!("{LABEL_MANAGED_BY}={MANAGED_BY},{LABEL_LOCK}={}", claim.lock))
        .fields("status.phase!=Succeeded");
    let pods = call(pods.list(&of_lock)).await?.items;
    let pods = pods.iter().map(PodView::of);
    Ok(pods.filter(|pod| !pod.runs_no_more() || pod.gone).collect())
}

/// The pod that a Lease names, if it exists and is that very pod.
async fn recorded(client: &Client, namespace: &str, lease: &Lease) -> Result<Option<PodView>, CallError> {
    // Text that people write there must not become a path.
    let Some(name) = note(lease, POD).filter(|name| may_be_a_name(name)) else { return Ok(None) };
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let pod = call(pods.get_opt(name)).await?;
    let ours = |pod: &Pod| {
        let uid = note(lease, POD_UID);
        pod.labels().get(LABEL_ACTION_UID).map(String::as_str) == note(lease, ACTION_UID)
            && (uid.is_none() || pod.metadata.uid.as_deref() == uid)
    };
    Ok(pod.filter(ours).map(|pod| PodView::of(&pod)))
}

async fn stands(
    client: &Client,
    namespace: &str,
    lock: &str,
    by: &Holder,
    uid: Option<&str>,
) -> Result<HolderStands, CallError> {
    if !may_be_a_name(&by.action) {
        return Ok(HolderStands::Gone);
    }
    let actions: Api<DeploymentAction> = Api::namespaced(client.clone(), namespace);
    let action = call(actions.get_opt(&by.action)).await?;
    Ok(stands_by(action.as_ref(), lock, &by.run, uid))
}

/// The standing of that run and this lock, as this action says.
fn stands_by(action: Option<&DeploymentAction>, lock: &str, run: &str, uid: Option<&str>) -> HolderStands {
    let Some(action) = action.filter(|action| action.metadata.uid.as_deref() == uid) else {
        return HolderStands::Gone;
    };
    let latest = action.status.as_ref().and_then(|status| status.run.as_ref());
    let Some(latest) = latest.filter(|latest| latest.id == run) else { return HolderStands::Gone };
    let of_lock = latest.lock.as_ref().filter(|of| of.name == lock);
    match of_lock {
        Some(of) if of.acquired_at.is_some() && of.released_at.is_none() => HolderStands::UnderWay,
        Some(of) if of.acquired_at.is_none() && latest.finished_at.is_none() => HolderStands::Waiting,
        _ => HolderStands::Gone,
    }
}

/// Takes the lock, in place of what was found before. `None`: another run was faster.
///
/// # Errors
/// The API server's.
pub(crate) async fn take(
    client: &Client,
    claim: &Claim,
    found: Option<&Lease>,
) -> Result<Option<Lease>, CallError> {
    let now = Timestamp::now();
    let mut lease = found.cloned().unwrap_or_else(|| fresh(claim));
    clear(&mut lease);
    let spec = lease.spec.get_or_insert_default();
    spec.holder_identity = Some(format!("{}/{}", claim.action, claim.run));
    spec.acquire_time = Some(MicroTime(now));
    spec.renew_time = Some(MicroTime(now));
    spec.lease_transitions = Some(spec.lease_transitions.unwrap_or_default().saturating_add(1));
    let annotations = lease.annotations_mut();
    for (name, value) in [(ACTION, &claim.action), (ACTION_UID, &claim.uid), (RUN, &claim.run)] {
        annotations.insert(name.to_owned(), value.clone());
    }
    won(put(client, &claim.namespace, &lease).await)
}

/// Writes the pod onto the Lease. `seconds` is the longest time that it may run from now on. `None`: the run
/// no longer has the lock.
///
/// # Errors
/// The API server's.
pub(crate) async fn mark(
    client: &Client,
    claim: &Claim,
    known: Option<Lease>,
    pod: &str,
    uid: Option<&str>,
    seconds: i64,
) -> Result<Option<Lease>, CallError> {
    let mut known = known;
    for _ in 0..TRIES {
        let lease = match known.take() {
            Some(lease) => lease,
            None => match call(leases(client, &claim.namespace).get_opt(&lease_name(&claim.lock))).await? {
                Some(lease) => lease,
                // Somebody deleted the Lease. No run can have the lock before the Lease exists again.
                None => match take(client, claim, None).await? {
                    Some(lease) => lease,
                    None => continue,
                },
            },
        };
        if !is_of(&lease, &claim.lock) || !is_held_by(&lease, &claim.uid, &claim.run) {
            return Ok(None);
        }
        let mut marked = lease;
        let annotations = marked.annotations_mut();
        annotations.insert(POD.to_owned(), pod.to_owned());
        annotations.remove(POD_UID);
        annotations.extend(uid.map(|uid| (POD_UID.to_owned(), uid.to_owned())));
        let spec = marked.spec.get_or_insert_default();
        if uid.is_none() {
            spec.renew_time = Some(MicroTime(Timestamp::now()));
            spec.lease_duration_seconds = Some(i32::try_from(seconds.max(1)).unwrap_or(i32::MAX));
        }
        if let Some(written) = won(put(client, &claim.namespace, &marked).await)? {
            return Ok(Some(written));
        }
    }
    Err(contested(&claim.lock))
}

/// Releases the lock. The Lease is emptied, or deleted if no run waits. A Lease that this run does not hold
/// is left alone.
///
/// # Errors
/// The API server's.
pub(crate) async fn release(
    client: &Client,
    namespace: &str,
    lock: &str,
    (uid, run): (&str, &str),
    wanted: bool,
) -> Result<(), CallError> {
    let api = leases(client, namespace);
    for _ in 0..TRIES {
        let Some(mut lease) = call(api.get_opt(&lease_name(lock))).await? else { return Ok(()) };
        if !is_of(&lease, lock) || !is_held_by(&lease, uid, run) {
            return Ok(());
        }
        let given = if wanted {
            clear(&mut lease);
            won(put(client, namespace, &lease).await)?.is_some()
        } else {
            let very_this = Preconditions { uid: lease.uid(), resource_version: lease.resource_version() };
            let parameters = DeleteParams { preconditions: Some(very_this), ..DeleteParams::default() };
            match call(api.delete(&lease.name_any(), &parameters)).await {
                Ok(_) => true,
                Err(error) if matches!(error.code(), Some(404 | 409)) => false,
                Err(error) => return Err(error),
            }
        };
        if given {
            return Ok(());
        }
    }
    Err(contested(lock))
}

/// The time from which on the pod of this run can no longer run, by the lock's Lease. `None` if the run does
/// not have the lock, or no pod was written onto it.
///
/// # Errors
/// The API server's.
pub(crate) async fn holds_until(
    client: &Client,
    namespace: &str,
    lock: &str,
    (uid, run): (&str, &str),
) -> Result<Option<Timestamp>, CallError> {
    let lease = call(leases(client, namespace).get_opt(&lease_name(lock))).await?;
    Ok(lease.filter(|lease| is_of(lease, lock) && is_held_by(lease, uid, run)).as_ref().and_then(until))
}

/// Creates the Lease, or replaces the existing one.
async fn put(client: &Client, namespace: &str, lease: &Lease) -> Result<Lease, CallError> {
    let mut lease = lease.clone();
    lease.metadata.managed_fields = None;
    let api = leases(client, namespace);
    if lease.metadata.resource_version.is_none() {
        call(api.create(&parameters(), &lease)).await
    } else {
        call(api.replace(&lease.name_any(), &parameters(), &lease)).await
    }
}

/// A conflict, or a Lease that is gone, is not an error: another writer was faster.
fn won(result: Result<Lease, CallError>) -> Result<Option<Lease>, CallError> {
    match result {
        Ok(lease) => Ok(Some(lease)),
        Err(error) if matches!(error.code(), Some(404 | 409)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The error for a Lease that others change again and again.
fn contested(lock: &str) -> CallError {
    let message = format!("Lease {} was changed each time before our write", lease_name(lock));
    CallError::Kube(kube::Error::Api(Box::new(Status::failure(&message, "Conflict").with_code(409))))
}

fn fresh(claim: &Claim) -> Lease {
    let labels = [(LABEL_MANAGED_BY, MANAGED_BY), (LABEL_LOCK, claim.lock.as_str())];
    Lease {
        metadata: ObjectMeta {
            name: Some(lease_name(&claim.lock)),
            namespace: Some(claim.namespace.clone()),
            labels: Some(labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into()),
            ..ObjectMeta::default()
        },
        spec: None,
    }
}

/// Removes the holder.
fn clear(lease: &mut Lease) {
    for name in OF_HOLDER {
        lease.annotations_mut().remove(name);
    }
    let transitions = lease.spec.as_ref().and_then(|spec| spec.lease_transitions);
    lease.spec = Some(LeaseSpec { lease_transitions: transitions, ..LeaseSpec::default() });
}
