//! The fake node of `tests/node`, held to what a kubelet does: whole runs, with the operator that is
//! deployed in the cluster.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use k8s_openapi::api::core::v1::{ContainerStateTerminated, Node, Pod};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
};
use longshore::api::Reason;
use serde_json::json;

use crate::{
    node::{FakeNode, Hook, MARK, Moment, Options, Order, Signal},
    support::{
        action::{Action, Done, from_config_map, from_secret},
        namespace::{Namespace, in_namespace, tool, until, within},
        turns::among_others,
    },
};

/// A namespace, and a fake node that is named after it.
async fn on_fake_node(
    options: impl FnOnce(Options) -> Options,
    test: impl AsyncFnOnce(&Namespace, &FakeNode),
) {
    let _others = among_others().await;
    in_namespace(async |namespace| {
        let runner = env!("CARGO_BIN_EXE_longshore-runner");
        let node = FakeNode::start(options(Options::new(&namespace.name, runner))).await;
        test(namespace, &node).await;
    })
    .await;
}

/// An action for this node, with an image that needs no registry.
fn script(node: &FakeNode, inline: &str) -> Action {
    let template = json!({
        "nodeSelector": {"kubernetes.io/hostname": node.name()},
        "tolerations": [{"key": MARK, "operator": "Exists"}],
    });
    Action::script(inline).with("podTemplate", template)
}

fn ended(pod: &Pod) -> Option<ContainerStateTerminated> {
    let status = pod.status.as_ref()?.container_statuses.as_ref()?.first()?;
    status.state.as_ref()?.terminated.clone()
}

#[tokio::test]
async fn an_action_on_it_ends_with_outputs_and_a_whole_log() {
    on_fake_node(
        |options| options,
        async |namespace, node| {
            let nodes: Api<Node> = Api::all(namespace.client.clone());
            let made = nodes.get(node.name()).await.unwrap();
            assert_eq!(made.labels().get(MARK).map(String::as_str), Some("true"));

            let text = "for i in $(seq 300); do echo line $i; done; echo url=here >> \"$LONGSHORE_OUTPUT\"";
            let action = namespace.apply("good", script(node, text).outputs(&["url"])).await;
            let done = action.finished().await;
            done.assert_succeeded();
            assert_eq!((done.output("url"), done.log().lines), ("here", 300));
            let pod = action.pod().await;
            assert_eq!(pod.spec.as_ref().unwrap().node_name.as_deref(), Some(node.name()));
            let pod = until("the pod has succeeded", async || {
                let pod = action.pod().await;
                (pod.status.as_ref()?.phase.as_deref() == Some("Succeeded")).then_some(pod)
            })
            .await;
            let end = ended(&pod).unwrap();
            assert_eq!((end.exit_code, end.reason.as_deref()), (0, Some("Completed")));
            let status = &pod.status.as_ref().unwrap().container_statuses.as_ref().unwrap()[0];
            assert_eq!(Some(&status.image_id), done.image().running.as_ref());
            assert!(status.container_id.as_ref().unwrap().starts_with("containerd://"));
            // The scheduler's condition is still there.
            let conditions = pod.status.as_ref().unwrap().conditions.as_ref().unwrap();
            assert!(conditions.iter().any(|one| one.type_ == "PodScheduled"));
        },
    )
    .await;
}

