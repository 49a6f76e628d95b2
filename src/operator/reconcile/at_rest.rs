//! A look at an action of which the cache has only the stand-in.

use std::sync::{Arc, Mutex};

use k8s_openapi::jiff::SignedDuration;
use kube::{Api, Resource, ResourceExt, runtime::controller::Action};

use super::{
    carry_out::LONGEST_WAIT,
    pass::{Context, Pass, ReconcileError, lock},
};
use crate::{
    api::DeploymentAction,
    operator::{
        caches::{cached::Cached, memory::Memory},
        call::call,
        lifecycle::decide::{Step, decide},
        spec::expanded::Expanded,
    },
};

/// The shortest wait for an action that waits for a time. Nothing about an action at rest is urgent.
const SHORTEST_WAIT: SignedDuration = SignedDuration::from_millis(100);

/// How long nothing needs to be done, by what the cache has of the action. `None` if something may need to be
/// done. Then the whole action is looked at.
pub(super) fn wait(context: &Context, cached: &Arc<Cached>) -> Option<Action> {
    let uid = cached.meta().uid.as_deref().unwrap_or_default();
    let memory = context.memories.known(uid);
    let newest =
        memory.as_ref().map_or_else(|| Arc::clone(cached), |memory| lock(memory).writes.newest(cached));
    let action = newest.stand_in()?.into_action();
    // No memory is made for this action.
    let scratch = Mutex::new(Memory::default());
    let template = context.templates.of(&action);
    let pass = Pass {
        // A run never begins here, so the checked spec is not needed.
        spec: Arc::new(Expanded::unneeded(&action, template)),
        ..Pass::new(context, action, memory.as_deref().unwrap_or(&scratch))
    };
    let Step::Wait(wait) = decide(&pass.observe(), pass.now) else { return None };
    if let Some(memory) = &memory {
        let mut memory = lock(memory);
        memory.pauses.looked();
        let caught_up = memory.writes.are_shown();
        drop(memory);
        let (namespace, name) = (cached.namespace().unwrap_or_default(), cached.name_any());
        if caught_up && context.pod_index.of(&namespace, &name).is_empty() {
            // The memory is about its pods and about a run under way.
            context.memories.forget(uid);
        }
    }
    // Any other reason to act brings an event. There are too many actions to look at each without need.
    Some(wait.map_or_else(Action::await_change, |wait| {
        Action::requeue(wait.clamp(SHORTEST_WAIT, LONGEST_WAIT).unsigned_abs())
    }))
}

/// The action from the API server. `None` if it is gone, or another one has its name.
pub(super) async fn live(
    context: &Context,
    cached: &Cached,
) -> Result<Option<DeploymentAction>, ReconcileError> {
    let namespace = cached.namespace().unwrap_or_default();
    let actions: Api<DeploymentAction> = Api::namespaced(context.client.clone(), &namespace);
    let live = call(actions.get_opt(&cached.name_any()))
        .await
        .map_err(|source| ReconcileError::Call { step: "reading the action", source })?;
    Ok(live.filter(|live| live.metadata.uid == cached.meta().uid))
}
