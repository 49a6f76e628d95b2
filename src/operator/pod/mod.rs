//! An attempt's pod: names and builds it, and reads back what the API server made of it. Pure.

pub mod attempt;
pub(super) mod build;
mod log_limits;
mod mutated_packages;
pub(super) mod mutation;
pub mod names;
pub(super) mod packages;
pub(super) mod resolver;
mod runner;
mod same_content;
pub(super) mod security;
pub(super) mod tombstone;
pub(super) mod trace_context;
pub mod view;
mod volumes;
