//! Tests which servers get credentials, and which users see the result.

use serde_json::json;

use super::super::credentials::{Credentials, Origin};
use super::fake::{Fake, Reply};
use super::tests::{TIMEOUT, registry};
use super::*;

/// `ci:hush`, in base64.
const CI_HUSH: &str = "Basic Y2k6aHVzaA==";

fn basic(password: &str) -> Credentials {
    Credentials::Basic { username: "ci".to_owned(), password: password.into() }
}

fn of(namespace: &str, credentials: Credentials) -> Asker {
    let origin = Origin::Secret { namespace: namespace.to_owned(), name: "pull".to_owned() };
    Asker::new(credentials, origin)
}

async fn resolve(registry: &Registry, fake: &Fake, asker: &Asker) -> Result<ResolvedImage, ResolveError> {
    let image = ImageReference::parse(&format!("{}/team/tools:1", fake.host)).unwrap();
    registry.resolve(&image, &Platform::linux("amd64"), asker).await
}

/// A registry that protects `team/tools:1` and its content. Returns the digest, and the path of the config.
async fn locked(lock: impl Fn(&mut Reply)) -> (Fake, String, String) {
    let fake = Fake::start().await;
    let (manifest, config) = fake.image(&json!({"config": {"User": "1000"}}));
    fake.tag("1", &manifest);
    let config = format!("/v2/team/tools/blobs/{config}");
    let paths = ["1", &manifest].map(|name| format!("/v2/team/tools/manifests/{name}"));
    paths.iter().chain([&config]).for_each(|path| fake.lock(path, &lock));
    (fake, manifest, config)
}

/// Like [`locked`], behind a token server. The token is `open`.
async fn behind_tokens(answer: Reply) -> (Fake, Fake) {
    let tokens = Fake::start().await;
    tokens.on("/token", answer);
    let realm = format!("http://{}/token", tokens.host);
    let (fake, ..) = locked(|reply| reply.token = Some(("open", realm.clone()))).await;
    (fake, tokens)
}

