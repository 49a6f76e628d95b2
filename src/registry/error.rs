//! Why an image could not be resolved, in words for whoever is called about it.

use std::sync::Arc;
use std::time::Duration;

/// Why an image could not be resolved. Each text names the image, repeats the registry's own words
/// and says what to do.
#[derive(Debug, Clone, thiserror::Error)]
// Some texts are Box<str>, so that a Result with this error stays below 128 bytes.
pub enum ResolveError {
    /// The registry has no such repository, tag or digest (HTTP 404).
    #[error(
        "image {image} does not exist: registry {registry}, asked {asked}, says {words}. Check the name and \
         the tag, and that the image was pushed (some registries answer so for an image that they do not show)"
    )]
    NotFound {
        /// The image as asked for.
        image: String,
        /// The registry asked.
        registry: String,
        /// How it was asked, as in `as user ci of Secret team/pull`.
        asked: Box<str>,
        /// HTTP status and what the registry wrote.
        words: String,
    },
    /// The registry or its token server does not show the image to who asks (HTTP 401, 403; and 400
    /// where an identity token was to be exchanged).
    #[error(
        "registry {registry}, asked {asked}, does not show image {image}: it says {words}. Check the name \
         (many registries answer so for an image that does not exist) and the right to pull it; written with \
         its digest, as in {without_tag}@sha256:..., a private image needs no look-up"
    )]
    Denied {
        /// The image as asked for.
        image: String,
        /// The image without tag and digest.
        without_tag: Box<str>,
        /// The registry asked.
        registry: String,
        /// How it was asked, as in `as user ci of Secret team/pull`.
        asked: Box<str>,
        /// HTTP status and what the registry wrote.
        words: String,
    },
    /// No answer: name resolution, connection, TLS, or time.
    #[error("cannot reach registry {registry} for image {image}: {cause}. {}", advice.text(registry))]
    Unreachable {
        /// The image as asked for.
        image: String,
        /// The registry asked.
        registry: String,
        /// The client's words, from the outermost cause to the innermost.
        cause: String,
        /// What is likely to help.
        advice: Advice,
        /// The client's error; none where the time for the whole ran out.
        #[source]
        source: Option<Arc<reqwest::Error>>,
    },
    /// Too many requests (HTTP 429).
    #[error(
        "registry {registry}, asked {asked}, limits the rate of requests for image {image}: it says {words}{}. Wait, mirror \
         the image into a registry of your own, or write the digest, as in {without_tag}@sha256:...",
        wait(*retry_after)
    )]
    RateLimited {
        /// The image as asked for.
        image: String,
        /// The image without tag and digest.
        without_tag: Box<str>,
        /// The registry asked.
        registry: String,
        /// How it was asked, as in `as user ci of Secret team/pull`.
        asked: Box<str>,
        /// When to ask again, at most a day; none where the registry does not say.
        retry_after: Option<Duration>,
        /// HTTP status and what the registry wrote.
        words: String,
    },
    /// The registry, or what stands before it, is out of order (HTTP 408, 5xx).
    #[error(
        "registry {registry} fails for image {image}: it says {words}{}. It will be asked again; if it \
         lasts, look at the registry",
        wait(*retry_after)
    )]
    Failing {
        /// The image as asked for.
        image: String,
        /// The registry asked.
        registry: String,
        /// When to ask again, at most a day; none where the registry does not say.
        retry_after: Option<Duration>,
        /// HTTP status and what the registry wrote.
        words: String,
    },
    /// The image exists, but not for the platform of the cluster's nodes.
    #[error(
        "image {image} has nothing for {wanted}; it has {}. Build and push it for {wanted} too, or write \
         another image",
        listed(available)
    )]
    NoPlatform {
        /// The image as asked for.
        image: String,
        /// As in `linux/amd64`.
        wanted: String,
        /// What the image is for, as in `linux/arm64/v8`; sorted.
        available: Vec<String>,
    },
    /// The answer is none that a registry may give, and so says nothing about the image.
    #[error(
        "registry {registry} answers rubbish for image {image}: {what}. Check that a registry answers under \
         this name, and no proxy, login page or other service before it"
    )]
    Invalid {
        /// The image as asked for.
        image: String,
        /// The registry asked.
        registry: String,
        /// What is wrong with the answer.
        what: String,
        /// Whether it is that the content has another digest than it should.
        mismatch: bool,
    },
    /// What the registry holds has the right digest and is no image that a container can run.
    #[error("{image} is no image that a container can run: {what}")]
    NotAnImage {
        /// The image as asked for.
        image: String,
        /// What it is instead, and what to do.
        what: String,
    },
    /// What the registry holds has the right digest and cannot be laid into a folder.
    #[error("{package} is no package that can be laid into a folder: {what}")]
    NotAPackage {
        /// The package as asked for.
        package: String,
        /// What is wrong with it, and what to do.
        what: String,
    },
}

