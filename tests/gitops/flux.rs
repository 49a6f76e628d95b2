//! Flux: its engine applies actions and waits for them, and what its variable substitution does to
//! scripts. What it makes of each state is in `states`: it asks kstatus.

use serde_json::{Value, json};

use super::tools::{flux_apply, flux_substitute};
use crate::support::{
    action::Action,
    namespace::{Namespace, in_namespace},
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

/// Flux names the namespace of each object.
fn of(namespace: &Namespace, script: &str) -> Value {
    let mut object = Action::script(script).object("deploy");
    object["metadata"]["namespace"] = json!(namespace.name);
    object
}

#[tokio::test]
async fn it_waits_for_the_end_and_after_a_change_for_the_new_one() {
    in_namespace(async |namespace| {
        for (script, action, number) in [
            ("sleep 0.5; echo one", "created", 1),
            ("sleep 0.5; echo one", "unchanged", 1),
            ("sleep 0.5; echo two", "configured", 2),
        ] {
            let applied = flux_apply(&of(namespace, script), "60s");
            assert_eq!((applied.action.as_str(), applied.failure.as_str()), (action, ""));
            let status = &namespace.object("deploy")["status"];
            assert_eq!((&status["phase"], &status["run"]["number"]), (&json!("Succeeded"), &json!(number)));
        }
    })
    .await;
}

#[tokio::test]
async fn it_ends_the_wait_with_a_failure_and_names_the_action() {
    in_namespace(async |namespace| {
        let action = format!("DeploymentAction/{}/deploy", namespace.name);
        let failed = flux_apply(&of(namespace, "exit 3"), "60s").failure;
        assert_eq!(failed, format!("failed early due to stalled resources: [{action} status: 'Failed']"));
        let slow = flux_apply(&of(namespace, "sleep 600"), "3s").failure;
        // Or the request that came too late is what is told.
        assert!(slow.contains("timeout waiting for") || slow.contains("context deadline"), "{slow}");
        assert_ne!(namespace.object("deploy")["status"]["phase"], "Failed");
    })
    .await;
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
        let wanted = of(namespace, "NAME=world; echo \"hello $${NAME} at ${HOST}\"");
        let out = flux_substitute(&wanted, &["HOST=orders.example.com"]).json();
        assert_eq!(flux_apply(&out, "60s").failure, "");
        let action = namespace.settled("deploy").await;
        assert_eq!(action["status"]["log"]["tail"], "hello world at orders.example.com\n");
    })
    .await;
}
