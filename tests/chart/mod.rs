//! The chart: what it renders, and a release's life: upgrade, rollback, its own test, uninstall. It
//! changes how the operator is installed, so it runs alone, and puts it back as it was.

mod dry_run;
mod log_api;
mod monitoring;
mod release;
mod rendered;
pub(crate) mod tools;
mod uninstall;
