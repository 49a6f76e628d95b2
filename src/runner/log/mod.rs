//! Carries the script's output from its pipes, masked and cut into numbered frames, to the runner's standard
//! output.
//!
//! ```text
//! one thread:   streams -> mask -> lines -> report -> outlet
//! the other:    outlet -> spool -> drain -> sink
//! ```

pub(super) mod drain;
mod flood;
mod lines;
pub(super) mod outlet;
mod ranges;
pub(super) mod report;
mod sink;
mod spool;
pub(super) mod streams;
pub(super) mod terms;
