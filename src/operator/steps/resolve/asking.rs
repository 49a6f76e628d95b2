//! The sources that are asked, and what a failed try means.

use std::path::Path;

use k8s_openapi::jiff::SignedDuration;
use kube::Client;

use crate::{
    api::{Reason, packages::PackageStatus},
    operator::lifecycle::facts::Resolution,
    registry::{Platform, Registry, ResolveError},
};

/// How often a failing registry is asked before the run goes on without it. Then an image with a given digest
/// is used without its user, or a node is asked, which may have another way to the registry.
pub(super) const TRIES: u32 = 3;

/// The sources of a resolution.
#[derive(Clone, Copy)]
pub(crate) struct Sources<'a> {
    /// For the script's `ConfigMap` and pull Secrets.
    pub client: &'a Client,
    /// For the image.
    pub registry: &'a Registry,
    /// The chart's credentials.
    pub credentials_file: Option<&'a Path>,
    /// The platform that actions run on.
    pub platform: &'a Platform,
    /// The largest package that nodes do not mount, in bytes.
    pub package_limit_bytes: u64,
}

/// Why a resolution failed.
pub(super) enum Problem {
    /// A later try may succeed, after this pause or a longer one.
    Later(Reason, String, Option<SignedDuration>),
    /// No later try will succeed.
    Never(Reason, String),
    /// The operator cannot resolve it, but a node may.
    AskNode(Reason, String),
}

impl Problem {
    /// The result for the run, and how long to pause.
    pub(super) fn resolution(
        self,
        packages: Vec<PackageStatus>,
        script_sha256: Option<String>,
    ) -> (Resolution, Option<SignedDuration>) {
        match self {
            Self::Later(reason, message, pause) => (Resolution::Failed { reason, message }, pause),
            Self::Never(reason, message) => (Resolution::Refused { reason, message }, None),
            Self::AskNode(reason, message) => {
                (Resolution::NeedsPod { reason, message, packages, script_sha256 }, None)
            }
        }
    }
}

pub(super) fn later(error: &ResolveError) -> Problem {
    let pause = error.retry_after().and_then(|pause| SignedDuration::try_from(pause).ok());
    Problem::Later(reason(error), error.to_string(), pause)
}

pub(super) const fn reason(error: &ResolveError) -> Reason {
    match error {
        ResolveError::NotFound { .. } => Reason::ImageNotFound,
        ResolveError::Denied { .. } => Reason::ImageDenied,
        ResolveError::NoPlatform { .. } => Reason::ImagePlatformMissing,
        ResolveError::Invalid { .. } | ResolveError::NotAnImage { .. } | ResolveError::NotAPackage { .. } => {
            Reason::ImageInvalid
        }
        ResolveError::Unreachable { .. }
        | ResolveError::RateLimited { .. }
        | ResolveError::Failing { .. } => Reason::RegistryUnavailable,
    }
}
