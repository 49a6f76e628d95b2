//! What the process watches or remembers. Correctness needs none of it: after a restart it is empty.

pub mod action_policies;
pub mod cached;
pub mod job;
pub mod lock_queue;
pub mod memory;
pub mod nodes;
pub mod pod_index;
pub mod prune;
pub mod sources;
pub mod templates;
pub mod use_policy;
pub mod warnings;
pub mod watch;
