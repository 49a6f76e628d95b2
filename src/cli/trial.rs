//! Applies objects without storing them: the API server's dry run, and what only the operator would find wrong.

use http::Request;
use kube::{Api, core::Status};
use serde_json::{Map, Value, json};

use super::{
    connect::{FIELD_MANAGER, Session},
    documents::Document,
    error::CliError,
};
use crate::{
    api::{
        ClusterDeploymentActionTemplate, DeploymentAction, DeploymentActionTemplate, Reason,
        template::TemplateKind,
    },
    operator::spec::expand::{Lookup, Template, check},
};

/// The architecture that the chart sets for the operator. Another one is a matter of the cluster, not of the action.
const ARCHITECTURE: &str = "amd64";

/// What came of an object.
#[derive(Debug)]
pub(super) struct Tried {
    /// The object in the cluster, if it exists.
    pub(super) live: Option<Value>,
    /// The object as the API server would store it.
    pub(super) after: Value,
}

/// Sends an object as kubectl would, without storing it.
pub(super) async fn try_out(session: &Session, document: &Document, path: &str) -> Result<Tried, CliError> {
    let query = format!("dryRun=All&fieldManager={FIELD_MANAGER}&fieldValidation=Strict");
    let mut object = document.object.clone();
    if path.contains("/namespaces/") {
        object["metadata"]["namespace"] = document.namespace(session).into();
    }
    let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let live = if name.is_empty() { None } else { get(session, &format!("{path}/{name}")).await? };
    let (request, body) = match &live {
        Some(live) => (Request::put(format!("{path}/{name}?{query}")), merged(live, &object)),
        None => (Request::post(format!("{path}?{query}")), object),
    };
    let body = serde_json::to_vec(&body).unwrap_or_default();
    let request = request.header("content-type", "application/json").body(body);
    let request = request.map_err(|error| CliError::Usage(format!("{}: {error}", document.place)))?;
    Ok(Tried { live, after: session.client.request(request).await? })
}

