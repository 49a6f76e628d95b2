//! Resolves a reference to a package's content: by the tag, the index and the platform's manifest.

use super::{MAX_DEPTH, Registry, checked};
use crate::registry::{
    blob::Blob,
    client::{Answer, Content, Question},
    credentials::Asker,
    error::{Advice, ResolveError},
    manifest::{Fault, Manifest, entry},
    package::PackageManifest,
    platform::Platform,
    reference::ImageReference,
    refusal::Speaker,
};

impl Registry {
    /// Finds out what the reference means now. From an index, it takes the entry for the platform. Nothing is
    /// remembered.
    ///
    /// # Errors
    /// [`ResolveError`]. Nothing is tried twice here.
    pub async fn package(
        &self,
        package: &ImageReference,
        platform: &Platform,
        asker: &Asker,
    ) -> Result<PackageManifest, ResolveError> {
        let timeout = self.inner.timeout;
        tokio::time::timeout(timeout, self.read_package(package, platform, asker)).await.unwrap_or_else(
            |_| {
                let cause = format!("no complete answer within {} s", timeout.as_secs_f32());
                Err(Question::registry(package, asker).unreachable(cause, Advice::CheckNetwork, None))
            },
        )
    }

    /// Begins to read a blob of the reference's repository.
    ///
    /// # Errors
    /// [`ResolveError`], if the registry does not send it.
    pub async fn blob(
        &self,
        package: &ImageReference,
        digest: &str,
        size: u64,
        asker: &Asker,
    ) -> Result<Blob, ResolveError> {
        let timeout = self.inner.timeout;
        let begun = tokio::time::timeout(timeout, self.inner.client.open(package, digest, size, asker));
        begun.await.unwrap_or_else(|_| {
            let cause = format!("no answer within {} s", timeout.as_secs_f32());
            Err(Question::registry(package, asker).unreachable(cause, Advice::CheckNetwork, None))
        })
    }

    async fn read_package(
        &self,
        package: &ImageReference,
        platform: &Platform,
        asker: &Asker,
    ) -> Result<PackageManifest, ResolveError> {
        let (mut content, by_tag) = match (package.digest(), package.tag()) {
            (Some(digest), _) => (Content::Manifest(digest), false),
            (None, Some(tag)) => (Content::Tagged(tag), true),
            (None, None) => {
                let question = Question::registry(package, asker);
                return Err(question.invalid("the package has neither tag nor digest".to_owned()));
            }
        };
        let (mut named, mut below): (Option<String>, String);
        named = None;
        for depth in 0..MAX_DEPTH {
            let Answer { content_type, body, speaker, digest } =
                self.inner.client.read(package, content, asker).await?;
            let named = named.get_or_insert(digest);
            let told = |fault| told(package, asker, by_tag && depth == 0, fault);
            let parsed = Manifest::parse(content_type.as_deref(), &body).map_err(|fault| match speaker {
                // Under a tag, the content may be anything that another server holds.
                Speaker::Other if by_tag && depth == 0 => {
                    Fault::Garbage("content of another server, which is no manifest".to_owned())
                }
                _ => fault,
            });
            match parsed.map_err(told)? {
                Manifest::Index(index) => {
                    let entry = entry(&index, platform).map_err(|available| ResolveError::NoPlatform {
                        image: package.to_string(),
                        wanted: platform.to_string(),
                        available,
                    })?;
                    below = checked(&entry.digest).map_err(told)?.to_owned();
                    content = Content::Manifest(&below);
                }
                Manifest::Image(manifest) => {
                    return PackageManifest::read(named.clone(), &manifest)
                        .map_err(|what| ResolveError::NotAPackage { package: package.to_string(), what });
                }
            }
        }
        let what = format!("its index leads through more than {MAX_DEPTH} indexes");
        Err(ResolveError::NotAPackage { package: package.to_string(), what })
    }
}

fn told(package: &ImageReference, asker: &Asker, by_tag: bool, fault: Fault) -> ResolveError {
    match fault {
        Fault::Garbage(what) if by_tag => Question::registry(package, asker).invalid(what),
        Fault::Garbage(what) | Fault::NotAnImage(what) => {
            ResolveError::NotAPackage { package: package.to_string(), what }
        }
    }
}
