//! Image references, by the kubelet's grammar
//! ([distribution/reference](https://github.com/distribution/reference)) and one more rule: they need a tag
//! or a digest.

use std::fmt;

use super::digest;
use super::quoted::quoted;

#[cfg(test)]
mod tests;

/// The longest reference, in bytes: the schema's `maxLength`. A registry has at most 253 + 6, a
/// repository 255, a tag 128 and a digest 135, and there are three separators.
pub const MAX_LENGTH: usize = 253 + 6 + 255 + 128 + 135 + 3;

const MAX_HOST: usize = 253;
const MAX_REPOSITORY: usize = 255;
const MAX_TAG: usize = 128;

const DOCKER_HUB: &str = "docker.io";
const DOCKER_HUB_LEGACY: &str = "index.docker.io";

// Pieces of PATTERN, as macros because concat! takes nothing but literals.
macro_rules! label {
    () => {
        "[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
    };
}
macro_rules! component {
    () => {
        "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
    };
}

/// The grammar as a regular expression for the schema: directly as `pattern`, or in CEL as
/// `self.matches(r'...')` (a raw string, since the pattern has backslashes). RE2 and Rust read it in the same
/// way.
///
/// It cannot check numbers. [`ImageReference::parse`] also refuses a host longer than 253 characters, a
/// repository longer than 255 characters, and a port above 65535.
pub const PATTERN: &str = concat!(
    "^(?:",
    // registry/repository
    "(?:",
    label!(),
    "(?:[.]",
    label!(),
    ")*",
    r"|\[[a-fA-F0-9:]+\]",
    ")(?::[0-9]{1,5})?(?:/",
    component!(),
    ")+",
    // Docker Hub's official images: alpine
    "|",
    component!(),
    // Docker Hub's others: bitnami/kubectl; a dot would make the first part a registry
    "|[a-z0-9]+(?:(?:__?|-+)[a-z0-9]+)*(?:/",
    component!(),
    ")+",
    ")(?:",
    ":[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}(?:@(?:sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128}))?",
    "|@(?:sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128})",
    ")$"
);

/// A parsed reference. Docker Hub's short forms are written out: `alpine:3` is
/// `docker.io/library/alpine:3`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ImageReference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<String>,
}

/// The fault of a reference, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReferenceError {
    /// The text is empty.
    #[error("the image is empty: write REGISTRY/REPOSITORY:TAG, for example registry.example.com/tools:1.4")]
    Empty,
    /// More than [`MAX_LENGTH`] bytes.
    #[error("the image has {length} characters, at most {MAX_LENGTH} are allowed")]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// White space, control characters, anything outside ASCII.
    #[error(
        "image {} holds the character '{}': only ASCII letters, digits and . _ - / : @ are \
         allowed, and no blanks around it",
        quoted(text),
        character.escape_debug()
    )]
    Character {
        /// The reference.
        text: String,
        /// The first character that is not allowed.
        character: char,
    },
    /// `https://...`
    #[error("image {} is a URL: leave out the part up to \"://\"", quoted(text))]
    Scheme {
        /// The reference.
        text: String,
    },
    /// Neither tag nor digest.
    #[error(
        "image \"{name}\" has no tag: write the tag or digest that is meant, for example {name}:1.4 (an image \
         without a tag would be :latest, which changes under you)"
    )]
    NoTag {
        /// The reference.
        name: String,
    },
    /// The tag is invalid.
    #[error(
        "image \"{text}\" has the tag \"{tag}\": a tag has 1 to {MAX_TAG} letters, digits, '.', '_' or '-', and \
         does not start with '.' or '-'"
    )]
    Tag {
        /// The reference.
        text: String,
        /// The text in place of a tag.
        tag: String,
    },
    /// The digest is invalid.
    #[error(
        "image \"{text}\" has the digest \"{digest}\": write @sha256: and 64 digits of 0-9 and a-f, or @sha512: \
         and 128"
    )]
    Digest {
        /// The reference.
        text: String,
        /// The text in place of a digest.
        digest: String,
    },
    /// The part before the first slash is no host.
    #[error(
        "image \"{text}\" names the registry \"{registry}\": write a host name or address, and a port where it is \
         needed, for example registry.example.com:5000"
    )]
    Registry {
        /// The reference.
        text: String,
        /// The text in place of a registry.
        registry: String,
    },
    /// A part of the repository is empty, `..`, or has a character that is not allowed.
    #[error(
        "image \"{text}\" has \"{component}\" in its repository: each part between slashes has lower-case \
         letters and digits, joined by '.', '_', '__' or '-'"
    )]
    Component {
        /// The reference.
        text: String,
        /// The part.
        component: String,
    },
    /// A part of the repository is in upper case.
    #[error("image \"{text}\" has upper case in its repository: write \"{lower}\"")]
    UpperCase {
        /// The reference.
        text: String,
        /// The part, in lower case.
        lower: String,
    },
    /// More than 255 characters.
    #[error("the image's repository has {length} characters, at most {MAX_REPOSITORY} are allowed")]
    RepositoryTooLong {
        /// Its length in bytes.
        length: usize,
    },
}

