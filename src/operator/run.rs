//! The process: watches, the controller, the lease, and how it all ends.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt, Stream, StreamExt, TryStreamExt, future, stream::BoxStream};
use k8s_openapi::{api::core::v1::Pod, jiff::Timestamp};
use kube::{
    Client, Config, ResourceExt,
    core::DeserializeGuard,
    runtime::{
        Controller, WatchStreamExt, controller,
        reflector::{self, ObjectRef, Store},
        watcher,
    },
};
use tokio::{
    net::TcpListener,
    sync::{Notify, mpsc},
};
use tracing::{debug, error, info, warn};

use super::{
    action_policy::ActionPolicies,
    admission::Admission,
    cached::Cached,
    collect::Collector,
    events::Events,
    fair::{Limits, Turns},
    lease::{Leadership, Term},
    lock_index::LockIndex,
    memory::Memories,
    metrics::{Active, Metrics},
    nodes::Nodes,
    options::Options,
    pod::FetchDefaults,
    pod_index::PodIndex,
    prune,
    reconcile::{Context, after_error, reconcile},
    resolve::jobs::Jobs,
    serve::{self, Health},
    sources::Sources,
    strays::{self, Strays},
    templates::Templates,
    traces::{Traces, TracesError},
    use_policy::UsePolicy,
    view::{PodView, is_held},
    warnings::Warnings,
    watch,
};
use crate::{
    api::{
        DeploymentAction, LABEL_ACTION, LABEL_ACTION_UID, LABEL_LOCK, LABEL_MANAGED_BY, MANAGED_BY, Phase,
    },
    registry::{Registry, RegistryConfig},
};

/// How long looks that have begun may take once the process is to end.
const SHUTDOWN: Duration = Duration::from_secs(20);
/// How often the caches are searched for what has gone.
const SWEEP: Duration = Duration::from_mins(2);
/// How much that may take long is computed at once, beside the threads that all else needs.
const HEAVY: Limits = Limits { all: 2, of_owner: 1, at_place: 2 };
/// How many read a pod's events at the same time.
const EVENT_TURNS: Limits = Limits { all: 4, of_owner: 2, at_place: 4 };
/// How often runs under way are counted.
const COUNT: Duration = Duration::from_secs(5);
/// How long the first look at actions waits for the policies on them.
const POLICIES_FIRST: Duration = Duration::from_secs(5);
/// So many actions are listed at once: of a page the API server's whole answer is in memory.
const ACTIONS_PAGE: u32 = 50;
/// For all that one image needs of its registry.
const REGISTRY_LIMIT: Duration = Duration::from_secs(20);

