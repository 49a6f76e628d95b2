//! When a run starts, and when none does.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{LogParams, Patch, PatchParams};
use longshore::api::{
    DeploymentAction, Phase, Reason,
    status::{LogState, Trigger},
};
use serde_json::{Value, json};

use crate::support::{
    action::{Action, Done, Handle},
    namespace::{in_namespace, until, within},
};

/// Sees that the latest spec starts no run: `number` stays the latest one.
async fn stays(action: &Handle<'_>, number: u32) -> Done {
    let seen = action.until("the spec is seen", Done::is_seen).await;
    assert_eq!(seen.run().number, number);
    action.namespace.quiet().await;
    let after = action.finished().await;
    assert_eq!(after.run().number, number);
    after
}

#[tokio::test]
async fn applying_the_same_again_runs_nothing() {
    in_namespace(async |namespace| {
        let wanted = Action::script("echo hello");
        let action = namespace.apply("same", wanted.clone()).await;
        let first = action.finished().await;
        let actions = namespace.api::<DeploymentAction>();
        let apply = PatchParams::apply("tests").force();
        for _ in 0..3 {
            actions.patch("same", &apply, &Patch::Apply(wanted.clone().object("same"))).await.unwrap();
        }
        action.patch(json!({"metadata": {"annotations": {"example.com/note": "touched"}}})).await;
        let after = stays(&action, 1).await;
        assert_eq!(after.run(), first.run());
    })
    .await;
}

#[tokio::test]
async fn a_changed_script_runs_again() {
    in_namespace(async |namespace| {
        let action = namespace.apply("changed", Action::script("echo one")).await;
        let first = action.finished().await;
        first.assert_succeeded().assert_tail_has(&["one\n"]);
        action.patch_spec(json!({"script": {"inline": "echo two; exit 1"}})).await;
        let second = action.finished().await;
        second.assert_failed(Reason::ScriptFailed, Some(1)).assert_tail_has(&["two\n"]);
        assert_eq!(
            (second.run().number, second.run().generation, second.run().trigger),
            (2, 2, Trigger::SpecChanged)
        );
        assert_ne!(second.run().spec_hash, first.run().spec_hash);
        // After a failure as after a success.
        action.patch_spec(json!({"script": {"inline": "echo three"}})).await;
        let third = action.finished().await;
        third.assert_succeeded().assert_tail_has(&["three\n"]);
        assert_eq!(third.run().number, 3);
    })
    .await;
}

#[tokio::test]
async fn a_changed_variable_runs_again() {
    in_namespace(async |namespace| {
        let variables = |value: &str| json!([{"name": "A", "value": value}]);
        let action =
            namespace.apply("changed", Action::script("echo \"$A\"").with("variables", variables("1"))).await;
        action.finished().await.assert_succeeded().assert_tail_has(&["1\n"]);
        action.patch_spec(json!({"variables": variables("2")})).await;
        let done = action.finished().await;
        done.assert_succeeded().assert_tail_has(&["2\n"]);
        assert_eq!(done.run().number, 2);
    })
    .await;
}

#[tokio::test]
async fn a_changed_deadline_runs_nothing_and_is_seen() {
    in_namespace(async |namespace| {
        let action = namespace.apply("calm", Action::script("echo hello")).await;
        action.finished().await.assert_succeeded();
        action.patch_spec(json!({"runDeadlineSeconds": 60, "podRetentionSeconds": 7200})).await;
        let done = stays(&action, 1).await;
        done.assert_succeeded();
        assert_eq!(done.status().observed_generation, Some(2));
        assert!(done.status().conditions.iter().all(|condition| condition.observed_generation == Some(2)));
        assert_eq!(done.run().generation, 1);
    })
    .await;
}

#[tokio::test]
async fn after_a_failure_a_change_that_is_meant_to_mend_it_runs() {
    in_namespace(async |namespace| {
        let script = "python3 -c 'x = bytearray(128 * 1024 * 1024)' && echo enough";
        let limits = |amount: &str| json!({"limits": {"memory": amount}});
        let memory = |amount: &str| json!({"resources": limits(amount)});
        let action = Action::script(script).with("resources", limits("48Mi"));
        let action = namespace.apply("hungry", action).await;
        action.finished().await.assert_failed(Reason::ScriptFailed, Some(137));
        // The same amount, and what bears on no run.
        action.patch_spec(memory("49152Ki")).await;
        action.patch_spec(json!({"podRetentionSeconds": 7200})).await;
        stays(&action, 1).await;
        action.patch_spec(memory("400Mi")).await;
        let done = action.until("another run has ended", |seen| seen.is_finished() && seen.run().number == 2);
        let done = done.await;
        done.assert_succeeded().assert_tail_has(&["enough\n"]);
        assert_eq!(done.run().trigger, Trigger::SpecChanged);
        action.patch_spec(memory("500Mi")).await;
        stays(&action, 2).await;
    })
    .await;
}

