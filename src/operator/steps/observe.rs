//! The step that gathers what is known about pods: from the caches, and from the API server if a cache is not
//! enough.

use std::sync::Arc;

use k8s_openapi::{
    api::core::v1::{Event, Pod},
    jiff::{SignedDuration, Timestamp},
};
use kube::{
    Api, Client, ResourceExt,
    api::ListParams,
    runtime::reflector::{ObjectRef, Store},
};

use crate::{
    api::{CONTAINER, DeploymentAction, LABEL_ACTION, LABEL_ACTION_UID, status::RunStatus},
    operator::{
        caches::{memory::Memory, pod_index::PodIndex, warnings::Warnings},
        call::{CallError, call},
        lifecycle::{
            cause::cause,
            facts::{PodFact, Resolver},
            verdict::is_explained,
        },
        pod::{
            mutation::mutation,
            names::{may_be_a_name, resolver_name},
            view::PodView,
        },
    },
};

/// How long a pod has waited before its events are read. They say why it does not start.
const EVENTS_AFTER: SignedDuration = SignedDuration::from_secs(2);
/// How often events are read for a pod that waited before the watch of warnings began. A kubelet repeats most
/// of them.
const EVENTS_EVERY: SignedDuration = SignedDuration::from_mins(2);
/// How soon the events of a pod are read again after its script was asked to stop.
const AGAIN: SignedDuration = SignedDuration::from_secs(1);
/// The most events of a pod that are read.
const EVENTS: u32 = 50;

/// The pod of the latest run, from the cache. If the cache does not have it, the pod as we created it.
#[must_use]
pub(crate) fn pod(pods: &Store<Pod>, action: &DeploymentAction, memory: &Memory) -> PodFact {
    let status = action.status.as_ref();
    let Some(name) = status.and_then(|status| status.run.as_ref()?.pod_name.as_deref()) else {
        return PodFact::NotSeen;
    };
    let namespace = action.metadata.namespace.as_deref().unwrap_or_default();
    let cached = pods.get(&ObjectRef::new(name).within(namespace));
    let created = memory.pods.find(name);
    let mut fact = match (cached, created) {
        (Some(pod), _) => present(&pod, action),
        (None, Some(pod)) => present(pod, action),
        (None, None) => PodFact::NotSeen,
    };
    if let PodFact::Present(pod) = &mut fact {
        pod.finalizer &= !memory.pods.has_released(&pod.uid);
    }
    fact
}

/// Forgets the pod as we created it once the cache has shown it. From then on the cache is newer, even if it
/// shows that the pod is gone.
pub(crate) fn forget_created(pods: &Store<Pod>, memory: &mut Memory) {
    let shown = |created: &Pod| {
        let cached = pods.get(&ObjectRef::from_obj(created));
        cached.is_some_and(|cached| cached.metadata.uid == created.metadata.uid)
    };
    memory.pods.forget_if(shown);
}

/// The pod that resolves the image of the latest run, from the cache, or else as we created it.
#[must_use]
pub(crate) fn resolver(pods: &Store<Pod>, action: &DeploymentAction, memory: &Memory) -> Option<Resolver> {
    let run = action.status.as_ref()?.run.as_ref()?.number;
    let uid = action.metadata.uid.as_deref().unwrap_or_default();
    let name = resolver_name(&action.name_any(), uid, run);
    let namespace = action.metadata.namespace.as_deref().unwrap_or_default();
    let cached = pods.get(&ObjectRef::new(&name).within(namespace));
    let pod = cached.as_deref().or_else(|| memory.pods.find_resolver(&name))?;
    let deleted = memory.pods.has_deleted_resolver(pod.metadata.uid.as_deref());
    let view = PodView::of(pod);
    let container = pod.spec.as_ref()?.containers.iter().find(|container| container.name == CONTAINER);
    Some(Resolver {
        pod: PodView { deleting: view.deleting || deleted, ..view },
        image: container.and_then(|container| container.image.clone()).unwrap_or_default(),
    })
}

/// Pods of earlier runs and attempts, if the action is at rest or being deleted. If the status has no run,
/// all pods of the action.
#[must_use]
pub(crate) fn older(pods: &Store<Pod>, index: &PodIndex, action: &DeploymentAction) -> Vec<PodView> {
    let run = action.status.as_ref().and_then(|status| status.run.as_ref());
    let before = match run {
        None => (u32::MAX, u32::MAX),
        Some(run) if (run.number, run.attempt) == (1, 1) => return Vec::new(),
        Some(run) if run.finished_at.is_some() || action.metadata.deletion_timestamp.is_some() => {
            (run.number, run.attempt)
        }
        Some(_) => return Vec::new(),
    };
    let uid = action.metadata.uid.as_ref();
    of_name(pods, index, action)
        .filter(|pod| pod.labels().get(LABEL_ACTION_UID) == uid)
        .map(|pod| PodView::of(&pod))
        .filter(|pod| pod.attempt.is_some_and(|attempt| attempt < before))
        .collect()
}

