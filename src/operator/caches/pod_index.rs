//! The pods of each action. The cache of pods can only be searched whole, and there are as many looks as
//! pods.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use k8s_openapi::api::core::v1::Pod;
use kube::{
    ResourceExt,
    runtime::{reflector::ObjectRef, watcher::Event},
};

use crate::api::LABEL_ACTION;

/// Names of pods, by the namespace and name of the action in their label.
type Names = HashMap<(String, String), HashSet<ObjectRef<Pod>>>;

/// The names of pods by their action's name, as the watch has shown them. Pods of an earlier action with the
/// same name are among them, and are wanted too. A pod named here is in the cache, or gone.
#[derive(Debug, Clone, Default)]
pub(crate) struct PodIndex(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    known: Names,
    /// The names of a list that is under way. They replace the known ones.
    listing: Names,
    /// Pods that this process created and the watch has not shown yet, by their UID.
    created: HashMap<String, Arc<Pod>>,
}

impl PodIndex {
    /// Takes an event of the watch. Call it after the cache has taken the event.
    pub(crate) fn take(&self, event: &Event<Pod>) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let State { known, listing, created } = &mut *state;
        if let Event::InitApply(pod) | Event::Apply(pod) | Event::Delete(pod) = event
            && let Some(uid) = &pod.metadata.uid
        {
            created.remove(uid);
        }
        match event {
            Event::Init => listing.clear(),
            Event::InitApply(pod) => add(listing, pod),
            Event::InitDone => *known = std::mem::take(listing),
            Event::Apply(pod) => add(known, pod),
            Event::Delete(pod) => remove(known, pod),
        }
    }

    /// Notes that this process created the pod. The watch may be broken, and then shows it late.
    pub(crate) fn created(&self, pod: &Pod) {
        if let Some(uid) = pod.uid() {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            state.created.insert(uid, Arc::new(pod.clone()));
        }
    }

    /// Notes that the pod with this UID is gone, although the watch has never shown it.
    pub(crate) fn gone(&self, uid: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).created.remove(uid);
    }

    /// The pods that this process created for the actions that have or had this name, and that the watch has
    /// not shown.
    #[must_use]
    pub(crate) fn unshown(&self, namespace: &str, name: &str) -> Vec<Arc<Pod>> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of =
            |pod: &Pod| action(pod).is_some_and(|(in_namespace, of)| in_namespace == namespace && of == name);
        state.created.values().filter(|pod| of(pod)).cloned().collect()
    }

    /// The names of the pods of the actions that have or had this name, in no order.
    #[must_use]
    pub(crate) fn of(&self, namespace: &str, action: &str) -> Vec<ObjectRef<Pod>> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (namespace.to_owned(), action.to_owned());
        state.known.get(&key).into_iter().flatten().cloned().collect()
    }
}

/// The action of a pod, by its label.
fn action(pod: &Pod) -> Option<(String, String)> {
    Some((pod.namespace().unwrap_or_default(), pod.labels().get(LABEL_ACTION)?.clone()))
}

fn add(names: &mut Names, pod: &Pod) {
    if let Some(action) = action(pod) {
        names.entry(action).or_default().insert(ObjectRef::from_obj(pod));
    }
}

fn remove(names: &mut Names, pod: &Pod) {
    let Some(action) = action(pod) else { return };
    let Some(of_action) = names.get_mut(&action) else { return };
    of_action.remove(&ObjectRef::from_obj(pod));
    if of_action.is_empty() {
        names.remove(&action);
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

    use super::*;

    fn pod(name: &str, action: &str) -> Pod {
        let metadata = ObjectMeta {
            name: Some(name.into()),
            namespace: Some("shop".into()),
            labels: Some([(LABEL_ACTION.to_owned(), action.to_owned())].into()),
            ..ObjectMeta::default()
        };
        Pod { metadata, ..Pod::default() }
    }

    fn names(index: &PodIndex, action: &str) -> Vec<String> {
        let mut names: Vec<String> = index.of("shop", action).into_iter().map(|pod| pod.name).collect();
        names.sort();
        names
    }

    #[test]
    fn pods_are_found_by_their_action_until_they_are_gone() {
        let index = PodIndex::default();
        for event in [
            Event::Init,
            Event::InitApply(pod("a-1", "a")),
            Event::InitDone,
            Event::Apply(pod("a-2", "a")),
            Event::Apply(pod("a-2", "a")),
            Event::Apply(pod("b-1", "b")),
        ] {
            index.take(&event);
        }
        assert_eq!(
            (names(&index, "a"), names(&index, "b")),
            (vec!["a-1".into(), "a-2".into()], vec!["b-1".into()])
        );
        index.take(&Event::Delete(pod("a-1", "a")));
        index.take(&Event::Delete(pod("b-1", "b")));
        assert_eq!(names(&index, "a"), ["a-2"]);
        assert!(names(&index, "b").is_empty());
        assert_eq!(index.0.lock().unwrap().known.len(), 1, "kept for nothing");
    }

    #[test]
    fn a_pod_that_was_created_is_known_until_the_watch_shows_it_or_it_is_gone() {
        let index = PodIndex::default();
        let named = |name: &str| {
            let mut pod = pod(name, "a");
            pod.metadata.uid = Some(format!("uid-of-{name}"));
            pod
        };
        for event in [Event::InitApply(named("a-1")), Event::Apply(named("a-1")), Event::Delete(named("a-1"))]
        {
            index.created(&named("a-1"));
            index.take(&Event::Init);
            assert_eq!(index.unshown("shop", "a").len(), 1);
            assert!(index.unshown("shop", "b").is_empty() && index.unshown("other", "a").is_empty());
            index.take(&event);
            assert!(index.unshown("shop", "a").is_empty(), "{event:?}");
        }
        index.created(&named("a-2"));
        index.take(&Event::InitDone);
        assert_eq!(index.unshown("shop", "a").len(), 1, "the list may be older");
        index.gone("uid-of-a-2");
        assert!(index.unshown("shop", "a").is_empty());
    }

    #[test]
    fn a_list_replaces_what_is_known_once_it_is_whole() {
        let index = PodIndex::default();
        for event in [Event::Init, Event::InitApply(pod("a-1", "a")), Event::InitDone, Event::Init] {
            index.take(&event);
        }
        index.take(&Event::InitApply(pod("b-1", "b")));
        assert_eq!(names(&index, "a"), ["a-1"]);
        index.take(&Event::InitDone);
        assert!(names(&index, "a").is_empty());
        assert_eq!(names(&index, "b"), ["b-1"]);
    }
}
