//! Each state that an action can be in, brought about, and what kstatus and Argo CD make of it.

use std::time::Instant;

use longshore::api::Reason;
use serde_json::json;

use super::tools::{assert_seen, kstatus};
use crate::support::{
    action::{Action, from_secret},
    namespace::{BOUND, Namespace, PATIENCE, in_namespace, setting},
};

/// Looks at an action as often as it can until kstatus says Current: before, neither tool may say anything
/// but that it is under way. The runs that were seen.
fn runs_until_current(namespace: &Namespace, name: &str) -> Vec<Option<u64>> {
    let begun = Instant::now();
    let mut runs = Vec::new();
    loop {
        assert!(begun.elapsed() < BOUND * PATIENCE, "{name} is still under way");
        let object = namespace.object(name);
        let run = object["status"]["run"]["number"].as_u64();
        if runs.last() != Some(&run) {
            runs.push(run);
        }
        if kstatus(&object).status == "Current" {
            assert_seen(&object, "Current", "Healthy");
            return runs;
        }
        assert_seen(&object, "InProgress", "Progressing");
    }
}

#[tokio::test]
async fn not_seen_yet() {
    in_namespace(async |namespace| {
        // What the API server answers to the creation is what everybody sees until the operator writes.
        let object = Action::script("echo hello").object("new").to_string();
        let created = namespace.kubectl_with(&["create", "--filename=-", "--output=json"], &object).json();
        assert_eq!(created["status"], json!({"observedGeneration": -1, "phase": "Pending"}));
        let (_, argocd) = assert_seen(&created, "InProgress", "Progressing");
        assert_eq!(argocd.message, "Longshore has not seen this version of the action yet");
    })
    .await;
}

#[tokio::test]
async fn pending_and_then_failed_for_it() {
    in_namespace(async |namespace| {
        let wanted = Action::script("echo $TOKEN")
            .with("variables", [from_secret("TOKEN", "missing", "token")])
            .with("pendingDeadlineSeconds", 12);
        let action = namespace.apply("pending", wanted).await;
        action.reason(Reason::SecretMissing).await;
        let object = namespace.object("pending");
        assert_eq!(object["status"]["phase"], "Launching");
        let (_, argocd) = assert_seen(&object, "InProgress", "Progressing");
        assert!(
            argocd.message.starts_with("SecretMissing: ") && argocd.message.contains("missing"),
            "{argocd:?}"
        );
        action.finished().await;
        let (kstatus, _) = assert_seen(&namespace.object("pending"), "Failed", "Degraded");
        assert!(kstatus.message.starts_with("SecretMissing: "), "{kstatus:?}");
    })
    .await;
}

#[tokio::test]
async fn running() {
    in_namespace(async |namespace| {
        let action = namespace.apply("running", Action::script("sleep 600")).await;
        action.reason(Reason::Running).await;
        let (_, argocd) = assert_seen(&namespace.object("running"), "InProgress", "Progressing");
        assert_eq!(argocd.message, "Running: the script is running");
    })
    .await;
}

#[tokio::test]
async fn queued() {
    in_namespace(async |namespace| {
        let locked = |script: &str| Action::script(script).with("lock", json!({"name": "prod"}));
        namespace.apply("holder", locked("echo begun; sleep 600")).await.under_way().await;
        let action = namespace.apply("queued", locked("echo hello")).await;
        action.reason(Reason::Queued).await;
        let (_, argocd) = assert_seen(&namespace.object("queued"), "InProgress", "Progressing");
        assert!(argocd.message.starts_with("Queued: waits for lock prod: holder (run"), "{argocd:?}");
    })
    .await;
}

#[tokio::test]
async fn succeeded() {
    in_namespace(async |namespace| {
        namespace.run(Action::script("echo hello")).await.assert_succeeded();
        let (_, argocd) = assert_seen(&namespace.object("action"), "Current", "Healthy");
        assert!(argocd.message.starts_with("Succeeded"), "{argocd:?}");
    })
    .await;
}

#[tokio::test]
async fn failed_with_the_message_that_has_the_log_s_end() {
    in_namespace(async |namespace| {
        namespace.run(Action::script("echo one; echo two; exit 3")).await;
        let (kstatus, argocd) = assert_seen(&namespace.object("action"), "Failed", "Degraded");
        assert_eq!(kstatus.message, argocd.message);
        let message = kstatus.message;
        assert!(message.starts_with("ScriptFailed: ") && message.ends_with("; log: one | two"), "{message}");
    })
    .await;
}

