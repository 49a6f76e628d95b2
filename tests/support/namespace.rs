//! A namespace of a test's own, under Pod Security "restricted", removed at its end whatever the
//! end; and what a person would look at when the test fails.

use std::{
    fmt::Debug,
    panic::{AssertUnwindSafe, resume_unwind},
    process::Command,
    time::{Duration, Instant, SystemTime},
};

use futures::FutureExt;
use k8s_openapi::{
    NamespaceResourceScope,
    api::core::v1::{ConfigMap, Event, Namespace as KubeNamespace, Pod, Secret, ServiceAccount},
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, ListParams, LogParams, Patch, PatchParams, PostParams},
};
use longshore::api::DeploymentAction;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::action::{Action, Handle};

/// How long anything may take that a test waits for.
pub(crate) const BOUND: Duration = Duration::from_secs(75);
/// Bounds were chosen on a quiet machine. A busy one gets this many times as long.
pub(crate) const PATIENCE: u32 = 4;
const POLL: Duration = Duration::from_millis(200);

/// An environment variable without which no test of a cluster can run.
pub(crate) fn setting(name: &str) -> String {
    // cargo starts none otherwise (tests/cargo_runner.sh). A debugger does.
    let given = std::env::var("LONGSHORE_CLUSTER_TESTS");
    assert!(
        given.is_ok() && given == std::env::var("KUBECONFIG"),
        "LONGSHORE_CLUSTER_TESTS does not give the cluster of KUBECONFIG to the tests: {HOW}"
    );
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: {HOW}"))
}

const HOW: &str = "`make test` starts a cluster and sets it; with a cluster that runs, \
    eval \"$(make -s cluster-env)\" does";

/// kubectl or helm, for the cluster that was given to the tests.
pub(crate) fn tool(name: &str) -> Command {
    setting("KUBECONFIG");
    Command::new(name)
}

/// The image that the tests' scripts run in: bash, python3 and kubectl on Debian.
pub(crate) fn examples_image() -> String {
    format!("{}/examples:0.1.0", setting("LONGSHORE_REGISTRY"))
}

pub(crate) async fn client() -> Client {
    // Another test of this process may have done it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    setting("KUBECONFIG");
    Client::try_default().await.expect("KUBECONFIG names a cluster: `make test` starts one")
}

/// Asks every 200 ms until there is an answer.
pub(crate) async fn until<T>(what: &str, probe: impl AsyncFnMut() -> Option<T>) -> T {
    within(BOUND, what, probe).await
}

pub(crate) async fn within<T>(bound: Duration, what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    let bound = bound * PATIENCE;
    loop {
        if let Some(answer) = probe().await {
            return answer;
        }
        assert!(start.elapsed() < bound, "not within {} s: {what}", bound.as_secs());
        tokio::time::sleep(POLL).await;
    }
}

pub(crate) struct Namespace {
    pub(crate) client: Client,
    pub(crate) name: String,
}

