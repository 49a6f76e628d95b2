//! Changing fields, and who owns them.

use kube::api::{ListParams, Patch, PatchParams};
use longshore::api::{DeploymentAction, Phase, Reason};
use serde_json::{Value, json};

use super::request::{object, with};
use crate::support::{
    action::Action,
    namespace::{examples_image, in_namespace},
};

/// Never asked to run: what is changed of it has no consequence.
fn idle() -> Action {
    Action::script("echo hello").with("runPolicy", "Manual")
}

#[tokio::test]
async fn no_field_is_immutable() {
    in_namespace(async |namespace| {
        let action = namespace.apply("changing", idle()).await;
        for (generation, change) in (2..).zip([
            json!({"image": "registry.example.com/other:2"}),
            json!({"script": {"inline": "echo other", "interpreter": ["bash"]}}),
            json!({"script": null, "command": ["true"]}),
            json!({"args": ["a"]}),
            json!({"variables": [{"name": "A", "value": "1"}]}),
            json!({"variables": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}}]}),
            json!({"outputs": [{"name": "a"}]}),
            json!({"serviceAccountName": "other"}),
            json!({"runDeadlineSeconds": 1}),
            json!({"pendingDeadlineSeconds": 1}),
            json!({"terminationGracePeriodSeconds": 1}),
            json!({"podRetentionSeconds": 1}),
            json!({"workingDir": "/app"}),
            json!({"log": {"streams": "Separate"}}),
            json!({"resources": {"limits": {"cpu": 1}}}),
            json!({"podTemplate": {"metadata": {"labels": {"a": "b"}}}}),
            json!({"runPolicy": "Once"}),
            json!({"runPolicy": "Manual"}),
            json!({"serviceAccountName": null, "resources": null, "podTemplate": null}),
        ]) {
            let changed = action.patch_spec(change.clone()).await;
            assert_eq!(changed.metadata.generation, Some(generation), "{change}");
        }
    })
    .await;
}

#[tokio::test]
async fn the_status_cannot_be_changed_by_who_changes_the_spec() {
    in_namespace(async |namespace| {
        let action = namespace.apply("idle", idle()).await;
        action.reason(Reason::NotRequested).await;
        let changed = action.patch(json!({"status": {"phase": "Succeeded"}})).await;
        assert_eq!(changed.status.unwrap().phase, Some(Phase::Idle));
    })
    .await;
}

/// Applies client-side with `before`, then server-side with `after`, as people do who change over.
async fn change_over(before: &Value, after: &Value) {
    in_namespace(async |namespace| {
        let actions = namespace.api::<DeploymentAction>();
        let mut first = object("owned", before);
        first["metadata"]["annotations"] =
            json!({"kubectl.kubernetes.io/last-applied-configuration": first.to_string()});
        let create = kube::api::PostParams {
            field_manager: Some("kubectl-client-side-apply".into()),
            ..Default::default()
        };
        actions.create(&create, &serde_json::from_value(first).unwrap()).await.unwrap();
        let apply = PatchParams::apply("kubectl").force();
        let changed = actions.patch("owned", &apply, &Patch::Apply(object("owned", after))).await;
        let changed = serde_json::to_value(changed.expect("moving to server-side apply").spec).unwrap();
        for (field, value) in after.as_object().unwrap() {
            assert_eq!(&changed[field], value, "{field}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_variable_moves_from_value_to_value_from() {
    let spec = |variable: Value| with(&json!({"runPolicy": "Manual", "variables": [variable]}));
    let value = spec(json!({"name": "A", "value": "1"}));
    let secret = spec(json!({"name": "A", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}}));
    let config = spec(json!({"name": "A", "valueFrom": {"configMapKeyRef": {"name": "a", "key": "b"}}}));
    change_over(&value, &secret).await;
    change_over(&secret, &config).await;
    change_over(&config, &value).await;
}

#[tokio::test]
async fn a_script_loses_its_interpreter() {
    let spec = |script: Value| json!({"image": examples_image(), "runPolicy": "Manual", "script": script});
    let with_interpreter = spec(json!({"inline": "1", "interpreter": ["python3"]}));
    change_over(&with_interpreter, &spec(json!({"inline": "2"}))).await;
}

#[tokio::test]
async fn a_script_becomes_a_command() {
    let script = with(&json!({"runPolicy": "Manual"}));
    let command = with(&json!({"runPolicy": "Manual", "script": null, "command": ["true"]}));
    in_namespace(async |namespace| {
        // Who applied the script server-side owns it, and removes it by leaving it out.
        let actions = namespace.api::<DeploymentAction>();
        let apply = PatchParams::apply("kubectl");
        for spec in [&script, &command] {
            let changed = actions.patch("owned", &apply, &Patch::Apply(object("owned", spec))).await.unwrap();
            assert_eq!(changed.spec.script.is_some(), spec.get("script").is_some());
            assert_eq!(changed.spec.command.is_some(), spec.get("command").is_some());
        }
    })
    .await;
}

#[tokio::test]
async fn two_owners_share_a_list_of_variables() {
    in_namespace(async |namespace| {
        let actions = namespace.api::<DeploymentAction>();
        let of =
            |name: &str| with(&json!({"runPolicy": "Manual", "variables": [{"name": name, "value": "1"}]}));
        for (owner, variable) in [("one", "A"), ("two", "B")] {
            let apply = PatchParams::apply(owner);
            actions.patch("owned", &apply, &Patch::Apply(object("owned", &of(variable)))).await.unwrap();
        }
        let names: Vec<String> = actions
            .get("owned")
            .await
            .unwrap()
            .spec
            .variables
            .into_iter()
            .map(|variable| variable.name)
            .collect();
        assert_eq!(names, ["A", "B"]);
    })
    .await;
}

#[tokio::test]
async fn actions_are_selected_by_phase() {
    in_namespace(async |namespace| {
        let idle = namespace.apply("idle", idle()).await;
        let done = namespace.apply("done", Action::script("echo hello")).await;
        idle.reason(Reason::NotRequested).await;
        done.finished().await;
        let actions = namespace.api::<DeploymentAction>();
        for (phase, expected) in [("Idle", "idle"), ("Succeeded", "done")] {
            let selected =
                actions.list(&ListParams::default().fields(&format!("status.phase={phase}"))).await.unwrap();
            let names: Vec<_> =
                selected.iter().filter_map(|action| action.metadata.name.as_deref()).collect();
            assert_eq!(names, [expected]);
        }
    })
    .await;
}
