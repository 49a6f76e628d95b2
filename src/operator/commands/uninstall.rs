//! `longshore uninstall`: the work before the operator is removed for good.
//!
//! Only the operator takes its finalizer off pods. Without the operator, a deleted pod stays, and its
//! namespace with it. So this command ends the operator first, and then takes the finalizer off all pods.
//! Running scripts go on. A second run of the command completes the first.

use std::time::Duration;

use clap::Parser;
use futures::{StreamExt, stream};
use k8s_openapi::{
    api::{apps::v1::Deployment, core::v1::Pod},
    apimachinery::pkg::apis::meta::v1::LabelSelector,
    kube_aggregator::pkg::apis::apiregistration::v1::APIService,
};
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, Patch, PatchParams},
    core::{PartialObjectMeta, Selector},
};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::{
    api::{FINALIZER_COLLECT, LABEL_MANAGED_BY, LOG_API_SERVICE, MANAGED_BY},
    operator::{
        call::{CallError, FIELD_MANAGER, call},
        pod::view::is_held,
        process::log_api,
        steps::release,
    },
};

/// The pause between two looks.
const EVERY: Duration = Duration::from_secs(1);
/// How many pods one answer may hold.
const PAGE: u32 = 500;
/// How many pods are patched at once.
const AT_ONCE: usize = 16;

/// Flags of `longshore uninstall`.
#[derive(Debug, Clone, Parser)]
pub struct UninstallOptions {
    /// Namespace of the operator.
    #[arg(long, env = "LONGSHORE_NAMESPACE")]
    pub namespace: String,

    /// The operator's Deployment.
    #[arg(long)]
    pub deployment: String,

    /// The log server's Deployment, if there is one.
    #[arg(long, value_name = "DEPLOYMENT")]
    pub log_api_deployment: Option<String>,

    /// Namespace whose pods are released, if the operator does not serve all. May be given several times.
    #[arg(long = "watch-namespace", value_name = "NAMESPACE")]
    pub watch_namespaces: Vec<String>,

    /// Seconds that the whole command may take.
    #[arg(long, default_value_t = 180)]
    pub timeout_seconds: u32,
}

/// Why something is left.
#[derive(Debug, thiserror::Error)]
pub enum UninstallError {
    /// The Deployment cannot be scaled.
    #[error("Deployment {deployment} cannot be scaled to 0: {source}")]
    Scale {
        /// Its name.
        deployment: String,
        /// Why.
        source: CallError,
    },
    /// The Deployment has a selector that cannot be used.
    #[error("Deployment {deployment} has a selector that cannot be read: {words}")]
    Selector {
        /// Its name.
        deployment: String,
        /// Why.
        words: String,
    },
    /// Something cannot be listed.
    #[error("{what} cannot be listed: {source}")]
    List {
        /// What.
        what: String,
        /// Why.
        source: CallError,
    },
    /// The `APIService` of the log server stays.
    #[error(
        "the APIService {LOG_API_SERVICE} cannot be removed, and no namespace can be deleted until it is: {0}"
    )]
    ApiService(CallError),
    /// The operator or the log server does not end.
    #[error(
        "pods of Deployment {deployment} are still there: {pods}. If their node is gone, delete them with --grace-period=0 --force \
         and try again"
    )]
    PodsStay {
        /// The Deployment.
        deployment: String,
        /// Their names.
        pods: String,
    },
    /// Some pods keep the finalizer.
    #[error("{left} pods still have the finalizer {FINALIZER_COLLECT}; the first of them, {first}: {words}")]
    PodsHeld {
        /// How many.
        left: usize,
        /// Namespace and name of one of them.
        first: String,
        /// Why.
        words: String,
    },
}

