//! Whole runs on a real cluster: from `kubectl apply` to what the status says.
//!
//! Each test has a namespace of its own. They wait more than they work: run many at a time
//! (`RUST_TEST_THREADS=8`).

// clippy knows `#[test]` functions, and not what they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "end_to_end/action.rs"]
mod action;
#[path = "end_to_end/cluster_scoped.rs"]
mod cluster_scoped;
#[path = "end_to_end/namespace.rs"]
mod namespace;
#[path = "end_to_end/registry.rs"]
mod registry;
#[path = "end_to_end/rights.rs"]
mod rights;

#[path = "end_to_end/advisories.rs"]
mod advisories;
#[path = "end_to_end/afterwards.rs"]
mod afterwards;
#[path = "end_to_end/bad_ends.rs"]
mod bad_ends;
#[path = "end_to_end/corrections.rs"]
mod corrections;
#[path = "end_to_end/images.rs"]
mod images;
#[path = "end_to_end/inputs.rs"]
mod inputs;
#[path = "end_to_end/late.rs"]
mod late;
#[path = "end_to_end/locks.rs"]
mod locks;
#[path = "end_to_end/matrix.rs"]
mod matrix;
#[path = "end_to_end/packages.rs"]
mod packages;
#[path = "end_to_end/pending.rs"]
mod pending;
#[path = "end_to_end/pods.rs"]
mod pods;
#[path = "end_to_end/private_images.rs"]
mod private_images;
#[path = "end_to_end/profiles.rs"]
mod profiles;
#[path = "end_to_end/requests.rs"]
mod requests;
#[path = "end_to_end/runs.rs"]
mod runs;
#[path = "end_to_end/scripts.rs"]
mod scripts;
#[path = "end_to_end/sidecars.rs"]
mod sidecars;
#[path = "end_to_end/ssh.rs"]
mod ssh;
#[path = "end_to_end/stops.rs"]
mod stops;
#[path = "end_to_end/success.rs"]
mod success;
#[path = "end_to_end/templates.rs"]
mod templates;
