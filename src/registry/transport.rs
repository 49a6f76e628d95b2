//! The HTTP client: what it trusts, where it may go in the clear, what its errors mean.

use std::collections::BTreeSet;
use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Certificate, Url, redirect};

use super::error::Advice;

/// A connection that takes longer will not come; the overall time is for slow answers.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// As curl and Go's client: enough for storage behind a CDN, no endless circle.
const MAX_REDIRECTS: usize = 10;

/// In an error's text, so that [`advice`] finds it again behind reqwest's own types.
const REFUSED: &str = "plain HTTP is not allowed to";

/// The hosts, with their ports, that may be spoken to in the clear.
#[derive(Debug, Clone, Default)]
pub(super) struct PlainHttp(Arc<BTreeSet<String>>);

impl PlainHttp {
    /// From what the flag names: `host` (port 80) or `host:port`.
    pub(super) fn new(hosts: &[String]) -> Self {
        let with_port = |host: &String| {
            let host = host.to_ascii_lowercase();
            let has_port = host.rfind(':').is_some_and(|colon| !host[colon..].contains(']'));
            if has_port { host } else { format!("{host}:80") }
        };
        Self(Arc::new(hosts.iter().map(with_port).collect()))
    }

    /// `http` or `https`, for a registry as it stands in a reference.
    pub(super) fn scheme(&self, host: &str) -> &'static str {
        let named = Url::parse(&format!("http://{host}")).is_ok_and(|url| self.allows(&url));
        if named { "http" } else { "https" }
    }

    /// Whether a request may go there.
    pub(super) fn allows(&self, url: &Url) -> bool {
        match (url.scheme(), url.host_str(), url.port_or_known_default()) {
            ("https", Some(_), _) => true,
            ("http", Some(host), Some(port)) => {
                self.0.contains(&format!("{}:{port}", host.to_ascii_lowercase()))
            }
            _ => false,
        }
    }

    /// Why a request may not go there.
    pub(super) fn refusal(url: &Url) -> String {
        format!("{REFUSED} {}", authority(url))
    }
}

/// `host` or `host:port`, as in a reference.
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
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    NoRandomness,
    /// No root certificates were found.
    #[error("cannot set up TLS: {0}. Are root certificates where SSL_CERT_FILE says, or in /etc/ssl/certs?")]
    Tls(String),
}

/// Builds a client.
pub(super) fn client(
    redirects: redirect::Policy,
    ca_bundle_pem: Option<&[u8]>,
) -> Result<reqwest::Client, SetupError> {
    // reqwest would panic.
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        return Err(SetupError::NoProvider);
    }
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("longshore/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(redirects);
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

/// Registries send blobs' readers to storage elsewhere. reqwest takes the credentials off when
/// host, port or scheme change; that nobody is sent into the clear is our part.
pub(super) fn redirects(plain_http: PlainHttp) -> redirect::Policy {
    redirect::Policy::custom(move |attempt| {
        if attempt.previous().len() > MAX_REDIRECTS {
            attempt.error(format!("more than {MAX_REDIRECTS} redirects"))
        } else if plain_http.allows(attempt.url()) {
            attempt.follow()
        } else {
            let refusal = PlainHttp::refusal(attempt.url());
            attempt.error(refusal)
        }
    })
}

/// The error and its causes, each once: reqwest's own text says no more than "error sending
/// request".
pub(super) fn chain(error: &reqwest::Error) -> String {
    // Of the outermost error the kind matters, the address is said elsewhere; a token server's or a
    // storage's address may carry a signature.
    let mut text = match error {
        e if e.is_timeout() => "timed out",
        e if e.is_connect() => "cannot connect",
        e if e.is_redirect() => "bad redirect",
        e if e.is_body() || e.is_decode() => "the answer broke off",
        _ => "no answer",
    }
    .to_owned();
    let mut cause = error.source();
    let mut last = String::new();
    while let Some(error) = cause {
        let words = error.to_string();
        // hyper repeats its cause; reqwest's connection errors begin with "client error (Connect)".
        if !words.starts_with("client error") && !last.contains(&words) && !words.starts_with("error sending")
        {
            text = format!("{text}: {words}");
            last = words;
        }
        cause = error.source();
    }
    clean(&text)
}

/// What is likely to help, by the words of [`chain`]. The types that would say it are private to
/// hyper, or hidden behind `io::Error`; the tests hold the words.
pub(super) fn advice(cause: &str, https: bool) -> Advice {
    let has = |words: &[&str]| words.iter().any(|word| cause.contains(word));
    if has(&[REFUSED]) {
        Advice::RefusedPlainHttp
    } else if https && has(&["InvalidContentType"]) {
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

/// The longest text taken over from elsewhere, in characters.
const MAX_WORDS: usize = 300;

/// Text from elsewhere, fit for a status: one line, no control characters, bounded.
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
        let hosts =
            ["Registry.local", "10.77.0.2:5000", "[fd00::1]:5000", "[fd00::2]"].map(ToOwned::to_owned);
        let plain = PlainHttp::new(&hosts);
        for host in [
            "registry.local",
            "REGISTRY.local",
            "registry.local:80",
            "10.77.0.2:5000",
            "[fd00::1]:5000",
            "[fd00::2]",
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
