//! Who asks a registry, and for whom.

use std::fmt;

use rustls::crypto::SecureRandom;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest as _, Sha256};

use super::transport::{SetupError, clean};

/// A longer user name, in characters, is more likely a token in the wrong place.
const MAX_SHOWN_USER: usize = 64;

/// What a registry is shown. Secrets are wiped when dropped and stand in no Debug output.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Credentials {
    /// Nothing; a token server is asked for a token without a name.
    #[default]
    Anonymous,
    /// For HTTP Basic, at the registry itself or at its token server.
    Basic {
        /// The user. GitHub and others take a token here, with no password worth the name.
        username: String,
        /// The password, or a token in its place.
        password: SecretString,
    },
    /// An OAuth 2 refresh token, which a token server exchanges.
    IdentityToken(SecretString),
    /// A bearer token that the registry takes as it is.
    RegistryToken(SecretString),
}

impl Credentials {
    /// The secret; none where there is none to keep.
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

    /// Whether a registry would see no difference.
    pub(super) fn same_as(&self, other: &Self) -> bool {
        self.kind() == other.kind() && self.username() == other.username() && self.secret() == other.secret()
    }

    /// The user, where people may read it: not where it is the secret itself.
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

/// Where credentials come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The operator's own, named in the chart. They serve every namespace.
    Operator,
    /// A Secret of a namespace, for that namespace alone.
    Secret {
        /// The namespace.
        namespace: String,
        /// The Secret's name.
        name: String,
    },
    /// A Secret that a service account of a namespace lists, for that namespace alone. Who names the
    /// account need not know the Secret: neither its name nor its user is told.
    ServiceAccount {
        /// The namespace.
        namespace: String,
        /// The service account's name.
        name: String,
    },
    /// A pull Secret that this pod has, for this pod alone.
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

/// For whom a registry is asked. What was read for one scope is never shown to another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Scope {
    /// All whom the operator serves: what anybody may read, or what the chart's credentials may.
    Operator,
    /// One namespace, with what its own Secrets may read.
    Namespace(String),
}

/// Who asks a registry: credentials, and where they come from. Its Display continues the sentence
/// "the registry was asked": `anonymously`, `as user ci of Secret team/pull`.
#[derive(Debug, Clone)]
pub struct Asker {
    credentials: Credentials,
    origin: Origin,
}

impl Asker {
    /// Nobody in particular.
    #[must_use]
    pub const fn anonymous() -> Self {
        Self { credentials: Credentials::Anonymous, origin: Origin::Operator }
    }

    /// Whoever holds the credentials.
    #[must_use]
    pub const fn new(credentials: Credentials, origin: Origin) -> Self {
        Self { credentials, origin }
    }

    /// What the registry is shown.
    #[must_use]
    pub const fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Who may see what was read.
    #[must_use]
    pub fn scope(&self) -> Scope {
        match &self.origin {
            Origin::Operator | Origin::Pod => Scope::Operator,
            Origin::Secret { namespace, .. } | Origin::ServiceAccount { namespace, .. } => {
                Scope::Namespace(namespace.clone())
            }
        }
    }

    /// The user, where whoever sees messages may know it.
    fn shown_user(&self) -> Option<String> {
        match self.origin {
            Origin::Operator | Origin::Secret { .. } | Origin::Pod => self.credentials.shown_user(),
            Origin::ServiceAccount { .. } => None,
        }
    }

    /// Whether the text repeats what nobody may read. A registry may well write what it did not
    /// like into its answer.
    pub(super) fn is_betrayed_by(&self, text: &str) -> bool {
        let (secret, user) = (self.credentials.secret(), self.credentials.username());
        let tells_user = match (self.shown_user(), self.credentials.shown_user()) {
            (Some(_), _) => false,
            // A name, which may be short, is looked for as a word; a token anywhere.
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

/// Whose a cached thing is: the same scope and the same credentials, which stand here as a hash.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Owner {
    scope: Scope,
    fingerprint: [u8; 32],
}

/// Makes fingerprints that mean nothing outside this process: without it, a dump of the caches
/// would let passwords be guessed.
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
            // With its length, so that no two rows of parts read alike.
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
