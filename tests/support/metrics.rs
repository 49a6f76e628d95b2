//! The operator's counts, as Prometheus reads them.

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, ResourceExt, api::ListParams};

const NAMESPACE: &str = "longshore-system";

/// Those of the operator in this pod.
pub(crate) async fn of_pod(client: &Client, name: &str) -> kube::Result<String> {
    let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{name}:8080/proxy/metrics");
    client.request_text(http::Request::get(path).body(Vec::new()).expect("a request")).await
}

/// How many actions the operator looks at now. `None` while no operator leads.
pub(crate) async fn looks(client: &Client) -> Option<u32> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    let labels = ListParams::default().labels("app.kubernetes.io/name=longshore");
    for pod in pods.list_metadata(&labels).await.expect("listing the operator's pods") {
        let Ok(metrics) = of_pod(client, &pod.name_any()).await else { continue };
        if value(&metrics, "longshore_leader") == Some(1) {
            // Before the first look there is no such line.
            return Some(value(&metrics, "controller_runtime_active_workers").unwrap_or_default());
        }
    }
    None
}

fn value(metrics: &str, name: &str) -> Option<u32> {
    let line = metrics.lines().find(|line| line.split(['{', ' ']).next() == Some(name))?;
    line.rsplit(' ').next()?.parse().ok()
}
