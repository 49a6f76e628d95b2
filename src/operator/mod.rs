//! The operator: from a watched action to the result in its status.
//!
//! An action goes through these wings, one after the other:
//!
//! 1. [`spec`]: an action as written becomes a checked one.
//! 2. [`lifecycle`]: `decide` gets facts, and answers with the next step.
//! 3. [`pod`]: builds the pod of an attempt, and reads it back.
//! 4. [`steps`]: a step, as requests to the API server or a registry.
//! 5. [`logs`]: reads a pod's log and puts it together.
//! 6. [`telemetry`]: events, metrics and traces follow the status.
//!
//! [`log_api`] serves logs to people, in a process of its own.
//!
//! [`reconcile`] is the loop around them, over the contents of [`caches`]. [`process`] connects everything.
//! `spec`, `pod` and `lifecycle` are pure: no client, no clock, no task (`tests/claims/walls.rs` tests it).

pub mod caches;
mod call;
pub mod commands;
mod fair;
mod leadership;
pub mod lifecycle;
pub mod log_api;
mod logs;
pub mod options;
pub mod pod;
pub mod process;
mod reconcile;
pub mod spec;
pub mod steps;
pub mod telemetry;
#[cfg(test)]
pub(crate) mod testing;
