//! The server's own certificate, which nothing else in the cluster has to make.
//!
//! A certificate and the authority that signs it are made together, and the authority's key is forgotten at once.
//! All replicas read both from one Secret. A new pair keeps the authority before it in the bundle, so replicas
//! with the old certificate are still trusted.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::{
    ByteString,
    api::core::v1::Secret,
    jiff::{SignedDuration, Timestamp, tz::TimeZone},
};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, date_time_ymd,
};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::danger::ClientCertVerifier,
};

use crate::operator::call::{CallError, FIELD_MANAGER, call};

/// How long a certificate is valid, in days.
const VALID_DAYS: i64 = 90;
/// How many days before its end a certificate is replaced.
const RENEW_DAYS: i64 = 30;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(super) enum CertificateError {
    /// The Secret cannot be read or written.
    #[error("the Secret {name}: {source}")]
    Secret {
        /// Its name.
        name: String,
        /// Why.
        source: CallError,
    },
    /// The chart makes the Secret, without content.
    #[error("there is no Secret {0}: helm installs it without content, and this server fills it")]
    NoSecret(String),
    /// It cannot be made.
    #[error("a certificate cannot be made: {0}")]
    Make(#[from] rcgen::Error),
}

/// A certificate with its key, and the authorities that callers must trust.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pair {
    certificate: String,
    key: String,
    /// The authority that signed it, and the one before.
    pub(super) bundle: String,
}

impl Pair {
    /// A new pair for these host names. It keeps the authority of the pair before.
    fn make(hosts: &[String], now: Timestamp, before: Option<&Self>) -> Result<Self, CertificateError> {
        let day = |days: i64| {
            let date = (now + SignedDuration::from_hours(24 * days)).to_zoned(TimeZone::UTC).date();
            let part = |number: i8| u8::try_from(number).unwrap_or(1);
            date_time_ymd(date.year().into(), part(date.month()), part(date.day()))
        };
        // The caller's clock may be behind.
        let (from, until) = (day(-1), day(VALID_DAYS));
        let key = || KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256);

        let mut authority = CertificateParams::default();
        // Two authorities of one name could not be told apart.
        authority.distinguished_name.push(DnType::CommonName, format!("longshore-log-api {now}"));
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        (authority.not_before, authority.not_after) = (from, until);
        let authority_key = key()?;
        let signed = authority.self_signed(&authority_key)?;
        let issuer = Issuer::new(authority, authority_key);

        let mut own = CertificateParams::new(hosts.to_vec())?;
        own.distinguished_name.push(DnType::CommonName, "longshore-log-api");
        own.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        own.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        own.use_authority_key_identifier_extension = true;
        (own.not_before, own.not_after) = (from, until);
        let own_key = key()?;
        let certificate = own.signed_by(&own_key, &issuer)?.pem();