#[tokio::test]
async fn a_queue_of_a_hundred_drains_in_order_and_without_overlap() {
    const COUNT: usize = 100;
    on_fake_node(
        |options| options,
        async |namespace, node| {
            let told = std::env::temp_dir().join(&namespace.name);
            let file = told.display();
            let text = format!(
                "echo begin $LONGSHORE_ACTION >> {file}; sleep 0.2; echo end $LONGSHORE_ACTION >> {file}"
            );
            let writes = Arc::new(Mutex::new(std::collections::HashMap::<String, usize>::new()));
            let counted = tokio::spawn(count_writes(namespace.api(), Arc::clone(&writes)));
            let begun = std::time::Instant::now();
            let mut actions = Vec::new();
            for number in 0..COUNT {
                let wanted = script(node, &text).with("lock", json!({"name": "prod"}));
                actions.push(namespace.apply(&format!("turn-{number:03}"), wanted).await);
            }
            let last = &actions[COUNT - 1];
            within(Duration::from_mins(10), "the last one has ended", async || {
                let seen = Done::of(last.get().await);
                seen.is_finished().then_some(())
            })
            .await;
            let took = begun.elapsed();
            for action in &actions {
                action.finished().await.assert_succeeded();
            }
            let said = std::fs::read_to_string(&told).unwrap();
            std::fs::remove_file(&told).unwrap();
            let wanted: Vec<String> = (0..COUNT)
                .flat_map(|number| [format!("begin turn-{number:03}"), format!("end turn-{number:03}")])
                .collect();
            assert_eq!(said.lines().collect::<Vec<_>>(), wanted);
            counted.abort();
            // Beside the steps of its run, an action's status is written once each 30 s of waiting.
            let most = 16 + usize::try_from(took.as_secs()).unwrap() / 30;
            let writes = writes.lock().unwrap();
            let all: usize = writes.values().sum();
            println!("{COUNT} actions of one lock: {:.1} s, {all} changes", took.as_secs_f64());
            for (name, count) in &*writes {
                assert!(*count <= most, "{name} was changed {count} times in {} s", took.as_secs());
            }
        },
    )
    .await;
}

async fn count_writes(
    actions: Api<longshore::api::DeploymentAction>,
    writes: Arc<Mutex<std::collections::HashMap<String, usize>>>,
) {
    use futures::StreamExt;
    let mut events =
        std::pin::pin!(kube::runtime::watcher(actions, kube::runtime::watcher::Config::default()));
    while let Some(event) = events.next().await {
        if let Ok(kube::runtime::watcher::Event::Apply(action)) = event {
            *writes.lock().unwrap().entry(action.name_any()).or_default() += 1;
        }
    }
}

#[tokio::test]
async fn a_node_that_is_cut_off_keeps_its_lock_until_it_tells_of_the_end() {
    on_fake_node(
        |options| options,
        async |namespace, node| {
            let locked = |text: &str| script(node, text).with("lock", json!({"name": "prod"}));
            let first = namespace.apply("first", locked("echo begun; sleep 3; echo ended")).await;
            first.under_way().await;
            let second = namespace.apply("second", locked("echo hello")).await;
            second.reason(Reason::Queued).await;
            node.cut_off();
            // Nothing tells of its end any more: neither the action's going nor that of its pod.
            first.delete(&DeleteParams::background()).await;
            tokio::time::sleep(Duration::from_secs(6)).await;
            let seen = Done::of(second.get().await);
            assert_eq!(seen.run().pod_name, None, "it has the lock while the script may run");
            node.reconnect();
            second.finished().await.assert_succeeded();
        },
    )
    .await;
}

#[tokio::test]
async fn a_failing_script_fails_with_its_exit_code() {
    on_fake_node(
        |options| options,
        async |namespace, node| {
            let done = namespace.run(script(node, "echo no; exit 7")).await;
            done.assert_failed(Reason::ScriptFailed, Some(7)).assert_tail_has(&["no\n"]);
            let pods = namespace.pods().await;
            let end = until("the container's end", async || ended(&namespace.pods().await[0])).await;
            assert_eq!((pods.len(), end.exit_code, end.reason.as_deref()), (1, 7, Some("Error")));
            assert!(end.message.unwrap().contains("\"exit\""));
        },
    )
    .await;
}

#[tokio::test]
async fn kubectl_shows_its_log() {
    on_fake_node(
        |options| options,
        async |namespace, node| {
            let action = namespace.apply("long", script(node, "echo one; echo two; sleep 60")).await;
            let pod = action.under_way().await.name_any();
            let kubectl = |more: &[&str]| {
                let mut command = tool("kubectl");
                command.args(["--namespace", &namespace.name, "logs", &pod]).args(more);
                let output = command.output().unwrap();
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
                String::from_utf8(output.stdout).unwrap()
            };
            let all = until("both lines", async || {
                let all = kubectl(&[]);
                all.contains(" two\n").then_some(all)
            })
            .await;
            let first = all.lines().next().unwrap();
            assert!(first.contains(" 1 s "), "{all}");
            assert!(kubectl(&["--tail", "1"]).ends_with(" two\n"));
            assert_eq!(kubectl(&["--limit-bytes", "3"]), all[..3]);
            let timed = kubectl(&["--timestamps", "--tail", "1"]);
            assert!(
                timed.split(' ').next().unwrap().parse::<k8s_openapi::jiff::Timestamp>().is_ok(),
                "{timed}"
            );
            assert!(kubectl(&["--since-time", "2100-01-01T00:00:00Z"]).is_empty());
            node.order(&action.pod().await.uid().unwrap(), Order::Signal(Signal::SIGTERM));
            assert!(kubectl(&["--follow"]).contains("\"end\""));
            action.finished().await.assert_log_complete();
        },
    )
    .await;
}

