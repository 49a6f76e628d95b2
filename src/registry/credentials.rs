//! The credentials for a registry, and whom they serve.

use std::fmt;

use rustls::crypto::SecureRandom;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest as _, Sha256};

use super::transport::{SetupError, clean};

/// The longest user name that is shown, in characters. A longer one is more likely a token in the wrong
/// place.
const MAX_SHOWN_USER: usize = 64;

/// Credentials for a registry. Secrets are wiped when dropped, and no Debug output shows them.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Credentials {
    /// No credentials. A token server is asked for an anonymous token.
    #[default]
    Anonymous,
    /// For HTTP Basic, at the registry itself or at its token server.
    Basic {
        /// The user. GitHub and others accept a token here, with an empty or fixed password.
        username: String,
        /// The password, or a token in its place.
        password: SecretString,
    },
    /// An OAuth 2 refresh token, which a token server exchanges.
    IdentityToken(SecretString),
    /// A bearer token that the registry accepts directly.
    RegistryToken(SecretString),
}

impl Credentials {
    /// The secret, or an empty text if there is none.
    fn secret(&self) -> &str {
        match self {
            Self::Anonymous => "",
            Self::Basic { password, .. } => password.expose_secret(),
            Self::IdentityToken(token) | Self::RegistryToken(token) => token.expose_secret(),
        }
    }

    fn username(&self) -> &str {
        match self {
            Self::Basic { username, .. } => username,
            Self::Anonymous | Self::IdentityToken(_) | Self::RegistryToken(_) => "",
        }
    }

    const fn kind(&self) -> &'static str {
        match self {
            Self::Anonymous => "Anonymous",
            Self::Basic { .. } => "Basic",
            Self::IdentityToken(_) => "IdentityToken",
            Self::RegistryToken(_) => "RegistryToken",
        }
    }

    /// Whether both are the same to a registry.
    pub(super) fn same_as(&self, other: &Self) -> bool {
        self.kind() == other.kind() && self.username() == other.username() && self.secret() == other.secret()
    }

    /// The user, if people may read it. `None` if it is the secret itself.
    fn shown_user(&self) -> Option<String> {
        let Self::Basic { username, password } = self else { return None };
        let user_is_secret = matches!(password.expose_secret(), "" | "x-oauth-basic");
        let fits = !username.is_empty() && username.chars().count() <= MAX_SHOWN_USER;
        (fits && !user_is_secret).then(|| clean(username))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())
    }
}

/// The source of credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The operator's own, named in the chart. They serve every namespace.
    Operator,
    /// A Secret of a namespace, only for that namespace.
    Secret {
        /// The namespace.
        namespace: String,
        /// The Secret's name.
        name: String,
    },
    /// A Secret that a service account of a namespace lists, only for that namespace. An author who names the
    /// account may not know the Secret, so messages show neither its name nor its user.
    ServiceAccount {
        /// The namespace.
        namespace: String,
        /// The service account's name.
        name: String,
    },
    /// A pull Secret of this pod, only for this pod.
    Pod,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operator => f.write_str("the operator's own pull Secret"),
            Self::Pod => f.write_str("the action's pull Secrets"),
            Self::Secret { namespace, name } => write!(f, "Secret {namespace}/{name}"),
            Self::ServiceAccount { namespace, name } => {
                write!(f, "a pull Secret of service account {namespace}/{name}")
            }
        }
    }
}

/// The users that a registry is asked for. Content read for one scope is never shown to another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Scope {
    /// All users of the operator, with anonymous access or the chart's credentials.
    Operator,
    /// One namespace, with its own Secrets.
    Namespace(String),
}

/// Credentials and their source. The Display text continues the sentence "the registry was asked":
/// `anonymously`, `as user ci of Secret team/pull`.
#[derive(Debug, Clone)]
pub struct Asker {
    credentials: Credentials,
    origin: Origin,
}

impl Asker {
    /// Asks without credentials.
    #[must_use]
    pub const fn anonymous() -> Self {
        Self { credentials: Credentials::Anonymous, origin: Origin::Operator }
    }

    /// Asks with these credentials.
    #[must_use]
    pub const fn new(credentials: Credentials, origin: Origin) -> Self {
        Self { credentials, origin }
    }

    /// The credentials for the registry.
    #[must_use]
    pub const fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// The users that may see the content.
    #[must_use]
    pub fn scope(&self) -> Scope {
        match &self.origin {
            Origin::Operator | Origin::Pod => Scope::Operator,
            Origin::Secret { namespace, .. } | Origin::ServiceAccount { namespace, .. } => {
                Scope::Namespace(namespace.clone())
            }
        }
    }

    /// The user, if the readers of messages may know it.
    fn shown_user(&self) -> Option<String> {
        match self.origin {
            Origin::Operator | Origin::Secret { .. } | Origin::Pod => self.credentials.shown_user(),
            Origin::ServiceAccount { .. } => None,
        }
    }

    /// Whether the text repeats something secret. A registry may repeat refused credentials in its answer.
    pub(super) fn is_betrayed_by(&self, text: &str) -> bool {
        let (secret, user) = (self.credentials.secret(), self.credentials.username());
        let tells_user = match (self.shown_user(), self.credentials.shown_user()) {
            (Some(_), _) => false,
            // A name may be short, so it is searched as a word. A token is searched anywhere.
            (None, Some(_)) => has_word(text, user),
            (None, None) => !user.is_empty() && text.contains(user),
        };
        tells_user || (!secret.is_empty() && text.contains(secret))
    }
}

