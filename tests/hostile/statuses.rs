//! A status that somebody empties, as a restore without statuses does, at every phase: no script starts a
//! second time for it.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, ResourceQuota};
use kube::{
    ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
};
use longshore::api::{DeploymentAction, Reason};
use serde_json::json;

use super::{
    attack::{cancel, finished_within, judged, lives, no_more_than, started, told},
    oracle::Alone,
};
use crate::support::{
    action::{Action, Handle, from_secret},
    namespace::{Namespace, until, within},
};

/// Long enough for an operator that takes the action for a new one to start it.
const AFTERWARDS: Duration = Duration::from_secs(15);

async fn empty(action: &Handle<'_>) {
    let actions = action.namespace.api::<DeploymentAction>();
    let emptied = Patch::Merge(json!({"status": null}));
    // It may be gone.
    let _ = actions.patch_status(&action.name, &PatchParams::default(), &emptied).await;
}

async fn no_pod_is_left(namespace: &Namespace) {
    within(Duration::from_mins(3), "the pod is gone", async || {
        namespace.pods().await.is_empty().then_some(())
    })
    .await;
}

/// Once it has ended so, and its pod is gone, its status is emptied.
async fn emptied_at_the_end(wanted: Action, ends: Reason) {
    judged(Alone::Action, async |namespace| {
        let action = namespace.apply("kept", wanted).await;
        assert_eq!(action.finished().await.reason(), Some(ends));
        no_pod_is_left(namespace).await;
        for _ in 0..2 {
            empty(&action).await;
            no_more_than(&action, 1, AFTERWARDS).await;
        }
        // Nor does it hang: it says until when another run waits that somebody asks for.
        let lost = action.finished().await;
        lost.assert_failed(Reason::Unknown, None)
            .assert_says(&["no pod is left", "no other run begins before"]);
    })
    .await;
}

#[tokio::test]
async fn emptied_once_its_pod_was_removed_by_its_retention() {
    emptied_at_the_end(told("leave 0").with("podRetentionSeconds", 0), Reason::Succeeded).await;
}

#[tokio::test]
async fn emptied_once_its_pod_was_removed_and_it_had_failed() {
    emptied_at_the_end(told("leave 3").with("podRetentionSeconds", 0), Reason::ScriptFailed).await;
}

#[tokio::test]
async fn emptied_once_somebody_has_removed_its_pod() {
    judged(Alone::Action, async |namespace| {
        let action = namespace.apply("kept", told("leave 0")).await;
        action.finished().await.assert_succeeded();
        let pod = action.pod().await.name_any();
        namespace.api::<Pod>().delete(&pod, &DeleteParams::default()).await.unwrap();
        no_pod_is_left(namespace).await;
        empty(&action).await;
        no_more_than(&action, 1, AFTERWARDS).await;
    })
    .await;
}

#[tokio::test]
async fn emptied_while_its_pod_of_the_end_is_there() {
    judged(Alone::Action, async |namespace| {
        let action = namespace.apply("kept", told("leave 0")).await;
        action.finished().await.assert_succeeded();
        for _ in 0..3 {
            empty(&action).await;
            no_more_than(&action, 1, AFTERWARDS / 3).await;
        }
        action.finished().await.assert_succeeded();
    })
    .await;
}

