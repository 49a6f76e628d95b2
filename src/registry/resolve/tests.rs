//! Against registries on this machine's loopback.

use serde_json::json;

use super::fake::{Fake, Reply};
use super::*;

pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

pub(super) fn registry(plain_http: &[&str], timeout: Duration, ca_bundle_pem: Option<Vec<u8>>) -> Registry {
    // Fails where another test was first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let plain_http = plain_http.iter().map(ToString::to_string).collect();
    Registry::reaching(Reach::Everywhere, RegistryConfig { plain_http, timeout, ca_bundle_pem }).unwrap()
}

pub(super) async fn resolve(registry: &Registry, image: &str) -> Result<ResolvedImage, ResolveError> {
    let image = ImageReference::parse(image).unwrap();
    registry.resolve(&image, &Platform::linux("amd64"), &Asker::anonymous()).await
}

/// A registry that has `team/tools:1` for amd64 and arm64, and the digests of index, manifest and
/// config.
pub(super) async fn with_index() -> (Fake, [String; 3]) {
    let fake = Fake::start().await;
    let config = |architecture: &str, user: &str| json!({"os": "linux", "architecture": architecture, "config": {"User": user}});
    let (arm64, _) = fake.image(&config("arm64", "7"));
    let (amd64, amd64_config) = fake.image(&config("amd64", "1000:1000"));
    let index = fake.index(&[("linux/arm64", &arm64), ("linux/amd64", &amd64)]);
    fake.tag("1", &index);
    (fake, [index, amd64, amd64_config])
}

/// One answer to the tag's look-up, and what becomes of it.
async fn error_of(reply: Reply) -> ResolveError {
    let fake = Fake::start().await;
    fake.on("/v2/team/tools/manifests/1", reply);
    let error = resolve(&registry(&[&fake.host], TIMEOUT, None), &format!("{}/team/tools:1", fake.host))
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(text.contains(&fake.host), "names the registry: {text}");
    assert!(!text.contains("  ") && text.len() < 1000, "{text}");
    error
}

#[tokio::test]
async fn a_tag_leads_through_the_index_to_the_user() {
    let (fake, [index, amd64, config]) = with_index().await;
    let registry = registry(&[&fake.host], TIMEOUT, None);
    let image = resolve(&registry, &format!("{}/team/tools:1", fake.host)).await.unwrap();
    assert_eq!(image.digest, index);
    assert_eq!(image.platform_digest.as_ref(), Some(&amd64));
    assert_eq!(image.config_digest.as_ref(), Some(&config));
    assert_eq!(image.user, ImageUser::Numeric(1000));
    assert!(image.unread.is_none());
    let read = |kind: &str, name: &str| format!("/v2/team/tools/{kind}/{name}");
    assert_eq!(fake.seen(), [read("manifests", "1"), read("manifests", &amd64), read("blobs", &config)]);

    // Again: the tag is asked for, what hangs on its digest is known. It moves: that is seen.
    resolve(&registry, &format!("{}/team/tools:1", fake.host)).await.unwrap();
    assert_eq!(fake.seen(), [read("manifests", "1")]);
    let (moved, _) = fake.image(&json!({}));
    fake.tag("1", &moved);
    assert_eq!(
        resolve(&registry.clone(), &format!("{}/team/tools:1", fake.host)).await.unwrap().digest,
        moved
    );
}

#[tokio::test]
async fn a_single_manifest_is_platform_and_digest_at_once() {
    let fake = Fake::start().await;
    let registry = registry(&[&fake.host], TIMEOUT, None);
    for (n, (user, expected)) in [
        (json!("1000"), ImageUser::Numeric(1000)),
        (json!("0"), ImageUser::Root),
        (json!(""), ImageUser::Unset),
        (json!(null), ImageUser::Unset),
        (json!("nginx:nginx"), ImageUser::Named("nginx".to_owned())),
        (json!("a b"), ImageUser::Unreadable),
        (json!(1000), ImageUser::Unreadable),
    ]
    .into_iter()
    .enumerate()
    {
        let (manifest, config) = fake.image(&json!({"config": {"User": user}}));
        fake.tag(&n.to_string(), &manifest);
        let image = resolve(&registry, &format!("{}/team/tools:{n}", fake.host)).await.unwrap();
        assert_eq!(
            (image.digest, image.platform_digest, image.config_digest),
            (manifest.clone(), Some(manifest), Some(config))
        );
        assert_eq!(image.user, expected, "{user}");
    }
}

