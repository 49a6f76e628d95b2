//! Actions that are made of a template.

use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use longshore::api::{
    ClusterDeploymentActionTemplate, ConditionType, DeploymentActionTemplate, Phase, Reason,
    template::TemplateKind,
};
use serde_json::{Value, json};

use crate::support::{
    action::Action,
    namespace::{Namespace, examples_image, in_namespace},
};

fn template(kind: &str, name: &str, script: &str, parameters: &Value) -> Value {
    json!({
        "apiVersion": "longshore.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {"image": examples_image(), "script": {"inline": script}, "parameters": parameters},
    })
}

async fn put(namespace: &Namespace, name: &str, script: &str, parameters: &Value) {
    let object = template("DeploymentActionTemplate", name, script, parameters);
    namespace.put::<DeploymentActionTemplate>(object).await;
}

#[tokio::test]
async fn parameters_reach_the_script_and_a_secret_one_is_masked() {
    in_namespace(async |namespace| {
        namespace.secret("db", json!({"password": "correct-horse-battery"})).await;
        let parameters = json!([
            {"name": "HOST", "required": true, "pattern": "^[a-z.]+$"},
            {"name": "REPLICAS", "type": "Integer", "default": 2},
            {"name": "FORCE", "type": "Boolean", "default": "false"},
            {"name": "PASSWORD", "type": "Secret"},
            {"name": "NOTE"},
        ]);
        put(
            namespace,
            "deploy",
            "echo \"$HOST $REPLICAS $FORCE [$NOTE] $PASSWORD ${#PASSWORD}\"",
            &parameters,
        )
        .await;
        let values = json!([
            {"name": "HOST", "value": "orders.example.com"},
            {"name": "REPLICAS", "value": 3},
            {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}},
        ]);
        let done = namespace
            .apply("made", Action::of_template(None, "deploy").with("parameters", values))
            .await
            .finished()
            .await;
        done.assert_succeeded().assert_tail_has(&["orders.example.com 3 false [] *** 21\n"]);
        let frozen = done.status().template.clone().expect("the template is in the status");
        assert_eq!((frozen.kind, frozen.name.as_str()), (TemplateKind::DeploymentActionTemplate, "deploy"));
        assert_eq!((frozen.generation, frozen.sha256.len()), (1, 64));
        assert_eq!(done.image().requested, examples_image());
    })
    .await;
}

#[tokio::test]
async fn a_later_change_of_the_template_starts_nothing_and_is_told() {
    in_namespace(async |namespace| {
        put(namespace, "deploy", "echo first", &json!([])).await;
        let made = namespace.apply("made", Action::of_template(None, "deploy")).await;
        made.finished().await.assert_succeeded().assert_tail_has(&["first\n"]);
        let templates: Api<DeploymentActionTemplate> = namespace.api();
        let change = Patch::Merge(json!({"spec": {"script": {"inline": "echo second"}}}));
        templates.patch("deploy", &PatchParams::default(), &change).await.expect("changing the template");
        let outdated = |is: bool| {
            move |done: &crate::support::action::Done| {
                done.status().conditions().is_true(ConditionType::TemplateOutdated) == is
            }
        };
        let told = made.until("the change is told", outdated(true)).await;
        let message = &told.condition(ConditionType::TemplateOutdated).message;
        assert!(message.contains("at generation 2"), "{message}");
        assert!(told.is_finished());
        assert_eq!((told.run().number, namespace.pods().await.len()), (1, 1));

        made.patch_spec(json!({"runToken": "again"})).await;
        let again =
            made.until("the second run is over", |done| done.is_finished() && done.run().number == 2).await;
        assert_eq!(again.status().template.as_ref().expect("a template").generation, 2);
        let again = made.finished().await;
        again.assert_succeeded().assert_tail_has(&["second\n"]);
        assert!(outdated(false)(&again), "{}", again.conditions());
        // Without the template what has run stays as it is.
        templates.delete("deploy", &DeleteParams::default()).await.expect("deleting the template");
        let without = namespace.apply("without", Action::of_template(None, "deploy")).await;
        without.reason(Reason::TemplateNotFound).await;
        namespace.idle().await;
        made.finished().await.assert_succeeded();
    })
    .await;
}

#[tokio::test]
async fn a_template_that_comes_later_is_waited_for() {
    in_namespace(async |namespace| {
        let made = namespace.apply("made", Action::of_template(None, "deploy")).await;
        let waiting = made.reason(Reason::TemplateNotFound).await;
        waiting.assert_says(&["spec.templateRef", "\"deploy\"", &namespace.name]);
        assert_eq!(waiting.status().phase, Some(Phase::Pending));
        put(namespace, "deploy", "echo here", &json!([])).await;
        let done = made.finished().await;
        done.assert_succeeded().assert_tail_has(&["here\n"]);
        assert_eq!(done.run().number, 1);
    })
    .await;
}

#[tokio::test]
async fn wrong_parameters_end_the_run_with_nothing_started() {
    in_namespace(async |namespace| {
        let parameters = json!([{"name": "HOST", "required": true}, {"name": "REPLICAS", "type": "Integer"}]);
        put(namespace, "deploy", "echo", &parameters).await;
        let values = json!([{"name": "HOTS", "value": "x"}, {"name": "REPLICAS", "value": "many"}]);
        let made =
            namespace.apply("made", Action::of_template(None, "deploy").with("parameters", values)).await;
        made.finished().await.assert_failed(Reason::ParametersInvalid, None).assert_says(&[
            "parameter HOTS is unknown: did you mean HOST?",
            "parameter HOST is required",
            "parameter REPLICAS is \"many\"",
        ]);
        assert_eq!(namespace.pods().await.len(), 0);
        let right = json!([{"name": "HOST", "value": "x"}]);
        made.patch_spec(json!({"parameters": right})).await;
        made.finished().await.assert_succeeded();

        let contradicts = json!([{"name": "TAG", "pattern": "^v", "default": "1"}]);
        put(namespace, "broken", "echo", &contradicts).await;
        namespace
            .apply("of-broken", Action::of_template(None, "broken"))
            .await
            .finished()
            .await
            .assert_failed(Reason::TemplateInvalid, None)
            .assert_says(&["broken", "parameter TAG: its default"]);
    })
    .await;
}

#[tokio::test]
async fn a_template_of_the_cluster_serves_two_namespaces_with_what_each_has() {
    in_namespace(async |namespace| {
        let name = format!("{}-deploy", namespace.name);
        let mut object = template(
            "ClusterDeploymentActionTemplate",
            &name,
            "echo \"$LONGSHORE_NAMESPACE: $URL\"",
            &json!([]),
        );
        object["metadata"]["ownerReferences"] = json!([namespace.as_owner().await]);
        object["spec"]["variables"] =
            json!([{"name": "URL", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "url"}}}]);
        let templates: Api<ClusterDeploymentActionTemplate> = Api::all(namespace.client.clone());
        let object = serde_json::from_value(object).expect("a template");
        templates.create(&PostParams::default(), &object).await.expect("creating the template");
        let sibling = namespace.sibling().await;
        for (place, url) in [(namespace, "https://one"), (&sibling, "https://two")] {
            place.config_map("settings", json!({"url": url})).await;
            let made = Action::of_template(Some("ClusterDeploymentActionTemplate"), &name);
            let done = place.apply("made", made).await.finished().await;
            done.assert_succeeded().assert_tail_has(&[&format!("{}: {url}\n", place.name)]);
        }
        sibling.remove().await;
    })
    .await;
}
