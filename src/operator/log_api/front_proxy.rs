//! Callers, as the API server names them.
//!
//! The API server has authenticated a caller before it passes the request on. It says who that is in headers,
//! and proves with a client certificate that it is the API server. The `ConfigMap`
//! `extension-apiserver-authentication` says which authority and which headers count.

use std::{collections::BTreeMap, sync::Arc};

use axum::http::{HeaderMap, StatusCode};
use k8s_openapi::api::{authorization::v1::SubjectAccessReviewSpec, core::v1::ConfigMap};
use percent_encoding::percent_decode_str;
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, UnixTime, pem::PemObject},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};

use super::refusal::Refusal;

/// The namespace and the name of the `ConfigMap`.
pub(super) const NAMESPACE: &str = "kube-system";
/// See [`NAMESPACE`].
pub(super) const NAME: &str = "extension-apiserver-authentication";

/// Why the front proxy cannot be known.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProxyError {
    /// The API server has no front proxy: its flags `--requestheader-…` are not set.
    #[error(
        "the ConfigMap {NAMESPACE}/{NAME} has no {0}: the API server runs without the flags --requestheader-*"
    )]
    Missing(&'static str),
    /// The `ConfigMap` holds something else than it should.
    #[error("the ConfigMap {NAMESPACE}/{NAME} has a {0} that cannot be read: {1}")]
    Unreadable(&'static str, String),
}

/// How to know the front proxy, and which headers it uses.
#[derive(Debug)]
pub(super) struct FrontProxy {
    verifier: Arc<dyn ClientCertVerifier>,
    /// The names that its certificate may have. Empty: any name.
    names: Vec<String>,
    user: Vec<String>,
    uid: Vec<String>,
    groups: Vec<String>,
    extra: Vec<String>,
}

/// Somebody who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Caller {
    pub(super) user: String,
    uid: Option<String>,
    groups: Vec<String>,
    extra: BTreeMap<String, Vec<String>>,
}

impl FrontProxy {
    /// Reads the `ConfigMap`.
    pub(super) fn read(map: &ConfigMap) -> Result<Self, ProxyError> {
        const CA: &str = "requestheader-client-ca-file";
        const USER: &str = "requestheader-username-headers";
        let list = |key: &'static str| -> Result<Vec<String>, ProxyError> {
            let Some(text) = map.data.as_ref().and_then(|data| data.get(key)) else { return Ok(Vec::new()) };
            serde_json::from_str(text).map_err(|error| ProxyError::Unreadable(key, error.to_string()))
        };
        let pem = map.data.as_ref().and_then(|data| data.get(CA)).filter(|pem| !pem.trim().is_empty());
        let pem = pem.ok_or(ProxyError::Missing(CA))?;
        let unreadable = |error: &dyn std::fmt::Display| ProxyError::Unreadable(CA, error.to_string());
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let certificate = certificate.map_err(|error| unreadable(&error))?;
            roots.add(certificate).map_err(|error| unreadable(&error))?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            // A caller without a certificate gets an answer that says why.
            .allow_unauthenticated()
            .build()
            .map_err(|error| unreadable(&error))?;
        let user = list(USER)?;
        if user.is_empty() {
            return Err(ProxyError::Missing(USER));
        }
        Ok(Self {
            verifier,
            names: list("requestheader-allowed-names")?,
            user,
            uid: list("requestheader-uid-headers")?,
            groups: list("requestheader-group-headers")?,
            extra: list("requestheader-extra-headers-prefix")?,
        })
    }

    pub(super) fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::clone(&self.verifier)
    }

    /// The caller of a request on a connection with these client certificates. They are checked for each
    /// request: a connection may be older than the authority's change.
    pub(super) fn caller(
        &self,
        certificates: &[CertificateDer<'_>],
        headers: &HeaderMap,
    ) -> Result<Caller, Refusal> {
        let unauthorized = |words: &str| Err(Refusal::new(StatusCode::UNAUTHORIZED, words));
        let Some((own, between)) = certificates.split_first() else {
            return unauthorized(
                "only the API server may ask here: ask it, for example with kubectl get --raw",
            );
        };
        if let Err(error) = self.verifier.verify_client_cert(own, between, UnixTime::now()) {
            return unauthorized(&format!("the client certificate is not the API server's: {error}"));
        }
        if !self.names.is_empty() && !common_names(own).iter().any(|name| self.names.contains(name)) {
            return unauthorized(
                "the client certificate has a name that requestheader-allowed-names does not",
            );
        }
        let texts = |names: &[String]| -> Vec<String> {
            let values = names.iter().flat_map(|name| headers.get_all(name.as_str()));
            values
                .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
                .filter(|value| !value.is_empty())
                .collect()
        };
        let Some(user) = texts(&self.user).into_iter().next() else {
            return unauthorized("the API server names no user");
        };
        let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in headers {
            // Names of headers are in lower case here.
            let mut prefixes = self.extra.iter().map(|prefix| prefix.to_ascii_lowercase());
            if let Some(key) = prefixes.find_map(|prefix| name.as_str().strip_prefix(&prefix)) {
                let key = percent_decode_str(key).decode_utf8_lossy().into_owned();
                let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
                extra.entry(key).or_default().push(value);
            }
        }
        Ok(Caller { user, uid: texts(&self.uid).into_iter().next(), groups: texts(&self.groups), extra })
    }
}