#[tokio::test]
async fn without_a_digest_header_the_content_is_hashed() {
    let (fake, [index, ..]) = with_index().await;
    let body = fake.index(&[]);
    assert_ne!(body, index);
    let registry = registry(&[&fake.host], TIMEOUT, None);
    let (manifest, _) = fake.image(&json!({"history": []}));
    let reply =
        reqwest::get(format!("http://{}/v2/team/tools/manifests/{manifest}", fake.host)).await.unwrap();
    fake.on("/v2/team/tools/manifests/bare", Reply::new(200, reply.bytes().await.unwrap()));
    let image = resolve(&registry, &format!("{}/team/tools:bare", fake.host)).await.unwrap();
    assert_eq!(image.digest, manifest);
}

#[tokio::test]
async fn a_given_digest_needs_no_tag_and_survives_a_registry_that_says_nothing() {
    let (fake, [index, amd64, _]) = with_index().await;
    let client = registry(&[&fake.host], TIMEOUT, None);
    let image = resolve(&client, &format!("{}/team/tools:gone@{index}", fake.host)).await.unwrap();
    assert_eq!((image.digest, image.platform_digest), (index.clone(), Some(amd64)));
    assert!(!fake.seen().iter().any(|path| path.ends_with("/gone")));

    let path = format!("/v2/team/tools/manifests/{index}");
    let hang = Reply { hangs: true, ..Reply::default() };
    for (reply, category) in [
        (Reply::error(404, "MANIFEST_UNKNOWN", "unknown"), "not_found"),
        (Reply::error(403, "DENIED", "no"), "denied"),
        (Reply::new(429, ""), "rate_limited"),
        (Reply::new(500, ""), "failing"),
        (Reply::new(200, "<html>Sign in</html>"), "invalid"),
        (hang, "unreachable"),
    ] {
        fake.on(&path, reply);
        let client = registry(&[&fake.host], Duration::from_millis(300), None);
        let image = resolve(&client, &format!("{}/team/tools@{index}", fake.host)).await.unwrap();
        assert_eq!((image.digest, image.user), (index.clone(), ImageUser::Unreadable));
        assert_eq!((image.platform_digest, image.config_digest), (None, None));
        assert_eq!(image.unread.unwrap().category(), category);
    }
    // Content with the right digest does say something.
    let chart = fake
        .manifest(&json!({"schemaVersion": 2, "layers": [], "config": {"digest": index, "size": 2,
        "mediaType": "application/vnd.cncf.helm.config.v1+json"}}));
    let error = resolve(&client, &format!("{}/team/tools@{chart}", fake.host)).await.unwrap_err();
    assert!(matches!(&error, ResolveError::NotAnImage { what, .. } if what.contains("helm")), "{error}");
    let arm64 = fake.index(&[("linux/arm64", &index)]);
    let error = resolve(&client, &format!("{}/team/tools@{arm64}", fake.host)).await.unwrap_err();
    assert_eq!(error.category(), "no_platform");
}

