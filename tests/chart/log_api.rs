//! The log server goes away: everything else works, and namespaces still go.

use std::time::Duration;

use k8s_openapi::{
    api::core::v1::Namespace as KubeNamespace, kube_aggregator::pkg::apis::apiregistration::v1::APIService,
};
use kube::{Api, Client};
use longshore::api::LOG_API_SERVICE;

use super::{
    release::{NAMESPACE, changing_the_release},
    tools::kubectl,
};
use crate::support::{
    action::Action,
    namespace::{Namespace, within},
};

/// The operator waits 10 s, and looks every 5 s.
const REMOVED: Duration = Duration::from_secs(30);

async fn available(client: &Client) -> Option<bool> {
    let services: Api<APIService> = Api::all(client.clone());
    let service = services.get_opt(LOG_API_SERVICE).await.expect("reading the APIService")?;
    let conditions = service.status.and_then(|status| status.conditions).unwrap_or_default();
    Some(conditions.iter().any(|one| one.type_ == "Available" && one.status == "True"))
}

fn replicas(count: u8) {
    let count = format!("--replicas={count}");
    kubectl(&["scale", "deployment/longshore-logs", "--namespace", NAMESPACE, &count]);
}

async fn is_gone(namespace: &Namespace) {
    let namespaces: Api<KubeNamespace> = namespace.namespaces();
    within(Duration::from_mins(1), "the namespace is gone", async || {
        namespaces.get_opt(&namespace.name).await.expect("reading a namespace").is_none().then_some(())
    })
    .await;
}

#[tokio::test]
async fn without_its_log_server_a_cluster_works_and_namespaces_go() {
    changing_the_release(async |release, namespace| {
        release.install(&["--set", "logApi.enabled=true"]);
        within(Duration::from_mins(1), "the log server is there", async || {
            (available(&namespace.client).await == Some(true)).then_some(())
        })
        .await;
        let doomed = namespace.sibling().await;
        replicas(0);
        // At once, while the API server still believes in the log server.
        doomed.remove().await;
        is_gone(&doomed).await;
        within(REMOVED, "the APIService is gone", async || {
            available(&namespace.client).await.is_none().then_some(())
        })
        .await;
        namespace.apply("works", Action::script("echo hi")).await.finished().await.assert_succeeded();

        replicas(1);
        within(Duration::from_mins(1), "the log server is back", async || {
            (available(&namespace.client).await == Some(true)).then_some(())
        })
        .await;

        // An installation that has no log server any more.
        release.install(&["--set", "logApi.enabled=false"]);
        within(REMOVED, "the APIService is gone", async || {
            available(&namespace.client).await.is_none().then_some(())
        })
        .await;
    })
    .await;
}

/// The Secret's content is the server's. A release that is applied again leaves it alone.
#[tokio::test]
async fn an_upgrade_leaves_the_certificate_alone() {
    changing_the_release(async |release, namespace| {
        let certificate = || {
            let content = "--output=jsonpath={.data.tls\\.crt}";
            kubectl(&["get", "secret/longshore-logs", "--namespace", NAMESPACE, content])
        };
        release.install(&["--set", "logApi.enabled=true"]);
        within(Duration::from_mins(1), "the log server is there", async || {
            (available(&namespace.client).await == Some(true)).then_some(())
        })
        .await;
        let before = certificate();
        assert!(!before.is_empty());
        release.install(&["--set", "logApi.enabled=true,logApi.maxRequests=10"]);
        assert_eq!(certificate(), before);
        // As a tool for GitOps applies it.
        let manifest = super::tools::helm(&["get", "manifest", "longshore", "--namespace", NAMESPACE]);
        let arguments =
            ["apply", "--server-side", "--force-conflicts", "--field-manager=gitops", "--filename=-"];
        super::tools::run("kubectl", &[&arguments[..], &["--namespace", NAMESPACE]].concat(), &manifest);
        assert_eq!(certificate(), before);
    })
    .await;
}
