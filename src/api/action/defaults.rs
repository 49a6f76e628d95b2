//! Defaults of the spec, in seconds.

/// `runDeadlineSeconds`
pub const RUN_DEADLINE: i64 = 3600;
/// `retry.backoffSeconds`
pub const BACKOFF: i64 = 10;
/// `retry.maxBackoffSeconds`
pub const MAX_BACKOFF: i64 = 300;
/// `lock.queueDeadlineSeconds`
pub const QUEUE_DEADLINE: i64 = 3600;
/// `pendingDeadlineSeconds`
pub const PENDING_DEADLINE: i64 = 600;
/// `terminationGracePeriodSeconds`
pub const GRACE: i64 = 30;
/// `podRetentionSeconds`
#[must_use]
pub const fn pod_retention() -> i64 {
    86_400
}
