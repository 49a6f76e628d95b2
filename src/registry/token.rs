//! Token servers. A 401 with `WWW-Authenticate: Bearer` names one. Public registries (Docker Hub, GHCR)
//! require its token from everybody. [The
//! protocol](https://distribution.github.io/distribution/spec/auth/token/).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_auth::parser::ChallengeParser;
use reqwest::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::credentials::Owner;

/// The protocol's default lifetime of a token, in seconds.
const DEFAULT_LIFETIME: u64 = 60;
/// The longest that a token is kept, in seconds, whatever the server says. A token kept for longer would hide
/// that rights were withdrawn.
const MAX_LIFETIME: u64 = 3600;
/// How long before its end a token is dropped, in seconds: it must not expire during a request.
const MARGIN: u64 = 10;
/// The most tokens kept: more than an operator needs within a token's lifetime.
const MAX_TOKENS: usize = 1024;

/// How a registry asks for credentials.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// With a token of this server.
    Bearer(TokenServer),
    /// With user and password.
    Basic,
}

/// The server that gives a token.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TokenServer {
    /// The token server's address.
    pub(super) realm: String,
    /// The registry's name at the token server.
    pub(super) service: Option<String>,
}

impl Challenge {
    /// Finds the first Bearer challenge of a 401's headers, or else Basic. Some registries offer both.
    pub(super) fn find(headers: &HeaderMap) -> Option<Self> {
        let values = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        let mut basic = None;
        for challenge in values.flat_map(ChallengeParser::new).filter_map(Result::ok) {
            let parameter = |wanted: &str| {
                let found = challenge.params.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
                found.map(|(_, value)| value.to_unescaped())
            };
            if challenge.scheme.eq_ignore_ascii_case("basic") {
                basic = Some(Self::Basic);
            } else if challenge.scheme.eq_ignore_ascii_case("bearer")
                && let Some(realm) = parameter("realm")
            {
                return Some(Self::Bearer(TokenServer { realm, service: parameter("service") }));
            }
        }
        basic
    }
}

/// A token server's answer. Docker's servers say `token`, OAuth's `access_token`, many both.
#[derive(Deserialize)]
pub(super) struct Grant {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
    // Some servers write a text or a fraction here, which is no reason to refuse their token.
    #[serde(default)]
    expires_in: serde_json::Value,
}

impl Grant {
    /// Returns the header with the token, and its lifetime. Returns none if there is no token, or if it does
    /// not fit into a header.
    pub(super) fn header(self) -> Option<(HeaderValue, Duration)> {
        let token = [self.token, self.access_token].into_iter().flatten().find(|token| !token.is_empty())?;
        let header = bearer(&token)?;
        let lifetime =
            self.expires_in.as_u64().unwrap_or(DEFAULT_LIFETIME).min(MAX_LIFETIME).saturating_sub(MARGIN);
        Some((header, Duration::from_secs(lifetime)))
    }
}