/// Runs `test` in a namespace of its own.
pub(crate) async fn in_namespace(test: impl AsyncFnOnce(&Namespace)) {
    let namespace = Namespace::create().await;
    let outcome = AssertUnwindSafe(test(&namespace)).catch_unwind().await;
    if outcome.is_err() {
        namespace.explain().await;
    }
    namespace.remove().await;
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

impl Namespace {
    async fn create() -> Self {
        let namespace = Self { client: client().await, name: fresh_name() };
        namespace.make(None).await;
        // The service account controller needs a moment; what an action does in it has its own test.
        until("the namespace's default service account", async || {
            namespace.api::<ServiceAccount>().get_opt("default").await.expect("reading a service account")
        })
        .await;
        namespace
    }

    /// Another one, without any wait; it goes with this one, where the test does not remove it.
    pub(crate) async fn sibling(&self) -> Self {
        let sibling = Self { client: self.client.clone(), name: fresh_name() };
        sibling.make(Some(self.as_owner().await)).await;
        sibling
    }

    /// For objects of the cluster that are to go with the namespace, whatever the test's end.
    pub(crate) async fn as_owner(&self) -> OwnerReference {
        let live = self.namespaces().get(&self.name).await.expect("reading the namespace");
        live.owner_ref(&()).expect("it has a UID")
    }

    async fn make(&self, owner: Option<OwnerReference>) {
        let object = serde_json::from_value(json!({
            "metadata": {
                "name": self.name,
                "ownerReferences": owner.as_slice(),
                "labels": {"pod-security.kubernetes.io/enforce": "restricted", "longshore.dev/test": "true"},
            },
        }))
        .expect("a namespace");
        self.namespaces().create(&PostParams::default(), &object).await.expect("creating the namespace");
    }

    pub(crate) async fn remove(&self) {
        let removed = self.namespaces().delete(&self.name, &DeleteParams::background()).await;
        if let Err(error) = removed {
            // The test may have removed it itself.
            eprintln!("namespace {} was not removed: {error}", self.name);
        }
    }

    /// Has Pod Security enforce another level.
    pub(crate) async fn enforce(&self, level: &str) {
        let patch = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": level}}});
        self.namespaces()
            .patch(&self.name, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .expect("changing the namespace");
    }

    pub(crate) fn namespaces(&self) -> Api<KubeNamespace> {
        Api::all(self.client.clone())
    }

    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.name)
    }

    /// Creates any object from its JSON.
    pub(crate) async fn put<K>(&self, object: Value) -> K
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + Serialize
            + DeserializeOwned,
    {
        let object: K = serde_json::from_value(object).expect("an object of its kind");
        self.api().create(&PostParams::default(), &object).await.expect("creating an object")
    }

    pub(crate) async fn secret(&self, name: &str, data: Value) {
        self.put::<Secret>(json!({"metadata": {"name": name}, "stringData": data})).await;
    }

    pub(crate) async fn config_map(&self, name: &str, data: Value) {
        self.put::<ConfigMap>(json!({"metadata": {"name": name}, "data": data})).await;
    }

    pub(crate) async fn service_account(&self, name: &str) {
        self.put::<ServiceAccount>(json!({"metadata": {"name": name}})).await;
    }

    /// Creates an action.
    pub(crate) async fn apply(&self, name: &str, action: Action) -> Handle<'_> {
        self.put::<DeploymentAction>(action.object(name)).await;
        Handle { namespace: self, name: name.to_owned() }
    }

    /// Creates an action and waits for its end.
    pub(crate) async fn run(&self, action: Action) -> super::action::Done {
        self.apply("action", action).await.finished().await
    }

    pub(crate) async fn pods(&self) -> Vec<Pod> {
        self.api::<Pod>().list(&ListParams::default()).await.expect("listing pods").items
    }

    /// Prints what a person would look at.
    async fn explain(&self) {
        eprintln!("=== namespace {}", self.name);
        let all = ListParams::default();
        if let Ok(actions) = self.api::<DeploymentAction>().list(&all).await {
            actions.iter().for_each(|action| print(action, "DeploymentAction"));
        }
        if let Ok(pods) = self.api::<Pod>().list(&all).await {
            pods.iter().for_each(|pod| print(pod, "Pod"));
        }
        if let Ok(events) = self.api::<Event>().list(&all).await {
            eprintln!("--- events");
            for event in events {
                let text = |text: &Option<String>| text.clone().unwrap_or_default();
                let about = text(&event.involved_object.name);
                eprintln!("{about}: {}: {}", text(&event.reason), text(&event.message));
            }
        }
        eprintln!("--- the operator, of this namespace");
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), "longshore-system");
        let parameters = LogParams { tail_lines: Some(2000), ..LogParams::default() };
        if let Ok(operators) =
            pods.list(&ListParams::default().labels("app.kubernetes.io/name=longshore")).await
        {
            for operator in operators {
                let log = pods.logs(&operator.name_any(), &parameters).await.unwrap_or_default();
                let lines: Vec<&str> = log.lines().filter(|line| line.contains(&self.name)).collect();
                for line in &lines[lines.len().saturating_sub(15)..] {
                    eprintln!("{}", line.chars().take(600).collect::<String>());
                }
            }
        }
        eprintln!("===");
    }
}

fn print<K: Resource + Clone + Serialize>(object: &K, kind: &str) {
    let mut object = object.clone();
    object.meta_mut().managed_fields = None;
    eprintln!("--- {kind}\n{}", serde_saphyr::to_string(&object).unwrap_or_default());
}

/// The test's name, as far as it goes, and something that no other run of it has.
fn fresh_name() -> String {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("test").rsplit("::").next().unwrap_or("test").replace('_', "-");
    let short: String = test.chars().take(45).collect();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a clock after 1970");
    format!("{}-{:x}", short.trim_matches('-'), now.as_micros() & 0xff_ffff_ffff)
}
