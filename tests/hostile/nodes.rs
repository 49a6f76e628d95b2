//! Nodes that lie about the time, and nodes that are silent and come back. The node is a fake one
//! (tests/node), and what is said of its clock in a pod's status is its own word alone.

use std::{path::PathBuf, time::Duration};

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use longshore::api::{ANNOTATION_RERUN, Reason};
use serde_json::json;

use super::{
    attack::{finished_within, is_long, judged, lives, locked, no_more_than, started, told},
    oracle::Alone,
};
use crate::{
    node::{FakeNode, MARK, Options, Order, Signal},
    support::{
        action::{Action, Done},
        namespace::{Namespace, until},
    },
};

const TWO_HOURS: i64 = 7200;

/// A namespace, and a fake node that is named after it; all is judged at the end.
pub(crate) async fn on_fake_node(
    alone: Alone,
    options: impl FnOnce(Options) -> Options,
    test: impl AsyncFnOnce(&Namespace, &FakeNode),
) {
    judged(alone, async |namespace| {
        let node = FakeNode::start(options(Options::new(&namespace.name, runner()))).await;
        test(namespace, &node).await;
    })
    .await;
}

pub(crate) fn runner() -> PathBuf {
    env!("CARGO_BIN_EXE_longshore-runner").into()
}

/// For these nodes, in this order where there is a choice.
pub(crate) fn on(nodes: &[&str], action: Action) -> Action {
    let is = |node: &str| json!([{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]);
    let any = json!([{"key": "kubernetes.io/hostname", "operator": "In", "values": nodes}]);
    let affinity = json!({"nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": any}]},
        "preferredDuringSchedulingIgnoredDuringExecution":
            [{"weight": 100, "preference": {"matchExpressions": is(nodes[0])}}],
    }});
    let template = json!({"affinity": affinity, "tolerations": [{"key": MARK, "operator": "Exists"}]});
    action.with("podTemplate", template)
}

/// With deadlines that are over long before two hours are.
fn short(action: Action) -> Action {
    action
        .with("pendingDeadlineSeconds", 30)
        .with("runDeadlineSeconds", if is_long() { 300 } else { 40 })
        .with("terminationGracePeriodSeconds", 1)
}

