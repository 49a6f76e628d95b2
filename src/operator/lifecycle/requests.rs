//! Requests of the moment, which are annotations of an action: pure.
//!
//! They count once seen, and what they did is in the status: their removal means nothing.

use crate::{
    api::{
        ANNOTATION_CANCEL, ANNOTATION_RERUN, DeploymentAction, DeploymentActionStatus,
        status::{MAX_TOKEN_CHARACTERS, RunStatus},
    },
    operator::pod::names::run_id,
};

/// The token of the annotation that asks for another run; `Err` says what is wrong with it.
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

/// Whether the operator has never written a status of this action.
fn is_new(status: &DeploymentActionStatus) -> bool {
    status.observed_generation.is_none_or(|generation| generation < 0)
}

/// Whether another run is asked for. A token that was there when the action was first seen is not a
/// request: whoever applies a file, or restores a backup, asks for what the file says.
#[must_use]
pub fn wants_rerun(action: &DeploymentAction, status: &DeploymentActionStatus) -> bool {
    let Some(Ok(token)) = rerun(action) else { return false };
    !is_new(status) && status.last_handled_rerun.as_deref() != Some(token)
}

/// The token that counts as handled once a status is written that speaks of `run`: where that run is
/// new, the one of this moment, so that what was asked for many times is done once.
#[must_use]
pub fn handled(
    action: &DeploymentAction,
    status: &DeploymentActionStatus,
    run: Option<u32>,
) -> Option<String> {
    let begins = run.is_some() && run != status.run.as_ref().map(|run| run.number);
    match rerun(action) {
        Some(Ok(token)) if begins || is_new(status) => Some(token.to_owned()),
        _ => status.last_handled_rerun.clone(),
    }
}

/// Whether it is this very run that is to be cancelled: its id holds a part of the action's UID.
#[must_use]
pub fn cancels(action: &DeploymentAction, run: &RunStatus) -> bool {
    let id = action.metadata.annotations.as_ref().and_then(|all| all.get(ANNOTATION_CANCEL));
    !run.id.is_empty() && id == Some(&run.id)
}

/// Why the annotation that cancels can cancel nothing. One that names a run that has ended is none: it
/// did what it was there for, or came too late.
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

/// What is asked for and cannot be done, for people.
#[must_use]
pub fn ignored(action: &DeploymentAction) -> Option<String> {
    let wrong: Vec<String> =
        rerun(action).and_then(Result::err).into_iter().chain(wrong_cancel(action)).collect();
    (!wrong.is_empty()).then(|| wrong.join("; "))
}
