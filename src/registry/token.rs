//! Token servers: a 401 with `WWW-Authenticate: Bearer` names one, and public registries (Docker
//! Hub, GHCR) want a token of it from everybody.
//! [The protocol](https://distribution.github.io/distribution/spec/auth/token/).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use http_auth::parser::ChallengeParser;
use reqwest::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use serde::Deserialize;

/// The protocol's default.
const DEFAULT_LIFETIME: u64 = 60;
/// However long the server says: a token held for longer only hides that rights were withdrawn.
const MAX_LIFETIME: u64 = 3600;
/// A token that ends while the request is on its way is of no use.
const MARGIN: u64 = 10;
/// More repositories than an operator asks for within a token's lifetime.
const MAX_TOKENS: usize = 1024;

/// Where to get a token.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Challenge {
    /// The token server's address.
    pub(super) realm: String,
    /// What the server knows the registry as.
    pub(super) service: Option<String>,
}

impl Challenge {
    /// The first Bearer challenge of a 401's headers. Some registries offer Basic beside it.
    pub(super) fn find(headers: &HeaderMap) -> Option<Self> {
        headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok()).find_map(|value| {
            let challenge = ChallengeParser::new(value)
                .filter_map(Result::ok)
                .find(|challenge| challenge.scheme.eq_ignore_ascii_case("bearer"))?;
            let parameter = |wanted: &str| {
                let found = challenge.params.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
                found.map(|(_, value)| value.to_unescaped())
            };
            Some(Self { realm: parameter("realm")?, service: parameter("service") })
        })
    }
}

/// A token server's answer. Docker's servers say `token`, OAuth's `access_token`, many both.
#[derive(Deserialize)]
pub(super) struct Grant {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
    // Some servers write a text or a fraction; that is no reason to refuse their token.
    #[serde(default)]
    expires_in: serde_json::Value,
}

impl Grant {
    /// The header that carries the token, and for how long; none where the answer has no token, or
    /// one that fits into no header.
    pub(super) fn header(self) -> Option<(HeaderValue, Duration)> {
        let token = [self.token, self.access_token].into_iter().flatten().find(|token| !token.is_empty())?;
        let mut header = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
        header.set_sensitive(true);
        let lifetime =
            self.expires_in.as_u64().unwrap_or(DEFAULT_LIFETIME).min(MAX_LIFETIME).saturating_sub(MARGIN);
        Some((header, Duration::from_secs(lifetime)))
    }
}

/// Tokens by registry and repository. They are what anybody gets who asks without credentials; with
/// credentials the key needs their owner too.
#[derive(Default)]
pub(super) struct Tokens(Mutex<HashMap<(String, String), (HeaderValue, Instant)>>);

impl Tokens {
    pub(super) fn get(&self, registry: &str, repository: &str) -> Option<HeaderValue> {
        let tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (header, end) = tokens.get(&(registry.to_owned(), repository.to_owned()))?;
        (Instant::now() < *end).then(|| header.clone())
    }

    pub(super) fn put(&self, registry: &str, repository: &str, header: HeaderValue, lifetime: Duration) {
        let now = Instant::now();
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tokens.len() >= MAX_TOKENS {
            tokens.retain(|_, (_, end)| now < *end);
        }
        if tokens.len() >= MAX_TOKENS {
            tokens.clear();
        }
        tokens.insert((registry.to_owned(), repository.to_owned()), (header, now + lifetime));
    }
}

#[cfg(test)]
mod tests {
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
        let expected = Challenge {
            realm: "https://auth.docker.io/token".to_owned(),
            service: Some("registry.docker.io".to_owned()),
        };
        assert_eq!(found(&[hub]).as_ref(), Some(&expected));
        assert_eq!(found(&["Basic realm=\"x\"", hub]).as_ref(), Some(&expected));
        assert_eq!(found(&[&format!("Basic realm=\"x\", {hub}")]).as_ref(), Some(&expected));
        let bare = found(&["bearer REALM=\"https://t/\""]).unwrap();
        assert_eq!((bare.realm.as_str(), bare.service), ("https://t/", None));
        for none in ["Basic realm=\"x\"", "Bearer", "Bearer service=\"x\"", "", ",,,", "\u{7f}"] {
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
        let tokens = Tokens::default();
        let header = HeaderValue::from_static("Bearer t");
        tokens.put("r", "ended", header.clone(), Duration::ZERO);
        assert!(tokens.get("r", "ended").is_none());
        for n in 0..3 * MAX_TOKENS {
            tokens.put("r", &n.to_string(), header.clone(), Duration::from_mins(1));
        }
        assert!(tokens.0.lock().unwrap().len() <= MAX_TOKENS);
        assert!(tokens.get("r", &(3 * MAX_TOKENS - 1).to_string()).is_some());
        assert!(tokens.get("other", "1").is_none());
    }
}
