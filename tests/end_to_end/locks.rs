//! Actions that name a lock, on real containers: who runs when, and what becomes of those that wait.
//! Actions that go by themselves are here too.

use std::time::Duration;

use k8s_openapi::{
    api::{coordination::v1::Lease, core::v1::Pod},
    jiff::Timestamp,
};
use kube::{
    ResourceExt,
    api::{DeleteParams, ListParams, LogParams, Patch, PatchParams, PostParams},
};
use longshore::{
    api::{ANNOTATION_CANCEL, DeploymentAction, LABEL_LOCK, Phase, Reason},
    record::frame::{Kind, kind_of},
};
use serde_json::{Value, json};

use crate::support::{
    action::{Action, Done, Handle},
    namespace::{Namespace, in_namespace, until, within},
};

const LEASE: &str = "longshore-lock-prod";

fn locked(script: &str) -> Action {
    Action::script(script).with("lock", json!({"name": "prod"}))
}

/// A script that runs until it is asked to stop, and then takes its time.
fn holder() -> Action {
    locked("trap 'sleep 3; exit 7' TERM; echo begun; while :; do sleep 0.1; done")
}

async fn lease(namespace: &Namespace) -> Option<Lease> {
    namespace.api::<Lease>().get_opt(LEASE).await.expect("reading the Lease")
}

async fn held_by(namespace: &Namespace) -> Option<String> {
    lease(namespace).await?.spec?.holder_identity
}

async fn queued(action: &Handle<'_>, position: u32) -> Done {
    action
        .until("it waits for its lock", |seen| {
            seen.status().phase == Some(Phase::Queued) && seen.run().queue_position == Some(position)
        })
        .await
}

async fn cancel(action: &Handle<'_>) {
    let id = Done::of(action.get().await).run().id.clone();
    action.patch(json!({"metadata": {"annotations": {ANNOTATION_CANCEL: id}}})).await;
}

/// When the script's first and its last line were written, by the node's clock.
async fn ran(namespace: &Namespace, done: &Done) -> (Timestamp, Timestamp) {
    let parameters = LogParams { timestamps: true, ..LogParams::default() };
    let pod = done.run().pod_name.clone().expect("it has a pod");
    let log = namespace.api::<Pod>().logs(&pod, &parameters).await.expect("reading the log");
    let lines = log.lines().map(|line| line.split_once(' ').expect("a time and a frame"));
    let lines = lines.filter(|(_, frame)| kind_of(frame.as_bytes()) == Some(Kind::Both));
    let times: Vec<Timestamp> = lines.map(|(time, _)| time.parse().expect("a time")).collect();
    (times[0], times[times.len() - 1])
}

#[tokio::test]
async fn actions_of_one_lock_run_one_after_the_other_in_the_order_in_which_they_were_made() {
    in_namespace(async |namespace| {
        let mut actions = Vec::new();
        for number in 0..5 {
            let name = format!("turn-{number}");
            actions.push(namespace.apply(&name, locked("echo begun; sleep 1; echo ended")).await);
        }
        let mut ended = Timestamp::MIN;
        for action in &actions {
            let done = action.finished().await;
            done.assert_succeeded();
            let (first, last) = ran(namespace, &done).await;
            assert!(first > ended, "{} began at {first}, before {ended}", action.name);
            ended = last;
            let pod = action.pod().await;
            assert_eq!(pod.labels().get(LABEL_LOCK).map(String::as_str), Some("prod"));
        }
        // The last one leaves nothing behind.
        until("the Lease is gone", async || lease(namespace).await.is_none().then_some(())).await;
        let last = actions[4]
            .until("the lock was given back", |seen| {
                seen.run().lock.as_ref().is_some_and(|lock| lock.released_at.is_some())
            })
            .await;
        assert_eq!(last.run().queue_position, None);
    })
    .await;
}

#[tokio::test]
async fn another_lock_and_another_namespace_wait_for_nobody() {
    in_namespace(async |namespace| {
        namespace.apply("holder", holder()).await.under_way().await;
        let other = Action::script("echo hello").with("lock", json!({"name": "test"}));
        namespace.apply("other", other).await.finished().await.assert_succeeded();
        namespace.run(Action::script("echo hello")).await.assert_succeeded();
        let sibling = namespace.sibling().await;
        sibling.run(locked("echo hello")).await.assert_succeeded();
        assert!(held_by(namespace).await.unwrap().starts_with("holder/"));
    })
    .await;
}

