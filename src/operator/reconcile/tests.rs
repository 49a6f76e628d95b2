//! Whole looks, against an API server that answers as a test says.

use std::{sync::Arc, time::Duration};

use clap::Parser as _;
use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use kube::{
    Client,
    runtime::{controller::Action, reflector::store::Writer, watcher::Event},
};
use serde_json::{Value, json, to_value};

use super::{admission::Admission, pass::lock, *};
use crate::{
    api::{
        DeploymentAction, DeploymentActionStatus, Reason,
        action::{Lock, RunPolicy},
        status::{Deadlines, ImageStatus, LockStatus, LogState, RunStatus},
    },
    operator::{
        caches::{
            action_policies::ActionPolicies, cached::Cached, lock_queue::LockIndex, memory::Memories,
            nodes::Nodes, outputs_keys::OutputsKeys, pod_index::PodIndex, sources::Sources,
            templates::Templates, use_policy::UsePolicy, warnings::Warnings,
        },
        fair::{Limits, Turns},
        leadership::Term,
        lifecycle::{facts::LogFact, requests::Requests, status::terminal, verdict::Verdict},
        logs::collect::Collector,
        options::{Options, UsePolicyOption},
        pod::attempt::FetchDefaults,
        spec::hash::spec_hash,
        steps::resolve::jobs::Jobs,
        telemetry::{events::Events, metrics::Metrics, traces::Traces},
        testing::{
            objects::{PROCESS, UID, action},
            server::{Seen, failure, server},
        },
    },
    registry::{Registry, RegistryConfig},
};

/// The context of passes, with `client`, and with these pods and this action in the caches.
fn context(client: &Client, pods: &Writer<Pod>, action: &Arc<Cached>) -> Arc<Context> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let options = Options::try_parse_from(["longshore", "--runner-image", "r/runner:1"]).unwrap();
    let (news, _) = tokio::sync::mpsc::unbounded_channel();
    let (actions, mut writer) = kube::runtime::reflector::store();
    writer.apply_watcher_event(&Event::Apply(Cached::clone(action)));
    let metrics = Metrics::default();
    let registry = Registry::new(RegistryConfig {
        plain_http: Vec::new(),
        timeout: Duration::from_secs(1),
        ca_bundle_pem: None,
    });
    let turns = || Turns::new(Limits { all: 1, of_owner: 1, at_place: 1 });
    Arc::new(Context {
        client: client.clone(),
        term: Term::begun(),
        process: PROCESS.into(),
        jobs: Jobs::new(client.clone(), registry.unwrap(), &options, news.clone()),
        heavy: turns(),
        templates: Templates::watch(client, &[], &actions, &news),
        sources: Sources::default(),
        actions,
        admission: Admission::new(options.concurrency, news.clone()),
        pods: pods.as_reader(),
        pod_index: PodIndex::default(),
        collector: Collector::new(client.clone(), pods.as_reader(), news.clone(), metrics.clone(), None),
        archivist: None,
        locks: LockIndex::new(news.clone()),
        nodes: Nodes::new(options.runner_delivery),
        use_policy: UsePolicy::new(UsePolicyOption::Off),
        action_policies: ActionPolicies::new(&options.namespace).0,
        events: Events::new(client.clone(), "longshore"),
        traces: Traces::new(None).unwrap(),
        warnings: Warnings::default(),
        event_turns: turns(),
        outputs_keys: OutputsKeys::default(),
        memories: Memories::default(),
        metrics,
        fetch: Arc::new(FetchDefaults::new(&[], None, 1 << 20, 1)),
        options,
    })
}

/// The result of a look at this cached action, and what the look shared with others.
async fn looked(client: &Client, action: Arc<Cached>) -> (Result<Action, ReconcileError>, Arc<Context>) {
    let context = context(client, &Writer::default(), &action);
    (reconcile(action, Arc::clone(&context)).await, context)
}

/// The methods of the requests about the action.
fn calls(seen: &Mutex<Vec<Seen>>) -> Vec<String> {
    let seen = seen.lock().unwrap();
    let about = seen.iter().filter(|seen| seen.path.contains("/deploymentactions/"));
    about.map(|seen| seen.method.clone()).collect()
}

