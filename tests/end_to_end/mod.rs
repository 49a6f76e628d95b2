//! Whole runs on a real cluster: from `kubectl apply` to what the status says.
//!
//! Each test has a namespace of its own. They wait more than they work: run many at a time
//! (`RUST_TEST_THREADS=8`).

mod action;
mod cluster_scoped;
mod quiet;
mod registry;

mod advisories;
mod afterwards;
mod bad_ends;
mod corrections;
mod images;
mod inputs;
mod late;
mod locks;
mod long_logs;
mod packages;
mod pending;
mod pods;
mod private_images;
mod profiles;
mod requests;
mod runs;
mod scripts;
mod sensitive;
mod sidecars;
mod ssh;
mod stops;
mod success;
mod templates;
mod who_asked;
