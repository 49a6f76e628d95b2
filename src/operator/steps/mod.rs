//! The steps of `decide` as requests to the API server or a registry, one file each.

pub(super) mod delete_action;
pub(super) mod keep_outputs;
pub mod launch;
pub(super) mod lock_lease;
pub(super) mod observe;
mod pull_secrets;
pub(super) mod release;
pub(super) mod resolve;
pub(super) mod stop;
pub(super) mod store_log;
pub(super) mod write_status;
