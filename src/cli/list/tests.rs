//! What `list` prints, and what it asks the API server for.

use clap::Parser;
use serde_json::json;

use super::*;
use crate::{
    api::crd,
    operator::testing::server::{failure, server},
};

#[derive(Parser)]
struct Alone {
    #[command(flatten)]
    list: List,
}

fn parsed(flags: &[&str]) -> List {
    Alone::parse_from(["list"].iter().chain(flags)).list
}

fn action(name: &str, phase: &str, second: u32, run: Option<&Value>) -> Value {
    let time = format!("2026-01-01T00:00:{second:02}Z");
    json!({"apiVersion": "longshore.dev/v1alpha1", "kind": "DeploymentAction",
        "metadata": {"name": name, "namespace": "shop", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {}, "status": {"phase": phase, "run": run, "conditions": [{"type": "Ready", "status": "False",
            "reason": "Because", "message": "it\nis so", "lastTransitionTime": time}]}})
}

fn run(number: u32) -> Value {
    json!({"number": number, "id": "x-1", "generation": 1, "attempt": 1, "trigger": "Created", "specHash": "",
        "startedAt": "2026-01-01T00:00:01Z", "exitCode": 3, "durationSeconds": 7, "podName": "p", "nodeName": "n"})
}

fn table(list: &List, actions: Vec<Value>) -> String {
    let mut rows: Vec<Summary> = actions
        .into_iter()
        .map(|action| Summary::of(&serde_json::from_value::<DeploymentAction>(action).unwrap()))
        .collect();
    sort(&mut rows);
    list.table(&rows, "2026-01-01T00:10:01Z".parse().unwrap()).text(&Terminal::default(), "", true)
}

#[test]
fn the_latest_activity_is_first() {
    let actions = || {
        vec![
            action("old", "Succeeded", 1, Some(&run(12))),
            action("new", "Running", 9, Some(&run(1))),
            action("fresh", "Pending", 5, None),
        ]
    };
    insta::assert_snapshot!(table(&parsed(&[]), actions()), @r"
    NAME    PHASE       REASON    RUN   STARTED   AGE
    new     Running     Because   1     10m       10m
    fresh   Pending     Because                   10m
    old     Succeeded   Because   12    10m       10m
    ");
    insta::assert_snapshot!(table(&parsed(&["-A", "-o", "wide"]), actions()), @r"
    NAMESPACE   NAME    PHASE       REASON    RUN   STARTED   AGE   EXIT   SECONDS   IMAGE   POD   NODE   MESSAGE
    shop        new     Running     Because   1     10m       10m   3      7                 p     n      it\nis so
    shop        fresh   Pending     Because                   10m                                         it\nis so
    shop        old     Succeeded   Because   12    10m       10m   3      7                 p     n      it\nis so
    ");
}

#[test]
fn an_action_of_another_version_is_listed_too() {
    let mut other = action("other", "Running", 1, Some(&run(1)));
    other["status"]["run"]["trigger"] = "Moon".into();
    let row = summary(serde_json::from_value(other).unwrap());
    assert_eq!((row.name.as_str(), row.reason.as_str()), ("other", "(not readable)"));
    assert!(row.message.contains("update the plugin"), "{}", row.message);
}

#[tokio::test]
async fn an_action_of_another_version_does_not_hide_the_others() {
    let (client, seen) = server(|_| {
        let mut other = action("other", "Running", 1, Some(&run(1)));
        other["status"]["run"]["trigger"] = "Moon".into();
        let items = [action("known", "Failed", 1, None), other];
        (
            200,
            json!({"kind": "DeploymentActionList", "apiVersion": "longshore.dev/v1alpha1",
            "metadata": {}, "items": items}),
        )
    });
    let session = Session { client, namespace: "shop".into(), server: String::new() };
    parsed(&[]).run(&session).await.unwrap();
    assert_eq!(seen.lock().unwrap().len(), 2);
}

#[test]
fn the_columns_are_those_of_kubectl_get() {
    let definition = serde_json::to_value(crd::deployment_action().unwrap()).unwrap();
    let printed = definition["spec"]["versions"][0]["additionalPrinterColumns"].as_array().unwrap();
    let named = |wide: bool| -> Vec<String> {
        let shown = |column: &&Value| wide || column["priority"].as_i64().unwrap_or(0) == 0;
        let name = |column: &Value| column["name"].as_str().unwrap().to_uppercase();
        std::iter::once("NAME".to_owned()).chain(printed.iter().filter(shown).map(name)).collect()
    };
    assert_eq!(columns(false, false), named(false));
    assert_eq!(columns(false, true), named(true));
}

#[test]
fn a_phase_is_written_in_any_case_and_a_wrong_one_is_refused() {
    assert_eq!(parsed(&["--phase", "running,Failed"]).phase, [Phase::Running, Phase::Failed]);
    assert!(phase("Done").unwrap_err().contains("write one of Pending, "));
}

#[tokio::test]
async fn many_actions_come_in_pages_and_a_single_phase_is_asked_of_the_server() {
    let (client, seen) = server(|request| {
        let (more, name) = if request.query.contains("continue=next") { ("", "b") } else { ("next", "a") };
        let items = [action(name, "Failed", 1, None)];
        (
            200,
            json!({"kind": "DeploymentActionList", "apiVersion": "longshore.dev/v1alpha1",
            "metadata": {"continue": more}, "items": items}),
        )
    });
    let session = Session { client, namespace: "shop".into(), server: String::new() };
    parsed(&["--phase", "failed", "-l", "a=b", "-o", "name"]).run(&session).await.unwrap();
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 2);
    for request in seen.iter() {
        assert_eq!(request.path, "/apis/longshore.dev/v1alpha1/namespaces/shop/deploymentactions");
        for part in ["limit=500", "labelSelector=a%3Db", "fieldSelector=status.phase%3DFailed"] {
            assert!(request.query.contains(part), "{}", request.query);
        }
    }
}

#[tokio::test]
async fn what_is_wrong_is_told_with_an_exit_code() {
    for (code, message, exit) in [
        (404, "404 page not found", super::super::error::NOT_INSTALLED),
        (
            403,
            r#"deploymentactions.longshore.dev is forbidden: User "a" cannot list resource "deploymentactions" in API group "longshore.dev" in the namespace "shop""#,
            super::super::error::FORBIDDEN,
        ),
        (401, "Unauthorized", super::super::error::FORBIDDEN),
    ] {
        for flags in [&[][..], &["--watch"]] {
            let (client, _) = server(move |_| failure(code, "", message));
            let session = Session { client, namespace: "shop".into(), server: String::new() };
            let error = parsed(flags).run(&session).await.unwrap_err();
            assert_eq!(error.code(), exit, "{error}");
        }
    }
}
