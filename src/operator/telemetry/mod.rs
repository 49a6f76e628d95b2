//! Events, metrics and traces of runs. They follow the status.

pub(super) mod events;
pub mod metrics;
mod process_usage;
pub mod stages;
pub(super) mod traces;
