//! Reads a manifest or a blob from a registry, bounded and verified, with a token if the registry wants one.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Response, StatusCode, Url};

use secrecy::ExposeSecret as _;

use super::blob::Blob;
use super::credentials::{Asker, Credentials, Salt};
use super::digest::Hasher;
use super::error::{Advice, ResolveError};
use super::quoted::quoted;
use super::reference::ImageReference;
use super::refusal::{Speaker, retry_after, start, words};
use super::token::{Challenge, Grant, TokenServer, Tokens, basic, bearer};
use super::transport::{Http, Lost, MAX_REDIRECTS, advice, authority, chain, clean};
use super::{digest, manifest};

/// The largest manifest, in bytes. By the distribution specification, registries must accept this size.
const MAX_MANIFEST: usize = 4 << 20;
/// The largest config, in bytes. Real ones are a few KiB: a history line a layer.
const MAX_CONFIG: usize = 8 << 20;
/// The longest answer of a token server, in bytes.
const MAX_TOKEN: usize = 256 << 10;
/// The client's name for token servers. OAuth 2 requires one.
const CLIENT_ID: &str = "longshore";

const DOCKER_CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// The content to read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Content<'a> {
    /// The manifest or index that a tag names.
    Tagged(&'a str),
    /// The manifest or index with this digest.
    Manifest(&'a str),
    /// The config with this digest.
    Config(&'a str),
    /// Another blob with this digest.
    Blob(&'a str),
}

/// The content that was read. Its bytes match the digest.
pub(super) struct Answer {
    pub(super) content_type: Option<String>,
    pub(super) digest: String,
    pub(super) body: Vec<u8>,
    pub(super) speaker: Speaker,
}

/// Connections and tokens, shared by all images.
pub(super) struct Client {
    pub(super) http: Http,
    pub(super) tokens: Tokens,
    pub(super) salt: Salt,
}

impl Client {
    /// Reads and verifies.
    pub(super) async fn read(
        &self,
        image: &ImageReference,
        content: Content<'_>,
        asker: &Asker,
    ) -> Result<Answer, ResolveError> {
        let question = Question::registry(image, asker);
        let (url, limit) = self.address(&question, content)?;
        let accept = match content {
            Content::Tagged(_) | Content::Manifest(_) => Some(manifest::ACCEPT),
            Content::Config(_) | Content::Blob(_) => None,
        };
        let response = self.send(&question, &url, accept).await?;
        let speaker = speaker(&response, &url);
        if response.status() != StatusCode::OK {
            return Err(question.refusal(response, speaker).await);
        }
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let content_type = header(CONTENT_TYPE).map(ToOwned::to_owned);
        let told = header(DOCKER_CONTENT_DIGEST).filter(|told| !told.is_empty()).map(ToOwned::to_owned);
        let body = question.body(response, limit).await?;
        let digest = match (content, told) {
            (Content::Manifest(digest) | Content::Config(digest) | Content::Blob(digest), _) => {
                question.verify(digest, &body, speaker)?
            }
            (Content::Tagged(_), Some(told)) => question.verify_own(&told, &body, speaker)?,
            (Content::Tagged(_), None) => digest::sha256(&body),
        };
        Ok(Answer { content_type, digest, body, speaker })
    }

    /// Begins to read a blob. It is checked on the way, and bounded only by its own size.
    pub(super) async fn open(
        &self,
        image: &ImageReference,
        digest: &str,
        size: u64,
        asker: &Asker,
    ) -> Result<Blob, ResolveError> {
        let question = Question::registry(image, asker);
        let hasher = Hasher::of(digest)
            .ok_or_else(|| question.invalid(format!("it names the digest {}", quoted(&clean(digest)))))?;
        let (url, _) = self.address(&question, Content::Blob(digest))?;
        let response = self.send(&question, &url, None).await?;
        if response.status() != StatusCode::OK {
            let speaker = speaker(&response, &url);
            return Err(question.refusal(response, speaker).await);
        }
        Ok(Blob::new(response, hasher, digest.to_owned(), size))
    }

    fn address(&self, question: &Question<'_>, content: Content<'_>) -> Result<(Url, usize), ResolveError> {
        let host = match question.registry {
            // docker.io itself is a web site.
            "docker.io" => "registry-1.docker.io",
            host => host,
        };
        let (kind, name, limit) = match content {
            Content::Tagged(name) | Content::Manifest(name) => ("manifests", name, MAX_MANIFEST),
            Content::Config(name) => ("blobs", name, MAX_CONFIG),
            Content::Blob(name) => ("blobs", name, usize::MAX),
        };
        let scheme = self.http.scheme(host);
        let repository = question.image.repository();
        let url = Url::parse(&format!("{scheme}://{host}/v2/{repository}/{kind}/{name}"))
            .map_err(|error| question.invalid(format!("its name is no address ({error})")))?;
        Ok((url, limit))
    }

    /// Sends a request. If the registry asks for credentials, sends it once more with them. A registry that
    /// does not ask gets none.
    async fn send(
        &self,
        question: &Question<'_>,
        url: &Url,
        accept: Option<&'static str>,
    ) -> Result<Response, ResolveError> {
        let (registry, repository) = (question.image.registry(), question.image.repository());
        let owner = self.salt.owner(question.asker);
        let cached = self.tokens.get(&owner, registry, repository);
        let first = question.answer(self.http.get(url, accept, cached)).await?;
        if first.status() != StatusCode::UNAUTHORIZED
            // A server behind a redirect is not the registry, and gets no credentials.
            || speaker(&first, url) == Speaker::Other
        {
            return Ok(first);
        }
        let authorization = match (Challenge::find(first.headers()), question.asker.credentials()) {
            (Some(Challenge::Basic), Credentials::Basic { username, password }) => {
                // Not cached: only the reader of the Secret holds the password.
                basic(username, password)
            }
            (Some(Challenge::Bearer(_)), Credentials::RegistryToken(token)) => bearer(token.expose_secret()),
            (Some(Challenge::Bearer(server)), _) => {
                let (token, lifetime) = self.token(question, server, url).await?;
                self.tokens.put(owner, registry, repository, token.clone(), lifetime);
                Some(token)
            }
            (Some(Challenge::Basic) | None, _) => None,
        };
        if authorization.is_none() {
            return Ok(first);
        }
        question.answer(self.http.get(url, accept, authorization)).await
    }

    async fn token(
        &self,
        question: &Question<'_>,
        server: TokenServer,
        registry: &Url,
    ) -> Result<(HeaderValue, Duration), ResolveError> {
        let mut url = Url::parse(&server.realm).map_err(|_| {
            question.invalid(format!("it names a token server at {}", quoted(&clean(&server.realm))))
        })?;
        let name = format!("{}'s token server {}", question.registry, authority(&url));
        let question = Question { registry: &name, ..*question };
        // The scope is the operator's, not the challenge's: only the right to pull this repository.
        let scope = format!("repository:{}:pull", question.image.repository());
        let mut wanted = vec![("scope", scope.as_str())];
        wanted.extend(server.service.as_deref().map(|service| ("service", service)));
        let response = if let Credentials::IdentityToken(token) = question.asker.credentials() {
            wanted.extend([("grant_type", "refresh_token"), ("client_id", CLIENT_ID)]);
            wanted.push(("refresh_token", token.expose_secret()));
            question.answer(self.http.post(&url, &wanted)).await?
        } else {
            url.query_pairs_mut().extend_pairs(wanted);
            let authorization = match question.asker.credentials() {
                Credentials::Basic { username, password } => basic(username, password),
                _ => None,
            };
            question.answer(self.http.get(&url, None, authorization)).await?
        };
        if response.status() != StatusCode::OK {
            let exchanges = matches!(question.asker.credentials(), Credentials::IdentityToken(_));
            let speaker = speaker(&response, registry);
            return Err(Question { exchanges, ..question }.refusal(response, speaker).await);
        }
        let body = question.body(response, MAX_TOKEN).await?;
        // The parser's error would repeat parts of the answer, and so of the token.
        serde_json::from_slice::<Grant>(&body)
            .ok()
            .and_then(Grant::header)
            .ok_or_else(|| question.invalid("its answer holds no token".to_owned()))
    }
}

/// Says whether the registry itself answers, or another server.
fn speaker(response: &Response, registry: &Url) -> Speaker {
    if response.url().origin() == registry.origin() { Speaker::Registry } else { Speaker::Other }
}

/// A question to a registry, for errors: the image, the server and the credentials.
#[derive(Clone, Copy)]
pub(super) struct Question<'a> {
    image: &'a ImageReference,
    /// The registry, or its token server.
    registry: &'a str,
    asker: &'a Asker,
    /// Whether the request exchanges an identity token.
    exchanges: bool,
}

impl<'a> Question<'a> {
    pub(super) fn registry(image: &'a ImageReference, asker: &'a Asker) -> Self {
        Self { image, registry: image.registry(), asker, exchanges: false }
    }
}

impl Question<'_> {
    async fn answer(
        &self,
        answer: impl Future<Output = Result<Response, Lost>>,
    ) -> Result<Response, ResolveError> {
        answer.await.map_err(|lost| self.lost(lost))
    }

    async fn body(&self, mut response: Response, limit: usize) -> Result<Vec<u8>, ResolveError> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.lost(error.into()))? {
            if body.len() + chunk.len() > limit {
                return Err(self.invalid(format!("the answer is longer than {} KiB", limit >> 10)));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// Checks the content against the digest that was asked for.
    fn verify(&self, expected: &str, body: &[u8], speaker: Speaker) -> Result<String, ResolveError> {
        match (digest::same_algorithm(expected, body), speaker) {
            (Some(found), _) if found == expected => Ok(found),
            // The digest of another server's content would reveal whether that server holds a guessed
            // content.
            (_, Speaker::Other) => Err(self.mismatch(format!(
                "the content should have the digest {expected}, and what another server sent in its place has not"
            ))),
            (found, Speaker::Registry) => Err(self.mismatch(format!(
                "the content should have the digest {expected} and has {}",
                found.as_deref().unwrap_or("none that is known")
            ))),
        }
    }

    /// Checks the content against the digest that came with it.
    fn verify_own(&self, told: &str, body: &[u8], speaker: Speaker) -> Result<String, ResolveError> {
        let (valid, own) = (digest::is_valid(told), speaker == Speaker::Registry);
        match digest::same_algorithm(told, body).filter(|found| valid && found == told) {
            Some(found) => Ok(found),
            None if !own => {
                Err(self.invalid("another server names a digest that its content has not".to_owned()))
            }
            None if !valid => Err(self.invalid(format!("it names the digest {}", quoted(&clean(told))))),
            None => self.verify(told, body, speaker),
        }
    }

    /// Turns an answer other than 200 into an error.
    async fn refusal(&self, response: Response, speaker: Speaker) -> ResolveError {
        let (status, https) = (response.status(), response.url().scheme() == "https");
        let retry_after = retry_after(response.headers(), Timestamp::now());
        let plain_text =
            response.headers().get(CONTENT_TYPE).is_some_and(|t| t.as_bytes().starts_with(b"text/plain"));
        let body = start(response).await;
        let text = String::from_utf8_lossy(&body);
        let told = if self.asker.is_betrayed_by(&text) {
            "and repeats what it was shown".to_owned()
        } else {
            words(&text, plain_text, speaker)
        };
        let words = if told.is_empty() {
            format!("HTTP {}", status.as_u16())
        } else {
            format!("HTTP {} {told}", status.as_u16())
        };
        let image = self.image.to_string();
        let without_tag = format!("{}/{}", self.image.registry(), self.image.repository()).into();
        let (registry, asked) = (self.registry.to_owned(), self.asker.to_string().into());
        match status {
            // Go, nginx and others answer so, in plain text, to plain HTTP at their TLS port.
            StatusCode::BAD_REQUEST if !https && text.contains("HTTPS") => {
                self.unreachable(words, Advice::NameNotAsPlainHttp, None)
            }
            // OAuth 2's answers to an unaccepted token, and the answers of servers without OAuth 2.
            StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED
                if self.exchanges =>
            {
                ResolveError::Denied { image, without_tag, registry, asked, words }
            }
            StatusCode::NOT_FOUND => ResolveError::NotFound { image, registry, asked, words },
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                ResolveError::Denied { image, without_tag, registry, asked, words }
            }
            StatusCode::TOO_MANY_REQUESTS => {
                ResolveError::RateLimited { image, without_tag, registry, asked, retry_after, words }
            }
            status if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT => {
                ResolveError::Failing { image, registry, retry_after, words }
            }
            _ => self.invalid(format!("it says {words}")),
        }
    }

    fn lost(&self, lost: Lost) -> ResolveError {
        match lost {
            Lost::PlainHttp(host) => {
                let cause = format!("plain HTTP is not allowed to {host}");
                self.unreachable(cause, Advice::RefusedPlainHttp, None)
            }
            // Always the same text: it must not reveal whether something listens there.
            Lost::Near(host) => {
                let cause = format!(
                    "{host} is, or its name leads to, a loopback, link-local, multicast or unspecified \
                     address, and the operator opens no connections to those"
                );
                self.unreachable(cause, Advice::RefusedAddress, None)
            }
            Lost::Redirects => {
                let cause = format!("more than {MAX_REDIRECTS} redirects");
                self.unreachable(cause, Advice::CheckNetwork, None)
            }
            Lost::Http(error) => {
                let cause = chain(&error);
                let https = error.url().is_none_or(|url| url.scheme() == "https");
                let advice = advice(&cause, https);
                // Storage addresses contain signatures.
                self.unreachable(cause, advice, Some(Arc::new(error.without_url())))
            }
        }
    }

    pub(super) fn unreachable(
        &self,
        cause: String,
        advice: Advice,
        source: Option<Arc<reqwest::Error>>,
    ) -> ResolveError {
        let (image, registry) = (self.image.to_string(), self.registry.to_owned());
        ResolveError::Unreachable { image, registry, cause, advice, source }
    }

    pub(super) fn invalid(&self, what: String) -> ResolveError {
        let (image, registry) = (self.image.to_string(), self.registry.to_owned());
        ResolveError::Invalid { image, registry, what, mismatch: false }
    }

    /// Makes the error for content with a wrong digest.
    fn mismatch(&self, what: String) -> ResolveError {
        let (image, registry) = (self.image.to_string(), self.registry.to_owned());
        ResolveError::Invalid { image, registry, what, mismatch: true }
    }
}
