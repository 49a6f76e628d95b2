//! A node's own clock, which may go wrong: times in a pod's status and in a log are its word alone.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::Time,
    jiff::{SignedDuration, Timestamp},
};

/// How many seconds it is ahead; behind where that is negative. All clones are one clock.
#[derive(Debug, Clone, Default)]
pub(super) struct Clock(Arc<AtomicI64>);

impl Clock {
    pub(super) fn ahead_by(seconds: i64) -> Self {
        Self(Arc::new(seconds.into()))
    }

    pub(super) fn set(&self, seconds: i64) {
        self.0.store(seconds, Ordering::Relaxed);
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp::now() + SignedDuration::from_secs(self.0.load(Ordering::Relaxed))
    }

    /// The kubelet gives whole seconds.
    pub(super) fn time(&self) -> Time {
        Time(Timestamp::from_second(self.now().as_second()).expect("a time"))
    }
}
