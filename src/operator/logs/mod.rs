//! The logs of pods: read, put together, shown.

pub mod assemble;
pub mod collect;
mod shown_line;
pub mod tail;