/// Ends the operator and releases its pods. `tell` gets a line for each step.
///
/// # Errors
/// If something is left. Nothing that was done is undone.
pub async fn uninstall(
    client: &Client,
    options: &UninstallOptions,
    tell: impl Fn(&str),
) -> Result<(), UninstallError> {
    let until = Instant::now() + Duration::from_secs(options.timeout_seconds.into());
    for deployment in [Some(&options.deployment), options.log_api_deployment.as_ref()].into_iter().flatten() {
        match scale_to_zero(client, &options.namespace, deployment).await? {
            None => tell(&format!("Deployment {deployment} is gone already")),
            Some(selector) => {
                tell(&format!("Deployment {deployment} is scaled to 0"));
                wait_for_end(client, options, deployment, &selector, until).await?;
                tell(&format!("the pods of Deployment {deployment} have ended"));
            }
        }
    }
    // After the log server, which would make it again.
    if remove_api_service(client, &options.namespace).await.map_err(UninstallError::ApiService)? {
        tell(&format!("APIService {LOG_API_SERVICE} is removed"));
    }
    let mut scopes: Vec<Api<Pod>> =
        options.watch_namespaces.iter().map(|namespace| Api::namespaced(client.clone(), namespace)).collect();
    if scopes.is_empty() {
        scopes.push(Api::all(client.clone()));
    }
    let mut released = 0;
    // Repeated until none is found: a creation that was under way may arrive late.
    loop {
        let held = held(&scopes).await?;
        if held.is_empty() {
            break;
        }
        let (count, failed) = release(client, &held).await;
        released += count;
        if let Some((first, error)) = failed.first()
            && Instant::now() >= until
        {
            return Err(UninstallError::PodsHeld {
                left: failed.len(),
                first: first.clone(),
                words: error.to_string(),
            });
        }
        if !failed.is_empty() {
            tell(&format!("{} pods are not released yet", failed.len()));
            sleep(EVERY).await;
        }
    }
    tell(&format!("{released} pods were released; running scripts go on"));
    Ok(())
}

/// Scales the Deployment to 0, and returns the selector of its pods. `None` if there is no Deployment.
async fn scale_to_zero(
    client: &Client,
    namespace: &str,
    name: &str,
) -> Result<Option<String>, UninstallError> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let scale = |source| UninstallError::Scale { deployment: name.to_owned(), source };
    let Some(deployment) = call(deployments.get_opt(name)).await.map_err(scale)? else {
        return Ok(None);
    };
    let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let none = Patch::Merge(json!({"spec": {"replicas": 0}}));
    call(deployments.patch_scale(name, &parameters, &none)).await.map_err(scale)?;
    let selector = deployment.spec.selector;
    match labels(selector) {
        Ok(labels) => Ok(Some(labels)),
        Err(words) => Err(UninstallError::Selector { deployment: name.to_owned(), words }),
    }
}

/// An empty selector would match every pod of the namespace.
fn labels(selector: LabelSelector) -> Result<String, String> {
    let selector = Selector::try_from(selector).map_err(|error| error.to_string())?;
    let labels = selector.to_string();
    if labels.is_empty() { Err("it is empty".to_owned()) } else { Ok(labels) }
}

async fn wait_for_end(
    client: &Client,
    options: &UninstallOptions,
    deployment: &str,
    selector: &str,
    until: Instant,
) -> Result<(), UninstallError> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &options.namespace);
    let parameters = ListParams::default().labels(selector);
    loop {
        let list = call(pods.list_metadata(&parameters)).await.map_err(|source| UninstallError::List {
            what: format!("the pods of Deployment {deployment} in {}", options.namespace),
            source,
        })?;
        if list.items.is_empty() {
            return Ok(());
        }
        if Instant::now() >= until {
            let names: Vec<_> = list.iter().map(ResourceExt::name_any).collect();
            let deployment = deployment.to_owned();
            return Err(UninstallError::PodsStay { deployment, pods: names.join(", ") });
        }
        sleep(EVERY).await;
    }
}

/// Removes the log server's `APIService`, if there is one and it is this installation's.
async fn remove_api_service(client: &Client, namespace: &str) -> Result<bool, CallError> {
    let api: Api<APIService> = Api::all(client.clone());
    let found = call(api.get_opt(LOG_API_SERVICE)).await?;
    let Some(found) = found.filter(|found| log_api::is_of(found, namespace)) else { return Ok(false) };
    log_api::remove(&api, &found).await?;
    Ok(true)
}

/// All our pods that have the finalizer.
async fn held(scopes: &[Api<Pod>]) -> Result<Vec<PartialObjectMeta<Pod>>, UninstallError> {
    let ours = ListParams::default().labels(&format!("{LABEL_MANAGED_BY}={MANAGED_BY}")).limit(PAGE);
    let mut held = Vec::new();
    for pods in scopes {
        let mut page = ours.clone();
        loop {
            let list = call(pods.list_metadata(&page))
                .await
                .map_err(|source| UninstallError::List { what: "the pods of actions".to_owned(), source })?;
            held.extend(list.items.into_iter().filter(is_held));
            match list.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page = page.continue_token(&token),
                None => break,
            }
        }
    }
    Ok(held)
}

