//! Tests that need a cluster for themselves: they change how the operator is installed, end it, kill parts of
//! the cluster, add nodes to it, or measure. A step of tests/suite.sh runs one area, while nothing else runs.

// clippy knows `#[test]` functions, and not what they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod node;
mod support {
    pub(crate) mod action;
    pub(crate) mod long_log;
    pub(crate) mod matrix;
    pub(crate) mod namespace;
    pub(crate) mod random;
    pub(crate) mod registry;
    pub(crate) mod turns;
}

mod action_policy;
mod archived_logs;
mod chart;
mod cluster_faults;
mod fake_node;
mod faults;
mod hostile;
mod init_container;
mod operator_restart;
mod operator_rights;
mod policy_missing;
