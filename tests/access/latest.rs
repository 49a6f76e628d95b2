//! The tag `latest`.

use serde_json::json;

use super::{
    person::{Person, actions, rule, says},
    policies::in_force,
};
use crate::support::namespace::{Namespace, in_namespace};

#[tokio::test]
async fn the_tag_latest_is_refused_for_everyone() {
    in_namespace(async |namespace: &Namespace| {
        in_force(namespace).await;
        let rules = [rule("longshore.dev", "deploymentactions", "*"), rule("", "pods", "create")];
        let person = Person::new(namespace, "person", &rules).await;
        let actions = actions(&person, &namespace.name);
        let digest = "a".repeat(64);
        for image in [
            format!("tools:latest@sha256:{digest}"),
            format!("tools@sha256:{digest}"),
            "tools:latest-2".into(),
            "tools:not-latest".into(),
            "latest:1".into(),
            "localhost:5000/latest:1".into(),
        ] {
            actions.must_create(&json!({"image": image})).await;
        }
        for image in ["tools:latest", "registry.example.com/team/tools:latest", "localhost:5000/tools:latest"]
        {
            let instead = image.replace("latest", "2026.11");
            let answer = actions.would_create(&json!({"image": image})).await;
            says(answer, &["longshore-latest", image, &instead, "@sha256:"]);
        }
    })
    .await;
}

#[tokio::test]
async fn nor_can_an_action_come_to_it() {
    in_namespace(async |namespace: &Namespace| {
        in_force(namespace).await;
        let person =
            Person::new(namespace, "person", &[rule("longshore.dev", "deploymentactions", "*")]).await;
        let actions = actions(&person, &namespace.name);
        actions.must_create(&json!({})).await;
        namespace.put::<longshore::api::DeploymentAction>(super::person::action("a", &json!({}))).await;
        says(
            actions.patch("a", &json!({"spec": {"image": "tools:latest"}})).await,
            &["longshore-latest", "tools:2026.11"],
        );
        actions.must_patch("a", &json!({"spec": {"image": "tools:2"}})).await;
    })
    .await;
}
