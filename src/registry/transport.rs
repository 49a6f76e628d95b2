//! The HTTP client: which authorities it trusts, where it may use plain HTTP, and what its errors mean.

use std::collections::BTreeSet;
use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Certificate, Response, Url, redirect};

use super::error::Advice;
use super::reach::{NearAlone, Resolver, names_near_address};

/// The time limit for a connection. The overall time is for slow answers.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The most redirects, as in Go's client: enough for storage behind a CDN.
pub(super) const MAX_REDIRECTS: usize = 10;

/// The hosts, with their ports, that plain HTTP is allowed to. An administrator named them, so they may have
/// near addresses too.
#[derive(Debug, Clone, Default)]
pub(super) struct PlainHttp(Arc<BTreeSet<String>>);

impl PlainHttp {
    /// Reads the flag's values: `host` (port 80) or `host:port`.
    pub(super) fn new(hosts: &[String]) -> Self {
        // Uses the same parser as for the addresses to compare with.
        let with_port = |host: &String| host_and_port(&Url::parse(&format!("http://{host}")).ok()?);
        Self(Arc::new(hosts.iter().filter_map(with_port).collect()))
    }

    /// Returns `http` or `https`, for a registry as written in a reference.
    pub(super) fn scheme(&self, host: &str) -> &'static str {
        let named = Url::parse(&format!("http://{host}")).is_ok_and(|url| self.names(&url));
        if named { "http" } else { "https" }
    }

    fn names(&self, url: &Url) -> bool {
        host_and_port(url).is_some_and(|named| self.0.contains(&named))
    }

    /// Whether a request may go there: with HTTPS always, with plain HTTP only to named hosts.
    fn allows(&self, url: &Url) -> bool {
        match url.scheme() {
            "https" => true,
            "http" => self.names(url),
            _ => false,
        }
    }
}

fn host_and_port(url: &Url) -> Option<String> {
    Some(format!("{}:{}", url.host_str()?, url.port_or_known_default()?))
}

/// Returns `host` or `host:port`, as in a reference.
pub(super) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or("an address without a host");
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// Why the client could not be built.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The CA bundle is no PEM, or holds no certificate.
    #[error("the CA bundle holds no certificate in PEM form (-----BEGIN CERTIFICATE-----): {0}")]
    CaBundle(String),
    /// The process has installed no rustls provider.
    #[error("no rustls provider is installed: install_default() belongs at the start of main")]
    NoProvider,
    /// The system has no random bytes.
    #[error("the system gives no random bytes")]
    NoRandomness,
    /// No root certificates were found.
    #[error("cannot set up TLS: {0}. Are root certificates where SSL_CERT_FILE says, or in /etc/ssl/certs?")]
    Tls(String),
}

/// The addresses that requests may go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// No near addresses, except those of hosts that an administrator named.
    NotNear,
    /// All: the tests' servers listen on the loopback.
    #[cfg(test)]
    Everywhere,
}

/// Sends requests to allowed addresses only.
pub(super) struct Http {
    /// For hosts that an administrator named.
    named: reqwest::Client,
    /// For all other hosts.
    others: reqwest::Client,
    in_the_clear: PlainHttp,
    reach: Reach,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Lost {
    /// The address is plain HTTP, which is not allowed to this host.
    PlainHttp(String),
    /// The host has a near address.
    Near(String),
    /// There are too many redirects.
    Redirects,
    /// The request failed.
    Http(reqwest::Error),
}

impl Http {
    pub(super) fn new(
        in_the_clear: PlainHttp,
        ca_bundle_pem: Option<&[u8]>,
        reach: Reach,
    ) -> Result<Self, SetupError> {
        let resolver = Resolver::default();
        let guarding = if reach == Reach::NotNear { resolver.guarding() } else { resolver.clone() };
        let (named, others) = (client(resolver, ca_bundle_pem)?, client(guarding, ca_bundle_pem)?);
        Ok(Self { named, others, in_the_clear, reach })
    }

    /// Returns `http` or `https`, for a registry as written in a reference.
    pub(super) fn scheme(&self, host: &str) -> &'static str {
        self.in_the_clear.scheme(host)
    }

    /// Sends a request and follows redirects: registries redirect to storage for blobs. Credentials go only
    /// to the URL's own origin.
    pub(super) async fn get(
        &self,
        url: &Url,
        accept: Option<&'static str>,
        authorization: Option<HeaderValue>,
    ) -> Result<Response, Lost> {
        let mut headers = HeaderMap::new();
        headers.extend(accept.map(|accept| (ACCEPT, HeaderValue::from_static(accept))));
        headers.extend(authorization.map(|authorization| (AUTHORIZATION, authorization)));
        let mut url = url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let request = self.client(&url)?.get(url.clone()).headers(headers.clone());
            let response = request.send().await.map_err(Lost::from)?;
            let Some(next) = next(&response) else { return Ok(response) };
            if next.origin() != url.origin() {
                headers.remove(AUTHORIZATION);
            }
            url = next;
        }
        Err(Lost::Redirects)
    }

    /// Sends a form and follows no redirect: the form has a secret, which a redirect would pass on.
    pub(super) async fn post(&self, url: &Url, form: &[(&str, &str)]) -> Result<Response, Lost> {
        self.client(url)?.post(url.clone()).form(form).send().await.map_err(Lost::from)
    }

    /// Returns the client for the URL. Each redirect is checked anew.
    fn client(&self, url: &Url) -> Result<&reqwest::Client, Lost> {
        if !self.in_the_clear.allows(url) {
            Err(Lost::PlainHttp(authority(url)))
        } else if self.in_the_clear.names(url) {
            Ok(&self.named)
        } else if self.reach == Reach::NotNear && names_near_address(url) {
            Err(Lost::Near(authority(url)))
        } else {
            Ok(&self.others)
        }
    }
}