/// Why the operator cannot run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// There is no way to the API server.
    #[error("no configuration for the API server: {0}")]
    Config(#[from] kube::config::InferConfigError),
    /// Traces cannot be sent.
    #[error(transparent)]
    Traces(#[from] TracesError),
    /// The client cannot be made.
    #[error("no client for the API server: {0}")]
    Client(#[from] kube::Error),
    /// The registry client cannot be made.
    #[error("no client for registries: {0}")]
    Registry(#[from] crate::registry::SetupError),
    /// A file cannot be read.
    #[error("--registry-ca-file {path}: {source}")]
    CaFile {
        /// Its path.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The address cannot be listened on.
    #[error("--listen {address}: {source}")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// Another instance leads now: this one starts anew.
    #[error("this instance leads no more")]
    NotLeading,
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// Where it cannot start, or must start anew.
pub async fn run(options: Options) -> Result<(), RunError> {
    let mut config = Config::infer().await?;
    // Every call is retried by who made it, with a pause of its own.
    config.default_retry = false;
    run_with(Client::try_from(config)?, options, stopped()).await
}

/// The same with a client of the caller's, which retries nothing by itself, until `stop`. Several can
/// run in one process: they share nothing. All that one has begun belongs to its runtime, and dropping
/// that leaves what a crash leaves.
///
/// # Errors
/// Where it cannot start, or must start anew.
pub async fn run_with(
    client: Client,
    options: Options,
    stop: impl Future<Output = ()>,
) -> Result<(), RunError> {
    let ca_bundle_pem = match &options.registry_ca_file {
        Some(path) => Some(
            std::fs::read(path)
                .map_err(|source| RunError::CaFile { path: path.display().to_string(), source })?,
        ),
        None => None,
    };
    let fetch = Arc::new(FetchDefaults::new(
        &options.plain_http_registries,
        ca_bundle_pem.as_deref(),
        options.package_limit,
        options.package_max_entries,
    ));
    let registry = Registry::new(RegistryConfig {
        plain_http: options.plain_http_registries.clone(),
        timeout: REGISTRY_LIMIT,
        ca_bundle_pem,
    })?;
    let traces = Traces::new(options.otlp_endpoint.as_deref())?;
    let metrics = Metrics::default();
    let health = Health::default();
    let listener = TcpListener::bind(options.listen)
        .await
        .map_err(|source| RunError::Listen { address: options.listen, source })?;
    tokio::spawn({
        let (health, metrics) = (health.clone(), metrics.clone());
        async move {
            if let Err(error) = serve::serve(listener, health, metrics).await {
                error!(%error, "the endpoints are no longer served");
            }
        }
    });

    // An instance that waits for the lease is as ready as can be.
    health.set_ready(true);
    let mut leadership = Leadership::new(client.clone(), &options.namespace, &options.identity);
    let mut stop = std::pin::pin!(stop);
    info!(identity = options.identity, "started, waiting for the lease");
    tokio::select! {
        () = leadership.acquire() => {}
        () = &mut stop => return Ok(()),
    }
    metrics.leader.set(1);
    health.set_ready(false);
    let (shutdown, end) = tokio::sync::oneshot::channel();
    let work = lead(
        (client, leadership.term()),
        (registry, fetch),
        options,
        Tellers { metrics: metrics.clone(), traces },
        health,
        end,
    );
    let mut work = std::pin::pin!(work);
    let result = tokio::select! {
        () = &mut work => Ok(()),
        () = leadership.keep() => Err(RunError::NotLeading),
        () = &mut stop => {
            info!("stopping: what has begun is brought to its end");
            let _ = shutdown.send(());
            if tokio::time::timeout(SHUTDOWN, &mut work).await.is_err() {
                warn!("not all looks came to their end in {} s", SHUTDOWN.as_secs());
            }
            Ok(())
        }
    };
    metrics.leader.set(0);
    leadership.release().await;
    if result.is_err() && stop.now_or_never().is_some() {
        // It was asked to end meanwhile: it does not start anew.
        return Ok(());
    }
    result
}

async fn stopped() {
    let interrupt = tokio::signal::ctrl_c();
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = interrupt => {}
                _ = terminate.recv() => {}
            }
        }
        Err(error) => {
            warn!(%error, "SIGTERM is not handled");
            let _ = interrupt.await;
        }
    }
}

/// The namespaces that are named, each once: to watch one twice would tell all of it twice.
fn namespaces(named: &[String]) -> Vec<String> {
    let named = named.iter().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
    named.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
}

/// Who tells of runs beside the status.
struct Tellers {
    metrics: Metrics,
    traces: Traces,
}

/// What only the leader does.
#[allow(clippy::too_many_lines, reason = "what it has and starts, one after the other")]
async fn lead(
    (client, term): (Client, Term),
    (registry, fetch): (Registry, Arc<FetchDefaults>),
    options: Options,
    Tellers { metrics, traces }: Tellers,
    health: Health,
    end: tokio::sync::oneshot::Receiver<()>,
) {
    let nodes = Nodes::new(options.runner_delivery);
    if let Err(error) = nodes.refresh(&client, options.runner_delivery).await {
        warn!(%error, "nodes cannot be read; the runner gets into pods by init container until they can");
    }
    info!(delivery = ?nodes.delivery(), "the runner gets into pods");
    tokio::spawn(nodes.clone().keep_fresh(client.clone(), options.runner_delivery));

    let use_policy = UsePolicy::new(options.use_policy);
    tokio::spawn(use_policy.clone().watch(client.clone()));

    let (news, wanted) = mpsc::unbounded_channel();
    let namespaces = namespaces(&options.watch_namespaces);
    let (action_policies, policies_filled) = ActionPolicies::new(&options.namespace);
    tokio::spawn(action_policies.clone().watch(client.clone(), namespaces.clone(), policies_filled));
    if !namespaces.is_empty() {
        info!(?namespaces, "only actions of these namespaces are run");
    }
    let pod_index = PodIndex::default();
    let locks = LockIndex::new(news.clone());
    let memories = Memories::default();
    let strays = Strays::new(client.clone(), locks.clone(), memories.clone(), nodes.clone());
    let warnings = Warnings::default();
    let caches = (pod_index.clone(), locks.clone(), warnings.clone());
    let pods = watch_pods(&client, &namespaces, caches, strays.clone(), news.clone());
    // An action without a status is new only if no pod tells otherwise: nothing is decided before all
    // pods are known.
    if pods.wait_until_ready().await.is_err() {
        return;
    }
    warnings.watch(&client, &namespaces, &pods, &news);
    let (action_store, writer) = reflector::store();
    let (gone, have_locks) = mpsc::unbounded_channel();
    tokio::spawn(give_locks_back(client.clone(), locks.clone(), have_locks));
    let filled = Arc::new(Notify::new());
    // The name alone may come again: a container that is restarted keeps its pod.
    let process = format!("{}/{}", options.identity, Timestamp::now());
    let goes = {
        let (memories, process) = (memories.clone(), process.clone());
        move |action: &Cached| {
            let action = action.known();
            memories.gone(&action, &process);
            let run = action.status.as_ref().and_then(|status| status.run.as_ref());
            if run.is_some_and(|run| run.held_lock().is_some()) {
                // The receiver is gone only where the process ends.
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
        collector: Collector::new(client.clone(), pods.clone(), news.clone(), metrics.clone()),
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
        memories,
        metrics,
        fetch,
        options,
    });
    tokio::spawn(tell_ready(filled, Arc::clone(&context), health));
    context.metrics.concurrency(context.options.concurrency);
    tokio::spawn(count(action_store.clone(), Arc::clone(&context)));
    tokio::spawn(sweep(action_store.clone(), Arc::clone(&context), strays));

    // A moment as a rule. Where it is not, what is under way must be followed all the same.
    if tokio::time::timeout(POLICIES_FIRST, context.action_policies.wait_until_filled()).await.is_err() {
        warn!("the ActionPolicies are not read yet: nothing starts before they are");
    }
    // Without a bound of its own: whoever waits here waits behind all that came before, of whatever namespace.
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
                // A pod's event can come before its action's, and after its action's end.
                Err(controller::Error::ObjectNotFound(action)) => {
                    debug!(%action, "not in the cache");
                    let name = ObjectRef::new(&action.name);
                    admission.is_gone(&action.namespace.iter().fold(name, |name, of| name.within(of)));
                }
                Err(controller::Error::ReconcilerFailed(error, action)) => {
                    warn!(%action, error = %chain(&error), "look broke off");
                }
                Err(error) => warn!(error = %chain(&error), "watch"),
            }
            future::ready(())
        })
        .await;
}