#[tokio::test]
async fn the_lease_names_run_and_pod_and_whoever_waits_is_told() {
    in_namespace(async |namespace| {
        let first = namespace.apply("first", holder()).await;
        let pod = first.under_way().await;
        let second = namespace.apply("second", locked("echo hello")).await;
        let third = namespace.apply("third", locked("echo hello")).await;
        let waiting = queued(&second, 1).await;
        queued(&third, 2).await;
        let id = Done::of(first.get().await).run().id.clone();
        waiting.assert_says(&["prod", "first", &id, "place 1"]);
        assert!(waiting.conditions().contains("Reconciling=True"), "{}", waiting.conditions());
        assert!(waiting.0.status.as_ref().unwrap().image.is_none(), "its tag is resolved once it starts");
        let seen = until("the pod's UID is on the Lease", async || {
            lease(namespace).await.filter(|lease| lease.annotations().contains_key("longshore.dev/pod-uid"))
        })
        .await;
        let note = |name: &str| seen.annotations().get(&format!("longshore.dev/{name}")).cloned();
        assert_eq!(seen.spec.as_ref().unwrap().holder_identity, Some(format!("first/{id}")));
        assert_eq!((note("pod"), note("pod-uid")), (pod.metadata.name.clone(), pod.uid()));
        assert_eq!((note("action-uid"), note("run-id")), (first.get().await.uid(), Some(id)));
        // A run that is cancelled before its node has reported it running loses its pod.
        first.reason(Reason::Running).await;
        cancel(&first).await;
        first.finished().await.assert_failed(Reason::Cancelled, Some(7));
        for action in [&second, &third] {
            action.finished().await.assert_succeeded();
        }
    })
    .await;
}

#[tokio::test]
async fn who_does_not_want_to_wait_fails_and_starts_nothing() {
    in_namespace(async |namespace| {
        let first = namespace.apply("first", holder()).await;
        first.under_way().await;
        let fails = |action: Action| action.with("lock", json!({"name": "prod", "whenHeld": "Fail"}));
        let second = namespace.apply("second", fails(Action::script("echo hello"))).await;
        let done = second.finished().await;
        done.assert_failed(Reason::LockHeld, None).assert_says(&["lock prod", "first"]);
        assert_eq!(done.run().pod_name, None);
        cancel(&first).await;
        until("the lock is free", async || lease(namespace).await.is_none().then_some(())).await;
        second.patch_spec(json!({"runToken": "again"})).await;
        second.finished().await.assert_succeeded();
    })
    .await;
}

#[tokio::test]
async fn past_its_queue_deadline_a_run_fails_and_the_others_keep_their_places() {
    in_namespace(async |namespace| {
        let first = namespace.apply("first", holder()).await;
        first.under_way().await;
        let lock = json!({"name": "prod", "queueDeadlineSeconds": 3});
        let second = namespace.apply("second", Action::script("echo hello").with("lock", lock)).await;
        queued(&second, 1).await;
        let third = namespace.apply("third", locked("echo hello")).await;
        let done = second.finished().await;
        done.assert_failed(Reason::QueueDeadlineExceeded, None).assert_says(&["first"]);
        queued(&third, 1).await;
        cancel(&first).await;
        third.finished().await.assert_succeeded();
    })
    .await;
}

#[tokio::test]
async fn cancelled_deleted_or_suspended_while_it_waits_it_lets_others_pass() {
    in_namespace(async |namespace| {
        let first = namespace.apply("first", holder()).await;
        first.under_way().await;
        let mut waiting = Vec::new();
        for name in ["cancelled", "deleted", "suspended", "last"] {
            waiting.push(namespace.apply(name, locked("echo hello")).await);
        }
        let [cancelled, deleted, suspended, last] = &waiting[..] else { panic!() };
        queued(last, 4).await;
        cancel(cancelled).await;
        cancelled.finished().await.assert_failed(Reason::Cancelled, None);
        deleted.delete(&DeleteParams::background()).await;
        suspended.patch_spec(json!({"suspend": true})).await;
        suspended.reason(Reason::Suspended).await;
        queued(last, 1).await;
        cancel(&first).await;
        last.finished().await.assert_succeeded();
        assert_eq!(Done::of(suspended.get().await).status().phase, Some(Phase::Suspended));
        suspended.patch_spec(json!({"suspend": null})).await;
        suspended.finished().await.assert_succeeded();
    })
    .await;
}