impl From<reqwest::Error> for Lost {
    fn from(error: reqwest::Error) -> Self {
        match error.url() {
            Some(url) if NearAlone::caused(&error) => Self::Near(authority(url)),
            _ => Self::Http(error),
        }
    }
}

/// Returns the address that the answer redirects to.
fn next(response: &Response) -> Option<Url> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = response.headers().get(LOCATION)?.to_str().ok()?;
    response.url().join(location).ok()
}

fn client(resolver: Resolver, ca_bundle_pem: Option<&[u8]>) -> Result<reqwest::Client, SetupError> {
    // reqwest would panic.
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        return Err(SetupError::NoProvider);
    }
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("longshore/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .dns_resolver(resolver)
        // reqwest's own policy cannot choose the client for the next step.
        .redirect(redirect::Policy::none());
    if let Some(pem) = ca_bundle_pem {
        let authorities =
            Certificate::from_pem_bundle(pem).map_err(|error| SetupError::CaBundle(chain(&error)))?;
        if authorities.is_empty() {
            return Err(SetupError::CaBundle("it is empty".to_owned()));
        }
        builder = builder.tls_certs_merge(authorities);
    }
    builder.build().map_err(|error| SetupError::Tls(chain(&error)))
}

/// Joins the error and its causes, each once. reqwest's own text is only "error sending request".
pub(super) fn chain(error: &reqwest::Error) -> String {
    // Only the kind of the outermost error matters. Its address is left out, since the address of a token
    // server or a storage may contain a signature.
    let mut text = match error {
        e if e.is_timeout() => "timed out",
        e if e.is_connect() => "cannot connect",
        e if e.is_body() || e.is_decode() => "the answer broke off",
        _ => "no answer",
    }
    .to_owned();
    let mut cause = error.source();
    let mut last = String::new();
    while let Some(error) = cause {
        let words = error.to_string();
        // hyper repeats its cause, and reqwest's connection errors begin with "client error (Connect)".
        if !words.starts_with("client error") && !last.contains(&words) && !words.starts_with("error sending")
        {
            text = format!("{text}: {words}");
            last = words;
        }
        cause = error.source();
    }
    clean(&text)
}

/// Finds the likely remedy by the text of [`chain`]. The types that would show it are private to hyper, or
/// hidden behind `io::Error`. Tests check that these texts stay the same.
pub(super) fn advice(cause: &str, https: bool) -> Advice {
    let has = |words: &[&str]| words.iter().any(|word| cause.contains(word));
    if https && has(&["InvalidContentType"]) {
        Advice::NameAsPlainHttp
    } else if !https && has(&["invalid HTTP version", "invalid HTTP status", "HTTPS"]) {
        Advice::NameNotAsPlainHttp
    } else if has(&["UnknownIssuer", "CaUsedAsEndEntity"]) {
        Advice::AddAuthority
    } else if has(&["invalid peer certificate"]) {
        Advice::RepairCertificate
    } else if has(&["dns error", "failed to lookup"]) {
        Advice::CheckName
    } else {
        Advice::CheckNetwork
    }
}

/// The longest text from another server, in characters.
const MAX_WORDS: usize = 300;

/// Makes a text from another server fit for a status: one line, bounded, without control characters.
pub(super) fn clean(text: &str) -> String {
    let printable: String = text
        .chars()
        .take(4 * MAX_WORDS)
        .map(|c| if c.is_control() || c == '\u{fffd}' { ' ' } else { c })
        .collect();
    let words = printable.split_whitespace().collect::<Vec<_>>().join(" ");
    match words.char_indices().nth(MAX_WORDS) {
        Some((end, _)) => format!("{}...", &words[..end]),
        None => words,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_exactly_what_is_named() {
        let hosts = ["Registry.local", "10.77.0.2:5000", "[fd00::1]:5000", "[FD00:0::2]", "127.1:5000", "["]
            .map(ToOwned::to_owned);
        let plain = PlainHttp::new(&hosts);
        for host in [
            "registry.local",
            "REGISTRY.local",
            "registry.local:80",
            "10.77.0.2:5000",
            "[fd00::1]:5000",
            "[fd00::2]",
            "127.0.0.1:5000",
        ] {
            assert_eq!(plain.scheme(host), "http", "{host}");
        }
        for host in [
            "registry.local:5000",
            "10.77.0.2",
            "10.77.0.2:5001",
            "x.registry.local",
            "localhost",
            "[fd00::1]",
            "[",
        ] {
            assert_eq!(plain.scheme(host), "https", "{host}");
        }
        assert!(!plain.allows(&Url::parse("ftp://registry.local").unwrap()));
    }

    #[test]
    fn texts_from_elsewhere_are_bounded_and_plain() {
        assert_eq!(clean("a\u{1b}[31m\r\n  b\0"), "a [31m b");
        assert_eq!(clean(&"ü".repeat(100_000)).chars().count(), MAX_WORDS + 3);
    }
}
