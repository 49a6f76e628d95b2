//! The operator dies while scripts run: each outcome is right, each log complete, each script ran
//! once. Other tests would measure a restart, too, so they run at other times.

use std::time::Duration;

use k8s_openapi::{
    api::{coordination::v1::Lease, core::v1::Pod},
    apimachinery::pkg::apis::meta::v1::MicroTime,
    jiff::Timestamp,
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use longshore::api::{LABEL_ACTION, Reason};
use serde_json::json;

use crate::support::{
    action::{Action, Done, Handle},
    long_log::{assert_whole, writer},
    namespace::{Namespace, in_namespace, within},
    turns::alone,
};

/// One line each half second, and an output at the end.
const TEN_SECONDS: &str = "#!/usr/bin/env bash\n\
    for i in $(seq 20); do echo line $i; sleep 0.5; done\n\
    echo lines=20 >> \"$LONGSHORE_OUTPUT\"\n";

fn operators(namespace: &Namespace) -> Api<Pod> {
    Api::namespaced(namespace.client.clone(), "longshore-system")
}

async fn kill_operator(namespace: &Namespace, grace_seconds: u32) {
    let pods = operators(namespace);
    let labels = ListParams::default().labels("app.kubernetes.io/name=longshore");
    for operator in pods.list(&labels).await.unwrap() {
        let parameters = DeleteParams::default().grace_period(grace_seconds);
        // It may be on its way out already.
        let _ = pods.delete(&operator.name_any(), &parameters).await;
    }
}

/// The one pod of the action; there was never another one.
async fn assert_ran_once(action: &Handle<'_>, done: &Done) {
    assert_eq!((done.run().number, done.run().attempt), (1, 1));
    let labels = ListParams::default().labels(&format!("{LABEL_ACTION}={}", action.name));
    let pods = action.namespace.api::<Pod>().list(&labels).await.unwrap();
    let uids: Vec<_> = pods.iter().filter_map(ResourceExt::uid).collect();
    assert_eq!(uids, [done.run().pod_uid.clone().unwrap()]);
    let restarts =
        pods.items[0].status.as_ref().unwrap().container_statuses.as_ref().unwrap()[0].restart_count;
    assert_eq!(restarts, 0);
}

async fn survives(grace_seconds: u32) {
    let _alone = alone().await;
    Box::pin(in_namespace(async |namespace| {
        let good = namespace.apply("good", Action::script(TEN_SECONDS).outputs(&["lines"])).await;
        let bad = namespace.apply("bad", Action::script("echo begun; sleep 8; echo failing; exit 3")).await;
        let quick = namespace.apply("quick", Action::script("echo begun; sleep 3; echo ended")).await;
        for action in [&good, &bad, &quick] {
            action.under_way().await;
        }
        kill_operator(namespace, grace_seconds).await;
        // `quick` ends while nobody looks.
        let lines = (1..=20).fold(String::new(), |text, number| text + &format!("line {number}\n"));
        let done = good.finished().await;
        done.assert_succeeded();
        assert_eq!((done.tail(), done.output("lines")), (lines.as_str(), "20"));
        assert_ran_once(&good, &done).await;
        let done = bad.finished().await;
        done.assert_failed(Reason::ScriptFailed, Some(3)).assert_log_complete();
        assert_eq!(done.tail(), "begun\nfailing\n");
        assert_ran_once(&bad, &done).await;
        let done = quick.finished().await;
        done.assert_succeeded();
        assert_eq!(done.tail(), "begun\nended\n");
        assert_ran_once(&quick, &done).await;
        assert_operator_is_ready(namespace).await;
    }))
    .await;
}

#[tokio::test]
async fn runs_survive_an_operator_that_is_asked_to_go() {
    Box::pin(survives(1)).await;
}

#[tokio::test]
async fn runs_survive_an_operator_that_is_killed() {
    Box::pin(survives(0)).await;
}

#[tokio::test]
async fn a_log_longer_than_its_node_keeps_survives_an_operator_that_is_killed() {
    let _alone = alone().await;
    in_namespace(async |namespace| {
        let action = namespace.apply("long", writer(30_000, 14)).await;
        action.under_way().await;
        // Once it has begun to tell the runner what it has, and again.
        for _ in 0..2 {
            tokio::time::sleep(Duration::from_secs(5)).await;
            kill_operator(namespace, 0).await;
        }
        let done = action.finished().await;
        assert_whole(done.assert_succeeded(), 420_000);
        assert_ran_once(&action, &done).await;
        assert_operator_is_ready(namespace).await;
    })
    .await;
}

#[tokio::test]
async fn an_operator_that_dies_at_any_moment_of_a_launch_starts_nothing_twice() {
    let _alone = alone().await;
    in_namespace(async |namespace| {
        let mut actions = Vec::new();
        for number in 0..12 {
            if number == 4 || number == 9 {
                kill_operator(namespace, 0).await;
            }
            let name = format!("launch-{number}");
            actions.push(namespace.apply(&name, Action::script("echo once")).await);
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
        for action in &actions {
            let done = action.finished().await;
            done.assert_succeeded();
            assert_eq!(done.tail(), "once\n");
            assert_ran_once(action, &done).await;
        }
        assert_operator_is_ready(namespace).await;
    })
    .await;
}

#[tokio::test]
async fn a_queue_survives_an_operator_that_is_killed() {
    let _alone = alone().await;
    in_namespace(async |namespace| {
        let locked = |script: &str| Action::script(script).with("lock", json!({"name": "prod"}));
        let first = namespace.apply("first", locked("echo begun; sleep 8; echo ended")).await;
        first.under_way().await;
        let mut waiting = Vec::new();
        for number in 0..4 {
            // Two of them before the operator's end, two while nobody looks.
            if number == 2 {
                kill_operator(namespace, 0).await;
            }
            let name = format!("waiting-{number}");
            waiting.push(namespace.apply(&name, locked("echo begun; sleep 1; echo ended")).await);
        }
        let mut ended = None;
        for action in std::iter::once(&first).chain(&waiting) {
            let done = action.finished().await;
            done.assert_succeeded();
            assert_ran_once(action, &done).await;
            // The verdict comes before the node tells of the end.
            let end = within(Duration::from_secs(30), "the node tells of its end", async || {
                action.pod().await.status?.container_statuses?.first()?.state.clone()?.terminated
            })
            .await;
            // A node tells whole seconds.
            assert!(end.started_at >= ended, "{} began before the one before had ended", action.name);
            ended = end.finished_at;
        }
        assert_operator_is_ready(namespace).await;
    })
    .await;
}

#[tokio::test]
async fn an_operator_that_loses_its_lease_starts_anew_without_the_kubelet_s_back_off() {
    let _alone = alone().await;
    in_namespace(async |namespace| {
        assert_operator_is_ready(namespace).await;
        let action = namespace.apply("good", Action::script(TEN_SECONDS).outputs(&["lines"])).await;
        action.under_way().await;
        let leases: Api<Lease> = Api::namespaced(namespace.client.clone(), "longshore-system");
        let lease = async || leases.get("longshore").await.unwrap().spec.unwrap();
        let restarts = async || {
            let labels = ListParams::default().labels("app.kubernetes.io/name=longshore");
            let pods = operators(namespace).list(&labels).await.unwrap();
            let of = |pod: &Pod| pod.status.as_ref()?.container_statuses.as_ref()?.first().cloned();
            pods.iter()
                .filter(|pod| pod.metadata.deletion_timestamp.is_none())
                .filter_map(of)
                .map(|container| container.restart_count)
                .sum::<i32>()
        };
        let before = (lease().await, restarts().await);
        for stranger in ["stranger-1", "stranger-2"] {
            let renewed = MicroTime(Timestamp::now());
            let theirs = json!({"spec": {"holderIdentity": stranger, "renewTime": renewed}});
            leases.patch("longshore", &PatchParams::default(), &Patch::Merge(theirs)).await.unwrap();
            within(Duration::from_mins(1), "an operator leads again", async || {
                (lease().await.holder_identity.as_deref() != Some(stranger)).then_some(())
            })
            .await;
        }
        let done = action.finished().await;
        done.assert_succeeded();
        assert_ran_once(&action, &done).await;
        assert_operator_is_ready(namespace).await;
        let after = lease().await;
        // The same container took it anew, twice.
        assert_eq!(after.holder_identity, before.0.holder_identity);
        assert_eq!(after.lease_transitions, before.0.lease_transitions.map(|before| before + 2));
        assert_eq!(restarts().await, before.1);
    })
    .await;
}

async fn assert_operator_is_ready(namespace: &Namespace) {
    let labels = ListParams::default().labels("app.kubernetes.io/name=longshore");
    within(Duration::from_mins(1), "an operator is ready", async || {
        operators(namespace).list(&labels).await.unwrap().iter().any(is_ready).then_some(())
    })
    .await;
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    pod.metadata.deletion_timestamp.is_none()
        && conditions.is_some_and(|all| all.iter().any(|one| one.type_ == "Ready" && one.status == "True"))
}
