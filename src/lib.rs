//! Longshore runs deployment actions as pods, each at most once, with its image pinned.

#![forbid(unsafe_code)]

pub mod record;
pub mod runner;
