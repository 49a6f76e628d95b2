//! The process: how it is wired, what it watches, whether it is healthy.

mod health;
mod lead;
pub mod run;
mod upkeep;
mod watches;
