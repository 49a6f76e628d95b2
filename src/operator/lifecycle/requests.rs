//! Requests in an action's annotations. They are read once, for everything that decides or reports.
//!
//! A request counts from when the operator has seen it, and the status says what came of it. Removing the
//! annotation later changes nothing.

use k8s_openapi::jiff::Timestamp;

use super::whole_seconds::seconds;
use crate::{
    api::{
        ANNOTATION_CANCEL, ANNOTATION_CANCEL_BY, ANNOTATION_ON_BEHALF_OF, ANNOTATION_RERUN,
        ANNOTATION_RERUN_BY, ANNOTATION_SPEC_BY, DeploymentAction, DeploymentActionStatus,
        status::{MAX_NAME_CHARACTERS, MAX_TOKEN_CHARACTERS, PendingRerun, Requester, RunStatus, Trigger},
    },
    operator::pod::names::run_id,
};

/// An action, with the requests in its annotations.
#[derive(Debug, Clone)]
pub struct Requests<'a> {
    action: &'a DeploymentAction,
    /// The token of the annotation that asks for another run.
    rerun: Option<&'a str>,
    /// The id of the run that the annotation cancels.
    cancel: Option<&'a str>,
    /// Whether an admission policy writes the users, so that nobody else can.
    recorded: bool,
    /// Requests that cannot be fulfilled, for people.
    ignored: Option<String>,
}

impl<'a> Requests<'a> {
    /// Reads the annotations of this action.
    #[must_use]
    pub fn of(action: &'a DeploymentAction) -> Self {
        let rerun = rerun(action);
        let cancel = action.metadata.annotations.as_ref().and_then(|all| all.get(ANNOTATION_CANCEL));
        let wrong = rerun.as_ref().and_then(|token| token.as_ref().err()).cloned();
        let wrong: Vec<String> = wrong.into_iter().chain(wrong_cancel(action)).collect();
        Self {
            action,
            rerun: rerun.and_then(Result::ok),
            cancel: cancel.map(String::as_str),
            recorded: false,
            ignored: (!wrong.is_empty()).then(|| wrong.join("; ")),
        }
    }

    /// The same where an admission policy records the users.
    #[must_use]
    pub fn recorded(self, recorded: bool) -> Self {
        Self { recorded, ..self }
    }

