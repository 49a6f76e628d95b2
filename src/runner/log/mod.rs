//! Carries the script's output from its pipes, masked and cut into numbered frames, to the runner's standard
//! output.

mod lines;
pub(super) mod report;
pub(super) mod sink;
pub(super) mod streams;
