//! The logs of pods: read, put together, shown.

mod assemble;
pub(super) mod collect;
mod shown_line;
mod tail;
