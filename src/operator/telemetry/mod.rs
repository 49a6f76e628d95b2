//! What others learn of a run beside its status: events, metrics, traces.

pub(super) mod events;
pub mod metrics;
mod process_usage;
pub mod stages;
pub(super) mod traces;
