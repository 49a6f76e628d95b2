//! A spec that is corrected while its run waits: the correction is taken up at once, and the script starts once.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use longshore::api::{Reason, history::RunOutcome};
use serde_json::{Value, json};

use crate::support::{
    action::{Action, from_secret},
    namespace::{Namespace, in_namespace},
};

/// Far less than the pending deadline, which is ten minutes.
const AT_ONCE: Duration = Duration::from_mins(2);

/// It waits for this reason; so corrected it runs, as its second run and once.
async fn corrected(namespace: &Namespace, wanted: Action, waits: Reason, correction: Value) {
    let action = namespace.apply("deploy", wanted).await;
    action.reason(waits).await;
    action.patch_spec(correction).await;
    let done = action.finished_within(AT_ONCE).await;
    done.assert_succeeded();
    assert_eq!((done.run().number, done.tail()), (2, "deployed\n"));
    assert_eq!(done.run().generation, action.get().await.metadata.generation.unwrap());
    let first = done.status().history.iter().find(|past| past.number == 1).expect("the first run");
    assert_eq!((first.reason.as_str(), first.outcome), ("Superseded", RunOutcome::Superseded));
    assert_eq!((first.started_at.as_ref(), first.exit_code), (None, None));
}

const SCRIPT: &str = "echo deployed";

#[tokio::test]
async fn a_secret_whose_name_was_misspelled() {
    in_namespace(async |namespace| {
        namespace.secret("db", json!({"password": "hunter2hunter2"})).await;
        let wanted = Action::script(SCRIPT).with("variables", [from_secret("PASSWORD", "bd", "password")]);
        let correction = json!({"variables": [from_secret("PASSWORD", "db", "password")]});
        corrected(namespace, wanted, Reason::SecretMissing, correction).await;
    })
    .await;
}

#[tokio::test]
async fn a_request_that_no_node_can_meet() {
    in_namespace(async |namespace| {
        let wanted = Action::script(SCRIPT).with("resources", json!({"requests": {"memory": "9Ti"}}));
        let correction = json!({"resources": {"requests": {"memory": "16Mi"}}});
        corrected(namespace, wanted, Reason::Unschedulable, correction).await;
    })
    .await;
}

#[tokio::test]
async fn a_node_that_there_is_not_under_the_policy_once() {
    in_namespace(async |namespace| {
        let nowhere = json!({"nodeSelector": {"kubernetes.io/hostname": "nowhere"}});
        let wanted = Action::script(SCRIPT).with("runPolicy", "Once").with("podTemplate", nowhere);
        let correction = json!({"podTemplate": {"nodeSelector": null}});
        corrected(namespace, wanted, Reason::Unschedulable, correction).await;
    })
    .await;
}

#[tokio::test]
async fn a_service_account_that_there_is_not_under_a_lock() {
    in_namespace(async |namespace| {
        let wanted = Action::script(SCRIPT)
            .with("serviceAccountName", "delpoyer")
            .with("lock", json!({"name": "prod"}));
        let correction = json!({"serviceAccountName": null});
        corrected(namespace, wanted, Reason::ServiceAccountMissing, correction).await;
    })
    .await;
}

#[tokio::test]
async fn a_script_that_runs_is_left_alone_and_the_correction_comes_after_it() {
    in_namespace(async |namespace| {
        let action = namespace.apply("deploy", Action::script("echo one; sleep 6; echo end")).await;
        action.reason(Reason::Running).await;
        action.patch_spec(json!({"script": {"inline": SCRIPT}})).await;
        let done =
            action.until("the second run has ended", |done| done.is_finished() && done.run().number == 2);
        let done = done.await;
        assert_eq!(done.tail(), "deployed\n");
        let first = done.status().history.iter().find(|past| past.number == 1).expect("the first run");
        assert_eq!((first.reason.as_str(), first.exit_code), ("Succeeded", Some(0)));
        let pods: Vec<Pod> = namespace.pods().await;
        assert_eq!(pods.len(), 2, "one for each run");
    })
    .await;
}