/// How many pods were released, and which were not.
async fn release(client: &Client, held: &[PartialObjectMeta<Pod>]) -> (usize, Vec<(String, CallError)>) {
    let results: Vec<_> = stream::iter(held)
        .map(async |pod| {
            let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
            let answer = release::release(client, &namespace, &name, &pod.uid().unwrap_or_default()).await;
            answer.map_err(|error| (format!("{namespace}/{name}"), error))
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let failed: Vec<_> = results.into_iter().filter_map(Result::err).collect();
    (held.len() - failed.len(), failed)
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    };

    use serde_json::Value;

    use super::*;
    use crate::operator::testing::server::{Seen, failure, server};

    const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/system/deployments/longshore";
    const API_SERVICE: &str = "/apis/apiregistration.k8s.io/v1/apiservices/v1alpha1.log.longshore.dev";

    fn options(more: &[&str]) -> UninstallOptions {
        let flags = ["uninstall", "--namespace", "system", "--deployment", "longshore"];
        UninstallOptions::parse_from(flags.iter().chain(more))
    }

    fn list(pods: &[Value], next: &str) -> (u16, Value) {
        let kind = json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata"});
        let items: Vec<Value> = pods
            .iter()
            .map(|pod| {
                let mut item = kind.clone();
                item["metadata"] = pod.clone();
                item
            })
            .collect();
        (
            200,
            json!({
                "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadataList",
                "metadata": {"continue": next}, "items": items,
            }),
        )
    }

    fn pod(name: &str, finalizers: &[&str]) -> Value {
        json!({"name": name, "namespace": "shop", "uid": name, "finalizers": finalizers})
    }

    fn deployment() -> (u16, Value) {
        let selector = json!({"matchLabels": {"app": "longshore"}});
        let pod = json!({"metadata": {}, "spec": {"containers": []}});
        (200, json!({"metadata": {"name": "longshore"}, "spec": {"selector": selector, "template": pod}}))
    }

    fn scaled() -> (u16, Value) {
        (200, json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {}}))
    }

    fn patched() -> (u16, Value) {
        (200, json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": {}}))
    }

    async fn told(client: &Client, options: &UninstallOptions) -> (Result<(), UninstallError>, Vec<String>) {
        let lines = Mutex::new(Vec::new());
        let result = uninstall(client, options, |line| lines.lock().unwrap().push(line.to_owned())).await;
        (result, lines.into_inner().unwrap())
    }

    fn patches(seen: &[Seen]) -> Vec<String> {
        seen.iter().filter(|seen| seen.method == "PATCH").map(|seen| seen.path.clone()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_operator_ends_before_its_pods_are_let_go() {
        let looks = Arc::new(AtomicUsize::new(0));
        let (client, seen) = server(move |request| match (request.method.as_str(), request.path.as_str()) {
            ("GET", DEPLOYMENT) => deployment(),
            ("PATCH", path) if path == format!("{DEPLOYMENT}/scale") => scaled(),
            ("PATCH", _) => patched(),
            (_, "/api/v1/namespaces/system/pods") => match looks.fetch_add(1, Ordering::Relaxed) {
                0 | 1 => list(&[pod("longshore-1", &[])], ""),
                _ => list(&[], ""),
            },
            ("GET", API_SERVICE) => failure(404, "NotFound", "no such APIService"),
            (_, "/api/v1/pods") => match looks.fetch_add(1, Ordering::Relaxed) {
                3 => list(&[pod("one", &["a/b", FINALIZER_COLLECT]), pod("stranger", &["a/b"])], "more"),
                4 => list(&[pod("two", &[FINALIZER_COLLECT]), pod("free", &[])], ""),
                // A creation that was under way.
                5 => list(&[pod("late", &[FINALIZER_COLLECT])], ""),
                _ => list(&[], ""),
            },
            other => panic!("{other:?}"),
        });
        let (result, lines) = told(&client, &options(&[])).await;
        result.unwrap();
        assert_eq!(lines.last().unwrap(), "3 pods were released; running scripts go on");
        let seen = seen.lock().unwrap();
        let patches = patches(&seen);
        assert_eq!(patches[0], format!("{DEPLOYMENT}/scale"));
        assert_eq!(seen[1].body, json!({"spec": {"replicas": 0}}));
        let pods = |name: &str| format!("/api/v1/namespaces/shop/pods/{name}");
        assert_eq!(patches[1..].iter().collect::<std::collections::BTreeSet<_>>().len(), 3);
        assert!(["one", "two", "late"].iter().all(|name| patches.contains(&pods(name))), "{patches:?}");
        let first_release = seen.iter().position(|seen| seen.path == pods("one")).unwrap();
        let last_look = seen.iter().rposition(|seen| seen.path == "/api/v1/namespaces/system/pods").unwrap();
        assert!(last_look < first_release);
    }

    #[tokio::test]
    async fn without_a_deployment_pods_are_let_go_in_the_namespaces_that_are_named() {
        let (client, seen) = server(|request| match (request.method.as_str(), request.path.as_str()) {
            ("GET", DEPLOYMENT) => failure(404, "NotFound", "no such deployment"),
            ("GET", API_SERVICE) => failure(404, "NotFound", "no such APIService"),
            ("GET", "/api/v1/namespaces/shop/pods" | "/api/v1/namespaces/bank/pods") => list(&[], ""),
            other => panic!("{other:?}"),
        });
        let flags = ["--watch-namespace", "shop", "--watch-namespace", "bank"];
        let (result, lines) = told(&client, &options(&flags)).await;
        result.unwrap();
        assert_eq!(lines[0], "Deployment longshore is gone already");
        assert_eq!(seen.lock().unwrap().len(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn an_operator_that_stays_keeps_its_pods() {
        let (client, seen) = server(|request| match (request.method.as_str(), request.path.as_str()) {
            ("GET", DEPLOYMENT) => deployment(),
            ("PATCH", _) => scaled(),
            (_, "/api/v1/namespaces/system/pods") => list(&[pod("longshore-1", &[])], ""),
            other => panic!("{other:?}"),
        });
        let (result, _) = told(&client, &options(&["--timeout-seconds", "1"])).await;
        let words = result.unwrap_err().to_string();
        assert!(words.contains("longshore-1") && words.contains("--force"), "{words}");
        assert_eq!(patches(&seen.lock().unwrap()), [format!("{DEPLOYMENT}/scale")]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pod_that_cannot_be_let_go_is_named() {
        let (client, _) = server(|request| match (request.method.as_str(), request.path.as_str()) {
            ("GET", DEPLOYMENT | API_SERVICE) => failure(404, "NotFound", "none"),
            ("GET", _) => list(&[pod("held", &[FINALIZER_COLLECT])], ""),
            _ => failure(403, "Forbidden", "a webhook says no"),
        });
        let (result, _) = told(&client, &options(&["--timeout-seconds", "1"])).await;
        let words = result.unwrap_err().to_string();
        assert!(words.contains("shop/held") && words.contains("a webhook says no"), "{words}");
    }

    /// An installation with a log server, whose `APIService` is of `namespace`.
    async fn with_log_server(namespace: &'static str) -> Vec<String> {
        const LOGS: &str = "/apis/apps/v1/namespaces/system/deployments/longshore-logs";
        let (client, seen) = server(move |request| match (request.method.as_str(), request.path.as_str()) {
            ("GET", DEPLOYMENT) => failure(404, "NotFound", "no such deployment"),
            ("GET", LOGS) => deployment(),
            ("PATCH", path) if path == format!("{LOGS}/scale") => scaled(),
            ("GET" | "DELETE", API_SERVICE) => {
                let service = json!({"name": "longshore-logs", "namespace": namespace});
                let spec = json!({"groupPriorityMinimum": 1, "versionPriority": 1, "service": service});
                (200, json!({"metadata": {"name": LOG_API_SERVICE, "uid": "u-1"}, "spec": spec}))
            }
            ("GET", _) => list(&[], ""),
            other => panic!("{other:?}"),
        });
        let (result, _) = told(&client, &options(&["--log-api-deployment", "longshore-logs"])).await;
        result.unwrap();
        let seen = seen.lock().unwrap();
        seen.iter().map(|seen| format!("{} {}", seen.method, seen.path)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_log_server_ends_before_its_api_service_is_removed() {
        let calls = with_log_server("system").await;
        let at = |call: &str| calls.iter().position(|one| one == call).unwrap_or_else(|| panic!("{calls:?}"));
        let removed = at(&format!("DELETE {API_SERVICE}"));
        assert!(at("PATCH /apis/apps/v1/namespaces/system/deployments/longshore-logs/scale") < removed);
        assert!(at("GET /api/v1/namespaces/system/pods") < removed);
    }

    #[tokio::test(start_paused = true)]
    async fn the_api_service_of_another_installation_stays() {
        let calls = with_log_server("other").await;
        assert!(!calls.iter().any(|call| call.starts_with("DELETE")), "{calls:?}");
    }

    #[test]
    fn a_selector_of_nothing_is_not_every_pod() {
        assert!(labels(LabelSelector::default()).is_err());
    }
}