/// All pods of the action's runs, from the API server.
///
/// # Errors
/// The API server's.
pub(crate) async fn all_pods(client: &Client, action: &DeploymentAction) -> Result<Vec<PodView>, CallError> {
    let uid = action.metadata.uid.as_deref().unwrap_or_default();
    let namespace = action.metadata.namespace.as_deref().unwrap_or_default();
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let of_action = ListParams::default().labels(&format!("{LABEL_ACTION_UID}={uid}"));
    let pods = call(pods.list(&of_action)).await?.items;
    Ok(pods.iter().map(PodView::of).filter(|pod| pod.attempt.is_some()).collect())
}

/// Whether pods of an earlier action with the same name matter: not if the run has a pod of its own, or the
/// action is being deleted.
#[must_use]
pub(crate) fn waits_for_previous(action: &DeploymentAction) -> bool {
    let run = action.status.as_ref().and_then(|status| status.run.as_ref());
    run.is_none_or(|run| run.pod_uid.is_none()) && action.metadata.deletion_timestamp.is_none()
}

/// Whether this is a pod of an earlier action with the same name.
#[must_use]
pub(crate) fn is_of_another(pod: &Pod, action: &DeploymentAction) -> bool {
    let (name, uid) = (action.metadata.name.as_ref(), action.metadata.uid.as_ref());
    pod.labels().get(LABEL_ACTION) == name && pod.labels().get(LABEL_ACTION_UID) != uid
}

/// Pods of an earlier action with the same name, if they matter.
/// [`Nodes::tell`](crate::operator::caches::nodes::Nodes::tell) says later which of them may still run.
#[must_use]
pub(crate) fn previous(pods: &Store<Pod>, index: &PodIndex, action: &DeploymentAction) -> Vec<PodView> {
    if !waits_for_previous(action) {
        return Vec::new();
    }
    of_name(pods, index, action)
        .filter(|pod| is_of_another(pod, action))
        .map(|pod| PodView::of(&pod))
        .filter(|pod| pod.attempt.is_some())
        .collect()
}

/// This very pod from the API server, if it is there.
///
/// # Errors
/// The API server's.
pub(crate) async fn live(client: &Client, pod: &Pod) -> Result<Option<Pod>, CallError> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), pod.namespace().as_deref().unwrap_or_default());
    let live = call(pods.get_opt(&pod.name_any())).await?;
    Ok(live.filter(|live| live.metadata.uid == pod.metadata.uid))
}

/// Pods of this and earlier actions of this name.
fn of_name(pods: &Store<Pod>, index: &PodIndex, action: &DeploymentAction) -> impl Iterator<Item = Arc<Pod>> {
    let metadata = &action.metadata;
    let namespace = metadata.namespace.as_deref().unwrap_or_default();
    index
        .of(namespace, metadata.name.as_deref().unwrap_or_default())
        .into_iter()
        .filter_map(|name| pods.get(&name))
}

/// The pod of the latest run, from the API server.
///
/// # Errors
/// The API server's.
pub(crate) async fn look(
    client: &Client,
    action: &DeploymentAction,
) -> Result<(PodFact, Option<Pod>), CallError> {
    let status = action.status.as_ref();
    let Some(name) = status.and_then(|status| status.run.as_ref()?.pod_name.as_deref()) else {
        return Ok((PodFact::Absent, None));
    };
    // Somebody else wrote this status. No pod has such a name, and it must not become part of a path.
    if !may_be_a_name(name) {
        return Ok((PodFact::Absent, None));
    }
    let namespace = action.metadata.namespace.as_deref().unwrap_or_default();
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    Ok(match call(pods.get_opt(name)).await? {
        Some(pod) => (present(&pod, action), Some(pod)),
        None => (PodFact::Absent, None),
    })
}

/// The pod as `decide` sees it.
#[must_use]
pub(crate) fn present(pod: &Pod, action: &DeploymentAction) -> PodFact {
    let status = action.status.as_ref();
    let image = status.and_then(|status| status.image.as_ref()).map_or("", |image| image.resolved.as_str());
    let packages = status.map_or(&[][..], |status| &status.packages);
    let mutation = mutation(pod, image, packages);
    PodFact::Present(Box::new(PodView { mutation, ..PodView::of(pod) }))
}

