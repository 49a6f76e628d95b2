//! This process's own writes of an action's status and of its lock's Lease.

use std::sync::Arc;

use k8s_openapi::{
    api::coordination::v1::Lease,
    jiff::{SignedDuration, Timestamp},
};

use crate::operator::caches::cached::Cached;

/// The last write of an action's status, which the cache may not have yet.
#[derive(Debug, Default)]
pub(in crate::operator) struct OwnWrites {
    /// The action as the write returned it, until the cache has caught up. A second copy of each action would
    /// be most of what the process holds.
    written: Option<Arc<Cached>>,
    at: Option<Timestamp>,
}

impl OwnWrites {
    /// Notes what a write returned.
    pub(in crate::operator) fn wrote(&mut self, action: Arc<Cached>, now: Timestamp) {
        self.written = Some(action);
        self.at = Some(now);
    }

    /// Notes that somebody else has changed the action since.
    pub(in crate::operator) fn overtaken(&mut self) {
        self.written = None;
    }

    /// The newer one of the cached action and the one that we wrote.
    pub(in crate::operator) fn newest(&mut self, cached: &Arc<Cached>) -> Arc<Cached> {
        self.shown(cached);
        self.written.as_ref().map_or_else(|| Arc::clone(cached), Arc::clone)
    }

    /// Notes what the cache has of the action.
    pub(super) fn shown(&mut self, cached: &Cached) {
        if self.written.as_ref().is_some_and(|written| !written.is_newer_than(cached)) {
            self.written = None;
        }
    }

    /// Whether the cache has caught up with our write.
    pub(in crate::operator) const fn are_shown(&self) -> bool {
        self.written.is_none()
    }

    /// Whether the last write is at least this long ago.
    pub(in crate::operator) fn are_older_than(&self, age: SignedDuration, now: Timestamp) -> bool {
        self.at.is_none_or(|at| now.duration_since(at) >= age)
    }
}

/// A pod's name and UID, as we wrote them onto the Lease.
type Mark = (String, Option<String>);

/// Our last write of the lock's Lease.
#[derive(Debug, Default)]
pub(in crate::operator) struct OwnLease {
    /// The Lease as our last write returned it. The next write replaces that state.
    lease: Option<Box<Lease>>,
    mark: Option<Mark>,
    /// Whether the Lease named another holder when we tried to write the pod onto it.
    lost: bool,
    /// The lock that we released last, and the run that had it.
    released: Option<(String, String)>,
}

impl OwnLease {
    /// Notes that the run took its lock.
    pub(in crate::operator) fn taken(&mut self, lease: Lease) {
        *self = Self { lease: Some(Box::new(lease)), ..Self::default() };
    }

    /// The Lease that the next write replaces. It is forgotten, because after that write it is out of date.
    pub(in crate::operator) fn take(&mut self) -> Option<Lease> {
        self.lease.take().map(|lease| *lease)
    }

    /// Notes that the pod is on the Lease.
    pub(in crate::operator) fn marked(&mut self, lease: Lease, mark: Mark) {
        self.lease = Some(Box::new(lease));
        self.mark = Some(mark);
    }

    /// Notes that the pod counts as marked, although its UID could not be written.
    pub(in crate::operator) fn half_marked(&mut self, mark: Mark) {
        self.mark = Some(mark);
    }

    /// Notes that the Lease names another holder.
    pub(in crate::operator) fn lost(&mut self) {
        self.lost = true;
    }

    /// Notes that this run released its lock.
    pub(in crate::operator) fn released(&mut self, lock: String, run: String) {
        *self = Self { released: Some((lock, run)), ..Self::default() };
    }

    /// Another attempt begins, which may have the lock.
    pub(super) fn attempt_begins(&mut self) {
        self.lost = false;
    }

    /// The pod that is on the Lease.
    pub(in crate::operator) const fn mark(&self) -> Option<&Mark> {
        self.mark.as_ref()
    }

    /// Whether the Lease named another holder.
    pub(in crate::operator) const fn is_lost(&self) -> bool {
        self.lost
    }

    /// Whether we released this lock of this run.
    pub(in crate::operator) fn has_released(&self, lock: &str, run: &str) -> bool {
        self.released.as_ref().is_some_and(|(of, by)| of == lock && by == run)
    }
}

#[cfg(test)]
mod tests {
    use kube::Resource;

    use super::*;
    use crate::operator::testing::objects::action;

    #[test]
    fn our_own_write_is_believed_before_an_older_cache() {
        let of = |version: &str, uid: &str| {
            let mut action = action();
            action.metadata.resource_version = Some(version.into());
            action.metadata.uid = Some(uid.into());
            Arc::new(Cached::from(action))
        };
        let written = of("100", "a");
        let mut writes = OwnWrites { written: Some(Arc::clone(&written)), ..OwnWrites::default() };
        let version = |action: Arc<Cached>| action.meta().resource_version.clone().unwrap();
        assert_eq!(version(writes.newest(&of("99", "a"))), "100");
        writes.shown(&of("99", "a"));
        assert!(!writes.are_shown(), "the cache is behind");
        writes.shown(&of("100", "a"));
        assert!(writes.are_shown(), "kept for nothing");
        writes.written = Some(Arc::clone(&written));
        assert_eq!(version(writes.newest(&of("101", "a"))), "101");
        assert!(writes.are_shown(), "kept for nothing");
        writes.written = Some(written);
        assert_eq!(version(writes.newest(&of("1", "another"))), "1");
    }
}
