use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::*;

fn origin() -> Origin {
    Origin::Secret { namespace: "team".to_owned(), name: "pull".to_owned() }
}

fn read(auths: &Value) -> Result<Keyring, KeyringFault> {
    let mut keyring = Keyring::default();
    let content = json!({ "auths": auths }).to_string();
    keyring
        .add(&origin(), PullSecretForm::DockerConfigJson, content.as_bytes())
        .map_err(|KeyringError { fault, .. }| fault)?;
    Ok(keyring)
}

/// The users under the keys, each named as its key is, that fit the image.
fn users(keys: &[&str], image: &str) -> Vec<String> {
    let entries = keys.iter().map(|key| ((*key).to_owned(), json!({"username": key, "password": key})));
    let keyring = read(&Value::Object(entries.collect())).unwrap();
    let image = ImageReference::parse(image).unwrap();
    keyring.askers(&image).into_iter().map(|asker| user(asker).0).collect()
}

fn user(asker: &Asker) -> (String, String) {
    match asker.credentials() {
        Credentials::Anonymous => panic!("nobody"),
        Credentials::Basic { username, password } => (username.clone(), password.expose_secret().to_owned()),
        Credentials::IdentityToken(token) => ("identity".to_owned(), token.expose_secret().to_owned()),
        Credentials::RegistryToken(token) => ("registry".to_owned(), token.expose_secret().to_owned()),
    }
}

#[test]
fn keys_fit_as_with_the_kubelet() {
    for (key, image, fits) in [
        ("r.example.com", "r.example.com/a:1", true),
        ("r.example.com", "r.example.com/a/b/c:1", true),
        ("https://r.example.com", "r.example.com/a:1", true),
        ("http://r.example.com", "r.example.com/a:1", true),
        ("https://r.example.com/", "r.example.com/a:1", true),
        ("https://r.example.com/v1/", "r.example.com/a:1", true),
        ("https://r.example.com/v2/", "r.example.com/a:1", true),
        ("https://r.example.com/v2/team", "r.example.com/team/a:1", true),
        ("https://user:hush@r.example.com", "r.example.com/a:1", true),
        ("r.example.com?x", "r.example.com/a:1", true),
        ("r.example.com", "other.example.com/a:1", false),
        ("r.example.com", "x.r.example.com/a:1", false),
        ("example.com", "r.example.com/a:1", false),
        ("R.example.com", "r.example.com/a:1", false),
        ("r.example.com", "r.example.com.evil.org/a:1", false),
        // Ports are the same, or both are missing.
        ("r.example.com:5000", "r.example.com:5000/a:1", true),
        ("r.example.com", "r.example.com:5000/a:1", false),
        ("r.example.com:5000", "r.example.com/a:1", false),
        ("r.example.com:443", "r.example.com/a:1", false),
        ("*.example.com:5000", "r.example.com:5000/a:1", true),
        ("[fd00::1]:5000", "[fd00::1]:5000/a:1", true),
        ("[fd00::1]", "[fd00::1]/a:1", true),
        ("[fd00::1]", "[fd00::1]:5000/a:1", false),
        ("localhost:5000", "localhost:5000/a:1", true),
        // Paths are prefixes, by characters.
        ("r.example.com/team", "r.example.com/team/a:1", true),
        ("r.example.com/team", "r.example.com/team-b/a:1", true),
        ("r.example.com/team/", "r.example.com/team-b/a:1", false),
        ("r.example.com/team/a", "r.example.com/team/a:1", true),
        ("r.example.com/other", "r.example.com/team/a:1", false),
        ("r.example.com/v2", "r.example.com/team/a:1", false),
        ("r.example.com/*", "r.example.com/team/a:1", false),
        // A glob is for one label: the examples of Kubernetes' documentation.
        ("*.kubernetes.io", "kubernetes.io/a:1", false),
        ("*.kubernetes.io", "abc.kubernetes.io/a:1", true),
        ("*.*.kubernetes.io", "abc.kubernetes.io/a:1", false),
        ("*.*.kubernetes.io", "abc.def.kubernetes.io/a:1", true),
        ("prefix.*.io", "prefix.kubernetes.io/a:1", true),
        ("*-good.kubernetes.io", "prefix-good.kubernetes.io/a:1", true),
        ("*.example.com/images", "r.example.com/images/a:1", true),
        ("*", "r.example.com/a:1", false),
        ("*", "localhost/a:1", true),
        ("*.*.*", "r.example.com/a:1", true),
        ("a*b*c.io", "a1b2c.io/x:1", true),
        ("a*b*c.io", "abc.io/x:1", true),
        ("a*b*c.io", "acb.io/x:1", false),
        ("a*a.io", "a.io/x:1", false),
        ("a**.io", "a.io/x:1", true),
        // Docker Hub.
        ("https://index.docker.io/v1/", "alpine:1", true),
        ("https://index.docker.io/v1/", "docker.io/team/a:1", true),
        ("https://index.docker.io/v2/", "team/a:1", true),
        ("index.docker.io", "team/a:1", true),
        ("docker.io", "alpine:1", true),
        ("docker.io/team", "team/a:1", true),
        ("docker.io/team", "alpine:1", false),
        ("https://index.docker.io/v1/", "r.example.com/a:1", false),
        ("https://index.docker.io/v1/", "docker.io:443/a:1", false),
        ("registry-1.docker.io", "alpine:1", false),
        // No addresses.
        ("", "localhost/a:1", false),
        ("https://", "localhost/a:1", false),
        ("/a", "localhost/a:1", false),
        ("::", "localhost/a:1", false),
        ("ü@é/ß", "localhost/a:1", false),
    ] {
        let expected: &[&str] = if fits { &[key] } else { &[] };
        assert_eq!(users(&[key], image), expected, "{key:?} for {image}");
    }
}

