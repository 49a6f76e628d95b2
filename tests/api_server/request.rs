//! Requests as `kubectl apply` sends them, which the client's typed calls cannot.

use kube::{Client, api::Request};
use serde_json::{Value, json};

use crate::support::{
    action::Action,
    namespace::{client, examples_image},
};

/// What happens to fields that nobody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// Refused: what `kubectl` asks for.
    Refused,
    /// Dropped: what most other clients get.
    Dropped,
}

/// A spec to which a case adds what it is about.
pub(crate) fn spec() -> Value {
    json!({"image": examples_image(), "script": {"inline": "echo hello"}})
}

/// `spec` with `changes`; null removes a field.
pub(crate) fn with(changes: &Value) -> Value {
    let mut spec = spec();
    for (field, value) in changes.as_object().expect("fields") {
        match value {
            Value::Null => spec.as_object_mut().expect("fields").remove(field).map_or((), drop),
            value => spec[field] = value.clone(),
        }
    }
    spec
}

pub(crate) fn object(name: &str, spec: &Value) -> Value {
    let mut object = Action::command(&[]).object(name);
    object["spec"] = spec.clone();
    object
}

/// Asks whether the API server would create it: no operator ever sees it.
pub(crate) async fn would_create(object: &Value, unknown: Unknown) -> Result<Value, String> {
    would_create_at("namespaces/default/deploymentactions", object, unknown).await
}

/// The same of another resource, by its path in the API group.
pub(crate) async fn would_create_at(path: &str, object: &Value, unknown: Unknown) -> Result<Value, String> {
    would_create_below("/apis/longshore.dev/v1alpha1", path, object, unknown).await
}

/// The same of another API group, by its path.
pub(crate) async fn would_create_below(
    group: &str,
    path: &str,
    object: &Value,
    unknown: Unknown,
) -> Result<Value, String> {
    let client = client().await;
    let mut request = Request::new(format!("{group}/{path}"))
        .create(&kube::api::PostParams::default(), object.to_string().into_bytes())
        .expect("a request");
    let validation = if unknown == Unknown::Refused { "Strict" } else { "Ignore" };
    let uri = format!("{group}/{path}?dryRun=All&fieldValidation={validation}");
    *request.uri_mut() = uri.parse().expect("a URI");
    match client.request::<Value>(request).await {
        Ok(created) => Ok(created),
        Err(kube::Error::Api(status)) => Err(status.message),
        Err(other) => panic!("the API server did not answer: {other}"),
    }
}

/// A list as the API server prints it for `kubectl get`.
pub(crate) async fn table(client: &Client, namespace: &str) -> Value {
    let path = format!("/apis/longshore.dev/v1alpha1/namespaces/{namespace}/deploymentactions");
    let mut request = Request::new(path).list(&kube::api::ListParams::default()).expect("a request");
    let kind = "application/json;as=Table;v=v1;g=meta.k8s.io";
    request.headers_mut().insert("accept", kind.parse().expect("a header"));
    client.request(request).await.expect("a table")
}