fn grant() -> Reply {
    Reply::new(200, r#"{"access_token":"open","expires_in":300}"#)
}

fn is_denied(error: &ResolveError) -> bool {
    matches!(error, ResolveError::Denied { .. }) && error.may_help_to_ask_as_another()
}

#[tokio::test]
async fn a_password_opens_what_is_closed_to_others() {
    let (fake, manifest, _) = locked(|reply| reply.basic = Some("ci:hush")).await;
    let client = registry(&[&fake.host], TIMEOUT, None);
    for (asker, said) in [
        (Asker::anonymous(), "asked anonymously, does not show image"),
        (of("team", basic("no")), "asked as user ci of Secret team/pull, does not show image"),
        (Asker::new(basic("no"), Origin::Operator), "asked with the operator's own credentials, does"),
        (of("team", Credentials::IdentityToken("no".into())), "with the identity token of Secret team/pull"),
        (of("team", Credentials::RegistryToken("no".into())), "with the registry token of Secret team/pull"),
    ] {
        let error = resolve(&client, &fake, &asker).await.unwrap_err();
        assert!(is_denied(&error) && error.to_string().contains(said), "{error}");
        assert!(error.to_string().contains("HTTP 401 UNAUTHORIZED: wrong user or password"), "{error}");
    }
    fake.seen();
    let image = resolve(&client, &fake, &of("team", basic("hush"))).await.unwrap();
    assert_eq!((image.digest, image.user), (manifest, ImageUser::Numeric(1000)));
    let shown: Vec<String> = fake.requests().into_iter().map(|seen| seen.authorization).collect();
    assert_eq!(shown, ["", CI_HUSH, "", CI_HUSH], "only where it is asked for");

    let (open, ..) = locked(|_| ()).await;
    let client = registry(&[&open.host], TIMEOUT, None);
    resolve(&client, &open, &of("team", basic("hush"))).await.unwrap();
    assert!(open.requests().iter().all(|seen| seen.authorization.is_empty()));
}

#[tokio::test]
async fn a_token_server_gets_the_password_and_the_registry_its_token() {
    let (fake, tokens) = behind_tokens(Reply { basic: Some("ci:hush"), ..grant() }).await;
    let client = registry(&[&fake.host, &tokens.host], TIMEOUT, None);
    for asker in [Asker::anonymous(), of("team", basic("no"))] {
        let error = resolve(&client, &fake, &asker).await.unwrap_err();
        assert!(is_denied(&error), "{error}");
        assert!(
            error.to_string().contains(&format!("token server {}, asked {asker}", tokens.host)),
            "{error}"
        );
    }
    fake.seen();
    tokens.seen();
    resolve(&client, &fake, &of("team", basic("hush"))).await.unwrap();
    let requests = tokens.requests();
    assert_eq!(requests.len(), 1, "the token is kept");
    assert_eq!(requests[0].authorization, CI_HUSH);
    assert_eq!(requests[0].path, "/token?scope=repository%3Ateam%2Ftools%3Apull&service=the+registry");
    let shown: Vec<String> = fake.requests().into_iter().map(|seen| seen.authorization).collect();
    assert_eq!(shown, ["", "Bearer open", "Bearer open"]);
}

#[tokio::test]
async fn an_identity_token_is_exchanged() {
    let (fake, tokens) = behind_tokens(grant()).await;
    let client = registry(&[&fake.host, &tokens.host], TIMEOUT, None);
    let asker = of("team", Credentials::IdentityToken("hush&x=1".into()));
    resolve(&client, &fake, &asker).await.unwrap();
    let requests = tokens.requests();
    assert_eq!(
        (requests.len(), requests[0].path.as_str(), requests[0].authorization.as_str()),
        (1, "/token", "")
    );
    assert_eq!(
        requests[0].body,
        "scope=repository%3Ateam%2Ftools%3Apull&service=the+registry&grant_type=refresh_token\
         &client_id=longshore&refresh_token=hush%26x%3D1"
    );
    assert!(fake.requests().iter().all(|seen| !seen.authorization.contains("hush")));

    for (reply, told) in [
        (Reply::new(400, r#"{"error":"invalid_grant","error_description":"no"}"#), "says HTTP 400."),
        (Reply::new(401, r#"{"details":"expired"}"#), "says HTTP 401 expired."),
        (Reply::new(404, "no").header("content-type", "text/plain"), "says HTTP 404."),
        (Reply::error(405, "UNSUPPORTED", "no"), "says HTTP 405 UNSUPPORTED: no."),
    ] {
        tokens.on("/token", reply);
        let client = registry(&[&fake.host, &tokens.host], TIMEOUT, None);
        let error = resolve(&client, &fake, &asker).await.unwrap_err();
        assert!(is_denied(&error) && error.to_string().contains(told), "{error}");
    }
}

#[tokio::test]
async fn a_registry_token_is_shown_as_it_is() {
    let (fake, tokens) = behind_tokens(grant()).await;
    let client = registry(&[&fake.host, &tokens.host], TIMEOUT, None);
    resolve(&client, &fake, &of("team", Credentials::RegistryToken("open".into()))).await.unwrap();
    for wrong in ["hush", "hu\nsh"] {
        let error =
            resolve(&client, &fake, &of("team", Credentials::RegistryToken(wrong.into()))).await.unwrap_err();
        assert!(is_denied(&error), "{error}");
    }
    assert!(tokens.seen().is_empty());
}

#[tokio::test]
async fn nothing_is_shown_where_a_redirect_leads() {
    let storage = Fake::start().await;
    storage.on("/blob", Reply::new(200, json!({"config": {"User": "1000"}}).to_string()));
    let (fake, _, config) = locked(|reply| reply.basic = Some("ci:hush")).await;
    let to_storage =
        |path: &str| Reply::new(307, "").header("location", format!("http://{}{path}", storage.host));
    let client = || registry(&[&fake.host, &storage.host], TIMEOUT, None);
    let asker = of("team", basic("hush"));
    fake.on(&config, Reply { basic: Some("ci:hush"), ..to_storage("/blob") });
    resolve(&client(), &fake, &asker).await.unwrap();
    let shown: Vec<String> = storage.requests().into_iter().map(|seen| seen.authorization).collect();
    assert_eq!(shown, [""]);

    // Storage that asks for a password, or sends to a token server of its own, gets nothing either.
    fake.on(&config, to_storage("/blob"));
    for lock in [
        Reply { basic: Some("ci:hush"), ..Reply::default() },
        Reply { token: Some(("open", format!("http://{}/token", storage.host))), ..Reply::default() },
    ] {
        storage.on("/blob", Reply { status: 200, ..lock });
        assert!(is_denied(&resolve(&client(), &fake, &asker).await.unwrap_err()));
        let requests = storage.requests();
        assert!(requests.len() == 1 && requests[0].authorization.is_empty());
    }

    // A server behind a token server's redirect gets nothing either.
    storage.on("/token", grant());
    let (fake, tokens) = behind_tokens(to_storage("/token")).await;
    let client = registry(&[&fake.host, &tokens.host, &storage.host], TIMEOUT, None);
    resolve(&client, &fake, &asker).await.unwrap();
    assert!(storage.requests().iter().all(|seen| seen.authorization.is_empty()));
    let error = resolve(&client, &fake, &of("team", Credentials::IdentityToken("hush".into()))).await;
    assert!(error.unwrap_err().to_string().contains("HTTP 307"));
    assert!(storage.seen().is_empty(), "the body holds the token");
}

#[tokio::test]
async fn nothing_is_shown_in_the_clear() {
    let (fake, tokens) = behind_tokens(grant()).await;
    for credentials in [basic("hush"), Credentials::IdentityToken("hush".into())] {
        let client = registry(&[&fake.host], TIMEOUT, None);
        let error = resolve(&client, &fake, &of("team", credentials.clone())).await.unwrap_err();
        assert!(
            matches!(error, ResolveError::Unreachable { advice: Advice::RefusedPlainHttp, .. }),
            "{error}"
        );
        assert!(!error.may_help_to_ask_as_another());
        fake.seen();
        // The registry itself is not named: TLS is spoken, which it does not understand.
        let client = registry(&[], TIMEOUT, None);
        resolve(&client, &fake, &of("team", credentials)).await.unwrap_err();
        assert!(fake.seen().is_empty());
    }
    assert!(tokens.seen().is_empty());
}

#[tokio::test]
async fn refusals_keep_their_words_but_no_secret() {
    let (fake, tokens) = behind_tokens(grant()).await;
    let client = registry(&[&fake.host, &tokens.host], TIMEOUT, None);
    let asker = of("team", basic("hush"));
    tokens.on("/token", Reply::error(403, "DENIED", "password hush is wrong"));
    let error = resolve(&client, &fake, &asker).await.unwrap_err();
    assert!(is_denied(&error) && !error.to_string().contains("hush"), "{error}");

    tokens.on("/token", Reply::error(429, "TOOMANYREQUESTS", "slow down").header("retry-after", "7"));
    for asker in [asker, Asker::anonymous()] {
        let error = resolve(&client, &fake, &asker).await.unwrap_err();
        assert!(matches!(error, ResolveError::RateLimited { .. }), "{error}");
        assert!(error.is_transient() && error.may_help_to_ask_as_another());
        assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
        assert!(error.to_string().contains(&format!("asked {asker}, limits")), "{error}");
    }
    let fake = Fake::start().await;
    let client = registry(&[&fake.host], TIMEOUT, None);
    let error = resolve(&client, &fake, &Asker::anonymous()).await.unwrap_err();
    assert!(matches!(error, ResolveError::NotFound { .. }) && error.may_help_to_ask_as_another());
    assert!(error.to_string().contains("asked anonymously, says HTTP 404"), "{error}");
}

#[tokio::test]
async fn who_asks_is_not_told_of_a_service_accounts_secret() {
    let (fake, ..) = locked(|reply| reply.basic = Some("robot:hush")).await;
    let client = registry(&[&fake.host], TIMEOUT, None);
    let origin = Origin::ServiceAccount { namespace: "team".to_owned(), name: "deployer".to_owned() };
    let asker = Asker::new(basic("wrong"), origin);
    let error = resolve(&client, &fake, &asker).await.unwrap_err();
    let said = "asked with the user and password of a pull Secret of service account team/deployer, does";
    assert!(is_denied(&error) && error.to_string().contains(said), "{error}");

    let path = "/v2/team/tools/manifests/1";
    fake.on(path, Reply::error(403, "DENIED", "user ci may not read insufficient"));
    let error = resolve(&client, &fake, &asker).await.unwrap_err();
    assert!(error.to_string().contains("HTTP 403 and repeats what it was shown"), "{error}");
    let error = resolve(&client, &fake, &of("team", basic("wrong"))).await.unwrap_err();
    assert!(error.to_string().contains("user ci may not read"), "{error}");
}

#[tokio::test]
async fn what_one_may_read_is_not_shown_to_another() {
    let (fake, tokens) = behind_tokens(Reply { basic: Some("ci:hush"), ..grant() }).await;
    let client = registry(&[&fake.host, &tokens.host], TIMEOUT, None);
    let digest = resolve(&client, &fake, &of("one", basic("hush"))).await.unwrap().digest;
    tokens.seen();
    let pinned = ImageReference::parse(&format!("{}/team/tools@{digest}", fake.host)).unwrap();
    let platform = Platform::linux("amd64");
    let user = async |asker: &Asker| client.resolve(&pinned, &platform, asker).await.unwrap().user;

    assert_eq!(user(&of("one", basic("hush"))).await, ImageUser::Numeric(1000));
    assert!(tokens.seen().is_empty(), "known");
    for other in [Asker::anonymous(), of("one", basic("no")), of("two", basic("no"))] {
        assert_eq!(user(&other).await, ImageUser::Unreadable, "{other}");
        assert!(is_denied(&resolve(&client, &fake, &other).await.unwrap_err()), "{other}");
    }
    tokens.seen();
    for same_password in [of("two", basic("hush")), Asker::new(basic("hush"), Origin::Operator)] {
        assert_eq!(user(&same_password).await, ImageUser::Numeric(1000));
        assert_eq!(tokens.seen().len(), 1, "asked for himself");
    }
}
