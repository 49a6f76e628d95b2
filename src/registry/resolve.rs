//! Resolves a reference to digests and user: by the tag, the index, the platform's manifest and its config.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::client::{Answer, Client, Content, Question};
use rustls::crypto::CryptoProvider;

use super::credentials::{Asker, Owner, Salt};
use super::digest;
use super::error::{Advice, ResolveError};
use super::manifest::{Config, Fault, Manifest, config_of, entry};
use super::platform::Platform;
use super::quoted::quoted;
use super::reference::ImageReference;
use super::refusal::Speaker;
use super::token::Tokens;
use super::transport::{self, Http, PlainHttp, Reach};
use super::user::ImageUser;

pub use super::transport::SetupError;

mod package;

#[cfg(test)]
mod connection_tests;
#[cfg(test)]
mod credentials_tests;
#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;

/// How deep an index may name another index. More is a circle or abuse.
const MAX_DEPTH: usize = 3;

/// The most images remembered: more than an operator runs in a while. Each takes a few hundred bytes.
const MAX_KNOWN: usize = 1024;

/// How to speak to registries.
#[derive(Debug, Clone)]
pub struct RegistryConfig {
    /// The registries to speak plain HTTP to, as written in references: `host` or `host:port`. All others,
    /// and servers that they redirect to, get HTTPS, and never a request to an address on the operator's own
    /// loopback or link.
    pub plain_http: Vec<String>,
    /// The time limit for one image: token, manifests and config together.
    pub timeout: Duration,
    /// Authorities to trust besides the system's, PEM.
    pub ca_bundle_pem: Option<Vec<u8>>,
}

impl Default for RegistryConfig {
    fn default() -> Self {
        Self { plain_http: Vec::new(), timeout: Duration::from_secs(20), ca_bundle_pem: None }
    }
}

/// An image as the registry has it now. Runtimes report any of the three digests as the one that ran
/// (kubernetes#115199).
#[derive(Debug, Clone)]
pub struct ResolvedImage {
    /// The digest that the tag names, or the given one. It may be an index's. Pods run this digest.
    pub digest: String,
    /// The digest of the platform's manifest. The same as `digest` if there is no index. None if the digest
    /// was given and the registry could not be read.
    pub platform_digest: Option<String>,
    /// The digest of the image's config. None in the same case.
    pub config_digest: Option<String>,
    /// The user that the image asks for. [`ImageUser::Unreadable`] if the digest was given and the registry
    /// could not be read, or if the config is invalid.
    pub user: ImageUser,
    /// Why the registry could not be read, if the digest was given. If this is transient, asking again may
    /// still show the user.
    pub unread: Option<Arc<ResolveError>>,
}

/// The client for all registries. Cheap to clone: clones share connections, tokens and the content read by
/// digest.
#[derive(Clone)]
pub struct Registry {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    timeout: Duration,
    known: Known,
}

impl Registry {
    /// Builds the client. The process must have installed a rustls provider
    /// (`rustls::crypto::ring::default_provider().install_default()`).
    ///
    /// # Errors
    /// No provider is installed, the CA bundle is invalid, or root certificates or random bytes are missing.
    pub fn new(config: RegistryConfig) -> Result<Self, SetupError> {
        Self::reaching(Reach::NotNear, config)
    }

    fn reaching(reach: Reach, config: RegistryConfig) -> Result<Self, SetupError> {
        let RegistryConfig { plain_http, timeout, ca_bundle_pem } = config;
        let http = Http::new(PlainHttp::new(&plain_http), ca_bundle_pem.as_deref(), reach)?;
        let provider = CryptoProvider::get_default().ok_or(SetupError::NoProvider)?;
        let salt = Salt::new(provider.secure_random)?;
        let client = Client { http, tokens: Tokens::default(), salt };
        Ok(Self { inner: Arc::new(Inner { client, timeout, known: Known::default() }) })
    }

    /// Finds out what the reference means now for the platform.
    ///
    /// A tag is looked up each time. The content behind a digest never changes, so it is read once. If the
    /// digest is given, the registry is only read for the user, and a registry that cannot be read is no
    /// error. The result is then [`ImageUser::Unreadable`], without other digests, with the reason in
    /// [`ResolvedImage::unread`]. Two errors remain: the content does not fit (another platform, no image),
    /// and the registry has a near address.
    ///
    /// The credentials go to the registry if it asks for them, and to the token server that it names. They
    /// never go to servers that these redirect to. They go unencrypted only to hosts named in
    /// [`RegistryConfig::plain_http`]. The content is remembered for the same scope and credentials.
    ///
    /// # Errors
    /// [`ResolveError`]. Nothing is tried twice here: the caller schedules retries.
    pub async fn resolve(
        &self,
        image: &ImageReference,
        platform: &Platform,
        asker: &Asker,
    ) -> Result<ResolvedImage, ResolveError> {
        let timeout = self.inner.timeout;
        let read = tokio::time::timeout(timeout, self.inner.read(image, platform, asker)).await;
        let read = read.unwrap_or_else(|_| {
            let cause = format!("no complete answer within {} s", timeout.as_secs_f32());
            let question = Question::registry(image, asker);
            Err(question.unreachable(cause, Advice::CheckNetwork, None))
        });
        match (read, image.digest()) {
            (Err(error), Some(digest)) if error.lets_a_digest_pass() => Ok(ResolvedImage {
                digest: digest.to_owned(),
                platform_digest: None,
                config_digest: None,
                user: ImageUser::Unreadable,
                unread: Some(Arc::new(error)),
            }),
            (read, _) => read,
        }
    }
}

