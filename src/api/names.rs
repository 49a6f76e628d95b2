//! Names that Longshore gives to things in the cluster.

/// The API group.
pub const GROUP: &str = "longshore.dev";

/// Annotation on an action: another text asks for another run.
pub const ANNOTATION_RERUN: &str = "longshore.dev/rerun";
/// Annotation on an action: the id of the run that is to be cancelled.
pub const ANNOTATION_CANCEL: &str = "longshore.dev/cancel";
/// Label on a pod: the action's name.
pub const LABEL_ACTION: &str = "longshore.dev/action";
/// Label on a pod: the action's UID, which a name that is used again does not share.
pub const LABEL_ACTION_UID: &str = "longshore.dev/action-uid";
/// Label on a pod: the run's number.
pub const LABEL_RUN: &str = "longshore.dev/run";
/// Label on a pod: the attempt's number within the run.
pub const LABEL_ATTEMPT: &str = "longshore.dev/attempt";
/// Label on a pod that stands for an attempt that was given up: nothing runs in it, and its name
/// keeps a late creation from running.
pub const LABEL_TOMBSTONE: &str = "longshore.dev/tombstone";
/// Label on a pod and on a Lease: the lock.
pub const LABEL_LOCK: &str = "longshore.dev/lock";
/// What stands before a lock's name in the name of its Lease.
pub const LEASE_PREFIX: &str = "longshore-lock-";
/// On a pod that only finds out what a run's tag means: the run's number.
pub const LABEL_RESOLVER: &str = "longshore.dev/resolver";
/// The standard label that says who made an object.
pub const LABEL_MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The value of [`LABEL_MANAGED_BY`].
pub const MANAGED_BY: &str = "longshore";
/// Annotation on a pod: the bundle.
pub const ANNOTATION_BUNDLE: &str = "longshore.dev/bundle";
/// Annotation on a pod: why it is being stopped, as the script reads it.
pub const ANNOTATION_STOP_REASON: &str = "longshore.dev/stop-reason";
/// Annotation on a pod: since when that is there.
pub const ANNOTATION_STOP_REQUESTED_AT: &str = "longshore.dev/stop-requested-at";
/// Keeps a pod until its verdict and log are stored.
pub const FINALIZER_COLLECT: &str = "longshore.dev/collect";
/// The container that runs the action; no other counts.
pub const CONTAINER: &str = "action";
