//! Which attempt is meant, and where its log may be.

use crate::{
    api::{DeploymentAction, status::RunStatus},
    cli::{connect::Session, error::CliError, wait_for},
};

/// An attempt with a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The action's name.
    pub(super) name: String,
    pub(super) run: u32,
    pub(super) attempt: u32,
    /// The pod, if the status names it.
    pub(super) pod: Option<String>,
    /// The last lines that the status has of it.
    pub(super) tail: Option<String>,
}

fn name(action: &DeploymentAction) -> &str {
    action.metadata.name.as_deref().unwrap_or_default()
}

fn latest(action: &DeploymentAction) -> Option<&RunStatus> {
    action.status.as_ref()?.run.as_ref()
}

/// The attempts that are meant, in order: one, or all of the run.
pub(super) fn places(
    action: &DeploymentAction,
    run: Option<u32>,
    attempt: Option<u32>,
    all: bool,
) -> Result<Vec<Place>, CliError> {
    let name = name(action);
    let Some(latest) = latest(action) else {
        return Err(CliError::Failed(format!(
            "{name} has had no run, so there is no log\nkubectl longshore describe {name} says why"
        )));
    };
    let history = action.status.iter().flat_map(|status| &status.history);
    let past: Vec<(u32, u32)> = history.map(|past| (past.number, past.attempts)).collect();
    let number = run.unwrap_or(latest.number);
    let last = if number == latest.number {
        latest.attempt
    } else if let Some((_, attempts)) = past.iter().find(|(past, _)| *past == number) {
        *attempts
    } else {
        return Err(CliError::NotFound(format!(
            "{name} has no run {number}\nkubectl longshore history {name} lists its runs"
        )));
    };
    let wanted = attempt.unwrap_or(last);
    if wanted > last || wanted == 0 {
        return Err(CliError::NotFound(format!(
            "run {number} of {name} has no attempt {wanted}: it has had {last}\nkubectl longshore describe {name} lists them"
        )));
    }
    let first = if all { 1 } else { wanted };
    Ok((first..=wanted).map(|attempt| place(action, latest, number, attempt)).collect())
}

fn place(action: &DeploymentAction, latest: &RunStatus, run: u32, attempt: u32) -> Place {
    let (mut pod, mut tail) = (None, None);
    if run == latest.number {
        let ended = latest.attempts.iter().find(|of| of.attempt == attempt);
        pod = ended.and_then(|of| of.pod_name.clone());
        if attempt == latest.attempt {
            pod.clone_from(&latest.pod_name);
            let log = action.status.as_ref().and_then(|status| status.log.as_ref());
            tail = log.map(|log| log.tail.clone()).filter(|tail| !tail.is_empty());
        }
    }
    Place { name: name(action).to_owned(), run, attempt, pod, tail }
}

/// Waits until the run has a pod, or has ended. Says what it waits for.
pub(super) async fn has_begun(
    session: &Session,
    action: DeploymentAction,
    run: Option<u32>,
) -> Result<DeploymentAction, CliError> {
    wait_for::state(session, action, |action| {
        latest(action).is_some_and(|latest| match run {
            Some(run) if latest.number < run => false,
            Some(run) if latest.number > run => true,
            _ => latest.pod_uid.is_some() || latest.finished_at.is_some(),
        })
    })
    .await
}

/// The script's exit code of a run that has ended.
pub(super) fn exit_code(action: &DeploymentAction, run: u32) -> Option<i32> {
    let status = action.status.as_ref()?;
    status.history.iter().find(|past| past.number == run)?.exit_code
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn action() -> DeploymentAction {
        serde_json::from_value(json!({
            "apiVersion": "longshore.dev/v1alpha1",
            "kind": "DeploymentAction",
            "metadata": {"name": "deploy"},
            "spec": {},
            "status": {
                "run": {
                    "number": 3, "id": "x-3", "generation": 1, "attempt": 2, "trigger": "Created", "specHash": "h",
                    "podName": "deploy-3-2",
                    "attempts": [{"attempt": 1, "reason": "ScriptFailed", "podName": "deploy-3-1"}],
                },
                "log": {"state": "Complete", "tail": "last\n", "lines": 1, "bytes": 5},
                "history": [
                    {"number": 3, "id": "x-3", "attempts": 2, "outcome": "Failed", "reason": "ScriptFailed",
                     "trigger": "Created", "exitCode": 7},
                    {"number": 1, "id": "x-1", "attempts": 1, "outcome": "Failed", "reason": "ScriptFailed",
                     "trigger": "Created"},
                ],
            },
        }))
        .unwrap()
    }

    fn pods(run: Option<u32>, attempt: Option<u32>, all: bool) -> Vec<(u32, Option<String>)> {
        let places = places(&action(), run, attempt, all).unwrap();
        places.into_iter().map(|place| (place.attempt, place.pod)).collect()
    }

    #[test]
    fn the_last_attempt_of_the_latest_run_is_meant_if_nothing_is_said() {
        assert_eq!(pods(None, None, false), [(2, Some("deploy-3-2".into()))]);
        assert_eq!(pods(None, Some(1), false), [(1, Some("deploy-3-1".into()))]);
        assert_eq!(pods(None, None, true).len(), 2);
        assert_eq!(pods(Some(1), None, false), [(1, None)]);
        let all = places(&action(), None, None, true).unwrap();
        assert_eq!((all[0].tail.as_deref(), all[1].tail.as_deref()), (None, Some("last\n")));
        assert_eq!(exit_code(&action(), 3), Some(7));
    }

    #[test]
    fn runs_and_attempts_that_there_are_not_are_refused_with_what_to_do() {
        let error = |run, attempt| places(&action(), run, attempt, false).unwrap_err().to_string();
        assert!(error(Some(2), None).contains("kubectl longshore history deploy"));
        assert!(error(None, Some(3)).contains("it has had 2"));
        let mut never = action();
        never.status = None;
        assert!(places(&never, None, None, false).unwrap_err().to_string().contains("has had no run"));
    }
}
