//! Who is asked, and what a try that failed means.

use std::path::Path;

use k8s_openapi::jiff::SignedDuration;
use kube::Client;

use crate::{
    api::{Reason, packages::PackageStatus},
    operator::lifecycle::facts::Resolution,
    registry::{Platform, Registry, ResolveError},
};

/// How often a registry that fails is asked before the run goes on without it: for the user of an
/// image whose digest is given, or by asking a node, which may well have another way to it.
pub(super) const TRIES: u32 = 3;

/// What is asked.
#[derive(Clone, Copy)]
pub(crate) struct Sources<'a> {
    /// For the script's `ConfigMap` and pull Secrets.
    pub client: &'a Client,
    /// For the image.
    pub registry: &'a Registry,
    /// The chart's credentials.
    pub credentials_file: Option<&'a Path>,
    /// What actions run on.
    pub platform: &'a Platform,
    /// The most that a package which nodes do not mount may take, in bytes.
    pub package_limit_bytes: u64,
}

/// Why nothing was resolved.
pub(super) enum Problem {
    /// It may be otherwise later, after this pause at the least.
    Later(Reason, String, Option<SignedDuration>),
    /// It will not be otherwise.
    Never(Reason, String),
    /// The operator cannot, and a node may.
    AskNode(Reason, String),
}

impl Problem {
    /// What it means for the run, and for how long to pause.
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
