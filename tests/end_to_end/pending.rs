//! Runs whose script does not start at once, or never.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, ResourceQuota};
use kube::api::{DeleteParams, Patch, PatchParams};
use longshore::api::{Phase, Reason};
use serde_json::{Value, json};

use crate::support::{
    action::{Action, Done, Handle, from_config_map, from_secret},
    namespace::{Namespace, in_namespace, within},
};

pub(crate) fn needs(variable: &Value, deadline: i64) -> Action {
    Action::script("echo \"got $VALUE\"")
        .with("variables", json!([variable]))
        .with("pendingDeadlineSeconds", deadline)
}

/// The cause is told while there is time, then the run ends for it, and nothing is left.
pub(crate) async fn ends_for(action: &Handle<'_>, reason: Reason, words: &[&str]) {
    let waiting = action.until("the cause is told before the end", |seen| {
        assert!(
            !seen.is_finished() || seen.reason() == Some(reason),
            "{:?}: {}",
            seen.reason(),
            seen.message()
        );
        seen.reason() == Some(reason)
    });
    let waiting = waiting.await;
    assert!(!waiting.is_finished(), "the cause was told at the end only");
    assert_eq!(waiting.conditions(), "Ready=False Succeeded=Unknown Reconciling=True");
    assert_eq!(waiting.status().phase, Some(Phase::Launching));
    let done = action.finished().await;
    done.assert_failed(reason, None).assert_says(words);
    assert_eq!(done.run().started_at, None);
    is_without_pods(action.namespace).await;
}

