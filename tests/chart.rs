//! The chart: what it renders, and a release's life: upgrade, rollback, its own test, uninstall. It
//! changes how the operator is installed, so it runs alone, and puts it back as it was.

// clippy knows `#[test]` functions, and not what they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "end_to_end/action.rs"]
mod action;
#[path = "end_to_end/namespace.rs"]
mod namespace;

#[path = "chart/dry_run.rs"]
mod dry_run;
#[path = "chart/monitoring.rs"]
mod monitoring;
#[path = "chart/release.rs"]
mod release;
#[path = "chart/rendered.rs"]
mod rendered;
#[path = "chart/tools.rs"]
mod tools;
#[path = "chart/uninstall.rs"]
mod uninstall;
