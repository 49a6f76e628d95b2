//! Where connections lead, and what is said of those that fail.

use serde_json::json;

use super::fake::{Fake, Reply, raw, raw_tls};
use super::tests::{TIMEOUT, registry, resolve, with_index};
use super::*;

#[tokio::test]
async fn nobody_is_led_into_the_clear() {
    let (fake, [_, _, config]) = with_index().await;
    let other = Fake::start().await;
    let client = registry(&[&fake.host], TIMEOUT, None);
    let image = format!("{}/team/tools:1", fake.host);
    let blob = format!("/v2/team/tools/blobs/{config}");
    fake.on(&blob, Reply::new(307, "").header("location", format!("http://{}/blob", other.host)));
    let error = resolve(&client, &image).await.unwrap_err();
    assert!(matches!(error, ResolveError::Unreachable { advice: Advice::RefusedPlainHttp, .. }), "{error}");
    assert!(
        !error.is_transient() && error.to_string().contains(&format!("not allowed to {}.", other.host)),
        "{error}"
    );

    let mut reply = Reply::new(200, "{}");
    reply.token = Some(("open", format!("http://{}/token", other.host)));
    fake.on("/v2/team/tools/manifests/1", reply);
    let error = resolve(&client, &image).await.unwrap_err();
    assert!(matches!(error, ResolveError::Unreachable { advice: Advice::RefusedPlainHttp, .. }), "{error}");
    assert!(other.seen().is_empty());
}

#[tokio::test]
async fn redirects_to_storage_are_followed() {
    let (fake, [_, amd64, config]) = with_index().await;
    let storage = Fake::start().await;
    let body = json!({"os": "linux", "architecture": "amd64", "config": {"User": "1000:1000"}}).to_string();
    storage.on("/blob", Reply::new(200, body));
    fake.on(
        &format!("/v2/team/tools/blobs/{config}"),
        Reply::new(307, "").header("location", format!("http://{}/blob?signature=x", storage.host)),
    );
    let client = registry(&[&fake.host, &storage.host], TIMEOUT, None);
    let image = resolve(&client, &format!("{}/team/tools:1", fake.host)).await.unwrap();
    assert_eq!((image.platform_digest, image.user), (Some(amd64), ImageUser::Numeric(1000)));

    storage.on("/blob", Reply { hangs: true, ..Reply::default() });
    let client = registry(&[&fake.host, &storage.host], Duration::from_millis(300), None);
    let error = resolve(&client, &format!("{}/team/tools:1", fake.host)).await.unwrap_err();
    assert!(
        matches!(error, ResolveError::Unreachable { advice: Advice::CheckNetwork, .. })
            && error.is_transient()
    );
    assert!(error.to_string().contains("no complete answer within 0.3 s"), "{error}");
    fake.on(
        &format!("/v2/team/tools/blobs/{config}"),
        Reply::new(307, "").header("location", format!("/v2/team/tools/blobs/{config}")),
    );
    let error = resolve(&client, &format!("{}/team/tools:1", fake.host)).await.unwrap_err();
    assert!(error.to_string().contains("more than 10 redirects"), "{error}");
}

/// What kind of unreachable it is, and its text.
async fn unreachable(registry: &Registry, host: &str) -> (Advice, String) {
    match resolve(registry, &format!("{host}/team/tools:1")).await.unwrap_err() {
        error @ ResolveError::Unreachable { advice, .. } => (advice, error.to_string()),
        error => panic!("{error}"),
    }
}

#[tokio::test]
async fn connections_that_fail_say_why() {
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let (advice, text) = unreachable(&registry(&[], TIMEOUT, None), &free).await;
    assert_eq!(advice, Advice::CheckNetwork, "{text}");
    assert!(text.contains("refused"), "{text}");

    let (advice, text) = unreachable(&registry(&[], TIMEOUT, None), "registry.invalid").await;
    assert_eq!(advice, Advice::CheckName, "{text}");

    let fake = Fake::start().await;
    let (advice, text) = unreachable(&registry(&[], TIMEOUT, None), &fake.host).await;
    assert_eq!(advice, Advice::NameAsPlainHttp, "{text}");
    assert!(text.contains(&format!("name {} in the chart's registries.plainHttp", fake.host)), "{text}");

    // What Go's servers answer, and the TLS alert that others send.
    for answer in [
        b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n".as_slice(),
        b"\x15\x03\x01\x00\x02\x02\x16",
    ] {
        let host = raw(answer).await;
        let (advice, text) = unreachable(&registry(&[&host], TIMEOUT, None), &host).await;
        assert_eq!(advice, Advice::NameNotAsPlainHttp, "{text}");
    }
    let host = raw(b"").await;
    let (advice, text) = unreachable(&registry(&[&host], TIMEOUT, None), &host).await;
    assert_eq!(advice, Advice::CheckNetwork, "{text}");
    let host = raw(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{").await;
    let (advice, text) = unreachable(&registry(&[&host], TIMEOUT, None), &host).await;
    assert_eq!(advice, Advice::CheckNetwork, "{text}");
    assert!(text.contains("broke off"), "{text}");
}

#[tokio::test]
async fn a_private_authority_is_trusted_where_it_is_named() {
    const NOT_FOUND: &[u8] = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
    let client = registry(&[], TIMEOUT, None);
    let (host, authority) = raw_tls("localhost", NOT_FOUND).await;
    let (advice, text) = unreachable(&client, &host).await;
    assert_eq!(advice, Advice::AddAuthority, "{text}");
    let trusting = registry(&[], TIMEOUT, Some(authority));
    let error = resolve(&trusting, &format!("{host}/team/tools:1")).await.unwrap_err();
    assert_eq!(error.category(), "not_found", "{error}");

    let (host, authority) = raw_tls("other.example.com", NOT_FOUND).await;
    let (advice, text) = unreachable(&registry(&[], TIMEOUT, Some(authority)), &host).await;
    assert_eq!(advice, Advice::RepairCertificate, "{text}");

    for bundle in ["", "no certificate", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"] {
        let ca_bundle_pem = Some(bundle.as_bytes().to_vec());
        let error =
            Registry::new(RegistryConfig { ca_bundle_pem, ..RegistryConfig::default() }).err().unwrap();
        assert!(matches!(error, SetupError::CaBundle(_)), "{error}");
    }
}
