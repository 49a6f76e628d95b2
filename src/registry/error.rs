//! Why an image could not be resolved, in words for the person on call.

use std::sync::Arc;
use std::time::Duration;

/// Why an image could not be resolved. Each text names the image, repeats the registry's own words
/// and says what to do.
#[derive(Debug, Clone, thiserror::Error)]
// Some texts are Box<str>, to keep a Result with this error below 128 bytes.
pub enum ResolveError {
    /// The registry has no such repository, tag or digest (HTTP 404).
    #[error(
        "image {image} does not exist: registry {registry}, asked {asked}, says {words}. Check the name and \
         the tag, and that the image was pushed (some registries answer like this for a private image)"
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
    /// The registry or its token server refuses to show the image (HTTP 401 or 403, or 400 when exchanging an
    /// identity token).
    #[error(
        "registry {registry}, asked {asked}, does not show image {image}: it says {words}. Check the name \
         (many registries answer like this for an image that does not exist) and the right to pull it; written with \
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
        /// The likely remedy.
        advice: Advice,
        /// The client's error. None if the overall time ran out.
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
        /// When to ask again, at most a day. None if the registry does not say.
        retry_after: Option<Duration>,
        /// HTTP status and what the registry wrote.
        words: String,
    },
    /// The registry, or a server in front of it, fails (HTTP 408, 5xx).
    #[error(
        "registry {registry} fails for image {image}: it says {words}{}. It will be asked again; if this \
         continues, look at the registry",
        wait(*retry_after)
    )]
    Failing {
        /// The image as asked for.
        image: String,
        /// The registry asked.
        registry: String,
        /// When to ask again, at most a day. None if the registry does not say.
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
        /// The image's platforms, as in `linux/arm64/v8`, sorted.
        available: Vec<String>,
    },
    /// No registry may answer like this, so the answer says nothing about the image.
    #[error(
        "registry {registry} gives an invalid answer for image {image}: {what}. Check that a registry has this name, \
         and not a proxy, a login page or another service"
    )]
    Invalid {
        /// The image as asked for.
        image: String,
        /// The registry asked.
        registry: String,
        /// The fault of the answer.
        what: String,
        /// Whether the fault is a wrong digest of the content.
        mismatch: bool,
    },
    /// The content has the right digest, but is no image that a container can run.
    #[error("{image} is no image that a container can run: {what}")]
    NotAnImage {
        /// The image as asked for.
        image: String,
        /// The kind of the content, and what to do.
        what: String,
    },
    /// The content has the right digest, but cannot be unpacked into a folder.
    #[error("{package} is no package that can be unpacked into a folder: {what}")]
    NotAPackage {
        /// The package as asked for.
        package: String,
        /// The fault, and what to do.
        what: String,
    },
}

/// The likely remedy for a registry that cannot be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// It answered HTTPS with plain HTTP.
    NameAsPlainHttp,
    /// It answered plain HTTP with TLS.
    NameNotAsPlainHttp,
    /// An unknown authority has signed its certificate.
    AddAuthority,
    /// Its certificate has expired, or is for another name.
    RepairCertificate,
    /// It, or a server that it redirects to, uses plain HTTP, which no flag allows.
    RefusedPlainHttp,
    /// It, or a server that it redirects to, is on the operator's own loopback or link.
    RefusedAddress,
    /// DNS does not know its name, or does not answer.
    CheckName,
    /// None of the above: down, behind a network policy, too slow.
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
    /// Whether asking again may help without a change. An error is not transient if the image, the registry's
    /// content or the operator's settings must change first.
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

    /// Whether other credentials may help. Registries hide private repositories behind a 404, and have
    /// stricter limits for anonymous requests. If no server answers, or the content itself is wrong,
    /// credentials change nothing.
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

    /// When to ask the registry again, if it says so. At most a day.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. } | Self::Failing { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// A word for metrics and logs, from a closed list.
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

    /// Whether the registry is at fault, and not the image. An image with a digest can then run anyway. Near
    /// addresses are excluded: the node's error would reveal its open ports, as the operator's would.
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