/// The reason to read the events of a pod now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EventsFor {
    /// To say why it does not start. The warning may be older than the watch of warnings.
    Waiting,
    /// To learn why it did not start, before it is given up without a known cause.
    GivenUp,
    /// To find out what stopped its script, before the verdict is given.
    Stopped,
}

/// Whether the events of this pod must be read now, and for what. The watch of warnings brings nearly all of
/// them, and a list costs the API server more. `stopped` says whether the script was asked to stop from
/// outside. It is called last, because it looks into a log that is being read.
#[must_use]
pub(crate) fn needs_events(
    action: &DeploymentAction,
    pod: &PodFact,
    warnings: &Warnings,
    stopped: impl FnOnce(&PodView) -> bool,
    memory: &Memory,
    now: Timestamp,
) -> Option<EventsFor> {
    let view = pod.view()?;
    let status = action.status.as_ref()?;
    if status.run.as_ref().is_none_or(|run| run.finished_at.is_some()) {
        return None;
    }
    let since = status.run.as_ref().and_then(RunStatus::taken_up);
    let waits = !view.started && !view.deleting && !view.tombstone && view.waiting.is_none();
    let age = since.map_or(SignedDuration::ZERO, |since| now.duration_since(since.0));
    let read = memory.pods.when_events_read().map(|at| now.duration_since(at));
    let deadlines = status.run.as_ref().and_then(|run| run.deadlines);
    let pending = deadlines.unwrap_or_else(|| action.spec.deadlines()).pending_seconds;
    let over = age.saturating_sub(SignedDuration::from_secs(pending));
    if waits && !over.is_negative() && read.is_none_or(|ago| ago > over) {
        let known = cause(view, &events_of(&view.uid, memory, warnings)).is_some();
        return (!known).then_some(EventsFor::GivenUp);
    }
    let rested = read.is_none_or(|ago| ago >= EVENTS_EVERY);
    if waits && age >= EVENTS_AFTER && rested && warnings.may_lack(&view.uid) {
        return Some(EventsFor::Waiting);
    }
    // They are read again after a moment: the script may be quicker than the event.
    let again = read.is_none_or(|ago| ago >= AGAIN);
    (again && !is_explained(view) && stopped(view)).then_some(EventsFor::Stopped)
}

/// All known events of the pod: those that were read, and those of the watch of warnings.
#[must_use]
pub(crate) fn events_of(pod_uid: &str, memory: &Memory, warnings: &Warnings) -> Vec<Event> {
    let read = memory.pods.events().iter().cloned();
    read.chain(warnings.of(pod_uid)).collect()
}

