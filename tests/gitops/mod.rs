//! How kubectl, Helm, kstatus (Flux), Argo CD's health scripts and kustomize see actions. Each tool is asked
//! itself, on a real cluster. docs/guides/gitops.md says the same to people.
//!
//! kubectl and helm are those in PATH; the other tools' libraries are in a program of
//! `tests/cluster/build/gitops`, which is built when it is missing.

mod tools;

mod apply;
mod argocd;
mod flux;
mod helm;
mod kubectl_wait;
mod kustomize;
mod states;