#[test]
fn the_more_specific_comes_first() {
    let keys = ["*.example.com", "r.example.com", "r.example.com/team", "r.example.com/team/a", "other.io"];
    let sorted = ["r.example.com/team/a", "r.example.com/team", "r.example.com", "*.example.com"];
    assert_eq!(users(&keys, "r.example.com/team/a:1"), sorted);
    assert_eq!(users(&["docker.io", "https://index.docker.io/v1/"], "alpine:1"), ["docker.io"]);
}

#[test]
fn of_several_secrets_all_are_asked_once() {
    let image = ImageReference::parse("r.example.com/a:1").unwrap();
    let mut keyring = Keyring::default();
    assert!(keyring.is_empty());
    for (name, user) in [("one", "a"), ("two", "b"), ("three", "a")] {
        let origin = Origin::Secret { namespace: "team".to_owned(), name: name.to_owned() };
        let content = json!({"r.example.com": {"username": user, "password": "p"}}).to_string();
        keyring.add(&origin, PullSecretForm::DockerCfg, content.as_bytes()).unwrap();
    }
    let asked: Vec<String> = keyring.askers(&image).iter().map(ToString::to_string).collect();
    assert_eq!(asked, ["as user a of Secret team/one", "as user b of Secret team/two"]);

    // One that cannot be read changes nothing.
    let half = r#"{"r.example.com":{"username":"c","password":"p"},"x":{"auth":"-"}}"#;
    keyring.add(&origin(), PullSecretForm::DockerCfg, half.as_bytes()).unwrap_err();
    assert_eq!(keyring.askers(&image).len(), 2);
    for n in 0..20 {
        let content = json!({"r.example.com": {"username": "n", "password": n.to_string()}}).to_string();
        keyring.add(&origin(), PullSecretForm::DockerCfg, content.as_bytes()).unwrap();
    }
    assert_eq!(keyring.askers(&image).len(), MAX_ASKERS);
}

