//! What others learn of a run beside its status: events, metrics, traces.

pub mod events;
pub mod metrics;
pub mod process_usage;
pub mod stages;
pub mod traces;