/// What is likely to help where a registry cannot be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// It answered HTTPS with plain HTTP.
    NameAsPlainHttp,
    /// It answered plain HTTP with TLS.
    NameNotAsPlainHttp,
    /// Its certificate is signed by nobody we know.
    AddAuthority,
    /// Its certificate is expired, or of another name.
    RepairCertificate,
    /// It, or what it sends us to, would have us use plain HTTP where no flag allows it.
    RefusedPlainHttp,
    /// It, or what it sends us to, is on the operator's own loopback or link.
    RefusedAddress,
    /// Its name is not known to DNS, or DNS does not answer.
    CheckName,
    /// Nothing of the above: down, behind a network policy, too slow.
    CheckNetwork,
}

impl Advice {
    fn text(self, registry: &str) -> String {
        match self {
            Self::NameAsPlainHttp => {
                format!("The registry speaks plain HTTP; if that is meant, name {registry} in the chart's registries.plainHttp")
            }
            Self::NameNotAsPlainHttp => {
                format!("The registry speaks TLS; take {registry} out of the chart's registries.plainHttp")
            }
            Self::AddAuthority => {
                "The registry's certificate is signed by an authority that is not known here; add the authority's certificate to the chart's registries.caBundle".to_owned()
            }
            Self::RepairCertificate => {
                "The registry's certificate does not fit; renew it, or write the name that it was made for".to_owned()
            }
            Self::RefusedPlainHttp | Self::RefusedAddress => {
                "If that is meant, name it in the chart's registries.plainHttp".to_owned()
            }
            Self::CheckName => format!(
                "Check the name {registry}, and that the operator's pod can resolve it (its own DNS, not the node's)"
            ),
            Self::CheckNetwork => format!(
                "Check that {registry} is up, and that network policies and proxies let the operator's pod reach it"
            ),
        }
    }
}

impl ResolveError {
    /// Whether asking again, unchanged, may help. What needs somebody to change the image, the
    /// registry's contents or the operator's settings is not transient.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::RateLimited { .. } | Self::Failing { .. } => true,
            Self::Unreachable { advice, .. } => matches!(advice, Advice::CheckName | Advice::CheckNetwork),
            Self::NotFound { .. }
            | Self::Denied { .. }
            | Self::NoPlatform { .. }
            | Self::Invalid { .. }
            | Self::NotAnImage { .. }
            | Self::NotAPackage { .. } => false,
        }
    }

    /// Whether the registry may tell more to someone else. Registries hide private repositories
    /// behind a 404, and limit those who ask anonymously more than others. Where nobody answers, or
    /// the content itself is wrong, credentials change nothing.
    #[must_use]
    pub fn may_help_to_ask_as_another(&self) -> bool {
        match self {
            Self::Denied { .. } | Self::NotFound { .. } | Self::RateLimited { .. } => true,
            Self::Unreachable { .. }
            | Self::Failing { .. }
            | Self::NoPlatform { .. }
            | Self::Invalid { .. }
            | Self::NotAnImage { .. }
            | Self::NotAPackage { .. } => false,
        }
    }

    /// When the registry wants to be asked again, if it says so; at most a day.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. } | Self::Failing { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// A word for metrics and logs; the list is closed.
    #[must_use]
    pub fn category(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "not_found",
            Self::Denied { .. } => "denied",
            Self::Unreachable { .. } => "unreachable",
            Self::RateLimited { .. } => "rate_limited",
            Self::Failing { .. } => "failing",
            Self::NoPlatform { .. } => "no_platform",
            Self::Invalid { .. } => "invalid",
            Self::NotAnImage { .. } => "not_an_image",
            Self::NotAPackage { .. } => "not_a_package",
        }
    }

    /// Whether the registry, not the image, is why nothing is known. Who has a digest can go on; but
    /// not to a near address: the node's words would tell of its ports as ours would.
    pub(super) fn lets_a_digest_pass(&self) -> bool {
        !matches!(
            self,
            Self::NoPlatform { .. }
                | Self::NotAnImage { .. }
                | Self::NotAPackage { .. }
                | Self::Unreachable { advice: Advice::RefusedAddress, .. }
        )
    }
}

fn wait(retry_after: Option<Duration>) -> String {
    retry_after.map_or_else(String::new, |wait| format!(", and to wait {} s", wait.as_secs()))
}

fn listed(available: &[String]) -> String {
    if available.is_empty() { "nothing at all".to_owned() } else { available.join(", ") }
}
