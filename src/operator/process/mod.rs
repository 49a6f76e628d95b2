//! The process: how its parts are connected, what it watches, and whether it is healthy.

mod archive;
mod health;
mod lead;
pub(crate) mod log_api;
pub mod run;
mod upkeep;
mod watches;
