//! Longshore runs deployment actions as pods on Kubernetes: each attempt at most once, with its
//! image pinned.
//!
//! | module | what lives there | what it may use |
//! |---|---|---|
//! | [`api`] | the resources as users write them: actions, templates, policies on actions | nothing of ours |
//! | [`record`] | what operator and runner tell each other | nothing of ours, no Kubernetes |
//! | [`seal`] | sealing sensitive outputs, and the keys for it | `record` |
//! | [`runner`] | what runs inside a user's container | `record`, `seal` |
//! | [`registry`] | tag to digest, the image's user, what a package is made of | nothing of ours |
//! | [`fetch`] | what fetches packages that nodes do not mount, in an init container | `record`, `registry` |
//! | [`archive`] | stored logs: in a folder, S3, GCS or Azure | `record`, no Kubernetes |
//! | [`reading`] | from the lines of a log to what a reader gets | `record` |
//! | [`lasting_watch`] | a watch that goes on also where its past is gone | nothing of ours |
//! | [`operator`] | the operator, in wings along the way of one action | all above but `runner` and `fetch` |
//! | [`cli`] | the kubectl plugin | `api`, `lasting_watch`, `reading`, `record`, and of `operator` what decides without a client |

#![forbid(unsafe_code)]

pub mod api;
pub mod archive;
pub mod cli;
pub mod fetch;
pub mod lasting_watch;
pub mod operator;
pub mod reading;
pub mod record;
pub mod registry;
pub mod runner;
pub mod seal;
