//! The job that resolves image, user and packages for a run, and its answer.

use std::sync::{Arc, OnceLock};

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use tokio::task::JoinHandle;

use crate::{
    api::{DeploymentAction, Reason, status::TemplateStatus},
    operator::{lifecycle::facts::Resolution, spec::validate::Checked},
};

/// Most answers take some milliseconds. The status does not mention one that takes less than this.
const QUIET: SignedDuration = SignedDuration::from_secs(2);

/// The subject of a job. Its answer counts for this alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// UID of the action.
    pub uid: String,
    /// Generation of the spec.
    pub generation: i64,
    /// The run that will execute it.
    pub run: u32,
    /// The run whose packages are deployed again.
    pub repeats: Option<u32>,
    /// The template, with the hash of what it says.
    pub template: Option<TemplateStatus>,
}

impl Wanted {
    /// The subject for the run that is under way, or else for the action's next run.
    #[must_use]
    pub(crate) fn of(action: &DeploymentAction, checked: &Checked, repeats: Option<u32>) -> Self {
        let status = action.status.as_ref();
        let run = status.and_then(|status| status.run.as_ref());
        let past = status.into_iter().flat_map(|status| &status.history).map(|past| past.number);
        let run = match run {
            Some(run) if run.finished_at.is_none() => run.number,
            _ => past.chain(run.map(|run| run.number)).max().map_or(1, |last| last.saturating_add(1)),
        };
        Self {
            uid: checked.uid.clone(),
            generation: checked.generation,
            run,
            repeats,
            template: checked.template.clone(),
        }
    }
}

/// A job's answer, and how long the registry asked to be left alone.
pub(crate) type Answer = (Resolution, Option<SignedDuration>);

/// A resolution under way. Dropping it stops the task.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) wanted: Wanted,
    pub(crate) namespace: String,
    pub(crate) since: Timestamp,
    pub(crate) found: Arc<Found>,
    pub(crate) task: JoinHandle<()>,
}

#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) asks: OnceLock<()>,
    pub(crate) answer: OnceLock<Answer>,
}

impl Drop for Job {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Job {
    /// Whether the job is for this, and has an answer or will have one.
    #[must_use]
    pub(crate) fn is_for(&self, wanted: &Wanted) -> bool {
        self.wanted == *wanted && (self.found.answer.get().is_some() || !self.task.is_finished())
    }

    /// The answer, once it is there.
    #[must_use]
    pub(crate) fn answer(&self) -> Option<Answer> {
        self.found.answer.get().cloned()
    }

    /// The resolution until the answer is there. `before` is the result of the previous try.
    #[must_use]
    pub(crate) fn under_way(&self, before: Option<&Resolution>) -> Resolution {
        let quiet_until = self.since.saturating_add(QUIET).unwrap_or(self.since);
        let (reason, message, at_the_end) = match before {
            Some(Resolution::Failed { reason, message }) => (*reason, message.clone(), *reason),
            _ if self.found.asks.get().is_some() => {
                let message =
                    "resolving what the run executes: a registry or the API server has not answered yet";
                (Reason::Resolving, message.to_owned(), Reason::RegistryUnavailable)
            }
            _ => {
                let message = format!(
                    "resolving what the run executes must wait: namespace {} or a registry has as many resolutions under way as are allowed",
                    self.namespace
                );
                (Reason::Resolving, message, Reason::RegistryUnavailable)
            }
        };
        Resolution::UnderWay { quiet_until, reason, message, at_the_end }
    }
}
