//! Pods' logs: reads them, puts them together, keeps the end of them.

mod assemble;
pub(super) mod collect;
mod shown_line;
mod tail;