#[tokio::test]
async fn failed_for_an_image_tag_that_does_not_exist() {
    in_namespace(async |namespace| {
        let image = format!("{}/examples:no-such-tag", setting("LONGSHORE_REGISTRY"));
        let done = namespace.run(Action::script("echo hello").image(&image)).await;
        assert_eq!(done.reason(), Some(Reason::ImageNotFound));
        let (kstatus, argocd) = assert_seen(&namespace.object("action"), "Failed", "Degraded");
        assert!(kstatus.message.starts_with("ImageNotFound: "), "{kstatus:?}");
        assert_eq!(kstatus.message, argocd.message);
    })
    .await;
}

#[tokio::test]
async fn manual_and_never_asked_is_as_it_should_be() {
    in_namespace(async |namespace| {
        let action = namespace.apply("manual", Action::script("sleep 1").with("runPolicy", "Manual")).await;
        action.reason(Reason::NotRequested).await;
        let (_, argocd) = assert_seen(&namespace.object("manual"), "Current", "Healthy");
        assert!(argocd.message.starts_with("NotRequested: "), "{argocd:?}");
        // Asked, it is like any other.
        action.patch_spec(json!({"runToken": "now"})).await;
        assert_eq!(runs_until_current(namespace, "manual").last(), Some(&Some(1)));
    })
    .await;
}

#[tokio::test]
async fn suspended_before_its_run() {
    in_namespace(async |namespace| {
        let action = namespace.apply("suspended", Action::script("echo hello").with("suspend", true)).await;
        action.reason(Reason::Suspended).await;
        let (_, argocd) = assert_seen(&namespace.object("suspended"), "InProgress", "Suspended");
        assert!(argocd.message.starts_with("Suspended: "), "{argocd:?}");
        action.patch_spec(json!({"suspend": false})).await;
        assert_eq!(runs_until_current(namespace, "suspended").last(), Some(&Some(1)));
    })
    .await;
}

#[tokio::test]
async fn waiting_for_its_next_attempt() {
    in_namespace(async |namespace| {
        let retry =
            json!({"limit": 1, "causes": ["ScriptFailed"], "backoffSeconds": 600, "maxBackoffSeconds": 600});
        let action = namespace.apply("retrying", Action::script("exit 3").with("retry", retry)).await;
        action.reason(Reason::RetryPending).await;
        assert_seen(&namespace.object("retrying"), "InProgress", "Progressing");
    })
    .await;
}

#[tokio::test]
async fn changed_after_its_end_and_not_seen_yet() {
    in_namespace(async |namespace| {
        for (script, in_kstatus, in_argocd) in
            [("echo hello", "Current", "Healthy"), ("exit 3", "Failed", "Degraded")]
        {
            let name = in_argocd.to_lowercase();
            let action = namespace.apply(&name, Action::script(script)).await;
            action.finished().await;
            assert_seen(&namespace.object(&name), in_kstatus, in_argocd);
            let other = json!({"spec": {"script": {"inline": "sleep 600"}}}).to_string();
            let patch = format!("--patch={other}");
            let changed = namespace
                .kubectl(&["patch", "deploymentaction", &name, "--type=merge", &patch, "--output=json"])
                .json();
            // Everything in the status is still of the run before: a wait on such a field would end here.
            assert_eq!(changed["status"]["observedGeneration"], 1);
            assert!(["Succeeded", "Failed"].contains(&changed["status"]["phase"].as_str().unwrap()));
            assert_eq!(changed["metadata"]["generation"], 2);
            assert_seen(&changed, "InProgress", "Progressing");
            action.reason(Reason::Running).await;
            assert_seen(&namespace.object(&name), "InProgress", "Progressing");
        }
    })
    .await;
}

#[tokio::test]
async fn changed_while_it_runs_it_never_looks_finished_between_the_runs() {
    in_namespace(async |namespace| {
        let wanted = Action::script("echo begun; sleep 3; exit 3");
        let action = namespace.apply("twice", wanted).await;
        action.under_way().await;
        action.patch_spec(json!({"script": {"inline": "sleep 1"}})).await;
        assert_eq!(runs_until_current(namespace, "twice"), [Some(1), Some(2)]);
    })
    .await;
}

#[tokio::test]
async fn mended_and_broken_again() {
    in_namespace(async |namespace| {
        let action = namespace.apply("mended", Action::script("exit 3")).await;
        action.finished().await;
        assert_seen(&namespace.object("mended"), "Failed", "Degraded");
        action.patch_spec(json!({"script": {"inline": "echo well"}})).await;
        action.finished().await;
        assert_seen(&namespace.object("mended"), "Current", "Healthy");
        action.patch_spec(json!({"script": {"inline": "exit 4"}})).await;
        action.finished().await;
        assert_seen(&namespace.object("mended"), "Failed", "Degraded");
    })
    .await;
}