#[tokio::test]
async fn emptied_while_it_runs_and_cancelled_then() {
    judged(Alone::Action, async |namespace| {
        let action = namespace.apply("runs", told("echo begun; sleep 600")).await;
        started(&action, 1).await;
        for _ in 0..3 {
            empty(&action).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        action.until("its run is on record again", |seen| seen.status().run.is_some()).await;
        cancel(&action).await;
        action.finished().await;
        no_more_than(&action, 1, AFTERWARDS).await;
    })
    .await;
}

#[tokio::test]
async fn emptied_while_it_waits_for_a_secret() {
    judged(Alone::Action, async |namespace| {
        let wanted = told("leave 0").with("variables", [from_secret("TOKEN", "late", "token")]);
        let action = namespace.apply("waits", wanted).await;
        until("its pod is there", async || (!namespace.pods().await.is_empty()).then_some(())).await;
        empty(&action).await;
        namespace.secret("late", json!({"token": "there-by-now"})).await;
        finished_within(&action, Duration::from_mins(2)).await;
        empty(&action).await;
        no_more_than(&action, 1, AFTERWARDS).await;
    })
    .await;
}

#[tokio::test]
async fn emptied_while_no_quota_lets_its_pod_in() {
    judged(Alone::Action, async |namespace| {
        namespace
            .put::<ResourceQuota>(json!({"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}))
            .await;
        until("the quota counts", async || {
            let quota = namespace.api::<ResourceQuota>().get("none").await.expect("reading the quota");
            quota.status.and_then(|status| status.used).map(|_| ())
        })
        .await;
        let action = namespace.apply("waits", told("leave 0")).await;
        action.reason(Reason::QuotaExceeded).await;
        empty(&action).await;
        namespace.api::<ResourceQuota>().delete("none", &DeleteParams::default()).await.unwrap();
        assert_new_or_unknown(&action).await;
        no_more_than(&action, 1, AFTERWARDS).await;
    })
    .await;
}

/// Of an action that had not begun. Times in metadata are whole seconds: one that was emptied in the second of
/// its creation is new. Nothing tells of any other that it had not begun.
async fn assert_new_or_unknown(action: &Handle<'_>) {
    let done = finished_within(action, Duration::from_mins(3)).await;
    assert!(matches!(done.reason(), Some(Reason::Succeeded | Reason::Unknown)), "{}", done.message());
}

#[tokio::test]
async fn emptied_while_it_waits_for_its_lock() {
    judged(Alone::Namespace, async |namespace| {
        let lock = json!({"name": "prod"});
        let first =
            namespace.apply("first", told("echo begun; sleep 10; leave 0").with("lock", lock.clone())).await;
        started(&first, 1).await;
        let second = namespace.apply("second", told("leave 0").with("lock", lock)).await;
        second.reason(Reason::Queued).await;
        empty(&second).await;
        empty(&first).await;
        assert_new_or_unknown(&second).await;
        no_more_than(&first, 1, Duration::from_secs(1)).await;
    })
    .await;
}

#[tokio::test]
async fn emptied_while_it_waits_for_its_next_attempt() {
    judged(Alone::Action, async |namespace| {
        let retry = json!({"limit": 1, "causes": ["ScriptFailed"], "backoffSeconds": 5});
        let action = namespace.apply("retried", told("leave 3").with("retry", retry)).await;
        action.reason(Reason::RetryPending).await;
        empty(&action).await;
        // The record of the attempts is lost: a second attempt may start, the first one may not start again.
        no_more_than(&action, 2, AFTERWARDS).await;
        finished_within(&action, Duration::from_mins(2)).await;
    })
    .await;
}

/// Again and again from the first moment on: whatever the operator has just written is gone.
#[tokio::test]
async fn emptied_all_the_time_from_its_creation_on() {
    judged(Alone::Action, async |namespace| {
        let mut actions = Vec::new();
        for number in 0..6 {
            let wanted = told("sleep 1; leave 0").with("podRetentionSeconds", 0);
            actions.push(namespace.apply(&format!("storm-{number}"), wanted).await);
        }
        let begun = std::time::Instant::now();
        while begun.elapsed() < Duration::from_secs(20) {
            for action in &actions {
                empty(action).await;
            }
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
        for action in &actions {
            no_more_than(action, 1, Duration::from_secs(2)).await;
        }
        // Then each comes to rest, and none runs because of it.
        for action in &actions {
            finished_within(action, Duration::from_mins(3)).await;
            assert!(lives(action).len() <= 1, "{:?}", lives(action));
        }
    })
    .await;
}