impl ImageReference {
    /// Parses a reference with a tag, a digest or both.
    ///
    /// # Errors
    /// The fault and what to write instead, for the author.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        check_characters(text)?;
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (text, None),
        };
        if let Some(digest) = digest.filter(|digest| !digest::is_valid(digest)) {
            return Err(ReferenceError::Digest { text: text.to_owned(), digest: digest.to_owned() });
        }
        // A colon before the last slash belongs to the registry's port.
        let last = rest.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match rest[last..].find(':') {
            Some(colon) => (&rest[..last + colon], Some(&rest[last + colon + 1..])),
            None => (rest, None),
        };
        if let Some(tag) = tag.filter(|tag| !is_tag(tag)) {
            return Err(ReferenceError::Tag { text: text.to_owned(), tag: tag.to_owned() });
        }
        let (registry, repository) = split_registry(name);
        check_registry(text, registry)?;
        check_repository(text, &repository)?;
        if tag.is_none() && digest.is_none() {
            return Err(ReferenceError::NoTag { name: text.to_owned() });
        }
        Ok(Self {
            registry: registry.to_owned(),
            repository,
            tag: tag.map(ToOwned::to_owned),
            digest: digest.map(ToOwned::to_owned),
        })
    }

    /// `registry.example.com:5000`, or `docker.io` where none is written.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// `team/tools`, or `library/alpine`.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag, if one is written. It is ignored if there is a digest too.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if one is written.
    #[must_use]
    pub fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    /// Returns the reference that a pod runs: `repository@digest`. It leaves the tag out, so that no runtime
    /// can use it.
    #[must_use]
    pub fn pinned(&self, digest: &str) -> String {
        format!("{}/{}@{digest}", self.registry, self.repository)
    }

    /// Whether [`Self::pinned`] can make `image` from this reference. If the reference has a digest, only
    /// with that one.
    #[must_use]
    pub fn is_pinned_as(&self, image: &str) -> bool {
        digest_of(image).is_some_and(|digest| {
            self.pinned(digest) == image && self.digest.as_deref().is_none_or(|own| own == digest)
        })
    }
}

/// Returns the digest of a reference, if it has a valid one.
#[must_use]
pub fn digest_of(reference: &str) -> Option<&str> {
    let (_, digest) = reference.rsplit_once('@')?;
    digest::is_valid(digest).then_some(digest)
}

impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        self.digest.as_ref().map_or(Ok(()), |digest| write!(f, "@{digest}"))
    }
}

impl std::str::FromStr for ImageReference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

fn check_characters(text: &str) -> Result<(), ReferenceError> {
    if text.is_empty() {
        return Err(ReferenceError::Empty);
    }
    // Comes first, so that no other message repeats a megabyte.
    if text.len() > MAX_LENGTH {
        return Err(ReferenceError::TooLong { length: text.len() });
    }
    if text.contains("://") {
        return Err(ReferenceError::Scheme { text: text.to_owned() });
    }
    let belongs = |c: char| c.is_ascii_alphanumeric() || "._-/:@[]".contains(c);
    match text.chars().find(|c| !belongs(*c)) {
        Some(character) => Err(ReferenceError::Character { text: text.to_owned(), character }),
        None => Ok(()),
    }
}

fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    tag.len() <= MAX_TAG
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

/// Splits into registry and repository, like `splitDockerDomain` of distribution/reference. The first part is
/// a registry if it cannot be a part of a repository on Docker Hub.
fn split_registry(name: &str) -> (&str, String) {
    let (registry, path) = match name.split_once('/') {
        None => return (DOCKER_HUB, format!("library/{name}")),
        Some((DOCKER_HUB | DOCKER_HUB_LEGACY, path)) => (DOCKER_HUB, path),
        Some((first, path))
            if first == "localhost"
                || first.contains(['.', ':', '['])
                || first.bytes().any(|b| b.is_ascii_uppercase()) =>
        {
            (first, path)
        }
        Some(_) => (DOCKER_HUB, name),
    };
    if registry == DOCKER_HUB && !path.contains('/') {
        return (DOCKER_HUB, format!("library/{path}"));
    }
    (registry, path.to_owned())
}

fn check_registry(text: &str, registry: &str) -> Result<(), ReferenceError> {
    let (host, port) = match registry.rfind(':').filter(|_| !registry.ends_with(']')) {
        Some(colon) => (&registry[..colon], Some(&registry[colon + 1..])),
        None => (registry, None),
    };
    let port_fits = port.is_none_or(|port| {
        port.len() <= 5
            && port.bytes().all(|b| b.is_ascii_digit())
            && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    let host_fits = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => !address.is_empty() && address.bytes().all(|b| b.is_ascii_hexdigit() || b == b':'),
        None => host.split('.').all(is_label),
    };
    if port_fits && host_fits && host.len() <= MAX_HOST {
        return Ok(());
    }
    Err(ReferenceError::Registry { text: text.to_owned(), registry: registry.to_owned() })
}

fn is_label(label: &str) -> bool {
    !label.is_empty()
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn check_repository(text: &str, repository: &str) -> Result<(), ReferenceError> {
    if let Some(component) = repository.split('/').find(|component| !is_component(component)) {
        let lower = component.to_ascii_lowercase();
        return Err(if is_component(&lower) {
            ReferenceError::UpperCase { text: text.to_owned(), lower }
        } else {
            ReferenceError::Component { text: text.to_owned(), component: component.to_owned() }
        });
    }
    if repository.len() > MAX_REPOSITORY {
        return Err(ReferenceError::RepositoryTooLong { length: repository.len() });
    }
    Ok(())
}

/// Lower-case words, joined by one `.`, one or two `_`, or any number of `-`.
fn is_component(component: &str) -> bool {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    component.starts_with(word)
        && component.ends_with(word)
        && component
            .split(word)
            .all(|joint| matches!(joint, "" | "." | "_" | "__") || joint.bytes().all(|b| b == b'-'))
}