/// An action whose first run has succeeded, with outputs and a log, and whose pod is gone.
fn finished(change: impl FnOnce(&mut DeploymentAction)) -> DeploymentAction {
    let mut action = action();
    change(&mut action);
    let now = Timestamp::from_second(1_700_000_000).unwrap();
    let run = RunStatus {
        number: 1,
        id: "5f3c9a1b-1".into(),
        generation: 1,
        attempt: 1,
        spec_hash: spec_hash(&action.spec).unwrap(),
        bundle_sha256: Some("00".into()),
        deadlines: Some(Deadlines { pending_seconds: 600, run_seconds: 3600, grace_seconds: 30 }),
        pod_name: Some("deploy-5f3c9a1b-1-1".into()),
        pod_uid: Some("pod-1".into()),
        requested_at: Some(Time(now)),
        ..RunStatus::default()
    };
    let mut verdict = Verdict::of(Reason::Succeeded, "the script ended with exit code 0 after 1 s");
    verdict.outputs = [("url".to_owned(), "u".repeat(10_000))].into();
    let log = LogFact { state: LogState::Complete, tail: "t".repeat(10_000), ..LogFact::default() };
    let image = ImageStatus { resolved: "r/tools@sha256:11".into(), ..ImageStatus::default() };
    action.status = Some(terminal(&Requests::of(&action), now, &verdict, run, Some(image), Some(&log)));
    action
}

fn cached(action: &DeploymentAction) -> Arc<Cached> {
    Arc::new(Cached::from(action.clone()))
}

#[tokio::test]
async fn an_action_at_rest_costs_no_call_and_nothing_is_remembered_of_it() {
    let (client, seen) = server(|_| failure(500, "InternalError", "not to be asked"));
    for policy in [RunPolicy::OnChange, RunPolicy::Once, RunPolicy::Manual] {
        let action = cached(&finished(|action| action.spec.run_policy = policy));
        assert!(action.stand_in().is_some(), "{policy:?}");
        let (wait, context) = looked(&client, action).await;
        assert_eq!(wait.unwrap(), Action::await_change());
        assert!(context.memories.known(UID).is_none());
    }
    assert!(calls(&seen).is_empty(), "{:?}", calls(&seen));
}

#[tokio::test]
async fn what_was_remembered_while_it_ran_is_forgotten_once_the_cache_has_its_end() {
    let (client, _) = server(|_| failure(500, "InternalError", "not to be asked"));
    let action = finished(|_| {});
    let mut written = action.clone();
    written.metadata.resource_version = Some("11".into());
    let (action, written) = (cached(&action), cached(&written));
    let context = context(&client, &Writer::default(), &action);
    let memory = context.memories.of(UID);
    lock(&memory).writes.wrote(Arc::clone(&written), Timestamp::now());
    reconcile(action, Arc::clone(&context)).await.unwrap();
    assert!(context.memories.known(UID).is_some(), "the cache is behind");
    context.memories.shown(&written);
    assert!(lock(&memory).writes.are_shown());
    reconcile(written, Arc::clone(&context)).await.unwrap();
    assert!(context.memories.known(UID).is_none());
}

#[tokio::test]
async fn where_something_may_be_to_be_done_all_of_the_action_is_read_first() {
    // The pod of its run exists, is held and has ended. It is released.
    let action = finished(|action| action.spec.image = Some("registry.example.com/tools:1".into()));
    let live = to_value(&action).unwrap();
    let (client, seen) = server(move |request| match (request.method.as_str(), &request.path) {
        ("GET", path) if path.contains("/deploymentactions/") => (200, live.clone()),
        _ => failure(404, "NotFound", "none"),
    });
    let mut pods = Writer::default();
    let mut pod =
        crate::operator::testing::objects::pod(crate::operator::pod::attempt::Delivery::ImageVolume);
    pod.metadata.uid = Some("pod-1".into());
    pod.metadata.namespace = Some("shop".into());
    pod.status = Some(
        serde_json::from_value(json!({"phase": "Failed", "containerStatuses": [{
            "name": crate::api::CONTAINER, "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": {"exitCode": 0, "finishedAt": "2023-11-14T22:13:20Z"}},
        }]}))
        .unwrap(),
    );
    pods.apply_watcher_event(&Event::Apply(pod));
    let cached = cached(&action);
    assert!(cached.stand_in().is_some());
    let context = context(&client, &pods, &cached);
    let _ = reconcile(cached, context).await;
    assert_eq!(calls(&seen), ["GET"]);
    assert!(seen.lock().unwrap().iter().any(|seen| seen.path.contains("/pods/")), "something was done");
}

