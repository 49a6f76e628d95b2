//! Waits until an action has a state, and says meanwhile what it waits for.

use std::time::{Duration, Instant};

use futures::TryStreamExt;
use kube::{
    ResourceExt,
    runtime::{WatchStreamExt, watcher},
};

use super::{
    connect::Session,
    error::CliError,
    terminal::{FAINT, Terminal, line, tell},
};
use crate::api::DeploymentAction;

/// How long a state may take before anything is said.
const SILENT: Duration = Duration::from_millis(700);

/// Waits until `has` says yes. Says each new phase on standard error.
///
/// # Errors
/// The action is deleted meanwhile, or may not be watched.
pub(super) async fn state(
    session: &Session,
    action: DeploymentAction,
    has: impl Fn(&DeploymentAction) -> bool,
) -> Result<DeploymentAction, CliError> {
    if has(&action) {
        return Ok(action);
    }
    let (name, uid) = (action.name_any(), action.uid());
    let only = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut events = std::pin::pin!(watcher(session.actions(), only).default_backoff());
    let (begun, mut told) = (Instant::now(), None);
    let mut latest = Some(action);
    loop {
        let words = latest.as_ref().map(words);
        if told != words && (told.is_some() || begun.elapsed() >= SILENT) {
            let waited = begun.elapsed().as_secs();
            let words = words.clone().unwrap_or_default();
            tell(&Terminal::stderr().paint(FAINT, &format!("{name}: {words} ({waited} s)")));
            told = Some(words);
        }
        let event = match tokio::time::timeout(SILENT, events.try_next()).await {
            Err(_) => continue,
            Ok(event) => event,
        };
        match event {
            Ok(Some(watcher::Event::Apply(seen) | watcher::Event::InitApply(seen))) => {
                if seen.uid() != uid {
                    return Err(replaced(&name));
                }
                if has(&seen) {
                    return Ok(seen);
                }
                latest = Some(seen);
            }
            Ok(Some(watcher::Event::Init)) => latest = None,
            Ok(Some(watcher::Event::InitDone)) if latest.is_none() => return Err(replaced(&name)),
            Ok(Some(watcher::Event::Delete(_))) => return Err(replaced(&name)),
            Ok(Some(watcher::Event::InitDone)) => {}
            Ok(None) => return Err(CliError::Failed(format!("{name} cannot be watched any more"))),
            Err(
                watcher::Error::InitialListFailed(kube::Error::Api(status))
                | watcher::Error::WatchStartFailed(kube::Error::Api(status)),
            ) if status.code == 403 => return Err(CliError::of_status(&status)),
            // The API server restarts, for example. It is asked again.
            Err(_) => {}
        }
    }
}

/// Waits until a run has ended, and its verdict is in the history.
///
/// # Errors
/// As for [`state`].
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

fn replaced(name: &str) -> CliError {
    CliError::Failed(format!("{name} was deleted meanwhile"))
}

/// The phase, and what it waits for.
fn words(action: &DeploymentAction) -> String {
    let Some(status) = &action.status else { return "waiting for the operator to see it".to_owned() };
    let phase = status.phase.map_or_else(|| "waiting for the operator".to_owned(), |phase| phase.to_string());
    let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready");
    let message = ready.map(|ready| ready.message.as_str()).filter(|message| !message.is_empty());
    match message {
        Some(message) => format!("{phase}: {}", line(message)),
        None => phase,
    }
}
