//! Writes a status, and does what follows from the write.

use std::{sync::Arc, time::Duration};

use k8s_openapi::jiff::Timestamp;
use kube::runtime::controller::Action;

use super::pass::{Pass, ReconcileError, lock};
use crate::{
    api::{DeploymentActionStatus, status::Launcher},
    operator::{caches::cached::Cached, steps::write_status},
};

/// An action whose status cannot be written holds up others that wait for its lock. After this many errors in
/// a row, about four seconds after the first, it no longer does. A shorter pause of the API server costs no
/// action its place.
const UNWRITTEN_ERRORS: u32 = 3;

fn launcher(status: Option<&DeploymentActionStatus>) -> Option<&Launcher> {
    status?.run.as_ref()?.launcher.as_ref()
}

impl Pass<'_> {
    pub(super) async fn write(
        &mut self,
        status: DeploymentActionStatus,
    ) -> Result<Option<Action>, ReconcileError> {
        let launching = status
            .run
            .as_ref()
            .filter(|run| run.bundle_sha256.is_some() && run.pod_uid.is_none())
            .map(|run| (run.number, run.attempt));
        // A run that is over may lack it.
        let over = status.run.as_ref().is_some_and(|run| run.finished_at.is_some());
        let names_launcher = launcher(Some(&status)).is_some() && !over;
        match write_status::write_status(&self.context.client, &self.action, &status).await {
            Ok(written) if names_launcher && launcher(written.status.as_ref()).is_none() => {
                Err(ReconcileError::OldDefinition)
            }
            Ok(written) => {
                self.all_pods = None;
                let mut memory = lock(self.memory);
                if let Some(attempt) = launching {
                    memory.turn_to(attempt, true);
                }
                memory.writes.wrote(Arc::new(Cached::from(written.clone())), Timestamp::now());
                drop(memory);
                self.context.locks.written(&written);
                let before = std::mem::replace(&mut self.action, written).status;
                let pod = |status: Option<&DeploymentActionStatus>| status?.run.as_ref()?.pod_name.clone();
                if pod(before.as_ref()) != pod(self.action.status.as_ref()) {
                    // It was the pod of another attempt.
                    self.looked = None;
                }
                self.tell(before.as_ref());
                Ok(None)
            }
            // Somebody changed the action. The cache will have the change in a moment.
            Err(error) if error.code() == Some(409) => {
                lock(self.memory).writes.overtaken();
                Ok(Some(Action::requeue(Duration::from_millis(200))))
            }
            Err(error) if error.code() == Some(404) => Ok(Some(Action::await_change())),
            Err(source) => {
                if source.is_about_content() || lock(self.memory).pauses.failed_looks() >= UNWRITTEN_ERRORS {
                    self.context.locks.pass_over(&self.action);
                }
                Err(ReconcileError::Call { step: "writing the status", source })
            }
        }
    }
}
