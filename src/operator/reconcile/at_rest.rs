//! A look at an action of which the cache has only what decides whether anything is to be done.

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

/// The shortest that an action waits which waits for a time: nothing that is to be done about it is urgent.
const SHORTEST_WAIT: SignedDuration = SignedDuration::from_millis(100);

/// Until when nothing is to be done, by what the cache has of the action. `None` where something may be, and
/// all of the action is looked at.
pub(super) fn wait(context: &Context, cached: &Arc<Cached>) -> Option<Action> {
    let uid = cached.meta().uid.as_deref().unwrap_or_default();
    let memory = context.memories.known(uid);
    let newest = memory.as_ref().map_or_else(|| Arc::clone(cached), |memory| lock(memory).newest(cached));
    let action = newest.stand_in()?.into_action();
    // Nothing is made to be remembered of it.
    let scratch = Mutex::new(Memory::default());
    let template = context.templates.of(&action);
    let pass = Pass {
        // A run that begins is not decided here.
        spec: Arc::new(Expanded::unneeded(&action, template)),
        ..Pass::new(context, action, memory.as_deref().unwrap_or(&scratch))
    };
    let Step::Wait(wait) = decide(&pass.observe(), pass.now) else { return None };
    if let Some(memory) = &memory {
        let mut memory = lock(memory);
        memory.errors = 0;
        let caught_up = memory.written.is_none();
        drop(memory);
        let (namespace, name) = (cached.namespace().unwrap_or_default(), cached.name_any());
        if caught_up && context.pod_index.of(&namespace, &name).is_empty() {
            // What is remembered is about its pods, and about what is under way.
            context.memories.forget(uid);
        }
    }
    // Whatever it may have to do for another reason brings an event: there are too many of them to be looked
    // at for nothing.
    Some(wait.map_or_else(Action::await_change, |wait| {
        Action::requeue(wait.clamp(SHORTEST_WAIT, LONGEST_WAIT).unsigned_abs())
    }))
}

/// The action as it is. `None` where it is gone, or another one has its name.
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
