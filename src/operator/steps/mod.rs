//! One call each: what a step of `decide` asks of the API server or a registry.

pub mod delete_action;
pub mod launch;
pub mod lock_lease;
pub mod observe;
pub mod pull_secrets;
pub mod release;
pub mod resolve;
pub mod stop;
pub mod write_status;
