//! Ends that the cluster brings about: who refuses a pod, changes it, or takes it away, in their own
//! words.

use std::time::Duration;

use futures::TryStreamExt;
use k8s_openapi::api::core::v1::{LimitRange, Node, Pod, ServiceAccount};
use kube::{
    Api,
    api::{DeleteParams, ListParams, Patch, PatchParams, WatchEvent, WatchParams},
};
use longshore::api::Reason;
use serde_json::{Value, json};

use super::pending::{ends_for, is_without_pods, needs, quota};
use crate::support::{
    action::{Action, from_secret},
    namespace::{Namespace, examples_image, in_namespace, until, within},
    registry::Image,
};

const NEVER: &str = "echo this must not run";

#[tokio::test]
async fn a_quota_that_another_run_frees_lets_the_next_one_start() {
    in_namespace(async |namespace| {
        quota(namespace, "1").await;
        let first = namespace.apply("first", Action::script("echo begun; sleep 5")).await;
        first.under_way().await;
        let second = namespace.apply("second", Action::script("echo hello")).await;
        second.reason(Reason::QuotaExceeded).await.assert_says(&["few-pods", "pods=1"]);
        first.finished().await.assert_succeeded();
        let done = second.finished().await;
        done.assert_succeeded().assert_tail_has(&["hello\n"]);
        assert_eq!(done.run().number, 1);
    })
    .await;
}

#[tokio::test]
async fn a_service_account_deleted_while_a_quota_holds_the_run_back_is_named() {
    in_namespace(async |namespace| {
        quota(namespace, "0").await;
        namespace.service_account("deployer").await;
        let action =
            Action::script(NEVER).with("serviceAccountName", "deployer").with("pendingDeadlineSeconds", 30);
        let action = namespace.apply("held", action).await;
        action.reason(Reason::QuotaExceeded).await;
        namespace.api::<ServiceAccount>().delete("deployer", &DeleteParams::default()).await.unwrap();
        ends_for(&action, Reason::ServiceAccountMissing, &["deployer", "not found"]).await;
    })
    .await;
}

