//! Requests by annotation: another run, and the end of the run under way.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::{ResourceExt, api::ListParams};
use longshore::api::{
    ANNOTATION_CANCEL, ANNOTATION_RERUN, ConditionType, Phase, Reason, history::RunOutcome, status::Trigger,
};
use serde_json::{Value, json};

use crate::support::{
    action::{Action, Done, Handle, from_secret},
    namespace::in_namespace,
};

async fn cancel(action: &Handle<'_>) {
    let id = Done::of(action.get().await).run().id.clone();
    action.annotate(ANNOTATION_CANCEL, id).await;
}

#[tokio::test]
async fn run_again_as_often_as_asked_and_kept_in_the_history() {
    in_namespace(async |namespace| {
        let action = namespace
            .apply(
                "again",
                Action::script("echo run $LONGSHORE_RUN; exit $((LONGSHORE_RUN - 1))")
                    .with("runPolicy", "Once"),
            )
            .await;
        action.finished().await.assert_succeeded();
        let second = action.rerun("a").await;
        second.assert_failed(Reason::ScriptFailed, Some(1)).assert_tail_has(&["run 2\n"]);
        assert_eq!(second.run().trigger, Trigger::Rerun);
        // The same text again, and its removal.
        action.annotate(ANNOTATION_RERUN, Value::Null).await;
        action.annotate(ANNOTATION_RERUN, "a").await;
        namespace.quiet().await;
        assert_eq!(Done::of(action.get().await).run().number, 2);
        let third = action.rerun("b").await;
        let kept: Vec<_> =
            third.status().history.iter().map(|run| (run.number, run.outcome, run.exit_code)).collect();
        assert_eq!(
            kept,
            [
                (3, RunOutcome::Failed, Some(2)),
                (2, RunOutcome::Failed, Some(1)),
                (1, RunOutcome::Succeeded, Some(0))
            ]
        );
        for run in &third.status().history {
            assert!(run.started_at.is_some() && run.image.as_ref().unwrap().contains("@sha256:"), "{run:?}");
        }
        let [attempt] = &third.run().attempts[..] else { panic!("{:?}", third.run().attempts) };
        assert_eq!((attempt.attempt, &attempt.pod_name), (1, &third.run().pod_name));
    })
    .await;
}

#[tokio::test]
async fn asked_for_in_mid_run_one_more_run_follows() {
    in_namespace(async |namespace| {
        let action = namespace.apply("busy", Action::script("echo begun; sleep 4")).await;
        action.under_way().await;
        for token in ["a", "b"] {
            action.annotate(ANNOTATION_RERUN, token).await;
        }
        assert_eq!(Done::of(action.get().await).status().last_handled_rerun, None);
        action
            .until("the token is handled", |seen| seen.status().last_handled_rerun.as_deref() == Some("b"))
            .await;
        let done = action.finished().await;
        done.assert_succeeded();
        namespace.quiet().await;
        assert_eq!(Done::of(action.get().await).run().number, 2);
    })
    .await;
}

#[tokio::test]
async fn a_script_that_is_cancelled_is_told_why_and_its_log_outputs_and_exit_code_stay() {
    in_namespace(async |namespace| {
        let script = "#!/usr/bin/env bash\n\
            trap 'cat \"$LONGSHORE_STOP_REASON_FILE\"; echo done=half >> \"$LONGSHORE_OUTPUT\"; exit 12' TERM\n\
            echo begun\nwhile :; do sleep 0.2; done\n";
        let action = namespace.apply("running", Action::script(script).outputs(&["done"])).await;
        let pod = action.under_way().await;
        // A node tells that a script runs a while after it has begun; what is cancelled before is
        // deleted with its pod.
        action.until("its node has told", |seen| seen.status().phase == Some(Phase::Running)).await;
        cancel(&action).await;
        let done = action.finished().await;
        done.assert_failed(Reason::Cancelled, Some(12)).assert_log_complete();
        let told = format!("Cancelled: run {} was cancelled", done.run().id);
        done.assert_tail_has(&["begun\n", &told]).assert_says(&["longshore.dev/cancel", "exit code 12"]);
        assert_eq!(done.output("done"), "half");
        assert_eq!(done.status().history[0].outcome, RunOutcome::Cancelled);
        let pods = namespace.api::<Pod>();
        assert_eq!(pods.get(&pod.name_any()).await.unwrap().uid(), pod.uid(), "the pod stays");
        // The annotation is still there, and the next run is another one.
        action.patch_spec(json!({"script": {"inline": "echo well"}})).await;
        action.finished().await.assert_succeeded();
    })
    .await;
}

#[tokio::test]
async fn a_script_that_ends_well_when_it_is_cancelled_was_cancelled() {
    in_namespace(async |namespace| {
        let script = "trap 'exit 0' TERM; echo begun; while :; do sleep 0.2; done";
        let action = namespace.apply("well", Action::script(script)).await;
        action.under_way().await;
        action.until("its node has told", |seen| seen.status().phase == Some(Phase::Running)).await;
        cancel(&action).await;
        action.finished().await.assert_failed(Reason::Cancelled, Some(0));
    })
    .await;
}

