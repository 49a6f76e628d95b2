//! Tests that share a cluster in which Longshore is installed. Each has namespaces of its own.
//!
//! They wait more than they work: run many at a time (`--test-threads 10`). A step of tests/suite.sh runs
//! one area.

// clippy knows `#[test]` functions, and not what they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support {
    pub(crate) mod action;
    pub(crate) mod long_log;
    pub(crate) mod matrix;
    pub(crate) mod metrics;
    pub(crate) mod namespace;
    pub(crate) mod random;
    pub(crate) mod registry;
    pub(crate) mod rights;
}

mod access;
mod api_server;
mod end_to_end;
mod examples;
mod fuzz;
mod gitops;
mod log_api;
mod plugin;
