//! Watches of all namespaces, or of some. The watches of several namespaces become one stream in the form of
//! a single watch, so that a cache can be filled from it.

use std::{collections::HashMap, hash::Hash};

use futures::{StreamExt, stream, stream::BoxStream};
use kube::{
    Api, Client, Resource, ResourceExt,
    core::NamespaceResourceScope,
    runtime::{
        reflector::ObjectRef,
        watcher::{self, Event},
    },
};
use serde::de::DeserializeOwned;

use crate::lasting_watch::{Watched, lasting_watch};

/// One watch of all namespaces if none is named, else one for each. Each goes on forever.
#[must_use]
pub(crate) fn watches<K>(
    client: &Client,
    namespaces: &[String],
    config: &watcher::Config,
) -> Vec<BoxStream<'static, Watched<K>>>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug
        + Send
        + 'static,
{
    let watch = |api| lasting_watch(api, config.clone());
    if namespaces.is_empty() {
        return vec![watch(Api::all(client.clone()))];
    }
    namespaces.iter().map(|namespace| watch(Api::namespaced(client.clone(), namespace))).collect()
}

/// Merges all of them into one. A single watch costs nothing extra.
#[must_use]
pub(crate) fn merge<K>(mut watches: Vec<BoxStream<'static, Watched<K>>>) -> BoxStream<'static, Watched<K>>
where
    K: Resource<DynamicType = ()> + Clone + Default + Send + 'static,
{
    if watches.len() == 1
        && let Some(only) = watches.pop()
    {
        return only;
    }
    let mut merger = Merger::new(watches.len());
    let tagged = watches.into_iter().enumerate().map(|(part, watch)| watch.map(move |event| (part, event)));
    stream::select_all(tagged).flat_map(move |(part, event)| stream::iter(merger.take(part, event))).boxed()
}

/// The objects that one watch has shown.
struct Part<K: Resource<DynamicType = ()>> {
    /// Its objects, with only their metadata.
    known: HashMap<ObjectRef<K>, K>,
    /// The objects of a list that is under way.
    listing: Option<HashMap<ObjectRef<K>, K>>,
    /// Whether one list is complete.
    listed: bool,
}

/// Merges the events of several streams. The first lists become one list. An object that a later list no
/// longer shows is reported as deleted.
struct Merger<K: Resource<DynamicType = ()>> {
    parts: Vec<Part<K>>,
    begun: bool,
    /// Objects deleted while the first lists were under way. A list cannot say that.
    deleted: HashMap<ObjectRef<K>, K>,
}

impl<K> Merger<K>
where
    K: Resource<DynamicType = ()> + Clone + Default,
    ObjectRef<K>: Hash + Eq,
{
    fn new(parts: usize) -> Self {
        let part = |_| Part { known: HashMap::new(), listing: None, listed: false };
        Self { parts: (0..parts).map(part).collect(), begun: false, deleted: HashMap::new() }
    }

    /// Whether some first list is not complete yet.
    fn filling(&self) -> bool {
        !self.parts.iter().all(|part| part.listed)
    }

    fn take(&mut self, index: usize, event: Watched<K>) -> Vec<Watched<K>> {
        let filling = self.filling();
        let applied = |object| if filling { Event::InitApply(object) } else { Event::Apply(object) };
        let Some(part) = self.parts.get_mut(index) else { return Vec::new() };
        match event {
            Err(error) => vec![Err(error)],
            Ok(Event::Init) => {
                part.listing = Some(HashMap::new());
                let first = !std::mem::replace(&mut self.begun, true);
                if first { vec![Ok(Event::Init)] } else { Vec::new() }
            }
            Ok(Event::InitApply(object)) => {
                let (name, bare) = bare(&object);
                self.deleted.remove(&name);
                part.listing.get_or_insert_default().insert(name, bare);
                vec![Ok(applied(object))]
            }
            Ok(Event::Apply(object)) => {
                let (name, bare) = bare(&object);
                self.deleted.remove(&name);
                part.known.insert(name, bare);
                vec![Ok(applied(object))]
            }
            Ok(Event::Delete(object)) => {
                let (name, bare) = bare(&object);
                part.known.remove(&name);
                if filling {
                    self.deleted.insert(name, bare);
                    return Vec::new();
                }
                vec![Ok(Event::Delete(object))]
            }
            Ok(Event::InitDone) => {
                let listing = part.listing.take().unwrap_or_default();
                let before = std::mem::replace(&mut part.known, listing);
                part.listed = true;
                let gone = before.into_iter().filter(|(name, _)| !part.known.contains_key(name));
                self.deleted.extend(gone);
                if self.filling() {
                    return Vec::new();
                }
                let done = filling.then_some(Ok(Event::InitDone));
                let gone = self.deleted.drain().map(|(_, object)| Ok(Event::Delete(object)));
                done.into_iter().chain(gone).collect()
            }
        }
    }
}

/// An object's name, and the object with only its metadata.
fn bare<K: Resource<DynamicType = ()> + Default>(object: &K) -> (ObjectRef<K>, K) {
    let mut bare = K::default();
    *bare.meta_mut() = object.meta().clone();
    bare.managed_fields_mut().clear();
    (ObjectRef::from_obj(object), bare)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::ObjectMeta};

    use super::*;

    fn pod(namespace: &str, name: &str) -> Pod {
        let metadata = ObjectMeta {
            name: Some(name.into()),
            namespace: Some(namespace.into()),
            ..ObjectMeta::default()
        };
        Pod { metadata, ..Pod::default() }
    }

    /// The resulting events, as text.
    fn told(merger: &mut Merger<Pod>, part: usize, events: Vec<Event<Pod>>) -> Vec<String> {
        let of = |pod: &Pod| format!("{}/{}", pod.namespace().unwrap(), pod.name_any());
        let words = |event: Watched<Pod>| match event.unwrap() {
            Event::Init => "init".to_owned(),
            Event::InitApply(pod) => format!("list {}", of(&pod)),
            Event::InitDone => "done".to_owned(),
            Event::Apply(pod) => format!("apply {}", of(&pod)),
            Event::Delete(pod) => format!("delete {}", of(&pod)),
        };
        events.into_iter().flat_map(|event| merger.take(part, Ok(event))).map(words).collect()
    }

    #[test]
    fn the_first_lists_are_one() {
        let mut all = Merger::new(2);
        let first = vec![Event::Init, Event::InitApply(pod("a", "1")), Event::InitDone];
        assert_eq!(told(&mut all, 0, first), ["init", "list a/1"]);
        // A namespace that is listed goes on while another one is not.
        assert_eq!(told(&mut all, 0, vec![Event::Apply(pod("a", "2"))]), ["list a/2"]);
        assert!(told(&mut all, 0, vec![Event::Delete(pod("a", "1"))]).is_empty());
        let second = vec![Event::Init, Event::InitApply(pod("b", "1")), Event::InitDone];
        assert_eq!(told(&mut all, 1, second), ["list b/1", "done", "delete a/1"]);
        assert_eq!(told(&mut all, 1, vec![Event::Apply(pod("b", "2"))]), ["apply b/2"]);
        assert_eq!(told(&mut all, 0, vec![Event::Delete(pod("a", "2"))]), ["delete a/2"]);
    }

    #[test]
    fn what_a_later_list_does_not_show_is_gone_and_no_other_namespace_s() {
        let mut all = Merger::new(2);
        told(
            &mut all,
            0,
            vec![
                Event::Init,
                Event::InitApply(pod("a", "1")),
                Event::InitApply(pod("a", "2")),
                Event::InitDone,
            ],
        );
        told(&mut all, 1, vec![Event::Init, Event::InitApply(pod("b", "1")), Event::InitDone]);
        let again = vec![
            Event::Init,
            Event::InitApply(pod("a", "2")),
            Event::InitApply(pod("a", "3")),
            Event::InitDone,
        ];
        assert_eq!(told(&mut all, 0, again), ["apply a/2", "apply a/3", "delete a/1"]);
    }

    #[test]
    fn what_is_deleted_and_made_again_while_lists_are_under_way_is_there() {
        let mut all = Merger::new(2);
        told(&mut all, 0, vec![Event::Init, Event::InitApply(pod("a", "1")), Event::InitDone]);
        told(&mut all, 0, vec![Event::Delete(pod("a", "1")), Event::Apply(pod("a", "1"))]);
        assert_eq!(told(&mut all, 1, vec![Event::Init, Event::InitDone]), ["done"]);
    }
}
