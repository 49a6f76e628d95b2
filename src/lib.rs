//! Longshore runs deployment actions as pods on Kubernetes: each attempt at most once, with its
//! image pinned.

#![forbid(unsafe_code)]

pub mod api;
pub mod record;
pub mod registry;
pub mod runner;
