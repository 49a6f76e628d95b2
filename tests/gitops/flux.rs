//! What Flux's variable substitution does to scripts. That Flux reads an action's state as it should
//! is in `states`: it asks kstatus.

use serde_json::{Value, json};

use crate::{
    action::Action,
    namespace::{in_namespace, setting},
    tools::flux_substitute,
};

fn script(object: &Value) -> &str {
    object["spec"]["script"]["inline"].as_str().expect("a script")
}

fn action(inline: &str) -> Value {
    // Only for its shape: no cluster is asked.
    let image = "registry.example.com/tools:1.0";
    json!({
        "apiVersion": "longshore.dev/v1alpha1",
        "kind": "DeploymentAction",
        "metadata": {"name": "deploy"},
        "spec": {"image": image, "script": {"inline": inline}},
    })
}

#[test]
fn a_script_s_own_variables_in_braces_are_replaced_unless_escaped() {
    for (written, comes_out) in [
        ("echo ${HOST}", "echo orders.example.com"),
        // Nobody gave it a value, so it is gone: the script would deploy nothing, without an error.
        ("echo ${VERSION}", "echo"),
        ("echo ${VERSION:-1.0}", "echo 1.0"),
        ("echo $${VERSION} $${VERSION:-1.0}", "echo ${VERSION} ${VERSION:-1.0}"),
        // Without braces it stays the script's, but for the shell's own process id.
        ("echo $HOST \"$LONGSHORE_OUTPUT\" $(date) $? $1", "echo $HOST \"$LONGSHORE_OUTPUT\" $(date) $? $1"),
        ("echo $$ > pid", "echo $ > pid"),
        ("echo $$$$ > pid", "echo $$ > pid"),
    ] {
        let out = flux_substitute(&action(written), &["HOST=orders.example.com"]).json();
        assert_eq!(script(&out).trim_end(), comes_out, "{written}");
    }
}

#[test]
fn some_of_what_shells_write_in_braces_stops_flux() {
    for written in ["echo ${array[@]}", "echo ${!name}"] {
        let said = flux_substitute(&action(written), &["HOST=orders.example.com"]).failed();
        assert!(said.contains("envsubst error"), "{written}: {said}");
    }
}

#[test]
fn an_action_that_says_so_is_left_alone() {
    let mut wanted = action("echo ${HOST} ${VERSION} ${array[@]}");
    wanted["metadata"]["annotations"] = json!({"kustomize.toolkit.fluxcd.io/substitute": "disabled"});
    let out = flux_substitute(&wanted, &["HOST=orders.example.com"]).json();
    assert_eq!(out, wanted);
}

#[tokio::test]
async fn an_escaped_script_runs_with_its_own_variables() {
    in_namespace(async |namespace| {
        let wanted = Action::script("NAME=world; echo \"hello $${NAME} at ${HOST}\"").object("deploy");
        let out = flux_substitute(&wanted, &["HOST=orders.example.com"]).succeeded();
        setting("KUBECONFIG");
        // As Flux applies.
        let apply = ["apply", "--server-side", "--field-manager=kustomize-controller", "--filename=-"];
        namespace.kubectl_with(&apply, &out).succeeded();
        namespace
            .kubectl(&["wait", "deploymentaction/deploy", "--for=condition=Ready", "--timeout=60s"])
            .succeeded();
        assert_eq!(
            namespace.settled("deploy").await["status"]["log"]["tail"],
            "hello world at orders.example.com\n"
        );
    })
    .await;
}
