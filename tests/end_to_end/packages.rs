//! Packages: charts that helm itself pushed, images, and artifacts made by hand, good and bad.

use std::path::Path;

use k8s_openapi::api::core::v1::{ResourceQuota, Secret};
use kube::api::DeleteParams;
use longshore::api::{Reason, packages::PackageKind};
use serde_json::{Value, json};

use super::{pending::quota, registry::push_artifact};
use crate::support::{
    action::Action,
    namespace::{Namespace, in_namespace, setting, tool},
    registry::Image,
    rights::Subject,
};

const TITLE: &str = "org.opencontainers.image.title";

fn helm(arguments: &[&str], folder: &Path) {
    let done = tool("helm")
        .args(arguments)
        .current_dir(folder)
        // Its own configuration and credentials.
        .envs([("HELM_CONFIG_HOME", folder), ("HELM_CACHE_HOME", folder), ("HELM_DATA_HOME", folder)])
        .output()
        .expect("helm in PATH");
    assert!(done.status.success(), "helm {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// Has helm make and push a chart `orders` of this version; `login` where the registry wants one.
fn push_chart(
    namespace: &Namespace,
    registry: &str,
    version: &str,
    options: &[&str],
    login: Option<(&str, &str)>,
) {
    let folder = std::env::temp_dir().join(format!("longshore-chart-{}-{version}", namespace.name));
    std::fs::create_dir_all(folder.join("orders/templates")).unwrap();
    let chart = format!("apiVersion: v2\nname: orders\nversion: {version}\n");
    std::fs::write(folder.join("orders/Chart.yaml"), chart).unwrap();
    std::fs::write(folder.join("orders/templates/a.yaml"), "kind: ConfigMap\n").unwrap();
    helm(&["package", "orders"], &folder);
    if let Some((user, password)) = login {
        let words = ["registry", "login", registry, "--username", user, "--password", password];
        helm(&[&words, options].concat(), &folder);
    }
    let (archive, to) =
        (format!("orders-{version}.tgz"), format!("oci://{registry}/charts/{}", namespace.name));
    helm(&[&["push", &archive, &to], options].concat(), &folder);
    std::fs::remove_dir_all(&folder).unwrap();
}

fn with_package(script: &str, reference: &str) -> Action {
    Action::script(script).with("packages", json!([{"name": "orders", "reference": reference}]))
}

fn chart(registry: &str, namespace: &Namespace, version: &str) -> String {
    format!("{}/charts/{}/orders:{version}", setting(registry), namespace.name)
}

#[tokio::test]
async fn a_chart_that_helm_pushed_is_there_read_only() {
    in_namespace(async |namespace| {
        push_chart(namespace, &setting("LONGSHORE_PUSH_REGISTRY"), "1.4.2", &["--plain-http"], None);
        let reference = chart("LONGSHORE_REGISTRY", namespace, "1.4.2");
        let script = r#"cd "$LONGSHORE_PACKAGES/orders" && cat Chart.yaml && ls templates && ! touch x && ls /longshore/pull || echo gone"#;
        let done = namespace.run(with_package(script, &reference)).await;
        done.assert_succeeded().assert_tail_has(&["name: orders", "version: 1.4.2", "a.yaml", "Read-only", "gone"]);
        let [package] = &done.status().packages[..] else { panic!("{:?}", done.status().packages) };
        assert_eq!((package.name.as_str(), package.requested.as_str()), ("orders", reference.as_str()));
        assert_eq!(package.kind, PackageKind::Artifact);
        assert!(package.resolved.contains("/orders@sha256:") && package.media_type.is_some());
    })
    .await;
}

async fn pull_secret(namespace: &Namespace) {
    let registry = setting("LONGSHORE_TOKEN_REGISTRY");
    let entry = json!({
        "username": setting("LONGSHORE_REGISTRY_USER"), "password": setting("LONGSHORE_REGISTRY_PASSWORD"),
    });
    namespace
        .put::<Secret>(json!({
            "metadata": {"name": "pull"},
            "type": "kubernetes.io/dockerconfigjson",
            "stringData": {".dockerconfigjson": json!({"auths": {registry: entry}}).to_string()},
        }))
        .await;
}

#[tokio::test]
async fn a_private_chart_is_fetched_with_the_action_s_pull_secret() {
    in_namespace(async |namespace| {
        let (user, password) =
            (setting("LONGSHORE_REGISTRY_PUSH_USER"), setting("LONGSHORE_REGISTRY_PUSH_PASSWORD"));
        let authority = setting("LONGSHORE_TLS_CA");
        let registry = setting("LONGSHORE_PUSH_TOKEN_REGISTRY");
        push_chart(namespace, &registry, "2.0.0", &["--ca-file", &authority], Some((&user, &password)));
        let reference = chart("LONGSHORE_TOKEN_REGISTRY", namespace, "2.0.0");
        let action = with_package(r#"cat "$LONGSHORE_PACKAGES/orders/Chart.yaml""#, &reference);

        let none = namespace.run(action.clone()).await;
        none.assert_failed(Reason::PackageDenied, None)
            .assert_says(&["spec.packages, orders", "anonymously"]);
        assert!(namespace.pods().await.is_empty());

        pull_secret(namespace).await;
        let action = action.with("imagePullSecrets", json!([{"name": "pull"}]));
        let refused = namespace
            .apply("refused", action.clone().with("pendingDeadlineSeconds", 30))
            .await
            .finished()
            .await;
        refused.assert_failed(Reason::PackageDenied, None).assert_says(&["may not read", "by name"]);

        namespace.lets_operator_read(&["pull"]).await;
        let granted = namespace.apply("granted", action.clone()).await.finished().await;
        granted.assert_succeeded().assert_tail_has(&["version: 2.0.0"]);

        // With the digest, nobody has to be let read the Secret.
        namespace.lets_no_more(&Subject::operator(), "pull").await;
        let pinned = granted.status().packages[0].resolved.clone();
        let action = action.with("packages", json!([{"name": "orders", "reference": pinned}]));
        let unread = namespace.apply("unread", action).await.finished().await;
        unread.assert_succeeded().assert_tail_has(&["version: 2.0.0"]);
        assert_eq!(unread.status().packages[0].kind, PackageKind::Unread);
    })
    .await;
}

#[tokio::test]
async fn an_image_is_a_package_too() {
    in_namespace(async |namespace| {
        let reference = Image::static_program().push(&format!("packages/{}", namespace.name), "amd64").await;
        let done = namespace.run(with_package(r#""$LONGSHORE_PACKAGES/orders/program""#, &reference)).await;
        done.assert_succeeded().assert_tail_has(&[crate::support::registry::PROGRAM_SAYS]);
        assert_eq!(done.status().packages[0].kind, PackageKind::Image);
    })
    .await;
}

fn file(name: &str, content: &str) -> (&'static str, Vec<u8>, Value) {
    ("text/plain", content.into(), json!({TITLE: name}))
}

#[tokio::test]
async fn the_digest_stands_when_the_tag_moves() {
    in_namespace(async |namespace| {
        let repository = format!("packages/{}", namespace.name);
        let first =
            push_artifact(&repository, "1", &[file("a.yaml", "first"), file("deep/b.yaml", "b")], None).await;
        quota(namespace, "0").await;
        let reference = format!("{}/{repository}:1", setting("LONGSHORE_REGISTRY"));
        let script = r#"cat "$LONGSHORE_PACKAGES/orders/a.yaml"; ls "$LONGSHORE_PACKAGES/orders/deep""#;
        let action = namespace.apply("deploy", with_package(script, &reference)).await;
        let held = action.reason(Reason::QuotaExceeded).await;
        assert!(held.status().packages[0].resolved.ends_with(&first), "{:?}", held.status().packages);
        let second = push_artifact(&repository, "1", &[file("a.yaml", "second")], None).await;
        namespace.api::<ResourceQuota>().delete("few-pods", &DeleteParams::default()).await.unwrap();
        let done = action.finished().await;
        done.assert_succeeded().assert_tail_has(&["first", "b.yaml"]);
        assert!(done.status().packages[0].resolved.ends_with(&first));

        // Asked for again, the same is deployed, whatever the tag says by now.
        let done = action.rerun("again").await;
        done.assert_succeeded().assert_tail_has(&["first"]);
        assert_eq!(done.run().repeats, Some(1));
        assert!(done.status().packages[0].resolved.ends_with(&first));

        // A new run resolves anew.
        action
            .patch_spec(
                json!({"runToken": "again", "script": {"inline": "cat $LONGSHORE_PACKAGES/orders/a.yaml"}}),
            )
            .await;
        let done = action.finished().await;
        done.assert_succeeded().assert_tail_has(&["second"]);
        assert!(done.status().packages[0].resolved.ends_with(&second));
        // The history has both.
        let [of_second, again, of_first] = &done.status().history[..] else {
            panic!("{:?}", done.status().history)
        };
        for (run, digest) in [(of_second, &second), (again, &first), (of_first, &first)] {
            assert!(run.packages[0].resolved.ends_with(digest), "{run:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_further_attempt_deploys_what_the_first_did() {
    in_namespace(async |namespace| {
        let repository = format!("packages/{}", namespace.name);
        let first = push_artifact(&repository, "1", &[file("a.yaml", "first")], None).await;
        let reference = format!("{}/{repository}:1", setting("LONGSHORE_REGISTRY"));
        let script = r#"cat "$LONGSHORE_PACKAGES/orders/a.yaml"; exit $((2 - LONGSHORE_ATTEMPT))"#;
        let retry =
            json!({"limit": 1, "causes": ["ScriptFailed"], "backoffSeconds": 4, "maxBackoffSeconds": 4});
        let action = with_package(script, &reference).with("retry", retry);
        let action = namespace.apply("deploy", action).await;
        action.reason(Reason::RetryPending).await;
        push_artifact(&repository, "1", &[file("a.yaml", "second")], None).await;
        let done = action.finished().await;
        done.assert_succeeded().assert_tail_has(&["first"]);
        assert_eq!((done.run().number, done.run().attempt), (1, 2));
        assert!(done.status().packages[0].resolved.ends_with(&first), "{:?}", done.status().packages);
    })
    .await;
}

#[tokio::test]
async fn a_package_that_is_not_there_starts_nothing() {
    in_namespace(async |namespace| {
        let repository = format!("packages/{}", namespace.name);
        push_artifact(&repository, "1", &[file("a.yaml", "a")], None).await;
        let here = format!("{}/{repository}", setting("LONGSHORE_REGISTRY"));
        for version in [":2".to_owned(), format!("@sha256:{}", "0".repeat(64))] {
            let name = if version.starts_with(':') { "version" } else { "digest" };
            let done = namespace
                .apply(name, with_package("true", &format!("{here}{version}")))
                .await
                .finished()
                .await;
            done.assert_failed(Reason::PackageNotFound, None).assert_says(&[
                "spec.packages, orders",
                "does not exist",
                &version,
            ]);
        }
        // Ten gigabytes, by the manifest's own word.
        push_artifact(&repository, "huge", &[file("a.yaml", "a")], Some(10_000_000_000)).await;
        let done =
            namespace.apply("huge", with_package("true", &format!("{here}:huge"))).await.finished().await;
        done.assert_failed(Reason::PackageTooLarge, None).assert_says(&["10000000000 bytes packed"]);
        let unknown = ("application/unknown", b"a".to_vec(), json!({}));
        push_artifact(&repository, "unknown", &[unknown], None).await;
        let done = namespace
            .apply("unknown", with_package("true", &format!("{here}:unknown")))
            .await
            .finished()
            .await;
        done.assert_failed(Reason::PackageInvalid, None).assert_says(&["layer 1 of 1", "media type"]);
        assert!(namespace.pods().await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_package_that_leads_out_of_its_folder_starts_no_script() {
    in_namespace(async |namespace| {
        let repository = format!("packages/{}", namespace.name);
        let here = format!("{}/{repository}", setting("LONGSHORE_REGISTRY"));
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        let mut archive = tar::Builder::new(Vec::new());
        archive
            .append_link(&mut header, "token", "/var/run/secrets/kubernetes.io/serviceaccount/token")
            .unwrap();
        let layer = ("application/vnd.example.tar", archive.into_inner().unwrap(), json!({}));
        push_artifact(&repository, "link", &[layer], None).await;
        push_artifact(&repository, "path", &[file("../../state/claim", "evil")], None).await;
        for (tag, words) in [("link", "leads to"), ("path", "leads out")] {
            let action = with_package("echo started", &format!("{here}:{tag}"));
            let done = namespace.apply(tag, action).await.finished().await;
            done.assert_failed(Reason::PackageUnsafe, None).assert_says(&["package orders", words]);
            assert!(done.run().started_at.is_none() && done.status().log.is_none());
        }
    })
    .await;
}

#[tokio::test]
async fn a_registry_that_the_pod_cannot_reach_is_told() {
    in_namespace(async |namespace| {
        // Nobody listens there: the operator leaves it to the pod, which asks again for a while.
        let host = setting("LONGSHORE_REGISTRY");
        let host = host.rsplit_once(':').map_or(host.as_str(), |(host, _)| host);
        let reference = format!("{host}:5999/orders@sha256:{}", "0".repeat(64));
        let action = with_package("echo started", &reference).with("pendingDeadlineSeconds", 90);
        let done = namespace.run(action).await;
        done.assert_failed(Reason::PackageFetchFailed, None).assert_says(&["package orders", "cannot reach"]);
        assert_eq!(done.status().packages[0].kind, PackageKind::Unread);
        assert!(done.run().started_at.is_none());
    })
    .await;
}
