//! The actions that the caller may see, kept by one watch.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use futures::StreamExt;
use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};
use kube::{
    Api, ResourceExt,
    api::{DynamicObject, ListParams},
    core::ApiResource,
    runtime::{
        WatchStreamExt,
        reflector::{self, ObjectRef, Store, store::Writer},
        watcher::{self, Event},
    },
};
use tokio::{sync::broadcast, task::JoinHandle};

use crate::{
    api::{DeploymentAction, DeploymentActionStatus},
    cli::{connect::Session, error::CliError},
};

/// How many changes wait for a page that is slow. A page that misses some is told to read all again.
const WAITING: usize = 1024;
/// An annotation that repeats the whole spec.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Which actions are watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Scope {
    /// Those of all namespaces.
    Cluster,
    /// Those of one namespace, and why not all.
    Namespace(String, String),
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// An action changed, or is gone: its namespace and name.
    Action(String, String),
    /// All may be different.
    All,
}

/// The actions, as they are now.
#[derive(Debug)]
pub(super) struct Watched {
    scope: Scope,
    store: Store<DeploymentAction>,
    changes: broadcast::Sender<Change>,
    problem: Arc<Mutex<Option<String>>>,
    revision: Arc<AtomicU64>,
    task: Option<JoinHandle<()>>,
}

impl Watched {
    /// Watches the actions of the cluster, or those of the session's namespace if the caller may not.
    pub(super) async fn start(session: &Session) -> Result<Self, CliError> {
        let scope = scope(session).await?;
        let kind = ApiResource::erase::<DeploymentAction>(&());
        let client = session.client.clone();
        let api: Api<DynamicObject> = match &scope {
            Scope::Cluster => Api::all_with(client, &kind),
            Scope::Namespace(namespace, _) => Api::namespaced_with(client, namespace, &kind),
        };
        let (store, writer) = reflector::store();
        let (changes, _) = broadcast::channel(WAITING);
        let (problem, revision) = <(Arc<Mutex<Option<String>>>, Arc<AtomicU64>)>::default();
        let teller = Teller {
            changes: changes.clone(),
            problem: Arc::clone(&problem),
            revision: Arc::clone(&revision),
        };
        let task = tokio::spawn(watch(api, writer, teller));
        Ok(Self { scope, store, changes, problem, revision, task: Some(task) })
    }

    /// These actions, which never change.
    #[cfg(test)]
    pub(super) fn of(actions: impl IntoIterator<Item = DeploymentAction>) -> Self {
        let (store, mut writer) = reflector::store();
        for action in actions {
            writer.apply_watcher_event(&Event::Apply(action));
        }
        let (changes, _) = broadcast::channel(WAITING);
        let (problem, revision) = <(Arc<Mutex<Option<String>>>, Arc<AtomicU64>)>::default();
        Self { scope: Scope::Cluster, store, changes, problem, revision, task: None }
    }

    /// Which actions these are.
    pub(super) const fn scope(&self) -> &Scope {
        &self.scope
    }

    /// All of them, in no order.
    pub(super) fn all(&self) -> Vec<Arc<DeploymentAction>> {
        self.store.state()
    }

    /// One of them.
    pub(super) fn get(&self, namespace: &str, name: &str) -> Option<Arc<DeploymentAction>> {
        self.store.get(&ObjectRef::new(name).within(namespace))
    }

    /// Waits until they have been read for the first time, or cannot be.
    pub(super) async fn is_read(&self) {
        let mut changes = self.changes();
        if self.problem().is_some() || self.task.is_none() {
            return;
        }
        tokio::select! {
            _ = self.store.wait_until_ready() => {}
            _ = changes.recv() => {}
        }
    }

