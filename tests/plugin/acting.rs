//! `rerun`, `cancel`, `suspend` and `resume`: what they ask for happens.

use kube::ResourceExt;
use longshore::api::{Phase, Reason};

use super::longshore;
use crate::support::{
    action::{Action, Done},
    namespace::{Namespace, in_namespace},
};

#[tokio::test]
async fn a_rerun_runs_once_for_each_token() {
    in_namespace(async |namespace: &Namespace| {
        let handle = namespace.apply("deploy", Action::script("true")).await;
        handle.finished().await.assert_succeeded();
        longshore(namespace, &["rerun", "deploy", "--rerun-token", "again"]).out();
        let done =
            handle.until("the second run has ended", |done| done.is_over() && done.run().number == 2).await;
        done.assert_succeeded();
        let refused = longshore(namespace, &["rerun", "deploy", "--rerun-token", "again"]).err(1);
        assert!(refused.contains("choose another --rerun-token"), "{refused}");
        let action = handle.get().await;
        let managers: Vec<_> =
            action.managed_fields().iter().filter_map(|entry| entry.manager.clone()).collect();
        assert!(managers.contains(&"longshore-cli".to_owned()), "{managers:?}");
    })
    .await;
}

#[tokio::test]
async fn a_cancelled_run_ends_and_one_that_has_ended_is_not_cancelled() {
    in_namespace(async |namespace: &Namespace| {
        let handle = namespace.apply("deploy", Action::script("echo x; sleep 600")).await;
        handle.under_way().await;
        let wrong = longshore(namespace, &["cancel", "deploy", "--run", "7"]).err(1);
        assert!(wrong.contains("nothing was cancelled"), "{wrong}");
        longshore(namespace, &["cancel", "deploy"]).out();
        let done = handle.finished().await;
        assert_eq!(done.reason(), Some(Reason::Cancelled));
        assert!(longshore(namespace, &["cancel", "deploy"]).err(1).contains("has ended"));
    })
    .await;
}

#[tokio::test]
async fn a_suspended_action_runs_once_it_is_resumed() {
    in_namespace(async |namespace: &Namespace| {
        let handle = namespace.apply("deploy", Action::script("true")).await;
        handle.finished().await.assert_succeeded();
        longshore(namespace, &["suspend", "deploy"]).out();
        let told = longshore(namespace, &["rerun", "deploy"]).out();
        assert!(told.contains("kubectl longshore resume deploy"), "{told}");
        let held = |done: &Done| done.status().phase == Some(Phase::Suspended);
        handle.until("the run is held back", held).await;
        assert!(longshore(namespace, &["suspend", "deploy"]).out().contains("before"));
        longshore(namespace, &["resume", "deploy"]).out();
        handle.until("the second run has ended", |done| done.is_over() && done.run().number == 2).await;
        assert!(longshore(namespace, &["resume", "deploy"]).out().contains("was not suspended"));
    })
    .await;
}