#[tokio::test]
async fn a_default_that_is_written_out_runs_nothing() {
    in_namespace(async |namespace| {
        namespace.config_map("settings", json!({"key": "value"})).await;
        let with = |mut object: Value, extra: Value| {
            object.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            object
        };
        let reference = |extra: Value| {
            let reference = with(json!({"name": "settings", "key": "key"}), extra);
            json!([{"name": "A", "valueFrom": {"configMapKeyRef": reference}}])
        };
        let template = |extra: Value, mount: Value| {
            let source = with(json!({"name": "settings"}), extra);
            let at = with(json!({"name": "settings", "mountPath": "/settings"}), mount);
            json!({"volumes": [{"name": "settings", "configMap": source}], "volumeMounts": [at]})
        };
        let action = Action::script("echo $A")
            .with("variables", reference(json!({})))
            .with("podTemplate", template(json!({}), json!({})));
        let action = namespace.apply("plain", action).await;
        action.finished().await.assert_succeeded();
        action.patch_spec(json!({"variables": reference(json!({"optional": false}))})).await;
        let template = template(json!({"defaultMode": 420, "optional": false}), json!({"readOnly": false}));
        action.patch_spec(json!({"podTemplate": template})).await;
        stays(&action, 1).await.assert_succeeded();
    })
    .await;
}

#[tokio::test]
async fn a_new_token_runs_again_and_its_removal_does_not() {
    in_namespace(async |namespace| {
        let action =
            namespace.apply("token", Action::script("echo hello").with("runToken", "release-1")).await;
        action.finished().await.assert_succeeded();
        action.patch_spec(json!({"runToken": "release-2"})).await;
        let done = action.finished().await;
        done.assert_succeeded();
        assert_eq!((done.run().number, done.run().trigger), (2, Trigger::RunToken));
        assert_eq!(done.run().run_token.as_deref(), Some("release-2"));
        action.patch_spec(json!({"runToken": null})).await;
        stays(&action, 2).await;
    })
    .await;
}

#[tokio::test]
async fn a_manual_action_is_idle_until_it_is_asked() {
    in_namespace(async |namespace| {
        let action = namespace.apply("manual", Action::script("echo one").with("runPolicy", "Manual")).await;
        let idle = action.reason(Reason::NotRequested).await;
        assert_eq!((idle.status().phase, idle.conditions().as_str()), (Some(Phase::Idle), "Ready=True"));
        assert!(idle.message().contains("spec.runToken"), "{}", idle.message());
        assert!(namespace.pods().await.is_empty());
        action.patch_spec(json!({"runToken": "now"})).await;
        action.finished().await.assert_succeeded().assert_tail_has(&["one\n"]);
        action.patch_spec(json!({"script": {"inline": "echo two"}})).await;
        stays(&action, 1).await;
        action.patch_spec(json!({"runToken": "again"})).await;
        let done = action.finished().await;
        done.assert_succeeded().assert_tail_has(&["two\n"]);
        assert_eq!(done.run().number, 2);
    })
    .await;
}

#[tokio::test]
async fn once_is_once() {
    in_namespace(async |namespace| {
        let action = namespace.apply("once", Action::script("echo one").with("runPolicy", "Once")).await;
        action.finished().await.assert_succeeded();
        action.patch_spec(json!({"script": {"inline": "echo two"}})).await;
        stays(&action, 1).await.assert_tail_has(&["one\n"]);
    })
    .await;
}

#[tokio::test]
async fn a_change_in_mid_run_queues_one_run() {
    in_namespace(async |namespace| {
        let action = namespace.apply("busy", Action::script("echo one; sleep 4; echo one has ended")).await;
        let pod = action.under_way().await;
        for text in ["two", "three", "four"] {
            action.patch_spec(json!({"script": {"inline": format!("echo {text}")}})).await;
        }
        // The run under way is not disturbed, and the status speaks of it.
        let busy = Done::of(action.get().await);
        assert_eq!((busy.run().number, busy.status().observed_generation), (1, Some(1)));
        let done = action.finished().await;
        done.assert_succeeded();
        assert_eq!(done.tail(), "four\n");
        assert_eq!((done.run().number, done.run().generation), (2, 4));
        // The verdict is quicker than what the kubelet tells of the pod.
        let code = until("the first pod's container has ended", async || {
            let first: Pod = namespace.api().get(pod.metadata.name.as_deref().unwrap()).await.unwrap();
            assert_eq!(first.metadata.uid, pod.metadata.uid);
            let end = first.status?.container_statuses?.into_iter().next()?.state?.terminated?;
            Some(end.exit_code)
        })
        .await;
        assert_eq!(code, 0, "the first run was disturbed");
        stays(&action, 2).await;
    })
    .await;
}

