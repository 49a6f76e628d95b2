//! The columns of `kubectl get`.

use longshore::api::Reason;
use serde_json::Value;

use super::request::table;
use crate::support::{
    action::Action,
    namespace::{in_namespace, tool},
};

fn kubectl(arguments: &[&str]) -> String {
    let output = tool("kubectl").args(arguments).output().expect("kubectl is in PATH: make -s cluster-env");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn columns(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

#[tokio::test]
async fn the_columns_are_those_promised() {
    in_namespace(async |namespace| {
        let action = namespace.apply("shown", Action::script("echo hello; exit 3")).await;
        let done = action.finished().await;
        let get =
            |more: &[&str]| kubectl(&[&["get", "da", "--namespace", &namespace.name][..], more].concat());
        let plain = get(&[]);
        let lines: Vec<&str> = plain.lines().collect();
        assert_eq!(columns(lines[0]), ["NAME", "PHASE", "REASON", "RUN", "STARTED", "AGE"]);
        assert_eq!(columns(lines[1])[..4], ["shown", "Failed", "ScriptFailed", "1"]);
        let wide = get(&["--output", "wide"]);
        let lines: Vec<&str> = wide.lines().collect();
        assert_eq!(
            columns(lines[0]),
            [
                "NAME", "PHASE", "REASON", "RUN", "STARTED", "AGE", "EXIT", "SECONDS", "IMAGE", "POD",
                "NODE", "MESSAGE"
            ]
        );
        let row = columns(lines[1]);
        assert_eq!(row[6], "3");
        assert_eq!(row[8], done.image().resolved);
        assert_eq!(Some(row[9]), done.run().pod_name.as_deref());
        assert_eq!(Some(row[10]), action.pod().await.spec.unwrap().node_name.as_deref());
        assert!(lines[1].ends_with(done.message()), "{}", lines[1]);
    })
    .await;
}

#[tokio::test]
async fn an_action_without_a_run_has_no_empty_words_in_its_row() {
    in_namespace(async |namespace| {
        let action = namespace.apply("idle", Action::script("echo hello").with("runPolicy", "Manual")).await;
        action.reason(Reason::NotRequested).await;
        let table = table(&namespace.client, &namespace.name).await;
        let name = |column: &Value| column["name"].as_str().unwrap().to_owned();
        let names: Vec<String> = table["columnDefinitions"].as_array().unwrap().iter().map(name).collect();
        assert_eq!(
            names,
            [
                "Name", "Phase", "Reason", "Run", "Started", "Age", "Exit", "Seconds", "Image", "Pod",
                "Node", "Message"
            ]
        );
        let cells = table["rows"][0]["cells"].as_array().unwrap();
        assert_eq!(
            cells[..5],
            [Value::from("idle"), "Idle".into(), "NotRequested".into(), Value::Null, Value::Null]
        );
    })
    .await;
}

#[test]
fn it_has_a_short_name_and_a_category() {
    let resources = kubectl(&["api-resources", "--api-group", "longshore.dev", "--no-headers"]);
    let category = kubectl(&["api-resources", "--categories", "longshore", "--output", "name"]);
    for (name, short, namespaced, kind) in [
        ("deploymentactions", "da", true, "DeploymentAction"),
        ("deploymentactiontemplates", "dat", true, "DeploymentActionTemplate"),
        ("clusterdeploymentactiontemplates", "cdat", false, "ClusterDeploymentActionTemplate"),
    ] {
        let row = resources.lines().map(|line| columns(line).join(" ")).find(|row| row.starts_with(name));
        assert_eq!(row, Some(format!("{name} {short} longshore.dev/v1alpha1 {namespaced} {kind}")));
        assert!(category.lines().any(|line| line == format!("{name}.longshore.dev")), "{category}");
    }
}

#[test]
fn each_field_is_explained() {
    let explained = kubectl(&["explain", "deploymentaction.spec", "--api-version", "longshore.dev/v1alpha1"]);
    for field in ["image", "script", "runToken", "podTemplate"] {
        assert!(explained.contains(&format!("  {field}\t")), "{explained}");
    }
}
