//! `longshore verify`: waits for the end of one action and says whether it succeeded. The chart's test runs
//! it, with the right to read that action and no other.

use std::time::Duration;

use clap::Parser;
use kube::{Api, Client};
use tokio::time::{Instant, sleep};

use crate::{
    api::{ConditionType, DeploymentAction, status::LogState},
    operator::call::{CallError, call},
};

/// The pause between two looks.
const EVERY: Duration = Duration::from_millis(500);

/// Flags of `longshore verify`.
#[derive(Debug, Clone, Parser)]
pub struct AwaitOptions {
    /// Namespace of the action.
    #[arg(long)]
    pub namespace: String,

    /// The action's name.
    #[arg(long)]
    pub action: String,

    /// Seconds within which the action must have ended.
    #[arg(long, default_value_t = 120)]
    pub timeout_seconds: u32,
}

/// Why the action did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The action cannot be read.
    #[error("the action cannot be read: {0}")]
    Read(#[from] CallError),
    /// It ended, but it did not succeed.
    #[error("the action ended as {0}")]
    Ended(String),
    /// It has not ended.
    #[error("the action has not ended within {seconds} s: {state}")]
    Late {
        /// The time that was waited.
        seconds: u32,
        /// The state of the action.
        state: String,
    },
}

/// Waits for the end of the action. `tell` gets a line for each change.
///
/// # Errors
/// If the action cannot be read, did not succeed, lost some of its log, or did not end in time.
pub async fn await_end(
    client: &Client,
    options: &AwaitOptions,
    tell: impl Fn(&str),
) -> Result<(), VerifyError> {
    let actions: Api<DeploymentAction> = Api::namespaced(client.clone(), &options.namespace);
    let until = Instant::now() + Duration::from_secs(options.timeout_seconds.into());
    let mut last = String::new();
    loop {
        // The test's pod may be quicker than its role, and than the action.
        let read = call(actions.get(&options.action)).await;
        let state = match &read {
            Ok(action) => match look(action) {
                Look::Well(words) => {
                    tell(&words);
                    return Ok(());
                }
                Look::Bad(words) => return Err(VerifyError::Ended(words)),
                Look::UnderWay(words) => words,
            },
            Err(error) => error.to_string(),
        };
        if Instant::now() >= until {
            read?;
            return Err(VerifyError::Late { seconds: options.timeout_seconds, state });
        }
        if state != last {
            tell(&state);
            last = state;
        }
        sleep(EVERY).await;
    }
}

enum Look {
    UnderWay(String),
    Well(String),
    Bad(String),
}

fn look(action: &DeploymentAction) -> Look {
    let unseen = || {
        Look::UnderWay(
            "the operator has not seen the action yet: is it running, and does it serve this namespace?"
                .to_owned(),
        )
    };
    let Some(status) = &action.status else { return unseen() };
    if status.observed_generation != action.metadata.generation {
        return unseen();
    }
    let conditions = status.conditions();
    let ready = conditions.get(ConditionType::Ready);
    let words = ready.map_or_else(String::new, |ready| format!("{}: {}", ready.reason, ready.message));
    let log = status.log.as_ref().map(|log| log.state);
    if !conditions.is_true(ConditionType::Finished) || log == Some(LogState::Collecting) {
        return Look::UnderWay(words);
    }
    if !conditions.is_true(ConditionType::Succeeded) {
        return Look::Bad(words);
    }
    match log {
        Some(LogState::Complete) => Look::Well(words),
        _ => Look::Bad(format!("{words}; but its log is not complete")),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde_json::{Value, json};

    use super::*;
    use crate::operator::testing::server::{failure, server};

    fn options(timeout_seconds: u32) -> AwaitOptions {
        AwaitOptions { namespace: "system".to_owned(), action: "test".to_owned(), timeout_seconds }
    }

    fn action(status: &Value) -> (u16, Value) {
        let spec = json!({"image": "registry.example.com/a:1", "command": ["/a"]});
        (
            200,
            json!({
                "apiVersion": "longshore.dev/v1alpha1", "kind": "DeploymentAction",
                "metadata": {"name": "test", "namespace": "system", "generation": 1}, "spec": spec, "status": status,
            }),
        )
    }

    fn status(reason: &str, succeeded: &str, finished: bool, log: &str) -> Value {
        let condition = |kind: &str, status: &str| {
            json!({
                "type": kind, "status": status, "reason": reason, "message": "words",
                "lastTransitionTime": "2026-11-01T10:00:00Z",
            })
        };
        let finished = if finished { "True" } else { "False" };
        json!({
            "observedGeneration": 1,
            "conditions": [
                condition("Ready", succeeded), condition("Succeeded", succeeded), condition("Finished", finished),
            ],
            "log": {"state": log, "lines": 1, "bytes": 1, "tail": ""},
        })
    }

    #[tokio::test(start_paused = true)]
    async fn it_waits_until_action_and_log_have_ended() {
        let looks = std::sync::Arc::new(AtomicUsize::new(0));
        let (client, _) = server(move |_| match looks.fetch_add(1, Ordering::Relaxed) {
            0 => failure(403, "Forbidden", "not yet"),
            1 => action(&json!({"observedGeneration": -1, "phase": "Pending"})),
            2 => action(&status("Running", "Unknown", false, "Collecting")),
            3 => action(&status("Succeeded", "True", true, "Collecting")),
            _ => action(&status("Succeeded", "True", true, "Complete")),
        });
        let lines = std::sync::Mutex::new(Vec::new());
        await_end(&client, &options(60), |line| lines.lock().unwrap().push(line.to_owned())).await.unwrap();
        let lines = lines.into_inner().unwrap();
        assert_eq!(lines.len(), 5, "{lines:?}");
        assert!(lines[1].contains("not seen") && lines[4] == "Succeeded: words", "{lines:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_did_not_go_well_is_told() {
        for (status, words) in [
            (status("ScriptFailed", "False", true, "Complete"), "ScriptFailed: words"),
            (status("Succeeded", "True", true, "Incomplete"), "log is not complete"),
            (status("Running", "Unknown", false, "Collecting"), "not ended within 1 s: Running: words"),
            (json!({"observedGeneration": -1}), "is it running"),
        ] {
            let (client, _) = server(move |_| action(&status));
            let error = await_end(&client, &options(1), |_| ()).await.unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        let (client, _) = server(|_| failure(403, "Forbidden", "may not"));
        let error = await_end(&client, &options(1), |_| ()).await.unwrap_err().to_string();
        assert!(error.contains("may not"), "{error}");
    }
}
