//! The process: how it is wired, what it watches, whether it is healthy.

pub mod health;
pub mod run;
