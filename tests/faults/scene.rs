//! The place where a schedule is played, and the steps of a path.

use std::{path::PathBuf, sync::Arc, time::Duration};

use k8s_openapi::api::{coordination::v1::Lease, core::v1::Pod};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use longshore::api::{ConditionType, DeploymentAction};
use serde_json::Value;
use tokio::{
    runtime::Handle,
    time::{Instant, sleep},
};

use super::{
    counter::Counter,
    hostile::{Clock, Temper},
    paths::Path,
    schedule::Schedule,
    seen::Seen,
};

/// A namespace of one worker's own, and what leads to it.
#[derive(Clone)]
pub(crate) struct Place {
    /// With an administrator's rights.
    pub(crate) client: Client,
    /// The operators', with such rights too.
    pub(crate) backend: Client,
    /// Outlives all operators.
    pub(crate) on: Handle,
    pub(crate) namespace: String,
    pub(crate) seen: Arc<Seen>,
    /// The nodes that run pods, by their clocks, and the one on which they wait for ever.
    pub(crate) nodes: Vec<(Clock, String)>,
    pub(crate) slow_node: String,
    /// An administrator's, for processes.
    pub(crate) kubeconfig: PathBuf,
    /// Where counters lie.
    pub(crate) counters: PathBuf,
}

/// One action in it.
pub(crate) struct Scene {
    pub(crate) place: Place,
    pub(crate) path: Path,
    pub(crate) temper: Temper,
    pub(crate) clock: Clock,
    pub(crate) name: String,
    pub(crate) counter: Counter,
    /// How long a run may wait for its script's start.
    pub(crate) pending_seconds: i64,
    /// Whether a creation of a pod may arrive when its run has long ended.
    pub(crate) late_creations: bool,
    /// How many runs there will be at least.
    pub(crate) runs: std::sync::atomic::AtomicU32,
    /// Violations seen on the way.
    pub(crate) wrong: std::sync::Mutex<Vec<String>>,
    /// When the API server had deleted an action, and its UID.
    pub(crate) deleted: std::sync::Mutex<Option<(Instant, String)>>,
}

/// How long a path waits at least for what it acts on; where faults keep that away, it acts all the same.
const PATIENCE: Duration = Duration::from_secs(8);

impl Scene {
    pub(crate) fn new(place: &Place, schedule: &Schedule, name: &str, pending_seconds: i64) -> Self {
        let file = format!("{}-{name}", place.namespace);
        Self {
            counter: Counter::new(&place.counters, &file),
            place: place.clone(),
            path: schedule.path,
            temper: schedule.temper,
            clock: schedule.clock,
            name: name.to_owned(),
            pending_seconds,
            late_creations: schedule.has_late_creations(),
            runs: 1.into(),
            wrong: std::sync::Mutex::default(),
            deleted: std::sync::Mutex::default(),
        }
    }

    /// Until when to wait for something that begins now.
    pub(crate) fn patience(&self) -> Instant {
        Instant::now() + PATIENCE.max(Duration::from_secs(self.pending_seconds.unsigned_abs()))
    }

    /// The node that runs its pods.
    pub(crate) fn node(&self) -> &str {
        let found = self.place.nodes.iter().find(|(clock, _)| *clock == self.clock);
        &found.expect("there is one with each clock").1
    }

    pub(crate) fn actions(&self) -> Api<DeploymentAction> {
        Api::namespaced(self.place.client.clone(), &self.place.namespace)
    }

    pub(crate) fn pods_api(&self) -> Api<Pod> {
        Api::namespaced(self.place.client.clone(), &self.place.namespace)
    }

    pub(crate) fn leases(&self) -> Api<Lease> {
        Api::namespaced(self.place.client.clone(), &self.place.namespace)
    }

    /// The action as it was seen last.
    pub(crate) fn action(&self) -> Option<Arc<DeploymentAction>> {
        self.place.seen.action(&self.place.namespace, &self.name)
    }

    /// The action beside it, where the path has one.
    pub(crate) fn other(&self) -> Option<Arc<DeploymentAction>> {
        self.place.seen.action(&self.place.namespace, &self.other_name())
    }

    pub(crate) fn other_name(&self) -> String {
        format!("{}-other", self.name)
    }

    /// Those of the action, and of the one beside it.
    pub(crate) fn pods(&self) -> Vec<Arc<Pod>> {
        let of = |name: &str| self.place.seen.pods(&self.place.namespace, name);
        [of(&self.name), of(&self.other_name())].concat()
    }

    pub(crate) async fn apply(&self, spec: &Value) {
        self.apply_as(&self.name, spec).await;
    }

    pub(crate) async fn apply_other(&self, spec: &Value) {
        self.apply_as(&self.other_name(), spec).await;
    }

    async fn apply_as(&self, name: &str, spec: &Value) {
        let object = serde_json::json!({
            "apiVersion": "longshore.dev/v1alpha1", "kind": "DeploymentAction",
            "metadata": {"name": name}, "spec": spec,
        });
        let object: DeploymentAction = serde_json::from_value(object).expect("an action");
        // The one before may be on its way out.
        for _ in 0..100 {
            match self.actions().create(&PostParams::default(), &object).await {
                Ok(_) => return,
                Err(error) => {
                    assert!(matches!(&error, kube::Error::Api(status) if status.code == 409), "{error}");
                    sleep(Duration::from_millis(50)).await;
                }
            }
        }
        panic!("{name} could not be created");
    }

    pub(crate) async fn patch(&self, patch: Value) {
        let patched = self.actions().patch(&self.name, &PatchParams::default(), &Patch::Merge(patch)).await;
        patched.expect("patching the action");
    }

    /// Another run follows, where there is one already.
    pub(crate) fn another(&self, there_is: bool) {
        self.runs.fetch_add(there_is.into(), std::sync::atomic::Ordering::Relaxed);
    }

    /// As a restore from a backup leaves it.
    pub(crate) async fn empty_status(&self) {
        let patch = Patch::Merge(serde_json::json!({"status": null}));
        let emptied = self.actions().patch_status(&self.name, &PatchParams::default(), &patch).await;
        emptied.expect("emptying the status");
    }

    pub(crate) async fn delete(&self) {
        let uid = self.action().and_then(|action| action.uid()).unwrap_or_default();
        let deleted = self.actions().delete(&self.name, &DeleteParams::background()).await;
        deleted.expect("deleting the action");
        *self.deleted.lock().unwrap() = Some((Instant::now(), uid));
    }

    /// Waits, within reason, until the action is so.
    pub(crate) async fn until(&self, when: impl Fn(&DeploymentAction) -> bool) -> bool {
        let is = || self.action().is_some_and(|action| when(&action));
        self.place.seen.until(self.patience(), is).await
    }

    /// Waits, within reason, until so many attempts have started, or the run has ended.
    pub(crate) async fn until_started(&self, attempts: usize) {
        let limit = self.patience();
        while Instant::now() < limit
            && self.counter.started() < attempts
            && !self.action().is_some_and(|action| is_finished(&action))
        {
            sleep(Duration::from_millis(30)).await;
        }
    }
}

pub(crate) fn is_finished(action: &DeploymentAction) -> bool {
    action.status.as_ref().is_some_and(|status| status.conditions().is_true(ConditionType::Finished))
}
