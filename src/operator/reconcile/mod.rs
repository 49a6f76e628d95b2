//! Asks [`decide`] for the next step, carries it out, and asks again until the answer is to wait.

pub(super) mod admission;
mod at_rest;
mod carry_out;
mod gather;
mod launching;
mod lock_steps;
mod pass;
pub(super) mod strays;
mod tell;
#[cfg(test)]
mod tests;
mod write;

use std::sync::{Arc, Mutex};

use k8s_openapi::jiff::Timestamp;
use kube::{
    Resource, ResourceExt,
    runtime::{controller::Action, reflector::ObjectRef},
};
use tokio::time::Instant;
use tracing::{Span, debug, instrument};

pub(super) use self::pass::{Context, ReconcileError};
use self::pass::{MOST_STEPS, Pass, lock};
use super::{
    caches::{cached::Cached, memory::Memory},
    lifecycle::decide::{Step, decide},
};

/// Looks at an action, and does what needs to be done.
///
/// # Errors
/// A call that failed. The action is looked at again after a pause.
#[instrument(skip_all, fields(action = %action.name_any(), namespace = action.namespace(), run))]
pub(super) async fn reconcile(action: Arc<Cached>, context: Arc<Context>) -> Result<Action, ReconcileError> {
    let Some(_turn) = context.admission.enter(&action.reference()) else {
        return Ok(Action::await_change());
    };
    // The action may have waited for its turn. Its newest state counts.
    let Some(action) = context.actions.get(&ObjectRef::from_obj(action.as_ref())) else {
        return Ok(Action::await_change());
    };
    let started = Instant::now();
    if let Some(wait) = at_rest::wait(&context, &action) {
        context.metrics.look();
        context.metrics.looked(started.elapsed(), None);
        return Ok(wait);
    }
    let memory = context.memories.of(action.meta().uid.as_deref().unwrap_or_default());
    let early = lock(&memory).pauses.pace(started);
    if let Some(pause) = early {
        return Ok(Action::requeue(pause));
    }
    context.metrics.look();
    let result = Box::pin(look(&context, &action, &memory)).await;
    context.metrics.looked(started.elapsed(), result.as_ref().err().map(ReconcileError::category));
    result
}

/// Looks at the whole action.
async fn look(
    context: &Context,
    cached: &Arc<Cached>,
    memory: &Mutex<Memory>,
) -> Result<Action, ReconcileError> {
    let newest = lock(memory).writes.newest(cached);
    let action = match newest.whole() {
        Some(action) => Some(action),
        None => at_rest::live(context, cached).await?,
    };
    // The cache will show its end, or another action under its name.
    let Some(action) = action else { return Ok(Action::await_change()) };
    let wait = Box::pin(Pass::new(context, action, memory).run()).await?;
    lock(memory).pauses.looked();
    Ok(wait)
}

impl Pass<'_> {
    async fn run(mut self) -> Result<Action, ReconcileError> {
        if let Some(run) = self.action.status.as_ref().and_then(|status| status.run.as_ref()) {
            Span::current().record("run", run.id.as_str());
        }
        let mut last = "none";
        for taken in 0..MOST_STEPS {
            self.expand().await;
            self.now = Timestamp::now();
            self.read_events().await;
            self.read_unshown().await;
            let step = decide(&self.observe(), self.now);
            debug!(?step, "next");
            last = step.name();
            let step = match step {
                Step::Wait(Some(wait)) => Step::Wait(Some(lock(self.memory).pauses.patience(wait, taken))),
                step => step,
            };
            if let Some(wait) = self.carry_out(step).await? {
                if !self.resolves {
                    // The run that the job was for is not wanted any more.
                    lock(self.memory).resolving.stop();
                }
                return Ok(wait);
            }
        }
        Err(ReconcileError::Circle(last))
    }
}

/// How long to wait after a failed pass. The pause grows each time.
#[allow(clippy::needless_pass_by_value, reason = "the controller hands both over by value")]
pub(super) fn after_error(action: Arc<Cached>, error: &ReconcileError, context: Arc<Context>) -> Action {
    let memory = context.memories.of(action.meta().uid.as_deref().unwrap_or_default());
    let pause = lock(&memory).pauses.look_failed();
    debug!(action = action.name_any(), %error, ?pause, "looked at again after a pause");
    Action::requeue(pause.unsigned_abs())
}
