//! All that schedules share: the cluster, fake nodes, a namespace for each worker, and the workers.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::future::join_all;
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Namespace, Pod},
};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, PostParams},
};
use longshore::api::{DeploymentAction, LABEL_ACTION, LABEL_ACTION_UID, LABEL_ATTEMPT, LABEL_RUN};
use longshore::record::place::ENV_BUNDLE_SHA256;
use serde_json::json;

use super::{
    hostile::Clock,
    operator,
    paths::Path,
    play::{Early, Report, Rules, play},
    scene::Place,
    schedule::Schedule,
    seen::Seen,
    uncached::Uncached,
};
use crate::{
    node::{Cluster, FakeNode, Hook, Moment, Options},
    support::{namespace::setting, turns::alone},
};

/// How many schedules are played beside each other, unless `LONGSHORE_FAULTS_WORKERS` says. Mostly they wait.
const WORKERS: usize = 12;

pub(crate) struct Stage {
    places: Vec<Place>,
    early: Early,
    nodes: Vec<FakeNode>,
    next: AtomicUsize,
}

/// Runs `test` on a stage of its own; one at a time, since all share this machine.
pub(crate) fn on_stage<T>(test: impl AsyncFnOnce(&Stage) -> T) -> T {
    on_stage_of(Server::Own, test)
}

/// Which API server the operators use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Server {
    /// The cluster's.
    Own,
    /// A second one, whose watches come from etcd itself.
    Uncached,
}

/// The same, with the operators at another API server.
pub(crate) fn on_stage_of<T>(server: Server, test: impl AsyncFnOnce(&Stage) -> T) -> T {
    setting("KUBECONFIG");
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cluster = Cluster::running();
    let runtime = cluster.runtime();
    operator::count_panics();
    runtime.block_on(async {
        let _alone = alone().await;
        let client = cluster.client().await;
        assert_alone(&client).await;
        let second = match server {
            Server::Own => None,
            Server::Uncached => Some(Uncached::start(&cluster).await),
        };
        let backend = second.as_ref().map_or(&client, |(_, client)| client);
        let stage = Stage::set(&cluster, &client, backend).await;
        let before = operator::panics();
        let answer = test(&stage).await;
        stage.strike(&client).await;
        assert_eq!(operator::panics(), before, "an operator panicked; its words are above");
        answer
    })
}

/// Another operator would take part.
async fn assert_alone(client: &Client) {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), "longshore-system");
    let found = deployments.get_opt("longshore").await.expect("looking for a deployed operator");
    let replicas = found.and_then(|found| found.status?.replicas).unwrap_or_default();
    assert_eq!(replicas, 0, "an operator is deployed in this cluster: `make faults` takes it away meanwhile");
}

impl Stage {
    async fn set(cluster: &Cluster, client: &Client, backend: &Client) -> Self {
        // The namespaces of the stage before take their time to go.
        static STAGES: AtomicUsize = AtomicUsize::new(0);
        let stage = STAGES.fetch_add(1, Ordering::Relaxed);
        let tag = format!("faults-{:x}-{stage}", std::process::id());
        let early = Early::default();
        let counters = std::path::PathBuf::from("/dev/shm").join(&tag);
        std::fs::create_dir_all(&counters).expect("a folder for counters");
        let kubeconfig = counters.join("kubeconfig");
        let text = serde_json::to_string(&cluster.kubeconfig()).expect("JSON, which is YAML too");
        std::fs::write(&kubeconfig, text).expect("writing a kubeconfig");
        let runner = env!("CARGO_BIN_EXE_longshore-runner");
        let slow = format!("{tag}-slow");
        let hook = witness(client.clone(), Arc::clone(&early));
        let options = |name: &str| {
            let root = counters.join(format!("node-{name}"));
            Options { root, hook: Some(Arc::clone(&hook)), ..Options::new(name, runner) }
        };
        let never = Options { start_delay: Duration::from_hours(1), ..options(&slow) };
        let mut nodes = vec![FakeNode::start(never).await];
        let mut by_clock = Vec::new();
        for clock in Clock::ALL {
            let name = format!("{tag}{}", clock.suffix().replace('+', "-"));
            let skewed = Options { clock_seconds: clock.seconds(), ..options(&name) };
            nodes.push(FakeNode::start(skewed).await);
            by_clock.push((clock, name));
        }
        let seen = Arc::new(Seen::start(client).await);
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let mut places = Vec::new();
        for worker in 0..super::setting("LONGSHORE_FAULTS_WORKERS").unwrap_or(WORKERS) {
            let namespace = format!("{tag}-{worker}");
            let object = json!({"metadata": {"name": namespace, "labels": {"longshore.dev/test": "true"}}});
            let object = serde_json::from_value(object).expect("a namespace");
            namespaces.create(&PostParams::default(), &object).await.expect("creating a namespace");
            places.push(Place {
                client: client.clone(),
                backend: backend.clone(),
                on: tokio::runtime::Handle::current(),
                namespace,
                seen: Arc::clone(&seen),
                nodes: by_clock.clone(),
                slow_node: slow.clone(),
                kubeconfig: kubeconfig.clone(),
                counters: counters.clone(),
            });
        }
        Self { places, early, nodes, next: AtomicUsize::new(0) }
    }