pub(crate) async fn is_without_pods(namespace: &Namespace) {
    within(Duration::from_secs(20), "the pod is gone", async || {
        namespace.pods().await.is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_missing_secret_is_named_before_the_deadline_and_at_it() {
    in_namespace(async |namespace| {
        let action = namespace.apply("needy", needs(&from_secret("VALUE", "absent", "key"), 30)).await;
        ends_for(&action, Reason::SecretMissing, &["absent"]).await;
    })
    .await;
}

#[tokio::test]
async fn a_missing_key_of_a_secret_is_named() {
    in_namespace(async |namespace| {
        namespace.secret("present", json!({"other": "value"})).await;
        let action =
            namespace.apply("needy", needs(&from_secret("VALUE", "present", "absent-key"), 30)).await;
        ends_for(&action, Reason::SecretMissing, &["absent-key"]).await;
    })
    .await;
}

#[tokio::test]
async fn a_missing_config_map_is_named() {
    in_namespace(async |namespace| {
        let action = namespace.apply("needy", needs(&from_config_map("VALUE", "absent", "key"), 30)).await;
        ends_for(&action, Reason::ConfigMapMissing, &["absent"]).await;
    })
    .await;
}

#[tokio::test]
async fn a_missing_key_of_a_config_map_is_named() {
    in_namespace(async |namespace| {
        namespace.config_map("present", json!({"other": "value"})).await;
        let action =
            namespace.apply("needy", needs(&from_config_map("VALUE", "present", "absent-key"), 30)).await;
        ends_for(&action, Reason::ConfigMapMissing, &["absent-key"]).await;
    })
    .await;
}

#[tokio::test]
async fn a_secret_that_appears_in_time_is_used() {
    in_namespace(async |namespace| {
        let action = namespace.apply("patient", needs(&from_secret("VALUE", "late", "key"), 100)).await;
        action.reason(Reason::SecretMissing).await;
        namespace.secret("late", json!({"key": "a-late-secret"})).await;
        let done = action.finished().await;
        done.assert_succeeded().assert_tail_has(&["got ***"]);
        assert_eq!(done.run().number, 1);
    })
    .await;
}

#[tokio::test]
async fn a_missing_service_account_is_named() {
    in_namespace(async |namespace| {
        let action = Action::script("echo hello")
            .with("serviceAccountName", "absent")
            .with("pendingDeadlineSeconds", 30);
        let action = namespace.apply("needy", action).await;
        ends_for(&action, Reason::ServiceAccountMissing, &["absent"]).await;
    })
    .await;
}

#[tokio::test]
async fn a_service_account_that_appears_in_time_is_used() {
    in_namespace(async |namespace| {
        let action = Action::script("kubectl auth whoami").with("serviceAccountName", "late");
        let action = namespace.apply("patient", action).await;
        action.reason(Reason::ServiceAccountMissing).await;
        namespace.service_account("late").await;
        action.finished().await.assert_succeeded().assert_tail_has(&[":late"]);
    })
    .await;
}

#[tokio::test]
async fn a_node_that_nobody_has_is_waited_for_until_the_deadline() {
    in_namespace(async |namespace| {
        let action = Action::script("echo hello")
            .with("podTemplate", json!({"nodeSelector": {"example.com/nowhere": "true"}}))
            .with("pendingDeadlineSeconds", 30);
        let action = namespace.apply("nowhere", action).await;
        ends_for(&action, Reason::Unschedulable, &["node"]).await;
    })
    .await;
}

pub(crate) async fn quota(namespace: &Namespace, pods: &str) {
    namespace
        .put::<ResourceQuota>(json!({"metadata": {"name": "few-pods"}, "spec": {"hard": {"pods": pods}}}))
        .await;
    let quotas = namespace.api::<ResourceQuota>();
    within(Duration::from_secs(30), "the quota is counted", async || {
        quotas.get("few-pods").await.unwrap().status?.hard.map(|_| ())
    })
    .await;
}

#[tokio::test]
async fn a_quota_without_room_is_waited_for_until_the_deadline() {
    in_namespace(async |namespace| {
        quota(namespace, "0").await;
        let action =
            namespace.apply("crowded", Action::script("echo hello").with("pendingDeadlineSeconds", 30)).await;
        ends_for(&action, Reason::QuotaExceeded, &["few-pods"]).await;
    })
    .await;
}

#[tokio::test]
async fn a_quota_that_is_raised_in_time_lets_the_run_start() {
    in_namespace(async |namespace| {
        quota(namespace, "0").await;
        let action = namespace.apply("patient", Action::script("echo hello")).await;
        action.reason(Reason::QuotaExceeded).await;
        let raised = Patch::Merge(json!({"spec": {"hard": {"pods": "1"}}}));
        namespace.api::<ResourceQuota>().patch("few-pods", &PatchParams::default(), &raised).await.unwrap();
        let done = action.finished().await;
        done.assert_succeeded();
        assert_eq!(done.run().number, 1);
    })
    .await;
}

#[tokio::test]
async fn a_pod_that_the_api_server_does_not_accept_is_told_in_its_words() {
    in_namespace(async |namespace| {
        let action =
            Action::script("echo hello").with("podTemplate", json!({"priorityClassName": "no-such-class"}));
        let done = namespace.run(action).await;
        done.assert_failed(Reason::PodRefused, None).assert_says(&["no-such-class"]);
    })
    .await;
}

#[tokio::test]
async fn a_refusal_of_many_words_is_told_shortened() {
    in_namespace(async |namespace| {
        let key =
            |number: usize| (format!("not a valid key {number} {}", "x".repeat(200)), Value::from("value"));
        let annotations: serde_json::Map<String, Value> = (0..20).map(key).collect();
        let action = Action::script("echo hello")
            .with("podTemplate", json!({"metadata": {"annotations": annotations}}));
        let done = namespace.run(action).await;
        done.assert_failed(Reason::PodRefused, None);
    })
    .await;
}

#[tokio::test]
async fn a_pod_that_is_deleted_before_the_script_starts_ends_the_run() {
    in_namespace(async |namespace| {
        let action = namespace.apply("needy", needs(&from_secret("VALUE", "absent", "key"), 100)).await;
        let seen: Done = action.reason(Reason::SecretMissing).await;
        let pod = seen.run().pod_name.clone().unwrap();
        namespace.api::<Pod>().delete(&pod, &DeleteParams::default()).await.unwrap();
        let done = action.finished().await;
        done.assert_failed(Reason::PodDeleted, None).assert_says(&["before the script started"]);
        assert_eq!(done.run().number, 1);
        is_without_pods(namespace).await;
    })
    .await;
}
