//! Tests where connections lead, and the messages of those that fail.

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

/// The kind of an `Unreachable`, and its text.
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

    // Go's servers answer the first, others send the TLS alert.
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

/// A client that avoids near addresses, like the operator's, except for the named hosts.
fn guarded(plain_http: &[&str], ca_bundle_pem: Option<Vec<u8>>) -> Registry {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let plain_http = plain_http.iter().map(ToString::to_string).collect();
    Registry::new(RegistryConfig { plain_http, timeout: TIMEOUT, ca_bundle_pem }).unwrap()
}

/// The ports of a server that speaks plain HTTP, of one with a good certificate, and of none; and
/// that certificate's authority.
async fn ports() -> ([String; 3], Fake, Vec<u8>) {
    let port = |host: &str| host.rsplit_once(':').unwrap().1.to_owned();
    let fake = Fake::start().await;
    let (tls, authority) = raw_tls("localhost", b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await;
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    ([port(&fake.host), port(&tls), port(&free)], fake, authority)
}

const REFUSED: &str = "is, or its name leads to, a loopback, link-local, multicast or unspecified address";

#[tokio::test]
async fn near_registries_are_not_asked_whether_they_are_there_or_not() {
    let (ports, fake, authority) = ports().await;
    let client = guarded(&[], Some(authority.clone()));
    for near in
        ["127.0.0.1", "127.1", "0x7f000001", "2130706433", "localhost", "[::1]", "[::ffff:7f00:1]", "0.0.0.0"]
    {
        let mut texts = Vec::new();
        for port in &ports {
            let host = format!("{near}:{port}");
            let (advice, text) = unreachable(&client, &host).await;
            assert_eq!(advice, Advice::RefusedAddress, "{text}");
            assert!(
                text.starts_with(&format!("cannot reach registry {host} for image {host}/team")),
                "{text}"
            );
            assert!(text.contains(REFUSED) && text.contains("name it in the chart's registries.plainHttp"));
            texts.push(text.replace(port, "PORT"));
            // The node is not asked instead.
            let digest = digest::sha256(b"");
            let error = resolve(&client, &format!("{host}/team/tools@{digest}")).await.unwrap_err();
            assert!(error.to_string().contains(REFUSED) && !error.is_transient(), "{error}");
        }
        assert!(texts.iter().all(|text| *text == texts[0]), "{texts:?}");
    }
    let (advice, text) = unreachable(&client, "169.254.169.254").await;
    assert_eq!(advice, Advice::RefusedAddress, "{text}");
    assert!(fake.seen().is_empty());

    // With its port, and no other.
    let named = format!("localhost:{}", ports[0]);
    let client = guarded(&[&named, "127.1:1"], Some(authority));
    let error = resolve(&client, &format!("{named}/team/tools:1")).await.unwrap_err();
    assert_eq!((error.category(), fake.seen().len()), ("not_found", 1));
    let (advice, text) = unreachable(&client, "127.0.0.1:1").await;
    assert_eq!(advice, Advice::CheckNetwork, "{text}");
    for host in [format!("localhost:{}", ports[1]), fake.host.clone()] {
        let (advice, text) = unreachable(&client, &host).await;
        assert_eq!(advice, Advice::RefusedAddress, "{text}");
    }
}

#[tokio::test]
async fn nobody_is_led_near() {
    let (ports, near, authority) = ports().await;
    let fake = Fake::start().await;
    let client = guarded(&[&fake.host], Some(authority));
    let image = format!("{}/team/tools:1", fake.host);
    for host in ["127.0.0.1", "127.1", "localhost", "[::1]"] {
        for sends in [
            |to: String| Reply::new(307, "").header("location", to),
            |to: String| Reply { token: Some(("open", to)), ..Reply::new(200, "{}") },
        ] {
            let mut texts = Vec::new();
            for port in &ports {
                fake.on("/v2/team/tools/manifests/1", sends(format!("https://{host}:{port}/x")));
                let error = resolve(&client, &image).await.unwrap_err();
                assert!(
                    matches!(error, ResolveError::Unreachable { advice: Advice::RefusedAddress, .. }),
                    "{error}"
                );
                texts.push(error.to_string().replace(port, "PORT"));
            }
            assert!(texts[0].contains(REFUSED) && texts.iter().all(|text| *text == texts[0]), "{texts:?}");
        }
    }
    assert!(near.seen().is_empty());
}

#[tokio::test]
async fn little_is_told_of_other_servers() {
    let (fake, [_, _, config]) = with_index().await;
    let other = Fake::start().await;
    let there = format!("http://{}/there", other.host);
    let to_other = || Reply::new(307, "").header("location", there.clone());
    let blob = format!("/v2/team/tools/blobs/{config}");
    let image = format!("{}/team/tools:1", fake.host);
    let error = async |reply: Reply| {
        other.on("/there", reply);
        let client = registry(&[&fake.host, &other.host], TIMEOUT, None);
        resolve(&client, &image).await.unwrap_err().to_string()
    };

    fake.on(&blob, to_other());
    let told = error(Reply::new(200, "concealed")).await;
    let found = digest::sha256(b"concealed");
    assert!(
        told.contains(&format!("should have the digest {config}, and")) && !told.contains(&found),
        "{told}"
    );

    fake.on("/v2/team/tools/manifests/1", to_other());
    let kind = "application/x-concealed";
    for reply in [
        Reply::new(403, "concealed").header("content-type", "text/plain"),
        Reply::new(500, r#"{"error":"concealed","error_description":"concealed"}"#),
        Reply::new(404, r#"{"errors":[{"code":"UNKNOWN","message":"unknown","detail":"concealed"}]}"#),
        Reply::new(200, "{}").header("docker-content-digest", "concealed"),
        Reply::new(200, "{}").header("docker-content-digest", found.as_str()),
        Reply::new(200, "{}").header("content-type", kind),
        Reply::new(200, r#"{"schemaVersion":2,"mediaType":"concealed"}"#),
        Reply::new(200, r#"{"schemaVersion":"concealed"}"#),
    ] {
        let told = error(reply).await;
        for word in ["concealed", found.as_str(), digest::sha256(b"{}").as_str()] {
            assert!(!told.contains(word), "{told}");
        }
    }
    let told = error(Reply::error(404, "MANIFEST_UNKNOWN", "no such tag")).await;
    assert!(told.contains("HTTP 404 MANIFEST_UNKNOWN: no such tag"), "{told}");
}
