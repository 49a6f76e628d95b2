//! `list`, `describe`, `history`, `outputs` and `locks`.

use std::process::Stdio;

use serde_json::{Value, json};

use super::{longshore, program, until_out};
use crate::support::{
    action::Action,
    namespace::{Namespace, in_namespace},
};

/// The rows of a table, by their first cell.
fn names(table: &str) -> Vec<&str> {
    table.lines().skip(1).filter_map(|row| row.split_whitespace().next()).collect()
}

#[tokio::test]
async fn actions_are_listed_in_each_form_the_latest_activity_first() {
    in_namespace(async |namespace: &Namespace| {
        assert!(longshore(namespace, &["list"]).err(0).contains("no actions in"));
        namespace.apply("first", Action::script("true")).await.finished().await.assert_succeeded();
        namespace.apply("second", Action::script("exit 3")).await.finished().await;
        let table = longshore(namespace, &["list"]).out();
        assert_eq!(names(&table), ["second", "first"], "{table}");
        assert!(
            table.contains("Failed") && table.contains("ScriptFailed") && !table.contains('\u{1b}'),
            "{table}"
        );
        let failed = longshore(namespace, &["list", "--phase", "failed", "-o", "wide"]).out();
        assert_eq!(names(&failed), ["second"], "{failed}");
        assert!(failed.contains("@sha256:"), "{failed}");
        assert_eq!(
            longshore(namespace, &["list", "-o", "name"]).out(),
            "deploymentaction.longshore.dev/second\ndeploymentaction.longshore.dev/first\n"
        );
        let json: Value = serde_json::from_str(&longshore(namespace, &["list", "-o", "json"]).out()).unwrap();
        assert_eq!(json["items"].as_array().unwrap().len(), 2);
        assert_eq!(json["items"][0]["metadata"].get("managedFields"), None);
        let yaml: Value =
            serde_saphyr::from_str(&longshore(namespace, &["list", "-o", "yaml"]).out()).unwrap();
        assert_eq!(yaml, json);
        let path = r#"jsonpath={range .items[*]}{.metadata.name}={.status.run.exitCode}{"\n"}{end}"#;
        let mut lines: Vec<String> =
            longshore(namespace, &["list", "-o", path]).out().lines().map(str::to_owned).collect();
        lines.sort();
        assert_eq!(lines, ["first=0", "second=3"]);
        assert!(longshore(namespace, &["list", "-A"]).out().contains(&namespace.name));
    })
    .await;
}

#[tokio::test]
async fn a_reader_that_goes_away_ends_the_plugin_quietly() {
    in_namespace(async |namespace: &Namespace| {
        namespace.apply("action", Action::script("true")).await.finished().await;
        let mut command = program();
        command.args(["--namespace", &namespace.name, "list", "--watch"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // Nobody reads: the first line that is written has nowhere to go.
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
    })
    .await;
}

#[tokio::test]
async fn a_failed_action_is_described_with_its_cause_and_what_to_do() {
    in_namespace(async |namespace: &Namespace| {
        let script =
            "echo working\necho url=https://example.com >> \"$LONGSHORE_OUTPUT\"\necho broken\nexit 7";
        let action = Action::script(script).outputs(&["url"]);
        namespace.apply("deploy", action).await.finished().await;
        let text = until_out(namespace, &["describe", "deploy"], "broken").await;
        for words in [
            "State:       Failed (ScriptFailed)",
            "What to do:",
            "@sha256:",
            "Run:         1 (",
            "Exit code:   7",
            "  resolve ",
            "  schedule ",
            "  pull ",
            "  run ",
            "url   https://example.com",
            "Scheduled",
            "the script's container started",
            "  broken\n",
        ] {
            assert!(text.contains(words), "{words:?} is not in:\n{text}");
        }
        let short = longshore(namespace, &["describe", "deploy", "--tail", "1"]).out();
        assert!(!short.contains("  working\n"), "{short}");
    })
    .await;
}

#[tokio::test]
async fn an_image_that_cannot_be_pulled_shows_the_pods_events() {
    in_namespace(async |namespace: &Namespace| {
        let image =
            "registry.invalid/tools@sha256:0000000000000000000000000000000000000000000000000000000000000000";
        let action = Action::script("true").image(image);
        namespace.apply("deploy", action).await;
        let text = until_out(namespace, &["describe", "deploy"], "Pulling").await;
        assert!(text.contains("Scheduled"), "{text}");
    })
    .await;
}

#[tokio::test]
async fn a_wrong_name_is_told_with_the_nearest_and_with_the_namespace_that_has_it() {
    in_namespace(async |namespace: &Namespace| {
        namespace.apply("deploy-orders", Action::script("true")).await.finished().await;
        let near = longshore(namespace, &["describe", "deploy-order"]).err(3);
        assert!(near.contains("names like it: deploy-orders"), "{near}");
        let other = namespace.sibling().await;
        let elsewhere = longshore(&other, &["history", "deploy-orders"]).err(3);
        assert!(elsewhere.contains(&namespace.name), "{elsewhere}");
        other.remove().await;
    })
    .await;
}

#[tokio::test]
async fn history_and_outputs_are_those_of_the_status() {
    in_namespace(async |namespace: &Namespace| {
        let script = "echo url=https://example.com >> \"$LONGSHORE_OUTPUT\"\necho token=s3cret-t0ken >> \"$LONGSHORE_OUTPUT\"";
        let outputs = json!([{"name": "url"}, {"name": "token", "sensitive": true}]);
        let handle = namespace.apply("deploy", Action::script(script).with("outputs", outputs)).await;
        handle.finished().await.assert_succeeded();
        let history = longshore(namespace, &["history", "deploy"]).out();
        assert_eq!(names(&history), ["1"], "{history}");
        assert!(history.contains("Succeeded"), "{history}");
        assert_eq!(longshore(namespace, &["outputs", "deploy", "url"]).out(), "https://example.com\n");
        assert_eq!(longshore(namespace, &["outputs", "deploy", "token"]).out(), "s3cret-t0ken\n");
        let table = longshore(namespace, &["outputs"]).out();
        assert!(table.contains("(in the Secret ") && !table.contains("s3cret"), "{table}");
        let missing = longshore(namespace, &["outputs", "deploy", "uri"]).err(3);
        assert!(missing.contains("it has url"), "{missing}");
    })
    .await;
}

#[tokio::test]
async fn who_holds_a_lock_and_who_waits_is_shown_in_order() {
    in_namespace(async |namespace: &Namespace| {
        let locked = |script: &str| Action::script(script).with("lock", json!({"name": "prod"}));
        let holder = namespace.apply("holder", locked("echo x; sleep 600")).await;
        holder.under_way().await;
        namespace.apply("next", locked("true")).await;
        until_out(namespace, &["locks"], "next").await;
        namespace.apply("last", locked("true")).await;
        let table = until_out(namespace, &["locks", "prod"], "last").await;
        let rows: Vec<String> = table
            .lines()
            .skip(1)
            .map(|row| {
                row.split_whitespace().filter(|cell| !cell.ends_with('s')).collect::<Vec<_>>().join(" ")
            })
            .collect();
        assert_eq!(rows.len(), 3, "{table}");
        for (row, words) in rows.iter().zip(["prod held holder 1", "place 1 next 1", "place 2 last 1"]) {
            assert!(row.contains(words), "{row:?} should have {words:?} in:\n{table}");
        }
        longshore(namespace, &["cancel", "holder"]).out();
    })
    .await;
}
