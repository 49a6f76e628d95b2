//! Images that a registry shows only to whom it knows: by HTTP Basic and by a token server.

use k8s_openapi::api::core::v1::{Pod, Secret, ServiceAccount};
use kube::{ResourceExt, api::ListParams};
use longshore::api::{LABEL_RESOLVER, Reason};
use serde_json::json;

use crate::support::{
    action::Action,
    namespace::{Namespace, in_namespace, setting, until},
};

const REGISTRIES: [(&str, &str); 2] =
    [("basic", "LONGSHORE_BASIC_REGISTRY"), ("token", "LONGSHORE_TOKEN_REGISTRY")];

fn private(registry: &str) -> String {
    format!("{}/test/private-busybox:1", setting(registry))
}

/// A pull Secret for both registries.
async fn pull_secret(namespace: &Namespace, name: &str, password: &str) {
    let entry = json!({"username": setting("LONGSHORE_REGISTRY_USER"), "password": password});
    let auths: serde_json::Map<_, _> =
        REGISTRIES.iter().map(|(_, registry)| (setting(registry), entry.clone())).collect();
    namespace
        .put::<Secret>(json!({
            "metadata": {"name": name},
            "type": "kubernetes.io/dockerconfigjson",
            "stringData": {".dockerconfigjson": json!({"auths": auths}).to_string()},
        }))
        .await;
}

async fn resolvers(namespace: &Namespace) -> Vec<Pod> {
    namespace.api::<Pod>().list(&ListParams::default().labels(LABEL_RESOLVER)).await.unwrap().items
}

fn action(image: &str) -> Action {
    Action::script("echo hello").image(image).with("imagePullSecrets", json!([{"name": "pull"}]))
}

#[tokio::test]
async fn a_secret_that_the_operator_may_read_resolves_the_tag() {
    in_namespace(async |namespace| {
        pull_secret(namespace, "pull", &setting("LONGSHORE_REGISTRY_PASSWORD")).await;
        namespace.lets_operator_read(&["pull"]).await;
        let mut actions = Vec::new();
        for (name, registry) in REGISTRIES {
            actions.push(namespace.apply(name, action(&private(registry))).await);
        }
        for action in &actions {
            let done = action.finished().await;
            done.assert_succeeded();
            assert!(done.image().config_digest.is_some(), "the registry was read");
        }
        assert!(resolvers(namespace).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_node_resolves_the_tag_where_the_operator_may_read_nothing() {
    in_namespace(async |namespace| {
        pull_secret(namespace, "pull", &setting("LONGSHORE_REGISTRY_PASSWORD")).await;
        let mut actions = Vec::new();
        for (name, registry) in REGISTRIES {
            actions.push(namespace.apply(name, action(&private(registry))).await);
        }
        for action in &actions {
            let done = action.finished().await;
            done.assert_succeeded();
            assert!(done.image().config_digest.is_none() && done.image().resolved.contains("@sha256:"));
        }
        until("the pods that resolved are gone", async || {
            resolvers(namespace).await.is_empty().then_some(())
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn the_service_account_s_pull_secrets_serve_too() {
    in_namespace(async |namespace| {
        pull_secret(namespace, "of-account", &setting("LONGSHORE_REGISTRY_PASSWORD")).await;
        namespace.lets_operator_read(&["of-account"]).await;
        namespace
            .put::<ServiceAccount>(
                json!({"metadata": {"name": "deployer"}, "imagePullSecrets": [{"name": "of-account"}]}),
            )
            .await;
        let (_, registry) = REGISTRIES[1];
        let action =
            Action::script("echo hello").image(&private(registry)).with("serviceAccountName", "deployer");
        let done = namespace.run(action).await;
        done.assert_succeeded();
        assert!(done.image().config_digest.is_some(), "the registry was read");
    })
    .await;
}

#[tokio::test]
async fn a_wrong_password_is_told_with_whose_it_is() {
    in_namespace(async |namespace| {
        pull_secret(namespace, "pull", "another-one").await;
        namespace.lets_operator_read(&["pull"]).await;
        let mut actions = Vec::new();
        for (name, registry) in REGISTRIES {
            let action = action(&private(registry)).with("pendingDeadlineSeconds", 30);
            actions.push(namespace.apply(name, action).await);
        }
        for action in &actions {
            let done = action.finished().await;
            done.assert_failed(Reason::ImageDenied, None);
            done.assert_says(&[&format!("Secret {}/pull", namespace.name), "spec.imagePullSecrets"]);
            assert!(!done.message().contains("another-one"), "{}", done.message());
        }
        until("the pods that asked the node are gone", async || {
            resolvers(namespace).await.is_empty().then_some(())
        })
        .await;
        assert!(namespace.pods().await.iter().all(|pod| pod.labels().contains_key(LABEL_RESOLVER)));
    })
    .await;
}

#[tokio::test]
async fn without_any_credentials_the_registry_s_refusal_is_told() {
    in_namespace(async |namespace| {
        let (_, registry) = REGISTRIES[0];
        let plain = Action::script("echo hello").image(&private(registry)).with("pendingDeadlineSeconds", 30);
        let done = namespace.run(plain).await;
        done.assert_failed(Reason::ImageDenied, None)
            .assert_says(&["private-busybox", "spec.imagePullSecrets"]);
    })
    .await;
}

#[tokio::test]
async fn a_secret_that_is_no_pull_secret_is_named() {
    in_namespace(async |namespace| {
        namespace.secret("pull", json!({"password": "not-for-the-log"})).await;
        namespace.lets_operator_read(&["pull"]).await;
        let (_, registry) = REGISTRIES[0];
        let done = namespace.run(action(&private(registry)).with("pendingDeadlineSeconds", 30)).await;
        done.assert_failed(Reason::ImageDenied, None);
        done.assert_says(&["pull is of type Opaque and not kubernetes.io/dockerconfigjson"]);
        assert!(!done.message().contains("not-for-the-log"));
    })
    .await;
}

#[tokio::test]
async fn a_pod_that_asks_a_node_and_gets_none_is_unschedulable() {
    in_namespace(async |namespace| {
        pull_secret(namespace, "pull", &setting("LONGSHORE_REGISTRY_PASSWORD")).await;
        let (_, registry) = REGISTRIES[0];
        let nowhere = json!({"nodeSelector": {"example.com/nowhere": "true"}});
        let action =
            action(&private(registry)).with("podTemplate", nowhere).with("pendingDeadlineSeconds", 30);
        let done = namespace.run(action).await;
        done.assert_failed(Reason::Unschedulable, None).assert_says(&["which asks a node", "node affinity"]);
    })
    .await;
}

#[tokio::test]
async fn a_private_image_that_is_not_there_is_not_found_and_no_node_is_asked() {
    in_namespace(async |namespace| {
        pull_secret(namespace, "pull", &setting("LONGSHORE_REGISTRY_PASSWORD")).await;
        namespace.lets_operator_read(&["pull"]).await;
        let (_, registry) = REGISTRIES[0];
        let image = format!("{}/test/nobody-pushed-this:1", setting(registry));
        let done = namespace.run(action(&image)).await;
        done.assert_failed(Reason::ImageNotFound, None).assert_says(&["nobody-pushed-this"]);
        assert!(resolvers(namespace).await.is_empty());
    })
    .await;
}
