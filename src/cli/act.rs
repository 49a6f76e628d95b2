//! `rerun`, `cancel`, `suspend` and `resume`: what people ask of the operator.
//!
//! Each is one write, of an annotation or of `spec.suspend`, as anybody could make it with kubectl. What the operator
//! would not act on is refused here, by the operator's own reading of it.

use clap::Args;
use k8s_openapi::jiff::Timestamp;
use kube::{
    ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

use super::{
    connect::{FIELD_MANAGER, Session},
    error::CliError,
    right::quoted,
    terminal::print,
};
use crate::{
    api::{ANNOTATION_CANCEL, ANNOTATION_RERUN, DeploymentAction, action::RunPolicy},
    operator::lifecycle::requests::Requests,
};

/// Asks for another run of an action: the same again.
#[derive(Debug, Args)]
pub(super) struct Rerun {
    /// The action's name.
    pub(super) name: String,
    /// The text that asks for the run, in the annotation longshore.dev/rerun. Asking again with the same text starts
    /// no further run. Default: the time.
    #[arg(long, value_name = "TEXT")]
    rerun_token: Option<String>,
}

/// Cancels the run that is under way.
#[derive(Debug, Args)]
pub(super) struct Cancel {
    /// The action's name.
    pub(super) name: String,
    /// Cancel only this run, by its number. If another one is under way, nothing is cancelled.
    #[arg(long, value_name = "NUMBER")]
    run: Option<u32>,
}

/// Holds back new runs of an action. A run that is under way goes on.
#[derive(Debug, Args)]
pub(super) struct Suspend {
    /// The action's name.
    pub(super) name: String,
}

/// Lets the runs of an action begin again.
#[derive(Debug, Args)]
pub(super) struct Resume {
    /// The action's name.
    pub(super) name: String,
}

impl Rerun {
    pub(super) async fn run(&self, session: &Session) -> Result<(), CliError> {
        print(&format!("{}\n", Box::pin(rerun(session, &self.name, self.rerun_token.as_deref())).await?))
    }
}

/// Asks for another run, by this text or the time. Returns what happens then.
pub(super) async fn rerun(session: &Session, name: &str, token: Option<&str>) -> Result<String, CliError> {
    let action = session.action(name).await?;
    let token = token.map_or_else(|| Timestamp::now().to_string(), str::to_owned);
    let asked = with_annotation(&action, ANNOTATION_RERUN, &token);
    let status = action.status.clone().unwrap_or_default();
    let requests = Requests::of(&asked);
    if !requests.wants_rerun(&status) {
        return Err(no_run(name, &requests, &action));
    }
    patch(session, &action, &annotation(ANNOTATION_RERUN, &token)).await?;
    let held = if action.spec.suspend == Some(true) {
        format!("\nspec.suspend holds it back: kubectl longshore resume {name}{}", place(session))
    } else {
        format!("\nkubectl longshore logs {name} -f{} follows it", place(session))
    };
    Ok(format!("{name}: a rerun is asked for ({token}){held}"))
}

/// Why the operator would start no run.
fn no_run(name: &str, requests: &Requests<'_>, action: &DeploymentAction) -> CliError {
    let seen = action.status.as_ref().and_then(|status| status.observed_generation).unwrap_or(-1);
    if seen < 0 {
        let what = "the operator has not seen it yet, and would take the request for an old one";
        return CliError::Failed(format!("{name}: {what}\nkubectl longshore check says why"));
    }
    match requests.ignored() {
        Some(why) => CliError::Usage(why.to_owned()),
        None => CliError::Failed(format!(
            "{name}: a run for this text was started before: choose another --rerun-token"
        )),
    }
}

impl Cancel {
    pub(super) async fn run(&self, session: &Session) -> Result<(), CliError> {
        print(&format!("{}\n", cancel(session, &self.name, self.run).await?))
    }
}

/// Cancels the run that is under way, or only this one. Returns what happens then.
pub(super) async fn cancel(session: &Session, name: &str, only: Option<u32>) -> Result<String, CliError> {
    let action = session.action(name).await?;
    let status = action.status.as_ref();
    let Some(run) = status.and_then(|status| status.run.as_ref()) else {
        return Err(CliError::Failed(format!("{name} has had no run, so nothing can be cancelled")));
    };
    if run.finished_at.is_some() {
        return Err(CliError::Failed(format!(
            "run {} of {name} has ended, so nothing can be cancelled\nkubectl longshore history {name}{} lists the runs",
            run.number,
            place(session)
        )));
    }
    if let Some(wanted) = only.filter(|wanted| *wanted != run.number) {
        let what = format!("run {} of {name} is under way, and not run {wanted}", run.number);
        return Err(CliError::Failed(format!("{what}: nothing was cancelled")));
    }
    patch(session, &action, &annotation(ANNOTATION_CANCEL, &run.id)).await?;
    let word = if run.cancel_requested_at.is_some() { "is being cancelled already" } else { "is cancelled" };
    Ok(format!(
        "{name}: run {} {word}; its script gets SIGTERM, and SIGKILL after its grace period",
        run.number
    ))
}

impl Suspend {
    pub(super) async fn run(&self, session: &Session) -> Result<(), CliError> {
        print(&format!("{}\n", suspend(session, &self.name).await?))
    }
}

/// Holds back new runs. Returns what happens then.
pub(super) async fn suspend(session: &Session, name: &str) -> Result<String, CliError> {
    let action = session.action(name).await?;
    if action.spec.suspend == Some(true) {
        return Ok(format!("{name}: was suspended before"));
    }
    patch(session, &action, &suspended(true)).await?;
    let run = action.status.as_ref().and_then(|status| status.run.as_ref());
    let goes_on = match run.filter(|run| run.finished_at.is_none()) {
        Some(run) => {
            let number = run.number;
            format!("\nrun {number} goes on: kubectl longshore cancel {name}{} ends it", place(session))
        }
        None => String::new(),
    };
    Ok(format!("{name}: new runs are held back{goes_on}"))
}

impl Resume {
    pub(super) async fn run(&self, session: &Session) -> Result<(), CliError> {
        print(&format!("{}\n", resume(session, &self.name).await?))
    }
}

/// Lets runs begin again. Returns what happens then.
pub(super) async fn resume(session: &Session, name: &str) -> Result<String, CliError> {
    let action = session.action(name).await?;
    if action.spec.suspend != Some(true) {
        return Ok(format!("{name}: was not suspended"));
    }
    patch(session, &action, &suspended(false)).await?;
    let next = match action.spec.run_policy {
        RunPolicy::OnChange => "a run begins if one was held back or the spec has changed",
        RunPolicy::Once | RunPolicy::Manual => "a run begins if one was held back",
    };
    Ok(format!("{name}: runs may begin again; {next}"))
}

/// The flag that names the namespace, for a command that is shown.
pub(super) fn place(session: &Session) -> String {
    format!(" -n {}", quoted(&session.namespace))
}

fn annotation(name: &str, value: &str) -> Value {
    json!({"metadata": {"annotations": {name: value}}})
}

fn suspended(suspend: bool) -> Value {
    json!({"spec": {"suspend": suspend}})
}

fn with_annotation(action: &DeploymentAction, name: &str, value: &str) -> DeploymentAction {
    let mut action = action.clone();
    action.annotations_mut().insert(name.to_owned(), value.to_owned());
    action
}

/// Changes the action that was read, and no other one of its name.
async fn patch(session: &Session, action: &DeploymentAction, change: &Value) -> Result<(), CliError> {
    let name = action.name_any();
    let mut change = change.clone();
    if let Some(uid) = action.uid() {
        change["metadata"]["uid"] = uid.into();
    }
    let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    match session.actions().patch(&name, &parameters, &Patch::Merge(change)).await {
        Ok(_) => Ok(()),
        Err(error) => Err(session.missing_action(&name, error).await),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::operator::testing::server::{Seen, server};

    type Requests = Arc<Mutex<Vec<Seen>>>;

    fn live(change: impl FnOnce(&mut Value)) -> (Session, Requests) {
        let mut live = json!({"apiVersion": "longshore.dev/v1alpha1", "kind": "DeploymentAction",
            "metadata": {"name": "deploy", "namespace": "shop", "uid": "u-1"}, "spec": {},
            "status": {"observedGeneration": 1, "lastHandledRerun": "old", "run": {"number": 3, "id": "u1-3",
                "generation": 1, "attempt": 1, "trigger": "Created", "specHash": ""}}});
        change(&mut live);
        let (client, seen) = server(move |_| (200, live.clone()));
        (Session { client, namespace: "shop".into(), server: String::new() }, seen)
    }

    /// What was written, and by whom.
    fn written(seen: &Requests) -> Vec<Value> {
        let seen = seen.lock().unwrap();
        let patches: Vec<_> = seen.iter().filter(|request| request.method == "PATCH").collect();
        for patch in &patches {
            assert_eq!(patch.path, "/apis/longshore.dev/v1alpha1/namespaces/shop/deploymentactions/deploy");
            assert!(patch.query.contains("fieldManager=longshore-cli"), "{}", patch.query);
        }
        patches.iter().map(|patch| patch.body.clone()).collect()
    }

    fn rerun(token: &str) -> Rerun {
        Rerun { name: "deploy".into(), rerun_token: Some(token.into()) }
    }

    fn cancel(run: Option<u32>) -> Cancel {
        Cancel { name: "deploy".into(), run }
    }

    #[tokio::test]
    async fn each_request_is_one_write_by_the_plugin() {
        let (session, seen) = live(|_| {});
        rerun("again").run(&session).await.unwrap();
        cancel(None).run(&session).await.unwrap();
        Suspend { name: "deploy".into() }.run(&session).await.unwrap();
        let annotated =
            |name: &str, value: &str| json!({"metadata": {"uid": "u-1", "annotations": {name: value}}});
        assert_eq!(
            written(&seen),
            [
                annotated("longshore.dev/rerun", "again"),
                annotated("longshore.dev/cancel", "u1-3"),
                json!({"metadata": {"uid": "u-1"}, "spec": {"suspend": true}}),
            ]
        );
        let (session, seen) = live(|action| action["spec"]["suspend"] = true.into());
        Resume { name: "deploy".into() }.run(&session).await.unwrap();
        assert_eq!(written(&seen), [json!({"metadata": {"uid": "u-1"}, "spec": {"suspend": false}})]);
    }

    #[tokio::test]
    async fn what_the_operator_would_not_act_on_is_not_written() {
        let refused = async |change: fn(&mut Value), command: Rerun| {
            let (session, seen) = live(change);
            let error = Box::pin(command.run(&session)).await.unwrap_err().to_string();
            assert_eq!(written(&seen), Vec::<Value>::new());
            error
        };
        assert!(refused(|_| {}, rerun("old")).await.contains("choose another --rerun-token"));
        assert!(refused(|_| {}, rerun("")).await.contains("write a text of 1 to 253 characters"));
        let unseen = |action: &mut Value| action["status"]["observedGeneration"] = (-1).into();
        assert!(refused(unseen, rerun("new")).await.contains("has not seen it yet"));
        let ended =
            |action: &mut Value| action["status"]["run"]["finishedAt"] = "2026-01-01T00:00:00Z".into();
        for (change, command, words) in [
            (ended as fn(&mut Value), cancel(None), "has ended"),
            (|action| action["status"]["run"] = Value::Null, cancel(None), "has had no run"),
            (|_| {}, cancel(Some(2)), "run 3 of deploy is under way, and not run 2"),
        ] {
            let (session, seen) = live(change);
            let error = command.run(&session).await.unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
            assert_eq!(written(&seen), Vec::<Value>::new());
        }
    }
}