#[tokio::test]
async fn cancelled_while_a_secret_is_missing_its_pod_goes_and_nothing_ran() {
    in_namespace(async |namespace| {
        let wanted =
            Action::script("echo $TOKEN").with("variables", [from_secret("TOKEN", "missing", "token")]);
        let action = namespace.apply("missing", wanted).await;
        action.reason(Reason::SecretMissing).await;
        cancel(&action).await;
        let done = action.finished().await;
        done.assert_failed(Reason::Cancelled, None).assert_says(&["before its script started"]);
        crate::support::namespace::within(Duration::from_mins(1), "the pod is gone", async || {
            let pods = namespace.api::<Pod>().list(&ListParams::default()).await.unwrap();
            pods.items.is_empty().then_some(())
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn cancelled_while_no_node_takes_its_pod() {
    in_namespace(async |namespace| {
        let nowhere = json!({"nodeSelector": {"nowhere": "yes"}});
        let action = namespace.apply("nowhere", Action::script("true").with("podTemplate", nowhere)).await;
        action.reason(Reason::Unschedulable).await;
        cancel(&action).await;
        action.finished().await.assert_failed(Reason::Cancelled, None);
    })
    .await;
}

#[tokio::test]
async fn what_names_no_run_is_told_and_cancels_nothing() {
    in_namespace(async |namespace| {
        let action = namespace.apply("told", Action::script("echo begun; sleep 6")).await;
        action.under_way().await;
        action.annotate(ANNOTATION_CANCEL, "now").await;
        let told = action
            .until("it is told", |seen| seen.status().conditions().is_true(ConditionType::RequestIgnored))
            .await;
        let message = &told.status().conditions().get(ConditionType::RequestIgnored).unwrap().message;
        assert!(message.contains(&told.run().id), "{message}");
        action.finished().await.assert_succeeded();
    })
    .await;
}

#[tokio::test]
async fn a_script_that_fails_is_tried_again_with_the_same_key_and_another_pod() {
    in_namespace(async |namespace| {
        let script = "echo attempt $LONGSHORE_ATTEMPT of $LONGSHORE_IDEMPOTENCY_KEY; exit $((75 * (2 - LONGSHORE_ATTEMPT)))";
        let retry = json!({"limit": 3, "causes": ["ScriptFailed"], "exitCodes": [75], "backoffSeconds": 2});
        let action = namespace.apply("retried", Action::script(script).with("retry", retry)).await;
        let waiting = action.reason(Reason::RetryPending).await;
        assert_eq!(waiting.conditions(), "Ready=False Succeeded=Unknown Reconciling=True");
        assert_eq!((waiting.run().attempts.len(), waiting.run().attempts[0].exit_code), (1, Some(75)));
        let first = waiting.tail().to_owned();
        let done = action.finished().await;
        done.assert_succeeded();
        let attempts = &done.run().attempts;
        assert_eq!((attempts.len(), done.run().attempt, done.status().history[0].attempts), (2, 2, 2));
        assert_ne!(attempts[0].pod_uid, attempts[1].pod_uid);
        assert_eq!(attempts[0].image, attempts[1].image);
        assert_eq!(first.replace("attempt 1", "attempt 2"), done.tail(), "the key is the same");
    })
    .await;
}

#[tokio::test]
async fn cancelled_while_it_waits_for_its_next_attempt() {
    in_namespace(async |namespace| {
        let retry =
            json!({"limit": 3, "causes": ["ScriptFailed"], "backoffSeconds": 600, "maxBackoffSeconds": 600});
        let action = namespace.apply("waits", Action::script("exit 1").with("retry", retry)).await;
        action.reason(Reason::RetryPending).await;
        cancel(&action).await;
        let done = action.finished().await;
        done.assert_failed(Reason::Cancelled, None);
        assert_eq!(done.run().attempts.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_container_that_cannot_be_started_is_tried_again_by_itself() {
    in_namespace(async |namespace| {
        let retry = json!({"limit": 1, "backoffSeconds": 1});
        let wanted = Action::script("echo $TOKEN")
            .with("variables", [from_secret("TOKEN", "missing", "token")])
            .with("pendingDeadlineSeconds", 30)
            .with("retry", retry);
        let action = namespace.apply("twice", wanted).await;
        action.reason(Reason::RetryPending).await;
        namespace.secret("missing", json!({"token": "there-by-now"})).await;
        let done = action.finished().await;
        done.assert_succeeded();
        assert_eq!(done.run().attempts[0].reason, "SecretMissing");
    })
    .await;
}

#[tokio::test]
async fn a_status_that_is_emptied_in_mid_run_is_rebuilt_and_nothing_runs_twice() {
    in_namespace(async |namespace| {
        let action = namespace.apply("emptied", Action::script("echo begun; sleep 8; echo ended")).await;
        let pod = action.under_way().await;
        let actions = namespace.api::<longshore::api::DeploymentAction>();
        let empty = json!({"status": null});
        let parameters = kube::api::PatchParams::default();
        actions.patch_status("emptied", &parameters, &kube::api::Patch::Merge(empty)).await.unwrap();
        let done = action.finished().await;
        done.assert_succeeded();
        assert_eq!((done.run().number, &done.run().pod_uid), (1, &pod.uid()));
        namespace.quiet().await;
        assert_eq!(namespace.pods().await.len(), 1, "another pod was started");
    })
    .await;
}

#[tokio::test]
async fn deleted_and_applied_again_the_pod_of_before_is_waited_for() {
    in_namespace(async |namespace| {
        let script = "trap 'sleep 6; exit 0' TERM; echo begun; while :; do sleep 0.2; done";
        let first = namespace.apply("again", Action::script(script)).await;
        let pod = first.under_way().await;
        first.delete(&kube::api::DeleteParams::background()).await;
        let actions = namespace.api::<longshore::api::DeploymentAction>();
        crate::support::namespace::until("it is gone", async || {
            actions.get_opt("again").await.unwrap().is_none().then_some(())
        })
        .await;
        let second = namespace.apply("again", Action::script("date +%s")).await;
        let waits = second.reason(Reason::PreviousPodRunning).await;
        assert!(waits.message().contains(&pod.name_any()), "{}", waits.message());
        second.finished().await.assert_succeeded();
    })
    .await;
}
