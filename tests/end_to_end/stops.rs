//! Runs that are stopped: by a deadline, or because somebody deletes what they need.

use std::{future::ready, pin::pin, time::Duration};

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    ResourceExt,
    api::{DeleteParams, LogParams, Patch, PatchParams, PropagationPolicy},
    runtime::{WatchStreamExt, watcher},
};
use longshore::api::{ConditionType, DeploymentAction, Reason};
use serde_json::json;

use crate::support::{
    action::{Action, from_secret},
    namespace::{Namespace, examples_image, in_namespace, until, within},
};

const LONG: &str = "echo begun; sleep 600";
/// A shell has set its trap by then, on a busy machine too.
const UNTIL_READY_SECONDS: i64 = 15;

async fn no_pod_is_left(namespace: &Namespace) {
    within(Duration::from_mins(1), "the pod is gone", async || {
        namespace.pods().await.is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_script_may_clean_up_at_its_deadline() {
    in_namespace(async |namespace| {
        let script = "#!/usr/bin/env bash\n\
            trap 'echo cleaning up: $(cat \"$LONGSHORE_STOP_REASON_FILE\"); exit 12' TERM\n\
            echo begun\nsleep 600 & wait\n";
        let done =
            namespace.run(Action::script(script).with("runDeadlineSeconds", UNTIL_READY_SECONDS)).await;
        done.assert_failed(Reason::DeadlineExceeded, Some(12)).assert_log_complete();
        done.assert_says(&["spec.runDeadlineSeconds", "exit code 12"])
            .assert_tail_has(&["begun", "cleaning up: "]);
        assert!(!done.tail().contains("cleaning up: \n"), "no reason for the stop: {}", done.tail());
        // Not before its deadline, and long before its own end; how long between depends on the machine.
        let took = done.run().duration_seconds.unwrap();
        assert!((UNTIL_READY_SECONDS..60).contains(&took), "{took}");
    })
    .await;
}

#[tokio::test]
async fn a_script_that_ignores_its_deadline_is_killed_after_its_grace() {
    in_namespace(async |namespace| {
        let script = "#!/usr/bin/env bash\ntrap '' TERM\necho begun\nwhile :; do sleep 1; done\n";
        let action = Action::script(script)
            .with("runDeadlineSeconds", UNTIL_READY_SECONDS)
            .with("terminationGracePeriodSeconds", 2);
        let done = namespace.run(action).await;
        done.assert_failed(Reason::DeadlineExceeded, Some(137)).assert_log_complete();
        done.assert_says(&["SIGKILL", "grace"]);
        // Not before its grace period was over; how long after depends on the machine.
        let took = done.run().duration_seconds;
        assert!(took >= Some(UNTIL_READY_SECONDS + 2), "{took:?}");
    })
    .await;
}

#[tokio::test]
async fn a_deadline_that_somebody_lowers_after_the_script_s_end_changes_no_verdict() {
    in_namespace(async |namespace| {
        let action = namespace.apply("patched", Action::script("echo begun; sleep 2; echo ended")).await;
        let pod = action.under_way().await;
        let pods = namespace.api::<Pod>();
        until("the script has ended", async || {
            let log = pods.logs(&pod.name_any(), &LogParams::default()).await.unwrap_or_default();
            log.contains("\"exit\"").then_some(())
        })
        .await;
        let patch = Patch::Merge(json!({"spec": {"activeDeadlineSeconds": 1}}));
        pods.patch(&pod.name_any(), &PatchParams::default(), &patch).await.unwrap();
        let done = action.finished().await;
        done.assert_succeeded();
        // Three of three times Kubernetes said that it had failed.
        let phase = until("the pod has ended", async || {
            let phase = pods.get(&pod.name_any()).await.unwrap().status?.phase?;
            matches!(phase.as_str(), "Succeeded" | "Failed").then_some(phase)
        })
        .await;
        namespace.quiet().await;
        let after = crate::support::action::Done::of(action.get().await);
        after.assert_succeeded();
        assert!(
            !after.status().conditions().is_true(ConditionType::VerdictDisputed),
            "{phase}: {}",
            after.conditions()
        );
    })
    .await;
}

#[tokio::test]
async fn a_deadline_that_somebody_lowers_before_the_script_s_start_is_told_as_what_it_came_to() {
    in_namespace(async |namespace| {
        let variable = from_secret("TOKEN", "missing", "token");
        let wanted = Action::script("echo $TOKEN; sleep 600").with("variables", [variable]);
        let action = namespace.apply("lowered", wanted).await;
        action.reason(Reason::SecretMissing).await;
        let pod = action.pod().await;
        let pods = namespace.api::<Pod>();
        let patch = Patch::Merge(json!({"spec": {"activeDeadlineSeconds": 1}}));
        pods.patch(&pod.name_any(), &PatchParams::default(), &patch).await.unwrap();
        namespace.secret("missing", json!({"token": "there-by-now"})).await;
        let done = action.finished().await;
        assert_ne!(done.reason(), Some(Reason::Succeeded), "{}", done.message());
        // A script that never began has no log and no end. One that began has a log, unless it was killed before
        // its first line. A stop may also hit the container runtime between the two: nobody knows then.
        let began = done.run().started_at.is_some();
        let log = done.status().log.as_ref().is_some_and(|log| log.lines > 0);
        let told = log || done.run().exit_code.is_some();
        let killed = matches!(done.reason(), Some(Reason::DeadlineExceeded | Reason::Unknown));
        assert!(if began { told || killed } else { !told }, "{began} {log} {:?}", done.run());
        assert_eq!((done.run().number, done.run().attempt), (1, 1));
        assert!(namespace.pods().await.iter().all(|other| other.uid() == pod.uid()));
    })
    .await;
}

#[tokio::test]
async fn a_pod_deleted_in_mid_run_is_not_run_again() {
    in_namespace(async |namespace| {
        let action = namespace.apply("deleted", Action::script(LONG)).await;
        let pod = action.under_way().await;
        namespace.api::<Pod>().delete(&pod.name_any(), &DeleteParams::default()).await.unwrap();
        let done = action.finished().await;
        done.assert_failed(Reason::PodDeleted, Some(143)).assert_tail_has(&["begun"]);
        assert_eq!(done.run().pod_uid, pod.uid());
        namespace.quiet().await;
        for other in namespace.pods().await {
            assert_eq!(other.uid(), pod.uid(), "another pod was started");
        }
        assert_eq!(crate::support::action::Done::of(action.get().await).run().number, 1);
    })
    .await;
}

#[tokio::test]
async fn a_pod_deleted_by_force_in_mid_run_is_not_run_again() {
    in_namespace(async |namespace| {
        let action = namespace.apply("forced", Action::script(LONG)).await;
        let pod = action.under_way().await;
        let force = DeleteParams::default().grace_period(0);
        namespace.api::<Pod>().delete(&pod.name_any(), &force).await.unwrap();
        let done = action.finished().await;
        let reason = done.reason().unwrap();
        assert!(matches!(reason, Reason::PodDeleted | Reason::Unknown), "{reason:?}");
        done.assert_failed(reason, done.run().exit_code);
        namespace.quiet().await;
        assert!(namespace.pods().await.iter().all(|other| other.uid() == pod.uid()));
        assert_eq!(crate::support::action::Done::of(action.get().await).run().number, 1);
    })
    .await;
}

#[tokio::test]
async fn a_pod_removed_together_with_its_finalizer_in_mid_run_ends_the_run() {
    in_namespace(async |namespace| {
        let wanted = Action::script(LONG).with("pendingDeadlineSeconds", 30);
        let action = namespace.apply("removed", wanted).await;
        let pod = action.under_way().await;
        let pods = namespace.api::<Pod>();
        let bare = Patch::Merge(json!({"metadata": {"finalizers": null}}));
        pods.patch(&pod.name_any(), &PatchParams::default(), &bare).await.unwrap();
        pods.delete(&pod.name_any(), &DeleteParams::default().grace_period(0)).await.unwrap();
        let done = action.finished().await;
        let reason = done.reason().unwrap();
        assert!(matches!(reason, Reason::PodDeleted | Reason::Unknown), "{reason:?}");
        assert_eq!((done.run().number, done.run().attempt), (1, 1));
        assert!(namespace.pods().await.iter().all(|other| other.uid() == pod.uid()));
    })
    .await;
}

/// The status does not have the pod's UID yet.
#[tokio::test]
async fn a_pod_removed_together_with_its_finalizer_before_anything_is_told_of_it_is_not_made_again() {
    in_namespace(async |namespace| {
        let pods = namespace.api::<Pod>();
        let mut seen = pin!(watcher(pods.clone(), watcher::Config::default()).applied_objects());
        let wanted = Action::script(LONG).with("pendingDeadlineSeconds", 30);
        let action = namespace.apply("removed", wanted).await;
        let pod = seen.try_next().await.unwrap().unwrap();
        let bare = Patch::Merge(json!({"metadata": {"finalizers": null}}));
        pods.patch(&pod.name_any(), &PatchParams::default(), &bare).await.unwrap();
        pods.delete(&pod.name_any(), &DeleteParams::default().grace_period(0)).await.unwrap();
        let done = action.finished().await;
        let reason = done.reason().unwrap();
        assert!(matches!(reason, Reason::PodDeleted | Reason::Unknown), "{reason:?}");
        let others = seen.take_until(tokio::time::sleep(Duration::from_secs(3)));
        let others =
            others.try_filter(|other| ready(other.uid() != pod.uid())).map_ok(|other| other.name_any());
        assert_eq!(others.try_collect::<Vec<_>>().await.unwrap(), Vec::<String>::new());
    })
    .await;
}

#[tokio::test]
async fn an_action_deleted_in_mid_run_takes_its_pod_along() {
    in_namespace(async |namespace| {
        let action = namespace.apply("background", Action::script(LONG)).await;
        action.under_way().await;
        action.delete(&DeleteParams::background()).await;
        let actions = namespace.api::<DeploymentAction>();
        within(Duration::from_secs(10), "the action is gone", async || {
            actions.get_opt("background").await.unwrap().is_none().then_some(())
        })
        .await;
        no_pod_is_left(namespace).await;
    })
    .await;
}

#[tokio::test]
async fn an_action_deleted_in_the_foreground_goes_after_its_pod() {
    in_namespace(async |namespace| {
        let action = namespace.apply("foreground", Action::script(LONG)).await;
        action.under_way().await;
        action.delete(&DeleteParams::foreground()).await;
        let actions = namespace.api::<DeploymentAction>();
        within(Duration::from_mins(1), "the action is gone", async || {
            let gone = actions.get_opt("foreground").await.unwrap().is_none();
            if gone {
                assert!(namespace.pods().await.is_empty(), "the action went before its pod");
            }
            gone.then_some(())
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn an_action_deleted_as_an_orphan_s_parent_leaves_a_pod_that_can_be_removed() {
    in_namespace(async |namespace| {
        let action = namespace.apply("orphan", Action::script("echo begun; sleep 4; echo ended")).await;
        let pod = action.under_way().await;
        let orphan =
            DeleteParams { propagation_policy: Some(PropagationPolicy::Orphan), ..DeleteParams::default() };
        action.delete(&orphan).await;
        let actions = namespace.api::<DeploymentAction>();
        until("the action is gone", async || {
            actions.get_opt("orphan").await.unwrap().is_none().then_some(())
        })
        .await;
        // An orphan that somebody asked for must not stay for ever.
        let pods = namespace.api::<Pod>();
        if pods.get_opt(&pod.name_any()).await.unwrap().is_some() {
            pods.delete(&pod.name_any(), &DeleteParams::default()).await.unwrap();
        }
        no_pod_is_left(namespace).await;
    })
    .await;
}

#[tokio::test]
async fn a_namespace_deleted_in_mid_run_goes_away() {
    in_namespace(async |namespace| {
        let other = namespace.sibling().await;
        let running = other.apply("running", Action::script(LONG)).await;
        running.under_way().await;
        other.apply("finished", Action::script("echo hello")).await.finished().await;
        other.remove().await;
        within(Duration::from_mins(1), "the namespace is gone", async || {
            other.namespaces().get_opt(&other.name).await.unwrap().is_none().then_some(())
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn a_stranger_s_pod_under_the_run_s_name_is_left_alone() {
    in_namespace(async |namespace| {
        let action = namespace.apply("taken", Action::script("echo hello").with("runPolicy", "Manual")).await;
        action.reason(Reason::NotRequested).await;
        let uid = action.get().await.uid().unwrap();
        let stranger: Pod = namespace
            .put(json!({
                "metadata": {"name": format!("taken-{}-1-1", &uid[..8])},
                "spec": {
                    "securityContext": {"runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
                    "containers": [{
                        "name": "stranger",
                        "image": examples_image(),
                        "command": ["sleep", "600"],
                        "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                    }],
                },
            }))
            .await;
        action.patch_spec(json!({"runToken": "go"})).await;
        let done = action.finished().await;
        done.assert_failed(Reason::PodNameTaken, None).assert_says(&[&stranger.name_any(), &stranger.uid().unwrap()]);
        namespace.quiet().await;
        let pods = namespace.api::<Pod>();
        let after = pods.get(&stranger.name_any()).await.unwrap();
        assert_eq!(after.uid(), stranger.uid());
        assert_eq!(after.metadata.deletion_timestamp, None);
        assert_eq!(after.metadata.finalizers, None);
        // The way out that the message names.
        pods.delete(&stranger.name_any(), &DeleteParams::default().grace_period(0)).await.unwrap();
        action.patch_spec(json!({"runToken": "go again"})).await;
        let done = action.finished().await;
        done.assert_succeeded();
        assert_eq!(done.run().number, 2);
    })
    .await;
}
