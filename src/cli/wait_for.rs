//! Waits until an action has a state, and says meanwhile what it waits for.

use futures::TryStreamExt;
use kube::{ResourceExt, runtime::watcher};

use super::{
    connect::{Session, Timeout},
    error::CliError,
    progress::Progress,
    terminal::line,
};
use crate::{api::DeploymentAction, lasting_watch::lasting_watch};

/// Waits until `has` says yes. Says meanwhile what it waits for, on standard error.
///
/// # Errors
/// As for [`found`].
pub(super) async fn state(
    session: &Session,
    action: DeploymentAction,
    has: impl Fn(&DeploymentAction) -> bool,
) -> Result<DeploymentAction, CliError> {
    found(session, action, |action| Ok(has(action).then(|| action.clone()))).await
}

/// Waits until `look` finds something in the action.
///
/// # Errors
/// `look` failed, or the action is deleted meanwhile, or it may not be watched.
pub(super) async fn found<T>(
    session: &Session,
    action: DeploymentAction,
    look: impl Fn(&DeploymentAction) -> Result<Option<T>, CliError>,
) -> Result<T, CliError> {
    if let Some(found) = look(&action)? {
        return Ok(found);
    }
    let (name, uid) = (action.name_any(), action.uid());
    let only = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut events = lasting_watch(session.actions(), only);
    let mut progress = Progress::new();
    let mut is_there = true;
    tell_of(&mut progress, &action);
    loop {
        let Ok(event) = tokio::time::timeout(progress.pause(), events.try_next()).await else {
            progress.draw();
            continue;
        };
        match event {
            Ok(Some(watcher::Event::Apply(seen) | watcher::Event::InitApply(seen))) => {
                if seen.uid() != uid {
                    return Err(replaced(&name));
                }
                if let Some(found) = look(&seen)? {
                    return Ok(found);
                }
                is_there = true;
                tell_of(&mut progress, &seen);
            }
            Ok(Some(watcher::Event::Init)) => is_there = false,
            Ok(Some(watcher::Event::InitDone)) if !is_there => return Err(replaced(&name)),
            Ok(Some(watcher::Event::Delete(_))) => return Err(replaced(&name)),
            Ok(Some(watcher::Event::InitDone)) => {}
            Ok(None) => return Err(CliError::Failed(format!("{name} cannot be watched any more"))),
            Err(error) => match lost(error) {
                Some(error) => return Err(error),
                None => {
                    progress.set("lost", &format!("{name}: the API server does not answer, trying again"));
                }
            },
        }
        progress.draw();
    }
}

/// The error of a watch that another try cannot mend. The API server restarts, for example, and is asked again.
fn lost(error: watcher::Error) -> Option<CliError> {
    let cause = match error {
        watcher::Error::InitialListFailed(cause)
        | watcher::Error::WatchStartFailed(cause)
        | watcher::Error::WatchFailed(cause) => cause,
        watcher::Error::WatchError(_) | watcher::Error::NoResourceVersion => return None,
    };
    match cause {
        kube::Error::SerdeError(error) => {
            Some(CliError::Failed(format!("this plugin cannot read the action ({error}): update the plugin")))
        }
        kube::Error::Api(status) if matches!(status.code, 401 | 403) => Some(CliError::of_status(&status)),
        _ => None,
    }
}

/// Waits until a run has ended, and its verdict is in the history.
///
/// # Errors
/// As for [`found`].
pub(super) async fn end_of_run(
    session: &Session,
    action: DeploymentAction,
    run: u32,
) -> Result<DeploymentAction, CliError> {
    let ended = |action: &DeploymentAction| {
        action.status.as_ref().is_some_and(|status| {
            status.history.iter().any(|past| past.number >= run)
                || status.run.as_ref().is_some_and(|latest| latest.number > run)
        })
    };
    state(session, action, ended).await
}

/// What `work` comes to within this time. Without a time it may take as long as it does.
///
/// # Errors
/// That of `work`, or that the time has passed: then `late` says what goes on.
pub(super) async fn within<T>(
    limit: Option<Timeout>,
    late: impl FnOnce() -> String,
    work: impl Future<Output = Result<T, CliError>>,
) -> Result<T, CliError> {
    match limit {
        Some(Timeout(Some(limit))) => match tokio::time::timeout(limit, work).await {
            Ok(done) => done,
            Err(_) => Err(CliError::TimedOut(late())),
        },
        _ => work.await,
    }
}

fn replaced(name: &str) -> CliError {
    CliError::Failed(format!("{name} was deleted meanwhile"))
}

fn tell_of(progress: &mut Progress, action: &DeploymentAction) {
    let (phase, words) = words(action);
    progress.set(&phase, &format!("{}: {words}", action.name_any()));
}

/// The phase, and the phase with what it waits for.
fn words(action: &DeploymentAction) -> (String, String) {
    let unseen = || "waiting for the operator".to_owned();
    let Some(status) = &action.status else { return (unseen(), unseen()) };
    let phase = status.phase.map_or_else(unseen, |phase| phase.to_string());
    let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready");
    let message = ready.map(|ready| ready.message.as_str()).filter(|message| !message.is_empty());
    let words = message.map_or_else(|| phase.clone(), |message| format!("{phase}: {}", line(message)));
    (phase, words)
}