/// An error with what it stands on.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let words = error.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        source = error.source();
    }
    text
}

fn tokio_stream<T>(mut receiver: mpsc::UnboundedReceiver<T>) -> impl Stream<Item = T> {
    futures::stream::poll_fn(move |context| receiver.poll_recv(context))
}

/// All actions; `shown` is told of each that the cache has, and `goes` of each that is gone, as it was at its
/// end. One that cannot be read is passed over and told of: it must not end the watch.
fn watch_actions<Shown: Fn(&Cached), Goes: Fn(&Cached)>(
    client: &Client,
    namespaces: &[String],
    mut writer: reflector::store::Writer<Cached>,
    (locks, shown, goes): (LockIndex, Shown, Goes),
    filled: Arc<Notify>,
) -> impl Stream<Item = Result<Cached, watcher::Error>> + use<Shown, Goes> {
    let watches = watch::watches(client, namespaces, &watcher::Config::default().page_size(ACTIONS_PAGE));
    let readable = |watch: BoxStream<'static, _>| {
        watch.try_filter_map(|event| future::ready(Ok(readable(event)))).boxed()
    };
    watch::merge(watches.into_iter().map(readable).collect())
        .inspect_ok(move |event| {
            writer.apply_watcher_event(event);
            locks.take(event);
            match event {
                watcher::Event::Apply(action) | watcher::Event::InitApply(action) => shown(action),
                watcher::Event::Delete(action) => goes(action),
                watcher::Event::InitDone => filled.notify_one(),
                watcher::Event::Init => {}
            }
        })
        .applied_objects()
}

