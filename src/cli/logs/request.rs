//! What is asked of a place that may have a log, and how it answers.

use crate::reading::{Selection, Shape};

/// How a log is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish {
    pub(super) follow: bool,
    pub(super) shape: Shape,
    pub(super) selection: Selection,
    /// Whether a terminal shows it, which must not act on it.
    pub(super) safe: bool,
    pub(super) events: bool,
    /// What is in front of this frame is left out.
    pub(super) from: u64,
}

/// How one source's answer ended.
#[derive(Debug)]
pub(super) enum Read {
    /// All was printed.
    Done,
    /// Nothing was printed, since this source does not have the log. The text says why.
    NotHere(String),
    /// Nothing was printed, since the beginning is missing here.
    Rotated,
}
