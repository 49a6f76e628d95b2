//! From a reference to digests and user: tag, index, the platform's manifest, its config.

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

/// An index may name an index; more than this is a circle or a joke.
const MAX_DEPTH: usize = 3;

/// More images than an operator runs in a while; each takes some hundred bytes.
const MAX_KNOWN: usize = 1024;

/// How to speak to registries.
#[derive(Debug, Clone)]
pub struct RegistryConfig {
    /// The registries to speak plain HTTP to, each as it stands in references: `host` or
    /// `host:port`. All others get HTTPS, wherever they send us, and no request leads to addresses
    /// on the operator's own loopback or link.
    pub plain_http: Vec<String>,
    /// For one image in all: token, manifests, config.
    pub timeout: Duration,
    /// Authorities to trust beside the system's, PEM.
    pub ca_bundle_pem: Option<Vec<u8>>,
}

impl Default for RegistryConfig {
    fn default() -> Self {
        Self { plain_http: Vec::new(), timeout: Duration::from_secs(20), ca_bundle_pem: None }
    }
}

/// An image as the registry has it now. Runtimes report any of the three digests as what they ran
/// (kubernetes#115199).
#[derive(Debug, Clone)]
pub struct ResolvedImage {
    /// What the tag names, or the digest that was given: an index's where it is one. Pods run this.
    pub digest: String,
    /// The platform's manifest; the same as `digest` where there is no index. None where the
    /// registry could not be read and the digest was given.
    pub platform_digest: Option<String>,
    /// The image's config. None as above.
    pub config_digest: Option<String>,
    /// The user that the image asks for. [`ImageUser::Unreadable`] where the registry could not be
    /// read and the digest was given, or where the config is none.
    pub user: ImageUser,
    /// Why the registry could not be read, where the digest was given. If it is transient, asking
    /// again may still tell the user.
    pub unread: Option<Arc<ResolveError>>,
}

/// The registries, seen from here. Cheap to clone; clones share connections, tokens and what was
/// read of digests.
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
    /// No provider is installed, the CA bundle is none, there are no root certificates at all, or no
    /// random bytes.
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

    /// Finds out what the reference means now, for the platform.
    ///
    /// A tag is looked up each time. What hangs on a digest never changes, so it is read once. With
    /// a digest given, the registry is read for the user alone, and a registry that cannot be read
    /// is no error: the result says [`ImageUser::Unreadable`], has no other digests, and holds the
    /// reason in [`ResolvedImage::unread`]. What the content behind the digest itself shows (not
    /// for this platform, no image) is an error all the same, as is a registry on a near address.
    ///
    /// The asker's credentials are shown to the registry if it asks who is there, and to the token
    /// server that it names; not to where they redirect to, and in the clear only to hosts named in
    /// [`RegistryConfig::plain_http`]. What was read is kept for the same scope and credentials.
    ///
    /// # Errors
    /// [`ResolveError`]; nothing is tried twice in here, that is for who schedules.
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
            // The parser lets no such reference through; and never :latest by default.
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
                // Under a tag, it may be anything that another server has.
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
    Err(Fault::NotAnImage(format!("its manifest names the digest {:?}", transport::clean(digest))))
}

/// Garbage under a tag is the registry's fault, or that of who answers for it; garbage with the
/// digest that was asked for is what somebody pushed.
fn told(image: &ImageReference, asker: &Asker, by_tag: bool, fault: Fault) -> ResolveError {
    match fault {
        Fault::Garbage(what) if by_tag => Question::registry(image, asker).invalid(what),
        Fault::Garbage(what) | Fault::NotAnImage(what) => {
            ResolveError::NotAnImage { image: image.to_string(), what }
        }
    }
}

/// What hangs on a digest, for a platform.
#[derive(Debug, Clone)]
struct Facts {
    platform_digest: String,
    config_digest: String,
    user: ImageUser,
}

/// Facts by pinned image and platform, and by who read them: nobody learns by a digest what the
/// registry would not show him.
#[derive(Default)]
struct Known(Mutex<HashMap<KnownKey, Facts>>);

type KnownKey = (Owner, String, Platform);

impl Known {
    fn get(&self, key: &KnownKey) -> Option<Facts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    fn put(&self, key: KnownKey, facts: Facts) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Read again when needed: simpler than an order of use, and as cheap at this size.
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        known.insert(key, facts);
    }
}
