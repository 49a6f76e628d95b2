//! Commands of the binary, beside the operator itself.

pub mod await_end;
pub mod uninstall;
