//! Names that Longshore gives to objects in the cluster, and the labels and annotations that it reads.

/// The API group.
pub const GROUP: &str = "longshore.dev";

/// Annotation on an action: a new value asks for another run.
pub const ANNOTATION_RERUN: &str = "longshore.dev/rerun";
/// Annotation on an action: the id of the run to cancel.
pub const ANNOTATION_CANCEL: &str = "longshore.dev/cancel";
/// Annotation on an action: the person for whom its author claims to act.
pub const ANNOTATION_ON_BEHALF_OF: &str = "longshore.dev/on-behalf-of";
/// Annotation on an action: the user who wrote the spec. An admission policy writes it.
pub const ANNOTATION_SPEC_BY: &str = "longshore.dev/spec-by";
/// Annotation on an action: the user who wrote [`ANNOTATION_RERUN`]. An admission policy writes it.
pub const ANNOTATION_RERUN_BY: &str = "longshore.dev/rerun-by";
/// Annotation on an action: the user who wrote [`ANNOTATION_CANCEL`]. An admission policy writes it.
pub const ANNOTATION_CANCEL_BY: &str = "longshore.dev/cancel-by";
/// Label on a pod: the action's name.
pub const LABEL_ACTION: &str = "longshore.dev/action";
/// Label on a pod: the action's UID. An action that is created again with the same name has another UID.
pub const LABEL_ACTION_UID: &str = "longshore.dev/action-uid";
/// Label on a pod: the run's number.
pub const LABEL_RUN: &str = "longshore.dev/run";
/// Label on a pod: the attempt's number within the run.
pub const LABEL_ATTEMPT: &str = "longshore.dev/attempt";
/// Label on a pod that holds the name of an attempt that was given up. Nothing runs in it. The name keeps a
/// late creation from running.
pub const LABEL_TOMBSTONE: &str = "longshore.dev/tombstone";
/// Label on a pod and on a Lease: the lock's name.
pub const LABEL_LOCK: &str = "longshore.dev/lock";
/// The name of a lock's Lease is this prefix and the lock's name.
pub const LEASE_PREFIX: &str = "longshore-lock-";
/// Label on a pod that only resolves a run's tag to a digest: the run's number.
pub const LABEL_RESOLVER: &str = "longshore.dev/resolver";
/// The standard label that names the creator of an object.
pub const LABEL_MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The value of [`LABEL_MANAGED_BY`].
pub const MANAGED_BY: &str = "longshore";
/// Annotation on a pod: the instructions for the runner.
pub const ANNOTATION_BUNDLE: &str = "longshore.dev/bundle";
/// Annotation on a pod: why it is being stopped, as the script reads it.
pub const ANNOTATION_STOP_REASON: &str = "longshore.dev/stop-reason";
/// Annotation on a pod: when the stop was requested.
pub const ANNOTATION_STOP_REQUESTED_AT: &str = "longshore.dev/stop-requested-at";
/// Annotation on a pod: what the runner may use for the log ([`crate::record::credit::Limits`]).
pub const ANNOTATION_LOG_LIMITS: &str = "longshore.dev/log-limits";
/// Annotation on a pod: how much of the log the operator has ([`crate::record::credit::Credit`]).
pub const ANNOTATION_LOG_CREDIT: &str = "longshore.dev/log-credit";
/// Annotation on a pod: the operator's own notes on the log, so that another operator can go on.
pub const ANNOTATION_LOG_STATE: &str = "longshore.dev/log-state";
/// The type of a Secret with the sensitive outputs of a run.
pub const OUTPUTS_TYPE: &str = "longshore.dev/outputs";
/// The Secret in the operator's namespace with the keys that runs' keys for sensitive outputs follow from.
pub const OUTPUTS_KEYS: &str = "longshore-outputs-keys";
/// The type of that Secret.
pub const OUTPUTS_KEYS_TYPE: &str = "longshore.dev/outputs-keys";
/// The finalizer that keeps a pod until its verdict and its log are stored.
pub const FINALIZER_COLLECT: &str = "longshore.dev/collect";
/// The name of the container that runs the action. No other container counts.
pub const CONTAINER: &str = "action";
/// The API group that logs are read in. It has a server of its own.
pub const LOG_GROUP: &str = "log.longshore.dev";
/// The version of [`LOG_GROUP`].
pub const LOG_VERSION: &str = "v1alpha1";
/// The name of the `APIService` of [`LOG_GROUP`].
pub const LOG_API_SERVICE: &str = "v1alpha1.log.longshore.dev";