    /// What changes from now on.
    pub(super) fn changes(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    /// Another number is another state of them.
    pub(super) fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    /// Why they may be out of date.
    pub(super) fn problem(&self) -> Option<String> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// What the caller may list.
async fn scope(session: &Session) -> Result<Scope, CliError> {
    let one = ListParams::default().limit(1);
    let everywhere: Api<DeploymentAction> = Api::all(session.client.clone());
    match everywhere.list_metadata(&one).await.map_err(CliError::from) {
        Ok(_) => Ok(Scope::Cluster),
        Err(CliError::Forbidden(denied)) => {
            session.actions().list_metadata(&one).await?;
            Ok(Scope::Namespace(session.namespace.clone(), denied.to_string()))
        }
        Err(error) => Err(error),
    }
}

/// Tells the pages what happened.
struct Teller {
    changes: broadcast::Sender<Change>,
    problem: Arc<Mutex<Option<String>>>,
    revision: Arc<AtomicU64>,
}

impl Teller {
    /// Notes the problem that there is now. Returns whether there was another one, or none.
    fn problem(&self, words: Option<String>) -> bool {
        let mut told = self.problem.lock().unwrap_or_else(PoisonError::into_inner);
        let differs = *told != words;
        *told = words;
        differs
    }

    fn change(&self, change: Change) {
        self.revision.fetch_add(1, Ordering::Release);
        // Nobody may be looking.
        drop(self.changes.send(change));
    }
}

async fn watch(api: Api<DynamicObject>, mut writer: Writer<DeploymentAction>, teller: Teller) {
    let mut events = std::pin::pin!(watcher::watcher(api, watcher::Config::default()).default_backoff());
    while let Some(event) = events.next().await {
        let mut change = None;
        match event {
            Ok(event) => {
                let event = read(event);
                if let Event::Apply(action) | Event::Delete(action) = &event {
                    change = Some(Change::Action(action.namespace().unwrap_or_default(), action.name_any()));
                }
                let whole = matches!(event, Event::InitDone);
                writer.apply_watcher_event(&event);
                if teller.problem(None) || whole {
                    change = Some(Change::All);
                }
            }
            Err(error) => {
                if teller.problem(Some(cause(error))) {
                    change = Some(Change::All);
                }
            }
        }
        if let Some(change) = change {
            teller.change(change);
        }
    }
}

fn cause(error: watcher::Error) -> String {
    let told = error.to_string();
    match error {
        watcher::Error::InitialListFailed(cause)
        | watcher::Error::WatchStartFailed(cause)
        | watcher::Error::WatchFailed(cause) => CliError::from(cause).to_string(),
        watcher::Error::WatchError(status) => CliError::of_status(&status).to_string(),
        watcher::Error::NoResourceVersion => told,
    }
}

fn read(event: Event<DynamicObject>) -> Event<DeploymentAction> {
    match event {
        Event::Apply(object) => Event::Apply(action(object)),
        Event::Delete(object) => Event::Delete(action(object)),
        Event::Init => Event::Init,
        Event::InitApply(object) => Event::InitApply(action(object)),
        Event::InitDone => Event::InitDone,
    }
}

/// An action, without what no list shows. Of one that another version wrote in a way that this one cannot read, only
/// the metadata.
fn action(mut object: DynamicObject) -> DeploymentAction {
    object.metadata.managed_fields = None;
    if let Some(annotations) = &mut object.metadata.annotations {
        annotations.remove(LAST_APPLIED);
    }
    let metadata = object.metadata.clone();
    match object.try_parse::<DeploymentAction>() {
        Ok(mut action) => {
            action.spec.script = None;
            if let Some(status) = &mut action.status {
                status.log = None;
            }
            action
        }
        Err(error) => {
            let condition = Condition {
                type_: "Ready".to_owned(),
                status: "Unknown".to_owned(),
                reason: "NotReadable".to_owned(),
                message: format!("this plugin cannot read the action ({error}): update the plugin"),
                last_transition_time: Time(Timestamp::UNIX_EPOCH),
                observed_generation: None,
            };
            let status =
                DeploymentActionStatus { conditions: vec![condition], ..DeploymentActionStatus::default() };
            DeploymentAction { metadata, status: Some(status), ..DeploymentAction::default() }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::operator::testing::server::{failure, server};

    fn object(value: serde_json::Value) -> DynamicObject {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn an_action_that_cannot_be_read_is_listed_all_the_same() {
        let readable =
            action(object(json!({"apiVersion": "longshore.dev/v1alpha1", "kind": "DeploymentAction",
            "metadata": {"name": "a"}, "spec": {"script": {"inline": "true"}},
            "status": {"log": {"state": "Complete", "lines": 1, "bytes": 2, "tail": "x"}}})));
        assert!(readable.spec.script.is_none() && readable.status.unwrap().log.is_none());
        let odd = action(object(json!({"apiVersion": "longshore.dev/v1alpha1", "kind": "DeploymentAction",
            "metadata": {"name": "b"}, "spec": {"image": 7}})));
        assert_eq!(odd.name_any(), "b");
        assert!(odd.status.unwrap().conditions[0].message.contains("update the plugin"));
    }

    #[tokio::test]
    async fn who_may_not_list_everywhere_sees_one_namespace_and_what_is_missing() {
        let (client, _) = server(|request| {
            if request.path.contains("/namespaces/shop/") {
                let kind = "PartialObjectMetadataList";
                let list = json!({"kind": kind, "apiVersion": "meta.k8s.io/v1", "metadata": {}, "items": []});
                return (200, list);
            }
            failure(
                403,
                "Forbidden",
                r#"x is forbidden: User "alice" cannot list resource "deploymentactions" in API group "longshore.dev" at the cluster scope"#,
            )
        });
        let session = Session { client, namespace: "shop".into(), server: String::new() };
        let Scope::Namespace(namespace, why) = scope(&session).await.unwrap() else { panic!("all") };
        assert_eq!(namespace, "shop");
        assert!(why.contains("alice may not list deploymentactions.longshore.dev"), "{why}");
    }
}