    async fn strike(self, client: &Client) {
        let namespaces: Api<Namespace> = Api::all(client.clone());
        for place in &self.places {
            // A later test finds it gone.
            let _ = namespaces.delete(&place.namespace, &DeleteParams::background()).await;
        }
        let counters = self.places[0].counters.clone();
        tokio::task::spawn_blocking(move || drop(self.nodes)).await.expect("ending the nodes");
        let _ = std::fs::remove_dir_all(counters);
    }

    /// Plays one schedule in the first worker's place.
    pub(crate) async fn play(&self, schedule: &Schedule, rules: Rules) -> Report {
        self.play_in(&self.places[0], schedule, rules).await
    }

    async fn play_in(&self, place: &Place, schedule: &Schedule, rules: Rules) -> Report {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{number}", schedule.path);
        play(place, &self.early, &name, schedule, rules).await
    }

    /// Plays all of them, many at a time. `each` sees what came of each.
    pub(crate) async fn play_all(
        &self,
        schedules: impl IntoIterator<Item = (Schedule, Rules)>,
        mut each: impl FnMut(Report),
    ) {
        let left: Mutex<VecDeque<(Schedule, Rules)>> = Mutex::new(schedules.into_iter().collect());
        let (done, mut reports) = tokio::sync::mpsc::unbounded_channel();
        let work = join_all(self.places.iter().map(|place| {
            let (left, done) = (&left, done.clone());
            async move {
                loop {
                    let next = left.lock().unwrap().pop_front();
                    let Some((schedule, rules)) = next else { return };
                    let report = self.play_in(place, &schedule, rules).await;
                    // Nobody wants to know any more.
                    let _ = done.send(report);
                }
            }
        }));
        drop(done);
        let watch = async {
            while let Some(report) = reports.recv().await {
                each(report);
            }
        };
        tokio::join!(work, watch);
    }
}

/// A run must be on record before its script starts. This asks at the last moment before.
fn witness(client: Client, early: Early) -> Hook {
    Arc::new(move |moment, pod: Arc<Pod>| {
        let (client, early) = (client.clone(), Arc::clone(&early));
        Box::pin(async move {
            if moment == Moment::Starting
                && let Some(wrong) = unrecorded(&client, &pod).await
            {
                early.lock().unwrap().push((pod.namespace().unwrap_or_default(), wrong));
            }
        })
    })
}

async fn unrecorded(client: &Client, pod: &Pod) -> Option<String> {
    let label = |label: &str| pod.labels().get(label).cloned().unwrap_or_default();
    let name = label(LABEL_ACTION);
    // There somebody empties the status.
    if name.starts_with(Path::Restored.name()) {
        return None;
    }
    let actions: Api<DeploymentAction> =
        Api::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
    let live = actions.get_opt(&name).await.ok()??;
    if live.uid().unwrap_or_default() != label(LABEL_ACTION_UID) {
        return None;
    }
    let number = |text: String| text.parse::<u32>().unwrap_or_default();
    let of = (number(label(LABEL_RUN)), number(label(LABEL_ATTEMPT)));
    let run = live.status.as_ref().and_then(|status| status.run.as_ref());
    let recorded = run.is_some_and(|run| {
        let same = (run.number, run.attempt) == of && run.bundle_sha256 == bundle(pod);
        same || (run.number, run.attempt) > of
    });
    (!recorded).then(|| format!("pod {} starts its script, and no run is on record for it", pod.name_any()))
}

fn bundle(pod: &Pod) -> Option<String> {
    let container = pod.spec.as_ref()?.containers.first()?;
    container.env.as_ref()?.iter().find(|one| one.name == ENV_BUNDLE_SHA256)?.value.clone()
}
