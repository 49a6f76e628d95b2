//! Containers that somebody else in the cluster adds to an action's pod: they neither delay nor
//! decide, and are ended after the script.

use std::time::Duration;

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use longshore::api::{ConditionType, Reason};

use super::{cluster_scoped::injected, pending::is_without_pods};
use crate::support::{
    action::{Action, Done, Handle},
    namespace::{Namespace, examples_image, in_namespace, within},
};

const STAYS: &str = "trap 'exit 0' TERM; echo beside; while :; do sleep 1; done";

/// Before the script's container, where many tools put theirs.
async fn inject_first(namespace: &Namespace, script: &str) {
    let container = injected("containers", script, "");
    namespace
        .mutate_pods(&format!("[JSONPatch{{op: 'add', path: '/spec/containers/0', value: {container}}}]"))
        .await;
}

/// Adds an init container, whether there are any or not.
fn also_first(container: &str) -> String {
    format!(
        "has(object.spec.initContainers) \
         ? [JSONPatch{{op: 'add', path: '/spec/initContainers/-', value: {container}}}] \
         : [JSONPatch{{op: 'add', path: '/spec/initContainers', value: [{container}]}}]"
    )
}

fn beside(pod: &Pod) -> Option<&ContainerStatus> {
    let status = pod.status.as_ref()?;
    let mut all = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    all.find(|container| container.name == "beside")
}

/// The pod ends although something in it would stay, is let go, and changes nothing that was told.
async fn comes_to_rest(action: &Handle<'_>, before: &Done) -> Pod {
    let pod = within(Duration::from_secs(40), "the pod ends and has no finalizer of ours", async || {
        let pod = action.pod().await;
        let phase = pod.status.as_ref().and_then(|status| status.phase.clone()).unwrap_or_default();
        let free = pod.metadata.finalizers.as_ref().is_none_or(Vec::is_empty);
        (free && matches!(phase.as_str(), "Succeeded" | "Failed")).then_some(pod)
    })
    .await;
    let after = Done::of(action.get().await);
    assert_eq!(after.run(), before.run());
    let but_sidecars = |done: &Done| {
        let mut conditions = done.status().conditions.clone();
        conditions.retain(|condition| condition.type_ != ConditionType::SidecarsEnded.as_str());
        conditions
    };
    assert_eq!(but_sidecars(&after), but_sidecars(before));
    let ended = after.status().conditions().is_true(ConditionType::SidecarsEnded);
    let reason = pod.status.as_ref().and_then(|status| status.reason.as_deref());
    assert_eq!(ended, reason == Some("DeadlineExceeded"), "the status says why its pod looks as it does");
    let disputed = ConditionType::VerdictDisputed;
    assert!(!after.status().conditions().is_true(disputed), "{}", after.condition(disputed).message);
    pod
}

#[tokio::test]
async fn a_container_that_stays_neither_delays_a_failure_nor_outlives_it() {
    in_namespace(async |namespace| {
        inject_first(namespace, STAYS).await;
        let action = namespace.apply("injected", Action::script("echo hello; sleep 1; exit 3")).await;
        let done = action.finished().await;
        done.assert_failed(Reason::ScriptFailed, Some(3)).assert_tail_has(&["hello\n"]).assert_log_complete();
        assert!((1..=3).contains(&done.run().duration_seconds.unwrap()), "{:?}", done.run());
        let pod = comes_to_rest(&action, &done).await;
        assert_eq!(pod.spec.as_ref().unwrap().containers[0].name, "beside");
        let end = beside(&pod).unwrap().state.as_ref().unwrap().terminated.as_ref().unwrap();
        assert!(
            end.finished_at.as_ref().unwrap().0 >= done.run().finished_at.as_ref().unwrap().0,
            "it did not stay"
        );
    })
    .await;
}

#[tokio::test]
async fn a_container_that_stays_does_not_delay_a_success() {
    in_namespace(async |namespace| {
        inject_first(namespace, STAYS).await;
        let script = "echo \"url=here\" >> \"$LONGSHORE_OUTPUT\"; echo hello";
        let action = namespace.apply("injected", Action::script(script).outputs(&["url"])).await;
        let done = action.finished().await;
        done.assert_succeeded().assert_tail_has(&["hello\n"]);
        assert_eq!((done.output("url"), done.log().lines), ("here", 1));
        comes_to_rest(&action, &done).await;
        let done = Done::of(action.get().await);
        let told = &done.assert_succeeded().condition(ConditionType::SidecarsEnded).message;
        assert!(["beside", "Failed (DeadlineExceeded)"].iter().all(|word| told.contains(word)), "{told}");
    })
    .await;
}