#[tokio::test]
async fn deleting_the_pod_asks_the_script_to_end() {
    on_fake_node(
        |options| options,
        async |namespace, node| {
            let text = "trap 'echo asked; exit 3' TERM; echo begun; while :; do sleep 0.1; done";
            let action = namespace.apply("deleted", script(node, text)).await;
            let pod = action.under_way().await;
            namespace.api::<Pod>().delete(&pod.name_any(), &DeleteParams::default()).await.unwrap();
            let done = action.finished().await;
            assert_eq!(done.run().exit_code, Some(3), "{}", done.message());
            done.assert_tail_has(&["asked\n"]);
            within(Duration::from_secs(20), "the pod is gone", async || {
                namespace.pods().await.is_empty().then_some(())
            })
            .await;
        },
    )
    .await;
}

#[tokio::test]
async fn a_pod_that_is_deleted_before_its_start_never_starts() {
    on_fake_node(
        |options| Options { start_delay: Duration::from_hours(1), ..options },
        async |namespace, node| {
            let action = namespace.apply("early", script(node, "echo never")).await;
            let pod = until("the node has the pod", async || {
                let pods = namespace.pods().await;
                pods.into_iter().find(|pod| pod.status.as_ref().is_some_and(|of| of.start_time.is_some()))
            })
            .await;
            namespace.api::<Pod>().delete(&pod.name_any(), &DeleteParams::default()).await.unwrap();
            let done = action.finished().await;
            done.assert_failed(Reason::PodDeleted, None).assert_says(&["before the script started"]);
            assert_eq!(done.run().started_at, None);
        },
    )
    .await;
}

#[tokio::test]
async fn a_pod_past_its_deadline_is_ended() {
    on_fake_node(
        |options| options,
        async |namespace, node| {
            let action = namespace.apply("late", script(node, "echo begun; sleep 100")).await;
            let pod = action.under_way().await;
            let patch = Patch::Merge(json!({"spec": {"activeDeadlineSeconds": 1}}));
            namespace.api::<Pod>().patch(&pod.name_any(), &PatchParams::default(), &patch).await.unwrap();
            action.finished().await;
            let reason = until("the pod has failed", async || action.pod().await.status?.reason).await;
            assert_eq!(reason, "DeadlineExceeded");
        },
    )
    .await;
}

#[tokio::test]
async fn values_of_secrets_and_config_maps_are_there_and_a_missing_one_is_waited_for() {
    on_fake_node(
        |options| options,
        async |namespace, node| {
            namespace.config_map("plain", json!({"colour": "green"})).await;
            let variables =
                [from_secret("PASSWORD", "db", "password"), from_config_map("COLOUR", "plain", "colour")];
            let text = "echo colour $COLOUR; echo ${#PASSWORD}; echo $PASSWORD";
            let wanted = script(node, text).with("variables", variables.to_vec());
            let action = namespace.apply("values", wanted).await;
            let waiting = action
                .until("it says what is missing", |seen| seen.reason() == Some(Reason::SecretMissing))
                .await;
            waiting.assert_says(&["secret \"db\" not found"]);
            namespace.secret("db", json!({"password": "very-secret-1"})).await;
            let done = action.finished().await;
            done.assert_succeeded().assert_tail_has(&["colour green\n", "13\n", "***"]);
            assert!(!done.tail().contains("very-secret-1"));
        },
    )
    .await;
}