#[tokio::test]
async fn a_policy_s_refusal_is_told_in_its_words() {
    in_namespace(async |namespace| {
        namespace.refuse_pods("images come from registry.example.com alone").await;
        let done = namespace.run(Action::script(NEVER)).await;
        done.assert_failed(Reason::PodRefused, None)
            .assert_says(&[&namespace.name, "images come from registry.example.com alone"]);
        assert!(namespace.pods().await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_limit_range_s_refusal_is_told_in_its_words() {
    in_namespace(async |namespace| {
        let range = json!({"metadata": {"name": "small"}, "spec": {"limits": [{"type": "Container", "max": {"memory": "64Mi"}}]}});
        namespace.put::<LimitRange>(range).await;
        let done = namespace
            .run(Action::script(NEVER).with("resources", json!({"limits": {"memory": "128Mi"}})))
            .await;
        done.assert_failed(Reason::PodRefused, None)
            .assert_says(&["maximum memory usage per Container is 64Mi", "128Mi", "LimitRange \"small\""]);
    })
    .await;
}

#[tokio::test]
async fn a_webhook_that_must_answer_and_does_not_is_named() {
    in_namespace(async |namespace| {
        namespace.ask_nobody().await;
        let action = namespace.apply("unanswered", Action::script(NEVER).with("pendingDeadlineSeconds", 30));
        let words = ["failed calling webhook", "nobody.longshore.test", "service \"nobody\" not found"];
        ends_for(&action.await, Reason::PodRefused, &words).await;
    })
    .await;
}

#[tokio::test]
async fn a_webhook_that_goes_away_in_time_lets_the_run_start() {
    in_namespace(async |namespace| {
        namespace.ask_nobody().await;
        let action = namespace.apply("patient", Action::script("echo hello")).await;
        action.reason(Reason::PodRefused).await;
        namespace.ask_no_more().await;
        let done = action.finished().await;
        done.assert_succeeded().assert_tail_has(&["hello\n"]);
        assert_eq!(done.run().number, 1);
    })
    .await;
}

/// Replaces a value of the pod.
async fn ends_as_changed(path: &str, value: &str, words: &[&str]) {
    ends_as_changed_by(&format!("[JSONPatch{{op: 'replace', path: '{path}', value: '{value}'}}]"), words)
        .await;
}

/// Changes the pod by patches: the run ends for it, and no pod of it ever had a container. If a busy API
/// server lets the node have the pod before its deletion, the message says so.
async fn ends_as_changed_by(patches: &str, words: &[&str]) {
    in_namespace(async |namespace| {
        namespace.mutate_pods(patches).await;
        let pods = namespace.api::<Pod>();
        let mut seen = Box::pin(pods.watch(&WatchParams::default(), "0").await.unwrap());
        let action = namespace.apply("changed", Action::script(NEVER)).await;
        let done = action.finished().await;
        let name = done.run().pod_name.clone().unwrap();
        done.assert_failed(Reason::PodMutated, None).assert_says(&[&name]).assert_says(words);
        let began = done.message().contains("was started before it could be removed");
        assert_eq!((done.run().started_at.is_some(), done.status().log.is_some()), (began, false));
        is_without_pods(namespace).await;
        while let Some(event) = seen.try_next().await.unwrap() {
            match event {
                WatchEvent::Added(pod) | WatchEvent::Modified(pod) => {
                    assert!(began || never_began(&pod), "{pod:?}");
                }
                WatchEvent::Deleted(pod) => return assert!(began || never_began(&pod), "{pod:?}"),
                WatchEvent::Bookmark(_) => {}
                WatchEvent::Error(error) => panic!("{error}"),
            }
        }
        panic!("the pod's end was not seen");
    })
    .await;
}

/// A container id is given to what was made, even where it ended at once.
fn never_began(pod: &Pod) -> bool {
    let containers = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
    containers.into_iter().flatten().all(|container| container.container_id.is_none())
}

#[tokio::test]
async fn a_changed_image_is_told_and_never_runs() {
    // The same image, by its tag: what rewriting webhooks do.
    let image = examples_image();
    ends_as_changed(
        "/spec/containers/0/image",
        &image,
        &[&format!("its image is {image} and not"), "@sha256:"],
    )
    .await;
}

#[tokio::test]
async fn a_changed_command_is_told_and_never_runs() {
    ends_as_changed("/spec/containers/0/command/0", "/bin/bash", &["its command is [\"/bin/bash\"] and not"])
        .await;
}

#[tokio::test]
async fn a_changed_restart_policy_is_told_and_never_runs() {
    ends_as_changed("/spec/restartPolicy", "OnFailure", &["its restart policy is OnFailure and not Never"])
        .await;
}

#[tokio::test]
async fn a_container_with_restart_rules_is_told_and_never_runs() {
    // Each exit with 75 would start the script again: the pod's own policy says Never all the same.
    let rules = "[JSONPatch{op: 'add', path: '/spec/containers/0/restartPolicy', value: 'Never'}, \
        JSONPatch{op: 'add', path: '/spec/containers/0/restartPolicyRules', value: \
        [{'action': dyn('Restart'), 'exitCodes': dyn({'operator': dyn('In'), 'values': dyn([75])})}]}]";
    ends_as_changed_by(rules, &["its container has restart rules"]).await;
}

#[tokio::test]
async fn a_taken_away_environment_is_told_and_never_runs() {
    in_namespace(async |namespace| {
        namespace.mutate_pods("[JSONPatch{op: 'remove', path: '/spec/containers/0/env'}]").await;
        let done = namespace.run(Action::script(NEVER)).await;
        done.assert_failed(Reason::PodMutated, None).assert_says(&["LONGSHORE_BUNDLE_SHA256"]);
        is_without_pods(namespace).await;
    })
    .await;
}

#[tokio::test]
async fn what_the_runtime_says_where_it_cannot_execute_the_runner_is_told() {
    in_namespace(async |namespace| {
        // More than the kernel takes as one variable (128 KiB), and than an expression may have.
        let (tens, most) = ("x".repeat(10), "x".repeat(14_000));
        let add = format!(
            "[JSONPatch{{op: 'add', path: '/spec/containers/0/env/-', value: Object.spec.containers.env{{name: 'BIG', value: '{tens}'.replace('x', '{most}')}}}}]"
        );
        namespace.mutate_pods(&add).await;
        let done = namespace.run(Action::script(NEVER)).await;
        done.assert_failed(Reason::StartFailed, None).assert_says(&["argument list too long"]);
        assert!(done.status().log.is_none());
    })
    .await;
}

/// Fills a folder with more than the node lets it have, and stays. Not at once: of a container that
/// is evicted in the moment of its start the kubelet shows no log.
fn glutton(folder: &str) -> Action {
    Action::script(&format!("sleep 3; head -c 60M /dev/zero > \"{folder}/file\"; echo written; sleep 600"))
}

/// The kubelet measures volumes about once a minute.
async fn is_evicted(namespace: &Namespace, action: Action, exit_code: Option<i32>, words: &[&str]) {
    let done = namespace.run(action).await;
    done.assert_failed(Reason::Evicted, exit_code).assert_says(words);
    done.assert_tail_has(&["written\n"]);
    assert!(done.run().started_at.is_some());
    namespace.quiet().await;
    assert_eq!(namespace.pods().await.len(), 1, "another pod was started");
}

#[tokio::test]
async fn a_script_that_writes_more_than_its_container_may_is_evicted() {
    in_namespace(async |namespace| {
        let action = glutton("$PWD").with("resources", json!({"limits": {"ephemeral-storage": "20Mi"}}));
        is_evicted(namespace, action, Some(143), &["ephemeral local storage usage exceeds", "20Mi"]).await;
    })
    .await;
}

#[tokio::test]
async fn a_script_that_writes_more_than_its_volume_may_hold_is_evicted() {
    in_namespace(async |namespace| {
        let template = json!({
            "volumes": [{"name": "data", "emptyDir": {"sizeLimit": "20Mi"}}],
            "volumeMounts": [{"name": "data", "mountPath": "/data"}],
        });
        let action = glutton("/data").with("podTemplate", template);
        is_evicted(
            namespace,
            action,
            Some(143),
            &["Usage of EmptyDir volume \"data\" exceeds the limit \"20Mi\""],
        )
        .await;
    })
    .await;
}

#[tokio::test]
async fn a_script_that_ignores_its_eviction_was_evicted() {
    in_namespace(async |namespace| {
        let script =
            "trap '' TERM; sleep 3; head -c 60M /dev/zero > file; echo written; while :; do sleep 1; done";
        let action =
            Action::script(script).with("resources", json!({"limits": {"ephemeral-storage": "20Mi"}}));
        is_evicted(namespace, action, None, &["Evicted", "ephemeral local storage usage exceeds"]).await;
    })
    .await;
}

#[tokio::test]
async fn a_script_that_ends_well_when_its_pod_is_evicted_was_evicted() {
    in_namespace(async |namespace| {
        // Its pod then shows phase Succeeded and no reason: only an event tells.
        let script =
            "trap 'exit 0' TERM; sleep 3; head -c 60M /dev/zero > file; echo written; while :; do sleep 1; done";
        let action =
            Action::script(script).with("resources", json!({"limits": {"ephemeral-storage": "20Mi"}}));
        is_evicted(namespace, action, Some(0), &["ephemeral local storage usage exceeds", "20Mi"]).await;
    })
    .await;
}

fn little_memory(action: Action) -> Action {
    action.with("resources", json!({"limits": {"memory": "48Mi"}}))
}

#[tokio::test]
async fn an_interpreter_out_of_memory_is_told_so() {
    in_namespace(async |namespace| {
        let script = "print('begun')\nx = bytearray(256 * 1024 * 1024)\n";
        let done = namespace.run(little_memory(Action::python(script))).await;
        done.assert_failed(Reason::OutOfMemory, Some(137)).assert_says(&["the kernel killed the script"]);
        done.assert_tail_has(&["begun\n"]).assert_log_complete();
    })
    .await;
}

#[tokio::test]
async fn a_script_that_fails_with_a_child_out_of_memory_has_failed_itself() {
    in_namespace(async |namespace| {
        // What the shell makes of it is the script's own exit code.
        let script = "set -e; echo begun; python3 -c 'x = bytearray(256 * 1024 * 1024)'; echo not here";
        let done = namespace.run(little_memory(Action::script(script))).await;
        done.assert_failed(Reason::ScriptFailed, Some(137));
        done.assert_says(&["exit code 137", "killed a process", "(its limit is 48Mi)"]);
        done.assert_tail_has(&["begun\n"]).assert_log_complete();
    })
    .await;
}

#[tokio::test]
async fn an_image_that_the_node_cannot_unpack_is_told_in_its_words() {
    in_namespace(async |namespace| {
        let image = Image::broken().push("tests/broken", "amd64").await;
        let action = Action::command(&["/program"]).image(&image).with("pendingDeadlineSeconds", 30);
        let action = namespace.apply("broken", action).await;
        ends_for(&action, Reason::ImagePullFailed, &["tests/broken@sha256:", "extract layer"]).await;
    })
    .await;
}

fn with_volume(volume: &Value, mount: &Value) -> Action {
    let template = json!({"volumes": [volume], "volumeMounts": [mount]});
    Action::script(NEVER).with("podTemplate", template).with("pendingDeadlineSeconds", 30)
}

#[tokio::test]
async fn a_volume_s_missing_key_is_named() {
    in_namespace(async |namespace| {
        namespace.config_map("settings", json!({"other": "value"})).await;
        let volume = json!({"name": "data", "configMap": {"name": "settings", "items": [{"key": "absent-key", "path": "file"}]}});
        let action = with_volume(&volume, &json!({"name": "data", "mountPath": "/data"}));
        let action = namespace.apply("needy", action).await;
        ends_for(&action, Reason::ConfigMapMissing, &["absent-key", "\"data\""]).await;
    })
    .await;
}

#[tokio::test]
async fn a_container_that_the_node_cannot_set_up_is_told_in_its_words() {
    in_namespace(async |namespace| {
        let volume = json!({"name": "data", "emptyDir": {}});
        let mount = json!({"name": "data", "mountPath": "/data", "subPathExpr": "$(NO_SUCH_VARIABLE)"});
        let action = namespace.apply("unset", with_volume(&volume, &mount)).await;
        let words = ["CreateContainerConfigError", "missing value for NO_SUCH_VARIABLE"];
        ends_for(&action, Reason::ContainerConfigError, &words).await;
    })
    .await;
}

#[tokio::test]
async fn a_namespace_deleted_while_a_run_waits_goes_away() {
    in_namespace(async |namespace| {
        let other = namespace.sibling().await;
        let action = other.apply("waiting", needs(&from_secret("VALUE", "absent", "key"), 300)).await;
        action.reason(Reason::SecretMissing).await;
        other.remove().await;
        within(Duration::from_mins(1), "the namespace is gone", async || {
            other.namespaces().get_opt(&other.name).await.unwrap().is_none().then_some(())
        })
        .await;
    })
    .await;
}

/// A node without a kubelet, which nothing but the namespace's own pods tolerates.
async fn node(namespace: &Namespace) -> Api<Node> {
    let nodes = Api::<Node>::all(namespace.client.clone());
    let real = nodes.list(&ListParams::default()).await.unwrap().items;
    let real = real.into_iter().find(|node| node.metadata.owner_references.is_none()).unwrap();
    let room = json!({"cpu": "4", "memory": "4Gi", "pods": "10", "ephemeral-storage": "10Gi"});
    namespace
        .put_for_cluster::<Node>(&json!({
            "metadata": {"labels": {"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64", "example.com/node-of": namespace.name}},
            "spec": {"taints": [{"key": "example.com/node-of", "value": namespace.name, "effect": "NoSchedule"}]},
            "status": {
                // What the operator asks of nodes does not change.
                "nodeInfo": real.status.unwrap().node_info,
                "capacity": room,
                "allocatable": room,
            },
        }))
        .await;
    let ready = json!({"status": {"conditions": [{"type": "Ready", "status": "True", "reason": "Test", "message": ""}]}});
    nodes.patch_status(&namespace.name, &PatchParams::default(), &Patch::Strategic(ready)).await.unwrap();
    nodes
}

#[tokio::test]
async fn a_run_whose_node_is_removed_ends_and_is_not_taken_for_one_that_never_started() {
    in_namespace(async |namespace| {
        let nodes = node(namespace).await;
        let template = json!({
            "nodeSelector": {"example.com/node-of": namespace.name},
            "tolerations": [{"operator": "Exists"}],
        });
        let action = namespace.apply("bound", Action::script(NEVER).with("podTemplate", template)).await;
        action.reason(Reason::Launching).await;
        until("the pod is bound", async || {
            let pods = namespace.pods().await;
            (pods.first()?.spec.as_ref()?.node_name.as_ref()? == &namespace.name).then_some(())
        })
        .await;
        nodes.delete(&namespace.name, &DeleteParams::default()).await.unwrap();
        // The pod garbage collector waits 40 s for a missing node and looks every 20 s. Its word alone is not
        // enough: the node has two more minutes to speak.
        let done = action.finished_within(Duration::from_mins(4)).await;
        done.assert_failed(Reason::NodeLost, None).assert_says(&["there is no node", "any more"]);
        is_without_pods(namespace).await;
    })
    .await;
}