#[tokio::test]
async fn refusals_keep_the_registrys_words() {
    let error = error_of(Reply::error(404, "MANIFEST_UNKNOWN", "manifest unknown to us")).await;
    assert!(matches!(error, ResolveError::NotFound { .. }));
    assert!(error.to_string().contains("HTTP 404 MANIFEST_UNKNOWN: manifest unknown to us"), "{error}");
    assert!(!error.is_transient());

    for status in [401, 403] {
        let error = error_of(Reply::error(status, "DENIED", "requested access is denied")).await;
        assert!(matches!(error, ResolveError::Denied { .. }) && !error.is_transient());
        assert!(error.to_string().contains("requested access is denied"), "{error}");
    }

    let limited = Reply::error(429, "TOOMANYREQUESTS", "pull rate limit").header("retry-after", "90");
    let error = error_of(limited).await;
    assert_eq!(error.retry_after(), Some(Duration::from_secs(90)));
    assert!(error.is_transient() && error.category() == "rate_limited");
    assert!(error.to_string().contains("pull rate limit, and to wait 90 s."), "{error}");

    let error = error_of(Reply::new(500, "<html>oops</html>")).await;
    assert!(matches!(error, ResolveError::Failing { .. }) && error.is_transient());
    assert!(error.to_string().contains("says HTTP 500."), "{error}");
    let error = error_of(
        Reply::new(503, "draining\n").header("content-type", "text/plain").header("retry-after", "5"),
    )
    .await;
    assert_eq!(error.retry_after(), Some(Duration::from_secs(5)));
    assert!(error.to_string().contains("HTTP 503 draining"), "{error}");

    let error = error_of(Reply::error(400, "NAME_INVALID", "invalid name")).await;
    assert!(matches!(error, ResolveError::Invalid { .. }) && !error.is_transient());
}

#[tokio::test]
async fn rubbish_is_told_from_images() {
    let is_invalid = |error: &ResolveError| matches!(error, ResolveError::Invalid { .. });
    let error =
        error_of(Reply::new(200, "{\"schemaVersion\":2,").header("content-type", "application/json")).await;
    assert!(is_invalid(&error) && error.to_string().contains("no manifest"), "{error}");
    let error =
        error_of(Reply::new(200, "{}").header("docker-content-digest", digest::sha256(b"other"))).await;
    assert!(is_invalid(&error) && error.to_string().contains("should have the digest"), "{error}");
    let error = error_of(Reply::new(200, "{}").header("docker-content-digest", "sha256:\"x")).await;
    assert!(is_invalid(&error), "{error}");
    let error = error_of(Reply::new(200, vec![b' '; (4 << 20) + 1])).await;
    assert!(is_invalid(&error) && error.to_string().contains("longer than 4096 KiB"), "{error}");
    let error = error_of(Reply::new(204, "")).await;
    assert!(is_invalid(&error), "{error}");
    // Not more than allowed is repeated, however much comes.
    let error = error_of(Reply::error(404, "X", &"long ".repeat(100_000))).await;
    assert!(matches!(error, ResolveError::NotFound { .. }));
    let schema_1 = Reply::new(200, r#"{"schemaVersion":1,"name":"team/tools","fsLayers":[]}"#)
        .header("content-type", "application/vnd.docker.distribution.manifest.v1+prettyjws");
    let fake = Fake::start().await;
    fake.on("/v2/team/tools/manifests/1", schema_1);
    let error = resolve(&registry(&[&fake.host], TIMEOUT, None), &format!("{}/team/tools:1", fake.host))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("Docker's schema 1"), "{error}");
}

#[tokio::test]
async fn manifests_and_configs_must_be_what_was_asked_for() {
    let (fake, [_, amd64, config]) = with_index().await;
    for path in [format!("/v2/team/tools/blobs/{config}"), format!("/v2/team/tools/manifests/{amd64}")] {
        fake.on(&path, Reply::new(200, "{\"config\":{\"User\":\"0\"}}"));
        let registry = registry(&[&fake.host], TIMEOUT, None);
        let error = resolve(&registry, &format!("{}/team/tools:1", fake.host)).await.unwrap_err();
        assert!(
            matches!(&error, ResolveError::Invalid { what, .. } if what.contains("should have the digest")),
            "{error}"
        );
    }
}

