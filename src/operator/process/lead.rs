//! The work of the leader alone: it fills the caches, and looks at actions.

use std::{sync::Arc, time::Duration};

use futures::{Stream, StreamExt, future};
use k8s_openapi::jiff::Timestamp;
use kube::{
    Client,
    runtime::{
        Controller, controller,
        reflector::{self, ObjectRef},
    },
};
use tokio::sync::{Notify, mpsc};
use tracing::{debug, info, warn};

use super::{
    health::Health,
    log_api,
    upkeep::{count, release_locks, sweep, tell_ready},
    watches::{chain, watch_actions, watch_pods},
};
use crate::{
    api::DeploymentAction,
    archive::Archive,
    operator::{
        caches::{
            action_policies::ActionPolicies, cached::Cached, lock_queue::LockIndex, memory::Memories,
            nodes::Nodes, outputs_keys::OutputsKeys, pod_index::PodIndex, sources::Sources,
            templates::Templates, use_policy::UsePolicy, warnings::Warnings,
        },
        fair::{Limits, Turns},
        leadership::Term,
        logs::{archivist::Archivist, collect::Collector},
        options::Options,
        pod::attempt::FetchDefaults,
        reconcile::{Context, admission::Admission, after_error, reconcile, strays::Strays},
        steps::resolve::jobs::Jobs,
        telemetry::{events::Events, metrics::Metrics, traces::Traces},
    },
    registry::Registry,
};

/// How many checks that may take long run at once. They use threads of their own.
const HEAVY: Limits = Limits { all: 2, of_owner: 1, at_place: 2 };

/// How many reads of a pod's events run at the same time.
const EVENT_TURNS: Limits = Limits { all: 4, of_owner: 2, at_place: 4 };

/// How long the first look at actions waits for the `ActionPolicy` objects.
const POLICIES_FIRST: Duration = Duration::from_secs(5);

/// The namespaces that are named, each once. A second watch of one would bring everything twice.
pub(super) fn namespaces(named: &[String]) -> Vec<String> {
    let named = named.iter().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
    named.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
}

/// The parts that report runs beside the status.
pub(super) struct Tellers {
    pub(super) metrics: Metrics,
    pub(super) traces: Traces,
}