fn readable(event: watcher::Event<DeserializeGuard<Cached>>) -> Option<watcher::Event<Cached>> {
    let read = |guard: DeserializeGuard<Cached>| {
        guard.0.map_err(|invalid| {
            warn!(
                action = invalid.metadata.name,
                namespace = invalid.metadata.namespace,
                error = %invalid.error,
                "this action cannot be read and is passed over"
            );
            Box::new(Cached::bare(&invalid.metadata))
        })
    };
    Some(match event {
        watcher::Event::Init => watcher::Event::Init,
        watcher::Event::InitDone => watcher::Event::InitDone,
        watcher::Event::InitApply(guard) => watcher::Event::InitApply(read(guard).ok()?),
        // What was read of it before is out of date: a look at that would conflict for ever.
        watcher::Event::Apply(guard) => {
            read(guard).map_or_else(|bare| watcher::Event::Delete(*bare), watcher::Event::Apply)
        }
        watcher::Event::Delete(guard) => watcher::Event::Delete(read(guard).unwrap_or_else(|bare| *bare)),
    })
}

/// All pods of ours: each event is a reason to look at its action.
fn watch_pods(
    client: &Client,
    namespaces: &[String],
    (index, locks, warnings): (PodIndex, LockIndex, Warnings),
    strays: Strays,
    news: mpsc::UnboundedSender<ObjectRef<DeploymentAction>>,
) -> Store<Pod> {
    let (store, writer) = reflector::store();
    let ours = watcher::Config::default().labels(&format!("{LABEL_MANAGED_BY}={MANAGED_BY},{LABEL_ACTION}"));
    let client = client.clone();
    let pods =
        watch::merge(watch::watches::<Pod>(&client, namespaces, &ours)).modify(prune::pod).reflect(writer);
    tokio::spawn(async move {
        let mut pods = std::pin::pin!(pods);
        while let Some(event) = pods.next().await {
            if let Ok(event) = &event {
                // Before anybody looks because of it.
                index.take(event);
            }
            if let Ok(watcher::Event::Delete(pod)) = &event {
                warnings.forget(pod.metadata.uid.as_deref().unwrap_or_default());
            }
            if let Ok(watcher::Event::Delete(pod)) = &event
                && is_held(pod)
            {
                let (client, pod) = (client.clone(), pod.clone());
                tokio::spawn(async move { strays::lost_sight(&client, &pod).await });
            }
            if let Ok(
                watcher::Event::Apply(pod) | watcher::Event::InitApply(pod) | watcher::Event::Delete(pod),
            ) = &event
                && let Some(lock) = pod.labels().get(LABEL_LOCK)
                && (matches!(event, Ok(watcher::Event::Delete(_)))
                    || PodView::of(pod, "", &[]).runs_no_more())
            {
                // As a rule its action gives the lock back; one that is gone does not.
                locks.wake(&pod.namespace().unwrap_or_default(), lock);
            }
            match event {
                Ok(
                    watcher::Event::Apply(pod) | watcher::Event::InitApply(pod) | watcher::Event::Delete(pod),
                ) => {
                    if let (Some(action), Some(namespace)) = (pod.labels().get(LABEL_ACTION), pod.namespace())
                    {
                        let _ = news.send(ObjectRef::new(action).within(&namespace));
                    }
                    if strays::may_be_stray(&pod) {
                        let strays = strays.clone();
                        tokio::spawn(async move { strays.let_go(&pod).await });
                    }
                }
                Ok(watcher::Event::Init | watcher::Event::InitDone) => {}
                Err(error) => warn!(error = %chain(&error), "watch of pods"),
            }
        }
    });
    store
}

