//! Work for all actions, beside the looks at them: counts, sweeps, releases of locks.

use std::{sync::Arc, time::Duration};

use kube::{Client, ResourceExt, runtime::reflector::Store};
use tokio::sync::{Notify, mpsc};

use super::{archive, health::Health};
use crate::{
    api::{DeploymentAction, LABEL_ACTION_UID, Phase},
    operator::{
        caches::{cached::Cached, lock_queue::LockIndex},
        reconcile::{
            Context,
            strays::{self, Strays},
        },
        telemetry::metrics::Active,
    },
};

/// How often the caches are searched for what is gone.
const SWEEP: Duration = Duration::from_mins(2);

/// How often runs under way are counted.
const COUNT: Duration = Duration::from_secs(5);

/// Releases the locks of actions that are gone and had no pod.
pub(super) async fn release_locks(
    client: Client,
    locks: LockIndex,
    mut goes: mpsc::UnboundedReceiver<DeploymentAction>,
) {
    while let Some(action) = goes.recv().await {
        strays::release_lock(&client, &locks, &action).await;
    }
}

/// Ready once the caches are filled. A store wakes only one task that waits for it, and for the actions'
/// store that is the controller. So the stream itself notifies.
pub(super) async fn tell_ready(actions: Arc<Notify>, context: Arc<Context>, health: Health) {
    actions.notified().await;
    context.action_policies.wait_until_filled().await;
    health.set_ready(true);
    tokio::spawn(archive::sweep(context));
}

/// Counts runs that are under way, for the metrics.
pub(super) async fn count(actions: Store<Cached>, context: Arc<Context>) {
    loop {
        let mut active = Active::default();
        for action in actions.state() {
            match action.phase() {
                Some(Phase::Pending) => active.pending += 1,
                Some(Phase::Queued) => active.queued += 1,
                Some(Phase::Launching) => active.launching += 1,
                Some(Phase::Running) => active.running += 1,
                Some(Phase::Retrying) => active.retrying += 1,
                _ => {}
            }
        }
        context.metrics.active(active);
        context.metrics.waiting(context.admission.waiting(), context.jobs.waiting());
        if let Some(archivist) = &context.archivist {
            context.metrics.archive_waiting.set(i64::try_from(archivist.waiting()).unwrap_or(i64::MAX));
        }
        context.metrics.policy_missing.set(i64::from(context.use_policy.missing().is_some()));
        tokio::time::sleep(COUNT).await;
    }
}

/// Forgets actions that are gone, and looks at strays again.
pub(super) async fn sweep(actions: Store<Cached>, context: Arc<Context>, strays: Strays) {
    loop {
        tokio::time::sleep(SWEEP).await;
        let mut known: std::collections::HashSet<_> =
            actions.state().iter().filter_map(|action| action.uid()).collect();
        context.locks.keep(&known);
        let pods = context.pods.state();
        // The memory of the creations for an action that is gone decides when its pods are released.
        known.extend(pods.iter().filter_map(|pod| pod.labels().get(LABEL_ACTION_UID).cloned()));
        context.memories.keep(&known);
        let held: std::collections::HashSet<_> =
            pods.iter().filter_map(|pod| pod.metadata.uid.clone()).collect();
        context.collector.keep(&held);
        context.warnings.keep(&held);
        context.metrics.logs.set(i64::try_from(context.collector.len()).unwrap_or(i64::MAX));
        for pod in pods.into_iter().filter(|pod| strays::may_be_stray(pod)) {
            let strays = strays.clone();
            tokio::spawn(async move { strays.release(&pod).await });
        }
    }
}
