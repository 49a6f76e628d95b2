//! Pods' logs: reads them, puts them together, tells their runners, keeps the end of them, stores them.

mod acknowledge;
pub(super) mod archivist;
mod assemble;
pub(super) mod collect;
mod dialogue;
mod kept;
mod ledger;
mod shown_line;
mod state;
mod tail;
mod tap;
