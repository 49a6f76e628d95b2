//! An action in one line.

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use kube::ResourceExt;
use serde::Serialize;

use crate::api::{
    ConditionType, DeploymentAction, Phase,
    history::RunOutcome,
    status::{Requester, RunStatus, Trigger},
};

/// How a state looks to people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Tone {
    /// It is as it should be.
    Good,
    /// It failed.
    Bad,
    /// It is under way.
    Busy,
    /// Nothing happens.
    Quiet,
}

impl Tone {
    /// The look of a phase.
    #[must_use]
    pub const fn of(phase: Option<Phase>) -> Self {
        match phase {
            Some(Phase::Succeeded) => Self::Good,
            Some(Phase::Failed) => Self::Bad,
            Some(Phase::Pending | Phase::Launching | Phase::Running | Phase::Retrying | Phase::Queued) => {
                Self::Busy
            }
            Some(Phase::Suspended | Phase::Idle) | None => Self::Quiet,
        }
    }

    /// The look of an ended run.
    #[must_use]
    pub const fn of_outcome(outcome: RunOutcome) -> Self {
        match outcome {
            RunOutcome::Succeeded => Self::Good,
            RunOutcome::Failed | RunOutcome::Unknown => Self::Bad,
            RunOutcome::Cancelled | RunOutcome::Superseded => Self::Quiet,
        }
    }
}

/// An action in one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its phase, if this version knows it.
    #[serde(skip)]
    pub phase: Option<Phase>,
    /// The reason of its condition Ready.
    pub reason: String,
    /// The message of its condition Ready.
    pub message: String,
    /// The number of its latest run.
    pub run: Option<u32>,
    /// When the script of its latest run started.
    pub started: Option<Timestamp>,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// When something of it last changed.
    pub active: Option<Timestamp>,
    /// The exit code of its latest run.
    pub exit: Option<i32>,
    /// How long the script of its latest run ran, in seconds.
    pub seconds: Option<i64>,
    /// The image of its latest run, with the digest.
    pub image: String,
    /// The pod of its latest run.
    pub pod: String,
    /// The node of that pod.
    pub node: String,
}

impl Summary {
    /// What an action says in one line.
    #[must_use]
    pub fn of(action: &DeploymentAction) -> Self {
        let status = action.status.as_ref();
        let run = status.and_then(|status| status.run.as_ref());
        let ready = status.and_then(|status| status.conditions().get(ConditionType::Ready));
        let image = status.and_then(|status| status.image.as_ref());
        let text = |text: Option<&String>| text.cloned().unwrap_or_default();
        Self {
            namespace: action.namespace().unwrap_or_default(),
            name: action.name_any(),
            phase: status.and_then(|status| status.phase),
            reason: ready.map(|ready| ready.reason.clone()).unwrap_or_default(),
            message: ready.map(|ready| ready.message.clone()).unwrap_or_default(),
            run: run.map(|run| run.number),
            started: run.and_then(|run| at(run.started_at.as_ref())),
            created: at(action.metadata.creation_timestamp.as_ref()),
            active: last_activity(action),
            exit: run.and_then(|run| run.exit_code),
            seconds: run.and_then(|run| run.duration_seconds),
            image: text(image.map(|image| &image.resolved)),
            pod: text(run.and_then(|run| run.pod_name.as_ref())),
            node: text(run.and_then(|run| run.node_name.as_ref())),
        }
    }

    /// Its phase in one word. It is empty if this version does not know it.
    #[must_use]
    pub fn phase_word(&self) -> &'static str {
        self.phase.map_or("", Into::into)
    }
}

/// A time of the API.
pub(crate) fn at(time: Option<&Time>) -> Option<Timestamp> {
    time.map(|time| time.0)
}

/// When something of an action last changed: the latest of all times that it tells.
#[must_use]
pub fn last_activity(action: &DeploymentAction) -> Option<Timestamp> {
    let status = action.status.as_ref();
    let run = status.and_then(|status| status.run.as_ref());
    let of_run = run.into_iter().flat_map(|run| {
        let lock = run.lock.as_ref();
        [
            at(run.requested_at.as_ref()),
            at(run.attempt_requested_at.as_ref()),
            at(run.cancel_requested_at.as_ref()),
            at(run.superseded_at.as_ref()),
            at(run.started_at.as_ref()),
            at(run.finished_at.as_ref()),
            lock.and_then(|lock| at(lock.acquired_at.as_ref())),
            lock.and_then(|lock| at(lock.released_at.as_ref())),
        ]
    });
    let of_conditions = status
        .into_iter()
        .flat_map(|status| status.conditions.iter().map(|condition| Some(condition.last_transition_time.0)));
    of_run.chain(of_conditions).chain([at(action.metadata.creation_timestamp.as_ref())]).flatten().max()
}

/// What started a run, in words.
#[must_use]
pub const fn trigger_words(trigger: Trigger) -> &'static str {
    match trigger {
        Trigger::Created => "the action is new",
        Trigger::SpecChanged => "the spec changed",
        Trigger::RunToken => "spec.runToken changed",
        Trigger::Rerun => "a rerun was asked for",
    }
}

/// Who asked for something, in words. Empty if it is not known.
#[must_use]
pub fn requester_words(by: Option<&Requester>) -> String {
    let Some(Requester { user, claimed_on_behalf_of }) = by else { return String::new() };
    let user = user.as_deref();
    match claimed_on_behalf_of {
        Some(person) => format!("{} (for {person}, unchecked)", user.unwrap_or("somebody")),
        None => user.unwrap_or_default().to_owned(),
    }
}

/// Whether a run has ended.
#[must_use]
pub const fn has_ended(run: &RunStatus) -> bool {
    run.finished_at.is_some()
}
