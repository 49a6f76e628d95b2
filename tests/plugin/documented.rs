//! The commands of `docs/reference/plugin.md` work as they stand, by kubectl's own way to its plugins.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use longshore::api::DeploymentActionTemplate;
use serde_json::json;

use super::program;
use crate::support::{
    action::Action,
    namespace::{Namespace, examples_image, in_namespace, setting, tool, until},
};

/// The lines of the page that a reader would copy.
fn commands() -> Vec<String> {
    let page =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/plugin.md")).unwrap();
    page.lines()
        .filter_map(|line| line.strip_prefix("    "))
        .filter(|line| {
            ["kubectl longshore ", "printf ", "chmod "].iter().any(|begin| line.starts_with(begin))
        })
        .map(str::to_owned)
        .collect()
}

/// Runs a line as a shell of a person in this folder would.
fn shell(folder: &Path, line: &str) -> Output {
    let program = Path::new(program().get_program()).to_owned();
    let own = folder.join(".local/bin");
    let rest = std::env::var("PATH").unwrap();
    let path = format!("{}:{}:{rest}", program.parent().unwrap().display(), own.display());
    let line = if line.contains("--watch") || line.contains("longshore ui") {
        // It goes on until it is ended.
        format!("timeout 3 {line}; test $? -eq 124")
    } else {
        line.to_owned()
    };
    Command::new("bash")
        .args(["-c", &line])
        .current_dir(folder)
        .env("PATH", path)
        .env("HOME", folder)
        .env("KUBECONFIG", folder.join("kubeconfig"))
        .output()
        .unwrap()
}

#[tokio::test]
async fn the_commands_on_the_plugin_s_page_work() {
    in_namespace(async |namespace: &Namespace| {
        let folder = std::env::temp_dir().join(&namespace.name);
        fs::create_dir_all(folder.join(".local/bin")).unwrap();
        fs::copy(setting("KUBECONFIG"), folder.join("kubeconfig")).unwrap();
        let own = folder.join("kubeconfig").display().to_string();
        let set = tool("kubectl")
            .args([
                "--kubeconfig",
                &own,
                "config",
                "set-context",
                "--current",
                "--namespace",
                &namespace.name,
            ])
            .output()
            .unwrap();
        assert!(set.status.success(), "{set:?}");
        let script = "echo url=https://example.com >> \"$LONGSHORE_OUTPUT\"; sleep 8";
        let action = Action::script(script).outputs(&["url"]);
        fs::write(folder.join("action.yaml"), action.clone().object("deploy-orders").to_string()).unwrap();
        namespace
            .put::<DeploymentActionTemplate>(json!({"metadata": {"name": "deploy-service"},
                "spec": {"image": examples_image(), "script": {"inline": "true"},
                    "parameters": [{"name": "SERVICE", "required": true}]}}))
            .await;
        namespace.apply("deploy-orders", action).await.finished().await.assert_succeeded();
        let commands = commands();
        assert!(commands.len() >= 20, "are they still found? {commands:?}");
        for line in commands {
            // What was asked for a moment ago may not have begun.
            until(&line, async || {
                let output = shell(&folder, &line);
                if !output.status.success() {
                    eprintln!("{line}: {}", String::from_utf8_lossy(&output.stderr));
                }
                output.status.success().then_some(())
            })
            .await;
        }
        // By now kubectl finds the program that completes.
        let completed = shell(&folder, "kubectl __complete longshore describe deploy-o");
        let offered = String::from_utf8(completed.stdout).unwrap();
        assert!(offered.starts_with("deploy-orders\n"), "{offered}");
        fs::remove_dir_all(&folder).unwrap();
    })
    .await;
}