impl fmt::Display for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match (&self.credentials, &self.origin) {
            (Credentials::Anonymous, _) => return f.write_str("anonymously"),
            (_, Origin::Operator) => return f.write_str("with the operator's own credentials"),
            (Credentials::Basic { .. }, _) => match self.shown_user() {
                Some(user) => return write!(f, "as user {user} of {}", self.origin),
                None => "user and password",
            },
            (Credentials::IdentityToken(_), _) => "identity token",
            (Credentials::RegistryToken(_), _) => "registry token",
        };
        write!(f, "with the {what} of {}", self.origin)
    }
}

fn has_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(start, _)| {
        let end = start + word.len();
        !text[..start].ends_with(char::is_alphanumeric) && !text[end..].starts_with(char::is_alphanumeric)
    })
}

/// The owner of a cached entry: a scope, and credentials as a hash.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Owner {
    scope: Scope,
    fingerprint: [u8; 32],
}

/// Makes fingerprints that are useless outside this process. Without it, passwords could be guessed from a
/// dump of the caches.
pub(super) struct Salt([u8; 32]);

impl Salt {
    pub(super) fn new(random: &dyn SecureRandom) -> Result<Self, SetupError> {
        let mut salt = [0; 32];
        random.fill(&mut salt).map_err(|_| SetupError::NoRandomness)?;
        Ok(Self(salt))
    }

    pub(super) fn owner(&self, asker: &Asker) -> Owner {
        let mut hash = Sha256::new_with_prefix(self.0);
        let credentials = &asker.credentials;
        for part in [credentials.kind(), credentials.username(), credentials.secret()] {
            // The length comes first, so that different parts never give the same bytes.
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Owner { scope: asker.scope(), fingerprint: hash.finalize().into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn basic(username: &str, password: &str) -> Credentials {
        Credentials::Basic { username: username.to_owned(), password: password.into() }
    }

    fn account() -> Origin {
        Origin::ServiceAccount { namespace: "team".to_owned(), name: "deployer".to_owned() }
    }

    fn secret(namespace: &str) -> Origin {
        Origin::Secret { namespace: namespace.to_owned(), name: "pull".to_owned() }
    }

    #[test]
    fn says_who_asks_and_no_secret() {
        let own = "with the operator's own credentials";
        for (credentials, origin, expected) in [
            (Credentials::Anonymous, Origin::Operator, "anonymously"),
            (Credentials::Anonymous, secret("team"), "anonymously"),
            (basic("ci", "hush"), Origin::Operator, own),
            (Credentials::RegistryToken("hush".into()), Origin::Operator, own),
            (basic("c\ni", "hush"), secret("team"), "as user c i of Secret team/pull"),
            (basic("hush", ""), secret("team"), "with the user and password of Secret team/pull"),
            (
                basic("hush", "x-oauth-basic"),
                secret("team"),
                "with the user and password of Secret team/pull",
            ),
            (
                basic(&"hush".repeat(17), "x"),
                secret("team"),
                "with the user and password of Secret team/pull",
            ),
            (basic("", "hush"), secret("team"), "with the user and password of Secret team/pull"),
            (
                Credentials::IdentityToken("hush".into()),
                secret("team"),
                "with the identity token of Secret team/pull",
            ),
            (
                Credentials::RegistryToken("hush".into()),
                secret("team"),
                "with the registry token of Secret team/pull",
            ),
            (
                basic("hush", "hush"),
                account(),
                "with the user and password of a pull Secret of service account team/deployer",
            ),
            (
                Credentials::IdentityToken("hush".into()),
                account(),
                "with the identity token of a pull Secret of service account team/deployer",
            ),
        ] {
            let asker = Asker::new(credentials, origin);
            assert_eq!(asker.to_string(), expected);
            assert!(!format!("{asker:?} {:#?}", asker.credentials()).contains("hush"), "{asker:?}");
        }
    }

    #[test]
    fn finds_itself_in_what_a_registry_writes() {
        let betrays = |credentials, text| Asker::new(credentials, secret("team")).is_betrayed_by(text);
        assert!(betrays(basic("ci", "hush"), "bad password hush"));
        assert!(betrays(basic("hush", ""), "unknown user hush"));
        assert!(betrays(Credentials::IdentityToken("hush".into()), "hush expired"));
        assert!(!betrays(basic("ci", "hush"), "unknown user ci"));
        assert!(!betrays(basic("ci", ""), "unknown"));
        assert!(!betrays(Credentials::Anonymous, "anything"));
        let betrays = |text| Asker::new(basic("ci", "hush"), account()).is_betrayed_by(text);
        assert!(betrays("unknown user ci") && betrays("\"ci\" is unknown") && betrays("hush"));
        assert!(!betrays("insufficient scope"));
    }

    #[test]
    fn owners_differ_in_whatever_differs() {
        let provider = rustls::crypto::ring::default_provider();
        let salt = Salt::new(provider.secure_random).unwrap();
        let askers = || {
            [
                Asker::anonymous(),
                Asker::new(basic("a", "b"), Origin::Operator),
                Asker::new(basic("a", "b"), secret("one")),
                Asker::new(basic("a", "b"), secret("two")),
                Asker::new(basic("a", "c"), secret("one")),
                Asker::new(basic("b", "b"), secret("one")),
                Asker::new(basic("ab", ""), secret("one")),
                Asker::new(basic("", "ab"), secret("one")),
                Asker::new(Credentials::IdentityToken("ab".into()), secret("one")),
                Asker::new(Credentials::RegistryToken("ab".into()), secret("one")),
            ]
        };
        for (n, one) in askers().iter().enumerate() {
            for (m, other) in askers().iter().enumerate() {
                assert_eq!(salt.owner(one) == salt.owner(other), n == m, "{one} / {other}");
            }
        }
        let other_process = Salt::new(provider.secure_random).unwrap();
        assert_ne!(salt.owner(&askers()[1]), other_process.owner(&askers()[1]));
    }
}
