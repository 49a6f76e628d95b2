//! The operator: from a watched action to the result in its status.
//!
//! An action goes through these wings, one after the other:
//!
//! 1. [`spec`]: what was written becomes what is checked.
//! 2. [`lifecycle`]: facts go in, and `decide` answers with the next step.
//! 3. [`pod`]: the pod of an attempt is built, and read back.
//! 4. [`steps`]: one step, one call to the API server or a registry.
//! 5. [`logs`]: the pod's log is read and put together.
//! 6. [`telemetry`]: events, metrics and traces follow the status.
//!
//! [`reconcile`] is the loop around them, over what [`caches`] has. [`process`] wires it all. `spec`, `pod` and
//! `lifecycle` are pure: no client, no clock, no task (`tests/claims/walls.rs` holds that).

pub mod caches;
mod call;
pub mod commands;
mod fair;
mod leadership;
pub mod lifecycle;
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