/// `second` has no pod as long as the container of `pod` may run.
async fn waits_for_the_end_of(namespace: &Namespace, pod: &Pod, second: &Handle<'_>) {
    let pods = namespace.api::<Pod>();
    within(Duration::from_mins(1), "the container has ended", async || {
        let seen = second.get().await;
        let live = pods.get_opt(&pod.name_any()).await.expect("reading the pod");
        let runs = live.filter(|live| live.uid() == pod.uid()).is_some_and(|live| {
            let all = live.status.and_then(|status| status.container_statuses).unwrap_or_default();
            all.iter().any(|one| one.state.as_ref().is_some_and(|state| state.running.is_some()))
        });
        let seen = Done::of(seen);
        assert!(!runs || seen.run().pod_name.is_none(), "both run: {:?}", seen.run());
        (!runs).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_holder_s_action_is_deleted_and_the_next_waits_for_its_container() {
    in_namespace(async |namespace| {
        let first = namespace.apply("first", holder()).await;
        let pod = first.under_way().await;
        let second = namespace.apply("second", locked("echo hello")).await;
        queued(&second, 1).await;
        first.delete(&DeleteParams::background()).await;
        waits_for_the_end_of(namespace, &pod, &second).await;
        second.finished().await.assert_succeeded();
        within(Duration::from_secs(30), "the first one's pod is gone", async || {
            (namespace.pods().await.len() == 1).then_some(())
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn the_holder_s_action_is_deleted_and_its_pod_stays() {
    in_namespace(async |namespace| {
        let first = namespace.apply("first", locked("echo begun; sleep 8; echo ended")).await;
        let pod = first.under_way().await;
        let second = namespace.apply("second", locked("echo hello")).await;
        queued(&second, 1).await;
        first
            .delete(&DeleteParams {
                propagation_policy: Some(kube::api::PropagationPolicy::Orphan),
                ..DeleteParams::default()
            })
            .await;
        waits_for_the_end_of(namespace, &pod, &second).await;
        second.finished().await.assert_succeeded();
    })
    .await;
}

#[tokio::test]
async fn a_lease_that_is_deleted_while_a_script_runs_lets_nobody_in() {
    in_namespace(async |namespace| {
        let first = namespace.apply("first", holder()).await;
        let pod = first.under_way().await;
        namespace.api::<Lease>().delete(LEASE, &DeleteParams::default()).await.unwrap();
        let second = namespace.apply("second", locked("echo hello")).await;
        queued(&second, 1).await;
        // Nothing tells of a Lease that is gone: this is time to take it in.
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(Done::of(second.get().await).run().pod_name, None);
        cancel(&first).await;
        waits_for_the_end_of(namespace, &pod, &second).await;
        second.finished().await.assert_succeeded();
    })
    .await;
}

#[tokio::test]
async fn a_status_that_is_emptied_while_its_script_runs_frees_no_lock() {
    in_namespace(async |namespace| {
        let first = namespace.apply("first", holder()).await;
        let pod = first.under_way().await;
        let actions = namespace.api::<DeploymentAction>();
        let emptied = Patch::Merge(json!({"status": null}));
        actions.patch_status("first", &PatchParams::default(), &emptied).await.unwrap();
        let second = namespace.apply("second", locked("echo hello")).await;
        queued(&second, 1).await;
        first
            .until("its run is on record again", |seen| {
                seen.status().run.as_ref().is_some_and(|run| run.held_lock().is_some())
            })
            .await;
        cancel(&first).await;
        waits_for_the_end_of(namespace, &pod, &second).await;
        second.finished().await.assert_succeeded();
    })
    .await;
}

#[tokio::test]
async fn a_lease_of_somebody_else_is_named_and_left_alone() {
    in_namespace(async |namespace| {
        let stranger = json!({"metadata": {"name": LEASE}, "spec": {"holderIdentity": "somebody"}});
        namespace.put::<Lease>(stranger).await;
        let done = namespace.run(locked("echo hello")).await;
        done.assert_failed(Reason::LockNameTaken, None).assert_says(&[LEASE]);
        assert_eq!(held_by(namespace).await.as_deref(), Some("somebody"));
    })
    .await;
}

#[tokio::test]
async fn the_lock_is_kept_over_all_attempts() {
    in_namespace(async |namespace| {
        let retry = json!({"limit": 1, "causes": ["ScriptFailed"], "backoffSeconds": 4});
        let twice = locked("echo begun; sleep 1; [ $LONGSHORE_ATTEMPT = 2 ]").with("retry", retry);
        let first = namespace.apply("first", twice).await;
        first.under_way().await;
        let second = namespace.apply("second", locked("echo hello")).await;
        queued(&second, 1).await;
        first.reason(Reason::RetryPending).await;
        assert!(held_by(namespace).await.unwrap().starts_with("first/"));
        let done = first.finished().await;
        done.assert_succeeded();
        let after = second.finished().await;
        after.assert_succeeded();
        let (_, ended) = ran(namespace, &done).await;
        assert!(ran(namespace, &after).await.0 > ended);
    })
    .await;
}

#[tokio::test]
async fn run_again_an_action_waits_at_the_queue_s_end() {
    in_namespace(async |namespace| {
        let first = namespace.apply("first", locked("echo begun; sleep 3; echo ended")).await;
        first.under_way().await;
        let second = namespace.apply("second", locked("echo hello")).await;
        queued(&second, 1).await;
        first.patch_spec(json!({"runToken": "again"})).await;
        let after = second.finished().await;
        after.assert_succeeded();
        let again = first
            .until("its second run has ended", |seen| seen.run().number == 2 && seen.is_finished())
            .await;
        assert!(ran(namespace, &again).await.0 > ran(namespace, &after).await.1);
    })
    .await;
}

/// Creates an action under a generated name.
async fn generated(namespace: &Namespace, action: Action) -> Handle<'_> {
    let mut object: Value = action.object("ignored");
    object["metadata"] = json!({"generateName": "release-"});
    let object = serde_json::from_value(object).unwrap();
    let made = namespace.api::<DeploymentAction>().create(&PostParams::default(), &object).await.unwrap();
    Handle { namespace, name: made.name_any() }
}

#[tokio::test]
async fn an_action_of_ci_goes_by_itself_and_takes_its_pod_along() {
    in_namespace(async |namespace| {
        let ttl = |action: Action| action.with("ttlSecondsAfterFinished", 8);
        let good = generated(namespace, ttl(locked("echo hello"))).await;
        let bad = generated(namespace, ttl(Action::script("exit 3"))).await;
        good.finished().await.assert_succeeded();
        bad.finished().await.assert_failed(Reason::ScriptFailed, Some(3));
        let long = generated(namespace, Action::script("sleep 20").with("ttlSecondsAfterFinished", 0)).await;
        let actions = namespace.api::<DeploymentAction>();
        for action in [&good, &bad, &long] {
            let what = format!("{} is gone", action.name);
            within(Duration::from_mins(1), &what, async || {
                actions.get_opt(&action.name).await.expect("reading the action").is_none().then_some(())
            })
            .await;
        }
        within(Duration::from_mins(1), "their pods are gone", async || {
            namespace.pods().await.is_empty().then_some(())
        })
        .await;
        assert!(namespace.api::<Lease>().list(&ListParams::default()).await.unwrap().items.is_empty());
    })
    .await;
}

#[tokio::test]
async fn an_action_of_ci_that_is_run_again_stays_until_that_has_ended() {
    in_namespace(async |namespace| {
        let wanted = Action::script("echo begun; sleep 5").with("ttlSecondsAfterFinished", 2);
        let action = generated(namespace, wanted).await;
        action.under_way().await;
        action.patch_spec(json!({"runToken": "again"})).await;
        let again = action.until("it runs again", |seen| seen.run().number == 2).await;
        assert!(!again.is_finished());
        action.until("the second run has ended", |seen| seen.run().number == 2 && seen.is_finished()).await;
        let actions = namespace.api::<DeploymentAction>();
        // The pod of its first run is held until no second creation of it can arrive any more.
        within(Duration::from_mins(3), "it is gone", async || {
            actions.get_opt(&action.name).await.expect("reading the action").is_none().then_some(())
        })
        .await;
    })
    .await;
}