/// A holder of the lock and one that waits for it, on a node whose clock is so far ahead, and is set so far
/// ahead in mid-run.
async fn by_the_clock(at_first: i64, in_mid_run: i64) {
    let wrong = |options: Options| Options { clock_seconds: at_first, ..options };
    on_fake_node(Alone::Namespace, wrong, async |namespace, node| {
        let all = |body: &str| locked(short(on(&[node.name()], told(body))));
        // In the long form for long enough that a lock would pass by a wrong clock.
        let body = format!("echo begun; sleep {}; leave 0", if is_long() { 120 } else { 10 });
        let first = namespace.apply("first", all(&body)).await;
        started(&first, 1).await;
        node.set_clock(in_mid_run);
        let second = namespace.apply("second", all("leave 0")).await;
        first.annotate(ANNOTATION_RERUN, "again").await;
        for action in [&first, &second] {
            let done = finished_within(action, Duration::from_mins(4)).await;
            assert_eq!(done.reason(), Some(Reason::Succeeded), "{}: {}", action.name, done.message());
        }
        let twice = until("the first one's second run has ended", async || {
            let seen = Done::of(first.get().await);
            (seen.run().number == 2 && seen.is_finished()).then_some(seen)
        })
        .await;
        assert_eq!(twice.reason(), Some(Reason::Succeeded), "{}", twice.message());
        for past in &twice.status().history {
            assert_eq!(past.reason, "Succeeded", "{past:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_node_that_is_two_hours_behind_ends_no_run_and_passes_no_lock_on() {
    by_the_clock(-TWO_HOURS, -TWO_HOURS).await;
}

#[tokio::test]
async fn a_node_that_is_two_hours_ahead_ends_no_run_and_holds_no_lock() {
    by_the_clock(TWO_HOURS, TWO_HOURS).await;
}

#[tokio::test]
async fn a_node_whose_clock_is_set_back_in_mid_run_ends_no_run() {
    by_the_clock(0, -TWO_HOURS).await;
}

#[tokio::test]
async fn a_node_whose_clock_is_set_forward_in_mid_run_ends_no_run() {
    by_the_clock(0, TWO_HOURS).await;
}

/// Of a container that ended without a word nothing more comes, whenever its node says that it ended.
#[tokio::test]
async fn a_killed_container_of_a_node_ahead_of_time_is_told_and_its_lock_passes_on_at_once() {
    let ahead = |options: Options| Options { clock_seconds: TWO_HOURS, ..options };
    on_fake_node(Alone::Namespace, ahead, async |namespace, node| {
        let all = |body: &str| locked(short(on(&[node.name()], told(body))));
        let first = namespace.apply("first", all("echo begun; sleep 600")).await;
        started(&first, 1).await;
        let second = namespace.apply("second", all("leave 0")).await;
        first.reason(Reason::Running).await;
        assert!(node.order(&first.pod().await.uid().unwrap(), Order::Kill("Error".into())));
        let done = finished_within(&first, Duration::from_mins(1)).await;
        assert_eq!(done.reason(), Some(Reason::Unknown), "{}", done.message());
        finished_within(&second, Duration::from_mins(1)).await.assert_succeeded();
    })
    .await;
}

/// Long enough for every bound that could be counted from the start of such a script: the longest is 113 s, and
/// it runs for 20 s already. After 138 s the operator deletes the pod, which ends it at last.
const PAST_EVERY_DEADLINE: Duration = Duration::from_secs(105);

/// The runner hangs, the kubelet keeps no deadline, and the node was away: but the API server shows the
/// container running, on a node that reports.
#[tokio::test]
async fn past_every_deadline_nothing_passes_beside_a_container_that_its_node_reports_running() {
    let hangs = |options: Options| Options { keeps_deadlines: false, ..options };
    on_fake_node(Alone::Namespace, hangs, async |namespace, node| {
        let quick = |body: &str| {
            locked(on(&[node.name()], told(body)))
                .with("pendingDeadlineSeconds", 20)
                .with("runDeadlineSeconds", 1)
                .with("terminationGracePeriodSeconds", 1)
        };
        let retry = json!({"limit": 1, "causes": ["Interrupted", "DeadlineExceeded"], "backoffSeconds": 1});
        let first = namespace.apply("first", quick("echo begun; sleep 600").with("retry", retry)).await;
        started(&first, 1).await;
        let pod = first.under_way().await.uid().unwrap();
        assert!(node.order(&pod, Order::Signal(Signal::SIGSTOP)));
        let second = namespace.apply("second", quick("leave 0")).await;
        first.annotate(ANNOTATION_RERUN, "again").await;
        node.cut_off();
        tokio::time::sleep(Duration::from_secs(20)).await;
        node.reconnect();
        no_more_than(&first, 1, PAST_EVERY_DEADLINE).await;
        assert!(lives(&second).is_empty(), "the lock was passed on: {:?}", lives(&second));
        // What hangs is ended by hand at last; then all goes on.
        assert!(node.order(&pod, Order::Kill("Error".into())));
        finished_within(&second, Duration::from_mins(2)).await;
    })
    .await;
}

/// Without the node's word nothing is known; once it is back, what it says is.
#[tokio::test]
async fn a_node_that_was_away_past_the_deadlines_and_comes_back_tells_of_one_run() {
    on_fake_node(
        Alone::Namespace,
        |options| options,
        async |namespace, node| {
            let quick = |body: &str| {
                locked(on(&[node.name()], told(body)))
                    .with("pendingDeadlineSeconds", 20)
                    .with("runDeadlineSeconds", 30)
                    .with("terminationGracePeriodSeconds", 1)
            };
            let first = namespace.apply("first", quick("echo begun; sleep 12; leave 0")).await;
            started(&first, 1).await;
            first.under_way().await;
            let second = namespace.apply("second", quick("leave 0")).await;
            node.cut_off();
            // Somebody gives the pod up meanwhile.
            let pod = first.pod().await;
            let now = kube::api::DeleteParams::default().grace_period(0);
            namespace.api::<Pod>().delete(&pod.name_any(), &now).await.unwrap();
            tokio::time::sleep(Duration::from_secs(20)).await;
            assert_eq!(lives(&first).len(), 1);
            node.reconnect();
            finished_within(&first, Duration::from_mins(2)).await;
            finished_within(&second, Duration::from_mins(4)).await.assert_succeeded();
        },
    )
    .await;
}