#[tokio::test]
async fn changed_each_second_no_two_of_its_runs_overlap_and_the_last_one_is_what_was_said_last() {
    in_namespace(async |namespace| {
        let script = |number: u32| {
            format!("echo begin {number} $(date +%s%N); sleep 1; echo end {number} $(date +%s%N)")
        };
        let action = namespace.apply("restless", Action::script(&script(0))).await;
        for number in 1..=12 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            action.patch_spec(json!({"script": {"inline": script(number)}})).await;
        }
        let done = action.finished().await;
        done.assert_succeeded().assert_tail_has(&["begin 12 ", "end 12 "]);
        // Every pod has run one script from its beginning to its end, and each script had one pod.
        let mut spans = Vec::new();
        let mut scripts = Vec::new();
        for pod in namespace.pods().await {
            let name = pod.metadata.name.unwrap();
            let log = namespace.api::<Pod>().logs(&name, &LogParams::default()).await.unwrap_or_default();
            let told = |word: &str| {
                let line =
                    log.lines().find_map(|line| line.split_once(&format!(" {word} ")).map(|(_, rest)| rest));
                let (number, time) = line?.split_once(' ')?;
                Some((number.parse::<u32>().unwrap(), time.parse::<u64>().unwrap()))
            };
            // One that was given up before its pod was created has a tombstone, which has no log.
            let Some((number, begin)) = told("begin") else { continue };
            let (same, end) = told("end").unwrap_or_else(|| panic!("{name} was cut off: {log}"));
            assert_eq!(number, same);
            scripts.push(number);
            spans.push((begin, end));
        }
        spans.sort_unstable();
        assert!(spans.windows(2).all(|two| two[0].1 <= two[1].0), "two ran at a time: {spans:?}");
        let count = scripts.len();
        scripts.sort_unstable();
        scripts.dedup();
        assert!(count >= 2 && scripts.len() == count, "{count} pods ran {scripts:?}");
        // Runs that were overtaken before their pod was there say so, and nothing else went wrong.
        for past in &done.status().history {
            assert!(matches!(past.reason.as_str(), "Succeeded" | "Superseded"), "{past:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_change_back_in_mid_run_queues_none() {
    in_namespace(async |namespace| {
        let script = "echo one; sleep 4";
        let action = namespace.apply("busy", Action::script(script)).await;
        action.under_way().await;
        action.patch_spec(json!({"script": {"inline": "echo two"}})).await;
        action.patch_spec(json!({"script": {"inline": script}})).await;
        action.finished().await.assert_succeeded();
        stays(&action, 1).await;
    })
    .await;
}

#[tokio::test]
async fn a_run_s_status_holds_nothing_of_the_run_before() {
    in_namespace(async |namespace| {
        let action = namespace
            .apply("fresh", Action::script("echo out=1 >> \"$LONGSHORE_OUTPUT\"; exit 3").outputs(&["out"]))
            .await;
        action.finished().await.assert_failed(Reason::ScriptFailed, Some(3));
        action.patch_spec(json!({"script": {"inline": "sleep 3"}})).await;
        let running = action
            .until("run 2 is under way", |seen| {
                seen.run().number == 2 && seen.status().phase == Some(Phase::Running)
            })
            .await;
        assert_eq!(running.conditions(), "Ready=False Succeeded=Unknown Reconciling=True");
        assert!(running.status().outputs.is_empty());
        assert_eq!((running.run().exit_code, &running.run().finished_at), (None, &None));
        assert!(
            running
                .status()
                .log
                .as_ref()
                .is_none_or(|log| log.tail.is_empty() && log.state == LogState::Collecting)
        );
        action.finished().await.assert_succeeded();
    })
    .await;
}

#[tokio::test]
async fn while_a_script_runs_its_status_shows_how_much_it_has_written() {
    in_namespace(async |namespace| {
        // It falls silent at once: nothing but time brings a look.
        let action = namespace.apply("silent", Action::script("echo one; echo two; sleep 30")).await;
        let shown = action
            .until("the status has its lines", |seen| {
                seen.status().log.as_ref().is_some_and(|log| log.lines == 2)
            })
            .await;
        assert!(!shown.is_finished());
        assert_eq!((shown.log().bytes, shown.tail()), (8, "one\ntwo\n"));
        assert_eq!(shown.log().state, LogState::Collecting);
    })
    .await;
}

#[tokio::test]
async fn an_action_created_again_under_its_name_is_another_action() {
    in_namespace(async |namespace| {
        let first = namespace.apply("again", Action::script("echo one")).await;
        first.finished().await.assert_succeeded();
        let pod = first.pod().await;
        first.delete(&kube::api::DeleteParams::background()).await;
        let actions = namespace.api::<DeploymentAction>();
        within(Duration::from_secs(20), "it is gone", async || {
            actions.get_opt("again").await.unwrap().is_none().then_some(())
        })
        .await;
        let second = namespace.apply("again", Action::script("echo two")).await;
        let done = second.finished().await;
        done.assert_succeeded().assert_tail_has(&["two\n"]);
        assert_eq!(done.run().number, 1);
        assert_ne!(done.run().pod_name, pod.metadata.name);
    })
    .await;
}

#[tokio::test]
async fn a_long_name_s_pod_has_a_host_name_that_fits() {
    in_namespace(async |namespace| {
        let name = "a-name-that-is-as-long-as-it-may-be-with-sixty-three-characters";
        assert_eq!(name.len(), 63);
        let action = namespace.apply(name, Action::script("uname -n")).await;
        let done = action.finished().await;
        done.assert_succeeded();
        let pod = done.run().pod_name.clone().unwrap();
        assert!(pod.len() <= 63, "{pod}");
        assert_eq!(done.tail().trim(), pod);
    })
    .await;
}
