//! What `describe` says.

use serde_json::{Value, json};

use super::*;
use crate::operator::testing::server::{failure, server};

const ACTION: &str = r#"
apiVersion: longshore.dev/v1alpha1
kind: DeploymentAction
metadata:
  {name: deploy, namespace: shop, uid: 5f3c9a1b-1234-4321-8765-123456789abc, creationTimestamp: 2026-01-01T00:00:00Z}
spec:
  templateRef: {name: release}
  retry: {limit: 2}
  lock: {name: prod}
status:
  observedGeneration: 4
  phase: Failed
  image:
    requested: registry.example.com/tools:1
    resolved: registry.example.com/tools@sha256:1111111111111111111111111111111111111111111111111111111111111111
  packages:
    - {name: orders, requested: 1.4.2, resolved: "registry.example.com/orders@sha256:22"}
  template: {kind: DeploymentActionTemplate, name: release, uid: u, generation: 7, sha256: x}
  run:
    number: 3
    id: 5f3c9a1b-3
    generation: 4
    attempt: 2
    trigger: SpecChanged
    requestedBy: {user: alice, claimedOnBehalfOf: Dora}
    specHash: "v2:0"
    podName: deploy-5f3c9a1b-3-2
    podUID: pod-2
    nodeName: node-1
    requestedAt: 2026-01-01T00:00:10Z
    lock: {name: prod, ticket: "1", acquiredAt: 2026-01-01T00:00:12Z, releasedAt: 2026-01-01T00:00:49Z}
    attemptRequestedAt: 2026-01-01T00:00:30Z
    startedAt: 2026-01-01T00:00:36Z
    finishedAt: 2026-01-01T00:00:48Z
    durationSeconds: 11
    exitCode: 3
    attempts:
      - {attempt: 1, reason: ImagePullFailed, podName: deploy-5f3c9a1b-3-1, finishedAt: 2026-01-01T00:00:20Z}
      - {attempt: 2, reason: ScriptFailed, podName: deploy-5f3c9a1b-3-2, nodeName: node-1, exitCode: 3,
         startedAt: 2026-01-01T00:00:36Z, finishedAt: 2026-01-01T00:00:48Z}
  outputs: {url: "https://orders.example.com"}
  outputsSecretRef: {name: deploy-outputs, uid: s, keys: [token]}
  log: {state: Complete, lines: 42, bytes: 100, tail: "one\ntwo\nerror: no such chart\n"}
  history:
    - {number: 3, id: 5f3c9a1b-3, attempts: 2, outcome: Failed, reason: ScriptFailed, trigger: SpecChanged, exitCode: 3,
       startedAt: 2026-01-01T00:00:16Z, finishedAt: 2026-01-01T00:00:48Z, image: "r/t@sha256:111111111111aaaa"}
    - {number: 2, id: 5f3c9a1b-2, attempts: 1, outcome: Succeeded, reason: Succeeded, trigger: Created, exitCode: 0,
       startedAt: 2026-01-01T00:00:02Z, finishedAt: 2026-01-01T00:00:05Z, image: "r/t@sha256:000000000000aaaa"}
  conditions:
    - {type: Ready, status: "False", reason: ScriptFailed, message: "exit code 3: error: no such chart",
       lastTransitionTime: 2026-01-01T00:00:48Z}
    - {type: OutputsDropped, status: "True", reason: OutputsDropped, message: "undeclared: x",
       lastTransitionTime: 2026-01-01T00:00:48Z}
"#;

fn found() -> Found {
    let pod = json!({"metadata": {"name": "deploy-5f3c9a1b-3-2", "creationTimestamp": "2026-01-01T00:00:31Z"},
        "status": {"conditions": [
            {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-01-01T00:00:32Z"}]}});
    let event = |reason: &str, second: u32, kind: &str| {
        json!({"metadata": {}, "involvedObject": {"name": "deploy-5f3c9a1b-3-2"}, "reason": reason, "count": 2,
            "message": "about it", "type": kind, "lastTimestamp": format!("2026-01-01T00:00:{second}Z")})
    };
    Found {
        action: serde_saphyr::from_str(ACTION).unwrap(),
        pod: Some(serde_json::from_value(pod).unwrap()),
        events: [event("Pulled", 35, "Normal"), event("Failed", 33, "Warning")]
            .into_iter()
            .map(|event| serde_json::from_value(event).unwrap())
            .collect(),
        unread: Vec::new(),
    }
}

fn described(found: &Found) -> String {
    text::of(found, 2, "2026-01-01T00:05:48Z".parse().unwrap(), &Terminal::default())
}

#[test]
fn a_failed_run_is_described_from_its_image_to_its_last_lines() {
    insta::assert_snapshot!(described(&found()));
}

#[test]
fn an_action_that_nobody_has_seen_says_what_to_do() {
    let mut found = found();
    found.action.status = None;
    assert!(described(&found).contains("kubectl longshore check"));
}

#[test]
fn texts_of_the_cluster_cannot_act_on_the_terminal() {
    let hostile = "\u{1b}]0;title\u{7}\u{1b}[2J";
    let mut found = found();
    let status = found.action.status.as_mut().unwrap();
    status.outputs.insert(hostile.into(), hostile.into());
    status.log.as_mut().unwrap().tail = format!("{hostile}\n");
    for condition in &mut status.conditions {
        condition.message = hostile.into();
    }
    let run = status.run.as_mut().unwrap();
    run.node_name = Some(hostile.into());
    run.attempts[0].reason = hostile.into();
    found.events[0].message = Some(hostile.into());
    found.unread.push(hostile.into());
    let text = described(&found);
    assert!(!text.chars().any(|character| character.is_control() && character != '\n'), "{text:?}");
    assert!(text.matches(r"\u{1b}]0;title").count() >= 7, "{text}");
}

fn answers(path: &str) -> (u16, Value) {
    if path.ends_with("/deploymentactions/deploy") {
        let action: Value = serde_saphyr::from_str(ACTION).unwrap();
        return (200, action);
    }
    failure(
        403,
        "Forbidden",
        r#"x is forbidden: User "alice" cannot list resource "events" in API group "" in the namespace "shop""#,
    )
}

#[tokio::test]
async fn what_may_not_be_read_is_named_and_the_rest_is_shown() {
    let (client, seen) = server(|request| answers(&request.path));
    let session = Session { client, namespace: "shop".into(), server: String::new() };
    let found = Found::read(&session, "deploy").await.unwrap();
    let text = described(&found);
    assert!(text.contains("kubectl create rolebinding alice-view"), "{text}");
    assert!(text.contains("error: no such chart"), "{text}");
    // The action, its pod, and the events of two attempts' pods and of the one that resolves.
    assert_eq!(seen.lock().unwrap().len(), 5);
}
