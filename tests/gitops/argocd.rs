//! Argo CD's health script beside the tools: how it is installed. What it says of each state is in
//! `states`.

use serde_json::{Value, json};

use crate::{
    namespace::in_namespace,
    tools::{argocd_by, repository},
};

const KEY: &str = "resource.customizations.health.longshore.dev_DeploymentAction";
const SNIPPET: &str = "gitops/argocd/argocd-cm.yaml";

#[tokio::test]
async fn the_snippet_holds_the_script_and_leaves_the_rest_of_the_config_map_alone() {
    in_namespace(async |namespace| {
        let theirs = json!({"url": "https://argocd.example.com", "resource.compareoptions": "{}"});
        namespace.config_map("argocd-cm", theirs.clone()).await;
        let path = repository(SNIPPET);
        let apply = ["apply", "--server-side", "--field-manager=longshore-health", "--filename"];
        namespace.kubectl(&[&apply[..], &[path.to_str().unwrap()]].concat()).succeeded();
        let merged = namespace.kubectl(&["get", "configmap", "argocd-cm", "--output=json"]).json();
        let mut wanted = theirs;
        let script = std::fs::read_to_string(repository("gitops/argocd/health.lua")).unwrap();
        wanted[KEY] = Value::String(script);
        assert_eq!(merged["data"], wanted);
    })
    .await;
}

#[test]
fn a_script_that_asks_for_more_than_argo_cd_gives_would_fail() {
    let folder = crate::tools::Folder::with(&format!("lua-{}", std::process::id()), &[]);
    for (script, why) in [
        ("return {status = string.lower('Healthy')}", "attempt to index a non-table object(nil)"),
        ("return {status = io.read()}", "attempt to index a non-table object(nil)"),
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
