//! The namespaces that cases are sent to, and what actions there may name.

use std::time::{Duration, Instant, SystemTime};

use futures::future::join_all;
use k8s_openapi::api::core::v1::{Namespace as KubeNamespace, ResourceQuota, Secret};
use kube::{
    Api, Client,
    api::{DeleteParams, PostParams},
};
use longshore::api::{ClusterDeploymentActionTemplate, DeploymentActionTemplate};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::{
    cases::{Place, QUIET},
    kinds::Kind,
    sender::{Sender, Stored},
    templates::{self, NAMES, numbered},
    words::SENTINEL,
};
use crate::support::{
    namespace::{Namespace, setting},
    rights::Subject,
};

/// A user who may write resources of ours, and nothing else.
pub(crate) const AUTHOR: &str = "longshore-fuzz-author";

/// The places of one round of cases.
pub(crate) struct Places {
    client: Client,
    /// Namespaces where a quota lets no pod be made.
    quiet: Vec<String>,
    /// Namespaces where pods can be made.
    open: String,
    /// The beginning of the names of cluster-wide templates.
    pub(crate) prefix: String,
}

impl Places {
    pub(crate) async fn create(client: &Client, round: u64) -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a clock after 1970");
        let name = |kind: &str| format!("fuzz-{kind}-{round}-{:x}", now.as_micros() & 0xff_ffff_ffff);
        let places = Self {
            client: client.clone(),
            quiet: (0..QUIET).map(|number| name(&format!("quiet{number}"))).collect(),
            open: name("open"),
            prefix: name("cluster") + "-",
        };
        join_all(places.all().map(|name| places.fill(name))).await;
        for number in 0..NAMES {
            let object = template::<ClusterDeploymentActionTemplate>(&numbered(number, &places.prefix));
            let templates = Api::all(client.clone());
            templates.create(&PostParams::default(), &object).await.expect("creating a template");
        }
        places
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &String> {
        self.quiet.iter().chain([&self.open])
    }

    /// The namespace of a place.
    pub(crate) fn of(&self, place: Place) -> &str {
        match place {
            Place::Open => &self.open,
            Place::Quiet(number) => &self.quiet[number],
        }
    }

    async fn fill(&self, name: &str) {
        let labels = json!({"longshore.dev/test": "true"});
        let object =
            serde_json::from_value(json!({"metadata": {"name": name, "labels": labels}})).expect("one");
        let namespaces: Api<KubeNamespace> = Api::all(self.client.clone());
        namespaces.create(&PostParams::default(), &object).await.expect("creating the namespace");
        let namespace = Namespace { client: self.client.clone(), name: name.to_owned() };
        if name != self.open {
            let none = json!({"metadata": {"name": "no-pods"}, "spec": {"hard": {"pods": "0"}}});
            namespace.put::<ResourceQuota>(none).await;
        }
        namespace.secret("sentinel", json!({"password": SENTINEL, "TOKEN": SENTINEL})).await;
        namespace.config_map("settings", json!({"run.sh": "echo hello", "EMPTY": "", "A": SENTINEL})).await;
        let (user, basic) = (setting("LONGSHORE_REGISTRY_USER"), setting("LONGSHORE_BASIC_REGISTRY"));
        let token = setting("LONGSHORE_TOKEN_REGISTRY");
        let entry = json!({"username": user, "password": SENTINEL});
        pull_secret(&namespace, "pull", json!({"auths": {&basic: entry, &token: entry}})).await;
        pull_secret(&namespace, "pull-odd", json!({"auths": {&basic: {"auth": SENTINEL}, SENTINEL: entry}}))
            .await;
        pull_secret(
            &namespace,
            "pull-typed",
            json!({"auths": {&basic: {"username": [SENTINEL], "password": {"a": SENTINEL}}, "[": SENTINEL}}),
        )
        .await;
        for number in 0..NAMES {
            let object = template::<DeploymentActionTemplate>(&numbered(number, ""));
            namespace.api().create(&PostParams::default(), &object).await.expect("creating a template");
        }
        namespace.lets_operator_read(&["pull", "pull-odd", "pull-typed"]).await;
        let_write(&namespace).await;
    }

    /// Asks for all of them to be removed, with the templates of the cluster.
    pub(crate) async fn remove(&self) {
        let namespaces: Api<KubeNamespace> = Api::all(self.client.clone());
        for name in self.all() {
            if let Err(error) = namespaces.delete(name, &DeleteParams::background()).await {
                // It may be on its way already; whether it goes is asked at the end.
                eprintln!("namespace {name} was not removed: {error}");
            }
        }
        let mut sender = Sender::new(self.client.clone(), self);
        sender.clear(self.templates().await).await;
    }

    /// The cluster-wide templates of the cases.
    async fn templates(&self) -> Vec<Stored> {
        let kind = Kind::ClusterTemplate;
        let all = kind.list(&self.client, "").await;
        let names = all.iter().filter_map(|template| template["metadata"]["name"].as_str());
        let ours = names.filter(|name| name.starts_with(&self.prefix));
        ours.map(|name| Stored { kind, namespace: String::new(), name: name.to_owned() }).collect()
    }

    /// Waits until none is left, and says what holds one that is.
    pub(crate) async fn gone(&self, by: Instant) {
        let namespaces: Api<KubeNamespace> = Api::all(self.client.clone());
        for name in self.all() {
            while let Some(left) = namespaces.get_opt(name).await.expect("reading the namespace") {
                let held = left.status.and_then(|status| status.conditions).unwrap_or_default();
                assert!(Instant::now() < by, "namespace {name} is still there: {held:#?}");
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        }
        let left = self.templates().await;
        assert!(left.is_empty(), "templates of the cluster are still there: {left:#?}");
    }
}

/// One that the first actions find, until a case changes or deletes it.
fn template<K: DeserializeOwned>(name: &str) -> K {
    let object = json!({"metadata": {"name": name}, "spec": templates::plain()});
    serde_json::from_value(object).expect("a template")
}

async fn pull_secret(namespace: &Namespace, name: &str, config: serde_json::Value) {
    let object = json!({
        "metadata": {"name": name},
        "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": config.to_string()},
    });
    namespace.put::<Secret>(object).await;
}

/// [`AUTHOR`] may write resources of ours there.
async fn let_write(namespace: &Namespace) {
    let rules = [json!({
        "apiGroups": ["longshore.dev"],
        "resources": ["deploymentactions", "deploymentactiontemplates", "actionpolicies"],
        "verbs": ["create", "update", "patch"],
    })];
    namespace.lets(&Subject::user(AUTHOR), "author", &rules).await;
}
