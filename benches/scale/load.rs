//! Actions, created at a rate, and when a watching client saw their ends.

use std::{
    collections::{BTreeMap, HashMap},
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, PostParams},
    runtime::{
        WatchStreamExt,
        watcher::{self, Event},
    },
};
use longshore::api::{ConditionType, DeploymentAction};
use serde_json::{Map, Value, json};
use tokio::time::{Instant, MissedTickBehavior, sleep};

use crate::node::MARK;

/// How long the last of a batch may take.
const LIMIT: Duration = Duration::from_mins(10);

type Ends = Arc<Mutex<HashMap<String, Instant>>>;

/// A namespace full of actions.
pub(crate) struct Load {
    actions: Api<DeploymentAction>,
    pods: Api<Pod>,
    node: String,
    ends: Ends,
    /// All that are there, by number.
    there: BTreeMap<usize, String>,
    next: usize,
    /// What those do that are created from now on.
    pub(crate) command: Vec<String>,
    /// The lock that those name which are created from now on.
    pub(crate) lock: Option<String>,
    /// What those say beside that, by field.
    pub(crate) more: Map<String, Value>,
    changes: Arc<AtomicUsize>,
}

/// Actions that were created, and when.
pub(crate) struct Batch {
    begun: Vec<(String, Instant)>,
    ends: Ends,
}

impl Batch {
    pub(crate) fn len(&self) -> usize {
        self.begun.len()
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.begun.iter().map(|(name, _)| name.as_str())
    }

