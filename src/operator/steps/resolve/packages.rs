//! Resolves the packages of a run. A registry is asked as for an image, but no node is. If no credentials may
//! read a package whose digest is given, the fetching pod tries it with the pull Secrets that the action
//! names.

use super::asking::{Problem, Sources, TRIES, later};
use crate::{
    api::{
        Reason,
        history::PastRun,
        packages::{PackageKind, PackageStatus},
    },
    operator::{
        spec::validate::{Checked, CheckedPackage},
        steps::pull_secrets,
    },
    registry::{Asker, ImageReference, PackageManifest, ResolveError},
};

/// Resolves all packages of `action`, in their order. Packages that the run `again` deployed keep their
/// digests.
pub(super) async fn packages(
    sources: &Sources<'_>,
    action: &Checked,
    again: Option<&PastRun>,
    failures: u32,
) -> Result<Vec<PackageStatus>, Problem> {
    let mut resolved = Vec::with_capacity(action.packages.len());
    for package in &action.packages {
        let same = again.and_then(|past| as_before(package, past));
        let mut what = format!("spec.packages, {}", package.name);
        if let Some((past, _)) = again.zip(same.as_ref()) {
            what += &format!(" as in run {} (a new spec.runToken resolves it anew)", past.number);
        }
        let package = same.as_ref().unwrap_or(package);
        let found = Asked { sources, action, package, failures, refused: Vec::new() }.find().await;
        resolved.push(found.map_err(|problem| problem.of(&what))?);
    }
    Ok(resolved)
}

/// The package with its digest in that run.
fn as_before(package: &CheckedPackage, past: &PastRun) -> Option<CheckedPackage> {
    let of = past.packages.iter().find(|of| of.name == package.name)?;
    // Somebody else may have written this status, and it must not lead to another image.
    let reference = Some(&of.resolved).filter(|image| package.reference.is_pinned_as(image))?;
    Some(CheckedPackage { reference: ImageReference::parse(reference).ok()?, ..package.clone() })
}

impl Problem {
    fn of(self, what: &str) -> Self {
        match self {
            Self::Later(reason, message, pause) => Self::Later(reason, format!("{what}: {message}"), pause),
            Self::Never(reason, message) => Self::Never(reason, format!("{what}: {message}")),
            Self::AskNode(reason, message) => Self::AskNode(reason, format!("{what}: {message}")),
        }
    }
}

/// One package, and the registry's refusals so far.
struct Asked<'a> {
    sources: &'a Sources<'a>,
    action: &'a Checked,
    package: &'a CheckedPackage,
    failures: u32,
    refused: Vec<ResolveError>,
}

impl Asked<'_> {
    async fn find(mut self) -> Result<PackageStatus, Problem> {
        if let Some(answer) = self.ask(&Asker::anonymous()).await {
            return answer;
        }
        let mut notes = Vec::new();
        let operators = pull_secrets::of_operator(self.sources.credentials_file).await;
        notes.extend(operators.notes);
        for asker in operators.keyring.askers(&self.package.reference) {
            if let Some(answer) = self.ask(asker).await {
                return answer;
            }
        }
        let granted =
            pull_secrets::of_namespace(self.sources.client, self.action, &self.package.reference).await;
        notes.extend(granted.notes);
        for asker in granted.keyring.askers(&self.package.reference) {
            if let Some(answer) = self.ask(asker).await {
                return answer;
            }
        }
        self.refused_by_all(&notes)
    }

    /// `None` if other credentials may get a better answer.
    async fn ask(&mut self, asker: &Asker) -> Option<Result<PackageStatus, Problem>> {
        let Sources { registry, platform, .. } = self.sources;
        match registry.package(&self.package.reference, platform, asker).await {
            Ok(manifest) => Some(self.judge(&manifest)),
            Err(error) if error.may_help_to_ask_as_another() => {
                self.refused.push(error);
                None
            }
            Err(error) if error.is_transient() && self.failures >= TRIES && self.is_pinned() => {
                Some(Ok(self.unread()))
            }
            Err(error) if error.is_transient() => Some(Err(later(&error))),
            Err(error) => Some(Err(Problem::Never(reason(&error), error.about_package()))),
        }
    }

    fn is_pinned(&self) -> bool {
        self.package.reference.digest().is_some()
    }

    /// A package that is too large is refused before a byte of it is fetched.
    fn judge(&self, manifest: &PackageManifest) -> Result<PackageStatus, Problem> {
        let (packed, limit) = (manifest.packed_bytes(), self.sources.package_limit_bytes);
        if !manifest.is_image && packed > limit {
            let message = format!(
                "{} has {packed} bytes packed, and a package may have {limit} unpacked",
                self.package.reference
            );
            return Err(Problem::Never(Reason::PackageTooLarge, message));
        }
        let kind = if manifest.is_image { PackageKind::Image } else { PackageKind::Artifact };
        Ok(PackageStatus {
            kind,
            media_type: Some(manifest.media_type.clone()),
            ..self.pinned(&manifest.digest)
        })
    }

    fn unread(&self) -> PackageStatus {
        self.pinned(self.package.reference.digest().unwrap_or_default())
    }

    fn pinned(&self, digest: &str) -> PackageStatus {
        PackageStatus {
            name: self.package.name.clone(),
            requested: self.package.requested.clone(),
            resolved: self.package.reference.pinned(digest),
            ..PackageStatus::default()
        }
    }

    fn refused_by_all(self, notes: &[String]) -> Result<PackageStatus, Problem> {
        let secrets = !self.action.spec.image_pull_secrets.is_empty();
        if self.is_pinned() && secrets {
            return Ok(self.unread());
        }
        // "Not found" for the last credentials counts most.
        let absent = |error: &&ResolveError| matches!(error, ResolveError::NotFound { .. });
        let denied = |error: &&ResolveError| matches!(error, ResolveError::Denied { .. });
        let last = self.refused.last().filter(absent).or_else(|| self.refused.iter().rfind(denied));
        let Some(error) = last.or_else(|| self.refused.last()) else {
            return Err(Problem::Never(Reason::PackageDenied, "nobody was asked".to_owned()));
        };
        let message = [&[error.about_package()][..], notes].concat().join("; ");
        Err(match error {
            error if error.is_transient() => later(error),
            // Objects that are applied together arrive in any order. A Secret may exist in a moment.
            ResolveError::Denied { .. } if secrets => Problem::Later(Reason::PackageDenied, message, None),
            error => Problem::Never(reason(error), message),
        })
    }
}

const fn reason(error: &ResolveError) -> Reason {
    match error {
        ResolveError::NotFound { .. } => Reason::PackageNotFound,
        ResolveError::Denied { .. } => Reason::PackageDenied,
        ResolveError::Invalid { mismatch: true, .. } => Reason::PackageDigestMismatch,
        ResolveError::NoPlatform { .. }
        | ResolveError::Invalid { .. }
        | ResolveError::NotAnImage { .. }
        | ResolveError::NotAPackage { .. } => Reason::PackageInvalid,
        ResolveError::Unreachable { .. }
        | ResolveError::RateLimited { .. }
        | ResolveError::Failing { .. } => Reason::RegistryUnavailable,
    }
}
