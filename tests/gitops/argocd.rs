//! Argo CD's scripts beside the tools: how they are installed, and what its actions do. What the health
//! script says of each state is in `states`.

use longshore::api::{ANNOTATION_CANCEL, ANNOTATION_RERUN, Reason};
use serde_json::{Value, json};

use super::tools::{argocd_action, argocd_actions, argocd_by, assert_seen, repository};
use crate::support::{
    action::Action,
    namespace::{Namespace, in_namespace},
};

const HEALTH: &str = "resource.customizations.health.longshore.dev_DeploymentAction";
const ACTIONS: &str = "resource.customizations.actions.longshore.dev_DeploymentAction";
const SNIPPET: &str = "gitops/argocd/argocd-cm.yaml";

fn script(name: &str) -> String {
    std::fs::read_to_string(repository(&format!("gitops/argocd/{name}.lua"))).expect("a script")
}

#[tokio::test]
async fn the_snippet_holds_the_scripts_and_leaves_the_rest_of_the_config_map_alone() {
    in_namespace(async |namespace| {
        let theirs = json!({"url": "https://argocd.example.com", "resource.compareoptions": "{}"});
        namespace.config_map("argocd-cm", theirs.clone()).await;
        let path = repository(SNIPPET);
        let apply = ["apply", "--server-side", "--field-manager=longshore-health", "--filename"];
        namespace.kubectl(&[&apply[..], &[path.to_str().unwrap()]].concat()).succeeded();
        let mut merged = namespace.kubectl(&["get", "configmap", "argocd-cm", "--output=json"]).json();
        let merged = merged["data"].as_object_mut().unwrap();
        let actions = merged.remove(ACTIONS).expect("actions");
        let mut wanted = theirs;
        wanted[HEALTH] = Value::String(script("health"));
        assert_eq!(Value::Object(merged.clone()), wanted);
        // As Argo CD reads it (ResourceActions).
        let actions: Value = serde_saphyr::from_str(actions.as_str().unwrap()).expect("YAML");
        let definition = |name: &str| json!({"name": name, "action.lua": script(&format!("actions/{name}"))});
        let wanted = json!({
            "discovery.lua": script("actions/discovery"),
            "definitions": [definition("rerun"), definition("cancel")],
        });
        assert_eq!(actions, wanted);
    })
    .await;
}

/// Chooses an action, which writes one annotation and nothing else. Its text.
fn choose(namespace: &Namespace, name: &str, action: &str, annotation: &str) -> String {
    let object = namespace.object(name);
    let patch = argocd_action(action, &object).json();
    let text = patch["metadata"]["annotations"][annotation].as_str().expect("a text").to_owned();
    assert_eq!(patch, json!({"metadata": {"annotations": {annotation: text}}}));
    let patch = format!("--patch={patch}");
    namespace.kubectl(&["patch", "deploymentaction", name, "--type=merge", &patch]).succeeded();
    text
}

fn offered(cancel: bool) -> Value {
    json!({"rerun": {"disabled": false}, "cancel": {"disabled": !cancel}})
}

#[tokio::test]
async fn its_actions_run_an_action_again_and_cancel_the_run_that_is_under_way() {
    in_namespace(async |namespace| {
        let script = Action::script("echo begun; [ $LONGSHORE_RUN = 1 ] || sleep 600");
        // Lists and maps that are empty, which Lua does not tell apart.
        let script = script.with("args", json!([])).with("resources", json!({"limits": {}}));
        let action = namespace.apply("asked", script).await;
        action.finished().await.assert_succeeded();
        let ended = namespace.object("asked");
        assert_eq!(argocd_actions(&ended), offered(false));
        assert!(argocd_action("cancel", &ended).failed().contains("no run is under way"));

        let token = choose(namespace, "asked", "rerun", ANNOTATION_RERUN);
        assert!(token.starts_with("argocd-2") && token.ends_with('Z'), "{token}");
        action
            .until("the token is handled", |seen| {
                seen.status().last_handled_rerun.as_deref() == Some(token.as_str())
            })
            .await;
        action.reason(Reason::Running).await;
        let running = namespace.object("asked");
        assert_eq!(argocd_actions(&running), offered(true));

        let id = choose(namespace, "asked", "cancel", ANNOTATION_CANCEL);
        assert_eq!(running["status"]["run"]["id"], id);
        let done = action.finished().await;
        assert_eq!((done.reason(), done.run().number), (Some(Reason::Cancelled), 2));
        let (kstatus, argocd) = assert_seen(&namespace.object("asked"), "Failed", "Degraded");
        assert!(kstatus.message.starts_with("Cancelled: "), "{kstatus:?}");
        assert_eq!(kstatus.message, argocd.message);
    })
    .await;
}

#[test]
fn what_nobody_has_seen_yet_can_be_run_again_and_not_cancelled() {
    let object = json!({
        "apiVersion": "longshore.dev/v1alpha1", "kind": "DeploymentAction", "metadata": {"name": "new"},
    });
    assert_eq!(argocd_actions(&object), offered(false));
    let patch = argocd_action("rerun", &object).json();
    assert!(patch["metadata"]["annotations"][ANNOTATION_RERUN].is_string(), "{patch}");
}

#[test]
fn a_script_that_asks_for_more_than_argo_cd_gives_would_fail() {
    let folder = super::tools::Folder::with(&format!("lua-{}", std::process::id()), &[]);
    for (script, why) in [
        ("return {status = string.lower('Healthy')}", "attempt to index a non-table object(nil)"),
        ("return {status = io.read()}", "attempt to index a non-table object(nil)"),
        ("return {status = os.date()}", "attempt to index a non-table object(nil)"),
        ("return {status = require('os').getenv('HOME')}", "attempt to call a non-function object"),
        ("while true do end", "context deadline exceeded"),
        ("return {status = 'Fine'}", "knows no status"),
        ("return 'Healthy'", "not a table"),
    ] {
        let path = folder.0.join("health.lua");
        std::fs::write(&path, script).unwrap();
        let said = argocd_by(&path, &json!({"apiVersion": "v1", "kind": "Pod"})).failed();
        assert!(said.contains(why), "{script}: {said}");
    }
}
