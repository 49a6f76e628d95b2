//! A run that is under way, as everything that decides about it sees it.

use std::borrow::Cow;

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::clocks::{pending_deadline, started};
use crate::{
    api::{
        DeploymentActionStatus, Reason,
        status::{ImageStatus, RunStatus},
    },
    operator::{
        lifecycle::{
            facts::{Facts, LogFact},
            status::progress,
            whole_seconds::seconds,
        },
        pod::view::PodView,
    },
};

/// How often to look at a pod that does not start. The cause may be in no event that causes a look.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_secs(5);

/// One look at a run that is under way.
pub(super) struct Active<'a> {
    pub(super) facts: &'a Facts<'a>,
    pub(super) now: Timestamp,
    pub(super) run: &'a RunStatus,
    pub(super) image: Option<&'a ImageStatus>,
    pub(super) status: &'a DeploymentActionStatus,
    pub(super) deadline: Timestamp,
}

impl<'a> Active<'a> {
    pub(super) fn new(
        facts: &'a Facts<'a>,
        now: Timestamp,
        status: &'a DeploymentActionStatus,
        run: &'a RunStatus,
    ) -> Self {
        let deadline = pending_deadline(facts, run, now);
        Self { facts, now, run, image: status.image.as_ref(), status, deadline }
    }

    /// Outputs that the run must report: those that were frozen with it, or the spec's if none are frozen
    /// yet.
    pub(super) fn required(&self) -> Cow<'_, [String]> {
        match self.facts.spec {
            _ if self.run.deadlines.is_some() => Cow::Borrowed(&self.run.required_outputs),
            Ok(checked) => Cow::Owned(checked.required_outputs()),
            Err(_) => Cow::default(),
        }
    }

    pub(super) fn look_again(&self) -> Timestamp {
        self.now.saturating_add(LOOK_AGAIN).unwrap_or(self.deadline)
    }

    /// The run, with what the pod adds to it.
    pub(super) fn seen(&self, pod: &PodView) -> RunStatus {
        RunStatus {
            pod_uid: Some(pod.uid.clone()),
            node_name: pod.node.clone().or_else(|| self.run.node_name.clone()),
            // Once on record, the start stays, by the operator's clock. The node's clock may be set
            // meanwhile.
            started_at: self.run.started_at.clone().or_else(|| {
                let said = pod.started_at().filter(|_| pod.started)?;
                Some(seconds(started(said.0, self.run, self.now)))
            }),
            // A run whose script has started all the same goes on.
            superseded_at: self.run.superseded_at.clone().filter(|_| !pod.started || pod.deleting),
            ..self.run.clone()
        }
    }

    /// The log of this run's pod, as far as it was read.
    pub(super) fn log_of(&self, run: &RunStatus) -> Option<&'a LogFact> {
        self.facts.log.as_ref().filter(|log| run.pod_uid.as_deref() == Some(&log.pod_uid))
    }

    pub(super) fn image_seen(&self, pod: Option<&PodView>) -> Option<ImageStatus> {
        let running = pod.and_then(|pod| pod.image_id.clone());
        self.image
            .map(|image| ImageStatus { running: running.or_else(|| image.running.clone()), ..image.clone() })
    }

    pub(super) fn progress(&self, reason: Reason, message: &str, run: RunStatus) -> DeploymentActionStatus {
        let image = self.image_seen(self.facts.pod.view());
        let log = self.log_of(&run);
        progress(&self.facts.requests, self.now, reason, message, run, image, log)
    }
}
