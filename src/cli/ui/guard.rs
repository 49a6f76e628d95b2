//! Who may use the page: only a browser on this machine that was given the address, and none of the web pages that
//! it shows from elsewhere.

use std::sync::{Mutex, PoisonError};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri,
    header::{
        CACHE_CONTROL, CONTENT_SECURITY_POLICY, COOKIE, HOST, ORIGIN, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    },
};
use subtle::ConstantTimeEq;

use super::request::parameter;
use crate::cli::error::CliError;

/// The field of each form that proves that the form came from here.
pub(super) const CSRF: &str = "csrf";
/// The parameter of the address that lets a browser in.
const TOKEN: &str = "token";
/// How many random bytes a secret has.
const SECRET_BYTES: usize = 32;
/// Nothing comes from elsewhere, nothing is written into the page itself, and nobody frames it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// What becomes of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// It may go on.
    Pass,
    /// It had the token. The browser gets this cookie, and the address without the token.
    Enter(String),
    /// The browser is in already, and gets the address without the token.
    Inside,
    /// It is refused, for this reason.
    Refuse(StatusCode, &'static str),
}

/// The secrets of one server, and its place.
#[derive(Debug)]
pub(super) struct Guard {
    port: u16,
    /// It is taken by the first request that has it.
    token: Mutex<Option<String>>,
    cookie: String,
    csrf: String,
}

impl Guard {
    /// New secrets for a server on this port.
    pub(super) fn new(port: u16) -> Result<Self, CliError> {
        Ok(Self { port, token: Mutex::new(Some(secret()?)), cookie: secret()?, csrf: secret()? })
    }

    /// The address that lets one browser in, once.
    pub(super) fn address(&self) -> String {
        let token = self.token.lock().unwrap_or_else(PoisonError::into_inner).clone().unwrap_or_default();
        format!("http://127.0.0.1:{}/?{TOKEN}={token}", self.port)
    }

    /// What each form has in its field [`CSRF`].
    pub(super) fn csrf(&self) -> &str {
        &self.csrf
    }

    /// Whether a form came from here.
    pub(super) fn is_ours(&self, csrf: Option<&str>) -> bool {
        csrf.is_some_and(|csrf| same(csrf, &self.csrf))
    }