async fn get(session: &Session, path: &str) -> Result<Option<Value>, CliError> {
    let request = Request::get(path)
        .body(Vec::new())
        .map_err(|error| CliError::Usage(format!("the object's name cannot be in a path: {error}")))?;
    match session.client.request(request).await {
        Ok(live) => Ok(Some(live)),
        Err(kube::Error::Api(status)) if is_missing(&status) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn is_missing(status: &Status) -> bool {
    status.code == 404 && status.details.as_ref().is_some_and(|details| !details.name.is_empty())
}

/// The object in the cluster with what the file says.
///
/// Fields that the file no longer has go away if people applied them. Those that others set stay, such as
/// `spec.suspend` by this plugin.
fn merged(live: &Value, file: &Value) -> Value {
    let mut whole = live.clone();
    if let Some(metadata) = whole["metadata"].as_object_mut() {
        metadata.remove("managedFields");
        for part in ["labels", "annotations"] {
            if let Some(given) = file["metadata"][part].as_object() {
                let all = metadata.entry(part).or_insert_with(|| json!({}));
                if let Some(all) = all.as_object_mut() {
                    all.extend(given.clone());
                }
            }
        }
    }
    let applied = applied_fields(live);
    let mut spec: Map<String, Value> = live["spec"].as_object().cloned().unwrap_or_default();
    spec.retain(|field, _| !applied.contains(field));
    spec.extend(file["spec"].as_object().cloned().unwrap_or_default());
    whole["spec"] = spec.into();
    // What is no part of the kind is for the API server to refuse.
    for (field, value) in file.as_object().into_iter().flatten() {
        if !matches!(field.as_str(), "metadata" | "spec" | "status") {
            whole[field] = value.clone();
        }
    }
    whole
}

/// The fields of the spec that a file had when somebody applied it.
fn applied_fields(live: &Value) -> Vec<String> {
    let managers = live["metadata"]["managedFields"].as_array();
    let applied =
        |entry: &&Value| entry["operation"] == "Apply" || entry["manager"] == "kubectl-client-side-apply";
    managers
        .into_iter()
        .flatten()
        .filter(applied)
        .filter_map(|entry| entry["fieldsV1"]["f:spec"].as_object())
        .flat_map(|fields| fields.keys().filter_map(|field| field.strip_prefix("f:").map(str::to_owned)))
        .collect()
}

/// Why the operator could not execute an action that the API server accepts: all mistakes in one message.
pub(super) async fn blocked(
    session: &Session,
    action: &DeploymentAction,
) -> Result<Option<(Reason, String)>, CliError> {
    let namespace = action.metadata.namespace.as_deref().unwrap_or(&session.namespace);
    let template = match &action.spec.template_ref {
        None => None,
        Some(wanted) => Some(lookup(session, namespace, wanted.kind(), &wanted.name).await?),
    };
    Ok(misfit(action, template.as_ref()))
}

/// Why the operator could not execute an action with this template: all mistakes in one message.
pub(super) fn misfit(action: &DeploymentAction, template: Option<&Lookup>) -> Option<(Reason, String)> {
    let blocked = check(action, template, ARCHITECTURE).err()?;
    let (reason, message) = blocked.words();
    Some((reason, message.to_owned()))
}

async fn lookup(
    session: &Session,
    namespace: &str,
    kind: TemplateKind,
    name: &str,
) -> Result<Lookup, CliError> {
    let client = session.client.clone();
    let found = match kind {
        TemplateKind::DeploymentActionTemplate => {
            let api: Api<DeploymentActionTemplate> = Api::namespaced(client, namespace);
            api.get_opt(name).await?.map(|of| (of.metadata, of.spec.0))
        }
        TemplateKind::ClusterDeploymentActionTemplate => {
            let api: Api<ClusterDeploymentActionTemplate> = Api::all(client);
            api.get_opt(name).await?.map(|of| (of.metadata, of.spec.0))
        }
    };
    Ok(found.map_or(Lookup::Missing, |(metadata, spec)| {
        Lookup::Found(Template {
            kind,
            name: name.to_owned(),
            uid: metadata.uid.unwrap_or_default(),
            generation: metadata.generation.unwrap_or_default(),
            spec,
        })
    }))
}

/// All that an answer of the API server says is wrong, each in a line.
pub(super) fn faults(error: &CliError) -> Vec<String> {
    let text = error.to_string();
    // The server joins its causes as `[one, other]`, each with the field in front.
    let (head, list) = match text.split_once(": [") {
        Some((head, list)) if text.ends_with(']') => (head, list.trim_end_matches(']')),
        _ => return text.lines().map(str::to_owned).collect(),
    };
    let mut faults = vec![head.to_owned()];
    for cause in list.split(", ") {
        let begins = cause.split_once(": ").is_some_and(|(field, _)| {
            !field.is_empty() && !field.contains(' ') && field.chars().next().is_some_and(char::is_lowercase)
        });
        match faults.last_mut() {
            Some(before) if !begins && before != head => before.push_str(&format!(", {cause}")),
            _ => faults.push(cause.to_owned()),
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_no_longer_has_goes_and_what_others_set_stays() {
        let live = json!({"metadata": {"name": "a", "annotations": {"x": "1"}, "managedFields": [
                {"manager": "argocd", "operation": "Apply", "fieldsV1": {"f:spec": {"f:args": {}, "f:image": {}}}},
                {"manager": "longshore-cli", "operation": "Update", "fieldsV1": {"f:spec": {"f:suspend": {}}}}]},
            "spec": {"args": ["a"], "image": "old", "suspend": true}, "status": {"phase": "Failed"}});
        let file = json!({"metadata": {"name": "a", "annotations": {"y": "2"}}, "spec": {"image": "new", "lock": {}}});
        let merged = merged(&live, &file);
        assert_eq!(merged["spec"], json!({"image": "new", "lock": {}, "suspend": true}));
        assert_eq!(merged["metadata"]["annotations"], json!({"x": "1", "y": "2"}));
        assert_eq!(merged["status"], live["status"]);
    }

    #[test]
    fn each_of_several_mistakes_has_a_line() {
        let error = CliError::Refused(
            "DeploymentAction.longshore.dev \"x\" is invalid: [spec.image: Invalid value: \"a\": no tag, so write one, \
             spec.retry.limit: Invalid value: 99: must be less]"
                .into(),
        );
        assert_eq!(
            faults(&error),
            [
                "DeploymentAction.longshore.dev \"x\" is invalid",
                "spec.image: Invalid value: \"a\": no tag, so write one",
                "spec.retry.limit: Invalid value: 99: must be less",
            ]
        );
        assert_eq!(faults(&CliError::Refused("one\ntwo".into())), ["one", "two"]);
    }
}
