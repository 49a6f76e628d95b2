//! Watches the script's processes from start to end, stops them, and counts those that the kernel killed for
//! memory.

pub(super) mod children;
pub(super) mod conclude;
mod left_behind;
pub(super) mod memory_kills;
pub(super) mod signals;
mod stop;
pub(super) mod stop_note;
pub(super) mod supervise;
