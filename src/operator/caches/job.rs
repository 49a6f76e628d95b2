//! Something that is being resolved, and what it came to.

use std::sync::{Arc, OnceLock};

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use tokio::task::JoinHandle;

use crate::{
    api::{DeploymentAction, Reason, status::TemplateStatus},
    operator::{lifecycle::facts::Resolution, spec::validate::Checked},
};

/// An answer mostly takes some milliseconds: nothing is told of one that takes less than this.
const QUIET: SignedDuration = SignedDuration::from_secs(2);

/// What a job resolves: its answer counts for nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The action's.
    pub uid: String,
    /// The spec's.
    pub generation: i64,
    /// The run that is to execute it.
    pub run: u32,
    /// The run whose packages are deployed again.
    pub repeats: Option<u32>,
    /// The template, with the hash of what it says.
    pub template: Option<TemplateStatus>,
}

impl Wanted {
    /// What is resolved for the run of this action that has nothing frozen yet, or is next.
    #[must_use]
    pub fn of(action: &DeploymentAction, checked: &Checked, repeats: Option<u32>) -> Self {
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

/// What a job has found out, and for how long the registry asked to be left alone.
pub(crate) type Answer = (Resolution, Option<SignedDuration>);

/// Something that is being resolved. Dropping it ends that.
#[derive(Debug)]
pub struct Job {
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
    /// Whether it is about this, and has come or will come to an answer.
    #[must_use]
    pub fn is_for(&self, wanted: &Wanted) -> bool {
        self.wanted == *wanted && (self.found.answer.get().is_some() || !self.task.is_finished())
    }

    /// The answer, once it is there.
    #[must_use]
    pub fn answer(&self) -> Option<Answer> {
        self.found.answer.get().cloned()
    }

    /// What is known until then; `before` is what the try before came to.
    #[must_use]
    pub fn under_way(&self, before: Option<&Resolution>) -> Resolution {
        let quiet_until = self.since.saturating_add(QUIET).unwrap_or(self.since);
        let (reason, message, at_the_end) = match before {
            Some(Resolution::Failed { reason, message }) => (*reason, message.clone(), *reason),
            _ if self.found.asks.get().is_some() => {
                let message =
                    "what the run executes is being resolved, and not all that was asked has answered";
                (Reason::Resolving, message.to_owned(), Reason::RegistryUnavailable)
            }
            _ => {
                let message = format!(
                    "what the run executes is resolved after that of others: namespace {} or a registry has as much under way as it may",
                    self.namespace
                );
                (Reason::Resolving, message, Reason::RegistryUnavailable)
            }
        };
        Resolution::UnderWay { quiet_until, reason, message, at_the_end }
    }
}
