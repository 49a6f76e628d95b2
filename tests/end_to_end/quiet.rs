//! Proof that nothing more happens: the operator has looked at everything, and has done nothing.

use std::sync::atomic::{AtomicU32, Ordering};

use longshore::api::Reason;

use crate::support::{
    action::Action,
    metrics,
    namespace::{Namespace, until},
};

impl Namespace {
    /// Waits until the operator has seen all that happened so far, and is idle. It answers an action that is
    /// created now, and learns of actions in their order. It learns of pods by a watch of their own, which is
    /// behind by less than that answer takes.
    pub(crate) async fn quiet(&self) {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("later-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let later = self.apply(&name, Action::script("true").with("runPolicy", "Manual")).await;
        later.reason(Reason::NotRequested).await;
        self.idle().await;
    }

    /// Waits for a moment in which the operator looks at no action.
    pub(crate) async fn idle(&self) {
        until("the operator is idle", async || (metrics::looks(&self.client).await? == 0).then_some(()))
            .await;
    }
}
