//! The operator's pod while it is tried: its log as it is written, and its counts.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::{AsyncBufReadExt, TryStreamExt};
use k8s_openapi::{api::core::v1::Pod, jiff::Timestamp};
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, LogParams},
};

use crate::support::metrics;

const NAMESPACE: &str = "longshore-system";

pub(crate) struct Operator {
    client: Client,
    /// As it was at the start.
    before: Pod,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Operator {
    /// The one that runs; its log is read from now on.
    pub(crate) async fn watched(client: Client) -> Self {
        let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
        let labels = ListParams::default().labels("app.kubernetes.io/name=longshore");
        let ready = pods.list(&labels).await.expect("listing pods").items.into_iter().find(is_ready);
        let before = ready.expect("an operator is ready");
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (into, name, since) = (Arc::clone(&lines), before.name_any(), Timestamp::now());
        let parameters = LogParams { follow: true, since_time: Some(since), ..LogParams::default() };
        let mut log = pods.log_stream(&name, &parameters).await.expect("reading the operator's log");
        tokio::spawn(async move {
            loop {
                let mut read = log.lines();
                while let Ok(Some(line)) = read.try_next().await {
                    into.lock().expect("no reader panics").push(line);
                }
                // The kubelet began another file. A line that stands twice does no harm.
                let parameters = LogParams { follow: true, since_seconds: Some(5), ..LogParams::default() };
                tokio::time::sleep(Duration::from_millis(200)).await;
                let Ok(again) = pods.log_stream(&name, &parameters).await else { break };
                log = again;
            }
        });
        Self { client, before, lines }
    }

    /// Its lines since then.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().expect("no writer panics").clone()
    }

    /// It is the same container, and ready.
    pub(crate) async fn assert_unharmed(&self) {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), NAMESPACE);
        let now = pods.get_opt(&self.before.name_any()).await.expect("reading the operator's pod");
        let now = now.expect("the operator's pod is still there");
        assert_eq!(restarts(&now), restarts(&self.before), "the operator was restarted: {:?}", now.status);
        assert!(is_ready(&now), "the operator is no longer ready: {:?}", now.status);
    }

    /// Its counts, as Prometheus reads them.
    pub(crate) async fn metrics(&self) -> String {
        metrics::of_pod(&self.client, &self.before.name_any()).await.expect("the operator shows its metrics")
    }
}

fn restarts(pod: &Pod) -> Vec<i32> {
    let status = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
    status.into_iter().flatten().map(|container| container.restart_count).collect()
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    pod.metadata.deletion_timestamp.is_none()
        && conditions.is_some_and(|all| all.iter().any(|one| one.type_ == "Ready" && one.status == "True"))
}