impl Caller {
    /// The caller's part of a question to the authorizer.
    pub(super) fn subject(&self) -> SubjectAccessReviewSpec {
        SubjectAccessReviewSpec {
            user: Some(self.user.clone()),
            uid: self.uid.clone(),
            groups: Some(self.groups.clone()),
            extra: Some(self.extra.clone()),
            ..SubjectAccessReviewSpec::default()
        }
    }
}

/// The common names of a certificate's subject. None if it cannot be read.
fn common_names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, read)) = x509_parser::parse_x509_certificate(certificate) else { return Vec::new() };
    let names = read.subject().iter_common_name().filter_map(|name| name.as_str().ok());
    names.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::log_api::testing::{Authority, map};

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_caller_is_whom_the_front_proxy_names() {
        let authority = Authority::new("front-proxy");
        let proxy = FrontProxy::read(&map(&authority, r#"["front-proxy-client"]"#)).unwrap();
        let (certificate, _) = authority.client("front-proxy-client");
        let caller = proxy
            .caller(
                &[certificate],
                &headers(&[
                    ("X-Remote-User", "anna"),
                    ("X-Remote-Uid", "u-1"),
                    ("X-Remote-Group", "deployers"),
                    ("x-remote-group", "system:authenticated"),
                    ("X-Remote-Extra-Example.com%2fscopes", "a"),
                    ("X-Remote-Extra-example.com%2Fscopes", "b"),
                    ("Authorization", "Bearer of-somebody-else"),
                ]),
            )
            .unwrap();
        let subject = caller.subject();
        assert_eq!((subject.user.as_deref(), subject.uid.as_deref()), (Some("anna"), Some("u-1")));
        assert_eq!(subject.groups.unwrap(), ["deployers", "system:authenticated"]);
        let scopes = ("example.com/scopes".to_owned(), vec!["a".to_owned(), "b".to_owned()]);
        assert_eq!(subject.extra.unwrap(), BTreeMap::from([scopes]));
    }

    #[test]
    fn a_stranger_is_nobody() {
        let (authority, another) = (Authority::new("front-proxy"), Authority::new("front-proxy"));
        let named = headers(&[("X-Remote-User", "anna"), ("X-Remote-Group", "system:masters")]);
        let proxy = FrontProxy::read(&map(&authority, r#"["front-proxy-client"]"#)).unwrap();
        let refused = |certificates: &[CertificateDer<'_>], headers: &HeaderMap| {
            let refusal = proxy.caller(certificates, headers).unwrap_err();
            assert_eq!(refusal.code, StatusCode::UNAUTHORIZED);
            refusal.message
        };
        assert!(refused(&[], &named).contains("only the API server"));
        let (forged, _) = another.client("front-proxy-client");
        assert!(refused(&[forged], &named).contains("not the API server's"));
        let (other_name, _) = authority.client("aggregator");
        assert!(refused(&[other_name], &named).contains("requestheader-allowed-names"));
        let (good, _) = authority.client("front-proxy-client");
        assert!(refused(std::slice::from_ref(&good), &headers(&[])).contains("names no user"));
        assert!(refused(&[good], &headers(&[("X-Remote-User", "")])).contains("names no user"));
    }

    #[test]
    fn without_allowed_names_the_authority_decides() {
        let authority = Authority::new("front-proxy");
        let proxy = FrontProxy::read(&map(&authority, "[]")).unwrap();
        let (certificate, _) = authority.client("whoever");
        assert!(proxy.caller(&[certificate], &headers(&[("X-Remote-User", "anna")])).is_ok());
    }

    #[test]
    fn a_cluster_without_a_front_proxy_is_told_so() {
        let words = FrontProxy::read(&ConfigMap::default()).unwrap_err().to_string();
        assert!(words.contains("--requestheader-"), "{words}");
        let mut broken = map(&Authority::new("a"), "not json");
        assert!(matches!(FrontProxy::read(&broken), Err(ProxyError::Unreadable(..))));
        broken = map(&Authority::new("a"), "[]");
        broken.data.as_mut().unwrap().insert("requestheader-client-ca-file".into(), "no certificate".into());
        assert!(FrontProxy::read(&broken).is_err());
    }
}
