//! The pods of an action as this process left them or read them. The cache may be behind it.

use k8s_openapi::{
    api::core::v1::{Event, Pod},
    jiff::Timestamp,
};

/// The process's own knowledge of the action's pods, ahead of the cache. Pods are boxed, because nearly all
/// actions have none here, and a pod without content takes some kilobytes.
#[derive(Debug, Default)]
pub(in crate::operator) struct OwnPods {
    /// The pod as its creation, or a look, returned it.
    created: Option<Box<Pod>>,
    /// The UID of the pod whose container's end was seen, and when that was first seen.
    end_seen: Option<(String, Timestamp)>,
    /// The pod that resolves the image, as its creation returned it.
    resolver: Option<Box<Pod>>,
    /// The UID of the resolving pod that we deleted last.
    resolver_deleted: Option<String>,
    /// The UID of the pod that we released last. It must not cost a second call.
    released: Option<String>,
    /// The pod's events, and when they were read.
    events: Option<(Timestamp, Vec<Event>)>,
}

impl OwnPods {
    /// Notes the pod as its creation, or a look, returned it.
    pub(in crate::operator) fn created(&mut self, pod: Option<Box<Pod>>) {
        self.created = pod;
    }

    /// The pod of this name as its creation, or a look, returned it.
    pub(in crate::operator) fn find(&self, name: &str) -> Option<&Pod> {
        self.created.as_deref().filter(|pod| pod.metadata.name.as_deref() == Some(name))
    }

    /// Forgets the pod as we created it if `shown` says that the cache has shown it.
    pub(in crate::operator) fn forget_if(&mut self, shown: impl FnOnce(&Pod) -> bool) {
        if self.created.as_deref().is_some_and(shown) {
            self.created = None;
        }
    }

    /// Notes that we released the pod with this UID.
    pub(in crate::operator) fn released(&mut self, uid: String) {
        (self.created, self.events) = (None, None);
        self.released = Some(uid);
    }

    /// Whether we released the pod with this UID.
    pub(in crate::operator) fn has_released(&self, uid: &str) -> bool {
        self.released.as_deref() == Some(uid)
    }

    /// When the end of the container of the pod with this UID was first seen: now, if it was not seen before.
    pub(in crate::operator) fn end_seen(&mut self, uid: &str, now: Timestamp) -> Timestamp {
        match &self.end_seen {
            Some((of, seen)) if of == uid => *seen,
            _ => {
                self.end_seen = Some((uid.to_owned(), now));
                now
            }
        }
    }

    /// Notes the pod that resolves the image.
    pub(in crate::operator) fn resolver_created(&mut self, pod: Box<Pod>) {
        self.resolver = Some(pod);
    }

    /// The resolving pod of this name, as its creation returned it.
    pub(in crate::operator) fn find_resolver(&self, name: &str) -> Option<&Pod> {
        self.resolver.as_deref().filter(|pod| pod.metadata.name.as_deref() == Some(name))
    }

    /// Notes that we deleted the resolving pod with this UID.
    pub(in crate::operator) fn resolver_deleted(&mut self, uid: String) {
        self.resolver = None;
        self.resolver_deleted = Some(uid);
    }

    /// Whether we deleted the resolving pod with this UID.
    pub(in crate::operator) fn has_deleted_resolver(&self, uid: Option<&str>) -> bool {
        uid.is_some() && self.resolver_deleted.as_deref() == uid
    }

    /// Notes the pod's events. If they could not be read, the known ones stay, and count as read now.
    pub(in crate::operator) fn events_read(&mut self, now: Timestamp, events: Option<Vec<Event>>) {
        let known = || self.events.take().map(|(_, events)| events).unwrap_or_default();
        self.events = Some((now, events.unwrap_or_else(known)));
    }

    /// When the pod's events were last read.
    pub(in crate::operator) fn when_events_read(&self) -> Option<Timestamp> {
        self.events.as_ref().map(|(at, _)| *at)
    }

    /// The pod's events that were read.
    pub(in crate::operator) fn events(&self) -> &[Event] {
        self.events.as_ref().map_or(&[], |(_, events)| events)
    }

    /// Another attempt begins, with another pod.
    pub(super) fn attempt_begins(&mut self) {
        (self.created, self.events) = (None, None);
    }
}
