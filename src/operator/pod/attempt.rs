//! The values that an attempt's pod is built from.

use std::sync::Arc;

use k8s_openapi::api::core::v1::ResourceRequirements;

use crate::{
    api::{action::to_quantities, packages::PackageStatus, status::Deadlines},
    operator::spec::validate::Checked,
};

/// How the runner gets into the pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Delivery {
    /// Its image is mounted: Kubernetes 1.35 and containerd 2.1.
    ImageVolume,
    /// A container that runs first copies it.
    InitContainer,
}

/// Settings that are the same for all pods.
#[derive(Debug, Clone)]
pub struct PodDefaults {
    /// The runner's image.
    pub runner_image: String,
    /// `IfNotPresent`, unless a flag says otherwise.
    pub runner_pull_policy: String,
    /// How the runner gets into the pod.
    pub delivery: Delivery,
    /// The architecture that the runner's image is built for, as `kubernetes.io/arch` names it.
    pub architecture: String,
    /// Size limit of each of the script's folders.
    pub scratch_limit: String,
    /// The size at which nodes rotate a container's log, in bytes.
    pub log_rotation_bytes: u64,
    /// Settings of the container that fetches packages.
    pub fetch: Arc<FetchDefaults>,
}

/// Everything about an attempt that is frozen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The run's number.
    pub run: u32,
    /// The attempt's number.
    pub attempt: u32,
    /// The bundle, serialized.
    pub bundle: String,
    /// Its SHA-256.
    pub bundle_sha256: String,
    /// The image, pinned.
    pub image: String,
    /// The numeric user to run as; `None` if the image decides.
    pub user: Option<i64>,
    /// The run's frozen deadlines.
    pub deadlines: Deadlines,
    /// The packages, pinned.
    pub packages: Vec<PackageStatus>,
    /// The lock that the run has.
    pub lock: Option<String>,
    /// The process that creates the pod. The status names it as the only one that may.
    pub launcher: String,
}

pub(crate) fn resources(action: &Checked) -> Option<ResourceRequirements> {
    action.spec.resources.as_ref().map(|resources| ResourceRequirements {
        limits: to_quantities(&resources.limits),
        requests: to_quantities(&resources.requests),
        claims: None,
    })
}

/// Linux passes no longer environment value to a program (`MAX_ARG_STRLEN`, 128 KiB).
const CA_PART_BYTES: usize = 64 << 10;

/// Settings of the container that fetches packages.
#[derive(Debug, Clone, Default)]
pub struct FetchDefaults {
    /// Registries that are asked by plain HTTP.
    pub plain_http: Vec<String>,
    /// Certificates (PEM) of further authorities for registries, in parts.
    pub(super) ca: Vec<String>,
    /// The most that a package may take, in bytes.
    pub limit_bytes: u64,
    /// The most files, folders and links that a package may have.
    pub max_entries: u32,
}

impl FetchDefaults {
    /// `ca_pem` has certificates of further authorities for registries.
    #[must_use]
    pub fn new(plain_http: &[String], ca_pem: Option<&[u8]>, limit_bytes: u64, max_entries: u32) -> Self {
        let pem = ca_pem.map(|pem| String::from_utf8_lossy(pem).into_owned()).unwrap_or_default();
        Self { plain_http: plain_http.to_vec(), ca: parts(&pem), limit_bytes, max_entries }
    }
}

/// Splits the text between lines.
fn parts(text: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    for line in text.split_inclusive('\n') {
        match parts.last_mut().filter(|part| part.len() + line.len() <= CA_PART_BYTES) {
            Some(part) => part.push_str(line),
            None => parts.push(line.to_owned()),
        }
    }
    parts
}

/// Time for the runner to drain and report after the script's grace period, in seconds.
pub const RUNNER_GRACE_SECONDS: i64 = 15;

/// Time from SIGTERM to SIGKILL for the container of such an attempt, in seconds.
#[must_use]
pub const fn grace_seconds(deadlines: Deadlines) -> i64 {
    deadlines.grace_seconds.saturating_add(RUNNER_GRACE_SECONDS)
}

/// Longest time of its pod, in seconds, from when its node takes it.
#[must_use]
pub const fn active_deadline_seconds(deadlines: Deadlines) -> i64 {
    deadlines.pending_seconds.saturating_add(deadlines.run_seconds).saturating_add(grace_seconds(deadlines))
}