#[tokio::test]
async fn an_action_that_is_gone_or_another_one_by_now_is_left_to_the_cache() {
    for live in [
        failure(404, "NotFound", "none"),
        (200, {
            let mut another = action();
            another.metadata.uid = Some("another".into());
            to_value(another).unwrap()
        }),
    ] {
        let (client, seen) = server(move |_| live.clone());
        // If the cache cannot be read, the API server is asked.
        let bare = Arc::new(Cached::bare(&action().metadata));
        assert_eq!(looked(&client, bare).await.0.unwrap(), Action::await_change());
        assert_eq!(calls(&seen), ["GET"]);
    }
}

/// An action that waits for its lock and whose spec is refused. Its next write is its verdict.
fn refused() -> DeploymentAction {
    let mut action = action();
    action.spec.image = Some("no image".into());
    action.spec.lock = Some(Lock { name: "prod".into(), ..Lock::default() });
    action
}

/// Looks at [`refused`] with a server that answers writes of its status by `answer`. Returns how many writes
/// came, whether the last look succeeded, and whether another action's run no longer waits for it.
async fn written(
    answer: impl Fn(&Value) -> (u16, Value) + Send + Sync + Clone + 'static,
    looks: usize,
) -> (usize, bool, bool) {
    let (client, seen) = server(move |request| match request.method.as_str() {
        "PUT" => answer(&request.body),
        _ => failure(404, "NotFound", "none"),
    });
    let context = context(&client, &Writer::default(), &cached(&refused()));
    context.locks.take(&Event::<DeploymentAction>::Init);
    context.locks.take(&Event::InitApply(refused()));
    context.locks.take(&Event::<DeploymentAction>::InitDone);
    let mut stored = false;
    for _ in 0..looks {
        let action = cached(&refused());
        let result = reconcile(Arc::clone(&action), Arc::clone(&context)).await;
        if let Err(error) = &result {
            let _ = after_error(action, error, Arc::clone(&context));
        }
        stored = result.is_ok();
    }
    let mut other = action();
    other.metadata.name = Some("other".into());
    let ahead = context.locks.place(&other, "prod", "99").ahead;
    let writes = calls(&seen).iter().filter(|method| *method == "PUT").count();
    (writes, stored, ahead == 0)
}

#[tokio::test]
async fn an_action_whose_first_status_cannot_be_written_is_passed_over_by_those_that_wait_for_its_lock() {
    let too_large = || failure(500, "InternalError", "etcdserver: request is too large");
    let (writes, stored, passed) = Box::pin(written(move |_| too_large(), 1)).await;
    assert!((2..=4).contains(&writes) && !stored && passed, "{writes} {stored} {passed}");
    let busy = || failure(500, "InternalError", "etcdserver: leader changed");
    // A moment without an answer costs no run its place.
    assert_eq!(Box::pin(written(move |_| busy(), 2)).await, (2, false, false));
    assert_eq!(Box::pin(written(move |_| busy(), 6)).await, (6, false, true));
    let fits = |body: &Value| (200, body.clone());
    let (_, stored, passed) = Box::pin(written(fits, 1)).await;
    assert!(stored && passed, "its run has ended");
}

#[tokio::test]
async fn a_verdict_that_is_too_large_is_stored_without_what_came_with_it() {
    // Its log was being read, and is lost. The settled state of the log is written with the rest.
    let mut action = finished(|_| {});
    if let Some(log) = action.status.as_mut().and_then(|status| status.log.as_mut()) {
        log.state = LogState::Collecting;
    }
    let held = LockStatus {
        name: "prod".into(),
        acquired_at: Some(Time(Timestamp::UNIX_EPOCH)),
        ..LockStatus::default()
    };
    action.status.as_mut().unwrap().run.as_mut().unwrap().lock = Some(held);
    let (client, seen) =
        server(|request| match (request.method.as_str(), request.path.contains("/status")) {
            ("PUT", true) if request.body["status"].to_string().len() > 2500 => {
                failure(500, "InternalError", "etcdserver: request is too large")
            }
            ("PUT", true) => (200, request.body.clone()),
            _ => failure(404, "NotFound", "none"),
        });
    let (result, _) = looked(&client, cached(&action)).await;
    assert!(result.is_ok(), "{result:?}");
    let seen = seen.lock().unwrap();
    let last = seen.iter().rfind(|seen| seen.method == "PUT" && seen.path.contains("/status")).unwrap();
    let stored: DeploymentActionStatus = serde_json::from_value(last.body["status"].clone()).unwrap();
    assert!(stored.outputs.is_empty() && stored.conditions().is_true(crate::api::ConditionType::Finished));
    assert!(stored.run.unwrap().lock.unwrap().released_at.is_some(), "the lock was given back");
}
