//! What the README and `examples/` show, applied as they tell a user to: by kubectl.
//!
//! They have names and namespaces of their own, so they run one after the other, and what they made
//! is removed.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use serde_json::Value;

use crate::support::namespace::{setting, tool};

mod release;
mod worker_tools;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// kubectl's standard output.
fn kubectl(arguments: &[&str]) -> String {
    let output = tool("kubectl").args(arguments).stderr(Stdio::inherit()).output().expect("kubectl in PATH");
    assert!(output.status.success(), "kubectl {}", arguments.join(" "));
    String::from_utf8(output.stdout).expect("kubectl prints text")
}

/// The objects of a file. They are removed even if the test fails.
struct Applied(PathBuf);

impl Drop for Applied {
    fn drop(&mut self) {
        let file = self.0.to_str().expect("a path of text");
        let _ = tool("kubectl")
            .args(["delete", "--ignore-not-found", "--timeout=60s", "-f", file])
            .stdout(Stdio::null())
            .status();
    }
}

/// Removes the objects of a file.
fn remove(file: &Path) {
    setting("KUBECONFIG");
    drop(Applied(file.to_owned()));
}

/// Applies a file, waits for its action's end, and returns the action.
fn run(file: &Path, namespace: &str, name: &str) -> (Applied, Value) {
    let path = file.to_str().expect("a path of text");
    // Leftovers of a demo must not count.
    remove(file);
    kubectl(&["apply", "-f", path]);
    let applied = Applied(file.to_owned());
    let of = format!("--namespace={namespace}");
    let action = format!("deploymentaction/{name}");
    kubectl(&["wait", &action, &of, "--for=condition=Finished", "--timeout=4m"]);
    let action = serde_json::from_str(&kubectl(&["get", &action, &of, "-o", "json"])).expect("JSON");
    (applied, action)
}

fn example(name: &str) -> PathBuf {
    root().join("examples").join(name)
}

fn reason(action: &Value) -> &str {
    let conditions = action["status"]["conditions"].as_array().expect("conditions");
    let ready = conditions.iter().find(|condition| condition["type"] == "Ready").expect("Ready");
    ready["reason"].as_str().expect("a reason")
}

#[test]
fn hello_greets() {
    let (_applied, action) = run(&example("hello.yaml"), "default", "hello");
    assert_eq!(reason(&action), "Succeeded");
    assert!(action["status"]["log"]["tail"].as_str().unwrap().contains("Hello, world"), "{action}");
}

#[test]
fn a_package_is_there_for_the_script() {
    let (_applied, action) = run(&example("package.yaml"), "default", "package");
    assert_eq!(reason(&action), "Succeeded", "{action}");
    assert!(action["status"]["log"]["tail"].as_str().unwrap().contains("PRETTY_NAME"), "{action}");
    assert!(action["status"]["packages"][0]["resolved"].as_str().unwrap().contains("@sha256:"));
}

#[test]
fn python_reports_outputs_and_its_token_is_masked() {
    let (_applied, action) = run(&example("python.yaml"), "default", "python");
    assert_eq!(reason(&action), "Succeeded", "{action}");
    let outputs = &action["status"]["outputs"];
    assert_eq!(outputs["replicas"], "10");
    assert_eq!(outputs["authorization"], "Bearer ***");
    assert_eq!(outputs["report"], "billing\norders\nsearch");
    assert!(!action["status"].to_string().contains("example-token-4711"), "{action}");
}

#[test]
fn a_password_becomes_a_secret() {
    let (_applied, action) = run(&example("sensitive.yaml"), "default", "sensitive");
    assert_eq!(reason(&action), "Succeeded", "{action}");
    let secret = action["status"]["outputsSecretRef"]["name"].as_str().expect("a Secret");
    let password = kubectl(&["get", "secret", secret, "-o", "jsonpath={.data.password}"]);
    // Base64 of 32 characters.
    assert_eq!(password.len(), 44, "{password}");
    assert_eq!(action["status"]["outputs"], serde_json::json!({"user": "admin"}));
    let tail = action["status"]["log"]["tail"].as_str().unwrap();
    assert_eq!(tail, "created the user admin with the password ***\n");
}

#[test]
fn the_failing_script_fails_with_its_own_exit_code() {
    let (_applied, action) = run(&example("failing.yaml"), "default", "failing");
    assert_eq!(reason(&action), "ScriptFailed");
    assert_eq!(action["status"]["run"]["exitCode"], 3);
}

#[test]
fn a_workload_is_deployed_and_its_address_answers() {
    let (_applied, action) = run(&example("deploy-workload.yaml"), "shop", "deploy-workload");
    assert_eq!(reason(&action), "Succeeded", "{action}");
    assert_eq!(action["status"]["outputs"]["url"], "http://storefront.shop.svc.cluster.local:8080/");
    let available = kubectl(&[
        "get",
        "deployment",
        "storefront",
        "-n",
        "shop",
        "-o",
        "jsonpath={.status.availableReplicas}",
    ]);
    assert_eq!(available, "2");
}

#[test]
fn an_action_of_a_template_has_its_values() {
    let (_applied, action) = run(&example("template.yaml"), "default", "greet-ada");
    assert_eq!(reason(&action), "Succeeded", "{action}");
    assert_eq!(action["status"]["outputs"]["greeted"], "Ada");
    assert_eq!(action["status"]["log"]["tail"], "Hello Ada\nHello Ada\n");
}

#[test]
fn of_two_actions_of_a_lock_the_second_waits_for_the_first() {
    let (_applied, second) = run(&example("lock.yaml"), "default", "reindex-orders");
    let first = kubectl(&["get", "deploymentaction/migrate-orders", "-o", "json"]);
    let first: Value = serde_json::from_str(&first).expect("JSON");
    for action in [&first, &second] {
        assert_eq!(reason(action), "Succeeded", "{action}");
    }
    // RFC 3339 in UTC, of one length.
    let time = |action: &Value, field: &str| action["status"]["run"][field].as_str().unwrap().to_owned();
    assert!(time(&first, "finishedAt") <= time(&second, "startedAt"), "{first}\n{second}");
    assert_eq!(first["status"]["log"]["tail"], "Migrating the database of orders\nMigrated\n");
}

#[test]
fn the_readme_s_first_action_does_what_the_readme_says() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let first = readme
        .split("```yaml\n")
        .skip(1)
        .filter_map(|block| block.split("```").next())
        .find(|block| block.contains("kind: DeploymentAction"))
        .expect("the README has an action");
    let file = std::env::temp_dir().join(format!("longshore-first-{}.yaml", std::process::id()));
    std::fs::write(&file, first).unwrap();
    let (_applied, action) = run(&file, "default", "first");
    assert_eq!(reason(&action), "Succeeded", "{action}");
    assert_eq!(action["status"]["outputs"]["url"], "https://orders.example.com/1.4.2");
}
