//! The step that resolves an image to a digest. It asks the registry alone.

use std::sync::Arc;

use k8s_openapi::jiff::SignedDuration;

use super::{facts::Resolution, validate::Checked};
use crate::{
    api::Reason,
    registry::{Asker, Platform, Registry, ResolveError, ResolvedImage, pod_user},
};

/// How often a registry that fails is asked for the user of an image whose digest is given, before
/// the run goes on without: the node may well be able to pull it.
const TRIES_FOR_USER: u32 = 3;

/// Resolves the image of `action`; `failures` counts those of this run so far. With it, for how long
/// the registry asked to be left alone.
pub async fn resolve(
    registry: &Registry,
    action: &Checked,
    platform: &Platform,
    failures: u32,
) -> (Resolution, Option<SignedDuration>) {
    match registry.resolve(&action.image, platform, &Asker::anonymous()).await {
        Ok(ResolvedImage { unread: Some(error), .. })
            if error.is_transient() && failures < TRIES_FOR_USER =>
        {
            later(&error)
        }
        Ok(image) => {
            let resolved = Resolution::Resolved {
                pinned: action.image.pinned(&image.digest),
                user: pod_user(&image.user),
            };
            (resolved, None)
        }
        Err(error) if error.is_transient() => later(&Arc::new(error)),
        Err(error) => (Resolution::Refused { reason: reason(&error), message: error.to_string() }, None),
    }
}

fn later(error: &ResolveError) -> (Resolution, Option<SignedDuration>) {
    let pause = error.retry_after().and_then(|pause| SignedDuration::try_from(pause).ok());
    (Resolution::Failed { message: error.to_string() }, pause)
}

const fn reason(error: &ResolveError) -> Reason {
    match error {
        ResolveError::NotFound { .. } => Reason::ImageNotFound,
        ResolveError::Denied { .. } => Reason::ImageDenied,
        ResolveError::NoPlatform { .. } => Reason::ImagePlatformMissing,
        ResolveError::Invalid { .. } | ResolveError::NotAnImage { .. } => Reason::ImageInvalid,
        ResolveError::Unreachable { .. }
        | ResolveError::RateLimited { .. }
        | ResolveError::Failing { .. } => Reason::RegistryUnavailable,
    }
}
