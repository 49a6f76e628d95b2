//! Everything that the process watches or remembers. Correctness needs none of it: after a restart it is
//! empty.

pub(super) mod action_policies;
pub mod cached;
pub(super) mod job;
pub(super) mod lock_queue;
pub mod memory;
pub(super) mod nodes;
pub(super) mod outputs_keys;
pub(super) mod pod_index;
pub(super) mod prune;
pub(super) mod sources;
pub(super) mod templates;
pub(super) mod use_policy;
pub(super) mod warnings;
pub(super) mod watch;
