//! What stands in the API server, watched once for all schedules.

use std::{pin::pin, sync::Arc};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, Resource, ResourceExt,
    runtime::{
        WatchStreamExt,
        reflector::{self, ObjectRef, Store},
        watcher,
    },
};
use longshore::api::{DeploymentAction, LABEL_ACTION};
use serde::de::DeserializeOwned;
use tokio::{sync::watch, time::Instant};

pub(crate) struct Seen {
    actions: Store<DeploymentAction>,
    pods: Store<Pod>,
    changed: watch::Sender<()>,
}

impl Seen {
    pub(crate) async fn start(client: &Client) -> Self {
        let changed = watch::Sender::new(());
        let actions = follow(Api::all(client.clone()), watcher::Config::default(), changed.clone());
        let ours = watcher::Config::default().labels(LABEL_ACTION);
        let pods = follow(Api::all(client.clone()), ours, changed.clone());
        actions.wait_until_ready().await.expect("the actions");
        pods.wait_until_ready().await.expect("the pods");
        Self { actions, pods, changed }
    }

    pub(crate) fn action(&self, namespace: &str, name: &str) -> Option<Arc<DeploymentAction>> {
        self.actions.get(&ObjectRef::new(name).within(namespace))
    }

    /// The pods of actions of this name.
    pub(crate) fn pods(&self, namespace: &str, action: &str) -> Vec<Arc<Pod>> {
        let of = |pod: &Arc<Pod>| {
            pod.namespace().as_deref() == Some(namespace)
                && pod.labels().get(LABEL_ACTION).is_some_and(|label| label == action)
        };
        self.pods.state().into_iter().filter(of).collect()
    }

    /// Waits until it is so; false where the time is over before.
    pub(crate) async fn until(&self, limit: Instant, mut when: impl FnMut() -> bool) -> bool {
        let mut changes = self.changed.subscribe();
        loop {
            changes.mark_unchanged();
            if when() {
                return true;
            }
            if tokio::time::timeout_at(limit, changes.changed()).await.is_err() {
                return when();
            }
        }
    }
}

fn follow<K>(api: Api<K>, config: watcher::Config, changed: watch::Sender<()>) -> Store<K>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + Send + Sync + 'static,
{
    let (store, writer) = reflector::store();
    let events = watcher(api, config).default_backoff().modify(|object| {
        object.managed_fields_mut().clear();
    });
    tokio::spawn(async move {
        let mut events = pin!(events.reflect(writer));
        while let Some(event) = events.next().await {
            match event {
                Ok(_) => changed.send_replace(()),
                Err(error) => eprintln!("the tests' own watch: {error}"),
            }
        }
    });
    store
}