#[tokio::test]
async fn another_platform_is_named() {
    let fake = Fake::start().await;
    let registry = registry(&[&fake.host], TIMEOUT, None);
    let (manifest, _) = fake.image(&json!({"os": "linux", "architecture": "arm64"}));
    fake.tag("single", &manifest);
    fake.tag(
        "index",
        &fake.index(&[
            ("windows/amd64", &manifest),
            ("linux/arm64", &manifest),
            ("unknown/unknown", &manifest),
        ]),
    );
    fake.tag("lie", &fake.index(&[("linux/amd64", &manifest)]));
    fake.tag("empty", &fake.index(&[]));
    for (tag, has) in [
        ("single", "it has linux/arm64."),
        ("index", "it has linux/arm64, windows/amd64."),
        ("lie", "it has linux/arm64."),
        ("empty", "it has nothing at all."),
    ] {
        let error = resolve(&registry, &format!("{}/team/tools:{tag}", fake.host)).await.unwrap_err();
        assert!(matches!(error, ResolveError::NoPlatform { .. }) && !error.is_transient());
        assert!(
            error.to_string().contains("nothing for linux/amd64") && error.to_string().contains(has),
            "{error}"
        );
    }
    // An index in an index in an index, and so on.
    let mut digest = manifest;
    for _ in 0..4 {
        digest = fake.index(&[("linux/amd64", &digest)]);
    }
    fake.tag("deep", &digest);
    let error = resolve(&registry, &format!("{}/team/tools:deep", fake.host)).await.unwrap_err();
    assert_eq!(error.category(), "not_an_image");
}

#[tokio::test]
async fn a_token_server_is_asked_once_for_a_repository() {
    let (fake, [index, ..]) = with_index().await;
    let tokens = Fake::start().await;
    let realm = format!("http://{}/token", tokens.host);
    let (manifest, _) = fake.image(&json!({}));
    let tagged = format!("/v2/team/tools/manifests/{index}");
    let reply = Reply { token: Some(("open", realm.clone())), ..Reply::new(200, "{}") };
    fake.on(&tagged, reply);
    let mut hidden = Reply::new(200, json!({}).to_string());
    hidden.token = Some(("open", realm));
    fake.tag("2", &manifest);
    tokens.on("/token", Reply::new(200, r#"{"token":"open","expires_in":300}"#));

    let client = registry(&[&fake.host, &tokens.host], TIMEOUT, None);
    for tag in ["a", "b"] {
        fake.on(&format!("/v2/team/tools/manifests/{tag}"), hidden.clone());
        // Past the token, the content is read: no manifest.
        let error = resolve(&client, &format!("{}/team/tools:{tag}", fake.host)).await.unwrap_err();
        assert_eq!(error.category(), "invalid", "{error}");
    }
    assert_eq!(tokens.seen(), ["/token?scope=repository%3Ateam%2Ftools%3Apull&service=the+registry"]);

    // Why the token server refuses is why the registry does.
    tokens.on("/token", Reply::error(403, "DENIED", "private"));
    let client = registry(&[&fake.host, &tokens.host], TIMEOUT, None);
    let error = resolve(&client, &format!("{}/team/tools:a", fake.host)).await.unwrap_err();
    assert!(
        matches!(error, ResolveError::Denied { .. })
            && error.to_string().contains("token server 127.0.0.1")
            && error.to_string().contains("HTTP 403 DENIED: private"),
        "{error}"
    );
    tokens.on("/token", Reply::new(429, "").header("retry-after", "7"));
    let error = resolve(&client, &format!("{}/team/tools:a", fake.host)).await.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
    tokens.on("/token", Reply::new(200, r#"{"token":"wrong"}"#));
    assert_eq!(
        resolve(&client, &format!("{}/team/tools:a", fake.host)).await.unwrap_err().category(),
        "denied"
    );
    tokens.on("/token", Reply::new(200, "secret-but-no-json"));
    let error = resolve(
        &registry(&[&fake.host, &tokens.host], TIMEOUT, None),
        &format!("{}/team/tools:a", fake.host),
    )
    .await
    .unwrap_err();
    assert!(
        matches!(error, ResolveError::Invalid { .. }) && !error.to_string().contains("secret"),
        "{error}"
    );
}
