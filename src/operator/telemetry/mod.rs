//! What others learn of a run beside its status: events, metrics, traces.

pub mod events;
pub mod metrics;
pub mod parts;
pub mod process_usage;
pub mod traces;