/// Makes the header with the token. Returns none if the token does not fit into a header.
pub(super) fn bearer(token: &str) -> Option<HeaderValue> {
    let mut header = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// Makes the header with user and password.
pub(super) fn basic(username: &str, password: &SecretString) -> Option<HeaderValue> {
    let pair = Zeroizing::new(format!("{username}:{}", password.expose_secret()));
    let encoded = Zeroizing::new(STANDARD.encode(pair.as_bytes()));
    let mut header = HeaderValue::from_str(&format!("Basic {}", *encoded)).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// Tokens by owner, registry and repository. A token serves only the credentials that got it.
#[derive(Default)]
pub(super) struct Tokens(Mutex<HashMap<TokenKey, (HeaderValue, Instant)>>);

type TokenKey = (Owner, String, String);

impl Tokens {
    pub(super) fn get(&self, owner: &Owner, registry: &str, repository: &str) -> Option<HeaderValue> {
        let tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (header, end) = tokens.get(&(owner.clone(), registry.to_owned(), repository.to_owned()))?;
        (Instant::now() < *end).then(|| header.clone())
    }

    pub(super) fn put(
        &self,
        owner: Owner,
        registry: &str,
        repository: &str,
        header: HeaderValue,
        lifetime: Duration,
    ) {
        let now = Instant::now();
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tokens.len() >= MAX_TOKENS {
            tokens.retain(|_, (_, end)| now < *end);
        }
        if tokens.len() >= MAX_TOKENS {
            tokens.clear();
        }
        tokens.insert((owner, registry.to_owned(), repository.to_owned()), (header, now + lifetime));
    }
}

#[cfg(test)]
mod tests {
    use super::super::credentials::{Asker, Credentials, Origin, Salt};
    use super::*;

    fn found(values: &[&str]) -> Option<Challenge> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_str(value).unwrap());
        }
        Challenge::find(&headers)
    }

    #[test]
    fn finds_the_token_server() {
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull""#;
        let expected = Challenge::Bearer(TokenServer {
            realm: "https://auth.docker.io/token".to_owned(),
            service: Some("registry.docker.io".to_owned()),
        });
        assert_eq!(found(&[hub]).as_ref(), Some(&expected));
        assert_eq!(found(&["Basic realm=\"x\"", hub]).as_ref(), Some(&expected));
        assert_eq!(found(&[&format!("Basic realm=\"x\", {hub}")]).as_ref(), Some(&expected));
        let bare = Challenge::Bearer(TokenServer { realm: "https://t/".to_owned(), service: None });
        assert_eq!(found(&["bearer REALM=\"https://t/\""]), Some(bare));
        for basic in ["Basic realm=\"x\"", "basic realm=x, Bearer service=\"x\""] {
            assert_eq!(found(&[basic]), Some(Challenge::Basic), "{basic}");
        }
        for none in ["Bearer", "Bearer service=\"x\"", "", ",,,", "\u{7f}"] {
            if HeaderValue::from_str(none).is_ok() {
                assert_eq!(found(&[none]), None, "{none}");
            }
        }
        assert_eq!(found(&[]), None);
    }

    #[test]
    fn reads_both_kinds_of_answers() {
        let header = |json: &str| serde_json::from_str::<Grant>(json).unwrap().header();
        assert_eq!(header(r#"{"token":"t"}"#).unwrap().1, Duration::from_secs(50));
        assert_eq!(header(r#"{"token":"","access_token":"t","expires_in":300}"#).unwrap().0, "Bearer t");
        assert_eq!(header(r#"{"token":"t","expires_in":99999999999}"#).unwrap().1, Duration::from_secs(3590));
        assert_eq!(header(r#"{"token":"t","expires_in":1}"#).unwrap().1, Duration::ZERO);
        assert_eq!(header(r#"{"token":"t","expires_in":"soon"}"#).unwrap().1, Duration::from_secs(50));
        assert!(header("{}").is_none());
        assert!(header(r#"{"token":"a\nb"}"#).is_none());
    }

    #[test]
    fn holds_a_bounded_number_and_none_past_its_end() {
        let provider = rustls::crypto::ring::default_provider();
        let salt = Salt::new(provider.secure_random).unwrap();
        let owner = salt.owner(&Asker::anonymous());
        let tokens = Tokens::default();
        let header = HeaderValue::from_static("Bearer t");
        tokens.put(owner.clone(), "r", "ended", header.clone(), Duration::ZERO);
        assert!(tokens.get(&owner, "r", "ended").is_none());
        for n in 0..3 * MAX_TOKENS {
            tokens.put(owner.clone(), "r", &n.to_string(), header.clone(), Duration::from_mins(1));
        }
        assert!(tokens.0.lock().unwrap().len() <= MAX_TOKENS);
        assert!(tokens.get(&owner, "r", &(3 * MAX_TOKENS - 1).to_string()).is_some());
        assert!(tokens.get(&owner, "other", "1").is_none());
        let origin = Origin::Secret { namespace: "team".to_owned(), name: "pull".to_owned() };
        let other = salt.owner(&Asker::new(Credentials::Anonymous, origin));
        assert!(tokens.get(&other, "r", &(3 * MAX_TOKENS - 1).to_string()).is_none());
    }
}