/// The pod's events.
///
/// # Errors
/// The API server's.
pub(crate) async fn events(client: &Client, namespace: &str, pod_uid: &str) -> Result<Vec<Event>, CallError> {
    let events: Api<Event> = Api::namespaced(client.clone(), namespace);
    let of = ListParams::default().fields(&format!("involvedObject.uid={pod_uid}")).limit(EVENTS);
    Ok(call(events.list(&of)).await?.items)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::{LABEL_ATTEMPT, LABEL_RUN, status::Deadlines},
        operator::testing::{
            objects::action,
            server::{failure, server},
        },
    };

    #[test]
    fn pods_of_earlier_runs_are_those_of_this_action_alone() {
        let (store, mut writer) = kube::runtime::reflector::store();
        let index = PodIndex::default();
        let mut add = |name: &str, uid: &str, run: &str| {
            let labels = [
                (LABEL_ACTION.to_owned(), action().metadata.name.unwrap()),
                (LABEL_ACTION_UID.to_owned(), uid.to_owned()),
                (LABEL_RUN.to_owned(), run.to_owned()),
                (LABEL_ATTEMPT.to_owned(), "1".to_owned()),
            ];
            let mut pod = Pod::default();
            pod.metadata.name = Some(name.into());
            pod.metadata.namespace = action().metadata.namespace;
            pod.metadata.labels = Some(labels.into());
            let event = kube::runtime::watcher::Event::Apply(pod);
            writer.apply_watcher_event(&event);
            index.take(&event);
        };
        let uid = action().metadata.uid.unwrap();
        add("first", &uid, "1");
        add("second", &uid, "2");
        add("latest", &uid, "3");
        add("stranger", "another", "1");
        // Somebody changed its label since.
        add("lost", &uid, "1");
        add("lost", "another", "1");
        let older = |finished: bool| {
            let mut action = action();
            let finished_at =
                finished.then(|| k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(Timestamp::now()));
            let run = RunStatus { number: 3, finished_at, ..RunStatus::default() };
            action.status.get_or_insert_default().run = Some(run);
            let mut names: Vec<String> =
                super::older(&store, &index, &action).into_iter().map(|pod| pod.name).collect();
            names.sort();
            names
        };
        assert_eq!(older(true), ["first", "second"]);
        assert!(older(false).is_empty(), "a run is under way");
    }

    #[test]
    fn a_pod_that_the_cache_has_shown_and_shows_no_more_is_gone() {
        let (store, mut writer) = kube::runtime::reflector::store();
        let mut pod = Pod::default();
        pod.metadata.name = Some("deploy-1".into());
        pod.metadata.namespace = action().metadata.namespace;
        pod.metadata.uid = Some("pod-1".into());
        let mut action = action();
        let run = RunStatus { pod_name: pod.metadata.name.clone(), ..RunStatus::default() };
        action.status.get_or_insert_default().run = Some(run);
        let mut memory = Memory::default();
        memory.pods.created(Some(Box::new(pod.clone())));
        let mut seen = || {
            forget_created(&store, &mut memory);
            super::pod(&store, &action, &memory).view().map(|pod| pod.uid.clone())
        };
        assert_eq!(seen().as_deref(), Some("pod-1"), "the cache is behind");
        writer.apply_watcher_event(&kube::runtime::watcher::Event::Apply(pod.clone()));
        assert_eq!(seen().as_deref(), Some("pod-1"));
        writer.apply_watcher_event(&kube::runtime::watcher::Event::Delete(pod));
        assert_eq!(seen(), None, "a creation of long ago is no news");
    }

    #[test]
    fn events_are_read_of_a_pod_that_waited_before_they_were_watched_and_of_any_before_it_is_given_up() {
        let requested = Timestamp::from_second(1_000_000).unwrap();
        let mut action = action();
        let time = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(requested);
        let deadlines = Deadlines { pending_seconds: 600, ..action.spec.deadlines() };
        let run = RunStatus { requested_at: Some(time), deadlines: Some(deadlines), ..RunStatus::default() };
        action.status.get_or_insert_default().run = Some(run);
        let after = |seconds: i64| requested + SignedDuration::from_secs(seconds);
        let needs = |warnings: &Warnings, pod: &PodView, read: Option<i64>, now: i64, stopped: bool| {
            let mut memory = Memory::default();
            if let Some(read) = read {
                memory.pods.events_read(after(read), None);
            }
            let pod = PodFact::Present(Box::new(pod.clone()));
            needs_events(&action, &pod, warnings, |_| stopped, &memory, after(now))
        };
        let waiting = PodView { uid: "pod-1".into(), ..PodView::default() };
        let (watched, lacking, told) = (Warnings::default(), Warnings::default(), Warnings::default());
        lacking.begins(["pod-1".to_owned()].into());
        let words = |text: &str| Some(text.to_owned());
        let event =
            Event { reason: words("FailedMount"), message: words("secret \"db\""), ..Event::default() };
        assert!(told.take("pod-1", event));
        let (seldom, last) = (Some(EventsFor::Waiting), Some(EventsFor::GivenUp));
        for (warnings, read, now, wanted) in [
            (&watched, None, 100, None),
            (&lacking, None, 1, None),
            (&lacking, None, 2, seldom),
            (&lacking, Some(2), 100, None),
            (&lacking, Some(2), 122, seldom),
            (&watched, None, 599, None),
            (&watched, None, 600, last),
            (&lacking, Some(599), 600, last),
            (&watched, Some(600), 601, None),
            (&told, None, 600, None),
        ] {
            let needed = needs(warnings, &waiting, read, now, false);
            assert_eq!(needed, wanted, "read at {read:?}, looked at {now}");
        }
        let started = PodView { started: true, ..waiting };
        assert_eq!(needs(&lacking, &started, None, 600, false), None);
        assert_eq!(needs(&lacking, &started, Some(600), 601, true), Some(EventsFor::Stopped));
    }

    #[tokio::test]
    async fn a_name_that_no_pod_can_have_is_never_asked_for() {
        for (name, asked) in [
            ("deploy-1-1", 1),
            ("", 0),
            (".", 0),
            ("..", 0),
            ("../secrets/a", 0),
            ("a/log", 0),
            ("a?b", 0),
            ("%2e", 0),
        ] {
            let (client, seen) = server(|_| failure(404, "NotFound", "none"));
            let mut action = action();
            let run = RunStatus { pod_name: Some(name.into()), ..RunStatus::default() };
            action.status.get_or_insert_default().run = Some(run);
            let (fact, _) = look(&client, &action).await.unwrap();
            assert_eq!((fact, seen.lock().unwrap().len()), (PodFact::Absent, asked), "{name:?}");
        }
    }
}