        let mut bundle = signed.pem();
        if let Some(last) = before.and_then(|before| first_certificate(&before.bundle)) {
            bundle.push_str(last);
        }
        Ok(Self { certificate, key: own_key.serialize_pem(), bundle })
    }

    /// The pair in a Secret. `None` if it has none that can be used.
    fn of(secret: &Secret) -> Option<Self> {
        let text = |key: &str| {
            let ByteString(bytes) = secret.data.as_ref()?.get(key)?;
            String::from_utf8(bytes.clone()).ok()
        };
        let pair = Self { certificate: text("tls.crt")?, key: text("tls.key")?, bundle: text("ca.crt")? };
        pair.parts()?;
        Some(pair)
    }

    fn parts(&self) -> Option<(CertificateDer<'static>, PrivateKeyDer<'static>)> {
        let certificate = CertificateDer::from_pem_slice(self.certificate.as_bytes()).ok()?;
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).ok()?;
        CertificateDer::from_pem_slice(self.bundle.as_bytes()).ok()?;
        Some((certificate, key))
    }

    /// Whether it is valid for so many days more.
    fn lasts(&self, now: Timestamp, days: i64) -> bool {
        let Some((certificate, _)) = self.parts() else { return false };
        x509_parser::parse_x509_certificate(&certificate)
            .is_ok_and(|(_, read)| read.validity().not_after.timestamp() - now.as_second() > days * 24 * 3600)
    }

    /// How to serve with it.
    pub(super) fn serve(&self, verifier: Arc<dyn ClientCertVerifier>) -> Result<ServerConfig, rustls::Error> {
        let none = || rustls::Error::General("the Secret's certificate cannot be read".to_owned());
        let (certificate, key) = self.parts().ok_or_else(none)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![certificate], key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

/// The first certificate of a bundle, in PEM.
fn first_certificate(bundle: &str) -> Option<&str> {
    const END: &str = "-----END CERTIFICATE-----";
    let end = bundle.find(END)? + END.len();
    let end = end + usize::from(bundle[end..].starts_with('\n'));
    Some(&bundle[..end])
}

/// The pair in the Secret. If it has none, or one that ends soon, a new one is made and written there.
pub(super) async fn keep(
    client: &Client,
    namespace: &str,
    name: &str,
    hosts: &[String],
) -> Result<Pair, CertificateError> {
    let failed = |source| CertificateError::Secret { name: name.to_owned(), source };
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let secret = call(api.get_opt(name)).await.map_err(failed)?;
    let secret = secret.ok_or_else(|| CertificateError::NoSecret(name.to_owned()))?;
    let now = Timestamp::now();
    let before = Pair::of(&secret);
    if let Some(pair) = before.as_ref().filter(|pair| pair.lasts(now, RENEW_DAYS)) {
        return Ok(pair.clone());
    }
    let pair = Pair::make(hosts, now, before.as_ref())?;
    let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
    let data = BTreeMap::from([
        ("tls.crt".to_owned(), bytes(&pair.certificate)),
        ("tls.key".to_owned(), bytes(&pair.key)),
        ("ca.crt".to_owned(), bytes(&pair.bundle)),
    ]);
    // The resource version is the one that was read. If another replica was faster, its pair counts.
    let metadata = ObjectMeta { managed_fields: None, ..secret.metadata };
    let secret = Secret { metadata, data: Some(data), ..secret };
    let parameters = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    call(api.replace(name, &parameters, &secret)).await.map_err(failed)?;
    Ok(pair)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use serde_json::{from_value, json, to_value};

    use super::*;
    use crate::operator::testing::server::{failure, server};

    fn hosts() -> Vec<String> {
        vec!["logs.system.svc".to_owned()]
    }

    fn count(bundle: &str) -> usize {
        CertificateDer::pem_slice_iter(bundle.as_bytes()).map(Result::unwrap).count()
    }

    fn trusted(pair: &Pair, bundle: &str) -> bool {
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
            roots.add(certificate.unwrap()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier =
            rustls::client::WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        let (certificate, _) = pair.parts().unwrap();
        let name = "logs.system.svc".try_into().unwrap();
        let now = rustls::pki_types::UnixTime::now();
        rustls::client::danger::ServerCertVerifier::verify_server_cert(
            &*verifier.unwrap(),
            &certificate,
            &[],
            &name,
            &[],
            now,
        )
        .is_ok()
    }

    #[test]
    fn a_new_pair_leaves_the_one_before_trusted() {
        let now = Timestamp::now();
        let first = Pair::make(&hosts(), now, None).unwrap();
        let second = Pair::make(&hosts(), now + SignedDuration::from_secs(1), Some(&first)).unwrap();
        let third = Pair::make(&hosts(), now + SignedDuration::from_secs(2), Some(&second)).unwrap();
        assert_eq!([&first, &second, &third].map(|pair| count(&pair.bundle)), [1, 2, 2]);
        assert!(trusted(&first, &first.bundle) && trusted(&second, &second.bundle));
        assert!(trusted(&first, &second.bundle), "a replica that has not read the Secret again");
        assert!(!trusted(&second, &first.bundle) && !trusted(&first, &third.bundle));
    }

    #[test]
    fn a_pair_is_replaced_before_it_ends() {
        let made = Timestamp::now();
        let pair = Pair::make(&hosts(), made, None).unwrap();
        let after = |days: i64| pair.lasts(made + SignedDuration::from_hours(24 * days), RENEW_DAYS);
        assert!(after(0) && after(58));
        assert!(!after(61));
    }

    fn stored(data: &serde_json::Value) -> serde_json::Value {
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "logs", "resourceVersion": "7"}, "data": data})
    }

    /// A server with this Secret, and the pair that is kept there.
    async fn kept(secret: serde_json::Value) -> (Pair, serde_json::Value, usize) {
        let secret = Arc::new(Mutex::new(secret));
        let (client, seen) = server({
            let secret = Arc::clone(&secret);
            move |request| {
                let mut secret = secret.lock().unwrap();
                if request.method == "PUT" {
                    assert_eq!(request.body["metadata"]["resourceVersion"], "7");
                    *secret = request.body.clone();
                }
                (200, secret.clone())
            }
        });
        let pair = keep(&client, "system", "logs", &hosts()).await.unwrap();
        let calls = seen.lock().unwrap().len();
        let secret = secret.lock().unwrap().clone();
        (pair, secret, calls)
    }

    #[tokio::test]
    async fn a_secret_without_content_is_filled_and_then_kept() {
        let (pair, secret, calls) = kept(stored(&json!(null))).await;
        assert_eq!(calls, 2);
        assert_eq!(Pair::of(&from_value(secret.clone()).unwrap()), Some(pair.clone()));
        // No key of an authority is stored.
        assert_eq!(
            secret["data"].as_object().unwrap().keys().collect::<Vec<_>>(),
            ["ca.crt", "tls.crt", "tls.key"]
        );
        let mut again = secret;
        again["metadata"]["resourceVersion"] = "7".into();
        let (same, _, calls) = kept(again).await;
        assert_eq!((same, calls), (pair, 1));
    }

    #[tokio::test]
    async fn a_secret_that_somebody_broke_is_filled_again() {
        for data in [
            json!({"tls.crt": "eA==", "tls.key": "eA==", "ca.crt": "eA=="}),
            json!({"tls.crt": "/w==", "tls.key": "", "ca.crt": ""}),
        ] {
            assert_eq!(kept(stored(&data)).await.2, 2);
        }
        let old = Pair::make(&hosts(), Timestamp::now() - SignedDuration::from_hours(24 * 70), None).unwrap();
        let bytes = |text: &str| to_value(ByteString(text.as_bytes().to_vec())).unwrap();
        let data = json!({
            "tls.crt": bytes(&old.certificate), "tls.key": bytes(&old.key), "ca.crt": bytes(&old.bundle),
        });
        let (pair, _, calls) = kept(stored(&data)).await;
        assert!(calls == 2 && pair != old && trusted(&old, &pair.bundle));
    }

    #[tokio::test]
    async fn without_its_secret_there_is_no_certificate() {
        let (client, _) = server(|_| failure(404, "NotFound", "none"));
        let error = keep(&client, "system", "logs", &hosts()).await.unwrap_err();
        assert!(error.to_string().contains("helm"), "{error}");
    }
}
