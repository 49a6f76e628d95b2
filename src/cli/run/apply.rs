//! Writes the action of `run`.

use http::Request;
use kube::{
    ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::Value;

use crate::{
    api::{ANNOTATION_RERUN, DeploymentAction},
    cli::{
        connect::{FIELD_MANAGER, Session},
        error::CliError,
    },
};

/// What a write was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Write {
    Created,
    Changed,
    /// Nothing that could start a run has changed.
    Unchanged,
}

/// What was written.
#[derive(Debug)]
pub(in crate::cli) struct Applied {
    pub(in crate::cli) write: Write,
    /// The action as the API server has stored it.
    pub(in crate::cli) action: DeploymentAction,
}

/// Applies an action on the server's side. One with `generateName` is created each time.
pub(in crate::cli) async fn apply(
    session: &Session,
    wanted: &Value,
    force: bool,
) -> Result<Applied, CliError> {
    let Some(name) = wanted["metadata"]["name"].as_str().filter(|name| !name.is_empty()) else {
        return Ok(Applied { write: Write::Created, action: create(session, wanted).await? });
    };
    let live = session.actions().get_opt(name).await?;
    let mut parameters = PatchParams::apply(FIELD_MANAGER).validation_strict();
    parameters.force = force;
    let action = session.actions().patch(name, &parameters, &Patch::Apply(wanted)).await;
    let action = action.map_err(|error| refused(name, error))?;
    let write = match live {
        None => Write::Created,
        Some(live) if same(&live, &action) => Write::Unchanged,
        Some(_) => Write::Changed,
    };
    Ok(Applied { write, action })
}

async fn create(session: &Session, wanted: &Value) -> Result<DeploymentAction, CliError> {
    let namespace = &session.namespace;
    let path = format!(
        "/apis/longshore.dev/v1alpha1/namespaces/{namespace}/deploymentactions?fieldManager={FIELD_MANAGER}&fieldValidation=Strict"
    );
    let body = serde_json::to_vec(wanted).unwrap_or_default();
    let request = Request::post(path).header("content-type", "application/json").body(body);
    let request = request.map_err(|error| CliError::Usage(format!("the namespace {namespace}: {error}")))?;
    let name = wanted["metadata"]["generateName"].as_str().unwrap_or_default();
    session.client.request(request).await.map_err(|error| refused(name, error))
}

/// Whether nothing that could start a run is different.
fn same(before: &DeploymentAction, after: &DeploymentAction) -> bool {
    let token = |action: &DeploymentAction| action.annotations().get(ANNOTATION_RERUN).cloned();
    before.uid() == after.uid()
        && before.metadata.generation == after.metadata.generation
        && token(before) == token(after)
}

fn refused(name: &str, error: kube::Error) -> CliError {
    let conflict =
        matches!(&error, kube::Error::Api(status) if status.code == 409 && status.reason == "Conflict");
    match CliError::from(error) {
        CliError::Refused(why) if conflict => CliError::Refused(format!(
            "{name} was not applied: {why}\nlet the tool that has these fields change them, or add --force-conflicts to take them over"
        )),
        CliError::Refused(why) => CliError::Refused(format!(
            "{name} was not applied: {why}\nkubectl longshore validate -f FILE shows each mistake in a line"
        )),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        cli::error::REFUSED,
        operator::testing::{
            objects::action,
            server::{failure, server},
        },
    };

    fn session(
        live: Option<DeploymentAction>,
        after: (u16, Value),
    ) -> (Session, std::sync::Arc<std::sync::Mutex<Vec<crate::operator::testing::server::Seen>>>) {
        let (client, seen) = server(move |request| match (request.method.as_str(), &live) {
            ("GET", Some(live)) => (200, serde_json::to_value(live).unwrap()),
            ("GET", None) => failure(404, "NotFound", "not found"),
            _ => after.clone(),
        });
        (Session { client, namespace: "shop".into(), server: String::new() }, seen)
    }

    fn stored(change: impl FnOnce(&mut DeploymentAction)) -> (u16, Value) {
        let mut action = action();
        change(&mut action);
        (200, serde_json::to_value(action).unwrap())
    }

    #[tokio::test]
    async fn a_write_is_a_creation_a_change_or_neither() {
        let wanted = json!({"metadata": {"name": "deploy"}, "spec": {}});
        let rerun = |action: &mut DeploymentAction| {
            action.annotations_mut().insert(ANNOTATION_RERUN.into(), "x".into());
        };
        for (live, after, write) in [
            (None, stored(|_| {}), Write::Created),
            (Some(action()), stored(|action| action.metadata.generation = Some(2)), Write::Changed),
            (Some(action()), stored(rerun), Write::Changed),
            (
                Some(action()),
                stored(|action| action.metadata.resource_version = Some("11".into())),
                Write::Unchanged,
            ),
        ] {
            let (session, seen) = session(live, after);
            assert_eq!(apply(&session, &wanted, false).await.unwrap().write, write);
            let seen = seen.lock().unwrap();
            assert_eq!(seen.last().unwrap().method, "PATCH");
            let query = &seen.last().unwrap().query;
            for part in ["fieldManager=longshore-cli", "fieldValidation=Strict"] {
                assert!(query.contains(part), "{query}");
            }
            assert!(!query.contains("force=true"), "{query}");
        }
    }

    #[tokio::test]
    async fn an_action_without_a_name_is_created_each_time() {
        let wanted = json!({"metadata": {"generateName": "deploy-"}, "spec": {}});
        let (session, seen) = session(None, stored(|_| {}));
        assert_eq!(apply(&session, &wanted, false).await.unwrap().write, Write::Created);
        let seen = seen.lock().unwrap();
        assert_eq!((seen.len(), seen[0].method.as_str()), (1, "POST"));
        assert!(seen[0].query.contains("fieldManager=longshore-cli"), "{}", seen[0].query);
    }

    #[tokio::test]
    async fn fields_of_another_tool_are_taken_over_only_if_that_is_asked_for() {
        let wanted = json!({"metadata": {"name": "deploy"}, "spec": {}});
        let conflict = failure(409, "Conflict", "Apply failed with 1 conflict: .spec.image");
        let (refusing, _) = session(Some(action()), conflict);
        let error = apply(&refusing, &wanted, false).await.unwrap_err();
        assert_eq!(error.code(), REFUSED);
        assert!(error.to_string().contains("--force-conflicts"), "{error}");
        let (taking, seen) = session(Some(action()), stored(|_| {}));
        apply(&taking, &wanted, true).await.unwrap();
        assert!(seen.lock().unwrap().last().unwrap().query.contains("force=true"));
    }
}
