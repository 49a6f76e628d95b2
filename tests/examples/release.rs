//! docs/learn/releases.md: a maintainer's template, and releases by somebody who may only use it.

use std::{
    process::{Command, Output},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{Applied, example, kubectl, reason, remove, root};
use crate::support::namespace::tool;

const NAMESPACE: &str = "orders";

/// kubectl as this user, who may be refused.
fn as_user(user: &str, arguments: &[&str]) -> Output {
    tool("kubectl").args(["--as", user]).args(arguments).output().expect("kubectl in PATH")
}

fn must(user: &str, arguments: &[&str]) -> String {
    let output = as_user(user, arguments);
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{user}: kubectl {}: {words}", arguments.join(" "));
    String::from_utf8(output.stdout).expect("text")
}

/// What kubectl says where it refuses; each of the words is in it.
fn refused(user: &str, arguments: &[&str], words: &[&str]) {
    let output = as_user(user, arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{user} may kubectl {}", arguments.join(" "));
    for word in words {
        assert!(said.contains(word), "{word:?} is not in: {said}");
    }
}

fn path(name: &str) -> String {
    example("release").join(name).to_str().expect("text").to_owned()
}

fn action() -> Value {
    let text = must("ravi", &["get", "deploymentaction/orders", "-n", NAMESPACE, "-o", "json"]);
    serde_json::from_str(&text).expect("JSON")
}

/// Ravi changes his action, and waits for the run that comes of it.
fn release(change: &Value) -> Value {
    let before = action()["status"]["run"]["number"].as_u64().expect("a run");
    let patch = json!({"spec": change}).to_string();
    must("ravi", &["patch", "deploymentaction/orders", "-n", NAMESPACE, "--type", "merge", "-p", &patch]);
    let latest = Instant::now() + Duration::from_mins(3);
    loop {
        let action = action();
        let conditions = action["status"]["conditions"].as_array().expect("conditions");
        let finished = conditions.iter().any(|of| of["type"] == "Finished" && of["status"] == "True");
        if finished && action["status"]["run"]["number"].as_u64() > Some(before) {
            return action;
        }
        assert!(Instant::now() < latest, "{patch} does not end: {action}");
        std::thread::sleep(Duration::from_millis(300));
    }
}

fn of_version(version: &str) -> Value {
    json!({"packages": [{"name": "chart", "version": version}]})
}

/// Which version answers, by the label of the pods that are ready.
fn served() -> String {
    kubectl(&[
        "get",
        "deployment",
        "orders",
        "-n",
        NAMESPACE,
        "-o",
        "jsonpath={.metadata.labels.version} {.status.readyReplicas}",
    ])
}

fn message(action: &Value) -> &str {
    let conditions = action["status"]["conditions"].as_array().expect("conditions");
    let ready = conditions.iter().find(|of| of["type"] == "Ready").expect("Ready");
    ready["message"].as_str().expect("a message")
}

#[test]
fn the_maintainer_decides_how_and_the_release_creator_what() {
    let platform = path("platform.yaml");
    remove(platform.as_ref());
    kubectl(&["apply", "-f", &platform]);
    let _platform = Applied((&platform).into());
    let pushed = Command::new(path("push-charts.sh")).output().expect("push-charts.sh starts");
    assert!(pushed.status.success(), "{}", String::from_utf8_lossy(&pushed.stderr));

    let (template, first) = (path("template.yaml"), path("release.yaml"));
    refused("ravi", &["apply", "-f", &template], &["cannot create resource", "deploymentactiontemplates"]);
    must("mara", &["apply", "-f", &template]);
    let stranger = std::fs::read_to_string(&template).unwrap().replace("orders-deployer", "default");
    let file = std::env::temp_dir().join(format!("longshore-template-{}.yaml", std::process::id()));
    std::fs::write(&file, stranger).unwrap();
    refused("mara", &["apply", "-f", file.to_str().unwrap()], &["mara", "serviceaccounts/default"]);
    std::fs::remove_file(&file).unwrap();
    refused("sven", &["apply", "-f", &first], &["cannot"]);

    // First release.
    must("ravi", &["apply", "-f", &first]);
    must(
        "ravi",
        &["wait", "deploymentaction/orders", "-n", NAMESPACE, "--for=condition=Finished", "--timeout=3m"],
    );
    let one = action();
    assert_eq!(reason(&one), "Succeeded", "{one}");
    assert_eq!(one["status"]["outputs"], json!({"revision": "1", "version": "1.0.0"}));
    assert_eq!(one["status"]["template"]["generation"], 1);
    let digest = |action: &Value| action["status"]["packages"][0]["resolved"].as_str().unwrap().to_owned();
    assert_eq!(served(), "1.0.0 1");

    // Upgrade, and back.
    let two = release(&of_version("1.1.0"));
    assert_eq!(
        (&two["status"]["outputs"]["version"], served().as_str()),
        (&"1.1.0".into(), "1.1.0 1"),
        "{two}"
    );
    let three = release(&of_version("1.0.0"));
    assert_eq!(
        (&three["status"]["outputs"]["revision"], served().as_str()),
        (&"3".into(), "1.0.0 1"),
        "{three}"
    );
    assert_eq!(digest(&three), digest(&one));
    assert_ne!(digest(&two), digest(&one));

    // One that fails: what was there stays.
    let four = release(&of_version("1.2.0"));
    assert_eq!(reason(&four), "ScriptFailed", "{four}");
    assert_eq!(served(), "1.0.0 1");

    // A choice that he may not make ends before anything starts.
    let pods =
        || kubectl(&["get", "pods", "-n", NAMESPACE, "-l", "longshore.dev/action=orders", "-o", "name"]);
    let before = pods();
    let other = release(&of_version("2.0.0"));
    assert!(message(&other).contains("1.x"), "{}", message(&other));
    let larger = release(
        &json!({"packages": [{"name": "chart", "version": "1.0.0"}], "parameters": [{"name": "REPLICAS", "value": "50"}]}),
    );
    assert!(message(&larger).contains("REPLICAS"), "{}", message(&larger));
    assert_eq!(pods(), before, "something was started");
    for (field, value) in [
        ("image", json!("r/x:1")),
        ("serviceAccountName", json!("orders-deployer")),
        ("script", json!({"inline": "id"})),
    ] {
        let patch = json!({"spec": {field: value}}).to_string();
        refused(
            "ravi",
            &["patch", "deploymentaction/orders", "-n", NAMESPACE, "--type", "merge", "-p", &patch],
            &[field, "template"],
        );
    }
    let own = json!({
        "apiVersion": "longshore.dev/v1alpha1", "kind": "DeploymentAction",
        "metadata": {"name": "own", "namespace": NAMESPACE},
        "spec": {"image": "r/x:1", "serviceAccountName": "orders-deployer", "script": {"inline": "id"}},
    });
    let file = std::env::temp_dir().join(format!("longshore-own-{}.json", std::process::id()));
    std::fs::write(&file, own.to_string()).unwrap();
    refused("ravi", &["apply", "-f", file.to_str().unwrap()], &["ravi", "serviceaccounts/orders-deployer"]);
    std::fs::remove_file(&file).unwrap();
}

#[test]
fn the_page_and_the_files_say_the_same() {
    let page = std::fs::read_to_string(root().join("docs/learn/releases.md")).unwrap();
    let template = std::fs::read_to_string(example("release").join("template.yaml")).unwrap();
    assert!(template.contains("versions: 1.x") && page.contains("`1.x`"));
    assert!(template.contains("maximum: 5") && page.contains("from 1 to 5"));
    let image = format!("/worker-tools:{}", super::worker_tools::lock().0);
    assert_eq!(template.matches(&image).count(), 2, "make worker-tools-update writes the tag");
}