/// The work of the leader alone.
#[allow(clippy::too_many_lines, reason = "what it has and starts, one after the other")]
pub(super) async fn lead(
    (client, term): (Client, Term),
    (registry, fetch): (Registry, Arc<FetchDefaults>),
    archive: Option<Archive>,
    options: Options,
    Tellers { metrics, traces }: Tellers,
    health: Health,
    end: tokio::sync::oneshot::Receiver<()>,
) {
    let nodes = Nodes::new(options.runner_delivery);
    if let Err(error) = nodes.refresh(&client, options.runner_delivery).await {
        warn!(%error, "nodes cannot be read; until then the runner gets into pods by init container");
    }
    info!(delivery = ?nodes.delivery(), "the runner gets into pods");
    tokio::spawn(nodes.clone().keep_fresh(client.clone(), options.runner_delivery));

    let outputs_keys = OutputsKeys::default();
    tokio::spawn(outputs_keys.clone().keep_fresh(client.clone(), options.namespace.clone()));

    let use_policy = UsePolicy::new(options.use_policy);
    tokio::spawn(use_policy.clone().watch(client.clone()));

    tokio::spawn(log_api::watch(client.clone(), options.namespace.clone(), options.log_api));

    let (news, wanted) = mpsc::unbounded_channel();
    let namespaces = namespaces(&options.watch_namespaces);
    let (action_policies, policies_filled) = ActionPolicies::new(&options.namespace);
    tokio::spawn(action_policies.clone().watch(client.clone(), namespaces.clone(), policies_filled));
    if !namespaces.is_empty() {
        info!(?namespaces, "the operator runs only the actions of these namespaces");
    }
    let archivist = archive
        .map(|archive| Archivist::new(archive, options.retention.retention(), news.clone(), metrics.clone()));
    let pod_index = PodIndex::default();
    let locks = LockIndex::new(news.clone());
    let memories = Memories::default();
    let strays =
        Strays::new(client.clone(), locks.clone(), memories.clone(), nodes.clone(), archivist.clone());
    let warnings = Warnings::default();
    let caches = (pod_index.clone(), locks.clone(), warnings.clone());
    let pods = watch_pods(&client, &namespaces, caches, strays.clone(), news.clone());
    // An action without a status is new only if no pod says otherwise. So nothing is decided before all pods
    // are known.
    if pods.wait_until_ready().await.is_err() {
        return;
    }
    warnings.watch(&client, &namespaces, &pods, &news);
    let (action_store, writer) = reflector::store();
    let (gone, have_locks) = mpsc::unbounded_channel();
    tokio::spawn(release_locks(client.clone(), locks.clone(), have_locks));
    let filled = Arc::new(Notify::new());
    // The identity alone can come again: a container that restarts keeps its pod.
    let process = format!("{}/{}", options.identity, Timestamp::now());
    let goes = {
        let (memories, process) = (memories.clone(), process.clone());
        move |action: &Cached| {
            let action = action.known();
            memories.gone(&action, &process);
            let run = action.status.as_ref().and_then(|status| status.run.as_ref());
            if run.is_some_and(|run| run.held_lock().is_some()) {
                // The receiver is gone only if the process ends.
                let _ = gone.send(action);
            }
        }
    };
    let shown = {
        let memories = memories.clone();
        move |action: &Cached| memories.shown(action)
    };
    let actions =
        watch_actions(&client, &namespaces, writer, (locks.clone(), shown, goes), Arc::clone(&filled));
    let templates = Templates::watch(&client, &namespaces, &action_store, &news);
    let sources = Sources::default();
    tokio::spawn(sources.clone().follow(
        client.clone(),
        action_store.clone(),
        templates.clone(),
        news.clone(),
    ));
    let admission = Admission::new(options.concurrency, news.clone());
    let context = Arc::new(Context {
        actions: action_store.clone(),
        admission: admission.clone(),
        jobs: Jobs::new(client.clone(), registry, &options, news.clone()),
        heavy: Turns::new(HEAVY),
        templates,
        sources,
        traces,
        events: Events::new(client.clone(), &options.identity),
        collector: Collector::new(
            client.clone(),
            pods.clone(),
            news.clone(),
            metrics.clone(),
            archivist.clone(),
        ),
        archivist,
        client,
        term,
        process,
        pods,
        pod_index,
        locks,
        nodes,
        use_policy,
        action_policies,
        warnings,
        event_turns: Turns::new(EVENT_TURNS),
        outputs_keys,
        memories,
        metrics,
        fetch,
        options,
    });
    tokio::spawn(tell_ready(filled, Arc::clone(&context), health));
    context.metrics.concurrency(context.options.concurrency);
    tokio::spawn(count(action_store.clone(), Arc::clone(&context)));
    tokio::spawn(sweep(action_store.clone(), Arc::clone(&context), strays));

    // This mostly takes a moment. If it takes longer, runs under way must be followed all the same.
    if tokio::time::timeout(POLICIES_FIRST, context.action_policies.wait_until_filled()).await.is_err() {
        warn!("the ActionPolicies are not read yet; no run starts before");
    }
    // The controller has no limit of its own. An action that waited for one would wait behind all earlier
    // actions, of every namespace.
    Controller::for_stream(actions, action_store)
        .reconcile_on(tokio_stream(wanted).map(|action: ObjectRef<DeploymentAction>| {
            ObjectRef::new(&action.name).within(&action.namespace.unwrap_or_default())
        }))
        .graceful_shutdown_on(async {
            let _ = end.await;
        })
        .run(reconcile, after_error, context)
        .for_each(move |result| {
            match result {
                Ok((action, _)) => debug!(%action, "looked at"),
                // The event of a pod can come before the event of its action, and after its action's end.
                Err(controller::Error::ObjectNotFound(action)) => {
                    debug!(%action, "not in the cache");
                    let name = ObjectRef::new(&action.name);
                    admission.is_gone(&action.namespace.iter().fold(name, |name, of| name.within(of)));
                }
                Err(controller::Error::ReconcilerFailed(error, action)) => {
                    warn!(%action, error = %chain(&error), "reconcile failed");
                }
                Err(error) => warn!(error = %chain(&error), "watch"),
            }
            future::ready(())
        })
        .await;
}

fn tokio_stream<T>(mut receiver: mpsc::UnboundedReceiver<T>) -> impl Stream<Item = T> {
    futures::stream::poll_fn(move |context| receiver.poll_recv(context))
}