/// Gives the locks back of actions that are gone and had no pod.
async fn give_locks_back(
    client: Client,
    locks: LockIndex,
    mut goes: mpsc::UnboundedReceiver<DeploymentAction>,
) {
    while let Some(action) = goes.recv().await {
        strays::give_lock_back(&client, &locks, &action).await;
    }
}

/// Ready once the caches are filled. A store wakes only one of those that wait for it, and for the
/// actions' store that is the controller, so the stream itself tells.
async fn tell_ready(actions: Arc<Notify>, context: Arc<Context>, health: Health) {
    actions.notified().await;
    context.action_policies.wait_until_filled().await;
    health.set_ready(true);
}

/// Counts runs that are under way, for the metrics.
async fn count(actions: Store<Cached>, context: Arc<Context>) {
    loop {
        let mut active = Active::default();
        for action in actions.state() {
            match action.phase() {
                Some(Phase::Pending) => active.pending += 1,
                Some(Phase::Queued) => active.queued += 1,
                Some(Phase::Launching) => active.launching += 1,
                Some(Phase::Running) => active.running += 1,
                Some(Phase::Retrying) => active.retrying += 1,
                _ => {}
            }
        }
        context.metrics.active(active);
        context.metrics.waiting(context.admission.waiting(), context.jobs.waiting());
        context.metrics.policy_missing.set(i64::from(context.use_policy.missing().is_some()));
        tokio::time::sleep(COUNT).await;
    }
}

/// Forgets actions that are gone, and looks again for pods that no action waits for.
async fn sweep(actions: Store<Cached>, context: Arc<Context>, strays: Strays) {
    loop {
        tokio::time::sleep(SWEEP).await;
        let mut known: std::collections::HashSet<_> =
            actions.state().iter().filter_map(|action| action.uid()).collect();
        context.locks.keep(&known);
        let pods = context.pods.state();
        // What was sent for an action that is gone decides when its pods are let go.
        known.extend(pods.iter().filter_map(|pod| pod.labels().get(LABEL_ACTION_UID).cloned()));
        context.memories.keep(&known);
        let held: std::collections::HashSet<_> =
            pods.iter().filter_map(|pod| pod.metadata.uid.clone()).collect();
        context.collector.keep(&held);
        context.warnings.keep(&held);
        context.metrics.logs.set(i64::try_from(context.collector.len()).unwrap_or(i64::MAX));
        for pod in pods.into_iter().filter(|pod| strays::may_be_stray(pod)) {
            let strays = strays.clone();
            tokio::spawn(async move { strays.let_go(&pod).await });
        }
    }
}

#[cfg(test)]
mod tests {
    use kube::runtime::watcher::Event;
    use serde_json::{Value, from_value, to_value};

    use super::*;
    use crate::operator::tests::action;

    fn guard(change: impl FnOnce(&mut Value)) -> DeserializeGuard<Cached> {
        let mut action = to_value(action()).unwrap();
        change(&mut action);
        from_value(action).unwrap()
    }

    #[test]
    fn an_action_that_cannot_be_read_any_more_leaves_the_cache() {
        let unreadable =
            || guard(|action| action["status"] = serde_json::json!({"run": {"number": 5_000_000_000_u64}}));
        let read = readable(Event::Apply(guard(|_| {})));
        assert!(matches!(read, Some(Event::Apply(read)) if read.whole().unwrap().spec == action().spec));
        for event in [Event::Apply(unreadable()), Event::Delete(unreadable())] {
            let Some(Event::Delete(gone)) = readable(event) else { panic!("it stays in the cache") };
            assert_eq!(gone.reference(), ObjectRef::from_obj(&action()));
        }
        assert!(readable(Event::InitApply(unreadable())).is_none());
    }
}