#[tokio::test]
async fn a_container_that_ends_by_itself_after_the_script_leaves_a_pod_that_has_succeeded() {
    in_namespace(async |namespace| {
        inject_first(namespace, "sleep 6").await;
        let action = namespace.apply("injected", Action::script("echo hello")).await;
        let done = action.finished().await;
        let pod = comes_to_rest(&action, &done).await;
        assert_eq!(pod.status.unwrap().phase.as_deref(), Some("Succeeded"));
    })
    .await;
}

#[tokio::test]
async fn a_container_that_fails_at_once_does_not_fail_the_action() {
    in_namespace(async |namespace| {
        inject_first(namespace, "exit 1").await;
        let action = namespace.apply("injected", Action::script("sleep 2; echo hello")).await;
        let done = action.finished().await;
        done.assert_succeeded().assert_tail_has(&["hello\n"]);
        let pod = comes_to_rest(&action, &done).await;
        let end = beside(&pod).unwrap().state.as_ref().unwrap().terminated.as_ref().unwrap();
        assert_eq!(end.exit_code, 1);
        assert_eq!(pod.status.unwrap().phase.as_deref(), Some("Failed"));
    })
    .await;
}

#[tokio::test]
async fn a_container_whose_image_is_missing_neither_delays_nor_decides() {
    in_namespace(async |namespace| {
        let container = injected("containers", STAYS, "")
            .replace(&examples_image(), &format!("{}-no-such-tag", examples_image()));
        namespace
            .mutate_pods(&format!("[JSONPatch{{op: 'add', path: '/spec/containers/-', value: {container}}}]"))
            .await;
        let action = namespace.apply("injected", Action::script("echo hello; exit 4")).await;
        let done = action.finished().await;
        done.assert_failed(Reason::ScriptFailed, Some(4)).assert_tail_has(&["hello\n"]).assert_log_complete();
        comes_to_rest(&action, &done).await;
    })
    .await;
}

#[tokio::test]
async fn a_native_sidecar_neither_delays_nor_decides() {
    in_namespace(async |namespace| {
        let container = injected("initContainers", STAYS, "restartPolicy: 'Always',");
        namespace.mutate_pods(&also_first(&container)).await;
        let action = namespace.apply("injected", Action::script("echo hello; exit 5")).await;
        let done = action.finished().await;
        done.assert_failed(Reason::ScriptFailed, Some(5)).assert_tail_has(&["hello\n"]).assert_log_complete();
        let pod = comes_to_rest(&action, &done).await;
        assert!(beside(&pod).unwrap().state.as_ref().unwrap().terminated.is_some());
    })
    .await;
}

#[tokio::test]
async fn an_init_container_that_fails_ends_the_run_before_its_script() {
    in_namespace(async |namespace| {
        let container = injected("initContainers", "echo no token; exit 9", "");
        namespace.mutate_pods(&also_first(&container)).await;
        let done = namespace.run(Action::script("echo this must not run")).await;
        done.assert_failed(Reason::StartFailed, None).assert_says(&["init container beside", "exit code 9"]);
        assert_eq!((done.run().started_at.as_ref(), done.status().log.as_ref()), (None, None));
        is_without_pods(namespace).await;
    })
    .await;
}

#[tokio::test]
async fn records_in_another_container_s_log_are_nobody_s() {
    in_namespace(async |namespace| {
        let forged = r#"trap 'exit 0' TERM; while :; do echo '12 1 o 0 forged'; echo '59 2 x 1 {"exit":{"outcome":{"exited":{"code":0}},"millis":1}}'; echo '35 3 z 1 {"end":{"lines":0,"bytes":0}}'; sleep 0.1; done"#;
        inject_first(namespace, forged).await;
        let action = namespace.apply("injected", Action::script("sleep 1; echo hello; exit 6")).await;
        let done = action.finished().await;
        done.assert_failed(Reason::ScriptFailed, Some(6)).assert_log_complete();
        assert_eq!((done.tail(), done.log().lines), ("hello\n", 1));
        comes_to_rest(&action, &done).await;
    })
    .await;
}

#[tokio::test]
async fn an_init_container_that_does_not_end_is_named_at_the_pending_deadline() {
    in_namespace(async |namespace| {
        let container = injected("initContainers", "exec sleep 100", "");
        namespace.mutate_pods(&also_first(&container)).await;
        let action = Action::script("echo no").with("pendingDeadlineSeconds", 30);
        let action = namespace.apply("waiting", action).await;
        let done = action.finished().await;
        done.assert_failed(Reason::PendingDeadlineExceeded, None)
            .assert_says(&["init container beside is still running"]);
        is_without_pods(namespace).await;
    })
    .await;
}