#[test]
fn forms_of_entries() {
    let one = |entry: Value| {
        let image = ImageReference::parse("r.example.com/a:1").unwrap();
        read(&json!({ "r.example.com": entry })).map(|k| k.askers(&image).first().map(|a| user(a)))
    };
    let found = |user: &str, password: &str| Ok(Some((user.to_owned(), password.to_owned())));
    let auth = |text: &str| json!({"auth": STANDARD.encode(text)});
    assert_eq!(one(json!({"username": "u", "password": "p", "email": "e"})), found("u", "p"));
    assert_eq!(one(json!({"username": "u"})), found("u", ""));
    assert_eq!(one(auth("u:p")), found("u", "p"));
    assert_eq!(one(auth("u:p:q")), found("u", "p:q"));
    assert_eq!(one(auth("u:")), found("u", ""));
    assert_eq!(one(json!({"auth": "dTpw", "username": "x", "password": "y"})), found("u", "p"));
    assert_eq!(one(json!({"auth": "dTpwcA"})), found("u", "pp"), "without padding");
    assert_eq!(one(json!({"auth": "dTpw\ncHA=\r\n"})), found("u", "ppp"), "as base64 wraps");
    assert_eq!(one(json!({"auth": "dTpw", "identitytoken": "t"})), found("identity", "t"));
    assert_eq!(
        one(json!({"auth": "dTpw", "identitytoken": "t", "registrytoken": "r"})),
        found("registry", "r")
    );
    for empty in [json!({}), json!(null), json!({"auth": ""}), json!({"auth": null}), auth(":")] {
        assert_eq!(one(empty.clone()), Ok(None), "{empty}");
    }
    let registry = || "r.example.com".to_owned();
    for auth in [json!({"auth": "hush:hush"}), auth("hush"), json!({"auth": STANDARD.encode([b':', 0xff])})] {
        assert_eq!(one(auth), Err(KeyringFault::Auth { registry: registry() }));
    }
    let split = one(json!({"registrytoken": "hu\nsh"}));
    assert_eq!(split, Err(KeyringFault::RegistryToken { registry: registry() }));
}

#[test]
fn odd_content_is_told_and_not_repeated() {
    let error = |form, content: &str| {
        let error = Keyring::default().add(&origin(), form, content.as_bytes()).unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(
            text.starts_with("Secret team/pull cannot be used to pull images: its")
                || text.contains(": it has")
        );
        assert!(!text.contains("hush") && text.len() < 1000, "{text}");
        error.fault
    };
    let config = PullSecretForm::DockerConfigJson;
    for content in ["", "hush", "{\"auths\":", "{\"auths\":{}} hush", "\u{feff}{}", "dTpw"] {
        assert!(matches!(error(config, content), KeyringFault::NotJson { line: 1, .. }), "{content}");
    }
    for content in [
        "\"hush\"",
        "[\"hush\"]",
        "null",
        r#"{"auths":"hush"}"#,
        r#"{"auths":["hush"]}"#,
        r#"{"auths":{"r":"hush"}}"#,
        r#"{"auths":{"r":{"auth":["hush"]}}}"#,
        r#"{"auths":{"r":{"password":1}}}"#,
    ] {
        assert!(matches!(error(config, content), KeyringFault::OtherForm { line: 1, .. }), "{content}");
    }
    assert!(matches!(
        error(PullSecretForm::DockerCfg, r#"{"auths":{"r":{"auth":"dTpw"}},"x":"hush"}"#),
        KeyringFault::OtherForm { .. }
    ));
    assert!(matches!(
        error(config, r#"{"auths":{"https://u:hush@r/p":{"auth":"?"}}}"#),
        KeyringFault::Auth { registry } if registry == "r/p"
    ));
    let huge = format!("{{\"auths\":{{}}}}{}", " ".repeat(MAX_SIZE));
    assert_eq!(error(config, &huge), KeyringFault::TooLarge { size: huge.len() });
    let many: serde_json::Map<_, _> = (0..=MAX_ENTRIES).map(|n| (n.to_string(), json!({}))).collect();
    assert_eq!(
        error(config, &json!({ "auths": many }).to_string()),
        KeyringFault::TooManyEntries { count: MAX_ENTRIES + 1 }
    );
    let deep = "[".repeat(100_000);
    error(config, &format!("{{\"auths\":{{\"r\":{{\"x\":{deep}"));
}

#[test]
fn empty_content_holds_nothing() {
    for content in ["{}", r#"{"auths":null}"#, r#"{"auths":{}}"#, r#"{"auths":{"r":{}},"credsStore":"x"}"#] {
        let mut keyring = Keyring::default();
        keyring.add(&origin(), PullSecretForm::DockerConfigJson, content.as_bytes()).unwrap();
        assert!(keyring.is_empty(), "{content}");
    }
    assert_eq!(PullSecretForm::of_type("Opaque"), None);
    for form in [PullSecretForm::DockerConfigJson, PullSecretForm::DockerCfg] {
        let secret_type = format!("kubernetes.io/{}", form.data_key().trim_start_matches('.'));
        assert_eq!(PullSecretForm::of_type(&secret_type), Some(form));
    }
}

#[test]
fn nothing_secret_is_printed() {
    let keyring =
        read(&json!({"r": {"username": "hush", "password": "hush"}, "s": {"registrytoken": "hush"}}));
    assert!(!format!("{:?}", keyring.unwrap()).contains("hush"));
}
