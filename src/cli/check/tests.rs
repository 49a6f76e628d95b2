//! What `check` says.

use serde_json::{Value, json};

use super::*;
use crate::{
    api::{DeploymentAction, policy},
    cli::error::NOT_INSTALLED,
    operator::testing::server::{Seen, failure, server},
};

const FORBID: &str = r#"deployments.apps is forbidden: User "alice" cannot list resource "deployments" in API group "apps" at the cluster scope"#;

/// A cluster in which alice may do what `may` says.
fn answer(request: &Seen, installed: bool, may: fn(verb: &str, resource: &str) -> bool) -> (u16, Value) {
    let path = request.path.as_str();
    let kind = |names: &[&str]| {
        let resources: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
        (200, json!({"kind": "APIResourceList", "resources": resources}))
    };
    if path.ends_with("/selfsubjectreviews") {
        return (201, json!({"status": {"userInfo": {"username": "alice"}}}));
    }
    if path.ends_with("/selfsubjectaccessreviews") {
        let asked = &request.body["spec"]["resourceAttributes"];
        let word = |field: &str| asked[field].as_str().unwrap_or_default();
        return (201, json!({"spec": {}, "status": {"allowed": may(word("verb"), word("resource"))}}));
    }
    if path == "/apis/longshore.dev/v1alpha1" && installed {
        return kind(&[
            "deploymentactions",
            "deploymentactiontemplates",
            "clusterdeploymentactiontemplates",
            "actionpolicies",
        ]);
    }
    if path == "/apis/apps/v1/deployments" && may("list", "deployments") {
        let item = json!({"metadata": {"name": "longshore", "namespace": "longshore-system",
            "labels": {"app.kubernetes.io/version": installation::VERSION}},
            "spec": {"selector": {}, "template": {}}, "status": {"readyReplicas": 1}});
        return (200, json!({"metadata": {}, "items": [item]}));
    }
    if let Some((_, name)) = path.split_once("/validatingadmissionpolicies/") {
        let spec = policy::use_policies().into_iter().find(|(of, _)| *of == name).unwrap().1;
        return (200, json!({"metadata": {"name": name}, "spec": spec}));
    }
    if let Some((_, name)) = path.split_once("/validatingadmissionpolicybindings/") {
        return (200, json!({"metadata": {"name": name}, "spec": policy::binding(name)}));
    }
    if path.starts_with("/apis/apps/") {
        return failure(403, "Forbidden", FORBID);
    }
    if path.ends_with("/deploymentactions") {
        return (200, json!({"metadata": {}, "items": []}));
    }
    failure(404, "NotFound", "404 page not found")
}

async fn checked(installed: bool, may: fn(&str, &str) -> bool) -> (String, u8) {
    let (client, _) = server(move |request| answer(request, installed, may));
    let session = Session { client, namespace: "shop".into(), server: String::new() };
    let user = rights::user(&session).await.unwrap();
    let mut findings = installation::findings(&session).await.unwrap();
    findings.extend(rights::findings(&session, &user).await.unwrap());
    let text = text(&findings, &user, "shop", &Terminal::default());
    let code = match (Check { filename: Vec::new(), output: None }).run(&session).await {
        Ok(()) => 0,
        Err(error) => error.code(),
    };
    (text, code)
}

#[tokio::test]
async fn who_may_do_everything_reads_that_all_is_well() {
    let (text, code) = checked(true, |_, _| true).await;
    assert_eq!(code, 0);
    insta::assert_snapshot!(text.replace(installation::VERSION, "VERSION"));
}

#[tokio::test]
async fn who_may_only_read_learns_who_has_to_grant_what() {
    let (text, code) =
        checked(true, |verb, resource| verb != "create" && verb != "patch" && resource != "deployments")
            .await;
    assert_eq!(code, FORBIDDEN);
    insta::assert_snapshot!(text);
}

#[tokio::test]
async fn without_longshore_the_first_step_is_to_install_it() {
    let (text, code) = checked(false, |_, _| true).await;
    assert_eq!(code, NOT_INSTALLED);
    assert!(text.contains("helm upgrade --install longshore"), "{text}");
}

#[test]
fn an_operator_that_may_not_be_seen_is_judged_by_its_work() {
    let action = |seen: i64, written: &str| -> DeploymentAction {
        serde_json::from_value(json!({"apiVersion": "longshore.dev/v1alpha1", "kind": "DeploymentAction",
            "metadata": {"name": "deploy", "generation": 2, "creationTimestamp": "2026-01-01T00:00:00Z",
                "managedFields": [{"manager": "kubectl", "operation": "Update", "time": written},
                    {"manager": "longshore", "operation": "Update", "subresource": "status",
                     "time": "2026-01-01T09:00:00Z"}]},
            "spec": {}, "status": {"observedGeneration": seen}}))
        .unwrap()
    };
    let now = "2026-01-01T01:00:00Z".parse().unwrap();
    let verdict = |actions: &[DeploymentAction]| installation::judged(actions, "shop", now).verdict;
    assert_eq!(verdict(&[]), Verdict::Unknown);
    assert_eq!(verdict(&[action(2, "2026-01-01T00:30:00Z")]), Verdict::Ok);
    assert_eq!(verdict(&[action(1, "2026-01-01T00:59:30Z")]), Verdict::Ok);
    assert_eq!(verdict(&[action(1, "2026-01-01T00:30:00Z")]), Verdict::Bad);
}
