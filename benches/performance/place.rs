//! A namespace for each kind, so that the audit log tells them apart.

use std::{collections::BTreeMap, time::Duration};

use futures::{TryStreamExt, future};
use k8s_openapi::api::core::v1::{Namespace, Pod, ServiceAccount};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, DynamicObject, ListParams, PostParams, WatchEvent, WatchParams},
};
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

use crate::{Result, kinds::Kind, samples::Sample};

/// No echo may take longer, and no deletion.
const LIMIT: Duration = Duration::from_mins(5);
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// What is written after the end: events, and the last of the kubelet's statuses.
const AFTERMATH: Duration = Duration::from_millis(500);

pub(crate) struct Place {
    pub(crate) kind: Kind,
    pub(crate) namespace: String,
    client: Client,
    image: String,
    objects: Api<DynamicObject>,
    pods: Api<Pod>,
}

impl Place {
    pub(crate) async fn new(client: &Client, kind: Kind, image: &str) -> Result<Self> {
        let namespace = format!("bench-{}-{}", std::process::id(), kind.word());
        let object = serde_json::from_value(json!({
            "metadata": {"name": namespace, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
        }))?;
        Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &object).await?;
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), &namespace);
        while accounts.get_opt("default").await?.is_none() {
            sleep(LOOK_EVERY).await;
        }
        Ok(Self {
            kind,
            client: client.clone(),
            image: image.to_owned(),
            objects: Api::namespaced_with(client.clone(), &namespace, &kind.resource()),
            pods: Api::namespaced(client.clone(), &namespace),
            namespace,
        })
    }

    /// Creates objects of these names at the same time, and waits until each has ended.
    pub(crate) async fn run(&self, names: &[String]) -> Result<Vec<Sample>> {
        let objects =
            names.iter().map(|name| self.kind.object(name, &self.image)).collect::<Result<Vec<_>>>()?;
        let version = self.objects.list(&ListParams::default().limit(1)).await?.metadata.resource_version;
        // Open before anything is created: opening it is no part of what is measured.
        let events = self.objects.watch(&WatchParams::default(), &version.unwrap_or_default()).await?;
        let begun = Instant::now();
        let watching = async {
            let mut events = std::pin::pin!(events);
            let (mut before, mut ended) = (BTreeMap::new(), BTreeMap::new());
            while ended.len() < names.len() {
                match timeout(LIMIT, events.try_next()).await?? {
                    Some(WatchEvent::Added(object) | WatchEvent::Modified(object)) => {
                        let now = Instant::now();
                        if self.kind.is_before(&object) {
                            before.entry(object.name_any()).or_insert(now);
                        }
                        // What ran before in the same namespace is still there, and may change.
                        if names.contains(&object.name_any()) && self.kind.has_ended(&object)? {
                            ended.entry(object.name_any()).or_insert(now);
                        }
                    }
                    Some(WatchEvent::Error(status)) => return Err(status.to_string().into()),
                    Some(_) => {}
                    None => return Err("the watch ended before all objects did".into()),
                }
            }
            Ok((before, ended))
        };
        let creating = future::try_join_all(objects.iter().map(|object| async {
            let at = Instant::now();
            self.objects.create(&PostParams::default(), object).await?;
            Result::Ok(at)
        }));
        let (created, (before, ended)) = future::try_join(creating, watching).await?;
        let since = |at: &Instant, from: Instant| at.duration_since(from).as_secs_f64();
        Ok(names
            .iter()
            .zip(created)
            .map(|(name, at)| Sample {
                took: since(&ended[name], at),
                before: before.get(name).map(|seen| since(seen, at)),
                ended: since(&ended[name], begun),
            })
            .collect())
    }

    /// Waits until nothing of what ran is under way: an action ends before its pod does, and what
    /// runs next must not pay for that.
    pub(crate) async fn settle(&self) -> Result<()> {
        let under_way = ListParams::default().fields("status.phase!=Succeeded");
        self.wait("pods to end", async || Ok(self.pods.list(&under_way).await?.items.is_empty())).await?;
        sleep(AFTERMATH).await;
        Ok(())
    }

    /// Removes all that ran.
    pub(crate) async fn clear(&self) -> Result<()> {
        let all = ListParams::default();
        self.objects.delete_collection(&DeleteParams::background(), &all).await?;
        self.wait("pods to go", async || Ok(self.pods.list_metadata(&all).await?.items.is_empty())).await?;
        sleep(AFTERMATH).await;
        Ok(())
    }

    async fn wait(&self, what: &str, is_done: impl AsyncFn() -> Result<bool>) -> Result<()> {
        let begun = Instant::now();
        while !is_done().await? {
            if begun.elapsed() > LIMIT {
                return Err(format!("waited in vain for {what} in {}", self.namespace).into());
            }
            sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    pub(crate) async fn remove(&self) -> Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        namespaces.delete(&self.namespace, &DeleteParams::default()).await?;
        Ok(())
    }
}
