//! Action and pod after the end of a run.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::{
    ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::json;

use crate::support::{
    action::{Action, Done},
    namespace::{in_namespace, within},
};

#[tokio::test]
async fn a_pod_is_removed_after_its_retention_and_the_action_stays() {
    in_namespace(async |namespace| {
        let action =
            namespace.apply("short", Action::script("echo hello").with("podRetentionSeconds", 0)).await;
        action.finished().await.assert_succeeded();
        // A pod is kept for two minutes at least, from the run's beginning.
        within(Duration::from_mins(3), "the pod is removed", async || {
            namespace.pods().await.is_empty().then_some(())
        })
        .await;
        let after = Done::of(action.get().await);
        after.assert_succeeded().assert_tail_has(&["hello\n"]);
        namespace.quiet().await;
        assert_eq!(Done::of(action.get().await).run().number, 1);
    })
    .await;
}

#[tokio::test]
async fn the_pod_is_free_to_go_once_all_is_told() {
    in_namespace(async |namespace| {
        let action = namespace.apply("told", Action::script("echo hello")).await;
        action.finished().await.assert_succeeded();
        within(Duration::from_secs(20), "the pod has no finalizer of ours", async || {
            let finalizers = action.pod().await.metadata.finalizers.unwrap_or_default();
            finalizers.is_empty().then_some(())
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn a_finished_action_that_is_deleted_takes_its_pod_along() {
    in_namespace(async |namespace| {
        let action = namespace.apply("finished", Action::script("echo hello")).await;
        action.finished().await.assert_succeeded();
        action.delete(&DeleteParams::background()).await;
        within(Duration::from_mins(1), "the pod is gone", async || {
            namespace.pods().await.is_empty().then_some(())
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn a_bundle_that_somebody_changes_after_the_end_changes_no_verdict() {
    in_namespace(async |namespace| {
        let action = namespace.apply("changed", Action::script("echo hello")).await;
        let before = action.finished().await;
        before.assert_succeeded();
        let pod = action.pod().await;
        let forged = Patch::Merge(json!({"metadata": {"annotations": {"longshore.dev/bundle": "{}"}}}));
        let pods = namespace.api::<Pod>();
        pods.patch(&pod.name_any(), &PatchParams::default(), &forged).await.unwrap();
        namespace.quiet().await;
        let after = Done::of(action.get().await);
        after.assert_succeeded();
        assert_eq!(after.run(), before.run());
    })
    .await;
}