impl Inner {
    async fn read(
        &self,
        image: &ImageReference,
        platform: &Platform,
        asker: &Asker,
    ) -> Result<ResolvedImage, ResolveError> {
        let (digest, answer) = match (image.digest(), image.tag()) {
            (Some(digest), _) => (digest.to_owned(), None),
            (None, Some(tag)) => {
                let answer = self.client.read(image, Content::Tagged(tag), asker).await?;
                (answer.digest.clone(), Some(answer))
            }
            // The parser accepts no such reference, and `:latest` is never the default.
            (None, None) => {
                let question = Question::registry(image, asker);
                return Err(question.invalid("the image has neither tag nor digest".to_owned()));
            }
        };
        let key = (self.client.salt.owner(asker), image.pinned(&digest), platform.clone());
        let facts = if let Some(facts) = self.known.get(&key) {
            facts
        } else {
            let facts = self.facts(image, &digest, answer, platform, asker).await?;
            self.known.put(key, facts.clone());
            facts
        };
        let Facts { platform_digest, config_digest, user } = facts;
        Ok(ResolvedImage {
            digest,
            platform_digest: Some(platform_digest),
            config_digest: Some(config_digest),
            user,
            unread: None,
        })
    }

    /// Walks from the digest to the platform's manifest and config.
    async fn facts(
        &self,
        image: &ImageReference,
        digest: &str,
        mut answer: Option<Answer>,
        platform: &Platform,
        asker: &Asker,
    ) -> Result<Facts, ResolveError> {
        let no_platform = |available| ResolveError::NoPlatform {
            image: image.to_string(),
            wanted: platform.to_string(),
            available,
        };
        let mut platform_digest = digest.to_owned();
        for _ in 0..MAX_DEPTH {
            let by_tag = answer.is_some();
            let Answer { content_type, body, speaker, .. } = match answer.take() {
                Some(answer) => answer,
                None => self.client.read(image, Content::Manifest(&platform_digest), asker).await?,
            };
            let told = |fault| told(image, asker, by_tag, fault);
            let parsed = Manifest::parse(content_type.as_deref(), &body).map_err(|fault| match speaker {
                // Under a tag, the content may be anything that another server holds.
                Speaker::Other if by_tag => {
                    Fault::Garbage("content of another server, which is no manifest of an image".to_owned())
                }
                _ => fault,
            });
            match parsed.map_err(told)? {
                Manifest::Index(index) => {
                    let entry = entry(&index, platform).map_err(no_platform)?;
                    platform_digest = checked(&entry.digest).map_err(told)?.to_owned();
                }
                Manifest::Image(manifest) => {
                    let config_digest = config_of(&manifest).and_then(checked).map_err(told)?.to_owned();
                    let config = self.client.read(image, Content::Config(&config_digest), asker).await?;
                    let config = Config::parse(&config.body);
                    if let Some(other) = config.as_ref().and_then(|config| config.other_platform(platform)) {
                        return Err(no_platform(vec![other]));
                    }
                    let user = config.map_or(ImageUser::Unreadable, |config| config.user());
                    return Ok(Facts { platform_digest, config_digest, user });
                }
            }
        }
        let what = format!("its index leads through more than {MAX_DEPTH} indexes");
        Err(told(image, asker, false, Fault::NotAnImage(what)))
    }
}

fn checked(digest: &str) -> Result<&str, Fault> {
    if digest::is_valid(digest) {
        return Ok(digest);
    }
    Err(Fault::NotAnImage(format!("its manifest names the digest {}", quoted(&transport::clean(digest)))))
}

/// Garbage under a tag is the fault of the registry, or of a server that answers in its place. Garbage with
/// the requested digest was pushed like this.
fn told(image: &ImageReference, asker: &Asker, by_tag: bool, fault: Fault) -> ResolveError {
    match fault {
        Fault::Garbage(what) if by_tag => Question::registry(image, asker).invalid(what),
        Fault::Garbage(what) | Fault::NotAnImage(what) => {
            ResolveError::NotAnImage { image: image.to_string(), what }
        }
    }
}

/// The facts behind a digest, for a platform.
#[derive(Debug, Clone)]
struct Facts {
    platform_digest: String,
    config_digest: String,
    user: ImageUser,
}

/// Facts by pinned image and platform, and by the credentials that read them. So a digest reveals nothing
/// that the registry would not show.
#[derive(Default)]
struct Known(Mutex<HashMap<KnownKey, Facts>>);

type KnownKey = (Owner, String, Platform);

impl Known {
    fn get(&self, key: &KnownKey) -> Option<Facts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    fn put(&self, key: KnownKey, facts: Facts) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Cleared facts are read again when needed. An order of use would be more complex and no cheaper at
        // this size.
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        known.insert(key, facts);
    }
}