    /// Judges a request by all but its body.
    pub(super) fn judge(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Entry {
        let Some(host) = only(headers, &HOST).filter(|host| self.is_here(host)) else {
            // A name of somebody else that leads to this machine has that name as its host.
            let why = "this is not the address of the page: use the one that the program printed";
            return Entry::Refuse(StatusCode::MISDIRECTED_REQUEST, why);
        };
        let site = only(headers, &HeaderName::from_static("sec-fetch-site"));
        if headers.contains_key("sec-fetch-site")
            && !site.is_some_and(|site| matches!(site, "same-origin" | "none"))
        {
            return Entry::Refuse(StatusCode::FORBIDDEN, "another web page may not use this one");
        }
        if method == Method::GET
            && uri.path() == "/"
            && let Some(token) = parameter(uri, TOKEN)
        {
            return self.enter(&token, headers);
        }
        if !self.is_inside(headers) {
            let why =
                "this browser was not let in: open the address that the program printed, with its token";
            return Entry::Refuse(StatusCode::UNAUTHORIZED, why);
        }
        let reads = method == Method::GET || method == Method::HEAD;
        if !reads && only(headers, &ORIGIN) != Some(&format!("http://{host}")) {
            return Entry::Refuse(StatusCode::FORBIDDEN, "another web page may not write here");
        }
        Entry::Pass
    }

    fn enter(&self, token: &str, headers: &HeaderMap) -> Entry {
        let mut kept = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.as_ref().is_some_and(|kept| same(token, kept)) {
            *kept = None;
            let (name, cookie) = (self.cookie_name(), &self.cookie);
            return Entry::Enter(format!("{name}={cookie}; Path=/; HttpOnly; SameSite=Strict"));
        }
        if self.is_inside(headers) {
            return Entry::Inside;
        }
        let why = "this address was used before, or is of another program: it lets one browser in, once. If it was not \
             you who used it, end the program with Ctrl-C. Start kubectl longshore ui again for a new address";
        Entry::Refuse(StatusCode::UNAUTHORIZED, why)
    }

    fn is_here(&self, host: &str) -> bool {
        host == format!("127.0.0.1:{}", self.port) || host == format!("localhost:{}", self.port)
    }

    fn is_inside(&self, headers: &HeaderMap) -> bool {
        let name = self.cookie_name();
        let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        cookies
            .flat_map(|cookies| cookies.split(';'))
            .filter_map(|cookie| cookie.trim().split_once('='))
            .any(|(of, value)| of == name && same(value, &self.cookie))
    }

    /// Browsers keep cookies by host, not by port. Two servers do not take each other's.
    fn cookie_name(&self) -> String {
        format!("longshore-{}", self.port)
    }
}

/// The headers that each answer has.
pub(super) fn protect(headers: &mut HeaderMap) {
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// A header that is there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut all = headers.get_all(name).iter();
    let first = all.next()?.to_str().ok()?;
    all.next().is_none().then_some(first)
}

fn same(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

fn secret() -> Result<String, CliError> {
    let mut bytes = [0; SECRET_BYTES];
    getrandom::fill(&mut bytes)
        .map_err(|error| CliError::Failed(format!("the system gives no random bytes: {error}")))?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn judge(guard: &Guard, method: &Method, path: &str, pairs: &[(&'static str, &str)]) -> Entry {
        guard.judge(method, &path.parse().unwrap(), &headers(pairs))
    }

    fn code(entry: &Entry) -> u16 {
        match entry {
            Entry::Refuse(code, _) => code.as_u16(),
            _ => 0,
        }
    }

    const HOST: (&str, &str) = ("host", "127.0.0.1:4000");

    #[test]
    fn the_token_lets_one_browser_in_once() {
        let guard = Guard::new(4000).unwrap();
        let address = guard.address();
        let path = address.strip_prefix("http://127.0.0.1:4000").unwrap();
        assert!(path.len() > 43, "{path}");
        let wrong = judge(&guard, &Method::GET, "/?token=0000", &[HOST]);
        assert_eq!(code(&wrong), 401);
        let Entry::Enter(cookie) = judge(&guard, &Method::GET, path, &[HOST]) else { panic!("refused") };
        assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Strict"), "{cookie}");
        assert_eq!(code(&judge(&guard, &Method::GET, path, &[HOST])), 401, "the token worked twice");
        assert_eq!(code(&judge(&guard, &Method::GET, "/?token=", &[HOST])), 401, "no token is no token");
        let cookie = cookie.split(';').next().unwrap();
        assert_eq!(judge(&guard, &Method::GET, "/", &[HOST, ("cookie", cookie)]), Entry::Pass);
        assert_eq!(judge(&guard, &Method::GET, path, &[HOST, ("cookie", cookie)]), Entry::Inside);
        let among = format!("a=b; {cookie}; c=d");
        assert_eq!(judge(&guard, &Method::GET, "/x", &[HOST, ("cookie", &among)]), Entry::Pass);
        for other in ["", "longshore-4000=", "longshore-4000=0", "longshore-4001=0", &cookie[..20]] {
            assert_eq!(code(&judge(&guard, &Method::GET, "/", &[HOST, ("cookie", other)])), 401, "{other}");
        }
    }

    #[test]
    fn a_refused_request_does_not_use_up_the_token() {
        let guard = Guard::new(4000).unwrap();
        let address = guard.address();
        let path = address.strip_prefix("http://127.0.0.1:4000").unwrap();
        assert_eq!(code(&judge(&guard, &Method::GET, path, &[("host", "evil.example:4000")])), 421);
        assert_eq!(code(&judge(&guard, &Method::GET, path, &[HOST, ("sec-fetch-site", "cross-site")])), 403);
        assert_eq!(code(&judge(&guard, &Method::POST, path, &[HOST])), 401);
        assert!(matches!(judge(&guard, &Method::GET, path, &[HOST]), Entry::Enter(_)));
    }

    fn inside(guard: &Guard) -> String {
        format!("{}={}", guard.cookie_name(), guard.cookie)
    }

    #[test]
    fn only_the_page_s_own_names_are_hosts() {
        let guard = Guard::new(4000).unwrap();
        let cookie = inside(&guard);
        for host in ["127.0.0.1:4000", "localhost:4000"] {
            let entry = judge(&guard, &Method::GET, "/", &[("host", host), ("cookie", &cookie)]);
            assert_eq!(entry, Entry::Pass, "{host}");
        }
        for host in
            ["127.0.0.1", "localhost", "127.0.0.1:4001", "evil.example:4000", "localhost:4000.evil", ""]
        {
            let entry = judge(&guard, &Method::GET, "/", &[("host", host), ("cookie", &cookie)]);
            assert_eq!(code(&entry), 421, "{host}");
        }
        assert_eq!(code(&judge(&guard, &Method::GET, "/", &[("cookie", &cookie)])), 421);
        assert_eq!(code(&judge(&guard, &Method::GET, "/", &[HOST, HOST, ("cookie", &cookie)])), 421);
    }

    #[test]
    fn another_page_may_neither_read_nor_write() {
        let guard = Guard::new(4000).unwrap();
        let cookie = inside(&guard);
        for site in ["cross-site", "same-site", "", "none, none"] {
            let entry =
                judge(&guard, &Method::GET, "/", &[HOST, ("cookie", &cookie), ("sec-fetch-site", site)]);
            assert_eq!(code(&entry), 403, "{site}");
        }
        for site in ["same-origin", "none"] {
            let entry =
                judge(&guard, &Method::GET, "/", &[HOST, ("cookie", &cookie), ("sec-fetch-site", site)]);
            assert_eq!(entry, Entry::Pass, "{site}");
        }
        for origin in ["null", "http://localhost:4000", "https://127.0.0.1:4000", "http://127.0.0.1:40000"] {
            let entry = judge(&guard, &Method::POST, "/x", &[HOST, ("cookie", &cookie), ("origin", origin)]);
            assert_eq!(code(&entry), 403, "{origin}");
        }
        assert_eq!(code(&judge(&guard, &Method::POST, "/x", &[HOST, ("cookie", &cookie)])), 403);
        let own = [HOST, ("cookie", cookie.as_str()), ("origin", "http://127.0.0.1:4000")];
        assert_eq!(judge(&guard, &Method::POST, "/x", &own), Entry::Pass);
    }

    #[test]
    fn a_form_of_another_server_is_not_ours() {
        let (one, other) = (Guard::new(1).unwrap(), Guard::new(1).unwrap());
        assert!(one.is_ours(Some(one.csrf())));
        for wrong in [None, Some(""), Some(other.csrf()), Some(&one.csrf()[1..])] {
            assert!(!one.is_ours(wrong), "{wrong:?}");
        }
    }
}