#[tokio::test]
async fn a_container_that_is_started_again_runs_nothing_again() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let hook: Hook = Arc::new(move |moment, pod: Arc<Pod>| {
        if moment == Moment::Ended {
            seen.lock().unwrap().push(pod.uid().unwrap());
        }
        // Long enough for the test to order what it wants.
        let pause = u64::from(moment == Moment::Ended);
        Box::pin(tokio::time::sleep(Duration::from_secs(pause)))
    });
    on_fake_node(
        move |options| Options { hook: Some(hook), ..options },
        async |namespace, node| {
            let counter = std::env::temp_dir().join(&namespace.name);
            let text = format!("echo ran >> {}; echo hello", counter.display());
            let action = namespace.apply("twice", script(node, &text)).await;
            let uid = until("the script has ended", async || asked.lock().unwrap().first().cloned()).await;
            assert!(node.order(&uid, Order::Restart));
            let done = action.finished().await;
            done.assert_succeeded();
            let pod = until("the second end", async || {
                let pod = action.pod().await;
                (pod.status.as_ref()?.phase.as_deref() == Some("Succeeded")).then_some(pod)
            })
            .await;
            let container = &pod.status.as_ref().unwrap().container_statuses.as_ref().unwrap()[0];
            assert_eq!(container.restart_count, 1);
            assert!(container.last_state.as_ref().unwrap().terminated.is_some());
            assert_eq!(std::fs::read_to_string(&counter).unwrap(), "ran\n");
            std::fs::remove_file(counter).unwrap();
        },
    )
    .await;
}

#[tokio::test]
async fn a_killed_container_ends_with_all_its_processes() {
    on_fake_node(
        |options| options,
        async |namespace, node| {
            let mark = std::env::temp_dir().join(&namespace.name);
            let text = format!("echo begun; (sleep 4; touch {}) & wait", mark.display());
            let action = namespace.apply("killed", script(node, &text)).await;
            let pod = action.under_way().await;
            assert!(node.order(&pod.uid().unwrap(), Order::Kill("OOMKilled".into())));
            let done = action.finished().await;
            done.assert_failed(Reason::OutOfMemory, None);
            tokio::time::sleep(Duration::from_secs(5)).await;
            assert!(!mark.exists(), "a process outlived its container");
        },
    )
    .await;
}

#[tokio::test]
async fn a_node_that_comes_back_tells_what_happened_meanwhile() {
    on_fake_node(
        |options| options,
        async |namespace, node| {
            let action = namespace.apply("far", script(node, "echo begun; sleep 2; echo ended")).await;
            action.under_way().await;
            node.cut_off();
            tokio::time::sleep(Duration::from_secs(4)).await;
            let pod = action.pod().await;
            assert!(ended(&pod).is_none());
            node.reconnect();
            let done = action.finished().await;
            done.assert_succeeded();
            assert_eq!(done.tail(), "begun\nended\n");
        },
    )
    .await;
}

/// The cluster's own controllers find the node silent after 50 s, and take its pods away.
#[tokio::test]
async fn a_run_on_a_node_that_is_put_out_of_service_ends_long_before_its_deadline_and_another_begins() {
    on_fake_node(
        |options| options,
        async |namespace, node| {
            let wanted = script(node, "echo begun; sleep 3600").with("lock", json!({"name": "prod"}));
            let action = namespace.apply("burnt", wanted.with("runDeadlineSeconds", 3600)).await;
            action.under_way().await;
            node.cut_off();
            let taint = json!([{"key": "node.kubernetes.io/out-of-service", "value": "nodeshutdown", "effect": "NoExecute"}]);
            let taints = Patch::Strategic(json!({"spec": {"taints": taint}}));
            let nodes: Api<Node> = Api::all(namespace.client.clone());
            nodes.patch(node.name(), &PatchParams::default(), &taints).await.unwrap();
            let done = within(Duration::from_mins(5), "the run has ended", async || {
                let seen = Done::of(action.get().await);
                seen.is_finished().then_some(seen)
            })
            .await;
            done.assert_failed(Reason::NodeLost, None).assert_says(&[node.name(), "out-of-service"]);
            assert_eq!(done.run().node_name.as_deref(), Some(node.name()));

            // Neither the run nor its lock is waited for any longer; this node takes no pod now.
            action.annotate(longshore::api::ANNOTATION_RERUN, "again").await;
            let again = action
                .until("the next run waits for a node", |seen| {
                    seen.run().number == 2 && seen.run().pod_name.is_some()
                })
                .await;
            assert!(again.run().held_lock().is_some());
        },
    )
    .await;
}
