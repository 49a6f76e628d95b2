//! What kubectl, Helm, kstatus (Flux), Argo CD's health scripts and kustomize make of actions, each
//! asked itself, on a real cluster. docs/guides/gitops.md says the same to people.
//!
//! kubectl and helm are those in PATH; the other tools' libraries are in a program of
//! `tests/cluster/build/gitops`, which is built when it is missing.

// clippy knows `#[test]` functions, and not what they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "end_to_end/action.rs"]
mod action;
#[path = "end_to_end/namespace.rs"]
mod namespace;
#[path = "end_to_end/rights.rs"]
mod rights;

#[path = "gitops/tools.rs"]
mod tools;

#[path = "gitops/apply.rs"]
mod apply;
#[path = "gitops/argocd.rs"]
mod argocd;
#[path = "gitops/flux.rs"]
mod flux;
#[path = "gitops/helm.rs"]
mod helm;
#[path = "gitops/kubectl_wait.rs"]
mod kubectl_wait;
#[path = "gitops/kustomize.rs"]
mod kustomize;
#[path = "gitops/states.rs"]
mod states;