    /// The action.
    #[must_use]
    pub const fn action(&self) -> &'a DeploymentAction {
        self.action
    }

    /// Requests that cannot be fulfilled, for people.
    #[must_use]
    pub fn ignored(&self) -> Option<&str> {
        self.ignored.as_deref()
    }

    /// Whether another run is asked for. A token that was there when the operator first saw the action is no
    /// request: an applied file or a restored backup may hold an old one.
    #[must_use]
    pub fn wants_rerun(&self, status: &DeploymentActionStatus) -> bool {
        self.new_token(status).is_some() || status.pending_rerun.is_some()
    }

    /// The token that counts as handled once a status about `run` is written. If that run is new, it is the
    /// present token: many requests give one run.
    #[must_use]
    pub fn handled(&self, status: &DeploymentActionStatus, run: Option<u32>) -> Option<String> {
        let pending = || status.pending_rerun.as_ref().map(|pending| pending.token.clone());
        match self.rerun {
            Some(token) if begins(status, run) || is_new(status) => Some(token.to_owned()),
            None if begins(status, run) => pending().or_else(|| status.last_handled_rerun.clone()),
            _ => status.last_handled_rerun.clone(),
        }
    }

    /// The rerun that still follows once a status about `run` is written.
    #[must_use]
    pub fn pending(
        &self,
        status: &DeploymentActionStatus,
        run: Option<u32>,
        now: Timestamp,
    ) -> Option<PendingRerun> {
        if begins(status, run) {
            return None;
        }
        let before = status.pending_rerun.as_ref();
        match self.new_token(status) {
            Some(token) if before.is_none_or(|before| before.token != token) => Some(PendingRerun {
                token: token.to_owned(),
                requested_by: self.writer_of(ANNOTATION_RERUN_BY),
                seen_at: Some(seconds(now)),
            }),
            _ => before.cloned(),
        }
    }

    /// The token of a rerun, if no run has begun for it.
    fn new_token(&self, status: &DeploymentActionStatus) -> Option<&'a str> {
        self.rerun.filter(|token| !is_new(status) && status.last_handled_rerun.as_deref() != Some(token))
    }

    /// Who asks for the run that this begins.
    #[must_use]
    pub fn requester(&self, status: &DeploymentActionStatus, trigger: Trigger) -> Option<Requester> {
        match (trigger, self.new_token(status)) {
            (Trigger::Rerun, Some(_)) => self.writer_of(ANNOTATION_RERUN_BY),
            (Trigger::Rerun, None) => status.pending_rerun.as_ref()?.requested_by.clone(),
            _ => self.writer_of(ANNOTATION_SPEC_BY),
        }
    }

    /// Who asks to cancel the run.
    #[must_use]
    pub fn canceller(&self) -> Option<Requester> {
        self.writer_of(ANNOTATION_CANCEL_BY)
    }

    /// What this annotation says about who wrote something, and the person that they claim to act for.
    fn writer_of(&self, annotation: &str) -> Option<Requester> {
        let text = |name: &str| {
            let text = self.action.metadata.annotations.as_ref()?.get(name)?;
            let text: String = text.chars().filter(|c| !c.is_control()).take(MAX_NAME_CHARACTERS).collect();
            Some(text).filter(|text| !text.is_empty())
        };
        let user = text(annotation).filter(|_| self.recorded);
        let claimed_on_behalf_of = text(ANNOTATION_ON_BEHALF_OF);
        (user.is_some() || claimed_on_behalf_of.is_some()).then_some(Requester { user, claimed_on_behalf_of })
    }

    /// Whether the annotation cancels this very run. The id holds a part of the action's UID.
    #[must_use]
    pub fn cancels(&self, run: &RunStatus) -> bool {
        !run.id.is_empty() && self.cancel == Some(&run.id)
    }
}

/// The token of the annotation that asks for another run, or what is wrong with it.
fn rerun(action: &DeploymentAction) -> Option<Result<&str, String>> {
    let token = action.metadata.annotations.as_ref()?.get(ANNOTATION_RERUN)?;
    let characters = token.chars().count();
    let what = if token.is_empty() {
        "is empty".to_owned()
    } else if characters > MAX_TOKEN_CHARACTERS {
        format!("has {characters} characters")
    } else if token.chars().any(char::is_control) {
        "holds control characters".to_owned()
    } else {
        return Some(Ok(token));
    };
    Some(Err(format!(
        "annotation {ANNOTATION_RERUN} {what} and is not acted on: write a text of 1 to {MAX_TOKEN_CHARACTERS} \
         characters, another one for each run"
    )))
}

/// Whether a run with this number is not the one of the status.
fn begins(status: &DeploymentActionStatus, run: Option<u32>) -> bool {
    run.is_some() && run != status.run.as_ref().map(|run| run.number)
}

/// Whether the operator has never written a status of this action.
fn is_new(status: &DeploymentActionStatus) -> bool {
    status.observed_generation.is_none_or(|generation| generation < 0)
}

/// Why the cancel annotation is invalid, if it is. Naming a run that has ended is no error: the annotation
/// did its work, or came too late.
fn wrong_cancel(action: &DeploymentAction) -> Option<String> {
    let id = action.metadata.annotations.as_ref()?.get(ANNOTATION_CANCEL)?;
    let latest = action.status.as_ref().and_then(|status| status.run.as_ref());
    let number = id.rsplit_once('-').and_then(|(_, number)| number.parse::<u32>().ok());
    let what = match number {
        Some(number) if *id == run_id(action.metadata.uid.as_deref().unwrap_or_default(), number) => {
            if number >= 1 && latest.is_some_and(|run| number <= run.number) {
                return None;
            }
            "names a run that this action has not had"
        }
        Some(_) => "names no run of this action",
        None => "is no run's id",
    };
    let example = latest.map(|run| format!(", now {}", run.id)).unwrap_or_default();
    Some(format!(
        "annotation {ANNOTATION_CANCEL} {what}, and nothing is cancelled: write the id of the run that is under way \
         (status.run.id{example})"
    ))
}