    /// Seconds from each one's creation to its end, once all have ended.
    pub(crate) async fn ended(self) -> Vec<f64> {
        let limit = Instant::now() + LIMIT;
        loop {
            {
                let ends = self.ends.lock().unwrap();
                let took = |(name, begun): &(String, Instant)| {
                    ends.get(name).map(|end| end.duration_since(*begun).as_secs_f64())
                };
                if let Some(seconds) = self.begun.iter().map(took).collect() {
                    return seconds;
                }
                let open = self.begun.iter().filter(|(name, _)| !ends.contains_key(name)).count();
                assert!(Instant::now() < limit, "{open} actions have not ended");
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Load {
    pub(crate) fn start(client: &Client, namespace: &str, node: &str) -> Self {
        let actions: Api<DeploymentAction> = Api::namespaced(client.clone(), namespace);
        let ends = Ends::default();
        let changes = Arc::<AtomicUsize>::default();
        tokio::spawn(watch(actions.clone(), Arc::clone(&ends), Arc::clone(&changes)));
        let pods = Api::namespaced(client.clone(), namespace);
        Self {
            actions,
            pods,
            node: node.to_owned(),
            ends,
            there: BTreeMap::new(),
            next: 0,
            command: vec!["echo".into(), "hello".into()],
            lock: None,
            more: Map::new(),
            changes,
        }
    }

    /// How many have ended that are there or were.
    pub(crate) fn ends(&self) -> usize {
        self.ends.lock().unwrap().len()
    }

    /// All of them, as they are now.
    pub(crate) async fn all(&self) -> Vec<DeploymentAction> {
        self.actions.list(&ListParams::default()).await.expect("listing actions").items
    }

    /// How many changes of actions were seen.
    pub(crate) fn changes(&self) -> usize {
        self.changes.load(Ordering::Relaxed)
    }

    /// When this action was seen to have ended.
    pub(crate) fn end_of(&self, name: &str) -> Option<Instant> {
        self.ends.lock().unwrap().get(name).copied()
    }

    pub(crate) fn pods(&self) -> &Api<Pod> {
        &self.pods
    }

    /// Creates `count` of them, `rate` a second.
    pub(crate) async fn create(&mut self, count: u32, rate: u32) -> Batch {
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut creating = Vec::new();
        for _ in 0..count {
            ticks.tick().await;
            let name = format!("action-{}", self.next);
            self.there.insert(self.next, name.clone());
            self.next += 1;
            let object = action(&name, &self.node, &self.command, self.lock.as_deref(), &self.more);
            let actions = self.actions.clone();
            creating.push(tokio::spawn(async move {
                let begun = Instant::now();
                actions.create(&PostParams::default(), &object).await.expect("creating an action");
                (name, begun)
            }));
        }
        let mut begun = Vec::new();
        for created in creating {
            begun.push(created.await.expect("creating an action"));
        }
        Batch { begun, ends: Arc::clone(&self.ends) }
    }

    /// Creates one that is suspended.
    pub(crate) async fn create_suspended(&self, name: &str) {
        let mut object = action(name, &self.node, &self.command, None, &Map::new());
        object.spec.suspend = Some(true);
        self.actions.create(&PostParams::default(), &object).await.expect("creating an action");
    }

    /// Whether the operator has said anything of it.
    pub(crate) async fn has_status(&self, name: &str) -> bool {
        self.actions.get(name).await.expect("reading an action").status.is_some()
    }

    pub(crate) async fn delete(&self, name: &str) {
        self.actions.delete(name, &DeleteParams::default()).await.map(drop).expect("deleting an action");
    }

    /// Has at least `count` that have ended.
    pub(crate) async fn top_up(&mut self, count: usize, rate: u32) {
        let missing = count.saturating_sub(self.there.len());
        if missing > 0 {
            println!("creating {missing} actions, {rate} a second ...");
        }
        self.create(u32::try_from(missing).expect("not so many"), rate).await.ended().await;
    }

    /// Deletes the oldest, but for `count`.
    pub(crate) async fn keep(&mut self, count: usize) {
        let mut old = Vec::new();
        while self.there.len() > count {
            old.extend(self.there.pop_first().map(|(_, name)| name));
        }
        let actions = &self.actions;
        let delete = async |name: String| actions.delete(&name, &DeleteParams::background()).await.map(drop);
        let mut deleting = pin!(stream::iter(old).map(delete).buffer_unordered(8));
        while let Some(deleted) = deleting.next().await {
            deleted.expect("deleting an action");
        }
    }

    /// Waits until no pod is left.
    pub(crate) async fn pods_gone(&self, limit: Duration) {
        let limit = Instant::now() + limit;
        let one = ListParams::default().limit(1);
        while !self.pods.list(&one).await.expect("listing pods").items.is_empty() {
            assert!(Instant::now() < limit, "pods are left");
            sleep(Duration::from_secs(1)).await;
        }
        // What it takes to forget them is not memory of actions.
        sleep(Duration::from_secs(5)).await;
    }
}

async fn watch(actions: Api<DeploymentAction>, ends: Ends, changes: Arc<AtomicUsize>) {
    let mut events = pin!(watcher::watcher(actions, watcher::Config::default()).default_backoff());
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Apply(action) | Event::InitApply(action)) => {
                changes.fetch_add(1, Ordering::Relaxed);
                let status = action.status.as_ref();
                if status.is_some_and(|status| status.conditions().is_true(ConditionType::Finished)) {
                    ends.lock().unwrap().entry(action.name_any()).or_insert_with(Instant::now);
                }
            }
            Ok(Event::Init | Event::InitDone | Event::Delete(_)) => {}
            Err(error) => eprintln!("watch: {error}"),
        }
    }
}

fn action(
    name: &str,
    node: &str,
    command: &[String],
    lock: Option<&str>,
    more: &Map<String, Value>,
) -> DeploymentAction {
    let registry = std::env::var("LONGSHORE_REGISTRY").expect("LONGSHORE_REGISTRY is set by cluster-env");
    let mut action = json!({
        "apiVersion": "longshore.dev/v1alpha1",
        "kind": "DeploymentAction",
        "metadata": {"name": name},
        "spec": {
            "image": format!("{registry}/examples:0.1.0"),
            "command": command,
            "podRetentionSeconds": 0,
            "lock": lock.map(|name| json!({"name": name})),
            "podTemplate": {
                "nodeSelector": {"kubernetes.io/hostname": node},
                "tolerations": [{"key": MARK, "operator": "Exists"}],
            },
        },
    });
    for (field, value) in more {
        match (&mut action["spec"][field], value) {
            (Value::Object(fields), Value::Object(more)) => fields.extend(more.clone()),
            (field, value) => *field = value.clone(),
        }
    }
    serde_json::from_value(action).expect("an action")
}
