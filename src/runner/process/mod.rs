//! The script's processes: watched from the start to the end, asked to stop, killed, and counted where the kernel
//! killed some for their memory.

pub(super) mod children;
mod left_behind;
pub(super) mod memory_kills;
pub(super) mod signals;
mod stop;
pub(super) mod stop_note;
pub(super) mod supervise;
